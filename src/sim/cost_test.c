/* The table that the simulators live by is what the transport costs. */
#include "sim/cost_harness.h"
#include "sim/dht_run.h"
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void show(const char *who, const struct sim_cost *c)
{
    print_message("# %-8s %u %% of a round trip; asker %u datagrams, %u bytes; asked %u, %u\n", who,
                  c->rtt_percent, c->asker.datagrams, c->asker.bytes, c->asked.datagrams,
                  c->asked.bytes);
}

static void the_table_is_what_exchanges_cost(void **state)
{
    (void)state;
    for (int kind = 0; kind < SIM_COSTS; kind++) {
        struct sim_cost measured;
        cost_measure((enum sim_cost_kind)kind, &measured);
        const char *off = cost_off(sim_cost((enum sim_cost_kind)kind), &measured);
        if (off != NULL) {
            print_message("# %s: %s\n", sim_cost_name((enum sim_cost_kind)kind), off);
            show("table", sim_cost((enum sim_cost_kind)kind));
            show("measured", &measured);
        }
        assert_null(off);
    }
}

static uint32_t *figure(struct sim_cost *c, int i)
{
    uint32_t *all[] = {&c->rtt_percent, &c->asker.datagrams, &c->asker.bytes, &c->asked.datagrams,
                       &c->asked.bytes};
    return all[i];
}

/* A table in which one figure is 11 % more or less than it is measured is refused. */
static void a_figure_that_is_off_is_noticed(void **state)
{
    (void)state;
    for (int kind = 0; kind < SIM_COSTS; kind++) {
        struct sim_cost measured;
        cost_measure((enum sim_cost_kind)kind, &measured);
        struct sim_cost table = measured;
        assert_null(cost_off(&table, &measured));
        for (int i = 0; i < 5; i++) {
            uint32_t is = *figure(&measured, i);
            *figure(&table, i) = (is * 111 + 99) / 100;
            assert_non_null(cost_off(&table, &measured));
            *figure(&table, i) = is * 100 / 111;
            assert_non_null(cost_off(&table, &measured));
            *figure(&table, i) = is;
        }
    }
}

/* Sanitizers make some work dearer than other work: no proportion holds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* True: all are in the proportion to the unit that the table says, a tenth off at most where the machine is
 * as the table's was; elsewhere half. */
static bool in_proportion(const struct cost_times *t, bool is_same)
{
    for (int kind = 0; kind < SIM_COSTS; kind++) {
        const struct sim_cost *c = sim_cost((enum sim_cost_kind)kind);
        const stoq_ns want[] = {cost_expected(c->asker.cpu_ns, t->unit),
                                cost_expected(c->asked.cpu_ns, t->unit)};
        const stoq_ns is[] = {t->asker[kind], t->asked[kind]};
        for (int side = 0; side < 2; side++) {
            bool is_off = is_same ? cost_is_off(want[side], is[side])
                                  : is[side] * 3 > want[side] * 5 || want[side] * 3 > is[side] * 5;
            if (is_off) {
                print_message("# %s, side %d: %llu ns, the table says %llu\n",
                              sim_cost_name((enum sim_cost_kind)kind), side,
                              (unsigned long long)is[side], (unsigned long long)want[side]);
                return false;
            }
        }
    }
    return true;
}

/*
 * Other work on the machine makes runs longer, and none shorter: the least of them come closer to the truth
 * the more there are, so it goes on until they fit, and what truly changed never does. But a neighbour on the
 * same core makes everything dearer all the time, and not everything as much; so a tenth is asked for where
 * the unit is what it was when the table was taken, to a tenth, and half elsewhere.
 */
static void processor_time_is_in_proportion(void **state)
{
    struct cost_times t;
    bool is_same_kind = cost_is_same_processor();
    (void)state;
    if (SANITIZED) {
        return;
    }
    cost_times_init(&t);
    bool fits = false;
    for (int tries = 0; tries < 80 && !fits; tries++) {
        cost_time(&t, 5);
        fits = in_proportion(&t, is_same_kind && !cost_is_off(SIM_COST_UNIT_NS, t.unit));
    }
    assert_true(fits);
    for (int kind = 0; kind < SIM_COSTS; kind++) {
        uint64_t is = t.asked[kind];
        assert_true(cost_is_off(is * 111 / 100, is) && cost_is_off(is * 100 / 111, is));
    }
}

/* One who fetches a small package from one: dial, Hello and opening, chunks. */
static struct sim_result *fetch(enum sim_cost_kind dial, stoq_ns rtt)
{
    struct sim_config cfg = {.seed = 1,
                             .fetchers = 1,
                             .package_bytes = 16384,
                             .up_bytes_per_s = 100000000,
                             .down_bytes_per_s = 100000000,
                             .rtt_ns = rtt,
                             .dial = dial};
    struct sim_result *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(sim_run(&cfg, r), STOQ_OK);
    assert_int_equal(r->finished, 1);
    return r;
}

/* The swarm's simulator dials by the table: its round trips, and its processor time. */
static void a_simulated_dial_costs_that(void **state)
{
    (void)state;
    struct sim_cost cold = sim_cost_dial(SIM_COST_COLD);
    struct sim_cost resumed = sim_cost_dial(SIM_COST_RESUMED);
    struct sim_result *near = fetch(SIM_COST_COLD, 1000);
    struct sim_result *far = fetch(SIM_COST_COLD, 200 * STOQ_MS + 1000);
    struct sim_result *again = fetch(SIM_COST_RESUMED, 1000);
    stoq_ns trips = far->last_ns - near->last_ns;
    assert_int_equal((trips + 100 * STOQ_MS) / (200 * STOQ_MS), cold.rtt_percent / 100 + 2);
    assert_in_range(trips % (200 * STOQ_MS), 0, 2 * STOQ_MS);
    stoq_ns saved = sim_cost_cpu(&cold, false) + sim_cost_cpu(&cold, true) -
                    sim_cost_cpu(&resumed, false) - sim_cost_cpu(&resumed, true);
    assert_int_equal(near->last_ns - again->last_ns, saved);
    free(near);
    free(far);
    free(again);
}

/* And the DHT's its calls: their bytes, and the handshakes of a network where each call makes one. */
static void simulated_calls_cost_that(void **state)
{
    struct sim_dht_config cfg = {
        .seed = 1, .nodes = 100, .warm_ns = 310 * STOQ_SEC, .keys = 10, .finds = 100};
    struct sim_dht_result by[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        cfg.by = i == 0 ? SIM_COST_DATAGRAM : SIM_COST_COLD;
        assert_int_equal(sim_dht_run(&cfg, &by[i]), STOQ_OK);
        assert_int_equal(by[i].found, 100);
    }
    assert_true(by[1].find.p50 > by[0].find.p50 * 17 / 10);
    uint64_t find = sim_cost_line_bytes(&sim_cost(SIM_COST_FIND)->asker);
    uint64_t cold = sim_cost_line_bytes(&sim_cost(SIM_COST_COLD)->asker);
    assert_true(by[0].bytes > by[0].find_calls * find);
    assert_true(by[1].bytes > by[0].bytes * cold / find / 2);
    cfg.by = SIM_COST_STREAM;
    assert_int_equal(sim_dht_run(&cfg, &by[0]), STOQ_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_what_exchanges_cost),
        cmocka_unit_test(a_figure_that_is_off_is_noticed),
        cmocka_unit_test(processor_time_is_in_proportion),
        cmocka_unit_test(a_simulated_dial_costs_that),
        cmocka_unit_test(simulated_calls_cost_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
