/* tarena.c - what is known of a process: its name, its number, whether it lives. A daemon ends with its parent: of
 * three lines in six seconds there is one at most. */
#include "lesson.h"

#include <weft/process.h>

static int tell_time(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        puts(lesson_ctime());
        weft_sleep(weft_in_seconds(2));
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    static weft_process p; /* static: it is alive until the very end */
    must(weft_process_start(&p, tell_time, NULL, &(weft_process_options){.name = "Tarena", .daemon = 1}));
    printf("Name: %s\n", weft_process_name(&p));
    printf("PID: %d\n", weft_process_pid(&p));
    printf("is alive: %s\n", weft_process_alive(&p) ? "True" : "False");
    return 0;
}
