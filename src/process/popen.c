/* popen.c - starting programs, waiting for them, ending them: see weft/subprocess.h and popen.h.
 *
 * A start takes some tenths of a millisecond, during which its thread stands still; a coroutine's start is therefore
 * made by a helper thread (weft_blocking), except one that shall die with its parent: the kernel takes the thread that
 * made it for the parent.
 * Pinned by tests/process/popen_test.c. */
#include "process/popen.h"

#include "process/end.h"
#include "sys/net.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/poller.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

enum {
    PATHS_MAX = 256, /* directories of PATH that are tried */
    GRACE_NS = 2000000000
};

/* ---- what to execute ---- */

/* A start in the making: everything the child needs, made before it is born. */
typedef struct start {
    weft__spawn spawn;
    weft_popen *p;
    const weft_popen_options *options;
    const char **argv;
    const char *paths[PATHS_MAX + 1];
    char *path_text; /* what paths[] point into */
    int theirs[3];   /* ends for the child, -1 */
    int *passed;
    weft__spawn_limit *limits;
    enum weft__spawn_stage stage;
} start;

/* "sh -c LINE $0 ...": argv of a command line. */
static int make_argv(start *st, const char *const *argv)
{
    size_t n = 0;
    while (argv[n] != NULL)
        n++;
    if (n == 0)
        return -EINVAL;
    bool shell = st->options->shell;
    const char **out = weft__malloc((n + 3) * sizeof *out);
    if (out == NULL)
        return -ENOMEM;
    size_t at = 0;
    if (shell) {
        out[at++] = st->options->executable != NULL ? st->options->executable : "sh";
        out[at++] = "-c";
    }
    memcpy(out + at, argv, (n + 1) * sizeof *out);
    st->argv = out;
    return 0;
}

static const char *path_of(const char *const *env)
{
    for (; *env != NULL; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "/usr/local/bin:/usr/bin:/bin";
}

/* The files that may be the program: the name itself if it has a slash, else it in each directory of PATH. */
static int make_paths(start *st)
{
    const weft_popen_options *o = st->options;
    const char *name = o->executable != NULL ? o->executable : o->shell ? "/bin/sh" : st->argv[0];
    if (strchr(name, '/') != NULL || *name == 0) {
        st->paths[0] = name;
        return 0;
    }
    const char *path = path_of(o->env != NULL ? o->env : (const char *const *)environ);
    size_t name_size = strlen(name) + 1, colons = 0;
    for (const char *c = path; *c != 0; c++)
        colons += *c == ':';
    char *to = st->path_text = weft__malloc(strlen(path) + (colons + 1) * (name_size + 2));
    if (to == NULL)
        return -ENOMEM;
    for (unsigned n = 0; n < PATHS_MAX; n++) {
        size_t size = strcspn(path, ":");
        st->paths[n] = to;
        memcpy(to, size > 0 ? path : ".", size > 0 ? size : 1);
        to += size > 0 ? size : 1;
        *to++ = '/';
        memcpy(to, name, name_size);
        to += name_size;
        if (path[size] == 0)
            break;
        path += size + 1;
    }
    return 0;
}

/* ---- streams ---- */

static int make_pipe(start *st, int stream)
{
    int ends[2], err = weft__sys_pipe(ends);
    if (err < 0)
        return err;
    int ours = stream == 0 ? ends[1] : ends[0];
    st->theirs[stream] = stream == 0 ? ends[0] : ends[1];
    st->p->fds[stream] = ours;
    st->p->piped[stream] = true;
    return weft__sys_set_nonblocking(ours);
}

static int make_stream(start *st, int stream, enum weft_stream_to to, int fd)
{
    switch (to) {
    case WEFT_INHERIT:
        return 0;
    case WEFT_PIPE:
        return make_pipe(st, stream);
    case WEFT_NULL:
        st->theirs[stream] = weft__sys_null(stream);
        break;
    case WEFT_FILE:
        st->theirs[stream] = weft__sys_dup(fd);
        break;
    case WEFT_TO_OUTPUT:
        if (stream != 2)
            return -EINVAL;
        st->theirs[2] = weft__sys_dup(st->theirs[1] >= 0 ? st->theirs[1] : 1);
        break;
    default:
        return -EINVAL;
    }
    return st->theirs[stream] < 0 ? st->theirs[stream] : 0;
}

static int make_streams(start *st)
{
    const weft_popen_options *o = st->options;
    int err = make_stream(st, 0, o->in, o->in_fd);
    if (err == 0)
        err = make_stream(st, 1, o->out, o->out_fd);
    if (err == 0)
        err = make_stream(st, 2, o->err, o->err_fd);
    memcpy(st->spawn.streams, st->theirs, sizeof st->theirs);
    return err;
}

static int ascending(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static int make_passed(start *st)
{
    const weft_popen_options *o = st->options;
    if (o->pass_fd_count == 0)
        return 0;
    st->passed = weft__malloc(o->pass_fd_count * sizeof *st->passed);
    if (st->passed == NULL)
        return -ENOMEM;
    unsigned n = 0;
    for (unsigned i = 0; i < o->pass_fd_count; i++) {
        if (fcntl(o->pass_fds[i], F_GETFD) < 0)
            return -EBADF;
        if (o->pass_fds[i] > 2)
            st->passed[n++] = o->pass_fds[i];
    }
    qsort(st->passed, n, sizeof *st->passed, ascending);
    st->spawn.passed = st->passed;
    st->spawn.passed_count = n;
    return 0;
}

static int make_limits(start *st)
{
    const weft_popen_options *o = st->options;
    if (o->limit_count == 0)
        return 0;
    st->limits = weft__malloc(o->limit_count * sizeof *st->limits);
    if (st->limits == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < o->limit_count; i++)
        st->limits[i] =
            (weft__spawn_limit){o->limits[i].resource, {.rlim_cur = o->limits[i].soft, .rlim_max = o->limits[i].hard}};
    st->spawn.limits = st->limits;
    st->spawn.limit_count = o->limit_count;
    return 0;
}

/* ---- start ---- */

static int spawn_now(void *arg)
{
    start *st = arg;
    return weft__sys_spawn(&st->spawn, &st->p->pid, &st->p->pidfd, &st->stage);
}

static int prepare(start *st, const char *const *argv)
{
    const weft_popen_options *o = st->options;
    if (o->set_ids && (o->uid == (uid_t)-1 || o->gid == (gid_t)-1))
        return -EINVAL; /* to setresuid it means: as before */
    int err = make_argv(st, argv);
    if (err == 0)
        err = make_paths(st);
    if (err == 0)
        err = make_streams(st);
    if (err == 0)
        err = make_passed(st);
    return err < 0 ? err : make_limits(st);
}

static void fill(start *st)
{
    const weft_popen_options *o = st->options;
    weft__spawn *s = &st->spawn;
    s->paths = st->paths;
    s->argv = (char *const *)st->argv;
    s->env = o->env != NULL ? (char *const *)o->env : environ;
    s->cwd = o->cwd;
    s->new_group = !o->same_group;
    s->new_session = o->new_session;
    s->set_ids = o->set_ids;
    s->uid = o->uid;
    s->gid = o->gid;
    s->set_umask = o->set_umask;
    s->umask = o->umask;
    s->death_signal = o->die_with_parent ? SIGKILL : 0;
    s->before = o->before;
    s->before_arg = o->before_arg;
}

static void clean_up(start *st)
{
    for (int i = 0; i < 3; i++)
        if (st->theirs[i] >= 0)
            weft__sys_close(st->theirs[i]);
    weft__free(st->argv);
    weft__free(st->path_text);
    weft__free(st->passed);
    weft__free(st->limits);
}

int weft_popen_start(weft_popen **out, const char *const *argv, const weft_popen_options *options)
{
    static const weft_popen_options defaults;
    weft_popen *p = weft__calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    start st = {.p = p, .options = options != NULL ? options : &defaults, .theirs = {-1, -1, -1}};
    for (int i = 0; i < 3; i++)
        p->fds[i] = -1;
    p->pidfd = -1;
    p->keep_max = SIZE_MAX;
    p->grace = st.options->grace > 0 ? st.options->grace : GRACE_NS;
    p->own_group = !st.options->same_group || st.options->new_session;

    int err = prepare(&st, argv);
    if (err == 0) {
        fill(&st);
        err = st.options->die_with_parent ? spawn_now(&st) : weft_blocking(spawn_now, &st);
    }
    clean_up(&st);
    if (err < 0) {
        for (int i = 0; i < 3; i++)
            weft__popen_close_fd(p, i);
        weft__free(p);
        return st.stage == WEFT__SPAWN_CWD && err != -ENOMEM ? -WEFT_ECWD : err;
    }
    *out = p;
    return 0;
}

/* ---- what is known of it ---- */

pid_t weft_popen_pid(const weft_popen *p)
{
    return p->pid;
}

int weft_popen_sentinel(const weft_popen *p)
{
    return p->pidfd;
}

int weft_popen_fd(const weft_popen *p, int stream)
{
    return stream < 0 || stream > 2 || p->fds[stream] < 0 ? -EBADF : p->fds[stream];
}

void weft__popen_close_fd(weft_popen *p, int stream)
{
    if (p->fds[stream] >= 0)
        weft__sys_close(p->fds[stream]);
    p->fds[stream] = -1;
}

/* ---- its end ---- */

int weft_popen_poll(weft_popen *p, int *code)
{
    int err = 0;
    weft_lock_acquire(&p->lock);
    if (!p->reaped) {
        err = weft__sys_pidfd_reap(p->pidfd, &p->code);
        p->reaped = err == 0;
    }
    if (err == 0 && code != NULL)
        *code = p->code;
    weft_lock_release(&p->lock);
    return err;
}

int weft_popen_wait(weft_popen *p, int *code, weft_until until)
{
    int err = weft__await_end(p->pidfd, until); /* one that was reaped is not waited for either */
    return err < 0 ? err : weft_popen_poll(p, code);
}

int weft_popen_signal(weft_popen *p, int signal)
{
    weft_lock_acquire(&p->lock);
    int err = p->reaped ? -ESRCH : weft__sys_pidfd_signal(p->pidfd, signal);
    weft_lock_release(&p->lock);
    return err;
}

/* Signal the whole tree, once each; locked, not reaped. What it was; NULL: the root and its group were signalled. */
static weft__tree *signal_all(weft_popen *p, int signal)
{
    weft__tree *t = weft__tree_find(p->pid, p->own_group);
    if (t == NULL)
        weft__sys_kill(p->own_group ? -p->pid : p->pid, signal);
    else if (signal == SIGKILL)
        weft__tree_kill(t, false);
    else
        weft__tree_signal(t, signal);
    return t;
}

int weft_popen_signal_tree(weft_popen *p, int signal)
{
    if (signal < 0 || signal > SIGRTMAX)
        return -EINVAL;
    weft_lock_acquire(&p->lock);
    int err = p->reaped ? -ESRCH : 0;
    if (err == 0)
        weft__free(signal_all(p, signal));
    weft_lock_release(&p->lock);
    return err;
}

int weft_popen_end(weft_popen *p, int64_t grace)
{
    weft_lock_acquire(&p->lock);
    bool reaped = p->reaped;
    weft__tree *t = reaped ? NULL : signal_all(p, SIGTERM);
    if (t != NULL)
        weft__tree_signal(t, SIGCONT); /* what is stopped could not end */
    weft_lock_release(&p->lock);
    if (reaped)
        return 0;
    int was = weft_shield(1);
    if (t != NULL)
        weft__tree_await(t, weft_in(grace));
    else
        weft__await_end(p->pidfd, weft_in(grace));
    weft_lock_acquire(&p->lock);
    if (t != NULL)
        weft__tree_kill(t, p->reaped); /* also what outlived it */
    else if (!p->reaped)
        weft__free(signal_all(p, SIGKILL));
    weft_lock_release(&p->lock);
    weft__free(t);
    int err = weft_popen_wait(p, NULL, WEFT_FOREVER);
    weft_shield(was);
    return err;
}

/* ---- letting go ---- */

static int reap_later(void *arg)
{
    int fd = (int)(intptr_t)arg, code;
    weft_shield(1);
    while (weft__await_end(fd, WEFT_FOREVER) < 0 && weft__sys_pidfd_reap(fd, &code) == -EAGAIN)
        weft_sleep(weft_in_ms(100));
    weft__sys_pidfd_reap(fd, &code);
    weft__sys_close(fd);
    return 0;
}

void weft_popen_free(weft_popen *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < 3; i++) {
        weft__popen_close_fd(p, i);
        weft__bytes_free(&p->read[i]);
    }
    int code;
    if (weft_popen_poll(p, &code) != -EAGAIN || weft_go(reap_later, (void *)(intptr_t)p->pidfd) < 0)
        weft__sys_close(p->pidfd);
    weft__free(p);
}
