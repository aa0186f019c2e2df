/* address.c - addresses as values: what net.c knows of them, for everybody. See weft/address.h; net.c reads and writes
 * the numbers, io/tcp.c looks names up. Pinned by tests/io/address_test.c. */
#include "sys/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int weft_address_of(weft_address *a, const char *host, unsigned port)
{
    return weft__address_parse(a, host[0] == 0 ? "0.0.0.0" : host, port);
}

int weft_address_unix(weft_address *a, const char *path)
{
    size_t size = strlen(path);
    bool abstract = path[0] == '@';
    if (size == 0)
        return -EINVAL;
    if (size >= sizeof a->un.sun_path)
        return -ENAMETOOLONG;
    memset(a, 0, sizeof *a);
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path, size);
    if (abstract)
        a->un.sun_path[0] = 0;
    a->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + !abstract);
    return 0;
}

/* 0 to 65535 in decimal, nothing else. */
static int parse_port(const char *text, unsigned *port)
{
    *port = 0;
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 5 || text[n] != 0)
        return -EINVAL;
    *port = (unsigned)strtoul(text, NULL, 10);
    return *port > 65535 ? -EINVAL : 0;
}

int weft_address_parse(weft_address *a, const char *text)
{
    char host[WEFT_ADDRESS_MAX];
    unsigned port = 0;
    if (strncmp(text, "unix:", 5) == 0)
        return weft_address_unix(a, text + 5);
    size_t size = strlen(text);
    if (size == 0 || size >= sizeof host)
        return -EINVAL;
    memcpy(host, text, size + 1);
    /* The last colon begins a port, unless it is one of several in an IPv6 address without brackets. */
    char *colon = strrchr(host, ':');
    if (colon != NULL && (strchr(host, ':') == colon || (colon > host && colon[-1] == ']'))) {
        int err = parse_port(colon + 1, &port);
        if (err < 0)
            return err;
        *colon = 0;
    }
    return weft__address_parse(a, host, port);
}

int weft_address_text(const weft_address *a, char text[WEFT_ADDRESS_MAX])
{
    return weft__address_text(a, text, WEFT_ADDRESS_MAX);
}

int weft_address_host(const weft_address *a, char text[WEFT_ADDRESS_MAX])
{
    return weft__address_host(a, text, WEFT_ADDRESS_MAX);
}

unsigned weft_address_port(const weft_address *a)
{
    return weft__address_port(a);
}

void weft__address_unmap(weft_address *a)
{
    if (a->size == 0 || a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return;
    weft_address v4 = {.size = sizeof v4.in};
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = a->in6.sin6_port;
    memcpy(&v4.in.sin_addr, &a->in6.sin6_addr.s6_addr[12], 4);
    *a = v4;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

uint64_t weft__address_client(const weft__address *a, uint64_t seed)
{
    weft__address plain = *a;
    uint64_t n = 0;
    weft__address_unmap(&plain);
    if (plain.size != 0 && plain.any.sa_family == AF_INET)
        n = UINT64_C(1) << 32 | plain.in.sin_addr.s_addr;
    else if (plain.size != 0 && plain.any.sa_family == AF_INET6)
        memcpy(&n, &plain.in6.sin6_addr, sizeof n); /* the first half */
    return mix(n ^ seed);
}

void weft__address_map(weft_address *a)
{
    if (a->size == 0 || a->any.sa_family != AF_INET)
        return;
    weft_address v6 = {.size = sizeof v6.in6};
    v6.in6.sin6_family = AF_INET6;
    v6.in6.sin6_port = a->in.sin_port;
    memset(&v6.in6.sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&v6.in6.sin6_addr.s6_addr[12], &a->in.sin_addr, 4);
    *a = v6;
}

int weft_address_equal(const weft_address *a, const weft_address *b)
{
    weft_address x = *a, y = *b;
    weft__address_unmap(&x);
    weft__address_unmap(&y);
    if (x.size == 0 || y.size == 0)
        return x.size == y.size;
    if (x.any.sa_family != y.any.sa_family)
        return 0;
    if (x.any.sa_family == AF_INET)
        return x.in.sin_port == y.in.sin_port && x.in.sin_addr.s_addr == y.in.sin_addr.s_addr;
    if (x.any.sa_family == AF_INET6)
        return x.in6.sin6_port == y.in6.sin6_port && x.in6.sin6_scope_id == y.in6.sin6_scope_id &&
               memcmp(&x.in6.sin6_addr, &y.in6.sin6_addr, sizeof x.in6.sin6_addr) == 0;
    return x.size == y.size && memcmp(&x.any, &y.any, x.size) == 0;
}

/* ---- classes ---- */

/* The first `bits` of a are those of b. */
typedef struct range {
    uint32_t bytes;
    unsigned char bits, class;
} range;

static const range v4_ranges[] = {
    {0x00000000, 32, WEFT_ADDRESS_ANY},      {0xffffffff, 32, WEFT_ADDRESS_BROADCAST},
    {0x7f000000, 8, WEFT_ADDRESS_LOOPBACK},  {0xa9fe0000, 16, WEFT_ADDRESS_LINK_LOCAL},
    {0x0a000000, 8, WEFT_ADDRESS_PRIVATE},   {0xac100000, 12, WEFT_ADDRESS_PRIVATE},
    {0xc0a80000, 16, WEFT_ADDRESS_PRIVATE},  {0x64400000, 10, WEFT_ADDRESS_PRIVATE},
    {0xe0000000, 4, WEFT_ADDRESS_MULTICAST}, {0x00000000, 8, WEFT_ADDRESS_RESERVED},
    {0xc0000000, 24, WEFT_ADDRESS_RESERVED}, {0xc0000200, 24, WEFT_ADDRESS_RESERVED},
    {0xc6336400, 24, WEFT_ADDRESS_RESERVED}, {0xcb007100, 24, WEFT_ADDRESS_RESERVED},
    {0xc6120000, 15, WEFT_ADDRESS_RESERVED}, {0xf0000000, 4, WEFT_ADDRESS_RESERVED},
};

static int class_of_v4(uint32_t bytes)
{
    for (unsigned i = 0; i < sizeof v4_ranges / sizeof v4_ranges[0]; i++)
        if ((bytes ^ v4_ranges[i].bytes) >> (32 - v4_ranges[i].bits) == 0)
            return v4_ranges[i].class;
    return WEFT_ADDRESS_PUBLIC;
}

static int class_of_v6(const unsigned char *b)
{
    static const unsigned char zeros[15];
    if (memcmp(b, zeros, 15) == 0 && b[15] <= 1)
        return b[15] == 0 ? WEFT_ADDRESS_ANY : WEFT_ADDRESS_LOOPBACK;
    if (b[0] == 0xff)
        return WEFT_ADDRESS_MULTICAST;
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
        return WEFT_ADDRESS_LINK_LOCAL;
    if ((b[0] & 0xfe) == 0xfc)
        return WEFT_ADDRESS_PRIVATE;
    bool example = b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8;
    return (b[0] & 0xe0) == 0x20 && !example ? WEFT_ADDRESS_PUBLIC : WEFT_ADDRESS_RESERVED;
}

int weft_address_class(const weft_address *a)
{
    weft_address x = *a;
    weft__address_unmap(&x);
    if (x.size == 0)
        return WEFT_ADDRESS_NONE;
    return x.any.sa_family == AF_INET    ? class_of_v4(ntohl(x.in.sin_addr.s_addr))
           : x.any.sa_family == AF_INET6 ? class_of_v6(x.in6.sin6_addr.s6_addr)
                                         : WEFT_ADDRESS_NONE;
}
