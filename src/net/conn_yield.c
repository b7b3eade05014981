/*
 * The rate of background on a connection: a bucket that packets draw on, which holds what goes in 5 ms or two
 * packets. Whoever owns the endpoint sets the rate from what the path shows (src/qos/qos_yield.c);
 * pacing has to be done here, where packets are made: a chunk at once would stand in a slow path's queue for
 * 50 ms.
 */
#include "net/net_internal.h"

#define HOLDS_NS (5 * STOQ_MS)
#define HOLDS_LEAST 3000
#define WORTH_WAKING 1200 /* a packet */
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

void stoq_net_background_rate(struct stoq_net *net, stoq_net_conn id, uint64_t rate)
{
    struct net_far *far = net_far_of(net, id);
    if (far != NULL) {
        net_far_background_rate(far, id, rate);
        return;
    }
    struct net_conn *conn = net_conn_open(net, id);
    rate = rate < RATE_MAX ? rate : RATE_MAX;
    if (conn == NULL || conn->yield.rate == rate) {
        return;
    }
    if (conn->yield.rate == 0) {
        conn->yield.credit = 0;
        conn->yield.at = net->now;
    }
    conn->yield.rate = rate;
    net_mark_dirty(conn);
}
