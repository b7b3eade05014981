#include "base/heap.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NODES 200

static uint64_t least(const struct stoq_heap_node *v, size_t n)
{
    uint64_t key = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        if (v[i].at != 0 && v[i].key < key) {
            key = v[i].key;
        }
    }
    return key;
}

/* Random puts, moves and removals against a linear search. */
static void top_is_least(void **state)
{
    (void)state;
    struct stoq_heap heap;
    struct stoq_heap_node nodes[NODES] = {{0, 0}};
    struct stoq_prng r = stoq_prng(1);
    stoq_heap_init(&heap);
    assert_null(stoq_heap_top(&heap));
    assert_int_equal(stoq_heap_reserve(&heap, NODES), STOQ_OK);
    for (int round = 0; round < 20000; round++) {
        struct stoq_heap_node *node = &nodes[stoq_prng_below(&r, NODES)];
        if (stoq_prng_below(&r, 3) == 0) {
            stoq_heap_remove(&heap, node);
            assert_int_equal(node->at, 0);
        } else {
            stoq_heap_put(&heap, node, stoq_prng_below(&r, 1000));
        }
        struct stoq_heap_node *top = stoq_heap_top(&heap);
        if (heap.n == 0) {
            assert_null(top);
        } else {
            assert_int_equal(top->key, least(nodes, NODES));
        }
    }
    stoq_heap_release(&heap);
}

static void drains_in_order(void **state)
{
    (void)state;
    struct stoq_heap heap;
    struct stoq_heap_node nodes[NODES] = {{0, 0}};
    struct stoq_prng r = stoq_prng(2);
    stoq_heap_init(&heap);
    assert_int_equal(stoq_heap_reserve(&heap, NODES), STOQ_OK);
    for (size_t i = 0; i < NODES; i++) {
        stoq_heap_put(&heap, &nodes[i], stoq_prng_next(&r));
    }
    uint64_t last = 0;
    for (size_t i = 0; i < NODES; i++) {
        struct stoq_heap_node *top = stoq_heap_top(&heap);
        assert_true(top->key >= last);
        last = top->key;
        stoq_heap_remove(&heap, top);
    }
    assert_null(stoq_heap_top(&heap));
    stoq_heap_release(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_is_least),
        cmocka_unit_test(drains_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
