#include "merkle/tree.h"

#include <string.h>

/*
 * The two lists that describe a package: entries in, and their check against the hash above them. The
 * numbers are judged before anything is hashed, so a list of the wrong length costs nothing.
 */

struct stoq_merkle_chunk stoq_merkle_chunk_at(struct stoq_span chunk_list, size_t i)
{
    STOQ_ASSERT(i < chunk_list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    const uint8_t *p = chunk_list.p + i * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    struct stoq_merkle_chunk chunk = {.bytes = stoq_le32(p + 32)};
    memcpy(chunk.hash.b, p, 32);
    return chunk;
}

struct stoq_merkle_shard stoq_merkle_shard_at(struct stoq_span shard_list, size_t i)
{
    STOQ_ASSERT(i < shard_list.n / STOQ_MERKLE_SHARD_ENTRY_BYTES);
    const uint8_t *p = shard_list.p + i * STOQ_MERKLE_SHARD_ENTRY_BYTES;
    struct stoq_merkle_shard shard = {.chunks = stoq_le64(p + 32), .bytes = stoq_le64(p + 40)};
    memcpy(shard.root.b, p, 32);
    return shard;
}

void stoq_merkle_chunk_put(uint8_t out[STOQ_MERKLE_CHUNK_ENTRY_BYTES],
                           const struct stoq_merkle_chunk *chunk)
{
    memcpy(out, chunk->hash.b, 32);
    stoq_le32_put(out + 32, chunk->bytes);
}

void stoq_merkle_shard_put(uint8_t out[STOQ_MERKLE_SHARD_ENTRY_BYTES],
                           const struct stoq_merkle_shard *shard)
{
    memcpy(out, shard->root.b, 32);
    stoq_le64_put(out + 32, shard->chunks);
    stoq_le64_put(out + 40, shard->bytes);
}

/* Does the list have exactly count entries of that size? */
static bool has_entries(struct stoq_span list, uint64_t count, size_t entry_bytes)
{
    return list.n % entry_bytes == 0 && list.n / entry_bytes == count;
}

/* Entries in range, and their sums the root's. */
static bool shard_counts_fit(const struct stoq_merkle_root *root, uint32_t chunk_bytes_max,
                             struct stoq_span list)
{
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < root->shards; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(list, i);
        if (shard.chunks == 0 || shard.chunks > STOQ_MERKLE_SHARD_CHUNKS_MAX ||
            !stoq_merkle_bytes_fit(shard.chunks, shard.bytes, chunk_bytes_max) ||
            !stoq_add_u64(chunks, shard.chunks, &chunks) ||
            !stoq_add_u64(bytes, shard.bytes, &bytes)) {
            return false;
        }
    }
    return chunks == root->chunks && bytes == root->bytes && bytes <= STOQ_MERKLE_BYTES_MAX;
}

enum stoq_status stoq_merkle_check_shard_list(const struct stoq_merkle_root *root,
                                              uint32_t chunk_bytes_max, struct stoq_span list)
{
    if (!has_entries(list, root->shards, STOQ_MERKLE_SHARD_ENTRY_BYTES) ||
        !shard_counts_fit(root, chunk_bytes_max, list)) {
        return STOQ_MALFORMED;
    }
    struct stoq_merkle_shard top = {.chunks = 0};
    if (root->shards > 0) {
        top = stoq_merkle_range(STOQ_MERKLE_ABOVE, list, 0, root->shards);
    }
    struct stoq_hash hash = stoq_merkle_root_hash(root->shards, root->chunks, root->bytes,
                                                  root->shards > 0 ? &top.root : NULL);
    return stoq_hash_eq(&hash, &root->hash) ? STOQ_OK : STOQ_PROOF;
}

enum stoq_status stoq_merkle_check_chunk_list(const struct stoq_merkle_shard *shard,
                                              uint32_t chunk_bytes_max, struct stoq_span list)
{
    if (shard->chunks == 0 || shard->chunks > STOQ_MERKLE_SHARD_CHUNKS_MAX ||
        !has_entries(list, shard->chunks, STOQ_MERKLE_CHUNK_ENTRY_BYTES)) {
        return STOQ_MALFORMED;
    }
    uint64_t bytes = 0; /* 512 lengths of 32 bits cannot overflow it */
    for (size_t i = 0; i < shard->chunks; i++) {
        uint32_t n = stoq_merkle_chunk_at(list, i).bytes;
        if (n == 0 || n > chunk_bytes_max) {
            return STOQ_MALFORMED;
        }
        bytes += n;
    }
    if (bytes != shard->bytes) {
        return STOQ_MALFORMED;
    }
    struct stoq_merkle_shard top = stoq_merkle_range(STOQ_MERKLE_INSIDE, list, 0, shard->chunks);
    return stoq_hash_eq(&top.root, &shard->root) ? STOQ_OK : STOQ_PROOF;
}

enum stoq_status stoq_merkle_find_chunk(struct stoq_span shard_list, uint64_t index,
                                        struct stoq_merkle_place *out)
{
    struct stoq_merkle_place place = {0, 0, 0};
    size_t count = shard_list.n / STOQ_MERKLE_SHARD_ENTRY_BYTES;
    for (size_t i = 0; i < count; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(shard_list, i);
        if (index - place.first_chunk < shard.chunks) {
            *out = place;
            return STOQ_OK;
        }
        place.shard++;
        place.first_chunk += shard.chunks;
        place.first_byte += shard.bytes;
    }
    return STOQ_RANGE;
}
