#include "base/fixed.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void quotients_and_roots_are_exact(void **state)
{
    struct stoq_prng r = stoq_prng(5);
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t b = 1 + stoq_prng_below(&r, UINT32_MAX);
        uint64_t a = stoq_prng_below(&r, b + 1);
        assert_int_equal(stoq_q32_div(a, b), a == b ? STOQ_Q32_ONE : (a << 32) / b);
        uint64_t f = stoq_prng_below(&r, STOQ_Q32_ONE);
        uint64_t root = stoq_q32_sqrt(f);
        assert_true(root * root <= f << 32 && (root + 1) * (root + 1) > f << 32);
        uint64_t v = stoq_prng_next(&r) >> 1;
        uint64_t half = stoq_q32_mul(v, STOQ_Q32_ONE / 2);
        assert_true(half == v / 2);
    }
    assert_int_equal(stoq_q32_div(7, 7), STOQ_Q32_ONE);
    assert_int_equal(stoq_q32_mul(UINT64_MAX, STOQ_Q32_ONE), UINT64_MAX);
}

/* Values of 2^-x made with Python's decimal, 60 digits. */
static void decay_is_a_power_of_two(void **state)
{
    static const struct {
        uint64_t t;
        uint64_t half;
        uint64_t want;
    } cases[] = {
        {0, 1, 4294967296u},
        {1, 1, 2147483648u},
        {1, 3, 3408917802u},
        {2, 3, 2705659852u},
        {12345, 86400000, 4294541951u},
        {86399999, 86400000, 2147483665u},
        {43200000, 86400000, 3037000500u},
        {3024000077, 604800000, 134217716u},
        {31999, 1000, 1u},
    };
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        uint64_t got = stoq_q32_decay(cases[i].t, cases[i].half);
        uint64_t off = got > cases[i].want ? got - cases[i].want : cases[i].want - got;
        assert_true(off <= 32);
    }
    uint64_t before = STOQ_Q32_ONE;
    for (uint64_t t = 0; t < 40000; t += 7) {
        uint64_t now = stoq_q32_decay(t, 1000);
        assert_true(now <= before);
        before = now;
    }
    assert_int_equal(stoq_q32_decay(UINT64_MAX, 1000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotients_and_roots_are_exact),
        cmocka_unit_test(decay_is_a_power_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
