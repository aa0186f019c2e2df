/* process_queue.c - messages between two processes: weft_shared_queue beside a pipe, a SEQPACKET socket pair, a POSIX
 * message queue, Boost.Interprocess's message_queue and ZeroMQ over ipc://. One way, an operation is one message sent
 * by one process and received by the other; there and back, two. On two cores each process has its own; ".cores = 1"
 * puts both on one. All messages of a run are of one size, as the peers like it. */
#include "core.h"
#include "peers/ipc_peers.h"

#include <weft/shared_queue.h>

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LARGEST = 4096
};

/* A way to send messages, over two lanes: make is called before the fork, join after it in each process. */
typedef struct way {
    void (*make)(unsigned lane, size_t size);
    void (*join)(unsigned lane, int sends);
    void (*send)(unsigned lane, const void *message, size_t size);
    void (*receive)(unsigned lane, void *message, size_t size);
    const char *missing; /* why there is none */
} way;

/* ---- weft ---- */

static weft_shared_queue *queues[2];

static void weft_make(unsigned lane, size_t size)
{
    (void)size;
    BENCH_MUST(weft_shared_queue_new(&queues[lane], NULL));
}

static void weft_send(unsigned lane, const void *message, size_t size)
{
    BENCH_MUST(weft_shared_queue_put(queues[lane], message, size, WEFT_FOREVER));
}

static void weft_receive(unsigned lane, void *message, size_t size)
{
    BENCH_MUST(weft_shared_queue_get(queues[lane], message, size, &size, WEFT_FOREVER));
}

static const way by_weft = {.make = weft_make, .send = weft_send, .receive = weft_receive};

/* ---- what the system gives ---- */

static int fds[2][2];

static void pipe_make(unsigned lane, size_t size)
{
    (void)size;
    BENCH_MUST(pipe2(fds[lane], O_CLOEXEC));
    fcntl(fds[lane][1], F_SETPIPE_SZ, 1 << 20);
}

static void pipe_send(unsigned lane, const void *message, size_t size)
{
    BENCH_MUST(write(fds[lane][1], message, size));
}

static void pipe_receive(unsigned lane, void *message, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fds[lane][0], (char *)message + got, size - got);
        BENCH_MUST(n > 0 ? 0 : -1);
        got += (size_t)n;
    }
}

static const way by_pipe = {.make = pipe_make, .send = pipe_send, .receive = pipe_receive};

static void socket_make(unsigned lane, size_t size)
{
    (void)size;
    BENCH_MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds[lane]));
}

static void socket_send(unsigned lane, const void *message, size_t size)
{
    BENCH_MUST(send(fds[lane][1], message, size, 0));
}

static void socket_receive(unsigned lane, void *message, size_t size)
{
    BENCH_MUST(recv(fds[lane][0], message, size, 0));
}

static const way by_seqpacket = {.make = socket_make, .send = socket_send, .receive = socket_receive};

static mqd_t mqs[2];

static void mq_make(unsigned lane, size_t size)
{
    char name[64];
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = (long)size}; /* what an ordinary user may have */
    snprintf(name, sizeof name, "/weft-bench-%d-%u", (int)getpid(), lane);
    mqs[lane] = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
    BENCH_MUST(mqs[lane]);
    mq_unlink(name);
}

static void mq_put(unsigned lane, const void *message, size_t size)
{
    BENCH_MUST(mq_send(mqs[lane], message, size, 0));
}

static void mq_get(unsigned lane, void *message, size_t size)
{
    BENCH_MUST(mq_receive(mqs[lane], message, size, NULL));
}

static const way by_mq = {.make = mq_make, .send = mq_put, .receive = mq_get};

/* ---- libraries ---- */

#if BENCH_HAVE_BOOST_IPC
static const way by_boost = {.make = peer_boost_make, .send = peer_boost_send, .receive = peer_boost_receive};
#else
static const way by_boost = {.missing = "Boost.Interprocess is not installed"};
#endif
#if BENCH_HAVE_ZMQ
static const way by_zmq = {
    .make = peer_zmq_make, .join = peer_zmq_join, .send = peer_zmq_send, .receive = peer_zmq_receive};
#else
static const way by_zmq = {.missing = "ZeroMQ is not installed"};
#endif

/* ---- the two processes ---- */

static pid_t start(bench *b, const way *w, unsigned lanes, size_t size)
{
    if (w->missing != NULL)
        bench_skip(b, "%s", w->missing);
    for (unsigned lane = 0; lane < lanes; lane++)
        w->make(lane, size);
    pid_t pid = fork();
    BENCH_MUST(pid);
    core_keep_to(pid == 0);
    for (unsigned lane = 0; lane < lanes && w->join != NULL; lane++)
        w->join(lane, (pid == 0) == (lane == 0)); /* the child sends on lane 0 */
    return pid;
}

static void end(pid_t pid)
{
    int status;
    BENCH_MUST(waitpid(pid, &status, 0));
    BENCH_MUST(status == 0 ? 0 : -1);
}

static void run_oneway(bench *b, const way *w, size_t size)
{
    static char message[LARGEST];
    pid_t pid = start(b, w, 1, size);
    if (pid == 0) {
        for (uint64_t i = 0; i <= b->n; i++)
            w->send(0, message, size);
        if (w->join != NULL)
            core_sleep_ms(100000); /* what it still has to send goes on behind the program's back; killed below */
        _exit(0);
    }
    w->receive(0, message, size);
    bench_start(b);
    for (uint64_t i = 0; i < b->n; i++)
        w->receive(0, message, size);
    bench_stop(b);
    if (w->join == NULL)
        end(pid);
    else
        kill(pid, SIGKILL), waitpid(pid, NULL, 0);
}

static void run_roundtrip(bench *b, const way *w, size_t size)
{
    static char message[LARGEST];
    pid_t pid = start(b, w, 2, size);
    if (pid == 0) {
        for (uint64_t i = 0; i <= b->n + 1; i++) {
            w->send(0, message, size);
            w->receive(1, message, size);
        }
        if (w->join != NULL)
            core_sleep_ms(100000);
        _exit(0);
    }
    for (uint64_t i = 0; i <= b->n + 1; i++) {
        w->receive(0, message, size);
        if (i == 1) /* both lanes have been used */
            bench_start(b);
        w->send(1, message, size);
    }
    bench_stop(b);
    if (w->join == NULL)
        end(pid);
    else
        kill(pid, SIGKILL), waitpid(pid, NULL, 0);
}

#define BESIDE(what, size, peer, target, ...)                                                                          \
    BENCH_BASELINE(ipc_##what##_##peer, __VA_ARGS__)                                                                   \
    {                                                                                                                  \
        RUN(b, &by_##peer, size);                                                                                      \
    }                                                                                                                  \
    BENCH(shared_queue_##what##_beside_##peer, .baseline = "ipc_" #what "_" #peer, .at_most = (target), __VA_ARGS__)   \
    {                                                                                                                  \
        RUN(b, &by_weft, size);                                                                                        \
    }
#define BESIDE_ALL(what, size, target, ...)                                                                            \
    BESIDE(what, size, pipe, target, __VA_ARGS__)                                                                      \
    BESIDE(what, size, seqpacket, target, __VA_ARGS__)                                                                 \
    BESIDE(what, size, mq, target, __VA_ARGS__)                                                                        \
    BESIDE(what, size, boost, target, __VA_ARGS__)                                                                     \
    BESIDE(what, size, zmq, target, __VA_ARGS__)

#define RUN run_oneway
BESIDE_ALL(oneway_64, 64, 0.5, .cores = 0)
BESIDE_ALL(oneway_4096, 4096, 0.833, .cores = 0)
BESIDE_ALL(oneway_64_1core, 64, 1.0, .cores = 1)
#undef RUN
#define RUN run_roundtrip
BESIDE_ALL(roundtrip_64, 64, 0.2, .cores = 0)
BESIDE_ALL(roundtrip_64_1core, 64, 1.0, .cores = 1)
