/* weft/thread.h - threads with the manners of Python's: a name, a result for whoever joins, daemons, a list of all.
 *
 *     static int greet(void *arg) { printf("hello, %s\n", (char *)arg); return 0; }
 *     ...
 *     weft_thread t = WEFT_THREAD_INIT;
 *     int err = weft_thread_start(&t, greet, "world", NULL), result;
 *     if (err == 0)
 *         err = weft_thread_join(&t, &result, WEFT_FOREVER);
 *
 * Object style: embed a weft_thread in your struct and start it with weft_thread_run; `run` gets the weft_thread and
 * finds your struct around it (WEFT_CONTAINER).
 *
 * Process end. When main returns or exit is called, the process first waits for all threads of weft that are not
 * daemons (but the one that called exit). Daemons run on meanwhile and then end with the process, wherever they are.
 * Functions that the program gave to atexit after its first thread was started run before that wait. _exit, abort and
 * signals wait for nobody.
 *
 * No call ends a thread from outside, and there will be none: it may hold locks, own memory and be half-way through a
 * change, and nobody could put that right. Ask it (weft_thread_cancel): its next wait returns -ECANCELED, and it leaves
 * by its own way out. A process can be killed, because the kernel takes all it had.
 *
 * Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal handlers.
 * Every thread of the process may use all of weft; those that weft did not start are listed too, from their first
 * need of a waiter on. */
#ifndef WEFT_THREAD_H
#define WEFT_THREAD_H

#include <weft/base.h>
#include <weft/group.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a thread runs. Its result goes to the joiners: 0 or a positive value of your own, a negative errno value for
 * failure. */
typedef int weft_thread_fn(void *arg);

typedef struct weft_thread_options {
    const char *name;  /* copied, first 31 bytes; NULL = "Thread-N" */
    size_t stack_size; /* bytes, rounded up to pages; 0 = the system's default */
    int daemon;        /* 1: the end of the process does not wait for it */
} weft_thread_options;

/* A thread's handle, in the caller's memory, which must stay until the thread has been joined or detached, or the
 * process ends. The thread itself never touches it. All zero is a thread that has not been started. */
typedef struct weft_thread {
    struct weft__thread *record; /* while it is neither joined nor detached */
    uint32_t state;
    int32_t result; /* this and what follows: once it has been joined */
    uint64_t ident;
    int32_t native_id;
    int32_t daemon;
    char name[32];
} weft_thread;

#define WEFT_THREAD_INIT                                                                                               \
    {                                                                                                                  \
        NULL, 0, 0, 0, 0, 0, ""                                                                                        \
    }

/* The struct of `type` whose member `member` is at `ptr`. */
#define WEFT_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Start fn(arg) as a new thread. `options` may be NULL. Returns 0, -WEFT_ESTARTED when *t was started before, -EINVAL,
 * -EAGAIN or -ENOMEM when the system has no thread to give; then *t is as before and may be tried again. Allocates the
 * thread's record and stack. */
WEFT_API int weft_thread_start(weft_thread *t, weft_thread_fn *fn, void *arg, const weft_thread_options *options);

/* The same in object style: the new thread runs run(t). */
WEFT_API int weft_thread_run(weft_thread *t, int (*run)(weft_thread *t), const weft_thread_options *options);

/* Wait until the thread has ended and store its result in *result (may be NULL). Any number of callers, any number of
 * times: once it has ended, each gets the result at once. Its local values and its thread-specific data are gone by
 * then. A thread that left by pthread_exit has the result -ECANCELED, and in a child of fork so have all threads of the
 * parent. Returns 0, -ETIMEDOUT or -ECANCELED (the *caller* was cancelled), -WEFT_ENOTSTARTED, -EDEADLK when a thread
 * joins itself, -EINVAL when it was detached or is not one of weft's. An end that comes together with the deadline
 * wins. */
WEFT_API int weft_thread_join(weft_thread *t, int *result, weft_until until);

/* Give up the handle: the thread goes on, its result is dropped, *t may be reused at once, for another start too. Not
 * while others join it. Returns 0, -WEFT_ENOTSTARTED, or -EINVAL for a thread that is not one of weft's. */
WEFT_API int weft_thread_detach(weft_thread *t);

/* 1 from before start returns until the thread has ended, else 0. */
WEFT_API int weft_thread_alive(const weft_thread *t);

/* Ask the thread to stop, as weft_co_cancel does with a coroutine. Asking twice is asking once. Returns 0, or
 * -WEFT_ENOTSTARTED. */
WEFT_API int weft_thread_cancel(weft_thread *t);

/* The number weft knows the thread by: unique among living threads, the same inside and outside; 0 before start. */
WEFT_API uint64_t weft_thread_ident(const weft_thread *t);

/* The kernel's number of the thread (gettid), 0 before start. Right after start it waits for the thread's first
 * instructions. */
WEFT_API int weft_thread_native_id(const weft_thread *t);

/* Its name, copied to buf of `size` bytes and cut to fit, always terminated. Returns buf. */
WEFT_API const char *weft_thread_name(const weft_thread *t, char *buf, size_t size);
WEFT_API int weft_thread_set_name(weft_thread *t, const char *name); /* 0, or -WEFT_ENOTSTARTED */
WEFT_API int weft_thread_daemon(const weft_thread *t);               /* 1 or 0 */

/* ---- groups ---- */

/* As weft_group_go, with a thread: start fn(arg) as a member of the group, which is waited for and cancelled with it;
 * nobody joins it. One that leaves by pthread_exit counts as failed, with -ECANCELED. `options` may be NULL. Returns 0,
 * -ECANCELED when the group is stopping, or as weft_thread_start. */
WEFT_API int weft_group_thread(weft_group *g, weft_thread_fn *fn, void *arg, const weft_thread_options *options);

/* ---- the calling thread ---- */

/* A handle of the calling thread, valid as long as the thread runs. In object style it is the one that was started, as
 * long as that is not detached. Otherwise it is one that weft made, because the starter's may be on a stack that has
 * gone: it can be asked for its name and idents, renamed and cancelled, but not joined or detached. Threads are
 * compared by their idents. A coroutine gets its scheduler thread's. In a child of fork the thread that forked is the
 * main thread. */
WEFT_API weft_thread *weft_thread_self(void);

/* The handle of the main thread, "MainThread". */
WEFT_API weft_thread *weft_thread_main(void);

/* ---- all threads ---- */

/* What weft_threads_each tells; the texts are valid during the call only. */
typedef struct weft_thread_info {
    uint64_t ident;
    int native_id;
    const char *name;
    int daemon;
    int main;
    weft_thread *handle; /* the starter's; NULL for those without: detached threads, those that weft did not start, and
                            all of them once the process has begun to end */
} weft_thread_info;

/* Call fn for every thread that lives at the moment of the call, oldest first: the main thread, those started here, and
 * others that have used weft. weft's own helpers (schedulers, timers) are left out. A native_id is 0 while the thread
 * has not run yet. fn may call anything; by then a thread may have ended, and whether its handle is still there is a
 * matter between fn and who owns it. Returns how many, or -ENOMEM. Allocates the list, until it returns. */
WEFT_API int weft_threads_each(void (*fn)(const weft_thread_info *info, void *arg), void *arg);

/* How many living threads weft_threads_each would tell of. Allocates nothing. */
WEFT_API int weft_threads_count(void);

/* ---- errors nobody asked for ---- */

/* See weft_thread_on_error. */
typedef void weft_thread_error_fn(const weft_thread_info *info, int error, void *arg);

/* From now on call fn(info, error, arg) in every thread of weft that ends with a negative result, at its end, before
 * joiners wake. NULL: the default, which writes one line to stderr for threads that were detached and is silent for
 * those that can be joined or are in a group, because the joiner gets the error, and for -ECANCELED, which is how one
 * ends that was asked to. */
WEFT_API void weft_thread_on_error(weft_thread_error_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
