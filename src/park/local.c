/* local.c - values of one's own: see weft/local.h.
 *
 * A waiter has, from its first set on, one block: `values` by key, and beside them the keys in the order in which they
 * were first set. Only its owner touches it, so a get is a look at the key, at the waiter and at the block. A key takes
 * its number at the first set of all, which also copies the destructor: the weft_local's memory may go (a module that
 * is unloaded), its values are destroyed all the same.
 *
 * L1  the list, values[0 ... count - 1].order, has each key that was set once, however often its value changed. At the
 *     end the last is taken off it again and again; a destructor that sets a value puts its key back on top.
 * L2  keys_used only grows; destructors[k] is written before any weft_local shows k.
 * Lock order: keys_lock is a leaf. Pinned by tests/park/local_test.c. */
#include <weft/local.h>

#include "park/rawlock.h"
#include "park/waiter.h"

#include <errno.h>
#include <string.h>

enum {
    KEYS_MAX = 4096,
    CALLS_MAX = 4,
    FIRST_SIZE = 4
};

typedef struct value {
    void *value;
    uint16_t order; /* of the block's own list: the key that was the n-th to be set, n this entry's index */
    bool listed;    /* this entry's key is in that list */
    uint8_t calls;  /* of its destructor so far */
} value;

typedef struct weft__locals {
    uint32_t size, count;
    value values[];
} locals;

static weft__rawlock keys_lock;
static uint32_t keys_used;
static void (*destructors[KEYS_MAX])(void *value);

void *weft_local_get(weft_local *local)
{
    uint32_t index = load_acquire(&local->key) - 1; /* without a key: beyond every block */
    const locals *own = weft__self()->locals;
    return own != NULL && index < own->size ? own->values[index].value : NULL;
}

/* The key's number. 0: there is none left. */
static uint32_t take_key(weft_local *local)
{
    rawlock_acquire(&keys_lock);
    uint32_t key = load_relaxed(&local->key);
    if (key == 0 && keys_used < KEYS_MAX) {
        destructors[keys_used] = local->destructor;
        key = ++keys_used;
        store_release(&local->key, key);
    }
    rawlock_release(&keys_lock);
    return key;
}

/* Room for this many keys. */
static locals *grow(locals *old, uint32_t least)
{
    uint32_t had = old != NULL ? old->size : 0, size = had != 0 ? had : FIRST_SIZE;
    while (size < least)
        size *= 2;
    locals *own = weft__realloc(old, sizeof *own + size * sizeof *own->values);
    if (own == NULL)
        return NULL;
    if (had == 0)
        own->count = 0;
    memset(own->values + had, 0, (size - had) * sizeof *own->values);
    own->size = size;
    return own;
}

int weft_local_set(weft_local *local, void *v)
{
    uint32_t key = load_acquire(&local->key);
    if (key == 0 && (key = take_key(local)) == 0)
        return -EAGAIN;
    weft__waiter *self = weft__self();
    locals *own = self->locals;
    if (own == NULL || key > own->size) {
        if (v == NULL)
            return 0;
        if ((own = grow(own, key)) == NULL)
            return -ENOMEM;
        self->locals = own;
    }
    value *mine = &own->values[key - 1];
    mine->value = v;
    if (!mine->listed) {
        mine->listed = true;
        own->values[own->count++].order = (uint16_t)key;
    }
    return 0;
}

void weft__locals_end(weft__waiter *self)
{
    locals *own;
    while ((own = self->locals)->count != 0) { /* a destructor may have moved it */
        uint32_t key = own->values[--own->count].order;
        value *last = &own->values[key - 1];
        void *v = last->value;
        last->value = NULL;
        last->listed = false;
        if (v != NULL && destructors[key - 1] != NULL && last->calls++ < CALLS_MAX)
            destructors[key - 1](v);
    }
    weft__locals_drop(self);
}

void weft__locals_drop(weft__waiter *w)
{
    weft__free(w->locals);
    w->locals = NULL;
}
