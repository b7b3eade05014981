#ifndef STOQ_DHT_ID_H
#define STOQ_DHT_ID_H
/*
 * Places in the id space: node ids, lookup keys, and how far they are apart. Distance is XOR, read as a
 * number with the first byte the most significant.
 */
#include "base/bytes.h"

#define STOQ_DHT_ID_BITS 256
#define STOQ_DHT_WORK_DEFAULT 22 /* zero bits a node id must earn: about a second of one core */
#define STOQ_DHT_WORK_MAX 40

/* What a network agrees on: ids of another epoch or with less work are no ids. */
struct stoq_dht_rules {
    uint64_t epoch;
    unsigned work_bits; /* 0 .. STOQ_DHT_WORK_MAX */
};

/* BLAKE3(context, epoch, peer id, nonce). It counts only when it has earned its place. */
struct stoq_hash stoq_dht_node_id(const struct stoq_dht_rules *rules,
                                  const struct stoq_peer_id *peer, uint64_t nonce);
/* Does BLAKE3 of it begin with the work's zero bits? */
bool stoq_dht_id_earned(const struct stoq_dht_rules *rules, const struct stoq_hash *id);

/* The search for a nonce, in pieces that its owner paces. */
struct stoq_dht_search {
    struct stoq_dht_rules rules;
    struct stoq_peer_id peer;
    uint64_t nonce; /* the next to be tried; the one found */
    struct stoq_hash id;
};
/* Try some more. True: id and nonce are found. */
bool stoq_dht_search_run(struct stoq_dht_search *s, uint32_t tries);

/* Where the records of a package lie. Who holds one cannot tell the package from it. */
struct stoq_hash stoq_dht_key(const struct stoq_package_id *package);

/* Which of a and b is nearer to target: <0: a, >0: b, 0: they are the same. */
int stoq_dht_nearer(const struct stoq_hash *target, const struct stoq_hash *a,
                    const struct stoq_hash *b);
/* The distance's first 64 bits. */
uint64_t stoq_dht_distance(const struct stoq_hash *a, const struct stoq_hash *b);
/* How many of their first bits agree, 0 .. 256. */
unsigned stoq_dht_common_bits(const struct stoq_hash *a, const struct stoq_hash *b);

#endif
