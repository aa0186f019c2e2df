/* load_request.c - `weft load`: from the URL and the options to an address and the bytes of a request. */
#include "load.h"

#include <weft/stream.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_MAX (64u << 20)

load_options load_opt;

/* ---- the URL ---- */

static const struct scheme {
    const char *name;
    enum load_protocol protocol;
    unsigned port; /* 0: has to be given */
    bool tls;
} schemes[] = {
    {"http://", LOAD_HTTP, 80, false}, {"https://", LOAD_HTTP, 443, true}, {"tcp://", LOAD_TCP, 0, false},
    {"tls://", LOAD_TCP, 0, true},     {"udp://", LOAD_UDP, 0, false},
};

static const struct scheme *find_scheme(const char *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncasecmp(url, schemes[i].name, strlen(schemes[i].name)) == 0)
            return &schemes[i];
    return NULL;
}

static int read_port(const char *text, unsigned standard)
{
    char *end;
    if (*text == 0 && standard != 0) {
        load_opt.port = standard;
        return CMD_OK;
    }
    if (*text == 0)
        return cmd_usage(LOAD_COMMAND,
                         "which port? a tcp://, tls:// or udp:// URL ends with one, such as tcp://127.0.0.1:7000");
    unsigned long port = strtoul(text + 1, &end, 10);
    if (text[0] != ':' || text[1] < '0' || text[1] > '9' || *end != 0 || port < 1 || port > 65535)
        return cmd_usage(LOAD_COMMAND, "'%s' is not a port; it is a number from 1 to 65535", text + (text[0] == ':'));
    load_opt.port = (unsigned)port;
    return CMD_OK;
}

static int read_authority(char *text, unsigned standard)
{
    char *end = text + strcspn(text, ":");
    if (strchr(text, '@') != NULL)
        return cmd_usage(LOAD_COMMAND, "a user in the URL is not supported; give --header 'Authorization: ...'");
    if (text[0] == '[') {
        end = strchr(text, ']');
        if (end == NULL)
            return cmd_usage(LOAD_COMMAND, "'%s' lacks its ]", text);
        *end++ = 0;
        text++;
    }
    int err = read_port(end, standard);
    if (err != CMD_OK)
        return err;
    *end = 0;
    load_opt.host = text;
    return *text != 0 ? CMD_OK : cmd_usage(LOAD_COMMAND, "the URL names no host");
}

/* A path has only ASCII on the wire: what was typed in UTF-8 goes as %XX, as a browser sends it. `path` has `size`
 * bytes; what is returned is for free(). NULL: no memory. */
static char *encode_path(const char *path, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = malloc(3 * size + 2), *to = out;
    if (out == NULL)
        return NULL;
    if (size == 0 || *path != '/')
        *to++ = '/';
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c < 0x80) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    *to = 0;
    return out;
}

int load_read_url(const char *url)
{
    const struct scheme *s = find_scheme(url);
    if (s == NULL)
        return cmd_usage(LOAD_COMMAND,
                         "'%s' is not a URL that can be loaded: http://, https://, tcp://, tls:// or udp://", url);
    for (const char *p = url; *p != 0; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return cmd_usage(LOAD_COMMAND, "the URL has a space or a control character in it; write %%20 and the like");
    load_opt.url = url;
    load_opt.protocol = s->protocol;
    load_opt.tls = s->tls;
    const char *rest = url + strlen(s->name);
    size_t n = strcspn(rest, "/?#");
    char *authority = strndup(rest, n), *host = strndup(rest, n);
    char *path = encode_path(rest + n, strcspn(rest + n, "#"));
    if (authority == NULL || host == NULL || path == NULL) {
        free(authority);
        free(host);
        free(path);
        return cmd_usage(LOAD_COMMAND, "out of memory");
    }
    load_opt.authority = authority;
    load_opt.host = host;
    load_opt.path = path;
    if (s->protocol != LOAD_HTTP && strcmp(path, "/") != 0)
        return cmd_usage(LOAD_COMMAND, "a %s URL has no path", s->name);
    return read_authority(host, s->port);
}

/* ---- the address ---- */

/* Whether somebody answers there. 0 or -errno. */
static int probe(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;
    socklen_t size = sizeof err;
    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
        err = errno;
    if (err == EINPROGRESS) {
        int ready = weft_fd_wait(fd, WEFT_POLLOUT, weft_in(load_opt.timeout));
        if (ready < 0)
            err = -ready;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
            err = errno;
    }
    close(fd);
    return -err;
}

static int read_socket(const char *text)
{
    if (load_opt.protocol == LOAD_UDP)
        return cmd_usage(LOAD_COMMAND, "--connect is not for udp://");
    if (strncmp(text, "unix:", 5) != 0)
        return cmd_usage(LOAD_COMMAND, "--connect '%s' is no Unix socket; write unix:PATH, or unix:@NAME", text);
    int err = weft_address_parse(&load_opt.address, text);
    return err == 0 ? CMD_OK : cmd_usage(LOAD_COMMAND, "--connect '%s': %s", text, weft_strerror(err));
}

/* The first of a name's addresses where somebody answers; the first of all if there is no choice. */
int load_find_address(const char *instead)
{
    if (instead != NULL)
        return read_socket(instead);
    char port[8];
    struct addrinfo wanted = {.ai_socktype = load_opt.protocol == LOAD_UDP ? SOCK_DGRAM : SOCK_STREAM}, *found, *a;
    snprintf(port, sizeof port, "%u", load_opt.port);
    int err = getaddrinfo(load_opt.host, port, &wanted, &found);
    if (err != 0)
        return cmd_usage(LOAD_COMMAND, "the host '%s' is not known: %s", load_opt.host, gai_strerror(err));
    int failed = 0;
    for (a = found; a != NULL; a = a->ai_next) {
        bool no_choice = load_opt.protocol == LOAD_UDP || found->ai_next == NULL;
        if (no_choice || (failed = probe(a)) == 0)
            break;
    }
    if (a != NULL) {
        memcpy(&load_opt.address.any, a->ai_addr, a->ai_addrlen);
        load_opt.address.size = a->ai_addrlen;
    } else {
        fprintf(stderr, LOAD_COMMAND ": %s cannot be reached: %s\n", load_opt.authority, weft_strerror(failed));
    }
    freeaddrinfo(found);
    return a != NULL ? CMD_OK : CMD_FAILED;
}

/* ---- the request ---- */

static int read_file(const char *name)
{
    struct stat st;
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cmd_usage(LOAD_COMMAND, "--body-file: '%s' cannot be read: %s", name, strerror(errno));
    size_t room = S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 64 * 1024, size = 0;
    char *body = NULL;
    for (ssize_t n = 1; n > 0; size += (size_t)n) {
        if (body == NULL || size == room) {
            room = body == NULL ? room : 2 * room;
            char *more = room > 2 * BODY_MAX ? NULL : realloc(body, room);
            if (more == NULL)
                return cmd_usage(LOAD_COMMAND, "--body-file: '%s' is too large; 64 MiB is the most", name);
            body = more;
        }
        n = read(fd, body + size, room - size);
        if (n < 0)
            return cmd_usage(LOAD_COMMAND, "--body-file: '%s' cannot be read: %s", name, strerror(errno));
    }
    if (fd != STDIN_FILENO)
        close(fd);
    load_opt.body = body;
    load_opt.body_size = size;
    return size <= BODY_MAX ? CMD_OK
                            : cmd_usage(LOAD_COMMAND, "--body-file: '%s' is too large; 64 MiB is the most", name);
}

int load_read_body(const char *text, const char *file, unsigned size)
{
    if ((text != NULL) + (file != NULL) + (size > 0) > 1)
        return cmd_usage(LOAD_COMMAND, "--body, --body-file and --size are three ways to say the same; give one");
    if (file != NULL)
        return read_file(file);
    if (size > 0) {
        load_opt.body = malloc(size);
        for (unsigned i = 0; load_opt.body != NULL && i < size; i++)
            load_opt.body[i] = (char)('a' + i % 26);
        load_opt.body_size = size;
    } else if (text != NULL || load_opt.protocol != LOAD_HTTP) {
        text = text != NULL ? text : "hello";
        load_opt.body = strdup(text);
        load_opt.body_size = strlen(text);
    }
    return load_opt.body != NULL || load_opt.protocol == LOAD_HTTP ? CMD_OK : cmd_usage(LOAD_COMMAND, "out of memory");
}

static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] <= ' ' || (unsigned char)p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", p[i]) != NULL)
            return false;
    return n > 0;
}

static bool has_header(const char *name)
{
    size_t n = strlen(name);
    for (unsigned i = 0; i < load_opt.headers.count; i++)
        if (strncasecmp(load_opt.headers.text[i], name, n) == 0 && load_opt.headers.text[i][n] == ':')
            return true;
    return false;
}

static int check_headers(void)
{
    if (!is_token(load_opt.method, strlen(load_opt.method)) || strcasecmp(load_opt.method, "CONNECT") == 0)
        return cmd_usage(LOAD_COMMAND, "'%s' is not a method that can be asked for", load_opt.method);
    for (unsigned i = 0; i < load_opt.headers.count; i++) {
        const char *h = load_opt.headers.text[i];
        if (!is_token(h, strcspn(h, ":")) || strchr(h, ':') == NULL || strpbrk(h, "\r\n") != NULL)
            return cmd_usage(LOAD_COMMAND, "--header takes 'Name: value' (not '%s')", h);
    }
    if (has_header("content-length") || has_header("transfer-encoding") || has_header("connection"))
        return cmd_usage(LOAD_COMMAND,
                         "Content-Length, Transfer-Encoding and Connection are not for --header: the body "
                         "and --no-keep-alive say them");
    return CMD_OK;
}

static int print_http(FILE *out)
{
    int err = check_headers();
    if (err != CMD_OK)
        return err;
    load_opt.no_body = strcmp(load_opt.method, "HEAD") == 0;
    fprintf(out, "%s %s HTTP/1.1\r\n", load_opt.method, load_opt.path);
    if (!has_header("host"))
        fprintf(out, "Host: %s\r\n", load_opt.authority);
    for (unsigned i = 0; i < load_opt.headers.count; i++)
        fprintf(out, "%s\r\n", load_opt.headers.text[i]);
    if (load_opt.body != NULL || strcmp(load_opt.method, "POST") == 0 || strcmp(load_opt.method, "PUT") == 0)
        fprintf(out, "Content-Length: %zu\r\n", load_opt.body_size);
    fputs(load_opt.keep_alive ? "\r\n" : "Connection: close\r\n\r\n", out);
    return CMD_OK;
}

/* As many requests one after the other as go out at once, so that one call sends them. */
static bool repeat(char *one, size_t size)
{
    size_t copies = LOAD_INPUT / (size > 0 ? size : 1);
    copies = copies < 1 ? 1 : copies > load_opt.depth ? load_opt.depth : copies;
    load_opt.bytes = malloc(size * copies + 1);
    load_opt.size = size;
    load_opt.copies = copies;
    for (size_t i = 0; load_opt.bytes != NULL && i < copies; i++)
        memcpy(load_opt.bytes + i * size, one, size);
    return load_opt.bytes != NULL;
}

int load_make_request(void)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (out == NULL)
        return cmd_usage(LOAD_COMMAND, "out of memory");
    int err = load_opt.protocol == LOAD_HTTP ? print_http(out) : CMD_OK;
    if (load_opt.body_size > 0)
        fwrite(load_opt.body, 1, load_opt.body_size, out);
    bool ends = load_opt.body_size > 0 && load_opt.body[load_opt.body_size - 1] == '\n';
    if (load_opt.protocol == LOAD_TCP && !load_opt.echo && !ends)
        fputc('\n', out);
    bool good = fclose(out) == 0;
    if (err == CMD_OK && load_opt.protocol == LOAD_UDP && size > 65507)
        err = cmd_usage(LOAD_COMMAND, "a datagram has at most 65507 bytes, and this one has %zu", size);
    if (err == CMD_OK && size == 0)
        err = cmd_usage(LOAD_COMMAND, "there is nothing to send; give --body, --body-file or --size");
    if (err == CMD_OK && !(good && repeat(bytes, size)))
        err = cmd_usage(LOAD_COMMAND, "out of memory");
    free(bytes);
    free(load_opt.body);
    load_opt.body = NULL;
    return err;
}
