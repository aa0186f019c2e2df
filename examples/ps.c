/* ps.c - 进程的状态: what ps -aux, pstree and ps -L show, read from /proc. Three children are in three states.
 *
 *     --all           every process of this machine, as ps -aux
 *     --tree          parents and children, as pstree
 *     --threads=PID   the threads of a process, as ps -L -p PID */
#include "lesson.h"

#include <ctype.h>
#include <dirent.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

typedef struct process {
    int pid, parent;
    char state, name[64];
    double cpu, memory; /* parts of a hundred */
    time_t start;
} process;

/* As ps shows what others named: '?' for what would break the line or steer the terminal, and for what is not UTF-8. */
static void make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != 0;) {
        size_t more = *c >= 0xF0 ? 3 : *c >= 0xE0 ? 2 : *c >= 0xC0 ? 1 : 0, n = 0;
        while (n < more && (c[1 + n] & 0xC0) == 0x80)
            n++;
        int control = iscntrl(*c) || (*c == 0xC2 && c[1] < 0xA0);
        if (control || n < more || (*c >= 0x80 && *c < 0xC0) || *c > 0xF4)
            *c++ = '?';
        else
            c += 1 + more;
    }
}

/* Read /proc/<what>/stat; 0 when there is no such process (any more). The name in brackets may contain brackets. */
static int look_at(process *p, const char *what)
{
    char path[280], text[1024], *name, *end;
    unsigned long user, system;
    unsigned long long start;
    long pages;
    struct sysinfo machine;
    snprintf(path, sizeof path, "/proc/%s/stat", what);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    if ((name = strchr(text, '(')) == NULL || (end = strrchr(text, ')')) == NULL || sscanf(text, "%d", &p->pid) != 1 ||
        sscanf(end + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %*u %ld",
               &p->state, &p->parent, &user, &system, &start, &pages) != 6 ||
        sysinfo(&machine) < 0)
        return 0;
    snprintf(p->name, sizeof p->name, "%.*s", (int)(end - name - 1), name + 1);
    make_printable(p->name);
    double ticks = (double)sysconf(_SC_CLK_TCK), age = (double)machine.uptime - (double)start / ticks;
    p->cpu = age > 0 ? 100 * (double)(user + system) / ticks / age : 0;
    p->memory = 100 * (double)pages * (double)sysconf(_SC_PAGESIZE) / ((double)machine.totalram * machine.mem_unit);
    p->start = time(NULL) - (time_t)age;
    return 1;
}

/* Those in a folder of /proc: "." has the processes, "<pid>/task" the threads of one. Returns how many. */
static int list(process **out, const char *where)
{
    int n = 0, room = 0;
    char name[320];
    snprintf(name, sizeof name, "/proc/%s", where);
    DIR *d = opendir(name);
    *out = NULL;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (!isdigit((unsigned char)*e->d_name))
            continue;
        if (n == room && (*out = realloc(*out, sizeof **out * (size_t)(room = 2 * room + 64))) == NULL)
            exit(1);
        snprintf(name, sizeof name, "%s/%s", where, e->d_name);
        n += look_at(&(*out)[n], name);
    }
    if (d != NULL)
        closedir(d);
    return n;
}

/* 三态: 就绪, 运行, 等待; 五态: 新建 before them, and 终止 after them. */
static const char *state_name(char state)
{
    return state == 'R'                   ? "运行/就绪"
           : strchr("SDI", state) != NULL ? "等待"
           : strchr("Tt", state) != NULL  ? "停止"
                                          : "终止";
}

static void print(const process *p)
{
    char path[64], line[256] = "", start[16];
    struct stat owner = {0};
    struct tm tm;
    snprintf(path, sizeof path, "/proc/%d", p->pid);
    struct passwd *user = stat(path, &owner) == 0 ? getpwuid(owner.st_uid) : NULL;
    snprintf(path, sizeof path, "/proc/%d/cmdline", p->pid);
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(line, 1, sizeof line - 1, f) : 0;
    for (size_t i = 0; i + 1 < n; i++)
        line[i] = line[i] != 0 ? line[i] : ' '; /* its arguments end with a 0 each */
    if (f != NULL)
        fclose(f);
    if (n == 0)
        snprintf(line, sizeof line, "[%s]", p->name); /* of the kernel, or a zombie */
    make_printable(line);
    strftime(start, sizeof start, "%H:%M", localtime_r(&p->start, &tm));
    printf("%-8s %7d %4.1f %4.1f %c    %s %s %s\n", user != NULL ? user->pw_name : "?", p->pid, p->cpu, p->memory,
           p->state, start, line, state_name(p->state));
}

static void print_tree(const process *all, int n, int pid, int depth)
{
    for (int i = 0; i < n; i++)
        if (all[i].pid == pid)
            printf("%*s%s%s(%d) %s\n", depth > 0 ? 3 * (depth - 1) : 0, "", depth > 0 ? "└─ " : "", all[i].name, pid,
                   state_name(all[i].state));
    for (int i = 0; i < n; i++)
        if (all[i].parent == pid && all[i].pid != pid)
            print_tree(all, n, all[i].pid, depth + 1);
}

static int print_all(int tree)
{
    process *all;
    int n = list(&all, ".");
    if (n == 0)
        fprintf(stderr, "ps: /proc cannot be read\n");
    else if (!tree)
        puts("USER         PID %CPU %MEM STAT START COMMAND");
    for (int i = 0; i < n && !tree; i++)
        print(&all[i]);
    for (int i = 0; i < n && tree; i++)
        if (all[i].parent == 0)
            print_tree(all, n, all[i].pid, 0);
    free(all);
    return n == 0;
}

static int print_threads(int pid)
{
    char where[64];
    process *all;
    snprintf(where, sizeof where, "%d/task", pid);
    int n = list(&all, where);
    if (n == 0)
        fprintf(stderr, "ps: there is no process %d\n", pid);
    else
        puts("    PID    SPID STAT COMMAND");
    for (int i = 0; i < n; i++)
        printf("%7d %7d %c    %s %s\n", pid, all[i].pid, all[i].state, all[i].name, state_name(all[i].state));
    free(all);
    return n == 0;
}

/* A child that is busy for ever (R), waits for ever (S), or has ended and was not asked for its end (Z). */
static int start_child(char state, const char *name)
{
    int parent = getpid(), pid = must(fork());
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, name);
    if (getppid() != parent || state == 'Z')
        _exit(0);
    while (state == 'R')
        continue;
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    static const char states[] = "RSZ", *const names[] = {"busy", "waiting", "ended"};
    int pids[3];
    process p, family[4];
    char pid[16];
    lesson_begin(argc, argv);
    if (lesson_flag("--all") || lesson_flag("--tree"))
        return print_all(lesson_flag("--tree"));
    if (lesson_value("--threads") != NULL)
        return print_threads(atoi(lesson_value("--threads")));
    for (int i = 0; i < 3; i++)
        pids[i] = start_child(states[i], names[i]);
    look_at(&family[0], "self");
    puts("USER         PID %CPU %MEM STAT START COMMAND");
    for (int i = 0; i < 3; i++) {
        snprintf(pid, sizeof pid, "%d", pids[i]);
        while (!look_at(&p, pid) || p.state != states[i] || strcmp(p.name, names[i]) != 0)
            lesson_sleep(0.01);
        print(&p);
        family[i + 1] = p;
    }
    print_tree(family, 4, getpid(), 0);
    for (int i = 0; i < 3; i++) {
        kill(pids[i], SIGKILL);
        must(waitpid(pids[i], NULL, 0));
    }
    return 0;
}
