/* Packets that come to the wrong thread, and a thread that its owner keeps waiting. */
#include "net/net_harness.h"

#include <linux/filter.h>
#include <stdlib.h>
#include <sys/socket.h>

#define AT_ONCE 4

static bool all_opened(struct world *w)
{
    return w->a.opened >= AT_ONCE && w->b.opened >= AT_ONCE;
}

/* Both threads of a listener carry connections; each is steered to by its ids. */
static void both_threads_carry(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.threads = 2, .handshake_timeout_ns = LIMIT};
    world_init(&w, NULL, &b);
    struct stoq_net_stats t[2] = {{0}};
    for (int round = 1; round <= 20; round++) {
        w.a.opened = w.b.opened = 0;
        for (int i = 0; i < AT_ONCE; i++) {
            (void)world_dial(&w, &w.b.id, LIMIT);
        }
        assert_true(world_run(&w, all_opened));
        side_stats(&w.b, &(struct stoq_net_stats){0});
        assert_true(stoq_net_thread_stats(w.b.net, 0, &t[0]));
        assert_true(stoq_net_thread_stats(w.b.net, 1, &t[1]));
        assert_int_equal(t[0].opened_inbound + t[1].opened_inbound, AT_ONCE * round);
        if (t[0].opened_inbound > 0 && t[1].opened_inbound > 0) {
            break;
        }
    }
    assert_true(t[0].opened_inbound > 0 && t[1].opened_inbound > 0);
    assert_false(stoq_net_thread_stats(w.b.net, 2, &t[0]));
    world_release(&w);
}

static bool far_opened(struct world *w)
{
    return w->b.opened > 0 && (w->b.conn & NET_FAR_BIT) != 0;
}

static bool b_has_all(struct world *w)
{
    return w->b.fins > 0;
}

/* What the first thread is given of the second's is handed on, and a transfer goes through it. */
static void strays_are_handed_on(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.threads = 2};
    world_init(&w, NULL, &b);
    for (int i = 0; i < 30 && !far_opened(&w); i++) {
        w.a.opened = w.b.opened = 0;
        world_connect(&w);
    }
    assert_true(far_opened(&w));
    /* As a kernel without steering would: everything to the first socket. */
    struct sock_filter to_first = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &to_first};
    assert_int_equal(setsockopt(w.b.net->listeners[0].socket.fd, SOL_SOCKET,
                                SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program),
                     0);
    static const uint8_t bytes[200000];
    struct stoq_net_buf buf = {.bytes = stoq_span(bytes, sizeof bytes)};
    stoq_net_stream stream;
    assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &stream), STOQ_OK);
    assert_int_equal(stoq_net_write(w.a.net, w.a.conn, stream, &buf, true), STOQ_OK);
    assert_true(world_run(&w, b_has_all));
    assert_int_equal(w.b.received, sizeof bytes);
    struct stoq_net_stats t;
    assert_true(stoq_net_thread_stats(w.b.net, 0, &t));
    assert_true(t.handed_on > 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_threads_carry),
        cmocka_unit_test(strays_are_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
