#ifndef STOQ_NET_ROOM_H
#define STOQ_NET_ROOM_H
/*
 * How many connections there may be, counted for all network threads together: of the endpoint, of one
 * prefix, and by what they weigh. Who begins one takes its place first, so that two threads never both take
 * the last one. Any thread; the lock is held for a look into a map.
 */
#include "base/map.h"

#include <pthread.h>
#include <stdatomic.h>

#define NET_CONN_BYTES                                                                             \
    ((uint64_t)80 * STOQ_KIB) /* what a connection weighs: measured, rounded up */

struct net_room {
    pthread_mutex_t lock;     /* guards what follows, but for reading the two counts */
    struct stoq_map prefixes; /* of others' open connections: prefix -> how many */
    size_t connections_max;
    size_t prefix_max;
    uint64_t memory_max;
    atomic_size_t live; /* begun and not closing; a dial on its way to its thread is one */
    atomic_size_t held; /* and those that are closing: each weighs NET_CONN_BYTES */
};

enum net_room_answer {
    NET_ROOM_TAKEN,
    NET_ROOM_CONNECTIONS, /* as many as there may be */
    NET_ROOM_PREFIX,      /* as many as the prefix may have */
    NET_ROOM_MEMORY,      /* they hold as much as they may */
};

/* seed: against chosen prefixes. */
void net_room_init(struct net_room *r, size_t connections_max, size_t prefix_max,
                   uint64_t memory_max, uint64_t seed);
/* Every place was given back. */
void net_room_release(struct net_room *r);
/* From now on there is room for nobody. */
void net_room_shut(struct net_room *r);

/* A place for a connection of ours: memory does not keep us from asking. */
enum net_room_answer net_room_enter(struct net_room *r);
/* A place for a stranger's. bytes: what connections hold beyond their own weight. */
enum net_room_answer net_room_admit(struct net_room *r, uint64_t prefix, uint64_t bytes);
/* The stranger's handshake is done: it counts in its prefix; false: that has as many as it may (or there is
 * no memory to count it), and nothing is counted. */
bool net_room_settle(struct net_room *r, uint64_t prefix);
/* One that settled is over. */
void net_room_unsettle(struct net_room *r, uint64_t prefix);
/* One that entered or was admitted is closing; it is gone. In this order, once each. */
void net_room_leave(struct net_room *r);
void net_room_forget(struct net_room *r);

/* What connections weigh by themselves. */
uint64_t net_room_bytes(const struct net_room *r);
/* Open connections of the prefix that has most. */
size_t net_room_prefix_most(struct net_room *r);

#endif
