/* packet_attack_test.c - what clients of a datagram server can do on purpose, or a stop at a bad moment, and what must
 * not come of it.; S001-18, S001-139. Clients are plain sockets. */
#include "serve/packet_support.h"

#include <weft/co.h>

#include "base/atomic.h"
#include "park/park.h"
#include "sys/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- the handler: what a datagram begins with says what is done ----
 *      r...   a millisecond of sleep; it comes back, if that was not cut short
 *      w      at work until `go`; nothing comes back
 *      others, and nothing at all, come back */
struct work {
    uint32_t cut, working, go; /* atomic */
    bool forks;
};

static void handle(weft_packet *p, void *arg)
{
    struct work *s = arg;
    char what = p->size > 0 ? *(const char *)p->data : 'e';
    if (what == 'r' && weft_sleep(weft_in_ms(1)) < 0) {
        add_seq_cst(&s->cut, 1);
        return;
    }
    if (what == 'w') {
        add_seq_cst(&s->working, 1);
        while (load_seq_cst(&s->go) == 0)
            if (weft__park(&s->go, 0, WEFT_FOREVER, s->forks ? WEFT__SHARED_WORD : 0, "test") < 0)
                return;
        return;
    }
    (void)weft_packet_answer(p, p->data, p->size);
}

static struct work *new_work(const serve_kind *kind)
{
    struct work *s = test_shared(sizeof *s);
    s->forks = kind->forks;
    return s;
}

static void let_go(struct work *s)
{
    store_seq_cst(&s->go, 1);
    weft__wake(&s->go, UINT32_MAX, s->forks ? WEFT__SHARED_WORD : 0);
}

static weft_server *serve(const serve_kind *kind, weft_server_options o, struct work *s)
{
    o.packet.handler = handle;
    o.arg = s;
    o.stack_size = 256 * 1024; /* sanitizers need it */
    o.host = serve_own_host();
    return serve_start(kind, o);
}

/* ---- a stop at a bad moment ---- */

/* Who is told to take nothing more while he takes the last one handles that one like any other. */
PACKET_EVERY_MODEL(packet_that_comes_together_with_a_stop_has_its_grace)
{
    struct work *work = new_work(kind);
    for (int i = 0; i < 20; i++) {
        weft_server *s = serve(kind, (weft_server_options){0}, work);
        int fd = packet_client(weft_server_port(s));
        packet_say(fd, "e");
        packet_expect(fd, "e");
        packet_say(fd, "r");
        weft_server_stop(s, weft_in_seconds(3600));
        CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
        CHECK_INT(packet_stats(s).received, packet_stats(s).handled);
        weft_server_close(s);
        close(fd);
    }
    CHECK_INT(0, load_seq_cst(&work->cut));
}

/* What was taken from the kernel is handled, or it is counted why not. */
static uint64_t accounted(const weft_packet_stats *stats)
{
    return stats->handled + stats->too_large + stats->over_rate + stats->too_many + stats->no_room + stats->cut;
}

/* With handlers at work, lines full, and more in the kernel's queue: whatever the grace, all is accounted for. */
PACKET_EVERY_MODEL(packet_stop_in_a_flood_accounts_for_all)
{
    enum {
        CLIENTS = 12
    };
    for (int i = 0; i < 6; i++) {
        struct work *work = new_work(kind);
        weft_server_options o = {.packet = {.queue = 16, .peer_queue = 3}, .max_connections = 8};
        weft_server *s = serve(kind, o, work);
        int fd[CLIENTS];
        for (int k = 0; k < CLIENTS; k++) {
            fd[k] = packet_client(weft_server_port(s));
            for (int n = 0; n < 8; n++)
                packet_say(fd[k], k < i ? "w" : n % 2 ? "e" : "r");
        }
        weft_server_stop(s, i % 2 ? WEFT_NOW : weft_in_ms(5));
        CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
        weft_packet_stats stats = packet_stats(s);
        CHECK_INT(stats.received, accounted(&stats));
        CHECK(stats.received + stats.lost <= CLIENTS * 8);
        weft_server_close(s);
        for (int k = 0; k < CLIENTS; k++)
            close(fd[k]);
    }
}

/* ---- places that are taken ---- */

struct flood {
    weft_server *server;
    uint64_t sent;
};

static bool is_settled(void *arg)
{
    struct flood *f = arg;
    weft_packet_stats stats = packet_stats(f->server);
    return stats.received + stats.lost >= f->sent && accounted(&stats) == stats.received;
}

/* Sources without end displace each other; one who stays and asks again is served in the midst of them. */
PACKET_EVERY_MODEL(packet_flood_of_many_sources_leaves_room_for_one_who_stays)
{
    enum {
        SOURCES = 300,
        AT_ONCE = 20
    };
    weft_server *s = serve(kind, (weft_server_options){.max_connections = 4}, new_work(kind));
    struct flood flood = {s, 0};
    int stays = packet_client(weft_server_port(s)), fd[AT_ONCE];
    for (int i = 0; i < SOURCES; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++, flood.sent++)
            packet_say(fd[k] = packet_client(weft_server_port(s)), k % 3 ? "e" : "");
        wait_until(is_settled, &flood, "the flood is settled");
        struct timeval soon = {.tv_usec = 20000};
        setsockopt(stays, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        char byte;
        int tries = 0;
        do { /* what is lost is sent again: a thread or process has to end first */
            if (tries++ == 300)
                FAIL("no place for one who stays");
            packet_say(stays, "e");
            flood.sent++;
        } while (recv(stays, &byte, 1, 0) != 1);
        for (int k = 0; k < AT_ONCE; k++)
            close(fd[k]);
    }
    wait_until(is_settled, &flood, "all is settled");
    CHECK_INT(flood.sent, packet_stats(s).received + packet_stats(s).lost);
    close(stays);
    serve_stop(s);
}

struct calls {
    struct work *work;
    weft_server *server;
    uint32_t count;
};

static bool are_working(void *arg)
{
    struct calls *c = arg;
    return load_seq_cst(&c->work->working) >= c->count;
}

/* Peers whose handlers are slow keep their own places only: a newcomer gets that of one who is silent, however many of
 * those who have been there for longer are at work. */
static void packet_peers_at_work_do_not_keep_newcomers_out(const serve_kind *kind)
{
    enum {
        BUSY = 20,
        SILENT = 20
    };
    struct work *work = new_work(kind);
    weft_server_options o = {.max_connections = BUSY + SILENT, .threads = 1, .idle_timeout = -1};
    weft_server *s = serve(kind, o, work);
    int fd[BUSY + SILENT];
    for (int i = 0; i < BUSY; i++)
        packet_say(fd[i] = packet_client(weft_server_port(s)), "w");
    wait_until(are_working, &(struct calls){work, s, BUSY}, "all are at work");
    for (int i = BUSY; i < BUSY + SILENT; i++) {
        packet_say(fd[i] = packet_client(weft_server_port(s)), "e");
        packet_expect(fd[i], "e");
    }
    int newcomer = packet_client(weft_server_port(s));
    struct timeval soon = {.tv_usec = 20000};
    setsockopt(newcomer, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    char byte;
    int tries = 0;
    do { /* what is lost is sent again: those who look for a place look at some only, and a process has to end first */
        if (tries++ == 200)
            FAIL("no place for a newcomer");
        packet_say(newcomer, "e");
    } while (recv(newcomer, &byte, 1, 0) != 1);
    let_go(work);
    for (int i = 0; i < BUSY + SILENT; i++)
        close(fd[i]);
    close(newcomer);
    serve_stop(s);
}

SERVE__ONE(60, packet_peers_at_work_do_not_keep_newcomers_out, thread)
SERVE__ONE(60, packet_peers_at_work_do_not_keep_newcomers_out, process)
SERVE__ONE(60, packet_peers_at_work_do_not_keep_newcomers_out, epoll)
SERVE__ONE(60, packet_peers_at_work_do_not_keep_newcomers_out, uring)

/* ---- no thread for a peer ---- */

struct drops {
    uint32_t count, why; /* atomic; without its sign */
};

static void note_drop(const weft_address *from, size_t size, int why, void *arg)
{
    struct drops *d = arg;
    CHECK(weft_address_port(from) != 0);
    CHECK_INT(3, size);
    store_seq_cst(&d->why, (uint32_t)-why);
    add_seq_cst(&d->count, 1);
}

static void echo(weft_packet *p, void *arg)
{
    (void)arg;
    (void)weft_packet_answer(p, p->data, p->size);
}

static bool is_told(void *arg)
{
    return load_seq_cst(&((struct drops *)arg)->count) > 0;
}

/* What is dropped for want of one is told like all that is dropped; and the next one finds a thread again. */
static void packet_for_which_there_is_no_thread_is_told(const serve_kind *kind);
SERVE__ONE(30, packet_for_which_there_is_no_thread_is_told, thread)
static void packet_for_which_there_is_no_thread_is_told(const serve_kind *kind)
{
    struct drops drops = {0};
    weft_server_options o = {.packet = {.handler = echo, .on_drop = note_drop}, .arg = &drops};
    o.host = serve_own_host();
    o.stack_size = 256 * 1024;
    weft_server *s = serve_start(kind, o);
    int fd = packet_client(weft_server_port(s));
    weft__sys_plan(WEFT__SYS_THREAD, 1, 1, -EAGAIN, 0);
    packet_say(fd, "one");
    wait_until(is_told, &drops, "that it was dropped");
    weft__sys_plan_none();
    CHECK_INT(EUSERS, load_seq_cst(&drops.why));
    CHECK_INT(1, packet_stats(s).no_room);
    packet_say(fd, "two");
    packet_expect(fd, "two");
    close(fd);
    serve_stop(s);
}

/* ---- no way to a peer's process ---- */

enum {
    HEAVY = 60000 /* bytes: a few fill a socket's room */
};

/* "w" waits for `go`; "s" also shuts the way to here, as if this process had died and nobody had seen it yet. */
static void shut_or_wait(weft_packet *p, void *arg)
{
    struct work *s = arg;
    int type;
    socklen_t size = sizeof type;
    for (int fd = 3; fd < 64 && *(const char *)p->data == 's'; fd++)
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
            (void)shutdown(fd, SHUT_RDWR);
    add_seq_cst(&s->working, 1);
    while (load_seq_cst(&s->go) == 0)
        (void)weft__park(&s->go, 0, WEFT_FOREVER, WEFT__SHARED_WORD, "test");
}

static weft_server *serve_far(struct work *work, int *fd)
{
    weft_server_options o = {.packet = {.handler = shut_or_wait}, .arg = work};
    o.host = serve_own_host();
    weft_server *s = serve_start(&serve_process, o);
    *fd = packet_client(weft_server_port(s));
    return s;
}

static void await_received(weft_server *s, uint64_t n)
{
    while (packet_stats(s).received < n)
        (void)weft_sleep(weft_in_ms(1));
    (void)weft_server_tell(s, 1, WEFT_FOREVER); /* it is past what it has received */
}

TEST_LIMIT(30, packet_for_which_there_is_no_process_any_more_has_no_room)
{
    struct work *work = new_work(&serve_process);
    int fd;
    weft_server *s = serve_far(work, &fd);
    packet_say(fd, "s");
    while (load_seq_cst(&work->working) == 0)
        (void)weft_sleep(weft_in_ms(1));
    packet_say(fd, "late");
    await_received(s, 2);
    CHECK_INT(0, packet_stats(s).too_many);
    CHECK_INT(1, packet_stats(s).no_room);
    let_go(work);
    close(fd);
    serve_stop(s);
}

TEST_LIMIT(30, packet_for_which_the_way_to_its_process_is_full_has_no_room)
{
    static char heavy[HEAVY];
    struct work *work = new_work(&serve_process);
    int fd;
    weft_server *s = serve_far(work, &fd);
    packet_say(fd, "w");
    for (uint64_t n = 2; packet_stats(s).no_room + packet_stats(s).too_many == 0; n++) {
        CHECK_INT(HEAVY, send(fd, heavy, HEAVY, 0));
        await_received(s, n);
    }
    CHECK_INT(0, packet_stats(s).too_many);
    CHECK_INT(1, packet_stats(s).no_room);
    let_go(work);
    close(fd);
    serve_stop(s);
}

/* ---- calls that fail ---- */

static void serve_with_a_failure(const serve_kind *kind)
{
    weft_server *s;
    weft_server_options o = {.packet = {.handler = echo}, .model = kind->model, .poller = kind->poller, .threads = 2};
    o.host = serve_own_host();
    o.processes = kind->processes;
    o.stack_size = 256 * 1024;
    if (weft_server_open(&s, &o) < 0)
        return;
    if (weft_server_start(s) == 0) {
        int fd = packet_client(weft_server_port(s));
        struct timeval soon = {.tv_usec = 20000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        char byte;
        for (int i = 0; i < 3; i++)
            packet_say(fd, "e");
        for (int tries = 0; recv(fd, &byte, 1, 0) != 1; tries++) {
            if (tries == 300)
                FAIL("no answer any more");
            packet_say(fd, "e");
        }
        close(fd);
        weft_server_stop(s, WEFT_FOREVER);
        CHECK_OK(weft_server_wait(s, WEFT_FOREVER));
        weft_packet_stats stats = packet_stats(s);
        CHECK_INT(stats.received, accounted(&stats));
    }
    weft_server_close(s);
}

/* One call in a server's life fails: it says so, or it serves; and it ends. */
PACKET_EVERY_MODEL(packet_server_survives_each_failing_call)
{
    static const enum weft__sys_call calls[] = {WEFT__SYS_MALLOC, WEFT__SYS_MMAP, WEFT__SYS_THREAD,
                                                WEFT__SYS_SOCKET, WEFT__SYS_BIND, WEFT__SYS_SOCKOPT,
                                                WEFT__SYS_FORK,   WEFT__SYS_SEND, WEFT__SYS_RECV};
    /* By the last two the processes speak to each other as well. */
    size_t n = sizeof calls / sizeof calls[0] - (kind->forks ? 2 : 0);
    for (size_t i = 0; i < n; i++)
        for (uint32_t nth = 1; nth <= 12; nth++) {
            weft__sys_plan(calls[i], nth, 1, calls[i] == WEFT__SYS_MALLOC ? -ENOMEM : -ENOBUFS, 0);
            serve_with_a_failure(kind);
            weft__sys_plan_none();
        }
}
