/* pipe.c - message pipes: datagrams of a Unix socket pair, which the kernel delivers whole or not at all.
 *
 * A message is one SOCK_SEQPACKET datagram: a head and, up to INLINE_MAX, its bytes. A larger one goes as a memory file
 * whose descriptor is sent with the head alone, so there is no message in pieces that a dying sender could leave open.
 * The file's contents are read and never mapped, and its size is taken from the file itself: what the other side says
 * or changes later harms nobody.
 *
 * The descriptors are shared with other processes, so none is ever switched to non-blocking: each call asks for itself.
 * Receiving takes two calls, a look at the size and the take. Those of one process do both under the end's lock.
 * Another process may take the message between the two, and the next one may be too large for the caller: it is then
 * kept in the end (`kept`), and is the first to be received here. Pinned by tests/process/pipe_test.c. */
#include <weft/pipe.h>

#include "io/watch.h"
#include "sync/lock.h"
#include "sys/message.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <weft/lock.h>
#include <weft/poller.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
    INLINE_MAX = 32 << 10, /* above, the copies through a file cost less than a datagram of that size */
    FDS_WAIT_MAX = 1024,
    MAGIC = 0x77667431 /* "wft1" */
};

typedef struct head {
    uint32_t magic;
    uint32_t in_file; /* 1: the bytes are in the last descriptor that came along */
    uint64_t size;
} head;

struct weft_pipe {
    int fd;
    bool receives, sends;
    weft_lock lock; /* receivers of this process; over what follows */
    char *room;     /* INLINE_MAX bytes; NULL on an end that only sends */
    bool kept;      /* a message was taken and not given yet: `head`, its bytes in room, its descriptors */
    head head;
    int fds[WEFT_MESSAGE_FDS_MAX + 1];
    unsigned fd_count;
};

/* ---- ends ---- */

static int make_end(weft_pipe **end, int fd, bool receives, bool sends)
{
    weft_pipe *p = weft__calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->fd = fd;
    p->receives = receives;
    p->sends = sends;
    if (receives && (p->room = weft__malloc(INLINE_MAX)) == NULL) {
        weft__free(p);
        return -ENOMEM;
    }
    *end = p;
    return 0;
}

int weft_pipe_new(weft_pipe *ends[2], int how)
{
    int fds[2], err;
    weft_pipe *made[2] = {NULL, NULL};
    if (how != WEFT_SIMPLEX && how != WEFT_DUPLEX)
        return -EINVAL;
    if ((err = weft__sys_message_pair(fds)) < 0)
        return err;
    err = make_end(&made[0], fds[0], true, how == WEFT_DUPLEX);
    if (err == 0)
        err = make_end(&made[1], fds[1], how == WEFT_DUPLEX, true);
    if (err < 0) {
        if (made[0] != NULL)
            weft__free(made[0]->room);
        weft__free(made[0]);
        weft__sys_close(fds[0]);
        weft__sys_close(fds[1]);
        return err;
    }
    memcpy(ends, made, sizeof made);
    return 0;
}

int weft_pipe_from_fd(weft_pipe **end, int fd, int how)
{
    if (how < -1 || how > WEFT_DUPLEX || !weft__sys_is_message_socket(fd))
        return -EINVAL;
    return make_end(end, fd, how != -1, how != WEFT_SIMPLEX);
}

int weft_pipe_fd(const weft_pipe *end)
{
    return end->fd;
}

static void close_fds(const int *fds, unsigned from, unsigned n)
{
    for (unsigned i = from; i < n; i++)
        weft__sys_close(fds[i]);
}

void weft_pipe_close(weft_pipe *end)
{
    if (end == NULL)
        return;
    close_fds(end->fds, 0, end->fd_count);
    weft__sys_close(end->fd);
    weft__free(end->room);
    weft__free(end);
}

/* A fork amid another thread's receive leaves that thread behind, and what it had kept is the parent's to give. */
static void lock_end(weft_pipe *end)
{
    weft__taking taking = {&weft__lock_kind, NULL};
    if (weft__lock_acquire(&end->lock, WEFT_FOREVER, WEFT__UNCANCELLABLE, taking) != -EOWNERDEAD)
        return;
    end->kept = false;
    end->fd_count = 0;
    weft_lock_recover(&end->lock);
}

/* ---- send ---- */

/* Send until it went or cannot. */
static int send_waiting(weft_pipe *end, const weft__message *m, weft_until until)
{
    for (;;) {
        int err = weft__sys_message_send(end->fd, m);
        if (err != -EAGAIN)
            return err;
        err = weft_fd_wait(end->fd, WEFT_POLLOUT, until);
        if (err < 0)
            return err;
    }
}

int weft_pipe_send_fds(weft_pipe *end, const void *message, size_t size, const int *fds, unsigned n, weft_until until)
{
    if (!end->sends)
        return -EBADF;
    if (n > WEFT_MESSAGE_FDS_MAX)
        return -EINVAL;
    if (size > WEFT_MESSAGE_MAX)
        return -EMSGSIZE;
    head h = {.magic = MAGIC, .in_file = size > INLINE_MAX, .size = size};
    int all[WEFT_MESSAGE_FDS_MAX + 1], file = -1;
    if (n > 0)
        memcpy(all, fds, n * sizeof *fds);
    weft__message m = {.head = &h, .head_size = sizeof h, .fds = all, .fd_count = n};
    if (h.in_file) {
        if ((file = weft__sys_memory_file(message, size)) < 0)
            return file;
        all[m.fd_count++] = file;
    } else {
        m.data = (void *)message;
        m.size = size;
    }
    int err = send_waiting(end, &m, until);
    if (file >= 0)
        weft__sys_close(file);
    return err;
}

int weft_pipe_send(weft_pipe *end, const void *message, size_t size, weft_until until)
{
    return weft_pipe_send_fds(end, message, size, NULL, 0, until);
}

/* ---- receive ---- */

/* What a caller wants a message put into. */
typedef struct target {
    void *buffer;
    size_t size;
    bool own; /* the buffer is made for the message */
    size_t received;
    int fds[WEFT_MESSAGE_FDS_MAX + 1];
    unsigned fd_count;
} target;

/* The size of the next message. 0, -EAGAIN, -WEFT_EEOF, or -EPROTO, and then it was taken off: nobody wants it. */
static int look(weft_pipe *end, size_t *size)
{
    head h = end->head;
    long n = end->kept ? (long)sizeof h : weft__sys_message_peek(end->fd, &h, sizeof h);
    if (n == 0 || n == -ECONNRESET)
        return -WEFT_EEOF;
    if (n < 0)
        return (int)n;
    *size = h.size;
    if (n == (long)sizeof h && h.magic == MAGIC && h.size <= WEFT_MESSAGE_MAX && (h.in_file || h.size <= INLINE_MAX))
        return 0;
    weft__message m = {.head = &h, .head_size = sizeof h, .fds = end->fds, .fd_count = WEFT__ARRAY_LEN(end->fds)};
    if (weft__sys_message_receive(end->fd, &m) >= 0)
        close_fds(end->fds, 0, m.fd_count);
    return -EPROTO;
}

/* Take a message off the socket, into the target's buffer as far as it goes and into the end's room beyond. */
static int take(weft_pipe *end, target *t)
{
    size_t own = t->size < INLINE_MAX ? t->size : INLINE_MAX;
    weft__message m = {.head = &end->head,
                       .head_size = sizeof end->head,
                       .data = t->buffer,
                       .size = own,
                       .spill = end->room + own,
                       .spill_size = INLINE_MAX - own,
                       .fds = end->fds,
                       .fd_count = WEFT__ARRAY_LEN(end->fds)};
    long n = weft__sys_message_receive(end->fd, &m);
    if (n <= 0)
        return n == 0 ? -WEFT_EEOF : (int)n;
    end->fd_count = m.fd_count;
    const head *h = &end->head;
    size_t bytes = h->in_file ? 0 : h->size;
    if (n < (long)sizeof *h || h->magic != MAGIC || (size_t)n != sizeof *h + bytes || (h->in_file && m.fd_count == 0)) {
        close_fds(end->fds, 0, end->fd_count);
        end->fd_count = 0;
        return -EPROTO;
    }
    if (bytes > t->size && t->size > 0)
        memcpy(end->room, t->buffer, t->size);
    end->kept = bytes > t->size;
    return 0;
}

/* Hand the message over: its bytes are in the buffer already, or in the end's room, or in a file. */
static int give(weft_pipe *end, target *t)
{
    const head *h = &end->head;
    int err = 0;
    if (h->in_file) {
        int file = end->fds[--end->fd_count];
        err = weft__sys_memory_file_read(file, t->buffer, h->size);
        weft__sys_close(file);
    } else if (end->kept && h->size > 0) {
        memcpy(t->buffer, end->room, h->size);
    }
    end->kept = false;
    t->received = h->size;
    t->fd_count = end->fd_count;
    memcpy(t->fds, end->fds, end->fd_count * sizeof *t->fds);
    end->fd_count = 0;
    if (err < 0)
        close_fds(t->fds, 0, t->fd_count);
    return err;
}

static int receive_locked(weft_pipe *end, target *t)
{
    int err = look(end, &t->received);
    if (err == 0 && t->own) {
        t->size = t->received;
        t->buffer = malloc(t->size + 1);
        err = t->buffer == NULL ? -ENOMEM : 0;
    }
    if (err < 0)
        return err;
    if (t->received > t->size)
        return -EMSGSIZE;
    if (!end->kept && (err = take(end, t)) < 0)
        return err;
    if (end->head.size > t->size) { /* another process took the one we saw, and this one is too large */
        end->kept = true;
        t->received = end->head.size;
        return t->own ? -EAGAIN : -EMSGSIZE;
    }
    return give(end, t);
}

static int try_receive(weft_pipe *end, target *t)
{
    int err;
    lock_end(end);
    do {
        err = receive_locked(end, t);
        if (err < 0 && t->own) {
            free(t->buffer);
            t->buffer = NULL;
        }
    } while (err == -EAGAIN && end->kept);
    weft_lock_release(&end->lock);
    return err;
}

static int receive(weft_pipe *end, target *t, weft_until until)
{
    if (!end->receives)
        return -EBADF;
    for (;;) {
        int err = try_receive(end, t);
        if (err != -EAGAIN)
            return err;
        err = weft_fd_wait(end->fd, WEFT_POLLIN, until);
        if (err < 0)
            return err;
    }
}

int weft_pipe_receive_fds(weft_pipe *end, void *buffer, size_t size, size_t *received, int *fds, unsigned *n,
                          weft_until until)
{
    target t = {.buffer = buffer, .size = size};
    int err = receive(end, &t, until);
    if (err == 0 || err == -EMSGSIZE)
        *received = t.received;
    if (err < 0)
        return err;
    unsigned given = t.fd_count < *n ? t.fd_count : *n;
    if (given > 0)
        memcpy(fds, t.fds, given * sizeof *fds);
    close_fds(t.fds, given, t.fd_count);
    *n = given;
    return 0;
}

int weft_pipe_receive(weft_pipe *end, void *buffer, size_t size, size_t *received, weft_until until)
{
    unsigned none = 0;
    return weft_pipe_receive_fds(end, buffer, size, received, NULL, &none, until);
}

int weft_pipe_receive_new(weft_pipe *end, void **message, size_t *received, weft_until until)
{
    target t = {.own = true};
    int err = receive(end, &t, until);
    if (err < 0)
        return err;
    close_fds(t.fds, 0, t.fd_count);
    ((char *)t.buffer)[t.received] = 0;
    *message = t.buffer;
    *received = t.received;
    return 0;
}

int weft_pipe_poll(weft_pipe *end, weft_until until)
{
    lock_end(end);
    bool kept = end->kept;
    weft_lock_release(&end->lock);
    int err = kept ? 0 : weft_fd_wait(end->fd, WEFT_POLLIN, until);
    return err < 0 ? err : 0;
}

int weft_fds_wait(const int *fds, unsigned n, unsigned char *ready, weft_until until)
{
    if (n == 0 || n > FDS_WAIT_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++)
        if (fds[i] < 0)
            return -EBADF; /* poll would pass it over, and wait for nothing */
    weft__fd_case *cases = weft__calloc(n, sizeof *cases);
    if (cases == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++)
        cases[i] = (weft__fd_case){.fd = fds[i], .events = WEFT_POLLIN};
    int count = weft__fd_wait_any(cases, n, until);
    for (unsigned i = 0; i < n; i++)
        ready[i] = count > 0 && cases[i].got != 0;
    weft__free(cases);
    return count;
}
