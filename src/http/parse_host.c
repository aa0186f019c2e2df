/* parse_host.c - is this text a host and port (RFC 3986 3.2.2, 3.2.3)? */
#include "http/parse.h"
#include "http/parse_scan.h"

/* Four decimal numbers from 0 to 255 without leading zeros. */
static bool ipv4_valid(const char *p, const char *end)
{
    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        const char *first = p;
        while (p < end && *p >= '0' && *p <= '9' && p - first < 3)
            value = value * 10 + (unsigned)(*p++ - '0');
        if (p == first || value > 255 || (*first == '0' && p - first > 1))
            return false;
        if (part < 3 && (p == end || *p++ != '.'))
            return false;
    }
    return p == end;
}

/* Eight groups of up to four hexadecimal digits; "::" once for one or more groups of zero; the last two groups may be
 * an IPv4 address. Zone identifiers belong to one machine and are refused. */
static bool ipv6_valid(const char *p, const char *end)
{
    int groups = 0;
    bool gap = false;

    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = true;
        p += 2;
    }
    while (p < end) {
        const char *first = p;
        while (p < end && p - first < 4 && weft__byte_is(*p, WEFT__BYTE_HEX))
            p++;
        if (p < end && *p == '.') {
            groups += 2;
            return ipv4_valid(first, end) && (gap ? groups < 8 : groups == 8);
        }
        if (p == first)
            return false;
        groups++;
        if (p == end)
            break;
        if (*p++ != ':' || p == end)
            return false;
        if (*p == ':') {
            if (gap)
                return false;
            gap = true;
            p++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

static bool port_valid(const char *p, const char *end)
{
    unsigned value = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        value = value * 10 + (unsigned)(*p - '0');
        if (value > 65535)
            return false;
    }
    return true;
}

bool weft__http_host_valid(const char *name, size_t len)
{
    const char *p = name;
    const char *end = name + len;

    if (len == 0)
        return false;
    if (*p == '[') {
        const char *close = memchr(p, ']', len);
        if (close == NULL || !ipv6_valid(p + 1, close))
            return false;
        p = close + 1;
    } else {
        while (p < end && *p != ':') {
            if (weft__byte_is(*p, WEFT__BYTE_HOST)) {
                p++;
            } else if (*p == '%' && end - p >= 3 && weft__byte_is(p[1], WEFT__BYTE_HEX) &&
                       weft__byte_is(p[2], WEFT__BYTE_HEX)) {
                p += 3;
            } else {
                return false;
            }
        }
        if (p == name)
            return false;
    }
    return p == end || (*p == ':' && port_valid(p + 1, end));
}
