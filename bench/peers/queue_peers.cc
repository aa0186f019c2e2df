// queue_peers.cc - see queue_peers.h: TBB's concurrent_bounded_queue, Boost.Fiber's buffered_channel, GLib's GAsyncQueue.
#include "queue_peers.h"

#include <boost/fiber/buffered_channel.hpp>
#include <glib.h>
#include <tbb/concurrent_queue.h>

#include <thread>
#include <vector>

// Run `pairs` putters and getters; each moves n / pairs elements.
template <class Put, class Get> static void run_pairs(unsigned pairs, uint64_t n, Put put, Get get)
{
    uint64_t each = n / pairs + 1;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < pairs; i++) {
        threads.emplace_back([=] {
            for (uint64_t k = 0; k < each; k++)
                get();
        });
        threads.emplace_back([=] {
            for (uint64_t k = 0; k < each; k++)
                put(k + 1);
        });
    }
    for (auto &thread : threads)
        thread.join();
}

void peer_queue_tbb(unsigned pairs, uint64_t n, unsigned capacity)
{
    tbb::concurrent_bounded_queue<uint64_t> queue;
    queue.set_capacity(capacity);
    run_pairs(
        pairs, n, [&queue](uint64_t k) { queue.push(k); },
        [&queue] {
            uint64_t k;
            queue.pop(k);
        });
}

void peer_queue_boost(unsigned pairs, uint64_t n, unsigned capacity)
{
    boost::fibers::buffered_channel<uint64_t> channel(capacity);
    run_pairs(
        pairs, n, [&channel](uint64_t k) { channel.push(k); },
        [&channel] {
            uint64_t k;
            channel.pop(k);
        });
}

void peer_queue_glib(unsigned pairs, uint64_t n)
{
    GAsyncQueue *queue = g_async_queue_new();
    run_pairs(
        pairs, n, [queue](uint64_t k) { g_async_queue_push(queue, reinterpret_cast<gpointer>(k)); },
        [queue] { g_async_queue_pop(queue); });
    g_async_queue_unref(queue);
}
