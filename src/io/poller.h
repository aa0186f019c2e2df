/* poller.h - how a scheduler thread learns about descriptors: one interface, five back ends, each a const table of
 * functions (select, poll, epoll, epoll-et, uring). The waiting of streams and coroutines and the server stand on it.
 *
 * A *slot* is one descriptor's registration. It lies in memory of its owner, who fills `fn` and `fd` and adds it to
 * the poller of his own thread. All calls here but weft__poller_interrupt are made by the poller's thread only;
 * others reach it by weft__sched_call. A slot is in one of three modes at a time:
 *   readiness  event(slot, events) tells that reading or writing would not wait   (weft__slot_want)
 *   receive    received(slot, buffer, n) brings the bytes themselves              (weft__recv_start)
 *   accept     accepted(slot, fd) brings connections                              (weft__accept_start)
 * Sending (weft__send_start) goes beside any of them. The last three are what io_uring does in the kernel; the other
 * back ends do them by readiness (ready.c), so that an owner is written once.
 *
 * P1 callbacks run on the poller's thread, on its own stack, inside poll: they must not park; they may add, remove,
 *    start and stop any slot, free the memory of their own and make coroutines ready.
 * P2 after weft__slot_remove no event, received or accepted comes for the slot, and its memory may go at once: back
 *    ends clear it out of the batch under way. Remove a slot before its descriptor is closed.
 * P3 a send that was started belongs to the back end until its done, which comes exactly once, also after a remove.
 * P4 a buffer that was delivered belongs to the receiver until weft__buffer_release.
 * P5 a poller without anything to tell sleeps: no back end wakes without cause, errors stop what caused them. */
#ifndef WEFT_IO_POLLER_H
#define WEFT_IO_POLLER_H

#include <weft/poller.h>

#include "base/list.h"
#include "park/waiter.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct weft__poller weft__poller;
typedef struct weft__fd_slot weft__fd_slot;
typedef struct weft__send weft__send;

/* ---- buffers: lent by the poller, one receive each ---- */

enum {
    WEFT__BUFFER_STRIDE = 16384 /* bytes of memory a buffer takes, head included */
};

typedef struct weft__buffer {
    struct weft__buffer *next; /* the holder's while lent */
    uint32_t size;             /* bytes of data that fit */
    uint32_t used;             /* bytes that were received; the holder may use it as it likes */
    uint64_t spare;            /* the holder's */
    char data[];
} weft__buffer;

/* A buffer of the poller's, for any purpose; NULL when out of memory. The last given back comes first: it is warm. */
weft__buffer *weft__buffer_take(weft__poller *p);
void weft__buffer_release(weft__poller *p, weft__buffer *b);

/* For whoever sleeps in the poller: until when, at the most, so that what was not needed for a second can be given back
 * to the kernel; gives it back when it is time. */
int64_t weft__buffers_until(weft__poller *p, int64_t until_ns);
void weft__buffers_look(weft__poller *p);
/* How many are not free: with owners, or with the kernel. */
unsigned weft__buffers_lent(const weft__poller *p);

void weft__buffers_free(weft__poller *p); /* all of them, at the end */

/* ---- slots ---- */

typedef struct weft__slot_fn {
    /* Events are WEFT_POLLIN, WEFT_POLLOUT, WEFT_POLLRDHUP, WEFT_POLLHUP, WEFT_POLLERR. Level pollers tell as long as
     * it is so, edge pollers (p->ops->edge) when it becomes so: at add, at want and at each later arrival. An owner
     * that ignores an event must therefore remember it, and on level pollers want less until he cares again. */
    void (*event)(weft__fd_slot *slot, unsigned events);

    /* n > 0: so many bytes are in b, which is now the owner's. n == 0: the peer's end of input; n < 0: -errno; then b
     * is NULL and the receiving has stopped. -ENOBUFS: out of memory; may be started again. */
    void (*received)(weft__fd_slot *slot, weft__buffer *b, ssize_t n);

    /* fd >= 0: a connection, non-blocking and close-on-exec, now the owner's. fd < 0: -errno, and the accepting has
     * stopped until it is started again (-EMFILE, -ENFILE, -ENOMEM, -ENOBUFS: after making room); connections that were
     * aborted before they were accepted are not told. */
    void (*accepted)(weft__fd_slot *slot, int fd);
} weft__slot_fn;

/* Bits of `flags`. */
enum {
    WEFT__SLOT_OUT_ONCE = 1, /* weft__slot_want_out_once is under way */
    WEFT__SLOT_READY = 2,    /* edge, ready.c: reading would not wait, as far as we know */
    WEFT__SLOT_ENDED = 4,  /* edge, ready.c: the end or an error lies behind the bytes: a short read is not the last */
    WEFT__SLOT_SHARED = 8, /* weft__accept_share */
    WEFT__SLOT_ENDS = 16   /* weft__slot_tell_ends */
};

enum weft__slot_mode {
    WEFT__SLOT_READINESS,
    WEFT__SLOT_RECEIVE,
    WEFT__SLOT_ACCEPT
};

struct weft__fd_slot {
    const weft__slot_fn *fn; /* owner's; set before add */
    weft__poller *poller;    /* where it is registered; NULL: nowhere */
    int fd;                  /* owner's; set before add */
    uint16_t events;         /* wanted in readiness mode: WEFT_POLLIN, WEFT_POLLOUT, WEFT_POLLPRI, WEFT_POLLRDHUP */
    uint8_t mode;            /* enum weft__slot_mode */
    bool on;                 /* receiving or accepting is started */
    /* Back ends' own. */
    uint16_t armed; /* what the kernel has been told to look for */
    uint8_t flags;
    uint8_t burst;      /* connections accepted at a time; adapts */
    uint32_t index;     /* place in the back end's table */
    void *op;           /* the operation in the kernel */
    weft__send *sends;  /* started and not done, oldest first */
    weft__list pending; /* is to be looked at again without being asked */
};

/* Register slot->fd, in readiness mode with `events` wanted. With 0 nothing is told, errors neither, until want,
 * recv_start or accept_start, which then give these errors too. Returns 0; -EPERM: it never waits (a file); -EEXIST:
 * this poller has it already (select, epoll); -EBADF; -EMFILE: above 1023 in select; -ENOMEM, -ENOSPC. */
int weft__slot_add(weft__poller *p, weft__fd_slot *slot, unsigned events);

/* From now on tell `events`, in readiness mode; 0: nothing. What is so already is told by the next poll. 0 or -errno */
int weft__slot_want(weft__fd_slot *slot, unsigned events);

/* In readiness mode: errors, hang-ups and the peer's end, if that is wanted, are to be told as what they are also where
 * the kernel calls them input and output (select: at the price of a call). After weft__slot_add. */
void weft__slot_tell_ends(weft__fd_slot *slot);

/* Take the slot out (P2). Sends under way get -ECANCELED soon. Removing what is not registered does nothing. */
void weft__slot_remove(weft__fd_slot *slot);

/* After a remove: the kernel lets go of the descriptor now, so that closing it ends its connection or frees its port at
 * once. Without it io_uring would hold the descriptor until the next poll; there it is a call. */
void weft__poller_let_go(weft__poller *p);

/* Writability once, in any mode: event(slot, WEFT_POLLOUT | ...) comes when a send would not wait, then no more. For
 * sendfile. Starting it twice is once; weft__slot_remove ends it. 0 or -errno. */
int weft__slot_want_out_once(weft__fd_slot *slot);

/* Bring me what arrives, from now on, until stop, end or error. 0 or -errno. Starting what is started does nothing. */
int weft__recv_start(weft__fd_slot *slot);

/* No more for now (the owner has enough unread). Bytes that were already under way may still be delivered. */
void weft__recv_stop(weft__fd_slot *slot);

/* Bring me connections, until stop or error; some that were under way may still come after stop. 0 or -errno. */
int weft__accept_start(weft__fd_slot *slot);
void weft__accept_stop(weft__fd_slot *slot);

/* Other processes accept from the same socket: of those that sleep the kernel is to wake one for each connection, where
 * it can (epoll; io_uring always does so). So nobody who has been told to stop may stay in its list, and who stops has
 * accepted at least one since it was woken, or starts again within a moment, or looks into the queue itself. After
 * weft__slot_add, before accept_start. */
void weft__accept_share(weft__fd_slot *slot);

/* Let the other processes have the next ones, if they sleep: go to the end of the kernel's list. 0 or -errno, and then
 * the accepting has stopped. */
int weft__accept_stand_back(weft__fd_slot *slot);

/* After accept_stop: no connection will come any more. */
bool weft__accept_stopped(const weft__fd_slot *slot);

/* ---- sends ---- */

struct weft__send {
    /* Owner's; set before start. Result: all bytes, or -errno (-EPIPE, -ECONNRESET, -ECANCELED ...). */
    void (*done)(weft__send *s, ssize_t result);
    struct iovec *iov; /* advanced as parts leave; iov and bytes stay until done */
    unsigned niov;     /* 1 to 64 */
    unsigned flags;    /* WEFT__SEND_... */
    /* Back end's. */
    weft__fd_slot *slot; /* NULL once the slot was removed */
    weft__send *next;
    size_t sent; /* so far: moves as long as the peer takes anything */
    struct msghdr msg;
    bool in_kernel;
    uint32_t serial;
};

enum {
    WEFT__SEND_MORE = 1, /* MSG_MORE: more follows at once */
    WEFT__SEND_NOW = 2   /* try a call here and now, also where sends could be batched: a file or the end follows */
};

/* Send all of it, after those started before on this slot. Returns the byte count: all left at once and done will not
 * be called; -EINPROGRESS: done will be called, never from inside this call; other -errno: failed, no done either. */
ssize_t weft__send_start(weft__fd_slot *slot, weft__send *s);

/* Hurry it up: done comes soon, with -ECANCELED unless it was complete. A part may have left. */
void weft__send_cancel(weft__send *s);

/* ---- pollers ---- */

/* `round` of those that receive by themselves: so many buffers, which share the same sets of the processor's caches,
 * stay there until their bytes are looked at. io_uring's are filled by the kernel, and it hands over what a round asks
 * for in one call. */
enum {
    WEFT__ROUND = 32,
    WEFT__ROUND_URING = 256
};

/* A back end. Those that know readiness only take the functions of ready.c for the middle part. */
typedef struct weft__poller_ops {
    const char *name;
    bool edge;
    unsigned round; /* slots that a scheduler's poll serves before coroutines have their turn */

    /* Allocate and open; zero but for ops and interrupt_fd, which is watched from now on. one_thread: only the opening
     * thread will ever call. 0, or -errno with nothing left open. */
    int (*open)(weft__poller **p, int interrupt_fd, bool one_thread);
    void (*close)(weft__poller *p);

    /* Ask the kernel; sleep until something is to be told, until_ns (<= 0: do not sleep) or an interrupt; call
     * weft__poller_woke; then make callbacks for at most `max` slots: the rest is kept. Their number, or -errno. */
    int (*poll)(weft__poller *p, int64_t until_ns, unsigned max);

    int (*update)(weft__poller *p, weft__fd_slot *slot);  /* events, mode or on changed, or out-once was asked for */
    void (*remove)(weft__poller *p, weft__fd_slot *slot); /* P2; slot->sends is empty already */
    ssize_t (*send)(weft__poller *p, weft__send *s);      /* pre: s is first on its slot's list. As weft__send_start */
    void (*cancel)(weft__poller *p, weft__send *s);       /* pre: s is out of its slot's list, s->slot is NULL */

    /* For ready.c: look for these from now on; 0: for nothing, and then it never fails. Edge: tell what is so already.
     */
    int (*arm)(weft__poller *p, weft__fd_slot *slot, unsigned events);
    int (*pollable)(weft__poller *p); /* a descriptor that will be readable when poll has something to tell; -1: none */
    void (*look)(weft__poller *p);    /* may be NULL. Once a second while p->ahead > 0: keep fewer, if fewer will do */

    /* NULL: there is no order among those who wait. 0 or -errno. */
    int (*stand_back)(weft__poller *p, weft__fd_slot *slot);

    /* NULL: never. Connections may still come to a slot whose accepting has been stopped. */
    bool (*accepts)(const weft__fd_slot *slot);

    /* As weft__poller_let_go. NULL: remove does it. */
    void (*let_go)(weft__poller *p);
} weft__poller_ops;

extern const weft__poller_ops weft__poller_select, weft__poller_poll, weft__poller_epoll, weft__poller_epoll_et,
    weft__poller_uring;

/* What all back ends have in common; each embeds it first. */
struct weft__poller {
    const weft__poller_ops *ops;
    int interrupt_fd;       /* an eventfd, watched like any other descriptor */
    bool scheduler;         /* a scheduler thread sleeps in it */
    bool interrupted;       /* seen in this poll */
    uint32_t slots;         /* registered */
    weft__fd_slot *current; /* whose callback is running; NULL once it was removed */
    weft__list pending;     /* slots to be looked at in the next poll */
    weft__send *cancelled;  /* sends whose done is to be called in the next poll */
    weft__buffer **free;    /* buffer.c: a stack of the free buffers */
    void **slabs;           /* the memory of all */
    uint32_t slab_count, free_count;
    uint32_t clean, least;                 /* B1, B2 of buffer.c */
    uint32_t ahead;                        /* buffers that the back end keeps ready beyond what it began with */
    int64_t look_at;                       /* when to look after buffers; 0: not at all */
    struct weft__shared_watch *shared[64]; /* watch.c: waits without a watch of their own, by descriptor */
    uint64_t polls;                        /* how often the kernel was asked; for tests and reports */
    uint64_t events;                       /* callbacks made */
};

/* The back end of this name; NULL: what weft_io_use, else the environment (WEFT_POLLER), else the default says. 0, or
 * -EINVAL for an unknown name. */
int weft__poller_ops_by_name(const char *name, const weft__poller_ops **ops);

/* Open a poller. uring becomes epoll, with one warning, where the kernel does not have it or does not let us. */
int weft__poller_open(weft__poller **p, const weft__poller_ops *ops, bool one_thread);
void weft__poller_close(weft__poller *p);

/* One round: deferred callbacks, then ops->poll. Returns callbacks made, 0, or -errno. */
int weft__poller_run(weft__poller *p, int64_t until_ns, unsigned max);

/* The present or the next poll returns at once. From any thread. */
void weft__poller_interrupt(weft__poller *p);

/* For back ends: the sleep is over. */
void weft__poller_woke(weft__poller *p);

/* The calling scheduler thread's poller, opened at first need. -ENOTSUP on threads that are no scheduler, -EINVAL when
 * WEFT_POLLER names no poller, or what open gave. For coroutines and callbacks. */
int weft__poller_here(weft__poller **p);

/* Make the scheduler threads' idle hook ours; cheap when done. 0, or -EINVAL when WEFT_POLLER names no poller. */
int weft__io_start(void);

/* Counts the forks that this process comes from: what was registered in an earlier epoch is registered no more. */
extern uint32_t weft__io_epoch; /* atomic for readers; moves only once weft__io_start or this was called: */
void weft__io_watch_fork(void);

#endif
