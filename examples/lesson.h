/* lesson.h - what the lessons share. Each lesson is a whole program: cc noodle.c -lweft, or weft lesson run noodle.
 *
 *     --fast     the same text in the same order, with sleeps of a twentieth and loops of a hundredth
 *     --unsafe   without the protection that the lesson is about, and wrong every time
 *
 * Other flags are a lesson's own. Threads and processes print whole lines by one printf each, so
 * lines never run into each other. */
#ifndef LESSON_H
#define LESSON_H

#include <weft/co.h>
#include <weft/deadlock.h>
#include <weft/event.h>
#include <weft/process.h>
#include <weft/sem.h>
#include <weft/stream.h>
#include <weft/thread.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char **lesson_flags;

/* 1 when the lesson was started with this flag. */
static inline int lesson_flag(const char *flag)
{
    for (char **p = lesson_flags; p != NULL && *p != NULL; p++)
        if (strcmp(*p, flag) == 0)
            return 1;
    return 0;
}

/* The first line of each main. */
static inline void lesson_begin(int argc, char **argv)
{
    lesson_flags = argc > 0 ? argv + 1 : NULL;
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line is seen when it is printed, also through a pipe */
    srandom((unsigned)weft_now());
}

static inline int lesson_unsafe(void)
{
    return lesson_flag("--unsafe");
}

/* Takes away what the lesson has made in /tmp, also where it fails. */
static void (*lesson_tidy)(void);

static inline void lesson_fail(void)
{
    if (lesson_tidy != NULL)
        lesson_tidy();
    _exit(1);
}

/* A result of weft; one that says failure ends the lesson. */
static inline int must(int result)
{
    if (result < 0) {
        fprintf(stderr, "lesson: %s\n", weft_strerror(result));
        lesson_fail();
    }
    return result;
}

/* ---- time and numbers ---- */

static inline void lesson_sleep(double seconds)
{
    weft_sleep(weft_in_seconds(lesson_flag("--fast") ? seconds / 20 : seconds));
}

/* So many seconds of the lesson's from now. */
static inline weft_until lesson_in(double seconds)
{
    return weft_in_seconds(lesson_flag("--fast") ? seconds / 20 : seconds);
}

/* The time as Python's ctime has it. */
static inline const char *lesson_ctime(void)
{
    static _Thread_local char text[64];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", localtime_r(&now, &tm));
    return text;
}

/* How often a long loop goes round. */
static inline int lesson_rounds(int n)
{
    return lesson_flag("--fast") ? n / 100 : n;
}

/* A random number from 0 up to `most`. */
static inline double lesson_random(double most)
{
    return most * (double)random() / (double)RAND_MAX;
}

/* The line by which main says that it runs beside its threads. */
static inline void lesson_print_main_time(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
    printf("This is main function at:%s\n", text);
}

/* ---- the worst moment to lose the processor ----
 *
 * The unsafe form of a lesson would only sometimes be wrong: when a thread is switched out between two steps that
 * belong together. Here one thread calls lesson_switched_out between them, and gets the processor back when the main
 * thread calls lesson_switch_in. */

static weft_event lesson_is_out, lesson_is_in;

static inline void lesson_switched_out(void)
{
    weft_event_set(&lesson_is_out);
    weft_event_wait(&lesson_is_in, WEFT_FOREVER);
}

static inline void lesson_wait_switched_out(void)
{
    weft_event_wait(&lesson_is_out, WEFT_FOREVER);
}

static inline void lesson_switch_in(void)
{
    weft_event_set(&lesson_is_in);
}

/* ---- servers and clients ----
 *
 * A lesson of the network has a server and a client, and run as it is it is both: the server in a process of its own,
 * the client here, with what a person would type written down in the lesson. --server=PORT is the server alone, until
 * Ctrl-C; --client=PORT the client alone, which reads what you type. All on 127.0.0.1: this machine. */

/* What a flag was given, as "8888" of --server=8888; NULL: it was not given. */
static inline const char *lesson_value(const char *flag)
{
    size_t n = strlen(flag);
    for (char **p = lesson_flags; p != NULL && *p != NULL; p++)
        if (strncmp(*p, flag, n) == 0 && (*p)[n] == '=')
            return *p + n + 1;
    return NULL;
}

/* A number that --server or --client was given; 0 = any free port. */
static inline unsigned lesson_port(const char *flag)
{
    const char *text = lesson_value(flag) != NULL ? lesson_value(flag) : "0";
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != 0 || port > 65535) {
        fprintf(stderr, "lesson: %s takes a port, a number from 0 to 65535 (not '%s')\n", flag, text);
        exit(2);
    }
    return (unsigned)port;
}

static const char *const *lesson_typed; /* the lines that a person would type; NULL: somebody does type */

/* As Python's input: a prompt, and the line that is typed, without its end; "" at the end of the input. */
static inline const char *lesson_input(const char *prompt)
{
    static char line[1024];
    if (lesson_typed != NULL) {
        printf("%s%s\n", prompt, *lesson_typed != NULL ? *lesson_typed : "");
        return *lesson_typed != NULL ? *lesson_typed++ : "";
    }
    printf("%s", prompt);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        line[0] = 0;
    line[strcspn(line, "\n")] = 0;
    return line;
}

/* An address as Python shows it: 127.0.0.1:8888 is ('127.0.0.1', 8888). The text is the calling thread's. */
static inline const char *lesson_address(const char *address)
{
    static _Thread_local char text[WEFT_ADDRESS_MAX + 8];
    const char *colon = strrchr(address, ':');
    snprintf(text, sizeof text, "('%.*s', %s)", (int)(colon - address), address, colon + 1);
    return text;
}

static inline const char *lesson_peer(weft_stream *s)
{
    char text[WEFT_ADDRESS_MAX];
    return weft_stream_peer(s, text) < 0 ? "('?', 0)" : lesson_address(text);
}

typedef struct lesson_pair {
    weft_thread_fn *server; /* serves until it is cancelled, which is what Ctrl-C does to it */
    void *socket;           /* what it is given: a listener, say */
    int (*client)(unsigned port);
    weft_stream *listener; /* NULL, or what the client's process lets go of: a server that has ended refuses him then */
} lesson_pair;

static inline void lesson_block(int how, sigset_t *ends)
{
    sigemptyset(ends);
    sigaddset(ends, SIGINT);
    sigaddset(ends, SIGTERM);
    sigprocmask(how, ends, NULL);
}

/* Run the server until Ctrl-C. */
static inline int lesson_serve(void *arg)
{
    const lesson_pair *p = arg;
    weft_thread server = WEFT_THREAD_INIT;
    sigset_t ends;
    int number, result = 0;
    lesson_block(SIG_BLOCK, &ends); /* before the thread starts, so that it leaves the signals to us */
    must(weft_thread_start(&server, p->server, p->socket, &(weft_thread_options){.name = "server"}));
    sigwait(&ends, &number);
    weft_thread_cancel(&server);
    must(weft_thread_join(&server, &result, WEFT_FOREVER));
    return result < 0 ? 1 : 0;
}

/* The last line of a network lesson's main: the server, the client, or both. `port` is the server's. */
static inline int lesson_run(lesson_pair *p, unsigned port, const char *const *typed)
{
    weft_process server = WEFT_PROCESS_INIT;
    sigset_t ends;
    if (lesson_value("--client") != NULL)
        return p->client(lesson_port("--client"));
    if (lesson_value("--server") != NULL) {
        fprintf(stderr, "port %u\n", port);
        return lesson_serve(p);
    }
    lesson_typed = typed;
    lesson_block(SIG_BLOCK, &ends);
    must(weft_process_start(&server, lesson_serve, p, &(weft_process_options){.name = "server", .daemon = 1}));
    sigprocmask(SIG_UNBLOCK, &ends, NULL);
    if (p->listener != NULL)
        close(must(weft_stream_detach(p->listener)));
    p->listener = NULL;
    int failed = p->client(port), code = 1;
    weft_process_signal(&server, SIGINT); /* Ctrl-C */
    must(weft_process_join(&server, &code, WEFT_FOREVER));
    weft_process_close(&server);
    return failed != 0 || code != 0;
}

/* A TCP listener for the server; NULL where only the client is wanted. */
static inline weft_stream *lesson_listen(unsigned backlog)
{
    weft_stream *listener = NULL;
    if (lesson_value("--client") == NULL)
        must(weft_tcp_listen(&listener, NULL, lesson_port("--server"), &(weft_tcp_options){.backlog = backlog}));
    return listener;
}

/* The lesson over a TCP listener. */
static inline int lesson_run_tcp(weft_thread_fn *server, weft_stream *listener, int (*client)(unsigned port),
                                 const char *const *typed)
{
    lesson_pair p = {server, listener, client, listener};
    int failed = lesson_run(&p, listener != NULL ? weft_stream_port(listener) : 0, typed);
    weft_stream_close(p.listener);
    return failed;
}

/* The client of several lessons: what is typed goes to the server, what comes back is shown. */
static inline int lesson_client(unsigned port)
{
    weft_stream *s;
    char data[1024];
    must(weft_tcp_connect(&s, NULL, port, NULL, WEFT_FOREVER));
    for (const char *text; *(text = lesson_input(">>")) != 0;) {
        must((int)weft_stream_send(s, text, strlen(text), WEFT_FOREVER));
        int n = must((int)weft_stream_recv(s, data, sizeof data, WEFT_FOREVER));
        if (n == 0)
            break;
        printf("服务器： %.*s\n", n, data);
    }
    puts("客户端退出");
    weft_stream_close(s);
    return 0;
}

/* ---- P and V, as the textbooks call the two operations of a semaphore ---- */

static inline void P(weft_sem *s)
{
    weft_sem_acquire(s, WEFT_FOREVER);
}

static inline void V(weft_sem *s)
{
    weft_sem_release(s, 1);
}

/* ---- deadlocks ---- */

static inline void lesson_report_and_end(const weft_deadlock *d, void *arg)
{
    (void)arg;
    fputs(d->text, stdout);
    fflush(stdout);
    _exit(0); /* exit would wait for the threads, which wait for each other */
}

/* A deadlock that weft finds is printed, and ends the lesson; otherwise the lesson would hang for ever. */
static inline void lesson_end_at_deadlock(void)
{
    weft_deadlock_set(WEFT_DEADLOCK_REPORT, lesson_report_and_end, NULL);
}

#endif
