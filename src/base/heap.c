#include "base/heap.h"

#include <stdlib.h>

void stoq_heap_init(struct stoq_heap *heap)
{
    *heap = (struct stoq_heap){0};
}

void stoq_heap_release(struct stoq_heap *heap)
{
    free(heap->v);
    stoq_heap_init(heap);
}

enum stoq_status stoq_heap_reserve(struct stoq_heap *heap, size_t count)
{
    if (count <= heap->cap) {
        return STOQ_OK;
    }
    size_t cap = heap->cap < 8 ? 16 : heap->cap;
    while (cap < count) {
        if (!stoq_mul_size(cap, 2, &cap)) {
            return STOQ_NOMEM;
        }
    }
    size_t bytes;
    if (!stoq_mul_size(cap, sizeof *heap->v, &bytes)) {
        return STOQ_NOMEM;
    }
    struct stoq_heap_node **v = realloc(heap->v, bytes);
    if (v == NULL) {
        return STOQ_NOMEM;
    }
    heap->v = v;
    heap->cap = cap;
    return STOQ_OK;
}

/* Positions are 1-based: children of i are 2i and 2i + 1. */
static void place(struct stoq_heap *heap, struct stoq_heap_node *node, size_t at)
{
    heap->v[at - 1] = node;
    node->at = at;
}

static void sift_up(struct stoq_heap *heap, struct stoq_heap_node *node)
{
    size_t at = node->at;
    while (at > 1 && heap->v[at / 2 - 1]->key > node->key) {
        place(heap, heap->v[at / 2 - 1], at);
        at /= 2;
    }
    place(heap, node, at);
}

static void sift_down(struct stoq_heap *heap, struct stoq_heap_node *node)
{
    size_t at = node->at;
    while (2 * at <= heap->n) {
        size_t child = 2 * at;
        if (child < heap->n && heap->v[child]->key < heap->v[child - 1]->key) {
            child++;
        }
        if (heap->v[child - 1]->key >= node->key) {
            break;
        }
        place(heap, heap->v[child - 1], at);
        at = child;
    }
    place(heap, node, at);
}

void stoq_heap_put(struct stoq_heap *heap, struct stoq_heap_node *node, uint64_t key)
{
    if (node->at == 0) {
        STOQ_ASSERT(heap->n < heap->cap);
        heap->n++;
        node->key = key;
        place(heap, node, heap->n);
        sift_up(heap, node);
        return;
    }
    bool up = key < node->key;
    node->key = key;
    if (up) {
        sift_up(heap, node);
    } else {
        sift_down(heap, node);
    }
}

void stoq_heap_remove(struct stoq_heap *heap, struct stoq_heap_node *node)
{
    if (node->at == 0) {
        return;
    }
    size_t at = node->at;
    node->at = 0;
    struct stoq_heap_node *last = heap->v[heap->n - 1];
    heap->n--;
    if (last != node) {
        place(heap, last, at);
        sift_up(heap, last);
        sift_down(heap, last);
    }
}

struct stoq_heap_node *stoq_heap_top(const struct stoq_heap *heap)
{
    return heap->n == 0 ? NULL : heap->v[0];
}
