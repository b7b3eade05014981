#ifndef STOQ_MERKLE_MERKLE_H
#define STOQ_MERKLE_MERKLE_H
/*
 * The tree of a package (docs/FORMATS.md section 5): chunks form shards, shards form the package
 * root. Here: building it, and checking the two lists that describe it. Proofs are in
 * merkle/proof.h.
 */
#include "base/bytes.h"

/* A shard closes at the cap, or from the minimum on where the chunk hash says so. */
#define STOQ_MERKLE_SHARD_CHUNKS_MIN 32u
#define STOQ_MERKLE_SHARD_CHUNKS_MAX 512u
/* The longest chunk of a package, and of the plumbing with its own chunk sizes. */
#define STOQ_MERKLE_CHUNK_BYTES_MAX 262144u
#define STOQ_MERKLE_CHUNK_BYTES_MAX_RAW (16u << 20)
/* Bytes of a stream (docs/FORMATS.md section 7); chunks and shards cannot be more. */
#define STOQ_MERKLE_BYTES_MAX ((uint64_t)1 << 48)

/* One chunk: an entry of a chunk list, 36 bytes there. */
#define STOQ_MERKLE_CHUNK_ENTRY_BYTES 36u
struct stoq_merkle_chunk {
    struct stoq_hash hash; /* of its bytes */
    uint32_t bytes;
};

/* One shard: an entry of a shard list, 48 bytes there. */
#define STOQ_MERKLE_SHARD_ENTRY_BYTES 48u
struct stoq_merkle_shard {
    struct stoq_hash root;
    uint64_t chunks;
    uint64_t bytes;
};

/* A whole tree. The hash commits to the three counts; height is for reports, no check reads it. */
struct stoq_merkle_root {
    struct stoq_hash hash;
    uint64_t shards;
    uint64_t chunks;
    uint64_t bytes;
    uint32_t height; /* levels of nodes over the chunk leaves, the package root not counted */
};

/* A shard that has just closed, with its chunk list: 36 bytes per chunk, borrowed from the builder
 * until it is next called. */
struct stoq_merkle_closed {
    struct stoq_merkle_shard shard;
    struct stoq_span list;
};

/* The builder: takes chunks in order, in flat memory (one shard's list and two stacks). */
struct stoq_merkle;

struct stoq_merkle_config {
    uint32_t chunk_bytes_max; /* 1 .. STOQ_MERKLE_CHUNK_BYTES_MAX_RAW */
    struct stoq_alloc alloc;  /* zero: the C library's */
};

/*
 * STOQ_OK     *out is the caller's, to be freed
 * STOQ_NOMEM  no memory
 * STOQ_RANGE  chunk_bytes_max is out of range
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_new(struct stoq_merkle **out,
                                                  const struct stoq_merkle_config *cfg);
void stoq_merkle_free(struct stoq_merkle *m); /* NULL is fine */

/*
 * Append one chunk.
 *
 * chunk       hash and length, 1 .. chunk_bytes_max
 * out_closed  true when the chunk closed a shard, which then is in out; false: out is untouched
 *
 * STOQ_OK     appended
 * STOQ_RANGE  the length is out of range, or the stream would pass STOQ_MERKLE_BYTES_MAX; nothing
 *             has changed
 * Cost: about two hashes of up to 97 bytes, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_add(struct stoq_merkle *m,
                                                  const struct stoq_merkle_chunk *chunk,
                                                  struct stoq_merkle_closed *out, bool *out_closed);

/*
 * End the stream: close the open shard (out and out_closed as above; none when the last chunk closed
 * it or there was no chunk) and give the root. The builder is empty again afterwards, ready for
 * another stream; out->list stays borrowed until then.
 */
void stoq_merkle_finish(struct stoq_merkle *m, struct stoq_merkle_closed *out, bool *out_closed,
                        struct stoq_merkle_root *root);

/* Entry i of a chunk list or a shard list; i must lie inside (asserted). */
struct stoq_merkle_chunk stoq_merkle_chunk_at(struct stoq_span chunk_list, size_t i);
struct stoq_merkle_shard stoq_merkle_shard_at(struct stoq_span shard_list, size_t i);
/* The bytes of one entry, for those who write lists. */
void stoq_merkle_chunk_put(uint8_t out[STOQ_MERKLE_CHUNK_ENTRY_BYTES],
                           const struct stoq_merkle_chunk *chunk);
void stoq_merkle_shard_put(uint8_t out[STOQ_MERKLE_SHARD_ENTRY_BYTES],
                           const struct stoq_merkle_shard *shard);

/*
 * Check a package's shard list against its root.
 *
 * root             hash and counts, already authenticated (by the manifest); height is not read
 * chunk_bytes_max  STOQ_MERKLE_CHUNK_BYTES_MAX for a package
 * list             48 bytes per shard; borrowed
 *
 * STOQ_OK         the list belongs to the root: every entry is true
 * STOQ_MALFORMED  wrong length, a shard of 0 or over 512 chunks, bytes that its chunks cannot have,
 *                 or sums that are not the root's; nothing was hashed
 * STOQ_PROOF      the hashes disagree: the sender's fault
 * Cost: two hashes per shard, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_check_shard_list(const struct stoq_merkle_root *root,
                                                               uint32_t chunk_bytes_max,
                                                               struct stoq_span list);

/*
 * Check a shard's chunk list against its entry of a checked shard list.
 *
 * STOQ_OK         the list belongs to the shard: every hash and length is true
 * STOQ_MALFORMED  wrong length, a chunk of 0 or over chunk_bytes_max bytes, or lengths that do not
 *                 add up to the shard's; nothing was hashed
 * STOQ_PROOF      the hashes disagree: the sender's fault
 * Cost: two hashes per chunk, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_check_chunk_list(
    const struct stoq_merkle_shard *shard, uint32_t chunk_bytes_max, struct stoq_span list);

/* Where a chunk lies. */
struct stoq_merkle_place {
    uint64_t shard;       /* index of its shard */
    uint64_t first_chunk; /* index of that shard's first chunk */
    uint64_t first_byte;  /* offset of that shard's first byte */
};

/*
 * Find the shard of a chunk.
 *
 * shard_list  checked
 * index       of the chunk in the package
 *
 * STOQ_OK     out says where
 * STOQ_RANGE  the package has no such chunk (InvalidChunkIndex); out untouched
 */
STOQ_WARN_UNUSED enum stoq_status stoq_merkle_find_chunk(struct stoq_span shard_list,
                                                         uint64_t index,
                                                         struct stoq_merkle_place *out);

#endif
