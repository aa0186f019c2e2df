/* echo_server.c - the echo server of include/weft/server.h under a model, for the benchmarks: one loop in each of its
 * processes.
 *
 *     echo_server MODEL [CONNECTIONS [PROCESSES]]
 *
 * Prints tcp://127.0.0.1:PORT and serves until it is ended. */
#include <weft/server.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int echo(weft_conn *c, void *arg)
{
    (void)arg;
    const void *bytes;
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n <= 0 || weft_conn_write(c, bytes, (size_t)n) < 0)
        return WEFT_CONN_CLOSE;
    weft_conn_consume(c, (size_t)n);
    return WEFT_CONN_IDLE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: echo_server MODEL [CONNECTIONS [PROCESSES]]\n", stderr);
        return 2;
    }
    weft_server *s;
    weft_server_options o = {
        .handler = echo,
        .model = argv[1],
        .idle_timeout = -1,
        .run_here = 1,
        .threads = strcmp(argv[1], "coroutine") == 0 ? 1 : 0,
        .max_connections = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0, /* a process */
        .processes = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0,       /* 0: this one alone */
    };
    int err = weft_server_open(&s, &o);
    if (err < 0) {
        fprintf(stderr, "echo_server: %s\n", strerror(-err));
        return 1;
    }
    printf("tcp://127.0.0.1:%u\n", weft_server_port(s));
    fflush(stdout);
    return weft_server_run(s, WEFT_FOREVER) < 0;
}
