/* frame.c - see frame.h. Lengths come from the peer: they are compared with the limit before anything is added to them.
 * Pinned by tests/io/frame_test.c and fuzz/frame_fuzz.c. */
#include "io/frame.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static unsigned length_bytes(const weft_frame *f)
{
    return f->length_bytes != 0 ? f->length_bytes : 4;
}

static size_t delimiter_of(const weft_frame *f, const char **delimiter)
{
    *delimiter = f->delimiter_size != 0 ? f->delimiter : "\n";
    return f->delimiter_size != 0 ? f->delimiter_size : 1;
}

int weft__frame_check(const weft_frame *f)
{
    unsigned bytes = length_bytes(f);
    switch (f->kind) {
    case WEFT_FRAME_LENGTH:
        return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8 ? 0 : -EINVAL;
    case WEFT_FRAME_DELIMITER:
        return f->delimiter_size <= WEFT__DELIMITER_MAX ? 0 : -EINVAL;
    case WEFT_FRAME_FIXED:
        return f->size > 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

int weft__find_delimiter(const char *data, size_t n, const char *delimiter, size_t size, size_t *scanned, size_t *end)
{
    const char *found = n > *scanned ? memmem(data + *scanned, n - *scanned, delimiter, size) : NULL;
    if (found != NULL) {
        *end = (size_t)(found - data) + size;
        return 1;
    }
    if (n >= size && n - (size - 1) > *scanned)
        *scanned = n - (size - 1); /* one may have begun in the last bytes */
    return 0;
}

static uint64_t read_length(const weft_frame *f, const char *data, unsigned bytes)
{
    uint64_t length = 0;
    for (unsigned i = 0; i < bytes; i++)
        length = length << 8 | (unsigned char)data[f->little_endian ? bytes - 1 - i : i];
    return length;
}

static int find_by_length(const weft_frame *f, size_t limit, const char *data, size_t n, weft__frame_place *place,
                          size_t *need)
{
    unsigned bytes = length_bytes(f);
    if (n < bytes) {
        *need = bytes;
        return 0;
    }
    uint64_t length = read_length(f, data, bytes);
    if (f->counts_itself && length < bytes)
        return -EPROTO;
    if (f->counts_itself)
        length -= bytes;
    if (length > limit)
        return -EMSGSIZE;
    *place = (weft__frame_place){bytes, (size_t)length, bytes + (size_t)length};
    *need = place->whole;
    return n >= place->whole;
}

int weft__frame_find(const weft_frame *f, size_t limit, const char *data, size_t n, size_t *scanned,
                     weft__frame_place *place, size_t *need)
{
    const char *delimiter;
    size_t size, end;
    if (f->kind == WEFT_FRAME_LENGTH)
        return find_by_length(f, limit, data, n, place, need);
    if (f->kind == WEFT_FRAME_FIXED) {
        *place = (weft__frame_place){0, f->size, f->size};
        *need = f->size;
        return f->size > limit ? -EMSGSIZE : n >= f->size;
    }
    size = delimiter_of(f, &delimiter);
    if (weft__find_delimiter(data, n, delimiter, size, scanned, &end)) {
        *place = (weft__frame_place){0, end - size, end};
        return place->size > limit ? -EMSGSIZE : 1;
    }
    *need = n + 1;
    return n >= size && n - size >= limit ? -EMSGSIZE : 0;
}

/* Whether the first delimiter in data followed by one is that one: "a" followed by "aa" would end too early. */
static bool ends_in_its_delimiter(const char *data, size_t size, const char *delimiter, size_t delimiter_size)
{
    char seam[2 * WEFT__DELIMITER_MAX];
    size_t scanned = 0, end, before = size < delimiter_size - 1 ? size : delimiter_size - 1;
    if (weft__find_delimiter(data, size, delimiter, delimiter_size, &scanned, &end))
        return false;
    if (before > 0)
        memcpy(seam, data + size - before, before);
    memcpy(seam + before, delimiter, delimiter_size);
    scanned = 0;
    return weft__find_delimiter(seam, before + delimiter_size, delimiter, delimiter_size, &scanned, &end) &&
           end == before + delimiter_size;
}

int weft__frame_wrap(const weft_frame *f, size_t limit, const void *data, size_t size, char *head, size_t *head_size,
                     const char **tail, size_t *tail_size)
{
    *head_size = *tail_size = 0;
    *tail = "";
    if (size > limit)
        return -EMSGSIZE;
    if (f->kind == WEFT_FRAME_FIXED)
        return size == f->size ? 0 : -EINVAL;
    if (f->kind == WEFT_FRAME_DELIMITER) {
        *tail_size = delimiter_of(f, tail);
        return ends_in_its_delimiter(data, size, *tail, *tail_size) ? 0 : -EINVAL;
    }
    unsigned bytes = length_bytes(f);
    uint64_t length = size + (f->counts_itself ? bytes : 0);
    if (bytes < 8 && length >> (8 * bytes) != 0)
        return -EMSGSIZE;
    for (unsigned i = 0; i < bytes; i++)
        head[f->little_endian ? i : bytes - 1 - i] = (char)(length >> (8 * i));
    *head_size = bytes;
    return 0;
}
