#include "cmd_merkle.h"

#include "hash/hash.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- prove --- */

/* The bytes to PATH, which must not exist, or to standard output for `-`. */
static enum stoq_status write_proof(const char *path, struct stoq_span bytes,
                                    struct stoq_error *err)
{
    if (strcmp(path, "-") == 0) {
        (void)fwrite(bytes.p, 1, bytes.n, stdout);
        return STOQ_OK; /* cmd_finish tells whether it arrived */
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return stoq_fail(err, stoq_file_status(errno), errno, "cannot write %s", path);
    }
    enum stoq_status st = stoq_file_write_all(fd, bytes);
    int sys_errno = errno;
    if (close(fd) != 0 && st == STOQ_OK) {
        st = STOQ_IO;
        sys_errno = errno;
    }
    if (st != STOQ_OK) {
        (void)unlink(path);
        return stoq_fail(err, st, sys_errno, "cannot write %s", path);
    }
    return STOQ_OK;
}

static json_t *steps_json(const struct stoq_merkle_step *step, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count && list != NULL; i++) {
        char hex[65];
        stoq_hex_put(hex, stoq_span(step[i].hash.b, 32));
        json_t *item =
            json_pack("{s:s, s:s, s:s}", "hash", hex, "position", step[i].left ? "left" : "right",
                      "tree", step[i].above_shard ? "package" : "shard");
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static int print_proof(struct cmd *cmd, const struct pass *p, const struct stoq_merkle_proof *proof,
                       uint64_t offset, const struct stoq_merkle_step *step, size_t count)
{
    char hash[65];
    char root[65];
    stoq_hex_put(hash, stoq_span(proof->chunk.hash.b, 32));
    stoq_hex_put(root, stoq_span(p->root.hash.b, 32));
    if (cmd->json) {
        return cmd_print_json(
            cmd,
            json_pack("{s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:o}", "index", (json_int_t)proof->index,
                      "offset", (json_int_t)offset, "length", (json_int_t)proof->chunk.bytes,
                      "chunk", hash, "root", root, "chunks", (json_int_t)proof->chunks, "shard",
                      (json_int_t)proof->shard_index, "nodes", steps_json(step, count)));
    }
    (void)printf("index %llu\noffset %llu\nlength %u\nchunk %s\nroot %s\n",
                 (unsigned long long)proof->index, (unsigned long long)offset, proof->chunk.bytes,
                 hash, root);
    for (size_t i = 0; i < count; i++) {
        stoq_hex_put(hash, stoq_span(step[i].hash.b, 32));
        (void)printf("%s %s\n", step[i].left ? "left" : "right", hash);
    }
    return cmd_finish(cmd);
}

/* Write or show the proof that the pass has collected for. */
static int finish_proof(struct cmd *cmd, const struct pass *p, uint32_t chunk_bytes_max)
{
    struct stoq_merkle_proof proof;
    struct stoq_merkle_step step[STOQ_MERKLE_STEPS_MAX];
    size_t count = 0;
    uint64_t offset = 0;
    struct stoq_buf bytes;
    struct stoq_error err;
    const char *out = cmd_value(cmd, "output");
    if (p->index >= p->root.chunks) {
        (void)stoq_fail_code(&err, STOQ_RANGE, "InvalidChunkIndex",
                             "there is no chunk %llu: the input has %llu, counted from 0",
                             (unsigned long long)p->index, (unsigned long long)p->root.chunks);
        return cmd_fail(cmd, &err);
    }
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    enum stoq_status st = stoq_merkle_prove_chunk(&p->root, stoq_buf_span(&p->shard_list),
                                                  stoq_buf_span(&p->chunk_list), p->index, &proof);
    STOQ_ASSERT(st == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_proof_claim(&proof, chunk_bytes_max, &offset) == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_proof_steps(&proof, chunk_bytes_max, step, &count) == STOQ_OK);
    st = stoq_merkle_proof_encode(&proof, &bytes);
    if (st != STOQ_OK) {
        (void)stoq_fail(&err, st, 0, "no memory for the proof");
    } else if (out != NULL) {
        st = write_proof(out, stoq_buf_span(&bytes), &err);
    }
    stoq_buf_release(&bytes);
    if (st != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    bool is_shown = cmd->json || out == NULL;
    return is_shown ? print_proof(cmd, p, &proof, offset, step, count) : cmd_finish(cmd);
}

int merkle_prove(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params)
{
    struct pass p = {.proving = true};
    struct stoq_error err;
    const char *out = cmd_value(cmd, "output");
    if (!cmd_flag(cmd, "index")) {
        return cmd_usage(cmd, "prove needs --index N");
    }
    if (!cmd_value_u64(cmd, "index", 0, INT64_MAX, &p.index)) {
        return STOQ_EXIT_USAGE;
    }
    if (cmd->json && out != NULL && strcmp(out, "-") == 0) {
        return cmd_usage(cmd, "--json and a proof do not both fit on standard output");
    }
    enum stoq_status st = pass_run(&p, path, params, &err);
    int exit_code = st == STOQ_OK ? finish_proof(cmd, &p, params->max) : cmd_fail(cmd, &err);
    pass_release(&p);
    return exit_code;
}

/* --- verify --- */

struct ask {
    struct stoq_hash root;
    uint64_t index;
    const char *proof_path; /* NULL: check the whole input's root */
    uint32_t chunk_bytes_max;
    bool chunk_only; /* the input is the chunk's bytes and nothing else */
};

static bool read_ask(const struct cmd *cmd, struct ask *out)
{
    const char *root = cmd_value(cmd, "root");
    if (root == NULL || !stoq_hex_get(out->root.b, 32, root)) {
        (void)cmd_usage(cmd, "verify needs --root HEX with 64 hexadecimal digits");
        return false;
    }
    out->proof_path = cmd_value(cmd, "proof");
    out->chunk_only = cmd_flag(cmd, "chunk");
    if ((out->proof_path != NULL) != cmd_flag(cmd, "index") ||
        (out->chunk_only && out->proof_path == NULL)) {
        (void)cmd_usage(cmd, "verify of one chunk needs both --index N and --proof FILE");
        return false;
    }
    return cmd_value_u64(cmd, "index", 0, INT64_MAX, &out->index);
}

/* Bytes that end too early, or late, for what the proof says. */
static enum stoq_status wrong_size(const char *path, struct stoq_error *err)
{
    return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                          "%s does not have the bytes that the proof speaks of", path);
}

/* Read over n bytes. */
static enum stoq_status skip(struct input *in, uint64_t n, struct stoq_error *err)
{
    if (lseek(in->fd, (off_t)n, SEEK_CUR) >= 0) {
        return STOQ_OK;
    }
    uint8_t block[16384];
    while (n > 0) {
        size_t got;
        size_t want = n < sizeof block ? (size_t)n : sizeof block;
        enum stoq_status st = input_read(in, block, want, &got, err);
        if (st != STOQ_OK) {
            return st;
        }
        if (got < want) {
            return wrong_size(in->name, err);
        }
        n -= got;
    }
    return STOQ_OK;
}

/* The chunk's hash, from length bytes at offset, or from all bytes of an input that is the chunk. */
static enum stoq_status hash_chunk(const struct ask *ask, const char *path, uint64_t offset,
                                   struct stoq_merkle_chunk *chunk, struct stoq_error *err)
{
    struct input in;
    uint8_t *buf = malloc((size_t)chunk->bytes + 1);
    if (buf == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the chunk");
    }
    size_t got = 0;
    enum stoq_status st = input_open(&in, path, err);
    if (st == STOQ_OK && !ask->chunk_only) {
        st = skip(&in, offset, err);
    }
    if (st == STOQ_OK) {
        /* One byte more than wanted shows that a chunk's own file ends with it. */
        size_t want = chunk->bytes + (ask->chunk_only ? 1u : 0u);
        st = input_read(&in, buf, want, &got, err);
    }
    if (st == STOQ_OK && got != chunk->bytes) {
        st = wrong_size(path, err);
    }
    if (st == STOQ_OK) {
        chunk->hash = stoq_hash_blake3(stoq_span(buf, got));
    }
    input_close(&in);
    free(buf);
    return st;
}

static enum stoq_status bad_proof(enum stoq_status st, const char *path, struct stoq_error *err)
{
    if (st == STOQ_VERSION) {
        return stoq_fail(err, st, 0, "%s has a format version that is not known here", path);
    }
    return stoq_fail_code(err, st, "InvalidProof", "%s is not a proof: %s", path,
                          stoq_status_str(st));
}

/* Read and take apart the proof; bytes holds what it borrows from. */
static enum stoq_status read_proof(const struct ask *ask, struct stoq_buf *bytes,
                                   struct stoq_merkle_proof *proof, uint64_t *offset,
                                   struct stoq_error *err)
{
    enum stoq_status st = stoq_file_read(ask->proof_path, STOQ_MERKLE_PROOF_BYTES_MAX, bytes, err);
    if (st == STOQ_FULL) {
        return bad_proof(STOQ_MALFORMED, ask->proof_path, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_merkle_proof_decode(stoq_buf_span(bytes), proof);
    if (st == STOQ_OK) {
        st = stoq_merkle_proof_claim(proof, ask->chunk_bytes_max, offset);
    }
    return st == STOQ_OK ? st : bad_proof(st, ask->proof_path, err);
}

/* Say which of the three things that must agree does not. */
static enum stoq_status explain(const struct ask *ask, const char *path,
                                const struct stoq_merkle_proof *proof,
                                const struct stoq_merkle_chunk *chunk, enum stoq_status st,
                                struct stoq_error *err)
{
    if (proof->index != ask->index) {
        return stoq_fail_code(err, st, "InvalidProof", "%s proves chunk %llu, not chunk %llu",
                              ask->proof_path, (unsigned long long)proof->index,
                              (unsigned long long)ask->index);
    }
    if (!stoq_hash_eq(&proof->chunk.hash, &chunk->hash)) {
        return stoq_fail_code(err, st, "IntegrityCheckFailed",
                              "the bytes of %s are not those that the proof speaks of", path);
    }
    return stoq_fail_code(err, st, "InvalidProof", "%s does not lead to the root", ask->proof_path);
}

/* Check one chunk; chunk and offset are filled on success. */
static enum stoq_status verify_one(const struct ask *ask, const char *path, struct stoq_buf *bytes,
                                   struct stoq_merkle_chunk *chunk, uint64_t *offset,
                                   struct stoq_error *err)
{
    struct stoq_merkle_proof proof = {.shards = 0};
    enum stoq_status st = read_proof(ask, bytes, &proof, offset, err);
    if (st != STOQ_OK) {
        return st;
    }
    chunk->bytes = proof.chunk.bytes;
    st = hash_chunk(ask, path, *offset, chunk, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_merkle_verify_chunk(&ask->root, ask->chunk_bytes_max, ask->index, chunk, &proof,
                                  offset);
    return st == STOQ_OK ? st : explain(ask, path, &proof, chunk, st, err);
}

static int verify_chunk(struct cmd *cmd, const struct ask *ask, const char *path)
{
    struct stoq_merkle_chunk chunk = {.bytes = 0};
    uint64_t offset = 0;
    struct stoq_buf bytes;
    struct stoq_error err;
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    enum stoq_status st = verify_one(ask, path, &bytes, &chunk, &offset, &err);
    stoq_buf_release(&bytes);
    if (st != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    char hex[65];
    stoq_hex_put(hex, stoq_span(chunk.hash.b, 32));
    if (cmd->json) {
        return cmd_print_json(cmd, json_pack("{s:b, s:I, s:I, s:I, s:s}", "valid", 1, "index",
                                             (json_int_t)ask->index, "offset", (json_int_t)offset,
                                             "length", (json_int_t)chunk.bytes, "chunk", hex));
    }
    if (!cmd->quiet) {
        (void)printf("ok: chunk %llu, %u bytes at %llu\n", (unsigned long long)ask->index,
                     chunk.bytes, (unsigned long long)offset);
    }
    return cmd_finish(cmd);
}

static int verify_whole(struct cmd *cmd, const struct ask *ask, const char *path,
                        const struct stoq_chunk_params *params)
{
    struct pass p = {.proving = false};
    struct stoq_error err;
    enum stoq_status st = pass_run(&p, path, params, &err);
    pass_release(&p);
    if (st == STOQ_OK && !stoq_hash_eq(&p.root.hash, &ask->root)) {
        st = stoq_fail_code(&err, STOQ_PROOF, "IntegrityCheckFailed", "%s has another root", path);
    }
    if (st != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    if (cmd->json) {
        return cmd_print_json(cmd, json_pack("{s:b, s:I, s:I}", "valid", 1, "chunks",
                                             (json_int_t)p.root.chunks, "bytes",
                                             (json_int_t)p.root.bytes));
    }
    if (!cmd->quiet) {
        (void)printf("ok: %llu chunks, %llu bytes\n", (unsigned long long)p.root.chunks,
                     (unsigned long long)p.root.bytes);
    }
    return cmd_finish(cmd);
}

int merkle_verify(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params)
{
    struct ask ask = {.chunk_bytes_max =
                          cmd_flag(cmd, "max") ? params->max : STOQ_MERKLE_CHUNK_BYTES_MAX_RAW};
    if (!read_ask(cmd, &ask)) {
        return STOQ_EXIT_USAGE;
    }
    return ask.proof_path != NULL ? verify_chunk(cmd, &ask, path)
                                  : verify_whole(cmd, &ask, path, params);
}
