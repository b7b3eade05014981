/*
 * One node with very many packages: how many lookups it takes to announce them all, what a kill in the middle
 * costs, and whether what it keeps itself is what somebody would say who sees every node. Its shell is the
 * daemon's: the cursor of the sweep and the table are saved once a minute, a start reads them and announces
 * everything that is here.
 */
#include "hash/hash.h"
#include "sim/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_MAX 2048

static void make_keys(struct sim_dht_world *w)
{
    uint8_t name[12];
    w->bulk.keys = sim_alloc(w->cfg.packages, sizeof *w->bulk.keys);
    for (uint32_t i = 0; i < w->cfg.packages; i++) {
        struct stoq_hash *key = &w->bulk.keys[i];
        stoq_le64_put(name, w->cfg.seed);
        stoq_le32_put(name + 8, i);
        stoq_hash_derive("stoq sim package", stoq_span(name, sizeof name), key->b, sizeof key->b);
    }
}

static void announce_all(struct sim_dht_world *w)
{
    for (uint32_t i = 0; i < w->cfg.packages; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = w->bulk.keys[i];
        sim_dht_feed(w, w->bulk.node, &ev);
    }
    sim_dht_drain(w, w->bulk.node);
}

void sim_dht_bulk(struct sim_dht_world *w)
{
    w->bulk.node = sim_dht_some(w);
    w->bulk.done = sim_alloc(w->cfg.packages, 1);
    make_keys(w);
    w->bulk.began_at = w->now;
    w->nodes[w->bulk.node].stays = true;
    sim_dht_need(w, w->bulk.node);
    sim_dht_join(w, w->bulk.node);
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[w->bulk.node].dht, &s);
    w->bulk.lookups_before = s.lookups;
    announce_all(w);
    sim_dht_put(w, w->now + STOQ_SEC, w->bulk.node, w->bulk.node, DHT_EV_BULK_STEP, 0);
}

/* Those that were there go in as hints, as out of the daemon's file. */
static void start_again(struct sim_dht_world *w)
{
    struct sim_dht_bulk *b = &w->bulk;
    struct sim_dht_node *n = &w->nodes[b->node];
    stoq_contact_no kept[TABLE_MAX];
    struct stoq_dht_contact c;
    uint32_t count = 0;
    for (size_t at = 0; count < TABLE_MAX && stoq_dht_at(n->dht, at, w->now, &c); at++) {
        stoq_dht_book_hold(w->book, c.contact);
        kept[count++] = c.contact;
    }
    stoq_dht_free(n->dht);
    sim_dht_core(w, b->node, &b->saved_at);
    for (uint32_t i = 0; i < count; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_HINT, .u.met = {.contact = kept[i]}};
        sim_dht_feed(w, b->node, &ev);
        stoq_dht_book_drop(w->book, kept[i]);
    }
    sim_dht_drain(w, b->node);
    announce_all(w);
}

/* Is it held by enough? */
static bool is_held(const struct sim_dht_world *w, uint32_t i)
{
    struct stoq_dht_announced a;
    return stoq_dht_own(w->nodes[w->bulk.node].dht, &w->bulk.keys[i], w->now, &a) && a.enough;
}

/* Of those that were held before the kill, how many are again. */
static uint32_t held_again(const struct sim_dht_world *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; w->bulk.kills > 0 && i < w->cfg.packages; i++) {
        n += w->bulk.done[i] != 0 && is_held(w, i);
    }
    return n;
}

/* Is a record kept here exactly where we are one of the K nearest of all? */
static uint32_t kept_rightly(struct sim_dht_world *w)
{
    uint32_t k = w->cfg.shape.k == 0 ? STOQ_DHT_K : w->cfg.shape.k;
    const struct sim_dht_node *self = &w->nodes[w->bulk.node];
    uint32_t right = 0;
    for (uint32_t i = 0; i < w->cfg.packages; i++) {
        const struct stoq_hash *key = &w->bulk.keys[i];
        uint32_t nearer = 0;
        for (uint32_t n = 0; n < w->node_count; n++) {
            nearer += sim_dht_is_here(&w->nodes[n]) && n != w->bulk.node &&
                      stoq_dht_nearer(key, &w->nodes[n].id, &self->id) < 0;
        }
        right += (nearer < k) == (stoq_dht_count(self->dht, key, w->now) == 1);
    }
    return right;
}

void sim_dht_bulk_step(struct sim_dht_world *w)
{
    struct sim_dht_bulk *b = &w->bulk;
    struct sim_dht_result *r = w->result;
    struct stoq_dht_stats s;
    stoq_dht_stats(w->nodes[b->node].dht, &s);
    uint32_t held = s.own_held;
    uint32_t again = held_again(w);
    if (w->now - b->began_at >= (b->saves + 1) * w->cfg.save_ns) {
        b->saves++;
        b->saved_at = s.sweep_at;
    }
    /* Held before the kill, or since: the sweep has been everywhere, but for those that are tried again. */
    uint32_t everywhere = b->kills == 0 ? held : r->bulk_at_kill + held - again;
    uint32_t rest = w->cfg.packages - r->bulk_at_kill;
    if (b->kills > 0 && r->bulk_again == 0 && (held - again) * 20 >= rest * 19) {
        r->bulk_again = again;
    }
    uint32_t percent = (uint32_t)((uint64_t)s.own_fresh * 100 / w->cfg.packages);
    if (percent / 10 > b->told && b->kills == 0) {
        b->told = percent / 10;
        r->bulk_tenth_ns[b->told - 1] = w->now - b->began_at;
    }
    if (b->kills == 0 && w->cfg.kill_percent > 0 &&
        (uint64_t)held * 100 >= (uint64_t)w->cfg.packages * w->cfg.kill_percent) {
        for (uint32_t i = 0; i < w->cfg.packages; i++) {
            b->done[i] = is_held(w, i);
        }
        b->kills = 1;
        r->bulk_at_kill = held;
        r->bulk_lookups += s.lookups - b->lookups_before;
        b->lookups_before = 0;
        start_again(w);
    } else if (everywhere >= w->cfg.packages && r->bulk_ns == 0) {
        r->bulk_lookups += s.lookups - b->lookups_before;
        r->bulk_ns = w->now - b->began_at;
    }
    if (r->bulk_ns > 0 && held >= w->cfg.packages) { /* what is kept here it knows since the kill */
        r->bulk_kept_right = kept_rightly(w);
        w->ends_at = w->now;
        return;
    }
    sim_dht_put(w, w->now + STOQ_SEC, b->node, b->node, DHT_EV_BULK_STEP, 0);
}
