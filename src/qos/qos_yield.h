#ifndef STOQ_QOS_QOS_YIELD_H
#define STOQ_QOS_QOS_YIELD_H
/*
 * The yielding class: how fast background may be sent on one path so that strangers on it hardly notice. A
 * value and a function of it; see qos_yield.c for the rule.
 */
#include "base/bytes.h"

#define STOQ_QOS_YIELD_TARGET (8 * STOQ_MS) /* of queue on the path, ours and everybody's */
#define STOQ_QOS_YIELD_EVERY (50 * STOQ_MS) /* the shortest time between looks */
#define STOQ_QOS_YIELD_LEAST 24000u         /* bytes per second: it never stands still */
#define STOQ_QOS_YIELD_BASES 10             /* minutes that the shortest round trip is known for */

/* What the transport says of a path. */
struct stoq_qos_path {
    stoq_ns rtt_ns;          /* of late; 0: not measured */
    uint64_t sent_bytes;     /* since it is up, all of it */
    uint64_t lost_bytes;     /* of those */
    uint64_t yielding_bytes; /* of background, since it is up */
};

struct stoq_qos_yield {
    uint64_t rate_bytes_per_s;
    bool has_met_queue;           /* it grows by steps, not by doubling */
    bool is_over;                 /* the last look saw too much of one */
    bool waits;                   /* for the next one: it sees what was before */
    uint32_t calm;                /* looks since then that grew by steps */
    stoq_ns queue_ns;             /* as the last look saw it */
    uint64_t carries_bytes_per_s; /* what of ours the path was last seen to carry; 0: not known */
    stoq_ns looked_at;
    struct stoq_qos_path last;
    stoq_ns base_ns[STOQ_QOS_YIELD_BASES]; /* shortest round trip of each minute; 0: none */
    unsigned base;                         /* the present one's */
    stoq_ns base_at;                       /* when it began */
};

/* All zero is a path of which nothing is known. Returns the rate from now on, and keeps it in y. */
uint64_t stoq_qos_yield(struct stoq_qos_yield *y, const struct stoq_qos_path *path, stoq_ns now);

#endif
