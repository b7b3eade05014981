/* scrub: a pass over the store that somebody waits for, or how far it is. */
#include "daemon/ops_internal.h"

#include "daemon/scrubber.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

#define FOUND_TOLD 100
#define ITEMS_TOLD 100

static json_t *counts_to_json(const struct stoq_scrub_counts *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)c->bytes,
                     "records", (json_int_t)c->records, "places", (json_int_t)c->places, "damaged",
                     (json_int_t)c->damaged, "harmless", (json_int_t)c->harmless, "lost",
                     (json_int_t)c->lost, "healed", (json_int_t)c->healed);
}

json_t *op_scrub_status(struct stoq_host *host)
{
    struct stoq_scrubber_status s;
    if (stoq_scrubber_status(stoq_host_scrubber(host), &s, NULL) != STOQ_OK) {
        return NULL;
    }
    const struct stoq_scrub_state *state = &s.state;
    bool under_way = state->phase != STOQ_SCRUB_IDLE;
    return json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "running",
        (int)s.running, "phase", stoq_scrub_phase_str(state->phase), "pass",
        (json_int_t)state->pass, "bytes_done", (json_int_t)(under_way ? state->counts.bytes : 0),
        "bytes_total", (json_int_t)s.bytes_total, "lost", (json_int_t)state->counts.lost,
        "finished_at", (json_int_t)(state->pass == 0 ? 0 : state->finished_at), "next_at",
        (json_int_t)s.next_at, "rate", (json_int_t)s.rate_bytes_per_s, "lacking",
        (json_int_t)s.mended.lacking, "chunks_missing", (json_int_t)s.mended.chunks_missing,
        "chunks_mended", (json_int_t)s.chunks_mended, "last", counts_to_json(&state->last));
}

struct scrubbing {
    struct stoq_op_io *io;
    json_t *found;
    json_t *items;
    json_t *lost;
};

static void add_found(void *user, bool lost, const char *what)
{
    struct scrubbing *s = user;
    if (json_array_size(s->found) < FOUND_TOLD) {
        (void)json_array_append_new(s->found, json_string(what));
    }
}

static void add_lost(void *user, const char *what)
{
    struct scrubbing *s = user;
    if (json_array_size(s->lost) < FOUND_TOLD) {
        (void)json_array_append_new(s->lost, json_string(what));
    }
}

void op_add_paths(json_t *o, const struct stoq_holes *h)
{
    json_t *list = json_array();
    size_t at = 0;
    while (at < h->paths.n) {
        size_t n = strlen((const char *)h->paths.p + at);
        json_t *path = json_object();
        (void)stoq_json_set_path(path, "path", stoq_span(h->paths.p + at, n));
        (void)json_array_append_new(list, path);
        at += n + 1;
    }
    (void)json_object_set_new(o, "paths", list);
}

static void add_item(void *user, const struct stoq_mend_item *item)
{
    struct scrubbing *s = user;
    char id[STOQ_ID_TEXT_CAP];
    if (json_array_size(s->items) == ITEMS_TOLD) {
        return;
    }
    if (item->is_content) {
        stoq_address_put(id, &item->address);
    } else {
        stoq_package_id_put(id, &item->id);
    }
    json_t *o =
        json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:b}", "id", id, "mended", (int)item->mended,
                  "chunks", (json_int_t)item->holes->chunks, "chunks_missing",
                  (json_int_t)item->chunks_left, "bytes", (json_int_t)item->holes->bytes, "files",
                  (json_int_t)item->holes->files, "metadata", (int)item->holes->metadata);
    if (o == NULL) {
        return;
    }
    if (item->name.n > 0) {
        (void)stoq_json_set_text(o, "name", item->name);
        (void)stoq_json_set_text(o, "version", item->version);
    }
    (void)stoq_json_set_text(o, "why", stoq_span_str(item->why));
    op_add_paths(o, item->holes);
    (void)json_array_append_new(s->items, o);
}

static void on_progress(void *user, uint64_t bytes_done, uint64_t bytes_total)
{
    struct scrubbing *s = user;
    op_progress(s->io,
                json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", "scrub", "bytes",
                          (json_int_t)bytes_done, "bytes_total", (json_int_t)bytes_total));
}

static bool on_cancelled(void *user)
{
    struct scrubbing *s = user;
    return op_cancelled(s->io);
}

static json_t *to_json(struct scrubbing *s, const struct stoq_scrub_counts *c,
                       const struct stoq_mend_report *r, uint64_t elapsed_ns)
{
    bool whole = r->lacking == 0 && r->records_lost == 0;
    json_t *o = counts_to_json(c);
    json_t *more = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:O, s:O, s:o}", "whole", (int)whole, "looked_at",
        (json_int_t)r->packages, "lacking", (json_int_t)r->lacking, "mended", (json_int_t)r->mended,
        "chunks_missing", (json_int_t)r->chunks_missing, "chunks_mended",
        (json_int_t)r->chunks_mended, "records_lost", (json_int_t)r->records_lost, "found",
        s->found, "items", s->items, "lost_records", s->lost, "seconds", op_seconds(elapsed_ns));
    if (o != NULL && more != NULL) {
        (void)json_object_update(o, more);
    }
    json_decref(more);
    return o;
}

static enum stoq_status run(struct stoq_host *host, const json_t *args, struct scrubbing *s,
                            struct stoq_fetch_source *sources, json_t **result,
                            struct stoq_error *err)
{
    struct stoq_scrub_counts counts = {0};
    struct stoq_mend_report report = {0};
    struct stoq_scrubber_ask ask = {
        .anew = stoq_json_bool(args, "once", false),
        .rate_bytes_per_s = stoq_json_u64(args, "rate", 0),
        .mend = {.sources = sources,
                 .each = add_item,
                 .lost = add_lost,
                 .cancelled = on_cancelled,
                 .user = s},
        .found = add_found,
        .progress = on_progress,
    };
    stoq_ns began = stoq_now();
    bool lan; /* mending asks neighbours in any case */
    enum stoq_status st = op_sources(host, args, sources, &ask.mend.source_count, &lan, err);
    if (st == STOQ_OK) {
        st = stoq_scrubber_pass(stoq_host_scrubber(host), &ask, &counts, &report, err);
    }
    if (st == STOQ_OK) {
        *result = to_json(s, &counts, &report, stoq_now() - began);
    }
    return st;
}

enum stoq_status op_scrub(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    if (stoq_json_bool(args, "status", false)) {
        *result = op_scrub_status(host);
        return STOQ_OK;
    }
    struct scrubbing s = {
        .io = io, .found = json_array(), .items = json_array(), .lost = json_array()};
    struct stoq_fetch_source *sources = calloc(STOQ_FETCH_SOURCES_MAX, sizeof *sources);
    enum stoq_status st = sources == NULL ? stoq_fail(err, STOQ_NOMEM, 0, "no memory to scrub")
                                          : run(host, args, &s, sources, result, err);
    free(sources);
    json_decref(s.found);
    json_decref(s.items);
    json_decref(s.lost);
    return st;
}
