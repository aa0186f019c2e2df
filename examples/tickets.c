/* tickets.c - ten windows sell 500 tickets: each ticket once, in order, a tenth of a second for each sale.
 *
 *     --exercise  the lines of the exercise: w1 ---- T128
 *     --unsafe    looking whether there is a ticket and taking it are two steps: w10 looks, and is switched out until
 *                 the other windows have sold everything */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

enum {
    TICKETS = 500,
    WINDOWS = 10
};

static weft_lock lock;
static int sold; /* T1 ... T<sold> are gone */

/* The next ticket, 0 when all are sold; printed before the next one can be taken, so that the lines are in order. */
static int sell_ticket(int window)
{
    int ticket = 0;
    WEFT_WITH_LOCK (&lock)
        if (sold < TICKETS) {
            ticket = ++sold;
            printf(lesson_flag("--exercise") ? "w%d ---- T%d\n" : "w%d 窗口卖出：T%d\n", window, ticket);
        }
    return ticket;
}

static int sell(void *arg)
{
    int window = (int)(intptr_t)arg;
    while (sell_ticket(window) != 0)
        lesson_sleep(0.1);
    return 0;
}

static int sell_too_late(void *arg)
{
    int window = (int)(intptr_t)arg;
    if (sold < TICKETS) {
        lesson_switched_out();
        if (sell_ticket(window) == 0)
            printf("w%d 窗口: IndexError: pop from empty list\n", window);
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread windows[WINDOWS] = {0};
    int others = lesson_unsafe() ? WINDOWS - 1 : WINDOWS;
    if (lesson_unsafe()) {
        must(weft_thread_start(&windows[WINDOWS - 1], sell_too_late, (void *)(intptr_t)WINDOWS, NULL));
        lesson_wait_switched_out();
    }
    for (int i = 0; i < others; i++)
        must(weft_thread_start(&windows[i], sell, (void *)(intptr_t)(i + 1), NULL));
    for (int i = 0; i < others; i++)
        weft_thread_join(&windows[i], NULL, WEFT_FOREVER);
    lesson_switch_in();
    weft_thread_join(&windows[WINDOWS - 1], NULL, WEFT_FOREVER);
    return 0;
}
