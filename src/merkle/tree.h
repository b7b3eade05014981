#ifndef STOQ_MERKLE_TREE_H
#define STOQ_MERKLE_TREE_H
/* Nodes, the stack that builds trees, and the shape of paths. Internal to the module. */
#include "merkle/merkle.h"

/* Which of the two trees: chunks inside a shard, or shards below the package root. */
enum stoq_merkle_tree {
    STOQ_MERKLE_INSIDE,
    STOQ_MERKLE_ABOVE,
};

/* A node of either tree is a hash with the chunks and bytes below it: struct stoq_merkle_shard. */
struct stoq_merkle_shard stoq_merkle_leaf_of_chunk(const struct stoq_merkle_chunk *chunk);
struct stoq_merkle_shard stoq_merkle_leaf_of_shard(const struct stoq_merkle_shard *shard);
/* The counts are added; they must not overflow (STOQ_MERKLE_BYTES_MAX keeps them from it). */
struct stoq_merkle_shard stoq_merkle_join(enum stoq_merkle_tree tree,
                                          const struct stoq_merkle_shard *left,
                                          const struct stoq_merkle_shard *right);
/* The package root's hash over its top node; top NULL: there are no shards. */
struct stoq_hash stoq_merkle_root_hash(uint64_t shards, uint64_t chunks, uint64_t bytes,
                                       const struct stoq_hash *top);

/* 2^48 leaves fill 48 levels; one more for the leaf that arrives. */
#define STOQ_MERKLE_DEPTH_MAX 49u

/* The full subtrees of what has been pushed, largest first. Plain data. */
struct stoq_merkle_stack {
    uint64_t leaf_count;
    uint32_t node_count;
    enum stoq_merkle_tree tree;
    struct stoq_merkle_shard node[STOQ_MERKLE_DEPTH_MAX];
};

void stoq_merkle_stack_init(struct stoq_merkle_stack *s, enum stoq_merkle_tree tree);
void stoq_merkle_stack_push(struct stoq_merkle_stack *s, const struct stoq_merkle_shard *leaf);
/* Push a subtree of that many leaves that is made already: it must be one of the tree's own, so a full
 * one, or the last. */
void stoq_merkle_stack_put(struct stoq_merkle_stack *s, const struct stoq_merkle_shard *node,
                           uint64_t leaf_count);
/* The node over all leaves, of which there is at least one. s is unchanged. */
struct stoq_merkle_shard stoq_merkle_stack_top(const struct stoq_merkle_stack *s);

/* The node over entries lo .. hi - 1 (at least one) of a chunk list or a shard list. */
struct stoq_merkle_shard stoq_merkle_range(enum stoq_merkle_tree tree, struct stoq_span list,
                                           uint64_t lo, uint64_t hi);

/* One sibling of a path: the subtree over leaves lo .. hi - 1, on the left or right of the path. */
struct stoq_merkle_sibling {
    uint64_t lo;
    uint64_t hi;
    bool left;
};

/* The siblings of leaf k of n (k < n <= 2^48), bottom up; returns how many. */
size_t stoq_merkle_path(uint64_t n, uint64_t k,
                        struct stoq_merkle_sibling out[STOQ_MERKLE_DEPTH_MAX]);

/*
 * The siblings of the leaves lo .. hi - 1 together (lo < hi <= n), left to right: the full subtrees
 * before them, then those behind. out has room for both; *left is how many lie before. Returns how
 * many.
 */
size_t stoq_merkle_outline(uint64_t n, uint64_t lo, uint64_t hi,
                           struct stoq_merkle_sibling out[2 * STOQ_MERKLE_DEPTH_MAX], size_t *left);

/* May a subtree of that many chunks, each of 1 .. chunk_bytes_max bytes, have that many bytes? */
bool stoq_merkle_bytes_fit(uint64_t chunks, uint64_t bytes, uint32_t chunk_bytes_max);

#endif
