#ifndef STOQ_HASH_CONTENT_H
#define STOQ_HASH_CONTENT_H
/*
 * The hash of a piece of content: an address-worthy digest, and when wanted a second one of another
 * algorithm over the same bytes, which is then checked as strictly as the first
 * (docs/FORMATS.md section 2).
 */
#include "hash/hash.h"

struct stoq_content_hash {
    enum stoq_hash_alg algorithm; /* BLAKE3 or SHA3-256 */
    struct stoq_hash digest;
    struct stoq_digest secondary; /* alg STOQ_HASH_NONE: absent */
};

/* Both digests in one pass over content that arrives in pieces. */
struct stoq_content_hasher {
    struct stoq_hasher first;
    struct stoq_hasher second; /* alg STOQ_HASH_NONE: unused */
};

/*
 * Begin.
 *
 * algorithm  the address: BLAKE3 or SHA3-256
 * secondary  STOQ_HASH_NONE, or any other algorithm than the first
 *
 * STOQ_OK; STOQ_RANGE: not allowed as an address (XXH3-128 and its like), or secondary equals the
 * first or is unknown; STOQ_NOMEM. On failure release is harmless and not needed.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_content_hasher_init(struct stoq_content_hasher *h,
                                                           enum stoq_hash_alg algorithm,
                                                           enum stoq_hash_alg secondary);
void stoq_content_hasher_update(struct stoq_content_hasher *h, struct stoq_span s);
/* STOQ_OK or STOQ_NOMEM. Only release may follow. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_hasher_final(struct stoq_content_hasher *h,
                                                            struct stoq_content_hash *out);
void stoq_content_hasher_release(struct stoq_content_hasher *h);

/* The same for content that is at hand as a whole. Results as init and final. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_hash(struct stoq_content_hash *out,
                                                    struct stoq_span s,
                                                    enum stoq_hash_alg algorithm,
                                                    enum stoq_hash_alg secondary);

/*
 * Check content against its hash, both digests where there are two.
 *
 * STOQ_OK     it is that content
 * STOQ_PROOF  either digest disagrees
 * STOQ_RANGE  the hash names algorithms that are not allowed there; nothing was hashed
 * STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_content_check(const struct stoq_content_hash *want,
                                                     struct stoq_span s);

/* Compare: got must have the same algorithm and digest, and the same secondary where want carries
 * one (got may carry one that nobody asked for). STOQ_OK or STOQ_PROOF. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_hash_match(const struct stoq_content_hash *want,
                                                          const struct stoq_content_hash *got);

#endif
