/* write_read.c - 进程间通信: one child writes to a queue, another reads from it for ever, and is terminated when all that
 * was written is read. */
#include "lesson.h"

#include <weft/process.h>
#include <weft/shared_queue.h>

static weft_shared_queue *q;

static int write_all(void *arg)
{
    (void)arg;
    printf("Process to write:%d\n", getpid());
    for (const char *value = "ABC"; *value != 0; value++) {
        printf("Put %c to queue...\n", *value);
        must(weft_shared_queue_put(q, value, 1, WEFT_FOREVER));
        lesson_sleep(lesson_random(1));
    }
    return 0;
}

static int read_all(void *arg)
{
    char value;
    size_t size;
    (void)arg;
    printf("Process to read:%d\n", getpid());
    for (;;) {
        must(weft_shared_queue_get(q, &value, 1, &size, WEFT_FOREVER));
        printf("Get %c from queue.\n", value);
        must(weft_shared_queue_task_done(q));
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_process writer = WEFT_PROCESS_INIT, reader = WEFT_PROCESS_INIT;
    must(weft_shared_queue_new(&q, NULL));
    must(weft_process_start(&writer, write_all, NULL, NULL));
    /* Who reads for ever is a daemon, and ends with this process, however that ends. */
    must(weft_process_start(&reader, read_all, NULL, &(weft_process_options){.daemon = 1}));
    must(weft_process_join(&writer, NULL, WEFT_FOREVER));
    must(weft_shared_queue_join(q, WEFT_FOREVER)); /* without it the last value might be lost with the reader */
    must(weft_process_terminate(&reader));
    must(weft_process_join(&reader, NULL, WEFT_FOREVER));
    weft_shared_queue_free(q);
    return weft_process_close(&writer) || weft_process_close(&reader);
}
