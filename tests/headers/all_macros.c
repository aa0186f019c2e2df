/* all_macros.c - uses every public macro once; tools/check-headers compiles it in each dialect and looks that no macro
 * is missing here. It is never run. */
#include <weft/barrier.h>
#include <weft/base.h>
#include <weft/co.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/group.h>
#include <weft/local.h>
#include <weft/lock.h>
#include <weft/once.h>
#include <weft/process.h>
#include <weft/rwlock.h>
#include <weft/select.h>
#include <weft/sem.h>
#include <weft/thread.h>
#include <weft/timer.h>

static weft_lock lock = WEFT_LOCK_INIT;
static weft_rlock rlock = WEFT_RLOCK_INIT;
static weft_rwlock rwlock = WEFT_RWLOCK_INIT;
static weft_cond cond = WEFT_COND_INIT;
static weft_sem sem = WEFT_SEM_INIT(3);
static weft_event event = WEFT_EVENT_INIT;
static weft_once once = WEFT_ONCE_INIT;
static weft_group group = WEFT_GROUP_INIT;
static weft_local local = WEFT_LOCAL_INIT(NULL);
static weft_thread thread = WEFT_THREAD_INIT;
static weft_process process = WEFT_PROCESS_INIT;
static weft_timer timer = WEFT_TIMER_INIT;

int main(void)
{
    weft_until untils[] = {WEFT_FOREVER, WEFT_NOW};
    int64_t durations[] = {WEFT_US, WEFT_MS, WEFT_SECOND};
    int n = 0;
    weft_case cases[] = {WEFT_CASE_NONE,          WEFT_CASE_GET(NULL, &n),  WEFT_CASE_PUT(NULL, &n),
                         WEFT_CASE_EVENT(&event), WEFT_CASE_FUTURE(NULL),   WEFT_CASE_UNTIL(WEFT_NOW),
                         WEFT_CASE_READABLE(0),   WEFT_CASE_WRITABLE(n + 1)};
    const char *version = WEFT_VERSION;
    int numbers[] = {WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, WEFT_VERSION_PATCH};
    (void)untils, (void)durations, (void)version, (void)numbers;
    (void)cases, (void)rwlock, (void)cond, (void)sem, (void)event, (void)once, (void)group, (void)local, (void)timer;
    (void)process;
    (void)WEFT_CONTAINER(&thread.result, weft_thread, result);
    WEFT_WITH_LOCK (&lock)
        numbers[0]++;
    WEFT_WITH_RLOCK (&rlock) {
        numbers[1]++;
    }
    return 0;
}
