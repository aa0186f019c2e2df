/* sms.c - tasks for later (定时发短信的任务): one after a delay, one again and again, one taken back in time. */
#include "lesson.h"

#include <weft/timer.h>

static weft_sem sent;

static int64_t seconds(double s)
{
    return (int64_t)(s * (double)WEFT_SECOND) / (lesson_flag("--fast") ? 20 : 1);
}

static void send_sms(weft_timer *t)
{
    printf("发送短信: %s\n", (const char *)t->arg);
    V(&sent);
}

int main(int argc, char **argv)
{
    lesson_begin(argc, argv);
    weft_timer code = {.arg = "验证码 1024"}, news = {.arg = "天气预报"}, wrong = {.arg = "不该发出"};
    must(weft_timer_start(&code, send_sms, weft_in(seconds(0.5)), 0));
    must(weft_timer_start(&wrong, send_sms, weft_in(seconds(600)), 0));
    must(weft_timer_start(&news, send_sms, weft_in(seconds(1)), seconds(1)));
    puts("任务已提交");
    if (weft_timer_cancel(&wrong) == 1)
        puts("已取消一个任务");
    for (int i = 0; i < 4; i++) /* the code once, the news three times */
        P(&sent);
    weft_timer_cancel(&news);
    return 0;
}
