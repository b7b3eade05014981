/* Equal chunks and fetches side by side; see node_world_test.h. Node 0 fetches. */
#include "node/node_world_test.h"

static struct world w;

static const stoq_peer one = 1;
static const stoq_peer two = 2;

/* The second fetch of node 0, of w.id. */
static void second_fetch(const stoq_peer *sources, uint32_t count)
{
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = 2, .id = w.id, .sources = sources, .source_count = count}};
    assert_int_equal(world_feed(&w, 0, ev), STOQ_OK);
}

static void second_runs_to_its_end(void)
{
    while (!w.at[0].second_done) {
        assert_true(world_step(&w));
    }
}

/* A package whose content repeats travels once. */
static void equal_chunks_are_asked_for_once(void **state)
{
    (void)state;
    static const struct {
        uint64_t chunks;
        uint64_t period;
    } cases[] = {{500, 1}, {500, 2}, {3000, 7}, {3000, 400}, {9000, 3000}, {20000, 5000}};
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        world_init(&w, 4, NULL);
        w.period = cases[i].period;
        world_publish(&w, 1, cases[i].chunks, 7, 0);
        world_copy(&w, 1, 2);
        world_fetch(&w, 0, &one, 1);
        (void)world_run(&w, 0);
        world_check_whole(&w, 0);
        assert_int_equal(w.at[1].chunks_sent, cases[i].period);
        assert_int_equal(w.at[0].report.chunks_from_peers, cases[i].period);
        assert_int_equal(w.at[0].report.bytes_new, w.at[0].report.bytes_from_peers);
        world_release(&w);
    }
}

/* Two callers want the same package: each chunk travels once. */
static void two_fetches_share(void **state)
{
    (void)state;
    for (uint64_t part = 0; part < 4; part++) {
        world_init(&w, 3, NULL);
        world_publish(&w, 1, 4000, 7, 0);
        world_copy(&w, 1, 2);
        world_fetch(&w, 0, &one, 1);
        if (part > 0) {
            world_run_to(&w, 0, 1, w.bytes * part / 4);
        }
        second_fetch(&two, 1);
        (void)world_run(&w, 0);
        second_runs_to_its_end();
        assert_int_equal(w.at[0].second.status, STOQ_OK);
        assert_int_equal(w.at[0].recorded, 2);
        w.at[0].recorded = 1;
        world_check_whole(&w, 0);
        assert_int_equal(w.at[1].chunks_sent + w.at[2].chunks_sent, w.chunks);
        assert_int_equal(w.at[0].second.chunks_from_peers, w.at[2].chunks_sent);
        assert_true(w.at[0].second.bytes_had + w.at[0].second.bytes_shared +
                        w.at[0].second.bytes_from_peers ==
                    w.bytes);
        world_release(&w);
    }
}

/* Two versions at once: what they have in common travels once. */
static void two_versions_share(void **state)
{
    (void)state;
    world_init(&w, 2, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    world_fetch(&w, 0, &one, 1);
    uint64_t chunks = w.chunks;
    world_publish(&w, 1, 3000, 7, 50); /* w.id is the second version now */
    second_fetch(&one, 1);
    second_runs_to_its_end();
    assert_int_equal(w.at[0].second.status, STOQ_OK);
    while (!w.at[0].done) {
        assert_true(world_step(&w));
    }
    assert_int_equal(w.at[0].report.status, STOQ_OK);
    assert_int_equal(w.at[1].chunks_sent, chunks + 10);
    world_release(&w);
}

/* The fetch that asks ends before the chunks are here: the one that waits asks for them. */
static void who_waits_goes_on_alone(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 4000, 7, 0);
    world_copy(&w, 1, 2);
    world_fetch(&w, 0, &one, 1);
    world_run_to(&w, 0, 1, 1);
    second_fetch(&two, 1);
    world_run_to(&w, 0, 1,
                 w.bytes / 2); /* by now its rate grows no more, and it is asked for no more */
    struct stoq_node_event stop = {.kind = STOQ_NODE_STOP, .u.stop = {1}};
    assert_int_equal(world_feed(&w, 0, stop), STOQ_OK);
    second_runs_to_its_end();
    assert_int_equal(w.at[0].second.status, STOQ_OK);
    assert_true(w.at[2].chunks_sent > w.chunks / 3);
    /* What was on its way to the first one may have come twice. */
    assert_true(w.at[1].chunks_sent + w.at[2].chunks_sent < w.chunks + w.chunks / 4);
    assert_int_equal(w.at[0].report.status, STOQ_CANCELLED);
    world_release(&w);

    /* Its source dies. */
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 4000, 7, 0);
    world_copy(&w, 1, 2);
    world_fetch(&w, 0, &one, 1);
    world_run_to(&w, 0, 1, 1);
    second_fetch(&two, 1);
    w.at[1].fault = WORLD_DIES;
    w.at[1].fault_at = w.now + 50 * STOQ_MS;
    second_runs_to_its_end();
    assert_int_equal(w.at[0].second.status, STOQ_OK);
    assert_true(w.at[0].report.status != STOQ_OK);
    world_release(&w);
}

/* One that knows no source lives on the other's. */
static void who_has_no_source_may_wait(void **state)
{
    (void)state;
    world_init(&w, 2, NULL);
    world_publish(&w, 1, 2000, 7, 0);
    world_fetch(&w, 0, &one, 1);
    world_run_to(&w, 0, 1, 1);
    /* The lists of its shards came with the first one's. */
    world_run_to(&w, 0, 1, w.bytes / 4);
    second_fetch(NULL, 0);
    (void)world_run(&w, 0);
    second_runs_to_its_end();
    assert_int_equal(w.at[0].second.status, STOQ_OK);
    assert_int_equal(w.at[0].second.chunks_from_peers, 0);
    assert_int_equal(w.at[1].chunks_sent, w.chunks);
    world_release(&w);
}

/* Whoever reads in order asks for itself; what it brings counts for the other too. */
static void a_reader_does_not_wait(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    world_copy(&w, 1, 2);
    w.at[1].rate = 200000; /* half a minute for all */
    world_fetch(&w, 0, &one, 1);
    world_run_to(&w, 0, 1, 1);
    stoq_ns start = w.now;
    struct stoq_node_event ev = {.kind = STOQ_NODE_FETCH,
                                 .u.fetch = {.fetch = 2,
                                             .id = w.id,
                                             .sources = &two,
                                             .source_count = 1,
                                             .strategy = STOQ_SWARM_SEQUENTIAL,
                                             .is_part = true,
                                             .first = w.bytes / 2,
                                             .end = w.bytes / 2 + 500000}};
    assert_int_equal(world_feed(&w, 0, ev), STOQ_OK);
    second_runs_to_its_end();
    assert_int_equal(w.at[0].second.status, STOQ_OK);
    assert_true(w.now - start < STOQ_SEC);
    (void)world_run(&w, 0);
    w.at[0].recorded = 1;
    world_check_whole(&w, 0);
    assert_true(w.at[0].report.bytes_shared > 300000);
    assert_true(w.at[1].chunks_sent + w.at[2].chunks_sent < w.chunks + 50);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_chunks_are_asked_for_once),
        cmocka_unit_test(two_fetches_share),
        cmocka_unit_test(two_versions_share),
        cmocka_unit_test(who_waits_goes_on_alone),
        cmocka_unit_test(who_has_no_source_may_wait),
        cmocka_unit_test(a_reader_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
