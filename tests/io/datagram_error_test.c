/* datagram_error_test.c - an error that comes behind the first datagram of a batch is told by the next call, in a
 * thread and in coroutines over every back end. S001-18, S001-38. */
#include "io/io_support.h"

#include <weft/co.h>
#include <weft/datagram.h>

enum {
    AT_ONCE = 64 /* datagrams of one system call; the error comes with the next one */
};

static void open_both(weft_datagram **server, weft_datagram **client, const weft_datagram_options *options)
{
    CHECK_OK(weft_udp_open(server, NULL, 0, options));
    CHECK_OK(weft_udp_connect(client, NULL, weft_datagram_port(*server), options));
}

static void fill_items(weft_datagram_item *items, unsigned n, char *bytes)
{
    for (unsigned i = 0; i < n; i++)
        items[i] = (weft_datagram_item){.data = bytes + i, .size = 1};
}

/* The second system call of this kind from now on fails. */
static void plan_refusal(enum weft__sys_call call)
{
    weft__sys_plan(call, 2, 1, -ECONNREFUSED, 0);
}

static void drain(weft_datagram *d, int n)
{
    char byte;
    for (int i = 0; i < n; i++)
        CHECK_INT(1, weft_datagram_recv(d, &byte, 1, NULL, io_patience()));
    CHECK_ERR(-ETIMEDOUT, weft_datagram_recv(d, &byte, 1, NULL, WEFT_NOW));
}

TEST_WAITERS(datagrams_received_before_an_error_are_counted_and_the_error_comes_next)
{
    static const weft_datagram_options plain = {0}, gathers = {.gather = 1};
    weft_datagram *server, *client;
    weft_datagram_item items[AT_ONCE + 6];
    char bytes[AT_ONCE + 6] = {0};
    for (int gathered = 0; gathered < 2; gathered++) {
        open_both(&server, &client, gathered ? &gathers : &plain);
        fill_items(items, AT_ONCE + 6, bytes);
        CHECK_INT(AT_ONCE + 6, weft_datagram_send_many(client, items, AT_ONCE + 6, io_patience()));
        plan_refusal(WEFT__SYS_RECV);
        int n = weft_datagram_recv_many(server, items, AT_ONCE + 6, io_patience());
        weft__sys_plan_none();
        CHECK_BETWEEN(1, AT_ONCE, n);
        CHECK_INT(0, weft_datagram_recv_many(server, items, 0, io_patience()));
        CHECK_ERR(-ECONNREFUSED, weft_datagram_recv_many(server, items, 1, io_patience()));
        drain(server, AT_ONCE + 6 - n);
        weft_datagram_close(client);
        weft_datagram_close(server);
    }
}

/* What is told of earlier ones is not the result of a call only for those: also a send has it. */
TEST_WAITERS(datagram_error_behind_a_received_batch_is_told_to_a_sender)
{
    weft_datagram *server, *client;
    weft_datagram_item items[AT_ONCE + 1];
    char bytes[AT_ONCE + 1] = {0};
    weft_address at;
    open_both(&server, &client, NULL);
    fill_items(items, AT_ONCE + 1, bytes);
    CHECK_INT(AT_ONCE + 1, weft_datagram_send_many(client, items, AT_ONCE + 1, io_patience()));
    plan_refusal(WEFT__SYS_RECV);
    CHECK_INT(AT_ONCE, weft_datagram_recv_many(server, items, AT_ONCE + 1, io_patience()));
    weft__sys_plan_none();
    CHECK_OK(weft_datagram_local(client, &at));
    CHECK_ERR(-ECONNREFUSED, weft_datagram_send(server, "x", 1, &at, io_patience()));
    CHECK_INT(1, weft_datagram_send(server, "x", 1, &at, io_patience()));
    drain(client, 1);
    drain(server, 1);
    weft_datagram_close(client);
    weft_datagram_close(server);
}

TEST_WAITERS(datagrams_sent_before_an_error_are_counted_and_the_error_comes_next)
{
    static const weft_datagram_options alone = {.no_segmentation = 1};
    weft_datagram *server, *client;
    weft_datagram_item items[AT_ONCE + 1];
    char bytes[AT_ONCE + 1] = {0}, byte;
    fill_items(items, AT_ONCE + 1, bytes);
    for (int next = 0; next < 3; next++) {
        open_both(&server, &client, &alone);
        plan_refusal(WEFT__SYS_SEND);
        CHECK_INT(AT_ONCE, weft_datagram_send_many(client, items, AT_ONCE + 1, io_patience()));
        weft__sys_plan_none();
        CHECK_INT(0, weft_datagram_send_many(client, items, 0, io_patience()));
        CHECK_ERR(-ECONNREFUSED, next == 0   ? weft_datagram_send(client, "x", 1, NULL, io_patience())
                                 : next == 1 ? weft_datagram_send_many(client, items + AT_ONCE, 1, io_patience())
                                             : weft_datagram_recv(client, &byte, 1, NULL, io_patience()));
        CHECK_INT(1, weft_datagram_send_many(client, items + AT_ONCE, 1, io_patience()));
        drain(server, AT_ONCE + 1);
        weft_datagram_close(client);
        weft_datagram_close(server);
    }
}

/* What is wrong with one datagram is not held against the next one. */
TEST_WAITERS(datagram_error_of_one_of_a_batch_is_its_own)
{
    static char large[70000];
    weft_datagram *server, *client;
    weft_datagram_item items[3] = {{(char[]){"a"}, 1, {0}}, {large, sizeof large, {0}}, {(char[]){"c"}, 1, {0}}};
    open_both(&server, &client, NULL);
    CHECK_INT(1, weft_datagram_send_many(client, items, 3, io_patience()));
    CHECK_ERR(-EMSGSIZE, weft_datagram_send_many(client, items + 1, 2, io_patience()));
    CHECK_INT(1, weft_datagram_send_many(client, items, 3, io_patience()));
    CHECK_INT(1, weft_datagram_send_many(client, items + 2, 1, io_patience()));
    drain(server, 3);
    weft_datagram_close(client);
    weft_datagram_close(server);
}
