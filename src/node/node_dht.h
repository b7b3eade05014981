#ifndef STOQ_NODE_NODE_DHT_H
#define STOQ_NODE_NODE_DHT_H
/*
 * The DHT core with messages around it: signed records in, numbers of the book inside, signed records out.
 * No I/O: calls go out as messages for the shell to send, requests of others are answered with bytes.
 */
#include "dht/dht.h"
#include "sign/sign.h"
#include "wire/message.h"

#define STOQ_NODE_DHT_ADDRESSES_MAX STOQ_CONTACT_ADDRESSES_MAX
#define STOQ_NODE_DHT_CONTACTS_MAX                                                                 \
    16384 /* in the book: the table's, lookups', those just heard of */
#define STOQ_NODE_DHT_TOKEN_BYTES 16

/* An address as records have it, 18 bytes (wire/signed.h). */
struct stoq_node_dht_addr {
    uint8_t b[STOQ_CONTACT_ADDRESS_BYTES];
};

struct stoq_node_dht_config {
    const struct stoq_key *key; /* kept */
    struct stoq_dht_rules rules;
    uint8_t holders;        /* of a record [STOQ_DHT_K]; all of a network have the same */
    uint32_t signed_s;      /* what records of ours are signed for [STOQ_DHT_SIGNED_S] */
    uint64_t nonce;         /* of our node id; not looked at for a client */
    bool client;            /* asks, and is asked nothing */
    const uint8_t *rpc_key; /* 32 bytes, copied; NULL: we take no datagrams */
    struct stoq_node_dht_addr addresses[STOQ_NODE_DHT_ADDRESSES_MAX];
    uint32_t address_count; /* where we can be reached; none: no record of us can be made */
    uint64_t seed;
    uint64_t wall_us; /* the calendar at `now`, microseconds since 1970 */
    struct stoq_hash sweep_from;
    /* What a record of ours says under this key, for as long as the call of here that asks lasts; n = 0:
     * nothing, it is a location alone. NULL: never anything. */
    struct stoq_span (*value)(void *user, const struct stoq_hash *key);
    void *user;
};

struct stoq_node_dht;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_node_dht_new(struct stoq_node_dht **out,
                                                    const struct stoq_node_dht_config *cfg,
                                                    stoq_ns now);
void stoq_node_dht_free(struct stoq_node_dht *nd); /* NULL is fine */
/* For its queries, and to look, stop, announce and withdraw (dht_io.h); the other events are made here. */
struct stoq_dht *stoq_node_dht_core(struct stoq_node_dht *nd);
/* What the calendar says has moved against `now`. */
void stoq_node_dht_clock(struct stoq_node_dht *nd, uint64_t wall_us, stoq_ns now);

/* A way into the DHT: its own record is asked for over a connection. */
void stoq_node_dht_join(struct stoq_node_dht *nd, const struct stoq_peer_id *peer,
                        const struct stoq_node_dht_addr *addr, stoq_ns now);

/* Where a request comes from. */
struct stoq_node_dht_from {
    const struct stoq_peer_id *peer; /* of the connection; NULL: a datagram */
    struct stoq_node_dht_addr addr;
    bool proven; /* what is sent there arrives */
    size_t room; /* bytes of the answer's message */
};
/* Answer a Ping, FindNode, FindValue, Store, Renew or Patch: append the answer's frame, length included.
 * STOQ_OK; STOQ_FULL, STOQ_NOMEM: say nothing. */
STOQ_WARN_UNUSED enum stoq_status stoq_node_dht_answer(struct stoq_node_dht *nd,
                                                       const struct stoq_message *request,
                                                       const struct stoq_node_dht_from *from,
                                                       struct stoq_buf *out, stoq_ns now);

enum stoq_node_dht_action_kind {
    STOQ_NODE_DHT_CALL,      /* u.call: send it; stoq_node_dht_replied closes it */
    STOQ_NODE_DHT_FOUND,     /* u.found: a provider */
    STOQ_NODE_DHT_TRACE,     /* u.trace */
    STOQ_NODE_DHT_LOOKED,    /* u.looked */
    STOQ_NODE_DHT_ANNOUNCED, /* u.announced */
};
struct stoq_node_dht_call {
    uint64_t cookie;
    struct stoq_peer_id peer;
    struct stoq_node_dht_addr addr;
    const uint8_t *rpc_key; /* NULL: over a connection */
    bool at_addr; /* who answers has to be at addr: a connection from elsewhere will not do */
    const uint8_t *token;           /* what it gave us last; NULL: none */
    const struct stoq_message *msg; /* its request id is the shell's to set */
    stoq_ns timeout_ns;
    stoq_ns resend_ns; /* a datagram goes again after this, twice this ... */
};
struct stoq_node_dht_found {
    uint32_t look;
    struct stoq_peer_id peer;
    const struct stoq_node_dht_addr *addresses;
    uint32_t address_count;
    uint64_t sequence;
    uint64_t issued_at_s;
    uint32_t ttl_s;
    struct stoq_span value; /* what it says; n = 0: it is a location alone */
};
struct stoq_node_dht_action {
    enum stoq_node_dht_action_kind kind;
    union {
        struct stoq_node_dht_call call;
        struct stoq_node_dht_found found;
        struct stoq_dht_trace trace;
        struct stoq_dht_looked looked;
        struct stoq_dht_announced announced;
    } u;
};
/* As stoq_dht_poll; what an action lends is good until the next call of anything here. */
bool stoq_node_dht_poll(struct stoq_node_dht *nd, stoq_ns now, struct stoq_node_dht_action *out);
stoq_ns stoq_node_dht_deadline(const struct stoq_node_dht *nd);

/* Close a CALL. status: STOQ_OK: reply is the message; else why there is none. token, addr: as the reply
 * came; may be NULL. Unknown cookies are fine. */
void stoq_node_dht_replied(struct stoq_node_dht *nd, uint64_t cookie, enum stoq_status status,
                           const struct stoq_message *reply, const uint8_t *token, stoq_ns rtt_ns,
                           stoq_ns now);

/* Who and where a contact of the core is. False: no such one is held. */
bool stoq_node_dht_who(const struct stoq_node_dht *nd, stoq_contact_no contact,
                       struct stoq_peer_id *peer, struct stoq_node_dht_addr *addr,
                       struct stoq_hash *id);

/* The table's contacts as signed records, one after the other, for a file; and such bytes back in: each
 * is looked at anew, by a ping. What is damaged ends the reading. */
STOQ_WARN_UNUSED enum stoq_status stoq_node_dht_save(const struct stoq_node_dht *nd, stoq_ns now,
                                                     struct stoq_buf *out);
size_t stoq_node_dht_load(struct stoq_node_dht *nd, struct stoq_span bytes, stoq_ns now);

/* The subnet of an address as a number; 0: one that is not counted. */
uint64_t stoq_node_dht_group(const struct stoq_node_dht_addr *addr);

#endif
