/* per_address.c - see per_address.h. Pinned by tests/serve/per_address_test.c. */
#include "serve/per_address.h"

#include "base/atomic.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <sys/socket.h>

enum {
    WORDS_MOST = 1 << 16,
    CELLS_MOST = 1 << 24, /* 128 MiB; only what is touched takes memory */
    TRIES = 64            /* for who meets another in the last place */
};

struct weft__per_address {
    uint64_t seed;
    size_t size; /* of the mapping */
    uint32_t limit, parts, words;
    uint64_t *lives;   /* atomic: of each part, how many have ended in it */
    uint64_t memory[]; /* the lives, and then for each word a cell of each part */
};

/* A cell, atomic: the life that counts in it, and how many it counts. */
#define CELL(life, count) ((life) << 32 | (count))
#define LIFE_OF(cell)     ((cell) >> 32)
#define COUNT_OF(cell)    ((uint32_t)(cell))

weft__per_address *weft__per_address_new(unsigned limit, unsigned parts)
{
    void *shared;
    uint32_t words = WORDS_MOST;
    while ((uint64_t)words * parts > CELLS_MOST)
        words /= 2;
    size_t size = sizeof(weft__per_address) + ((size_t)words + 1) * parts * sizeof(uint64_t);
    if (weft__sys_map_shared(&shared, size) < 0)
        return NULL;
    weft__per_address *p = shared;
    p->size = size;
    p->limit = limit;
    p->parts = parts;
    p->words = words;
    p->lives = p->memory;
    weft__sys_random(&p->seed, sizeof p->seed);
    return p;
}

void weft__per_address_free(weft__per_address *p)
{
    if (p != NULL)
        weft__sys_unmap(p, p->size);
}

static uint64_t *word_at(weft__per_address *p, uint32_t place)
{
    return p->memory + (size_t)place * p->parts; /* place 0 is where the lives are */
}

/* Of all parts. */
static uint64_t sum(const weft__per_address *p, const uint64_t *word)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->parts; i++) {
        uint64_t cell = load_seq_cst(&word[i]);
        if (COUNT_OF(cell) > 0 && LIFE_OF(cell) == load_seq_cst(&p->lives[i]))
            n += COUNT_OF(cell);
    }
    return n;
}

/* One more in this part, unless the sum is the limit. */
static bool add(weft__per_address *p, uint64_t *word, unsigned part)
{
    uint64_t life = load_relaxed(&p->lives[part]), cell = load_seq_cst(&word[part]), next;
    do {
        if (sum(p, word) >= p->limit)
            return false;
        next = CELL(life, LIFE_OF(cell) == life ? COUNT_OF(cell) + 1 : 1);
    } while (!cas_seq_cst(&word[part], &cell, next));
    return true;
}

bool weft__per_address_enter(weft__per_address *p, unsigned part, int fd, uint32_t *place)
{
    weft__address peer;
    *place = 0;
    if (weft__sys_peer(fd, &peer) < 0 || (peer.any.sa_family != AF_INET && peer.any.sa_family != AF_INET6))
        return true;
    uint32_t at = (uint32_t)(weft__address_client(&peer, p->seed) % p->words) + 1;
    uint64_t *word = word_at(p, at);
    for (int i = 0; i < TRIES && add(p, word, part); i++) {
        if (sum(p, word) <= p->limit) {
            *place = at;
            return true;
        }
        sub_seq_cst(&word[part], 1); /* another process has taken the last place in this moment, or steps back too */
    }
    return false;
}

void weft__per_address_leave(weft__per_address *p, unsigned part, uint32_t place)
{
    if (place != 0)
        sub_seq_cst(&word_at(p, place)[part], 1);
}

void weft__per_address_bury(weft__per_address *p, unsigned part)
{
    store_seq_cst(&p->lives[part], (load_seq_cst(&p->lives[part]) + 1) & UINT32_MAX);
}
