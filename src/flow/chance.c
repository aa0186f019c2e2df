/* chance.c - a generator of the calling thread's own (xorshift, 64 bits), begun at random. Apart from select.c so that
 * the explorer can stand in for it. */
#include "flow/chance.h"

#include "co/sched.h"
#include "sys/sys.h"

uint32_t weft__by_chance(uint32_t below)
{
    static WEFT__TLS uint64_t state;
    weft__thread_enter();
    while (state == 0)
        weft__sys_random(&state, sizeof state);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    uint32_t chosen = (uint32_t)((state >> 32) * below >> 32);
    weft__thread_leave();
    return chosen;
}
