/* weft_dump and weft_sleepers_each: every sleeper is listed with its name and what it waits for. */
#include "harness/harness.h"

#include <weft/co.h>
#include <weft/debug.h>
#include <weft/event.h>
#include <weft/lock.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int take(void *arg)
{
    weft_lock_acquire(arg);
    weft_lock_release(arg);
    return 0;
}

static int await(void *arg)
{
    return weft_event_wait(arg, WEFT_FOREVER);
}

/* What weft_dump writes, as text; returns what it returned. */
static int dumped(char *text, size_t size)
{
    int fds[2];
    CHECK_INT(0, pipe(fds));
    int count = weft_dump(fds[1]);
    close(fds[1]);
    ssize_t n, have = 0;
    while ((n = read(fds[0], text + have, size - 1 - (size_t)have)) > 0)
        have += n;
    CHECK_INT(0, n);
    text[have] = 0;
    close(fds[0]);
    return count;
}

TEST(dump_lists_sleepers_by_name_and_object)
{
    static weft_lock l;
    static weft_event e;
    weft_lock_acquire(&l);
    weft_co *a, *b;
    CHECK_OK(weft_co_start(&a, take, &l, &(weft_co_options){.name = "taker"}));
    CHECK_OK(weft_co_start(&b, await, &e, &(weft_co_options){.name = "waiter"}));
    char text[4096], taker[128], waiter[128];
    snprintf(taker, sizeof taker, "\"taker\" waits for lock %p\n", (void *)&l.word);
    snprintf(waiter, sizeof waiter, "\"waiter\" waits for event %p\n", (void *)&e.word);
    int count = 0;
    while (count < 2 || strstr(text, taker) == NULL || strstr(text, waiter) == NULL) {
        weft_yield(); /* who is in a queue is listed a moment later, once it sleeps */
        count = dumped(text, sizeof text);
    }
    weft_lock_release(&l);
    weft_event_set(&e);
    CHECK_OK(weft_co_join(a, NULL, WEFT_FOREVER));
    CHECK_OK(weft_co_join(b, NULL, WEFT_FOREVER));
}

static void find_self(const weft_sleeper *s, void *arg)
{
    (void)arg;
    CHECK(strcmp(s->name, "runner") != 0);
}

static int look_around(void *arg)
{
    (void)arg;
    weft_sleepers_each(find_self, NULL);
    return 0;
}

TEST(dump_leaves_out_who_runs)
{
    weft_co *co;
    CHECK_OK(weft_co_start(&co, look_around, NULL, &(weft_co_options){.name = "runner"}));
    CHECK_OK(weft_co_join(co, NULL, WEFT_FOREVER));
}
