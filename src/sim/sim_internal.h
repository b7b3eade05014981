#ifndef STOQ_SIM_SIM_INTERNAL_H
#define STOQ_SIM_SIM_INTERNAL_H
/*
 * The simulator's insides, one file per concern:
 *
 *   sim.c      the world: making it, the loop over events, draws, the trace
 *   package.c  the package that is fetched: its lists, and its bytes on demand
 *   life.c     what nodes are; begin, leave, return, die
 *   cost.c     what exchanges cost on the daemon's transport
 *   link.c     connections: dialling, what both ends have to do for it, loss of a connection
 *   uplink.c   replies on their way: uplink, path, downlink, acknowledgements
 *   serve.c    what a node's shell answers from its store
 *   take.c     what a node's shell does with the bytes that come
 *   shell.c    a node's actions, and its store's answers
 *   check.c    the checkers
 *
 * A peer's number is its node's index, for everybody: contacts are interned, four bytes each.
 */
#include "base/map.h"
#include "base/wheel.h"
#include "node/node.h"
#include "sim/pool.h"
#include "sim/sim.h"
#include "wire/items.h"

#define SIM_FETCH 1u            /* every fetcher has one */
#define SIM_PIECE 16384u        /* bytes that travel as one */
#define SIM_PACKET 1400u        /* for the chance that a piece loses one */
#define SIM_WINDOW_FIRST 32768u /* of a connection: bytes not acknowledged */
#define SIM_WINDOW_MAX (32u << 20)
#define SIM_QUEUE_REPLY 262144u /* of a reply: what the daemon counts as waiting for its line */
#define SIM_QUEUE_LOW (10 * STOQ_MS)  /* wait at a downlink under which a window grows ... */
#define SIM_QUEUE_HIGH (30 * STOQ_MS) /* ... and above which it shrinks */
#define SIM_IDLE (30 * STOQ_SEC)      /* silence that ends a connection */
#define SIM_TELL_EVERY (50 * STOQ_MS) /* PROGRESS, as the daemon does */
#define SIM_LOAD (STOQ_MS / 10)       /* a store's answers, by their kind */
#define SIM_STORE (STOQ_MS / 5)
#define SIM_SYNC (5 * STOQ_MS)
#define SIM_SETTLE (5 * STOQ_SEC)  /* after the last fetch is over, until nothing may be left */
#define SIM_RESTART (5 * STOQ_SEC) /* after a fetch failed, until it is tried again */

enum sim_event_kind {
    EV_REQUEST,  /* what: letter; it arrives */
    EV_ASKED,    /* what: letter; it is read */
    EV_UP,       /* what: piece; the uplink has sent it */
    EV_ARRIVE,   /* what: piece; at the downlink */
    EV_DELIVER,  /* what: piece */
    EV_ACK,      /* what: piece; back at the sender */
    EV_DEADLINE, /* the node's own */
    EV_STORE,    /* what: store job */
    EV_CLOSE,    /* what: ask; its closing event is due */
    EV_STOP,     /* what: letter; the asker does not want the rest */
    EV_SERVED,   /* what: letter; a reply's stream is over */
    EV_DIALLED,  /* from: who dials */
    EV_LINKED,   /* what: connection; back at who dialled */
    EV_FAILED,   /* a dial's failure is known */
    EV_DOWN,     /* what: connection; its other end is gone */
    EV_BEGIN,    /* what: life; fetch, or fetch again */
    EV_LEAVE,    /* what: life; the session is over */
    EV_RETURN,
    EV_DIE,
    EV_CURVE,
};

/* What is fetched, the same for everybody. */
struct sim_package {
    struct stoq_package_id id;
    struct stoq_buf manifest;
    struct stoq_buf shard_list;
    struct stoq_buf *lists; /* per shard */
    uint64_t *first_chunk;  /* of each shard, and the end */
    uint32_t shards;
    uint32_t chunks;
    uint64_t bytes;
    uint64_t seed;
    struct stoq_map by_hash; /* of chunks, shard roots -> 1 + number */
};

/* A request, or the name of one: a message on its way. */
struct sim_letter {
    stoq_node_cookie cookie; /* the asker's */
    stoq_stream stream;      /* EV_SERVED */
    uint64_t bytes;          /* likewise */
    struct stoq_message msg; /* wide */
    struct stoq_range *ranges;
    struct stoq_buf coded; /* deep */
};

/* A request that is under way, at the asker. */
struct sim_ask {
    stoq_node_cookie cookie;
    uint32_t handle;
    uint32_t peer;
    bool wants_chunks;
    bool is_over;   /* its closing event is on its way */
    bool is_orphan; /* and its node is gone */
    enum stoq_status status;
    uint32_t payload_max;
    const struct stoq_merkle_chunk *chunks; /* the node's, until ASK_ENDED */
    uint64_t *indexes;
    uint32_t chunk_count;
    uint64_t unreported;
    stoq_ns told_at;
    struct stoq_items items; /* deep */
    struct stoq_buf data;
};

enum sim_item_what {
    ITEM_TRUE,
    ITEM_FALSE, /* a liar's */
    ITEM_MISSING,
};

/* A reply on its way. */
struct sim_flow {
    uint32_t from;
    uint32_t to;
    uint32_t number;         /* of the connection */
    stoq_node_cookie cookie; /* the asker's */
    stoq_stream stream;
    bool is_serve;  /* its end is told to the node */
    bool is_urgent; /* goes before chunks */
    bool is_over;   /* nothing more is sent or taken */
    uint32_t refs;  /* pieces on their way, and the sender while it is not over */
    uint64_t total;
    uint64_t sent;
    uint64_t taken;
    uint32_t next; /* of its link's queue */
    /* Wide: the frame is head_bytes long, then comes the payload. */
    uint64_t head_bytes;
    struct stoq_message msg;
    struct stoq_buf payload; /* of metadata */
    uint32_t item_count;
    uint32_t item; /* being taken */
    uint64_t item_end;
    uint32_t item_up;      /* the one behind that which is being sent ... */
    uint64_t item_up_from; /* ... from here ... */
    uint64_t item_up_end;  /* ... to here; 0: there are none */
    uint8_t *item_what;
    uint32_t *item_bytes;
    struct stoq_buf coded; /* deep: all of it */
};

struct sim_piece {
    uint32_t flow;
    uint32_t bytes;
    stoq_ns waited; /* at the downlink */
};

/* One end of a connection. */
struct sim_link {
    uint32_t owner;
    uint32_t peer;
    uint32_t number; /* of the connection; both ends have it */
    bool is_inbound; /* the other end dialled */
    bool is_told;    /* LINK_UP was fed */
    bool is_active;  /* in the uplink's turn */
    bool is_slow_start;
    uint64_t window;
    uint64_t flying;
    stoq_ns shrunk_at;
    stoq_ns arrives_at; /* the last thing that went there: order is kept */
    uint32_t first_flow;
    uint32_t last_flow;
    struct sim_link *next_active;
};

struct sim_store_job {
    uint32_t life;
    enum stoq_node_event_kind kind;
    stoq_node_cookie cookie;
    enum stoq_status status;
    struct stoq_span bytes; /* the package's */
    uint8_t *bits;
};

struct sim_node {
    struct stoq_node *node;
    uint64_t draws; /* its own counter */
    enum sim_kind kind;
    bool is_seed;
    bool is_here; /* its session lasts */
    bool is_done;
    bool is_failed;
    bool has_begun;
    bool is_fed;   /* since it was drained */
    uint32_t life; /* which of its sessions; events of former ones are void */
    uint32_t region;
    struct sim_line line;
    struct stoq_map links; /* peer -> sim_link */
    struct stoq_map asks;  /* cookie -> sim_ask */
    struct stoq_map flows; /* asker, cookie -> 1 + flow */
    uint32_t *sources;
    uint32_t source_count;
    /* The store. */
    uint8_t *chunks; /* bits */
    uint8_t *lists;  /* bits, per shard */
    uint32_t chunk_count;
    bool has_manifest;
    bool has_shard_list;
    bool has_record;
    uint32_t unsynced;
    /* The line. */
    bool is_sending;
    struct sim_link *active_first;
    struct sim_link *active_last;
    stoq_ns up_free_at;
    stoq_ns down_free_at;
    stoq_ns cpu_free_at;
    /* What the node waits for. */
    stoq_ns wake_at;
    stoq_ns began_at;
    stoq_ns session_ends;
    /* For checks and figures. */
    stoq_node_cookie cookie_last;
    uint64_t bytes_out;
    uint64_t bytes_in;
    uint64_t bytes_lost; /* sent there, and nobody there to take them */
    uint64_t cap_bytes;  /* sent in this stretch of 10 s */
    stoq_ns cap_at;
    uint32_t serves;
    uint32_t served_early;
    stoq_ns ended_in;
    uint16_t *bad_by; /* of each peer; NULL: none */
};

struct sim_world {
    struct sim_config cfg;
    struct stoq_wheel *wheel;
    stoq_ns now;
    uint64_t seq;
    uint64_t trace;
    uint64_t draws; /* all */
    uint32_t connections;
    struct sim_package package;
    uint32_t node_count;
    struct sim_node *nodes;
    struct sim_pool letters;
    struct sim_pool asks;
    struct sim_pool flows;
    struct sim_pool pieces;
    struct sim_pool jobs;
    uint32_t left; /* fetchers that are not done */
    uint64_t bytes_flying;
    struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
    struct sim_result *result;
};

/* sim.c */
void sim_put(struct sim_world *w, stoq_ns at, uint32_t to, uint32_t from, enum sim_event_kind kind,
             uint32_t what);
/* A node's next random number. */
uint64_t sim_draw(struct sim_world *w, uint32_t node);
void sim_note(struct sim_world *w, uint64_t a, uint64_t b);
static inline uint64_t sim_mix(uint64_t v)
{
    v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
    return v ^ (v >> 31);
}

/* An event that will not happen gives back what it holds. */
void sim_event_drop(struct sim_world *w, const struct stoq_wheel_event *ev);

/* package.c */
void sim_package_make(struct sim_package *p, const struct sim_config *cfg);
void sim_package_release(struct sim_package *p);
struct stoq_merkle_chunk sim_package_chunk(const struct sim_package *p, uint64_t index);
/* Its number among chunks or shards; UINT32_MAX: none. */
uint32_t sim_package_find(const struct sim_package *p, const struct stoq_hash *hash);
/* A chunk's bytes; out has room. */
void sim_package_bytes(const struct sim_package *p, uint64_t index, uint8_t *out);

/* life.c */
void sim_life_make(struct sim_world *w);
void sim_life_release(struct sim_world *w);
void sim_life_begin(struct sim_world *w, uint32_t node);
void sim_life_leave(struct sim_world *w, uint32_t node);
void sim_life_return(struct sim_world *w, uint32_t node);
void sim_life_die(struct sim_world *w, uint32_t node);
bool sim_life_is_bad(const struct sim_world *w, uint32_t node);

/* link.c */
/* The node's processor is busy for so long with this, after what it has to do already; when it is done. */
stoq_ns sim_work(struct sim_world *w, uint32_t node, stoq_ns ns);
struct sim_link *sim_link(const struct sim_world *w, uint32_t node, uint32_t peer);
stoq_ns sim_path_rtt(const struct sim_world *w, uint32_t a, uint32_t b);
/* When something sent now over the link arrives; in order, not through a partition. */
stoq_ns sim_path_arrival(struct sim_world *w, struct sim_link *l);
void sim_dial(struct sim_world *w, uint32_t node, const struct stoq_node_dial *dial);
void sim_dialled(struct sim_world *w, uint32_t node, uint32_t from);
void sim_linked(struct sim_world *w, uint32_t node, uint32_t peer, uint32_t number);
/* This end of the connection is over, if it is that connection. */
void sim_link_down(struct sim_world *w, uint32_t node, uint32_t peer, uint32_t number);
/* As one end closes it: the other learns it after half a round trip. */
void sim_link_close(struct sim_world *w, uint32_t node, uint32_t peer);
/* Its owner is gone: the other ends learn it so much later. */
void sim_links_lose(struct sim_world *w, uint32_t node, stoq_ns later);

/* uplink.c */
/* Bytes of datagrams that wait for nothing go over the node's line beside its replies. A cap counts no such
 * bytes, as the daemon's does not. */
void sim_line_up(struct sim_world *w, uint32_t node, uint64_t bytes);
void sim_line_down(struct sim_world *w, uint32_t node, uint64_t bytes);
/* A reply begins; takes what f holds. Returns false, and frees it, when there is no connection. */
bool sim_flow_send(struct sim_world *w, uint32_t flow);
/* What a capped uplink has to send first of all its connections, and how long that takes; 0: no cap. */
void sim_uplink_queue(const struct sim_world *w, uint32_t node, uint64_t *bytes, stoq_ns *ns);
/* Nothing more of it is sent or taken; its node is told. */
void sim_flow_end(struct sim_world *w, uint32_t flow);
struct sim_flow *sim_flow(const struct sim_world *w, uint32_t flow);
void sim_flow_free(struct sim_world *w, uint32_t flow);
void sim_link_drop_flows(struct sim_world *w, struct sim_link *l);
void sim_piece_free(struct sim_world *w, uint32_t piece);
void sim_piece_up(struct sim_world *w, uint32_t node, uint32_t piece);
void sim_piece_arrive(struct sim_world *w, uint32_t node, uint32_t piece);
void sim_piece_deliver(struct sim_world *w, uint32_t node, uint32_t piece);
void sim_piece_ack(struct sim_world *w, uint32_t node, uint32_t piece);

/* serve.c */
void sim_letter_free(struct sim_world *w, uint32_t letter);
void sim_serve_arrived(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter);
void sim_serve_request(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter);
void sim_serve_send(struct sim_world *w, uint32_t node, const struct stoq_node_send *s);
void sim_serve_meta(struct sim_world *w, uint32_t node, const struct stoq_node_serve *s);
void sim_serve_chunks(struct sim_world *w, uint32_t node, const struct stoq_node_serve *s);
void sim_serve_stop(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter);
/* The stream of a reply is over. */
void sim_served(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter);

/* take.c */
void sim_ask_send(struct sim_world *w, uint32_t node, const struct stoq_node_ask *ask);
void sim_ask_chunks(struct sim_world *w, uint32_t node, const struct stoq_node_ask_chunks *want);
void sim_ask_cancel(struct sim_world *w, uint32_t node, const struct stoq_node_cancel *c);
/* Its closing event comes soon. */
void sim_ask_over(struct sim_world *w, uint32_t node, struct sim_ask *a, enum stoq_status status,
                  stoq_ns at);
void sim_ask_close(struct sim_world *w, uint32_t node, uint32_t ask);
void sim_ask_drop(struct sim_world *w, uint32_t ask);
void sim_ask_free(struct sim_world *w, uint32_t node, struct sim_ask *a);
/* The next n bytes of the flow are here. */
void sim_take(struct sim_world *w, uint32_t node, struct sim_flow *f, uint64_t n);

/* shell.c */
void sim_feed(struct sim_world *w, uint32_t node, const struct stoq_node_event *ev);
/* Carry out what the node wants, until it wants nothing now. */
void sim_drain(struct sim_world *w, uint32_t node);
void sim_store_job_free(struct sim_world *w, uint32_t job);
void sim_store_answer(struct sim_world *w, uint32_t node, uint32_t job);
static inline bool sim_bit(const uint8_t *bits, uint64_t i)
{
    return (bits[i / 8] >> (i & 7) & 1) != 0;
}
static inline void sim_bit_set(uint8_t *bits, uint64_t i)
{
    bits[i / 8] |= (uint8_t)(1u << (i & 7));
}

/* check.c */
void sim_fault(struct sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A chunk is in a store now; was it looked at, and is it what it should be? */
void sim_check_stored(struct sim_world *w, uint32_t node, uint64_t chunk, bool is_true);
void sim_check_cookie(struct sim_world *w, uint32_t node, stoq_node_cookie cookie);
void sim_check_sent(struct sim_world *w, uint32_t node, uint64_t bytes);
void sim_check_bad(struct sim_world *w, uint32_t node, uint32_t peer);
void sim_check_record(struct sim_world *w, uint32_t node);
void sim_check_done(struct sim_world *w, uint32_t node, const struct stoq_node_report *r);
/* Nothing goes on any more: is anything left over? */
void sim_check_end(struct sim_world *w);
stoq_ns sim_fluid(const struct sim_world *w);

#endif
