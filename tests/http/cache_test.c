/* cache_test.c - the store and the fronts of the file cache: E1 to E4 of http/cache.h. */
#include "harness/harness.h"

#include "http/cache.h"
#include "sys/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

/* An entry with `size` bytes of body, in no cache. */
static weft__entry *make(const char *key, size_t size)
{
    weft__entry *e = weft__entry_new(key, strlen(key), weft__cache_hash(key, strlen(key)));
    CHECK(e != NULL);
    e->plain.memory = e->plain.fields = calloc(1, size + 4);
    e->plain.fields_len = 4;
    e->plain.size = size;
    return e;
}

static void put(weft__cache *c, const char *key, size_t size)
{
    weft__entry *e = make(key, size);
    weft__cache_put(c, e);
    weft__entry_release(e);
}

static bool find(weft__cache *c, weft__front *front, const char *key, int64_t now, weft__hold *hold)
{
    return weft__cache_find(c, front, key, strlen(key), weft__cache_hash(key, strlen(key)), now, hold);
}

static bool is_there(weft__cache *c, const char *key)
{
    weft__hold hold;
    if (!find(c, NULL, key, 0, &hold))
        return false;
    weft__hold_end(&hold);
    return true;
}

static weft__cache *new_cache(size_t bytes, unsigned files)
{
    weft__cache *c;
    CHECK_OK(weft__cache_new(&c, bytes, files));
    return c;
}

TEST(cache_finds_what_was_put)
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__hold hold;
    CHECK(!find(c, NULL, "a", 0, &hold));
    put(c, "a", 100);
    CHECK(find(c, NULL, "a", 0, &hold));
    CHECK_INT(1, hold.entry->key_len);
    CHECK(!hold.stale);
    weft__hold_end(&hold);
    CHECK(!is_there(c, "b"));
    CHECK(!is_there(c, "a/"));
    CHECK(!is_there(c, ""));
    weft__cache_free(c);
}

TEST(cache_looks_at_each_entry_once_after_a_reload) /* S001-135: no page of the old release beside the new one */
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__front front = {0};
    weft__hold hold;
    put(c, "a", 100);
    put(c, "b", 100);
    CHECK(find(c, &front, "a", 0, &hold) && !hold.stale);
    weft__hold_end(&hold);
    weft__cache_look_over(c);
    for (int i = 0; i < 2; i++) {
        CHECK(find(c, &front, "a", 1, &hold));
        CHECK_INT(i == 0, hold.stale);
        weft__hold_end(&hold);
        CHECK(find(c, NULL, "b", 1, &hold));
        CHECK_INT(i == 0, hold.stale);
        weft__hold_end(&hold);
    }
    weft__front_sweep(&front, true);
    weft__cache_free(c);
}

TEST(cache_replaced_entry_is_dead_and_still_whole)
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__hold old, new;
    put(c, "a", 100);
    CHECK(find(c, NULL, "a", 0, &old));
    put(c, "a", 200);
    CHECK(find(c, NULL, "a", 0, &new));
    CHECK(old.entry != new.entry);
    CHECK_INT(1, old.entry->dead);
    CHECK_INT(100, old.entry->plain.size);
    CHECK_INT(0, new.entry->dead);
    CHECK_INT(200, new.entry->plain.size);
    weft__hold_end(&old);
    weft__hold_end(&new);
    weft__cache_free(c);
}

TEST(cache_drop_takes_out_this_entry_only)
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__hold old;
    put(c, "a", 100);
    CHECK(find(c, NULL, "a", 0, &old));
    put(c, "a", 200);
    weft__cache_drop(c, old.entry);
    CHECK(is_there(c, "a"));
    weft__hold_end(&old);
    CHECK(find(c, NULL, "a", 0, &old));
    weft__cache_drop(c, old.entry);
    weft__cache_drop(c, old.entry);
    CHECK(!is_there(c, "a"));
    weft__hold_end(&old);
    CHECK_INT(0, weft__cache_bytes(c));
    weft__cache_free(c);
}

TEST(cache_front_hit_is_the_entry_of_the_store)
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__front *front = calloc(1, sizeof *front);
    weft__hold first, second;
    put(c, "a", 100);
    CHECK(find(c, front, "a", 0, &first));
    CHECK(first.slot != NULL);
    CHECK_INT(1, first.slot->users);
    CHECK(find(c, front, "a", 0, &second));
    CHECK_PTR(first.entry, second.entry);
    CHECK_INT(2, first.slot->users);
    weft__hold_end(&first);
    weft__hold_end(&second);
    CHECK_INT(2, second.entry->refs); /* the store's and the front's */
    weft__front_sweep(front, true);
    free(front);
    weft__cache_free(c);
}

TEST(cache_front_does_not_serve_the_dead)
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__front *front = calloc(1, sizeof *front);
    weft__hold hold;
    put(c, "a", 100);
    CHECK(find(c, front, "a", 0, &hold));
    weft__hold_end(&hold);
    put(c, "a", 200);
    CHECK(find(c, front, "a", 0, &hold));
    CHECK_INT(200, hold.entry->plain.size);
    weft__hold_end(&hold);
    weft__cache_drop(c, hold.entry);
    CHECK(!find(c, front, "a", 0, &hold));
    weft__front_sweep(front, false);
    CHECK_INT(0, weft__cache_bytes(c));
    free(front);
    weft__cache_free(c);
}

TEST(cache_pinned_slot_is_not_given_to_another)
{
    weft__cache *c = new_cache(1 << 24, 10);
    weft__front *front = calloc(1, sizeof *front);
    weft__hold first, other;
    put(c, "a", 100);
    CHECK(find(c, front, "a", 0, &first));
    weft__front_slot *slot = first.slot;
    for (int i = 0; i < 2000; i++) { /* 2,000 keys over 256 slots: some meet in that one */
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put(c, key, 10);
        CHECK(find(c, front, key, 0, &other));
        CHECK(other.slot != slot);
        weft__hold_end(&other);
        CHECK_PTR(first.entry, slot->entry);
    }
    weft__hold_end(&first);
    weft__front_sweep(front, true);
    free(front);
    weft__cache_free(c);
}

TEST(cache_never_holds_more_bytes_than_its_bound)
{
    weft__cache *c = new_cache(100000, 10);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i % 300);
        put(c, key, (size_t)(i * 37 % 9000));
        CHECK_BETWEEN(0, 100000, weft__cache_bytes(c));
    }
    CHECK(weft__cache_bytes(c) > 50000);
    weft__cache_free(c);
}

TEST(cache_counts_what_is_still_held)
{
    weft__cache *c = new_cache(100000, 10);
    weft__hold held[4];
    for (int i = 0; i < 4; i++) {
        char key[16];
        snprintf(key, sizeof key, "held%d", i);
        put(c, key, 20000);
        CHECK(find(c, NULL, key, 0, &held[i]));
        weft__cache_drop(c, held[i].entry);
    }
    CHECK(weft__cache_bytes(c) > 80000);
    put(c, "more", 20000);
    CHECK(!is_there(c, "more"));
    put(c, "little", 5000);
    CHECK(is_there(c, "little"));
    for (int i = 0; i < 4; i++)
        weft__hold_end(&held[i]);
    put(c, "more", 20000);
    CHECK(is_there(c, "more"));
    weft__cache_free(c);
}

TEST(cache_keeps_no_entry_of_a_quarter_of_it)
{
    weft__cache *c = new_cache(100000, 10);
    put(c, "huge", 60000);
    CHECK(!is_there(c, "huge"));
    CHECK_INT(0, weft__cache_bytes(c));
    weft__cache_free(c);
}

TEST(cache_of_no_size_keeps_nothing)
{
    weft__cache *c = new_cache(0, 0);
    put(c, "a", 0);
    CHECK(!is_there(c, "a"));
    weft__cache_free(c);
}

TEST(cache_bounds_descriptors)
{
    weft__cache *c = new_cache(1 << 20, 8);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "f%d", i);
        weft__entry *e = make(key, 10);
        e->plain.fd = dup(1);
        weft__cache_put(c, e);
        weft__entry_release(e);
        CHECK_BETWEEN(0, 8, weft__cache_files(c));
    }
    CHECK(weft__cache_files(c) > 0);
    weft__cache_free(c);
}

TEST(cache_evicts_what_is_not_used_first)
{
    weft__cache *c = new_cache(200000, 10);
    put(c, "used", 1000);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        put(c, key, 1000);
        CHECK(is_there(c, "used"));
    }
    weft__cache_free(c);
}

static uint64_t shard_of(const char *key)
{
    return weft__cache_hash(key, strlen(key)) >> 60;
}

/* Room is made in the newcomer's shard first: what is used there is not its price while others have what is not. */
TEST(cache_evicts_what_is_not_used_first_wherever_it_is)
{
    weft__cache *c = new_cache(200000, 10);
    char key[16];
    int beside = 0;
    put(c, "used", 1000);
    for (int i = 0; beside < 20; i++) {
        snprintf(key, sizeof key, "k%d", i);
        bool same = shard_of(key) == shard_of("used");
        if (same && i < 1000) /* by then the others have filled the cache */
            continue;
        put(c, key, 1000);
        CHECK(is_there(c, "used"));
        beside += same;
        if (same) { /* alone there again */
            weft__hold hold;
            CHECK(find(c, NULL, key, 0, &hold));
            weft__cache_drop(c, hold.entry);
            weft__hold_end(&hold);
            put(c, "fills", 1000);
        }
    }
    weft__cache_free(c);
}

TEST(cache_tells_one_finder_a_second_to_look)
{
    weft__cache *c = new_cache(1 << 20, 10);
    weft__hold hold;
    put(c, "a", 100);
    int64_t now = 100 * SECOND;
    for (int second = 0; second < 5; second++, now += SECOND) {
        int told = 0;
        for (int i = 0; i < 10; i++) {
            CHECK(find(c, NULL, "a", now + i, &hold));
            told += hold.stale;
            weft__hold_end(&hold);
        }
        CHECK_INT(1, told);
    }
    weft__cache_free(c);
}

TEST(cache_accounts_growth)
{
    weft__cache *c = new_cache(100000, 10);
    weft__hold hold;
    put(c, "a", 1000);
    CHECK(find(c, NULL, "a", 0, &hold));
    size_t before = weft__cache_bytes(c);
    CHECK(weft__cache_grow(hold.entry, 5000));
    CHECK_INT(before + 5000, weft__cache_bytes(c));
    CHECK(!weft__cache_grow(hold.entry, 50000));
    CHECK_INT(before + 5000, weft__cache_bytes(c));
    weft__cache_drop(c, hold.entry);
    weft__hold_end(&hold);
    CHECK_INT(0, weft__cache_bytes(c));
    weft__cache_free(c);
}

TEST(cache_hash_tells_keys_apart)
{
    CHECK(weft__cache_hash("", 0) != weft__cache_hash("\0", 1));
    CHECK(weft__cache_hash("a", 1) != weft__cache_hash("a\0", 2));
    CHECK(weft__cache_hash("12345678", 8) != weft__cache_hash("123456780", 9));
    CHECK(weft__cache_hash("abcdefgh12345678", 16) != weft__cache_hash("12345678abcdefgh", 16));
}

/* ---- several threads at once ---- */

typedef struct crowd {
    weft__cache *cache;
    bool fronts;
} crowd;

static int churn(void *arg)
{
    crowd *p = arg;
    weft__front *front = p->fronts ? calloc(1, sizeof *front) : NULL;
    uint32_t x;
    weft__sys_random(&x, sizeof x);
    for (int i = 0; i < 4000; i++) {
        char key[16];
        x = x * 1664525 + 1013904223;
        snprintf(key, sizeof key, "k%u", (x >> 16) % 64);
        weft__hold hold;
        if (!find(p->cache, front, key, i * SECOND / 100, &hold)) {
            put(p->cache, key, (x >> 8) % 5000);
            continue;
        }
        CHECK(hold.entry->key_len == strlen(key) && memcmp(hold.entry->key, key, strlen(key)) == 0);
        CHECK(hold.entry->plain.memory[hold.entry->plain.size] == 0);
        if (x % 16 == 0)
            weft__cache_drop(p->cache, hold.entry);
        else if (x % 16 == 1)
            put(p->cache, key, 100);
        weft__hold_end(&hold);
        CHECK_BETWEEN(0, 150000, weft__cache_bytes(p->cache));
        if (front != NULL && i % 100 == 0)
            weft__front_sweep(front, i % 200 == 0);
    }
    if (front != NULL)
        weft__front_sweep(front, true);
    free(front);
    return 0;
}

static void crowded(test *t, bool fronts)
{
    crowd p = {new_cache(100000, 10), fronts};
    for (int i = 0; i < 4; i++)
        test_spawn(t, churn, &p);
    test_join(t);
    weft__cache_free(p.cache);
}

TEST_IN(THREAD, cache_holds_under_a_crowd)
{
    crowded(t, false);
}

TEST_IN(THREAD, cache_holds_under_a_crowd_with_fronts)
{
    crowded(t, true);
}
