/* parse_scan.h - byte classes, and the three searches that a request head is made of, sixteen bytes at a time.
 *
 * The predicates are written once with the compiler's vectors (SSE2, NEON); only "which lane is first" differs. Wider
 * vectors chosen at run time are not used: most fields are shorter than 48 bytes, where a call through a pointer would
 * cost what the width gains.
 * C3: the last, partial block is loaded from end - 16, which is inside the buffer if it has 16 bytes at all, and its
 * lanes before p are masked off; a shorter buffer is searched byte by byte. */
#ifndef WEFT_HTTP_PARSE_SCAN_H
#define WEFT_HTTP_PARSE_SCAN_H

#include "base/compiler.h"

#include <stdbool.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>
#endif

enum {
    WEFT__BYTE_TOKEN = 1, /* tchar, RFC 9110 5.6.2 */
    WEFT__BYTE_HOST = 2, /* unreserved or sub-delim, RFC 3986 3.2.2, but no comma: it would be two hosts in one field */
    WEFT__BYTE_HEX = 4,  /* digit of a %XX escape or a chunk size */
    WEFT__BYTE_TARGET = 8, /* may stand in a request target: see weft__target_stop */
    WEFT__BYTE_TEXT = 16,  /* may stand in a field value: HTAB, SP, VCHAR, obs-text */
    WEFT__BYTE_PATH = 32   /* stands for itself in a path: unreserved, '/', and what is harmless in any link */
};

extern const uint8_t weft__byte_class[256];

static inline bool weft__byte_is(char c, unsigned classes)
{
    return (weft__byte_class[(unsigned char)c] & classes) != 0;
}

/* The value of a hexadecimal digit, which the byte is known to be. */
static inline unsigned weft__hex_value(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : ((unsigned)digit | 0x20) - 'a' + 10;
}

#if (defined(__SSE2__) || (defined(__aarch64__) && !defined(__AARCH64EB__))) && !defined(WEFT__HTTP_BYTEWISE)
#define WEFT__HTTP_BLOCKS 1

typedef unsigned char weft__block __attribute__((vector_size(16)));
typedef signed char weft__lanes __attribute__((vector_size(16))); /* -1 where a predicate holds, else 0 */
typedef uint64_t weft__mask; /* WEFT__MASK_STEP bits a lane, the first lane lowest */

static inline weft__block weft__block_all(unsigned char c)
{
    return (weft__block){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c};
}

static inline weft__block weft__block_load(const char *p)
{
    weft__block b;
    memcpy(&b, p, sizeof b);
    return b;
}

#if defined(__SSE2__)
#define WEFT__MASK_STEP 1
static inline weft__mask weft__block_mask(weft__lanes l)
{
    return (unsigned)_mm_movemask_epi8((__m128i)l);
}
#else
#define WEFT__MASK_STEP 4
static inline weft__mask weft__block_mask(weft__lanes l)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_s8((int8x16_t)l), 4)), 0);
}
#endif

static inline weft__mask weft__value_stops(weft__block b)
{
    return weft__block_mask(((weft__lanes)(b < weft__block_all(0x20)) & (weft__lanes)(b != weft__block_all('\t'))) |
                            (weft__lanes)(b == weft__block_all(0x7f)));
}

/* '"' and '#' differ in bit 0 only, '<' and '>' in bit 1; what is below '!' or above '~' is one signed comparison. */
static inline weft__mask weft__target_stops(weft__block b)
{
    return weft__block_mask((weft__lanes)((weft__lanes)b < (weft__lanes)weft__block_all('!')) |
                            (weft__lanes)(b == weft__block_all(0x7f)) |
                            (weft__lanes)((b & weft__block_all(0xfe)) == weft__block_all('"')) |
                            (weft__lanes)((b & weft__block_all(0xfd)) == weft__block_all('<')));
}

static inline weft__mask weft__colon_stops(weft__block b)
{
    return weft__block_mask((weft__lanes)(b == weft__block_all(':')));
}

#define WEFT__SCAN_BLOCKS(stops)                                                                                       \
    for (; end - p >= 16; p += 16) {                                                                                   \
        weft__mask m = stops(weft__block_load(p));                                                                     \
        if (m != 0)                                                                                                    \
            return p + __builtin_ctzll(m) / WEFT__MASK_STEP;                                                           \
    }                                                                                                                  \
    if (p < end && end - buf >= 16) {                                                                                  \
        unsigned before = 16 - (unsigned)(end - p);                                                                    \
        weft__mask m = stops(weft__block_load(end - 16)) >> before * WEFT__MASK_STEP;                                  \
        return m != 0 ? p + __builtin_ctzll(m) / WEFT__MASK_STEP : end;                                                \
    }
#else
#define WEFT__HTTP_BLOCKS        0
#define WEFT__SCAN_BLOCKS(stops) (void)buf;
#endif

/* All three: the first byte of [p, end) that stops the search, or end. `buf` <= p is where readable memory begins. */

/* The first that may not stand in a field value: a control character other than HTAB. */
static inline const char *weft__value_stop(const char *buf, const char *p, const char *end)
{
    WEFT__SCAN_BLOCKS(weft__value_stops)
    while (p < end && weft__byte_is(*p, WEFT__BYTE_TEXT))
        p++;
    return p;
}

/* The first that may not stand in a request target: not visible ASCII, or one of " # < >. The rest of what RFC 3986
 * leaves out (\ ^ ` { | }) is sent by browsers in queries. */
static inline const char *weft__target_stop(const char *buf, const char *p, const char *end)
{
    WEFT__SCAN_BLOCKS(weft__target_stops)
    while (p < end && weft__byte_is(*p, WEFT__BYTE_TARGET))
        p++;
    return p;
}

static inline const char *weft__colon_stop(const char *buf, const char *p, const char *end)
{
    WEFT__SCAN_BLOCKS(weft__colon_stops)
    while (p < end && *p != ':')
        p++;
    return p;
}

/* Take the optional white space (SP, HTAB) off both ends. */
static inline void weft__trim(const char **p, const char **end)
{
    while (*p < *end && (**p == ' ' || **p == '\t'))
        ++*p;
    while (*p < *end && ((*end)[-1] == ' ' || (*end)[-1] == '\t'))
        --*end;
}

/* The next member of the comma-separated list [*p, end), trimmed; *p moves behind its comma. False at the end of the
 * list. Members may be empty (after a last comma none is seen); quoted strings are not known, so this is for lists of
 * tokens. */
static inline bool weft__list_next(const char **p, const char *end, const char **from, const char **to)
{
    if (*p >= end)
        return false;
    const char *comma = (const char *)memchr(*p, ',', (size_t)(end - *p));
    *from = *p;
    *to = comma != NULL ? comma : end;
    *p = comma != NULL ? comma + 1 : end;
    weft__trim(from, to);
    return true;
}

#endif
