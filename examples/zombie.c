/* zombie.c - 僵尸进程: a child that has ended, and whose parent has not asked how. Where the parent ignores SIGCHLD none
 * is left.
 *
 *     --unsafe   the parent does not ask: the child is a zombie, until it does */
#include "lesson.h"

#include <signal.h>
#include <sys/wait.h>
#include <weft/process.h>

/* The state letter of a process, as ps shows it; '-' when there is no such process. */
static char state_of(pid_t pid)
{
    char path[64], state = '-';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return '-';
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = '-';
    fclose(f);
    return state;
}

static int work(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        lesson_sleep(1);
        puts("I'm Tom\nI'm working...");
    }
    return 0;
}

static int leave_zombie(void)
{
    fflush(stdout);
    pid_t pid = fork();
    must(pid);
    if (pid == 0)
        _exit(0);
    while (state_of(pid) != 'Z')
        lesson_sleep(0.1);
    printf("%d 状态: Z 僵尸进程\n", pid);
    must(waitpid(pid, NULL, 0)); /* what join does */
    printf("%d 处理之后: %s\n", pid, state_of(pid) == '-' ? "没有僵尸进程" : "还在");
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    if (lesson_unsafe())
        return leave_zombie();
    signal(SIGCHLD, SIG_IGN);
    weft_process p = WEFT_PROCESS_INIT;
    must(weft_process_start(&p, work, NULL, NULL));
    pid_t pid = weft_process_pid(&p);
    printf("PID: %d\n", pid);
    while (state_of(pid) != '-') /* the parent goes on with its own things */
        lesson_sleep(0.1);
    puts("没有僵尸进程");
    must(weft_process_alive(&p));
    return weft_process_close(&p);
}
