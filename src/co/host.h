/* host.h - a thread that runs a scheduler while it waits, instead of sleeping: an event loop on the thread that asked
 * for it, in a process that then needs no second one. While there is one thread only, the kernel looks descriptors up
 * for less: 1 to 2 % of an echo server.
 *
 * The scheduler is the one that is *apart* (sched.h): it runs what is pinned to it. Other coroutines, also those that
 * its own start, go to scheduler threads: the thread that hosts may do other things than wait. */
#ifndef WEFT_CO_HOST_H
#define WEFT_CO_HOST_H

#include "co/sched.h"

/* From now on, for good, each wait of the calling thread in weft (but for descriptors, processes and words of theirs)
 * runs coroutines that are started on WEFT__SCHED_APART.
 * By a thread that is no scheduler. Its handlers of signals run on their stacks then, unless they have one of their
 * own. 0, -EBUSY when that scheduler exists already (unless the caller hosts it: 0), -ENOMEM, -EAGAIN. */
int weft__host_begin(void);

#endif
