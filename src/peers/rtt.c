#include "peers/rtt.h"

static stoq_ns median(const stoq_ns v[STOQ_RTT_SAMPLES])
{
    stoq_ns low = v[0] < v[1] ? v[0] : v[1];
    stoq_ns high = v[0] < v[1] ? v[1] : v[0];
    return v[2] < low ? low : v[2] > high ? high : v[2];
}

static void hold(struct stoq_rtt *r, stoq_ns rtt_ns, stoq_ns now)
{
    r->held_ns = rtt_ns;
    r->off_count = 0;
    r->changed_at = now;
}

bool stoq_rtt_sample(struct stoq_rtt *r, stoq_ns rtt_ns, stoq_ns now)
{
    if (rtt_ns == 0) {
        return false;
    }
    r->latest_ns = rtt_ns;
    if (r->held_ns == 0) {
        hold(r, rtt_ns, now);
        r->counted_at = now;
        return true;
    }
    if (now - r->counted_at < STOQ_RTT_GAP) {
        return false;
    }
    r->counted_at = now;
    stoq_ns slack = r->held_ns / 4 + STOQ_RTT_SLACK;
    bool is_longer = rtt_ns > r->held_ns;
    stoq_ns off = is_longer ? rtt_ns - r->held_ns : r->held_ns - rtt_ns;
    if (off <= slack) {
        r->off_count = 0;
        return false;
    }
    if (is_longer != r->off_is_longer) {
        r->off_count = 0;
    }
    r->off_is_longer = is_longer;
    r->off[r->off_count++] = rtt_ns;
    if (r->off_count < STOQ_RTT_SAMPLES) {
        return false;
    }
    hold(r, median(r->off), now);
    r->changes++;
    return true;
}
