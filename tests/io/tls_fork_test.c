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

#endif
