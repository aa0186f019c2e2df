/* forkserver_serve.c - the fork server's own process: it keeps spare children, and sees their ends.
 *
 * A spare is a child that was forked in advance and waits for its request, so that a start is one message to a process
 * that is there already. It waits at a lane: one of a few sockets that the server and its parent have from the
 * beginning. ready[lane] in the shared board names it, and the parent takes it by taking that away. The lane is free
 * for the next spare when this one has begun, or has ended. The server keeps as many spares as there have been starts,
 * up to SPARES. It is told of nothing while children end as fast as they are started: each end makes it look around.
 *
 * V1  the server has one thread for ever, so what it forks is whole: it calls nothing of weft's that could wait or
 *     start a thread, and all signals are blocked in it (its children get back the mask that was).
 * V2  it ends when its parent has ended, whoever else has a copy of the parent's end of the socket: it holds a pidfd of
 *     it. Spares and daemons end with it (parent death signal; its only thread forked them). Where it can, it ends and
 *     reaps its spares itself.
 * V3  a pid is its child's until the server reaps it, and the seat is marked dead before that: a pidfd that was opened
 *     by that pid is right if the seat has no such mark afterwards.
 * V4  the server is in a process group of its own, and so are spares until they begin: a signal for the group of
 *     their parent, such as a Ctrl-C, does not lie in wait for children that are started after it.
 * V5  spares that die in vain are not replaced for ever: LOST_MOST in a row.
 * V6  what was taken begins, though the server is told to end right after: it waits for that, and a child that is no
 *     daemon takes its death signal back before it says that it has begun.
 * Pinned by tests/process/forkserver_test.c and spare_test.c. */
#include "process/forkserver.h"

#include "base/atomic.h"
#include "base/compiler.h"
#include "sys/helper.h"
#include "sys/message.h"
#include "sys/multiplex.h"
#include "sys/net.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SPARES = 4,
    LOST_MOST = 16,
    AGAIN_NS = 1000000, /* a spare was taken and has not begun yet: look again */
    SEATS_ROOM = 64,
    FEW = 16
};

/* A child that was started has so long to begin, when its server ends; less than the parent's patience with it. */
#define BEGIN_NS INT64_C(8000000000)

typedef struct made {
    pid_t pid;
    weft__seat *seat;
} made;

/* What the server writes to all the time. It lies on its stack, near where each fork is called: that page is copied for
 * every child anyway. */
typedef struct serving {
    pid_t parent, self, group;
    int control, ends, parent_fd;
    int stdin_kept; /* for children that keep it; < 0: there was none */
    weft__signals signals;
    weft__board *board;
    int lanes[WEFT__LANES];
    weft__seat *waits[WEFT__LANES]; /* whose lane it is; NULL: nobody's */
    unsigned next_lane, next_seat, lost;
    uint32_t serial, starts; /* starts: as last seen */
    uint32_t asked;          /* a question that has no answer yet */
    bool rests;              /* a spare could not be made: not before something else has happened */
    made *children;          /* `few`, until there are more */
    unsigned count, room;
    made few[FEW];
} serving;

static uint32_t number_of(const serving *s, const weft__seat *seat)
{
    return (uint32_t)(seat - s->board->seats) + 1;
}

/* ---- ends ---- */

/* It has ended, and is not reaped yet. */
static void see_end(serving *s, weft__seat *seat, int code)
{
    if (!(load_acquire(&seat->state) & WEFT__SEAT_SAID))
        seat->code = code;
    or_acq_rel(&seat->state, WEFT__SEAT_DEAD);
    for (unsigned i = 0; i < WEFT__LANES; i++) {
        uint32_t number = number_of(s, seat);
        if (s->waits[i] != seat)
            continue;
        s->waits[i] = NULL;
        if (cas_acq_rel(&s->board->ready[i], &number, 0)) { /* it was not taken, and cannot be any more */
            and_acq_rel(&seat->state, ~(uint32_t)WEFT__SEAT_PARENT);
            s->lost++;
        }
    }
}

static void reap_all(serving *s)
{
    int code;
    pid_t pid;
    weft__sys_child_ends_clear(s->ends);
    while ((pid = weft__sys_ended(0, &code)) > 0) {
        weft__seat *seat = NULL;
        for (unsigned i = 0; i < s->count && seat == NULL; i++)
            if (s->children[i].pid == pid) {
                seat = s->children[i].seat;
                s->children[i] = s->children[--s->count];
            }
        if (seat != NULL)
            see_end(s, seat, code);
        weft__sys_reap(pid);
        if (seat != NULL)
            and_acq_rel(&seat->state, ~(uint32_t)WEFT__SEAT_SERVER);
    }
}

/* Take back the spare that waits at this lane. False: the parent has taken it. */
static bool take_back(serving *s, unsigned lane)
{
    uint32_t number = s->waits[lane] != NULL ? number_of(s, s->waits[lane]) : 0;
    return number != 0 && cas_acq_rel(&s->board->ready[lane], &number, 0);
}

/* Nobody will ask any more. What was started begins, though it may not have had a processor yet. */
__attribute__((noreturn)) static void leave(serving *s)
{
    bool back[WEFT__LANES];
    int code;
    for (unsigned i = 0; i < WEFT__LANES; i++)
        if ((back[i] = take_back(s, i)))
            weft__sys_kill(s->waits[i]->pid, SIGKILL);
    int64_t until = weft__sys_now() + BEGIN_NS;
    for (unsigned i = 0; i < WEFT__LANES; i++) {
        weft__seat *seat = s->waits[i];
        if (seat == NULL)
            continue;
        while (!back[i] && !(load_acquire(&seat->state) & WEFT__SEAT_BEGUN) && weft__sys_now() < until &&
               !weft__sys_ended(seat->pid, &code))
            weft__sys_poll(NULL, 0, weft__sys_now() + AGAIN_NS);
        if (load_acquire(&seat->state) & WEFT__SEAT_BEGUN)
            continue;
        weft__sys_kill(seat->pid, SIGKILL);
        weft__sys_reap(seat->pid);
    }
    _exit(0);
}

/* ---- in a new child ---- */

static _Alignas(16) char argument[WEFT__REQUEST_INLINE]; /* of a child that was a spare */

/* Its request. Ends the process when there is none to come. */
static unsigned await_request(int lane, uint32_t serial, weft__request *q, int *fds)
{
    for (;;) {
        struct pollfd p = {.fd = lane, .events = POLLIN};
        weft__message m = {.head = q,
                           .head_size = sizeof *q,
                           .data = argument,
                           .size = sizeof argument,
                           .fds = fds,
                           .fd_count = WEFT__REQUEST_FDS};
        weft__sys_poll(&p, 1, INT64_MAX);
        long size = weft__sys_message_receive(lane, &m);
        if (size == -EAGAIN || size == -EINTR)
            continue;
        if (size == 0 || size == -ECONNRESET)
            _exit(0);
        if (size < (long)sizeof *q) {
            fprintf(stderr, "weft: process %d: what it was to do was lost: %s\n", (int)getpid(),
                    weft_strerror(size < 0 ? (int)size : -EPROTO));
            _exit(1);
        }
        if (q->serial == serial && q->fn == NULL)
            _exit(0);
        if (q->serial == serial)
            return m.fd_count;
        for (unsigned i = 0; i < m.fd_count; i++)
            weft__sys_close(fds[i]);
    }
}

/* The argument's bytes. */
static void *take_argument(const weft__request *q, int file)
{
    if (q->arg_size == 0)
        return q->arg;
    if (!q->in_file)
        return argument;
    void *bytes = malloc(q->arg_size);
    if (bytes == NULL || weft__sys_memory_file_read(file, bytes, q->arg_size) < 0) {
        fprintf(stderr, "weft: process \"%s\" (%d): its argument was lost\n", q->name, (int)getpid());
        _exit(1);
    }
    return bytes;
}

__attribute__((noreturn)) static void be_spare(serving *s, int lane, weft__seat *seat)
{
    weft__request q;
    int fds[WEFT__REQUEST_FDS];
    int kept[] = {lane, s->stdin_kept};
    weft__sys_death_signal(SIGKILL);
    if (getppid() != s->self)
        _exit(1);
    weft__sys_set_name("weft-spare");
    weft__sys_close_all_but(kept, WEFT__ARRAY_LEN(kept));

    unsigned n = await_request(lane, seat->serial, &q, fds), first = q.in_file;
    weft__sys_set_group(s->group);
    if (!q.daemon)
        weft__sys_death_signal(0);
    or_acq_rel(&seat->state, WEFT__SEAT_BEGUN); /* from here on the server lets it be */
    if (q.keep_stdin)
        weft__sys_stdin_back(s->stdin_kept);
    weft__sys_close(lane);
    if (s->stdin_kept >= 0)
        weft__sys_close(s->stdin_kept);
    weft__sys_set_name("MainThread");
    void *arg = take_argument(&q, fds[0]);
    if (q.in_file)
        weft__sys_close(fds[0]);
    weft__sys_signals_back(&s->signals);
    weft__process_child(&(weft__child){.fn = q.fn,
                                       .arg = arg,
                                       .name = q.name,
                                       .parent = s->parent,
                                       .keep_stdin = true, /* it is as it is to be */
                                       .fds = fds + first,
                                       .fd_count = n - first,
                                       .seat = seat});
}

/* ---- spares ---- */

static bool is_free(serving *s, unsigned lane)
{
    weft__seat *seat = s->waits[lane];
    if (seat != NULL && (load_acquire(&seat->state) & WEFT__SEAT_BEGUN))
        s->waits[lane] = seat = NULL;
    return seat == NULL;
}

static unsigned count_ready(const serving *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < WEFT__LANES; i++)
        n += load_acquire(&s->board->ready[i]) != 0;
    return n;
}

/* The lane for the next spare, if there is to be one; else -1. Lanes take turns, so the oldest spare is taken first. */
static int lane_wanted(serving *s)
{
    uint32_t starts = load_acquire(&s->board->starts);
    if (starts != s->starts)
        s->lost = 0;
    s->starts = starts;
    unsigned most = starts < SPARES ? starts : SPARES, ready = count_ready(s);
    if (s->rests || s->lost >= LOST_MOST || ready >= (s->asked != 0 && most == 0 ? 1 : most))
        return -1;
    for (unsigned i = 0; i < WEFT__LANES; i++)
        if (is_free(s, (s->next_lane + i) % WEFT__LANES))
            return (int)((s->next_lane + i) % WEFT__LANES);
    return -1;
}

/* Few seats are used, the same ones again and again. */
static weft__seat *free_seat(serving *s)
{
    unsigned most = 2 * s->count + SEATS_ROOM;
    if (most > WEFT__SEATS)
        most = WEFT__SEATS;
    for (unsigned i = 0; i < most; i++) {
        weft__seat *seat = &s->board->seats[s->next_seat++ % most];
        if (!(load_acquire(&seat->state) & (WEFT__SEAT_SERVER | WEFT__SEAT_PARENT)))
            return seat;
    }
    return NULL;
}

static int make_room(serving *s)
{
    if (s->count < s->room)
        return 0;
    unsigned room = s->room * 2;
    made *more = realloc(s->children == s->few ? NULL : s->children, room * sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    if (s->children == s->few)
        memcpy(more, s->few, sizeof s->few);
    s->children = more;
    s->room = room;
    return 0;
}

static int make_spare(serving *s, unsigned lane)
{
    int err = make_room(s);
    weft__seat *seat = err == 0 ? free_seat(s) : NULL;
    if (seat == NULL)
        return err < 0 ? err : -EAGAIN;
    *seat = (weft__seat){.state = WEFT__SEAT_SERVER | WEFT__SEAT_PARENT, .serial = ++s->serial};
    pid_t pid = fork();
    if (pid == 0)
        be_spare(s, s->lanes[lane], seat);
    if (pid < 0) {
        err = -errno;
        store_release(&seat->state, 0);
        return err;
    }
    seat->pid = pid;
    s->children[s->count++] = (made){pid, seat};
    s->waits[lane] = seat;
    s->next_lane = (lane + 1) % WEFT__LANES;
    store_release(&s->board->ready[lane], number_of(s, seat));
    return 0;
}

/* ---- questions ---- */

static void answer(serving *s, uint32_t number, int err)
{
    weft__answer a = {number, err};
    weft__sys_message_send(s->control, &(weft__message){.head = &a, .head_size = sizeof a});
}

/* False: nobody can ask any more. */
static bool take_question(serving *s)
{
    weft__question q;
    weft__message m = {.head = &q, .head_size = sizeof q};
    long size = weft__sys_message_receive(s->control, &m);
    if (size != (long)sizeof q)
        return size != 0 && size != -ECONNRESET;
    store_release(&s->board->poked, 0);
    s->lost = 0;
    if (q.fn != NULL)
        answer(s, q.number, weft__sys_is_code((const void *)q.fn) ? 0 : -EFAULT);
    else if (q.number != 0)
        s->asked = q.number;
    return true;
}

/* err: of a spare that was to be made. */
static void settle(serving *s, int err)
{
    if (s->asked == 0 || (err == 0 && count_ready(s) == 0))
        return;
    answer(s, s->asked, err);
    s->asked = 0;
}

void weft__serve(pid_t parent, int control, const int lanes[WEFT__LANES], weft__board *board)
{
    int kept[WEFT__LANES + 2];
    serving here = {.parent = parent, .self = getpid(), .group = getpgrp(), .room = FEW}, *s = &here;
    s->children = s->few;
    weft__sys_set_group(0);
    s->board = board;
    weft__sys_signals_off(&s->signals);
    kept[WEFT__LANES] = s->control = weft__sys_above_streams(control);
    for (unsigned i = 0; i < WEFT__LANES; i++)
        kept[i] = s->lanes[i] = weft__sys_above_streams(lanes[i]);
    int in = weft__sys_dup(0);
    kept[WEFT__LANES + 1] = s->stdin_kept = in >= 0 ? weft__sys_above_streams(in) : -1;
    weft__sys_null_stdin();
    weft__sys_close_all_but(kept, WEFT__ARRAY_LEN(kept));
    weft__sys_set_name("weft-forkserver");
    s->ends = weft__sys_child_ends();
    s->parent_fd = weft__sys_pidfd_open(parent);
    if (s->ends < 0 || s->parent_fd < 0 || getppid() != parent)
        _exit(1);
    struct pollfd fds[] = {{s->parent_fd, POLLIN, 0}, {s->ends, POLLIN, 0}, {s->control, POLLIN, 0}};
    for (;;) {
        int64_t until = lane_wanted(s) >= 0 ? 0 : s->asked != 0 ? weft__sys_now() + AGAIN_NS : INT64_MAX;
        int n = weft__sys_poll(fds, WEFT__ARRAY_LEN(fds), until);
        if (n > 0) {
            s->rests = false;
            if (fds[0].revents != 0)
                leave(s);
            if (fds[1].revents != 0)
                reap_all(s);
            if (fds[2].revents != 0 && !take_question(s))
                leave(s);
        }
        int lane = lane_wanted(s), err = lane < 0 ? 0 : make_spare(s, (unsigned)lane);
        s->rests = err < 0;
        settle(s, err);
    }
}
