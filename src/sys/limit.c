/* limit.c - the limit of descriptors, raised when a server needs more than the usual 1,024; and that of memory. */
#include "sys/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t weft__sys_descriptor_limit(uint64_t need)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    if (limit.rlim_cur < need && limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {need < limit.rlim_max ? need : limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur;
}

int weft__sys_limit_memory(size_t more)
{
    char text[64];
    unsigned long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%lu", &pages) != 1)
        return -EPROTO;
    rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE), limit = now + more;
    struct rlimit both = {limit < now ? RLIM_INFINITY : limit, RLIM_INFINITY};
    struct rlimit old;
    if (getrlimit(RLIMIT_AS, &old) == 0) {
        both.rlim_max = old.rlim_max;
        if (both.rlim_cur > both.rlim_max)
            both.rlim_cur = both.rlim_max;
    }
    return setrlimit(RLIMIT_AS, &both) < 0 ? -errno : 0;
}
