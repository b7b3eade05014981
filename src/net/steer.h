#ifndef STOQ_NET_STEER_H
#define STOQ_NET_STEER_H
/*
 * Several sockets on one port, one a network thread. The kernel gives each datagram to the thread whose
 * number is the first byte of its destination connection id, modulo their count: those that we issued begin
 * with their thread's number, those that a client makes up for its first packets with a random byte. Sealed
 * datagrams (first byte 00xxxxxx) go to the first thread.
 */
#include "net/udp.h"
#include "os/loop.h"

#include <pthread.h>
#include <stdatomic.h>

/* Of a batch that the kernel glued together it looks at the first packet only, so another connection's
 * packets between the same two ports can come to the wrong thread: they are handed on, so many at a time. */
#define NET_STRAYS_MAX 256

struct stoq_net;

struct net_stray {
    struct net_stray *next;
    struct net_datagram d;
    size_t listener;
    uint8_t bytes[];
};

/* What a thread shows the others, and what they hand it. */
struct net_share {
    atomic_uint_fast64_t bytes; /* that its connections hold beyond their own weight */
    struct stoq_net *net;       /* NULL: gone, or not there yet */
    pthread_mutex_t lock;       /* guards what follows */
    struct net_stray *first;
    struct net_stray **last;
    size_t count;
    bool called;
    struct stoq_post post;
};

struct net_threads {
    unsigned count;
    struct net_share of[];
};

/* NULL: out of memory. */
struct net_threads *net_threads_new(unsigned count);
/* No thread runs any more. */
void net_threads_free(struct net_threads *threads);
/* The endpoint is there, and gone. */
void net_share_begin(struct stoq_net *net);
void net_share_end(struct stoq_net *net);
/* Show the others how much is in use. */
void net_share_figures(struct stoq_net *net);
/* What the others use. */
uint64_t net_others_bytes(const struct stoq_net *net);

/* Have the kernel steer among the sockets that share this one's port. STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status net_steer(const struct net_socket *s, unsigned count,
                                            struct stoq_error *err);
/* A packet that no connection here wants: if its id names another thread, hand it on. */
bool net_hand_on(struct stoq_net *net, const struct net_socket *socket,
                 const struct net_datagram *d, struct stoq_span packet, struct stoq_span dcid);

#endif
