/* Classes of streams on one connection, over a path in memory: see net_pipe.h. a sends, b receives. */
#include "net/net_pipe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PIECE 65536u
#define LINK_BYTES_PER_S 1250000u

static const struct stoq_net_config plain = {.mode = STOQ_NET_KYBER1024_PURE,
                                             .send_buffer_bytes = STOQ_GIB};

static bool both_opened(struct net_pipe *p)
{
    return p->a.opened > 0 && p->b.opened > 0;
}

/* 10 Mbit/s, 10 ms each way, and a queue of any length. */
static int fate_link(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    stoq_ns *free_at = &p->free_at[to_b];
    if (fate->n > 1452) {
        return 0;
    }
    *free_at = *free_at > p->now ? *free_at : p->now;
    *free_at += fate->n * STOQ_SEC / LINK_BYTES_PER_S;
    fate->delay[0] = *free_at - p->now + 10 * STOQ_MS;
    return 1;
}

static void start(struct net_pipe *p)
{
    pipe_init(p, &plain, 5);
    p->fate = fate_link;
    (void)pipe_dial(p);
    assert_true(pipe_run(p, both_opened, 20 * STOQ_SEC));
}

static void send_zeros(struct net_pipe *p, enum stoq_net_class rank)
{
    static const uint8_t zeros[PIECE];
    stoq_net_stream stream;
    struct stoq_net_buf buf = {.bytes = {zeros, PIECE}};
    assert_int_equal(stoq_net_stream_open(p->a.net, p->a.conn, &stream), STOQ_OK);
    stoq_net_stream_class(p->a.net, p->a.conn, stream, rank);
    for (int k = 0; k < 1000; k++) {
        assert_int_equal(stoq_net_write(p->a.net, p->a.conn, stream, &buf, false), STOQ_OK);
    }
}

static uint64_t background_in(struct net_pipe *p, stoq_ns time)
{
    struct stoq_net_info before;
    struct stoq_net_info after;
    assert_true(stoq_net_info(p->a.net, p->a.conn, &before));
    (void)pipe_run(p, NULL, time);
    assert_true(stoq_net_info(p->a.net, p->a.conn, &after));
    return after.background_bytes - before.background_bytes;
}

static void background_keeps_the_rate_it_is_given(void **state)
{
    static const uint64_t rates[] = {24000, 200000, 800000};
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(rates); i++) {
        struct net_pipe p;
        start(&p);
        stoq_net_background_rate(p.a.net, p.a.conn, rates[i]);
        send_zeros(&p, STOQ_NET_BACKGROUND);
        (void)pipe_run(&p, NULL, 2 * STOQ_SEC);
        uint64_t sent = background_in(&p, 10 * STOQ_SEC);
        assert_in_range(sent, rates[i] * 95 / 10, rates[i] * 105 / 10);
        stoq_net_background_rate(p.a.net, p.a.conn, 0); /* and then as fast as it goes */
        (void)pipe_run(&p, NULL, 2 * STOQ_SEC);
        assert_true(background_in(&p, 5 * STOQ_SEC) > LINK_BYTES_PER_S * 4);
        pipe_release(&p);
    }
}

/* It is the others that go first, but nobody stands still. */
static void the_last_class_moves_too(void **state)
{
    (void)state;
    struct net_pipe p;
    start(&p);
    send_zeros(&p, STOQ_NET_BACKGROUND);
    send_zeros(&p, STOQ_NET_INTERACTIVE);
    (void)pipe_run(&p, NULL, 2 * STOQ_SEC);
    uint64_t before = p.b.received;
    uint64_t back = background_in(&p, 10 * STOQ_SEC);
    uint64_t all = p.b.received - before;
    assert_true(all > LINK_BYTES_PER_S * 9);
    assert_in_range(back, all / 100, all / 10);
    pipe_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(background_keeps_the_rate_it_is_given),
        cmocka_unit_test(the_last_class_moves_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
