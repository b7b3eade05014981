#include "net/beacon.h"

#include "hash/hash.h"
#include "net/seal.h"
#include "sign/sign.h"
#include "wire/form.h"

#include <string.h>

#define BODY_BYTES_MAX 64
#define KIND_MAX 3
#define SEALED 0x03 /* first byte; an open beacon begins with 0x82 */
#define SEALED_HEAD_BYTES (1 + STOQ_BEACON_NONCE_BYTES)

/* A beacon of a later version is one, whatever else it says. */
static void get_version(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    uint64_t version = stoq_cbor_rd_uint(r);
    if (version != STOQ_BEACON_VERSION) {
        stoq_cbor_rd_fail(r, version == 0 ? STOQ_MALFORMED : STOQ_VERSION);
    }
}

static bool put_version(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    stoq_cbor_put_uint(w, STOQ_BEACON_VERSION);
    return true;
}

static const struct stoq_field body_fields[] = {
    {1, STOQ_IS_OWN_OF_ALL(get_version, put_version)},
    {2, STOQ_IS_UINT(struct stoq_beacon, kind, 1, KIND_MAX)},
    {3, STOQ_IS_UINT(struct stoq_beacon, sequence, 0, UINT64_MAX)},
    {4, STOQ_IS_UINT(struct stoq_beacon, port, 1, UINT16_MAX), .optional = true},
};
static const struct stoq_form body_form = STOQ_FORM(body_fields);

static enum stoq_status encode_parts(const struct stoq_beacon *b, const struct stoq_key *key,
                                     struct stoq_buf *body, struct stoq_buf *envelope)
{
    enum stoq_status st = stoq_form_encode(&body_form, b, stoq_form_keys(&body_form, b), body);
    if (st == STOQ_OK) {
        struct stoq_hash object = stoq_hash_blake3(stoq_buf_span(body));
        st = stoq_sign(key, STOQ_SIGN_BEACON, &object, envelope);
    }
    return st;
}

enum stoq_status stoq_beacon_encode(const struct stoq_beacon *b, const struct stoq_key *key,
                                    struct stoq_buf *out)
{
    struct stoq_buf body;
    struct stoq_buf envelope;
    stoq_buf_init(&body, BODY_BYTES_MAX);
    stoq_buf_init(&envelope, STOQ_BEACON_BYTES_MAX);
    enum stoq_status st = encode_parts(b, key, &body, &envelope);
    if (st == STOQ_OK) {
        struct stoq_cbor_wr w = stoq_cbor_wr(out);
        stoq_cbor_put_array(&w, 2);
        stoq_cbor_put_bytes(&w, stoq_buf_span(&body));
        stoq_cbor_put_bytes(&w, stoq_buf_span(&envelope));
        st = stoq_cbor_wr_done(&w);
    }
    stoq_buf_release(&body);
    stoq_buf_release(&envelope);
    return st;
}

enum stoq_status stoq_beacon_decode(struct stoq_beacon *out, struct stoq_span datagram)
{
    struct stoq_beacon b = {0};
    struct stoq_cbor_rd r = stoq_cbor_rd(datagram);
    struct stoq_envelope sealed;
    struct stoq_key_id signer;
    if (datagram.n > STOQ_BEACON_BYTES_MAX || stoq_cbor_rd_array(&r) != 2) {
        return STOQ_MALFORMED;
    }
    struct stoq_span body = stoq_cbor_rd_bytes(&r, 1, BODY_BYTES_MAX);
    struct stoq_span envelope = stoq_cbor_rd_bytes(&r, 1, STOQ_BEACON_BYTES_MAX);
    stoq_cbor_rd_leave(&r);
    if (stoq_cbor_rd_done(&r) != STOQ_OK) {
        return STOQ_MALFORMED;
    }
    enum stoq_status st = stoq_form_decode(&body_form, body, &b);
    st = st == STOQ_TRUNC ? STOQ_MALFORMED : st;
    if (st == STOQ_OK) {
        st = stoq_envelope_decode(&sealed, envelope);
    }
    if (st == STOQ_OK) {
        struct stoq_hash object = stoq_hash_blake3(body);
        st = stoq_sign_verify(envelope, STOQ_SIGN_BEACON, &object, &signer);
    }
    if (st != STOQ_OK) {
        return st;
    }
    b.peer = stoq_spki_peer_id(sealed.spki);
    *out = b;
    return STOQ_OK;
}

void stoq_beacon_key(uint8_t out[STOQ_BEACON_KEY_BYTES], const uint8_t network_key[32])
{
    struct stoq_hash h =
        stoq_hash_blake3_2(stoq_span_str("stoq network beacon v1"), stoq_span(network_key, 32));
    memcpy(out, h.b, STOQ_BEACON_KEY_BYTES);
}

static void gcm_keys(uint8_t out[NET_GCM_KEYS_BYTES], const uint8_t *key, const uint8_t *nonce)
{
    memcpy(out, key, STOQ_BEACON_KEY_BYTES);
    memcpy(out + STOQ_BEACON_KEY_BYTES, nonce, STOQ_BEACON_NONCE_BYTES);
}

enum stoq_status stoq_beacon_seal(const uint8_t key[STOQ_BEACON_KEY_BYTES],
                                  const uint8_t nonce[STOQ_BEACON_NONCE_BYTES],
                                  struct stoq_span beacon, uint8_t out[STOQ_BEACON_BYTES_MAX],
                                  size_t *n)
{
    uint8_t keys[NET_GCM_KEYS_BYTES];
    size_t total = SEALED_HEAD_BYTES + beacon.n + NET_GCM_TAG_BYTES;
    if (total > STOQ_BEACON_BYTES_MAX) {
        return STOQ_RANGE;
    }
    out[0] = SEALED;
    memcpy(out + 1, nonce, STOQ_BEACON_NONCE_BYTES);
    gcm_keys(keys, key, nonce);
    *n = total;
    return net_gcm(true, keys, stoq_span(out, 1), beacon.p, beacon.n, out + SEALED_HEAD_BYTES,
                   out + SEALED_HEAD_BYTES + beacon.n)
               ? STOQ_OK
               : STOQ_NOMEM;
}

enum stoq_status stoq_beacon_open(const uint8_t key[STOQ_BEACON_KEY_BYTES],
                                  struct stoq_span datagram, uint8_t out[STOQ_BEACON_BYTES_MAX],
                                  size_t *n)
{
    uint8_t keys[NET_GCM_KEYS_BYTES];
    uint8_t tag[NET_GCM_TAG_BYTES];
    if (datagram.n <= SEALED_HEAD_BYTES + NET_GCM_TAG_BYTES || datagram.n > STOQ_BEACON_BYTES_MAX ||
        datagram.p[0] != SEALED) {
        return STOQ_PROOF;
    }
    *n = datagram.n - SEALED_HEAD_BYTES - NET_GCM_TAG_BYTES;
    memcpy(tag, datagram.p + datagram.n - sizeof tag, sizeof tag);
    gcm_keys(keys, key, datagram.p + 1);
    return net_gcm(false, keys, stoq_span(datagram.p, 1), datagram.p + SEALED_HEAD_BYTES, *n, out,
                   tag)
               ? STOQ_OK
               : STOQ_PROOF;
}
