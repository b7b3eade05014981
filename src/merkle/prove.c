#include "merkle/proof.h"
#include "merkle/tree.h"

/*
 * A proof is two paths, glued at the shard's leaf. Inside the shard the left siblings are not carried:
 * the entries before the chunk are, whole, because they also prove the byte offset, and the verifier
 * computes the left siblings from them. Each sibling is the top of a range of leaves; all ranges of a
 * path together are every leaf but one, so this costs one pass over the list and no memory.
 */

/* The siblings of chunk k inside its shard that lie to the right. */
static void prove_inside(struct stoq_span chunk_list, uint64_t k, struct stoq_merkle_proof *out)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t count = stoq_merkle_path(out->shard_chunks, k, path);
    out->right_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!path[i].left) {
            out->right[out->right_count] =
                stoq_merkle_range(STOQ_MERKLE_INSIDE, chunk_list, path[i].lo, path[i].hi).root;
            out->right_count++;
        }
    }
}

static void prove_above(struct stoq_span shard_list, struct stoq_merkle_proof *out)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t count = stoq_merkle_path(out->shards, out->shard_index, path);
    for (size_t i = 0; i < count; i++) {
        out->above[i] = stoq_merkle_range(STOQ_MERKLE_ABOVE, shard_list, path[i].lo, path[i].hi);
    }
    out->above_count = (uint32_t)count;
}

enum stoq_status stoq_merkle_prove_chunk(const struct stoq_merkle_root *root,
                                         struct stoq_span shard_list, struct stoq_span chunk_list,
                                         uint64_t index, struct stoq_merkle_proof *out)
{
    if (shard_list.n / STOQ_MERKLE_SHARD_ENTRY_BYTES != root->shards ||
        shard_list.n % STOQ_MERKLE_SHARD_ENTRY_BYTES != 0 || root->shards > STOQ_MERKLE_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    struct stoq_merkle_place place;
    enum stoq_status st = stoq_merkle_find_chunk(shard_list, index, &place);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(shard_list, (size_t)place.shard);
    if (shard.chunks > STOQ_MERKLE_SHARD_CHUNKS_MAX ||
        chunk_list.n != shard.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES) {
        return STOQ_MALFORMED;
    }
    size_t k = (size_t)(index - place.first_chunk);
    *out = (struct stoq_merkle_proof){
        .shards = root->shards,
        .chunks = root->chunks,
        .bytes = root->bytes,
        .index = index,
        .shard_index = place.shard,
        .shard_chunks = shard.chunks,
        .shard_bytes = shard.bytes,
        .before = stoq_span(chunk_list.p, k * STOQ_MERKLE_CHUNK_ENTRY_BYTES),
        .chunk = stoq_merkle_chunk_at(chunk_list, k),
    };
    prove_inside(chunk_list, k, out);
    prove_above(shard_list, out);
    return STOQ_OK;
}
