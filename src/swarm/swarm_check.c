#include "swarm/swarm_internal.h"

/* Count what this run says of itself, and how often its chunks name each request. */
static void check_run(const struct stoq_swarm *sw, const struct swarm_run *run,
                      uint32_t asks[STOQ_SWARM_REQUESTS_MAX], uint64_t *wanted_bytes)
{
    uint32_t wanted = 0;
    uint32_t open = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        const struct swarm_chunk *chunk = &run->chunk[i];
        STOQ_ASSERT((chunk->state == SWARM_ASKED) == (chunk->ask[0] != 0));
        STOQ_ASSERT(chunk->ask[1] == 0 || chunk->ask[0] != 0);
        bool is_wanted = chunk->state == SWARM_WANTED;
        STOQ_ASSERT((run->wanted_bits[i / 64] >> (i & 63) & 1) == (is_wanted ? 1 : 0));
        wanted += is_wanted ? 1 : 0;
        open += chunk->state == SWARM_DONE ? 0 : 1;
        *wanted_bytes += chunk->state == SWARM_WANTED ? chunk->length : 0;
        for (uint32_t k = 0; k < STOQ_SWARM_ASKS_PER_CHUNK; k++) {
            if (chunk->ask[k] != 0) {
                const struct swarm_request *rq = sw->request[chunk->ask[k] - 1];
                STOQ_ASSERT(rq != NULL && !rq->cancelled);
                asks[chunk->ask[k] - 1]++;
            }
        }
    }
    STOQ_ASSERT(run->wanted == wanted && run->open == open && open > 0);
}

static void check_requests(const struct stoq_swarm *sw,
                           const uint32_t asks[STOQ_SWARM_REQUESTS_MAX])
{
    uint32_t per_peer[STOQ_SWARM_PEERS_MAX] = {0};
    uint64_t inflight[STOQ_SWARM_PEERS_MAX] = {0};
    uint32_t requests = 0;
    uint32_t cancels = 0;
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX; i++) {
        const struct swarm_request *rq = sw->request[i];
        if (rq == NULL) {
            continue;
        }
        if (rq->cancelled) {
            cancels++;
            continue;
        }
        requests++;
        STOQ_ASSERT(rq->left == asks[i] && rq->left > 0);
        per_peer[rq->peer_slot]++;
        inflight[rq->peer_slot] += rq->left_bytes;
    }
    STOQ_ASSERT(requests == sw->request_count && cancels == sw->cancel_count);
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *p = &sw->peer[i];
        STOQ_ASSERT(p->requests == per_peer[i] && p->inflight_bytes == inflight[i]);
        STOQ_ASSERT(p->requests == 0 || (p->used && !p->cut));
        STOQ_ASSERT(p->requests <= STOQ_SWARM_PEER_REQUESTS_MAX);
    }
}

void stoq_swarm_check(const struct stoq_swarm *sw)
{
    uint32_t asks[STOQ_SWARM_REQUESTS_MAX] = {0};
    uint32_t wanted = 0;
    uint32_t open = 0;
    uint32_t haves = 0;
    uint64_t wanted_bytes = 0;
    for (uint32_t r = 0; r < sw->run_count; r++) {
        const struct swarm_run *run = sw->run[r];
        STOQ_ASSERT(r == 0 || sw->run[r - 1]->first + sw->run[r - 1]->count <= run->first);
        check_run(sw, run, asks, &wanted_bytes);
        wanted += run->wanted;
        open += run->open;
        for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
            STOQ_ASSERT(run->have[i] == NULL || (sw->peer[i].used && !sw->peer[i].cut));
            haves += run->have[i] != NULL ? 1 : 0;
        }
    }
    STOQ_ASSERT(sw->wanted == wanted && sw->open == open && sw->wanted_bytes == wanted_bytes);
    STOQ_ASSERT(sw->have_count == haves);
    check_requests(sw, asks);
}
