/* process_class.c - a process in object style: the child runs its method on its copy of the object. */
#include "lesson.h"

#include <weft/process.h>

enum {
    ROUNDS = 3
};

typedef struct my_process {
    weft_process process;
    int value;
} my_process;

static int function1(weft_process *p)
{
    my_process *self = WEFT_CONTAINER(p, my_process, process);
    for (int i = 0; i < ROUNDS; i++) {
        printf("函数1在运行 %d\n", self->value);
        lesson_sleep(1);
        puts("函数1还在运行");
    }
    return 0;
}

static void function2(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        puts("函数2在运行");
        lesson_sleep(1);
        puts("函数2还在运行");
    }
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    my_process p = {WEFT_PROCESS_INIT, 3};
    must(weft_process_run(&p.process, function1, NULL));
    function2();
    must(weft_process_join(&p.process, NULL, WEFT_FOREVER));
    return weft_process_close(&p.process);
}
