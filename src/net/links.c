/*
 * Links are looked up again whenever the kernel says that one changed (rtnetlink(7)). An address that is
 * still being checked for duplicates cannot send, and looks the same before and after, so that any word of
 * an address counts as a change.
 */
#include "net/links.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAMS_A_TURN 64

struct stoq_links {
    void (*changed)(void *user);
    void *user;
    int fd;
    struct stoq_watch *watch;
    struct stoq_link list[STOQ_LINKS_MAX];
    size_t count;
    struct stoq_link before[STOQ_LINKS_MAX]; /* of the look before */
};

static struct stoq_link *link_at(struct stoq_links *links, unsigned index)
{
    for (size_t i = 0; i < links->count; i++) {
        if (links->list[i].index == index) {
            return &links->list[i];
        }
    }
    if (links->count == STOQ_LINKS_MAX) {
        return NULL;
    }
    struct stoq_link *l = &links->list[links->count++];
    l->index = index;
    return l;
}

static bool usable(const struct ifaddrs *at)
{
    const unsigned want = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
    return (at->ifa_flags & (want | IFF_LOOPBACK)) == want && at->ifa_addr != NULL;
}

/* Bits of a netmask; IPv4's stand behind the 96 of the mapped range. */
static uint8_t prefix_bits(const struct sockaddr *mask, int family)
{
    struct stoq_addr addr;
    size_t n = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    unsigned bits = family == AF_INET6 ? 0 : 96;
    if (mask == NULL || stoq_addr_from_sockaddr(&addr, mask, n) != STOQ_OK) {
        return 128; /* itself alone */
    }
    while (bits < 128 && (addr.ip[bits / 8] & 0x80U >> bits % 8) != 0) {
        bits++;
    }
    return (uint8_t)bits;
}

static void add_addr(struct stoq_link *l, const struct ifaddrs *at)
{
    int family = at->ifa_addr->sa_family;
    size_t n = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    l->v4 = l->v4 || family == AF_INET;
    l->v6 = l->v6 || family == AF_INET6;
    struct stoq_link_addr *a = &l->addr[l->addr_count];
    if (l->addr_count < STOQ_LINK_ADDRS_MAX &&
        stoq_addr_from_sockaddr(&a->addr, at->ifa_addr, n) == STOQ_OK) {
        a->bits = prefix_bits(at->ifa_netmask, family);
        l->addr_count++;
    }
}

static bool same_link(const struct stoq_link *a, const struct stoq_link *b)
{
    bool same =
        a->index == b->index && a->v4 == b->v4 && a->v6 == b->v6 && a->addr_count == b->addr_count;
    for (size_t i = 0; same && i < a->addr_count; i++) {
        same =
            stoq_addr_eq(&a->addr[i].addr, &b->addr[i].addr) && a->addr[i].bits == b->addr[i].bits;
    }
    return same;
}

/* Look at the links again; true when something is different. */
static bool scan(struct stoq_links *links)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    size_t before = links->count;
    memcpy(links->before, links->list, sizeof links->list);
    memset(links->list, 0, sizeof links->list);
    links->count = 0;
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        unsigned index = usable(at) ? if_nametoindex(at->ifa_name) : 0;
        int family = index != 0 ? at->ifa_addr->sa_family : AF_UNSPEC;
        struct stoq_link *l =
            family == AF_INET || family == AF_INET6 ? link_at(links, index) : NULL;
        if (l != NULL) {
            add_addr(l, at);
        }
    }
    freeifaddrs(all);
    bool same = before == links->count;
    for (size_t i = 0; same && i < links->count; i++) {
        same = same_link(&links->before[i], &links->list[i]);
    }
    return !same;
}

/* Does the kernel tell of an address? */
static bool tells_of_address(const uint8_t *p, size_t n)
{
    while (n >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr head;
        memcpy(&head, p, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > n) {
            return false;
        }
        if (head.nlmsg_type == RTM_NEWADDR) {
            return true;
        }
        size_t step = NLMSG_ALIGN(head.nlmsg_len);
        if (step >= n) {
            return false;
        }
        p += step;
        n -= step;
    }
    return false;
}

static void on_route(void *user, unsigned events)
{
    struct stoq_links *links = user;
    uint8_t bytes[8192];
    bool news = false;
    (void)events;
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        ssize_t n = recv(links->fd, bytes, sizeof bytes, 0);
        if (n == 0 || (n < 0 && errno != ENOBUFS)) {
            break;
        }
        news = news || n < 0 || tells_of_address(bytes, (size_t)n);
    }
    if (scan(links) || news) {
        links->changed(links->user);
    }
}

static int open_route(void)
{
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&nl, sizeof nl) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

enum stoq_status stoq_links_new(struct stoq_links **out, struct stoq_loop *loop,
                                void (*changed)(void *user), void *user, struct stoq_error *err)
{
    struct stoq_links *links = calloc(1, sizeof *links);
    if (links == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "LAN discovery: out of memory");
    }
    links->changed = changed;
    links->user = user;
    links->fd = open_route(); /* without it, as in some sandboxes, the links stay those of now */
    if (links->fd >= 0) {
        enum stoq_status st = stoq_watch_new(&links->watch, loop, links->fd, on_route, links, err);
        if (st != STOQ_OK) {
            stoq_links_free(links);
            return st;
        }
        stoq_watch_set(links->watch, STOQ_LOOP_READ);
    }
    (void)scan(links);
    *out = links;
    return STOQ_OK;
}

void stoq_links_free(struct stoq_links *links)
{
    if (links == NULL) {
        return;
    }
    stoq_watch_free(links->watch);
    if (links->fd >= 0) {
        close(links->fd);
    }
    free(links);
}

const struct stoq_link *stoq_links_list(const struct stoq_links *links, size_t *count)
{
    *count = links->count;
    return links->list;
}
