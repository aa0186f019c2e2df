/* dump.c - a case that hangs says who sleeps on what. The keeper sends SIGUSR2 to every process of the case at its
 * limit; the handler reads the registry of waiters, as it is, and writes one line for each that sleeps.
 * After LINES_MAX of them it only counts the rest: the first ones tell, and a million lines would take too long.
 * ThreadSanitizer holds the signal back while all threads sleep; the kernel's view (keeper.c) must do there. */
#include "harness/internal.h"
#include "park/waiter.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LINES_MAX = 200
};

static void print_line(const char *line, int size)
{
    if (size > 0 && write(STDERR_FILENO, line, (size_t)size) < 0)
        _exit(127); /* there is nobody to tell */
}

static void print_waiter(weft__waiter *w, void *arg)
{
    uint32_t state = load_relaxed(&w->state);
    int *lines = arg;
    if (state == WEFT__IDLE || ++*lines > LINES_MAX)
        return;
    char name[64] = "", line[300];
    w->ops->name(w, name, sizeof name);
    const char *what = load_relaxed(&w->what);
    int size =
        snprintf(line, sizeof line, "at the limit: process %d %s %s %s %s, word %p%s\n", (int)getpid(), w->ops->kind,
                 name, state <= WEFT__HARD ? "sleeps in" : "was woken from", what != NULL ? what : "a wait",
                 (const void *)load_relaxed(&w->word), load_relaxed(&w->cancel) ? ", cancelled" : "");
    print_line(line, size);
}

static void dump(int signal)
{
    (void)signal;
    int lines = 0;
    weft__waiters_each(print_waiter, &lines);
    if (lines <= LINES_MAX)
        return;
    char line[100];
    print_line(line, snprintf(line, sizeof line, "at the limit: and %d more\n", lines - LINES_MAX));
}

void test__dump_on_signal(void)
{
    sigaction(SIGUSR2, &(struct sigaction){.sa_handler = dump, .sa_flags = SA_RESTART}, NULL);
}
