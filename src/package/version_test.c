#include "package/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int sign(int c)
{
    return (c > 0) - (c < 0);
}

/* Each is earlier than all that follow it. */
static void versions_have_the_order_they_mean(void **state)
{
    (void)state;
    static const char *const order[] = {"0",
                                        "0.9",
                                        "1.0~~",
                                        "1.0-alpha",
                                        "1.0-alpha.1",
                                        "1.0-beta",
                                        "1.0~rc1",
                                        "1.0~rc2",
                                        "1.0-rc.1",
                                        "1.0-rc.2",
                                        "1.0-rc.10",
                                        "1.0",
                                        "1.0a",
                                        "1.0b",
                                        "1.0+git5",
                                        "1.0-1",
                                        "1.0-2",
                                        "1.0-10",
                                        "1.0.1",
                                        "1.2",
                                        "1.10",
                                        "2",
                                        "2.0",
                                        "10",
                                        "2026.11.22",
                                        "99999999999999999999999",
                                        "100000000000000000000000"};
    for (size_t i = 0; i < STOQ_COUNT(order); i++) {
        for (size_t k = 0; k < STOQ_COUNT(order); k++) {
            int want = (i > k) - (i < k);
            int got = sign(stoq_version_cmp(stoq_span_str(order[i]), stoq_span_str(order[k])));
            if (got != want) {
                fail_msg("%s and %s: %d, not %d", order[i], order[k], got, want);
            }
        }
    }
}

static void zeros_in_front_mean_nothing(void **state)
{
    (void)state;
    assert_int_equal(stoq_version_cmp(stoq_span_str("1.05"), stoq_span_str("1.5")), 0);
    assert_int_equal(stoq_version_cmp(stoq_span_str("1.0"), stoq_span_str("1.00")), 0);
    assert_int_equal(stoq_version_cmp(stoq_span_str(""), stoq_span_str("0")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_have_the_order_they_mean),
        cmocka_unit_test(zeros_in_front_mean_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
