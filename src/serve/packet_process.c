/* packet_process.c - datagrams under the model "process": a process for each peer.
 *
 * The supervisor (see processes.c, whose rules P1 to P3 hold here too) receives, and passes each datagram on to the
 * process of its peer, by a socket pair that keeps their boundaries; the process answers by the server's own socket.
 * How many it has handled it says in shared memory, so the supervisor knows what is in hand. A process whose peer has
 * been silent for the idle time reads the end of its input and leaves; its peer is forgotten when it has been reaped.
 * When the grace of a stop is over they are killed.
 * Rejected: a connected socket for each peer. Between its bind and its connect it gets the datagrams of others.
 * Pinned by tests/serve/packet_test.c. */
#include "serve/packet.h"
#include "serve/processes.h"

#include <weft/poller.h>
#include <weft/process.h>

#include "park/park.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

enum {
    EVENTS = 64,
    RETRY_MS = 50,
    SIGNAL_STACK = 64 * 1024
};

struct child {
    weft_process process;
    weft__peer *peer; /* NULL: free */
    int line;         /* our end of its socket pair; -1: it has been told to leave */
    uint64_t passed;
};

typedef struct post {
    weft_server *server;
    weft__mail *mail;
    weft_poller *poller;
    struct child *children;
    uint64_t *handled; /* shared, one a child; atomic */
    unsigned n, running;
    int reports[2]; /* a pipe: a handler has called weft_server_stop */
    char *bytes;
    bool stopping, killed;
} post;

/* ---- a peer's process ---- */

struct task {
    post *post;
    unsigned index;
    int line;
};

/* SIGTERM, in a thread: no more is passed on; what has been is read, and then the end. */
static void *wait_for_signal(void *arg)
{
    struct task *t = arg;
    weft__sys_await_signal(SIGTERM);
    (void)weft__sys_shutdown(t->line, SHUT_RD);
    return NULL;
}

static int serve_peer(void *arg)
{
    struct task *t = arg;
    post *po = t->post;
    weft__mail *m = po->mail;
    weft_server *s = po->server;
    weft_packet packet = {.data = po->bytes, .from = po->children[t->index].peer->address, .server = s, .inner = m};
    for (unsigned i = 0; i < po->n; i++)
        if (po->children[i].line >= 0)
            weft__sys_close(po->children[i].line);
    weft__sys_close(s->owner_fds[1]);
    weft__sys_close(po->reports[0]);
    weft__listen_close(s, 0); /* the mail has a duplicate */
    s->in_child = true;
    s->reports = po->reports[1];
    if (s->holds_signal && weft__sys_thread(wait_for_signal, t, SIGNAL_STACK) < 0)
        return 1;
    for (;;) {
        ssize_t n = weft__sys_recv(t->line, po->bytes, s->options.packet.size_max + 1, 0);
        if (n == -EAGAIN) {
            (void)weft_fd_wait(t->line, WEFT_POLLIN, WEFT_FOREVER);
            continue;
        }
        if (n < 1)
            return 0;
        packet.size = (size_t)n - 1; /* a byte ahead: an empty datagram is no end */
        packet.data = po->bytes + 1;
        weft__mail_call(m, &packet);
        add_seq_cst(&po->handled[t->index], 1);
    }
}

/* ---- the supervisor: children ---- */

static uint64_t in_hand(const post *po, const struct child *c)
{
    return c->passed - load_seq_cst(&po->handled[c - po->children]);
}

static void tell_to_leave(struct child *c)
{
    if (c->line >= 0)
        weft__sys_close(c->line);
    c->line = -1;
}

static int start_child(post *po, weft__peer *p)
{
    unsigned i = 0;
    int ends[2];
    while (i < po->n && po->children[i].peer != NULL)
        i++;
    if (i == po->n)
        return -EAGAIN;
    struct child *c = &po->children[i];
    int err = weft__sys_socketpair(SOCK_SEQPACKET, ends);
    if (err < 0)
        return err;
    struct task task = {po, i, ends[0]};
    store_seq_cst(&po->handled[i], 0);
    *c = (struct child){.peer = p, .line = ends[1]};
    err = weft_process_start(&c->process, serve_peer, &task, &(weft_process_options){.daemon = 1, .keep_stdin = 1});
    weft__sys_close(ends[0]);
    if (err < 0)
        goto fail;
    err = weft_poller_register(po->poller, weft_process_sentinel(&c->process), WEFT_POLLIN, c);
    if (err < 0) { /* nobody would see its end */
        (void)weft_process_kill(&c->process);
        (void)weft_process_join(&c->process, NULL, WEFT_FOREVER);
        (void)weft_process_close(&c->process);
        goto fail;
    }
    p->process = i;
    p->running = true;
    po->running++;
    return 0;
fail:
    tell_to_leave(c); /* nobody closes the number again, which may be somebody else's by then */
    c->peer = NULL;
    return err;
}

static void bury(post *po, struct child *c)
{
    uint64_t left = in_hand(po, c);
    (void)weft_poller_unregister(po->poller, weft_process_sentinel(&c->process));
    (void)weft_process_join(&c->process, NULL, WEFT_FOREVER);
    (void)weft_process_close(&c->process);
    if (left > 0 && !po->killed) /* one that we kill may have counted what it has handled, and not yet told us */
        weft__mail_count(po->mail, WEFT__PACKET_CUT, left);
    tell_to_leave(c);
    weft__peer_left(po->mail, c->peer);
    c->peer = NULL;
    po->running--;
}

/* ---- the supervisor: datagrams ---- */

/* Give it to the process of its peer. Or why not, a weft__packet_count; 0: it is there. */
static int pass(post *po, const weft_datagram_item *item, int64_t now)
{
    weft__mail *m = po->mail;
    const weft_packet_options *o = &po->server->options.packet;
    weft__peer *p;
    int why = weft__peer_admit(m, item, now, &p);
    if (why != 0)
        return why;
    if (!p->running && start_child(po, p) < 0)
        return WEFT__PACKET_NO_ROOM;
    struct child *c = &po->children[p->process];
    if (c->line < 0)
        return WEFT__PACKET_NO_ROOM; /* it is on its way out */
    if (in_hand(po, c) >= o->peer_queue)
        return WEFT__PACKET_TOO_MANY;
    if (weft__sys_send(c->line, po->bytes, item->size + 1, MSG_DONTWAIT) < 0)
        return WEFT__PACKET_NO_ROOM; /* its process has died, and we have yet to see that; or the way to it is full */
    c->passed++;
    return 0;
}

static void receive(post *po)
{
    weft__mail *m = po->mail;
    for (unsigned i = 0; i < EVENTS; i++) {
        weft_datagram_item item = {.data = po->bytes + 1, .size = po->server->options.packet.size_max};
        if (weft_datagram_recv_many(m->socket, &item, 1, WEFT_NOW) <= 0)
            return;
        weft__mail_count(m, WEFT__PACKET_RECEIVED, 1);
        int why = pass(po, &item, weft__sys_now());
        if (why != 0)
            weft__mail_drop(m, &item.address, item.size, (enum weft__packet_count)why);
    }
}

/* ---- the supervisor: time, and the stop ---- */

/* Those whose peers have been silent, or whose place is wanted, are told to leave; returns when to look again. */
static int64_t look_for_silent(post *po, int64_t now)
{
    int64_t idle = po->server->options.idle_timeout, next = INT64_MAX;
    for (unsigned i = 0; i < po->n; i++) {
        struct child *c = &po->children[i];
        if (c->peer == NULL || c->line < 0)
            continue;
        int64_t due = idle < 0 ? INT64_MAX : c->peer->seen + idle;
        bool room_wanted = c->peer->leaving && in_hand(po, c) == 0;
        if (room_wanted || (due <= now && in_hand(po, c) == 0))
            tell_to_leave(c);
        else if (due <= now || c->peer->leaving) /* it is at work; nobody says when it has done that */
            due = now + RETRY_MS * WEFT_MS;
        next = due < next ? due : next;
    }
    return next;
}

static void stop(post *po)
{
    if (!po->stopping) {
        (void)weft_poller_unregister(po->poller, weft_datagram_fd(po->mail->socket));
        weft__listen_close(po->server, 0);
        for (unsigned i = 0; i < po->n; i++)
            tell_to_leave(&po->children[i]); /* what has been passed on is read first */
    }
    po->stopping = true;
}

static int64_t do_due(post *po)
{
    int64_t now = weft__sys_now();
    if (!po->stopping)
        return look_for_silent(po, now);
    int64_t grace = load_seq_cst(&po->server->front->grace);
    if (now < grace || po->killed)
        return now < grace ? grace : INT64_MAX;
    for (unsigned i = 0; i < po->n; i++)
        if (po->children[i].peer != NULL)
            (void)weft_process_kill(&po->children[i].process);
    po->killed = true;
    return INT64_MAX;
}

/* weft_server_tell: there is nobody here to hear it. */
static void note_told(weft__front *f)
{
    store_seq_cst(&f->heard, load_seq_cst(&f->told));
    weft__wake(&f->heard, UINT32_MAX, WEFT__SHARED_WORD);
}

static void handle(post *po, const void *what)
{
    weft_server *s = po->server;
    char bytes[64];
    if (what == s) {
        ssize_t n = weft__sys_recv(s->owner_fds[1], bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0)
            store_seq_cst(&s->front->grace, 0); /* its process ends */
        if (n > 0 && memchr(bytes, WEFT__BYTE_TELL, (size_t)n) != NULL)
            note_told(s->front);
        if (n == 0 || (n > 0 && load_seq_cst(&s->front->stopping) != WEFT__STOP_NOT)) /* as read_owner, processes.c */
            stop(po);
    } else if (what == po->reports) {
        (void)weft__sys_pipe_read(po->reports[0], bytes, sizeof bytes);
        stop(po);
    } else if (what == po->mail) {
        receive(po);
    } else {
        bury(po, (struct child *)(uintptr_t)what);
    }
}

static int open_post(post *po)
{
    weft_server *s = po->server;
    void *shared;
    int fd = weft__sys_dup(s->listeners[0]);
    if (fd < 0)
        return fd;
    weft__worker_init(s->front->workers, s, 0);
    int err = weft__mail_open(&po->mail, s->front->workers, fd, false);
    if (err < 0)
        return err;
    po->children = weft__calloc(po->n, sizeof *po->children);
    po->bytes = weft__malloc(s->options.packet.size_max + 1);
    if (po->children == NULL || po->bytes == NULL)
        return -ENOMEM;
    po->bytes[0] = 0;
    for (unsigned i = 0; i < po->n; i++)
        po->children[i].line = -1;
    err = weft__sys_map_shared(&shared, po->n * sizeof *po->handled);
    if (err < 0)
        return err;
    po->handled = shared;
    err = weft__sys_pipe(po->reports);
    if (err == 0)
        err = weft_poller_open(&po->poller, "epoll");
    if (err == 0)
        err = weft_poller_register(po->poller, s->owner_fds[1], WEFT_POLLIN, s);
    if (err == 0)
        err = weft_poller_register(po->poller, po->reports[0], WEFT_POLLIN, po->reports);
    if (err == 0)
        err = weft_poller_register(po->poller, weft_datagram_fd(po->mail->socket), WEFT_POLLIN, po->mail);
    return err;
}

int weft__packet_supervise(void *arg)
{
    weft_server *s = arg;
    post po = {.server = s, .n = s->options.max_connections};
    weft__sys_close(s->owner_fds[0]);
    weft__processes_hold_signal(s);
    weft__sys_ignore(SIGINT); /* the owner tells us what it means */
    int32_t err = open_post(&po);
    ssize_t told = weft__sys_send(s->owner_fds[1], &err, sizeof err, MSG_DONTWAIT);
    if (err < 0 || told < 0) { /* it sees our end, and why */
        store_seq_cst(&s->front->result, err < 0 ? err : (int32_t)told);
        return 1;
    }
    for (;;) {
        weft_poll_event events[EVENTS];
        int64_t until = do_due(&po);
        if (po.stopping && po.running == 0) {
            weft__packet_bury(s->front->workers);
            return 0;
        }
        int n = weft_poller_wait(po.poller, events, EVENTS, (weft_until){until});
        for (int i = 0; i < n; i++)
            if (!po.stopping || events[i].data != po.mail)
                handle(&po, events[i].data);
    }
}
