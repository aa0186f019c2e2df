/* slot_model.c - the ring of a process pool's worker: every job is begun once or taken back, in order; nobody sleeps
 * while there is something for it; and where a worker is killed its parent can tell from the slots what it had begun.
 * Thread 0 is the worker, as the loop of worker_process.c has it, 1 the pool's keeper, 2 another of its threads. */
#include "explorer.h"

#include "pool/segment.h"

enum {
    JOBS = 3
};

static weft__segment seg;
static weft__listener listener;
static uint32_t rung; /* the pool's eventfd */
static unsigned jobs; /* how many the case has */
static unsigned at;   /* the worker's position */
static bool ran[JOBS], skipped[JOBS], taken_back[JOBS];

static void make(unsigned n)
{
    memset(seg.slots, 0, JOBS * sizeof *seg.slots);
    seg.bell = seg.quit = seg.asleep = 0;
    listener.listening = 0;
    rung = at = 0;
    jobs = n;
    memset(ran, 0, sizeof ran);
    memset(skipped, 0, sizeof skipped);
    memset(taken_back, 0, sizeof taken_back);
}

static void one(void)
{
    make(1);
}

static void two(void)
{
    make(2);
}

/* ---- the worker ---- */

static void tell(void)
{
    if (!weft__listener_take(&listener))
        return;
    add_seq_cst(&rung, 1);
    weft__wake(&rung, 1, WEFT__SHARED_WORD);
}

static bool step(void)
{
    weft__shared_slot *s = &seg.slots[at];
    enum weft__slot_state state = weft__slot_begin(s);
    if (state == WEFT__SLOT_FREE)
        return false;
    MODEL_CHECK(s->size == at + 1); /* what was written before it was given is there */
    if (state == WEFT__SLOT_RUNNING) {
        ran[at] = true;
        s->error = (int32_t)at + 1;
    } else {
        skipped[at] = true;
    }
    at++;
    weft__slot_end(s, state == WEFT__SLOT_RUNNING ? WEFT__SLOT_DONE : WEFT__SLOT_SKIPPED);
    return true;
}

static void work(void)
{
    unsigned told = 0;
    while (load_seq_cst(&seg.quit) == 0) {
        if (step())
            continue;
        if (told != at) {
            told = at;
            tell();
        }
        weft__slot_await(&seg, &seg.slots[at]);
    }
}

/* ---- its parent ---- */

static void give(unsigned i)
{
    seg.slots[i].size = i + 1;
    weft__slot_give(&seg, &seg.slots[i]);
}

/* Whether the slot has come to its end; what is there then is right. */
static bool ended(unsigned i)
{
    uint32_t state = load_acquire(&seg.slots[i].state);
    if (state == WEFT__SLOT_DONE)
        MODEL_CHECK(ran[i] && seg.slots[i].error == (int32_t)i + 1);
    return state == WEFT__SLOT_DONE || state == WEFT__SLOT_SKIPPED;
}

static bool look(unsigned *next)
{
    unsigned from = *next;
    while (*next < jobs && ended(*next))
        ++*next;
    return *next != from;
}

/* As the keeper does: nothing came, so it listens, looks once more and sleeps. */
static void keep(void)
{
    unsigned next = 0;
    while (next < jobs) {
        uint32_t seen = load_seq_cst(&rung);
        store_seq_cst(&listener.listening, 1);
        if (!look(&next))
            weft__park(&rung, seen, WEFT_FOREVER, WEFT__SHARED_WORD | WEFT__UNCANCELLABLE, "an answer");
        store_seq_cst(&listener.listening, 0);
        while (look(&next))
            ;
    }
    weft__slot_quit(&seg);
}

/* ---- the cases ---- */

static void gives_all(unsigned i)
{
    if (i == 0) {
        work();
        return;
    }
    for (unsigned k = 0; k < jobs; k++)
        give(k);
    keep();
}

static void takes_back(unsigned i)
{
    if (i < 2)
        gives_all(i);
    else if (load_seq_cst(&seg.slots[jobs - 1].state) != WEFT__SLOT_FREE)
        taken_back[jobs - 1] = weft__slot_revoke(&seg.slots[jobs - 1]);
}

/* Each job was run, or taken back and passed over, and none both. */
static void done(void)
{
    MODEL_CHECK(at == jobs);
    for (unsigned k = 0; k < jobs; k++) {
        MODEL_CHECK(ran[k] != skipped[k]);
        MODEL_CHECK(skipped[k] == taken_back[k]);
    }
}

static void quits(unsigned i)
{
    if (i == 0)
        work();
    else
        weft__slot_quit(&seg);
}

static void nothing_ran(void)
{
    MODEL_CHECK(at == 0);
}

static void dies(unsigned i)
{
    if (i == 0) {
        while (at < jobs && step())
            ;
        return;
    }
    for (unsigned k = 0; k < jobs; k++)
        give(k);
}

/* What is DONE was run; at most one follows that was begun; those behind it were not, and can go to others. */
static void told_by_slots(void)
{
    unsigned k = 0;
    while (k < jobs && seg.slots[k].state == WEFT__SLOT_DONE)
        MODEL_CHECK(ran[k] && seg.slots[k].error == (int32_t)k + 1), k++;
    if (k < jobs && seg.slots[k].state == WEFT__SLOT_RUNNING)
        MODEL_CHECK(model_dead(0)), k++;
    for (; k < jobs; k++)
        MODEL_CHECK(seg.slots[k].state == WEFT__SLOT_QUEUED && !ran[k]);
}

const model_case slot_cases[] = {
    {"slots_one_job", 2, one, gives_all, done, 5, .share = 2},
    {"slots_two_jobs", 2, two, gives_all, done, 5, .share = 2},
    {"slots_taken_back", 3, one, takes_back, done, 4, .share = 2},
    {"slots_second_taken_back", 3, two, takes_back, done, 3, .share = 2},
    {"slots_quit", 2, one, quits, nothing_ran, MODEL_EXACT},
    {"slots_worker_dies", 2, two, dies, told_by_slots, 6, .mortal = 1},
    {NULL},
};
