/*
 * Who is asked for what. A peer is asked again before it runs dry: while less than 3 round trips
 * plus 60 ms of work lies with it, it gets a request worth a round trip plus 100 ms, so that a request
 * is small at a slow peer and 8 MiB at a fast one. While its rate still grows it is three times as much:
 * a sender's start nearly triples its rate in a round trip, and takes running out of work for a path that
 * carries no more. Three round trips, since on a lossy path an answer takes two and more: what a lost
 * packet holds up in its stream waits for the packet to come again. (1.5 gave 53 of 100 Mbit/s at 100 ms
 * and 1 % loss where 3 give 62; docs/BENCHMARKS.md, bench/path.)
 *
 * All peers draw from one pool, which is work stealing without moving anything. Only towards the end
 * it matters who draws last: with R bytes to come in all and the peers' rates known, everything could be
 * over at T = R / sum of rates, so a peer takes no more than it can bring by T. The last chunk goes to
 * whoever would bring it first.
 *
 * Which chunks: among those the peer holds, the ones that fewest hold; among equals, on from where
 * its last request ended (neighbours lie together on its disk), at first from a random place, so that
 * many who fetch the same package hold different parts of it early.
 *
 * Who is looked at first matters where there is less to ask for than peers could bring: a small package, the
 * tail. Peers of different weight (what is known of their deeds, node/node_standing.c) are drawn by it, so
 * that one with ten times another's is first ten times as often and the other is still tried; equal ones go
 * by slot.
 *
 * Fastest first asks in the order in which peers would bring a chunk, and leaves out whoever would bring its
 * first one after the others have brought everything: a small package on a near peer does not wait for an
 * answer from a far one. Before anything has come from a peer its distance says how fast it will begin: a
 * few of a sender's first windows in each round trip.
 *
 * Sources on this machine share its processors with us and with each other, and what they wait for is
 * that: three of them bring less than one that brings a gigabit a second alone. While there is such a one
 * the others of this machine are not asked for what it can supply. One that comes near a cap waits for that
 * and not for a processor: beside it the others are asked.
 */
#include "swarm/swarm_internal.h"

#include <limits.h>

#define ANY_LEVEL INT_MAX

/* What a request may still take. */
struct budget {
    uint32_t chunks;
    uint64_t bytes;
    uint32_t ranges;
    uint64_t next; /* index that would lengthen the last range */
    int level;     /* holders at most */
    bool begun;
};

/* The fewest holders among the chunks that this peer could bring; ANY_LEVEL when all are equal. One
 * of those, each as likely as the other, is where its request begins: who fetches the same package with
 * the same knowledge shall not want the same chunk next. */
static int rarest(struct stoq_swarm *sw, uint32_t slot)
{
    if (sw->have_count == 0 || sw->cfg.strategy != STOQ_SWARM_RAREST) {
        return ANY_LEVEL;
    }
    int level = ANY_LEVEL;
    uint64_t count = 0;
    for (uint32_t r = 0; r < sw->run_count; r++) {
        const struct swarm_run *run = sw->run[r];
        if (!stoq_swarm_run_helps(sw, run, slot)) {
            continue;
        }
        for (uint32_t i = 0; i < run->count; i++) {
            const struct swarm_chunk *chunk = &run->chunk[i];
            if (chunk->state != SWARM_WANTED || chunk->holders > level ||
                !stoq_swarm_holds(sw, run, i, slot)) {
                continue;
            }
            count = chunk->holders < level ? 1 : count + 1;
            level = chunk->holders;
            if (stoq_prng_below(&sw->prng, count) == 0) {
                sw->peer[slot].cursor = run->first + i;
            }
        }
    }
    return level;
}

/* Ask for what fits of chunks from .. to - 1 of a run. False: the budget is spent. */
static bool collect_run(struct stoq_swarm *sw, struct swarm_request *rq, struct swarm_run *run,
                        uint32_t from, uint32_t to, struct budget *b)
{
    for (uint32_t i = from; i < to && run->wanted > 0; i++) {
        const struct swarm_chunk *chunk = &run->chunk[i];
        if (chunk->state != SWARM_WANTED || chunk->holders > b->level ||
            !stoq_swarm_holds(sw, run, i, rq->peer_slot)) {
            continue;
        }
        bool is_new_range = !b->begun || run->first + i != b->next;
        if (b->chunks == 0 || (b->begun && chunk->length > b->bytes) ||
            (is_new_range && b->ranges == 0)) {
            return false;
        }
        b->chunks--;
        b->bytes -= chunk->length < b->bytes ? chunk->length : b->bytes;
        b->ranges -= is_new_range ? 1 : 0;
        b->next = run->first + i + 1;
        b->begun = true;
        stoq_swarm_ask(sw, rq, run, i);
    }
    return true;
}

/* Go once around all runs from the peer's cursor on. */
static void collect(struct stoq_swarm *sw, struct swarm_request *rq, struct budget *b)
{
    STOQ_ASSERT(sw->run_count > 0);
    struct swarm_peer *p = &sw->peer[rq->peer_slot];
    uint32_t start = stoq_swarm_run_at(sw, p->cursor);
    uint32_t at = start == sw->run_count ? 0 : start;
    uint32_t offset = 0;
    if (p->cursor > sw->run[at]->first && at == start) {
        offset = (uint32_t)(p->cursor - sw->run[at]->first);
    }
    bool more = true;
    for (uint32_t k = 0; k <= sw->run_count && more; k++) {
        uint32_t r = (at + k) % sw->run_count;
        struct swarm_run *run = sw->run[r];
        if (!stoq_swarm_run_helps(sw, run, rq->peer_slot)) {
            continue;
        }
        uint32_t from = k == 0 ? offset : 0;
        uint32_t to = k == sw->run_count ? offset : run->count;
        more = collect_run(sw, rq, run, from, to, b);
    }
}

static bool nears_cap(const struct swarm_peer *p)
{
    return p->cap_bytes_per_s != 0 && p->rate_bytes_per_s >= p->cap_bytes_per_s / 4 * 3;
}

static bool is_fast(const struct swarm_peer *p, stoq_ns now)
{
    return p->local && !nears_cap(p) && stoq_swarm_askable(p, now) && p->rate_known &&
           p->rate_bytes_per_s >= STOQ_SWARM_LOCAL_FAST && stoq_swarm_stall_at(p) > now;
}

static void choose_leader(struct stoq_swarm *sw, stoq_ns now)
{
    uint32_t slot = 0;
    while (slot < STOQ_SWARM_PEERS_MAX &&
           !(is_fast(&sw->peer[slot], now) && stoq_swarm_can_supply(sw, slot))) {
        slot++;
    }
    sw->leader = slot;
}

static bool is_spared(const struct stoq_swarm *sw, uint32_t slot)
{
    return sw->leader < STOQ_SWARM_PEERS_MAX && slot != sw->leader && sw->peer[slot].local;
}

static void place_cursor(struct stoq_swarm *sw, struct swarm_peer *p)
{
    if (sw->cfg.strategy == STOQ_SWARM_SEQUENTIAL) {
        p->cursor = 0;
        return;
    }
    if (!p->cursor_set && sw->run_count > 0) {
        const struct swarm_run *run = sw->run[stoq_prng_below(&sw->prng, sw->run_count)];
        p->cursor = run->first + stoq_prng_below(&sw->prng, run->count);
        p->cursor_set = true;
    }
}

/* Bytes that this peer may take so that all are done at the same time; UINT64_MAX: any. */
static uint64_t fair_bytes(const struct stoq_swarm *sw, const struct swarm_peer *p, stoq_ns now)
{
    if (!sw->add_end || !p->rate_known) {
        return UINT64_MAX;
    }
    uint64_t rates = 0;
    uint64_t bytes = sw->wanted_bytes;
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *q = &sw->peer[i];
        if (stoq_swarm_askable(q, now) && q->rate_known) {
            rates += is_spared(sw, i) ? 0 : q->rate_bytes_per_s;
            bytes += q->inflight_bytes;
        }
    }
    stoq_ns end = stoq_swarm_time_for(bytes, rates);
    uint64_t can = stoq_swarm_bytes_in(p->rate_bytes_per_s, end);
    return can > p->inflight_bytes ? can - p->inflight_bytes : 0;
}

/* What is to be expected of a peer, measured or not. */
static uint64_t expected_rate(const struct stoq_swarm *sw, const struct swarm_peer *p)
{
    if (p->rate_known) {
        return p->rate_bytes_per_s;
    }
    if (sw->cfg.strategy != STOQ_SWARM_FASTEST || p->rtt_ns == 0) {
        return STOQ_SWARM_GUESS_BYTES_PER_S;
    }
    uint64_t us = p->rtt_ns / 1000 + 1;
    uint64_t rate = STOQ_SWARM_FIRST_WINDOWS * UINT64_C(1000000) / us;
    return rate < STOQ_SWARM_GUESS_NEAR ? rate : STOQ_SWARM_GUESS_NEAR;
}

/* When this peer would have brought one more chunk. */
static stoq_ns finish_time(const struct stoq_swarm *sw, const struct swarm_peer *p, stoq_ns now)
{
    uint64_t rate = expected_rate(sw, p);
    stoq_ns t = stoq_swarm_time_for(p->inflight_bytes + STOQ_SWARM_CHUNK_BYTES_MAX / 4, rate);
    stoq_ns silent = stoq_swarm_eta(p, now);
    t = t > silent ? t : silent;
    return p->requests == 0 ? t + p->rtt_ns : t;
}

static bool is_first_to_finish(const struct stoq_swarm *sw, const struct swarm_peer *p, stoq_ns now)
{
    stoq_ns mine = finish_time(sw, p, now);
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *q = &sw->peer[i];
        if (q != p && !is_spared(sw, i) && stoq_swarm_askable(q, now) && q->rate_known &&
            stoq_swarm_stall_at(q) > now && finish_time(sw, q, now) < mine &&
            stoq_swarm_can_supply(sw, i)) {
            return false;
        }
    }
    return true;
}

static uint64_t refill_below(const struct stoq_swarm *sw, const struct swarm_peer *p)
{
    stoq_ns ahead = 3 * p->rtt_ns + STOQ_SWARM_AHEAD;
    /* Where others fetch it too, what is asked for early is asked for twice. */
    uint64_t keep = sw->have_count > 0 ? 0 : STOQ_SWARM_KEEP_BYTES;
    ahead *= p->growing ? STOQ_SWARM_GROWTH : 1;
    return stoq_swarm_bytes_in(p->rate_bytes_per_s, ahead) + keep;
}

/* The size of this peer's next request; false: it has enough to do. */
static bool size_request(const struct stoq_swarm *sw, const struct swarm_peer *p, stoq_ns now,
                         struct budget *b)
{
    *b = (struct budget){.chunks = p->chunks_max, .ranges = p->ranges_max, .level = ANY_LEVEL};
    if (!p->rate_known) {
        uint32_t share =
            (sw->wanted + sw->peer_count - 1) / (sw->peer_count > 0 ? sw->peer_count : 1);
        bool is_short = p->stalls > 0 || p->strikes > 0;
        uint32_t most = is_short ? STOQ_SWARM_LEAST_CHUNKS : STOQ_SWARM_FIRST_CHUNKS;
        most = sw->peer_count > STOQ_SWARM_FEW_PEERS ? 1 : most;
        most = sw->add_end && share < most ? share : most;
        b->chunks = most < b->chunks ? most : b->chunks;
        b->bytes = STOQ_SWARM_REQUEST_BYTES_MAX;
        /* As much again as has come: what a sender's own start would let through. Not where others may fetch
         * it too: what is asked for early is then asked of the seed twice. */
        uint64_t came = sw->have_count > 0 || sw->peer_count > 1 ? 0 : p->window_bytes;
        return p->requests == 0 || (p->stalls == 0 && (p->requests == 1 || came > 0) &&
                                    p->inflight_bytes <= STOQ_SWARM_FIRST_CHUNKS * 65536u + came);
    }
    if (p->inflight_bytes > refill_below(sw, p)) {
        return false;
    }
    stoq_ns work = (p->rtt_ns + STOQ_SWARM_BATCH) * (p->growing ? STOQ_SWARM_GROWTH : 1);
    uint64_t bytes = stoq_swarm_bytes_in(p->rate_bytes_per_s, work);
    uint64_t chunks = sw->have_count > 0 ? 1 : STOQ_SWARM_LEAST_CHUNKS;
    uint64_t least = chunks * (STOQ_SWARM_CHUNK_BYTES_MAX / 4);
    bytes = bytes > least ? bytes : least;
    bytes = bytes < STOQ_SWARM_REQUEST_BYTES_MAX ? bytes : STOQ_SWARM_REQUEST_BYTES_MAX;
    uint64_t fair = fair_bytes(sw, p, now);
    b->bytes = bytes < fair ? bytes : fair;
    return fair >= STOQ_SWARM_CHUNK_BYTES_MAX / 4 || is_first_to_finish(sw, p, now);
}

/* Is there a chunk to ask this peer for? */
bool stoq_swarm_can_supply(const struct stoq_swarm *sw, uint32_t slot)
{
    for (uint32_t r = 0; r < sw->run_count; r++) {
        if (stoq_swarm_run_helps(sw, sw->run[r], slot)) {
            return true;
        }
    }
    return false;
}

static bool request_from(struct stoq_swarm *sw, uint32_t slot, stoq_ns now,
                         struct stoq_swarm_action *out)
{
    struct swarm_peer *p = &sw->peer[slot];
    struct budget b;
    if (!size_request(sw, p, now, &b)) {
        return false;
    }
    struct swarm_request *rq = stoq_swarm_new_request(sw, slot, b.chunks, now);
    if (rq == NULL) {
        return false;
    }
    place_cursor(sw, p);
    b.level = rarest(sw, slot);
    collect(sw, rq, &b);
    if (b.level != ANY_LEVEL) {
        b.level = ANY_LEVEL;
        collect(sw, rq, &b);
    }
    STOQ_ASSERT(rq->count > 0);
    p->cursor = b.next;
    stoq_swarm_send(sw, rq, now, out);
    return true;
}

/* A partial holder that has nothing for us before the end may help once after each of its maps: with
 * what another, slower one was asked for. */
static bool has_news(struct stoq_swarm *sw, uint32_t slot)
{
    bool is_told = sw->peer[slot].is_told;
    sw->peer[slot].is_told = false;
    return is_told || sw->have_count == 0 || sw->wanted == 0;
}

/* Would the others be done with all of it before this peer has brought a chunk? */
static bool is_too_late(const struct stoq_swarm *sw, const struct swarm_peer *p, stoq_ns now)
{
    uint64_t rates = 0;
    uint64_t bytes = sw->wanted_bytes;
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        const struct swarm_peer *q = &sw->peer[i];
        if (q != p && !is_spared(sw, i) && stoq_swarm_askable(q, now) && !q->partial &&
            stoq_swarm_stall_at(q) > now && (q->rate_known || q->rtt_ns < p->rtt_ns)) {
            rates += expected_rate(sw, q);
            bytes += q->inflight_bytes;
        }
    }
    return sw->add_end && rates > 0 && finish_time(sw, p, now) > stoq_swarm_time_for(bytes, rates);
}

static bool is_weighted(const struct stoq_swarm *sw)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t slot = 0; slot < STOQ_SWARM_PEERS_MAX; slot++) {
        const struct swarm_peer *p = &sw->peer[slot];
        if (p->used && !p->cut && first == UINT32_MAX) {
            first = p->weight;
        } else if (p->used && !p->cut && p->weight != first) {
            return true;
        }
    }
    return false;
}

/* An exponential variate over the weight: the least of several is each one's with a chance in proportion to
 * its weight. The logarithm is that of the highest bit and a straight line below it. */
static uint64_t draw(struct stoq_swarm *sw, uint32_t weight)
{
    uint64_t u = stoq_prng_next(&sw->prng) | 1;
    unsigned zeros = (unsigned)__builtin_clzll(u);
    uint64_t rest = u << zeros << 1 >> 32; /* in 2^-32, of the way to the next power of two */
    return ((((uint64_t)zeros + 1) << 32) - rest) / ((uint64_t)weight + 1);
}

/* Who is looked at first: whoever would bring a chunk first, or by weight, or by slot. How many. */
static uint32_t order_peers(struct stoq_swarm *sw, stoq_ns now, uint8_t order[STOQ_SWARM_PEERS_MAX])
{
    uint64_t at[STOQ_SWARM_PEERS_MAX];
    uint32_t count = 0;
    bool weighted = is_weighted(sw);
    bool is_fastest = sw->cfg.strategy == STOQ_SWARM_FASTEST;
    for (uint32_t slot = 0; slot < STOQ_SWARM_PEERS_MAX; slot++) {
        const struct swarm_peer *p = &sw->peer[slot];
        if (!stoq_swarm_askable(p, now) || p->requests >= STOQ_SWARM_PEER_REQUESTS_MAX ||
            stoq_swarm_stall_at(p) <= now) {
            continue;
        }
        uint32_t k = count++;
        at[slot] = weighted ? draw(sw, p->weight) : 0;
        at[slot] = is_fastest ? finish_time(sw, p, now) : at[slot];
        for (; k > 0 && at[order[k - 1]] > at[slot]; k--) {
            order[k] = order[k - 1];
        }
        order[k] = (uint8_t)slot;
    }
    return count;
}

bool stoq_swarm_poll_request(struct stoq_swarm *sw, stoq_ns now, struct stoq_swarm_action *out)
{
    uint8_t order[STOQ_SWARM_PEERS_MAX];
    if (sw->open == 0) {
        return false;
    }
    /* A reader waits for what comes next, also while more is to be added. */
    bool may_help = sw->add_end || sw->cfg.strategy == STOQ_SWARM_SEQUENTIAL;
    bool is_fastest = sw->cfg.strategy == STOQ_SWARM_FASTEST;
    uint32_t count = order_peers(sw, now, order);
    choose_leader(sw, now);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = order[i];
        if (stoq_swarm_can_supply(sw, slot)) {
            bool is_late = is_fastest && is_too_late(sw, &sw->peer[slot], now);
            if (!is_late && !is_spared(sw, slot) && request_from(sw, slot, now, out)) {
                return true;
            }
        } else if (may_help && has_news(sw, slot) && stoq_swarm_help(sw, slot, now, out)) {
            return true;
        }
    }
    return false;
}
