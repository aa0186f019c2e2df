/* registry.c - the list of all threads: who is on it from when to when, the calling thread's own record, the end of the
 * process, fork. See thread.h for the invariants.
 *
 * A thread that weft started is listed from its start on; others, and main, from their first waiter on (park tells us),
 * main at the latest when the library is loaded. At its end a thread calls thread_ends from park's destructor of
 * thread-specific data, which also sees those that leave by pthread_exit.
 *
 * End of the process: a function given to atexit at the first start waits until weft__threads_awaited is 0 (1 when a
 * thread that counts in it called exit) and gives back the pthreads that nobody has joined, for the sanitizers' sake.
 *
 * Fork: in the child the caller is the main thread and alone on the list; the records of the others are marked as
 * ended, so their joins return. Pinned by tests/thread/registry_test.c and tests/thread/exit_test.c. */
#include "thread/thread.h"

#include "base/panic.h"
#include "co/sched.h"
#include "park/await.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAIN_NAME "MainThread"

enum {
    LEFT_MAX = 2 /* threads on their last instructions before a start waits for one: else they could pile up */
};

WEFT__FORK_PAGE weft__rawlock weft__threads_lock;
WEFT__FORK_PAGE uint32_t weft__threads_awaited;
WEFT__TLS weft__thread *weft__thread_me;

static WEFT__FORK_PAGE weft__thread first_main = {.own = {.record = &first_main, .state = WEFT__HANDLE_STARTED},
                                                  .name = MAIN_NAME};
static WEFT__FORK_PAGE weft__thread *main_record = &first_main;
static WEFT__FORK_PAGE weft__list records = {&records, &records}; /* all there are, by `all` */
static WEFT__FORK_PAGE weft__list listed = {&listed, &listed};
static weft__list spare = {&spare, &spare};
static WEFT__FORK_PAGE weft__list left = {&left, &left}; /* to be reaped; each with a reference */
static WEFT__FORK_PAGE uint32_t left_count;              /* atomic */
static WEFT__FORK_PAGE unsigned listed_count;
static WEFT__FORK_PAGE uint64_t last_ident;
static WEFT__FORK_PAGE bool exiting;
static WEFT__FORK_PAGE uint32_t exit_watched; /* atomic */

/* ---- names ---- */

void weft__thread_copy_name(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size);
    if (n == size)
        n--;
    while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80) /* in the middle of a character */
        n--;
    memcpy(to, from, n);
    to[n] = 0;
}

void weft__thread_read_name(const weft__thread *r, char *buf, size_t size)
{
    rawlock_acquire(&weft__threads_lock);
    weft__thread_copy_name(buf, size, r->name);
    int32_t tid = load_relaxed(&r->tid);
    bool unnamed = r->name[0] == 0;
    rawlock_release(&weft__threads_lock);
    if (unnamed)
        weft__sys_thread_name(tid, buf, size);
}

/* ---- records ---- */

weft__thread *weft__thread_record(void)
{
    rawlock_acquire(&weft__threads_lock);
    weft__list *link = list_pop_front(&spare);
    weft__thread *r;
    if (link != NULL) {
        r = container_of(link, weft__thread, link);
    } else {
        rawlock_release(&weft__threads_lock);
        r = weft__malloc(sizeof *r);
        if (r == NULL)
            return NULL;
        rawlock_acquire(&weft__threads_lock);
        list_push_back(&records, &r->all);
    }
    /* Under the lock: a fork, or the end of the process, walks over the records. */
    *r = (weft__thread){
        .all = r->all, .own = {.record = r, .state = WEFT__HANDLE_STARTED}, .state = WEFT__THREAD_LIVES, .refs = 1};
    list_init(&r->link);
    rawlock_release(&weft__threads_lock);
    return r;
}

void weft__thread_drop(weft__thread *r)
{
    if (--r->refs == 0)
        list_push_front(&spare, &r->link);
}

WEFT__FORK_TEXT void weft__thread_enlist(weft__thread *r)
{
    r->ident = ++last_ident;
    r->listed = true;
    r->awaited = r->ours && !r->daemon;
    if (r->awaited)
        add_seq_cst(&weft__threads_awaited, 1);
    list_push_back(&listed, &r->link);
    listed_count++;
}

void weft__thread_unlist(weft__thread *r)
{
    if (!r->listed)
        return;
    list_remove(&r->link);
    listed_count--;
    r->listed = false;
    if (r->awaited)
        sub_seq_cst(&weft__threads_awaited, 1);
    r->awaited = false;
}

/* ---- a thread learns who it is ---- */

WEFT__FORK_TEXT static void set_self(weft__thread *r)
{
    weft__thread_me = r;
    r->native = pthread_self();
    store_relaxed(&r->tid, weft__sys_tid());
}

/* A record for a thread that weft did not start. NULL: no memory. */
static weft__thread *adopt(bool visible)
{
    bool is_main = weft__sys_tid() == getpid();
    weft__thread *r = is_main ? main_record : weft__thread_record();
    if (r == NULL)
        return NULL;
    rawlock_acquire(&weft__threads_lock);
    set_self(r);
    if (is_main && load_relaxed(&r->state) == WEFT__THREAD_ENDED) {
        r->refs++; /* main used pthread_exit and goes on in a destructor */
        store_relaxed(&r->state, WEFT__THREAD_LIVES);
    }
    if (visible && !r->listed)
        weft__thread_enlist(r);
    else if (r->ident == 0)
        r->ident = ++last_ident;
    rawlock_release(&weft__threads_lock);
    return r;
}

weft__thread *weft__thread_current(void)
{
    if (weft__thread_me == NULL)
        weft__self();
    if (weft__thread_me == NULL && adopt(false) == NULL) /* a helper of ours that runs the program's code */
        weft__panic("no memory for the record of thread %d", (int)weft__sys_tid());
    return weft__thread_me;
}

static void thread_begins(weft__waiter *w)
{
    if (weft__thread_me == NULL && (weft__sys_helper || adopt(true) == NULL))
        return;
    weft__thread *r = weft__thread_me;
    char name[WEFT__THREAD_NAME];
    rawlock_acquire(&weft__threads_lock);
    bool first = load_relaxed(&r->tid) == 0;
    if (first) {
        r->native = pthread_self();
        store_seq_cst(&r->tid, w->tid);
        if (r->given == NULL && !r->joined) { /* nobody will join it */
            r->joined = true;
            pthread_detach(r->native);
        }
    }
    r->waiter = w;
    weft__waiter_set_name(w, r->name);
    if (r->cancel)
        weft__waiter_cancel(w);
    memcpy(name, r->name, sizeof name);
    rawlock_release(&weft__threads_lock);
    if (first) {
        weft__wake((const uint32_t *)&r->tid, UINT_MAX, 0);
        weft__sys_thread_set_name(pthread_self(), name);
    }
}

static void thread_ends(weft__waiter *w)
{
    (void)w;
    weft__thread *r = weft__thread_me;
    if (r == NULL)
        return;
    if (r->ours && r->result < 0)
        weft__thread_tell_error(r);
    if (r->ended != NULL)
        r->ended(r->arg, r->result);

    rawlock_acquire(&weft__threads_lock);
    bool awaited = r->awaited;
    weft__thread_unlist(r);
    r->waiter = NULL;
    weft__thread_me = NULL;
    if (r->ours && !r->joined && exiting) {
        r->joined = true;
        pthread_detach(pthread_self());
    }
    store_seq_cst(&r->state, WEFT__THREAD_ENDED);
    weft__thread_drop(r);
    rawlock_release(&weft__threads_lock);
    weft__wake(&r->state, UINT_MAX, 0); /* only the address: the record may be another's */
    if (awaited)
        weft__wake(&weft__threads_awaited, UINT_MAX, 0);
}

/* ---- who is there ---- */

static weft_thread *handle_of(weft__thread *r)
{
    if (r->run == NULL)
        return &r->own;
    rawlock_acquire(&weft__threads_lock);
    weft_thread *t = r->given != NULL ? r->given : &r->own;
    rawlock_release(&weft__threads_lock);
    return t;
}

weft_thread *weft_thread_self(void)
{
    return handle_of(weft__thread_current());
}

weft_thread *weft_thread_main(void)
{
    return handle_of(main_record);
}

int weft_threads_count(void)
{
    rawlock_acquire(&weft__threads_lock);
    unsigned n = listed_count;
    rawlock_release(&weft__threads_lock);
    return (int)n;
}

typedef struct entry {
    weft_thread_info info;
    char name[WEFT__THREAD_NAME];
} entry;

/* Pre: locked, and there is room for all. */
static void fill(entry *e)
{
    list_each (link, &listed) {
        const weft__thread *r = container_of(link, weft__thread, link);
        e->info = (weft_thread_info){.ident = r->ident,
                                     .native_id = load_relaxed(&r->tid),
                                     .daemon = r->daemon,
                                     .main = r == main_record,
                                     .handle = exiting ? NULL : r->given};
        memcpy(e->name, r->name, sizeof e->name);
        e++;
    }
}

int weft_threads_each(void (*fn)(const weft_thread_info *info, void *arg), void *arg)
{
    entry *list = NULL;
    unsigned n, room = 0;
    rawlock_acquire(&weft__threads_lock);
    while ((n = listed_count) > room || list == NULL) {
        rawlock_release(&weft__threads_lock);
        weft__free(list);
        room = n + 8;
        list = weft__malloc(room * sizeof *list);
        if (list == NULL)
            return -ENOMEM;
        rawlock_acquire(&weft__threads_lock);
    }
    fill(list);
    rawlock_release(&weft__threads_lock);

    for (unsigned i = 0; i < n; i++) {
        entry *e = &list[i];
        if (e->name[0] == 0)
            weft__sys_thread_name(e->info.native_id, e->name, sizeof e->name);
        e->info.name = e->name;
        fn(&e->info, arg);
    }
    weft__free(list);
    return (int)n;
}

/* ---- pthreads ---- */

void weft__thread_reap(weft__thread *r)
{
    bool gone = pthread_tryjoin_np(r->native, NULL) == 0;
    rawlock_acquire(&weft__threads_lock);
    if (gone) {
        weft__thread_drop(r);
    } else {
        list_push_back(&left, &r->link);
        add_relaxed(&left_count, 1);
    }
    rawlock_release(&weft__threads_lock);
}

WEFT__FORK_TEXT bool weft__thread_reap_left(bool all)
{
    unsigned n = 0;
    /* Many that have not got a processor for their last instructions: they go before there are more. */
    bool wait = all || (load_relaxed(&left_count) > LEFT_MAX && weft_co_self() == NULL);
    while (load_relaxed(&left_count) != 0 && (n == 0 || all)) {
        rawlock_acquire(&weft__threads_lock);
        weft__list *link = list_pop_front(&left);
        if (link != NULL)
            sub_relaxed(&left_count, 1);
        rawlock_release(&weft__threads_lock);
        if (link == NULL)
            break;
        n++;
        weft__thread *r = container_of(link, weft__thread, link);
        if (!wait) {
            weft__thread_reap(r);
            continue;
        }
        pthread_join(r->native, NULL);
        rawlock_acquire(&weft__threads_lock);
        weft__thread_drop(r);
        rawlock_release(&weft__threads_lock);
    }
    return n != 0;
}

/* ---- the end of the process ---- */

/* Give back the pthreads of threads that have ended and were never joined. */
WEFT__FORK_TEXT static void reap_unjoined(void)
{
    rawlock_acquire(&weft__threads_lock);
    list_each (it, &records) { /* records are only ever added, at the end */
        weft__thread *r = container_of(it, weft__thread, all);
        if (load_relaxed(&r->state) != WEFT__THREAD_ENDED || !r->ours || r->joined)
            continue;
        r->joined = true;
        pthread_t native = r->native;
        rawlock_release(&weft__threads_lock);
        pthread_join(native, NULL);
        rawlock_acquire(&weft__threads_lock);
    }
    rawlock_release(&weft__threads_lock);
}

static const weft__awaited exit_kind = {.what = "end of threads that are no daemons"};

WEFT__FORK_TEXT void weft__threads_wait(void)
{
    rawlock_acquire(&weft__threads_lock);
    exiting = true;
    uint32_t mine = weft__thread_me != NULL && weft__thread_me->awaited ? 1 : 0, n;
    rawlock_release(&weft__threads_lock);
    while ((n = load_seq_cst(&weft__threads_awaited)) > mine)
        weft__park_for(&exit_kind, NULL, NULL, &weft__threads_awaited, n, WEFT_FOREVER, WEFT__UNCANCELLABLE);
    weft__thread_reap_left(true);
    reap_unjoined();
}

void weft__thread_watch_exit(void)
{
    if (swap_acq_rel(&exit_watched, 1) == 0)
        atexit(weft__threads_wait); /* cannot fail: glibc has no limit but memory */
}

/* ---- fork ---- */

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&weft__threads_lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    rawlock_release(&weft__threads_lock);
}

/* A thread that exists in the parent only. */
static void forget(weft__thread *r)
{
    r->joined = true;
    if (r->refs == 0 || load_relaxed(&r->state) != WEFT__THREAD_LIVES)
        return;
    r->waiter = NULL;
    r->listed = r->awaited = false;
    r->result = -ECANCELED;
    store_relaxed(&r->state, WEFT__THREAD_ENDED);
    list_init(&r->link);
    weft__thread_drop(r);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    weft__threads_lock.word = 0;
    weft__thread *me = weft__thread_me != NULL ? weft__thread_me : &first_main;
    list_init(&listed);
    list_init(&left);
    listed_count = left_count = 0;
    weft__threads_awaited = 0;
    list_each (it, &records)
        if (it != &me->all)
            forget(container_of(it, weft__thread, all));
    exiting = false;
    exit_watched = 0; /* exit may have been at work and have taken our function off its list; twice does no harm */
    if (me != main_record)
        me->refs++; /* what weft_thread_main has told of stays one */
    main_record = me;
    me->ours = me->daemon = false;    /* as a main thread is */
    store_relaxed(&me->joined, true); /* by itself: two at once would be a constant, on a page that is not here yet */
    me->ended = NULL;
    store_relaxed(&me->state, WEFT__THREAD_LIVES);
    if (weft__thread_me == me)
        store_relaxed(&me->tid, weft__sys_tid());
    else
        set_self(me);
    strcpy(me->name, MAIN_NAME);
    uint64_t ident = me->ident;
    weft__thread_enlist(me);
    if (ident != 0)
        me->ident = ident;
    if (me->waiter != NULL)
        weft__waiter_set_name(me->waiter, me->name);
}

static const weft__thread_watch watch = {thread_begins, thread_ends};

/* After park's own handlers, before anybody can have started a thread. */
__attribute__((constructor(102))) static void begin(void)
{
    first_main.refs = 2;
    first_main.state = WEFT__THREAD_LIVES;
    first_main.joined = true;
    first_main.tid = getpid();
    list_push_back(&records, &first_main.all);
    if (weft__sys_tid() == getpid())
        set_self(&first_main);
    weft__thread_enlist(&first_main);
    weft__thread_watcher = &watch;
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
