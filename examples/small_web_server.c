/* small_web_server.c - WebServer(host, port, html) in fifteen lines: small_web_server 127.0.0.1 8000 FOLDER. It shows
 * each request, and does all that weft web does without options. */
#include <stdlib.h>
#include <weft/http.h>

int main(int argc, char **argv)
{
    weft_http *site;
    weft_server *server;
    if (argc != 4 || weft_http_open(&site, &(weft_http_options){.root = argv[3], .log = "-"}) < 0)
        return 1;
    weft_server_options options = {.host = argv[1], .port = (unsigned)atoi(argv[2])};
    weft_http_attach(site, &options);
    return weft_server_open(&server, &options) < 0 || weft_server_run(server, WEFT_FOREVER) < 0;
}
