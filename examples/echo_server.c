/* echo_server.c - sends back what it receives, to any number of clients, until Ctrl-C.
 *
 *     echo_server [PORT [MODEL [POLLER]]]        say: echo_server 7000 thread
 *
 * Try it with two terminals of `nc 127.0.0.1 7000`. The handler does not know which model runs it. */
#include <weft/server.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static int echo(weft_conn *c, void *arg)
{
    (void)arg;
    const void *bytes;
    ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
    if (n <= 0 || weft_conn_write(c, bytes, (size_t)n) < 0)
        return WEFT_CONN_CLOSE;
    weft_conn_consume(c, (size_t)n);
    return WEFT_CONN_IDLE; /* until more arrives the connection has neither stack nor buffer */
}

int main(int argc, char **argv)
{
    weft_server *server;
    weft_server_options options = {
        .handler = echo,
        .port = argc > 1 ? (unsigned)atoi(argv[1]) : 7000,
        .model = argc > 2 ? argv[2] : NULL,
        .poller = argc > 3 ? argv[3] : NULL,
    };
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    int signal_number, err = weft_server_open(&server, &options);
    if (err == 0 && (err = weft_server_start(server)) < 0)
        weft_server_close(server);
    if (err < 0) {
        fprintf(stderr, "echo_server: port %u: %s\n", options.port, weft_strerror(err));
        return 1;
    }
    printf("%s\n", weft_server_address(server));
    fflush(stdout);
    sigwait(&stop, &signal_number);
    weft_server_stop(server, weft_in_ms(5000));
    weft_server_wait(server, WEFT_FOREVER);
    weft_server_close(server);
    return 0;
}
