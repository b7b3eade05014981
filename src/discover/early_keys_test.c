#include "discover/early_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct stoq_hash key(uint8_t i)
{
    struct stoq_hash h = {{i}};
    return h;
}

static void holds_as_many_as_its_cap(void **state)
{
    struct stoq_early early;
    struct stoq_hash out;
    struct stoq_hash k;
    (void)state;
    stoq_early_init(&early, 3);
    assert_false(stoq_early_take(&early, &out));
    for (uint8_t i = 1; i <= 3; i++) {
        k = key(i);
        assert_int_equal(stoq_early_add(&early, &k), STOQ_OK);
    }
    k = key(4);
    assert_int_equal(stoq_early_add(&early, &k), STOQ_FULL);
    for (uint8_t i = 3; i >= 1; i--) {
        assert_true(stoq_early_take(&early, &out));
        assert_int_equal(out.b[0], i);
    }
    assert_false(stoq_early_take(&early, &out));
    assert_int_equal(stoq_early_add(&early, &k), STOQ_OK);
    stoq_early_release(&early);
}

static void what_is_taken_back_does_not_come(void **state)
{
    struct stoq_early early;
    struct stoq_hash out;
    struct stoq_hash k;
    (void)state;
    stoq_early_init(&early, 8);
    const uint8_t put[] = {1, 2, 1, 3, 1};
    for (size_t i = 0; i < sizeof put; i++) {
        k = key(put[i]);
        assert_int_equal(stoq_early_add(&early, &k), STOQ_OK);
    }
    k = key(1);
    stoq_early_remove(&early, &k);
    k = key(9);
    stoq_early_remove(&early, &k);
    assert_true(stoq_early_take(&early, &out));
    assert_int_equal(out.b[0], 3);
    assert_true(stoq_early_take(&early, &out));
    assert_int_equal(out.b[0], 2);
    assert_false(stoq_early_take(&early, &out));
    stoq_early_release(&early);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_as_many_as_its_cap),
                                       cmocka_unit_test(what_is_taken_back_does_not_come)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
