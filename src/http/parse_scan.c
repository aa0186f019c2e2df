/* parse_scan.c - the classes of bytes. */
#include "http/parse_scan.h"

#define T WEFT__BYTE_TOKEN
#define H WEFT__BYTE_HOST
#define X WEFT__BYTE_HEX
#define R WEFT__BYTE_TARGET
#define V WEFT__BYTE_TEXT
#define P WEFT__BYTE_PATH

const uint8_t weft__byte_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | H | R | V | P,
    ['"'] = V,
    ['#'] = T | V,
    ['$'] = T | H | R | V | P,
    ['%'] = T | R | V,
    ['&'] = T | H | R | V,
    ['\''] = T | H | R | V,
    ['('] = H | R | V | P,
    [')'] = H | R | V | P,
    ['*'] = T | H | R | V | P,
    ['+'] = T | H | R | V | P,
    [','] = R | V | P,
    ['-'] = T | H | R | V | P,
    ['.'] = T | H | R | V | P,
    ['/'] = R | V | P,
    ['0' ... '9'] = T | H | X | R | V | P,
    [':'] = R | V,
    [';'] = H | R | V,
    ['<'] = V,
    ['='] = H | R | V | P,
    ['>'] = V,
    ['?'] = R | V,
    ['@'] = R | V | P,
    ['A' ... 'F'] = T | H | X | R | V | P,
    ['G' ... 'Z'] = T | H | R | V | P,
    ['['] = R | V,
    ['\\'] = R | V,
    [']'] = R | V,
    ['^'] = T | R | V,
    ['_'] = T | H | R | V | P,
    ['`'] = T | R | V,
    ['a' ... 'f'] = T | H | X | R | V | P,
    ['g' ... 'z'] = T | H | R | V | P,
    ['{'] = R | V,
    ['|'] = T | R | V,
    ['}'] = R | V,
    ['~'] = T | H | R | V | P,
    [0x80 ... 0xff] = V,
};
