/*
 * The transfer core in virtual time: peers with a rate, a distance and faults serve what they are asked
 * for; the clock jumps from event to event. What is held: everything arrives, close to the time that
 * the sum of the rates allows, with few bytes twice, whatever some of the peers do.
 */
#include "swarm/swarm_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PEERS 8
#define QUEUE 65536
#define MB 1000000u

enum fault {
    NONE,
    STALLS,    /* says nothing any more */
    LIES,      /* sends other bytes */
    DIES,      /* the connection goes */
    THROTTLES, /* to a hundredth */
    LACKS,     /* says "missing" to all */
};

struct item {
    stoq_swarm_cookie cookie;
    uint64_t index;
    uint32_t length;
    stoq_ns at; /* waiting: asked for, as the peer sees it; flying: arrives */
};

struct queue {
    struct item *item; /* a ring */
    uint32_t head;
    uint32_t count;
};

struct vpeer {
    uint64_t rate;
    stoq_ns rtt;
    enum fault fault;
    stoq_ns fault_at;
    bool gone;
    stoq_ns free_at;
    struct queue waiting;
    struct queue flying;
    bool lied;
};

struct world {
    struct stoq_swarm *sw;
    struct stoq_prng prng;
    stoq_ns now;
    uint32_t peers;
    struct vpeer peer[PEERS];
    uint64_t chunks; /* of the package */
    uint64_t added;
    uint64_t bytes;
    uint32_t *length;
    uint8_t *done;
    struct item *items; /* all queues' memory */
    uint64_t done_count;
    bool finished;
    bool stuck;
    uint32_t charges;
    uint64_t trace;
    size_t memory_max;
    stoq_ns reassigned_at; /* last time a chunk of peer 0 was asked of another, after its fault */
};

static void put(struct queue *q, struct item item)
{
    assert_true(q->count < QUEUE);
    q->item[(q->head + q->count) % QUEUE] = item;
    q->count++;
}

static struct item get(struct queue *q)
{
    struct item item = q->item[q->head];
    q->head = (q->head + 1) % QUEUE;
    q->count--;
    return item;
}

static void drop_cookie(struct queue *q, stoq_swarm_cookie cookie)
{
    uint32_t n = q->count;
    for (uint32_t i = 0; i < n; i++) {
        struct item item = get(q);
        if (item.cookie != cookie) {
            put(q, item);
        }
    }
}

static uint64_t rate_of(const struct vpeer *p, stoq_ns now)
{
    return p->fault == THROTTLES && now >= p->fault_at ? p->rate / 100 : p->rate;
}

static void world_with(struct world *w, uint64_t bytes, uint64_t seed,
                       enum stoq_swarm_strategy strategy)
{
    *w = (struct world){.prng = stoq_prng(seed), .now = STOQ_SEC};
    uint64_t most = bytes / 16384 + 1;
    w->length = calloc(most, sizeof *w->length);
    w->done = calloc(most, 1);
    w->items = calloc((size_t)2 * PEERS * QUEUE, sizeof *w->items);
    while (w->bytes < bytes) {
        uint32_t n = 16384 + (uint32_t)stoq_prng_below(&w->prng, 98304);
        n = stoq_prng_below(&w->prng, 20) == 0 ? 262144 : n;
        w->length[w->chunks] = n;
        w->bytes += n;
        w->chunks++;
    }
    struct stoq_swarm_config cfg = {.strategy = strategy};
    assert_int_equal(stoq_swarm_new(&w->sw, &cfg, seed), STOQ_OK);
}

static void world_init(struct world *w, uint64_t bytes, uint64_t seed)
{
    world_with(w, bytes, seed, STOQ_SWARM_RAREST);
}

static void world_release(struct world *w)
{
    stoq_swarm_free(w->sw);
    free(w->items);
    free(w->length);
    free(w->done);
}

static void feed(struct world *w, struct stoq_swarm_event ev)
{
    assert_int_equal(stoq_swarm_feed(w->sw, &ev, w->now), STOQ_OK);
}

static struct vpeer *add_peer(struct world *w, uint64_t rate, stoq_ns rtt)
{
    struct vpeer *p = &w->peer[w->peers];
    *p = (struct vpeer){.rate = rate, .rtt = rtt};
    p->waiting.item = w->items + (size_t)(2 * w->peers) * QUEUE;
    p->flying.item = p->waiting.item + QUEUE;
    feed(w, (struct stoq_swarm_event){.kind = STOQ_SWARM_PEER_ADD,
                                      .u.peer = {.peer = w->peers, .rtt_ns = rtt}});
    w->peers++;
    return p;
}

static void note(struct world *w, uint64_t a, uint64_t b)
{
    w->trace = (w->trace ^ a) * 0x100000001b3u;
    w->trace = (w->trace ^ b) * 0x100000001b3u;
}

static void on_request(struct world *w, const struct stoq_swarm_request *rq)
{
    struct vpeer *p = &w->peer[rq->peer];
    assert_false(p->lied); /* cut at the first lie */
    note(w, rq->cookie, w->now);
    for (uint32_t r = 0; r < rq->range_count; r++) {
        note(w, rq->ranges[r].first, rq->ranges[r].count);
        for (uint32_t i = 0; i < rq->ranges[r].count; i++) {
            uint64_t index = rq->ranges[r].first + i;
            put(&p->waiting,
                (struct item){rq->cookie, index, w->length[index], w->now + p->rtt / 2});
        }
    }
    if (rq->peer != 0 && w->peer[0].fault == STALLS && w->now > w->peer[0].fault_at) {
        w->reassigned_at = w->now;
    }
}

static void on_need_more(struct world *w)
{
    for (int k = 0; k < 8 && w->added < w->chunks; k++) {
        uint64_t n = w->chunks - w->added < 200 ? w->chunks - w->added : 200;
        feed(w, (struct stoq_swarm_event){
                    .kind = STOQ_SWARM_ADD,
                    .u.add = {{w->added, (uint32_t)n}, w->length + w->added, NULL}});
        w->added += n;
    }
    if (w->added == w->chunks) {
        feed(w, (struct stoq_swarm_event){.kind = STOQ_SWARM_ADD_END});
    }
}

static void drain(struct world *w)
{
    struct stoq_swarm_action act;
    while (stoq_swarm_poll(w->sw, w->now, &act)) {
        switch (act.kind) {
        case STOQ_SWARM_REQUEST:
            on_request(w, &act.u.request);
            break;
        case STOQ_SWARM_CANCEL:
            drop_cookie(&w->peer[act.u.cancel.peer].waiting, act.u.cancel.cookie);
            break;
        case STOQ_SWARM_CHARGE:
            w->charges++;
            break;
        case STOQ_SWARM_NEED_MORE:
            on_need_more(w);
            break;
        case STOQ_SWARM_DONE:
            w->finished = true;
            break;
        case STOQ_SWARM_STUCK:
            w->stuck = true;
            break;
        }
    }
    struct stoq_swarm_stats st;
    stoq_swarm_stats(w->sw, &st);
    w->memory_max = st.memory_bytes > w->memory_max ? st.memory_bytes : w->memory_max;
}

static bool is_faulty(const struct world *w, const struct vpeer *p)
{
    return p->fault != NONE && w->now >= p->fault_at;
}

/* When this peer does something next; STOQ_NEVER: nothing. */
static stoq_ns next_of(const struct world *w, const struct vpeer *p)
{
    if (p->gone) {
        return STOQ_NEVER;
    }
    stoq_ns at = STOQ_NEVER;
    if (p->fault == DIES) {
        at = p->fault_at;
    }
    if (p->flying.count > 0) {
        stoq_ns t = p->flying.item[p->flying.head].at;
        at = t < at ? t : at;
    }
    if (p->waiting.count > 0 && !(p->fault == STALLS && is_faulty(w, p))) {
        stoq_ns ready = p->waiting.item[p->waiting.head].at;
        stoq_ns t = ready > p->free_at ? ready : p->free_at;
        at = t < at ? t : at;
    }
    return at;
}

static void deliver(struct world *w, uint32_t slot)
{
    struct vpeer *p = &w->peer[slot];
    struct item item = get(&p->flying);
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_CHUNK_OK,
                                  .u.chunk = {item.cookie, item.index, item.length, slot}};
    if (p->fault == LIES && is_faulty(w, p)) {
        ev.kind = STOQ_SWARM_CHUNK_BAD;
        p->lied = true;
    } else if (p->fault == LACKS && is_faulty(w, p)) {
        ev.kind = STOQ_SWARM_CHUNK_MISSING;
    } else if (w->done[item.index] == 0) {
        w->done[item.index] = 1;
        w->done_count++;
    }
    feed(w, ev);
}

static void act(struct world *w, uint32_t slot)
{
    struct vpeer *p = &w->peer[slot];
    if (p->fault == DIES && is_faulty(w, p)) {
        p->gone = true;
        feed(w, (struct stoq_swarm_event){.kind = STOQ_SWARM_PEER_GONE, .u.peer = {.peer = slot}});
        return;
    }
    if (p->flying.count > 0 && p->flying.item[p->flying.head].at <= w->now) {
        deliver(w, slot);
        return;
    }
    struct item item = get(&p->waiting);
    uint32_t length = p->fault == LACKS && is_faulty(w, p) ? 16 : item.length;
    p->free_at = w->now + stoq_swarm_time_for(length, rate_of(p, w->now));
    item.at = p->free_at + p->rtt / 2;
    put(&p->flying, item);
}

/* Run to the end (or until nothing can happen any more); how long it took. */
static stoq_ns run(struct world *w)
{
    stoq_ns start = w->now;
    drain(w);
    while (!w->finished && !w->stuck) {
        stoq_ns at = stoq_swarm_deadline(w->sw);
        uint32_t who = PEERS;
        for (uint32_t i = 0; i < w->peers; i++) {
            stoq_ns t = next_of(w, &w->peer[i]);
            if (t < at) {
                at = t;
                who = i;
            }
        }
        assert_true(at != STOQ_NEVER);
        assert_true(at - start < 100000 * STOQ_SEC);
        w->now = at > w->now ? at : w->now;
        if (who < PEERS) {
            act(w, who);
        }
        drain(w);
    }
    return w->now - start;
}

/* Everything is here, and the core says the same. */
static void check_complete(const struct world *w)
{
    struct stoq_swarm_stats st;
    stoq_swarm_stats(w->sw, &st);
    assert_true(w->finished);
    assert_int_equal(w->done_count, w->chunks);
    assert_int_equal(st.chunks_done, w->chunks);
    assert_int_equal(st.bytes_done, w->bytes);
    assert_int_equal(st.chunks_open, 0);
    uint64_t twice_max = w->bytes / 100;
    twice_max = twice_max > STOQ_SWARM_DUPLICATE_BYTES ? twice_max : STOQ_SWARM_DUPLICATE_BYTES;
    assert_true(w->sw->bytes_asked_twice <= twice_max);
    stoq_swarm_check(w->sw);
}

/* Tenths of a percent of the bytes that came twice. */
static uint64_t duplicates(const struct world *w)
{
    struct stoq_swarm_stats st;
    stoq_swarm_stats(w->sw, &st);
    return st.bytes_duplicate * 1000 / w->bytes;
}

static void at_most(const struct world *w, stoq_ns took, uint64_t rate, unsigned percent)
{
    stoq_ns bound = stoq_swarm_time_for(w->bytes, rate) + w->peer[0].rtt;
    if (took * 100 > bound * percent) {
        fail_msg("%llu ms, bound %llu ms x %u %%", (unsigned long long)(took / STOQ_MS),
                 (unsigned long long)(bound / STOQ_MS), percent);
    }
}

static void one_peer(uint64_t rate, stoq_ns rtt, uint64_t bytes, unsigned percent)
{
    struct world w;
    world_init(&w, bytes, 1);
    (void)add_peer(&w, rate, rtt);
    stoq_ns took = run(&w);
    check_complete(&w);
    at_most(&w, took, rate, percent);
    assert_int_equal(duplicates(&w), 0);
    world_release(&w);
}

static void the_pipe_never_drains(void **state)
{
    (void)state;
    one_peer(600 * MB, STOQ_MS / 5, 1000 * MB, 102);  /* loopback */
    one_peer(125000, 50 * STOQ_MS, 2 * MB, 103);      /* 1 Mb/s */
    one_peer(1250000, 30 * STOQ_MS, 50 * MB, 102);    /* 10 Mb/s */
    one_peer(12500000, 100 * STOQ_MS, 200 * MB, 105); /* 100 Mb/s, far */
    one_peer(125 * MB, 20 * STOQ_MS, 500 * MB, 105);  /* 1 Gb/s */
    one_peer(125 * MB, 150 * STOQ_MS, 2000 * (uint64_t)MB,
             112); /* 1 Gb/s, other side of the world */
}

static void fast_and_slow_add_up(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, 100 * MB, seed);
        (void)add_peer(&w, 10 * MB, 10 * STOQ_MS);
        (void)add_peer(&w, 1 * MB, 10 * STOQ_MS);
        stoq_ns took = run(&w);
        check_complete(&w);
        /* At least 10.5 MB/s. */
        assert_true(stoq_swarm_time_for(w.bytes, 10500000) >= took);
        assert_true(duplicates(&w) <= 10);
        world_release(&w);
    }
}

static void three_links_are_used(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, 64 * MB, seed);
        (void)add_peer(&w, 10 * MB / 8, 20 * STOQ_MS);
        (void)add_peer(&w, 20 * MB / 8, 5 * STOQ_MS);
        (void)add_peer(&w, 70 * MB / 8, 40 * STOQ_MS);
        stoq_ns took = run(&w);
        check_complete(&w);
        at_most(&w, took, 100 * MB / 8, 107);
        assert_true(duplicates(&w) <= 10);
        world_release(&w);
    }
}

/* Small packages: whoever is there shares the work, and one round trip is what it takes. */
static void small_ones_take_a_round_trip(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 600000, 3);
    (void)add_peer(&w, 12 * MB, 20 * STOQ_MS);
    (void)add_peer(&w, 12 * MB, 20 * STOQ_MS);
    (void)add_peer(&w, 12 * MB, 20 * STOQ_MS);
    stoq_ns took = run(&w);
    check_complete(&w);
    at_most(&w, took, 36 * MB, 160);
    struct stoq_swarm_peer_stats st;
    for (stoq_peer i = 0; i < 3; i++) {
        assert_true(stoq_swarm_peer_stats(w.sw, i, &st));
        assert_true(st.chunks > 0);
    }
    world_release(&w);
}

/* How long it takes when each chunk is asked of a peer drawn at random, all at once. */
static stoq_ns at_random(struct world *w)
{
    stoq_ns free_at[PEERS] = {0};
    stoq_ns last = 0;
    for (uint64_t i = 0; i < w->chunks; i++) {
        uint32_t who = (uint32_t)stoq_prng_below(&w->prng, w->peers);
        free_at[who] += stoq_swarm_time_for(w->length[i], w->peer[who].rate);
        stoq_ns at = free_at[who] + w->peer[who].rtt;
        last = at > last ? at : last;
    }
    return last;
}

/* Sources at mixed distances: fastest first needs a fifth less time than peers drawn at random, and than
 * rarest first, which begins at a random place and asks whoever there is. */
static void fastest_first_beats_random(void **state)
{
    static const uint64_t sizes[] = {100000, 400000, 1600000, 4000000};
    static const stoq_ns rtts[] = {2 * STOQ_MS, 20 * STOQ_MS, 80 * STOQ_MS, 150 * STOQ_MS,
                                   300 * STOQ_MS};
    static const enum stoq_swarm_strategy strategies[] = {STOQ_SWARM_FASTEST, STOQ_SWARM_RAREST};
    (void)state;
    for (size_t s = 0; s < STOQ_COUNT(sizes); s++) {
        stoq_ns took[3] = {0};
        for (uint64_t seed = 0; seed < 20; seed++) {
            for (size_t k = 0; k < STOQ_COUNT(strategies); k++) {
                struct world w;
                world_with(&w, sizes[s], seed, strategies[k]);
                for (size_t i = 0; i < STOQ_COUNT(rtts); i++) {
                    (void)add_peer(&w, 10 * MB, rtts[(i + seed) % STOQ_COUNT(rtts)]);
                }
                took[k] += run(&w);
                took[2] += k == 0 ? at_random(&w) : 0;
                check_complete(&w);
                world_release(&w);
            }
        }
        for (size_t k = 1; k < STOQ_COUNT(took); k++) {
            if (took[0] * 10 > took[k] * 8) {
                fail_msg("%llu bytes: fastest first %llu ms, %s %llu ms",
                         (unsigned long long)sizes[s], (unsigned long long)(took[0] / STOQ_MS / 20),
                         k == 1 ? "rarest first" : "at random",
                         (unsigned long long)(took[k] / STOQ_MS / 20));
            }
        }
    }
}

/* One fault among four peers of 10 MB/s: within 1.2 x the time of the other three. */
static void one_fault(enum fault fault, uint64_t seed)
{
    struct world w;
    world_init(&w, 200 * MB, seed);
    struct vpeer *p = add_peer(&w, 10 * MB, 20 * STOQ_MS);
    p->fault = fault;
    p->fault_at = STOQ_SEC + STOQ_SEC / 2;
    for (int i = 0; i < 3; i++) {
        (void)add_peer(&w, 10 * MB, 20 * STOQ_MS);
    }
    stoq_ns took = run(&w);
    check_complete(&w);
    at_most(&w, took, 30 * MB, 120);
    assert_true(duplicates(&w) <= 10);
    if (fault == STALLS) {
        assert_true(w.charges >= 1);
    }
    world_release(&w);
}

static void one_fault_costs_little(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        one_fault(STALLS, seed);
        one_fault(LIES, seed);
        one_fault(DIES, seed);
        one_fault(THROTTLES, seed);
        one_fault(LACKS, seed);
    }
}

static void all_faults_at_once_leave_the_good_one(void **state)
{
    (void)state;
    static const enum fault faults[] = {STALLS, LIES, DIES, THROTTLES};
    struct world w;
    world_init(&w, 200 * MB, 5);
    for (size_t i = 0; i < STOQ_COUNT(faults); i++) {
        struct vpeer *p = add_peer(&w, 10 * MB, 20 * STOQ_MS);
        p->fault = faults[i];
        p->fault_at = STOQ_SEC + STOQ_SEC / 2;
    }
    (void)add_peer(&w, 10 * MB, 20 * STOQ_MS);
    stoq_ns took = run(&w);
    check_complete(&w);
    at_most(&w, took, 10 * MB, 120);
    world_release(&w);
}

static void a_stalled_peer_is_replaced_within_a_second(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct world w;
        world_init(&w, 60 * MB, seed);
        struct vpeer *p = add_peer(&w, 10 * MB, 20 * STOQ_MS);
        (void)add_peer(&w, 10 * MB, 20 * STOQ_MS);
        p->fault = STALLS;
        p->fault_at = STOQ_SEC + 2900 * STOQ_MS; /* near the end: its chunks are all that is left */
        stoq_ns took = run(&w);
        check_complete(&w);
        assert_true(w.reassigned_at > 0);
        assert_true(took < 2900 * STOQ_MS + STOQ_SEC + 500 * STOQ_MS);
        world_release(&w);
    }
}

/* The only source is not cancelled for a pause that another one could bridge. */
static void the_only_source_is_waited_for(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 20 * MB, 1);
    struct vpeer *p = add_peer(&w, 10 * MB, 20 * STOQ_MS);
    drain(&w);
    p->free_at = w.now + 8 * STOQ_SEC;
    stoq_ns took = run(&w);
    check_complete(&w);
    assert_int_equal(w.charges, 0);
    assert_true(took < 11 * STOQ_SEC);
    world_release(&w);

    world_init(&w, 20 * MB, 1);
    p = add_peer(&w, 10 * MB, 20 * STOQ_MS);
    p->fault = STALLS;
    p->fault_at = STOQ_SEC;
    took = run(&w);
    assert_true(w.stuck);
    assert_true(took >= 9 * STOQ_SEC && took < 12 * STOQ_SEC);
    assert_int_equal(w.charges, 1);
    world_release(&w);
}

static void random_worlds_finish(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct stoq_prng r = stoq_prng(seed * 77 + 1);
        struct world w;
        world_init(&w, 1 * MB + stoq_prng_below(&r, 60 * MB), seed);
        uint64_t good = 0;
        uint32_t n = 1 + (uint32_t)stoq_prng_below(&r, PEERS);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t rate = 500000u << stoq_prng_below(&r, 7);
            struct vpeer *p = add_peer(&w, rate, (1 + stoq_prng_below(&r, 100)) * STOQ_MS);
            if (i > 0) {
                p->fault = (enum fault)stoq_prng_below(&r, 6);
                p->fault_at = STOQ_SEC + stoq_prng_below(&r, 4000) * STOQ_MS;
            }
            good += p->fault == NONE ? rate : 0;
        }
        stoq_ns took = run(&w);
        check_complete(&w);
        struct stoq_swarm_stats st;
        stoq_swarm_stats(w.sw, &st);
        assert_true(st.bytes_duplicate <= w.bytes / 100 + STOQ_SWARM_DUPLICATE_BYTES + 2 * MB);
        stoq_ns bound = stoq_swarm_time_for(w.bytes, good) + 3 * STOQ_SEC; /* two stalls */
        if (took > bound * 5 / 4) {
            fail_msg("seed %llu: %llu ms, bound %llu ms", (unsigned long long)seed,
                     (unsigned long long)(took / STOQ_MS), (unsigned long long)(bound / STOQ_MS));
        }
        world_release(&w);
    }
}

static void same_seed_same_trace(void **state)
{
    (void)state;
    uint64_t trace[3];
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        world_init(&w, 50 * MB, 9);
        if (i == 2) {
            stoq_swarm_free(w.sw);
            struct stoq_swarm_config cfg = {.low_chunks = 0};
            assert_int_equal(stoq_swarm_new(&w.sw, &cfg, 10), STOQ_OK);
        }
        (void)add_peer(&w, 10 * MB, 10 * STOQ_MS);
        struct vpeer *p = add_peer(&w, 5 * MB, 20 * STOQ_MS);
        p->fault = DIES;
        p->fault_at = 2 * STOQ_SEC;
        (void)run(&w);
        check_complete(&w);
        trace[i] = w.trace;
        world_release(&w);
    }
    assert_true(trace[0] == trace[1]);
    assert_true(trace[0] != trace[2]);
}

static void memory_is_flat(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 10000 * (uint64_t)MB, 2);
    (void)add_peer(&w, 600 * MB, STOQ_MS);
    (void)add_peer(&w, 300 * MB, STOQ_MS);
    (void)run(&w);
    check_complete(&w);
    assert_true(w.memory_max < 1024 * STOQ_KIB);
    assert_true(duplicates(&w) <= 1);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pipe_never_drains),
        cmocka_unit_test(fast_and_slow_add_up),
        cmocka_unit_test(three_links_are_used),
        cmocka_unit_test(small_ones_take_a_round_trip),
        cmocka_unit_test(fastest_first_beats_random),
        cmocka_unit_test(one_fault_costs_little),
        cmocka_unit_test(all_faults_at_once_leave_the_good_one),
        cmocka_unit_test(a_stalled_peer_is_replaced_within_a_second),
        cmocka_unit_test(the_only_source_is_waited_for),
        cmocka_unit_test(random_worlds_finish),
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(memory_is_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
