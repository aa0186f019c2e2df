/* weft/packet.h - a datagram server (UDP, Unix sockets): weft_server with one handler for datagrams, under the same
 * models.
 *
 *     static void echo(weft_packet *p, void *arg)
 *     {
 *         weft_packet_answer(p, p->data, p->size);
 *     }
 *     ...
 *     weft_server *s;
 *     int err = weft_server_open(&s, &(weft_server_options){.packet.handler = echo, .port = 7000, .model = "epoll"});
 *     if (err == 0)
 *         err = weft_server_run(s, WEFT_FOREVER);
 *
 * It is opened, started, awaited, stopped and closed by the calls of weft/server.h. */
#ifndef WEFT_PACKET_H
#define WEFT_PACKET_H

#include <weft/address.h>
#include <weft/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A *peer* is an address from which datagrams come. In all models the datagrams of a peer are handled one after the
 * other, in the order in which they came; of different peers as many at the same time as the model has it:
 *   "iterative"  one datagram after the other, by one thread
 *   "pool"       `threads` threads take the peers in turn, a datagram each time
 *   "thread"     a thread for each peer, which stays for `idle_timeout`
 *   "process"    a process for each peer, likewise
 *   "prefork"    `processes` processes, one datagram at a time each
 *   "select", "poll", "epoll", "epoll-et", "uring", "coroutine"
 *                event loops, one or `threads` of them: handlers run on coroutines
 * A process or a loop has a socket of its own at the one address (SO_REUSEPORT). The kernel shares the peers out among
 * them by their addresses, so a peer stays where it is; while a process that died is replaced, its datagrams wait.
 *
 * Back-pressure. UDP has none, so what is too much is dropped, and counted (weft_packet_get_stats): by the limits of
 * weft_packet_options, or, when a process or loop has `queue` datagrams in hand, by the kernel, whose queue is then no
 * longer emptied. Answers go out with as few system calls as may be.
 *
 * Peers that have vanished. That an answer was refused (ICMP says so to the server's host) never ends the server and is
 * never the result of another call; `on_error` is told with the address, if it is given.
 *
 * Unix sockets. With the host "unix:PATH" or "unix:@NAME" the server has a Unix socket for datagrams, whose file is
 * made, replaced and removed as server.h says of streams. A client that has bound its socket to a name is answered
 * there; of one without, packet.from has size 0, an answer is -EDESTADDRREQ, and all of them are one peer. That a
 * client has gone is the result of the answer to it (-ECONNREFUSED, -ENOENT), and `on_error` is not called. There is
 * one socket, and loops and processes take from it in turn: only where there is one of them is what is said of a
 * peer's order true, so "coroutine" has one loop then, unless `threads` is given. Answers are sent at once, each by
 * itself, and wait up to write_timeout for a client that does not read. What it has not read counts against the
 * server's send buffer, so one client can hold up the answers to all: let in only whom you trust.
 *
 * Options. Of weft_server_options count: arg, host, port, model, poller, threads, processes, stack_size, write_timeout
 * (how long an answer may wait for the kernel to have room), idle_timeout (a peer is forgotten after it; here 0 = 10 s)
 * and max_connections (peers known to a process or loop; 0 = 10,000, in the model "process" 512; when all are at work,
 * the datagrams of others are dropped). With hooks of connections or states, or in the model "process" any hook, it is
 * -EINVAL.
 *
 * A graceful stop takes no further datagram from the kernel; those in hand are handled until the grace ends, then
 * handlers are cancelled ("process": killed). What is left is lost, as UDP may lose anything, and counted as cut.
 *
 * A successor (weft/handover.h) gets the sockets, and with them what lies in their queues: no datagram is lost, as long
 * as the queues have room. From its start until this server retires both receive, and what a peer sends goes to either;
 * so only within each of them are its datagrams handled one after the other. Where that matters, retire and wait
 * before the successor starts: what comes meanwhile waits in the queues.
 *   `listeners` may be one for each loop and process (-E2BIG: more than that); those for which there is none are bound
 * at the address of the first (-EADDRINUSE: another user has made it). Losses that the kernel counts while both
 * have the sockets are in `lost` of both. */

/* One datagram, during the call of its handler; to be read only. */
struct weft_packet {
    const void *data;
    size_t size;       /* may be 0 */
    weft_address from; /* the peer */
    weft_server *server;
    void *inner; /* the server's own */
};

/* Send a datagram to the peer, any number of times. The bytes are copied; answers may be gathered until the datagrams
 * that came together have been handled, or until the handler waits ("iterative" and "prefork": until it returns); see
 * flush. Returns 0; -EMSGSIZE (more than 65507 bytes), -ETIMEDOUT (write_timeout), -ECANCELED (at the end of the
 * grace), -EDESTADDRREQ (the peer has no name), or another error; an error of what was gathered is counted only. By the
 * handler and the coroutines and threads that it waits for; may wait. */
WEFT_API int weft_packet_answer(weft_packet *p, const void *data, size_t size);

/* The same to anybody, from the server's own address; at once. */
WEFT_API int weft_packet_send(weft_packet *p, const void *data, size_t size, const weft_address *to);

/* Send what is gathered, now: before a handler of "iterative" or "prefork" waits. */
WEFT_API void weft_packet_flush(weft_packet *p);

/* Counts since the start. A racy picture while it serves. All that came is in one of `handled` ... `cut`, or is being
 * handled or in hand, or the kernel has lost it. */
typedef struct weft_packet_stats {
    uint64_t received;  /* taken from the kernel */
    uint64_t handled;   /* handler calls that have ended */
    uint64_t too_large; /* dropped: more than size_max */
    uint64_t over_rate; /* dropped: more than the peer's rate */
    uint64_t too_many;  /* dropped: the peer had peer_queue in hand */
    uint64_t no_room;   /* dropped: max_connections at work; or no thread or process, or no room on the way to it */
    uint64_t cut;       /* dropped at the end of the grace, or with their process */
    uint64_t lost;      /* by the kernel: there was no room in its queue */
    uint64_t answered;  /* answers handed to the kernel */
    uint64_t unsent;    /* answers that could not be sent */
} weft_packet_stats;
WEFT_API void weft_packet_get_stats(const weft_server *s, weft_packet_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
