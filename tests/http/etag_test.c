/* etag_test.c - entity tags (RFC 9110 8.8.3) and the order of preconditions (13.2.2). */
#include "http/etag.h"

#include "harness/harness.h"

#include <string.h>

#define SPAN(text)  ((weft__span){(text), strlen(text)})
#define FIELD(text) ((text) != NULL ? SPAN(text) : (weft__span){NULL, 0})

TEST(etag_lists_are_searched)
{
    static const struct {
        const char *list, *etag;
        enum weft__etag_match weak, strong;
    } rows[] = {
        {"\"a\"", "\"a\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH},
        {"\"b\"", "\"a\"", WEFT__ETAG_NONE, WEFT__ETAG_NONE},
        {"\"A\"", "\"a\"", WEFT__ETAG_NONE, WEFT__ETAG_NONE},
        /* the table of 8.8.3.2 */
        {"W/\"1\"", "W/\"1\"", WEFT__ETAG_MATCH, WEFT__ETAG_NONE},
        {"W/\"1\"", "W/\"2\"", WEFT__ETAG_NONE, WEFT__ETAG_NONE},
        {"W/\"1\"", "\"1\"", WEFT__ETAG_MATCH, WEFT__ETAG_NONE},
        {"\"1\"", "W/\"1\"", WEFT__ETAG_MATCH, WEFT__ETAG_NONE},
        {"\"1\"", "\"1\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH},
        {"\"x\", \"a\"", "\"a\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH},
        {"\"x\",W/\"a\"\t,\"y\"", "\"a\"", WEFT__ETAG_MATCH, WEFT__ETAG_NONE},
        {", ,\"a\",,", "\"a\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH},
        {"\"x,\\\", \"a\"", "\"a\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH}, /* a comma and a backslash inside a tag */
        {"\"x,a\"", "\"a\"", WEFT__ETAG_NONE, WEFT__ETAG_NONE},
        {"\"\"", "\"\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH},
        {"\"\x80\"", "\"\x80\"", WEFT__ETAG_MATCH, WEFT__ETAG_MATCH},
        {"\"a\"", "", WEFT__ETAG_NONE, WEFT__ETAG_NONE},
        {"*", "\"a\"", WEFT__ETAG_ANY, WEFT__ETAG_ANY},
        {"*, \"a\"", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"\"a\", *", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {",", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"a", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"\"a", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"\"a\" \"b\"", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"\"a\"b", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"\"a\", b", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"w/\"a\"", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"W/a", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"W/", "\"a\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
        {"\"a b\"", "\"a b\"", WEFT__ETAG_INVALID, WEFT__ETAG_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (weft__etag_find(SPAN(rows[i].list), SPAN(rows[i].etag), false) != rows[i].weak)
            FAIL("%s in %s, weakly", rows[i].etag, rows[i].list);
        if (weft__etag_find(SPAN(rows[i].list), SPAN(rows[i].etag), true) != rows[i].strong)
            FAIL("%s in %s, strongly", rows[i].etag, rows[i].list);
    }
}

#define BEFORE   "Sun, 06 Nov 1994 08:49:36 GMT"
#define EQUAL    "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER    "Sun, 06 Nov 1994 08:49:38 GMT"
#define MODIFIED 784111777

typedef struct row {
    const char *name;
    const char *if_match, *if_unmodified_since, *if_none_match, *if_modified_since, *range, *if_range;
    int get, head, put; /* the answers to each */
} row;

static int evaluate(const row *r, bool get, bool read, bool exists)
{
    weft__conditions c = {
        .read = read,
        .get = get,
        .exists = exists,
        .etag = exists ? WEFT__SPAN("\"e\"") : (weft__span){NULL, 0},
        .modified = MODIFIED,
        .now = MODIFIED + 100,
        .if_match = FIELD(r->if_match),
        .if_none_match = FIELD(r->if_none_match),
        .if_modified_since = FIELD(r->if_modified_since),
        .if_unmodified_since = FIELD(r->if_unmodified_since),
        .if_range = FIELD(r->if_range),
        .range = FIELD(r->range),
    };
    return weft__conditions_evaluate(&c);
}

TEST(conditions_are_evaluated_in_order)
{
    static const row rows[] = {
        {"13.2.1 none", NULL, NULL, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.1 If-Match holds", "\"e\"", NULL, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.1 If-Match fails", "\"x\"", NULL, NULL, NULL, NULL, NULL, 412, 412, 412},
        {"13.1.1 If-Match is strong", "W/\"e\"", NULL, NULL, NULL, NULL, NULL, 412, 412, 412},
        {"13.1.1 If-Match *", "*", NULL, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.1 If-Match that is no list matches nothing", "e", NULL, NULL, NULL, NULL, NULL, 412, 412, 412},
        {"13.1.1 an empty If-Match matches nothing", "", NULL, NULL, NULL, NULL, NULL, 412, 412, 412},
        {"13.1.4 If-Unmodified-Since, equal", NULL, EQUAL, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.4 If-Unmodified-Since, later", NULL, AFTER, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.4 If-Unmodified-Since, modified", NULL, BEFORE, NULL, NULL, NULL, NULL, 412, 412, 412},
        {"13.1.4 an invalid date is no condition", NULL, "yesterday", NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.4 nor are two", NULL, BEFORE ", " BEFORE, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.4 ignored beside If-Match", "\"e\"", BEFORE, NULL, NULL, NULL, NULL, 200, 200, 200},
        {"13.1.2 If-None-Match matches", NULL, NULL, "\"e\"", NULL, NULL, NULL, 304, 304, 412},
        {"13.1.2 If-None-Match is weak", NULL, NULL, "W/\"e\"", NULL, NULL, NULL, 304, 304, 412},
        {"13.1.2 If-None-Match *", NULL, NULL, "*", NULL, NULL, NULL, 304, 304, 412},
        {"13.1.2 If-None-Match does not match", NULL, NULL, "\"x\"", NULL, NULL, NULL, 200, 200, 200},
        {"13.1.2 If-None-Match that is no list", NULL, NULL, "e", NULL, NULL, NULL, 200, 200, 200},
        {"13.1.3 If-Modified-Since, equal", NULL, NULL, NULL, EQUAL, NULL, NULL, 304, 304, 200},
        {"13.1.3 If-Modified-Since, later", NULL, NULL, NULL, AFTER, NULL, NULL, 304, 304, 200},
        {"13.1.3 If-Modified-Since, modified", NULL, NULL, NULL, BEFORE, NULL, NULL, 200, 200, 200},
        {"13.1.3 the old forms", NULL, NULL, NULL, "Sunday, 06-Nov-94 08:49:37 GMT", NULL, NULL, 304, 304, 200},
        {"13.1.3 an invalid date is no condition", NULL, NULL, NULL, "Sun, 06 Nov 1994", NULL, NULL, 200, 200, 200},
        {"13.1.3 nor are two", NULL, NULL, NULL, EQUAL ", " EQUAL, NULL, NULL, 200, 200, 200},
        {"13.1.3 ignored beside If-None-Match", NULL, NULL, "\"x\"", AFTER, NULL, NULL, 200, 200, 200},
        {"13.1.3 ignored beside one that is no list", NULL, NULL, "e", AFTER, NULL, NULL, 200, 200, 200},
        {"13.2.2 412 comes before 304", "\"x\"", NULL, "\"e\"", NULL, NULL, NULL, 412, 412, 412},
        {"13.2.2 also by dates", NULL, BEFORE, NULL, AFTER, NULL, NULL, 412, 412, 412},
        {"13.2.2 both hold", "\"e\"", NULL, "\"e\"", NULL, NULL, NULL, 304, 304, 412},
        {"14.2 Range is for GET", NULL, NULL, NULL, NULL, "bytes=0-1", NULL, 206, 200, 200},
        {"13.2.2 304 comes before Range", NULL, NULL, "\"e\"", NULL, "bytes=0-1", NULL, 304, 304, 412},
        {"13.1.5 If-Range, tag", NULL, NULL, NULL, NULL, "bytes=0-1", "\"e\"", 206, 200, 200},
        {"13.1.5 If-Range, another tag", NULL, NULL, NULL, NULL, "bytes=0-1", "\"x\"", 200, 200, 200},
        {"13.1.5 If-Range is strong", NULL, NULL, NULL, NULL, "bytes=0-1", "W/\"e\"", 200, 200, 200},
        {"13.1.5 If-Range takes one tag", NULL, NULL, NULL, NULL, "bytes=0-1", "\"e\", \"e\"", 200, 200, 200},
        {"13.1.5 If-Range takes no *", NULL, NULL, NULL, NULL, "bytes=0-1", "*", 200, 200, 200},
        {"13.1.5 If-Range, equal date", NULL, NULL, NULL, NULL, "bytes=0-1", EQUAL, 206, 200, 200},
        {"13.1.5 If-Range, later date", NULL, NULL, NULL, NULL, "bytes=0-1", AFTER, 200, 200, 200},
        {"13.1.5 If-Range, earlier date", NULL, NULL, NULL, NULL, "bytes=0-1", BEFORE, 200, 200, 200},
        {"13.1.5 If-Range, neither", NULL, NULL, NULL, NULL, "bytes=0-1", "x", 200, 200, 200},
        {"13.1.5 If-Range, empty", NULL, NULL, NULL, NULL, "bytes=0-1", "", 200, 200, 200},
        {"13.1.5 If-Range without Range", NULL, NULL, NULL, NULL, NULL, "\"e\"", 200, 200, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (evaluate(&rows[i], true, true, true) != rows[i].get)
            FAIL("%s: GET %d", rows[i].name, evaluate(&rows[i], true, true, true));
        if (evaluate(&rows[i], false, true, true) != rows[i].head)
            FAIL("%s: HEAD %d", rows[i].name, evaluate(&rows[i], false, true, true));
        if (evaluate(&rows[i], false, false, true) != rows[i].put)
            FAIL("%s: PUT %d", rows[i].name, evaluate(&rows[i], false, false, true));
    }
}

TEST(conditions_on_nothing)
{
    static const row any = {.if_match = "*"}, none = {.if_none_match = "*"}, date = {.if_unmodified_since = BEFORE},
                     since = {.if_modified_since = AFTER};
    CHECK_INT(412, evaluate(&any, true, true, false));
    CHECK_INT(200, evaluate(&none, false, false, false));
    CHECK_INT(200, evaluate(&date, false, false, false));
    CHECK_INT(200, evaluate(&since, true, true, false));
}

TEST(if_range_dates_are_strong_only_when_old)
{
    weft__span none = {NULL, 0};
    CHECK(weft__if_range_holds(WEFT__SPAN(EQUAL), none, MODIFIED, MODIFIED + 1));
    CHECK(!weft__if_range_holds(WEFT__SPAN(EQUAL), none, MODIFIED, MODIFIED));
    CHECK(!weft__if_range_holds(WEFT__SPAN(EQUAL), none, MODIFIED, MODIFIED - 1));
    CHECK(!weft__if_range_holds(WEFT__SPAN("W/\"a\""), WEFT__SPAN("W/\"a\""), MODIFIED, MODIFIED + 1));
    CHECK(!weft__if_range_holds(WEFT__SPAN("\"a\""), none, MODIFIED, MODIFIED + 1));
}
