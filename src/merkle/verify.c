#include "merkle/proof.h"
#include "merkle/tree.h"

/*
 * Nothing in a proof is believed. First every number is held against the shape that the others imply,
 * so that each list has exactly one possible length; then the siblings are lined up bottom up (the
 * left ones inside the shard computed from the entries before the chunk); then they are joined, and
 * only the root that the caller trusts decides. Position comes out of the walk: the counts of the left
 * siblings above the shard say how many chunks and bytes precede it, and they are part of the hashes.
 */

/* A sibling with its hash; inside a shard its counts stay zero, since no hash there holds them. */
struct joint {
    struct stoq_merkle_shard node;
    bool left;
    enum stoq_merkle_tree tree;
};

static uint64_t entries_before(const struct stoq_merkle_proof *proof)
{
    return proof->before.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
}

/* The package's and the shard's numbers, by themselves. */
static bool totals_fit(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max)
{
    return p->bytes <= STOQ_MERKLE_BYTES_MAX &&
           stoq_merkle_bytes_fit(p->chunks, p->bytes, chunk_bytes_max) && p->shards <= p->chunks &&
           p->index < p->chunks && p->shard_index < p->shards &&
           p->shard_chunks <= STOQ_MERKLE_SHARD_CHUNKS_MAX &&
           stoq_merkle_bytes_fit(p->shard_chunks, p->shard_bytes, chunk_bytes_max);
}

/* The shard's chunks: those before, this one, and room for exactly the rest. */
static bool entries_fit(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max)
{
    uint64_t k = entries_before(p);
    if (p->before.n % STOQ_MERKLE_CHUNK_ENTRY_BYTES != 0 || k >= p->shard_chunks ||
        p->chunk.bytes == 0 || p->chunk.bytes > chunk_bytes_max) {
        return false;
    }
    uint64_t bytes = p->chunk.bytes;
    for (size_t i = 0; i < k; i++) {
        uint32_t n = stoq_merkle_chunk_at(p->before, i).bytes;
        if (n == 0 || n > chunk_bytes_max) {
            return false;
        }
        bytes += n;
    }
    return bytes <= p->shard_bytes &&
           stoq_merkle_bytes_fit(p->shard_chunks - k - 1, p->shard_bytes - bytes, chunk_bytes_max);
}

/* Line up the siblings inside the shard; false when the right ones are not exactly as many as the
 * position asks for. */
static bool line_up_inside(const struct stoq_merkle_proof *p, struct joint *out, size_t *count)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t n = stoq_merkle_path(p->shard_chunks, entries_before(p), path);
    uint32_t right = 0;
    for (size_t i = 0; i < n; i++) {
        struct joint *j = &out[*count + i];
        *j = (struct joint){.left = path[i].left, .tree = STOQ_MERKLE_INSIDE};
        if (path[i].left) {
            j->node.root =
                stoq_merkle_range(STOQ_MERKLE_INSIDE, p->before, path[i].lo, path[i].hi).root;
        } else if (right < p->right_count && right < STOQ_MERKLE_PROOF_RIGHT_MAX) {
            j->node.root = p->right[right];
            right++;
        } else {
            return false;
        }
    }
    *count += n;
    return right == p->right_count;
}

/* The same above the shards, where each sibling covers a known number of them. */
static bool line_up_above(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max,
                          struct joint *out, size_t *count)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t n = stoq_merkle_path(p->shards, p->shard_index, path);
    if (p->above_count != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct stoq_merkle_shard *node = &p->above[i];
        uint64_t shards = path[i].hi - path[i].lo;
        if (node->bytes > p->bytes || node->chunks < shards ||
            node->chunks > shards * STOQ_MERKLE_SHARD_CHUNKS_MAX ||
            !stoq_merkle_bytes_fit(node->chunks, node->bytes, chunk_bytes_max)) {
            return false;
        }
        out[*count + i] = (struct joint){*node, path[i].left, STOQ_MERKLE_ABOVE};
    }
    *count += n;
    return true;
}

/* All siblings from the leaf up, or false when a number does not fit. */
static bool line_up(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max,
                    struct joint out[STOQ_MERKLE_STEPS_MAX], size_t *count)
{
    *count = 0;
    return totals_fit(p, chunk_bytes_max) && entries_fit(p, chunk_bytes_max) &&
           line_up_inside(p, out, count) && line_up_above(p, chunk_bytes_max, out, count);
}

/* What the counts above the shard say, with the lengths before the chunk: its offset. False when they,
 * with the shard's own, are not the package's, or put the chunk at another index. */
static bool place_chunk(const struct stoq_merkle_proof *p, const struct joint *joints, size_t count,
                        uint64_t *offset)
{
    uint64_t chunks = p->shard_chunks;
    uint64_t bytes = p->shard_bytes;
    uint64_t first_chunk = 0;
    *offset = 0;
    for (size_t i = 0; i < count; i++) {
        /* Inside the shard the counts are zero; above, each is at most 2^48: no overflow. */
        const struct joint *j = &joints[i];
        chunks += j->node.chunks;
        bytes += j->node.bytes;
        first_chunk += j->left ? j->node.chunks : 0;
        *offset += j->left ? j->node.bytes : 0;
    }
    for (size_t i = 0; i < entries_before(p); i++) {
        *offset += stoq_merkle_chunk_at(p->before, i).bytes;
    }
    return chunks == p->chunks && bytes == p->bytes && first_chunk + entries_before(p) == p->index;
}

/* Join all siblings to the package root's hash. */
static struct stoq_hash climb(const struct stoq_merkle_proof *p, const struct joint *joints,
                              size_t count)
{
    struct stoq_merkle_shard node = stoq_merkle_leaf_of_chunk(&p->chunk);
    size_t i = 0;
    for (; i < count && joints[i].tree == STOQ_MERKLE_INSIDE; i++) {
        node = joints[i].left ? stoq_merkle_join(STOQ_MERKLE_INSIDE, &joints[i].node, &node)
                              : stoq_merkle_join(STOQ_MERKLE_INSIDE, &node, &joints[i].node);
    }
    struct stoq_merkle_shard shard = {node.root, p->shard_chunks, p->shard_bytes};
    node = stoq_merkle_leaf_of_shard(&shard);
    for (; i < count; i++) {
        node = joints[i].left ? stoq_merkle_join(STOQ_MERKLE_ABOVE, &joints[i].node, &node)
                              : stoq_merkle_join(STOQ_MERKLE_ABOVE, &node, &joints[i].node);
    }
    return stoq_merkle_root_hash(p->shards, p->chunks, p->bytes, &node.root);
}

enum stoq_status stoq_merkle_verify_chunk(const struct stoq_hash *root, uint32_t chunk_bytes_max,
                                          uint64_t index, const struct stoq_merkle_chunk *chunk,
                                          const struct stoq_merkle_proof *proof,
                                          uint64_t *out_offset)
{
    struct joint joints[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    uint64_t offset;
    if (!line_up(proof, chunk_bytes_max, joints, &count) ||
        !place_chunk(proof, joints, count, &offset)) {
        return STOQ_MALFORMED;
    }
    if (proof->index != index || proof->chunk.bytes != chunk->bytes ||
        !stoq_hash_eq(&proof->chunk.hash, &chunk->hash)) {
        return STOQ_PROOF;
    }
    struct stoq_hash hash = climb(proof, joints, count);
    if (!stoq_hash_eq(&hash, root)) {
        return STOQ_PROOF;
    }
    if (out_offset != NULL) {
        *out_offset = offset;
    }
    return STOQ_OK;
}

enum stoq_status stoq_merkle_proof_claim(const struct stoq_merkle_proof *proof,
                                         uint32_t chunk_bytes_max, uint64_t *out_offset)
{
    struct joint joints[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    uint64_t offset;
    if (!line_up(proof, chunk_bytes_max, joints, &count) ||
        !place_chunk(proof, joints, count, &offset)) {
        return STOQ_MALFORMED;
    }
    *out_offset = offset;
    return STOQ_OK;
}

enum stoq_status stoq_merkle_proof_steps(const struct stoq_merkle_proof *proof,
                                         uint32_t chunk_bytes_max,
                                         struct stoq_merkle_step out[STOQ_MERKLE_STEPS_MAX],
                                         size_t *out_count)
{
    struct joint joints[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    if (!line_up(proof, chunk_bytes_max, joints, &count)) {
        return STOQ_MALFORMED;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct stoq_merkle_step){joints[i].node.root, joints[i].left,
                                           joints[i].tree == STOQ_MERKLE_ABOVE};
    }
    *out_count = count;
    return STOQ_OK;
}
