/*
 * What nodes are and what becomes of them. Seeds are there from the start to the end; fetchers come,
 * fetch, and where a law of sessions says so leave and come back with their store as it was, as a daemon
 * does that is started again. Who dies says nothing to anybody: the others find out.
 */
#include "hash/hash.h"
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

bool sim_life_is_bad(const struct sim_world *w, uint32_t node)
{
    return w->nodes[node].kind != SIM_HONEST && w->now >= w->cfg.fault_at;
}

static void start(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    struct stoq_node_config cfg = {.agent = stoq_span_str("stoq-sim")};
    enum stoq_status st = stoq_node_new(&n->node, &cfg, sim_draw(w, node));
    STOQ_ASSERT(st == STOQ_OK);
    stoq_map_init(&n->links, w->cfg.seed);
    stoq_map_init(&n->asks, w->cfg.seed);
    stoq_map_init(&n->flows, w->cfg.seed);
    n->wake_at = STOQ_NEVER;
    n->is_here = true;
    n->cookie_last = 0;
}

static void stop(struct sim_world *w, uint32_t node, stoq_ns later)
{
    struct sim_node *n = &w->nodes[node];
    n->is_here = false;
    n->life++;
    sim_links_lose(w, node, later);
    size_t at = 0;
    struct sim_ask *a;
    while ((a = stoq_map_next(&n->asks, &at)) != NULL) {
        a->is_orphan = a->is_over;
        if (!a->is_over) {
            sim_ask_free(w, node, a);
        } else {
            (void)stoq_map_remove(&n->asks, (struct stoq_map_key){a->cookie, 0});
        }
        at = 0;
    }
    STOQ_ASSERT(n->flows.count == 0);
    stoq_node_free(n->node);
    n->node = NULL;
    n->serves = 0;
    free(n->bad_by); /* it knows nobody when it comes back */
    n->bad_by = NULL;
    n->active_first = NULL;
    n->active_last = NULL;
    stoq_map_release(&n->links);
    stoq_map_release(&n->asks);
    stoq_map_release(&n->flows);
}

static void begin_session(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    stoq_ns lasts = n->is_seed ? STOQ_NEVER : sim_law_draw(w->cfg.law, sim_draw(w, node));
    if (lasts != STOQ_NEVER) {
        sim_put(w, w->now + lasts, node, node, EV_LEAVE, n->life);
    }
}

static void make_line(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    uint64_t class_draw = sim_draw(w, node);
    uint64_t rtt_draw = sim_draw(w, node);
    n->region = sim_region_draw(sim_draw(w, node));
    n->line = sim_line_draw(n->is_seed ? 0 : class_draw, rtt_draw, sim_draw(w, node));
    if (w->cfg.up_bytes_per_s != 0) {
        n->line.up_bytes_per_s = w->cfg.up_bytes_per_s;
    }
    if (w->cfg.down_bytes_per_s != 0) {
        n->line.down_bytes_per_s = w->cfg.down_bytes_per_s;
    }
}

static void make_store(struct sim_world *w, struct sim_node *n)
{
    n->chunks = sim_alloc((w->package.chunks + 7) / 8, 1);
    n->lists = sim_alloc((w->package.shards + 7) / 8, 1);
    if (!n->is_seed) {
        return;
    }
    memset(n->chunks, 0xff, (w->package.chunks + 7) / 8);
    memset(n->lists, 0xff, (w->package.shards + 7) / 8);
    n->chunk_count = w->package.chunks;
    n->has_manifest = true;
    n->has_shard_list = true;
    n->has_record = true;
    n->is_done = true;
}

static bool is_source(const struct sim_node *n, uint32_t peer)
{
    for (uint32_t i = 0; i < n->source_count; i++) {
        if (n->sources[i] == peer) {
            return true;
        }
    }
    return false;
}

static void choose_sources(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    uint32_t others = w->node_count - 1;
    uint32_t want = w->cfg.neighbours == 0 ? STOQ_NODE_SOURCES_MAX : w->cfg.neighbours;
    want = want < others ? want : others;
    n->sources = sim_alloc(want, sizeof *n->sources);
    for (uint32_t i = 0; w->cfg.all_know_seeds && i < w->cfg.seeds && i < want; i++) {
        n->sources[n->source_count++] = i;
    }
    while (n->source_count < want) {
        uint32_t peer = (uint32_t)(sim_draw(w, node) % w->node_count);
        for (; peer == node || is_source(n, peer); peer = (peer + 1) % w->node_count) {
        }
        n->sources[n->source_count++] = peer;
    }
}

/* The last seeds are those that are not honest, by kind. */
static void choose_kinds(struct sim_world *w)
{
    uint32_t at = w->cfg.seeds;
    for (int kind = SIM_HONEST + 1; kind < SIM_KINDS; kind++) {
        for (uint32_t i = 0; i < w->cfg.kinds[kind]; i++) {
            at--;
            w->nodes[at].kind = (enum sim_kind)kind;
            if (kind == SIM_DIE) {
                sim_put(w, w->cfg.fault_at, at, at, EV_DIE, 0);
            }
        }
    }
}

void sim_life_make(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct sim_node *n = &w->nodes[i];
        n->is_seed = i < w->cfg.seeds;
        n->cap_at = w->now;
        make_line(w, i);
        make_store(w, n);
        start(w, i);
        if (n->is_seed) {
            continue;
        }
        choose_sources(w, i);
        stoq_ns wait = w->cfg.arrive_within_ns == 0 ? 0 : sim_draw(w, i) % w->cfg.arrive_within_ns;
        sim_put(w, w->now + wait, i, i, EV_BEGIN, n->life);
    }
    choose_kinds(w);
    if (w->cfg.curve_step != 0) {
        sim_put(w, w->now, 0, 0, EV_CURVE, 0);
    }
}

void sim_life_release(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct sim_node *n = &w->nodes[i];
        if (n->is_here) {
            stop(w, i, 0);
        }
        free(n->chunks);
        free(n->lists);
        free(n->sources);
    }
}

void sim_life_begin(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    if (!n->has_begun) {
        n->has_begun = true;
        n->began_at = w->now;
        begin_session(w, node);
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_FETCH,
                                 .u.fetch = {.fetch = SIM_FETCH,
                                             .id = w->package.id,
                                             .sources = n->sources,
                                             .source_count = n->source_count}};
    n->unsynced = 0;
    sim_feed(w, node, &ev);
}

void sim_life_leave(struct sim_world *w, uint32_t node)
{
    stop(w, node, 0);
    stoq_ns away = sim_law_draw(w->cfg.law, sim_draw(w, node));
    sim_put(w, w->now + away, node, node, EV_RETURN, 0);
}

void sim_life_return(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    start(w, node);
    begin_session(w, node);
    if (!n->is_done) {
        sim_life_begin(w, node);
    }
}

void sim_life_die(struct sim_world *w, uint32_t node)
{
    stop(w, node, SIM_IDLE);
}
