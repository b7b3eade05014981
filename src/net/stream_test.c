/* Streams: order, back-pressure, credit, priorities, resets, and who owns which bytes when. */
#include "net/net_sender.h"

#define BIG (64 * STOQ_MIB)

/* The other side checks what comes and sends it back. */
static void echo(struct side *s, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                 bool fin)
{
    uint64_t at = s->received - bytes.n;
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] != byte_at(at + i)) {
            fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
        }
    }
    assert_int_equal(stoq_net_write_copy(s->net, conn, stream, bytes, fin), STOQ_OK);
    stoq_net_consumed(s->net, conn, stream, bytes.n);
}

static bool streams_closed_both(struct world *w)
{
    return w->a.streams_closed > 0 && w->b.streams_closed > 0;
}

static void big_stream_comes_back_intact(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    struct stoq_net_config a = {.send_buffer_bytes = 8 * STOQ_MIB};
    struct stoq_net_config b = {.send_buffer_bytes = 4 * BIG};
    world_init(&w, &a, &b);
    world_connect(&w);
    w.b.on_data = echo;
    w.a.on_data = check_only;
    begin(&w, &t, BIG);
    pump(&t);
    assert_true(world_run(&w, streams_closed_both));
    assert_int_equal(w.b.received, BIG);
    assert_int_equal(w.a.received, BIG);
    assert_int_equal(w.a.fins + w.b.fins, 2);
    assert_int_equal(w.a.released, t.pieces);
    assert_int_equal(t.pieces, BIG / PIECE);
    assert_true(t.full > 0 && w.a.writable > 0); /* it was held back */
    assert_true(t.most_buffered <= 8 * STOQ_MIB);
    struct stoq_net_stats stats;
    side_stats(&w.a, &stats);
    assert_int_equal(stats.buffered_bytes, 0);
    struct stoq_net_info info;
    assert_true(stoq_net_info(w.a.net, w.a.conn, &info));
    assert_int_equal(info.packet_bytes, 32700); /* path-MTU discovery went all the way */
    assert_int_equal(info.streams, 0);
    world_release(&w);
}

/* What b must have seen. */
static struct expected {
    uint64_t received;
    int fins;
    int streams;
    int streams_closed;
} expected;

static bool b_saw_it(struct world *w)
{
    return w->b.received >= expected.received && w->b.fins >= expected.fins &&
           w->b.streams >= expected.streams && w->b.streams_closed >= expected.streams_closed;
}

/* That much comes, however long it takes; what is too much has a moment to come. */
static void wait_for(struct world *w, const struct expected *want)
{
    expected = *want;
    assert_true(world_run(w, b_saw_it));
    world_idle(w, 20 * STOQ_MS);
}

/* a begins to send so many bytes; b does with them what take does. */
static void send_to_b(struct world *w, struct sender *t, uint64_t bytes,
                      void (*take)(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                                   struct stoq_span bytes, bool fin))
{
    w->b.on_data = take;
    begin(w, t, bytes);
    pump(t);
}

static void unconsumed_bytes_hold_the_sender(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    struct stoq_net_config b = {.stream_window_bytes = STOQ_MIB,
                                .conn_window_bytes = 4 * STOQ_MIB,
                                .connections_max = 16}; /* few: their windows begin wide */
    world_init(&w, NULL, &b);
    world_connect(&w);
    send_to_b(&w, &t, 4 * STOQ_MIB, hoard);
    wait_for(&w, &(struct expected){.received = STOQ_MIB});
    assert_int_equal(w.b.received, STOQ_MIB); /* exactly the window */
    assert_int_equal(w.b.fins, 0);
    w.b.on_data = NULL; /* consume from now on */
    stoq_net_consumed(w.b.net, w.b.conn, t.stream, STOQ_MIB);
    wait_for(&w, &(struct expected){.received = 4 * STOQ_MIB, .fins = 1});
    assert_int_equal(w.b.received, 4 * STOQ_MIB);
    assert_int_equal(w.b.fins, 1);
    world_release(&w);
}

/* Whole streams left unconsumed count against the connection after they closed, until settled. */
static void closed_streams_still_owe(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.conn_window_bytes = STOQ_MIB, .connections_max = 16};
    world_init(&w, NULL, &b);
    world_connect(&w);
    w.b.on_data = hoard;
    static const uint8_t zeros[128 * 1024];
    stoq_net_stream stream[9];
    for (size_t i = 0; i < 9; i++) { /* eight fill the window */
        struct stoq_net_buf buf = {stoq_span(zeros, sizeof zeros), count_release, &w.a};
        assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &stream[i]), STOQ_OK);
        assert_int_equal(stoq_net_write(w.a.net, w.a.conn, stream[i], &buf, true), STOQ_OK);
        int whole = i < 8 ? (int)i + 1 : 8;
        wait_for(&w, &(struct expected){.received = (uint64_t)whole * sizeof zeros, .fins = whole});
    }
    assert_int_equal(w.b.received, STOQ_MIB);
    assert_int_equal(w.b.fins, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(
            stoq_net_write_copy(w.b.net, w.b.conn, stream[i], stoq_span(NULL, 0), true), STOQ_OK);
    }
    wait_for(&w, &(struct expected){.streams_closed = 8});
    assert_int_equal(w.b.streams_closed, 8);
    assert_int_equal(w.b.received, STOQ_MIB);
    for (size_t i = 0; i < 8; i++) { /* settle: the streams are closed */
        stoq_net_consumed(w.b.net, w.b.conn, stream[i], sizeof zeros);
        stoq_net_consumed(w.b.net, w.b.conn, stream[i], sizeof zeros); /* too much is ignored */
    }
    wait_for(&w, &(struct expected){.received = STOQ_MIB + sizeof zeros});
    assert_int_equal(w.b.received, STOQ_MIB + sizeof zeros);
    assert_int_equal(w.b.net->slots[0].conn->orphaned, 0);
    world_release(&w);
}

/* Requests and answers, more than the peer allows at once. */
#define REQUESTS 1000

struct asker {
    int begun;
    int full;
};

static void answer(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                   struct stoq_span bytes, bool fin)
{
    if (fin) {
        assert_int_equal(stoq_net_write_copy(s->net, conn, stream, stoq_span_str("answer"), true),
                         STOQ_OK);
    }
    stoq_net_consumed(s->net, conn, stream, bytes.n);
}

static void ask(struct side *s)
{
    struct asker *t = s->test;
    stoq_net_stream stream;
    while (t->begun < REQUESTS) {
        enum stoq_status st = stoq_net_stream_open(s->net, s->conn, &stream);
        if (st == STOQ_FULL) {
            t->full++;
            return;
        }
        assert_int_equal(st, STOQ_OK);
        assert_int_equal(stoq_net_write_copy(s->net, s->conn, stream, stoq_span_str("ask"), true),
                         STOQ_OK);
        t->begun++;
    }
}

static void ask_more(struct side *s, stoq_net_conn conn)
{
    assert_true(conn == s->conn);
    ask(s);
}

static bool all_answered(struct world *w)
{
    return w->a.streams_closed == REQUESTS && w->b.streams_closed == REQUESTS;
}

static void many_streams_take_turns(void **state)
{
    (void)state;
    struct world w;
    struct asker t = {0};
    struct stoq_net_config b = {.streams_max = 16};
    world_init(&w, NULL, &b);
    world_connect(&w);
    w.a.test = &t;
    w.a.on_may_open = ask_more;
    w.b.on_data = answer;
    ask(&w.a);
    assert_int_equal(t.begun, 16);
    assert_true(world_run(&w, all_answered));
    assert_true(t.full > 0 && w.a.may_open > 0);
    assert_int_equal(w.b.streams, REQUESTS);
    assert_int_equal(w.a.received, REQUESTS * strlen("answer"));
    assert_int_equal(w.b.received, REQUESTS * strlen("ask"));
    world_release(&w);
}

static bool b_ended(struct world *w)
{
    return w->b.ended > 0;
}

static bool a_ended(struct world *w)
{
    return w->a.ended > 0;
}

static void reset_code_arrives(void **state)
{
    (void)state;
    struct world w;
    stoq_net_stream stream;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    struct stoq_net_buf buf = {stoq_span_str("half a thought"), count_release, &w.a};
    assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &stream), STOQ_OK);
    assert_int_equal(stoq_net_write(w.a.net, w.a.conn, stream, &buf, false), STOQ_OK);
    wait_for(&w, &(struct expected){.streams = 1});
    assert_int_equal(w.b.streams, 1);
    stoq_net_stream_reset(w.a.net, w.a.conn, stream, 42);
    assert_int_equal(stoq_net_write(w.a.net, w.a.conn, stream, &buf, false), STOQ_NOTFOUND);
    assert_true(world_run(&w, b_ended));
    assert_false(w.b.ended_stop);
    assert_int_equal(w.b.ended_code, 42);
    /* The other direction lives on until it ends. */
    assert_int_equal(stoq_net_write_copy(w.b.net, w.b.conn, stream, stoq_span_str("well"), true),
                     STOQ_OK);
    assert_true(world_run(&w, streams_closed_both));
    assert_int_equal(w.a.received, 4);
    assert_int_equal(w.a.released, 1);
    world_release(&w);
}

static void stop_code_arrives(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    struct stoq_net_config b = {.stream_window_bytes = 64 * STOQ_KIB};
    world_init(&w, NULL, &b);
    world_connect(&w);
    send_to_b(&w, &t, 4 * STOQ_MIB, hoard);
    wait_for(&w, &(struct expected){.received = 64 * STOQ_KIB});
    assert_int_equal(w.b.received, 64 * STOQ_KIB);
    stoq_net_stream_stop(w.b.net, w.b.conn, t.stream, 43);
    assert_true(world_run(&w, a_ended));
    assert_true(w.a.ended_stop);
    assert_int_equal(w.a.ended_code, 43);
    assert_true(w.a.released >= t.pieces - 1); /* all that was not under way */
    assert_int_equal(stoq_net_write_copy(w.b.net, w.b.conn, t.stream, stoq_span(NULL, 0), true),
                     STOQ_OK);
    assert_true(world_run(&w, streams_closed_both));
    assert_int_equal(w.a.released, t.pieces);
    assert_int_equal(w.b.received, 64 * STOQ_KIB); /* nothing after the stop */
    world_release(&w);
}

static void misuse_is_told(void **state)
{
    (void)state;
    struct world w;
    stoq_net_stream stream;
    world_init(&w, NULL, NULL);
    struct stoq_net_buf buf = {stoq_span_str("x"), count_release, &w.a};
    assert_int_equal(stoq_net_stream_open(w.a.net, 12345, &stream), STOQ_NOTFOUND);
    stoq_net_conn early = world_dial(&w, &w.b.id, 0);
    assert_int_equal(stoq_net_stream_open(w.a.net, early, &stream), STOQ_NOTFOUND);
    assert_true(world_run(&w, both_opened));
    assert_int_equal(stoq_net_write(w.a.net, early, 4, &buf, false), STOQ_NOTFOUND);
    assert_int_equal(stoq_net_stream_open(w.a.net, early, &stream), STOQ_OK);
    struct stoq_net_buf empty = {stoq_span(NULL, 0), count_release, &w.a};
    assert_int_equal(stoq_net_write(w.a.net, early, stream, &empty, true), STOQ_OK);
    assert_int_equal(w.a.released, 1);
    assert_int_equal(stoq_net_write(w.a.net, early, stream, &buf, false), STOQ_NOTFOUND);
    stoq_net_consumed(w.a.net, early, stream, 1000); /* never received: no credit comes of it */
    stoq_net_stream_reset(w.a.net, early, 400, 1);
    stoq_net_stream_stop(w.a.net, early, 400, 1);
    stoq_net_close(w.a.net, 12345, 1, "nobody");
    world_release(&w);
}

static void close_releases_what_waits(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    send_to_b(&w, &t, 16 * STOQ_MIB, hoard);
    world_idle(&w, 50 * STOQ_MS);
    assert_true(w.a.released < t.pieces);
    stoq_net_close(w.a.net, w.a.conn, 1, "that will do");
    assert_true(world_run(&w, a_closed));
    assert_int_equal(w.a.released, t.pieces);
    assert_int_equal(stoq_net_buffered(w.a.net, w.a.conn), 0);
    world_release(&w);
}

static void free_releases_what_waits(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    send_to_b(&w, &t, 16 * STOQ_MIB, hoard);
    world_idle(&w, 20 * STOQ_MS);
    world_release(&w);
    assert_int_equal(w.a.released, t.pieces);
    assert_int_equal(w.a.closed, 1);
}

static bool received_all(struct world *w)
{
    struct sender *t = w->a.test;
    return w->b.received == t->total && stoq_net_buffered(w->a.net, w->a.conn) == 0;
}

static bool a_released_some(struct world *w)
{
    return w->a.released >= 16;
}

/* Two blackouts of the sender: what was lost is sent again from the buffers, which must still be. */
static void lost_packets_are_sent_again(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    send_to_b(&w, &t, 32 * STOQ_MIB, check_only);
    for (int i = 0; i < 2; i++) {
        w.a.released = 0;
        assert_true(world_run(&w, a_released_some));
        w.a.net->tx.sink = swallow;
        world_idle(&w, 5 * STOQ_MS);
        w.a.net->tx.sink = NULL;
    }
    assert_true(world_run(&w, received_all));
    struct stoq_net_info info;
    assert_true(stoq_net_info(w.a.net, w.a.conn, &info));
    assert_true(info.packets_lost > 0);
    world_release(&w);
}

/* Which stream's bytes came when. */
struct order {
    stoq_net_stream bulk;
    uint64_t bulk_before; /* bytes of bulk that came before the control message */
    bool control_came;
};

static void note_order(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                       struct stoq_span bytes, bool fin)
{
    struct order *o = s->test;
    (void)fin;
    if (stream != o->bulk) {
        o->control_came = true;
    } else if (!o->control_came) {
        o->bulk_before += bytes.n;
    }
    stoq_net_consumed(s->net, conn, stream, bytes.n);
}

static bool control_came(struct world *w)
{
    struct order *o = w->b.test;
    return o->control_came;
}

static void control_overtakes_bulk(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    struct order o = {0};
    stoq_net_stream control;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    w.b.on_data = note_order;
    w.b.test = &o;
    begin(&w, &t, 32 * STOQ_MIB);
    o.bulk = t.stream;
    pump(&t); /* 32 MiB queued before the control message is written */
    assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &control), STOQ_OK);
    stoq_net_stream_class(w.a.net, w.a.conn, control, STOQ_NET_CONTROL);
    assert_int_equal(stoq_net_write_copy(w.a.net, w.a.conn, control, stoq_span_str("urgent"), true),
                     STOQ_OK);
    assert_true(world_run(&w, control_came));
    assert_true(o.bulk_before < STOQ_MIB);
    world_release(&w);
}

/* The four classes, each with more to send than fits on the way: whose ends come when. */
struct classes {
    stoq_net_stream stream[4];
    enum stoq_net_class ended[4];
    int count;
};

static void note_ends(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                      struct stoq_span bytes, bool fin)
{
    struct classes *c = s->test;
    stoq_net_consumed(s->net, conn, stream, bytes.n);
    for (int i = 0; fin && i < 4; i++) {
        if (c->stream[i] == stream) {
            c->ended[c->count++] = (enum stoq_net_class)i;
        }
    }
}

static bool four_ended(struct world *w)
{
    return w->b.fins == 4;
}

static void classes_go_in_order(void **state)
{
    (void)state;
    static const uint8_t zeros[4 * STOQ_MIB];
    struct world w;
    struct classes c = {.count = 0};
    world_init(&w, NULL, NULL);
    world_connect(&w);
    w.b.on_data = note_ends;
    w.b.test = &c;
    for (int i = 3; i >= 0; i--) { /* the lowest is written first */
        struct stoq_net_buf buf = {.bytes = {zeros, sizeof zeros}};
        assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &c.stream[i]), STOQ_OK);
        stoq_net_stream_class(w.a.net, w.a.conn, c.stream[i], (enum stoq_net_class)i);
        assert_int_equal(stoq_net_write(w.a.net, w.a.conn, c.stream[i], &buf, true), STOQ_OK);
    }
    assert_true(world_run(&w, four_ended));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(c.ended[i], i);
    }
    world_release(&w);
}

static bool b_has_all_sixteen(struct world *w)
{
    return w->b.received == 16 * STOQ_MIB && w->b.fins == 1;
}

static bool b_got_next_mebibyte(struct world *w)
{
    const struct sender *t = w->a.test;
    return w->b.received >= t->most_buffered; /* borrowed: the next mark */
}

static bool update_keys(struct side *s)
{
    struct net_conn *conn = net_conn_open(s->net, s->conn);
    assert_non_null(conn);
    assert_null(conn->ssl);
    s->net->now = stoq_now();
    net_mark_dirty(conn);
    return ngtcp2_conn_initiate_key_update(conn->q, net_conn_now(conn)) == 0;
}

/* TLS is gone once a connection is open; its keys change all the same, whoever begins. */
static void keys_change_under_way(void **state)
{
    (void)state;
    struct world w;
    struct sender t;
    int changes = 0;
    struct stoq_net_config small = {.send_buffer_bytes = STOQ_MIB};
    world_init(&w, &small, NULL);
    world_connect(&w);
    send_to_b(&w, &t, 16 * STOQ_MIB, check_only);
    for (uint64_t mark = 4 * STOQ_MIB; mark < 16 * STOQ_MIB; mark += 4 * STOQ_MIB) {
        t.most_buffered = mark;
        assert_true(world_run(&w, b_got_next_mebibyte));
        struct side *s = mark / STOQ_MIB % 8 == 0 ? &w.a : &w.b;
        /* Refused while the one before is still settling (RFC 9001 section 6.5). */
        bool changed = update_keys(s);
        for (int i = 0; i < 1000 && !changed; i++) {
            world_idle(&w, 5 * STOQ_MS);
            changed = update_keys(s);
        }
        changes += changed;
    }
    assert_true(world_run(&w, b_has_all_sixteen));
    assert_int_equal(changes, 3);
    assert_int_equal(w.a.closed + w.b.closed, 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_stream_comes_back_intact),
        cmocka_unit_test(unconsumed_bytes_hold_the_sender),
        cmocka_unit_test(closed_streams_still_owe),
        cmocka_unit_test(many_streams_take_turns),
        cmocka_unit_test(reset_code_arrives),
        cmocka_unit_test(stop_code_arrives),
        cmocka_unit_test(misuse_is_told),
        cmocka_unit_test(close_releases_what_waits),
        cmocka_unit_test(free_releases_what_waits),
        cmocka_unit_test(lost_packets_are_sent_again),
        cmocka_unit_test(control_overtakes_bulk),
        cmocka_unit_test(classes_go_in_order),
        cmocka_unit_test(keys_change_under_way),
        ON_TWO_THREADS(big_stream_comes_back_intact),
        ON_TWO_THREADS(unconsumed_bytes_hold_the_sender),
        ON_TWO_THREADS(many_streams_take_turns),
        ON_TWO_THREADS(reset_code_arrives),
        ON_TWO_THREADS(stop_code_arrives),
        ON_TWO_THREADS(misuse_is_told),
        ON_TWO_THREADS(close_releases_what_waits),
        ON_TWO_THREADS(free_releases_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
