/* Threads: started once, joined by anybody, named, asked to stop. */
#include "harness/harness.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/event.h>
#include <weft/thread.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

static int double_it(void *arg)
{
    return (int)(intptr_t)arg * 2;
}

/* S000-05, S001-91, S003-27 */
TEST_IN(THREAD | CO, thread_join_waits_for_the_end_and_gives_the_result)
{
    weft_thread all[5] = {0};
    for (int i = 0; i < 5; i++)
        CHECK_OK(weft_thread_start(&all[i], double_it, (void *)(intptr_t)i, NULL));
    for (int i = 0; i < 5; i++) {
        int result = -1;
        CHECK_OK(weft_thread_join(&all[i], &result, WEFT_FOREVER));
        CHECK_INT(2 * i, result);
        CHECK_INT(0, weft_thread_alive(&all[i]));
    }
}
