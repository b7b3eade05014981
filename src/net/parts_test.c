/* The transport's small parts: budgets of strangers, the table of connection ids, batched sockets. */
#include "base/prng.h"
#include "net/cid.h"
#include "net/guard.h"
#include "net/udp.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t admitted(struct net_guard *g, uint64_t prefix, stoq_ns now, size_t tries)
{
    size_t n = 0;
    for (size_t i = 0; i < tries; i++) {
        n += net_guard_admit(g, prefix, now);
    }
    return n;
}

static void budget_is_spent_and_refills(void **state)
{
    struct net_guard *g = malloc(sizeof *g);
    stoq_ns now = 1000 * STOQ_SEC;
    (void)state;
    assert_non_null(g);
    net_guard_init(g, 12345, 100, 10, 3);
    assert_int_equal(admitted(g, 1, now, 1000), 200);
    assert_int_equal(admitted(g, 1, now, 1000), 0);
    assert_int_equal(admitted(g, 2, now, 1000), 200); /* another prefix pays for itself */
    assert_int_equal(admitted(g, 1, now + STOQ_SEC / 2, 1000), 50);
    assert_int_equal(admitted(g, 1, now + 3600 * STOQ_SEC, 1000), 200); /* never more saved up */
    size_t replies = 0;
    for (size_t i = 0; i < 100000; i++) {
        replies += net_guard_reply(g, now);
    }
    assert_int_equal(replies, NET_GUARD_REPLIES_PER_S / 10);
    free(g);
}

/* However many prefixes send sealed datagrams, what all of them cost is bounded. */
static void datagrams_of_all_are_bounded(void **state)
{
    struct net_guard *g = malloc(sizeof *g);
    stoq_ns now = 1000 * STOQ_SEC;
    size_t one = 0;
    size_t all = 0;
    (void)state;
    assert_non_null(g);
    net_guard_init(g, 12345, 100, 10, 3);
    for (uint64_t i = 0; i < 20000; i++) {
        one += net_guard_rpc(g, 7, now + i * (STOQ_SEC / 10000));
    }
    assert_in_range(one, 2 * NET_GUARD_RPCS_PREFIX_PER_S, 3 * NET_GUARD_RPCS_PREFIX_PER_S + 1);
    for (uint64_t i = 0; i < 20000; i++) {
        all += net_guard_rpc(g, i, now + (i + 30000) * (STOQ_SEC / 10000));
    }
    assert_in_range(all, 2 * NET_GUARD_RPCS_PER_S, 2 * NET_GUARD_RPCS_PER_S + 251);
    free(g);
}

static void handshakes_are_counted(void **state)
{
    struct net_guard *g = malloc(sizeof *g);
    (void)state;
    assert_non_null(g);
    net_guard_init(g, 1, 100, 8, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(net_guard_enter(g, 1));
    }
    assert_true(net_guard_wary(g));
    assert_false(net_guard_enter(g, 1)); /* the prefix is full */
    for (int i = 0; i < 3; i++) {
        assert_true(net_guard_enter(g, 2));
    }
    assert_true(net_guard_enter(g, 3) && net_guard_enter(g, 3));
    assert_false(net_guard_enter(g, 4)); /* all is full */
    for (int i = 0; i < 3; i++) {
        net_guard_leave(g, 1);
        net_guard_leave(g, 2);
    }
    net_guard_leave(g, 3);
    assert_false(net_guard_wary(g));
    assert_true(net_guard_enter(g, 1));
    free(g);
}

#define OWNERS 20
#define IDS 600

/* Random additions, removals and searches against a plain array. */
static void ids_find_their_owners(void **state)
{
    static const uint64_t seed[2] = {7, 8};
    struct net_cids ids;
    struct net_cid *lists[OWNERS] = {NULL};
    uint8_t id[IDS][NET_CID_MAX];
    int owner[IDS];
    struct stoq_prng r = stoq_prng(3);
    (void)state;
    assert_int_equal(net_cids_init(&ids, seed), STOQ_OK);
    for (size_t i = 0; i < IDS; i++) {
        for (size_t k = 0; k < NET_CID_MAX; k++) {
            id[i][k] = (uint8_t)stoq_prng_below(&r, 3);
        }
        id[i][0] = (uint8_t)i;
        id[i][1] = (uint8_t)(i >> 8);
        owner[i] = -1;
    }
    for (int round = 0; round < 20000; round++) {
        size_t i = stoq_prng_below(&r, IDS);
        struct stoq_span s = stoq_span(id[i], 8 + i % 13);
        void *found = net_cids_find(&ids, s);
        assert_ptr_equal(found, owner[i] < 0 ? NULL : (void *)&lists[owner[i]]);
        int o = (int)stoq_prng_below(&r, OWNERS);
        if (owner[i] >= 0) {
            assert_int_equal(net_cids_add(&ids, &lists[o], &lists[o], s), STOQ_EXISTS);
            net_cids_remove(&ids, &lists[owner[i]], s);
            owner[i] = -1;
        } else {
            assert_int_equal(net_cids_add(&ids, &lists[o], &lists[o], s), STOQ_OK);
            owner[i] = o;
        }
    }
    for (int o = 0; o < OWNERS; o++) {
        net_cids_clear(&ids, &lists[o]);
        assert_null(lists[o]);
    }
    assert_int_equal(ids.count, 0);
    net_cids_release(&ids);
}

static void open_socket(struct net_socket *s, const char *text)
{
    struct stoq_addr addr;
    assert_int_equal(stoq_addr_parse(&addr, stoq_span_str(text), 0), STOQ_OK);
    assert_int_equal(net_socket_open(s, &addr, false, false, 1U << 20, NULL), STOQ_OK);
}

/* Send n bytes cut every segment bytes from a to b and check that b gets them so cut. */
static void send_and_check(struct net_tx *tx, struct net_rx *rx, struct net_socket *a,
                           struct net_socket *b, size_t n, size_t segment)
{
    struct net_out *out = net_tx_next(tx, a);
    assert_non_null(out);
    uint8_t *p = net_tx_memory(tx, out);
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(i * 7 + i / 251);
    }
    out->n = n;
    out->segment = segment;
    out->to = b->local;
    out->ecn = 2;
    net_tx_commit(tx);
    assert_true(net_tx_flush(tx));
    size_t got = 0;
    while (got < n) {
        struct pollfd pfd = {.fd = b->fd, .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, 5000), 1);
        size_t count = net_rx_receive(rx, b);
        for (size_t i = 0; i < count; i++) {
            const struct net_datagram *d = &rx->v[i];
            assert_true(stoq_addr_eq(&d->from, &a->local) && stoq_addr_eq(&d->to, &b->local));
            assert_int_equal(d->ecn, 2);
            assert_true(d->segment == segment || (d->segment == d->n && d->n == n - got));
            for (size_t k = 0; k < d->n; k++) {
                assert_int_equal(d->p[k], (uint8_t)((got + k) * 7 + (got + k) / 251));
            }
            got += d->n;
        }
    }
    assert_int_equal(got, n);
}

static void batches_arrive_as_cut(const char *from, const char *to)
{
    struct net_socket a;
    struct net_socket b;
    struct net_rx rx;
    struct net_tx tx = {0};
    open_socket(&a, from);
    open_socket(&b, to);
    assert_int_equal(net_rx_init(&rx), STOQ_OK);
    assert_int_equal(net_tx_init(&tx), STOQ_OK);
    for (int round = 0; round < 2; round++) {
        send_and_check(&tx, &rx, &a, &b, 1200, 1200);
        send_and_check(&tx, &rx, &a, &b, 1452 * 40 + 7, 1452);
        send_and_check(&tx, &rx, &a, &b, 32700 + 100, 32700);
        send_and_check(&tx, &rx, &a, &b, 65000, 65000);
        a.segments = false; /* the second round: we cut */
    }
    assert_int_equal(tx.sent_datagrams, 2 * (1 + 41 + 2 + 1));
    net_tx_release(&tx);
    net_rx_release(&rx);
    net_socket_close(&a);
    net_socket_close(&b);
}

static void datagrams_arrive_as_cut(void **state)
{
    (void)state;
    batches_arrive_as_cut("[::1]:0", "[::1]:0");
    batches_arrive_as_cut("127.0.0.1:0", "127.0.0.1:0");
}

static void count_failure(void *user, uint64_t tag, int error)
{
    int *failures = user;
    (void)error;
    assert_int_equal(tag, 99);
    ++*failures;
}

static void refused_sends_do_not_stop_others(void **state)
{
    struct net_socket a;
    struct net_socket b;
    struct net_rx rx;
    struct net_tx tx = {0};
    int failures = 0;
    (void)state;
    open_socket(&a, "[::1]:0");
    open_socket(&b, "[::1]:0");
    assert_int_equal(net_rx_init(&rx), STOQ_OK);
    assert_int_equal(net_tx_init(&tx), STOQ_OK);
    tx.failed = count_failure;
    tx.user = &failures;
    for (int i = 0; i < 5; i++) {
        struct net_out *out = net_tx_next(&tx, &a);
        out->n = 10;
        out->segment = 10;
        memset(net_tx_memory(&tx, out), 'a' + i, out->n);
        out->to = b.local;
        out->tag = 99;
        if (i == 1 || i == 3) {
            out->to.port = 0; /* no such port: the kernel says EINVAL */
        }
        net_tx_commit(&tx);
    }
    assert_true(net_tx_flush(&tx));
    assert_int_equal(failures, 2);
    assert_int_equal(tx.dropped, 2);
    size_t got = 0;
    uint8_t seen = 0;
    while (got < 3) {
        struct pollfd pfd = {.fd = b.fd, .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, 5000), 1);
        size_t count = net_rx_receive(&rx, &b);
        for (size_t i = 0; i < count; i++) {
            for (size_t at = 0; at < rx.v[i].n; at += 10) {
                seen = (uint8_t)(seen | 1U << (rx.v[i].p[at] - 'a'));
                got++;
            }
        }
    }
    assert_int_equal(seen, 1 | 4 | 16);
    net_tx_release(&tx);
    net_rx_release(&rx);
    net_socket_close(&a);
    net_socket_close(&b);
}

static void sockets_know_whom_they_reach(void **state)
{
    struct net_socket loop6;
    struct net_socket any;
    struct net_socket loop4;
    struct stoq_addr far6;
    struct stoq_addr far4;
    (void)state;
    open_socket(&loop6, "[::1]:0");
    open_socket(&any, "[::]:0");
    open_socket(&loop4, "127.0.0.1:0");
    assert_int_equal(stoq_addr_parse(&far6, stoq_span_str("[2001:db8::1]:1"), 0), STOQ_OK);
    assert_int_equal(stoq_addr_parse(&far4, stoq_span_str("192.0.2.1:1"), 0), STOQ_OK);
    assert_true(net_socket_reaches(&loop6, &loop6.local));
    assert_false(net_socket_reaches(&loop6, &far6) || net_socket_reaches(&loop6, &loop4.local));
    assert_true(net_socket_reaches(&any, &far6) && net_socket_reaches(&any, &far4));
    assert_true(net_socket_reaches(&loop4, &loop4.local));
    assert_false(net_socket_reaches(&loop4, &far4) || net_socket_reaches(&loop4, &loop6.local));
    net_socket_close(&loop6);
    net_socket_close(&any);
    net_socket_close(&loop4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_is_spent_and_refills),
        cmocka_unit_test(datagrams_of_all_are_bounded),
        cmocka_unit_test(handshakes_are_counted),
        cmocka_unit_test(ids_find_their_owners),
        cmocka_unit_test(datagrams_arrive_as_cut),
        cmocka_unit_test(refused_sends_do_not_stop_others),
        cmocka_unit_test(sockets_know_whom_they_reach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
