#ifndef STOQ_DISCOVER_EXCHANGE_H
#define STOQ_DISCOVER_EXCHANGE_H
/*
 * Peer exchange: which peers are told to whom, whose word is taken, who is dialled because of it
 * (docs/PROTOCOL.md section 19). Connections and records come in, whom to ask and whom to dial comes out.
 * A record's bytes are opaque here: its signature is the shell's to check, between judge and take. See
 * exchange.c for the rules.
 */
#include "base/bytes.h"
#include "base/prng.h"

#define STOQ_EXCHANGE_KNOWN_MAX 512  /* records kept; beyond it who was never met gives way */
#define STOQ_EXCHANGE_LINKS_MAX 1024 /* peers whose last exchange is remembered */
#define STOQ_EXCHANGE_SENDER_MAX 64  /* kept of one sender's word until they are met */
#define STOQ_EXCHANGE_SUBNET_MAX 4 /* not met, of one public subnet: nobody aims us at a stranger */
#define STOQ_EXCHANGE_BYTES_MAX 8192          /* of one record */
#define STOQ_EXCHANGE_MEMORY_MAX (512u << 10) /* of all records */
#define STOQ_EXCHANGE_ADDRS_MAX 8
#define STOQ_EXCHANGE_ADDR_BYTES 18 /* 16 of IPv6 or mapped IPv4, then u16le port: as in records */
#define STOQ_EXCHANGE_PERIOD (60 * STOQ_SEC)    /* between two with one peer; sooner is refused */
#define STOQ_EXCHANGE_AGAIN (600 * STOQ_SEC)    /* a connection that lasts: asked again so often */
#define STOQ_EXCHANGE_MET_FOR (3600 * STOQ_SEC) /* who was met longer ago is not told of */
#define STOQ_EXCHANGE_RENEW                                                                        \
    (2700 * STOQ_SEC)           /* met this long ago: dialled again, if few are known */
#define STOQ_EXCHANGE_FRESH 16  /* are kept met so */
#define STOQ_EXCHANGE_ENOUGH 64 /* met lately: no more are dialled */
#define STOQ_EXCHANGE_DIALS_MAX 4
#define STOQ_EXCHANGE_TRIES_MAX 3 /* then the record is dropped */
#define STOQ_EXCHANGE_RETRY (300 * STOQ_SEC)

struct stoq_exchange_addr {
    uint8_t b[STOQ_EXCHANGE_ADDR_BYTES];
};

/* What the configuration says of a peer's site and ours. */
enum stoq_exchange_site { STOQ_SITE_UNKNOWN, STOQ_SITE_OURS, STOQ_SITE_OTHER };

struct stoq_exchange_config {
    struct stoq_alloc alloc;
    struct stoq_peer_id self;
    uint64_t seed;
};

struct stoq_exchange;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_exchange_new(struct stoq_exchange **out,
                                                    const struct stoq_exchange_config *cfg);
void stoq_exchange_free(struct stoq_exchange *x); /* NULL is fine */

/* A connection is open: its key is checked and its address answers. */
struct stoq_exchange_link {
    struct stoq_peer_id peer;
    struct stoq_exchange_addr addr; /* the other end's */
    enum stoq_exchange_site site;
    bool dialled; /* by us: then it is ours to ask */
};
void stoq_exchange_up(struct stoq_exchange *x, const struct stoq_exchange_link *link, stoq_ns now);
void stoq_exchange_down(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now);
/* A dial failed, of whoever wished it. */
void stoq_exchange_unreachable(struct stoq_exchange *x, const struct stoq_peer_id *peer,
                               stoq_ns now);

/* A contact record, decoded; spans are borrowed. */
struct stoq_exchange_record {
    struct stoq_peer_id peer;
    struct stoq_span addresses; /* 18 bytes each */
    uint64_t sequence;
    stoq_ns ttl_ns; /* left; 0: not good now */
    struct stoq_span bytes;
};
enum stoq_exchange_verdict {
    STOQ_EXCHANGE_WANTED,  /* check its signature, then take it */
    STOQ_EXCHANGE_KNOWN,   /* this one or a newer one is here; or it is our own */
    STOQ_EXCHANGE_EXPIRED, /* or not good yet */
    STOQ_EXCHANGE_FOREIGN, /* no address in it may be dialled on this sender's word */
    STOQ_EXCHANGE_FULL,    /* this sender's share, its subnet's, or all are taken */
    STOQ_EXCHANGE_FORGED,  /* its signature does not hold; said by stoq_exchange_forged */
    STOQ_EXCHANGE_VERDICTS,
};
/* Worth a look at its signature? What is refused is counted. from is connected. */
enum stoq_exchange_verdict stoq_exchange_judge(struct stoq_exchange *x,
                                               const struct stoq_peer_id *from,
                                               const struct stoq_exchange_record *rec, stoq_ns now);
/* Keep a record that is WANTED and whose signature holds. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_exchange_take(struct stoq_exchange *x,
                                                     const struct stoq_peer_id *from,
                                                     const struct stoq_exchange_record *rec,
                                                     stoq_ns now);
/* A signature did not hold. Who passes records on has checked them: this sender's word counts no more. */
void stoq_exchange_forged(struct stoq_exchange *x, const struct stoq_peer_id *from);

/* A request of this peer has come: may it be answered? It counts as answered then. */
bool stoq_exchange_may_answer(struct stoq_exchange *x, const struct stoq_peer_id *peer,
                              stoq_ns now);
/* May this peer see these addresses? */
bool stoq_exchange_may_see(const struct stoq_exchange *x, const struct stoq_peer_id *peer,
                           struct stoq_span addresses);
/* Records for this peer, drawn at random among those it may have; good until the next call. How many. */
size_t stoq_exchange_pick(struct stoq_exchange *x, const struct stoq_peer_id *peer,
                          struct stoq_span *out, size_t out_max, stoq_ns now);

enum stoq_exchange_action_kind {
    STOQ_EXCHANGE_ASK,  /* this peer, on its connection */
    STOQ_EXCHANGE_DIAL, /* this peer, at these addresses; up or unreachable follows */
};
struct stoq_exchange_action {
    enum stoq_exchange_action_kind kind;
    struct stoq_peer_id peer;
    struct stoq_exchange_addr addrs[STOQ_EXCHANGE_ADDRS_MAX];
    uint32_t addr_count;
};
bool stoq_exchange_poll(struct stoq_exchange *x, stoq_ns now, struct stoq_exchange_action *out);
stoq_ns stoq_exchange_deadline(const struct stoq_exchange *x);

/* Is it known to be where it says, within the hour? */
bool stoq_exchange_is_met(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now);

/* A peer as known now. */
struct stoq_exchange_view {
    struct stoq_peer_id peer;
    struct stoq_exchange_addr addr; /* where it was met, or the first to be dialled */
    bool met;                       /* within STOQ_EXCHANGE_MET_FOR */
    stoq_ns met_ns;                 /* since then */
};
/* The i-th; false past the last. */
bool stoq_exchange_at(const struct stoq_exchange *x, size_t i, stoq_ns now,
                      struct stoq_exchange_view *out);

struct stoq_exchange_stats {
    size_t known;
    size_t met;
    uint64_t asked;
    uint64_t answered;
    uint64_t refused; /* requests that came too soon */
    uint64_t taken;   /* records */
    uint64_t verdicts[STOQ_EXCHANGE_VERDICTS];
    uint64_t dialled;
};
void stoq_exchange_stats(const struct stoq_exchange *x, stoq_ns now,
                         struct stoq_exchange_stats *out);

#endif
