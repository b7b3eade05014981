#ifndef STOQ_MERKLE_MODEL_H
#define STOQ_MERKLE_MODEL_H
/*
 * For the tests only: packages of made-up chunks and a naive tree over them that shares no code with
 * the module. It works level by level ("an odd last node moves up unchanged") on whole arrays, where
 * the module works leaf by leaf on stacks.
 */
#include "base/prng.h"
#include "hash/hash.h"
#include "merkle/merkle.h"

#include <stdlib.h>
#include <string.h>

/* How the first byte of the chunk hashes falls, which decides where shards close. */
enum model_kind {
    MODEL_RANDOM, /* content-defined closes */
    MODEL_NEVER,  /* only at 512 */
    MODEL_ALWAYS, /* at 32 */
};

struct model {
    size_t chunk_count;
    size_t shard_count;
    struct stoq_merkle_chunk *chunk;
    struct stoq_merkle_shard *shard;
    size_t *shard_first; /* index of its first chunk */
    struct stoq_hash root;
    uint64_t bytes;
    struct stoq_buf shard_list;
    struct stoq_buf chunk_lists; /* of all shards, one after the other */
};

static inline struct stoq_hash model_hash(uint8_t tag, const struct stoq_hash *a,
                                          const struct stoq_hash *b, const uint64_t *numbers,
                                          size_t number_count)
{
    uint8_t in[128];
    size_t n = 0;
    in[n++] = tag;
    memcpy(in + n, a->b, 32);
    n += 32;
    if (b != NULL) {
        memcpy(in + n, b->b, 32);
        n += 32;
    }
    for (size_t i = 0; i < number_count; i++) {
        for (int k = 0; k < 8; k++) {
            in[n++] = (uint8_t)(numbers[i] >> (8 * k));
        }
    }
    return stoq_hash_blake3(stoq_span(in, n));
}

/* Reduce nodes to one, in place; with_counts: the tree above the shards. */
static inline struct stoq_merkle_shard model_reduce(struct stoq_merkle_shard *node, size_t n,
                                                    bool with_counts)
{
    while (n > 1) {
        size_t half = 0;
        for (size_t i = 0; i < n; i += 2) {
            if (i + 1 == n) {
                node[half++] = node[i];
                continue;
            }
            const uint64_t counts[4] = {node[i].chunks, node[i].bytes, node[i + 1].chunks,
                                        node[i + 1].bytes};
            struct stoq_merkle_shard up = {model_hash(with_counts ? 4 : 1, &node[i].root,
                                                      &node[i + 1].root, counts,
                                                      with_counts ? 4 : 0),
                                           counts[0] + counts[2], counts[1] + counts[3]};
            node[half++] = up;
        }
        n = half;
    }
    return node[0];
}

static inline struct stoq_merkle_shard model_shard(const struct stoq_merkle_chunk *chunk, size_t n)
{
    struct stoq_merkle_shard *node = calloc(n, sizeof *node);
    STOQ_ASSERT(node != NULL);
    for (size_t i = 0; i < n; i++) {
        const uint64_t bytes = chunk[i].bytes;
        node[i] =
            (struct stoq_merkle_shard){model_hash(0, &chunk[i].hash, NULL, &bytes, 1), 1, bytes};
    }
    struct stoq_merkle_shard top = model_reduce(node, n, false);
    free(node);
    return top;
}

static inline void model_make_chunks(struct model *m, enum model_kind kind, uint64_t seed)
{
    struct stoq_prng r = stoq_prng(seed);
    for (size_t i = 0; i < m->chunk_count; i++) {
        uint8_t in[8];
        stoq_le64_put(in, stoq_prng_next(&r));
        m->chunk[i].hash = stoq_hash_blake3(stoq_span(in, 8));
        m->chunk[i].bytes = 1 + (uint32_t)stoq_prng_below(&r, STOQ_MERKLE_CHUNK_BYTES_MAX);
        if (kind != MODEL_RANDOM) {
            m->chunk[i].hash.b[0] = kind == MODEL_ALWAYS ? 0x80 : 0x7f;
        }
        m->bytes += m->chunk[i].bytes;
    }
}

static inline void model_make_shards(struct model *m)
{
    size_t first = 0;
    for (size_t i = 0; i < m->chunk_count; i++) {
        size_t n = i + 1 - first;
        if (n == 512 || (n >= 32 && m->chunk[i].hash.b[0] % 128 == 0) || i + 1 == m->chunk_count) {
            m->shard[m->shard_count] = model_shard(m->chunk + first, n);
            m->shard_first[m->shard_count] = first;
            m->shard_count++;
            first = i + 1;
        }
    }
}

static inline void model_make_root(struct model *m)
{
    struct stoq_hash top = stoq_hash_blake3(stoq_span(NULL, 0));
    if (m->shard_count > 0) {
        struct stoq_merkle_shard *node = calloc(m->shard_count, sizeof *node);
        STOQ_ASSERT(node != NULL);
        for (size_t i = 0; i < m->shard_count; i++) {
            const uint64_t counts[2] = {m->shard[i].chunks, m->shard[i].bytes};
            node[i] = m->shard[i];
            node[i].root = model_hash(2, &m->shard[i].root, NULL, counts, 2);
        }
        top = model_reduce(node, m->shard_count, true).root;
        free(node);
    }
    uint8_t in[57] = {3};
    stoq_le64_put(in + 1, m->shard_count);
    stoq_le64_put(in + 9, m->chunk_count);
    stoq_le64_put(in + 17, m->bytes);
    memcpy(in + 25, top.b, 32);
    m->root = stoq_hash_blake3(stoq_span(in, sizeof in));
}

static inline void model_make_lists(struct model *m)
{
    for (size_t i = 0; i < m->shard_count; i++) {
        uint8_t e[48];
        memcpy(e, m->shard[i].root.b, 32);
        stoq_le64_put(e + 32, m->shard[i].chunks);
        stoq_le64_put(e + 40, m->shard[i].bytes);
        STOQ_ASSERT(stoq_buf_add(&m->shard_list, stoq_span(e, 48)) == STOQ_OK);
    }
    for (size_t i = 0; i < m->chunk_count; i++) {
        uint8_t e[36];
        memcpy(e, m->chunk[i].hash.b, 32);
        stoq_le32_put(e + 32, m->chunk[i].bytes);
        STOQ_ASSERT(stoq_buf_add(&m->chunk_lists, stoq_span(e, 36)) == STOQ_OK);
    }
}

static inline void model_init(struct model *m, size_t chunk_count, enum model_kind kind,
                              uint64_t seed)
{
    *m = (struct model){.chunk_count = chunk_count};
    m->chunk = calloc(chunk_count + 1, sizeof *m->chunk);
    m->shard = calloc(chunk_count + 1, sizeof *m->shard);
    m->shard_first = calloc(chunk_count + 1, sizeof *m->shard_first);
    STOQ_ASSERT(m->chunk != NULL && m->shard != NULL && m->shard_first != NULL);
    stoq_buf_init(&m->shard_list, SIZE_MAX);
    stoq_buf_init(&m->chunk_lists, SIZE_MAX);
    model_make_chunks(m, kind, seed);
    model_make_shards(m);
    model_make_root(m);
    model_make_lists(m);
}

static inline void model_release(struct model *m)
{
    free(m->chunk);
    free(m->shard);
    free(m->shard_first);
    stoq_buf_release(&m->shard_list);
    stoq_buf_release(&m->chunk_lists);
}

static inline struct stoq_merkle_root model_root(const struct model *m)
{
    return (struct stoq_merkle_root){m->root, m->shard_count, m->chunk_count, m->bytes, 0};
}

static inline struct stoq_span model_shard_list(const struct model *m)
{
    return stoq_buf_span(&m->shard_list);
}

static inline struct stoq_span model_chunk_list(const struct model *m, size_t shard)
{
    return stoq_span(m->chunk_lists.p + m->shard_first[shard] * 36,
                     (size_t)m->shard[shard].chunks * 36);
}

/* Which shard a chunk is in. */
static inline size_t model_shard_of(const struct model *m, size_t index)
{
    size_t shard = 0;
    while (shard + 1 < m->shard_count && m->shard_first[shard + 1] <= index) {
        shard++;
    }
    return shard;
}

#endif
