/* address_test.c - addresses from text and back. */
#include "io/io_support.h"

#include <sys/resource.h>

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
    CHECK_OK(weft__sys_socketpair(SOCK_STREAM, fds));
    CHECK_OK(weft__sys_local(fds[0], &a)); /* it has no name */
    weft__address_text(&a, text, sizeof text);
    CHECK_STR("unix:", text);
    close(fds[0]);
    close(fds[1]);
}

/* ---- weft/address.h ---- */

static void reads_as(const char *text, const char *shown, unsigned port, int class)
{
    weft_address a;
    char back[WEFT_ADDRESS_MAX];
    CHECK_OK(weft_address_parse(&a, text));
    CHECK_INT(strlen(shown), weft_address_text(&a, back));
    CHECK_STR(shown, back);
    CHECK_INT(port, weft_address_port(&a));
    CHECK_INT(class, weft_address_class(&a));
}

/* S001-04, S001-05, S001-08. */
TEST(address_text_is_read_shown_and_classed)
{
    reads_as("192.168.1.5:8888", "192.168.1.5:8888", 8888, WEFT_ADDRESS_PRIVATE);
    reads_as("192.168.1.5", "192.168.1.5:0", 0, WEFT_ADDRESS_PRIVATE);
    reads_as("172.40.91.178:1", "172.40.91.178:1", 1, WEFT_ADDRESS_PUBLIC);
    reads_as("172.31.0.1:1", "172.31.0.1:1", 1, WEFT_ADDRESS_PRIVATE);
    reads_as("172.15.255.255", "172.15.255.255:0", 0, WEFT_ADDRESS_PUBLIC);
    reads_as("10.0.0.1", "10.0.0.1:0", 0, WEFT_ADDRESS_PRIVATE);
    reads_as("127.0.0.1:65535", "127.0.0.1:65535", 65535, WEFT_ADDRESS_LOOPBACK);
    reads_as("0.0.0.0", "0.0.0.0:0", 0, WEFT_ADDRESS_ANY);
    reads_as("255.255.255.255", "255.255.255.255:0", 0, WEFT_ADDRESS_BROADCAST);
    reads_as("239.1.2.3", "239.1.2.3:0", 0, WEFT_ADDRESS_MULTICAST);
    reads_as("169.254.7.7", "169.254.7.7:0", 0, WEFT_ADDRESS_LINK_LOCAL);
    reads_as("203.0.113.9", "203.0.113.9:0", 0, WEFT_ADDRESS_RESERVED);
    reads_as("8.8.8.8", "8.8.8.8:0", 0, WEFT_ADDRESS_PUBLIC);
    reads_as("fe80::80a:76cf:ab11:2d73", "[fe80::80a:76cf:ab11:2d73]:0", 0, WEFT_ADDRESS_LINK_LOCAL);
    reads_as("[::1]:8000", "[::1]:8000", 8000, WEFT_ADDRESS_LOOPBACK);
    reads_as("::", "[::]:0", 0, WEFT_ADDRESS_ANY);
    reads_as("[fd00::2]:5", "[fd00::2]:5", 5, WEFT_ADDRESS_PRIVATE);
    reads_as("2606:4700::1111", "[2606:4700::1111]:0", 0, WEFT_ADDRESS_PUBLIC);
    reads_as("2001:db8::1", "[2001:db8::1]:0", 0, WEFT_ADDRESS_RESERVED);
    reads_as("ff02::1", "[ff02::1]:0", 0, WEFT_ADDRESS_MULTICAST);
    reads_as("::ffff:10.1.2.3", "10.1.2.3:0", 0, WEFT_ADDRESS_PRIVATE);
    reads_as("unix:/run/a.sock", "unix:/run/a.sock", 0, WEFT_ADDRESS_NONE);
    reads_as("unix:@name", "unix:@name", 0, WEFT_ADDRESS_NONE);
}

TEST(address_text_out_of_range_is_refused)
{
    static const char *const bad[] = {"",
                                      "256.1.1.1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "1.2.3.4:65536",
                                      "1.2.3.4:",
                                      "1.2.3.4:x",
                                      "1.2.3.4:-1",
                                      "1.2.3.4: 1",
                                      "[::1",
                                      "[::1]:99999",
                                      "::1::2",
                                      "fe80:::1",
                                      "localhost",
                                      "unix:",
                                      "12345::1",
                                      "1.2.3.4:000080",
                                      "fe80::1%",
                                      "fe80::1%0",
                                      "fe80::1%1x",
                                      "fe80::1%-1",
                                      "fe80::1%4294967297"};
    weft_address a;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_ERR(-EINVAL, weft_address_parse(&a, bad[i]));
}

TEST(address_is_equal_to_itself_in_other_clothes)
{
    weft_address a, b;
    CHECK_OK(weft_address_parse(&a, "[::ffff:127.0.0.1]:80"));
    CHECK_OK(weft_address_of(&b, "127.0.0.1", 80));
    CHECK_INT(1, weft_address_equal(&a, &b));
    CHECK_OK(weft_address_of(&b, "127.0.0.1", 81));
    CHECK_INT(0, weft_address_equal(&a, &b));
    CHECK_OK(weft_address_of(&a, "", 81));
    CHECK_INT(0, weft_address_equal(&a, &b));
    CHECK_OK(weft_address_unix(&a, "/tmp/x"));
    CHECK_INT(0, weft_address_equal(&a, &b));
    CHECK_OK(weft_address_unix(&b, "/tmp/x"));
    CHECK_INT(1, weft_address_equal(&a, &b));
    a.size = b.size = 0;
    CHECK_INT(1, weft_address_equal(&a, &b));
}

TEST_IN(THREAD | CO, address_of_a_name_is_looked_up)
{
    weft_address found[4];
    int n = weft_address_lookup(found, 4, "localhost", 8888);
    CHECK_BETWEEN(1, 4, n);
    CHECK_INT(8888, weft_address_port(&found[0]));
    CHECK_INT(WEFT_ADDRESS_LOOPBACK, weft_address_class(&found[0]));
    CHECK_INT(1, weft_address_lookup(found, 4, "10.0.0.1", 1));
    CHECK_INT(1, weft_address_lookup(found, 1, "localhost", 1));
    CHECK_ERR(-EINVAL, weft_address_lookup(found, 1, "localhost", 70000));
    CHECK_ERR(-EINVAL, weft_address_lookup(found, 0, "localhost", 1));
}

/* The C library cannot read its files then and says that there is no such name. */
/* What names a machine gives its addresses is its own affair; a number is none. */
TEST_IN(THREAD | CO, address_has_a_name_or_says_so)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.1"};
    weft_address a;
    char name[1025], small[2];
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        CHECK_OK(weft_address_of(&a, hosts[i], 80));
        int n = weft_address_name(&a, name, sizeof name);
        CHECK(n > 0 || n == -ENOENT || n == -EAGAIN);
        if (n <= 0)
            continue;
        CHECK_INT(n, strlen(name));
        CHECK_ERR(-EINVAL, weft_address_of(&a, name, 0));
        CHECK_OK(weft_address_of(&a, hosts[i], 80));
        CHECK_ERR(-ENAMETOOLONG, weft_address_name(&a, small, n > 1 ? sizeof small : 1));
    }
    CHECK_ERR(-EINVAL, weft_address_name(&a, name, 0));
    CHECK_OK(weft_address_unix(&a, "@name"));
    CHECK_ERR(-EINVAL, weft_address_name(&a, name, sizeof name));
    CHECK_ERR(-EINVAL, weft_address_name(&(weft_address){.size = 0}, name, sizeof name));
}

TEST(address_look_up_without_descriptors_says_so)
{
    weft_address found;
    struct rlimit limit;
    int next = dup(0);
    CHECK(next >= 0);
    close(next);
    CHECK_INT(0, getrlimit(RLIMIT_NOFILE, &limit));
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next, limit.rlim_max}));
    CHECK_ERR(-EMFILE, weft_address_lookup(&found, 1, "weft-test.invalid", 1));
    CHECK_INT(0, setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_ERR(1, weft_address_lookup(&found, 1, "localhost", 1));
}
