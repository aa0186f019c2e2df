/* process_worker.c - a worker process: what it hears (from its supervisor, and by SIGTERM) and says. Rules P1, P7 and
 * P8 of processes.c. Pinned by tests/serve/processes_test.c, room_test.c and handover_test.c. */
#include "serve/processes.h"

#include "io/watch.h"
#include "park/park.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <weft/poller.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum {
    SIGNAL_STACK = 64 * 1024,
    TOLD_STACK = 256 * 1024 /* runs on_tell */
};

void weft__processes_report(const weft_server *s, int kind, int value)
{
    struct weft__report r = {s->child, kind, value};
    (void)weft__sys_pipe_write(s->reports, &r, sizeof r); /* smaller than what a pipe takes whole */
}

void weft__processes_ask_to_stop(weft__front *f, enum weft__stop how, int64_t grace)
{
    int64_t old = load_relaxed(&f->grace);
    while (grace < old && !cas_seq_cst(&f->grace, &old, grace)) {
    }
    uint32_t was = load_relaxed(&f->stopping);
    while (was < how && !cas_seq_cst(&f->stopping, &was, how)) {
    }
}

void weft__processes_stop(weft_server *s, enum weft__stop how, int64_t grace)
{
    weft__processes_ask_to_stop(s->front, how, grace);
    weft__processes_report(s, WEFT__REPORT_STOP, 0);
}

bool weft__processes_all_taken(const weft_server *s)
{
    weft_server_stats stats;
    fence_seq_cst(); /* pairs with the supervisor's: it sees our client, or we see that it has stopped looking */
    weft_server_get_stats(s, &stats);
    return stats.open >= weft_server_capacity(s);
}

void weft__processes_taken(weft_server *s)
{
    uint32_t no = 0;
    if (weft__processes_all_taken(s) && load_relaxed(&s->front->full) == 0 && cas_seq_cst(&s->front->full, &no, 1))
        weft__processes_report(s, WEFT__REPORT_FULL, 0);
}

int weft__processes_run_on_tell(weft_server *s, int what)
{
    int err = s->options.on_tell != NULL ? s->options.on_tell(what, s->options.arg) : 0;
    int32_t none = 0;
    if (err < 0 && s->front != NULL)
        (void)cas_seq_cst(&s->front->tell_error, &none, err);
    return err;
}

bool weft__processes_others_hold_fewer(const weft_server *s, uint64_t most)
{
    for (unsigned i = 0; i < s->front->sets; i++) {
        const weft__worker *set = weft__processes_set(s->front, s, i);
        uint64_t open = 0;
        bool accepting = false;
        for (unsigned k = 0; k < s->nworkers; k++) {
            open += load_relaxed(&set[k].open);
            accepting |= load_acquire(&set[k].accepting);
        }
        if (i != s->child && accepting && open < most)
            return true;
    }
    return false;
}

uint32_t weft__processes_hear(weft_server *s)
{
    uint32_t told = load_seq_cst(&s->front->told);
    if (told != s->heard)
        (void)weft__processes_run_on_tell(s, load_seq_cst(&s->front->what));
    s->heard = told;
    return told;
}

/* A thread of the worker's: what the supervisor says (P1). */
static void *listen_to_supervisor(void *arg)
{
    weft_server *s = arg;
    char bytes[64];
    while (weft__sys_pipe_read(s->control, bytes, sizeof bytes) > 0) {
        weft__seat *seat = weft__processes_seats(s) > 0 ? &s->front->seats[s->child] : NULL;
        if (seat != NULL && load_seq_cst(&seat->asked))
            weft__wake(&seat->asked, 1, 0);
        if (load_seq_cst(&s->front->stopping) != WEFT__STOP_NOT)
            weft__server_stop_here(s, load_seq_cst(&s->front->stopping), load_seq_cst(&s->front->grace));
        weft__processes_report(s, WEFT__REPORT_HEARD, (int)weft__processes_hear(s));
    }
    return NULL; /* it has ended, and so will this process */
}

void weft__processes_hold_signal(weft_server *s)
{
    s->holds_signal = weft__sys_hold_signal(SIGTERM);
}

/* A thread of the worker's (P7). */
static void *wait_for_signal(void *arg)
{
    weft_server *s = arg;
    weft__sys_await_signal(SIGTERM);
    store_seq_cst(&weft__processes_set(s->front, s, s->child)->leaving, true);
    weft__server_stop_here(s, WEFT__STOP_RETIRE, INT64_MAX);
    weft__sys_await_signal(SIGTERM);
    weft__server_stop_here(s, WEFT__STOP_CLOSE, 0);
    return NULL;
}

int weft__processes_listen(weft_server *s)
{
    int err = weft__sys_thread(listen_to_supervisor, s, TOLD_STACK);
    return err < 0 || !s->holds_signal ? err : weft__sys_thread(wait_for_signal, s, SIGNAL_STACK);
}

/* ---- serving ---- */

int weft__processes_serve_client(weft_server *s, int fd)
{
    static weft__worker own; /* stays: the thread that listens to the supervisor may look at it until the very end */
    weft__worker *all = s->front->workers;
    weft__worker_init(&own, s, 0);
    own.seat = &s->front->seats[s->child];
    own.tally = &all->calls;
    own.let_in = &all->accepted;
    own.last_id = s->clients; /* no two processes have the same */
    s->workers = &own;
    s->per_address = NULL; /* the supervisor counts */
    weft__listen_close(s, 0);
    if (weft__processes_listen(s) < 0)
        return 1;
    weft__thread_serve_one(s, fd);
    add_relaxed(&all->timeouts, own.timeouts);
    add_relaxed(&all->cuts, own.cuts);
    add_relaxed(&all->handshakes, own.handshakes);
    add_relaxed(&all->broken, own.broken);
    return 0;
}

int weft__processes_serve_many(weft_server *s)
{
    for (unsigned i = 0; i < s->nworkers; i++) {
        weft__worker *w = weft__processes_set(s->front, s, s->child) + i;
        weft__worker_init(w, s, i);
        w->last_id = (uint64_t)getpid() << 32;
    }
    s->workers = weft__processes_set(s->front, s, s->child);
    int err = weft__processes_listen(s);
    if (err == 0)
        err = s->model->start(s);
    weft__processes_report(s, WEFT__REPORT_STARTED, err);
    if (err < 0)
        return 1;
    (void)weft_server_wait(s, WEFT_FOREVER);
    return 0;
}

/* ---- the process of one client (P8) ---- */

int weft__processes_wait(weft_conn *c, enum weft__turn_wait waits, unsigned events, int64_t until)
{
    weft__seat *seat = c->worker->seat;
    bool works = waits == WEFT__WAIT_OUTPUT || (load_relaxed(&c->flags) & WEFT__CONN_BUSY);
    int64_t patience = works ? weft__sys_now() + WEFT__ROOM_LONG_MS * WEFT_MS : 0;
    if (works)
        weft__seat_show(seat, WEFT__SEAT_STALLS, load_relaxed(&c->stalled));
    else if (load_relaxed(&c->state) == WEFT__CONN_LINGERING)
        weft__seat_show(seat, WEFT__SEAT_LINGERS, load_relaxed(&c->since));
    else
        weft__seat_show(seat, WEFT__SEAT_IDLES, load_relaxed(&c->since));
    weft__case words[] = {{.word = &seat->asked, .expected = 0, .what = "descriptor"},
                          {.word = &c->turn->over, .expected = 0, .what = "descriptor"}};
    weft__fd_case ready = {.fd = c->slot.fd, .events = events};
    unsigned n = weft__conn_may_be_called(c, waits) ? 2 : 1;
    int r = weft__fd_park_any(words, n, &ready, 1, (weft_until){until});
    if (r == 0) { /* asked: what has arrived by now is served nevertheless */
        r = weft__fd_wait_any(&ready, 1, (weft_until){patience < until ? patience : until});
        if (r == -ETIMEDOUT && patience < until)
            weft__conn_break(c, -ECONNABORTED);
    }
    weft__seat_show(seat, WEFT__SEAT_WORKS, 0);
    return r < 0 ? r : 0;
}
