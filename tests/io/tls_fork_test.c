/* tls_fork_test.c - contexts of TLS in a child that was forked while other threads used them. */
#include "io/tls_memory_support.h"

#include "harness/harness.h"
#include "io/tls_context.h"

#include <weft/event.h>
#include <weft/thread.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#if WEFT_HAVE_OPENSSL

static int hold_for_a_while(void *arg)
{
    weft__tls_lock();
    weft_event_set(arg);
    usleep(100000);
    weft__tls_unlock();
    return 0;
}

/* A fork waits for those who are changing a context. */
TEST(tls_context_is_usable_in_a_child_whatever_threads_did)
{
    weft_tls *server, *client;
    weft_event held = WEFT_EVENT_INIT;
    weft_thread thread = WEFT_THREAD_INIT;
    int status;
    int err = tls_memory_contexts(&server, &client);
    if (err == -EOPNOTSUPP)
        SKIP("certificates need OpenSSL 3");
    CHECK_OK(err);
    CHECK_OK(weft_thread_start(&thread, hold_for_a_while, &held, NULL));
    weft_event_wait(&held, WEFT_FOREVER);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(tls_memory_talk(server, client));
        _exit(0);
    }
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
    CHECK_OK(tls_memory_talk(server, client));
    weft_tls_free(server);
    weft_tls_free(client);
}

typedef struct talk {
    weft_stream *client, *server;
    weft_tls *of_client, *of_server;
    ssize_t end; /* what the server has read last */
    weft_thread thread;
} talk;

static int echo(void *arg)
{
    talk *k = arg;
    char byte;
    k->end = weft_tls_start(k->server, k->of_server, NULL, WEFT_FOREVER);
    while (k->end >= 0 && (k->end = weft_stream_recv(k->server, &byte, 1, WEFT_FOREVER)) == 1)
        CHECK_INT(1, weft_stream_send(k->server, &byte, 1, WEFT_FOREVER));
    return 0;
}

static void say(const talk *k)
{
    char byte;
    CHECK_INT(1, weft_stream_send(k->client, "x", 1, WEFT_FOREVER));
    CHECK_INT(1, weft_stream_recv(k->client, &byte, 1, WEFT_FOREVER));
}

static void open_talk(talk *k)
{
    weft_stream *pair[2];
    *k = (talk){.thread = WEFT_THREAD_INIT};
    int err = tls_memory_contexts(&k->of_server, &k->of_client);
    if (err == -EOPNOTSUPP)
        SKIP("certificates need OpenSSL 3");
    CHECK_OK(err);
    CHECK_OK(weft_unix_pair(pair));
    k->client = pair[0];
    k->server = pair[1];
    CHECK_OK(weft_thread_start(&k->thread, echo, k, NULL));
    CHECK_OK(weft_tls_start(k->client, k->of_client, "localhost", WEFT_FOREVER));
    say(k);
}

/* The server's end of it, when the client has said that it ends. */
static void close_talk(talk *k)
{
    CHECK_OK(weft_thread_join(&k->thread, NULL, WEFT_FOREVER));
    weft_stream_close(k->server);
    weft_tls_free(k->of_client);
    weft_tls_free(k->of_server);
}

static void run_child(talk *k, bool goes_on)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (goes_on)
            say(k);
        weft_stream_close(k->client);
        _exit(0);
    }
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
}

/* Both have the session's keys and its count of records: a word from the child would be a forgery to the other end. */
TEST(tls_stream_closed_in_a_forked_child_goes_on_in_the_parent)
{
    talk k;
    open_talk(&k);
    run_child(&k, false);
    say(&k);
    weft_stream_close(k.client);
    close_talk(&k);
    CHECK_INT(0, k.end);
}

TEST(tls_stream_used_in_a_forked_child_is_ended_there)
{
    talk k;
    open_talk(&k);
    run_child(&k, true);
    close_talk(&k);
    weft_stream_close(k.client);
    CHECK_INT(0, k.end);
}

#endif
