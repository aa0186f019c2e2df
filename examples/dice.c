/* dice.c - an event: a judge starts three rounds, in each of which two players throw one dice; the higher one wins.
 *
 * Setting the event wakes both players; cleared, it holds them back for the next round. The two semaphores keep the
 * rounds apart also on a machine so busy that the pauses alone would not. */
#include "lesson.h"

#include <weft/thread.h>

static weft_event event;
static weft_sem thrown, cleared;
static int points[3], over;

static int judge(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        puts("start game!");
        weft_event_set(&event);
        lesson_sleep(1);
        P(&thrown);
        P(&thrown);
        weft_event_clear(&event);
        printf("Stop! judging... %s win!\n", points[1] == points[2]  ? "both"
                                             : points[1] > points[2] ? "player1"
                                                                     : "player2");
        V(&cleared);
        V(&cleared);
        lesson_sleep(1);
    }
    puts("game over by judge!");
    return 0;
}

static int player(void *arg)
{
    int k = (int)(intptr_t)arg;
    for (;;) {
        weft_event_wait(&event, WEFT_FOREVER);
        if (over)
            break;
        points[k] = 1 + (int)(random() % 6);
        printf("player%d get %d\n", k, points[k]);
        V(&thrown);
        lesson_sleep(1.5);
        P(&cleared);
    }
    printf("player%d quit!\n", k);
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread j = WEFT_THREAD_INIT, players[2] = {0};
    for (int i = 0; i < 2; i++)
        must(weft_thread_start(&players[i], player, (void *)(intptr_t)(i + 1), NULL));
    must(weft_thread_start(&j, judge, NULL, NULL));
    weft_thread_join(&j, NULL, WEFT_FOREVER);
    over = 1; /* seen by the players, who pass the event after it was set */
    weft_event_set(&event);
    for (int i = 0; i < 2; i++)
        weft_thread_join(&players[i], NULL, WEFT_FOREVER);
    return 0;
}
