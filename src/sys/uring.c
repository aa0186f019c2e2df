/* uring.c - io_uring by liburing. See uring.h. */
#include "sys/uring.h"

#include "sys/sys.h"

#include <errno.h>

#ifndef WEFT_HAVE_LIBURING
#define WEFT_HAVE_LIBURING 0
#endif

#if WEFT_HAVE_LIBURING

#include "sys/library.h"

#include <liburing.h>
#include <poll.h>
#include <string.h>

#define FUNCTIONS(X)                                                                                                   \
    X(io_uring_get_events)                                                                                             \
    X(io_uring_queue_exit)                                                                                             \
    X(io_uring_queue_init_params)                                                                                      \
    X(io_uring_register_buf_ring)                                                                                      \
    X(io_uring_register_ring_fd)                                                                                       \
    X(io_uring_submit)                                                                                                 \
    X(io_uring_submit_and_get_events)                                                                                  \
    X(io_uring_submit_and_wait)                                                                                        \
    X(io_uring_submit_and_wait_timeout)

WEFT__LIBRARY(lib, "liburing.so.2", FUNCTIONS)

struct weft__uring {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    unsigned entries; /* of the buffer ring */
    unsigned put;     /* not yet published */
    uint32_t serial;
};

enum {
    BUFFER_GROUP = 0
};

/* Set up with the best flags that this kernel takes. 1 when it took the newest. */
static int open_ring(struct io_uring *ring, unsigned entries, bool one_thread)
{
    static const unsigned newest =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL;
    for (int modern = one_thread; modern >= 0; modern--) {
        struct io_uring_params params;
        memset(&params, 0, sizeof params);
        params.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | (modern ? newest : 0);
        params.cq_entries = entries * 8;
        int err = weft__sys_fault(WEFT__SYS_URING_SETUP);
        if (err == 0)
            err = lib.io_uring_queue_init_params(entries, ring, &params);
        if (err == 0)
            return modern;
        if (err != -EINVAL)
            return err;
    }
    return -ENOSYS;
}

int weft__uring_open(weft__uring **out, unsigned entries, bool one_thread)
{
    int err = lib_load();
    if (err < 0)
        return -ENOSYS;
    weft__uring *r = weft__calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    err = open_ring(&r->ring, entries, one_thread);
    if (err < 0)
        goto fail_free;
    const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;
    if ((r->ring.features & needed) != needed) {
        err = -ENOSYS;
        goto fail_ring;
    }
    if (one_thread)
        lib.io_uring_register_ring_fd(&r->ring); /* saves a look-up in each enter; without it all works too */
    *out = r;
    return err;
fail_ring:
    lib.io_uring_queue_exit(&r->ring);
fail_free:
    weft__free(r);
    return err;
}

void weft__uring_close(weft__uring *r)
{
    lib.io_uring_queue_exit(&r->ring);
    if (r->buffers != NULL)
        weft__sys_unmap(r->buffers, r->entries * sizeof(struct io_uring_buf));
    weft__free(r);
}

int weft__uring_fd(const weft__uring *r)
{
    return r->ring.ring_fd;
}

/* Whether the kernel has something that only a call fetches: deferred completions, results beyond the ring's size. */
static bool must_fetch(const struct io_uring *ring)
{
    return (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

int weft__uring_enter(weft__uring *r, int64_t until_ns)
{
    struct io_uring *ring = &r->ring;
    int err;
    if (until_ns <= 0 || io_uring_cq_ready(ring) > 0) {
        bool submit = io_uring_sq_ready(ring) > 0;
        if (!submit && !must_fetch(ring))
            return 0;
        err = weft__sys_fault(WEFT__SYS_URING_ENTER);
        if (err == 0)
            err = submit ? lib.io_uring_submit_and_get_events(ring) : lib.io_uring_get_events(ring);
        return err < 0 ? err : 0;
    }
    err = weft__sys_fault(WEFT__SYS_URING_ENTER);
    if (err < 0)
        return err;
    struct io_uring_cqe *cqe;
    if (until_ns == INT64_MAX) {
        err = lib.io_uring_submit_and_wait(ring, 1);
    } else {
        int64_t left = until_ns - weft__sys_now();
        if (left < 0)
            left = 0;
        struct __kernel_timespec t = {left / 1000000000, left % 1000000000};
        err = lib.io_uring_submit_and_wait_timeout(ring, &cqe, 1, &t, NULL);
    }
    return err < 0 && err != -ETIME ? err : 0;
}

bool weft__uring_next(weft__uring *r, weft__uring_event *e)
{
    struct io_uring *ring = &r->ring;
    unsigned head = *ring->cq.khead;
    if (head == io_uring_smp_load_acquire(ring->cq.ktail))
        return false;
    const struct io_uring_cqe *cqe = &ring->cq.cqes[head & ring->cq.ring_mask];
    e->tag = cqe->user_data;
    e->result = cqe->res;
    e->buffer = cqe->flags & IORING_CQE_F_BUFFER ? (int32_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT) : -1;
    e->more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    io_uring_cq_advance(ring, 1);
    return true;
}

/* A free place in the queue; hands the queue over when it is full. */
static int take_sqe(weft__uring *r, struct io_uring_sqe **sqe)
{
    while ((*sqe = io_uring_get_sqe(&r->ring)) == NULL) {
        int err = weft__sys_fault(WEFT__SYS_URING_ENTER);
        if (err == 0)
            err = lib.io_uring_submit(&r->ring);
        if (err < 0 && err != -EINTR)
            return err;
    }
    r->serial++;
    return 0;
}

uint32_t weft__uring_serial(const weft__uring *r)
{
    return r->serial;
}

/* Those that the kernel has not taken: from its own head on, because a hand-over may have stopped half way. */
static unsigned count_queued(const struct io_uring *ring)
{
    return ring->sq.sqe_tail - io_uring_smp_load_acquire(ring->sq.khead);
}

bool weft__uring_is_queued(const weft__uring *r, uint32_t serial)
{
    return r->serial - serial < count_queued(&r->ring);
}

void weft__uring_withdraw(weft__uring *r, uint64_t tag, uint64_t mask)
{
    for (unsigned i = count_queued(&r->ring); i > 0; i--) {
        struct io_uring_sqe *sqe = &r->ring.sq.sqes[(r->ring.sq.sqe_tail - i) & r->ring.sq.ring_mask];
        if ((sqe->user_data & mask) == (tag & mask))
            sqe->fd = -1;
    }
}

int weft__uring_poll(weft__uring *r, int fd, unsigned events, bool multishot, uint64_t tag)
{
    struct io_uring_sqe *sqe;
    int err = take_sqe(r, &sqe);
    if (err < 0)
        return err;
    io_uring_prep_poll_add(sqe, fd, events);
    if (multishot)
        sqe->len = IORING_POLL_ADD_MULTI;
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int weft__uring_recv(weft__uring *r, int fd, uint64_t tag)
{
    struct io_uring_sqe *sqe;
    int err = take_sqe(r, &sqe);
    if (err < 0)
        return err;
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    if (weft__sys_fault(WEFT__SYS_URING_RECV) < 0)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int weft__uring_accept(weft__uring *r, int fd, uint64_t tag)
{
    struct io_uring_sqe *sqe;
    int err = take_sqe(r, &sqe);
    if (err < 0)
        return err;
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int weft__uring_send(weft__uring *r, int fd, const struct msghdr *msg, int flags, uint64_t tag)
{
    struct io_uring_sqe *sqe;
    int err = take_sqe(r, &sqe);
    if (err < 0)
        return err;
    flags |= MSG_NOSIGNAL;
    if (msg->msg_iovlen == 1)
        io_uring_prep_send(sqe, fd, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
    else
        io_uring_prep_sendmsg(sqe, fd, msg, (unsigned)flags);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int weft__uring_cancel(weft__uring *r, uint64_t target, uint64_t tag)
{
    struct io_uring_sqe *sqe;
    int err = take_sqe(r, &sqe);
    if (err < 0)
        return err;
    io_uring_prep_cancel64(sqe, target, 0);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int weft__uring_buffers_open(weft__uring *r, unsigned entries)
{
    void *memory;
    int err = weft__sys_map(&memory, entries * sizeof(struct io_uring_buf));
    if (err < 0)
        return err;
    struct io_uring_buf_reg reg;
    memset(&reg, 0, sizeof reg);
    reg.ring_addr = (uintptr_t)memory;
    reg.ring_entries = entries;
    reg.bgid = BUFFER_GROUP;
    err = weft__sys_fault(WEFT__SYS_URING_SETUP);
    if (err == 0)
        err = lib.io_uring_register_buf_ring(&r->ring, &reg, 0);
    if (err < 0) {
        weft__sys_unmap(memory, entries * sizeof(struct io_uring_buf));
        return err;
    }
    r->buffers = memory;
    r->entries = entries;
    io_uring_buf_ring_init(r->buffers);
    return 0;
}

void weft__uring_buffer_put(weft__uring *r, void *data, unsigned size, unsigned id)
{
    io_uring_buf_ring_add(r->buffers, data, size, (unsigned short)id, io_uring_buf_ring_mask(r->entries), (int)r->put);
    r->put++;
}

void weft__uring_buffer_publish(weft__uring *r)
{
    if (r->put > 0)
        io_uring_buf_ring_advance(r->buffers, (int)r->put);
    r->put = 0;
}

#else

int weft__uring_open(weft__uring **r, unsigned entries, bool one_thread)
{
    (void)r, (void)entries, (void)one_thread;
    return -ENOSYS;
}

void weft__uring_close(weft__uring *r)
{
    (void)r;
}

int weft__uring_fd(const weft__uring *r)
{
    (void)r;
    return -1;
}

int weft__uring_enter(weft__uring *r, int64_t until_ns)
{
    (void)r, (void)until_ns;
    return -ENOSYS;
}

bool weft__uring_next(weft__uring *r, weft__uring_event *e)
{
    (void)r, (void)e;
    return false;
}

int weft__uring_poll(weft__uring *r, int fd, unsigned events, bool multishot, uint64_t tag)
{
    (void)r, (void)fd, (void)events, (void)multishot, (void)tag;
    return -ENOSYS;
}

int weft__uring_recv(weft__uring *r, int fd, uint64_t tag)
{
    (void)r, (void)fd, (void)tag;
    return -ENOSYS;
}

int weft__uring_accept(weft__uring *r, int fd, uint64_t tag)
{
    (void)r, (void)fd, (void)tag;
    return -ENOSYS;
}

int weft__uring_send(weft__uring *r, int fd, const struct msghdr *msg, int flags, uint64_t tag)
{
    (void)r, (void)fd, (void)msg, (void)flags, (void)tag;
    return -ENOSYS;
}

int weft__uring_cancel(weft__uring *r, uint64_t target, uint64_t tag)
{
    (void)r, (void)target, (void)tag;
    return -ENOSYS;
}

uint32_t weft__uring_serial(const weft__uring *r)
{
    (void)r;
    return 0;
}

bool weft__uring_is_queued(const weft__uring *r, uint32_t serial)
{
    (void)r, (void)serial;
    return false;
}

void weft__uring_withdraw(weft__uring *r, uint64_t tag, uint64_t mask)
{
    (void)r, (void)tag, (void)mask;
}

int weft__uring_buffers_open(weft__uring *r, unsigned entries)
{
    (void)r, (void)entries;
    return -ENOSYS;
}

void weft__uring_buffer_put(weft__uring *r, void *data, unsigned size, unsigned id)
{
    (void)r, (void)data, (void)size, (void)id;
}

void weft__uring_buffer_publish(weft__uring *r)
{
    (void)r;
}

#endif
