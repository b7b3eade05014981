/*
 * One package, made of its seed. Manifest, shard list and chunk lists are real, since the node checks
 * them; a chunk's bytes are made when somebody needs them, and in the wide simulator nobody does: there
 * a chunk's hash is that of its number.
 */
#include "base/prng.h"
#include "hash/hash.h"
#include "package/manifest.h"
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

static uint32_t chunk_length(const struct sim_config *cfg, uint64_t index, uint64_t left)
{
    uint64_t quarter = cfg->chunk_bytes / 4;
    uint64_t n = quarter + sim_mix(cfg->seed ^ (index + 1) << 20) % (6 * quarter + 1);
    return (uint32_t)(n < left ? n : left);
}

void sim_package_bytes(const struct sim_package *p, uint64_t index, uint8_t *out)
{
    uint32_t n = sim_package_chunk(p, index).bytes;
    struct stoq_prng r = stoq_prng(p->seed + index);
    for (uint32_t i = 0; i < n; i += 8) {
        uint8_t word[8];
        stoq_le64_put(word, stoq_prng_next(&r));
        memcpy(out + i, word, n - i < 8 ? n - i : 8);
    }
}

static struct stoq_hash wide_hash(uint64_t seed, uint64_t index)
{
    uint8_t name[16];
    stoq_le64_put(name, seed);
    stoq_le64_put(name + 8, index);
    return stoq_hash_blake3(stoq_span(name, sizeof name));
}

static struct stoq_hash deep_hash(uint64_t seed, uint64_t index, uint32_t n)
{
    uint8_t *bytes = sim_alloc(n + 8, 1);
    struct stoq_prng r = stoq_prng(seed + index);
    for (uint32_t i = 0; i < n; i += 8) {
        stoq_le64_put(bytes + i, stoq_prng_next(&r));
    }
    struct stoq_hash h = stoq_hash_blake3(stoq_span(bytes, n));
    free(bytes);
    return h;
}

static void remember(struct sim_package *p, const struct stoq_hash *hash, uint32_t number)
{
    struct stoq_map_key key = {stoq_le64(hash->b), 0};
    enum stoq_status st = stoq_map_put(&p->by_hash, key, (void *)((uintptr_t)number + 1));
    STOQ_ASSERT(st == STOQ_OK);
}

static void add_shard(struct sim_package *p, const struct stoq_merkle_closed *closed)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    p->lists = realloc(p->lists, (p->shards + 1) * sizeof *p->lists);
    p->first_chunk = realloc(p->first_chunk, (p->shards + 2) * sizeof *p->first_chunk);
    STOQ_ASSERT(p->lists != NULL && p->first_chunk != NULL);
    stoq_buf_init(&p->lists[p->shards], closed->list.n);
    enum stoq_status st = stoq_buf_add(&p->lists[p->shards], closed->list);
    if (st == STOQ_OK) {
        st = stoq_buf_add(&p->shard_list, stoq_span(entry, sizeof entry));
    }
    STOQ_ASSERT(st == STOQ_OK);
    remember(p, &closed->shard.root, p->shards);
    if (p->shards == 0) {
        p->first_chunk[0] = 0;
    }
    p->shards++;
    p->first_chunk[p->shards] = p->first_chunk[p->shards - 1] + closed->shard.chunks;
}

static void make_tree(struct sim_package *p, const struct sim_config *cfg,
                      struct stoq_merkle_root *root)
{
    struct stoq_merkle *tree;
    struct stoq_merkle_config tree_cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_merkle_closed closed;
    bool is_closed;
    enum stoq_status st = stoq_merkle_new(&tree, &tree_cfg);
    STOQ_ASSERT(st == STOQ_OK);
    for (uint64_t left = cfg->package_bytes; left > 0;) {
        struct stoq_merkle_chunk chunk = {.bytes = chunk_length(cfg, p->chunks, left)};
        chunk.hash = cfg->width == SIM_DEEP ? deep_hash(p->seed, p->chunks, chunk.bytes)
                                            : wide_hash(p->seed, p->chunks);
        remember(p, &chunk.hash, p->chunks);
        st = stoq_merkle_add(tree, &chunk, &closed, &is_closed);
        STOQ_ASSERT(st == STOQ_OK);
        if (is_closed) {
            add_shard(p, &closed);
        }
        p->chunks++;
        left -= chunk.bytes;
    }
    stoq_merkle_finish(tree, &closed, &is_closed, root);
    if (is_closed) {
        add_shard(p, &closed);
    }
    stoq_merkle_free(tree);
}

void sim_package_make(struct sim_package *p, const struct sim_config *cfg)
{
    struct stoq_merkle_root root;
    stoq_map_init(&p->by_hash, cfg->seed);
    stoq_buf_init(&p->shard_list, STOQ_META_BYTES_MAX);
    stoq_buf_init(&p->manifest, STOQ_MANIFEST_BYTES_MAX);
    p->seed = sim_mix(cfg->seed + 1);
    p->bytes = cfg->package_bytes;
    make_tree(p, cfg, &root);
    struct stoq_manifest *m = sim_alloc(1, sizeof *m);
    *m = (struct stoq_manifest){.name = stoq_span_str("simulated"),
                                .version = stoq_span_str("1"),
                                .profile = STOQ_PROFILE_1,
                                .table_bytes = sim_package_chunk(p, 0).bytes,
                                .entries = 1,
                                .shards = root.shards,
                                .chunks = root.chunks,
                                .bytes = root.bytes,
                                .root = root.hash};
    enum stoq_status st = stoq_manifest_encode(m, &p->manifest);
    STOQ_ASSERT(st == STOQ_OK);
    p->id = stoq_manifest_id(stoq_buf_span(&p->manifest));
    free(m);
}

void sim_package_release(struct sim_package *p)
{
    for (uint32_t i = 0; i < p->shards; i++) {
        stoq_buf_release(&p->lists[i]);
    }
    free(p->lists);
    free(p->first_chunk);
    stoq_buf_release(&p->shard_list);
    stoq_buf_release(&p->manifest);
    stoq_map_release(&p->by_hash);
}

static uint32_t shard_of(const struct sim_package *p, uint64_t chunk)
{
    uint32_t lo = 0;
    uint32_t hi = p->shards;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->first_chunk[mid] <= chunk) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct stoq_merkle_chunk sim_package_chunk(const struct sim_package *p, uint64_t index)
{
    uint32_t s = shard_of(p, index);
    return stoq_merkle_chunk_at(stoq_buf_span(&p->lists[s]), (size_t)(index - p->first_chunk[s]));
}

uint32_t sim_package_find(const struct sim_package *p, const struct stoq_hash *hash)
{
    uintptr_t number =
        (uintptr_t)stoq_map_get(&p->by_hash, (struct stoq_map_key){stoq_le64(hash->b), 0});
    return number == 0 ? UINT32_MAX : (uint32_t)(number - 1);
}
