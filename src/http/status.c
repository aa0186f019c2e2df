/* status.c - one list of codes, which becomes two tables: full status lines, and an index by class and code.
 * 104 is registered for a draft; 306 is reserved and 510 historic: both keep the phrase they were registered with. */
#include "http/status.h"

#include "base/compiler.h"

#define LINE(code, phrase)                                                                                             \
    {                                                                                                                  \
        code, sizeof(phrase) - 1, "HTTP/1.1 " #code " " phrase "\r\n"                                                  \
    }

enum {
    PHRASE_AT = 13 /* bytes of "HTTP/1.1 404 " */
};

static const struct {
    uint16_t code;
    uint8_t phrase_len;
    char line[48];
} lines[] = {
    LINE(100, "Continue"),
    LINE(101, "Switching Protocols"),
    LINE(102, "Processing"),
    LINE(103, "Early Hints"),
    LINE(104, "Upload Resumption Supported"),
    LINE(200, "OK"),
    LINE(201, "Created"),
    LINE(202, "Accepted"),
    LINE(203, "Non-Authoritative Information"),
    LINE(204, "No Content"),
    LINE(205, "Reset Content"),
    LINE(206, "Partial Content"),
    LINE(207, "Multi-Status"),
    LINE(208, "Already Reported"),
    LINE(226, "IM Used"),
    LINE(300, "Multiple Choices"),
    LINE(301, "Moved Permanently"),
    LINE(302, "Found"),
    LINE(303, "See Other"),
    LINE(304, "Not Modified"),
    LINE(305, "Use Proxy"),
    LINE(306, "Switch Proxy"),
    LINE(307, "Temporary Redirect"),
    LINE(308, "Permanent Redirect"),
    LINE(400, "Bad Request"),
    LINE(401, "Unauthorized"),
    LINE(402, "Payment Required"),
    LINE(403, "Forbidden"),
    LINE(404, "Not Found"),
    LINE(405, "Method Not Allowed"),
    LINE(406, "Not Acceptable"),
    LINE(407, "Proxy Authentication Required"),
    LINE(408, "Request Timeout"),
    LINE(409, "Conflict"),
    LINE(410, "Gone"),
    LINE(411, "Length Required"),
    LINE(412, "Precondition Failed"),
    LINE(413, "Content Too Large"),
    LINE(414, "URI Too Long"),
    LINE(415, "Unsupported Media Type"),
    LINE(416, "Range Not Satisfiable"),
    LINE(417, "Expectation Failed"),
    LINE(421, "Misdirected Request"),
    LINE(422, "Unprocessable Content"),
    LINE(423, "Locked"),
    LINE(424, "Failed Dependency"),
    LINE(425, "Too Early"),
    LINE(426, "Upgrade Required"),
    LINE(428, "Precondition Required"),
    LINE(429, "Too Many Requests"),
    LINE(431, "Request Header Fields Too Large"),
    LINE(451, "Unavailable For Legal Reasons"),
    LINE(500, "Internal Server Error"),
    LINE(501, "Not Implemented"),
    LINE(502, "Bad Gateway"),
    LINE(503, "Service Unavailable"),
    LINE(504, "Gateway Timeout"),
    LINE(505, "HTTP Version Not Supported"),
    LINE(506, "Variant Also Negotiates"),
    LINE(507, "Insufficient Storage"),
    LINE(508, "Loop Detected"),
    LINE(510, "Not Extended"),
    LINE(511, "Network Authentication Required"),
};

/* The place of each class in `lines`; the codes of a class are few and ascending. */
static int line_of(int status)
{
    static const uint8_t first[] = {0, 5, 15, 24, 52, 63};
    int class = status / 100;

    if (class < 1 || class > 5)
        return -1;
    for (int i = first[class - 1]; i < first[class]; i++)
        if (lines[i].code == status)
            return i;
    return -1;
}

weft__span weft__status_line(int status)
{
    int i = line_of(status);
    if (i < 0)
        return (weft__span){NULL, 0};
    return (weft__span){lines[i].line, (size_t)PHRASE_AT + lines[i].phrase_len + 2};
}

weft__span weft__status_reason(int status)
{
    static const weft__span classes[] = {{"Informational", 13}, {"Success", 7},       {"Redirection", 11},
                                         {"Client Error", 12},  {"Server Error", 12}, {"Unknown", 7}};
    int i = line_of(status);
    if (i >= 0)
        return (weft__span){lines[i].line + PHRASE_AT, lines[i].phrase_len};
    return classes[status >= 100 && status <= 599 ? status / 100 - 1 : 5];
}
