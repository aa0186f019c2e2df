/* packet_peers.c - who sends datagrams to a server, and the room that there is for them.
 *
 * Peers stand in chains by a hash of their address, which is seeded at random, because addresses can be chosen, and in
 * one list by age, from whose end they are taken again: when they have been silent for the idle time, or when a
 * newcomer finds none free. So addresses that are made up by the million cost what max_connections peers cost.
 * The rate is counted by when the next datagram is due (a leaky bucket as a single number). */
#include "serve/packet.h"

#include "io/datagram.h"
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    CHAINS_LEAST = 64,
    CHAINS_MOST = 16384,
    OUT_BYTES = 64 * 1024,
    FORGET_AT_ONCE = 2,
    LOOKS = 16 /* for one who may go */
};

/* ---- a mail's life ---- */

static int open_rooms(weft__mail *m)
{
    const weft_packet_options *o = &m->server->options.packet;
    /* A line more than the size, so that the slots do not all begin in the same set of the cache. */
    size_t stride = ((o->size_max + 63) & ~(size_t)63) + 64;
    m->slots = weft__calloc(o->queue, sizeof *m->slots);
    m->memory = weft__malloc(o->queue * stride);
    m->out_bytes = weft__malloc(OUT_BYTES);
    if (m->slots == NULL || m->memory == NULL || m->out_bytes == NULL)
        return -ENOMEM;
    for (unsigned i = o->queue; i-- > 0;) {
        m->slots[i].data = m->memory + i * stride;
        m->slots[i].next = m->free;
        m->free = &m->slots[i];
    }
    return 0;
}

int weft__mail_open(weft__mail **out, weft__worker *w, int fd, bool rooms)
{
    weft__mail *m = weft__calloc(1, sizeof *m);
    if (m == NULL) {
        weft__sys_close(fd);
        return -ENOMEM;
    }
    m->server = w->server;
    m->worker = w;
    m->counts = w->packets;
    list_init(&m->by_age);
    list_init(&m->ready);
    list_init(&m->turns);
    m->max_peers = w->server->options.max_connections;
    for (m->nchains = CHAINS_LEAST; m->nchains < m->max_peers && m->nchains < CHAINS_MOST;)
        m->nchains *= 2;
    int err = weft_datagram_adopt(&m->socket, fd);
    if (err == 0)
        err = weft__datagram_forgive(m->socket, w->server->options.packet.on_error, w->server->options.arg);
    if (err == 0) {
        m->chains = weft__calloc(m->nchains, sizeof *m->chains);
        err = m->chains == NULL ? -ENOMEM : rooms ? open_rooms(m) : 0;
    }
    if (err < 0)
        weft__mail_close(m);
    else
        *out = m;
    return err;
}

void weft__mail_close(weft__mail *m)
{
    for (weft__list *l; (l = list_pop_front(&m->by_age)) != NULL;)
        weft__free(container_of(l, weft__peer, by_age));
    for (weft__peer *p; (p = m->free_peers) != NULL;) {
        m->free_peers = p->next;
        weft__free(p);
    }
    weft_datagram_close(m->socket);
    weft__free(m->chains);
    weft__free(m->slots);
    weft__free(m->memory);
    weft__free(m->out_bytes);
    weft__free(m);
}

/* ---- peers ---- */

/* Of a Unix socket; all that have no name (size 0) are one peer, as nobody can tell them apart. */
static bool is_local(const weft_address *a)
{
    return a->size == 0 || a->any.sa_family == AF_UNIX;
}

static weft__peer **chain_of(weft__mail *m, const weft_address *a)
{
    uint64_t parts[(sizeof a->un + 7) / 8] = {0};
    size_t n = 3;
    if (is_local(a)) {
        n = WEFT__ARRAY_LEN(parts);
        memcpy(parts, &a->un, a->size);
    } else {
        parts[2] = weft_address_port(a);
        if (a->any.sa_family == AF_INET6)
            memcpy(parts, &a->in6.sin6_addr, 16);
        else
            memcpy(parts, &a->in.sin_addr, 4);
    }
    uint64_t h = weft__words.seed;
    for (size_t i = 0; i < n; i++)
        h = (h ^ parts[i] ^ h >> 29) * (weft__words.seed ^ UINT64_C(0xff51afd7ed558cce)) + h % 65521;
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return &m->chains[h >> 40 & (m->nchains - 1)];
}

static bool same(const weft_address *a, const weft_address *b)
{
    if (is_local(a) || is_local(b))
        return a->size == b->size && memcmp(&a->un, &b->un, a->size) == 0;
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
           memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

weft__peer *weft__peer_oldest(weft__mail *m)
{
    return list_empty(&m->by_age) ? NULL : container_of(m->by_age.next, weft__peer, by_age);
}

void weft__peer_forget(weft__mail *m, weft__peer *p)
{
    weft__peer **at = chain_of(m, &p->address);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    list_remove(&p->by_age);
    p->next = m->free_peers;
    m->free_peers = p;
    m->npeers--;
}

static bool is_silent(const weft__peer *p)
{
    return p != NULL && !p->running && p->count == 0;
}

/* So that those who stay do not stand before those who may go. */
static void move_back(weft__mail *m, weft__peer *p)
{
    list_remove(&p->by_age);
    list_push_back(&m->by_age, &p->by_age);
}

void weft__peer_left(weft__mail *m, weft__peer *p)
{
    p->running = p->leaving = false;
    list_remove(&p->by_age);
    list_push_front(&m->by_age, &p->by_age);
}

/* A few whose time is over. Costs a look at the oldest. */
static void forget_silent(weft__mail *m, int64_t now)
{
    int64_t limit = m->server->options.idle_timeout;
    for (int i = 0; i < FORGET_AT_ONCE && limit >= 0; i++) {
        weft__peer *p = weft__peer_oldest(m);
        if (p != NULL && p->count > 0)
            move_back(m, p);
        else if (is_silent(p) && now - p->seen >= limit)
            weft__peer_forget(m, p);
        else
            return;
    }
}

/* All places are taken: by one who is silent, who goes; or who has a thread or process, which is told to end. Of those
 * who stay for now, a newcomer's datagram pays for a look at some, and the next one's for the others. */
static bool make_room(weft__mail *m)
{
    weft__peer *p;
    for (int looks = LOOKS; looks > 0 && (p = weft__peer_oldest(m)) != NULL; looks--) {
        if (is_silent(p)) {
            weft__peer_forget(m, p);
            return true;
        }
        move_back(m, p);
        if (p->count == 0 && !p->leaving) {
            p->leaving = true;
            add_seq_cst(&p->word, 1);
            weft__wake(&p->word, 1, 0);
            return false;
        }
    }
    return false;
}

static weft__peer *new_peer(weft__mail *m, const weft_address *a)
{
    weft__peer *p = m->free_peers;
    if (p == NULL)
        p = weft__malloc(sizeof *p);
    else
        m->free_peers = p->next;
    if (p == NULL)
        return NULL;
    *p = (weft__peer){.mail = m, .address = *a};
    p->last = &p->first;
    list_init(&p->ready);
    list_push_back(&m->by_age, &p->by_age);
    m->npeers++;
    return p;
}

/* Who this is; NULL: there is no room for it. */
static weft__peer *peer_of(weft__mail *m, const weft_address *a, int64_t now)
{
    weft__peer **chain = chain_of(m, a), *p;
    for (p = *chain; p != NULL && !same(&p->address, a);)
        p = p->next;
    if (p == NULL) {
        forget_silent(m, now);
        if (m->npeers >= m->max_peers && !make_room(m))
            return NULL;
        p = new_peer(m, a);
        if (p == NULL)
            return NULL;
        p->next = *chain;
        *chain = p;
    } else {
        move_back(m, p);
    }
    p->seen = now;
    return p;
}

/* Whether it may send one now. */
static bool in_time(weft__mail *m, weft__peer *p, int64_t now)
{
    unsigned rate = m->server->options.packet.rate;
    if (rate == 0)
        return true;
    int64_t each = WEFT_SECOND / rate;
    int64_t due = p->due > now ? p->due : now;
    if (due - now > WEFT_SECOND - each)
        return false;
    p->due = due + each;
    return true;
}

int weft__peer_admit(weft__mail *m, const weft_datagram_item *item, int64_t now, weft__peer **p)
{
    if (item->size > m->server->options.packet.size_max)
        return WEFT__PACKET_TOO_LARGE;
    *p = peer_of(m, &item->address, now);
    return *p == NULL ? WEFT__PACKET_NO_ROOM : !in_time(m, *p, now) ? WEFT__PACKET_OVER_RATE : 0;
}

void weft__mail_drop(weft__mail *m, const weft_address *from, size_t size, enum weft__packet_count what)
{
    const weft_server_options *o = &m->server->options;
    weft__mail_count(m, what, 1);
    if (o->packet.on_drop != NULL)
        o->packet.on_drop(from, size,
                          what == WEFT__PACKET_TOO_LARGE   ? -EMSGSIZE
                          : what == WEFT__PACKET_OVER_RATE ? -EBUSY
                          : what == WEFT__PACKET_TOO_MANY  ? -ENOBUFS
                                                           : -EUSERS,
                          o->arg);
}
