/* A leg deals what it was asked to, in virtual time; each bound is shown to fail for another leg. */
#include "leg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 200000
#define BYTES 1452

struct left {
    stoq_ns at;
    stoq_ns arrived_at;
    struct leg_verdict v;
};

static int by_time(const void *a, const void *b)
{
    const struct left *x = a;
    const struct left *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* count datagrams, one every gap; what passes leaves when the leg said. */
static void run(struct leg *leg, const char *text, uint64_t seed, size_t count, stoq_ns gap)
{
    struct leg_spec spec = {0};
    char why[128];
    struct left *left = calloc(2 * count, sizeof *left);
    size_t n = 0;
    assert_non_null(left);
    assert_true(leg_spec_parse(&spec, text, why));
    leg_init(leg, &spec, seed);
    for (size_t i = 0; i < count; i++) {
        stoq_ns now = STOQ_SEC + i * gap;
        struct leg_verdict v = leg_feed(leg, BYTES, now);
        for (unsigned k = 0; v.fate == LEG_PASSES && k < v.copies; k++) {
            left[n++] = (struct left){v.leaves_at, now, v};
        }
    }
    qsort(left, n, sizeof *left, by_time);
    for (size_t i = 0; i < n; i++) {
        leg_left(leg, &left[i].v, BYTES, left[i].arrived_at, left[i].at);
    }
    free(left);
}

static bool within(double is, double wanted, double share)
{
    return is >= wanted * (1 - share) && is <= wanted * (1 + share);
}

static uint64_t runs_of(const struct leg *leg)
{
    uint64_t n = 0;
    for (size_t i = 1; i <= LEG_RUNS_MAX; i++) {
        n += leg->counts.loss_runs[i];
    }
    return n;
}

static void losses_alone(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "loss=1%", 7, COUNT, 1000);
    assert_int_equal(leg.counts.in, COUNT);
    assert_int_equal(leg.counts.lost + leg.counts.out, COUNT);
    assert_true(within((double)leg.counts.lost, 0.01 * COUNT, 0.08)); /* 3.5 sigma */
    /* Runs of n + 1 are a hundredth of those of n. */
    assert_true(within((double)leg.counts.loss_runs[1], 0.99 * 0.99 * 0.01 * COUNT, 0.08));
    assert_true(leg.counts.loss_runs[2] > 5 && leg.counts.loss_runs[2] < 40);
    assert_int_equal(leg.counts.loss_runs[5], 0);
    run(&leg, "loss=1.2%", 7, COUNT, 1000);
    assert_false(within((double)leg.counts.lost, 0.01 * COUNT, 0.08));
}

static void losses_in_runs(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "loss=5%,run=4", 3, COUNT, 1000);
    double mean = (double)leg.counts.lost / (double)runs_of(&leg);
    assert_true(within((double)leg.counts.lost, 0.05 * COUNT, 0.1));
    assert_true(within(mean, 4, 0.1));
    run(&leg, "loss=5%", 3, COUNT, 1000);
    assert_false(within((double)leg.counts.lost / (double)runs_of(&leg), 4, 0.1));
}

static void rate_and_queue(void **state)
{
    static struct leg leg;
    (void)state;
    stoq_ns gap = (stoq_ns)BYTES * 8 * STOQ_SEC / 150000000; /* 150 Mbit/s come, 100 pass */
    run(&leg, "rate=100mbit,queue=100k", 1, 12000, gap);
    assert_true(within((double)leg_rate_bits_per_s(&leg), 100e6, 0.002));
    assert_true(within((double)leg.counts.queue_full, 4000, 0.03));
    /* 100 KiB at 100 Mbit/s are 8.2 ms; a full queue is what most find. */
    assert_true(leg.counts.delay_max_ns <= 102400ull * 80 + 1);
    assert_true(leg_delay_ns(&leg, 500) >= 8 * STOQ_MS);
    run(&leg, "rate=200mbit,queue=100k", 1, 12000, gap);
    assert_int_equal(leg.counts.queue_full, 0);
    assert_true(leg.counts.delay_max_ns <= (stoq_ns)BYTES * 8 * STOQ_SEC / 200000000 + 1);
}

static void burst_passes_at_once(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "rate=8mbit,burst=14520,queue=1m", 1, 20, 0);
    /* Ten fit into the bucket (that it is full is what a second of rest did), then 1.452 ms each. */
    assert_int_equal(leg.counts.delay_min_ns, 0);
    assert_true(leg_delay_ns(&leg, 500) < 20);
    assert_int_equal(leg.counts.delay_max_ns, 10 * 1452000);
}

static void delay_and_jitter(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "delay=50ms,jitter=10ms", 5, COUNT, 100000);
    assert_int_equal(leg.counts.out, COUNT);
    assert_true(leg.counts.delay_min_ns >= 50 * STOQ_MS);
    assert_true(leg.counts.delay_min_ns < 51 * STOQ_MS);
    assert_true(leg.counts.delay_max_ns > 59 * STOQ_MS);
    assert_true(leg.counts.delay_max_ns <= 60 * STOQ_MS);
    assert_true(within((double)leg_delay_ns(&leg, 500), 56e6, 0.04));
    assert_int_equal(leg.counts.overtaken, 0);
    run(&leg, "delay=50ms", 5, 1000, 100000);
    assert_int_equal(leg.counts.delay_min_ns, 50 * STOQ_MS);
    assert_int_equal(leg.counts.delay_max_ns, 50 * STOQ_MS);
}

static void some_are_overtaken(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "delay=10ms,reorder=2%,by=3ms", 9, COUNT, 100000);
    assert_true(within((double)leg.counts.held_back, 0.02 * COUNT, 0.06));
    assert_int_equal(leg.counts.overtaken, leg.counts.held_back); /* 30 others pass in 3 ms */
    assert_int_equal(leg.counts.delay_max_ns, 13 * STOQ_MS);
    assert_int_equal(leg_delay_ns(&leg, 500) / STOQ_MS, 10);
}

static void some_come_twice(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "duplicate=3%", 9, COUNT, 1000);
    assert_true(within((double)leg.counts.duplicated, 0.03 * COUNT, 0.05));
    assert_int_equal(leg.counts.out, COUNT + leg.counts.duplicated);
}

static void large_ones_vanish(void **state)
{
    static struct leg leg;
    (void)state;
    run(&leg, "mtu=1452", 1, 100, 1000);
    assert_int_equal(leg.counts.out, 100);
    run(&leg, "mtu=1451", 1, 100, 1000);
    assert_int_equal(leg.counts.too_large, 100);
}

/* The order of losses as bits, whatever the times. */
static void fates(bool *out, uint64_t seed, stoq_ns gap)
{
    static struct leg leg;
    struct leg_spec spec = {0};
    char why[128];
    assert_true(leg_spec_parse(&spec, "loss=10%,jitter=5ms,delay=1ms,reorder=5%", why));
    leg_init(&leg, &spec, seed);
    for (size_t i = 0; i < 1000; i++) {
        out[i] = leg_feed(&leg, 100, i * gap).fate == LEG_LOST;
    }
}

static void same_seed_same_fates(void **state)
{
    bool a[1000];
    bool b[1000];
    (void)state;
    fates(a, 1, 1000);
    fates(b, 1, 777777);
    assert_memory_equal(a, b, sizeof a);
    fates(b, 2, 1000);
    assert_memory_not_equal(a, b, sizeof a);
}

static void specs_are_read_strictly(void **state)
{
    static const char *const bad[] = {"loss",        "loss=1",     "loss=100%", "delay=5",
                                      "delay=-1ms",  "rate=1mbps", "mtu=65536", "queue=1g",
                                      "jitter=1 ms", "lossy=1%",   "delay=",    "run=1%"};
    struct leg_spec spec = {0};
    char why[128];
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_false(leg_spec_parse(&spec, bad[i], why));
    }
    assert_true(leg_spec_parse(&spec, "delay=1.5ms,rate=1gbit,queue=256k,loss=0.5%,by=20us", why));
    assert_int_equal(spec.delay_ns, 1500000);
    assert_int_equal(spec.rate_bits_per_s, 1000000000);
    assert_int_equal(spec.queue_bytes, 262144);
    assert_int_equal(spec.loss_parts, LEG_PARTS / 200);
    assert_int_equal(spec.reorder_by_ns, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_alone),         cmocka_unit_test(losses_in_runs),
        cmocka_unit_test(rate_and_queue),       cmocka_unit_test(burst_passes_at_once),
        cmocka_unit_test(delay_and_jitter),     cmocka_unit_test(some_are_overtaken),
        cmocka_unit_test(some_come_twice),      cmocka_unit_test(large_ones_vanish),
        cmocka_unit_test(same_seed_same_fates), cmocka_unit_test(specs_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
