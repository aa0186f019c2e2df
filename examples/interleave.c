/* interleave.c - 12A34B ... 5152Z: two threads take turns by two locks, each released by the other thread.
 *
 * A lock that is passed on like this says so (WEFT_LOCK_HANDOFF): its taker is not the one who will release it. */
#include "lesson.h"

#include <weft/lock.h>
#include <weft/thread.h>

static weft_lock numbers_turn, letters_turn;

static int print_numbers(void *arg)
{
    (void)arg;
    for (int n = 1; n <= 52; n += 2) {
        weft_lock_acquire(&numbers_turn);
        printf("%d\n%d\n", n, n + 1);
        weft_lock_release(&letters_turn);
    }
    return 0;
}

static int print_letters(void *arg)
{
    (void)arg;
    for (char c = 'A'; c <= 'Z'; c++) {
        weft_lock_acquire(&letters_turn);
        printf("%c\n", c);
        weft_lock_release(&numbers_turn);
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread t1 = WEFT_THREAD_INIT, t2 = WEFT_THREAD_INIT;
    must(weft_lock_init(&numbers_turn, WEFT_LOCK_HANDOFF));
    must(weft_lock_init(&letters_turn, WEFT_LOCK_HANDOFF));
    weft_lock_acquire(&letters_turn); /* the numbers begin */
    must(weft_thread_start(&t1, print_numbers, NULL, NULL));
    must(weft_thread_start(&t2, print_letters, NULL, NULL));
    weft_thread_join(&t1, NULL, WEFT_FOREVER);
    weft_thread_join(&t2, NULL, WEFT_FOREVER);
    return 0;
}
