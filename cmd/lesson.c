/* lesson.c - `weft lesson list|run|show`: the programs of the tutorials, by name.
 *
 * A lesson is an example that is built into the command (cmake/lessons.cmake): its main under another name, and its
 * text. `run` calls that main in this very process, with the flags; so what a lesson does at its end (threads that are
 * waited for, daemons that are not) is what happens at the end of the command. */
#include "cmd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "weft lesson"

#define LESSON(name, title, english, chapter, flags)                                                                   \
    int lesson_##name##_main(int argc, char **argv);                                                                   \
    extern const char lesson_##name##_text[];
#include "lesson_list.h"
#undef LESSON

extern const char lesson_header_text[];

typedef struct lesson {
    const char *name, *title, *english, *chapter, *flags, *text;
    int (*main)(int argc, char **argv);
} lesson;

static const lesson lessons[] = {
#define LESSON(name, title, english, chapter, flags)                                                                   \
    {#name, title, english, chapter, flags, lesson_##name##_text, lesson_##name##_main},
#include "lesson_list.h"
#undef LESSON
};

enum {
    COUNT = sizeof lessons / sizeof lessons[0],
    FLAGS_MAX = 8
};

static int print_help(void)
{
    puts("Usage: weft lesson list [--json]\n"
         "       weft lesson run NAME [--fast] [--unsafe] [...]\n"
         "       weft lesson show NAME\n\n"
         "The programs of the tutorials, in C: they print what the tutorials print.\n\n"
         "  list            names and titles, in the order of the tutorials\n"
         "  run NAME        run one\n"
         "  show NAME       print its source: a whole program, to be compiled with -lweft;\n"
         "                  'show lesson.h' prints the header that they share\n\n"
         "Options:\n"
         "  --json          list: as JSON\n"
         "  --fast          run: the same text in the same order, with shorter pauses and loops\n"
         "  --unsafe        run: without the protection that the lesson is about, and wrong every time\n"
         "  --server=PORT   run, a network lesson: the server alone, until Ctrl-C; 0 is any free port\n"
         "  --client=PORT   run, a network lesson: the client alone, which reads what you type\n"
         "  --help          print this and leave\n\n"
         "Some lessons have flags of their own; 'list' names them.\n\n"
         "Examples:\n"
         "  weft lesson run threads\n"
         "  weft lesson run bank --unsafe       # and without: weft lesson run bank\n"
         "  weft lesson run noodle              # a deadlock, and who waits for whom\n"
         "  weft lesson show tickets");
    return CMD_OK;
}

/* ---- finding ---- */

static int names_differ(const char *a, const char *b)
{
    while (*a != 0 && (*a == *b || (*a == '-' && *b == '_')))
        a++, b++;
    return *a != *b;
}

static const lesson *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (!names_differ(name, lessons[i].name))
            return &lessons[i];
    return NULL;
}

static int unknown_lesson(const char *name)
{
    char words[COUNT * 16] = "", near[64];
    size_t at = 0;
    for (size_t i = 0; i < COUNT; i++)
        at += (size_t)snprintf(words + at, sizeof words - at, "%s ", lessons[i].name);
    if (cmd_nearest(name, words, near, sizeof near))
        return cmd_usage(COMMAND, "there is no lesson '%s'; did you mean '%s'? ('weft lesson list' lists them)", name,
                         near);
    return cmd_usage(COMMAND, "there is no lesson '%s' ('weft lesson list' lists them)", name);
}

static bool has_flag(const lesson *l, const char *flag)
{
    size_t n = strcspn(flag, "="); /* one that takes a value is listed as "server=" */
    n += flag[n] == '=';
    for (const char *p = l->flags; *p != 0; p += strspn(p, " ")) {
        size_t length = strcspn(p, " ");
        if (length == n && memcmp(p, flag, n) == 0)
            return true;
        p += length;
    }
    return strcmp(flag, "fast") == 0;
}

static int unknown_flag(const lesson *l, const char *flag)
{
    char list[64] = "--fast";
    size_t at = strlen(list);
    for (const char *p = l->flags; *p != 0; p += strspn(p, " ")) {
        size_t length = strcspn(p, " ");
        at += (size_t)snprintf(list + at, sizeof list - at, ", --%.*s", (int)length, p);
        p += length;
    }
    return cmd_usage(COMMAND, "the lesson %s has no flag %s; it has %s", l->name, flag, list);
}

/* ---- list ---- */

/* Columns on a terminal: Chinese letters take two. */
static int width(const char *text)
{
    int n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++)
        n += *p < 0x80 || (*p >= 0xc0 && *p < 0xe0) ? 1 : *p >= 0xe0 ? 2 : 0;
    return n;
}

static void print_flags(const lesson *l, const char *before, const char *after)
{
    for (const char *p = l->flags; *p != 0; p += strspn(p, " ")) {
        size_t length = strcspn(p, " ");
        fputs(before, stdout);
        fwrite(p, 1, length, stdout);
        fputs(after, stdout);
        p += length;
    }
}

static int list(bool json)
{
    const char *chapter = "";
    for (size_t i = 0; i < COUNT; i++) {
        const lesson *l = &lessons[i];
        if (json) {
            printf("%s{\"name\": \"%s\", \"title\": \"%s\", \"english\": \"%s\", \"chapter\": \"%s\", \"flags\": "
                   "[\"fast\"",
                   i == 0 ? "[" : " ", l->name, l->title, l->english, l->chapter);
            print_flags(l, ", \"", "\"");
            printf("]}%s\n", i + 1 < COUNT ? "," : "]");
            continue;
        }
        if (strcmp(chapter, l->chapter) != 0 && isatty(STDOUT_FILENO))
            printf("%s%s\n", i > 0 ? "\n" : "", l->chapter);
        chapter = l->chapter;
        printf("%-14s %s%*s %s", l->name, l->title, width(l->title) < 36 ? 36 - width(l->title) : 0, "", l->english);
        print_flags(l, " [--", "]");
        printf("\n");
    }
    return CMD_OK;
}

/* ---- run ---- */

static int run(const lesson *l, char **flags, size_t n)
{
    static char *arguments[FLAGS_MAX + 2]; /* static: threads of the lesson may outlive its main */
    arguments[0] = (char *)l->name;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(flags[i], "--", 2) != 0 || !has_flag(l, flags[i] + 2))
            return unknown_flag(l, flags[i]);
        arguments[i + 1] = flags[i];
    }
    return l->main((int)n + 1, arguments) == 0 ? CMD_OK : CMD_FAILED;
}

/* ---- the command line: lesson VERB [NAME] [flags], the flags anywhere behind the verb ---- */

int cmd_lesson(int argc, char **argv)
{
    const char *name = NULL;
    char *flags[FLAGS_MAX];
    size_t n = 0;
    if (argc < 2)
        return cmd_usage(COMMAND, "list, run or show? try 'weft lesson list', or 'weft lesson --help'");
    const char *verb = argv[1];
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return print_help();
    if (strcmp(verb, "list") != 0 && strcmp(verb, "run") != 0 && strcmp(verb, "show") != 0)
        return cmd_usage(COMMAND, "'%s' is not list, run or show ('weft lesson --help' says more)", verb);
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-' && n < FLAGS_MAX)
            flags[n++] = argv[i];
        else if (argv[i][0] != '-' && name == NULL)
            name = argv[i];
        else
            return cmd_usage(COMMAND, "'%s' is one argument too many ('weft lesson --help' shows how)", argv[i]);
    }
    if (strcmp(verb, "list") == 0) {
        bool json = n == 1 && strcmp(flags[0], "--json") == 0;
        if (name != NULL || (n > 0 && !json))
            return cmd_usage(COMMAND, "list takes --json or nothing, not '%s'",
                             name != NULL ? name : flags[json && n > 1]);
        return list(json);
    }
    if (name == NULL)
        return cmd_usage(COMMAND, "%s which lesson? 'weft lesson list' lists them", verb);
    if (strcmp(verb, "show") == 0 && strcmp(name, "lesson.h") == 0) {
        fputs(lesson_header_text, stdout);
        return CMD_OK;
    }
    const lesson *l = find(name);
    if (l == NULL)
        return unknown_lesson(name);
    if (strcmp(verb, "run") == 0)
        return run(l, flags, n);
    if (n > 0)
        return cmd_usage(COMMAND, "show takes no flag, not '%s'", flags[0]);
    fputs(l->text, stdout);
    return CMD_OK;
}
