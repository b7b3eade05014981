#ifndef STOQ_DAEMON_RECEIPTS_H
#define STOQ_DAEMON_RECEIPTS_H
/*
 * Receipts that others gave for packages of ours, kept in the store (docs/FORMATS.md section 9, type 6) and
 * checked whenever they are shown.
 */
#include "store/store.h"
#include "wire/signed.h"

#define STOQ_RECEIPTS_BYTES_MAX ((size_t)4 * STOQ_MIB) /* of one holder: 16,000 slices */

/* What the receipts of one holder come to. */
struct stoq_holding {
    struct stoq_peer_id peer;
    bool valid;           /* signed by it, of this package, without gaps from its first shard on */
    char why[100];        /* "" when valid */
    uint64_t bytes;       /* of the shards in question */
    uint64_t shard_count; /* 0: one receipt for all of it */
    uint64_t verified_at_s; /* of the latest */
    uint64_t keep_until_s;  /* the least of all */
    size_t receipts;
};

/* Read the items of a record as the receipts of this holder for this package. Whatever the bytes are, out
 * is filled. */
void stoq_receipts_read(struct stoq_span items, const struct stoq_package_id *id,
                        const struct stoq_peer_id *peer, struct stoq_holding *out);

/* Keep items, which replace what was kept of this holder. Durable after a sync. STOQ_OK; STOQ_FULL,
 * STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_receipts_put(struct stoq_store *store,
                                                    const struct stoq_package_id *id,
                                                    const struct stoq_peer_id *peer,
                                                    struct stoq_span items, struct stoq_error *err);

/* Call each for every holder of a package, in order of peer ids. STOQ_OK, STOQ_IO, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_receipts_each(
    struct stoq_store *store, const struct stoq_package_id *id,
    void (*each)(void *user, const struct stoq_holding *h), void *user, struct stoq_error *err);

#endif
