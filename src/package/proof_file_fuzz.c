#include "package/proof_file.h"

#include "hash/hash.h"

/*
 * Bytes as a proof file. Its own manifest's id is believed, so that the proof inside is reached: then
 * nothing may be told that the manifest does not have room for.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_proof_file head;
    struct stoq_proof_told told;
    struct stoq_manifest m;
    uint8_t again[STOQ_PROOF_FILE_HEAD_BYTES];
    if (stoq_proof_file_decode(stoq_span(data, size), &head) != STOQ_OK) {
        return 0;
    }
    stoq_proof_file_encode(again, &head);
    STOQ_ASSERT(stoq_span_eq(stoq_span(again, sizeof again), stoq_span(data, sizeof again)));
    struct stoq_rd r = stoq_rd(stoq_span(data, size));
    (void)stoq_rd_bytes(&r, STOQ_PROOF_FILE_HEAD_BYTES);
    struct stoq_span manifest = stoq_rd_bytes(&r, head.manifest_bytes);
    struct stoq_span proof = stoq_rd_bytes(&r, head.proof_bytes);
    struct stoq_package_id id = stoq_manifest_id(manifest);
    if (r.bad || stoq_proof_check(&id, manifest, proof, &told) != STOQ_OK) {
        return 0;
    }
    STOQ_ASSERT(stoq_manifest_decode(manifest, &m) == STOQ_OK);
    STOQ_ASSERT(told.count >= 1 && told.first < m.chunks && told.count <= m.chunks - told.first);
    STOQ_ASSERT(told.shard < m.shards);
    STOQ_ASSERT(told.offset <= m.bytes && told.bytes <= m.bytes - told.offset);
    uint64_t bytes = 0;
    for (size_t i = 0; i < told.count; i++) {
        bytes += stoq_proof_told_chunk(&told, i).bytes;
    }
    STOQ_ASSERT(bytes == told.bytes);
    return 0;
}
