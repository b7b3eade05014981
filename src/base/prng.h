#ifndef STOQ_BASE_PRNG_H
#define STOQ_BASE_PRNG_H
/*
 * A seeded generator for decisions (tie breaks, jitter, shuffles): same seed, same draws. Never for
 * secrets. SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
 */
#include "base/bytes.h"

struct stoq_prng {
    uint64_t state;
};

static inline struct stoq_prng stoq_prng(uint64_t seed)
{
    return (struct stoq_prng){seed};
}
uint64_t stoq_prng_next(struct stoq_prng *r);
/* Uniform in 0 .. n - 1; n > 0. */
uint64_t stoq_prng_below(struct stoq_prng *r, uint64_t n);

#endif
