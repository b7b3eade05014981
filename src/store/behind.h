#ifndef STOQ_STORE_BEHIND_H
#define STOQ_STORE_BEHIND_H
/*
 * What passes through the system's memory and is not read again soon (STOQ_STORE_PASSING): a queue of
 * places in segments, oldest first, of which more than so much is forgotten. Only the sync thread
 * uses it.
 */
#include "store/segment.h"

#define STOQ_BEHIND_SPANS 128 /* in the queue; a full one forgets earlier */

struct stoq_behind {
    uint64_t keep_bytes;
    uint64_t bytes; /* of all spans */
    size_t first;
    size_t count;
    struct {
        uint32_t segment;
        uint64_t offset;
        uint64_t bytes;
    } span[STOQ_BEHIND_SPANS];
};

/* keep_bytes 0: a sixteenth of the machine's memory. */
void stoq_behind_init(struct stoq_behind *b, uint64_t keep_bytes);
/* These bytes are durable. No I/O. */
void stoq_behind_add(struct stoq_behind *b, uint32_t segment, uint64_t offset, uint64_t bytes);
/* Have the system forget what is too much. Returns how many bytes it was told of. */
uint64_t stoq_behind_forget(struct stoq_behind *b, struct stoq_segment_cache *cache);

#endif
