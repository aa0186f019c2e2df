/* thread.h - a thread's record, and the list of all threads, from inside.
 *
 * A record is what a thread itself writes: the handle in the caller's memory only points to it, because it may lie on
 * the stack of a main that has returned while the thread goes on. Records come from a list of spare ones and go back
 * there when the last reference is dropped; their memory is never returned, so a late wake finds a word.
 *
 * T1  refs: 1 for the thread until its end, 1 for its handle until that is joined or detached, 1 for each call that
 *     waits on it; 1 for ever for what was the main thread of a process.
 * T2  listed  <=>  the thread lives and is not a helper of weft's own. Listed oldest first.
 * T3  `joined` is set by the one that gives the pthread back, by joining or detaching it, or leaves it for later with a
 *     reference: once.
 * T4  weft__threads_awaited = threads on the list that are not daemons and were started here.
 * All fields but the atomic ones are read and written under the lock, or by the thread alone before it is listed. The
 * lock is a leaf, held across fork. */
#ifndef WEFT_THREAD_THREAD_H
#define WEFT_THREAD_THREAD_H

#include <weft/thread.h>

#include "base/list.h"
#include "park/rawlock.h"
#include "park/waiter.h"

#include <pthread.h>

enum {
    WEFT__THREAD_LIVES = 1,
    WEFT__THREAD_ENDED,
    WEFT__THREAD_FAILED /* it could not be started after all */
};

/* weft_thread.state */
enum {
    WEFT__HANDLE_NEW = 0,
    WEFT__HANDLE_STARTED,
    WEFT__HANDLE_JOINED,
    WEFT__HANDLE_DETACHED
};

typedef struct weft__thread {
    weft__list all;     /* every record there is */
    weft__list link;    /* the living, those left to be reaped, or the spare ones */
    weft_thread own;    /* a handle of weft's making */
    weft_thread *given; /* the starter's handle; NULL when there is none (any more) */
    weft_thread_fn *fn;
    int (*run)(weft_thread *t); /* object style: instead of fn(arg) */
    void *arg;
    void (*ended)(void *arg, int result); /* called at the end, by the thread, while it is still listed; or NULL */
    weft__waiter *waiter;                 /* NULL until it runs as a waiter, and after its end */
    pthread_t native;                     /* valid once tid is set */
    uint64_t ident;
    uint32_t state; /* atomic; a word to sleep on: WEFT__THREAD_LIVES ... */
    int32_t tid;    /* atomic; a word to sleep on: 0 until it runs; -1: it never will */
    int32_t result;
    uint32_t refs;
    bool listed, awaited, daemon, joined;
    bool ours;                    /* started here */
    bool cancel;                  /* was asked to stop before it had a waiter */
    char name[WEFT__THREAD_NAME]; /* empty: what the kernel calls it */
} weft__thread;

extern weft__rawlock weft__threads_lock;
extern uint32_t weft__threads_awaited;          /* atomic; a word to sleep on */
extern WEFT__TLS weft__thread *weft__thread_me; /* NULL until the thread is known */

/* The record of the calling thread. Panics when there is no memory for one. */
weft__thread *weft__thread_current(void);

/* A new record that holds one reference. NULL: no memory. */
weft__thread *weft__thread_record(void);

/* On the list and off it. Pre: the lock is held. */
void weft__thread_enlist(weft__thread *r); /* gives it its ident, too */
void weft__thread_unlist(weft__thread *r);

/* One reference less. Pre: the lock is held. */
void weft__thread_drop(weft__thread *r);

/* Copy a name, cut to fit where a character ends. */
void weft__thread_copy_name(char *to, size_t size, const char *from);

/* The thread's name as others see it; size at least 1. Reads /proc for those that have none of ours. */
void weft__thread_read_name(const weft__thread *r, char *buf, size_t size);

/* Start fn(arg) with nobody to join it. When it ends, after its local values are gone, and also when it leaves by
 * pthread_exit, ended(arg, result) is called in it; it may still wait. Its record goes to *r before it runs, with a
 * reference of the caller's. 0, or as
 * weft_thread_start, and then there is no record. */
int weft__thread_spawn(weft__thread **r, weft_thread_fn *fn, void *arg, void (*ended)(void *arg, int result),
                       const weft_thread_options *options);

/* As weft_thread_cancel. Pre: a reference of the caller's. */
void weft__thread_cancel(weft__thread *r);

/* Wait for the threads that the end of the process waits for. By who ends it, once. */
void weft__threads_wait(void);

/* Give back the pthread of a thread that has ended and was joined, at once or, if it is still on its last instructions,
 * later; then drop the reference. Never waits. Pre: the caller has set `joined`. */
void weft__thread_reap(weft__thread *r);

/* Try it with the oldest that was left for later, or wait for it when there are many and the caller is a thread; or
 * wait for all of them. False: there were none. */
bool weft__thread_reap_left(bool all);

/* Have the end of the process wait for threads. At least once a process. */
void weft__thread_watch_exit(void);

/* Tell whoever wants to know that the calling thread ends with an error. */
void weft__thread_tell_error(const weft__thread *r);

#endif
