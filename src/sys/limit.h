/* limit.h - how many descriptors and how much memory this process may have. */
#ifndef WEFT_SYS_LIMIT_H
#define WEFT_SYS_LIMIT_H

#include <stddef.h>
#include <stdint.h>

/* Raise the soft limit of descriptors to `need`, or as far towards it as the hard limit lets us; never lowers it.
 * Returns the limit that holds now. */
uint64_t weft__sys_descriptor_limit(uint64_t need);

/* Let this process map at most `more` bytes beyond what it has mapped now. 0 or -errno. */
int weft__sys_limit_memory(size_t more);

#endif
