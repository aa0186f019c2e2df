/* host.h - a thread that runs a scheduler while it waits, instead of sleeping: an event loop on the thread that asked
 * for it, in a process that then needs no second one. While there is one thread only, the kernel looks descriptors up
 * for less: 1 to 2 % of an echo server.
 *
 * The scheduler is the one that is *apart* (sched.h): it runs what is pinned to it. Other coroutines, also those that
 * its own start, go to scheduler threads, so none of the program's loses its thread when the hosting ends. */
#ifndef WEFT_CO_HOST_H
#define WEFT_CO_HOST_H

#include "co/sched.h"

/* From now on each wait of the calling thread in weft runs coroutines that are started on WEFT__SCHED_APART. By a
 * thread that is no scheduler. Its handlers of signals run on their stacks then, unless they have one of their own. 0,
 * -EBUSY when that scheduler exists already (unless the caller hosts it: 0), -ENOMEM, -EAGAIN. */
int weft__host_begin(void);

/* No longer: what is left on the scheduler goes on in a thread of its own, or still in the caller's waits when there is
 * no thread to be had. Not with a poller that only the thread may use that opened it. */
void weft__host_end(void);

#endif
