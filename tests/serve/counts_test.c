/* counts_test.c - what a server's counts say of a connection, at any moment. S001-104. */
#include "serve/serve_support.h"

#include "base/atomic.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

static int stay(weft_conn *c, void *arg)
{
    (void)arg;
    const void *bytes;
    return weft_conn_fill(c, 0, &bytes, WEFT_FOREVER) <= 0 ? WEFT_CONN_CLOSE : WEFT_CONN_IDLE;
}

static uint32_t *may_go_on; /* atomic, shared; how many clients the supervisor may have started processes for */
static pid_t tester;

/* The supervisor stands still when it has started a client's process. */
static void hold_supervisor(void)
{
    static uint32_t started;
    if (may_go_on == NULL || getpid() == tester)
        return;
    started++;
    while (load_acquire(may_go_on) < started)
        sched_yield();
}

TEST(processes_count_nobody_as_accepted_who_is_not_open)
{
    may_go_on = mmap(NULL, sizeof *may_go_on, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(may_go_on != MAP_FAILED);
    tester = getpid();
    CHECK_INT(0, pthread_atfork(NULL, hold_supervisor, NULL));
    weft_server *s;
    CHECK_OK(weft_server_open(&s, &(weft_server_options){.handler = stay, .model = "process", .idle_timeout = -1}));
    CHECK_OK(weft_server_start(s));
    for (unsigned i = 1; i <= 3; i++) {
        int fd = client_open(weft_server_port(s));
        weft_server_stats stats;
        do
            stats = server_stats(s);
        while (stats.accepted < i);
        CHECK_INT(1, stats.open);
        store_release(may_go_on, i);
        client_close(fd);
        wait_open(s, 0);
    }
    serve_stop(s);
}
