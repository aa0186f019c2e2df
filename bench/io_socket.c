/* io_socket.c - datagrams by the batch beside one call for each: an operation is one datagram of 1000 bytes, sent and
 * received by one thread. */
#include "bench.h"

#include <weft/datagram.h>

#include <string.h>
#include <sys/socket.h>

/* ---- datagrams ---- */

enum {
    SIZE = 1000,
    BATCH = 64
};

static void open_both(weft_datagram **from, weft_datagram **to, int gather)
{
    weft_datagram_options options = {.gather = gather != 0, .recv_buffer = 400000};
    BENCH_MUST(weft_udp_open(to, NULL, 0, &options));
    BENCH_MUST(weft_udp_connect(from, NULL, weft_datagram_port(*to), NULL));
}

BENCH_BASELINE(datagram_one_by_one_bare, .cores = 1)
{
    weft_datagram *from, *to;
    char data[SIZE] = {0};
    open_both(&from, &to, 0);
    int out = weft_datagram_fd(from), in = weft_datagram_fd(to);
    bench_start(b);
    for (uint64_t done = 0; done < b->n;) {
        uint64_t some = b->n - done < BATCH ? b->n - done : BATCH;
        for (uint64_t i = 0; i < some; i++)
            BENCH_MUST(send(out, data, sizeof data, 0));
        for (uint64_t i = 0; i < some; i++)
            BENCH_MUST(recv(in, data, sizeof data, 0));
        done += some;
    }
    bench_stop(b);
}

static void by_the_batch(bench *b, int gather)
{
    static char data[BATCH][SIZE];
    weft_datagram *from, *to;
    weft_datagram_item out[BATCH], in[BATCH];
    open_both(&from, &to, gather);
    memset(out, 0, sizeof out);
    for (int i = 0; i < BATCH; i++)
        out[i].data = in[i].data = data[i];
    bench_start(b);
    for (uint64_t done = 0; done < b->n;) {
        unsigned some = b->n - done < BATCH ? (unsigned)(b->n - done) : BATCH, got = 0;
        for (unsigned i = 0; i < some; i++)
            out[i].size = in[i].size = SIZE;
        BENCH_MUST(weft_datagram_send_many(from, out, some, WEFT_FOREVER));
        while (got < some) {
            int n = weft_datagram_recv_many(to, in + got, some - got, WEFT_FOREVER);
            BENCH_MUST(n);
            got += (unsigned)n;
        }
        done += some;
    }
    bench_stop(b);
}

BENCH(datagram_many, .baseline = "datagram_one_by_one_bare", .at_most = 1.0, .cores = 1)
{
    by_the_batch(b, 0);
}

BENCH(datagram_many_gathered, .baseline = "datagram_one_by_one_bare", .at_most = 0.67, .cores = 1)
{
    by_the_batch(b, 1);
}
