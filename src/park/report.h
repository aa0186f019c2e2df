/* report.h - what other layers need for reports of their own: the watch thread, and where reports go. */
#ifndef WEFT_PARK_REPORT_H
#define WEFT_PARK_REPORT_H

#include "park/symbol.h"

enum {
    WEFT__OBJECT_NAME = 32
};

/* What weft_name_object said, or a variable's name; "" when there is none. */
void weft__report_object_name(weft__symbols *s, const void *object, char buf[WEFT__OBJECT_NAME]);

/* Send a report about the order of locks to where reports go. On the watch thread. */
void weft__report_order(const char *text, size_t length);

/* A call on the watch thread, in the caller's memory until fn is called, which may free it. */
typedef struct weft__watch_job {
    struct weft__watch_job *next;
    void (*fn)(struct weft__watch_job *job);
} weft__watch_job;

/* Have job->fn(job) called there, soon; never, where no thread can be had. */
void weft__watch_call(weft__watch_job *job);

#endif
