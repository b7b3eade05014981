#ifndef STOQ_NET_REPLAY_H
#define STOQ_NET_REPLAY_H
/*
 * What members of a private network send first, each good once: who copies such a packet and sends it again
 * from elsewhere gets nothing, not even the news that somebody is there. Each carries the time at which it
 * was made; those that are too old to be remembered are not taken. Time is an argument, milliseconds since
 * 1970.
 */
#include "base/bytes.h"

/* How far the sender's clock may be off, and how old what it sent may be. */
#define NET_REPLAY_WINDOW_MS UINT64_C(300000)
/* A sender may repeat itself for so long, from the address it began at: its handshake's packets are lost. */
#define NET_REPLAY_AGAIN_MS UINT64_C(30000)
/* Of first packets and sealed requests remembered at least; twice as many at most. 55 a second for the time
 * that they are remembered. */
#define NET_REPLAY_HALF 32768u

struct net_replay_entry {
    uint64_t tag; /* 0: empty */
    uint64_t from;
    uint64_t seen_ms;
};

struct net_replay_half {
    struct net_replay_entry *v; /* half of them stay empty */
    size_t count;
    uint64_t since_ms;
    uint64_t newest_ms; /* the latest time that any of them says */
};

struct net_replay {
    struct net_replay_half now;
    struct net_replay_half before;
    size_t slots;      /* of each half */
    uint64_t floor_ms; /* what was made earlier may have been forgotten */
};

enum net_replay_answer {
    NET_REPLAY_FRESH,
    NET_REPLAY_COPY,  /* it came before, from elsewhere or long ago */
    NET_REPLAY_CLOCK, /* made too long ago, or in the future, or before we can remember */
};

/* half: so many are remembered at least, a power of two. Nothing made before now_ms is taken. STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_replay_init(struct net_replay *r, size_t half,
                                                  uint64_t now_ms);
/* Fine on zeros. */
void net_replay_release(struct net_replay *r);
/*
 * Is this one good? It is remembered if so.
 *
 * tag     bits of what only members can make: nobody chooses them
 * from    stands for the address it came from
 * made_ms  the time it carries, which the tag covers
 */
enum net_replay_answer net_replay_take(struct net_replay *r, uint64_t tag, uint64_t from,
                                       uint64_t made_ms, uint64_t now_ms);

#endif
