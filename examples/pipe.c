/* pipe.c - 管道: a simplex pipe. Five children send, the parent receives; each of them has both ends and closes the one
 * that it does not use, so that the end of the last sender is seen. */
#include "lesson.h"

#include <weft/pipe.h>
#include <weft/process.h>

enum {
    CHILDREN = 5
};

static weft_pipe *ends[2]; /* as Pipe(False): the first only receives, the second only sends */

static int send_hello(void *arg)
{
    char text[32];
    int size = snprintf(text, sizeof text, "hello %d", (int)(intptr_t)arg);
    weft_pipe_close(ends[0]);
    return weft_pipe_send(ends[1], text, (size_t)size, WEFT_FOREVER);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_process p[CHILDREN] = {0};
    char text[32];
    size_t size;
    int err;
    must(weft_pipe_new(ends, WEFT_SIMPLEX));
    printf("接收端不能发送: %s\n", weft_pipe_send(ends[0], "x", 1, WEFT_NOW) == -EBADF ? "True" : "False");
    for (int i = 0; i < CHILDREN; i++)
        must(weft_process_start(&p[i], send_hello, (void *)(intptr_t)i, NULL));
    weft_pipe_close(ends[1]);
    while ((err = weft_pipe_receive(ends[0], text, sizeof text, &size, WEFT_FOREVER)) == 0)
        printf("%.*s\n", (int)size, text);
    printf("%s\n", err == -WEFT_EEOF ? "EOFError: 所有发送端都关闭了" : weft_strerror(err));
    weft_pipe_close(ends[0]);
    for (int i = 0; i < CHILDREN; i++) {
        must(weft_process_join(&p[i], NULL, WEFT_FOREVER));
        must(weft_process_close(&p[i]));
    }
    return 0;
}
