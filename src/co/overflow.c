/* overflow.c - a coroutine that runs out of stack touches the guard below it: say which one it was, and end.
 *
 * SIGSEGV (and SIGBUS) of a scheduler thread are handled on a stack of their own. If the address lies in the guard of
 * the running coroutine, one sentence is written and the signal is given back to its default action, which strikes when
 * the instruction is tried again: so the exit status and the core are those of the fault itself. Everything else goes
 * to the handler that was there before us. */
#include "co/state.h"

#include "base/panic.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIGNAL_STACK = 64 << 10 /* sanitizers' handlers that we call need more than SIGSTKSZ */
};

static struct sigaction previous[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct sigaction *previous_of(int signal)
{
    return &previous[signal == SIGBUS];
}

static bool is_overflow(const void *address)
{
    const weft__sched *s = weft__sched_self;
    if (s == NULL || s->current == NULL || s->current->stack == NULL)
        return false;
    const char *low = s->current->stack->low;
    return (const char *)address < low && (const char *)address >= low - weft__stack_guard();
}

static void give_to_previous(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *p = previous_of(signal);
    if (p->sa_flags & SA_SIGINFO)
        p->sa_sigaction(signal, info, context);
    else if (p->sa_handler != SIG_DFL && p->sa_handler != SIG_IGN)
        p->sa_handler(signal);
    else
        sigaction(signal, p, NULL); /* the fault strikes again, now with the default action */
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    if (!is_overflow(info->si_addr)) {
        give_to_previous(signal, info, context);
        return;
    }
    const weft_co *co = weft__sched_self->current;
    weft__warn("stack overflow in coroutine '%s' (stack of %zu KiB); give it a larger stack_size", weft_co_name(co),
               weft__stack_size(co->size_class) >> 10);
    struct sigaction defaults = {.sa_handler = SIG_DFL};
    sigaction(signal, &defaults, NULL);
}

static void watch(void)
{
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaction(SIGSEGV, &ours, &previous[0]);
    sigaction(SIGBUS, &ours, &previous[1]);
}

void weft__overflow_watch(void)
{
    pthread_once(&once, watch);
}

static void use_signal_stack(void)
{
    void *p;
    if (weft__sys_map(&p, SIGNAL_STACK) == 0) {
        stack_t stack = {.ss_sp = p, .ss_size = SIGNAL_STACK};
        sigaltstack(&stack, NULL);
    }
}

/* The thread is the program's, and so is its signal mask; the stack stays with it. */
void weft__overflow_watch_host(void)
{
    stack_t present;
    if (sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_DISABLE))
        use_signal_stack();
}

void weft__overflow_watch_thread(void)
{
    use_signal_stack();
    sigset_t faults; /* a blocked fault would end the process without asking any handler */
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    sigaddset(&faults, SIGBUS);
    sigaddset(&faults, SIGILL);
    sigaddset(&faults, SIGFPE);
    sigaddset(&faults, SIGTRAP);
    sigaddset(&faults, SIGSYS);
    sigaddset(&faults, SIGABRT);
    pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}
