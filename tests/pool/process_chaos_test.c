/* process_chaos_test.c - process pools amid faults: workers that are killed, crash, run out of memory, stand still,
 * leave in the middle of an answer or write nonsense, at random moments. Every future completes, none twice, nothing
 * leaks. */
#include "process_support.h"

#include "base/atomic.h"
#include "pool/crew.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/process.h>
#include <weft/subprocess.h>
#include <weft/thread.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    WINDOW = 40
};

/* How often each job has run, in memory that the workers share. */
struct ledger {
    uint32_t runs[1 << 14]; /* atomic */
};

enum deed {
    FINE,
    LARGE, /* an answer that goes as a file */
    KILLED,
    CRASHES,
    LEAVES,
    NO_MEMORY,
    STANDS_STILL, /* until its deadline */
    DEEDS
};

struct order {
    struct ledger *ledger;
    uint32_t name;
    enum deed deed;
    uint32_t busy_us;
};

static void crash(void)
{
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    raise(SIGSEGV);
}

static int eat_memory(weft_reply *reply)
{
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_AS, &limit); /* it has more already */
    if (mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        _exit(9);
    return weft_reply_put(reply, "?", 1);
}

static int obey(const void *in, size_t size, weft_reply *reply)
{
    const struct order *o = in;
    static char bytes[100000];
    (void)size;
    add_seq_cst(&o->ledger->runs[o->name], 1);
    if (o->busy_us > 0)
        usleep(o->busy_us);
    switch (o->deed) {
    case LARGE:
        return weft_reply_put(reply, bytes, sizeof bytes);
    case KILLED:
        raise(SIGKILL);
        return 0;
    case CRASHES:
        crash();
        return 0;
    case LEAVES:
        weft_reply_put(reply, bytes, 1000);
        _exit(3);
    case NO_MEMORY:
        return eat_memory(reply);
    case STANDS_STILL:
        raise(SIGSTOP);
        return 0;
    default:
        return weft_reply_put(reply, &o->name, sizeof o->name);
    }
}

static uint32_t completions; /* atomic */

static int completed(weft_future *f, void *arg)
{
    (void)f;
    (void)arg;
    add_seq_cst(&completions, 1);
    return 0;
}

static void check_outcome(weft_future *f, const struct order *o)
{
    weft_bytes answer = {NULL, 0};
    int err = weft_future_bytes(f, &answer, WEFT_FOREVER);
    switch (o->deed) {
    case FINE: /* unless somebody else has killed its worker */
        if (err != -WEFT_EDIED) {
            CHECK_OK(err);
            CHECK_MEM(&o->name, answer.data, sizeof o->name);
        }
        break;
    case LARGE:
        if (err != -WEFT_EDIED) {
            CHECK_OK(err);
            CHECK_INT(100000, answer.size);
        }
        break;
    case STANDS_STILL:
        CHECK(err == -ETIMEDOUT || err == -WEFT_EDIED);
        break;
    default:
        CHECK_ERR(-WEFT_EDIED, err);
        break;
    }
    if (err < 0)
        CHECK(weft_future_why(f)[0] != '\0');
}

struct killer {
    weft_executor *ex;
    uint32_t stop; /* atomic */
    unsigned seed;
};

/* Kills workers whatever they do, but not faster than jobs get done: a pool whose workers all die while they start is
 * broken. */
static int kill_now_and_then(void *arg)
{
    struct killer *k = arg;
    unsigned seed = k->seed;
    for (size_t before = 0; !load_acquire(&k->stop);) {
        weft_executor_info info;
        weft_executor_look(k->ex, &info);
        if (info.finished < before + 5) {
            weft_sleep(weft_in_ms(1));
            continue;
        }
        before = info.finished;
        pid_t pids[3] = {0};
        weft_process_pool_pids(k->ex, pids, 3);
        pid_t pid = pids[rand_r(&seed) % 3];
        if (pid > 0)
            kill(pid, SIGKILL);
        weft_sleep(weft_in((int64_t)(rand_r(&seed) % 8000) * WEFT_US));
    }
    return 0;
}

static weft_executor *chaotic(unsigned workers)
{
    return processes_with(&(weft_pool_options){.workers = workers}, &(weft_process_pool_options){.method = WEFT_FORK});
}

TEST_LIMIT(240, process_pool_survives_chaos)
{
    long faults = test_rounds(1000, 10000), made = 0;
    void *p;
    CHECK_OK(weft__sys_map_shared(&p, sizeof(struct ledger)));
    struct ledger *ledger = p;
    weft_executor *ex = chaotic(3);
    struct killer killer = {.ex = ex, .seed = 7};
    weft_thread thread = WEFT_THREAD_INIT;
    unsigned seed = (unsigned)weft_now();
    printf("seed %u\n", seed);
    CHECK_OK(weft_thread_start(&thread, kill_now_and_then, &killer, NULL));
    int fds = 0;
    uint32_t submitted = 0;
    for (uint32_t name = 0; made < faults;) {
        struct order orders[WINDOW];
        weft_future *f[WINDOW];
        for (int i = 0; i < WINDOW; i++) {
            bool harm = rand_r(&seed) % 4 == 0;
            orders[i] = (struct order){ledger, name++ % WEFT__ARRAY_LEN(ledger->runs), FINE, 0};
            orders[i].deed =
                harm ? (enum deed)(KILLED + rand_r(&seed) % (DEEDS - KILLED)) : (enum deed)(rand_r(&seed) % 2);
            orders[i].busy_us = rand_r(&seed) % 8 == 0 ? (uint32_t)rand_r(&seed) % 1000 : 0;
            made += harm;
            store_seq_cst(&ledger->runs[orders[i].name], 0);
            weft_job_options deadline = {.time_limit = 10 * WEFT_MS};
            CHECK_OK(weft_submit_bytes(ex, obey, &orders[i], sizeof orders[i],
                                       orders[i].deed == STANDS_STILL ? &deadline : NULL, &f[i]));
            CHECK_OK(weft_future_add_callback(f[i], completed, NULL));
            submitted++;
        }
        for (int i = 0; i < WINDOW; i++) {
            check_outcome(f[i], &orders[i]);
            CHECK(load_seq_cst(&ledger->runs[orders[i].name]) <= 1);
            weft_future_unref(f[i]);
        }
        if (fds == 0)
            fds = test_fd_count();
    }
    store_release(&killer.stop, 1);
    CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
    CHECK_BETWEEN(0, fds + 12, test_fd_count()); /* descriptors of some workers are between two lives */
    weft_executor_free(ex);
    CHECK_INT(submitted, completions);
    CHECK_INT(0, child_count());
}

/* ---- nonsense ---- */

enum nonsense {
    BAD_STATE,
    BAD_PLACE,
    BAD_SIZE,
    BAD_ERROR,
    ABOVE_LIMIT,
    NO_FILE,
    NOISE,
    NONSENSES
};

/* A worker's own segment: the job finds it by its first slot, whose bytes it was given. */
static int write_nonsense(const void *in, size_t size, weft_reply *reply)
{
    enum nonsense kind = *(const enum nonsense *)in;
    (void)size;
    (void)reply;
    weft__shared_slot *s = (weft__shared_slot *)((uintptr_t)in - offsetof(weft__shared_slot, small));
    s->where = kind == BAD_PLACE ? 77 : kind == NO_FILE || kind == ABOVE_LIMIT ? WEFT__IN_FILE : WEFT__IN_SLOT;
    s->size = kind == BAD_SIZE ? UINT64_MAX : kind == ABOVE_LIMIT ? UINT64_MAX / 2 : 5000;
    s->error = kind == BAD_ERROR ? 5 : 0;
    if (kind == NOISE)
        for (unsigned i = 0; i < 1000; i++)
            ((unsigned char *)s)[rand() % (int)sizeof *s] = (unsigned char)rand();
    store_seq_cst(&s->state, kind == BAD_STATE ? 99 : WEFT__SLOT_DONE);
    while (load_seq_cst(&s->state) != UINT32_MAX)
        pause();
    return 0;
}

/* checklist 137: it is killed, its job fails with words, and the next job finds a worker. */
TEST(process_pool_kills_a_worker_that_writes_nonsense)
{
    weft_executor *ex = processes(1);
    for (int kind = 0; kind < NOISE; kind++) {
        weft_future *f, *next;
        CHECK_OK(weft_submit_bytes(ex, write_nonsense, &kind, sizeof kind, NULL, &f));
        CHECK_OK(weft_submit_bytes(ex, bytes_square, &(long){kind}, sizeof(long), NULL, &next));
        CHECK_ERR(kind == ABOVE_LIMIT ? -EMSGSIZE : -EPROTO, weft_future_bytes(f, NULL, WEFT_FOREVER));
        CHECK(strstr(weft_future_why(f), "worker 0 (pid ") == weft_future_why(f));
        CHECK_INT((long)kind * kind, bytes_long(next));
        weft_future_unref(f);
        weft_future_unref(next);
    }
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

/* Whatever stands in its slot: the job has some end, in time. */
TEST_LIMIT(60, process_pool_job_of_a_noisy_worker_ends)
{
    weft_executor *ex = processes(2);
    for (int i = 0; i < 100; i++) {
        weft_future *f;
        int kind = NOISE;
        CHECK_OK(weft_submit_bytes(ex, write_nonsense, &kind, sizeof kind,
                                   &(weft_job_options){.time_limit = WEFT_SECOND}, &f));
        weft_future_bytes(f, NULL, WEFT_FOREVER);
        weft_future_unref(f);
        CHECK_OK(weft_submit_bytes(ex, bytes_square, &(long){i}, sizeof(long), NULL, &f));
        CHECK_INT((long)i * i, bytes_long(f));
        weft_future_unref(f);
    }
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

/* checklist 139: a crash while large messages are under way. */
TEST_LIMIT(60, process_pool_crash_amid_large_messages_hangs_nobody)
{
    enum {
        SIZE = 1 << 20
    };
    char *bytes = calloc(1, SIZE);
    weft_executor *ex = processes(1);
    for (int round = 0; round < 10; round++) {
        weft_future *f[11];
        for (int i = 0; i < 10; i++)
            CHECK_OK(weft_submit_bytes(ex, bytes_echo, bytes, SIZE, NULL, &f[i]));
        CHECK_OK(weft_submit_bytes(ex, bytes_signal, &(int){SIGKILL}, sizeof(int), &(weft_job_options){.priority = 1},
                                   &f[10]));
        for (int i = 0; i < 10; i++) {
            weft_bytes answer;
            CHECK_OK(weft_future_bytes(f[i], &answer, WEFT_FOREVER));
            CHECK_INT(SIZE, answer.size);
            weft_future_unref(f[i]);
        }
        CHECK_ERR(-WEFT_EDIED, weft_future_bytes(f[10], NULL, WEFT_FOREVER));
        weft_future_unref(f[10]);
    }
    weft_executor_free(ex);
    free(bytes);
}

static void stop_process(pid_t pid)
{
    char path[64], state = ' ';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    CHECK_INT(0, kill(pid, SIGSTOP));
    while (state != 'T') {
        FILE *f = fopen(path, "re");
        CHECK(f != NULL);
        CHECK_INT(1, fscanf(f, "%*d (%*[^)]) %c", &state));
        fclose(f);
    }
}

/* checklist 150: a worker that stands still gets no job that another could do, and goes on later. */
TEST_LIMIT(60, process_pool_worker_that_is_stopped_keeps_no_job)
{
    weft_executor *ex = processes(2);
    pid_t pids[2];
    for (long i = 0; i < 50; i++) {
        weft_future *f;
        CHECK_OK(weft_submit_bytes(ex, bytes_square, &i, sizeof i, NULL, &f));
        CHECK_INT(i * i, bytes_long(f));
        weft_future_unref(f);
    }
    weft_process_pool_pids(ex, pids, 2);
    for (int stopped = 0; stopped < 2; stopped++) {
        stop_process(pids[stopped]);
        weft_future *f[20];
        for (long i = 0; i < 20; i++)
            CHECK_OK(weft_submit_bytes(ex, bytes_pid, "", 0, NULL, &f[i]));
        for (long i = 0; i < 20; i++) {
            CHECK_INT(pids[!stopped], bytes_long(f[i]));
            weft_future_unref(f[i]);
        }
        CHECK_INT(0, kill(pids[stopped], SIGCONT));
    }
    weft_executor_free(ex);
}

/* Jobs that are short are given several at a time; a long one among them keeps the rest from nobody. */
static int nap(const void *in, size_t size, weft_reply *reply)
{
    (void)size;
    if (*(const uint32_t *)in > 0)
        usleep(*(const uint32_t *)in);
    return weft_reply_put(reply, in, 4);
}

TEST_LIMIT(60, process_pool_jobs_behind_a_long_one_go_to_others)
{
    struct shared_gate *g = shared_gate_new();
    weft_executor *ex = processes(2);
    static weft_future *f[4000];
    uint32_t none = 0;
    for (int round = 0; round < 10; round++) {
        weft_future *slow;
        store_seq_cst(&g->open, 0);
        for (int i = 0; i < 2000; i++)
            CHECK_OK(weft_submit_bytes(ex, nap, &none, sizeof none, NULL, &f[i]));
        CHECK_OK(weft_submit_bytes(ex, bytes_gate, &g, sizeof g, NULL, &slow));
        for (int i = 2000; i < 4000; i++)
            CHECK_OK(weft_submit_bytes(ex, nap, &none, sizeof none, NULL, &f[i]));
        for (int i = 0; i < 4000; i++) {
            CHECK_OK(weft_future_bytes(f[i], NULL, WEFT_FOREVER));
            weft_future_unref(f[i]);
        }
        CHECK_INT(0, weft_future_done(slow));
        shared_gate_open(g);
        CHECK_OK(weft_future_bytes(slow, NULL, WEFT_FOREVER));
        weft_future_unref(slow);
    }
    weft_executor_free(ex);
}

/* Many short jobs, waited for by several threads, with workers killed amid them: retried, none is lost. */
static int submit_and_wait(void *arg)
{
    weft_executor *ex = arg;
    for (long i = 0; i < 3000; i++) {
        weft_future *f;
        CHECK_OK(weft_submit_bytes(ex, bytes_square, &i, sizeof i, NULL, &f));
        CHECK_INT(i * i, bytes_long(f));
        weft_future_unref(f);
    }
    return 0;
}

TEST_IN_LIMIT(60, THREAD | CO, process_pool_retries_lose_no_job)
{
    weft_executor *ex =
        processes_with(&(weft_pool_options){.workers = 3}, &(weft_process_pool_options){.retries = 1000000});
    struct killer killer = {.ex = ex, .seed = 3};
    weft_thread thread = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&thread, kill_now_and_then, &killer, NULL));
    for (int i = 0; i < 3; i++)
        test_spawn(t, submit_and_wait, ex);
    test_join(t);
    store_release(&killer.stop, 1);
    CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
    weft_executor_free(ex);
    CHECK_INT(0, child_count());
}

/* An int: starts a program that keeps this descriptor for as long as it lives, and waits for it. */
static int bytes_run_for_ever(const void *in, size_t size, weft_reply *reply)
{
    (void)size;
    (void)reply;
    weft_run_options options = {.popen = {.pass_fds = in, .pass_fd_count = 1, .die_with_parent = 1}};
    return weft_run((const char *[]){"sleep", "1000", NULL}, &options, NULL);
}

/* A time limit leaves no grandchildren, if the job says so when it starts them. */
TEST(process_pool_time_limit_ends_programs_that_die_with_their_parent)
{
    int ends[2];
    char none;
    CHECK_INT(0, pipe(ends));
    weft_executor *ex = processes(1);
    weft_future *f;
    weft_job_options options = {.time_limit = 300 * WEFT_MS};
    CHECK_OK(weft_submit_bytes(ex, bytes_run_for_ever, &ends[1], sizeof ends[1], &options, &f));
    close(ends[1]);
    CHECK_ERR(-ETIMEDOUT, weft_future_bytes(f, NULL, WEFT_FOREVER));
    weft_future_unref(f);
    weft_executor_free(ex);
    CHECK_INT(0, read(ends[0], &none, 1)); /* its end: nobody has the descriptor any more */
    close(ends[0]);
}
