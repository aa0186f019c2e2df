/* process_support.c - see process_support.h. */
#include "process_support.h"

#include "base/atomic.h"
#include "sys/sys.h"

#include <weft/co.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int bytes_square(const void *in, size_t size, weft_reply *reply)
{
    long n;
    if (size != sizeof n)
        return -EINVAL;
    n = *(const long *)in;
    n *= n;
    return weft_reply_put(reply, &n, sizeof n);
}

int bytes_echo(const void *in, size_t size, weft_reply *reply)
{
    return weft_reply_put(reply, in, size);
}

int bytes_pid(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    long pid = getpid();
    return weft_reply_put(reply, &pid, sizeof pid);
}

int bytes_signal(const void *in, size_t size, weft_reply *reply)
{
    (void)size;
    (void)reply;
    signal(*(const int *)in, SIG_DFL);
    raise(*(const int *)in);
    return 0;
}

int bytes_exit(const void *in, size_t size, weft_reply *reply)
{
    (void)size;
    (void)reply;
    _exit(*(const int *)in); /* exit() would have a sanitizer look for leaks in the middle of a job */
}

int bytes_fail(const void *in, size_t size, weft_reply *reply)
{
    (void)size;
    int error = *(const int *)in;
    return weft_reply_fail(reply, error, "job %d: no such luck", error);
}

int bytes_for_ever(const void *in, size_t size, weft_reply *reply)
{
    (void)in;
    (void)size;
    (void)reply;
    for (;;)
        sleep(1000);
}

int bytes_gate(const void *in, size_t size, weft_reply *reply)
{
    struct shared_gate *g = *(struct shared_gate *const *)in;
    (void)size;
    add_seq_cst(&g->inside, 1);
    while (load_seq_cst(&g->open) == 0)
        usleep(500);
    add_seq_cst(&g->passed, 1);
    long pid = getpid();
    return weft_reply_put(reply, &pid, sizeof pid);
}

struct shared_gate *shared_gate_new(void)
{
    void *p;
    CHECK_OK(weft__sys_map_shared(&p, sizeof(struct shared_gate)));
    return p;
}

void shared_gate_wait(struct shared_gate *g, uint32_t inside)
{
    while (load_seq_cst(&g->inside) < inside) {
        weft_yield();
        usleep(200);
    }
}

void shared_gate_open(struct shared_gate *g)
{
    store_seq_cst(&g->open, 1);
}

weft_executor *processes_with(const weft_pool_options *options, const weft_process_pool_options *more)
{
    weft_executor *ex = NULL;
    CHECK_OK(weft_process_pool_new(&ex, options, more));
    return ex;
}

weft_executor *processes(unsigned workers)
{
    return processes_with(&(weft_pool_options){.workers = workers}, NULL);
}

long bytes_long(weft_future *f)
{
    weft_bytes answer;
    CHECK_OK(weft_future_bytes(f, &answer, WEFT_FOREVER));
    CHECK_INT(sizeof(long), answer.size);
    return *(const long *)answer.data;
}

int child_count(void)
{
    char path[64];
    int n = 0, pid;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    while (fscanf(f, "%d", &pid) == 1)
        n++;
    fclose(f);
    return n;
}
