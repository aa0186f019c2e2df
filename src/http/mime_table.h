/* mime_table.h - the built-in types as mime.c searches them and the tests check them. */
#ifndef WEFT_HTTP_MIME_TABLE_H
#define WEFT_HTTP_MIME_TABLE_H

#include "base/compiler.h"

#include <stdbool.h>

typedef struct weft__mime_entry {
    char extension[12]; /* lower case, filled up with NUL; compared as 12 bytes */
    bool web;
    const char *type;
} weft__mime_entry;

extern const weft__mime_entry weft__mime_builtin[];
extern const unsigned weft__mime_builtin_count;

#endif
