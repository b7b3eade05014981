#ifndef STOQ_NET_FAR_H
#define STOQ_NET_FAR_H
/*
 * More than one network thread. The transport's owner lives on the first thread, with an endpoint of its
 * own; each further thread serves one more endpoint, a struct net_far. Neither side touches what is the
 * other's: they send each other messages, in order, through two lists under one lock, which is held only to
 * hang a whole list over. The owner keeps a picture of every connection over there, precise enough to
 * answer its calls at once (struct net_far_conn), so nobody ever waits for the other, except for figures.
 *
 *   far.c         start, end, and the two lists
 *   far_call.c    calls of net.h for connections over there
 *   far_event.c   what the other thread told, on the owner's thread
 *   far_thread.c  what the owner asked for, on the other thread
 *   steer.c       packets to the thread that their connection id names; those that came to the wrong one
 */
#include "base/map.h"
#include "net/net.h"
#include "os/loop.h"

#include <pthread.h>
#include <sys/queue.h>

/* Events that the owner has not taken yet, payload and all: more, and the thread reads no packets. */
#define NET_FAR_EVENTS_BYTES (8 * STOQ_MIB)

enum net_far_kind {
    /* the owner's commands */
    NET_FAR_DIAL,
    NET_FAR_CLOSE,
    NET_FAR_KEEP_ALIVE,
    NET_FAR_BACKGROUND_RATE,
    NET_FAR_OPEN, /* a stream */
    NET_FAR_CLASS,
    NET_FAR_WRITE,
    NET_FAR_CONSUMED,
    NET_FAR_RESET,
    NET_FAR_STOP,
    NET_FAR_FORGET, /* the connection's last: free it */
    /* the thread's events */
    NET_FAR_OPENED,
    NET_FAR_CLOSED, /* its last but for buffers released */
    NET_FAR_REFUSED,
    NET_FAR_STREAM,
    NET_FAR_DATA,
    NET_FAR_RELEASED, /* a write come back */
    NET_FAR_ALLOWED,  /* so many streams in all */
    NET_FAR_ENDED,
    NET_FAR_STREAM_CLOSED,
};

struct net_far_conn;

struct net_far_msg {
    struct net_far_msg *next;
    enum net_far_kind kind;
    bool kept; /* part of its connection: not freed by itself */
    bool fin;  /* WRITE, DATA; ENDED: the peer asked us to stop */
    bool early;
    struct net_far_conn *conn;
    stoq_net_stream stream;
    union {
        struct {
            struct stoq_net_dial dial;
            struct stoq_peer_id pin;
        } dial;
        struct stoq_net_opened opened; /* OPENED */
        struct stoq_net_closed closed; /* CLOSED, REFUSED */
        struct {
            struct stoq_net_buf buf;
            struct net_far *far;
        } write;         /* WRITE, RELEASED */
        uint64_t number; /* a code, bytes, ns, a class, a count of streams */
    } u;
    char *text; /* CLOSE, CLOSED, REFUSED */
    uint8_t *bytes;
    size_t n;
    size_t cap;
};

struct net_far_list {
    struct net_far_msg *first;
    struct net_far_msg **last;
    size_t bytes;
};

/* The owner's picture of a stream. */
struct net_far_stream {
    TAILQ_ENTRY(net_far_stream) link;
    int64_t id;
    uint64_t buffered;
    uint64_t received; /* given to the data callback */
    uint64_t consumed;
    uint8_t rank;
    bool early;
    bool shut; /* our side is over */
    bool fin_wanted;
    bool deaf;
    bool starved;
};

/* A connection over there. Made by the side that hears of it first, freed over there by FORGET. */
struct net_far_conn {
    struct net_far *far;
    struct net_far_msg end;   /* CLOSED, later FORGET: there must be memory for these */
    struct net_far_msg close; /* CLOSE */
    char end_text[STOQ_NET_CLOSE_TEXT_MAX];
    char close_text[STOQ_NET_CLOSE_TEXT_MAX];
    struct stoq_net_info info; /* as last told; under the lock */
    /* the thread's */
    stoq_net_conn there;   /* its number there; 0: none */
    uint64_t opened_there; /* streams of ours */
    /* the owner's */
    stoq_net_conn id; /* 0: nobody was told of it */
    bool inbound;
    bool opened;
    bool closing; /* the owner wants no more of it */
    bool over;    /* CLOSED came */
    bool starving;
    bool wants_stream;
    uint64_t streams_ours; /* opened */
    uint64_t streams_allowed;
    uint64_t writes_out; /* WRITEs that have not come back */
    uint64_t buffered;
    uint64_t unconsumed;
    uint64_t orphaned;
    TAILQ_HEAD(, net_far_stream) streams;
};

struct net_far {
    struct stoq_net *owner;
    struct stoq_net *net; /* the endpoint of that thread */
    struct stoq_loop *loop;
    pthread_t id;
    bool runs;
    unsigned thread;
    /* both sides', under the lock */
    pthread_mutex_t lock;
    pthread_cond_t told; /* figures are there */
    struct net_far_list commands;
    struct net_far_list events;
    bool paused; /* the thread reads no packets until events are taken */
    bool owner_called;
    bool thread_called;
    uint64_t figures_wanted;
    uint64_t figures_told;
    struct stoq_net_stats stats;
    struct stoq_post to_owner;
    struct stoq_post to_thread;
    /* the owner's */
    struct net_far_list out;    /* commands of this turn */
    struct net_far_msg *credit; /* the last CONSUMED of these, to be added to; or NULL */
    struct stoq_map conns;      /* number -> net_far_conn */
    struct stoq_map streams;    /* number, stream -> net_far_stream */
    uint64_t conn_last;
    uint64_t bytes; /* of all its connections: written and not released, given and not consumed */
    /* the thread's */
    struct net_far_list in;     /* events of this turn */
    struct net_far_msg *gather; /* the last of these, when it is DATA that takes more; or NULL */
    struct stoq_map there;      /* number there -> net_far_conn */
    struct stoq_hook hook;
};

/* Numbers of connections over there have the top bit, and their thread's number below it. */
#define NET_FAR_BIT (UINT64_C(1) << 63)
#define NET_FAR_SHIFT 56
#define NET_FAR_NUMBER ((UINT64_C(1) << NET_FAR_SHIFT) - 1)

/* far.c */
/* One more endpoint beside the owner's, on a thread of its own. STOQ_NOMEM, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status net_far_start(struct net_far **out, struct stoq_net *owner,
                                                unsigned thread, struct stoq_error *err);
/* Serve it, once all endpoints stand. */
STOQ_WARN_UNUSED enum stoq_status net_far_run(struct net_far *far, struct stoq_error *err);
/* End its thread; nothing is freed. */
void net_far_halt(struct net_far *far);
/* After net_far_halt: say its goodbyes, tell what is to be told, free it. NULL is fine. */
void net_far_free(struct net_far *far);
/* Give what this turn brought to the other side. */
void net_far_send_commands(struct net_far *far);
void net_far_send_events(struct net_far *far);
/* A message with room for cap bytes behind it, or NULL. */
struct net_far_msg *net_far_msg_new(enum net_far_kind kind, struct net_far_conn *conn, size_t cap);
void net_far_msg_free(struct net_far_msg *msg);
void net_far_push(struct net_far_list *list, struct net_far_msg *msg);
/* A connection that neither side knows yet, or NULL. */
struct net_far_conn *net_far_conn_new(struct net_far *far);

/* far_call.c: as the calls of net.h; conn is over there. For a dial a place in the room was taken before. */
enum stoq_status net_far_dial(struct net_far *far, const struct stoq_net_dial *dial,
                              stoq_net_conn *out);
void net_far_close(struct net_far *far, stoq_net_conn id, uint64_t code, const char *text);
void net_far_keep_alive(struct net_far *far, stoq_net_conn id, stoq_ns after_ns);
void net_far_background_rate(struct net_far *far, stoq_net_conn id, uint64_t rate_bytes_per_s);
bool net_far_stream_is_early(const struct net_far *far, stoq_net_conn id, stoq_net_stream stream);
enum stoq_status net_far_open(struct net_far *far, stoq_net_conn id, stoq_net_stream *out);
void net_far_class(struct net_far *far, stoq_net_conn id, stoq_net_stream stream,
                   enum stoq_net_class rank);
/* copied: of buf's bytes so many are copied. */
enum stoq_status net_far_write(struct net_far *far, stoq_net_conn id, stoq_net_stream stream,
                               const struct stoq_net_buf *buf, size_t copied, bool fin);
uint64_t net_far_buffered(const struct net_far *far, stoq_net_conn id);
uint64_t net_far_stream_buffered(const struct net_far *far, stoq_net_conn id,
                                 stoq_net_stream stream);
void net_far_consumed(struct net_far *far, stoq_net_conn id, stoq_net_stream stream, uint64_t n);
void net_far_reset(struct net_far *far, stoq_net_conn id, stoq_net_stream stream, uint64_t code);
void net_far_stop(struct net_far *far, stoq_net_conn id, stoq_net_stream stream, uint64_t code);
/* n of the bytes given to the owner are held no more. */
void net_far_unhold(struct net_far_conn *conn, uint64_t n);
bool net_far_info(struct net_far *far, stoq_net_conn id, struct stoq_net_info *out);
/* As stoq_net_refresh and stoq_net_refreshed. */
void net_far_refresh(struct net_far *far);
bool net_far_refreshed(struct net_far *far, stoq_ns until);
void net_far_stats(struct net_far *far, struct stoq_net_stats *out); /* as last told */
void net_far_each(struct net_far *far, void (*fn)(void *user, const struct stoq_net_info *info),
                  void *user);

/* far_event.c: on the owner's thread */
void net_far_take_events(struct net_far *far);
struct net_far_conn *net_far_conn_find(const struct net_far *far, stoq_net_conn id);
struct net_far_stream *net_far_stream_find(const struct net_far *far,
                                           const struct net_far_conn *conn, int64_t id);
/* A stream of either side's begins; NULL: out of memory. */
struct net_far_stream *net_far_stream_new(struct net_far_conn *conn, int64_t id);
/* The connection cannot go on: memory for what had to be asked was not to be had. */
void net_far_conn_break(struct net_far_conn *conn);

/* far_thread.c: on the other thread */
extern const struct stoq_net_callbacks net_far_callbacks;
void net_far_take_commands(struct net_far *far);

#endif
