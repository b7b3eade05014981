/*
 * One socket per family, bound to the beacons' port beside other daemons of this host (SO_REUSEADDR:
 * the kernel hands multicast to all of them). A datagram counts only if it was sent to the group and, over
 * IPv6, from a link-local address: neither crosses a router.
 */
#include "net/lan.h"

#include "hash/hash.h"
#include "net/guard.h"
#include "net/replay.h"
#include "os/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAMS_A_TURN 64
#define TOTAL_BURST STOQ_SEC
#define ASK 2             /* the kind of a beacon that is answered */
#define COPIES_KNOWN 4096 /* sealed beacons that are remembered: seven a second, some 400 kB */

static const struct in6_addr group6 = {
    {{0xff, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x73, 0x74, 0x6f, 0x71}}};
static const uint8_t group4[4] = {239, 255, 115, 113};

struct stoq_lan {
    struct stoq_lan_config cfg;
    int fd6;
    int fd4;
    struct stoq_watch *watch6;
    struct stoq_watch *watch4;
    uint64_t last_sequence;
    stoq_ns total_full_at;
    unsigned unready[STOQ_LINKS_MAX]; /* links that took nothing of the last beacon */
    size_t unready_count;
    struct net_guard guard;
    struct net_replay replay; /* of sealed beacons */
    uint64_t taken;
    struct stoq_lan_stats stats;
};

static int udp_socket(int family, struct sockaddr *local, socklen_t n)
{
    int on = 1;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else {
        int off = 0;
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
        (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    }
    if (bind(fd, local, n) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void open_sockets(struct stoq_lan *lan)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(STOQ_LAN_PORT)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(STOQ_LAN_PORT)};
    lan->fd6 = udp_socket(AF_INET6, (struct sockaddr *)&any6, sizeof any6);
    lan->fd4 = udp_socket(AF_INET, (struct sockaddr *)&any4, sizeof any4);
}

/* Being in the group already, or one more than the kernel allows: there is no more to be done. */
static void join(struct stoq_lan *lan, const struct stoq_link *l)
{
    struct ipv6_mreq six = {.ipv6mr_multiaddr = group6, .ipv6mr_interface = l->index};
    struct ip_mreqn four = {.imr_ifindex = (int)l->index};
    memcpy(&four.imr_multiaddr, group4, sizeof group4);
    if (lan->fd6 >= 0) {
        (void)setsockopt(lan->fd6, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &six, sizeof six);
    }
    if (lan->fd4 >= 0 && l->v4) {
        (void)setsockopt(lan->fd4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof four);
    }
}

void stoq_lan_links_changed(struct stoq_lan *lan)
{
    size_t n;
    const struct stoq_link *list = stoq_links_list(lan->cfg.links, &n);
    for (size_t i = 0; i < n; i++) {
        join(lan, &list[i]);
    }
}

/* Where a datagram came in: false when it was not sent to the group. */
static bool to_group(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            return memcmp(&info.ipi6_addr, &group6, sizeof group6) == 0;
        }
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            return memcmp(&info.ipi_addr, group4, sizeof group4) == 0;
        }
    }
    return false;
}

/* A budget per address and one for all, before any signature is looked at. */
static bool admit(struct stoq_lan *lan, const struct stoq_addr *from)
{
    const stoq_ns token = STOQ_SEC / STOQ_LAN_BEACONS_PER_S;
    struct stoq_addr host = *from;
    stoq_ns now = stoq_now();
    host.port = 0;
    stoq_ns at = lan->total_full_at > now ? lan->total_full_at : now;
    if (!net_guard_admit(&lan->guard, stoq_hash_xxh3_64(stoq_span(&host, sizeof host)), now) ||
        at + token > now + TOTAL_BURST) {
        lan->stats.throttled++;
        return false;
    }
    lan->total_full_at = at + token;
    return true;
}

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/*
 * What a member sent is good once, for some minutes (docs/PROTOCOL.md section 12): who recorded a question
 * and asks it again is not answered, and where he sends a HERE from moves no neighbour. An answer may have
 * been made before we began, by a clock that is late.
 */
static bool is_fresh(struct stoq_lan *lan, const struct stoq_beacon *b, uint64_t tag)
{
    uint64_t now = wall_us() / 1000;
    uint64_t made = b->sequence / 1000;
    enum net_replay_answer answer = net_replay_take(&lan->replay, tag, ++lan->taken, made, now);
    if (b->kind == ASK || answer != NET_REPLAY_CLOCK) {
        return answer == NET_REPLAY_FRESH;
    }
    return made + NET_REPLAY_WINDOW_MS >= now && made <= now + NET_REPLAY_WINDOW_MS;
}

/* The beacon inside a datagram: in a private network only sealed ones count. */
static enum stoq_status open_beacon(struct stoq_lan *lan, struct stoq_span datagram,
                                    struct stoq_beacon *b)
{
    uint8_t plain[STOQ_BEACON_BYTES_MAX];
    size_t n = 0;
    uint64_t tag = 0;
    if (lan->cfg.seal_key == NULL) {
        return stoq_beacon_decode(b, datagram);
    }
    enum stoq_status st =
        stoq_beacon_open(lan->cfg.open_keys, lan->cfg.open_count, datagram, plain, &n, &tag);
    if (st == STOQ_OK) {
        st = stoq_beacon_decode(b, stoq_span(plain, n));
    }
    return st == STOQ_OK && !is_fresh(lan, b, tag) ? STOQ_PROOF : st;
}

static void take(struct stoq_lan *lan, struct stoq_span datagram, struct stoq_addr *from)
{
    struct stoq_beacon b;
    if (!stoq_addr_is_v4(from) && !stoq_addr_is_link_local(from)) {
        lan->stats.refused++;
        return;
    }
    if (!admit(lan, from)) {
        return;
    }
    if (open_beacon(lan, datagram, &b) != STOQ_OK) {
        lan->stats.refused++;
        return;
    }
    lan->stats.heard++;
    from->port = b.port;
    lan->cfg.heard(lan->cfg.user, &b, from);
}

static void receive(struct stoq_lan *lan, int fd)
{
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        uint8_t bytes[STOQ_BEACON_BYTES_MAX + 1];
        uint8_t control[128];
        struct sockaddr_storage ss;
        struct stoq_addr from;
        struct iovec iov = {bytes, sizeof bytes};
        struct msghdr m = {.msg_name = &ss,
                           .msg_namelen = sizeof ss,
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &m, 0);
        if (n < 0) {
            return;
        }
        if (to_group(&m) && (m.msg_flags & MSG_TRUNC) == 0 &&
            stoq_addr_from_sockaddr(&from, (struct sockaddr *)&ss, m.msg_namelen) == STOQ_OK) {
            take(lan, stoq_span(bytes, (size_t)n), &from);
        } else {
            lan->stats.refused++;
        }
    }
}

static void on_six(void *user, unsigned events)
{
    (void)events;
    receive(user, ((struct stoq_lan *)user)->fd6);
}

static void on_four(void *user, unsigned events)
{
    (void)events;
    receive(user, ((struct stoq_lan *)user)->fd4);
}

static enum stoq_status watch(struct stoq_lan *lan, struct stoq_watch **out, int fd,
                              stoq_watch_fn *fn, struct stoq_error *err)
{
    if (fd < 0) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_watch_new(out, lan->cfg.loop, fd, fn, lan, err);
    if (st == STOQ_OK) {
        stoq_watch_set(*out, STOQ_LOOP_READ);
    }
    return st;
}

enum stoq_status stoq_lan_new(struct stoq_lan **out, const struct stoq_lan_config *cfg,
                              struct stoq_error *err)
{
    uint64_t seed;
    struct stoq_lan *lan = calloc(1, sizeof *lan);
    if (lan == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "LAN discovery: out of memory");
    }
    lan->cfg = *cfg;
    stoq_entropy(&seed, sizeof seed);
    net_guard_init(&lan->guard, seed, STOQ_LAN_HOST_BEACONS_PER_S, 1, 1);
    open_sockets(lan);
    enum stoq_status st = STOQ_OK;
    if (lan->fd6 < 0 && lan->fd4 < 0) {
        st = stoq_fail(err, STOQ_IO, errno, "LAN discovery: port %d", STOQ_LAN_PORT);
    }
    if (st == STOQ_OK && cfg->seal_key != NULL &&
        net_replay_init(&lan->replay, COPIES_KNOWN, wall_us() / 1000) != STOQ_OK) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "LAN discovery: out of memory");
    }
    if (st == STOQ_OK) {
        st = watch(lan, &lan->watch6, lan->fd6, on_six, err);
    }
    if (st == STOQ_OK) {
        st = watch(lan, &lan->watch4, lan->fd4, on_four, err);
    }
    if (st != STOQ_OK) {
        stoq_lan_free(lan);
        return st;
    }
    stoq_lan_links_changed(lan);
    *out = lan;
    return STOQ_OK;
}

void stoq_lan_free(struct stoq_lan *lan)
{
    if (lan == NULL) {
        return;
    }
    stoq_watch_free(lan->watch6);
    stoq_watch_free(lan->watch4);
    const int fds[] = {lan->fd6, lan->fd4};
    for (size_t i = 0; i < STOQ_COUNT(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    net_replay_release(&lan->replay);
    free(lan);
}

static bool send_six(struct stoq_lan *lan, unsigned index, struct stoq_span datagram)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons(STOQ_LAN_PORT),
                              .sin6_addr = group6,
                              .sin6_scope_id = index};
    return datagram.n > 0 && sendto(lan->fd6, datagram.p, datagram.n, MSG_NOSIGNAL,
                                    (struct sockaddr *)&to, sizeof to) >= 0;
}

static bool send_four(struct stoq_lan *lan, unsigned index, struct stoq_span datagram)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(STOQ_LAN_PORT)};
    struct ip_mreqn out = {.imr_ifindex = (int)index};
    memcpy(&to.sin_addr, group4, sizeof group4);
    return datagram.n > 0 &&
           setsockopt(lan->fd4, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) == 0 &&
           sendto(lan->fd4, datagram.p, datagram.n, MSG_NOSIGNAL, (struct sockaddr *)&to,
                  sizeof to) >= 0;
}

/* Microseconds of the wall clock, and never twice the same. */
static uint64_t next_sequence(struct stoq_lan *lan)
{
    uint64_t us = wall_us();
    lan->last_sequence = us > lan->last_sequence ? us : lan->last_sequence + 1;
    return lan->last_sequence;
}

/* The datagram for one link and family; empty: there is none. Each is sealed for itself, so that a neighbour
 * whom two of them reach takes neither for a copy. */
static struct stoq_span cover(struct stoq_lan *lan, struct stoq_span beacon,
                              uint8_t out[STOQ_BEACON_SEALED_BYTES])
{
    uint8_t salt[STOQ_BEACON_SALT_BYTES];
    if (lan->cfg.seal_key == NULL) {
        return beacon;
    }
    stoq_entropy(salt, sizeof salt);
    bool sealed = stoq_beacon_seal(lan->cfg.seal_key, salt, beacon, out) == STOQ_OK;
    return stoq_span(out, sealed ? STOQ_BEACON_SEALED_BYTES : 0);
}

/* Out of every link; how many took it. */
static size_t send_all(struct stoq_lan *lan, struct stoq_span beacon)
{
    uint8_t bytes[STOQ_BEACON_SEALED_BYTES];
    size_t took = 0;
    size_t count;
    const struct stoq_link *list = stoq_links_list(lan->cfg.links, &count);
    lan->unready_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct stoq_link *l = &list[i];
        bool six = l->v6 && lan->fd6 >= 0 && send_six(lan, l->index, cover(lan, beacon, bytes));
        bool four = l->v4 && lan->fd4 >= 0 && send_four(lan, l->index, cover(lan, beacon, bytes));
        took += six || four;
        if (!six && !four) {
            lan->unready[lan->unready_count++] = l->index;
        }
    }
    return took;
}

size_t stoq_lan_send(struct stoq_lan *lan, uint8_t kind)
{
    struct stoq_beacon b = {.kind = kind, .sequence = next_sequence(lan), .port = lan->cfg.port};
    struct stoq_buf plain;
    size_t took = 0;
    stoq_buf_init(&plain, STOQ_BEACON_BYTES_MAX);
    if (stoq_beacon_encode(&b, lan->cfg.key, &plain) == STOQ_OK) {
        took = send_all(lan, stoq_buf_span(&plain));
        lan->stats.sent += took;
    }
    stoq_buf_release(&plain);
    return took;
}

size_t stoq_lan_unready(const struct stoq_lan *lan)
{
    return lan->unready_count;
}

bool stoq_lan_reaches(const struct stoq_lan *lan, const struct stoq_addr *addr)
{
    for (size_t i = 0; i < lan->unready_count; i++) {
        if (addr->scope == lan->unready[i]) {
            return false;
        }
    }
    return true;
}

void stoq_lan_stats(const struct stoq_lan *lan, struct stoq_lan_stats *out)
{
    *out = lan->stats;
}
