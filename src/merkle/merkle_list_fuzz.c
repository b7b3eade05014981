#include "merkle/merkle.h"

#include "merkle/model.h"

/*
 * Bytes as a chunk list. First under counts that the input chooses: nothing may happen but a status.
 * Then as chunks to build from: the lists that come out pass their checks, and no longer do when one
 * byte, which the input chooses too, is another.
 */

#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_as_lists(struct stoq_rd r)
{
    struct stoq_merkle_root root = {
        .shards = stoq_rd_u16(&r), .chunks = stoq_rd_u64(&r), .bytes = stoq_rd_u64(&r)};
    struct stoq_merkle_shard shard = {.chunks = root.shards, .bytes = root.bytes};
    struct stoq_span list = stoq_rd_bytes(&r, r.n);
    enum stoq_status st = stoq_merkle_check_shard_list(&root, MAX, list);
    STOQ_ASSERT(st == STOQ_PROOF || st == STOQ_MALFORMED);
    st = stoq_merkle_check_chunk_list(&shard, MAX, list);
    STOQ_ASSERT(st == STOQ_PROOF || st == STOQ_MALFORMED);
    struct stoq_merkle_place place;
    st = stoq_merkle_find_chunk(list, root.chunks, &place);
    STOQ_ASSERT(st == STOQ_OK || st == STOQ_RANGE);
}

/* The shard's list passes; with one byte changed it does not. */
static void check_closed(const struct stoq_merkle_closed *closed, uint16_t where,
                         struct stoq_buf *shard_list)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    STOQ_ASSERT(stoq_buf_add(shard_list, stoq_span(entry, sizeof entry)) == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_check_chunk_list(&closed->shard, MAX, closed->list) == STOQ_OK);
    struct stoq_buf copy;
    stoq_buf_init(&copy, SIZE_MAX);
    STOQ_ASSERT(stoq_buf_add(&copy, closed->list) == STOQ_OK);
    copy.p[where % copy.n] ^= 1;
    STOQ_ASSERT(stoq_merkle_check_chunk_list(&closed->shard, MAX, stoq_buf_span(&copy)) != STOQ_OK);
    stoq_buf_release(&copy);
}

static void check_as_chunks(struct stoq_rd r)
{
    uint16_t where = stoq_rd_u16(&r);
    struct stoq_span list = stoq_rd_bytes(&r, r.n);
    struct stoq_merkle_config cfg = {.chunk_bytes_max = MAX};
    struct stoq_merkle *m;
    struct stoq_merkle_closed closed;
    bool is_closed;
    struct stoq_merkle_root root;
    struct stoq_buf shard_list;
    stoq_buf_init(&shard_list, SIZE_MAX);
    STOQ_ASSERT(stoq_merkle_new(&m, &cfg) == STOQ_OK);
    for (size_t i = 0; i < list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES; i++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(list, i);
        chunk.bytes = 1 + chunk.bytes % MAX;
        STOQ_ASSERT(stoq_merkle_add(m, &chunk, &closed, &is_closed) == STOQ_OK);
        if (is_closed) {
            check_closed(&closed, where, &shard_list);
        }
    }
    stoq_merkle_finish(m, &closed, &is_closed, &root);
    if (is_closed) {
        check_closed(&closed, where, &shard_list);
    }
    struct stoq_span shards = stoq_buf_span(&shard_list);
    STOQ_ASSERT(stoq_merkle_check_shard_list(&root, MAX, shards) == STOQ_OK);
    if (shards.n > 0) {
        shard_list.p[where % shards.n] ^= 1;
        STOQ_ASSERT(stoq_merkle_check_shard_list(&root, MAX, shards) != STOQ_OK);
    }
    stoq_buf_release(&shard_list);
    stoq_merkle_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_as_lists(stoq_rd(stoq_span(data, size)));
    check_as_chunks(stoq_rd(stoq_span(data, size)));
    return 0;
}
