/* tcp_header.c - TCP 头部: what the bytes in front of the data say. Those of a whole connection are shown: three times to
 * begin (三次握手), a request and its answer, four times to end (四次挥手).
 *
 *     --hex=BYTES   a captured header, from its source port on: 1f90c350... */
#include "lesson.h"

#include <ctype.h>

enum {
    FIN = 1,
    SYN = 2,
    ACK = 16
};

typedef struct tcp_header {
    unsigned from, to;           /* ports, 2 bytes each */
    uint32_t sequence, accepted; /* 4 bytes each */
    unsigned length, flags;      /* of the header in bytes: 4 bits of words; FIN, SYN, ACK ... */
} tcp_header;

static uint32_t number(const unsigned char *bytes, int n)
{
    uint32_t sum = 0;
    while (n-- > 0)
        sum = sum << 8 | *bytes++;
    return sum;
}

/* Read a header of 20 bytes and more; 0 when it is none. */
static int decode(tcp_header *h, const unsigned char *bytes, size_t n)
{
    if (n < 20)
        return 0;
    *h = (tcp_header){number(bytes, 2),     number(bytes + 2, 2),  number(bytes + 4, 4),
                      number(bytes + 8, 4), (bytes[12] >> 4) * 4u, bytes[13]};
    return h->length >= 20 && h->length <= n;
}

static const char *meaning(const tcp_header *h)
{
    switch (h->flags & (SYN | ACK | FIN)) {
    case SYN:
        return "请求建立连接";
    case SYN | ACK:
        return "同意建立连接";
    case FIN:
    case FIN | ACK:
        return "请求断开连接";
    case ACK:
        return "确认";
    default:
        return "不属于任何连接的步骤";
    }
}

static void print(const tcp_header *h, unsigned data)
{
    printf("%u -> %u 序号=%u 确认号=%u SYN=%d ACK=%d FIN=%d %s", h->from, h->to, h->sequence, h->accepted,
           (h->flags & SYN) != 0, (h->flags & ACK) != 0, (h->flags & FIN) != 0, meaning(h));
    if (data > 0) /* the next one goes on behind it, and so does the other's number of acknowledgement */
        printf(" 数据 %u..%u, 期待的确认号 %u", h->sequence, h->sequence + data - 1, h->sequence + data);
    putchar('\n');
}

/* As it would be sent. */
static void encode(unsigned char bytes[20], const tcp_header *h)
{
    const uint32_t fields[] = {h->from << 16 | h->to, h->sequence, h->accepted, 5u << 28 | h->flags << 16 | 65535, 0};
    for (int i = 0; i < 20; i++)
        bytes[i] = (unsigned char)(fields[i / 4] >> (24 - 8 * (i % 4)));
}

static int print_hex(const char *text)
{
    unsigned char bytes[64];
    size_t n = 0;
    tcp_header h;
    for (unsigned byte; n < sizeof bytes && isxdigit((unsigned char)text[0]) && sscanf(text, "%2x", &byte) == 1; n++) {
        bytes[n] = (unsigned char)byte;
        text += isxdigit((unsigned char)text[1]) ? 2 : 1;
    }
    if (*text != 0 || !decode(&h, bytes, n)) {
        fprintf(stderr, "tcp_header: --hex wants the 20 to 60 bytes of a header as pairs of hexadecimal digits\n");
        return 1;
    }
    print(&h, 0);
    return 0;
}

int main(int argc, char **argv)
{
    enum {
        CLIENT = 50000,
        SERVER = 8888
    };
    static const struct {
        const char *title;
        tcp_header head;
        unsigned data;
    } steps[] = {
        {"三次握手", {CLIENT, SERVER, 300, 0, 20, SYN}, 0},
        {NULL, {SERVER, CLIENT, 500, 301, 20, SYN | ACK}, 0},
        {NULL, {CLIENT, SERVER, 301, 501, 20, ACK}, 0},
        {"传输数据", {CLIENT, SERVER, 301, 501, 20, ACK}, 100},
        {NULL, {SERVER, CLIENT, 501, 401, 20, ACK}, 200},
        {NULL, {CLIENT, SERVER, 401, 701, 20, ACK}, 0},
        {"四次挥手", {CLIENT, SERVER, 401, 701, 20, FIN | ACK}, 0},
        {NULL, {SERVER, CLIENT, 701, 402, 20, ACK}, 0},
        {NULL, {SERVER, CLIENT, 701, 402, 20, FIN | ACK}, 0},
        {NULL, {CLIENT, SERVER, 402, 702, 20, ACK}, 0},
    };
    unsigned char bytes[20];
    tcp_header h;
    lesson_begin(argc, argv);
    if (lesson_value("--hex") != NULL)
        return print_hex(lesson_value("--hex"));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].title != NULL)
            printf("%s:\n", steps[i].title);
        encode(bytes, &steps[i].head);
        if (!decode(&h, bytes, sizeof bytes))
            return 1;
        print(&h, steps[i].data);
    }
    return 0;
}
