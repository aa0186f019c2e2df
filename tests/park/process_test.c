/* Process tokens: who is dead, and who only looks like it. */
#include "harness/harness.h"

#include "park/park.h"
#include "sys/sys.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PID_BITS = 22
};

typedef struct told {
    uint32_t token, go; /* atomic */
} told;

static int tell_and_wait(void *arg)
{
    told *s = arg;
    store_seq_cst(&s->token, weft__process());
    while (load_seq_cst(&s->go) == 0)
        pause(); /* until it is killed */
    return 0;
}

static uint32_t token_of(told *s)
{
    uint32_t token;
    while ((token = load_seq_cst(&s->token)) == 0)
        sched_yield();
    return token;
}

TEST_IN(PROCESS, process_that_lives_is_not_dead_and_has_its_own_token)
{
    told *s = test_alloc(t, sizeof *s);
    CHECK(!weft__process_dead(weft__process()));
    CHECK_INT(weft__process(), weft__process());
    CHECK_INT(getpid(), weft__process() & ((1u << PID_BITS) - 1));
    CHECK(weft__process() >> 30 == 0);
    int child = test_spawn(t, tell_and_wait, s);
    uint32_t token = token_of(s);
    CHECK(token != weft__process()); /* made anew after fork */
    CHECK_INT(test_pid(t, child), token & ((1u << PID_BITS) - 1));
    CHECK(!weft__process_dead(token));
    kill(test_pid(t, child), SIGKILL);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, child));
    CHECK(weft__process_dead(token)); /* gone */
}

TEST_IN(PROCESS, process_that_waits_to_be_reaped_is_dead)
{
    told *s = test_alloc(t, sizeof *s);
    int child = test_spawn(t, tell_and_wait, s);
    uint32_t token = token_of(s);
    kill(test_pid(t, child), SIGKILL);
    siginfo_t info;
    CHECK_OK(waitid(P_PID, (id_t)test_pid(t, child), &info, WEXITED | WNOWAIT)); /* a zombie from here on */
    CHECK(weft__process_dead(token));
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, child));
}

/* The very pid is in use, but by a process that started at another time. */
TEST(process_that_was_replaced_under_its_pid_is_dead)
{
    uint32_t me = weft__process();
    uint32_t pid = me & ((1u << PID_BITS) - 1), hash = me >> PID_BITS;
    for (uint32_t other = 1; other < 256; other++)
        if (other != hash)
            CHECK(weft__process_dead(other << PID_BITS | pid));
}

/* A process that could not read /proc has a token without a start time: then its pid alone must do. */
TEST_IN(PROCESS, process_of_unknown_start_lives_as_long_as_its_pid)
{
    told *s = test_alloc(t, sizeof *s);
    int child = test_spawn(t, tell_and_wait, s);
    uint32_t unknown = token_of(s) & ((1u << PID_BITS) - 1);
    CHECK(weft__process() >> PID_BITS != 0);
    CHECK(!weft__process_dead(unknown));
    kill(test_pid(t, child), SIGKILL);
    CHECK_INT(TEST_KILLED(SIGKILL), test_result(t, child));
    CHECK(weft__process_dead(unknown));
}

static void *go_on(void *arg)
{
    told *s = arg;
    store_seq_cst(&s->token, weft__process());
    while (load_seq_cst(&s->go) == 0)
        sched_yield();
    _exit(0);
}

static int leader_leaves(void *arg)
{
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, go_on, arg));
    pthread_exit(NULL);
}

static char state_of(pid_t pid)
{
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        FAIL("cannot read %s", path);
    fclose(f);
    return state;
}

TEST_IN(PROCESS, process_whose_leader_left_lives_while_its_threads_do)
{
    told *s = test_alloc(t, sizeof *s);
    int child = test_spawn(t, leader_leaves, s);
    uint32_t token = token_of(s);
    while (state_of(test_pid(t, child)) != 'Z')
        sched_yield();
    CHECK(!weft__process_dead(token));
    store_seq_cst(&s->go, 1);
    CHECK_INT(0, test_result(t, child));
    CHECK(weft__process_dead(token));
}
