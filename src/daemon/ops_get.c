/*
 * get: the package into the store where it is not complete there, then, when asked for, its tree to an
 * output directory or its only file to a stream. Each step can fail alone; what an earlier one made
 * durable stays.
 */
#include "daemon/ops_internal.h"

#include "daemon/extract.h"
#include "daemon/held.h"
#include "daemon/holes.h"
#include "daemon/live.h"
#include "daemon/resolve.h"
#include "daemon/scrubber.h"
#include "daemon/seed.h"
#include "daemon/share_words.h"
#include "daemon/unfinished.h"
#include "daemon/verify.h"
#include "wire/bech32m.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct getting {
    struct stoq_host *host;
    struct stoq_op_io *io;
    struct stoq_package_id id;
    struct stoq_pointer_kept name; /* that it was asked by; n = 0: by its id */
    struct stoq_fetch_source sources[STOQ_FETCH_SOURCES_MAX];
    size_t source_count;
    bool named;    /* the sources, by this get */
    bool noted;    /* they are kept for the next one, should this one not end */
    bool lan;      /* and neighbours */
    bool exchange; /* and whom peers have told of */
    bool dht;      /* and whom the DHT names */
    stoq_ns timeout_ns;
    enum stoq_priority priority;
    enum stoq_swarm_strategy strategy;
    bool stream;
    bool has_range; /* of the stream */
    struct stoq_byte_range range;
    struct stoq_buf output;    /* n = 0: none */
    struct stoq_buf seed_path; /* n = 0: none */
    bool no_sync;              /* of the output */
    struct stoq_seed *seed;
    struct stoq_fetch_report fetch;
    struct stoq_extract_report extract;
};

/* Once bytes have come there is something to go on with. A get that brings none writes nothing. */
static void note_sources(struct getting *g, uint64_t bytes_from_peers)
{
    if (g->named && !g->noted && !g->has_range && bytes_from_peers > 0) {
        g->noted = true;
        stoq_unfinished_note(stoq_host_store(g->host), &g->id, g->sources, g->source_count);
    }
}

static void on_fetch(void *user, const struct stoq_fetch_progress *p)
{
    struct getting *g = user;
    note_sources(g, p->bytes_from_peers);
    op_fetch_progress(g->io, p);
}

static void on_seed(void *user, const struct stoq_seed_progress *p)
{
    struct getting *g = user;
    op_progress(g->io,
                json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", "seed", "bytes",
                          (json_int_t)p->bytes_done, "bytes_total", (json_int_t)p->bytes_total));
}

static void on_extract(void *user, const struct stoq_extract_progress *p)
{
    struct getting *g = user;
    op_progress(g->io, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", "progress", "phase",
                                 "extract", "bytes", (json_int_t)p->bytes_done, "bytes_total",
                                 (json_int_t)p->bytes_total, "entries", (json_int_t)p->entries_done,
                                 "entries_total", (json_int_t)p->entries_total));
}

static bool on_cancelled(void *user)
{
    struct getting *g = user;
    return op_cancelled(g->io);
}

/* How it is fetched: a reader waits for what is streamed, in order. */
static enum stoq_status take_manner(struct getting *g, const json_t *args, struct stoq_error *err)
{
    const char *priority = stoq_json_text(args, "priority");
    const char *strategy = stoq_json_text(args, "strategy");
    g->priority = g->stream ? STOQ_PRIORITY_INTERACTIVE : STOQ_PRIORITY_NORMAL;
    if (priority != NULL && !stoq_priority_parse(priority, &g->priority)) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "the priority is interactive, normal or background, not '%.40s'",
                         priority);
    }
    if (strategy != NULL && !stoq_strategy_parse(strategy, &g->strategy)) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "the strategy is fastest-first, rarest or sequential, not '%.40s'",
                         strategy);
    }
    return STOQ_OK;
}

static enum stoq_status take_args(struct getting *g, const json_t *args, struct stoq_error *err)
{
    uint64_t timeout_s = stoq_json_u64(args, "timeout_s", 0);
    enum stoq_status st = op_sources(g->host, args, g->sources, &g->source_count, &g->lan, err);
    g->named = json_array_size(json_object_get(args, "from")) > 0;
    g->dht = !g->named && stoq_host_dht(g->host);
    g->exchange = !g->named && stoq_host_exchange(g->host);
    if (st == STOQ_OK && timeout_s > OP_TIMEOUT_S_MAX) {
        st = stoq_fail(err, STOQ_RANGE, 0, "timeout_s is at most %llu",
                       (unsigned long long)OP_TIMEOUT_S_MAX);
    }
    g->timeout_ns = timeout_s * STOQ_SEC;
    g->stream = stoq_json_bool(args, "stream", false);
    st = st == STOQ_OK ? take_manner(g, args, err) : st;
    const char *range = stoq_json_text(args, "range");
    g->has_range = range != NULL;
    if (st == STOQ_OK && g->has_range) {
        st = g->stream ? stoq_byte_range_parse(&g->range, range, err)
                       : stoq_fail(err, STOQ_RANGE, 0, "a range is of a stream: use -o -");
    }
    bool has_output =
        json_object_get(args, "output") != NULL || json_object_get(args, "output_b64") != NULL;
    if (st == STOQ_OK && has_output && g->stream) {
        st = stoq_fail(err, STOQ_RANGE, 0, "either an output or a stream, not both");
    } else if (st == STOQ_OK && has_output) {
        st = stoq_json_path(args, "output", &g->output, err);
    }
    g->no_sync = stoq_json_bool(args, "no_sync", false);
    if (st == STOQ_OK && g->no_sync && g->output.n == 0) {
        st = stoq_fail(err, STOQ_RANGE, 0, "no_sync is of an output directory: use -o DIR");
    }
    bool has_seed =
        json_object_get(args, "seed") != NULL || json_object_get(args, "seed_b64") != NULL;
    if (st == STOQ_OK && has_seed) {
        st = stoq_json_path(args, "seed", &g->seed_path, err);
    }
    if (st == STOQ_OK) { /* last: a name may cost some seconds */
        st =
            op_id_or_name(g->host, args, g->sources, g->source_count, g->io, &g->id, &g->name, err);
    }
    return st;
}

/* Before any byte travels: an output that cannot be made need not be fetched for. */
static enum stoq_status check_output(const struct getting *g, struct stoq_error *err)
{
    struct stat info;
    const char *out = (const char *)g->output.p;
    if (g->output.n == 0) {
        return STOQ_OK;
    }
    if (lstat(out, &info) == 0) {
        return stoq_fail_code(err, STOQ_EXISTS, "OutputExists",
                              "%.300s is there already; nothing was written", out);
    }
    return errno == ENOENT ? STOQ_OK : stoq_fail(err, STOQ_IO, errno, "output %.300s", out);
}

/* The manifest's profile when it is here already, 0 otherwise. */
static unsigned known_profile(struct getting *g)
{
    struct stoq_buf bytes;
    struct stoq_manifest *m = malloc(sizeof *m);
    unsigned profile = 0;
    stoq_buf_init(&bytes, STOQ_MANIFEST_BYTES_MAX);
    if (m != NULL &&
        stoq_store_read(stoq_host_store(g->host), STOQ_RECORD_MANIFEST,
                        stoq_span(g->id.h.b, sizeof g->id.h.b), 0, &bytes, NULL) == STOQ_OK &&
        stoq_manifest_decode(stoq_buf_span(&bytes), m) == STOQ_OK) {
        profile = (unsigned)m->profile;
    }
    stoq_buf_release(&bytes);
    free(m);
    return profile;
}

static enum stoq_status open_seed(struct getting *g, struct stoq_error *err)
{
    if (g->seed_path.n == 0) {
        return STOQ_OK;
    }
    const struct stoq_seed_ask ask = {.path = (const char *)g->seed_path.p,
                                      .profile = known_profile(g),
                                      .progress = on_seed,
                                      .cancelled = on_cancelled,
                                      .user = g};
    return stoq_seed_open(&g->seed, &ask, err);
}

/* What is asked of the engine; its seed is cut first. */
static enum stoq_status fetch_ask(struct getting *g, struct stoq_fetch_ask *out,
                                  struct stoq_error *err)
{
    if (!g->named) {
        g->source_count =
            stoq_unfinished_sources(stoq_host_store(g->host), &g->id, g->sources, g->source_count);
    }
    if (g->source_count == 0 && !g->lan && !g->dht && !g->exchange) {
        return stoq_fail_code(err, STOQ_NET, "NoSource",
                              "the package is not complete here and no source is named: use --from "
                              "PEER@ADDRESS or a 'peer =' line in the configuration");
    }
    enum stoq_status st = open_seed(g, err);
    *out = (struct stoq_fetch_ask){
        .id = g->id,
        .seed = g->seed,
        .sources = g->sources,
        .source_count = g->source_count,
        .lan = g->lan,
        .exchange = g->exchange,
        .priority = g->priority,
        .strategy = g->strategy,
        .dht = g->dht,
        .passing = g->output.n == 0 && !g->stream,
        .timeout_ns = g->timeout_ns,
        .progress = on_fetch,
        .cancelled = on_cancelled,
        .user = g,
    };
    return st;
}

static enum stoq_status fetch(struct getting *g, struct stoq_error *err)
{
    struct stoq_fetch_ask ask;
    enum stoq_status st = fetch_ask(g, &ask, err);
    if (st == STOQ_OK) {
        st = stoq_host_start(g->host, err);
    }
    if (st == STOQ_OK) {
        st = stoq_engine_fetch(stoq_host_engine(g->host), &ask, &g->fetch, err);
    }
    if (st == STOQ_OK) {
        stoq_scrubber_remember(stoq_host_scrubber(g->host), &g->id, g->sources, g->source_count);
    }
    return st;
}

static void on_check(void *user, const struct stoq_verify_progress *p)
{
    struct getting *g = user;
    op_progress(g->io,
                json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", "verify", "bytes",
                          (json_int_t)p->bytes_done, "bytes_total", (json_int_t)p->bytes_total));
}

/* What was fetched is what the tree says; a digest that the manifest names is checked on top. */
static enum stoq_status check_secondary(struct getting *g, struct stoq_error *err)
{
    const struct stoq_verify_ask ask = {
        .id = g->id, .progress = on_check, .cancelled = on_cancelled, .user = g};
    return stoq_verify_secondary(stoq_host_store(g->host), &ask, err);
}

static enum stoq_status extract(struct getting *g, struct stoq_error *err)
{
    struct stoq_extract_ask ask = {
        .id = g->id,
        .out = (const char *)g->output.p,
        .no_sync = g->no_sync,
        .progress = on_extract,
        .cancelled = on_cancelled,
        .user = g,
    };
    if (g->output.n == 0) {
        return STOQ_OK;
    }
    return stoq_extract(stoq_host_store(g->host), &ask, &g->extract, err);
}

/* Keeps the path of the table's first entry. */
static enum stoq_status keep_path(void *user, const struct stoq_entry *entry, uint64_t offset,
                                  struct stoq_error *err)
{
    struct stoq_buf *path = user;
    if (entry->kind == STOQ_ENTRY_DIRECTORY || entry->kind == STOQ_ENTRY_LINK) {
        return stoq_fail(err, STOQ_RANGE, 0, "the package has no file; -o - needs exactly one");
    }
    stoq_buf_clear(path);
    return stoq_buf_add(path, entry->path);
}

static enum stoq_status only_file(struct stoq_held *held, struct stoq_buf *path,
                                  struct stoq_error *err)
{
    uint64_t entries = stoq_held_manifest(held)->entries;
    if (entries != 1) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "the package has %llu entries; -o - needs exactly one file (see stoq cat)",
                         (unsigned long long)entries);
    }
    return stoq_held_each_entry(held, keep_path, path, err);
}

/* Stream the only file of an open package. */
static enum stoq_status stream_held(struct getting *g, struct stoq_held *held,
                                    struct stoq_live *live, struct stoq_error *err)
{
    struct stoq_buf path;
    stoq_buf_init(&path, OP_PATH_MAX);
    enum stoq_status st = only_file(held, &path, err);
    if (st == STOQ_OK) {
        st = stoq_cat_held(held, live, stoq_buf_span(&path), g->has_range ? &g->range : NULL,
                           g->io->data, g->io->user, err);
    }
    stoq_buf_release(&path);
    return st;
}

static enum stoq_status stream(struct getting *g, struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    enum stoq_status st = stoq_held_open(&held, stoq_host_store(g->host), &g->id, err);
    if (st == STOQ_OK) {
        st = stream_held(g, held, NULL, err);
    }
    stoq_held_close(held);
    return st;
}

/* A digest of the whole that the manifest names has to be right before a byte leaves. */
static bool must_come_first(const struct getting *g, const struct stoq_held *held)
{
    return !g->has_range && stoq_held_manifest(held)->secondary_algorithm != 0;
}

/* Stream while it comes: all of the package, or what a range needs. *is_streamed: false when all of it
 * has to be here first, nothing has left then. */
static enum stoq_status stream_coming(struct getting *g, bool *is_streamed, struct stoq_error *err)
{
    struct stoq_fetch_ask ask;
    struct stoq_live *live = NULL;
    struct stoq_held *held = NULL;
    enum stoq_status st = fetch_ask(g, &ask, err);
    if (st == STOQ_OK) {
        st = stoq_live_new(&live, g->host, &ask, err);
    }
    if (st == STOQ_OK) {
        st = stoq_live_open(live, &held, err);
    }
    *is_streamed = st == STOQ_OK && !must_come_first(g, held);
    if (st == STOQ_OK && *is_streamed && !g->has_range) {
        st = stoq_live_begin_all(live, &g->fetch, err);
    }
    if (st == STOQ_OK && *is_streamed) {
        st = stream_held(g, held, live, err);
    }
    stoq_held_close(held);
    if (st == STOQ_OK && *is_streamed && !g->has_range) {
        st = stoq_live_finish(live, err);
    }
    stoq_live_free(live);
    return st;
}

/* What the store knows of it afterwards. */
static bool add_local(void *user, const struct stoq_local_package *p)
{
    json_t *result = user;
    const struct stoq_manifest *m = p->manifest;
    bool ok = stoq_json_set_text(result, "name", m->name);
    ok &= stoq_json_set_text(result, "version", m->version);
    ok &= stoq_json_set_u64(result, "bytes", m->bytes);
    ok &= stoq_json_set_u64(result, "chunks", m->chunks);
    ok &= stoq_json_set_u64(result, "shards", m->shards);
    ok &= json_object_set_new(result, "signed_by", op_key_id(p->is_signed, &p->signer)) == 0;
    return ok;
}

static json_t *source_to_json(const struct stoq_fetch_report_source *s)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    stoq_peer_id_put(peer, &s->peer);
    json_t *o =
        json_pack("{s:s, s:s, s:b, s:s*, s:I, s:I, s:I}", "peer", peer, "addr",
                  stoq_addr_format(&s->addr, addr), "connected", (int)s->connected, "group",
                  s->group[0] != '\0' ? s->group : NULL, "bytes", (json_int_t)s->bytes,
                  "bytes_stored", (json_int_t)s->bytes_stored, "chunks", (json_int_t)s->chunks);
    if (o != NULL && s->why[0] != '\0') {
        (void)stoq_json_set_text(o, "why", stoq_span_str(s->why));
    }
    return o;
}

static json_t *to_json(struct getting *g, uint64_t elapsed_ns, struct stoq_error *err)
{
    const struct stoq_fetch_report *f = &g->fetch;
    const char *group = NULL;
    char id[STOQ_ID_TEXT_CAP];
    json_t *sources = json_array();
    for (size_t i = 0; i < f->source_count; i++) {
        (void)json_array_append_new(sources, source_to_json(&f->sources[i]));
        group = group == NULL && f->sources[i].group[0] != '\0' ? f->sources[i].group : group;
    }
    stoq_package_id_put(id, &g->id);
    json_t *result =
        json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:s?}", "id", id,
                  "complete_before", (int)f->complete_before, "bytes_new", (json_int_t)f->bytes_new,
                  "bytes_from_peers", (json_int_t)f->bytes_from_peers, "bytes_had",
                  (json_int_t)f->bytes_had, "bytes_from_seed", (json_int_t)f->bytes_from_seed,
                  "bytes_shared", (json_int_t)f->bytes_shared, "bytes_wire",
                  (json_int_t)f->bytes_wire, "shards_known", (json_int_t)f->shards_known, "seconds",
                  op_seconds(elapsed_ns), "sources", sources, "group", group);
    if (result == NULL) {
        return NULL;
    }
    enum stoq_status st = stoq_local_info(stoq_host_store(g->host), &g->id, add_local, result, err);
    if (st == STOQ_OK && f->complete_before) {
        (void)stoq_json_set_u64(result, "bytes_had", stoq_json_u64(result, "bytes", 0));
    }
    if (st == STOQ_OK && g->output.n > 0) {
        (void)stoq_json_set_path(result, "output", stoq_buf_span(&g->output));
        (void)stoq_json_set_u64(result, "files", g->extract.files);
        (void)json_object_set_new(result, "extract_seconds", op_seconds(g->extract.elapsed_ns));
    }
    return result;
}

/* Complete, and nothing of it in quarantine. */
static enum stoq_status is_whole(struct getting *g, bool *whole, struct stoq_error *err)
{
    struct stoq_holes holes;
    struct stoq_store *store = stoq_host_store(g->host);
    enum stoq_status st = STOQ_OK;
    *whole = stoq_local_has(store, &g->id);
    if (*whole) {
        stoq_holes_init(&holes);
        st = stoq_holes_of_package(store, &g->id, on_cancelled, g, &holes, err);
        *whole = st == STOQ_OK && !stoq_holes_any(&holes);
        stoq_holes_release(&holes);
    }
    return st;
}

static enum stoq_status fetch_whole(struct getting *g, struct stoq_error *err)
{
    enum stoq_status st = fetch(g, err);
    return st == STOQ_OK ? check_secondary(g, err) : st;
}

/* What was thought whole turned out damaged while it was written out: it is in quarantine now, and
 * somebody may have it. */
static enum stoq_status extract_mended(struct getting *g, enum stoq_status st,
                                       struct stoq_error *err)
{
    bool whole = true;
    struct stoq_error why;
    if ((st != STOQ_PROOF && st != STOQ_NOTFOUND) || (g->source_count == 0 && !g->lan && !g->dht) ||
        is_whole(g, &whole, &why) != STOQ_OK || whole) {
        return st;
    }
    g->fetch.complete_before = false;
    st = fetch_whole(g, err);
    return st == STOQ_OK ? extract(g, err) : st;
}

static enum stoq_status run(struct getting *g, json_t **result, struct stoq_error *err)
{
    bool is_streamed = false;
    bool whole = false;
    enum stoq_status st = check_output(g, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = is_whole(g, &whole, err);
    g->fetch.complete_before = whole;
    if (st == STOQ_OK && !whole && g->stream) {
        st = stream_coming(g, &is_streamed, err);
    }
    if (st == STOQ_OK && !whole && !is_streamed) {
        st = fetch_whole(g, err);
    }
    if (st == STOQ_OK) {
        st = extract(g, err);
        st = whole && st != STOQ_OK ? extract_mended(g, st, err) : st;
    }
    if (st == STOQ_OK && g->stream && !is_streamed) {
        st = stream(g, err);
    }
    if (!g->fetch.complete_before && !g->has_range) {
        note_sources(g, st == STOQ_OK ? 0 : g->fetch.bytes_from_peers);
        stoq_unfinished_end(stoq_host_store(g->host), &g->id, st);
    }
    if (st == STOQ_OK) {
        *result = g->stream ? json_object() : to_json(g, g->fetch.elapsed_ns, err);
    }
    return st;
}

/* The pointer that it was found by is told on. */
static void announce_name(struct stoq_host *host, const char *text)
{
    struct stoq_pointer_name name;
    struct stoq_error none;
    if (stoq_name_is(text) && stoq_name_parse(&name, text, &none) == STOQ_OK) {
        struct stoq_hash key = stoq_pointer_key(&name);
        stoq_host_announce_name(host, &key);
    }
}

enum stoq_status op_get(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                        json_t **result, struct stoq_error *err)
{
    struct getting *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a get");
    }
    g->host = host;
    g->io = io;
    stoq_buf_init(&g->output, OP_PATH_MAX);
    stoq_buf_init(&g->seed_path, OP_PATH_MAX);
    enum stoq_status st = take_args(g, args, err);
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st == STOQ_OK) {
        st = run(g, result, err);
        if (st == STOQ_OK && !g->has_range) {
            stoq_host_tell(host, &g->id, true);
            announce_name(host, stoq_json_text(args, "id"));
        }
        stoq_host_content_end(host, false);
    }
    stoq_seed_drop(g->seed);
    stoq_buf_release(&g->output);
    stoq_buf_release(&g->seed_path);
    free(g);
    return st;
}
