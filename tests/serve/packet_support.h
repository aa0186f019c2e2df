/* packet_support.h - what the cases of datagram servers share: every model, and clients that are plain sockets. */
#ifndef TESTS_SERVE_PACKET_SUPPORT_H
#define TESTS_SERVE_PACKET_SUPPORT_H

#include "serve/serve_support.h"

#include <weft/packet.h>

#define PACKET_EVERY_MODEL(name)                                                                                       \
    static void name(const serve_kind *kind);                                                                          \
    SERVE__EVERY(60, name, )                                                                                           \
    static void name(const serve_kind *kind)

weft_packet_stats packet_stats(weft_server *s);

/* A socket that is connected to this port of serve_own_host(), and waits for 20 s at most. */
int packet_client(unsigned port);

/* One datagram with this text is sent; or is the next that comes. */
void packet_say(int fd, const char *text);
void packet_expect(int fd, const char *text);

#endif
