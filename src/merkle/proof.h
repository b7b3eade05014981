#ifndef STOQ_MERKLE_PROOF_H
#define STOQ_MERKLE_PROOF_H
/*
 * Proofs (docs/FORMATS.md section 6): that the chunk with this hash and length is chunk `index` of
 * the package with this root, and starts at byte `offset`.
 */
#include "merkle/merkle.h"

/* Limits: encoded bytes; siblings to the right inside a shard of 512; siblings above the shards. */
#define STOQ_MERKLE_PROOF_BYTES_MAX 32768u
#define STOQ_MERKLE_PROOF_RIGHT_MAX 9u
#define STOQ_MERKLE_PROOF_ABOVE_MAX 48u

struct stoq_merkle_proof {
    uint64_t shards; /* of the package */
    uint64_t chunks;
    uint64_t bytes;
    uint64_t index;       /* of the chunk in the package */
    uint64_t shard_index; /* of its shard */
    uint64_t shard_chunks;
    uint64_t shard_bytes;
    struct stoq_span before; /* chunk list entries of the shard's chunks before it; borrowed */
    struct stoq_merkle_chunk chunk;
    uint32_t right_count; /* right siblings inside the shard, bottom up */
    uint32_t above_count; /* siblings above the shard, bottom up */
    struct stoq_hash right[STOQ_MERKLE_PROOF_RIGHT_MAX];
    struct stoq_merkle_shard above[STOQ_MERKLE_PROOF_ABOVE_MAX]; /* root: the node's hash */
};

/*
 * Make the proof of one chunk.
 *
 * root        the package root, whose counts the proof repeats
 * shard_list  checked against root; borrowed
 * chunk_list  of the shard that holds the chunk (stoq_merkle_find_chunk tells which), checked;
 *             borrowed, also by out->before
 * index       of the chunk in the package
 *
 * STOQ_OK         out is the proof
 * STOQ_RANGE      the package has no such chunk (InvalidChunkIndex)
 * STOQ_MALFORMED  a list does not have the length that the counts ask for
 * Cost: two hashes per shard and per chunk of the shard, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_prove_chunk(const struct stoq_merkle_root *root,
                                                          struct stoq_span shard_list,
                                                          struct stoq_span chunk_list,
                                                          uint64_t index,
                                                          struct stoq_merkle_proof *out);

/*
 * Append the proof's bytes to out.
 *
 * STOQ_OK, STOQ_NOMEM, STOQ_FULL (out's cap); out unchanged on failure.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_proof_encode(const struct stoq_merkle_proof *proof,
                                                           struct stoq_buf *out);

/*
 * Read a proof. The counts are only taken apart here: stoq_merkle_verify_chunk judges them.
 *
 * bytes  borrowed, also by out->before
 *
 * STOQ_OK, STOQ_TRUNC (ends too early), STOQ_MALFORMED, STOQ_VERSION (another format version).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_proof_decode(struct stoq_span bytes,
                                                           struct stoq_merkle_proof *out);

/*
 * Check a chunk against a package root.
 *
 * root             package root, already authenticated (by the manifest)
 * chunk_bytes_max  STOQ_MERKLE_CHUNK_BYTES_MAX for a package
 * index            where the caller expects the chunk
 * chunk            its hash and length, from bytes the caller holds
 * proof            decoded, untrusted
 * out_offset       byte of the stream where the chunk starts; untouched on failure. NULL is fine
 *
 * STOQ_OK         the chunk is that chunk of that package
 * STOQ_MALFORMED  a count does not fit the tree's shape; no hash was compared
 * STOQ_PROOF      the proof is of another chunk or index, or does not lead to root: the sender's
 *                 fault
 * Cost: about 2 hashes per entry before the chunk and log2(chunks) more, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_verify_chunk(const struct stoq_hash *root,
                                                           uint32_t chunk_bytes_max, uint64_t index,
                                                           const struct stoq_merkle_chunk *chunk,
                                                           const struct stoq_merkle_proof *proof,
                                                           uint64_t *out_offset);

/*
 * For many chunks of one package: the same check, but entries that the proof before had too are not
 * hashed again, so that proofs in order cost some ten hashes each instead of hundreds. About 20 KiB.
 *
 * root   package root, already authenticated; copied
 * alloc  NULL: the C library's; copied
 *
 * STOQ_OK     *out is the caller's, to be freed
 * STOQ_NOMEM  no memory
 */
struct stoq_merkle_verifier;
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_verifier_new(struct stoq_merkle_verifier **out,
                                                           const struct stoq_hash *root,
                                                           uint32_t chunk_bytes_max,
                                                           const struct stoq_alloc *alloc);
void stoq_merkle_verifier_free(struct stoq_merkle_verifier *v); /* NULL is fine */

/* As stoq_merkle_verify_chunk, in any order of chunks; a proof that fails spoils nothing. */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_verifier_check(struct stoq_merkle_verifier *v,
                                                             uint64_t index,
                                                             const struct stoq_merkle_chunk *chunk,
                                                             const struct stoq_merkle_proof *proof,
                                                             uint64_t *out_offset);

/*
 * Where the proof says its chunk starts, for those who must find the bytes before they can verify
 * them: a claim, nothing more.
 *
 * STOQ_OK, STOQ_MALFORMED (a count does not fit the tree's shape).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_proof_claim(const struct stoq_merkle_proof *proof,
                                                          uint32_t chunk_bytes_max,
                                                          uint64_t *out_offset);

/* One sibling on the way up: on which side of the path it joins. */
struct stoq_merkle_step {
    struct stoq_hash hash;
    bool left;        /* the sibling is the left child */
    bool above_shard; /* it covers whole shards */
};
#define STOQ_MERKLE_STEPS_MAX (STOQ_MERKLE_PROOF_RIGHT_MAX + STOQ_MERKLE_PROOF_ABOVE_MAX)

/*
 * List all siblings from the chunk leaf to the top, bottom up, those computed from the preceding
 * entries included.
 *
 * out_count  how many of out are filled
 *
 * STOQ_OK, STOQ_MALFORMED (a count does not fit the tree's shape).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_proof_steps(
    const struct stoq_merkle_proof *proof, uint32_t chunk_bytes_max,
    struct stoq_merkle_step out[STOQ_MERKLE_STEPS_MAX], size_t *out_count);

#endif
