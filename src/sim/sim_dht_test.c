/* The DHT in the simulator, as small as still tells something; tools/sim-dht runs the large worlds. */
#include "sim/dht_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sim_dht_result run(const struct sim_dht_config *cfg)
{
    struct sim_dht_result r;
    assert_int_equal(sim_dht_run(cfg, &r), STOQ_OK);
    return r;
}

static void lookups_find_the_true_nearest_among_the_dead(void **state)
{
    struct sim_dht_config cfg = {.seed = 5, /* who looks stays until the end of it */
                                 .nodes = 250,
                                 .law = SIM_LAW_IPFS,
                                 .warm_ns = 300 * STOQ_SEC,
                                 .dead_percent = 15, /* and 5 who left of late */
                                 .lookups = 200,
                                 .keys = 20,
                                 .finds = 200,
                                 .loss_ppm = 10000};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_true(r.contacts_dead * 100 >= r.contacts * 12); /* the dead are in the tables */
    assert_true(r.resent > 0);
    assert_int_equal(r.lookups, 200);
    assert_true(r.exact >= 198);
    assert_int_equal(r.enough, 20);
    assert_int_equal(r.found, 200);
    assert_int_equal(r.untrue, 0);
}

/* As net/rpc_test has the transport do it: at 0, 0.25, 0.75 and 1.75 s, and after 2 s no more. The two calls
 * of a lookup that come behind go once each: as many go again as there are calls. */
static void what_nobody_answers_goes_four_times(void **state)
{
    struct sim_dht_config cfg = {.seed = 3,
                                 .nodes = 25,
                                 .is_still = true,
                                 .warm_ns = 250 * STOQ_SEC,
                                 .dead_percent = 90,
                                 .lookups = 5};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_int_equal(r.lookups, 5);
    assert_true(r.silent > 20);
    assert_true(r.resent >= r.silent);
    assert_true(r.resent >= r.calls * 8 / 10);
    assert_true(r.resent <= r.calls);
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    struct sim_dht_config cfg = {.seed = 9,
                                 .nodes = 25,
                                 .law = SIM_LAW_FLAPPING,
                                 .warm_ns = 260 * STOQ_SEC,
                                 .lookups = 20,
                                 .keys = 5,
                                 .finds = 20,
                                 .loss_ppm = 10000};
    struct sim_dht_result first = run(&cfg);
    struct sim_dht_result second = run(&cfg);
    (void)state;
    assert_true(first.came > 25); /* some left, and others came */
    assert_true(first.trace == second.trace);
    cfg.flip_draw = 500;
    second = run(&cfg);
    assert_true(first.trace != second.trace);
    cfg.flip_draw = 0;
    cfg.seed = 10;
    second = run(&cfg);
    assert_true(first.trace != second.trace);
}

/* Sybils all around a key do not hide it, nor does a fifth of the nodes that lies. */
static void foes_hide_nothing(void **state)
{
    struct sim_dht_config cfg = {.seed = 6,
                                 .nodes = 300,
                                 .warm_ns = 310 * STOQ_SEC,
                                 .keys = 1,
                                 .finds = 200,
                                 .per_s = 50,
                                 .loss_ppm = 10000,
                                 .foe = SIM_DHT_FOE_SYBILS,
                                 .sybils = 50};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_int_equal(r.finds, 200);
    assert_int_equal(r.found, 200);
    cfg.foe = SIM_DHT_FOE_POISON;
    cfg.foe_percent = 20;
    cfg.keys = 40;
    r = run(&cfg);
    assert_int_equal(r.found, 200);
    assert_int_equal(r.untrue, 0);
    assert_true(r.foes > 40); /* in tables 1.2 times their share at most */
    assert_true(r.contacts_foe * 10 * (r.foes + r.others) <= r.contacts * 12 * r.foes);
}

/* 200 ids made for one key: sixteen of them are believed, and what they withhold others hold. */
static void a_crowd_is_seen_for_what_it_is(void **state)
{
    struct sim_dht_config cfg = {.seed = 6,
                                 .nodes = 200,
                                 .warm_ns = 310 * STOQ_SEC,
                                 .keys = 1,
                                 .finds = 50,
                                 .per_s = 50,
                                 .loss_ppm = 10000,
                                 .foe = SIM_DHT_FOE_SYBILS,
                                 .sybils = 200};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_int_equal(r.finds, 50);
    assert_int_equal(r.found, 50);
    cfg.without = STOQ_DHT_NO_CROWD;
    r = run(&cfg);
    assert_true(r.found < 25);
}

static struct sim_dht_config forgers(void)
{
    return (struct sim_dht_config){.seed = 5,
                                   .nodes = 80,
                                   .warm_ns = 260 * STOQ_SEC,
                                   .keys = 5,
                                   .finds = 100,
                                   .per_s = 50,
                                   .foe = SIM_DHT_FOE_FORGERS,
                                   .foe_percent = 20};
}

/* Records in which one thing is wrong, each beside a twin in which nothing is, that was taken before. */
static void wrong_records_get_nowhere(void **state)
{
    struct sim_dht_config cfg = forgers();
    struct sim_dht_result r = run(&cfg);
    (void)state;
    for (int i = SIM_DHT_FORGED; i < SIM_DHT_WRONGS; i++) {
        assert_true(r.attacks[i].sent >= 50);
        assert_int_equal(r.attacks[i].twins, r.attacks[i].sent);
        assert_int_equal(r.attacks[i].accepted, 0);
        /* Liars may tell of a record that was good not long ago; who holds the newer one never does. */
        assert_true(r.attacks[i].returned == 0 || i == SIM_DHT_REPLAYED);
    }
    assert_int_equal(r.found, 100);
    assert_int_equal(r.untrue, 0);
    const struct sim_dht_attack *a = r.attacks;
    assert_true(a[SIM_DHT_FORGED].answered > 0 && a[SIM_DHT_EXPIRED].answered > 0 &&
                a[SIM_DHT_WRONG_KEY].answered > 0);
    assert_true(r.refused[STOQ_DHT_FORGED] >= a[SIM_DHT_FORGED].sent);
    /* One of another key may be its publisher's who has a newer one of this key there. */
    assert_true(r.refused[STOQ_DHT_FORGED] + r.refused[STOQ_DHT_OLD] >=
                a[SIM_DHT_FORGED].sent + a[SIM_DHT_WRONG_KEY].sent + a[SIM_DHT_REPLAYED].sent);
    assert_true(r.refused[STOQ_DHT_WRONG_TIME] >= a[SIM_DHT_EXPIRED].sent);
    assert_true(r.refused[STOQ_DHT_NOT_THERE] >= a[SIM_DHT_THIRD_PARTY].sent);
    assert_true(r.refused[STOQ_DHT_NOT_PROVEN] >= a[SIM_DHT_UNPROVEN].sent);
    assert_true(r.bad_answers > 0);
}

/* Each check taken out lets in what it is there for, and nothing else does. */
static void each_check_is_what_refuses(void **state)
{
    static const struct {
        enum stoq_dht_without without;
        enum sim_dht_wrong wrong;
    } cases[] = {
        {STOQ_DHT_NO_SIGNATURE, SIM_DHT_FORGED},    {STOQ_DHT_NO_ORDER, SIM_DHT_REPLAYED},
        {STOQ_DHT_NO_CLOCK, SIM_DHT_EXPIRED},       {STOQ_DHT_NO_PROOF, SIM_DHT_THIRD_PARTY},
        {STOQ_DHT_NO_SIGNATURE, SIM_DHT_WRONG_KEY}, {STOQ_DHT_NO_KEY, SIM_DHT_WRONG_KEY},
        {STOQ_DHT_NO_TOKEN, SIM_DHT_UNPROVEN},
    };
    (void)state;
    for (unsigned i = 0; i < STOQ_COUNT(cases); i++) {
        struct sim_dht_config cfg = forgers();
        cfg.without = cases[i].without;
        struct sim_dht_result r = run(&cfg);
        const struct sim_dht_attack *a = &r.attacks[cases[i].wrong];
        assert_true(a->accepted + a->returned > 0);
    }
}

/* A hundred thousand nodes of which only those cost something that lookups meet. With twenty contacts to an
 * answer a lookup hears of more than it can keep in mind: the near ones are not what it forgets. */
static void still_nodes_are_made_when_they_are_needed(void **state)
{
    struct sim_dht_config cfg = {.seed = 3,
                                 .nodes = 100000,
                                 .is_still = true,
                                 .candidates = 4,
                                 .room = 20,
                                 .warm_ns = 250 * STOQ_SEC,
                                 .dead_percent = 10,
                                 .lookups = 10,
                                 .keys = 3,
                                 .finds = 20,
                                 .loss_ppm = 10000};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_int_equal(r.exact, 10);
    assert_int_equal(r.found, 20);
    assert_true(r.live < 91000 && r.live > 89000);
    assert_true(r.cores > 30 && r.cores < 1000);
}

/* As the Kademlia paper has it, to compare with such networks: K holders, where ours leaves a record with
 * everybody within the radius; and lookups that end with the first record. */
static void a_plain_network_is_plain(void **state)
{
    struct sim_dht_config cfg = {.seed = 7,
                                 .nodes = 2000,
                                 .is_still = true,
                                 .room = 20,
                                 .warm_ns = 250 * STOQ_SEC,
                                 .keys = 10,
                                 .finds = 40};
    (void)state;
    struct sim_dht_result ours = run(&cfg);
    cfg.shape.plain = true;
    struct sim_dht_result plain = run(&cfg);
    assert_true(plain.found == 40 && ours.found == 40);
    assert_true(plain.got <= 10 * STOQ_DHT_K && ours.got > plain.got);
    assert_true(plain.find_calls * 3 < ours.find_calls * 2);
}

static void add_path(void *user, uint32_t a, uint32_t b, stoq_ns rtt)
{
    (void)a;
    (void)b;
    *(stoq_ns *)user += rtt;
}

/* Another world on the same paths. */
static void ids_are_drawn_apart(void **state)
{
    stoq_ns paths[2] = {0};
    uint64_t traces[2];
    (void)state;
    for (uint64_t i = 0; i < 2; i++) {
        struct sim_dht_config cfg = {.seed = 3,
                                     .nodes = 40,
                                     .warm_ns = 60 * STOQ_SEC,
                                     .lookups = 10,
                                     .ids = i,
                                     .path = add_path,
                                     .user = &paths[i]};
        struct sim_dht_result r = run(&cfg);
        traces[i] = r.trace;
    }
    assert_int_equal(paths[0], paths[1]);
    assert_true(paths[0] > 0 && traces[0] != traces[1]);
}

/* Who comes back has what he held: some of the holders are there after a while. */
static void who_comes_back_has_what_he_held(void **state)
{
    struct sim_dht_config cfg = {.seed = 3,
                                 .nodes = 60,
                                 .law = SIM_LAW_FLAPPING,
                                 .is_returning = true,
                                 .warm_ns = 600 * STOQ_SEC,
                                 .keys = 5,
                                 .survive_ns = 1200 * STOQ_SEC};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_int_equal(r.came, 60);
    assert_true(r.live < 60 && r.live > 10);
    assert_true(r.survived * 10 > r.holding && r.survived < r.holding);
}

/* A node with many packages that is killed on the way: few lookups, and what it keeps is what somebody would
 * tell it to keep who sees everybody. */
static void many_packages_share_lookups(void **state)
{
    struct sim_dht_config cfg = {.seed = 3,
                                 .nodes = 200,
                                 .warm_ns = 100 * STOQ_SEC,
                                 .packages = 2000,
                                 .kill_percent = 60,
                                 .save_ns = 5 * STOQ_SEC};
    struct sim_dht_result r = run(&cfg);
    (void)state;
    assert_true(r.bulk_lookups * 100 <= 5 * 2000);
    assert_int_equal(r.bulk_kept_right, 2000);
    assert_true(r.bulk_at_kill >= 1200);
    assert_true(r.bulk_tenth_ns[4] > r.bulk_tenth_ns[1]); /* progress was told */
}

static void worlds_that_make_no_sense_are_refused(void **state)
{
    struct sim_dht_result r;
    struct sim_dht_config none = {.seed = 1};
    struct sim_dht_config finds = {.seed = 1, .nodes = 5, .finds = 1};
    (void)state;
    assert_int_equal(sim_dht_run(&none, &r), STOQ_RANGE);
    assert_int_equal(sim_dht_run(&finds, &r), STOQ_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_find_the_true_nearest_among_the_dead),
        cmocka_unit_test(what_nobody_answers_goes_four_times),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(foes_hide_nothing),
        cmocka_unit_test(a_crowd_is_seen_for_what_it_is),
        cmocka_unit_test(wrong_records_get_nowhere),
        cmocka_unit_test(each_check_is_what_refuses),
        cmocka_unit_test(still_nodes_are_made_when_they_are_needed),
        cmocka_unit_test(a_plain_network_is_plain),
        cmocka_unit_test(ids_are_drawn_apart),
        cmocka_unit_test(who_comes_back_has_what_he_held),
        cmocka_unit_test(many_packages_share_lookups),
        cmocka_unit_test(worlds_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
