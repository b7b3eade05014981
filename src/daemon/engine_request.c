/*
 * Requests for chunks, noted one by one: which chunks, from whom to whom, how much came, how long it took,
 * how it ended. Those of a fetch stay with it (engine_past.c), those of peers in a list of their own. The
 * last of each are kept, so that what a note costs does not grow with the bytes that move.
 */
#include "daemon/engine_internal.h"

#include "api/error.h"
#include "os/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void engine_requests_note(struct requests **list, uint32_t kept, const struct stoq_request *r)
{
    if (*list == NULL) {
        *list = calloc(1, sizeof **list + kept * sizeof(*list)->v[0]);
        if (*list == NULL) {
            return;
        }
        (*list)->kept = kept;
    }
    (*list)->v[(*list)->total++ % (*list)->kept] = *r;
}

size_t engine_requests_count(const struct requests *r)
{
    if (r == NULL) {
        return 0;
    }
    return r->total < r->kept ? (size_t)r->total : r->kept;
}

size_t engine_requests_copy(const struct requests *r, struct stoq_request out[])
{
    size_t n = engine_requests_count(r);
    for (size_t i = 0; i < n; i++) {
        out[i] = r->v[(r->total - n + i) % r->kept];
    }
    return n;
}

static bool is_running(const struct stoq_request *r)
{
    return strcmp(r->result, "running") == 0;
}

static void say(struct stoq_request *r, const char *result)
{
    (void)snprintf(r->result, sizeof r->result, "%s", result);
}

static void say_status(struct stoq_request *r, enum stoq_status status)
{
    const struct stoq_error err = {.status = status};
    say(r, status == STOQ_CANCELLED ? "cancelled" : stoq_error_code(&err));
}

static void set_runs(struct stoq_request *r, const struct stoq_range *ranges, uint32_t count)
{
    r->run_count = count < STOQ_REQUEST_RUNS_KEPT ? count : STOQ_REQUEST_RUNS_KEPT;
    for (uint32_t i = 0; i < r->run_count; i++) {
        r->runs[i] = ranges[i];
    }
}

void engine_request_begin(struct ask *a, const struct stoq_node_ask_chunks *want)
{
    a->note = (struct stoq_request){.id = want->id,
                                    .source = a->peer->id,
                                    .destination = stoq_key_peer_id(a->engine->cfg.key),
                                    .priority = want->priority,
                                    .chunks = want->chunk_count,
                                    .began_at = stoq_wall_seconds(),
                                    .took_ns = stoq_now()};
    set_runs(&a->note, want->ranges, want->range_count);
    say(&a->note, "running");
}

void engine_request_chunk(struct ask *a, uint32_t item, enum stoq_status status)
{
    if (status == STOQ_OK) {
        a->note.chunks_done++;
        a->note.bytes += a->chunks[item].bytes;
    } else if (status != STOQ_NOTFOUND) {
        say_status(&a->note, status);
    } else if (is_running(&a->note)) {
        say(&a->note, "missing");
    }
}

void engine_request_end(struct ask *a)
{
    struct stoq_engine *e = a->engine;
    struct requests **list = engine_past_requests(e, a->fetch);
    stoq_ns began = a->note.took_ns;
    a->note.took_ns = stoq_now() - began;
    if (is_running(&a->note) && a->status == STOQ_OK) {
        say(&a->note, "done");
    } else if (is_running(&a->note)) {
        say_status(&a->note, a->status);
    }
    if (list != NULL) {
        engine_requests_note(list, STOQ_TRANSFER_REQUESTS_KEPT, &a->note);
        e->past_changed = true;
    }
}

void engine_request_served(const struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    if (in->is_meta) {
        return;
    }
    struct stoq_request r = {.id = in->id,
                             .source = stoq_key_peer_id(e->cfg.key),
                             .destination = in->peer->id,
                             .priority = in->priority,
                             .bytes = in->bytes_out,
                             .took_ns = stoq_now() - in->answer_at};
    uint64_t now_s = stoq_wall_seconds();
    uint64_t took_s = r.took_ns / STOQ_SEC;
    r.began_at = now_s > took_s ? now_s - took_s : 0;
    if (in->kind == STOQ_META_CHUNKS || in->head_sent) { /* else a job may still be finding out */
        r.chunks = in->chunk_count;
    }
    if (in->hashes == NULL && (in->kind == STOQ_META_CHUNKS || in->head_sent)) {
        set_runs(&r, in->ranges, in->range_count);
    }
    if (in->error != 0) {
        say(&r, stoq_error_code(&in->err));
    } else {
        say(&r, in->ended ? "done" : "cancelled");
    }
    engine_requests_note(&e->served, STOQ_SERVED_KEPT, &r);
    e->past_changed = true;
}

size_t engine_requests_running(struct stoq_engine *e, stoq_fetch_id number,
                               struct stoq_request *out, size_t max)
{
    size_t at = 0;
    size_t n = 0;
    const struct ask *a;
    while ((a = stoq_map_next(&e->cookies, &at)) != NULL) {
        if (!a->wants_chunks || a->fetch != number || a->own != NULL) {
            continue;
        }
        if (out != NULL && n < max) {
            out[n] = a->note;
            out[n].took_ns = stoq_now() - a->note.took_ns;
        }
        n++;
    }
    return out != NULL && n > max ? max : n;
}
