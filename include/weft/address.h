/* weft/address.h - socket addresses as values: of IPv4 and IPv6 hosts with a port, and of Unix sockets.
 *
 *     weft_address a;
 *     int err = weft_address_parse(&a, "192.168.1.5:8888");
 *     char text[WEFT_ADDRESS_MAX];
 *     weft_address_text(&a, text);
 *
 * As text they are "127.0.0.1:8000", "[::1]:8000", "unix:/run/some.sock" and "unix:@name" (an abstract name, which is
 * no file). An address is plain data and may be copied; its members are the kernel's and may be read and written.
 * All but the look-ups may be called from anywhere, wait for nothing and allocate nothing. */
#ifndef WEFT_ADDRESS_H
#define WEFT_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_ADDRESS_MAX = 128 /* bytes that hold any address as text, "[fe80::1%eth0]:8000" say, with its final 0 */
};

typedef struct weft_address {
    socklen_t size; /* 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
} weft_address;

/* Read an address: "1.2.3.4:80", "[::1]:80", "unix:/path", "unix:@name"; without a port ("1.2.3.4", "::1") it is 0.
 * Numbers only: a name of a host is -EINVAL, as is what is out of range (a part of 256, a port of 65536, an interface
 * that is neither a name here nor a number); a path that is too long is -ENAMETOOLONG. */
WEFT_API int weft_address_parse(weft_address *a, const char *text);

/* The same from a host ("127.0.0.1", "::1", "[::1]", "fe80::1%eth0"; "" = "0.0.0.0") and a port. */
WEFT_API int weft_address_of(weft_address *a, const char *host, unsigned port);

/* The address of a Unix socket: a path, or "@name" for an abstract name. 0, -EINVAL (empty), -ENAMETOOLONG (107 bytes
 * at the most). */
WEFT_API int weft_address_unix(weft_address *a, const char *path);

/* As text, see above; an IPv4 address mapped into IPv6 is shown as IPv4; "-" for none. Returns its length. */
WEFT_API int weft_address_text(const weft_address *a, char text[WEFT_ADDRESS_MAX]);

/* The host alone, without brackets. Returns its length. */
WEFT_API int weft_address_host(const weft_address *a, char text[WEFT_ADDRESS_MAX]);

/* The port; 0 where there is none. */
WEFT_API unsigned weft_address_port(const weft_address *a);

/* 1 when both are the same address and port, also when one of them is mapped into IPv6; else 0. */
WEFT_API int weft_address_equal(const weft_address *a, const weft_address *b);

/* What an address is good for. */
enum {
    WEFT_ADDRESS_NONE,       /* no IP address */
    WEFT_ADDRESS_ANY,        /* 0.0.0.0, :: : to listen at all addresses of this host */
    WEFT_ADDRESS_LOOPBACK,   /* 127.0.0.0/8, ::1: this host only */
    WEFT_ADDRESS_LINK_LOCAL, /* 169.254.0.0/16, fe80::/10: this cable only */
    WEFT_ADDRESS_PRIVATE,    /* 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7: this network only */
    WEFT_ADDRESS_MULTICAST,  /* 224.0.0.0/4, ff00::/8: a group of hosts */
    WEFT_ADDRESS_BROADCAST,  /* 255.255.255.255 */
    WEFT_ADDRESS_RESERVED,   /* other ranges that no host on the Internet has: for examples, tests, the future */
    WEFT_ADDRESS_PUBLIC      /* reachable from everywhere, as far as its number goes */
};
WEFT_API int weft_address_class(const weft_address *a);

/* Look up the addresses of a host, which may be a name ("localhost") or numeric, in the order in which they should be
 * tried; at most `max` of them (16 are looked at).
 * Returns how many; -ENOENT: no such name; -EAGAIN: the name server did not answer; -EMFILE, -ENFILE, -EINVAL,
 * -ENOMEM. Waits as long as the C library does; from a thread, or a coroutine (others go on). Any number of callers
 * at once. Allocates. */
WEFT_API int weft_address_lookup(weft_address *a, unsigned max, const char *host, unsigned port);

/* The name of the host at an address (reverse look-up), with a final 0, in `size` bytes; 1025 hold any. Anybody may
 * have put it there who manages the address: it proves nothing. Returns its length; -ENOENT: it has none; -EAGAIN: the
 * name server did not answer; -ENAMETOOLONG; -EINVAL: no IP address, or size 0. Otherwise as weft_address_lookup. */
WEFT_API int weft_address_name(const weft_address *a, char *name, size_t size);

#ifdef __cplusplus
}
#endif
#endif
