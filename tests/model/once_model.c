/* once_model.c - weft_once: run once, waited for, tried again after a failure or a death. */
#include "explorer.h"

#include <weft/once.h>

static weft_once o;
static unsigned char region;
static int ran, failures_left, data;

static void reset_any(unsigned flags)
{
    weft_once_init(&o, flags);
    region = 0;
    ran = failures_left = data = 0;
}

static void reset(void)
{
    reset_any(0);
}

static void reset_failing(void)
{
    reset_any(0);
    failures_left = 1;
}

static void reset_shared(void)
{
    reset_any(WEFT_SHARED);
}

static int make(void *arg)
{
    (void)arg;
    model_enter(&region);
    ran++;
    model_leave(&region);
    if (failures_left > 0) {
        failures_left--;
        return -EIO;
    }
    data = 1;
    return 0;
}

static void all(unsigned i)
{
    (void)i;
    int err = weft_once_run(&o, make, NULL, WEFT_FOREVER);
    MODEL_CHECK(err == 0 || err == -EIO);
    if (err == 0)
        MODEL_CHECK(data == 1);
}

static void ran_once(void)
{
    MODEL_CHECK(ran == 1 && weft_once_done(&o));
}

static void ran_twice(void)
{
    MODEL_CHECK(ran == 2 && weft_once_done(&o));
}

static void deadline(unsigned i)
{
    int err = weft_once_run(&o, make, NULL, i == 0 ? MODEL_SOMETIME : WEFT_FOREVER);
    MODEL_CHECK(err == 0 || (i == 0 && err == -ETIMEDOUT));
}

static int make_mortal(void *arg)
{
    (void)arg;
    ran++;
    model_point(MODEL_FENCE, NULL);
    data = 1;
    return 0;
}

static void mortal(unsigned i)
{
    (void)i;
    MODEL_CHECK(weft_once_run(&o, make_mortal, NULL, WEFT_FOREVER) == 0);
    MODEL_CHECK(data == 1);
}

static void mortal_final(void)
{
    MODEL_CHECK(weft_once_done(&o) && ran >= 1 && ran <= 2);
}

const model_case once_cases[] = {
    {"once_three", 3, reset, all, ran_once, MODEL_EXACT, .share = 2},
    {"once_first_fails", 3, reset_failing, all, ran_twice, 3, .share = 2},
    {"once_deadline", 3, reset, deadline, ran_once, MODEL_EXACT, .share = 2},
    {"once_shared_three", 3, reset_shared, all, ran_once, 3, .spurious = true, .share = 2},
    {"once_shared_runner_dies", 2, reset_shared, mortal, mortal_final, MODEL_EXACT, .mortal = 1},
    {NULL},
};
