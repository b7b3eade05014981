/*
 * A cap is a bucket that fills at its rate and holds STOQ_QOS_BURST of it. A grant needs a bucket that is
 * not empty and may leave it in debt, so that units of any size pass and the average is the rate exactly.
 *
 * Who is next is start-time fair queueing (Goyal, Vin, Cheng 1996) over peers, then over a peer's flows:
 * the peer that was given least since it began to want is first, and who comes back from a pause begins
 * where the others are. So a peer with sixteen requests gets what one with a single request gets, and what
 * one leaves the others take. A peer whose own cap holds it back stands aside for those it does not.
 */
#include "qos/qos.h"

#include <string.h>

struct bucket {
    uint64_t rate; /* 0: no cap */
    int64_t credit;
    uint64_t rest; /* millionths of a byte */
    stoq_ns at;
};

/* A peer in one direction, while it has flows; and its caps, while it has some. */
struct party {
    struct stoq_peer_id peer;
    struct bucket cap[STOQ_QOS_DIRS];
    uint64_t given[STOQ_QOS_DIRS]; /* in bytes, from where the others were when it began */
    uint32_t flows;
    uint32_t waiting[STOQ_QOS_DIRS];
};

struct flow {
    struct party *party; /* NULL: free */
    enum stoq_qos_dir dir;
    void *user;
    uint64_t wanted;
    uint64_t granted;
    uint64_t turn; /* among the party's flows: lowest first */
};

struct stoq_qos {
    struct stoq_alloc alloc;
    struct bucket cap[STOQ_QOS_DIRS];
    uint64_t given[STOQ_QOS_DIRS]; /* of the party last granted: where newcomers begin */
    uint64_t turn;
    struct party **parties;
    size_t party_count;
    size_t party_room;
    size_t capped;
    struct flow *flows;
    size_t flow_count; /* places used so far */
    size_t flow_room;
    size_t waiting;
    stoq_ns now;
};

enum stoq_status stoq_qos_new(struct stoq_qos **out, const struct stoq_alloc *alloc)
{
    struct stoq_qos *q = stoq_alloc(alloc, 1, sizeof *q);
    if (q == NULL) {
        return STOQ_NOMEM;
    }
    q->alloc = *alloc;
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
    stoq_free(&q->alloc, q->parties);
    stoq_free(&q->alloc, q->flows);
    stoq_free(&q->alloc, q);
}

static int64_t burst(const struct bucket *b)
{
    uint64_t bytes = b->rate / (STOQ_SEC / STOQ_QOS_BURST);
    return bytes > 0 ? (int64_t)bytes : 1;
}

static void fill(struct bucket *b, stoq_ns now)
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

static stoq_ns open_at(const struct bucket *b, stoq_ns now)
{
    if (b->rate == 0 || b->credit > 0) {
        return now;
    }
    uint64_t need = (uint64_t)(1 - b->credit);
    uint64_t us = need / b->rate * 1000000 + (need % b->rate * 1000000 + b->rate - 1) / b->rate + 1;
    return b->at + us * 1000;
}

static void set_rate(struct bucket *b, uint64_t rate, stoq_ns now)
{
    *b = (struct bucket){.rate = rate, .at = now};
    b->credit = burst(b);
}

static struct party *find_party(const struct stoq_qos *q, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < q->party_count; i++) {
        if (stoq_hash_eq(&q->parties[i]->peer.h, &peer->h)) {
            return q->parties[i];
        }
    }
    return NULL;
}

/* Twice the places, the old ones moved over; NULL: no memory. */
static void *grown(struct stoq_qos *q, void *old, size_t count, size_t *room, size_t size)
{
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

static struct party *want_party(struct stoq_qos *q, const struct stoq_peer_id *peer)
{
    struct party *p = find_party(q, peer);
    if (p != NULL) {
        return p;
    }
    if (q->party_count == q->party_room) {
        void *list = grown(q, q->parties, q->party_count, &q->party_room, sizeof *q->parties);
        if (list == NULL) {
            return NULL;
        }
        q->parties = list;
    }
    p = stoq_alloc(&q->alloc, 1, sizeof *p);
    if (p != NULL) {
        p->peer = *peer;
        q->parties[q->party_count++] = p;
    }
    return p;
}

static bool is_capped(const struct party *p)
{
    return p->cap[STOQ_QOS_UP].rate > 0 || p->cap[STOQ_QOS_DOWN].rate > 0;
}

static void drop_party(struct stoq_qos *q, struct party *p)
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

enum stoq_status stoq_qos_limit(struct stoq_qos *q, enum stoq_qos_dir dir,
                                const struct stoq_peer_id *peer, uint64_t rate, stoq_ns now)
{
    if (rate > STOQ_QOS_RATE_MAX) {
        return STOQ_RANGE;
    }
    if (peer == NULL) {
        set_rate(&q->cap[dir], rate, now);
        return STOQ_OK;
    }
    struct party *p = find_party(q, peer);
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
    set_rate(&p->cap[dir], rate, now);
    q->capped = q->capped - before + is_capped(p);
    drop_party(q, p);
    return STOQ_OK;
}

uint64_t stoq_qos_rate(const struct stoq_qos *q, enum stoq_qos_dir dir,
                       const struct stoq_peer_id *peer)
{
    const struct party *p = peer != NULL ? find_party(q, peer) : NULL;
    if (peer == NULL) {
        return q->cap[dir].rate;
    }
    return p != NULL ? p->cap[dir].rate : 0;
}

static struct flow *free_flow(struct stoq_qos *q)
{
    for (size_t i = 0; i < q->flow_count; i++) {
        if (q->flows[i].party == NULL) {
            return &q->flows[i];
        }
    }
    if (q->flow_count == STOQ_QOS_FLOWS_MAX) {
        return NULL;
    }
    if (q->flow_count == q->flow_room) {
        void *list = grown(q, q->flows, q->flow_count, &q->flow_room, sizeof *q->flows);
        if (list == NULL) {
            return NULL;
        }
        q->flows = list;
    }
    return &q->flows[q->flow_count++];
}

stoq_qos_flow stoq_qos_open(struct stoq_qos *q, enum stoq_qos_dir dir,
                            const struct stoq_peer_id *peer, void *user)
{
    struct flow *f = free_flow(q);
    struct party *p = f != NULL ? want_party(q, peer) : NULL;
    if (p == NULL) {
        return 0;
    }
    *f = (struct flow){.party = p, .dir = dir, .user = user};
    p->flows++;
    return (stoq_qos_flow)(f - q->flows) + 1;
}

static void stop_waiting(struct stoq_qos *q, struct flow *f)
{
    if (f->wanted > 0) {
        f->wanted = 0;
        f->party->waiting[f->dir]--;
        q->waiting--;
    }
}

void stoq_qos_close(struct stoq_qos *q, stoq_qos_flow flow)
{
    if (flow == 0) {
        return;
    }
    STOQ_ASSERT(flow <= q->flow_count && q->flows[flow - 1].party != NULL);
    struct flow *f = &q->flows[flow - 1];
    struct party *p = f->party;
    stop_waiting(q, f);
    *f = (struct flow){0};
    p->flows--;
    drop_party(q, p);
}

bool stoq_qos_want(struct stoq_qos *q, stoq_qos_flow flow, uint64_t bytes, stoq_ns now)
{
    STOQ_ASSERT(flow > 0 && flow <= q->flow_count && q->flows[flow - 1].party != NULL && bytes > 0);
    struct flow *f = &q->flows[flow - 1];
    struct party *p = f->party;
    q->now = now;
    if (q->cap[f->dir].rate == 0 && p->cap[f->dir].rate == 0 && f->wanted == 0) {
        f->granted += bytes;
        return true;
    }
    if (f->wanted == 0) {
        if (p->waiting[f->dir]++ == 0 && p->given[f->dir] < q->given[f->dir]) {
            p->given[f->dir] = q->given[f->dir];
        }
        f->turn = ++q->turn;
        q->waiting++;
    }
    f->wanted += bytes;
    return false;
}

static bool is_before(const struct flow *a, const struct flow *b)
{
    if (b == NULL) {
        return true;
    }
    uint64_t x = a->party->given[a->dir];
    uint64_t y = b->party->given[b->dir];
    return x < y || (x == y && a->turn < b->turn);
}

bool stoq_qos_poll(struct stoq_qos *q, stoq_ns now, struct stoq_qos_grant *out)
{
    struct flow *best = NULL;
    q->now = now;
    for (size_t i = 0; i < q->flow_count && q->waiting > 0; i++) {
        struct flow *f = &q->flows[i];
        if (f->party == NULL || f->wanted == 0) {
            continue;
        }
        fill(&q->cap[f->dir], now);
        fill(&f->party->cap[f->dir], now);
        if (open_at(&q->cap[f->dir], now) <= now && open_at(&f->party->cap[f->dir], now) <= now &&
            is_before(f, best)) {
            best = f;
        }
    }
    if (best == NULL) {
        return false;
    }
    struct party *p = best->party;
    *out = (struct stoq_qos_grant){
        .flow = (stoq_qos_flow)(best - q->flows) + 1, .user = best->user, .bytes = best->wanted};
    if (p->given[best->dir] > q->given[best->dir]) { /* one held back by its own cap is behind */
        q->given[best->dir] = p->given[best->dir];
    }
    p->given[best->dir] += best->wanted;
    q->cap[best->dir].credit -= (int64_t)best->wanted;
    p->cap[best->dir].credit -= (int64_t)best->wanted;
    best->granted += best->wanted;
    stop_waiting(q, best);
    return true;
}

stoq_ns stoq_qos_deadline(const struct stoq_qos *q)
{
    stoq_ns at = STOQ_NEVER;
    for (size_t i = 0; i < q->flow_count && q->waiting > 0; i++) {
        const struct flow *f = &q->flows[i];
        if (f->party != NULL && f->wanted > 0) {
            stoq_ns all = open_at(&q->cap[f->dir], q->now);
            stoq_ns own = open_at(&f->party->cap[f->dir], q->now);
            stoq_ns mine = all > own ? all : own;
            at = mine < at ? mine : at;
        }
    }
    return at;
}

bool stoq_qos_at(const struct stoq_qos *q, size_t i, struct stoq_qos_view *out)
{
    for (size_t k = 0; k < q->flow_count; k++) {
        const struct flow *f = &q->flows[k];
        if (f->party != NULL && i-- == 0) {
            *out = (struct stoq_qos_view){
                .dir = f->dir, .peer = f->party->peer, .wanted = f->wanted, .granted = f->granted};
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
