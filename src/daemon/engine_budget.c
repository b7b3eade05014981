/*
 * Bandwidth. What we send waits piece by piece for its grant before it goes to the transport. What we
 * receive is there when we see it, so its flow-control credit waits instead: the peer may send as much
 * again only when the bytes are within the caps. Nothing blocks; a grant lets the waiting go on.
 * Metadata goes first and is paid for afterwards: chunks wait for it. A peer that owes for as many packages
 * as it may waits for those, so that asking for thousands brings no more than the caps let through.
 *
 *     share          a transfer with one peer in one direction: one flow of the bandwidth core
 *       budget         a reply that would send its next piece
 *       debt           credit that the peer does not have back yet
 *
 * What waits in a share goes in the order it came. A share is there while a request, a reply or a debt
 * refers to it, so that however a transfer ends nothing stays allocated; who walks through its debts holds
 * it for as long, so a debt that goes is never the last. Debts of a stream that was stopped
 * go at once, stopping has settled its bytes; those of one that came to its end wait on, since the
 * peer's window is what its cap is kept by.
 */
#include "daemon/engine_internal.h"

#include "os/sys.h"

#include <stdlib.h>

#define QUEUE_CHUNK_BYTES 65536u  /* on average */
#define QUEUE_REPLY_BYTES 262144u /* of a reply that waits, at most: the rest may be cancelled */

struct share {
    struct stoq_engine *engine;
    struct share *next;
    struct share *prev;
    enum stoq_qos_dir dir;
    bool is_meta;
    enum stoq_priority priority;
    struct peer *peer;
    struct stoq_package_id id;
    stoq_fetch_id fetch; /* STOQ_QOS_DOWN */
    uint64_t number;
    stoq_qos_flow flow;
    uint32_t refs;
    struct budget *first; /* its bytes are wanted of the core */
    struct budget **last;
    stoq_ns waits_since;
};

struct debt {
    struct budget budget; /* first */
    stoq_net_conn conn;   /* 0: metadata, which holds no credit back */
    stoq_net_stream stream;
};

enum stoq_status engine_budget_open(struct stoq_engine *e)
{
    static const struct stoq_alloc heap;
    const uint64_t all[STOQ_QOS_DIRS] = {e->cfg.up_bytes_per_s, e->cfg.down_bytes_per_s};
    stoq_ns now = stoq_now();
    enum stoq_status st = stoq_qos_new(&e->qos, &heap);
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        struct stoq_qos_whose whose = {.scope = STOQ_QOS_ALL};
        if (st == STOQ_OK) {
            st = stoq_qos_limit(e->qos, (enum stoq_qos_dir)dir, &whose, all[dir], now);
        }
        whose.scope = STOQ_QOS_CLASS;
        for (int c = 0; c < STOQ_PRIORITIES && st == STOQ_OK; c++) {
            whose.priority = (enum stoq_priority)c;
            st = stoq_qos_limit(e->qos, (enum stoq_qos_dir)dir, &whose,
                                e->cfg.class_bytes_per_s[dir][c], now);
        }
    }
    for (size_t i = 0; i < e->cfg.window_count && st == STOQ_OK; i++) {
        st = stoq_qos_add_window(e->qos, &e->cfg.windows[i], now);
    }
    if (st == STOQ_OK) {
        stoq_qos_local_time(e->qos, stoq_wall_minute(), now);
    }
    return st;
}

static void share_unref(struct share *s)
{
    struct stoq_engine *e = s->engine;
    if (--s->refs > 0) {
        return;
    }
    STOQ_ASSERT(s->first == NULL);
    if (s->prev != NULL) {
        s->prev->next = s->next;
    } else {
        e->shares = s->next;
    }
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    stoq_qos_close(e->qos, s->flow);
    engine_peer_unref(e, s->peer);
    free(s);
}

/* The transfer's own share, else where it waits when there is no more room for one: behind somebody else's,
 * the peer's own if it has any. NULL: a new one is to be made. */
static struct share *find_share(struct stoq_engine *e, const struct share *want)
{
    struct share *behind = NULL;
    size_t count = 0;
    uint32_t metas = 0;
    for (struct share *s = e->shares; s != NULL; s = s->next) {
        bool same = s->dir == want->dir && s->peer == want->peer;
        if (same && s->is_meta == want->is_meta && s->priority == want->priority &&
            s->fetch == want->fetch && stoq_hash_eq(&s->id.h, &want->id.h)) {
            return s;
        }
        if (same || (s->dir == want->dir && behind == NULL)) {
            behind = s;
        }
        metas += same && s->is_meta;
        count++;
    }
    bool is_crowded = want->dir == STOQ_QOS_UP && want->is_meta && metas >= ENGINE_META_SHARES_MAX;
    return is_crowded || count >= STOQ_QOS_FLOWS_MAX ? behind : NULL;
}

/* The transfer's, or a new one. NULL: no memory, it goes without limits. */
static struct share *share_ref(struct stoq_engine *e, const struct share *want)
{
    struct share *s = find_share(e, want);
    if (s != NULL) {
        s->refs++;
        return s;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    *s = *want;
    s->engine = e;
    s->number = ++e->share_last;
    s->refs = 1;
    s->last = &s->first;
    struct stoq_qos_open open = {
        .dir = s->dir,
        .priority = s->priority,
        .peer = &s->peer->id,
        .group = s->dir == STOQ_QOS_UP ? s->peer->number : s->fetch,
        .transfer = s->number,
        .user = s,
    };
    s->flow = stoq_qos_open(e->qos, &open);
    if (s->flow == 0) {
        free(s);
        return NULL;
    }
    engine_peer_ref(s->peer);
    s->next = e->shares;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    e->shares = s;
    return s;
}

/* How long it has waited counts for the fetch. */
static void note_wait(struct share *s, stoq_ns now)
{
    if (s->dir == STOQ_QOS_DOWN && now > s->waits_since) {
        engine_fetch_held(
            s->engine, s->fetch, s->peer, now - s->waits_since,
            stoq_qos_tightest(s->engine->qos, STOQ_QOS_DOWN, &s->peer->id, s->priority));
    }
}

void engine_budget_note(struct stoq_engine *e, stoq_fetch_id fetch)
{
    stoq_ns now = stoq_now();
    for (struct share *s = e->shares; s != NULL; s = s->next) {
        if (s->fetch == fetch && s->first != NULL) {
            note_wait(s, now);
            s->waits_since = now;
        }
    }
}

/* True: it may go at once. */
static bool share_wait(struct share *s, struct budget *b, uint64_t bytes)
{
    stoq_ns now = stoq_now();
    if (s->first == NULL && stoq_qos_want(s->engine->qos, s->flow, bytes, now)) {
        return true;
    }
    if (s->first == NULL) {
        s->waits_since = now;
    }
    b->bytes = bytes;
    b->waits = true;
    b->next = NULL;
    *s->last = b;
    s->last = &b->next;
    return false;
}

static struct budget *take_first(struct share *s)
{
    struct budget *b = s->first;
    s->first = b->next;
    s->last = s->first == NULL ? &s->first : s->last;
    b->waits = false;
    return b;
}

/* Of a share that its caller holds. */
static void debt_free(struct debt *d)
{
    STOQ_ASSERT(d->budget.share->refs > 1);
    d->budget.share->refs--;
    free(d);
}

static void let_go(struct stoq_engine *e, struct budget *b, stoq_ns now)
{
    if (b->serve != NULL) {
        b->granted = true;
        b->serve->moved_at = now;
        engine_pump_later(b->serve);
    } else {
        struct debt *d = (struct debt *)b;
        if (d->conn != 0) {
            stoq_net_consumed(e->net, d->conn, d->stream, b->bytes);
        }
        debt_free(d);
    }
}

/* The core has granted the first; the next one's bytes are wanted now. The caller holds the share. */
static void share_granted(struct share *s, stoq_ns now)
{
    struct stoq_engine *e = s->engine;
    bool at_once = true;
    while (at_once && s->first != NULL) {
        let_go(e, take_first(s), now);
        at_once = s->first != NULL && stoq_qos_want(e->qos, s->flow, s->first->bytes, now);
    }
    if (s->first == NULL) {
        note_wait(s, now);
    }
}

/* It waits no more. The caller holds the share. */
static void share_leave(struct share *s, struct budget *gone)
{
    struct stoq_engine *e = s->engine;
    bool was_first = s->first == gone;
    struct budget **at = &s->first;
    while (*at != gone) {
        at = &(*at)->next;
    }
    *at = gone->next;
    if (gone->next == NULL) {
        s->last = at;
    }
    gone->waits = false;
    if (!was_first) {
        return;
    }
    stoq_qos_unwant(e->qos, s->flow);
    if (s->first == NULL) {
        note_wait(s, stoq_now());
    } else if (stoq_qos_want(e->qos, s->flow, s->first->bytes, stoq_now())) {
        share_granted(s, stoq_now());
    }
}

bool engine_budget_send(struct inbound *in, uint64_t bytes)
{
    struct budget *b = &in->budget;
    if (b->share == NULL) {
        const struct share want = {
            .dir = STOQ_QOS_UP, .priority = in->priority, .peer = in->peer, .id = in->id};
        b->serve = in;
        b->share = share_ref(in->engine, &want);
    }
    if (b->granted || b->share == NULL) {
        b->granted = false;
        return true;
    }
    return !b->waits && share_wait(b->share, b, bytes);
}

/* What a reply that waits has to send yet: this piece, and what is likely to follow. What has gone already
 * has no reply any more. */
static uint64_t left_of(const struct budget *b)
{
    const struct inbound *in = b->serve;
    uint64_t whole = in == NULL ? 0 : (uint64_t)in->chunk_count * QUEUE_CHUNK_BYTES;
    uint64_t left = in != NULL && whole > in->bytes_out ? whole - in->bytes_out : 0;
    left = left < QUEUE_REPLY_BYTES ? left : QUEUE_REPLY_BYTES;
    return left > b->bytes ? left : b->bytes;
}

stoq_ns engine_budget_queue(const struct stoq_engine *e, enum stoq_priority priority,
                            uint64_t *bytes)
{
    const struct stoq_qos_whose all = {.scope = STOQ_QOS_ALL};
    uint64_t rate = stoq_qos_rate(e->qos, STOQ_QOS_UP, &all);
    stoq_ns ns = stoq_qos_queue(e->qos, STOQ_QOS_UP, priority, bytes);
    uint64_t behind = 0;
    for (const struct share *s = e->shares; s != NULL && ns > 0; s = s->next) {
        bool counts = s->dir == STOQ_QOS_UP && s->priority != STOQ_PRIORITY_BACKGROUND;
        for (const struct budget *b = s->first; b != NULL && counts; b = b->next) {
            behind += left_of(b) - (b == s->first ? b->bytes : 0); /* which the core has counted */
        }
    }
    *bytes += behind;
    return ns == 0 ? 0 : ns + behind * 1000 / rate * STOQ_MS;
}

void engine_budget_end(struct inbound *in)
{
    struct budget *b = &in->budget;
    if (b->waits) {
        share_leave(b->share, b);
    }
    if (b->share != NULL) {
        share_unref(b->share);
        b->share = NULL;
    }
}

uint64_t engine_budget_cap(const struct inbound *in)
{
    uint64_t cap = stoq_qos_tightest(in->engine->qos, STOQ_QOS_UP, &in->peer->id, in->priority);
    return cap < STOQ_RESPONSE_CAP_MAX ? cap : STOQ_RESPONSE_CAP_MAX;
}

void engine_budget_ask(struct ask *a, const struct stoq_node_ask_chunks *want)
{
    const struct share of = {.dir = STOQ_QOS_DOWN,
                             .priority = want->priority,
                             .peer = a->peer,
                             .id = want->id,
                             .fetch = want->fetch};
    a->share = share_ref(a->engine, &of);
}

uint64_t engine_budget_ask_cap(const struct ask *a)
{
    bool is_told = a->has_reply && a->reply.type == STOQ_MSG_RESPONSE;
    uint64_t there = is_told ? a->reply.u.response.cap_bytes_per_s : 0;
    uint64_t here = a->share == NULL ? 0
                                     : stoq_qos_tightest(a->engine->qos, STOQ_QOS_DOWN,
                                                         &a->peer->id, a->share->priority);
    return here == 0 || (there != 0 && there < here) ? there : here;
}

void engine_budget_ask_meta(struct ask *a, const struct stoq_package_id *id)
{
    const struct share of = {.dir = STOQ_QOS_DOWN,
                             .is_meta = true,
                             .priority = STOQ_PRIORITY_INTERACTIVE,
                             .peer = a->peer,
                             .id = *id};
    a->share = share_ref(a->engine, &of);
}

/* Bytes that have gone already: others wait until the caps have room for them. */
static void owe(struct share *s, uint64_t bytes)
{
    struct debt *d = bytes > 0 ? calloc(1, sizeof *d) : NULL;
    if (d == NULL) {
        return;
    }
    d->budget.share = s;
    s->refs++;
    if (share_wait(s, &d->budget, bytes)) {
        debt_free(d);
    }
}

void engine_budget_took_meta(struct ask *a, uint64_t bytes)
{
    if (a->share != NULL && a->share->is_meta) {
        owe(a->share, bytes);
    }
}

bool engine_budget_meta(struct inbound *in, uint64_t bytes)
{
    struct budget *b = &in->budget;
    if (b->share == NULL) {
        const struct share want = {.dir = STOQ_QOS_UP,
                                   .is_meta = true,
                                   .priority = STOQ_PRIORITY_INTERACTIVE,
                                   .peer = in->peer,
                                   .id = in->id};
        b->serve = in;
        b->share = share_ref(in->engine, &want);
    }
    if (b->granted || b->share == NULL) {
        b->granted = false;
        return true;
    }
    if (b->share->first != NULL) {
        return !b->waits && share_wait(b->share, b, bytes);
    }
    owe(b->share, bytes);
    return true;
}

void engine_budget_received(struct ask *a, uint64_t bytes)
{
    struct stoq_engine *e = a->engine;
    struct share *s = a->share;
    struct debt *d = bytes > 0 && s != NULL ? calloc(1, sizeof *d) : NULL;
    if (d != NULL) {
        *d = (struct debt){.conn = a->conn, .stream = a->stream, .budget = {.share = s}};
        s->refs++;
        if (!share_wait(s, &d->budget, bytes)) {
            return;
        }
        debt_free(d);
    }
    stoq_net_consumed(e->net, a->conn, a->stream, bytes);
}

/* Debts of a stream, or of all of a connection's, are settled otherwise. The caller holds the share. */
static void forgive(struct share *s, stoq_net_conn conn, const stoq_net_stream *stream)
{
    for (struct budget *b = s->first, *next; b != NULL; b = next) {
        struct debt *d = (struct debt *)b;
        next = b->next;
        if (b->serve == NULL && d->conn == conn && (stream == NULL || d->stream == *stream)) {
            share_leave(s, b);
            debt_free(d);
            next = s->first; /* leaving may have let others go */
        }
    }
}

void engine_budget_stopped(struct ask *a)
{
    struct share *s = a->share;
    if (s != NULL) {
        s->refs++;
        forgive(s, a->conn, &a->stream);
        share_unref(s);
    }
}

void engine_budget_ask_end(struct ask *a)
{
    if (a->share != NULL) {
        share_unref(a->share);
        a->share = NULL;
    }
}

void engine_budget_conn_lost(struct stoq_engine *e, stoq_net_conn conn)
{
    struct share *next;
    for (struct share *s = e->shares; s != NULL; s = next) {
        s->refs++;
        if (s->dir == STOQ_QOS_DOWN) {
            forgive(s, conn, NULL);
        }
        next = s->next;
        share_unref(s);
    }
}

void engine_budget_close(struct stoq_engine *e)
{
    struct share *next;
    for (struct share *s = e->shares; s != NULL; s = next) {
        next = s->next;
        s->refs++;
        while (s->first != NULL) {
            debt_free((struct debt *)take_first(s)); /* replies have ended before */
        }
        STOQ_ASSERT(s->refs == 1);
        share_unref(s);
    }
    stoq_qos_free(e->qos);
    e->qos = NULL;
}

void engine_budget_run(struct stoq_engine *e, stoq_ns now)
{
    struct stoq_qos_grant g;
    while (stoq_qos_poll(e->qos, now, &g)) {
        struct share *s = g.user;
        s->refs++;
        share_granted(s, now);
        share_unref(s);
    }
}

void engine_budget_clock(struct stoq_engine *e, stoq_ns now)
{
    stoq_qos_local_time(e->qos, stoq_wall_minute(), now);
}

struct limit_call {
    const struct stoq_qos_whose *whose;
    const struct stoq_qos_window *window; /* or this one */
    const uint64_t *rate[STOQ_QOS_DIRS];
    enum stoq_status status;
};

static void set_limit(struct stoq_engine *e, void *arg)
{
    struct limit_call *c = arg;
    stoq_ns now = stoq_now();
    if (c->window != NULL) {
        c->status = stoq_qos_add_window(e->qos, c->window, now);
        return;
    }
    for (int dir = 0; dir < STOQ_QOS_DIRS && c->status == STOQ_OK; dir++) {
        if (c->rate[dir] != NULL) {
            c->status =
                stoq_qos_limit(e->qos, (enum stoq_qos_dir)dir, c->whose, *c->rate[dir], now);
        }
    }
}

enum stoq_status stoq_engine_limit(struct stoq_engine *e, const struct stoq_qos_whose *whose,
                                   const uint64_t *up, const uint64_t *down)
{
    struct limit_call c = {.whose = whose, .rate = {up, down}};
    engine_call(e, set_limit, &c);
    return c.status;
}

enum stoq_status stoq_engine_window(struct stoq_engine *e, const struct stoq_qos_window *window)
{
    struct limit_call c = {.window = window};
    engine_call(e, set_limit, &c);
    return c.status;
}

static void take_rates(const struct stoq_engine *e, struct stoq_engine_budget *out)
{
    struct stoq_peer_id id;
    for (int d = 0; d < STOQ_QOS_DIRS; d++) {
        enum stoq_qos_dir dir = (enum stoq_qos_dir)d;
        struct stoq_qos_whose whose = {.scope = STOQ_QOS_ALL};
        out->rate[dir] = stoq_qos_rate(e->qos, dir, &whose);
        whose.scope = STOQ_QOS_CLASS;
        for (int c = 0; c < STOQ_PRIORITIES; c++) {
            whose.priority = (enum stoq_priority)c;
            out->class_rate[dir][c] = stoq_qos_rate(e->qos, dir, &whose);
        }
    }
    for (size_t i = 0; stoq_qos_peer_at(e->qos, i, &id); i++) {
        struct stoq_qos_whose whose = {.scope = STOQ_QOS_PEER, .peer = &id};
        out->peers[i].peer = id;
        for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
            out->peers[i].rate[dir] = stoq_qos_rate(e->qos, (enum stoq_qos_dir)dir, &whose);
        }
        out->peer_count = i + 1;
    }
    while (out->window_count < STOQ_QOS_WINDOWS_MAX &&
           stoq_qos_window_at(e->qos, out->window_count, &out->windows[out->window_count],
                              &out->window_holds[out->window_count])) {
        out->window_count++;
    }
}

static void take_budget(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_budget *out = arg;
    stoq_ns now = stoq_now();
    take_rates(e, out);
    while (out->flow_count < STOQ_QOS_FLOWS_MAX &&
           stoq_qos_at(e->qos, out->flow_count, now, &out->flows[out->flow_count].view)) {
        struct stoq_engine_flow *f = &out->flows[out->flow_count++];
        for (const struct share *s = e->shares; s != NULL; s = s->next) {
            if (s->number == f->view.transfer) {
                f->id = s->id;
                f->fetch = s->fetch;
            }
        }
    }
}

void stoq_engine_budget(struct stoq_engine *e, struct stoq_engine_budget *out)
{
    *out = (struct stoq_engine_budget){0};
    engine_call(e, take_budget, out);
}
