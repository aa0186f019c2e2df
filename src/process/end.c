/* end.c - waiting for the end of a child.
 *
 * A pidfd says that its process has ended as soon as it has. While somebody traces the child, as strace and debuggers
 * do, its parent is given the end only when the tracer has taken it or has gone, and no descriptor tells of that.
 * Pinned by tests/process/traced_test.c. */
#include "process/end.h"

#include "sys/spawn.h"

#include <weft/co.h>
#include <weft/poller.h>

#include <errno.h>

enum {
    LOOK_NS = 100 * 1000, /* between two looks, at first; then twice as long each time */
    LOOK_MOST_NS = 20 * 1000 * 1000
};

int weft__await_end(int pidfd, weft_until until)
{
    int err = weft_fd_wait(pidfd, WEFT_POLLIN, until);
    for (int64_t ns = LOOK_NS; err >= 0 && !weft__sys_pidfd_ended(pidfd); ns = ns < LOOK_MOST_NS ? ns * 2 : ns) {
        int64_t left = weft_left(until);
        err = left == 0 ? -ETIMEDOUT : weft_sleep(weft_in(ns < left ? ns : left));
    }
    return err < 0 ? err : 0;
}
