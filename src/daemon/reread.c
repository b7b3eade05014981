#include "daemon/reread.h"

enum stoq_status stoq_reread_span(const struct stoq_held *held, uint64_t first_shard,
                                  uint64_t shard_count, struct stoq_reread_span *out,
                                  struct stoq_error *err)
{
    uint64_t shards = stoq_held_shard_count(held);
    uint64_t count = shard_count == 0 ? shards - first_shard : shard_count;
    if (first_shard > shards || count > shards - first_shard ||
        (shard_count == 0 && first_shard > 0)) {
        return stoq_fail(err, STOQ_RANGE, 0, "the package has %llu shards",
                         (unsigned long long)shards);
    }
    *out = (struct stoq_reread_span){
        .first_shard = first_shard, .shard_count = count, .is_last = first_shard + count == shards};
    for (uint64_t i = 0; i < first_shard + count; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(held), i);
        out->first += i < first_shard ? shard.bytes : 0;
        out->end += shard.bytes;
    }
    return STOQ_OK;
}

static enum stoq_status reread_shard(struct stoq_store *store, struct stoq_span list,
                                     const struct stoq_reread_ask *ask, struct stoq_buf *bytes,
                                     struct stoq_error *err)
{
    for (size_t i = 0; i * STOQ_MERKLE_CHUNK_ENTRY_BYTES < list.n; i++) {
        struct stoq_merkle_chunk c = stoq_merkle_chunk_at(list, i);
        struct stoq_merkle_chunk before = stoq_merkle_chunk_at(list, i == 0 ? 0 : i - 1);
        if (i > 0 && stoq_hash_eq(&c.hash, &before.hash) && c.bytes == before.bytes) {
            continue; /* a run of zeros: it has just been read */
        }
        enum stoq_status st =
            stoq_store_read(store, STOQ_RECORD_CHUNK, stoq_span(c.hash.b, sizeof c.hash.b),
                            STOQ_STORE_VERIFY | STOQ_STORE_FROM_DISK, bytes, err);
        if (st == STOQ_OK && bytes->n != c.bytes) {
            st = stoq_fail(err, STOQ_PROOF, 0, "a chunk of the wrong length");
        }
        if (st == STOQ_OK && ask->cancelled != NULL && ask->cancelled(ask->user)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

enum stoq_status stoq_reread(struct stoq_store *store, const struct stoq_reread_ask *ask,
                             struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    struct stoq_buf list;
    struct stoq_buf bytes;
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&bytes, STOQ_MERKLE_CHUNK_BYTES_MAX);
    enum stoq_status st = stoq_held_open(&held, store, &ask->id, err);
    for (uint64_t i = 0; st == STOQ_OK && i < ask->span.shard_count; i++) {
        st = stoq_held_chunk_list(held, ask->span.first_shard + i, &list, err);
        if (st == STOQ_OK) {
            st = reread_shard(store, stoq_buf_span(&list), ask, &bytes, err);
        }
    }
    stoq_held_close(held);
    stoq_buf_release(&list);
    stoq_buf_release(&bytes);
    return st;
}
