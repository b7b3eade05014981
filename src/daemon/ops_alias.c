/* Files by the digests of the outside world: alias, find, get_file. */
#include "daemon/ops_internal.h"

#include "daemon/alias.h"
#include "daemon/content.h"
#include "os/outfile.h"
#include "os/sys.h"

#include <string.h>

#define MATCHES_MAX 10000 /* of one reply */

enum stoq_status op_alias_algs(const json_t *args, enum stoq_hash_alg *out, size_t *count,
                               struct stoq_error *err)
{
    const json_t *list = json_object_get(args, "aliases");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        enum stoq_hash_alg alg = stoq_alias_alg_named(name);
        bool is_new = alg != STOQ_HASH_NONE;
        for (size_t k = 0; k < *count; k++) {
            is_new = is_new && out[k] != alg;
        }
        if (!is_new) {
            return stoq_fail(
                err, STOQ_RANGE, 0,
                "aliases are b3sum, sha3-256, sha256 and sha512, each once, not '%.40s'", name);
        }
        out[(*count)++] = alg;
    }
    return STOQ_OK;
}

enum stoq_status op_alias(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    struct stoq_alias_make_ask ask = {.cancelled = op_cancelled, .user = io};
    uint64_t records = 0;
    stoq_ns began = stoq_now();
    enum stoq_status st = op_id(args, &ask.id, err);
    if (st == STOQ_OK) {
        st = op_alias_algs(args, ask.algs, &ask.alg_count, err);
    }
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_aliases_make(stoq_host_store(host), &ask, &records, err);
    stoq_host_content_end(host, false);
    if (st == STOQ_OK) {
        *result = json_pack("{s:s, s:I, s:o}", "id", stoq_json_text(args, "id"), "aliases",
                            (json_int_t)records, "seconds", op_seconds(stoq_now() - began));
    }
    return st;
}

/* The "alg" and "digest" arguments. */
static enum stoq_status take_digest(const json_t *args, struct stoq_digest *out,
                                    struct stoq_error *err)
{
    const char *alg = stoq_json_text(args, "alg");
    const char *hex = stoq_json_text(args, "digest");
    *out = (struct stoq_digest){.alg = stoq_alias_alg_named(alg)};
    if (out->alg == STOQ_HASH_NONE) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "files are known by b3sum, sha3-256, sha256 or sha512, not '%.40s'", alg);
    }
    if (!stoq_hex_get(out->b, stoq_hash_alg_size(out->alg), hex)) {
        return stoq_fail(err, STOQ_RANGE, 0, "'%.160s' is not the %zu hexadecimal digits of a %s",
                         hex, 2 * stoq_hash_alg_size(out->alg), alg);
    }
    return STOQ_OK;
}

/* The same digest as a content address, where it can be one and there is such a content. */
static bool find_content(struct stoq_store *store, const struct stoq_digest *d,
                         struct stoq_address *out)
{
    struct stoq_content content;
    if (!stoq_hash_alg_is_address(d->alg)) {
        return false;
    }
    out->algorithm = (uint8_t)d->alg;
    memcpy(out->digest.b, d->b, sizeof out->digest.b);
    return stoq_content_info(store, out, &content, NULL) == STOQ_OK;
}

struct finding {
    struct stoq_store *store;
    json_t *matches;
    bool failed;
};

static bool add_name(void *user, const struct stoq_local_package *p)
{
    bool ok = stoq_json_set_text(user, "name", p->manifest->name);
    return stoq_json_set_text(user, "version", p->manifest->version) && ok;
}

static bool add_match(void *user, const struct stoq_package_id *id, struct stoq_span path)
{
    struct finding *f = user;
    char text[STOQ_ID_TEXT_CAP];
    stoq_package_id_put(text, id);
    json_t *o = json_pack("{s:s}", "id", text);
    bool ok = o != NULL && stoq_json_set_path(o, "path", path) &&
              stoq_local_info(f->store, id, add_name, o, NULL) == STOQ_OK;
    f->failed = json_array_append_new(f->matches, o) != 0 || !ok;
    return !f->failed && json_array_size(f->matches) < MATCHES_MAX;
}

enum stoq_status op_find(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    struct stoq_digest digest;
    struct stoq_address address;
    char text[STOQ_ID_TEXT_CAP];
    struct finding f = {.store = stoq_host_store(host), .matches = json_array()};
    enum stoq_status st = take_digest(args, &digest, err);
    if (st == STOQ_OK) {
        st = stoq_alias_find(f.store, &digest, add_match, &f, err);
    }
    bool is_content = st == STOQ_OK && find_content(f.store, &digest, &address);
    if (st == STOQ_OK && !f.failed && json_array_size(f.matches) == 0 && !is_content) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "nothing here is known by that %s", stoq_hash_alg_name(digest.alg));
    }
    if (is_content) {
        stoq_address_put(text, &address);
    }
    if (st == STOQ_OK && !f.failed) {
        *result = json_pack("{s:s, s:s, s:O, s:s?}", "alg", stoq_hash_alg_name(digest.alg),
                            "digest", stoq_json_text(args, "digest"), "matches", f.matches,
                            "address", is_content ? text : NULL);
    }
    json_decref(f.matches);
    return st;
}

/* One get_file: where its bytes go and what they were. */
struct getting {
    struct stoq_host *host;
    struct stoq_op_io *io;
    struct stoq_digest digest;
    struct stoq_alias_found found;
    struct stoq_address address;
    bool is_content; /* found as content rather than in a package */
    struct stoq_outfile *file;
    struct stoq_error *err;
};

static enum stoq_status to_file(void *user, struct stoq_span bytes)
{
    struct getting *g = user;
    if (op_cancelled(g->io)) {
        return stoq_fail(g->err, STOQ_CANCELLED, 0, "interrupted");
    }
    return stoq_outfile_write(g->file, bytes, g->err);
}

static enum stoq_status read_content(struct getting *g,
                                     enum stoq_status (*sink)(void *user, struct stoq_span bytes),
                                     void *user, struct stoq_error *err)
{
    struct stoq_content content;
    const struct stoq_content_get_ask ask = {.address = g->address,
                                             .sink = sink,
                                             .sink_user = user,
                                             .cancelled = op_cancelled,
                                             .user = g->io};
    enum stoq_status st = stoq_content_get(stoq_host_store(g->host), &ask, &content, err);
    g->found.bytes = content.root.bytes;
    return st;
}

/* From a package, else from a content of that address. */
static enum stoq_status read_bytes(struct getting *g,
                                   enum stoq_status (*sink)(void *user, struct stoq_span bytes),
                                   void *user, struct stoq_error *err)
{
    struct stoq_store *store = stoq_host_store(g->host);
    const struct stoq_alias_ask ask = {.digest = g->digest, .sink = sink, .sink_user = user};
    enum stoq_status st = stoq_alias_read(store, &ask, &g->found, err);
    if (st == STOQ_NOTFOUND && g->found.path.n == 0 &&
        find_content(store, &g->digest, &g->address)) {
        g->is_content = true;
        st = read_content(g, sink, user, err);
    }
    return st;
}

static enum stoq_status write_file(struct getting *g, const char *path, struct stoq_error *err)
{
    enum stoq_status st = stoq_outfile_new(&g->file, path, err);
    g->err = err;
    if (st == STOQ_OK) {
        st = read_bytes(g, to_file, g, err);
    }
    if (st == STOQ_OK) {
        st = stoq_outfile_commit(g->file, err);
    }
    stoq_outfile_free(g->file);
    return st;
}

static json_t *got_to_json(const struct getting *g, const char *digest)
{
    char text[STOQ_ID_TEXT_CAP];
    json_t *o = json_pack("{s:s, s:s, s:I}", "alg", stoq_hash_alg_name(g->digest.alg), "digest",
                          digest, "bytes", (json_int_t)g->found.bytes);
    if (o != NULL && g->is_content) {
        stoq_address_put(text, &g->address);
        (void)json_object_set_new(o, "address", json_string(text));
    } else if (o != NULL) {
        stoq_package_id_put(text, &g->found.id);
        (void)json_object_set_new(o, "id", json_string(text));
        (void)stoq_json_set_path(o, "path", stoq_buf_span(&g->found.path));
    }
    return o;
}

/* Without an output and without a stream the bytes are only checked. */
enum stoq_status op_get_file(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    struct getting g = {.host = host, .io = io};
    struct stoq_buf output;
    bool has_output =
        json_object_get(args, "output") != NULL || json_object_get(args, "output_b64") != NULL;
    stoq_buf_init(&g.found.path, OP_PATH_MAX);
    stoq_buf_init(&output, OP_PATH_MAX);
    enum stoq_status st = take_digest(args, &g.digest, err);
    if (st == STOQ_OK && has_output) {
        st = stoq_json_path(args, "output", &output, err);
    }
    if (st == STOQ_OK && has_output) {
        st = write_file(&g, (const char *)output.p, err);
    } else if (st == STOQ_OK) {
        st = read_bytes(&g, stoq_json_bool(args, "stream", false) ? io->data : NULL, io->user, err);
    }
    if (st == STOQ_OK) {
        *result = got_to_json(&g, stoq_json_text(args, "digest"));
    }
    if (st == STOQ_OK && has_output) {
        (void)stoq_json_set_path(*result, "output", stoq_buf_span(&output));
    }
    stoq_buf_release(&g.found.path);
    stoq_buf_release(&output);
    return st;
}
