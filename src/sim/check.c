/*
 * The checkers. They look at what the world knows and the nodes do not, and keep accounts of their own:
 * what is stored was true, cookies are new, what one sends another gets or it is counted as lost,
 * nobody sends more than its line carries, a package is recorded when all of it is durable, a fetch that
 * says it is complete is, and when all is quiet no node believes that something is under way.
 */
#include "sim/sim_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define CAP_STRETCH (10 * STOQ_SEC)

void sim_fault(struct sim_world *w, const char *fmt, ...)
{
    struct sim_result *r = w->result;
    if (r->faults++ > 0) {
        return;
    }
    va_list ap;
    char text[SIM_FAULT_TEXT_MAX - 24];
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)snprintf(r->fault, sizeof r->fault, "at %llu ms: %s",
                   (unsigned long long)(w->now / STOQ_MS), text);
}

void sim_check_stored(struct sim_world *w, uint32_t node, uint64_t chunk, bool is_true)
{
    if (!is_true) {
        sim_fault(w, "node %u stored chunk %llu, which is not what it should be", node,
                  (unsigned long long)chunk);
    }
}

void sim_check_cookie(struct sim_world *w, uint32_t node, stoq_node_cookie cookie)
{
    struct sim_node *n = &w->nodes[node];
    if (cookie == 0 || cookie <= n->cookie_last) {
        sim_fault(w, "node %u used cookie %llu again", node, (unsigned long long)cookie);
    }
    n->cookie_last = cookie;
}

void sim_check_sent(struct sim_world *w, uint32_t node, uint64_t bytes)
{
    struct sim_node *n = &w->nodes[node];
    if (w->now - n->cap_at >= CAP_STRETCH) {
        n->cap_bytes = 0;
        n->cap_at = w->now;
    }
    n->cap_bytes += bytes;
    uint64_t most = n->line.up_bytes_per_s / 1000 * ((w->now - n->cap_at) / STOQ_MS + 1);
    if (n->cap_bytes > most + most / 20 + 2 * (uint64_t)SIM_PIECE) {
        sim_fault(w, "node %u sent %llu bytes in %llu ms", node, (unsigned long long)n->cap_bytes,
                  (unsigned long long)((w->now - n->cap_at) / STOQ_MS));
    }
}

void sim_check_bad(struct sim_world *w, uint32_t node, uint32_t peer)
{
    struct sim_node *n = &w->nodes[node];
    struct sim_result *r = w->result;
    if (n->bad_by == NULL) {
        n->bad_by = sim_alloc(w->node_count, sizeof *n->bad_by);
    }
    n->bad_by[peer]++;
    r->bad_chunks++;
    r->bad_of_one_max = n->bad_by[peer] > r->bad_of_one_max ? n->bad_by[peer] : r->bad_of_one_max;
}

void sim_check_record(struct sim_world *w, uint32_t node)
{
    const struct sim_node *n = &w->nodes[node];
    if (n->unsynced > 0) {
        sim_fault(w, "node %u recorded a package of which %u records may be lost", node,
                  n->unsynced);
    }
}

void sim_check_done(struct sim_world *w, uint32_t node, const struct stoq_node_report *r)
{
    const struct sim_node *n = &w->nodes[node];
    const struct sim_package *p = &w->package;
    if (n->chunk_count != p->chunks || !n->has_record || !n->has_manifest || !n->has_shard_list) {
        sim_fault(w, "node %u says it is complete and has %u of %u chunks", node, n->chunk_count,
                  p->chunks);
    }
    uint64_t bytes = r->bytes_had + r->bytes_from_peers + r->bytes_shared;
    if (r->bytes != p->bytes || bytes != p->bytes) {
        sim_fault(w, "node %u accounts for %llu of %llu bytes", node, (unsigned long long)bytes,
                  (unsigned long long)p->bytes);
    }
}

/* A node that is here and has nothing to do holds nothing. */
static void check_quiet(struct sim_world *w, uint32_t node)
{
    const struct sim_node *n = &w->nodes[node];
    struct stoq_node_stats stats;
    stoq_node_stats(n->node, &stats);
    bool is_stalled = n->kind == SIM_STALL;
    if (stats.fetches > 0) {
        sim_fault(w, "node %u is still fetching", node);
    }
    if (stats.serves > n->flows.count || (stats.serves > 0 && !is_stalled)) {
        sim_fault(w, "node %u believes that %u replies are under way, and %zu are", node,
                  stats.serves, n->flows.count);
    }
    if (n->asks.count > 0 && !is_stalled) {
        sim_fault(w, "node %u has %zu requests that never ended", node, n->asks.count);
    }
}

void sim_check_end(struct sim_world *w)
{
    uint64_t out = 0;
    uint64_t in = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct sim_node *n = &w->nodes[i];
        out += n->bytes_out;
        in += n->bytes_in + n->bytes_lost;
        if (w->left == 0 && n->is_here) {
            check_quiet(w, i);
        }
    }
    if (w->left > 0) {
        sim_fault(w, "%u fetches are not over", w->left);
    }
    in += w->bytes_flying;
    if (out != in) {
        sim_fault(w, "%llu bytes were sent, and %llu came, are lost or on their way",
                  (unsigned long long)out, (unsigned long long)in);
    }
}

/* Kumar and Ross: no faster than a seed sends one copy, the slowest takes one, all together send what
 * all want. Not for nodes that come and go. */
stoq_ns sim_fluid(const struct sim_world *w)
{
    uint64_t seeds = 0;
    uint64_t all = 0;
    uint64_t down = UINT64_MAX;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct sim_node *n = &w->nodes[i];
        bool helps = n->kind == SIM_HONEST;
        all += helps ? n->line.up_bytes_per_s : 0;
        seeds += helps && n->is_seed ? n->line.up_bytes_per_s : 0;
        if (!n->is_seed && n->line.down_bytes_per_s < down) {
            down = n->line.down_bytes_per_s;
        }
    }
    uint64_t slowest = seeds < down ? seeds : down;
    if (w->cfg.law != SIM_LAW_ALWAYS || slowest == 0) {
        return 0;
    }
    stoq_ns one = w->package.bytes * 1000000 / slowest * 1000;
    stoq_ns many = w->package.bytes * w->cfg.fetchers / (all / 1000000 + 1) * 1000;
    return one > many ? one : many;
}
