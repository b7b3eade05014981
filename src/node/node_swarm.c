/*
 * The swarm of a fetch: peers go in as they become usable, requests come out and become ASK_CHUNKS, what
 * became of each chunk goes back in. What the shards at hand want of it is said in node_window.c.
 */
#include "node/node_internal.h"

/* What the swarm cannot take in for want of memory would leave it waiting for ever. */
void swarm_tell(struct fetch *f, const struct stoq_swarm_event *ev)
{
    enum stoq_status st = stoq_swarm_feed(f->swarm, ev, f->node->now);
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

void swarm_moved(struct fetch *f)
{
    f->stuck_until = f->stuck ? f->node->now + STOQ_NODE_STUCK_TIMEOUT : 0;
}

void swarm_peer(struct fetch *f, struct source *s, const struct link *l)
{
    if (f->swarm == NULL || s->in_swarm) {
        return;
    }
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_PEER_ADD,
        .u.peer = {.peer = s->peer,
                   .rtt_ns = l->rtt_ns,
                   .local = l->local,
                   .weight = standing_weight(f->node, s->peer),
                   .ranges_max = l->said.ranges_max,
                   .chunks_max = standing_chunks_max(f->node, s->peer, l->said.chunks_max)}};
    enum stoq_status st = stoq_swarm_feed(f->swarm, &ev, f->node->now);
    if (st == STOQ_NOMEM) {
        fetch_end(f, st);
        return;
    }
    s->in_swarm = st == STOQ_OK;
    s->report.step = STOQ_NODE_STEP_CHUNKS;
    f->stuck = false;
}

void swarm_peer_gone(struct fetch *f, struct source *s)
{
    if (f->swarm != NULL && s->in_swarm) {
        struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_GONE, .u.peer = {.peer = s->peer}};
        swarm_tell(f, &ev);
        s->in_swarm = false;
    }
}

static enum stoq_node_why why_of(enum stoq_swarm_why why)
{
    switch (why) {
    case STOQ_SWARM_BAD_CHUNK:
        return STOQ_NODE_BAD_CHUNK;
    case STOQ_SWARM_BAD_REPLY:
        return STOQ_NODE_BAD_REPLY;
    default:
        return STOQ_NODE_STALLED;
    }
}

/* Fill in what the shell needs to check each chunk of a request. */
static bool request_chunks(struct fetch *f, struct pending *p,
                           const struct stoq_swarm_request *want)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < want->range_count; i++) {
        p->ranges[i] = want->ranges[i];
        for (uint32_t k = 0; k < want->ranges[i].count; k++) {
            uint64_t chunk = want->ranges[i].first + k;
            struct shard *s = window_find_chunk(f, chunk);
            if (s == NULL || s->list == NULL || at == want->chunk_count) {
                return false;
            }
            p->chunks[at++] = window_chunk_at(s, (uint32_t)(chunk - s->first_chunk));
        }
    }
    return at == want->chunk_count;
}

static enum stoq_status request(struct fetch *f, const struct stoq_swarm_request *want)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_CHUNKS, f);
    if (p == NULL) {
        return STOQ_NOMEM;
    }
    p->peer = want->peer;
    p->swarm_cookie = want->cookie;
    p->chunk_count = want->chunk_count;
    p->chunks = stoq_alloc(&n->cfg.alloc, want->chunk_count, sizeof *p->chunks);
    p->ranges = stoq_alloc(&n->cfg.alloc, want->range_count, sizeof *p->ranges);
    if (p->chunks == NULL || p->ranges == NULL) {
        node_pending_close(n, p);
        return STOQ_NOMEM;
    }
    STOQ_ASSERT(request_chunks(f, p, want)); /* the swarm knows only what the window gave it */
    struct out *o = node_out(n, STOQ_NODE_ASK_CHUNKS);
    if (o == NULL) {
        node_pending_close(n, p);
        return STOQ_NOMEM;
    }
    o->action.u.ask_chunks = (struct stoq_node_ask_chunks){.peer = want->peer,
                                                           .cookie = p->cookie,
                                                           .id = f->package,
                                                           .ranges = p->ranges,
                                                           .range_count = want->range_count,
                                                           .chunks = p->chunks,
                                                           .chunk_count = want->chunk_count,
                                                           .bytes = want->bytes,
                                                           .want_proofs = n->cfg.want_proofs,
                                                           .fetch = f->id,
                                                           .priority = f->priority};
    return STOQ_OK;
}

static void cancel(struct fetch *f, stoq_swarm_cookie cookie)
{
    for (struct pending *p = f->node->pending_first; p != NULL; p = p->next) {
        if (p->fetch == f && p->kind == PENDING_CHUNKS && p->swarm_cookie == cookie) {
            node_pending_cancel(f->node, p);
            return;
        }
    }
}

static void charge(struct fetch *f, const struct stoq_swarm_charge *c)
{
    bool grave = c->why != STOQ_SWARM_STALLED;
    node_charge(f->node, c->peer, why_of(c->why), grave);
    struct source *s = fetch_source(f, c->peer);
    if (grave && s != NULL) {
        s->in_swarm = false; /* it has dropped the peer itself */
        fetch_source_fail(f, s, c->why == STOQ_SWARM_BAD_CHUNK ? STOQ_PROOF : STOQ_MALFORMED);
    }
}

static bool may_get_more(const struct source *s)
{
    return s->in_swarm && s->said_missing && !s->said_damaged;
}

/* Nobody in the swarm can supply what is wanted. Those that it gave up have failed; those that only lack
 * chunks may be fetching them themselves, and are asked again until nothing has come for a while. */
static void stuck(struct fetch *f)
{
    bool may_help = false;
    for (uint32_t i = 0; i < f->source_count && !f->over; i++) {
        struct source *s = &f->sources[i];
        struct stoq_swarm_peer_stats stats;
        if (s->in_swarm && stoq_swarm_peer_stats(f->swarm, s->peer, &stats) && !stats.usable) {
            fetch_source_fail(f, s, s->last_status == STOQ_OK ? STOQ_TIMEOUT : s->last_status);
        }
        may_help = may_help || may_get_more(s);
    }
    if (f->stuck_until == 0) {
        f->stuck_until = f->node->now + STOQ_NODE_STUCK_TIMEOUT;
    }
    f->stuck = true;
    f->look_at = f->node->now + (may_help ? LOOK_AGAIN : 0);
}

bool swarm_look_again(struct fetch *f)
{
    bool may_help = false;
    f->look_at = f->node->now + LOOK_AGAIN;
    for (uint32_t i = 0; i < f->source_count && !f->over; i++) {
        struct source *s = &f->sources[i];
        const struct link *l = node_link(f->node, s->peer);
        bool is_mapped = s->is_partial && s->in_swarm; /* its map is asked for anyway */
        if (may_get_more(s) && l != NULL && !is_mapped) {
            swarm_peer_gone(f, s);
            swarm_peer(f, s, l);
        }
        may_help = may_help || may_get_more(s);
    }
    return may_help;
}

static void swarm_act(struct fetch *f, const struct stoq_swarm_action *a)
{
    enum stoq_status st = STOQ_OK;
    switch (a->kind) {
    case STOQ_SWARM_REQUEST:
        st = request(f, &a->u.request);
        break;
    case STOQ_SWARM_CANCEL:
        cancel(f, a->u.cancel.cookie);
        break;
    case STOQ_SWARM_CHARGE:
        charge(f, &a->u.charge);
        break;
    case STOQ_SWARM_NEED_MORE:
        break; /* the window is filled after every event anyway */
    case STOQ_SWARM_DONE:
        f->swarm_done = true;
        break;
    case STOQ_SWARM_STUCK:
        stuck(f);
        break;
    }
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

void swarm_drive(struct fetch *f)
{
    struct stoq_swarm_action a;
    while (!f->over && stoq_swarm_poll(f->swarm, f->node->now, &a)) {
        swarm_act(f, &a);
    }
}

/* True: it is here for the first time. */
static bool count_chunk(struct fetch *f, struct pending *p, const struct stoq_node_chunk *c,
                        struct shard *s)
{
    struct source *src = fetch_source(f, p->peer);
    uint32_t i = (uint32_t)(c->index - s->first_chunk);
    uint32_t bytes = window_chunk_at(s, i).bytes;
    if (node_bit(s->got, i) || i < s->lo || i >= s->hi) {
        f->report.bytes_duplicate += bytes;
        return false;
    }
    node_bit_set(s->got, i);
    s->left--;
    f->report.chunks_from_peers++;
    f->report.bytes_from_peers += bytes;
    f->report.bytes_new += c->is_new ? bytes : 0;
    swarm_moved(f);
    if (src != NULL) {
        src->last_status = STOQ_OK;
        src->busy = 0; /* it may lack a list yet, and be worth asking again */
        src->report.chunks++;
        src->report.bytes += bytes;
    }
    return true;
}

void swarm_chunk(struct fetch *f, struct pending *p, const struct stoq_node_chunk *c)
{
    struct source *src = fetch_source(f, p->peer);
    f->report.bytes_wire += c->wire_bytes;
    if (src != NULL) {
        src->report.wire_bytes += c->wire_bytes;
        src->said_missing = src->said_missing || c->status == STOQ_NOTFOUND;
        src->said_damaged = src->said_damaged || c->damaged;
    }
    struct stoq_swarm_event ev = {
        .u.chunk = {
            .cookie = p->swarm_cookie, .index = c->index, .bytes = c->wire_bytes, .peer = p->peer}};
    struct shard *s = window_find_chunk(f, c->index);
    bool is_first = false;
    switch (c->status) {
    case STOQ_OK:
        ev.kind = STOQ_SWARM_CHUNK_OK;
        if (s != NULL && s->list != NULL) {
            is_first = count_chunk(f, p, c, s);
        } else {
            f->report.bytes_duplicate += c->wire_bytes;
        }
        break;
    case STOQ_PROOF:
        ev.kind = STOQ_SWARM_CHUNK_BAD;
        break;
    case STOQ_NOTFOUND:
        ev.kind = STOQ_SWARM_CHUNK_MISSING;
        if (src != NULL) {
            have_missing(f, src, s);
        }
        break;
    default:
        fetch_end(f, c->status);
        return;
    }
    if (is_first) {
        share_arrived(s, (uint32_t)(c->index - s->first_chunk));
    }
    swarm_tell(f, &ev);
    if (is_first && s->left == 0 && !f->over) {
        window_leave(s);
    }
}

void swarm_ended(struct fetch *f, struct pending *p, enum stoq_status status)
{
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_REQUEST_ENDED,
        .u.ended = {.cookie = p->swarm_cookie,
                    .status = p->cancelled && status != STOQ_OK ? STOQ_CANCELLED : status}};
    struct source *s = fetch_source(f, p->peer);
    if (s != NULL && s->report.status == STOQ_OK && status == STOQ_NOTFOUND) {
        s->said_missing = true;
    }
    if (s != NULL && status != STOQ_OK && !p->cancelled) {
        s->last_status = status;
    }
    swarm_tell(f, &ev);
}

void swarm_progress(struct fetch *f, struct pending *p, const struct stoq_node_progress *ev)
{
    struct stoq_swarm_event moved = {.kind = STOQ_SWARM_PROGRESS,
                                     .u.progress = {.cookie = p->swarm_cookie,
                                                    .bytes = ev->bytes,
                                                    .cap_bytes_per_s = ev->cap_bytes_per_s}};
    swarm_tell(f, &moved);
}
