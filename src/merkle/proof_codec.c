#include "merkle/proof.h"

#include "wire/cbor.h"

#include <string.h>

/*
 * The map of docs/FORMATS.md section 6. All fourteen keys are always there; a list without entries is
 * the empty byte string. The lists are raw concatenations, read here into fixed arrays: a longer list
 * than any tree can ask for is malformed before anything is looked at.
 */

#define PROOF_VERSION 1u
#define PROOF_KIND_CHUNK 1u
#define PROOF_KEYS 14u

enum key {
    KEY_VERSION = 1,
    KEY_KIND,
    KEY_SHARDS,
    KEY_CHUNKS,
    KEY_BYTES,
    KEY_INDEX,
    KEY_SHARD_INDEX,
    KEY_SHARD_CHUNKS,
    KEY_SHARD_BYTES,
    KEY_BEFORE,
    KEY_CHUNK_HASH,
    KEY_CHUNK_BYTES,
    KEY_RIGHT,
    KEY_ABOVE,
};

#define BEFORE_BYTES_MAX ((STOQ_MERKLE_SHARD_CHUNKS_MAX - 1) * STOQ_MERKLE_CHUNK_ENTRY_BYTES)
#define RIGHT_BYTES_MAX (STOQ_MERKLE_PROOF_RIGHT_MAX * 32u)
#define ABOVE_BYTES_MAX (STOQ_MERKLE_PROOF_ABOVE_MAX * STOQ_MERKLE_SHARD_ENTRY_BYTES)

static void put_field(struct stoq_cbor_wr *w, enum key key, uint64_t v)
{
    stoq_cbor_put_uint(w, key);
    stoq_cbor_put_uint(w, v);
}

static void put_lists(struct stoq_cbor_wr *w, const struct stoq_merkle_proof *p)
{
    uint8_t right[RIGHT_BYTES_MAX];
    uint8_t above[ABOVE_BYTES_MAX];
    for (size_t i = 0; i < p->right_count; i++) {
        memcpy(right + 32 * i, p->right[i].b, 32);
    }
    for (size_t i = 0; i < p->above_count; i++) {
        stoq_merkle_shard_put(above + STOQ_MERKLE_SHARD_ENTRY_BYTES * i, &p->above[i]);
    }
    stoq_cbor_put_uint(w, KEY_RIGHT);
    stoq_cbor_put_bytes(w, stoq_span(right, 32 * (size_t)p->right_count));
    stoq_cbor_put_uint(w, KEY_ABOVE);
    stoq_cbor_put_bytes(w,
                        stoq_span(above, STOQ_MERKLE_SHARD_ENTRY_BYTES * (size_t)p->above_count));
}

enum stoq_status stoq_merkle_proof_encode(const struct stoq_merkle_proof *proof,
                                          struct stoq_buf *out)
{
    STOQ_ASSERT(proof->right_count <= STOQ_MERKLE_PROOF_RIGHT_MAX);
    STOQ_ASSERT(proof->above_count <= STOQ_MERKLE_PROOF_ABOVE_MAX);
    size_t n_before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, PROOF_KEYS);
    put_field(&w, KEY_VERSION, PROOF_VERSION);
    put_field(&w, KEY_KIND, PROOF_KIND_CHUNK);
    put_field(&w, KEY_SHARDS, proof->shards);
    put_field(&w, KEY_CHUNKS, proof->chunks);
    put_field(&w, KEY_BYTES, proof->bytes);
    put_field(&w, KEY_INDEX, proof->index);
    put_field(&w, KEY_SHARD_INDEX, proof->shard_index);
    put_field(&w, KEY_SHARD_CHUNKS, proof->shard_chunks);
    put_field(&w, KEY_SHARD_BYTES, proof->shard_bytes);
    stoq_cbor_put_uint(&w, KEY_BEFORE);
    stoq_cbor_put_bytes(&w, proof->before);
    stoq_cbor_put_uint(&w, KEY_CHUNK_HASH);
    stoq_cbor_put_hash(&w, &proof->chunk.hash);
    put_field(&w, KEY_CHUNK_BYTES, proof->chunk.bytes);
    put_lists(&w, proof);
    enum stoq_status st = stoq_cbor_wr_done(&w);
    if (st != STOQ_OK) {
        out->n = n_before;
    }
    return st;
}

static void read_right(struct stoq_cbor_rd *r, struct stoq_merkle_proof *out)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, 0, RIGHT_BYTES_MAX);
    if (s.n % 32 != 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    out->right_count = (uint32_t)(s.n / 32);
    for (size_t i = 0; i < out->right_count; i++) {
        memcpy(out->right[i].b, s.p + 32 * i, 32);
    }
}

static void read_above(struct stoq_cbor_rd *r, struct stoq_merkle_proof *out)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, 0, ABOVE_BYTES_MAX);
    if (s.n % STOQ_MERKLE_SHARD_ENTRY_BYTES != 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    out->above_count = (uint32_t)(s.n / STOQ_MERKLE_SHARD_ENTRY_BYTES);
    for (size_t i = 0; i < out->above_count; i++) {
        out->above[i] = stoq_merkle_shard_at(s, i);
    }
}

static void read_version(struct stoq_cbor_rd *r)
{
    if (stoq_cbor_rd_uint(r) != PROOF_VERSION) {
        stoq_cbor_rd_fail(r, STOQ_VERSION);
    }
}

static void read_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_merkle_proof *out)
{
    switch (key) {
    case KEY_VERSION:
        read_version(r);
        break;
    case KEY_KIND:
        (void)stoq_cbor_rd_uint_in(r, PROOF_KIND_CHUNK, PROOF_KIND_CHUNK);
        break;
    case KEY_SHARDS:
        out->shards = stoq_cbor_rd_uint(r);
        break;
    case KEY_CHUNKS:
        out->chunks = stoq_cbor_rd_uint(r);
        break;
    case KEY_BYTES:
        out->bytes = stoq_cbor_rd_uint(r);
        break;
    case KEY_INDEX:
        out->index = stoq_cbor_rd_uint(r);
        break;
    case KEY_SHARD_INDEX:
        out->shard_index = stoq_cbor_rd_uint(r);
        break;
    case KEY_SHARD_CHUNKS:
        out->shard_chunks = stoq_cbor_rd_uint(r);
        break;
    case KEY_SHARD_BYTES:
        out->shard_bytes = stoq_cbor_rd_uint(r);
        break;
    case KEY_BEFORE:
        out->before = stoq_cbor_rd_bytes(r, 0, BEFORE_BYTES_MAX);
        break;
    case KEY_CHUNK_HASH:
        out->chunk.hash = stoq_cbor_rd_hash(r);
        break;
    case KEY_CHUNK_BYTES:
        out->chunk.bytes = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_MERKLE_CHUNK_BYTES_MAX_RAW);
        break;
    case KEY_RIGHT:
        read_right(r, out);
        break;
    case KEY_ABOVE:
        read_above(r, out);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        break;
    }
}

enum stoq_status stoq_merkle_proof_decode(struct stoq_span bytes, struct stoq_merkle_proof *out)
{
    if (bytes.n > STOQ_MERKLE_PROOF_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    *out = (struct stoq_merkle_proof){.shards = 0};
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t key;
    uint64_t keys_seen = 0;
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &key)) {
        read_field(&r, key, out);
        keys_seen++;
    }
    /* Keys ascend and are unknown past the last, so fourteen of them are all fourteen. The version
     * was read first: another one is told as such, whatever its keys. */
    if (keys_seen != PROOF_KEYS) {
        stoq_cbor_rd_fail(&r, STOQ_MALFORMED);
    }
    stoq_cbor_rd_leave(&r);
    return stoq_cbor_rd_done(&r);
}
