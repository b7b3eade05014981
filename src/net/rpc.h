#ifndef STOQ_NET_RPC_H
#define STOQ_NET_RPC_H
/* Calls in single datagrams: those of ours that wait for a reply, and others' that are answered. */
#include "base/heap.h"
#include "net/seal.h"
#include "net/udp.h"

#include <sys/queue.h>

struct net_rpc_call;
TAILQ_HEAD(net_rpc_calls, net_rpc_call);

struct net_rpc {
    struct net_seal_key key;
    struct net_rpc_calls calls;
    size_t count;
    struct stoq_heap deadlines; /* of calls: resend or give up */
    uint8_t token_secret[32];
};

/* key, secret: see net_seal_key_init. STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_rpc_init(struct stoq_net *net);
/* Ends every call with STOQ_CANCELLED. */
void net_rpc_release(struct stoq_net *net);
/* On whose account a request from there goes (net_guard_rpc): a subnet's out in the world, where one owner
 * has many addresses; a host's in private networks, where many share a subnet; a process's on this host. */
uint64_t net_rpc_payer(const struct stoq_addr *from);
/* A datagram whose first byte is below 0x40. */
void net_rpc_receive(struct stoq_net *net, struct net_socket *socket, const struct net_datagram *d,
                     struct stoq_span bytes);
/* Send again, or give up, what is due. */
void net_rpc_run_deadlines(struct stoq_net *net);
stoq_ns net_rpc_deadline(const struct stoq_net *net);

#endif
