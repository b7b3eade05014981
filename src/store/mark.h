#ifndef STOQ_STORE_MARK_H
#define STOQ_STORE_MARK_H
/*
 * The records that something refers to, of one range of keys: a set of the first 8 bytes of each key.
 * Keys are hashes: that one stands for another happens once in 2^64, and then a record stays until it
 * does not. Not thread-safe.
 */
#include "store/store.h"

#define STOQ_MARK_SLOTS ((size_t)1 << 22) /* 32 MiB */

struct stoq_gc;

struct stoq_mark {
    struct stoq_gc *gc; /* whose */
    uint64_t *slot;     /* 0: free */
    size_t count;
    uint64_t first; /* of the range, first 8 bytes of keys, big-endian */
    uint64_t last;
    bool is_full;
};

STOQ_WARN_UNUSED enum stoq_status stoq_mark_init(struct stoq_mark *m);
void stoq_mark_release(struct stoq_mark *m);
/* Empty it, for the keys of a range. */
void stoq_mark_begin(struct stoq_mark *m, uint64_t first, uint64_t last);
/* key has 8 bytes or more. */
bool stoq_mark_has(const struct stoq_mark *m, struct stoq_span key);
/* What the range's keys are not less than. */
void stoq_mark_first_key(const struct stoq_mark *m, uint8_t out[8]);
/* Is it of the range? */
bool stoq_mark_in_range(const struct stoq_mark *m, struct stoq_span key);

#endif
