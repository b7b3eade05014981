#ifndef STOQ_NET_NET_H
#define STOQ_NET_NET_H
/*
 * The STOQ transport: QUIC connections between peers known by their keys, and ordered streams in
 * them. It carries bytes; messages are the caller's.
 *
 * One endpoint (struct stoq_net) lives on one loop and is used on that loop's thread only; it dials
 * and accepts through the same UDP sockets. Connections and streams are named by numbers, never by
 * pointers: a number that is no longer valid gives STOQ_NOTFOUND and is never given out again.
 *
 * With more threads than one (far.h) each connection belongs to one of them, which does its packets and
 * their cryptography; calls and callbacks are the same, on the loop's thread. What differs: received bytes
 * are copied once more, and what a connection's figures and the counters say is as old as the last
 * stoq_net_refresh that the other threads have heard.
 *
 * Callbacks come from the loop, never from inside a call of this header except where a release is
 * said to be immediate, and every function below except stoq_net_free may be called from them. What
 * calls produce is sent in one batch before the loop waits again.
 */
#include "base/bytes.h"
#include "net/addr.h"

struct stoq_loop;
struct stoq_key;
struct stoq_net;

typedef uint64_t stoq_net_conn;  /* 0: none */
typedef int64_t stoq_net_stream; /* QUIC's stream id, unique in its connection */

#define STOQ_NET_ALPN "stoq/1"
#define STOQ_NET_CLOSE_TEXT_MAX 256

/* Which key exchanges both ends accept, best first (DESIGN.md section 4). No downgrade: peers that
 * share none refuse each other, naming both lists. */
enum stoq_net_mode {
    STOQ_NET_KYBER1024,       /* SecP384r1MLKEM1024, MLKEM1024 */
    STOQ_NET_KYBER1024_PURE,  /* MLKEM1024 */
    STOQ_NET_KYBER768_HYBRID, /* X25519MLKEM768 */
};

enum stoq_net_cc {
    /* CUBIC on loopback, where it does not pace either, link-local and paths known to be short, else BBR */
    STOQ_NET_CC_AUTO,
    STOQ_NET_CC_CUBIC,
    STOQ_NET_CC_BBR,
};

/* Who goes first when a connection has more to send than the path takes: a class waits until those
 * above it have nothing to send, but one run of packets in twenty looks at the classes behind control from
 * the last to the first, so that none stands still; streams of one class take turns. */
enum stoq_net_class {
    STOQ_NET_CONTROL,
    STOQ_NET_INTERACTIVE,
    STOQ_NET_BULK, /* what a new stream has */
    STOQ_NET_BACKGROUND,
};

/* Why a connection ended, or never began. */
enum stoq_net_why {
    STOQ_NET_LOCAL,       /* stoq_net_close here, or the endpoint was freed */
    STOQ_NET_PEER,        /* the peer closed it; code and text are the peer's */
    STOQ_NET_REFUSED,     /* the peer has no room for more connections */
    STOQ_NET_UNREACHABLE, /* the kernel knows no way there */
    STOQ_NET_TIMED_OUT,   /* no handshake within the time given, or silence for idle_timeout_ns */
    STOQ_NET_WRONG_KEY,   /* the peer's key is not the one pinned */
    STOQ_NET_NO_KEY,      /* the peer showed no raw Ed25519 key */
    STOQ_NET_NO_GROUP,    /* no key exchange in common; the text names both sides' where known */
    STOQ_NET_NO_ALPN,     /* the peer does not speak stoq/1 */
    STOQ_NET_RESET,       /* the peer lost its state (stateless reset) */
    STOQ_NET_PROTOCOL,    /* the peer, or something between, broke QUIC or TLS */
    STOQ_NET_FAILED,      /* out of memory, or another fault of ours */
};
#define STOQ_NET_WHYS (STOQ_NET_FAILED + 1)

/* A few lower-case words, static storage. */
const char *stoq_net_why_str(enum stoq_net_why why);
/* "kyber1024", "kyber1024-pure", "kyber768-hybrid". */
const char *stoq_net_mode_str(enum stoq_net_mode mode);
bool stoq_net_mode_parse(enum stoq_net_mode *out, struct stoq_span text);
/* "auto", "cubic", "bbr". */
const char *stoq_net_cc_str(enum stoq_net_cc cc);
bool stoq_net_cc_parse(enum stoq_net_cc *out, struct stoq_span text);

struct stoq_net_opened {
    struct stoq_peer_id peer; /* compared with the pin, if there was one */
    struct stoq_addr addr;
    bool inbound;
    /* The listener's alone, with early_data: the peer is known by the ticket it resumed, the handshake goes
     * on. Only what may be asked twice may be answered; see stoq_net_stream_early. */
    bool early;
    const char
        *group; /* the key exchange agreed on: "SecP384r1MLKEM1024"; static storage; "" if early */
};

struct stoq_net_closed {
    enum stoq_net_why why;
    uint64_t code;    /* STOQ_NET_LOCAL, STOQ_NET_PEER: the application's code */
    const char *text; /* one clear sentence, printable ASCII; borrowed */
    struct stoq_addr addr;
    bool opened;        /* false: the handshake never completed */
    stoq_ns min_rtt_ns; /* worth remembering for the next dial; 0: not measured */
};

/* A sealed request that arrived, without a connection (docs/PROTOCOL.md section 11). */
struct stoq_net_rpc_in {
    struct stoq_addr from;    /* as the datagram says: anybody can write anything there ... */
    bool proven;              /* ... but this one brought a token that we sent there */
    struct stoq_span message; /* a frame's CBOR; borrowed */
    size_t room;              /* bytes of the longest reply that is sent */
};

/* How a call of ours ended. */
struct stoq_net_rpc_end {
    uint64_t cookie;
    enum stoq_status status;  /* STOQ_OK; STOQ_TIMEOUT: no reply; STOQ_CANCELLED: stoq_net_free */
    struct stoq_span message; /* the reply's CBOR; borrowed */
    const uint8_t
        *token;     /* STOQ_NET_RPC_TOKEN_BYTES to bring along next time; NULL without reply */
    stoq_ns rtt_ns; /* 0: it had to be sent more than once */
};

/*
 * What the endpoint tells its owner. All but opened, closed and data may be NULL.
 *
 * opened          the handshake is complete and the peer's key is checked. A listener that does not
 *                 like our key says so right after: closed then follows
 * closed          the connection is over: exactly once for every number that stoq_net_dial or opened
 *                 gave out. All its buffers are released and its streams gone by now, without calls
 *                 of stream_closed.
 * refused         a connection from outside failed before opened, or there was no room for it; it has no
 *                 number. For the log; at most ten a second are told, the rest is only counted
 * stream          the peer opened a stream (its first data follows)
 * data            bytes in order; borrowed until return. Give them back with stoq_net_consumed when
 *                 done. fin: nothing follows. A stream may end with fin and no bytes
 * writable        a stream whose write was refused with STOQ_FULL may write again
 * may_open        after stoq_net_stream_open said STOQ_FULL: the peer allows more streams now
 * stream_ended    the peer reset its side (data ends here) or asked us to stop sending (what was not
 *                 yet sent is released); code is the peer's
 * rpc             write the reply's CBOR to out, at most cap bytes, and return its length; 0: say
 *                 nothing. NULL: requests are dropped
 * rpc_ended       exactly once for every stoq_net_rpc that said STOQ_OK
 * stream_closed   both sides are done and everything we sent is acknowledged, or it was reset; the
 *                 number is dead. code 0 unless reset or stopped
 */
struct stoq_net_callbacks {
    void (*opened)(void *user, stoq_net_conn conn, const struct stoq_net_opened *info);
    void (*closed)(void *user, stoq_net_conn conn, const struct stoq_net_closed *info);
    void (*refused)(void *user, const struct stoq_net_closed *info);
    void (*stream)(void *user, stoq_net_conn conn, stoq_net_stream stream);
    void (*data)(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                 bool fin);
    void (*writable)(void *user, stoq_net_conn conn, stoq_net_stream stream);
    void (*may_open)(void *user, stoq_net_conn conn);
    void (*stream_ended)(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
                         uint64_t code);
    void (*stream_closed)(void *user, stoq_net_conn conn, stoq_net_stream stream, uint64_t code);
    size_t (*rpc)(void *user, const struct stoq_net_rpc_in *in, uint8_t *out, size_t cap);
    void (*rpc_ended)(void *user, const struct stoq_net_rpc_end *end);
};

/* Zero means the default in brackets. */
struct stoq_net_config {
    struct stoq_loop *loop;     /* kept */
    const struct stoq_key *key; /* kept until stoq_net_free */
    struct stoq_net_callbacks cb;
    void *user;

    const struct stoq_addr *listen; /* port 0: any. None: [::]:0, dialling only */
    size_t listen_count;            /* at most STOQ_NET_LISTEN_MAX */
    enum stoq_net_mode mode;
    enum stoq_net_cc cc;
    /* 32 bytes that all of a private network know, borrowed for the call: who cannot show that it does
     * gets no reply at all. NULL: anybody may knock */
    const uint8_t *network_key;
    bool early_data;     /* give and keep tickets, take and send early data [no] */
    uint64_t leave_code; /* the application's code that stoq_net_free closes with */
    unsigned
        threads; /* that serve the port, the loop's own among them, 1 .. STOQ_NET_THREADS_MAX [1] */

    size_t connections_max;        /* both directions [4096] */
    size_t connections_prefix_max; /* open, of others from one prefix [half of these] */
    size_t handshakes_max;         /* inbound, unfinished, in all [256] */
    size_t handshakes_prefix_max;  /* of those, from one prefix [64] */
    uint32_t handshakes_per_s;     /* begun by one prefix without proving its address; twice as many
                                   * at once [500] */
    uint32_t streams_max;          /* open at once by the peer in one connection [128] */
    uint64_t stream_window_bytes;  /* received, not consumed; grows up to [4 MiB] */
    uint64_t conn_window_bytes;    /* likewise for the connection, up to [24 MiB]; to a near peer up
                                    * to 6 MiB */
    uint64_t send_buffer_bytes;    /* per connection, not acknowledged [32 MiB] */
    /* Of all connections: what each weighs by itself, bytes written and not acknowledged, received and
     * not consumed. Past it no more connections are taken and writes say STOQ_FULL [1 GiB] */
    uint64_t memory_bytes;
    /* Largest UDP payload path-MTU discovery tries, up to 65000; 1200 turns it off [32700: beyond that
     * CPU per byte no longer falls, and each connection keeps a buffer of this size] */
    uint16_t packet_bytes_max;
    uint32_t socket_buffer_bytes; /* [8 MiB] */
    stoq_ns handshake_timeout_ns; /* for inbound and for dials that do not say [5 s] */
    stoq_ns idle_timeout_ns;      /* [30 s] */
    stoq_ns keep_alive_ns;        /* ping after this much silence; 0: let it go idle */

    /* Source of randomness; NULL: the kernel's. Tests and fuzzers hand in theirs. */
    void (*entropy)(void *entropy_user, void *p, size_t n);
    void *entropy_user;
};

#define STOQ_NET_LISTEN_MAX 16
#define STOQ_NET_THREADS_MAX 16

/*
 * Open the sockets and serve them from cfg->loop.
 * STOQ_OK; STOQ_NOMEM; STOQ_IO: a socket could not be bound (err names the address); STOQ_RANGE.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_net_new(struct stoq_net **out,
                                               const struct stoq_net_config *cfg,
                                               struct stoq_error *err);
/* Tell every peer goodbye (best effort), release every buffer, close the sockets. closed is called
 * for every connection, immediately. Not from a callback. NULL is fine. */
void stoq_net_free(struct stoq_net *net);

/* Could an endpoint listen there now? STOQ_OK; STOQ_IO as stoq_net_new, with the errno. */
STOQ_WARN_UNUSED enum stoq_status stoq_net_can_listen(const struct stoq_addr *addr,
                                                      struct stoq_error *err);

/* The i-th bound address (its real port), false past the last. */
bool stoq_net_local_addr(const struct stoq_net *net, size_t i, struct stoq_addr *out);

struct stoq_net_dial {
    struct stoq_addr addr;
    const struct stoq_peer_id *pin; /* the peer expected there; NULL: whoever answers */
    stoq_ns timeout_ns;             /* for the handshake; 0: the endpoint's */
    stoq_ns min_rtt_ns;             /* remembered from before, helps choose; 0: not known */
};

/*
 * Begin a connection; opened or closed follows, within the time-out.
 * STOQ_OK: *out is its number. STOQ_FULL: connections_max. STOQ_NOMEM. STOQ_RANGE: no port, or in a private
 * network no pin: members greet each other by name.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_net_dial(struct stoq_net *net,
                                                const struct stoq_net_dial *dial,
                                                stoq_net_conn *out);
/* Close with an application code and a text for the peer (cut at STOQ_NET_CLOSE_TEXT_MAX). What was
 * written and not yet sent is lost. closed follows from the loop. Unknown numbers are fine. */
void stoq_net_close(struct stoq_net *net, stoq_net_conn conn, uint64_t code, const char *text);
/* Ping after this much silence, so that the connection outlives idle_timeout_ns; 0: no longer. */
void stoq_net_keep_alive(struct stoq_net *net, stoq_net_conn conn, stoq_ns after_ns);

/*
 * Early data. After a dial to a peer whose ticket is kept, streams may be opened before opened is told, while
 * stoq_net_early says so: what is written goes with the first packets, without a round trip. Whoever copies
 * these packets can send them again, so they may carry queries that can be asked twice and nothing else.
 * When the listener does not take them stream_closed is called for every such stream, before opened.
 */
bool stoq_net_early(const struct stoq_net *net, stoq_net_conn conn);
/* Some of what this stream brought was early data. */
bool stoq_net_stream_early(const struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream);

/* Open a stream in both directions. STOQ_OK; STOQ_NOTFOUND: no such open connection; STOQ_FULL: the
 * peer allows no more at present, may_open follows; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_net_stream_open(struct stoq_net *net, stoq_net_conn conn,
                                                       stoq_net_stream *out);
void stoq_net_stream_class(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                           enum stoq_net_class rank);

/* Streams of STOQ_NET_BACKGROUND together send no faster on this connection, packet by packet; 0: as fast as
 * the path takes. */
void stoq_net_background_rate(struct stoq_net *net, stoq_net_conn conn, uint64_t rate_bytes_per_s);

/* Bytes handed over without a copy: they must stay unchanged until release(user) is called, which is
 * once, from the loop, when the peer acknowledged them or the stream or connection ended. */
struct stoq_net_buf {
    struct stoq_span bytes;
    void (*release)(void *user); /* NULL: static or otherwise long-lived bytes */
    void *user;
};

/*
 * Queue bytes on a stream, in order; fin ends our side. bytes may be empty (then release, if any, is
 * called before the return).
 *
 * STOQ_OK        taken
 * STOQ_FULL      send_buffer_bytes would be exceeded (one buffer of any size is taken when nothing is
 *                buffered, and classes above bulk have 1 MiB of their own); not taken; writable follows
 * STOQ_NOTFOUND  no such stream, or our side has ended; not taken
 * STOQ_NOMEM     not taken
 */
STOQ_WARN_UNUSED enum stoq_status stoq_net_write(struct stoq_net *net, stoq_net_conn conn,
                                                 stoq_net_stream stream,
                                                 const struct stoq_net_buf *buf, bool fin);
/* The same with a copy made: for small messages. */
STOQ_WARN_UNUSED enum stoq_status stoq_net_write_copy(struct stoq_net *net, stoq_net_conn conn,
                                                      stoq_net_stream stream,
                                                      struct stoq_span bytes, bool fin);
/* Bytes taken by stoq_net_write and not yet released, of the connection and of one stream. */
uint64_t stoq_net_buffered(const struct stoq_net *net, stoq_net_conn conn);
uint64_t stoq_net_stream_buffered(const struct stoq_net *net, stoq_net_conn conn,
                                  stoq_net_stream stream);

/* n bytes given to data are done with: the peer may send as many more. Every byte is to be consumed
 * once, also after stream_closed; what is not holds back the connection's window. Streams that we
 * stopped are settled by stoq_net_stream_stop. */
void stoq_net_consumed(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                       uint64_t n);
/* Give up our sending side: what is queued is released, the peer sees stream_ended(reset). */
void stoq_net_stream_reset(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                           uint64_t code);
/* Read no more: data is not called again for this stream, what was not consumed counts as consumed,
 * the peer sees stream_ended(stop). */
void stoq_net_stream_stop(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                          uint64_t code);

#define STOQ_NET_RPC_KEY_BYTES 32
#define STOQ_NET_RPC_TOKEN_BYTES 16
#define STOQ_NET_RPC_MESSAGE_MAX 1125
#define STOQ_NET_RPC_CALLS_MAX 1024         /* under way at a time */
#define STOQ_NET_RPC_RESEND (250 * STOQ_MS) /* where nothing says otherwise */

struct stoq_net_rpc_call {
    struct stoq_addr addr;
    const uint8_t *key;       /* the responder's, STOQ_NET_RPC_KEY_BYTES */
    const uint8_t *token;     /* what its last reply brought, or NULL */
    struct stoq_span message; /* 1 .. STOQ_NET_RPC_MESSAGE_MAX bytes; borrowed */
    size_t room;        /* make the request as long as a reply of so many bytes needs it to be */
    stoq_ns timeout_ns; /* 0: 2 s; meanwhile it is sent again ... */
    stoq_ns resend_ns;  /* ... after this, twice this ...; never 0 */
    uint64_t cookie;
};

/* Ask in one datagram; rpc_ended follows. STOQ_OK; STOQ_FULL: STOQ_NET_RPC_CALLS_MAX; STOQ_RANGE: no
 * port, no key, a message too long, or not said when it goes again; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_net_rpc(struct stoq_net *net,
                                               const struct stoq_net_rpc_call *call);
/* The key that others seal requests to us with, STOQ_NET_RPC_KEY_BYTES; the same in every run. */
const uint8_t *stoq_net_rpc_key(const struct stoq_net *net);

/* What is known of one connection. */
struct stoq_net_info {
    stoq_net_conn conn;
    struct stoq_peer_id peer; /* zero until opened */
    struct stoq_addr addr;
    bool inbound;
    bool opened;
    bool near; /* loopback, link-local or known to be short: its window is 6 MiB at most */
    enum stoq_net_mode mode;
    const char *group; /* "" until opened */
    const char *cc;    /* "cubic" or "bbr" */
    stoq_ns srtt_ns;   /* 0: not measured yet */
    stoq_ns min_rtt_ns;
    stoq_ns late_rtt_ns; /* the shortest of the last tenth of a second; 0: no background is sent */
    uint64_t cwnd_bytes;
    uint64_t in_flight_bytes;
    uint64_t bytes_sent; /* UDP payload */
    uint64_t bytes_received;
    uint64_t packets_sent;
    uint64_t packets_received;
    uint64_t packets_lost;
    uint64_t bytes_lost;
    uint64_t background_bytes; /* of STOQ_NET_BACKGROUND's streams, sent */
    uint64_t buffered_bytes;   /* written, not acknowledged */
    size_t packet_bytes;       /* the path's UDP payload as far as discovered */
    size_t streams;            /* open */
    size_t peer_streams;       /* of those, begun by the peer */
    uint64_t streams_left;     /* that we may open now */
    uint64_t memory_bytes;     /* its part of the endpoint's */
    stoq_ns opened_at_ns;
};

bool stoq_net_info(const struct stoq_net *net, stoq_net_conn conn, struct stoq_net_info *out);
/* Every connection in no particular order; fn may close them. */
void stoq_net_each(struct stoq_net *net, void (*fn)(void *user, const struct stoq_net_info *info),
                   void *user);

/* Counters since stoq_net_new, and what is open now. */
struct stoq_net_stats {
    size_t connections;        /* open, dialling or handshaking */
    size_t handshakes;         /* inbound, unfinished */
    size_t connections_prefix; /* inbound, open, of the prefix that has most; not of one thread */
    uint64_t opened_inbound;
    uint64_t opened_outbound;
    uint64_t refused;                    /* inbound handshakes that failed ... */
    uint64_t refused_why[STOQ_NET_WHYS]; /* ... of these so many each way */
    uint64_t bytes_sent;                 /* UDP payload */
    uint64_t bytes_received;
    uint64_t datagrams_sent;
    uint64_t datagrams_received;
    uint64_t sends; /* system calls */
    uint64_t receives;
    uint64_t dropped_malformed; /* not QUIC, or too short for a first packet */
    uint64_t dropped_unknown;   /* no such connection */
    uint64_t dropped_prefix;    /* its prefix's budget is spent */
    uint64_t dropped_outsider;  /* without the network's key */
    uint64_t dropped_replayed;  /* with it, and sent before, or made at another time */
    uint64_t dropped_full;      /* handshakes_max, connections_max or memory_bytes */
    uint64_t dropped_crowded;   /* connections_prefix_max */
    uint64_t displaced;         /* handshakes that gave their place to another one */
    uint64_t dropped_send;      /* the kernel would not take them */
    uint64_t rpc_answered;
    uint64_t rpc_dropped;    /* over their rate, or not to be opened */
    uint64_t early_streams;  /* of peers, begun in early data */
    uint64_t early_rejected; /* dials of ours whose early data was not taken */
    uint64_t early_refused; /* of peers, not taken: replayed, or under a ticket that is not known */
    uint64_t retries_sent;
    uint64_t resets_sent;
    uint64_t handed_on; /* packets that came to the wrong thread */
    uint64_t buffered_bytes;
    uint64_t memory_bytes; /* as the configuration's, now */
};

/*
 * Have the other threads tell their figures, without waiting for them. What stoq_net_info, stoq_net_each and
 * the counters say is new as each of them gets to it.
 */
void stoq_net_refresh(struct stoq_net *net);
/* On any thread: wait until all have told what was asked for last. False: at `until` not all had. */
bool stoq_net_refreshed(struct stoq_net *net, stoq_ns until);
/* Of all threads together. */
void stoq_net_stats(const struct stoq_net *net, struct stoq_net_stats *out);
/* Of the i-th thread, 0 the loop's own; false past the last. */
bool stoq_net_thread_stats(const struct stoq_net *net, size_t i, struct stoq_net_stats *out);

#endif
