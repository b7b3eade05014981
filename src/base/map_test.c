#include "base/map.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define KEYS 512

/* Random puts and removes against an array. */
static void behaves_like_an_array(void **state)
{
    (void)state;
    static int value[KEYS];
    static bool here[KEYS];
    struct stoq_map m;
    struct stoq_prng r = stoq_prng(3);
    size_t count = 0;
    stoq_map_init(&m, 99);
    for (int step = 0; step < 200000; step++) {
        size_t k = stoq_prng_below(&r, KEYS);
        struct stoq_map_key key = {k % 16, k / 16};
        if (stoq_prng_below(&r, 2) == 0) {
            assert_int_equal(stoq_map_put(&m, key, &value[k]), STOQ_OK);
            count += !here[k];
            here[k] = true;
        } else {
            assert_ptr_equal(stoq_map_remove(&m, key), here[k] ? &value[k] : NULL);
            count -= here[k];
            here[k] = false;
        }
        size_t probe = stoq_prng_below(&r, KEYS);
        assert_ptr_equal(stoq_map_get(&m, (struct stoq_map_key){probe % 16, probe / 16}),
                         here[probe] ? &value[probe] : NULL);
        assert_int_equal(m.count, count);
    }
    size_t at = 0;
    size_t seen = 0;
    while (stoq_map_next(&m, &at) != NULL) {
        seen++;
    }
    assert_int_equal(seen, count);
    assert_true(m.capacity <= 4 * KEYS);
    stoq_map_release(&m);
    assert_null(stoq_map_get(&m, (struct stoq_map_key){1, 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(behaves_like_an_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
