/*
 * Port 5353 is shared with whatever else of this machine speaks multicast DNS (avahi, systemd-resolved,
 * browsers). All set SO_REUSEADDR, and the kernel hands a multicast datagram to each of them. A unicast one
 * it hands to one socket only (RFC 6762 section 15.1), so ours are bound to the groups' addresses, not to
 * any: they get multicast and nothing else, and nobody misses an answer that was meant for it. Bound to a
 * link-local group, an IPv6 socket has one link, hence a socket each; IPv4 has one for all.
 */
#include "net/mdns.h"

#include "hash/hash.h"
#include "net/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAMS_A_TURN 64
#define HOPS 255 /* RFC 6762 section 11 */

static const struct in6_addr group6 = {{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb}}};
static const uint8_t group4[4] = {224, 0, 0, 251};

struct six {
    struct stoq_mdns *m;
    unsigned index;
    int fd;
    struct stoq_watch *watch;
};

struct stoq_mdns {
    struct stoq_mdns_config cfg;
    int fd4;
    struct stoq_watch *watch4;
    struct six six[STOQ_MDNS_LINKS_MAX];
    stoq_ns total_full_at;
    uint64_t throttled;
    struct net_guard guard;
    uint8_t datagram[STOQ_MDNS_DATAGRAM_MAX + 1];
};

static int udp_socket(int family)
{
    int on = 1;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    return fd;
}

static int closed(int fd)
{
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

static int open_four(void)
{
    int on = 1;
    int off = 0;
    int hops = HOPS;
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(STOQ_MDNS_PORT)};
    int fd = udp_socket(AF_INET);
    memcpy(&local.sin_addr, group4, sizeof group4);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops);
    (void)setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof hops);
    return bind(fd, (struct sockaddr *)&local, sizeof local) == 0 ? fd : closed(fd);
}

static int open_six(unsigned index)
{
    int on = 1;
    int hops = HOPS;
    struct sockaddr_in6 local = {.sin6_family = AF_INET6,
                                 .sin6_port = htons(STOQ_MDNS_PORT),
                                 .sin6_addr = group6,
                                 .sin6_scope_id = index};
    struct ipv6_mreq join = {.ipv6mr_multiaddr = group6, .ipv6mr_interface = index};
    int fd = udp_socket(AF_INET6);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof hops);
    if (bind(fd, (struct sockaddr *)&local, sizeof local) != 0) {
        return closed(fd);
    }
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &join, sizeof join);
    return fd;
}

/* A budget per address and one for all. */
static bool admit(struct stoq_mdns *m, const struct stoq_addr *from)
{
    const stoq_ns token = STOQ_SEC / STOQ_MDNS_DATAGRAMS_PER_S;
    struct stoq_addr host = *from;
    stoq_ns now = stoq_now();
    host.port = 0;
    stoq_ns at = m->total_full_at > now ? m->total_full_at : now;
    if (!net_guard_admit(&m->guard, stoq_hash_xxh3_64(stoq_span(&host, sizeof host)), now) ||
        at + token > now + STOQ_SEC) {
        m->throttled++;
        return false;
    }
    m->total_full_at = at + token;
    return true;
}

/* The link of an IPv4 datagram; 0: not known. */
static unsigned link_of(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            return (unsigned)info.ipi_ifindex;
        }
    }
    return 0;
}

static void receive(struct stoq_mdns *m, int fd, unsigned index)
{
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        uint8_t control[128];
        struct sockaddr_storage ss;
        struct stoq_addr from;
        struct iovec iov = {m->datagram, sizeof m->datagram};
        struct msghdr msg = {.msg_name = &ss,
                             .msg_namelen = sizeof ss,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &msg, 0);
        if (n < 0) {
            return;
        }
        unsigned on = index != 0 ? index : link_of(&msg);
        if (on != 0 && n <= STOQ_MDNS_DATAGRAM_MAX &&
            stoq_addr_from_sockaddr(&from, (struct sockaddr *)&ss, msg.msg_namelen) == STOQ_OK &&
            admit(m, &from)) {
            m->cfg.heard(m->cfg.user, on, &from, stoq_span(m->datagram, (size_t)n));
        }
    }
}

static void on_four(void *user, unsigned events)
{
    struct stoq_mdns *m = user;
    (void)events;
    receive(m, m->fd4, 0);
}

static void on_six(void *user, unsigned events)
{
    struct six *s = user;
    (void)events;
    receive(s->m, s->fd, s->index);
}

static enum stoq_status watch(struct stoq_mdns *m, struct stoq_watch **out, int fd,
                              stoq_watch_fn *fn, void *user, struct stoq_error *err)
{
    enum stoq_status st = stoq_watch_new(out, m->cfg.loop, fd, fn, user, err);
    if (st == STOQ_OK) {
        stoq_watch_set(*out, STOQ_LOOP_READ);
    }
    return st;
}

static void drop_six(struct six *s)
{
    stoq_watch_free(s->watch);
    if (s->fd >= 0) {
        close(s->fd);
    }
    *s = (struct six){.fd = -1};
}

static struct six *six_of(struct stoq_mdns *m, unsigned index)
{
    for (size_t i = 0; i < STOQ_MDNS_LINKS_MAX; i++) {
        if (m->six[i].fd >= 0 && m->six[i].index == index) {
            return &m->six[i];
        }
    }
    return NULL;
}

static const struct stoq_link *known_link(const struct stoq_mdns *m, unsigned index)
{
    size_t n;
    const struct stoq_link *list = stoq_links_list(m->cfg.links, &n);
    for (size_t i = 0; i < n; i++) {
        if (list[i].index == index) {
            return &list[i];
        }
    }
    return NULL;
}

static void add_six(struct stoq_mdns *m, unsigned index)
{
    struct stoq_error err;
    for (size_t i = 0; i < STOQ_MDNS_LINKS_MAX; i++) {
        struct six *s = &m->six[i];
        if (s->fd >= 0) {
            continue;
        }
        *s = (struct six){.m = m, .index = index, .fd = open_six(index)};
        if (s->fd >= 0 && watch(m, &s->watch, s->fd, on_six, s, &err) != STOQ_OK) {
            drop_six(s);
        }
        return;
    }
}

static void join_four(struct stoq_mdns *m, unsigned index)
{
    struct ip_mreqn join = {.imr_ifindex = (int)index};
    memcpy(&join.imr_multiaddr, group4, sizeof group4);
    (void)setsockopt(m->fd4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join);
}

void stoq_mdns_links_changed(struct stoq_mdns *m)
{
    size_t n;
    const struct stoq_link *list = stoq_links_list(m->cfg.links, &n);
    for (size_t i = 0; i < STOQ_MDNS_LINKS_MAX; i++) {
        const struct stoq_link *l = m->six[i].fd >= 0 ? known_link(m, m->six[i].index) : NULL;
        if (m->six[i].fd >= 0 && (l == NULL || !l->v6)) {
            drop_six(&m->six[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (m->cfg.v6 && list[i].v6 && six_of(m, list[i].index) == NULL) {
            add_six(m, list[i].index);
        }
        if (m->fd4 >= 0 && list[i].v4) {
            join_four(m, list[i].index);
        }
    }
}

enum stoq_status stoq_mdns_new(struct stoq_mdns **out, const struct stoq_mdns_config *cfg,
                               struct stoq_error *err)
{
    uint64_t seed;
    struct stoq_mdns *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "DNS-SD: out of memory");
    }
    m->cfg = *cfg;
    for (size_t i = 0; i < STOQ_MDNS_LINKS_MAX; i++) {
        m->six[i].fd = -1;
    }
    stoq_entropy(&seed, sizeof seed);
    net_guard_init(&m->guard, seed, STOQ_MDNS_HOST_DATAGRAMS_PER_S, 1, 1);
    m->fd4 = cfg->v4 ? open_four() : -1;
    enum stoq_status st = STOQ_OK;
    if (cfg->v4 && m->fd4 < 0 && (errno == EADDRINUSE || !cfg->v6)) {
        st = stoq_fail(err, STOQ_IO, errno, "DNS-SD: port %d", STOQ_MDNS_PORT);
    } else if (m->fd4 >= 0) {
        st = watch(m, &m->watch4, m->fd4, on_four, m, err);
    }
    if (st != STOQ_OK) {
        stoq_mdns_free(m);
        return st;
    }
    stoq_mdns_links_changed(m);
    *out = m;
    return STOQ_OK;
}

void stoq_mdns_free(struct stoq_mdns *m)
{
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < STOQ_MDNS_LINKS_MAX; i++) {
        drop_six(&m->six[i]);
    }
    stoq_watch_free(m->watch4);
    if (m->fd4 >= 0) {
        close(m->fd4);
    }
    free(m);
}

static bool send_four(struct stoq_mdns *m, unsigned index, const struct sockaddr_in *to,
                      struct stoq_span datagram)
{
    struct ip_mreqn out = {.imr_ifindex = (int)index};
    return setsockopt(m->fd4, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0 &&
           sendto(m->fd4, datagram.p, datagram.n, MSG_NOSIGNAL, (const struct sockaddr *)to,
                  sizeof *to) >= 0;
}

static bool send_six(const struct six *s, const struct sockaddr_in6 *to, struct stoq_span datagram)
{
    return sendto(s->fd, datagram.p, datagram.n, MSG_NOSIGNAL, (const struct sockaddr *)to,
                  sizeof *to) >= 0;
}

bool stoq_mdns_send(struct stoq_mdns *m, unsigned index, struct stoq_span datagram)
{
    struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(STOQ_MDNS_PORT)};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons(STOQ_MDNS_PORT),
                               .sin6_addr = group6,
                               .sin6_scope_id = index};
    const struct stoq_link *l = known_link(m, index);
    const struct six *s = six_of(m, index);
    memcpy(&to4.sin_addr, group4, sizeof group4);
    bool four = l != NULL && l->v4 && m->fd4 >= 0 && send_four(m, index, &to4, datagram);
    bool six = s != NULL && send_six(s, &to6, datagram);
    return four || six;
}

void stoq_mdns_answer(struct stoq_mdns *m, unsigned index, const struct stoq_addr *to,
                      struct stoq_span datagram)
{
    const struct six *s = six_of(m, index);
    if (stoq_addr_is_v4(to) && m->fd4 >= 0) {
        struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(to->port)};
        memcpy(&to4.sin_addr, to->ip + 12, sizeof to4.sin_addr);
        (void)send_four(m, index, &to4, datagram);
    } else if (!stoq_addr_is_v4(to) && s != NULL) {
        struct sockaddr_in6 to6 = stoq_addr_to_in6(to);
        (void)send_six(s, &to6, datagram);
    }
}

uint64_t stoq_mdns_throttled(const struct stoq_mdns *m)
{
    return m->throttled;
}
