/* unix.h - Unix sockets that have a name in the file system: taking the name and giving it back. */
#ifndef WEFT_SYS_UNIX_H
#define WEFT_SYS_UNIX_H

#include "sys/net.h"

/* A socket's file, so that nothing else is removed when it ends. */
typedef struct weft__socket_file {
    uint64_t device, inode; /* inode 0: none (an abstract name) */
    pid_t owner;
    char path[sizeof(struct sockaddr_un)];
} weft__socket_file;

/* Bind fd to the address, with this mode for its file (0 = 0600), and listen when backlog is not 0. A socket file that
 * nobody has open any more is replaced; the directory is locked (flock) meanwhile, so that two who do so at once do not
 * take each other's. Works on the file system: call it through weft_blocking. 0, -EADDRINUSE, -EACCES, -ENOENT ... */
int weft__sys_bind_unix(int fd, const weft__address *a, unsigned mode, unsigned backlog, weft__socket_file *file);

/* Remove the file, if it is still that one and this the process that made it. */
void weft__sys_unbind_unix(weft__socket_file *file);

#endif
