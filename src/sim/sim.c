/*
 * The world: one wheel of events, each of which touches one node. A handler changes that node's side of
 * things, feeds it, and whatever that leads to elsewhere is an event with a later or equal time. After
 * each event the node is drained: its actions are carried out.
 *
 *     pop event -> trace -> handler(to) -> drain(to) -> events
 *
 * The trace is a hash over every draw, event and action in the order in which they happened. All chance
 * comes from draws numbered per node, so that what one node draws does not depend on what others do.
 */
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

int sim_canary_of(const char *name)
{
    static const char *const names[SIM_CANARIES] = {
        [SIM_CANARY_NONE] = "none",
        [SIM_CANARY_UNVERIFIED] = "unverified",
        [SIM_CANARY_LEAK] = "leak",
        [SIM_CANARY_OVER_CAP] = "over-cap",
        [SIM_CANARY_LOST_BYTES] = "lost-bytes",
        [SIM_CANARY_EARLY] = "early",
    };
    for (int i = 0; i < SIM_CANARIES; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

void sim_note(struct sim_world *w, uint64_t a, uint64_t b)
{
    w->trace = sim_mix(w->trace ^ a) + b;
}

void sim_put(struct sim_world *w, stoq_ns at, uint32_t to, uint32_t from, enum sim_event_kind kind,
             uint32_t what)
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

uint64_t sim_draw(struct sim_world *w, uint32_t node)
{
    uint64_t *counter = &w->nodes[node].draws;
    uint64_t v = sim_mix(sim_mix(w->cfg.seed + node) + UINT64_C(0x9e3779b97f4a7c15) * ++*counter);
    w->draws++;
    v = w->draws == w->cfg.flip_draw ? ~v : v;
    sim_note(w, v, node);
    return v;
}

static void curve(struct sim_world *w)
{
    struct sim_result *r = w->result;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct stoq_node_fetch_progress p;
        const struct sim_node *n = &w->nodes[i];
        if (n->is_seed) {
            continue;
        }
        if (n->is_done) {
            sum += w->package.bytes;
        } else if (n->node != NULL && stoq_node_fetch_progress(n->node, SIM_FETCH, &p)) {
            sum += p.bytes_done;
        }
    }
    if (r->curve_count < SIM_CURVE_MAX) {
        r->curve_bytes[r->curve_count++] = sum;
        sim_put(w, w->now + w->cfg.curve_step, 0, 0, EV_CURVE, 0);
    }
}

static void deadline(struct sim_world *w, uint32_t node)
{
    if (w->nodes[node].wake_at == w->now) {
        w->nodes[node].wake_at = STOQ_NEVER;
    }
    w->nodes[node].is_fed = true;
}

/* What is about connections and sessions. */
static void dispatch_life(struct sim_world *w, const struct stoq_wheel_event *ev)
{
    struct stoq_node_event failed = {.kind = STOQ_NODE_LINK_DOWN,
                                     .u.link = {.peer = ev->from, .status = STOQ_TIMEOUT}};
    bool is_this_life = ev->what == w->nodes[ev->to].life;
    switch ((enum sim_event_kind)ev->kind) {
    case EV_DIALLED:
        sim_dialled(w, ev->to, ev->from);
        break;
    case EV_LINKED:
        sim_linked(w, ev->to, ev->from, ev->what);
        break;
    case EV_FAILED:
        if (sim_link(w, ev->to, ev->from) == NULL) {
            sim_feed(w, ev->to, &failed);
        }
        break;
    case EV_DOWN:
        sim_link_down(w, ev->to, ev->from, ev->what);
        break;
    case EV_BEGIN:
        if (is_this_life) {
            sim_life_begin(w, ev->to);
        }
        break;
    case EV_LEAVE:
        if (is_this_life) {
            sim_life_leave(w, ev->to);
        }
        break;
    case EV_RETURN:
        sim_life_return(w, ev->to);
        break;
    case EV_DIE:
        sim_life_die(w, ev->to);
        break;
    default:
        curve(w);
        break;
    }
}

static void dispatch(struct sim_world *w, const struct stoq_wheel_event *ev)
{
    switch ((enum sim_event_kind)ev->kind) {
    case EV_REQUEST:
        sim_serve_arrived(w, ev->to, ev->from, ev->what);
        break;
    case EV_ASKED:
        sim_serve_request(w, ev->to, ev->from, ev->what);
        break;
    case EV_UP:
        sim_piece_up(w, ev->to, ev->what);
        break;
    case EV_ARRIVE:
        sim_piece_arrive(w, ev->to, ev->what);
        break;
    case EV_DELIVER:
        sim_piece_deliver(w, ev->to, ev->what);
        break;
    case EV_ACK:
        sim_piece_ack(w, ev->to, ev->what);
        break;
    case EV_DEADLINE:
        deadline(w, ev->to);
        break;
    case EV_STORE:
        sim_store_answer(w, ev->to, ev->what);
        break;
    case EV_CLOSE:
        sim_ask_close(w, ev->to, ev->what);
        break;
    case EV_STOP:
        sim_serve_stop(w, ev->to, ev->from, ev->what);
        break;
    case EV_SERVED:
        sim_served(w, ev->to, ev->from, ev->what);
        break;
    default:
        dispatch_life(w, ev);
        break;
    }
}

static bool is_sane(const struct sim_config *cfg)
{
    uint64_t bad = 0;
    for (int i = SIM_HONEST + 1; i < SIM_KINDS; i++) {
        bad += cfg->kinds[i];
    }
    return cfg->fetchers > 0 && cfg->fetchers < (1u << 24) && cfg->seeds < (1u << 24) &&
           cfg->dial >= SIM_COST_COLD && cfg->dial <= SIM_COST_RESUMED && bad < cfg->seeds &&
           cfg->package_bytes > 0 && cfg->package_bytes < (1u << 30) && cfg->chunk_bytes >= 1024 &&
           cfg->chunk_bytes <= 131072 && cfg->neighbours <= STOQ_NODE_SOURCES_MAX &&
           cfg->loss_ppm < 500000;
}

static void fill_defaults(struct sim_config *cfg)
{
    cfg->seeds = cfg->seeds == 0 ? 1 : cfg->seeds;
    cfg->chunk_bytes = cfg->chunk_bytes == 0 ? 65536 : cfg->chunk_bytes;
    cfg->dial = cfg->dial == 0 ? SIM_COST_COLD : cfg->dial;
    cfg->until = cfg->until == 0 ? 3600 * STOQ_SEC : cfg->until;
}

static void world_make(struct sim_world *w)
{
    enum stoq_status st = stoq_wheel_new(&w->wheel);
    STOQ_ASSERT(st == STOQ_OK);
    sim_pool_init(&w->letters, sizeof(struct sim_letter));
    sim_pool_init(&w->asks, sizeof(struct sim_ask));
    sim_pool_init(&w->flows, sizeof(struct sim_flow));
    sim_pool_init(&w->pieces, sizeof(struct sim_piece));
    sim_pool_init(&w->jobs, sizeof(struct sim_store_job));
    sim_package_make(&w->package, &w->cfg);
    w->now = STOQ_SEC;
    w->trace = sim_mix(w->cfg.seed);
    w->left = w->cfg.fetchers;
    w->node_count = w->cfg.seeds + w->cfg.fetchers;
    w->nodes = sim_alloc(w->node_count, sizeof *w->nodes);
    sim_life_make(w);
}

static int by_time(const void *a, const void *b)
{
    const stoq_ns *x = a;
    const stoq_ns *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void sum_up(struct sim_world *w)
{
    struct sim_result *r = w->result;
    stoq_ns *took = sim_alloc(w->cfg.fetchers, sizeof *took);
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct sim_node *n = &w->nodes[i];
        r->bytes_sent += n->bytes_out;
        r->bytes_seeds += n->is_seed ? n->bytes_out : 0;
        r->served_early += n->served_early;
        if (!n->is_seed && n->is_done) {
            took[r->finished++] = n->ended_in;
        }
    }
    qsort(took, r->finished, sizeof *took, by_time);
    if (r->finished > 0) {
        r->first_ns = took[0];
        r->median_ns = took[r->finished / 2];
        r->last_ns = took[r->finished - 1];
    }
    free(took);
    r->failed = w->cfg.fetchers - r->finished;
    r->trace = w->trace;
    r->package_bytes = w->package.bytes;
    r->package_chunks = w->package.chunks;
    r->fluid_ns = sim_fluid(w);
}

void sim_event_drop(struct sim_world *w, const struct stoq_wheel_event *ev)
{
    switch ((enum sim_event_kind)ev->kind) {
    case EV_REQUEST:
    case EV_ASKED:
    case EV_STOP:
    case EV_SERVED:
        sim_letter_free(w, ev->what);
        break;
    case EV_UP:
    case EV_ARRIVE:
    case EV_DELIVER:
    case EV_ACK:
        sim_piece_free(w, ev->what);
        break;
    case EV_STORE:
        sim_store_job_free(w, ev->what);
        break;
    case EV_CLOSE:
        sim_ask_drop(w, ev->what);
        break;
    default:
        break; /* they hold nothing */
    }
}

static void world_release(struct sim_world *w)
{
    sim_life_release(w);
    struct stoq_wheel_event ev;
    while (stoq_wheel_pop(w->wheel, &ev)) {
        sim_event_drop(w, &ev);
    }
    stoq_wheel_free(w->wheel);
    sim_package_release(&w->package);
    sim_pool_release(&w->letters);
    sim_pool_release(&w->asks);
    sim_pool_release(&w->flows);
    sim_pool_release(&w->pieces);
    sim_pool_release(&w->jobs);
    free(w->nodes);
}

/* When what is under way has ended, also what waits for the end of a partition. */
static stoq_ns settled_at(const struct sim_world *w)
{
    stoq_ns healed = w->cfg.partition_at + w->cfg.partition_for;
    bool is_waiting = w->cfg.partition_for != 0 && w->now >= w->cfg.partition_at && w->now < healed;
    return (is_waiting ? healed : w->now) + SIM_SETTLE;
}

enum stoq_status sim_run(const struct sim_config *cfg, struct sim_result *out)
{
    struct sim_world *w = sim_alloc(1, sizeof *w);
    struct stoq_wheel_event ev;
    memset(out, 0, sizeof *out);
    w->cfg = *cfg;
    w->result = out;
    fill_defaults(&w->cfg);
    if (!is_sane(&w->cfg)) {
        free(w);
        return STOQ_RANGE;
    }
    world_make(w);
    stoq_ns until = w->cfg.until;
    while (stoq_wheel_pop(w->wheel, &ev)) {
        w->now = ev.at;
        if (ev.at >= until) {
            sim_event_drop(w, &ev);
            break;
        }
        out->events++;
        sim_note(w, ev.at, (uint64_t)ev.to << 32 | ev.from);
        sim_note(w, ev.kind, ev.seq);
        dispatch(w, &ev);
        sim_drain(w, ev.to);
        if (w->left == 0 && until == w->cfg.until) {
            until = settled_at(w);
        }
    }
    out->ended_at = w->now;
    sim_check_end(w);
    sum_up(w);
    world_release(w);
    free(w);
    return STOQ_OK;
}
