#ifndef STOQ_NET_CID_H
#define STOQ_NET_CID_H
/*
 * Which connection a connection id belongs to. Ids are our own (NET_CID_BYTES long, the thread's
 * number first) and the random one the client made up for its first packets (8 to 20 bytes): kept as
 * long as the connection, lest a late copy of such a packet looks like a new client's.
 */
#include "base/bytes.h"

#define NET_CID_BYTES 12
#define NET_CID_MAX 20

struct net_cid {
    struct net_cid *bucket_next;
    struct net_cid *owner_next;
    void *owner;
    uint64_t hash;
    uint8_t n;
    uint8_t b[NET_CID_MAX];
};

struct net_cids {
    struct net_cid **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint64_t seed[2]; /* secret: strangers choose some of the ids */
};

/* STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_cids_init(struct net_cids *ids, const uint64_t seed[2]);
/* Owners' lists must have been cleared. */
void net_cids_release(struct net_cids *ids);
/* Add an id of 1 .. NET_CID_MAX bytes to the table and to its owner's list. STOQ_EXISTS, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_cids_add(struct net_cids *ids, struct net_cid **list,
                                               void *owner, struct stoq_span id);
/* The owner, or NULL. */
void *net_cids_find(const struct net_cids *ids, struct stoq_span id);
/* Fine if it is not in that list. */
void net_cids_remove(struct net_cids *ids, struct net_cid **list, struct stoq_span id);
void net_cids_clear(struct net_cids *ids, struct net_cid **list);

#endif
