/* prove: a proof file of what the store holds. */
#include "daemon/ops_internal.h"

#include "daemon/prove.h"

/* "A-B", both proved. */
static enum stoq_status take_chunks(struct stoq_prove_ask *ask, const char *text,
                                    struct stoq_error *err)
{
    struct stoq_byte_range r;
    ask->what = STOQ_PROVE_CHUNKS;
    if (stoq_byte_range_parse(&r, text, NULL) != STOQ_OK || r.is_suffix || r.last == UINT64_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "'%.60s' is no run of chunks: A-B, counted from 0",
                         text);
    }
    ask->first = r.first;
    ask->last = r.last;
    return STOQ_OK;
}

/* Which of the ways to say what is to be proved was taken: just one. */
static enum stoq_status take_what(struct stoq_prove_ask *ask, const json_t *args,
                                  struct stoq_buf *path, struct stoq_error *err)
{
    const char *chunks = stoq_json_text(args, "chunks");
    const char *range = stoq_json_text(args, "range");
    bool has_shard = json_object_get(args, "shard") != NULL;
    bool has_path =
        json_object_get(args, "path") != NULL || json_object_get(args, "path_b64") != NULL;
    bool has_table = stoq_json_bool(args, "table", false);
    bool has_bytes = has_path || range != NULL;
    if ((chunks != NULL) + has_shard + has_table + has_bytes != 1) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "just one of these is to be proved: chunks, a shard, the table, bytes");
    }
    if (chunks != NULL) {
        return take_chunks(ask, chunks, err);
    }
    if (has_shard) {
        ask->what = STOQ_PROVE_SHARD;
        ask->first = stoq_json_u64(args, "shard", 0);
        return STOQ_OK;
    }
    ask->what = has_table ? STOQ_PROVE_TABLE : has_path ? STOQ_PROVE_FILE : STOQ_PROVE_BYTES;
    ask->range = (struct stoq_byte_range){.last = UINT64_MAX};
    enum stoq_status st = range != NULL ? stoq_byte_range_parse(&ask->range, range, err) : STOQ_OK;
    if (st == STOQ_OK && has_path) {
        st = stoq_json_path(args, "path", path, err);
        ask->path = stoq_buf_span(path);
    }
    return st;
}

static json_t *report_to_json(const char *id, const struct stoq_prove_report *r)
{
    static const char *const kind[] = {"", "chunk", "run", "shard"};
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", id, "kind",
                     kind[r->kind], "first", (json_int_t)r->first, "count", (json_int_t)r->count,
                     "shard", (json_int_t)r->shard, "offset", (json_int_t)r->offset, "bytes",
                     (json_int_t)r->bytes, "asked_offset", (json_int_t)r->asked_offset,
                     "asked_bytes", (json_int_t)r->asked_bytes, "file_bytes",
                     (json_int_t)r->file_bytes);
}

static enum stoq_status prove(struct stoq_host *host, const json_t *args, struct op_output *output,
                              struct stoq_prove_report *r, struct stoq_error *err)
{
    struct stoq_buf path;
    struct stoq_prove_ask ask = {
        .with_data = stoq_json_bool(args, "data", false),
        .sink = op_output_write,
        .sink_user = output,
        .cancelled = op_cancelled,
        .user = output->io,
    };
    stoq_buf_init(&path, OP_PATH_MAX + 1);
    enum stoq_status st = op_id(args, &ask.id, err);
    if (st == STOQ_OK) {
        st = take_what(&ask, args, &path, err);
    }
    if (st == STOQ_OK) {
        st = stoq_prove(stoq_host_store(host), &ask, r, err);
    }
    stoq_buf_release(&path);
    return st;
}

enum stoq_status op_prove(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    struct op_output output = {.io = io};
    struct stoq_prove_report r;
    json_t *o = NULL;
    enum stoq_status st = op_output_open(&output, args, err);
    if (st == STOQ_OK) {
        st = prove(host, args, &output, &r, err);
    }
    if (st == STOQ_OK) {
        o = report_to_json(stoq_json_text(args, "id"), &r);
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
