/*
 * Peers: how fast they are, whether they still answer, who may be asked.
 *
 * The rate is measured over windows of at least 50 ms in which the peer had something to send: a
 * window that ran dry can raise the estimate but not lower it. It follows upwards by halves and
 * downwards by quarters, so a new peer is known after two or three windows and one that is throttled
 * to a hundredth is noticed within a second.
 *
 * Silence is judged against 500 ms, four round trips and three times what one chunk takes at the measured
 * rate, also where the shell reports single bytes: a source with a cap sends a chunk at once and then nothing
 * while it serves the others that wait for it. A silent peer loses its chunks at once when
 * somebody else can bring them, is left alone for a while that doubles each time, then gets
 * another small request. The only source is waited for ten seconds: cancelling would help nobody.
 */
#include "swarm/swarm_internal.h"

uint64_t stoq_swarm_bytes_in(uint64_t rate_bytes_per_s, stoq_ns time)
{
    uint64_t us = time / 1000;
    uint64_t product;
    if (__builtin_mul_overflow(rate_bytes_per_s, us, &product)) {
        return UINT64_MAX / 1000000;
    }
    return product / 1000000;
}

stoq_ns stoq_swarm_time_for(uint64_t bytes, uint64_t rate_bytes_per_s)
{
    uint64_t product;
    if (rate_bytes_per_s == 0 || __builtin_mul_overflow(bytes, 1000000, &product)) {
        return 3600 * STOQ_SEC;
    }
    uint64_t us = product / rate_bytes_per_s;
    return us > 3600 * (STOQ_SEC / 1000) ? 3600 * STOQ_SEC : us * 1000;
}

struct swarm_peer *stoq_swarm_find_peer(struct stoq_swarm *sw, stoq_peer peer, uint32_t *slot)
{
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        if (sw->peer[i].used && sw->peer[i].peer == peer) {
            *slot = i;
            return &sw->peer[i];
        }
    }
    return NULL;
}

static uint32_t limit_or(uint32_t limit, uint32_t most)
{
    return limit == 0 || limit > most ? most : limit;
}

enum stoq_status stoq_swarm_add_peer(struct stoq_swarm *sw, const struct stoq_swarm_peer *add,
                                     stoq_ns now)
{
    uint32_t slot;
    if (stoq_swarm_find_peer(sw, add->peer, &slot) != NULL) {
        return STOQ_OK;
    }
    slot = 0;
    while (slot < STOQ_SWARM_PEERS_MAX && sw->peer[slot].used) {
        slot++;
    }
    if (slot == STOQ_SWARM_PEERS_MAX) {
        return STOQ_FULL;
    }
    sw->peer[slot] = (struct swarm_peer){
        .used = true,
        .partial = add->partial,
        .local = add->local,
        .peer = add->peer,
        .rtt_ns = add->rtt_ns,
        .ranges_max = limit_or(add->ranges_max, STOQ_SWARM_REQUEST_CHUNKS_MAX),
        .chunks_max = limit_or(add->chunks_max, STOQ_SWARM_REQUEST_CHUNKS_MAX),
        .weight = add->weight < STOQ_SWARM_WEIGHT_MAX ? add->weight : STOQ_SWARM_WEIGHT_MAX,
        .progress_at = now,
    };
    sw->peer_count++;
    sw->full_count += add->partial ? 0 : 1;
    sw->stuck_told = false;
    return STOQ_OK;
}

/* End all requests of the peer in this slot. */
static void end_requests(struct stoq_swarm *sw, uint32_t slot, bool cancel)
{
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX && sw->peer[slot].requests > 0; i++) {
        struct swarm_request *rq = sw->request[i];
        if (rq != NULL && !rq->cancelled && rq->peer_slot == slot) {
            stoq_swarm_end_request(sw, rq, cancel);
        }
    }
}

static uint32_t slot_of(const struct stoq_swarm *sw, const struct swarm_peer *p)
{
    return (uint32_t)(p - sw->peer);
}

void stoq_swarm_cut(struct stoq_swarm *sw, struct swarm_peer *p)
{
    if (p->cut) {
        return;
    }
    end_requests(sw, slot_of(sw, p), true);
    stoq_swarm_drop_have(sw, slot_of(sw, p));
    p->cut = true;
    sw->full_count -= p->partial ? 0 : 1;
    sw->peer_count--;
}

void stoq_swarm_drop_peer(struct stoq_swarm *sw, stoq_peer peer)
{
    uint32_t slot;
    struct swarm_peer *p = stoq_swarm_find_peer(sw, peer, &slot);
    if (p == NULL) {
        return;
    }
    end_requests(sw, slot, false);
    stoq_swarm_cut(sw, p);
    /* A cancel that was not polled yet has nobody to go to. */
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX && sw->cancel_count > 0; i++) {
        struct swarm_request *rq = sw->request[i];
        if (rq != NULL && rq->cancelled && rq->peer_slot == slot) {
            stoq_swarm_unalloc(sw, rq, rq->size);
            sw->request[i] = NULL;
            sw->cancel_count--;
        }
    }
    sw->charge_count -= p->charge != 0 ? 1 : 0;
    *p = (struct swarm_peer){0};
}

void stoq_swarm_charge(struct stoq_swarm *sw, struct swarm_peer *p, enum stoq_swarm_why why)
{
    sw->charge_count += p->charge == 0 ? 1 : 0;
    p->charge = (uint8_t)(why + 1);
}

void stoq_swarm_back_off(struct swarm_peer *p, uint32_t doublings, stoq_ns now)
{
    uint32_t n =
        doublings < STOQ_SWARM_BACKOFF_DOUBLINGS ? doublings : STOQ_SWARM_BACKOFF_DOUBLINGS;
    p->backoff_until = now + (STOQ_SWARM_BACKOFF << n);
}

/* Many may have been told so at the same moment: not all come back at the same moment. */
void stoq_swarm_busy_off(struct stoq_swarm *sw, struct swarm_peer *p, stoq_ns now)
{
    stoq_swarm_back_off(p, p->busy, now);
    stoq_ns wait = p->backoff_until - now;
    p->backoff_until = now + wait / 2 + stoq_prng_below(&sw->prng, wait / 2);
    if (p->busy < STOQ_SWARM_BUSY_DOUBLINGS) {
        p->busy++;
    }
}

void stoq_swarm_strike(struct stoq_swarm *sw, struct swarm_peer *p, stoq_ns now)
{
    p->strikes++;
    if (p->strikes >= STOQ_SWARM_STRIKES_MAX) {
        stoq_swarm_cut(sw, p);
        return;
    }
    stoq_swarm_back_off(p, p->strikes - 1u, now);
}

static void adjust_rate(struct swarm_peer *p, uint64_t sample)
{
    p->growing = !p->rate_known || sample / 5 > p->rate_bytes_per_s / 4;
    if (!p->rate_known) {
        p->rate_known = true;
        p->rate_bytes_per_s = sample;
    } else if (sample > p->rate_bytes_per_s) {
        p->rate_bytes_per_s += (sample - p->rate_bytes_per_s) / 2;
    } else if (!p->drained) {
        p->rate_bytes_per_s -= (p->rate_bytes_per_s - sample) / 4;
    }
    if (p->rate_bytes_per_s == 0) {
        p->rate_bytes_per_s = 1;
    }
}

void stoq_swarm_measure(struct swarm_peer *p, stoq_ns now)
{
    stoq_ns window = now > p->window_at ? now - p->window_at : 0;
    if (window < STOQ_SWARM_WINDOW && !(p->drained && window > 0 && !p->rate_known)) {
        return;
    }
    /* An answer that has not begun says nothing about the rate, nor do the gaps between the chunks of
     * a slow peer. */
    stoq_ns gap = 2 * stoq_swarm_time_for(STOQ_SWARM_CHUNK_BYTES_MAX / 4, p->rate_bytes_per_s);
    if (p->window_bytes == 0 && (p->rtt_pending || window < gap)) {
        return;
    }
    /* Nor does an answer of a few words, that it has none of the chunks: its path would pass for one of a
     * kilobyte a second, and it would not be asked again. */
    bool is_known = p->rate_known || p->window_bytes >= STOQ_SWARM_SAMPLE_BYTES;
    if (!is_known && !p->drained) {
        return;
    }
    if (is_known && (p->window_bytes > 0 || !p->drained)) {
        uint64_t us = window / 1000 > 0 ? window / 1000 : 1;
        adjust_rate(p, p->window_bytes * 1000000 / us);
    }
    p->window_bytes = 0;
    p->window_at = now;
    p->drained = p->requests == 0;
}

static stoq_ns stall_limit(const struct swarm_peer *p)
{
    uint64_t rate = p->rate_known ? p->rate_bytes_per_s : STOQ_SWARM_GUESS_BYTES_PER_S;
    uint64_t next = p->inflight_bytes < STOQ_SWARM_CHUNK_BYTES_MAX ? p->inflight_bytes
                                                                   : STOQ_SWARM_CHUNK_BYTES_MAX;
    stoq_ns limit =
        STOQ_SWARM_STALL + 4 * p->rtt_ns + STOQ_SWARM_LATE * stoq_swarm_time_for(next, rate);
    return limit < STOQ_SWARM_SILENCE ? limit : STOQ_SWARM_SILENCE;
}

void stoq_swarm_busy(struct swarm_peer *p, stoq_ns now)
{
    p->asked_at = now;
    p->progress_at = now;
    p->rtt_pending = true;
    p->patience = stall_limit(p);
    if (p->window_bytes > 0) {
        p->window_at += now - p->drained_at; /* idle time is not its fault */
        return;
    }
    p->window_at = now;
    p->drained = false;
}

void stoq_swarm_drained(struct swarm_peer *p, stoq_ns now)
{
    p->drained = true;
    p->drained_at = now;
    stoq_swarm_measure(p, now);
}

void stoq_swarm_arrived(struct swarm_peer *p, uint64_t bytes, stoq_ns now)
{
    p->window_bytes += bytes;
    p->progress_at = now;
    if (p->rtt_pending) {
        stoq_ns sample = now - p->asked_at;
        stoq_ns moving = p->rate_known ? stoq_swarm_time_for(bytes, p->rate_bytes_per_s) : 0;
        sample = sample > moving ? sample - moving : 0;
        if (p->rtt_ns == 0 || (sample > 0 && sample < p->rtt_ns)) {
            p->rtt_ns = sample;
        }
        p->rtt_pending = false;
    }
    stoq_swarm_measure(p, now);
    p->patience = stall_limit(p);
}

stoq_ns stoq_swarm_eta(const struct swarm_peer *p, stoq_ns now)
{
    if (p->requests == 0) {
        return 0;
    }
    uint64_t rate = p->rate_known ? p->rate_bytes_per_s : STOQ_SWARM_GUESS_BYTES_PER_S;
    stoq_ns moving = stoq_swarm_time_for(p->inflight_bytes, rate);
    stoq_ns silent = now > p->progress_at ? now - p->progress_at : 0;
    return moving > silent ? moving : silent;
}

stoq_ns stoq_swarm_stall_at(const struct swarm_peer *p)
{
    return p->requests == 0 ? STOQ_NEVER : p->progress_at + p->patience;
}

/* May this peer's chunks go elsewhere: does another one that answers hold something of them? */
static bool others_can(const struct stoq_swarm *sw, uint32_t slot, stoq_ns now)
{
    for (uint32_t q = 0; q < STOQ_SWARM_PEERS_MAX; q++) {
        const struct swarm_peer *other = &sw->peer[q];
        if (q == slot || !stoq_swarm_askable(other, now) || stoq_swarm_stall_at(other) <= now) {
            continue;
        }
        if (!other->partial && sw->have_count == 0) {
            return true;
        }
        for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX; i++) {
            const struct swarm_request *rq = sw->request[i];
            if (rq == NULL || rq->cancelled || rq->peer_slot != slot) {
                continue;
            }
            for (uint32_t k = 0; k < rq->count; k++) {
                struct swarm_run *run;
                const struct swarm_chunk *chunk = stoq_swarm_find(sw, rq->index[k], &run);
                if (chunk != NULL && chunk->state == SWARM_ASKED &&
                    stoq_swarm_holds(sw, run, (uint32_t)(rq->index[k] - run->first), q)) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* One request gets nothing while others of the same peer do: the peer has lost it. */
static void check_requests(struct stoq_swarm *sw, stoq_ns now)
{
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX; i++) {
        struct swarm_request *rq = sw->request[i];
        if (rq == NULL || rq->cancelled) {
            continue;
        }
        struct swarm_peer *p = &sw->peer[rq->peer_slot];
        stoq_ns patience = STOQ_SWARM_SILENCE + 2 * stoq_swarm_eta(p, now);
        if (now > rq->progress_at && now - rq->progress_at > patience) {
            stoq_swarm_end_request(sw, rq, true);
            stoq_swarm_strike(sw, p, now);
        }
    }
}

void stoq_swarm_check_stalls(struct stoq_swarm *sw, stoq_ns now)
{
    for (uint32_t slot = 0; slot < STOQ_SWARM_PEERS_MAX; slot++) {
        struct swarm_peer *p = &sw->peer[slot];
        if (!p->used || p->cut || p->requests == 0) {
            continue;
        }
        stoq_swarm_measure(p, now);
        if (stoq_swarm_stall_at(p) > now) {
            continue;
        }
        if (now - p->progress_at >= STOQ_SWARM_SILENCE) {
            stoq_swarm_charge(sw, p, STOQ_SWARM_STALLED);
            stoq_swarm_cut(sw, p);
        } else if (others_can(sw, slot, now)) {
            stoq_swarm_charge(sw, p, STOQ_SWARM_STALLED);
            end_requests(sw, slot, true);
            p->rate_known = false;
            p->stalls++;
            stoq_swarm_back_off(p, p->stalls, now);
        }
    }
    if (sw->request_count > 0 && now - sw->checked_at >= STOQ_SWARM_CHECK) {
        sw->checked_at = now;
        check_requests(sw, now);
    }
}
