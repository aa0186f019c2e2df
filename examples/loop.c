/* loop.c - every program begins with MainThread; a thread may have a name of its own. */
#include "lesson.h"

#include <weft/thread.h>

static void say(const char *text)
{
    char name[32];
    printf("thread %s %s\n", weft_thread_name(weft_thread_self(), name, sizeof name), text);
}

static int loop(void *arg)
{
    (void)arg;
    say("is running...");
    for (int n = 1; n <= 5; n++) {
        char text[16];
        snprintf(text, sizeof text, ">>> %d", n);
        say(text);
        lesson_sleep(1);
    }
    say("ended.");
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t = WEFT_THREAD_INIT;
    say("is running...");
    must(weft_thread_start(&t, loop, NULL, &(weft_thread_options){.name = "LoopThread"}));
    weft_thread_join(&t, NULL, WEFT_FOREVER);
    say("ended.");
    return 0;
}
