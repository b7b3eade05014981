#include "daemon/content_record.h"

#include <string.h>

#include "wire/cbor.h"

#define FORMAT_VERSION 1

void stoq_content_key_put(uint8_t out[STOQ_CONTENT_KEY_BYTES], const struct stoq_address *address)
{
    out[0] = address->algorithm;
    memcpy(out + 1, address->digest.b, sizeof address->digest.b);
}

/* Counts that some stream can have. */
static bool root_can_be(const struct stoq_merkle_root *r)
{
    return r->bytes <= STOQ_MERKLE_BYTES_MAX && r->chunks <= r->bytes && r->shards <= r->chunks &&
           (r->chunks == 0) == (r->bytes == 0) && (r->shards == 0) == (r->chunks == 0) &&
           r->chunks >=
               (r->bytes + STOQ_MERKLE_CHUNK_BYTES_MAX - 1) / STOQ_MERKLE_CHUNK_BYTES_MAX &&
           r->shards >=
               (r->chunks + STOQ_MERKLE_SHARD_CHUNKS_MAX - 1) / STOQ_MERKLE_SHARD_CHUNKS_MAX;
}

static bool secondaries_can_be(const struct stoq_content *c)
{
    uint64_t before = 0;
    for (size_t i = 0; i < c->secondary_count; i++) {
        enum stoq_hash_alg alg = c->secondary[i].alg;
        if ((uint64_t)alg <= before || alg == (enum stoq_hash_alg)c->address.algorithm ||
            stoq_hash_alg_size(alg) == 0) {
            return false;
        }
        before = (uint64_t)alg;
    }
    return true;
}

static bool can_be(const struct stoq_content *c)
{
    return stoq_hash_alg_is_address(stoq_hash_alg_code(c->address.algorithm)) &&
           c->secondary_count <= STOQ_CONTENT_SECONDARY_MAX && secondaries_can_be(c) &&
           root_can_be(&c->root);
}

enum stoq_status stoq_content_encode(const struct stoq_content *c, struct stoq_buf *out)
{
    STOQ_ASSERT(can_be(c));
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, c->secondary_count > 0 ? 7 : 6);
    stoq_cbor_put_uint(&w, 1);
    stoq_cbor_put_uint(&w, FORMAT_VERSION);
    stoq_cbor_put_uint(&w, 2);
    stoq_cbor_put_uint(&w, c->added_at);
    if (c->secondary_count > 0) {
        stoq_cbor_put_uint(&w, 3);
        stoq_cbor_put_array(&w, c->secondary_count);
    }
    for (size_t i = 0; i < c->secondary_count; i++) {
        stoq_cbor_put_array(&w, 2);
        stoq_cbor_put_uint(&w, (uint64_t)c->secondary[i].alg);
        stoq_cbor_put_bytes(&w, stoq_digest_span(&c->secondary[i]));
    }
    stoq_cbor_put_uint(&w, 4);
    stoq_cbor_put_uint(&w, c->root.shards);
    stoq_cbor_put_uint(&w, 5);
    stoq_cbor_put_uint(&w, c->root.chunks);
    stoq_cbor_put_uint(&w, 6);
    stoq_cbor_put_uint(&w, c->root.bytes);
    stoq_cbor_put_uint(&w, 7);
    stoq_cbor_put_hash(&w, &c->root.hash);
    return stoq_cbor_wr_done(&w);
}

static struct stoq_digest read_digest(struct stoq_cbor_rd *r)
{
    struct stoq_digest d = {.alg = STOQ_HASH_NONE};
    uint64_t n = stoq_cbor_rd_array(r);
    enum stoq_hash_alg alg = stoq_hash_alg_code(stoq_cbor_rd_uint(r));
    size_t size = stoq_hash_alg_size(alg);
    struct stoq_span bytes = stoq_cbor_rd_bytes(r, size, size);
    if (n != 2 || size == 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    stoq_cbor_rd_leave(r);
    if (r->status == STOQ_OK) {
        d.alg = alg;
        memcpy(d.b, bytes.p, size);
    }
    return d;
}

static void read_secondaries(struct stoq_cbor_rd *r, struct stoq_content *out)
{
    uint64_t n = stoq_cbor_rd_array(r);
    if (n < 1 || n > STOQ_CONTENT_SECONDARY_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        n = 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        out->secondary[i] = read_digest(r);
    }
    out->secondary_count = (size_t)n;
    stoq_cbor_rd_leave(r);
}

static void read_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_content *out)
{
    switch (key) {
    case 1:
        if (stoq_cbor_rd_uint(r) != FORMAT_VERSION) {
            stoq_cbor_rd_fail(r, STOQ_VERSION);
        }
        break;
    case 2:
        out->added_at = stoq_cbor_rd_uint(r);
        break;
    case 3:
        read_secondaries(r, out);
        break;
    case 4:
        out->root.shards = stoq_cbor_rd_uint(r);
        break;
    case 5:
        out->root.chunks = stoq_cbor_rd_uint(r);
        break;
    case 6:
        out->root.bytes = stoq_cbor_rd_uint(r);
        break;
    case 7:
        out->root.hash = stoq_cbor_rd_hash(r);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

enum stoq_status stoq_content_decode(struct stoq_span key, struct stoq_span payload,
                                     struct stoq_content *out)
{
    *out = (struct stoq_content){.added_at = 0};
    if (key.n != STOQ_CONTENT_KEY_BYTES) {
        return STOQ_MALFORMED;
    }
    out->address.algorithm = key.p[0];
    memcpy(out->address.digest.b, key.p + 1, sizeof out->address.digest.b);
    struct stoq_cbor_rd r = stoq_cbor_rd(payload);
    uint64_t field;
    unsigned seen = 0;
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &field)) {
        read_field(&r, field, out);
        seen |= field < 8 ? 1U << field : 0;
    }
    stoq_cbor_rd_leave(&r);
    enum stoq_status st = stoq_cbor_rd_done(&r);
    bool is_whole = (seen | 1U << 3) == 0xfeU;
    return st == STOQ_OK && (!is_whole || !can_be(out)) ? STOQ_MALFORMED : st;
}

const struct stoq_digest *stoq_content_secondary(const struct stoq_content *c,
                                                 enum stoq_hash_alg alg)
{
    for (size_t i = 0; i < c->secondary_count; i++) {
        if (c->secondary[i].alg == alg) {
            return &c->secondary[i];
        }
    }
    return NULL;
}
