/* packet.c - servers for datagrams: options, answers, counts. packet_run.c has the models.
 * Pinned by tests/serve/packet_test.c. */
#include "serve/packet.h"
#include "serve/processes.h"

#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    SIZE_DEFAULT = 64 * 1024,
    QUEUE_DEFAULT = 256,
    QUEUE_MOST = 65536,
    PEERS_DEFAULT = 10000,
    PEERS_MOST = 1 << 20,
    SIZE_MOST = 65507,
    OUT_BYTES = 64 * 1024
};

/* ---- options ---- */

static bool has_hooks(const weft_server_options *o)
{
    return o->on_open != NULL || o->on_close != NULL || o->on_refuse != NULL || o->on_plain != NULL ||
           o->state_open != NULL || o->state_tick != NULL || o->state_close != NULL;
}

int weft__packet_options(weft_server *s)
{
    weft_server_options *o = &s->options;
    weft_packet_options *p = &o->packet;
    if (has_hooks(o) || (s->single && (o->on_tell != NULL || o->on_death != NULL)) || p->queue > QUEUE_MOST ||
        p->size_max > SIZE_DEFAULT)
        return -EINVAL;
    if (p->size_max == 0)
        p->size_max = SIZE_DEFAULT;
    if (p->queue == 0)
        p->queue = QUEUE_DEFAULT;
    if (p->peer_queue == 0)
        p->peer_queue = (p->queue + 3) / 4;
    if (o->max_connections == 0)
        o->max_connections = PEERS_DEFAULT;
    if (o->max_connections > PEERS_MOST)
        o->max_connections = PEERS_MOST;
    return 0;
}

unsigned weft__packet_sockets(const weft_server *s)
{
    return s->options.processes > 1 ? s->nworkers * s->options.processes : s->nworkers;
}

/* ---- answers ---- */

/* One by one from the first that could not be sent on. */
static void send_gathered(weft__mail *m, unsigned n)
{
    weft_until until = m->server->options.write_timeout < 0 ? WEFT_FOREVER : weft_in(m->server->options.write_timeout);
    for (unsigned at = 0; at < n;) {
        int sent = weft_datagram_send_many(m->socket, m->out + at, n - at, until);
        if (sent > 0)
            weft__mail_count(m, WEFT__PACKET_ANSWERED, (uint64_t)sent);
        else
            weft__mail_count(m, WEFT__PACKET_UNSENT, 1);
        at += sent > 0 ? (unsigned)sent : 1;
    }
}

void weft__mail_flush(weft__mail *m)
{
    weft_lock_acquire(&m->lock);
    unsigned n = m->out_busy ? 0 : m->out_count;
    m->out_busy |= n > 0;
    weft_lock_release(&m->lock);
    if (n == 0)
        return;
    send_gathered(m, n);
    weft_lock_acquire(&m->lock);
    m->out_count = m->out_used = 0;
    m->out_busy = false;
    weft_lock_release(&m->lock);
}

/* Put it to those that leave together. False: it has to go by itself. */
static bool gather(weft__mail *m, const weft_address *to, const void *data, size_t size)
{
    weft_lock_acquire(&m->lock);
    bool fits = m->gathering && !m->out_busy && m->out_count < WEFT__MAIL_BATCH && size <= OUT_BYTES - m->out_used;
    if (fits) {
        char *at = m->out_bytes + m->out_used;
        if (size > 0)
            memcpy(at, data, size);
        if (m->out_count == 0)
            m->gathered = weft__sys_now();
        m->out[m->out_count++] = (weft_datagram_item){.data = at, .size = size, .address = *to};
        m->out_used += (unsigned)size;
    }
    weft_lock_release(&m->lock);
    return fits;
}

int weft_packet_send(weft_packet *p, const void *data, size_t size, const weft_address *to)
{
    weft__mail *m = p->inner;
    int64_t limit = m->server->options.write_timeout;
    ssize_t n = to->size == 0
                    ? -EDESTADDRREQ
                    : weft_datagram_send(m->socket, data, size, to, limit < 0 ? WEFT_FOREVER : weft_in(limit));
    weft__mail_count(m, n < 0 ? WEFT__PACKET_UNSENT : WEFT__PACKET_ANSWERED, 1);
    return n < 0 ? (int)n : 0;
}

int weft_packet_answer(weft_packet *p, const void *data, size_t size)
{
    weft__mail *m = p->inner;
    bool gathers = m->kind == WEFT__MAIL_INLINE || m->kind == WEFT__MAIL_LOOP;
    /* To a Unix socket an answer may have to wait for its reader, and others are not to wait with it. */
    if (p->from.size == 0 || p->from.any.sa_family == AF_UNIX)
        gathers = false;
    if (gathers && m->out_bytes != NULL && size <= SIZE_MOST) {
        if (gather(m, &p->from, data, size))
            return 0;
        weft__mail_flush(m); /* those before it first */
        if (gather(m, &p->from, data, size))
            return 0;
    }
    return weft_packet_send(p, data, size, &p->from);
}

void weft_packet_flush(weft_packet *p)
{
    weft__mail_flush(p->inner);
}

void weft__mail_call(weft__mail *m, weft_packet *p)
{
    weft__call_turn turn = {.waiter = weft__self()};
    const weft_server_options *o = &m->server->options;
    weft_lock_acquire(&m->lock);
    list_push_back(&m->turns, &turn.link);
    bool cut = m->cut;
    weft_lock_release(&m->lock);
    if (cut)
        weft__mail_count(m, WEFT__PACKET_CUT, 1);
    else
        o->packet.handler(p, o->arg);
    weft_lock_acquire(&m->lock);
    list_remove(&turn.link);
    weft_lock_release(&m->lock);
    if (!cut)
        weft__mail_count(m, WEFT__PACKET_HANDLED, 1);
}

/* ---- counts ---- */

void weft_packet_get_stats(const weft_server *s, weft_packet_stats *stats)
{
    uint64_t sums[WEFT__PACKET_COUNTS] = {0};
    const weft__worker *workers = s->front != NULL ? s->front->workers : s->workers;
    unsigned n = s->front != NULL ? s->front->sets * s->nworkers : s->nworkers;
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < WEFT__PACKET_COUNTS; k++)
            sums[k] += load_relaxed(&workers[i].packets[k]);
    *stats = (weft_packet_stats){.received = sums[WEFT__PACKET_RECEIVED],
                                 .handled = sums[WEFT__PACKET_HANDLED],
                                 .too_large = sums[WEFT__PACKET_TOO_LARGE],
                                 .over_rate = sums[WEFT__PACKET_OVER_RATE],
                                 .too_many = sums[WEFT__PACKET_TOO_MANY],
                                 .no_room = sums[WEFT__PACKET_NO_ROOM],
                                 .cut = sums[WEFT__PACKET_CUT],
                                 .answered = sums[WEFT__PACKET_ANSWERED],
                                 .unsent = sums[WEFT__PACKET_UNSENT],
                                 .lost = load_relaxed(&s->packets_lost)};
    if (!weft__is_packet(s))
        return;
    for (unsigned i = 0; i < weft__packet_sockets(s); i++)
        if (load_relaxed(&s->listeners[i]) >= 0)
            stats->lost += weft__sys_socket_drops(load_relaxed(&s->listeners[i]));
}
