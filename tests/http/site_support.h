/* site_support.h - a site served by a server, for the tests of HTTP in C. */
#ifndef TEST_HTTP_SITE_SUPPORT_H
#define TEST_HTTP_SITE_SUPPORT_H

#include "serve/serve_support.h"

#include <weft/http.h>

typedef struct running {
    weft_http *site;
    weft_server *server;
} running;

/* Serve r.site, which is open and has its routes. */
static inline running run_site(const serve_kind *kind, running r, weft_server_options options)
{
    weft_http_attach(r.site, &options);
    r.server = serve_start(kind, options);
    return r;
}

static inline void stop(running r)
{
    serve_stop(r.server);
    weft_http_close(r.site);
}

#endif
