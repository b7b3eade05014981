/* What is announced next where more is due than there is room for, how far that is, and that lost datagrams
 * do not make the network look smaller, by which holders are chosen. */
#include "dht/dht_world_test.h"

#define OLD 1200 /* keys that were announced before, all with a first bit set */

static struct stoq_dht_stats stats(struct world *w)
{
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[0].dht, &s);
    return s;
}

static void announce(struct world *w, const struct stoq_hash *key, bool urgent)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
    ev.u.announce.key = *key;
    ev.u.announce.urgent = urgent;
    world_feed(w, 0, &ev);
}

static struct stoq_hash key_from(uint32_t i, uint8_t first)
{
    struct stoq_hash key = world_key(i);
    key.b[0] = (uint8_t)(first | (key.b[0] & 0x0f));
    return key;
}

/* A node that has had its keys announced and then slept for so long: all are due. */
static struct world *asleep(uint32_t seconds)
{
    struct world *w = world_new(200, 6);
    for (uint32_t i = 0; i < OLD; i++) {
        struct stoq_hash key = key_from(i, (uint8_t)(0x80 | i << 4));
        announce(w, &key, false);
    }
    world_drain(w, 0);
    world_run(w, w->now + 100 * STOQ_SEC);
    assert_int_equal(stats(w).own_held, OLD);
    w->nodes[0].dead = true;
    world_run(w, w->now + (seconds - 100) * STOQ_SEC);
    w->nodes[0].dead = false;
    return w;
}

/* Which of its own keys it looks for first, from here on. */
static struct stoq_hash sought_first(struct world *w)
{
    struct stoq_hash key = {{0}};
    struct stoq_dht_action a;
    bool found = false;
    while (stoq_dht_poll(w->nodes[0].dht, w->now, &a)) {
        struct stoq_dht_announced own;
        if (!found && a.kind == STOQ_DHT_CALL && a.u.call.ask == STOQ_DHT_FIND_NODE &&
            stoq_dht_own(w->nodes[0].dht, &a.u.call.target, w->now, &own)) {
            key = a.u.call.target;
            found = true;
        }
        world_act(w, 0, &a);
    }
    assert_true(found);
    return key;
}

/* With all else due, somewhere else in the order of the sweep, one that is new. */
static void the_new_go_before_renewals_that_can_wait(void **state)
{
    struct world *w = asleep(2000);
    (void)state;
    struct stoq_hash fresh = key_from(OLD, 0x00);
    announce(w, &fresh, false);
    assert_int_equal(stats(w).own_due, OLD + 1);
    struct stoq_hash first = sought_first(w);
    assert_true(stoq_hash_eq(&first, &fresh));
    world_run(w, w->now + 100 * STOQ_SEC);
    assert_int_equal(stats(w).own_fresh, OLD + 1);
    world_free(w);
}

static void what_is_running_out_goes_before_the_new(void **state)
{
    struct world *w = asleep(2700);
    (void)state;
    struct stoq_hash fresh = key_from(OLD, 0x00);
    struct stoq_hash sweep_at = stats(w).sweep_at;
    announce(w, &fresh, false);
    struct stoq_hash first = sought_first(w);
    assert_int_equal(first.b[0] & 0x80, 0x80);
    struct stoq_hash now_at = stats(w).sweep_at; /* out of its turn: the cursor stays */
    assert_true(stoq_hash_eq(&now_at, &sweep_at));
    world_run(w, w->now + 100 * STOQ_SEC);
    assert_int_equal(stats(w).own_fresh, OLD + 1);
    world_free(w);
}

static void who_is_waited_for_goes_first_of_all(void **state)
{
    struct world *w = asleep(2700);
    (void)state;
    struct stoq_hash fresh = key_from(OLD, 0x00);
    announce(w, &fresh, true);
    struct stoq_hash first = sought_first(w);
    assert_true(stoq_hash_eq(&first, &fresh));
    world_free(w);
}

/* Past its holders' time a record is like one that nobody ever held. */
static void what_is_gone_is_as_new(void **state)
{
    struct world *w = asleep(4000);
    (void)state;
    struct stoq_hash fresh = key_from(OLD, 0x00);
    announce(w, &fresh, false);
    (void)sought_first(w);
    world_run(w, w->now + 200 * STOQ_SEC);
    assert_int_equal(stats(w).own_fresh, OLD + 1);
    world_free(w);
}

/* Several lookups are under way at a time, and one says nothing of some of the keys that it was to serve: the
 * sweep has not been there before they are announced too. Whoever is killed would leave them for last. */
static void what_the_sweep_has_passed_is_held(void **state)
{
    enum { KEYS = 2500 };
    struct world *w = world_new(400, 6);
    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct stoq_hash key = world_key(i);
        announce(w, &key, false);
    }
    world_drain(w, 0);
    uint32_t passed_most = 0;
    for (uint32_t s = 0; s < 600 && stats(w).own_fresh < KEYS; s++) {
        struct stoq_hash sweep_at = stats(w).sweep_at;
        uint32_t passed = 0;
        for (uint32_t i = 0; i < KEYS; i++) {
            struct stoq_hash key = world_key(i);
            struct stoq_dht_announced own;
            assert_true(stoq_dht_own(w->nodes[0].dht, &key, w->now, &own));
            if (memcmp(key.b, sweep_at.b, sizeof key.b) <= 0) {
                assert_true(own.enough);
                passed++;
            }
        }
        assert_true(passed >= passed_most);
        passed_most = passed;
        world_run(w, w->now + STOQ_SEC);
    }
    assert_int_equal(stats(w).own_fresh, KEYS);
    assert_true(passed_most > KEYS / 2);
    world_free(w);
}

/* Every holder misses a datagram; each is there all the same. */
static void losses_do_not_make_the_network_smaller(void **state)
{
    struct world *w = world_new(300, 5);
    struct stoq_hash key = w->nodes[0].id;
    uint64_t before = stats(w).network_size;
    (void)state;
    w->lost_stores = 1000;
    announce(w, &key, true);
    world_drain(w, 0);
    while (w->lost_stores == 1000) {
        world_run(w, w->now + 10 * STOQ_MS);
    }
    world_run(w, w->now + 3 * STOQ_SEC);
    struct stoq_dht_contact c;
    uint32_t failing = 0;
    for (size_t i = 0; stoq_dht_at(w->nodes[0].dht, i, w->now, &c); i++) {
        failing += c.fails > 0;
    }
    assert_true(failing >= STOQ_DHT_K - 2);
    uint32_t n = w->count++; /* somebody comes: the estimate is made anew */
    world_node_new(w, n, false);
    world_met(w, 0, n);
    uint64_t after = stats(w).network_size;
    print_message("%llu nodes before, %llu after\n", (unsigned long long)before,
                  (unsigned long long)after);
    assert_true(after * 10 > before * 9 && after * 10 < before * 12);
    world_free(w);
}

/* It was lost, and the next was answered before anybody knew. */
static void a_silence_from_before_it_was_heard_says_nothing(void **state)
{
    struct world *w = world_new(2, 1);
    (void)state;
    w->lost_stores = 1;
    for (uint32_t i = 0; i < 2; i++) {
        struct stoq_hash key = world_key(i);
        announce(w, &key, false);
    }
    world_drain(w, 0);
    struct stoq_dht_contact c;
    for (uint32_t i = 0; i < 600; i++) {
        world_run(w, w->now + 10 * STOQ_MS);
        assert_true(stoq_dht_at(w->nodes[0].dht, 0, w->now, &c));
        assert_int_equal(c.fails, 0);
    }
    assert_int_equal(w->lost_stores, 0);
    world_free(w);
}

/* However many there are, however they came, and whatever of them is gone again. */
static void every_key_is_found(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_dht_announced own;
    (void)state;
    for (uint32_t i = 0; i < 1500; i++) {
        struct stoq_hash key = world_key(i);
        announce(w, &key, false);
        announce(w, &key, false); /* said twice, it is there once */
        if (i % 400 == 10) {
            world_drain(w, 0);
        }
        assert_true(stoq_dht_own(w->nodes[0].dht, &key, w->now, &own));
        assert_int_equal(stats(w).own, i + 1);
    }
    world_run(w, w->now + 600 * STOQ_SEC);
    for (uint32_t i = 0; i < 1500; i += 2) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_WITHDRAW};
        ev.u.announce.key = world_key(i);
        world_feed(w, 0, &ev);
    }
    world_drain(w, 0);
    world_run(w, w->now + 600 * STOQ_SEC);
    assert_int_equal(stats(w).own, 750);
    for (uint32_t i = 0; i < 1600; i++) {
        struct stoq_hash key = world_key(i);
        bool known = stoq_dht_own(w->nodes[0].dht, &key, w->now, &own);
        assert_int_equal(known, i < 1500 && i % 2 == 1);
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_new_go_before_renewals_that_can_wait),
        cmocka_unit_test(what_is_running_out_goes_before_the_new),
        cmocka_unit_test(who_is_waited_for_goes_first_of_all),
        cmocka_unit_test(what_is_gone_is_as_new),
        cmocka_unit_test(what_the_sweep_has_passed_is_held),
        cmocka_unit_test(losses_do_not_make_the_network_smaller),
        cmocka_unit_test(a_silence_from_before_it_was_heard_says_nothing),
        cmocka_unit_test(every_key_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
