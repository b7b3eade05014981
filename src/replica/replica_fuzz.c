/* Answers, receipts and times at random: no domain counts twice, no more are asked than are wanted, every
 * action is about somebody who is waited for, and it ends. */
#include "replica/replica.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N 12

static void check(const struct stoq_replica *r, const uint32_t *domains, uint32_t wanted)
{
    struct stoq_replica_sum sum;
    unsigned seen = 0;
    stoq_replica_sum(r, &sum);
    STOQ_ASSERT(sum.verified + sum.active <= wanted);
    for (uint32_t i = 0; i < N; i++) {
        struct stoq_replica_view v;
        stoq_replica_at(r, i, &v);
        if (v.state != STOQ_REPLICA_SPARE && v.state != STOQ_REPLICA_OUT) {
            STOQ_ASSERT((seen >> domains[i] & 1) == 0);
            seen |= 1u << domains[i];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_rd in = stoq_rd(stoq_span(data, size));
    uint32_t domains[N];
    uint64_t cookies[N] = {0};
    for (size_t i = 0; i < N; i++) {
        domains[i] = stoq_rd_u8(&in) % 6;
    }
    struct stoq_replica_config cfg = {.wanted = 1 + stoq_rd_u8(&in) % 5u,
                                      .shards = stoq_rd_u8(&in) * 16u,
                                      .bytes = stoq_rd_u32(&in),
                                      .domains = domains,
                                      .candidate_count = N};
    struct stoq_replica *r;
    stoq_ns now = 1;
    bool ended = false;
    if (stoq_replica_new(&r, &cfg) != STOQ_OK) {
        return 0;
    }
    while (!in.bad && in.n > 0) {
        struct stoq_replica_action a;
        uint8_t what = stoq_rd_u8(&in);
        uint32_t who = stoq_rd_u8(&in) % N;
        struct stoq_replica_event ev = {.kind = (enum stoq_replica_event_kind)(what % 5),
                                        .candidate = who,
                                        .cookie = (what & 64) != 0 ? what : cookies[who]};
        if (ev.kind == STOQ_REPLICA_RECEIPT) {
            ev.u.receipt.slice = stoq_rd_u8(&in) % 4u;
            ev.u.receipt.why = (what & 32) != 0 ? STOQ_REPLICA_BAD_RECEIPT : STOQ_REPLICA_FINE;
        } else if (ev.kind == STOQ_REPLICA_DECLINED) {
            ev.u.why = (enum stoq_replica_why)(what / 4 % STOQ_REPLICA_WHYS);
        }
        stoq_replica_feed(r, &ev, now);
        while (stoq_replica_poll(r, now, &a)) {
            STOQ_ASSERT(!ended && a.candidate < N);
            ended = a.kind == STOQ_REPLICA_ENDED;
            cookies[a.candidate] = a.kind == STOQ_REPLICA_OFFER ? a.cookie : 0;
        }
        check(r, domains, cfg.wanted);
        now += (stoq_ns)stoq_rd_u8(&in) * 50 * STOQ_MS;
    }
    /* Nobody says anything any more. */
    for (unsigned i = 0; i < 10000 && !ended; i++) {
        struct stoq_replica_action a;
        now = stoq_replica_deadline(r) == STOQ_NEVER ? now : stoq_replica_deadline(r);
        while (stoq_replica_poll(r, now, &a)) {
            ended = a.kind == STOQ_REPLICA_ENDED;
        }
    }
    STOQ_ASSERT(ended);
    stoq_replica_free(r);
    return 0;
}
