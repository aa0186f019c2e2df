/* worker_process.c - what a worker of a process pool does, in its own process: take the next job from its segment, run
 * it, put the answer there, and ring when nobody looks and there is nothing else to do. It knows nothing of the pool.
 *
 * A worker without work looks for a moment before it sleeps, as long as that paid of late.
 * Pinned by tests/pool/process_pool_test.c and process_chaos_test.c. */
#include "pool/segment.h"

#include "base/panic.h"
#include "park/park.h"
#include "pool/bytes.h"
#include "pool/pool.h"
#include "sys/limit.h"
#include "sys/message.h"
#include "sys/net.h"
#include "sys/sys.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    RING_AFTER = WEFT__SLOTS / 2, /* answers that nobody has been told of */
    SPINS_MAX = 2000              /* looks, some tens of microseconds */
};

typedef struct worker {
    const weft__recruit *r;
    weft__segment *seg;
    uint32_t at;   /* position of the next job */
    uint32_t told; /* position up to which the parent may have been told */
    uint32_t spins;
    uint32_t epoch;
    int64_t reported;
    weft_reply reply;
    char *input; /* of a job whose bytes came as a file */
    size_t input_room;
} worker;

static void ring(worker *w)
{
    w->told = w->at;
    if (weft__listener_take(w->r->listener))
        weft__sys_eventfd_set(w->r->bell);
}

/* ---- bytes ---- */

/* The memory file that came for this slot. A descriptor, or an error. */
static int receive_file(const worker *w)
{
    uint32_t position;
    int fd = -1;
    weft__message m = {.head = &position, .head_size = sizeof position, .fds = &fd, .fd_count = 1};
    long n = weft__sys_message_receive(w->r->socket, &m);
    if (n == (long)sizeof position && m.fd_count == 1 && position == w->at)
        return fd;
    if (m.fd_count == 1)
        weft__sys_close(fd);
    return n < 0 ? (int)n : -EPROTO;
}

static int read_file(worker *w, size_t size)
{
    int fd = receive_file(w);
    if (fd < 0)
        return fd;
    int err = 0;
    if (size > w->input_room) {
        weft__free(w->input);
        w->input = weft__malloc(size);
        w->input_room = w->input != NULL ? size : 0;
        err = w->input != NULL ? 0 : -ENOMEM;
    }
    if (err == 0)
        err = weft__sys_memory_file_read(fd, w->input, size);
    weft__sys_close(fd);
    return err;
}

static int find_input(worker *w, weft__shared_slot *s, const void **in)
{
    switch (s->where) {
    case WEFT__IN_SLOT:
        *in = s->small;
        return 0;
    case WEFT__IN_BLOCK:
        *in = w->seg->blocks[w->at % WEFT__SLOTS];
        return 0;
    default: {
        int err = read_file(w, s->size);
        *in = w->input;
        return err;
    }
    }
}

static int send_file(const worker *w, const void *data, size_t size)
{
    int fd = weft__sys_memory_file(data, size);
    if (fd < 0)
        return fd;
    uint32_t position = w->at;
    weft__message m = {.head = &position, .head_size = sizeof position, .fds = &fd, .fd_count = 1};
    int err = weft__sys_message_send(w->r->socket, &m);
    weft__sys_close(fd);
    return err;
}

static int put_answer(worker *w, weft__shared_slot *s, const void *data, size_t size)
{
    s->size = size;
    if (size <= sizeof s->small) {
        s->where = WEFT__IN_SLOT;
        memcpy(s->small, data, size);
        return 0;
    }
    if (size <= WEFT__BLOCK) {
        s->where = WEFT__IN_BLOCK;
        memcpy(w->seg->blocks[w->at % WEFT__SLOTS], data, size);
        return 0;
    }
    s->where = WEFT__IN_FILE;
    return send_file(w, data, size);
}

/* ---- a job ---- */

static void report(weft_reply *reply, uint64_t done, uint64_t total)
{
    worker *w = container_of(reply, worker, reply);
    weft__shared_slot *s = &w->seg->slots[w->at % WEFT__SLOTS];
    store_relaxed(&s->done, done);
    store_relaxed(&s->total, total);
    store_seq_cst(&s->reports, s->reports + 1);
    int64_t now = weft_now();
    if (done >= total || now - w->reported >= WEFT_MS) { /* a bell for each byte would cost more than the byte */
        w->reported = now;
        ring(w);
    }
}

static void run(worker *w, weft__shared_slot *s)
{
    const void *in = NULL;
    weft__reply_reset(&w->reply);
    w->reply.progress = s->progress ? report : NULL;
    int err = find_input(w, s, &in);
    if (err == 0)
        err = s->fn(in, s->size, &w->reply);
    if (unlikely(load_relaxed(&weft__pools_epoch) != w->epoch)) /* the job has forked, and this is the child */
        _exit(0);
    if (err >= 0) {
        err = put_answer(w, s, w->reply.data, w->reply.size);
    }
    if (err < 0) {
        const char *why = w->reply.why != NULL ? w->reply.why : "";
        size_t size = strlen(why);
        put_answer(w, s, why, size < WEFT__BLOCK ? size : WEFT__BLOCK);
    }
    s->error = err < 0 ? err : 0;
    fflush(stdout);
    w->at++;
    weft__slot_end(s, WEFT__SLOT_DONE);
}

static void skip(worker *w, weft__shared_slot *s)
{
    int fd = s->where == WEFT__IN_FILE ? receive_file(w) : -1;
    if (fd >= 0)
        weft__sys_close(fd);
    w->at++;
    weft__slot_end(s, WEFT__SLOT_SKIPPED);
}

/* Do what the next slot asks for. Whether there was something. */
static bool step(worker *w)
{
    weft__shared_slot *s = &w->seg->slots[w->at % WEFT__SLOTS];
    enum weft__slot_state state = weft__slot_begin(s);
    if (state == WEFT__SLOT_RUNNING) {
        run(w, s);
        if (w->at - w->told >= RING_AFTER)
            ring(w);
        return true;
    }
    if (state != WEFT__SLOT_REVOKED)
        return false;
    skip(w, s);
    return true;
}

/* Look for a while. Whether there is something. */
static bool look(worker *w)
{
    const weft__shared_slot *s = &w->seg->slots[w->at % WEFT__SLOTS];
    for (uint32_t i = 0; i < w->spins; i++) {
        cpu_relax();
        uint32_t state = load_relaxed(&s->state);
        if (state == WEFT__SLOT_QUEUED || state == WEFT__SLOT_REVOKED) {
            w->spins = w->spins * 2 < SPINS_MAX ? w->spins * 2 : SPINS_MAX;
            return true;
        }
    }
    w->spins = w->spins > SPINS_MAX / 8 ? w->spins / 2 : w->spins;
    return false;
}

/* ---- its life ---- */

/* What the parent does with signals is not for its workers. */
static void set_signals(void)
{
    static const int by_default[] = {SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};
    for (size_t i = 0; i < WEFT__ARRAY_LEN(by_default); i++)
        signal(by_default[i], SIG_DFL);
    signal(SIGINT, SIG_IGN);
}

static int begin(worker *w)
{
    const weft__recruit *r = w->r;
    set_signals();
    if (r->memory_limit != 0)
        weft__sys_limit_memory(r->memory_limit);
    int err = r->initializer != NULL ? r->initializer(r->initializer_arg) : 0;
    if (err < 0)
        w->seg->error = err;
    store_seq_cst(&w->seg->ready, err < 0 ? 2 : 1);
    ring(w);
    return err;
}

int weft__worker_process(const weft__recruit *r)
{
    static worker it; /* its answers are too large for some stacks */
    worker *w = &it;
    *w = (worker){.r = r, .seg = r->segment, .epoch = load_relaxed(&weft__pools_epoch)};
    w->spins = weft__may_spin() ? SPINS_MAX : 0;
    weft__reply_init(&w->reply, r->message_limit);
    if (begin(w) < 0)
        return 1;
    while (load_seq_cst(&w->seg->quit) == 0) {
        if (step(w))
            continue;
        if (w->told != w->at)
            ring(w);
        if (!look(w))
            weft__slot_await(w->seg, &w->seg->slots[w->at % WEFT__SLOTS]);
    }
    return 0;
}
