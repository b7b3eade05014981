#include "discover/told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct stoq_told *t;

static struct stoq_told_item item(unsigned peer, unsigned package, uint64_t sequence)
{
    struct stoq_told_item k = {.sequence = sequence, .digest = sequence, .until = 100 * STOQ_SEC};
    k.peer.h.b[0] = (uint8_t)peer;
    k.peer.h.b[1] = (uint8_t)(peer >> 8);
    k.id.h.b[0] = (uint8_t)package;
    k.id.h.b[1] = (uint8_t)(package >> 8);
    return k;
}

static int set_up(void **state)
{
    (void)state;
    t = stoq_told_new((struct stoq_told_caps){.all = STOQ_TOLD_MAX, .of_peer = STOQ_TOLD_PEER_MAX});
    return t == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    stoq_told_free(t);
    return 0;
}

static size_t known(unsigned package, stoq_ns now)
{
    struct stoq_told_item out[8];
    struct stoq_told_item want = item(0, package, 0);
    return stoq_told_of(t, &want.id, now, out, STOQ_COUNT(out));
}

static void newest_of_a_peer_counts(void **state)
{
    (void)state;
    struct stoq_told_item k = item(1, 1, 5);
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    assert_int_equal(stoq_told_judge(t, &k, 0), STOQ_TOLD_SAME);
    k.digest++;
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_STALE); /* equal, with other bytes */
    k = item(1, 1, 4);
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_STALE);
    k = item(2, 1, 1); /* another peer's count is its own */
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    assert_int_equal(known(1, 0), 2);
    k = item(1, 1, 6);
    k.gone = true;
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    assert_int_equal(known(1, 0), 1);
    k = item(1, 1, 5); /* taken back is taken back */
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_STALE);
    assert_int_equal(known(1, 0), 1);
    assert_int_equal(known(2, 0), 0);
}

/* Whoever told last is named first: who was known before is as good as new then, and so is who took the
 * place of one that is over. */
static void latest_is_first(void **state)
{
    (void)state;
    struct stoq_told_item out[8];
    struct stoq_told_item k = item(4, 2, 1);
    k.until = STOQ_SEC;
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    for (unsigned peer = 1; peer <= 3; peer++) {
        k = item(peer, 1, 1);
        assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    }
    k = item(2, 1, 2);
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    k = item(5, 1, 1);
    assert_int_equal(stoq_told_take(t, &k, STOQ_SEC), STOQ_TOLD_WANTED);
    const uint8_t order[] = {5, 2, 3, 1};
    assert_int_equal(stoq_told_of(t, &k.id, STOQ_SEC, out, STOQ_COUNT(out)), STOQ_COUNT(order));
    for (size_t i = 0; i < STOQ_COUNT(order); i++) {
        assert_int_equal(out[i].peer.h.b[0], order[i]);
    }
}

static void time_ends_it(void **state)
{
    (void)state;
    struct stoq_told_item k = item(1, 1, 5);
    assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    assert_int_equal(known(1, 100 * STOQ_SEC - 1), 1);
    assert_int_equal(known(1, 100 * STOQ_SEC), 0);
    assert_int_equal(stoq_told_count(t, 100 * STOQ_SEC), 0);
    k = item(1, 1, 4); /* nothing is known of what is over */
    k.until = 200 * STOQ_SEC;
    assert_int_equal(stoq_told_take(t, &k, 100 * STOQ_SEC), STOQ_TOLD_WANTED);
    assert_int_equal(known(1, 100 * STOQ_SEC), 1);
}

static void caps_hold(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STOQ_TOLD_PEER_MAX; i++) {
        struct stoq_told_item k = item(1, i, 1);
        assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    }
    struct stoq_told_item more = item(1, STOQ_TOLD_PEER_MAX, 1);
    assert_int_equal(stoq_told_take(t, &more, 0), STOQ_TOLD_FULL);
    more = item(1, 0, 2); /* of what it has told it may tell news */
    assert_int_equal(stoq_told_take(t, &more, 0), STOQ_TOLD_WANTED);
    for (unsigned i = STOQ_TOLD_PEER_MAX; i < STOQ_TOLD_MAX; i++) {
        struct stoq_told_item k = item(i, 1, 1);
        assert_int_equal(stoq_told_take(t, &k, 0), STOQ_TOLD_WANTED);
    }
    assert_int_equal(stoq_told_count(t, 0), STOQ_TOLD_MAX);
    more = item(60000, 1, 1);
    assert_int_equal(stoq_told_take(t, &more, 0), STOQ_TOLD_FULL);
    more.until = 200 * STOQ_SEC;
    assert_int_equal(stoq_told_take(t, &more, 100 * STOQ_SEC),
                     STOQ_TOLD_WANTED); /* places are free */
    assert_int_equal(stoq_told_count(t, 100 * STOQ_SEC), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(newest_of_a_peer_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(latest_is_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(caps_hold, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
