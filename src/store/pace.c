#include "store/pace.h"

#include <time.h>

#include "os/sys.h"

#define SLICE (100 * STOQ_MS)

static bool is_cancelled(const struct stoq_pace *p)
{
    return p->cancelled != NULL && p->cancelled(p->user);
}

static stoq_ns price(const struct stoq_pace *p, uint64_t n)
{
    if (p->rate_bytes_per_s == 0) {
        return 0;
    }
    uint64_t whole = n / p->rate_bytes_per_s;
    uint64_t rest = n % p->rate_bytes_per_s;
    /* A rate of more than 2^33 bytes/s costs nothing anybody can wait for. */
    stoq_ns part =
        p->rate_bytes_per_s < (uint64_t)1 << 33 ? rest * STOQ_SEC / p->rate_bytes_per_s : 0;
    return whole * STOQ_SEC + part;
}

bool stoq_pace_take(struct stoq_pace *p, uint64_t n)
{
    stoq_ns now = stoq_now();
    stoq_ns start = p->free_at;
    if (start + SLICE < now) {
        start = now - SLICE; /* what was not used before is worth a tenth of a second */
    }
    p->free_at = start + price(p, n);
    while (p->free_at > now) {
        if (is_cancelled(p)) {
            return false;
        }
        stoq_ns left = p->free_at - now < SLICE ? p->free_at - now : SLICE;
        const struct timespec ts = {.tv_nsec = (long)left};
        (void)nanosleep(&ts, NULL);
        stoq_ns then = stoq_now();
        p->waited_ns += then - now;
        now = then;
    }
    return !is_cancelled(p);
}
