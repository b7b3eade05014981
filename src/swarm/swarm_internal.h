#ifndef STOQ_SWARM_SWARM_INTERNAL_H
#define STOQ_SWARM_SWARM_INTERNAL_H
/*
 * The state of a transfer: runs of chunks, peers, outstanding requests. Each file owns one of them;
 * swarm.c has the essay.
 */
#include "base/prng.h"
#include "swarm/swarm.h"

#define STOQ_SWARM_ASKS_PER_CHUNK 2 /* one, and one more in the endgame */

#define STOQ_SWARM_FIRST_CHUNKS 16 /* of a peer's first request */
#define STOQ_SWARM_FEW_PEERS 8    /* more: they may share a source with us, so one chunk at first */
#define STOQ_SWARM_LEAST_CHUNKS 4 /* of any other, unless few are left */
#define STOQ_SWARM_KEEP_BYTES 131072u    /* a chunk or two on their way, which arrive as a whole */
#define STOQ_SWARM_AHEAD (60 * STOQ_MS)  /* of work at a peer, on top of 3 round trips */
#define STOQ_SWARM_BATCH (100 * STOQ_MS) /* of work in one request, on top of a round trip */
/* Times as much while a peer gets faster: a sender's start nearly triples in a round trip. */
#define STOQ_SWARM_GROWTH 3
#define STOQ_SWARM_WINDOW (50 * STOQ_MS) /* the shortest that a rate is measured over */
#define STOQ_SWARM_LOCAL_FAST                                                                      \
    (128u << 20) /* bytes a second of one on this machine: others add nothing */
#define STOQ_SWARM_SAMPLE_BYTES 2048u    /* at least, of the first measurement of a peer */
#define STOQ_SWARM_TICK (50 * STOQ_MS)   /* how often the end of a transfer is looked at anew */
#define STOQ_SWARM_CHECK (1 * STOQ_SEC)  /* how often requests are looked at for being lost */
#define STOQ_SWARM_STALL (500 * STOQ_MS) /* silence, on top of 4 round trips and ... */
#define STOQ_SWARM_LATE 3 /* ... so many times what the next chunk takes at its rate */
#define STOQ_SWARM_SILENCE (10 * STOQ_SEC) /* of the only source, until it is given up */
#define STOQ_SWARM_STRIKES_MAX 4           /* failures in a row */
#define STOQ_SWARM_BACKOFF (200 * STOQ_MS) /* after the first failure, then doubling */
#define STOQ_SWARM_BACKOFF_DOUBLINGS 5
#define STOQ_SWARM_BUSY_DOUBLINGS 3
#define STOQ_SWARM_WEIGHT_MAX 65536u          /* so that draws do not overflow */
#define STOQ_SWARM_GUESS_BYTES_PER_S 524288u  /* of a peer whose rate is not known yet */
#define STOQ_SWARM_GUESS_NEAR 12500000u       /* at most, of a near one: 100 Mbit/s */
#define STOQ_SWARM_FIRST_WINDOWS 58080u       /* bytes a round trip: four times ten packets */
#define STOQ_SWARM_DUPLICATE_BYTES (1u << 20) /* asked for twice, or 1 % of all, if that is more */

enum swarm_chunk_state {
    SWARM_WANTED,
    SWARM_ASKED,
    SWARM_DONE,
};

struct swarm_chunk {
    uint32_t length;
    uint16_t ask[STOQ_SWARM_ASKS_PER_CHUNK]; /* request slot + 1; 0: none */
    int16_t holders; /* peers beyond or short of those that have everything */
    uint8_t state;
};

/* What a peer has of a run, where that is not simply all (or nothing, of a partial holder). */
struct swarm_have {
    uint64_t bits[STOQ_SWARM_ADD_CHUNKS_MAX / 64];
};

struct swarm_run {
    uint64_t first;
    uint32_t count;
    uint32_t wanted;
    uint32_t open; /* not done */
    struct swarm_have *have[STOQ_SWARM_PEERS_MAX];
    uint64_t wanted_bits[STOQ_SWARM_ADD_CHUNKS_MAX / 64]; /* as the chunks' states say */
    struct swarm_chunk chunk[];
};

struct swarm_peer {
    bool used;
    bool partial;
    bool cut; /* never asked again */
    bool local;
    bool told_progress;
    bool is_told; /* what it has was told anew */
    bool rate_known;
    bool growing;     /* a quarter faster in the last window than before it */
    bool drained;     /* ran out of requests during this window */
    bool rtt_pending; /* the next arrival answers a request made in silence */
    stoq_peer peer;
    uint8_t charge; /* enum stoq_swarm_why + 1, not polled yet */
    uint8_t strikes;
    uint8_t busy; /* answers of Busy in a row */
    uint32_t ranges_max;
    uint32_t chunks_max;
    uint32_t weight;
    uint32_t requests;
    uint32_t stalls;
    uint64_t inflight_bytes;
    uint64_t rate_bytes_per_s;
    uint64_t cap_bytes_per_s; /* as the last PROGRESS said; 0: none */
    uint64_t window_bytes;
    stoq_ns window_at;
    stoq_ns drained_at;
    stoq_ns rtt_ns;
    stoq_ns asked_at;    /* last request made in silence */
    stoq_ns progress_at; /* last arrival, or the request that ended a silence */
    stoq_ns patience;    /* how long it may be silent since then: by the rate it had then */
    stoq_ns backoff_until;
    uint64_t cursor; /* where its next request begins to look */
    bool cursor_set;
    uint64_t chunks;
    uint64_t bytes;
};

struct swarm_request {
    stoq_swarm_cookie cookie;
    uint32_t peer_slot;
    bool cancelled; /* over; only its CANCEL is still to be polled */
    uint32_t count;
    uint32_t left; /* chunks outstanding */
    uint64_t left_bytes;
    uint64_t bytes;
    stoq_ns made_at;
    stoq_ns progress_at;
    size_t size;      /* of this allocation */
    uint64_t index[]; /* ascending; outstanding where the chunk's ask says so */
};

struct stoq_swarm {
    struct stoq_swarm_config cfg;
    uint32_t
        leader; /* slot of the one asked alone, of those on this machine; STOQ_SWARM_PEERS_MAX: none */
    struct stoq_prng prng;
    stoq_ns now; /* of the call under way */
    stoq_ns polled_at;
    stoq_ns checked_at; /* requests for being lost */

    struct swarm_run **run; /* by first chunk */
    uint32_t run_count;
    uint32_t run_cap;
    uint32_t wanted;
    uint32_t open;
    uint64_t wanted_bytes;
    uint64_t added_bytes; /* of chunks that were not held */
    uint32_t have_count;  /* have nodes in all runs */

    uint32_t peer_count;
    uint32_t full_count; /* peers that may be asked and have everything */
    struct swarm_peer peer[STOQ_SWARM_PEERS_MAX];

    uint64_t next_cookie;
    uint32_t request_count; /* outstanding */
    uint32_t cancel_count;  /* cancelled, not polled */
    uint32_t charge_count;
    struct swarm_request *request[STOQ_SWARM_REQUESTS_MAX];

    bool add_end;
    bool need_told;
    bool done_told;
    bool stuck_told;
    bool no_memory; /* a request could not be made for lack of it */
    uint64_t chunks_done;
    uint64_t bytes_done;
    uint64_t chunks_duplicate;
    uint64_t bytes_duplicate;
    uint64_t bytes_asked_twice;
    size_t memory_bytes;
    struct stoq_range ranges[STOQ_SWARM_REQUEST_CHUNKS_MAX]; /* of the REQUEST polled last */
};

/* Bytes that flow in some time, and the time that bytes take; both saturate, neither divides by 0. */
uint64_t stoq_swarm_bytes_in(uint64_t rate_bytes_per_s, stoq_ns time);
stoq_ns stoq_swarm_time_for(uint64_t bytes, uint64_t rate_bytes_per_s);

void *stoq_swarm_alloc(struct stoq_swarm *sw, size_t n);
void stoq_swarm_unalloc(struct stoq_swarm *sw, void *p, size_t n);

/* Runs (swarm_runs.c). */
enum stoq_status stoq_swarm_add_run(struct stoq_swarm *sw, const struct stoq_swarm_add *add);
void stoq_swarm_free_run(struct stoq_swarm *sw, struct swarm_run *run);
/* The position of the run that holds index, or of the first one behind it. */
uint32_t stoq_swarm_run_at(const struct stoq_swarm *sw, uint64_t index);
/* NULL: not an open chunk. */
struct swarm_chunk *stoq_swarm_find(const struct stoq_swarm *sw, uint64_t index,
                                    struct swarm_run **run);
void stoq_swarm_set_state(struct stoq_swarm *sw, struct swarm_run *run, struct swarm_chunk *chunk,
                          enum swarm_chunk_state state);
/* Free the run when nothing of it is open. */
void stoq_swarm_settle_run(struct stoq_swarm *sw, struct swarm_run *run);
/* Is a chunk wanted that the peer holds, as far as is known? */
bool stoq_swarm_run_helps(const struct stoq_swarm *sw, const struct swarm_run *run,
                          uint32_t peer_slot);
bool stoq_swarm_holds(const struct stoq_swarm *sw, const struct swarm_run *run, uint32_t i,
                      uint32_t peer_slot);
enum stoq_status stoq_swarm_set_have(struct stoq_swarm *sw, const struct stoq_swarm_has *has);
/* This peer lacks this chunk after all. */
enum stoq_status stoq_swarm_lacks(struct stoq_swarm *sw, struct swarm_run *run, uint32_t i,
                                  uint32_t peer_slot);
/* Forget what is known about a peer's chunks. */
void stoq_swarm_drop_have(struct stoq_swarm *sw, uint32_t peer_slot);

/* Peers (swarm_peers.c). */
enum stoq_status stoq_swarm_add_peer(struct stoq_swarm *sw, const struct stoq_swarm_peer *add,
                                     stoq_ns now);
void stoq_swarm_drop_peer(struct stoq_swarm *sw, stoq_peer peer);
struct swarm_peer *stoq_swarm_find_peer(struct stoq_swarm *sw, stoq_peer peer, uint32_t *slot);
/* Ask it no more: its requests are cancelled, its chunks wanted again. */
void stoq_swarm_cut(struct stoq_swarm *sw, struct swarm_peer *p);
void stoq_swarm_charge(struct stoq_swarm *sw, struct swarm_peer *p, enum stoq_swarm_why why);
/* A request of it failed: back off, cut it after a few in a row. */
void stoq_swarm_strike(struct stoq_swarm *sw, struct swarm_peer *p, stoq_ns now);
void stoq_swarm_back_off(struct swarm_peer *p, uint32_t doublings, stoq_ns now);
/* It has no room: leave it alone, longer with each such answer in a row. */
void stoq_swarm_busy_off(struct stoq_swarm *sw, struct swarm_peer *p, stoq_ns now);
/* It has something to do again after silence; it has nothing to do any more. */
void stoq_swarm_busy(struct swarm_peer *p, stoq_ns now);
void stoq_swarm_drained(struct swarm_peer *p, stoq_ns now);
/* Bytes arrived from it. */
void stoq_swarm_arrived(struct swarm_peer *p, uint64_t bytes, stoq_ns now);
/* Take in the silence since the last arrival. */
void stoq_swarm_measure(struct swarm_peer *p, stoq_ns now);
static inline bool stoq_swarm_askable(const struct swarm_peer *p, stoq_ns now)
{
    return p->used && !p->cut && p->backoff_until <= now;
}
/* How long until all that it was asked for is here, as far as one can tell. */
stoq_ns stoq_swarm_eta(const struct swarm_peer *p, stoq_ns now);
/* When its silence is too long. */
stoq_ns stoq_swarm_stall_at(const struct swarm_peer *p);
/* Cut loose whoever is silent for too long. */
void stoq_swarm_check_stalls(struct stoq_swarm *sw, stoq_ns now);

/* Requests (swarm_requests.c). */
/* NULL: over, or never made. */
struct swarm_request *stoq_swarm_find_request(const struct stoq_swarm *sw,
                                              stoq_swarm_cookie cookie);
/* One chunk of it is no longer outstanding. */
void stoq_swarm_unask(struct stoq_swarm *sw, struct swarm_run *run, struct swarm_chunk *chunk,
                      uint32_t slot);
/* It is over: what is outstanding is wanted again. cancel: tell the shell. */
void stoq_swarm_end_request(struct stoq_swarm *sw, struct swarm_request *rq, bool cancel);
void stoq_swarm_chunk_done(struct stoq_swarm *sw, struct swarm_request *rq,
                           const struct stoq_swarm_chunk *ev, stoq_ns now);
bool stoq_swarm_poll_cancel(struct stoq_swarm *sw, struct stoq_swarm_action *out);

/* Who is asked for what (swarm_pick.c) and the endgame (swarm_endgame.c). */
bool stoq_swarm_poll_request(struct stoq_swarm *sw, stoq_ns now, struct stoq_swarm_action *out);
bool stoq_swarm_can_supply(const struct stoq_swarm *sw, uint32_t peer_slot);
/* A request for these chunks, which it marks as asked for; NULL: no memory or no slot. */
struct swarm_request *stoq_swarm_new_request(struct stoq_swarm *sw, uint32_t peer_slot,
                                             uint32_t chunks_max, stoq_ns now);
void stoq_swarm_ask(struct stoq_swarm *sw, struct swarm_request *rq, struct swarm_run *run,
                    uint32_t i);
/* Sort it, lay out its ranges, account for it, fill in the action. */
void stoq_swarm_send(struct stoq_swarm *sw, struct swarm_request *rq, stoq_ns now,
                     struct stoq_swarm_action *out);
/* Nothing is wanted that this peer has: let it help those who are behind. */
bool stoq_swarm_help(struct stoq_swarm *sw, uint32_t peer_slot, stoq_ns now,
                     struct stoq_swarm_action *out);

/* Recount everything and abort on a difference: for tests and fuzzers. */
void stoq_swarm_check(const struct stoq_swarm *sw);

#endif
