#include "discover/neighbours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_peer_id peer(unsigned i)
{
    struct stoq_peer_id id = {{{0}}};
    id.h.b[0] = (uint8_t)i;
    id.h.b[1] = (uint8_t)(i >> 8);
    return id;
}

static struct stoq_place_addr place(unsigned i)
{
    struct stoq_place_addr a = {{0}};
    a.b[0] = (uint8_t)i;
    a.b[1] = (uint8_t)(i >> 8);
    return a;
}

static struct stoq_neighbours *fresh(unsigned self, bool serving, stoq_ns now)
{
    struct stoq_neighbours *nb = malloc(sizeof *nb);
    struct stoq_neighbours_config cfg = {.self = peer(self), .serving = serving, .seed = self};
    assert_non_null(nb);
    stoq_neighbours_init(nb, &cfg, now);
    return nb;
}

static enum stoq_neighbour_news hear(struct stoq_neighbours *nb, enum stoq_beacon_kind kind,
                                     unsigned who, unsigned where, uint64_t sequence, stoq_ns now)
{
    struct stoq_place_addr at = place(where);
    struct stoq_beacon_heard heard = {
        .kind = kind, .peer = peer(who), .sequence = sequence, .addr = &at, .host = where};
    return stoq_neighbours_heard(nb, &heard, now);
}

static void asks_three_times_then_stays_heard(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, true, 0);
    enum stoq_beacon_kind kind;
    unsigned asks = 0;
    unsigned heres = 0;
    stoq_ns last = 0;
    stoq_ns longest = 0;
    while (heres < 10) {
        stoq_ns now = stoq_neighbours_deadline(nb);
        assert_true(stoq_neighbours_due(nb, now, &kind));
        asks += kind == STOQ_BEACON_ASK;
        heres += kind == STOQ_BEACON_HERE;
        assert_true(kind == STOQ_BEACON_HERE || now < STOQ_SEC);
        longest = now - last > longest ? now - last : longest;
        last = now;
    }
    assert_int_equal(asks, 3);
    assert_true(longest < STOQ_NEIGHBOUR_TTL / 2);
    free(nb);
}

static void two_newcomers_know_each_other_after_one_exchange(void **state)
{
    (void)state;
    struct stoq_neighbours *a = fresh(1, true, 0);
    struct stoq_neighbours *b = fresh(2, true, 0);
    enum stoq_beacon_kind kind;
    struct stoq_neighbour list[4];
    struct stoq_peer_id second = peer(2);
    assert_true(stoq_neighbours_due(a, 0, &kind));
    assert_int_equal(kind, STOQ_BEACON_ASK);
    assert_int_equal(hear(b, kind, 1, 11, 1, 1), STOQ_NEIGHBOUR_NEW);
    (void)stoq_neighbours_due(b, 0, &kind);
    stoq_ns at = stoq_neighbours_deadline(b);
    assert_true(at < 300 * STOQ_MS);
    assert_true(stoq_neighbours_due(b, at, &kind));
    assert_int_equal(hear(a, kind, 2, 22, 1, at), STOQ_NEIGHBOUR_NEW);
    assert_int_equal(stoq_neighbours_list(a, at, list, 4), 1);
    assert_true(stoq_hash_eq(&list[0].peer.h, &second.h));
    free(a);
    free(b);
}

static void answers_many_asks_with_few_beacons(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, true, 0);
    enum stoq_beacon_kind kind;
    unsigned sent = 0;
    for (stoq_ns now = 5 * STOQ_SEC; now < 6 * STOQ_SEC; now += STOQ_MS) {
        (void)hear(nb, STOQ_BEACON_ASK, 2 + (unsigned)(now / STOQ_MS % 100), 9, now, now);
        sent += stoq_neighbours_due(nb, now, &kind);
    }
    assert_in_range(sent, 5, 11);
    free(nb);
}

static void one_that_only_asks_never_says_here(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, false, 0);
    enum stoq_beacon_kind kind;
    for (stoq_ns now = 0; now < 100 * STOQ_SEC; now += 50 * STOQ_MS) {
        if (now % STOQ_SEC == 0) {
            (void)hear(nb, STOQ_BEACON_ASK, 2, 9, now, now);
        }
        assert_true(!stoq_neighbours_due(nb, now, &kind) || kind == STOQ_BEACON_ASK);
    }
    free(nb);
}

static void silence_forgets_and_own_beacons_are_ignored(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, true, 0);
    struct stoq_neighbour list[4];
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 1, 5, 9, 0), STOQ_NEIGHBOUR_NOTHING);
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 2, 6, 9, 0), STOQ_NEIGHBOUR_NEW);
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 2, 6, 10, 1), STOQ_NEIGHBOUR_NOTHING);
    assert_int_equal(stoq_neighbours_list(nb, STOQ_NEIGHBOUR_TTL, list, 4), 1);
    assert_int_equal(stoq_neighbours_list(nb, STOQ_NEIGHBOUR_TTL + 1, list, 4), 0);
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 2, 6, 11, 2 * STOQ_NEIGHBOUR_TTL),
                     STOQ_NEIGHBOUR_NEW);
    free(nb);
}

static void a_replayed_beacon_moves_nobody(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, true, 0);
    struct stoq_neighbour list[1];
    (void)hear(nb, STOQ_BEACON_HERE, 2, 6, 100, 0);
    stoq_ns later = 40 * STOQ_SEC;
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 2, 7, 99, later), STOQ_NEIGHBOUR_NOTHING);
    assert_int_equal(hear(nb, STOQ_BEACON_BYE, 2, 7, 100, later), STOQ_NEIGHBOUR_NOTHING);
    assert_int_equal(stoq_neighbours_list(nb, later, list, 1), 1);
    assert_memory_equal(&list[0].addr, place(6).b, STOQ_PLACE_BYTES);
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 2, 7, 101, later), STOQ_NEIGHBOUR_NEW);
    assert_int_equal(hear(nb, STOQ_BEACON_BYE, 2, 7, 102, later), STOQ_NEIGHBOUR_GONE);
    assert_int_equal(stoq_neighbours_list(nb, later, list, 1), 0);
    free(nb);
}

static void link_local_is_kept_over_another_address(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, true, 0);
    struct stoq_place_addr v4 = place(4);
    struct stoq_place_addr v6 = place(6);
    struct stoq_beacon_heard heard = {
        .kind = STOQ_BEACON_HERE, .peer = peer(2), .sequence = 5, .addr = &v4, .host = 1};
    assert_int_equal(stoq_neighbours_heard(nb, &heard, 0), STOQ_NEIGHBOUR_NEW);
    heard.addr = &v6;
    heard.link_local = true;
    assert_int_equal(stoq_neighbours_heard(nb, &heard, 1), STOQ_NEIGHBOUR_NEW);
    heard.addr = &v4;
    heard.link_local = false;
    heard.sequence = 6;
    assert_int_equal(stoq_neighbours_heard(nb, &heard, 2), STOQ_NEIGHBOUR_NOTHING);
    free(nb);
}

static void the_table_and_each_host_are_bounded(void **state)
{
    (void)state;
    struct stoq_neighbours *nb = fresh(1, true, 0);
    struct stoq_neighbour *list = calloc(STOQ_NEIGHBOURS_MAX, sizeof *list);
    for (unsigned i = 2; i < 102; i++) {
        (void)hear(nb, STOQ_BEACON_HERE, i, 7, 1, 0);
    }
    assert_int_equal(stoq_neighbours_list(nb, 0, list, STOQ_NEIGHBOURS_MAX),
                     STOQ_NEIGHBOURS_HOST_MAX);
    for (unsigned i = 200; i < 2000; i++) {
        (void)hear(nb, STOQ_BEACON_HERE, i, i, 1, 0);
    }
    assert_int_equal(stoq_neighbours_list(nb, 0, list, STOQ_NEIGHBOURS_MAX), STOQ_NEIGHBOURS_MAX);
    assert_int_equal(hear(nb, STOQ_BEACON_HERE, 3000, 3000, 1, STOQ_NEIGHBOUR_TTL),
                     STOQ_NEIGHBOUR_NEW);
    free(list);
    free(nb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_three_times_then_stays_heard),
        cmocka_unit_test(two_newcomers_know_each_other_after_one_exchange),
        cmocka_unit_test(answers_many_asks_with_few_beacons),
        cmocka_unit_test(one_that_only_asks_never_says_here),
        cmocka_unit_test(silence_forgets_and_own_beacons_are_ignored),
        cmocka_unit_test(a_replayed_beacon_moves_nobody),
        cmocka_unit_test(link_local_is_kept_over_another_address),
        cmocka_unit_test(the_table_and_each_host_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
