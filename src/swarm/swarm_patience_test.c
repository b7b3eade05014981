/*
 * How long a peer is waited for, how long it is left alone, and what it is then asked for: by hand, where a
 * whole transfer comes out alike with and without the rule.
 */
#include "swarm/swarm_harness.h"

#define PEER 3

static stoq_ns now;

/* Sequential, with so many chunks and one peer that has them. */
static struct stoq_swarm *begin(uint32_t chunks)
{
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    assert_int_equal(add(sw, 0, chunks, NULL), STOQ_OK);
    assert_int_equal(add_peer(sw, PEER, false), STOQ_OK);
    now = STOQ_SEC;
    return sw;
}

static struct stoq_swarm_peer_stats stats_of(const struct stoq_swarm *sw, stoq_peer peer)
{
    struct stoq_swarm_peer_stats st;
    assert_true(stoq_swarm_peer_stats(sw, peer, &st));
    return st;
}

/* Poll until nothing is wanted now; how many actions of a kind there were. */
static unsigned count_of(struct stoq_swarm *sw, enum stoq_swarm_action_kind kind)
{
    struct stoq_swarm_action act;
    unsigned n = 0;
    while (stoq_swarm_poll(sw, now, &act)) {
        n += act.kind == kind;
    }
    return n;
}

/* Wait, from deadline to deadline, until the peer is asked again. */
static struct stoq_swarm_action next_request(struct stoq_swarm *sw)
{
    struct stoq_swarm_action act;
    for (;;) {
        while (stoq_swarm_poll(sw, now, &act)) {
            if (act.kind == STOQ_SWARM_REQUEST) {
                return act;
            }
        }
        now = stoq_swarm_deadline(sw);
        assert_true(now != STOQ_NEVER);
    }
}

/* After each failure in a row it is left alone for twice as long. */
static void failures_are_left_alone_ever_longer(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(10);
    for (unsigned i = 0; i + 1 < STOQ_SWARM_STRIKES_MAX; i++) {
        stoq_swarm_cookie cookie = next_request(sw).u.request.cookie;
        stoq_ns from = now;
        assert_int_equal(ended(sw, cookie, STOQ_NET, now), STOQ_OK);
        struct stoq_swarm_action act = next_request(sw);
        assert_int_equal(now - from, STOQ_SWARM_BACKOFF << i);
        assert_true(act.u.request.chunk_count <= STOQ_SWARM_LEAST_CHUNKS);
        assert_int_equal(ended(sw, act.u.request.cookie, STOQ_CANCELLED, now), STOQ_OK);
    }
    stoq_swarm_free(sw);
}

/* One good chunk, and the row is over: three failures, a chunk, three failures are not six. */
static void a_chunk_ends_a_row_of_failures(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(10);
    for (uint64_t round = 0; round < 4; round++) {
        for (unsigned i = 0; i + 1 < STOQ_SWARM_STRIKES_MAX; i++) {
            stoq_swarm_cookie cookie = next_request(sw).u.request.cookie;
            assert_int_equal(ended(sw, cookie, STOQ_NET, now), STOQ_OK);
        }
        stoq_swarm_cookie cookie = next_request(sw).u.request.cookie;
        assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, cookie, round, now + 1), STOQ_OK);
        assert_int_equal(ended(sw, cookie, STOQ_CANCELLED, now + 1), STOQ_OK);
        assert_true(stats_of(sw, PEER).usable);
    }
    stoq_swarm_free(sw);
}

/* Being busy is no failure, however often. */
static void busy_is_no_strike(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(10);
    for (unsigned i = 0; i < 5 * STOQ_SWARM_STRIKES_MAX; i++) {
        stoq_swarm_cookie cookie = next_request(sw).u.request.cookie;
        assert_int_equal(ended(sw, cookie, STOQ_BUSY, now), STOQ_OK);
        assert_true(stats_of(sw, PEER).usable);
    }
    stoq_swarm_free(sw);
}

/* With each such answer in a row it is left alone for longer, and never as long as the next one is. */
static void a_busy_one_is_asked_ever_less_often(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(10);
    for (unsigned i = 0; i < STOQ_SWARM_BUSY_DOUBLINGS + 3; i++) {
        stoq_swarm_cookie cookie = next_request(sw).u.request.cookie;
        stoq_ns from = now;
        stoq_ns most = STOQ_SWARM_BACKOFF
                       << (i < STOQ_SWARM_BUSY_DOUBLINGS ? i : STOQ_SWARM_BUSY_DOUBLINGS);
        assert_int_equal(ended(sw, cookie, STOQ_BUSY, now), STOQ_OK);
        cookie = next_request(sw).u.request.cookie;
        assert_true(now - from >= most / 2 && now - from < most);
        assert_int_equal(ended(sw, cookie, STOQ_CANCELLED, now), STOQ_OK);
    }
    stoq_swarm_cookie cookie = next_request(sw).u.request.cookie;
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, cookie, 0, now + 1), STOQ_OK);
    assert_int_equal(ended(sw, cookie, STOQ_CANCELLED, now + 1), STOQ_OK);
    cookie = next_request(sw).u.request.cookie;
    stoq_ns from = now;
    assert_int_equal(ended(sw, cookie, STOQ_BUSY, now), STOQ_OK);
    (void)next_request(sw);
    assert_true(now - from < STOQ_SWARM_BACKOFF); /* a chunk, and it begins anew */
    stoq_swarm_free(sw);
}

/* A source that is capped to 170 kB/s sends a chunk at once and nothing for 380 ms. It may be silent for
 * as long as three chunks take it; one that is silent for longer is left for another one. */
static void a_capped_source_is_waited_for(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(500);
    stoq_swarm_cookie slow = next_request(sw).u.request.cookie;
    stoq_swarm_cookie other = 0;
    uint64_t at = 0;
    uint64_t brought = 0;
    stoq_ns last = now;
    assert_int_equal(add_peer(sw, PEER + 1, false), STOQ_OK);
    for (unsigned tick = 0; stats_of(sw, PEER).stalls == 0; tick++, now += 20 * STOQ_MS) {
        struct stoq_swarm_action act;
        assert_true(now < last + 5 * STOQ_SEC);
        while (stoq_swarm_poll(sw, now, &act)) {
            if (act.kind == STOQ_SWARM_REQUEST && act.u.request.peer == PEER + 1 && other == 0) {
                other = act.u.request.cookie;
                at = act.u.request.ranges[0].first;
            }
        }
        if (tick % 19 == 0 && brought < 8) {
            assert_int_equal(progress(sw, slow, CHUNK, now), STOQ_OK);
            assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, slow, brought++, now), STOQ_OK);
            last = now;
        }
        if (tick % 5 == 0) { /* it keeps being one that could help */
            assert_int_equal(progress(sw, other, CHUNK, now), STOQ_OK);
            assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, other, at++, now), STOQ_OK);
        }
    }
    assert_int_equal(brought, 8);
    assert_true(now > last + 3 * 380 * STOQ_MS);
    stoq_swarm_free(sw);
}

/* The only source is given up when its silence is as long as it may be, and not at the next look. */
static void silence_ends_on_time(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(10);
    stoq_ns from = now;
    (void)next_request(sw);
    now += 100 * STOQ_MS; /* woken by something else: its looks at what is under way begin here */
    assert_int_equal(count_of(sw, STOQ_SWARM_CHARGE), 0);
    unsigned charges = 0;
    while (charges == 0) {
        charges = count_of(sw, STOQ_SWARM_CHARGE);
        if (charges == 0) {
            now = stoq_swarm_deadline(sw);
            assert_true(now <= from + STOQ_SWARM_SILENCE);
        }
    }
    assert_int_equal(now, from + STOQ_SWARM_SILENCE);
    stoq_swarm_free(sw);
}

/* Two that fall silent at once cannot help one another: both are waited for, neither is charged. */
static void those_who_are_silent_too_cannot_help(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(200);
    assert_int_equal(add_peer(sw, PEER + 1, false), STOQ_OK);
    stoq_ns from = now;
    assert_true(count_of(sw, STOQ_SWARM_REQUEST) >= 2);
    while (now < from + STOQ_SWARM_SILENCE - STOQ_MS) {
        struct stoq_swarm_action act;
        while (stoq_swarm_poll(sw, now, &act)) {
            assert_true(act.kind != STOQ_SWARM_CHARGE && act.kind != STOQ_SWARM_CANCEL);
        }
        now = stoq_swarm_deadline(sw);
    }
    assert_true(stats_of(sw, PEER).usable && stats_of(sw, PEER + 1).usable);
    assert_int_equal(stats_of(sw, PEER).stalls + stats_of(sw, PEER + 1).stalls, 0);
    stoq_swarm_free(sw);
}

/* Bring everything of a request, a chunk a millisecond. */
static void bring(struct stoq_swarm *sw, const struct stoq_swarm_request *rq)
{
    struct stoq_range range = rq->ranges[0];
    stoq_swarm_cookie cookie = rq->cookie;
    assert_int_equal(rq->range_count, 1);
    for (uint32_t k = 0; k < range.count; k++) {
        now += STOQ_MS;
        assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, cookie, range.first + k, now), STOQ_OK);
    }
}

/* A peer that stalled while another could help is tried with little: what it was before says nothing. */
static void after_a_stall_the_first_request_is_small(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(500);
    for (unsigned i = 0; i < 3; i++) {
        struct stoq_swarm_action act = next_request(sw);
        bring(sw, &act.u.request);
    }
    struct stoq_swarm_action act = next_request(sw);
    assert_true(act.u.request.chunk_count > STOQ_SWARM_FIRST_CHUNKS); /* it is fast */
    assert_int_equal(add_peer(sw, PEER + 1, false), STOQ_OK);
    /* It says nothing any more; the other one brings a chunk now and then, so it can help. */
    stoq_swarm_cookie other = 0;
    uint64_t at = 0;
    while (stats_of(sw, PEER).stalls == 0) {
        while (stoq_swarm_poll(sw, now, &act)) {
            if (act.kind == STOQ_SWARM_REQUEST && other == 0) {
                assert_int_equal(act.u.request.peer, PEER + 1);
                other = act.u.request.cookie;
                at = act.u.request.ranges[0].first;
            }
        }
        now += 100 * STOQ_MS;
        assert_true(now < 5 * STOQ_SEC);
        assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, other, at++, now), STOQ_OK);
    }
    struct stoq_swarm_event gone = {.kind = STOQ_SWARM_PEER_GONE, .u.peer = {.peer = PEER + 1}};
    assert_int_equal(stoq_swarm_feed(sw, &gone, now), STOQ_OK);
    act = next_request(sw);
    assert_int_equal(act.u.request.peer, PEER);
    assert_true(act.u.request.chunk_count <= STOQ_SWARM_LEAST_CHUNKS);
    stoq_swarm_free(sw);
}

/* A time in which the peer had nothing to send can raise its rate, not lower it. */
static void running_dry_does_not_lower_the_rate(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(STOQ_SWARM_FIRST_CHUNKS);
    struct stoq_swarm_action act = next_request(sw);
    bring(sw, &act.u.request);
    uint64_t rate = stats_of(sw, PEER).rate_bytes_per_s;
    assert_true(rate > 10000000);
    static const stoq_ns takes[] = {5 * STOQ_MS, 60 * STOQ_MS};
    for (size_t i = 0; i < STOQ_COUNT(takes); i++) {
        now += STOQ_SEC; /* in between it is not asked for anything */
        assert_int_equal(add(sw, 100 + i, 1, NULL), STOQ_OK);
        act = next_request(sw);
        now += takes[i];
        assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, act.u.request.cookie, 100 + i, now),
                         STOQ_OK);
    }
    assert_true(stats_of(sw, PEER).rate_bytes_per_s >= rate);
    stoq_swarm_free(sw);
}

/* The peer has lost one of two requests: it is asked again, not at once, for that is a failure of its. */
static void a_lost_request_is_noticed(void **state)
{
    (void)state;
    struct stoq_swarm *sw = begin(STOQ_SWARM_FIRST_CHUNKS);
    struct stoq_swarm_action act = next_request(sw);
    bring(sw, &act.u.request);
    assert_int_equal(add(sw, 100, 2, NULL), STOQ_OK);
    stoq_swarm_cookie lost = next_request(sw).u.request.cookie;
    assert_int_equal(add(sw, 200, 60, NULL), STOQ_OK);
    act = next_request(sw);
    stoq_swarm_cookie moves = act.u.request.cookie;
    assert_int_equal(act.u.request.chunk_count, 60);
    bool cancelled = false;
    stoq_ns from = now;
    for (uint64_t i = 0; i < 60 && !cancelled; i++) {
        now += 200 * STOQ_MS;
        assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, moves, 200 + i, now), STOQ_OK);
        while (stoq_swarm_poll(sw, now, &act)) {
            assert_true(act.kind != STOQ_SWARM_REQUEST);
            if (act.kind == STOQ_SWARM_CANCEL) {
                assert_true(act.u.cancel.cookie == lost);
                cancelled = true;
            }
        }
    }
    assert_true(cancelled && now - from >= STOQ_SWARM_SILENCE);
    stoq_ns cancelled_at = now;
    act = next_request(sw);
    assert_true(act.u.request.ranges[0].first == 100 && now > cancelled_at);
    stoq_swarm_free(sw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_left_alone_ever_longer),
        cmocka_unit_test(a_chunk_ends_a_row_of_failures),
        cmocka_unit_test(busy_is_no_strike),
        cmocka_unit_test(a_busy_one_is_asked_ever_less_often),
        cmocka_unit_test(a_capped_source_is_waited_for),
        cmocka_unit_test(silence_ends_on_time),
        cmocka_unit_test(those_who_are_silent_too_cannot_help),
        cmocka_unit_test(after_a_stall_the_first_request_is_small),
        cmocka_unit_test(running_dry_does_not_lower_the_rate),
        cmocka_unit_test(a_lost_request_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
