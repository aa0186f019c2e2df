/* weft_shared_queue among processes that are killed at random moments, stopped, or hostile. */
#include "harness/harness.h"

#include "base/atomic.h"
#include "park/park.h"
#include "process/shared_ring.h"

#include <weft/shared_queue.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    WORKERS = 3,
    NUMBERS = 1 << 24 /* on a fast machine they are all put before the last kill */
};

static unsigned seed = 4711;

static void pause_at_random(void)
{
    struct timespec pause = {0, 50000 + rand_r(&seed) % 700000};
    nanosleep(&pause, NULL); /* the moment of the kill is random; nothing settles */
}

static void kill_waiter(test *t, int waiter)
{
    kill(test_pid(t, waiter), SIGKILL);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, waiter));
}

/* ---- killed in the midst: made to happen ---- */

typedef struct scene {
    weft_shared_queue *q;
    uint32_t lives;             /* atomic: of the one worker that starts next */
    uint32_t returned[1 << 16]; /* atomic: of each life, how many puts have returned */
    uint32_t stop;
    uint8_t seen[NUMBERS];  /* atomic */
    uint32_t next, doubles; /* atomic */
} scene;

static int die_in_a_put(void *arg)
{
    weft_shared_queue *q = arg;
    weft__ring_side *s = &q->ring->sides[WEFT__RING_PUT];
    uint32_t seen = 0;
    CHECK(cas_acquire(&s->lock.word, &seen, weft__process()));
    s->begun = s->mark + WEFT__RING_MARK(1, 9);
    memset(q->store + (size_t)WEFT__RING_AT(s->mark) * WEFT__RING_UNIT, 'x', 40);
    raise(SIGKILL);
    return 0;
}

static int die_after_a_put(void *arg)
{
    weft_shared_queue *q = arg;
    CHECK_OK(weft_shared_queue_put(q, "whole", 5, WEFT_FOREVER));
    uint32_t seen = 0;
    CHECK(cas_acquire(&q->ring->sides[WEFT__RING_PUT].lock.word, &seen, weft__process()));
    raise(SIGKILL);
    return 0;
}

static int die_in_a_get(void *arg)
{
    weft_shared_queue *q = arg;
    uint32_t seen = 0;
    CHECK(cas_acquire(&q->ring->sides[WEFT__RING_GET].lock.word, &seen, weft__process()));
    raise(SIGKILL);
    return 0;
}

static void expect(weft_shared_queue *q, const char *text)
{
    char buffer[100];
    size_t size = 0;
    CHECK_OK(weft_shared_queue_get(q, buffer, sizeof buffer - 1, &size, WEFT_NOW));
    buffer[size] = 0;
    CHECK_STR(text, buffer);
}

/* H91 */
TEST_IN(PROCESS, shared_queue_skips_and_counts_what_the_dead_half_wrote)
{
    weft_shared_queue *q;
    CHECK_OK(weft_shared_queue_new(&q, NULL));
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_after_a_put, q)));
    CHECK_OK(weft_shared_queue_put(q, "own", 3, WEFT_NOW));
    CHECK_INT(0, weft_shared_queue_lost(q));
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_in_a_put, q)));
        CHECK_OK(weft_shared_queue_put(q, "next", 4, WEFT_NOW));
        CHECK_INT(i, weft_shared_queue_lost(q));
    }
    expect(q, "whole");
    expect(q, "own");
    for (int i = 0; i < 3; i++) {
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_in_a_get, q)));
        expect(q, "next");
    }
    CHECK_INT(0, weft_shared_queue_size(q));
    weft_shared_queue_free(q);
}

static int drop_by_halves(void *arg)
{
    weft_shared_queue *q = arg;
    weft__ring *r = q->ring;
    uint32_t seen = 0;
    CHECK(cas_acquire(&r->sides[WEFT__RING_GET].lock.word, &seen, weft__process()));
    store_seq_cst(&r->last, r->sides[WEFT__RING_GET].mark);
    store_seq_cst(&r->closed, (uint32_t)WEFT__RING_DROPS);
    raise(SIGKILL);
    return 0;
}

TEST_IN(PROCESS, shared_queue_finishes_what_the_dead_began_to_drop)
{
    weft_shared_queue *q;
    char c;
    size_t size;
    CHECK_OK(weft_shared_queue_new(&q, NULL));
    CHECK_OK(weft_shared_queue_put(q, "x", 1, WEFT_NOW));
    CHECK_OK(weft_shared_queue_put(q, "y", 1, WEFT_NOW));
    expect(q, "x");
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, drop_by_halves, q)));
    CHECK_ERR(-EPIPE, weft_shared_queue_get(q, &c, 1, &size, WEFT_FOREVER));
    CHECK_ERR(-EPIPE, weft_shared_queue_put(q, "x", 1, WEFT_FOREVER));
    CHECK_OK(weft_shared_queue_task_done(q));
    CHECK_OK(weft_shared_queue_join(q, WEFT_NOW));
    weft_shared_queue_free(q);
}

static int die_as_producer(void *arg)
{
    CHECK_OK(weft_shared_queue_producer_begin(arg));
    CHECK_OK(weft_shared_queue_put(arg, "last", 4, WEFT_FOREVER));
    raise(SIGKILL);
    return 0;
}

TEST_IN(PROCESS, shared_queue_ends_when_the_last_producer_is_killed)
{
    weft_shared_queue *q;
    char buffer[10];
    size_t size;
    CHECK_OK(weft_shared_queue_new(&q, NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_as_producer, q)));
        CHECK_OK(weft_shared_queue_get(q, buffer, sizeof buffer, &size, WEFT_FOREVER));
        CHECK_ERR(-WEFT_EEOF, weft_shared_queue_get(q, buffer, sizeof buffer, &size, WEFT_FOREVER));
    }
    weft_shared_queue_free(q);
}

/* ---- killed at random ---- */

typedef struct letter {
    uint32_t life, number;
    uint32_t words[250];
} letter;

static size_t letter_size(uint32_t number)
{
    return 8 + number % 251 * 4;
}

static int write_letters(void *arg)
{
    scene *s = arg;
    letter l = {.life = add_relaxed(&s->lives, 1)};
    for (;;) {
        for (unsigned i = 0; i < 250; i++)
            l.words[i] = l.life ^ l.number ^ i;
        CHECK_OK(weft_shared_queue_put(s->q, &l, letter_size(l.number), weft_in_seconds(60)));
        store_seq_cst(&s->returned[l.life], ++l.number);
    }
    return 0;
}

typedef struct reader {
    uint32_t got[1 << 16]; /* of each life, how many */
} reader;

static bool read_letter(scene *s, reader *r, weft_until until)
{
    letter l;
    size_t size = 0;
    int err = weft_shared_queue_get(s->q, &l, sizeof l, &size, until);
    if (err == -WEFT_EEMPTY)
        return false;
    CHECK_OK(err);
    CHECK(size >= 8 && l.life < 1 << 16);
    CHECK_INT(r->got[l.life], l.number); /* none lost, none doubled, in order */
    CHECK_INT(letter_size(l.number), size);
    for (unsigned i = 0; i < (size - 8) / 4; i++)
        CHECK_INT(l.life ^ l.number ^ i, l.words[i]);
    r->got[l.life]++;
    return true;
}

/* H91: whole messages survive their writers; the reader is never stuck. */
TEST_IN_LIMIT(240, PROCESS, kill_of_shared_queue_putters_loses_no_whole_message)
{
    scene *s = test_alloc(t, sizeof *s);
    reader *r = test_alloc(t, sizeof *r);
    int worker[WORKERS];
    weft_shared_queue_options o = {.bytes = 16384};
    CHECK_OK(weft_shared_queue_new(&s->q, &o));
    for (int i = 0; i < WORKERS; i++)
        worker[i] = test_spawn(t, write_letters, s);
    for (long kills = test_rounds(300, 5000); kills > 0; kills--) {
        for (unsigned n = (unsigned)rand_r(&seed) % 60; n > 0; n--)
            CHECK(read_letter(s, r, weft_in_seconds(60)));
        if (kills % 4 == 0)
            pause_at_random();
        int victim = rand_r(&seed) % WORKERS;
        kill_waiter(t, worker[victim]);
        worker[victim] = test_spawn(t, write_letters, s);
    }
    for (int i = 0; i < WORKERS; i++)
        kill_waiter(t, worker[i]);
    while (read_letter(s, r, WEFT_NOW))
        ;
    for (uint32_t life = 0; life < s->lives; life++)
        CHECK_BETWEEN(s->returned[life], s->returned[life] + 1, r->got[life]);
    CHECK(weft_shared_queue_lost(s->q) <= s->lives);
    CHECK_OK(weft_shared_queue_put(s->q, "on", 2, WEFT_NOW));
    expect(s->q, "on");
    weft_shared_queue_free(s->q);
}

static int put_numbers(void *arg)
{
    scene *s = arg;
    while (load_relaxed(&s->stop) == 0) {
        uint32_t n = load_relaxed(&s->next) < NUMBERS ? add_relaxed(&s->next, 1) : NUMBERS;
        if (n >= NUMBERS) { /* all are put: only the killing goes on */
            struct timespec pause = {0, 1000000};
            nanosleep(&pause, NULL);
            continue;
        }
        CHECK_OK(weft_shared_queue_put(s->q, &n, sizeof n, weft_in_seconds(60)));
    }
    return 0;
}

static bool take_number(scene *s, weft_until until)
{
    uint32_t n;
    size_t size = 0;
    int err = weft_shared_queue_get(s->q, &n, sizeof n, &size, until);
    if (err == -WEFT_EEMPTY)
        return false;
    CHECK_OK(err);
    CHECK(size == sizeof n && n < NUMBERS);
    if (swap_acq_rel(&s->seen[n], (uint8_t)1) != 0)
        add_relaxed(&s->doubles, 1);
    return true;
}

static int take_numbers(void *arg)
{
    scene *s = arg;
    while (take_number(s, weft_in_seconds(60)) || load_relaxed(&s->next) >= NUMBERS)
        ;
    return 0;
}

/* H91: a getter takes at most one message with it. */
TEST_IN_LIMIT(240, PROCESS, kill_of_shared_queue_getters_loses_at_most_theirs)
{
    scene *s = test_alloc(t, sizeof *s);
    int putter[2], getter[WORKERS];
    weft_shared_queue_options o = {.capacity = 100};
    CHECK_OK(weft_shared_queue_new(&s->q, &o));
    for (int i = 0; i < 2; i++)
        putter[i] = test_spawn(t, put_numbers, s);
    for (int i = 0; i < WORKERS; i++)
        getter[i] = test_spawn(t, take_numbers, s);
    long kills = test_rounds(300, 5000);
    for (long k = 0; k < kills; k++) {
        pause_at_random();
        int victim = rand_r(&seed) % WORKERS;
        kill_waiter(t, getter[victim]);
        getter[victim] = test_spawn(t, take_numbers, s);
    }
    store_relaxed(&s->stop, 1);
    for (int i = 0; i < 2; i++)
        CHECK_INT(0, test_result(t, putter[i]));
    for (int i = 0; i < WORKERS; i++)
        kill_waiter(t, getter[i]);
    while (take_number(s, WEFT_NOW))
        ;
    long missing = 0;
    uint32_t end = s->next < NUMBERS ? s->next : NUMBERS;
    for (uint32_t n = 0; n < end; n++)
        missing += s->seen[n] == 0;
    CHECK_INT(0, s->doubles);
    CHECK_BETWEEN(0, kills + WORKERS, missing);
    CHECK_INT(0, weft_shared_queue_lost(s->q));
    weft_shared_queue_free(s->q);
}

/* Everybody is killed, now and then; the queue goes on. */
TEST_IN_LIMIT(240, PROCESS, kill_of_anybody_leaves_the_shared_queue_going)
{
    scene *s = test_alloc(t, sizeof *s);
    int worker[2 * WORKERS];
    weft_shared_queue_options o = {.capacity = 7, .bytes = 512};
    CHECK_OK(weft_shared_queue_new(&s->q, &o));
    for (int i = 0; i < 2 * WORKERS; i++)
        worker[i] = test_spawn(t, i % 2 == 0 ? put_numbers : take_numbers, s);
    for (long kills = test_rounds(300, 5000); kills > 0; kills--) {
        pause_at_random();
        int victim = rand_r(&seed) % (2 * WORKERS);
        kill_waiter(t, worker[victim]);
        worker[victim] = test_spawn(t, victim % 2 == 0 ? put_numbers : take_numbers, s);
    }
    uint32_t before = load_relaxed(&s->next);
    for (int64_t end = weft_now() + 60 * WEFT_SECOND; before < NUMBERS && load_relaxed(&s->next) - before < 100;)
        CHECK(weft_now() < end);
    for (int i = 0; i < 2 * WORKERS; i++) {
        kill(test_pid(t, worker[i]), SIGKILL);
        test_result(t, worker[i]);
    }
    while (take_number(s, WEFT_NOW))
        ;
    CHECK_INT(0, s->doubles);
    CHECK_INT(0, weft_shared_queue_size(s->q));
    weft_shared_queue_free(s->q);
}

/* ---- stopped, hostile ---- */

static int hold_for_ever(void *arg)
{
    weft_shared_queue *q = arg;
    uint32_t seen = 0;
    CHECK(cas_acquire(&q->ring->sides[WEFT__RING_PUT].lock.word, &seen, weft__process()));
    for (;;)
        pause();
    return 0;
}

TEST_IN_LIMIT(30, PROCESS, shared_queue_put_ends_although_a_stopped_process_holds_it_up)
{
    weft_shared_queue *q;
    CHECK_OK(weft_shared_queue_new(&q, NULL));
    CHECK_OK(weft_shared_queue_put(q, "x", 1, WEFT_NOW));
    int holder = test_spawn(t, hold_for_ever, q);
    while (!weft_lock_held(&q->ring->sides[WEFT__RING_PUT].lock))
        pause_at_random();
    CHECK_ERR(-ETIMEDOUT, weft_shared_queue_put(q, "x", 1, WEFT_NOW));
    CHECK_ERR(-ETIMEDOUT, weft_shared_queue_close(q, WEFT_CLOSE_DRAIN));
    expect(q, "x"); /* the getters' side is not concerned */
    kill_waiter(t, holder);
    CHECK_OK(weft_shared_queue_put(q, "y", 1, WEFT_NOW));
    expect(q, "y");
    weft_shared_queue_free(q);
}

/* A queue in memory with nothing readable before and behind it. */
static weft_shared_queue *guarded_queue(size_t bytes, char **memory, size_t *size)
{
    size_t page = 4096, head = (sizeof(weft__ring) + page - 1) / page * page;
    *size = head + bytes;
    char *p = mmap(NULL, *size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    *memory = mmap(p + page, *size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK_PTR(p + page, *memory);
    weft_shared_queue *q = aligned_alloc(WEFT__RING_PAIR, sizeof *q);
    memset(q, 0, sizeof *q);
    weft__ring_fill((weft__ring *)(void *)*memory, (uint32_t)(bytes / WEFT__RING_UNIT), 100);
    CHECK_OK(weft__ring_handle(q, (weft__ring *)(void *)*memory, *memory + head, bytes));
    return q;
}

static void use_spoilt(weft_shared_queue *q)
{
    char buffer[9000];
    size_t size = 0;
    memset(buffer, 'b', sizeof buffer);
    int err = weft_shared_queue_put(q, buffer, (size_t)rand_r(&seed) % 5000, WEFT_NOW);
    CHECK(err == 0 || err == -WEFT_EFULL || err == -EPIPE || err == -EMSGSIZE || err == -EBADMSG || err == -ETIMEDOUT);
    err = weft_shared_queue_get(q, buffer, (size_t)rand_r(&seed) % sizeof buffer, &size, WEFT_NOW);
    CHECK(err == 0 || err == -WEFT_EEMPTY || err == -EPIPE || err == -EMSGSIZE || err == -EBADMSG ||
          err == -ETIMEDOUT || err == -WEFT_EEOF);
    CHECK(err != 0 || size <= sizeof buffer);
    CHECK(weft_shared_queue_size(q) <= 100);
    weft_shared_queue_empty(q);
    weft_shared_queue_full(q);
    weft_shared_queue_task_done(q);
    weft_shared_queue_join(q, WEFT_NOW);
}

static bool in_a_lock(const weft__ring *r, const void *p)
{
    for (int side = 0; side < 2; side++)
        if ((const char *)p >= (const char *)&r->sides[side].lock &&
            (const char *)p < (const char *)(&r->sides[side].lock + 1))
            return true;
    return false;
}

/* Reliability: what is read from the memory is copied, checked, and then used. */
TEST_LIMIT(60, shared_queue_of_random_bytes_gives_errors_and_reads_nothing_else)
{
    char *memory;
    size_t size, bytes = 4096;
    weft_shared_queue *q = guarded_queue(bytes, &memory, &size);
    char *fresh = malloc(size);
    for (int i = 0; i < 5; i++)
        use_spoilt(q);
    memcpy(fresh, memory, size);
    for (long round = test_rounds(20000, 500000); round > 0; round--) {
        memcpy(memory, fresh, size);
        for (int flips = 1 + rand_r(&seed) % 8; flips > 0; flips--) {
            size_t reach = rand_r(&seed) % 4 == 0 ? size : sizeof(weft__ring);
            char *at = memory + (size_t)rand_r(&seed) % reach;
            if (!in_a_lock(q->ring, at)) /* a lock that seems to be held costs a second: see above */
                *at = (char)(rand_r(&seed) % 3 == 0 ? rand_r(&seed) : *at ^ 1 << rand_r(&seed) % 8);
        }
        for (int uses = 0; uses < 3; uses++)
            use_spoilt(q);
    }
    free(fresh);
    free(q);
    munmap(memory - 4096, size + 2 * 4096);
}

typedef struct attack {
    weft_shared_queue *q;
    char *memory;
    size_t size;
    uint32_t stop, flips; /* atomic */
} attack;

static int spoil(void *arg)
{
    attack *a = arg;
    unsigned own = (unsigned)getpid();
    while (load_relaxed(&a->stop) == 0) {
        char *at = a->memory + (size_t)rand_r(&own) % (rand_r(&own) % 4 == 0 ? a->size : sizeof(weft__ring));
        if (in_a_lock(a->q->ring, at)) /* freed under its holder */
            store_relaxed(&a->q->ring->sides[rand_r(&own) % 2].lock.word, 0);
        else
            store_relaxed(at, (char)rand_r(&own));
        if (rand_r(&own) % 64 == 0) { /* now and then it looks whole */
            memset(a->q->ring->sides, 0, sizeof a->q->ring->sides);
            weft__ring_fill(a->q->ring, a->q->units, a->q->capacity);
            store_relaxed(&a->q->ring->closed, 0);
        }
        add_relaxed(&a->flips, 1);
    }
    return 0;
}

TEST_IN_LIMIT(60, PROCESS, shared_queue_with_a_hostile_peer_gives_errors_and_reads_nothing_else)
{
    attack *a = test_alloc(t, sizeof *a);
    char *memory;
    a->q = guarded_queue(4096, &memory, &a->size);
    a->memory = memory;
    int peer = test_spawn(t, spoil, a);
    for (long round = test_rounds(20000, 500000); round > 0 || load_relaxed(&a->flips) < 20000; round--)
        use_spoilt(a->q);
    store_relaxed(&a->stop, 1);
    CHECK_INT(0, test_result(t, peer));
    free(a->q);
    munmap(memory - 4096, a->size + 2 * 4096);
}
