#ifndef STOQ_DISCOVER_NEIGHBOURS_H
#define STOQ_DISCOVER_NEIGHBOURS_H
/*
 * Who else is on this link, and when to speak so that they find us: the decisions of LAN discovery.
 * Beacons come in verified; what they say of addresses is opaque here. See neighbours.c for the timing.
 */
#include "base/bytes.h"
#include "base/prng.h"

#define STOQ_NEIGHBOURS_MAX 512     /* known at a time; the quietest expired one makes room */
#define STOQ_NEIGHBOURS_HOST_MAX 16 /* of one host's address: a liar fills no more */
#define STOQ_BEACON_PERIOD (20 * STOQ_SEC) /* and up to a fifth more */
#define STOQ_NEIGHBOUR_TTL (70 * STOQ_SEC) /* three beacons may be lost */
#define STOQ_BEACON_GAP (100 * STOQ_MS)    /* between two of ours */

/* An address as the shell writes it: equal addresses are equal bytes. */
#define STOQ_PLACE_BYTES 24
struct stoq_place_addr {
    uint8_t b[STOQ_PLACE_BYTES];
};

enum stoq_beacon_kind {
    STOQ_BEACON_HERE = 1, /* I serve at this port */
    STOQ_BEACON_ASK = 2,  /* the same, or port 0: I serve nobody; and who else is there? */
    STOQ_BEACON_BYE = 3,  /* I stop serving */
};

struct stoq_neighbour {
    struct stoq_peer_id peer;
    struct stoq_place_addr addr;
    uint64_t host;     /* a hash of the address without its port, the shell's */
    bool link_local;   /* an IPv6 link-local address: preferred, it needs no configuration */
    uint64_t sequence; /* of the newest beacon */
    stoq_ns first_at;
    stoq_ns heard_at;
};

struct stoq_neighbours_config {
    struct stoq_peer_id self; /* its own beacons come back and are ignored */
    bool serving;             /* false: ASK only, nobody is told of us */
    uint64_t seed;
};

struct stoq_neighbours {
    struct stoq_neighbours_config cfg;
    struct stoq_prng prng;
    struct stoq_neighbour known[STOQ_NEIGHBOURS_MAX];
    size_t count;
    unsigned burst_left; /* ASKs of the beginning still to be sent */
    stoq_ns next_at;     /* of the beginning's, or the period's */
    stoq_ns answer_at;   /* an ASK waits for our HERE; STOQ_NEVER: none */
    stoq_ns sent_at;
    bool sent;
};

void stoq_neighbours_init(struct stoq_neighbours *nb, const struct stoq_neighbours_config *cfg,
                          stoq_ns now);

/* A beacon of somebody, its signature verified. HERE and ASK with port 0 (addr NULL) name no address. */
struct stoq_beacon_heard {
    enum stoq_beacon_kind kind;
    struct stoq_peer_id peer;
    uint64_t sequence;
    const struct stoq_place_addr *addr;
    uint64_t host;
    bool link_local;
};

/* What it changed. */
enum stoq_neighbour_news {
    STOQ_NEIGHBOUR_NOTHING,
    STOQ_NEIGHBOUR_NEW, /* not known before, or at another address now */
    STOQ_NEIGHBOUR_GONE,
};
enum stoq_neighbour_news stoq_neighbours_heard(struct stoq_neighbours *nb,
                                               const struct stoq_beacon_heard *heard, stoq_ns now);
/* A link came up or a beacon could not be sent: begin again. */
void stoq_neighbours_restart(struct stoq_neighbours *nb, stoq_ns now);
/* Somebody looks for neighbours now: ask them, if that was not done just before. */
void stoq_neighbours_ask(struct stoq_neighbours *nb, stoq_ns now);

/* Is a beacon due? True: send one of *kind; it counts as sent. */
bool stoq_neighbours_due(struct stoq_neighbours *nb, stoq_ns now, enum stoq_beacon_kind *kind);
/* When to call due though nothing was heard. */
stoq_ns stoq_neighbours_deadline(const struct stoq_neighbours *nb);

/* Those heard within the TTL, the latest known first; at most out_max. Returns how many. */
size_t stoq_neighbours_list(struct stoq_neighbours *nb, stoq_ns now, struct stoq_neighbour *out,
                            size_t out_max);

#endif
