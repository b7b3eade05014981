/* How much others may ask of a node, and how often they may be wrong. */
#include "node/node_alone_harness.h"

static struct stoq_range one = {0, 1}; /* of requests for chunks */
static uint64_t queue_bytes;           /* what waits for the line meanwhile */
static stoq_ns queue_ns;

static void inbound(stoq_peer peer, stoq_stream stream, uint64_t type)
{
    struct stoq_message msg = {.type = type, .request_id = stream};
    if (type == STOQ_MSG_CHUNK_REQUEST) {
        msg.u.chunk_request = (struct stoq_msg_chunk_request){
            .id = package, .ranges = &one, .range_count = 1, .chunk_count = 1};
    } else if (type == STOQ_MSG_METADATA_QUERY) {
        msg.u.metadata_query =
            (struct stoq_msg_metadata_query){.id = package, .kind = STOQ_META_MANIFEST};
    }
    feed((struct stoq_node_event){
        .kind = STOQ_NODE_INBOUND,
        .u.inbound = {peer, stream, &msg, .queue_bytes = queue_bytes, .queue_ns = queue_ns}});
}

/* Serving: what one peer, and what all may have under way; what is done makes room. */
static void requests_past_their_number_are_busy(void **state)
{
    (void)state;
    const struct stoq_node_config cfg = {.agent = stoq_span_str("test"),
                                         .serves_link_max = 3,
                                         .serves_link_least = 2,
                                         .serves_max = 5};
    stoq_node_free(node);
    (void)node_setup_with(&cfg);
    link_up(1);
    link_up(2);
    for (stoq_stream s = 1; s <= 3; s++) {
        inbound(1, s, s % 2 == 0 ? STOQ_MSG_CHUNK_REQUEST : STOQ_MSG_METADATA_QUERY);
        struct wishes w = poll_all();
        assert_int_equal(w.count[STOQ_NODE_SERVE_META] + w.count[STOQ_NODE_SERVE_CHUNKS], 1);
    }
    inbound(1, 4, STOQ_MSG_CHUNK_REQUEST);
    struct wishes w = poll_all();
    assert_int_equal(w.error, STOQ_ERR_BUSY);
    assert_int_equal(w.count[STOQ_NODE_SERVE_CHUNKS], 0);
    inbound(1, 5, STOQ_MSG_PING); /* costs nothing, is never refused */
    w = poll_all();
    assert_true(w.count[STOQ_NODE_SEND] == 1 && w.error == 0);
    /* The other peer has room of its own, until all of it is used. */
    for (stoq_stream s = 11; s <= 13; s++) {
        inbound(2, s, STOQ_MSG_METADATA_QUERY);
        w = poll_all();
        assert_int_equal(w.error, s == 13 ? STOQ_ERR_BUSY : 0);
    }
    link_up(3); /* nothing of that room is left, and yet it has its own least */
    (void)poll_all();
    for (stoq_stream s = 21; s <= 23; s++) {
        inbound(3, s, STOQ_MSG_METADATA_QUERY);
        w = poll_all();
        assert_int_equal(w.error, s == 23 ? STOQ_ERR_BUSY : 0);
    }
    feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {3, 21, 100}});
    feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {3, 22, 100}});
    struct stoq_node_stats st;
    stoq_node_stats(node, &st);
    assert_true(st.serves == 5 && st.requests_refused == 3);
    /* One of the first peer's ends: one more of it is served, and not two. */
    feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {1, 1, 100}});
    inbound(1, 6, STOQ_MSG_METADATA_QUERY);
    assert_int_equal(poll_all().count[STOQ_NODE_SERVE_META], 1);
    inbound(1, 7, STOQ_MSG_METADATA_QUERY);
    assert_int_equal(poll_all().error, STOQ_ERR_BUSY);
}

static void wait_for_the_line(uint64_t bytes, stoq_ns ns)
{
    queue_bytes = bytes;
    queue_ns = ns;
}

/* What one request for this chunk comes to. */
static uint64_t asks_for(stoq_peer peer, uint64_t chunk)
{
    static stoq_stream stream = 1000;
    one.first = chunk;
    inbound(peer, ++stream, STOQ_MSG_CHUNK_REQUEST);
    struct wishes w = poll_all();
    assert_int_equal(w.count[STOQ_NODE_SERVE_CHUNKS], w.error == 0 ? 1 : 0);
    one.first = 0;
    return w.error;
}

/* A line that is busy for long takes no more requests; metadata are little, and a few chunks are not much
 * even where they take long. */
static void a_line_that_is_busy_for_long_takes_no_more(void **state)
{
    (void)state;
    link_up(1);
    wait_for_the_line(STOQ_NODE_QUEUE_BYTES, STOQ_NODE_QUEUE_NS);
    assert_int_equal(asks_for(1, 1), 0);
    wait_for_the_line(STOQ_NODE_QUEUE_BYTES, STOQ_NODE_QUEUE_NS + 1);
    assert_int_equal(asks_for(1, 2), STOQ_ERR_BUSY);
    inbound(1, 5, STOQ_MSG_METADATA_QUERY);
    assert_int_equal(poll_all().count[STOQ_NODE_SERVE_META], 1);
    /* Few requests of another keep nobody out who has none there; many do. */
    link_up(2);
    assert_int_equal(asks_for(2, 2), 0);
    assert_int_equal(asks_for(2, 3), STOQ_ERR_BUSY);
    wait_for_the_line(STOQ_NODE_QUEUE_BYTES - 1, 10 * STOQ_SEC);
    for (uint64_t i = 3; i < STOQ_NODE_QUEUE_FEW; i++) {
        assert_int_equal(asks_for(1, i), 0);
    }
    wait_for_the_line(STOQ_NODE_QUEUE_BYTES, STOQ_NODE_QUEUE_NS + 1);
    link_up(3);
    assert_int_equal(asks_for(3, 2), STOQ_ERR_BUSY);
    wait_for_the_line(0, 0);
}

/* While others wait, a chunk goes to one of them, and to the next ones eight seconds later. */
static void a_chunk_goes_to_one_first(void **state)
{
    (void)state;
    link_up(1);
    link_up(2);
    wait_for_the_line(1 << 20, SPREAD_QUEUE);
    assert_int_equal(asks_for(1, 7), 0);
    assert_int_equal(asks_for(2, 7), STOQ_ERR_BUSY);
    assert_int_equal(asks_for(1, 7), 0); /* it may have lost it */
    assert_int_equal(asks_for(2, 8), 0);
    one.count = 2; /* one of them has not left */
    assert_int_equal(asks_for(1, 8), 0);
    one.count = 1;
    now += SPREAD_FOR;
    assert_int_equal(asks_for(2, 7), STOQ_ERR_BUSY);
    wait_for_the_line(1 << 20, SPREAD_QUEUE - 1);
    assert_int_equal(asks_for(2, 7), 0); /* the line has time */
    wait_for_the_line(1 << 20, SPREAD_QUEUE);
    now += SPREAD_FOR + 1;
    assert_int_equal(asks_for(1, 7), 0);
    for (uint64_t i = 0; i < 2 * SPREAD_MAX; i++) { /* what is remembered has an end */
        assert_int_equal(asks_for(1, 100 + i), 0);
        feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {1, i, 1}});
    }
    assert_int_equal(asks_for(2, 100 + 2 * SPREAD_MAX - 1), STOQ_ERR_BUSY);
    assert_int_equal(asks_for(2, 100), 0);
    wait_for_the_line(0, 0);
}

static void takes(stoq_peer peer, uint64_t chunk)
{
    assert_int_equal(asks_for(peer, chunk), 0);
    feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {peer, chunk, 1}});
}

/* Two others get so many chunks each, again and again; does the third get the first of them, which it asks
 * for every 200 ms? */
static bool is_served_beside(uint64_t first, uint32_t each, unsigned tries)
{
    bool is_served = false;
    for (unsigned i = 0; i < tries && !is_served; i++) {
        for (uint64_t k = i * each; k < (i + 1) * each; k++) {
            takes(1, first + 2 * k);
            takes(2, first + 2 * k + 1);
        }
        is_served = asks_for(3, first) == 0;
        now += 200 * STOQ_MS;
    }
    return is_served;
}

/* Who is sent to others again and again, while these get chunk after chunk, has nobody else to ask. */
static void who_knows_nobody_else_is_served(void **state)
{
    (void)state;
    for (stoq_peer p = 1; p <= 3; p++) {
        link_up(p);
    }
    wait_for_the_line(1 << 20, SPREAD_QUEUE);
    assert_false(is_served_beside(1000, 1, 15)); /* it is not far behind: fifteen each */
    assert_true(is_served_beside(1030, 1, 2));   /* sixteen */
    feed((struct stoq_node_event){.kind = STOQ_NODE_SERVED, .u.served = {3, 1, 1}});
    stoq_ns alone_at = now;
    for (uint64_t k = 1000; k < 1020; k++) {
        takes(3, k); /* and all the rest, from now on */
    }
    now = alone_at + SPREAD_ALONE * 4 * STOQ_SEC;
    assert_false(is_served_beside(2000, 20, 5)); /* not for ever, nor at once */
    now += SPREAD_PAUSE + STOQ_SEC;
    assert_false(is_served_beside(3000, 20, 5)); /* nor if it comes by now and then */
    assert_true(is_served_beside(3200, 1, 1));
    wait_for_the_line(0, 0);
}

/* Who is still fetching sends what it has to everybody. */
static void who_fetches_it_spreads_to_all(void **state)
{
    (void)state;
    link_up(1);
    link_up(2);
    wait_for_the_line(1 << 20, SPREAD_QUEUE);
    assert_int_equal(asks_for(1, 7), 0);
    const stoq_peer source = 9;
    feed((struct stoq_node_event){
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = 1, .id = package, .sources = &source, .source_count = 1}});
    struct stoq_message msg = {.type = STOQ_MSG_CHUNK_REQUEST};
    struct stoq_node_inbound in = {
        .peer = 2, .msg = &msg, .queue_bytes = queue_bytes, .queue_ns = queue_ns};
    struct stoq_range range = {7, 1};
    msg.u.chunk_request = (struct stoq_msg_chunk_request){
        .id = package, .ranges = &range, .range_count = 1, .chunk_count = 1};
    assert_false(spread_holds_back(node, node_link(node, 2), &in));
    feed((struct stoq_node_event){.kind = STOQ_NODE_STOP, .u.stop = {.fetch = 1}});
    assert_true(spread_holds_back(node, node_link(node, 2), &in));
    wait_for_the_line(0, 0);
}

/* A shell that cannot keep up with a flood has a bounded number of answers waiting. */
static void a_flood_is_closed(void **state)
{
    (void)state;
    static const bool is_bad[] = {false, true};
    link_up(20);
    (void)poll_all();
    for (size_t i = 0; i < STOQ_COUNT(is_bad); i++) {
        stoq_peer peer = (stoq_peer)(10 + i);
        link_up(peer);
        (void)poll_all();
        for (stoq_stream s = 1; s <= STOQ_NODE_REPLIES_MAX + 5; s++) {
            if (is_bad[i]) { /* of a version that is not ours: no fault, but an answer each */
                feed((struct stoq_node_event){.kind = STOQ_NODE_INBOUND_BAD,
                                              .u.bad = {peer, s, s, STOQ_VERSION}});
            } else {
                inbound(peer, s, STOQ_MSG_PING);
            }
        }
        inbound(20, 1 + i, STOQ_MSG_PING); /* nor does the flood shut others out */
        struct wishes w = poll_all();
        assert_int_equal(w.count[STOQ_NODE_SEND], STOQ_NODE_REPLIES_MAX + 1);
        assert_true(w.count[STOQ_NODE_CLOSE] >= 1);
        inbound(peer, 9999, STOQ_MSG_PING); /* what was polled makes room */
        assert_int_equal(poll_all().count[STOQ_NODE_SEND], 1);
    }
}

/* A few mistakes are answered, one more closes; a new connection begins anew. */
static void mistakes_are_counted_by_connection(void **state)
{
    (void)state;
    for (int connection = 0; connection < 2; connection++) {
        link_up(1);
        (void)poll_all();
        for (stoq_stream s = 1; s <= STOQ_NODE_FAULTS_MAX; s++) {
            feed((struct stoq_node_event){.kind = STOQ_NODE_INBOUND_BAD,
                                          .u.bad = {1, s, 0, STOQ_MALFORMED}});
            struct wishes w = poll_all();
            assert_int_equal(w.error, STOQ_ERR_MALFORMED);
            assert_int_equal(w.charged, STOQ_NODE_BAD_REQUEST);
            assert_int_equal(w.count[STOQ_NODE_CLOSE], s == STOQ_NODE_FAULTS_MAX);
        }
        feed((struct stoq_node_event){.kind = STOQ_NODE_LINK_DOWN, .u.link = {.peer = 1}});
    }
}

/* Somebody of whom nothing is known gets small requests, and who has served well is preferred to it; who
 * says less of itself gets less. */
static void strangers_get_small_requests(void **state)
{
    (void)state;
    const struct stoq_peer_id id = {{{4}}};
    feed((struct stoq_node_event){.kind = STOQ_NODE_PEER, .u.peer = {.peer = 1, .id = &id}});
    assert_int_equal(standing_chunks_max(node, 1, 4096), STOQ_NODE_BUDGET_CHUNKS);
    assert_int_equal(standing_chunks_max(node, 1, 0), STOQ_NODE_BUDGET_CHUNKS);
    assert_int_equal(standing_chunks_max(node, 1, 5), 5);
    assert_int_equal(standing_weight(node, 1), 130);
    const struct stoq_trust_record good = {
        .peer = id, .successful_transfers = 100, .good = (uint64_t)100 << 32};
    feed((struct stoq_node_event){.kind = STOQ_NODE_TRUST, .u.trust = {.record = &good}});
    assert_int_equal(standing_chunks_max(node, 1, 4096), 4096);
    assert_true(standing_weight(node, 1) > 900);
    const struct stoq_trust_record bad = {
        .peer = id, .timeout_count = 100, .bad = (uint64_t)20 << 32};
    feed((struct stoq_node_event){.kind = STOQ_NODE_TRUST, .u.trust = {.record = &bad}});
    assert_int_equal(standing_weight(node, 1), 50); /* and still tried */
}

static uint64_t failed_transfers(void)
{
    struct stoq_trust_record record;
    assert_true(stoq_trust_at(stoq_node_trust(node), 0, node->now, &record));
    return record.failed_transfers;
}

static void ask_chunks(stoq_node_cookie cookie)
{
    const struct stoq_node_action ask = {.kind = STOQ_NODE_ASK_CHUNKS,
                                         .u.ask_chunks = {.cookie = cookie, .peer = 1}};
    node->now += STOQ_MS;
    standing_action(node, &ask);
}

static void brings(stoq_node_cookie cookie)
{
    const struct stoq_node_event ev = {.kind = STOQ_NODE_CHUNK,
                                       .u.chunk = {.cookie = cookie, .wire_bytes = 1000}};
    standing_event(node, &ev);
}

static void ends(stoq_node_cookie cookie, enum stoq_status status)
{
    const struct stoq_node_event ev = {.kind = STOQ_NODE_ASK_ENDED, .u.ended = {cookie, status}};
    node->now += 5 * STOQ_SEC; /* as slow as that */
    standing_event(node, &ev);
}

/* A peer that goes: it refuses what is new while two requests end, and breaks the third. Dialled again it
 * breaks as well. Once it has served again it can fail again. */
static void what_breaks_together_counts_once(void **state)
{
    (void)state;
    const struct stoq_peer_id id = {{{4}}};
    feed((struct stoq_node_event){.kind = STOQ_NODE_PEER, .u.peer = {.peer = 1, .id = &id}});
    for (stoq_node_cookie c = 901; c <= 904; c++) {
        ask_chunks(c);
    }
    ends(901, STOQ_NET);
    assert_int_equal(failed_transfers(), 1);
    brings(902);
    ends(902, STOQ_OK);
    ask_chunks(905);
    ends(905, STOQ_NET);
    brings(903); /* asked for before anything broke: no sign that it serves again */
    ends(903, STOQ_NET);
    ends(904, STOQ_NET);
    ask_chunks(906);
    ends(906, STOQ_NET);
    assert_int_equal(failed_transfers(), 1);
    ask_chunks(907);
    brings(907);
    ends(907, STOQ_NET);
    assert_int_equal(failed_transfers(), 2);
    node->now += 60 * STOQ_SEC; /* one that never brings anything is not forgiven for that */
    ask_chunks(908);
    ends(908, STOQ_NET);
    assert_int_equal(failed_transfers(), 3);
}

/* A number that is another peer's by now: what it did has no bearing on who had it. */
static void a_number_used_again_breaks_anew(void **state)
{
    (void)state;
    const struct stoq_peer_id ids[2] = {{{{4}}}, {{{5}}}};
    feed((struct stoq_node_event){.kind = STOQ_NODE_PEER, .u.peer = {.peer = 1, .id = &ids[0]}});
    ask_chunks(901);
    feed((struct stoq_node_event){.kind = STOQ_NODE_PEER, .u.peer = {.peer = 1, .id = &ids[1]}});
    ask_chunks(902);
    ends(902, STOQ_NET);
    ends(901, STOQ_NET);
    for (uint32_t i = 0; i < 2; i++) {
        struct stoq_node_standing s;
        stoq_node_standing(node, &ids[i], node->now, &s);
        assert_int_equal(s.record.failed_transfers, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(requests_past_their_number_are_busy),
        ALONE(a_line_that_is_busy_for_long_takes_no_more),
        ALONE(a_chunk_goes_to_one_first),
        ALONE(who_knows_nobody_else_is_served),
        ALONE(who_fetches_it_spreads_to_all),
        ALONE(a_flood_is_closed),
        ALONE(mistakes_are_counted_by_connection),
        ALONE(strangers_get_small_requests),
        ALONE(what_breaks_together_counts_once),
        ALONE(a_number_used_again_breaks_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
