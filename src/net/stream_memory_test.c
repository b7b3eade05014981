/* What connections hold: how much at most, who is turned away then, and that all of it is counted. */
#include "net/net_sender.h"

static bool b_has_mebibyte(struct world *w)
{
    return w->b.received >= STOQ_MIB;
}

static bool opened_or_closed_three(struct world *w)
{
    return w->a.opened + w->a.closed >= 3;
}

/* Until b holds nothing but what its connections weigh. */
static uint64_t settled_memory(struct world *w)
{
    struct stoq_net_stats stats = {.memory_bytes = UINT64_MAX};
    for (int i = 0; i < 1000 && stats.memory_bytes > NET_CONN_BYTES; i++) {
        world_idle(w, 20 * STOQ_MS);
        side_stats(&w->b, &stats);
    }
    return stats.memory_bytes;
}

/* limits.memory: writes wait for acknowledgements, strangers are told that there is no room. */
static void memory_limit_holds(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    struct stoq_net_config a = {.memory_bytes = 2 * STOQ_MIB};
    struct stoq_net_config b = {.memory_bytes = 100 * STOQ_KIB}; /* two connections pass it */
    world_init(&w, &a, &b);
    world_connect(&w);
    w.b.on_data = check_only;
    begin(&w, &t, 16 * STOQ_MIB);
    pump(&t);
    assert_true(t.full > 0);
    assert_true(t.most_buffered <= 2 * STOQ_MIB && t.most_buffered > STOQ_MIB);
    struct stoq_net_stats stats;
    side_stats(&w.a, &stats);
    assert_true(stats.memory_bytes <= 2 * STOQ_MIB);
    if (world_threads == 1) { /* another thread may have sent some of it by now */
        assert_true(stats.memory_bytes > STOQ_MIB);
    }
    for (int i = 0; i < 1200 && w.b.fins == 0; i++) {
        world_idle(&w, 50 * STOQ_MS);
        assert_true(t.most_buffered <= 2 * STOQ_MIB);
    }
    assert_int_equal(w.b.received, 16 * STOQ_MIB);
    assert_int_equal(settled_memory(&w), NET_CONN_BYTES);
    (void)world_dial(&w, &w.b.id, 0); /* two at once for one place, each to a thread by chance */
    (void)world_dial(&w, &w.b.id, 0);
    assert_true(world_run(&w, opened_or_closed_three));
    assert_int_equal(w.a.closed, 1);
    assert_int_equal(w.a.closed_info.why, STOQ_NET_REFUSED);
    assert_non_null(strstr(w.a.closed_text, NET_HEAVY_TEXT));
    world_release(&w);
}

/* What is received and not consumed counts, however the stream ends. */
static void held_bytes_are_counted(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    struct stoq_net_stats stats;
    struct stoq_net_config b = {.connections_max = 16};
    world_init(&w, NULL, &b);
    world_connect(&w);
    w.b.on_data = hoard;
    begin(&w, &t, STOQ_MIB);
    pump(&t);
    assert_true(world_run(&w, b_has_mebibyte));
    side_stats(&w.b, &stats);
    assert_true(stats.memory_bytes >= STOQ_MIB + 80 * STOQ_KIB);
    stoq_net_consumed(w.b.net, w.b.conn, t.stream, STOQ_MIB / 2);
    side_stats(&w.b, &stats);
    assert_true(stats.memory_bytes < STOQ_MIB);
    stoq_net_close(w.a.net, w.a.conn, 0, "enough");
    assert_true(world_run(&w, both_closed));
    world_idle(&w, 50 * STOQ_MS);
    assert_int_equal(w.b.net->unconsumed, 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_limit_holds),
        cmocka_unit_test(held_bytes_are_counted),
        ON_TWO_THREADS(memory_limit_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
