/* handover.c - listening sockets go to a successor: see weft/handover.h.
 *
 * The successor has descriptors 3, 4, ... for the sockets and, behind them, the writing end of a pipe. LISTEN_FDS
 * counts the sockets, LISTEN_PID is its own number (so a child that inherits the variables does not take them for its
 * own), and WEFT_READY_FD names the pipe: a byte in it says "I serve", its end without a byte that this will never
 * be.
 * H1 nothing is changed in the predecessor until it retires, but that its sockets are lent; who fails gives them back
 *    by its end. So a successor that fails costs nothing.
 * H2 who is not ready when the handover is freed is killed: never two programs that both mean to stay.
 * Pinned by tests/serve/handover_test.c and tests/web/restart_test.py. */
#include <weft/handover.h>

#include "io/watch.h"
#include "process/end.h"
#include "serve/serve.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <weft/co.h>
#include <weft/poller.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum {
    FIRST_FD = 3, /* systemd's SD_LISTEN_FDS_START */
    PATHS_MAX = 64,
    SOCKETS_MOST = WEFT__SPAWN_PLACED_MOST - 1
};

static const char *const variables[] = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WEFT_READY_FD"};

enum {
    VARIABLES = sizeof variables / sizeof variables[0]
};

struct weft_handover {
    weft_server *server; /* whose sockets it has, until it serves or has ended; NULL */
    pid_t pid;
    int pidfd, ready; /* our end of the pipe */
    bool serves, reaped;
    int code;
};

/* ---- the successor ---- */

static int ready_fd = -1; /* the pipe to the predecessor */

/* A number in the environment; -1: none. */
static long number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return *end == 0 && errno == 0 ? n : -1;
}

static int take_sockets(long count, int *fds, unsigned room)
{
    if (count > (long)room)
        return -E2BIG;
    for (int i = 0; i < (int)count; i++) {
        fds[i] = FIRST_FD + i;
        int err = weft__sys_close_on_exec(fds[i]);
        if (err < 0)
            return err;
    }
    return (int)count;
}

static void take_ready(long fd)
{
    struct stat st;
    if (fd >= FIRST_FD && fd <= INT32_MAX && weft__sys_fstat((int)fd, &st) == 0 && S_ISFIFO(st.st_mode) &&
        weft__sys_close_on_exec((int)fd) == 0)
        ready_fd = (int)fd;
}

int weft_handover_take(int *fds, unsigned room)
{
    long count = number_of("LISTEN_FDS"), pid = number_of("LISTEN_PID"), ready = number_of("WEFT_READY_FD");
    bool ours = pid == getpid();
    for (unsigned i = 0; i < VARIABLES; i++)
        (void)unsetenv(variables[i]);
    if (!ours)
        return 0;
    take_ready(ready);
    return count > 0 ? take_sockets(count, fds, room) : 0;
}

int weft_handover_ready(void)
{
    int fd = ready_fd;
    if (fd < 0)
        return 0;
    ready_fd = -1;
    bool told = weft__sys_pipe_write(fd, "r", 1) == 1;
    weft__sys_close(fd);
    return told;
}

/* ---- the predecessor: what it executes ---- */

/* Everything the child needs, made before it is born. */
typedef struct start {
    weft__spawn spawn;
    weft_handover *h;
    const char *paths[PATHS_MAX + 1];
    char *path_text;
    char **env;
    char count[32], pid[32], ready[32];
    int placed[WEFT__SPAWN_PLACED_MOST];
} start;

/* The name itself if it has a slash, else it in each directory of PATH. */
static int make_paths(start *st, const char *name)
{
    const char *path = getenv("PATH");
    if (strchr(name, '/') != NULL || *name == 0) {
        st->paths[0] = name;
        return 0;
    }
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    size_t name_size = strlen(name) + 1;
    char *to = st->path_text = weft__malloc((strlen(path) + name_size + 2) * PATHS_MAX);
    if (to == NULL)
        return -ENOMEM;
    for (unsigned n = 0; n < PATHS_MAX; n++) {
        size_t size = strcspn(path, ":");
        st->paths[n] = to;
        to += snprintf(to, size + name_size + 2, "%.*s/%s", size > 0 ? (int)size : 1, size > 0 ? path : ".", name) + 1;
        if (path[size] == 0)
            break;
        path += size + 1;
    }
    return 0;
}

static bool is_ours(const char *entry)
{
    for (unsigned i = 0; i < VARIABLES; i++) {
        size_t n = strlen(variables[i]);
        if (strncmp(entry, variables[i], n) == 0 && entry[n] == '=')
            return true;
    }
    return false;
}

static int make_env(start *st, unsigned sockets)
{
    size_t n = 0, at = 0;
    while (environ[n] != NULL)
        n++;
    st->env = weft__malloc((n + VARIABLES + 1) * sizeof *st->env);
    if (st->env == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!is_ours(environ[i]))
            st->env[at++] = environ[i];
    snprintf(st->count, sizeof st->count, "LISTEN_FDS=%u", sockets);
    snprintf(st->pid, sizeof st->pid, "LISTEN_PID=");
    snprintf(st->ready, sizeof st->ready, "WEFT_READY_FD=%u", FIRST_FD + sockets);
    st->env[at++] = st->count;
    st->env[at++] = st->pid;
    st->env[at++] = st->ready;
    st->env[at] = NULL;
    st->spawn.env = st->env;
    st->spawn.pid_text = st->pid + strlen(st->pid);
    return 0;
}

static int spawn_now(void *arg)
{
    start *st = arg;
    enum weft__spawn_stage stage;
    return weft__sys_spawn(&st->spawn, &st->h->pid, &st->h->pidfd, &stage);
}

/* `n` sockets are in st->placed. */
static int run(start *st, unsigned n, const char *const *argv)
{
    int ends[2];
    int err = make_paths(st, argv[0]);
    if (err == 0)
        err = make_env(st, n);
    if (err == 0)
        err = weft__sys_pipe(ends);
    if (err != 0)
        return err;
    st->placed[n] = ends[1];
    st->spawn.argv = (char *const *)argv;
    st->spawn.paths = st->paths;
    st->spawn.placed = st->placed;
    st->spawn.placed_count = n + 1;
    err = weft_blocking(spawn_now, st);
    weft__sys_close(ends[1]);
    if (err < 0)
        weft__sys_close(ends[0]);
    else
        st->h->ready = ends[0];
    return err;
}

/* Nobody has the sockets through h any more. */
static void give_back(weft_handover *h)
{
    if (h->server != NULL)
        weft__listen_take_back(h->server);
    h->server = NULL;
}

static int lend_and_run(start *st, weft_server *s, const char *const *argv)
{
    int n = weft__listen_lend(s, st->placed, SOCKETS_MOST);
    if (n < 0)
        return n;
    st->h->server = s;
    int err = run(st, (unsigned)n, argv);
    if (err < 0)
        give_back(st->h);
    return err;
}

int weft_handover_start(weft_handover **out, weft_server *s, const char *const *argv)
{
    start *st = weft__calloc(1, sizeof *st);
    weft_handover *h = weft__calloc(1, sizeof *h);
    int err = -ENOMEM;
    if (st != NULL && h != NULL) {
        st->h = h;
        for (int i = 0; i < 3; i++)
            st->spawn.streams[i] = -1;
        err = lend_and_run(st, s, argv);
    }
    if (st != NULL) {
        weft__free(st->path_text);
        weft__free(st->env);
    }
    weft__free(st);
    if (err < 0)
        weft__free(h);
    else
        *out = h;
    return err;
}

/* ---- the predecessor: how it goes ---- */

pid_t weft_handover_pid(const weft_handover *h)
{
    return h->pid;
}

int weft_handover_sentinel(const weft_handover *h)
{
    return h->ready;
}

static void reap(weft_handover *h)
{
    if (!h->reaped && weft__sys_pidfd_reap(h->pidfd, &h->code) != -EAGAIN)
        h->reaped = true;
}

/* It has closed its end without a word: it ends, or it will be ended. */
static int wait_for_end(weft_handover *h, int *code, weft_until until)
{
    for (;;) {
        reap(h);
        if (h->reaped)
            break;
        int r = weft__await_end(h->pidfd, until);
        if (r < 0)
            return r;
    }
    give_back(h);
    if (code != NULL)
        *code = h->code;
    return -ECHILD;
}

int weft_handover_wait(weft_handover *h, int *code, weft_until until)
{
    char byte;
    if (h->serves)
        return 0;
    int r = weft_fd_wait(h->ready, WEFT_POLLIN, until);
    if (r < 0)
        return r;
    ssize_t n = weft__sys_pipe_read(h->ready, &byte, 1);
    h->serves = n == 1;
    if (h->serves) {
        h->server = NULL; /* for good, and s may end before h */
        return 0;
    }
    (void)weft__sys_pidfd_signal(h->pidfd, SIGKILL); /* if it has not ended by itself */
    return wait_for_end(h, code, WEFT_FOREVER);
}

static int reap_later(void *arg)
{
    weft_handover *h = arg;
    weft_shield(1);
    (void)wait_for_end(h, NULL, WEFT_FOREVER);
    weft__sys_close(h->pidfd);
    weft__free(h);
    return 0;
}

void weft_handover_free(weft_handover *h)
{
    if (h == NULL)
        return;
    weft__sys_close(h->ready);
    if (!h->serves && !h->reaped) {
        int was = weft_shield(1);
        (void)weft__sys_pidfd_signal(h->pidfd, SIGKILL);
        (void)wait_for_end(h, NULL, WEFT_FOREVER);
        weft_shield(was);
    }
    reap(h);
    if (!h->reaped && weft_go(reap_later, h) == 0)
        return;
    weft__sys_close(h->pidfd);
    weft__free(h);
}
