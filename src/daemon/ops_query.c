/* What reads the store only: ls, info, manifest, verify. */
#include "daemon/ops_internal.h"

#include "daemon/extract.h"
#include "daemon/held.h"
#include "daemon/holes.h"
#include "daemon/manifest_json.h"
#include "daemon/verify.h"
#include "wire/bech32m.h"

#include <string.h>

struct listing {
    json_t *packages;
    bool failed;
};

static bool list_one(void *user, const struct stoq_local_package *p)
{
    struct listing *l = user;
    const struct stoq_manifest *m = p->manifest;
    char id[STOQ_ID_TEXT_CAP];
    stoq_package_id_put(id, &p->id);
    json_t *o = json_pack(
        "{s:s, s:s%, s:s%, s:I, s:I, s:I, s:b, s:I, s:o}", "id", id, "name", m->name.p, m->name.n,
        "version", m->version.p, m->version.n, "bytes", (json_int_t)m->bytes, "chunks",
        (json_int_t)m->chunks, "entries", (json_int_t)m->entries, "complete", (int)p->complete,
        "added_at", (json_int_t)p->added_at, "signed_by", op_key_id(p->is_signed, &p->signer));
    l->failed = json_array_append_new(l->packages, o) != 0;
    return !l->failed;
}

enum stoq_status op_ls(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                       json_t **result, struct stoq_error *err)
{
    struct listing l = {.packages = json_array()};
    uint64_t damaged = 0;
    enum stoq_status st = STOQ_OK;
    if (stoq_host_store(host) != NULL) {
        st = stoq_local_each(stoq_host_store(host), list_one, &l, &damaged, err);
    }
    if (st == STOQ_OK && !l.failed) {
        *result = json_pack("{s:O, s:I}", "packages", l.packages, "damaged", (json_int_t)damaged);
    }
    json_decref(l.packages);
    return st;
}

static bool info_one(void *user, const struct stoq_local_package *p)
{
    json_t *o = user;
    bool ok = stoq_manifest_to_json(o, p->manifest);
    ok &= json_object_set_new(o, "complete", json_boolean(p->complete)) == 0;
    ok &= stoq_json_set_u64(o, "added_at", p->added_at);
    ok &= json_object_set_new(o, "signed_by", op_key_id(p->is_signed, &p->signer)) == 0;
    return ok;
}

static enum stoq_status add_file(void *user, const struct stoq_entry *entry, uint64_t offset,
                                 struct stoq_error *err)
{
    static const char *const kind[] = {"file", "executable", "directory", "link"};
    json_t *o = json_pack("{s:s, s:I}", "kind", kind[entry->kind], "size", (json_int_t)entry->size);
    bool ok = o != NULL && stoq_json_set_path(o, "path", entry->path);
    if (ok && entry->kind == STOQ_ENTRY_LINK) {
        ok = stoq_json_set_path(o, "target", entry->target);
    } else if (ok && entry->kind != STOQ_ENTRY_DIRECTORY) {
        ok = stoq_json_set_u64(o, "offset", offset);
    }
    if (json_array_append_new(user, o) != 0 || !ok) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of files");
    }
    return STOQ_OK;
}

static enum stoq_status add_files(struct stoq_host *host, const struct stoq_package_id *id,
                                  json_t *o, struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    json_t *files = json_array();
    enum stoq_status st = stoq_held_open(&held, stoq_host_store(host), id, err);
    if (st == STOQ_OK) {
        st = stoq_held_each_entry(held, add_file, files, err);
    }
    stoq_held_close(held);
    if (st == STOQ_OK && json_object_set(o, "files", files) != 0) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of files");
    }
    json_decref(files);
    return st;
}

/* Of a package that is not whole: what it lacks. */
static enum stoq_status add_missing(struct stoq_host *host, const struct stoq_package_id *id,
                                    struct stoq_op_io *io, json_t *o, struct stoq_error *err)
{
    struct stoq_holes h;
    if (stoq_json_bool(o, "complete", true)) {
        return STOQ_OK;
    }
    stoq_holes_init(&h);
    enum stoq_status st =
        stoq_holes_of_package(stoq_host_store(host), id, op_cancelled, io, &h, err);
    json_t *missing =
        json_pack("{s:I, s:I, s:I, s:b}", "chunks", (json_int_t)h.chunks, "bytes",
                  (json_int_t)h.bytes, "files", (json_int_t)h.files, "metadata", (int)h.metadata);
    if (missing != NULL) {
        op_add_paths(missing, &h);
    }
    (void)json_object_set_new(o, "missing", missing);
    stoq_holes_release(&h);
    return st;
}

enum stoq_status op_info(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    struct stoq_package_id id;
    enum stoq_status st = op_id(args, &id, err);
    if (st != STOQ_OK) {
        return st;
    }
    json_t *o = json_pack("{s:s}", "id", stoq_json_text(args, "id"));
    st = stoq_local_info(stoq_host_store(host), &id, info_one, o, err);
    if (st == STOQ_OK && stoq_json_bool(args, "files", false)) {
        st = add_files(host, &id, o, err);
    }
    if (st == STOQ_OK) {
        st = add_missing(host, &id, io, o, err);
    }
    if (st != STOQ_OK) {
        json_decref(o);
        return st;
    }
    *result = o;
    return STOQ_OK;
}

/* The manifest's own bytes, so that others can check id and fields. */
enum stoq_status op_manifest(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    struct stoq_package_id id;
    struct stoq_held *held = NULL;
    char hex[2 * STOQ_MANIFEST_BYTES_MAX + 1];
    enum stoq_status st = op_id(args, &id, err);
    if (st == STOQ_OK) {
        st = stoq_held_open(&held, stoq_host_store(host), &id, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    stoq_hex_put(hex, stoq_held_manifest_bytes(held));
    json_t *o = json_pack("{s:s, s:s}", "id", stoq_json_text(args, "id"), "manifest_hex", hex);
    if (o != NULL && !stoq_manifest_to_json(o, stoq_held_manifest(held))) {
        json_decref(o);
        o = NULL;
    }
    stoq_held_close(held);
    *result = o;
    return STOQ_OK;
}

static void on_verify(void *user, const struct stoq_verify_progress *p)
{
    op_progress(user,
                json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", "verify", "bytes",
                          (json_int_t)p->bytes_done, "bytes_total", (json_int_t)p->bytes_total));
}

static json_t *verdict_to_json(const struct stoq_verdict *v)
{
    return json_pack("{s:b, s:s}", "valid", (int)v->valid, "why", v->why);
}

static json_t *verify_to_json(const char *id, const struct stoq_verify_report *r)
{
    json_t *o = json_pack(
        "{s:s, s:b, s:b, s:b, s:b, s:{s:o, s:o, s:o, s:o}, s:o, s:I, s:I, s:I, s:I, "
        "s:I, s:o}",
        "id", id, "merkle_valid", (int)r->merkle.valid, "signature_valid", (int)r->signature.valid,
        "consensus_valid", (int)r->consensus.valid, "overall_valid", (int)r->overall.valid,
        "reasons", "merkle", verdict_to_json(&r->merkle), "signature",
        verdict_to_json(&r->signature), "consensus", verdict_to_json(&r->consensus), "overall",
        verdict_to_json(&r->overall), "signed_by", op_key_id(r->signature.valid, &r->signer),
        "bytes", (json_int_t)r->bytes, "chunks", (json_int_t)r->chunks, "chunks_good",
        (json_int_t)r->chunks_good, "chunks_bad", (json_int_t)r->chunks_bad, "chunks_missing",
        (json_int_t)r->chunks_missing, "seconds", op_seconds(r->elapsed_ns));
    if (o != NULL && r->has_secondary) {
        (void)json_object_set_new(o, "secondary_valid", json_boolean(r->secondary.valid));
        (void)json_object_set_new(json_object_get(o, "reasons"), "secondary",
                                  verdict_to_json(&r->secondary));
    }
    return o;
}

/* Name the files that the faults lie in. */
static void name_faults(struct stoq_host *host, const struct stoq_package_id *id,
                        const struct stoq_verify_report *report, json_t *o)
{
    struct stoq_holes h;
    struct stoq_held *held = NULL;
    stoq_holes_init(&h);
    h.where = report->faults;
    if (stoq_held_open(&held, stoq_host_store(host), id, NULL) == STOQ_OK) {
        stoq_holes_name_files(held, &h);
    }
    (void)stoq_json_set_u64(o, "files", h.files);
    op_add_paths(o, &h);
    stoq_held_close(held);
    stoq_holes_release(&h);
}

enum stoq_status op_verify(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    struct stoq_verify_report report;
    struct stoq_verify_ask ask = {
        .signature_required = stoq_json_bool(args, "signed", false),
        .progress = on_verify,
        .cancelled = op_cancelled,
        .user = io,
    };
    enum stoq_status st = op_id(args, &ask.id, err);
    if (st == STOQ_OK) {
        st = stoq_verify(stoq_host_store(host), &ask, &report, err);
    }
    if (st == STOQ_OK) {
        *result = verify_to_json(stoq_json_text(args, "id"), &report);
    }
    if (st == STOQ_OK && *result != NULL && report.chunks_bad + report.chunks_missing > 0) {
        name_faults(host, &ask.id, &report, *result);
    }
    return st;
}
