/*
 * The engine's life and its blocking face. One thread runs the loop; every other thread talks to it by
 * posting a call and waiting on a condition. A fetch is such a wait that lasts: the network thread
 * fills struct fetch under its lock, the caller looks at it ten times a second to report progress and
 * to ask whether it should stop.
 */
#include "daemon/engine_internal.h"

#include "api/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_NS (100 * STOQ_MS)

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

/* The one place where the node's wishes are met: after all events at hand. */
static void before_wait(void *user)
{
    struct stoq_engine *e = user;
    stoq_ns now = stoq_now();
    engine_drain(e);
    engine_pump(e);
    engine_drain(e);
    if (now >= e->sweep_at) {
        engine_sweep(e, now);
        e->sweep_at = now + ENGINE_SWEEP;
        engine_drain(e);
    }
    if (e->fetches != NULL && now >= e->progress_at) {
        engine_progress(e, now);
        e->progress_at = now + ENGINE_PROGRESS;
    }
    stoq_ns deadline = stoq_node_deadline(e->node);
    if (e->inbounds.count > 0 && e->sweep_at < deadline) {
        deadline = e->sweep_at;
    }
    if (e->fetches != NULL && e->progress_at < deadline) {
        deadline = e->progress_at;
    }
    stoq_timer_set(e->timer, deadline);
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

/* A call from another thread. */
struct call {
    struct stoq_post post;
    struct stoq_engine *engine;
    void (*fn)(struct stoq_engine *e, void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void run_call(struct stoq_post *post)
{
    struct call *c = (struct call *)post; /* its first member */
    c->fn(c->engine, c->arg);
    pthread_mutex_lock(&c->lock);
    c->done = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void call(struct stoq_engine *e, void (*fn)(struct stoq_engine *e, void *arg), void *arg)
{
    struct call c = {.post = {.run = run_call}, .engine = e, .fn = fn, .arg = arg};
    STOQ_ASSERT(pthread_mutex_init(&c.lock, NULL) == 0);
    STOQ_ASSERT(pthread_cond_init(&c.changed, NULL) == 0);
    stoq_loop_post(e->loop, &c.post);
    pthread_mutex_lock(&c.lock);
    while (!c.done) {
        pthread_cond_wait(&c.changed, &c.lock);
    }
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.changed);
    pthread_mutex_destroy(&c.lock);
}

static enum stoq_status open_net(struct stoq_engine *e, struct stoq_error *err)
{
    struct stoq_net_config cfg = {
        .loop = e->loop,
        .key = e->cfg.key,
        .cb = {.opened = engine_opened,
               .closed = engine_closed,
               .refused = engine_refused,
               .stream = engine_stream,
               .data = engine_data,
               .writable = engine_writable,
               .stream_ended = engine_stream_ended,
               .stream_closed = engine_stream_closed},
        .user = e,
        .listen = e->cfg.listen,
        .listen_count = e->cfg.listen_count,
        .mode = e->cfg.mode,
        .cc = e->cfg.cc,
        .packet_bytes_max = e->cfg.packet_bytes_max,
        .connections_max = e->cfg.connections_max,
        .conn_window_bytes = ENGINE_CONN_WINDOW,
        .idle_timeout_ns = e->cfg.idle_timeout_ns,
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
    stoq_net_free(e->net);
    stoq_timer_free(e->timer);
    stoq_loop_free(e->loop);
    stoq_node_free(e->node);
    engine_helds_close(e);
    engine_pieces_release(e);
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        free(e->peers[i]);
    }
    stoq_map_release(&e->conns);
    stoq_map_release(&e->asks);
    stoq_map_release(&e->cookies);
    stoq_map_release(&e->streams);
    stoq_map_release(&e->inbounds);
    free(e);
}

static enum stoq_status build(struct stoq_engine *e, struct stoq_error *err)
{
    uint64_t seed;
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
    struct stoq_node_config node = {.agent = stoq_span_str(e->agent)};
    st = stoq_node_new(&e->node, &node, seed ^ 0x5eed);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "node: %s", stoq_status_str(st));
    }
    /* Hooks run in the order of their adding: ours first, the transport's flush behind it. */
    stoq_loop_before_wait(e->loop, &e->hook);
    return open_net(e, err);
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
    e->pump_last = &e->pump_first;
    e->sweep_at = stoq_now() + ENGINE_SWEEP;
    e->hook = (struct stoq_hook){.run = before_wait, .user = e};
    e->cfg.listen = cfg->listen;
    enum stoq_status st = build(e, err);
    e->cfg.listen = NULL;
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
    for (struct fetch *f = e->fetches; f != NULL; f = f->next) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {f->number}};
        (void)engine_feed(e, &ev);
    }
}

static void cut_all(struct stoq_engine *e, void *arg)
{
    (void)arg;
    engine_asks_cut(e);
    engine_serves_cut(e);
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
        call(e, count_busy, &busy);
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
    call(e, begin_drain, NULL);
    wait_idle(e, stoq_now() + drain_ns);
    call(e, cut_all, NULL);
    wait_idle(e, STOQ_NEVER); /* jobs end by themselves; nothing else is left */
    stoq_loop_stop(e->loop);
    (void)pthread_join(e->thread, NULL);
    free_parts(e);
}

bool stoq_engine_local_addr(const struct stoq_engine *e, size_t i, struct stoq_addr *out)
{
    return stoq_net_local_addr(e->net, i, out);
}

struct fetch *engine_fetch_find(struct stoq_engine *e, stoq_fetch_id number)
{
    struct fetch *f = e->fetches;
    while (f != NULL && f->number != number) {
        f = f->next;
    }
    return f;
}

void engine_progress(struct stoq_engine *e, stoq_ns now)
{
    (void)now;
    for (struct fetch *f = e->fetches; f != NULL; f = f->next) {
        struct stoq_node_fetch_progress p;
        if (!stoq_node_fetch_progress(e->node, f->number, &p)) {
            continue;
        }
        pthread_mutex_lock(&f->lock);
        f->progress = (struct stoq_fetch_progress){.bytes_total = p.bytes_total,
                                                   .bytes_done = p.bytes_done,
                                                   .bytes_from_peers = p.bytes_from_peers,
                                                   .sources = p.sources};
        pthread_mutex_unlock(&f->lock);
    }
}

static void fetch_finish(struct fetch *f, enum stoq_status status)
{
    struct stoq_engine *e = f->engine;
    struct fetch **at = &e->fetches;
    while (*at != NULL && *at != f) {
        at = &(*at)->next;
    }
    if (*at == f) {
        *at = f->next;
    }
    for (size_t i = 0; i < f->peer_count; i++) {
        engine_peer_unref(e, f->peers[i]);
    }
    pthread_mutex_lock(&f->lock);
    f->status = status;
    f->done = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void report_source(struct fetch *f, size_t i, const struct stoq_node_report *report)
{
    struct stoq_fetch_report_source *out = &f->report->sources[i];
    const struct peer *p = f->peers[i];
    out->peer = p->id;
    out->addr = p->addr;
    out->connected = p->group[0] != '\0';
    memcpy(out->group, p->group, sizeof out->group);
    const struct stoq_node_source_report *src = NULL;
    for (uint32_t k = 0; k < report->source_count; k++) {
        if (report->sources[k].peer == p->number) {
            src = &report->sources[k];
        }
    }
    if (src == NULL) {
        return;
    }
    out->bytes = src->bytes;
    out->bytes_stored = src->wire_bytes;
    out->chunks = src->chunks;
    out->status = p->damaged && src->status == STOQ_OK ? STOQ_PROOF : src->status;
    if (out->status == STOQ_OK) {
        return;
    }
    if (p->why[0] != '\0') {
        (void)snprintf(out->why, sizeof out->why, "%s", p->why);
    } else {
        (void)snprintf(out->why, sizeof out->why, "%s: %s", stoq_node_step_str(src->step),
                       stoq_status_str(src->status));
    }
}

static const char *fetch_code(enum stoq_status status)
{
    switch (status) {
    case STOQ_NOTFOUND:
        return "ContentNotFound";
    case STOQ_PROOF:
        return "IntegrityCheckFailed";
    default:
        return NULL;
    }
}

/* Why nobody could be connected; NULL when somebody could, or nobody was named. */
static const char *connect_code(const struct fetch *f)
{
    const char *code = NULL;
    for (size_t i = 0; i < f->peer_count; i++) {
        code = f->peers[i]->code;
        if (code == NULL) {
            return NULL;
        }
    }
    return code;
}

/* One sentence for the whole fetch, made of what the store or each source said. */
static void explain(struct fetch *f, enum stoq_status status)
{
    const struct stoq_error *refused = &f->engine->store_refused;
    if (refused->status == status && (status == STOQ_FULL || status == STOQ_IO)) {
        (void)snprintf(f->why, sizeof f->why, "fetch stopped: %.480s", refused->text);
        f->code = stoq_error_code(refused);
        return;
    }
    int n = snprintf(f->why, sizeof f->why, "no source could supply the package");
    if (status == STOQ_FULL || status == STOQ_IO || status == STOQ_NOMEM ||
        status == STOQ_CANCELLED || status == STOQ_VERSION) {
        n = snprintf(f->why, sizeof f->why, "fetch stopped: %s", stoq_status_str(status));
    }
    char name[16];
    for (size_t i = 0; i < f->peer_count && n > 0 && (size_t)n < sizeof f->why; i++) {
        const struct stoq_fetch_report_source *s = &f->report->sources[i];
        if (s->status != STOQ_OK) {
            n += snprintf(f->why + n, sizeof f->why - (size_t)n, "; %s..: %s",
                          engine_peer_name(f->peers[i], name), s->why);
        }
    }
}

void engine_fetch_done(struct fetch *f, const struct stoq_node_report *report)
{
    struct stoq_fetch_report *out = f->report;
    enum stoq_status status = report->status;
    out->bytes = report->bytes;
    out->chunks = report->chunks;
    out->shards = report->shards;
    out->shards_known = report->shards_known;
    out->bytes_had = report->bytes_had;
    out->bytes_from_peers = report->bytes_from_peers;
    out->bytes_wire = report->bytes_wire;
    out->bytes_new = report->bytes_new;
    out->elapsed_ns = report->ended_at - report->started_at;
    out->complete_before = status == STOQ_OK && report->chunks_from_peers == 0;
    out->source_count = f->peer_count;
    bool damaged = false;
    for (size_t i = 0; i < f->peer_count; i++) {
        report_source(f, i, report);
        damaged = damaged || f->peers[i]->damaged;
    }
    /* Nobody lied, yet what is left of the package is a damaged copy: say that, not "not found". */
    if (damaged && (status == STOQ_NOTFOUND || status == STOQ_NET || status == STOQ_TIMEOUT)) {
        status = STOQ_PROOF;
    }
    f->code = fetch_code(status);
    const char *code = connect_code(f);
    if (status != STOQ_OK && status != STOQ_CANCELLED && code != NULL) {
        f->code = code;
        status = status == STOQ_TIMEOUT ? STOQ_TIMEOUT : STOQ_NET;
    }
    if (status != STOQ_OK) {
        explain(f, status);
    }
    fetch_finish(f, status);
}

static enum stoq_status fetch_sources(struct stoq_engine *e, struct fetch *f)
{
    for (size_t i = 0; i < f->ask->source_count; i++) {
        const struct stoq_fetch_source *src = &f->ask->sources[i];
        struct peer *p = engine_peer(e, &src->peer);
        if (p == NULL) {
            return STOQ_FULL;
        }
        bool twice = false;
        for (size_t k = 0; k < f->peer_count; k++) {
            twice = twice || f->peers[k] == p;
        }
        if (p->state == PEER_IDLE) {
            p->addr = src->addr;
        }
        if (twice) {
            engine_peer_unref(e, p);
            continue;
        }
        p->why[0] = '\0';
        p->code = NULL;
        p->damaged = false;
        f->peers[f->peer_count++] = p;
    }
    return STOQ_OK;
}

static void fetch_begin(struct stoq_engine *e, void *arg)
{
    struct fetch *f = arg;
    stoq_peer numbers[STOQ_FETCH_SOURCES_MAX];
    f->number = ++e->fetch_last;
    f->next = e->fetches;
    e->fetches = f;
    enum stoq_status st = e->draining ? STOQ_BUSY : fetch_sources(e, f);
    for (size_t i = 0; i < f->peer_count; i++) {
        numbers[i] = f->peers[i]->number;
    }
    if (st == STOQ_OK) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_FETCH,
                                     .u.fetch = {.fetch = f->number,
                                                 .id = f->ask->id,
                                                 .sources = numbers,
                                                 .source_count = (uint32_t)f->peer_count}};
        st = engine_feed(e, &ev);
    }
    if (st != STOQ_OK) {
        (void)snprintf(f->why, sizeof f->why, "cannot start the fetch: %s", stoq_status_str(st));
        fetch_finish(f, st);
    }
}

static void fetch_stop(struct stoq_engine *e, void *arg)
{
    struct fetch *f = arg;
    if (engine_fetch_find(e, f->number) == f) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {f->number}};
        (void)engine_feed(e, &ev);
    }
}

/* Wait for news or for POLL_NS; true when the fetch is over. */
static bool fetch_wait(struct fetch *f, struct stoq_fetch_progress *progress)
{
    struct timespec until;
    stoq_ns at = stoq_now() + POLL_NS;
    until.tv_sec = (time_t)(at / STOQ_SEC);
    until.tv_nsec = (long)(at % STOQ_SEC);
    pthread_mutex_lock(&f->lock);
    if (!f->done) {
        (void)pthread_cond_timedwait(&f->changed, &f->lock, &until);
    }
    *progress = f->progress;
    bool done = f->done;
    pthread_mutex_unlock(&f->lock);
    return done;
}

static void fetch_watch(struct stoq_engine *e, struct fetch *f, bool *timed_out)
{
    const struct stoq_fetch_ask *ask = f->ask;
    stoq_ns limit = ask->timeout_ns == 0 ? STOQ_NEVER : stoq_now() + ask->timeout_ns;
    bool stopping = false;
    struct stoq_fetch_progress progress;
    while (!fetch_wait(f, &progress)) {
        if (ask->progress != NULL) {
            ask->progress(ask->user, &progress);
        }
        *timed_out = *timed_out || stoq_now() >= limit;
        bool stop = *timed_out || (ask->cancelled != NULL && ask->cancelled(ask->user));
        if (stop && !stopping) {
            stopping = true;
            call(e, fetch_stop, f);
        }
    }
}

enum stoq_status stoq_engine_fetch(struct stoq_engine *e, const struct stoq_fetch_ask *ask,
                                   struct stoq_fetch_report *report, struct stoq_error *err)
{
    memset(report, 0, sizeof *report);
    if (ask->source_count > STOQ_FETCH_SOURCES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "%zu sources named; at most %d can be asked at once",
                         ask->source_count, STOQ_FETCH_SOURCES_MAX);
    }
    struct fetch f = {.engine = e, .ask = ask, .report = report};
    pthread_condattr_t attr;
    STOQ_ASSERT(pthread_condattr_init(&attr) == 0);
    STOQ_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    STOQ_ASSERT(pthread_cond_init(&f.changed, &attr) == 0);
    STOQ_ASSERT(pthread_mutex_init(&f.lock, NULL) == 0);
    pthread_condattr_destroy(&attr);
    bool timed_out = false;
    call(e, fetch_begin, &f);
    fetch_watch(e, &f, &timed_out);
    pthread_cond_destroy(&f.changed);
    pthread_mutex_destroy(&f.lock);
    if (f.status == STOQ_OK) {
        return STOQ_OK;
    }
    if (timed_out && f.status == STOQ_CANCELLED) {
        return stoq_fail(err, STOQ_TIMEOUT, 0, "not complete within %.1f s; what is verified stays",
                         (double)ask->timeout_ns / 1e9);
    }
    return stoq_fail_code(err, f.status, f.code, "%s", f.why);
}

struct snapshot {
    struct stoq_engine_peer *list;
    size_t count;
    size_t cap;
};

static void count_conns(void *user, const struct stoq_net_info *info)
{
    (void)info;
    ((struct snapshot *)user)->cap++;
}

struct snapshot_add {
    struct snapshot *s;
    struct stoq_engine *e;
};

static void add_conn(void *user, const struct stoq_net_info *info)
{
    struct snapshot_add *a = user;
    if (a->s->count == a->s->cap) {
        return;
    }
    struct stoq_engine_peer *out = &a->s->list[a->s->count++];
    out->net = *info;
    const struct peer *p = stoq_map_get(&a->e->conns, (struct stoq_map_key){info->conn, 0});
    if (p != NULL) {
        memcpy(out->agent, p->agent, sizeof out->agent);
        out->bytes_served = p->bytes_served;
        out->bytes_fetched = p->bytes_fetched;
        out->requests_served = p->requests_served;
    }
}

static void take_snapshot(struct stoq_engine *e, void *arg)
{
    struct snapshot *s = arg;
    stoq_net_each(e->net, count_conns, s);
    s->list = calloc(s->cap == 0 ? 1 : s->cap, sizeof *s->list);
    if (s->list != NULL) {
        stoq_net_each(e->net, add_conn, &(struct snapshot_add){s, e});
    }
}

enum stoq_status stoq_engine_peers(struct stoq_engine *e,
                                   void (*fn)(void *user, const struct stoq_engine_peer *peer),
                                   void *user)
{
    struct snapshot s = {0};
    call(e, take_snapshot, &s);
    if (s.list == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < s.count; i++) {
        fn(user, &s.list[i]);
    }
    free(s.list);
    return STOQ_OK;
}

static void take_stats(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_stats *out = arg;
    struct stoq_node_stats node;
    stoq_net_stats(e->net, &out->net);
    stoq_node_stats(e->node, &node);
    out->bytes_served = e->bytes_served;
    out->bytes_fetched = e->bytes_fetched;
    out->requests_served = node.requests_served;
    out->requests_refused = node.requests_refused;
    out->serving = node.serves;
    out->fetching = node.fetches;
}

enum stoq_status stoq_engine_stats(struct stoq_engine *e, struct stoq_engine_stats *out)
{
    memset(out, 0, sizeof *out);
    call(e, take_stats, out);
    return STOQ_OK;
}
