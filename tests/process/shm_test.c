/* Segments: made, shared over fork, descriptor and name, sealed, unlinked, listed; who is attached. */
#include "harness/harness.h"

#include "base/atomic.h"
#include "process/shm.h"
#include "sys/segment.h"
#include "sys/sys.h"

#include <weft/barrier.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/lock.h>
#include <weft/once.h>
#include <weft/pipe.h>
#include <weft/process.h>
#include <weft/rwlock.h>
#include <weft/sem.h>
#include <weft/shm.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *own_name(const char *what)
{
    static char name[80];
    snprintf(name, sizeof name, "shm_test.%d.%s", (int)getpid(), what);
    return name;
}

/* What is cleared in one case does not belong to another, or to another run. */
static void own_area(void)
{
    static char area[40];
    snprintf(area, sizeof area, "weft-test-%d", (int)getpid());
    weft__shm_area = area;
}

static weft_shm *new_named(const char *name, size_t size)
{
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, size, &(weft_shm_options){.name = name}));
    return s;
}

/* ---- one process ---- */

TEST(shm_is_zeroed_and_as_large_as_asked)
{
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, 100001, NULL));
    char *p = weft_shm_data(s);
    CHECK_INT(100001, weft_shm_size(s));
    CHECK_STR("", weft_shm_name(s));
    CHECK_INT(0, (uintptr_t)p % 4096);
    for (int i = 0; i < 100001; i++)
        CHECK_INT(0, p[i]);
    memset(p, 1, 100001);
    weft_shm_close(s);
    weft_shm_close(NULL);
    CHECK_ERR(-EINVAL, weft_shm_new(&s, 0, NULL));
    CHECK_ERR(-EINVAL, weft_shm_new(&s, SIZE_MAX, NULL));
}

/* Reliability: sizes that can be cut */
TEST(shm_anonymous_cannot_be_cut)
{
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, 10000, NULL));
    CHECK_INT(-1, ftruncate(weft_shm_fd(s), 10));
    CHECK_INT(-1, ftruncate(weft_shm_fd(s), 1 << 20));
    CHECK_INT(-1, fcntl(weft_shm_fd(s), F_ADD_SEALS, F_SEAL_WRITE));
    CHECK(fcntl(weft_shm_fd(s), F_GETFD) & FD_CLOEXEC);
    weft_shm_close(s);
}

TEST(shm_offsets_stay_inside)
{
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, 1000, NULL));
    char *p = weft_shm_data(s);
    uint64_t at = weft_shm_offset(s, p);
    CHECK(at != 0);
    CHECK_PTR(p, weft_shm_at(s, at, 1000));
    CHECK_PTR(p + 999, weft_shm_at(s, weft_shm_offset(s, p + 999), 1));
    CHECK_PTR(NULL, weft_shm_at(s, at, 1001));
    CHECK_PTR(NULL, weft_shm_at(s, at + 999, 2));
    CHECK_PTR(NULL, weft_shm_at(s, at + 1001, 0));
    CHECK_PTR(NULL, weft_shm_at(s, at - 1, 1));
    CHECK_PTR(NULL, weft_shm_at(s, at, SIZE_MAX));
    CHECK_PTR(NULL, weft_shm_at(s, UINT64_MAX, 1));
    CHECK_PTR(NULL, weft_shm_at(s, 0, 0));
    CHECK_INT(0, weft_shm_offset(s, NULL));
    weft_shm_close(s);
}

/* ---- names ---- */

/* N163 */
TEST(shm_names_are_unique_and_unlinked_once)
{
    const char *name = own_name("unique");
    weft_shm *s, *again, *other;
    CHECK_ERR(-ENOENT, weft_shm_open(&s, name));
    s = new_named(name, 5000);
    CHECK_STR(name, weft_shm_name(s));
    CHECK_ERR(-EEXIST, weft_shm_new(&again, 5000, &(weft_shm_options){.name = name}));
    CHECK_OK(weft_shm_open(&other, name));
    CHECK_INT(5000, weft_shm_size(other));
    CHECK(weft_shm_data(s) != weft_shm_data(other));
    strcpy(weft_shm_data(s), "there");
    CHECK_STR("there", weft_shm_data(other));
    strcpy(weft_shm_data(other), "and back");
    CHECK_STR("and back", weft_shm_data(s));
    CHECK_INT(weft_shm_offset(s, weft_shm_data(s)), weft_shm_offset(other, weft_shm_data(other)));
    CHECK_OK(weft_shm_unlink(name));
    CHECK_ERR(-ENOENT, weft_shm_unlink(name));
    CHECK_ERR(-ENOENT, weft_shm_open(&again, name));
    weft_shm_close(other);
    CHECK_STR("and back", weft_shm_data(s)); /* one mapping does not end the other */
    weft_shm_close(s);
}

/* N163 */
TEST(shm_names_that_are_none_are_refused)
{
    char long_name[WEFT_SHM_NAME_MAX + 2];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    const char *bad[] = {"a/b", "/a", "..", ".hidden", "new\nline", "tab\t", long_name};
    weft_shm *s;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_ERR(-EINVAL, weft_shm_new(&s, 10, &(weft_shm_options){.name = bad[i]}));
        CHECK_ERR(-EINVAL, weft_shm_open(&s, bad[i]));
        CHECK_ERR(-EINVAL, weft_shm_unlink(bad[i]));
    }
    CHECK_ERR(-EINVAL, weft_shm_open(&s, ""));
}

/* Reliability: predictable names */
TEST(shm_makes_up_names_that_differ)
{
    weft_shm *a = new_named("", 10), *b = new_named("", 10), *c;
    CHECK_INT(32, strlen(weft_shm_name(a)));
    CHECK(strcmp(weft_shm_name(a), weft_shm_name(b)) != 0);
    CHECK_OK(weft_shm_open(&c, weft_shm_name(a)));
    weft_shm_close(c);
    CHECK_OK(weft_shm_unlink(weft_shm_name(a)));
    CHECK_OK(weft_shm_unlink(weft_shm_name(b)));
    weft_shm_close(a);
    weft_shm_close(b);
}

static const char *path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "/dev/shm/weft.%u.%s", (unsigned)geteuid(), name);
    return path;
}

/* Reliability: world-accessible modes, following links, opening without O_EXCL */
TEST(shm_opens_only_plain_files_of_the_user_alone)
{
    const char *name = own_name("trap");
    char path[200], target[sizeof path + 10];
    weft_shm *s = new_named(name, 100), *other;
    struct stat st;
    snprintf(path, sizeof path, "%s", path_of(name));
    CHECK_INT(0, stat(path, &st));
    CHECK_INT(0600, st.st_mode & 07777);
    CHECK_INT(0, chmod(path, 0660));
    CHECK_ERR(-EACCES, weft_shm_open(&other, name));
    CHECK_INT(0, chmod(path, 0604));
    CHECK_ERR(-EACCES, weft_shm_open(&other, name));
    CHECK_INT(0, chmod(path, 0600));
    CHECK_OK(weft_shm_open(&other, name));
    weft_shm_close(other);
    weft_shm_close(s);

    snprintf(target, sizeof target, "%s.moved", path);
    CHECK_INT(0, rename(path, target));
    CHECK_INT(0, symlink(target, path));
    CHECK_ERR(-EACCES, weft_shm_open(&other, name));
    CHECK_ERR(-EEXIST, weft_shm_new(&other, 100, &(weft_shm_options){.name = name}));
    CHECK_INT(0, lstat(path, &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_INT(0, unlink(path));
    CHECK_INT(0, unlink(target));

    CHECK_INT(0, mkfifo(path, 0600));
    CHECK_ERR(-EACCES, weft_shm_open(&other, name));
    CHECK_INT(0, unlink(path));
}

TEST(shm_is_not_made_of_any_file)
{
    const char *name = own_name("foreign");
    weft_shm *s;
    int fd = open(path_of(name), O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK_ERR(-EPROTO, weft_shm_open(&s, name)); /* empty */
    CHECK_INT(0, ftruncate(fd, 100000));
    CHECK_ERR(-EPROTO, weft_shm_open(&s, name)); /* no head */
    CHECK_ERR(-EPROTO, weft_shm_from_fd(&s, fd));
    weft_shm *real = new_named("", 50000);
    CHECK_INT(4096, pwrite(fd, (char *)weft_shm_data(real) - 4096, 4096, 0));
    CHECK_ERR(-EPROTO, weft_shm_open(&s, name)); /* another size than the head says */
    CHECK_INT(0, ftruncate(fd, 50000 + 4096));
    CHECK_OK(weft_shm_open(&s, name));
    weft_shm_close(s);
    CHECK_OK(weft_shm_unlink(weft_shm_name(real)));
    weft_shm_close(real);
    close(fd);
    CHECK_OK(weft_shm_unlink(name));
    int ends[2];
    CHECK_INT(0, pipe(ends));
    CHECK_ERR(-EINVAL, weft_shm_from_fd(&s, ends[0]));
    close(ends[0]);
    close(ends[1]);
    CHECK_ERR(-EBADF, weft_shm_from_fd(&s, ends[0]));
}

TEST(shm_that_cannot_be_made_leaves_nothing)
{
    const char *name = own_name("failing");
    enum weft__sys_call calls[] = {WEFT__SYS_MALLOC, WEFT__SYS_OPEN, WEFT__SYS_MMAP};
    weft_shm *s;
    for (unsigned named = 0; named < 2; named++)
        for (unsigned i = 0; i < 3; i++) {
            weft__sys_plan(calls[i], 1, 1, -ENOMEM, 0);
            CHECK_ERR(-ENOMEM, weft_shm_new(&s, 100, &(weft_shm_options){.name = named ? name : NULL}));
            weft__sys_plan_none();
        }
    CHECK_ERR(-ENOENT, weft_shm_unlink(name));
    weft_shm_close(new_named(name, 100));
    for (unsigned i = 0; i < 3; i++) {
        weft__sys_plan(calls[i], 1, 1, -ENOMEM, 0);
        CHECK_ERR(-ENOMEM, weft_shm_open(&s, name));
        weft__sys_plan_none();
    }
    CHECK_OK(weft_shm_unlink(name));
}

/* ---- to other processes ---- */

static weft_shm *inherited;
static weft_pipe *ends[2];

static int write_inherited(void *arg)
{
    strcpy(weft_shm_data(inherited), arg);
    return 0;
}

static int write_by_fd(void *arg)
{
    weft_shm *s;
    int fd;
    unsigned n = 1;
    size_t size;
    char c;
    CHECK_OK(weft_pipe_receive_fds(ends[0], &c, 1, &size, &fd, &n, WEFT_FOREVER));
    CHECK_OK(weft_shm_from_fd(&s, fd));
    strcpy(weft_shm_data(s), arg);
    weft_shm_close(s);
    return 0;
}

static int write_by_name(void *arg)
{
    weft_shm *s;
    CHECK_OK(weft_shm_open(&s, arg));
    strcpy(weft_shm_data(s), "by name");
    weft_shm_close(s);
    return 0;
}

static void run(weft_process_fn *fn, void *arg)
{
    weft_process p = WEFT_PROCESS_INIT;
    int code = -1;
    CHECK_OK(weft_process_start(&p, fn, arg, NULL));
    CHECK_OK(weft_process_join(&p, &code, WEFT_FOREVER));
    CHECK_INT(0, code);
    CHECK_OK(weft_process_close(&p));
}

/* S001-78 */
TEST(shm_is_seen_by_all_who_inherit_it)
{
    CHECK_OK(weft_shm_new(&inherited, 100, NULL));
    run(write_inherited, "changed in the child");
    CHECK_STR("changed in the child", weft_shm_data(inherited));
    weft_shm_close(inherited);
}

/* N162 */
TEST(shm_goes_to_another_process_by_descriptor)
{
    weft_process p = WEFT_PROCESS_INIT;
    weft_shm *s;
    CHECK_OK(weft_pipe_new(ends, WEFT_SIMPLEX));
    CHECK_OK(weft_process_start(&p, write_by_fd, "by descriptor", NULL));
    CHECK_OK(weft_shm_new(&s, 100, NULL)); /* after the fork: it is not inherited */
    int fd = weft_shm_fd(s);
    CHECK_OK(weft_pipe_send_fds(ends[1], "s", 1, &fd, 1, WEFT_FOREVER));
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    CHECK_STR("by descriptor", weft_shm_data(s));
    weft_shm_close(s);
    weft_pipe_close(ends[0]);
    weft_pipe_close(ends[1]);
}

/* N163 */
TEST(shm_goes_to_another_process_by_name)
{
    const char *name = own_name("by_name");
    weft_shm *s = new_named(name, 100);
    run(write_by_name, (void *)name);
    CHECK_STR("by name", weft_shm_data(s));
    weft_shm_close(s);
    CHECK_OK(weft_shm_unlink(name));
}

/* ---- all of sync in it ---- */

typedef struct room {
    weft_lock lock;
    weft_rlock rlock;
    weft_rwlock rwlock;
    weft_cond cond;
    weft_sem sem;
    weft_event event;
    weft_once once;
    weft_barrier barrier;
    int ready, onces; /* under lock */
    int count, rcount, rwcount, units;
} room;

static int first_time(void *arg)
{
    ((room *)arg)->onces++;
    return 0;
}

static void use_room(room *r)
{
    for (int i = 0; i < 200; i++) {
        CHECK_OK(weft_lock_acquire_until(&r->lock, WEFT_FOREVER));
        r->count++;
        weft_lock_release(&r->lock);
        CHECK_OK(weft_rlock_acquire_until(&r->rlock, WEFT_FOREVER));
        CHECK_OK(weft_rlock_acquire_until(&r->rlock, WEFT_FOREVER));
        r->rcount++;
        weft_rlock_release(&r->rlock);
        weft_rlock_release(&r->rlock);
        CHECK_OK(weft_rwlock_acquire_write_until(&r->rwlock, WEFT_FOREVER));
        r->rwcount++;
        weft_rwlock_release_write(&r->rwlock);
        CHECK_OK(weft_sem_acquire(&r->sem, WEFT_FOREVER));
        r->units++;
        CHECK_OK(weft_sem_release(&r->sem, 1));
    }
    CHECK_OK(weft_once_run(&r->once, first_time, r, WEFT_FOREVER));
    CHECK_OK(weft_event_wait(&r->event, WEFT_FOREVER));
    CHECK_OK(weft_lock_acquire_until(&r->lock, WEFT_FOREVER));
    r->ready++;
    weft_cond_notify_all(&r->cond);
    while (r->ready < 3)
        CHECK_OK(weft_cond_wait(&r->cond, &r->lock, WEFT_FOREVER));
    weft_lock_release(&r->lock);
    CHECK(weft_barrier_wait(&r->barrier, WEFT_FOREVER) >= 0);
}

static int use_room_by_fd(void *arg)
{
    weft_shm *s;
    CHECK_OK(weft_shm_from_fd(&s, dup(*(int *)arg))); /* at another address */
    use_room(weft_shm_data(s));
    weft_shm_close(s);
    return 0;
}

/* S001-78, X-01 */
TEST_LIMIT(30, shm_has_room_for_all_of_sync)
{
    weft_process p[2] = {WEFT_PROCESS_INIT, WEFT_PROCESS_INIT};
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, sizeof(room), NULL));
    room *r = weft_shm_data(s);
    CHECK_OK(weft_lock_init(&r->lock, WEFT_SHARED));
    CHECK_OK(weft_rlock_init(&r->rlock, WEFT_SHARED));
    CHECK_OK(weft_rwlock_init(&r->rwlock, WEFT_SHARED));
    CHECK_OK(weft_cond_init(&r->cond, WEFT_SHARED));
    CHECK_OK(weft_sem_init(&r->sem, 1, WEFT_SHARED));
    CHECK_OK(weft_event_init(&r->event, WEFT_SHARED));
    CHECK_OK(weft_once_init(&r->once, WEFT_SHARED));
    CHECK_OK(weft_barrier_init(&r->barrier, 3, &(weft_barrier_options){.flags = WEFT_SHARED}));
    int fd = weft_shm_fd(s);
    for (int i = 0; i < 2; i++)
        CHECK_OK(weft_process_start(&p[i], use_room_by_fd, &fd, NULL));
    weft_event_set(&r->event);
    use_room(r);
    for (int i = 0; i < 2; i++) {
        int code;
        CHECK_OK(weft_process_join(&p[i], &code, WEFT_FOREVER));
        CHECK_INT(0, code);
        CHECK_OK(weft_process_close(&p[i]));
    }
    CHECK_INT(600, r->count);
    CHECK_INT(600, r->rcount);
    CHECK_INT(600, r->rwcount);
    CHECK_INT(600, r->units);
    CHECK_INT(1, r->onces);
    weft_shm_close(s);
}

/* ---- who is attached, what is left behind ---- */

static int attach_and_wait(void *arg)
{
    CHECK_OK(weft_shm_attach(inherited));
    CHECK_OK(weft_shm_attach(inherited));
    weft_event_set(arg);
    for (;;)
        pause();
    return 0;
}

TEST(shm_knows_who_is_attached_and_clears_the_dead)
{
    weft_shm_process list[4];
    weft_process p = WEFT_PROCESS_INIT;
    CHECK_OK(weft_shm_new(&inherited, sizeof(weft_event), NULL));
    weft_event *attached = weft_shm_data(inherited);
    CHECK_OK(weft_event_init(attached, WEFT_SHARED));
    CHECK_INT(1, weft_shm_attached(inherited, list, 4));
    CHECK_INT(getpid(), list[0].pid);
    CHECK_INT(0, list[0].dead);
    CHECK(list[0].start != 0);
    CHECK_STR("MainProcess", list[0].name);
    CHECK_OK(weft_process_start(&p, attach_and_wait, attached, &(weft_process_options){.name = "lodger"}));
    CHECK_OK(weft_event_wait(attached, WEFT_FOREVER));
    CHECK_INT(2, weft_shm_attached(inherited, NULL, 0));
    CHECK_INT(2, weft_shm_attached(inherited, list, 4));
    CHECK_INT(weft_process_pid(&p), list[1].pid);
    CHECK_STR("lodger", list[1].name);
    CHECK_INT(0, list[1].dead);
    CHECK_INT(0, weft_shm_clear_dead(inherited));
    CHECK_OK(weft_process_kill(&p));
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    CHECK_INT(2, weft_shm_attached(inherited, list, 4));
    CHECK_INT(1, list[1].dead);
    CHECK_INT(1, weft_shm_clear_dead(inherited));
    CHECK_INT(1, weft_shm_attached(inherited, list, 4));
    weft_shm_close(inherited);
}

static int attach_and_die(void *arg)
{
    (void)arg;
    return weft_shm_attach(inherited);
}

TEST_LIMIT(60, shm_table_has_room_again_when_the_dead_are_many)
{
    CHECK_OK(weft_shm_new(&inherited, 10, NULL));
    for (int i = 0; i < 150; i++)
        run(attach_and_die, NULL);
    CHECK(weft_shm_attached(inherited, NULL, 0) <= 60);
    weft_shm_close(inherited);
}

typedef struct sought {
    const char *name;
    int found;
    weft_shm_info info;
} sought;

static void look_for(const weft_shm_info *info, void *arg)
{
    sought *s = arg;
    if (strcmp(info->name, s->name) == 0) {
        s->found++;
        s->info = *info;
    }
}

static int make_and_die(void *arg)
{
    weft_shm *s;
    CHECK_OK(weft_shm_new(&s, 12345, &(weft_shm_options){.name = arg}));
    raise(SIGKILL);
    return 0;
}

/* N164 */
TEST(shm_left_behind_by_the_dead_is_listed_and_cleared)
{
    const char *name = own_name("left");
    own_area();
    weft_process p = WEFT_PROCESS_INIT;
    weft_shm *user;
    CHECK_OK(weft_process_start(&p, make_and_die, (void *)name, &(weft_process_options){.name = "maker"}));
    pid_t pid = weft_process_pid(&p);
    CHECK_OK(weft_process_join(&p, NULL, WEFT_FOREVER));
    CHECK_OK(weft_process_close(&p));
    sought s = {.name = name};
    CHECK_INT(1, weft_shm_each(look_for, &s));
    CHECK_INT(1, s.found);
    CHECK_INT(12345, s.info.size);
    CHECK_INT(1, s.info.maker.dead);
    CHECK_INT(pid, s.info.maker.pid);
    CHECK_STR("maker", s.info.maker.name);
    CHECK_OK(weft_shm_open(&user, name)); /* in use: it stays */
    CHECK_INT(0, weft_shm_clear());
    s.found = 0;
    weft_shm_each(look_for, &s);
    CHECK_INT(1, s.found);
    weft_shm_close(user);
    CHECK_INT(1, weft_shm_clear());
    s.found = 0;
    weft_shm_each(look_for, &s);
    CHECK_INT(0, s.found);
}

TEST(shm_of_the_living_is_not_cleared)
{
    const char *name = own_name("living");
    own_area();
    weft_shm *s = new_named(name, 10);
    sought l = {.name = name};
    CHECK_INT(0, weft_shm_clear());
    weft_shm_each(look_for, &l);
    CHECK_INT(1, l.found);
    CHECK_INT(0, l.info.maker.dead);
    weft_shm_close(s);
    CHECK_INT(0, weft_shm_clear()); /* its maker lives: others may be about to open it */
    CHECK_OK(weft_shm_unlink(name));
}
