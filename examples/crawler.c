/* crawler.c - four threads fetch five pages; a callback appends the size of each to db.txt as it arrives.
 *
 * The pages are stand-ins, made up here with a delay and a size each, so that the lesson needs no network.
 *
 *     --ordered   no callbacks: the results are asked for in the order of the list (the slow first page holds up all)
 *     --missing   one of the sites answers 404: that is said, and the others are written */
#include "lesson.h"

#include <errno.h>
#include <weft/executor.h>

typedef struct page {
    const char *url;
    double delay;
    int size, status;
} page;

static page pages[] = {
    {"https://www.baidu.com", 0.9, 2443, 200},      {"https://www.python.org", 0.5, 48843, 200},
    {"https://www.openstack.org", 1.3, 64125, 200}, {"https://www.tencent.com/zh-cn", 0.3, 16012, 200},
    {"http://www.sina.com.cn/", 0.2, 572319, 200},
};

enum {
    PAGES = sizeof pages / sizeof pages[0]
};

static int get_page(void *arg, void **result)
{
    page *p = arg;
    printf("开始下载 %s\n", p->url);
    lesson_sleep(p->delay);
    if (p->status != 200)
        return -ENOENT;
    *result = p;
    return 0;
}

/* Write one page down; as a callback it runs in whichever worker has just fetched it. */
static int save_page(weft_future *f, void *arg)
{
    page *wanted = arg;
    void *result;
    int err = weft_future_result(f, &result, WEFT_FOREVER);
    if (err < 0) {
        printf("%s: 下载失败, 状态码 %d\n", wanted->url, wanted->status);
        return 0;
    }
    page *p = result;
    char line[128];
    snprintf(line, sizeof line, "url:<%s> size:[%d]\n", p->url, p->size);
    FILE *db = fopen("db.txt", "a"); /* one small write at the end of the file: whole lines, whoever comes together */
    if (db == NULL)
        return -errno;
    fputs(line, db);
    fclose(db);
    fputs(line, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_executor *pool;
    weft_future *futures[PAGES];
    int ordered = lesson_flag("--ordered");
    if (lesson_flag("--missing"))
        pages[3].status = 404;
    must(weft_thread_pool_new(&pool, &(weft_pool_options){.workers = 4}));
    for (int i = 0; i < PAGES; i++) {
        must(weft_submit(pool, get_page, &pages[i], &futures[i]));
        if (!ordered)
            must(weft_future_add_callback(futures[i], save_page, &pages[i]));
    }
    for (int i = 0; i < PAGES; i++) {
        if (ordered)
            must(save_page(futures[i], &pages[i]));
        weft_future_unref(futures[i]);
    }
    weft_executor_free(pool);
    return 0;
}
