/* forkserver.c - the fork server: a child that forks children for its parent.
 *
 * A request is one message: what to run, its argument's bytes (a memory file when there are many), and descriptors. The
 * first of these is one end of a socket pair made for this child alone; the server answers there with the child's pid
 * and a pidfd, and at the child's end with its exit code. So there is nothing to be sorted out between callers, no
 * caller waits for another's child, and where the server is killed each of them sees the end of its own socket.
 *
 * V1  the server has one thread for ever, so what it forks is whole: it calls nothing of weft's that could wait or
 *     start a thread, and all signals are blocked in it (its children get back the mask that was).
 * V2  it ends when its parent has ended, whoever else has a copy of the parent's end of the socket: it holds a pidfd of
 *     it. Daemons among its children end with it (parent death signal; its only thread forked them).
 * V3  a pid is its child's until the server reaps it, and the pidfd is opened before that.
 * Only a process with one thread starts one, so starting needs no lock; server.lock (a leaf, held across fork) is over
 * the descriptors, which a stop or the server's death takes away. Pinned by tests/process/forkserver_test.c. */
#include "process/forkserver.h"

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
#include <weft/poller.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    INLINE_MAX = 32 << 10,
    FDS_MAX = WEFT_PROCESS_FDS_MAX + 2, /* the answer's socket, a file with the argument */
    ANSWER_SECONDS = 60,
    ALONE_TRIES = 300, /* milliseconds that a thread which was joined has to go */
    REPORT_NS = 1000000000
};

typedef struct request {
    weft_process_fn *fn;
    void *arg;
    uint64_t arg_size;
    uint8_t in_file; /* the bytes are in the second descriptor */
    uint8_t daemon, keep_stdin;
    char name[WEFT__PROCESS_NAME];
} request;

typedef struct answer {
    int32_t err;  /* of the start */
    int32_t pid;  /* of the start; 0: this is the end, and */
    int32_t code; /* its exit code */
} answer;

/* ================ the server ================ */

typedef struct made {
    pid_t pid;
    int answer;
} made;

typedef struct serving {
    pid_t parent, self;
    int requests, ends, parent_fd;
    weft__signals signals;
    made *children;
    unsigned count, room;
    _Alignas(16) char bytes[INLINE_MAX];
} serving;

static int tell(int fd, const answer *a, int pidfd)
{
    weft__message m = {.head = (void *)a, .head_size = sizeof *a, .fds = &pidfd, .fd_count = pidfd >= 0};
    return weft__sys_message_send(fd, &m);
}

static bool gone(int fd)
{
    struct pollfd p = {.fd = fd};
    return weft__sys_poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void reap_all(serving *s)
{
    answer a = {0};
    pid_t pid;
    weft__sys_child_ends_clear(s->ends);
    while ((pid = weft__sys_reap_any(&a.code)) > 0)
        for (unsigned i = 0; i < s->count; i++)
            if (s->children[i].pid == pid) {
                tell(s->children[i].answer, &a, -1);
                weft__sys_close(s->children[i].answer);
                s->children[i] = s->children[--s->count];
                break;
            }
}

/* In the new child. fds: those of the request. */
__attribute__((noreturn)) static void become(serving *s, request *q, int *fds, unsigned n)
{
    int kept[FDS_MAX];
    unsigned first = q->in_file ? 2 : 1;
    void *arg = q->arg_size > 0 ? s->bytes : q->arg;
    if (q->daemon)
        weft__sys_death_signal(SIGKILL);
    if (getppid() != s->self)
        _exit(1);
    if (q->in_file && q->arg_size > 0) {
        arg = malloc(q->arg_size);
        if (arg == NULL || weft__sys_memory_file_read(fds[1], arg, q->arg_size) < 0) {
            fprintf(stderr, "weft: process \"%s\" (%d): its argument was lost\n", q->name, (int)getpid());
            _exit(1);
        }
    }
    memcpy(kept, fds + first, (n - first) * sizeof *kept);
    weft__sys_close_all_but(kept, n - first);
    weft__sys_thread_set_name(pthread_self(), "MainThread");
    weft__sys_signals_back(&s->signals);
    weft__process_child(&(weft__child){.fn = q->fn,
                                       .arg = arg,
                                       .name = q->name,
                                       .parent = s->parent,
                                       .keep_stdin = q->keep_stdin,
                                       .fds = fds + first,
                                       .fd_count = n - first});
}

static int make_room(serving *s)
{
    if (s->count < s->room)
        return 0;
    unsigned room = s->room > 0 ? s->room * 2 : 64;
    made *more = realloc(s->children, room * sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    s->children = more;
    s->room = room;
    return 0;
}

/* Returns whether the answer's socket is to be kept. */
static bool serve_request(serving *s, request *q, int *fds, unsigned n)
{
    answer a = {0};
    int pidfd = -1;
    if (gone(fds[0])) /* who asked has given up */
        return false;
    a.err = !weft__sys_is_code((const void *)q->fn) ? -EFAULT : make_room(s);
    pid_t pid = a.err == 0 ? fork() : -1;
    if (pid == 0)
        become(s, q, fds, n);
    if (pid < 0 && a.err == 0)
        a.err = -errno;
    if (pid > 0 && (pidfd = weft__sys_pidfd_open(pid)) < 0) {
        a.err = pidfd;
        weft__sys_kill(pid, SIGKILL); /* it is reaped as one that nobody knows */
    }
    a.pid = a.err == 0 ? pid : 0;
    int told = tell(fds[0], &a, pidfd);
    if (pidfd >= 0)
        weft__sys_close(pidfd);
    if (a.err == 0 && told < 0)
        weft__sys_kill(pid, SIGKILL); /* nobody holds it */
    if (a.err < 0 || told < 0)
        return false;
    s->children[s->count++] = (made){pid, fds[0]};
    return true;
}

/* False: nobody can ask any more. */
static bool take_request(serving *s)
{
    request q;
    int fds[FDS_MAX];
    weft__message m = {
        .head = &q, .head_size = sizeof q, .data = s->bytes, .size = sizeof s->bytes, .fds = fds, .fd_count = FDS_MAX};
    long size = weft__sys_message_receive(s->requests, &m);
    if (size == 0 || size == -ECONNRESET)
        return false;
    if (size < 0)
        return true;
    bool whole = size >= (long)sizeof q && m.fd_count >= 1u + q.in_file;
    bool keep = whole && serve_request(s, &q, fds, m.fd_count);
    for (unsigned i = keep; i < m.fd_count; i++)
        weft__sys_close(fds[i]);
    return true;
}

__attribute__((noreturn)) static void serve(pid_t parent, int requests)
{
    serving *s = calloc(1, sizeof *s);
    if (s == NULL)
        _exit(1);
    s->parent = parent;
    s->self = getpid();
    weft__sys_signals_off(&s->signals);
    weft__sys_close_all_but(&requests, 1);
    weft__sys_thread_set_name(pthread_self(), "weft-forkserver");
    s->requests = requests;
    s->ends = weft__sys_child_ends();
    s->parent_fd = weft__sys_pidfd_open(parent);
    if (s->ends < 0 || s->parent_fd < 0 || getppid() != parent)
        _exit(1);
    struct pollfd fds[] = {{s->parent_fd, POLLIN, 0}, {s->ends, POLLIN, 0}, {s->requests, POLLIN, 0}};
    for (;;) {
        weft__sys_poll(fds, WEFT__ARRAY_LEN(fds), INT64_MAX);
        if (fds[0].revents != 0)
            _exit(0);
        if (fds[1].revents != 0)
            reap_all(s);
        if (fds[2].revents != 0 && !take_request(s))
            _exit(0);
    }
}

/* ================ its parent ================ */

static struct {
    weft__rawlock lock;
    pid_t pid; /* 0: it does not run */
    int fd, pidfd;
} server WEFT__FORK_PAGE = {.fd = -1, .pidfd = -1};

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

int weft_forkserver_start(void)
{
    int ends[2], err = 0;
    if (weft_forkserver_pid() != 0)
        return 0;
    if (!is_alone())
        return -WEFT_ETHREADS;
    if ((err = weft__sys_message_pair(ends)) < 0)
        return err;
    weft__sys_flush();
    pid_t self = getpid(), pid = (err = weft__sys_fault(WEFT__SYS_FORK)) < 0 ? -1 : fork();
    if (pid == 0)
        serve(self, ends[1]);
    if (pid < 0)
        err = err < 0 ? err : -errno;
    weft__sys_close(ends[1]);
    int pidfd = err < 0 ? err : weft__sys_pidfd_open(pid);
    if (pidfd < 0) {
        weft__sys_close(ends[0]);
        if (pid > 0) {
            weft__sys_kill(pid, SIGKILL);
            weft__sys_reap(pid);
        }
        return pidfd;
    }
    weft__process_watch_exit();
    rawlock_acquire(&server.lock);
    server.fd = ends[0];
    server.pidfd = pidfd;
    server.pid = pid;
    rawlock_release(&server.lock);
    return 0;
}

pid_t weft_forkserver_pid(void)
{
    rawlock_acquire(&server.lock);
    pid_t pid = server.pid;
    rawlock_release(&server.lock);
    return pid;
}

/* Forget it, reaped. pid: which one; of several that find it dead, the first does it. */
static void forget(pid_t pid)
{
    rawlock_acquire(&server.lock);
    bool mine = pid != 0 && server.pid == pid;
    int fd = server.fd, pidfd = server.pidfd;
    if (mine) {
        server.pid = 0;
        server.fd = server.pidfd = -1;
    }
    rawlock_release(&server.lock);
    if (!mine)
        return;
    weft__sys_pidfd_signal(pidfd, SIGKILL);
    weft__sys_reap(pid);
    weft__sys_close(fd);
    weft__sys_close(pidfd);
}

int weft_forkserver_stop(void)
{
    forget(weft_forkserver_pid());
    return 0;
}

void weft__server_end(void)
{
    weft_forkserver_stop();
}

/* One try, for the server `pid`. */
static int send_request(pid_t pid, const weft__message *m)
{
    rawlock_acquire(&server.lock);
    int err = server.pid == pid ? weft__sys_message_send(server.fd, m) : -EPIPE;
    rawlock_release(&server.lock);
    return err;
}

/* It takes requests as fast as it forks, so its queue is full only among very many callers. */
static int send_waiting(pid_t pid, const weft__message *m, weft_until until)
{
    int err;
    while ((err = send_request(pid, m)) == -EAGAIN) {
        if (weft_left(until) == 0)
            return -ETIMEDOUT;
        weft_sleep(weft_in_ms(1));
    }
    return err;
}

/* -EPIPE: it ended without an answer. */
static int await_answer(int fd, weft__held *held, weft_until until)
{
    answer a = {0};
    int err = weft_fd_wait(fd, WEFT_POLLIN, until);
    weft__message m = {.head = &a, .head_size = sizeof a, .fds = &held->pidfd, .fd_count = 1};
    if (err < 0)
        return err;
    long size = weft__sys_message_receive(fd, &m);
    if (size < (long)sizeof a)
        return size < 0 && size != -ECONNRESET ? (int)size : -EPIPE;
    if (a.err == 0 && m.fd_count == 0)
        return -EMFILE; /* it came, and there was no room for it here */
    held->pid = a.pid;
    held->status = fd;
    return a.err;
}

/* Send the request with fds[1] for the answer, and wait for that at answer_fd. */
static int ask(request *q, const void *bytes, int *fds, unsigned n, int answer_fd, weft__held *held)
{
    weft_until until = weft_in_seconds(ANSWER_SECONDS);
    pid_t pid = weft_forkserver_pid();
    weft__message m = {.head = q, .head_size = sizeof *q, .fds = fds, .fd_count = n};
    if (q->arg_size > 0 && !q->in_file) {
        m.data = (void *)bytes;
        m.size = q->arg_size;
    }
    int err = send_waiting(pid, &m, until);
    weft__sys_close(fds[0]); /* only the server's copy is left: its death ends the socket */
    if (err == 0)
        err = await_answer(answer_fd, held, until);
    if (err == -EPIPE)
        forget(pid);
    return err;
}

int weft__server_child(const weft__child *c, size_t arg_size, bool daemon, weft__held *held)
{
    request q = {.fn = c->fn,
                 .arg = c->arg,
                 .arg_size = arg_size,
                 .in_file = arg_size > INLINE_MAX,
                 .daemon = daemon,
                 .keep_stdin = c->keep_stdin};
    int fds[FDS_MAX], ends[2], file = -1;
    int err = weft_forkserver_start();
    if (err < 0)
        return err;
    memcpy(q.name, c->name, sizeof q.name);
    if (q.in_file && (file = weft__sys_memory_file(c->arg, arg_size)) < 0)
        return file;
    if ((err = weft__sys_message_pair(ends)) < 0)
        goto close_file;
    unsigned n = 0;
    fds[n++] = ends[1];
    if (q.in_file)
        fds[n++] = file;
    if (c->fd_count > 0)
        memcpy(fds + n, c->fds, c->fd_count * sizeof *fds);
    int was = weft_shield(1); /* a child that was asked for is to be held */
    err = ask(&q, c->arg, fds, n + c->fd_count, ends[0], held);
    weft_shield(was);
    if (err < 0)
        weft__sys_close(ends[0]);
close_file:
    if (file >= 0)
        weft__sys_close(file);
    return err;
}

int weft__server_code(int pidfd, int status, int *code)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN}, report = {.fd = status, .events = POLLIN};
    if (weft__sys_poll(&end, 1, 0) <= 0)
        return -EAGAIN;
    weft__sys_poll(&report, 1,
                   weft__sys_now() + REPORT_NS); /* it ended: the server, if there is one, is about to say so */
    answer a;
    weft__message m = {.head = &a, .head_size = sizeof a};
    long size = weft__sys_message_receive(status, &m);
    if (size == (long)sizeof a) {
        *code = a.code;
        return 0;
    }
    if (size == -EAGAIN)
        return -EAGAIN;
    pid_t pid = weft_forkserver_pid();
    rawlock_acquire(&server.lock);
    bool dead = server.pid == pid && pid != 0 && gone(server.fd);
    rawlock_release(&server.lock);
    if (dead)
        forget(pid);
    return -ECHILD;
}

/* ---- fork ---- */

static void before_fork(void)
{
    rawlock_acquire(&server.lock);
}

static void after_fork_parent(void)
{
    rawlock_release(&server.lock);
}

/* The server is the parent's; the child may have its own. */
static void after_fork_child(void)
{
    server.lock.word = 0;
    if (server.fd >= 0)
        weft__sys_close(server.fd);
    if (server.pidfd >= 0)
        weft__sys_close(server.pidfd);
    server.fd = server.pidfd = -1;
    server.pid = 0;
}

__attribute__((constructor(102))) static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
