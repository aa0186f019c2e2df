/* password.c - an event: the main thread must not look at the password before the visitor has said it. */
#include "lesson.h"

#include <weft/thread.h>

static const char *s;
static weft_event e;

static int visitor(void *arg)
{
    (void)arg;
    puts("杨子荣前来拜山头");
    s = "天王盖地虎";
    weft_event_set(&e);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t = WEFT_THREAD_INIT;
    must(weft_thread_start(&t, visitor, NULL, NULL));
    puts("数对口令就是自己人");
    weft_event_wait(&e, WEFT_FOREVER);
    if (strcmp(s, "天王盖地虎") == 0)
        puts("宝塔镇河妖\n确认过眼神，你是对的人");
    else
        puts("打死他.... 无情啊....");
    weft_thread_join(&t, NULL, WEFT_FOREVER);
    return 0;
}
