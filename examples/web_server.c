/* web_server.c - WebServer(host, port, html): what a folder holds, for browsers. The server is the first function and
 * the two lines that run it; types, lengths, HEAD, ranges and staying inside the folder are the library's affair.
 * --html=PATH is the folder; run as it is, it is a new one in /tmp, and a client asks for three pages. */
#include "lesson.h"

#include <weft/http.h>

static weft_http *site;
static weft_conn_handler *serve_file;

static weft_server *web_server(const char *host, unsigned port, const char *html, weft_conn_handler *handler)
{
    weft_server *server;
    weft_server_options options = {.host = host, .port = port};
    must(weft_http_open(&site, &(weft_http_options){.root = html}));
    weft_http_attach(site, &options);
    serve_file = options.handler;
    options.handler = handler; /* ours looks at the request first; without it this is the whole server */
    must(weft_server_open(&server, &options));
    return server;
}

/* Show what is asked for, and let the site answer. */
static int show_and_serve(weft_conn *c, void *arg)
{
    const char *bytes;
    ssize_t n = weft_conn_fill(c, 0, (const void **)&bytes, weft_in_seconds(10));
    const char *path = n > 0 ? memchr(bytes, ' ', (size_t)n) : NULL;
    if (path != NULL) {
        size_t left = (size_t)(bytes + n - ++path), length = 0;
        while (length < left && (unsigned char)path[length] > ' ')
            length++;
        printf("请求内容： %.*s\n", (int)length, path);
    }
    return serve_file(c, arg);
}

static int start(void *arg)
{
    weft_server *server = arg;
    printf("Listen the port %u\n", weft_server_port(server));
    must(weft_server_start(server));
    weft_server_wait(server, WEFT_FOREVER); /* until this thread is cancelled: Ctrl-C */
    weft_shield(1);
    weft_server_stop(server, weft_in_seconds(5));
    return weft_server_wait(server, WEFT_FOREVER);
}

/* ---- a client, and pages for it ---- */

static void fetch(unsigned port, const char *path)
{
    weft_stream *s;
    char data[4096];
    size_t got = 0;
    int n = snprintf(data, sizeof data, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    must(weft_tcp_connect(&s, NULL, port, NULL, WEFT_FOREVER));
    must((int)weft_stream_send(s, data, (size_t)n, WEFT_FOREVER));
    weft_stream_recv_all(s, data, sizeof data - 1, &got, WEFT_FOREVER);
    data[got] = 0;
    weft_stream_close(s);
    char *body = strstr(data, "\r\n\r\n");
    printf("%.*s %s\n", (int)strcspn(data, "\r"), data, body != NULL ? body + 4 : "");
}

static int client(unsigned port)
{
    for (const char *path; *(path = lesson_input(">>")) != 0;)
        fetch(port, path);
    return 0;
}

static void write_page(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (text == NULL) {
        unlink(path);
        return;
    }
    FILE *file = fopen(path, "w");
    must(file == NULL ? -errno : 0);
    fputs(text, file);
    fclose(file);
}

static char folder[] = "/tmp/web_server-XXXXXX";

static void remove_folder(void)
{
    static const char *const names[] = {"index.html", "python.html", "404.html"};
    for (int i = 0; i < 3; i++)
        write_page(folder, names[i], NULL);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    static const char *const typed[] = {"/", "/python.html?v=1", "/missing", "/../etc/passwd", NULL};
    weft_server *server = NULL;
    lesson_begin(argc, argv);
    const char *html = lesson_value("--html");
    bool made = html == NULL && lesson_value("--client") == NULL;
    if (made) {
        must(mkdtemp(folder) == NULL ? -errno : 0);
        lesson_tidy = remove_folder;
        write_page(folder, "index.html", "<h1>首页</h1>");
        write_page(folder, "python.html", "<h1>Python</h1>");
        write_page(folder, "404.html", "<h1>Not Find<h1>");
    }
    if (lesson_value("--client") == NULL)
        server = web_server("127.0.0.1", lesson_port("--server"), made ? folder : html, show_and_serve);
    lesson_pair p = {start, server, client, NULL};
    int failed = lesson_run(&p, server != NULL ? weft_server_port(server) : 0, typed);
    weft_server_close(server);
    weft_http_close(site);
    if (made)
        remove_folder();
    return failed;
}
