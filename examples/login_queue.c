/* login_queue.c - 消息队列: one child puts a name and a password into a queue that its parent made, another gets both. */
#include "lesson.h"

#include <weft/process.h>
#include <weft/shared_queue.h>

static weft_shared_queue *q;

static int put(void *arg)
{
    (void)arg;
    must(weft_shared_queue_put(q, "Levi", 4, WEFT_FOREVER));
    return weft_shared_queue_put(q, "123", 3, WEFT_FOREVER);
}

static int get(void *arg)
{
    char name[16], password[16];
    size_t name_size, password_size;
    (void)arg;
    must(weft_shared_queue_get(q, name, sizeof name, &name_size, WEFT_FOREVER));
    must(weft_shared_queue_get(q, password, sizeof password, &password_size, WEFT_FOREVER));
    printf("用户名: %.*s\n密　码: %.*s\n", (int)name_size, name, (int)password_size, password);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_process p1 = WEFT_PROCESS_INIT, p2 = WEFT_PROCESS_INIT;
    must(weft_shared_queue_new(&q, NULL));
    must(weft_process_start(&p1, put, NULL, NULL));
    must(weft_process_start(&p2, get, NULL, NULL));
    must(weft_process_join(&p1, NULL, WEFT_FOREVER));
    must(weft_process_join(&p2, NULL, WEFT_FOREVER));
    weft_shared_queue_free(q);
    return weft_process_close(&p1) || weft_process_close(&p2);
}
