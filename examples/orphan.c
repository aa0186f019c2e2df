/* orphan.c - 孤儿进程: its parent ends first; the system gives it another one, which will see to its end. */
#include "lesson.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    int line[2]; /* open as long as the orphan lives, which is not the main program's child */
    int seen[2]; /* by it the orphan tells its parent to go */
    char c;
    must(pipe(line) | pipe(seen));
    fflush(stdout);
    pid_t parent = fork();
    must(parent);
    if (parent == 0) {
        pid_t self = getpid(), child = fork();
        if (child == 0) {
            printf("子进程的父进程是: %s\n", getppid() == self ? "创建它的进程" : "别的进程");
            must((int)write(seen[1], "x", 1));
            while (getppid() == self) /* until the parent is gone */
                lesson_sleep(0.1);
            printf("父进程退出后, 系统进程收养了它: %s\n", getppid() != self ? "True" : "False");
        } else {
            must((int)read(seen[0], &c, 1));
        }
        _exit(fflush(stdout));
    }
    close(line[1]);
    must(waitpid(parent, NULL, 0));
    must((int)read(line[0], &c, 1));
    puts("孤儿进程结束了");
    return 0;
}
