#ifndef STOQ_DAEMON_CONTENT_RECORD_H
#define STOQ_DAEMON_CONTENT_RECORD_H
/*
 * The record that makes a stream of the store a content with an address (docs/FORMATS.md section 9,
 * type 16), written and read strictly.
 */
#include "hash/hash.h"
#include "merkle/merkle.h"
#include "wire/bech32m.h"

#define STOQ_CONTENT_KEY_BYTES 33
#define STOQ_CONTENT_SECONDARY_MAX 4 /* every algorithm but the address's own */
#define STOQ_CONTENT_RECORD_BYTES_MAX 512

struct stoq_content {
    struct stoq_address address; /* the record's key */
    uint64_t added_at;           /* seconds since 1970 */
    /* Further digests over the same bytes, in order of algorithm codes; each is checked whenever the
     * content is. */
    struct stoq_digest secondary[STOQ_CONTENT_SECONDARY_MAX];
    size_t secondary_count;
    struct stoq_merkle_root root; /* of its stream, cut as one run by profile 1; height is 0 */
};

void stoq_content_key_put(uint8_t out[STOQ_CONTENT_KEY_BYTES], const struct stoq_address *address);

/* Append the payload. c must be valid (asserted). STOQ_OK; STOQ_FULL or STOQ_NOMEM from the buffer. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_encode(const struct stoq_content *c,
                                                      struct stoq_buf *out);

/*
 * Read a record.
 *
 * STOQ_OK
 * STOQ_MALFORMED, STOQ_TRUNC  it breaks the format, or says what cannot be
 * STOQ_VERSION                of a newer format
 */
STOQ_WARN_UNUSED enum stoq_status stoq_content_decode(struct stoq_span key,
                                                      struct stoq_span payload,
                                                      struct stoq_content *out);

/* The secondary digest of an algorithm; NULL: none. */
const struct stoq_digest *stoq_content_secondary(const struct stoq_content *c,
                                                 enum stoq_hash_alg alg);

#endif
