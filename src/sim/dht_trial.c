/*
 * What is measured. A lookup is exact when it ends with the k nodes nearest to its key, of those who were
 * there from its begin to its end; who came within half a minute of it, or left meanwhile, may be in the
 * answer or not. Times are the nodes' own, in virtual time.
 */
#include "hash/hash.h"
#include "sim/dht_internal.h"

#include <stdlib.h>

#define SYBILS_BEFORE (300 * STOQ_SEC)
#define ANNOUNCE_BEFORE (240 * STOQ_SEC)
#define ANNOUNCE_WITHIN (60 * STOQ_SEC)
#define ATTACK_BEFORE (60 * STOQ_SEC)
#define ATTACK_WITHIN (50 * STOQ_SEC)
#define ATTACK_AFTER (5 * STOQ_SEC)

static struct stoq_hash some_key(struct sim_dht_world *w)
{
    struct stoq_hash key;
    for (size_t i = 0; i < sizeof key.b; i += 8) {
        stoq_le64_put(key.b + i, sim_dht_any(w, UINT64_MAX));
    }
    return key;
}

void sim_dht_plan(struct sim_dht_world *w)
{
    stoq_ns measure = w->now + w->cfg.warm_ns;
    w->trial_count = w->cfg.lookups + w->cfg.finds;
    w->trials_left = w->trial_count;
    w->trials = sim_alloc(w->trial_count, sizeof *w->trials);
    w->keys = sim_alloc(w->cfg.keys, sizeof *w->keys);
    for (uint32_t i = 0; i < w->cfg.keys; i++) {
        stoq_ns early = ANNOUNCE_BEFORE < w->cfg.warm_ns ? ANNOUNCE_BEFORE : w->cfg.warm_ns;
        w->keys[i].key = some_key(w);
        sim_dht_put(w, measure - early + i * (ANNOUNCE_WITHIN / w->cfg.keys), 0, 0, DHT_EV_ANNOUNCE,
                    i);
    }
    if (w->cfg.foe == SIM_DHT_FOE_SYBILS) {
        sim_dht_put(w, measure - SYBILS_BEFORE, 0, 0, DHT_EV_ANNOUNCE, UINT32_MAX);
    }
    if (w->cfg.foe == SIM_DHT_FOE_FORGERS) {
        sim_dht_put(w, measure - ATTACK_BEFORE, 0, 0, DHT_EV_TURN, 0);
    }
    for (uint32_t i = 0; w->cfg.foe == SIM_DHT_FOE_FORGERS && i < w->cfg.keys; i++) {
        stoq_ns at = measure - ATTACK_BEFORE + i * (ATTACK_WITHIN / w->cfg.keys);
        sim_dht_put(w, at, 0, 0, DHT_EV_TWINS, i);
        sim_dht_put(w, at + ATTACK_AFTER, 0, 0, DHT_EV_ATTACK, i);
    }
    sim_dht_put(w, measure, 0, 0, DHT_EV_MEASURE, 0);
}

void sim_dht_announce(struct sim_dht_world *w, uint32_t key)
{
    if (key == UINT32_MAX) {
        sim_dht_add_sybils(w, &w->keys[0].key);
        return;
    }
    struct sim_dht_key *k = &w->keys[key];
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
    ev.u.announce.key = k->key;
    ev.u.announce.urgent = true;
    k->node = sim_dht_some(w);
    k->began_at = w->now;
    w->nodes[k->node].stays = true;
    sim_dht_need(w, k->node);
    sim_dht_join(w, k->node);
    sim_dht_feed(w, k->node, &ev);
    sim_dht_drain(w, k->node);
}

void sim_dht_announced(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_announced *a)
{
    for (uint32_t i = 0; i < w->cfg.keys; i++) {
        struct sim_dht_key *k = &w->keys[i];
        if (k->node == node && k->told_at == 0 && stoq_hash_eq(&k->key, &a->key)) {
            k->told_at = w->now;
            k->told = *a;
        }
    }
}

static bool is_held(const struct sim_dht_world *w, uint32_t node, uint32_t key)
{
    const struct sim_dht_node *n = &w->nodes[node];
    return sim_dht_is_here(n) && n->dht != NULL && !n->is_foe &&
           stoq_dht_count(n->dht, &w->keys[key].key, w->now) > 0;
}

/* Who holds what now. */
static void note_holders(struct sim_dht_world *w)
{
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        for (uint32_t k = 0; k < w->cfg.keys; k++) {
            if (!is_held(w, i, k)) {
                continue;
            }
            if (w->holder_count == capacity) {
                capacity = capacity == 0 ? 1024 : 2 * capacity;
                w->holders = realloc(w->holders, capacity * sizeof *w->holders);
                STOQ_ASSERT(w->holders != NULL);
            }
            w->holders[w->holder_count++] = (struct sim_dht_holder){k, i};
        }
    }
}

/* Whoever announced is gone and will not do it again. */
static void retire_announcers(struct sim_dht_world *w)
{
    for (uint32_t k = 0; k < w->cfg.keys; k++) {
        w->nodes[w->keys[k].node].stays = false;
        sim_dht_leave(w, w->keys[k].node, false);
    }
}

/* One is left: somebody has to look. */
static void kill_some(struct sim_dht_world *w)
{
    uint32_t count = w->node_count;
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        left += sim_dht_is_here(&w->nodes[i]) && !w->nodes[i].is_foe;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (sim_dht_is_here(&w->nodes[i]) && sim_dht_draw(w, i) % 100 < w->cfg.dead_percent &&
            (w->nodes[i].is_foe || left > 1)) {
            left -= !w->nodes[i].is_foe;
            sim_dht_leave(w, i, false);
        }
    }
}

static void look_at_tables(struct sim_dht_world *w)
{
    struct sim_dht_result *r = w->result;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct sim_dht_node *n = &w->nodes[i];
        struct stoq_dht_contact c;
        struct stoq_dht_stats s;
        r->foes += sim_dht_is_here(n) && n->is_foe;
        r->others += sim_dht_is_here(n) && !n->is_foe;
        if (!sim_dht_is_here(n) || n->dht == NULL || n->is_foe) {
            continue;
        }
        stoq_dht_stats(n->dht, &s);
        r->core_bytes += s.bytes;
        r->cores++;
        for (size_t at = 0; stoq_dht_at(n->dht, at, w->now, &c); at++) {
            const struct sim_dht_node *who = &w->nodes[sim_dht_of(w, c.contact)];
            r->contacts += !c.spare;
            r->contacts_dead += !c.spare && !sim_dht_is_here(who);
            r->contacts_foe += !c.spare && who->is_foe;
        }
    }
}

void sim_dht_measure(struct sim_dht_world *w)
{
    stoq_ns step = STOQ_SEC / w->cfg.per_s;
    kill_some(w);
    if (w->cfg.foe == SIM_DHT_FOE_LIARS) {
        sim_dht_turn(w);
    }
    look_at_tables(w);
    if (w->cfg.survive_ns > 0) {
        retire_announcers(w);
    }
    note_holders(w);
    w->result->holding = w->holder_count;
    for (uint32_t i = 0; i < w->trial_count; i++) {
        w->trials[i].is_find = i >= w->cfg.lookups;
        sim_dht_put(w, w->now + i * step, 0, 0, DHT_EV_LOOK, i);
    }
    if (w->cfg.survive_ns > 0) {
        sim_dht_put(w, w->now + w->cfg.survive_ns, 0, 0, DHT_EV_SURVIVED, 0);
    } else if (w->cfg.packages > 0) {
        sim_dht_put(w, w->now, 0, 0, DHT_EV_BULK, 0);
    } else if (w->trial_count == 0) {
        w->ends_at = w->now;
    }
}

void sim_dht_survived(struct sim_dht_world *w)
{
    for (uint32_t i = 0; i < w->holder_count; i++) {
        w->result->survived += is_held(w, w->holders[i].node, w->holders[i].key);
    }
    w->ends_at = w->now;
}

void sim_dht_look(struct sim_dht_world *w, uint32_t trial)
{
    struct sim_dht_trial *t = &w->trials[trial];
    struct stoq_dht_event ev = {.kind = STOQ_DHT_LOOK};
    bool first_only = w->cfg.foe == SIM_DHT_FOE_SYBILS; /* the key that is crowded */
    t->of = t->is_find && !first_only ? (trial - w->cfg.lookups) % w->cfg.keys : 0;
    t->key = t->is_find ? w->keys[t->of].key : some_key(w);
    do {
        t->node = sim_dht_some(w);
    } while (t->is_find && t->node == w->keys[t->of].node);
    t->began_at = w->now;
    sim_dht_need(w, t->node);
    sim_dht_join(w, t->node);
    ev.u.look = (struct stoq_dht_look){.look = trial + 1, .target = t->key, .value = t->is_find};
    sim_dht_feed(w, t->node, &ev);
    sim_dht_drain(w, t->node);
}

void sim_dht_found(struct sim_dht_world *w, const struct stoq_dht_found *f)
{
    struct sim_dht_trial *t = &w->trials[f->look - 1];
    const struct sim_dht_node *maker = &w->nodes[w->keys[t->of].node];
    enum sim_dht_wrong wrong = sim_dht_wrong_of(f->record);
    t->first_at = t->first_at == 0 ? w->now : t->first_at;
    t->is_current = t->is_current || (wrong == SIM_DHT_RIGHT &&
                                      stoq_hash_eq(&f->record->publisher.h, &maker->peer.h));
    if (wrong == SIM_DHT_REPLAYED) { /* counts if nothing newer comes */
        t->is_replayed = true;
    } else if (wrong != SIM_DHT_RIGHT) {
        t->is_untrue = true;
        w->result->attacks[wrong].returned++;
    }
}

/* Was it there all the time, and known to those around it? */
static bool counts(const struct sim_dht_world *w, uint32_t node, const struct sim_dht_trial *t)
{
    const struct sim_dht_node *n = &w->nodes[node];
    return sim_dht_is_here(n) && node != t->node && n->came_at + SIM_DHT_SETTLED <= t->began_at;
}

static bool is_exact(const struct sim_dht_world *w, const struct sim_dht_trial *t,
                     const struct stoq_dht_looked *l)
{
    uint32_t k = w->cfg.shape.k == 0 ? STOQ_DHT_K : w->cfg.shape.k;
    const struct stoq_hash *far = NULL; /* the last of the answer that counts */
    uint32_t named = 0;
    uint32_t nearer = 0;
    for (uint32_t i = 0; i < l->contact_count; i++) {
        uint32_t node = sim_dht_of(w, l->contacts[i]);
        if (counts(w, node, t)) {
            far = &w->nodes[node].id;
            named++;
        }
    }
    for (uint32_t i = 0; far != NULL && i < w->node_count; i++) {
        nearer += counts(w, i, t) && stoq_dht_nearer(&t->key, &w->nodes[i].id, far) <= 0;
    }
    bool is_full = l->contact_count >= k || l->contact_count + 1 >= w->cfg.nodes;
    return far != NULL && named == nearer && is_full;
}

void sim_dht_looked(struct sim_dht_world *w, const struct stoq_dht_looked *l)
{
    struct sim_dht_trial *t = &w->trials[l->look - 1];
    t->is_over = true;
    t->end = *l;
    t->is_exact = !t->is_find && is_exact(w, t, l);
    if (t->is_replayed && !t->is_current) { /* a liar's word, signed, not over, and not the last */
        w->result->attacks[SIM_DHT_REPLAYED].returned++;
    }
    if (--w->trials_left == 0 && w->cfg.survive_ns == 0 && w->cfg.packages == 0) {
        w->ends_at = w->now;
    }
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static struct sim_dht_times times(uint64_t *v, uint32_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n == 0 ? (struct sim_dht_times){0}
                  : (struct sim_dht_times){.count = n,
                                           .p50 = v[n / 2],
                                           .p90 = v[n - 1 - n / 10],
                                           .p99 = v[n - 1 - n / 100]};
}

static uint32_t hops_to_nearest(const struct stoq_dht_looked *l)
{
    return l->hops;
}

static uint32_t hops_to_all(const struct stoq_dht_looked *l)
{
    return l->hops_all;
}

static uint32_t hops_of_walk(const struct stoq_dht_looked *l)
{
    return l->hops_walk;
}

/* Of all lookups that are over; v has room for as many. */
static struct sim_dht_hops hops(const struct sim_dht_world *w,
                                uint32_t (*of)(const struct stoq_dht_looked *), uint64_t *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->cfg.lookups; i++) {
        if (w->trials[i].is_over) {
            v[n++] = of(&w->trials[i].end);
        }
    }
    struct sim_dht_times t = times(v, n);
    return (struct sim_dht_hops){.p50 = (uint32_t)t.p50,
                                 .p90 = (uint32_t)t.p90,
                                 .p95 = n == 0 ? 0 : (uint32_t)v[n - 1 - n / 20]};
}

static void sum_lookups(struct sim_dht_world *w, uint64_t *v)
{
    struct sim_dht_result *r = w->result;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->cfg.lookups; i++) {
        const struct sim_dht_trial *t = &w->trials[i];
        if (t->is_over) {
            n++;
            r->exact += t->is_exact;
            r->calls += t->end.calls;
            r->silent += t->end.silent;
            r->hops += t->end.hops;
        }
    }
    r->lookups = n;
    r->nearest = hops(w, hops_to_nearest, v);
    r->all = hops(w, hops_to_all, v);
    r->walk = hops(w, hops_of_walk, v);
    n = 0;
    for (uint32_t i = 0; i < w->cfg.lookups; i++) {
        v[n] = w->trials[i].end.took_ns;
        n += w->trials[i].is_over;
    }
    r->look = times(v, n);
}

static void sum_finds(struct sim_dht_world *w, uint64_t *v)
{
    struct sim_dht_result *r = w->result;
    uint32_t n = 0;
    for (uint32_t i = w->cfg.lookups; i < w->trial_count; i++) {
        const struct sim_dht_trial *t = &w->trials[i];
        r->finds += t->is_over;
        r->find_calls += t->end.calls;
        r->find_hops += t->end.hops;
        r->untrue += t->is_untrue;
        if (t->is_over && t->first_at != 0 && !t->is_untrue) {
            v[n++] = t->first_at - t->began_at;
        }
    }
    r->found = n;
    r->find = times(v, n);
}

static void sum_keys(struct sim_dht_world *w)
{
    struct sim_dht_result *r = w->result;
    uint64_t *v = sim_alloc(w->cfg.keys, sizeof *v);
    for (uint32_t i = 0; i < w->cfg.keys; i++) {
        const struct sim_dht_key *k = &w->keys[i];
        if (k->told_at != 0) {
            v[r->keys++] = k->told_at - k->began_at;
            r->enough += k->told.enough;
            r->got += k->told.got;
        }
    }
    r->announce = times(v, r->keys);
    free(v);
}

static void tell_each(const struct sim_dht_world *w)
{
    for (uint32_t a = 0; w->cfg.path != NULL && a < w->cfg.nodes; a++) {
        for (uint32_t b = a + 1; b < w->cfg.nodes; b++) {
            w->cfg.path(w->cfg.user, a, b, sim_dht_rtt(w, a, b));
        }
    }
    for (uint32_t i = 0; w->cfg.looked != NULL && i < w->cfg.lookups; i++) {
        if (w->trials[i].is_over) {
            w->cfg.looked(w->cfg.user, w->trials[i].end.took_ns);
        }
    }
}

void sim_dht_sum_up(struct sim_dht_world *w)
{
    struct sim_dht_result *r = w->result;
    uint64_t *v = sim_alloc(w->trial_count, sizeof *v);
    sum_lookups(w, v);
    sum_finds(w, v);
    sum_keys(w);
    free(v);
    sim_dht_count_attacks(w);
    tell_each(w);
    r->trace = w->trace;
    r->came = w->node_count;
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct stoq_dht_stats s = {0};
        r->live += sim_dht_is_here(&w->nodes[i]);
        if (w->nodes[i].dht != NULL) {
            stoq_dht_stats(w->nodes[i].dht, &s);
        }
        for (int k = 0; k < STOQ_DHT_REFUSALS; k++) {
            r->refused[k] += s.refused[k];
        }
    }
}
