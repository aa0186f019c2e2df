/* popen.h - a started program from inside: for the files of src/process only.
 *
 * S1  the child is reaped once, under `lock`, and from then on its pid is not used any more: it may be somebody else's.
 *     As long as it is not reaped, its number stands for it and for its process group, so groups are signalled before.
 * S2  fds[] are our ends of its streams: non-blocking (theirs stay as they are), -1 when there is none or it is closed.
 * S3  what communicate has sent and collected is kept here until it returns 0, so a call that timed out can go on. */
#ifndef WEFT_PROCESS_POPEN_H
#define WEFT_PROCESS_POPEN_H

#include <weft/lock.h>
#include <weft/subprocess.h>

#include <stdbool.h>

typedef struct weft__bytes {
    char *at; /* terminated by a 0 beyond `size` */
    size_t size, room;
} weft__bytes;

struct weft_popen {
    weft_lock lock;
    pid_t pid;
    int pidfd;
    int fds[3];
    bool reaped; /* locked */
    bool own_group;
    bool piped[3]; /* we had an end of this stream */
    int code;      /* locked; once reaped */
    int64_t grace;
    size_t input_at; /* communicate: bytes sent */
    size_t keep_max; /* communicate: bytes kept of each output */
    bool truncated;
    weft__bytes read[3]; /* collected and not yet given: outputs 1 and 2 */
    size_t line_at[3];   /* of these, given as lines */
};

void weft__bytes_free(weft__bytes *b);

void weft__popen_close_fd(weft_popen *p, int stream);

/* A program and all below it, remembered (tree.c). While this is found, and while it is signalled, the root must not be
 * reaped. NULL: no memory, or no /proc. For weft__free. */
typedef struct weft__tree weft__tree;
weft__tree *weft__tree_find(pid_t root, bool group);

void weft__tree_signal(const weft__tree *t, int signal);

/* Wait until all of it have ended. */
void weft__tree_await(const weft__tree *t, weft_until until);

/* Kill it, and what it has started meanwhile; `reaped`: the root has been. */
void weft__tree_kill(weft__tree *t, bool reaped);

#endif
