/* slot.c - what goes between a pool and its workers in other processes: the steps of a slot, and who wakes whom.
 *
 * Apart from the jobs' bytes, for which there is segment.h, this is all that the two sides share; it is one file so
 * that the explorer can run both. Pinned by tests/model (slots, with mutants) and tests/pool. */
#include "park/park.h"
#include "pool/segment.h"

/* ---- the worker ---- */

enum weft__slot_state weft__slot_begin(weft__shared_slot *s)
{
    uint32_t state = load_acquire(&s->state);
    if (state == WEFT__SLOT_QUEUED && cas_acq_rel(&s->state, &state, WEFT__SLOT_RUNNING))
        return WEFT__SLOT_RUNNING;
    return state == WEFT__SLOT_REVOKED ? WEFT__SLOT_REVOKED : WEFT__SLOT_FREE;
}

void weft__slot_end(weft__shared_slot *s, enum weft__slot_state state)
{
    store_seq_cst(&s->state, state);
}

void weft__slot_await(weft__segment *seg, const weft__shared_slot *s)
{
    uint32_t seen = load_seq_cst(&seg->bell);
    store_seq_cst(&seg->asleep, 1);
    uint32_t state = load_seq_cst(&s->state);
    if (state != WEFT__SLOT_QUEUED && state != WEFT__SLOT_REVOKED && load_seq_cst(&seg->quit) == 0)
        weft__park(&seg->bell, seen, WEFT_FOREVER, WEFT__SHARED_WORD | WEFT__UNCANCELLABLE, "a job for a worker");
    store_relaxed(&seg->asleep, 0);
}

bool weft__listener_take(weft__listener *l)
{
    return load_seq_cst(&l->listening) != 0 && swap_seq_cst(&l->listening, 0) != 0;
}

/* ---- the parent ---- */

static void ring(weft__segment *seg)
{
    add_seq_cst(&seg->bell, 1);
    weft__wake(&seg->bell, 1, WEFT__SHARED_WORD);
}

void weft__slot_give(weft__segment *seg, weft__shared_slot *s)
{
    store_seq_cst(&s->state, WEFT__SLOT_QUEUED);
    if (load_seq_cst(&seg->asleep) == 0)
        return;
    store_relaxed(&seg->asleep, 0);
    ring(seg);
}

bool weft__slot_revoke(weft__shared_slot *s)
{
    uint32_t seen = WEFT__SLOT_QUEUED;
    return cas_seq_cst(&s->state, &seen, WEFT__SLOT_REVOKED);
}

void weft__slot_quit(weft__segment *seg)
{
    store_seq_cst(&seg->quit, 1);
    ring(seg);
}
