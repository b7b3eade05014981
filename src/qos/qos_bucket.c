/*
 * A cap is a bucket that fills at its rate and holds STOQ_QOS_BURST of it. A grant needs a bucket that is
 * not empty and may leave it in debt, so that units of any size pass and the average is the rate exactly.
 */
#include "qos/qos_internal.h"

#define SLOT (500 * STOQ_MS)

static int64_t burst(const struct qos_bucket *b)
{
    uint64_t bytes = b->rate / (STOQ_SEC / STOQ_QOS_BURST);
    return bytes > 0 ? (int64_t)bytes : 1;
}

void qos_bucket_set(struct qos_bucket *b, uint64_t rate, stoq_ns now)
{
    *b = (struct qos_bucket){.rate = rate, .at = now};
    b->credit = burst(b);
}

void qos_bucket_fill(struct qos_bucket *b, stoq_ns now)
{
    uint64_t us = now > b->at ? (now - b->at) / 1000 : 0;
    b->at += us * 1000;
    if (us > 10000000) { /* ten seconds fill any bucket but a deep debt, which time forgives */
        us = 10000000;
    }
    b->rest += b->rate % 1000000 * us;
    uint64_t bytes = b->rate / 1000000 * us + b->rest / 1000000;
    b->rest %= 1000000;
    int64_t room = burst(b) - b->credit;
    b->credit = room > 0 && bytes < (uint64_t)room ? b->credit + (int64_t)bytes : burst(b);
}

stoq_ns qos_bucket_open_at(const struct qos_bucket *b, stoq_ns now)
{
    if (b->rate == 0 || b->credit > 0) {
        return now;
    }
    uint64_t need = (uint64_t)(1 - b->credit);
    uint64_t us = need / b->rate * 1000000 + (need % b->rate * 1000000 + b->rate - 1) / b->rate + 1;
    return b->at + us * 1000;
}

/* The slot is over: its rate, and half of the one before. */
static void roll(struct qos_meter *m, stoq_ns now)
{
    stoq_ns passed = now > m->at ? now - m->at : 0;
    if (m->at != 0 && passed < SLOT) {
        return;
    }
    if (m->at != 0) {
        uint64_t sample = m->bytes > UINT64_MAX / 1000000 ? UINT64_MAX / 1000000
                                                          : m->bytes * 1000000 / (passed / 1000);
        m->rate_bytes_per_s = passed >= 2 * SLOT || m->rate_bytes_per_s == 0
                                  ? sample
                                  : (m->rate_bytes_per_s + sample) / 2;
    }
    m->bytes = 0;
    m->at = now;
}

void qos_meter_add(struct qos_meter *m, uint64_t bytes, stoq_ns now)
{
    roll(m, now);
    m->bytes += bytes;
}

uint64_t qos_meter_rate(const struct qos_meter *m, stoq_ns now)
{
    struct qos_meter at = *m;
    roll(&at, now);
    return at.rate_bytes_per_s;
}
