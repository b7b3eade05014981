/*
 * The fate of a datagram, in the order of a real path: too large for it, lost on it, queued before its
 * narrowest link, then under way. Four numbers are drawn for every datagram whether they are needed
 * or not, so that one's fate never depends on when the others came.
 *
 * Losses come alone (each with the same probability) or in runs: a chain of two states (Gilbert 1960)
 * that leaves the losing one with probability 1 / run and enters it as often as gives the same share.
 * Jitter changes as cross traffic makes it: one draw holds for a while, and nobody overtakes.
 */
#include "leg.h"

#include <string.h>

#define WINDOW_NS (100 * STOQ_MS)
#define REORDER_BY_NS (5 * STOQ_MS)
#define QUEUE_NS (50 * STOQ_MS)
#define BITS 8u

void leg_init(struct leg *leg, const struct leg_spec *spec, uint64_t seed)
{
    memset(leg, 0, sizeof *leg);
    leg->spec = *spec;
    leg->seed = seed;
    leg->draws = stoq_prng(seed);
    leg->counts.delay_min_ns = STOQ_NEVER;
    if (leg->spec.reorder_by_ns == 0) {
        leg->spec.reorder_by_ns = REORDER_BY_NS;
    }
    if (leg->spec.queue_bytes == 0) {
        leg->spec.queue_bytes = leg->spec.rate_bits_per_s / BITS * QUEUE_NS / STOQ_SEC;
    }
}

static bool happens(uint64_t draw, uint64_t parts)
{
    return draw < parts;
}

static bool is_lost(struct leg *leg, uint64_t draw)
{
    const struct leg_spec *s = &leg->spec;
    if (s->loss_run == 0 || s->loss_parts == 0) {
        return happens(draw, s->loss_parts);
    }
    if (leg->losing) {
        leg->losing = !happens(draw, LEG_PARTS / s->loss_run);
    } else {
        uint64_t enter = (uint64_t)s->loss_parts * LEG_PARTS /
                         ((uint64_t)s->loss_run * (LEG_PARTS - s->loss_parts));
        leg->losing = happens(draw, enter);
    }
    return leg->losing;
}

static void end_run(struct leg *leg)
{
    if (leg->run > 0) {
        leg->counts.loss_runs[leg->run < LEG_RUNS_MAX ? leg->run : LEG_RUNS_MAX]++;
        leg->run = 0;
    }
}

static stoq_ns time_of(uint64_t bytes, uint64_t rate_bits_per_s)
{
    return bytes * BITS * STOQ_SEC / rate_bits_per_s;
}

/* When it has passed the narrowest link; false: the queue before it is full. */
static bool through_queue(struct leg *leg, size_t bytes, stoq_ns now, stoq_ns *out)
{
    const struct leg_spec *s = &leg->spec;
    *out = now;
    if (s->rate_bits_per_s == 0) {
        return true;
    }
    stoq_ns burst_ns = time_of(s->burst_bytes, s->rate_bits_per_s);
    stoq_ns idle_from = now > burst_ns ? now - burst_ns : 0;
    stoq_ns busy = leg->busy_until > idle_from ? leg->busy_until : idle_from;
    if (busy > now && busy - now + time_of(bytes, s->rate_bits_per_s) >
                          time_of(s->queue_bytes, s->rate_bits_per_s)) {
        return false;
    }
    leg->busy_until = busy + time_of(bytes, s->rate_bits_per_s);
    *out = leg->busy_until > now ? leg->busy_until : now;
    return true;
}

static stoq_ns jitter_at(const struct leg *leg, stoq_ns when)
{
    stoq_ns jitter = leg->spec.jitter_ns;
    if (jitter == 0) {
        return 0;
    }
    struct stoq_prng slot = stoq_prng(leg->seed ^ (when / jitter + 1) * 0x9e3779b97f4a7c15u);
    return stoq_prng_below(&slot, jitter + 1);
}

static stoq_ns leaves_at(struct leg *leg, stoq_ns passed, bool held_back)
{
    const struct leg_spec *s = &leg->spec;
    stoq_ns at = passed + s->delay_ns + jitter_at(leg, passed);
    if (held_back) {
        leg->counts.held_back++;
        return at + s->reorder_by_ns;
    }
    if (at <= leg->last_leaves) {
        at = leg->last_leaves + 1;
    }
    leg->last_leaves = at;
    return at;
}

struct leg_verdict leg_feed(struct leg *leg, size_t bytes, stoq_ns now)
{
    struct leg_counts *c = &leg->counts;
    uint64_t draws[3];
    for (size_t i = 0; i < STOQ_COUNT(draws); i++) {
        draws[i] = stoq_prng_below(&leg->draws, LEG_PARTS);
    }
    c->in++;
    c->in_bytes += bytes;
    struct leg_verdict v = {.number = c->in, .copies = 1};
    stoq_ns passed;
    if (leg->spec.mtu_bytes != 0 && bytes > leg->spec.mtu_bytes) {
        c->too_large++;
        v.fate = LEG_TOO_LARGE;
        return v;
    }
    if (is_lost(leg, draws[0])) {
        leg->run++;
        c->lost++;
        v.fate = LEG_LOST;
        return v;
    }
    end_run(leg);
    if (!through_queue(leg, bytes, now, &passed)) {
        c->queue_full++;
        v.fate = LEG_QUEUE_FULL;
        return v;
    }
    v.leaves_at = leaves_at(leg, passed, happens(draws[1], leg->spec.reorder_parts));
    if (happens(draws[2], leg->spec.duplicate_parts)) {
        c->duplicated++;
        v.copies = 2;
    }
    return v;
}

/* 32 buckets for each power of two. */
static size_t bucket_of(stoq_ns delay)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(delay | 1);
    return delay < 32 ? (size_t)delay : top * 32 + (size_t)(delay >> (top - 5) & 31);
}

static stoq_ns bucket_end(size_t bucket)
{
    unsigned top = (unsigned)(bucket / 32);
    return bucket < 64 ? bucket : (32 + bucket % 32 + 1) << (top - 5);
}

static void count_window(struct leg_counts *c, size_t bytes, stoq_ns now)
{
    if (c->window != now / WINDOW_NS) {
        c->window = now / WINDOW_NS;
        c->window_bytes = 0;
    }
    c->window_bytes += bytes;
    if (c->window_bytes > c->window_bytes_max) {
        c->window_bytes_max = c->window_bytes;
    }
}

void leg_left(struct leg *leg, const struct leg_verdict *verdict, size_t bytes, stoq_ns arrived_at,
              stoq_ns now)
{
    struct leg_counts *c = &leg->counts;
    stoq_ns delay = now - arrived_at;
    if (c->out == 0) {
        c->first_out_at = now;
        c->first_out_bytes = bytes;
    }
    c->out++;
    c->out_bytes += bytes;
    c->last_out_at = now;
    c->delays[bucket_of(delay)]++;
    c->delay_min_ns = delay < c->delay_min_ns ? delay : c->delay_min_ns;
    c->delay_max_ns = delay > c->delay_max_ns ? delay : c->delay_max_ns;
    if (verdict->number < leg->number_out_max) {
        c->overtaken++;
    } else {
        leg->number_out_max = verdict->number;
    }
    count_window(c, bytes, now);
}

stoq_ns leg_delay_ns(const struct leg *leg, unsigned per_mille)
{
    const struct leg_counts *c = &leg->counts;
    uint64_t wanted = (c->out * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < LEG_DELAY_BUCKETS; i++) {
        seen += c->delays[i];
        if (seen > 0 && seen >= wanted) {
            stoq_ns end = bucket_end(i);
            return end < c->delay_max_ns ? end : c->delay_max_ns;
        }
    }
    return 0;
}

uint64_t leg_rate_bits_per_s(const struct leg *leg)
{
    const struct leg_counts *c = &leg->counts;
    stoq_ns took = c->last_out_at - c->first_out_at;
    return took == 0 ? 0
                     : (uint64_t)((double)(c->out_bytes - c->first_out_bytes) * BITS * 1e9 /
                                  (double)took);
}

static void report_runs(const struct leg *leg, FILE *to)
{
    const char *comma = "";
    (void)fputs("\"loss_runs\":{", to);
    for (size_t i = 1; i <= LEG_RUNS_MAX; i++) {
        uint64_t n = leg->counts.loss_runs[i] + (leg->run == i ? 1 : 0);
        if (n > 0) {
            (void)fprintf(to, "%s\"%zu\":%llu", comma, i, (unsigned long long)n);
            comma = ",";
        }
    }
    (void)fputs("},", to);
}

static double us(stoq_ns t)
{
    return (double)t / 1000;
}

void leg_report(const struct leg *leg, FILE *to)
{
    const struct leg_counts *c = &leg->counts;
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"datagrams_in", c->in},
        {"bytes_in", c->in_bytes},
        {"datagrams_out", c->out},
        {"bytes_out", c->out_bytes},
        {"lost", c->lost},
        {"queue_full", c->queue_full},
        {"too_large", c->too_large},
        {"duplicated", c->duplicated},
        {"held_back", c->held_back},
        {"overtaken", c->overtaken},
        {"rate_bits_per_s", leg_rate_bits_per_s(leg)},
        {"rate_bits_per_s_max", c->window_bytes_max * BITS * (STOQ_SEC / WINDOW_NS)},
    };
    (void)fputc('{', to);
    for (size_t i = 0; i < STOQ_COUNT(fields); i++) {
        (void)fprintf(to, "\"%s\":%llu,", fields[i].name, (unsigned long long)fields[i].value);
    }
    report_runs(leg, to);
    (void)fprintf(
        to, "\"delay_us\":{\"min\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}}",
        c->out == 0 ? 0 : us(c->delay_min_ns), us(leg_delay_ns(leg, 500)),
        us(leg_delay_ns(leg, 900)), us(leg_delay_ns(leg, 990)), us(c->delay_max_ns));
}
