/* The discovery cache against a clock of our own. */
#include "discover/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct stoq_discovery *d;

static int setup(void **state)
{
    (void)state;
    d = malloc(sizeof *d);
    assert_non_null(d);
    stoq_discovery_init(d);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(d);
    return 0;
}

static struct stoq_hash key(unsigned i)
{
    return (struct stoq_hash){{(uint8_t)i, (uint8_t)(i >> 8), 0xaa}};
}

static struct stoq_provider provider(unsigned peer, unsigned addr)
{
    return (struct stoq_provider){.peer = {{{(uint8_t)peer, (uint8_t)(peer >> 8), 0xbb}}},
                                  .addr = {{(uint8_t)addr, 0xcc}}};
}

static void found(unsigned k, unsigned peer, unsigned addr, stoq_ns until, stoq_ns now)
{
    struct stoq_hash h = key(k);
    struct stoq_provider who = provider(peer, addr);
    stoq_discovery_found(d, &h, &who, until, now);
}

static size_t listed(unsigned k, stoq_ns now)
{
    struct stoq_provider out[STOQ_PLACES_MAX];
    struct stoq_hash h = key(k);
    return stoq_discovery_list(d, &h, now, out, STOQ_PLACES_MAX);
}

static bool none(unsigned k, stoq_ns now)
{
    struct stoq_hash h = key(k);
    return stoq_discovery_is_none(d, &h, now);
}

static void a_provider_is_gone_with_its_record(void **state)
{
    (void)state;
    assert_int_equal(listed(1, 0), 0);
    found(1, 1, 1, 100 * STOQ_SEC, 0);
    assert_int_equal(listed(1, 100 * STOQ_SEC - 1), 1);
    assert_int_equal(listed(2, 1), 0);
    assert_int_equal(listed(1, 100 * STOQ_SEC), 0);
}

/* The same record again moves its end, and does not push others out. */
static void known_ones_take_no_more_room(void **state)
{
    (void)state;
    found(7, 9, 1, 50 * STOQ_SEC, 0);
    for (unsigned i = 0; i < 3 * STOQ_PLACES_MAX; i++) {
        found(1, 1, 1, (100 + (stoq_ns)i) * STOQ_SEC, 0);
    }
    assert_int_equal(listed(1, 0), 1);
    assert_int_equal(listed(7, 0), 1);
    found(1, 1, 2, 200 * STOQ_SEC, 0); /* another address */
    found(1, 2, 1, 200 * STOQ_SEC, 0); /* another peer */
    assert_int_equal(listed(1, 0), 3);
}

/* What is over gives way before what is not; then the oldest does. */
static void memory_is_fixed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STOQ_PLACES_MAX; i++) {
        found(i, i, 0, i == 700 ? 10 * STOQ_SEC : 100 * STOQ_SEC, 0);
    }
    found(5000, 1, 0, 100 * STOQ_SEC, 20 * STOQ_SEC);
    assert_int_equal(listed(0, 20 * STOQ_SEC), 1);
    assert_int_equal(listed(5000, 20 * STOQ_SEC), 1);
    found(5001, 1, 0, 100 * STOQ_SEC, 20 * STOQ_SEC);
    assert_int_equal(listed(0, 20 * STOQ_SEC), 0);
    assert_int_equal(listed(1, 20 * STOQ_SEC), 1);
    assert_int_equal(listed(5001, 20 * STOQ_SEC), 1);
}

static void a_negative_entry_is_gone_after_five_seconds(void **state)
{
    (void)state;
    struct stoq_hash h = key(1);
    assert_false(none(1, 0));
    stoq_discovery_none(d, &h, 10 * STOQ_SEC);
    assert_true(none(1, 10 * STOQ_SEC));
    assert_true(none(1, 15 * STOQ_SEC - 1));
    assert_false(none(2, 11 * STOQ_SEC));
    assert_false(none(1, 15 * STOQ_SEC));
    stoq_discovery_none(d, &h, 20 * STOQ_SEC);
    found(1, 1, 1, 100 * STOQ_SEC, 21 * STOQ_SEC); /* somebody told us otherwise */
    assert_false(none(1, 21 * STOQ_SEC));
}

static void who_failed_is_not_offered_for_a_minute(void **state)
{
    (void)state;
    struct stoq_peer_id peer = provider(1, 0).peer;
    found(1, 1, 1, 1000 * STOQ_SEC, 0);
    found(1, 1, 2, 1000 * STOQ_SEC, 0);
    found(1, 2, 3, 1000 * STOQ_SEC, 0);
    stoq_discovery_failed(d, &peer, 10 * STOQ_SEC);
    assert_int_equal(listed(1, 10 * STOQ_SEC), 1);
    assert_int_equal(listed(1, 70 * STOQ_SEC - 1), 1);
    assert_int_equal(listed(1, 70 * STOQ_SEC), 3);
    stoq_discovery_failed(d, &peer, 80 * STOQ_SEC);
    stoq_discovery_reached(d, &peer);
    assert_int_equal(listed(1, 80 * STOQ_SEC), 3);
}

/* One that fails again and again has one entry: it does not push the others out. */
static void failures_of_one_take_one_place(void **state)
{
    (void)state;
    struct stoq_peer_id a = provider(1, 0).peer;
    struct stoq_peer_id b = provider(2, 0).peer;
    stoq_discovery_failed(d, &a, 0);
    for (unsigned i = 0; i < 2 * STOQ_FAILED_MAX; i++) {
        stoq_discovery_failed(d, &b, i);
    }
    assert_true(stoq_discovery_is_failed(d, &a, STOQ_SEC));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_provider_is_gone_with_its_record),
        CASE(known_ones_take_no_more_room),
        CASE(memory_is_fixed),
        CASE(a_negative_entry_is_gone_after_five_seconds),
        CASE(who_failed_is_not_offered_for_a_minute),
        CASE(failures_of_one_take_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
