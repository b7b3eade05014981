#include "merkle/tree.h"

#include <string.h>

/*
 * One pass, flat memory: the open shard's chunk list (18 KiB at most), a stack of at most ten subtrees
 * inside it, and a stack of at most 49 above the shards. A shard that closes becomes one leaf of the
 * upper stack and its list is handed out before the next chunk overwrites it.
 */

struct stoq_merkle {
    struct stoq_alloc alloc;
    uint32_t chunk_bytes_max;
    uint32_t shard_chunks_most; /* of the shards closed so far */
    uint64_t chunks;
    uint64_t bytes;
    struct stoq_merkle_stack inside;
    struct stoq_merkle_stack above;
    uint8_t list[STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES];
};

static void start_over(struct stoq_merkle *m)
{
    m->shard_chunks_most = 0;
    m->chunks = 0;
    m->bytes = 0;
    stoq_merkle_stack_init(&m->inside, STOQ_MERKLE_INSIDE);
    stoq_merkle_stack_init(&m->above, STOQ_MERKLE_ABOVE);
}

enum stoq_status stoq_merkle_new(struct stoq_merkle **out, const struct stoq_merkle_config *cfg)
{
    if (cfg->chunk_bytes_max == 0 || cfg->chunk_bytes_max > STOQ_MERKLE_CHUNK_BYTES_MAX_RAW) {
        return STOQ_RANGE;
    }
    struct stoq_merkle *m = stoq_alloc(&cfg->alloc, 1, sizeof *m);
    if (m == NULL) {
        return STOQ_NOMEM;
    }
    m->alloc = cfg->alloc;
    m->chunk_bytes_max = cfg->chunk_bytes_max;
    start_over(m);
    *out = m;
    return STOQ_OK;
}

void stoq_merkle_free(struct stoq_merkle *m)
{
    if (m != NULL) {
        struct stoq_alloc alloc = m->alloc;
        stoq_free(&alloc, m);
    }
}

static void close_shard(struct stoq_merkle *m, struct stoq_merkle_closed *out)
{
    uint32_t chunks = (uint32_t)m->inside.leaf_count;
    out->shard = stoq_merkle_stack_top(&m->inside);
    out->list = stoq_span(m->list, (size_t)chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    struct stoq_merkle_shard leaf = stoq_merkle_leaf_of_shard(&out->shard);
    stoq_merkle_stack_push(&m->above, &leaf);
    stoq_merkle_stack_init(&m->inside, STOQ_MERKLE_INSIDE);
    if (m->shard_chunks_most < chunks) {
        m->shard_chunks_most = chunks;
    }
}

enum stoq_status stoq_merkle_add(struct stoq_merkle *m, const struct stoq_merkle_chunk *chunk,
                                 struct stoq_merkle_closed *out, bool *out_closed)
{
    uint64_t bytes;
    if (chunk->bytes == 0 || chunk->bytes > m->chunk_bytes_max ||
        !stoq_add_u64(m->bytes, chunk->bytes, &bytes) || bytes > STOQ_MERKLE_BYTES_MAX) {
        return STOQ_RANGE;
    }
    size_t at = (size_t)m->inside.leaf_count * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    stoq_merkle_chunk_put(m->list + at, chunk);
    struct stoq_merkle_shard leaf = stoq_merkle_leaf_of_chunk(chunk);
    stoq_merkle_stack_push(&m->inside, &leaf);
    m->chunks++;
    m->bytes = bytes;
    uint64_t n = m->inside.leaf_count;
    *out_closed = n == STOQ_MERKLE_SHARD_CHUNKS_MAX ||
                  (n >= STOQ_MERKLE_SHARD_CHUNKS_MIN && (chunk->hash.b[0] & 0x7f) == 0);
    if (*out_closed) {
        close_shard(m, out);
    }
    return STOQ_OK;
}

/* ceil(log2(n)); 0 for 0. */
static uint32_t levels_over(uint64_t n)
{
    return n < 2 ? 0 : (uint32_t)(64 - __builtin_clzll(n - 1));
}

void stoq_merkle_finish(struct stoq_merkle *m, struct stoq_merkle_closed *out, bool *out_closed,
                        struct stoq_merkle_root *root)
{
    *out_closed = m->inside.leaf_count > 0;
    if (*out_closed) {
        close_shard(m, out);
    }
    uint64_t shards = m->above.leaf_count;
    struct stoq_merkle_shard top = {.chunks = 0};
    if (shards > 0) {
        top = stoq_merkle_stack_top(&m->above);
    }
    *root = (struct stoq_merkle_root){
        .hash = stoq_merkle_root_hash(shards, m->chunks, m->bytes, shards > 0 ? &top.root : NULL),
        .shards = shards,
        .chunks = m->chunks,
        .bytes = m->bytes,
        .height = levels_over(m->shard_chunks_most) + levels_over(shards),
    };
    start_over(m);
}
