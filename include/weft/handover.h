/* weft/handover.h - a server program is replaced by another while it serves: no connection is refused meanwhile, and of
 * a server for datagrams no datagram lost (weft/packet.h says more).
 *
 * The successor gets the listening sockets themselves, so the clients that wait in their queues are everybody's, and
 * both programs accept until the successor has said that it serves. Sockets are passed in the way that systemd passes
 * them (LISTEN_FDS, LISTEN_PID, descriptors from 3 up), so the same program can be started by a socket unit.
 *
 *     the program's start                                when it is to be replaced
 *
 *     int fds[16];                                       weft_handover *h;
 *     int n = weft_handover_take(fds, 16);               int err = weft_handover_start(&h, s, argv);
 *     if (n > 0) {                                       if (err == 0)
 *         options.listeners = fds;                           err = weft_handover_wait(h, NULL, weft_in_seconds(60));
 *         options.listener_count = n;                    if (err == 0)
 *     }                                                      weft_server_retire(s, weft_in_seconds(10));
 *     ... weft_server_open(&s, &options) ...             else
 *     ... weft_server_start(s) ...                           ... it goes on as if nothing had been tried ...
 *     weft_handover_ready();                             weft_handover_free(h);
 *
 * From weft_server_start on the successor accepts. One that ends before weft_handover_ready, or is killed, takes the
 * clients with it that it had accepted by then (those in the queues are the predecessor's): so all that may fail or
 * takes its time comes before weft_server_start, and nothing between these two.
 *
 * From threads and coroutines, not from signal handlers; a weft_handover is used by one at a time. */
#ifndef WEFT_HANDOVER_H
#define WEFT_HANDOVER_H

#include <sys/types.h>

#include <weft/base.h>
#include <weft/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the successor, or a program that a service manager has started ---- */

/* The listening sockets that this process was given: their numbers to fds. They are the caller's and are closed in
 * programs that it starts; the environment variables are gone afterwards, so a second call finds none. Returns how
 * many, 0 if none are meant for this process; -E2BIG: there are more than `room`; -EBADF: what is named is not open.
 * Reads and changes the environment: before other threads are started. */
WEFT_API int weft_handover_take(int *fds, unsigned room);

/* Tell the predecessor, if there is one, that this process serves: it need not any more. After weft_handover_take;
 * again it does nothing. Returns 1 if somebody was told, 0 if there is nobody. */
WEFT_API int weft_handover_ready(void);

/* ---- the predecessor ---- */

typedef struct weft_handover weft_handover;

/* Start a program that is to take over from s: argv[0] is a path, or a name that is looked up in PATH; the last member
 * is NULL. It gets the listening sockets, the three streams, this environment with the variables above, default
 * signals, no other descriptors. Returns 0 and *h; what weft_server_listeners gives; -ENOENT, -EACCES, -ENOEXEC ...:
 * the program cannot be executed; -EMFILE, -EAGAIN, -ENOMEM. Waits for some tenths of a millisecond. Allocates. */
WEFT_API int weft_handover_start(weft_handover **h, weft_server *s, const char *const *argv);

WEFT_API pid_t weft_handover_pid(const weft_handover *h);

/* A descriptor that is readable when weft_handover_wait would not wait; h's. */
WEFT_API int weft_handover_sentinel(const weft_handover *h);

/* Wait until it serves: 0. Or -ECHILD: it has ended before that, or has closed its end without a word; *code (which
 * may be NULL) is its exit status, or minus the number of the signal. Or -ETIMEDOUT, -ECANCELED: it is still
 * starting. */
WEFT_API int weft_handover_wait(weft_handover *h, int *code, weft_until until);

/* Free it. A successor that serves is left alone, and its end collected if it is this process's to see; one that does
 * not is killed, and its claim to the sockets ends with it: the file of a Unix socket is s's to remove again. Before s
 * is closed, unless the successor is known to serve. Takes NULL. */
WEFT_API void weft_handover_free(weft_handover *h);

#ifdef __cplusplus
}
#endif
#endif
