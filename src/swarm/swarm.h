#ifndef STOQ_SWARM_SWARM_H
#define STOQ_SWARM_SWARM_H
/*
 * The transfer core of one package: which chunks from whom, when. It sees numbers only: indices,
 * lengths, arrivals. See swarm.c for the reasoning.
 */
#include "swarm/swarm_io.h"

#define STOQ_SWARM_ADD_CHUNKS_MAX 512 /* one run: a shard has at most as many */
#define STOQ_SWARM_CHUNK_BYTES_MAX 262144u
#define STOQ_SWARM_OPEN_MAX 65536       /* chunks of open runs: some 4 GiB ahead, 1 MiB of state */
#define STOQ_SWARM_RUNS_MAX 4096        /* open runs */
#define STOQ_SWARM_PEERS_MAX 64         /* of one transfer at a time */
#define STOQ_SWARM_REQUESTS_MAX 512     /* outstanding, all peers */
#define STOQ_SWARM_PEER_REQUESTS_MAX 16 /* outstanding, one peer; fewer than it serves at a time */
#define STOQ_SWARM_REQUEST_CHUNKS_MAX 512
#define STOQ_SWARM_REQUEST_BYTES_MAX (8u << 20)

enum stoq_swarm_strategy {
    STOQ_SWARM_RAREST,     /* fewest holders first, ties in runs from random places */
    STOQ_SWARM_SEQUENTIAL, /* lowest index first: for readers that stream */
    STOQ_SWARM_FASTEST,    /* whoever would bring it first is asked first, in any order of chunks */
};

/* Zero means the default in brackets. */
struct stoq_swarm_config {
    enum stoq_swarm_strategy strategy;
    uint32_t low_chunks; /* NEED_MORE when fewer are open and not yet asked for [8192] */
    struct stoq_alloc alloc;
};

struct stoq_swarm;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_swarm_new(struct stoq_swarm **out,
                                                 const struct stoq_swarm_config *cfg,
                                                 uint64_t seed);
void stoq_swarm_free(struct stoq_swarm *sw); /* NULL is fine */

/*
 * Tell it what happened. Cookies, peers and chunks it does not know (any more) are ignored: late
 * answers are normal.
 *
 * STOQ_OK
 * STOQ_NOMEM  the event has not been taken in
 * STOQ_FULL   ADD past STOQ_SWARM_OPEN_MAX or STOQ_SWARM_RUNS_MAX, PEER_ADD past
 *             STOQ_SWARM_PEERS_MAX: not taken in
 * STOQ_RANGE  ADD of no or too many chunks, of an overlap, of a length out of range, after ADD_END
 */
STOQ_WARN_UNUSED enum stoq_status stoq_swarm_feed(struct stoq_swarm *sw,
                                                  const struct stoq_swarm_event *ev, stoq_ns now);
/* The next thing to do; false: nothing. Call until false after every feed and deadline. Without
 * memory for a request it says false and tries again at the next call. */
bool stoq_swarm_poll(struct stoq_swarm *sw, stoq_ns now, struct stoq_swarm_action *out);
/* When to poll though nothing happened; STOQ_NEVER: only events wake it. */
stoq_ns stoq_swarm_deadline(const struct stoq_swarm *sw);

/* Is this chunk wanted (open and not here)? */
bool stoq_swarm_wants(const struct stoq_swarm *sw, uint64_t index);
/* How many more chunks an ADD may bring now. */
uint32_t stoq_swarm_room(const struct stoq_swarm *sw);

struct stoq_swarm_stats {
    uint64_t chunks_done;      /* brought by peers, each once */
    uint64_t bytes_done;       /* their lengths */
    uint64_t chunks_duplicate; /* that came again */
    uint64_t bytes_duplicate;
    uint32_t chunks_open; /* wanted or asked for */
    uint32_t requests;    /* outstanding */
    uint32_t peers;       /* that may be asked */
    size_t memory_bytes;
};
void stoq_swarm_stats(const struct stoq_swarm *sw, struct stoq_swarm_stats *out);

struct stoq_swarm_peer_stats {
    uint64_t chunks;
    uint64_t bytes;            /* lengths of chunks it brought first */
    uint64_t rate_bytes_per_s; /* as estimated now; 0: not known */
    stoq_ns rtt_ns;            /* lowest seen, or the hint */
    uint32_t stalls;
    bool usable; /* may be asked again */
};
/* False: no such peer now. */
bool stoq_swarm_peer_stats(const struct stoq_swarm *sw, stoq_peer peer,
                           struct stoq_swarm_peer_stats *out);

#endif
