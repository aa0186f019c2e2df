/* lesson.h - what the lessons share. Each lesson is a whole program: cc noodle.c -lweft, or weft lesson run noodle.
 *
 *     --fast     the same text in the same order, with sleeps of a twentieth and loops of a hundredth
 *     --unsafe   without the protection that the lesson is about, and wrong every time
 *
 * Other flags are a lesson's own. Threads print whole lines by one printf each, so lines never run into each other. */
#ifndef LESSON_H
#define LESSON_H

#include <weft/co.h>
#include <weft/deadlock.h>
#include <weft/event.h>
#include <weft/sem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char **lesson_flags;

/* 1 when the lesson was started with this flag. */
static inline int lesson_flag(const char *flag)
{
    for (char **p = lesson_flags; p != NULL && *p != NULL; p++)
        if (strcmp(*p, flag) == 0)
            return 1;
    return 0;
}

/* The first line of each main. */
static inline void lesson_begin(int argc, char **argv)
{
    lesson_flags = argc > 0 ? argv + 1 : NULL;
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line is seen when it is printed, also through a pipe */
    srandom((unsigned)weft_now());
}

static inline int lesson_unsafe(void)
{
    return lesson_flag("--unsafe");
}

/* A result of weft; one that says failure ends the lesson. */
static inline int must(int result)
{
    if (result < 0) {
        fprintf(stderr, "lesson: %s\n", weft_strerror(result));
        _exit(1);
    }
    return result;
}

/* ---- time and numbers ---- */

static inline void lesson_sleep(double seconds)
{
    weft_sleep(weft_in_seconds(lesson_flag("--fast") ? seconds / 20 : seconds));
}

/* How often a long loop goes round. */
static inline int lesson_rounds(int n)
{
    return lesson_flag("--fast") ? n / 100 : n;
}

/* A random number from 0 up to `most`. */
static inline double lesson_random(double most)
{
    return most * (double)random() / (double)RAND_MAX;
}

/* The line by which main says that it runs beside its threads. */
static inline void lesson_print_main_time(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
    printf("This is main function at:%s\n", text);
}

/* ---- the worst moment to lose the processor ----
 *
 * The unsafe form of a lesson would only sometimes be wrong: when a thread is switched out between two steps that
 * belong together. Here one thread calls lesson_switched_out between them, and gets the processor back when the main
 * thread calls lesson_switch_in. */

static weft_event lesson_is_out, lesson_is_in;

static inline void lesson_switched_out(void)
{
    weft_event_set(&lesson_is_out);
    weft_event_wait(&lesson_is_in, WEFT_FOREVER);
}

static inline void lesson_wait_switched_out(void)
{
    weft_event_wait(&lesson_is_out, WEFT_FOREVER);
}

static inline void lesson_switch_in(void)
{
    weft_event_set(&lesson_is_in);
}

/* ---- P and V, as the textbooks call the two operations of a semaphore ---- */

static inline void P(weft_sem *s)
{
    weft_sem_acquire(s, WEFT_FOREVER);
}

static inline void V(weft_sem *s)
{
    weft_sem_release(s, 1);
}

/* ---- deadlocks ---- */

static inline void lesson_report_and_end(const weft_deadlock *d, void *arg)
{
    (void)arg;
    fputs(d->text, stdout);
    fflush(stdout);
    _exit(0); /* exit would wait for the threads, which wait for each other */
}

/* A deadlock that weft finds is printed, and ends the lesson; otherwise the lesson would hang for ever. */
static inline void lesson_end_at_deadlock(void)
{
    weft_deadlock_set(WEFT_DEADLOCK_REPORT, lesson_report_and_end, NULL);
}

#endif
