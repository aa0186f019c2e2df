/* tree.c - a signal to a process and to all below it, whatever group or session they have moved to.
 *
 * T1  The tree is known before the first of it is signalled: who ends leaves its children to init, where nobody finds
 *     them any more. So it is walked until a walk finds nobody new, and remembered until it has ended.
 * T2  Each is sent the signal once: the process group in one call, the others one by one.
 * T3  A number may be another process's by the time it is used; together with the time of its start it is not.
 * T4  For SIGKILL what is found is stopped first, parents before children: what is stopped has no more children.
 * What had left the tree before (its parent ended, init adopted it) is found only by its process group. */
#include "process/popen.h"

#include "sys/net.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <weft/poller.h>

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>

enum {
    TREE_MAX = 4096,
    WALKS_MAX = 100
};

typedef struct member {
    pid_t pid;
    bool grouped; /* in the root's process group */
    uint64_t start;
} member;

struct weft__tree {
    pid_t root;
    bool group; /* the root leads a process group, all of which is meant */
    unsigned n;
    member at[TREE_MAX];
};

static const member *find(const weft__tree *t, pid_t pid)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->at[i].pid == pid)
            return &t->at[i];
    return NULL;
}

/* T3: whether the number is still its own. */
static bool is_same(const member *m)
{
    weft__kin kin;
    return weft__sys_kin(m->pid, &kin) == 0 && kin.start == m->start;
}

/* A descriptor of this member, -1 if it has ended and been reaped. */
static int open_member(const member *m)
{
    int fd = weft__sys_pidfd_open(m->pid);
    if (fd >= 0 && is_same(m))
        return fd;
    if (fd >= 0)
        weft__sys_close(fd);
    return -1;
}

static void signal_member(const member *m, int signal)
{
    int fd = open_member(m);
    if (fd < 0)
        return;
    weft__sys_pidfd_signal(fd, signal);
    weft__sys_close(fd);
}

/* Walk over all processes once and add those that are new, sending them `signal` if it is not 0. */
static void walk(weft__tree *t, int signal)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && t->n < TREE_MAX && (entry = readdir(proc)) != NULL) {
        weft__kin kin;
        pid_t pid = atoi(entry->d_name); /* 0 for what is no process */
        if (pid <= 0 || find(t, pid) != NULL || weft__sys_kin(pid, &kin) < 0)
            continue;
        const member *parent = find(t, kin.parent);
        bool grouped = t->group && kin.group == t->root;
        if (!grouped && (parent == NULL || !is_same(parent)))
            continue;
        t->at[t->n] = (member){pid, grouped, kin.start};
        if (signal != 0)
            signal_member(&t->at[t->n], signal);
        t->n++;
    }
    if (proc != NULL)
        closedir(proc);
}

static void walk_all(weft__tree *t, int signal)
{
    for (unsigned walks = 0, before = 0; walks < WALKS_MAX && before != t->n; walks++) {
        before = t->n;
        walk(t, signal);
    }
}

weft__tree *weft__tree_find(pid_t root, bool group)
{
    weft__kin kin;
    weft__tree *t = weft__sys_kin(root, &kin) < 0 ? NULL : weft__malloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->root = root;
    t->group = group;
    t->at[0] = (member){root, group, kin.start};
    t->n = 1;
    walk_all(t, 0);
    return t;
}

void weft__tree_signal(const weft__tree *t, int signal)
{
    if (t->group)
        weft__sys_kill(-t->root, signal);
    for (unsigned i = 0; i < t->n; i++)
        if (!t->at[i].grouped)
            signal_member(&t->at[i], signal);
}

void weft__tree_await(const weft__tree *t, weft_until until)
{
    int err = 0;
    for (unsigned i = 0; i < t->n && err >= 0; i++) {
        int fd = open_member(&t->at[i]);
        if (fd < 0)
            continue;
        err = weft_fd_wait(fd, WEFT_POLLIN, until);
        weft__sys_close(fd);
    }
}

void weft__tree_kill(weft__tree *t, bool reaped)
{
    t->group = t->group && !reaped; /* else its number stands for it and its group no more */
    for (unsigned i = 0; i < t->n; i++)
        signal_member(&t->at[i], SIGSTOP);
    walk_all(t, SIGSTOP);
    if (t->group)
        weft__sys_kill(-t->root, SIGKILL);
    for (unsigned i = t->n; i-- > 0;) /* children first */
        signal_member(&t->at[i], SIGKILL);
}
