/* weft/shm.h - memory that several processes share: segments, who is attached to them, and a heap inside.
 *
 *     weft_shm *s;
 *     int err = weft_shm_new(&s, sizeof(struct table), NULL);     // then fork: the children share it
 *     struct table *t = weft_shm_data(s);                         // zeroed
 *     weft_lock_init(&t->lock, WEFT_SHARED);                      // all of weft's locks work in it
 *     ...
 *     weft_shm_close(s);
 *
 * A segment reaches another process in three ways: inherited over a fork; as a descriptor (weft_shm_fd,
 * weft_pipe_send_fds, weft_shm_from_fd); or by a name. Anonymous ones are sealed, so that nobody can cut them under a
 * mapping, and end with the last process that has them. Named ones stay until they are unlinked, also when their maker
 * is killed: weft_shm_each lists them and weft_shm_clear unlinks those whose makers are dead. They are the user's own,
 * mode 0600, and not sealed, for the kernel does not.
 *
 * Mappings lie at different addresses: store offsets (weft_shm_offset, weft_shm_at), never pointers. What you read from
 * memory that somebody with fewer rights than you can write is input: copy it, check the copy, use the copy.
 *
 * Unless said otherwise: call from threads and coroutines, by any number of callers at once, not from signal handlers.
 */
#ifndef WEFT_SHM_H
#define WEFT_SHM_H

#include <weft/base.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_shm weft_shm; /* one mapping of one segment, in this process */

enum {
    WEFT_SHM_NAME_MAX = 100 /* bytes of a name */
};

typedef struct weft_shm_options {
    const char *name; /* NULL = anonymous; "" = weft makes up a name that nobody can guess */
    int heap;         /* 1: the memory is a heap, for weft_shm_alloc; there is no weft_shm_data then */
} weft_shm_options;

/* Make a segment of `size` bytes, zeroed. Returns 0; -EEXIST: there is one of that name; -EINVAL: size 0, or a name
 * that is too long, begins with a dot or has a slash or a control character in it; -ENOSPC, -ENOMEM, -EMFILE. Allocates
 * the handle. */
WEFT_API int weft_shm_new(weft_shm **s, size_t size, const weft_shm_options *options);

/* Map the segment of that name. Returns 0; -ENOENT; -EINVAL as above; -EACCES: it is a link, another user's or open to
 * others; -EPROTO: it is no segment of weft's. */
WEFT_API int weft_shm_open(weft_shm **s, const char *name);

/* Map the segment that a descriptor from weft_shm_fd stands for, and take the descriptor over. Also -EPERM: it is
 * neither sealed nor the caller's own, so another could cut it. On failure the descriptor is still the caller's. */
WEFT_API int weft_shm_from_fd(weft_shm **s, int fd);

/* Let go of this process's mapping; that of others, and the name, stay. NULL is nothing. Nobody here may be using it.
 */
WEFT_API void weft_shm_close(weft_shm *s);

/* Take the name away; who has it mapped keeps it. Returns 0, -ENOENT or -EINVAL. */
WEFT_API int weft_shm_unlink(const char *name);

WEFT_API void *weft_shm_data(const weft_shm *s); /* aligned to a page; NULL: it is a heap, or weft's own */
WEFT_API size_t weft_shm_size(const weft_shm *s);
WEFT_API int weft_shm_fd(const weft_shm *s);           /* owned by the handle */
WEFT_API const char *weft_shm_name(const weft_shm *s); /* "" when anonymous, or when it came as a descriptor */

/* Where p lies in the segment, and what lies at an offset in this mapping: NULL unless `size` bytes from there on lie
 * inside. Offset 0 is no place for data: NULL is offset 0 and back. */
WEFT_API uint64_t weft_shm_offset(const weft_shm *s, const void *p);
WEFT_API void *weft_shm_at(const weft_shm *s, uint64_t offset, size_t size);

/* ---- a heap inside ----
 * Any process may allocate and any free, and be killed at any moment: the heap stays whole, and what it was just being
 * given goes back. What a process had is not freed by its death. */

/* `size` bytes, zeroed, aligned to 16. Returns 0 and *p; -ENOMEM; -EINVAL: size 0, or the segment is no heap;
 * -ETIMEDOUT: a process that is stopped in the midst of this held it up for a second; -EBADMSG: the heap has been
 * spoilt by a write where none belongs. */
WEFT_API int weft_shm_alloc(weft_shm *s, size_t size, void **p);

/* Give it back. Returns 0, also for NULL; -EINVAL: it is nothing that alloc gave; otherwise as alloc. */
WEFT_API int weft_shm_free(weft_shm *s, void *p);

WEFT_API size_t weft_shm_used(const weft_shm *s); /* bytes given out, with what the heap adds to each */

/* One place that all processes find: where the first of your structs lies. NULL at first, and when it was spoilt. */
WEFT_API void weft_shm_set_root(weft_shm *s, const void *p);
WEFT_API void *weft_shm_root(const weft_shm *s, size_t size);

/* ---- who is attached ----
 * A process is entered by new, open and from_fd and taken out by close. One that a fork brought along is not before it
 * calls weft_shm_attach. */

typedef struct weft_shm_process {
    pid_t pid;
    int dead;       /* it has ended without closing */
    uint64_t start; /* in clock ticks since boot, as in /proc/PID/stat; 0 = unknown */
    char name[32];  /* weft_process_self_name, when it attached */
} weft_shm_process;

/* Enter the calling process. Returns 0, also when it is entered already, or -ENOSPC: 60 living ones are. */
WEFT_API int weft_shm_attach(weft_shm *s);

/* Copy up to `max` entries. Returns how many there are. */
WEFT_API int weft_shm_attached(const weft_shm *s, weft_shm_process *list, int max);

/* Take the dead ones out. Returns how many. */
WEFT_API int weft_shm_clear_dead(weft_shm *s);

/* ---- what has been left behind ---- */

typedef struct weft_shm_info {
    const char *name; /* valid during the call */
    size_t size;
    weft_shm_process maker;
} weft_shm_info;

/* Call fn for each named segment of the calling user. Returns how many, or -ENOMEM, -EMFILE. */
WEFT_API int weft_shm_each(void (*fn)(const weft_shm_info *info, void *arg), void *arg);

/* Unlink those whose makers are dead and that no living process is attached to. Returns how many, or as above. */
WEFT_API int weft_shm_clear(void);

#ifdef __cplusplus
}
#endif
#endif
