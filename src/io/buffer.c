/* buffer.c - a poller's buffers: memory from the kernel, lent for one receive or one answer each.
 *
 * B1 the free ones are a stack, so those at its bottom are the ones that were not needed for longest. `least` is the
 *    fewest that were free since the last look: all below it have not been touched since.
 * B2 after a second in which a buffer was not needed its pages go back to the kernel; the addresses stay. Those below
 *    `clean` have none. WARM free buffers keep theirs always, so a poller that never held more has nothing to look at,
 *    makes no call and wakes for nothing; one that has wakes once a second until it is so.
 * What a back end has handed to the kernel beforehand (`ahead`) cannot be taken back, but need not be replaced: it is
 * told to look as well. Pinned by tests/io/buffer_test.c. */
#include "io/poller.h"

#include "sys/sys.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    A_SLAB = 16, /* buffers; memory is taken from the kernel by this much */
    WARM = 64,
    AT_A_TIME = 512 /* buffers given back in one look: about a millisecond */
};

static bool add_slab(weft__poller *p)
{
    void *memory;
    weft__buffer **free = weft__realloc(p->free, (p->slab_count + 1) * A_SLAB * sizeof *free);
    if (free == NULL)
        return false;
    p->free = free;
    void **slabs = weft__realloc(p->slabs, (p->slab_count + 1) * sizeof *slabs);
    if (slabs == NULL)
        return false;
    p->slabs = slabs;
    if (weft__sys_map(&memory, (size_t)A_SLAB * WEFT__BUFFER_STRIDE) < 0)
        return false;
    p->slabs[p->slab_count++] = memory;
    for (size_t i = A_SLAB; i > 0; i--)
        p->free[p->free_count++] = (weft__buffer *)((char *)memory + (i - 1) * WEFT__BUFFER_STRIDE);
    return true;
}

weft__buffer *weft__buffer_take(weft__poller *p)
{
    if (unlikely(p->free_count == 0) && !add_slab(p))
        return NULL;
    weft__buffer *b = p->free[--p->free_count];
    if (p->free_count < p->least)
        p->least = p->free_count;
    b->next = NULL;
    b->size = WEFT__BUFFER_STRIDE - sizeof *b;
    b->used = 0;
    return b;
}

void weft__buffer_release(weft__poller *p, weft__buffer *b)
{
    p->free[p->free_count++] = b;
}

unsigned weft__buffers_lent(const weft__poller *p)
{
    return p->slab_count * A_SLAB - p->free_count;
}

void weft__buffers_free(weft__poller *p)
{
    for (uint32_t i = 0; i < p->slab_count; i++)
        weft__sys_unmap(p->slabs[i], (size_t)A_SLAB * WEFT__BUFFER_STRIDE);
    weft__free(p->slabs);
    weft__free(p->free);
}

/* ---- giving back ---- */

/* A buffer's pages are its own only where they are no larger. */
static bool has_own_pages(void)
{
    return sysconf(_SC_PAGESIZE) <= WEFT__BUFFER_STRIDE;
}

void weft__buffers_look(weft__poller *p)
{
    if (p->least < p->clean)
        p->clean = p->least;
    uint32_t end = p->free_count > WARM ? p->free_count - WARM : 0;
    if (end > p->least)
        end = p->least;
    if (end > p->clean + AT_A_TIME)
        end = p->clean + AT_A_TIME;
    for (; p->clean < end; p->clean++)
        if (has_own_pages()) /* if it fails they stay for now */
            weft__sys_madvise(p->free[p->clean], WEFT__BUFFER_STRIDE, MADV_DONTNEED);
    p->least = p->free_count;
    if (p->ops->look != NULL)
        p->ops->look(p);
}

int64_t weft__buffers_until(weft__poller *p, int64_t until_ns)
{
    if (p->least < p->clean)
        p->clean = p->least;
    if (likely(p->free_count <= p->clean + WARM && p->ahead == 0)) {
        p->look_at = 0;
        return until_ns;
    }
    int64_t now = weft__sys_now();
    if (p->look_at == 0)
        p->least = p->free_count;
    else if (p->look_at <= now)
        weft__buffers_look(p);
    else
        now = p->look_at - WEFT_SECOND; /* when the last look was */
    p->look_at = now + WEFT_SECOND;
    return until_ns < p->look_at ? until_ns : p->look_at;
}
