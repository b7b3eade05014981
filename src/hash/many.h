#ifndef STOQ_HASH_MANY_H
#define STOQ_HASH_MANY_H
/*
 * Several algorithms over the same bytes, so that content is read once however many of its names are
 * wanted.
 */
#include "hash/hash.h"

#define STOQ_HASH_MANY_MAX 5 /* every algorithm there is, once */

/* init, update any number of times, final once; release always. */
struct stoq_hash_many {
    struct stoq_hasher hasher[STOQ_HASH_MANY_MAX];
    size_t count;
};

/*
 * Begin.
 *
 * algs  count of them, each once; none is fine
 *
 * STOQ_OK; STOQ_RANGE: more than STOQ_HASH_MANY_MAX, unknown, or one twice; STOQ_NOMEM. On failure
 * release is harmless and not needed.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_hash_many_init(struct stoq_hash_many *m,
                                                      const enum stoq_hash_alg *algs, size_t count);
void stoq_hash_many_update(struct stoq_hash_many *m, struct stoq_span s);
/* out: count digests, in the order of algs. STOQ_OK or STOQ_NOMEM. Only release may follow. */
STOQ_WARN_UNUSED enum stoq_status stoq_hash_many_final(struct stoq_hash_many *m,
                                                       struct stoq_digest *out);
void stoq_hash_many_release(struct stoq_hash_many *m);

#endif
