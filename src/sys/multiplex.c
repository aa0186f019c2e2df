/* multiplex.c - select, poll, epoll. See multiplex.h (not called poll.h, which <poll.h> itself includes from sys/). */
#include "sys/multiplex.h"

#include "sys/direct.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What is left until then, for calls that take a span; NULL for no limit. */
static struct timespec *time_left(struct timespec *t, int64_t until_ns)
{
    if (until_ns == INT64_MAX)
        return NULL;
    int64_t left = until_ns <= 0 ? 0 : until_ns - weft__sys_now();
    if (left < 0)
        left = 0;
    t->tv_sec = left / 1000000000;
    t->tv_nsec = left % 1000000000;
    return t;
}

int weft__sys_select(int n, fd_set *readable, fd_set *writable, fd_set *except, int64_t until_ns)
{
    struct timespec t;
    int err = weft__sys_fault(WEFT__SYS_SELECT);
    if (err < 0)
        return err;
    int count = pselect(n, readable, writable, except, time_left(&t, until_ns), NULL);
    return count < 0 ? -errno : count;
}

int weft__sys_poll(struct pollfd *fds, unsigned n, int64_t until_ns)
{
    struct timespec t;
    int err = weft__sys_fault(WEFT__SYS_POLL);
    if (err < 0)
        return err;
#if WEFT__DIRECT
    return (int)weft__direct(SYS_ppoll, fds, n, time_left(&t, until_ns), NULL, 0, 0);
#else
    int count = ppoll(fds, n, time_left(&t, until_ns), NULL);
    return count < 0 ? -errno : count;
#endif
}

int weft__sys_epoll_create(void)
{
    int err = weft__sys_fault(WEFT__SYS_EPOLL_CREATE);
    if (err < 0)
        return err;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int weft__sys_epoll_ctl(int epfd, int op, int fd, uint32_t events, void *data)
{
    int err = weft__sys_fault(WEFT__SYS_EPOLL_CTL);
    if (err < 0)
        return err;
    struct epoll_event e = {.events = events, .data.ptr = data};
    return epoll_ctl(epfd, op, fd, &e) < 0 ? -errno : 0;
}

void weft__sys_epoll_forget(int epfd, int fd)
{
    struct epoll_event unused = {0};
    epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &unused);
}

static uint32_t no_pwait2; /* atomic: the kernel does not have it */

int weft__sys_epoll_wait(int epfd, struct epoll_event *events, int max, int64_t until_ns)
{
    int err = weft__sys_fault(WEFT__SYS_EPOLL_WAIT);
    if (err < 0)
        return err;
    struct timespec t;
    const struct timespec *left = time_left(&t, until_ns);
#ifdef SYS_epoll_pwait2
    if (left != NULL && (left->tv_sec != 0 || left->tv_nsec != 0) && load_relaxed(&no_pwait2) == 0) {
        int count = (int)weft__direct(SYS_epoll_pwait2, epfd, events, max, left, 0, 0);
        if (count != -ENOSYS)
            return count;
        store_relaxed(&no_pwait2, 1);
    }
#endif
    int ms = -1;
    if (left != NULL) {
        int64_t ns = (int64_t)left->tv_sec * 1000000000 + left->tv_nsec;
        ms = ns > INT64_C(1000000) * INT32_MAX - 1000000 ? INT32_MAX : (int)((ns + 999999) / 1000000);
    }
#if !WEFT__DIRECT
    int count = epoll_wait(epfd, events, max, ms);
    return count < 0 ? -errno : count;
#else
    return (int)weft__direct(SYS_epoll_pwait, epfd, events, max, ms, 0, 0);
#endif
}
