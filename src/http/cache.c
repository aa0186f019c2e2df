/* cache.c - the store and the fronts; see cache.h for the invariants.
 *
 * Accounting: `bytes` and `files` of the store are added to before an entry becomes visible and taken from when its
 * last reference goes, by whoever lets it go (E2). Making room evicts from the entry's own shard first and then from
 * the next ones, at most twice around. */
#include "http/cache.h"

#include "sys/file.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    SHARDS = 16,
    BUCKETS = 512, /* chains a shard */
    CHECK_NS = 1000000000
};

typedef struct shard {
    weft_lock lock;
    weft__list lru; /* oldest first */
    weft__entry *bucket[BUCKETS];
} shard;

struct weft__cache {
    size_t bytes_max;
    unsigned files_max;
    size_t bytes;   /* atomic */
    unsigned files; /* atomic */
    shard shards[SHARDS];
};

weft__version weft__version_of(const struct stat *st)
{
    return (weft__version){
        .dev = (uint64_t)st->st_dev,
        .ino = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .modified = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .changed = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
    };
}

int weft__cache_new(weft__cache **out, size_t bytes, unsigned files)
{
    weft__cache *c = weft__calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->bytes_max = bytes;
    c->files_max = files;
    for (unsigned i = 0; i < SHARDS; i++)
        list_init(&c->shards[i].lru);
    *out = c;
    return 0;
}

/* wyhash's mixing over eight bytes at a time. The seed is random, so that nobody can aim at one chain. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t p = (__uint128_t)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash_seed(void)
{
    static uint64_t seed; /* atomic */
    uint64_t s = load_relaxed(&seed);
    if (unlikely(s == 0)) {
        uint64_t fresh;
        weft__sys_random(&fresh, sizeof fresh);
        fresh |= 1;
        s = cas_relaxed(&seed, &s, fresh) ? fresh : s;
    }
    return s;
}

uint64_t weft__cache_hash(const char *key, size_t len)
{
    uint64_t seed = hash_seed(), h = seed ^ len, word;
    while (len >= 8) {
        memcpy(&word, key, 8);
        h = mix(h ^ word, UINT64_C(0xa0761d6478bd642f) ^ seed);
        key += 8;
        len -= 8;
    }
    word = 0;
    memcpy(&word, key, len);
    return mix(h ^ word, UINT64_C(0xe7037ed1a0b428db) ^ seed);
}

/* ---- entries ---- */

weft__entry *weft__entry_new(const char *key, size_t len, uint64_t hash)
{
    weft__entry *e = weft__calloc(1, sizeof *e + len + 1);
    if (e == NULL)
        return NULL;
    e->refs = 1;
    e->hash = hash;
    e->plain.fd = e->gzip.fd = -1;
    e->key_len = (uint32_t)len;
    memcpy(e->key, key, len);
    list_init(&e->lru);
    return e;
}

void weft__entry_release(weft__entry *e)
{
    if (sub_acq_rel(&e->refs, 1) != 1)
        return;
    if (e->cache != NULL) {
        sub_relaxed(&e->cache->bytes, load_relaxed(&e->charge));
        sub_relaxed(&e->cache->files, e->files);
    }
    weft__form *forms[] = {&e->plain, &e->gzip};
    for (unsigned i = 0; i < WEFT__ARRAY_LEN(forms); i++) {
        if (forms[i]->fd >= 0)
            weft__sys_file_close(forms[i]->fd);
        weft__free(forms[i]->memory);
    }
    weft__free(e);
}

static size_t form_bytes(const weft__form *f)
{
    return f->fields_len + (f->fd < 0 ? f->size : f->tail != NULL ? WEFT__TAIL : 0);
}

static size_t entry_bytes(const weft__entry *e)
{
    size_t n = sizeof *e + e->key_len + 1 + form_bytes(&e->plain);
    if (load_acquire(&e->gzip_state) == WEFT__GZIP_READY)
        n += form_bytes(&e->gzip);
    return n;
}

static bool key_is(const weft__entry *e, const char *key, size_t len, uint64_t hash)
{
    return e->hash == hash && e->key_len == len && memcmp(e->key, key, len) == 0;
}

/* ---- the store ---- */

static shard *shard_of(weft__cache *c, uint64_t hash)
{
    return &c->shards[hash >> 60];
}

static weft__entry **bucket_of(shard *s, uint64_t hash)
{
    return &s->bucket[hash % BUCKETS];
}

/* Pre: s->lock is held and e is in s. The store's reference becomes the caller's. */
static void unlink_entry(shard *s, weft__entry *e)
{
    weft__entry **p = bucket_of(s, e->hash);
    while (*p != e)
        p = &(*p)->chain;
    *p = e->chain;
    list_remove(&e->lru);
    store_release(&e->dead, 1);
}

/* Take the first entry out of s that was not found since this last came by; NULL when there is none. One that was
 * found is spared once, and not looked at again before the others' turn has come. */
static weft__entry *evict_one(shard *s)
{
    weft_lock_acquire(&s->lock);
    const weft__entry *spared = NULL;
    weft__entry *victim = NULL;
    while (!list_empty(&s->lru)) {
        weft__entry *e = container_of(s->lru.next, weft__entry, lru);
        if (e == spared)
            break;
        if (load_relaxed(&e->used) == 0) {
            unlink_entry(s, e);
            victim = e;
            break;
        }
        if (spared == NULL)
            spared = e;
        store_relaxed(&e->used, 0);
        list_remove(&e->lru);
        list_push_back(&s->lru, &e->lru);
    }
    weft_lock_release(&s->lock);
    return victim;
}

/* Account bytes and files; false, and nothing accounted, if they do not fit. */
static bool account(weft__cache *c, size_t bytes, unsigned files)
{
    size_t b = add_relaxed(&c->bytes, bytes) + bytes;
    unsigned f = add_relaxed(&c->files, files) + files;
    if (b <= c->bytes_max && f <= c->files_max)
        return true;
    sub_relaxed(&c->bytes, bytes);
    sub_relaxed(&c->files, files);
    return false;
}

static bool make_room(weft__cache *c, uint64_t hash, size_t bytes, unsigned files)
{
    if (bytes > c->bytes_max / 4 || files > c->files_max)
        return false;
    for (unsigned i = 0; i < 2 * SHARDS; i++) { /* where all were found lately, they go in the second round */
        shard *s = &c->shards[((hash >> 60) + i) % SHARDS];
        do {
            if (account(c, bytes, files))
                return true;
            weft__entry *victim = evict_one(s);
            if (victim == NULL)
                break;
            weft__entry_release(victim);
        } while (true);
    }
    return false;
}

static weft__entry *find_in_store(weft__cache *c, const char *key, size_t len, uint64_t hash)
{
    shard *s = shard_of(c, hash);
    weft_lock_acquire(&s->lock);
    weft__entry *e = *bucket_of(s, hash);
    while (e != NULL && !key_is(e, key, len, hash))
        e = e->chain;
    if (e != NULL)
        add_relaxed(&e->refs, 1);
    weft_lock_release(&s->lock);
    return e;
}

void weft__cache_put(weft__cache *c, weft__entry *e)
{
    size_t bytes = entry_bytes(e);
    unsigned files = (e->plain.fd >= 0) + (e->gzip.fd >= 0);
    if (!make_room(c, e->hash, bytes, files))
        return;
    e->cache = c;
    e->files = files;
    store_relaxed(&e->charge, bytes);
    add_relaxed(&e->refs, 1);
    shard *s = shard_of(c, e->hash);
    weft_lock_acquire(&s->lock);
    weft__entry *old = *bucket_of(s, e->hash);
    while (old != NULL && !key_is(old, e->key, e->key_len, e->hash))
        old = old->chain;
    if (old != NULL)
        unlink_entry(s, old);
    e->chain = *bucket_of(s, e->hash);
    *bucket_of(s, e->hash) = e;
    list_push_back(&s->lru, &e->lru);
    weft_lock_release(&s->lock);
    if (old != NULL)
        weft__entry_release(old);
}

void weft__cache_drop(weft__cache *c, weft__entry *e)
{
    shard *s = shard_of(c, e->hash);
    weft_lock_acquire(&s->lock);
    bool mine = e->cache == c && load_relaxed(&e->dead) == 0;
    if (mine)
        unlink_entry(s, e);
    weft_lock_release(&s->lock);
    if (mine)
        weft__entry_release(e);
}

bool weft__cache_grow(weft__entry *e, size_t bytes)
{
    if (e->cache == NULL)
        return true; /* lives no longer than its answer */
    if (!make_room(e->cache, e->hash, bytes, 0))
        return false;
    add_relaxed(&e->charge, bytes);
    return true;
}

void weft__cache_free(weft__cache *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        while (!list_empty(&c->shards[i].lru)) {
            weft__entry *e = evict_one(&c->shards[i]);
            if (e != NULL)
                weft__entry_release(e);
        }
    }
    weft__free(c);
}

size_t weft__cache_bytes(const weft__cache *c)
{
    return load_relaxed(&c->bytes);
}

unsigned weft__cache_files(const weft__cache *c)
{
    return load_relaxed(&c->files);
}

/* ---- finding, and the fronts ---- */

/* One finder a second is told to look at the file. */
static bool claim_check(weft__entry *e, int64_t now)
{
    int64_t checked = load_relaxed(&e->checked);
    return unlikely(now - checked >= CHECK_NS) && cas_relaxed(&e->checked, &checked, now);
}

void weft__cache_look_over(weft__cache *c)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        shard *s = &c->shards[i];
        weft_lock_acquire(&s->lock);
        list_each (l, &s->lru)
            store_relaxed(&container_of(l, weft__entry, lru)->checked, (int64_t)-CHECK_NS);
        weft_lock_release(&s->lock);
    }
}

bool weft__cache_find(weft__cache *c, weft__front *front, const char *key, size_t len, uint64_t hash, int64_t now,
                      weft__hold *hold)
{
    weft__front_slot *slot = front != NULL ? &front->slot[(hash >> 16) % WEFT__FRONT_SLOTS] : NULL;
    weft__entry *e = slot != NULL ? slot->entry : NULL;
    if (e == NULL || load_acquire(&e->dead) != 0 || !key_is(e, key, len, hash)) {
        e = find_in_store(c, key, len, hash);
        if (e == NULL)
            return false;
        if (slot != NULL && slot->users == 0) {
            if (slot->entry != NULL)
                weft__entry_release(slot->entry);
            slot->entry = e; /* the slot takes the reference */
        } else {
            slot = NULL;
        }
    }
    if (slot != NULL)
        slot->users++;
    if (load_relaxed(&e->used) == 0)
        store_relaxed(&e->used, 1);
    *hold = (weft__hold){e, slot, claim_check(e, now)};
    return true;
}

void weft__front_sweep(weft__front *front, bool all)
{
    for (unsigned i = 0; i < WEFT__FRONT_SLOTS; i++) {
        weft__front_slot *slot = &front->slot[i];
        if (slot->entry == NULL || slot->users != 0 || (!all && load_relaxed(&slot->entry->dead) == 0))
            continue;
        weft__entry_release(slot->entry);
        slot->entry = NULL;
    }
}
