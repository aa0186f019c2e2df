/* cache.h - answers kept ready: one entry a decoded path, with the file's contents or its open descriptor.
 *
 * Two levels. The *store* is one for the site: sharded, each shard with its lock, bounded in bytes and in descriptors.
 * The *front* is a small table of a serving thread's own, so that a hit takes no lock and writes no memory that another
 * thread reads: its slots hold a reference each, and who uses an entry across a wait pins the slot.
 *
 * E1 immutable:   an entry in the store never changes but for its atomic marks and its gzip form, which is set once. A
 *                 changed file makes a new entry; answers under way go on with the old one, so none mixes versions.
 * E2 counted:     what an entry holds counts against the bounds until its memory is freed, not until it is evicted; so
 *                 the bounds hold also while slow clients keep old entries. What does not fit is served and not kept.
 * E3 looked over: a second after the last look, or after a reload, one finder is told to look (hold.stale); others go
 *                 on meanwhile.
 * E4 dead:        an entry out of the store is marked dead; fronts let go of it when they meet it or at the next tick.
 * Lock order: one shard at a time, nothing is called under it but list operations. Eviction is second chance (`used`).
 * Pinned by tests/http/cache_test.c and tests/web/tree_test.py. */
#ifndef WEFT_HTTP_CACHE_H
#define WEFT_HTTP_CACHE_H

#include <weft/lock.h>

#include "base/atomic.h"
#include "base/list.h"
#include "http/slice.h"

#include <stdint.h>
#include <sys/stat.h>

/* What tells one state of a file from every other. */
typedef struct weft__version {
    uint64_t dev, ino, size;
    int64_t modified, changed; /* mtime, ctime in ns since 1970 */
} weft__version;

weft__version weft__version_of(const struct stat *st);
static inline bool weft__version_same(const weft__version *a, const weft__version *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->modified == b->modified &&
           a->changed == b->changed;
}

enum {
    WEFT__TAIL = 512 /* bytes that are sent after all others; see send.c */
};

/* One form of a file (identity, gzip) ready to be sent: fields[0..fields_len) from Content-Type to the empty line, and
 * directly behind them the body; or only the fields, and the body in `fd`. */
typedef struct weft__form {
    char *memory; /* what to free */
    char *fields; /* in it; NULL: there is no such form */
    size_t fields_len;
    uint64_t size;    /* bytes of the body */
    int fd;           /* -1: the body is in memory, at fields + fields_len */
    const char *tail; /* in `memory`: the last WEFT__TAIL bytes of the version in fd; NULL: not kept */
    char etag[40];
    unsigned etag_len;
} weft__form;

static inline const char *weft__form_body(const weft__form *f)
{
    return f->fields + f->fields_len;
}

enum {
    WEFT__GZIP_NONE,    /* never offered: not compressible, too small, too large, switched off */
    WEFT__GZIP_OFFERED, /* can be made when first asked for */
    WEFT__GZIP_MAKING,  /* somebody makes it */
    WEFT__GZIP_READY,   /* entry.gzip is there */
    WEFT__GZIP_USELESS  /* it came out no smaller, or failed */
};

typedef struct weft__cache weft__cache;

typedef struct weft__entry {
    uint32_t refs;       /* atomic */
    uint32_t dead;       /* atomic: no longer in the store */
    uint32_t used;       /* atomic: found since eviction last came by */
    uint32_t gzip_state; /* atomic: one of the above; release after gzip is written, acquire before it is read */
    int64_t checked;     /* atomic: when its file was last looked at, coarse monotonic ns */
    uint64_t hash;
    weft__cache *cache; /* what it is accounted to; NULL: nothing */
    size_t charge;      /* atomic: bytes accounted */
    unsigned files;     /* descriptors accounted */
    weft__list lru;     /* in its shard */
    struct weft__entry *chain;
    weft__version version; /* of the identity form's file */
    weft__version gz;      /* of the .gz file, all zero if there is none */
    int64_t last_modified; /* seconds; of a time to come it is the time of loading: RFC 9110 8.8.2.1 */
    weft__span type;       /* Content-Type */
    bool vary;             /* the answer depends on Accept-Encoding */
    weft__form plain, gzip;
    int64_t warm[2]; /* atomic: when the last request began that got the plain, the gzip form whole, coarse ns */
    uint32_t key_len;
    char key[]; /* decoded path without the leading slash; a directory's ends with '/' or is empty */
} weft__entry;

#define WEFT__FRONT_SLOTS 256

typedef struct weft__front_slot {
    weft__entry *entry; /* holds a reference */
    uint32_t users;     /* pins by handlers of this thread; not replaced meanwhile */
} weft__front_slot;

typedef struct weft__front {
    weft__front_slot slot[WEFT__FRONT_SLOTS];
} weft__front;

/* A use of an entry. */
typedef struct weft__hold {
    weft__entry *entry;
    weft__front_slot *slot; /* pinned; NULL: the hold has a reference of its own */
    bool stale;             /* look at the file before using the entry (E3) */
} weft__hold;

/* `bytes` 0: keeps nothing. Returns 0 or -ENOMEM. */
int weft__cache_new(weft__cache **out, size_t bytes, unsigned files);

/* Every hold and front has been let go of. */
void weft__cache_free(weft__cache *c);

uint64_t weft__cache_hash(const char *key, size_t len);

/* A new entry with one reference, in no cache; the caller fills it in. NULL: out of memory. */
weft__entry *weft__entry_new(const char *key, size_t len, uint64_t hash);
void weft__entry_release(weft__entry *e);

/* Find the entry of `key`. False: there is none. `front` may be NULL. Sets hold->stale for one caller when the last
 * look is more than a second before `now`. */
bool weft__cache_find(weft__cache *c, weft__front *front, const char *key, size_t len, uint64_t hash, int64_t now,
                      weft__hold *hold);

/* What is in the store now is looked at when it is found next, however short ago the last look was. */
void weft__cache_look_over(weft__cache *c);

/* Takes the caller's use of the entry back. */
static inline void weft__hold_end(weft__hold *hold)
{
    if (hold->slot != NULL)
        hold->slot->users--;
    else
        weft__entry_release(hold->entry);
}

/* Put e in the store, in the place of an older entry of its key, if it fits its bounds; the caller keeps its reference.
 */
void weft__cache_put(weft__cache *c, weft__entry *e);

/* Take e out of the store, if it is there. */
void weft__cache_drop(weft__cache *c, weft__entry *e);

/* The entry has grown by `bytes` (its gzip form). False: they do not fit; nothing was accounted. */
bool weft__cache_grow(weft__entry *e, size_t bytes);

/* Let go of dead entries, and with `all` of every entry. No slot may be pinned with `all`. */
void weft__front_sweep(weft__front *front, bool all);

size_t weft__cache_bytes(const weft__cache *c);
unsigned weft__cache_files(const weft__cache *c);

#endif
