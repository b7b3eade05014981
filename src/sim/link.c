/*
 * Connections. What a dial takes is in cost.h: processor time at both ends, one thing after the other, round
 * trips until the one that dialled may ask, half a one more until the other end is told, and bytes on both
 * lines. The node's Hello is a request like any other. Both ends are made when the first packet arrives.
 * What goes over a connection arrives in the order in which it was sent.
 */
#include "hash/hash.h"
#include "sim/sim_internal.h"

#include <stdlib.h>

struct sim_link *sim_link(const struct sim_world *w, uint32_t node, uint32_t peer)
{
    return stoq_map_get(&w->nodes[node].links, (struct stoq_map_key){peer, 0});
}

stoq_ns sim_path_rtt(const struct sim_world *w, uint32_t a, uint32_t b)
{
    if (w->cfg.rtt_ns != 0) {
        return w->cfg.rtt_ns;
    }
    const struct sim_node *x = &w->nodes[a];
    const struct sim_node *y = &w->nodes[b];
    uint64_t pair = a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
    return sim_region_rtt(x->region, y->region, sim_mix(w->cfg.seed ^ pair)) + x->line.rtt_ns +
           y->line.rtt_ns;
}

stoq_ns sim_work(struct sim_world *w, uint32_t node, stoq_ns ns)
{
    struct sim_node *n = &w->nodes[node];
    stoq_ns begin = n->cpu_free_at > w->now ? n->cpu_free_at : w->now;
    n->cpu_free_at = begin + ns;
    return n->cpu_free_at;
}

static bool is_cut(const struct sim_world *w, uint32_t a, uint32_t b)
{
    bool is_time = w->cfg.partition_for != 0 && w->now >= w->cfg.partition_at &&
                   w->now < w->cfg.partition_at + w->cfg.partition_for;
    return is_time &&
           (w->nodes[a].region < SIM_REGIONS / 2) != (w->nodes[b].region < SIM_REGIONS / 2);
}

/* What is sent into a partition arrives when it is over, a round trip later. */
stoq_ns sim_path_arrival(struct sim_world *w, struct sim_link *l)
{
    stoq_ns rtt = sim_path_rtt(w, l->owner, l->peer);
    stoq_ns at = w->now + rtt / 2;
    if (w->cfg.rtt_ns == 0) {
        at += sim_draw(w, l->owner) % (rtt / 256 + 1); /* jitter */
    }
    if (is_cut(w, l->owner, l->peer)) {
        at = w->cfg.partition_at + w->cfg.partition_for + rtt;
    }
    l->arrives_at = at > l->arrives_at ? at : l->arrives_at;
    return l->arrives_at;
}

static void tell_up(struct sim_world *w, uint32_t node, struct sim_link *l)
{
    struct stoq_hash name = {{0}};
    stoq_le64_put(name.b, sim_mix(l->peer + 1));
    stoq_le32_put(name.b + 8, l->peer);
    struct stoq_peer_id id = {name};
    uint8_t ip[16] = {0x2a};
    stoq_le32_put(ip + 2, l->peer); /* a /48 of its own */
    struct stoq_node_event who = {.kind = STOQ_NODE_PEER,
                                  .u.peer = {.peer = l->peer, .id = &id, .ip = ip}};
    struct stoq_node_event up = {
        .kind = STOQ_NODE_LINK_UP,
        .u.link = {.peer = l->peer, .rtt_ns = sim_path_rtt(w, node, l->peer)}};
    l->is_told = true;
    sim_feed(w, node, &who);
    sim_feed(w, node, &up);
}

void sim_dial(struct sim_world *w, uint32_t node, const struct stoq_node_dial *dial)
{
    struct sim_link *l = sim_link(w, node, dial->peer);
    if (l != NULL) {
        if (l->is_told) {
            tell_up(w, node, l);
        }
        return; /* else it will be */
    }
    const struct sim_node *to = &w->nodes[dial->peer];
    bool is_deaf = !to->is_here || (w->cfg.nat && !to->line.is_public && !to->is_seed) ||
                   is_cut(w, node, dial->peer);
    if (is_deaf) {
        sim_put(w, w->now + dial->timeout_ns, node, dial->peer, EV_FAILED, 0);
        return;
    }
    struct sim_cost cost = sim_cost_dial(w->cfg.dial);
    stoq_ns ready = sim_work(w, node, sim_cost_cpu(&cost, false));
    sim_line_up(w, node, sim_cost_line_bytes(&cost.asker));
    sim_put(w, ready + sim_path_rtt(w, node, dial->peer) / 2, dial->peer, node, EV_DIALLED, 0);
}

static struct sim_link *link_new(struct sim_world *w, uint32_t node, uint32_t peer, uint32_t number,
                                 bool is_inbound)
{
    struct sim_link *l = sim_alloc(1, sizeof *l);
    *l = (struct sim_link){.owner = node,
                           .peer = peer,
                           .number = number,
                           .is_inbound = is_inbound,
                           .is_slow_start = true,
                           .window = SIM_WINDOW_FIRST,
                           .first_flow = SIM_NONE,
                           .last_flow = SIM_NONE};
    enum stoq_status st = stoq_map_put(&w->nodes[node].links, (struct stoq_map_key){peer, 0}, l);
    STOQ_ASSERT(st == STOQ_OK);
    return l;
}

void sim_dialled(struct sim_world *w, uint32_t node, uint32_t from)
{
    struct sim_cost cost = sim_cost_dial(w->cfg.dial);
    stoq_ns rtt = sim_path_rtt(w, node, from);
    if (!w->nodes[node].is_here || !w->nodes[from].is_here) {
        sim_put(w, w->now + STOQ_NODE_DIAL_TIMEOUT, from, node, EV_FAILED, 0);
        return;
    }
    struct sim_link *l = sim_link(w, node, from);
    struct sim_link *other = sim_link(w, from, node);
    if (l != NULL && other != NULL && l->number == other->number) {
        sim_put(w, w->now + rtt / 2, from, node, EV_LINKED, l->number);
        return;
    }
    if (l != NULL) {
        sim_link_down(w, node, from, l->number); /* the other end has begun anew */
    }
    if (other != NULL) {
        sim_put(w, w->now + STOQ_NODE_DIAL_TIMEOUT, from, node, EV_FAILED, 0);
        return; /* it has not noticed yet */
    }
    uint32_t number = ++w->connections;
    (void)link_new(w, from, node, number, false);
    (void)link_new(w, node, from, number, true);
    sim_line_down(w, node, sim_cost_line_bytes(&cost.asker));
    sim_line_up(w, node, sim_cost_line_bytes(&cost.asked));
    stoq_ns open = sim_work(w, node, sim_cost_cpu(&cost, true)) + rtt * cost.rtt_percent / 100 -
                   rtt / 2; /* that long the first packet took */
    sim_put(w, open, from, node, EV_LINKED, number);
    sim_put(w, open + rtt / 2, node, from, EV_LINKED, number);
}

void sim_linked(struct sim_world *w, uint32_t node, uint32_t peer, uint32_t number)
{
    struct sim_link *l = sim_link(w, node, peer);
    if (l == NULL || l->number != number) {
        return;
    }
    if (!l->is_inbound && !l->is_told) {
        struct sim_cost cost = sim_cost_dial(w->cfg.dial);
        sim_line_down(w, node, sim_cost_line_bytes(&cost.asked));
    }
    tell_up(w, node, l);
}

/* Requests of this node to the peer are over; those that are answered with CLOSE come now. */
static void lose_asks(struct sim_world *w, uint32_t node, uint32_t peer)
{
    struct sim_node *n = &w->nodes[node];
    size_t at = 0;
    struct sim_ask *a;
    while ((a = stoq_map_next(&n->asks, &at)) != NULL) {
        if (a->peer == peer && !a->is_over) {
            sim_ask_over(w, node, a, STOQ_NET, w->now);
        }
    }
}

static void link_free(struct sim_world *w, struct sim_link *l)
{
    sim_link_drop_flows(w, l);
    (void)stoq_map_remove(&w->nodes[l->owner].links, (struct stoq_map_key){l->peer, 0});
    free(l);
}

void sim_link_down(struct sim_world *w, uint32_t node, uint32_t peer, uint32_t number)
{
    struct sim_link *l = sim_link(w, node, peer);
    if (l == NULL || l->number != number) {
        return;
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_LINK_DOWN,
                                 .u.link = {.peer = peer, .status = STOQ_NET}};
    bool is_news = l->is_told || !l->is_inbound;
    link_free(w, l);
    lose_asks(w, node, peer);
    if (is_news) {
        sim_feed(w, node, &ev);
    }
}

void sim_link_close(struct sim_world *w, uint32_t node, uint32_t peer)
{
    const struct sim_link *l = sim_link(w, node, peer);
    if (l != NULL) {
        uint32_t number = l->number;
        sim_put(w, w->now + sim_path_rtt(w, node, peer) / 2, peer, node, EV_DOWN, number);
        sim_link_down(w, node, peer, number);
    }
}

void sim_links_lose(struct sim_world *w, uint32_t node, stoq_ns later)
{
    struct sim_node *n = &w->nodes[node];
    size_t at = 0;
    struct sim_link *l;
    while ((l = stoq_map_next(&n->links, &at)) != NULL) {
        stoq_ns known = later > 0 ? later : sim_path_rtt(w, node, l->peer) / 2;
        sim_put(w, w->now + known, l->peer, node, EV_DOWN, l->number);
        link_free(w, l);
        at = 0;
    }
}
