#include "peers/rtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static stoq_ns now;

static int begin(void **state)
{
    (void)state;
    now = 100 * STOQ_SEC;
    return 0;
}

static bool sample(struct stoq_rtt *r, stoq_ns ms)
{
    now += STOQ_RTT_GAP;
    return stoq_rtt_sample(r, ms * STOQ_MS, now);
}

static void the_first_sample_counts(void **state)
{
    struct stoq_rtt r = {0};
    assert_false(sample(&r, 0)); /* not measured */
    assert_true(sample(&r, 20));
    assert_true(r.held_ns == 20 * STOQ_MS);
    assert_int_equal(r.changes, 0);
}

static void three_in_a_row_move_it(void **state)
{
    struct stoq_rtt r = {0};
    (void)sample(&r, 20);
    assert_false(sample(&r, 60));
    assert_false(sample(&r, 80));
    assert_true(r.held_ns == 20 * STOQ_MS);
    assert_true(r.latest_ns == 80 * STOQ_MS);
    assert_true(sample(&r, 70));
    assert_true(r.held_ns == 70 * STOQ_MS); /* the one in the middle */
    assert_int_equal(r.changes, 1);
    assert_true(r.changed_at == now);
    (void)sample(&r, 10);
    (void)sample(&r, 10);
    assert_true(sample(&r, 12));
    assert_true(r.held_ns == 10 * STOQ_MS);
}

static void spikes_and_noise_do_not(void **state)
{
    struct stoq_rtt r = {0};
    (void)sample(&r, 20);
    for (int i = 0; i < 50; i++) {
        assert_false(sample(&r, 200));
        assert_false(sample(&r, 200));
        assert_false(sample(&r, 21));
    }
    for (int i = 0; i < 50; i++) { /* to and fro is no direction */
        assert_false(sample(&r, 60));
        assert_false(sample(&r, 60));
        assert_false(sample(&r, 2));
        assert_false(sample(&r, 2));
    }
    for (int i = 0; i < 50; i++) { /* within the slack */
        assert_false(sample(&r, 15));
        assert_false(sample(&r, 26));
        assert_false(sample(&r, 26));
        assert_false(sample(&r, 26));
    }
    assert_true(r.held_ns == 20 * STOQ_MS);
    assert_int_equal(r.changes, 0);
}

static void samples_of_one_moment_are_one(void **state)
{
    struct stoq_rtt r = {0};
    (void)sample(&r, 20);
    for (int i = 0; i < 100; i++) {
        now += STOQ_MS;
        assert_false(stoq_rtt_sample(&r, 90 * STOQ_MS, now));
    }
    assert_true(r.held_ns == 20 * STOQ_MS);
    assert_true(r.latest_ns == 90 * STOQ_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_first_sample_counts, begin),
        cmocka_unit_test_setup(three_in_a_row_move_it, begin),
        cmocka_unit_test_setup(spikes_and_noise_do_not, begin),
        cmocka_unit_test_setup(samples_of_one_moment_are_one, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
