#include "daemon/share_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void words_are_read_as_written(void **state)
{
    (void)state;
    for (int i = 0; i < STOQ_PRIORITIES; i++) {
        enum stoq_priority p = STOQ_PRIORITY_NORMAL;
        assert_true(stoq_priority_parse(stoq_priority_str((enum stoq_priority)i), &p));
        assert_int_equal(p, i);
    }
    for (int i = STOQ_SWARM_RAREST; i <= STOQ_SWARM_FASTEST; i++) {
        enum stoq_swarm_strategy s = STOQ_SWARM_RAREST;
        assert_true(stoq_strategy_parse(stoq_strategy_str((enum stoq_swarm_strategy)i), &s));
        assert_int_equal(s, i);
    }
    enum stoq_priority p = STOQ_PRIORITY_BACKGROUND;
    assert_false(stoq_priority_parse("urgent", &p));
    assert_int_equal(p, STOQ_PRIORITY_BACKGROUND);
}

static void times_of_day(void **state)
{
    static const char *const bad[] = {"",
                                      "8:00-18:00",
                                      "08:00-24:00",
                                      "08:60-18:00",
                                      "08:00 18:00",
                                      "08:00-18:0x",
                                      "08.00-18:00",
                                      "-1:00-18:00",
                                      "08:00-18:000"};
    char text[STOQ_BETWEEN_TEXT_MAX];
    struct stoq_qos_window w = {0};
    (void)state;
    assert_true(stoq_between_parse("22:30-06:05", &w));
    assert_int_equal(w.from_minute, 22 * 60 + 30);
    assert_int_equal(w.to_minute, 6 * 60 + 5);
    assert_string_equal(stoq_between_put(text, &w), "22:30-06:05");
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_false(stoq_between_parse(bad[i], &w));
    }
}

static void caps(void **state)
{
    bool set[STOQ_QOS_DIRS] = {false, false};
    uint64_t rate[STOQ_QOS_DIRS] = {1, 1};
    (void)state;
    assert_true(stoq_cap_word_parse("up=2MiB", set, rate));
    assert_true(stoq_cap_word_parse("down=none", set, rate));
    assert_int_equal(rate[STOQ_QOS_UP], 2 * STOQ_MIB);
    assert_int_equal(rate[STOQ_QOS_DOWN], 0);
    assert_false(stoq_cap_word_parse("up=1MB", set, rate)); /* twice */
    set[STOQ_QOS_UP] = false;
    assert_false(stoq_cap_word_parse("up=0", set, rate));
    assert_false(stoq_cap_word_parse("up", set, rate));
    assert_false(stoq_cap_word_parse("sideways=1MB", set, rate));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_read_as_written),
        cmocka_unit_test(times_of_day),
        cmocka_unit_test(caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
