#include "sign/sign.h"

#include "hash/hash.h"

/*
 * Any bytes as an envelope. Whoever is named as the signer must be the key that the envelope
 * shows, and a verified envelope must decode.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    struct stoq_envelope e;
    struct stoq_key_id id;
    struct stoq_hash object = {{0}};
    enum stoq_status st = stoq_envelope_decode(&e, in);
    if (st == STOQ_OK) {
        object = e.object;
    }
    enum stoq_status verified = stoq_sign_verify(in, STOQ_SIGN_PACKAGE, &object, &id);
    if (verified == STOQ_OK) {
        struct stoq_hash want = stoq_hash_blake3(e.spki);
        STOQ_ASSERT(st == STOQ_OK && stoq_hash_eq(&id.h, &want));
        STOQ_ASSERT(stoq_span_eq(e.context, stoq_span_str(STOQ_SIGN_PACKAGE)));
        object.b[0] ^= 1;
        STOQ_ASSERT(stoq_sign_verify(in, STOQ_SIGN_PACKAGE, &object, &id) == STOQ_PROOF);
    } else {
        STOQ_ASSERT(st == STOQ_OK ? verified == STOQ_PROOF : verified == st);
    }
    return 0;
}
