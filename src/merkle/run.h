#ifndef STOQ_MERKLE_RUN_H
#define STOQ_MERKLE_RUN_H
/*
 * Proofs of many chunks at once (docs/FORMATS.md section 6.1): that consecutive chunks, across shards
 * or exactly one shard, have these hashes and lengths and start at this byte of the package.
 */
#include "merkle/proof.h"

/* Limits: chunks of one proof (about 2 GiB of content); its encoded bytes, were each of them a shard;
 * siblings on both sides above the touched shards. */
#define STOQ_MERKLE_RUN_CHUNKS_MAX 65536u
#define STOQ_MERKLE_RUN_PROOF_BYTES_MAX (6u << 20)
#define STOQ_MERKLE_RUN_ABOVE_MAX (2 * STOQ_MERKLE_PROOF_ABOVE_MAX)

/* What a proof is of: the value of its key 2. */
enum stoq_merkle_proof_kind {
    STOQ_MERKLE_PROOF_CHUNK = 1, /* struct stoq_merkle_proof */
    STOQ_MERKLE_PROOF_RUN,       /* struct stoq_merkle_run, not all chunks of one shard */
    STOQ_MERKLE_PROOF_SHARD,     /* struct stoq_merkle_run, all chunks of one shard */
};

struct stoq_merkle_run {
    enum stoq_merkle_proof_kind kind;
    uint64_t shards; /* of the package */
    uint64_t chunks;
    uint64_t bytes;
    uint64_t first;       /* index of the run's first chunk in the package */
    uint64_t count;       /* chunks in the run */
    uint64_t first_shard; /* index of the shard that holds the first chunk */
    /* Shard list entries of the shards that the run touches; chunk list entries from the first chunk
     * of the first of them to the last chunk of the run. Borrowed. */
    struct stoq_span touched;
    struct stoq_span entries;
    uint32_t right_count; /* right siblings inside the last touched shard, left to right */
    uint32_t above_count; /* siblings of the touched shards, left to right */
    struct stoq_hash right[STOQ_MERKLE_PROOF_RIGHT_MAX];
    struct stoq_merkle_shard above[STOQ_MERKLE_RUN_ABOVE_MAX];
};

/* Where a verified run lies in the package's stream. */
struct stoq_merkle_run_place {
    uint64_t offset;
    uint64_t bytes;
};

/*
 * Make the proof of a run.
 *
 * root         the package root, whose counts the proof repeats
 * shard_list   checked against root; borrowed, also by out->touched
 * chunk_lists  of all shards from that of the first chunk to that of the last, joined, checked;
 *              borrowed, also by out->entries
 *
 * STOQ_OK         out is the proof
 * STOQ_RANGE      the package has no such run (InvalidChunkIndex)
 * STOQ_FULL       more than STOQ_MERKLE_RUN_CHUNKS_MAX chunks
 * STOQ_MALFORMED  a list does not have the length that the counts ask for
 * Cost: one hash per shard of the package and per chunk right of the run in its last shard.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_prove_run(const struct stoq_merkle_root *root,
                                                        struct stoq_span shard_list,
                                                        struct stoq_span chunk_lists,
                                                        uint64_t first, uint64_t count,
                                                        struct stoq_merkle_run *out);

/*
 * Append the proof's bytes to out.
 *
 * STOQ_OK, STOQ_NOMEM, STOQ_FULL (out's cap); out unchanged on failure.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_run_encode(const struct stoq_merkle_run *run,
                                                         struct stoq_buf *out);

/*
 * Read a proof of a run or shard. The counts are only taken apart here: stoq_merkle_verify_run judges
 * them.
 *
 * bytes  borrowed, also by out's spans
 *
 * STOQ_OK, STOQ_TRUNC (ends too early), STOQ_MALFORMED, STOQ_VERSION (another format version).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_run_decode(struct stoq_span bytes,
                                                         struct stoq_merkle_run *out);

/* What these bytes say they prove, for who must choose a decoder; false: no proof of format 1. */
bool stoq_merkle_proof_kind_of(struct stoq_span bytes, enum stoq_merkle_proof_kind *out);

/*
 * Check a run against a package root.
 *
 * root             package root, already authenticated (by the manifest)
 * chunk_bytes_max  STOQ_MERKLE_CHUNK_BYTES_MAX for a package
 * first, count     the run that the caller expects
 * run              decoded, untrusted
 * out              untouched on failure; NULL is fine
 *
 * STOQ_OK         stoq_merkle_run_chunk(run, 0 .. count - 1) are these chunks of that package
 * STOQ_MALFORMED  a count does not fit the tree's shape
 * STOQ_PROOF      the proof is of another run, or does not lead to root: the sender's fault
 * Cost: two hashes per entry and shard, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_verify_run(const struct stoq_hash *root,
                                                         uint32_t chunk_bytes_max, uint64_t first,
                                                         uint64_t count,
                                                         const struct stoq_merkle_run *run,
                                                         struct stoq_merkle_run_place *out);

/* Chunk i of a verified run, i < count. */
struct stoq_merkle_chunk stoq_merkle_run_chunk(const struct stoq_merkle_run *run, size_t i);

#endif
