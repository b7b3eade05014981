/* Patches: a holder takes by one what it would take whole and nothing else, and a provider that signs its
 * records anew sends whole only what is not there as it was. */
#include "dht/dht_world_test.h"

static struct stoq_peer_id publisher(uint32_t i)
{
    struct stoq_peer_id p;
    i += 1u << 30; /* none of the nodes */
    p.h = stoq_hash_blake3(stoq_span(&i, sizeof i));
    return p;
}

static struct stoq_dht_stats stats_of(struct world *w, uint32_t n)
{
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[n].dht, &s);
    return s;
}

static struct stoq_dht_stats stats(struct world *w)
{
    return stats_of(w, 0);
}

/* The sequence of what is held; 0: nothing. */
static uint64_t sequence_at(struct world *w, uint32_t n, const struct stoq_hash *key)
{
    struct stoq_dht_record *r[STOQ_DHT_KEY_RECORDS];
    world_run(w, w->now);
    size_t count = stoq_dht_held(w->nodes[n].dht, key, w->now, r, STOQ_DHT_KEY_RECORDS);
    return count == 0 ? 0 : r[0]->sequence;
}

static void pass(struct world *w, uint32_t seconds)
{
    world_run(w, w->now + seconds * STOQ_SEC);
}

/* Takes the record; its digest. */
static uint64_t leave(struct world *w, struct stoq_dht_record *r)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    uint64_t digest = r->digest;
    ev.u.request = (struct stoq_dht_request){
        .request = 1, .ask = STOQ_DHT_STORE, .record = r, .proven = true, .own = true};
    world_feed(w, 0, &ev);
    stoq_dht_record_drop(r);
    world_drain(w, 0);
    assert_int_equal(w->answered, STOQ_DHT_DONE);
    return digest;
}

/* What is given, and how it is brought. */
struct gives {
    uint64_t before;   /* the digest of what it is of */
    uint64_t sequence; /* the new one */
    int64_t off_s;     /* its time beside ours */
    bool stranger;     /* signed by somebody else, in his own name */
    bool forged;
    bool unproven;
};

static uint8_t give(struct world *w, const struct stoq_hash *key, const struct gives *g)
{
    struct stoq_peer_id who = publisher(g->stranger ? 2 : 1);
    uint64_t issued_s = (uint64_t)((int64_t)world_wall(w) + g->off_s);
    struct stoq_dht_record *r = world_record(key, &who, g->sequence, issued_s, 86400);
    r->bytes[0] = !g->forged;
    uint8_t kept = world_patch_one(w, 0, g->before, r, !g->unproven);
    stoq_dht_record_drop(r);
    return kept;
}

static void a_patch_is_taken_as_the_record_would_be(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = publisher(1);
    struct gives g = {.sequence = 8};
    (void)state;
    g.before = leave(w, world_record(&key, &who, 7, world_wall(w), 86400));
    pass(w, 1800);
    assert_int_equal(give(w, &key, &g), 10); /* an hour, of 360 s each */
    assert_int_equal(sequence_at(w, 0, &key), 8);
    struct stoq_dht_stats s = stats(w);
    assert_int_equal(s.patched, 1);
    assert_int_equal(s.stores, 2);
    assert_int_equal(s.records, 1);
    assert_int_equal(s.signatures, 2);
    /* The same again is of nothing that is here, and costs no signature. */
    assert_int_equal(give(w, &key, &g), 0);
    s = stats(w);
    assert_int_equal(s.signatures, 2);
    assert_int_equal(s.refused[STOQ_DHT_NOT_HELD], 1);
    pass(w, 3590);
    assert_int_equal(sequence_at(w, 0, &key), 8);
    pass(w, 20);
    assert_int_equal(sequence_at(w, 0, &key), 0);
    world_free(w);
}

/* Whoever has had one for hours keeps it as long when it is signed anew. */
static void what_was_kept_for_long_is_kept_for_longer(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = publisher(1);
    struct gives g = {.sequence = 8};
    (void)state;
    g.before = leave(w, world_record(&key, &who, 7, world_wall(w), 86400));
    for (int i = 0; i < 5; i++) {
        pass(w, 3000);
        assert_int_equal(give(w, &key, &g), 3000 * (i + 1) < 3600 ? 10 : 3000 * (i + 1) / 360);
        struct stoq_dht_record *r = world_record(&key, &who, g.sequence++, world_wall(w), 86400);
        g.before = r->digest;
        stoq_dht_record_drop(r);
    }
    world_free(w);
}

static void hostile_patches_change_nothing(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = publisher(1);
    struct gives good = {.sequence = 8};
    (void)state;
    good.before = leave(w, world_record(&key, &who, 7, world_wall(w), 86400));
    pass(w, 1800);
    uint64_t checks = stats(w).signatures;
    struct gives g = good;
    g.before++; /* of what is not here */
    assert_int_equal(give(w, &key, &g), 0);
    g = good;
    g.stranger = true; /* of another's record */
    assert_int_equal(give(w, &key, &g), 0);
    g = good;
    g.unproven = true;
    for (int i = 0; i < 2; i++) { /* not even whether it is here */
        assert_int_equal(give(w, &key, &g), 0);
        assert_int_equal(w->answered, STOQ_DHT_REFUSED);
        g.before++;
    }
    g = good;
    g.off_s = 301; /* from the future, and long over */
    assert_int_equal(give(w, &key, &g), 0);
    assert_int_equal(w->answered, STOQ_DHT_REJECTED);
    g.off_s = -86401;
    assert_int_equal(give(w, &key, &g), 0);
    g = good;
    g.sequence = 6; /* older than what is here, and as old with another time */
    assert_int_equal(give(w, &key, &g), 0);
    assert_int_equal(w->answered, STOQ_DHT_STALE);
    assert_int_equal(stats(w).signatures, checks); /* all of that cost comparisons */
    g = good;
    g.forged = true;
    assert_int_equal(give(w, &key, &g), 0);
    assert_int_equal(w->answered, STOQ_DHT_REJECTED);
    struct stoq_dht_stats s = stats(w);
    assert_int_equal(s.signatures, checks + 1);
    assert_int_equal(s.refused[STOQ_DHT_NOT_HELD], 2);
    assert_int_equal(s.refused[STOQ_DHT_NOT_PROVEN], 2);
    assert_int_equal(s.refused[STOQ_DHT_WRONG_TIME], 2);
    assert_int_equal(s.refused[STOQ_DHT_OLD], 1);
    assert_int_equal(s.refused[STOQ_DHT_FORGED], 1);
    assert_int_equal(s.patched, 0);
    assert_int_equal(sequence_at(w, 0, &key), 7);
    assert_int_equal(give(w, &key, &good), 10); /* its honest twin */
    assert_int_equal(sequence_at(w, 0, &key), 8);
    world_free(w);
}

/* What a defence is for: without it the attack puts its own sequence in. */
static bool gets_in(enum stoq_dht_without without, const struct gives *how)
{
    struct world *w = world_new_without(1, 1, without);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = publisher(1);
    struct gives g = *how;
    g.before = leave(w, world_record(&key, &who, 7, world_wall(w), 86400));
    pass(w, 1800);
    (void)give(w, &key, &g);
    bool is_in = sequence_at(w, 0, &key) == g.sequence;
    world_free(w);
    return is_in;
}

static void every_defence_is_needed(void **state)
{
    static const struct {
        enum stoq_dht_without without;
        struct gives how;
    } cases[] = {
        {STOQ_DHT_NO_SIGNATURE, {.sequence = 8, .forged = true}},
        {STOQ_DHT_NO_TOKEN, {.sequence = 8, .unproven = true}},
        {STOQ_DHT_NO_CLOCK, {.sequence = 8, .off_s = 900}},
        {STOQ_DHT_NO_CLOCK, {.sequence = 8, .off_s = -90000}},
        {STOQ_DHT_NO_ORDER, {.sequence = 6}},
    };
    static const struct gives good = {.sequence = 8};
    (void)state;
    assert_true(gets_in(STOQ_DHT_WITH_ALL, &good));
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        assert_false(gets_in(STOQ_DHT_WITH_ALL, &cases[i].how));
        assert_true(gets_in(cases[i].without, &cases[i].how));
    }
}

static void what_was_taken_back_is_not_patched(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = publisher(1);
    struct gives of_old = {.sequence = 9};
    struct gives of_new = {.sequence = 9};
    (void)state;
    of_old.before = leave(w, world_record(&key, &who, 7, world_wall(w), 86400));
    pass(w, 1800);
    assert_int_equal(give(w, &key, &(struct gives){.before = of_old.before, .sequence = 8}), 10);
    struct stoq_dht_record *back = world_record(&key, &who, 9, world_wall(w), 86400);
    back->withdrawn = true;
    of_new.before = leave(w, back);
    of_new.sequence = 10;
    pass(w, 1800);
    assert_int_equal(give(w, &key, &of_old), 0);
    assert_int_equal(give(w, &key, &of_new), 0); /* nor is the withdrawal kept on by one */
    assert_int_equal(sequence_at(w, 0, &key), 0);
    assert_int_equal(stats(w).patched, 1);
    assert_int_equal(stats(w).refused[STOQ_DHT_NOT_HELD], 2);
    world_free(w);
}

/* Whoever signs anew all the time is told to wait, before any of it is checked. */
static void a_flood_of_patches_is_refused(void **state)
{
    struct world *w = world_new(1, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = publisher(1);
    struct gives g = {.sequence = 8};
    uint32_t taken = 0;
    (void)state;
    g.before = leave(w, world_record(&key, &who, 7, world_wall(w), 86400));
    for (uint32_t i = 0; i < 2 * STOQ_DHT_PUBLISHER_BURST; i++) {
        struct stoq_dht_record *r = world_record(&key, &who, g.sequence, world_wall(w), 86400);
        uint64_t next = r->digest;
        stoq_dht_record_drop(r);
        uint8_t kept = give(w, &key, &g);
        assert_true(kept == 10 || kept == STOQ_DHT_PATCH_BUSY);
        if (kept == 10) {
            taken++;
            g.before = next;
            g.sequence++;
        }
    }
    struct stoq_dht_stats s = stats(w);
    assert_int_equal(taken, STOQ_DHT_PUBLISHER_BURST - 1); /* the first was a record */
    assert_int_equal(s.signatures, 1 + taken);
    assert_int_equal(s.refused[STOQ_DHT_RATE], STOQ_DHT_PUBLISHER_BURST + 1);
    pass(w, 900); /* in its time it costs nothing of that */
    assert_int_equal(give(w, &key, &g), 10);
    world_free(w);
}

static void what_a_sender_is_told(void **state)
{
    (void)state;
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_DONE, 1), 1);
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_DONE, 3600), 10);
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_DONE, STOQ_DHT_TTL_MAX_S), 240);
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_DONE, UINT32_MAX), STOQ_DHT_PATCH_BUSY - 1);
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_BUSY, 3600), STOQ_DHT_PATCH_BUSY);
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_STALE, 3600), 0);
    assert_int_equal(stoq_dht_patch_kept(STOQ_DHT_REJECTED, 3600), 0);
}

/* ---- the provider's side ---- */

#define DAY_S 86400u

static void add_keys(struct world *w, uint32_t node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = world_key(i);
        world_feed(w, node, &ev);
    }
    world_drain(w, node);
}

/* Somebody else than node 0 who has it. */
static uint32_t holder_of(struct world *w, const struct stoq_hash *key)
{
    uint32_t node = 1;
    while (sequence_at(w, node, key) == 0) {
        node++;
        assert_true(node < w->count);
    }
    return node;
}

static void records_are_signed_anew_by_patches(void **state)
{
    enum { KEYS = 300 };
    struct world *w = world_new(24, 3);
    struct stoq_hash key = world_key(0);
    (void)state;
    add_keys(w, 0, KEYS);
    pass(w, 60);
    assert_int_equal(stats(w).own_held, KEYS);
    uint32_t stores = w->stores;
    uint32_t holder = holder_of(w, &key);
    uint64_t first = sequence_at(w, holder, &key);
    pass(w, DAY_S + DAY_S / 2);
    assert_int_equal(w->stores, stores); /* never whole again */
    assert_true(sequence_at(w, holder, &key) > first);
    assert_int_equal(stats(w).own_held, KEYS);
    assert_true(w->patched >= KEYS * (STOQ_DHT_K - 1) && w->patched <= KEYS * 23);
    assert_int_equal(stats(w).anew, w->patched);
    assert_int_equal(stats(w).sent, stores);
    /* Most of them are full. */
    assert_true(w->patches <= w->patched / STOQ_DHT_PATCH_MAX + 23 * 8);
    uint64_t patched = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        patched += stats_of(w, i).patched;
        assert_int_equal(stats_of(w, i).refused[STOQ_DHT_NOT_HELD], 0);
    }
    assert_int_equal(patched, w->patched);
    for (uint32_t i = 0; i < KEYS; i += 20) {
        key = world_key(i);
        assert_true(world_holders(w, &key) >= STOQ_DHT_K);
    }
    world_free(w);
}

/* It begins anew, with nothing. */
static void lose(struct world *w, uint32_t node)
{
    struct world_node *n = &w->nodes[node];
    struct stoq_dht_config cfg = {.book = w->book,
                                  .id = n->id,
                                  .self = n->contact,
                                  .peer = n->peer,
                                  .seed = 9,
                                  .wall_s = WORLD_WALL};
    stoq_dht_free(n->dht);
    assert_int_equal(stoq_dht_new(&n->dht, &cfg), STOQ_OK);
}

/* Who has lost them, and who knows no patches. */
static void who_cannot_take_one_gets_it_whole(void **state)
{
    enum { KEYS = 50 };
    struct world *w = world_new(24, 3);
    (void)state;
    w->nodes[7].whole = true;
    add_keys(w, 0, KEYS);
    pass(w, 60);
    uint64_t anew_at = world_wall(w) + DAY_S;
    while (w->patches == 0 && world_wall(w) < anew_at) {
        lose(w, 5); /* again and again, so that it has none of them then */
        pass(w, 1000);
    }
    assert_true(w->patches > 0);
    pass(w, 7200);
    assert_true(stats_of(w, 5).refused[STOQ_DHT_NOT_HELD] > 0);
    assert_int_equal(stats_of(w, 7).patched, 0);
    assert_true(stats(w).anew < w->patched);
    uint32_t has = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct stoq_hash key = world_key(i);
        uint64_t newest = sequence_at(w, holder_of(w, &key), &key);
        uint32_t truth[STOQ_DHT_K];
        uint32_t count = world_nearest(w, &key, truth, STOQ_DHT_K);
        for (uint32_t k = 0; k < count; k++) {
            if (truth[k] == 5 || truth[k] == 7) {
                assert_int_equal(sequence_at(w, truth[k], &key), newest);
                has++;
            }
        }
    }
    assert_true(has > KEYS);
    assert_int_equal(stats(w).own_held, KEYS);
    world_free(w);
}

/* How many of the nearest of each key have another record than node 0 said last. */
static uint32_t stale(struct world *w, uint32_t keys)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < keys; i++) {
        struct stoq_hash key = world_key(i);
        uint32_t truth[STOQ_DHT_K];
        uint64_t newest = 0;
        uint32_t count = world_nearest(w, &key, truth, STOQ_DHT_K);
        for (uint32_t k = 0; k < count; k++) {
            uint64_t its = sequence_at(w, truth[k], &key);
            newest = its > newest ? its : newest;
        }
        for (uint32_t k = 0; k < count; k++) {
            n += truth[k] != 0 && sequence_at(w, truth[k], &key) != newest;
        }
    }
    return n;
}

/* The record before is nearly over, and the next round half a day away. */
static void who_misses_a_patch_has_it_soon(void **state)
{
    enum { KEYS = 20 };
    struct world *w = world_new(24, 3);
    (void)state;
    add_keys(w, 0, KEYS);
    pass(w, 60);
    w->lost_patches = 1;
    uint64_t anew_at = world_wall(w) + DAY_S;
    while (w->lost_patches > 0 && world_wall(w) < anew_at) {
        pass(w, 10);
    }
    assert_int_equal(w->lost_patches, 0);
    pass(w, 30);
    assert_true(stale(w, KEYS) > 0); /* all have answered for themselves, but one */
    uint32_t stores = w->stores;
    uint32_t missed = stale(w, KEYS);
    pass(w, 400);
    assert_int_equal(stale(w, KEYS), 0);
    assert_int_equal(w->stores - stores, missed); /* and to nobody else */
    world_free(w);
}

/* A patch would not give what it says now. */
static void what_says_something_else_goes_whole(void **state)
{
    struct world *w = world_new(24, 3);
    struct stoq_hash key = world_key(3);
    (void)state;
    add_keys(w, 0, 10);
    pass(w, 60);
    uint32_t holder = holder_of(w, &key);
    uint64_t first = sequence_at(w, holder, &key);
    uint32_t stores = w->stores;
    w->changed = true;
    world_announce(w, 0, &key);
    assert_true(w->told.enough);
    assert_true(w->stores - stores >= STOQ_DHT_K - 1);
    assert_true(sequence_at(w, holder, &key) > first);
    assert_int_equal(w->patches, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_is_taken_as_the_record_would_be),
        cmocka_unit_test(what_was_kept_for_long_is_kept_for_longer),
        cmocka_unit_test(hostile_patches_change_nothing),
        cmocka_unit_test(every_defence_is_needed),
        cmocka_unit_test(what_was_taken_back_is_not_patched),
        cmocka_unit_test(a_flood_of_patches_is_refused),
        cmocka_unit_test(what_a_sender_is_told),
        cmocka_unit_test(records_are_signed_anew_by_patches),
        cmocka_unit_test(who_cannot_take_one_gets_it_whole),
        cmocka_unit_test(who_misses_a_patch_has_it_soon),
        cmocka_unit_test(what_says_something_else_goes_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
