#ifndef STOQ_MERKLE_SIBLINGS_H
#define STOQ_MERKLE_SIBLINGS_H
/*
 * The lists of siblings in a proof (docs/FORMATS.md section 6), for the two proof codecs: hashes inside a
 * shard, shard list entries above it, each list one byte string.
 */
#include "merkle/merkle.h"
#include "wire/cbor.h"

/* Read one into memory of max entries; how many there are. A longer list, or part of an entry, makes the
 * reader bad and counts none. */
uint32_t merkle_get_right(struct stoq_cbor_rd *r, struct stoq_hash *out, size_t max);
uint32_t merkle_get_above(struct stoq_cbor_rd *r, struct stoq_merkle_shard *out, size_t max);
/* Write one; at most STOQ_MERKLE_PROOF_RIGHT_MAX and STOQ_MERKLE_RUN_ABOVE_MAX entries (asserted). */
void merkle_put_right(struct stoq_cbor_wr *w, const struct stoq_hash *right, size_t count);
void merkle_put_above(struct stoq_cbor_wr *w, const struct stoq_merkle_shard *above, size_t count);

#endif
