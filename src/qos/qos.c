/*
 * Lives: parties, groups and flows come with the first that needs them and go with the last, so that what
 * is granted is granted to somebody who is there. Lists are short (who moves bytes at the moment) and
 * looked through from their beginning: 3 us with 1024 of them (docs/BENCHMARKS.md, bench/qos_many).
 */
#include "qos/qos_internal.h"

#include <string.h>

enum stoq_status stoq_qos_new(struct stoq_qos **out, const struct stoq_alloc *alloc)
{
    struct stoq_qos *q = stoq_alloc(alloc, 1, sizeof *q);
    if (q == NULL) {
        return STOQ_NOMEM;
    }
    q->alloc = *alloc;
    q->minute = STOQ_QOS_DAY_MINUTES;
    *out = q;
    return STOQ_OK;
}

void stoq_qos_free(struct stoq_qos *q)
{
    if (q == NULL) {
        return;
    }
    for (size_t i = 0; i < q->party_count; i++) {
        stoq_free(&q->alloc, q->parties[i]);
    }
    for (size_t i = 0; i < q->group_count; i++) {
        stoq_free(&q->alloc, q->groups[i]);
    }
    stoq_free(&q->alloc, q->parties);
    stoq_free(&q->alloc, q->groups);
    stoq_free(&q->alloc, q->flows);
    stoq_free(&q->alloc, q);
}

/* A list with room for one more of count: itself, or one of twice the places with the old ones moved over.
 * NULL: no memory. */
static void *with_room(struct stoq_qos *q, void *old, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return old;
    }
    size_t wanted = *room == 0 ? 16 : 2 * *room;
    void *p = stoq_alloc(&q->alloc, wanted, size);
    if (p == NULL) {
        return NULL;
    }
    if (count > 0) {
        memcpy(p, old, count * size);
    }
    stoq_free(&q->alloc, old);
    *room = wanted;
    return p;
}

static struct qos_party *find_party(const struct stoq_qos *q, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < q->party_count; i++) {
        if (stoq_hash_eq(&q->parties[i]->peer.h, &peer->h)) {
            return q->parties[i];
        }
    }
    return NULL;
}

static struct qos_party *want_party(struct stoq_qos *q, const struct stoq_peer_id *peer)
{
    struct qos_party *p = find_party(q, peer);
    if (p != NULL) {
        return p;
    }
    void *list = with_room(q, q->parties, q->party_count, &q->party_room, sizeof *q->parties);
    if (list == NULL) {
        return NULL;
    }
    q->parties = list;
    p = stoq_alloc(&q->alloc, 1, sizeof *p);
    if (p != NULL) {
        p->peer = *peer;
        q->parties[q->party_count++] = p;
    }
    return p;
}

static bool is_capped(const struct qos_party *p)
{
    return p->cap[STOQ_QOS_UP].rate > 0 || p->cap[STOQ_QOS_DOWN].rate > 0;
}

static void drop_party(struct stoq_qos *q, struct qos_party *p)
{
    if (p->flows > 0 || is_capped(p)) {
        return;
    }
    for (size_t i = 0; i < q->party_count; i++) {
        if (q->parties[i] == p) {
            q->parties[i] = q->parties[--q->party_count];
            break;
        }
    }
    stoq_free(&q->alloc, p);
}

static enum stoq_status limit_peer(struct stoq_qos *q, enum stoq_qos_dir dir,
                                   const struct stoq_peer_id *peer, uint64_t rate, stoq_ns now)
{
    struct qos_party *p = find_party(q, peer);
    if (rate == 0 && p == NULL) {
        return STOQ_OK;
    }
    bool before = p != NULL && is_capped(p);
    if (rate > 0 && !before && q->capped == STOQ_QOS_PEERS_MAX) {
        return STOQ_FULL;
    }
    p = want_party(q, peer);
    if (p == NULL) {
        return STOQ_NOMEM;
    }
    qos_bucket_set(&p->cap[dir], rate, now);
    q->capped = q->capped - before + is_capped(p);
    drop_party(q, p);
    return STOQ_OK;
}

enum stoq_status stoq_qos_limit(struct stoq_qos *q, enum stoq_qos_dir dir,
                                const struct stoq_qos_whose *whose, uint64_t rate, stoq_ns now)
{
    if (rate > STOQ_QOS_RATE_MAX) {
        return STOQ_RANGE;
    }
    switch (whose->scope) {
    case STOQ_QOS_PEER:
        return limit_peer(q, dir, whose->peer, rate, now);
    case STOQ_QOS_CLASS:
        qos_bucket_set(&q->of_class[dir][whose->priority], rate, now);
        break;
    case STOQ_QOS_ALL:
        q->base[dir] = rate;
        qos_apply_windows(q, now);
        break;
    }
    return STOQ_OK;
}

uint64_t stoq_qos_rate(const struct stoq_qos *q, enum stoq_qos_dir dir,
                       const struct stoq_qos_whose *whose)
{
    const struct qos_party *p;
    switch (whose->scope) {
    case STOQ_QOS_PEER:
        p = find_party(q, whose->peer);
        return p != NULL ? p->cap[dir].rate : 0;
    case STOQ_QOS_CLASS:
        return q->of_class[dir][whose->priority].rate;
    default:
        return q->all[dir].rate;
    }
}

uint64_t stoq_qos_tightest(const struct stoq_qos *q, enum stoq_qos_dir dir,
                           const struct stoq_peer_id *peer, enum stoq_priority priority)
{
    const struct stoq_qos_whose whose[] = {
        {STOQ_QOS_ALL, priority, peer},
        {STOQ_QOS_CLASS, priority, peer},
        {STOQ_QOS_PEER, priority, peer},
    };
    uint64_t least = 0;
    for (size_t i = 0; i < STOQ_COUNT(whose); i++) {
        uint64_t rate = stoq_qos_rate(q, dir, &whose[i]);
        least = rate > 0 && (least == 0 || rate < least) ? rate : least;
    }
    return least;
}

static struct qos_group *want_group(struct stoq_qos *q, const struct stoq_qos_open *open)
{
    for (size_t i = 0; i < q->group_count; i++) {
        struct qos_group *g = q->groups[i];
        if (g->dir == open->dir && g->priority == open->priority && g->number == open->group) {
            return g;
        }
    }
    void *list = with_room(q, q->groups, q->group_count, &q->group_room, sizeof *q->groups);
    if (list == NULL) {
        return NULL;
    }
    q->groups = list;
    struct qos_group *g = stoq_alloc(&q->alloc, 1, sizeof *g);
    if (g != NULL) {
        g->dir = open->dir;
        g->priority = open->priority;
        g->number = open->group;
        q->groups[q->group_count++] = g;
    }
    return g;
}

static void drop_group(struct stoq_qos *q, struct qos_group *g)
{
    if (g->flows > 0) {
        return;
    }
    for (size_t i = 0; i < q->group_count; i++) {
        if (q->groups[i] == g) {
            q->groups[i] = q->groups[--q->group_count];
            break;
        }
    }
    stoq_free(&q->alloc, g);
}

static struct qos_flow *free_flow(struct stoq_qos *q)
{
    for (size_t i = 0; i < q->flow_count; i++) {
        if (q->flows[i].party == NULL) {
            return &q->flows[i];
        }
    }
    if (q->flow_count == STOQ_QOS_FLOWS_MAX) {
        return NULL;
    }
    void *list = with_room(q, q->flows, q->flow_count, &q->flow_room, sizeof *q->flows);
    if (list == NULL) {
        return NULL;
    }
    q->flows = list;
    return &q->flows[q->flow_count++];
}

stoq_qos_flow stoq_qos_open(struct stoq_qos *q, const struct stoq_qos_open *open)
{
    struct qos_flow *f = free_flow(q);
    struct qos_party *p = f != NULL ? want_party(q, open->peer) : NULL;
    struct qos_group *g = p != NULL ? want_group(q, open) : NULL;
    if (g == NULL) {
        if (p != NULL) {
            drop_party(q, p);
        }
        return 0;
    }
    *f = (struct qos_flow){.party = p, .group = g, .transfer = open->transfer, .user = open->user};
    p->flows++;
    g->flows++;
    return (stoq_qos_flow)(f - q->flows) + 1;
}

void stoq_qos_close(struct stoq_qos *q, stoq_qos_flow flow)
{
    if (flow == 0) {
        return;
    }
    STOQ_ASSERT(flow <= q->flow_count && q->flows[flow - 1].party != NULL);
    struct qos_flow *f = &q->flows[flow - 1];
    struct qos_party *p = f->party;
    struct qos_group *g = f->group;
    qos_stop_waiting(q, f);
    *f = (struct qos_flow){0};
    p->flows--;
    g->flows--;
    drop_party(q, p);
    drop_group(q, g);
}

bool stoq_qos_at(const struct stoq_qos *q, size_t i, stoq_ns now, struct stoq_qos_view *out)
{
    for (size_t k = 0; k < q->flow_count; k++) {
        const struct qos_flow *f = &q->flows[k];
        if (f->party != NULL && i-- == 0) {
            *out = (struct stoq_qos_view){.dir = f->group->dir,
                                          .priority = f->group->priority,
                                          .peer = f->party->peer,
                                          .transfer = f->transfer,
                                          .wanted = f->wanted,
                                          .granted = f->granted,
                                          .rate_bytes_per_s = qos_meter_rate(&f->meter, now)};
            return true;
        }
    }
    return false;
}

bool stoq_qos_peer_at(const struct stoq_qos *q, size_t i, struct stoq_peer_id *out)
{
    for (size_t k = 0; k < q->party_count; k++) {
        if (is_capped(q->parties[k]) && i-- == 0) {
            *out = q->parties[k]->peer;
            return true;
        }
    }
    return false;
}

static void check_group(const struct stoq_qos *q, const struct qos_group *g)
{
    uint32_t flows = 0;
    uint32_t waiting = 0;
    for (size_t i = 0; i < q->flow_count; i++) {
        const struct qos_flow *f = &q->flows[i];
        flows += f->party != NULL && f->group == g;
        waiting += f->party != NULL && f->group == g && f->wanted > 0;
    }
    STOQ_ASSERT(g->flows == flows && flows > 0 && g->turn.waiting == waiting);
}

void stoq_qos_check(const struct stoq_qos *q)
{
    uint32_t waiting[STOQ_QOS_DIRS][QOS_BANDS] = {{0}};
    uint32_t waiting_class[STOQ_QOS_DIRS][STOQ_PRIORITIES] = {{0}};
    size_t all = 0;
    size_t capped = 0;
    for (size_t i = 0; i < q->group_count; i++) {
        const struct qos_group *g = q->groups[i];
        check_group(q, g);
        waiting[g->dir][qos_band_of(g->priority)] += g->turn.waiting;
        waiting_class[g->dir][g->priority] += g->turn.waiting;
        all += g->turn.waiting;
    }
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        for (int band = 0; band < QOS_BANDS; band++) {
            STOQ_ASSERT(q->band[dir][band].waiting == waiting[dir][band]);
        }
    }
    STOQ_ASSERT(memcmp(waiting_class, q->waiting_class, sizeof waiting_class) == 0);
    for (size_t i = 0; i < q->party_count; i++) {
        uint32_t flows = 0;
        for (size_t k = 0; k < q->flow_count; k++) {
            flows += q->flows[k].party == q->parties[i];
        }
        STOQ_ASSERT(q->parties[i]->flows == flows && (flows > 0 || is_capped(q->parties[i])));
        capped += is_capped(q->parties[i]);
    }
    STOQ_ASSERT(q->waiting == all && q->capped == capped);
}
