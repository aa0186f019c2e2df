/* debug.c - who sleeps on what: a walk over the registry of waiters, without a lock.
 *
 * Waiters are type-stable (waiter.h I3), so every field can be read at any time; what is read may be out of date a
 * moment later. The word slept on is told by address and never read: its memory may be gone. Whether it still is the
 * same sleep is asked once more at the end, and a picture that changed meanwhile is dropped. */
#include <weft/debug.h>

#include "park/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct walk {
    void (*fn)(const weft_sleeper *s, void *arg);
    void *arg;
} walk;

static void tell(weft__waiter *w, void *arg)
{
    const walk *to = arg;
    uint32_t waits = load_acquire(&w->waits);
    const char *what = load_relaxed(&w->what);
    const uint32_t *word = load_relaxed(&w->word);
    weft_sleeper s = {.id = load_relaxed(&w->id), .kind = w->ops->kind, .what = what != NULL ? what : "something"};
    char name[64] = "";
    if (!weft__waiter_asleep(w))
        return;
    w->ops->name(w, name, sizeof name);
    s.name = name;
    s.object = word;
    s.cancelled = load_relaxed(&w->cancel) != 0;
    if (weft__waiter_asleep(w) && load_acquire(&w->waits) == waits && s.id != 0)
        to->fn(&s, to->arg);
}

void weft_sleepers_each(void (*fn)(const weft_sleeper *s, void *arg), void *arg)
{
    walk to = {fn, arg};
    weft__waiters_each(tell, &to);
}

typedef struct dump {
    int fd, count, err;
} dump;

static void print(const weft_sleeper *s, void *arg)
{
    dump *d = arg;
    char line[256];
    int n = snprintf(line, sizeof line, "%s %u \"%s\" waits for %s", s->kind, s->id, s->name, s->what);
    if (s->object != NULL)
        n += snprintf(line + n, sizeof line - (size_t)n, " %p", s->object);
    n += snprintf(line + n, sizeof line - (size_t)n, "%s\n", s->cancelled ? ", cancelled" : "");
    if (d->err == 0 && write(d->fd, line, (size_t)n) < 0)
        d->err = -errno;
    d->count++;
}

int weft_dump(int fd)
{
    dump d = {.fd = fd};
    weft_sleepers_each(print, &d);
    return d.err < 0 ? d.err : d.count;
}
