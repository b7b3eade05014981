/* Networks smaller than K, where everybody holds everything; lookups that end with all there is to know. */
#include "dht/dht_world_test.h"

#define KEYS 180 /* of one daemon: sixty packages with their names */

static void announce_all(struct world *w, uint32_t n, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = world_key(i);
        world_feed(w, n, &ev);
    }
    world_drain(w, n);
}

static struct stoq_dht_stats stats_of(const struct world *w, uint32_t n)
{
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[n].dht, &s);
    return s;
}

/* How many of node 0's records are said to be with as many as hold them: all who live. */
static uint32_t told_truly(struct world *w, uint32_t keys, uint32_t living)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < keys; i++) {
        struct stoq_hash key = world_key(i);
        struct stoq_dht_announced a;
        bool own = stoq_dht_own(w->nodes[0].dht, &key, w->now, &a);
        right += own && a.enough && a.wanted == living && a.got == living &&
                 world_holders(w, &key) == living;
    }
    return right;
}

/* No quota is spent by announcing what all have, and what is said of it holds at any time. */
static void many_records_stay_where_few_are(void **state)
{
    static const uint32_t sizes[] = {1, 2, 3, 20};
    (void)state;
    for (size_t s = 0; s < STOQ_COUNT(sizes); s++) {
        struct world *w = world_new(sizes[s], 41);
        announce_all(w, 0, KEYS);
        world_run(w, w->now + 60 * STOQ_SEC);
        uint32_t stores = w->stores;
        assert_int_equal(stores, KEYS * (sizes[s] - 1));
        for (uint32_t t = 0; t < 120; t++) {
            assert_int_equal(stats_of(w, 0).own_held, KEYS);
            world_run(w, w->now + 60 * STOQ_SEC);
        }
        assert_int_equal(told_truly(w, KEYS, sizes[s]), KEYS);
        /* Two hours: five times at half the hour that they live, an eighth sooner at most. */
        assert_true(w->stores - stores <= 5 * stores);
        world_free(w);
    }
}

static void who_comes_or_goes_is_counted(void **state)
{
    struct world *w = world_new(2, 42);
    const uint32_t third = 2;
    (void)state;
    announce_all(w, 0, 50);
    world_run(w, w->now + 60 * STOQ_SEC);
    assert_int_equal(told_truly(w, 50, 2), 50);
    w->count++;
    world_node_new(w, third, false);
    world_met(w, third, 1);
    world_run(w, w->now + 30 * STOQ_SEC);
    assert_int_equal(told_truly(w, 50, 3), 50);
    w->nodes[1].dead = true;
    world_run(w, w->now + 3600 * STOQ_SEC);
    assert_int_equal(told_truly(w, 50, 2), 50);
    assert_int_equal(stats_of(w, 0).own_held, 50);
    world_free(w);
}

/* Everybody has answered some minutes ago: what is announced then needs no lookup. Who comes is nearest to
 * what is announced next, and has it. */
static void a_lookup_that_named_all_serves_for_minutes(void **state)
{
    enum { MANY = 24, ANNOUNCED = 18, EVERY_S = 40 };
    struct world *w = world_new(MANY, 45);
    struct stoq_hash key = world_key(0);
    uint32_t near[1];
    (void)state;
    world_run(w, w->now + 2 * 3600 * STOQ_SEC); /* it has looked around */
    uint64_t before = stats_of(w, 0).lookups;
    for (uint32_t i = 0; i < ANNOUNCED; i++) {
        key = world_key(i);
        world_announce(w, 0, &key);
        assert_true(world_holders(w, &key) >= STOQ_DHT_K);
        world_run(w, w->now + EVERY_S * STOQ_SEC);
    }
    /* One in four minutes, and perhaps one of its own upkeep; but not none: what they gave us gets old. */
    uint64_t lookups = stats_of(w, 0).lookups - before;
    assert_true(lookups >= ANNOUNCED * EVERY_S / 300 && lookups <= ANNOUNCED * EVERY_S / 240 + 3);
    w->count++;
    world_node_new(w, MANY, false);
    world_met(w, MANY, 1);
    world_run(w, w->now + 30 * STOQ_SEC);
    uint32_t i = ANNOUNCED;
    do {
        key = world_key(i++);
        assert_int_equal(world_nearest(w, &key, near, 1), 1);
    } while (near[0] != MANY);
    world_announce(w, 0, &key);
    assert_int_equal(stoq_dht_count(w->nodes[MANY].dht, &key, w->now), 1);
    world_free(w);
}

/* Who was there when others were announced is not taken for somebody who is there now: a majority is one of
 * those who can be reached, and they are found out before it is said that too few hold a record. */
static void who_is_gone_since_is_not_counted(void **state)
{
    enum { MANY = 24, STAY = 10 };
    (void)state;
    for (int left = 0; left < 2; left++) {
        struct world *w = world_new(MANY, 46);
        struct stoq_hash key = world_key(0);
        world_run(w, w->now + 2 * 3600 * STOQ_SEC);
        world_announce(w, 0, &key);
        assert_int_equal(w->told.wanted, STOQ_DHT_K);
        for (uint32_t i = STAY; i < MANY; i++) {
            w->nodes[i].dead = left == 0;
            w->nodes[i].role = left == 0 ? WORLD_HONEST : WORLD_LEFT;
        }
        key = world_key(1);
        uint32_t told = w->told_count;
        world_announce(w, 0, &key);
        assert_int_equal(w->told_count, told + 1);
        assert_true(w->told.enough);
        assert_int_equal(w->told.wanted, STAY);
        assert_int_equal(w->told.got, STAY);
        assert_int_equal(world_holders(w, &key), STAY);
        world_free(w);
    }
}

/* A record of somebody who is no node. */
static void leave_with(struct world *w, uint32_t n, const struct stoq_hash *key, uint8_t provider)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    const struct stoq_peer_id who = {.h = {{provider, 0xff}}};
    struct stoq_dht_record *r = world_record(key, &who, 1, world_wall(w), STOQ_DHT_TTL_S);
    ev.u.request = (struct stoq_dht_request){
        .request = 1, .ask = STOQ_DHT_STORE, .record = r, .proven = true, .own = true};
    world_feed(w, n, &ev);
    world_drain(w, n);
    stoq_dht_record_drop(r);
}

/* An answer has room for four of them: three holders that told their first four have not told all. */
static void a_lookup_ends_with_all_providers(void **state)
{
    struct world *w = world_new(120, 43);
    uint32_t found = 0;
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        struct stoq_hash key = world_key(500 + i);
        uint32_t near[10];
        uint32_t n = world_nearest(w, &key, near, STOQ_COUNT(near));
        for (uint32_t k = 0; k < n; k++) {
            for (uint8_t provider = 1; provider < STOQ_DHT_ENOUGH; provider++) {
                leave_with(w, near[k], &key, provider);
            }
        }
        world_look(w, 100, &key, true, false);
        found += w->look.found;
    }
    assert_int_equal(found, 20 * (STOQ_DHT_ENOUGH - 1));
    world_free(w);
}

/* The only one who knows the living provider is that provider itself. */
static void a_dead_providers_record_does_not_end_a_lookup(void **state)
{
    struct world *w = world_new(45, 44);
    uint32_t found = 0;
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        struct stoq_hash key = world_key(700 + i);
        uint32_t near[45] = {0};
        uint32_t n = world_nearest(w, &key, near, STOQ_COUNT(near));
        leave_with(w, near[0], &key, 1);
        leave_with(w, near[1], &key, 1);
        leave_with(w, near[n - 1], &key, 2);
        world_look(w, near[n - 2], &key, true, false);
        found += w->look.found;
    }
    assert_int_equal(found, 40);
    world_free(w);
}

static stoq_ns rtt_of_the_first(const struct world *w)
{
    struct stoq_dht_contact c;
    assert_true(stoq_dht_at(w->nodes[0].dht, 0, w->now, &c));
    return c.rtt_ns;
}

static void look_from(struct world *w, int times)
{
    struct stoq_hash key = world_key(1);
    for (int i = 0; i < times; i++) {
        world_look(w, 0, &key, false, false);
    }
}

/* A call to a far contact goes twice each time, and the reply does not say to which of the two it is. */
static void far_contacts_are_measured(void **state)
{
    struct world *w = world_new(1, 45);
    (void)state;
    world_node_new(w, w->count++, false);
    w->nodes[1].x = w->nodes[0].x + 600;
    w->unmeasured = true;
    world_met(w, 0, 1);
    assert_int_equal(w->resend_ns, STOQ_DHT_RESEND);
    look_from(w, 1); /* nothing was known: it was that at the most */
    assert_true(rtt_of_the_first(w) > 500 * STOQ_MS && rtt_of_the_first(w) < 800 * STOQ_MS);
    w->nodes[1].x = w->nodes[0].x + 400;
    look_from(w, 10); /* sooner than a reply to the second could have come */
    assert_true(rtt_of_the_first(w) > 350 * STOQ_MS && rtt_of_the_first(w) < 480 * STOQ_MS);
    assert_int_equal(w->resend_ns, STOQ_DHT_RESEND);
    w->nodes[1].x = w->nodes[0].x + 700;
    look_from(w, 10); /* it might be that one's */
    assert_true(rtt_of_the_first(w) < 480 * STOQ_MS);
    w->nodes[1].x = w->nodes[0].x + 100;
    w->unmeasured = false;
    look_from(w, 20);
    stoq_ns rtt = rtt_of_the_first(w);
    assert_true(rtt < 150 * STOQ_MS);
    w->unmeasured = true; /* one of them was lost, and it is near */
    look_from(w, 10);
    assert_int_equal(rtt_of_the_first(w), rtt);
    world_free(w);
}

/* One's Store is lost. The other names it to a lookup, and that call is not one of four datagrams; then it
 * has answered. */
static void who_did_not_answer_is_sent_to_less(void **state)
{
    struct world *w = world_new(3, 46);
    struct stoq_hash key = world_key(2);
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE, .u.announce.key = key};
    (void)state;
    assert_true(w->usual > 0 && w->failed == 0 && w->once == 0);
    w->lost_stores = 1;
    world_feed(w, 0, &ev);
    world_drain(w, 0);
    world_run(w, w->now + 3 * STOQ_SEC);
    assert_int_equal(w->lost_stores, 0);
    assert_int_equal(w->failed, 0);
    look_from(w, 1);
    assert_int_equal(w->failed, 1);
    uint32_t usual = w->usual;
    look_from(w, 1);
    assert_int_equal(w->failed, 1);
    assert_true(w->usual >= usual + 2);
    world_free(w);
}

/* A lookup asks the dead three times, and four datagrams are enough to know. */
static void who_is_asked_again_gets_one_datagram(void **state)
{
    struct world *w = world_new(2, 47);
    (void)state;
    w->nodes[1].dead = true;
    uint32_t usual = w->usual;
    look_from(w, 1);
    assert_int_equal(w->look.end.calls, 3);
    assert_int_equal(w->usual, usual + 1);
    assert_int_equal(w->once, 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_records_stay_where_few_are),
        cmocka_unit_test(who_comes_or_goes_is_counted),
        cmocka_unit_test(a_lookup_that_named_all_serves_for_minutes),
        cmocka_unit_test(who_is_gone_since_is_not_counted),
        cmocka_unit_test(a_lookup_ends_with_all_providers),
        cmocka_unit_test(a_dead_providers_record_does_not_end_a_lookup),
        cmocka_unit_test(far_contacts_are_measured),
        cmocka_unit_test(who_did_not_answer_is_sent_to_less),
        cmocka_unit_test(who_is_asked_again_gets_one_datagram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
