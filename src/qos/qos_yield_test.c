/* The yielding class on a path of its own: a link with a queue, strangers on it, in virtual time. */
#include "qos/qos_yield.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define STEP (5 * STOQ_MS)
#define RTT (20 * STOQ_MS)

/* A fluid link: what comes above its rate waits, and is lost past the queue's end. */
struct link {
    uint64_t rate;  /* bytes per second */
    uint64_t other; /* of strangers, likewise; they do not give way */
    uint64_t queue;
    uint64_t queue_max;
    uint64_t moved; /* of ours */
    stoq_ns now;
    stoq_ns srtt;
    stoq_ns worst; /* queue, once settled */
    struct stoq_qos_yield y;
    struct stoq_qos_path path;
};

static stoq_ns delay(const struct link *l)
{
    return l->queue * STOQ_SEC / l->rate;
}

static void step(struct link *l)
{
    uint64_t rate = stoq_qos_yield(&l->y, &l->path, l->now);
    uint64_t ours = rate * (STEP / STOQ_MS) / 1000;
    uint64_t in = ours + l->other * (STEP / STOQ_MS) / 1000;
    uint64_t out = l->rate * (STEP / STOQ_MS) / 1000;
    l->queue += in;
    l->queue -= out < l->queue ? out : l->queue;
    uint64_t lost = l->queue > l->queue_max ? l->queue - l->queue_max : 0;
    l->queue -= lost;
    lost = lost < ours ? lost : ours;
    l->moved += ours - lost;
    l->path.sent_bytes += ours;
    l->path.yielding_bytes += ours;
    l->path.lost_bytes += lost;
    l->srtt = l->srtt == 0 ? RTT + delay(l) : (7 * l->srtt + RTT + delay(l)) / 8;
    l->path.rtt_ns = l->srtt;
    l->worst = delay(l) > l->worst ? delay(l) : l->worst;
    l->now += STEP;
}

static void run(struct link *l, stoq_ns time)
{
    for (stoq_ns until = l->now + time; l->now < until;) {
        step(l);
    }
}

static struct link link_of(uint64_t rate)
{
    return (struct link){.rate = rate, .queue_max = rate, .now = STOQ_SEC};
}

static void alone_it_uses_the_link_and_hardly_queues(void **state)
{
    (void)state;
    static const uint64_t rates[] = {125000, 1250000, 12500000, 125000000};
    for (size_t i = 0; i < STOQ_COUNT(rates); i++) {
        struct link l = link_of(rates[i]);
        run(&l, 5 * STOQ_SEC);
        l.moved = 0;
        l.worst = 0;
        run(&l, 10 * STOQ_SEC);
        assert_true(l.moved >= rates[i] * 10 * 8 / 10);
        assert_true(l.worst <= 20 * STOQ_MS);
    }
}

static void it_gives_way_to_strangers(void **state)
{
    (void)state;
    struct link l = link_of(1250000);
    run(&l, 5 * STOQ_SEC);
    l.other = 1000000;
    run(&l, 3 * STOQ_SEC);
    l.moved = 0;
    l.worst = 0;
    run(&l, 10 * STOQ_SEC);
    assert_true(l.worst <= 20 * STOQ_MS);
    assert_true(l.moved >= 2500000 / 2 && l.moved <= 2500000); /* what they leave */
    l.other = 2 * l.rate; /* nothing is left: it does not stop, and does not push */
    l.queue_max = l.rate / 10;
    run(&l, 3 * STOQ_SEC);
    assert_true(l.y.rate_bytes_per_s <= 2 * STOQ_QOS_YIELD_LEAST);
    assert_true(l.y.rate_bytes_per_s >= STOQ_QOS_YIELD_LEAST);
}

/* Half the link goes, and comes back: within three seconds the rate is what it should be. */
static void a_change_of_the_link_is_followed_within_three_seconds(void **state)
{
    (void)state;
    struct link l = link_of(1250000);
    run(&l, 10 * STOQ_SEC);
    l.rate /= 2;
    run(&l, 3 * STOQ_SEC);
    l.worst = 0;
    l.moved = 0;
    run(&l, 2 * STOQ_SEC);
    assert_true(l.worst <= 20 * STOQ_MS);
    assert_true(l.moved >= l.rate * 2 * 7 / 10);
    l.rate *= 2;
    run(&l, 3 * STOQ_SEC);
    l.moved = 0;
    run(&l, 2 * STOQ_SEC);
    assert_true(l.moved >= l.rate * 2 * 7 / 10);
}

static void a_short_queue_shows_as_loss(void **state)
{
    (void)state;
    struct link l = link_of(1250000);
    l.queue_max = 2000; /* under 2 ms */
    run(&l, 5 * STOQ_SEC);
    uint64_t lost = l.path.lost_bytes;
    l.moved = 0;
    run(&l, 10 * STOQ_SEC);
    assert_true(l.moved >= l.rate * 10 * 6 / 10);
    assert_true(l.path.lost_bytes - lost <= l.moved / 10);
}

/* The path has become longer: after ten minutes that is what it is. */
static void the_base_is_forgotten(void **state)
{
    (void)state;
    struct stoq_qos_yield y = {0};
    struct stoq_qos_path p = {.rtt_ns = 10 * STOQ_MS};
    stoq_ns now = STOQ_SEC;
    (void)stoq_qos_yield(&y, &p, now);
    p.rtt_ns = 60 * STOQ_MS;
    for (int i = 0; i < 300; i++) {
        now += STOQ_SEC;
        p.yielding_bytes += y.rate_bytes_per_s;
        (void)stoq_qos_yield(&y, &p, now);
    }
    assert_int_equal(y.rate_bytes_per_s, STOQ_QOS_YIELD_LEAST);
    for (int i = 0; i < 400; i++) {
        now += STOQ_SEC;
        p.yielding_bytes += y.rate_bytes_per_s;
        (void)stoq_qos_yield(&y, &p, now);
    }
    assert_true(y.rate_bytes_per_s > 10 * STOQ_QOS_YIELD_LEAST);
}

/* Nothing to send tells nothing of the path. */
static void idleness_does_not_make_it_bold(void **state)
{
    (void)state;
    struct stoq_qos_yield y = {0};
    struct stoq_qos_path p = {.rtt_ns = 10 * STOQ_MS};
    uint64_t first = stoq_qos_yield(&y, &p, STOQ_SEC);
    for (stoq_ns now = STOQ_SEC; now < 60 * STOQ_SEC; now += 100 * STOQ_MS) {
        (void)stoq_qos_yield(&y, &p, now);
    }
    assert_int_equal(y.rate_bytes_per_s, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_it_uses_the_link_and_hardly_queues),
        cmocka_unit_test(it_gives_way_to_strangers),
        cmocka_unit_test(a_change_of_the_link_is_followed_within_three_seconds),
        cmocka_unit_test(a_short_queue_shows_as_loss),
        cmocka_unit_test(the_base_is_forgotten),
        cmocka_unit_test(idleness_does_not_make_it_bold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
