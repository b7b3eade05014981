/*
 * A key holds 64 bytes: the algorithm, 31 bytes of the digest, the package id. So the packages that
 * have a file lie side by side under one prefix, each with a record of its own that comes and goes
 * with the package, and no two publishes ever write the same record. The whole digest is in the
 * payload and is what counts.
 */
#include "daemon/alias_record.h"

#include <string.h>

#include "package/table.h"
#include "wire/form.h"

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

static void get_digest(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_alias *a = at;
    size_t size = stoq_hash_alg_size(a->digest.alg);
    struct stoq_span digest = stoq_cbor_rd_bytes(r, size, size);
    if (digest.n == size) {
        memcpy(a->digest.b, digest.p, size);
    }
}

static bool put_digest(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_alias *a = at;
    stoq_cbor_put_bytes(w, stoq_digest_span(&a->digest));
    return true;
}

static bool put_paths(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_alias *a = at;
    stoq_cbor_put_array(w, a->path_count);
    for (size_t i = 0; i < a->path_count; i++) {
        stoq_cbor_put_bytes(w, a->paths[i]);
    }
    return true;
}

static void get_paths(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_alias *out = at;
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

static const struct stoq_field alias_fields[] = {
    {1, STOQ_IS_CONST(FORMAT_VERSION, STOQ_VERSION)},
    {2, STOQ_IS_OWN_OF_ALL(get_digest, put_digest)},
    {3, STOQ_IS_OWN_OF_ALL(get_paths, put_paths)},
};
static const struct stoq_form alias_form = STOQ_FORM(alias_fields);

enum stoq_status stoq_alias_encode(const struct stoq_alias *a, struct stoq_buf *out)
{
    STOQ_ASSERT(can_be(a));
    return stoq_form_encode(&alias_form, a, stoq_form_keys(&alias_form, a), out);
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
    enum stoq_status st = stoq_form_decode(&alias_form, payload, out);
    bool is_its_key = memcmp(out->digest.b, key.p + 1, DIGEST_KEY_BYTES) == 0;
    return st == STOQ_OK && (!is_its_key || !can_be(out)) ? STOQ_MALFORMED : st;
}
