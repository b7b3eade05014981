#include "daemon/shards.h"

#include <stdlib.h>

struct stoq_shards {
    struct stoq_store *store;
    struct stoq_merkle *merkle;
    struct stoq_buf list;
};

enum stoq_status stoq_shards_new(struct stoq_shards **out, struct stoq_store *store,
                                 struct stoq_error *err)
{
    const struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_shards *s = calloc(1, sizeof *s);
    if (s == NULL || stoq_merkle_new(&s->merkle, &cfg) != STOQ_OK) {
        free(s);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a tree of chunks");
    }
    s->store = store;
    stoq_buf_init(&s->list, STOQ_RECORD_BYTES_MAX);
    *out = s;
    return STOQ_OK;
}

void stoq_shards_free(struct stoq_shards *s)
{
    if (s == NULL) {
        return;
    }
    stoq_merkle_free(s->merkle);
    stoq_buf_release(&s->list);
    free(s);
}

/* A shard has closed: its chunk list to the store, its entry to the shard list. */
static enum stoq_status close_shard(struct stoq_shards *s, const struct stoq_merkle_closed *closed,
                                    struct stoq_error *err)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    enum stoq_status st = stoq_buf_add(&s->list, stoq_span(entry, sizeof entry));
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "the stream has too many shards");
    }
    struct stoq_span key = stoq_span(closed->shard.root.b, sizeof closed->shard.root.b);
    return stoq_store_put(s->store, STOQ_RECORD_CHUNK_LIST, key, 0, closed->list, NULL, err);
}

enum stoq_status stoq_shards_add(void *shards, const struct stoq_merkle_chunk *chunk,
                                 struct stoq_error *err)
{
    struct stoq_shards *s = shards;
    struct stoq_merkle_closed closed;
    bool has_closed = false;
    enum stoq_status st = stoq_merkle_add(s->merkle, chunk, &closed, &has_closed);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "the stream is longer than 2^48 bytes");
    }
    return has_closed ? close_shard(s, &closed, err) : STOQ_OK;
}

enum stoq_status stoq_shards_finish(struct stoq_shards *s, struct stoq_merkle_root *root,
                                    struct stoq_span *shard_list, struct stoq_error *err)
{
    struct stoq_merkle_closed closed;
    bool has_closed = false;
    enum stoq_status st = STOQ_OK;
    stoq_merkle_finish(s->merkle, &closed, &has_closed, root);
    if (has_closed) {
        st = close_shard(s, &closed, err);
    }
    *shard_list = stoq_buf_span(&s->list);
    return st;
}
