/*
 * Worlds of some dozen nodes: what is promised of every run, and that a fault of ours is noticed. The
 * long ones are those of `make sim`.
 */
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sim_result *run(struct sim_config cfg)
{
    struct sim_result *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(sim_run(&cfg, r), STOQ_OK);
    if (r->faults > 0 && cfg.canary == SIM_CANARY_NONE) {
        fail_msg("seed %llu: %s", (unsigned long long)cfg.seed, r->fault);
    }
    return r;
}

/* Everything at once: churn, loss, NAT, regions, a liar. */
static struct sim_config rough(uint64_t seed)
{
    return (struct sim_config){.seed = seed,
                               .seeds = 4,
                               .fetchers = 16,
                               .package_bytes = 2 * STOQ_MIB,
                               .loss_ppm = 10000,
                               .arrive_within_ns = 5 * STOQ_SEC,
                               .law = SIM_LAW_FLAPPING,
                               .nat = true,
                               .kinds = {[SIM_LIE] = 1}};
}

static uint64_t trace_of(struct sim_config cfg)
{
    struct sim_result *r = run(cfg);
    uint64_t trace = r->trace;
    free(r);
    return trace;
}

static void same_seed_same_trace(void **state)
{
    uint64_t first = trace_of(rough(3));
    assert_true(first == trace_of(rough(3)));
    assert_true(first != trace_of(rough(4)));
    (void)state;
}

/* One draw, early or late; some change what happens, not only the hash of the draws. */
static void one_flipped_draw_changes_the_trace(void **state)
{
    struct sim_config cfg = rough(5);
    struct sim_result *plain = run(cfg);
    uint32_t differ = 0;
    for (cfg.flip_draw = 1; cfg.flip_draw < 2000; cfg.flip_draw += 111) {
        struct sim_result *r = run(cfg);
        assert_true(r->trace != plain->trace);
        differ += r->last_ns != plain->last_ns || r->events != plain->events;
        free(r);
    }
    assert_true(differ > 0);
    free(plain);
    (void)state;
}

static void rough_worlds_hold(void **state)
{
    for (uint64_t seed = 10; seed < 22; seed++) {
        struct sim_result *r = run(rough(seed));
        assert_int_equal(r->finished, 16);
        assert_true(r->bad_of_one_max <= 1);
        free(r);
    }
    (void)state;
}

static void half_of_the_world_is_cut_off(void **state)
{
    struct sim_config cfg = {.seed = 6,
                             .seeds = 2,
                             .fetchers = 12,
                             .package_bytes = 4 * STOQ_MIB,
                             .up_bytes_per_s = 1000000,
                             .partition_at = 3 * STOQ_SEC,
                             .partition_for = 8 * STOQ_SEC};
    struct sim_result *r = run(cfg);
    assert_int_equal(r->finished, 12);
    free(r);
    (void)state;
}

/* The codec changes nothing but the size of what is no payload. */
static void deep_and_wide_agree(void **state)
{
    struct sim_config cfg = {.seed = 7,
                             .seeds = 3,
                             .fetchers = 1,
                             .package_bytes = 3 * STOQ_MIB,
                             .up_bytes_per_s = 2000000,
                             .down_bytes_per_s = 5000000,
                             .rtt_ns = 10 * STOQ_MS,
                             .kinds = {[SIM_LIE] = 1}};
    struct sim_result *wide = run(cfg);
    cfg.width = SIM_DEEP;
    struct sim_result *deep = run(cfg);
    assert_true(deep->last_ns < wide->last_ns + wide->last_ns / 20);
    assert_true(wide->last_ns < deep->last_ns + deep->last_ns / 20);
    assert_int_equal(deep->bad_chunks, 1);
    assert_int_equal(wide->bad_chunks, 1);
    free(wide);
    cfg.fetchers = 4; /* who trade with one another */
    free(deep);
    deep = run(cfg);
    assert_int_equal(deep->finished, 4);
    assert_true(deep->bad_of_one_max <= 1);
    free(deep);
    (void)state;
}

static struct sim_config four_sources(uint64_t seed)
{
    return (struct sim_config){.seed = seed,
                               .seeds = 3,
                               .fetchers = 1,
                               .package_bytes = 32 * STOQ_MIB,
                               .up_bytes_per_s = 2000000,
                               .down_bytes_per_s = 20000000,
                               .rtt_ns = 20 * STOQ_MS,
                               .fault_at = 2 * STOQ_SEC};
}

/* Three honest sources and one that is not, or one of each: no more than a fifth slower than the three
 * alone, and the liar is heard once. */
static void hostile_sources_cost_little(void **state)
{
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct sim_config cfg = four_sources(seed);
        struct sim_result *alone = run(cfg);
        for (int kind = SIM_STALL; kind <= SIM_KINDS; kind++) {
            struct sim_config bad = cfg;
            for (int k = SIM_STALL; k < SIM_KINDS; k++) {
                bad.kinds[k] = kind == k || kind == SIM_KINDS ? 1 : 0;
                bad.seeds += bad.kinds[k];
            }
            struct sim_result *r = run(bad);
            assert_int_equal(r->finished, 1);
            assert_true(r->last_ns <= alone->last_ns + alone->last_ns / 5);
            assert_true(r->bad_chunks <= 1);
            assert_true(r->bad_chunks == 1 || bad.kinds[SIM_LIE] == 0);
            free(r);
        }
        free(alone);
    }
    (void)state;
}

static void every_canary_is_noticed(void **state)
{
    struct sim_config cfg = four_sources(2);
    cfg.kinds[SIM_LIE] = 1;
    cfg.fetchers = 3;
    cfg.fault_at = 0;
    for (int canary = SIM_CANARY_NONE; canary < SIM_CANARIES; canary++) {
        cfg.canary = (enum sim_canary)canary;
        struct sim_result *r = run(cfg);
        assert_true((r->faults > 0) == (canary != SIM_CANARY_NONE));
        free(r);
    }
    (void)state;
}

/* Draws of the laws and of lines keep to what the tables say. */
static void models_have_their_medians(void **state)
{
    stoq_ns median = sim_law_draw(SIM_LAW_IPFS, UINT64_C(1) << 63);
    assert_in_range(median / STOQ_SEC, 7100, 7300); /* 2.0 h */
    median = sim_law_draw(SIM_LAW_DEBIAN, UINT64_C(1) << 63);
    assert_in_range(median / STOQ_SEC, 950, 980); /* 16 min */
    assert_true(sim_law_draw(SIM_LAW_ALWAYS, 1) == STOQ_NEVER);
    assert_true(sim_law_draw(SIM_LAW_IPFS, UINT64_MAX) > 80 * 3600 * STOQ_SEC);
    uint32_t servers = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        servers += sim_line_draw(i * 7919, i, i).access == SIM_ACCESS_SERVER;
    }
    assert_in_range(servers, 290, 310);
    for (uint32_t a = 0; a < SIM_REGIONS; a++) {
        for (uint32_t b = 0; b < SIM_REGIONS; b++) {
            assert_true(sim_region_rtt(a, b, 99) == sim_region_rtt(b, a, 99));
        }
    }
    (void)state;
}

static void senseless_worlds_are_refused(void **state)
{
    struct sim_result *r = calloc(1, sizeof *r);
    struct sim_config cfg = {.fetchers = 1};
    assert_int_equal(sim_run(&cfg, r), STOQ_RANGE);
    cfg = (struct sim_config){.fetchers = 1, .package_bytes = 1, .kinds = {[SIM_LIE] = 1}};
    assert_int_equal(sim_run(&cfg, r), STOQ_RANGE);
    free(r);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(one_flipped_draw_changes_the_trace),
        cmocka_unit_test(rough_worlds_hold),
        cmocka_unit_test(half_of_the_world_is_cut_off),
        cmocka_unit_test(deep_and_wide_agree),
        cmocka_unit_test(hostile_sources_cost_little),
        cmocka_unit_test(every_canary_is_noticed),
        cmocka_unit_test(models_have_their_medians),
        cmocka_unit_test(senseless_worlds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
