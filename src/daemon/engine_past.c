/*
 * Fetches that are over, and those that run, for `transfers` and `why`: the last of them, with the last of
 * their requests. The home's file `transfers` has them too, written by a worker soon after something changed
 * and once more at the end, so that a restart does not make them forgotten; what ran when the process was
 * killed is there with how far it was.
 */
#include "daemon/engine_internal.h"

#include "api/error.h"
#include "daemon/history.h"
#include "os/file.h"
#include "os/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVE_EVERY (5 * STOQ_SEC)

struct past {
    struct past *next;
    struct stoq_transfer t;
    struct requests *requests;
    struct stoq_fetch_report_source sources[];
};

static void describe(struct stoq_transfer *t, const struct stoq_fetch *f)
{
    *t = (struct stoq_transfer){.number = f->number,
                                .id = f->ask->id,
                                .is_part = f->ask->is_part,
                                .first = f->ask->first,
                                .end = f->ask->end,
                                .priority = f->ask->priority,
                                .strategy =
                                    f->ask->until != 0 ? STOQ_SWARM_SEQUENTIAL : f->ask->strategy,
                                .began_at = f->began_at,
                                .elapsed_ns = stoq_now() - f->began_ns};
}

static void past_free(struct past *p)
{
    free(p->requests);
    free(p);
}

static void forget_oldest(struct stoq_engine *e)
{
    struct past **at = &e->past;
    for (size_t n = 1; *at != NULL; n++) {
        if (n > STOQ_TRANSFERS_KEPT) {
            struct past *old = *at;
            *at = old->next;
            past_free(old);
        } else {
            at = &(*at)->next;
        }
    }
}

void engine_past_keep(struct stoq_engine *e, struct stoq_fetch *f, enum stoq_status status)
{
    const struct stoq_fetch_report *r = f->report;
    struct past *p = malloc(sizeof *p + r->source_count * sizeof p->sources[0]);
    if (p == NULL) {
        free(f->requests);
        f->requests = NULL;
        return;
    }
    describe(&p->t, f);
    p->requests = f->requests;
    f->requests = NULL;
    p->t.over = true;
    struct stoq_error err;
    p->t.status = engine_fetch_result(f, status, &err);
    if (p->t.status != STOQ_OK) {
        (void)snprintf(p->t.code, sizeof p->t.code, "%s", stoq_error_code(&err));
        (void)snprintf(p->t.why, sizeof p->t.why, "%.500s", err.text);
    }
    p->t.bytes = r->bytes;
    p->t.bytes_had = r->bytes_had;
    p->t.bytes_from_seed = r->bytes_from_seed;
    p->t.bytes_from_peers = r->bytes_from_peers;
    p->t.bytes_wire = r->bytes_wire;
    p->t.times = r->times;
    p->t.source_count = r->source_count;
    memcpy(p->sources, r->sources, r->source_count * sizeof p->sources[0]);
    p->next = e->past;
    e->past = p;
    forget_oldest(e);
    e->past_changed = true;
}

struct requests **engine_past_requests(struct stoq_engine *e, stoq_fetch_id number)
{
    struct stoq_fetch *f = engine_fetch_find(e, number);
    if (f != NULL) {
        return &f->requests;
    }
    struct past *p = e->past;
    while (p != NULL && p->t.number != number) {
        p = p->next;
    }
    return p != NULL ? &p->requests : NULL;
}

/* Every transfer, the sources of all and the requests of all: each list in one piece. */
struct snapshot {
    struct stoq_transfer *list;
    struct stoq_fetch_report_source *sources;
    struct stoq_request *requests;
    size_t count;
    size_t source_count;
    size_t request_count;
};

static bool snapshot_room(struct snapshot *s, struct stoq_engine *e)
{
    size_t n = 0;
    size_t sources = 0;
    size_t requests = 0;
    for (const struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        n++;
        sources += f->peer_count;
        requests +=
            engine_requests_count(f->requests) + engine_requests_running(e, f->number, NULL, 0);
    }
    for (const struct past *p = e->past; p != NULL; p = p->next) {
        n++;
        sources += p->t.source_count;
        requests += engine_requests_count(p->requests);
    }
    s->list = calloc(n + 1, sizeof *s->list);
    s->sources = calloc(sources + 1, sizeof *s->sources);
    s->requests = calloc(requests + 1, sizeof *s->requests);
    return s->list != NULL && s->sources != NULL && s->requests != NULL;
}

static void snapshot_free(struct snapshot *s)
{
    free(s->list);
    free(s->sources);
    free(s->requests);
}

static void add_requests(struct snapshot *s, struct stoq_transfer *t, const struct requests *r)
{
    t->requests = &s->requests[s->request_count];
    t->request_count = engine_requests_copy(r, &s->requests[s->request_count]);
    t->request_total = r == NULL ? 0 : r->before + r->total;
    s->request_count += t->request_count;
}

/* What each source has brought of one that runs, and where its time went. */
static void add_so_far(struct stoq_transfer *t, const struct stoq_fetch *f,
                       struct stoq_fetch_report_source *sources)
{
    struct stoq_node_report report;
    if (!stoq_node_fetch_report(f->engine->node, f->number, &report)) {
        memset(&report, 0, sizeof report); /* it has not begun */
    }
    t->bytes_wire = report.bytes_wire;
    t->times = engine_fetch_times(&report);
    for (size_t i = 0; i < f->peer_count; i++) {
        const struct peer *peer = f->peers[i];
        engine_fetch_source(f, i, &report, &sources[i]);
        sources[i].connected = peer->state == PEER_UP;
        if (sources[i].why[0] == '\0' && !sources[i].connected) {
            memcpy(sources[i].why, peer->why, sizeof peer->why);
        }
    }
}

static void add_running(struct snapshot *s, struct stoq_engine *e, const struct stoq_fetch *f)
{
    struct stoq_transfer *t = &s->list[s->count++];
    struct stoq_node_fetch_progress p = {0};
    describe(t, f);
    (void)stoq_node_fetch_progress(e->node, f->number, &p);
    t->progress = (struct stoq_fetch_progress){.bytes_total = p.bytes_total,
                                               .bytes_done = p.bytes_done,
                                               .bytes_from_peers = p.bytes_from_peers,
                                               .sources = p.sources};
    t->waits = p.waits;
    t->sources = &s->sources[s->source_count];
    t->source_count = f->peer_count;
    add_so_far(t, f, &s->sources[s->source_count]);
    s->source_count += f->peer_count;
    add_requests(s, t, f->requests);
}

static void add_past(struct snapshot *s, const struct past *p)
{
    struct stoq_transfer *t = &s->list[s->count++];
    *t = p->t;
    t->sources = &s->sources[s->source_count];
    memcpy(&s->sources[s->source_count], p->sources, p->t.source_count * sizeof p->sources[0]);
    s->source_count += p->t.source_count;
    add_requests(s, t, p->requests);
}

/* False: no memory. */
static bool take_snapshot(struct snapshot *s, struct stoq_engine *e, bool with_running_requests)
{
    if (!snapshot_room(s, e)) {
        return false;
    }
    for (const struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        engine_budget_note(e, f->number);
        add_running(s, e, f);
        if (with_running_requests) {
            size_t n = engine_requests_running(e, f->number, NULL, 0);
            n = engine_requests_running(e, f->number, &s->requests[s->request_count], n);
            s->list[s->count - 1].request_count += n;
            s->request_count += n;
        }
    }
    for (const struct past *p = e->past; p != NULL; p = p->next) {
        add_past(s, p);
    }
    return true;
}

struct transfers_call {
    struct snapshot snapshot;
    bool ok;
};

static void take_all(struct stoq_engine *e, void *arg)
{
    struct transfers_call *c = arg;
    c->ok = take_snapshot(&c->snapshot, e, true);
}

enum stoq_status stoq_engine_transfers(struct stoq_engine *e,
                                       void (*fn)(void *user, const struct stoq_transfer *t),
                                       void *user)
{
    struct transfers_call c = {0};
    engine_call(e, take_all, &c);
    for (size_t i = 0; c.ok && i < c.snapshot.count; i++) {
        fn(user, &c.snapshot.list[i]);
    }
    snapshot_free(&c.snapshot);
    return c.ok ? STOQ_OK : STOQ_NOMEM;
}

static void take_served(struct stoq_engine *e, void *arg)
{
    struct engine_list *list = arg;
    if (engine_list_room(list, engine_requests_count(e->served))) {
        list->count = engine_requests_copy(e->served, list->v);
    }
}

struct served_tale {
    void (*fn)(void *user, const struct stoq_request *r);
    void *user;
};

static void tell_served(void *arg, const void *item)
{
    const struct served_tale *tale = arg;
    tale->fn(tale->user, item);
}

enum stoq_status stoq_engine_served(struct stoq_engine *e,
                                    void (*fn)(void *user, const struct stoq_request *r),
                                    void *user)
{
    struct served_tale tale = {fn, user};
    return engine_list_tell(e, sizeof(struct stoq_request), take_served, tell_served, &tale);
}

/* The file, the oldest first; the oldest are left out where those that run and those that are over are too
 * many together. */
static enum stoq_status encode(struct stoq_engine *e, struct stoq_buf *bytes)
{
    struct snapshot s = {0};
    size_t n = engine_requests_count(e->served);
    struct stoq_request *served = calloc(n + 1, sizeof *served);
    stoq_buf_init(bytes, STOQ_HISTORY_BYTES_MAX);
    bool ok = served != NULL && take_snapshot(&s, e, false);
    enum stoq_status st =
        ok ? stoq_history_begin(bytes, stoq_wall_seconds(), e->fetch_last) : STOQ_NOMEM;
    size_t kept = s.count < STOQ_TRANSFERS_KEPT ? s.count : STOQ_TRANSFERS_KEPT;
    for (size_t i = kept; st == STOQ_OK && i-- > 0;) {
        st = stoq_history_transfer(bytes, &s.list[i]);
    }
    n = served != NULL ? engine_requests_copy(e->served, served) : 0;
    for (size_t i = 0; st == STOQ_OK && i < n; i++) {
        st = stoq_history_served(bytes, &served[i]);
    }
    free(served);
    snapshot_free(&s);
    if (st != STOQ_OK) {
        stoq_buf_release(bytes);
    }
    return st;
}

static bool has_to_be_saved(const struct stoq_engine *e)
{
    return e->past_open && e->past_changed && !e->past_saving && !e->draining;
}

stoq_ns engine_past_deadline(const struct stoq_engine *e)
{
    return has_to_be_saved(e) ? e->past_save_at : STOQ_NEVER;
}

void engine_past_save(struct stoq_engine *e, stoq_ns now)
{
    struct stoq_buf bytes;
    if (!has_to_be_saved(e) || now < e->past_save_at) {
        return;
    }
    e->past_save_at = now + SAVE_EVERY;
    if (encode(e, &bytes) == STOQ_OK) { /* else later */
        e->past_changed = !engine_save(e, e->cfg.history_file, &bytes, &e->past_saving);
    }
}

/* Each is the latest so far. */
static void take_item(struct stoq_engine *e, const struct stoq_history_item *item)
{
    const struct stoq_transfer *t = &item->transfer;
    if (item->is_served) {
        engine_requests_note(&e->served, STOQ_SERVED_KEPT, &item->served);
        return;
    }
    struct past *p = calloc(1, sizeof *p + t->source_count * sizeof p->sources[0]);
    if (p == NULL) {
        return;
    }
    p->t = *t;
    p->t.sources = NULL;
    p->t.requests = NULL;
    memcpy(p->sources, t->sources, t->source_count * sizeof p->sources[0]);
    for (size_t i = 0; i < t->request_count; i++) {
        engine_requests_note(&p->requests, STOQ_TRANSFER_REQUESTS_KEPT, &t->requests[i]);
    }
    if (p->requests != NULL && t->request_total > p->requests->total) {
        p->requests->before = t->request_total - p->requests->total;
    }
    p->next = e->past;
    e->past = p;
    forget_oldest(e);
}

static void take_file(struct stoq_engine *e, struct stoq_span bytes)
{
    struct stoq_history h;
    struct stoq_history_item *item = calloc(1, sizeof *item);
    enum stoq_status st = item == NULL ? STOQ_NOMEM : stoq_history_open(&h, bytes);
    if (st == STOQ_OK) {
        e->fetch_last = h.last;
    }
    while (st == STOQ_OK) {
        st = stoq_history_next(&h, item);
        if (st == STOQ_OK) {
            take_item(e, item);
        }
    }
    if (st != STOQ_NOTFOUND) {
        engine_log(e, "%.300s: %s; the rest of it is forgotten", e->cfg.history_file,
                   stoq_status_str(st));
    }
    free(item);
}

void engine_past_open(struct stoq_engine *e)
{
    struct stoq_buf bytes;
    struct stoq_error err = {0};
    if (e->cfg.history_file == NULL) {
        return;
    }
    stoq_buf_init(&bytes, STOQ_HISTORY_BYTES_MAX);
    enum stoq_status st = stoq_file_read(e->cfg.history_file, STOQ_HISTORY_BYTES_MAX, &bytes, &err);
    if (st == STOQ_OK) {
        take_file(e, stoq_buf_span(&bytes));
    } else if (st != STOQ_NOTFOUND) {
        engine_log(e, "%s", err.text);
    }
    stoq_buf_release(&bytes);
    e->past_open = true;
}

void engine_past_close(struct stoq_engine *e)
{
    struct stoq_buf bytes;
    if (e->past_open && e->past_changed && encode(e, &bytes) == STOQ_OK) {
        engine_save_now(e, e->cfg.history_file, &bytes);
    }
    while (e->past != NULL) {
        struct past *p = e->past;
        e->past = p->next;
        past_free(p);
    }
    free(e->served);
}
