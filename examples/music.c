/* music.c - a thread class with an argument of its own: it plays a song three times. */
#include "lesson.h"

#include <weft/thread.h>

typedef struct player {
    weft_thread thread;
    const char *song;
} player;

static int play(weft_thread *t)
{
    player *self = WEFT_CONTAINER(t, player, thread);
    for (int i = 0; i < 3; i++) {
        printf("playing %s:%s\n", self->song, lesson_ctime());
        lesson_sleep(2);
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    player p = {WEFT_THREAD_INIT, "凉凉"};
    must(weft_thread_run(&p.thread, play, NULL));
    weft_thread_join(&p.thread, NULL, WEFT_FOREVER);
    return 0;
}
