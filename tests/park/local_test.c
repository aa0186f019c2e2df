/* Values of one's own, of threads, coroutines and threads that weft did not start. */
#include "base/atomic.h"
#include "harness/harness.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/local.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static weft_local plain = WEFT_LOCAL_INIT(NULL);

static int has_its_own(void *arg)
{
    CHECK_PTR(NULL, weft_local_get(&plain)); /* nobody else's */
    for (uintptr_t i = 1; i <= 100; i++) {
        char *mine = (char *)arg + i;
        CHECK_OK(weft_local_set(&plain, mine));
        weft_yield();
        CHECK_PTR(mine, weft_local_get(&plain));
    }
    return 0;
}

/* S004-38, S004-39 */
TEST_IN(THREAD | CO, local_value_is_ones_own)
{
    static char places[8][128];
    CHECK_PTR(NULL, weft_local_get(&plain));
    CHECK_OK(weft_local_set(&plain, t));
    for (int i = 0; i < 8; i++)
        test_spawn(t, has_its_own, places[i]);
    test_join(t);
    CHECK_PTR(t, weft_local_get(&plain));
    CHECK_OK(weft_local_set(&plain, NULL));
    CHECK_PTR(NULL, weft_local_get(&plain));
}

static int finds_nothing(void *arg)
{
    (void)arg;
    CHECK_PTR(NULL, weft_local_get(&plain));
    CHECK_OK(weft_local_set(&plain, &plain));
    return 0;
}

TEST_IN(THREAD | CO, local_value_is_not_inherited_with_a_used_slot)
{
    for (int i = 0; i < 200; i++) {
        test_spawn(t, finds_nothing, NULL);
        test_join(t);
    }
}

/* ---- destructors ---- */

enum {
    KEYS = 6
};

static char order[64]; /* of the values that were destroyed; one waiter at a time writes it */
static weft_local keys[KEYS];

static void note(void *value)
{
    size_t n = strlen(order);
    order[n] = *(char *)value;
    order[n + 1] = 0;
    free(value);
}

static void *letter(char c)
{
    char *p = malloc(1);
    CHECK(p != NULL);
    *p = c;
    return p;
}

static int set_in_order(void *arg)
{
    (void)arg;
    const char *by_key = "dbface"; /* by the first set: 3 1 5 0 2 4 */
    const int first[] = {3, 1, 5, 0, 2, 4};
    for (int i = 0; i < KEYS; i++)
        CHECK_OK(weft_local_set(&keys[first[i]], letter(by_key[first[i]])));
    free(weft_local_get(&keys[3]));
    CHECK_OK(weft_local_set(&keys[3], letter('A'))); /* its place stays */
    CHECK_OK(weft_local_set(&keys[5], (free(weft_local_get(&keys[5])), NULL)));
    return 0;
}

static void prepare_keys(void (*destructor)(void *value))
{
    order[0] = 0;
    for (int i = 0; i < KEYS; i++)
        keys[i] = (weft_local)WEFT_LOCAL_INIT(destructor);
}

/* P182: they are destroyed by the time the end is known, the last that was set first */
TEST_IN(THREAD | CO, local_values_are_destroyed_in_reverse_order)
{
    prepare_keys(note);
    weft_thread th = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&th, set_in_order, NULL, NULL));
    CHECK_OK(weft_thread_join(&th, NULL, WEFT_FOREVER));
    CHECK_STR("cfdbA", order);
}

TEST(local_values_of_a_coroutine_are_destroyed_at_its_end)
{
    prepare_keys(note);
    weft_co *co;
    CHECK_OK(weft_co_start(&co, set_in_order, NULL, NULL));
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
    CHECK_STR("cfdbA", order);
}

static void *run_foreign(void *arg)
{
    set_in_order(arg);
    return NULL;
}

/* P182 */
TEST(local_values_of_a_foreign_thread_are_destroyed_too)
{
    prepare_keys(note);
    pthread_t t;
    CHECK_INT(0, pthread_create(&t, NULL, run_foreign, NULL));
    CHECK_INT(0, pthread_join(t, NULL));
    CHECK_STR("cfdbA", order);
}

static int leave(void *arg)
{
    set_in_order(arg);
    pthread_exit(NULL);
}

TEST(local_values_are_destroyed_after_pthread_exit)
{
    prepare_keys(note);
    weft_thread t = WEFT_THREAD_INIT;
    CHECK_OK(weft_thread_start(&t, leave, NULL, NULL));
    CHECK_OK(weft_thread_join(&t, NULL, WEFT_FOREVER));
    CHECK_STR("cfdbA", order);
}

static weft_local base, user, again, many[100];
static uint32_t base_found, calls; /* atomic */

static void use_base(void *value)
{
    (void)value;
    CHECK_PTR(NULL, weft_local_get(&user)); /* its own is gone */
    if (weft_local_get(&base) != NULL)
        add_seq_cst(&base_found, 1);
    CHECK_ERR(0, weft_sleep(weft_in(1000))); /* it may wait */
}

static void set_again(void *value)
{
    add_seq_cst(&calls, 1);
    for (int i = 0; i < 100; i++) /* the block of values moves */
        CHECK_OK(weft_local_set(&many[i], value));
    CHECK_OK(weft_local_set(&again, value));
}

static int set_both(void *arg)
{
    CHECK_OK(weft_local_set(&base, arg));
    CHECK_OK(weft_local_set(&user, arg));
    return weft_local_set(&again, arg);
}

TEST_IN(THREAD | CO, local_destructor_finds_earlier_keys_and_may_set_again_three_times)
{
    user = (weft_local)WEFT_LOCAL_INIT(use_base);
    again = (weft_local)WEFT_LOCAL_INIT(set_again);
    test_spawn(t, set_both, t);
    test_join(t);
    CHECK_INT(1, load_seq_cst(&base_found));
    CHECK_INT(4, load_seq_cst(&calls));
}

/* ---- limits ---- */

TEST(local_keys_end_at_4096)
{
    static weft_local all[4097];
    for (int i = 0; i < 4096; i++) {
        CHECK_OK(weft_local_set(&all[i], &all[i]));
        CHECK_PTR(NULL, weft_local_get(&all[i + 1]));
    }
    CHECK_ERR(-EAGAIN, weft_local_set(&all[4096], all));
    for (int i = 0; i < 4096; i++)
        CHECK_PTR(&all[i], weft_local_get(&all[i]));
}

TEST(local_set_without_memory_says_so_and_keeps_the_others)
{
    static weft_local all[9];
    for (int i = 0; i < 8; i++)
        CHECK_OK(weft_local_set(&all[i], &all[i]));
    weft__sys_plan(WEFT__SYS_MALLOC, 1, 1, -ENOMEM, 0);
    CHECK_ERR(-ENOMEM, weft_local_set(&all[8], all));
    weft__sys_plan_none();
    CHECK_PTR(NULL, weft_local_get(&all[8]));
    for (int i = 0; i < 8; i++)
        CHECK_PTR(&all[i], weft_local_get(&all[i]));
    CHECK_OK(weft_local_set(&all[8], all));
}

static int take_keys(void *arg)
{
    weft_local *all = arg;
    for (int i = 0; i < 64; i++) {
        CHECK_OK(weft_local_set(&all[i], &all[i]));
        CHECK_PTR(&all[i], weft_local_get(&all[i]));
    }
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < i; j++)
            CHECK(all[i].key != all[j].key);
    return 0;
}

TEST_IN(THREAD | CO, local_keys_are_taken_once_by_many_at_once)
{
    static weft_local all[64];
    for (int i = 0; i < 4; i++)
        test_spawn(t, take_keys, all);
}

/* ---- fork ---- */

TEST_IN(THREAD | CO, local_values_of_who_forks_are_there_in_the_child)
{
    CHECK_OK(weft_local_set(&plain, t));
    pid_t pid = fork();
    if (pid == 0)
        _exit(weft_local_get(&plain) == t && weft_local_set(&plain, NULL) == 0 && weft_local_get(&plain) == NULL ? 0
                                                                                                                 : 1);
    int status;
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    CHECK_PTR(t, weft_local_get(&plain));
}
