#ifndef STOQ_SIGN_OBJECT_H
#define STOQ_SIGN_OBJECT_H
/*
 * The signatures of signed objects (docs/PROTOCOL.md section 14): the body names the key, the signature is
 * bare. wire/signed.h reads and writes the bodies.
 */
#include "sign/sign.h"
#include "wire/signed.h"

/*
 * Sign body and append [body, signature] to out.
 *
 * context  one of STOQ_SIGN_...
 * body     1 to STOQ_SIGNED_BODY_MAX bytes, naming key's SubjectPublicKeyInfo as its signer
 *
 * STOQ_OK; STOQ_RANGE: no such length; STOQ_FULL, STOQ_NOMEM. On failure out is unchanged.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_object_sign(const struct stoq_key *key, const char *context,
                                                   struct stoq_span body, struct stoq_buf *out);

/*
 * Does the key sign this?
 *
 * spki  the signer that the body names; borrowed. That it is who it should be is the caller's question
 *
 * STOQ_OK; STOQ_PROOF: it does not; STOQ_VERSION: a kind of key we do not have; STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_object_check(const struct stoq_signed *object,
                                                    const char *context, struct stoq_span spki);

#endif
