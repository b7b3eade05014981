/* Content by address: store put, get, verify, rm, ls. */
#include "daemon/ops_internal.h"

#include "daemon/content.h"
#include "daemon/keep.h"
#include "os/outfile.h"
#include "os/sys.h"

#include <stdlib.h>
#include <string.h>

static json_t *secondaries_to_json(const struct stoq_content *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->secondary_count; i++) {
        char hex[2 * STOQ_DIGEST_MAX + 1];
        stoq_hex_put(hex, stoq_digest_span(&c->secondary[i]));
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:s}", "alg", stoq_hash_alg_name(c->secondary[i].alg), "digest", hex));
    }
    return list;
}

static json_t *content_to_json(const struct stoq_content *c)
{
    char address[STOQ_ID_TEXT_CAP];
    char digest[2 * sizeof c->address.digest.b + 1];
    char root[2 * sizeof c->root.hash.b + 1];
    stoq_address_put(address, &c->address);
    stoq_hex_put(digest, stoq_span(c->address.digest.b, sizeof c->address.digest.b));
    stoq_hex_put(root, stoq_span(c->root.hash.b, sizeof c->root.hash.b));
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:s, s:I}", "address", address, "hash",
                     stoq_hash_alg_name((enum stoq_hash_alg)c->address.algorithm), "digest", digest,
                     "secondary", secondaries_to_json(c), "bytes", (json_int_t)c->root.bytes,
                     "chunks", (json_int_t)c->root.chunks, "shards", (json_int_t)c->root.shards,
                     "root", root, "added_at", (json_int_t)c->added_at);
}

static void tell_progress(struct stoq_op_io *io, const char *phase, uint64_t done, uint64_t total)
{
    op_progress(io, json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "phase", phase, "bytes",
                              (json_int_t)done, "bytes_total", (json_int_t)total));
}

static void on_put(void *user, uint64_t done, uint64_t total)
{
    tell_progress(user, "put", done, total);
}

static void on_get(void *user, uint64_t done, uint64_t total)
{
    tell_progress(user, "get", done, total);
}

/* ALG or ALG=HEX. */
static enum stoq_status take_second(struct stoq_content_second *out, const char *text,
                                    struct stoq_error *err)
{
    char name[16];
    size_t n = strcspn(text, "=");
    memset(out, 0, sizeof *out);
    if (n < sizeof name) {
        memcpy(name, text, n);
        name[n] = '\0';
        out->alg = stoq_hash_alg_named(name);
    }
    if (out->alg == STOQ_HASH_NONE) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "a secondary hash is blake3, sha3-256, sha256, sha512 or xxh3-128, "
                         "not '%.40s'",
                         text);
    }
    if (text[n] == '=') {
        out->is_expected = true;
        out->want.alg = out->alg;
        if (!stoq_hex_get(out->want.b, stoq_hash_alg_size(out->alg), text + n + 1)) {
            return stoq_fail(err, STOQ_RANGE, 0, "'%.160s' needs %zu hexadecimal digits", text,
                             2 * stoq_hash_alg_size(out->alg));
        }
    }
    return STOQ_OK;
}

static enum stoq_status fill_ask(struct stoq_content_put_ask *ask, struct stoq_address *expected,
                                 const json_t *args, struct stoq_error *err)
{
    const char *hash = stoq_json_text(args, "hash");
    const char *expect = stoq_json_text(args, "expect");
    const json_t *second = json_object_get(args, "secondary");
    enum stoq_status st = STOQ_OK;
    if (hash != NULL) {
        ask->algorithm = stoq_hash_alg_named(hash);
        if (ask->algorithm == STOQ_HASH_NONE) {
            return stoq_fail(err, STOQ_RANGE, 0, "an address is blake3 or sha3-256, not '%.40s'",
                             hash);
        }
    }
    if (json_array_size(second) > STOQ_CONTENT_SECONDARY_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "more than %d secondary hashes",
                         STOQ_CONTENT_SECONDARY_MAX);
    }
    for (size_t i = 0; st == STOQ_OK && i < json_array_size(second); i++) {
        st = take_second(&ask->second[i], json_string_value(json_array_get(second, i)), err);
        ask->second_count++;
    }
    if (st == STOQ_OK && expect != NULL) {
        st = stoq_address_parse(expected, expect, err);
        ask->expected = expected;
    }
    /* Named alone, the expected address says which algorithm it is. */
    if (st == STOQ_OK && expect != NULL && hash == NULL) {
        ask->algorithm = stoq_hash_alg_code(expected->algorithm);
    }
    uint64_t threads = stoq_json_u64(args, "threads", 0);
    if (st == STOQ_OK && threads > 64) {
        st = stoq_fail(err, STOQ_RANGE, 0, "threads is at most 64");
    }
    ask->threads = (unsigned)threads;
    return st;
}

static json_t *put_to_json(const struct stoq_content_put_report *r)
{
    json_t *o = content_to_json(&r->content);
    bool ok = o != NULL && json_object_set_new(o, "existed", json_boolean(r->existed)) == 0;
    ok = ok && stoq_json_set_u64(o, "chunks_new", r->chunks_new);
    ok = ok && stoq_json_set_u64(o, "bytes_new", r->bytes_new);
    ok = ok && stoq_json_set_u64(o, "bytes_stored", r->bytes_stored);
    ok = ok && json_object_set_new(o, "seconds", op_seconds(r->elapsed_ns)) == 0;
    if (!ok) {
        json_decref(o);
        return NULL;
    }
    return o;
}

enum stoq_status op_store_put(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    struct op_input input = {.io = io};
    struct stoq_address expected;
    struct stoq_content_put_report report;
    struct stoq_content_put_ask ask = {
        .record_lock = stoq_host_record_lock(host),
        .read = op_input_read,
        .read_user = &input,
        .progress = on_put,
        .cancelled = op_cancelled,
        .user = io,
    };
    enum stoq_status st = op_input_open(&input, args, err);
    ask.bytes_total = input.bytes_total;
    if (st == STOQ_OK) {
        st = fill_ask(&ask, &expected, args, err);
    }
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st == STOQ_OK) {
        st = stoq_content_put(stoq_host_store(host), &ask, &report, err);
        stoq_host_content_end(host, false);
    }
    op_input_close(&input);
    if (st == STOQ_OK) {
        *result = put_to_json(&report);
    }
    return st;
}

struct file_sink {
    struct stoq_outfile *file;
    struct stoq_error *err;
};

static enum stoq_status write_out(void *user, struct stoq_span bytes)
{
    struct file_sink *s = user;
    return stoq_outfile_write(s->file, bytes, s->err);
}

/* Into a file that appears when all of it was checked. */
static enum stoq_status get_to_file(struct stoq_host *host, struct stoq_content_get_ask *ask,
                                    const char *path, struct stoq_content *content,
                                    struct stoq_error *err)
{
    struct file_sink sink = {.err = err};
    enum stoq_status st = stoq_content_info(stoq_host_store(host), &ask->address, content, err);
    if (st == STOQ_OK) {
        st = stoq_outfile_new(&sink.file, path, err);
    }
    ask->sink = write_out;
    ask->sink_user = &sink;
    if (st == STOQ_OK) {
        st = stoq_content_get(stoq_host_store(host), ask, content, err);
    }
    if (st == STOQ_OK) {
        st = stoq_outfile_commit(sink.file, err);
    }
    ask->sink = NULL;
    ask->sink_user = NULL;
    stoq_outfile_free(sink.file);
    return st;
}

enum stoq_status op_store_get(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct stoq_content content;
    struct stoq_buf output;
    struct stoq_content_get_ask ask = {
        .sink = io->data,
        .sink_user = io->user,
        .progress = on_get,
        .cancelled = op_cancelled,
        .user = io,
    };
    bool is_stream = stoq_json_bool(args, "stream", false);
    enum stoq_status st = stoq_address_parse(&ask.address, stoq_json_text(args, "address"), err);
    stoq_buf_init(&output, OP_PATH_MAX);
    if (st == STOQ_OK && !is_stream) {
        st = stoq_json_path(args, "output", &output, err);
    }
    if (st == STOQ_OK && is_stream) {
        st = stoq_content_get(stoq_host_store(host), &ask, &content, err);
    } else if (st == STOQ_OK) {
        st = get_to_file(host, &ask, (const char *)output.p, &content, err);
    }
    if (st == STOQ_OK) {
        *result = content_to_json(&content);
        (void)json_object_set_new(*result, "seconds", op_seconds(stoq_now() - began));
        if (!is_stream) {
            (void)stoq_json_set_path(*result, "output", stoq_buf_span(&output));
        }
    }
    stoq_buf_release(&output);
    return st;
}

static void on_verify(void *user, uint64_t done, uint64_t total)
{
    tell_progress(user, "verify", done, total);
}

enum stoq_status op_store_verify(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                                 json_t **result, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct stoq_content content;
    struct stoq_content_get_ask ask = {
        .progress = on_verify, .cancelled = op_cancelled, .user = io};
    enum stoq_status st = stoq_address_parse(&ask.address, stoq_json_text(args, "address"), err);
    if (st == STOQ_OK) {
        st = stoq_content_get(stoq_host_store(host), &ask, &content, err);
    }
    if (st == STOQ_OK) {
        *result = content_to_json(&content);
        (void)json_object_set_new(*result, "seconds", op_seconds(stoq_now() - began));
    }
    return st;
}

enum stoq_status op_store_rm(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    struct stoq_address address;
    struct stoq_local_removed removed = {0};
    const char *text = stoq_json_text(args, "address");
    enum stoq_status st = stoq_address_parse(&address, text, err);
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, true, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_subject subject = stoq_subject_of_address(&address);
    st = stoq_keep_check_free(stoq_host_store(host), &subject, stoq_wall_seconds(), err);
    if (st == STOQ_OK) {
        st = stoq_content_remove(stoq_host_store(host), &address, &removed, err);
    }
    stoq_host_content_end(host, true);
    if (st == STOQ_OK) {
        *result = json_pack("{s:s, s:I, s:I, s:I}", "address", text, "chunks",
                            (json_int_t)removed.chunks, "bytes", (json_int_t)removed.bytes,
                            "chunks_shared", (json_int_t)removed.chunks_shared);
    }
    return st;
}

static bool list_one(void *user, const struct stoq_content *c)
{
    return json_array_append_new(user, content_to_json(c)) == 0;
}

enum stoq_status op_store_ls(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    uint64_t damaged = 0;
    enum stoq_status st = STOQ_OK;
    json_t *list = json_array();
    if (stoq_host_store(host) != NULL) {
        st = stoq_content_each(stoq_host_store(host), list_one, list, &damaged, err);
    }
    if (st == STOQ_OK) {
        *result = json_pack("{s:O, s:I}", "contents", list, "damaged", (json_int_t)damaged);
    }
    json_decref(list);
    return st;
}
