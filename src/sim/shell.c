/*
 * What a daemon's engine does, without a world: a node's actions become messages, replies, dials and
 * answers of its store.
 */
#include "sim/sim_internal.h"

#include <stdlib.h>

void sim_feed(struct sim_world *w, uint32_t node, const struct stoq_node_event *ev)
{
    struct sim_node *n = &w->nodes[node];
    if (n->node == NULL) {
        return;
    }
    n->is_fed = true;
    enum stoq_status st = stoq_node_feed(n->node, ev, w->now);
    if (st != STOQ_OK) {
        sim_fault(w, "node %u refused event %d: %s", node, (int)ev->kind, stoq_status_str(st));
    }
}

/* ---- the store's answers ---- */

static struct sim_store_job *job_new(struct sim_world *w, uint32_t node,
                                     enum stoq_node_event_kind kind, stoq_node_cookie cookie,
                                     stoq_ns takes)
{
    uint32_t handle = sim_pool_take(&w->jobs);
    struct sim_store_job *j = sim_pool_at(&w->jobs, handle);
    sim_check_cookie(w, node, cookie);
    j->life = w->nodes[node].life;
    j->kind = kind;
    j->cookie = cookie;
    sim_put(w, w->now + takes, node, node, EV_STORE, handle);
    return j;
}

void sim_store_job_free(struct sim_world *w, uint32_t job)
{
    struct sim_store_job *j = sim_pool_at(&w->jobs, job);
    free(j->bits);
    sim_pool_give(&w->jobs, job);
}

void sim_store_answer(struct sim_world *w, uint32_t node, uint32_t job)
{
    const struct sim_store_job *j = sim_pool_at(&w->jobs, job);
    struct stoq_node_event ev = {.kind = j->kind};
    switch (j->kind) {
    case STOQ_NODE_LOADED:
        ev.u.loaded = (struct stoq_node_loaded){j->cookie, j->status, j->bytes};
        break;
    case STOQ_NODE_HAVE:
        ev.u.have = (struct stoq_node_have){j->cookie, j->bits};
        break;
    default:
        ev.u.ended = (struct stoq_node_ended){j->cookie, j->status};
        break;
    }
    if (j->life == w->nodes[node].life) {
        sim_feed(w, node, &ev);
    }
    sim_store_job_free(w, job);
}

static void load(struct sim_world *w, uint32_t node, const struct stoq_node_meta *m)
{
    const struct sim_node *n = &w->nodes[node];
    const struct sim_package *p = &w->package;
    struct sim_store_job *j = job_new(w, node, STOQ_NODE_LOADED, m->cookie, SIM_LOAD);
    uint32_t shard;
    j->status = STOQ_NOTFOUND;
    switch (m->kind) {
    case STOQ_META_MANIFEST:
        j->bytes = stoq_buf_span(&p->manifest);
        j->status = n->has_manifest ? STOQ_OK : STOQ_NOTFOUND;
        break;
    case STOQ_META_SHARD_LIST:
        j->bytes = stoq_buf_span(&p->shard_list);
        j->status = n->has_shard_list ? STOQ_OK : STOQ_NOTFOUND;
        break;
    case STOQ_META_CHUNK_LISTS:
        shard = sim_package_find(p, &m->key);
        if (shard < p->shards && sim_bit(n->lists, shard)) {
            j->bytes = stoq_buf_span(&p->lists[shard]);
            j->status = STOQ_OK;
        }
        break;
    default:
        break; /* nobody has signed it */
    }
}

static void save(struct sim_world *w, uint32_t node, const struct stoq_node_meta *m)
{
    struct sim_node *n = &w->nodes[node];
    uint32_t shard;
    (void)job_new(w, node, STOQ_NODE_SAVED, m->cookie, SIM_STORE);
    n->unsynced++;
    switch (m->kind) {
    case STOQ_META_MANIFEST:
        n->has_manifest = true;
        break;
    case STOQ_META_SHARD_LIST:
        n->has_shard_list = true;
        break;
    case STOQ_META_CHUNK_LISTS:
        shard = sim_package_find(&w->package, &m->key);
        if (shard < w->package.shards) {
            sim_bit_set(n->lists, shard);
        }
        break;
    default:
        break;
    }
}

static void check_have(struct sim_world *w, uint32_t node, const struct stoq_node_check *c)
{
    const struct sim_node *n = &w->nodes[node];
    struct sim_store_job *j = job_new(w, node, STOQ_NODE_HAVE, c->cookie, SIM_STORE);
    j->bits = sim_alloc((c->chunk_count + 7) / 8, 1);
    for (uint32_t i = 0; i < c->chunk_count; i++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(c->chunk_list, i);
        uint32_t number = sim_package_find(&w->package, &chunk.hash);
        if (number < w->package.chunks && sim_bit(n->chunks, number)) {
            sim_bit_set(j->bits, i);
        }
    }
}

/* ---- actions ---- */

static void done(struct sim_world *w, uint32_t node, const struct stoq_node_report *r)
{
    struct sim_node *n = &w->nodes[node];
    w->result->bytes_duplicate += r->bytes_duplicate;
    if (r->status != STOQ_OK) {
        sim_put(w, w->now + SIM_RESTART, node, node, EV_BEGIN, n->life);
        return;
    }
    sim_check_done(w, node, r);
    n->is_done = true;
    n->ended_in = w->now - n->began_at;
    w->result->last_at = w->now;
    w->left--;
    if (w->left + 1 == w->cfg.fetchers) {
        for (uint32_t i = 0; i < w->node_count; i++) {
            w->nodes[i].served_early = w->nodes[i].serves > 0 ? 1 : 0;
        }
    }
}

static void act_store(struct sim_world *w, uint32_t node, const struct stoq_node_action *a)
{
    struct sim_node *n = &w->nodes[node];
    switch (a->kind) {
    case STOQ_NODE_LOAD_META:
        load(w, node, &a->u.meta);
        break;
    case STOQ_NODE_SAVE_META:
        save(w, node, &a->u.meta);
        break;
    case STOQ_NODE_CHECK_HAVE:
        check_have(w, node, &a->u.check);
        break;
    case STOQ_NODE_SYNC:
        n->unsynced = w->cfg.canary == SIM_CANARY_EARLY ? n->unsynced : 0;
        (void)job_new(w, node, STOQ_NODE_SAVED, a->u.sync.cookie, SIM_SYNC);
        break;
    default:
        sim_check_record(w, node);
        n->has_record = true;
        (void)job_new(w, node, STOQ_NODE_SAVED, a->u.package.cookie, SIM_SYNC);
        break;
    }
}

static void act(struct sim_world *w, uint32_t node, const struct stoq_node_action *a)
{
    switch (a->kind) {
    case STOQ_NODE_DIAL:
        sim_dial(w, node, &a->u.dial);
        break;
    case STOQ_NODE_ASK:
        sim_ask_send(w, node, &a->u.ask);
        break;
    case STOQ_NODE_ASK_CHUNKS:
        sim_ask_chunks(w, node, &a->u.ask_chunks);
        break;
    case STOQ_NODE_CANCEL:
        sim_ask_cancel(w, node, &a->u.cancel);
        break;
    case STOQ_NODE_DONE:
        done(w, node, a->u.done.report);
        break;
    case STOQ_NODE_CHARGE:
        w->result->charges++;
        break;
    case STOQ_NODE_CLOSE:
        sim_link_close(w, node, a->u.close.peer);
        break;
    case STOQ_NODE_SEND:
        sim_serve_send(w, node, &a->u.send);
        break;
    case STOQ_NODE_SERVE_META:
        sim_serve_meta(w, node, &a->u.serve);
        break;
    case STOQ_NODE_SERVE_CHUNKS:
        sim_serve_chunks(w, node, &a->u.serve);
        break;
    default:
        act_store(w, node, a);
        break;
    }
}

void sim_drain(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    struct stoq_node_action a;
    uint32_t steps = 0;
    if (!n->is_fed) {
        return; /* it has decided all there is */
    }
    while (n->node != NULL && stoq_node_poll(n->node, w->now, &a)) {
        STOQ_ASSERT(++steps < 1000000);
        sim_note(w, a.kind, node);
        act(w, node, &a);
    }
    n->is_fed = false;
    if (n->node == NULL) {
        return;
    }
    stoq_ns at = stoq_node_deadline(n->node);
    if (at != STOQ_NEVER) {
        at = at > w->now ? at : w->now + 1000;
    }
    if (at < n->wake_at) {
        n->wake_at = at;
        sim_put(w, at, node, node, EV_DEADLINE, n->life);
    }
}
