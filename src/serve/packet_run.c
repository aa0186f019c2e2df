/* packet_run.c - datagrams under the models of one process: received by the batch, given to the handler one by one.
 *
 * One *receiver* a worker takes datagrams from the kernel, as many as there are slots for, and puts each into the line
 * of its peer. Who has no slot left waits until one is free: then the kernel's queue fills and the kernel drops, which
 * costs no processor, while receiving in order to drop would cost all of it. Peers with something in their line are
 * worked off by the receiver itself, by coroutines of its thread (*runners*; one makes sure of its successor before it
 * calls a handler, because the handler may park: see coroutine.c), by a fixed number of threads or by a thread of the
 * peer's own. Handlers that do not wait are all done when the receiver has its turn again, so it gathers their answers
 * and sends them together.
 * R1  who counts itself out of w->coming or w->standing touches nothing of the server afterwards.
 * R2  who waits for something is notified of it once: were it for every slot, there could be so many in a moment that
 *     their count, of eight bits, is what it was before.
 * R3  stop against receive: `stopping` is stored before the lock is taken for the look at `receiving`; the receiver
 *     looks at `stopping` under the lock before it sets that.
 * Pinned by tests/serve/packet_test.c. */
#include "serve/packet.h"

#include <weft/co.h>

#include "co/sched.h"
#include "io/watch.h"
#include "park/park.h"
#include "serve/worker.h"
#include "sys/sys.h"

#include <errno.h>

enum {
    RETRY_MS = 20,
    RECEIVER_STACK = 256 * 1024,
    NOTIFICATION = 1 << 24, /* in `coming` */
    RUNNERS = NOTIFICATION - 1,
    LATE_NS = 50 * 1000 /* answers are gathered for so long while handlers run one after the other */
};

static void notify(weft__worker *w)
{
    add_seq_cst(&w->coming, NOTIFICATION);
    weft__wake(&w->coming, UINT32_MAX, 0);
}

/* R1. */
static void count_out(uint32_t *count)
{
    sub_seq_cst(count, 1);
    weft__wake(count, UINT32_MAX, 0);
}

static bool stopping(const weft__mail *m)
{
    return load_seq_cst(&m->server->stopping) != 0;
}

/* ---- a datagram's way through a handler ---- */

/* The first datagram of this peer's line. Pre: locked. */
static weft__slot *take_first(weft__peer *p)
{
    weft__slot *slot = p->first;
    if (slot == NULL)
        return NULL;
    p->first = slot->next;
    if (p->first == NULL)
        p->last = &p->first;
    return slot;
}

/* The next datagram of whoever is ready; NULL: of nobody. */
static weft__slot *take_ready(weft__mail *m)
{
    weft__slot *slot = NULL;
    weft_lock_acquire(&m->lock);
    weft__list *l = list_pop_front(&m->ready);
    if (l != NULL) {
        weft__peer *p = container_of(l, weft__peer, ready);
        p->running = true;
        slot = take_first(p);
    }
    weft_lock_release(&m->lock);
    return slot;
}

static void call(weft__mail *m, weft__slot *slot)
{
    weft_packet packet = {.data = slot->data, .size = slot->size, .from = slot->from, .server = m->server, .inner = m};
    weft__mail_call(m, &packet);
}

/* Pre: locked. */
static void free_slot(weft__mail *m, weft__slot *slot)
{
    slot->peer->count--;
    slot->next = m->free;
    m->free = slot;
    m->used--;
    if (m->starving || (m->draining && m->used == 0))
        notify(m->worker);
    m->starving = false;
}

/* Back from the handler, when it runs for whoever is ready. True: answers have been gathered for long enough. */
static bool finish(weft__mail *m, weft__slot *slot)
{
    weft__peer *p = slot->peer;
    weft_lock_acquire(&m->lock);
    free_slot(m, slot);
    p->running = false;
    if (p->first != NULL)
        list_push_back(&m->ready, &p->ready);
    bool late = m->kind == WEFT__MAIL_INLINE && m->out_count > 0 && weft__sys_now() - m->gathered > LATE_NS;
    weft_lock_release(&m->lock);
    return late;
}

/* ---- who runs handlers: the receiver ---- */

static void run_here(weft__mail *m)
{
    for (weft__slot *slot; (slot = take_ready(m)) != NULL;) {
        call(m, slot);
        if (finish(m, slot))
            weft__mail_flush(m);
    }
}

/* ---- coroutines ---- */

static int runner(void *arg);

/* Pre: locked. False: there is no memory for one. */
static bool call_runner(weft__mail *m)
{
    if (m->runner_coming || list_empty(&m->ready))
        return true;
    const weft_co_options options = {.stack_size = m->server->options.stack_size};
    add_seq_cst(&m->worker->coming, 1);
    m->runner_coming = weft__co_start_here(runner, m, &options) == 0;
    if (!m->runner_coming)
        sub_seq_cst(&m->worker->coming, 1);
    return m->runner_coming;
}

static bool call_runner_locking(weft__mail *m)
{
    weft_lock_acquire(&m->lock);
    bool called = call_runner(m);
    weft_lock_release(&m->lock);
    return called;
}

static int runner(void *arg)
{
    weft__mail *m = arg;
    weft__worker *w = m->worker;
    weft_lock_acquire(&m->lock);
    m->runner_coming = false;
    weft_lock_release(&m->lock);
    for (weft__slot *slot; !weft_cancelled() && (slot = take_ready(m)) != NULL;) {
        (void)call_runner_locking(m);
        call(m, slot);
        (void)finish(m, slot);
    }
    (void)call_runner_locking(m);
    count_out(&w->coming);
    return 0;
}

static void set_gathering(weft__mail *m, bool on)
{
    weft_lock_acquire(&m->lock);
    m->gathering = on;
    weft_lock_release(&m->lock);
}

static void run_coroutines(weft__mail *m)
{
    set_gathering(m, true);
    if (!call_runner_locking(m))
        run_here(m);
    weft_yield();
    set_gathering(m, false);
    weft__mail_flush(m);
}

/* ---- so many threads ---- */

static void *pool_main(void *arg)
{
    weft__mail *m = arg;
    weft__worker *w = m->worker;
    for (;;) {
        uint32_t seen = load_seq_cst(&w->line);
        weft__slot *slot = take_ready(m);
        if (slot != NULL) {
            call(m, slot);
            (void)finish(m, slot);
            continue;
        }
        weft_lock_acquire(&m->lock);
        bool over = m->over;
        weft_lock_release(&m->lock);
        if (over)
            break;
        (void)weft__park(&w->line, seen, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server pool");
    }
    weft__thread_eventfd_close();
    count_out(&w->standing);
    return NULL;
}

static void run_pool(weft__mail *m, unsigned n)
{
    add_seq_cst(&m->worker->line, 1);
    weft__wake(&m->worker->line, n, 0);
}

/* ---- a thread for each peer ---- */

/* Everything in the peer's line, until it is silent for the idle time. Comes and goes locked. */
static void serve_peer(weft__mail *m, weft__peer *p)
{
    int64_t idle = m->server->options.idle_timeout;
    int err = 0;
    for (;;) {
        weft__slot *slot = take_first(p);
        uint32_t seen = load_relaxed(&p->word);
        if (slot == NULL && (m->draining || p->leaving || err == -ETIMEDOUT))
            return;
        weft_lock_release(&m->lock);
        if (slot != NULL)
            call(m, slot);
        else
            err =
                weft__park(&p->word, seen, idle < 0 ? WEFT_FOREVER : weft_in(idle), WEFT__UNCANCELLABLE, "server peer");
        weft_lock_acquire(&m->lock);
        if (slot != NULL) {
            free_slot(m, slot);
            err = 0;
        }
    }
}

static void *peer_main(void *arg)
{
    weft__peer *p = arg;
    weft__mail *m = p->mail;
    weft__worker *w = m->worker;
    weft_lock_acquire(&m->lock);
    serve_peer(m, p);
    weft__peer_left(m, p);
    weft_lock_release(&m->lock);
    weft__thread_eventfd_close();
    count_out(&w->coming);
    return NULL;
}

/* For those in this line there are no threads. */
static void drop_line(weft__mail *m, weft__slot *first)
{
    for (weft__slot *slot = first; slot != NULL; slot = slot->next)
        weft__mail_drop(m, &slot->from, slot->size, WEFT__PACKET_NO_ROOM);
    weft_lock_acquire(&m->lock);
    for (weft__slot *slot = first, *next; slot != NULL; slot = next) {
        next = slot->next;
        free_slot(m, slot);
    }
    weft_lock_release(&m->lock);
}

static void start_threads(weft__mail *m)
{
    weft__slot *lost = NULL;
    weft_lock_acquire(&m->lock);
    for (weft__list *l; (l = list_pop_front(&m->ready)) != NULL;) {
        weft__peer *p = container_of(l, weft__peer, ready);
        p->running = true;
        add_seq_cst(&m->worker->coming, 1);
        if (weft__sys_thread(peer_main, p, m->server->options.stack_size) < 0) {
            sub_seq_cst(&m->worker->coming, 1);
            p->running = false;
            *p->last = lost;
            lost = p->first;
            p->first = NULL;
            p->last = &p->first;
        }
    }
    weft_lock_release(&m->lock);
    drop_line(m, lost);
}

/* ---- receiving ---- */

/* Have rooms for a batch; false: the server stops. */
static bool take_rooms(weft__mail *m)
{
    for (;;) {
        uint32_t seen = load_seq_cst(&m->worker->coming);
        weft_lock_acquire(&m->lock);
        while (m->free != NULL && m->ntaken < WEFT__MAIL_BATCH) {
            weft__slot *slot = m->free;
            m->free = slot->next;
            m->taken[m->ntaken++] = slot;
        }
        m->starving = m->ntaken == 0;
        m->receiving = !m->starving && !stopping(m); /* R3 */
        bool ready = m->receiving;
        weft_lock_release(&m->lock);
        if (ready || stopping(m))
            return ready;
        (void)weft__park(&m->worker->coming, seen, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server packets");
    }
}

static int receive(weft__mail *m)
{
    for (unsigned i = 0; i < m->ntaken; i++)
        m->items[i] = (weft_datagram_item){.data = m->taken[i]->data, .size = m->server->options.packet.size_max};
    int n = weft_datagram_recv_many(m->socket, m->items, m->ntaken, WEFT_FOREVER);
    weft_lock_acquire(&m->lock);
    m->receiving = false;
    store_seq_cst(&m->receiver->cancel, 0); /* what has come all the same has the whole grace */
    weft_lock_release(&m->lock);
    return n;
}

/* Put it into its peer's line. Or why not, a weft__packet_count; 0: it is there. Pre: locked. */
static int admit(weft__mail *m, weft__slot *slot, const weft_datagram_item *item, int64_t now)
{
    const weft_packet_options *o = &m->server->options.packet;
    weft__peer *p;
    int why = weft__peer_admit(m, item, now, &p);
    if (why != 0)
        return why;
    if (p->count >= o->peer_queue)
        return WEFT__PACKET_TOO_MANY;
    *slot = (weft__slot){.peer = p, .from = item->address, .size = (uint32_t)item->size, .data = slot->data};
    *p->last = slot;
    p->last = &slot->next;
    p->count++;
    m->used++;
    if (!p->running && list_empty(&p->ready)) {
        list_push_back(&m->ready, &p->ready);
    } else if (p->running && m->kind == WEFT__MAIL_EACH) {
        add_seq_cst(&p->word, 1);
        weft__wake(&p->word, 1, 0);
    }
    return 0;
}

static void admit_all(weft__mail *m, unsigned n)
{
    int whys[WEFT__MAIL_BATCH] = {0};
    int64_t now = weft__sys_now();
    unsigned kept = 0;
    weft__mail_count(m, WEFT__PACKET_RECEIVED, n);
    weft_lock_acquire(&m->lock);
    for (unsigned i = 0; i < m->ntaken; i++) {
        whys[i] = i < n ? admit(m, m->taken[i], &m->items[i], now) : 1;
        if (whys[i] != 0)
            m->taken[kept++] = m->taken[i]; /* for the next one */
    }
    m->ntaken = kept;
    weft_lock_release(&m->lock);
    for (unsigned i = 0; i < n; i++)
        if (whys[i] != 0)
            weft__mail_drop(m, &m->items[i].address, m->items[i].size, (enum weft__packet_count)whys[i]);
}

static void receive_all(weft__mail *m)
{
    while (take_rooms(m)) {
        int n = receive(m);
        if (n < 0) {
            if (n != -ECANCELED)
                (void)weft_sleep(weft_in_ms(RETRY_MS)); /* out of memory, say */
            continue;
        }
        admit_all(m, (unsigned)n);
        switch (m->kind) {
        case WEFT__MAIL_INLINE:
            run_here(m);
            weft__mail_flush(m);
            break;
        case WEFT__MAIL_LOOP:
            run_coroutines(m);
            break;
        case WEFT__MAIL_POOL:
            run_pool(m, (unsigned)n);
            break;
        case WEFT__MAIL_EACH:
            start_threads(m);
            break;
        }
    }
}

/* ---- the stop ---- */

static void cut(weft__mail *m)
{
    weft_lock_acquire(&m->lock);
    m->cut = true;
    list_each (l, &m->turns)
        weft__waiter_cancel(container_of(l, weft__call_turn, link)->waiter);
    weft_lock_release(&m->lock);
}

/* Pre: locked. */
static void wake_threads(weft__mail *m)
{
    list_each (l, &m->by_age) {
        weft__peer *p = container_of(l, weft__peer, by_age);
        add_seq_cst(&p->word, 1);
        weft__wake(&p->word, 1, 0);
    }
}

static void drain(weft__mail *m)
{
    weft_lock_acquire(&m->lock);
    m->draining = true;
    wake_threads(m);
    weft_lock_release(&m->lock);
    for (;;) {
        uint32_t seen = load_seq_cst(&m->worker->coming);
        weft_lock_acquire(&m->lock);
        bool done = m->used == 0 && (seen & RUNNERS) == 0;
        bool was_cut = m->cut;
        weft_lock_release(&m->lock);
        if (done)
            return;
        int64_t grace = load_seq_cst(&m->server->grace);
        if (!was_cut && grace <= weft__sys_now())
            cut(m);
        else
            (void)weft__park(&m->worker->coming, seen, was_cut ? WEFT_FOREVER : (weft_until){grace},
                             WEFT__UNCANCELLABLE, "server stop");
    }
}

/* All is done: those who look after something end. */
static void end_helpers(weft__mail *m)
{
    weft__worker *w = m->worker;
    weft_lock_acquire(&m->lock);
    m->over = true;
    weft_lock_release(&m->lock);
    add_seq_cst(&w->line, 1);
    weft__wake(&w->line, UINT32_MAX, 0);
    notify(w);
    for (uint32_t left; (left = load_seq_cst(&w->standing)) > 0;)
        (void)weft__park(&w->standing, left, WEFT_FOREVER, WEFT__UNCANCELLABLE, "server stop");
}

/* The receiver's life. */
static void serve(weft__mail *m)
{
    weft__worker *w = m->worker;
    weft_lock_acquire(&m->lock);
    m->receiver = weft__self();
    m->gathering = m->kind == WEFT__MAIL_INLINE;
    weft_lock_release(&m->lock);
    receive_all(m);
    weft_shield(1);
    weft__listen_remove_file(m->server); /* nobody takes what comes there from now on */
    drain(m);
    end_helpers(m);
    weft_lock_acquire(&w->lock);
    w->mail = NULL;
    weft_lock_release(&w->lock);
    weft__mail_close(m);
}

/* For a receiver that calls the handlers itself, and so cannot look at the clock: cuts them when the grace is over. */
static void *guard_main(void *arg)
{
    weft__mail *m = arg;
    weft__worker *w = m->worker;
    for (bool over = false, was_cut = false; !over;) {
        uint32_t seen = load_seq_cst(&w->coming);
        int64_t grace = stopping(m) ? load_seq_cst(&m->server->grace) : INT64_MAX;
        if (!was_cut && grace <= weft__sys_now()) {
            cut(m);
            was_cut = true;
        }
        weft_lock_acquire(&m->lock);
        over = m->over;
        weft_lock_release(&m->lock);
        if (!over)
            (void)weft__park(&w->coming, seen, was_cut ? WEFT_FOREVER : (weft_until){grace}, WEFT__UNCANCELLABLE,
                             "server stop");
    }
    weft__thread_eventfd_close();
    count_out(&w->standing);
    return NULL;
}

/* ---- the models ---- */

static void packet_notify(weft_server *s)
{
    for (unsigned i = 0; i < s->nworkers; i++) {
        weft__worker *w = &s->workers[i];
        weft_lock_acquire(&w->lock);
        weft__mail *m = w->mail;
        if (m != NULL) {
            weft_lock_acquire(&m->lock);
            if (m->receiving && m->receiver != NULL)
                weft__waiter_cancel(m->receiver);
            weft_lock_release(&m->lock);
        }
        weft_lock_release(&w->lock);
        notify(w);
    }
}

/* The sockets of other processes are theirs. */
static void keep_own_sockets(weft_server *s)
{
    unsigned first = s->child * s->nworkers;
    for (unsigned i = 0; i < weft__packet_sockets(s) && s->in_child; i++) {
        if (i >= first && i < first + s->nworkers)
            continue;
        weft__sys_close(s->listeners[i]);
        store_relaxed(&s->listeners[i], -1);
    }
}

static int open_mail(weft__worker *w, enum weft__mail_kind kind)
{
    weft_server *s = w->server;
    weft__mail *m;
    unsigned row = s->in_child ? s->child : 0;
    int fd = weft__sys_dup(s->listeners[row * s->nworkers + w->index]);
    if (fd < 0)
        return fd;
    int err = weft__mail_open(&m, w, fd, true);
    if (err < 0)
        return err;
    m->kind = kind;
    weft_lock_acquire(&w->lock);
    w->mail = m;
    weft_lock_release(&w->lock);
    return 0;
}

static int loop_main(void *arg)
{
    weft__worker *w = arg;
    int err = open_mail(w, WEFT__MAIL_LOOP);
    weft__mail *m = w->mail;
    weft__keeper_started(w, err);
    if (err == 0)
        serve(m);
    weft__keeper_gone(w);
    return 0;
}

static int loop_start(weft_server *s)
{
    keep_own_sockets(s);
    return weft__keepers_start(s, loop_main);
}

static void *receiver_main(void *arg)
{
    weft__mail *m = arg;
    weft_server *s = m->server;
    serve(m);
    weft__thread_eventfd_close();
    weft__server_ended(s);
    return NULL;
}

/* A helper of m's; it counts itself out of `standing`. */
static int start_helper(weft__mail *m, void *(*fn)(void *), size_t stack_size)
{
    add_seq_cst(&m->worker->standing, 1);
    int err = weft__sys_thread(fn, m, stack_size);
    if (err < 0)
        sub_seq_cst(&m->worker->standing, 1);
    return err;
}

static int threads_start(weft_server *s, enum weft__mail_kind kind)
{
    weft__worker *w = &s->workers[0];
    const weft_server_options *o = &s->options;
    keep_own_sockets(s);
    int err = open_mail(w, kind);
    if (err < 0)
        goto fail;
    weft__mail *m = w->mail;
    if (kind == WEFT__MAIL_INLINE)
        err = start_helper(m, guard_main, RECEIVER_STACK);
    for (unsigned i = 0; kind == WEFT__MAIL_POOL && i < o->threads && err == 0; i++)
        err = start_helper(m, pool_main, o->stack_size);
    if (err == 0)
        err = weft__sys_thread(receiver_main, m, kind == WEFT__MAIL_INLINE ? o->stack_size : RECEIVER_STACK);
    if (err == 0)
        return 0;
    end_helpers(m);
    weft_lock_acquire(&w->lock);
    w->mail = NULL;
    weft_lock_release(&w->lock);
    weft__mail_close(m);
fail:
    weft__server_ended(s);
    return err;
}

static int inline_start(weft_server *s)
{
    return threads_start(s, WEFT__MAIL_INLINE);
}

static int pool_start(weft_server *s)
{
    return threads_start(s, WEFT__MAIL_POOL);
}

static int each_start(weft_server *s)
{
    return threads_start(s, WEFT__MAIL_EACH);
}

const weft__model *weft__packet_model(const weft_server *s)
{
    static const weft__model loop = {.name = "loop", .loops = true, .start = loop_start, .notify = packet_notify};
    static const weft__model one = {.name = "one", .fixed = true, .start = inline_start, .notify = packet_notify};
    static const weft__model pool = {.name = "pool", .fixed = true, .start = pool_start, .notify = packet_notify};
    static const weft__model each = {.name = "each", .start = each_start, .notify = packet_notify};
    return s->model->loops                      ? &loop
           : s->model == &weft__model_iterative ? &one
           : s->model == &weft__model_pool      ? &pool
                                                : &each;
}

void weft__packet_bury(weft__worker *w)
{
    uint64_t done = 0;
    for (unsigned i = WEFT__PACKET_HANDLED; i <= WEFT__PACKET_CUT; i++)
        done += load_relaxed(&w->packets[i]);
    uint64_t received = load_relaxed(&w->packets[WEFT__PACKET_RECEIVED]);
    if (received > done)
        add_relaxed(&w->packets[WEFT__PACKET_CUT], received - done);
}
