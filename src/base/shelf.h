#ifndef STOQ_BASE_SHELF_H
#define STOQ_BASE_SHELF_H
/*
 * Things kept for use again, the last one put first: its memory is still in the cache. Trimmed now and then
 * it gives up what was not needed since the time before.
 */
#include "base/types.h"

#define STOQ_SHELF_MAX 256

struct stoq_shelf { /* all zero: empty */
    void *item[STOQ_SHELF_MAX];
    uint32_t count;
    uint32_t least; /* the fewest there were since the last trim */
};

/* NULL: empty. The caller owns it. */
void *stoq_shelf_take(struct stoq_shelf *shelf);
/* False: full, and the caller keeps it. */
bool stoq_shelf_put(struct stoq_shelf *shelf, void *item);
/* Give those that were not taken since the last call to `drop`. */
void stoq_shelf_trim(struct stoq_shelf *shelf, void (*drop)(void *item));
void stoq_shelf_empty(struct stoq_shelf *shelf, void (*drop)(void *item));

#endif
