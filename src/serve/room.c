/* room.c - who gives way when a newcomer finds the server full, or descriptors have run out. For all models.
 *
 *      1. who has been answered and only lingers
 *      2. who has waited longest without a whole request: in the handshake of TLS, or idle, or in the middle of a head
 *         (C2 of serve.h keeps the order), and for a second at least
 *      3. who is at work but has stalled us for more than a second: takes no bytes, sends no body
 *      4. who has waited longest, if not for a second: who has just come and is about to ask is one of these (not where
 *         newcomers stand in line first)
 * so clients that are slow on purpose displace each other and never the quick ones. A look goes over at most SCAN
 * connections and puts those that work to the end, so each newcomer of a flood costs the same.
 * Thread model: under the worker's lock; what is read of a connection is what it was a moment ago, and evicting one
 * that has just begun to work costs that client its request, no more. Processes of one client each show what they wait
 * for; who is chosen is asked, and looks by itself whether it still waits (process_worker.c): it loses no request.
 * Pinned by tests/serve/attack_test.c. */
#include "serve/processes.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    SCAN = 64,
    LONG_MS = WEFT__ROOM_LONG_MS,
    NEVER = 5 /* behind the last rule */
};

static enum weft__room evict(weft_conn *c)
{
    WEFT__COUNT(&c->worker->shed);
    return c->worker->server->model->evict(c, -ECONNABORTED) ? WEFT__ROOM_NOW : WEFT__ROOM_SOON;
}

static unsigned wait_of(const weft_conn *c)
{
    return c->turn != NULL ? load_relaxed(&c->turn->waits) : (unsigned)WEFT__WAIT_NOTHING;
}

static bool waits_for_request(const weft_conn *c)
{
    unsigned state = load_relaxed(&c->state), waits = wait_of(c);
    if (state == WEFT__CONN_IDLE || state == WEFT__CONN_LINGERING)
        return true;
    if (load_relaxed(&c->flags) & WEFT__CONN_BUSY)
        return false;
    return waits == WEFT__WAIT_FIRST || waits == WEFT__WAIT_INPUT;
}

/* Remember in *worst who has stalled us longest. */
static void compare_stall(weft_conn *c, uint32_t now, weft_conn **worst)
{
    bool waits = load_relaxed(&c->state) == WEFT__CONN_FLUSHING || wait_of(c) != WEFT__WAIT_NOTHING;
    uint32_t stall = now - load_relaxed(&c->stalled);
    if (!waits || load_relaxed(&c->error) < 0 || stall < LONG_MS || stall > INT32_MAX)
        return;
    if (*worst == NULL || stall > now - load_relaxed(&(*worst)->stalled))
        *worst = c;
}

static void to_the_end(weft__worker *w, weft_conn *c, uint32_t now)
{
    store_relaxed(&c->since, now);
    list_remove(&c->link);
    list_push_back(&w->waiting, &c->link);
}

/* Would a newcomer only stand in line, if there were room? */
static bool stands_in_line(const weft_server *s)
{
    return s->inner->fixed && s->options.threads < s->options.max_connections;
}

enum weft__room weft__room_make(weft__worker *w, bool descriptors)
{
    uint32_t now = weft__server_ms(w->server);
    unsigned looked = 0;
    weft_conn *worst = NULL, *young = NULL;
    list_each (l, &w->lingering) {
        weft_conn *c = container_of(l, weft_conn, link);
        if (descriptors || !(c->flags & WEFT__CONN_REFUSED)) {
            weft__conn_end(c);
            return WEFT__ROOM_NOW;
        }
        if (looked++ == SCAN)
            break;
    }
    looked = 0;
    if (!list_empty(&w->shaking)) {
        young = container_of(w->shaking.next, weft_conn, link);
        if (now - young->since >= LONG_MS)
            return evict(young);
    }
    list_each_safe (l, &w->waiting) {
        weft_conn *c = container_of(l, weft_conn, link);
        if (looked++ == SCAN)
            break;
        bool waits = load_relaxed(&c->error) == 0 && waits_for_request(c);
        if (waits && now - load_relaxed(&c->since) < LONG_MS) {
            if (young == NULL)
                young = c;
            continue;
        }
        to_the_end(w, c, now);
        if (waits)
            return evict(c);
        compare_stall(c, now, &worst);
    }
    looked = 0;
    list_each (l, &w->flushing) {
        if (looked++ == SCAN)
            break;
        compare_stall(container_of(l, weft_conn, link), now, &worst);
    }
    if (worst != NULL)
        return evict(worst);
    if (young == NULL || stands_in_line(w->server))
        return WEFT__ROOM_NONE;
    if (load_relaxed(&young->state) != WEFT__CONN_SHAKING)
        to_the_end(w, young, now);
    return evict(young);
}

/* ---- processes of one client each ---- */

/* By which of the rules above it gives way; NEVER. */
static unsigned rule_of(unsigned waits, uint32_t age)
{
    if (waits == WEFT__SEAT_LINGERS)
        return 1;
    if (waits == WEFT__SEAT_IDLES)
        return age >= LONG_MS ? 2 : 4;
    return waits == WEFT__SEAT_STALLS && age >= LONG_MS ? 3 : NEVER;
}

static int choose(const weft__seats *s, uint32_t now)
{
    int chosen = -1;
    unsigned first = NEVER;
    uint32_t longest = 0;
    for (unsigned i = 0; i < s->n; i++) {
        uint64_t waits = load_relaxed(&s->all[i].waits);
        uint32_t age = now - (uint32_t)(waits >> 8);
        if (age > INT32_MAX) /* it has begun to wait since we looked at the clock */
            age = 0;
        unsigned rule = load_relaxed(&s->all[i].asked) ? NEVER : rule_of(waits & 0xff, age);
        if (rule < first || (rule == first && chosen >= 0 && age > longest)) {
            chosen = (int)i;
            first = rule;
            longest = age;
        }
    }
    return chosen;
}

void weft__seats_take(weft__seats *s, unsigned i, uint32_t now)
{
    weft__seat_show(&s->all[i], WEFT__SEAT_IDLES, now);
}

void weft__seats_leave(weft__seats *s, unsigned i)
{
    weft__seat *seat = &s->all[i];
    s->asked -= load_relaxed(&seat->asked);
    store_relaxed(&seat->asked, 0);
    weft__seat_show(seat, WEFT__SEAT_WORKS, 0);
}

int weft__seats_ask(weft__seats *s, uint32_t now)
{
    int i = s->asked < WEFT__SEATS_MORE ? choose(s, now) : -1;
    if (i < 0)
        return -1;
    store_seq_cst(&s->all[i].asked, 1);
    s->asked++;
    s->asked_at = weft__sys_now();
    return i;
}

bool weft__seats_coming(const weft__seats *s)
{
    return s->asked > 0 && weft__sys_now() - s->asked_at < LONG_MS * WEFT_MS;
}
