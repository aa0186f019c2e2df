/* route.h - the routes of a site: a tree of path segments, each with the handlers of its methods.
 *
 * Made before the first server starts and never changed afterwards, so serving threads read it without a lock. */
#ifndef WEFT_HTTP_ROUTE_H
#define WEFT_HTTP_ROUTE_H

#include <weft/route.h>

#include "http/slice.h"

#include <stdbool.h>

enum {
    WEFT__ROUTE_PARAMS = 16
};

typedef struct weft__route {
    struct weft__route *next; /* the same path, another method */
    weft_route_handler *fn;
    void *arg;
    unsigned name_count;
    const char *names[WEFT__ROUTE_PARAMS]; /* of the parameters, from the left; into text */
    const char *method;                    /* "*" for every one */
    char text[];                           /* the pattern, cut into its pieces */
} weft__route;

typedef struct weft__routes weft__routes; /* a node of the tree */

/* What a path has matched. */
typedef struct weft__route_match {
    const weft__route *route; /* NULL: none for this method */
    unsigned value_count;
    weft__slice values[WEFT__ROUTE_PARAMS]; /* into the path */
    bool path_known;                        /* some route has this path: then 405 is the answer */
    size_t allow_len;
    char allow[256]; /* what to allow, as in the field */
} weft__route_match;

int weft__routes_add(weft__routes **root, const char *pattern, weft_route_handler *fn, void *arg);
void weft__routes_free(weft__routes *root);

/* path: decoded, relative ("" is the root), as weft__target_decode gives it; directory: it ended with '/'. */
void weft__routes_find(const weft__routes *root, weft__span method, weft__span path, bool directory,
                       weft__route_match *m);

#endif
