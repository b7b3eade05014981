#include "merkle/proof.h"

#include "merkle/siblings.h"
#include "wire/form.h"

/*
 * The map of docs/FORMATS.md section 6. All fourteen keys are always there; a list without entries is
 * the empty byte string. The lists are raw concatenations, read here into fixed arrays: a longer list
 * than any tree can ask for is malformed before anything is looked at. The version is read first:
 * another one is told as such, whatever its keys.
 */

#define PROOF_VERSION 1u
#define PROOF_KIND_CHUNK 1u
#define BEFORE_BYTES_MAX ((STOQ_MERKLE_SHARD_CHUNKS_MAX - 1) * STOQ_MERKLE_CHUNK_ENTRY_BYTES)

static void get_right(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_merkle_proof *p = at;
    p->right_count = merkle_get_right(r, p->right, STOQ_MERKLE_PROOF_RIGHT_MAX);
}

static bool put_right(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_merkle_proof *p = at;
    merkle_put_right(w, p->right, p->right_count);
    return true;
}

static void get_above(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_merkle_proof *p = at;
    p->above_count = merkle_get_above(r, p->above, STOQ_MERKLE_PROOF_ABOVE_MAX);
}

static bool put_above(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_merkle_proof *p = at;
    merkle_put_above(w, p->above, p->above_count);
    return true;
}

static const struct stoq_field proof_fields[] = {
    {1, STOQ_IS_CONST(PROOF_VERSION, STOQ_VERSION)},
    {2, STOQ_IS_CONST(PROOF_KIND_CHUNK, STOQ_MALFORMED)},
    {3, STOQ_IS_UINT(struct stoq_merkle_proof, shards, 0, UINT64_MAX)},
    {4, STOQ_IS_UINT(struct stoq_merkle_proof, chunks, 0, UINT64_MAX)},
    {5, STOQ_IS_UINT(struct stoq_merkle_proof, bytes, 0, UINT64_MAX)},
    {6, STOQ_IS_UINT(struct stoq_merkle_proof, index, 0, UINT64_MAX)},
    {7, STOQ_IS_UINT(struct stoq_merkle_proof, shard_index, 0, UINT64_MAX)},
    {8, STOQ_IS_UINT(struct stoq_merkle_proof, shard_chunks, 0, UINT64_MAX)},
    {9, STOQ_IS_UINT(struct stoq_merkle_proof, shard_bytes, 0, UINT64_MAX)},
    {10, STOQ_IS_BYTES(struct stoq_merkle_proof, before, 0, BEFORE_BYTES_MAX)},
    {11, STOQ_IS_HASH(struct stoq_merkle_proof, chunk.hash)},
    {12, STOQ_IS_UINT(struct stoq_merkle_proof, chunk.bytes, 1, STOQ_MERKLE_CHUNK_BYTES_MAX_RAW)},
    {13, STOQ_IS_OWN_OF_ALL(get_right, put_right)},
    {14, STOQ_IS_OWN_OF_ALL(get_above, put_above)},
};
static const struct stoq_form proof_form = STOQ_FORM(proof_fields);

enum stoq_status stoq_merkle_proof_encode(const struct stoq_merkle_proof *proof,
                                          struct stoq_buf *out)
{
    return stoq_form_encode(&proof_form, proof, stoq_form_keys(&proof_form, proof), out);
}

enum stoq_status stoq_merkle_proof_decode(struct stoq_span bytes, struct stoq_merkle_proof *out)
{
    if (bytes.n > STOQ_MERKLE_PROOF_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    *out = (struct stoq_merkle_proof){.shards = 0};
    return stoq_form_decode(&proof_form, bytes, out);
}
