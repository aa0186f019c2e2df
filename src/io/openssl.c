/* openssl.c - see openssl.h. */
#include "sys/library.h"

#if WEFT_HAVE_OPENSSL

#define WEFT__OPENSSL_PLAIN
#include "io/openssl.h"

#include "base/atomic.h"
#include "base/compiler.h"

#if WEFT_LINKED

#define ADDRESS(name) .name##_ = name,
weft__openssl_table weft__openssl = {WEFT__OPENSSL_ALL(ADDRESS)};

int weft__openssl_load(char *error, size_t size)
{
    (void)error, (void)size;
    return 0;
}

int weft__openssl_loaded(void)
{
    return 1;
}

#else

#define TEXT(x) #x
#define SO(x)   "libssl.so." TEXT(x)
#if OPENSSL_VERSION_MAJOR >= 3
#define FILE_NAME SO(OPENSSL_SHLIB_VERSION)
#else
#define FILE_NAME "libssl.so." SHLIB_VERSION_NUMBER
#endif

#define NAME(name) #name,
static const char *const names[] = {WEFT__OPENSSL_ALL(NAME)}; /* libcrypto's are found in what libssl needs */

weft__openssl_table weft__openssl;
static weft__library library = {FILE_NAME, names, WEFT__ARRAY_LEN(names), &weft__openssl, 0};
static uint32_t loaded; /* atomic */

int weft__openssl_load(char *error, size_t size)
{
    int err = weft__sys_library(&library, error, size);
    if (err == 0)
        store_release(&loaded, 1);
    return err;
}

int weft__openssl_loaded(void)
{
    return load_acquire(&loaded) != 0;
}

#endif
#endif
