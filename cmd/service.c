/* service.c - what a program needs that runs for long: a word to the service manager, a file with its number, a
 * successor. See cmd.h.
 *
 * The successor's pipe raises a signal (O_ASYNC), so that one sigwait is all that the main thread waits in. Pinned by
 * tests/web/restart_test.py. */
#include "cmd.h"

#include <weft/handover.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    START_SECONDS = 60,
    NUMBER = 32,
    NAME = 4096
};

/* ---- the service manager ---- */

void cmd_notify(const char *fmt, ...)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t size = name != NULL ? strlen(name) : 0;
    if (size < 2 || size >= sizeof a.sun_path || (name[0] != '/' && name[0] != '@'))
        return;
    memcpy(a.sun_path, name, size);
    if (name[0] == '@')
        a.sun_path[0] = 0; /* in the abstract name space */
    char text[128];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&a,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    close(fd);
}

/* ---- whoever reads standard error ---- */

void cmd_say(const char *fmt, ...)
{
    char text[1024];
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t size = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT) != 0)
        (void)!write(STDERR_FILENO, text, size); /* less than what a pipe that has room takes whole */
}

int cmd_columns(int fd, int most)
{
    struct winsize size;
    bool told = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return told && size.ws_col <= most ? size.ws_col - 1 : most;
}

/* ---- the file with the number ---- */

/* Beside the file, for a rename. */
static int write_beside(const char *file, char name[NAME])
{
    char text[NUMBER];
    struct stat st;
    if (lstat(file, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP; /* a rename would put the file in the place of a device */
    if (snprintf(name, NAME, "%s.%d", file, (int)getpid()) >= NAME)
        return -ENAMETOOLONG;
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    int err = write(fd, text, (size_t)n) == n ? 0 : -EIO;
    if (close(fd) < 0 && err == 0)
        err = -errno;
    if (err < 0)
        unlink(name);
    return err;
}

int cmd_try_pid(const char *file)
{
    char name[NAME];
    int err = write_beside(file, name);
    if (err == 0)
        unlink(name);
    return err;
}

int cmd_write_pid(const char *file)
{
    char name[NAME];
    int err = write_beside(file, name);
    if (err == 0 && rename(name, file) < 0) {
        err = -errno;
        unlink(name);
    }
    return err;
}

void cmd_remove_pid(const char *file, pid_t pid)
{
    char text[NUMBER] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n > 0 && atoi(text) == pid)
        unlink(file);
}

/* ---- the successor ---- */

static void let_go(cmd_successor *s)
{
    weft_handover_free(s->handover);
    s->handover = NULL;
}

void cmd_start_successor(cmd_successor *s, weft_server *server)
{
    if (s->handover != NULL)
        return; /* one at a time */
    fflush(NULL);
    int err = weft_handover_start(&s->handover, server, cmd_command_line);
    if (err < 0) {
        cmd_say("%s: no successor could be started: %s; going on\n", s->command, weft_strerror(err));
        return;
    }
    s->give_up = weft_now() + START_SECONDS * WEFT_SECOND;
    int fd = weft_handover_sentinel(s->handover);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
    kill(getpid(), CMD_SUCCESSOR); /* it may have told already */
}

void cmd_end_successor(cmd_successor *s, const char *pid_file)
{
    if (s->handover == NULL)
        return;
    pid_t pid = weft_handover_pid(s->handover);
    let_go(s);
    if (pid_file != NULL)
        cmd_remove_pid(pid_file, pid); /* it was about to tell that it serves */
}

bool cmd_look_at_successor(cmd_successor *s)
{
    int code = 0;
    if (s->handover == NULL)
        return false;
    int err = weft_handover_wait(s->handover, &code, WEFT_NOW);
    if (err == -ETIMEDOUT && weft_now() < s->give_up)
        return false;
    if (err == -ETIMEDOUT)
        cmd_say("%s: the successor has not come to serve within %d s; going on\n", s->command, START_SECONDS);
    else if (err < 0 && code >= 0)
        cmd_say("%s: the successor has ended with status %d before it served; going on\n", s->command, code);
    else if (err < 0)
        cmd_say("%s: the successor was ended by signal %d before it served; going on\n", s->command, -code);
    else
        cmd_notify("MAINPID=%d", (int)weft_handover_pid(s->handover));
    let_go(s);
    return err == 0;
}
