/* What a private network remembers: copies, a sender's own repetitions, clocks, and what does not fit. */
#include "base/prng.h"
#include "net/replay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define START UINT64_C(1700000000000)
#define WINDOW NET_REPLAY_WINDOW_MS

static int begin(void **state)
{
    static struct net_replay r;
    *state = &r;
    return net_replay_init(&r, NET_REPLAY_HALF, START) == STOQ_OK ? 0 : 1;
}

static int end(void **state)
{
    net_replay_release(*state);
    return 0;
}

static void copies_are_known(void **state)
{
    struct net_replay *r = *state;
    uint64_t now = START + 10;
    assert_int_equal(net_replay_take(r, 1, 7, now, now), NET_REPLAY_FRESH);
    assert_int_equal(net_replay_take(r, 1, 8, now, now), NET_REPLAY_COPY);
    assert_int_equal(net_replay_take(r, 2, 8, now, now), NET_REPLAY_FRESH);
    assert_int_equal(net_replay_take(r, 0, 8, now, now), NET_REPLAY_COPY); /* it stands for 1 */
    /* The sender may say it again, for a while. */
    assert_int_equal(net_replay_take(r, 1, 7, now, now + NET_REPLAY_AGAIN_MS), NET_REPLAY_FRESH);
    assert_int_equal(net_replay_take(r, 1, 7, now, now + NET_REPLAY_AGAIN_MS + 1), NET_REPLAY_COPY);
}

static void clocks_may_differ_within_the_window(void **state)
{
    struct net_replay *r = *state;
    uint64_t now = START + 10 * WINDOW;
    assert_int_equal(net_replay_take(r, 1, 7, now - WINDOW, now), NET_REPLAY_FRESH);
    assert_int_equal(net_replay_take(r, 2, 7, now + WINDOW, now), NET_REPLAY_FRESH);
    assert_int_equal(net_replay_take(r, 3, 7, now - WINDOW - 1, now), NET_REPLAY_CLOCK);
    assert_int_equal(net_replay_take(r, 4, 7, now + WINDOW + 1, now), NET_REPLAY_CLOCK);
    assert_int_equal(net_replay_take(r, 5, 7, 0, now), NET_REPLAY_CLOCK);
    assert_int_equal(net_replay_take(r, 6, 7, UINT32_MAX, now), NET_REPLAY_CLOCK);
}

/* Who was just started has forgotten what came before. */
static void nothing_older_than_the_start(void **state)
{
    struct net_replay *r = *state;
    assert_int_equal(net_replay_take(r, 1, 7, START - 1, START + 5), NET_REPLAY_CLOCK);
    assert_int_equal(net_replay_take(r, 1, 7, START, START + 5), NET_REPLAY_FRESH);
}

/* Whatever the times, nothing is taken twice: one each second, its copy tried as long as its time is good. */
static void nothing_is_taken_twice(void **state)
{
    static uint64_t made[5000];
    struct net_replay *r = *state;
    struct stoq_prng prng = stoq_prng(5);
    for (uint64_t i = 0; i < STOQ_COUNT(made); i++) {
        uint64_t now = START + 1000 * i;
        made[i] = now - WINDOW + stoq_prng_below(&prng, 2 * WINDOW);
        enum net_replay_answer first = net_replay_take(r, i + 1, 7, made[i], now);
        assert_int_equal(first, made[i] < START ? NET_REPLAY_CLOCK : NET_REPLAY_FRESH);
        uint64_t old = i - stoq_prng_below(&prng, i < 600 ? i + 1 : 600);
        assert_int_not_equal(net_replay_take(r, old + 1, 8, made[old], now), NET_REPLAY_FRESH);
    }
}

/* More than fit: the oldest are forgotten, and what could be a copy of them is not taken. */
static void what_does_not_fit_is_refused(void **state)
{
    struct net_replay *r = *state;
    const uint64_t n = 3 * (uint64_t)NET_REPLAY_HALF;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t now = START + i;
        assert_int_equal(net_replay_take(r, i + 1, 7, now, now), NET_REPLAY_FRESH);
    }
    uint64_t now = START + n;
    size_t copies = 0;
    for (uint64_t i = 0; i < n; i++) {
        enum net_replay_answer answer = net_replay_take(r, i + 1, 8, START + i, now);
        assert_int_not_equal(answer, NET_REPLAY_FRESH);
        copies += answer == NET_REPLAY_COPY;
    }
    assert_true(copies >= NET_REPLAY_HALF && copies <= 2 * (uint64_t)NET_REPLAY_HALF);
    assert_int_equal(net_replay_take(r, n + 1, 7, now, now), NET_REPLAY_FRESH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies_are_known, begin, end),
        cmocka_unit_test_setup_teardown(clocks_may_differ_within_the_window, begin, end),
        cmocka_unit_test_setup_teardown(nothing_older_than_the_start, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_taken_twice, begin, end),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
