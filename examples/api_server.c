/* api_server.c - a small web service: notes that are put, listed and deleted, a stream of events, a WebSocket that
 * echoes.
 *
 *     api_server [PORT] [MODEL] [CERTIFICATE [KEY]]     then: curl -T file http://127.0.0.1:8000/notes/today
 *
 * With a certificate and its key (PEM, in one file or two) it speaks TLS: https:// and wss://.
 * The handlers are in blocking style and run as they are under every model of the server. */
#include <weft.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NOTES = 64,
    NOTE_MAX = 1 << 20
};

typedef struct note {
    char name[64];
    char *text;
    size_t size;
} note;

static note notes[NOTES]; /* under notes_lock */
static weft_lock notes_lock = WEFT_LOCK_INIT;

static note *find(const char *name)
{
    for (int i = 0; i < NOTES; i++)
        if (strcmp(notes[i].name, name) == 0)
            return &notes[i];
    return NULL;
}

static int put_note(weft_request *r, void *arg)
{
    (void)arg;
    const char *name = weft_request_param(r, "name");
    if (strlen(name) >= sizeof notes[0].name)
        return 414;
    weft_request_body_limit(r, NOTE_MAX);
    size_t size = 0, room = 4096;
    char *text = malloc(room);
    ssize_t n = 0;
    while (text != NULL && (n = weft_request_read(r, text + size, room - size, WEFT_FOREVER)) > 0)
        if ((size += (size_t)n) == room)
            text = realloc(text, room *= 2);
    if (text == NULL || n < 0) {
        free(text);
        return text == NULL ? 503 : n == -EMSGSIZE ? 413 : 400;
    }
    int status = 201;
    WEFT_WITH_LOCK (&notes_lock) {
        note *there = find(name), *at = there != NULL ? there : find("");
        if (at != NULL) {
            status = there != NULL ? 204 : 201;
            free(at->text);
            snprintf(at->name, sizeof at->name, "%s", name);
            at->text = text;
            at->size = size;
        } else {
            free(text);
            status = 507;
        }
    }
    return status == 507 ? status : weft_respond(r, status, NULL, NULL, 0);
}

static int get_note(weft_request *r, void *arg)
{
    (void)arg;
    char *copy = NULL;
    size_t size = 0;
    WEFT_WITH_LOCK (&notes_lock) {
        const note *n = find(weft_request_param(r, "name"));
        if (n != NULL && (copy = malloc(n->size + 1)) != NULL)
            memcpy(copy, n->text, size = n->size);
    }
    if (copy == NULL)
        return 404;
    int err = weft_respond(r, 200, "text/plain; charset=utf-8", copy, size);
    free(copy);
    return err;
}

static int delete_note(weft_request *r, void *arg)
{
    (void)arg;
    WEFT_WITH_LOCK (&notes_lock) {
        note *n = find(weft_request_param(r, "name"));
        if (n == NULL)
            return 404;
        free(n->text);
        *n = (note){0};
    }
    return weft_respond(r, 204, NULL, NULL, 0);
}

/* The names, one a line, in chunks: how many they are is not known when the answer begins. */
static int list_notes(weft_request *r, void *arg)
{
    (void)arg;
    int err = weft_response_begin(r, 200, "text/plain; charset=utf-8", -1);
    for (int i = 0; i < NOTES && err == 0; i++) {
        char name[64];
        WEFT_WITH_LOCK (&notes_lock)
            memcpy(name, notes[i].name, sizeof name);
        err = weft_response_write(r, name, strlen(name));
        if (err == 0 && name[0] != 0)
            err = weft_response_write(r, "\n", 1);
    }
    return err;
}

static int count_down(weft_request *r, void *arg)
{
    (void)arg;
    char from[16], text[16], id[16];
    int n = weft_request_query(r, "from", from, sizeof from) > 0 ? atoi(from) : 3, err = weft_events_begin(r);
    for (int i = n; i >= 0 && err == 0; i--) {
        snprintf(text, sizeof text, "%d", i);
        snprintf(id, sizeof id, "%d", n - i);
        err = weft_events_send(r, "count", id, text);
        if (err == 0 && i > 0)
            err = weft_sleep(weft_in_ms(10));
    }
    return err;
}

static int echo(weft_request *r, void *arg)
{
    (void)arg;
    weft_websocket *ws;
    weft_websocket_message m;
    int err = weft_websocket_accept(&ws, r, &(weft_websocket_options){.protocols = "echo"});
    while (err == 0 && (err = weft_websocket_receive(ws, &m, WEFT_FOREVER)) == 0)
        err = weft_websocket_send(ws, m.text, m.data, m.size);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *pattern;
        weft_route_handler *handler;
    } routes[] = {
        {"GET /notes/", list_notes},           {"GET /notes/{name}", get_note}, {"PUT /notes/{name}", put_note},
        {"DELETE /notes/{name}", delete_note}, {"GET /countdown", count_down},  {"GET /echo", echo},
    };
    weft_http *site;
    weft_server *server;
    weft_server_options options = {.port = argc > 1 ? (unsigned)atoi(argv[1]) : 8000,
                                   .model = argc > 2 ? argv[2] : NULL};
    int err = weft_http_open(&site, &(weft_http_options){.no_files = 1});
    if (err == 0 && argc > 3)
        err = weft_tls_new(&options.tls, WEFT_TLS_SERVER,
                           &(weft_tls_options){.certificate = argv[3], .key = argc > 4 ? argv[4] : NULL});
    for (size_t i = 0; i < sizeof routes / sizeof routes[0] && err == 0; i++)
        err = weft_http_route(site, routes[i].pattern, routes[i].handler, NULL);
    if (err == 0) {
        weft_http_attach(site, &options);
        err = weft_server_open(&server, &options);
    }
    if (err == 0) {
        printf("http%s://%s/\n", options.tls != NULL ? "s" : "", weft_server_address(server));
        fflush(stdout);
        err = weft_server_run(server, WEFT_FOREVER);
    }
    fprintf(stderr, "api_server: %s\n", weft_strerror(err));
    return 1;
}
