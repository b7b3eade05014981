/*
 * Those who are not honest. Liars name the nearest of their own kind and nobody else, and keep nothing; who
 * poisons does so from the start and shows itself to others all the time.
 *
 * Forgers lie too, and leave records with the holders of every measured key and with whoever looks for it, in
 * each of which one thing is wrong. So that a refusal says something, everyone has a twin, the same without
 * that thing, which was taken by the same holder before: what the key's publisher announced, or, where the
 * record is the forger's own, one that he left five seconds earlier.
 */
#include "sim/dht_internal.h"

#define SHOWS 8
#define SHOW_EVERY (10 * STOQ_SEC)

const char *sim_dht_wrong_str(enum sim_dht_wrong wrong)
{
    static const char *const names[SIM_DHT_WRONGS] = {[SIM_DHT_RIGHT] = "right",
                                                      [SIM_DHT_FORGED] = "forged",
                                                      [SIM_DHT_REPLAYED] = "replayed",
                                                      [SIM_DHT_EXPIRED] = "expired",
                                                      [SIM_DHT_THIRD_PARTY] = "third_party",
                                                      [SIM_DHT_WRONG_KEY] = "wrong_key",
                                                      [SIM_DHT_UNPROVEN] = "unproven"};
    return wrong < SIM_DHT_WRONGS ? names[wrong] : "?";
}

void sim_dht_turn(struct sim_dht_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct sim_dht_node *n = &w->nodes[i];
        n->is_foe =
            sim_dht_is_here(n) && !n->stays && sim_dht_draw(w, i) % 100 < w->cfg.foe_percent;
    }
    sim_dht_rank_foes(w);
}

void sim_dht_show(struct sim_dht_world *w, uint32_t node)
{
    for (int i = 0; i < SHOWS && sim_dht_is_here(&w->nodes[node]); i++) {
        uint32_t to = sim_dht_some(w);
        struct stoq_dht_call c = {.cookie = UINT64_MAX, /* the answer is nobody's */
                                  .to = w->nodes[to].contact,
                                  .ask = STOQ_DHT_FIND_NODE,
                                  .target = w->nodes[node].id,
                                  .want = STOQ_DHT_ANSWER_MAX,
                                  .timeout_ns = STOQ_DHT_HARD};
        sim_dht_call(w, node, &c, false);
    }
    if (sim_dht_is_here(&w->nodes[node])) {
        sim_dht_put(w, w->now + SHOW_EVERY, node, node, DHT_EV_SHOW, 0);
    }
}

/* The foes nearest to the target, by their places in order: as good as is worth a liar's while. */
static uint32_t foes_near(struct sim_dht_world *w, uint32_t self, const struct stoq_hash *target,
                          stoq_contact_no *out)
{
    static const struct stoq_hash zero = {{0}};
    uint64_t at = stoq_dht_distance(target, &zero);
    uint32_t hi = 0;
    for (uint32_t span = w->foe_count; span > 0; span /= 2) {
        while (hi + span <= w->foe_count && w->foes[hi + span - 1].at < at) {
            hi += span;
        }
    }
    uint32_t lo = hi;
    uint32_t n = 0;
    while (n < w->cfg.room && (lo > 0 || hi < w->foe_count)) {
        bool up = lo == 0 || (hi < w->foe_count && w->foes[hi].at - at < at - w->foes[lo - 1].at);
        uint32_t node = up ? w->foes[hi++].node : w->foes[--lo].node;
        if (node != self && w->nodes[node].contact != 0) {
            out[n++] = w->nodes[node].contact;
        }
    }
    return n;
}

/* ---- records ---- */

static uint32_t key_of(const struct sim_dht_world *w, const struct stoq_hash *key)
{
    uint32_t i = 0;
    while (i < w->cfg.keys && !stoq_hash_eq(&w->keys[i].key, key)) {
        i++;
    }
    return i;
}

/* A record about a key by its publisher, or by a foe, in which this is wrong; as it comes in an answer, or as
 * it is left with a holder. */
static struct stoq_dht_record *make_wrong(const struct sim_dht_world *w, enum sim_dht_wrong wrong,
                                          uint32_t key, uint32_t foe, bool is_answer)
{
    const struct sim_dht_key *k = &w->keys[key];
    const struct sim_dht_key *other = &w->keys[(key + 1) % w->cfg.keys];
    struct sim_dht_says s = {.key = &k->key,
                             .publisher = k->node,
                             .sequence = w->nodes[k->node].sequence + 1,
                             .issued_at_s = SIM_DHT_WALL_S + w->now / STOQ_SEC,
                             .ttl_s = STOQ_DHT_TTL_S,
                             .wrong = wrong};
    switch (wrong) {
    case SIM_DHT_FORGED:
        s.is_unsigned = true;
        break;
    case SIM_DHT_REPLAYED:
        s.sequence = 0;
        s.issued_at_s -= STOQ_DHT_TTL_S / 2;
        break;
    case SIM_DHT_EXPIRED:
        s.issued_at_s -= STOQ_DHT_TTL_S + 1;
        break;
    case SIM_DHT_WRONG_KEY: /* whose signature covers the key that it was made for */
        s.publisher = other->node;
        s.sequence = w->nodes[other->node].sequence;
        s.key = is_answer ? &other->key : &k->key;
        s.is_unsigned = !is_answer;
        break;
    case SIM_DHT_RIGHT:
    case SIM_DHT_THIRD_PARTY:
    case SIM_DHT_UNPROVEN:
    case SIM_DHT_WRONGS:
        s.publisher = foe;
        s.sequence = wrong == SIM_DHT_RIGHT ? 1 : 2;
        break;
    }
    return sim_dht_record(w, &s);
}

/* To be told from the address of whoever publishes it needs no lie. */
static bool is_in_answers(enum sim_dht_wrong wrong)
{
    return wrong == SIM_DHT_FORGED || wrong == SIM_DHT_REPLAYED || wrong == SIM_DHT_EXPIRED ||
           wrong == SIM_DHT_WRONG_KEY;
}

void sim_dht_lie(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    stoq_contact_no near[STOQ_DHT_ANSWER_MAX];
    struct stoq_dht_record *bad = NULL;
    struct stoq_dht_answer a = {
        .outcome = STOQ_DHT_DONE, .ttl_s = STOQ_DHT_TTL_S, .contacts = near, .records = &bad};
    if (m->call.ask == STOQ_DHT_FIND_NODE || m->call.ask == STOQ_DHT_FIND_VALUE) {
        a.contact_count = foes_near(w, node, &m->call.target, near);
    }
    if (w->cfg.foe == SIM_DHT_FOE_FORGERS && m->call.ask == STOQ_DHT_FIND_VALUE) {
        uint32_t key = key_of(w, &m->call.target);
        enum sim_dht_wrong wrong = (enum sim_dht_wrong)(sim_dht_draw(w, node) % SIM_DHT_WRONGS);
        if (key < w->cfg.keys && is_in_answers(wrong)) {
            bad = make_wrong(w, wrong, key, node, true);
            a.record_count = 1;
            w->result->attacks[wrong].answered++;
        }
    }
    sim_dht_answer(w, node, from, letter, &a);
    stoq_dht_record_drop(bad);
}

static void leave_with(struct sim_dht_world *w, uint32_t foe, uint32_t holder,
                       struct stoq_dht_record *r, bool is_unproven)
{
    struct stoq_dht_call c = {.cookie = UINT64_MAX,
                              .to = w->nodes[holder].contact,
                              .ask = STOQ_DHT_STORE,
                              .target = r->key,
                              .record = r,
                              .timeout_ns = STOQ_DHT_HARD};
    sim_dht_call(w, foe, &c, is_unproven);
    stoq_dht_record_drop(r);
}

/* Is there a record of this key and publisher, in which this is wrong? */
static bool holds(const struct sim_dht_world *w, uint32_t holder, uint32_t key, uint32_t publisher,
                  enum sim_dht_wrong wrong)
{
    struct stoq_dht_record *r[STOQ_DHT_KEY_RECORDS];
    const struct sim_dht_node *n = &w->nodes[holder];
    size_t count = sim_dht_is_here(n) && n->dht != NULL && !n->is_foe
                       ? stoq_dht_held(n->dht, &w->keys[key].key, w->now, r, STOQ_DHT_KEY_RECORDS)
                       : 0;
    bool is_there = false;
    for (size_t i = 0; i < count; i++) {
        is_there = is_there || (sim_dht_wrong_of(r[i]) == wrong &&
                                stoq_hash_eq(&r[i]->publisher.h, &w->nodes[publisher].peer.h));
    }
    return is_there;
}

/* Whose turn it is with a holder: the same one for the twin and for the record that is wrong. */
static uint32_t foe_for(const struct sim_dht_world *w, uint32_t holder, uint32_t key,
                        enum sim_dht_wrong wrong)
{
    struct stoq_prng mix = stoq_prng(((uint64_t)holder << 32 | key) * SIM_DHT_WRONGS + wrong);
    return w->foes[stoq_prng_next(&mix) % w->foe_count].node;
}

static bool is_foes_own(enum sim_dht_wrong wrong)
{
    return wrong == SIM_DHT_THIRD_PARTY || wrong == SIM_DHT_UNPROVEN;
}

void sim_dht_twins(struct sim_dht_world *w, uint32_t key)
{
    for (uint32_t i = 0; i < w->node_count && w->foe_count > 0; i++) {
        for (int wrong = SIM_DHT_FORGED; wrong < SIM_DHT_WRONGS; wrong++) {
            uint32_t foe = foe_for(w, i, key, (enum sim_dht_wrong)wrong);
            if (is_foes_own((enum sim_dht_wrong)wrong) && sim_dht_is_here(&w->nodes[foe]) &&
                holds(w, i, key, w->keys[key].node, SIM_DHT_RIGHT)) {
                leave_with(w, foe, i, make_wrong(w, SIM_DHT_RIGHT, key, foe, false), false);
            }
        }
    }
}

void sim_dht_attack(struct sim_dht_world *w, uint32_t key)
{
    for (uint32_t i = 0; i < w->node_count && w->foe_count > 0; i++) {
        if (!holds(w, i, key, w->keys[key].node, SIM_DHT_RIGHT)) {
            continue;
        }
        for (int j = SIM_DHT_FORGED; j < SIM_DHT_WRONGS; j++) {
            enum sim_dht_wrong wrong = (enum sim_dht_wrong)j;
            uint32_t foe = foe_for(w, i, key, wrong);
            if (sim_dht_is_here(&w->nodes[foe]) &&
                (!is_foes_own(wrong) || holds(w, i, key, foe, SIM_DHT_RIGHT))) {
                w->result->attacks[wrong].twins++;
                w->result->attacks[wrong].sent++;
                leave_with(w, foe, i, make_wrong(w, wrong, key, foe, false),
                           wrong == SIM_DHT_UNPROVEN);
            }
        }
    }
}

/* Had it the publisher's last record? To others an older one that is not over is a copy like any. */
static bool is_replay(const struct sim_dht_world *w, uint32_t node, uint32_t key)
{
    for (uint32_t i = 0; i < w->holder_count; i++) {
        if (w->holders[i].node == node && w->holders[i].key == key) {
            return true;
        }
    }
    return false;
}

void sim_dht_count_attacks(struct sim_dht_world *w)
{
    struct stoq_dht_record *r[STOQ_DHT_KEY_RECORDS];
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct sim_dht_node *n = &w->nodes[i];
        for (uint32_t k = 0; k < w->cfg.keys && n->dht != NULL && !n->is_foe; k++) {
            size_t count = stoq_dht_held(n->dht, &w->keys[k].key, w->now, r, STOQ_COUNT(r));
            for (size_t j = 0; j < count; j++) {
                enum sim_dht_wrong wrong = sim_dht_wrong_of(r[j]);
                w->result->attacks[wrong].accepted +=
                    wrong != SIM_DHT_REPLAYED || is_replay(w, i, k);
            }
        }
    }
}
