/* ipc_zmq.c - see ipc_peers.h: ZeroMQ over ipc:// with an abstract address, default limits. */
#include "ipc_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

static char names[2][64];
static void *context, *sockets[2];

static void must(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

void peer_zmq_make(unsigned lane, size_t size)
{
    (void)size;
    snprintf(names[lane], sizeof names[lane], "ipc://@weft-bench-%d-%u", (int)getpid(), lane);
}

void peer_zmq_join(unsigned lane, int sends)
{
    if (context == NULL)
        context = zmq_ctx_new();
    sockets[lane] = zmq_socket(context, sends ? ZMQ_PUSH : ZMQ_PULL);
    must(sends ? zmq_connect(sockets[lane], names[lane]) : zmq_bind(sockets[lane], names[lane]), "zmq_bind or connect");
}

void peer_zmq_send(unsigned lane, const void *message, size_t size)
{
    must(zmq_send(sockets[lane], message, size, 0), "zmq_send");
}

void peer_zmq_receive(unsigned lane, void *message, size_t size)
{
    must(zmq_recv(sockets[lane], message, size, 0), "zmq_recv");
}
