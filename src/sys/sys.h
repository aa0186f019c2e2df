/* sys.h - Linux calls as functions that return -errno, and the place where a test makes them fail.
 *
 * Nothing outside src/sys makes a system call that can fail for a reason a program must handle. Each wrapper first asks
 * weft__sys_fault(CALL): with no fault planned that is one load and a branch. A plan (fault.c) makes the n-th call of a
 * kind fail with an errno, or delays it; the clock can be shifted for the whole process. Results: >= 0, or -errno;
 * errno itself is never left for the caller to read, because a coroutine may be elsewhere by then.
 *
 * This header holds what park and co need; net.h, poll.h and file.h hold the calls of their topics. */
#ifndef WEFT_SYS_SYS_H
#define WEFT_SYS_SYS_H

#include "base/atomic.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Every call that can be made to fail, by the name a test uses. */
enum weft__sys_call {
    WEFT__SYS_FUTEX_WAIT,
    WEFT__SYS_FUTEX_WAKE,
    WEFT__SYS_FUTEX_WAITV,
    WEFT__SYS_MMAP,
    WEFT__SYS_MUNMAP,
    WEFT__SYS_MPROTECT,
    WEFT__SYS_MADVISE,
    WEFT__SYS_THREAD,
    WEFT__SYS_MALLOC,
    WEFT__SYS_OPEN,
    WEFT__SYS_CLOSE,
    WEFT__SYS_READ,
    WEFT__SYS_WRITE,
    WEFT__SYS_STAT,
    WEFT__SYS_GETDENTS,
    WEFT__SYS_SENDFILE,
    WEFT__SYS_SOCKET,
    WEFT__SYS_BIND,
    WEFT__SYS_LISTEN,
    WEFT__SYS_ACCEPT,
    WEFT__SYS_CONNECT,
    WEFT__SYS_SEND,
    WEFT__SYS_RECV,
    WEFT__SYS_SOCKOPT,
    WEFT__SYS_SHUTDOWN,
    WEFT__SYS_SELECT,
    WEFT__SYS_POLL,
    WEFT__SYS_EPOLL_CREATE,
    WEFT__SYS_EPOLL_CTL,
    WEFT__SYS_EPOLL_WAIT,
    WEFT__SYS_EVENTFD,
    WEFT__SYS_URING_SETUP,
    WEFT__SYS_URING_ENTER,
    WEFT__SYS_URING_RECV, /* as if what it finds had come just after its first look */
    WEFT__SYS_PIPE,
    WEFT__SYS_FORK,
    WEFT__SYS_PEEK,
    WEFT__SYS_LIBRARY, /* of library.h */
    WEFT__SYS_WATCH,   /* the thread of aside.h */
    WEFT__SYS_CALLS    /* how many there are */
};

/* ---- faults (fault.c) ---- */

extern uint32_t weft__sys_faults; /* atomic: how many plans are in force; 0 in every real program */

int weft__sys_fault_slow(enum weft__sys_call call);

/* 0: make the call. Negative: do not, this is its result. */
static inline int weft__sys_fault(enum weft__sys_call call)
{
    if (likely(load_relaxed(&weft__sys_faults) == 0))
        return 0;
    return weft__sys_fault_slow(call);
}

/* Plan: calls number nth, nth+1, ... nth+count-1 of this kind from now on (counted from 1, over all threads) return
 * `err` (negative) instead of being made, or are made with err == 0; either after delay_ns. One plan a kind; a new one
 * replaces it. For tests. */
void weft__sys_plan(enum weft__sys_call call, uint32_t nth, uint32_t count, int err, int64_t delay_ns);

/* Forget all plans and set the counts of calls seen to 0. */
void weft__sys_plan_none(void);

/* How many calls of this kind were made or failed since the first plan was in force. */
uint32_t weft__sys_seen(enum weft__sys_call call);

/* ---- clock ---- */

extern int64_t
    weft__sys_clock_shift; /* atomic: what weft__sys_now adds to the kernel's clock; 0 unless a test set it */

/* CLOCK_MONOTONIC in ns, plus the shift. */
int64_t weft__sys_now(void);

/* ---- memory ---- */

/* malloc and its like, with a place to fail. NULL when out of memory. weft__free takes NULL. */
void *weft__malloc(size_t size);
void *weft__calloc(size_t n, size_t size);
void *weft__realloc(void *p, size_t size);
void weft__free(void *p);

/* Private anonymous memory, zeroed, no swap reserved. *out is set on 0. */
int weft__sys_map(void **out, size_t size);
int weft__sys_unmap(void *p, size_t size);
/* The same for what a process maps once, and a child of fork need not have: it is zeroed there, or, where the kernel
 * (or an emulator) does not do that, as it was. NULL: no memory; tests do not plan that. */
void *weft__sys_map_wiped(size_t size);
/* The same, shared with the processes that are forked from now on; and no more with those forked later. */
int weft__sys_map_shared(void **out, size_t size);
void weft__sys_not_for_children(void *p, size_t size);
int weft__sys_protect_none(void *p, size_t size);
int weft__sys_madvise(void *p, size_t size, int advice);

/* ---- futex ---- */

/* Sleep while *word == expected, at most until `until_ns` on weft__sys_now's clock (INT64_MAX: no limit). `shared`: the
 * word may be in memory shared with other processes. Returns 0 (woken, perhaps without cause), -EAGAIN (the word
 * differs), -ETIMEDOUT or -EINTR. */
int weft__sys_futex_wait(const uint32_t *word, uint32_t expected, int64_t until_ns, bool shared);

/* Wake up to n sleepers; returns how many, also when the address is no longer mapped (0). */
int weft__sys_futex_wake(const uint32_t *word, unsigned n, bool shared);

/* One word of a wait for several. */
typedef struct weft__sys_futex {
    const uint32_t *word;
    uint32_t expected;
    bool shared;
} weft__sys_futex;
enum {
    WEFT__SYS_FUTEXES_MAX = 128
};

/* Sleep on up to 128 words. Returns the index of one that was woken, or -EAGAIN, -ETIMEDOUT, -EINTR, or -ENOSYS before
 * Linux 5.16. */
int weft__sys_futex_waitv(const weft__sys_futex *words, unsigned n, int64_t until_ns);

/* ---- processes and threads ---- */

/* The processors this process may run on, at least 1. */
unsigned weft__sys_cpus(void);

/* The number of the processor that the caller is on, or was a moment ago. */
unsigned weft__sys_cpu(void);

/* How often another thread has taken the processor away from the calling one, which had not finished. */
uint64_t weft__sys_preempted(void);

/* The calling thread goes to another processor, if it may run on several. It may come back at any time. */
void weft__sys_leave_cpu(void);

/* Let others run that wait for this processor, if there are any. */
void weft__sys_yield(void);

pid_t weft__sys_tid(void);

/* Fill p with random bytes; never fails (falls back on addresses and the clock). */
void weft__sys_random(void *p, size_t size);

/* What a `stat` file of /proc says behind the name: the state and what follows, in *fields, which points into buf
 * (whose beginning may be the path). 0, -errno of the open, -ESRCH when it ended meanwhile, -EPROTO. */
int weft__sys_stat_fields(const char *path, char *buf, size_t size, const char **fields);

/* When the process started, in clock ticks since boot (field 22 of /proc/PID/stat). Returns 0 and *ticks; -ESRCH when
 * there is no such process or it is dead and only waits to be reaped; -ENOENT when /proc cannot tell (then *ticks is 0
 * and the process exists). */
int weft__sys_process_start(pid_t pid, uint64_t *ticks);

/* Start a helper of weft's own: a detached thread with all signals blocked, so that the program's threads get them.
 * Returns 0 or -EAGAIN. */
int weft__sys_thread(void *(*fn)(void *), void *arg, size_t stack_size);

extern WEFT__TLS bool weft__sys_helper;        /* the calling thread is such a helper */
extern WEFT__TLS bool weft__sys_holds_signals; /* ... and its signals are blocked still, so it need not block any */

/* Start a thread of the program's: joinable, with the caller's signal mask. stack_size 0: the system's default; else it
 * is rounded up to pages and the system's minimum. Returns 0 and *t, -EAGAIN, or -EINVAL for an impossible size. */
int weft__sys_thread_start(pthread_t *t, void *(*fn)(void *), void *arg, size_t stack_size);

/* Give the kernel the first 15 bytes of a living thread's name, cut where a character ends. */
void weft__sys_thread_set_name(pthread_t t, const char *name);

/* In a child of fork: free a mutex that the handler before the fork has taken. Without a call into libc, which would be
 * one more page to get. */
static inline void weft__sys_free_in_child(pthread_mutex_t *m)
{
#if WEFT__TSAN
    pthread_mutex_unlock(m); /* it keeps books */
#else
    *m = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
#endif
}

/* What the kernel calls the thread, or "" when it cannot tell (it has ended). */
void weft__sys_thread_name(pid_t tid, char *buf, size_t size);

/* ---- eventfd ---- */

/* A non-blocking, close-on-exec eventfd, or -errno. */
int weft__sys_eventfd(void);
void weft__sys_eventfd_set(int fd);
void weft__sys_eventfd_clear(int fd);

#endif
