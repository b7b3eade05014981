/* One node and what is offered to it: what it takes, what it refuses and in which order. */
#include "dht/dht_world_test.h"

static struct stoq_peer_id publisher(uint32_t i)
{
    struct stoq_peer_id p;
    i += 1u << 30; /* none of the nodes */
    p.h = stoq_hash_blake3(stoq_span(&i, sizeof i));
    return p;
}

/* Offer a record; takes it. */
static enum stoq_dht_outcome offer_as(struct world *w, struct stoq_dht_record *r, bool proven,
                                      bool own)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    ev.u.request = (struct stoq_dht_request){
        .request = 1, .ask = STOQ_DHT_STORE, .record = r, .proven = proven, .own = own};
    world_feed(w, 0, &ev);
    stoq_dht_record_drop(r);
    world_drain(w, 0);
    return w->answered;
}

static enum stoq_dht_outcome offer(struct world *w, struct stoq_dht_record *r)
{
    return offer_as(w, r, true, true);
}

static uint32_t held(struct world *w, const struct stoq_hash *key)
{
    struct stoq_dht_record *r[STOQ_DHT_KEY_RECORDS];
    return (uint32_t)stoq_dht_held(w->nodes[0].dht, key, w->now, r, STOQ_DHT_KEY_RECORDS);
}

static struct stoq_dht_stats stats(struct world *w)
{
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[0].dht, &s);
    return s;
}

static void attacks_are_refused_and_honest_twins_taken(void **state)
{
    struct world *w = world_new(1, 1);
    uint64_t wall = world_wall(w);
    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        struct stoq_hash key = world_key(i);
        struct stoq_peer_id who = publisher(i);
        struct stoq_dht_record *r = world_record(&key, &who, 7, wall, 3600);
        /* The honest twin first, so that a refusal below is not the refusal of everything. */
        assert_int_equal(offer(w, stoq_dht_record_hold(r)), STOQ_DHT_DONE);
        assert_int_equal(held(w, &key), 1);
        assert_int_equal(offer(w, r), STOQ_DHT_DONE); /* again: as good as new */
        /* replayed: an older one */
        assert_int_equal(offer(w, world_record(&key, &who, 6, wall, 3600)), STOQ_DHT_STALE);
        /* the same sequence, other bytes */
        r = world_record(&key, &who, 7, wall, 3600);
        r->bytes[4] = 1;
        assert_int_equal(offer(w, r), STOQ_DHT_STALE);
        /* forged: a newer one that somebody else signed */
        r = world_record(&key, &who, 8, wall, 3600);
        r->bytes[0] = 0;
        assert_int_equal(offer(w, r), STOQ_DHT_REJECTED);
        /* under another key, which its signature does not cover */
        struct stoq_hash other = world_key(1000 + i);
        r = world_record(&other, &who, 8, wall, 3600);
        r->bytes[0] = 0;
        assert_int_equal(offer(w, r), STOQ_DHT_REJECTED);
        /* expired, from the future, for too long */
        assert_int_equal(offer(w, world_record(&key, &who, 9, wall - 3601, 3600)),
                         STOQ_DHT_REJECTED);
        assert_int_equal(offer(w, world_record(&key, &who, 9, wall + 301, 3600)),
                         STOQ_DHT_REJECTED);
        assert_int_equal(offer(w, world_record(&key, &who, 9, wall, 86401)), STOQ_DHT_REJECTED);
        /* without a return path */
        assert_int_equal(offer_as(w, world_record(&other, &who, 8, wall, 3600), false, true),
                         STOQ_DHT_REFUSED);
        /* a third party's address: nobody answers there */
        r = world_record(&other, &who, 8, wall, 3600);
        r->bytes[1] = 0;
        (void)offer_as(w, r, true, false);
        assert_int_equal(held(w, &other), 0);
        assert_int_equal(held(w, &key), 1);
        /* and brought by another, but there: a cached copy */
        (void)offer_as(w, world_record(&other, &who, 8, wall, 3600), true, false);
        assert_int_equal(held(w, &other), 1);
    }
    struct stoq_dht_stats s = stats(w);
    assert_int_equal(s.refused[STOQ_DHT_OLD], 100);
    assert_int_equal(s.refused[STOQ_DHT_FORGED], 100);
    assert_int_equal(s.refused[STOQ_DHT_WRONG_TIME], 150);
    assert_int_equal(s.refused[STOQ_DHT_NOT_PROVEN], 50);
    assert_int_equal(s.refused[STOQ_DHT_NOT_THERE], 50);
    assert_int_equal(s.records, 100);
    world_free(w);
}

static void a_flood_stays_under_its_caps(void **state)
{
    struct world *w = world_new(1, 1);
    uint64_t wall = world_wall(w);
    struct stoq_peer_id flooder = publisher(1);
    struct stoq_peer_id victim = publisher(2);
    struct stoq_hash kept = world_key(5);
    (void)state;
    assert_int_equal(offer(w, world_record(&kept, &victim, 1, wall, 3600)), STOQ_DHT_DONE);
    /* one publisher, many keys: its bucket, then no signature is looked at */
    for (uint32_t i = 0; i < 100000; i++) {
        struct stoq_hash key = world_key(10 + i);
        (void)offer(w, world_record(&key, &flooder, 1, wall, 3600));
    }
    struct stoq_dht_stats s = stats(w);
    assert_int_equal(s.records, STOQ_DHT_PUBLISHER_BURST + 1);
    assert_int_equal(s.signatures, STOQ_DHT_PUBLISHER_BURST + 1);
    assert_int_equal(s.refused[STOQ_DHT_RATE], 100000 - STOQ_DHT_PUBLISHER_BURST);
    /* the same, as slowly as it is allowed: its quota */
    for (uint32_t i = 0; i < 2 * STOQ_DHT_PUBLISHER_RECORDS; i++) {
        struct stoq_hash key = world_key(200000 + i);
        w->now += STOQ_SEC / 2 * 3;
        (void)offer(w, world_record(&key, &flooder, 1, world_wall(w), 86400));
        assert_true(stats(w).records <= STOQ_DHT_PUBLISHER_RECORDS + 1);
    }
    assert_true(stats(w).records > STOQ_DHT_TTL_S / 2); /* it did fill something */
    world_free(w);
    /* one key, many publishers; one subnet, many of both */
    w = world_new(1, 1);
    for (uint32_t i = 0; i < 2000; i++) {
        struct stoq_peer_id p = publisher(100 + i);
        (void)offer(w, world_record(&kept, &p, 1, wall, 3600));
    }
    assert_int_equal(held(w, &kept), STOQ_DHT_KEY_RECORDS);
    assert_int_equal(stats(w).signatures, STOQ_DHT_KEY_RECORDS);
    for (uint32_t i = 0; i < 20000; i++) {
        struct stoq_peer_id p = publisher(10000 + i);
        struct stoq_hash key = world_key(300000 + i);
        struct stoq_dht_record *r = world_record(&key, &p, 1, wall, 3600);
        r->group = 77;
        (void)offer(w, r);
    }
    assert_int_equal(stats(w).records,
                     STOQ_DHT_KEY_RECORDS + STOQ_DHT_RECORDS / STOQ_DHT_GROUP_SHARE);
    struct stoq_hash late = world_key(9);
    assert_int_equal(offer(w, world_record(&late, &victim, 1, wall, 3600)), STOQ_DHT_DONE);
    world_free(w);
}

#define MILLION 1000000u
#define OTHERS 300u

enum flood { FLOOD_PUBLISHER, FLOOD_SUBNET, FLOOD_KEY };

/* What a flood could count its i-th record as, all else differing. */
static struct stoq_dht_record *flood_record(enum flood flood, uint32_t i, uint64_t wall)
{
    struct stoq_peer_id who = publisher(flood == FLOOD_PUBLISHER ? 1 : 1000 + i);
    struct stoq_hash key = {{1}};
    if (flood != FLOOD_KEY) {
        stoq_le32_put(key.b, i);
        key.b[9] = 7;
    }
    struct stoq_dht_record *r = world_record(&key, &who, 1, wall, 3600);
    r->group = flood == FLOOD_SUBNET ? 77 : flood == FLOOD_KEY ? 1000 + i : 0;
    return r;
}

static void a_million_records_change_nothing_for_others(void **state)
{
    static const uint32_t most[] = {[FLOOD_PUBLISHER] = STOQ_DHT_PUBLISHER_BURST,
                                    [FLOOD_SUBNET] = STOQ_DHT_RECORDS / STOQ_DHT_GROUP_SHARE,
                                    [FLOOD_KEY] = STOQ_DHT_KEY_RECORDS};
    static const enum stoq_dht_refusal why[] = {[FLOOD_PUBLISHER] = STOQ_DHT_RATE,
                                                [FLOOD_SUBNET] = STOQ_DHT_SUBNET,
                                                [FLOOD_KEY] = STOQ_DHT_KEY};
    (void)state;
    for (int flood = FLOOD_PUBLISHER; flood <= FLOOD_KEY; flood++) {
        struct world *w = world_new(1, 1);
        uint64_t wall = world_wall(w);
        for (uint32_t i = 0; i < OTHERS; i++) {
            struct stoq_hash key = world_key(i);
            struct stoq_peer_id who = publisher(100 + i);
            struct stoq_dht_record *r = world_record(&key, &who, 1, wall, 3600);
            r->group = 5000000 + i;
            assert_int_equal(offer(w, r), STOQ_DHT_DONE);
        }
        for (uint32_t i = 0; i < MILLION; i++) {
            (void)offer(w, flood_record((enum flood)flood, i, wall));
        }
        struct stoq_dht_stats s = stats(w);
        assert_int_equal(s.records, OTHERS + most[flood]);
        assert_int_equal(s.signatures, s.records); /* none of what was refused cost one */
        assert_int_equal(s.refused[why[flood]], MILLION - most[flood]);
        for (uint32_t i = 0; i < OTHERS; i++) {
            struct stoq_hash key = world_key(i);
            assert_int_equal(held(w, &key), 1);
            struct stoq_peer_id who = publisher(100 + i); /* and goes on being renewed */
            assert_int_equal(offer(w, world_record(&key, &who, 2, wall, 3600)), STOQ_DHT_DONE);
        }
        world_free(w);
    }
}

/* What a publisher may have here he may keep here, whatever became of his bucket. */
static void renewals_take_no_token(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_peer_id who = publisher(1);
    const uint32_t count = 2 * STOQ_DHT_PUBLISHER_BURST;
    struct stoq_hash key;
    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        if (i == STOQ_DHT_PUBLISHER_BURST) {
            world_run(w, w->now + STOQ_DHT_PUBLISHER_BURST * STOQ_DHT_PUBLISHER_EVERY);
        }
        key = world_key(i);
        assert_int_equal(offer(w, world_record(&key, &who, 1, world_wall(w), 3600)), STOQ_DHT_DONE);
    }
    world_run(w, w->now + STOQ_DHT_RENEWAL_S * STOQ_SEC);
    for (uint32_t round = 0; round < 2; round++) {
        uint32_t taken = 0;
        for (uint32_t i = 0; i < count; i++) {
            key = world_key(i);
            struct stoq_dht_record *r = world_record(&key, &who, 2 + round, world_wall(w), 3600);
            taken += offer(w, r) == STOQ_DHT_DONE;
        }
        /* Again at once, they come out of the bucket. */
        assert_int_equal(taken, round == 0 ? count : STOQ_DHT_PUBLISHER_BURST);
    }
    world_free(w);
}

static void a_forger_does_not_spend_his_victims_tokens(void **state)
{
    struct world *w = world_new(1, 1);
    uint64_t wall = world_wall(w);
    struct stoq_peer_id victim = publisher(2);
    struct stoq_hash key = world_key(1);
    (void)state;
    assert_int_equal(offer(w, world_record(&key, &victim, 1, wall, 3600)), STOQ_DHT_DONE);
    for (uint32_t i = 0; i < 2 * STOQ_DHT_PUBLISHER_BURST; i++) {
        struct stoq_dht_record *r = world_record(&key, &victim, 100 + i, wall, 3600);
        r->bytes[0] = 0;
        assert_int_equal(offer(w, r), STOQ_DHT_REJECTED);
    }
    assert_int_equal(offer(w, world_record(&key, &victim, 2, wall, 3600)), STOQ_DHT_DONE);
    world_free(w);
}

/* What we took back does not come back by a copy that somebody had. */
static void our_own_record_comes_from_nobody_else(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    (void)state;
    assert_int_equal(
        offer_as(w, world_record(&key, &w->nodes[0].peer, 1, world_wall(w), 3600), true, false),
        STOQ_DHT_STALE);
    assert_int_equal(held(w, &key), 0);
    world_free(w);
}

static void who_stays_may_stay_longer(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_peer_id who = publisher(2);
    struct stoq_hash key = world_key(1);
    (void)state;
    assert_int_equal(offer(w, world_record(&key, &who, 1, world_wall(w), 86400)), STOQ_DHT_DONE);
    world_run(w, w->now + 3599 * STOQ_SEC);
    assert_int_equal(held(w, &key), 1); /* an hour, whatever it asked for */
    world_run(w, w->now + 2 * STOQ_SEC);
    assert_int_equal(held(w, &key), 0);
    assert_int_equal(stats(w).records, 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(offer(w, world_record(&key, &who, 2 + i, world_wall(w), 86400)),
                         STOQ_DHT_DONE);
        world_run(w, w->now + 1800 * STOQ_SEC);
    }
    world_run(w, w->now + 5 * 3600 * STOQ_SEC);
    assert_int_equal(held(w, &key), 1); /* ten hours here, so ten hours more */
    world_run(w, w->now + 5 * 3600 * STOQ_SEC);
    assert_int_equal(held(w, &key), 0);
    world_free(w);
}

/* What each defence is for: without it the attack above succeeds. */
static void a_defence_left_out_lets_them_in(void **state)
{
    (void)state;
    for (unsigned without = STOQ_DHT_NO_TOKEN; without <= STOQ_DHT_NO_SIGNATURE; without *= 2) {
        struct world *w = world_new(1, 1);
        uint64_t wall = world_wall(w);
        struct stoq_peer_id who = publisher(3);
        struct stoq_dht_config cfg = {.book = w->book,
                                      .id = w->nodes[0].id,
                                      .self = w->nodes[0].contact,
                                      .wall_s = WORLD_WALL,
                                      .without = (enum stoq_dht_without)without};
        stoq_dht_free(w->nodes[0].dht);
        assert_int_equal(stoq_dht_new(&w->nodes[0].dht, &cfg), STOQ_OK);
        struct stoq_hash key = world_key(1);
        bool token = without == STOQ_DHT_NO_TOKEN;
        assert_int_equal(offer_as(w, world_record(&key, &who, 1, wall, 3600), false, true) ==
                             STOQ_DHT_DONE,
                         token);
        struct stoq_dht_record *r = world_record(&key, &who, 2, wall, 3600);
        r->bytes[0] = 0;
        assert_int_equal(offer(w, r) == STOQ_DHT_DONE, without == STOQ_DHT_NO_SIGNATURE);
        for (uint32_t i = 0; i < 1000; i++) {
            key = world_key(10 + i);
            (void)offer(w, world_record(&key, &who, 1, wall, 3600));
        }
        assert_int_equal(stats(w).records > STOQ_DHT_PUBLISHER_BURST + 2,
                         without == STOQ_DHT_NO_CAPS);
        world_free(w);
    }
}

static void one_subnet_does_not_fill_a_table(void **state)
{
    struct world *w = world_new(1, 1);
    (void)state;
    for (uint32_t i = 1; i < 200; i++) {
        w->nodes[i].group = i < 150 ? 5 : i;
        world_node_new(w, i, false);
        w->count++;
        world_met(w, 0, i);
    }
    uint32_t of_five = 0;
    struct stoq_dht_contact c;
    for (size_t i = 0; stoq_dht_at(w->nodes[0].dht, i, w->now, &c); i++) {
        of_five += stoq_dht_book_get(w->book, c.contact)->group == 5;
    }
    assert_true(of_five > 0);
    assert_true(of_five <= STOQ_DHT_GROUP_TABLE);
    assert_true(stats(w).contacts >= 40);
    world_free(w);
}

static void who_is_near_takes_a_place_and_who_is_dead_loses_it(void **state)
{
    struct world *w = world_new(200, 5);
    struct stoq_dht_contact c;
    (void)state;
    for (uint32_t i = 1; i < 200; i += 2) {
        w->nodes[i].dead = true;
    }
    world_run(w, w->now + 3 * 3600 * STOQ_SEC); /* upkeep and refresh find out */
    for (size_t i = 0; stoq_dht_at(w->nodes[0].dht, i, w->now, &c); i++) {
        assert_false(w->nodes[w->by_contact[c.contact]].dead && !c.spare);
    }
    assert_true(stats(w).contacts > 20);
    world_free(w);
}

static void ids_are_earned(void **state)
{
    struct stoq_dht_rules rules = {.epoch = 3, .work_bits = 8};
    struct stoq_dht_search s = {.rules = rules, .peer = publisher(9)};
    uint32_t pieces = 0;
    (void)state;
    while (!stoq_dht_search_run(&s, 16)) {
        pieces++;
    }
    assert_true(pieces > 0); /* some 256 tries */
    assert_true(stoq_dht_id_earned(&rules, &s.id));
    struct stoq_hash again = stoq_dht_node_id(&rules, &s.peer, s.nonce);
    assert_true(stoq_hash_eq(&again, &s.id));
    rules.epoch = 4; /* another epoch moves it, and it must be earned anew */
    again = stoq_dht_node_id(&rules, &s.peer, s.nonce);
    assert_false(stoq_hash_eq(&again, &s.id));
}

static void distances(void **state)
{
    struct stoq_hash a = {{0}};
    struct stoq_hash b = {{0}};
    struct stoq_hash t = {{0x80}};
    (void)state;
    b.b[1] = 0x10;
    assert_int_equal(stoq_dht_common_bits(&a, &b), 11);
    assert_int_equal(stoq_dht_common_bits(&a, &a), 256);
    assert_true(stoq_dht_nearer(&t, &a, &b) < 0);
    assert_int_equal(stoq_dht_nearer(&t, &a, &a), 0);
    assert_true(stoq_dht_distance(&a, &t) == (uint64_t)1 << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_are_refused_and_honest_twins_taken),
        cmocka_unit_test(a_flood_stays_under_its_caps),
        cmocka_unit_test(a_million_records_change_nothing_for_others),
        cmocka_unit_test(renewals_take_no_token),
        cmocka_unit_test(a_forger_does_not_spend_his_victims_tokens),
        cmocka_unit_test(our_own_record_comes_from_nobody_else),
        cmocka_unit_test(who_stays_may_stay_longer),
        cmocka_unit_test(a_defence_left_out_lets_them_in),
        cmocka_unit_test(one_subnet_does_not_fill_a_table),
        cmocka_unit_test(who_is_near_takes_a_place_and_who_is_dead_loses_it),
        cmocka_unit_test(ids_are_earned),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
