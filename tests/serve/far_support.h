/* far_support.h - many clients in a process of their own, so that their descriptors are not the server's. */
#ifndef TESTS_FAR_SUPPORT_H
#define TESTS_FAR_SUPPORT_H

#include "serve/serve_support.h"

struct far_clients {
    pid_t pid;
    int to, from;
};

/* A process that opens `count` connections when it is given a port, says `line` on each, reports, and holds them. With
 * TLS, as the kind has it, it reports when all have begun, and goes on with the handshakes as the server does. */
struct far_clients far_start(const serve_kind *kind, int count, const char *line);
void far_go(struct far_clients *far, unsigned port);
void far_end(struct far_clients *far);

/* What this process and all below it take of the processors in so many microseconds, at the least of five times. Ends
 * early when that is below `enough`. */
double far_idle_seconds(unsigned us, double enough);

#endif
