#ifndef STOQ_SIM_SIM_H
#define STOQ_SIM_SIM_H
/*
 * The deterministic simulator: many nodes (the daemon's own src/node, not a model of it) on a virtual
 * network with virtual stores, in virtual time, in one process. Same configuration and seed, same run,
 * to the last bit; the trace hash says so. docs/SIMULATOR.md has the model.
 *
 * A simulator is a tool of ours: where memory runs out it aborts.
 */
#include "base/types.h"
#include "sim/cost.h"
#include "sim/model.h"

/* What a node that is not honest does, from fault_at on. It answers Hello and metadata as others do. */
enum sim_kind {
    SIM_HONEST,
    SIM_STALL,    /* takes requests for chunks and sends nothing more */
    SIM_LIE,      /* a bit of every chunk is wrong */
    SIM_DIE,      /* is gone without a word */
    SIM_THROTTLE, /* sends at a hundredth of its rate */
    SIM_KINDS,
};

/* A fault of ours, switched on to see that a checker notices. */
enum sim_canary {
    SIM_CANARY_NONE,
    SIM_CANARY_UNVERIFIED, /* what arrives is stored without a look at it */
    SIM_CANARY_LEAK,       /* a reply's end is sometimes not told: a grant is left over */
    SIM_CANARY_OVER_CAP,   /* uplinks send a fifth more than their rate */
    SIM_CANARY_LOST_BYTES, /* a piece is sometimes counted twice */
    SIM_CANARY_EARLY,      /* a package is recorded before its chunks are durable */
    SIM_CANARIES,
};
/* "unverified", ...; -1: none of that name. */
int sim_canary_of(const char *name);

enum sim_width {
    SIM_WIDE, /* messages go as they are; what a chunk is worth is known without its bytes */
    SIM_DEEP, /* every message and item is encoded and decoded, every chunk hashed */
};

/* Zero means what the brackets say. */
struct sim_config {
    uint64_t seed;
    enum sim_width width;
    uint32_t seeds;      /* nodes that have the package when it begins [1] */
    uint32_t fetchers;   /* nodes that want it */
    uint32_t neighbours; /* sources that each is told, chosen at random [all, 64 at most] */
    bool all_know_seeds; /* the seeds are always among them */
    uint64_t package_bytes;
    uint64_t chunk_bytes;      /* on average; 1/4 to 7/4 of it [65536] */
    uint64_t up_bytes_per_s;   /* of every node [its access line's] */
    uint64_t down_bytes_per_s; /* likewise */
    stoq_ns rtt_ns;            /* between any two [regions and access lines] */
    uint32_t loss_ppm;         /* of packets */
    stoq_ns arrive_within_ns;  /* fetchers begin at random moments of this time [all at once] */
    enum sim_cost_kind dial; /* how connections begin: COLD, one of its variants, RESUMED [COLD] */
    enum sim_law law;        /* sessions of fetchers; then away for another draw of it */
    bool nat;                /* access lines that are not public cannot be dialled */
    uint32_t
        kinds[SIM_KINDS];  /* how many of the seeds are of this kind; the first ones are honest */
    stoq_ns fault_at;      /* when dishonest ones begin to be */
    stoq_ns partition_at;  /* from here ... [never] */
    stoq_ns partition_for; /* ... for so long regions 0 .. 5 do not hear the others */
    stoq_ns until;         /* when it is given up [1 h] */
    uint64_t flip_draw;    /* which random draw comes out the other way round [none] */
    enum sim_canary canary;
    stoq_ns curve_step; /* keep how many bytes fetchers have, once in this time [none] */
};

#define SIM_CURVE_MAX 4096
#define SIM_FAULT_TEXT_MAX 160

struct sim_result {
    uint64_t trace; /* of everything that happened, in order */
    uint64_t events;
    stoq_ns ended_at;  /* virtual */
    uint32_t finished; /* fetchers that have it all */
    uint32_t failed;   /* whose fetch ended otherwise and was not tried again */
    stoq_ns first_ns;  /* from a fetch's first start to its end: quickest, median, slowest */
    stoq_ns median_ns;
    stoq_ns last_ns;
    stoq_ns last_at;  /* when the last one finished */
    stoq_ns fluid_ns; /* nothing can be faster (Kumar and Ross); 0: not known for this world */
    uint64_t package_bytes;
    uint64_t package_chunks;
    uint64_t bytes_sent;      /* payload, by everybody */
    uint64_t bytes_seeds;     /* by seeds */
    uint64_t bytes_duplicate; /* that came again */
    uint64_t requests;
    uint64_t served_early;   /* fetchers that had served before anybody was complete */
    uint64_t bad_chunks;     /* that failed their check */
    uint64_t bad_of_one_max; /* from one liar at one victim */
    uint64_t charges;
    uint32_t curve_count;
    uint64_t curve_bytes[SIM_CURVE_MAX]; /* verified at fetchers, all together, at each step */
    /* What the checkers found; 0: nothing. The first is told. */
    uint64_t faults;
    char fault[SIM_FAULT_TEXT_MAX];
};

/* Run it. STOQ_OK, or STOQ_RANGE: the configuration makes no sense. */
STOQ_WARN_UNUSED enum stoq_status sim_run(const struct sim_config *cfg, struct sim_result *out);

#endif
