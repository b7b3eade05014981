#include "sign/sign_internal.h"

#include "wire/form.h"

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

static const struct stoq_field envelope_fields[] = {
    {1, STOQ_IS_UINT(struct stoq_envelope, algorithm, 0, UINT64_MAX)},
    {2, STOQ_IS_BYTES(struct stoq_envelope, spki, 1, STOQ_ENVELOPE_MAX)},
    {3, STOQ_IS_TEXT(struct stoq_envelope, context, 1, STOQ_SIGN_CONTEXT_MAX)},
    {4, STOQ_IS_HASH(struct stoq_envelope, object)},
    {5, STOQ_IS_BYTES(struct stoq_envelope, signature, 1, STOQ_ENVELOPE_MAX)},
};
static const struct stoq_form envelope_form = STOQ_FORM(envelope_fields);

enum stoq_status stoq_sign(const struct stoq_key *key, const char *context,
                           const struct stoq_hash *object, struct stoq_buf *out)
{
    uint8_t m[STOQ_SIGN_MESSAGE_MAX];
    uint8_t signature[STOQ_ED25519_SIGNATURE_BYTES];
    const struct stoq_envelope e = {
        .algorithm = STOQ_SIGN_ED25519,
        .spki = stoq_key_spki(key),
        .context = stoq_span_str(context),
        .object = *object,
        .signature = stoq_span(signature, sizeof signature),
    };
    size_t n = stoq_sign_message(m, e.context, object);
    enum stoq_status st = stoq_ed25519_sign(key, stoq_span(m, n), signature);
    if (st != STOQ_OK) {
        return st;
    }
    return stoq_form_encode(&envelope_form, &e, stoq_form_keys(&envelope_form, &e), out);
}

enum stoq_status stoq_envelope_decode(struct stoq_envelope *out, struct stoq_span envelope)
{
    struct stoq_envelope e = {.algorithm = 0};
    if (envelope.n > STOQ_ENVELOPE_MAX ||
        stoq_form_decode(&envelope_form, envelope, &e) != STOQ_OK) {
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
