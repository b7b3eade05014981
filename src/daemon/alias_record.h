#ifndef STOQ_DAEMON_ALIAS_RECORD_H
#define STOQ_DAEMON_ALIAS_RECORD_H
/*
 * The record that says by which digest the outside world knows a file of a package
 * (docs/FORMATS.md section 9.2, type 11), written and read strictly.
 */
#include "hash/hash.h"

#define STOQ_ALIAS_KEY_BYTES 64
#define STOQ_ALIAS_PREFIX_BYTES 32 /* of the key: what all packages with such a file share */
/* One file many times in a package, say an empty one: any of its paths gives the bytes. */
#define STOQ_ALIAS_PATHS_MAX 64
#define STOQ_ALIAS_RECORD_BYTES_MAX ((size_t)STOQ_ALIAS_PATHS_MAX * 4100 + 128)

struct stoq_alias {
    struct stoq_digest digest;
    struct stoq_package_id id;
    struct stoq_span paths[STOQ_ALIAS_PATHS_MAX]; /* borrowed; strictly increasing */
    size_t path_count;
};

/* May files be known by it: BLAKE3, SHA3-256, SHA-256, SHA-512; not XXH3-128, which can be forged. */
bool stoq_alias_alg_is_fit(enum stoq_hash_alg alg);

/* The first STOQ_ALIAS_PREFIX_BYTES of the key. */
void stoq_alias_prefix_put(uint8_t out[STOQ_ALIAS_PREFIX_BYTES], const struct stoq_digest *digest);
void stoq_alias_key_put(uint8_t out[STOQ_ALIAS_KEY_BYTES], const struct stoq_digest *digest,
                        const struct stoq_package_id *id);

/* Append the payload. a must be valid (asserted). STOQ_OK; STOQ_FULL or STOQ_NOMEM from the buffer. */
STOQ_WARN_UNUSED enum stoq_status stoq_alias_encode(const struct stoq_alias *a,
                                                    struct stoq_buf *out);

/* Read a record; out borrows from payload. STOQ_OK; STOQ_MALFORMED, STOQ_TRUNC; STOQ_VERSION. */
STOQ_WARN_UNUSED enum stoq_status stoq_alias_decode(struct stoq_span key, struct stoq_span payload,
                                                    struct stoq_alias *out);

#endif
