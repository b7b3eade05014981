/* Bundles: export, import, and what a store has. */
#include "daemon/ops_internal.h"

#include "daemon/export.h"
#include "daemon/import.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

static void tell_progress(struct stoq_op_io *io, const char *phase, uint64_t done, uint64_t total)
{
    op_progress(io, json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", phase, "bytes",
                              (json_int_t)done, "bytes_total", (json_int_t)total));
}

static void on_export(void *user, const struct stoq_export_progress *p)
{
    tell_progress(user, "export", p->bytes_done, p->bytes_total);
}

static void on_import(void *user, const struct stoq_import_progress *p)
{
    tell_progress(user, "import", p->bytes_done, p->bytes_total);
}

/* The ids of a list of texts; *out is the caller's to free. */
static enum stoq_status take_ids(const json_t *list, struct stoq_package_id **out,
                                 struct stoq_error *err)
{
    size_t n = json_array_size(list);
    struct stoq_package_id *ids = calloc(n > 0 ? n : 1, sizeof *ids);
    enum stoq_status st = STOQ_OK;
    if (ids == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of packages");
    }
    for (size_t i = 0; st == STOQ_OK && i < n; i++) {
        st = stoq_package_id_parse(&ids[i], json_string_value(json_array_get(list, i)), err);
    }
    if (st != STOQ_OK) {
        free(ids);
        return st;
    }
    *out = ids;
    return STOQ_OK;
}

/* What the receiver has: have-list files and packages. *out stays NULL where nothing is named. */
static enum stoq_status take_have(struct stoq_host *host, const json_t *args,
                                  struct stoq_have **out, struct stoq_error *err)
{
    const json_t *files = json_object_get(args, "have");
    const json_t *packages = json_object_get(args, "have_ids");
    struct stoq_package_id *ids = NULL;
    if (json_array_size(files) + json_array_size(packages) == 0) {
        return STOQ_OK;
    }
    enum stoq_status st = take_ids(packages, &ids, err);
    if (st == STOQ_OK) {
        st = stoq_have_new(out, err);
    }
    for (size_t i = 0; st == STOQ_OK && i < json_array_size(files); i++) {
        st = stoq_have_read(*out, json_string_value(json_array_get(files, i)), err);
    }
    for (size_t i = 0; st == STOQ_OK && i < json_array_size(packages); i++) {
        st = stoq_have_add_package(*out, stoq_host_store(host), &ids[i], err);
        if (st != STOQ_OK) {
            stoq_error_prefix(err, "%s: ", json_string_value(json_array_get(packages, i)));
        }
    }
    if (st == STOQ_OK) {
        stoq_have_seal(*out);
    }
    free(ids);
    return st;
}

static enum stoq_status export(struct stoq_host *host, const json_t *args,
                               struct stoq_export_ask *ask, struct stoq_export_report *report,
                               struct stoq_error *err) {
    struct stoq_package_id *ids = NULL; struct stoq_have *have = NULL;
    enum stoq_status st = take_ids(json_object_get(args, "ids"), &ids, err);
    if (st == STOQ_OK){st = take_have(host, args, &have, err);}
if (st == STOQ_OK)
{
    ask->ids = ids;
    ask->id_count = json_array_size(json_object_get(args, "ids"));
    ask->have = have;
    st = stoq_export(stoq_host_store(host), ask, report, err);
}
stoq_have_free(have);
free(ids);
return st;
}

enum stoq_status op_export(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    struct op_output output = {.io = io};
    struct stoq_export_report r;
    struct stoq_export_ask ask = {
        .sink = op_output_write,
        .sink_user = &output,
        .progress = on_export,
        .cancelled = op_cancelled,
        .user = io,
    };
    json_t *o = NULL;
    enum stoq_status st = op_output_open(&output, args, err);
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st == STOQ_OK) {
        st = export(host, args, &ask, &r, err);
        stoq_host_content_end(host, false);
    }
    if (st == STOQ_OK) {
        o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "packages", (json_int_t)r.packages, "bytes",
                      (json_int_t)r.bytes, "chunks", (json_int_t)r.chunks, "bytes_stored",
                      (json_int_t)r.stored_bytes, "chunks_assumed", (json_int_t)r.chunks_assumed,
                      "seconds", op_seconds(r.elapsed_ns));
        st = op_output_end(&output, o, err);
    }
    op_output_close(&output);
    if (st != STOQ_OK) {
        json_decref(o);
        return st;
    }
    *result = o;
    return STOQ_OK;
}

struct importing {
    struct stoq_op_io *io;
    json_t *packages;
    bool index_only;
    bool failed;
};

static void import_one(void *user, const struct stoq_import_package *p)
{
    struct importing *i = user;
    const struct stoq_bundle_entry *e = &p->entry;
    char id[STOQ_ID_TEXT_CAP];
    stoq_package_id_put(id, &e->id);
    json_t *o = json_pack(
        "{s:s, s:s%, s:s%, s:I, s:I, s:I, s:I, s:I}", "id", id, "name", e->name.p, e->name.n,
        "version", e->version.p, e->version.n, "bytes", (json_int_t)e->bytes, "chunks",
        (json_int_t)e->chunks, "chunks_carried", (json_int_t)e->chunks_carried, "bytes_carried",
        (json_int_t)e->stored_bytes, "chunks_assumed", (json_int_t)e->chunks_assumed);
    if (o != NULL && !i->index_only) {
        (void)json_object_set_new(o, "existed", json_boolean(p->existed));
        (void)json_object_set_new(o, "complete", json_boolean(p->chunks_missing == 0));
    }
    i->failed |= json_array_append_new(i->packages, o) != 0;
}

static void on_import_progress(void *user, const struct stoq_import_progress *p)
{
    struct importing *i = user;
    on_import(i->io, p);
}

static bool import_cancelled(void *user)
{
    struct importing *i = user;
    return op_cancelled(i->io);
}

static enum stoq_status import(struct stoq_host *host, const json_t *args, struct importing *i,
                               struct stoq_import_report *r, struct stoq_error *err)
{
    struct op_input input = {.io = i->io};
    struct stoq_import_ask ask = {
        .input = {.read = op_input_read, .user = &input},
        .index_only = i->index_only,
        .each = import_one,
        .progress = on_import_progress,
        .cancelled = import_cancelled,
        .user = i,
    };
    enum stoq_status st = op_input_open(&input, args, err);
    ask.input.bytes = op_input_is_fed(args) ? UINT64_MAX : input.bytes_total;
    if (st == STOQ_OK && !i->index_only) {
        st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, i->io, err);
    }
    if (st == STOQ_OK) {
        st = stoq_import(i->index_only ? NULL : stoq_host_store(host), &ask, r, err);
        if (!i->index_only) {
            stoq_host_content_end(host, false);
        }
    }
    op_input_close(&input);
    if (st == STOQ_OK && i->failed) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of packages");
    }
    return st;
}

enum stoq_status op_import(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    struct importing i = {.io = io, .packages = json_array()};
    struct stoq_import_report r;
    enum stoq_status st = import(host, args, &i, &r, err);
    if (st == STOQ_OK) {
        *result = json_pack("{s:O, s:I, s:I, s:I, s:I, s:I, s:o}", "packages", i.packages, "bytes",
                            (json_int_t)r.header.bytes, "chunks_new", (json_int_t)r.chunks_new,
                            "bytes_new", (json_int_t)r.bytes_new, "bytes_stored",
                            (json_int_t)r.bytes_stored, "chunks_had", (json_int_t)r.chunks_had,
                            "seconds", op_seconds(r.elapsed_ns));
    }
    json_decref(i.packages);
    return st;
}

/* The index of a bundle, without taking anything from it. */
enum stoq_status op_bundle(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    struct importing i = {.io = io, .packages = json_array(), .index_only = true};
    struct stoq_import_report r;
    enum stoq_status st = import(host, args, &i, &r, err);
    if (st == STOQ_OK) {
        *result = json_pack("{s:O, s:I, s:I, s:I, s:I}", "packages", i.packages, "bytes",
                            (json_int_t)r.header.bytes, "chunks", (json_int_t)r.header.chunks,
                            "bytes_stored", (json_int_t)r.header.stored_bytes, "chunks_assumed",
                            (json_int_t)r.header.chunks_assumed);
    }
    json_decref(i.packages);
    return st;
}

enum stoq_status op_have(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct op_output output = {.io = io};
    struct stoq_have *have = NULL;
    json_t *o = NULL;
    enum stoq_status st = op_output_open(&output, args, err);
    if (st == STOQ_OK) {
        st = stoq_have_new(&have, err);
    }
    if (st == STOQ_OK) {
        st = stoq_have_add_store(have, stoq_host_store(host), op_cancelled, io, err);
    }
    if (st == STOQ_OK) {
        stoq_have_seal(have);
        st = stoq_have_write(have, op_output_write, &output, err);
    }
    if (st == STOQ_OK) {
        o = json_pack("{s:I, s:I, s:o}", "chunks", (json_int_t)stoq_have_chunk_count(have),
                      "shards", (json_int_t)stoq_have_shard_count(have), "seconds",
                      op_seconds(stoq_now() - began));
        st = op_output_end(&output, o, err);
    }
    stoq_have_free(have);
    op_output_close(&output);
    if (st != STOQ_OK) {
        json_decref(o);
        return st;
    }
    *result = o;
    return STOQ_OK;
}
