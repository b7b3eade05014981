#ifndef STOQ_NET_GUARD_H
#define STOQ_NET_GUARD_H
/*
 * What a stranger may cost before any cryptography: a token bucket and a count of unfinished
 * handshakes per source prefix, a count in all, and one bucket for replies that keep no state.
 * Knows prefixes as opaque numbers; time is an argument.
 */
#include "base/bytes.h"

/* Prefixes share slots by a secret hash: memory is fixed, nothing is ever evicted, and nobody can
 * choose whom to share with. At the default rate a slot's neighbours cost each other little. */
#define NET_GUARD_SLOTS 4096

struct net_guard_slot {
    stoq_ns full_at; /* when the bucket is full again: tokens are how far that lies ahead */
    stoq_ns rpc_full_at;
    uint32_t open; /* unfinished handshakes */
};

struct net_guard {
    struct net_guard_slot slots[NET_GUARD_SLOTS];
    uint64_t seed;
    stoq_ns token_ns; /* the price of one first packet */
    stoq_ns burst_ns; /* how far ahead full_at may lie */
    size_t open;
    size_t open_max;
    size_t open_prefix_max;
    stoq_ns reply_full_at;
    stoq_ns rpc_full_at;
};

/* per_s first packets a second from one prefix, 2 x per_s at once; per_s > 0. */
void net_guard_init(struct net_guard *g, uint64_t seed, uint32_t per_s, size_t open_max,
                    size_t open_prefix_max);
/* Take one token of the prefix; false: its budget is spent. */
bool net_guard_admit(struct net_guard *g, uint64_t prefix, stoq_ns now);
/* May one stateless reply (version negotiation, retry, refusal, reset) be sent now? Takes a token of
 * the one bucket: NET_GUARD_REPLIES_PER_S a second. */
#define NET_GUARD_REPLIES_PER_S 25000 /* some 13 us each: a third of a core at worst */
bool net_guard_reply(struct net_guard *g, stoq_ns now);
/* May one sealed datagram be opened now? Takes a token of its payer (net_rpc_payer) and one of all: some
 * 0.2 ms each, so half a core at worst. */
#define NET_GUARD_RPCS_PREFIX_PER_S 200
#define NET_GUARD_RPCS_PER_S 2500
bool net_guard_rpc(struct net_guard *g, uint64_t payer, stoq_ns now);
/* Count a handshake begun; false: too many in all or from this prefix, nothing is counted. */
bool net_guard_enter(struct net_guard *g, uint64_t prefix);
/* One that entered is finished or given up. */
void net_guard_leave(struct net_guard *g, uint64_t prefix);
/* So many are open that strangers should prove their address first. */
bool net_guard_wary(const struct net_guard *g);

#endif
