#ifndef STOQ_TESTS_RELAY_LEG_H
#define STOQ_TESTS_RELAY_LEG_H
/*
 * One direction of a bad path: what happens to each datagram, and a record of what did. Values in,
 * values out: no clock, no socket; the same seed and the same datagrams at the same times meet the
 * same fates.
 */
#include "base/bytes.h"
#include "base/prng.h"

#include <stdio.h>

#define LEG_PARTS 1000000000u /* probabilities are parts of this */
#define LEG_RUNS_MAX 32       /* loss runs of this length and longer are counted together */
#define LEG_DELAY_BUCKETS (64 * 32)

/* Zero means: not that. */
struct leg_spec {
    stoq_ns delay_ns;
    stoq_ns jitter_ns;   /* up to this much more, drawn anew once per jitter_ns; keeps the order */
    uint64_t loss_parts; /* of LEG_PARTS, datagrams lost */
    uint64_t loss_run;   /* mean length of a run of losses; 0: each lost for itself */
    uint64_t reorder_parts; /* datagrams held back by reorder_by_ns, so that others pass them */
    stoq_ns reorder_by_ns;  /* [5 ms when reorder_parts is set] */
    uint64_t duplicate_parts;
    uint64_t rate_bits_per_s; /* of UDP payload: a token bucket with burst_bytes */
    uint64_t burst_bytes;
    uint64_t
        queue_bytes; /* what may wait for the rate; beyond that the tail is dropped [50 ms of it] */
    uint64_t mtu_bytes; /* larger payloads vanish, as on a path with this MTU */
};

/*
 * Read "delay=50ms,loss=1%,rate=100mbit", a list of KEY=VALUE, over what *spec holds. Keys: delay,
 * jitter, by (times: ns us ms s), loss, reorder, duplicate (per cent), run (a number), rate (bit,
 * kbit, mbit, gbit), burst, queue, mtu (bytes; k, m). False: why says what is wrong.
 */
bool leg_spec_parse(struct leg_spec *spec, const char *text, char why[128]);

/* What was dealt. */
struct leg_counts {
    uint64_t in;
    uint64_t in_bytes;
    uint64_t out; /* copies included */
    uint64_t out_bytes;
    uint64_t lost;
    uint64_t too_large;
    uint64_t queue_full;
    uint64_t duplicated;
    uint64_t held_back;
    uint64_t overtaken;                   /* left after one that came later */
    uint64_t loss_runs[LEG_RUNS_MAX + 1]; /* [n]: runs of exactly n losses */
    uint64_t delays[LEG_DELAY_BUCKETS];   /* of what left */
    stoq_ns delay_min_ns;
    stoq_ns delay_max_ns;
    stoq_ns first_out_at;
    stoq_ns last_out_at;
    uint64_t first_out_bytes;
    uint64_t window_bytes; /* of the 100 ms at hand */
    uint64_t window;
    uint64_t window_bytes_max;
};

struct leg {
    struct leg_spec spec;
    struct stoq_prng draws;
    uint64_t seed;
    bool losing;
    uint64_t run;        /* losses since one that was not lost */
    stoq_ns busy_until;  /* the rate's: all that was let in has passed by then */
    stoq_ns last_leaves; /* of what keeps its order */
    uint64_t number_out_max;
    struct leg_counts counts;
};

/* Defaults filled in where the spec left them out. */
void leg_init(struct leg *leg, const struct leg_spec *spec, uint64_t seed);

enum leg_fate { LEG_PASSES, LEG_LOST, LEG_QUEUE_FULL, LEG_TOO_LARGE };

struct leg_verdict {
    enum leg_fate fate;
    unsigned copies;   /* 1 or 2 when it passes */
    stoq_ns leaves_at; /* no two that keep their order at the same time */
    uint64_t number;   /* its place in the order of arrival, from 1 */
};

/* A datagram of so many bytes arrives. now never goes backwards. */
struct leg_verdict leg_feed(struct leg *leg, size_t bytes, stoq_ns now);
/* A copy of it left. */
void leg_left(struct leg *leg, const struct leg_verdict *verdict, size_t bytes, stoq_ns arrived_at,
              stoq_ns now);

/* The delay that `per_mille` of those that left stayed within, to 3 %; 0: none left. */
stoq_ns leg_delay_ns(const struct leg *leg, unsigned per_mille);
uint64_t leg_rate_bits_per_s(const struct leg *leg); /* from the first to leave to the last */
/* One JSON object, on one line. */
void leg_report(const struct leg *leg, FILE *to);

#endif
