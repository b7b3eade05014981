#ifndef STOQ_QOS_QOS_H
#define STOQ_QOS_QOS_H
/*
 * The bandwidth core: caps for all peers together and for single ones, in both directions, and fair
 * shares below them. Whoever moves bytes opens a flow, says how many bytes it would move next, and moves
 * them when the flow is granted. See qos.c for how shares are made.
 */
#include "base/bytes.h"

#define STOQ_QOS_FLOWS_MAX 4096u            /* open at once; more are not limited, and counted */
#define STOQ_QOS_PEERS_MAX 256u             /* with caps of their own */
#define STOQ_QOS_RATE_MAX 1000000000000000u /* bytes per second */
#define STOQ_QOS_BURST (100 * STOQ_MS)      /* of the rate may go at once after a pause */

enum stoq_qos_dir {
    STOQ_QOS_UP,
    STOQ_QOS_DOWN,
    STOQ_QOS_DIRS,
};

struct stoq_qos;
typedef uint32_t stoq_qos_flow; /* 0: none */

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_qos_new(struct stoq_qos **out,
                                               const struct stoq_alloc *alloc);
void stoq_qos_free(struct stoq_qos *qos); /* NULL is fine */

/* Bytes per second from now on; 0: no cap. peer NULL: of all together. STOQ_OK; STOQ_RANGE: over
 * STOQ_QOS_RATE_MAX; STOQ_FULL: past STOQ_QOS_PEERS_MAX. */
STOQ_WARN_UNUSED enum stoq_status stoq_qos_limit(struct stoq_qos *qos, enum stoq_qos_dir dir,
                                                 const struct stoq_peer_id *peer,
                                                 uint64_t rate_bytes_per_s, stoq_ns now);
uint64_t stoq_qos_rate(const struct stoq_qos *qos, enum stoq_qos_dir dir,
                       const struct stoq_peer_id *peer);

/* A flow with a peer; 0: none is left, move bytes without. user comes back with grants. */
stoq_qos_flow stoq_qos_open(struct stoq_qos *qos, enum stoq_qos_dir dir,
                            const struct stoq_peer_id *peer, void *user);
/* What is asked for and not granted is forgotten. 0 is fine. */
void stoq_qos_close(struct stoq_qos *qos, stoq_qos_flow flow);
/* Ask for bytes more, above 0. True: granted at once, since no cap applies; else a grant follows. */
bool stoq_qos_want(struct stoq_qos *qos, stoq_qos_flow flow, uint64_t bytes, stoq_ns now);

struct stoq_qos_grant {
    stoq_qos_flow flow;
    void *user;
    uint64_t bytes; /* all that the flow asked for */
};
/* The next grant; false: none now. */
bool stoq_qos_poll(struct stoq_qos *qos, stoq_ns now, struct stoq_qos_grant *out);
/* When there may be one; STOQ_NEVER: nobody waits. */
stoq_ns stoq_qos_deadline(const struct stoq_qos *qos);

/* One allocation: a flow. */
struct stoq_qos_view {
    enum stoq_qos_dir dir;
    struct stoq_peer_id peer;
    uint64_t wanted;  /* not granted yet */
    uint64_t granted; /* since it is open */
};
/* The i-th open flow; false past the last. */
bool stoq_qos_at(const struct stoq_qos *qos, size_t i, struct stoq_qos_view *out);
/* The i-th peer with caps; false past the last. */
bool stoq_qos_peer_at(const struct stoq_qos *qos, size_t i, struct stoq_peer_id *out);

#endif
