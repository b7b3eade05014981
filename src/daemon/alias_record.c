/*
 * A key holds 64 bytes: the algorithm, 31 bytes of the digest, the package id. So the packages that
 * have a file lie side by side under one prefix, each with a record of its own that comes and goes
 * with the package, and no two publishes ever write the same record. The whole digest is in the
 * payload and is what counts.
 */
#include "daemon/alias_record.h"

#include <string.h>

#include "package/table.h"
#include "wire/cbor.h"

#define FORMAT_VERSION 1
#define DIGEST_KEY_BYTES 31
#define ID_BYTES 32
#define PATH_BYTES_MAX 4096

bool stoq_alias_alg_is_fit(enum stoq_hash_alg alg)
{
    return stoq_hash_alg_size(alg) > 0 && alg != STOQ_HASH_XXH3_128;
}

void stoq_alias_prefix_put(uint8_t out[STOQ_ALIAS_PREFIX_BYTES], const struct stoq_digest *digest)
{
    out[0] = (uint8_t)digest->alg;
    memcpy(out + 1, digest->b, DIGEST_KEY_BYTES);
}

void stoq_alias_key_put(uint8_t out[STOQ_ALIAS_KEY_BYTES], const struct stoq_digest *digest,
                        const struct stoq_package_id *id)
{
    stoq_alias_prefix_put(out, digest);
    memcpy(out + STOQ_ALIAS_PREFIX_BYTES, id->h.b, ID_BYTES);
}

static bool can_be(const struct stoq_alias *a)
{
    bool ok = stoq_alias_alg_is_fit(a->digest.alg) && a->path_count >= 1 &&
              a->path_count <= STOQ_ALIAS_PATHS_MAX;
    for (size_t i = 0; ok && i < a->path_count; i++) {
        ok = stoq_entry_path_fault(a->paths[i]) == NULL &&
             (i == 0 || stoq_span_cmp(a->paths[i - 1], a->paths[i]) < 0);
    }
    return ok;
}

enum stoq_status stoq_alias_encode(const struct stoq_alias *a, struct stoq_buf *out)
{
    STOQ_ASSERT(can_be(a));
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, 3);
    stoq_cbor_put_uint(&w, 1);
    stoq_cbor_put_uint(&w, FORMAT_VERSION);
    stoq_cbor_put_uint(&w, 2);
    stoq_cbor_put_bytes(&w, stoq_digest_span(&a->digest));
    stoq_cbor_put_uint(&w, 3);
    stoq_cbor_put_array(&w, a->path_count);
    for (size_t i = 0; i < a->path_count; i++) {
        stoq_cbor_put_bytes(&w, a->paths[i]);
    }
    return stoq_cbor_wr_done(&w);
}

static void read_paths(struct stoq_cbor_rd *r, struct stoq_alias *out)
{
    uint64_t n = stoq_cbor_rd_array(r);
    if (n < 1 || n > STOQ_ALIAS_PATHS_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        n = 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        out->paths[i] = stoq_cbor_rd_bytes(r, 1, PATH_BYTES_MAX);
    }
    out->path_count = (size_t)n;
    stoq_cbor_rd_leave(r);
}

static void read_field(struct stoq_cbor_rd *r, uint64_t field, struct stoq_alias *out)
{
    size_t size = stoq_hash_alg_size(out->digest.alg);
    struct stoq_span digest;
    switch (field) {
    case 1:
        if (stoq_cbor_rd_uint(r) != FORMAT_VERSION) {
            stoq_cbor_rd_fail(r, STOQ_VERSION);
        }
        break;
    case 2:
        digest = stoq_cbor_rd_bytes(r, size, size);
        if (digest.n == size) {
            memcpy(out->digest.b, digest.p, size);
        }
        break;
    case 3:
        read_paths(r, out);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

enum stoq_status stoq_alias_decode(struct stoq_span key, struct stoq_span payload,
                                   struct stoq_alias *out)
{
    *out = (struct stoq_alias){.path_count = 0};
    if (key.n != STOQ_ALIAS_KEY_BYTES) {
        return STOQ_MALFORMED;
    }
    out->digest.alg = stoq_hash_alg_code(key.p[0]);
    memcpy(out->id.h.b, key.p + STOQ_ALIAS_PREFIX_BYTES, ID_BYTES);
    if (!stoq_alias_alg_is_fit(out->digest.alg)) {
        return STOQ_MALFORMED;
    }
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
    bool is_whole = seen == 0xeU && memcmp(out->digest.b, key.p + 1, DIGEST_KEY_BYTES) == 0;
    return st == STOQ_OK && (!is_whole || !can_be(out)) ? STOQ_MALFORMED : st;
}
