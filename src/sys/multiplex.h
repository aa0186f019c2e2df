/* multiplex.h - select, poll and epoll as functions that take an absolute deadline and return a count or -errno. A
 * deadline at or below 0 does not sleep and reads no clock; INT64_MAX sleeps until something happens. -EINTR is
 * returned as such: whoever waits looks around before it waits again. */
#ifndef WEFT_SYS_MULTIPLEX_H
#define WEFT_SYS_MULTIPLEX_H

#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>

int weft__sys_select(int n, fd_set *readable, fd_set *writable, fd_set *except, int64_t until_ns);
int weft__sys_poll(struct pollfd *fds, unsigned n, int64_t until_ns);

int weft__sys_epoll_create(void);
int weft__sys_epoll_ctl(int epfd, int op, int fd, uint32_t events, void *data);

/* Take fd out; does nothing when it is not in. */
void weft__sys_epoll_forget(int epfd, int fd);

/* To the nanosecond where the kernel has epoll_pwait2 (Linux 5.11), else rounded up to the millisecond. */
int weft__sys_epoll_wait(int epfd, struct epoll_event *events, int max, int64_t until_ns);

#endif
