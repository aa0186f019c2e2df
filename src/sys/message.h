/* message.h - datagrams with descriptors between processes, and files that live in memory. Results are >= 0 or -errno;
 * interrupted calls are made again; nothing here waits (-EAGAIN). */
#ifndef WEFT_SYS_MESSAGE_H
#define WEFT_SYS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    WEFT__FDS_MAX = 253 /* the kernel's SCM_MAX_FD */
};

typedef struct weft__message {
    void *head; /* goes first */
    size_t head_size;
    void *data; /* goes second; may be NULL with size 0 */
    size_t size;
    void *spill; /* receive: takes what data has no room for */
    size_t spill_size;
    int *fds;
    unsigned fd_count; /* receive: their room before, their number after; they come close-on-exec */
} weft__message;

/* A connected pair of SOCK_SEQPACKET sockets, close-on-exec, blocking. */
int weft__sys_message_pair(int fds[2]);
bool weft__sys_is_message_socket(int fd);

/* 0: the whole message went. -EPIPE: nobody is there to receive; no signal. */
int weft__sys_message_send(int fd, const weft__message *m);

/* The same of a stream: some of the bytes go, and with the first of them the descriptors. How many bytes, or -errno. */
long weft__sys_send_fds(int fd, const void *data, size_t size, const int *fds, unsigned n);

/* What there is of a stream's bytes, and the descriptors that came along, close-on-exec: *n is their room before and
 * their number after; more are closed. The count, 0 at the end, or -errno. */
long weft__sys_recv_fds(int fd, void *buf, size_t size, int *fds, unsigned *n);

/* Take the next message: its size as far as there was room; 0 at the end. What there was no room for is lost, -EMSGSIZE
 * when that is so. */
long weft__sys_message_receive(int fd, weft__message *m);

/* Copy its beginning and leave it there. */
long weft__sys_message_peek(int fd, void *head, size_t size);

/* A memory file with this content that nobody can change any more; or the descriptor's error. */
int weft__sys_memory_file(const void *data, size_t size);

/* Read exactly `size` bytes from its beginning: 0, or -EPROTO when it has another size. */
int weft__sys_memory_file_read(int fd, void *data, size_t size);

#endif
