/* Whole nodes against each other; see node_world_test.h. Node 0 fetches. */
#include "node/node_world_test.h"

static struct world w;

/* Nodes 1 .. sources have the package; node 0 wants it from them. */
static void begin(uint32_t sources, uint64_t chunks)
{
    world_init(&w, sources + 1, NULL);
    world_publish(&w, 1, chunks, 7, 0);
    for (uint32_t i = 2; i <= sources; i++) {
        world_copy(&w, 1, i);
    }
}

static stoq_ns fetch(uint32_t sources)
{
    static const stoq_peer all[] = {1, 2, 3, 4, 5};
    world_fetch(&w, 0, all, sources);
    return world_run(&w, 0);
}

static const struct stoq_node_source_report *source(stoq_peer peer)
{
    for (uint32_t i = 0; i < w.at[0].report.source_count; i++) {
        if (w.at[0].report.sources[i].peer == peer) {
            return &w.at[0].report.sources[i];
        }
    }
    fail();
    return NULL;
}

static void one_source(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 2, 31, 33, 513, 3000};
    for (size_t i = 0; i < STOQ_COUNT(sizes); i++) {
        begin(1, sizes[i]);
        stoq_ns took = fetch(1);
        world_check_whole(&w, 0);
        assert_int_equal(w.at[0].charges, 0);
        assert_int_equal(w.at[0].report.bytes_new, w.bytes);
        assert_int_equal(w.at[0].report.chunks_had, 0);
        assert_int_equal(w.at[0].report.signer_count, 0);
        assert_int_equal(source(1)->status, STOQ_OK);
        assert_int_equal(source(1)->bytes, w.bytes);
        /* A few round trips beside the bytes. */
        assert_true(took < w.bytes * 100 + 12 * w.rtt + 50 * STOQ_MS);
        world_release(&w);
    }
}

static void several_sources_share(void **state)
{
    (void)state;
    begin(3, 6000);
    stoq_ns took = fetch(3);
    world_check_whole(&w, 0);
    for (stoq_peer i = 1; i <= 3; i++) {
        assert_true(source(i)->chunks > 1000);
    }
    /* 10 MB/s each: clearly faster than one alone, whose bound is 100 ns a byte. */
    assert_true(took < w.bytes * 50 + 200 * STOQ_MS);
    assert_true(w.at[0].report.bytes_duplicate * 50 < w.bytes);
    world_release(&w);
}

/* Two that are fast share; on one machine they would only take processors from each other. */
static void one_of_two_on_this_machine_brings_it(void **state)
{
    (void)state;
    for (int local = 0; local < 2; local++) {
        begin(2, 50000);
        w.rtt = STOQ_MS / 10;
        w.local = local != 0;
        w.at[1].rate = w.at[2].rate = 2000000000;
        (void)fetch(2);
        world_check_whole(&w, 0);
        uint64_t less = source(1)->bytes < source(2)->bytes ? source(1)->bytes : source(2)->bytes;
        assert_true(local != 0 ? less < w.bytes / 3 : less > w.bytes * 2 / 5);
        world_release(&w);
    }
}

static void what_is_here_is_not_asked_for(void **state)
{
    (void)state;
    /* The same again: nobody is needed. */
    begin(1, 1000);
    (void)fetch(1);
    world_check_whole(&w, 0);
    w.at[0].recorded = 0;
    world_fetch(&w, 0, NULL, 0);
    (void)world_run(&w, 0);
    world_check_whole(&w, 0);
    assert_int_equal(w.at[0].report.bytes_from_peers, 0);
    assert_int_equal(w.at[0].report.shards_known, w.shards);
    /* A second version: what changed, and the lists of the shards it is in. */
    w.at[0].recorded = 0;
    world_publish(&w, 1, 1000, 7, 50);
    (void)fetch(1);
    world_check_whole(&w, 0);
    assert_int_equal(w.at[0].report.chunks_from_peers, 10);
    assert_true(w.at[0].report.shards_known + 2 >= w.shards);
    world_release(&w);
}

static void a_fetch_resumes(void **state)
{
    (void)state;
    begin(1, 3000);
    const stoq_peer one = 1;
    world_fetch(&w, 0, &one, 1);
    struct stoq_node_fetch_progress p = {0};
    do {
        assert_true(world_step(&w));
        assert_true(stoq_node_fetch_progress(w.at[0].node, 1, &p));
    } while (p.bytes_done < w.bytes / 2 || w.bytes == 0);
    assert_int_equal(p.bytes_total, w.bytes);
    assert_int_equal(p.sources, 1);
    struct stoq_node_event stop = {.kind = STOQ_NODE_STOP, .u.stop = {1}};
    assert_int_equal(world_feed(&w, 0, stop), STOQ_OK);
    (void)world_run(&w, 0);
    assert_int_equal(w.at[0].report.status, STOQ_CANCELLED);
    assert_int_equal(w.at[0].recorded, 0);
    assert_false(stoq_node_fetch_progress(w.at[0].node, 1, &p));
    (void)fetch(1);
    world_check_whole(&w, 0);
    assert_true(w.at[0].report.bytes_had > w.bytes / 3);
    assert_true(w.at[0].report.bytes_from_peers < w.bytes * 2 / 3);
    world_release(&w);
}

static void a_liar_is_left_behind(void **state)
{
    (void)state;
    begin(2, 2000);
    w.at[1].fault = WORLD_LIES;
    (void)fetch(2);
    world_check_whole(&w, 0);
    assert_int_equal(source(1)->status, STOQ_PROOF);
    assert_int_equal(source(1)->chunks, 0);
    assert_int_equal(source(2)->status, STOQ_OK);
    assert_true(w.at[0].charges >= 1);
    world_release(&w);

    begin(1, 500);
    w.at[1].fault = WORLD_LIES;
    (void)fetch(1);
    assert_int_equal(w.at[0].report.status, STOQ_PROOF);
    assert_int_equal(w.at[0].recorded, 0);
    world_release(&w);
}

static void wrong_metadata_is_noticed(void **state)
{
    (void)state;
    static const enum stoq_meta_kind kinds[] = {STOQ_META_MANIFEST, STOQ_META_SHARD_LIST,
                                                STOQ_META_CHUNK_LISTS, STOQ_META_OPENING};
    for (size_t i = 0; i < STOQ_COUNT(kinds); i++) {
        begin(2, 1000);
        w.at[1].fault = WORLD_LIES_META;
        w.at[1].fault_meta = kinds[i];
        (void)fetch(2);
        world_check_whole(&w, 0);
        assert_int_equal(source(2)->status, STOQ_OK);
        assert_true(source(1)->status == STOQ_PROOF || source(1)->status == STOQ_OK);
        world_release(&w);

        begin(1, 1000);
        w.at[1].fault = WORLD_LIES_META;
        w.at[1].fault_meta = kinds[i];
        (void)fetch(1);
        assert_int_equal(w.at[0].report.status, STOQ_PROOF);
        assert_int_equal(source(1)->status, STOQ_PROOF);
        assert_int_equal(w.at[0].charges, 1);
        world_release(&w);
    }
}

/* How each kind of failure is told, with one source. */
static void failures_are_named(void **state)
{
    (void)state;
    static const struct {
        enum world_fault fault;
        enum stoq_status status;
        enum stoq_node_step step;
        stoq_ns within;
    } cases[] = {
        {WORLD_ABSENT, STOQ_TIMEOUT, STOQ_NODE_STEP_DIAL, STOQ_SEC},
        {WORLD_SILENT, STOQ_TIMEOUT, STOQ_NODE_STEP_MANIFEST, 12 * STOQ_SEC},
        {WORLD_GARBAGE, STOQ_NET, STOQ_NODE_STEP_MANIFEST, STOQ_SEC},
        {WORLD_SHORT, STOQ_NET, STOQ_NODE_STEP_MANIFEST, STOQ_SEC},
        {WORLD_WRONG_KEY, STOQ_NET, STOQ_NODE_STEP_DIAL, STOQ_SEC},
    };
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        begin(1, 300);
        w.at[1].fault = cases[i].fault;
        stoq_ns took = fetch(1);
        assert_int_equal(w.at[0].report.status, cases[i].status);
        assert_true(source(1)->step <= cases[i].step);
        assert_true(source(1)->status != STOQ_OK);
        assert_true(took < cases[i].within);
        world_release(&w);
    }
    /* Nobody has it. */
    begin(1, 100);
    world_release(&w);
    world_init(&w, 3, NULL);
    (void)fetch(2);
    assert_int_equal(w.at[0].report.status, STOQ_NOTFOUND);
    assert_int_equal(source(1)->status, STOQ_NOTFOUND);
    assert_int_equal(source(2)->status, STOQ_NOTFOUND);
    world_release(&w);
    /* No source at all. */
    world_init(&w, 1, NULL);
    (void)fetch(0);
    assert_true(w.at[0].report.status == STOQ_NOTFOUND || w.at[0].report.status == STOQ_NET);
    world_release(&w);
}

/* One good source among bad ones is enough. */
static void one_good_source_is_enough(void **state)
{
    (void)state;
    static const enum world_fault faults[] = {WORLD_LIES,    WORLD_SILENT, WORLD_ABSENT,
                                              WORLD_GARBAGE, WORLD_SHORT,  WORLD_HALF,
                                              WORLD_BUSY,    WORLD_DIES,   WORLD_WRONG_KEY};
    for (size_t i = 0; i < STOQ_COUNT(faults); i++) {
        begin(3, 2000);
        w.at[1].fault = faults[i];
        w.at[2].fault = faults[i];
        w.at[1].fault_at = w.now + 100 * STOQ_MS;
        w.at[2].fault_at = w.now + 150 * STOQ_MS;
        stoq_ns took = fetch(3);
        world_check_whole(&w, 0);
        assert_int_equal(source(3)->status, STOQ_OK);
        assert_true(took < 25 * STOQ_SEC);
        world_release(&w);
    }
    /* One that lacks the package beside one that has it. */
    world_init(&w, 3, NULL);
    world_publish(&w, 2, 1000, 7, 0);
    (void)fetch(2);
    world_check_whole(&w, 0);
    assert_int_equal(source(1)->status, STOQ_NOTFOUND);
    world_release(&w);
}

static void a_busy_source_is_asked_again(void **state)
{
    (void)state;
    begin(1, 500);
    w.at[1].fault = WORLD_BUSY;
    stoq_ns took = fetch(1);
    world_check_whole(&w, 0);
    assert_true(took < 5 * STOQ_SEC);
    assert_int_equal(w.at[0].charges, 0);
    world_release(&w);
}

static void a_lost_connection_is_made_again(void **state)
{
    (void)state;
    begin(1, 3000);
    const stoq_peer one = 1;
    world_fetch(&w, 0, &one, 1);
    for (int cut = 1; cut <= 2; cut++) {
        struct stoq_node_fetch_progress p;
        do {
            assert_true(world_step(&w));
            assert_true(stoq_node_fetch_progress(w.at[0].node, 1, &p));
        } while (p.bytes_done < w.bytes * (unsigned)cut / 3 || w.bytes == 0);
        world_link_down(&w, 1, 0, STOQ_NET);
        world_link_down(&w, 0, 1, STOQ_NET);
    }
    (void)world_run(&w, 0);
    world_check_whole(&w, 0);
    assert_int_equal(w.at[0].dials, 3);
    world_release(&w);

    /* It stays away: that is said within the dial's time. */
    begin(1, 3000);
    w.at[1].fault = WORLD_DIES;
    w.at[1].fault_at = w.now + 200 * STOQ_MS;
    stoq_ns took = fetch(1);
    assert_true(w.at[0].report.status == STOQ_TIMEOUT || w.at[0].report.status == STOQ_NET);
    assert_true(took < 10 * STOQ_SEC);
    world_release(&w);
}

/* The only source falls silent in the middle. */
static void silence_is_a_time_out(void **state)
{
    (void)state;
    begin(1, 3000);
    w.at[1].fault = WORLD_SILENT;
    w.at[1].fault_at = w.now + 150 * STOQ_MS;
    stoq_ns took = fetch(1);
    assert_int_equal(w.at[0].report.status, STOQ_TIMEOUT);
    assert_int_equal(source(1)->status, STOQ_TIMEOUT);
    assert_int_equal(source(1)->step, STOQ_NODE_STEP_CHUNKS);
    assert_true(took < 20 * STOQ_SEC);
    world_release(&w);
}

/* A source that is still fetching itself serves what it has; the rest is asked again. */
static void a_chain_passes_it_on(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    w.at[1].rate = 2000000;
    const stoq_peer one = 1;
    const stoq_peer two = 2;
    world_fetch(&w, 2, &one, 1);
    struct stoq_node_fetch_progress p = {0};
    do {
        assert_true(world_step(&w));
        assert_true(stoq_node_fetch_progress(w.at[2].node, 1, &p));
    } while (p.bytes_done == 0);
    world_fetch(&w, 0, &two, 1);
    stoq_ns took = world_run(&w, 0);
    world_check_whole(&w, 0);
    world_check_whole(&w, 2);
    /* Little later than the one before it, whose bound is 500 ns a byte. */
    assert_true(took < w.bytes * 500 + 2 * STOQ_SEC);
    assert_true(w.at[1].chunks_sent < w.chunks + 200);
    world_release(&w);
}

/* Whoever lacks something is asked for its map, and not for what the map leaves out. */
static void partial_holders_tell_what_they_have(void **state)
{
    (void)state;
    begin(2, 600);
    w.at[1].fault = WORLD_HALF;
    w.at[2].rate = 2000000;
    (void)fetch(2);
    world_check_whole(&w, 0);
    assert_in_range(w.at[1].missing_sent, 1, 40); /* of 300 that it lacks */
    assert_true(w.at[1].chunks_sent > 100);
    world_release(&w);
}

/* Who fetches it too says "busy" before it has the lists, and serves what it has from then on. */
static void who_fetches_it_too_is_waited_for(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    w.at[1].rate = 1000000;
    static const stoq_peer both[] = {1, 2};
    const stoq_peer one = 1;
    world_fetch(&w, 0, both, 2);
    world_fetch(&w, 2, &one, 1);
    (void)world_run(&w, 0);
    world_check_whole(&w, 0);
    assert_int_equal(source(2)->status, STOQ_OK);
    assert_true(source(2)->chunks > 0);
    world_release(&w);
}

static void what_nobody_has_is_given_up(void **state)
{
    (void)state;
    begin(1, 300);
    w.at[1].fault = WORLD_HALF;
    stoq_ns took = fetch(1);
    assert_int_equal(w.at[0].report.status, STOQ_NOTFOUND);
    assert_true(took >= STOQ_NODE_STUCK_TIMEOUT && took < 2 * STOQ_NODE_STUCK_TIMEOUT);
    world_release(&w);
    /* Damaged is final. */
    begin(1, 300);
    w.at[1].fault = WORLD_DAMAGED;
    took = fetch(1);
    assert_int_equal(w.at[0].report.status, STOQ_NOTFOUND);
    assert_int_equal(w.at[0].report.chunks_from_peers, 150);
    assert_true(took < STOQ_SEC);
    world_release(&w);
}

static void a_full_store_ends_it(void **state)
{
    (void)state;
    begin(1, 300);
    w.at[0].store_full = true;
    (void)fetch(1);
    assert_int_equal(w.at[0].report.status, STOQ_FULL);
    assert_int_equal(w.at[0].recorded, 0);
    world_release(&w);
}

/* Somebody's signature of that hash, framed as in the message. */
static struct stoq_key_id add_signature(struct stoq_buf *framed, uint8_t salt,
                                        const struct stoq_hash *hash)
{
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {salt};
    const uint8_t zero[4] = {0};
    struct stoq_key *key;
    size_t at = framed->n;
    assert_int_equal(stoq_key_from_seed(&key, seed), STOQ_OK);
    assert_int_equal(stoq_buf_add(framed, stoq_span(zero, 4)), STOQ_OK);
    assert_int_equal(stoq_sign(key, STOQ_SIGN_PACKAGE, hash, framed), STOQ_OK);
    stoq_le32_put(framed->p + at, (uint32_t)(framed->n - at - 4));
    struct stoq_key_id id = stoq_key_id(key);
    stoq_key_free(key);
    return id;
}

static void signatures_are_kept(void **state)
{
    (void)state;
    begin(1, 100);
    struct stoq_buf framed;
    const struct stoq_hash other = {{9}};
    stoq_buf_init(&framed, 20000);
    (void)add_signature(&framed, 4, &other); /* of something else: it does not count */
    struct stoq_key_id id = add_signature(&framed, 1, &w.id.h);
    (void)world_put(&w.at[1], STOQ_META_SIGNATURES, &w.id.h, stoq_buf_span(&framed));
    (void)fetch(1);
    world_check_whole(&w, 0);
    assert_int_equal(w.at[0].report.signer_count, 1);
    assert_true(stoq_hash_eq(&w.at[0].report.signers[0].h, &id.h));
    assert_non_null(world_get(&w.at[0], STOQ_META_SIGNATURES, &w.id.h));
    stoq_buf_release(&framed);
    world_release(&w);
}

/* The window slides: a package of more shards than it holds. */
static void a_large_package_passes(void **state)
{
    (void)state;
    begin(2, 40000);
    assert_true(w.shards > 200);
    (void)fetch(2);
    world_check_whole(&w, 0);
    assert_true(w.at[0].asks_open_max <= 2 * (STOQ_SWARM_PEER_REQUESTS_MAX + 8));
    world_release(&w);
}

/* More chunks than the swarm takes in at a time, with chunk lists that come in any order. */
static void a_package_larger_than_the_swarm_passes(void **state)
{
    (void)state;
    begin(2, 2 * STOQ_SWARM_OPEN_MAX);
    assert_true(w.shards > STOQ_NODE_WINDOW_SHARDS);
    (void)fetch(2);
    world_check_whole(&w, 0);
    world_release(&w);
}

/* What was fetched is served on, and both sides may ask over one connection. */
static void it_is_served_on(void **state)
{
    (void)state;
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 1000, 7, 0);
    (void)fetch(1);
    world_check_whole(&w, 0);
    const stoq_peer zero = 0;
    world_fetch(&w, 2, &zero, 1);
    (void)world_run(&w, 2);
    world_check_whole(&w, 2);
    struct stoq_node_stats st;
    stoq_node_stats(w.at[0].node, &st);
    assert_true(st.requests_served > 3);
    assert_true(st.bytes_served > w.bytes);
    while (world_step(&w) && st.serves > 0) {
        stoq_node_stats(w.at[0].node, &st);
    }
    assert_int_equal(st.serves, 0);
    struct stoq_msg_hello hello;
    assert_true(stoq_node_peer_hello(w.at[0].node, 2, &hello));
    assert_true(stoq_span_eq(hello.agent, stoq_span_str("test/1")));
    world_release(&w);
}

static void same_seed_same_trace(void **state)
{
    (void)state;
    uint64_t trace[2];
    for (size_t i = 0; i < 2; i++) {
        begin(3, 2000);
        w.at[2].fault = WORLD_DIES;
        w.at[2].fault_at = w.now + 100 * STOQ_MS;
        (void)fetch(3);
        world_check_whole(&w, 0);
        trace[i] = w.trace;
        world_release(&w);
    }
    assert_true(trace[0] == trace[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_source),
        cmocka_unit_test(several_sources_share),
        cmocka_unit_test(one_of_two_on_this_machine_brings_it),
        cmocka_unit_test(what_is_here_is_not_asked_for),
        cmocka_unit_test(a_fetch_resumes),
        cmocka_unit_test(a_liar_is_left_behind),
        cmocka_unit_test(wrong_metadata_is_noticed),
        cmocka_unit_test(failures_are_named),
        cmocka_unit_test(one_good_source_is_enough),
        cmocka_unit_test(a_busy_source_is_asked_again),
        cmocka_unit_test(a_lost_connection_is_made_again),
        cmocka_unit_test(silence_is_a_time_out),
        cmocka_unit_test(a_chain_passes_it_on),
        cmocka_unit_test(partial_holders_tell_what_they_have),
        cmocka_unit_test(who_fetches_it_too_is_waited_for),
        cmocka_unit_test(what_nobody_has_is_given_up),
        cmocka_unit_test(a_full_store_ends_it),
        cmocka_unit_test(signatures_are_kept),
        cmocka_unit_test(a_large_package_passes),
        cmocka_unit_test(a_package_larger_than_the_swarm_passes),
        cmocka_unit_test(it_is_served_on),
        cmocka_unit_test(same_seed_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
