/* runtime.c - what the real sources call below park, in the explorer's world: its kernel, its clock, its panics. */
#include "base/panic.h"
#include "explorer.h"
#include "flow/chance.h"
#include "io/watch.h"
#include "park/await.h"
#include "park/shared.h"
#include "pool/backlog.h"
#include "sys/aside.h"
#include "sys/multiplex.h"

#include <weft/deadlock.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t weft__process_token;

int weft__sys_futex_wait(const uint32_t *word, uint32_t expected, int64_t until_ns, bool shared)
{
    return model_futex_wait(word, expected, until_ns != INT64_MAX, shared);
}

int weft__sys_futex_wake(const uint32_t *word, unsigned n, bool shared)
{
    (void)shared;
    return model_futex_wake(word, n);
}

int64_t weft__sys_now(void)
{
    return model_now();
}

unsigned weft__sys_cpus(void)
{
    return 1; /* nobody looks before sleeping */
}

unsigned weft__sys_cpu(void)
{
    return 0;
}

WEFT__TLS bool weft__sys_holds_signals; /* nobody forks here */

pid_t weft__sys_tid(void)
{
    return 1;
}

void weft__sys_thread_name(pid_t tid, char *buf, size_t size)
{
    (void)tid, (void)size;
    buf[0] = 0;
}

/* Nobody has values of its own here. */
void weft__locals_end(weft__waiter *self)
{
    (void)self;
}

void weft__locals_drop(weft__waiter *w)
{
    (void)w;
}

void weft__sys_random(void *p, size_t size)
{
    memset(p, 0x5b, size); /* the same buckets in every run */
}

int weft__sys_map(void **out, size_t size)
{
    *out = calloc(1, size);
    return *out != NULL ? 0 : -ENOMEM;
}

void *weft__sys_map_wiped(size_t size)
{
    return calloc(1, size);
}

/* Reports are not explored. */
int weft__peek_awaited(void *to, const void *object, size_t size, const weft__waiter *sleeper)
{
    (void)to, (void)object, (void)size, (void)sleeper;
    return -EFAULT;
}

int weft__peek_in_sleep(void *to, const void *from, size_t size, const weft__sleep *s)
{
    (void)to, (void)from, (void)size, (void)s;
    return -EFAULT;
}

const weft__awaited weft__room_kind = {.what = "room in a pool"}, weft__worker_kind = {.what = "a job for a worker"};

int weft__sys_peek(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return 0;
}

static _Alignas(64) char heap[64 * 1024];
static size_t heap_used;

void model_heap_empty(void)
{
    memset(heap, 0, heap_used);
    heap_used = 0;
}

void *weft__malloc(size_t size)
{
    void *p = heap + heap_used;
    heap_used += (size + 63) & ~(size_t)63;
    if (heap_used > sizeof heap)
        model_fail("the model's heap of %zu bytes is full", sizeof heap);
    return p;
}

void *weft__calloc(size_t n, size_t size)
{
    return weft__malloc(n * size); /* zero since it was emptied */
}

void weft__free(void *p)
{
    (void)p;
}

uint32_t weft__by_chance(uint32_t below)
{
    (void)below;
    return 0; /* the same in every run */
}

int weft__fd_park_any(weft__case *words, unsigned nwords, const weft__fd_case *cases, unsigned n, weft_until until)
{
    (void)words, (void)nwords, (void)cases, (void)n, (void)until;
    model_fail("waits for descriptors are not explored");
    return -EINVAL;
}

int weft__sys_poll(struct pollfd *fds, unsigned n, int64_t until_ns)
{
    (void)fds, (void)n, (void)until_ns;
    model_fail("descriptors are not explored");
    return -EINVAL;
}

int weft_name_object(const void *object, const char *name)
{
    (void)object, (void)name;
    return 0;
}

void weft__sys_eventfd_set(int fd)
{
    (void)fd;
}

void weft__warn(const char *fmt, ...)
{
    model_fail("warning: %s", fmt);
}

void weft__panic(const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    model_fail("panic: %s", text);
    abort();
}

/* The shared domain: the kernel's futex on the word itself. */
int weft__shared_park(const uint32_t *word, uint32_t expected, weft_until until, unsigned flags, const char *what)
{
    weft__waiter *self = weft__self();
    self->what = what;
    if (!(flags & WEFT__UNCANCELLABLE) && weft__wait_cancelled(self))
        return -ECANCELED;
    int r = model_futex_wait(word, expected, until.at != INT64_MAX, true);
    return r == -ETIMEDOUT ? r : 0;
}

int weft__shared_park_any(weft__case *cases, unsigned n, weft_until until, unsigned flags)
{
    (void)cases, (void)n, (void)until, (void)flags;
    model_fail("waits for several shared words are not explored");
    return -EINVAL;
}

/* Every virtual thread is a process of its own; its token is its number + 1. */
uint32_t weft__process_token_slow(void)
{
    return 1;
}

bool weft__process_dead(uint32_t token)
{
    return model_dead(token - 1);
}
