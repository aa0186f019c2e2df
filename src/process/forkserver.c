/* forkserver.c - the fork server: a child that keeps children in readiness for its parent. This is the parent's side;
 * the server's is forkserver_serve.c, which says what a spare and a lane are.
 *
 * A start takes a spare and sends it what to run, its argument's bytes (a memory file when there are many), and
 * descriptors. Nobody waits for an answer. Where there is no spare, the caller asks the server for one; one asks at a
 * time. At its end a child says its code in its seat, so that who joins it waits for its pidfd and not for the server;
 * what cannot say it (killed, or a call of _exit) is told of by the server, also there.
 *
 * W1  a spare that has ended is never handed out: its pidfd is looked at first. One that is killed later than that is
 *     a child that was killed as it began.
 * W2  what is sent to one spare is not taken by its successor at the lane: it has the serial of its addressee.
 * W3  who waits for a server's word looks after the server now and then, so its death ends the wait.
 * Only a process with one thread starts a server, so starting needs no lock; server.lock (a leaf, held across fork) is
 * over the descriptors, which a stop or the server's death takes away, and over the references to boards.
 * Pinned by tests/process/forkserver_test.c and spare_test.c. */
#include "process/forkserver.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "park/rawlock.h"
#include "park/watch.h"
#include "sys/aside.h"
#include "sys/helper.h"
#include "sys/message.h"
#include "sys/multiplex.h"
#include "sys/net.h"
#include "sys/spawn.h"

#include <weft/co.h>
#include <weft/lock.h>
#include <weft/poller.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ANSWER_SECONDS = 60,
    ALONE_TRIES = 300, /* milliseconds that a thread which was joined has to go */
    LOW = 1,           /* so many spares are left: ask for more */
    LOOK_NS = 20000,
    LOOK_MOST_NS = 1000000
};

#define PATIENCE_NS INT64_C(10000000000) /* for what is about to happen, unless somebody was stopped */

static struct {
    weft__rawlock lock;
    pid_t pid; /* 0: it does not run */
    int fd, pidfd;
    int lanes[WEFT__LANES];
    unsigned next_lane;
    uint32_t questions;
    weft__board *board;
    uint64_t loads; /* what was loaded when it started */
} server WEFT__FORK_PAGE = {.fd = -1, .pidfd = -1};

static WEFT__FORK_PAGE weft_lock asking; /* who has it is the only one that awaits an answer */

static bool ended(int pidfd, int64_t until_ns)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return weft__sys_poll(&p, 1, until_ns) > 0;
}

/* ---- boards ---- */

/* server.lock is held. */
static void drop_board(weft__board *board)
{
    if (--board->refs == 0)
        weft__sys_unmap(board, sizeof *board);
}

static void free_seat(weft__seat *seat)
{
    and_acq_rel(&seat->state, ~(uint32_t)WEFT__SEAT_PARENT);
}

void weft__server_release(weft__held *held)
{
    if (held->seat == NULL)
        return;
    free_seat(held->seat);
    held->seat = NULL;
    rawlock_acquire(&server.lock);
    drop_board(held->board);
    rawlock_release(&server.lock);
}

/* ---- its start and end ---- */

/* Whether the calling thread is the only one of the program's. One that was joined may take a moment to go. */
static bool is_alone(void)
{
    for (int i = 0; i < ALONE_TRIES; i++) {
        unsigned own = 1 + weft__watch_runs() + (WEFT__TSAN ? 2 : 0); /* ThreadSanitizer has threads, too */
        if (weft__sys_thread_count() <= own)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

static void close_all(const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        weft__sys_close(fds[i]);
}

/* Pairs: ends[0] are ours. 0 or -errno. */
static int make_pairs(int (*ends)[WEFT__LANES + 1])
{
    for (unsigned i = 0; i <= WEFT__LANES; i++) {
        int pair[2], err = weft__sys_message_pair(pair);
        if (err < 0) {
            close_all(ends[0], i);
            close_all(ends[1], i);
            return err;
        }
        ends[0][i] = pair[0];
        ends[1][i] = pair[1];
    }
    return 0;
}

/* Fork it. Its pid and pidfd, or -errno. */
static int launch(const int *ends, weft__board *board, int *pidfd)
{
    weft__sys_flush();
    pid_t self = getpid(), pid;
    int err = weft__sys_fault(WEFT__SYS_FORK);
    if (err < 0)
        return err;
    if ((pid = fork()) == 0)
        weft__serve(self, ends[WEFT__LANES], ends, board);
    if (pid < 0)
        return -errno;
    if ((*pidfd = weft__sys_pidfd_open(pid)) >= 0)
        return pid;
    weft__sys_kill(pid, SIGKILL);
    weft__sys_reap(pid);
    return *pidfd;
}

int weft_forkserver_start(void)
{
    int ends[2][WEFT__LANES + 1], pidfd = -1, err = 0;
    void *board;
    if (weft_forkserver_pid() != 0)
        return 0;
    if (!is_alone())
        return -WEFT_ETHREADS;
    if ((err = weft__sys_map_shared(&board, sizeof(weft__board))) < 0)
        return err;
    if ((err = make_pairs(ends)) < 0)
        goto unmap;
    pid_t pid = launch(ends[1], board, &pidfd);
    close_all(ends[1], WEFT__LANES + 1);
    if (pid < 0) {
        close_all(ends[0], WEFT__LANES + 1);
        err = pid;
        goto unmap;
    }
    weft__sys_not_for_children(board, sizeof(weft__board)); /* from now on */
    weft__process_watch_exit();
    rawlock_acquire(&server.lock);
    memcpy(server.lanes, ends[0], sizeof server.lanes);
    server.fd = ends[0][WEFT__LANES];
    server.pidfd = pidfd;
    server.pid = pid;
    server.next_lane = 0;
    server.board = board;
    server.board->refs = 1;
    weft__sys_is_code_of(NULL, &server.loads);
    rawlock_release(&server.lock);
    return 0;
unmap:
    weft__sys_unmap(board, sizeof(weft__board));
    return err;
}

WEFT__FORK_TEXT pid_t weft_forkserver_pid(void)
{
    rawlock_acquire(&server.lock);
    pid_t pid = server.pid;
    rawlock_release(&server.lock);
    return pid;
}

/* Forget it, reaped. pid: which one; of several that find it dead, the first does it. */
WEFT__FORK_TEXT static void forget(pid_t pid)
{
    int lanes[WEFT__LANES];
    rawlock_acquire(&server.lock);
    bool mine = pid != 0 && server.pid == pid;
    int fd = server.fd, pidfd = server.pidfd;
    weft__board *board = server.board;
    memcpy(lanes, server.lanes, sizeof lanes);
    if (mine) {
        server.pid = 0;
        server.fd = server.pidfd = -1;
        server.board = NULL;
    }
    rawlock_release(&server.lock);
    if (!mine)
        return;
    weft__sys_shutdown(fd, SHUT_WR); /* it ends its spares and itself, unless somebody has stopped it */
    if (!ended(pidfd, weft__sys_now() + PATIENCE_NS))
        weft__sys_pidfd_signal(pidfd, SIGKILL);
    weft__sys_reap(pid);
    close_all(lanes, WEFT__LANES);
    weft__sys_close(fd);
    weft__sys_close(pidfd);
    rawlock_acquire(&server.lock);
    drop_board(board);
    rawlock_release(&server.lock);
}

WEFT__FORK_TEXT int weft_forkserver_stop(void)
{
    forget(weft_forkserver_pid());
    return 0;
}

WEFT__FORK_TEXT void weft__server_end(void)
{
    weft_forkserver_stop();
}

/* ---- a start ---- */

/* The spare of this seat, which was taken: 0 and *held with a reference to the board; -ESRCH: it has ended. Its seat is
 * let go in any other case, by the caller. */
static int hold(weft__seat *seat, weft__held *held)
{
    int pidfd = weft__sys_pidfd_open(seat->pid);
    *held = (weft__held){seat->pid, pidfd, seat, server.board};
    if (pidfd < 0)
        return pidfd;
    if (!(load_acquire(&seat->state) & WEFT__SEAT_DEAD) && !ended(pidfd, 0)) {
        server.board->refs++;
        return 0;
    }
    weft__sys_close(pidfd);
    return -ESRCH;
}

/* Few are ready: ask for more, once. While children end, the server makes as many anew without being told. */
static void poke(weft__board *board)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < WEFT__LANES; i++)
        ready += load_relaxed(&board->ready[i]) != 0;
    if (ready <= LOW && swap_acq_rel(&board->poked, 1) == 0)
        weft__sys_message_send(server.fd,
                               &(weft__message){.head = &(weft__question){0}, .head_size = sizeof(weft__question)});
}

/* Have a spare that was taken end. */
static void discard(unsigned lane, weft__seat *seat)
{
    weft__request end = {.serial = seat->serial};
    int err = weft__sys_message_send(server.lanes[lane], &(weft__message){.head = &end, .head_size = sizeof end});
    if (err < 0 && !(load_acquire(&seat->state) & WEFT__SEAT_DEAD))
        weft__sys_kill(seat->pid, SIGKILL);
}

/* To the spare of this seat and lane. What cannot be sent (a descriptor is none) ends it. */
static int send_to(unsigned lane, weft__seat *seat, const weft__message *m, weft__held *held)
{
    weft__request *q = m->head;
    int err = hold(seat, held);
    bool held_it = err == 0;
    q->serial = seat->serial;
    if (held_it && (err = weft__sys_message_send(server.lanes[lane], m)) == 0)
        return 0;
    if (err != -ESRCH)
        discard(lane, seat);
    free_seat(seat);
    if (held_it) {
        weft__sys_close(held->pidfd);
        drop_board(held->board);
    }
    return err;
}

/* Give the request to a spare. 0; -EAGAIN: there is none now. */
static int give(pid_t pid, const weft__message *m, weft__held *held)
{
    int err = -EAGAIN;
    rawlock_acquire(&server.lock);
    weft__board *board = server.board;
    if (server.pid != pid)
        err = -EPIPE;
    for (unsigned i = 0; i < WEFT__LANES && (err == -EAGAIN || err == -ESRCH); i++) {
        unsigned lane = server.next_lane++ % WEFT__LANES;
        uint32_t seat = load_relaxed(&board->ready[lane]) != 0 ? swap_acq_rel(&board->ready[lane], 0) : 0;
        if (seat == 0)
            continue;
        add_acq_rel(&board->starts, 1);
        err = send_to(lane, &board->seats[seat - 1], m, held);
    }
    if (err == 0)
        poke(board);
    rawlock_release(&server.lock);
    return err == -ESRCH ? -EAGAIN : err;
}

/* Whether the server has the code at fn, which is here. What was loaded after its start makes that uncertain. */
static bool is_known(weft_process_fn *fn)
{
    uint64_t loads;
    return weft__sys_is_code_of((const void *)fn, &loads) && (loads == 0 || loads == server.loads);
}

/* Send a question. Its number, and in *fd a copy of the descriptor by which its answer comes. */
static int send_question(pid_t pid, weft__question *q, int *fd)
{
    rawlock_acquire(&server.lock);
    *fd = server.pid == pid ? weft__sys_dup(server.fd) : -EPIPE;
    if (++server.questions == 0)
        server.questions++;
    q->number = server.questions;
    int err = *fd < 0 ? *fd : weft__sys_message_send(*fd, &(weft__message){.head = q, .head_size = sizeof *q});
    rawlock_release(&server.lock);
    if (err < 0 && *fd >= 0)
        weft__sys_close(*fd);
    return err;
}

/* Ask the server, and return its answer. */
static int ask(pid_t pid, weft_process_fn *fn, weft_until until)
{
    weft__question q = {.fn = fn};
    weft__answer a = {0};
    weft__message m = {.head = &a, .head_size = sizeof a};
    int fd, err = weft_lock_acquire_until(&asking, until);
    if (err < 0)
        return err;
    if ((err = send_question(pid, &q, &fd)) < 0)
        goto release;
    while (a.number != q.number && (err = weft_fd_wait(fd, WEFT_POLLIN, until)) >= 0) {
        long size = weft__sys_message_receive(fd, &m);
        if (size == 0 || size == -ECONNRESET) {
            err = -EPIPE;
            break;
        }
        if (size < 0 && size != -EAGAIN) {
            err = (int)size;
            break;
        }
    }
    if (a.number == q.number)
        err = a.err;
    weft__sys_close(fd);
release:
    weft_lock_release(&asking);
    return err;
}

static int have_child(const weft__message *m, weft__held *held)
{
    weft_until until = weft_in_seconds(ANSWER_SECONDS);
    const weft__request *q = m->head;
    pid_t pid = weft_forkserver_pid();
    int was = weft_shield(1); /* a child that was asked for is to be held */
    int err = is_known(q->fn) ? 0 : ask(pid, q->fn, until);
    while (err == 0 && (err = give(pid, m, held)) == -EAGAIN)
        err = ask(pid, NULL, until);
    if (err == -EPIPE)
        forget(pid);
    weft_shield(was);
    return err;
}

int weft__server_child(const weft__child *c, size_t arg_size, bool daemon, weft__held *held)
{
    weft__request q = {.fn = c->fn,
                       .arg = c->arg,
                       .arg_size = arg_size,
                       .in_file = arg_size > WEFT__REQUEST_INLINE,
                       .daemon = daemon,
                       .keep_stdin = c->keep_stdin};
    int fds[WEFT__REQUEST_FDS], file = -1;
    int err = weft_forkserver_start();
    if (err < 0)
        return err;
    memcpy(q.name, c->name, sizeof q.name);
    if (q.in_file && (file = weft__sys_memory_file(c->arg, arg_size)) < 0)
        return file;
    weft__message m = {.head = &q, .head_size = sizeof q, .fds = fds};
    if (q.in_file)
        m.fds[m.fd_count++] = file;
    if (c->fd_count > 0)
        memcpy(m.fds + m.fd_count, c->fds, c->fd_count * sizeof *fds);
    m.fd_count += c->fd_count;
    if (arg_size > 0 && !q.in_file) {
        m.data = c->arg;
        m.size = arg_size;
    }
    err = have_child(&m, held);
    if (file >= 0)
        weft__sys_close(file);
    return err;
}

/* ---- an end ---- */

static bool is_told(const weft__held *held)
{
    return load_acquire(&held->seat->state) & (WEFT__SEAT_SAID | WEFT__SEAT_DEAD);
}

/* Whether the server of this child is gone. One that is found dead is forgotten. */
static bool is_server_gone(const weft__held *held)
{
    rawlock_acquire(&server.lock);
    bool mine = server.board == held->board, dead = mine && ended(server.pidfd, 0);
    pid_t pid = server.pid;
    rawlock_release(&server.lock);
    if (dead)
        forget(pid);
    return !mine || dead;
}

int weft__server_await(const weft__held *held, weft_until until)
{
    int err = weft_fd_wait(held->pidfd, WEFT_POLLIN, until);
    for (int64_t ns = LOOK_NS; err >= 0 && !is_told(held) && !is_server_gone(held);
         ns = ns < LOOK_MOST_NS ? ns * 2 : ns)
        err = weft_left(until) == 0 ? -ETIMEDOUT : weft_sleep(weft_in(ns)); /* the server is about to say it */
    return err < 0 ? err : 0;
}

int weft__server_code(const weft__held *held, int *code)
{
    if (!ended(held->pidfd, 0))
        return -EAGAIN;
    for (int64_t until = weft__sys_now() + PATIENCE_NS; !is_told(held) && !is_server_gone(held);) {
        if (weft__sys_now() > until)
            return -EAGAIN; /* somebody has stopped the server */
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    if (!is_told(held))
        return -ECHILD;
    *code = held->seat->code;
    return 0;
}

/* ---- fork ---- */

WEFT__FORK_TEXT static void before_fork(void)
{
    rawlock_acquire(&server.lock);
}

WEFT__FORK_TEXT static void after_fork_parent(void)
{
    rawlock_release(&server.lock);
}

/* The server is the parent's; the child may have its own. */
WEFT__FORK_TEXT static void after_fork_child(void)
{
    server.lock.word = 0;
    asking = (weft_lock)WEFT_LOCK_INIT;
    if (server.pid != 0) {
        weft__sys_close(server.fd);
        weft__sys_close(server.pidfd);
        close_all(server.lanes, WEFT__LANES);
    }
    server.fd = -1;
    store_relaxed(&server.pidfd, -1); /* by itself: two at once would be a constant, on a page that is not here yet */
    store_relaxed(&server.pid, 0);
    server.board = NULL; /* it is not mapped here */
}

__attribute__((constructor(102))) static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
