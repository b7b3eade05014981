/*
 * Three libraries behind one form. OpenSSL's digests may fail to allocate at any call, so the
 * hasher keeps the first failure and final reports it: callers check once.
 */
#include "hash/hash.h"
#include "hash/xxh.h"

#include <blake3.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static const EVP_MD *evp_of(enum stoq_hash_alg alg)
{
    switch (alg) {
    case STOQ_HASH_SHA3_256:
        return EVP_sha3_256();
    case STOQ_HASH_SHA256:
        return EVP_sha256();
    case STOQ_HASH_SHA512:
        return EVP_sha512();
    case STOQ_HASH_BLAKE3:
    case STOQ_HASH_XXH3_128:
    case STOQ_HASH_NONE:
        break;
    }
    return NULL;
}

static void *blake3_new(void)
{
    blake3_hasher *h = malloc(sizeof *h);
    if (h != NULL) {
        blake3_hasher_init(h);
    }
    return h;
}

static void *xxh3_new(void)
{
    XXH3_state_t *h = XXH3_createState();
    if (h != NULL) {
        XXH3_128bits_reset(h);
    }
    return h;
}

static void *evp_new(enum stoq_hash_alg alg)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex(ctx, evp_of(alg), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

enum stoq_status stoq_hasher_init(struct stoq_hasher *h, enum stoq_hash_alg alg)
{
    *h = (struct stoq_hasher){.alg = stoq_hash_alg_code(alg)};
    switch (h->alg) {
    case STOQ_HASH_NONE:
        h->status = STOQ_RANGE;
        return h->status;
    case STOQ_HASH_BLAKE3:
        h->state = blake3_new();
        break;
    case STOQ_HASH_XXH3_128:
        h->state = xxh3_new();
        break;
    case STOQ_HASH_SHA3_256:
    case STOQ_HASH_SHA256:
    case STOQ_HASH_SHA512:
        h->state = evp_new(h->alg);
        break;
    }
    h->status = h->state != NULL ? STOQ_OK : STOQ_NOMEM;
    return h->status;
}

void stoq_hasher_update(struct stoq_hasher *h, struct stoq_span s)
{
    if (h->status != STOQ_OK || s.n == 0) {
        return;
    }
    if (h->alg == STOQ_HASH_BLAKE3) {
        blake3_hasher_update(h->state, s.p, s.n);
    } else if (h->alg == STOQ_HASH_XXH3_128) {
        XXH3_128bits_update(h->state, s.p, s.n);
    } else if (EVP_DigestUpdate(h->state, s.p, s.n) != 1) {
        h->status = STOQ_NOMEM;
    }
}

enum stoq_status stoq_hasher_final(struct stoq_hasher *h, struct stoq_digest *out)
{
    if (h->status != STOQ_OK) {
        return h->status;
    }
    struct stoq_digest d = {.alg = h->alg};
    if (h->alg == STOQ_HASH_BLAKE3) {
        blake3_hasher_finalize(h->state, d.b, stoq_hash_alg_size(h->alg));
    } else if (h->alg == STOQ_HASH_XXH3_128) {
        XXH128_canonical_t c;
        XXH128_canonicalFromHash(&c, XXH3_128bits_digest(h->state));
        memcpy(d.b, c.digest, sizeof c.digest);
    } else if (EVP_DigestFinal_ex(h->state, d.b, NULL) != 1) {
        h->status = STOQ_NOMEM;
        return h->status;
    }
    *out = d;
    return STOQ_OK;
}

void stoq_hasher_release(struct stoq_hasher *h)
{
    if (h->alg == STOQ_HASH_BLAKE3) {
        free(h->state);
    } else if (h->alg == STOQ_HASH_XXH3_128) {
        (void)XXH3_freeState(h->state);
    } else {
        EVP_MD_CTX_free(h->state);
    }
    *h = (struct stoq_hasher){.alg = STOQ_HASH_NONE};
}

enum stoq_status stoq_digest_of(struct stoq_digest *out, enum stoq_hash_alg alg, struct stoq_span s)
{
    struct stoq_hasher h;
    enum stoq_status st = stoq_hasher_init(&h, alg);
    if (st == STOQ_OK) {
        stoq_hasher_update(&h, s);
        st = stoq_hasher_final(&h, out);
    }
    stoq_hasher_release(&h);
    return st;
}
