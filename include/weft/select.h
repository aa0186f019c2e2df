/* weft/select.h - wait for several different things at once, and do the first that can be done.
 *
 *     int n;
 *     weft_case cases[] = {WEFT_CASE_GET(jobs, &n), WEFT_CASE_EVENT(&stop), WEFT_CASE_UNTIL(weft_in_ms(500))};
 *     switch (weft_select(cases, 3, WEFT_FOREVER)) { case 0: ...n...; case 1: ...; case 2: ... }
 *
 * Exactly one case is carried out. When several could be, one of them is chosen by chance, so none is starved. An event
 * that was set after the call began counts, even if it has been cleared since. Call from threads and coroutines, by any
 * number at once, not from signal handlers. */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/event.h>
#include <weft/future.h>
#include <weft/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weft_case_kind {
    WEFT__CASE_NONE = 0, /* never ready: a place in the array that is switched off */
    WEFT__CASE_GET,
    WEFT__CASE_PUT,
    WEFT__CASE_EVENT,
    WEFT__CASE_FUTURE,
    WEFT__CASE_UNTIL,
    WEFT__CASE_READABLE,
    WEFT__CASE_WRITABLE
};

typedef struct weft_case {
    enum weft_case_kind kind;
    int fd;
    void *object;
    void *element; /* where get stores, what put copies */
    weft_until until;
    int result; /* out, of the chosen case: 0; get and put: -EPIPE when the queue is closed, which counts as ready, and
                   put: -ENOMEM; descriptors: the events, as poll(2) tells them, or -EBADF */
} weft_case;

#ifdef __cplusplus
#define WEFT__CASE(kind, fd, object, element, until)                                                                   \
    (weft_case{kind, fd, (void *)(object), (void *)(element), until, 0})
#else
#define WEFT__CASE(kind, fd, object, element, until)                                                                   \
    ((weft_case){kind, fd, (void *)(object), (void *)(element), until, 0})
#endif
#define WEFT_CASE_NONE                WEFT__CASE(WEFT__CASE_NONE, -1, NULL, NULL, WEFT_FOREVER)
#define WEFT_CASE_GET(queue, element) WEFT__CASE(WEFT__CASE_GET, -1, queue, element, WEFT_FOREVER)
#define WEFT_CASE_PUT(queue, element) WEFT__CASE(WEFT__CASE_PUT, -1, queue, element, WEFT_FOREVER)
#define WEFT_CASE_EVENT(event)        WEFT__CASE(WEFT__CASE_EVENT, -1, event, NULL, WEFT_FOREVER)
#define WEFT_CASE_FUTURE(future)      WEFT__CASE(WEFT__CASE_FUTURE, -1, future, NULL, WEFT_FOREVER)
#define WEFT_CASE_UNTIL(until)        WEFT__CASE(WEFT__CASE_UNTIL, -1, NULL, NULL, until)
#define WEFT_CASE_READABLE(fd)        WEFT__CASE(WEFT__CASE_READABLE, fd, NULL, NULL, WEFT_FOREVER)
#define WEFT_CASE_WRITABLE(fd)        WEFT__CASE(WEFT__CASE_WRITABLE, fd, NULL, NULL, WEFT_FOREVER)

/* Wait until one of the n cases (at most 1024) can be carried out, and carry it out. Returns its index; or, with
 * nothing done, -ETIMEDOUT, -ECANCELED, -EINVAL for too many cases or one that is malformed, -ENOMEM (up to eight cases
 * need none, unless a coroutine waits for a descriptor), or what weft_fd_wait says when it cannot wait.
 * What can be done beats cancellation, which beats the deadline. With WEFT_NOW: one of those that are ready, or
 * -ETIMEDOUT. */
WEFT_API int weft_select(weft_case *cases, unsigned n, weft_until until);

#ifdef __cplusplus
}
#endif
#endif
