/* Parts of a package and readers in order; see node_world_test.h. Node 0 fetches. */
#include "node/node_world_test.h"

static struct world w;

static const stoq_peer all[] = {1, 2, 3, 4, 5};

/* Fetch 1 of node 0: a part, or all (end 0), read in order when until is not 0. */
static void begin(uint32_t sources, bool is_part, uint64_t first, uint64_t end, uint64_t until)
{
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = 1,
                    .id = w.id,
                    .sources = all,
                    .source_count = sources,
                    .strategy = until != 0 ? STOQ_SWARM_SEQUENTIAL : STOQ_SWARM_RAREST,
                    .is_part = is_part,
                    .first = first,
                    .end = end,
                    .until = until}};
    w.at[0].done = false;
    assert_int_equal(world_feed(&w, 0, ev), STOQ_OK);
}

/* Sum of the lengths of the chunks in front of chunk i. */
static uint64_t offset_of(uint64_t i)
{
    uint64_t at = 0;
    for (uint64_t k = 0; k < i; k++) {
        struct stoq_hash h;
        assert_true(world_chunk_hash(&w.at[1], &w.id, k, &h));
        at += world_get(&w.at[1], 0, &h)->n;
    }
    return at;
}

/* Up to which byte, from a chunk on, is everything in node 0's store? */
static uint64_t here_from(uint64_t i)
{
    uint64_t at = offset_of(i);
    for (; i < w.chunks; i++) {
        struct stoq_hash h;
        assert_true(world_chunk_hash(&w.at[1], &w.id, i, &h));
        const struct world_record *r = world_get(&w.at[0], 0, &h);
        if (r == NULL) {
            break;
        }
        at += r->n;
    }
    return at;
}

static void a_part_is_all_that_comes(void **state)
{
    (void)state;
    static const struct {
        uint64_t chunk;
        uint64_t count;
    } cases[] = {{0, 1}, {0, 200}, {1, 1}, {700, 3}, {1100, 700}, {2990, 10}, {2999, 1}};
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        world_init(&w, 2, NULL);
        world_publish(&w, 1, 3000, 7, 0);
        uint64_t first = offset_of(cases[i].chunk);
        uint64_t end = offset_of(cases[i].chunk + cases[i].count);
        /* One byte of the first and of the last chunk is enough to want them. */
        begin(1, true, first + (cases[i].count > 1 ? 400 : 0), end - 400, 0);
        (void)world_run(&w, 0);
        assert_int_equal(w.at[0].report.status, STOQ_OK);
        assert_int_equal(w.at[0].recorded, 0);
        assert_int_equal(w.at[1].chunks_sent, cases[i].count);
        assert_int_equal(w.at[0].report.bytes_from_peers, end - first);
        assert_true(here_from(cases[i].chunk) == end);
        /* The rest later. */
        world_fetch(&w, 0, all, 1);
        (void)world_run(&w, 0);
        world_check_whole(&w, 0);
        assert_int_equal(w.at[0].report.bytes_had, end - first);
        assert_int_equal(w.at[1].chunks_sent, w.chunks);
        world_release(&w);
    }
}

/* Nothing but what says what the package is. */
static void a_part_may_be_empty(void **state)
{
    (void)state;
    world_init(&w, 2, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    begin(1, true, 0, 0, 0);
    (void)world_run(&w, 0);
    assert_int_equal(w.at[0].report.status, STOQ_OK);
    assert_int_equal(w.at[0].report.bytes, w.bytes);
    assert_int_equal(w.at[1].chunks_sent, 0);
    assert_true(w.at[0].report.bytes_wire < 48 * w.shards + 1000);
    /* Nor is a chunk wanted when none of its bytes is. */
    begin(1, true, w.bytes / 2, w.bytes / 2, 0);
    (void)world_run(&w, 0);
    assert_int_equal(w.at[0].report.status, STOQ_OK);
    assert_int_equal(w.at[1].chunks_sent, 0);
    /* Past the end there is nothing. */
    begin(1, true, w.bytes, w.bytes + 100, 0);
    (void)world_run(&w, 0);
    assert_int_equal(w.at[0].report.status, STOQ_OK);
    assert_int_equal(w.at[1].chunks_sent, 0);
    world_release(&w);
    /* Nobody has it. */
    world_init(&w, 2, NULL);
    begin(1, true, 0, 0, 0);
    (void)world_run(&w, 0);
    assert_int_equal(w.at[0].report.status, STOQ_NOTFOUND);
    world_release(&w);
}

/* The reader's position holds the fetch back, and what is said to be ready is in the store. */
static void a_reader_is_kept_ahead_of(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    world_copy(&w, 1, 2);
    uint64_t until = 100000;
    uint64_t was = 0;
    begin(2, false, 0, 0, until);
    while (!w.at[0].done) {
        uint64_t ready = 0;
        world_settle(&w);
        if (w.at[0].done) {
            break;
        }
        assert_true(stoq_node_fetch_ready(w.at[0].node, 1, &ready));
        assert_true(ready >= was && ready >= (until < w.bytes ? until : w.bytes));
        assert_true(here_from(0) >= ready);
        /* No more than the chunk that the limit lies in, and what came twice. */
        assert_true(here_from(0) <= until + 4096);
        was = ready;
        until += 700000;
        struct stoq_node_event want = {.kind = STOQ_NODE_WANT, .u.want = {1, until}};
        assert_int_equal(world_feed(&w, 0, want), STOQ_OK);
        struct stoq_node_event less = {.kind = STOQ_NODE_WANT, .u.want = {1, 5}};
        assert_int_equal(world_feed(&w, 0, less), STOQ_OK);
    }
    world_check_whole(&w, 0);
    world_release(&w);
}

/* Bytes come in order: what is ready is never far behind what has come. */
static void bytes_come_in_order(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 5000, 7, 0);
    world_copy(&w, 1, 2);
    w.at[2].rate /= 4;
    begin(2, false, 0, 0, UINT64_MAX);
    uint64_t worst = 0;
    while (!w.at[0].done) {
        struct stoq_node_fetch_progress p;
        uint64_t ready;
        assert_true(world_step(&w));
        if (stoq_node_fetch_progress(w.at[0].node, 1, &p) &&
            stoq_node_fetch_ready(w.at[0].node, 1, &ready)) {
            assert_true(ready <= p.bytes_done);
            worst = p.bytes_done - ready > worst ? p.bytes_done - ready : worst;
        }
    }
    world_check_whole(&w, 0);
    assert_true(worst < w.bytes / 3);
    world_release(&w);
}

/* The source that was asked for the next bytes falls silent; the other one brings them soon. */
static void the_next_bytes_are_not_waited_for(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    world_copy(&w, 1, 2);
    begin(2, true, 0, w.bytes / 2, 1000000);
    world_run_to(&w, 0, 1, 200000);
    w.at[1].fault = WORLD_SILENT;
    stoq_ns start = w.now;
    uint64_t ready = 0;
    struct stoq_node_event want = {.kind = STOQ_NODE_WANT, .u.want = {1, UINT64_MAX}};
    assert_int_equal(world_feed(&w, 0, want), STOQ_OK);
    while (!w.at[0].done && stoq_node_fetch_ready(w.at[0].node, 1, &ready) && ready < 2000000) {
        assert_true(world_step(&w));
    }
    assert_true(w.now - start < 3 * STOQ_SEC);
    (void)world_run(&w, 0);
    assert_int_equal(w.at[0].report.status, STOQ_OK);
    world_release(&w);
}

/* A reader that takes its time does not make a fetch fail that has all of its window. */
static void a_slow_reader_is_waited_for(void **state)
{
    (void)state;
    world_init(&w, 2, NULL);
    world_publish(&w, 1, 2000, 7, 0);
    begin(1, false, 0, 0, 300000);
    world_run_to(&w, 0, 1, 300000);
    stoq_ns until = w.now + 60 * STOQ_SEC;
    while (w.now < until && world_step(&w)) {
        assert_false(w.at[0].done);
    }
    w.now = w.now < until ? until : w.now;
    struct stoq_node_event want = {.kind = STOQ_NODE_WANT, .u.want = {1, UINT64_MAX}};
    assert_int_equal(world_feed(&w, 0, want), STOQ_OK);
    (void)world_run(&w, 0);
    world_check_whole(&w, 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_is_all_that_comes),
        cmocka_unit_test(a_part_may_be_empty),
        cmocka_unit_test(a_reader_is_kept_ahead_of),
        cmocka_unit_test(bytes_come_in_order),
        cmocka_unit_test(the_next_bytes_are_not_waited_for),
        cmocka_unit_test(a_slow_reader_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
