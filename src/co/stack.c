/* stack.c - see stack.h.
 *
 * Each class has chunks: a mapping with room for n stacks and an array of n descriptors, taken into use one by one.
 * Chunks grow with their number, so that a small program maps little and a million stacks need a few hundred mappings.
 * Layout of a chunk: guard, stack, guard, stack, ... ; transparent huge pages are off, or the first touch of a stack
 * would bring 2 MiB. Free stacks lie in the threads' caches, and here in two lists: `warm` ones still have their
 * memory, that of `cold` ones has been given back to the kernel.
 *
 * Lock order: one class at a time, a leaf; no system call is made while holding it but the mapping of a chunk. */
#include "co/untraced.h"
WEFT__UNTRACED_BEGIN
#include "co/stack.h"

#include "base/atomic.h"
#include "co/switch.h"
#include "park/rawlock.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

enum {
    CHUNK_MIN = 16,              /* stacks in the first chunk of a class */
    CHUNK_BYTES_MAX = 256 << 20, /* of address space in one chunk, unless one stack is larger */
    BATCH = 16,                  /* moved to a thread's cache at a time */
    WARM_BYTES_MAX = 64 << 20    /* of free stacks of one class that keep their memory, beside the threads' caches */
};

typedef struct chunk {
    struct chunk *next;
    weft__stack *stacks;
    char *memory;
    size_t n, used; /* descriptors, and how many of them have been handed out before */
} chunk;

typedef struct class
{
    weft__rawlock lock;
    chunk *chunks; /* newest first; only that one has unused descriptors */
    weft__stack *warm, *cold;
    weft__stack *bare; /* handed out never, because their guard could not be installed */
    size_t warm_count, made;
} class;

static class classes[WEFT__STACK_CLASSES];
/* Whether the kernel has guard regions. atomic */
enum {
    UNKNOWN,
    PRESENT,
    ABSENT
};
static uint32_t guard_regions;

int weft__stack_class(size_t size)
{
    if (size == 0)
        return WEFT__STACK_DEFAULT;
    for (unsigned c = 0; c < WEFT__STACK_CLASSES; c++)
        if (size <= weft__stack_size(c))
            return (int)c;
    return -EINVAL;
}

size_t weft__stack_guard(void)
{
    static uint32_t guard; /* atomic */
    uint32_t g = load_relaxed(&guard);
    if (unlikely(g == 0)) {
        long page = sysconf(_SC_PAGESIZE);
        g = page > 16384 ? (uint32_t)page : 16384;
        store_relaxed(&guard, g);
    }
    return g;
}

size_t weft__stacks_made(unsigned size_class)
{
    class *c = &classes[size_class];
    rawlock_acquire(&c->lock);
    size_t n = c->made;
    rawlock_release(&c->lock);
    return n;
}

/* ---- new stacks ---- */

static int map_chunk(chunk *k, size_t n, size_t stride)
{
    void *p;
    int err = weft__sys_map(&p, n * sizeof(weft__stack) + sizeof(chunk));
    if (err < 0)
        return err;
    void *memory;
    if ((err = weft__sys_map(&memory, n * stride)) < 0) {
        weft__sys_unmap(p, n * sizeof(weft__stack) + sizeof(chunk));
        return err;
    }
    weft__sys_madvise(memory, n * stride, MADV_NOHUGEPAGE); /* fails where there are none, which is as good */
    leak_root(memory, n * stride);
    *k = (chunk){.stacks = p, .memory = memory, .n = n};
    return 0;
}

/* Pre: c is locked. The chunk's own record lies behind its descriptors. */
static int add_chunk(class *c, unsigned size_class)
{
    size_t stride = weft__stack_guard() + weft__stack_size(size_class);
    size_t most = CHUNK_BYTES_MAX / stride;
    size_t n = c->made > CHUNK_MIN ? c->made : CHUNK_MIN;
    if (n > most)
        n = most > 0 ? most : 1;
    chunk k;
    int err;
    while ((err = map_chunk(&k, n, stride)) < 0 && n > 1)
        n /= 2;
    if (err < 0)
        return err;
    chunk *place = (chunk *)(void *)(k.stacks + k.n);
    *place = k;
    place->next = c->chunks;
    c->chunks = place;
    return 0;
}

/* Pre: c is locked. A descriptor whose guard has not been installed yet, NULL without memory. */
static weft__stack *take_bare(class *c, unsigned size_class)
{
    weft__stack *s = c->bare;
    if (s != NULL) {
        c->bare = s->next;
        return s;
    }
    if ((c->chunks == NULL || c->chunks->used == c->chunks->n) && add_chunk(c, size_class) < 0)
        return NULL;
    chunk *k = c->chunks;
    size_t i = k->used++;
    size_t guard = weft__stack_guard();
    s = &k->stacks[i];
    s->low = k->memory + i * (guard + weft__stack_size(size_class)) + guard;
    s->size_class = size_class;
    return s;
}

/* Try it and see: an older kernel refuses, and so does this one when the program locks its memory, but there are
 * emulators that say yes and do nothing. Reading ahead into a guard must fail. */
static int install_guard(char *guard, size_t size)
{
    /* LeakSanitizer reads all that is mapped readable in a leak_root, and would touch a guard it cannot see. */
    uint32_t known = WEFT__ASAN ? ABSENT : load_relaxed(&guard_regions);
    if (known != ABSENT) {
        int err = weft__sys_madvise(guard, size, MADV_GUARD_INSTALL);
        if (err == 0 && known == UNKNOWN && weft__sys_madvise(guard, size, MADV_POPULATE_READ) == 0)
            err = -EINVAL;
        if (err != -EINVAL) {
            if (err == 0)
                store_relaxed(&guard_regions, PRESENT);
            return err;
        }
        store_relaxed(&guard_regions, ABSENT);
    }
    return weft__sys_protect_none(guard, size);
}

static weft__stack *make_stack(unsigned size_class)
{
    class *c = &classes[size_class];
    rawlock_acquire(&c->lock);
    weft__stack *s = take_bare(c, size_class);
    rawlock_release(&c->lock);
    if (s == NULL)
        return NULL;
    size_t guard = weft__stack_guard();
    int err = install_guard(s->low - guard, guard);
    rawlock_acquire(&c->lock);
    if (err < 0) {
        s->next = c->bare;
        c->bare = s;
    } else {
        s->guarded = true;
        c->made++;
    }
    rawlock_release(&c->lock);
    if (err < 0)
        return NULL;
#ifdef VALGRIND_STACK_REGISTER
    VALGRIND_STACK_REGISTER(s->low, s->low + weft__stack_size(size_class));
#endif
    return s;
}

/* ---- between the threads ---- */

weft__stack *weft__stack_take_slow(weft__stack_cache *cache, unsigned size_class)
{
    class *c = &classes[size_class];
    rawlock_acquire(&c->lock);
    weft__stack *s = c->warm;
    if (s != NULL) {
        c->warm = s->next;
        c->warm_count--;
        while (c->warm != NULL && cache->count[size_class] < BATCH) {
            weft__stack *more = c->warm;
            c->warm = more->next;
            c->warm_count--;
            more->next = cache->first[size_class];
            cache->first[size_class] = more;
            cache->count[size_class]++;
        }
    } else if ((s = c->cold) != NULL) {
        c->cold = s->next;
    }
    rawlock_release(&c->lock);
    return s != NULL ? s : make_stack(size_class);
}

/* Cut the cache's list after its newer half; returns the older one. */
static weft__stack *cut_older_half(weft__stack_cache *cache, unsigned size_class)
{
    uint32_t keep = (cache->count[size_class] + 1) / 2;
    weft__stack *s = cache->first[size_class];
    for (uint32_t i = 1; i < keep; i++)
        s = s->next;
    weft__stack *older = s->next;
    s->next = NULL;
    cache->count[size_class] = keep;
    return older;
}

void weft__stack_trim(weft__stack_cache *cache, unsigned size_class)
{
    class *c = &classes[size_class];
    size_t size = weft__stack_size(size_class);
    weft__stack *s = cut_older_half(cache, size_class), *next;
    rawlock_acquire(&c->lock);
    for (; s != NULL && c->warm_count < WARM_BYTES_MAX / size; s = next) {
        next = s->next;
        s->next = c->warm;
        c->warm = s;
        c->warm_count++;
    }
    rawlock_release(&c->lock);
    if (s == NULL)
        return;
    weft__stack *cold = s, *last = s;
    for (; s != NULL; s = s->next) {
        weft__sys_madvise(s->low, size, MADV_DONTNEED); /* if it fails the memory stays for now */
        last = s;
    }
    rawlock_acquire(&c->lock);
    last->next = c->cold;
    c->cold = cold;
    rawlock_release(&c->lock);
}

/* ---- fork ---- */

void weft__stacks_before_fork(void)
{
    for (unsigned i = 0; i < WEFT__STACK_CLASSES; i++)
        rawlock_acquire(&classes[i].lock);
}

void weft__stacks_after_fork_parent(void)
{
    for (unsigned i = WEFT__STACK_CLASSES; i-- > 0;)
        rawlock_release(&classes[i].lock);
}

/* Every guarded stack is free now, wherever it was, but those that are kept. */
void weft__stacks_after_fork_child(weft__stack *mine)
{
    if (mine != NULL)
        mine->kept = true;
    for (unsigned i = 0; i < WEFT__STACK_CLASSES; i++) {
        class *c = &classes[i];
        c->lock.word = 0;
        c->warm = c->cold = c->bare = NULL;
        c->warm_count = 0;
        for (chunk *k = c->chunks; k != NULL; k = k->next)
            for (size_t j = k->used; j-- > 0;) {
                weft__stack *s = &k->stacks[j];
                weft__stack **list = s->guarded ? &c->cold : &c->bare;
                if (s->kept)
                    continue;
                s->next = *list;
                *list = s;
            }
    }
}
WEFT__UNTRACED_END
