/* process.c - weft_process: a function in a child, held by a pidfd.
 *
 * R1  a record is on `children` from the fork until its end was seen; the child is reaped once, under the record's
 * lock.
 * R2  a child starts with an empty list: what its parent started is not its own. Records it inherited know their parent
 *     and refuse to be joined.
 * R3  the parent has the pidfd before the child can end unseen: the child is reaped by nobody else, except where
 *     SIGCHLD is ignored and the kernel does it; there the child waits for a byte until the parent has it.
 * R4  a daemon dies with its parent: by the parent's exit function, and, when that is killed, by the kernel's parent
 *     death signal if the main thread forked, else by a thread in the child that waits on the parent's pidfd (the
 *     signal is sent when the forking *thread* ends).
 * R5  a child of the fork server's (forkserver.c) is no child of this process: its code is in held.seat.
 * Lock order: a record's lock, then children_lock (a leaf, held across fork; under it a record's lock is only tried).
 * Pinned by tests/process/process_test.c. */
#include "process/forkserver.h"

#include "base/list.h"
#include "park/rawlock.h"
#include "process/end.h"
#include "sys/helper.h"
#include "sys/multiplex.h"
#include "sys/net.h"
#include "sys/spawn.h"
#include "sys/sys.h"
#include "thread/thread.h"

#include <weft/co.h>
#include <weft/lock.h>
#include <weft/poller.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NAME_SIZE = WEFT__PROCESS_NAME,
    WATCH_STACK = 64 << 10
};

typedef struct weft__process {
    weft__list link; /* children */
    weft_process *handle;
    weft_lock lock;
    weft__held held;
    pid_t parent;
    bool listed;  /* children_lock */
    bool awaited; /* children_lock: by the end of this process */
    bool reaped;  /* lock */
    bool lost;    /* lock: reaped by the kernel, nobody knows its code */
    bool daemon;
    int code; /* lock */
    char name[NAME_SIZE];
} weft__process;

/* The first record to be had lies where a fork writes anyway: one on the heap has a page copied for each child, and so
 * have the heap's own books when it goes back there. */
static WEFT__FORK_PAGE weft__process near_record;
static WEFT__FORK_PAGE uint32_t near_taken; /* atomic */

static WEFT__FORK_PAGE weft__rawlock children_lock;
static WEFT__FORK_PAGE weft__list children = {&children, &children};
static WEFT__FORK_PAGE uint32_t started;  /* atomic: for default names */
static WEFT__FORK_PAGE bool watches_exit; /* children_lock */
static WEFT__FORK_PAGE pid_t parent;      /* of this process, if weft started it */
static WEFT__FORK_PAGE char self_name[NAME_SIZE] = "MainProcess";
static WEFT__FORK_PAGE weft__seat *seat; /* of this process, if it was a spare of the fork server's */
static WEFT__FORK_PAGE pid_t seat_of;
static int handed[WEFT_PROCESS_FDS_MAX]; /* over to this process, by the one that started it */
static WEFT__FORK_PAGE unsigned handed_count;

/* ---- records ---- */

static weft__process *new_record(void)
{
    if (weft__sys_fault(WEFT__SYS_MALLOC) < 0)
        return NULL;
    return swap_acq_rel(&near_taken, 1) == 0 ? &near_record : malloc(sizeof(weft__process));
}

static void free_record(weft__process *r)
{
    if (r == &near_record)
        store_release(&near_taken, 0);
    else
        weft__free(r);
}

/* ---- the list ---- */

static void unlist(weft__process *r)
{
    rawlock_acquire(&children_lock);
    if (r->listed)
        list_remove(&r->link);
    r->listed = false;
    rawlock_release(&children_lock);
}

/* ---- its end ---- */

static bool by_server(const weft__process *r)
{
    return r->held.seat != NULL;
}

/* Take its end, if it has come: not reaped before; its lock is held. 0, -EAGAIN while it runs, -ECHILD. */
static int reap(weft__process *r)
{
    int err = by_server(r) ? weft__server_code(&r->held, &r->code) : weft__sys_pidfd_reap(r->held.pidfd, &r->code);
    r->reaped = err != -EAGAIN;
    r->lost = err == -ECHILD;
    return err;
}

/* Look whether it has ended. 0 and *code, -EAGAIN while it runs, -ECHILD. */
static int look(weft__process *r, int *code)
{
    int err = 0;
    weft_lock_acquire(&r->lock);
    if (!r->reaped) {
        err = reap(r);
        if (r->reaped)
            unlist(r);
    }
    if (err == 0)
        err = r->lost ? -ECHILD : 0;
    if (err == 0 && code != NULL)
        *code = r->code;
    weft_lock_release(&r->lock);
    return err;
}

/* 0, or why nothing can be asked of it. */
static int check(const weft_process *p)
{
    return p->record == NULL ? -WEFT_ENOTSTARTED : p->record->parent != getpid() ? -ECHILD : 0;
}

int weft_process_exit_code(weft_process *p, int *code)
{
    int err = check(p);
    return err < 0 ? err : look(p->record, code);
}

static bool is_reaped(weft__process *r)
{
    weft_lock_acquire(&r->lock);
    bool reaped = r->reaped;
    weft_lock_release(&r->lock);
    return reaped;
}

/* Its end is looked for when the wait for it is over, however that came out: an end beats a deadline. */
int weft_process_join(weft_process *p, int *code, weft_until until)
{
    weft__process *r = p->record;
    int err = check(p);
    if (err < 0)
        return err;
    if (!is_reaped(r))
        err = by_server(r) ? weft__server_await(&r->held, until) : weft__await_end(r->held.pidfd, until);
    int ended = look(r, code);
    return ended == -EAGAIN && err < 0 ? err : ended;
}

int weft_process_alive(const weft_process *p)
{
    return check(p) == 0 && look(p->record, NULL) == -EAGAIN;
}

int weft_process_signal(weft_process *p, int signal)
{
    int err = check(p);
    if (err < 0)
        return err;
    err = look(p->record, NULL); /* one that has ended takes signals until it is reaped */
    return err == -EAGAIN ? weft__sys_pidfd_signal(p->record->held.pidfd, signal) : -ESRCH;
}

int weft_process_terminate(weft_process *p)
{
    return weft_process_signal(p, SIGTERM);
}

int weft_process_kill(weft_process *p)
{
    return weft_process_signal(p, SIGKILL);
}

int weft_process_close(weft_process *p)
{
    weft__process *r = p->record;
    if (r == NULL)
        return 0;
    if (r->parent == getpid() && look(r, NULL) == -EAGAIN)
        return -EBUSY;
    weft__sys_close(r->held.pidfd);
    if (by_server(r) && r->parent == getpid())
        weft__server_release(&r->held);
    free_record(r);
    p->record = NULL;
    return 0;
}

/* ---- what is known of it ---- */

pid_t weft_process_pid(const weft_process *p)
{
    return p->record != NULL ? p->record->held.pid : 0;
}

const char *weft_process_name(const weft_process *p)
{
    return p->record != NULL ? p->record->name : "";
}

int weft_process_daemon(const weft_process *p)
{
    return p->record != NULL && p->record->daemon;
}

int weft_process_sentinel(const weft_process *p)
{
    return p->record != NULL ? p->record->held.pidfd : -EBADF;
}

const char *weft_process_self_name(void)
{
    return self_name;
}

pid_t weft_process_parent(void)
{
    return parent;
}

int weft_process_fd(unsigned i)
{
    return i < handed_count ? handed[i] : -EBADF;
}

int weft_processes_each(void (*fn)(weft_process *p, void *arg), void *arg)
{
    int n = 0;
    rawlock_acquire(&children_lock);
    for (weft__list *l = children.next; l != &children; l = l->next) {
        struct pollfd ended = {.fd = container_of(l, weft__process, link)->held.pidfd, .events = POLLIN};
        if (weft__sys_poll(&ended, 1, 0) != 0)
            continue; /* ended, and not joined yet */
        fn(container_of(l, weft__process, link)->handle, arg);
        n++;
    }
    rawlock_release(&children_lock);
    return n;
}

/* ---- the end of this process ---- */

WEFT__FORK_TEXT static void kill_daemons(void)
{
    rawlock_acquire(&children_lock);
    for (weft__list *l = children.next; l != &children; l = l->next) {
        weft__process *r = container_of(l, weft__process, link);
        if (r->daemon)
            weft__sys_pidfd_signal(r->held.pidfd, SIGKILL);
    }
    rawlock_release(&children_lock);
}

WEFT__FORK_TEXT static weft__process *next_to_await(void)
{
    weft__process *found = NULL;
    rawlock_acquire(&children_lock);
    for (weft__list *l = children.next; l != &children && found == NULL; l = l->next)
        if (!container_of(l, weft__process, link)->awaited)
            found = container_of(l, weft__process, link);
    if (found != NULL)
        found->awaited = true;
    rawlock_release(&children_lock);
    return found;
}

/* Those that have ended leave no zombies to a parent who may not look after them. Who holds a record's lock reaps it
 * himself, and whoever asks later finds the code there. */
static void reap_ended(void)
{
    rawlock_acquire(&children_lock);
    for (weft__list *l = children.next, *next; l != &children; l = next) {
        weft__process *r = container_of(l, weft__process, link);
        next = l->next;
        if (by_server(r) || weft_lock_acquire_until(&r->lock, WEFT_NOW) != 0)
            continue;
        if (!r->reaped && reap(r) != -EAGAIN) {
            r->listed = false;
            list_remove(&r->link);
        }
        weft_lock_release(&r->lock);
    }
    rawlock_release(&children_lock);
}

/* Main's code has ended: daemons with it; the others are waited for. Their records stay: other threads may use them. */
WEFT__FORK_TEXT static void await_children(void)
{
    kill_daemons();
    weft__process *r;
    while ((r = next_to_await()) != NULL) {
        struct pollfd ended = {.fd = r->held.pidfd, .events = POLLIN};
        while (weft__sys_poll(&ended, 1, INT64_MAX) < 0)
            ;
    }
    reap_ended();
    weft__server_end();
}

void weft__process_watch_exit(void)
{
    rawlock_acquire(&children_lock);
    if (!watches_exit)
        atexit(await_children);
    watches_exit = true;
    rawlock_release(&children_lock);
}

/* ---- in the child ---- */

static void *die_with_parent(void *arg)
{
    struct pollfd end = {.fd = (int)(intptr_t)arg, .events = POLLIN};
    while (weft__sys_poll(&end, 1, INT64_MAX) < 0)
        ;
    weft__sys_kill(getpid(), SIGKILL);
    return NULL;
}

static void watch_parent(pid_t from, bool by_main)
{
    int fd = by_main ? -1 : weft__sys_pidfd_open(from);
    if (by_main)
        weft__sys_death_signal(SIGKILL);
    else if (fd >= 0)
        weft__sys_thread(die_with_parent, (void *)(intptr_t)fd, WATCH_STACK);
    if (getppid() != from)
        _exit(1);
}

WEFT__FORK_TEXT __attribute__((noreturn)) static void end(int code)
{
    await_children();
    weft__threads_wait();
    fflush(NULL);
    if (seat != NULL && seat_of == getpid()) { /* not in a child of a child */
        seat->code = code;
        or_acq_rel(&seat->state, WEFT__SEAT_SAID);
    }
    _exit(code);
}

void weft_process_exit(const char *text)
{
    if (text != NULL)
        fprintf(stderr, "%s\n", text);
    if (parent != 0)
        end(text != NULL);
    exit(text != NULL);
}

typedef struct start {
    weft__process *r;
    weft_process *p;
    weft_process_fn *fn;
    int (*run)(weft_process *p);
    void *arg;
    const weft_process_options *options;
    bool by_main; /* a daemon: the main thread forks it */
    int gate[2];  /* -1: none */
} start;

static weft__child describe(const start *s)
{
    return (weft__child){.fn = s->fn,
                         .arg = s->arg,
                         .name = s->r->name,
                         .parent = s->r->parent,
                         .keep_stdin = s->options->keep_stdin != 0,
                         .fds = s->options->fds,
                         .fd_count = s->options->fd_count};
}

WEFT__FORK_TEXT void weft__process_child(const weft__child *c)
{
    parent = c->parent;
    memcpy(self_name, c->name, NAME_SIZE);
    handed_count = c->fd_count;
    seat = c->seat;
    seat_of = seat != NULL ? getpid() : 0;
    if (c->fd_count > 0)
        memcpy(handed, c->fds, c->fd_count * sizeof *handed);
    if (!c->keep_stdin)
        weft__sys_null_stdin();
    int result = c->fn(c->arg);
    if (result < 0) {
        fprintf(stderr, "weft: process \"%s\" (%d) ended with an error: %s\n", self_name, (int)getpid(),
                weft_strerror(result));
        result = 1;
    }
    end(result & 255);
}

WEFT__FORK_TEXT __attribute__((noreturn)) static void run_child(start *s)
{
    char go;
    if (weft__sys_helper) /* a scheduler thread blocks all signals: others take them. Here are no others */
        weft__sys_signals_none_blocked();
    if (s->gate[0] >= 0) {
        weft__sys_close(s->gate[1]);
        weft__sys_pipe_read(s->gate[0], &go, 1);
        weft__sys_close(s->gate[0]);
    }
    if (s->r->daemon)
        watch_parent(s->r->parent, s->by_main);
    weft__child c = describe(s);
    weft__process_child(&c);
}

/* ---- start ---- */

/* By hand: snprintf has a page of the stack copied that nobody else needs. */
static void number(char *name, unsigned n)
{
    char digits[12], *to = name + sizeof "Process-" - 1;
    unsigned count = 0;
    for (; n > 0 || count == 0; n /= 10)
        digits[count++] = (char)('0' + n % 10);
    memcpy(name, "Process-", sizeof "Process-");
    while (count > 0)
        *to++ = digits[--count];
    *to = 0;
}

static void make_name(weft__process *r, const char *name)
{
    if (name != NULL)
        weft__thread_copy_name(r->name, sizeof r->name, name);
    else
        number(r->name, add_relaxed(&started, 1) + 1);
}

static void enlist(weft__process *r)
{
    weft__process_watch_exit();
    rawlock_acquire(&children_lock);
    r->listed = true;
    list_push_back(&children, &r->link);
    rawlock_release(&children_lock);
}

/* R3: only where the kernel would reap it. */
static int make_gate(start *s)
{
    struct sigaction now;
    s->gate[0] = s->gate[1] = -1;
    sigaction(SIGCHLD, NULL, &now);
    if (now.sa_handler != SIG_IGN && !(now.sa_flags & SA_NOCLDWAIT))
        return 0;
    return weft__sys_pipe(s->gate);
}

WEFT__FORK_TEXT static int fork_child(start *s)
{
    int err = make_gate(s);
    if (err < 0)
        return err;
    weft__sys_flush();
    s->by_main = s->r->daemon && weft__sys_tid() == s->r->parent;
    err = weft__sys_fault(WEFT__SYS_FORK);
    pid_t pid = err < 0 ? -1 : fork();
    if (pid == 0)
        run_child(s);
    if (pid < 0 && err == 0)
        err = -errno;
    if (pid > 0) {
        s->r->held.pid = pid;
        s->r->held.pidfd = weft__sys_pidfd_open(pid);
        err = s->r->held.pidfd < 0 ? s->r->held.pidfd : 0;
        if (err < 0) { /* no descriptor left: it must not run on without a handle */
            weft__sys_kill(pid, SIGKILL);
            weft__sys_reap(pid);
        }
    }
    for (int i = 0; i < 2; i++)
        if (s->gate[i] >= 0)
            weft__sys_close(s->gate[i]); /* the child's read ends */
    return err;
}

static int serve_child(start *s)
{
    weft__child c = describe(s);
    return weft__server_child(&c, s->options->arg_size, s->r->daemon, &s->r->held);
}

WEFT__FORK_TEXT static int start_process(start *s)
{
    static const weft_process_options defaults;
    if (s->p->record != NULL)
        return -WEFT_ESTARTED;
    if (s->options == NULL)
        s->options = &defaults;
    bool by_server = s->options->method == WEFT_FORKSERVER;
    if (s->options->fd_count > WEFT_PROCESS_FDS_MAX || s->options->method > WEFT_FORKSERVER || (by_server && s->run))
        return -EINVAL;
    weft__process *r = s->r = new_record();
    if (r == NULL)
        return -ENOMEM;
    *r = (weft__process){.handle = s->p, .held = {.pidfd = -1}, .parent = getpid(), .daemon = s->options->daemon != 0};
    make_name(r, s->options->name);
    int err = by_server ? serve_child(s) : fork_child(s);
    if (err < 0) {
        free_record(r);
        return err;
    }
    enlist(r);
    s->p->record = r;
    return 0;
}

int weft_process_start(weft_process *p, weft_process_fn *fn, void *arg, const weft_process_options *options)
{
    return fn == NULL ? -EINVAL : start_process(&(start){.p = p, .fn = fn, .arg = arg, .options = options});
}

static int run_object(void *arg)
{
    const start *s = arg;
    return s->run(s->p);
}

int weft_process_run(weft_process *p, int (*run)(weft_process *p), const weft_process_options *options)
{
    start s = {.p = p, .run = run, .fn = run_object, .arg = &s, .options = options};
    return run == NULL ? -EINVAL : start_process(&s);
}

/* ---- fork ---- */

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&children_lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    rawlock_release(&children_lock);
}

WEFT__FORK_TEXT static void after_fork_child(void)
{
    children_lock.word = 0;
    list_init(&children);
    store_relaxed(&started, 0);
}

__attribute__((constructor(102))) static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
