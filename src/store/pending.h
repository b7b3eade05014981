#ifndef STOQ_STORE_PENDING_H
#define STOQ_STORE_PENDING_H
/*
 * Records that are appended but not yet in the index: a queue in sequence order, and a hash table
 * of the newest one per (type, key). Not thread-safe: the log's lock guards it.
 */
#include "store/index.h"

struct stoq_block;

/* A queued record. Its entry is not changed while it is being committed. */
struct stoq_pending {
    struct stoq_entry e;
    struct stoq_block *block;   /* where its bytes are in memory; NULL: on disk */
    bool ready;                 /* the bytes are complete */
    struct stoq_pending *newer; /* queue, towards its tail */
    struct stoq_pending *chain; /* same bucket */
};

struct stoq_pending_set {
    struct stoq_pending **bucket;
    struct stoq_pending *oldest;
    struct stoq_pending *newest;
    size_t count;
    uint64_t seed;
};

STOQ_WARN_UNUSED enum stoq_status stoq_pending_init(struct stoq_pending_set *set, uint64_t seed);
void stoq_pending_release(struct stoq_pending_set *set); /* frees what is queued */

/* The newest queued record of (type, key), or the tombstone that deleted it; NULL: none. */
struct stoq_pending *stoq_pending_find(const struct stoq_pending_set *set, uint8_t type,
                                       struct stoq_span key);
/* Append; its sequence is higher than all before it. Taken. */
void stoq_pending_add(struct stoq_pending_set *set, struct stoq_pending *p);
/* Remove the oldest and free it. */
void stoq_pending_drop_oldest(struct stoq_pending_set *set);

#endif
