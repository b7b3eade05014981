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
        cmocka_unit_test(worlds_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
