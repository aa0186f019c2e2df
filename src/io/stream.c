/* stream.c - streams: receive, send, sendfile, close. Each call tries first and waits when the kernel says so.
 *
 * S1 a stream's descriptor is closed by the last to leave: close marks the stream CLOSED and shuts the socket down,
 *    which makes every wait on it end, wherever it takes place; calls find the mark and return -EBADF. So no call
 *    ever works on a descriptor number that is another's by now.
 * S2 the watch belongs to the scheduler thread whose coroutine waited first, the stream's *home*. There a wait costs
 *    no system call, and a try that would be in vain is known beforehand. Coroutines elsewhere and threads wait
 *    without it. The last to leave sends the stream home to be taken apart and closed, because the home may be about
 *    to change the registration and must not do so under a number that is another's.
 * S3 after a deadline or a cancellation there is one more try: what has come by then wins.
 * Ordering: `users` carries the hand-over (acq_rel) from every call to the last to leave; `home` from who sets it to
 * who finds it.
 * S4 after fork (the epoch differs) the child's streams have no home, and calls that were under way in the parent never
 *    end there: the first call or close in the child forgets them. What the child closes without having used it is
 *    closed in silence: the connection is still the parent's.
 * Pinned by tests/io/stream_test.c and stream_places_test.c. */
#include "io/stream.h"

#include "sys/file.h"
#include "sys/message.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- life ---- */

/* The upper half of `users` and `home`. */
static uint64_t this_epoch(void)
{
    return (uint64_t)load_relaxed(&weft__io_epoch) << 32;
}

weft_stream *weft__stream_new(int fd, bool tcp)
{
    weft_stream *s = weft__calloc(1, sizeof *s);
    if (s == NULL) {
        weft__sys_close(fd);
        return NULL;
    }
    weft__stream_init(s, fd, tcp);
    return s;
}

int weft__stream_make(weft_stream **out, int fd, bool tcp)
{
    weft_stream *s = weft__stream_new(fd, tcp);
    if (s == NULL)
        return -ENOMEM;
    *out = s;
    return 0;
}

void weft__stream_init(weft_stream *s, int fd, bool tcp)
{
    weft__io_watch_fork();
    s->users = this_epoch() | 1;
    s->fd = fd;
    s->tcp = tcp;
}

bool weft__stream_closed(const weft_stream *s)
{
    return (load_relaxed(&s->users) & WEFT__STREAM_CLOSED) != 0;
}

static uint64_t home_of_thread(void)
{
    return this_epoch() | (uint32_t)(weft__sched_index() + 1);
}

/* The home, or 0 when it has none in this process. */
static uint32_t home_index(const weft_stream *s)
{
    uint64_t home = load_acquire(&s->home);
    return home >> 32 == this_epoch() >> 32 ? (uint32_t)home : 0;
}

static bool is_home(const weft_stream *s)
{
    return weft__sched_self != NULL && load_relaxed(&s->home) == home_of_thread();
}

static void take_apart(weft_stream *s)
{
    if (home_index(s) != 0) {
        weft__thread_enter();
        weft__watch_close(&s->watch);
        weft__thread_leave();
    }
    weft__sys_close(s->fd);
    if (s->layer != NULL && s->layer->gone != NULL)
        s->layer->gone(s);
    else
        weft__free(s);
}

static void take_apart_at_home(weft__call *call)
{
    take_apart(container_of(call, weft_stream, end));
}

static bool is_of_parent(uint64_t users)
{
    return unlikely(users >> 32 != this_epoch() >> 32);
}

/* S4: what is left of the users are the handle and `calls` of this caller's. */
static WEFT__COLD void forget_parent(weft_stream *s, uint32_t calls)
{
    uint64_t seen = load_acquire(&s->users);
    while (is_of_parent(seen))
        if (cas_acq_rel(&s->users, &seen, this_epoch() | (seen & WEFT__STREAM_CLOSED) | (1 + calls)))
            return;
    add_acq_rel(&s->users, calls); /* another was first, and has forgotten them as well */
}

int weft__stream_enter(weft_stream *s)
{
    uint64_t users = add_acq_rel(&s->users, 1u);
    if (is_of_parent(users))
        forget_parent(s, 1);
    if (likely(!(users & WEFT__STREAM_CLOSED)))
        return 0;
    weft__stream_leave(s);
    return -EBADF;
}

void weft__stream_leave(weft_stream *s)
{
    if (likely((uint32_t)sub_acq_rel(&s->users, 1u) != (WEFT__STREAM_CLOSED | 1)))
        return;
    uint32_t home = home_index(s);
    if (home == 0 || is_home(s)) {
        take_apart(s);
        return;
    }
    s->end.fn = take_apart_at_home;
    weft__sched_call(home - 1, &s->end);
}

static void close_stream(weft_stream *s, bool silent)
{
    if (is_of_parent(load_relaxed(&s->users)))
        forget_parent(s, 0);
    else if (!silent && s->layer != NULL && s->layer->closing != NULL)
        s->layer->closing(s);
    uint32_t users = (uint32_t)or_acq_rel(&s->users, (uint64_t)WEFT__STREAM_CLOSED);
    if (users > 1)
        weft__sys_shutdown(s->fd, SHUT_RDWR);
    weft__stream_leave(s);
}

void weft_stream_close(weft_stream *s)
{
    if (s != NULL)
        close_stream(s, false);
}

int weft_stream_adopt(weft_stream **out, int fd)
{
    int domain = weft__sys_take_socket(fd, SOCK_STREAM);
    if (domain < 0)
        return domain;
    return weft__stream_make(out, fd, domain == AF_INET || domain == AF_INET6);
}

/* ---- waiting ---- */

bool weft__stream_may_try(weft_stream *s, unsigned events)
{
    if (is_home(s)) {
        weft__thread_enter();
        bool ready = (s->watch.ready & events) != 0;
        weft__thread_leave();
        return ready;
    }
    return events != WEFT_POLLIN || weft__sched_self != NULL || load_relaxed(&s->drained) == 0;
}

void weft__stream_empty(weft_stream *s, unsigned events)
{
    if (is_home(s)) {
        weft__thread_enter();
        weft__watch_clear(&s->watch, events);
        weft__thread_leave();
    } else if (weft__sched_self == NULL && events == WEFT_POLLIN) {
        store_relaxed(&s->drained, 1u);
    }
}

/* Make this thread the home of a stream that has none. 0: it is; -EXDEV: another is; or -errno. */
static int settle_here(weft_stream *s)
{
    uint64_t seen = load_acquire(&s->home), here = home_of_thread();
    if (seen == here)
        return 0;
    uint64_t none = here >> 32 << 32;
    if (seen >> 32 == here >> 32 && seen != none)
        return -EXDEV;
    weft__poller *p;
    int err = weft__poller_here(&p);
    if (err < 0)
        return err;
    if (!cas_acq_rel(&s->home, &seen, here))
        return -EXDEV;
    weft__thread_enter();
    err = weft__watch_open(&s->watch, p, s->fd);
    weft__thread_leave();
    if (err < 0)
        store_release(&s->home, none);
    return err;
}

static int wait_for(weft_stream *s, unsigned events, weft_until until)
{
    if (until.at > 0 && weft__sched_self != NULL) {
        int err = settle_here(s);
        if (err == 0) {
            weft__stream_empty(s, events);
            return weft__stream_may_try(s, events) ? 0 : weft__watch_wait(&s->watch, events, until);
        }
        if (err != -EXDEV && err != -EEXIST)
            return err;
    }
    return weft_fd_wait(s->fd, events, until);
}

int weft__stream_wait(weft_stream *s, unsigned events, weft_until until, int *err)
{
    int got = wait_for(s, events, until);
    if (weft__stream_closed(s))
        return -EBADF;
    if (events == WEFT_POLLIN)
        store_relaxed(&s->drained, 0u);
    if (got >= 0)
        return 0;
    *err = got;
    return got == -ETIMEDOUT || got == -ECANCELED ? 1 : got;
}

/* ---- receive ---- */

/* Descriptors that may come along: their room, then their number. */
typedef struct fd_room {
    int *fds;
    unsigned n;
} fd_room;

static ssize_t try_to_receive(weft_stream *s, void *buf, size_t size, fd_room *room)
{
    if (likely(room == NULL))
        return weft__sys_recv(s->fd, buf, size, MSG_DONTWAIT);
    unsigned n = room->n;
    ssize_t got = weft__sys_recv_fds(s->fd, buf, size, room->fds, &n);
    if (got >= 0)
        room->n = n;
    return got;
}

static ssize_t receive(weft_stream *s, void *buf, size_t size, fd_room *room, weft_until until)
{
    if (unlikely(s->layer != NULL) && s->layer->recv != NULL)
        return s->layer->recv(s, buf, size, until);
    bool try = weft__stream_may_try(s, WEFT_POLLIN);
    int last = 0, err = 0;
    for (;;) {
        if (try) {
            ssize_t n = try_to_receive(s, buf, size, room);
            if (n == 0 && weft__stream_closed(s))
                return -EBADF;
            if (n == -EAGAIN || (n > 0 && (size_t)n < size && s->tcp))
                weft__stream_empty(s, WEFT_POLLIN);
            if (n != -EAGAIN)
                return n;
        }
        if (last > 0)
            return err;
        last = weft__stream_wait(s, WEFT_POLLIN, until, &err);
        if (last < 0)
            return last;
        try = true;
    }
}

ssize_t weft_stream_recv(weft_stream *s, void *buf, size_t size, weft_until until)
{
    ssize_t n = weft__stream_enter(s);
    if (n < 0)
        return n;
    if (size > 0)
        n = receive(s, buf, size, NULL, until);
    weft__stream_leave(s);
    return n;
}

ssize_t weft_stream_recv_all(weft_stream *s, void *buf, size_t size, size_t *got, weft_until until)
{
    size_t done = 0;
    ssize_t n = weft__stream_enter(s);
    if (n < 0) {
        if (got != NULL)
            *got = 0;
        return n;
    }
    while (done < size && (n = receive(s, (char *)buf + done, size - done, NULL, until)) > 0)
        done += (size_t)n;
    weft__stream_leave(s);
    if (got != NULL)
        *got = done;
    return n < 0 ? n : (ssize_t)done;
}

/* ---- send ---- */

/* The state of a send: what is left, and whether the deadline has passed. */
typedef struct sending {
    weft_until until;
    int last, err;
} sending;

/* A try to send gave n: bytes that have left, or an error. When the kernel took nothing, wait. How many have left (0:
 * try again), or the error that ends the send. */
static ssize_t tried_to_send(weft_stream *s, sending *state, ssize_t n)
{
    if (n == -EPIPE && weft__stream_closed(s))
        return -EBADF;
    if (n != -EAGAIN)
        return n;
    weft__stream_empty(s, WEFT_POLLOUT);
    if (state->last > 0)
        return state->err;
    state->last = weft__stream_wait(s, WEFT_POLLOUT, state->until, &state->err);
    return state->last < 0 ? state->last : 0;
}

static ssize_t send_bytes(weft_stream *s, const char *data, size_t size, weft_until until)
{
    sending state = {.until = until};
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = weft__sys_send(s->fd, data + sent, size - sent, MSG_DONTWAIT);
        n = tried_to_send(s, &state, n);
        if (n < 0)
            return n;
        sent += (size_t)n;
    }
    return (ssize_t)size;
}

/* The layer that stands in the way of what is sent, or NULL. */
static const weft__stream_layer *sending_layer(const weft_stream *s)
{
    return unlikely(s->layer != NULL) && s->layer->send != NULL ? s->layer : NULL;
}

ssize_t weft_stream_send(weft_stream *s, const void *data, size_t size, weft_until until)
{
    size_t sent = 0;
    ssize_t n = weft__stream_enter(s);
    if (n < 0)
        return n;
    const weft__stream_layer *layer = sending_layer(s);
    if (layer != NULL)
        n = layer->send(s, &(struct iovec){(void *)(uintptr_t)data, size}, 1, &sent, until);
    else
        n = send_bytes(s, data, size, until);
    weft__stream_leave(s);
    return n;
}

/* What a gathering send has left: the first piece not yet sent whole, and how much of it is gone. */
static ssize_t send_gathered(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent, weft_until until)
{
    enum {
        AT_A_TIME = 64
    };
    sending state = {.until = until};
    size_t skip = 0, before = *sent;
    while (n > 0 && pieces[n - 1].iov_len == 0)
        n--; /* or else the bytes before them would wait for more, which never comes */
    while (n > 0) {
        struct iovec some[AT_A_TIME];
        unsigned count = n < AT_A_TIME ? n : AT_A_TIME;
        memcpy(some, pieces, count * sizeof *some);
        some[0].iov_base = (char *)some[0].iov_base + skip;
        some[0].iov_len -= skip;
        struct msghdr msg = {.msg_iov = some, .msg_iovlen = count};
        ssize_t k = weft__sys_sendmsg(s->fd, &msg, MSG_DONTWAIT | (count < n ? MSG_MORE : 0));
        k = tried_to_send(s, &state, k);
        if (k < 0)
            return k;
        *sent += (size_t)k;
        for (skip += (size_t)k; n > 0 && skip >= pieces->iov_len; n--)
            skip -= pieces++->iov_len;
    }
    return (ssize_t)(*sent - before);
}

ssize_t weft__stream_send_counted(weft_stream *s, const struct iovec *pieces, unsigned n, size_t *sent,
                                  weft_until until)
{
    ssize_t k = weft__stream_enter(s);
    if (k < 0)
        return k;
    const weft__stream_layer *layer = sending_layer(s);
    k = layer != NULL ? layer->send(s, pieces, n, sent, until) : send_gathered(s, pieces, n, sent, until);
    weft__stream_leave(s);
    return k;
}

ssize_t weft_stream_send_pieces(weft_stream *s, const struct iovec *pieces, unsigned n, weft_until until)
{
    size_t sent = 0;
    return n > IOV_MAX ? -EINVAL : weft__stream_send_counted(s, pieces, n, &sent, until);
}

static ssize_t send_file(weft_stream *s, int fd, uint64_t offset, size_t size, weft_until until)
{
    sending state = {.until = until};
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = weft__sys_sendfile(s->fd, fd, &offset, size - sent);
        if (n == 0)
            break; /* the file ends here */
        n = tried_to_send(s, &state, n);
        if (n < 0)
            return n;
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}

/* Through the layer, by way of our own memory. */
static ssize_t send_file_over(weft_stream *s, int fd, uint64_t offset, size_t size, weft_until until)
{
    enum {
        AT_A_TIME = 16384
    };
    size_t sent = 0;
    ssize_t n = 0;
    char *part = weft__malloc(AT_A_TIME);
    if (part == NULL)
        return -ENOMEM;
    while (sent < size) {
        size_t want = size - sent < AT_A_TIME ? size - sent : AT_A_TIME, done = 0;
        n = weft__sys_pread(fd, part, want, offset + sent, false);
        if (n <= 0)
            break;
        n = s->layer->send(s, &(struct iovec){part, (size_t)n}, 1, &done, until);
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    weft__free(part);
    return n < 0 ? n : (ssize_t)sent;
}

ssize_t weft_stream_sendfile(weft_stream *s, int fd, uint64_t offset, size_t size, weft_until until)
{
    if (offset > INT64_MAX || size > SSIZE_MAX)
        return -EINVAL;
    ssize_t n = weft__stream_enter(s);
    if (n < 0)
        return n;
    n = (sending_layer(s) != NULL ? send_file_over : send_file)(s, fd, offset, size, until);
    weft__stream_leave(s);
    return n;
}

/* ---- descriptors along with bytes ---- */

static bool carries_fds(const weft_stream *s)
{
    return !s->tcp && (s->layer == NULL || s->layer->send == NULL);
}

static ssize_t send_with_fds(weft_stream *s, const char *data, size_t size, const int *fds, unsigned n,
                             weft_until until)
{
    sending state = {.until = until};
    ssize_t k = 0;
    while (k == 0) {
        k = weft__sys_send_fds(s->fd, data, size, fds, n);
        k = tried_to_send(s, &state, k);
    }
    if (k > 0 && (size_t)k < size) {
        ssize_t rest = send_bytes(s, data + k, size - (size_t)k, until);
        return rest < 0 ? rest : (ssize_t)size;
    }
    return k;
}

ssize_t weft_stream_send_fds(weft_stream *s, const void *data, size_t size, const int *fds, unsigned n,
                             weft_until until)
{
    if (size == 0 || n > WEFT__FDS_MAX)
        return -EINVAL;
    ssize_t k = weft__stream_enter(s);
    if (k < 0)
        return k;
    k = carries_fds(s) ? send_with_fds(s, data, size, fds, n, until) : -EOPNOTSUPP;
    weft__stream_leave(s);
    return k;
}

ssize_t weft_stream_recv_fds(weft_stream *s, void *buf, size_t size, int *fds, unsigned *n, weft_until until)
{
    fd_room room = {fds, *n};
    *n = 0;
    if (size == 0)
        return -EINVAL;
    ssize_t got = weft__stream_enter(s);
    if (got < 0)
        return got;
    got = carries_fds(s) ? receive(s, buf, size, &room, until) : -EOPNOTSUPP;
    weft__stream_leave(s);
    if (got >= 0)
        *n = room.n;
    return got;
}

/* ---- other ends than close ---- */

void weft_stream_reset(weft_stream *s)
{
    static const struct linger at_once = {.l_onoff = 1};
    if (s == NULL)
        return;
    if (s->tcp && !is_of_parent(load_relaxed(&s->users)))
        (void)weft__sys_setsockopt_value(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close_stream(s, s->tcp);
}

int weft_stream_detach(weft_stream *s)
{
    if (s->layer != NULL && s->layer->send != NULL)
        return -EOPNOTSUPP;
    uint64_t users = load_acquire(&s->users);
    if (!is_of_parent(users) && (uint32_t)users != 1)
        return -EBUSY;
    int fd = weft__sys_dup(s->fd); /* the number that is watched goes with the stream */
    if (fd < 0)
        return fd;
    s->layer = NULL; /* the file of a listener stays */
    weft_stream_close(s);
    return fd;
}

/* ---- about a stream ---- */

int weft_stream_shutdown(weft_stream *s, int how)
{
    if (how < WEFT_SHUTDOWN_RECV || how > WEFT_SHUTDOWN_BOTH)
        return -EINVAL;
    int err = weft__stream_enter(s);
    if (err < 0)
        return err;
    err = s->layer != NULL && s->layer->shutdown != NULL ? s->layer->shutdown(s, how) : weft__sys_shutdown(s->fd, how);
    weft__stream_leave(s);
    return err;
}

int weft_stream_local(weft_stream *s, char text[WEFT_ADDRESS_MAX])
{
    weft__address a;
    int err = weft__sys_local(s->fd, &a);
    return err < 0 ? err : weft__address_text(&a, text, WEFT_ADDRESS_MAX);
}

int weft_stream_peer(weft_stream *s, char text[WEFT_ADDRESS_MAX])
{
    weft__address a;
    int err = weft__sys_peer(s->fd, &a);
    return err < 0 ? err : weft__address_text(&a, text, WEFT_ADDRESS_MAX);
}

unsigned weft_stream_port(weft_stream *s)
{
    weft__address a;
    return weft__sys_local(s->fd, &a) < 0 ? 0 : weft__address_port(&a);
}

int weft_stream_fd(weft_stream *s)
{
    return s->fd;
}
