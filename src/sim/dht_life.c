/*
 * Nodes. The first ones do not join one by one: each gets a table out of the true population, as one that
 * has been there for long has it, some candidates for every slot and its neighbours; what follows is the
 * protocol's own doing. Whoever comes later knows one node and joins by it. Where nodes are still nobody
 * comes later, and a core is made when it is needed.
 */
#include "hash/hash.h"
#include "sim/dht_internal.h"

#include <stdlib.h>

#define COME_WITHIN (180 * STOQ_SEC)
#define NEIGHBOURS 24 /* to either side, in the order of ids */
#define SYBIL_BITS 28 /* that a Sybil's id shares with the key it crowds */
#define SHOW_AFTER (10 * STOQ_SEC)

static struct sim_dht_node *node_new(struct sim_dht_world *w)
{
    if (w->node_count == w->node_cap) {
        w->node_cap =
            w->node_cap == 0 ? 16 : w->node_cap * 2; /* small worlds grow too: tests see it */
        w->nodes = realloc(w->nodes, w->node_cap * sizeof *w->nodes);
        STOQ_ASSERT(w->nodes != NULL);
    }
    uint32_t number = w->node_count++;
    struct sim_dht_node *n = &w->nodes[number];
    uint8_t name[12];
    stoq_le64_put(name, w->cfg.seed);
    stoq_le32_put(name + 8, number);
    *n = (struct sim_dht_node){.came_at = STOQ_NEVER, .left_at = STOQ_NEVER, .wake_at = STOQ_NEVER};
    stoq_hash_derive("stoq sim peer", stoq_span(name, sizeof name), n->peer.h.b,
                     sizeof n->peer.h.b);
    uint8_t others[8];
    stoq_le64_put(others, w->cfg.ids);
    n->id = stoq_hash_blake3_2(stoq_span(n->peer.h.b, sizeof n->peer.h.b),
                               stoq_span(others, w->cfg.ids == 0 ? 0 : sizeof others));
    n->prng = stoq_prng(stoq_le64(n->peer.h.b));
    n->region = (uint8_t)sim_region_draw(sim_dht_draw(w, number));
    uint64_t class_draw = sim_dht_draw(w, number);
    uint64_t rtt_draw = sim_dht_draw(w, number);
    n->line_rtt_ns = sim_line_draw(class_draw, rtt_draw, 0).rtt_ns;
    return n;
}

static void session(struct sim_dht_world *w, uint32_t node)
{
    stoq_ns stay = sim_law_draw(w->cfg.law, sim_dht_draw(w, node));
    if (stay != STOQ_NEVER) {
        sim_dht_put(w, w->now + stay, node, node, DHT_EV_LEAVE, 0);
    }
}

void sim_dht_core(struct sim_dht_world *w, uint32_t node, const struct stoq_hash *sweep_from)
{
    struct sim_dht_node *n = &w->nodes[node];
    struct stoq_dht_config cfg = {.book = w->book,
                                  .id = n->id,
                                  .self = n->contact,
                                  .peer = n->peer,
                                  .seed = sim_dht_draw(w, node),
                                  .wall_s = SIM_DHT_WALL_S,
                                  .sweep_from = *sweep_from,
                                  .shape = w->cfg.shape,
                                  .without = w->cfg.without};
    n->life++;
    enum stoq_status st = stoq_dht_new(&n->dht, &cfg);
    STOQ_ASSERT(st == STOQ_OK);
    struct stoq_dht_event clock = {.kind = STOQ_DHT_CLOCK};
    clock.u.clock.wall_s = SIM_DHT_WALL_S + w->now / STOQ_SEC;
    sim_dht_feed(w, node, &clock);
}

static void begin(struct sim_dht_world *w, uint32_t node)
{
    struct sim_dht_node *n = &w->nodes[node];
    /* Everybody has a subnet of his own: what the caps would count is always one, so nobody counts. */
    struct stoq_dht_about about = {.id = n->id, .data = (void *)((uintptr_t)node + 1)};
    enum stoq_status st = stoq_dht_book_add(w->book, &about, &n->contact);
    STOQ_ASSERT(st == STOQ_OK);
    n->came_at = w->now;
    n->has_joined = w->cfg.is_still;
    session(w, node);
}

static void meet(struct sim_dht_world *w, uint32_t node, uint32_t other)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_MET};
    if (node != other && w->nodes[other].contact != 0 && w->nodes[node].dht != NULL) {
        ev.u.met.contact = w->nodes[other].contact;
        ev.u.met.rtt_ns = sim_dht_rtt(w, node, other);
        sim_dht_feed(w, node, &ev);
    }
}

/* The first of the places at or behind a point. */
static uint32_t place_at(const struct sim_dht_place *v, uint32_t n, uint64_t at)
{
    uint32_t lo = 0;
    uint32_t hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v[mid].at < at) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static uint64_t first_bits(const struct stoq_hash *h)
{
    static const struct stoq_hash zero = {{0}};
    return stoq_dht_distance(h, &zero);
}

/* qsort's. */
static int by_place(const void *a, const void *b)
{
    const struct sim_dht_place *x = a;
    const struct sim_dht_place *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : (x->node < y->node ? -1 : 1);
}

/* Candidates for one slot: ids that begin with `prefix`, of `bits` bits. Returns how many there are. As many
 * are met as find a place and as many again, or the nearest by round trip of cfg.candidates times as many. */
static uint32_t meet_slot(struct sim_dht_world *w, uint32_t node, uint64_t prefix, unsigned bits)
{
    struct sim_dht_place pick[SIM_DHT_CANDIDATES_MAX * STOQ_DHT_K];
    uint32_t n = w->cfg.nodes;
    uint32_t slot = w->cfg.shape.slot == 0 ? STOQ_DHT_SLOT : w->cfg.shape.slot;
    uint32_t from = place_at(w->places, n, prefix);
    uint32_t end = place_at(w->places, n, prefix + (((uint64_t)1 << (64 - bits)) - 1));
    uint32_t count = end - from;
    uint32_t draws = slot * (w->cfg.candidates > 0 ? w->cfg.candidates : 2);
    uint32_t picked = 0;
    for (; picked < draws && picked < count; picked++) {
        uint32_t at = count <= draws ? picked : (uint32_t)(sim_dht_draw(w, node) % count);
        pick[picked] = (struct sim_dht_place){0, w->places[from + at].node};
        pick[picked].at = w->cfg.candidates > 0 ? sim_dht_rtt(w, node, pick[picked].node) : 0;
    }
    if (w->cfg.candidates > 0) {
        qsort(pick, picked, sizeof pick[0], by_place);
        picked = picked < slot ? picked : slot;
    }
    for (uint32_t i = 0; i < picked; i++) {
        meet(w, node, pick[i].node);
    }
    return count;
}

static void fill_table(struct sim_dht_world *w, uint32_t node)
{
    uint64_t own = first_bits(&w->nodes[node].id);
    unsigned step = w->cfg.shape.digit_bits == 0 ? 4 : w->cfg.shape.digit_bits;
    uint32_t at = place_at(w->places, w->cfg.nodes, own);
    uint32_t first = at < NEIGHBOURS ? 0 : at - NEIGHBOURS;
    for (uint32_t i = first; i < w->cfg.nodes && i <= at + NEIGHBOURS; i++) {
        meet(w, node, w->places[i].node);
    }
    uint32_t inside = w->cfg.nodes;
    for (unsigned level = 0; inside > NEIGHBOURS && level * step < 60; level++) {
        unsigned shift = 64 - (level + 1) * step;
        for (uint64_t digit = 0; digit < (uint64_t)1 << step; digit++) {
            uint64_t prefix = ((own >> shift) ^ digit) << shift;
            uint32_t n = digit == 0 ? 0 : meet_slot(w, node, prefix, (level + 1) * step);
            inside -= n < inside ? n : inside;
        }
    }
}

void sim_dht_populate(struct sim_dht_world *w)
{
    stoq_ns within = w->cfg.warm_ns / 5 < COME_WITHIN ? w->cfg.warm_ns / 5 : COME_WITHIN;
    bool poison = w->cfg.foe == SIM_DHT_FOE_POISON;
    w->places = sim_alloc(w->cfg.nodes, sizeof *w->places);
    for (uint32_t i = 0; i < w->cfg.nodes; i++) {
        struct sim_dht_node *n = node_new(w);
        n->is_foe = poison && sim_dht_draw(w, i) % 100 < w->cfg.foe_percent;
        w->places[i] = (struct sim_dht_place){first_bits(&n->id), i};
    }
    qsort(w->places, w->cfg.nodes, sizeof *w->places, by_place);
    for (uint32_t i = 0; i < w->cfg.nodes; i++) {
        begin(w, i);
        if (!w->cfg.is_still) {
            sim_dht_put(w, w->now + sim_dht_draw(w, i) % within, i, i, DHT_EV_JOIN, 0);
        }
    }
    sim_dht_rank_foes(w);
}

void sim_dht_need(struct sim_dht_world *w, uint32_t node)
{
    static const struct stoq_hash nowhere = {{0}};
    if (!w->nodes[node].is_ready) {
        w->nodes[node].is_ready = true;
        sim_dht_core(w, node, &nowhere);
        if (node < w->cfg.nodes) {
            fill_table(w, node);
        }
    }
}

void sim_dht_rank_foes(struct sim_dht_world *w)
{
    w->foes = realloc(w->foes, (w->node_count + 1) * sizeof *w->foes);
    STOQ_ASSERT(w->foes != NULL);
    w->foe_count = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (w->nodes[i].is_foe && sim_dht_is_here(&w->nodes[i])) {
            w->foes[w->foe_count++] = (struct sim_dht_place){first_bits(&w->nodes[i].id), i};
        }
    }
    qsort(w->foes, w->foe_count, sizeof *w->foes, by_place);
}

uint32_t sim_dht_some(struct sim_dht_world *w)
{
    for (;;) {
        uint32_t i = (uint32_t)sim_dht_any(w, w->node_count);
        if (sim_dht_is_here(&w->nodes[i]) && !w->nodes[i].is_foe) {
            return i;
        }
    }
}

void sim_dht_join(struct sim_dht_world *w, uint32_t node)
{
    if (!sim_dht_is_here(&w->nodes[node]) || w->nodes[node].has_joined) {
        return; /* its session was shorter than the wait, or it was needed before */
    }
    sim_dht_need(w, node);
    w->nodes[node].has_joined = true;
    if (node >= w->cfg.nodes) {
        meet(w, node, sim_dht_some(w));
    }
    if (w->nodes[node].is_foe) {
        sim_dht_put(w, w->now + SHOW_AFTER, node, node, DHT_EV_SHOW, 0);
    }
    sim_dht_drain(w, node);
}

static uint32_t come(struct sim_dht_world *w)
{
    (void)node_new(w);
    uint32_t node = w->node_count - 1;
    begin(w, node);
    sim_dht_put(w, w->now, node, node, DHT_EV_JOIN, 0);
    return node;
}

void sim_dht_leave(struct sim_dht_world *w, uint32_t node, bool is_replaced)
{
    struct sim_dht_node *n = &w->nodes[node];
    if (!sim_dht_is_here(n) || n->stays) {
        return;
    }
    bool was_foe = n->is_foe;
    n->left_at = w->now;
    if (is_replaced && w->cfg.is_returning) {
        sim_dht_put(w, w->now + sim_law_draw(w->cfg.law, sim_dht_draw(w, node)), node, node,
                    DHT_EV_RETURN, 0);
        return;
    }
    if (!w->cfg.is_still) { /* else its contact goes on being found in tables that are made later */
        stoq_dht_book_drop(w->book, n->contact);
        n->contact = 0;
    }
    stoq_dht_free(n->dht);
    n->dht = NULL;
    if (is_replaced) {
        uint32_t newcomer = come(w); /* the nodes may lie elsewhere after it */
        w->nodes[newcomer].is_foe = was_foe;
    }
    if (was_foe) {
        sim_dht_rank_foes(w);
    }
}

void sim_dht_return(struct sim_dht_world *w, uint32_t node)
{
    w->nodes[node].left_at = STOQ_NEVER;
    w->nodes[node].came_at = w->now;
    session(w, node);
    sim_dht_drain(w, node);
}

void sim_dht_add_sybils(struct sim_dht_world *w, const struct stoq_hash *key)
{
    for (uint32_t i = 0; i < w->cfg.sybils; i++) {
        struct sim_dht_node *n = node_new(w);
        uint32_t node = w->node_count - 1;
        for (unsigned bit = 0; bit < SYBIL_BITS; bit++) {
            uint8_t mask = (uint8_t)(0x80u >> (bit % 8));
            n->id.b[bit / 8] = (uint8_t)((n->id.b[bit / 8] & ~mask) | (key->b[bit / 8] & mask));
        }
        n->is_foe = true;
        begin(w, node);
        w->nodes[node].stays = true;
        sim_dht_put(w, w->now, node, node, DHT_EV_JOIN, 0);
    }
    sim_dht_rank_foes(w);
}

void sim_dht_life_release(struct sim_dht_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        stoq_dht_free(w->nodes[i].dht);
    }
    free(w->nodes);
    free(w->places);
    free(w->foes);
}
