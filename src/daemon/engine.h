#ifndef STOQ_DAEMON_ENGINE_H
#define STOQ_DAEMON_ENGINE_H
/*
 * The engine: one network thread that drives a node (the decisions) with a real transport, a real
 * store and worker threads for hashing and disk. The daemon keeps one for its life; a command that
 * runs without a daemon starts one, without listening, for as long as it needs it.
 *
 * Functions here may be called from any thread and block until the network thread has answered;
 * never call them from its callbacks.
 */
#include "base/bytes.h"
#include "daemon/known.h"
#include "discover/exchange.h"
#include "net/addr.h"
#include "net/net.h"
#include "node/node.h"
#include "package/manifest.h"
#include "peers/peers.h"
#include "qos/qos.h"
#include "replica/replica.h"
#include "wire/signed.h"

struct stoq_engine;
struct stoq_key;
struct stoq_seed;
struct stoq_store;

/* Sources one fetch may name; more are refused with STOQ_RANGE. */
#define STOQ_FETCH_SOURCES_MAX 64

/* What a peer offers us to keep (docs/PROTOCOL.md section 16). */
struct stoq_offer {
    struct stoq_peer_id peer;
    struct stoq_addr addr; /* it is there, and has it */
    struct stoq_package_id id;
    uint64_t first_shard;
    uint64_t shard_count; /* 0: the whole package */
    uint64_t bytes;       /* it says */
    uint64_t keep_until_s;
    uint8_t nonce[STOQ_RECEIPT_NONCE_BYTES];
};

/* Peers that a private network may list. */
#define STOQ_ALLOW_MAX 1024

/* What peers may use. Zero means the default in brackets. */
struct stoq_engine_limits {
    size_t connections;         /* both directions [4096] */
    size_t connections_prefix;  /* of others, open, from one prefix [half of connections] */
    size_t handshakes;          /* of others, unfinished [512] */
    uint32_t streams;           /* open at once by the peer in one connection [128] */
    uint64_t memory_peer_bytes; /* of one peer's connections [96 MiB] */
    uint64_t memory_bytes;      /* of all connections [1 GiB] */
};

/* Zero means the default in brackets. */
struct stoq_engine_config {
    struct stoq_store *store;       /* kept; writable */
    const struct stoq_key *key;     /* kept */
    const struct stoq_addr *listen; /* none: dialling only */
    size_t listen_count;
    enum stoq_net_mode mode;
    enum stoq_net_cc cc;
    uint16_t packet_bytes_max; /* largest UDP payload tried [32700] */
    unsigned workers;          /* hashing, decompression, disk [2] */
    unsigned net_threads;  /* packets and their cryptography [1]; the first is the engine's own */
    bool client;           /* answer no request but Hello and Ping; listen is not looked at */
    bool raw;              /* chunks travel unpacked, in both directions */
    bool early_data;       /* tickets and early data */
    bool connections_only; /* neither send nor answer sealed datagrams */
    struct stoq_engine_limits limits;
    const struct stoq_peer_id
        *allow; /* the only peers it has to do with; copied. None: everybody */
    size_t allow_count;
    const uint8_t *network_key; /* 32 bytes, borrowed for the call; NULL: no private network */
    uint64_t up_bytes_per_s;    /* of chunks to all peers together; 0: no cap */
    uint64_t down_bytes_per_s;  /* from them */
    uint64_t class_bytes_per_s[STOQ_QOS_DIRS]
                              [STOQ_PRIORITIES]; /* of those of one priority; likewise */
    const struct stoq_qos_window *windows; /* of the day, with other caps; borrowed for the call */
    size_t window_count;
    uint32_t fetches_running_max;   /* more wait their turn [STOQ_NODE_RUNNING_MAX] */
    struct stoq_trust_config trust; /* its allocator is not looked at */
    const char *trust_file;         /* where reputation is kept; kept. NULL: nowhere */
    const char *known_file;         /* where peers are remembered; kept. NULL: nowhere */
    const char *history_file;       /* where transfers are; kept. NULL: nowhere */
    stoq_ns idle_timeout_ns;        /* [30 s] */
    struct stoq_engine_dht_config {
        bool on;
        unsigned work_bits; /* zero bits of node ids; all of a network have the same */
        unsigned holders;   /* of a record; likewise [STOQ_DHT_K] */
        uint32_t signed_s;  /* what records of ours are signed for [STOQ_DHT_SIGNED_S] */
        const char *file;   /* what is remembered; kept. NULL: nothing */
    } dht;
    bool lan;      /* announce ourselves on the LAN and listen for others from the start */
    bool dns_sd;   /* ... and by DNS-SD, so that other programs see us; not in a private network */
    bool exchange; /* ask peers whom they know, and tell them */
    char site[STOQ_PEERS_LABEL_MAX + 1]; /* where we are; "": not known */
    /* For every Offer, for one that is repeated too: 0, it is or was accepted; else the error code to answer
     * with, and a sentence in why. On the network thread; must not block for long. NULL: nobody offers
     * us anything. */
    uint64_t (*offered)(void *user, const struct stoq_offer *offer, struct stoq_error *why);
    void *offered_user;
    /* A line for the operator's log. Called on the network thread; must not block for long. */
    void (*log)(void *user, const char *line);
    void *log_user;
};

/* STOQ_OK; STOQ_IO: an address cannot be bound (err names it); STOQ_NOMEM; STOQ_RANGE. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_start(struct stoq_engine **out,
                                                    const struct stoq_engine_config *cfg,
                                                    struct stoq_error *err);
/* Refuse new work, let replies under way finish for up to drain_ns, cancel running fetches, say
 * goodbye to peers, end the threads. NULL is fine. */
void stoq_engine_stop(struct stoq_engine *engine, stoq_ns drain_ns);

/* Ask the network thread for a sign of life, without waiting. True: it gave the one asked for by the call
 * before this one. One caller at a time. */
bool stoq_engine_beat(struct stoq_engine *engine);

/* The i-th bound address with its real port; false past the last. */
bool stoq_engine_local_addr(const struct stoq_engine *engine, size_t i, struct stoq_addr *out);

struct stoq_fetch_source {
    struct stoq_peer_id peer; /* pinned: another key at this address is refused */
    struct stoq_addr addr;
};

/* How far a fetch is. */
struct stoq_fetch_progress {
    uint64_t bytes_total;      /* of the package stream; 0: not known yet */
    uint64_t bytes_done;       /* verified and handed to the store, or held already */
    uint64_t bytes_from_peers; /* of raw chunk bytes */
    uint32_t sources;          /* connected now */
};

struct stoq_fetch_ask {
    struct stoq_package_id id;
    const struct stoq_fetch_source *sources;
    size_t source_count;
    struct stoq_seed *seed; /* tried before any source; NULL: none */
    /* Only the chunks that hold bytes first .. end - 1 of its stream, and what tells of them; first = end:
     * manifest and shard list alone. A part is not recorded as a package here; the rest can follow. */
    bool is_part;
    uint64_t first;
    uint64_t end;
    /* For a reader (stoq_fetch_wait): bytes come in order, at first up to this one. 0: in any order. */
    uint64_t until;
    enum stoq_priority priority;
    enum stoq_swarm_strategy strategy; /* for a reader: sequential, whatever stands here */
    bool passing; /* nobody here reads it next: what is durable need not stay in memory */
    bool dht;     /* and whom the DHT names; without another source it is waited for */
    bool lan; /* neighbours are sources too, those heard of meanwhile included. Without any other
               * source it waits up to 1.5 s for the first */
    bool exchange;      /* and some of those that peers have told of, or that are remembered */
    stoq_ns timeout_ns; /* for the whole fetch; 0: none, steps have their own */
    /* Called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_fetch_progress *p);
    /* Return true to stop: what is verified stays in the store. Asked about ten times a second. */
    bool (*cancelled)(void *user);
    void *user;
};

struct stoq_fetch_report_source {
    struct stoq_peer_id peer;
    struct stoq_addr addr;
    bool connected;
    char group[32];        /* key exchange agreed on; "" when never connected */
    uint64_t bytes;        /* raw chunk bytes taken from it, verified */
    uint64_t bytes_stored; /* the same as they travelled */
    uint64_t chunks;
    stoq_ns ready_ns;               /* from the beginning until it was connected; 0: it never was */
    stoq_ns held_ns;                /* caps here held it back for so long ... */
    uint64_t cap_here_bytes_per_s;  /* ... to this rate; 0: none did */
    uint64_t cap_there_bytes_per_s; /* what it says of its own caps; 0: none */
    enum stoq_status status;        /* STOQ_OK, or why it was given up */
    char why[200];                  /* one sentence; "" when all went well */
};

/* From the beginning until each step was done; 0: it was not. */
struct stoq_fetch_times {
    stoq_ns source_ns; /* the first source was connected */
    stoq_ns manifest_ns;
    stoq_ns shard_list_ns;
    stoq_ns chunks_ns; /* all chunks were verified and with the store */
};

struct stoq_fetch_report {
    uint64_t bytes; /* of the package stream */
    uint64_t chunks;
    uint64_t shards;
    uint64_t bytes_had;        /* of chunks that were in the store before */
    uint64_t bytes_shared;     /* of chunks equal to one that came, or that another fetch brought */
    uint64_t bytes_from_seed;  /* raw bytes of chunks that the seed had */
    uint64_t bytes_from_peers; /* raw bytes of chunks taken from peers */
    uint64_t bytes_wire;       /* the same as they travelled, metadata included */
    uint64_t bytes_new;        /* raw bytes added to the store */
    uint64_t shards_known;     /* shards whose chunk list was here */
    stoq_ns elapsed_ns;        /* until everything was durable */
    struct stoq_fetch_times times;
    bool complete_before; /* nothing had to be fetched */
    size_t source_count;
    struct stoq_fetch_report_source sources[STOQ_FETCH_SOURCES_MAX];
};

/*
 * Bring a package into the store, whole, verified and durable, or a part of it: verified, and durable
 * after the next sync. Fetches of the same content at the same time bring each chunk once, and one of a
 * package that is being fetched lends its sources to that one.
 *
 * report  filled as far as known on failure too; the caller's, large
 *
 * STOQ_OK         durable: a crash after this loses nothing of it
 * STOQ_NOTFOUND   no source has it (ContentNotFound)
 * STOQ_PROOF      what the sources sent is not the package, and none is left (IntegrityCheckFailed)
 * STOQ_NET, STOQ_TIMEOUT  no source could be reached, or all went silent; NoSource: nobody to ask
 * STOQ_FULL       no room for it; what is verified stays
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, STOQ_RANGE (no or too many sources)
 */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_fetch(struct stoq_engine *engine,
                                                    const struct stoq_fetch_ask *ask,
                                                    struct stoq_fetch_report *report,
                                                    struct stoq_error *err);

/* A fetch under way, for a caller that reads the package while it comes. One thread uses it. */
struct stoq_fetch;

/*
 * Begin what stoq_engine_fetch does. ask, with its sources and seed, and report are kept until
 * stoq_fetch_end, which must follow. STOQ_OK, STOQ_NOMEM, STOQ_RANGE.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_fetch_begin(struct stoq_engine *engine,
                                                   const struct stoq_fetch_ask *ask,
                                                   struct stoq_fetch_report *report,
                                                   struct stoq_fetch **out, struct stoq_error *err);
/*
 * Wait until byte `at` of the stream, which the fetch must want, can be read from the store. The reader
 * is there: the fetch may go on to `until` (what was said before holds when it is more).
 * STOQ_OK: it can, or all that is wanted came; else what ended the fetch.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_fetch_wait(struct stoq_fetch *f, uint64_t at, uint64_t until,
                                                  struct stoq_error *err);
/* Of what it wants, the first byte that is not known to be here. */
uint64_t stoq_fetch_ready(struct stoq_fetch *f);
/* Let it go on as far as that, without waiting. */
void stoq_fetch_want(struct stoq_fetch *f, uint64_t until);
/* Wait for its end, or with stop make it end; free it. What stoq_engine_fetch returns. NULL is STOQ_OK. */
enum stoq_status stoq_fetch_end(struct stoq_fetch *f, bool stop, struct stoq_error *err);

struct stoq_ping_ask {
    struct stoq_fetch_source to;
    bool datagram;      /* not over a connection, unless its key is not known yet */
    stoq_ns timeout_ns; /* for all of it; 0: 5 s */
    bool (*cancelled)(void *user);
    void *user;
};

struct stoq_ping_report {
    struct stoq_addr
        addr;       /* where it answered: a connection there was may be to another than was named */
    stoq_ns rtt_ns; /* of the Ping alone, until this thread had the answer */
    bool connected_before; /* there was a connection */
    stoq_ns connect_ns;    /* the handshake; 0: none was needed */
    bool key_learned;      /* a datagram needed a Hello first */
    bool early;            /* asked and answered in the connection's first packets */
    char group[32];        /* "" without a connection */
};

/* Ask a peer whether it is there. STOQ_OK; STOQ_NET, STOQ_TIMEOUT, STOQ_PROOF: not reached, and why;
 * STOQ_NOTFOUND: it takes no datagrams; STOQ_CANCELLED, STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_ping(struct stoq_engine *engine,
                                                   const struct stoq_ping_ask *ask,
                                                   struct stoq_ping_report *report,
                                                   struct stoq_error *err);

struct stoq_ping_result {
    enum stoq_status status; /* what stoq_engine_ping returns */
    struct stoq_ping_report report;
    struct stoq_error err; /* unless STOQ_OK */
};

/* Ask count peers side by side: all of them take no longer than the one with the most time. out: count of
 * them. STOQ_OK; STOQ_NOMEM: nobody was asked. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_ping_all(struct stoq_engine *engine,
                                                       const struct stoq_ping_ask *asks,
                                                       size_t count, struct stoq_ping_result *out);

/* Dial these and say Hello, each once; returns at once. How it went is in the log, and what was learned
 * of them is remembered. */
void stoq_engine_contact(struct stoq_engine *engine, const struct stoq_fetch_source *peers,
                         size_t count);

/* Send a peer the receipt for what it offered, on a connection there is; without waiting for its
 * answer. STOQ_OK; STOQ_NET: none, it is asked for again; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_receipt(struct stoq_engine *engine,
                                                      const struct stoq_peer_id *peer,
                                                      const struct stoq_signed *receipt);

/* A peer that may keep a package. */
struct stoq_placement_candidate {
    struct stoq_peer_id peer;
    struct stoq_addr addr;
    char domain
        [STOQ_PEERS_DOMAIN_MAX]; /* what fails together has one; "": not known, it is not asked */
};

/* How it stands with one candidate. */
struct stoq_placement_replica {
    struct stoq_replica_view view;
    uint64_t verified_at_s; /* of its latest receipt; 0: none */
    uint64_t keep_until_s;
    char why[200]; /* what it said, or what went wrong; "" */
};

/* A placement that runs. */
struct stoq_placement {
    struct stoq_package_id id;
    uint32_t wanted;
    uint64_t shards;
    uint64_t bytes; /* of the package */
    stoq_ns elapsed_ns;
    size_t count;
    const struct stoq_placement_candidate
        *candidates; /* borrowed for the call, as are the replicas */
    const struct stoq_placement_replica *replicas;
};

struct stoq_placement_ask {
    struct stoq_package_id id; /* complete here */
    uint32_t wanted;
    uint64_t shards;
    uint64_t bytes;
    const uint64_t *slice_bytes; /* stoq_replica_slices(shards) of them: each slice's */
    const struct stoq_placement_candidate *candidates; /* in order of preference, each once */
    size_t candidate_count;
    uint64_t keep_until_s; /* what they are asked to promise; 0: nothing */
    /* On the caller's thread: a receipt that holds, an item of wire/signed.h, borrowed; once each. */
    void (*receipt)(void *user, size_t candidate, struct stoq_span item);
    void (*progress)(void *user,
                     const struct stoq_placement *p); /* ten times a second; NULL: none */
    bool (*cancelled)(void *user);
    void *user;
};

/*
 * Have as many peers keep the package as are wanted, each of another failure domain, and wait for their
 * receipts: offer, let them pull, check what they sign. The rules are replica/replica.c's.
 *
 * replicas  candidate_count of them: how it stands with each at the end
 *
 * STOQ_OK         as many as wanted are verified
 * STOQ_NOTFOUND   fewer; replicas says why. No candidate is left
 * STOQ_CANCELLED, STOQ_BUSY (the engine ends), STOQ_NOMEM, STOQ_RANGE
 */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_distribute(struct stoq_engine *engine,
                                                         const struct stoq_placement_ask *ask,
                                                         struct stoq_placement_replica *replicas,
                                                         struct stoq_error *err);
/* Call fn for each placement of a package that runs, from a snapshot, on the caller's thread. STOQ_OK,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_placements(
    struct stoq_engine *engine, const struct stoq_package_id *id,
    void (*fn)(void *user, const struct stoq_placement *p), void *user);

/* One request for chunks, of ours or of a peer's. */
#define STOQ_REQUEST_RUNS_KEPT 4
struct stoq_request {
    struct stoq_package_id id;
    struct stoq_peer_id source;
    struct stoq_peer_id destination;
    enum stoq_priority priority;
    struct stoq_range runs[STOQ_REQUEST_RUNS_KEPT]; /* the first of those asked for */
    uint32_t run_count;
    uint32_t chunks;      /* asked for, in all runs */
    uint32_t chunks_done; /* of ours: came and verified; of a peer's: not known */
    uint64_t bytes;       /* of ours: of those chunks; of a peer's: sent, as they travel */
    uint64_t began_at;    /* seconds since 1970 */
    stoq_ns took_ns;      /* until now while it runs */
    char result[24];      /* "running", "done", "missing", "cancelled", or an error code */
};

/* A fetch that runs, or one of the last STOQ_TRANSFERS_KEPT that are over, some before a restart. */
#define STOQ_TRANSFERS_KEPT 64
#define STOQ_TRANSFER_REQUESTS_KEPT 64 /* of each, the last; those that run beside them */
#define STOQ_SERVED_KEPT 256           /* requests of peers, the last that were answered */
#define STOQ_TRANSFER_WHY_MAX 512
struct stoq_transfer {
    uint32_t number;
    struct stoq_package_id id;
    bool is_part;
    uint64_t first; /* of a part: bytes first .. end - 1 of the stream */
    uint64_t end;
    enum stoq_priority priority;
    enum stoq_swarm_strategy strategy;
    bool waits; /* others run, and its turn has not come */
    bool over;
    bool did_not_end;  /* the process did, before it; what is said of it is up to 5 s older */
    uint64_t began_at; /* seconds since 1970 */
    stoq_ns elapsed_ns;
    struct stoq_fetch_progress progress; /* while it runs */
    uint64_t request_total;              /* made so far, those that run left out */
    size_t request_count;
    const struct stoq_request *requests; /* the oldest first; borrowed for the call */
    /* When it is over. */
    enum stoq_status status;
    char code[32];                   /* "" when all went well */
    char why[STOQ_TRANSFER_WHY_MAX]; /* likewise */
    uint64_t bytes;
    uint64_t bytes_had;
    uint64_t bytes_from_seed;
    uint64_t bytes_from_peers;
    uint64_t bytes_wire;
    struct stoq_fetch_times times;
    size_t source_count;
    const struct stoq_fetch_report_source *sources; /* borrowed for the call */
};
/* Running ones first, then the latest first, on the caller's thread, from a snapshot. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_transfers(
    struct stoq_engine *engine, void (*fn)(void *user, const struct stoq_transfer *t), void *user);
/* Requests that peers made and that were answered, the oldest first; likewise. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_served(
    struct stoq_engine *engine, void (*fn)(void *user, const struct stoq_request *r), void *user);

/* One call per connection, in no particular order, on the caller's thread, from a snapshot. */
struct stoq_engine_peer {
    struct stoq_net_info net;
    char agent[64];         /* what the peer says it is; untrusted text, printable ASCII */
    bool said_hello;        /* what follows is known */
    bool raw;               /* chunks travel unpacked between us */
    uint64_t bytes_served;  /* payload we sent it */
    uint64_t bytes_fetched; /* payload it sent us */
    uint64_t requests_served;
};
STOQ_WARN_UNUSED enum stoq_status stoq_engine_peers(struct stoq_engine *engine,
                                                    void (*fn)(void *user,
                                                               const struct stoq_engine_peer *peer),
                                                    void *user);

/* Somebody on this link (docs/PROTOCOL.md, "LAN beacons"). */
struct stoq_engine_neighbour {
    struct stoq_peer_id peer;
    struct stoq_addr addr;
    stoq_ns known_ns; /* for how long */
    stoq_ns heard_ns; /* since its last beacon */
};
/* Neighbours one list shows. */
#define STOQ_ENGINE_NEIGHBOURS_MAX 512
/* Our announcement by DNS-SD (docs/PROTOCOL.md section 20). */
struct stoq_engine_dnssd {
    bool on;
    char name[64];      /* the instance's, as people see it */
    size_t links;       /* announced on */
    uint64_t queries;   /* that asked for something of ours */
    uint64_t sent;      /* datagrams */
    uint64_t refused;   /* malformed */
    uint64_t throttled; /* not looked at, or not answered */
    uint64_t renamed;   /* others had the name */
};
struct stoq_engine_lan {
    bool on;
    bool serving; /* our beacons say where we serve */
    size_t links;
    size_t neighbours;
    uint64_t sent;
    uint64_t heard;
    uint64_t refused;
    uint64_t throttled;
    struct stoq_engine_dnssd dns_sd;
};
/* Fill out, and the first list_max neighbours. */
void stoq_engine_lan(struct stoq_engine *engine, struct stoq_engine_lan *out,
                     struct stoq_engine_neighbour *list, size_t list_max);
/* What peers have told of each other. */
struct stoq_engine_exchange {
    bool on;
    struct stoq_exchange_stats stats;
};
void stoq_engine_exchange(struct stoq_engine *engine, struct stoq_engine_exchange *out);

/* Packages announced on connections. */
struct stoq_engine_tell {
    bool on;
    uint64_t told;     /* announcements sent */
    uint64_t accepted; /* of these */
    uint64_t taken;    /* of others */
    uint64_t refused;
    uint64_t forged; /* of those refused */
    size_t kept;     /* that hold */
};
void stoq_engine_tell(struct stoq_engine *engine, struct stoq_engine_tell *out);
/* It is here from now on: connected peers are told. Nothing where peers are told nothing. */
void stoq_engine_tell_here(struct stoq_engine *engine, const struct stoq_package_id *id,
                           const struct stoq_manifest *m);
void stoq_engine_tell_gone(struct stoq_engine *engine, const struct stoq_package_id *id);
/* Peers that have announced it; how many. */
size_t stoq_engine_tellers(struct stoq_engine *engine, const struct stoq_package_id *id,
                           struct stoq_fetch_source *out, size_t max);
/* One call per peer known, connected or not, in the order of their becoming known; likewise. addr is
 * where it was last seen or is said to be; NULL: not known. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_standing(
    struct stoq_engine *engine,
    void (*fn)(void *user, const struct stoq_peers_view *peer,
               const struct stoq_node_standing *standing, const struct stoq_addr *addr),
    void *user);
/* One call per peer that is remembered, from earlier times too; likewise. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_remembered(
    struct stoq_engine *engine, void (*fn)(void *user, const struct stoq_known_peer *peer),
    void *user);
/* What a peer's deeds come to; and forget them. */
void stoq_engine_trust(struct stoq_engine *engine, const struct stoq_peer_id *peer,
                       struct stoq_node_standing *out);
void stoq_engine_forgive(struct stoq_engine *engine, const struct stoq_peer_id *peer);
/* Cap what is sent to and taken from peers from now on; 0: no cap, NULL: as it was.
 * STOQ_OK, STOQ_FULL (too many peers have caps), STOQ_RANGE, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_limit(struct stoq_engine *engine,
                                                    const struct stoq_qos_whose *whose,
                                                    const uint64_t *up, const uint64_t *down);
/* As stoq_qos_add_window. */
STOQ_WARN_UNUSED enum stoq_status stoq_engine_window(struct stoq_engine *engine,
                                                     const struct stoq_qos_window *window);
/* One allocation. */
struct stoq_engine_flow {
    struct stoq_qos_view view;
    struct stoq_package_id id;
    stoq_fetch_id fetch; /* of those we take for; 0: of a peer's */
};
struct stoq_engine_budget {
    uint64_t rate[STOQ_QOS_DIRS]; /* of all together, at this time of day; 0: no cap */
    uint64_t class_rate[STOQ_QOS_DIRS][STOQ_PRIORITIES];
    size_t window_count;
    struct stoq_qos_window windows[STOQ_QOS_WINDOWS_MAX];
    bool window_holds[STOQ_QOS_WINDOWS_MAX];
    size_t peer_count;
    struct stoq_engine_peer_cap {
        struct stoq_peer_id peer;
        uint64_t rate[STOQ_QOS_DIRS];
    } peers[STOQ_QOS_PEERS_MAX];
    size_t flow_count; /* who moves bytes now */
    struct stoq_engine_flow flows[STOQ_QOS_FLOWS_MAX];
};
void stoq_engine_budget(struct stoq_engine *engine, struct stoq_engine_budget *out); /* large */
/* Say where a peer stands. */
void stoq_engine_place(struct stoq_engine *engine, const struct stoq_peer_id *peer,
                       const struct stoq_peers_place *place);

/* Figures for `status`. */
struct stoq_engine_stats {
    struct stoq_net_stats net;
    struct stoq_net_stats threads[STOQ_NET_THREADS_MAX]; /* of each network thread */
    size_t thread_count;
    uint64_t bytes_served;
    uint64_t bytes_fetched;
    uint64_t requests_served;
    uint64_t requests_refused;   /* with an Error: malformed, too many under way, not here ... */
    uint64_t requests_malformed; /* of these, what is no request */
    uint64_t requests_slow;      /* cut: not complete in time */
    uint64_t replies_stalled;    /* cut: the peer did not read on */
    uint64_t streams_broken;     /* cut: more than one frame */
    uint64_t peers_closed;       /* connections closed for what the peer did */
    size_t serving;              /* replies under way */
    size_t fetching;             /* fetches under way */
    size_t peers_known;          /* remembered */
    size_t dials;                /* attempts under way */
    size_t dials_most;           /* the most there ever were that began within half a second */
    size_t dials_all_most;       /* the most there ever were */
    uint64_t dials_begun;
    size_t dials_waiting; /* peers whose turn has not come */
    uint64_t early_asks;  /* questions of fetches sent in a connection's first packets */
    struct stoq_engine_limits limits; /* in force */
    struct stoq_engine_limits
        used; /* the most of any connection or peer, where the limit is of one */
};
STOQ_WARN_UNUSED enum stoq_status stoq_engine_stats(struct stoq_engine *engine,
                                                    struct stoq_engine_stats *out);

#endif
