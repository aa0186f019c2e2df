/* chunk.h - a chunked request body (RFC 9112 7.1), taken apart as it arrives; resumable at every byte.
 *
 * The decoder delivers the data as slices of the input and copies nothing; to discard a body, ignore them. Chunk
 * extensions are checked and dropped. Trailer fields are checked like header fields and dropped, all of them: nothing
 * that comes after the body can change how the request was understood.
 * Refused with 400: a size that is empty, not hexadecimal or above 2^63 - 1, any line end but CRLF, white space that
 * the grammar does not allow, extensions of more than 4 KiB in the message. 431: trailers above their bounds. */
#ifndef WEFT_HTTP_CHUNK_H
#define WEFT_HTTP_CHUNK_H

#include "http/parse.h"

#define WEFT__CHUNK_EXTENSIONS 4096 /* bytes of extensions in a message */
#define WEFT__CHUNK_TRAILER    8192 /* bytes of trailer lines in a message */
#define WEFT__CHUNK_FIELDS     100  /* trailer lines in a message */

typedef struct weft__chunk {
    uint64_t total;  /* bytes of body delivered so far */
    uint64_t left;   /* bytes of the chunk under way still to come, or its size as far as it is read */
    uint16_t status; /* after WEFT__HTTP_REFUSED: the error to answer with */
    uint8_t state;
    uint8_t digits;
    uint16_t extension;
    uint16_t trailer;
    uint16_t fields;
} weft__chunk; /* all zero is the state before the first byte */

/* Take the next bytes of the body. Sets *used to how many of the `len` were taken (all of them with MORE) and returns
 *   WEFT__HTTP_MORE     call again with what comes after these;
 *   WEFT__HTTP_DATA     *data is a part of the body, in `in`; call again with in + *used (there may be no more in it);
 *   WEFT__HTTP_DONE     the body is over, the next request begins at in + *used;
 *   WEFT__HTTP_REFUSED  answer c->status and close. */
enum weft__http_outcome weft__chunk_decode(weft__chunk *c, const char *in, size_t len, size_t *used, weft__span *data);

#endif
