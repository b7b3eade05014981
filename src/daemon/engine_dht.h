#ifndef STOQ_DAEMON_ENGINE_DHT_H
#define STOQ_DAEMON_ENGINE_DHT_H
/*
 * The DHT as operations use it. Any thread but the network's; blocking where it says so. Without a DHT (off,
 * a client, nobody to join) calls give STOQ_NOTFOUND.
 */
#include "daemon/engine.h"
#include "dht/dht.h"

struct stoq_engine_dht_status {
    bool on;        /* switched on */
    bool client;    /* it asks only: datagrams are off, or it serves nobody */
    bool searching; /* for the nonce of our id */
    bool up;
    struct stoq_hash id;
    unsigned work_bits;
    struct stoq_dht_stats stats;
};
void stoq_engine_dht_status(struct stoq_engine *engine, struct stoq_engine_dht_status *out);

struct stoq_engine_dht_contact {
    struct stoq_peer_id peer;
    struct stoq_addr addr;
    struct stoq_dht_contact about;
    struct stoq_hash id;
};
/* One call per contact of the table, from a snapshot. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_dht_table(
    struct stoq_engine *engine, void (*fn)(void *user, const struct stoq_engine_dht_contact *c),
    void *user);

/* Take part, by way of this peer; at once, how it goes shows in the status. */
void stoq_engine_dht_join(struct stoq_engine *engine, const struct stoq_fetch_source *peer);

/* A provider that was found; a source per address. */
#define STOQ_DHT_FOUND_MAX STOQ_DHT_VALUES_MAX
struct stoq_engine_dht_provider {
    struct stoq_peer_id peer;
    struct stoq_addr addrs[8];
    size_t addr_count;
    uint64_t issued_at_s;
    uint32_t ttl_s;
    size_t value_n; /* what its record says beside that; 0: nothing */
    uint8_t value[STOQ_CONTACT_VALUE_MAX];
};
struct stoq_engine_dht_hop {
    struct stoq_peer_id peer;
    struct stoq_addr addr;
    struct stoq_hash id;
    enum stoq_dht_outcome outcome;
    uint32_t hop;
    uint32_t path;
    uint32_t contacts;
    uint32_t records;
    stoq_ns took_ns;
};
#define STOQ_DHT_HOPS_MAX 512
struct stoq_engine_dht_found {
    size_t provider_count;
    struct stoq_engine_dht_provider providers[STOQ_DHT_FOUND_MAX];
    size_t near_count;
    struct stoq_engine_dht_contact near[STOQ_DHT_WANT_MAX]; /* their `about` is not filled */
    size_t hop_count;
    struct stoq_engine_dht_hop hops[STOQ_DHT_HOPS_MAX];
    uint32_t calls;
    uint32_t silent;
    uint32_t hops_most;
    uint32_t paths;
    stoq_ns took_ns;
};
struct stoq_engine_dht_ask {
    struct stoq_hash target; /* a lookup key, or any place */
    bool value;
    bool deep;     /* ask every holder, not only until there are enough */
    uint32_t want; /* records or contacts; 0: STOQ_DHT_ENOUGH and STOQ_DHT_K */
    bool trace;
    stoq_ns timeout_ns; /* 0: 10 s */
    bool (*cancelled)(void *user);
    void *user;
};
/* Look, and wait for the end. *out is large, the caller's. STOQ_OK, also when nothing was found;
 * STOQ_NOTFOUND: no DHT here; STOQ_TIMEOUT, STOQ_CANCELLED, STOQ_FULL. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_dht_look(struct stoq_engine *engine,
                                                       const struct stoq_engine_dht_ask *ask,
                                                       struct stoq_engine_dht_found *out,
                                                       struct stoq_error *err);

/* We provide this package from now on. out NULL: do not wait for the first announcement. As look. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_dht_announce(struct stoq_engine *engine,
                                                           const struct stoq_package_id *id,
                                                           struct stoq_dht_announced *out,
                                                           bool (*cancelled)(void *user),
                                                           void *user, struct stoq_error *err);
void stoq_engine_dht_withdraw(struct stoq_engine *engine, const struct stoq_package_id *id);
/* Say this under a key from now on, 1 to STOQ_CONTACT_VALUE_MAX bytes, in place of what was said before;
 * n = 0: nothing, the record is withdrawn. STOQ_OK, also without a DHT; STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_dht_say(struct stoq_engine *engine,
                                                      const struct stoq_hash *key,
                                                      struct stoq_span value);
/* How the announcing of a package stands; false: it is not announced. And how many records of it are
 * held here. */
bool stoq_engine_dht_own(struct stoq_engine *engine, const struct stoq_package_id *id,
                         struct stoq_dht_announced *out, size_t *held);

#endif
