/* sigpipe.c - see sigpipe.h. The signal is sent to the thread that makes the call, so it is taken by that thread. */
#include "sys/sigpipe.h"

#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

static void only_broken(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

void weft__sigpipe_block(weft__sigpipe *s)
{
    sigset_t broken, pending;
    s->had_one = false;
    if (weft__sys_holds_signals)
        return; /* one that another call of the thread has left is nobody's either */
    only_broken(&broken);
    pthread_sigmask(SIG_BLOCK, &broken, &s->old);
    if (sigismember(&s->old, SIGPIPE)) { /* else it would have come by now */
        sigpending(&pending);
        s->had_one = sigismember(&pending, SIGPIPE) != 0;
    }
}

/* What broke after a part had gone is told by the signal alone; where it is blocked for good it may lie. */
static bool may_have_raised(ssize_t n, size_t size)
{
    return n < 0 ? n == -EPIPE : (size_t)n < size && !weft__sys_holds_signals;
}

void weft__sigpipe_restore(const weft__sigpipe *s, ssize_t n, size_t size)
{
    sigset_t broken;
    only_broken(&broken);
    if (may_have_raised(n, size) && !s->had_one)
        while (sigtimedwait(&broken, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    if (!weft__sys_holds_signals)
        pthread_sigmask(SIG_SETMASK, &s->old, NULL);
}
