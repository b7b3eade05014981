#include "merkle/tree.h"

#include "hash/hash.h"

#include <string.h>

/*
 * The shape is that of RFC 6962: n leaves split at the largest power of two below n. Read from the
 * left, such a tree is a row of full subtrees of falling sizes, one for each 1 in the binary form of
 * n, joined from the right:
 *
 *     7 = 111b      ((01)(23)) ((45)6)      the row is [0..3] [4..5] [6]
 *
 * So a stack of full subtrees builds it leaf by leaf in log2(n) memory: a pushed leaf joins its left
 * neighbour as often as the new count has trailing zero bits, and the top joins the row from the
 * right. Every kind of hash starts with a byte of its own, so that a node cannot pose as a leaf, nor a
 * shard as a package.
 */

enum {
    TAG_CHUNK_LEAF = 0x00,
    TAG_INSIDE_NODE = 0x01,
    TAG_SHARD_LEAF = 0x02,
    TAG_PACKAGE_ROOT = 0x03,
    TAG_ABOVE_NODE = 0x04,
};

/* Room for the longest input: an above node. */
#define INPUT_BYTES_MAX (1 + 2 * 32 + 4 * 8)

static void put_hash(struct stoq_wr *w, const struct stoq_hash *h)
{
    stoq_wr_bytes(w, stoq_span(h->b, sizeof h->b));
}

struct stoq_merkle_shard stoq_merkle_leaf_of_chunk(const struct stoq_merkle_chunk *chunk)
{
    uint8_t in[INPUT_BYTES_MAX];
    struct stoq_wr w = stoq_wr(in, sizeof in);
    stoq_wr_u8(&w, TAG_CHUNK_LEAF);
    put_hash(&w, &chunk->hash);
    stoq_wr_u64(&w, chunk->bytes);
    return (struct stoq_merkle_shard){stoq_hash_blake3(stoq_wr_span(&w)), 1, chunk->bytes};
}

struct stoq_merkle_shard stoq_merkle_leaf_of_shard(const struct stoq_merkle_shard *shard)
{
    uint8_t in[INPUT_BYTES_MAX];
    struct stoq_wr w = stoq_wr(in, sizeof in);
    stoq_wr_u8(&w, TAG_SHARD_LEAF);
    put_hash(&w, &shard->root);
    stoq_wr_u64(&w, shard->chunks);
    stoq_wr_u64(&w, shard->bytes);
    return (struct stoq_merkle_shard){stoq_hash_blake3(stoq_wr_span(&w)), shard->chunks,
                                      shard->bytes};
}

struct stoq_merkle_shard stoq_merkle_join(enum stoq_merkle_tree tree,
                                          const struct stoq_merkle_shard *left,
                                          const struct stoq_merkle_shard *right)
{
    uint8_t in[INPUT_BYTES_MAX];
    struct stoq_wr w = stoq_wr(in, sizeof in);
    stoq_wr_u8(&w, tree == STOQ_MERKLE_INSIDE ? TAG_INSIDE_NODE : TAG_ABOVE_NODE);
    put_hash(&w, &left->root);
    put_hash(&w, &right->root);
    if (tree == STOQ_MERKLE_ABOVE) {
        stoq_wr_u64(&w, left->chunks);
        stoq_wr_u64(&w, left->bytes);
        stoq_wr_u64(&w, right->chunks);
        stoq_wr_u64(&w, right->bytes);
    }
    STOQ_ASSERT(!w.bad);
    return (struct stoq_merkle_shard){stoq_hash_blake3(stoq_wr_span(&w)),
                                      left->chunks + right->chunks, left->bytes + right->bytes};
}

struct stoq_hash stoq_merkle_root_hash(uint64_t shards, uint64_t chunks, uint64_t bytes,
                                       const struct stoq_hash *top)
{
    uint8_t in[INPUT_BYTES_MAX];
    struct stoq_wr w = stoq_wr(in, sizeof in);
    struct stoq_hash none = stoq_hash_blake3(stoq_span(NULL, 0));
    stoq_wr_u8(&w, TAG_PACKAGE_ROOT);
    stoq_wr_u64(&w, shards);
    stoq_wr_u64(&w, chunks);
    stoq_wr_u64(&w, bytes);
    put_hash(&w, top != NULL ? top : &none);
    return stoq_hash_blake3(stoq_wr_span(&w));
}

void stoq_merkle_stack_init(struct stoq_merkle_stack *s, enum stoq_merkle_tree tree)
{
    s->leaf_count = 0;
    s->node_count = 0;
    s->tree = tree;
}

void stoq_merkle_stack_push(struct stoq_merkle_stack *s, const struct stoq_merkle_shard *leaf)
{
    stoq_merkle_stack_put(s, leaf, 1);
}

void stoq_merkle_stack_put(struct stoq_merkle_stack *s, const struct stoq_merkle_shard *node,
                           uint64_t leaf_count)
{
    struct stoq_merkle_shard top = *node;
    s->leaf_count += leaf_count;
    /* A full subtree is 2^j leaves at a multiple of 2^j, and joins as a leaf of a tree of such
     * subtrees does. The last of a tree may be of any size; it waits for stack_top. */
    bool is_full = (leaf_count & (leaf_count - 1)) == 0;
    uint64_t count = is_full ? s->leaf_count >> __builtin_ctzll(leaf_count) : 1;
    for (; (count & 1) == 0; count >>= 1) {
        s->node_count--;
        top = stoq_merkle_join(s->tree, &s->node[s->node_count], &top);
    }
    STOQ_ASSERT(s->node_count < STOQ_MERKLE_DEPTH_MAX);
    s->node[s->node_count] = top;
    s->node_count++;
}

struct stoq_merkle_shard stoq_merkle_stack_top(const struct stoq_merkle_stack *s)
{
    STOQ_ASSERT(s->node_count > 0);
    uint32_t i = s->node_count - 1;
    struct stoq_merkle_shard node = s->node[i];
    while (i > 0) {
        i--;
        node = stoq_merkle_join(s->tree, &s->node[i], &node);
    }
    return node;
}

struct stoq_merkle_shard stoq_merkle_range(enum stoq_merkle_tree tree, struct stoq_span list,
                                           uint64_t lo, uint64_t hi)
{
    struct stoq_merkle_stack s;
    stoq_merkle_stack_init(&s, tree);
    for (uint64_t i = lo; i < hi; i++) {
        struct stoq_merkle_shard leaf;
        if (tree == STOQ_MERKLE_INSIDE) {
            struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(list, (size_t)i);
            leaf = stoq_merkle_leaf_of_chunk(&chunk);
        } else {
            struct stoq_merkle_shard shard = stoq_merkle_shard_at(list, (size_t)i);
            leaf = stoq_merkle_leaf_of_shard(&shard);
        }
        stoq_merkle_stack_push(&s, &leaf);
    }
    return stoq_merkle_stack_top(&s);
}

/* The largest power of two below n; n >= 2. */
static uint64_t split_of(uint64_t n)
{
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

size_t stoq_merkle_path(uint64_t n, uint64_t k,
                        struct stoq_merkle_sibling out[STOQ_MERKLE_DEPTH_MAX])
{
    STOQ_ASSERT(k < n && n <= STOQ_MERKLE_BYTES_MAX);
    struct stoq_merkle_sibling down[STOQ_MERKLE_DEPTH_MAX];
    size_t count = 0;
    uint64_t lo = 0;
    uint64_t hi = n;
    while (hi - lo > 1) {
        uint64_t mid = lo + split_of(hi - lo);
        bool left = k >= mid;
        down[count] = left ? (struct stoq_merkle_sibling){lo, mid, true}
                           : (struct stoq_merkle_sibling){mid, hi, false};
        count++;
        if (left) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = down[count - 1 - i];
    }
    return count;
}

size_t stoq_merkle_outline(uint64_t n, uint64_t lo, uint64_t hi,
                           struct stoq_merkle_sibling out[2 * STOQ_MERKLE_DEPTH_MAX], size_t *left)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t count = 0;
    /* A path's left siblings bottom up lie from right to left, its right ones from left to right. */
    for (size_t i = stoq_merkle_path(n, lo, path); i > 0; i--) {
        if (path[i - 1].left) {
            out[count++] = path[i - 1];
        }
    }
    *left = count;
    size_t steps = stoq_merkle_path(n, hi - 1, path);
    for (size_t i = 0; i < steps; i++) {
        if (!path[i].left) {
            out[count++] = path[i];
        }
    }
    return count;
}

bool stoq_merkle_bytes_fit(uint64_t chunks, uint64_t bytes, uint32_t chunk_bytes_max)
{
    /* bytes / max rounded up, without overflow */
    uint64_t chunks_least = bytes / chunk_bytes_max + (bytes % chunk_bytes_max != 0);
    return chunks <= bytes && chunks >= chunks_least;
}
