/* fork.c - fork is called once and returns twice: 0 in the child, the child's number in the parent. */
#include "lesson.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    printf("Process (%d) start...\n", getpid());
    fflush(stdout); /* or the child would print it, too */
    pid_t pid = fork();
    must(pid);
    if (pid == 0) {
        printf("I am child process (%d) and my parent is %d.\n", getpid(), getppid());
        _exit(fflush(stdout));
    }
    printf("I (%d) just created a child process (%d).\n", getpid(), pid);
    must(waitpid(pid, NULL, 0));
    return 0;
}
