/* mime.h - media types by file name extension: a built-in table, and the system's /etc/mime.types over it. */
#ifndef WEFT_HTTP_MIME_H
#define WEFT_HTTP_MIME_H

#include "http/slice.h"

#include <stdbool.h>

typedef struct weft__mime weft__mime; /* a loaded table; immutable once made, so any number of threads may look */

/* Read a table in the form of /etc/mime.types: a type, then its extensions, '#' to the end of a line is a comment.
 * The first type of an extension in the text counts; lines that are not of this form are passed over. Returns 0 or
 * -ENOMEM. Allocates; weft__mime_free gives all of it back (NULL is nothing to free). Nothing points into `text`. */
int weft__mime_new(weft__mime **out, const char *text, size_t len);
void weft__mime_free(weft__mime *table);

/* The value for Content-Type of the file called `name` (a path or its last segment): by what follows its last '.', in
 * either case. Text types carry "; charset=utf-8". The built-in table answers first for the types of the web (a system
 * table that calls .js or .wasm something else breaks pages), then `table` (NULL: none), then the rest of the built-in
 * one; else "application/octet-stream". The text ends with NUL and lives as long as the table. */
weft__span weft__mime_type(const weft__mime *table, weft__span name);

/* Is it worth compressing a body of this type? (text, JSON, XML, scripts, fonts without their own compression ...)
 * Parameters after ';' are not looked at. */
bool weft__mime_compressible(weft__span type);

#endif
