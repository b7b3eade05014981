/* Commands for proof files: prove, from what the store holds; check-proof, with no store at all. */
#include "call.h"
#include "commands.h"
#include "daemon/source.h"
#include "hash/hash.h"
#include "human.h"
#include "input.h"
#include "package/proof_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_name[] = {"", "chunk", "run", "shard"};

/* --- prove --- */

static void tell_proof(const json_t *o)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    (void)fprintf(
        stderr, "%s: chunks %llu-%llu, %s at byte %llu; %s written\n", stoq_json_text(o, "kind"),
        (unsigned long long)stoq_json_u64(o, "first", 0),
        (unsigned long long)(stoq_json_u64(o, "first", 0) + stoq_json_u64(o, "count", 0) - 1),
        human_bytes(a, stoq_json_u64(o, "bytes", 0)),
        (unsigned long long)stoq_json_u64(o, "offset", 0),
        human_bytes(b, stoq_json_u64(o, "file_bytes", 0)));
}

/* --chunk I is the run I-I. 0, or the exit code. */
static int set_chunks(struct cmd *cmd, json_t *args)
{
    char text[64];
    uint64_t index = 0;
    if (!cmd_flag(cmd, "chunk")) {
        return call_set_text(cmd, args, "chunks", cmd_value(cmd, "chunks"));
    }
    if (cmd_flag(cmd, "chunks")) {
        return cmd_usage(cmd, "either --chunk or --chunks");
    }
    if (!cmd_value_u64(cmd, "chunk", 0, INT64_MAX, &index)) {
        return STOQ_EXIT_USAGE;
    }
    (void)snprintf(text, sizeof text, "%llu-%llu", (unsigned long long)index,
                   (unsigned long long)index);
    return call_set_text(cmd, args, "chunks", text);
}

static int prove_args(struct cmd *cmd, json_t *args)
{
    uint64_t shard = 0;
    const char *output = cmd_value(cmd, "output");
    const char *path = cmd_value(cmd, "path");
    if (output == NULL) {
        return cmd_usage(cmd, "-o is missing: the file to write, or - for standard output");
    }
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    if (rc == 0) {
        rc = set_chunks(cmd, args);
    }
    if (rc == 0) {
        rc = call_set_text(cmd, args, "range", cmd_value(cmd, "range"));
    }
    if (rc == 0 && !cmd_value_u64(cmd, "shard", 0, INT64_MAX, &shard)) {
        rc = STOQ_EXIT_USAGE;
    }
    bool ok = rc == 0;
    if (ok && cmd_flag(cmd, "shard")) {
        ok = stoq_json_set_u64(args, "shard", shard);
    }
    if (ok && path != NULL) {
        ok = stoq_json_set_path(args, "path", stoq_span_str(path));
    }
    ok = ok && json_object_set_new(args, "table", json_boolean(cmd_flag(cmd, "table"))) == 0 &&
         json_object_set_new(args, "data", json_boolean(cmd_flag(cmd, "data"))) == 0;
    if (!ok) {
        return rc != 0 ? rc : STOQ_EXIT_FAILED;
    }
    return call_set_output(cmd, args, output);
}

int cmd_prove(struct cmd *cmd)
{
    json_t *args = json_object();
    int rc = prove_args(cmd, args);
    return call_tell(cmd, rc, "prove", args, tell_proof);
}

/* --- check-proof --- */

struct check {
    const struct cmd *cmd;
    struct input in;
    uint64_t first; /* what the caller wants proved, where the option is given */
    uint64_t count;
    uint64_t shard;
    struct stoq_proof_file head;
    struct stoq_buf parts; /* manifest and proof */
    struct stoq_proof_told told;
    bool data_checked;
};

static enum stoq_status no_proof(struct check *c, enum stoq_status st, struct stoq_error *err)
{
    switch (st) {
    case STOQ_OK:
        return st;
    case STOQ_VERSION:
        return stoq_fail(err, st, 0, "%s has a format version that is not known here", c->in.name);
    case STOQ_PROOF:
        return stoq_fail_code(err, st, "InvalidProof", "%s does not lead to the package id",
                              c->in.name);
    default:
        return stoq_fail_code(err, st, "InvalidProof", "%s is not a proof file: %s", c->in.name,
                              stoq_status_str(st));
    }
}

/* Exactly n more bytes of the proof file, appended to parts. */
static enum stoq_status read_part(struct check *c, size_t n, struct stoq_error *err)
{
    size_t got = 0;
    enum stoq_status st = stoq_buf_reserve(&c->parts, n);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory for the proof");
    }
    st = input_read(&c->in, c->parts.p + c->parts.n, n, &got, err);
    if (st != STOQ_OK) {
        return st;
    }
    c->parts.n += got;
    return no_proof(c, got == n ? STOQ_OK : STOQ_TRUNC, err);
}

static enum stoq_status check_parts(struct check *c, const struct stoq_package_id *id,
                                    struct stoq_error *err)
{
    enum stoq_status st = read_part(c, STOQ_PROOF_FILE_HEAD_BYTES, err);
    if (st == STOQ_OK) {
        st = no_proof(c, stoq_proof_file_decode(stoq_buf_span(&c->parts), &c->head), err);
    }
    if (st == STOQ_OK) {
        stoq_buf_clear(&c->parts);
        st = read_part(c, (size_t)c->head.manifest_bytes + c->head.proof_bytes, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    const uint8_t *p = c->parts.p;
    st = stoq_proof_check(id, stoq_span(p, c->head.manifest_bytes),
                          stoq_span(p + c->head.manifest_bytes, c->head.proof_bytes), &c->told);
    if (st == STOQ_OK && c->head.data_bytes != 0 && c->head.data_bytes != c->told.bytes) {
        st = STOQ_MALFORMED;
    }
    return no_proof(c, st, err);
}

static enum stoq_status wrong_data(const char *name, struct stoq_error *err)
{
    return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                          "the data in %s are not the bytes that the proof speaks of", name);
}

/* The rest of in is the proved chunks, and nothing else. */
static enum stoq_status check_data(const struct check *c, struct input *in, struct stoq_error *err)
{
    uint8_t *buf = malloc(STOQ_MERKLE_CHUNK_BYTES_MAX);
    enum stoq_status st = STOQ_OK;
    size_t got = 0;
    if (buf == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a chunk");
    }
    for (size_t i = 0; st == STOQ_OK && i < c->told.count; i++) {
        struct stoq_merkle_chunk chunk = stoq_proof_told_chunk(&c->told, i);
        st = input_read(in, buf, chunk.bytes, &got, err);
        if (st == STOQ_OK) {
            struct stoq_hash hash = stoq_hash_blake3(stoq_span(buf, got));
            bool is_same = got == chunk.bytes && stoq_hash_eq(&hash, &chunk.hash);
            st = is_same ? STOQ_OK : wrong_data(in->name, err);
        }
    }
    if (st == STOQ_OK) {
        st = input_read(in, buf, 1, &got, err);
    }
    if (st == STOQ_OK && got != 0) {
        st = wrong_data(in->name, err);
    }
    free(buf);
    return st;
}

/* The proof file ends where it says, with good data where it has them. */
static enum stoq_status check_end(struct check *c, struct stoq_error *err)
{
    uint8_t byte;
    size_t got = 0;
    if (c->head.data_bytes > 0) {
        c->data_checked = true;
        return check_data(c, &c->in, err);
    }
    enum stoq_status st = input_read(&c->in, &byte, 1, &got, err);
    return st == STOQ_OK ? no_proof(c, got == 0 ? STOQ_OK : STOQ_MALFORMED, err) : st;
}

static enum stoq_status check_other_data(struct check *c, struct stoq_error *err)
{
    struct input in;
    const char *path = cmd_value(c->cmd, "data");
    if (path == NULL) {
        return STOQ_OK;
    }
    enum stoq_status st = input_open(&in, path, err);
    if (st == STOQ_OK) {
        c->data_checked = true;
        st = check_data(c, &in, err);
    }
    input_close(&in);
    return st;
}

/* Is what was proved what was to be proved? */
static enum stoq_status check_wish(const struct check *c, struct stoq_error *err)
{
    const struct stoq_proof_told *t = &c->told;
    bool is_it = (!cmd_flag(c->cmd, "first") || t->first == c->first) &&
                 (!cmd_flag(c->cmd, "count") || t->count == c->count) &&
                 (!cmd_flag(c->cmd, "shard") || t->shard == c->shard);
    if (is_it) {
        return STOQ_OK;
    }
    return stoq_fail_code(err, STOQ_PROOF, "InvalidProof",
                          "%s proves something else: chunks %llu-%llu, from shard %llu on",
                          c->in.name, (unsigned long long)t->first,
                          (unsigned long long)(t->first + t->count - 1),
                          (unsigned long long)t->shard);
}

static int print_check(const struct check *c)
{
    const struct stoq_proof_told *t = &c->told;
    if (c->cmd->json) {
        return cmd_print_json(
            c->cmd, json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "valid", 1, "kind",
                              kind_name[t->kind], "first", (json_int_t)t->first, "count",
                              (json_int_t)t->count, "shard", (json_int_t)t->shard, "offset",
                              (json_int_t)t->offset, "bytes", (json_int_t)t->bytes, "data_checked",
                              (int)c->data_checked));
    }
    if (!c->cmd->quiet) {
        (void)printf("ok: %s, chunks %llu-%llu, %llu bytes at byte %llu of the package%s\n",
                     kind_name[t->kind], (unsigned long long)t->first,
                     (unsigned long long)(t->first + t->count - 1), (unsigned long long)t->bytes,
                     (unsigned long long)t->offset,
                     c->data_checked ? "" : "; the bytes themselves were not there to check");
    }
    return cmd_finish(c->cmd);
}

static enum stoq_status check(struct check *c, const struct stoq_package_id *id,
                              struct stoq_error *err)
{
    enum stoq_status st = check_parts(c, id, err);
    if (st == STOQ_OK) {
        st = check_end(c, err);
    }
    if (st == STOQ_OK) {
        st = check_wish(c, err);
    }
    return st == STOQ_OK ? check_other_data(c, err) : st;
}

int cmd_check_proof(struct cmd *cmd)
{
    struct check c = {.cmd = cmd};
    struct stoq_package_id id;
    struct stoq_error err;
    const char *text = cmd_value(cmd, "id");
    if (text == NULL) {
        return cmd_usage(cmd, "--id is missing: the package that you trust");
    }
    if (!cmd_value_u64(cmd, "first", 0, INT64_MAX, &c.first) ||
        !cmd_value_u64(cmd, "count", 1, INT64_MAX, &c.count) ||
        !cmd_value_u64(cmd, "shard", 0, INT64_MAX, &c.shard)) {
        return STOQ_EXIT_USAGE;
    }
    stoq_buf_init(&c.parts, STOQ_PROOF_FILE_PARTS_BYTES_MAX);
    enum stoq_status st = stoq_package_id_parse(&id, text, &err);
    if (st == STOQ_OK) {
        st = input_open(&c.in, cmd->args[0], &err);
        if (st == STOQ_OK) {
            st = check(&c, &id, &err);
        }
        input_close(&c.in);
    }
    int exit_code = st == STOQ_OK ? print_check(&c) : cmd_fail(cmd, &err);
    stoq_buf_release(&c.parts);
    return exit_code;
}
