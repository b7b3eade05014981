#include "net/udp.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PKTINFO_BYTES CMSG_SPACE(sizeof(struct in6_pktinfo))
#define CONTROL_BYTES (PKTINFO_BYTES + 3 * CMSG_SPACE(sizeof(int)))

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value); /* each is wanted, none is needed */
}

static void set_buffer(int fd, int force, int plain, uint32_t bytes)
{
    int value = bytes > INT32_MAX ? INT32_MAX : (int)bytes;
    if (setsockopt(fd, SOL_SOCKET, force, &value, sizeof value) != 0) {
        set_int(fd, SOL_SOCKET, plain, value);
    }
}

/* Path-MTU discovery is QUIC's own: never fragment, never believe an ICMP message. */
static void set_options(struct net_socket *s, bool v6_only, uint32_t bytes)
{
    if (!s->ipv4) {
        set_int(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only ? 1 : 0);
        set_int(s->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
        set_int(s->fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
        set_int(s->fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        if (s->any) {
            set_int(s->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        }
    } else if (s->any) {
        set_int(s->fd, IPPROTO_IP, IP_PKTINFO, 1);
    }
    set_int(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    set_int(s->fd, IPPROTO_IP, IP_RECVTOS, 1);
    set_int(s->fd, SOL_UDP, UDP_GRO, 1);
    set_buffer(s->fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
    set_buffer(s->fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
    int off = 0;
    s->segments = setsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &off, sizeof off) == 0;
}

static socklen_t kernel_addr(const struct net_socket *s, const struct stoq_addr *addr,
                             struct sockaddr_storage *out)
{
    struct sockaddr_in6 in6 = stoq_addr_to_in6(addr);
    if (!s->ipv4) {
        memcpy(out, &in6, sizeof in6);
        return sizeof in6;
    }
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
    memcpy(&in.sin_addr, addr->ip + 12, sizeof in.sin_addr);
    memcpy(out, &in, sizeof in);
    return sizeof in;
}

static int bind_to(struct net_socket *s, const struct stoq_addr *addr)
{
    struct sockaddr_storage ss;
    socklen_t n = kernel_addr(s, addr, &ss);
    if (bind(s->fd, (struct sockaddr *)&ss, n) != 0) {
        return -1;
    }
    n = sizeof ss;
    if (getsockname(s->fd, (struct sockaddr *)&ss, &n) != 0) {
        return -1;
    }
    return stoq_addr_from_sockaddr(&s->local, (struct sockaddr *)&ss, n) == STOQ_OK ? 0 : -1;
}

enum stoq_status net_socket_open(struct net_socket *s, const struct stoq_addr *addr, bool v6_only,
                                 bool shared, uint32_t bytes, struct stoq_error *err)
{
    char text[STOQ_ADDR_TEXT_MAX];
    *s = (struct net_socket){.any = stoq_addr_is_any(addr)};
    bool v4 = stoq_addr_is_v4(addr);
    s->dual = s->any && !v4 && !v6_only;
    s->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0 && errno == EAFNOSUPPORT && (v4 || s->dual)) {
        s->ipv4 = true;
        s->dual = false;
        s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (s->fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "cannot listen on %s", stoq_addr_format(addr, text));
    }
    set_options(s, v6_only && !v4, bytes); /* an IPv4 address is bound as a mapped one */
    if (shared) {
        net_socket_share(s);
    }
    if (bind_to(s, addr) != 0) {
        int e = errno;
        close(s->fd);
        s->fd = -1;
        return stoq_fail(err, STOQ_IO, e, "cannot listen on %s", stoq_addr_format(addr, text));
    }
    return STOQ_OK;
}

void net_socket_share(const struct net_socket *s)
{
    set_int(s->fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

void net_socket_close(struct net_socket *s)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

bool net_socket_reaches(const struct net_socket *s, const struct stoq_addr *addr)
{
    bool v4 = stoq_addr_is_v4(addr);
    if (s->any) {
        return s->dual || v4 == (s->ipv4 || stoq_addr_is_v4(&s->local));
    }
    return v4 == stoq_addr_is_v4(&s->local) &&
           stoq_addr_is_loopback(&s->local) == stoq_addr_is_loopback(addr);
}

enum stoq_status net_rx_init(struct net_rx *rx)
{
    rx->memory = malloc((size_t)NET_RX_BATCH * NET_DATAGRAM_BYTES);
    return rx->memory == NULL ? STOQ_NOMEM : STOQ_OK;
}

void net_rx_release(struct net_rx *rx)
{
    free(rx->memory);
    rx->memory = NULL;
}

static int cmsg_int(struct cmsghdr *c)
{
    int v = 0;
    size_t n = c->cmsg_len - CMSG_LEN(0);
    memcpy(&v, CMSG_DATA(c), n < sizeof v ? n : sizeof v); /* IP_TOS comes as one byte */
    return v;
}

static void read_control(struct net_datagram *d, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            d->segment = (size_t)cmsg_int(c);
        } else if ((c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) ||
                   (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)) {
            d->ecn = (unsigned)cmsg_int(c) & 3;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(d->to.ip, &info.ipi6_addr, sizeof d->to.ip);
            d->to.scope = stoq_addr_is_link_local(&d->to) ? (uint32_t)info.ipi6_ifindex : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memset(d->to.ip, 0, 10);
            memset(d->to.ip + 10, 0xff, 2);
            memcpy(d->to.ip + 12, &info.ipi_addr, 4);
        }
    }
}

size_t net_rx_receive(struct net_rx *rx, const struct net_socket *s)
{
    struct mmsghdr m[NET_RX_BATCH];
    struct iovec iov[NET_RX_BATCH];
    struct sockaddr_storage from[NET_RX_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[NET_RX_BATCH][CONTROL_BYTES];
    for (size_t i = 0; i < NET_RX_BATCH; i++) {
        iov[i] = (struct iovec){rx->memory + i * NET_DATAGRAM_BYTES, NET_DATAGRAM_BYTES};
        m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                            .msg_namelen = sizeof from[i],
                                            .msg_iov = &iov[i],
                                            .msg_iovlen = 1,
                                            .msg_control = control[i],
                                            .msg_controllen = sizeof control[i]}};
    }
    int got = recvmmsg(s->fd, m, NET_RX_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++) {
        struct net_datagram *d = &rx->v[i];
        *d = (struct net_datagram){.p = iov[i].iov_base, .n = m[i].msg_len, .to = s->local};
        struct msghdr *h = &m[i].msg_hdr;
        if ((h->msg_flags & MSG_TRUNC) != 0 ||
            stoq_addr_from_sockaddr(&d->from, h->msg_name, h->msg_namelen) != STOQ_OK) {
            d->n = 0;
        }
        read_control(d, h);
        d->segment = d->segment == 0 ? d->n : d->segment;
    }
    return got < 0 ? 0 : (size_t)got;
}
