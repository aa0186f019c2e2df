/* ring.c - who waits for whom: from one sleeper on, along those who must end its wait, and back to it.
 *
 * A sleeper is *lost* if its wait can be ended by known waiters only, and of these enough are lost themselves: all of
 * them, or, where it needs every one (a group waits for all its members), a single one. The walk collects everybody
 * whom the first sleeper depends on, takes all who sleep in such waits for lost, and takes back whoever still can go
 * on until nothing changes (the greatest fixed point). Those left that the first one reaches and that reach it are the
 * ring. A sleeper that only waits behind a ring is not on it, and its own walk reports nothing.
 *
 * R1  a member's wait and who ends it are read while `waits` stands still (await.h A2), once in the walk and once more
 *     after it. So all members slept, each for the next, at the moment between the two.
 * R2  a ring is reported by its member that fell asleep last, or, when several are looked at in one round, by the
 *     first of them; the others are marked as reported in this sleep.
 * The watch thread's alone. Its tables are mapped at the first walk: in .bss they would lie between what a fork
 * copies, and each two megabytes of that take a page of the page table. Pinned by tests/fault/deadlock_*_test.c. */
#include "park/watch.h"

#include "sys/sys.h"

#include <string.h>

enum {
    NODES_MAX = 4096, /* a walk that meets more gives up */
    EDGES_MAX = 1 << 16,
    SLOTS = 2 * NODES_MAX,
    MANY = 64
};

typedef struct node {
    weft__found found;
    uint32_t first, n; /* its edges: who can end its wait */
    bool all;          /* it needs every one of them */
    bool lost;
    bool reached, reaches; /* by the first node; the first node */
} node;

typedef struct tables {
    node nodes[NODES_MAX];
    uint32_t ids[EDGES_MAX];    /* whom an edge leads to */
    uint32_t wheres[EDGES_MAX]; /* where that one took it */
    uint16_t heads[EDGES_MAX];  /* which node that is */
    uint16_t places[SLOTS];     /* id -> node + 1, open addressing */
    uint32_t again[EDGES_MAX];  /* the same edges of one node, at the second look */
    weft__found members[NODES_MAX];
} tables;

static tables *t; /* NULL: no walk yet */
static unsigned n_nodes, n_edges;

/* ---- the walk ---- */

/* The node of this id, made when new. NODES_MAX: no room. */
static unsigned node_of(uint32_t id)
{
    unsigned at = id * UINT32_C(0x9e3779b1) >> 19;
    while (t->places[at % SLOTS] != 0) {
        unsigned i = t->places[at % SLOTS] - 1u;
        if (t->nodes[i].found.id == id)
            return i;
        at++;
    }
    if (n_nodes == NODES_MAX)
        return NODES_MAX;
    t->nodes[n_nodes] = (node){.found.id = id};
    t->places[at % SLOTS] = (uint16_t)(n_nodes + 1);
    return n_nodes++;
}

static bool ask(const weft__found *f, weft__enders *e)
{
    if (f->kind == NULL || f->kind->enders == NULL)
        return false;
    f->kind->enders(f->object, f->waiter, e);
    return e->known && e->n > 0;
}

/* Fill in a node: does it sleep, and who can end that? False: there is no room for its edges. */
static bool expand(node *nd)
{
    weft__waiter *w = weft__waiter_by_id(nd->found.id);
    uint32_t id = nd->found.id;
    nd->first = n_edges;
    if (w == NULL || !weft__find(w, &nd->found) || nd->found.id != id) {
        nd->found.id = id;
        return true;
    }
    weft__enders e = {.ids = &t->ids[n_edges], .wheres = &t->wheres[n_edges], .max = EDGES_MAX - n_edges};
    if (!ask(&nd->found, &e) || !weft__found_still(&nd->found))
        return e.max != 0;
    nd->n = e.n;
    nd->all = e.all;
    nd->lost = true;
    weft__found_enders(&nd->found, &e);
    n_edges += e.n;
    for (unsigned i = 0; i < e.n; i++) {
        unsigned k = node_of(e.ids[i]);
        if (k == NODES_MAX)
            return false;
        t->heads[nd->first + i] = (uint16_t)k;
    }
    return true;
}

static bool walk_from(uint32_t id)
{
    memset(t->places, 0, sizeof t->places);
    n_nodes = n_edges = 0;
    node_of(id);
    for (unsigned i = 0; i < n_nodes; i++) {
        if (!expand(&t->nodes[i]))
            return false;
        if (i == 0 && !t->nodes[0].lost)
            return false;
    }
    return true;
}

/* ---- who is lost ---- */

static bool still_lost(const node *nd)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < nd->n; i++)
        lost += t->nodes[t->heads[nd->first + i]].lost;
    return nd->all ? lost > 0 : lost == nd->n;
}

static void take_back(void)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned i = n_nodes; i-- > 0;)
            if (t->nodes[i].lost && !still_lost(&t->nodes[i])) {
                t->nodes[i].lost = false;
                changed = true;
            }
    }
}

/* Mark those that the first one reaches, and those that reach it, through the lost. Whether it reaches itself. */
static bool mark_ring(void)
{
    bool back = false;
    t->nodes[0].reached = t->nodes[0].reaches = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned i = 0; i < n_nodes; i++) {
            node *nd = &t->nodes[i];
            for (unsigned k = 0; nd->lost && k < nd->n; k++) {
                node *to = &t->nodes[t->heads[nd->first + k]];
                back = back || (to == &t->nodes[0] && nd->reached);
                if (to->lost && nd->reached && !to->reached)
                    to->reached = changed = true;
                if (to->lost && to->reaches && !nd->reaches)
                    nd->reaches = changed = true;
            }
        }
    }
    return back;
}

/* ---- telling ---- */

static bool member(const node *nd)
{
    return nd->lost && nd->reached && nd->reaches;
}

/* It waits for all of them, and one that is on the ring is among those that were found again. */
static bool needs_member(const node *nd, const weft__enders *again)
{
    for (unsigned i = 0; i < nd->n; i++)
        for (unsigned k = 0; member(&t->nodes[t->heads[nd->first + i]]) && k < again->n; k++)
            if (again->ids[k] == t->ids[nd->first + i])
                return true;
    return false;
}

/* R1: the second look. */
static bool confirm(const node *nd)
{
    weft__enders e = {.ids = t->again, .max = EDGES_MAX};
    if (!weft__found_still(&nd->found))
        return false;
    if (nd->n > MANY && !nd->all)
        return true; /* many ways on; all were lost a moment ago, and each of them is looked at */
    if (!ask(&nd->found, &e) || !weft__found_still(&nd->found))
        return false;
    if (nd->all)
        return needs_member(nd, &e); /* others that it needs may come and go */
    return e.n == nd->n && memcmp(t->again, &t->ids[nd->first], e.n * sizeof *t->again) == 0;
}

/* Of several that can end its wait, the one that is on the ring, if it is one. */
static void name_holder(node *nd)
{
    for (unsigned i = 0; i < nd->n && nd->n > 1; i++) {
        if (!member(&t->nodes[t->heads[nd->first + i]]))
            continue;
        uint32_t id = nd->found.holder;
        nd->found.holder = id == 0 || id == t->ids[nd->first + i] ? t->ids[nd->first + i] : 0;
        nd->found.taken = nd->found.holder != 0 ? t->wheres[nd->first + i] : 0;
        if (nd->found.holder == 0)
            return;
    }
}

static void tell(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_nodes; i++) {
        if (!member(&t->nodes[i]))
            continue;
        if (!confirm(&t->nodes[i]))
            return;
        name_holder(&t->nodes[i]);
        t->members[n++] = t->nodes[i].found;
    }
    weft__deadlock_report(t->members, n, n, true);
}

static bool have_tables(void)
{
    if (t == NULL)
        t = weft__sys_map_wiped(sizeof *t);
    return t != NULL;
}

void weft__ring_look(weft__waiter *w)
{
    uint32_t id = load_acquire(&w->id);
    if (id == 0 || w->reported == w->walked || !have_tables() || !walk_from(id))
        return;
    take_back();
    if (t->nodes[0].lost && mark_ring())
        tell();
}
