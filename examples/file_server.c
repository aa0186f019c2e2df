/* file_server.c - a file server (ftp 文件服务器): list, get and put, for several clients at once, a thread each.
 *
 * A request is a line; so is an answer, and where bytes follow, it says how many, so that nothing sticks together (粘包):
 *
 *     L                  OK 12, and 12 bytes: names, one a line
 *     G name             OK 100, and 100 bytes; or why not
 *     P name 100, and 100 bytes     OK; or why not
 *     Q                  the end
 *
 * The server's folder is --folder=PATH, the client's the current one. Run as it is, both are new ones in /tmp. */
#define _GNU_SOURCE /* O_PATH */
#include "lesson.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
    LINE = 512,
    LARGEST = 1 << 30
};

static int folder = AT_FDCWD; /* where this process has its files */
static char paths[2][64];     /* run as it is: the server's and the client's */

/* ---- what both do ---- */

static void use_folder(const char *path)
{
    if (*path == 0)
        return;
    folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        fprintf(stderr, "lesson: %s: %s\n", path, strerror(errno));
        lesson_fail();
    }
}

/* Receive a line, without its end. The count, 0 at the peer's end; what is too long ends the connection as well. */
static int receive_line(weft_stream *s, char line[LINE])
{
    for (int n = 0; n < LINE - 1; n++) {
        if (weft_stream_recv(s, line + n, 1, WEFT_FOREVER) != 1)
            return 0;
        if (line[n] == '\n') {
            line[n] = 0;
            return n;
        }
    }
    return 0;
}

static void send_text(weft_stream *s, const char *text)
{
    weft_stream_send(s, text, strlen(text), WEFT_FOREVER);
}

/* A name of the folder itself, and no hidden one: nobody gets out of it. */
static int is_plain(const char *name)
{
    return name[0] != 0 && name[0] != '.' && strchr(name, '/') == NULL;
}

/* Open a file of the folder to be sent: its descriptor and size, or -1. */
static int open_file(const char *name, long *size)
{
    struct stat st;
    int fd = is_plain(name) ? openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))) {
        *size = fd < 0 ? 0 : (long)st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

/* Receive a file of this size; a half one is taken away again. 1 when it is there. Without fd the bytes are dropped. */
static int receive_file(weft_stream *s, const char *name, int fd, long size)
{
    char data[4096];
    int good = fd >= 0;
    for (ssize_t n; size > 0; size -= n) {
        n = weft_stream_recv(s, data, size < (long)sizeof data ? (size_t)size : sizeof data, WEFT_FOREVER);
        if (n <= 0)
            break;
        good = good && write(fd, data, (size_t)n) == n;
    }
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && (!good || size > 0))
        unlinkat(folder, name, 0);
    return good && size == 0;
}

static int make_file(const char *name)
{
    return is_plain(name) ? openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
}

/* ---- server ---- */

static void serve_list(weft_stream *s)
{
    char head[LINE], *names = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&names, &size);
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; dir != NULL && out != NULL && (e = readdir(dir)) != NULL;)
        if (e->d_type == DT_REG && is_plain(e->d_name))
            fprintf(out, "%s\n", e->d_name);
    if (dir != NULL)
        closedir(dir);
    if (out == NULL || fclose(out) != 0)
        size = 0;
    snprintf(head, sizeof head, "OK %zu\n", size);
    send_text(s, head);
    weft_stream_send(s, names, size, WEFT_FOREVER);
    free(names);
}

static void serve_get(weft_stream *s, const char *name)
{
    char head[LINE];
    long size;
    int fd = open_file(name, &size);
    if (fd < 0) {
        send_text(s, "文件不存在\n");
        return;
    }
    snprintf(head, sizeof head, "OK %ld\n", size);
    send_text(s, head);
    weft_stream_sendfile(s, fd, 0, (size_t)size, WEFT_FOREVER);
    close(fd);
}

/* 0 when the connection cannot go on: nobody knows where the bytes end. */
static int serve_put(weft_stream *s, char *name)
{
    char *space = strrchr(name, ' '), *end = NULL;
    long size = space != NULL ? strtol(space + 1, &end, 10) : -1;
    if (end == NULL || *end != 0 || end == space + 1 || size < 0 || size > LARGEST)
        return 0;
    *space = 0;
    int fd = make_file(name), good = receive_file(s, name, fd, size);
    send_text(s, good ? "OK\n" : fd < 0 ? "文件已存在\n" : "上传失败\n");
    return 1;
}

static int handle(void *connection)
{
    char line[LINE];
    for (int more = 1; more && receive_line(connection, line) > 0;) {
        printf("请求: %s\n", line);
        if (strcmp(line, "L") == 0)
            serve_list(connection);
        else if (strncmp(line, "G ", 2) == 0)
            serve_get(connection, line + 2);
        else if (strncmp(line, "P ", 2) == 0)
            more = serve_put(connection, line + 2);
        else
            more = 0; /* Q, and whatever nobody understands */
    }
    weft_stream_close(connection);
    return 0;
}

static int server(void *listener)
{
    weft_group clients = WEFT_GROUP_INIT;
    weft_stream *s;
    use_folder(lesson_value("--folder") != NULL ? lesson_value("--folder") : paths[0]);
    while (weft_tcp_accept(&s, listener, WEFT_FOREVER) == 0) {
        printf("Connect from %s\n", lesson_peer(s));
        if (weft_group_thread(&clients, handle, s, NULL) < 0)
            weft_stream_close(s);
    }
    weft_group_cancel(&clients);
    weft_shield(1);
    weft_group_wait(&clients, WEFT_FOREVER);
    return 0;
}

/* ---- client ---- */

/* The answer to a request: the number behind OK, or -1 after showing why not. */
static long receive_answer(weft_stream *s)
{
    char line[LINE];
    if (receive_line(s, line) == 0)
        puts("服务器已关闭");
    else if (strncmp(line, "OK", 2) == 0)
        return strtol(line + 2, NULL, 10);
    else
        puts(line);
    return -1;
}

static void list(weft_stream *s)
{
    char line[LINE];
    send_text(s, "L\n");
    for (long left = receive_answer(s); left > 0; left -= (long)strlen(line) + 1) {
        if (receive_line(s, line) == 0)
            return;
        puts(line);
    }
}

static void get(weft_stream *s, const char *name)
{
    char line[LINE];
    snprintf(line, sizeof line, "G %.255s\n", name);
    send_text(s, line);
    long size = receive_answer(s);
    if (size >= 0)
        puts(receive_file(s, name, make_file(name), size) ? "下载完成" : "下载失败");
}

static void put(weft_stream *s, const char *name)
{
    char line[LINE];
    long size;
    int fd = open_file(name, &size);
    if (fd < 0) {
        puts("没有这个文件");
        return;
    }
    snprintf(line, sizeof line, "P %.255s %ld\n", name, size);
    send_text(s, line);
    weft_stream_sendfile(s, fd, 0, (size_t)size, WEFT_FOREVER);
    close(fd);
    if (receive_answer(s) >= 0)
        puts("上传完成");
}

static int client(unsigned port)
{
    weft_stream *s;
    use_folder(paths[1]);
    must(weft_tcp_connect(&s, NULL, port, NULL, WEFT_FOREVER));
    for (const char *text; *(text = lesson_input("命令(list, get 文件, put 文件, quit):")) != 0;) {
        if (strcmp(text, "list") == 0)
            list(s);
        else if (strncmp(text, "get ", 4) == 0)
            get(s, text + 4);
        else if (strncmp(text, "put ", 4) == 0)
            put(s, text + 4);
        else if (strcmp(text, "quit") == 0)
            break;
        else
            puts("没有这个命令");
    }
    send_text(s, "Q\n");
    weft_stream_close(s);
    puts("谢谢使用");
    return 0;
}

/* ---- both ---- */

static void write_file(int which, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%.63s/%s", paths[which], name);
    FILE *file = fopen(path, "w");
    if (file != NULL) {
        fputs(text, file);
        fclose(file);
    }
}

static void remove_folder(const char *path)
{
    static const char *const names[] = {"poem.txt", "letter.txt"};
    char name[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "%.63s/%s", path, names[i]);
        unlink(name);
    }
    rmdir(path);
}

static void remove_folders(void)
{
    for (int i = 0; i < 2; i++)
        if (*paths[i] != 0)
            remove_folder(paths[i]);
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"list",          "get poem.txt",   "get poem.txt",
                                        "get ../secret", "put letter.txt", "put letter.txt",
                                        "list",          "quit",           NULL};
    lesson_begin(argc, argv);
    bool both = lesson_value("--server") == NULL && lesson_value("--client") == NULL;
    if (both)
        lesson_tidy = remove_folders;
    for (int i = 0; i < 2 && both; i++) {
        strcpy(paths[i], "/tmp/file_server-XXXXXX");
        must(mkdtemp(paths[i]) == NULL ? -errno : 0);
    }
    if (both) {
        write_file(0, "poem.txt", "白日依山尽，黄河入海流。\n");
        write_file(1, "letter.txt", "你好！\n");
    }
    int failed = lesson_run_tcp(server, lesson_listen(5), client, typed);
    if (both)
        remove_folders();
    return failed;
}
