/* rwlock_model.c - weft_rwlock: writers alone, readers together, nobody forgotten. */
#include "explorer.h"

#include <weft/rwlock.h>

static weft_rwlock l;
static int readers, writers, recovered;
static uint32_t step; /* what the regions touch, so that orders within them are explored */

static void reset(void)
{
    weft_rwlock_init(&l, 0);
    readers = writers = recovered = 0;
}

static void reset_shared(void)
{
    weft_rwlock_init(&l, WEFT_SHARED);
    readers = writers = recovered = 0;
}

static void read_region(void)
{
    readers++;
    MODEL_CHECK(writers == 0);
    model_point(MODEL_RMW, &step);
    MODEL_CHECK(writers == 0);
    readers--;
}

static void write_region(void)
{
    MODEL_CHECK(writers == 0 && readers == 0);
    writers++;
    model_point(MODEL_RMW, &step);
    MODEL_CHECK(writers == 1 && readers == 0);
    writers--;
}

static void reader(weft_until until)
{
    if (weft_rwlock_acquire_read_until(&l, until) != 0)
        return;
    read_region();
    weft_rwlock_release_read(&l);
}

static void writer(weft_until until)
{
    if (weft_rwlock_acquire_write_until(&l, until) != 0)
        return;
    write_region();
    weft_rwlock_release_write(&l);
}

static void one_writer(unsigned i)
{
    if (i == 0)
        writer(WEFT_FOREVER);
    else
        reader(WEFT_FOREVER);
}

static void two_writers(unsigned i)
{
    if (i < 2)
        writer(WEFT_FOREVER);
    else
        reader(WEFT_FOREVER);
}

static void writer_gives_up(unsigned i)
{
    if (i == 0)
        writer(MODEL_SOMETIME);
    else
        reader(WEFT_FOREVER);
}

static void reader_gives_up(unsigned i)
{
    if (i == 0)
        writer(WEFT_FOREVER);
    else
        reader(i == 1 ? MODEL_SOMETIME : WEFT_FOREVER);
}

static void free_again(void)
{
    MODEL_CHECK(l.state == 0);
    MODEL_CHECK(!weft_lock_held(&l.writer));
}

/* The mortal writer against a writer that cleans up behind it and a reader that is told. */
static void writer_dies(unsigned i)
{
    if (i < 2) {
        int err = weft_rwlock_acquire_write_until(&l, WEFT_FOREVER);
        if (err == -EOWNERDEAD) {
            writers = 0;
            recovered++;
            MODEL_CHECK(weft_rwlock_recover(&l) == 0);
        }
        write_region();
        weft_rwlock_release_write(&l);
    } else {
        int err = weft_rwlock_acquire_read_until(&l, WEFT_FOREVER);
        MODEL_CHECK(err == 0 || (err == -EOWNERDEAD && model_dead(0)));
        if (err == 0) {
            read_region();
            weft_rwlock_release_read(&l);
        }
    }
}

static void writer_dies_final(void)
{
    MODEL_CHECK(model_dead(0) || recovered == 0);
}

const model_case rwlock_cases[] = {
    {"rwlock_one_writer_one_reader", 2, reset, one_writer, free_again, MODEL_EXACT},
    {"rwlock_one_writer_two_readers", 3, reset, one_writer, free_again, 3, .share = 4},
    {"rwlock_two_writers_one_reader", 3, reset, two_writers, free_again, 2, .share = 4},
    {"rwlock_writer_gives_up", 2, reset, writer_gives_up, free_again, MODEL_EXACT},
    {"rwlock_writer_gives_up_two_readers", 3, reset, writer_gives_up, free_again, 2, .share = 3},
    {"rwlock_reader_gives_up", 3, reset, reader_gives_up, free_again, 2, .share = 3},
    {"rwlock_shared_two_writers", 3, reset_shared, two_writers, free_again, 2, .share = 2},
    {"rwlock_shared_writer_dies", 3, reset_shared, writer_dies, writer_dies_final, 1, .mortal = 1, .share = 3},
    {NULL},
};
