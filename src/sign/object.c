#include "sign/object.h"

#include "hash/hash.h"
#include "sign/sign_internal.h"

enum stoq_status stoq_object_sign(const struct stoq_key *key, const char *context,
                                  struct stoq_span body, struct stoq_buf *out)
{
    uint8_t m[STOQ_SIGN_MESSAGE_MAX];
    uint8_t signature[STOQ_ED25519_SIGNATURE_BYTES];
    struct stoq_hash object = stoq_hash_blake3(body);
    size_t n = stoq_sign_message(m, stoq_span_str(context), &object);
    enum stoq_status st = stoq_ed25519_sign(key, stoq_span(m, n), signature);
    if (st != STOQ_OK) {
        return st;
    }
    const struct stoq_signed s = {body, stoq_span(signature, sizeof signature)};
    return stoq_signed_put(&s, out);
}

enum stoq_status stoq_object_check(const struct stoq_signed *object, const char *context,
                                   struct stoq_span spki)
{
    uint8_t m[STOQ_SIGN_MESSAGE_MAX];
    if (!stoq_spki_is_ed25519(spki)) {
        return STOQ_VERSION;
    }
    if (object->signature.n != STOQ_ED25519_SIGNATURE_BYTES) {
        return STOQ_PROOF;
    }
    struct stoq_hash h = stoq_hash_blake3(object->body);
    size_t n = stoq_sign_message(m, stoq_span_str(context), &h);
    return stoq_ed25519_verify(spki, stoq_span(m, n), object->signature);
}
