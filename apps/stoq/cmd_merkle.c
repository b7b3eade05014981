#include "cmd_merkle.h"

#include "hash/hash.h"

#include <string.h>

/* Keep a closed shard's entry, and its list when it holds the wanted chunk. */
static enum stoq_status pass_keep(struct pass *p, const struct stoq_merkle_closed *closed,
                                  uint64_t chunks_before)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    if (!p->proving) {
        return STOQ_OK;
    }
    stoq_merkle_shard_put(entry, &closed->shard);
    enum stoq_status st = stoq_buf_add(&p->shard_list, stoq_span(entry, sizeof entry));
    if (st == STOQ_OK && p->index - chunks_before < closed->shard.chunks) {
        st = stoq_buf_add(&p->chunk_list, closed->list);
    }
    return st;
}

static enum stoq_status pass_build(struct pass *p, struct cut *c, struct stoq_merkle *m,
                                   struct stoq_error *err)
{
    struct stoq_merkle_closed closed;
    bool is_closed;
    uint64_t chunks = 0; /* of the shards closed so far */
    struct stoq_span bytes;
    enum stoq_status st;
    while ((st = cut_next(c, &bytes, err)) == STOQ_OK) {
        struct stoq_merkle_chunk chunk = {stoq_hash_blake3(bytes), (uint32_t)bytes.n};
        st = stoq_merkle_add(m, &chunk, &closed, &is_closed);
        if (st == STOQ_OK && is_closed) {
            st = pass_keep(p, &closed, chunks);
            chunks += closed.shard.chunks;
        }
        if (st != STOQ_OK) {
            return stoq_fail(err, st, 0, "cannot build the tree of %s", c->in.name);
        }
    }
    if (st != STOQ_NOTFOUND) {
        return st;
    }
    stoq_merkle_finish(m, &closed, &is_closed, &p->root);
    st = is_closed ? pass_keep(p, &closed, chunks) : STOQ_OK;
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "cannot build the tree of %s", c->in.name);
}

enum stoq_status pass_run(struct pass *p, const char *path, const struct stoq_chunk_params *params,
                          struct stoq_error *err)
{
    struct stoq_merkle_config cfg = {.chunk_bytes_max = params->max};
    struct stoq_merkle *m = NULL;
    struct cut c;
    stoq_buf_init(&p->shard_list, SIZE_MAX);
    stoq_buf_init(&p->chunk_list, SIZE_MAX);
    enum stoq_status st = cut_open(&c, path, params, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_merkle_new(&m, &cfg);
    if (st == STOQ_OK) {
        st = pass_build(p, &c, m, err);
    } else {
        (void)stoq_fail(err, st, 0, "no memory for the tree");
    }
    stoq_merkle_free(m);
    cut_close(&c);
    return st;
}

void pass_release(struct pass *p)
{
    stoq_buf_release(&p->shard_list);
    stoq_buf_release(&p->chunk_list);
}

int merkle_root(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params)
{
    struct pass p = {.proving = false};
    struct stoq_error err;
    char hex[65];
    enum stoq_status st = pass_run(&p, path, params, &err);
    pass_release(&p);
    if (st != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    stoq_hex_put(hex, stoq_span(p.root.hash.b, 32));
    if (!cmd->json) {
        (void)printf("%s\n", hex);
        return cmd_finish(cmd);
    }
    return cmd_print_json(
        cmd, json_pack("{s:I, s:I, s:I, s:I, s:s, s:s}", "chunks", (json_int_t)p.root.chunks,
                       "shards", (json_int_t)p.root.shards, "bytes", (json_int_t)p.root.bytes,
                       "height", (json_int_t)p.root.height, "hasher", "blake3", "root", hex));
}

int cmd_merkle(struct cmd *cmd)
{
    static const struct {
        const char *name;
        int (*run)(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params);
    } actions[] = {{"root", merkle_root}, {"prove", merkle_prove}, {"verify", merkle_verify}};
    struct stoq_chunk_params params;
    if (!cut_options(cmd, &params)) {
        return STOQ_EXIT_USAGE;
    }
    for (size_t i = 0; i < STOQ_COUNT(actions); i++) {
        if (strcmp(cmd->args[0], actions[i].name) == 0) {
            return actions[i].run(cmd, cmd->args[1], &params);
        }
    }
    return cmd_usage(cmd, "stoq merkle does root, prove or verify, not '%s'", cmd->args[0]);
}
