#ifndef STOQ_DISCOVER_EXCHANGE_INTERNAL_H
#define STOQ_DISCOVER_EXCHANGE_INTERNAL_H
/*
 * Inside peer exchange:
 *   exchange.c         connections: who is there, who may ask, what each is told
 *   exchange_judge.c   records: what is believed and kept
 *   exchange_act.c     what to do next: whom to ask, whom to dial
 */
#include "discover/exchange.h"

struct exchange_link {
    struct stoq_peer_id peer;
    struct stoq_exchange_addr addr;
    enum stoq_exchange_site site;
    bool used; /* a place that was ever taken */
    bool up;
    bool dialled;
    bool muted;    /* it passed on what nobody signed */
    bool asked;    /* ever */
    bool answered; /* ever */
    stoq_ns asked_at;
    stoq_ns answered_at;
    stoq_ns ask_at; /* next */
    stoq_ns heard_at;
};

struct exchange_contact {
    struct stoq_peer_id peer;
    struct stoq_peer_id from; /* whose word it is */
    uint64_t sequence;
    stoq_ns until; /* its TTL */
    stoq_ns added_at;
    uint8_t *bytes;
    size_t n;
    struct stoq_exchange_addr addrs[STOQ_EXCHANGE_ADDRS_MAX];
    uint32_t addr_count;
    uint32_t dialable; /* a bit each */
    bool met;
    struct stoq_exchange_addr met_addr;
    stoq_ns met_at;
    bool dialling;
    uint32_t tries;
    stoq_ns next_at;
};

struct stoq_exchange {
    struct stoq_exchange_config cfg;
    struct stoq_prng prng;
    struct exchange_link links[STOQ_EXCHANGE_LINKS_MAX];
    size_t link_count; /* places ever taken */
    struct exchange_contact known[STOQ_EXCHANGE_KNOWN_MAX];
    size_t count;
    size_t memory;
    uint32_t dialling;
    stoq_ns next_at; /* nothing to do before */
    struct stoq_exchange_stats stats;
};

/* exchange.c */
struct exchange_link *exchange_link(struct stoq_exchange *x, const struct stoq_peer_id *peer);
const struct exchange_link *exchange_link_seen(const struct stoq_exchange *x,
                                               const struct stoq_peer_id *peer);
/* Is an address worth something to this peer, and its word about it to us? */
bool exchange_shared(const struct exchange_link *l, const uint8_t *ip);

/* exchange_judge.c */
struct exchange_contact *exchange_contact(struct stoq_exchange *x, const struct stoq_peer_id *peer);
void exchange_drop(struct stoq_exchange *x, struct exchange_contact *c);
void exchange_drop_expired(struct stoq_exchange *x, stoq_ns now);
bool exchange_is_met(const struct exchange_contact *c, stoq_ns now);
/* Its key is at the other end of a connection with an address that it names itself. */
void exchange_meet(struct exchange_contact *c, const struct exchange_link *l, stoq_ns now);

#endif
