/*
 * The engine's life and its blocking face. One thread runs the loop; every other thread talks to it by
 * posting a call and waiting on a condition.
 */
#include "daemon/engine_internal.h"

#include <malloc.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIGURES_WAIT STOQ_SEC /* for those of other network threads, at most */

void engine_log(struct stoq_engine *e, const char *fmt, ...)
{
    if (e->cfg.log == NULL) {
        return;
    }
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    e->cfg.log(e->cfg.log_user, line);
}

enum stoq_status engine_feed(struct stoq_engine *e, const struct stoq_node_event *ev)
{
    enum stoq_status st = stoq_node_feed(e->node, ev, stoq_now());
    if (st != STOQ_OK && ev->kind != STOQ_NODE_FETCH) {
        engine_log(e, "node: event %d not taken in: %s", (int)ev->kind, stoq_status_str(st));
    }
    return st;
}

enum stoq_status engine_run(struct stoq_engine *e, struct stoq_job *job)
{
    enum stoq_status st = stoq_workers_run(e->workers, job);
    e->jobs += st == STOQ_OK;
    return st;
}

void engine_job_done(struct stoq_engine *e)
{
    STOQ_ASSERT(e->jobs > 0);
    e->jobs--;
}

/* When the last piece goes, its arena goes back to the system: by itself the allocator keeps what lies below
 * anything that is in use. */
static void trim_idle(struct stoq_engine *e)
{
    bool has_pieces = e->pieces_idle.count > 0;
    stoq_shelf_trim(&e->batches_idle, engine_batch_drop);
    stoq_shelf_trim(&e->pieces_idle, engine_piece_drop);
    if (has_pieces && e->pieces_idle.count == 0) {
        (void)malloc_trim(0);
    }
}

/* When the loop is to wake if nothing comes. Those that ran have said when they want to run again. */
static stoq_ns wake_at(const struct stoq_engine *e, stoq_ns dht, stoq_ns exchange)
{
    const stoq_ns at[] = {
        dht,
        exchange,
        stoq_node_deadline(e->node),
        stoq_qos_deadline(e->qos),
        engine_placements_deadline(e),
        engine_yield_deadline(e),
        engine_dials_deadline(e),
        engine_sources_deadline(e),
        engine_names_deadline(e),
        engine_rtts_deadline(e),
        engine_known_deadline(e),
        engine_past_deadline(e),
        e->fetches != NULL ? e->progress_at : STOQ_NEVER,
    };
    bool has_idle = e->batches_idle.count > 0 || e->pieces_idle.count > 0;
    stoq_ns soonest = e->inbounds.count > 0 || has_idle ? e->sweep_at : STOQ_NEVER;
    for (size_t i = 0; i < STOQ_COUNT(at); i++) {
        soonest = at[i] < soonest ? at[i] : soonest;
    }
    return soonest;
}

/* The one place where the node's wishes are met: after all events at hand. */
static void before_wait(void *user)
{
    struct stoq_engine *e = user;
    stoq_ns now = stoq_now();
    engine_drain(e);
    engine_budget_run(e, now);
    engine_yield_run(e, now);
    engine_pump(e);
    engine_drain(e);
    if (now >= e->sweep_at) {
        engine_budget_clock(e, now);
        engine_sweep(e, now);
        trim_idle(e);
        e->sweep_at = now + ENGINE_SWEEP;
        engine_drain(e);
    }
    engine_ready(e);
    if (e->fetches != NULL && now >= e->progress_at) {
        engine_progress(e, now);
        e->progress_at = now + ENGINE_PROGRESS;
    }
    engine_rtts_run(e, now);
    engine_known_save(e, now);
    engine_trust_save(e, now);
    engine_past_save(e, now);
    engine_placements_run(e, now);
    engine_dials_run(e);
    engine_sources_run(e, now);
    engine_names_run(e, now);
    engine_drain(e);
    stoq_ns dht = engine_dht_run(e, now);
    stoq_ns exchange = engine_exchange_run(e, now);
    stoq_timer_set(e->timer, wake_at(e, dht, exchange));
}

static void on_timer(void *user)
{
    (void)user; /* before_wait does the work */
}

static void *engine_main(void *arg)
{
    struct stoq_engine *e = arg;
    stoq_loop_run(e->loop);
    return NULL;
}

static void run_beat(struct stoq_post *post)
{
    struct stoq_engine *e =
        (struct stoq_engine *)(void *)((uint8_t *)post - offsetof(struct stoq_engine, beat));
    atomic_store(&e->beat_pending, false);
}

bool stoq_engine_beat(struct stoq_engine *e)
{
    if (atomic_exchange(&e->beat_pending, true)) {
        return false;
    }
    e->beat.run = run_beat;
    stoq_loop_post(e->loop, &e->beat);
    return true;
}

static void fill_limits(struct stoq_engine_limits *l)
{
    l->connections = l->connections == 0 ? 4096 : l->connections;
    if (l->connections_prefix == 0) {
        l->connections_prefix = (l->connections + 1) / 2;
    }
    l->handshakes = l->handshakes == 0 ? 512 : l->handshakes;
    l->streams = l->streams == 0 ? 128 : l->streams;
    l->memory_peer_bytes = l->memory_peer_bytes == 0 ? ENGINE_PEER_MEMORY : l->memory_peer_bytes;
    l->memory_bytes = l->memory_bytes == 0 ? STOQ_GIB : l->memory_bytes;
}

static enum stoq_status open_net(struct stoq_engine *e, struct stoq_error *err)
{
    const struct stoq_engine_limits *l = &e->cfg.limits;
    /* Of what a connection may hold a third is what arrives, the rest what waits to be acknowledged. */
    uint64_t conn_bytes = l->memory_peer_bytes / ENGINE_PEER_CONNS_MAX;
    uint64_t window = conn_bytes / 3 < ENGINE_CONN_WINDOW ? conn_bytes / 3 : ENGINE_CONN_WINDOW;
    /* What the window lets come a cap cannot hold: 0.3 s of it, so that even the first ten seconds
     * stay within 5 %, and a round trip of as much still reaches the cap. */
    uint64_t ahead = e->cfg.down_bytes_per_s / 10 * 3;
    ahead = ahead > 0 && ahead < ENGINE_WINDOW_MIN ? ENGINE_WINDOW_MIN : ahead;
    window = ahead > 0 && ahead < window ? ahead : window;
    struct stoq_net_config cfg = {
        .loop = e->loop,
        .key = e->cfg.key,
        .cb = {.opened = engine_opened,
               .closed = engine_closed,
               .refused = engine_refused,
               .stream = engine_stream,
               .data = engine_data,
               .writable = engine_writable,
               .may_open = engine_may_open,
               .stream_ended = engine_stream_ended,
               .stream_closed = engine_stream_closed,
               .rpc = e->cfg.connections_only ? NULL : engine_rpc,
               .rpc_ended = engine_rpc_ended},
        .user = e,
        .listen = e->cfg.listen,
        .listen_count = e->cfg.client ? 0 : e->cfg.listen_count,
        .network_key = e->cfg.network_key,
        .mode = e->cfg.mode,
        .cc = e->cfg.cc,
        .packet_bytes_max = e->cfg.packet_bytes_max,
        .connections_max = l->connections,
        .connections_prefix_max = l->connections_prefix,
        .handshakes_max = l->handshakes,
        .handshakes_prefix_max = (l->handshakes + 3) / 4,
        .streams_max = l->streams,
        .memory_bytes = l->memory_bytes,
        .conn_window_bytes = window,
        .send_buffer_bytes = conn_bytes - window,
        .idle_timeout_ns = e->cfg.idle_timeout_ns,
        .early_data = e->cfg.early_data,
        .threads = e->cfg.net_threads,
        .leave_code = STOQ_APP_GOING_AWAY,
    };
    return stoq_net_new(&e->net, &cfg, err);
}

static void free_parts(struct stoq_engine *e)
{
    /* Workers first: what they finish is posted and run while the rest still stands. */
    stoq_workers_free(e->workers);
    if (e->loop != NULL) {
        stoq_loop_unhook(e->loop, &e->hook);
    }
    engine_lan_free(e);
    engine_dht_close(e);
    engine_tell_close(e);
    engine_exchange_close(e);
    engine_past_close(e);
    stoq_net_free(e->net);
    stoq_timer_free(e->timer);
    stoq_loop_free(e->loop);
    engine_budget_close(e);
    engine_trust_close(e);
    stoq_node_free(e->node);
    engine_known_close(e);
    engine_helds_close(e);
    stoq_shelf_empty(&e->batches_idle, engine_batch_drop);
    stoq_shelf_empty(&e->pieces_idle, engine_piece_drop);
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        free(e->peers[i]);
    }
    stoq_buf_release(&e->rpc_proof);
    free(e->allow);
    stoq_map_release(&e->conns);
    stoq_map_release(&e->asks);
    stoq_map_release(&e->cookies);
    stoq_map_release(&e->streams);
    stoq_map_release(&e->inbounds);
    free(e);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct stoq_peer_id));
}

/* A datagram's sender is nobody that is known, so a list of peers leaves connections alone. */
static enum stoq_status take_allowed(struct stoq_engine *e)
{
    size_t n = e->cfg.allow_count;
    if (n == 0) {
        return STOQ_OK;
    }
    e->allow = calloc(n, sizeof *e->allow);
    if (e->allow == NULL) {
        return STOQ_NOMEM;
    }
    memcpy(e->allow, e->cfg.allow, n * sizeof *e->allow);
    qsort(e->allow, n, sizeof *e->allow, by_id);
    e->cfg.allow = NULL; /* the caller's, not kept */
    e->cfg.connections_only = true;
    return STOQ_OK;
}

bool engine_allows(const struct stoq_engine *e, const struct stoq_peer_id *id)
{
    return e->allow == NULL ||
           bsearch(id, e->allow, e->cfg.allow_count, sizeof *e->allow, by_id) != NULL;
}

static enum stoq_status build(struct stoq_engine *e, struct stoq_error *err)
{
    uint64_t seed;
    if (take_allowed(e) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the peers that are allowed");
    }
    enum stoq_status st = stoq_loop_new(&e->loop, err);
    if (st == STOQ_OK) {
        st = stoq_timer_new(&e->timer, e->loop, on_timer, e, err);
    }
    if (st == STOQ_OK) {
        unsigned n = e->cfg.workers == 0 ? ENGINE_WORKERS : e->cfg.workers;
        st = stoq_workers_new(&e->workers, e->loop, n, ENGINE_QUEUE_MAX, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    stoq_entropy(&seed, sizeof seed);
    stoq_map_init(&e->conns, seed);
    stoq_map_init(&e->asks, seed + 1);
    stoq_map_init(&e->cookies, seed + 2);
    stoq_map_init(&e->streams, seed + 3);
    stoq_map_init(&e->inbounds, seed + 4);
    (void)snprintf(e->agent, sizeof e->agent, "stoq/%s", STOQ_PROGRAM_VERSION);
    st = engine_budget_open(e);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "bandwidth caps: %s", stoq_status_str(st));
    }
    st = engine_known_open(e, seed + 5, err);
    if (st != STOQ_OK) {
        return st;
    }
    /* Hooks run in the order of their adding: ours first, the transport's flush behind it. */
    stoq_loop_before_wait(e->loop, &e->hook);
    e->private = e->cfg.network_key != NULL;
    if (e->private) {
        stoq_beacon_key(e->beacon_key, e->cfg.network_key);
    }
    e->serving = e->cfg.listen_count > 0 && !e->cfg.client;
    st = open_net(e, err);
    struct stoq_node_config node = {.agent = stoq_span_str(e->agent),
                                    .want_raw = e->cfg.raw,
                                    .takes_offers = e->cfg.offered != NULL,
                                    .exchanges = e->cfg.exchange && e->serving,
                                    .answers_dht = engine_dht_takes_part(e),
                                    .trust = e->cfg.trust,
                                    .fetches_running_max = e->cfg.fetches_running_max};
    if (st == STOQ_OK) {
        st = engine_rpc_offer(e, &node, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_node_new(&e->node, &node, seed ^ 0x5eed);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "node: %s", stoq_status_str(st));
    }
    engine_trust_open(e);
    engine_past_open(e);
    st = engine_dht_open(e);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "DHT: %s", stoq_status_str(st));
    }
    st = engine_exchange_open(e, seed + 6);
    st = st == STOQ_OK ? engine_tell_open(e) : st;
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "peer exchange: %s", stoq_status_str(st));
    }
    struct stoq_error lan_err;
    if (e->cfg.lan && engine_lan_start(e, &lan_err) != STOQ_OK) {
        engine_log(e, "no LAN discovery: %s", lan_err.text);
    }
    return STOQ_OK;
}

enum stoq_status stoq_engine_start(struct stoq_engine **out, const struct stoq_engine_config *cfg,
                                   struct stoq_error *err)
{
    struct stoq_engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "engine: out of memory");
    }
    e->cfg = *cfg;
    e->cfg.listen = NULL; /* the caller's, not kept */
    fill_limits(&e->cfg.limits);
    e->pump_last = &e->pump_first;
    e->room_last = &e->room_first;
    e->dialling_last = &e->dialling;
    stoq_buf_init(&e->rpc_proof, STOQ_ENVELOPE_MAX);
    e->sweep_at = stoq_now() + ENGINE_SWEEP;
    e->hook = (struct stoq_hook){.run = before_wait, .user = e};
    e->cfg.listen = cfg->listen;
    enum stoq_status st = build(e, err);
    e->cfg.listen = NULL;
    e->cfg.network_key = NULL;
    if (st != STOQ_OK) {
        free_parts(e);
        return st;
    }
    int code = pthread_create(&e->thread, NULL, engine_main, e);
    if (code != 0) {
        free_parts(e);
        return stoq_fail(err, STOQ_IO, code, "start the network thread");
    }
    e->thread_runs = true;
    *out = e;
    return STOQ_OK;
}

static void begin_drain(struct stoq_engine *e, void *arg)
{
    (void)arg;
    e->draining = true;
    engine_lan_leave(e);
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {f->number}};
        (void)engine_feed(e, &ev);
    }
}

static void say_goodbye(void *user, const struct stoq_net_info *info)
{
    struct stoq_engine *e = user;
    stoq_net_close(e->net, info->conn, STOQ_APP_GOING_AWAY, "going away");
}

/* Connections too: a peer that is silent acknowledges nothing, and what it was sent would stay until it is
 * given up for dead. */
static void cut_all(struct stoq_engine *e, void *arg)
{
    (void)arg;
    engine_asks_cut(e);
    engine_serves_cut(e);
    engine_pings_cut(e);
    engine_dht_cut(e);
    engine_placements_cut(e);
    engine_names_cut(e);
    stoq_net_each(e->net, say_goodbye, e);
}

static void count_busy(struct stoq_engine *e, void *arg)
{
    *(size_t *)arg = e->inbounds.count + e->cookies.count + e->jobs + (e->fetches != NULL);
}

/* Wait until nothing is under way, or until a time. */
static void wait_idle(struct stoq_engine *e, stoq_ns until)
{
    size_t busy = 1;
    while (busy > 0 && stoq_now() < until) {
        engine_call(e, count_busy, &busy);
        if (busy > 0) {
            struct timespec nap = {.tv_nsec = (long)(5 * STOQ_MS)};
            (void)nanosleep(&nap, NULL);
        }
    }
}

void stoq_engine_stop(struct stoq_engine *e, stoq_ns drain_ns)
{
    if (e == NULL) {
        return;
    }
    engine_call(e, begin_drain, NULL);
    wait_idle(e, stoq_now() + drain_ns);
    engine_call(e, cut_all, NULL);
    wait_idle(e, STOQ_NEVER); /* jobs end by themselves; nothing else is left */
    stoq_loop_stop(e->loop);
    (void)pthread_join(e->thread, NULL);
    free_parts(e);
}

bool stoq_engine_local_addr(const struct stoq_engine *e, size_t i, struct stoq_addr *out)
{
    return !e->cfg.client && stoq_net_local_addr(e->net, i, out);
}

static void count_conns(void *user, const struct stoq_net_info *info)
{
    (void)info;
    ++*(size_t *)user;
}

struct snapshot {
    struct engine_list *list;
    struct stoq_engine *e;
};

static void add_conn(void *user, const struct stoq_net_info *info)
{
    struct snapshot *s = user;
    struct stoq_engine *e = s->e;
    if (s->list->count == s->list->room) {
        return;
    }
    struct stoq_engine_peer *out = (struct stoq_engine_peer *)s->list->v + s->list->count++;
    out->net = *info;
    const struct peer *p = stoq_map_get(&e->conns, (struct stoq_map_key){info->conn, 0});
    struct stoq_msg_hello hello;
    if (p != NULL) {
        out->said_hello = stoq_node_peer_hello(e->node, p->number, &hello);
        out->raw = e->cfg.raw || (out->said_hello && (hello.features & STOQ_FEATURE_ZSTD) == 0);
        memcpy(out->agent, p->agent, sizeof out->agent);
        out->bytes_served = p->bytes_served;
        out->bytes_fetched = p->bytes_fetched;
        out->requests_served = p->requests_served;
    }
}

static void take_peers(struct stoq_engine *e, void *arg)
{
    size_t n = 0;
    stoq_net_each(e->net, count_conns, &n);
    if (engine_list_room(arg, n)) {
        stoq_net_each(e->net, add_conn, &(struct snapshot){arg, e});
    }
}

struct peer_tale {
    void (*fn)(void *user, const struct stoq_engine_peer *peer);
    void *user;
};

static void tell_peer(void *arg, const void *item)
{
    const struct peer_tale *tale = arg;
    tale->fn(tale->user, item);
}

static void ask_figures(struct stoq_engine *e, void *arg)
{
    (void)arg;
    stoq_net_refresh(e->net);
}

/* Bring figures of the other network threads up to date, as far as those answer. Not on the engine's. */
static void refresh(struct stoq_engine *e)
{
    engine_call(e, ask_figures, NULL);
    (void)stoq_net_refreshed(e->net, stoq_now() + FIGURES_WAIT);
}

enum stoq_status stoq_engine_peers(struct stoq_engine *e,
                                   void (*fn)(void *user, const struct stoq_engine_peer *peer),
                                   void *user)
{
    struct peer_tale tale = {fn, user};
    refresh(e);
    return engine_list_tell(e, sizeof(struct stoq_engine_peer), take_peers, tell_peer, &tale);
}

/* A peer's connections and what they hold, while they are counted. */
struct usage {
    struct stoq_engine *e;
    struct stoq_engine_limits *used;
};

static void add_usage(void *user, const struct stoq_net_info *info)
{
    struct usage *u = user;
    struct peer *p = stoq_map_get(&u->e->conns, (struct stoq_map_key){info->conn, 0});
    uint64_t memory = info->memory_bytes;
    if (p != NULL) {
        p->memory_bytes += info->memory_bytes;
        memory = p->memory_bytes;
    }
    if (memory > u->used->memory_peer_bytes) {
        u->used->memory_peer_bytes = memory;
    }
    if (info->peer_streams > u->used->streams) {
        u->used->streams = (uint32_t)info->peer_streams;
    }
}

static void take_usage(struct stoq_engine *e, const struct stoq_net_stats *net,
                       struct stoq_engine_limits *used)
{
    *used = (struct stoq_engine_limits){.connections = net->connections,
                                        .connections_prefix = net->connections_prefix,
                                        .handshakes = net->handshakes,
                                        .memory_bytes = net->memory_bytes};
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        e->peers[i]->memory_bytes = 0;
    }
    stoq_net_each(e->net, add_usage, &(struct usage){e, used});
}

static void take_stats(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_stats *out = arg;
    struct stoq_node_stats node;
    stoq_net_stats(e->net, &out->net);
    while (stoq_net_thread_stats(e->net, out->thread_count, &out->threads[out->thread_count])) {
        out->thread_count++;
    }
    stoq_node_stats(e->node, &node);
    out->bytes_served = e->bytes_served;
    out->bytes_fetched = e->bytes_fetched;
    out->requests_served = node.requests_served;
    out->requests_refused = node.requests_refused + e->requests_refused;
    out->requests_malformed = node.requests_malformed;
    out->requests_slow = e->requests_slow;
    out->replies_stalled = e->replies_stalled;
    out->streams_broken = e->streams_broken;
    out->peers_closed = e->peers_closed;
    out->peers_known = stoq_known_count(e->known);
    out->dials = e->dials;
    out->dials_most = e->dials_most;
    out->dials_all_most = e->dials_all_most;
    out->dials_begun = e->dials_begun;
    out->early_asks = e->early_asks;
    out->dials_waiting = engine_dials_waiting(e);
    out->limits = e->cfg.limits;
    take_usage(e, &out->net, &out->used);
    out->serving = node.serves;
    out->fetching = node.fetches;
}

enum stoq_status stoq_engine_stats(struct stoq_engine *e, struct stoq_engine_stats *out)
{
    memset(out, 0, sizeof *out);
    refresh(e);
    engine_call(e, take_stats, out);
    return STOQ_OK;
}
