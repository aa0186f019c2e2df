/* addresses.c - 本机的 IP 地址: the addresses of this machine, as ifconfig lists them, and what each is good for (公网,
 * 内网). With --address=TEXT: that one. */
#include "lesson.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <weft/address.h>

static const char *class_name(const weft_address *a)
{
    switch (weft_address_class(a)) {
    case WEFT_ADDRESS_ANY:
        return "本机的所有地址";
    case WEFT_ADDRESS_LOOPBACK:
        return "本机 (回环地址)";
    case WEFT_ADDRESS_LINK_LOCAL:
        return "同一链路";
    case WEFT_ADDRESS_PRIVATE:
        return "内网";
    case WEFT_ADDRESS_MULTICAST:
        return "组播";
    case WEFT_ADDRESS_BROADCAST:
        return "广播";
    case WEFT_ADDRESS_PUBLIC:
        return "公网";
    default:
        return "保留";
    }
}

int main(int argc, char **argv)
{
    char host[WEFT_ADDRESS_MAX];
    weft_address a;
    struct ifaddrs *all;
    lesson_begin(argc, argv);
    if (lesson_value("--address") != NULL) {
        if (weft_address_parse(&a, lesson_value("--address")) < 0) {
            fprintf(stderr, "addresses: 不是 IP 地址: %s\n", lesson_value("--address"));
            return 1;
        }
        weft_address_host(&a, host);
        printf("%s: %s\n", host, class_name(&a));
        return 0;
    }
    must(getifaddrs(&all) < 0 ? -errno : 0);
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr == NULL || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        a = (weft_address){.size = i->ifa_addr->sa_family == AF_INET ? sizeof a.in : sizeof a.in6};
        memcpy(&a.any, i->ifa_addr, a.size);
        weft_address_host(&a, host);
        printf("%s: %s %s%s\n", i->ifa_name, host, class_name(&a), i->ifa_flags & IFF_UP ? "" : " (未启用)");
    }
    freeifaddrs(all);
    return 0;
}
