#include "daemon/content_record.h"

#include <string.h>

#include "wire/form.h"

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

static bool put_secondaries(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_content *c = at;
    stoq_cbor_put_array(w, c->secondary_count);
    for (size_t i = 0; i < c->secondary_count; i++) {
        stoq_cbor_put_array(w, 2);
        stoq_cbor_put_uint(w, (uint64_t)c->secondary[i].alg);
        stoq_cbor_put_bytes(w, stoq_digest_span(&c->secondary[i]));
    }
    return true;
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

static void get_secondaries(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                            void *memory)
{
    struct stoq_content *out = at;
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

static const struct stoq_field content_fields[] = {
    {1, STOQ_IS_CONST(FORMAT_VERSION, STOQ_VERSION)},
    {2, STOQ_IS_UINT(struct stoq_content, added_at, 0, UINT64_MAX)},
    {3, STOQ_IS_OWN_OF_ALL(get_secondaries, put_secondaries), .optional = true},
    {4, STOQ_IS_UINT(struct stoq_content, root.shards, 0, UINT64_MAX)},
    {5, STOQ_IS_UINT(struct stoq_content, root.chunks, 0, UINT64_MAX)},
    {6, STOQ_IS_UINT(struct stoq_content, root.bytes, 0, UINT64_MAX)},
    {7, STOQ_IS_HASH(struct stoq_content, root.hash)},
};
static const struct stoq_form content_form = STOQ_FORM(content_fields);

enum stoq_status stoq_content_encode(const struct stoq_content *c, struct stoq_buf *out)
{
    STOQ_ASSERT(can_be(c));
    uint32_t keys = stoq_form_keys(&content_form, c);
    return stoq_form_encode(&content_form, c, c->secondary_count > 0 ? keys | STOQ_KEY(3) : keys,
                            out);
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
    enum stoq_status st = stoq_form_decode(&content_form, payload, out);
    return st == STOQ_OK && !can_be(out) ? STOQ_MALFORMED : st;
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
