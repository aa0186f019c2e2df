/* target_fuzz.c - the path of a request target, up to the name that is opened.
 * Oracles: an accepted name is relative, holds no NUL and no "", "." or ".." segment, and is no longer than its path;
 * openat2(RESOLVE_BENEATH) in a real directory, with another one beside it, never says that the name leads out; the
 * name, escaped and decoded again, is itself; every shorter buffer gives 414 or the same. */
#include "http/encode.h"
#include "http/target.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

static const char *const made[] = {"", "/beside", "/root", "/root/a", "/root/a/b", "/root/..a", "/root/a/..."};
static char base[64];
static int root = -1;

static void remove_tree(void)
{
    char path[128];
    for (size_t i = sizeof made / sizeof made[0]; i-- > 0;) {
        snprintf(path, sizeof path, "%s%s", base, made[i]);
        (void)rmdir(path);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[128];
    (void)argc;
    (void)argv;
    strcpy(base, "/tmp/weft-target-fuzz-XXXXXX");
    REQUIRE(mkdtemp(base) != NULL);
    for (size_t i = 1; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s%s", base, made[i]);
        REQUIRE(mkdir(path, 0700) == 0);
    }
    snprintf(path, sizeof path, "%s/root", base);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(root >= 0);
    atexit(remove_tree);
    return 0;
}

static void check_name(const char *name, const weft__target *t)
{
    REQUIRE(strlen(name) == t->len && name[0] != '/');
    bool hidden = false;
    for (const char *p = name; t->len > 0;) {
        size_t n = strcspn(p, "/");
        REQUIRE(n > 0 && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.'));
        hidden |= p[0] == '.';
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    REQUIRE(t->hidden == hidden && (hidden || !t->well_known));
    int fd = weft__sys_open_beneath(root, name, WEFT__FILE_DIRECTORY, false);
    REQUIRE(fd != -EXDEV && fd != -ENOSYS && fd != -EINVAL);
    if (fd >= 0)
        close(fd);
}

static void check_again(const char *name, const weft__target *t)
{
    size_t cap = t->len * 3 + 2;
    char *link = malloc(cap), *again = malloc(cap);
    weft__target u;

    REQUIRE(link != NULL && again != NULL);
    weft__out o = weft__out_over(link, cap);
    weft__out_text(&o, "/");
    weft__out_path(&o, (weft__span){name, t->len});
    REQUIRE(!o.overflow);
    REQUIRE(weft__target_decode((weft__span){o.data, o.len}, again, cap, &u) == 0);
    REQUIRE(u.len == t->len && memcmp(again, name, u.len + 1) == 0);
    free(link);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = malloc(size > 0 ? size : 1), *name = malloc(size + 1);
    weft__target t, u;

    REQUIRE(path != NULL && name != NULL);
    memcpy(path, data, size);
    int status = weft__target_decode((weft__span){path, size}, name, size + 1, &t);
    REQUIRE(status == 0 || status == 400 || status == 404);
    if (status == 0) {
        REQUIRE(t.len <= size);
        check_name(name, &t);
        check_again(name, &t);
    }
    for (size_t cap = 0; cap <= size && cap < 40; cap++) {
        char *small = malloc(cap > 0 ? cap : 1);
        REQUIRE(small != NULL);
        int shorter = weft__target_decode((weft__span){path, size}, small, cap, &u);
        REQUIRE(shorter == 414 || (shorter == status && (status != 0 || strcmp(small, name) == 0)));
        free(small);
    }
    free(path);
    free(name);
    return 0;
}
