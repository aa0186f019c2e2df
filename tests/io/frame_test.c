/* frame_test.c - finding and wrapping messages in plain bytes. S001-31, S001-32. */
#include "harness/harness.h"
#include "io/frame.h"

#include <errno.h>
#include <string.h>

static void finds(const weft_frame *f, const char *data, size_t n, size_t head, size_t size, size_t whole)
{
    weft__frame_place place;
    size_t scanned = 0, need = 0;
    CHECK_INT(1, weft__frame_find(f, 1000, data, n, &scanned, &place, &need));
    CHECK_INT(head, place.head);
    CHECK_INT(size, place.size);
    CHECK_INT(whole, place.whole);
    for (size_t i = 0; i < whole; i++) { /* and with less it needs more, but never more than there is */
        scanned = 0;
        CHECK_INT(0, weft__frame_find(f, 1000, data, i, &scanned, &place, &need));
        CHECK_BETWEEN(i + 1, whole, need);
    }
}

static void refuses(int err, const weft_frame *f, const char *data, size_t n)
{
    weft__frame_place place;
    size_t scanned = 0, need;
    CHECK_ERR(err, weft__frame_find(f, 1000, data, n, &scanned, &place, &need));
}

TEST(frame_by_length_is_found)
{
    finds(&(weft_frame){0}, "\0\0\0\3abcdef", 10, 4, 3, 7);
    finds(&(weft_frame){.length_bytes = 1}, "\3abcdef", 7, 1, 3, 4);
    finds(&(weft_frame){.length_bytes = 1}, "\0", 1, 1, 0, 1);
    finds(&(weft_frame){.length_bytes = 2}, "\0\3abc", 5, 2, 3, 5);
    finds(&(weft_frame){.length_bytes = 2, .little_endian = 1}, "\3\0abc", 5, 2, 3, 5);
    finds(&(weft_frame){.length_bytes = 4, .little_endian = 1}, "\3\0\0\0abc", 7, 4, 3, 7);
    finds(&(weft_frame){.length_bytes = 8}, "\0\0\0\0\0\0\0\3abc", 11, 8, 3, 11);
    finds(&(weft_frame){.length_bytes = 8, .little_endian = 1}, "\3\0\0\0\0\0\0\0abc", 11, 8, 3, 11);
    finds(&(weft_frame){.length_bytes = 2, .counts_itself = 1}, "\0\5abc", 5, 2, 3, 5);
    finds(&(weft_frame){.counts_itself = 1}, "\0\0\0\4", 4, 4, 0, 4);
}

TEST(frame_of_a_hostile_length_is_refused_at_once)
{
    refuses(-EMSGSIZE, &(weft_frame){0}, "\0\0\3\xe9", 4); /* 1001 */
    refuses(-EMSGSIZE, &(weft_frame){0}, "\xff\xff\xff\xff", 4);
    refuses(-EMSGSIZE, &(weft_frame){.length_bytes = 8}, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    refuses(-EMSGSIZE, &(weft_frame){.length_bytes = 8}, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8);
    refuses(-EMSGSIZE, &(weft_frame){.length_bytes = 8, .counts_itself = 1}, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    refuses(-EPROTO, &(weft_frame){.length_bytes = 8, .counts_itself = 1}, "\0\0\0\0\0\0\0\7", 8);
    refuses(-EPROTO, &(weft_frame){.counts_itself = 1}, "\0\0\0\0", 4);
    refuses(0, &(weft_frame){0}, "\0\0\3\xe8", 4); /* 1000 may be */
    char endless[1100];
    memset(endless, 'x', sizeof endless);
    refuses(0, &(weft_frame){.kind = WEFT_FRAME_DELIMITER}, endless, 1000);
    refuses(-EMSGSIZE, &(weft_frame){.kind = WEFT_FRAME_DELIMITER}, endless, 1001);
    endless[1001] = '\n';
    refuses(-EMSGSIZE, &(weft_frame){.kind = WEFT_FRAME_DELIMITER}, endless, 1002);
    endless[1000] = '\n';
    refuses(1, &(weft_frame){.kind = WEFT_FRAME_DELIMITER}, endless, 1001);
    refuses(-EMSGSIZE, &(weft_frame){.kind = WEFT_FRAME_FIXED, .size = 1001}, endless, 1);
}

TEST(frame_by_delimiter_is_found)
{
    finds(&(weft_frame){.kind = WEFT_FRAME_DELIMITER}, "abc\ndef\n", 8, 0, 3, 4);
    finds(&(weft_frame){.kind = WEFT_FRAME_DELIMITER}, "\n", 1, 0, 0, 1);
    finds(&(weft_frame){.kind = WEFT_FRAME_DELIMITER, .delimiter = "\r\n", .delimiter_size = 2}, "a\rb\nc\r\n", 7, 0, 5,
          7);
    finds(&(weft_frame){.kind = WEFT_FRAME_DELIMITER, .delimiter = "0123456789abcdef", .delimiter_size = 16},
          "0123456789abcd0123456789abcdef", 30, 0, 14, 30);
    finds(&(weft_frame){.kind = WEFT_FRAME_DELIMITER, .delimiter = "\0", .delimiter_size = 1}, "ab\0", 3, 0, 2, 3);
}

TEST(frame_of_fixed_size_is_found)
{
    finds(&(weft_frame){.kind = WEFT_FRAME_FIXED, .size = 3}, "abcd", 4, 0, 3, 3);
}

TEST(frame_delimiter_is_searched_once)
{
    char data[1000];
    size_t scanned = 0, end;
    memset(data, 'x', sizeof data);
    memcpy(data + 498, "---", 3);
    for (size_t n = 0; n <= 500; n++) {
        CHECK_INT(0, weft__find_delimiter(data, n, "---", 3, &scanned, &end));
        CHECK_INT(n < 3 ? 0 : n - 2, scanned);
    }
    CHECK_INT(1, weft__find_delimiter(data, 501, "---", 3, &scanned, &end));
    CHECK_INT(501, end);
}

static int wraps(const weft_frame *f, const char *data, size_t size)
{
    char head[WEFT__FRAME_HEAD_MAX], whole[2000];
    const char *tail;
    size_t head_size, tail_size;
    int err = weft__frame_wrap(f, 1000, data, size, head, &head_size, &tail, &tail_size);
    if (err < 0)
        return err;
    memcpy(whole, head, head_size);
    memcpy(whole + head_size, data, size);
    memcpy(whole + head_size + size, tail, tail_size);
    finds(f, whole, head_size + size + tail_size, head_size, size, head_size + size + tail_size);
    return 0;
}

TEST(frame_wraps_what_it_finds)
{
    for (unsigned bytes = 0; bytes <= 8; bytes++)
        for (unsigned little = 0; little < 2; little++)
            for (unsigned itself = 0; itself < 2; itself++) {
                weft_frame f = {.length_bytes = (unsigned char)bytes,
                                .little_endian = (unsigned char)little,
                                .counts_itself = (unsigned char)itself};
                if (bytes != 0 && bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
                    CHECK_ERR(-EINVAL, weft__frame_check(&f));
                    continue;
                }
                CHECK_OK(weft__frame_check(&f));
                CHECK_OK(wraps(&f, "hello", 5));
                CHECK_OK(wraps(&f, "", 0));
            }
}

TEST(frame_that_would_be_read_otherwise_is_not_sent)
{
    char large[1001] = {0};
    weft_frame two = {.kind = WEFT_FRAME_DELIMITER, .delimiter = "aa", .delimiter_size = 2};
    CHECK_ERR(-EMSGSIZE, wraps(&(weft_frame){0}, large, 1001));
    CHECK_OK(wraps(&(weft_frame){0}, large, 1000));
    CHECK_ERR(-EMSGSIZE, wraps(&(weft_frame){.length_bytes = 1}, large, 256));
    CHECK_OK(wraps(&(weft_frame){.length_bytes = 1}, large, 255));
    CHECK_ERR(-EMSGSIZE, wraps(&(weft_frame){.length_bytes = 1, .counts_itself = 1}, large, 255));
    CHECK_ERR(-EINVAL, wraps(&(weft_frame){.kind = WEFT_FRAME_DELIMITER}, "a\nb", 3));
    CHECK_ERR(-EINVAL, wraps(&two, "xaax", 4));
    CHECK_ERR(-EINVAL, wraps(&two, "xa", 2)); /* "xa" and "aa" would be read as "x" */
    CHECK_OK(wraps(&two, "axa b", 5));
    CHECK_OK(wraps(&two, "", 0));
    CHECK_ERR(-EINVAL, wraps(&(weft_frame){.kind = WEFT_FRAME_FIXED, .size = 3}, "ab", 2));
    CHECK_OK(wraps(&(weft_frame){.kind = WEFT_FRAME_FIXED, .size = 3}, "abc", 3));
    CHECK_ERR(-EINVAL, weft__frame_check(&(weft_frame){.kind = WEFT_FRAME_FIXED}));
    CHECK_ERR(-EINVAL, weft__frame_check(&(weft_frame){.kind = 3}));
    CHECK_ERR(-EINVAL, weft__frame_check(&(weft_frame){.kind = WEFT_FRAME_DELIMITER, .delimiter_size = 17}));
}
