/* weft.h - all of weft. Each header can be included alone; this is for those who want the whole box. */
#ifndef WEFT_H
#define WEFT_H

#include <weft/address.h>
#include <weft/barrier.h>
#include <weft/base.h>
#include <weft/buffered.h>
#include <weft/co.h>
#include <weft/cond.h>
#include <weft/datagram.h>
#include <weft/deadlock.h>
#include <weft/debug.h>
#include <weft/event.h>
#include <weft/executor.h>
#include <weft/future.h>
#include <weft/group.h>
#include <weft/http.h>
#include <weft/local.h>
#include <weft/lock.h>
#include <weft/once.h>
#include <weft/packet.h>
#include <weft/pipe.h>
#include <weft/poller.h>
#include <weft/process.h>
#include <weft/process_pool.h>
#include <weft/queue.h>
#include <weft/route.h>
#include <weft/rwlock.h>
#include <weft/select.h>
#include <weft/sem.h>
#include <weft/server.h>
#include <weft/shared_queue.h>
#include <weft/shared_value.h>
#include <weft/shm.h>
#include <weft/stream.h>
#include <weft/subprocess.h>
#include <weft/thread.h>
#include <weft/timer.h>
#include <weft/tls.h>
#include <weft/websocket.h>

#endif
