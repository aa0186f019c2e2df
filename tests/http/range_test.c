/* range_test.c - Range (RFC 9110 14.1.2, 14.2): a table, and random sets against a naive model on a bitmap. */
#include "http/range.h"

#include "harness/harness.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "at+len at+len ..." */
static void print_ranges(const weft__ranges *r, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < r->count && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%llu+%llu", i > 0 ? " " : "", (unsigned long long)r->range[i].at,
                              (unsigned long long)r->range[i].len);
}

static const struct {
    const char *value;
    uint64_t size;
    int status;
    const char *ranges;
} values[] = {
    {"bytes=0-0", 10, 206, "0+1"},
    {"bytes=0-9", 10, 206, "0+10"},
    {"bytes=2-4", 10, 206, "2+3"},
    {"bytes=0-", 10, 206, "0+10"},
    {"bytes=9-", 10, 206, "9+1"},
    {"bytes=-1", 10, 206, "9+1"},
    {"bytes=-10", 10, 206, "0+10"},
    {"bytes=-11", 10, 206, "0+10"},
    {"bytes=5-100", 10, 206, "5+5"},
    {"BYTES=0-0", 10, 206, "0+1"},
    {"bytes=0-0, 2-2", 10, 206, "0+1 2+1"},
    {"bytes=0-0,\t9-", 10, 206, "0+1 9+1"},
    {"bytes=,,0-0 ,,", 10, 206, "0+1"},
    {"bytes=8-9,0-1", 10, 206, "8+2 0+2"},
    {"bytes= 0-0", 10, 206, "0+1"},
    /* coalesced: overlapping, touching, contained, three into one; apart stays apart */
    {"bytes=0-4,2-6", 10, 206, "0+7"},
    {"bytes=0-1,2-3", 10, 206, "0+4"},
    {"bytes=2-3,0-9", 10, 206, "0+10"},
    {"bytes=0-1,4-5,2-3", 10, 206, "0+6"},
    {"bytes=8-9,0-1,7-8", 10, 206, "7+3 0+2"},
    {"bytes=0-,0-,0-,0-", 10, 206, "0+10"},
    {"bytes=0-1,8-9,4-5,1-4", 10, 206, "0+6 8+2"},
    {"bytes=0-1,3-4", 10, 206, "0+2 3+2"},
    {"bytes=-1,9-9", 10, 206, "9+1"},
    /* partly beyond the file: what is in it counts */
    {"bytes=0-0,10-", 10, 206, "0+1"},
    {"bytes=10-,-1", 10, 206, "9+1"},
    {"bytes=-0,0-0", 10, 206, "0+1"},
    /* numbers beyond 64 bits are beyond any file */
    {"bytes=0-18446744073709551615", 10, 206, "0+10"},
    {"bytes=0-99999999999999999999999", 10, 206, "0+10"},
    {"bytes=-99999999999999999999999", 10, 206, "0+10"},
    {"bytes=18446744073709551616-", 10, 416, ""},
    {"bytes=18446744073709551615-18446744073709551615", UINT64_MAX, 416, ""},
    {"bytes=18446744073709551614-", UINT64_MAX, 206, "18446744073709551614+1"},
    {"bytes=0-0,-1", UINT64_MAX, 206, "0+1 18446744073709551614+1"},
    {"bytes=0-", UINT64_MAX, 206, "0+18446744073709551615"},
    {"bytes=00000000000000000000000001-2", 10, 206, "1+2"},
    /* 416 */
    {"bytes=10-", 10, 416, ""},
    {"bytes=10-20", 10, 416, ""},
    {"bytes=-0", 10, 416, ""},
    {"bytes=10-,11-,-0", 10, 416, ""},
    {"bytes=0-", 0, 416, ""},
    {"bytes=0-0", 0, 416, ""},
    {"bytes=-0", 0, 416, ""},
    /* the suffix of an empty file is all of it */
    {"bytes=-5", 0, 200, ""},
    {"bytes=0-,-5", 0, 200, ""},
    /* ignored */
    {"", 10, 200, ""},
    {"bytes", 10, 200, ""},
    {"bytes=", 10, 200, ""},
    {"bytes=,", 10, 200, ""},
    {"bytes=-", 10, 200, ""},
    {"bytes=a-b", 10, 200, ""},
    {"bytes=1", 10, 200, ""},
    {"bytes=1-0", 10, 200, ""},
    {"bytes=0-0,2-1", 10, 200, ""},
    {"bytes=0-0;1-1", 10, 200, ""},
    {"bytes=0 - 0", 10, 200, ""},
    {"bytes=0- 0", 10, 200, ""},
    {"bytes =0-0", 10, 200, ""},
    {"bytes:0-0", 10, 200, ""},
    {"items=0-0", 10, 200, ""},
    {"0-0", 10, 200, ""},
    {"bytes=--1", 10, 200, ""},
    {"bytes=+1-2", 10, 200, ""},
    {"bytes=0x0-1", 10, 200, ""},
    {"bytes=0-0, bytes=1-1", 10, 200, ""},
    {"bytes=0-1-2", 10, 200, ""},
    {"bytes=0-0,x", 10, 200, ""},
    {"bytes=-1-2", 10, 200, ""},
    {"bytes=1-2a", 10, 200, ""},
};

TEST(range_values_mean_what_the_rfc_says)
{
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        weft__ranges r;
        char text[800];
        int status = weft__range_parse((weft__span){values[i].value, strlen(values[i].value)}, values[i].size, &r);
        if (status != values[i].status)
            FAIL("%s of %llu: %d", values[i].value, (unsigned long long)values[i].size, status);
        print_ranges(&r, text, sizeof text);
        if (strcmp(text, values[i].ranges) != 0)
            FAIL("%s of %llu: '%s'", values[i].value, (unsigned long long)values[i].size, text);
    }
    weft__ranges r;
    CHECK_INT(200, weft__range_parse((weft__span){NULL, 0}, 10, &r));
}

TEST(range_sets_of_more_than_sixteen_are_ignored)
{
    char value[400] = "bytes=";
    weft__ranges r;
    for (int i = 0; i < WEFT__RANGE_MAX; i++)
        snprintf(value + strlen(value), sizeof value - strlen(value), "%d-%d,", 3 * i, 3 * i);
    CHECK_INT(206, weft__range_parse((weft__span){value, strlen(value)}, 1000, &r));
    CHECK_INT(16, r.count);
    strcat(value, "0-");
    CHECK_INT(200, weft__range_parse((weft__span){value, strlen(value)}, 1000, &r));
    CHECK_INT(0, r.count);
    /* also when they would coalesce, or lie beyond the file: counting is by member */
    strcpy(value, "bytes=");
    for (int i = 0; i < WEFT__RANGE_MAX + 1; i++)
        strcat(value, i % 2 ? "0-0," : "2000-,");
    CHECK_INT(200, weft__range_parse((weft__span){value, strlen(value)}, 1000, &r));
}

enum {
    MODEL_SIZE = 40
};

/* Mark what a set of specs asks for; each spec is {kind, a, b}. Returns whether any byte is asked for. */
static bool model_mark(int (*specs)[3], int n, int size, bool *wanted)
{
    bool any = false;
    for (int i = 0; i < n; i++)
        for (int at = 0; at < size; at++) {
            int kind = specs[i][0], a = specs[i][1], b = specs[i][2];
            if (kind == 0 ? at >= a && at <= b : kind == 1 ? at >= a : at >= size - a) {
                wanted[at] = true;
                any = true;
            }
        }
    return any;
}

static void check_against_model(const char *value, const weft__ranges *r, const bool *wanted, int size)
{
    bool given[MODEL_SIZE] = {false};
    uint64_t total = 0;
    for (unsigned i = 0; i < r->count; i++) {
        CHECK(r->range[i].len > 0);
        CHECK(r->range[i].at + r->range[i].len <= (uint64_t)size);
        total += r->range[i].len;
        for (uint64_t at = r->range[i].at; at < r->range[i].at + r->range[i].len; at++) {
            if (given[at])
                FAIL("%s: byte %llu twice", value, (unsigned long long)at);
            given[at] = true;
        }
        for (unsigned j = 0; j < i; j++) /* none touches another */
            CHECK(r->range[i].at != r->range[j].at + r->range[j].len &&
                  r->range[j].at != r->range[i].at + r->range[i].len);
    }
    CHECK(total <= (uint64_t)size);
    for (int at = 0; at < size; at++)
        if (given[at] != wanted[at])
            FAIL("%s of %d: byte %d", value, size, at);
}

TEST(range_random_sets_agree_with_a_bitmap)
{
    unsigned seed = 1;
    for (int round = 0; round < 200000; round++) {
        int size = 1 + rand_r(&seed) % (MODEL_SIZE - 1), n = 1 + rand_r(&seed) % 6;
        int specs[6][3];
        char value[200] = "bytes=";
        for (int i = 0; i < n; i++) {
            char *end = value + strlen(value);
            size_t room = (size_t)(value + sizeof value - end);
            int kind = specs[i][0] = rand_r(&seed) % 3;
            int a = specs[i][1] = rand_r(&seed) % (MODEL_SIZE + 5);
            int b = specs[i][2] = a + rand_r(&seed) % 8;
            if (kind == 0)
                snprintf(end, room, "%d-%d,", a, b);
            else
                snprintf(end, room, kind == 1 ? "%d-," : "-%d,", a);
        }
        bool wanted[MODEL_SIZE] = {false};
        bool any = model_mark(specs, n, size, wanted);
        weft__ranges r;
        int status = weft__range_parse((weft__span){value, strlen(value)}, (uint64_t)size, &r);
        if (status != (any ? 206 : 416))
            FAIL("%s of %d: %d", value, size, status);
        check_against_model(value, &r, wanted, size);
    }
}
