/* Windows of the day: other caps for all together, by a clock that is told from outside. */
#include "qos/qos_internal.h"

static bool holds(const struct stoq_qos_window *w, unsigned minute)
{
    if (minute >= STOQ_QOS_DAY_MINUTES) {
        return false;
    }
    if (w->from_minute < w->to_minute) {
        return minute >= w->from_minute && minute < w->to_minute;
    }
    return minute >= w->from_minute || minute < w->to_minute;
}

void qos_apply_windows(struct stoq_qos *q, stoq_ns now)
{
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        uint64_t rate = q->base[dir];
        for (size_t i = 0; i < q->window_count; i++) {
            if (q->window[i].set[dir] && holds(&q->window[i], q->minute)) {
                rate = q->window[i].rate_bytes_per_s[dir];
            }
        }
        if (rate != q->all[dir].rate) {
            qos_bucket_set(&q->all[dir], rate, now);
        }
    }
}

static void remove_window(struct stoq_qos *q, const struct stoq_qos_window *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < q->window_count; i++) {
        bool same =
            q->window[i].from_minute == w->from_minute && q->window[i].to_minute == w->to_minute;
        if (!same) {
            q->window[kept++] = q->window[i];
        }
    }
    q->window_count = kept;
}

enum stoq_status stoq_qos_add_window(struct stoq_qos *q, const struct stoq_qos_window *w,
                                     stoq_ns now)
{
    bool is_any = false;
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        is_any = is_any || w->set[dir];
        if (w->set[dir] && w->rate_bytes_per_s[dir] > STOQ_QOS_RATE_MAX) {
            return STOQ_RANGE;
        }
    }
    if (w->from_minute >= STOQ_QOS_DAY_MINUTES || w->to_minute >= STOQ_QOS_DAY_MINUTES) {
        return STOQ_RANGE;
    }
    remove_window(q, w);
    if (is_any && q->window_count == STOQ_QOS_WINDOWS_MAX) {
        return STOQ_FULL;
    }
    if (is_any) {
        q->window[q->window_count++] = *w;
    }
    qos_apply_windows(q, now);
    return STOQ_OK;
}

bool stoq_qos_window_at(const struct stoq_qos *q, size_t i, struct stoq_qos_window *out,
                        bool *is_now)
{
    if (i >= q->window_count) {
        return false;
    }
    *out = q->window[i];
    *is_now = holds(out, q->minute);
    return true;
}

void stoq_qos_local_time(struct stoq_qos *q, unsigned minute, stoq_ns now)
{
    q->minute = minute;
    qos_apply_windows(q, now);
}
