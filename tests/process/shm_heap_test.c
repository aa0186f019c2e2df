/* The heap in a segment: alloc, free, merging; killed at random; spoilt by a hostile peer. */
#include "harness/harness.h"

#include "base/atomic.h"
#include "process/shm.h"

#include <weft/process.h>
#include <weft/shm.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned seed = 99;

static weft_shm *new_heap(size_t size)
{
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, size, &(weft_shm_options){.heap = 1}));
    return s;
}

static void *alloc(weft_shm *s, size_t size)
{
    void *p;
    CHECK_OK(weft_shm_alloc(s, size, &p));
    CHECK_INT(0, (uintptr_t)p % 16);
    return p;
}

static void check_whole(weft_shm *s)
{
    CHECK_OK(weft__shm_heap_check(s));
}

TEST(shm_heap_gives_zeroed_memory_and_takes_it_back)
{
    weft_shm *s = new_heap(100000);
    CHECK_PTR(NULL, weft_shm_data(s));
    CHECK_INT(0, weft_shm_used(s));
    char *a = alloc(s, 1), *b = alloc(s, 1000), *c = alloc(s, 17);
    memset(a, 1, 1);
    memset(b, 2, 1000);
    memset(c, 3, 17);
    check_whole(s);
    CHECK_INT(1, a[0]);
    CHECK_INT(2, b[999]);
    CHECK(weft_shm_used(s) >= 1018);
    CHECK_OK(weft_shm_free(s, b));
    check_whole(s);
    char *again = alloc(s, 1000);
    CHECK_PTR(b, again);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(0, again[i]);
    CHECK_OK(weft_shm_free(s, a));
    CHECK_OK(weft_shm_free(s, c));
    CHECK_OK(weft_shm_free(s, again));
    CHECK_OK(weft_shm_free(s, NULL));
    CHECK_INT(0, weft_shm_used(s));
    check_whole(s);
    CHECK_OK(weft_shm_free(s, alloc(s, 99000))); /* all has become one again */
    weft_shm_close(s);
}

TEST(shm_heap_refuses_what_cannot_be)
{
    weft_shm *s = new_heap(1000), *plain;
    void *p;
    CHECK_ERR(-EINVAL, weft_shm_new(&plain, 40, &(weft_shm_options){.heap = 1}));
    CHECK_ERR(-EINVAL, weft_shm_alloc(s, 0, &p));
    CHECK_ERR(-ENOMEM, weft_shm_alloc(s, 1000, &p));
    CHECK_ERR(-ENOMEM, weft_shm_alloc(s, SIZE_MAX, &p));
    CHECK_OK(weft_shm_alloc(s, 900, &p));
    CHECK_ERR(-ENOMEM, weft_shm_alloc(s, 100, &(void *){NULL}));
    CHECK_ERR(-EINVAL, weft_shm_free(s, (char *)p + 16));
    CHECK_ERR(-EINVAL, weft_shm_free(s, (char *)p + 1));
    CHECK_ERR(-EINVAL, weft_shm_free(s, &p));
    CHECK_OK(weft_shm_free(s, p));
    CHECK_ERR(-EINVAL, weft_shm_free(s, p)); /* twice */
    check_whole(s);
    CHECK_OK(weft_shm_new(&plain, 1000, NULL));
    CHECK_ERR(-EINVAL, weft_shm_alloc(plain, 10, &p));
    CHECK_ERR(-EINVAL, weft_shm_free(plain, weft_shm_data(plain)));
    weft_shm_close(plain);
    weft_shm_close(s);
}

/* Against a plain table of what is out. */
TEST(shm_heap_stays_whole_in_any_order)
{
    enum {
        OUT = 200
    };
    weft_shm *s = new_heap(1 << 16);
    unsigned char *out[OUT] = {0};
    size_t sizes[OUT];
    for (int step = 0; step < 20000; step++) {
        int i = rand_r(&seed) % OUT;
        if (out[i] != NULL) {
            for (size_t k = 0; k < sizes[i]; k++)
                CHECK_INT((unsigned char)i, out[i][k]);
            CHECK_OK(weft_shm_free(s, out[i]));
            out[i] = NULL;
        } else {
            void *p;
            sizes[i] = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 10 == 0 ? 5000 : 300);
            int err = weft_shm_alloc(s, sizes[i], &p);
            CHECK(err == 0 || err == -ENOMEM);
            if (err == 0)
                memset(out[i] = p, i, sizes[i]);
        }
        if (step % 16 == 0)
            check_whole(s);
    }
    for (int i = 0; i < OUT; i++)
        CHECK_OK(weft_shm_free(s, out[i]));
    CHECK_INT(0, weft_shm_used(s));
    check_whole(s);
    weft_shm_close(s);
}

typedef struct list_node {
    uint64_t next; /* offset */
    int number;
} list_node;

static int extend_list(void *arg)
{
    weft_shm *s;
    CHECK_OK(weft_shm_from_fd(&s, dup(*(int *)arg))); /* at another address */
    list_node *first = weft_shm_root(s, sizeof *first), *node = alloc(s, sizeof *node);
    CHECK_INT(1, first->number);
    node->number = 2;
    node->next = weft_shm_offset(s, first);
    weft_shm_set_root(s, node);
    weft_shm_close(s);
    return 0;
}

/* S001-78 */
TEST(shm_heap_holds_structs_that_refer_to_each_other_by_offset)
{
    weft_shm *s = new_heap(10000);
    weft_process p = WEFT_PROCESS_INIT;
    int fd = weft_shm_fd(s), code;
    CHECK_PTR(NULL, weft_shm_root(s, 1));
    list_node *first = alloc(s, sizeof *first);
    first->number = 1;
    weft_shm_set_root(s, first);
    CHECK_OK(weft_process_start(&p, extend_list, &fd, NULL));
    CHECK_OK(weft_process_join(&p, &code, WEFT_FOREVER));
    CHECK_INT(0, code);
    CHECK_OK(weft_process_close(&p));
    list_node *node = weft_shm_root(s, sizeof *node);
    CHECK_INT(2, node->number);
    CHECK_PTR(first, weft_shm_at(s, node->next, sizeof *node));
    weft_shm_close(s);
}

/* ---- killed ---- */

enum {
    WORKERS = 3,
    SLOTS = 16
};

typedef struct heap_users {
    weft_shm *s;
    uint64_t slots[WORKERS][SLOTS]; /* atomic: what each has out: its successor takes it over */
    uint32_t steps;                 /* atomic */
    uint32_t next;                  /* atomic */
} heap_users;

static int use_heap(void *arg)
{
    heap_users *u = arg;
    unsigned own = (unsigned)getpid(), me = add_relaxed(&u->next, 1) % WORKERS;
    for (;;) {
        uint64_t *slot = &u->slots[me][rand_r(&own) % SLOTS], was = load_relaxed(slot);
        if (was != 0) {
            store_seq_cst(slot, 0); /* lost, if we are killed between the two: never freed twice */
            int err;
            while ((err = weft_shm_free(u->s, weft_shm_at(u->s, was, 1))) == -ETIMEDOUT)
                ; /* where all wait for a processor, one may hold the others up for a second */
            CHECK_OK(err);
        } else {
            void *p;
            int err = weft_shm_alloc(u->s, 1 + (size_t)rand_r(&own) % 700, &p);
            CHECK(err == 0 || err == -ENOMEM || err == -ETIMEDOUT);
            if (err == 0)
                store_seq_cst(slot, weft_shm_offset(u->s, p));
        }
        add_relaxed(&u->steps, 1);
    }
    return 0;
}

TEST_IN_LIMIT(240, PROCESS, kill_of_shm_heap_users_leaves_it_whole)
{
    heap_users *u = test_alloc(t, sizeof *u);
    u->s = new_heap(8 << 20);
    int worker[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        worker[i] = test_spawn(t, use_heap, u);
        while (load_seq_cst(&u->next) == (uint32_t)i) /* the slots are its own, and its successor's */
            sched_yield();
    }
    long kills = test_rounds(300, 5000), left = kills;
    for (; left > 0; left--) {
        struct timespec pause = {0, 50000 + rand_r(&seed) % 500000};
        nanosleep(&pause, NULL); /* the moment of the kill is random; nothing settles */
        int victim = rand_r(&seed) % WORKERS;
        kill(test_pid(t, worker[victim]), SIGKILL);
        CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, worker[victim]));
        uint32_t next = (uint32_t)victim; /* the successor takes its slots over */
        store_seq_cst(&u->next, next);
        worker[victim] = test_spawn(t, use_heap, u);
        while (load_seq_cst(&u->next) == next)
            sched_yield();
    }
    uint32_t before = load_relaxed(&u->steps);
    for (int64_t end = weft_now() + 60 * WEFT_SECOND; load_relaxed(&u->steps) - before < 100;)
        CHECK(weft_now() < end);
    for (int i = 0; i < WORKERS; i++) {
        kill(test_pid(t, worker[i]), SIGKILL);
        test_result(t, worker[i]);
    }
    CHECK_OK(weft_shm_free(u->s, alloc(u->s, 1))); /* takes over from a dead one, if need be */
    check_whole(u->s);
    for (int i = 0; i < WORKERS; i++)
        for (int k = 0; k < SLOTS; k++)
            if (u->slots[i][k] != 0)
                CHECK_OK(weft_shm_free(u->s, weft_shm_at(u->s, u->slots[i][k], 1)));
    check_whole(u->s);
    CHECK_BETWEEN(0, (kills + WORKERS) * (700 + 32), weft_shm_used(u->s)); /* at most one a kill is lost */
    weft_shm_close(u->s);
}

static int die_in_an_alloc(void *arg)
{
    weft_shm *s = arg;
    weft__shm_heap *h = &s->head->heap;
    void *p = alloc(s, 100);
    CHECK_OK(weft_lock_acquire_until(&h->lock, WEFT_FOREVER));
    h->pending = weft_shm_offset(s, p) - 16; /* as if it had not been given out yet */
    memset(h->bins, 0x11, sizeof h->bins);
    raise(SIGKILL);
    return 0;
}

TEST_IN(PROCESS, shm_heap_takes_back_what_the_dead_were_being_given)
{
    weft_shm *s = new_heap(10000);
    void *kept = alloc(s, 500);
    size_t used = weft_shm_used(s);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, test_spawn(t, die_in_an_alloc, s)));
    CHECK_OK(weft_shm_free(s, alloc(s, 10)));
    CHECK_INT(used, weft_shm_used(s));
    check_whole(s);
    CHECK_OK(weft_shm_free(s, kept));
    CHECK_OK(weft_shm_free(s, alloc(s, 9000)));
    weft_shm_close(s);
}

/* ---- hostile ---- */

/* Reliability: a hostile peer flips bytes at random: errors, never a crash or a read outside. */
TEST_LIMIT(60, shm_heap_of_random_bytes_gives_errors_and_reads_nothing_else)
{
    weft_shm *s = new_heap(8000);
    void *out[8];
    char *all = (char *)s->head, *fresh = malloc(WEFT__SHM_HEAD + 8000);
    char *heap = (char *)&s->head->heap, *behind_lock = heap + sizeof(weft_lock);
    for (int i = 0; i < 8; i++)
        out[i] = alloc(s, 100 + (size_t)i * 50);
    for (int i = 0; i < 8; i += 2)
        CHECK_OK(weft_shm_free(s, out[i]));
    memcpy(fresh, all, WEFT__SHM_HEAD + 8000);
    for (long round = test_rounds(20000, 500000); round > 0; round--) {
        memcpy(all, fresh, WEFT__SHM_HEAD + 8000);
        for (int flips = 1 + rand_r(&seed) % 8; flips > 0; flips--) {
            bool head = rand_r(&seed) % 2;
            char *place = head ? behind_lock + (size_t)rand_r(&seed) % (sizeof(weft__shm_heap) - sizeof(weft_lock))
                               : s->data + (size_t)rand_r(&seed) % (rand_r(&seed) % 2 ? 8000 : 1800);
            *place = (char)(rand_r(&seed) % 3 == 0 ? rand_r(&seed) : *place ^ 1 << rand_r(&seed) % 8);
        }
        if (rand_r(&seed) % 4 == 0) /* as if its holder had died: no process has this pid */
            s->head->heap.lock.word = 0x3ffffe;
        for (int k = 0; k < 4; k++) {
            void *p = NULL;
            int err = weft_shm_alloc(s, 1 + (size_t)rand_r(&seed) % 400, &p);
            CHECK(err == 0 || err == -ENOMEM || err == -EBADMSG);
            err = weft_shm_free(s, out[rand_r(&seed) % 8]);
            CHECK(err == 0 || err == -EINVAL || err == -EBADMSG);
            weft_shm_used(s);
            weft_shm_root(s, 8);
        }
    }
    free(fresh);
    weft_shm_close(s);
}
