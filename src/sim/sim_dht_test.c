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
    struct sim_dht_config cfg = {.seed = 4,
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
    assert_int_equal(r.lookups, 200);
    assert_true(r.exact >= 198);
    assert_int_equal(r.enough, 20);
    assert_int_equal(r.found, 200);
    assert_int_equal(r.untrue, 0);
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
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(foes_hide_nothing),
        cmocka_unit_test(many_packages_share_lookups),
        cmocka_unit_test(worlds_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
