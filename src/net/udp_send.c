/*
 * Sending in batches. A batch holds datagrams of one socket; each may be cut into packets by the
 * kernel (UDP_SEGMENT). Errors fall into four kinds:
 *   EAGAIN, ENOBUFS   the batch waits until the socket is writable again
 *   EMSGSIZE          a probe larger than the path takes, which is what it was sent to find out
 *   EIO, EINVAL       with segments: this device cannot cut; from then on we cut ourselves
 *   others            this datagram is lost, as the network might have lost it; its owner is told
 */
#include "net/udp.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONTROL_BYTES                                                                              \
    (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +                            \
     CMSG_SPACE(sizeof(uint16_t)))

/* What the kernel is shown of one datagram. */
struct header {
    struct iovec iov;
    struct sockaddr_storage to;
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
};

enum stoq_status net_tx_init(struct net_tx *tx)
{
    tx->memory = malloc((size_t)NET_TX_BATCH * NET_DATAGRAM_BYTES);
    return tx->memory == NULL ? STOQ_NOMEM : STOQ_OK;
}

void net_tx_release(struct net_tx *tx)
{
    free(tx->memory);
    tx->memory = NULL;
}

static void add_control(struct msghdr *m, int level, int type, const void *p, size_t n)
{
    /* The control buffer has room for all three kinds; zeroed, so that the next one is findable. */
    struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(n);
    memcpy(CMSG_DATA(c), p, n);
    m->msg_controllen += CMSG_SPACE(n);
}

static void add_source(struct msghdr *m, const struct net_socket *s, const struct stoq_addr *from)
{
    if (!s->any || stoq_addr_is_any(from)) {
        return;
    }
    if (s->ipv4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, from->ip + 12, sizeof info.ipi_spec_dst);
        add_control(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = from->scope};
        memcpy(&info.ipi6_addr, from->ip, sizeof info.ipi6_addr);
        add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

static struct msghdr describe(struct header *h, const struct net_socket *s,
                              const struct net_out *out, const uint8_t *p, size_t n, bool cut)
{
    h->iov = (struct iovec){(void *)(uintptr_t)p, n}; /* sendmsg only reads it */
    struct sockaddr_in6 in6 = stoq_addr_to_in6(&out->to);
    struct msghdr m = {
        .msg_name = &h->to, .msg_iov = &h->iov, .msg_iovlen = 1, .msg_control = h->control};
    if (s->ipv4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
        memcpy(&in.sin_addr, out->to.ip + 12, sizeof in.sin_addr);
        memcpy(&h->to, &in, sizeof in);
        m.msg_namelen = sizeof in;
    } else {
        memcpy(&h->to, &in6, sizeof in6);
        m.msg_namelen = sizeof in6;
    }
    memset(h->control, 0, sizeof h->control);
    add_source(&m, s, &out->from);
    if (out->ecn != 0) {
        int ecn = (int)out->ecn;
        if (stoq_addr_is_v4(&out->to)) {
            add_control(&m, IPPROTO_IP, IP_TOS, &ecn, sizeof ecn);
        } else {
            add_control(&m, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof ecn);
        }
    }
    if (cut) {
        uint16_t segment = (uint16_t)out->segment;
        add_control(&m, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    }
    return m;
}

static void count_sent(struct net_tx *tx, const struct net_out *out)
{
    tx->sent_bytes += out->n;
    tx->sent_datagrams += (out->n + out->segment - 1) / out->segment;
}

static bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

/* What a failed send means for the datagram in slot i: true when it is settled (lost). */
static bool settle_error(struct net_tx *tx, size_t i, int error)
{
    struct net_out *out = &tx->v[i];
    if ((error == EIO || error == EINVAL) && tx->socket->segments && out->n > out->segment) {
        tx->socket->segments = false;
        return false;
    }
    tx->dropped++;
    if (error != EMSGSIZE && tx->failed != NULL) {
        tx->failed(tx->user, out->tag, error);
    }
    return true;
}

/* Cut one datagram ourselves. false: blocked; what is left of it stays. */
static bool send_in_pieces(struct net_tx *tx, size_t i)
{
    struct net_out *out = &tx->v[i];
    uint8_t *p = net_tx_at(tx, i);
    size_t done = 0;
    while (done < out->n) {
        struct header h;
        size_t n = out->n - done < out->segment ? out->n - done : out->segment;
        struct msghdr m = describe(&h, tx->socket, out, p + done, n, false);
        tx->calls++;
        if (sendmsg(tx->socket->fd, &m, MSG_DONTWAIT) >= 0) {
            tx->sent_bytes += n;
            tx->sent_datagrams++;
        } else if (errno == EINTR) {
            continue;
        } else if (would_block(errno)) {
            out->n -= done;
            memmove(p, p + done, out->n);
            return false;
        } else {
            (void)settle_error(tx, i, errno);
        }
        done += n;
    }
    return true;
}

/* Show the kernel all slots from first on; returns how many it took, or -1. */
static int send_batch(struct net_tx *tx, size_t first)
{
    struct mmsghdr m[NET_TX_BATCH];
    struct header h[NET_TX_BATCH];
    unsigned count = 0;
    for (size_t i = first; i < tx->count; i++) {
        const struct net_out *out = &tx->v[i];
        m[count].msg_hdr =
            describe(&h[count], tx->socket, out, net_tx_at(tx, i), out->n, out->n > out->segment);
        count++;
    }
    tx->calls++;
    return sendmmsg(tx->socket->fd, m, count, MSG_DONTWAIT);
}

/* Keep what was not sent, at the front. */
static void keep_from(struct net_tx *tx, size_t first)
{
    for (size_t i = first; i < tx->count && first > 0; i++) {
        memcpy(net_tx_at(tx, i - first), net_tx_at(tx, i), tx->v[i].n);
        tx->v[i - first] = tx->v[i];
    }
    tx->count -= first;
}

static bool flush_cutting(struct net_tx *tx, size_t i)
{
    while (i < tx->count && send_in_pieces(tx, i)) {
        i++;
    }
    keep_from(tx, i);
    return tx->count == 0;
}

static bool flush_batch(struct net_tx *tx)
{
    size_t i = 0;
    while (i < tx->count) {
        if (!tx->socket->segments) {
            return flush_cutting(tx, i);
        }
        int sent = send_batch(tx, i);
        for (int k = 0; k < sent; k++) {
            count_sent(tx, &tx->v[i + (size_t)k]);
        }
        if (sent > 0) {
            i += (size_t)sent;
        } else if (sent < 0 && would_block(errno)) {
            keep_from(tx, i);
            return false;
        } else if (sent < 0 && errno != EINTR && settle_error(tx, i, errno)) {
            i++;
        }
    }
    tx->count = 0;
    return true;
}

static void flush_to_sink(struct net_tx *tx)
{
    for (size_t i = 0; i < tx->count; i++) {
        tx->sink(tx->sink_user, &tx->v[i], net_tx_at(tx, i));
    }
    tx->count = 0;
}

bool net_tx_flush(struct net_tx *tx)
{
    if (tx->count == 0) {
        return true;
    }
    if (tx->sink != NULL) {
        flush_to_sink(tx);
        return true;
    }
    bool done = flush_batch(tx);
    tx->socket->blocked = !done;
    return done;
}

struct net_out *net_tx_next(struct net_tx *tx, struct net_socket *s)
{
    if (tx->count == NET_TX_BATCH || (tx->count > 0 && tx->socket != s)) {
        if (!net_tx_flush(tx)) {
            return NULL;
        }
    }
    tx->socket = s;
    struct net_out *out = &tx->v[tx->count];
    *out = (struct net_out){0};
    return out;
}

uint8_t *net_tx_memory(struct net_tx *tx, const struct net_out *out)
{
    return net_tx_at(tx, (size_t)(out - tx->v));
}

void net_tx_commit(struct net_tx *tx)
{
    STOQ_ASSERT(tx->count < NET_TX_BATCH && tx->v[tx->count].n > 0);
    tx->count++;
}
