#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Everybody ends, and no checker finds anything. */
static struct sim_result *run_swarm(const struct sim_config *cfg)
{
    struct sim_result *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(sim_run(cfg, r), STOQ_OK);
    assert_int_equal(r->faults, 0);
    assert_int_equal(r->finished, cfg->fetchers);
    return r;
}

/* One seed, and 20 who want 64 MiB at once and know each other: nothing could be faster than the seed's
 * one copy, and it sends little more than that (1.09 to 1.13 copies with the seeds 1 to 3). */
static void a_swarm_shares(void **state)
{
    const struct sim_config cfg = {.seed = 2,
                                   .fetchers = 20,
                                   .package_bytes = 64 * STOQ_MIB,
                                   .up_bytes_per_s = 5000000,
                                   .down_bytes_per_s = 5000000,
                                   .rtt_ns = STOQ_MS};
    struct sim_result *r = run_swarm(&cfg);
    (void)state;
    assert_true(r->last_ns * 10 <= r->fluid_ns * 13);
    assert_true(r->bytes_seeds * 100 <= r->package_bytes * 120);
    assert_true(r->bytes_duplicate * 100 <= r->package_bytes * 20);
    assert_int_equal(r->served_early, 20);
    free(r);
}

/* A hundred who know the seed and 29 others: what one asks for the seed has not sent to another just now. */
static void a_seed_sends_each_chunk_to_one_of_a_hundred(void **state)
{
    const struct sim_config cfg = {.seed = 1,
                                   .fetchers = 100,
                                   .neighbours = 30,
                                   .all_know_seeds = true,
                                   .package_bytes = 16 * STOQ_MIB,
                                   .up_bytes_per_s = 2000000,
                                   .down_bytes_per_s = 2000000,
                                   .rtt_ns = STOQ_MS};
    struct sim_result *r = run_swarm(&cfg);
    (void)state;
    assert_true(r->last_ns * 100 <= r->fluid_ns * 135);
    assert_true(r->bytes_seeds * 100 <= r->package_bytes * 120);
    free(r);
}

/* Small chunks, of which sixty want the lists at once, half a package's worth together: the seed sends a
 * few copies of them (1.32 to 1.34 of all; 1.85 where everybody has them from it). */
static void lists_spread_as_chunks_do(void **state)
{
    const struct sim_config cfg = {.seed = 1,
                                   .fetchers = 60,
                                   .neighbours = 20,
                                   .all_know_seeds = true,
                                   .package_bytes = 4 * STOQ_MIB,
                                   .chunk_bytes = 4096,
                                   .up_bytes_per_s = 1000000,
                                   .down_bytes_per_s = 1000000,
                                   .rtt_ns = STOQ_MS};
    struct sim_result *r = run_swarm(&cfg);
    (void)state;
    assert_true(r->last_ns * 100 <= r->fluid_ns * 150);
    assert_true(r->bytes_seeds * 100 <= r->package_bytes * 150);
    free(r);
}

/* Some who know the seed and nobody else share its line as equals, and it is never idle. (While each chunk
 * went to one of them first, the first of two was done after 0.55 of the time that the other took, and that
 * was 1.4 times as long as the line needs for both.) */
static void strangers_share_as_equals(void **state)
{
    static const uint32_t fetchers[] = {2, 3, 8};
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(fetchers); i++) {
        const struct sim_config cfg = {.seed = 1,
                                       .fetchers = fetchers[i],
                                       .neighbours = 1,
                                       .all_know_seeds = true,
                                       .package_bytes = 16 * STOQ_MIB,
                                       .up_bytes_per_s = 4000000,
                                       .down_bytes_per_s = 100000000,
                                       .rtt_ns = STOQ_MS};
        struct sim_result *r = run_swarm(&cfg);
        stoq_ns line = r->package_bytes * fetchers[i] * 1000 / cfg.up_bytes_per_s * STOQ_MS;
        assert_true(r->last_ns * 100 <= line * 102);
        assert_true(r->median_ns * 100 >= r->last_ns * 85);
        assert_true(fetchers[i] > 2 || r->first_ns * 100 >= r->last_ns * 85);
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_swarm_shares),
        cmocka_unit_test(a_seed_sends_each_chunk_to_one_of_a_hundred),
        cmocka_unit_test(lists_spread_as_chunks_do),
        cmocka_unit_test(strangers_share_as_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
