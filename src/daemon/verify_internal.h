#ifndef STOQ_DAEMON_VERIFY_INTERNAL_H
#define STOQ_DAEMON_VERIFY_INTERNAL_H
/* The reading half of a verify: every chunk of a package once, by several threads. */
#include "daemon/held.h"
#include "daemon/verify.h"
#include "hash/hash.h"

/*
 * Read every chunk list and chunk of held and compare it with its hash; count into the report's
 * chunks_good, chunks_bad, chunks_missing and first_fault. What is damaged is counted, not fatal.
 *
 * alg     also hash the whole stream with it; STOQ_HASH_NONE: no
 * digest  that hash; alg STOQ_HASH_NONE when there is none, since a chunk is bad or missing
 *
 * STOQ_OK; STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, STOQ_VERSION
 */
STOQ_WARN_UNUSED enum stoq_status stoq_verify_chunks(
    struct stoq_held *held, struct stoq_store *store, const struct stoq_verify_ask *ask,
    enum stoq_hash_alg alg, struct stoq_verify_report *report, struct stoq_digest *digest,
    struct stoq_error *err);

#endif
