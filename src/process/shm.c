/* shm.c - segments: memory files with a page at their beginning that says what they are and who is attached.
 *
 * H1  a named segment is made whole before it has its name (sys/segment.h), so what is found by a name has a maker.
 * H2  an entry of the table is taken by writing the process's token into it, so whoever died in the midst of that is
 *     known too; the rest of the entry is filled in afterwards and is only told, never relied on.
 * H3  the handle keeps the size that the file had when it was mapped. What the head says later is not asked.
 * Pinned by tests/process/shm_test.c. */
#include "process/shm.h"

#include "park/park.h"
#include "sys/file.h"
#include "sys/net.h"
#include "sys/segment.h"
#include "sys/sys.h"

#include <weft/process.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MAGIC = 0x77667332, /* "wfs2" */
    PID_MASK = (1 << 22) - 1
};

/* ---- names ---- */

static bool is_name(const char *name)
{
    size_t n = strnlen(name, WEFT_SHM_NAME_MAX + 1);
    if (n == 0 || n > WEFT_SHM_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] == '/' || (unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return false;
    return true;
}

const char *weft__shm_area = "weft";

static void prefix_of(char prefix[64])
{
    snprintf(prefix, 64, "%s.%u.", weft__shm_area, weft__sys_user());
}

static int file_of(char file[WEFT__SEGMENT_NAME_MAX], const char *name)
{
    char prefix[64];
    if (!is_name(name))
        return -EINVAL;
    prefix_of(prefix);
    snprintf(file, WEFT__SEGMENT_NAME_MAX, "%s%s", prefix, name);
    return 0;
}

static void make_name(char *name)
{
    uint64_t words[2];
    weft__sys_random(words, sizeof words);
    snprintf(name, WEFT_SHM_NAME_MAX + 1, "%016llx%016llx", (unsigned long long)words[0], (unsigned long long)words[1]);
}

/* ---- the table ---- */

static void fill_entry(weft__shm_entry *e)
{
    uint64_t start;
    if (weft__sys_process_start(getpid(), &start) < 0)
        start = 0;
    store_relaxed(&e->pid, (uint32_t)getpid());
    store_relaxed(&e->start, start);
    snprintf(e->name, sizeof e->name, "%s", weft_process_self_name());
}

/* Copy an entry that somebody may be writing. False: it is free. */
static bool copy_entry(weft_shm_process *to, const weft__shm_entry *e)
{
    uint32_t token = load_acquire(&e->token);
    if (token == 0)
        return false;
    *to = (weft_shm_process){.pid = (pid_t)(token & PID_MASK), .start = load_relaxed(&e->start)};
    memcpy(to->name, e->name, sizeof to->name);
    to->name[sizeof to->name - 1] = 0;
    to->dead = weft__process_dead(token);
    return true;
}

int weft_shm_clear_dead(weft_shm *s)
{
    int cleared = 0;
    for (unsigned i = 0; i < WEFT__SHM_PROCESSES; i++) {
        uint32_t *token = &s->head->processes[i].token, seen = load_acquire(token);
        if (seen != 0 && weft__process_dead(seen) && cas_acq_rel(token, &seen, 0))
            cleared++;
    }
    return cleared;
}

static weft__shm_entry *find_entry(const weft_shm *s, uint32_t token)
{
    for (unsigned i = 0; i < WEFT__SHM_PROCESSES; i++)
        if (load_acquire(&s->head->processes[i].token) == token)
            return &s->head->processes[i];
    return NULL;
}

static bool take_entry(weft_shm *s)
{
    for (unsigned i = 0; i < WEFT__SHM_PROCESSES; i++) {
        weft__shm_entry *e = &s->head->processes[i];
        uint32_t free = 0;
        if (load_relaxed(&e->token) == 0 && cas_acq_rel(&e->token, &free, weft__process())) {
            fill_entry(e);
            return true;
        }
    }
    return false;
}

int weft_shm_attach(weft_shm *s)
{
    if (find_entry(s, weft__process()) != NULL || take_entry(s))
        return 0;
    weft_shm_clear_dead(s);
    return take_entry(s) ? 0 : -ENOSPC;
}

int weft_shm_attached(const weft_shm *s, weft_shm_process *list, int max)
{
    int n = 0;
    weft_shm_process one;
    for (unsigned i = 0; i < WEFT__SHM_PROCESSES; i++)
        if (copy_entry(&one, &s->head->processes[i])) {
            if (n < max)
                list[n] = one;
            n++;
        }
    return n;
}

/* ---- open and close ---- */

static int map_handle(weft_shm **out, int fd, size_t size)
{
    void *p;
    weft_shm *s = weft__calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    int err = weft__sys_segment_map(&p, fd, WEFT__SHM_HEAD + size);
    if (err < 0) {
        weft__free(s);
        return err;
    }
    s->fd = fd;
    s->head = p;
    s->data = (char *)p + WEFT__SHM_HEAD;
    s->size = size;
    *out = s;
    return 0;
}

static void unmap_handle(weft_shm *s)
{
    weft__sys_unmap(s->head, WEFT__SHM_HEAD + s->size);
    weft__free(s);
}

static int make_segment(weft_shm **out, int fd, size_t size, uint32_t kind, int (*fill)(weft_shm *s, void *arg),
                        void *arg)
{
    weft_shm *s;
    int err = map_handle(&s, fd, size);
    if (err < 0)
        return err;
    s->kind = s->head->kind = kind;
    s->head->size = size;
    s->head->maker.token = weft__process();
    fill_entry(&s->head->maker);
    err = fill != NULL ? fill(s, arg) : 0;
    if (err < 0) {
        unmap_handle(s);
        return err;
    }
    store_release(&s->head->magic, (uint32_t)MAGIC);
    weft_shm_attach(s);
    *out = s;
    return 0;
}

/* Give the finished segment its name; one that was made up is made up again if it is taken. */
static int link_segment(weft_shm *s, const char *name)
{
    char file[WEFT__SEGMENT_NAME_MAX];
    int err;
    do {
        if (name[0] == 0)
            make_name(s->name);
        else
            snprintf(s->name, sizeof s->name, "%s", name);
        err = file_of(file, s->name);
        if (err == 0)
            err = weft__sys_segment_link(s->fd, file);
    } while (err == -EEXIST && name[0] == 0);
    return err;
}

int weft__shm_new(weft_shm **s, size_t size, const char *name, uint32_t kind, int (*fill)(weft_shm *s, void *arg),
                  void *arg)
{
    if (size == 0 || size > SIZE_MAX / 4 || (name != NULL && name[0] != 0 && !is_name(name)))
        return -EINVAL;
    size_t all = WEFT__SHM_HEAD + size;
    int fd = name == NULL ? weft__sys_segment_new(all) : weft__sys_segment_new_linkable(all);
    if (fd < 0)
        return fd;
    int err = make_segment(s, fd, size, kind, fill, arg);
    if (err == 0 && name != NULL && (err = link_segment(*s, name)) < 0)
        unmap_handle(*s);
    if (err < 0)
        weft__sys_close(fd);
    return err;
}

int weft_shm_new(weft_shm **s, size_t size, const weft_shm_options *options)
{
    weft_shm_options o = options != NULL ? *options : (weft_shm_options){0};
    return weft__shm_new(s, size, o.name, o.heap ? WEFT__SHM_HEAP : WEFT__SHM_DATA, o.heap ? weft__shm_heap_fill : NULL,
                         NULL);
}

/* Pre: the file is checked to be one that may be mapped. */
static int open_checked(weft_shm **s, int fd, uint64_t file_size)
{
    if (file_size <= WEFT__SHM_HEAD || file_size > SIZE_MAX / 4)
        return -EPROTO;
    int err = map_handle(s, fd, (size_t)file_size - WEFT__SHM_HEAD);
    if (err < 0)
        return err;
    const weft__shm_head *h = (*s)->head;
    uint32_t magic = load_acquire(&h->magic);
    (*s)->kind = load_relaxed(&h->kind);
    if (magic != MAGIC || load_relaxed(&h->size) != (*s)->size || (*s)->kind > WEFT__SHM_QUEUE) {
        unmap_handle(*s);
        return -EPROTO;
    }
    weft_shm_attach(*s);
    return 0;
}

int weft_shm_from_fd(weft_shm **s, int fd)
{
    uint64_t size;
    int err = weft__sys_segment_size(fd, &size);
    return err < 0 ? err : open_checked(s, fd, size);
}

int weft_shm_open(weft_shm **s, const char *name)
{
    char file[WEFT__SEGMENT_NAME_MAX];
    int err = file_of(file, name);
    int fd = err < 0 ? err : weft__sys_segment_open(file);
    if (fd < 0)
        return fd;
    err = weft_shm_from_fd(s, fd);
    if (err < 0) {
        weft__sys_close(fd);
        return err;
    }
    snprintf((*s)->name, sizeof(*s)->name, "%s", name);
    return 0;
}

void weft__shm_detach(weft_shm *s)
{
    uint32_t me = weft__process();
    weft__shm_entry *e = find_entry(s, me);
    if (e != NULL)
        cas_acq_rel(&e->token, &me, 0);
    unmap_handle(s);
}

void weft_shm_close(weft_shm *s)
{
    if (s == NULL)
        return;
    int fd = s->fd;
    weft__shm_detach(s);
    weft__sys_close(fd);
}

int weft_shm_unlink(const char *name)
{
    char file[WEFT__SEGMENT_NAME_MAX];
    int err = file_of(file, name);
    return err < 0 ? err : weft__sys_segment_unlink(file);
}

/* ---- what it is ---- */

void *weft_shm_data(const weft_shm *s)
{
    return s->kind == WEFT__SHM_DATA ? s->data : NULL;
}

size_t weft_shm_size(const weft_shm *s)
{
    return s->size;
}

int weft_shm_fd(const weft_shm *s)
{
    return s->fd;
}

const char *weft_shm_name(const weft_shm *s)
{
    return s->name;
}

uint64_t weft_shm_offset(const weft_shm *s, const void *p)
{
    return p == NULL ? 0 : (uint64_t)((const char *)p - (const char *)s->head);
}

void *weft_shm_at(const weft_shm *s, uint64_t offset, size_t size)
{
    if (offset < WEFT__SHM_HEAD || offset - WEFT__SHM_HEAD > s->size || size > s->size - (offset - WEFT__SHM_HEAD))
        return NULL;
    return (char *)s->head + offset;
}

void weft_shm_set_root(weft_shm *s, const void *p)
{
    store_release(&s->head->root, weft_shm_offset(s, p));
}

void *weft_shm_root(const weft_shm *s, size_t size)
{
    return weft_shm_at(s, load_acquire(&s->head->root), size);
}

/* ---- what has been left behind ---- */

typedef struct listing {
    void (*fn)(const weft_shm_info *info, void *arg);
    void *arg;
    size_t skip; /* length of the prefix */
    int count, err;
} listing;

/* The head of a named segment, read and not mapped. 0, or -errno: it is none of ours, or gone. */
static int read_head(const char *file, weft__shm_head *head, uint64_t *size)
{
    int fd = weft__sys_segment_open(file);
    if (fd < 0)
        return fd;
    int err = weft__sys_segment_size(fd, size);
    ssize_t n = err < 0 ? err : weft__sys_pread(fd, head, sizeof *head, 0, false);
    weft__sys_close(fd);
    if (n != (ssize_t)sizeof *head || head->magic != MAGIC || *size <= WEFT__SHM_HEAD)
        return n < 0 ? (int)n : -EPROTO;
    return 0;
}

/* Whether it is a segment; where there is no room to look, the listing fails. */
static bool read_listed(listing *l, const char *file, weft__shm_head *head, uint64_t *size)
{
    int err = read_head(file, head, size);
    if (err == -EMFILE || err == -ENFILE || err == -ENOMEM)
        l->err = err;
    return err == 0;
}

static void list_one(const char *file, void *arg)
{
    listing *l = arg;
    weft__shm_head head;
    uint64_t size;
    if (!read_listed(l, file, &head, &size))
        return;
    weft_shm_info info = {.name = file + l->skip, .size = (size_t)size - WEFT__SHM_HEAD};
    copy_entry(&info.maker, &head.maker);
    l->count++;
    l->fn(&info, l->arg);
}

static int list_all(void (*each)(const char *file, void *arg), listing *l)
{
    char prefix[64];
    prefix_of(prefix);
    l->skip = strlen(prefix);
    int err = weft__sys_segment_each(prefix, each, l);
    return err < 0 ? err : l->err < 0 ? l->err : l->count;
}

int weft_shm_each(void (*fn)(const weft_shm_info *info, void *arg), void *arg)
{
    listing l = {.fn = fn, .arg = arg};
    return list_all(list_one, &l);
}

static bool is_in_use(const weft__shm_head *head)
{
    for (unsigned i = 0; i < WEFT__SHM_PROCESSES; i++)
        if (head->processes[i].token != 0 && !weft__process_dead(head->processes[i].token))
            return true;
    return !weft__process_dead(head->maker.token);
}

static void clear_one(const char *file, void *arg)
{
    listing *l = arg;
    weft__shm_head head;
    uint64_t size;
    if (read_listed(l, file, &head, &size) && !is_in_use(&head) && weft__sys_segment_unlink(file) == 0)
        l->count++;
}

int weft_shm_clear(void)
{
    listing l = {0};
    return list_all(clear_one, &l);
}
