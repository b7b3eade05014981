/*
 * The world of the DHT simulator: one wheel of events, each of which touches one node, in an order in
 * which no pointer takes part; chance is drawn from a generator per node and one of the world's own.
 *
 *     0 ................ 180 s       nodes begin, each with a table out of the true population: those asked
 *                                    before answer out of theirs. A fifth of warm at most
 *     warm - 300 s                   Sybils come; keys are announced 60 s later
 *     warm                           the dead die, liars begin to lie, lookups and finds begin
 *     all over, or 600 s later       the end
 *
 * Where nodes are still there is no coming and leaving: whoever is asked gets its table then, out of the true
 * population, so a million cost what those cost that a few thousand lookups meet.
 *
 * Memory is what keeps many nodes in one process: a contact is in one book for all, a table entry is eight
 * bytes, records are shared and counted.
 */
#include "sim/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define WARM (900 * STOQ_SEC)
#define GIVE_UP (600 * STOQ_SEC)
#define SAVE_EVERY (60 * STOQ_SEC)
#define BULK_TIME (STOQ_SEC / 4) /* a package, at most */
#define BOOK_MAX (1u << 23)
#define DATAGRAM_CONTACTS 5

int sim_dht_foe_of(const char *name)
{
    static const char *const names[SIM_DHT_FOES] = {[SIM_DHT_FOE_NONE] = "none",
                                                    [SIM_DHT_FOE_LIARS] = "liars",
                                                    [SIM_DHT_FOE_POISON] = "poison",
                                                    [SIM_DHT_FOE_SYBILS] = "sybils",
                                                    [SIM_DHT_FOE_FORGERS] = "forgers"};
    for (int i = 0; i < SIM_DHT_FOES; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

void sim_dht_note(struct sim_dht_world *w, uint64_t a, uint64_t b)
{
    struct stoq_prng mix = stoq_prng(w->trace ^ a);
    w->trace = stoq_prng_next(&mix) + b;
}

void sim_dht_put(struct sim_dht_world *w, stoq_ns at, uint32_t to, uint32_t from,
                 enum sim_dht_event kind, uint32_t what)
{
    struct stoq_wheel_event ev = {.at = at > w->now ? at : w->now,
                                  .to = to,
                                  .from = from,
                                  .seq = ++w->seq,
                                  .kind = kind,
                                  .what = what};
    enum stoq_status st = stoq_wheel_put(w->wheel, ev);
    STOQ_ASSERT(st == STOQ_OK);
}

static uint64_t drawn(struct sim_dht_world *w, struct stoq_prng *from, uint32_t whose)
{
    uint64_t v = stoq_prng_next(from);
    w->draws++;
    v = w->draws == w->cfg.flip_draw ? ~v : v;
    sim_dht_note(w, v, whose);
    return v;
}

uint64_t sim_dht_draw(struct sim_dht_world *w, uint32_t node)
{
    return drawn(w, &w->nodes[node].prng, node);
}

uint64_t sim_dht_any(struct sim_dht_world *w, uint64_t n)
{
    return drawn(w, &w->prng, UINT32_MAX) % n;
}

static void dispatch(struct sim_dht_world *w, const struct stoq_wheel_event *ev)
{
    switch ((enum sim_dht_event)ev->kind) {
    case DHT_EV_REQUEST:
        sim_dht_request(w, ev->to, ev->from, ev->what);
        break;
    case DHT_EV_REPLY:
        sim_dht_reply(w, ev->to, ev->from, ev->what);
        break;
    case DHT_EV_PROVED:
        sim_dht_proved(w, ev->to, ev->what);
        break;
    case DHT_EV_WAKE:
        sim_dht_drain(w, ev->to);
        break;
    case DHT_EV_JOIN:
        sim_dht_join(w, ev->to);
        break;
    case DHT_EV_LEAVE:
        sim_dht_leave(w, ev->to, true);
        break;
    case DHT_EV_RETURN:
        sim_dht_return(w, ev->to);
        break;
    case DHT_EV_TURN:
        sim_dht_turn(w);
        break;
    case DHT_EV_TWINS:
        sim_dht_twins(w, ev->what);
        break;
    case DHT_EV_ATTACK:
        sim_dht_attack(w, ev->what);
        break;
    case DHT_EV_SHOW:
        sim_dht_show(w, ev->to);
        break;
    case DHT_EV_ANNOUNCE:
        sim_dht_announce(w, ev->what);
        break;
    case DHT_EV_MEASURE:
        sim_dht_measure(w);
        break;
    case DHT_EV_LOOK:
        sim_dht_look(w, ev->what);
        break;
    case DHT_EV_SURVIVED:
        sim_dht_survived(w);
        break;
    case DHT_EV_BULK:
        sim_dht_bulk(w);
        break;
    case DHT_EV_BULK_STEP:
        sim_dht_bulk_step(w);
        break;
    }
}

static bool is_sane(const struct sim_dht_config *cfg)
{
    return cfg->nodes > 0 && cfg->nodes <= 1u << 20 && cfg->dead_percent < 100 &&
           cfg->foe_percent < 100 && cfg->sybils <= 4096 && cfg->loss_ppm < 500000 &&
           cfg->lookups <= 1u << 24 && cfg->finds <= 1u << 24 && cfg->keys <= 1u << 20 &&
           cfg->packages <= 1u << 20 && cfg->kill_percent < 100 &&
           (cfg->finds == 0 || cfg->keys > 0) && cfg->by < SIM_COST_STREAM &&
           (cfg->foe != SIM_DHT_FOE_SYBILS || cfg->keys > 0) &&
           (cfg->foe != SIM_DHT_FOE_FORGERS || cfg->keys > 1) && cfg->shape.k <= STOQ_DHT_K &&
           cfg->shape.slot <= STOQ_DHT_K && cfg->candidates <= SIM_DHT_CANDIDATES_MAX &&
           cfg->room <= STOQ_DHT_ANSWER_MAX &&
           (!cfg->is_still || (cfg->law == SIM_LAW_ALWAYS && cfg->foe <= SIM_DHT_FOE_LIARS));
}

static void world_make(struct sim_dht_world *w)
{
    enum stoq_status st = stoq_wheel_new(&w->wheel);
    STOQ_ASSERT(st == STOQ_OK);
    st = stoq_dht_book_new(&w->book, BOOK_MAX, w->cfg.seed, NULL, NULL);
    STOQ_ASSERT(st == STOQ_OK);
    sim_pool_init(&w->letters, sizeof(struct sim_dht_letter));
    w->prng = stoq_prng(w->cfg.seed);
    w->trace = w->cfg.seed;
    w->cfg.warm_ns = w->cfg.warm_ns == 0 ? WARM : w->cfg.warm_ns;
    w->cfg.save_ns = w->cfg.save_ns == 0 ? SAVE_EVERY : w->cfg.save_ns;
    w->cfg.per_s = w->cfg.per_s == 0 ? 20 : w->cfg.per_s;
    w->cfg.room = w->cfg.room == 0 ? DATAGRAM_CONTACTS : w->cfg.room;
    w->cfg.shape.still = w->cfg.is_still;
    w->now = STOQ_SEC;
    sim_dht_populate(w);
    sim_dht_plan(w);
    uint32_t all = w->cfg.lookups + w->cfg.finds;
    w->ends_at = w->now + w->cfg.warm_ns + all / w->cfg.per_s * STOQ_SEC + GIVE_UP +
                 w->cfg.survive_ns + w->cfg.packages * BULK_TIME;
}

static void world_release(struct sim_dht_world *w)
{
    struct stoq_wheel_event ev;
    while (stoq_wheel_pop(w->wheel, &ev)) {
        if (ev.kind == DHT_EV_REQUEST || ev.kind == DHT_EV_REPLY || ev.kind == DHT_EV_PROVED) {
            sim_dht_letter_free(w, ev.what);
        }
    }
    sim_dht_life_release(w);
    stoq_wheel_free(w->wheel);
    stoq_dht_book_free(w->book);
    sim_pool_release(&w->letters);
    free(w->trials);
    free(w->keys);
    free(w->holders);
    free(w->bulk.keys);
    free(w->bulk.done);
}

enum stoq_status sim_dht_run(const struct sim_dht_config *cfg, struct sim_dht_result *out)
{
    struct stoq_wheel_event ev;
    *out = (struct sim_dht_result){0};
    if (!is_sane(cfg)) {
        return STOQ_RANGE;
    }
    struct sim_dht_world *w = sim_alloc(1, sizeof *w);
    w->cfg = *cfg;
    w->result = out;
    world_make(w);
    bool goes_on = true;
    while (goes_on && stoq_wheel_pop(w->wheel, &ev)) {
        w->now = ev.at;
        out->events++;
        sim_dht_note(w, ev.at, (uint64_t)ev.to << 32 | ev.from);
        sim_dht_note(w, ev.kind, ev.seq);
        dispatch(w, &ev);
        goes_on = w->now < w->ends_at;
    }
    sim_dht_sum_up(w);
    world_release(w);
    free(w);
    return STOQ_OK;
}
