#ifndef STOQ_DISCOVER_CACHE_H
#define STOQ_DISCOVER_CACHE_H
/*
 * What was found out about who provides what: providers, as long as their records live; keys that nobody
 * provides, for a short time; peers that could not be reached, which are not offered for a while. Keys
 * are lookup keys. Fixed memory; the oldest entry gives way.
 */
#include "discover/neighbours.h"

#define STOQ_PLACES_MAX 2048 /* providers with an address each, of all keys */
#define STOQ_NOBODY_MAX 64
#define STOQ_NOBODY_FOR (5 * STOQ_SEC)
#define STOQ_FAILED_MAX 256
#define STOQ_FAILED_FOR (60 * STOQ_SEC)

struct stoq_provider {
    struct stoq_peer_id peer;
    struct stoq_place_addr addr;
};

struct stoq_discovery {
    struct stoq_discovery_place {
        struct stoq_hash key;
        struct stoq_provider who;
        stoq_ns until;
    } places[STOQ_PLACES_MAX];
    struct stoq_discovery_nobody {
        struct stoq_hash key;
        stoq_ns until;
    } nobody[STOQ_NOBODY_MAX];
    struct stoq_discovery_failed {
        struct stoq_peer_id peer;
        stoq_ns until;
    } failed[STOQ_FAILED_MAX];
    size_t place_next; /* the one that gives way, where none is over */
    size_t nobody_next;
    size_t failed_next;
};

void stoq_discovery_init(struct stoq_discovery *d);
/* A provider of key, until its record is over. */
void stoq_discovery_found(struct stoq_discovery *d, const struct stoq_hash *key,
                          const struct stoq_provider *who, stoq_ns until, stoq_ns now);
/* All who know were asked, and there is none. */
void stoq_discovery_none(struct stoq_discovery *d, const struct stoq_hash *key, stoq_ns now);
bool stoq_discovery_is_none(const struct stoq_discovery *d, const struct stoq_hash *key,
                            stoq_ns now);
/* It could not be reached; it was reached. */
void stoq_discovery_failed(struct stoq_discovery *d, const struct stoq_peer_id *peer, stoq_ns now);
void stoq_discovery_reached(struct stoq_discovery *d, const struct stoq_peer_id *peer);
bool stoq_discovery_is_failed(const struct stoq_discovery *d, const struct stoq_peer_id *peer,
                              stoq_ns now);
/* The providers of key that are known and may be tried; how many. */
size_t stoq_discovery_list(const struct stoq_discovery *d, const struct stoq_hash *key, stoq_ns now,
                           struct stoq_provider *out, size_t out_max);

#endif
