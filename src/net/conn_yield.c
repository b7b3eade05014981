/*
 * The rate of background on a connection: a bucket that packets draw on, which holds what goes in 5 ms or two
 * packets. Whoever owns the endpoint sets the rate from what the path shows (src/qos/qos_yield.c);
 * pacing has to be done here, where packets are made: a chunk at once would stand in a slow path's queue for
 * 50 ms.
 *
 * What it judges the path by is the shortest round trip of the last 25 to 50 ms (the filter of RFC 6817,
 * section 4.2): a queue is in all of them, a late acknowledgement of a busy machine in some.
 */
#include "net/net_internal.h"

#define HOLDS_NS (5 * STOQ_MS)
#define HOLDS_LEAST 3000
#define WORTH_WAKING 1200 /* a packet */
#define RTT_STRETCH_NS (25 * STOQ_MS)
#define RATE_MAX ((uint64_t)1000 * 1000 * 1000 * 1000)

static int64_t most(const struct net_yield *y)
{
    uint64_t bytes = y->rate / (STOQ_SEC / HOLDS_NS);
    return bytes > HOLDS_LEAST ? (int64_t)bytes : HOLDS_LEAST;
}

void net_yield_fill(struct net_conn *conn)
{
    struct net_yield *y = &conn->yield;
    stoq_ns now = conn->net->now;
    if (y->rate == 0 || now <= y->at) {
        return;
    }
    uint64_t us = (now - y->at) / 1000;
    uint64_t bytes = y->rate * (us < 1000000 ? us : 1000000) / 1000000;
    y->credit += (int64_t)bytes;
    y->at = us < 1000000 ? y->at + bytes * 1000000 / y->rate * 1000 : now;
    if (y->credit >= most(y)) {
        y->credit = most(y);
        y->at = now;
    }
}

bool net_yield_may_send(const struct net_conn *conn)
{
    return conn->yield.rate == 0 || conn->yield.credit > 0;
}

void net_yield_note_rtt(struct net_conn *conn)
{
    struct net_yield *y = &conn->yield;
    ngtcp2_conn_info info;
    if (y->rate == 0) {
        return;
    }
    ngtcp2_conn_get_conn_info(conn->q, &info);
    stoq_ns was = y->srtt;
    y->srtt = info.smoothed_rtt;
    if (was == 0 || was == y->srtt || 8 * y->srtt <= 7 * was) {
        return; /* no new sample */
    }
    /* What went into the mean, which is seven parts of the old one: less what the peer says it held the
     * acknowledgement back, unlike the latest sample that is told. */
    stoq_ns rtt = 8 * y->srtt - 7 * was;
    if (conn->net->now - y->rtt_at >= RTT_STRETCH_NS) {
        y->rtt_least[1] = y->rtt_least[0];
        y->rtt_least[0] = 0;
        y->rtt_at = conn->net->now;
    }
    if (y->rtt_least[0] == 0 || rtt < y->rtt_least[0]) {
        y->rtt_least[0] = rtt;
    }
}

stoq_ns net_yield_rtt(const struct net_conn *conn)
{
    const stoq_ns *least = conn->yield.rtt_least;
    return least[0] == 0 || (least[1] != 0 && least[1] < least[0]) ? least[1] : least[0];
}

void net_yield_sent(struct net_conn *conn, size_t bytes)
{
    conn->yield.sent += bytes;
    if (conn->yield.rate > 0) {
        conn->yield.credit -= (int64_t)bytes;
    }
}

stoq_ns net_yield_at(const struct net_conn *conn)
{
    const struct net_yield *y = &conn->yield;
    if (net_yield_may_send(conn) || TAILQ_EMPTY(&conn->ready[STOQ_NET_BACKGROUND])) {
        return STOQ_NEVER;
    }
    uint64_t need = (uint64_t)(WORTH_WAKING - y->credit);
    return conn->net->now + (need * 1000000 / y->rate + 1) * 1000;
}

void stoq_net_background_rate(struct stoq_net *net, stoq_net_conn conn, uint64_t rate_bytes_per_s)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        net_far_background_rate(far, conn, rate_bytes_per_s);
        return;
    }
    struct net_conn *c = net_conn_open(net, conn);
    uint64_t rate = rate_bytes_per_s < RATE_MAX ? rate_bytes_per_s : RATE_MAX;
    if (c == NULL || c->yield.rate == rate) {
        return;
    }
    if (c->yield.rate == 0) {
        c->yield.credit = 0;
        c->yield.at = net->now;
    }
    c->yield.rate = rate;
    net_mark_dirty(c);
}
