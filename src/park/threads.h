/* threads.h - the ops of plain threads, shared between park's own files. */
#ifndef WEFT_PARK_THREADS_H
#define WEFT_PARK_THREADS_H

#include "park/waiter.h"

extern const weft__waiter_ops weft__thread_ops;

#endif
