/*
 * The transfer core: three tables and the rules between them.
 *
 *     runs of chunks        wanted -> asked -> done, and back to wanted when a request fails
 *     peers                 rate, round trip, silence, back-off, what they hold
 *     requests              which chunks are asked of which peer, at most two per chunk
 *
 *     ADD ------> pool of wanted chunks <----------- stalled, lying, gone, missing, failed
 *                   |  swarm_pick.c: whoever runs low draws, as much as its rate and distance ask
 *                   v
 *                 REQUEST -> chunks arrive -> done      swarm_endgame.c: idle peers help the last one
 *
 * The order of poll is the order of urgency: stop what is useless, blame, notice silence, ask. Nothing
 * here knows time or chance but by argument, so a transfer can be replayed from its seed and events.
 *
 * What else was considered: giving each peer a fixed share up front (round robin) lets the slowest
 * decide; one chunk per request needs a thousand streams on a long fast path; cancelling single chunks
 * inside a request would need a message of its own and saves less than 1 % of bytes.
 */
#include "swarm/swarm_internal.h"

#include <string.h>

#define LOW_CHUNKS 8192

void *stoq_swarm_alloc(struct stoq_swarm *sw, size_t n)
{
    void *p = stoq_alloc(&sw->cfg.alloc, 1, n);
    if (p != NULL) {
        sw->memory_bytes += n;
    }
    return p;
}

void stoq_swarm_unalloc(struct stoq_swarm *sw, void *p, size_t n)
{
    if (p != NULL) {
        sw->memory_bytes -= n;
        stoq_free(&sw->cfg.alloc, p);
    }
}

enum stoq_status stoq_swarm_new(struct stoq_swarm **out, const struct stoq_swarm_config *cfg,
                                uint64_t seed)
{
    struct stoq_swarm *sw = stoq_alloc(&cfg->alloc, 1, sizeof *sw);
    if (sw == NULL) {
        return STOQ_NOMEM;
    }
    sw->cfg = *cfg;
    if (sw->cfg.low_chunks == 0) {
        sw->cfg.low_chunks = LOW_CHUNKS;
    }
    sw->prng = stoq_prng(seed);
    sw->memory_bytes = sizeof *sw;
    *out = sw;
    return STOQ_OK;
}

void stoq_swarm_free(struct stoq_swarm *sw)
{
    if (sw == NULL) {
        return;
    }
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX; i++) {
        if (sw->request[i] != NULL) {
            stoq_swarm_unalloc(sw, sw->request[i], sw->request[i]->size);
        }
    }
    for (uint32_t i = 0; i < sw->run_count; i++) {
        stoq_swarm_free_run(sw, sw->run[i]);
    }
    stoq_swarm_unalloc(sw, sw->run, sw->run_cap * sizeof *sw->run);
    STOQ_ASSERT(sw->memory_bytes == sizeof *sw);
    struct stoq_alloc alloc = sw->cfg.alloc;
    stoq_free(&alloc, sw);
}

static void progress(struct stoq_swarm *sw, const struct stoq_swarm_progress *ev, stoq_ns now)
{
    struct swarm_request *rq = stoq_swarm_find_request(sw, ev->cookie);
    if (rq != NULL) {
        sw->peer[rq->peer_slot].told_progress = true;
        sw->peer[rq->peer_slot].cap_bytes_per_s = ev->cap_bytes_per_s;
        rq->progress_at = now;
        stoq_swarm_arrived(&sw->peer[rq->peer_slot], ev->bytes, now);
    }
}

/* The first lie is the last: whatever else it was asked for goes to others. */
static void chunk_bad(struct stoq_swarm *sw, const struct stoq_swarm_chunk *ev)
{
    uint32_t slot;
    struct swarm_peer *p = stoq_swarm_find_peer(sw, ev->peer, &slot);
    if (p != NULL && !p->cut) {
        stoq_swarm_charge(sw, p, STOQ_SWARM_BAD_CHUNK);
        stoq_swarm_cut(sw, p);
    }
}

static enum stoq_status chunk_missing(struct stoq_swarm *sw, const struct stoq_swarm_chunk *ev,
                                      stoq_ns now)
{
    struct swarm_request *rq = stoq_swarm_find_request(sw, ev->cookie);
    struct swarm_run *run;
    struct swarm_chunk *chunk = stoq_swarm_find(sw, ev->index, &run);
    if (rq == NULL || chunk == NULL) {
        return STOQ_OK;
    }
    enum stoq_status st =
        stoq_swarm_lacks(sw, run, (uint32_t)(ev->index - run->first), rq->peer_slot);
    if (st != STOQ_OK) {
        return st;
    }
    struct swarm_peer *p = &sw->peer[rq->peer_slot];
    rq->progress_at = now;
    stoq_swarm_arrived(p, ev->bytes, now);
    stoq_swarm_unask(sw, run, chunk, (uint32_t)(ev->cookie & (STOQ_SWARM_REQUESTS_MAX - 1)));
    if (rq->left == 0) {
        stoq_swarm_end_request(sw, rq, false);
    }
    return STOQ_OK;
}

static void request_ended(struct stoq_swarm *sw, const struct stoq_swarm_ended *ev, stoq_ns now)
{
    struct swarm_request *rq = stoq_swarm_find_request(sw, ev->cookie);
    if (rq == NULL) {
        return;
    }
    struct swarm_peer *p = &sw->peer[rq->peer_slot];
    stoq_swarm_end_request(sw, rq, false);
    switch (ev->status) {
    case STOQ_MALFORMED:
        stoq_swarm_charge(sw, p, STOQ_SWARM_BAD_REPLY);
        stoq_swarm_cut(sw, p);
        break;
    case STOQ_NOTFOUND:
    case STOQ_PROOF:
    case STOQ_VERSION:
        stoq_swarm_cut(sw, p);
        break;
    case STOQ_BUSY:
        stoq_swarm_busy_off(sw, p, now);
        break;
    case STOQ_CANCELLED:
        break;
    default:
        stoq_swarm_strike(sw, p, now);
    }
}

enum stoq_status stoq_swarm_feed(struct stoq_swarm *sw, const struct stoq_swarm_event *ev,
                                 stoq_ns now)
{
    sw->now = now;
    switch (ev->kind) {
    case STOQ_SWARM_ADD:
        return stoq_swarm_add_run(sw, &ev->u.add);
    case STOQ_SWARM_ADD_END:
        sw->add_end = true;
        break;
    case STOQ_SWARM_PEER_ADD:
        return stoq_swarm_add_peer(sw, &ev->u.peer, now);
    case STOQ_SWARM_PEER_GONE:
        stoq_swarm_drop_peer(sw, ev->u.peer.peer);
        break;
    case STOQ_SWARM_PEER_HAS:
        return stoq_swarm_set_have(sw, &ev->u.has);
    case STOQ_SWARM_PROGRESS:
        progress(sw, &ev->u.progress, now);
        break;
    case STOQ_SWARM_CHUNK_OK:
        stoq_swarm_chunk_done(sw, stoq_swarm_find_request(sw, ev->u.chunk.cookie), &ev->u.chunk,
                              now);
        break;
    case STOQ_SWARM_CHUNK_BAD:
        chunk_bad(sw, &ev->u.chunk);
        break;
    case STOQ_SWARM_CHUNK_MISSING:
        return chunk_missing(sw, &ev->u.chunk, now);
    case STOQ_SWARM_REQUEST_ENDED:
        request_ended(sw, &ev->u.ended, now);
        break;
    }
    return STOQ_OK;
}

static bool poll_charge(struct stoq_swarm *sw, struct stoq_swarm_action *out)
{
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX && sw->charge_count > 0; i++) {
        struct swarm_peer *p = &sw->peer[i];
        if (p->charge != 0) {
            *out = (struct stoq_swarm_action){
                .kind = STOQ_SWARM_CHARGE,
                .u.charge = {.peer = p->peer, .why = (enum stoq_swarm_why)(p->charge - 1)},
            };
            p->charge = 0;
            sw->charge_count--;
            return true;
        }
    }
    return false;
}

/* Wanted, not asked for, and nobody left to ask? Those who back off will be asked again. */
static bool is_stuck(const struct stoq_swarm *sw)
{
    if (sw->open == 0 || sw->request_count > 0) {
        return false;
    }
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *p = &sw->peer[i];
        if (p->used && !p->cut && stoq_swarm_can_supply(sw, i)) {
            return false;
        }
    }
    return true;
}

static bool tell_once(bool *told, bool now_true, enum stoq_swarm_action_kind kind,
                      struct stoq_swarm_action *out)
{
    if (*told || !now_true) {
        return false;
    }
    *told = true;
    *out = (struct stoq_swarm_action){.kind = kind};
    return true;
}

bool stoq_swarm_poll(struct stoq_swarm *sw, stoq_ns now, struct stoq_swarm_action *out)
{
    sw->now = now;
    sw->polled_at = now;
    sw->no_memory = false;
    stoq_swarm_check_stalls(sw, now);
    bool is_low = !sw->add_end && sw->wanted < sw->cfg.low_chunks;
    return stoq_swarm_poll_cancel(sw, out) || poll_charge(sw, out) ||
           stoq_swarm_poll_request(sw, now, out) ||
           tell_once(&sw->need_told, is_low, STOQ_SWARM_NEED_MORE, out) ||
           tell_once(&sw->done_told, sw->add_end && sw->open == 0, STOQ_SWARM_DONE, out) ||
           tell_once(&sw->stuck_told, is_stuck(sw), STOQ_SWARM_STUCK, out);
}

static void sooner(const struct stoq_swarm *sw, stoq_ns *deadline, stoq_ns at)
{
    if (at > sw->polled_at && at < *deadline) {
        *deadline = at;
    }
}

stoq_ns stoq_swarm_deadline(const struct stoq_swarm *sw)
{
    stoq_ns deadline = STOQ_NEVER;
    if (sw->open == 0) {
        return deadline;
    }
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *p = &sw->peer[i];
        if (!p->used || p->cut) {
            continue;
        }
        sooner(sw, &deadline, p->backoff_until);
        if (p->requests > 0) {
            sooner(sw, &deadline, stoq_swarm_stall_at(p));
            sooner(sw, &deadline, p->progress_at + STOQ_SWARM_SILENCE);
        }
    }
    if (sw->request_count > 0) {
        sooner(sw, &deadline, sw->checked_at + STOQ_SWARM_CHECK);
        if (sw->peer_count > 1) {
            sooner(sw, &deadline, sw->polled_at + STOQ_SWARM_TICK);
        }
    }
    if (sw->no_memory) {
        sooner(sw, &deadline, sw->polled_at + 2 * STOQ_SWARM_TICK);
    }
    return deadline;
}

bool stoq_swarm_wants(const struct stoq_swarm *sw, uint64_t index)
{
    struct swarm_run *run;
    const struct swarm_chunk *chunk = stoq_swarm_find(sw, index, &run);
    return chunk != NULL && chunk->state != SWARM_DONE;
}

uint32_t stoq_swarm_room(const struct stoq_swarm *sw)
{
    return sw->run_count == STOQ_SWARM_RUNS_MAX ? 0 : STOQ_SWARM_OPEN_MAX - sw->open;
}

void stoq_swarm_stats(const struct stoq_swarm *sw, struct stoq_swarm_stats *out)
{
    *out = (struct stoq_swarm_stats){
        .chunks_done = sw->chunks_done,
        .bytes_done = sw->bytes_done,
        .chunks_duplicate = sw->chunks_duplicate,
        .bytes_duplicate = sw->bytes_duplicate,
        .chunks_open = sw->open,
        .requests = sw->request_count,
        .peers = sw->peer_count,
        .memory_bytes = sw->memory_bytes,
    };
}

bool stoq_swarm_peer_stats(const struct stoq_swarm *sw, stoq_peer peer,
                           struct stoq_swarm_peer_stats *out)
{
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *p = &sw->peer[i];
        if (p->used && p->peer == peer) {
            *out = (struct stoq_swarm_peer_stats){
                .chunks = p->chunks,
                .bytes = p->bytes,
                .rate_bytes_per_s = p->rate_bytes_per_s,
                .rtt_ns = p->rtt_ns,
                .stalls = p->stalls,
                .usable = !p->cut,
            };
            return true;
        }
    }
    return false;
}
