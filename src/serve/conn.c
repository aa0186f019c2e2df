/* conn.c - a connection's record from its first to its last moment, the handler's turns, and what a handler may ask.
 *
 * A record comes from a slab of its worker and goes back there, so ten thousand idle connections are ten thousand
 * records side by side and nothing else. Ids are given by each worker from its own residue class, so they need no
 * common counter. Pinned by tests/serve/conn_test.c and tests/serve/held_test.c. */
#include "serve/per_address.h"
#include "serve/processes.h"
#include "serve/reset.h"

#include "io/watch.h"
#include "sys/file.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum {
    SLAB_CONNS = 64
};

struct slab {
    struct slab *next;
    weft_conn conns[SLAB_CONNS];
};

/* An idle connection's cost is this record (its share of the slab) and what the kernel keeps. */
_Static_assert(sizeof(weft_conn) <= 192, "ten thousand idle connections are to fit in 2 MB");

uint32_t weft__server_ms(const weft_server *s)
{
    return (uint32_t)WEFT__MS_OF(weft__sys_coarse_now() - s->epoch);
}

/* More free records; false when out of memory. */
static bool add_slab(weft__worker *w)
{
    struct slab *slab = weft__calloc(1, sizeof(*slab));
    if (slab == NULL)
        return false;
    slab->next = w->slabs;
    w->slabs = slab;
    for (int i = SLAB_CONNS - 1; i >= 0; i--) {
        slab->conns[i].next = w->free;
        w->free = &slab->conns[i];
    }
    return true;
}

weft_conn *weft__conn_new(weft__worker *w, int fd)
{
    if (w->free == NULL && !add_slab(w))
        return NULL;
    weft_conn *c = w->free;
    w->free = c->next;
    uint32_t now = weft__server_ms(w->server);
    *c = (weft_conn){
        .slot.fd = fd,
        .worker = w,
        .id = w->last_id + w->index + 1,
        .opened = now,
        .since = now,
        .stalled = now,
    };
    w->last_id += w->server->nworkers;
    list_init(&c->link);
    weft_conn_limit_write(c, 0, 0);
    return c;
}

bool weft__conn_may_come(weft_server *s, uint64_t *refused, int fd, uint32_t *place)
{
    *place = 0;
    if (likely(s->per_address == NULL) || weft__per_address_enter(s->per_address, s->child, fd, place))
        return true;
    WEFT__COUNT(refused);
    return false;
}

void weft__conn_give_back(weft_server *s, uint32_t place)
{
    if (unlikely(place != 0))
        weft__per_address_leave(s->per_address, s->child, place);
}

void weft__conn_slabs_free(weft__worker *w)
{
    while (w->slabs != NULL) {
        struct slab *slab = w->slabs;
        w->slabs = slab->next;
        weft__free(slab);
    }
    while (w->outs != NULL) {
        weft__out *o = w->outs;
        w->outs = o->next;
        weft__free(o);
    }
}

void weft__conn_end(weft_conn *c)
{
    weft__worker *w = c->worker;
    weft_server *s = w->server;
    int fd = c->slot.fd;
    bool refused = load_relaxed(&c->flags) & WEFT__CONN_REFUSED;
    bool opened = !(load_relaxed(&c->flags) & (WEFT__CONN_REFUSED | WEFT__CONN_UNOPENED));
    if (opened && s->options.on_close != NULL)
        s->options.on_close(c, s->options.arg);
    weft__conn_give_back(s, c->place); /* before the client can see the end, and come again */
    if (c->tls != NULL)
        weft__secure_close(c);
    s->model->forget(c);
    if (c->out != NULL) {
        if (c->state == WEFT__CONN_FLUSHING && s->options.tls == NULL)
            c->out->conn = NULL; /* the kernel still has it; its done frees it */
        else
            weft__out_free(c->out);
    }
    weft__input_free(c);
    weft__worker_lock(w);
    list_remove(&c->link); /* before the close: whoever finds it in the list may shut its descriptor down */
    weft__worker_unlock(w);
    weft__sys_close(fd);
    weft__worker_lock(w);
    c->id = 0;
    c->next = w->free;
    w->free = c;
    if (refused) {
        w->refused_open--;
    } else {
        store_release(&w->open, w->open - 1); /* all else of it is counted: see weft_server_get_stats */
        sub_acq_rel(&s->open, 1);
    }
    weft__worker_unlock(w);
}

void weft__conn_reset(weft_conn *c)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)weft__sys_setsockopt_value(c->slot.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* ---- turns ---- */

bool weft__conn_has_work(const weft_conn *c)
{
    unsigned flags = load_relaxed(&c->flags);
    return c->unread > c->seen || (c->unread > 0 && (flags & WEFT__CONN_ENDED) && !(flags & WEFT__CONN_TOLD));
}

int weft__turn_run(weft__turn *t)
{
    weft_conn *c = t->conn;
    const weft_server_options *o = &c->worker->server->options;
    int verdict;
    do {
        uint8_t flags = load_relaxed(&c->flags);
        if (unlikely(flags & WEFT__CONN_ENDED))
            store_relaxed(&c->flags, flags | WEFT__CONN_TOLD);
        t->consumed = false;
        verdict = o->handler(c, o->arg);
        if (c->worker->shared)
            add_relaxed(c->worker->tally, 1);
        else
            WEFT__COUNT(&c->worker->calls);
        flags = load_relaxed(&c->flags);
        if (flags & WEFT__CONN_BUSY)
            store_relaxed(&c->flags, flags & ~WEFT__CONN_BUSY);
        c->seen = t->consumed ? 0 : c->unread;
        int err = load_relaxed(&c->error);
        if (unlikely(err < 0))
            verdict = err;
    } while (verdict == WEFT_CONN_IDLE && c->unread > 0 && weft__conn_has_work(c));
    return verdict;
}

void weft_conn_busy(weft_conn *c, int on)
{
    uint8_t flags = load_relaxed(&c->flags);
    store_relaxed(&c->flags, on ? flags | WEFT__CONN_BUSY : flags & ~WEFT__CONN_BUSY);
}

/* ---- about a connection ---- */

int weft_conn_stopping(const weft_conn *c)
{
    return weft__server_stopping(c->worker->server);
}

int weft_conn_crowded(const weft_conn *c)
{
    const weft_server *s = c->worker->server;
    const weft__seat *seat = c->worker->seat;
    if (!s->inner->fixed)
        return seat != NULL && load_relaxed(&seat->asked);
    if (!s->in_child)
        return load_relaxed(&c->worker->open) > s->options.threads;
    weft_server_stats stats;
    weft_server_get_stats(s, &stats);
    if (stats.open < weft_server_capacity(s))
        return 0;
    weft__fd_case next = {.fd = s->listeners[0], .events = WEFT_POLLIN}; /* their line is the kernel's */
    return weft__fd_look(&next, 1) > 0;
}

static int show_address(int err, const weft__address *a, char *text, unsigned *port)
{
    if (err < 0)
        return err;
    if (port != NULL)
        *port = weft__address_port(a);
    return weft__address_host(a, text, WEFT_CONN_ADDRESS_MAX);
}

int weft_conn_peer(const weft_conn *c, char text[WEFT_CONN_ADDRESS_MAX], unsigned *port)
{
    weft__address a;
    int err = weft__sys_peer(c->slot.fd, &a);
    return show_address(err, &a, text, port);
}

int weft_conn_local(const weft_conn *c, char text[WEFT_CONN_ADDRESS_MAX], unsigned *port)
{
    weft__address a;
    int err = weft__sys_local(c->slot.fd, &a);
    return show_address(err, &a, text, port);
}

uint64_t weft_conn_id(const weft_conn *c)
{
    return c->id;
}

int64_t weft_conn_opened(const weft_conn *c)
{
    const weft_server *s = c->worker->server;
    int64_t ms = WEFT__MS_OF(weft__sys_coarse_now() - s->epoch);
    return s->epoch + (ms - (uint32_t)((uint32_t)ms - c->opened)) * WEFT_MS;
}

weft_server *weft_conn_server(const weft_conn *c)
{
    return c->worker->server;
}

void *weft_conn_state(const weft_conn *c)
{
    return c->turn != NULL ? c->turn->state : NULL;
}

void *weft_conn_data(const weft_conn *c)
{
    return c->data;
}

void weft_conn_set_data(weft_conn *c, void *data)
{
    c->data = data;
}
