#include "merkle/proof.h"
#include "merkle/tree.h"

#include <string.h>

/*
 * Nothing in a proof is believed. First every number is held against the shape that the others imply,
 * so that each list has exactly one possible length; then the siblings are lined up bottom up (the
 * left ones inside the shard computed from the entries before the chunk); then they are joined, and
 * only the root that the caller trusts decides. Position comes out of the walk: the counts of the left
 * siblings above the shard say how many chunks and bytes precede it, and they are part of the hashes.
 *
 * The left siblings of leaf k are the full subtrees over the k leaves before it, which is what a stack
 * holds after k leaves were pushed. A chunk's proof repeats the entries of the proof before it and one
 * more; so a verifier keeps that stack with the entries it was made of, and pushes only what is new.
 * It only spares hashing the same bytes twice: nothing is believed for having been seen.
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

/* Line up the siblings inside the shard, the left ones from the full subtrees over the entries before;
 * false when the right ones are not exactly as many as the position asks for. */
static bool line_up_inside(const struct stoq_merkle_proof *p,
                           const struct stoq_merkle_stack *before, struct joint *out, size_t *count)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t n = stoq_merkle_path(p->shard_chunks, entries_before(p), path);
    uint32_t left = before->node_count;
    uint32_t right = 0;
    for (size_t i = 0; i < n; i++) {
        struct joint *j = &out[*count + i];
        *j = (struct joint){.left = path[i].left, .tree = STOQ_MERKLE_INSIDE};
        if (path[i].left) {
            STOQ_ASSERT(left > 0);
            left--;
            j->node.root = before->node[left].root;
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

/* Do the numbers fit that need no sibling to be looked at? Only then may the entries be pushed. */
static bool numbers_fit(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max)
{
    return totals_fit(p, chunk_bytes_max) && entries_fit(p, chunk_bytes_max);
}

/* Push the entries that the stack does not have yet. */
static void push_entries(struct stoq_merkle_stack *before, struct stoq_span entries)
{
    size_t n = entries.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    for (size_t i = (size_t)before->leaf_count; i < n; i++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(entries, i);
        struct stoq_merkle_shard leaf = stoq_merkle_leaf_of_chunk(&chunk);
        stoq_merkle_stack_push(before, &leaf);
    }
}

/* All siblings from the leaf up, or false when a number does not fit. The proof's numbers_fit, and
 * before holds its entries. */
static bool line_up(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max,
                    const struct stoq_merkle_stack *before, struct joint out[STOQ_MERKLE_STEPS_MAX],
                    size_t *count)
{
    *count = 0;
    return line_up_inside(p, before, out, count) && line_up_above(p, chunk_bytes_max, out, count);
}

/* The same, where nothing is kept from proof to proof. */
static bool line_up_once(const struct stoq_merkle_proof *p, uint32_t chunk_bytes_max,
                         struct joint out[STOQ_MERKLE_STEPS_MAX], size_t *count)
{
    struct stoq_merkle_stack before;
    stoq_merkle_stack_init(&before, STOQ_MERKLE_INSIDE);
    if (!numbers_fit(p, chunk_bytes_max)) {
        return false;
    }
    push_entries(&before, p->before);
    return line_up(p, chunk_bytes_max, &before, out, count);
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

/* What the caller holds against what the proof says, and that against the root. */
static enum stoq_status judge(const struct stoq_hash *root, uint64_t index,
                              const struct stoq_merkle_chunk *chunk,
                              const struct stoq_merkle_proof *proof, const struct joint *joints,
                              size_t count, uint64_t *out_offset)
{
    uint64_t offset;
    if (!place_chunk(proof, joints, count, &offset)) {
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

enum stoq_status stoq_merkle_verify_chunk(const struct stoq_hash *root, uint32_t chunk_bytes_max,
                                          uint64_t index, const struct stoq_merkle_chunk *chunk,
                                          const struct stoq_merkle_proof *proof,
                                          uint64_t *out_offset)
{
    struct joint joints[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    if (!line_up_once(proof, chunk_bytes_max, joints, &count)) {
        return STOQ_MALFORMED;
    }
    return judge(root, index, chunk, proof, joints, count, out_offset);
}

struct stoq_merkle_verifier {
    struct stoq_alloc alloc;
    struct stoq_hash root;
    uint32_t chunk_bytes_max;
    struct stoq_merkle_stack before; /* over the first entries below */
    uint8_t entries[(STOQ_MERKLE_SHARD_CHUNKS_MAX - 1) * STOQ_MERKLE_CHUNK_ENTRY_BYTES];
};

enum stoq_status stoq_merkle_verifier_new(struct stoq_merkle_verifier **out,
                                          const struct stoq_hash *root, uint32_t chunk_bytes_max,
                                          const struct stoq_alloc *alloc)
{
    struct stoq_merkle_verifier *v = stoq_alloc(alloc, 1, sizeof *v);
    if (v == NULL) {
        return STOQ_NOMEM;
    }
    v->alloc = alloc != NULL ? *alloc : (struct stoq_alloc){.user = NULL};
    v->root = *root;
    v->chunk_bytes_max = chunk_bytes_max;
    stoq_merkle_stack_init(&v->before, STOQ_MERKLE_INSIDE);
    *out = v;
    return STOQ_OK;
}

void stoq_merkle_verifier_free(struct stoq_merkle_verifier *v)
{
    if (v != NULL) {
        struct stoq_alloc alloc = v->alloc;
        stoq_free(&alloc, v);
    }
}

/* Make the stack that of these entries: go on from what it has where they begin with just that. */
static void recall(struct stoq_merkle_verifier *v, struct stoq_span entries)
{
    size_t had = (size_t)v->before.leaf_count * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    if (had > entries.n || (had > 0 && memcmp(v->entries, entries.p, had) != 0)) {
        stoq_merkle_stack_init(&v->before, STOQ_MERKLE_INSIDE);
        had = 0;
    }
    if (entries.n > had) {
        memcpy(v->entries + had, entries.p + had, entries.n - had);
    }
    push_entries(&v->before, entries);
}

enum stoq_status stoq_merkle_verifier_check(struct stoq_merkle_verifier *v, uint64_t index,
                                            const struct stoq_merkle_chunk *chunk,
                                            const struct stoq_merkle_proof *proof,
                                            uint64_t *out_offset)
{
    struct joint joints[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    if (!numbers_fit(proof, v->chunk_bytes_max)) {
        return STOQ_MALFORMED;
    }
    recall(v, proof->before);
    if (!line_up(proof, v->chunk_bytes_max, &v->before, joints, &count)) {
        return STOQ_MALFORMED;
    }
    return judge(&v->root, index, chunk, proof, joints, count, out_offset);
}

enum stoq_status stoq_merkle_proof_claim(const struct stoq_merkle_proof *proof,
                                         uint32_t chunk_bytes_max, uint64_t *out_offset)
{
    struct joint joints[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    uint64_t offset;
    if (!line_up_once(proof, chunk_bytes_max, joints, &count) ||
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
    if (!line_up_once(proof, chunk_bytes_max, joints, &count)) {
        return STOQ_MALFORMED;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct stoq_merkle_step){joints[i].node.root, joints[i].left,
                                           joints[i].tree == STOQ_MERKLE_ABOVE};
    }
    *out_count = count;
    return STOQ_OK;
}
