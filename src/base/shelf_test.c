#include "base/shelf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int dropped;

static void drop(void *item)
{
    (void)item;
    dropped++;
}

static void the_last_put_is_taken_first(void **state)
{
    (void)state;
    static struct stoq_shelf shelf;
    static char item[STOQ_SHELF_MAX + 1];
    assert_null(stoq_shelf_take(&shelf));
    for (size_t i = 0; i < STOQ_SHELF_MAX; i++) {
        assert_true(stoq_shelf_put(&shelf, &item[i]));
    }
    assert_false(stoq_shelf_put(&shelf, &item[STOQ_SHELF_MAX]));
    for (size_t i = STOQ_SHELF_MAX; i-- > 0;) {
        assert_ptr_equal(stoq_shelf_take(&shelf), &item[i]);
    }
    assert_null(stoq_shelf_take(&shelf));
}

static void what_was_not_needed_is_given_up(void **state)
{
    (void)state;
    static struct stoq_shelf shelf;
    char item[10];
    dropped = 0;
    for (size_t i = 0; i < sizeof item; i++) {
        assert_true(stoq_shelf_put(&shelf, &item[i]));
    }
    stoq_shelf_trim(&shelf, drop); /* it was empty since */
    assert_int_equal(dropped, 0);
    for (int i = 0; i < 3; i++) {
        assert_non_null(stoq_shelf_take(&shelf));
    }
    assert_true(stoq_shelf_put(&shelf, &item[0]));
    stoq_shelf_trim(&shelf, drop);
    assert_int_equal(dropped, 7);
    assert_int_equal(shelf.count, 1);
    stoq_shelf_trim(&shelf, drop);
    assert_int_equal(dropped, 8);
    assert_true(stoq_shelf_put(&shelf, &item[0]));
    stoq_shelf_empty(&shelf, drop);
    assert_int_equal(dropped, 9);
    assert_int_equal(shelf.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_put_is_taken_first),
        cmocka_unit_test(what_was_not_needed_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
