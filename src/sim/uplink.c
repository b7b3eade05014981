/*
 * How a reply's bytes travel. An uplink sends one piece at a time, the connections that have something
 * to send in turn, on a capped one chunk by chunk; a connection's replies go one after the other, urgent
 * ones first. A piece takes its bytes by the rate of the uplink, half a round trip, waits its turn at the
 * downlink, takes its bytes by that rate, and is acknowledged half a round trip later. On an access line
 * the heads of its datagrams and its acknowledgements take their time too (cost.h), as does what belongs
 * to no reply: requests and handshakes.
 *
 *     queue of the connection --EV_UP--> path --EV_ARRIVE--> downlink --EV_DELIVER--> taken --EV_ACK-->
 *
 * A connection has no more bytes on their way than its window. The window doubles each round trip until
 * pieces wait at the downlink, then follows the wait: an eighth more a round trip under 10 ms, a
 * quarter less over 30 ms. That is what a delay-keeping congestion control comes to, seen from
 * afar; losses cost time (the piece comes again, and the later ones of its connection wait for it) and
 * not rate, as with BBR.
 */
#include "sim/sim_internal.h"

#include <stdlib.h>

struct sim_flow *sim_flow(const struct sim_world *w, uint32_t flow)
{
    return sim_pool_at(&w->flows, flow);
}

void sim_flow_free(struct sim_world *w, uint32_t flow)
{
    struct sim_flow *f = sim_flow(w, flow);
    stoq_buf_release(&f->payload);
    stoq_buf_release(&f->coded);
    free(f->item_what);
    free(f->item_bytes);
    sim_pool_give(&w->flows, flow);
}

static void flow_unref(struct sim_world *w, uint32_t flow)
{
    if (--sim_flow(w, flow)->refs == 0) {
        sim_flow_free(w, flow);
    }
}

void sim_piece_free(struct sim_world *w, uint32_t piece)
{
    const struct sim_piece *p = sim_pool_at(&w->pieces, piece);
    flow_unref(w, p->flow);
    sim_pool_give(&w->pieces, piece);
}

static struct stoq_map_key flow_key(const struct sim_flow *f)
{
    return (struct stoq_map_key){f->cookie, f->to};
}

/* ---- a connection's queue ---- */

static void queue_remove(struct sim_world *w, struct sim_link *l, uint32_t flow)
{
    uint32_t last = SIM_NONE;
    for (uint32_t at = l->first_flow; at != SIM_NONE; at = sim_flow(w, at)->next) {
        if (at == flow) {
            uint32_t next = sim_flow(w, at)->next;
            if (last == SIM_NONE) {
                l->first_flow = next;
            } else {
                sim_flow(w, last)->next = next;
            }
            l->last_flow = l->last_flow == flow ? last : l->last_flow;
            return;
        }
        last = at;
    }
}

static void queue_put(struct sim_world *w, struct sim_link *l, uint32_t flow)
{
    struct sim_flow *f = sim_flow(w, flow);
    f->next = SIM_NONE;
    if (f->is_urgent) {
        f->next = l->first_flow;
        l->first_flow = flow;
        l->last_flow = l->last_flow == SIM_NONE ? flow : l->last_flow;
    } else if (l->last_flow == SIM_NONE) {
        l->first_flow = flow;
        l->last_flow = flow;
    } else {
        sim_flow(w, l->last_flow)->next = flow;
        l->last_flow = flow;
    }
}

static bool may_send(const struct sim_world *w, const struct sim_link *l)
{
    if (l->first_flow == SIM_NONE) {
        return false;
    }
    const struct sim_flow *f = sim_flow(w, l->first_flow);
    bool is_stalled = w->nodes[l->owner].kind == SIM_STALL && sim_life_is_bad(w, l->owner);
    return f->is_urgent || (!is_stalled && l->flying < l->window);
}

/* Is a chunk under way, which a capped line sends to its end before another connection has its turn? */
static bool is_amid(const struct sim_world *w, const struct sim_link *l)
{
    const struct sim_flow *f = l->first_flow == SIM_NONE ? NULL : sim_flow(w, l->first_flow);
    return f != NULL && w->cfg.up_bytes_per_s != 0 && f->sent > f->item_up_from &&
           f->sent < f->item_up_end;
}

static void activate(struct sim_world *w, struct sim_link *l)
{
    struct sim_node *n = &w->nodes[l->owner];
    if (l->is_active || !may_send(w, l)) {
        return;
    }
    l->is_active = true;
    l->next_active = NULL;
    if (is_amid(w, l)) {
        l->next_active = n->active_first;
        n->active_first = l;
        n->active_last = n->active_last == NULL ? l : n->active_last;
        return;
    }
    if (n->active_last == NULL) {
        n->active_first = l;
    } else {
        n->active_last->next_active = l;
    }
    n->active_last = l;
}

static void deactivate(struct sim_node *n, const struct sim_link *l)
{
    struct sim_link *last = NULL;
    for (struct sim_link *at = n->active_first; at != NULL; at = at->next_active) {
        if (at == l) {
            if (last == NULL) {
                n->active_first = at->next_active;
            } else {
                last->next_active = at->next_active;
            }
            n->active_last = n->active_last == l ? last : n->active_last;
            return;
        }
        last = at;
    }
}

/* ---- the uplink ---- */

static stoq_ns time_for(uint64_t bytes, uint64_t rate_bytes_per_s)
{
    return bytes * STOQ_SEC / rate_bytes_per_s;
}

void sim_line_down(struct sim_world *w, uint32_t node, uint64_t bytes)
{
    struct sim_node *n = &w->nodes[node];
    if (w->cfg.down_bytes_per_s == 0) {
        stoq_ns begin = n->down_free_at > w->now ? n->down_free_at : w->now;
        n->down_free_at = begin + time_for(bytes, n->line.down_bytes_per_s);
    }
}

static uint64_t up_rate(const struct sim_world *w, uint32_t node)
{
    const struct sim_node *n = &w->nodes[node];
    uint64_t rate = n->line.up_bytes_per_s;
    if (n->kind == SIM_THROTTLE && sim_life_is_bad(w, node)) {
        rate = rate / 100 + 1;
    }
    return w->cfg.canary == SIM_CANARY_OVER_CAP ? rate + rate / 5 : rate;
}

/* The uplink sends these after what it sends already; when it has. */
static stoq_ns send_bytes(struct sim_world *w, uint32_t node, uint64_t bytes)
{
    struct sim_node *n = &w->nodes[node];
    stoq_ns begin = n->up_free_at > w->now ? n->up_free_at : w->now;
    n->up_free_at = begin + time_for(bytes, up_rate(w, node));
    return n->up_free_at;
}

void sim_line_up(struct sim_world *w, uint32_t node, uint64_t bytes)
{
    if (w->cfg.up_bytes_per_s == 0) {
        (void)send_bytes(w, node, bytes);
    }
}

/* What a piece is on the line, its datagrams' heads included; a cap counts the piece alone. */
static uint64_t bytes_up(const struct sim_world *w, const struct sim_piece *p)
{
    return w->cfg.up_bytes_per_s == 0 ? sim_cost_stream_there(p->bytes) : p->bytes;
}

static uint64_t bytes_down(const struct sim_world *w, const struct sim_piece *p)
{
    return w->cfg.down_bytes_per_s == 0 ? sim_cost_stream_there(p->bytes) : p->bytes;
}

/* Send the next piece, when none is being sent. */
static void pump(struct sim_world *w, uint32_t node)
{
    struct sim_node *n = &w->nodes[node];
    while (!n->is_sending && n->active_first != NULL) {
        struct sim_link *l = n->active_first;
        deactivate(n, l);
        l->is_active = false;
        if (!may_send(w, l)) {
            continue;
        }
        uint32_t flow = l->first_flow;
        struct sim_flow *f = sim_flow(w, flow);
        uint32_t piece = sim_pool_take(&w->pieces);
        struct sim_piece *p = sim_pool_at(&w->pieces, piece);
        uint64_t left = (f->item_up_end > 0 ? f->item_up_end : f->total) - f->sent;
        p->flow = flow;
        p->bytes = (uint32_t)(left < SIM_PIECE ? left : SIM_PIECE);
        f->refs++;
        f->sent += p->bytes;
        if (f->sent == f->item_up_end && f->item_up < f->item_count) {
            f->item_up_from = f->sent;
            f->item_up_end += f->item_bytes[f->item_up++];
        }
        l->flying += p->bytes;
        if (f->sent == f->total) {
            queue_remove(w, l, flow);
        }
        activate(w, l);
        n->is_sending = true;
        sim_put(w, send_bytes(w, node, bytes_up(w, p)), node, f->to, EV_UP, piece);
    }
}

void sim_uplink_queue(const struct sim_world *w, uint32_t node, uint64_t *bytes, stoq_ns *ns)
{
    const struct sim_node *n = &w->nodes[node];
    const struct sim_link *l;
    size_t at = 0;
    *bytes = 0;
    while (w->cfg.up_bytes_per_s != 0 && (l = stoq_map_next(&n->links, &at)) != NULL) {
        for (uint32_t at_flow = l->first_flow; at_flow != SIM_NONE;) {
            const struct sim_flow *f = sim_flow(w, at_flow);
            uint64_t left = f->total - f->sent;
            *bytes += left < SIM_QUEUE_REPLY ? left : SIM_QUEUE_REPLY;
            at_flow = f->next;
        }
    }
    *ns = time_for(*bytes, up_rate(w, node));
}

bool sim_flow_send(struct sim_world *w, uint32_t flow)
{
    struct sim_flow *f = sim_flow(w, flow);
    struct sim_node *n = &w->nodes[f->from];
    struct sim_link *l = sim_link(w, f->from, f->to);
    if (l == NULL) {
        sim_flow_free(w, flow);
        return false;
    }
    f->refs = 1;
    f->number = l->number;
    enum stoq_status st = stoq_map_put(&n->flows, flow_key(f), (void *)((uintptr_t)flow + 1));
    STOQ_ASSERT(st == STOQ_OK);
    queue_put(w, l, flow);
    activate(w, l);
    pump(w, f->from);
    return true;
}

static void tell_served(struct sim_world *w, const struct sim_flow *f, stoq_ns at)
{
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_letter *m = sim_pool_at(&w->letters, letter);
    m->stream = f->stream;
    m->bytes = f->taken;
    sim_put(w, at, f->from, f->to, EV_SERVED, letter);
}

void sim_flow_end(struct sim_world *w, uint32_t flow)
{
    struct sim_flow *f = sim_flow(w, flow);
    if (f->is_over) {
        return;
    }
    struct sim_link *l = sim_link(w, f->from, f->to);
    f->is_over = true;
    if (l != NULL && l->number == f->number) {
        queue_remove(w, l, flow);
    }
    (void)stoq_map_remove(&w->nodes[f->from].flows, flow_key(f));
    bool is_leaked = w->cfg.canary == SIM_CANARY_LEAK && w->seq % 16 == 0;
    if (f->is_serve && !is_leaked) {
        tell_served(w, f, w->now);
    }
    flow_unref(w, flow);
}

void sim_link_drop_flows(struct sim_world *w, struct sim_link *l)
{
    struct sim_node *n = &w->nodes[l->owner];
    size_t at = 0;
    uintptr_t number;
    while ((number = (uintptr_t)stoq_map_next(&n->flows, &at)) != 0) {
        if (sim_flow(w, (uint32_t)(number - 1))->to == l->peer) {
            sim_flow_end(w, (uint32_t)(number - 1));
            at = 0;
        }
    }
    if (l->is_active) {
        deactivate(n, l);
    }
}

/* ---- pieces on their way ---- */

/* A lost packet comes again after a round trip, and what follows waits. */
static stoq_ns loss_delay(struct sim_world *w, const struct sim_flow *f, const struct sim_piece *p)
{
    stoq_ns delay = 0;
    uint64_t packets = (p->bytes + SIM_PACKET - 1) / SIM_PACKET;
    while (w->cfg.loss_ppm > 0 && sim_draw(w, f->from) % 1000000 < packets * w->cfg.loss_ppm &&
           delay < 10 * STOQ_SEC) {
        delay += sim_path_rtt(w, f->from, f->to) + 5 * STOQ_MS;
        packets = 1;
    }
    return delay;
}

void sim_piece_up(struct sim_world *w, uint32_t node, uint32_t piece)
{
    struct sim_node *n = &w->nodes[node];
    const struct sim_piece *p = sim_pool_at(&w->pieces, piece);
    struct sim_flow *f = sim_flow(w, p->flow);
    struct sim_link *l = sim_link(w, node, f->to);
    n->is_sending = false;
    n->bytes_out += p->bytes;
    w->bytes_flying += p->bytes;
    sim_check_sent(w, node, p->bytes);
    stoq_ns at = w->now + sim_path_rtt(w, node, f->to) / 2;
    if (l != NULL && l->number == f->number) {
        at = sim_path_arrival(w, l) + loss_delay(w, f, p);
        l->arrives_at = at;
    }
    sim_put(w, at, f->to, node, EV_ARRIVE, piece);
    pump(w, node);
}

void sim_piece_arrive(struct sim_world *w, uint32_t node, uint32_t piece)
{
    struct sim_node *n = &w->nodes[node];
    struct sim_piece *p = sim_pool_at(&w->pieces, piece);
    stoq_ns begin = n->down_free_at > w->now ? n->down_free_at : w->now;
    p->waited = begin - w->now;
    n->down_free_at = begin + time_for(bytes_down(w, p), n->line.down_bytes_per_s);
    sim_put(w, n->down_free_at, node, sim_flow(w, p->flow)->from, EV_DELIVER, piece);
}

void sim_piece_deliver(struct sim_world *w, uint32_t node, uint32_t piece)
{
    struct sim_node *n = &w->nodes[node];
    struct sim_piece *p = sim_pool_at(&w->pieces, piece);
    struct sim_flow *f = sim_flow(w, p->flow);
    const struct sim_link *l = sim_link(w, node, f->from);
    w->bytes_flying -= p->bytes;
    if (l == NULL || l->number != f->number) {
        n->bytes_lost += p->bytes;
        sim_piece_free(w, piece);
        return;
    }
    bool is_miscounted = w->cfg.canary == SIM_CANARY_LOST_BYTES && w->seq % 1000 == 0;
    n->bytes_in += is_miscounted ? 2 * (uint64_t)p->bytes : p->bytes;
    sim_put(w, w->now + sim_path_rtt(w, node, f->from) / 2, f->from, node, EV_ACK, piece);
    sim_line_up(w, node, sim_cost_stream_back(p->bytes));
    if (f->taken == 0) {
        sim_line_down(w, node, sim_cost_answer_head());
    }
    f->taken += p->bytes;
    if (!f->is_over) {
        sim_take(w, node, f, p->bytes);
    }
}

static void follow_wait(struct sim_world *w, struct sim_link *l, const struct sim_piece *p)
{
    stoq_ns rtt = sim_path_rtt(w, l->owner, l->peer);
    if (p->waited >= SIM_QUEUE_HIGH && w->now - l->shrunk_at > rtt + p->waited) {
        l->window -= l->window / 4;
        l->window = l->window > SIM_WINDOW_FIRST ? l->window : SIM_WINDOW_FIRST;
        l->shrunk_at = w->now;
    }
    if (p->waited >= SIM_QUEUE_LOW) {
        l->is_slow_start = false;
        return;
    }
    /* Only a window that was used grows. */
    bool is_used = l->flying + 2 * (uint64_t)SIM_PIECE >= l->window;
    uint64_t more = l->is_slow_start ? p->bytes : p->bytes / 8;
    if (is_used && l->window < SIM_WINDOW_MAX) {
        l->window += more;
    }
}

void sim_piece_ack(struct sim_world *w, uint32_t node, uint32_t piece)
{
    const struct sim_piece *p = sim_pool_at(&w->pieces, piece);
    uint32_t flow = p->flow;
    struct sim_flow *f = sim_flow(w, flow);
    struct sim_link *l = sim_link(w, node, f->to);
    if (l != NULL && l->number == f->number) {
        sim_line_down(w, node, sim_cost_stream_back(p->bytes));
        follow_wait(w, l, p);
        l->flying -= p->bytes;
        activate(w, l);
        pump(w, node);
    }
    if (f->taken == f->total) {
        sim_flow_end(w, flow);
    }
    sim_piece_free(w, piece);
}
