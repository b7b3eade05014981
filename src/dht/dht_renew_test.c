/* Renewals: what a holder keeps on by them and what it does not, and that a provider sends whole only what is
 * not there. */
#include "dht/dht_world_test.h"

static struct stoq_peer_id publisher(uint32_t i)
{
    struct stoq_peer_id p;
    i += 1u << 30; /* none of the nodes */
    p.h = stoq_hash_blake3(stoq_span(&i, sizeof i));
    return p;
}

static struct stoq_dht_stats stats(struct world *w)
{
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[0].dht, &s);
    return s;
}

static uint32_t held(struct world *w, const struct stoq_hash *key)
{
    struct stoq_dht_record *r[STOQ_DHT_KEY_RECORDS];
    world_run(w, w->now);
    return (uint32_t)stoq_dht_held(w->nodes[0].dht, key, w->now, r, STOQ_DHT_KEY_RECORDS);
}

/* Takes the record. */
static enum stoq_dht_outcome offer(struct world *w, struct stoq_dht_record *r)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    ev.u.request = (struct stoq_dht_request){
        .request = 1, .ask = STOQ_DHT_STORE, .record = r, .proven = true, .own = true};
    world_feed(w, 0, &ev);
    stoq_dht_record_drop(r);
    world_drain(w, 0);
    return w->answered;
}

/* Who says it, of which, and how it is brought. */
struct says {
    struct stoq_peer_id who;
    uint64_t digest;
    int64_t off_s;  /* its time beside ours */
    uint32_t count; /* so many digests, of which this is the first */
    bool forged;
    bool unproven;
    bool astray;
};

static enum stoq_dht_outcome renew(struct world *w, const struct says *s)
{
    static const uint8_t forged[1] = {0};
    struct stoq_dht_renewal *r = stoq_dht_renewal_new(stoq_span(forged, s->forged ? 1 : 0));
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    assert_non_null(r);
    r->publisher = s->who;
    r->issued_at_s = (uint64_t)((int64_t)world_wall(w) + s->off_s);
    r->count = s->count == 0 ? 1 : s->count;
    for (uint32_t i = 0; i < r->count; i++) {
        r->digests[i] = s->digest + i;
    }
    ev.u.request = (struct stoq_dht_request){.request = 1,
                                             .ask = STOQ_DHT_RENEW,
                                             .renewal = r,
                                             .proven = !s->unproven,
                                             .own = !s->astray};
    w->kept_count = 0;
    world_feed(w, 0, &ev);
    stoq_dht_renewal_drop(r);
    world_drain(w, 0);
    return w->answered;
}

/* A record that is held; out: what names it. */
static struct says left_here(struct world *w, const struct stoq_hash *key, uint32_t ttl_s)
{
    struct says s = {.who = publisher(1)};
    struct stoq_dht_record *r = world_record(key, &s.who, 7, world_wall(w), ttl_s);
    s.digest = r->digest;
    assert_int_equal(offer(w, r), STOQ_DHT_DONE);
    assert_int_equal(held(w, key), 1);
    return s;
}

static void pass(struct world *w, uint32_t seconds)
{
    world_run(w, w->now + seconds * STOQ_SEC);
}

static void a_renewal_keeps_a_record_on(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct says s = left_here(w, &key, 86400);
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        pass(w, 1800);
        assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
        assert_int_equal(w->kept_count, 1);
        /* an hour at first, then as long as it has been here */
        uint32_t been_s = 1800 * (i + 1);
        uint32_t left_s = 86400 - been_s;
        uint32_t want_s = been_s < 3600 ? 3600 : been_s;
        want_s = want_s < left_s ? want_s : left_s;
        assert_int_equal(w->kept[0], want_s / STOQ_DHT_KEPT_S);
    }
    assert_int_equal(held(w, &key), 1);
    assert_int_equal(stats(w).stores, 1);
    assert_true(stats(w).renewed >= 20);
    pass(w, 86400 - 40 * 1800 - 10);
    assert_int_equal(held(w, &key), 1);
    pass(w, 20);
    assert_int_equal(held(w, &key), 0); /* signed for a day, and no longer */
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    assert_int_equal(w->kept[0], 0);
    world_free(w);
}

/* Whatever is wrong with it, the record goes when its own time is over. */
static void hostile_renewals_keep_nothing(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct says good = left_here(w, &key, 86400);
    struct says s = good;
    (void)state;
    pass(w, 1800);
    uint64_t checks = stats(w).signatures;
    s.who = publisher(2); /* somebody else's record */
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    assert_int_equal(w->kept[0], 0);
    s = good;
    s.digest++; /* one that is not here */
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    assert_int_equal(w->kept[0], 0);
    s = good;
    s.unproven = true;
    assert_int_equal(renew(w, &s), STOQ_DHT_REFUSED);
    s = good;
    s.astray = true; /* said to another holder */
    assert_int_equal(renew(w, &s), STOQ_DHT_REJECTED);
    s = good;
    s.off_s = -301; /* said long ago */
    assert_int_equal(renew(w, &s), STOQ_DHT_REJECTED);
    s.off_s = 301;
    assert_int_equal(renew(w, &s), STOQ_DHT_REJECTED);
    assert_int_equal(stats(w).signatures, checks); /* all of that cost comparisons */
    s = good;
    s.forged = true;
    assert_int_equal(renew(w, &s), STOQ_DHT_REJECTED);
    struct stoq_dht_stats now = stats(w);
    assert_int_equal(now.signatures, checks + 1);
    assert_int_equal(now.refused[STOQ_DHT_NOT_HELD], 2);
    assert_int_equal(now.refused[STOQ_DHT_NOT_PROVEN], 1);
    assert_int_equal(now.refused[STOQ_DHT_NOT_TO_US], 1);
    assert_int_equal(now.refused[STOQ_DHT_WRONG_TIME], 2);
    assert_int_equal(now.refused[STOQ_DHT_FORGED], 1);
    assert_int_equal(now.renewed, 0);
    assert_int_equal(renew(w, &good), STOQ_DHT_DONE); /* its honest twin */
    assert_int_equal(w->kept[0], 10);
    assert_int_equal(stats(w).renewed, 1);
    pass(w, 3590);
    assert_int_equal(held(w, &key), 1);
    pass(w, 20);
    assert_int_equal(held(w, &key), 0);
    world_free(w);
}

/* What a defence is for: without it the attack keeps a record on. */
static bool lives_on(enum stoq_dht_without without, const struct says *how, uint32_t ttl_s)
{
    struct world *w = world_new_without(1, 1, without);
    struct stoq_hash key = world_key(1);
    struct says s = left_here(w, &key, ttl_s);
    s.forged = how->forged;
    s.off_s = how->off_s;
    s.astray = how->astray;
    s.unproven = how->unproven;
    pass(w, 3000);
    (void)renew(w, &s);
    pass(w, 1000);
    bool lives = held(w, &key) == 1;
    world_free(w);
    return lives;
}

static void every_defence_is_needed(void **state)
{
    static const struct {
        enum stoq_dht_without without;
        struct says how;
        uint32_t ttl_s;
    } cases[] = {
        {STOQ_DHT_NO_SIGNATURE, {.forged = true}, 86400},
        {STOQ_DHT_NO_TOKEN, {.unproven = true}, 86400},
        {STOQ_DHT_NO_PROOF, {.astray = true}, 86400},
        {STOQ_DHT_NO_CLOCK, {.off_s = -900}, 86400},
        {STOQ_DHT_NO_CLOCK, {.off_s = 0}, 3600}, /* past the end that was signed */
    };
    static const struct says good;
    (void)state;
    assert_true(lives_on(STOQ_DHT_WITH_ALL, &good, 86400));
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        assert_false(lives_on(STOQ_DHT_WITH_ALL, &cases[i].how, cases[i].ttl_s));
        assert_true(lives_on(cases[i].without, &cases[i].how, cases[i].ttl_s));
    }
}

static void said_again_it_brings_nothing(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct says s = left_here(w, &key, 86400);
    (void)state;
    pass(w, 1800);
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    for (int i = 1; i <= 30; i++) { /* the same words, again and again as long as they are taken */
        pass(w, 10);
        s.off_s = -10 * i;
        assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    }
    assert_int_equal(stats(w).renewed, 1);
    pass(w, 3600 - 300 + 1);
    assert_int_equal(held(w, &key), 0);
    world_free(w);
}

static void what_was_taken_back_stays_so(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct says s = left_here(w, &key, 86400);
    uint64_t issued_s = world_wall(w);
    (void)state;
    pass(w, 600);
    struct stoq_dht_record *r = world_record(&key, &s.who, 8, world_wall(w), 86400);
    r->withdrawn = true;
    uint64_t digest = r->digest;
    assert_int_equal(offer(w, r), STOQ_DHT_DONE);
    assert_int_equal(held(w, &key), 0);
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE); /* the old one */
    assert_int_equal(w->kept[0], 0);
    s.digest = digest; /* and what took it back is nobody's to keep on */
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    assert_int_equal(w->kept[0], 0);
    /* A copy of the old one, as long as it would hold. */
    for (uint32_t hour = 1; hour < 24; hour++) {
        pass(w, 3500);
        assert_int_equal(offer(w, world_record(&key, &s.who, 7, issued_s, 86400)), STOQ_DHT_STALE);
        assert_int_equal(held(w, &key), 0);
    }
    pass(w, 7200);
    assert_int_equal(offer(w, world_record(&key, &s.who, 7, issued_s, 86400)), STOQ_DHT_REJECTED);
    assert_int_equal(stats(w).records, 0); /* nothing is kept for longer than it is good for */
    world_free(w);
}

static void a_newer_record_is_not_the_older(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct says s = left_here(w, &key, 86400);
    (void)state;
    struct stoq_dht_record *r = world_record(&key, &s.who, 8, world_wall(w), 86400);
    uint64_t digest = r->digest;
    assert_int_equal(offer(w, r), STOQ_DHT_DONE);
    pass(w, 1800);
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    assert_int_equal(w->kept[0], 0);
    s.digest = digest;
    assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    assert_int_equal(w->kept[0], 10);
    world_free(w);
}

/* What was heard of just now is only told to be here, and what is not here not even that costs. */
static void a_flood_of_renewals_is_refused(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct says s = left_here(w, &key, 86400);
    uint64_t before = stats(w).signatures;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        (void)renew(w, &s);
    }
    struct stoq_dht_stats now = stats(w);
    assert_int_equal(now.signatures, before);
    assert_int_equal(now.renewed, 0);
    assert_int_equal(w->kept[0], 10);
    s.digest++; /* of what is not here, none */
    s.count = STOQ_DHT_RENEW_MAX;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(renew(w, &s), STOQ_DHT_DONE);
    }
    assert_int_equal(stats(w).signatures, now.signatures);
    assert_int_equal(stats(w).refused[STOQ_DHT_NOT_HELD], 1000 * STOQ_DHT_RENEW_MAX);
    world_free(w);
}

/* ---- the provider's side ---- */

static void add_keys(struct world *w, uint32_t node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = world_key(i);
        world_feed(w, node, &ev);
    }
    world_drain(w, node);
}

static uint64_t sequence_of(struct world *w, uint32_t node, const struct stoq_hash *key)
{
    struct stoq_dht_record *r[2];
    size_t n = stoq_dht_held(w->nodes[node].dht, key, w->now, r, 2);
    return n == 0 ? 0 : r[0]->sequence;
}

static void rounds_send_digests(void **state)
{
    struct world *w = world_new(24, 3);
    (void)state;
    add_keys(w, 0, 300);
    pass(w, 60);
    assert_int_equal(stats(w).own_held, 300);
    uint32_t stores = w->stores;
    uint64_t lookups = stats(w).lookups;
    pass(w, 1860 - 60); /* one round */
    assert_int_equal(w->stores, stores);
    assert_true(w->named >= 300 * (STOQ_DHT_K - 1));
    assert_true(w->renewals <= 23 * 3);
    assert_true(stats(w).lookups - lookups <= 4); /* its own upkeep among them */
    pass(w, 10 * 3600);                           /* for hours */
    assert_int_equal(w->stores, stores);
    assert_int_equal(stats(w).own_held, 300);
    assert_int_equal(stats(w).sent, stores);
    assert_int_equal(stats(w).kept, w->named);
    for (uint32_t i = 0; i < 300; i += 20) {
        struct stoq_hash key = world_key(i);
        assert_true(world_holders(w, &key) >= STOQ_DHT_K);
    }
    uint32_t node = 1;
    struct stoq_hash key = world_key(0);
    while (sequence_of(w, node, &key) == 0) {
        node++;
    }
    uint64_t first = sequence_of(w, node, &key);
    pass(w, 15 * 3600); /* past what it is signed for */
    assert_true(sequence_of(w, node, &key) > first);
    assert_true(w->stores - stores <= 300 * 24);
    assert_int_equal(stats(w).own_held, 300);
    world_free(w);
}

/* More than holders take of one provider at once: those that have no room for him are left alone
 * meanwhile, not sent all of it each time. */
static void spent_quotas_are_waited_for(void **state)
{
    enum { KEYS = 3 * STOQ_DHT_PUBLISHER_BURST };
    struct world *w = world_new(24, 3);
    (void)state;
    add_keys(w, 0, KEYS);
    pass(w, 60);
    assert_true(stats(w).own_held < KEYS);
    pass(w, 900); /* two thirds of them come one a second */
    assert_int_equal(stats(w).own_held, KEYS);
    uint32_t copies = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct stoq_hash key = world_key(i);
        copies += world_holders(w, &key);
    }
    print_message("%u keys, %u copies, %u stores\n", KEYS, copies, w->stores);
    assert_true(w->stores < copies + copies / 8);
    world_free(w);
}

/* That one key is full everywhere keeps no other from being left there. */
static void a_full_key_is_no_spent_quota(void **state)
{
    enum { KEYS = 200, FULL = 12 };
    struct world *w = world_new(24, 3);
    (void)state;
    for (uint32_t node = 1; node < 24; node++) {
        for (uint32_t i = 0; i < FULL * STOQ_DHT_KEY_RECORDS; i++) {
            struct stoq_hash key = world_key(i % FULL);
            struct stoq_peer_id of = publisher(i);
            struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
            ev.u.request = (struct stoq_dht_request){
                .request = 1, .ask = STOQ_DHT_STORE, .proven = true, .own = true};
            ev.u.request.record = world_record(&key, &of, 7, world_wall(w), 3600);
            world_feed(w, node, &ev);
            stoq_dht_record_drop(ev.u.request.record);
            world_drain(w, node);
        }
    }
    add_keys(w, 0, KEYS);
    pass(w, 30);
    assert_int_equal(stats(w).own_held, KEYS - FULL);
    world_free(w);
}

static void who_has_them_no_more_gets_them_whole(void **state)
{
    struct world *w = world_new(24, 3);
    (void)state;
    w->nodes[7].plain = true; /* and who knows no renewals, each time */
    add_keys(w, 0, 50);
    pass(w, 60);
    struct world_node *n = &w->nodes[5];
    struct stoq_dht_config cfg = {.book = w->book,
                                  .id = n->id,
                                  .self = n->contact,
                                  .peer = n->peer,
                                  .seed = 9,
                                  .wall_s = WORLD_WALL};
    stoq_dht_free(n->dht);
    assert_int_equal(stoq_dht_new(&n->dht, &cfg), STOQ_OK);
    uint32_t stores = w->stores;
    pass(w, 1860);
    uint32_t has = 0;
    for (uint32_t i = 0; i < 50; i++) {
        struct stoq_hash key = world_key(i);
        uint32_t truth[STOQ_DHT_K];
        uint32_t count = world_nearest(w, &key, truth, STOQ_DHT_K);
        for (uint32_t k = 0; k < count; k++) {
            if (truth[k] == 5 || truth[k] == 7) {
                assert_true(sequence_of(w, truth[k], &key) > 0);
                has++;
            }
        }
    }
    assert_true(has > 50);
    assert_true(w->stores > stores && w->stores - stores <= 100);
    assert_int_equal(stats(w).own_held, 50);
    world_free(w);
}

static void what_says_something_else_goes_out_anew(void **state)
{
    struct world *w = world_new(24, 3);
    struct stoq_hash key = world_key(3);
    (void)state;
    add_keys(w, 0, 10);
    pass(w, 60);
    uint32_t node = 1;
    while (sequence_of(w, node, &key) == 0) {
        node++;
    }
    uint64_t first = sequence_of(w, node, &key);
    uint32_t stores = w->stores;
    world_announce(w, 0, &key); /* it says what it said */
    assert_true(w->told.enough);
    assert_int_equal(w->stores, stores);
    assert_int_equal(sequence_of(w, node, &key), first);
    w->changed = true;
    world_announce(w, 0, &key);
    assert_true(w->told.enough);
    assert_true(w->stores - stores >= STOQ_DHT_K - 1);
    assert_true(sequence_of(w, node, &key) > first);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renewal_keeps_a_record_on),
        cmocka_unit_test(hostile_renewals_keep_nothing),
        cmocka_unit_test(every_defence_is_needed),
        cmocka_unit_test(said_again_it_brings_nothing),
        cmocka_unit_test(what_was_taken_back_stays_so),
        cmocka_unit_test(a_newer_record_is_not_the_older),
        cmocka_unit_test(a_flood_of_renewals_is_refused),
        cmocka_unit_test(rounds_send_digests),
        cmocka_unit_test(spent_quotas_are_waited_for),
        cmocka_unit_test(a_full_key_is_no_spent_quota),
        cmocka_unit_test(who_has_them_no_more_gets_them_whole),
        cmocka_unit_test(what_says_something_else_goes_out_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
