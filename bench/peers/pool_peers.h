/* pool_peers.h - thread pools of C++ and C libraries: n empty jobs on two threads, a thousand at a time. */
#ifndef BENCH_PEERS_POOL_PEERS_H
#define BENCH_PEERS_POOL_PEERS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void peer_pool_tbb(uint64_t n);
void peer_pool_openmp(uint64_t n);
void peer_pool_glib(uint64_t n);

#ifdef __cplusplus
}
#endif
#endif
