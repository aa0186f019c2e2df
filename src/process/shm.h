/* shm.h - what lies at the beginning of every segment, for the sources that put something into one.
 *
 * Everything here may be written by any process that has the segment. Where such a process may be hostile nothing of it
 * is trusted: sizes come from the file itself and are kept in the handle, the rest is copied, checked and then used. */
#ifndef WEFT_PROCESS_SHM_H
#define WEFT_PROCESS_SHM_H

#include <weft/lock.h>
#include <weft/shm.h>

#include "base/atomic.h"

enum {
    WEFT__SHM_HEAD = 4096, /* bytes before the data */
    WEFT__SHM_PROCESSES = 60,
    WEFT__SHM_BINS = 48
};

/* What a segment is used for. */
enum {
    WEFT__SHM_DATA = 0,
    WEFT__SHM_HEAP,
    WEFT__SHM_QUEUE
};

typedef struct weft__shm_entry {
    uint32_t token; /* atomic: weft__process of it; 0: free. Taking the entry and naming its owner are one step */
    uint32_t pid;
    uint64_t start;
    char name[32];
} weft__shm_entry;

/* shm_heap.c */
typedef struct weft__shm_heap {
    weft_lock lock;
    uint64_t pending;              /* the block that is being given out; 0: none */
    uint64_t used;                 /* atomic: bytes given out */
    uint64_t bins[WEFT__SHM_BINS]; /* the first free block of each class; 0: none */
} weft__shm_heap;

typedef struct weft__shm_head {
    uint32_t magic;
    uint32_t kind;
    uint64_t size; /* of the data */
    uint64_t root; /* atomic: an offset */
    weft__shm_entry maker;
    weft__shm_entry processes[WEFT__SHM_PROCESSES];
    weft__shm_heap heap;
} weft__shm_head;

_Static_assert(sizeof(weft__shm_head) <= WEFT__SHM_HEAD, "the head of a segment is one page");

/* How the files of named segments begin; "weft". A test that clears has its own. */
extern const char *weft__shm_area;

struct weft_shm {
    int fd;
    uint32_t kind;
    weft__shm_head *head;
    char *data;
    size_t size;
    char name[WEFT_SHM_NAME_MAX + 1];
};

/* As weft_shm_new, for a use of its own: fill(s, arg) is called before others can see it. */
int weft__shm_new(weft_shm **s, size_t size, const char *name, uint32_t kind, int (*fill)(weft_shm *s, void *arg),
                  void *arg);

/* shm_heap.c: make the data one free block; -EINVAL when it is too small. */
int weft__shm_heap_fill(weft_shm *s, void *arg);

/* Walk the heap: 0, or -EBADMSG when it is not whole. Nobody may be using it. */
int weft__shm_heap_check(const weft_shm *s);

/* weft_shm_close, but the descriptor stays the caller's. */
void weft__shm_detach(weft_shm *s);

#endif
