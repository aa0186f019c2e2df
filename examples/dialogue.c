/* dialogue.c - talking with an interactive program: all it is to hear is sent, all it says collected, never a deadlock.
 *
 *     --network   the real nslookup; without it a stand-in of a few lines, which needs neither it nor a network */
#include "lesson.h"

#include <weft/subprocess.h>

static const char stand_in[] = "type=a\n"
                               "while read -r line; do\n"
                               "    case $line in\n"
                               "    exit) exit 0 ;;\n"
                               "    'set q='*) type=${line#set q=} ;;\n"
                               "    *) echo 'Server:\t\t127.0.0.1'\n"
                               "       echo 'Address:\t127.0.0.1#53'\n"
                               "       echo\n"
                               "       case $type in\n"
                               "       mx) echo \"$line\tmail exchanger = 50 mail.$line.\" ;;\n"
                               "       *) echo \"Address: 192.0.2.1\" ;;\n"
                               "       esac ;;\n"
                               "    esac\n"
                               "done\n";

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    const char *real[] = {"nslookup", NULL};
    const char *instead[] = {"sh", "-c", stand_in, NULL};
    const char input[] = "set q=mx\npython.org\nexit\n";
    weft_popen_options pipes = {.in = WEFT_PIPE, .out = WEFT_PIPE, .err = WEFT_PIPE};
    weft_popen *p;
    weft_run_result r;
    puts("$ nslookup");
    must(weft_popen_start(&p, lesson_flag("--network") ? real : instead, &pipes));
    must(weft_popen_communicate(p, input, sizeof input - 1, &r, WEFT_FOREVER));
    printf("%.*s", (int)r.output_size, r.output != NULL ? r.output : "");
    printf("Exit code: %d\n", r.code);
    weft_run_free(&r);
    weft_popen_free(p);
    return 0;
}
