/*
 * Who is next. Start-time fair queueing (Goyal, Vin, Cheng 1996) three times over: of the two bands, of a
 * band's groups, and in turns of a group's flows. Who was given least, by its weight, since it began to
 * want is first, and who comes back from a pause begins where the others are: what one leaves the others
 * take, and nobody saves up.
 *
 *     foreground 19 : background 1        what is waited for keeps 95 %, background never stands still
 *       interactive 4 : normal 1            by group: a peer that we send to, a transfer of ours
 *         flow, flow, flow                    a group with sixteen requests gets what one with one gets
 *
 * The bands are apart since a weight alone would let a hundred background transfers push an interactive one
 * aside. Inside the foreground the weights are by group and not by class, so that one peer that calls its
 * transfer interactive has four times another's share, and no more than that. No weight grows with age: a
 * share is never zero, so that the oldest ends. Where one waits for its beginning (a fetch for its
 * turn, src/node/node_queue.c) age counts.
 *
 * A flow that its peer's or its class's cap holds back stands aside for those they do not.
 */
#include "qos/qos_internal.h"

#define BAND_FOREGROUND 19
#define BAND_BACKGROUND 1
#define GROUP_INTERACTIVE 4
#define GROUP_OTHER 1
#define UNITS 76u /* of a byte: what all weights divide */

static uint64_t band_weight(enum qos_band band)
{
    return band == QOS_FOREGROUND ? BAND_FOREGROUND : BAND_BACKGROUND;
}

static uint64_t group_weight(const struct qos_group *g)
{
    return g->priority == STOQ_PRIORITY_INTERACTIVE ? GROUP_INTERACTIVE : GROUP_OTHER;
}

/* It begins to want: it has no claim on what it left to the others. */
static void begin_waiting(struct qos_turn *t, uint64_t where_others_are)
{
    if (t->waiting++ == 0 && t->given < where_others_are) {
        t->given = where_others_are;
    }
}

static void note(struct qos_turn *t, uint64_t *now_at, uint64_t bytes, uint64_t weight)
{
    if (t->given > *now_at) { /* one held back by its own cap is behind */
        *now_at = t->given;
    }
    t->given += bytes * (UNITS / weight);
}

void qos_stop_waiting(struct stoq_qos *q, struct qos_flow *f)
{
    struct qos_group *g = f->group;
    if (f->wanted > 0) {
        f->wanted = 0;
        g->turn.waiting--;
        q->band[g->dir][qos_band_of(g->priority)].waiting--;
        q->waiting_class[g->dir][g->priority]--;
        q->waiting--;
    }
}

static bool is_free(const struct stoq_qos *q, const struct qos_flow *f)
{
    const struct qos_group *g = f->group;
    return q->all[g->dir].rate == 0 && q->of_class[g->dir][g->priority].rate == 0 &&
           f->party->cap[g->dir].rate == 0 && f->wanted == 0;
}

bool stoq_qos_want(struct stoq_qos *q, stoq_qos_flow flow, uint64_t bytes, stoq_ns now)
{
    STOQ_ASSERT(flow > 0 && flow <= q->flow_count && q->flows[flow - 1].party != NULL && bytes > 0);
    struct qos_flow *f = &q->flows[flow - 1];
    struct qos_group *g = f->group;
    enum qos_band band = qos_band_of(g->priority);
    q->now = now;
    if (is_free(q, f)) {
        f->granted += bytes;
        qos_meter_add(&f->meter, bytes, now);
        return true;
    }
    if (f->wanted == 0) {
        begin_waiting(&q->band[g->dir][band], q->band_now[g->dir]);
        begin_waiting(&g->turn, q->group_now[g->dir][band]);
        f->place = ++q->place;
        q->waiting_class[g->dir][g->priority]++;
        q->waiting++;
    }
    f->wanted += bytes;
    return false;
}

void stoq_qos_unwant(struct stoq_qos *q, stoq_qos_flow flow)
{
    STOQ_ASSERT(flow > 0 && flow <= q->flow_count && q->flows[flow - 1].party != NULL);
    qos_stop_waiting(q, &q->flows[flow - 1]);
}

/* The buckets that a flow draws on. */
struct draws {
    struct qos_bucket *bucket[3];
};

static struct draws draws_of(struct stoq_qos *q, const struct qos_flow *f)
{
    enum stoq_qos_dir dir = f->group->dir;
    return (struct draws){
        {&q->all[dir], &q->of_class[dir][f->group->priority], &f->party->cap[dir]}};
}

static bool is_open(struct qos_bucket *b, stoq_ns now)
{
    qos_bucket_fill(b, now);
    return qos_bucket_open_at(b, now) <= now;
}

/* What the caps of all together and of classes let through: looked at once, and not for each flow, since
 * most of the time they are what everybody waits for. */
struct gates {
    bool open[STOQ_QOS_DIRS][STOQ_PRIORITIES];
};

/* False: nobody who waits can go. */
static bool look_at_gates(struct stoq_qos *q, stoq_ns now, struct gates *out)
{
    bool any = false;
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        for (int c = 0; c < STOQ_PRIORITIES; c++) {
            out->open[dir][c] = q->waiting_class[dir][c] > 0 && is_open(&q->all[dir], now) &&
                                is_open(&q->of_class[dir][c], now);
            any = any || out->open[dir][c];
        }
    }
    return any;
}

static bool is_before(const struct stoq_qos *q, const struct qos_flow *a, const struct qos_flow *b)
{
    if (b == NULL) {
        return true;
    }
    const struct qos_group *g = a->group;
    const struct qos_group *h = b->group;
    enum qos_band x = qos_band_of(g->priority);
    enum qos_band y = qos_band_of(h->priority);
    if (g->dir != h->dir) {
        return false; /* directions do not compete: in any order */
    }
    if (x != y && q->band[g->dir][x].given != q->band[g->dir][y].given) {
        return q->band[g->dir][x].given < q->band[g->dir][y].given;
    }
    if (x != y) {
        return x < y;
    }
    if (g->turn.given != h->turn.given) {
        return g->turn.given < h->turn.given;
    }
    return a->place < b->place;
}

static void grant(struct stoq_qos *q, struct qos_flow *f, stoq_ns now, struct stoq_qos_grant *out)
{
    struct qos_group *g = f->group;
    enum qos_band band = qos_band_of(g->priority);
    struct draws d = draws_of(q, f);
    uint64_t bytes = f->wanted;
    *out = (struct stoq_qos_grant){
        .flow = (stoq_qos_flow)(f - q->flows) + 1, .user = f->user, .bytes = bytes};
    note(&q->band[g->dir][band], &q->band_now[g->dir], bytes, band_weight(band));
    note(&g->turn, &q->group_now[g->dir][band], bytes, group_weight(g));
    for (size_t i = 0; i < STOQ_COUNT(d.bucket); i++) {
        d.bucket[i]->credit -= (int64_t)bytes;
    }
    f->granted += bytes;
    qos_meter_add(&f->meter, bytes, now);
    qos_stop_waiting(q, f);
}

bool stoq_qos_poll(struct stoq_qos *q, stoq_ns now, struct stoq_qos_grant *out)
{
    struct qos_flow *best = NULL;
    struct gates gates;
    q->now = now;
    if (q->waiting == 0 || !look_at_gates(q, now, &gates)) {
        return false;
    }
    for (size_t i = 0; i < q->flow_count; i++) {
        struct qos_flow *f = &q->flows[i];
        if (f->wanted > 0 && gates.open[f->group->dir][f->group->priority] &&
            is_before(q, f, best) && is_open(&f->party->cap[f->group->dir], now)) {
            best = f;
        }
    }
    if (best == NULL) {
        return false;
    }
    grant(q, best, now, out);
    return true;
}

stoq_ns stoq_qos_queue(const struct stoq_qos *q, enum stoq_qos_dir dir, enum stoq_priority priority,
                       uint64_t *bytes)
{
    uint64_t rate = q->all[dir].rate;
    *bytes = 0;
    for (size_t i = 0; i < q->flow_count && q->waiting > 0 && rate > 0; i++) {
        const struct qos_flow *f = &q->flows[i];
        bool counts = f->party != NULL && f->wanted > 0 && f->group->dir == dir &&
                      f->party->cap[dir].rate == 0 &&
                      q->of_class[dir][f->group->priority].rate == 0 &&
                      qos_band_of(f->group->priority) <= qos_band_of(priority);
        *bytes += counts ? f->wanted : 0;
    }
    return rate == 0 ? 0 : *bytes * 1000 / rate * STOQ_MS;
}

static stoq_ns later(stoq_ns a, stoq_ns b)
{
    return a > b ? a : b;
}

/* Without caps of peers a class waits as one. */
static stoq_ns deadline_of_classes(const struct stoq_qos *q)
{
    stoq_ns at = STOQ_NEVER;
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        for (int c = 0; c < STOQ_PRIORITIES; c++) {
            if (q->waiting_class[dir][c] > 0) {
                stoq_ns mine = later(qos_bucket_open_at(&q->all[dir], q->now),
                                     qos_bucket_open_at(&q->of_class[dir][c], q->now));
                at = mine < at ? mine : at;
            }
        }
    }
    return at;
}

stoq_ns stoq_qos_deadline(const struct stoq_qos *q)
{
    stoq_ns at = STOQ_NEVER;
    if (q->capped == 0) {
        return deadline_of_classes(q);
    }
    for (size_t i = 0; i < q->flow_count && q->waiting > 0; i++) {
        const struct qos_flow *f = &q->flows[i];
        if (f->party == NULL || f->wanted == 0) {
            continue;
        }
        enum stoq_qos_dir dir = f->group->dir;
        const struct qos_bucket *b[] = {&q->all[dir], &q->of_class[dir][f->group->priority],
                                        &f->party->cap[dir]};
        stoq_ns mine = 0;
        for (size_t k = 0; k < STOQ_COUNT(b); k++) {
            stoq_ns open = qos_bucket_open_at(b[k], q->now);
            mine = open > mine ? open : mine;
        }
        at = mine < at ? mine : at;
    }
    return at;
}
