#ifndef STOQ_NET_UDP_H
#define STOQ_NET_UDP_H
/*
 * UDP sockets with batches: several datagrams a system call, each of them possibly many packets of
 * one size glued together (UDP_GRO on receive, UDP_SEGMENT on send). What a kernel or device cannot
 * do is done the slow way.
 */
#include "net/addr.h"

#define NET_RX_BATCH 8
#define NET_TX_BATCH 8
#define NET_DATAGRAM_BYTES 65536 /* room for one, on either side */
#define NET_SEND_BYTES_MAX                                                                         \
    65480                   /* of one send with segments: the kernel's limit over IPv6, rounded */
#define NET_SEGMENTS_MAX 64 /* UDP_MAX_SEGMENTS of older kernels */

struct net_socket {
    int fd;
    struct stoq_addr local; /* the real port */
    bool any;               /* bound to the unspecified address */
    bool dual;              /* takes IPv4 as well */
    bool ipv4;              /* an AF_INET socket, where the system has no IPv6 */
    bool segments;          /* the kernel cuts (UDP_SEGMENT) */
    bool blocked;           /* the last send would have blocked */
};

/*
 * Open and bind a non-blocking socket.
 * addr    port 0: any; the unspecified IPv6 address takes IPv4 too unless v6_only
 * shared  with a socket that net_socket_share was called for
 * bytes   of each kernel buffer; as many as the system grants
 * STOQ_OK; STOQ_IO with the address in err.
 */
STOQ_WARN_UNUSED enum stoq_status net_socket_open(struct net_socket *s,
                                                  const struct stoq_addr *addr, bool v6_only,
                                                  bool shared, uint32_t bytes,
                                                  struct stoq_error *err);
/* Let others of this user bind its port too, from now on: so the first one finds out that it is taken. */
void net_socket_share(const struct net_socket *s);
void net_socket_close(struct net_socket *s);
/* Could this socket reach addr, judging by what it is bound to? */
bool net_socket_reaches(const struct net_socket *s, const struct stoq_addr *addr);

/* Received datagrams, valid until the next net_rx_receive. */
struct net_datagram {
    struct stoq_addr from;
    struct stoq_addr to;
    const uint8_t *p;
    size_t n;
    size_t segment; /* the packets' size; the last may be shorter */
    unsigned ecn;
    bool handed_on; /* by another thread (steer.h) */
};

struct net_rx {
    uint8_t *memory; /* NET_RX_BATCH x NET_DATAGRAM_BYTES */
    struct net_datagram v[NET_RX_BATCH];
};

STOQ_WARN_UNUSED enum stoq_status net_rx_init(struct net_rx *rx);
void net_rx_release(struct net_rx *rx);
/* Up to NET_RX_BATCH datagrams; 0: none at hand (errors of the kernel's are none of ours). */
size_t net_rx_receive(struct net_rx *rx, const struct net_socket *s);

/* A datagram to be sent: n bytes at net_tx_at(slot), cut every segment bytes. */
struct net_out {
    struct stoq_addr to;
    struct stoq_addr from; /* used when the socket is bound to any */
    size_t n;
    size_t segment;
    unsigned ecn;
    uint64_t tag; /* the caller's: whose it is */
};

struct net_tx {
    uint8_t *memory; /* NET_TX_BATCH x NET_DATAGRAM_BYTES */
    struct net_out v[NET_TX_BATCH];
    size_t count;
    struct net_socket *socket; /* of all that wait */
    uint64_t calls;
    uint64_t sent_bytes;
    uint64_t sent_datagrams; /* packets on the wire */
    uint64_t dropped;
    /* The kernel refused one for good; errno. Not called for probes of the path's MTU. */
    void (*failed)(void *user, uint64_t tag, int error);
    void *user;
    /* Takes every datagram instead of the kernel: tests and fuzzers. NULL: the kernel. */
    void (*sink)(void *user, const struct net_out *out, const uint8_t *p);
    void *sink_user;
};

STOQ_WARN_UNUSED enum stoq_status net_tx_init(struct net_tx *tx);
void net_tx_release(struct net_tx *tx);
static inline uint8_t *net_tx_at(struct net_tx *tx, size_t slot)
{
    return tx->memory + slot * NET_DATAGRAM_BYTES;
}
/* A free slot for a datagram through s, sending what waits where that is needed; NULL: the socket is
 * blocked. Fill it, then net_tx_commit. */
struct net_out *net_tx_next(struct net_tx *tx, struct net_socket *s);
uint8_t *net_tx_memory(struct net_tx *tx, const struct net_out *out);
void net_tx_commit(struct net_tx *tx);
/* Send what waits. false: the socket is blocked, the rest waits on. */
bool net_tx_flush(struct net_tx *tx);

#endif
