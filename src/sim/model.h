#ifndef STOQ_SIM_MODEL_H
#define STOQ_SIM_MODEL_H
/*
 * What the simulated internet is made of: regions and the round trips between them, access lines, how
 * long nodes stay. Tables of integers, sampled by 64-bit draws; no floating point, so that every
 * compiler gives the same world. docs/SIMULATOR.md says where the numbers come from.
 */
#include "base/bytes.h"

#define SIM_REGIONS 12

/* The region of a node, by its share of all nodes. */
uint32_t sim_region_draw(uint64_t draw);
/* Between two nodes, access lines not included; pair_draw is the same for both directions. */
stoq_ns sim_region_rtt(uint32_t a, uint32_t b, uint64_t pair_draw);

enum sim_access {
    SIM_ACCESS_SERVER,
    SIM_ACCESS_FIBRE,
    SIM_ACCESS_CABLE,
    SIM_ACCESS_DSL,
    SIM_ACCESS_CLASSES,
};

struct sim_line {
    enum sim_access access;
    uint64_t down_bytes_per_s;
    uint64_t up_bytes_per_s;
    stoq_ns rtt_ns; /* of the access line alone */
    bool is_public; /* others can dial it */
};
struct sim_line sim_line_draw(uint64_t class_draw, uint64_t rtt_draw, uint64_t public_draw);

/* How long a session lasts. */
enum sim_law {
    SIM_LAW_ALWAYS,   /* nobody leaves */
    SIM_LAW_IPFS,     /* Weibull, k 0.608, lambda 3.66 h */
    SIM_LAW_DEBIAN,   /* Weibull, k 0.38, lambda 42.4 min */
    SIM_LAW_FLATOUT,  /* Weibull, k 0.59, lambda 41.9 min */
    SIM_LAW_STABLE,   /* lognormal, median 72 h, sigma 1 */
    SIM_LAW_FLAPPING, /* minutes: a quarter stay less than 5 s. For short runs */
    SIM_LAWS,
};
/* "ipfs", ...; -1: no such law. */
int sim_law_of(const char *name);
/* STOQ_NEVER: it stays. */
stoq_ns sim_law_draw(enum sim_law law, uint64_t draw);

#endif
