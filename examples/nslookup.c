/* nslookup.c - 子进程: a program is called, its output is ours, and its exit code comes back.
 *
 *     --network   the real nslookup; without it a stand-in of a few lines, which needs neither it nor a network */
#include "lesson.h"

#include <weft/subprocess.h>

static const char stand_in[] = "echo 'Server:\t\t127.0.0.1'\n"
                               "echo 'Address:\t127.0.0.1#53'\n"
                               "echo\n"
                               "echo \"Name:\t$1\"\n"
                               "echo 'Address: 192.0.2.1'\n";

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    const char *real[] = {"nslookup", "www.python.org", NULL};
    const char *instead[] = {"sh", "-c", stand_in, "nslookup", "www.python.org", NULL};
    int code;
    puts("$ nslookup www.python.org");
    must(weft_call(lesson_flag("--network") ? real : instead, &code));
    printf("Exit code: %d\n", code);
    return 0;
}
