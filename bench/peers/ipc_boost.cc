// ipc_boost.cc - see ipc_peers.h: Boost.Interprocess's message_queue. Its name is gone before anybody sends.
#include "ipc_peers.h"

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstdio>
#include <unistd.h>

using boost::interprocess::message_queue;

static message_queue *lanes[2];

void peer_boost_make(unsigned lane, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "weft-bench-%d-%u", static_cast<int>(getpid()), lane);
    lanes[lane] = new message_queue(boost::interprocess::create_only, name, 1024, size);
    message_queue::remove(name);
}

void peer_boost_send(unsigned lane, const void *message, size_t size)
{
    lanes[lane]->send(message, size, 0);
}

void peer_boost_receive(unsigned lane, void *message, size_t size)
{
    message_queue::size_type received;
    unsigned priority;
    lanes[lane]->receive(message, size, received, priority);
}
