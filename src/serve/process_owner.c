/* process_owner.c - a server of several processes in its owner's process: it starts the supervisor, tells it what is
 * wanted and learns of its end. Rules P1, P2 and P5 of processes.c. Pinned by tests/serve/processes_test.c and
 * supervisor_test.c. */
#include "serve/packet.h"
#include "serve/processes.h"

#include <weft/co.h>
#include <weft/poller.h>
#include <weft/process.h>

#include "io/watch.h"
#include "park/park.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    WATCH_STACK = 64 * 1024
};

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int weft__processes_open(weft_server *s)
{
    void *p;
    unsigned sets = s->single ? 1 : s->options.processes;
    size_t workers = (size_t)sets * s->nworkers;
    size_t size = sizeof(weft__front) + workers * sizeof(weft__worker) + weft__processes_seats(s) * sizeof(weft__seat);
    int err = weft__sys_map_shared(&p, size);
    if (err < 0)
        return err;
    s->front = p;
    s->front->grace = INT64_MAX;
    s->front->sets = sets;
    s->front->seats = (weft__seat *)(void *)(s->front->workers + workers);
    s->front->size = size;
    return 0;
}

void weft__processes_close(weft_server *s)
{
    if (s->front != NULL)
        (void)weft__sys_unmap(s->front, s->front->size);
    s->front = NULL;
}

/* Nobody can be told any more. */
static void close_owner(weft_server *s)
{
    weft_lock_acquire(&s->owner_lock);
    weft__sys_close(s->owner_fds[0]);
    s->owner_fds[0] = -1;
    s->watcher = NULL;
    weft_lock_release(&s->owner_lock);
}

/* When a supervisor that was told to stop is to have ended (P5). */
static int64_t overdue(const weft_server *s)
{
    if (load_seq_cst(&s->front->stopping) == WEFT__STOP_NOT)
        return INT64_MAX;
    int64_t grace = load_seq_cst(&s->front->grace), now = weft__sys_now(), after = 3 * WEFT__KILL_AFTER_MS * WEFT_MS;
    int64_t from = grace > now ? grace : now;
    return from > INT64_MAX - after ? INT64_MAX : from + after;
}

/* The supervisor may have been stopped (SIGSTOP), or be held up by on_death or on_tell. */
static void await_supervisor(weft_server *s)
{
    weft__waiter *self = weft__self();
    int64_t until = INT64_MAX;
    int err;
    do {
        store_seq_cst(&self->cancel, 0); /* it only says that there is something new in front */
        until = sooner(until, overdue(s));
        err = weft_process_join(&s->supervisor, NULL, (weft_until){until});
    } while (err == -ECANCELED);
    if (err != -ETIMEDOUT)
        return;
    weft_shield(1);
    (void)weft_process_kill(&s->supervisor);
    (void)weft_process_join(&s->supervisor, NULL, WEFT_FOREVER);
}

/* How the start went, as the supervisor tells. A stop that comes meanwhile is waited for no longer than at other times
 * (P5): a worker may hang in state_open. */
static int await_start(weft_server *s)
{
    weft__waiter *self = weft__self();
    weft__fd_case cases[] = {{.fd = s->owner_fds[0], .events = WEFT_POLLIN},
                             {.fd = weft_process_sentinel(&s->supervisor), .events = WEFT_POLLIN}};
    int32_t result = -ECHILD;
    int64_t until = INT64_MAX;
    int n;
    do {
        store_seq_cst(&self->cancel, 0); /* as in await_supervisor */
        until = sooner(until, overdue(s));
        n = weft__fd_wait_any(cases, 2, (weft_until){until});
    } while (n == -ECANCELED);
    if (n == -ETIMEDOUT) {
        (void)weft_process_kill(&s->supervisor);
        return 0;
    }
    if (n < 0)
        return n;
    if (cases[0].got != 0 && weft__sys_recv(s->owner_fds[0], &result, sizeof result, MSG_DONTWAIT) != sizeof result)
        result = -ECHILD;
    int32_t why = result == -ECHILD ? load_seq_cst(&s->front->result) : 0; /* it could not say more than this */
    return why < 0 ? why : result;
}

static void end_supervisor(weft_server *s)
{
    int was = weft_shield(1);
    (void)weft_process_kill(&s->supervisor);
    (void)weft_process_join(&s->supervisor, NULL, WEFT_FOREVER);
    weft_shield(was);
    (void)weft_process_close(&s->supervisor);
    close_owner(s);
}

/* Learns how the start went, tells whoever waits for that, and learns of the end. */
static void *watch_supervisor(void *arg)
{
    weft_server *s = arg;
    weft_lock_acquire(&s->owner_lock);
    s->watcher = weft__self();
    weft_lock_release(&s->owner_lock);
    int err = await_start(s);
    store_relaxed(&s->start_error, err);
    if (err < 0)
        end_supervisor(s);
    store_seq_cst(&s->starting, 0);
    weft__wake(&s->starting, UINT32_MAX, 0);
    if (err == 0) {
        await_supervisor(s);
        (void)weft_process_close(&s->supervisor);
        close_owner(s);
        if (!weft__server_stopping(s) && load_seq_cst(&s->front->result) == 0 &&
            load_seq_cst(&s->front->stopping) == WEFT__STOP_NOT)
            store_seq_cst(&s->front->result, -ECHILD); /* somebody has killed it */
        s->result = load_seq_cst(&s->front->result);
    }
    store_seq_cst(&s->front->heard, load_seq_cst(&s->front->told)); /* there is nobody left to hear it */
    weft__wake(&s->front->heard, UINT32_MAX, WEFT__SHARED_WORD);
    weft__thread_eventfd_close();
    weft__server_ended(s);
    return NULL;
}

static void processes_notify(weft_server *s);

static int processes_start(weft_server *s)
{
    int ends[2];
    int err = weft__sys_socketpair(SOCK_STREAM, ends);
    if (err < 0)
        goto fail;
    s->owner_fds[1] = ends[1];
    weft_lock_acquire(&s->owner_lock);
    s->owner_fds[0] = ends[0];
    weft_lock_release(&s->owner_lock);
    weft_process_options options = {.name = "weft server", .daemon = 1, .keep_stdin = 1};
    bool packets = s->single && weft__is_packet(s);
    err = weft_process_start(&s->supervisor, packets ? weft__packet_supervise : weft__processes_supervise, s, &options);
    weft__sys_close(ends[1]);
    if (err < 0)
        goto fail_pair;
    weft_lock_acquire(&s->owner_lock);
    s->supervised = true;
    weft_lock_release(&s->owner_lock);
    if (weft__server_stopping(s)) /* since before there was somebody to tell */
        processes_notify(s);
    store_seq_cst(&s->starting, 1);
    err = weft__sys_thread(watch_supervisor, s, WATCH_STACK);
    if (err < 0) {
        end_supervisor(s);
        goto fail;
    }
    while (load_seq_cst(&s->starting) > 0)
        (void)weft__park(&s->starting, 1, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server start");
    return load_relaxed(&s->start_error);
fail_pair:
    close_owner(s);
fail:
    weft__server_ended(s);
    return err;
}

static void processes_notify(weft_server *s)
{
    weft__processes_ask_to_stop(s->front, load_seq_cst(&s->stopping), load_seq_cst(&s->grace));
    weft_lock_acquire(&s->owner_lock);
    if (s->owner_fds[0] >= 0 && s->supervised) {
        for (unsigned i = 0; i < s->nworkers; i++)
            weft__listen_close(s, i);
        (void)weft__sys_send(s->owner_fds[0], &(char){WEFT__BYTE_STOP}, 1, MSG_DONTWAIT);
        if (s->watcher != NULL)
            weft__waiter_cancel(s->watcher);
    }
    weft_lock_release(&s->owner_lock);
}

int weft_server_tell(weft_server *s, int what, weft_until until)
{
    if (s->in_child)
        return -EINVAL;
    int err = weft__processes_run_on_tell(s, what);
    if (s->front == NULL)
        return err;
    int locked = weft_lock_acquire_until(&s->tell_lock, until);
    if (locked < 0)
        return locked;
    store_seq_cst(&s->front->what, what);
    store_seq_cst(&s->front->tell_error, err < 0 ? err : 0);
    weft_lock_acquire(&s->owner_lock);
    uint32_t told = load_seq_cst(&s->front->told);
    if (s->owner_fds[0] >= 0) {
        store_seq_cst(&s->front->told, ++told);
        (void)weft__sys_send(s->owner_fds[0], &(char){WEFT__BYTE_TELL}, 1, MSG_DONTWAIT);
    }
    weft_lock_release(&s->owner_lock);
    err = 0;
    for (uint32_t heard; err == 0 && (heard = load_seq_cst(&s->front->heard)) != told;)
        err = weft__park(&s->front->heard, heard, until, WEFT__SHARED_WORD, "server tell");
    if (err == 0)
        err = load_seq_cst(&s->front->tell_error);
    weft_lock_release(&s->tell_lock);
    return err;
}

const weft__model weft__model_processes = {.name = "processes", .start = processes_start, .notify = processes_notify};
