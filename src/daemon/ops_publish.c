#include "daemon/ops_internal.h"
#include "daemon/pointers.h"

#include "daemon/publish.h"
#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

/* What an ask borrows, on the heap since it is large. */
struct inputs {
    struct stoq_manifest_annotation annotations[STOQ_MANIFEST_ANNOTATIONS_MAX];
    struct stoq_manifest_dependency dependencies[STOQ_MANIFEST_DEPENDENCIES_MAX];
    struct stoq_publish_ask ask;
    struct stoq_publish_report report;
    struct stoq_buf path;
    struct op_input fed; /* instead of path */
    struct stoq_input input;
    struct stoq_private_key private_key;
    bool made_key; /* of this home, just now */
    struct stoq_op_io *io;
    json_t *warnings; /* sentences */
};

#define WARNINGS_MAX 100 /* in a result; the last one tells how many more there are */

static enum stoq_status take_annotations(struct inputs *in, const json_t *map,
                                         struct stoq_error *err)
{
    const char *key;
    json_t *value;
    if (json_object_size(map) > STOQ_MANIFEST_ANNOTATIONS_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "more than %d annotations",
                         STOQ_MANIFEST_ANNOTATIONS_MAX);
    }
    size_t n = 0;
    json_object_foreach ((json_t *)(uintptr_t)map, key, value) {
        in->annotations[n++] = (struct stoq_manifest_annotation){
            stoq_span_str(key), stoq_span_str(json_string_value(value))};
    }
    in->ask.annotations = in->annotations;
    in->ask.annotation_count = n;
    return STOQ_OK;
}

/* NAME, NAME@REQUIREMENT, or either with #ID behind it. */
static enum stoq_status take_dependency(struct stoq_manifest_dependency *out, const char *text,
                                        struct stoq_error *err)
{
    const char *hash = strrchr(text, '#');
    const char *at = strchr(text, '@');
    size_t end = hash != NULL ? (size_t)(hash - text) : strlen(text);
    if (at != NULL && (size_t)(at - text) > end) {
        at = NULL;
    }
    size_t name_end = at != NULL ? (size_t)(at - text) : end;
    memset(out, 0, sizeof *out);
    out->name = stoq_span(text, name_end);
    if (at != NULL) {
        out->requirement = stoq_span(at + 1, end - name_end - 1);
    }
    if (hash != NULL) {
        out->has_id = true;
        return stoq_package_id_parse(&out->id, hash + 1, err);
    }
    return STOQ_OK;
}

static enum stoq_status take_dependencies(struct inputs *in, const json_t *list,
                                          struct stoq_error *err)
{
    size_t n = json_array_size(list);
    if (n > STOQ_MANIFEST_DEPENDENCIES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "more than %d dependencies",
                         STOQ_MANIFEST_DEPENDENCIES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        enum stoq_status st =
            take_dependency(&in->dependencies[i], json_string_value(json_array_get(list, i)), err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    in->ask.dependencies = in->dependencies;
    in->ask.dependency_count = n;
    return STOQ_OK;
}

static void on_progress(void *user, const struct stoq_publish_progress *p)
{
    const struct inputs *in = user;
    op_progress(in->io, json_pack("{s:s, s:s, s:I, s:I, s:I}", "type", "progress", "phase",
                                  "publish", "bytes", (json_int_t)p->bytes_done, "bytes_total",
                                  (json_int_t)p->bytes_total, "entries", (json_int_t)p->entries));
}

static bool on_cancelled(void *user)
{
    const struct inputs *in = user;
    return op_cancelled(in->io);
}

static void on_warning(void *user, const char *text)
{
    struct inputs *in = user;
    if (json_array_size(in->warnings) < WARNINGS_MAX) {
        (void)json_array_append_new(in->warnings, json_string(text));
    }
}

/* What is to be published: a path, or what the command feeds. */
static enum stoq_status take_source(struct stoq_host *host, const json_t *args, struct inputs *in,
                                    struct stoq_error *err)
{
    if (!op_input_is_fed(args)) {
        enum stoq_status st = stoq_json_path(args, "path", &in->path, err);
        in->ask.path = (const char *)in->path.p;
        return st;
    }
    in->input = (struct stoq_input){op_input_read, &in->fed, UINT64_MAX};
    in->ask.input = &in->input;
    in->ask.entry = stoq_json_text(args, "entry");
    in->ask.scratch_dir = stoq_host_home(host)->data_dir;
    return op_input_open(&in->fed, args, err);
}

/* The key of a private package: of the file named, else the home's own. */
static enum stoq_status take_private_key(struct stoq_host *host, const json_t *args,
                                         struct inputs *in, struct stoq_error *err)
{
    bool is_named = json_object_get(args, "private_key") != NULL ||
                    json_object_get(args, "private_key_b64") != NULL;
    if (!is_named && !stoq_json_bool(args, "private", false)) {
        return STOQ_OK;
    }
    in->ask.private_key = &in->private_key;
    if (!is_named) {
        return stoq_home_private_key_or_new(stoq_host_home(host), &in->private_key, &in->made_key,
                                            err);
    }
    struct stoq_buf path;
    stoq_buf_init(&path, OP_PATH_MAX);
    enum stoq_status st = stoq_json_path(args, "private_key", &path, err);
    if (st == STOQ_OK) {
        st = stoq_home_private_key((const char *)path.p, &in->private_key, err);
    }
    stoq_buf_release(&path);
    return st;
}

/* Which secret a package was cut by can be compared, and a new one wants to be kept. */
static bool add_private(const struct inputs *in, json_t *result)
{
    char mark[STOQ_PRIVATE_MARK_CAP];
    stoq_private_mark(mark, &in->private_key);
    return json_object_set_new(result, "private_key", json_string(mark)) == 0 &&
           json_object_set_new(result, "private_key_made", json_boolean(in->made_key)) == 0;
}

static enum stoq_status fill_ask(struct stoq_host *host, const json_t *args, struct inputs *in,
                                 struct stoq_error *err)
{
    enum stoq_status st = take_source(host, args, in, err);
    if (st == STOQ_OK) {
        st = take_annotations(in, json_object_get(args, "annotations"), err);
    }
    if (st == STOQ_OK) {
        st = take_dependencies(in, json_object_get(args, "depends"), err);
    }
    if (st == STOQ_OK) {
        st = take_private_key(host, args, in, err);
    }
    if (st == STOQ_OK) {
        st = op_alias_algs(args, in->ask.aliases, &in->ask.alias_count, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    uint64_t read_bytes = stoq_json_u64(args, "read_bytes", 0);
    uint64_t threads = stoq_json_u64(args, "threads", 0);
    uint64_t profile = stoq_json_u64(args, "profile", STOQ_PROFILE_DEFAULT);
    if (profile != STOQ_PROFILE_1 && profile != STOQ_PROFILE_2) {
        return stoq_fail(err, STOQ_RANGE, 0, "the profile is 1 or 2");
    }
    if (read_bytes > STOQ_PUBLISH_READ_BYTES_MAX || threads > STOQ_PUBLISH_THREADS_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "read_bytes is at most %zu, threads at most %d",
                         STOQ_PUBLISH_READ_BYTES_MAX, STOQ_PUBLISH_THREADS_MAX);
    }
    in->ask.name = stoq_json_text(args, "name");
    in->ask.version = stoq_json_text(args, "version");
    in->ask.description = stoq_json_text(args, "description");
    in->ask.license = stoq_json_text(args, "license");
    in->ask.key = stoq_json_bool(args, "sign", true) ? stoq_host_key(host) : NULL;
    in->ask.pointers = in->ask.private_key == NULL ? stoq_host_record_lock(host) : NULL;
    in->ask.is_newest = stoq_json_bool(args, "newest", false);
    in->ask.profile = (unsigned)profile;
    in->ask.in_place = stoq_json_bool(args, "in_place", false);
    in->ask.read_bytes = (size_t)read_bytes;
    in->ask.threads = (unsigned)threads;
    in->ask.progress = on_progress;
    in->ask.cancelled = on_cancelled;
    in->ask.is_strict = stoq_json_bool(args, "strict", false);
    in->ask.warning = on_warning;
    const char *secondary = stoq_json_text(args, "secondary");
    in->ask.secondary = secondary == NULL ? STOQ_HASH_NONE : stoq_hash_alg_named(secondary);
    if (secondary != NULL && !stoq_manifest_secondary_is_fit(in->ask.secondary)) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "a package's secondary hash is sha3-256, sha256 or sha512, not '%.40s'",
                         secondary);
    }
    in->ask.user = in;
    in->warnings = json_array();
    return STOQ_OK;
}

static json_t *to_json(const struct inputs *in)
{
    const struct stoq_publish_report *r = &in->report;
    char id[STOQ_ID_TEXT_CAP];
    size_t kept = json_array_size(in->warnings);
    if (r->warnings > kept) {
        (void)json_array_append_new(in->warnings,
                                    json_sprintf("%llu more warnings of this kind",
                                                 (unsigned long long)(r->warnings - kept)));
    }
    stoq_package_id_put(id, &r->id);
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:O, s:o}",
        "id", id, "name", in->ask.name, "version", in->ask.version, "existed", (int)r->existed,
        "bytes", (json_int_t)r->bytes, "table_bytes", (json_int_t)r->table_bytes, "chunks",
        (json_int_t)r->chunks, "shards", (json_int_t)r->shards, "entries", (json_int_t)r->entries,
        "files", (json_int_t)r->files, "chunks_new", (json_int_t)r->chunks_new, "bytes_new",
        (json_int_t)r->bytes_new, "bytes_stored", (json_int_t)r->bytes_stored, "bytes_in_place",
        (json_int_t)r->bytes_in_place, "aliases", (json_int_t)r->aliases, "signed_by",
        op_key_id(r->is_signed, &r->signer), "newest",
        r->is_named ? json_boolean(r->is_newest) : json_null(), "warnings", in->warnings, "seconds",
        op_seconds(r->elapsed_ns));
}

static void announce_names(struct stoq_host *host, const struct inputs *in)
{
    if (in->ask.key == NULL || in->ask.pointers == NULL) {
        return;
    }
    struct stoq_pointer_name name = {.publisher = stoq_key_id(in->ask.key),
                                     .name = stoq_span_str(in->ask.name),
                                     .version = stoq_span_str(in->ask.version)};
    struct stoq_hash key = stoq_pointer_key(&name);
    stoq_host_announce_name(host, &key);
    name.version.n = 0;
    key = stoq_pointer_key(&name);
    stoq_host_announce_name(host, &key);
}

enum stoq_status op_publish(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                            json_t **result, struct stoq_error *err)
{
    struct inputs *in = calloc(1, sizeof *in);
    if (in == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a publish");
    }
    in->io = io;
    stoq_buf_init(&in->path, OP_PATH_MAX);
    in->fed = (struct op_input){.io = io, .fd = -1, .intake = {.fd = -1}};
    enum stoq_status st = fill_ask(host, args, in, err);
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st == STOQ_OK) {
        st = stoq_publish(stoq_host_store(host), &in->ask, &in->report, err);
        stoq_host_content_end(host, false);
    }
    if (st == STOQ_OK) {
        stoq_host_tell(host, &in->report.id, true);
        announce_names(host, in);
        *result = to_json(in);
        if (in->ask.private_key != NULL && !add_private(in, *result)) {
            st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for a publish");
        }
    }
    stoq_key_wipe(&in->private_key, sizeof in->private_key);
    op_input_close(&in->fed);
    stoq_buf_release(&in->path);
    json_decref(in->warnings);
    free(in);
    return st;
}
