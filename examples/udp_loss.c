/* udp_loss.c - UDP may lose what is sent; who wants it all has to do something for it. The server has room for a few
 * datagrams and needs a moment for each, the client sends a hundred at once. First without a second thought: what is
 * lost is lost. Then reliably: each datagram has a number, the server returns the number of each that arrives, and
 * what is not confirmed is sent again. */
#include "lesson.h"

#include <weft/datagram.h>
#include <weft/packet.h>

enum {
    MESSAGES = 100
};

/* ---- server ---- */

static void confirm(weft_packet *p, void *arg)
{
    char number[16] = "";
    (void)arg;
    lesson_sleep(0.01); /* busy: meanwhile the others fill the kernel's queue */
    memcpy(number, p->data, p->size < sizeof number ? p->size : sizeof number - 1);
    number[strcspn(number, " ")] = 0;
    weft_packet_answer(p, number, strlen(number));
}

static int server(void *s)
{
    must(weft_server_start(s));
    weft_server_wait(s, WEFT_FOREVER); /* until this thread is cancelled: Ctrl-C */
    weft_shield(1);
    weft_server_stop(s, WEFT_NOW);
    return weft_server_wait(s, WEFT_FOREVER);
}

/* ---- client ---- */

static bool confirmed[MESSAGES + 1];

static int send_unconfirmed(weft_datagram *d)
{
    char text[64];
    int sent = 0;
    for (int i = 1; i <= MESSAGES; i++)
        if (!confirmed[i]) {
            int n = snprintf(text, sizeof text, "%d 第%d条消息", i, i);
            must((int)weft_datagram_send(d, text, (size_t)n, NULL, WEFT_FOREVER));
            sent++;
        }
    return sent;
}

/* How many are confirmed, when nothing more has come for a while. */
static int hear(weft_datagram *d)
{
    char number[16];
    int count = 0;
    for (ssize_t n; (n = weft_datagram_recv(d, number, sizeof number - 1, NULL, lesson_in(0.2))) >= 0;) {
        number[n] = 0;
        int i = atoi(number);
        if (i >= 1 && i <= MESSAGES)
            confirmed[i] = true;
    }
    for (int i = 1; i <= MESSAGES; i++)
        count += confirmed[i];
    return count;
}

static int client(unsigned port)
{
    weft_datagram *d;
    int sent, arrived, rounds = 0;
    must(weft_udp_connect(&d, NULL, port, NULL));
    sent = send_unconfirmed(d);
    arrived = hear(d);
    printf("不可靠: 发送了%d个, 到达%d个, 丢失%d个\n", sent, arrived, sent - arrived);
    memset(confirmed, 0, sizeof confirmed);
    for (arrived = sent = 0; arrived < MESSAGES; rounds++) {
        sent += send_unconfirmed(d);
        arrived = hear(d);
        printf("第%d轮: 确认了%d个\n", rounds + 1, arrived);
    }
    printf("可靠: 发送了%d次, %d个全部到达\n", sent, arrived);
    weft_datagram_close(d);
    return 0;
}

int main(int argc, char **argv)
{
    weft_server *s = NULL;
    lesson_begin(argc, argv);
    if (lesson_value("--client") == NULL)
        must(
            weft_server_open(&s, &(weft_server_options){.packet = {.handler = confirm, .queue = 4, .recv_buffer = 6000},
                                                        .port = lesson_port("--server"),
                                                        .model = "iterative"}));
    lesson_pair p = {server, s, client, NULL};
    int failed = lesson_run(&p, s != NULL ? weft_server_port(s) : 0, NULL);
    weft_server_close(s);
    return failed;
}
