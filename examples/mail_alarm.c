/* mail_alarm.c - monitoring with alarms by mail: the monitor only puts the mail into the queue and goes on watching.
 *
 * Sending takes long, and the monitor must not miss the next reading meanwhile. A queue of the program stands in for
 * the middleware (redis) of the text. */
#include "lesson.h"

#include <weft/queue.h>
#include <weft/thread.h>

typedef struct mail {
    char to[32], text[64];
} mail;

static weft_queue *outbox;

static int monitor(void *arg)
{
    (void)arg;
    static const int load[] = {35, 92, 41, 97, 99, 20};
    for (size_t i = 0; i < sizeof load / sizeof load[0]; i++) {
        printf("监控: cpu %d%%\n", load[i]);
        if (load[i] > 90) {
            mail m = {.to = "admin@example.com"};
            snprintf(m.text, sizeof m.text, "报警: cpu %d%%", load[i]);
            must(weft_queue_put(outbox, &m, WEFT_FOREVER));
        }
        lesson_sleep(0.2);
    }
    return 0;
}

static int send_mails(void *arg)
{
    (void)arg;
    mail m;
    while (weft_queue_get(outbox, &m, WEFT_FOREVER) == 0) {
        lesson_sleep(0.5); /* the sending */
        printf("发送邮件给 %s: %s\n", m.to, m.text);
    }
    return 0;
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_thread producer = WEFT_THREAD_INIT, consumer = WEFT_THREAD_INIT;
    must(weft_queue_new(&outbox, sizeof(mail), NULL));
    must(weft_thread_start(&producer, monitor, NULL, NULL));
    must(weft_thread_start(&consumer, send_mails, NULL, NULL));
    weft_thread_join(&producer, NULL, WEFT_FOREVER);
    weft_queue_close(outbox, WEFT_CLOSE_DRAIN);
    weft_thread_join(&consumer, NULL, WEFT_FOREVER);
    weft_queue_free(outbox);
    return 0;
}
