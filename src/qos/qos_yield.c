/*
 * After LEDBAT (RFC 6817): the queue on a path is its round trip less the shortest one of the last ten
 * minutes. Under the target the rate grows, by doubling until it has met a queue or a loss; then at once
 * half of the way back to an eighth below what the path was last seen to carry, and from there in small
 * steps, which become larger once that is passed and nothing is met: many links let a burst of some 16 kB
 * through at any rate, and while that is used up a rate that is too high shows nowhere. Growing by a
 * sixteenth at each look met a queue of 25 ms in the end, and left two fifths of an idle link of 10 Mbit/s
 * unused.
 *
 * Over the target it falls. What the path carries is known then: what went, less what the queue grew by in
 * that time. The rate goes as far under that as lets the queue drain in DRAIN. The next look sees what was
 * before that (the shortest of some time is what it gets) and changes nothing. A queue that does not drain
 * by the one after it is kept up by somebody else, and the rate is halved, and again so. It falls by a
 * quarter, too, when more than one byte in fifty was lost: a short queue shows as loss before it shows as
 * delay. Looks are a round trip apart, since the last one's effect is not seen sooner.
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
#define DRAIN (50 * STOQ_MS)
#define CALM_LOOKS 8  /* make the next steps larger by one of the first */
#define CALM_STEPS 8u /* at most */

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
    stoq_ns best = STOQ_NEVER;
    for (unsigned i = 0; i < STOQ_QOS_YIELD_BASES; i++) {
        if (y->base_ns[i] != 0 && y->base_ns[i] < best) {
            best = y->base_ns[i];
        }
    }
    return best;
}

static uint64_t per_s(uint64_t bytes, stoq_ns time)
{
    uint64_t us = time / 1000;
    return us == 0 || bytes > UINT64_MAX / 1000000 ? MOST_BYTES_PER_S : bytes * 1000000 / us;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the path carried of ours while its queue grew. */
static uint64_t carried(const struct stoq_qos_yield *y, uint64_t went, stoq_ns queue,
                        stoq_ns passed)
{
    uint64_t us = passed / 1000;
    STOQ_ASSERT(us > 0);
    uint64_t grew_us = queue > y->queue_ns ? (queue - y->queue_ns) / 1000 : 0;
    return least(went, y->rate_bytes_per_s) / 1000 * (1000 * us / (us + grew_us));
}

static void fall(struct stoq_qos_yield *y, uint64_t fits, stoq_ns queue)
{
    y->calm = 0;
    y->has_met_queue = true;
    if (!y->is_over) {
        y->carries_bytes_per_s = fits;
        y->rate_bytes_per_s = fits - fits / 1000 * (1000 * least(queue, DRAIN / 2) / DRAIN);
    } else if (y->waits) {
        y->waits = false;
        return;
    } else if (queue > y->queue_ns - y->queue_ns / 4) {
        y->rate_bytes_per_s = least(fits, y->rate_bytes_per_s) / 2;
        y->carries_bytes_per_s = least(y->carries_bytes_per_s, 2 * y->rate_bytes_per_s);
    }
    y->is_over = true;
    y->waits = true;
}

static void lose(struct stoq_qos_yield *y, uint64_t went, uint64_t sent, uint64_t lost)
{
    uint64_t per_mille = lost < sent ? 1000 * (sent - lost) / sent : 0;
    y->carries_bytes_per_s = least(went, y->rate_bytes_per_s) / 1000 * per_mille;
    y->rate_bytes_per_s = y->carries_bytes_per_s / 4 * 3;
    y->calm = 0;
    y->has_met_queue = true;
}

static void grow(struct stoq_qos_yield *y, uint64_t went, stoq_ns queue)
{
    uint64_t near = y->carries_bytes_per_s - y->carries_bytes_per_s / 8;
    y->is_over = false;
    if (went < y->rate_bytes_per_s / 2) {
        return; /* there was not as much to send: nothing is known of more */
    }
    if (!y->has_met_queue && queue < STOQ_QOS_YIELD_TARGET / 2) {
        y->rate_bytes_per_s *= 2;
        return;
    }
    y->has_met_queue = true;
    uint64_t room = (STOQ_QOS_YIELD_TARGET - queue) / (STOQ_QOS_YIELD_TARGET / 1000);
    uint64_t step = y->rate_bytes_per_s / 64 * least(1 + y->calm / CALM_LOOKS, CALM_STEPS);
    if (y->rate_bytes_per_s < near) {
        step = least(near - y->rate_bytes_per_s, y->rate_bytes_per_s) / 2;
    } else if (y->rate_bytes_per_s > y->carries_bytes_per_s) {
        y->calm++;
    }
    step = step > STEP_LEAST ? step : STEP_LEAST;
    y->rate_bytes_per_s += step / 1000 * room;
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
    stoq_ns base = shortest(y); /* with the queue a look would run ahead of it */
    stoq_ns every = base > STOQ_QOS_YIELD_EVERY ? base : STOQ_QOS_YIELD_EVERY;
    stoq_ns passed = now - y->looked_at;
    if (passed < every) {
        return y->rate_bytes_per_s;
    }
    stoq_ns queue = path->rtt_ns - base;
    uint64_t sent = path->sent_bytes - y->last.sent_bytes;
    uint64_t lost = path->lost_bytes - y->last.lost_bytes;
    uint64_t went = per_s(path->yielding_bytes - y->last.yielding_bytes, passed);
    if (queue > STOQ_QOS_YIELD_TARGET) {
        fall(y, carried(y, went, queue, passed), queue);
    } else if (lost > sent / 1000 * LOST_PER_MILLE_MAX && lost > 3000) {
        lose(y, went, sent, lost);
    } else {
        grow(y, went, queue);
    }
    if (y->rate_bytes_per_s < STOQ_QOS_YIELD_LEAST) {
        y->rate_bytes_per_s = STOQ_QOS_YIELD_LEAST;
    }
    if (y->rate_bytes_per_s > MOST_BYTES_PER_S) {
        y->rate_bytes_per_s = MOST_BYTES_PER_S;
    }
    y->queue_ns = queue;
    y->looked_at = now;
    y->last = *path;
    return y->rate_bytes_per_s;
}
