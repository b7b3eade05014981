/* cat: one file of a package, or a range of it, from the store and, where that lacks it, from peers. */
#include "daemon/ops_internal.h"
#include "daemon/resolve.h"

#include "daemon/extract.h"
#include "daemon/live.h"

#include <stdlib.h>
#include <string.h>

enum stoq_status op_sources(struct stoq_host *host, const json_t *args,
                            struct stoq_fetch_source out[STOQ_FETCH_SOURCES_MAX], size_t *count,
                            bool *lan, struct stoq_error *err)
{
    const json_t *list = json_object_get(args, "from");
    size_t n = json_array_size(list);
    if (n > STOQ_FETCH_SOURCES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "more than %d sources", STOQ_FETCH_SOURCES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        enum stoq_status st =
            stoq_source_parse(&out[i], json_string_value(json_array_get(list, i)), err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    *count = n;
    *lan = n == 0 && stoq_host_lan(host);
    if (n > 0) {
        return STOQ_OK;
    }
    struct stoq_config *config = malloc(sizeof *config);
    if (config == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a list of sources");
    }
    stoq_host_config(host, config);
    memcpy(out, config->peers, config->peer_count * sizeof out[0]);
    *count = config->peer_count;
    free(config);
    return STOQ_OK;
}

enum stoq_status op_id_or_name(struct stoq_host *host, const json_t *args,
                               const struct stoq_fetch_source *sources, size_t source_count,
                               struct stoq_op_io *io, struct stoq_package_id *out,
                               struct stoq_pointer_kept *name, struct stoq_error *err)
{
    const struct stoq_resolve_ask ask = {.name = stoq_json_text(args, "id"),
                                         .sources = sources,
                                         .source_count = source_count,
                                         .lan = stoq_host_lan(host),
                                         .dht = stoq_host_dht(host),
                                         .cancelled = op_cancelled,
                                         .user = io};
    name->n = 0;
    if (!stoq_name_is(ask.name)) {
        return op_id(args, out, err);
    }
    enum stoq_status st = stoq_resolve(host, &ask, name, err);
    if (st == STOQ_OK) {
        *out = name->p.id;
    }
    return st;
}

void op_fetch_progress(struct stoq_op_io *io, const struct stoq_fetch_progress *p)
{
    op_progress(io, json_pack("{s:s, s:s, s:I, s:I, s:I, s:i}", "type", "progress", "phase",
                              "fetch", "bytes", (json_int_t)p->bytes_done, "bytes_total",
                              (json_int_t)p->bytes_total, "bytes_from_peers",
                              (json_int_t)p->bytes_from_peers, "sources", (int)p->sources));
}

struct cat {
    struct stoq_host *host;
    struct stoq_op_io *io;
    struct stoq_package_id id;
    struct stoq_buf path;
    struct stoq_byte_range range;
    bool has_range;
    uint64_t timeout_s;
    struct stoq_fetch_source sources[STOQ_FETCH_SOURCES_MAX];
    size_t source_count;
    bool lan;
};

static void on_fetch(void *user, const struct stoq_fetch_progress *p)
{
    op_fetch_progress(((struct cat *)user)->io, p);
}

static bool on_cancelled(void *user)
{
    return op_cancelled(((struct cat *)user)->io);
}

static enum stoq_status take_args(struct cat *c, const json_t *args, struct stoq_error *err)
{
    const char *range = stoq_json_text(args, "range");
    c->has_range = range != NULL;
    c->timeout_s = stoq_json_u64(args, "timeout_s", 0);
    enum stoq_status st = op_id(args, &c->id, err);
    if (st == STOQ_OK && c->has_range) {
        st = stoq_byte_range_parse(&c->range, range, err);
    }
    if (st == STOQ_OK && c->timeout_s > OP_TIMEOUT_S_MAX) {
        st = stoq_fail(err, STOQ_RANGE, 0, "timeout_s is at most %llu",
                       (unsigned long long)OP_TIMEOUT_S_MAX);
    }
    if (st == STOQ_OK) {
        st = stoq_json_path(args, "path", &c->path, err);
    }
    return st == STOQ_OK ? op_sources(c->host, args, c->sources, &c->source_count, &c->lan, err)
                         : st;
}

static enum stoq_status cat(struct cat *c, struct stoq_error *err)
{
    const struct stoq_byte_range *range = c->has_range ? &c->range : NULL;
    struct stoq_span path = stoq_buf_span(&c->path);
    if ((c->source_count == 0 && !c->lan) || !stoq_host_may_write(c->host)) {
        return stoq_cat(stoq_host_store(c->host), &c->id, path, range, c->io->data, c->io->user,
                        err);
    }
    const struct stoq_fetch_ask ask = {
        .id = c->id,
        .sources = c->sources,
        .source_count = c->source_count,
        .lan = c->lan,
        .priority = STOQ_PRIORITY_INTERACTIVE, /* somebody reads it */
        .timeout_ns = c->timeout_s * STOQ_SEC,
        .progress = on_fetch,
        .cancelled = on_cancelled,
        .user = c,
    };
    struct stoq_live *live;
    struct stoq_held *held = NULL;
    enum stoq_status st = stoq_live_new(&live, c->host, &ask, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_live_open(live, &held, err);
    if (st == STOQ_OK) {
        st = stoq_cat_held(held, live, path, range, c->io->data, c->io->user, err);
    }
    stoq_held_close(held);
    stoq_live_free(live);
    return st;
}

enum stoq_status op_cat(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                        json_t **result, struct stoq_error *err)
{
    struct cat *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a cat");
    }
    c->host = host;
    c->io = io;
    stoq_buf_init(&c->path, OP_PATH_MAX + 1);
    enum stoq_status st = take_args(c, args, err);
    if (st == STOQ_OK) {
        st = cat(c, err);
    }
    if (st == STOQ_OK) {
        *result = json_object();
    }
    stoq_buf_release(&c->path);
    free(c);
    return st;
}
