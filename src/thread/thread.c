/* thread.c - starting, joining, detaching, cancelling and naming threads: see weft/thread.h, and thread.h beside this
 * file for the records.
 *
 * A start does not wait for the new thread: ident and name are there at once, and who wants the kernel's number right
 * away waits until the thread has told it. A join sleeps on the record's `state`, then takes what the handle shall
 * answer from now on out of the record. It does not wait for the thread's last instructions in the C library: that
 * would be a second sleep; a pthread that is not through with them is given back by a later start (registry.c). Pinned
 * by tests/thread/thread_test.c. */
#include "thread/thread.h"

#include "base/panic.h"
#include "co/sched.h"
#include "park/await.h"
#include "sys/aside.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t last_number;           /* atomic: of the names "Thread-N" */
static weft_thread_error_fn *error_fn; /* under the lock, with its argument */
static void *error_arg;

/* ---- starting ---- */

static void *thread_main(void *arg)
{
    weft__thread *r = arg;
    weft__thread_me = r;
    weft__self(); /* with its waiter comes the rest: see thread_begins */
    r->result = r->run != NULL ? r->run(r->arg) : r->fn(r->arg);
    return NULL;
}

/* The new record as the options say. */
static weft__thread *make(const weft_thread_options *options)
{
    weft__thread *r = weft__thread_record();
    if (r == NULL)
        return NULL;
    r->ours = true;
    r->daemon = options != NULL && options->daemon != 0;
    r->result = -ECANCELED; /* of one that leaves by pthread_exit */
    if (options != NULL && options->name != NULL)
        weft__thread_copy_name(r->name, sizeof r->name, options->name);
    else
        snprintf(r->name, sizeof r->name, "Thread-%u", (unsigned)add_relaxed(&last_number, 1) + 1);
    return r;
}

/* Have the listed record's thread run. On failure it is as if it had never been listed. */
static int launch(weft__thread *r, size_t stack_size)
{
    weft__thread_watch_exit();
    weft__thread_reap_left(false);
    pthread_t native; /* the record's own is written by the thread, under the lock */
    int err = weft__sys_thread_start(&native, thread_main, r, stack_size);
    if (err == -EAGAIN && weft__thread_reap_left(true))
        err = weft__sys_thread_start(&native, thread_main, r, stack_size);
    if (err == 0)
        return 0;
    rawlock_acquire(&weft__threads_lock);
    weft__thread_unlist(r);
    r->joined = true;
    if (r->given != NULL) {
        *r->given = (weft_thread){0};
        weft__thread_drop(r);
    }
    store_seq_cst(&r->state, WEFT__THREAD_FAILED);
    store_seq_cst(&r->tid, -1); /* who sleeps on it is to find a change */
    weft__thread_drop(r);
    rawlock_release(&weft__threads_lock);
    weft__wake(&r->state, UINT_MAX, 0);
    weft__wake((const uint32_t *)&r->tid, UINT_MAX, 0);
    weft__wake(&weft__threads_awaited, UINT_MAX, 0);
    return err;
}

static int start(weft_thread *t, weft__thread *r, const weft_thread_options *options)
{
    rawlock_acquire(&weft__threads_lock);
    bool started = t->state == WEFT__HANDLE_STARTED || t->state == WEFT__HANDLE_JOINED;
    if (started) {
        r->joined = true;
        weft__thread_drop(r);
    } else {
        r->refs++;
        r->given = t;
        *t = (weft_thread){.record = r, .state = WEFT__HANDLE_STARTED};
        weft__thread_enlist(r);
    }
    rawlock_release(&weft__threads_lock);
    return started ? -WEFT_ESTARTED : launch(r, options != NULL ? options->stack_size : 0);
}

int weft_thread_start(weft_thread *t, weft_thread_fn *fn, void *arg, const weft_thread_options *options)
{
    if (fn == NULL)
        return -EINVAL;
    weft__thread *r = make(options);
    if (r == NULL)
        return -ENOMEM;
    r->fn = fn;
    r->arg = arg;
    return start(t, r, options);
}

int weft_thread_run(weft_thread *t, int (*run)(weft_thread *t), const weft_thread_options *options)
{
    if (run == NULL)
        return -EINVAL;
    weft__thread *r = make(options);
    if (r == NULL)
        return -ENOMEM;
    r->run = run;
    r->arg = t;
    return start(t, r, options);
}

int weft__thread_spawn(weft__thread **out, weft_thread_fn *fn, void *arg, void (*ended)(void *arg, int result),
                       const weft_thread_options *options)
{
    weft__thread *r = make(options);
    if (r == NULL)
        return -ENOMEM;
    r->fn = fn;
    r->arg = arg;
    r->ended = ended;
    rawlock_acquire(&weft__threads_lock);
    r->refs++;
    weft__thread_enlist(r);
    rawlock_release(&weft__threads_lock);
    *out = r;
    int err = launch(r, options != NULL ? options->stack_size : 0);
    if (err < 0) {
        rawlock_acquire(&weft__threads_lock);
        weft__thread_drop(r);
        rawlock_release(&weft__threads_lock);
    }
    return err;
}

/* ---- ending ---- */

/* The record of a handle, with a reference of the caller's. NULL: it has none, and *seen tells what it has. */
static weft__thread *hold(const weft_thread *t, weft_thread *seen)
{
    rawlock_acquire(&weft__threads_lock);
    *seen = *t;
    if (t->record != NULL)
        t->record->refs++;
    rawlock_release(&weft__threads_lock);
    return seen->record;
}

static void let_go(weft__thread *r)
{
    rawlock_acquire(&weft__threads_lock);
    weft__thread_drop(r);
    rawlock_release(&weft__threads_lock);
}

/* Pre: locked. The thread has ended: the handle answers for itself from now on. */
static void settle(weft_thread *t, weft__thread *r)
{
    *t = (weft_thread){.state = WEFT__HANDLE_JOINED,
                       .result = r->result,
                       .ident = r->ident,
                       .native_id = load_relaxed(&r->tid),
                       .daemon = r->daemon};
    memcpy(t->name, r->name, sizeof t->name);
    r->given = NULL;
    weft__thread_drop(r);
}

/* Who waits for a thread waits for that one. */
static void join_enders(const void *object, const weft__waiter *sleeper, weft__enders *e)
{
    (void)sleeper;
    const weft__thread *r = object;
    weft__waiter *w, *again;
    if (weft__sys_peek(&w, &r->waiter, sizeof w) < 0 || w == NULL)
        return;
    uint32_t id = load_acquire(&w->id); /* type-stable; its, if it still has it afterwards */
    if (weft__sys_peek(&again, &r->waiter, sizeof again) < 0 || again != w)
        return;
    e->known = true;
    weft__enders_add(e, id);
}

static const weft__awaited join_kind = {.what = "end of a thread", .held = "which is", .enders = join_enders};

static int wait_for_end(weft__thread *r, weft_until until, const void *where)
{
    int err = 0;
    while (err == 0 && load_acquire(&r->state) == WEFT__THREAD_LIVES)
        err = weft__park_for(&join_kind, r, where, &r->state, WEFT__THREAD_LIVES, until, 0);
    uint32_t state = load_acquire(&r->state);
    return state == WEFT__THREAD_ENDED ? 0 : state == WEFT__THREAD_FAILED ? -WEFT_ENOTSTARTED : err;
}

int weft_thread_join(weft_thread *t, int *result, weft_until until)
{
    weft_thread seen;
    weft__thread *r = hold(t, &seen);
    if (r == NULL) {
        if (seen.state != WEFT__HANDLE_JOINED)
            return seen.state == WEFT__HANDLE_DETACHED ? -EINVAL : -WEFT_ENOTSTARTED;
        if (result != NULL)
            *result = seen.result;
        return 0;
    }
    int err = r == weft__thread_me ? -EDEADLK : t == &r->own ? -EINVAL : wait_for_end(r, until, WEFT__CALLER());
    rawlock_acquire(&weft__threads_lock);
    bool reap = err == 0 && !r->joined;
    if (reap) {
        r->joined = true;
        r->refs++;
    }
    if (err == 0) {
        if (result != NULL)
            *result = r->result;
        if (t->record == r)
            settle(t, r);
    }
    weft__thread_drop(r);
    rawlock_release(&weft__threads_lock);
    if (reap)
        weft__thread_reap(r);
    return err;
}

int weft_thread_detach(weft_thread *t)
{
    int err = 0;
    rawlock_acquire(&weft__threads_lock);
    weft__thread *r = t->record;
    if (r == NULL) {
        err = t->state == WEFT__HANDLE_JOINED ? 0 : -WEFT_ENOTSTARTED;
    } else if (t == &r->own) {
        err = -EINVAL;
    } else {
        if (!r->joined && load_relaxed(&r->tid) != 0) { /* else it does so itself, first thing */
            r->joined = true;
            pthread_detach(r->native);
        }
        r->given = NULL;
        weft__thread_drop(r);
    }
    if (err == 0)
        *t = (weft_thread){.state = WEFT__HANDLE_DETACHED};
    rawlock_release(&weft__threads_lock);
    return err;
}

void weft__thread_cancel(weft__thread *r)
{
    rawlock_acquire(&weft__threads_lock);
    r->cancel = true;
    if (r->waiter != NULL)
        weft__waiter_cancel(r->waiter);
    rawlock_release(&weft__threads_lock);
}

int weft_thread_cancel(weft_thread *t)
{
    weft_thread seen;
    weft__thread *r = hold(t, &seen);
    if (r == NULL)
        return seen.state == WEFT__HANDLE_JOINED ? 0 : -WEFT_ENOTSTARTED;
    weft__thread_cancel(r);
    let_go(r);
    return 0;
}

/* ---- questions ---- */

int weft_thread_alive(const weft_thread *t)
{
    rawlock_acquire(&weft__threads_lock);
    const weft__thread *r = t->record;
    int alive = r != NULL && load_relaxed(&r->state) == WEFT__THREAD_LIVES;
    rawlock_release(&weft__threads_lock);
    return alive;
}

uint64_t weft_thread_ident(const weft_thread *t)
{
    rawlock_acquire(&weft__threads_lock);
    uint64_t ident = t->record != NULL ? t->record->ident : t->ident;
    rawlock_release(&weft__threads_lock);
    return ident;
}

int weft_thread_native_id(const weft_thread *t)
{
    weft_thread seen;
    weft__thread *r = hold(t, &seen);
    if (r == NULL)
        return seen.native_id;
    int32_t tid;
    while ((tid = load_acquire(&r->tid)) == 0)
        weft__park((const uint32_t *)&r->tid, 0, WEFT_FOREVER, WEFT__UNCANCELLABLE, "start of a thread");
    let_go(r);
    return tid > 0 ? tid : 0;
}

const char *weft_thread_name(const weft_thread *t, char *buf, size_t size)
{
    weft_thread seen;
    if (size == 0)
        return buf;
    weft__thread *r = hold(t, &seen);
    if (r == NULL) {
        weft__thread_copy_name(buf, size, seen.name);
        return buf;
    }
    weft__thread_read_name(r, buf, size);
    let_go(r);
    return buf;
}

int weft_thread_set_name(weft_thread *t, const char *name)
{
    int err = 0;
    rawlock_acquire(&weft__threads_lock);
    weft__thread *r = t->record;
    if (r != NULL) {
        weft__thread_copy_name(r->name, sizeof r->name, name);
        if (r->waiter != NULL)
            weft__waiter_set_name(r->waiter, r->name);
        int32_t tid = load_relaxed(&r->tid);
        if (load_relaxed(&r->state) == WEFT__THREAD_LIVES && tid != 0 && tid != getpid()) /* main's is the program's */
            weft__sys_thread_set_name(r->native, r->name);
    } else if (t->state == WEFT__HANDLE_JOINED) {
        weft__thread_copy_name(t->name, sizeof t->name, name);
    } else {
        err = -WEFT_ENOTSTARTED;
    }
    rawlock_release(&weft__threads_lock);
    return err;
}

int weft_thread_daemon(const weft_thread *t)
{
    rawlock_acquire(&weft__threads_lock);
    int daemon = t->record != NULL ? t->record->daemon : t->daemon;
    rawlock_release(&weft__threads_lock);
    return daemon;
}

/* ---- errors nobody asked for ---- */

void weft_thread_on_error(weft_thread_error_fn *fn, void *arg)
{
    rawlock_acquire(&weft__threads_lock);
    error_fn = fn;
    error_arg = arg;
    rawlock_release(&weft__threads_lock);
}

void weft__thread_tell_error(const weft__thread *r)
{
    char name[WEFT__THREAD_NAME];
    weft__thread_read_name(r, name, sizeof name);
    rawlock_acquire(&weft__threads_lock);
    weft_thread_error_fn *fn = error_fn;
    void *arg = error_arg;
    weft_thread_info info = {
        .ident = r->ident, .native_id = load_relaxed(&r->tid), .name = name, .daemon = r->daemon, .handle = r->given};
    bool detached = r->given == NULL && r->ended == NULL;
    rawlock_release(&weft__threads_lock);
    if (fn != NULL)
        fn(&info, r->result, arg);
    else if (detached && r->result != -ECANCELED)
        weft__warn("thread \"%s\" (%llu) has ended with error %d: %s", name, (unsigned long long)info.ident, -r->result,
                   weft_strerror(r->result));
}
