#ifndef STOQ_NODE_NODE_IO_H
#define STOQ_NODE_NODE_IO_H
/*
 * What goes into a node and what comes out. Borrowed: an event's data until feed returns; an action's
 * until the next feed or poll, unless its comment says longer.
 *
 * Cookies are the node's choice, never 0 and never used twice. Every action that carries a cookie is
 * answered by exactly one closing event with that cookie, soon or late, also when its fetch has long
 * ended; until then the node keeps what it lent. Answers may come in any order.
 */
#include "base/types.h"
#include "merkle/merkle.h"
#include "peers/peers.h"
#include "sign/sign.h"
#include "swarm/swarm.h"
#include "trust/trust.h"
#include "wire/message.h"

typedef uint64_t stoq_node_cookie;
/* The shell's name for one inbound request: it comes back with the answer. */
typedef uint64_t stoq_stream;
/* The shell's name for one fetch, unique among those running. */
typedef uint32_t stoq_fetch_id;

#define STOQ_NODE_SIGNERS_MAX STOQ_META_SIGNATURES_MAX
#define STOQ_NODE_SOURCES_MAX STOQ_SWARM_PEERS_MAX /* of one fetch */

enum stoq_node_event_kind {
    /* Asked for by the user. */
    STOQ_NODE_FETCH,      /* u.fetch: bring this package into the store */
    STOQ_NODE_ADD_SOURCE, /* u.source: one more source for a running fetch */
    STOQ_NODE_NO_MORE,    /* u.stop: no more sources are looked for, for a fetch that had `more` */
    STOQ_NODE_WANT,       /* u.want: a fetch whose reader has got further may go on */
    STOQ_NODE_STOP,       /* u.stop: end this fetch; its DONE follows */
    /* About peers. */
    STOQ_NODE_PEER,  /* u.peer: whom a number means from now on; before LINK_UP and LINK_DOWN */
    STOQ_NODE_TRUST, /* u.trust: what was known of a peer passed_ns ago; all zero forgives */
    STOQ_NODE_PLACE, /* u.place: where the configuration says that a peer stands */
    /* About connections. */
    STOQ_NODE_LINK_EARLY, /* u.link: being dialled, and an ASK may go with the first packets; until
                           * LINK_UP or _DOWN, or until one fails */
    STOQ_NODE_LINK_UP,    /* u.link: connected, either side having dialled */
    STOQ_NODE_RTT,        /* u.link: a round trip measured on its connection */
    STOQ_NODE_LINK_DOWN,  /* u.link: could not be reached, or lost. Its requests' closing events
                           * follow or came before */
    /* Closing events. */
    STOQ_NODE_REPLY,     /* u.reply: closes ASK */
    STOQ_NODE_ASK_ENDED, /* u.ended: closes ASK_CHUNKS */
    STOQ_NODE_LOADED,    /* u.loaded: closes LOAD_META */
    STOQ_NODE_HAVE,      /* u.have: closes CHECK_HAVE */
    STOQ_NODE_SAVED,     /* u.ended: closes SAVE_META, SAVE_PACKAGE and SYNC */
    /* Between ASK_CHUNKS and ASK_ENDED. */
    STOQ_NODE_CHUNK,    /* u.chunk: what became of one chunk */
    STOQ_NODE_PROGRESS, /* u.progress: payload bytes arrived; optional, at most every 50 ms is fine */
    /* Others ask us. */
    STOQ_NODE_INBOUND,     /* u.inbound: a request, decoded */
    STOQ_NODE_INBOUND_BAD, /* u.bad: a request that is none; answered like one */
    STOQ_NODE_SERVED,      /* u.served: a SERVE action's stream is over, well or not */
};

struct stoq_node_event {
    enum stoq_node_event_kind kind;
    union {
        struct stoq_node_fetch {
            stoq_fetch_id fetch;
            struct stoq_package_id id;
            const stoq_peer *sources; /* distinct; may be none when the store may have it all */
            uint32_t source_count;    /* at most STOQ_NODE_SOURCES_MAX */
            bool
                more; /* others are looked for: it does not end for want of sources before NO_MORE */
            enum stoq_swarm_strategy strategy;
            enum stoq_priority priority; /* of its beginning here, and of what its sources send */
            /* Only the chunks that hold bytes first .. end - 1 of the package's stream, besides manifest
             * and shard list: nothing is recorded then, a later fetch brings the rest. */
            bool is_part;
            uint64_t first;
            uint64_t end;
            /* A reader's window: none that begins at this byte or behind, until WANT moves it; 0: no limit */
            uint64_t until;
        } fetch;
        struct stoq_node_source {
            stoq_fetch_id fetch;
            stoq_peer peer;
        } source;
        struct stoq_node_want {
            stoq_fetch_id fetch;
            uint64_t until; /* in place of the one before; a smaller one changes nothing */
        } want;
        struct stoq_node_stop {
            stoq_fetch_id fetch;
        } stop;
        struct stoq_node_peer {
            stoq_peer peer;
            const struct stoq_peer_id *id;
            const uint8_t *ip; /* 16 bytes; IPv4 mapped. NULL: not known */
        } peer;
        struct stoq_node_trust {
            const struct stoq_trust_record *record;
            stoq_ns passed_ns;
        } trust;
        struct stoq_node_place {
            const struct stoq_peer_id *id;
            const struct stoq_peers_place *place;
        } place;
        struct stoq_node_link {
            stoq_peer peer;
            stoq_ns rtt_ns;          /* LINK_UP: as the handshake measured it; 0: not known */
            bool local;              /* LINK_UP: it is on this machine */
            enum stoq_status status; /* LINK_DOWN: why; STOQ_NET, STOQ_TIMEOUT, STOQ_PROOF (wrong
                                      * key), ... */
        } link;
        struct stoq_node_reply {
            stoq_node_cookie cookie;
            /* STOQ_OK: msg is the reply, decoded, and payload all of its payload. Else there is none:
             * STOQ_NET, STOQ_MALFORMED (no frame, payload shorter or longer than announced),
             * STOQ_FULL (payload over payload_max), STOQ_CANCELLED. */
            enum stoq_status status;
            const struct stoq_message *msg;
            struct stoq_span payload;
        } reply;
        struct stoq_node_ended {
            stoq_node_cookie cookie;
            /* ASK_CHUNKS: STOQ_OK: the payload was read to its end. When the peer answered Error:
             * stoq_error_code_status of it. Else as REPLY. The others: what the store said. */
            enum stoq_status status;
        } ended;
        struct stoq_node_loaded {
            stoq_node_cookie cookie;
            enum stoq_status
                status; /* STOQ_OK; STOQ_NOTFOUND; others count as NOTFOUND, a fresh copy
                                      * is asked for */
            struct stoq_span bytes;
        } loaded;
        struct stoq_node_have {
            stoq_node_cookie cookie;
            const uint8_t *bits; /* bit i & 7 of bits[i / 8]: chunk i is in the store. NULL: none */
        } have;
        struct stoq_node_chunk {
            stoq_node_cookie cookie;
            uint64_t index; /* in the package */
            /* STOQ_OK         verified, and in the store (readable, not yet durable)
             * STOQ_PROOF      its bytes are not the chunk, or do not unpack to it
             * STOQ_NOTFOUND   the peer sent "missing"
             * STOQ_FULL, STOQ_IO, STOQ_NOMEM  our own store refused: the fetch ends with that */
            enum stoq_status status;
            bool damaged; /* STOQ_NOTFOUND: the peer says its own copy is damaged, so waiting for
                                  * it is in vain; else it may be fetching that chunk itself */
            uint32_t wire_bytes; /* as it travelled: head, proof, stored bytes */
            bool is_new;         /* the store did not have it when it was put */
        } chunk;
        struct stoq_node_progress {
            stoq_node_cookie cookie;
            uint64_t bytes;           /* since the last one with this cookie */
            uint64_t cap_bytes_per_s; /* the tightest, the peer's or ours, that holds it; 0: none */
        } progress;
        struct stoq_node_inbound {
            stoq_peer peer;
            stoq_stream stream;
            const struct stoq_message *msg;
            /* What our line has to send before, and how long that takes; 0: nothing, or not known. */
            uint64_t queue_bytes;
            stoq_ns queue_ns;
        } inbound;
        struct stoq_node_bad {
            stoq_peer peer;
            stoq_stream stream;
            uint64_t request_id;     /* 0 when it could not be read */
            enum stoq_status status; /* of stoq_message_decode or stoq_frame_take */
        } bad;
        struct stoq_node_served {
            stoq_peer peer;
            stoq_stream stream;
            uint64_t bytes; /* payload sent */
        } served;
    } u;
};

enum stoq_node_action_kind {
    STOQ_NODE_DIAL,       /* u.dial: connect; LINK_UP or LINK_DOWN answers. A peer that is connected
                             * already is answered with LINK_UP at once */
    STOQ_NODE_ASK,        /* u.ask: send this request, gather the reply */
    STOQ_NODE_ASK_CHUNKS, /* u.ask_chunks: send a ChunkRequest, verify and store what comes */
    STOQ_NODE_CANCEL, /* u.cancel: stop that ASK or ASK_CHUNKS; its closing event still follows */
    STOQ_NODE_LOAD_META,  /* u.meta: read it from the store */
    STOQ_NODE_SAVE_META,  /* u.meta: put it into the store. Borrowed until its SAVED */
    STOQ_NODE_CHECK_HAVE, /* u.check: which of these chunks are in the store? Borrowed until HAVE */
    STOQ_NODE_SYNC,       /* u.sync: make all that was stored before this durable */
    STOQ_NODE_SAVE_PACKAGE, /* u.package: write its record, complete, durable when SAVED comes */
    STOQ_NODE_DONE,         /* u.done: a fetch is over; no more is said of it */
    STOQ_NODE_CHARGE,       /* u.charge: the peer's fault, for its reputation and the log */
    STOQ_NODE_CLOSE,        /* u.close: end the connection; LINK_DOWN follows */
    STOQ_NODE_SEND,         /* u.send: this message is the whole reply to an inbound request */
    STOQ_NODE_SERVE_META,   /* u.serve: reply from the store; SERVED closes it */
    STOQ_NODE_SERVE_CHUNKS, /* u.serve: likewise */
};

enum stoq_node_why {
    STOQ_NODE_BAD_CHUNK,    /* bytes that are not the chunk */
    STOQ_NODE_BAD_METADATA, /* manifest, list or signature that is not what was asked for */
    STOQ_NODE_BAD_REPLY,    /* a reply that breaks the protocol */
    STOQ_NODE_BAD_REQUEST,  /* a request that does */
    STOQ_NODE_STALLED,      /* silent for too long */
    STOQ_NODE_CUT,          /* CLOSE alone: left for what it did before */
};
/* A few lower-case words, static storage. */
const char *stoq_node_why_str(enum stoq_node_why why);

/* How far a source came, for its report: the step that failed, or the last one reached. */
enum stoq_node_step {
    STOQ_NODE_STEP_DIAL,
    STOQ_NODE_STEP_HELLO,
    STOQ_NODE_STEP_MANIFEST,
    STOQ_NODE_STEP_SHARD_LIST,
    STOQ_NODE_STEP_CHUNK_LISTS,
    STOQ_NODE_STEP_CHUNKS,
};
/* "dialling", "manifest", ...; static storage. */
const char *stoq_node_step_str(enum stoq_node_step step);

/* What one source contributed, or why it did not. */
struct stoq_node_source_report {
    stoq_peer peer;
    enum stoq_status status; /* STOQ_OK: usable to the end, or still waited for */
    enum stoq_node_step step;
    uint64_t chunks;
    uint64_t bytes;      /* raw bytes of the chunks it brought first */
    uint64_t wire_bytes; /* what arrived from it, as it travelled, metadata included */
    stoq_ns ready_at;    /* first connected; 0: never */
};

struct stoq_node_report {
    struct stoq_package_id id;
    /* STOQ_OK, or STOQ_NOTFOUND (every source said ContentNotFound), STOQ_PROOF (what sources sent is
     * not the package), STOQ_TIMEOUT, STOQ_NET (no source, or all failed otherwise), STOQ_VERSION (a
     * manifest or protocol newer than ours), STOQ_CANCELLED, STOQ_FULL (no room, or a package past the
     * limits), STOQ_IO, STOQ_NOMEM. */
    enum stoq_status status;
    enum stoq_node_step step; /* of the fetch: what it was at */
    uint64_t bytes;           /* of the package stream; 0: never known */
    uint64_t chunks;
    uint64_t shards;
    uint64_t shards_known; /* whose chunk lists were in the store */
    uint64_t bytes_had;    /* of chunks in the store before, of those that are wanted */
    uint64_t chunks_had;
    uint64_t bytes_from_peers; /* raw bytes of chunks that peers brought, each once */
    uint64_t chunks_from_peers;
    /* Of chunks that came once for several places: equal ones, and those that another fetch brought
     * meanwhile. A whole package's bytes are had, from peers or shared. */
    uint64_t bytes_shared;
    uint64_t chunks_shared;
    uint64_t bytes_new;       /* from peers, and the store did not have them */
    uint64_t bytes_wire;      /* all that arrived for it, as it travelled, metadata included */
    uint64_t bytes_duplicate; /* raw bytes of chunks that came again */
    stoq_ns started_at;
    /* When each step was done; 0: it was not. */
    stoq_ns source_at; /* the first source was connected */
    stoq_ns manifest_at;
    stoq_ns shard_list_at;
    stoq_ns chunks_at;
    stoq_ns ended_at;      /* everything durable */
    uint32_t signer_count; /* keys whose signatures verify; 0: unsigned */
    struct stoq_key_id signers[STOQ_NODE_SIGNERS_MAX];
    uint32_t source_count;
    struct stoq_node_source_report sources[STOQ_NODE_SOURCES_MAX];
};

struct stoq_node_action {
    enum stoq_node_action_kind kind;
    union {
        struct stoq_node_dial {
            stoq_peer peer;
            stoq_ns timeout_ns;
        } dial;
        struct stoq_node_ask {
            stoq_peer peer;
            stoq_node_cookie cookie;
            const struct stoq_message *msg; /* request_id is the cookie */
            uint32_t payload_max;           /* a longer payload: stop reading, STOQ_FULL */
            bool
                early; /* with the first packets of the connection that is being made; where that is
                         * no longer so, and the peer is not connected either, STOQ_NET */
        } ask;
        struct stoq_node_ask_chunks {
            stoq_peer peer;
            stoq_node_cookie cookie; /* and the request id */
            struct stoq_package_id id;
            const struct stoq_range *ranges;
            uint32_t range_count;
            /* Hash and length of each chunk in the order asked. Borrowed until its ASK_ENDED. */
            const struct stoq_merkle_chunk *chunks;
            uint32_t chunk_count;
            uint64_t bytes; /* sum of their lengths */
            bool want_proofs;
            stoq_fetch_id fetch; /* for whom */
            enum stoq_priority priority;
        } ask_chunks;
        struct stoq_node_cancel {
            stoq_peer peer;
            stoq_node_cookie cookie;
        } cancel;
        struct stoq_node_meta {
            stoq_node_cookie cookie;
            enum stoq_meta_kind kind; /* MANIFEST, SHARD_LIST, CHUNK_LISTS (one), SIGNATURES */
            /* The store's key: package id, package root, shard root, package id. */
            struct stoq_hash key;
            struct stoq_key_id signer; /* SAVE_META of SIGNATURES: the other half of the key */
            /* SAVE_META: the record. Signatures: one envelope to save; all envelopes, framed as in the
             * message, when loaded. */
            struct stoq_span bytes;
        } meta;
        struct stoq_node_check {
            stoq_node_cookie cookie;
            stoq_fetch_id
                fetch; /* for the shell, which may know other places of this fetch's chunks
                                  * and put them into the store first */
            struct stoq_span chunk_list; /* 36-byte entries */
            uint32_t chunk_count;
        } check;
        struct stoq_node_sync {
            stoq_node_cookie cookie;
        } sync;
        struct stoq_node_package {
            stoq_node_cookie cookie;
            struct stoq_package_id id;
        } package;
        struct stoq_node_done {
            stoq_fetch_id fetch;
            const struct stoq_node_report *report;
        } done;
        struct stoq_node_charge {
            stoq_peer peer;
            enum stoq_node_why why;
        } charge;
        struct stoq_node_close {
            stoq_peer peer;
            enum stoq_node_why why;
        } close;
        struct stoq_node_send {
            stoq_peer peer;
            stoq_stream stream;
            const struct stoq_message *msg;
        } send;
        struct stoq_node_serve {
            stoq_peer peer;
            stoq_stream stream;
            uint64_t request_id;
            struct stoq_package_id id;
            enum stoq_meta_kind kind;
            struct stoq_range shards; /* SERVE_META of kinds that have them */
            /* SERVE_CHUNKS: of kind STOQ_META_CHUNKS these chunks, or (no ranges) those with these hashes;
             * of _ALL_CHUNKS and _PACKAGE all but these, how many is not known here. */
            const struct stoq_range *ranges;
            uint32_t range_count;
            struct stoq_span hashes;
            uint32_t chunk_count;
            bool want_proofs;
            enum stoq_priority priority; /* SERVE_CHUNKS: as the requester says */
        } serve;
    } u;
};

/*
 * The closing event of a request: REPLY, or for one of chunks ASK_ENDED, whose status is that of an Error
 * that the peer answered with. msg and payload are borrowed.
 */
struct stoq_node_event stoq_node_closing(const struct stoq_node_reply *reply, bool wants_chunks);

#endif
