#include "base/prng.h"

uint64_t stoq_prng_next(struct stoq_prng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t stoq_prng_below(struct stoq_prng *r, uint64_t n)
{
    STOQ_ASSERT(n > 0);
    /* Reject the few draws of the last, incomplete run of n values. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t v = stoq_prng_next(r);
    while (v >= limit) {
        v = stoq_prng_next(r);
    }
    return v % n;
}
