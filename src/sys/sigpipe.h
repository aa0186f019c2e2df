/* sigpipe.h - for calls that have no MSG_NOSIGNAL, sendfile(2) and write(2): SIGPIPE is blocked for the while, and one
 * that the call raised is taken away. Whatever the program makes of the signal, it hears of no broken pipe of ours.
 * Weft's own threads block all signals anyway, which saves two calls. */
#ifndef WEFT_SYS_SIGPIPE_H
#define WEFT_SYS_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct weft__sigpipe {
    sigset_t old;
    bool had_one; /* the thread blocks it anyway, and has one that is not ours */
} weft__sigpipe;

void weft__sigpipe_block(weft__sigpipe *s);

/* n: what the call gave of `size` bytes, a count or -errno. */
void weft__sigpipe_restore(const weft__sigpipe *s, ssize_t n, size_t size);

#endif
