#include "net/beacon.h"

#include "hash/hash.h"
#include "sign/sign.h"
#include "wire/form.h"

#define BODY_BYTES_MAX 64
#define KIND_MAX 3

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
