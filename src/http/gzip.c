/* gzip.c - see gzip.h. */
#include "http/gzip.h"

#include "sys/sys.h"

#include <errno.h>

#if WEFT_HAVE_ZLIB
#include "sys/library.h"

#include <zlib.h>

#define FUNCTIONS(X) X(deflateInit2_) X(deflate) X(deflateEnd)
WEFT__LIBRARY(lib, "libz.so.1", FUNCTIONS)

bool weft__gzip_there(void)
{
    return lib_load() == 0;
}

enum {
    LEVEL = 6,
    WINDOW_GZIP = 15 + 16 /* for deflateInit2: a gzip header, without a time stamp, so equal files compress equally */
};

static void *take(void *opaque, unsigned n, unsigned size)
{
    (void)opaque;
    return weft__calloc(n, size);
}

static void give(void *opaque, void *p)
{
    (void)opaque;
    weft__free(p);
}

int weft__gzip(const void *in, size_t size, size_t room, char **out, size_t *len)
{
    size_t cap = size - size / 20;
    z_stream z = {.zalloc = take, .zfree = give};
    if (!weft__gzip_there())
        return -ELIBACC;
    if (lib.deflateInit2_(&z, LEVEL, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, (int)sizeof z) !=
        Z_OK)
        return -ENOMEM;
    int err = -ENOMEM;
    char *buf = weft__malloc(room + cap + 1);
    if (buf == NULL)
        goto done;
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)size;
    z.next_out = (Bytef *)buf + room;
    z.avail_out = (uInt)cap;
    err = -E2BIG;
    if (lib.deflate(&z, Z_FINISH) == Z_STREAM_END) {
        *len = cap - z.avail_out;
        char *cut = weft__realloc(buf, room + *len + 1);
        *out = cut != NULL ? cut : buf;
        buf = NULL;
        err = 0;
    }
    weft__free(buf);
done:
    lib.deflateEnd(&z);
    return err;
}

#else

bool weft__gzip_there(void)
{
    return false;
}

int weft__gzip(const void *in, size_t size, size_t room, char **out, size_t *len)
{
    (void)in, (void)size, (void)room, (void)out, (void)len;
    return -ENOSYS;
}

#endif
