/* pollers.c - select, poll and epoll compared: how many descriptors each can watch, and what it costs to be woken by
 * one of them, in microseconds. select and poll look at all of them each time; epoll and io_uring are told which. */
#include "lesson.h"

#include <weft/poller.h>

#include <sys/eventfd.h>
#include <sys/resource.h>

enum {
    MOST = 10000
};

static const char *const kinds[] = {"select", "poll", "epoll", "epoll-et", "uring"};
static int fds[MOST];

/* Descriptors that one can write to and then read from; returns how many there may be. */
static int open_all(void)
{
    struct rlimit files;
    int n = 0;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    while (n < MOST && (fds[n] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0)
        n++;
    return n;
}

/* One descriptor after the other gets something to read: wait for it, and read it. */
static void wake(weft_poller *p, int count, int times)
{
    for (int i = 0; i < times; i++) {
        weft_poll_event event;
        uint64_t number = 1;
        if (write(fds[i * 7919 % count], &number, sizeof number) < 0)
            must(-errno);
        must(weft_poller_wait(p, &event, 1, WEFT_FOREVER));
        if (read(event.fd, &number, sizeof number) < 0)
            must(-errno);
    }
}

/* Microseconds of one; of ten tries the quickest, in which nobody else had the processor. */
static double cost(weft_poller *p, int count)
{
    int times = lesson_rounds(300);
    int64_t best = INT64_MAX;
    for (int i = 0; i < 10; i++) {
        int64_t begin = weft_now();
        wake(p, count, times);
        int64_t took = weft_now() - begin;
        best = took < best ? took : best;
    }
    return (double)best / times / 1000;
}

static void show(weft_poller *p, const char *kind, int count)
{
    int err = 0;
    for (int i = (int)weft_poller_count(p); i < count && err == 0; i++) /* as many as there are, and the others */
        err = weft_poller_register(p, fds[i], WEFT_POLLIN, NULL);
    if (err == -EMFILE)
        printf("%s: %d个描述符: 超过1024\n", kind, count);
    else if (must(err) == 0)
        printf("%s: %d个描述符: 每次唤醒%.1f微秒\n", kind, count, cost(p, count));
}

int main(int argc, char **argv)
{
    enum {
        KINDS = sizeof kinds / sizeof *kinds
    };
    weft_poller *pollers[KINDS];
    lesson_begin(argc, argv);
    for (int k = 0; k < KINDS; k++) /* first: select needs numbers below 1024 itself */
        must(weft_poller_open(&pollers[k], kinds[k]));
    int most = open_all();
    for (int k = 0; k < KINDS; k++) {
        for (int count = 10; count <= most; count *= 10)
            show(pollers[k], kinds[k], count);
        weft_poller_close(pollers[k]);
    }
    return 0;
}
