/* tree.c - a signal to a process and to all below it, whatever group or session they have moved to.
 *
 * The tree may grow while it is walked. For SIGKILL everything found is therefore stopped first, parents before
 * children, until a walk finds nobody new: what is stopped has no more children. A number that was read may be another
 * process's by the time it is used, so each is opened as a pidfd and its parent asked for again before it is
 * signalled. What has left the tree (its parent ended, init adopted it) is not found; its process group is the
 * caller's to signal. */
#include "process/popen.h"

#include "sys/net.h"
#include "sys/spawn.h"
#include "sys/sys.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>

enum {
    TREE_MAX = 4096,
    WALKS_MAX = 100
};

typedef struct tree {
    pid_t *pids;
    unsigned n;
} tree;

static bool has(const tree *t, pid_t pid)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->pids[i] == pid)
            return true;
    return false;
}

/* Signal pid if it still is a child of `parent`. */
static bool signal_child(pid_t parent, pid_t pid, int signal)
{
    int fd = weft__sys_pidfd_open(pid);
    if (fd < 0)
        return false;
    bool ours = weft__sys_parent_of(pid) == parent && weft__sys_pidfd_signal(fd, signal) == 0;
    weft__sys_close(fd);
    return ours;
}

/* Walk over all processes once and add the children of those in the tree that are new, sending them `signal`. */
static void add_children(tree *t, int signal)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && t->n < TREE_MAX && (entry = readdir(proc)) != NULL) {
        pid_t pid = atoi(entry->d_name); /* 0 for what is no process */
        pid_t parent = pid > 0 && !has(t, pid) ? weft__sys_parent_of(pid) : 0;
        if (parent > 0 && has(t, parent) && signal_child(parent, pid, signal))
            t->pids[t->n++] = pid;
    }
    if (proc != NULL)
        closedir(proc);
}

void weft__tree_signal(pid_t root, int signal)
{
    tree t = {.pids = weft__malloc(TREE_MAX * sizeof *t.pids), .n = 1};
    int first = signal == SIGKILL ? SIGSTOP : signal;
    if (t.pids == NULL) {
        weft__sys_kill(root, signal);
        return;
    }
    t.pids[0] = root;
    weft__sys_kill(root, first); /* the caller has not reaped it: the number is its own */
    for (unsigned walk = 0, before = 0; walk < WALKS_MAX && before != t.n; walk++) {
        before = t.n;
        add_children(&t, first);
    }
    if (signal == SIGKILL)
        for (unsigned i = t.n; i-- > 0;) /* stopped, so each is still who it was; children first */
            weft__sys_kill(t.pids[i], SIGKILL);
    weft__free(t.pids);
}
