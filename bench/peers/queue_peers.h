/* queue_peers.h - blocking queues of C++ and C libraries: n elements of 8 bytes from `pairs` threads to as many. */
#ifndef BENCH_PEERS_QUEUE_PEERS_H
#define BENCH_PEERS_QUEUE_PEERS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void peer_queue_tbb(unsigned pairs, uint64_t n, unsigned capacity);
void peer_queue_boost(unsigned pairs, uint64_t n, unsigned capacity);
void peer_queue_glib(unsigned pairs, uint64_t n); /* has no capacity */

#ifdef __cplusplus
}
#endif
#endif
