/* Fetches that are over, and those that run, for `transfers` and `why`: the last of them, in memory. */
#include "daemon/engine_internal.h"

#include "api/error.h"
#include "os/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct past {
    struct past *next;
    struct stoq_transfer t;
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

static void forget_oldest(struct stoq_engine *e)
{
    struct past **at = &e->past;
    for (size_t n = 1; *at != NULL; n++) {
        if (n > STOQ_TRANSFERS_KEPT) {
            struct past *old = *at;
            *at = old->next;
            free(old);
        } else {
            at = &(*at)->next;
        }
    }
}

void engine_past_keep(struct stoq_engine *e, const struct stoq_fetch *f, enum stoq_status status)
{
    const struct stoq_fetch_report *r = f->report;
    struct past *p = malloc(sizeof *p + r->source_count * sizeof p->sources[0]);
    if (p == NULL) {
        return;
    }
    describe(&p->t, f);
    p->t.over = true;
    struct stoq_error err;
    p->t.status = engine_fetch_result(f, status, &err);
    if (p->t.status != STOQ_OK) {
        (void)snprintf(p->t.code, sizeof p->t.code, "%s", stoq_error_code(&err));
        (void)snprintf(p->t.why, sizeof p->t.why, "%.500s", err.text);
    }
    p->t.bytes = r->bytes;
    p->t.chunks = r->chunks;
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
}

void engine_past_free(struct stoq_engine *e)
{
    while (e->past != NULL) {
        struct past *p = e->past;
        e->past = p->next;
        free(p);
    }
}

/* A snapshot: every transfer with its sources behind one another. */
struct snapshot {
    struct stoq_transfer *list;
    struct stoq_fetch_report_source *sources;
    size_t count;
};

static void count_all(const struct stoq_engine *e, size_t *count, size_t *source_count)
{
    for (const struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        (*count)++;
        *source_count += f->peer_count;
    }
    for (const struct past *p = e->past; p != NULL; p = p->next) {
        (*count)++;
        *source_count += p->t.source_count;
    }
}

static void add_running(struct snapshot *s, struct stoq_engine *e, const struct stoq_fetch *f,
                        struct stoq_fetch_report_source **at)
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
    t->sources = *at;
    t->source_count = f->peer_count;
    for (size_t i = 0; i < f->peer_count; i++, (*at)++) {
        const struct peer *peer = f->peers[i];
        **at = (struct stoq_fetch_report_source){.peer = peer->id,
                                                 .addr = peer->addr,
                                                 .connected = peer->state == PEER_UP,
                                                 .held_ns = f->notes[i].held_ns,
                                                 .cap_here_bytes_per_s = f->notes[i].cap_here,
                                                 .cap_there_bytes_per_s = f->notes[i].cap_there};
        memcpy((*at)->group, peer->group, sizeof peer->group);
        memcpy((*at)->why, peer->why, sizeof peer->why);
    }
}

static void take_snapshot(struct stoq_engine *e, void *arg)
{
    struct snapshot *s = arg;
    size_t count = 0;
    size_t source_count = 0;
    count_all(e, &count, &source_count);
    s->list = calloc(count + 1, sizeof *s->list);
    s->sources = calloc(source_count + 1, sizeof *s->sources);
    if (s->list == NULL || s->sources == NULL) {
        return;
    }
    struct stoq_fetch_report_source *at = s->sources;
    for (const struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        engine_budget_note(e, f->number);
        add_running(s, e, f, &at);
    }
    for (const struct past *p = e->past; p != NULL; p = p->next) {
        struct stoq_transfer *t = &s->list[s->count++];
        *t = p->t;
        t->sources = at;
        memcpy(at, p->sources, p->t.source_count * sizeof *at);
        at += p->t.source_count;
    }
}

enum stoq_status stoq_engine_transfers(struct stoq_engine *e,
                                       void (*fn)(void *user, const struct stoq_transfer *t),
                                       void *user)
{
    struct snapshot s = {0};
    engine_call(e, take_snapshot, &s);
    bool ok = s.list != NULL && s.sources != NULL;
    for (size_t i = 0; ok && i < s.count; i++) {
        fn(user, &s.list[i]);
    }
    free(s.list);
    free(s.sources);
    return ok ? STOQ_OK : STOQ_NOMEM;
}
