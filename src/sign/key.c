#include "sign/sign_internal.h"

#include "hash/hash.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* SEQUENCE { SEQUENCE { id-Ed25519 }, BIT STRING of 32 bytes } (RFC 8410 section 4). */
static const uint8_t spki_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

_Static_assert(sizeof spki_head + STOQ_ED25519_PUBLIC_BYTES == STOQ_SPKI_BYTES, "RFC 8410");

enum stoq_status stoq_key_from_seed(struct stoq_key **out, const uint8_t seed[STOQ_KEY_SEED_BYTES])
{
    struct stoq_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return STOQ_NOMEM;
    }
    size_t n = STOQ_ED25519_PUBLIC_BYTES;
    memcpy(key->spki, spki_head, sizeof spki_head);
    key->evp = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, STOQ_KEY_SEED_BYTES);
    if (key->evp == NULL ||
        EVP_PKEY_get_raw_public_key(key->evp, key->spki + sizeof spki_head, &n) != 1) {
        ERR_clear_error();
        stoq_key_free(key);
        return STOQ_NOMEM;
    }
    *out = key;
    return STOQ_OK;
}

void stoq_key_free(struct stoq_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->evp); /* wipes the secret, OpenSSL holds the only copy */
        free(key);
    }
}

void stoq_key_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

struct stoq_span stoq_key_spki(const struct stoq_key *key)
{
    return stoq_span(key->spki, sizeof key->spki);
}

struct stoq_key_id stoq_key_id(const struct stoq_key *key)
{
    return stoq_spki_key_id(stoq_key_spki(key));
}

struct stoq_peer_id stoq_key_peer_id(const struct stoq_key *key)
{
    return stoq_spki_peer_id(stoq_key_spki(key));
}

struct stoq_key_id stoq_spki_key_id(struct stoq_span spki)
{
    return (struct stoq_key_id){stoq_hash_blake3(spki)};
}

struct stoq_peer_id stoq_spki_peer_id(struct stoq_span spki)
{
    return (struct stoq_peer_id){stoq_hash_blake3(spki)};
}

void *stoq_key_evp(const struct stoq_key *key)
{
    return key->evp;
}

bool stoq_spki_is_ed25519(struct stoq_span spki)
{
    return spki.n == STOQ_SPKI_BYTES && memcmp(spki.p, spki_head, sizeof spki_head) == 0;
}

enum stoq_status stoq_ed25519_sign(const struct stoq_key *key, struct stoq_span message,
                                   uint8_t out[STOQ_ED25519_SIGNATURE_BYTES])
{
    size_t n = STOQ_ED25519_SIGNATURE_BYTES;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->evp) == 1 &&
                     EVP_DigestSign(ctx, out, &n, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!is_signed) {
        ERR_clear_error();
        return STOQ_NOMEM;
    }
    STOQ_ASSERT(n == STOQ_ED25519_SIGNATURE_BYTES);
    return STOQ_OK;
}

enum stoq_status stoq_ed25519_verify(struct stoq_span spki, struct stoq_span message,
                                     struct stoq_span signature)
{
    STOQ_ASSERT(stoq_spki_is_ed25519(spki) && signature.n == STOQ_ED25519_SIGNATURE_BYTES);
    enum stoq_status st = STOQ_NOMEM;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *evp = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, spki.p + sizeof spki_head,
                                                STOQ_ED25519_PUBLIC_BYTES);
    if (ctx != NULL && evp != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, evp) == 1) {
        int fits = EVP_DigestVerify(ctx, signature.p, signature.n, message.p, message.n);
        st = fits == 1 ? STOQ_OK : STOQ_PROOF;
    }
    EVP_PKEY_free(evp);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return st;
}
