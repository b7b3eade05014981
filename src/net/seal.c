/*
 * The request is HPKE as it is. The reply follows RFC 9458 section 4.4 (oblivious HTTP): a secret exported
 * from the request's context, and a salt of the responder's own in front of the reply. The salt matters:
 * the responder keeps nothing, so a copy of the same request is answered again, perhaps with other bytes,
 * and GCM must not see one nonce twice.
 */
#include "net/seal.h"

#include "hash/hash.h"
#include "net/tls.h"
#include "sign/sign.h"

#include <string.h>

#include <ngtcp2/ngtcp2_crypto.h>
#include <openssl/evp.h>
#include <openssl/hpke.h>

#define ENC_BYTES 32
#define TAG_BYTES 16
#define HEAD_BYTES (1 + NET_SEAL_HINT_BYTES) /* authenticated with what follows */
#define REQUEST_HEAD_BYTES (HEAD_BYTES + ENC_BYTES)
#define REPLY_HEAD_BYTES (HEAD_BYTES + NET_SEAL_SALT_BYTES)
#define BODY_HEAD_BYTES (NET_SEAL_TOKEN_BYTES + 2)
#define KEY_BYTES 16
#define NONCE_BYTES 12

_Static_assert(NET_SEAL_MESSAGE_MAX ==
                   NET_SEAL_REQUEST_MAX - REQUEST_HEAD_BYTES - TAG_BYTES - BODY_HEAD_BYTES,
               "as the header says");

static const OSSL_HPKE_SUITE suite = {OSSL_HPKE_KEM_ID_X25519, OSSL_HPKE_KDF_ID_HKDF_SHA256,
                                      OSSL_HPKE_AEAD_ID_AES_GCM_128};
static const uint8_t info[] = "stoq rpc v1";
static const uint8_t reply_label[] = "stoq rpc reply v1";
#define LABEL(a) (a), sizeof(a) - 1

void net_made_put(uint8_t out[NET_MADE_BYTES], uint64_t made_ms)
{
    uint8_t all[8];
    stoq_le64_put(all, made_ms);
    memcpy(out, all, NET_MADE_BYTES);
}

uint64_t net_made_get(const uint8_t p[NET_MADE_BYTES])
{
    uint8_t all[8] = {0};
    memcpy(all, p, NET_MADE_BYTES);
    return stoq_le64(all);
}

static void hint_of(const uint8_t pub[NET_SEAL_KEY_BYTES], uint8_t out[NET_SEAL_HINT_BYTES])
{
    struct stoq_hash h = stoq_hash_blake3(stoq_span(pub, NET_SEAL_KEY_BYTES));
    memcpy(out, h.b, NET_SEAL_HINT_BYTES);
}

enum stoq_status net_seal_key_init(struct net_seal_key *key, const struct stoq_key *identity)
{
    uint8_t ikm[32];
    size_t n = sizeof key->pub;
    EVP_PKEY *secret = NULL;
    *key = (struct net_seal_key){0};
    if (!net_tls_secret(identity, "stoq rpc key v1", ikm)) {
        return STOQ_NOMEM;
    }
    int ok = OSSL_HPKE_keygen(suite, key->pub, &n, &secret, ikm, sizeof ikm, NULL, NULL);
    stoq_key_wipe(ikm, sizeof ikm);
    if (ok != 1 || n != sizeof key->pub) {
        EVP_PKEY_free(secret);
        return STOQ_NOMEM;
    }
    key->secret = secret;
    hint_of(key->pub, key->hint);
    return STOQ_OK;
}

void net_seal_key_release(struct net_seal_key *key)
{
    EVP_PKEY_free(key->secret);
    key->secret = NULL;
}

static OSSL_HPKE_CTX *context(int role, const uint8_t *network)
{
    int mode = network == NULL ? OSSL_HPKE_MODE_BASE : OSSL_HPKE_MODE_PSK;
    OSSL_HPKE_CTX *ctx = OSSL_HPKE_CTX_new(mode, suite, role, NULL, NULL);
    if (ctx != NULL && network != NULL &&
        OSSL_HPKE_CTX_set1_psk(ctx, "stoq network", network, 32) != 1) {
        OSSL_HPKE_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* Token, length, message, and zeros up to total bytes. */
static void put_body(uint8_t *out, size_t total, const struct net_seal_body *body)
{
    size_t n = body->message.n;
    memset(out, 0, total);
    memcpy(out, body->token, NET_SEAL_TOKEN_BYTES);
    out[NET_SEAL_TOKEN_BYTES] = (uint8_t)n;
    out[NET_SEAL_TOKEN_BYTES + 1] = (uint8_t)(n >> 8);
    memcpy(out + BODY_HEAD_BYTES, body->message.p, n);
}

enum stoq_status net_seal_get_body(struct stoq_span plain, struct net_seal_body *body)
{
    struct stoq_rd r = stoq_rd(plain);
    struct stoq_span token = stoq_rd_bytes(&r, NET_SEAL_TOKEN_BYTES);
    size_t n = stoq_rd_u16(&r);
    struct stoq_span message = stoq_rd_bytes(&r, n);
    if (r.bad || n == 0) {
        return STOQ_MALFORMED;
    }
    for (size_t i = 0; i < r.n; i++) {
        if (r.p[i] != 0) {
            return STOQ_MALFORMED;
        }
    }
    memcpy(body->token, token.p, sizeof body->token);
    body->message = message;
    return STOQ_OK;
}

/* The smallest of the sizes that hold n bytes: few sizes tell an onlooker little. */
static size_t padded(size_t n)
{
    static const size_t sizes[] = {NET_SEAL_REQUEST_MIN, 512, NET_SEAL_REQUEST_MAX};
    size_t i = 0;
    while (sizes[i] < n) {
        i++;
    }
    return sizes[i];
}

static bool export_reply(OSSL_HPKE_CTX *ctx, const uint8_t *enc, struct net_seal_reply *reply)
{
    memcpy(reply->tag, enc, sizeof reply->tag);
    return OSSL_HPKE_export(ctx, reply->secret, sizeof reply->secret, LABEL(reply_label)) == 1;
}

size_t net_seal_room(size_t n)
{
    size_t head = REPLY_HEAD_BYTES + BODY_HEAD_BYTES + TAG_BYTES;
    return n > head ? n - head : 0;
}

enum stoq_status net_seal_request(const uint8_t pub[NET_SEAL_KEY_BYTES], const uint8_t *network,
                                  uint64_t made_ms, const struct net_seal_body *body,
                                  uint8_t out[NET_SEAL_REQUEST_MAX], size_t *n,
                                  struct net_seal_reply *reply)
{
    uint8_t plain[NET_SEAL_REQUEST_MAX];
    if (body->message.n == 0 || body->message.n > NET_SEAL_MESSAGE_MAX) {
        return STOQ_RANGE;
    }
    size_t inside = body->message.n;
    if (body->room > inside) { /* its head is the longer one: what holds this as a request does */
        inside = body->room < NET_SEAL_MESSAGE_MAX ? body->room : (size_t)NET_SEAL_MESSAGE_MAX;
    }
    size_t total = padded(REQUEST_HEAD_BYTES + BODY_HEAD_BYTES + inside + TAG_BYTES);
    size_t plain_n = total - REQUEST_HEAD_BYTES - TAG_BYTES;
    uint8_t *enc = out + HEAD_BYTES;
    size_t enc_n = ENC_BYTES;
    size_t sealed_n = plain_n + TAG_BYTES;
    OSSL_HPKE_CTX *ctx = context(OSSL_HPKE_ROLE_SENDER, network);
    if (ctx == NULL) {
        return STOQ_NOMEM;
    }
    out[0] = NET_SEAL_REQUEST;
    hint_of(pub, out + 1);
    if (network != NULL) {
        memmove(out + 1 + NET_MADE_BYTES, out + 1, NET_SEAL_HINT_BYTES - NET_MADE_BYTES);
        net_made_put(out + 1, made_ms);
    }
    put_body(plain, plain_n, body);
    bool ok = OSSL_HPKE_encap(ctx, enc, &enc_n, pub, NET_SEAL_KEY_BYTES, LABEL(info)) == 1 &&
              OSSL_HPKE_seal(ctx, out + REQUEST_HEAD_BYTES, &sealed_n, out, HEAD_BYTES, plain,
                             plain_n) == 1 &&
              export_reply(ctx, enc, reply);
    OSSL_HPKE_CTX_free(ctx);
    *n = total;
    return ok ? STOQ_OK : STOQ_RANGE;
}

bool net_seal_is_ours(const struct net_seal_key *key, const uint8_t *network, struct stoq_span d)
{
    size_t made = network == NULL ? 0 : NET_MADE_BYTES;
    return d.n >= NET_SEAL_REQUEST_MIN && d.n <= NET_SEAL_REQUEST_MAX &&
           d.p[0] == NET_SEAL_REQUEST &&
           memcmp(d.p + 1 + made, key->hint, sizeof key->hint - made) == 0;
}

uint64_t net_seal_made(struct stoq_span d)
{
    return net_made_get(d.p + 1);
}

const uint8_t *net_seal_mark(struct stoq_span d)
{
    return d.p + HEAD_BYTES;
}

enum stoq_status net_open_request(const struct net_seal_key *key, const uint8_t *network,
                                  struct stoq_span d, uint8_t plain[NET_SEAL_REQUEST_MAX],
                                  struct net_seal_body *body, struct net_seal_reply *reply)
{
    if (!net_seal_is_ours(key, network, d)) {
        return STOQ_PROOF;
    }
    OSSL_HPKE_CTX *ctx = context(OSSL_HPKE_ROLE_RECEIVER, network);
    if (ctx == NULL) {
        return STOQ_NOMEM;
    }
    const uint8_t *enc = d.p + HEAD_BYTES;
    size_t plain_n = NET_SEAL_REQUEST_MAX;
    bool ok = OSSL_HPKE_decap(ctx, enc, ENC_BYTES, key->secret, LABEL(info)) == 1 &&
              OSSL_HPKE_open(ctx, plain, &plain_n, d.p, HEAD_BYTES, d.p + REQUEST_HEAD_BYTES,
                             d.n - REQUEST_HEAD_BYTES) == 1 &&
              export_reply(ctx, enc, reply);
    OSSL_HPKE_CTX_free(ctx);
    return ok ? net_seal_get_body(stoq_span(plain, plain_n), body) : STOQ_PROOF;
}

/* Key and nonce of one reply. */
static bool derive(const struct net_seal_reply *reply, const uint8_t salt[NET_SEAL_SALT_BYTES],
                   uint8_t out[KEY_BYTES + NONCE_BYTES])
{
    ngtcp2_crypto_md md;
    (void)ngtcp2_crypto_md_init(&md, (void *)(uintptr_t)EVP_sha256());
    return ngtcp2_crypto_hkdf(out, KEY_BYTES + NONCE_BYTES, &md, reply->secret,
                              sizeof reply->secret, salt, NET_SEAL_SALT_BYTES,
                              LABEL(reply_label)) == 0;
}

bool net_gcm(bool seal, const uint8_t keys[NET_GCM_KEYS_BYTES], struct stoq_span head,
             const uint8_t *in, size_t n, uint8_t *out, uint8_t tag[NET_GCM_TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done = 0;
    bool ok = ctx != NULL &&
              EVP_CipherInit_ex(ctx, EVP_aes_128_gcm(), NULL, keys, keys + KEY_BYTES, seal) == 1 &&
              EVP_CipherUpdate(ctx, NULL, &done, head.p, (int)head.n) == 1 &&
              EVP_CipherUpdate(ctx, out, &done, in, (int)n) == 1;
    if (ok && !seal) {
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1;
    }
    ok = ok && EVP_CipherFinal_ex(ctx, out + n, &done) == 1;
    if (ok && seal) {
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
    }
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

enum stoq_status net_seal_answer(const struct net_seal_reply *reply,
                                 const uint8_t salt[NET_SEAL_SALT_BYTES],
                                 const struct net_seal_body *body, size_t max,
                                 uint8_t out[NET_SEAL_REQUEST_MAX], size_t *n)
{
    uint8_t plain[NET_SEAL_REQUEST_MAX];
    uint8_t keys[KEY_BYTES + NONCE_BYTES];
    size_t plain_n = BODY_HEAD_BYTES + body->message.n;
    size_t total = REPLY_HEAD_BYTES + plain_n + TAG_BYTES;
    if (body->message.n == 0 || total > max || total > NET_SEAL_REQUEST_MAX) {
        return STOQ_RANGE;
    }
    put_body(plain, plain_n, body);
    out[0] = NET_SEAL_REPLY;
    memcpy(out + 1, reply->tag, sizeof reply->tag);
    memcpy(out + HEAD_BYTES, salt, NET_SEAL_SALT_BYTES);
    uint8_t *sealed = out + REPLY_HEAD_BYTES;
    *n = total;
    return derive(reply, salt, keys) && net_gcm(true, keys, stoq_span(out, HEAD_BYTES), plain,
                                                plain_n, sealed, sealed + plain_n)
               ? STOQ_OK
               : STOQ_NOMEM;
}

bool net_seal_answer_tag(struct stoq_span d, uint8_t tag[8])
{
    if (d.n <= REPLY_HEAD_BYTES + TAG_BYTES || d.n > NET_SEAL_REQUEST_MAX ||
        d.p[0] != NET_SEAL_REPLY) {
        return false;
    }
    memcpy(tag, d.p + 1, 8);
    return true;
}

enum stoq_status net_open_answer(const struct net_seal_reply *reply, struct stoq_span d,
                                 uint8_t plain[NET_SEAL_REQUEST_MAX], struct net_seal_body *body)
{
    uint8_t keys[KEY_BYTES + NONCE_BYTES];
    uint8_t tag[8];
    uint8_t mac[TAG_BYTES];
    if (!net_seal_answer_tag(d, tag) || memcmp(tag, reply->tag, sizeof tag) != 0) {
        return STOQ_PROOF;
    }
    size_t plain_n = d.n - REPLY_HEAD_BYTES - TAG_BYTES;
    memcpy(mac, d.p + d.n - TAG_BYTES, sizeof mac);
    if (!derive(reply, d.p + HEAD_BYTES, keys)) {
        return STOQ_NOMEM;
    }
    return net_gcm(false, keys, stoq_span(d.p, HEAD_BYTES), d.p + REPLY_HEAD_BYTES, plain_n, plain,
                   mac)
               ? net_seal_get_body(stoq_span(plain, plain_n), body)
               : STOQ_PROOF;
}
