/* rwlock.c - weft_rwlock: a weft_lock among the writers, and a word that counts the readers inside.
 *
 * write   take `writer`; nobody inside: set WRITING. Else set PENDING, which keeps newcomers out, and sleep on `state`
 *         until no reader is inside.
 * read    no writer: count in. Else sleep on `turn`, which changes when a writer goes; who has waited for one writer
 *         passes the next one's PENDING (not its WRITING), so readers cannot be starved; such readers are a bounded
 *         crowd, so the writer cannot be either.
 * I1  only the holder of `writer` sets or clears PENDING and WRITING (or who finds it dead), and only it sleeps on
 *     `state`.
 * I2  the reader that leaves last with PENDING set wakes it.
 * I3  a reader reads `turn` before it finds a writer in `state`, and sleeps on that value of `turn`; the writer clears
 *     `state` before it changes `turn`: no wake is lost.
 * I4  for reports, a reader notes in its own waiter what it reads, after it has counted in, and takes the note out
 *     before it counts out: memory that nobody else writes. The notes are believed while they are as many as the
 *     readers; who cannot note, or releases what it has not noted, marks the lock: its readers have no names any more.
 * Pinned by tests/model/rwlock_model.c, tests/sync/once_rwlock_test.c and tests/fault/deadlock_*_test.c. */
#include <weft/rwlock.h>

#include "base/panic.h"
#include "sync/lock.h"
#include "sys/aside.h"

#include <errno.h>

#define WRITING (UINT32_C(1) << 31)
#define PENDING (UINT32_C(1) << 30)
#define READERS (PENDING - 1)

/* In flags, which are atomic: not all readers are noted, or not by those who will release. */
#define NAMELESS 0x100u

static unsigned domain_of(const weft_rwlock *l)
{
    return load_relaxed(&l->flags) & WEFT_SHARED ? WEFT__SHARED_WORD : 0;
}

/* The writer goes, or gives up: the readers' turn. */
static void open_to_readers(weft_rwlock *l)
{
    and_seq_cst(&l->state, READERS);
    if (load_seq_cst(&l->waiters) == 0)
        return; /* who counts itself in from here on finds no writer in `state` */
    add_seq_cst(&l->turn, 1);
    weft__wake(&l->turn, UINT32_MAX, domain_of(l));
}

/* ---- for reports ---- */

#ifndef WEFT_MODEL /* not explored: nobody's steps depend on the notes */

static void no_names(weft_rwlock *l)
{
    if (load_relaxed(&l->flags) == 0)
        or_seq_cst(&l->flags, NAMELESS);
}

static inline void put_note(weft__waiter *w, unsigned place, const weft_rwlock *l, const void *where)
{
    store_release(&w->reads_at[place], (uint32_t)(uintptr_t)where);
    store_release(&w->reads[place], l);
}

static WEFT__COLD void note_slow(weft_rwlock *l, const void *where)
{
    weft__waiter *w = weft__self();
    unsigned i = 0;
    while (i < WEFT__READS && w->reads[i] != NULL)
        i++;
    if (i < WEFT__READS)
        put_note(w, i, l, where);
    else
        no_names(l);
}

/* I4: the caller reads it from now on. */
static inline void note(weft_rwlock *l, const void *where)
{
    weft__waiter *w = weft__self_waiter;
    if (unlikely(load_relaxed(&l->flags) != 0))
        return;
    if (likely(w != NULL) && likely(w->reads[0] == NULL))
        put_note(w, 0, l, where);
    else
        note_slow(l, where);
}

static void unnote_slow(weft_rwlock *l)
{
    weft__waiter *w = weft__self();
    unsigned i = 0;
    while (i < WEFT__READS && w->reads[i] != l)
        i++;
    if (i < WEFT__READS)
        store_release(&w->reads[i], NULL);
    else
        no_names(l); /* it was not noted, or another than its reader lets go of it */
}

/* It is about to let go. False: the note must be looked for. */
static inline bool unnote(weft_rwlock *l)
{
    weft__waiter *w = weft__self_waiter;
    if (unlikely(w == NULL) || unlikely(w->reads[0] != l))
        return false;
    store_release(&w->reads[0], NULL);
    return true;
}

#else

static void note(weft_rwlock *l, const void *where)
{
    (void)l, (void)where;
}

static void unnote_slow(weft_rwlock *l)
{
    (void)l;
}

static bool unnote(weft_rwlock *l)
{
    (void)l;
    return true;
}

#endif

/* Readers and writers alike wait for the writer that holds `writer`. */
static void writer_ends(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    weft__lock_enders(&((const weft_rwlock *)object)->writer, true, e);
}

typedef struct search {
    const weft_rwlock *lock;
    weft__enders *e;
    uint32_t found;
} search;

static void find_reader(weft__waiter *w, void *arg)
{
    search *s = arg;
    uint32_t before = s->found;
    for (unsigned i = 0; i < WEFT__READS; i++)
        if (load_acquire(&w->reads[i]) == s->lock && s->found++ == before) /* once, however often it reads */
            weft__enders_add_at(s->e, load_acquire(&w->id), load_acquire(&w->reads_at[i]));
}

/* A writer waits for all readers. One that comes or goes at the moment may be counted and not noted. */
static void readers_end(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    enum {
        LOOKS = 3
    };
    weft_rwlock l;
    (void)sleeper;
    for (unsigned i = 0; i < LOOKS && weft__sys_peek(&l, object, sizeof l) == 0 && l.flags == 0; i++) {
        search s = {.lock = object, .e = e};
        e->n = e->missed = 0;
        weft__waiters_each(find_reader, &s);
        e->where = e->n == 1 && e->wheres != NULL ? e->wheres[0] : 0;
        e->known = e->all = true;
        if (s.found == (l.state & READERS))
            return;
    }
    e->n = e->missed = 0;
    e->known = false;
}

static const weft__awaited read_kind = {.what = "rwlock (read)", .held = "written by", .enders = writer_ends};
static const weft__awaited write_kind = {.what = "rwlock (write)", .held = "written by", .enders = writer_ends};
static const weft__awaited drain_kind = {.what = "rwlock (write)", .held = "read by", .enders = readers_end};

/* ---- reading ---- */

static bool count_in(weft_rwlock *l, bool waited)
{
    uint32_t blocked = waited ? WRITING : WRITING | PENDING;
    uint32_t seen = load_relaxed(&l->state);
    while (!(seen & blocked)) {
        if ((seen & READERS) == READERS)
            weft__panic("weft_rwlock_acquire_read: %u readers hold the rwlock at %p", READERS, (void *)l);
        if (cas_acquire(&l->state, &seen, seen + 1))
            return true;
    }
    return false;
}

/* Did the writer die, or stay behind at a fork? If before it wrote, clear up behind it. -EOWNERDEAD: it was writing. */
static int look_after_writer(weft_rwlock *l)
{
    int err = weft_lock_acquire_until(&l->writer, WEFT_NOW);
    if (err == -EOWNERDEAD && (load_relaxed(&l->state) & WRITING)) {
        weft_lock_release(&l->writer); /* unrecovered: the next writer will be told */
        return -EOWNERDEAD;
    }
    if (err == 0 || err == -EOWNERDEAD) {
        weft_lock_recover(&l->writer);
        open_to_readers(l);
        weft_lock_release(&l->writer);
    }
    return 0;
}

static int read_slow(weft_rwlock *l, weft_until until, unsigned flags, const void *where)
{
    bool waited = false;
    int err = 0;
    add_seq_cst(&l->waiters, 1);
    for (;;) {
        uint32_t turn = load_seq_cst(&l->turn);
        if (count_in(l, waited)) {
            err = 0;
            break;
        }
        if (err == 0 && weft__forked && !domain_of(l)) /* a private writer stays behind at the fork, and never later */
            err = look_after_writer(l);
        if (err < 0)
            break;
        err = weft__park_for(&read_kind, l, where, &l->turn, turn, until, flags | domain_of(l));
        if (load_seq_cst(&l->turn) != turn)
            waited = true;
        else if (domain_of(l) && err == 0)
            err = look_after_writer(l);
    }
    sub_relaxed(&l->waiters, 1);
    return err;
}

int weft_rwlock_acquire_read_until(weft_rwlock *l, weft_until until)
{
    const void *where = WEFT__CALLER();
    int err = likely(count_in(l, false)) ? 0 : read_slow(l, until, 0, where);
    if (likely(err == 0))
        note(l, where);
    return err;
}

WEFT__COLD static void must_read(weft_rwlock *l, const void *where)
{
    if (read_slow(l, WEFT_FOREVER, WEFT__UNCANCELLABLE, where) == -EOWNERDEAD)
        weft__panic("weft_rwlock_acquire_read: a writing process died with the shared rwlock at %p, or a fork left the "
                    "thread that wrote behind; use the _until calls and weft_rwlock_recover to handle that",
                    (void *)l);
    note(l, where);
}

void weft_rwlock_acquire_read(weft_rwlock *l)
{
    if (likely(count_in(l, false)))
        note(l, WEFT__CALLER());
    else
        must_read(l, WEFT__CALLER());
}

static inline void count_out(weft_rwlock *l)
{
    unsigned domain = domain_of(l);
    uint32_t before = sub_seq_cst(&l->state, 1);
    if (unlikely((before & (PENDING | READERS)) == (PENDING | 1)))
        weft__wake(&l->state, 1, domain);
    else if (unlikely((before & READERS) == 0))
        weft__panic("weft_rwlock_release_read: the rwlock at %p is not held for reading", (void *)l);
}

WEFT__COLD static void release_unnoted(weft_rwlock *l)
{
    unnote_slow(l);
    count_out(l);
}

void weft_rwlock_release_read(weft_rwlock *l)
{
    if (likely(unnote(l)))
        count_out(l);
    else
        release_unnoted(l);
}

/* ---- writing ---- */

static int write_with(weft_rwlock *l, weft_until until, unsigned flags, const void *where)
{
    int taken = weft__lock_acquire(&l->writer, until, flags, (weft__taking){&write_kind, where});
    if (taken != 0 && taken != -EOWNERDEAD)
        return taken;
    if (taken == -EOWNERDEAD) {
        if (load_relaxed(&l->state) & WRITING)
            return taken;              /* held, as the dead one held it */
        weft_lock_recover(&l->writer); /* it never came to write */
    }
    uint32_t seen = 0;
    if (likely(cas_acquire(&l->state, &seen, WRITING)))
        return 0;
    seen = or_seq_cst(&l->state, PENDING) | PENDING;
    int err = 0;
    for (;;) {
        while ((seen & READERS) == 0)
            if (cas_acquire(&l->state, &seen, WRITING))
                return 0;
        if (err < 0)
            break;
        err = weft__park_for(&drain_kind, l, where, &l->state, seen, until, flags | domain_of(l));
        seen = load_relaxed(&l->state);
    }
    open_to_readers(l);
    weft_lock_release(&l->writer);
    return err;
}

int weft_rwlock_acquire_write_until(weft_rwlock *l, weft_until until)
{
    return write_with(l, until, 0, WEFT__CALLER());
}

void weft_rwlock_acquire_write(weft_rwlock *l)
{
    if (write_with(l, WEFT_FOREVER, WEFT__UNCANCELLABLE, WEFT__CALLER()) == -EOWNERDEAD)
        weft__panic(
            "weft_rwlock_acquire_write: the process that held the shared rwlock at %p died writing, or a fork left the "
            "thread that wrote behind; use the _until calls and weft_rwlock_recover to handle that",
            (void *)l);
}

void weft_rwlock_release_write(weft_rwlock *l)
{
    if (!(load_relaxed(&l->state) & WRITING))
        weft__panic("weft_rwlock_release_write: the rwlock at %p is not held for writing", (void *)l);
    if (!(load_relaxed(&l->writer.flags) & WEFT__LOCK_INCONSISTENT))
        open_to_readers(l); /* else nobody may come in: the writer's lock carries the message on */
    weft_lock_release(&l->writer);
}

int weft_rwlock_recover(weft_rwlock *l)
{
    return weft_lock_recover(&l->writer);
}

int weft_rwlock_init(weft_rwlock *l, unsigned flags)
{
    if (flags & ~(unsigned)(WEFT_SHARED | WEFT_LOCK_HANDOFF))
        return -EINVAL;
    *l = (weft_rwlock){.flags = flags};
    return weft_lock_init(&l->writer, flags);
}

void weft_rwlock_destroy(weft_rwlock *l)
{
    if (load_acquire(&l->state) != 0)
        weft__panic("weft_rwlock_destroy: the rwlock at %p is held", (void *)l);
    weft_lock_destroy(&l->writer);
}
