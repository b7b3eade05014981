#ifndef STOQ_BASE_HEAP_H
#define STOQ_BASE_HEAP_H
/*
 * A binary min-heap of nodes that live in their owners, so that a deadline can be moved or removed
 * without a search. Equal keys come out in no particular order.
 */
#include "base/bytes.h"

struct stoq_heap_node {
    uint64_t key;
    size_t at; /* 1-based position; 0: not in a heap, as zeroed memory is */
};

struct stoq_heap {
    struct stoq_heap_node **v;
    size_t n;
    size_t cap;
};

/* Empty and without memory. */
void stoq_heap_init(struct stoq_heap *heap);
/* The nodes' owners are not touched. */
void stoq_heap_release(struct stoq_heap *heap);
/* Make room for count nodes in all, so that stoq_heap_put cannot fail. STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_heap_reserve(struct stoq_heap *heap, size_t count);
/* Put the node in with this key, or move it to it. Room must be reserved (asserted). O(log n). */
void stoq_heap_put(struct stoq_heap *heap, struct stoq_heap_node *node, uint64_t key);
/* Fine if it is not in. O(log n). */
void stoq_heap_remove(struct stoq_heap *heap, struct stoq_heap_node *node);
/* The node with the least key, or NULL. */
struct stoq_heap_node *stoq_heap_top(const struct stoq_heap *heap);

#endif
