/* weft/server.h - a server over TCP or a Unix socket (and for datagrams: weft/packet.h): one handler in blocking style,
 * run by the model of your choice.
 *
 *     static int echo(weft_conn *c, void *arg)
 *     {
 *         const void *bytes;
 *         ssize_t n = weft_conn_fill(c, 0, &bytes, WEFT_FOREVER);
 *         if (n <= 0 || weft_conn_write(c, bytes, (size_t)n) < 0)
 *             return WEFT_CONN_CLOSE;
 *         weft_conn_consume(c, (size_t)n);
 *         return WEFT_CONN_IDLE;
 *     }
 *     ...
 *     weft_server *s;
 *     int err = weft_server_open(&s, &(weft_server_options){.handler = echo, .port = 7000});
 *     if (err == 0)
 *         err = weft_server_run(s, WEFT_FOREVER);
 *
 * Unless a comment says otherwise, the weft_server_ calls may be made from any thread or coroutine, the weft_conn_
 * calls only by the handler or hook that was given the connection; none in a signal handler. */
#ifndef WEFT_SERVER_H
#define WEFT_SERVER_H

#include <sys/types.h>
#include <sys/uio.h>

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A connection is *idle* between two calls of its handler: then it has no stack and no buffer, only a small record.
 * When bytes arrive the handler is called; it reads, answers, and returns WEFT_CONN_IDLE to be called again for the
 * next bytes. A handler may as well stay and wait in weft_conn_fill for as long as it likes; that costs its stack
 * meanwhile.
 *
 * Models. The handler is the same under all of them; `model` is its name, `threads` and `processes` make the hybrids.
 *   "iterative"  one client after the other, each from its first byte to its last; the others stand in line
 *   "pool"       the same with `threads` clients at a time
 *   "thread"     each connection has a thread of its own
 *   "process"    each connection has a process of its own
 *   "prefork"    `processes` processes, which serve one client at a time each
 *   "select", "poll", "epoll", "epoll-et", "uring"
 *                event loops over that poller, one or `threads` of them: handlers run on coroutines, and a connection
 *                stays on its loop
 *   "coroutine"  the same over the process's poller (see weft_io_use), with a loop on each processor
 * A client that stands in line has been accepted and is not read from; it waits for as long as those before it stay, or
 * until it leaves.
 *
 * Processes. With `processes` = N, N of them run the model; so "pool" with processes is the hybrid of processes and
 * threads, "epoll" with processes that of processes and event loops. They are children of a supervisor that start
 * forks; one that dies is replaced; all of them end with the process that started them, however that ends. SIGTERM to
 * one of them, unless the program has another action than the default for it, asks it to end as if the server retired,
 * without an end of the grace: it takes nobody new, finishes with those whom it has, and another takes its place; a
 * second SIGTERM cuts them. What a handler or hook changes in memory is its process's own, unless it is mapped shared;
 * and a lock that another thread holds at the start stays held in them, so start the server before threads that hold
 * any. Where a process serves one client at a time, those who find every process taken stand in the kernel's queue, and
 * when that has max_connections less what is served, of all processes, whoever is first in it is turned away.
 *
 * A full server. At max_connections a newcomer is let in by closing the connection that has waited longest for its
 * client without a whole request (see weft_conn_busy), or if that is less than a second, one whose client has taken or
 * sent nothing for longer; when every connection is at work, the newcomer is refused. Under "process" a request that
 * comes in the same moment is answered before the close.
 *
 * Unix sockets. With the host "unix:/run/mine.sock" the server listens on a Unix socket, under every model, plain or
 * with TLS; for datagrams see weft/packet.h. Its file is for this user alone (mode 0600, from its first moment; chmod
 * it once the server is open to let in others) and is removed as soon as nobody is accepted any more, by the process
 * that has opened the server: but not when other programs may have the socket (listeners, weft_server_listeners,
 * weft_server_retire, a successor that starts or serves), as it is the way to them. A file that nobody listens on is
 * replaced. A path that is not absolute has to lead to the file at the end too. "unix:@NAME" is a name without a file,
 * and anybody on this machine may connect to it. All loops and processes accept from the one socket. Clients that find
 * the kernel's queue full (backlog) wait in their connect, and in "prefork" and "pool" with processes none that stands
 * in it is turned away. Most clients have no address of their own: weft_conn_peer shows "unix:". */
typedef struct weft_server weft_server;
typedef struct weft_conn weft_conn;
typedef struct weft_tls weft_tls; /* weft/tls.h */

/* What a handler returns. A negative errno value is WEFT_CONN_CLOSE without the last flush: what is gathered and not
 * yet sent is dropped. */
enum {
    WEFT_CONN_CLOSE = 0, /* flush, then close */
    WEFT_CONN_IDLE = 1,  /* call the handler again when there are bytes to read: at once if some are unread, unless
                            this call consumed none of them, then when more arrive. Flushed before it goes idle */
    WEFT_CONN_LINGER = 2 /* flush, tell the client that no more will come, read and drop up to 64 KiB of what it still
                            sends for up to 2 s, then close: so that an error answer is read and not lost to a reset */
};

/* Serve the bytes of `c`; may wait. Called when there are some to read. When the input ends, an idle connection is
 * closed without a call; only if bytes are still unread the handler is called once more, to see the end behind them. */
typedef int weft_conn_handler(weft_conn *c, void *arg);

/* Of a server for datagrams instead: weft/packet.h, which says what of all this means what there. */
struct weft_address;
typedef struct weft_packet weft_packet;
typedef void weft_packet_handler(weft_packet *p, void *arg);
typedef struct weft_packet_options {
    weft_packet_handler *handler;
    size_t size_max;      /* larger datagrams are dropped; 0 = 64 KiB, which is all */
    unsigned queue;       /* datagrams in hand of a process or loop; 0 = 256 */
    unsigned peer_queue;  /* ... of one peer; 0 = a quarter of queue */
    unsigned rate;        /* datagrams a second of one peer, so many of them at once; 0 = no such limit */
    unsigned recv_buffer; /* of the kernel, bytes; 0 = the system's default */

    /* One of these was dropped: why is -EMSGSIZE (size_max; `size` is its whole size), -EBUSY (rate), -ENOBUFS
     * (peer_queue), -EUSERS (max_connections, or there is no thread or process for it, or no room on the way there).
     * NULL: it is only counted. Must not wait. */
    void (*on_drop)(const struct weft_address *from, size_t size, int why, void *arg);

    /* What the network says of a datagram that was sent to `to`: err is -ECONNREFUSED (nobody listens there: the peer
     * has gone), -EHOSTUNREACH, -ENETUNREACH, -EMSGSIZE and such. It comes some time after the send, or never, and may
     * be forged. NULL: it is not asked for. Must not wait. */
    void (*on_error)(const struct weft_address *to, int err, void *arg);
} weft_packet_options;

/* Every field's zero is its default. Strings are copied. Times are in nanoseconds. */
typedef struct weft_server_options {
    weft_conn_handler *handler; /* required, or packet.handler */
    void *arg;                  /* for the handler and every hook */

    const char *host;     /* numeric address or name to bind; NULL = "127.0.0.1"; "" or "0.0.0.0" = every IPv4 address,
                             "::" = every one; "unix:PATH" or "unix:@NAME" = a Unix socket, see above */
    unsigned port;        /* 0 = any free one, see weft_server_port. Ignored for a Unix socket, which has none */
    const char *model;    /* as above; NULL = "coroutine" */
    const char *poller;   /* for "coroutine": "select", "poll", "epoll", "epoll-et", "uring"; NULL = the process's */
    unsigned threads;     /* event loops or threads that serve; 0 = one loop, "coroutine" one a processor, "pool" 16;
                             nothing to "iterative", "thread", "process" and "prefork" */
    int run_here;         /* 1: weft_server_run serves on the thread that calls it, see there; 0: on other threads */
    unsigned processes;   /* that serve; 0 = none but this one, "prefork" 8; at most 1024; not with "process" */
    const int *listeners; /* listening TCP or Unix sockets (datagrams: bound ones) to use instead of host and port:
                             see weft/handover.h. The server's, once it is open; closed at its end and never shut down,
                             as others may have them too */
    unsigned listener_count; /* at most one an event loop; loops beyond that share them. Datagrams: weft/packet.h */
    unsigned backlog; /* connections the kernel keeps until they are accepted; 0 = 4096, cut to net.core.somaxconn */
    /* Connections that a process holds. 0 = 10,000, or what RLIMIT_NOFILE leaves, if that is less; "iterative" and
     * "pool": 128 more than are served at a time, which may stand in line; "process": 512, in all, and up to 64 that
     * make room and have not ended yet. */
    unsigned max_connections;
    /* ... and, in all processes together, those of one client's address; an IPv6 client is its /64. One more is turned
     * away, whether there is room or not, and counted in refused_address too. 0 = no limit, for behind a proxy all come
     * from one. Nothing to datagrams. */
    unsigned max_per_address;
    size_t stack_size; /* of a handler's coroutine or thread; 0 = 64 KiB, in the models of threads 256 KiB */
    size_t input_max;  /* unread bytes a connection may hold; 0 = 64 KiB, at most 1 GiB */
    size_t output_max; /* bytes gathered before they are sent; 0 = 64 KiB, at most 1 MiB */
    /* Times in ns. 0 = as is said; negative, and more than 24 days, = never; less than 1 ms = 1 ms. */
    int64_t idle_timeout;    /* an idle connection is closed after this; 0 = 60 s, negative = never */
    int64_t write_timeout;   /* sending fails when the client takes no byte for this long; 0 = 30 s, negative = never */
    unsigned min_write_rate; /* sending n bytes fails after write_timeout + n / rate seconds; 0 = no such limit */

    /* TLS: a context of WEFT_TLS_SERVER, which stays the caller's and must outlive the server; NULL = plain. Handlers
     * are the same: a connection is shown to its handler when the handshake is done, and closed without one if it fails
     * or takes longer than handshake_timeout (0 = 10 s, negative = never) from when it is served. weft_tls_reload, in
     * on_tell where there are processes, exchanges its certificates meanwhile. */
    weft_tls *tls;
    int64_t handshake_timeout;

    /* Hooks; each may be NULL. on_open and on_close run on the serving thread and must not wait. */
    int (*on_open)(weft_conn *c, void *arg); /* accepted, nothing read yet; other than 0: close it, without on_close */
    void (*on_close)(weft_conn *c, void *arg); /* the last call for c; the descriptor is still open */

    /* A client is turned away, because every connection is at work or its address has max_per_address. Write what to
     * tell it into text (at most `size` bytes) and return how many; must not wait. NULL or 0: it is closed without a
     * word. */
    size_t (*on_refuse)(char *text, size_t size, void *arg);

    /* With TLS: a client begins without it, by another byte than that of a handshake. As on_refuse, what to tell it,
     * which goes out as it is. NULL or 0: nothing. */
    size_t (*on_plain)(char *text, size_t size, void *arg);

    /* State of your own for each serving thread (a cache, a log buffer), so that it needs no lock: weft_conn_state
     * gives it to the handler, which has it for itself between two of its waits. In the models of threads a state is
     * lent to one handler call at a time, and as many are opened as calls are ever under way at once. state_open: 0 or
     * a negative errno value; the first one's failure fails weft_server_start, a later one's closes the connection.
     * state_tick: within about a second after a handler call that used the state, then not again until the next call
     * (an idle server stays asleep), and once before state_close. All three may wait. */
    int (*state_open)(void **state, void *arg);
    void (*state_tick)(void *state, void *arg);
    void (*state_close)(void *state, void *arg);

    /* See weft_server_tell. 0 or a negative errno value. On a thread that serves nobody; may wait. */
    int (*on_tell)(int what, void *arg);

    /* A process that serves has ended without being asked to (by a stop, or SIGTERM); another takes its place unless it
     * had one client for itself. `code` is its exit status, or minus the number of a signal. Called in a process that
     * serves nobody. */
    void (*on_death)(pid_t pid, int code, void *arg);

    weft_packet_options packet; /* with a handler in it: a server for datagrams; then `handler` is NULL */
} weft_server_options;

/* ---- the server ---- */

/* Bind and listen; clients can connect from now on and are accepted once the server is started. Raises the soft limit
 * of RLIMIT_NOFILE when max_connections needs it. Returns 0 and *s; -EINVAL for an option that makes no sense (no
 * handler, unknown model or poller), -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -ENOENT (the host name does not resolve),
 * -EBUSY (the process already uses another poller), -EMFILE, -ENOMEM. Of a Unix socket: -EADDRINUSE (a server listens
 * there, or the file is no socket), -ENAMETOOLONG (107 bytes at the most), -ENOENT, -ENOTDIR (its directory), -EACCES,
 * -EROFS. *s is untouched on failure. Waits only to resolve a name, or for the file system. Allocates. */
WEFT_API int weft_server_open(weft_server **s, const weft_server_options *options);

/* Start serving, in the background. Once only. Returns 0, -EALREADY, or what starting threads, pollers or the first
 * state_open gave (then nothing runs). Waits for each state_open; weft_server_stop may be called meanwhile, and of a
 * server of several processes ends those that hang in it. */
WEFT_API int weft_server_start(weft_server *s);

/* Wait until the server has stopped and all its connections have ended. Returns 0, -ETIMEDOUT or -ECANCELED while it
 * still runs; or -ECHILD when its processes died as soon as they were started, or their supervisor was killed. An end
 * together with the deadline wins. Any number of waiters. */
WEFT_API int weft_server_wait(weft_server *s, weft_until until);

/* Start it if it is not started, then wait as weft_server_wait.
 *
 * With `run_here`, a single event loop runs on the calling thread, whenever that waits in weft, but for descriptors and
 * processes (and but for "uring", and one such thread in a process): a process that needs no other thread has none, for
 * which the kernel asks 1 to 2 % less of an echo server. In return coroutines that the handlers start run on scheduler
 * threads beside them, and start more slowly; handlers of signals run on the stacks of the server's handlers, those
 * with SA_ONSTACK on one of 64 KiB unless the thread has its own, and may interrupt what they call (EINTR); and should
 * it return before the server's end, the server goes on, and streams that its handlers have used are closed, only while
 * the thread waits in weft again, in weft_server_wait, say. */
WEFT_API int weft_server_run(weft_server *s, weft_until until);

/* Stop gracefully; does not wait (weft_server_wait does). Nobody is accepted any more; idle connections are closed at
 * once; connections at work go on until `grace`, then they are cut: their calls fail with -ECANCELED. A handler that
 * waits for a request's first byte sees the end of input. Called again, the earlier grace holds. From handlers too. */
WEFT_API void weft_server_stop(weft_server *s, weft_until grace);

/* Stop gracefully, for a successor that serves the same listening sockets (weft/handover.h); does not wait. Nobody is
 * accepted here any more, and nobody loses a request by it: who is idle is not closed but served again, until `grace`
 * or its idle_timeout; handlers should close after their next answer (weft_conn_stopping), as HTTP's do. At `grace` all
 * is as after weft_server_stop with a grace that has passed. weft_server_stop may follow. From handlers too. */
WEFT_API void weft_server_retire(weft_server *s, weft_until grace);

/* Its listening sockets, for a successor: at most `room` of them to fds, which stay the server's; of a server for
 * datagrams those that it receives from. From now on the end of this server leaves the sockets working for whoever else
 * has them. Returns how many; -E2BIG: there is no room for all; -EBADF: it has stopped. Not while another thread stops
 * it. */
WEFT_API int weft_server_listeners(weft_server *s, int *fds, unsigned room);

/* Call on_tell(what, arg) in this process and in all others that serve, and wait until each has returned; a process
 * that is started later has the memory of one that was told. For what a running server is to do anew: read a file
 * again, open a log again. Returns 0, the first negative result of on_tell (it has been called in all of them
 * nevertheless), or -ETIMEDOUT, -ECANCELED (some may call it later, or not at all), -EINVAL in a process that serves.
 * Not from handlers. */
WEFT_API int weft_server_tell(weft_server *s, int what, weft_until until);

/* Stop at once if it still runs, wait for the end, and free everything. Takes NULL. Not from a handler. */
WEFT_API void weft_server_close(weft_server *s);

/* The names of all models, NULL behind the last. Static. */
WEFT_API const char *const *weft_server_models(void);

/* How many clients it serves at the same time; further ones stand in line or are turned away. Constant. */
WEFT_API unsigned weft_server_capacity(const weft_server *s);

/* The port it listens on; 0: a Unix socket. */
WEFT_API unsigned weft_server_port(const weft_server *s);

/* The address and port it listens on as text, "127.0.0.1:8000", "[::1]:8000" or "unix:/run/mine.sock". Valid as long
 * as s. */
WEFT_API const char *weft_server_address(const weft_server *s);

/* Counts since the start, but for `open`. A racy picture while it serves. */
typedef struct weft_server_stats {
    uint64_t accepted;        /* connections let in: not those that on_open has closed */
    uint64_t open;            /* open now; who is with on_open is, already */
    uint64_t calls;           /* handler calls */
    uint64_t timeouts;        /* idle connections closed by idle_timeout */
    uint64_t shed;            /* waiting connections closed to let a newcomer in */
    uint64_t refused;         /* newcomers turned away (on_refuse); not those that on_open has closed */
    uint64_t refused_address; /* of these, because of max_per_address */
    uint64_t cut;             /* cut at the end of the grace */
    uint64_t handshakes;      /* TLS: done */
    uint64_t broken;          /* TLS: handshakes that failed or took too long, also of who says nothing until then. Not
                                 who leaves without a word, nor who is sent away to make room or by the stop */
} weft_server_stats;
WEFT_API void weft_server_get_stats(const weft_server *s, weft_server_stats *stats);

/* ---- a connection's input ---- */

/* Wait until more than `have` bytes are unread, and show all of them in one piece: *view is valid until the next
 * weft_conn_ call on c that reads (fill, consume, recv) or the end of the handler call. Gathered output is flushed
 * before it waits. Returns how many are unread (> have); 0 when the input has ended and there are no more than `have`;
 * -ENOBUFS when `have` is input_max already; -ETIMEDOUT, -ECANCELED, -ECONNRESET ..., -WEFT_ETLS or -WEFT_ETRUNCATED
 * (see weft/tls.h), or what the flush gave (-EPIPE where its limit passed: -ETIMEDOUT is `until`). Whatever it returns,
 * *view shows what is unread, which may have moved. Bytes that arrive together with the deadline win. With WEFT_NOW it
 * neither waits nor flushes. */
WEFT_API ssize_t weft_conn_fill(weft_conn *c, size_t have, const void **view, weft_until until);

/* n of the unread bytes have been used. n is at most what the last fill returned. */
WEFT_API void weft_conn_consume(weft_conn *c, size_t n);

/* Copy form: wait for at least one byte, copy up to `size` into buf. Returns the count, 0 at the end of input, or as
 * fill. */
WEFT_API ssize_t weft_conn_recv(weft_conn *c, void *buf, size_t size, weft_until until);

/* ---- a connection's output ----
 * All or nothing: 0 means that everything was handed to the kernel (or gathered), a negative result that the connection
 * is broken; later sends give the same. -EPIPE and -ECONNRESET: the client has left (never a signal). -ETIMEDOUT:
 * `until` or the write limit passed. -ECANCELED: cancelled, or cut at the end of the grace. */

/* Gather: the bytes are copied and leave when the handler returns, when fill or recv has to wait, when output_max is
 * reached, or with the next flush, send or sendfile; so answers to pipelined requests share one send. Waits only when
 * output_max is reached, and no longer than the write limit. */
WEFT_API int weft_conn_write(weft_conn *c, const void *data, size_t size);

/* Room for `size` bytes (at most 8 KiB) at the end of what is gathered, to be filled in place and ended with
 * weft_conn_commit(c, used) before any other call on c. NULL when the connection is broken. Waits as weft_conn_write.
 */
WEFT_API void *weft_conn_reserve(weft_conn *c, size_t size);
WEFT_API void weft_conn_commit(weft_conn *c, size_t used);

/* Send what is gathered, now. */
WEFT_API int weft_conn_flush(weft_conn *c, weft_until until);

enum {
    WEFT_CONN_MORE = 1 /* more will follow at once: the last packet may wait for it */
};

/* Send what is gathered and then these n pieces (at most 64), in one call to the kernel if it takes them; nothing is
 * copied. */
WEFT_API int weft_conn_send(weft_conn *c, const struct iovec *pieces, unsigned n, unsigned flags, weft_until until);

/* Send what is gathered (a head: it shares its packets) and then `size` bytes of the file from `offset`; the file's own
 * position is neither used nor moved. With WEFT_CONN_MORE the last packet waits for what is sent next, or for the end
 * of the handler call. -ENODATA: the file ended before; the connection cannot be saved. */
WEFT_API int weft_conn_sendfile(weft_conn *c, int fd, uint64_t offset, uint64_t size, unsigned flags, weft_until until);

/* From now on sending fails when the client takes no byte for `ns` (0: back to the server's write_timeout, negative: no
 * limit) or n bytes take longer than ns + n / min_rate seconds (0: the server's min_write_rate). */
WEFT_API void weft_conn_limit_write(weft_conn *c, int64_t ns, unsigned min_rate);

/* ---- about a connection ---- */

/* A whole request has been read (on = 1): until the handler returns, or sets it back, the connection is at work: it is
 * not shed for a newcomer, and a graceful stop lets it finish. Without it, a connection counts as at work while its
 * handler runs and as waiting while the handler waits for input. Costs a store. */
WEFT_API void weft_conn_busy(weft_conn *c, int on);

/* TLS: "TLSv1.3", or NULL if the connection is plain; and the host that the client has asked for (SNI), "" if none.
 * Valid as long as c. Not in on_open. */
WEFT_API const char *weft_conn_tls_version(const weft_conn *c);
WEFT_API const char *weft_conn_tls_host(const weft_conn *c);

/* 1 once weft_server_stop was called: answer what is under way, promise nothing more, close. */
WEFT_API int weft_conn_stopping(const weft_conn *c);

/* 1 while other clients stand in line for the place of this one ("iterative", "pool"), and once it has been chosen to
 * make room ("process"): better close than keep it for a further request. Costs a load; in "prefork" and "pool" with
 * processes a call to the kernel. */
WEFT_API int weft_conn_crowded(const weft_conn *c);

enum {
    WEFT_CONN_ADDRESS_MAX = 128 /* bytes that hold any address as text */
};

/* The other end's numeric address as text, and its port in *port (which may be NULL); an IPv4 address mapped into
 * IPv6 is shown as IPv4; a client over a Unix socket is "unix:" and the name that it has bound, which is seldom any,
 * and port 0. Returns the length of the text, or -errno. local: this end's. Each is a call to the kernel: keep it. */
WEFT_API int weft_conn_peer(const weft_conn *c, char text[WEFT_CONN_ADDRESS_MAX], unsigned *port);
WEFT_API int weft_conn_local(const weft_conn *c, char text[WEFT_CONN_ADDRESS_MAX], unsigned *port);

WEFT_API uint64_t weft_conn_id(const weft_conn *c);    /* never 0, never used again by this server */
WEFT_API int64_t weft_conn_opened(const weft_conn *c); /* when it was accepted, as weft_now(), to the millisecond */
WEFT_API weft_server *weft_conn_server(const weft_conn *c);
WEFT_API void *weft_conn_state(const weft_conn *c); /* this thread's state (state_open); NULL in on_open and on_close */
WEFT_API void *weft_conn_data(const weft_conn *c);  /* a pointer of yours; NULL at first */
WEFT_API void weft_conn_set_data(weft_conn *c, void *data);

#ifdef __cplusplus
}
#endif
#endif
