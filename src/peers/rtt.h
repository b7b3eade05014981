#ifndef STOQ_PEERS_RTT_H
#define STOQ_PEERS_RTT_H
/*
 * A round trip that decisions may rest on: it moves only when three samples in a row, some seconds apart,
 * agree that it has. A queue that fills and empties moves the samples, not this.
 */
#include "base/bytes.h"

#define STOQ_RTT_SAMPLES 3          /* in a row that must agree */
#define STOQ_RTT_GAP (2 * STOQ_SEC) /* between two that count, so three take 4 s at least */
#define STOQ_RTT_SLACK (STOQ_MS)    /* and a quarter of it: less is no change */

/* Zeroed: nothing known. */
struct stoq_rtt {
    stoq_ns held_ns;               /* 0: not known */
    stoq_ns latest_ns;             /* the sample before it is held */
    stoq_ns off[STOQ_RTT_SAMPLES]; /* samples off what is held, all to the same side */
    uint32_t off_count;
    bool off_is_longer;
    uint32_t changes;
    stoq_ns counted_at;
    stoq_ns changed_at;
};

/* A measured round trip. True: what is held has changed. */
bool stoq_rtt_sample(struct stoq_rtt *r, stoq_ns rtt_ns, stoq_ns now);

#endif
