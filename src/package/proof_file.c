#include "package/proof_file.h"

#include <string.h>

#define MAGIC "stoqprf1"
#define FORMAT 1u

void stoq_proof_file_encode(uint8_t out[STOQ_PROOF_FILE_HEAD_BYTES],
                            const struct stoq_proof_file *file)
{
    memset(out, 0, STOQ_PROOF_FILE_HEAD_BYTES);
    memcpy(out, MAGIC, 8);
    stoq_le32_put(out + 8, FORMAT);
    stoq_le32_put(out + 12, file->manifest_bytes);
    stoq_le32_put(out + 16, file->proof_bytes);
    stoq_le64_put(out + 24, file->data_bytes);
}

enum stoq_status stoq_proof_file_decode(struct stoq_span in, struct stoq_proof_file *out)
{
    if (in.n < STOQ_PROOF_FILE_HEAD_BYTES) {
        return STOQ_TRUNC;
    }
    if (memcmp(in.p, MAGIC, 8) != 0) {
        return STOQ_MALFORMED;
    }
    if (stoq_le32(in.p + 8) != FORMAT) {
        return STOQ_VERSION;
    }
    *out = (struct stoq_proof_file){
        .manifest_bytes = stoq_le32(in.p + 12),
        .proof_bytes = stoq_le32(in.p + 16),
        .data_bytes = stoq_le64(in.p + 24),
    };
    bool fits = out->manifest_bytes >= 1 && out->manifest_bytes <= STOQ_MANIFEST_BYTES_MAX &&
                out->proof_bytes >= 1 && out->proof_bytes <= STOQ_MERKLE_RUN_PROOF_BYTES_MAX &&
                out->data_bytes <= STOQ_MERKLE_BYTES_MAX && stoq_le32(in.p + 20) == 0;
    return fits ? STOQ_OK : STOQ_MALFORMED;
}

/* The root commits to the proof's counts, not to the manifest's: a manifest can contradict its own root, and
 * then nothing is proved about its package. */
static bool counts_agree(const struct stoq_manifest *m, uint64_t shards, uint64_t chunks,
                         uint64_t bytes)
{
    return m->shards == shards && m->chunks == chunks && m->bytes == bytes;
}

static enum stoq_status check_chunk(const struct stoq_manifest *m, struct stoq_span bytes,
                                    struct stoq_proof_told *out)
{
    struct stoq_merkle_proof proof;
    uint64_t offset = 0;
    enum stoq_status st = stoq_merkle_proof_decode(bytes, &proof);
    if (st == STOQ_OK) {
        st = stoq_merkle_verify_chunk(&m->root, STOQ_MERKLE_CHUNK_BYTES_MAX, proof.index,
                                      &proof.chunk, &proof, &offset);
    }
    if (st == STOQ_OK && !counts_agree(m, proof.shards, proof.chunks, proof.bytes)) {
        st = STOQ_PROOF;
    }
    if (st != STOQ_OK) {
        return st;
    }
    *out = (struct stoq_proof_told){
        .kind = STOQ_MERKLE_PROOF_CHUNK,
        .first = proof.index,
        .count = 1,
        .shard = proof.shard_index,
        .offset = offset,
        .bytes = proof.chunk.bytes,
        .one = proof.chunk,
    };
    return STOQ_OK;
}

static enum stoq_status check_run(const struct stoq_manifest *m, struct stoq_span bytes,
                                  struct stoq_proof_told *out)
{
    struct stoq_merkle_run run;
    struct stoq_merkle_run_place place;
    enum stoq_status st = stoq_merkle_run_decode(bytes, &run);
    if (st == STOQ_OK) {
        st = stoq_merkle_verify_run(&m->root, STOQ_MERKLE_CHUNK_BYTES_MAX, run.first, run.count,
                                    &run, &place);
    }
    if (st == STOQ_OK && !counts_agree(m, run.shards, run.chunks, run.bytes)) {
        st = STOQ_PROOF;
    }
    if (st != STOQ_OK) {
        return st;
    }
    size_t n = (size_t)run.count * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    *out = (struct stoq_proof_told){
        .kind = run.kind,
        .first = run.first,
        .count = run.count,
        .shard = run.first_shard,
        .offset = place.offset,
        .bytes = place.bytes,
        .entries = stoq_span(run.entries.p + run.entries.n - n, n),
    };
    return STOQ_OK;
}

enum stoq_status stoq_proof_check(const struct stoq_package_id *id, struct stoq_span manifest,
                                  struct stoq_span proof, struct stoq_proof_told *out)
{
    struct stoq_manifest m;
    enum stoq_merkle_proof_kind kind;
    struct stoq_package_id got = stoq_manifest_id(manifest);
    if (!stoq_hash_eq(&got.h, &id->h)) {
        return STOQ_PROOF;
    }
    enum stoq_status st = stoq_manifest_decode(manifest, &m);
    if (st != STOQ_OK) {
        return st;
    }
    if (stoq_merkle_proof_kind_of(proof, &kind) && kind != STOQ_MERKLE_PROOF_CHUNK) {
        return check_run(&m, proof, out);
    }
    return check_chunk(&m, proof, out);
}

struct stoq_merkle_chunk stoq_proof_told_chunk(const struct stoq_proof_told *told, size_t i)
{
    STOQ_ASSERT(i < told->count);
    return told->kind == STOQ_MERKLE_PROOF_CHUNK ? told->one
                                                 : stoq_merkle_chunk_at(told->entries, i);
}
