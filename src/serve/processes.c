/* processes.c - a server of several processes: any model in each of them, or one process for each client.
 *
 * The owner's process starts a *supervisor*, which has one thread and runs no handler, so it may fork at any time. It
 * starts the worker processes, which serve by the model of the options on the listening sockets that all inherit; or,
 * in the model "process", it accepts by itself and starts one for each client. Counts lie in shared memory.
 * P1 told:     owner -> supervisor by a byte on a socket, supervisor -> worker by a byte on a pipe of its own; workers
 *              -> supervisor by messages on one pipe. Each says only that there is something in front to look at: the
 *              stop, `told`. So neither owner nor supervisor waits for who does not read: a byte lies there already.
 * P2 together: a worker is killed when its supervisor ends (a death signal), the supervisor when its owner does (a
 *              pidfd or a death signal, see process.c), whatever ends them.
 * P3 reaped:   each child is held by a pidfd that the supervisor's poller watches.
 * P4 no storm: who dies within a second of its start is replaced after a pause that doubles up to 8 s; when all have
 *              died young five times over, and none is older, the server ends with -ECHILD.
 * P5 the end:  a worker that is still there a second after the grace, or after it was told of one that has passed, is
 *              killed: the kernel takes all that it had. Two seconds later so is the supervisor, by its owner.
 * P6 the line: clients that find every process taken stay in the kernel's queue; the supervisor keeps it short.
 * P7 SIGTERM:  a worker finishes what it has, as when the server retires, and is replaced; a second one cuts it. The
 *              supervisor holds the signal, so that its children have it held from their first moment.
 * P8 room:     a client's process shows what it waits for, in its seat. When max_connections run, a newcomer has one of
 *              them asked to leave (room.c), and is not kept waiting until it has: there are some seats more. Who is
 *              asked goes when it would wait for a request; so it loses none, and nobody waits for one that is stopped.
 * The owner's side is process_owner.c, a worker's process_worker.c. Pinned by tests/serve (every case runs in processes
 * too), tests/serve/processes_test.c and room_test.c. */
#include "serve/processes.h"
#include "serve/packet.h"
#include "serve/per_address.h"

#include <weft/poller.h>
#include <weft/process.h>

#include "park/park.h"
#include "sys/multiplex.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

enum {
    YOUNG_MS = 1000,
    PAUSE_LEAST_MS = 125,
    PAUSE_MOST_MS = 8000,
    EARLY_DEATHS_MAX = 5,
    RETRY_MS = 50,
    LINE_MS = 20, /* how often the line is looked at while every process is taken */
    EVENTS = 64
};

struct child {
    weft_process process;
    int control; /* our end of its pipe; -1: it is not running */
    bool reported;
    bool untold;               /* on_tell has not run in it for the present front->told */
    uint32_t place;            /* of its client: per_address.h */
    int64_t started, start_at; /* ns; INT64_MAX: not to be started */
};

typedef struct supervisor {
    weft_server *server;
    weft__front *front;
    weft_poller *poller;
    struct child *children;
    unsigned n, running;
    weft__seats seats; /* of clients' processes */
    int owner;         /* socket to the owner */
    int reports[2];    /* pipe */
    bool single;       /* a process for each client */
    bool told;         /* the owner knows how the start went */
    int start_error;
    bool stopping;
    bool full;                     /* the line is looked at */
    unsigned untold;               /* children that are */
    int64_t kill_at, accept_again; /* ns */
    int64_t pause_ms;
    unsigned early_deaths;
    int client; /* to be served by the child that is being started; -1 */
    int spare_fd;
} supervisor;

/* ---- a worker process ---- */

struct task {
    supervisor *sup;
    unsigned index;
    int control;
};

/* Let go of what belongs to the supervisor and to other workers. Its poller stays: it is the supervisor's to close. */
static void shed_inherited(const supervisor *sup)
{
    for (unsigned i = 0; i < sup->n; i++)
        if (sup->children[i].control >= 0)
            weft__sys_close(sup->children[i].control);
    weft__sys_close(sup->owner);
    weft__sys_close(sup->reports[0]);
    if (sup->spare_fd >= 0)
        weft__sys_close(sup->spare_fd);
}

static int worker_main(void *arg)
{
    struct task *t = arg;
    supervisor *sup = t->sup;
    weft_server *s = sup->server;
    int client = sup->client;
    unsigned index = t->index;
    shed_inherited(sup);
    s->child = index;
    s->in_child = true;
    s->control = t->control;
    s->reports = sup->reports[1];
    s->model = s->inner;
    return client >= 0 ? weft__processes_serve_client(s, client) : weft__processes_serve_many(s);
}

/* ---- the supervisor: children ---- */

static int start_child(supervisor *sup, unsigned i)
{
    struct child *c = &sup->children[i];
    int ends[2];
    int err = weft__sys_pipe(ends);
    if (err < 0)
        return err;
    struct task task = {sup, i, ends[0]};
    c->control = ends[1];
    weft_process_options options = {.daemon = 1, .keep_stdin = 1};
    err = weft__sys_set_nonblocking(ends[1]); /* who does not hear for long holds up nobody else (tell) */
    if (err == 0)
        err = weft_process_start(&c->process, worker_main, &task, &options);
    weft__sys_close(ends[0]);
    if (err < 0)
        goto fail;
    err = weft_poller_register(sup->poller, weft_process_sentinel(&c->process), WEFT_POLLIN, c);
    if (err < 0) { /* nobody would see its end */
        (void)weft_process_kill(&c->process);
        (void)weft_process_join(&c->process, NULL, WEFT_FOREVER);
        (void)weft_process_close(&c->process);
        goto fail;
    }
    c->started = weft__sys_now();
    c->start_at = INT64_MAX;
    c->untold = false; /* it has our memory, and we have been told */
    sup->running++;
    return 0;
fail:
    weft__sys_close(c->control);
    c->control = -1;
    return err;
}

/* Have it look at front. If the pipe is full it has yet to read a byte, and then looks. */
static void tell(const struct child *c)
{
    if (c->control >= 0)
        (void)weft__sys_pipe_write(c->control, "l", 1);
}

static void close_listeners(supervisor *sup)
{
    if (sup->single && sup->accept_again == 0)
        (void)weft_poller_unregister(sup->poller, sup->server->listeners[0]);
    for (unsigned i = 0; i < sup->server->nworkers; i++)
        weft__listen_close(sup->server, i);
    if (sup->spare_fd >= 0)
        weft__sys_close(sup->spare_fd);
    sup->spare_fd = -1;
}

static void stop(supervisor *sup)
{
    int64_t grace = load_seq_cst(&sup->front->grace), now = weft__sys_now();
    int64_t from = grace > now ? grace : now; /* who is told of a grace that has passed has to hear it first */
    int64_t kill_at =
        from > INT64_MAX - WEFT__KILL_AFTER_MS * WEFT_MS ? INT64_MAX : from + WEFT__KILL_AFTER_MS * WEFT_MS;
    if (!sup->stopping)
        close_listeners(sup);
    if (!sup->stopping || kill_at < sup->kill_at)
        sup->kill_at = kill_at;
    sup->stopping = true;
    for (unsigned i = 0; i < sup->n; i++)
        tell(&sup->children[i]);
}

static void give_up(supervisor *sup, int err)
{
    store_seq_cst(&sup->front->result, err);
    weft__processes_ask_to_stop(sup->front, WEFT__STOP_CLOSE, 0);
    stop(sup);
}

/* How the start went: 0 if it knows. It would wait for ever for what could not be said, but sees our end. */
static int tell_owner(supervisor *sup, int err)
{
    int32_t result = err;
    sup->told = true;
    ssize_t n = weft__sys_send(sup->owner, &result, sizeof result, MSG_DONTWAIT);
    return n < 0 ? (int)n : 0;
}

/* One of the first generation has started or failed: when all have, the owner is told. */
static void note_start(supervisor *sup, struct child *c, int err)
{
    bool all = true;
    c->reported = true;
    if (sup->start_error == 0 && err < 0)
        sup->start_error = err;
    for (unsigned i = 0; i < sup->n; i++)
        all &= sup->children[i].reported;
    if (!all || sup->told)
        return;
    int told = tell_owner(sup, sup->start_error);
    if (sup->start_error < 0 || told < 0)
        give_up(sup, sup->start_error < 0 ? sup->start_error : told);
}

/* Is there one that has got over its first second? */
static bool one_lasts(const supervisor *sup, int64_t now)
{
    for (unsigned i = 0; i < sup->n; i++)
        if (sup->children[i].control >= 0 && now - sup->children[i].started >= YOUNG_MS * WEFT_MS)
            return true;
    return false;
}

/* When its place is to be taken by another. */
static void plan_replacement(supervisor *sup, struct child *c, bool asked)
{
    int64_t now = weft__sys_now();
    if (asked) {
        c->start_at = now;
        return;
    }
    if (now - c->started < YOUNG_MS * WEFT_MS) {
        sup->early_deaths++;
        sup->pause_ms = sup->pause_ms == 0 ? PAUSE_LEAST_MS : sup->pause_ms * 2;
        if (sup->pause_ms > PAUSE_MOST_MS)
            sup->pause_ms = PAUSE_MOST_MS;
    } else {
        sup->early_deaths = 0;
        sup->pause_ms = 0;
    }
    c->start_at = now + sup->pause_ms * WEFT_MS;
    if (sup->early_deaths >= EARLY_DEATHS_MAX * sup->n && !one_lasts(sup, now))
        give_up(sup, -ECHILD);
}

/* It has heard what there was to be told, or will not any more. */
static void note_heard(supervisor *sup, struct child *c)
{
    if (!c->untold)
        return;
    c->untold = false;
    if (--sup->untold > 0)
        return;
    store_seq_cst(&sup->front->heard, load_seq_cst(&sup->front->told));
    weft__wake(&sup->front->heard, UINT32_MAX, WEFT__SHARED_WORD);
}

/* Have on_tell run here, for those who will be started from now on, and in those who serve. */
static void tell_all(supervisor *sup)
{
    struct child all = {.untold = true}; /* the last to hear, if nobody serves */
    weft__processes_hear(sup->server);
    sup->untold = 1;
    for (unsigned i = 0; i < sup->n; i++) {
        struct child *c = &sup->children[i];
        c->untold = c->control >= 0;
        sup->untold += c->untold;
        tell(c);
    }
    note_heard(sup, &all);
}

/* Whether there was one. */
static bool read_report(supervisor *sup)
{
    struct weft__report r;
    if (weft__sys_pipe_read(sup->reports[0], &r, sizeof r) != (ssize_t)sizeof r)
        return false;
    if (r.kind == WEFT__REPORT_STOP)
        stop(sup);
    else if (r.kind == WEFT__REPORT_FULL)
        sup->full = true;
    else if (r.kind == WEFT__REPORT_HEARD && r.child < sup->n && (uint32_t)r.value == load_seq_cst(&sup->front->told))
        note_heard(sup, &sup->children[r.child]);
    else if (r.child < sup->n && !sup->children[r.child].reported)
        note_start(sup, &sup->children[r.child], r.value);
    return true;
}

/* All that there are: what a process has said is heard before its end is seen. */
static void read_reports(supervisor *sup)
{
    struct pollfd p = {.fd = sup->reports[0], .events = POLLIN};
    while (weft__sys_poll(&p, 1, 0) > 0 && read_report(sup))
        ;
}

/* It may have been woken for clients, and have died before it took them. */
static void have_others_look(const weft_server *s)
{
    for (unsigned i = 0; i < s->nworkers && !weft__is_packet(s); i++)
        weft__sys_wake_acceptors(s->listeners[i]);
}

static void bury(supervisor *sup, struct child *c)
{
    unsigned index = (unsigned)(c - sup->children);
    weft__worker *set = weft__processes_set(sup->front, sup->server, index);
    const weft_server_options *o = &sup->server->options;
    int code = 0;
    pid_t pid = weft_process_pid(&c->process);
    (void)weft_poller_unregister(sup->poller, weft_process_sentinel(&c->process));
    (void)weft_process_join(&c->process, &code, WEFT_FOREVER);
    (void)weft_process_close(&c->process);
    read_reports(sup);
    weft__sys_close(c->control);
    c->control = -1;
    sup->running--;
    note_heard(sup, c);
    bool asked = code == 0 && !sup->single && load_seq_cst(&set->leaving); /* P7 */
    if (o->on_death != NULL && (sup->single ? code != 0 : !sup->stopping && !asked))
        o->on_death(pid, code, o->arg);
    if (sup->single) {
        weft__conn_give_back(sup->server, c->place);
        store_release(&set->open, set->open - 1);
        weft__seats_leave(&sup->seats, index);
        if (sup->accept_again != 0)
            sup->accept_again = 1; /* now: who waits in the queue may have waited for this */
        return;
    }
    if (sup->server->per_address != NULL)
        weft__per_address_bury(sup->server->per_address, index);
    for (unsigned i = 0; i < sup->server->nworkers; i++) {
        if (weft__is_packet(sup->server))
            weft__packet_bury(&set[i]);
        if (set[i].open > 0 && sup->stopping)
            add_relaxed(&set[i].cuts, set[i].open);
        store_relaxed(&set[i].open, 0);
        store_seq_cst(&set[i].accepting, false); /* until its replacement does */
    }
    if (load_seq_cst(&sup->front->full) != 0) /* it may have been about to tell us */
        sup->full = true;
    if (!c->reported)
        note_start(sup, c, sup->stopping ? 0 : -ECHILD); /* who is stopped while it starts has not failed */
    if (sup->stopping)
        return;
    have_others_look(sup->server);
    plan_replacement(sup, c, asked);
}

/* ---- the supervisor: clients, in the model "process" ---- */

static void turn_away(supervisor *sup, int fd)
{
    WEFT__COUNT(&sup->front->workers[0].refused);
    weft__turn_away_text(sup->server, fd);
    weft__turn_away_close(fd);
}

/* Ask somebody who keeps us waiting to go. False: there is nobody, or so many have not gone yet. */
static bool make_room(supervisor *sup)
{
    int i = weft__seats_ask(&sup->seats, weft__server_ms(sup->server));
    if (i < 0)
        return false;
    tell(&sup->children[i]);
    WEFT__COUNT(&sup->front->workers[0].shed);
    return true;
}

/* Start a process for the client at fd, which has a seat unless everybody is at work. 0 or -errno. */
static int seat_client(supervisor *sup, int fd, uint32_t place)
{
    unsigned i = 0;
    if (sup->running - sup->seats.asked >= sup->server->options.max_connections && !make_room(sup))
        return -EBUSY;
    while (sup->children[i].control >= 0)
        i++; /* there is one: see weft__processes_seats */
    sup->client = fd;
    sup->server->clients++;
    weft__seats_take(&sup->seats, i, weft__server_ms(sup->server));
    weft__worker *w = sup->front->workers;
    store_relaxed(&w->open, w->open + 1); /* before its process counts it as accepted: see weft_server_get_stats */
    int err = start_child(sup, i);
    sup->client = -1;
    if (err < 0) {
        store_relaxed(&w->open, w->open - 1);
        weft__seats_leave(&sup->seats, i);
    } else {
        sup->children[i].place = place;
    }
    if (weft__lacks_descriptors(err) && !weft__seats_coming(&sup->seats))
        (void)make_room(sup); /* for the next one */
    return err;
}

static void serve_in_child(supervisor *sup, int fd)
{
    weft__worker *w = sup->front->workers;
    uint32_t place;
    bool may = weft__conn_may_come(sup->server, &w->refused_address, fd, &place);
    if (!may || seat_client(sup, fd, place) < 0) {
        weft__conn_give_back(sup->server, place);
        turn_away(sup, fd);
        return;
    }
    weft__sys_close(fd);
}

/* Accept no more for a while: the listener would be told again and again. */
static void pause_accepting(supervisor *sup)
{
    (void)weft_poller_unregister(sup->poller, sup->server->listeners[0]);
    sup->accept_again = weft__sys_now() + RETRY_MS * WEFT_MS;
}

static void accept_clients(supervisor *sup)
{
    int listener = sup->server->listeners[0];
    for (unsigned i = 0; i < EVENTS; i++) {
        bool waits = sup->running == sup->n && weft__seats_coming(&sup->seats); /* a newcomer may, for a moment */
        int fd = waits ? -EBUSY : weft__sys_accept(listener, NULL);
        if (fd >= 0) {
            serve_in_child(sup, fd);
            continue;
        }
        if (fd == -EAGAIN)
            return;
        if (weft__lacks_descriptors(fd) && !weft__seats_coming(&sup->seats) && !make_room(sup) && sup->spare_fd >= 0) {
            weft__sys_close(sup->spare_fd);
            fd = weft__sys_accept(listener, NULL);
            if (fd >= 0)
                turn_away(sup, fd);
            sup->spare_fd = weft__sys_dup(listener);
        }
        if (fd < 0) {
            pause_accepting(sup);
            return;
        }
    }
}

/* ---- the supervisor: the line, where a process serves one client at a time ---- */

/* So many may stand in it. */
static unsigned line_length(const weft_server *s)
{
    const weft_server_options *o = &s->options;
    unsigned each = o->max_connections > o->threads ? o->max_connections - o->threads : 0;
    uint64_t all = (uint64_t)each * o->processes, most = o->backlog - o->backlog / 4;
    return all < most ? (unsigned)all : (unsigned)most; /* what the kernel would drop without a word is told by us */
}

/* Every process is taken: who stands in front of a line that is too long is told, for those who have waited longest are
 * the likeliest to have given up. Returns when to look again. */
static int64_t look_at_line(supervisor *sup)
{
    weft_server *s = sup->server;
    store_seq_cst(&sup->front->full, 0); /* from here on who is the last to be taken says so */
    if (!weft__processes_all_taken(s)) {
        sup->full = false;
        return INT64_MAX;
    }
    store_seq_cst(&sup->front->full, 1);
    while (weft__sys_queued(s->listeners[0]) > (int)line_length(s)) {
        int fd = weft__sys_accept(s->listeners[0], NULL);
        if (fd < 0)
            break;
        add_relaxed(&sup->front->refused, 1);
        weft__turn_away_text(s, fd);
        weft__turn_away_close(fd);
    }
    return weft__sys_now() + LINE_MS * WEFT_MS;
}

/* ---- the supervisor: its turn ---- */

static void read_owner(supervisor *sup)
{
    char bytes[64];
    ssize_t n = weft__sys_recv(sup->owner, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0)
        give_up(sup, -ECHILD); /* its process ends */
    if (n > 0 && memchr(bytes, WEFT__BYTE_TELL, (size_t)n) != NULL)
        tell_all(sup);
    if (n > 0 && load_seq_cst(&sup->front->stopping) != WEFT__STOP_NOT) /* its own byte may have had no room */
        stop(sup);
}

static void handle(supervisor *sup, void *what)
{
    if (what == &sup->owner)
        read_owner(sup);
    else if (what == sup->reports)
        read_reports(sup);
    else if (what == sup->server)
        accept_clients(sup);
    else
        bury(sup, what);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Start and kill what is due; returns when the next thing is. */
static int64_t do_due(supervisor *sup)
{
    int64_t now = weft__sys_now(), next = INT64_MAX;
    if (sup->stopping) {
        if (now < sup->kill_at)
            return sup->kill_at;
        for (unsigned i = 0; i < sup->n; i++)
            if (sup->children[i].control >= 0)
                (void)weft_process_kill(&sup->children[i].process);
        return INT64_MAX;
    }
    for (unsigned i = 0; i < sup->n && !sup->single; i++) {
        struct child *c = &sup->children[i];
        if (c->control >= 0 || c->start_at == INT64_MAX)
            continue;
        int err = c->start_at <= now ? start_child(sup, i) : 0;
        if (err < 0) {
            if (!sup->told)
                note_start(sup, c, err);
            c->start_at = now + RETRY_MS * WEFT_MS;
        }
        next = sooner(next, c->start_at);
    }
    if (sup->full)
        next = sooner(next, look_at_line(sup));
    if (sup->single && sup->accept_again != 0) {
        if (now >= sup->accept_again &&
            weft_poller_register(sup->poller, sup->server->listeners[0], WEFT_POLLIN, sup->server) == 0)
            sup->accept_again = 0;
        else
            next = sooner(next, now >= sup->accept_again ? now + RETRY_MS * WEFT_MS : sup->accept_again);
    }
    return next;
}

static int open_supervisor(supervisor *sup)
{
    weft_server *s = sup->server;
    sup->children = weft__calloc(sup->n, sizeof *sup->children);
    if (sup->children == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < sup->n; i++)
        sup->children[i].control = -1;
    int err = weft__sys_pipe(sup->reports);
    if (err == 0)
        err = weft_poller_open(&sup->poller, "epoll");
    if (err == 0)
        err = weft_poller_register(sup->poller, sup->owner, WEFT_POLLIN, &sup->owner);
    if (err == 0)
        err = weft_poller_register(sup->poller, sup->reports[0], WEFT_POLLIN, sup->reports);
    if (err == 0 && sup->single) {
        sup->spare_fd = weft__sys_dup(s->listeners[0]);
        err = sup->spare_fd < 0 ? sup->spare_fd : weft_poller_register(sup->poller, s->listeners[0], WEFT_POLLIN, s);
    }
    return err;
}

int weft__processes_supervise(void *arg)
{
    weft_server *s = arg;
    supervisor sup = {.server = s,
                      .front = s->front,
                      .single = s->single,
                      .n = s->single ? weft__processes_seats(s) : s->options.processes,
                      .seats = {.all = s->front->seats, .n = weft__processes_seats(s)},
                      .owner = s->owner_fds[1],
                      .client = -1,
                      .spare_fd = -1};
    weft__sys_close(s->owner_fds[0]);
    weft__processes_hold_signal(s);
    weft__sys_ignore(SIGINT); /* Ctrl-C reaches the whole group of a terminal; the owner tells us what it means */
    int err = open_supervisor(&sup);
    int told = err < 0 || sup.single ? tell_owner(&sup, err) : 0;
    if (err < 0 || told < 0) {
        store_seq_cst(&sup.front->result, err < 0 ? err : told);
        return 1;
    }
    while (!sup.stopping || sup.running > 0) {
        weft_poll_event events[EVENTS];
        int64_t until = do_due(&sup);
        if (sup.stopping && sup.running == 0)
            break;
        int n = weft_poller_wait(sup.poller, events, EVENTS, (weft_until){until});
        for (int i = 0; i < n; i++)
            handle(&sup, events[i].data);
    }
    if (!sup.told) /* stopped before anybody was started */
        (void)tell_owner(&sup, 0);
    return 0;
}
