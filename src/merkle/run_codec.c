#include "merkle/run.h"

#include "wire/cbor.h"

#include <string.h>

/*
 * The map of docs/FORMATS.md section 6.1. All twelve keys are always there; lists are raw
 * concatenations. A list longer than any tree can ask for is malformed before anything is looked at.
 */

#define PROOF_VERSION 1u
#define RUN_KEYS 12u

enum key {
    KEY_VERSION = 1,
    KEY_KIND,
    KEY_SHARDS,
    KEY_CHUNKS,
    KEY_BYTES,
    KEY_FIRST,
    KEY_FIRST_SHARD,
    KEY_ENTRIES = 10,
    KEY_RIGHT = 13,
    KEY_ABOVE,
    KEY_COUNT,
    KEY_TOUCHED,
};

#define ENTRIES_BYTES_MAX                                                                          \
    ((size_t)(STOQ_MERKLE_RUN_CHUNKS_MAX + STOQ_MERKLE_SHARD_CHUNKS_MAX - 1) *                     \
     STOQ_MERKLE_CHUNK_ENTRY_BYTES)
#define TOUCHED_BYTES_MAX ((size_t)STOQ_MERKLE_RUN_CHUNKS_MAX * STOQ_MERKLE_SHARD_ENTRY_BYTES)
#define RIGHT_BYTES_MAX (STOQ_MERKLE_PROOF_RIGHT_MAX * 32u)
#define ABOVE_BYTES_MAX (STOQ_MERKLE_RUN_ABOVE_MAX * STOQ_MERKLE_SHARD_ENTRY_BYTES)

static void put_field(struct stoq_cbor_wr *w, enum key key, uint64_t v)
{
    stoq_cbor_put_uint(w, key);
    stoq_cbor_put_uint(w, v);
}

static void put_list(struct stoq_cbor_wr *w, enum key key, struct stoq_span s)
{
    stoq_cbor_put_uint(w, key);
    stoq_cbor_put_bytes(w, s);
}

enum stoq_status stoq_merkle_run_encode(const struct stoq_merkle_run *run, struct stoq_buf *out)
{
    uint8_t right[RIGHT_BYTES_MAX];
    uint8_t above[ABOVE_BYTES_MAX];
    STOQ_ASSERT(run->right_count <= STOQ_MERKLE_PROOF_RIGHT_MAX);
    STOQ_ASSERT(run->above_count <= STOQ_MERKLE_RUN_ABOVE_MAX);
    for (size_t i = 0; i < run->right_count; i++) {
        memcpy(right + 32 * i, run->right[i].b, 32);
    }
    for (size_t i = 0; i < run->above_count; i++) {
        stoq_merkle_shard_put(above + STOQ_MERKLE_SHARD_ENTRY_BYTES * i, &run->above[i]);
    }
    size_t n_before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, RUN_KEYS);
    put_field(&w, KEY_VERSION, PROOF_VERSION);
    put_field(&w, KEY_KIND, run->kind);
    put_field(&w, KEY_SHARDS, run->shards);
    put_field(&w, KEY_CHUNKS, run->chunks);
    put_field(&w, KEY_BYTES, run->bytes);
    put_field(&w, KEY_FIRST, run->first);
    put_field(&w, KEY_FIRST_SHARD, run->first_shard);
    put_list(&w, KEY_ENTRIES, run->entries);
    put_list(&w, KEY_RIGHT, stoq_span(right, 32 * (size_t)run->right_count));
    put_list(&w, KEY_ABOVE,
             stoq_span(above, STOQ_MERKLE_SHARD_ENTRY_BYTES * (size_t)run->above_count));
    put_field(&w, KEY_COUNT, run->count);
    put_list(&w, KEY_TOUCHED, run->touched);
    enum stoq_status st = stoq_cbor_wr_done(&w);
    if (st != STOQ_OK) {
        out->n = n_before;
    }
    return st;
}

/* A list of whole entries, at most bytes_max of them; their count. */
static struct stoq_span read_list(struct stoq_cbor_rd *r, size_t entry_bytes, size_t bytes_max)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, 0, bytes_max);
    if (s.n % entry_bytes != 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return stoq_span(NULL, 0);
    }
    return s;
}

static void read_right(struct stoq_cbor_rd *r, struct stoq_merkle_run *out)
{
    struct stoq_span s = read_list(r, 32, RIGHT_BYTES_MAX);
    out->right_count = (uint32_t)(s.n / 32);
    for (size_t i = 0; i < out->right_count; i++) {
        memcpy(out->right[i].b, s.p + 32 * i, 32);
    }
}

static void read_above(struct stoq_cbor_rd *r, struct stoq_merkle_run *out)
{
    struct stoq_span s = read_list(r, STOQ_MERKLE_SHARD_ENTRY_BYTES, ABOVE_BYTES_MAX);
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

static void read_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_merkle_run *out)
{
    switch (key) {
    case KEY_VERSION:
        read_version(r);
        break;
    case KEY_KIND:
        out->kind = (enum stoq_merkle_proof_kind)stoq_cbor_rd_uint_in(r, STOQ_MERKLE_PROOF_RUN,
                                                                      STOQ_MERKLE_PROOF_SHARD);
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
    case KEY_FIRST:
        out->first = stoq_cbor_rd_uint(r);
        break;
    case KEY_FIRST_SHARD:
        out->first_shard = stoq_cbor_rd_uint(r);
        break;
    case KEY_ENTRIES:
        out->entries = read_list(r, STOQ_MERKLE_CHUNK_ENTRY_BYTES, ENTRIES_BYTES_MAX);
        break;
    case KEY_RIGHT:
        read_right(r, out);
        break;
    case KEY_ABOVE:
        read_above(r, out);
        break;
    case KEY_COUNT:
        out->count = stoq_cbor_rd_uint_in(r, 1, STOQ_MERKLE_RUN_CHUNKS_MAX);
        break;
    case KEY_TOUCHED:
        out->touched = read_list(r, STOQ_MERKLE_SHARD_ENTRY_BYTES, TOUCHED_BYTES_MAX);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        break;
    }
}

enum stoq_status stoq_merkle_run_decode(struct stoq_span bytes, struct stoq_merkle_run *out)
{
    if (bytes.n > STOQ_MERKLE_RUN_PROOF_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    *out = (struct stoq_merkle_run){.shards = 0};
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t key;
    uint64_t keys_seen = 0;
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &key)) {
        read_field(&r, key, out);
        keys_seen++;
    }
    /* Keys ascend, and every other one was refused: twelve of them are all twelve. */
    if (keys_seen != RUN_KEYS) {
        stoq_cbor_rd_fail(&r, STOQ_MALFORMED);
    }
    stoq_cbor_rd_leave(&r);
    return stoq_cbor_rd_done(&r);
}

bool stoq_merkle_proof_kind_of(struct stoq_span bytes, enum stoq_merkle_proof_kind *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t key = 0;
    (void)stoq_cbor_rd_map(&r);
    bool ok = stoq_cbor_rd_key(&r, &key) && key == KEY_VERSION &&
              stoq_cbor_rd_uint(&r) == PROOF_VERSION && stoq_cbor_rd_key(&r, &key) &&
              key == KEY_KIND;
    uint64_t kind =
        ok ? stoq_cbor_rd_uint_in(&r, STOQ_MERKLE_PROOF_CHUNK, STOQ_MERKLE_PROOF_SHARD) : 0;
    if (!ok || r.status != STOQ_OK) {
        return false;
    }
    *out = (enum stoq_merkle_proof_kind)kind;
    return true;
}
