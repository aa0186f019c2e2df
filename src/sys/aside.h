/* aside.h - what a thread of weft's own needs that looks at the others: the same calls as in sys.h, but neither planned
 * faults nor the shifted clock reach it, so that it does not take part in what a test does to the program. */
#ifndef WEFT_SYS_ASIDE_H
#define WEFT_SYS_ASIDE_H

#include "sys/sys.h"

/* CLOCK_MONOTONIC in ns. */
int64_t weft__aside_now(void);

/* What the calling thread has used of processors, in ns. */
int64_t weft__aside_spent(void);

/* Sleep while *word == expected, for at most `ns` (INT64_MAX: no limit); may end without cause. */
void weft__aside_wait(const uint32_t *word, uint32_t expected, int64_t ns);
void weft__aside_wake(const uint32_t *word);

/* As weft__sys_thread; fails by the plan for WEFT__SYS_WATCH alone. */
int weft__aside_thread(void *(*fn)(void *), void *arg, size_t stack_size);

/* How many threads this process has, 0 when the kernel does not tell. Opens no descriptor. */
unsigned weft__sys_thread_count(void);

/* The kernel's letter for what a thread of this process does: R runs or wants to, S sleeps, Z is a main thread that has
 * ended while others go on. 0 when the kernel does not tell. */
char weft__sys_thread_state(int tid);

/* Copy `size` bytes of this process's memory, which may not be there: 0, or -EFAULT instead of a crash. Another thread
 * may be writing there. Needs two descriptors where the kernel's way is forbidden, and is -EFAULT without. */
int weft__sys_peek(void *to, const void *from, size_t size);

#endif
