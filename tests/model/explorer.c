/* explorer.c - the search itself. See explorer.h.
 *
 * A path is a list of nodes, one a step: what was chosen, what else is still to be tried (todo), what need not be tried
 * because an equivalent run had it (sleep). After a run the deepest node with something to do gives the next run's
 * prefix. Two steps are dependent when they are of one thread or touch the same address and one of them writes.
 *
 * Under a bound these are surprises: to take the processor from a thread that can go on, and to leave a store in an
 * empty buffer instead of flushing it at once. Each case is searched with small bounds first, without delayed stores
 * and then with them, and then with its own bound: most mistakes show in a run with few surprises, and a large search
 * may be long before it comes there. */
#include "explorer.h"

#include "co/switch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    T = MODEL_THREADS,
    DEPTH = 6000,
    BUFFER = 24,
    STACK = 64 * 1024,
    CHOICES = 5 * T /* run, flush, deadline, wake without cause, death: each for every thread */
};

enum status {
    RUNNING,
    ASLEEP,  /* in the kernel */
    RELAXED, /* looks again and again: not before another has moved */
    DONE
};

typedef struct vthread {
    void *sp;
    enum status status;
    enum model_kind kind; /* of its next step */
    const volatile void *addr;
    bool timed, sliced; /* asleep: has a deadline; is on a shared word */
    bool may_wake;      /* a wake without cause is left */
    uint8_t dead;       /* killed: what weft__process_dead reports */
    int result;         /* of the sleep */
    struct {
        volatile void *addr;
        unsigned size;
        uint64_t value;
    } buffer[BUFFER];
    unsigned buffered;
    bool delayed; /* its buffer was not flushed at once: when it is, is open */
    weft__waiter waiter;
    _Alignas(64) char stack[STACK];
} vthread;

typedef struct node {
    int chosen, prev;
    unsigned preemptions;
    uint32_t todo, sleep;
    enum model_kind kind[CHOICES];
    const volatile void *addr[CHOICES];
} node;

static vthread threads[T];
static node path[DEPTH];
static const model_case *now_running;
static unsigned n_threads, depth, fixed, current;
static unsigned long runs, cut, steps;
static int64_t model_clock;
static void *explorer_sp;
static const char *failure;
static char failure_text[512];
static bool may_delay;                         /* under a bound: stores may stay in their buffers */
static bool inside;                            /* a virtual thread runs; else memory is accessed directly */
static const char *replay;                     /* WEFT_SCHEDULE: the choices, comma-separated */
static const volatile char *freed, *freed_end; /* what must not be touched any more in this run */

weft__waiter *model_waiter(unsigned i)
{
    return &threads[i].waiter;
}

void model_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(failure_text, sizeof failure_text, fmt, args);
    va_end(args);
    failure = failure_text;
    if (inside)
        weft__switch(&threads[current].sp, explorer_sp); /* never to come back */
}

bool model_dead(unsigned i)
{
    model_point(MODEL_READ, &threads[i].dead);
    return threads[i].dead;
}

/* ---- what a virtual thread does at a point ---- */

static void give_way(enum model_kind kind, const volatile void *addr)
{
    vthread *t = &threads[current];
    t->kind = kind;
    t->addr = addr;
    weft__switch(&t->sp, explorer_sp);
}

/* What the own waiter notes for reports is read by nobody here: no point, and no store to buffer. */
static bool is_note(const volatile void *addr)
{
    const weft__waiter *w = &threads[current].waiter;
    return addr == &w->word || addr == &w->what || addr == &w->waits;
}

void model_free(void *object, size_t size)
{
    model_point(MODEL_RMW, object);
    freed = object;
    freed_end = freed + size;
}

static void check_freed(const volatile void *addr)
{
    const volatile char *p = addr;
    if (freed != NULL && p >= freed && p < freed_end)
        model_fail("memory is touched at %zu bytes from its start after it was freed", (size_t)(p - freed));
}

void model_point(enum model_kind kind, const volatile void *addr)
{
    if (!inside || is_note(addr))
        return;
    give_way(kind, addr);
    check_freed(addr);
}

uint32_t *model_word(unsigned i)
{
    static uint32_t pool[64];
    unsigned seen = 0;
    for (unsigned k = 0; k < WEFT__ARRAY_LEN(pool); k++)
        if ((weft__bucket_of(&pool[k]) == weft__bucket_of(NULL)) == (i >= 8) && seen++ == i % 8)
            return &pool[k];
    abort();
}

void model_relax(void)
{
    if (!inside)
        return;
    threads[current].status = RELAXED;
    give_way(MODEL_LOCAL, NULL);
}

static uint64_t read_memory(const volatile void *addr, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)addr;
    case 4:
        return *(const volatile uint32_t *)addr;
    default:
        return *(const volatile uint64_t *)addr;
    }
}

static void write_memory(volatile void *addr, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)addr = (uint8_t)value;
        break;
    case 4:
        *(volatile uint32_t *)addr = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)addr = value;
    }
}

uint64_t model_load(const volatile void *addr, unsigned size)
{
    model_point(MODEL_READ, addr);
    const vthread *t = &threads[current];
    for (unsigned i = inside ? t->buffered : 0; i-- > 0;)
        if (t->buffer[i].addr == addr)
            return t->buffer[i].value;
    return read_memory(addr, size);
}

void model_store(volatile void *addr, unsigned size, uint64_t value)
{
    model_point(MODEL_WRITE, addr);
    vthread *t = &threads[current];
    if (!inside || is_note(addr)) {
        write_memory(addr, size, value);
        return;
    }
    if (t->buffered == BUFFER)
        model_fail("store buffer of %d full", BUFFER);
    t->buffer[t->buffered].addr = addr;
    t->buffer[t->buffered].size = size;
    t->buffer[t->buffered++].value = value;
}

static void flush_one(unsigned i)
{
    vthread *t = &threads[i];
    check_freed(t->buffer[0].addr);
    write_memory(t->buffer[0].addr, t->buffer[0].size, t->buffer[0].value);
    memmove(&t->buffer[0], &t->buffer[1], --t->buffered * sizeof t->buffer[0]);
    if (t->buffered == 0)
        t->delayed = false;
}

void model_enter(void *region)
{
    unsigned char *r = region;
    model_point(MODEL_RMW, region);
    if (*r != 0)
        model_fail("two are inside at once");
    *r = 1;
}

void model_leave(void *region)
{
    model_point(MODEL_RMW, region);
    *(unsigned char *)region = 0;
}

/* ---- the kernel ---- */

int model_futex_wait(const uint32_t *word, uint32_t expected, bool timed, bool sliced)
{
    vthread *t = &threads[current];
    model_point(MODEL_RMW, word);
    if (*word != expected)
        return -EAGAIN;
    if (now_running->step_clock)
        model_clock += 2000000;
    t->status = ASLEEP;
    t->timed = timed;
    t->sliced = sliced;
    give_way(MODEL_RMW, word);
    return t->result;
}

int model_futex_wake(const uint32_t *word, unsigned n)
{
    unsigned woken = 0;
    if (inside)
        give_way(MODEL_RMW, word); /* an address: the word itself may be gone */
    for (unsigned i = 0; i < n_threads && woken < n; i++) {
        vthread *t = &threads[i];
        if (t->status == ASLEEP && t->addr == word) {
            t->status = RUNNING;
            t->kind = MODEL_LOCAL;
            t->result = 0;
            woken++;
        }
    }
    return (int)woken;
}

int64_t model_now(void)
{
    return model_clock;
}

/* ---- the search ---- */

enum {
    RUN = 0,
    FLUSH = T,
    DEADLINE = 2 * T,
    SPURIOUS = 3 * T,
    DEATH = 4 * T
};

static bool writes(enum model_kind kind)
{
    return kind == MODEL_WRITE || kind == MODEL_RMW;
}

static bool dependent(const node *at, unsigned a, unsigned b)
{
    if (a % T == b % T)
        return true;
    if (at->addr[a] != at->addr[b] || at->addr[a] == NULL)
        return false;
    return writes(at->kind[a]) || writes(at->kind[b]);
}

/* What thread i could do now besides running; notes what each choice would touch. */
static uint32_t enabled_events(node *at, unsigned i)
{
    const vthread *t = &threads[i];
    uint32_t set = 0;
    if (t->buffered != 0)
        set |= 1u << (FLUSH + i);
    if (t->status == ASLEEP && t->timed)
        set |= 1u << (DEADLINE + i);
    if (t->status == ASLEEP && t->sliced && t->may_wake)
        set |= 1u << (SPURIOUS + i);
    if (t->status != DONE && (now_running->mortal >> i & 1))
        set |= 1u << (DEATH + i);
    at->kind[FLUSH + i] = MODEL_WRITE;
    at->addr[FLUSH + i] = t->buffered != 0 ? t->buffer[0].addr : NULL;
    at->kind[DEADLINE + i] = at->kind[SPURIOUS + i] = MODEL_RMW;
    at->addr[DEADLINE + i] = at->addr[SPURIOUS + i] = t->addr;
    at->kind[DEATH + i] = MODEL_WRITE;
    at->addr[DEATH + i] = &t->dead;
    return set;
}

/* What can be done now, as a set of choices. */
static uint32_t enabled(node *at)
{
    uint32_t set = 0, deaths = 0;
    for (unsigned i = 0; i < n_threads; i++) {
        const vthread *t = &threads[i];
        bool waits_for_flush = (t->kind == MODEL_RMW || t->kind == MODEL_FENCE) && t->buffered != 0;
        if (t->status == RUNNING && !waits_for_flush)
            set |= 1u << (RUN + i);
        at->kind[RUN + i] = t->kind == MODEL_WRITE || t->kind == MODEL_FENCE ? MODEL_LOCAL : t->kind;
        at->addr[RUN + i] = at->kind[RUN + i] == MODEL_LOCAL ? NULL : t->addr;
        uint32_t events = enabled_events(at, i);
        deaths |= events & (1u << (DEATH + i));
        set |= events & ~(1u << (DEATH + i));
    }
    for (unsigned i = 0; set == 0 && i < n_threads; i++)
        if (threads[i].status == RELAXED)
            set |= 1u << (RUN + i);
    if (set == 0 && now_running->mortal != 0) /* the slices of those who sleep on shared words end */
        for (unsigned i = 0; i < n_threads; i++)
            if (threads[i].status == ASLEEP && threads[i].sliced)
                set |= 1u << (SPURIOUS + i);
    return set | (set != 0 ? deaths : 0);
}

/* An event at thread i that is not a step of its own. */
static void strike(int choice, vthread *t)
{
    if (choice >= DEATH) {
        while (t->buffered != 0) /* what the processor has taken becomes visible */
            flush_one((unsigned)choice % T);
        t->dead = 1;
        t->status = DONE;
        return;
    }
    t->status = RUNNING;
    t->kind = MODEL_LOCAL;
    t->result = choice >= SPURIOUS ? 0 : -ETIMEDOUT;
    if (choice >= SPURIOUS) {
        t->may_wake = false;
        model_clock += 100000000;
    }
}

static void perform(int choice)
{
    unsigned i = (unsigned)choice % T;
    vthread *t = &threads[i];
    for (unsigned k = 0; k < n_threads; k++)
        if (k != i && threads[k].status == RELAXED)
            threads[k].status = RUNNING;
    if (choice >= DEADLINE) {
        strike(choice, t);
        return;
    }
    if (choice >= FLUSH) {
        flush_one(i);
        return;
    }
    t->status = RUNNING;
    current = i;
    weft__become(&t->waiter);
    weft__process_token = i + 1;
    if (now_running->enter != NULL)
        now_running->enter(i);
    inside = true;
    weft__switch(&explorer_sp, t->sp);
    inside = false;
}

static void thread_main(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    give_way(MODEL_LOCAL, NULL);
    now_running->body(i);
    threads[i].status = DONE;
    for (;;)
        give_way(MODEL_LOCAL, NULL);
}

static void start_run(void)
{
    memset(weft__words.buckets, 0, sizeof *weft__words.buckets << WEFT__BUCKETS_LOG2);
    model_clock = 1;
    failure = NULL;
    freed = freed_end = NULL;
    depth = 0;
    for (unsigned i = 0; i < n_threads; i++) {
        vthread *t = &threads[i];
        t->status = RUNNING;
        t->kind = MODEL_LOCAL;
        t->addr = NULL;
        t->buffered = 0;
        t->delayed = false;
        t->may_wake = now_running->spurious;
        t->dead = 0;
        weft__waiter *w = &t->waiter;
        w->state = w->token = w->cancel = w->shield = w->hard = w->spin = 0;
        w->word = NULL;
        t->sp = weft__switch_prepare(t->stack, t->stack + STACK, thread_main, (void *)(uintptr_t)i);
    }
    now_running->reset();
}

/* The stores that have just come into an empty buffer, as flushes. */
static uint32_t fresh_stores(void)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < n_threads; i++)
        if (threads[i].buffered == 1 && !threads[i].delayed)
            set |= 1u << (FLUSH + i);
    return set;
}

/* What this step may choose from. 0: everything possible was seen in an equivalent run. */
static uint32_t to_try(node *at, uint32_t set, int prev, unsigned preemptions)
{
    bool exact = now_running->bound == MODEL_EXACT;
    at->prev = prev;
    at->preemptions = preemptions;
    at->sleep = 0;
    if (exact && depth > 0) {
        const node *before = at - 1;
        for (unsigned i = 0; i < CHOICES; i++)
            if (before->sleep >> i & 1 && !dependent(before, i, (unsigned)before->chosen))
                at->sleep |= 1u << i;
    }
    uint32_t todo = set & ~at->sleep;
    uint32_t fresh = exact ? 0 : fresh_stores();
    if (fresh != 0 && (!may_delay || preemptions >= now_running->bound))
        return fresh & -fresh;
    /* A step that concerns nobody else commutes with everything: no other order needs to be tried. */
    for (unsigned i = 0; fresh == 0 && i < n_threads; i++)
        if ((todo >> (RUN + i) & 1) && at->kind[RUN + i] == MODEL_LOCAL && threads[i].status == RUNNING &&
            !(now_running->mortal >> i & 1) && (exact || (int)i == prev))
            return 1u << (RUN + i);
    if (exact || preemptions < now_running->bound)
        return todo;
    if (prev >= 0 && (set >> prev & 1))
        todo &= 1u << prev | ~((1u << T) - 1);
    return todo;
}

/* Fresh stores that this choice does not flush stay in their buffers. Returns how many. */
static unsigned delay_others(int choice)
{
    unsigned n = 0;
    uint32_t fresh = fresh_stores();
    for (unsigned i = 0; i < n_threads; i++)
        if ((fresh >> (FLUSH + i) & 1) && choice != (int)(FLUSH + i)) {
            threads[i].delayed = true;
            n++;
        }
    return n;
}

/* One run. True: to its end (or a failure); false: cut, an equivalent one was seen. */
static bool run_once(void)
{
    int prev = -1;
    unsigned preemptions = 0;
    start_run();
    for (;;) {
        node *at = &path[depth];
        uint32_t set = enabled(at);
        if (set == 0) {
            for (unsigned i = 0; i < n_threads; i++)
                if (threads[i].status != DONE) {
                    snprintf(failure_text, sizeof failure_text, "thread %u sleeps on %p (%s) and nobody can move", i,
                             (void *)(uintptr_t)threads[i].addr,
                             threads[i].waiter.what != NULL ? threads[i].waiter.what : "?");
                    failure = failure_text;
                    return true;
                }
        }
        bool all_done = true;
        for (unsigned i = 0; i < n_threads; i++)
            all_done = all_done && threads[i].status == DONE && threads[i].buffered == 0;
        if (all_done) {
            now_running->final();
            return true;
        }
        if (depth + 1 >= DEPTH) {
            failure = "a run has no end: more steps than the explorer can hold";
            return true;
        }
        if (depth >= fixed) {
            at->todo = to_try(at, set, prev, preemptions);
            if (at->todo == 0)
                return false;
            uint32_t fresh = fresh_stores() & at->todo;
            at->chosen = fresh != 0                            ? __builtin_ctz(fresh)
                         : prev >= 0 && (at->todo >> prev & 1) ? prev
                                                               : __builtin_ctz(at->todo);
            if (replay != NULL && *replay != 0)
                at->chosen = (int)strtol(replay, (char **)&replay, 10), replay += *replay == ',';
            at->todo &= ~(1u << at->chosen);
        }
        int choice = at->chosen;
        depth++;
        steps++;
        preemptions += delay_others(choice);
        if (choice < FLUSH) {
            preemptions += prev >= 0 && (set >> prev & 1) && choice != prev;
            prev = choice;
        }
        perform(choice);
        if (failure != NULL)
            return true;
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* the budget is work, whatever else the machine does */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_schedule(void)
{
    printf("    WEFT_SCHEDULE=\"%s:", now_running->name);
    for (unsigned i = 0; i < depth; i++)
        printf("%s%d", i > 0 ? "," : "", path[i].chosen);
    puts("\"");
}

/* Search one case under its bound until the clock shows `end`. Returns how that went. */
static const char *search(const model_case *c, double end)
{
    now_running = c;
    fixed = 0;
    for (;;) {
        *(run_once() ? &runs : &cut) += 1;
        if (failure != NULL)
            return failure;
        if (replay != NULL)
            return "replayed";
        while (depth > 0 && path[depth - 1].todo == 0)
            depth--;
        if (depth == 0)
            return c->bound == MODEL_EXACT ? "exhausted" : "exhausted within its bound";
        node *last = &path[depth - 1];
        last->sleep |= 1u << last->chosen;
        last->chosen = __builtin_ctz(last->todo);
        last->todo &= last->todo - 1;
        fixed = depth;
        if ((runs + cut) % 256 == 0 && seconds() > end)
            return "time over";
    }
}

/* Explore one case for at most `limit` seconds. Returns whether it held. */
static bool explore(const model_case *c, double limit)
{
    n_threads = c->threads;
    runs = cut = steps = 0;
    double start = seconds();
    const char *end = NULL;
    model_case part = *c;
    failure = NULL;
    if (replay != NULL) {
        part.bound = MODEL_EXACT - 1;
        end = search(&part, start + limit);
    } else {
        unsigned most = c->bound == MODEL_EXACT ? 2 : c->bound;
        for (unsigned i = 0; i < 2 * most && failure == NULL; i++) {
            part.bound = i % most + 1;
            may_delay = i >= most;
            end = search(&part, start + limit);
        }
        if (failure == NULL && c->bound > most && seconds() <= start + limit)
            end = search(c, start + limit);
    }
    printf("%-44s %u threads %10lu runs %10lu cut %12lu steps %6.2f s: %s\n", c->name, c->threads, runs, cut, steps,
           seconds() - start, end);
    if (failure != NULL)
        print_schedule();
    fflush(stdout);
    return failure == NULL;
}

static const model_case *const all_cases[] = {
    waiter_cases, park_cases,   lock_cases,  sem_cases,    event_cases, cond_cases, once_cases, barrier_cases,
    rwlock_cases, future_cases, queue_cases, select_cases, pool_cases,  ring_cases, slot_cases, sched_cases};

/* model [SECONDS [PREFIX]]: explore all cases, or those whose name starts with PREFIX, in about SECONDS in all. */
int main(int argc, char **argv)
{
    const char *budget = argc > 1 ? argv[1] : getenv("WEFT_MODEL_SECONDS");
    const char *prefix = argc > 2 ? argv[2] : "";
    double total = budget != NULL ? atof(budget) : 60;
    char replay_name[128] = "";
    const char *schedule = getenv("WEFT_SCHEDULE");
    if (schedule != NULL && strchr(schedule, ':') != NULL) {
        snprintf(replay_name, sizeof replay_name, "%.*s", (int)(strchr(schedule, ':') - schedule), schedule);
        prefix = replay_name;
    }
    double shares = 0;
    for (unsigned f = 0; f < WEFT__ARRAY_LEN(all_cases); f++)
        for (const model_case *c = all_cases[f]; c->name != NULL; c++)
            if (strncmp(c->name, prefix, strlen(prefix)) == 0)
                shares += c->share != 0 ? c->share : 1;
    for (unsigned i = 0; i < T; i++) {
        weft__waiter_register(&threads[i].waiter, &weft__thread_ops);
        weft__waiter_renew(&threads[i].waiter);
    }
    weft__may_spin(); /* what is found out once must be known before the first run, or runs differ */
    unsigned passed = 0, failed = 0;
    unsigned long all_runs = 0;
    double begin = seconds();
    for (unsigned f = 0; f < WEFT__ARRAY_LEN(all_cases); f++)
        for (const model_case *c = all_cases[f]; c->name != NULL; c++) {
            if (strncmp(c->name, prefix, strlen(prefix)) != 0)
                continue;
            if (replay_name[0] != 0)
                replay = strchr(schedule, ':') + 1;
            double share = c->share != 0 ? c->share : 1; /* of what those before have left */
            *(explore(c, (total - (seconds() - begin)) * share / shares) ? &passed : &failed) += 1;
            shares -= share;
            all_runs += runs + cut;
        }
    printf("%lu executions in all\n%u passed, %u failed, 0 skipped\n", all_runs, passed, failed);
    return failed != 0 || passed == 0;
}
