/* recruit.c - the processes of a process pool: started, told to end, killed, forgotten.
 *
 * How a worker is started is weft__man_start alone. The child of a fork closes what belongs to its sisters: their
 * sockets and process descriptors; their segments are not mapped in it at all. The child of the fork server has nothing
 * of this process: it gets its segment, the listener, the bell and its socket as descriptors, and maps the first two.
 * Pinned by tests/pool/process_pool_test.c. */
#include "pool/crew.h"

#include "park/park.h"
#include "sys/message.h"
#include "sys/net.h"
#include "sys/segment.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void weft__man_quit(weft__man *m)
{
    m->quitting = true;
    weft__slot_quit(m->seg);
}

void weft__man_kill(weft__man *m, enum weft__kill why)
{
    if (m->seg == NULL || m->killed != WEFT__NOT_KILLED)
        return;
    m->killed = why;
    weft__sys_pidfd_signal(m->pidfd, SIGKILL); /* it is reaped only when it is buried */
}

typedef struct birth {
    weft__man *man; /* by fork only */
    weft__recruit recruit;
    int parents_socket;
    int segment_fd; /* by the fork server only */
} birth;

/* In a child of the fork server's. */
static int live_served(void *arg)
{
    birth *b = arg;
    weft__recruit *r = &b->recruit;
    void *segment, *listener;
    if (weft__sys_segment_map(&segment, weft_process_fd(0), sizeof *r->segment) < 0 ||
        weft__sys_segment_map(&listener, weft_process_fd(1), sizeof *r->listener) < 0)
        return 1;
    r->segment = segment;
    r->listener = listener;
    r->bell = weft_process_fd(2);
    r->socket = weft_process_fd(3);
    return weft__worker_process(r);
}

static int live(void *arg)
{
    birth *b = arg;
    const weft__crew *c = b->man->ex->crew;
    weft__sys_close(b->parents_socket);
    for (unsigned i = 0; i < c->n; i++) {
        const weft__man *m = &c->men[i];
        if (m == b->man || m->seg == NULL)
            continue;
        weft__sys_close(m->socket);
        weft__sys_close(m->pidfd);
    }
    return weft__worker_process(&b->recruit);
}

static int start_process(birth *b, const char *name)
{
    const weft__crew *c = b->man->ex->crew;
    weft_process_options o = {.name = name, .daemon = 1, .method = c->options.method};
    if (o.method == WEFT_FORK)
        return weft_process_start(&b->man->process, live, b, &o);
    int fds[] = {b->segment_fd, c->listener_fd, c->bell, b->recruit.socket};
    o.fds = fds;
    o.fd_count = WEFT__ARRAY_LEN(fds);
    o.arg_size = sizeof *b;
    return weft_process_start(&b->man->process, live_served, b, &o);
}

int weft__crew_map(const weft__crew *c, void **out, size_t size, int *fd)
{
    *fd = -1;
    if (c->options.method == WEFT_FORK)
        return weft__sys_map_shared(out, size);
    *fd = weft__sys_segment_new(size);
    int err = *fd < 0 ? *fd : weft__sys_segment_map(out, *fd, size);
    if (err < 0 && *fd >= 0)
        weft__sys_close(*fd);
    return err;
}

int weft__man_start(weft__man *m)
{
    weft_executor *ex = m->ex;
    const weft__crew *c = ex->crew;
    void *segment;
    int ends[2], fd;
    int err = weft__crew_map(c, &segment, sizeof(weft__segment), &fd);
    if (err < 0)
        return err;
    err = weft__sys_message_pair(ends);
    if (err < 0)
        goto unmap;
    birth b = {
        .man = m,
        .parents_socket = ends[0],
        .segment_fd = fd,
        .recruit = {.segment = segment,
                    .listener = c->listener,
                    .bell = c->bell,
                    .socket = ends[1],
                    .message_limit = c->options.message_limit,
                    .memory_limit = c->options.memory_limit,
                    .initializer = ex->initializer,
                    .initializer_arg = ex->initializer_arg},
    };
    char name[WEFT__POOL_NAME + 16];
    snprintf(name, sizeof name, "%s-%u", ex->name, m->index);
    err = start_process(&b, name);
    weft__sys_close(ends[1]);
    if (err < 0)
        goto close;
    weft__sys_not_for_children(segment, sizeof(weft__segment));
    int pidfd = weft_process_sentinel(&m->process);
    err = weft_poller_register(c->poller, pidfd, WEFT_POLLIN, m);
    if (err < 0)
        goto kill;

    rawlock_acquire(&ex->crew->lock);
    m->socket = ends[0];
    m->pidfd = pidfd;
    m->pid = weft_process_pid(&m->process);
    m->head = m->tail = m->busy = m->given = m->seen = m->ticked = 0;
    m->depth = 1;
    m->per_job = WEFT_MS;
    m->ready = m->quitting = m->left = m->stuck = false;
    m->killed = WEFT__NOT_KILLED;
    m->seg = segment;
    rawlock_release(&ex->crew->lock);
    if (fd >= 0)
        weft__sys_close(fd);
    return 0;
kill:
    weft_process_kill(&m->process);
    weft_process_join(&m->process, NULL, WEFT_FOREVER);
    weft_process_close(&m->process);
close:
    weft__sys_close(ends[0]);
unmap:
    weft__sys_unmap(segment, sizeof(weft__segment));
    if (fd >= 0)
        weft__sys_close(fd);
    return err;
}

void weft__man_forget(weft__man *m)
{
    weft__crew *c = m->ex->crew;
    rawlock_acquire(&c->lock);
    weft__segment *seg = m->seg;
    m->seg = NULL;
    m->ready = false;
    m->pid = 0;
    rawlock_release(&c->lock);
    weft_poller_unregister(c->poller, m->pidfd);
    weft__sys_close(m->socket);
    weft__sys_unmap(seg, sizeof *seg);
    weft_process_close(&m->process);
}
