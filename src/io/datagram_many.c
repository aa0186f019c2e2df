/* datagram_many.c - datagrams by the batch.
 *
 * Sending: items become messages of one sendmmsg. Neighbours with one address and one size become one message with
 * UDP_SEGMENT, of which only the last part may be smaller. The kernel refuses that where parts would not fit the
 * network's largest packet (-EINVAL, -EMSGSIZE) or the card cannot do it (-EIO): then that run, or from then on
 * everything, goes one by one, so what is sent never depends on it.
 * Receiving: recvmmsg, or, when the socket gathers, one bundle at a time into the socket's memory, from where the
 * datagrams are handed out in their order. Pinned by tests/io/datagram_test.c. */
#include "io/datagram.h"

#include "sys/sys.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

enum {
    BATCH = 64,    /* datagrams a system call; also the most parts the kernel takes */
    WHOLE = 65000, /* bytes of one message, all parts together */
    BUNDLE = 65536
};

/* ---- send ---- */

typedef union segment_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
} segment_control;

typedef struct outgoing {
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    segment_control controls[BATCH];
    struct sockaddr_in6 mapped[BATCH];
    unsigned items[BATCH]; /* of each message */
    unsigned count;
} outgoing;

/* How many items from the first on can go as one message. */
static unsigned run_length(const weft_datagram_item *items, unsigned n)
{
    unsigned length = 1;
    size_t total = items[0].size;
    if (total == 0)
        return 1;
    while (length < n && items[length - 1].size == items[0].size) {
        const weft_datagram_item *next = &items[length];
        if (next->size == 0 || next->size > items[0].size || total + next->size > WHOLE ||
            next->address.size != items[0].address.size ||
            memcmp(&next->address.any, &items[0].address.any, next->address.size) != 0)
            break;
        total += next->size;
        length++;
    }
    return length;
}

static void add_message(const weft_datagram *d, outgoing *o, const weft_datagram_item *items, unsigned n,
                        struct iovec *pieces)
{
    unsigned at = o->count++;
    struct msghdr *msg = &o->messages[at].msg_hdr;
    o->items[at] = n;
    for (unsigned i = 0; i < n; i++)
        pieces[i] = (struct iovec){items[i].data, items[i].size};
    *msg = (struct msghdr){.msg_iov = pieces, .msg_iovlen = n};
    if (items->address.size != 0 && d->family == items->address.any.sa_family) {
        msg->msg_name = (void *)(uintptr_t)&items->address.any;
        msg->msg_namelen = items->address.size;
    } else if (items->address.size != 0) {
        weft_address a;
        (void)weft__datagram_address(d, &items->address, &a);
        memcpy(&o->mapped[at], &a.any, a.size);
        msg->msg_name = &o->mapped[at];
        msg->msg_namelen = a.size;
    }
    if (n == 1)
        return;
    uint16_t size = (uint16_t)items->size;
    segment_control *c = &o->controls[at];
    memset(c, 0, sizeof *c);
    c->align.cmsg_level = IPPROTO_UDP;
    c->align.cmsg_type = UDP_SEGMENT;
    c->align.cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(&c->align), &size, sizeof size);
    msg->msg_control = c->bytes;
    msg->msg_controllen = sizeof c->bytes;
}

static bool has_fitting_address(const weft_datagram *d, const weft_datagram_item *item)
{
    weft_address a;
    return item->address.size == 0 || item->address.any.sa_family == d->family ||
           weft__datagram_address(d, &item->address, &a) == 0;
}

/* The first up to BATCH items as messages; `plain` of them alone. None from the first on whose address will not do. */
static void fill(const weft_datagram *d, outgoing *o, const weft_datagram_item *items, unsigned n, unsigned plain)
{
    bool segments = load_relaxed(&d->no_segments) == 0;
    o->count = 0;
    if (n > BATCH)
        n = BATCH;
    for (unsigned at = 0; at < n && has_fitting_address(d, &items[at]);) {
        unsigned length = segments && at >= plain ? run_length(items + at, n - at) : 1;
        add_message(d, o, items + at, length, &o->pieces[at]);
        at += length;
    }
}

/* The first message, of several parts, did not go: whether its items are to be tried alone. */
static bool is_about_segments(weft_datagram *d, int err)
{
    if (err == -EIO || err == -EOPNOTSUPP || err == -ENOPROTOOPT)
        store_relaxed(&d->no_segments, 1u);
    else if (err != -EINVAL && err != -EMSGSIZE)
        return false;
    return true;
}

static int send_many(weft_datagram *d, const weft_datagram_item *items, unsigned n, weft_until until)
{
    weft__trying t = {.until = until, .pause = WEFT__FIRST_PAUSE};
    outgoing o;
    unsigned sent = 0, plain = 0, tries = 0;
    while (sent < n) {
        fill(d, &o, items + sent, n - sent, plain);
        if (o.count == 0)
            return sent > 0 ? (int)sent : -EAFNOSUPPORT;
        int k = weft__sys_sendmmsg(d->stream.fd, o.messages, o.count);
        bool too_large = k == -EMSGSIZE && o.items[0] > 1;
        if (k < 0 && !too_large && weft__datagram_sends_again(d, k, &tries))
            continue;
        tries = 0;
        if (k > 0) {
            for (int i = 0; i < k; i++) {
                sent += o.items[i];
                plain -= plain < o.items[i] ? plain : o.items[i];
            }
            t.pause = WEFT__FIRST_PAUSE;
            continue;
        }
        if (k == -EAGAIN)
            k = weft__datagram_wait(d, &t, WEFT_POLLOUT, d->family != AF_UNIX || items[sent].address.size == 0);
        else if (o.items[0] > 1 && is_about_segments(d, k)) {
            plain = o.items[0];
            k = 0;
        } else if (k == -EPIPE && weft__stream_closed(&d->stream))
            k = -EBADF;
        if (k < 0 && sent > 0)
            weft__datagram_keep_sent(d, k, items[sent].address.size == 0);
        if (k < 0)
            return sent > 0 ? (int)sent : k;
    }
    return (int)sent;
}

int weft_datagram_send_many(weft_datagram *d, const weft_datagram_item *items, unsigned n, weft_until until)
{
    if (n > INT32_MAX)
        return -EINVAL;
    int k = weft__stream_enter(&d->stream);
    if (k < 0)
        return k;
    k = n > 0 ? weft__datagram_kept(d) : 0;
    if (k == 0)
        k = send_many(d, items, n, until);
    weft__stream_leave(&d->stream);
    return k;
}

/* ---- receive ---- */

/* Without waiting: how many came, or -errno. */
static int take(weft_datagram *d, weft_datagram_item *items, unsigned n)
{
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    if (n > BATCH)
        n = BATCH;
    for (unsigned i = 0; i < n; i++) {
        pieces[i] = (struct iovec){items[i].data, items[i].size};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i],
                                              .msg_iovlen = 1,
                                              .msg_name = &items[i].address.any,
                                              .msg_namelen = sizeof items[i].address.un};
    }
    int got = weft__sys_recvmmsg(d->stream.fd, messages, n, MSG_DONTWAIT | MSG_TRUNC);
    for (int i = 0; i < got; i++) {
        items[i].size = messages[i].msg_len;
        items[i].address.size = weft__address_size(messages[i].msg_hdr.msg_namelen);
        weft__address_unmap(&items[i].address);
    }
    return got;
}

/* The next bundle, without waiting: 0 or -errno. */
static int take_bundle(weft_datagram *d)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {d->bundle, BUNDLE};
    struct msghdr msg = {.msg_iov = &piece,
                         .msg_iovlen = 1,
                         .msg_name = &d->from.any,
                         .msg_control = control.bytes,
                         .msg_namelen = sizeof d->from.un,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n = weft__sys_recvmsg(d->stream.fd, &msg, MSG_DONTWAIT);
    if (n < 0)
        return (int)n;
    d->from.size = msg.msg_namelen;
    weft__address_unmap(&d->from);
    d->at = 0;
    d->end = d->segment = (size_t)n;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        if (size > 0)
            d->segment = (size_t)size;
    }
    return 0;
}

/* The same as take from bundles. Pre: locked. */
static int take_gathered(weft_datagram *d, weft_datagram_item *items, unsigned n)
{
    unsigned got = 0;
    while (got < n) {
        bool empty_one = false;
        if (d->at == d->end) {
            int err = take_bundle(d);
            if (err < 0 && got > 0)
                weft__datagram_keep(d, err);
            if (err < 0)
                return got > 0 ? (int)got : err;
            empty_one = d->end == 0;
        }
        size_t size = d->end - d->at < d->segment ? d->end - d->at : d->segment;
        weft_datagram_item *item = &items[got++];
        if (!empty_one)
            memcpy(item->data, d->bundle + d->at, size < item->size ? size : item->size);
        item->size = size;
        item->address = d->from;
        d->at += size;
    }
    return (int)got;
}

static int recv_many(weft_datagram *d, weft_datagram_item *items, unsigned n, weft_until until)
{
    weft__trying t = {.until = until};
    unsigned got = 0;
    /* What lies in the bundle is not told by the kernel. */
    bool try = d->at < d->end || weft__stream_may_try(&d->stream, WEFT_POLLIN);
    while (got < n) {
        int k = -EAGAIN;
        if (try)
            k = (d->bundle != NULL ? take_gathered : take)(d, items + got, n - got);
        if (k > 0) {
            got += (unsigned)k;
            if ((unsigned)k < BATCH || load_relaxed(&d->kept) != 0)
                break;
            continue;
        }
        if (got > 0) {
            weft__datagram_keep(d, k);
            break;
        }
        if (d->forgives && weft__datagram_hears(d, k))
            continue;
        if (k == -EAGAIN)
            k = weft__datagram_wait(d, &t, WEFT_POLLIN, true);
        if (k < 0)
            return k;
        try = true; /* the wait has looked for itself: the home may not have been told yet */
    }
    return (int)got;
}

int weft_datagram_recv_many(weft_datagram *d, weft_datagram_item *items, unsigned n, weft_until until)
{
    if (n > INT32_MAX)
        return -EINVAL;
    int k = weft__stream_enter(&d->stream);
    if (k < 0)
        return k;
    k = n > 0 ? weft__datagram_kept(d) : 0;
    if (k < 0) {
        weft__stream_leave(&d->stream);
        return k;
    }
    if (d->bundle == NULL)
        k = recv_many(d, items, n, until);
    else if ((k = weft_lock_acquire_until(&d->lock, until)) == 0) {
        k = recv_many(d, items, n, until);
        weft_lock_release(&d->lock);
    }
    weft__stream_leave(&d->stream);
    return k;
}
