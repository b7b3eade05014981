#include "node/node_internal.h"

struct source *fetch_source(struct fetch *f, stoq_peer peer)
{
    for (uint32_t i = 0; i < f->source_count; i++) {
        if (f->sources[i].peer == peer) {
            return &f->sources[i];
        }
    }
    return NULL;
}

void fetch_source_fail(struct fetch *f, struct source *s, enum stoq_status status)
{
    if (s->state == SOURCE_FAILED) {
        return;
    }
    s->state = SOURCE_FAILED;
    s->report.status = status;
    swarm_peer_gone(f, s);
    for (struct pending *p = f->node->pending_first; p != NULL; p = p->next) {
        if (p->fetch == f && p->peer == s->peer) {
            node_pending_cancel(f->node, p);
        }
    }
}

void fetch_source_lost(struct fetch *f, struct source *s, enum stoq_status status)
{
    struct link *l;
    bool again = s->state == SOURCE_USABLE && status != STOQ_PROOF && s->redials < REDIALS_MAX;
    if (!again) {
        fetch_source_fail(f, s, status);
        return;
    }
    s->redials++;
    swarm_peer_gone(f, s);
    s->state = SOURCE_WAITED;
    if (node_link_want(f->node, s->peer, &l) != STOQ_OK) {
        fetch_source_fail(f, s, STOQ_NOMEM);
    }
}

void fetch_source_ready(struct fetch *f, struct source *s, const struct link *l)
{
    stoq_ns now = f->node->now;
    s->state = SOURCE_USABLE;
    s->report.ready_at = s->report.ready_at == 0 ? now : s->report.ready_at;
    f->report.source_at = f->report.source_at == 0 ? now : f->report.source_at;
    if (s->report.step == STOQ_NODE_STEP_DIAL) {
        s->report.step = STOQ_NODE_STEP_HELLO;
    }
    meta_source_came(f, s->peer);
    if (l->hello == HELLO_KNOWN) {
        swarm_peer(f, s, l);
    }
}

/* It has nothing of the package, or had not, and there is nothing else against it. */
static bool lacks_it(const struct fetch *f, const struct source *s)
{
    struct stoq_swarm_peer_stats stats;
    if (s->state == SOURCE_FAILED) {
        return s->report.status == STOQ_NOTFOUND;
    }
    return s->in_swarm && s->last_status == STOQ_NOTFOUND &&
           stoq_swarm_peer_stats(f->swarm, s->peer, &stats) && !stats.usable;
}

static void revive(struct fetch *f, struct source *s, const struct link *l)
{
    s->revived++;
    s->again_at = 0;
    s->busy = 0;
    s->last_status = STOQ_OK;
    s->report.status = STOQ_OK;
    swarm_peer_gone(f, s);
    fetch_source_ready(f, s, l);
}

void fetch_source_asks(struct stoq_node *n, const struct link *l, const struct stoq_package_id *id)
{
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        bool is_ours = fetch_runs(f) && stoq_hash_eq(&f->package.h, &id->h);
        struct source *s = is_ours ? fetch_source(f, l->peer) : NULL;
        if (s != NULL && s->revived < REVIVED_MAX && l->up && lacks_it(f, s)) {
            revive(f, s, l);
        }
    }
}

void fetch_sources_again(struct fetch *f)
{
    stoq_ns now = f->node->now;
    for (uint32_t i = 0; i < f->source_count && !f->over; i++) {
        struct source *s = &f->sources[i];
        if (s->again_at > now || s->revived == REVIVED_MAX || !lacks_it(f, s)) {
            continue;
        }
        const struct link *l = node_link(f->node, s->peer);
        if (s->again_at != 0 && l != NULL && l->up) {
            revive(f, s, l);
        } else {
            s->again_at = now + (LACKED_RETRY << s->revived);
        }
    }
}

stoq_ns fetch_sources_deadline(const struct fetch *f)
{
    stoq_ns at = STOQ_NEVER;
    for (uint32_t i = 0; i < f->source_count; i++) {
        const struct source *s = &f->sources[i];
        stoq_ns due = s->state == SOURCE_USABLE && s->retry_at > f->node->now ? s->retry_at : at;
        at = due < at ? due : at;
        due = s->again_at > f->node->now && s->revived < REVIVED_MAX ? s->again_at : at;
        at = due < at ? due : at;
    }
    return at;
}

enum stoq_status fetch_source_add(struct fetch *f, stoq_peer peer)
{
    if (fetch_source(f, peer) != NULL) {
        return STOQ_OK;
    }
    if (f->source_count == STOQ_NODE_SOURCES_MAX) {
        return STOQ_FULL;
    }
    struct source *s = &f->sources[f->source_count++];
    *s = (struct source){.peer = peer, .report = {.peer = peer}};
    return f->waits ? STOQ_OK : fetch_source_begin(f, s);
}

enum stoq_status fetch_source_begin(struct fetch *f, struct source *s)
{
    struct link *l;
    stoq_peer peer = s->peer;
    enum stoq_status st =
        standing_is_cut(f->node, peer) ? STOQ_NET : node_link_want(f->node, peer, &l);
    if (st != STOQ_OK) {
        s->state = SOURCE_FAILED;
        s->report.status = st;
        return STOQ_OK; /* one source less; the fetch may live without it */
    }
    if (l->up) { /* say hello if nobody has, and begin */
        struct stoq_node_link ev = {.peer = peer, .rtt_ns = l->rtt_ns, .local = l->local};
        return node_link_up(f->node, &ev);
    }
    return STOQ_OK;
}

/* One that is being dialled and takes early data; NULL: none. */
static struct source *pick_early(struct fetch *f)
{
    for (uint32_t i = 0; i < f->source_count; i++) {
        struct source *s = &f->sources[i];
        const struct link *l = s->state == SOURCE_WAITED ? node_link(f->node, s->peer) : NULL;
        if (l != NULL && l->early) {
            return s;
        }
    }
    return NULL;
}

struct source *fetch_source_pick(struct fetch *f, bool *early)
{
    *early = false;
    for (uint32_t i = 0; i < f->source_count; i++) {
        struct source *s = &f->sources[(f->source_turn + i) % f->source_count];
        if (s->state == SOURCE_USABLE && s->retry_at <= f->node->now) {
            f->source_turn = (f->source_turn + i + 1) % f->source_count;
            return s;
        }
    }
    struct source *s = pick_early(f);
    *early = s != NULL;
    return s;
}

bool fetch_source_hope(const struct fetch *f)
{
    for (uint32_t i = 0; i < f->source_count; i++) {
        if (f->sources[i].state != SOURCE_FAILED) {
            return true;
        }
    }
    return false;
}

enum stoq_status fetch_verdict(const struct fetch *f)
{
    uint32_t not_found = 0;
    uint32_t timed_out = 0;
    for (uint32_t i = 0; i < f->source_count; i++) {
        const struct source *s = &f->sources[i];
        enum stoq_status st = s->report.status;
        if (st == STOQ_PROOF && s->report.step > STOQ_NODE_STEP_DIAL) {
            return STOQ_PROOF;
        }
        not_found += st == STOQ_NOTFOUND || s->said_missing;
        timed_out += st == STOQ_TIMEOUT;
    }
    if (f->source_count > 0 && not_found == f->source_count) {
        return STOQ_NOTFOUND;
    }
    return f->source_count > 0 && timed_out == f->source_count ? STOQ_TIMEOUT : STOQ_NET;
}
