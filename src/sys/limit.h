/* limit.h - how many descriptors this process may have. */
#ifndef WEFT_SYS_LIMIT_H
#define WEFT_SYS_LIMIT_H

#include <stdint.h>

/* Raise the soft limit of descriptors to `need`, or as far towards it as the hard limit lets us; never lowers it.
 * Returns the limit that holds now. */
uint64_t weft__sys_descriptor_limit(uint64_t need);

#endif
