#ifndef STOQ_SIGN_SIGN_INTERNAL_H
#define STOQ_SIGN_SIGN_INTERNAL_H
/*
 * Shared by the files of this module: the key's inside and Ed25519 over bare messages. Outside it,
 * nothing is signed without a context.
 */
#include "sign/sign.h"

#include <openssl/evp.h>

#define STOQ_ED25519_PUBLIC_BYTES 32
#define STOQ_ED25519_SIGNATURE_BYTES 64
#define STOQ_SIGN_PREFIX "stoq-sig-1"
/* prefix, length of context, context, object */
#define STOQ_SIGN_MESSAGE_MAX                                                                      \
    (sizeof STOQ_SIGN_PREFIX - 1 + 1 + STOQ_SIGN_CONTEXT_MAX + sizeof(struct stoq_hash))

struct stoq_key {
    EVP_PKEY *evp;
    uint8_t spki[STOQ_SPKI_BYTES];
};

/* The bytes that are signed for an object; their count. */
size_t stoq_sign_message(uint8_t out[STOQ_SIGN_MESSAGE_MAX], struct stoq_span context,
                         const struct stoq_hash *object);

/* True when these bytes are the SubjectPublicKeyInfo of an Ed25519 key. */
bool stoq_spki_is_ed25519(struct stoq_span spki);

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_ed25519_sign(const struct stoq_key *key,
                                                    struct stoq_span message,
                                                    uint8_t out[STOQ_ED25519_SIGNATURE_BYTES]);

/* spki must be Ed25519's, signature STOQ_ED25519_SIGNATURE_BYTES long; asserted. STOQ_OK,
 * STOQ_PROOF,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_ed25519_verify(struct stoq_span spki,
                                                      struct stoq_span message,
                                                      struct stoq_span signature);

#endif
