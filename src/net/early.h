#ifndef STOQ_NET_EARLY_H
#define STOQ_NET_EARLY_H
/*
 * Tickets and early data (0-RTT), both only when the configuration has early_data. A ticket is kept in
 * memory, one a peer, and used once: the listener's TLS refuses a second use, which is what keeps early
 * data from being replayed.
 */
#include "net/tls.h"

#include <ngtcp2/ngtcp2.h>

#define NET_TICKETS_MAX 256            /* 256 x some 3 KiB; the oldest gives way */
#define NET_TICKET_PARAMS_MAX 256      /* the listener's limits, as ngtcp2 writes them */
#define NET_TICKET_WAIT (2 * STOQ_SEC) /* for a ticket, before TLS is forgotten */

struct net_conn;

struct net_ticket {
    struct stoq_peer_id peer;
    SSL_SESSION *session; /* NULL: a free place */
    size_t params_n;
    uint8_t params[NET_TICKET_PARAMS_MAX];
};

struct net_tickets {
    struct net_ticket *v; /* NET_TICKETS_MAX of them; NULL: early data is off */
    size_t next;          /* which gives way */
};

/* STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_tickets_init(struct net_tickets *t);
void net_tickets_release(struct net_tickets *t);

/* A dialled connection read TLS messages after its handshake: keep the ticket if one was among them. */
void net_ticket_take(struct net_conn *conn);
/* May one still come? */
bool net_ticket_awaited(const struct net_conn *conn);
/* A dial, before its first packet: go on from a ticket of the peer it is pinned to, if there is one whose
 * key is the pin's. */
void net_ticket_use(struct net_conn *conn);

/* The listener's side: data came with the first packets. True: the peer's key is known and its owner was
 * told; false: the connection is blamed. */
bool net_early_begin(struct net_conn *conn);
/* The dialler's, when its handshake is done: was it taken? OpenSSL tells it only now. False: no memory. */
bool net_early_settle(struct net_conn *conn);
/* Count early data of a peer's that was not taken; once for a connection. */
void net_early_count(struct net_conn *conn);
/* ngtcp2's: it was not. */
int net_on_early_rejected(ngtcp2_conn *q, void *user);

#endif
