/* file_test.c - opening beneath a directory (F1, F2 of sys/file.h), reading, directories, slow writers. */
#include "harness/harness.h"

#include "sys/file.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root_name[4096];

static const char *in_root(const char *name)
{
    static char full[8192];
    snprintf(full, sizeof full, "%s/%s", root_name, name);
    return full;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_root(name), "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    CHECK_OK(fclose(f));
}

/* A root in the case's directory, beside a secret; returns its descriptor. */
static int make_root(void)
{
    snprintf(root_name, sizeof root_name, "%s", test_dir());
    write_file("secret", "secret");
    snprintf(root_name, sizeof root_name, "%s/root", test_dir());
    CHECK_OK(mkdir(root_name, 0755));
    CHECK_OK(mkdir(in_root("sub"), 0755));
    write_file("a", "hello");
    write_file("sub/b", "world");
    int fd = weft__sys_open(root_name, WEFT__FILE_DIRECTORY);
    CHECK(fd >= 0);
    return fd;
}

static int open_it(int root, const char *name)
{
    int fd = weft__sys_open_beneath(root, name, WEFT__FILE_READ, false);
    if (fd >= 0)
        weft__sys_file_close(fd);
    return fd < 0 ? fd : 0;
}

TEST(file_opens_what_is_beneath)
{
    int root = make_root();
    CHECK_OK(symlink("a", in_root("link")));
    CHECK_OK(symlink("../a", in_root("sub/up")));
    CHECK_OK(open_it(root, "a"));
    CHECK_OK(open_it(root, "sub/b"));
    CHECK_OK(open_it(root, "sub/../a"));
    CHECK_OK(open_it(root, "link"));
    CHECK_OK(open_it(root, "sub/up"));
    CHECK_OK(open_it(root, "."));
    CHECK_OK(open_it(root, ""));
    CHECK_ERR(-ENOENT, open_it(root, "none"));
    CHECK_ERR(-ENOTDIR, open_it(root, "a/b"));
    weft__sys_file_close(root);
}

TEST(file_opens_nothing_outside)
{
    int root = make_root();
    CHECK_OK(symlink("../secret", in_root("out")));
    CHECK_OK(symlink("/etc/passwd", in_root("absolute")));
    CHECK_OK(symlink("..", in_root("dirout")));
    CHECK_OK(symlink("sub/../../secret", in_root("winding")));
    CHECK_OK(symlink("loop", in_root("loop")));
    static const char *const names[] = {"../secret", "/etc/passwd", "out",       "absolute",        "dirout/secret",
                                        "winding",   "..",          "sub/../..", "sub/../../root/a"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_ERR(-EXDEV, open_it(root, names[i]));
    CHECK_ERR(-ELOOP, open_it(root, "loop"));
    weft__sys_file_close(root);
}

TEST(file_opens_no_magic_link)
{
    int root = weft__sys_open("/proc/self", WEFT__FILE_DIRECTORY);
    CHECK(root >= 0);
    CHECK_ERR(-ELOOP, open_it(root, "exe"));
    CHECK_ERR(-ELOOP, open_it(root, "root/etc/passwd"));
    weft__sys_file_close(root);
}

TEST(file_open_of_a_fifo_does_not_wait)
{
    int root = make_root();
    CHECK_OK(mkfifo(in_root("fifo"), 0600));
    CHECK_OK(open_it(root, "fifo"));
    int fd = weft__sys_open_beneath(root, "fifo", WEFT__FILE_PATH, false);
    struct stat st;
    CHECK_OK(weft__sys_fstat(fd, &st));
    CHECK(S_ISFIFO(st.st_mode));
    weft__sys_file_close(fd);
    weft__sys_file_close(root);
}

TEST(file_descriptors_are_close_on_exec)
{
    int root = make_root();
    for (int how = WEFT__FILE_READ; how <= WEFT__FILE_DIRECTORY; how++) {
        int fd = weft__sys_open_beneath(root, how == WEFT__FILE_DIRECTORY ? "sub" : "a", how, false);
        CHECK(fd >= 0);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        weft__sys_file_close(fd);
    }
    weft__sys_file_close(root);
}

TEST(file_cached_open_finds_what_is_in_memory_or_says_again)
{
    int root = make_root();
    CHECK_OK(open_it(root, "a"));
    int fd = weft__sys_open_beneath(root, "a", WEFT__FILE_READ, true);
    CHECK(fd >= 0 || fd == -EAGAIN);
    if (fd >= 0)
        weft__sys_file_close(fd);
    weft__sys_file_close(root);
}

TEST(file_no_atime_leaves_the_access_time)
{
    int root = make_root();
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    char byte;
    for (int leave = 1; leave >= 0; leave--) { /* the other way round it could not be told from a mount with noatime */
        CHECK_OK(utimensat(AT_FDCWD, in_root("a"), old, 0));
        int fd = weft__sys_open_beneath(root, "a", WEFT__FILE_READ, false);
        CHECK(fd >= 0);
        if (leave)
            weft__sys_no_atime(fd);
        CHECK_INT(1, weft__sys_pread(fd, &byte, 1, 0, false));
        struct stat st;
        CHECK_OK(weft__sys_fstat(fd, &st));
        if (leave)
            CHECK_INT(old[0].tv_sec, st.st_atime);
        else if (st.st_atime == old[0].tv_sec)
            SKIP("this file system keeps no access times");
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        weft__sys_file_close(fd);
    }
    weft__sys_file_close(root);
}

TEST(file_pread_reads_to_the_end_and_no_further)
{
    int root = make_root();
    int fd = weft__sys_open_beneath(root, "a", WEFT__FILE_READ, false);
    char buf[16];
    CHECK_INT(5, weft__sys_pread(fd, buf, sizeof buf, 0, false));
    CHECK_MEM("hello", buf, 5);
    CHECK_INT(2, weft__sys_pread(fd, buf, 2, 3, false));
    CHECK_MEM("lo", buf, 2);
    CHECK_INT(0, weft__sys_pread(fd, buf, 2, 5, false));
    ssize_t n = weft__sys_pread(fd, buf, 5, 0, true);
    CHECK(n == 5 || n == -EAGAIN);
    weft__sys_file_close(fd);
    weft__sys_file_close(root);
}

TEST_LIMIT(60, file_directory_gives_every_entry_once)
{
    int root = make_root();
    char name[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "sub/n%d", i);
        write_file(name, "");
    }
    CHECK_OK(symlink("b", in_root("sub/link")));
    int fd = weft__sys_open_beneath(root, "sub", WEFT__FILE_DIRECTORY, false), links = 0;
    char buf[4096], seen[1000] = {0};
    ssize_t n;
    while ((n = weft__sys_getdents(fd, buf, sizeof buf)) > 0) {
        size_t at = 0;
        weft__dirent d;
        while (weft__sys_dirent_next(buf, (size_t)n, &at, &d)) {
            int i;
            if (sscanf(d.name, "n%d", &i) == 1)
                CHECK_INT(1, ++seen[i]);
            links += strcmp(d.name, "link") == 0;
        }
    }
    CHECK_INT(0, n);
    CHECK_INT(1, links);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(1, seen[i]);
    weft__sys_file_close(fd);
    weft__sys_file_close(root);
}

TEST(file_write_to_a_stream_gives_up_when_nobody_reads)
{
    int ends[2];
    CHECK_OK(pipe(ends));
    char *data = calloc(1, 1 << 20);
    CHECK_ERR(-ETIMEDOUT, weft__sys_write_stream(ends[1], data, 1 << 20, 20000000, NULL));
    CHECK_ERR(-ETIMEDOUT, weft__sys_write_stream(ends[1], data, 1, 0, NULL));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(-EPIPE, weft__sys_write_stream(ends[1], data, 1, 20000000, NULL));
    close(ends[1]);
    free(data);
}

static void *write_lines(void *arg)
{
    char lines[50 * 100];
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 100 < 99 ? 'x' : '\n';
    CHECK_OK(weft__sys_write_stream(*(int *)arg, lines, sizeof lines, 5000000000, NULL));
    return NULL;
}

/* A pipe of one page takes one piece at a time: what others write comes before a line or behind it. */
TEST(file_write_to_a_stream_leaves_lines_whole)
{
    int ends[2];
    pthread_t writer;
    char piece[8192];
    CHECK_OK(pipe(ends));
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
    CHECK_OK(pthread_create(&writer, NULL, write_lines, &ends[1]));
    for (size_t total = 0; total < 5000;) {
        ssize_t n = read(ends[0], piece, sizeof piece);
        CHECK(n > 0 && piece[n - 1] == '\n');
        total += (size_t)n;
    }
    pthread_join(writer, NULL);
    close(ends[0]);
    close(ends[1]);
}

static void *read_all(void *arg)
{
    static char sink[1 << 16];
    size_t *total = arg;
    ssize_t n;
    while ((n = read((int)total[1], sink, sizeof sink)) > 0)
        total[0] += (size_t)n;
    return NULL;
}

TEST(file_write_to_a_stream_is_complete)
{
    int ends[2];
    pthread_t reader;
    CHECK_OK(pipe(ends));
    size_t total[2] = {0, (size_t)ends[0]};
    char *data = calloc(1, 1 << 20);
    CHECK_OK(pthread_create(&reader, NULL, read_all, total));
    CHECK_OK(weft__sys_write_stream(ends[1], data, 1 << 20, 5000000000, NULL));
    close(ends[1]);
    pthread_join(reader, NULL);
    CHECK_INT(1 << 20, total[0]);
    close(ends[0]);
    free(data);
}

TEST(file_coarse_times_follow_the_clocks)
{
    struct timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    int64_t begin = weft__sys_now();
    weft__sys_times t = weft__sys_coarse_times();
    int64_t end = weft__sys_now();
    clock_gettime(CLOCK_REALTIME, &after);
    CHECK_BETWEEN(before.tv_sec - 1, after.tv_sec + 1, t.wall / 1000000000); /* however long it took */
    CHECK_BETWEEN(begin - 1000000000, end, t.monotonic);
}
