/*
 * After LEDBAT (RFC 6817): the queue on a path is its round trip less the shortest one of the last ten
 * minutes. Under the target the rate grows, by doubling until it has met a queue or a loss, then by a
 * sixteenth at most, in proportion to what is left of the target. Over it the rate falls from what really
 * was sent, by up to a half, and by a third when more than one byte in fifty was lost: a short queue shows as
 * loss before it shows as delay. Looks are a round trip apart, since the last one's effect is not seen
 * sooner.
 *
 * It is a rate and not a window, as a token bucket under the transport's own congestion control, which
 * never lets more out than the path takes; and it is per packet there, since a chunk at once would be
 * 50 ms of queue on a path of 10 Mbit/s.
 */
#include "qos/qos_yield.h"

#define FIRST_BYTES_PER_S 256000u
#define MOST_BYTES_PER_S ((uint64_t)100 * 1000 * 1000 * 1000)
#define BASE_EVERY (60 * STOQ_SEC)
#define STEP_LEAST 2000u
#define LOST_PER_MILLE_MAX 20u

static void note_base(struct stoq_qos_yield *y, stoq_ns rtt, stoq_ns now)
{
    if (y->base_at == 0 || now - y->base_at >= BASE_EVERY) {
        y->base = y->base_at == 0 ? 0 : (y->base + 1) % STOQ_QOS_YIELD_BASES;
        y->base_ns[y->base] = 0;
        y->base_at = now;
    }
    if (y->base_ns[y->base] == 0 || rtt < y->base_ns[y->base]) {
        y->base_ns[y->base] = rtt;
    }
}

static stoq_ns shortest(const struct stoq_qos_yield *y)
{
    stoq_ns least = STOQ_NEVER;
    for (unsigned i = 0; i < STOQ_QOS_YIELD_BASES; i++) {
        if (y->base_ns[i] != 0 && y->base_ns[i] < least) {
            least = y->base_ns[i];
        }
    }
    return least;
}

static uint64_t per_s(uint64_t bytes, stoq_ns time)
{
    uint64_t us = time / 1000;
    return us == 0 || bytes > UINT64_MAX / 1000000 ? MOST_BYTES_PER_S : bytes * 1000000 / us;
}

/* Too much: from what really went, less so much in a thousand. */
static void fall(struct stoq_qos_yield *y, uint64_t went, uint64_t per_mille)
{
    uint64_t from = went < y->rate_bytes_per_s ? went : y->rate_bytes_per_s;
    y->rate_bytes_per_s = from / 1000 * (1000 - per_mille);
    y->has_met_queue = true;
}

static void grow(struct stoq_qos_yield *y, uint64_t went, stoq_ns queue)
{
    if (went < y->rate_bytes_per_s / 2) {
        return; /* there was not as much to send: nothing is known of more */
    }
    uint64_t room = STOQ_QOS_YIELD_TARGET - queue;
    uint64_t step = y->rate_bytes_per_s / 16;
    step = step > STEP_LEAST ? step : STEP_LEAST;
    if (!y->has_met_queue && queue < STOQ_QOS_YIELD_TARGET / 2) {
        step = y->rate_bytes_per_s;
    } else {
        y->has_met_queue = true;
        step = step / 1000 * (room / (STOQ_QOS_YIELD_TARGET / 1000));
    }
    y->rate_bytes_per_s += step;
}

uint64_t stoq_qos_yield(struct stoq_qos_yield *y, const struct stoq_qos_path *path, stoq_ns now)
{
    if (y->rate_bytes_per_s == 0) {
        y->rate_bytes_per_s = FIRST_BYTES_PER_S;
        y->looked_at = now;
        y->last = *path;
    }
    if (path->rtt_ns == 0) {
        return y->rate_bytes_per_s;
    }
    note_base(y, path->rtt_ns, now);
    stoq_ns every = path->rtt_ns > STOQ_QOS_YIELD_EVERY ? path->rtt_ns : STOQ_QOS_YIELD_EVERY;
    stoq_ns passed = now - y->looked_at;
    if (passed < every) {
        return y->rate_bytes_per_s;
    }
    stoq_ns queue = path->rtt_ns - shortest(y);
    uint64_t sent = path->sent_bytes - y->last.sent_bytes;
    uint64_t lost = path->lost_bytes - y->last.lost_bytes;
    uint64_t went = per_s(path->yielding_bytes - y->last.yielding_bytes, passed);
    if (queue > STOQ_QOS_YIELD_TARGET) {
        stoq_ns over = queue - STOQ_QOS_YIELD_TARGET;
        over = over < STOQ_QOS_YIELD_TARGET ? over : STOQ_QOS_YIELD_TARGET;
        fall(y, went, over / (STOQ_QOS_YIELD_TARGET / 1000) / 2);
    } else if (lost > sent / 1000 * LOST_PER_MILLE_MAX && lost > 3000) {
        fall(y, went, 333);
    } else {
        grow(y, went, queue);
    }
    if (y->rate_bytes_per_s < STOQ_QOS_YIELD_LEAST) {
        y->rate_bytes_per_s = STOQ_QOS_YIELD_LEAST;
    }
    if (y->rate_bytes_per_s > MOST_BYTES_PER_S) {
        y->rate_bytes_per_s = MOST_BYTES_PER_S;
    }
    y->looked_at = now;
    y->last = *path;
    return y->rate_bytes_per_s;
}
