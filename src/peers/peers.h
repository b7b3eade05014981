#ifndef STOQ_PEERS_PEERS_H
#define STOQ_PEERS_PEERS_H
/*
 * The peers this node knows: where they stand, what was measured of them, and how some of them are
 * chosen. Nothing a peer claims is looked at: places come from our configuration and the addresses we
 * see, rates from bytes that arrived. See peers.c for how a rate is measured.
 */
#include "peers/rtt.h"
#include "rule/rule.h"

#define STOQ_PEERS_MAX STOQ_RULE_CANDIDATES_MAX /* known at a time; all can be judged by one rule */
#define STOQ_PEERS_LABEL_MAX 32                 /* bytes of a tag */
#define STOQ_PEERS_DOMAIN_MAX 64 /* bytes of a domain's or subnet's text with its NUL */
#define STOQ_PEERS_RATE_HALF_LIFE (10 * STOQ_SEC)
#define STOQ_PEERS_RATE_STALE (600 * STOQ_SEC) /* after this long nothing is known of it any more */
#define STOQ_PEERS_RATE_BUSY (50 * STOQ_MS)    /* of transfer time until a rate is known, or ... */
#define STOQ_PEERS_RATE_BYTES STOQ_MIB         /* ... of bytes */

struct stoq_peers;

/* What fails together, as our configuration says; "" where it does not. Labels are [A-Za-z0-9._-]. */
struct stoq_peers_place {
    char host[STOQ_PEERS_LABEL_MAX + 1];
    char site[STOQ_PEERS_LABEL_MAX + 1];
    char rack[STOQ_PEERS_LABEL_MAX + 1];
    char region[STOQ_PEERS_LABEL_MAX + 1];
};

enum stoq_peers_event_kind {
    STOQ_PEERS_PLACE, /* u.place: where it stands; replaces what was said before */
    STOQ_PEERS_SEEN,  /* u.ip: of 16 bytes, IPv4 mapped */
    STOQ_PEERS_UP,    /* u.rtt_ns; 0: not known */
    STOQ_PEERS_RTT,   /* u.rtt_ns: measured on its connection */
    STOQ_PEERS_DOWN,  /* or, where it was not up, could not be reached */
    STOQ_PEERS_BEGIN, /* a transfer from it */
    STOQ_PEERS_BYTES, /* u.bytes arrived from it */
    STOQ_PEERS_END,   /* of a transfer */
};

struct stoq_peers_event {
    enum stoq_peers_event_kind kind;
    const struct stoq_peer_id *peer; /* borrowed, as are the pointers below */
    union {
        const struct stoq_peers_place *place;
        const uint8_t *ip;
        stoq_ns rtt_ns;
        uint64_t bytes;
    } u;
};

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_peers_new(struct stoq_peers **out,
                                                 const struct stoq_alloc *alloc, uint64_t seed);
void stoq_peers_free(struct stoq_peers *peers); /* NULL is fine */

/* STOQ_OK; STOQ_NOMEM, STOQ_FULL (everybody known is connected or named by the configuration): the
 * event was not taken in. Past STOQ_PEERS_MAX the one not heard of for longest is forgotten. */
STOQ_WARN_UNUSED enum stoq_status stoq_peers_feed(struct stoq_peers *peers,
                                                  const struct stoq_peers_event *ev, stoq_ns now);

enum stoq_peers_state {
    STOQ_PEERS_UNTRIED, /* named only */
    STOQ_PEERS_CONNECTED,
    STOQ_PEERS_IDLE,        /* it was, and has not failed since */
    STOQ_PEERS_UNREACHABLE, /* the last dial failed */
    STOQ_PEERS_STATES,
};
/* "untried", ...; static. */
const char *stoq_peers_state_str(enum stoq_peers_state state);

/* One peer as known now. */
struct stoq_peers_view {
    struct stoq_peer_id id;
    struct stoq_peers_place place;
    char subnet[STOQ_PEERS_DOMAIN_MAX]; /* its IPv4 /24 or IPv6 /48; "": never seen */
    char domain
        [STOQ_PEERS_DOMAIN_MAX]; /* the widest of site, rack, host, subnet that is known; or "" */
    bool connected;
    bool rate_known;
    enum stoq_peers_state state;
    stoq_ns state_age_ns;  /* since it is so */
    stoq_ns rtt_ns;        /* held against spikes (rtt.h); 0: not known */
    stoq_ns rtt_latest_ns; /* the latest measured */
    stoq_ns rtt_age_ns;    /* since rtt_ns is what it is */
    uint32_t rtt_changes;
    uint64_t rate_bytes_per_s;
    stoq_ns rate_age_ns;
    uint64_t bytes_fetched; /* since it is known */
};
/* How many known peers share this one's public subnet, itself included; 1 where it has none. */
uint32_t stoq_peers_neighbours(const struct stoq_peers *peers, const struct stoq_peer_id *id);
/* Where it stands; false: it is not known. */
bool stoq_peers_place(const struct stoq_peers *peers, const struct stoq_peer_id *id,
                      struct stoq_peers_place *out);
size_t stoq_peers_count(const struct stoq_peers *peers);
/* The i-th in the order in which they became known; false past the last. */
bool stoq_peers_at(const struct stoq_peers *peers, size_t i, stoq_ns now,
                   struct stoq_peers_view *out);

/* The schema of every rule about peers. */
enum stoq_peers_field {
    STOQ_PEERS_FIELD_PEER,
    STOQ_PEERS_FIELD_ADDR,
    STOQ_PEERS_FIELD_HOST,
    STOQ_PEERS_FIELD_SUBNET,
    STOQ_PEERS_FIELD_SITE,
    STOQ_PEERS_FIELD_RACK,
    STOQ_PEERS_FIELD_REGION,
    STOQ_PEERS_FIELD_DOMAIN,
    STOQ_PEERS_FIELD_CONNECTED,
    STOQ_PEERS_FIELD_RTT,
    STOQ_PEERS_FIELD_RATE,
    STOQ_PEERS_FIELD_FETCHED,
    STOQ_PEERS_FIELD_SCORE, /* thousandths */
    STOQ_PEERS_FIELD_TRUSTED,
    STOQ_PEERS_FIELD_CUT,
    STOQ_PEERS_FIELDS,
};
const struct stoq_rule_field *stoq_peers_fields(void);

/* The specification's PeerSelection. */
enum stoq_peers_selection_kind {
    STOQ_PEERS_REPLICATION_FACTOR, /* count peers in as many failure domains */
    STOQ_PEERS_GEOGRAPHIC,         /* those of a region, and no others */
    STOQ_PEERS_BANDWIDTH,          /* measured at rate_bytes_per_s or more */
    STOQ_PEERS_CUSTOM,             /* by a rule */
};
struct stoq_peers_selection {
    enum stoq_peers_selection_kind kind;
    uint32_t count;
    uint64_t rate_bytes_per_s;
    struct stoq_span text; /* GEOGRAPHIC: the region; CUSTOM: the rule. Borrowed */
};

/* How many peers the selection must give to be met. */
uint32_t stoq_peers_selection_wants(const struct stoq_peers_selection *sel);
/*
 * The rule that a selection stands for; three of the four are rules of ours, so that one evaluator
 * chooses, and says why, for all of them.
 * STOQ_OK; STOQ_FULL: out's max; STOQ_NOMEM; STOQ_RANGE: a count or region that cannot be.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_peers_selection_rule(const struct stoq_peers_selection *sel,
                                                            struct stoq_buf *out);

#endif
