#ifndef STOQ_PACKAGE_PROOF_FILE_H
#define STOQ_PACKAGE_PROOF_FILE_H
/*
 * Proof files (docs/FORMATS.md section 6.2): a header, the manifest, a proof of chunks, and, if one
 * likes, their bytes. Whoever knows the package id can check one, with nothing else at hand.
 */
#include "merkle/run.h"
#include "package/manifest.h"

#define STOQ_PROOF_FILE_HEAD_BYTES 32u
/* Of header, manifest and proof: what a reader holds in memory. */
#define STOQ_PROOF_FILE_PARTS_BYTES_MAX                                                            \
    (STOQ_PROOF_FILE_HEAD_BYTES + STOQ_MANIFEST_BYTES_MAX + STOQ_MERKLE_RUN_PROOF_BYTES_MAX)

struct stoq_proof_file {
    uint32_t manifest_bytes;
    uint32_t proof_bytes;
    uint64_t data_bytes; /* 0: the data are elsewhere */
};

void stoq_proof_file_encode(uint8_t out[STOQ_PROOF_FILE_HEAD_BYTES],
                            const struct stoq_proof_file *file);

/* STOQ_OK; STOQ_TRUNC: fewer bytes than a header; STOQ_MALFORMED; STOQ_VERSION: a newer format. Bytes
 * behind the header are not looked at. */
STOQ_WARN_UNUSED enum stoq_status stoq_proof_file_decode(struct stoq_span in,
                                                         struct stoq_proof_file *out);

/* What has been proved. Chunk i of it: stoq_proof_told_chunk. */
struct stoq_proof_told {
    enum stoq_merkle_proof_kind kind;
    uint64_t first; /* chunk of the package */
    uint64_t count;
    uint64_t shard;               /* index of the first chunk's */
    uint64_t offset;              /* byte of the package's stream */
    uint64_t bytes;               /* of all these chunks */
    struct stoq_merkle_chunk one; /* kind CHUNK */
    struct stoq_span entries;     /* else: of the run; borrowed from the proof */
};

/*
 * Check manifest and proof of a proof file against a package id.
 *
 * id        what the caller trusts
 * manifest  untrusted; borrowed for the call
 * proof     untrusted; borrowed, also by out
 * out       undefined on failure; the caller compares it with what it wanted proved
 *
 * STOQ_OK         chunks out->first .. + count - 1 of that package have these hashes and lengths and
 *                 start at byte out->offset of its stream
 * STOQ_PROOF      the manifest is not that package's, the proof does not lead to its root, or the counts of
 *                 the manifest are not those that its root commits to
 * STOQ_MALFORMED  neither can be read, or its counts do not fit
 * STOQ_TRUNC      one of them ends too early
 * STOQ_VERSION    of a newer format
 * Cost: that of stoq_merkle_verify_run. No allocation; some 30 KiB of stack.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_proof_check(const struct stoq_package_id *id,
                                                   struct stoq_span manifest,
                                                   struct stoq_span proof,
                                                   struct stoq_proof_told *out);

/* i < told->count. */
struct stoq_merkle_chunk stoq_proof_told_chunk(const struct stoq_proof_told *told, size_t i);

#endif
