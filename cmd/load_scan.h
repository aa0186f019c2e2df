/* load_scan.h - finds where HTTP/1.x responses end, in bytes that arrive in pieces of any size. */
#ifndef LOAD_SCAN_H
#define LOAD_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOAD_HEAD_MAX = 64 * 1024,      /* bytes of a head, of a chunk's size line, and of trailers; more is LOAD_BAD */
    LOAD_HEAD_REMEMBERED = 2 * 1024 /* heads up to this size are remembered */
};

enum load_outcome {
    LOAD_MORE, /* all that can be taken was taken */
    LOAD_DONE, /* one response is complete */
    LOAD_BAD   /* this is no response, or larger than it may be */
};

/* What a head says. */
typedef struct load_head {
    uint32_t size; /* bytes, with the empty line */
    uint16_t status;
    uint8_t body; /* enum of load_scan.c */
    bool close;
    uint64_t length;
} load_head;

/* The last head as it was: one that is the same byte for byte need not be parsed again. One a thread. */
typedef struct load_head_memory {
    load_head head; /* size 0: none yet */
    bool no_body;
    char bytes[LOAD_HEAD_REMEMBERED];
} load_head_memory;

/* Zero it for a new connection; then set no_body. */
typedef struct load_scan {
    uint8_t state;
    bool no_body;    /* the requests are HEAD: no response has a body */
    bool close;      /* of the last response: the connection ends with it */
    uint16_t status; /* of the last response */
    uint32_t line;   /* bytes that were looked at in vain (head), or that count towards LOAD_HEAD_MAX */
    uint64_t left;   /* of the body or the chunk */
} load_scan;

/* Look at n bytes; *used is how many were taken. LOAD_DONE: status and close are those of the response; the next one
 * begins behind *used. LOAD_MORE: what was not taken is the beginning of a head, fewer than LOAD_HEAD_MAX bytes, and
 * is to be given again with more behind it. `memory` may be NULL. */
enum load_outcome load_scan_bytes(load_scan *s, load_head_memory *memory, const char *bytes, size_t n, size_t *used);

/* The peer has ended. LOAD_DONE: that ends the response, as its head said; LOAD_MORE: no response had begun, if no
 * bytes are left untaken; LOAD_BAD: one breaks off. */
enum load_outcome load_scan_end(load_scan *s);

#endif
