#ifndef STOQ_SWARM_SWARM_IO_H
#define STOQ_SWARM_SWARM_IO_H
/*
 * What goes into the transfer core and what comes out. Spans and arrays are borrowed: an event's until
 * feed returns, an action's until the next feed or poll.
 */
#include "base/types.h"

/* Chosen by the core for each request; never 0, never used twice. */
typedef uint64_t stoq_swarm_cookie;

enum stoq_swarm_event_kind {
    STOQ_SWARM_ADD,       /* u.add: more chunks are wanted */
    STOQ_SWARM_ADD_END,   /* no ADD will follow */
    STOQ_SWARM_PEER_ADD,  /* u.peer: a source; again after PEER_GONE it starts afresh */
    STOQ_SWARM_PEER_GONE, /* u.peer: the connection is lost; its requests are over */
    STOQ_SWARM_PEER_HAS,  /* u.has: what a partial holder has */
    STOQ_SWARM_PROGRESS, /* u.progress: payload bytes arrived; optional, sharpens stall detection */
    STOQ_SWARM_CHUNK_OK, /* u.chunk: arrived, verified and kept */
    STOQ_SWARM_CHUNK_BAD,     /* u.chunk: not the chunk that was asked for */
    STOQ_SWARM_CHUNK_MISSING, /* u.chunk: the peer says it lacks it */
    STOQ_SWARM_REQUEST_ENDED, /* u.ended: no more will come of it; also after a CANCEL */
};

struct stoq_swarm_event {
    enum stoq_swarm_event_kind kind;
    union {
        /* A shard's chunks, or any other run of up to STOQ_SWARM_ADD_CHUNKS_MAX. Runs must not
         * overlap; their order is free. */
        struct stoq_swarm_add {
            struct stoq_range chunks;
            const uint32_t *lengths; /* count of them, each 1 .. STOQ_SWARM_CHUNK_BYTES_MAX */
            const uint8_t *have;     /* bit i & 7 of have[i / 8]: held already. NULL: none */
        } add;
        struct stoq_swarm_peer {
            stoq_peer peer;
            stoq_ns rtt_ns;      /* 0: not known */
            bool partial;        /* has only what PEER_HAS says; false: has everything */
            bool local;          /* on this machine: it shares its processors with us */
            uint32_t ranges_max; /* of one request; 0: the limit here */
            uint32_t chunks_max; /* likewise */
            uint32_t weight; /* its chance of being asked first, beside the others'; at most 2^16 */
        } peer;
        struct stoq_swarm_has {
            stoq_peer peer;
            struct stoq_range chunks; /* those that are not open are ignored */
            const uint8_t *bits;      /* as have above; replaces what was known of these chunks */
        } has;
        struct stoq_swarm_progress {
            stoq_swarm_cookie cookie;
            uint64_t bytes; /* since the last one of this request */
            uint64_t
                cap_bytes_per_s; /* it brings no more than that, by somebody's wish; 0: none known */
        } progress;
        struct stoq_swarm_chunk {
            stoq_swarm_cookie cookie; /* 0: it came some other way (CHUNK_OK only) */
            uint64_t index;
            uint32_t bytes; /* as it travelled */
            stoq_peer peer; /* CHUNK_BAD: who sent it, also when the request is over */
        } chunk;
        struct stoq_swarm_ended {
            stoq_swarm_cookie cookie;
            /* STOQ_OK           the peer has answered all it will
             * STOQ_BUSY         it has no room now: asked again later
             * STOQ_NOTFOUND     it lacks the package: not asked again
             * STOQ_MALFORMED, STOQ_PROOF, STOQ_VERSION  it breaks the rules: charged and not asked again
             * STOQ_CANCELLED    our CANCEL
             * anything else     a failure: backed off, after a few in a row not asked again */
            enum stoq_status status;
        } ended;
    } u;
};

enum stoq_swarm_action_kind {
    STOQ_SWARM_REQUEST, /* u.request: ask this peer for these chunks */
    STOQ_SWARM_CANCEL,  /* u.cancel: stop that request; what it still brings is welcome, not needed.
                           * Its REQUEST_ENDED may come or not, once it has come nothing may */
    STOQ_SWARM_CHARGE, /* u.charge: the peer's fault, for its reputation. It gets no more requests */
    STOQ_SWARM_NEED_MORE, /* few chunks are left to ask for: ADD or ADD_END. Once until the next ADD */
    STOQ_SWARM_DONE,      /* everything added is here and ADD_END was fed. Once */
    STOQ_SWARM_STUCK,     /* chunks are wanted and no peer here can supply any. Once until a peer or
                           * what it has is added */
};

enum stoq_swarm_why {
    STOQ_SWARM_BAD_CHUNK, /* other bytes than the hash says */
    STOQ_SWARM_BAD_REPLY, /* broke the protocol */
    STOQ_SWARM_STALLED,   /* nothing for too long; its chunks went to others */
};

struct stoq_swarm_action {
    enum stoq_swarm_action_kind kind;
    union {
        struct stoq_swarm_request {
            stoq_peer peer;
            stoq_swarm_cookie cookie;
            const struct stoq_range *ranges; /* strictly increasing, disjoint */
            uint32_t range_count;
            uint32_t chunk_count;
            uint64_t bytes; /* sum of the chunks' lengths */
        } request;
        struct stoq_swarm_cancel {
            stoq_peer peer;
            stoq_swarm_cookie cookie;
        } cancel;
        struct stoq_swarm_charge {
            stoq_peer peer;
            enum stoq_swarm_why why;
        } charge;
    } u;
};

#endif
