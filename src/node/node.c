/*
 * The node: events in, actions out. A walk through a fetch:
 *
 *     FETCH  ->  LOAD_META manifest, DIAL each source
 *     LINK_UP  ->  ASK Hello;  LOADED nothing  ->  ASK manifest  ->  id = BLAKE3(manifest)?  SAVE_META
 *     LOAD_META shard list, else ASK  ->  root fits?  SAVE_META
 *     per shard, a window ahead: LOAD_META chunk list, else ASK  ->  shard root fits?  CHECK_HAVE  ->  swarm
 *     swarm: ASK_CHUNKS from whom it pleases;  CHUNK, CHUNK, ...  ASK_ENDED
 *     all here  ->  SYNC  ->  SAVE_PACKAGE  ->  DONE
 *
 * After every event each fetch is driven: it does what has become possible. So there is one place that
 * decides to go on, and events only note what happened.
 */
#include "node/node_internal.h"

enum stoq_status stoq_node_new(struct stoq_node **out, const struct stoq_node_config *cfg,
                               uint64_t seed)
{
    struct stoq_node *n = stoq_alloc(&cfg->alloc, 1, sizeof *n);
    if (n == NULL) {
        return STOQ_NOMEM;
    }
    n->cfg = *cfg;
    if (n->cfg.agent.n == 0) {
        n->cfg.agent = stoq_span_str("stoq");
    }
    n->prng = stoq_prng(seed);
    n->out_last = &n->out_first;
    stoq_map_init(&n->pending, stoq_prng_next(&n->prng));
    stoq_map_init(&n->links, stoq_prng_next(&n->prng));
    stoq_map_init(&n->wants, stoq_prng_next(&n->prng));
    enum stoq_status st = standing_init(n, seed);
    if (st != STOQ_OK) {
        stoq_free(&cfg->alloc, n);
        return st;
    }
    *out = n;
    return STOQ_OK;
}

void stoq_node_free(struct stoq_node *n)
{
    if (n == NULL) {
        return;
    }
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        f->over = true;
        f->done_owed = false;
    }
    fetch_free_over(n);
    while (n->pending_first != NULL) {
        node_pending_close(n, n->pending_first);
    }
    struct stoq_node_action a;
    while (node_out_pop(n, &a)) {
    }
    size_t at = 0;
    struct link *l;
    while ((l = stoq_map_next(&n->links, &at)) != NULL) {
        stoq_free(&n->cfg.alloc, l);
    }
    stoq_map_release(&n->links);
    standing_release(n);
    stoq_free(&n->cfg.alloc, n->spread);
    stoq_map_release(&n->wants);
    stoq_map_release(&n->pending);
    struct stoq_alloc alloc = n->cfg.alloc;
    stoq_free(&alloc, n);
}

static void closed(struct stoq_node *n, const struct stoq_node_event *ev, struct pending *p)
{
    switch (ev->kind) {
    case STOQ_NODE_REPLY:
        if (p->kind == PENDING_HELLO) {
            node_link_hello_reply(n, p, &ev->u.reply);
        } else if (p->fetch != NULL) {
            meta_reply(n, p, &ev->u.reply);
        }
        break;
    case STOQ_NODE_ASK_ENDED:
        if (p->fetch != NULL) {
            swarm_ended(p->fetch, p, ev->u.ended.status);
        }
        break;
    case STOQ_NODE_LOADED:
        if (p->fetch != NULL) {
            meta_loaded(n, p, &ev->u.loaded);
        }
        break;
    case STOQ_NODE_HAVE:
        if (p->fetch != NULL) {
            window_have(p->fetch, p, ev->u.have.bits);
        }
        break;
    default:
        if (p->fetch != NULL) {
            fetch_saved(p->fetch, p, ev->u.ended.status);
        }
        break;
    }
    node_pending_close(n, p);
}

static stoq_node_cookie closing_cookie(const struct stoq_node_event *ev, enum pending_kind *kind,
                                       enum pending_kind *other)
{
    switch (ev->kind) {
    case STOQ_NODE_REPLY:
        *kind = PENDING_HELLO;
        *other = PENDING_META;
        return ev->u.reply.cookie;
    case STOQ_NODE_ASK_ENDED:
        *kind = *other = PENDING_CHUNKS;
        return ev->u.ended.cookie;
    case STOQ_NODE_LOADED:
        *kind = *other = PENDING_LOAD;
        return ev->u.loaded.cookie;
    case STOQ_NODE_HAVE:
        *kind = *other = PENDING_HAVE;
        return ev->u.have.cookie;
    default:
        *kind = *other = PENDING_SAVE;
        return ev->u.ended.cookie;
    }
}

static void feed_closing(struct stoq_node *n, const struct stoq_node_event *ev)
{
    enum pending_kind kind;
    enum pending_kind other;
    struct pending *p = node_pending_find(n, closing_cookie(ev, &kind, &other));
    if (p != NULL && (p->kind == kind || p->kind == other)) {
        closed(n, ev, p);
    }
}

static void feed_chunk(struct stoq_node *n, const struct stoq_node_chunk *c)
{
    struct pending *p = node_pending_find(n, c->cookie);
    if (p != NULL && p->kind == PENDING_CHUNKS && p->fetch != NULL && p->fetch->swarm != NULL) {
        swarm_chunk(p->fetch, p, c);
    }
}

static void feed_progress(struct stoq_node *n, const struct stoq_node_progress *g)
{
    struct pending *p = node_pending_find(n, g->cookie);
    if (p != NULL && p->kind == PENDING_CHUNKS && p->fetch != NULL && p->fetch->swarm != NULL) {
        swarm_progress(p->fetch, p, g);
    }
}

static enum stoq_status feed_user(struct stoq_node *n, const struct stoq_node_event *ev)
{
    struct fetch *f;
    switch (ev->kind) {
    case STOQ_NODE_FETCH:
        return fetch_begin(n, &ev->u.fetch);
    case STOQ_NODE_ADD_SOURCE:
        f = fetch_find(n, ev->u.source.fetch);
        return f == NULL ? STOQ_OK : fetch_source_add(f, ev->u.source.peer);
    case STOQ_NODE_NO_MORE:
        f = fetch_find(n, ev->u.stop.fetch);
        if (f != NULL) {
            f->more = false;
        }
        return STOQ_OK;
    case STOQ_NODE_WANT:
        f = fetch_find(n, ev->u.want.fetch);
        if (f != NULL && f->until < ev->u.want.until) {
            f->until = ev->u.want.until;
        }
        return STOQ_OK;
    default:
        f = fetch_find(n, ev->u.stop.fetch);
        if (f != NULL) {
            fetch_end(f, STOQ_CANCELLED);
        }
        return STOQ_OK;
    }
}

static enum stoq_status dispatch(struct stoq_node *n, const struct stoq_node_event *ev)
{
    switch (ev->kind) {
    case STOQ_NODE_FETCH:
    case STOQ_NODE_ADD_SOURCE:
    case STOQ_NODE_NO_MORE:
    case STOQ_NODE_WANT:
    case STOQ_NODE_STOP:
        return feed_user(n, ev);
    case STOQ_NODE_PEER:
    case STOQ_NODE_TRUST:
    case STOQ_NODE_PLACE:
    case STOQ_NODE_RTT:
        break; /* standing_event has it */
    case STOQ_NODE_LINK_EARLY:
        node_link_early(n, &ev->u.link);
        break;
    case STOQ_NODE_LINK_UP:
        return node_link_up(n, &ev->u.link);
    case STOQ_NODE_LINK_DOWN:
        node_link_down(n, &ev->u.link);
        break;
    case STOQ_NODE_REPLY:
    case STOQ_NODE_ASK_ENDED:
    case STOQ_NODE_LOADED:
    case STOQ_NODE_HAVE:
    case STOQ_NODE_SAVED:
        feed_closing(n, ev);
        break;
    case STOQ_NODE_CHUNK:
        feed_chunk(n, &ev->u.chunk);
        break;
    case STOQ_NODE_PROGRESS:
        feed_progress(n, &ev->u.progress);
        break;
    case STOQ_NODE_INBOUND:
        serve_inbound(n, &ev->u.inbound);
        break;
    case STOQ_NODE_INBOUND_BAD:
        serve_bad(n, &ev->u.bad);
        break;
    case STOQ_NODE_SERVED:
        serve_done(n, &ev->u.served);
        break;
    }
    return STOQ_OK;
}

static void drive(struct stoq_node *n)
{
    do {
        n->drive_again = false;
        queue_drive(n);
        for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
            fetch_drive(f);
        }
    } while (n->drive_again);
    fetch_free_over(n);
}

enum stoq_status stoq_node_feed(struct stoq_node *n, const struct stoq_node_event *ev, stoq_ns now)
{
    n->now = now;
    standing_event(n, ev);
    enum stoq_status st = dispatch(n, ev);
    drive(n);
    return st;
}

static void time_out(struct stoq_node *n)
{
    for (struct pending *p = n->pending_first; p != NULL; p = p->next) {
        if (p->deadline <= n->now) {
            p->timed_out = true;
            node_pending_cancel(n, p);
        } else if (p->other_at <= n->now) {
            p->other_at = STOQ_NEVER;
            if (p->fetch != NULL) {
                meta_ask_other(p->fetch, p);
            }
        }
    }
}

bool stoq_node_poll(struct stoq_node *n, stoq_ns now, struct stoq_node_action *out)
{
    n->now = now;
    bool more = node_out_pop(n, out);
    if (!more) {
        time_out(n);
        for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
            fetch_late(f);
        }
        drive(n);
        more = node_out_pop(n, out);
    }
    if (more) {
        standing_action(n, out);
    }
    return more;
}

stoq_ns stoq_node_deadline(const struct stoq_node *n)
{
    stoq_ns at = n->retry_at > n->now ? n->retry_at : STOQ_NEVER;
    for (const struct pending *p = n->pending_first; p != NULL; p = p->next) {
        at = p->deadline < at ? p->deadline : at;
        at = p->other_at < at ? p->other_at : at;
    }
    for (const struct fetch *f = n->fetches; f != NULL; f = f->next) {
        stoq_ns mine = fetch_deadline(f);
        at = mine < at ? mine : at;
    }
    return at;
}

bool stoq_node_fetch_progress(const struct stoq_node *n, stoq_fetch_id fetch,
                              struct stoq_node_fetch_progress *out)
{
    const struct fetch *f = fetch_find(n, fetch);
    if (f == NULL) {
        return false;
    }
    static const enum stoq_node_step steps[] = {
        [STEP_MANIFEST] = STOQ_NODE_STEP_MANIFEST, [STEP_SHARD_LIST] = STOQ_NODE_STEP_SHARD_LIST,
        [STEP_CHUNKS] = STOQ_NODE_STEP_CHUNKS,     [STEP_SYNC] = STOQ_NODE_STEP_CHUNKS,
        [STEP_RECORD] = STOQ_NODE_STEP_CHUNKS,
    };
    *out = (struct stoq_node_fetch_progress){
        .step = steps[f->step],
        .bytes_total = f->root.bytes == 0 ? 0 : f->end - f->first,
        .bytes_done = f->report.bytes_had + f->report.bytes_from_peers + f->report.bytes_shared,
        .bytes_from_peers = f->report.bytes_from_peers,
        .waits = f->waits,
    };
    for (uint32_t i = 0; i < f->source_count; i++) {
        struct stoq_swarm_peer_stats stats;
        out->sources += f->sources[i].state == SOURCE_USABLE;
        if (f->swarm != NULL && stoq_swarm_peer_stats(f->swarm, f->sources[i].peer, &stats)) {
            out->rate_bytes_per_s += stats.rate_bytes_per_s;
        }
    }
    return true;
}

bool stoq_node_fetch_ready(const struct stoq_node *n, stoq_fetch_id fetch, uint64_t *out)
{
    struct fetch *f = fetch_find(n, fetch);
    if (f == NULL || f->step < STEP_CHUNKS) {
        return false;
    }
    *out = window_ready(f);
    return true;
}

void stoq_node_stats(const struct stoq_node *n, struct stoq_node_stats *out)
{
    *out = (struct stoq_node_stats){.fetches = n->fetch_count,
                                    .links = (uint32_t)n->links.count,
                                    .serves = n->serves,
                                    .requests_served = n->requests_served,
                                    .requests_refused = n->requests_refused,
                                    .requests_malformed = n->requests_malformed,
                                    .bytes_served = n->bytes_served};
}

bool stoq_node_peer_hello(const struct stoq_node *n, stoq_peer peer, struct stoq_msg_hello *out)
{
    const struct link *l = stoq_map_get(&n->links, (struct stoq_map_key){peer, 0});
    if (l == NULL || l->hello != HELLO_KNOWN) {
        return false;
    }
    *out = l->said;
    return true;
}

struct stoq_node_event stoq_node_closing(const struct stoq_node_reply *reply, bool wants_chunks)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_ASK_ENDED,
                                 .u.ended = {reply->cookie, reply->status}};
    if (!wants_chunks) {
        return (struct stoq_node_event){.kind = STOQ_NODE_REPLY, .u.reply = *reply};
    }
    if (reply->status == STOQ_OK && reply->msg != NULL && reply->msg->type == STOQ_MSG_ERROR) {
        ev.u.ended.status = stoq_error_code_status(reply->msg->u.error.code);
    }
    return ev;
}
