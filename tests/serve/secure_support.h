/* secure_support.h - TLS for the clients of the server's tests: blocking calls on a descriptor, by OpenSSL itself, so
 * that nothing of weft is on their side. The handshake is made by the first call that sends or receives. */
#ifndef TESTS_SERVE_SECURE_SUPPORT_H
#define TESTS_SERVE_SECURE_SUPPORT_H

#include <weft/tls.h>

#include <stdbool.h>
#include <sys/types.h>

/* A server's context, with a certificate for localhost; the same one each time. *ca: what is to be trusted. */
weft_tls *secure_server(const char **ca);

/* Speak TLS on fd from now on. */
void secure_client_begin(int fd);
bool secure_client_is(int fd);

/* As send and recv: a count, 0: the server has ended the session; or -1 and errno: EPROTO: truncated, or no TLS. */
ssize_t secure_client_send(int fd, const void *data, size_t size);
ssize_t secure_client_recv(int fd, void *buf, size_t size);

/* Send without waiting, at best the next step of the handshake: the count; or -1 and errno, EAGAIN: *events (of poll)
 * must come first. */
ssize_t secure_client_try_send(int fd, const void *data, size_t size, short *events);

/* What a client says first. Returns the count of its bytes. */
size_t secure_client_hello(void *buf, size_t size);

/* Tell the server that this is all, once the socket has room for it, or if it has; or forget the session. */
void secure_client_finish(int fd, bool wait);
void secure_client_forget(int fd);

#endif
