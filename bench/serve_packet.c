/* serve_packet.c - a datagram of 64 bytes to a server and back, 32 of them under way: weft_server beside a loop of
 * recvmmsg and sendmmsg in C, which does nothing else; both are a thread of their own, and the client is the same. And
 * beside Go, both of whose ends are goroutines, that send and receive one a call. */
#include "bench.h"

#include <weft/datagram.h>
#include <weft/packet.h>

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SIZE = 64,
    BATCH = 32
};

static void ask(bench *b, unsigned port)
{
    static char data[BATCH][SIZE];
    weft_datagram *d;
    weft_datagram_item out[BATCH], in[BATCH];
    BENCH_MUST(weft_udp_connect(&d, NULL, port, NULL));
    memset(out, 0, sizeof out);
    for (int i = 0; i < BATCH; i++)
        out[i].data = in[i].data = data[i];
    bench_start(b);
    for (uint64_t done = 0; done < b->n;) {
        unsigned some = b->n - done < BATCH ? (unsigned)(b->n - done) : BATCH;
        for (unsigned i = 0; i < some; i++)
            out[i].size = in[i].size = SIZE;
        BENCH_MUST(weft_datagram_send_many(d, out, some, WEFT_FOREVER));
        for (unsigned got = 0; got < some;) {
            int n = weft_datagram_recv_many(d, in + got, some - got, weft_in_seconds(10));
            BENCH_MUST(n);
            got += (unsigned)n;
        }
        done += some;
    }
    bench_stop(b);
    weft_datagram_close(d);
}

/* ---- the bare loop: ends with a datagram of one byte ---- */

static void *echo_bare(void *arg)
{
    static char data[BATCH][2048];
    static struct sockaddr_in from[BATCH];
    static struct mmsghdr messages[BATCH];
    static struct iovec pieces[BATCH];
    int fd = *(int *)arg;
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            pieces[i] = (struct iovec){data[i], sizeof data[i]};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &pieces[i], .msg_iovlen = 1};
        }
        int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        BENCH_MUST(n);
        for (int i = 0; i < n; i++) {
            pieces[i].iov_len = messages[i].msg_len;
            if (messages[i].msg_len == 1)
                return NULL;
        }
        BENCH_MUST(sendmmsg(fd, messages, (unsigned)n, 0));
    }
}

BENCH_BASELINE(packet_echo_bare, .cores = 2)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    pthread_t server;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    BENCH_MUST(fd);
    BENCH_MUST(bind(fd, (struct sockaddr *)&a, sizeof a));
    BENCH_MUST(getsockname(fd, (struct sockaddr *)&a, &size));
    BENCH_MUST(-pthread_create(&server, NULL, echo_bare, &fd));
    ask(b, ntohs(a.sin_port));
    BENCH_MUST((int)sendto(fd, "", 1, 0, (struct sockaddr *)&a, sizeof a));
    pthread_join(server, NULL);
    close(fd);
}

static void echo(weft_packet *p, void *arg)
{
    (void)arg;
    weft_packet_answer(p, p->data, p->size);
}

static void echo_by(bench *b, const char *model)
{
    weft_server *s;
    weft_server_options o = {.packet.handler = echo, .model = model, .threads = 1};
    BENCH_MUST(weft_server_open(&s, &o));
    BENCH_MUST(weft_server_start(s));
    ask(b, weft_server_port(s));
    weft_server_close(s);
}

BENCH(packet_echo_iterative, .baseline = "packet_echo_bare", .at_most = 1.0, .cores = 2)
{
    echo_by(b, "iterative");
}

BENCH_PEER(packet_echo_go, "udp_echo")

BENCH(packet_echo_epoll_beside_go, .baseline = "packet_echo_go", .at_most = 1.0, .cores = 2)
{
    echo_by(b, "epoll");
}

BENCH(packet_echo_epoll, .baseline = "packet_echo_bare", .at_most = 1.0, .cores = 2)
{
    echo_by(b, "epoll");
}
