/* process_pool.h - the process engine for the rest of the pools. */
#ifndef WEFT_POOL_PROCESS_POOL_H
#define WEFT_POOL_PROCESS_POOL_H

#include <weft/executor.h>

/* The largest message of a pool; of one without processes there is no limit. */
size_t weft__process_pool_limit(const weft_executor *ex);

#endif
