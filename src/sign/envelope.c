#include "sign/sign_internal.h"

#include "wire/cbor.h"

#include <string.h>

size_t stoq_sign_message(uint8_t out[STOQ_SIGN_MESSAGE_MAX], struct stoq_span context,
                         const struct stoq_hash *object)
{
    STOQ_ASSERT(context.n >= 1 && context.n <= STOQ_SIGN_CONTEXT_MAX);
    struct stoq_wr w = stoq_wr(out, STOQ_SIGN_MESSAGE_MAX);
    stoq_wr_bytes(&w, stoq_span_str(STOQ_SIGN_PREFIX));
    stoq_wr_u8(&w, (uint8_t)context.n);
    stoq_wr_bytes(&w, context);
    stoq_wr_bytes(&w, stoq_span(object->b, sizeof object->b));
    STOQ_ASSERT(!w.bad);
    return w.n;
}

enum stoq_status stoq_sign(const struct stoq_key *key, const char *context,
                           const struct stoq_hash *object, struct stoq_buf *out)
{
    uint8_t m[STOQ_SIGN_MESSAGE_MAX];
    uint8_t signature[STOQ_ED25519_SIGNATURE_BYTES];
    struct stoq_span about = stoq_span_str(context);
    size_t n = stoq_sign_message(m, about, object);
    enum stoq_status st = stoq_ed25519_sign(key, stoq_span(m, n), signature);
    if (st != STOQ_OK) {
        return st;
    }
    size_t before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, 5);
    stoq_cbor_put_uint(&w, 1);
    stoq_cbor_put_uint(&w, STOQ_SIGN_ED25519);
    stoq_cbor_put_uint(&w, 2);
    stoq_cbor_put_bytes(&w, stoq_key_spki(key));
    stoq_cbor_put_uint(&w, 3);
    stoq_cbor_put_text(&w, about);
    stoq_cbor_put_uint(&w, 4);
    stoq_cbor_put_hash(&w, object);
    stoq_cbor_put_uint(&w, 5);
    stoq_cbor_put_bytes(&w, stoq_span(signature, sizeof signature));
    st = stoq_cbor_wr_done(&w);
    if (st != STOQ_OK) {
        out->n = before;
    }
    return st;
}

/* One field by its key; the bit of the key, so that missing ones show. */
static unsigned read_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_envelope *e)
{
    switch (key) {
    case 1:
        e->algorithm = stoq_cbor_rd_uint(r);
        break;
    case 2:
        e->spki = stoq_cbor_rd_bytes(r, 1, STOQ_ENVELOPE_MAX);
        break;
    case 3:
        e->context = stoq_cbor_rd_text(r, 1, STOQ_SIGN_CONTEXT_MAX);
        break;
    case 4:
        e->object = stoq_cbor_rd_hash(r);
        break;
    case 5:
        e->signature = stoq_cbor_rd_bytes(r, 1, STOQ_ENVELOPE_MAX);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return 0;
    }
    return 1u << key;
}

enum stoq_status stoq_envelope_decode(struct stoq_envelope *out, struct stoq_span envelope)
{
    struct stoq_envelope e = {.algorithm = 0};
    uint64_t key;
    unsigned seen = 0;
    if (envelope.n > STOQ_ENVELOPE_MAX) {
        return STOQ_MALFORMED;
    }
    struct stoq_cbor_rd r = stoq_cbor_rd(envelope);
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &key)) {
        seen |= read_field(&r, key, &e);
    }
    stoq_cbor_rd_leave(&r);
    if (stoq_cbor_rd_done(&r) != STOQ_OK || seen != 0x3e) {
        return STOQ_MALFORMED;
    }
    bool is_ours = e.algorithm == STOQ_SIGN_ED25519;
    if (is_ours &&
        (!stoq_spki_is_ed25519(e.spki) || e.signature.n != STOQ_ED25519_SIGNATURE_BYTES)) {
        return STOQ_MALFORMED;
    }
    *out = e;
    return is_ours ? STOQ_OK : STOQ_VERSION;
}

enum stoq_status stoq_sign_verify(struct stoq_span envelope, const char *context,
                                  const struct stoq_hash *object, struct stoq_key_id *out)
{
    struct stoq_envelope e;
    uint8_t m[STOQ_SIGN_MESSAGE_MAX];
    enum stoq_status st = stoq_envelope_decode(&e, envelope);
    if (st != STOQ_OK) {
        return st;
    }
    if (!stoq_span_eq(e.context, stoq_span_str(context)) || !stoq_hash_eq(&e.object, object)) {
        return STOQ_PROOF;
    }
    size_t n = stoq_sign_message(m, e.context, object);
    st = stoq_ed25519_verify(e.spki, stoq_span(m, n), e.signature);
    if (st == STOQ_OK) {
        *out = stoq_spki_key_id(e.spki);
    }
    return st;
}
