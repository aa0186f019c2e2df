/* place_support.h - a Unix socket's file in the case's own directory. */
#ifndef TESTS_SERVE_PLACE_SUPPORT_H
#define TESTS_SERVE_PLACE_SUPPORT_H

#include <stdbool.h>

typedef struct place {
    char host[120]; /* "unix:" and the path */
} place;

place place_of(const char *name);
const char *path_of(const place *p);
bool exists(const place *p);

#endif
