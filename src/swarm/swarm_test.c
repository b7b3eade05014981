#include "swarm/swarm_harness.h"
#include "tests/failing.h"

static void adds_are_checked(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_RAREST);
    assert_int_equal(add(sw, 0, 0, NULL), STOQ_RANGE);
    assert_int_equal(add(sw, 0, STOQ_SWARM_ADD_CHUNKS_MAX + 1, NULL), STOQ_RANGE);
    assert_int_equal(add(sw, UINT64_MAX - 3, 10, NULL), STOQ_RANGE);
    assert_int_equal(add(sw, 100, 50, NULL), STOQ_OK);
    assert_int_equal(add(sw, 149, 1, NULL), STOQ_RANGE);
    assert_int_equal(add(sw, 90, 11, NULL), STOQ_RANGE);
    assert_int_equal(add(sw, 90, 100, NULL), STOQ_RANGE);
    assert_int_equal(add(sw, 90, 10, NULL), STOQ_OK);
    assert_int_equal(add(sw, 150, 10, NULL), STOQ_OK);
    uint32_t zero = 0;
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_ADD, .u.add = {{900, 1}, &zero, NULL}};
    assert_int_equal(stoq_swarm_feed(sw, &ev, 1), STOQ_RANGE);
    zero = STOQ_SWARM_CHUNK_BYTES_MAX + 1;
    assert_int_equal(stoq_swarm_feed(sw, &ev, 1), STOQ_RANGE);
    assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
    assert_int_equal(add(sw, 500, 1, NULL), STOQ_RANGE);
    assert_true(stoq_swarm_wants(sw, 155));
    assert_false(stoq_swarm_wants(sw, 160));
    stoq_swarm_check(sw);
    stoq_swarm_free(sw);
    stoq_swarm_free(NULL);
}

static void caps_are_held(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_RAREST);
    uint64_t first = 0;
    while (stoq_swarm_room(sw) >= 512) {
        assert_int_equal(add(sw, first, 512, NULL), STOQ_OK);
        first += 512;
    }
    assert_int_equal(first, STOQ_SWARM_OPEN_MAX);
    assert_int_equal(add(sw, first, 1, NULL), STOQ_FULL);
    for (stoq_peer i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        assert_int_equal(add_peer(sw, 1000 + i, false), STOQ_OK);
    }
    assert_int_equal(add_peer(sw, 1000, false), STOQ_OK); /* again: nothing new */
    assert_int_equal(add_peer(sw, 5, false), STOQ_FULL);
    /* Every peer gets its first requests, in all no more than there is room for. */
    struct stoq_swarm_action act;
    while (stoq_swarm_poll(sw, 1, &act)) {
        assert_int_equal(act.kind, STOQ_SWARM_REQUEST);
    }
    struct stoq_swarm_stats st;
    stoq_swarm_stats(sw, &st);
    assert_true(st.requests >= STOQ_SWARM_PEERS_MAX && st.requests <= STOQ_SWARM_REQUESTS_MAX);
    stoq_swarm_check(sw);
    stoq_swarm_free(sw);

    sw = new_swarm(STOQ_SWARM_RAREST);
    for (uint64_t i = 0; i < STOQ_SWARM_RUNS_MAX; i++) {
        assert_int_equal(add(sw, 2 * i, 1, NULL), STOQ_OK);
    }
    assert_int_equal(stoq_swarm_room(sw), 0);
    assert_int_equal(add(sw, 1, 1, NULL), STOQ_FULL);
    stoq_swarm_free(sw);
}

static void what_is_held_is_not_asked_for(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    const uint8_t have[] = {0xf3, 0xff, 0x0f};
    assert_int_equal(add(sw, 1000, 20, have), STOQ_OK);
    assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
    assert_int_equal(add_peer(sw, 7, false), STOQ_OK);
    struct stoq_swarm_action act = expect(sw, STOQ_SWARM_REQUEST, 1);
    assert_int_equal(act.u.request.peer, 7);
    assert_int_equal(act.u.request.range_count, 1);
    assert_int_equal(act.u.request.ranges[0].first, 1002);
    assert_int_equal(act.u.request.ranges[0].count, 2);
    assert_int_equal(act.u.request.bytes, 2 * 65536);
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, act.u.request.cookie, 1003, 2), STOQ_OK);
    assert_false(stoq_swarm_wants(sw, 1003));
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, 0, 1002, 3), STOQ_OK); /* from elsewhere */
    (void)expect(sw, STOQ_SWARM_CANCEL, 4);
    (void)expect(sw, STOQ_SWARM_DONE, 4);
    assert_false(stoq_swarm_poll(sw, 5, &act));
    assert_true(stoq_swarm_deadline(sw) == STOQ_NEVER);
    /* All held at once. */
    stoq_swarm_free(sw);
    sw = new_swarm(STOQ_SWARM_RAREST);
    const uint8_t all[64] = {0xff};
    assert_int_equal(add(sw, 0, 8, all), STOQ_OK);
    assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
    (void)expect(sw, STOQ_SWARM_DONE, 1);
    stoq_swarm_free(sw);
}

/* Whom the only chunk is asked of, of two with these weights, in a thousand swarms: how often the first. */
static unsigned first_of_two(uint32_t weight, uint32_t other)
{
    unsigned first = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct stoq_swarm *sw;
        struct stoq_swarm_config cfg = {0};
        const uint32_t weights[] = {other, weight};
        assert_int_equal(stoq_swarm_new(&sw, &cfg, seed), STOQ_OK);
        assert_int_equal(add(sw, 0, 1, NULL), STOQ_OK);
        assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
        for (uint32_t i = 0; i < STOQ_COUNT(weights); i++) {
            struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_ADD,
                                          .u.peer = {.peer = i, .weight = weights[i]}};
            assert_int_equal(stoq_swarm_feed(sw, &ev, 1), STOQ_OK);
        }
        first += expect(sw, STOQ_SWARM_REQUEST, 1).u.request.peer == 1;
        stoq_swarm_free(sw);
    }
    return first;
}

static void weight_is_a_chance_to_be_first(void **state)
{
    (void)state;
    unsigned trusted = first_of_two(900, 100);
    assert_true(trusted > 850 && trusted < 950);
    unsigned twice = first_of_two(200, 100);
    assert_true(twice > 610 && twice < 720);
    assert_int_equal(first_of_two(130, 130), 0); /* equal ones: by slot */
}

static void a_liar_is_cut_at_once(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    assert_int_equal(add(sw, 0, 100, NULL), STOQ_OK);
    assert_int_equal(add_peer(sw, 3, false), STOQ_OK);
    stoq_swarm_cookie cookie = expect(sw, STOQ_SWARM_REQUEST, 1).u.request.cookie;
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_BAD, cookie, 0, 2), STOQ_OK);
    struct stoq_swarm_action act = expect(sw, STOQ_SWARM_CANCEL, 2);
    assert_true(act.u.cancel.cookie == cookie);
    act = expect(sw, STOQ_SWARM_CHARGE, 2);
    assert_int_equal(act.u.charge.peer, 3);
    assert_int_equal(act.u.charge.why, STOQ_SWARM_BAD_CHUNK);
    (void)expect(sw, STOQ_SWARM_STUCK, 2);
    assert_false(stoq_swarm_poll(sw, 100 * STOQ_SEC, &act));
    /* A verified chunk of the cancelled request is still welcome. */
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, cookie, 1, 3), STOQ_OK);
    assert_false(stoq_swarm_wants(sw, 1));
    /* Another source, and it goes on. */
    assert_int_equal(add_peer(sw, 4, false), STOQ_OK);
    act = expect(sw, STOQ_SWARM_REQUEST, 3);
    assert_int_equal(act.u.request.peer, 4);
    stoq_swarm_check(sw);
    stoq_swarm_free(sw);
}

/* How a request ended decides whether and when its peer is asked again. */
static void endings_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        enum stoq_status status;
        bool charged;
        bool cut;
    } cases[] = {
        {STOQ_NOTFOUND, false, true}, {STOQ_MALFORMED, true, true}, {STOQ_VERSION, false, true},
        {STOQ_PROOF, false, true},    {STOQ_BUSY, false, false},    {STOQ_NET, false, false},
        {STOQ_TIMEOUT, false, false}, {STOQ_OK, false, false},
    };
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
        struct stoq_swarm_action act;
        assert_int_equal(add(sw, 0, 10, NULL), STOQ_OK);
        assert_int_equal(add_peer(sw, 3, false), STOQ_OK);
        stoq_swarm_cookie cookie = expect(sw, STOQ_SWARM_REQUEST, 1).u.request.cookie;
        assert_int_equal(ended(sw, cookie, cases[i].status, 2), STOQ_OK);
        if (cases[i].charged) {
            (void)expect(sw, STOQ_SWARM_CHARGE, 2);
        }
        if (cases[i].cut) {
            (void)expect(sw, STOQ_SWARM_STUCK, 2);
        } else {
            while (stoq_swarm_poll(sw, 2, &act)) {
                assert_int_equal(act.kind, STOQ_SWARM_NEED_MORE);
            }
            stoq_ns at = stoq_swarm_deadline(sw);
            assert_true(at > 50 * STOQ_MS && at < STOQ_SEC);
            act = expect(sw, STOQ_SWARM_REQUEST, at);
            assert_int_equal(act.u.request.peer, 3);
        }
        stoq_swarm_check(sw);
        stoq_swarm_free(sw);
    }
}

static void failures_in_a_row_end_a_peer(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    assert_int_equal(add(sw, 0, 10, NULL), STOQ_OK);
    assert_int_equal(add_peer(sw, 3, false), STOQ_OK);
    stoq_ns now = 1;
    for (int i = 0; i < STOQ_SWARM_STRIKES_MAX; i++) {
        stoq_swarm_cookie cookie = expect(sw, STOQ_SWARM_REQUEST, now).u.request.cookie;
        assert_int_equal(ended(sw, cookie, STOQ_NET, now), STOQ_OK);
        now += 10 * STOQ_SEC;
    }
    (void)expect(sw, STOQ_SWARM_STUCK, now);
    struct stoq_swarm_peer_stats st;
    assert_true(stoq_swarm_peer_stats(sw, 3, &st));
    assert_false(st.usable);
    stoq_swarm_free(sw);
}

/* Two partial holders with one half each, and one chunk that only the second has. */
static void rarest_goes_first(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_RAREST);
    assert_int_equal(add(sw, 0, 64, NULL), STOQ_OK);
    for (stoq_peer p = 0; p < 3; p++) {
        assert_int_equal(add_peer(sw, p, true), STOQ_OK);
    }
    struct stoq_swarm_action act;
    (void)expect(sw, STOQ_SWARM_NEED_MORE, 1);
    (void)expect(sw, STOQ_SWARM_STUCK, 1); /* they have said nothing yet */
    uint8_t bits[3][8];
    memset(bits, 0x0f, sizeof bits);
    bits[2][4] = 0x4f; /* chunk 38: the third alone */
    for (stoq_peer p = 0; p < 3; p++) {
        struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_HAS, .u.has = {p, {0, 64}, bits[p]}};
        assert_int_equal(stoq_swarm_feed(sw, &ev, 1), STOQ_OK);
    }
    bool seen = false;
    uint64_t asked = 0;
    while (stoq_swarm_poll(sw, 2, &act)) {
        assert_int_equal(act.kind, STOQ_SWARM_REQUEST);
        for (uint32_t r = 0; r < act.u.request.range_count; r++) {
            for (uint32_t k = 0; k < act.u.request.ranges[r].count; k++) {
                uint64_t i = act.u.request.ranges[r].first + k;
                assert_true((bits[act.u.request.peer][i / 8] >> (i & 7) & 1) != 0);
                seen = seen || i == 38;
                asked++;
            }
        }
        if (act.u.request.peer == 2) {
            assert_true(seen); /* in the first request of the one that has it */
        }
    }
    assert_int_equal(asked, 33);
    stoq_swarm_check(sw);
    /* A peer that turns out to lack one is not asked for it again; when it is gone nothing is left. */
    for (stoq_peer p = 0; p < 3; p++) {
        struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_GONE, .u.peer = {.peer = p}};
        assert_int_equal(stoq_swarm_feed(sw, &ev, 3), STOQ_OK);
    }
    assert_int_equal(sw->have_count, 0);
    stoq_swarm_check(sw);
    stoq_swarm_free(sw);
}

static void a_missing_chunk_comes_from_another(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    assert_int_equal(add(sw, 0, 1, NULL), STOQ_OK);
    assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
    assert_int_equal(add_peer(sw, 1, false), STOQ_OK);
    stoq_swarm_cookie cookie = expect(sw, STOQ_SWARM_REQUEST, 1).u.request.cookie;
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_MISSING, cookie, 0, 2), STOQ_OK);
    (void)expect(sw, STOQ_SWARM_STUCK, 2);
    assert_int_equal(add_peer(sw, 2, false), STOQ_OK);
    struct stoq_swarm_action act = expect(sw, STOQ_SWARM_REQUEST, 3);
    assert_int_equal(act.u.request.peer, 2);
    assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, act.u.request.cookie, 0, 4), STOQ_OK);
    (void)expect(sw, STOQ_SWARM_DONE, 4);
    stoq_swarm_free(sw);
}

/* "I have none of these" is no measure of how fast a peer is: told later that it has some, one asks it. */
static void a_few_words_are_no_rate(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_RAREST);
    struct stoq_swarm_action act;
    struct stoq_swarm_action asked[3] = {{0}};
    struct stoq_swarm_peer_stats stats;
    assert_int_equal(add(sw, 0, 512, NULL), STOQ_OK);
    assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
    assert_int_equal(add_peer(sw, 1, false), STOQ_OK);
    assert_int_equal(add_peer(sw, 2, false), STOQ_OK);
    while (stoq_swarm_poll(sw, 1, &act)) {
        assert_int_equal(act.kind, STOQ_SWARM_REQUEST);
        asked[act.u.request.peer] = act;
    }
    stoq_ns now = 60 * STOQ_MS;
    assert_int_equal(progress(sw, asked[1].u.request.cookie, STOQ_MIB, now), STOQ_OK);
    const struct stoq_swarm_request *rq = &asked[2].u.request;
    assert_int_equal(progress(sw, rq->cookie, 90, now), STOQ_OK);
    for (uint32_t r = 0; r < rq->range_count; r++) {
        for (uint32_t k = 0; k < rq->ranges[r].count; k++) {
            struct stoq_swarm_event missing = {
                .kind = STOQ_SWARM_CHUNK_MISSING,
                .u.chunk = {
                    .cookie = rq->cookie, .index = rq->ranges[r].first + k, .bytes = 8, .peer = 2}};
            assert_int_equal(stoq_swarm_feed(sw, &missing, now), STOQ_OK);
        }
    }
    assert_int_equal(ended(sw, rq->cookie, STOQ_OK, now), STOQ_OK);
    assert_true(stoq_swarm_peer_stats(sw, 1, &stats) && stats.rate_bytes_per_s > 1000000);
    assert_true(stoq_swarm_peer_stats(sw, 2, &stats) && stats.rate_bytes_per_s == 0);

    uint8_t all[64];
    memset(all, 0xff, sizeof all);
    struct stoq_swarm_event has = {.kind = STOQ_SWARM_PEER_HAS,
                                   .u.has = {.peer = 2, .chunks = {0, 512}, .bits = all}};
    assert_int_equal(stoq_swarm_feed(sw, &has, now), STOQ_OK);
    stoq_peer peer = 0;
    while (peer != 2 && stoq_swarm_poll(sw, now, &act)) {
        peer = act.kind == STOQ_SWARM_REQUEST ? act.u.request.peer : peer;
    }
    assert_int_equal(peer, 2);
    stoq_swarm_check(sw);
    stoq_swarm_free(sw);
}

/* Of two on this machine one that is fast is asked alone, until it is gone; not where a cap holds it. */
static void one_fast_source_of_this_machine_is_enough(void **state)
{
    (void)state;
    static const struct {
        bool local;
        uint64_t cap_bytes_per_s; /* it brings 533 MiB a second */
        bool alone;
    } cases[] = {
        {false, 0, false},
        {true, 0, true},
        {true, 1024 * STOQ_MIB, true},
        {true, 560 * STOQ_MIB, false},
    };
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        struct stoq_swarm *sw = new_swarm(STOQ_SWARM_RAREST);
        struct stoq_swarm_action act;
        stoq_swarm_cookie cookie[3] = {0};
        uint64_t asked[3] = {0};
        for (uint64_t first = 0; first < 2048; first += 512) {
            assert_int_equal(add(sw, first, 512, NULL), STOQ_OK);
        }
        for (stoq_peer peer = 1; peer <= 2; peer++) {
            struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_ADD,
                                          .u.peer = {.peer = peer, .local = cases[i].local}};
            assert_int_equal(stoq_swarm_feed(sw, &ev, 1), STOQ_OK);
        }
        while (stoq_swarm_poll(sw, 1, &act)) {
            cookie[act.u.request.peer] = act.u.request.cookie;
        }
        stoq_ns now = 60 * STOQ_MS;
        struct stoq_swarm_event fast = {
            .kind = STOQ_SWARM_PROGRESS,
            .u.progress = {cookie[1], 32 * STOQ_MIB, cases[i].cap_bytes_per_s}};
        assert_int_equal(progress(sw, cookie[2], STOQ_MIB, now), STOQ_OK);
        assert_int_equal(stoq_swarm_feed(sw, &fast, now), STOQ_OK);
        assert_int_equal(ended(sw, cookie[1], STOQ_CANCELLED, now), STOQ_OK);
        assert_int_equal(ended(sw, cookie[2], STOQ_CANCELLED, now), STOQ_OK);
        while (stoq_swarm_poll(sw, now, &act)) {
            asked[act.u.request.peer] += act.u.request.chunk_count;
            cookie[act.u.request.peer] = act.u.request.cookie;
        }
        assert_true(asked[1] > 0 && (asked[2] == 0) == cases[i].alone);
        struct stoq_swarm_event gone = {.kind = STOQ_SWARM_PEER_GONE, .u.peer = {.peer = 1}};
        assert_int_equal(stoq_swarm_feed(sw, &gone, now), STOQ_OK);
        while (stoq_swarm_poll(sw, now, &act)) {
            asked[2] += act.kind == STOQ_SWARM_REQUEST ? act.u.request.chunk_count : 0;
        }
        assert_true(asked[2] > 0);
        stoq_swarm_check(sw);
        stoq_swarm_free(sw);
    }
}

static void limits_of_a_peer_are_kept(void **state)
{
    (void)state;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    uint8_t have[64];
    memset(have, 0x55, sizeof have); /* every other chunk: a range each */
    assert_int_equal(add(sw, 0, 512, have), STOQ_OK);
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_ADD,
                                  .u.peer = {.peer = 1, .ranges_max = 3, .chunks_max = 5}};
    assert_int_equal(stoq_swarm_feed(sw, &ev, 1), STOQ_OK);
    struct stoq_swarm_action act = expect(sw, STOQ_SWARM_REQUEST, 1);
    assert_int_equal(act.u.request.range_count, 3);
    assert_int_equal(act.u.request.chunk_count, 3);
    stoq_swarm_free(sw);
}

/* A whole small transfer with the nth allocation failing, for every n: a clean status, nothing lost,
 * and the same call works the next time. */
static bool transfer(struct failing *f)
{
    struct stoq_swarm *sw = NULL;
    struct stoq_swarm_config cfg = {.alloc = failing_alloc(f)};
    enum stoq_status st = stoq_swarm_new(&sw, &cfg, 1);
    if (st == STOQ_NOMEM) {
        st = stoq_swarm_new(&sw, &cfg, 1);
    }
    assert_int_equal(st, STOQ_OK);
    for (uint64_t r = 0; r < 20; r++) {
        st = add(sw, r * 10, 10, NULL);
        assert_true(st == STOQ_OK || st == STOQ_NOMEM);
        if (st == STOQ_NOMEM) {
            assert_int_equal(add(sw, r * 10, 10, NULL), STOQ_OK);
        }
    }
    assert_int_equal(simple(sw, STOQ_SWARM_ADD_END), STOQ_OK);
    assert_int_equal(add_peer(sw, 1, false), STOQ_OK);
    assert_int_equal(add_peer(sw, 2, false), STOQ_OK);
    stoq_ns now = STOQ_SEC;
    bool done = false;
    bool missed = false;
    while (!done) {
        struct stoq_swarm_action act;
        if (!stoq_swarm_poll(sw, now, &act)) {
            assert_true(stoq_swarm_deadline(sw) != STOQ_NEVER);
            now = stoq_swarm_deadline(sw);
            continue;
        }
        done = act.kind == STOQ_SWARM_DONE;
        for (uint32_t r = 0; act.kind == STOQ_SWARM_REQUEST && r < act.u.request.range_count; r++) {
            struct stoq_range range = act.u.request.ranges[r];
            for (uint32_t k = 0; k < range.count; k++) {
                enum stoq_swarm_event_kind kind =
                    missed ? STOQ_SWARM_CHUNK_OK : STOQ_SWARM_CHUNK_MISSING;
                st = chunk(sw, kind, act.u.request.cookie, range.first + k, now);
                if (st == STOQ_NOMEM) {
                    st = chunk(sw, kind, act.u.request.cookie, range.first + k, now);
                }
                assert_int_equal(st, STOQ_OK);
                missed = true;
            }
        }
        stoq_swarm_check(sw);
        now += STOQ_MS;
    }
    struct stoq_swarm_stats stats;
    stoq_swarm_stats(sw, &stats);
    assert_int_equal(stats.chunks_done, 200);
    stoq_swarm_free(sw);
    assert_int_equal(f->live, 0);
    return f->calls < f->fail_at;
}

/* Poll all requests there are now: their bytes, and the first one's cookie. */
static uint64_t asked_now(struct stoq_swarm *sw, stoq_ns now, stoq_swarm_cookie *first)
{
    struct stoq_swarm_action a;
    uint64_t bytes = 0;
    while (stoq_swarm_poll(sw, now, &a)) {
        if (a.kind == STOQ_SWARM_REQUEST) {
            *first = *first == 0 ? a.u.request.cookie : *first;
            bytes += a.u.request.bytes;
        }
    }
    return bytes;
}

/* How much lies with a peer that brought so much in each of four windows of 50 ms. */
static uint64_t lies_with(const uint64_t window_bytes[4])
{
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_RAREST);
    stoq_swarm_cookie cookie = 0;
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(add(sw, i * 512, 512, NULL), STOQ_OK);
    }
    assert_int_equal(add_peer(sw, 3, false), STOQ_OK);
    uint64_t bytes = asked_now(sw, 1, &cookie);
    assert_true(bytes > 16 * CHUNK); /* two requests at once, of chunks of any size */
    for (uint64_t i = 0; i < 4; i++) {
        stoq_ns now = 1 + (i + 1) * 50 * STOQ_MS;
        assert_int_equal(progress(sw, cookie, window_bytes[i], now), STOQ_OK);
        bytes += asked_now(sw, now, &cookie);
    }
    stoq_swarm_free(sw);
    return bytes;
}

/* 10 MB/s by now and 50 ms away: 2.1 MB keep it busy, were it not half as fast a moment ago. */
static void who_gets_faster_is_asked_for_more(void **state)
{
    (void)state;
    const uint64_t growing[] = {60000, 150000, 375000, 790000};
    assert_true(lies_with(growing) >= 5000000);
}

/* Before a rate is known: as much on top of the first request as has come, as a sender's own start does. */
static void what_came_soon_is_asked_for_again(void **state)
{
    (void)state;
    const uint64_t request = UINT64_C(16) * CHUNK;
    struct stoq_swarm *sw = new_swarm(STOQ_SWARM_SEQUENTIAL);
    stoq_swarm_cookie cookie = 0;
    assert_int_equal(add(sw, 0, 512, NULL), STOQ_OK);
    assert_int_equal(add_peer(sw, 3, false), STOQ_OK);
    assert_int_equal(asked_now(sw, 1, &cookie), 2 * request);
    assert_int_equal(asked_now(sw, STOQ_MS, &cookie), 0);
    for (uint64_t i = 0; i < 16; i++) {
        assert_int_equal(chunk(sw, STOQ_SWARM_CHUNK_OK, cookie, i, 2 * STOQ_MS), STOQ_OK);
    }
    assert_int_equal(asked_now(sw, 2 * STOQ_MS, &cookie), 2 * request);
    stoq_swarm_free(sw);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    bool over = false;
    uint64_t n = 0;
    while (!over) {
        n++;
        struct failing f = {.fail_at = n};
        over = transfer(&f);
    }
    assert_true(n > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_are_checked),
        cmocka_unit_test(caps_are_held),
        cmocka_unit_test(what_is_held_is_not_asked_for),
        cmocka_unit_test(weight_is_a_chance_to_be_first),
        cmocka_unit_test(a_liar_is_cut_at_once),
        cmocka_unit_test(endings_are_told_apart),
        cmocka_unit_test(failures_in_a_row_end_a_peer),
        cmocka_unit_test(rarest_goes_first),
        cmocka_unit_test(a_missing_chunk_comes_from_another),
        cmocka_unit_test(a_few_words_are_no_rate),
        cmocka_unit_test(one_fast_source_of_this_machine_is_enough),
        cmocka_unit_test(limits_of_a_peer_are_kept),
        cmocka_unit_test(who_gets_faster_is_asked_for_more),
        cmocka_unit_test(what_came_soon_is_asked_for_again),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
