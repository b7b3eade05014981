#ifndef STOQ_DAEMON_ENGINE_INTERNAL_H
#define STOQ_DAEMON_ENGINE_INTERNAL_H
/*
 * The engine's insides. Everything below belongs to the network thread, except what a job owns while
 * a worker runs it and what struct stoq_fetch guards with its lock.
 *
 *   engine.c         life: thread, loop, figures
 *   engine_call.c    calls from other threads, who waits, lists
 *   engine_fetch.c   fetches as their callers see them: waiting, the report
 *   engine_sources.c whom they take from, and who is looked for
 *   engine_standing.c what is known of peers, told to other threads
 *   engine_budget.c  bandwidth: what waits for its grant
 *   engine_yield.c   bandwidth: how fast background may be
 *   engine_trust.c   reputation, kept over restarts
 *   engine_peer.c    peers, connections, dialling, logging
 *   engine_dial.c    dialling: addresses in turn, few at a time
 *   engine_known.c   what is remembered of peers, its file
 *   engine_rpc.c     the key of our datagrams, what is answered to others'
 *   engine_ping.c    pings as their callers see them
 *   engine_names.c   release pointers, asked of peers
 *   engine_ask.c     requests we make: send, read the reply, verify and store chunks in workers
 *   engine_decide.c  requests others make: read, decode, who answers
 *   engine_serve.c   their life, and answers from the store
 *   engine_piece.c   the memory of replies: what all share, and who waits for it
 *   engine_produce.c what is answered from the store, made in workers
 *   engine_store.c   the node's store actions as jobs
 *   engine_node.c    the node's actions, dispatched
 *   engine_past.c    fetches that are over, for those who ask how they went, kept over restarts
 *   engine_request.c requests for chunks, ours and others', noted one by one
 *   engine_exchange.c peers told of each other
 *   engine_tell.c     packages told to connected peers, and theirs to us
 *   engine_self.c    our own addresses
 *   engine_dht.c     the DHT: its parts are in engine_dht_internal.h
 *   engine_lan.c     LAN discovery: beacons, neighbours as sources
 *   engine_dnssd.c   the announcement that other programs see
 *   engine_offer.c   offers and receipts of others, read and answered
 *   engine_replica.c placements: what the replica core wants, done
 */
#include "base/map.h"
#include "base/shelf.h"
#include "base/types.h"
#include "daemon/engine.h"
#include "daemon/engine_call.h"
#include "daemon/held.h"
#include "daemon/known.h"
#include "net/beacon.h"
#include "node/node.h"
#include "os/loop.h"
#include "os/workers.h"
#include "qos/qos_yield.h"
#include "sign/sign.h"
#include "store/store.h"
#include "wire/frame.h"
#include "wire/items.h"
#include "wire/message.h"

#include <pthread.h>
#include <stdatomic.h>

/* Caps, each with its reason. */
#define ENGINE_PEERS_MAX 32768u         /* slots: connected, dialled or named by a fetch */
#define ENGINE_WORKERS 2u               /* default: one per core of a small machine */
#define ENGINE_QUEUE_MAX 16384u         /* jobs waiting: all serves and all asks with some each */
#define ENGINE_BATCH_BYTES (256u << 10) /* of arrived chunks verified in one job */
#define ENGINE_BATCH_FULL (ENGINE_BATCH_BYTES - (64u << 10)) /* a batch waits for no more */
#define ENGINE_BATCH_CHUNKS 64u                              /* likewise, small ones */
#define ENGINE_PIECES 16u             /* chunks read for a reply in one job, about 1 MiB */
#define ENGINE_SERVE_AHEAD (1u << 20) /* of a reply waiting in its stream before we read more */
#define ENGINE_SERVE_BYTES_MAX (32u << 20) /* of all replies together; beyond it they take turns */
#define ENGINE_SERVE_PEER_MAX (20u << 20)  /* of one peer's; its window is mostly 16 MiB */
#define ENGINE_SERVE_NEAR_MAX (8u << 20)   /* of one that is near: its window is 6 MiB */
/* Packages whose metadata one peer may owe a cap for: as many as are fetched at a time. */
#define ENGINE_META_SHARES_MAX STOQ_NODE_RUNNING_MAX
#define ENGINE_HELD_MAX 8u                     /* packages whose lists stay in memory for serving */
#define ENGINE_INBOUND_TIMEOUT (10 * STOQ_SEC) /* for a request to be complete */
#define ENGINE_SERVE_TIMEOUT (30 * STOQ_SEC) /* for a reply to move on: a peer that reads nothing */
#define ENGINE_SWEEP STOQ_SEC
#define ENGINE_RTTS (10 * STOQ_SEC) /* between two looks at the round trips of connections */
#define ENGINE_PROGRESS (50 * STOQ_MS)
#define ENGINE_WINDOW_MIN (512u << 10) /* a few of the largest chunks */
#define ENGINE_CONN_WINDOW (12u << 20) /* a long fat path: 1 Gb/s at 100 ms needs 12.5 MB */
#define ENGINE_ADDRS_MAX 8u            /* of one peer that are tried */
#define ENGINE_DIALS_MAX 32u           /* begun lately: some 40 ms of a core for their handshakes */
#define ENGINE_DIALS_SILENT_MAX 224u /* beside them: a packet now and then, until their time-out */
#define ENGINE_PEER_CONNS_MAX 2u /* both sides may dial at once; a third takes the oldest's place */
#define ENGINE_PEER_MEMORY (96 * STOQ_MIB) /* two connections: window, and twice that to be sent */
#define ENGINE_KNOWN_SOURCES_MAX 8u       /* dialled at a start, asked by a get that names nobody */
#define ENGINE_KNOWN_SAVE (60 * STOQ_SEC) /* at most as often is their file written */

enum peer_state {
    PEER_IDLE,    /* known, not connected */
    PEER_DIALLED, /* dial under way */
    PEER_UP,
};

struct ask;
struct inbound;
struct share; /* engine_budget.c */

/* Requests that are over, the last of them. */
struct requests {
    uint64_t total;  /* the next one's place is this, modulo kept */
    uint64_t before; /* those that a restart has made forgotten */
    uint32_t kept;
    struct stoq_request v[];
};

/* One remote peer; its number is its place in engine->peers. */
struct peer {
    struct stoq_peer_id id;
    stoq_peer number;
    uint32_t refs; /* connections, fetches that name it, asks, serves */
    enum peer_state state;
    stoq_net_conn conn;                       /* used for our requests; 0: none */
    stoq_net_conn early_conn;                 /* being dialled, takes early data; 0: none */
    uint32_t conn_count;                      /* open connections with it */
    struct stoq_addr addr;                    /* where it was last seen */
    struct stoq_addr addrs[ENGINE_ADDRS_MAX]; /* where it is said to be */
    uint32_t addr_count;
    uint32_t addr_next; /* which is tried next */
    uint32_t attempts;  /* dials under way */
    stoq_ns attempt_at; /* when the next may begin */
    stoq_ns silent_at;  /* when those under way count as silent */
    stoq_ns dial_timeout_ns;
    enum stoq_status dial_status; /* of the attempt that failed last */
    struct peer *dial_next;
    char group[32];
    char agent[64];
    char why[200];    /* the last thing that went wrong, one sentence */
    const char *code; /* error name when it could not be connected; NULL: it could */
    bool forged;  /* that was bytes that are not the chunk: nothing it says later takes its place */
    bool damaged; /* it said that a chunk of its own is damaged */
    bool to_be_met;   /* Hello is to be said once it is connected */
    bool meeting;     /* it is being said */
    bool to_exchange; /* and it is to be asked whom it knows */
    stoq_ns tell_at;  /* from then on it may announce as much at once as at first */
    uint64_t bytes_served;
    uint64_t bytes_fetched;
    uint64_t requests_served;
    uint32_t inbound_count;      /* requests of it being read or answered */
    struct inbound *inbounds;    /* these */
    uint64_t serve_bytes;        /* of replies to it, in memory */
    uint64_t serve_most;         /* of them, as many as that or one reply's part */
    uint64_t memory_bytes;       /* of its connections, when last counted */
    struct stoq_qos_yield yield; /* of background on yield_conn */
    stoq_net_conn yield_conn;
    stoq_ns yielded_at;
    struct ask *waiting; /* asks without a stream yet, in order */
    struct ask **waiting_last;
    bool live; /* the slot is in use */
};

enum ask_phase {
    ASK_WAITING, /* the peer allows no more streams at present */
    ASK_FRAME,   /* the reply's frame is being read */
    ASK_PAYLOAD,
    ASK_OVER, /* no more is read; jobs may still run */
};

/* A run of arrived chunks on its way through a worker. */
struct batch_chunk {
    uint32_t item;   /* in the order asked */
    uint32_t offset; /* in bytes */
    struct stoq_stored info;
    bool missing;
    bool damaged;
    bool is_new;
    enum stoq_status status;
};
struct batch {
    struct stoq_job job;
    struct ask *ask;
    struct stoq_buf bytes;
    uint32_t count;
    unsigned flags;        /* to put with */
    uint64_t stream_bytes; /* to be given back to flow control */
    struct batch_chunk chunk[ENGINE_BATCH_CHUNKS];
    struct stoq_error err;
};

/* One request of ours. */
struct ask {
    struct stoq_engine *engine;
    struct peer *peer;
    struct ask *next; /* among the waiting */
    stoq_node_cookie cookie;
    enum ask_phase phase;
    stoq_net_conn conn;
    stoq_net_stream stream;
    struct stoq_buf request;
    bool wants_chunks;
    bool stopped; /* we gave the stream up: its bytes are settled */
    uint32_t payload_max;
    uint64_t payload_want;
    struct stoq_frame frame;
    struct stoq_buf frame_copy; /* the reply's frame, kept for its message */
    struct stoq_buf payload;
    struct stoq_message reply;
    bool has_reply;
    enum stoq_status status;
    /* ASK_CHUNKS */
    const struct stoq_merkle_chunk *chunks; /* the node's, until ASK_ENDED */
    uint64_t *indexes;                      /* package index of each item */
    uint32_t chunk_count;
    struct stoq_items items;
    struct batch *batch; /* being filled */
    uint32_t jobs;       /* batches with workers */
    bool want_proofs;
    struct share *share; /* what it may take; NULL: no limits */
    stoq_fetch_id fetch;
    uint64_t unreported; /* payload bytes not yet told as PROGRESS */
    stoq_ns told_at;
    struct stoq_request note; /* took_ns: when it began */
    /* One the node knows nothing of: called at its end, with status and reply set; it is freed then. */
    void (*own)(struct ask *a);
    uint64_t own_tag;
};

/* A buffer for one chunk of a reply. */
struct piece_part {
    struct piece *piece;
    uint32_t bytes;
};
struct piece {
    struct piece *next;
    struct inbound *owner;
    uint32_t held_bytes; /* what it counts for in serve_bytes */
    uint32_t parts_out;  /* with the transport, not released yet */
    uint32_t parts_sent; /* of head, proof, data: handed over so far */
    struct piece_part part[3];
    uint8_t head[STOQ_ITEM_HEAD_BYTES];
    struct stoq_buf proof;
    struct stoq_buf data;
    struct stoq_item item;
};

/* A package being served, shared by replies; used by one job at a time through its lock. */
struct held_ref {
    struct stoq_package_id id;
    struct stoq_held *held;
    uint32_t refs;
    uint64_t used_at;
};

enum inbound_phase {
    INBOUND_READING,   /* the request is arriving */
    INBOUND_DECIDING,  /* with the node */
    INBOUND_ANSWERING, /* the reply is being made or sent */
};

/* What waits for bandwidth. */
struct budget {
    struct share *share;   /* NULL: none, or no limits */
    struct budget *next;   /* of its share's, while it waits */
    struct inbound *serve; /* NULL: a debt, in engine_budget.c */
    uint64_t bytes;        /* waited for */
    bool waits;
    bool granted; /* and not used yet */
};

/* One request of a peer. */
struct inbound {
    struct stoq_engine *engine;
    struct budget budget; /* of a reply's next piece */
    struct peer *peer;
    uint64_t number; /* stoq_stream */
    enum inbound_phase phase;
    stoq_net_conn conn;
    stoq_net_stream stream;
    stoq_ns moved_at; /* last time it got further */
    struct stoq_frame frame;
    bool over;    /* the stream is gone: drop what jobs bring */
    bool serving; /* the node waits for SERVED */
    bool head_sent;
    bool ended;   /* everything of the reply is handed to the transport */
    bool reading; /* a job is at work */
    bool in_pump;
    struct inbound *pump_next;
    struct inbound *peer_next; /* among its peer's */
    struct inbound **peer_at;
    bool waits_room;
    struct inbound *room_next;
    uint64_t bytes_out;    /* payload handed over */
    uint64_t bytes_queued; /* of those, not released */
    uint64_t held_bytes;   /* in serve_bytes */
    uint32_t reserved;     /* of those, for the job at work */
    /* the ask, copied from the action */
    uint64_t request_id;
    struct stoq_package_id id;
    bool is_meta;
    bool raw;       /* chunks are sent unpacked */
    bool tells_cap; /* the peer knows what to do with it */
    bool yields;    /* background: counted in the engine's yielding */
    enum stoq_priority priority;
    stoq_ns answer_at; /* when the answer began */
    enum stoq_meta_kind kind;
    struct stoq_range shards;
    struct stoq_range
        *ranges; /* of kinds ALL_CHUNKS and PACKAGE: those held, until the job has looked */
    uint32_t range_count;
    uint32_t chunk_count;
    uint8_t *hashes; /* chunk_count of them are asked for by their hashes; NULL: by index */
    bool want_proofs;
    bool meta_sent;     /* metadata before the chunks */
    uint32_t meta_held; /* bytes of these, counted as pieces are */
    /* the job's */
    struct stoq_job job;
    struct held_ref *held;    /* cached by the engine */
    struct stoq_held *opened; /* opened by the job, to be cached */
    bool checked;
    uint32_t range_at; /* where production stands */
    uint32_t range_done;
    struct stoq_stream_list *chunks; /* of the shard that production stands in; NULL: none */
    struct stoq_merkle_place chunks_place;
    struct piece *pieces; /* made by the job, in order */
    struct piece **pieces_last;
    struct piece *spare;        /* given to the job to fill */
    struct stoq_buf meta;       /* payload of a metadata reply */
    enum stoq_error_code error; /* 0: none */
    struct stoq_error err;
};

/* What held a source back, of a fetch. */
struct source_note {
    stoq_ns held_ns;    /* credit was held back here for so long */
    uint64_t cap_here;  /* by this cap, bytes per second; 0: none */
    uint64_t cap_there; /* what the source says of its own; 0: none */
};

/* A fetch somebody waits for. */
struct stoq_fetch {
    struct stoq_engine *engine;
    struct stoq_fetch *next;
    stoq_fetch_id number;
    const struct stoq_fetch_ask *ask;
    stoq_ns limit;  /* the caller's; STOQ_NEVER: none */
    uint64_t until; /* what the node was last told */
    bool stopping;
    _Atomic bool timed_out;
    uint64_t seed_bytes;     /* of chunks taken from the seed */
    uint64_t seed_bytes_new; /* of those, what the store did not have */
    bool more;               /* sources are looked for, until the later of: */
    stoq_ns lan_until;       /* answers of neighbours; 0: they are not waited for */
    stoq_ns dht_until;       /* the DHT's; likewise */
    struct peer *peers[STOQ_FETCH_SOURCES_MAX];
    struct source_note notes[STOQ_FETCH_SOURCES_MAX];
    size_t peer_count;
    struct stoq_fetch_report *report;
    struct requests *requests; /* NULL: none yet */
    stoq_ns began_ns;
    uint64_t began_at; /* seconds since 1970 */
    char why[sizeof((struct stoq_error *)0)->text];
    const char *code;
    enum stoq_status status;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool done;
    uint64_t ready;     /* the first byte wanted that is not in the store */
    uint64_t waited_at; /* the byte that the caller waits for */
    struct stoq_fetch_progress progress;
};

struct stoq_engine {
    struct stoq_engine_config cfg;
    struct stoq_loop *loop;
    struct stoq_net *net;
    struct stoq_node *node;
    struct stoq_workers *workers;
    struct stoq_timer *timer; /* the node's deadline, sweeps, progress */
    struct stoq_hook hook;
    pthread_t thread;
    bool thread_runs;
    struct stoq_post beat;    /* a sign of life asked for ... */
    atomic_bool beat_pending; /* ... and not given yet */
    bool draining;
    bool serving;                     /* it has listening sockets */
    struct engine_lan *lan;           /* NULL: off */
    struct engine_dht *dht;           /* NULL: off */
    struct engine_exchange *exchange; /* NULL: off */
    struct engine_tell *tell;         /* likewise */
    struct past *past;                /* the latest first */
    struct requests *served;          /* NULL: none yet */
    bool past_open;                   /* what the file had is here */
    bool past_changed;
    bool past_saving; /* a worker writes the file */
    stoq_ns past_save_at;
    struct stoq_peer_id *allow; /* sorted; NULL: everybody */
    bool private;               /* beacons are sealed with this key */
    uint8_t beacon_key[STOQ_BEACON_KEY_BYTES];
    stoq_ns drain_until;
    stoq_ns sweep_at;
    stoq_ns progress_at;
    stoq_ns rtts_at;
    char agent[64];
    struct stoq_error store_refused; /* what the store last said no with; STOQ_OK: it takes data */
    stoq_ns store_refused_at;
    uint64_t store_refusals; /* since it last took any */

    struct peer *peers[ENGINE_PEERS_MAX];
    uint32_t peer_slots;   /* used so far */
    struct peer *dialling; /* in the order they asked */
    struct peer **dialling_last;
    uint32_t dials; /* attempts under way */
    uint32_t dials_most;
    uint32_t dials_all_most;
    uint64_t dials_begun;
    uint64_t early_asks;      /* of the node, sent with first packets */
    struct stoq_map conns;    /* conn -> peer, attempts too */
    struct stoq_map asks;     /* conn, stream -> ask */
    struct stoq_map cookies;  /* cookie -> ask */
    struct stoq_map streams;  /* conn, stream -> inbound */
    struct stoq_map inbounds; /* number -> inbound */
    uint64_t inbound_last;
    struct inbound *pump_first;
    struct inbound **pump_last;
    uint64_t serve_bytes;       /* of replies, in memory */
    struct inbound *room_first; /* replies that wait until there is less of that */
    struct inbound **room_last;
    struct stoq_shelf batches_idle; /* for reuse */
    struct stoq_shelf pieces_idle;
    struct held_ref *held[ENGINE_HELD_MAX];
    uint64_t held_clock;
    struct stoq_fetch *fetches;
    stoq_fetch_id fetch_last;
    struct engine_waits pings;
    struct engine_waits placements;
    struct engine_waits names;
    uint64_t own_last; /* asks of the engine's own */
    struct stoq_buf rpc_proof;
    uint32_t jobs; /* with workers */
    uint64_t bytes_served;
    uint64_t bytes_fetched;
    uint64_t requests_refused; /* besides the node's */
    uint64_t requests_slow;    /* cut: not complete in ENGINE_INBOUND_TIMEOUT */
    uint64_t replies_stalled;  /* cut: not read on for ENGINE_SERVE_TIMEOUT */
    uint64_t streams_broken;   /* cut: more than one frame */
    uint64_t peers_closed;     /* connections closed for what a peer did */
    struct stoq_known *known;
    bool known_changed;
    struct stoq_qos *qos;
    struct share *shares; /* who moves chunks */
    uint64_t share_last;
    size_t yielding; /* replies in the background */
    stoq_ns yield_at;
    uint64_t trust_saved; /* stoq_trust_changes of what the file has */
    bool trust_saving;    /* a worker writes it */
    stoq_ns trust_save_at;
    bool known_saving; /* a worker writes the file */
    stoq_ns known_save_at;
    struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX]; /* where requests are decoded */
};

/* engine.c */
void engine_log(struct stoq_engine *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Feed the node; a status other than OK is logged and given back. */
enum stoq_status engine_feed(struct stoq_engine *e, const struct stoq_node_event *ev);
/* Hand a job to the workers and count it; done must call engine_job_done first. */
enum stoq_status engine_run(struct stoq_engine *e, struct stoq_job *job);
void engine_job_done(struct stoq_engine *e);

/* engine_fetch.c */
struct stoq_fetch *engine_fetch_find(struct stoq_engine *e, stoq_fetch_id number);
void engine_fetch_done(struct stoq_fetch *f, const struct stoq_node_report *report);
/* What a report says of the fetch's i-th source, and when each step was done. out is zeros before. */
void engine_fetch_source(const struct stoq_fetch *f, size_t i,
                         const struct stoq_node_report *report,
                         struct stoq_fetch_report_source *out);
struct stoq_fetch_times engine_fetch_times(const struct stoq_node_report *report);
void engine_progress(struct stoq_engine *e, stoq_ns now);
/* Caps of ours held credit of this source back; it says what its own caps are. */
void engine_fetch_held(struct stoq_engine *e, stoq_fetch_id fetch, const struct peer *p,
                       stoq_ns time, uint64_t cap);
void engine_fetch_capped(struct stoq_engine *e, stoq_fetch_id fetch, const struct peer *p,
                         uint64_t cap);
/* What its caller is told of a fetch that ends with status. */
enum stoq_status engine_fetch_result(const struct stoq_fetch *f, enum stoq_status status,
                                     struct stoq_error *err);
void engine_ready(struct stoq_engine *e); /* tell those who read in order how far they can */

/* engine_sources.c */
/* Those known at once; who else there is is looked for. STOQ_OK; STOQ_FULL: too many are named. */
enum stoq_status engine_sources_begin(struct stoq_fetch *f);
/* To other fetches of the same package. */
void engine_sources_lend(const struct stoq_fetch *from);
void engine_sources_none(struct stoq_fetch *f); /* there was none: say so */
/* Take a source that was found into every fetch that wants such: a provider of the package with this
 * lookup key; a neighbour. */
void engine_fetches_found(struct stoq_engine *e, const struct stoq_hash *key,
                          const struct stoq_fetch_source *source);
void engine_fetches_offer(struct stoq_engine *e, const struct stoq_fetch_source *source);
/* A connected peer has announced this package. */
void engine_fetches_told(struct stoq_engine *e, const struct stoq_package_id *id,
                         const struct stoq_fetch_source *source);
/* The DHT knows nobody else for this key. */
void engine_sources_looked(struct stoq_engine *e, const struct stoq_hash *key);
void engine_sources_run(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_sources_deadline(const struct stoq_engine *e);

/* engine_past.c */
/* Remember how a fetch went; without memory it is forgotten. */
void engine_past_keep(struct stoq_engine *e, struct stoq_fetch *f, enum stoq_status status);
/* Where requests of a fetch are noted; NULL: it is not known any more. */
struct requests **engine_past_requests(struct stoq_engine *e, stoq_fetch_id number);
void engine_past_open(struct stoq_engine *e);
void engine_past_save(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_past_deadline(const struct stoq_engine *e);
/* Nothing runs any more: write what is not written, forget it. */
void engine_past_close(struct stoq_engine *e);

/* engine_request.c */
void engine_request_begin(struct ask *a, const struct stoq_node_ask_chunks *want);
void engine_request_chunk(struct ask *a, uint32_t item, enum stoq_status status);
void engine_request_end(struct ask *a);
void engine_request_served(const struct inbound *in);
/* Requests of a fetch that run; out NULL: only how many. */
size_t engine_requests_running(struct stoq_engine *e, stoq_fetch_id number,
                               struct stoq_request *out, size_t max);
/* Those noted, the oldest first; how many. */
size_t engine_requests_copy(const struct requests *r, struct stoq_request out[]);
size_t engine_requests_count(const struct requests *r); /* NULL is none */
/* One more, in a list that keeps so many; without memory it is forgotten. */
void engine_requests_note(struct requests **list, uint32_t kept, const struct stoq_request *r);

/* engine_lan.c */
enum stoq_status engine_lan_start(struct stoq_engine *e, struct stoq_error *err); /* once */
void engine_lan_leave(struct stoq_engine *e); /* say goodbye, and no more */
void engine_lan_free(struct stoq_engine *e);
/* Neighbours as sources; how many. */
size_t engine_lan_sources(struct stoq_engine *e, struct stoq_fetch_source *out, size_t out_max);
/* Ask who is there. How long answers are to be waited for; 0: somebody is known, or it cannot be asked. */
stoq_ns engine_lan_ask(struct stoq_engine *e);

/* engine_self.c */
/* Where we listen, link-local ones left out; how many. */
size_t engine_own_addresses(const struct stoq_engine *e, struct stoq_addr *out, size_t max);

/* engine_exchange.c */
enum stoq_status engine_exchange_open(struct stoq_engine *e, uint64_t seed);
void engine_exchange_close(struct stoq_engine *e);
/* Do what is to be done; when to come again. */
stoq_ns engine_exchange_run(struct stoq_engine *e, stoq_ns now);
/* Connected, at that address; its Hello (NULL: none came). */
void engine_exchange_up(struct stoq_engine *e, struct peer *p, const struct stoq_addr *addr,
                        bool inbound);
void engine_exchange_met(struct stoq_engine *e, struct peer *p, const struct stoq_msg_hello *hello);
/* Its connection is lost, or (was_up false) it could not be reached. */
void engine_exchange_down(struct stoq_engine *e, struct peer *p, bool was_up);
/* Answer a PeerExchange; only where e->exchange is there. */
void engine_exchange_in(struct inbound *in, const struct stoq_message *msg);
/* Those met lately; how many. */
size_t engine_exchange_sources(struct stoq_engine *e, struct stoq_fetch_source *out,
                               size_t out_max);

/* Our addresses as this peer may see them, of STOQ_CONTACT_ADDRESS_BYTES each. */
struct stoq_span engine_exchange_addresses(struct stoq_engine *e, const struct peer *p);

/* engine_tell.c */
enum stoq_status engine_tell_open(struct stoq_engine *e); /* once the exchange is */
void engine_tell_close(struct stoq_engine *e);
/* It has said Hello (NULL: not). */
void engine_tell_met(struct stoq_engine *e, struct peer *p, const struct stoq_msg_hello *hello);
/* Answer an Announce; only where e->tell is there. */
void engine_tell_in(struct inbound *in, const struct stoq_message *msg);
/* Likewise a Have: its sender joins fetches of that package that run. */
void engine_tell_have_in(struct inbound *in, const struct stoq_message *msg);
/* Peers that have announced this package and can be asked; how many. */
size_t engine_tell_sources(struct stoq_engine *e, const struct stoq_package_id *id,
                           struct stoq_fetch_source *out, size_t out_max);

/* engine_dht.c */
enum stoq_status engine_dht_open(struct stoq_engine *e); /* begins when there is somebody to ask */
bool engine_dht_takes_part(const struct stoq_engine *e); /* others may ask us */
void engine_dht_cut(struct stoq_engine *e);              /* nobody waits any more */
void engine_dht_close(struct stoq_engine *e);
/* Do what is to be done; when to come again. */
stoq_ns engine_dht_run(struct stoq_engine *e, stoq_ns now);
void engine_dht_up(struct stoq_engine *e, struct peer *p);
/* Its connection is lost, or (was_up false) it could not be reached. */
void engine_dht_down(struct stoq_engine *e, struct peer *p, bool was_up);
bool engine_dht_is_request(const struct stoq_message *m);
/* Append the answer's frame; peer: of the connection, NULL: a datagram. False: none is given. */
bool engine_dht_answer(struct stoq_engine *e, const struct stoq_message *request,
                       const struct stoq_peer_id *peer, const struct stoq_addr *from, bool proven,
                       size_t room, struct stoq_buf *out);
/* True: that call was the DHT's. */
bool engine_dht_rpc_ended(struct stoq_engine *e, const struct stoq_net_rpc_end *end);
/* It has begun: there was somebody to ask. */
bool engine_dht_is_there(const struct stoq_engine *e);
/* Providers that are known; how many. */
size_t engine_dht_sources(struct stoq_engine *e, const struct stoq_hash *key,
                          struct stoq_fetch_source *out, size_t out_max);
/* Look for more, for the fetches that run: engine_fetches_found for each, and engine_sources_looked at the
 * end. False: there is nobody to ask, or nobody provides it as far as was just known. */
bool engine_dht_seek(struct stoq_engine *e, const struct stoq_hash *key);

/* engine_standing.c */
/* Tell the node the round trips of now, where that is due. */
void engine_rtts_run(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_rtts_deadline(const struct stoq_engine *e);

/* engine_node.c */
void engine_drain(struct stoq_engine *e);

/* engine_peer.c */
struct peer *engine_peer(struct stoq_engine *e, const struct stoq_peer_id *id); /* NULL: no room */
struct peer *engine_peer_find(struct stoq_engine *e, const struct stoq_peer_id *id); /* or NULL */
struct peer *engine_peer_at(struct stoq_engine *e, stoq_peer number);
void engine_peer_ref(struct peer *p);
void engine_peer_unref(struct stoq_engine *e, struct peer *p);
void engine_peer_dial(struct stoq_engine *e, struct peer *p, stoq_ns timeout_ns);
/* Say Hello to one that is connected, unless that is under way. */
void engine_peer_meet(struct stoq_engine *e, struct peer *p);
/* It cannot be reached any more, or could not. */
void engine_link_down(struct stoq_engine *e, struct peer *p, enum stoq_status status);
/* Keep what a peer's Hello says it is, as printable ASCII. */
void engine_peer_agent(struct peer *p, struct stoq_span agent);
const char *engine_peer_name(const struct peer *p, char out[16]); /* the id's first characters */
/* The last thing that went wrong with it, unless it is known to have sent wrong bytes. */
void engine_peer_why(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void engine_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info);
void engine_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info);
void engine_refused(void *user, const struct stoq_net_closed *info);

/* Has the configuration nothing against this peer? */
bool engine_allows(const struct stoq_engine *e, const struct stoq_peer_id *id);

/* engine_dial.c */
/* It is said to be there too. */
void engine_peer_address(struct peer *p, const struct stoq_addr *addr);
/* From PEER_IDLE; on return it may be so again, with link down told. */
void engine_dial_begin(struct stoq_engine *e, struct peer *p, stoq_ns timeout_ns);
void engine_dial_opened(struct stoq_engine *e, struct peer *p, bool inbound);
/* Takes the attempt's reference to p. */
void engine_dial_failed(struct stoq_engine *e, struct peer *p, enum stoq_status status);
void engine_dials_run(struct stoq_engine *e);
stoq_ns engine_dials_deadline(const struct stoq_engine *e);
size_t engine_dials_waiting(const struct stoq_engine *e);

/* engine_offer.c */
void engine_offer_in(struct inbound *in, const struct stoq_message *msg);
void engine_receipt_in(struct inbound *in, const struct stoq_message *msg);

/* engine_replica.c */
void engine_placements_run(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_placements_deadline(const struct stoq_engine *e);
void engine_placements_up(struct stoq_engine *e, struct peer *p);
void engine_placements_down(struct stoq_engine *e, struct peer *p);
/* Bytes of a package go to a peer. */
void engine_placements_sent(struct stoq_engine *e, const struct peer *p,
                            const struct stoq_package_id *id, uint64_t bytes);
void engine_placements_cut(struct stoq_engine *e); /* all of them end */
/* A receipt whose form is right and whose holder is p. 0: taken in; else the error code to answer with. */
uint64_t engine_placements_receipt(struct stoq_engine *e, const struct peer *p,
                                   const struct stoq_receipt *receipt,
                                   const struct stoq_signed *item);

/* engine_save.c */
/*
 * Have a worker write a file of the engine's anew; *under_way while it does. bytes go over to it. False: no
 * memory, or it ends; the caller tries again later. What fails is logged.
 */
bool engine_save(struct stoq_engine *e, const char *path, struct stoq_buf *bytes, bool *under_way);
/* The same on the spot, once nothing runs any more. */
void engine_save_now(struct stoq_engine *e, const char *path, struct stoq_buf *bytes);

/* engine_budget.c */
enum stoq_status engine_budget_open(struct stoq_engine *e);
void engine_budget_close(struct stoq_engine *e);
/* May these bytes of a reply go now? False: it is pumped again when they may. */
bool engine_budget_send(struct inbound *in, uint64_t bytes);
void engine_budget_end(struct inbound *in); /* it waits for nothing more */
/* What waits for a capped line before a reply of this priority, and how long it takes; 0: nothing, no cap. */
stoq_ns engine_budget_queue(const struct stoq_engine *e, enum stoq_priority priority,
                            uint64_t *bytes);
uint64_t engine_budget_cap(const struct inbound *in); /* the tightest that holds it; 0: none */
/* Tell a fetch what was held back of it until now. */
void engine_budget_note(struct stoq_engine *e, stoq_fetch_id fetch);
void engine_budget_ask(struct ask *a, const struct stoq_node_ask_chunks *want);
/* The tightest cap that holds it, ours or as the peer said; 0: none. */
uint64_t engine_budget_ask_cap(const struct ask *a);
/* The same for metadata, which is not held back but paid for afterwards: a transfer that waits for it would
 * take its source for dead. Of what we send no more than one reply about a package is owed by a peer. */
void engine_budget_ask_meta(struct ask *a, const struct stoq_package_id *id);
void engine_budget_took_meta(struct ask *a, uint64_t bytes);
/* May this reply go now? False: it is pumped again when what is owed is paid. */
bool engine_budget_meta(struct inbound *in, uint64_t bytes);
void engine_budget_stopped(struct ask *a); /* its stream, whose bytes are settled by that */
void engine_budget_ask_end(struct ask *a);
void engine_budget_conn_lost(struct stoq_engine *e, stoq_net_conn conn);
void engine_budget_clock(struct stoq_engine *e, stoq_ns now);
/* Give a request's received bytes back to flow control, now or when the caps allow. */
void engine_budget_received(struct ask *a, uint64_t bytes);
void engine_budget_run(struct stoq_engine *e, stoq_ns now);

/* engine_yield.c */
void engine_yield_begin(struct inbound *in);
void engine_yield_end(struct inbound *in);
void engine_yield_run(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_yield_deadline(const struct stoq_engine *e);

/* engine_trust.c */
void engine_trust_open(struct stoq_engine *e);
void engine_trust_save(struct stoq_engine *e, stoq_ns now);
void engine_trust_close(struct stoq_engine *e);
/* Before a fetch names it: tell the node whom its number means, and say why when it is cut off. */
void engine_trust_check(struct stoq_engine *e, struct peer *p);

/* engine_known.c */
enum stoq_status engine_known_open(struct stoq_engine *e, uint64_t seed, struct stoq_error *err);
/* Nothing runs any more: write what is not written, forget it. */
void engine_known_close(struct stoq_engine *e);
/* This peer is, or was until now, connected. */
void engine_known_seen(struct stoq_engine *e, const struct stoq_peer_id *id, stoq_ns min_rtt_ns);
/* It serves there. */
void engine_known_at(struct stoq_engine *e, const struct stoq_peer_id *id,
                     const struct stoq_addr *addr);
/* Those last connected, where they were; how many. */
size_t engine_known_sources(const struct stoq_engine *e, struct stoq_fetch_source *out, size_t max);
/* 0: not known */
stoq_ns engine_known_rtt(const struct stoq_engine *e, const struct stoq_peer_id *id);
/* Have the file written when that is due. */
void engine_known_save(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_known_deadline(const struct stoq_engine *e);

/* engine_rpc.c */
/* What our Hello says of datagrams, once the transport is there. */
enum stoq_status engine_rpc_offer(struct stoq_engine *e, struct stoq_node_config *cfg,
                                  struct stoq_error *err);
/* A peer said Hello: remember its key when it has signed it. */
void engine_rpc_learn(struct stoq_engine *e, const struct peer *p,
                      const struct stoq_msg_hello *hello);
size_t engine_rpc(void *user, const struct stoq_net_rpc_in *in, uint8_t *out, size_t cap);

/* engine_ping.c */
void engine_pings_up(struct stoq_engine *e, struct peer *p);
/* A dial resumes from a ticket: what may be asked in its first packets is asked. */
void engine_pings_early(struct stoq_engine *e, struct peer *p, stoq_net_conn conn);
void engine_pings_down(struct stoq_engine *e, struct peer *p, enum stoq_status status);
void engine_pings_cut(struct stoq_engine *e);
void engine_rpc_ended(void *user, const struct stoq_net_rpc_end *end);

/* engine_names.c */
void engine_names_up(struct stoq_engine *e, struct peer *p);
void engine_names_down(struct stoq_engine *e, struct peer *p);
/* A neighbour is heard of. */
void engine_names_offer(struct stoq_engine *e, const struct stoq_fetch_source *source);
void engine_names_run(struct stoq_engine *e, stoq_ns now);
stoq_ns engine_names_deadline(const struct stoq_engine *e);
void engine_names_cut(struct stoq_engine *e);

/* engine_ask.c */
#define ENGINE_OWN_PAYLOAD_MAX 4096u /* of a reply to an ask of the engine's own */
/* Ask something of the engine's own; own is called exactly once, possibly at once. early: on this
 * connection, whose handshake is not done; 0: as any ask. Its cookie; 0: out of memory, own is not called. */
stoq_node_cookie engine_ask_own(struct stoq_engine *e, struct peer *p, struct stoq_message *msg,
                                stoq_net_conn early, void (*own)(struct ask *a), uint64_t tag);
void engine_ask(struct stoq_engine *e, const struct stoq_node_ask *want);
void engine_ask_chunks(struct stoq_engine *e, const struct stoq_node_ask_chunks *want);
void engine_ask_cancel(struct stoq_engine *e, stoq_node_cookie cookie);
void engine_ask_data(struct ask *a, struct stoq_span bytes, bool fin);
/* The stream or its connection is over without a proper end. */
void engine_ask_lost(struct ask *a, enum stoq_status status);
void engine_ask_retry(struct peer *p); /* send what waits, as far as the peer allows */
void engine_may_open(void *user, stoq_net_conn conn);
struct ask *engine_ask_of(struct stoq_engine *e, stoq_net_conn conn, stoq_net_stream stream);
void engine_asks_cut(struct stoq_engine *e); /* all of them */
void engine_asks_conn_lost(struct stoq_engine *e, stoq_net_conn conn);
/* The closing event, once it is over and nothing of it is outstanding; it is gone then. */
void engine_ask_finish(struct ask *a);

/* engine_batch.c */
/* Chunks as they arrive; STOQ_OK, STOQ_NOMEM, STOQ_MALFORMED. */
enum stoq_status engine_batch_items(struct ask *a, struct stoq_span bytes);
/* Hand over what is gathered; nothing: fine. */
void engine_batch_submit(struct ask *a);
/* Back to those that are idle. */
void engine_batch_give(struct stoq_engine *e, struct batch *b);
/* Free the batches that were idle all the time since the last call. */
void engine_batch_drop(void *item);

/* engine_decide.c */
void engine_inbound_data(struct inbound *in, struct stoq_span bytes, bool fin);

/* engine_serve.c */
/* Refuse what is left of it, both ways; it may be gone then. */
void engine_inbound_cut(struct inbound *in, uint64_t code);
void engine_send_error(struct inbound *in); /* in->error, and the end */
void engine_stream(void *user, stoq_net_conn conn, stoq_net_stream stream);
void engine_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                 bool fin);
void engine_writable(void *user, stoq_net_conn conn, stoq_net_stream stream);
void engine_stream_ended(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
                         uint64_t code);
void engine_stream_closed(void *user, stoq_net_conn conn, stoq_net_stream stream, uint64_t code);
void engine_send(struct stoq_engine *e, const struct stoq_node_send *s);
void engine_serve(struct stoq_engine *e, const struct stoq_node_serve *s, bool is_meta);
void engine_serves_cut(struct stoq_engine *e); /* all of them */
void engine_serves_conn_lost(struct stoq_engine *e, stoq_net_conn conn);
void engine_pump(struct stoq_engine *e);
void engine_pump_later(struct inbound *in);
void engine_sweep(struct stoq_engine *e, stoq_ns now);

/* engine_piece.c */
struct piece *engine_piece_new(struct inbound *in); /* NULL: no memory */
void engine_piece_free(struct piece *p);
void engine_piece_drop(void *item); /* an idle one's memory */
void engine_pieces_free(struct piece *list);
/* May a job of this reply run? True: its room is taken until engine_room_settle. False: the reply is pumped
 * again when there is some. */
bool engine_room_take(struct inbound *in);
/* The job is over (or did not begin): what it has made counts now. */
void engine_room_settle(struct inbound *in);
void engine_room_leave(struct inbound *in); /* it waits no more */
/* The metadata before its chunks have arrived. */
void engine_room_meta_sent(struct inbound *in);

/* engine_produce.c: runs on workers */
void engine_produce_meta(struct inbound *in);
void engine_produce_chunks(struct inbound *in);
/* engine_whole.c: make ranges of what was asked for by hash or as the rest, and what goes before it. On a
 * worker. STOQ_RANGE, STOQ_FULL: too long; STOQ_NOMEM, STOQ_NOTFOUND, STOQ_IO, STOQ_PROOF. */
#define ENGINE_NO_CHUNK UINT64_MAX /* first of a range: no chunk of this package, a missing item */
#define ENGINE_WHOLE_META_MAX (1u << 20) /* metadata before chunks: a package of some 29,000 */
STOQ_WARN_UNUSED enum stoq_status engine_whole_prepare(struct inbound *in,
                                                       const struct stoq_held *held);
struct held_ref *engine_held(struct stoq_engine *e, const struct stoq_package_id *id);
struct held_ref *engine_held_keep(struct stoq_engine *e, const struct stoq_package_id *id,
                                  struct stoq_held *held); /* takes held; NULL: no memory */
void engine_held_release(struct stoq_engine *e, struct held_ref *ref);
void engine_helds_close(struct stoq_engine *e);

/* engine_store.c */
void engine_load_meta(struct stoq_engine *e, const struct stoq_node_meta *m);
void engine_save_meta(struct stoq_engine *e, const struct stoq_node_meta *m);
void engine_check_have(struct stoq_engine *e, const struct stoq_node_check *c);
void engine_sync(struct stoq_engine *e, stoq_node_cookie cookie);
void engine_save_package(struct stoq_engine *e, const struct stoq_node_package *p);
/* The store refused something, and took something. The log has a line when it begins to refuse and one when
 * it takes data again, however many chunks that were. */
#define ENGINE_STORE_CALM                                                                          \
    STOQ_SEC /* without a refusal: on a disk that is nearly full small ones still fit */
void engine_store_refused(struct stoq_engine *e, const struct stoq_error *err);
void engine_store_took(struct stoq_engine *e);
size_t engine_signatures(struct stoq_store *store, const struct stoq_hash *package,
                         struct stoq_buf *out); /* how many; framed as in the message */

#endif
