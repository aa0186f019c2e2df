/* crawl_music.c - producer and consumer (生产者消费者模型): fetching pages and reading the links in them.
 *
 * Three producers fetch pages, which takes long; one consumer reads each page for the songs in it. The queue between
 * them lets each work at its own speed, and holds four pages at most, so that the producers cannot run away. The pages
 * are made up here. */
#include "lesson.h"

#include <weft/queue.h>
#include <weft/thread.h>

enum {
    PAGES = 9,
    PRODUCERS = 3
};

typedef struct page {
    int number;
    char text[128];
} page;

static weft_queue *pages;

static void fetch(int number, page *p)
{
    lesson_sleep(0.2 + lesson_random(0.2));
    p->number = number;
    snprintf(p->text, sizeof p->text, "<a href='song%d.mp3'> <img src='%d.png'> <a href='song%d.mp3'>", 2 * number - 1,
             number, 2 * number);
}

static int produce(void *arg)
{
    for (int number = (int)(intptr_t)arg; number <= PAGES; number += PRODUCERS) {
        page p;
        fetch(number, &p);
        printf("生产者: 第%d页已下载\n", number);
        must(weft_queue_put(pages, &p, WEFT_FOREVER));
    }
    return 0;
}

static int consume(void *arg)
{
    int *songs = arg;
    page p;
    while (weft_queue_get(pages, &p, WEFT_FOREVER) == 0)
        for (const char *link = p.text; (link = strstr(link, "href='")) != NULL; ++*songs) {
            link += strlen("href='");
            printf("消费者: 第%d页的歌曲链接 %.*s\n", p.number, (int)strcspn(link, "'"), link);
        }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    int songs = 0;
    weft_thread producers[PRODUCERS] = {0}, consumer = WEFT_THREAD_INIT;
    must(weft_queue_new(&pages, sizeof(page), &(weft_queue_options){.capacity = 4}));
    must(weft_thread_start(&consumer, consume, &songs, NULL));
    for (int i = 0; i < PRODUCERS; i++)
        must(weft_thread_start(&producers[i], produce, (void *)(intptr_t)(i + 1), NULL));
    for (int i = 0; i < PRODUCERS; i++)
        weft_thread_join(&producers[i], NULL, WEFT_FOREVER);
    weft_queue_close(pages, WEFT_CLOSE_DRAIN); /* no more pages: the consumer reads what is left and ends */
    weft_thread_join(&consumer, NULL, WEFT_FOREVER);
    printf("共收集到 %d 首歌曲的链接\n", songs);
    weft_queue_free(pages);
    return 0;
}
