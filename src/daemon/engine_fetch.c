/*
 * Fetches as their callers see them: a wait that lasts. The network thread fills struct stoq_fetch under its
 * lock, the caller looks at it ten times a second to report progress and to ask whether it should stop.
 * At the end what each source did becomes one sentence and one code.
 */
#include "daemon/engine_internal.h"

#include "api/error.h"
#include "os/cond.h"
#include "os/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_NS (100 * STOQ_MS)

struct stoq_fetch *engine_fetch_find(struct stoq_engine *e, stoq_fetch_id number)
{
    struct stoq_fetch *f = e->fetches;
    while (f != NULL && f->number != number) {
        f = f->next;
    }
    return f;
}

void engine_progress(struct stoq_engine *e, stoq_ns now)
{
    (void)now;
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
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

static struct source_note *note_of(struct stoq_engine *e, stoq_fetch_id fetch, const struct peer *p)
{
    struct stoq_fetch *f = engine_fetch_find(e, fetch);
    for (size_t i = 0; f != NULL && i < f->peer_count; i++) {
        if (f->peers[i] == p) {
            return &f->notes[i];
        }
    }
    return NULL;
}

void engine_fetch_held(struct stoq_engine *e, stoq_fetch_id fetch, const struct peer *p,
                       stoq_ns time, uint64_t cap)
{
    struct source_note *note = note_of(e, fetch, p);
    if (note != NULL) {
        note->held_ns += time;
        note->cap_here = cap != 0 ? cap : note->cap_here;
    }
}

void engine_fetch_capped(struct stoq_engine *e, stoq_fetch_id fetch, const struct peer *p,
                         uint64_t cap)
{
    struct source_note *note = note_of(e, fetch, p);
    if (note != NULL) {
        note->cap_there = cap;
    }
}

void engine_ready(struct stoq_engine *e)
{
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        uint64_t ready;
        if (f->ask->until == 0 || !stoq_node_fetch_ready(e->node, f->number, &ready)) {
            continue;
        }
        pthread_mutex_lock(&f->lock);
        f->ready = ready;
        if (ready > f->waited_at) {
            pthread_cond_signal(&f->changed);
        }
        pthread_mutex_unlock(&f->lock);
    }
}

static void fetch_finish(struct stoq_fetch *f, enum stoq_status status)
{
    struct stoq_engine *e = f->engine;
    engine_past_keep(e, f, status);
    struct stoq_fetch **at = &e->fetches;
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

/* Nanoseconds from the beginning to a step, at least 1; 0: it was not reached. */
static stoq_ns since(const struct stoq_node_report *report, stoq_ns at)
{
    return at <= report->started_at ? at != 0 : at - report->started_at;
}

struct stoq_fetch_times engine_fetch_times(const struct stoq_node_report *report)
{
    return (struct stoq_fetch_times){.source_ns = since(report, report->source_at),
                                     .manifest_ns = since(report, report->manifest_at),
                                     .shard_list_ns = since(report, report->shard_list_at),
                                     .chunks_ns = since(report, report->chunks_at)};
}

void engine_fetch_source(const struct stoq_fetch *f, size_t i,
                         const struct stoq_node_report *report,
                         struct stoq_fetch_report_source *out)
{
    const struct peer *p = f->peers[i];
    out->peer = p->id;
    out->addr = p->conn_count > 0 || p->addr_count == 0 ? p->addr : p->addrs[0];
    out->connected = p->group[0] != '\0';
    memcpy(out->group, p->group, sizeof out->group);
    out->held_ns = f->notes[i].held_ns;
    out->cap_here_bytes_per_s = f->notes[i].cap_here;
    out->cap_there_bytes_per_s = f->notes[i].cap_there;
    const struct stoq_node_source_report *src = NULL;
    for (uint32_t k = 0; k < report->source_count; k++) {
        if (report->sources[k].peer == p->number) {
            src = &report->sources[k];
        }
    }
    if (src == NULL) {
        return;
    }
    out->ready_ns = since(report, src->ready_at);
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
static const char *connect_code(const struct stoq_fetch *f)
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
static void explain(struct stoq_fetch *f, enum stoq_status status)
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

void engine_fetch_done(struct stoq_fetch *f, const struct stoq_node_report *report)
{
    struct stoq_fetch_report *out = f->report;
    enum stoq_status status = report->status;
    out->bytes = report->bytes;
    out->chunks = report->chunks;
    out->shards = report->shards;
    out->shards_known = report->shards_known;
    out->bytes_had = report->bytes_had - f->seed_bytes; /* the node cannot tell them apart */
    out->bytes_from_seed = f->seed_bytes;
    out->bytes_shared = report->bytes_shared;
    out->bytes_from_peers = report->bytes_from_peers;
    out->bytes_wire = report->bytes_wire;
    out->bytes_new = report->bytes_new + f->seed_bytes_new;
    out->elapsed_ns = report->ended_at - report->started_at;
    out->times = engine_fetch_times(report);
    out->complete_before = status == STOQ_OK && report->chunks_from_peers == 0 &&
                           f->seed_bytes == 0 && report->chunks_shared == 0;
    out->source_count = f->peer_count;
    bool damaged = false;
    engine_budget_note(f->engine, f->number);
    for (size_t i = 0; i < f->peer_count; i++) {
        engine_fetch_source(f, i, report, &f->report->sources[i]);
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
    if (status == STOQ_NET && f->peer_count == 0) {
        engine_sources_none(f);
    } else if (status != STOQ_OK) {
        explain(f, status);
    }
    fetch_finish(f, status);
}

static void fetch_begin(struct stoq_engine *e, void *arg)
{
    struct stoq_fetch *f = arg;
    stoq_peer numbers[STOQ_FETCH_SOURCES_MAX];
    f->number = ++e->fetch_last;
    f->next = e->fetches;
    e->fetches = f;
    e->past_changed = true;
    enum stoq_status st = e->draining ? STOQ_BUSY : engine_sources_begin(f);
    for (size_t i = 0; i < f->peer_count; i++) {
        numbers[i] = f->peers[i]->number;
    }
    if (st == STOQ_OK) {
        struct stoq_node_event ev = {
            .kind = STOQ_NODE_FETCH,
            .u.fetch = {.fetch = f->number,
                        .id = f->ask->id,
                        .sources = numbers,
                        .source_count = (uint32_t)f->peer_count,
                        .more = f->more,
                        .strategy = f->ask->until == 0 ? f->ask->strategy : STOQ_SWARM_SEQUENTIAL,
                        .priority = f->ask->priority,
                        .is_part = f->ask->is_part,
                        .first = f->ask->first,
                        .end = f->ask->end,
                        .until = f->ask->until}};
        st = engine_feed(e, &ev);
    }
    if (st == STOQ_OK) {
        engine_sources_lend(f);
    }
    if (st != STOQ_OK) {
        (void)snprintf(f->why, sizeof f->why, "cannot start the fetch: %s", stoq_status_str(st));
        fetch_finish(f, st);
    }
}

static void fetch_stop(struct stoq_engine *e, void *arg)
{
    struct stoq_fetch *f = arg;
    if (engine_fetch_find(e, f->number) == f) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {f->number}};
        (void)engine_feed(e, &ev);
    }
}

static void fetch_go_on(struct stoq_engine *e, void *arg)
{
    struct stoq_fetch *f = arg;
    struct stoq_node_event ev = {.kind = STOQ_NODE_WANT, .u.want = {f->number, f->until}};
    if (engine_fetch_find(e, f->number) == f) {
        (void)engine_feed(e, &ev);
    }
}

/* Wait for news or for POLL_NS, and see to the caller's wishes. True when the fetch is over, or byte
 * `at` of it can be read. */
static bool fetch_wait(struct stoq_fetch *f, uint64_t at)
{
    const struct stoq_fetch_ask *ask = f->ask;
    pthread_mutex_lock(&f->lock);
    f->waited_at = at;
    if (!f->done && f->ready <= at) {
        (void)stoq_cond_wait_until(&f->changed, &f->lock, stoq_now() + POLL_NS);
    }
    struct stoq_fetch_progress progress = f->progress;
    bool over = f->done || f->ready > at;
    pthread_mutex_unlock(&f->lock);
    if (over) {
        return true;
    }
    if (ask->progress != NULL) {
        ask->progress(ask->user, &progress);
    }
    f->timed_out = f->timed_out || stoq_now() >= f->limit;
    bool stop = f->timed_out || (ask->cancelled != NULL && ask->cancelled(ask->user));
    if (stop && !f->stopping) {
        f->stopping = true;
        engine_call(f->engine, fetch_stop, f);
    }
    return false;
}

enum stoq_status stoq_fetch_begin(struct stoq_engine *e, const struct stoq_fetch_ask *ask,
                                  struct stoq_fetch_report *report, struct stoq_fetch **out,
                                  struct stoq_error *err)
{
    memset(report, 0, sizeof *report);
    if (ask->source_count > STOQ_FETCH_SOURCES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "%zu sources named; at most %d can be asked at once",
                         ask->source_count, STOQ_FETCH_SOURCES_MAX);
    }
    struct stoq_fetch *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a fetch");
    }
    f->engine = e;
    f->began_ns = stoq_now();
    f->began_at = stoq_wall_seconds();
    f->ask = ask;
    f->report = report;
    f->until = ask->until;
    f->limit = ask->timeout_ns == 0 ? STOQ_NEVER : stoq_now() + ask->timeout_ns;
    stoq_cond_init(&f->changed);
    STOQ_ASSERT(pthread_mutex_init(&f->lock, NULL) == 0);
    engine_call(e, fetch_begin, f);
    *out = f;
    return STOQ_OK;
}

/* Its time is over: is that because nobody could be reached? */
static enum stoq_status timed_out(const struct stoq_fetch *f, struct stoq_error *err)
{
    double seconds = (double)f->ask->timeout_ns / 1e9;
    const struct stoq_fetch_report *r = f->report;
    size_t silent = 0;
    while (silent < r->source_count && !r->sources[silent].connected) {
        silent++;
    }
    if (silent == 0 || silent < r->source_count) {
        return stoq_fail(err, STOQ_TIMEOUT, 0, "not complete within %.1f s; what is verified stays",
                         seconds);
    }
    char addr[STOQ_ADDR_TEXT_MAX];
    return stoq_fail(err, STOQ_TIMEOUT, 0,
                     "not complete within %.1f s: nobody answered at %s%s; what is verified stays",
                     seconds, stoq_addr_format(&r->sources[0].addr, addr),
                     silent > 1 ? ", nor at the other sources' addresses" : "");
}

enum stoq_status engine_fetch_result(const struct stoq_fetch *f, enum stoq_status status,
                                     struct stoq_error *err)
{
    if (status == STOQ_OK) {
        return STOQ_OK;
    }
    if (f->timed_out && status == STOQ_CANCELLED) {
        return timed_out(f, err);
    }
    return stoq_fail_code(err, status, f->code, "%s", f->why);
}

void stoq_fetch_want(struct stoq_fetch *f, uint64_t until)
{
    if (until > f->until) {
        f->until = until;
        engine_call(f->engine, fetch_go_on, f);
    }
}

enum stoq_status stoq_fetch_wait(struct stoq_fetch *f, uint64_t at, uint64_t until,
                                 struct stoq_error *err)
{
    stoq_fetch_want(f, until);
    while (!fetch_wait(f, at)) {
    }
    return stoq_fetch_ready(f) > at ? STOQ_OK : engine_fetch_result(f, f->status, err);
}

uint64_t stoq_fetch_ready(struct stoq_fetch *f)
{
    pthread_mutex_lock(&f->lock);
    uint64_t ready = f->ready;
    pthread_mutex_unlock(&f->lock);
    return ready;
}

enum stoq_status stoq_fetch_end(struct stoq_fetch *f, bool stop, struct stoq_error *err)
{
    if (f == NULL) {
        return STOQ_OK;
    }
    if (stop) {
        f->stopping = true;
        engine_call(f->engine, fetch_stop, f);
    } else if (f->ask->until != 0) {
        stoq_fetch_want(f, UINT64_MAX);
    }
    while (!fetch_wait(f, UINT64_MAX)) {
    }
    enum stoq_status st = engine_fetch_result(f, f->status, err);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return st;
}

enum stoq_status stoq_engine_fetch(struct stoq_engine *e, const struct stoq_fetch_ask *ask,
                                   struct stoq_fetch_report *report, struct stoq_error *err)
{
    struct stoq_fetch *f = NULL;
    enum stoq_status st = stoq_fetch_begin(e, ask, report, &f, err);
    return st == STOQ_OK ? stoq_fetch_end(f, false, err) : st;
}
