#ifndef STOQ_DAEMON_REREAD_H
#define STOQ_DAEMON_REREAD_H
/* Reading shards again, from the disk: what a receipt promises. */
#include "daemon/held.h"

/* Bytes first .. end - 1 of a package's stream, those of some shards. */
struct stoq_reread_span {
    uint64_t first_shard;
    uint64_t shard_count;
    uint64_t first;
    uint64_t end;
    bool is_last; /* with its last shard */
};

/* Where shards lie; shard_count 0: all of them. STOQ_RANGE: it has no such shards. */
STOQ_WARN_UNUSED enum stoq_status stoq_reread_span(const struct stoq_held *held,
                                                   uint64_t first_shard, uint64_t shard_count,
                                                   struct stoq_reread_span *out,
                                                   struct stoq_error *err);

struct stoq_reread_ask {
    struct stoq_package_id id;
    struct stoq_reread_span span; /* of this package */
    bool (*cancelled)(void *user);
    void *user;
};

/*
 * Read every chunk of these shards as the disk has it, and compare it, the lists and the manifest with the
 * package id. After a sync. STOQ_OK; STOQ_PROOF, STOQ_NOTFOUND: something is damaged or not here;
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_reread(struct stoq_store *store,
                                              const struct stoq_reread_ask *ask,
                                              struct stoq_error *err);

#endif
