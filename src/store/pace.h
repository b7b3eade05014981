#ifndef STOQ_STORE_PACE_H
#define STOQ_STORE_PACE_H
/*
 * A budget of bytes per second for background work: a token bucket that holds a tenth of a second's worth,
 * so that the work comes in small pieces and others' reads and writes fit between them. Not thread-safe.
 */
#include "base/bytes.h"

struct stoq_pace {
    uint64_t rate_bytes_per_s; /* 0: no limit */
    stoq_ns free_at;           /* all that was taken before is paid for then */
    stoq_ns waited_ns;
    bool (*cancelled)(void *user);
    void *user;
};

/* Take n bytes, then wait until they are paid for. False: cancelled; asked at least every 100 ms. */
bool stoq_pace_take(struct stoq_pace *p, uint64_t n);

#endif
