/* switch.c - the first frame of a new stack, as weft__switch expects to find it; and weft__switch itself over ucontext
 * where there is no assembly. See switch.h and switch.S. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/switch.h"

#include <stdint.h>
#include <string.h>

#ifndef WEFT_UCONTEXT

void weft__switch_entry(void);

#if defined(__x86_64__)

void *weft__switch_prepare(char *low, char *top, void (*entry)(void *), void *arg)
{
    (void)low;
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    uint64_t *sp = (uint64_t *)(void *)top - 8;
    sp[0] = mxcsr | (uint64_t)x87 << 32;
    sp[1] = sp[2] = sp[3] = 0;          /* r15 r14 r13 */
    sp[4] = (uint64_t)(uintptr_t)arg;   /* r12 */
    sp[5] = (uint64_t)(uintptr_t)entry; /* rbx */
    sp[6] = 0;                          /* rbp: the end of the chain of frames */
    sp[7] = (uint64_t)(uintptr_t)weft__switch_entry;
    return sp;
}

#else /* aarch64 */

void *weft__switch_prepare(char *low, char *top, void (*entry)(void *), void *arg)
{
    (void)low;
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    uint64_t *sp = (uint64_t *)(void *)top - 22;
    memset(sp, 0, 22 * sizeof *sp);
    sp[0] = (uint64_t)(uintptr_t)entry;               /* x19 */
    sp[1] = (uint64_t)(uintptr_t)arg;                 /* x20 */
    sp[11] = (uint64_t)(uintptr_t)weft__switch_entry; /* x30; x29 is 0: the end of the chain of frames */
    sp[20] = fpcr;
    return sp;
}

#endif

#else /* WEFT_UCONTEXT */

#include <ucontext.h>

/* The saved stack pointer is a pointer to a ucontext_t: on the stack that was left, or at the top of a new one. */
void weft__switch(void **save, void *to)
{
    ucontext_t here;
    *save = &here;
    swapcontext(&here, to);
}

/* makecontext passes ints. */
static void enter(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
    void (*entry)(void *) = (void (*)(void *))(uintptr_t)((uint64_t)entry_high << 32 | entry_low);
    entry((void *)(uintptr_t)((uint64_t)arg_high << 32 | arg_low));
}

void *weft__switch_prepare(char *low, char *top, void (*entry)(void *), void *arg)
{
    ucontext_t *c = (ucontext_t *)(void *)(((uintptr_t)top - sizeof *c) & ~(uintptr_t)63);
    getcontext(c);
    c->uc_stack.ss_sp = low;
    c->uc_stack.ss_size = (size_t)((char *)c - low);
    c->uc_link = NULL;
    uint64_t e = (uint64_t)(uintptr_t)entry, a = (uint64_t)(uintptr_t)arg;
    makecontext(c, (void (*)(void))enter, 4, (unsigned)(e >> 32), (unsigned)e, (unsigned)(a >> 32), (unsigned)a);
    return c;
}

#endif
WEFT__UNTRACED_END
