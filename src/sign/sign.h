#ifndef STOQ_SIGN_SIGN_H
#define STOQ_SIGN_SIGN_H
/*
 * Ed25519 keys and signatures over objects (docs/FORMATS.md section 8). Keys come from 32 bytes of
 * entropy or from the text of a key file; both are obtained by the shell and handed in.
 */
#include "base/bytes.h"

#define STOQ_KEY_SEED_BYTES 32
#define STOQ_KEY_PEM_MAX 4096  /* bytes of a key file; ours have 119 */
#define STOQ_SPKI_BYTES 44     /* DER SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) */
#define STOQ_ENVELOPE_MAX 8192 /* bytes of an encoded signature envelope */
#define STOQ_SIGN_CONTEXT_MAX 64

/* What a signature is about; it is part of what is signed, so no kind can stand for another. */
#define STOQ_SIGN_PACKAGE "package" /* object: manifest bytes, so its hash is the package id */
#define STOQ_SIGN_POINTER "pointer"
#define STOQ_SIGN_RECEIPT "receipt"
#define STOQ_SIGN_LOCATION "location"
#define STOQ_SIGN_RENEWAL "renewal"
#define STOQ_SIGN_BEACON "beacon"
#define STOQ_SIGN_RPC_KEY                                                                          \
    "rpc-key" /* object: the 32 bytes of an X25519 key (PROTOCOL section 11) */
#define STOQ_SIGN_EXCHANGE "exchange"
#define STOQ_SIGN_ANNOUNCE "announce"

enum stoq_sign_alg {
    STOQ_SIGN_ED25519 = 1,
    STOQ_SIGN_ED25519_MLDSA87 = 2, /* reserved */
};

/* A secret key with its public half. Opaque; immutable, so any thread may sign with it. */
struct stoq_key;

/* The key of this seed (RFC 8032's 32-byte private key). STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_key_from_seed(struct stoq_key **out,
                                                     const uint8_t seed[STOQ_KEY_SEED_BYTES]);

/*
 * The key in a key file's text: one PKCS #8 `PRIVATE KEY` block as RFC 8410 has it and
 * `openssl genpkey -algorithm ed25519` writes it; text before and after the block is skipped.
 *
 * STOQ_OK         *out is the key, free it
 * STOQ_VERSION    a private key, but not unencrypted Ed25519
 * STOQ_MALFORMED  no such block, damaged, or more than STOQ_KEY_PEM_MAX bytes
 * STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_key_from_pem(struct stoq_key **out, struct stoq_span pem);
/* Append the key file's text. It is secret: the caller wipes it (stoq_key_wipe). STOQ_FULL,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_key_to_pem(const struct stoq_key *key, struct stoq_buf *out);
/* NULL is fine; wipes the secret. */
void stoq_key_free(struct stoq_key *key);
/* Overwrite secret bytes in a way the compiler keeps. */
void stoq_key_wipe(void *p, size_t n);

/* The public half as DER SubjectPublicKeyInfo, STOQ_SPKI_BYTES long; borrowed from the key. */
struct stoq_span stoq_key_spki(const struct stoq_key *key);
/* Base64 of one, as `stoq key` shows it, with a NUL. */
#define STOQ_SPKI_TEXT_CAP ((STOQ_SPKI_BYTES + 2) / 3 * 4 + 1)
void stoq_spki_put(char out[STOQ_SPKI_TEXT_CAP], struct stoq_span spki);
struct stoq_key_id stoq_key_id(const struct stoq_key *key);
struct stoq_peer_id stoq_key_peer_id(const struct stoq_key *key);
/* The ids of a public key that a peer or an envelope shows. */
struct stoq_key_id stoq_spki_key_id(struct stoq_span spki);
struct stoq_peer_id stoq_spki_peer_id(struct stoq_span spki);

/* For the transport: the key as OpenSSL's EVP_PKEY, borrowed (take a reference to keep it). */
void *stoq_key_evp(const struct stoq_key *key);

/*
 * Sign an object's hash and append the envelope.
 *
 * context  one of STOQ_SIGN_..., 1 to STOQ_SIGN_CONTEXT_MAX bytes; asserted
 * object   H(object)
 *
 * STOQ_OK, STOQ_FULL, STOQ_NOMEM. Deterministic: the same key and object give the same bytes.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_sign(const struct stoq_key *key, const char *context,
                                            const struct stoq_hash *object, struct stoq_buf *out);

/* A decoded envelope; spans point into its bytes. Nothing in it is verified. */
struct stoq_envelope {
    uint64_t algorithm;
    struct stoq_span spki;
    struct stoq_span context;
    struct stoq_hash object;
    struct stoq_span signature;
};

/* STOQ_OK; STOQ_MALFORMED (also when cut short or over STOQ_ENVELOPE_MAX); STOQ_VERSION:
 * well-formed, of an algorithm we do not have; out is filled then too. */
STOQ_WARN_UNUSED enum stoq_status stoq_envelope_decode(struct stoq_envelope *out,
                                                       struct stoq_span envelope);

/*
 * Verify an envelope.
 *
 * envelope  its bytes; borrowed
 * context   what it must be about
 * object    the hash of the object at hand
 * out       who signed; filled on STOQ_OK only
 *
 * STOQ_OK         that key signed that object in that context
 * STOQ_PROOF      another context, another object, or the signature does not fit
 * STOQ_VERSION    an algorithm we do not have
 * STOQ_MALFORMED  not an envelope
 * STOQ_NOMEM
 * Whether the signer is anybody to trust is the caller's question.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_sign_verify(struct stoq_span envelope, const char *context,
                                                   const struct stoq_hash *object,
                                                   struct stoq_key_id *out);

#endif
