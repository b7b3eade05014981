#ifndef STOQ_PACKAGE_POINTER_H
#define STOQ_PACKAGE_POINTER_H
/*
 * Release pointers (docs/FORMATS.md section 14): a publisher says which package a name and version are. And
 * the form in which strangers keep one: under a key and in bytes that tell nothing to who does not know
 * publisher and name.
 */
#include "sign/object.h"

#define STOQ_POINTER_BYTES_MAX 480 /* signed: name and version of 128 bytes each, an Ed25519 key */
#define STOQ_POINTER_NONCE_BYTES 16
#define STOQ_POINTER_SEALED_MAX (STOQ_POINTER_BYTES_MAX + STOQ_POINTER_NONCE_BYTES)
#define STOQ_POINTER_SKEW_S 300u /* clocks may differ by this */

struct stoq_pointer {
    struct stoq_span spki; /* the publisher's */
    struct stoq_span name;
    struct stoq_span version;
    struct stoq_package_id id;
    uint64_t sequence;    /* of one publisher and name the highest counts */
    uint64_t issued_at_s; /* since 1970 */
    uint64_t expires_s;
};

/* What a name stands for. */
struct stoq_pointer_name {
    struct stoq_key_id publisher;
    struct stoq_span name;
    struct stoq_span version; /* n = 0: of whatever version the newest is */
};

/* Sign a pointer, whose spki is key's, and append it: an array [body, signature]. STOQ_OK; STOQ_RANGE: a
 * field is outside its limits; STOQ_FULL, STOQ_NOMEM. On failure out is unchanged. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointer_sign(const struct stoq_key *key,
                                                    const struct stoq_pointer *p,
                                                    struct stoq_buf *out);
/* Read one; spans are borrowed from bytes. STOQ_OK; STOQ_MALFORMED. Nothing is verified. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointer_decode(struct stoq_span bytes,
                                                      struct stoq_pointer *out);

/*
 * Is this a pointer to go by?
 *
 * now_s  seconds since 1970
 *
 * STOQ_OK         *out is filled; whether it is the newest is the caller's to know
 * STOQ_MALFORMED  it is none
 * STOQ_NOTFOUND   another publisher's, or of another name or version
 * STOQ_RANGE      its time is over, or has not come
 * STOQ_PROOF, STOQ_VERSION, STOQ_NOMEM  as stoq_object_check
 */
STOQ_WARN_UNUSED enum stoq_status stoq_pointer_check(struct stoq_span bytes,
                                                     const struct stoq_pointer_name *want,
                                                     uint64_t now_s, struct stoq_pointer *out);

/* Where pointers of this name lie. */
struct stoq_hash stoq_pointer_key(const struct stoq_pointer_name *name);

/* Append a signed pointer so that only who knows publisher and name can read it. Deterministic. STOQ_OK;
 * STOQ_RANGE: longer than any pointer; STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointer_seal(const struct stoq_pointer_name *name,
                                                    struct stoq_span bytes, struct stoq_buf *out);
/* Append what was sealed. STOQ_OK; STOQ_MALFORMED: not sealed for this name; STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointer_open(const struct stoq_pointer_name *name,
                                                    struct stoq_span sealed, struct stoq_buf *out);

#endif
