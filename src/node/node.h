#ifndef STOQ_NODE_NODE_H
#define STOQ_NODE_NODE_H
/*
 * One peer: fetches packages and decides what to answer to others. It composes the cores; payload
 * bytes never pass through it, metadata do. The walk of a fetch is told in node.c.
 *
 * Serving: the shell answers SERVE_META and SERVE_CHUNKS from the store, with Error{ContentNotFound}
 * when it has nothing of the package, Error{InvalidChunkIndex} for chunks or shards the package does not
 * have, "missing" items for chunks that are not here yet.
 */
#include "node/node_io.h"

#define STOQ_NODE_FETCHES_MAX 1024    /* at a time, those that wait included: 24 KiB each */
#define STOQ_NODE_RUNNING_MAX 64      /* of those, not waiting */
#define STOQ_NODE_LINKS_MAX 16384     /* peers that are connected or being dialled */
#define STOQ_NODE_SERVES_LINK_MAX 64  /* requests of one peer under way; more are answered Busy */
#define STOQ_NODE_SERVES_MAX 1024     /* of all peers, beyond ... */
#define STOQ_NODE_SERVES_LINK_LEAST 4 /* ... so many that each may always have */
#define STOQ_NODE_FAULTS_MAX 3        /* bad requests of one connection until it is closed */
#define STOQ_NODE_WINDOW_SHARDS 512   /* of one fetch, whose lists are held at a time */
/* What waits for our line, from where on requests for chunks are answered Busy: that long, and that much. */
#define STOQ_NODE_QUEUE_NS (500 * STOQ_MS)
#define STOQ_NODE_QUEUE_BYTES (512u << 10)
#define STOQ_NODE_QUEUE_FEW 4 /* fewer requests than this keep no peer out that has none there */
/* Answers not yet polled; more requests are answered by CLOSE, to a peer that has so many of them itself. */
#define STOQ_NODE_REPLIES_MAX 256
#define STOQ_NODE_REPLIES_LINK_LEAST 64

#define STOQ_NODE_BUDGET_CHUNKS 32 /* of one request to a peer not trusted yet: some 2 MiB */

#define STOQ_NODE_DIAL_TIMEOUT (5 * STOQ_SEC)
#define STOQ_NODE_META_TIMEOUT (10 * STOQ_SEC) /* one metadata query, Hello included */
#define STOQ_NODE_STUCK_TIMEOUT                                                                    \
    (5 * STOQ_SEC) /* no source can supply what is wanted, none is dialled */

/* Zero means the default in brackets. */
struct stoq_node_config {
    struct stoq_span agent; /* kept; 1 .. 64 bytes ["stoq"] */
    bool want_proofs;       /* ask for a proof with every chunk */
    bool want_raw;          /* our Hello does not say that we take zstd */
    bool
        takes_offers; /* our Hello says that Offer and Receipt are answered; the shell does that, the
                        * node gets neither */
    bool exchanges;   /* likewise PeerExchange and Announce */
    bool answers_dht;         /* likewise FindNode, FindValue, Store, Renew */
    struct stoq_span rpc_key; /* what our Hello says of datagrams; kept; both or neither */
    struct stoq_span rpc_proof;
    struct stoq_trust_config trust; /* its allocator is not looked at */
    uint32_t fetches_running_max;   /* more wait their turn [STOQ_NODE_RUNNING_MAX] */
    uint32_t serves_max;            /* [STOQ_NODE_SERVES_MAX] */
    uint32_t serves_link_max;       /* [STOQ_NODE_SERVES_LINK_MAX] */
    uint32_t
        serves_link_least; /* of one peer, whatever the others have [STOQ_NODE_SERVES_LINK_LEAST] */
    struct stoq_alloc alloc;
};

struct stoq_node;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_node_new(struct stoq_node **out,
                                                const struct stoq_node_config *cfg, uint64_t seed);
/* NULL is fine. What was lent with actions goes with it: the shell has ended its jobs before. */
void stoq_node_free(struct stoq_node *node);

/*
 * STOQ_OK
 * STOQ_NOMEM   the event was not taken in, except that of a running fetch, which then ends with it
 * STOQ_FULL    FETCH past STOQ_NODE_FETCHES_MAX or STOQ_NODE_SOURCES_MAX, a link past
 *              STOQ_NODE_LINKS_MAX: not taken in
 * STOQ_EXISTS  FETCH with an id that is running
 */
STOQ_WARN_UNUSED enum stoq_status stoq_node_feed(struct stoq_node *node,
                                                 const struct stoq_node_event *ev, stoq_ns now);
/* The next thing to do; false: nothing. Call until false after every feed and deadline; feeding from
 * within that loop is fine, since what an action lends for longer says so. */
bool stoq_node_poll(struct stoq_node *node, stoq_ns now, struct stoq_node_action *out);
/* When to poll though nothing happened; STOQ_NEVER: only events wake it. */
stoq_ns stoq_node_deadline(const struct stoq_node *node);

struct stoq_node_fetch_progress {
    enum stoq_node_step step;
    uint64_t bytes_total; /* of the package, or of the part that is wanted; 0: not known yet */
    uint64_t bytes_done;  /* had or brought, verified; of a part whole chunks, so it may be more */
    uint64_t bytes_from_peers;
    bool waits;                /* others run, and its turn has not come */
    uint32_t sources;          /* connected now */
    uint64_t rate_bytes_per_s; /* sum of what the swarm expects of its sources */
};
/* False: no such fetch. */
bool stoq_node_fetch_progress(const struct stoq_node *node, stoq_fetch_id fetch,
                              struct stoq_node_fetch_progress *out);

/* What its DONE would report if it ended well now: of a source that is STOQ_OK what it has brought so far.
 * False: no such fetch. */
bool stoq_node_fetch_report(const struct stoq_node *node, stoq_fetch_id fetch,
                            struct stoq_node_report *out);

/* The first byte of what the fetch wants that is not in the store yet; all before it, from the first one
 * wanted, is, in whole chunks. The end of what is wanted: all of it is. False: no such fetch, or it does
 * not know its shards yet. */
bool stoq_node_fetch_ready(const struct stoq_node *node, stoq_fetch_id fetch, uint64_t *out);

struct stoq_node_stats {
    uint32_t fetches;
    uint32_t links;
    uint32_t serves;          /* under way */
    uint64_t requests_served; /* since new */
    uint64_t requests_refused;
    uint64_t requests_malformed; /* of these */
    uint64_t bytes_served;       /* payload */
};
void stoq_node_stats(const struct stoq_node *node, struct stoq_node_stats *out);
/* Our own Hello; its agent is the configuration's. */
struct stoq_msg_hello stoq_node_hello(const struct stoq_node *node);
/* What a peer's deeds come to. */
struct stoq_node_standing {
    struct stoq_trust_record record;
    uint32_t neighbours; /* of its public subnet */
    int64_t score;       /* in 2^-32 */
    bool is_trusted;
    bool is_cut;
};
void stoq_node_standing(const struct stoq_node *node, const struct stoq_peer_id *id, stoq_ns now,
                        struct stoq_node_standing *out);
const struct stoq_trust *stoq_node_trust(const struct stoq_node *node);
/* What is known of peers; until the next feed or poll. */
const struct stoq_peers *stoq_node_peers(const struct stoq_node *node);
/* What the peer said in its Hello; false: none yet. out->agent is borrowed until the next feed. */
bool stoq_node_peer_hello(const struct stoq_node *node, stoq_peer peer, struct stoq_msg_hello *out);

#endif
