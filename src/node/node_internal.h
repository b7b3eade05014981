#ifndef STOQ_NODE_NODE_INTERNAL_H
#define STOQ_NODE_NODE_INTERNAL_H
/*
 * The node's insides, one file per concern:
 *
 *   node.c          the five verbs: events in, actions out, deadlines
 *   node_out.c      queued actions, what they lend, cookies and pending answers
 *   node_link.c     links to peers: dialling, Hello, loss
 *   node_sources.c  the sources of a fetch: state, failures, the report
 *   node_meta.c     metadata: from the store, else from a source, with failover
 *   node_window.c   the shards at hand: lists, what of them is here, what the swarm is given
 *   node_swarm.c    the swarm: its peers, requests, chunks
 *   node_queue.c    which fetch begins when there is room for one
 *   node_have.c     what partial holders have
 *   node_share.c    equal chunks, of one fetch or of several: asked for once
 *   node_fetch.c    the steps of a fetch
 *   node_serve.c    requests of others
 *   node_spread.c   many who want the same of us: each chunk to one of them first
 *   node_standing.c what is known of peers
 *   node_name.c     words for enums
 */
#include "base/map.h"
#include "base/prng.h"
#include "node/node.h"
#include "package/manifest.h"

#define LISTS_PER_QUERY 32 /* chunk lists asked for at once: some 180 kB */
#define LIST_QUERIES_MAX 4 /* outstanding, of one fetch */
#define FEW_SOURCES                                                                                \
    8 /* more: they may be fetching it too, and each is asked for one list at first */
#define LOADS_MAX 16               /* chunk lists being read from the store, of one fetch */
#define BUSY_MAX 20                /* answers of Busy in a row until a source is given up */
#define BUSY_RETRY (200 * STOQ_MS) /* at most, and half of it at least ... */
#define BUSY_TRIES 4               /* ... so many times in a row, then twice as long, ... */
#define BUSY_DOUBLINGS 3           /* ... up to 1.6 s */
#define LOST_RETRY (50 * STOQ_MS)  /* after a stream that broke off, doubling with each in a row */
#define LOST_DOUBLINGS 6           /* to 3.2 s */
#define LOST_MAX 12                /* in a row, in some 20 s, until a source is given up */
#define LOOK_AGAIN                                                                                 \
    (250 * STOQ_MS) /* at sources that lacked what is wanted: they may be fetching it */
/* A source that lacked the package is asked again when it asks us for it, since then it fetches it too, and,
 * as the two may have asked each other a moment too early, after a while that doubles. */
#define REVIVED_MAX 8
#define LACKED_RETRY (1 * STOQ_SEC)
#define REDIALS_MAX 3 /* of a source whose connection was lost */
/* Until another source is asked the same, if there is one: of what is large, and of what is not, which a
 * source that lives answers at once. With each that is slow it is half as long, down to an eighth. */
#define META_PATIENCE (1 * STOQ_SEC)
#define META_PATIENCE_SMALL (100 * STOQ_MS) /* and four round trips */
#define META_PATIENCE_HALVES 3
#define NOMEM_RETRY (50 * STOQ_MS)
#define RECENT_MAX 1024 /* chunks that came last, for have-checks which crossed them: 32 KiB */

/* Shared bytes that outlive a fetch while an action lends them. */
struct blob {
    uint32_t refs;
    size_t n;
    uint8_t p[];
};

enum pending_kind {
    PENDING_HELLO,
    PENDING_META,   /* ASK of a fetch */
    PENDING_CHUNKS, /* ASK_CHUNKS */
    PENDING_LOAD,
    PENDING_SAVE, /* SAVE_META, SYNC or SAVE_PACKAGE */
    PENDING_HAVE,
};

struct fetch;
struct shard;

/* One action that has a cookie and is not closed. */
struct pending {
    enum pending_kind kind;
    stoq_node_cookie cookie;
    struct pending *next; /* all pending, for deadlines and ends of fetches */
    struct pending *prev;
    struct fetch *fetch; /* NULL once it has ended, and for Hello */
    stoq_peer peer;
    bool cancelled;
    bool timed_out;
    bool finishing; /* PENDING_SAVE: SYNC or SAVE_PACKAGE */
    stoq_ns deadline;
    stoq_ns other_at; /* PENDING_META: when another source is asked the same */
    bool other;       /* it was */
    bool early;       /* PENDING_META: sent with the first packets */
    enum stoq_meta_kind meta;
    struct stoq_range shards; /* of the package */
    uint64_t first_chunk;     /* of those, where a map is asked for */
    uint64_t shard;           /* PENDING_LOAD, PENDING_HAVE of a chunk list: which */
    struct blob *blob;        /* lent */
    stoq_swarm_cookie swarm_cookie;
    struct stoq_merkle_chunk *chunks; /* lent */
    struct stoq_range *ranges;        /* lent until the action is taken */
    uint32_t chunk_count;
    uint64_t arrivals; /* PENDING_HAVE: the node's when the check began */
};

#define SPREAD_MAX 1024           /* chunks sent last that are remembered: 24 KiB, where many ask */
#define SPREAD_FOR (8 * STOQ_SEC) /* that the others ask one another for it */
/* So many requests of one peer were sent to others, over this long and with no such pause, and it has got
 * so many chunks less than three quarters of what each of those has: it has nobody else to ask, and is
 * spared that for so many times as long. */
#define SPREAD_TRIES 3
#define SPREAD_WAIT (1 * STOQ_SEC)
#define SPREAD_PAUSE (5 * STOQ_SEC)
#define SPREAD_BEHIND 12u
#define SPREAD_ALONE 10
#define SPREAD_QUEUE (20 * STOQ_MS)       /* of our line: less, and everybody gets everything */
#define SPREAD_META_QUEUE (100 * STOQ_MS) /* likewise of metadata: they go before chunks */
#define SPREAD_META_WAIT (2 * STOQ_SEC)   /* that one peer is sent to others for them */

/* A chunk, and to whom it went. */
struct spread_chunk {
    uint64_t key; /* of package and index */
    stoq_ns at;
    stoq_peer peer;
};

/* A queued action with what it owns until the next poll. */
struct out {
    struct out *next;
    struct stoq_node_action action;
    struct stoq_message msg;
    char text[STOQ_ERROR_TEXT_MAX];
    struct stoq_range *ranges;
    uint8_t *hashes;
    struct stoq_node_report *report;
};

enum hello_state {
    HELLO_NONE,
    HELLO_ASKED,
    HELLO_KNOWN,
    HELLO_FAILED,
};

struct link {
    stoq_peer peer;
    bool up;
    bool dialling;
    bool early; /* what may be asked twice can be asked while it is dialled */
    bool local; /* on this machine */
    stoq_ns dial_deadline;
    stoq_ns rtt_ns;
    enum hello_state hello;
    struct stoq_msg_hello said;
    uint8_t agent[STOQ_HELLO_AGENT_MAX];
    uint32_t serves;
    uint32_t replies; /* to it, not yet polled */
    uint32_t faults;
    uint32_t held_back;   /* requests for chunks that were sent to others, with no long pause */
    stoq_ns held_back_at; /* the first of them */
    stoq_ns held_back_last;
    stoq_ns alone_until;  /* till then it is taken for one that has nobody else to ask */
    uint32_t counted;     /* n->spread_counts when it was counted */
    stoq_ns sent_away_at; /* since when it is told to ask others for metadata; 0: it is not */
    enum stoq_status hello_status;
};

enum source_state {
    SOURCE_WAITED, /* being dialled */
    SOURCE_USABLE, /* connected */
    SOURCE_FAILED,
};

struct source {
    stoq_peer peer;
    enum source_state state;
    bool in_swarm;
    bool said_missing;  /* it lacks chunks that were asked of it */
    bool said_damaged;  /* it will not have them later either */
    bool no_opening;    /* it does not answer STOQ_META_OPENING */
    uint8_t lists_max;  /* chunk lists in one query to it: more with each answer; 0: none yet */
    uint8_t revived;    /* times that it lacked the package and was asked once more */
    stoq_ns again_at;   /* it lacks the package: asked once more then; 0: not set */
    bool is_partial;    /* its map is asked for */
    bool map_whole;     /* so far in this round of maps it has all that is wanted */
    uint64_t map_shard; /* the next map begins at this shard */
    stoq_ns map_at;     /* when next; STOQ_NEVER: it is on its way */
    stoq_ns map_wait;   /* from the last one to the next */
    enum stoq_status
        last_status;  /* of its last request, if that failed; STOQ_OK since a chunk came */
    uint32_t redials; /* after a connection that had worked was lost */
    uint32_t busy;    /* answers of Busy in a row */
    uint32_t lost;    /* streams that broke off in a row */
    stoq_ns retry_at; /* not before, after either */
    struct stoq_node_source_report report;
};

enum shard_state {
    SHARD_LOADING, /* its list is being read from the store */
    SHARD_WANTED,  /* to be asked for */
    SHARD_ASKED,
    SHARD_LISTED, /* list here, have-check under way */
    SHARD_OPEN,   /* in the swarm */
};

enum place_state {
    PLACE_ASKED,   /* its fetch's swarm is to bring it */
    PLACE_TWIN,    /* another place of the same fetch is asked: it comes with that one */
    PLACE_FOLLOWS, /* another fetch has asked, and this one waits for it */
};

/* A place that a wanted chunk is needed at. Those of equal hash are a chain in node->wants, which
 * begins with one that is asked, and ends for all of them when the chunk is here. */
struct place {
    struct place *next;
    struct shard *shard; /* NULL: out of its chain */
    uint16_t index;      /* in the shard */
    uint8_t state;       /* enum place_state */
};

/* A shard at hand. */
struct shard {
    struct fetch *fetch;
    uint64_t index;
    uint64_t first_chunk;
    uint64_t first_byte;
    struct stoq_merkle_shard entry;
    enum shard_state state;
    struct blob *list;
    uint32_t lo; /* chunks lo .. hi - 1 of it are wanted */
    uint32_t hi;
    uint32_t left; /* of those, not here */
    uint32_t fed;  /* up to here they were looked at for the swarm */
    uint64_t fed_byte;
    uint64_t arrivals; /* the node's when the store was asked what is here */
    uint32_t ready;    /* up to here all are here */
    uint64_t ready_byte;
    struct place *places; /* of what was not here */
    uint32_t place_count;
    uint32_t owed_count;
    uint8_t owed[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8]; /* asked, and the swarm has not been given it */
    uint8_t got[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
};

enum fetch_step {
    STEP_MANIFEST,
    STEP_SHARD_LIST,
    STEP_CHUNKS,
    STEP_SYNC,   /* all chunks are here: make them durable */
    STEP_RECORD, /* write the package record */
};

/* One question to sources: asked of one, then of the next. */
struct question {
    enum stoq_meta_kind kind;
    bool open;  /* an answer is needed */
    bool asked; /* and on its way */
};

struct fetch {
    struct stoq_node *node;
    struct fetch *next;
    stoq_fetch_id id;
    struct stoq_package_id package;
    enum stoq_swarm_strategy strategy;
    enum stoq_priority priority;
    bool more;  /* sources are looked for */
    bool waits; /* its turn has not come: nothing is asked of anybody */
    bool is_part;
    uint64_t first; /* bytes first .. end - 1 of the stream are wanted */
    uint64_t end;
    uint64_t until; /* the reader's window: up to here, moved by WANT */
    enum fetch_step step;
    bool over;
    bool done_owed; /* DONE could not be queued yet */
    struct source sources[STOQ_NODE_SOURCES_MAX];
    uint32_t source_count;
    uint32_t source_turn;
    uint32_t slow_in_a_row; /* sources that were asked for small metadata and have not answered */
    struct question manifest_q;
    struct question list_q;
    struct question signatures_q;
    struct blob *manifest_bytes;
    struct stoq_merkle_root root;
    struct blob *shard_list;
    struct blob *signatures;  /* of the opening, not looked at yet */
    struct blob *chunk_lists; /* of all shards, checked, where the opening brought them */
    uint32_t saves;           /* SAVE_META on their way */
    bool signatures_done;
    struct stoq_swarm *swarm;
    struct shard *shards[STOQ_NODE_WINDOW_SHARDS];
    uint32_t shard_count; /* in the window, in order of index */
    uint64_t next_shard;  /* the first not yet in the window */
    uint64_t next_chunk;  /* its first chunk */
    uint64_t next_byte;   /* its first byte */
    uint64_t end_shard;   /* no shard from here on is wanted */
    uint32_t follows;     /* places that wait for another fetch */
    uint32_t owed;        /* bits in its shards' owed */
    bool swarm_ended;     /* ADD_END was fed */
    bool swarm_done;
    bool stuck;
    stoq_ns stuck_until; /* STOQ_NODE_STUCK_TIMEOUT after the last chunk; 0: not stuck since */
    stoq_ns look_at;     /* when those that lacked chunks are asked again */
    uint32_t loads;
    uint32_t queries;
    struct stoq_node_report report;
};

/* node_standing.c */
struct standing {
    struct stoq_peers *peers;
    struct stoq_trust *trust;
    struct stoq_map known;     /* peer -> whom it means */
    struct stoq_map transfers; /* cookie -> a request for chunks under way */
};

struct stoq_node {
    struct stoq_node_config cfg;
    struct standing standing;
    struct stoq_prng prng;
    stoq_ns now;
    stoq_ns retry_at; /* an action could not be made for lack of memory: try again then */
    stoq_node_cookie last_cookie;
    struct stoq_map pending; /* cookie -> pending */
    struct pending *pending_first;
    struct stoq_map links; /* peer -> link */
    struct fetch *fetches;
    uint32_t fetch_count;
    uint32_t running;      /* of those, not waiting */
    struct stoq_map wants; /* 16 bytes of a chunk's hash -> first of its places */
    struct stoq_hash recent[RECENT_MAX];
    uint64_t arrivals; /* chunks that came; the last is recent[(arrivals - 1) % RECENT_MAX] */
    bool drive_again;  /* a fetch was given something after its turn */
    struct out *out_first;
    struct out **out_last;
    struct out *taken; /* the action given out by the last poll */
    uint32_t replies;  /* SEND and SERVE actions queued */
    uint32_t serves;
    struct spread_chunk *spread; /* SPREAD_MAX of them, a ring; NULL: there never was a queue */
    uint32_t spread_next;
    uint32_t spread_counts; /* how often peers were counted in it */
    uint64_t requests_served;
    uint64_t requests_refused;
    uint64_t requests_malformed;
    uint64_t bytes_served;
    struct stoq_manifest scratch; /* 21 KiB: kept out of the stack */
};

/* node_out.c */
struct blob *node_blob(struct stoq_node *n, struct stoq_span bytes); /* NULL: no memory */
void node_blob_drop(struct stoq_node *n, struct blob *b);            /* NULL is fine */
struct stoq_span node_blob_span(const struct blob *b);
struct out *node_out(struct stoq_node *n, enum stoq_node_action_kind kind); /* NULL: no memory */
void node_out_free(struct stoq_node *n, struct out *o);
bool node_out_pop(struct stoq_node *n, struct stoq_node_action *action);
struct pending *node_pending(struct stoq_node *n, enum pending_kind kind, struct fetch *f);
struct pending *node_pending_find(struct stoq_node *n, stoq_node_cookie cookie);
void node_pending_close(struct stoq_node *n, struct pending *p);
/* Ask the shell to stop it; its closing event still comes. */
void node_pending_cancel(struct stoq_node *n, struct pending *p);

/* node_link.c */
struct link *node_link(struct stoq_node *n, stoq_peer peer); /* NULL: none */
enum stoq_status node_link_want(struct stoq_node *n, stoq_peer peer, struct link **out);
enum stoq_status node_link_up(struct stoq_node *n, const struct stoq_node_link *ev);
void node_link_early(struct stoq_node *n, const struct stoq_node_link *ev);
void node_link_down(struct stoq_node *n, const struct stoq_node_link *ev);
void node_link_hello_in(struct stoq_node *n, struct link *l, const struct stoq_msg_hello *hello);
void node_link_hello_reply(struct stoq_node *n, struct pending *p,
                           const struct stoq_node_reply *reply);
void node_charge(struct stoq_node *n, stoq_peer peer, enum stoq_node_why why, bool close);

/* node_sources.c */
struct source *fetch_source(struct fetch *f, stoq_peer peer); /* NULL: not one of its */
void fetch_source_fail(struct fetch *f, struct source *s, enum stoq_status status);
/* It asks us for a package: one that lacked it is fetching it now. */
void fetch_source_asks(struct stoq_node *n, const struct link *l, const struct stoq_package_id *id);
/* Ask those again that lacked the package, when it is time. */
void fetch_sources_again(struct fetch *f);
stoq_ns fetch_sources_deadline(const struct fetch *f);
/* Its connection is gone: dial again, within reason. */
void fetch_source_lost(struct fetch *f, struct source *s, enum stoq_status status);
void fetch_source_ready(struct fetch *f, struct source *s, const struct link *l);
enum stoq_status fetch_source_add(struct fetch *f, stoq_peer peer);
/* It is one of the fetch's, which begins: dial it. */
enum stoq_status fetch_source_begin(struct fetch *f, struct source *s);
/* The next one to ask for metadata: one that is connected, else one that takes early data, for which *early
 * is set; NULL: none usable now. */
struct source *fetch_source_pick(struct fetch *f, bool *early);
bool fetch_source_hope(const struct fetch *f);         /* some may yet become usable */
enum stoq_status fetch_verdict(const struct fetch *f); /* why no source could help */

/* node_meta.c */
enum stoq_status meta_load(struct fetch *f, enum stoq_meta_kind kind, struct stoq_hash key,
                           uint64_t shard);
/* Ask some source; false: none usable now. */
bool meta_ask(struct fetch *f, enum stoq_meta_kind kind, uint64_t payload_max);
/* Ask this source for chunk lists; early: with its connection's first packets. False: no memory. */
bool meta_ask_lists(struct fetch *f, struct source *s, bool early, struct stoq_range shards,
                    uint64_t payload_max);
enum stoq_status meta_save(struct fetch *f, enum stoq_meta_kind kind, struct stoq_hash key,
                           const struct stoq_key_id *signer, struct blob *bytes);
void meta_reply(struct stoq_node *n, struct pending *p, const struct stoq_node_reply *reply);
void meta_loaded(struct stoq_node *n, struct pending *p, const struct stoq_node_loaded *loaded);
/* No answer yet: the next source may be asked the same, and the first answer counts. */
void meta_ask_other(struct fetch *f, struct pending *p);
/* A source can be asked now: questions that others have not answered in time go to it. */
void meta_source_came(struct fetch *f, stoq_peer peer);
/* Ask what is still open and not asked. */
void meta_drive(struct fetch *f);

/* node_window.c */
enum stoq_status window_begin(struct fetch *f);
void window_drive(struct fetch *f);
void window_list(struct fetch *f, uint64_t shard, struct stoq_span list, bool from_store,
                 enum stoq_status *status);
void window_list_missing(struct fetch *f, uint64_t shard);
void window_asked(struct fetch *f, struct stoq_range shards, bool asked);
void window_have(struct fetch *f, const struct pending *p, const uint8_t *bits);
void window_release(struct fetch *f);
struct shard *window_find(struct fetch *f, uint64_t index);
struct shard *window_find_chunk(struct fetch *f, uint64_t chunk); /* NULL: not at hand */
struct stoq_merkle_chunk window_chunk_at(const struct shard *s, uint32_t i);
void window_leave(struct shard *s); /* all of it that is wanted is here */
uint64_t window_ready(struct fetch *f);
static inline bool node_bit(const uint8_t *bits, uint32_t i)
{
    return bits != NULL && (bits[i / 8] >> (i & 7) & 1) != 0;
}
static inline void node_bit_set(uint8_t *bits, uint32_t i)
{
    bits[i / 8] |= (uint8_t)(1u << (i & 7));
}

/* node_swarm.c */
void swarm_tell(struct fetch *f, const struct stoq_swarm_event *ev);
void swarm_drive(struct fetch *f);
void swarm_chunk(struct fetch *f, struct pending *p, const struct stoq_node_chunk *c);
void swarm_ended(struct fetch *f, struct pending *p, enum stoq_status status);
void swarm_peer(struct fetch *f, struct source *s, const struct link *l);
void swarm_peer_gone(struct fetch *f, struct source *s);
void swarm_progress(struct fetch *f, struct pending *p, const struct stoq_node_progress *ev);
/* Let the swarm forget what its peers lacked. False: nobody in it may come to have more. */
bool swarm_look_again(struct fetch *f);
/* It got further: somebody who is waited for is waited for anew. */
void swarm_moved(struct fetch *f);

/* node_have.c */
/* It lacks something, of this shard if that is still at hand. */
void have_missing(struct fetch *f, struct source *s, const struct shard *shard);
/* The swarm has been given what is wanted of a shard: nothing is known of what partial holders have of it. */
void have_opened(struct fetch *f, const struct shard *shard);
void have_drive(struct fetch *f);
stoq_ns have_deadline(const struct fetch *f);
void have_reply(struct stoq_node *n, const struct pending *p, const struct stoq_node_reply *reply);

/* node_share.c */
/* A chunk of the shard is wanted that is not here. Who brings it? */
enum place_state share_enter(struct shard *s, uint32_t i);
/* It is here, for this shard and whoever else wants it. The shard itself may be complete now. */
void share_arrived(struct shard *s, uint32_t i);
/* Did it come since then, though a have-check that began then says no? */
bool share_came(const struct stoq_node *n, const struct stoq_hash *hash, uint64_t since);
/* The fetch is over: others ask for what they waited for. */
void share_drop(struct fetch *f);
/* Recount everything and abort on a difference: for fuzzers. */
void share_check(const struct stoq_node *n);

/* node_queue.c */
void queue_enter(struct fetch *f, bool may_wait);
void queue_leave(struct fetch *f); /* it ends */
void queue_drive(struct stoq_node *n);
static inline bool fetch_runs(const struct fetch *f)
{
    return !f->over && !f->waits;
}

/* node_fetch.c */
void fetch_start(struct fetch *f); /* its turn has come */
enum stoq_status fetch_begin(struct stoq_node *n, const struct stoq_node_fetch *ev);
struct fetch *fetch_find(const struct stoq_node *n, stoq_fetch_id id); /* NULL: none that runs */
void fetch_end(struct fetch *f, enum stoq_status status);
void fetch_manifest(struct fetch *f, struct stoq_span bytes, bool from_store,
                    enum stoq_status *status);
/* The manifest and what came with it. */
void fetch_opening(struct fetch *f, struct stoq_span payload, enum stoq_status *status);
void fetch_shard_list(struct fetch *f, struct stoq_span bytes, bool from_store,
                      enum stoq_status *status);
void fetch_signatures(struct fetch *f, struct stoq_span framed, bool from_store);
/* What can wait until everything that follows from the last event is under way: an opening's signatures,
 * which take longer to check than all the rest of it. */
void fetch_late(struct fetch *f);
void fetch_saved(struct fetch *f, struct pending *p, enum stoq_status status);
void fetch_drive(struct fetch *f); /* after every event: whatever can go on now */
stoq_ns fetch_deadline(const struct fetch *f);
void fetch_free_over(struct stoq_node *n);

/* node_standing.c */
enum stoq_status standing_init(struct stoq_node *n, uint64_t seed);
void standing_release(struct stoq_node *n);
void standing_event(struct stoq_node *n, const struct stoq_node_event *ev);
void standing_action(struct stoq_node *n, const struct stoq_node_action *a);
void standing_linked(struct stoq_node *n, stoq_peer peer); /* it is up: may it stay? */
bool standing_is_cut(const struct stoq_node *n, stoq_peer peer);
/* How many chunks one request may ask of it: what it takes, or a newcomer's budget. */
uint32_t standing_chunks_max(const struct stoq_node *n, stoq_peer peer, uint32_t chunks_max);
/* How much a source is to be preferred: its score in thousandths, and something in any case. */
uint32_t standing_weight(const struct stoq_node *n, stoq_peer peer);

/* node_serve.c */
void serve_inbound(struct stoq_node *n, const struct stoq_node_inbound *in);
void serve_bad(struct stoq_node *n, const struct stoq_node_bad *bad);
void serve_done(struct stoq_node *n, const struct stoq_node_served *served);

/* node_spread.c */
/* Are the others to have these chunks from whom they went to lately? */
bool spread_holds_back(struct stoq_node *n, struct link *l, const struct stoq_node_inbound *in);
/* They go to this peer. */
void spread_note(struct stoq_node *n, const struct stoq_node_inbound *in);
/* The same for metadata; who was told so for a while is not any more. */
bool spread_holds_back_meta(const struct stoq_node *n, struct link *l,
                            const struct stoq_node_inbound *in);
void spread_note_meta(struct stoq_node *n, struct link *l, const struct stoq_node_inbound *in);

#endif
