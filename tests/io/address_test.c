/* address_test.c - addresses from text and back. */
#include "io/io_support.h"

static void check_round_trip(const char *host, unsigned port, const char *text)
{
    weft__address a;
    char shown[WEFT_ADDRESS_MAX];
    CHECK_OK(weft__address_parse(&a, host, port));
    CHECK_INT(strlen(text), weft__address_text(&a, shown, sizeof shown));
    CHECK_STR(text, shown);
    CHECK_INT(port, weft__address_port(&a));
}

TEST(address_numeric_is_parsed_and_shown)
{
    check_round_trip("127.0.0.1", 8000, "127.0.0.1:8000");
    check_round_trip("0.0.0.0", 0, "0.0.0.0:0");
    check_round_trip("255.255.255.255", 65535, "255.255.255.255:65535");
    check_round_trip("::1", 80, "[::1]:80");
    check_round_trip("[::1]", 80, "[::1]:80");
    check_round_trip("::", 1, "[::]:1");
    check_round_trip("2001:DB8:0:0:0:0:0:1", 443, "[2001:db8::1]:443");
    check_round_trip("::ffff:192.0.2.7", 9, "192.0.2.7:9"); /* IPv4 in IPv6's clothes */
    check_round_trip("fe80::1%lo", 5, "[fe80::1%lo]:5");
    check_round_trip("fe80::1%1", 5, "[fe80::1%lo]:5");
}

TEST(address_that_is_no_number_is_a_name)
{
    static const char *const names[] = {
        "",
        "localhost",
        "127.0.0.1.",
        "127.1",
        "1.2.3.256",
        " 127.0.0.1",
        "[127.0.0.1",
        "::1]",
        "[::1",
        "fe80::1%",
        "fe80::1%nosuch",
        ":::",
        "1.2.3.4%lo",
        "[]",
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    };
    weft__address a;
    for (size_t i = 0; i < WEFT__ARRAY_LEN(names); i++)
        if (weft__address_parse(&a, names[i], 80) != -EINVAL)
            FAIL("'%s' was taken for a number", names[i]);
    CHECK_ERR(-EINVAL, weft__address_parse(&a, "127.0.0.1", 65536));
}

TEST(address_text_is_cut_to_its_room)
{
    weft__address a;
    char shown[8] = "#######";
    CHECK_OK(weft__address_parse(&a, "127.0.0.1", 8000));
    CHECK_INT(4, weft__address_text(&a, shown, 5));
    CHECK_STR("127.", shown);
    CHECK_INT(0, weft__address_host(&a, shown, 0));
    a.size = 0;
    CHECK_INT(1, weft__address_text(&a, shown, sizeof shown));
    CHECK_STR("-", shown);
}

TEST(address_of_unix_sockets_is_their_path)
{
    int fds[2];
    char text[WEFT_ADDRESS_MAX];
    weft__address a = {.un = {.sun_family = AF_UNIX, .sun_path = "/run/weft"}};
    a.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 10);
    weft__address_text(&a, text, sizeof text);
    CHECK_STR("unix:/run/weft", text);
    memcpy(a.un.sun_path, "\0name", 5);
    a.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 5);
    weft__address_text(&a, text, sizeof text);
    CHECK_STR("unix:@name", text);
    CHECK_OK(weft__sys_socketpair(fds));
    CHECK_OK(weft__sys_local(fds[0], &a)); /* it has no name */
    weft__address_text(&a, text, sizeof text);
    CHECK_STR("unix:", text);
    close(fds[0]);
    close(fds[1]);
}
