/*
 * What the bandwidth core's lists cost with many at once: N flows of as many peers are open, as when N
 * replies go to N peers. Timed are one reply that comes and goes beside them (opens, wants 64 KiB, closes)
 * without any cap, and one grant, with the deadline that follows it, while all of them wait under one cap.
 * One "name value unit" per line.
 *
 *     qos_many [N]...
 */
#include "base/prng.h"
#include "os/sys.h"
#include "qos/qos.h"

#include <stdio.h>
#include <stdlib.h>

#define PIECE 65536u
#define ROUNDS 200000u
#define GRANTS 20000u
#define PEERS_MAX STOQ_QOS_FLOWS_MAX

static struct stoq_peer_id peers[PEERS_MAX];

static stoq_qos_flow open_one(struct stoq_qos *q, size_t i)
{
    struct stoq_qos_open open = {
        .dir = STOQ_QOS_UP, .peer = &peers[i], .group = i, .transfer = i + 1, .user = &peers[i]};
    stoq_qos_flow f = stoq_qos_open(q, &open);
    STOQ_ASSERT(f != 0);
    return f;
}

static double ns_each(stoq_ns from, uint64_t n)
{
    return (double)(stoq_now() - from) / (double)n;
}

static void come_and_go(struct stoq_qos *q, size_t n)
{
    stoq_ns from = stoq_now();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        stoq_qos_flow f = open_one(q, n - 1); /* the last in every list */
        STOQ_ASSERT(stoq_qos_want(q, f, PIECE, from + i));
        stoq_qos_close(q, f);
    }
    printf("qos_reply_beside_%zu %.0f ns\n", n - 1, ns_each(from, ROUNDS));
}

static void wait_under_a_cap(struct stoq_qos *q, size_t n, const stoq_qos_flow *flows)
{
    const struct stoq_qos_whose all = {.scope = STOQ_QOS_ALL};
    struct stoq_qos_grant g;
    stoq_ns now = stoq_now();
    STOQ_ASSERT(stoq_qos_limit(q, STOQ_QOS_UP, &all, 100000000, now) == STOQ_OK);
    for (size_t i = 0; i < n; i++) {
        (void)!stoq_qos_want(q, flows[i], PIECE, now);
    }
    stoq_ns from = stoq_now();
    for (uint64_t i = 0; i < GRANTS; i++) {
        while (!stoq_qos_poll(q, now, &g)) {
            now = stoq_qos_deadline(q);
        }
        (void)!stoq_qos_want(q, g.flow, PIECE, now); /* its next piece */
    }
    printf("qos_grant_among_%zu %.0f ns\n", n, ns_each(from, GRANTS));
}

static void measure(size_t n)
{
    static const struct stoq_alloc heap;
    static stoq_qos_flow flows[PEERS_MAX];
    struct stoq_qos *q;
    STOQ_ASSERT(stoq_qos_new(&q, &heap) == STOQ_OK);
    for (size_t i = 0; i + 1 < n; i++) {
        flows[i] = open_one(q, i);
    }
    come_and_go(q, n);
    flows[n - 1] = open_one(q, n - 1);
    wait_under_a_cap(q, n, flows);
    stoq_qos_free(q);
}

int main(int argc, char **argv)
{
    struct stoq_prng r = stoq_prng(1);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        for (size_t k = 0; k < sizeof peers[i].h.b; k += 8) {
            stoq_le64_put(peers[i].h.b + k, stoq_prng_next(&r));
        }
    }
    static const char *const usual[] = {"1", "64", "1024", "4096"};
    int count = argc > 1 ? argc - 1 : (int)STOQ_COUNT(usual);
    for (int i = 0; i < count; i++) {
        unsigned long n = strtoul(argc > 1 ? argv[i + 1] : usual[i], NULL, 10);
        if (n < 1 || n > PEERS_MAX) {
            (void)fprintf(stderr, "qos_many [1..%u]...\n", PEERS_MAX);
            return 2;
        }
        measure(n);
    }
    return 0;
}
