/* main.c - the command `weft`: finds the subcommand and hands it the rest of the command line. */
#include "cmd.h"

#include <weft/base.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

typedef struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} subcommand;

static const subcommand subcommands[] = {
    {"web", cmd_web, "serve a directory over HTTP"},
    {"lesson", cmd_lesson, "run the programs of the tutorials, and show their source"},
    {"compare", cmd_compare, "the server models beside each other, under the same load"},
    {"bench", cmd_bench, "measure threads, processes and coroutines beside each other"},
    {"load", cmd_load, "put a server under load and measure its answers"},
};

enum {
    COUNT = sizeof subcommands / sizeof subcommands[0]
};

static int print_help(void)
{
    puts("weft - tools made of libweft, a concurrency toolkit for C\n\n"
         "Usage: weft COMMAND [options]\n"
         "       weft COMMAND --help, or weft help COMMAND\n"
         "       weft --version\n\n"
         "Commands:");
    for (size_t i = 0; i < COUNT; i++)
        printf("  %-10s %s\n", subcommands[i].name, subcommands[i].help);
    puts("\nExample: serve the current directory on http://127.0.0.1:8000/\n\n"
         "  weft web .\n\n"
         "Example: run the lesson on deadlocks\n\n"
         "  weft lesson run noodle");
    return CMD_OK;
}

static int unknown_command(const char *name)
{
    char words[256] = "", near[32];
    for (size_t i = 0; i < COUNT; i++) {
        size_t at = strlen(words);
        snprintf(words + at, sizeof words - at, "%s ", subcommands[i].name);
    }
    if (name[0] == '-')
        return cmd_usage("weft", "there is no option %s here; options follow a command ('weft --help' lists them)",
                         name);
    if (cmd_nearest(name, words, near, sizeof near))
        return cmd_usage("weft", "there is no command '%s'; did you mean '%s'? ('weft --help' lists them)", name, near);
    return cmd_usage("weft", "there is no command '%s' ('weft --help' lists them)", name);
}

/* A standard stream that was closed gives its number to the next thing opened, a client's socket perhaps, and then
 * messages go there. So it is taken by something that can be neither read nor written. */
static void hold_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            return;
}

/* What was printed has arrived, or the command has failed. Who reads no further has had enough. */
static int finish(int code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return code;
    if (errno != EPIPE)
        fprintf(stderr, "weft: standard output could not be written%s%s\n", errno != 0 ? ": " : "",
                errno != 0 ? strerror(errno) : "");
    return code == CMD_OK ? CMD_FAILED : code;
}

const char *const *cmd_command_line;

static const subcommand *find_command(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(name, subcommands[i].name) == 0)
            return &subcommands[i];
    return NULL;
}

/* `weft help COMMAND` */
static int help_of(int argc, char **argv)
{
    char *asked[] = {argv[2], (char[]){"--help"}, NULL};
    const subcommand *c = find_command(argv[2]);
    if (c == NULL)
        return unknown_command(argv[2]);
    if (argc > 3)
        return cmd_usage("weft", "'%s' is one argument too many ('weft help %s' is for one command)", argv[3], c->name);
    return c->run(2, asked);
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return cmd_usage("weft", "which command? try 'weft web .', or 'weft --help' for all of them");
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 && argc > 2)
        return help_of(argc, argv);
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0 || strcmp(name, "-h") == 0)
        return print_help();
    if (strcmp(name, "--version") == 0) {
        printf("weft %s\n", weft_version());
        return CMD_OK;
    }
    const subcommand *c = find_command(name);
    return c != NULL ? c->run(argc - 1, argv + 1) : unknown_command(name);
}

int main(int argc, char **argv)
{
    cmd_command_line = (const char *const *)argv;
    hold_streams();
    return finish(run(argc, argv));
}
