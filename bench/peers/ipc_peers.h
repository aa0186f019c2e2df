/* ipc_peers.h - messages between processes by libraries: Boost.Interprocess's message_queue, and ZeroMQ's PUSH and PULL
 * over ipc://. Lanes are numbered; make is called before the fork, join after it in each of the two. */
#ifndef BENCH_PEERS_IPC_PEERS_H
#define BENCH_PEERS_IPC_PEERS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void peer_boost_make(unsigned lane, size_t size);
void peer_boost_send(unsigned lane, const void *message, size_t size);
void peer_boost_receive(unsigned lane, void *message, size_t size);

void peer_zmq_make(unsigned lane, size_t size);
void peer_zmq_join(unsigned lane, int sends);
void peer_zmq_send(unsigned lane, const void *message, size_t size);
void peer_zmq_receive(unsigned lane, void *message, size_t size);

#ifdef __cplusplus
}
#endif
#endif
