/* packet.h - what the files of the datagram server share. packet.c: options, sockets, answers, counts; packet_peers.c:
 * who sends, and what of it is taken in hand; packet_run.c: receiving, calling handlers, the stop; packet_process.c: a
 * process for each peer.
 *
 * A *mail* is what a worker (serve.h) has instead of connections: a socket, slots for the datagrams in hand, and peers.
 * M1  a slot is free, or in the line of its peer, or with the one handler that runs for this peer: `used` counts the
 *     latter two. Everything but a slot's bytes, while it is out, is touched under `lock`, which nobody keeps while he
 *     waits.
 * M2  a peer with something in its line and no handler stands in `ready` once, or has a thread of its own.
 * M3  only the receiver receives; it is to be cancelled while `receiving`.
 * M4  answers are gathered in `out` while the receiver has promised to flush it (`gathering`) and nobody is at it
 *     (`out_busy`). */
#ifndef WEFT_SERVE_PACKET_H
#define WEFT_SERVE_PACKET_H

#include <weft/datagram.h>
#include <weft/packet.h>

#include "serve/serve.h"

enum {
    WEFT__MAIL_BATCH = 64 /* datagrams that are received, and answers that are sent, at once */
};

typedef struct weft__peer weft__peer;
typedef struct weft__mail weft__mail;

typedef struct weft__slot {
    struct weft__slot *next;
    weft__peer *peer;
    weft_address from;
    uint32_t size;
    char *data;
} weft__slot;

struct weft__peer {
    weft__peer *next;  /* in its chain */
    weft__list by_age; /* who may go first, is to go first: as a rule who has been silent longest */
    weft__list ready;  /* M2 */
    weft__mail *mail;
    weft__slot *first, **last;
    weft_address address;
    uint32_t count;   /* datagrams in its line and with its handler */
    uint32_t word;    /* atomic: its thread sleeps on it */
    bool running;     /* it has a handler at work, a thread or a process */
    bool leaving;     /* its thread is to end */
    int64_t seen;     /* when something came last */
    int64_t due;      /* the rate: what it sends is early before this */
    unsigned process; /* packet_process.c: which */
};

/* A handler call; on its caller's stack. */
typedef struct weft__call_turn {
    weft__list link;
    weft__waiter *waiter;
} weft__call_turn;

enum weft__mail_kind {
    WEFT__MAIL_INLINE, /* the receiver calls the handlers */
    WEFT__MAIL_LOOP,   /* coroutines of its thread do */
    WEFT__MAIL_POOL,   /* so many threads do */
    WEFT__MAIL_EACH    /* a thread for each peer does */
};

struct weft__mail {
    weft_server *server;
    weft__worker *worker; /* its `coming`: threads and coroutines of handlers, and notifications, as in thread.c */
    weft_datagram *socket;
    enum weft__mail_kind kind;
    uint64_t *counts; /* in the worker's record */
    weft_lock lock;

    weft__peer **chains, *free_peers, *peers;
    weft__list by_age;
    unsigned nchains, npeers, max_peers; /* nchains: a power of two */
    weft__slot *slots, *free;
    char *memory;
    unsigned used;
    weft__list ready, turns;
    bool starving;      /* the receiver waits for a slot */
    bool draining, cut; /* the stop has begun; the grace is over */
    bool receiving;     /* M3 */
    bool runner_coming; /* WEFT__MAIL_LOOP */
    bool over;          /* all is done: threads that look after something end */
    weft__waiter *receiver;
    unsigned ntaken; /* slots that wait for what will be received */

    weft_datagram_item items[WEFT__MAIL_BATCH], out[WEFT__MAIL_BATCH]; /* received; gathered */
    weft__slot *taken[WEFT__MAIL_BATCH];                               /* whose rooms `items` are */
    char *out_bytes;
    unsigned out_count, out_used;
    bool gathering, out_busy;
    int64_t gathered; /* when the first of `out` was */
};

enum weft__packet_count {
    WEFT__PACKET_RECEIVED,
    WEFT__PACKET_HANDLED,
    WEFT__PACKET_TOO_LARGE,
    WEFT__PACKET_OVER_RATE,
    WEFT__PACKET_TOO_MANY,
    WEFT__PACKET_NO_ROOM,
    WEFT__PACKET_CUT,
    WEFT__PACKET_ANSWERED,
    WEFT__PACKET_UNSENT
};

static inline void weft__mail_count(weft__mail *m, enum weft__packet_count what, uint64_t n)
{
    add_relaxed(&m->counts[what], n);
}

/* ---- packet.c ---- */

/* Send what is gathered. */
void weft__mail_flush(weft__mail *m);

/* Call the handler for one datagram. */
void weft__mail_call(weft__mail *m, weft_packet *p);

/* ---- packet_peers.c ---- */

/* A mail for w on the socket, which is m's from now on; 0 or -errno. `rooms`: slots for datagrams. And its end. */
int weft__mail_open(weft__mail **m, weft__worker *w, int fd, bool rooms);
void weft__mail_close(weft__mail *m);

/* Whose datagram this is, to *p, and that peer's time of being silent begins anew. Or why it is not taken, a
 * weft__packet_count; 0: it is. Pre: locked. */
int weft__peer_admit(weft__mail *m, const weft_datagram_item *item, int64_t now, weft__peer **p);

/* Put down that one was dropped, and tell on_drop. */
void weft__mail_drop(weft__mail *m, const weft_address *from, size_t size, enum weft__packet_count what);

/* The longest silent, NULL: there is none. Pre: locked. */
weft__peer *weft__peer_oldest(weft__mail *m);

/* p's thread or process has ended: of all peers it is the first who may go. Pre: locked. */
void weft__peer_left(weft__mail *m, weft__peer *p);

/* Forget p, which is neither running nor in a line. Pre: locked. */
void weft__peer_forget(weft__mail *m, weft__peer *p);

/* ---- packet_run.c ---- */

/* Count what a process that ended had in hand. */
void weft__packet_bury(weft__worker *w);

/* ---- packet_process.c ---- */

/* The supervisor of the model "process"; its argument. */
int weft__packet_supervise(void *server);

#endif
