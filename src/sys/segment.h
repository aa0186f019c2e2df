/* segment.h - files that live in memory and are mapped by several processes. Results are >= 0 or -errno.
 *
 * G1 whole at once:  a named file is made without a name (O_TMPFILE), filled, and linked to its name in one step that
 *                    fails when the name exists; so nobody sees half of one, and no link is followed.
 * G2 ours alone:     mode 0600; an open refuses what is no plain file, or not the caller's own, or open to others.
 * G3 never shorter:  an anonymous file is sealed against shrinking and growing, so a mapping of it never loses a page.
 *                    The kernel does not seal named files: who may open one could cut it, and that is its owner. */
#ifndef WEFT_SYS_SEGMENT_H
#define WEFT_SYS_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WEFT__SEGMENT_NAME_MAX = 200 /* with its end */
};

/* An anonymous file of this size, zeroed, close-on-exec, sealed. */
int weft__sys_segment_new(size_t size);

/* A file of this size that can be given a name, its memory reserved: -ENOSPC where there is none. */
int weft__sys_segment_new_linkable(size_t size);

/* Give it the name: 0, -EEXIST ... */
int weft__sys_segment_link(int fd, const char *name);

/* Open a named one: G2, else -EACCES; -ENOENT. */
int weft__sys_segment_open(const char *name);

/* The size of a file that may be mapped: sealed against shrinking, or the caller's own; -EPERM otherwise, -EINVAL for
 * what is no plain file. */
int weft__sys_segment_size(int fd, uint64_t *size);

/* Map it for reading and writing. */
int weft__sys_segment_map(void **out, int fd, size_t size);

int weft__sys_segment_unlink(const char *name);

/* Call fn with the name of each file that begins with `prefix`. Returns 0 or -errno. */
int weft__sys_segment_each(const char *prefix, void (*fn)(const char *name, void *arg), void *arg);

/* The user whose files these are. */
unsigned weft__sys_user(void);

#endif
