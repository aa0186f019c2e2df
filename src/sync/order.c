/* order.c - locks that are taken in both orders, told before they meet; see weft_lock_order_check.
 *
 * While it is on, weft__self_id is 0 for everybody, so that every acquire and release goes the long way (lock.c), which
 * comes here. A graph of locks has an edge from each lock that is held to each that is wanted meanwhile, with both
 * places. A new edge that closes a ring is reported; an edge is new once. Taking without waiting (WEFT_NOW) adds no
 * edge, for it cannot hang.
 *
 * O1  a node is in its holder's list  <=>  holder != 0. Both change under order_lock.
 * O2  a report is put together here and printed by the watch thread: its caller may be a coroutine with a small stack.
 * Lock order: order_lock is a leaf but for malloc's. Held across fork. Pinned by tests/sync/order_test.c. */
#include "sync/order.h"

#include <weft/deadlock.h>

#include "base/panic.h"
#include "park/rawlock.h"
#include "park/report.h"
#include "park/symbol.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 1024,
    STEPS_MAX = 16 /* of a ring, in its report */
};

typedef struct edge {
    struct edge *next;
    struct node *to;
    uint32_t held_at, taken_at; /* low halves of addresses */
} edge;

typedef struct node {
    struct node *next, *next_held;
    const weft_lock *lock;
    const char *what;
    edge *edges;
    uint32_t holder, where;
    uint32_t visit; /* number of the search that has come by */
    struct node *next_found, *from;
    const edge *by;
} node;

typedef struct holder {
    struct holder *next;
    uint32_t id;
    node *held;
} holder;

typedef struct step {
    const weft_lock *taken, *held;
    const char *taken_what, *held_what;
    uint32_t taken_at, held_at;
} step;

typedef struct ring {
    weft__watch_job job; /* first */
    unsigned n;
    step steps[STEPS_MAX];
} ring;

uint32_t weft__order_on;
static WEFT__FORK_PAGE weft__rawlock order_lock;
static node *nodes[BUCKETS];
static holder *holders[BUCKETS];
static uint32_t visits;

/* ---- tables; all under order_lock ---- */

static node **place_of(const weft_lock *l)
{
    node **at = &nodes[((uintptr_t)l >> 2) * UINT32_C(0x9e3779b1) >> 8 & (BUCKETS - 1)];
    while (*at != NULL && (*at)->lock != l)
        at = &(*at)->next;
    return at;
}

/* NULL: no memory, and then this lock is left out. */
static node *node_of(const weft_lock *l, const char *what)
{
    node **at = place_of(l);
    if (*at == NULL && (*at = weft__calloc(1, sizeof **at)) != NULL) {
        (*at)->lock = l;
        (*at)->what = what;
    }
    return *at;
}

static holder **place_of_holder(uint32_t id)
{
    holder **at = &holders[id * UINT32_C(0x9e3779b1) >> 8 & (BUCKETS - 1)];
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void hold(node *n, uint32_t id, uint32_t where)
{
    holder **at = place_of_holder(id);
    if (*at == NULL && (*at = weft__calloc(1, sizeof **at)) == NULL)
        return;
    (*at)->id = id;
    n->holder = id;
    n->where = where;
    n->next_held = (*at)->held;
    (*at)->held = n;
}

static void let_go(node *n)
{
    holder **at = place_of_holder(n->holder), *h = *at;
    n->holder = 0;
    if (h == NULL)
        return;
    node **link = &h->held;
    while (*link != n)
        link = &(*link)->next_held;
    *link = n->next_held;
    if (h->held == NULL) {
        *at = h->next;
        weft__free(h);
    }
}

static void drop_edges(node *from, const node *to)
{
    for (edge **at = &from->edges, *e; (e = *at) != NULL;) {
        if (to != NULL && e->to != to) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        weft__free(e);
    }
}

static void drop(node **at)
{
    node *n = *at;
    if (n->holder != 0)
        let_go(n);
    *at = n->next;
    drop_edges(n, NULL);
    weft__free(n);
}

/* ---- rings ---- */

/* The shortest way from one lock to another along the edges; each node on it then knows whence it was reached. */
static bool search(node *from, const node *to)
{
    node *last = from;
    from->visit = ++visits;
    from->next_found = NULL;
    for (node *n = from; n != NULL; n = n->next_found) {
        if (n == to)
            return true;
        for (const edge *e = n->edges; e != NULL; e = e->next) {
            if (e->to->visit == visits)
                continue;
            e->to->visit = visits;
            e->to->from = n;
            e->to->by = e;
            e->to->next_found = NULL;
            last->next_found = e->to;
            last = e->to;
        }
    }
    return false;
}

static void add_step(ring *r, const node *held, const node *taken, const edge *e)
{
    if (r->n < STEPS_MAX)
        r->steps[r->n++] = (step){taken->lock, held->lock, taken->what, held->what, e->taken_at, e->held_at};
}

static void print_place(FILE *out, weft__symbols *s, const char *text, uint32_t where)
{
    char place[160];
    weft__symbol_place(s, weft__symbol_code(where), place, sizeof place);
    if (place[0] != 0)
        fprintf(out, "%s%s", text, place);
}

static void print_step(FILE *out, weft__symbols *s, const step *t)
{
    char name[WEFT__OBJECT_NAME];
    weft__report_object_name(s, t->taken, name);
    fprintf(out, "    %s %s%s%p is taken", t->taken_what, name, name[0] != 0 ? " " : "", (const void *)t->taken);
    print_place(out, s, " at ", t->taken_at);
    weft__report_object_name(s, t->held, name);
    fprintf(out, "\n        while %s %s%s%p is held", t->held_what, name, name[0] != 0 ? " " : "",
            (const void *)t->held);
    print_place(out, s, ", taken at ", t->held_at);
    fprintf(out, "\n");
}

static void print_ring(weft__watch_job *job)
{
    ring *r = (ring *)job;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (out != NULL) {
        fprintf(out, "weft: lock order: %u locks can be taken in a ring; nothing hangs yet\n", r->n);
        weft__symbols *s = weft__symbols_open();
        for (unsigned i = 0; i < r->n; i++)
            print_step(out, s, &r->steps[i]);
        weft__symbols_close(s);
        if (fclose(out) == 0)
            weft__report_order(text, length);
    }
    free(text);
    weft__free(r);
}

/* The edge e from `held` to `wanted` is new. */
static ring *look_for_ring(node *held, node *wanted, const edge *e)
{
    if (!search(wanted, held))
        return NULL;
    ring *r = weft__calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->job.fn = print_ring;
    add_step(r, held, wanted, e);
    for (const node *n = held; n != wanted; n = n->from)
        add_step(r, n->from, n, n->by);
    return r;
}

static ring *add_edge(node *held, node *wanted, uint32_t where)
{
    for (const edge *e = held->edges; e != NULL; e = e->next)
        if (e->to == wanted)
            return NULL;
    edge *e = weft__malloc(sizeof *e);
    if (e == NULL)
        return NULL;
    *e = (edge){.next = held->edges, .to = wanted, .held_at = held->where, .taken_at = where};
    held->edges = e;
    return look_for_ring(held, wanted, e);
}

/* ---- what lock.c tells ---- */

void weft__order_wants_slow(const weft_lock *l, weft__taking taking)
{
    uint32_t me = weft__self()->id;
    weft__watch_job *found = NULL;
    rawlock_acquire(&order_lock);
    const holder *h = *place_of_holder(me);
    node *wanted = node_of(l, taking.kind->what);
    for (node *n = h != NULL ? h->held : NULL; wanted != NULL && n != NULL; n = n->next_held) {
        ring *r = n != wanted ? add_edge(n, wanted, (uint32_t)(uintptr_t)taking.where) : NULL;
        if (r != NULL) {
            r->job.next = found;
            found = &r->job;
        }
    }
    rawlock_release(&order_lock);
    for (weft__watch_job *next; found != NULL; found = next) {
        next = found->next;
        weft__watch_call(found);
    }
}

void weft__order_took_slow(const weft_lock *l, weft__taking taking, bool again)
{
    rawlock_acquire(&order_lock);
    node *n = again ? *place_of(l) : node_of(l, taking.kind->what);
    if (n != NULL) {
        if (n->holder != 0)
            let_go(n);
        hold(n, weft__self()->id, (uint32_t)(uintptr_t)taking.where);
    }
    rawlock_release(&order_lock);
}

void weft__order_let_go_slow(const weft_lock *l)
{
    rawlock_acquire(&order_lock);
    node *n = *place_of(l);
    if (n != NULL && n->holder != 0)
        let_go(n);
    rawlock_release(&order_lock);
}

void weft__order_forget_slow(const weft_lock *l)
{
    rawlock_acquire(&order_lock);
    node **at = place_of(l);
    const node *gone = *at;
    if (gone != NULL) {
        drop(at);
        for (unsigned i = 0; i < BUCKETS; i++)
            for (node *n = nodes[i]; n != NULL; n = n->next)
                drop_edges(n, gone);
    }
    rawlock_release(&order_lock);
}

/* ---- on and off ---- */

int weft_lock_order_check(int on)
{
    rawlock_acquire(&order_lock);
    store_relaxed(&weft__order_on, on != 0);
    for (unsigned i = 0; i < BUCKETS && !on; i++)
        while (nodes[i] != NULL)
            drop(&nodes[i]);
    rawlock_release(&order_lock);
    weft__waiters_hide_ids(on != 0);
    return 0;
}

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&order_lock);
}

WEFT__FORK_TEXT static void after_fork(void)
{
    rawlock_release(&order_lock);
}

__attribute__((constructor(102))) static void start(void)
{
    const char *text = getenv("WEFT_LOCK_ORDER");
    pthread_atfork(before_fork, after_fork, after_fork);
    if (text != NULL && strcmp(text, "1") == 0)
        weft_lock_order_check(1);
}
