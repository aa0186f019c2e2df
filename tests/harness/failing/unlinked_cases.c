/* unlinked_cases.c - cases for a program that is not linked with the libraries which the tests' own peers are made
 * with: here the library loads them itself, when they are needed. */
#include "harness/harness.h"
#include "io/tls_memory_support.h"
#include "sys/library.h"

#include <weft/event.h>
#include <weft/thread.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_mapped(const char *library)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    while (!found && fgets(line, sizeof line, maps) != NULL)
        found = strstr(line, library) != NULL;
    fclose(maps);
    return found;
}

static int wait_for(void *event)
{
    return weft_event_wait(event, WEFT_FOREVER);
}

static int use_tls(void)
{
    weft_tls *server, *client;
    int err = tls_memory_contexts(&server, &client);
    if (err < 0)
        return err;
    err = tls_memory_talk(server, client);
    weft_tls_free(server);
    weft_tls_free(client);
    return err;
}

/* The first use of TLS is in a forked child of a program with threads; then, all the same, in the program. */
TEST_LIMIT(30, pass_tls_begins_in_a_forked_child)
{
    weft_event end = WEFT_EVENT_INIT;
    weft_thread thread = WEFT_THREAD_INIT;
    int status;
    CHECK_OK(weft_thread_start(&thread, wait_for, &end, NULL));
    CHECK(WEFT_LINKED || !is_mapped("libssl"));
    pid_t pid = fork();
    if (pid == 0) {
        int err = use_tls();
        CHECK(err == 0 || err == -EOPNOTSUPP);
        CHECK(WEFT_LINKED || err < 0 || is_mapped("libssl"));
        _exit(0);
    }
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK_INT(0, status);
    CHECK(WEFT_LINKED || !is_mapped("libssl"));
    int err = use_tls();
    CHECK(err == 0 || err == -EOPNOTSUPP);
    weft_event_set(&end);
    CHECK_OK(weft_thread_join(&thread, NULL, WEFT_FOREVER));
}
