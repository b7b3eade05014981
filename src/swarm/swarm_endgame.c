/*
 * The endgame. A peer that finds nothing left to draw looks for the one that will be last. If that
 * one has a request it has not begun to answer, the request is taken away from it (nothing is sent
 * twice but what is on its way already); if it is hopelessly slow, any request is. Otherwise the
 * chunks it would bring last are asked for a second time, as many as the helper brings in half that
 * time, within 1 % of the transfer (or 1 MiB, for small ones): whoever comes first wins, and a request
 * that has nothing left to bring is cancelled.
 *
 * All of it only when the helper would clearly be earlier, by more than its own time again and 50 ms:
 * estimates are estimates, and a copy that arrives second is a waste.
 */
#include "swarm/swarm_internal.h"

#define MARGIN (50 * STOQ_MS)

static stoq_ns time_to_bring(const struct swarm_peer *p, uint64_t bytes)
{
    return p->rtt_ns + stoq_swarm_time_for(bytes, p->rate_bytes_per_s);
}

static bool is_outstanding(const struct stoq_swarm *sw, const struct swarm_request *rq, uint32_t k,
                           struct swarm_run **run)
{
    const struct swarm_chunk *chunk = stoq_swarm_find(sw, rq->index[k], run);
    uint32_t name = (uint32_t)(rq->cookie & (STOQ_SWARM_REQUESTS_MAX - 1)) + 1;
    return chunk != NULL && chunk->state == SWARM_ASKED &&
           (chunk->ask[0] == name || chunk->ask[1] == name);
}

/* What is known of a peer's end: nothing was measured of a new one, only its silence counts. */
static stoq_ns expected(const struct swarm_peer *p, stoq_ns now)
{
    return p->rate_known ? stoq_swarm_eta(p, now) : now - p->progress_at;
}

/* Whoever will be last of the peers that have something to bring which this one holds. */
static uint32_t slowest(const struct stoq_swarm *sw, uint32_t helper, stoq_ns now)
{
    uint32_t worst = helper;
    stoq_ns worst_eta = 0;
    for (uint32_t q = 0; q < STOQ_SWARM_PEERS_MAX; q++) {
        const struct swarm_peer *p = &sw->peer[q];
        if (q == helper || !p->used || p->requests == 0) {
            continue;
        }
        stoq_ns eta = expected(p, now);
        if (eta > worst_eta) {
            worst = q;
            worst_eta = eta;
        }
    }
    return worst;
}

/* Some chunk of the request is asked of nobody else, and the helper holds it. */
static bool is_for(const struct stoq_swarm *sw, const struct swarm_request *rq, uint32_t helper)
{
    for (uint32_t k = rq->count; k-- > 0;) {
        struct swarm_run *run;
        if (is_outstanding(sw, rq, k, &run) && run->chunk[rq->index[k] - run->first].ask[1] == 0 &&
            stoq_swarm_holds(sw, run, (uint32_t)(rq->index[k] - run->first), helper)) {
            return true;
        }
    }
    return false;
}

/* The peer's newest request that the helper could take: one that nothing has come of, or any. */
static struct swarm_request *stealable(struct stoq_swarm *sw, uint32_t slot, uint32_t helper,
                                       bool is_any)
{
    struct swarm_request *newest = NULL;
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX; i++) {
        struct swarm_request *rq = sw->request[i];
        if (rq == NULL || rq->cancelled || rq->peer_slot != slot) {
            continue;
        }
        bool has_begun = rq->left < rq->count || rq->progress_at != rq->made_at;
        if ((is_any || !has_begun) && (newest == NULL || rq->cookie > newest->cookie) &&
            is_for(sw, rq, helper)) {
            newest = rq;
        }
    }
    return newest;
}

static bool steal(struct stoq_swarm *sw, uint32_t slot, uint32_t helper, stoq_ns eta, stoq_ns now,
                  struct stoq_swarm_action *out)
{
    const struct swarm_peer *p = &sw->peer[helper];
    stoq_ns all = time_to_bring(p, sw->peer[slot].inflight_bytes);
    bool is_hopeless = eta > 4 * all + 10 * MARGIN;
    struct swarm_request *from = stealable(sw, slot, helper, is_hopeless);
    if (from == NULL || (!is_hopeless && eta <= 2 * time_to_bring(p, from->bytes) + 2 * MARGIN)) {
        return false;
    }
    uint32_t chunks_max = p->chunks_max < p->ranges_max ? p->chunks_max : p->ranges_max;
    struct swarm_request *to = stoq_swarm_new_request(sw, helper, chunks_max, now);
    if (to == NULL) {
        return false;
    }
    /* What is cancelled keeps its list until the CANCEL is polled. */
    stoq_swarm_end_request(sw, from, true);
    for (uint32_t k = 0; k < from->count && to->count < chunks_max; k++) {
        struct swarm_run *run;
        const struct swarm_chunk *chunk = stoq_swarm_find(sw, from->index[k], &run);
        if (chunk != NULL && chunk->state == SWARM_WANTED &&
            stoq_swarm_holds(sw, run, (uint32_t)(from->index[k] - run->first), helper)) {
            stoq_swarm_ask(sw, to, run, (uint32_t)(from->index[k] - run->first));
        }
    }
    stoq_swarm_send(sw, to, now, out);
    return true;
}

/* Ask the helper for the last chunks of one request of the slow peer, from its end backwards. */
static void duplicate_from(struct stoq_swarm *sw, struct swarm_request *to,
                           const struct swarm_request *from, uint32_t chunks_max,
                           uint64_t *bytes_left)
{
    for (uint32_t k = from->count; k-- > 0 && to->count < chunks_max;) {
        struct swarm_run *run;
        if (!is_outstanding(sw, from, k, &run)) {
            continue;
        }
        uint32_t i = (uint32_t)(from->index[k] - run->first);
        const struct swarm_chunk *chunk = &run->chunk[i];
        if (chunk->ask[1] != 0 || !stoq_swarm_holds(sw, run, i, to->peer_slot)) {
            continue;
        }
        if (chunk->length > *bytes_left) {
            return;
        }
        *bytes_left -= chunk->length;
        stoq_swarm_ask(sw, to, run, i);
    }
}

static uint64_t duplicate_budget(const struct stoq_swarm *sw)
{
    uint64_t most = sw->added_bytes / 100;
    most = most > STOQ_SWARM_DUPLICATE_BYTES ? most : STOQ_SWARM_DUPLICATE_BYTES;
    return most > sw->bytes_asked_twice ? most - sw->bytes_asked_twice : 0;
}

static bool duplicate(struct stoq_swarm *sw, uint32_t slot, uint32_t helper, stoq_ns eta,
                      stoq_ns now, struct stoq_swarm_action *out)
{
    const struct swarm_peer *p = &sw->peer[helper];
    uint64_t bytes = stoq_swarm_bytes_in(p->rate_bytes_per_s, eta / 2);
    uint64_t budget = duplicate_budget(sw);
    bytes = bytes < budget ? bytes : budget;
    uint32_t chunks_max = p->chunks_max < p->ranges_max ? p->chunks_max : p->ranges_max;
    if (bytes == 0 || eta <= 2 * time_to_bring(p, STOQ_SWARM_CHUNK_BYTES_MAX / 4) + MARGIN) {
        return false;
    }
    struct swarm_request *rq = stoq_swarm_new_request(sw, helper, chunks_max, now);
    if (rq == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX && rq->count < chunks_max; i++) {
        const struct swarm_request *from = sw->request[i];
        if (from != NULL && !from->cancelled && from->peer_slot == slot) {
            duplicate_from(sw, rq, from, chunks_max, &bytes);
        }
    }
    if (rq->count == 0) {
        sw->request[rq->cookie & (STOQ_SWARM_REQUESTS_MAX - 1)] = NULL;
        stoq_swarm_unalloc(sw, rq, rq->size);
        return false;
    }
    stoq_swarm_send(sw, rq, now, out);
    return true;
}

bool stoq_swarm_help(struct stoq_swarm *sw, uint32_t helper, stoq_ns now,
                     struct stoq_swarm_action *out)
{
    const struct swarm_peer *p = &sw->peer[helper];
    if (!p->rate_known || p->requests > 0) {
        return false;
    }
    uint32_t slot = slowest(sw, helper, now);
    if (slot == helper) {
        return false;
    }
    stoq_ns eta = expected(&sw->peer[slot], now);
    return steal(sw, slot, helper, eta, now, out) || duplicate(sw, slot, helper, eta, now, out);
}
