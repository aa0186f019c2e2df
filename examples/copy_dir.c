/* copy_dir.c - 拷贝目录, 显示进度: each file is a task for a pool of four processes, which tell by a message queue how many
 * bytes they have written.
 *
 *     --dir=PATH   copy this directory to PATH-备份; without it one that is made for the lesson, and removed again */
#include "lesson.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <weft/process_pool.h>
#include <weft/shared_queue.h>

enum {
    BLOCK = 1024,
    PATH_SIZE = 4096
};

static char from[PATH_SIZE], to[PATH_SIZE + 16];
static weft_shared_queue *progress; /* how many bytes were written, or why not */

static int tell(int n)
{
    must(weft_shared_queue_put(progress, &n, sizeof n, WEFT_FOREVER));
    return n;
}

static void path_of(char *path, const char *folder, const char *name, size_t size)
{
    snprintf(path, 2 * PATH_SIZE, "%s/%.*s", folder, (int)size, name);
}

static int copy_file(const void *name, size_t size, weft_reply *reply)
{
    char path[2 * PATH_SIZE], block[BLOCK];
    (void)reply;
    path_of(path, from, name, size);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    path_of(path, to, name, size);
    int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    ssize_t n = in < 0 || out < 0 ? -1 : 1;
    while (n > 0 && (n = read(in, block, BLOCK)) > 0)
        if ((n = write(out, block, (size_t)n)) > 0)
            tell((int)n);
    int err = n < 0 ? tell(-errno) : 0;
    close(in);
    close(out);
    return err;
}

/* One task for each regular file; how many bytes they have together. */
static off_t submit_files(weft_executor *pool)
{
    off_t total = 0;
    DIR *folder = opendir(from);
    must(folder == NULL ? -errno : 0);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct stat st;
        char path[2 * PATH_SIZE];
        path_of(path, from, entry->d_name, strlen(entry->d_name));
        if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        total += st.st_size;
        must(weft_submit_bytes(pool, copy_file, entry->d_name, strlen(entry->d_name), NULL, NULL));
    }
    closedir(folder);
    return total;
}

static void make_example(void)
{
    static const int sizes[] = {2500, 1024, 0};
    char path[2 * PATH_SIZE], data[2500];
    strcpy(from, "/tmp/weft-copy-XXXXXX");
    must(mkdtemp(from) == NULL ? -errno : 0);
    for (int i = 0; i < 3; i++) {
        char name = (char)('a' + i);
        memset(data, name, sizeof data);
        path_of(path, from, &name, 1);
        FILE *f = fopen(path, "w");
        must(f == NULL || fwrite(data, 1, (size_t)sizes[i], f) != (size_t)sizes[i] ? -EIO : 0);
        fclose(f);
    }
}

static void remove_folder(const char *folder)
{
    for (char name = 'a'; name <= 'c'; name++) {
        char path[2 * PATH_SIZE];
        path_of(path, folder, &name, 1);
        unlink(path);
    }
    rmdir(folder);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    const char *wanted = lesson_value("--dir");
    if (wanted == NULL)
        make_example();
    else
        snprintf(from, sizeof from, "%s", wanted);
    snprintf(to, sizeof to, "%s-备份", from);
    printf("要拷贝的目录:%s\n", from);
    must(mkdir(to, 0777) < 0 ? -errno : 0); /* there already: File exists */

    weft_executor *pool;
    must(weft_shared_queue_new(&progress, NULL)); /* before the pool, whose workers are copies */
    must(weft_process_pool_new(&pool, &(weft_pool_options){.workers = 4}, NULL));
    off_t total = submit_files(pool), done = 0;
    while (done < total) {
        int n;
        size_t size;
        must(weft_shared_queue_get(progress, &n, sizeof n, &size, WEFT_FOREVER));
        must(n);
        done += n;
        printf("拷贝了%.2f%%\n", (double)done * 100 / (double)total);
    }
    weft_executor_free(pool);
    weft_shared_queue_free(progress);
    if (wanted == NULL) {
        remove_folder(from);
        remove_folder(to);
    }
    return 0;
}
