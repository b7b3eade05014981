#ifndef STOQ_NET_NET_INTERNAL_H
#define STOQ_NET_NET_INTERNAL_H
/*
 * Inside the transport. One struct net_conn is one QUIC connection, from its first packet until its
 * closing or draining period is over; ngtcp2 does the protocol and is only ever entered from three
 * places: a packet (conn_read.c), a deadline (net.c) and the flush before the loop waits
 * (conn_write.c). Calls of the public header change queues and flags and mark the connection dirty,
 * so that they may come from inside ngtcp2's callbacks.
 */
#include "base/heap.h"
#include "net/cid.h"
#include "net/early.h"
#include "net/far.h"
#include "net/guard.h"
#include "net/net.h"
#include "net/replay.h"
#include "net/room.h"
#include "net/rpc.h"
#include "net/seal.h"
#include "net/steer.h"
#include "net/tls.h"
#include "net/udp.h"
#include "os/loop.h"

#include <sys/queue.h>

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>

#define NET_SECRET_BYTES 32
#define NET_CLOSING_MAX 1024 /* connections kept only to repeat their goodbye */
#define NET_RETRY_LIFE (10 * STOQ_SEC)
#define NET_URGENT_BYTES STOQ_MIB /* of send buffer kept for classes above bulk */
/* A handshake of others is left this long before another one may have its place, unless it goes on: the
 * first when its prefix has no more places, the second when nobody has. An honest one that lost a packet goes
 * on when that is sent again, a second after it. */
#define NET_TURN_PREFIX (1500 * STOQ_MS)
#define NET_TURN (3 * STOQ_SEC)
#define NET_REFUSED_TOLD_PER_S 10 /* calls of the refused callback */
/* What somebody is told who finds no room, and the log with it. */
#define NET_CROWDED_TEXT "too many connections from its prefix (IPv4 /24, IPv6 /48)"
#define NET_FULL_TEXT "as many connections as there may be"
#define NET_HEAVY_TEXT "connections hold as much memory as they may"

/* A piece of a stream's queue: somebody's buffer, or a copy behind the struct. */
struct net_segment {
    struct net_segment *next;
    struct stoq_net_buf buf;
    uint8_t copy[];
};

struct net_stream {
    TAILQ_ENTRY(net_stream) all;  /* in conn->streams */
    TAILQ_ENTRY(net_stream) turn; /* in conn->ready[rank], while ready */
    struct net_conn *conn;
    int64_t id;
    struct net_segment *first; /* the oldest not wholly acknowledged */
    struct net_segment *last;
    struct net_segment *unsent; /* where sending goes on, unsent_at bytes into it */
    size_t unsent_at;
    uint64_t first_at; /* stream offset of first */
    uint64_t buffered;
    uint64_t received; /* given to the data callback */
    uint64_t consumed;
    uint8_t rank;
    bool by_peer; /* the peer began it */
    bool early;   /* some of it was early data */
    bool ready;
    bool fin_wanted;
    bool fin_sent;
    bool shut;    /* our side is over before its end: reset or stopped */
    bool deaf;    /* we stopped reading */
    bool starved; /* a write was refused; writable is owed */
};

TAILQ_HEAD(net_streams, net_stream);

enum net_state {
    NET_HANDSHAKE,
    NET_OPEN,
    NET_CLOSING,  /* we said goodbye: repeat it when asked */
    NET_DRAINING, /* the peer did: say nothing */
};

struct net_conn {
    struct stoq_heap_node timer; /* first: the heap's nodes are connections */
    TAILQ_ENTRY(net_conn) dirty_link;
    TAILQ_ENTRY(net_conn) unfinished_link; /* while counted */
    struct stoq_net *net;
    stoq_net_conn id; /* 0 once closed was called */
    enum net_state state;
    bool inbound;
    bool dirty;
    bool opened;   /* its owner was told */
    bool complete; /* the handshake */
    bool early;    /* streams may be used, or came, before it was */
    bool ticket_taken;
    bool counted; /* in the guard's and the endpoint's unfinished handshakes */
    bool settled; /* in the room of prefix */
    bool close_asked;
    bool starving;     /* some stream is owed writable */
    bool wants_stream; /* may_open is owed */
    bool pinned;
    bool unpaced; /* within this machine: no queue to be spared, each gap costs a timer, and each
                     acknowledgement wakes somebody */
    bool near;    /* its answers take less than some milliseconds, as far as we know */
    bool was_reset;
    bool failed; /* why, code and text below are set */
    ngtcp2_conn *q;
    ngtcp2_crypto_ossl_ctx *ossl;
    SSL *ssl;
    ngtcp2_crypto_conn_ref ref;
    struct net_socket *socket;
    struct stoq_addr local;
    struct stoq_addr remote;
    uint64_t prefix; /* where it came from; it may move on */
    struct net_cid *cids;
    struct net_cid *tokens; /* by which the peer may say that it forgot us */
    struct net_streams streams;
    struct net_streams ready[STOQ_NET_BACKGROUND + 1];
    size_t stream_count;
    size_t peer_stream_count;
    uint64_t buffered;
    uint64_t unconsumed; /* given to the data callback, not given back */
    uint64_t orphaned;   /* received on streams now gone, not consumed */
    stoq_ns last_ts;     /* ngtcp2 aborts when time goes backwards */
    stoq_ns begun_at;    /* of those counted */
    stoq_ns opened_at;
    struct stoq_peer_id pin;
    struct stoq_peer_id peer;
    const char *group;
    const char *cc;
    stoq_ns min_rtt; /* kept when ngtcp2's state goes */
    int unreachable; /* errno of a send during the handshake */
    enum stoq_net_why why;
    uint64_t code;
    char *text;       /* malloc'ed, or NULL */
    uint8_t *goodbye; /* NET_CLOSING */
    size_t goodbye_n;
    uint32_t goodbye_asked;
    uint64_t turn;         /* the flush it last took part in */
    uint32_t runs;         /* of packets, written */
    uint64_t payload_sent; /* bytes of streams */
    struct net_yield {
        uint64_t rate; /* bytes per second of background; 0: no limit */
        int64_t credit;
        stoq_ns at;
        uint64_t sent;
        stoq_ns srtt;
        stoq_ns rtt_least[2]; /* of the present stretch of time and the one before; 0: none */
        stoq_ns rtt_at;       /* when the present one began */
    } yield;
};

TAILQ_HEAD(net_conns, net_conn);

struct net_slot {
    struct net_conn *conn;
    uint32_t generation;
    uint32_t next_free; /* 1-based; 0: none */
};

struct net_listener {
    struct net_socket socket;
    struct stoq_watch *watch;
    struct stoq_net *net;
};

struct stoq_net {
    struct stoq_net_config cfg; /* with its defaults filled in */
    unsigned thread;            /* 0: the owner's; the first byte of every connection id we issue */
    struct stoq_net *owner;     /* of an endpoint on another thread; NULL: this is the owner's */
    struct net_threads *threads;               /* the owner's; NULL: there is one */
    struct net_far *far[STOQ_NET_THREADS_MAX]; /* the owner's: of threads from 1 on */
    struct net_room *room;                     /* the owner's own_room, on every thread */
    struct net_room own_room;
    bool reading;
    struct net_tls tls;
    struct net_guard *guard;
    struct net_cids cids;
    struct net_cids tokens; /* of stateless resets, the same way */
    struct net_rx rx;
    struct net_tx tx;
    struct net_listener listeners[STOQ_NET_LISTEN_MAX + 1]; /* one may be added for dialling */
    size_t listener_count;
    bool accepting;
    struct stoq_hook hook;
    struct stoq_timer *timer;
    stoq_ns armed_at; /* what it is set to */
    struct stoq_heap deadlines;
    struct net_conns dirty;
    struct net_conns unfinished; /* handshakes of others, the oldest first */
    struct net_rpc rpc;
    struct net_tickets tickets;
    struct net_slot *slots;
    size_t slot_count;
    uint32_t free_slot; /* 1-based */
    size_t live;        /* connections that are not closing */
    size_t closing;
    stoq_ns now;                  /* of the batch at hand */
    stoq_ns (*clock)(void *user); /* stoq_now, or a test's */
    uint64_t (*wall)(void *user); /* stoq_wall_ms, likewise */
    void *clock_user;
    struct stoq_peer_id self;
    stoq_ns refused_told_at;
    unsigned refused_told;
    struct stoq_addr refused_addr; /* the last of these */
    enum stoq_net_why refused_why;
    uint8_t reset_secret[NET_SECRET_BYTES]; /* from the key: outlives a restart */
    uint8_t retry_secret[NET_SECRET_BYTES]; /* this endpoint's own */
    bool private;                           /* of a network with a key */
    uint8_t network_psk[NET_SECRET_BYTES];
    uint8_t network_mac[NET_SECRET_BYTES];
    struct net_replay replay; /* likewise */
    struct stoq_net_stats stats;
    uint64_t buffered;
    uint64_t unconsumed;
    uint64_t turn;
};

/* net.c */
void net_random(struct stoq_net *net, void *p, size_t n);
void net_mark_dirty(struct net_conn *conn);
/* The socket to reach addr through, opened if need be; NULL with err: none can be had. */
struct net_socket *net_socket_for(struct stoq_net *net, const struct stoq_addr *addr,
                                  struct stoq_error *err);
/* What connections hold of memory beyond their own weight: this thread's, and those of all. */
uint64_t net_own_bytes(const struct stoq_net *net);
uint64_t net_all_bytes(const struct stoq_net *net);
/* What those of all threads hold and weigh. */
uint64_t net_memory(const struct stoq_net *net);
/* A dial on this thread, for which net_room_enter found a place. */
enum stoq_status net_dial_here(struct stoq_net *net, const struct stoq_net_dial *dial,
                               stoq_net_conn *out);
/* An endpoint for another thread, with the owner's TLS and on its ports; cfg has its defaults already. */
enum stoq_status net_new_beside(struct stoq_net **out, const struct stoq_net_config *cfg,
                                struct stoq_net *owner, unsigned thread, struct stoq_error *err);
/* Whose connection it is: NULL: this thread's, or nobody's. */
struct net_far *net_far_of(const struct stoq_net *net, stoq_net_conn conn);
/* One round of what the loop's hook does; tests and fuzzers call it themselves. */
void net_flush_all(struct stoq_net *net);
void net_run_deadlines(struct stoq_net *net);
/* When that is due. */
stoq_ns net_deadline(const struct stoq_net *net);

/* conn_yield.c */
void net_yield_fill(struct net_conn *conn);
bool net_yield_may_send(const struct net_conn *conn);
void net_yield_sent(struct net_conn *conn, size_t bytes);
/* A packet came: its round trip counts, where background is sent. */
void net_yield_note_rtt(struct net_conn *conn);
/* The shortest of late; 0: not known. */
stoq_ns net_yield_rtt(const struct net_conn *conn);
/* When background that waits for its rate may go on; STOQ_NEVER: none does. */
stoq_ns net_yield_at(const struct net_conn *conn);

/* conn.c: birth, ids, death */
struct net_conn *net_conn_find(const struct stoq_net *net, stoq_net_conn id);
/* A connection that can carry streams now, or NULL. */
struct net_conn *net_conn_open(const struct stoq_net *net, stoq_net_conn id);
/* Its place in the room was taken before, and is given back when this fails. */
enum stoq_status net_conn_dial(struct stoq_net *net, const struct stoq_net_dial *dial,
                               struct net_conn **out);
/* From a client's first packet; odcid and retry are set when it brought our retry token. NULL: out
 * of memory. Its place likewise. */
struct net_conn *net_conn_accept(struct stoq_net *net, struct net_socket *socket,
                                 const struct net_datagram *d, const ngtcp2_pkt_hd *hd,
                                 const ngtcp2_cid *odcid);
/* Its current time, never less than what it has seen. */
ngtcp2_tstamp net_conn_now(struct net_conn *conn);
void net_conn_set_timer(struct net_conn *conn);
/* The shortest round trip so far; 0: not measured yet, or not opened. */
stoq_ns net_conn_min_rtt(const struct net_conn *conn);
/* The handshake is done: free TLS's state, most of what an idle connection would weigh. Packet keys
 * and their updates are ngtcp2's. Not from inside ngtcp2. */
void net_conn_drop_tls(struct net_conn *conn);
/* Forget ngtcp2's state, streams and buffers. */
void net_conn_strip(struct net_conn *conn);
/* Free it at once; nobody is told. */
void net_conn_discard(struct net_conn *conn);
void net_reset_token(struct stoq_net *net, const ngtcp2_cid *cid, uint8_t *token);
/* It counts as an unfinished handshake; it no longer does (fine if it did not). */
void net_conn_count(struct net_conn *conn);
void net_conn_uncount(struct net_conn *conn);
/* No longer a handshake but one of its prefix's connections; false: that has no room, and it is blamed. */
bool net_conn_settle(struct net_conn *conn);
void net_new_cid(struct stoq_net *net, ngtcp2_cid *cid);

/* member.c: of a private network */
void net_member_key(struct stoq_net *net, const uint8_t key[NET_SECRET_BYTES]);
/* The time that members put into what they send: milliseconds since 1970. */
uint64_t net_member_now(const struct stoq_net *net);
/* What a dialler puts into its first packets: made at that time, for that peer. */
#define NET_MEMBER_BYTES (1 + NET_MADE_BYTES + 16)
#define NET_MEMBER_MAGIC 0x53 /* not that of a retry token */
void net_member_token(const struct stoq_net *net, const struct stoq_peer_id *to, uint64_t made_ms,
                      const ngtcp2_cid *dcid, const ngtcp2_cid *scid,
                      uint8_t out[NET_MEMBER_BYTES]);
/* Is this first packet a member's, and no copy of one? Counts it when not. */
bool net_member_may_begin(struct stoq_net *net, const struct stoq_addr *from,
                          const ngtcp2_pkt_hd *hd);
/* Something that only a member can have made: is it no copy? tag: bits of it that nobody chooses. */
bool net_member_fresh(struct stoq_net *net, const struct stoq_addr *from, const uint8_t tag[8],
                      uint64_t made_ms);

/* conn_callbacks.c */
void net_callbacks(ngtcp2_callbacks *cb, bool server);
extern const struct net_tls_owner net_tls_owner;
/* Take the peer's key from TLS and compare it with the pin; false: blamed. */
bool net_conn_knows_peer(struct net_conn *conn);
/* From now on it carries streams; tells its owner. */
void net_conn_open_for_owner(struct net_conn *conn);

/* conn_close.c */
/* Note why the connection is about to fail; the first call counts. */
void net_conn_blame(struct net_conn *conn, enum stoq_net_why why, const char *text);
/* ngtcp2 returned a negative code from reading, writing or a deadline: end the connection. */
void net_conn_error(struct net_conn *conn, int error);
/* End it for why it was blamed (or for close_asked), with a goodbye to the peer or without. */
enum net_goodbye { NET_SILENT, NET_SAY };
void net_conn_end(struct net_conn *conn, enum net_goodbye goodbye);
/* A packet for a connection that is closing. */
void net_conn_again(struct net_conn *conn);
void net_copy_printable(char *out, size_t cap, const void *p, size_t n);
/* Tell the owner of somebody who did not get in: ten a second, and the same of one address once in a row. */
void net_tell_refused(struct stoq_net *net, const struct stoq_net_closed *info);

/* conn_read.c */
void net_receive(struct stoq_net *net, struct net_socket *socket, const struct net_datagram *d);

/* conn_write.c */
void net_conn_flush(struct net_conn *conn);

/* stream.c */
/* May a stream of this class take n more bytes? buffered: what its connection has. Small urgent writes
 * pass the endpoint's limit: they are what gets others to finish. */
bool net_has_room(const struct stoq_net *net, uint64_t buffered, unsigned rank, size_t n);
void net_stream_set_ready(struct net_stream *s);
void net_stream_unready(struct net_stream *s);
/* n more bytes of its queue were put in packets; fin: and its end. */
void net_stream_advance(struct net_stream *s, size_t n, bool fin);
/* The peer wants no more of it, or we gave it up: release what was not sent. */
void net_stream_shut(struct net_stream *s);
void net_stream_release(struct net_stream *s);
void net_streams_release(struct net_conn *conn);
void net_streams_feed_starved(struct net_conn *conn);
int net_on_stream_open(ngtcp2_conn *q, int64_t id, void *user);
int net_on_stream_data(ngtcp2_conn *q, uint32_t flags, int64_t id, uint64_t offset,
                       const uint8_t *p, size_t n, void *user, void *stream_user);
int net_on_stream_acked(ngtcp2_conn *q, int64_t id, uint64_t offset, uint64_t n, void *user,
                        void *stream_user);
int net_on_stream_close(ngtcp2_conn *q, uint32_t flags, int64_t id, uint64_t code, void *user,
                        void *stream_user);
int net_on_stream_reset(ngtcp2_conn *q, int64_t id, uint64_t final_size, uint64_t code, void *user,
                        void *stream_user);
int net_on_stream_stop(ngtcp2_conn *q, int64_t id, uint64_t code, void *user, void *stream_user);
int net_on_streams_allowed(ngtcp2_conn *q, uint64_t max_streams, void *user);
int net_on_stream_credit(ngtcp2_conn *q, int64_t id, uint64_t max_data, void *user,
                         void *stream_user);

#endif
