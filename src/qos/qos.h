#ifndef STOQ_QOS_QOS_H
#define STOQ_QOS_QOS_H
/*
 * The bandwidth core: caps in both directions, for all peers together, for a class of transfers and for
 * single peers; windows of the day in which others hold; and shares below them. Whoever moves bytes opens a
 * flow, says how many bytes it would move next, and moves them when the flow is granted. See
 * qos_share.c for how shares are made. What background leaves to strangers on the path is qos_yield.h.
 */
#include "base/types.h"

#define STOQ_QOS_FLOWS_MAX 4096u /* open at once; the engine has others wait behind these */
#define STOQ_QOS_PEERS_MAX 256u  /* with caps of their own */
#define STOQ_QOS_WINDOWS_MAX 16u /* of the day */
#define STOQ_QOS_RATE_MAX 1000000000000000u /* bytes per second */
#define STOQ_QOS_BURST (100 * STOQ_MS)      /* of the rate may go at once after a pause */
#define STOQ_QOS_DAY_MINUTES 1440u

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

/* Whose cap. */
enum stoq_qos_scope {
    STOQ_QOS_ALL,
    STOQ_QOS_CLASS,
    STOQ_QOS_PEER,
};
struct stoq_qos_whose {
    enum stoq_qos_scope scope;
    enum stoq_priority priority;     /* STOQ_QOS_CLASS */
    const struct stoq_peer_id *peer; /* STOQ_QOS_PEER; borrowed */
};

/* Bytes per second from now on; 0: no cap. Of all together: outside windows. STOQ_OK; STOQ_RANGE: over
 * STOQ_QOS_RATE_MAX; STOQ_FULL: past STOQ_QOS_PEERS_MAX; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_qos_limit(struct stoq_qos *qos, enum stoq_qos_dir dir,
                                                 const struct stoq_qos_whose *whose,
                                                 uint64_t rate_bytes_per_s, stoq_ns now);
/* What holds now; 0: no cap. */
uint64_t stoq_qos_rate(const struct stoq_qos *qos, enum stoq_qos_dir dir,
                       const struct stoq_qos_whose *whose);
/* The tightest cap that holds a peer's transfer of this priority; 0: none does. */
uint64_t stoq_qos_tightest(const struct stoq_qos *qos, enum stoq_qos_dir dir,
                           const struct stoq_peer_id *peer, enum stoq_priority priority);

/* A part of the day in which all together have another cap. */
struct stoq_qos_window {
    uint16_t from_minute; /* of the day, 0 .. STOQ_QOS_DAY_MINUTES - 1 */
    uint16_t to_minute;   /* not in it; at or before from_minute: of the next day */
    bool set[STOQ_QOS_DIRS];
    uint64_t rate_bytes_per_s[STOQ_QOS_DIRS]; /* where set; 0: no cap */
};
/* One more, in place of one with the same times; of those that hold the one added last counts. One that
 * sets nothing takes that of the same times away. STOQ_OK, STOQ_RANGE, STOQ_FULL. */
STOQ_WARN_UNUSED enum stoq_status stoq_qos_add_window(struct stoq_qos *qos,
                                                      const struct stoq_qos_window *window,
                                                      stoq_ns now);
/* The i-th; false past the last. holds: it is that time of day. */
bool stoq_qos_window_at(const struct stoq_qos *qos, size_t i, struct stoq_qos_window *out,
                        bool *holds);
/* What the clock on the wall says. Nothing here knows it otherwise; until told no window holds. */
void stoq_qos_local_time(struct stoq_qos *qos, unsigned minute, stoq_ns now);

struct stoq_qos_open {
    enum stoq_qos_dir dir;
    enum stoq_priority priority;
    const struct stoq_peer_id *peer; /* borrowed */
    /* Flows of one number, direction and priority are one to the others: a peer's, or a transfer's. */
    uint64_t group;
    uint64_t transfer; /* comes back in views */
    void *user;        /* comes back with grants */
};
/* 0: none is left, move bytes without. */
stoq_qos_flow stoq_qos_open(struct stoq_qos *qos, const struct stoq_qos_open *open);
/* What is asked for and not granted is forgotten. 0 is fine. */
void stoq_qos_close(struct stoq_qos *qos, stoq_qos_flow flow);
/* Ask for bytes more, above 0. True: granted at once, since no cap applies; else a grant follows. */
bool stoq_qos_want(struct stoq_qos *qos, stoq_qos_flow flow, uint64_t bytes, stoq_ns now);
/* What was asked for and not granted is not wanted any more. */
void stoq_qos_unwant(struct stoq_qos *qos, stoq_qos_flow flow);

struct stoq_qos_grant {
    stoq_qos_flow flow;
    void *user;
    uint64_t bytes; /* all that the flow asked for */
};
/* The next grant; false: none now. */
bool stoq_qos_poll(struct stoq_qos *qos, stoq_ns now, struct stoq_qos_grant *out);
/* What goes before bytes of this priority that would be asked for at this moment: what other flows want, as
 * far as no cap of their own holds it back, and how long that takes at the cap of all together; 0: no such
 * cap. */
stoq_ns stoq_qos_queue(const struct stoq_qos *qos, enum stoq_qos_dir dir,
                       enum stoq_priority priority, uint64_t *bytes);
/* When there may be one; STOQ_NEVER: nobody waits. */
stoq_ns stoq_qos_deadline(const struct stoq_qos *qos);

/* One allocation: a flow. */
struct stoq_qos_view {
    enum stoq_qos_dir dir;
    enum stoq_priority priority;
    struct stoq_peer_id peer;
    uint64_t transfer;
    uint64_t wanted;           /* not granted yet */
    uint64_t granted;          /* since it is open */
    uint64_t rate_bytes_per_s; /* granted, of the last second or so */
};
/* The i-th open flow; false past the last. */
bool stoq_qos_at(const struct stoq_qos *qos, size_t i, stoq_ns now, struct stoq_qos_view *out);
/* The i-th peer with caps; false past the last. */
bool stoq_qos_peer_at(const struct stoq_qos *qos, size_t i, struct stoq_peer_id *out);

/* Recount everything and abort on a difference: for tests and fuzzers. */
void stoq_qos_check(const struct stoq_qos *qos);

#endif
