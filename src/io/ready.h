/* ready.h - receiving, accepting and sending for back ends that know readiness only. For back ends. */
#ifndef WEFT_IO_READY_H
#define WEFT_IO_READY_H

#include "io/poller.h"

int weft__ready_update(weft__poller *p, weft__fd_slot *slot);
void weft__ready_remove(weft__poller *p, weft__fd_slot *slot);
ssize_t weft__ready_send(weft__poller *p, weft__send *s);
void weft__ready_cancel(weft__poller *p, weft__send *s);

/* The kernel says so of this slot: make its callbacks. Returns how many. The slot may be gone afterwards. */
int weft__ready_event(weft__poller *p, weft__fd_slot *slot, unsigned events);

/* Look again at slots that had more than was taken at a time. Returns callbacks made. */
int weft__ready_pending(weft__poller *p);

/* Send as much as the kernel takes at once. The count when all has left, else -EAGAIN or the error. */
ssize_t weft__send_some(weft__send *s);

/* Drop the first `n` bytes of what s still has to send. */
void weft__send_advance(weft__send *s, size_t n);

/* Take s from the head of its slot's list, hand it its result. Pre: the slot is p->current or s is cancelled. */
void weft__send_finish(weft__send *s, ssize_t result);

#endif
