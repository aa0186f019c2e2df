/* limit.c - the limit of descriptors, raised when a server needs more than the usual 1,024. */
#include "sys/limit.h"

#include <sys/resource.h>

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
