#include "qos/qos.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CHUNK (64u << 10)

static const struct stoq_alloc heap;

struct mover {
    stoq_qos_flow flow;
    uint64_t moved;
    bool busy; /* wants more as soon as it was granted */
};

static struct stoq_peer_id id_of(uint32_t n)
{
    struct stoq_peer_id id = {{{0}}};
    stoq_le32_put(id.h.b, n);
    return id;
}

static struct stoq_qos *new_qos(void)
{
    struct stoq_qos *q;
    assert_int_equal(stoq_qos_new(&q, &heap), STOQ_OK);
    return q;
}

static void limit(struct stoq_qos *q, enum stoq_qos_dir dir, const struct stoq_peer_id *peer,
                  uint64_t rate, stoq_ns now)
{
    struct stoq_qos_whose whose = {.scope = peer == NULL ? STOQ_QOS_ALL : STOQ_QOS_PEER,
                                   .peer = peer};
    assert_int_equal(stoq_qos_limit(q, dir, &whose, rate, now), STOQ_OK);
}

static void open_up(struct stoq_qos *q, struct mover *m, uint32_t peer)
{
    struct stoq_peer_id id = id_of(peer);
    struct stoq_qos_open open = {
        .dir = STOQ_QOS_UP, .peer = &id, .group = peer, .transfer = 1000 + peer, .user = m};
    *m = (struct mover){.flow = stoq_qos_open(q, &open), .busy = true};
    assert_true(m->flow > 0);
}

static void begin(struct stoq_qos *q, struct mover *m, stoq_ns now)
{
    assert_false(stoq_qos_want(q, m->flow, CHUNK, now));
}

/* Virtual time, from deadline to deadline. */
static void run(struct stoq_qos *q, stoq_ns from, stoq_ns until)
{
    struct stoq_qos_grant g;
    for (stoq_ns now = from; now < until; now = stoq_qos_deadline(q)) {
        while (stoq_qos_poll(q, now, &g)) {
            struct mover *m = g.user;
            assert_int_equal(m->flow, g.flow);
            m->moved += g.bytes;
            if (m->busy) {
                begin(q, m, now);
            }
        }
        assert_true(stoq_qos_deadline(q) > now); /* it never spins */
    }
}

static void within(uint64_t value, uint64_t want, uint64_t percent)
{
    if (value * 100 < want * (100 - percent) || value * 100 > want * (100 + percent)) {
        fail_msg("%llu is not within %llu %% of %llu", (unsigned long long)value,
                 (unsigned long long)percent, (unsigned long long)want);
    }
}

static void ten_seconds_keep_the_cap(void **state)
{
    static const uint64_t rates[] = {100000, 1000000, 5000000, 123456789, 3000000000};
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(rates); i++) {
        struct stoq_qos *q = new_qos();
        struct mover m;
        limit(q, STOQ_QOS_UP, NULL, rates[i], 5);
        open_up(q, &m, 1);
        begin(q, &m, 5);
        for (stoq_ns at = 5; at < 60 * STOQ_SEC; at += 10 * STOQ_SEC) {
            m.moved = 0;
            run(q, at, at + 10 * STOQ_SEC);
            within(m.moved, rates[i] * 10, 5);
        }
        stoq_qos_close(q, m.flow);
        stoq_qos_free(q);
    }
}

/* Equal peers get equal parts, however many requests each has; who pauses leaves its part to the rest. */
static void shares_are_fair_and_nothing_is_wasted(void **state)
{
    struct stoq_qos *q = new_qos();
    struct mover one;
    struct mover many[16];
    (void)state;
    limit(q, STOQ_QOS_UP, NULL, 10000000, 1);
    open_up(q, &one, 1);
    begin(q, &one, 1);
    for (int i = 0; i < 16; i++) {
        open_up(q, &many[i], 2);
        begin(q, &many[i], 1);
    }
    run(q, 1, 10 * STOQ_SEC);
    uint64_t other = 0;
    for (int i = 0; i < 16; i++) {
        within(many[i].moved, 50000000 / 16, 10);
        other += many[i].moved;
    }
    double x = (double)one.moved;
    double y = (double)other;
    assert_true((x + y) * (x + y) / (2 * (x * x + y * y)) >= 0.95); /* Jain */
    within(one.moved + other, 100000000, 5);
    one.busy = false; /* what it leaves the other takes */
    run(q, 10 * STOQ_SEC, 11 * STOQ_SEC);
    uint64_t before = one.moved;
    uint64_t others = 0;
    for (int i = 0; i < 16; i++) {
        others += many[i].moved;
    }
    run(q, 11 * STOQ_SEC, 21 * STOQ_SEC);
    uint64_t after = 0;
    for (int i = 0; i < 16; i++) {
        after += many[i].moved;
    }
    assert_int_equal(one.moved, before);
    within(after - others, 100000000, 5);
    one.busy = true; /* back: it has no claim on what it left */
    begin(q, &one, 21 * STOQ_SEC);
    run(q, 21 * STOQ_SEC, 31 * STOQ_SEC);
    within(one.moved - before, 50000000, 10);
    stoq_qos_free(q);
}

/* What one who comes now waits for: not what a cap of its own holds back, nor background before others. */
static void what_waits_is_told(void **state)
{
    struct stoq_qos *q = new_qos();
    struct stoq_peer_id slow = id_of(3);
    struct mover m[3];
    uint64_t bytes;
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        open_up(q, &m[i], i + 1);
    }
    struct stoq_qos_open open = {
        .dir = STOQ_QOS_UP, .priority = STOQ_PRIORITY_BACKGROUND, .peer = &slow, .group = 9};
    stoq_qos_flow back = stoq_qos_open(q, &open);
    assert_int_equal(stoq_qos_queue(q, STOQ_QOS_UP, STOQ_PRIORITY_NORMAL, &bytes), 0);
    limit(q, STOQ_QOS_UP, NULL, 1000000, 1);
    for (uint32_t i = 0; i < 2; i++) {
        begin(q, &m[i], 1);
    }
    assert_int_equal(stoq_qos_queue(q, STOQ_QOS_UP, STOQ_PRIORITY_NORMAL, &bytes), 131 * STOQ_MS);
    assert_int_equal(bytes, 2 * CHUNK);
    assert_int_equal(stoq_qos_queue(q, STOQ_QOS_DOWN, STOQ_PRIORITY_NORMAL, &bytes), 0);
    assert_false(stoq_qos_want(q, back, CHUNK, 1));
    (void)stoq_qos_queue(q, STOQ_QOS_UP, STOQ_PRIORITY_NORMAL, &bytes);
    assert_int_equal(bytes, 2 * CHUNK);
    (void)stoq_qos_queue(q, STOQ_QOS_UP, STOQ_PRIORITY_BACKGROUND, &bytes);
    assert_int_equal(bytes, 3 * CHUNK);
    limit(q, STOQ_QOS_UP, &slow, 1000, 1);
    begin(q, &m[2], 1);
    (void)stoq_qos_queue(q, STOQ_QOS_UP, STOQ_PRIORITY_BACKGROUND, &bytes);
    assert_int_equal(bytes, 2 * CHUNK);
    stoq_qos_free(q);
}

static void a_peers_cap_holds_it_alone(void **state)
{
    struct stoq_qos *q = new_qos();
    struct stoq_peer_id slow = id_of(1);
    struct mover a;
    struct mover b;
    (void)state;
    limit(q, STOQ_QOS_UP, NULL, 10000000, 1);
    limit(q, STOQ_QOS_UP, &slow, 1000000, 1);
    open_up(q, &a, 1);
    open_up(q, &b, 2);
    begin(q, &a, 1);
    begin(q, &b, 1);
    run(q, 1, 10 * STOQ_SEC);
    within(a.moved, 10000000, 5);
    within(b.moved, 90000000, 5);
    /* A change holds at once, for those that wait as well. */
    limit(q, STOQ_QOS_UP, &slow, 0, 10 * STOQ_SEC);
    limit(q, STOQ_QOS_UP, NULL, 2000000, 10 * STOQ_SEC);
    a.moved = b.moved = 0;
    run(q, 10 * STOQ_SEC, 20 * STOQ_SEC);
    within(a.moved, 10000000, 10);
    within(a.moved + b.moved, 20000000, 5);
    stoq_qos_free(q);
}

static void directions_are_apart_and_free_ones_free(void **state)
{
    struct stoq_qos *q = new_qos();
    struct stoq_peer_id id = id_of(1);
    struct mover m;
    (void)state;
    limit(q, STOQ_QOS_UP, NULL, 1000, 1);
    struct stoq_qos_open open = {.dir = STOQ_QOS_DOWN, .peer = &id};
    stoq_qos_flow down = stoq_qos_open(q, &open);
    assert_true(stoq_qos_want(q, down, 1000000000, 1));
    open_up(q, &m, 1);
    begin(q, &m, 1);
    limit(q, STOQ_QOS_UP, NULL, 0, 2); /* lifted: who waits is granted */
    struct stoq_qos_grant g;
    assert_true(stoq_qos_poll(q, 2, &g));
    assert_false(stoq_qos_poll(q, 2, &g));
    assert_int_equal(stoq_qos_deadline(q), STOQ_NEVER);
    stoq_qos_free(q);
}

/* After any mixture of opens, wants, grants and closes nothing is left. */
static void everything_is_released(void **state)
{
    static struct mover m[200];
    struct stoq_prng r = stoq_prng(7);
    struct stoq_qos *q = new_qos();
    struct stoq_qos_view v;
    struct stoq_qos_grant g;
    stoq_ns now = 1;
    (void)state;
    limit(q, STOQ_QOS_UP, NULL, 50000000, 1);
    for (int step = 0; step < 20000; step++) {
        struct mover *at = &m[stoq_prng_below(&r, STOQ_COUNT(m))];
        now += stoq_prng_below(&r, STOQ_MS);
        if (at->flow == 0) {
            open_up(q, at, (uint32_t)stoq_prng_below(&r, 20));
        } else if (stoq_prng_below(&r, 3) == 0) {
            stoq_qos_close(q, at->flow);
            at->flow = 0;
        } else {
            (void)stoq_qos_want(q, at->flow, 1 + stoq_prng_below(&r, CHUNK), now);
        }
        while (stoq_qos_poll(q, now, &g)) {
            assert_int_equal(((struct mover *)g.user)->flow, g.flow);
        }
        stoq_qos_check(q);
    }
    for (size_t i = 0; i < STOQ_COUNT(m); i++) {
        stoq_qos_close(q, m[i].flow);
    }
    assert_false(stoq_qos_at(q, 0, now, &v));
    assert_false(stoq_qos_poll(q, now + STOQ_SEC, &g));
    assert_int_equal(stoq_qos_deadline(q), STOQ_NEVER);
    stoq_qos_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_seconds_keep_the_cap),
        cmocka_unit_test(shares_are_fair_and_nothing_is_wasted),
        cmocka_unit_test(what_waits_is_told),
        cmocka_unit_test(a_peers_cap_holds_it_alone),
        cmocka_unit_test(directions_are_apart_and_free_ones_free),
        cmocka_unit_test(everything_is_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
