/* waiter.c - the registry of sleepers, the thread's way to sleep, cancellation. See waiter.h for the protocol.
 *
 * The registry is a two-level table, index -> waiter, that only grows; an id is generation << 22 | index + 1. Waiters
 * of threads come from slabs of our own and go back to a free list when their thread ends; those of coroutines belong
 * to the scheduler's slabs. Neither is ever unmapped (I3).
 *
 * Lock order: registry_lock is a leaf. It is held across fork, so that the child finds the registry whole. */
#include "park/waiter.h"

#include "base/leak.h"
#include "base/panic.h"
#include "park/rawlock.h"
#include "park/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_LOG2 = 10,
    CHUNK = 1 << CHUNK_LOG2,
    INDEX_BITS = 22,
    CHUNKS = 1 << (INDEX_BITS - CHUNK_LOG2),
    GENERATIONS = 1 << 8,
    SLAB = 64,     /* thread waiters made at a time */
    SPIN_MIN = 40, /* pauses: about what the other side takes to answer when it is awake */
    SPIN_MAX = 400,
    PROBE = 2000, /* longer than it takes to be woken by another processor */
    PROBE_NS = 200000,
    RETRY = 32 /* waits between two probes */
};

WEFT__TLS weft__waiter *weft__self_waiter;
WEFT__TLS uint32_t weft__self_id;
WEFT__TLS void *weft__idle_poller;
const weft__idler *weft__idler_ops;

const weft__thread_watch *weft__thread_watcher;

/* What a thread's slab is made of. */
typedef struct thread_slot {
    weft__waiter waiter;
    char name[WEFT__THREAD_NAME]; /* atomic bytes: reports read it at any time; empty: the kernel's */
} thread_slot;

static WEFT__FORK_PAGE weft__rawlock registry_lock;
static weft__waiter **chunks[CHUNKS]; /* atomic pointers: readers go without the lock */
static weft__waiter *first_chunk[CHUNK];
/* The first thread's, as a rule main's: the child of a fork has it here and writes to it. */
static _Alignas(WEFT__CACHE_LINE) WEFT__FORK_PAGE thread_slot first_slot;
static uint32_t first_taken;  /* atomic */
static bool have_slab;        /* registry_lock: there were other threads' waiters, too */
static uint32_t registered;   /* atomic */
static weft__waiter *threads; /* atomic: all waiters of threads, in use or not, by next_of_thread */
static WEFT__FORK_PAGE weft__waiter *idle_threads; /* free list of thread waiters, by next_ready */
static uint32_t ids_hidden;                        /* atomic */
static uint32_t many_cpus;                         /* atomic: 0 unknown, 1 one processor, 2 several */

/* ---- registry ---- */

int weft__waiter_register(weft__waiter *w, const weft__waiter_ops *ops)
{
    memset(w, 0, sizeof *w);
    w->ops = ops;
    w->wake_fd = -1;
    int err = 0;
    rawlock_acquire(&registry_lock);
    uint32_t slot = load_relaxed(&registered);
    if (slot + 1 >= 1u << INDEX_BITS) {
        err = -EAGAIN;
        goto unlock;
    }
    if (slot % CHUNK == 0) {
        void *p = first_chunk;
        if (slot != 0 && (err = weft__sys_map(&p, CHUNK * sizeof(weft__waiter *))) < 0)
            goto unlock;
        store_release(&chunks[slot / CHUNK], (weft__waiter **)p);
    }
    w->slot = slot;
    if (ops->of_thread) {
        w->next_of_thread = threads;
        store_release(&threads, w);
    }
    store_release(&chunks[slot / CHUNK][slot % CHUNK], w);
    store_release(&registered, slot + 1);
unlock:
    rawlock_release(&registry_lock);
    return err == -EAGAIN ? err : err < 0 ? -ENOMEM : 0;
}

void weft__waiter_renew(weft__waiter *w)
{
    w->spin = 16;
    store_relaxed(&w->cancel, 0);
    w->shield = 0;
    w->token = 0;
    w->helping = NULL;
    for (unsigned i = 0; i < WEFT__READS; i++)
        store_relaxed(&w->reads[i], NULL);
    if (unlikely(w->locals != NULL)) /* of one that a fork left behind in the parent */
        weft__locals_drop(w);
    store_relaxed(&w->word, NULL);
    w->generation = (w->generation + 1) % GENERATIONS;
    uint32_t id = w->generation << INDEX_BITS | (w->slot + 1);
    store_relaxed(&w->shown_id, load_relaxed(&ids_hidden) ? 0 : id);
    store_release(&w->id, id);
}

static void show_id(weft__waiter *w, void *arg)
{
    (void)arg;
    store_relaxed(&w->shown_id, load_relaxed(&ids_hidden) ? 0 : load_relaxed(&w->id));
}

void weft__waiters_hide_ids(bool hide)
{
    store_relaxed(&ids_hidden, hide);
    weft__waiters_each(show_id, NULL);
    if (weft__self_waiter != NULL)
        weft__become(weft__self_waiter);
}

void weft__waiter_retire(weft__waiter *w)
{
    store_release(&w->id, 0);
}

weft__waiter *weft__waiter_by_id(uint32_t id)
{
    uint32_t index = id & ((1u << INDEX_BITS) - 1);
    if (index == 0 || index > load_acquire(&registered))
        return NULL;
    weft__waiter *w = load_acquire(&chunks[(index - 1) / CHUNK][(index - 1) % CHUNK]);
    return w != NULL && load_acquire(&w->id) == id ? w : NULL;
}

void weft__waiters_each(void (*fn)(weft__waiter *w, void *arg), void *arg)
{
    weft__waiters_in(0, UINT32_MAX, fn, arg);
}

bool weft__thread_waiters_each(bool (*fn)(weft__waiter *w, void *arg), void *arg)
{
    for (weft__waiter *w = load_acquire(&threads); w != NULL; w = w->next_of_thread)
        if (load_acquire(&w->id) != 0 && !fn(w, arg))
            return false;
    return true;
}

void weft__waiters_in(uint32_t first, uint32_t n, void (*fn)(weft__waiter *w, void *arg), void *arg)
{
    uint32_t end = load_acquire(&registered);
    end = end - first > n && first < end ? first + n : end;
    for (uint32_t i = first; i < end; i++) {
        weft__waiter *w = load_acquire(&chunks[i / CHUNK][i % CHUNK]);
        if (w != NULL && load_acquire(&w->id) != 0)
            fn(w, arg);
    }
}

/* ---- left behind ---- */

WEFT__FORK_PAGE bool weft__forked;

void weft__waiter_leave_behind(weft__waiter *w)
{
    w->left_id = w->id;
    store_relaxed(&w->id, 0);
}

bool weft__waiter_left_behind(uint32_t id, char *buf, size_t size)
{
    uint32_t index = id & ((1u << INDEX_BITS) - 1);
    if (!weft__forked || index == 0 || index > load_acquire(&registered))
        return false;
    const weft__waiter *w = load_acquire(&chunks[(index - 1) / CHUNK][(index - 1) % CHUNK]);
    uint32_t now = load_acquire(&w->id);
    if (w->left_id != id || now == id)
        return false;
    if (buf != NULL && now == 0)
        w->ops->name(w, buf, size);
    else if (buf != NULL)
        snprintf(buf, size, "a %s", w->ops->kind); /* somebody else has its place, and its name is gone */
    return true;
}

/* ---- threads ---- */

bool weft__may_spin(void)
{
    uint32_t v = load_relaxed(&many_cpus);
    if (unlikely(v == 0)) {
        v = weft__sys_cpus() > 1 ? 2 : 1;
        store_relaxed(&many_cpus, v);
    }
    return v == 2;
}

/* How long to look this time. Two threads that answer each other, each asleep when the other's answer comes, would
 * never find out how quick they are: so now and then one waits long enough for a woken one to answer. Its own next
 * answer then comes within the other's least budget, and from there on both stay awake. */
static uint32_t spin_budget(const weft__waiter *self, int64_t until_ns)
{
    if (self->waits % RETRY != 0 || (until_ns != INT64_MAX && until_ns - weft__sys_now() < PROBE_NS))
        return self->spin;
    return PROBE;
}

/* Look a little before sleeping: a wake from another processor costs tens of microseconds when the kernel must deliver
 * it and a tenth of one when it is seen in passing. The budget doubles when looking paid and halves when it did not, so
 * that threads that compete for processors soon stop it. Never with one processor. */
static inline bool spin(weft__waiter *self, int64_t until_ns, const uint32_t *word, uint32_t bits)
{
    if (self->spin == 0 || !weft__may_spin())
        return false;
    uint32_t budget = spin_budget(self, until_ns);
    for (uint32_t i = 0; i < budget; i++) {
        if (load_acquire(word) & bits) {
            uint32_t more = i * 2 + SPIN_MIN;
            self->spin = more > self->spin ? (more < SPIN_MAX ? more : (uint32_t)SPIN_MAX) : self->spin;
            return true;
        }
        cpu_relax();
    }
    self->spin = self->spin / 2 > SPIN_MIN ? self->spin / 2 : (uint32_t)SPIN_MIN;
    return false;
}

bool weft__waiter_look(weft__waiter *self, int64_t until_ns, const uint32_t *word, uint32_t bits)
{
    return self->ops == &weft__thread_ops && spin(self, until_ns, word, bits);
}

static void thread_block(weft__waiter *self, int64_t until_ns)
{
    const weft__pastime *pastime = load_relaxed(&self->pastime);
    if (unlikely(pastime != NULL)) {
        if (weft__token_sleep(self))
            pastime->spend(pastime, self, until_ns);
        return;
    }
    if (spin(self, until_ns, &self->token, WEFT__TOKEN_READY))
        return;
    while (weft__token_sleep(self)) {
        if (weft__sys_futex_wait(&self->token, WEFT__TOKEN_ASLEEP, until_ns, false) != -ETIMEDOUT)
            continue; /* woken, interrupted or too late to sleep: look again */
        if (weft__waiter_claim(self, WEFT__TIMEDOUT))
            return;
        until_ns = INT64_MAX; /* claimed by somebody who is about to call ready */
    }
}

static void thread_ready(weft__waiter *w)
{
    int fd = load_acquire(&w->wake_fd);
    if (fd >= 0)
        weft__sys_eventfd_set(fd); /* before the token: until then the sleeper cannot leave and close it */
    const weft__pastime *pastime = load_relaxed(&w->pastime);
    /* After this store the sleeper may be gone: w is only an address from here on (I3). */
    if (swap_seq_cst(&w->token, WEFT__TOKEN_READY) != WEFT__TOKEN_ASLEEP)
        return;
    if (unlikely(pastime != NULL))
        pastime->interrupt(pastime);
    else
        weft__sys_futex_wake(&w->token, 1, false);
}

WEFT__FORK_TEXT void weft__waiter_set_name(weft__waiter *w, const char *name)
{
    thread_slot *slot = container_of(w, thread_slot, waiter);
    size_t n = 0;
    for (; n < WEFT__THREAD_NAME - 1 && name[n] != 0; n++)
        store_relaxed(&slot->name[n], name[n]);
    store_relaxed(&slot->name[n], 0);
}

static void thread_name(const weft__waiter *w, char *buf, size_t size)
{
    const thread_slot *slot = container_of(w, thread_slot, waiter);
    size_t n = 0;
    while (n + 1 < size && n < WEFT__THREAD_NAME && (buf[n] = load_relaxed(&slot->name[n])) != 0)
        n++;
    buf[n] = 0;
    if (n == 0)
        weft__sys_thread_name(load_relaxed(&w->tid), buf, size);
    if (buf[0] == 0)
        snprintf(buf, size, "thread-%d", (int)load_relaxed(&w->tid));
}

const weft__waiter_ops weft__thread_ops = {"thread", thread_block, thread_ready, thread_name, true};

/* In a child of fork, the values of the coroutine that forked: its thread's, once it has a waiter. */
static WEFT__TLS struct weft__locals *inherited;

static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

/* A thread that ends gives its waiter back. */
static void give_back(void *arg)
{
    weft__waiter *w = arg;
    if (w->locals != NULL)
        weft__locals_end(w);
    /* Once more, when the destructors of others have had their turn, for they may still use weft. Not for a waiter that
     * one of them made after that: the turns are few. */
    static WEFT__TLS bool had_a_turn;
    if (!had_a_turn) {
        had_a_turn = true;
        pthread_setspecific(thread_end, w);
        return;
    }
    if (weft__thread_watcher != NULL)
        weft__thread_watcher->ends(w);
    weft__waiter_set_name(w, "");
    if (weft__self_waiter == w)
        weft__become(NULL);
    rawlock_acquire(&registry_lock);
    weft__waiter_retire(w); /* under the lock: a child of fork tells the free ones by their place in the list */
    w->next_ready = idle_threads;
    idle_threads = w;
    rawlock_release(&registry_lock);
    fence_seq_cst();
    weft__watch_poke();
}

static void make_key(void)
{
    if (pthread_key_create(&thread_end, give_back) != 0)
        weft__panic("no thread-specific key left: the program uses all %d", 1024);
}

static weft__waiter *take_idle_thread(void)
{
    rawlock_acquire(&registry_lock);
    weft__waiter *w = idle_threads;
    if (w == &first_slot.waiter && w->left_id != 0 && !have_slab)
        w = NULL; /* whom a fork left behind keeps his name for as long as there are others */
    if (w != NULL) {
        idle_threads = w->next_ready;
        weft__waiter_set_name(w, ""); /* one that a fork left behind was still called something, ... */
        w->pastime = NULL;            /* ... or hosted a scheduler, as one whose thread has ended may have */
        weft__waiter_renew(w);
    }
    rawlock_release(&registry_lock);
    return w;
}

/* Make some waiters, keep the first and put the others on the free list. The process's very first is alone. */
static weft__waiter *make_threads(void)
{
    bool alone = swap_acq_rel(&first_taken, 1) == 0;
    void *p = &first_slot;
    unsigned n = 0, most = alone ? 1 : SLAB;
    int err = alone ? 0 : weft__sys_map(&p, SLAB * sizeof(thread_slot));
    thread_slot *slab = p;
    while (err == 0 && n < most && (err = weft__waiter_register(&slab[n].waiter, &weft__thread_ops)) == 0)
        n++;
    if (n == 0)
        weft__panic("no waiter for thread %d: %s", (int)weft__sys_tid(),
                    err == -EAGAIN ? "4 million are registered" : "out of memory");
    leak_root(p, most * sizeof(thread_slot)); /* a thread's own values may hang on its waiter alone */
    weft__waiter_renew(&slab[0].waiter);
    rawlock_acquire(&registry_lock);
    have_slab |= !alone;
    for (unsigned i = 1; i < n; i++) {
        slab[i].waiter.next_ready = idle_threads;
        idle_threads = &slab[i].waiter;
    }
    rawlock_release(&registry_lock);
    return &slab[0].waiter;
}

weft__waiter *weft__self_slow(void)
{
    pthread_once(&thread_end_once, make_key);
    weft__waiter *w = pthread_getspecific(thread_end); /* a scheduler thread that runs as itself again */
    if (w == NULL) {
        w = take_idle_thread();
        if (w == NULL)
            w = make_threads();
        store_relaxed(&w->tid, weft__sys_tid());
        w->locals = inherited;
        inherited = NULL;
        pthread_setspecific(thread_end, w);
        weft__become(w);
        if (weft__thread_watcher != NULL)
            weft__thread_watcher->begins(w);
        return w;
    }
    weft__become(w);
    return w;
}

/* ---- a wait ---- */

uint32_t weft__wait_block(weft__waiter *self, int64_t until_ns)
{
    if (unlikely(weft__wait_cancelled(self)) && !self->hard && weft__waiter_claim(self, WEFT__CANCELLED))
        goto done;
    if (until_ns <= 0 && weft__waiter_claim(self, WEFT__TIMEDOUT)) /* WEFT_NOW; later ones are block's to see */
        goto done;
    self->ops->block(self, until_ns);
done:;
    uint32_t why = load_acquire(&self->state);
    store_relaxed(&self->state, WEFT__IDLE);
    store_relaxed(&self->waits, self->waits + 1);
    /* Cancelled beats deadline: both may have come, and the deadline was only seen first. */
    if (why == WEFT__TIMEDOUT && !self->hard && weft__wait_cancelled(self))
        why = WEFT__CANCELLED;
    return why;
}

uint32_t weft__wait_abandon(weft__waiter *self)
{
    uint32_t why = WEFT__IDLE;
    if (!weft__waiter_claim(self, WEFT__TIMEDOUT)) {
        self->ops->block(self, INT64_MAX); /* the claimer is about to call ready */
        why = load_acquire(&self->state);
    }
    store_relaxed(&self->state, WEFT__IDLE);
    store_relaxed(&self->waits, self->waits + 1);
    return why;
}

void weft__waiter_cancel(weft__waiter *w)
{
    store_seq_cst(&w->cancel, 1);
    fence_seq_cst();
    if (weft__waiter_claim(w, WEFT__CANCELLED))
        weft__waiter_ready(w);
}

/* ---- fork ---- */

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&registry_lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    rawlock_release(&registry_lock);
}

/* In the child of a coroutine its thread goes on with the coroutine's values. It may have been somebody itself, who ran
 * the coroutine while waiting: that one stays behind, with its wait, which nobody here would end, and what it holds. */
WEFT__FORK_TEXT static void inherit(weft__waiter *thread, weft__waiter *co)
{
    if (thread == NULL) {
        inherited = co->locals;
    } else {
        weft__waiter_leave_behind(thread);
        weft__waiter_renew(thread);
        thread->locals = co->locals;
        thread->state = WEFT__IDLE;
        thread->awaits = NULL;
    }
    co->locals = NULL;
}

/* In the child only the calling thread exists. The others' waiters are free; coroutines are co's to sort out. */
WEFT__FORK_TEXT static void after_fork_child(void)
{
    registry_lock.word = 0;
    weft__forked = true;
    weft__sys_holds_signals = false; /* the child may unblock them, as nobody does to a thread of weft's own */
    weft__waiter *present = weft__self_waiter, *self = present;
    uint32_t n = registered;
    if (n > 0 && (present == NULL || present->ops != &weft__thread_ops)) {
        pthread_once(&thread_end_once, make_key);
        self = pthread_getspecific(thread_end);
    }
    weft__waiter **last = NULL;
    for (uint32_t i = 0; i < n; i++) {
        weft__waiter *w = chunks[i / CHUNK][i % CHUNK];
        if (w->ops != &weft__thread_ops || w->id == 0 || w == self)
            continue;
        weft__waiter_leave_behind(w);
        w->state = WEFT__IDLE;
        w->word = NULL;
        w->wake_fd = -1;
        w->next_ready = NULL;
        if (last == NULL) /* behind the others: so their names are kept for longest */
            for (last = &idle_threads; *last != NULL;)
                last = &(*last)->next_ready;
        *last = w;
        last = &w->next_ready;
    }
    if (self != NULL) {
        store_relaxed(&self->tid, weft__sys_tid());
        self->pastime = NULL; /* the scheduler that it ran between its own doings has stayed with the parent */
    }
    if (present != NULL && present != self)
        inherit(self, present);
}

__attribute__((constructor(101))) static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
