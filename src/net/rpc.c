/*
 * A call is one sealed datagram, sent again with the same bytes until a reply with its tag comes or its
 * time is over; which copy was answered is not known, so only a call sent once tells a round trip.
 *
 * Answering keeps nothing of the asker. Before the key agreement, which is what a request costs, stand
 * the hint of our key, which the asker must know, and the prefix's and everybody's rate. A reply is never
 * longer than its request, so a forged sender gains nothing; each brings a token that only the true one
 * sees: a MAC of its address and of the time in steps of TOKEN_STEP, good for one to two steps.
 */
#include "net/rpc.h"

#include "base/ip.h"
#include "hash/hash.h"
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT (2 * STOQ_SEC)
#define TOKEN_STEP (300 * STOQ_SEC)

_Static_assert(STOQ_NET_RPC_MESSAGE_MAX == NET_SEAL_MESSAGE_MAX &&
                   STOQ_NET_RPC_KEY_BYTES == NET_SEAL_KEY_BYTES &&
                   STOQ_NET_RPC_TOKEN_BYTES == NET_SEAL_TOKEN_BYTES,
               "one format");

struct net_rpc_call {
    struct stoq_heap_node timer; /* first */
    TAILQ_ENTRY(net_rpc_call) link;
    struct stoq_addr addr;
    uint64_t cookie;
    stoq_ns sent_at;
    stoq_ns resend_after;
    stoq_ns give_up_at;
    unsigned sends;
    struct net_seal_reply reply;
    size_t n;
    uint8_t datagram[NET_SEAL_REQUEST_MAX];
};

enum stoq_status net_rpc_init(struct stoq_net *net)
{
    TAILQ_INIT(&net->rpc.calls);
    net_random(net, net->rpc.token_secret, sizeof net->rpc.token_secret);
    return net_seal_key_init(&net->rpc.key, net->cfg.key);
}

const uint8_t *stoq_net_rpc_key(const struct stoq_net *net)
{
    return net->rpc.key.pub;
}

static const uint8_t *psk_of(const struct stoq_net *net)
{
    return net->private ? net->network_psk : NULL;
}

static void call_end(struct stoq_net *net, struct net_rpc_call *c, struct stoq_net_rpc_end *end)
{
    TAILQ_REMOVE(&net->rpc.calls, c, link);
    stoq_heap_remove(&net->rpc.deadlines, &c->timer);
    net->rpc.count--;
    end->cookie = c->cookie;
    free(c);
    if (net->cfg.cb.rpc_ended != NULL) {
        net->cfg.cb.rpc_ended(net->cfg.user, end);
    }
}

void net_rpc_release(struct stoq_net *net)
{
    struct net_rpc_call *c;
    while (net->rpc.calls.tqh_last != NULL && (c = TAILQ_FIRST(&net->rpc.calls)) != NULL) {
        call_end(net, c, &(struct stoq_net_rpc_end){.status = STOQ_CANCELLED});
    }
    stoq_heap_release(&net->rpc.deadlines);
    net_seal_key_release(&net->rpc.key);
}

static void send_bytes(struct stoq_net *net, struct net_socket *socket, const struct stoq_addr *to,
                       const struct stoq_addr *from, struct stoq_span bytes)
{
    struct net_out *out = net_tx_next(&net->tx, socket);
    if (out == NULL) {
        return; /* as if it were lost */
    }
    memcpy(net_tx_memory(&net->tx, out), bytes.p, bytes.n);
    out->n = bytes.n;
    out->segment = bytes.n;
    out->to = *to;
    out->from = *from;
    net_tx_commit(&net->tx);
}

static void call_send(struct stoq_net *net, struct net_rpc_call *c)
{
    struct net_socket *socket = net_socket_for(net, &c->addr, NULL);
    if (socket != NULL) {
        send_bytes(net, socket, &c->addr, &socket->local, stoq_span(c->datagram, c->n));
    }
    c->sends++;
    c->sent_at = net->now;
    stoq_ns next = net->now + c->resend_after;
    c->resend_after *= 2;
    stoq_heap_put(&net->rpc.deadlines, &c->timer, next < c->give_up_at ? next : c->give_up_at);
}

enum stoq_status stoq_net_rpc(struct stoq_net *net, const struct stoq_net_rpc_call *call)
{
    struct net_seal_body body = {.message = call->message, .room = call->room};
    if (call->addr.port == 0 || call->resend_ns == 0) {
        return STOQ_RANGE;
    }
    if (net->rpc.count >= STOQ_NET_RPC_CALLS_MAX) {
        return STOQ_FULL;
    }
    struct net_rpc_call *c = calloc(1, sizeof *c);
    if (c == NULL || stoq_heap_reserve(&net->rpc.deadlines, net->rpc.count + 1) != STOQ_OK) {
        free(c);
        return STOQ_NOMEM;
    }
    if (call->token != NULL) {
        memcpy(body.token, call->token, sizeof body.token);
    }
    enum stoq_status st =
        net_seal_request(call->key, psk_of(net), net->private ? net_member_now(net) : 0, &body,
                         c->datagram, &c->n, &c->reply);
    if (st != STOQ_OK) {
        free(c);
        return st;
    }
    net->now = net->clock(net->clock_user);
    c->addr = call->addr;
    c->cookie = call->cookie;
    c->resend_after = call->resend_ns;
    c->give_up_at = net->now + (call->timeout_ns == 0 ? TIMEOUT : call->timeout_ns);
    TAILQ_INSERT_TAIL(&net->rpc.calls, c, link);
    net->rpc.count++;
    call_send(net, c);
    return STOQ_OK;
}

stoq_ns net_rpc_deadline(const struct stoq_net *net)
{
    const struct stoq_heap_node *top = stoq_heap_top(&net->rpc.deadlines);
    return top == NULL ? STOQ_NEVER : top->key;
}

void net_rpc_run_deadlines(struct stoq_net *net)
{
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&net->rpc.deadlines)) != NULL && top->key <= net->now) {
        struct net_rpc_call *c = (struct net_rpc_call *)top;
        if (net->now >= c->give_up_at) {
            call_end(net, c, &(struct stoq_net_rpc_end){.status = STOQ_TIMEOUT});
        } else {
            call_send(net, c);
        }
    }
}

static void take_answer(struct stoq_net *net, struct stoq_span d)
{
    uint8_t tag[8];
    uint8_t plain[NET_SEAL_REQUEST_MAX];
    struct net_rpc_call *c;
    struct net_seal_body body;
    if (!net_seal_answer_tag(d, tag)) {
        net->stats.dropped_malformed++;
        return;
    }
    TAILQ_FOREACH(c, &net->rpc.calls, link)
    {
        if (memcmp(c->reply.tag, tag, sizeof tag) == 0) {
            break;
        }
    }
    if (c == NULL || net_open_answer(&c->reply, d, plain, &body) != STOQ_OK) {
        net->stats.rpc_dropped++; /* the true one may still come */
        return;
    }
    struct stoq_net_rpc_end end = {.status = STOQ_OK,
                                   .message = body.message,
                                   .token = body.token,
                                   .rtt_ns = c->sends == 1 ? net->now - c->sent_at : 0};
    call_end(net, c, &end);
}

/* The token for an address in a step of time. */
static void make_token(const struct stoq_net *net, const struct stoq_addr *addr, uint64_t step,
                       uint8_t out[NET_SEAL_TOKEN_BYTES])
{
    uint8_t what[sizeof addr->ip + sizeof step];
    memcpy(what, addr->ip, sizeof addr->ip);
    memcpy(what + sizeof addr->ip, &step, sizeof step);
    struct stoq_hash h =
        stoq_hash_blake3_2(stoq_span(net->rpc.token_secret, sizeof net->rpc.token_secret),
                           stoq_span(what, sizeof what));
    memcpy(out, h.b, NET_SEAL_TOKEN_BYTES);
}

static bool token_fits(const struct stoq_net *net, const struct stoq_addr *addr,
                       const uint8_t token[NET_SEAL_TOKEN_BYTES])
{
    uint64_t step = net->now / TOKEN_STEP;
    for (uint64_t i = 0; i < 2; i++) {
        uint8_t want[NET_SEAL_TOKEN_BYTES];
        uint8_t differ = 0;
        make_token(net, addr, step - i, want);
        for (size_t k = 0; k < sizeof want; k++) {
            differ |= (uint8_t)(want[k] ^ token[k]);
        }
        if (differ == 0) {
            return true;
        }
    }
    return false;
}

static void answer(struct stoq_net *net, struct net_socket *socket, const struct net_datagram *d,
                   struct stoq_span bytes)
{
    uint8_t plain[NET_SEAL_REQUEST_MAX];
    uint8_t message[NET_SEAL_REQUEST_MAX];
    uint8_t sealed[NET_SEAL_REQUEST_MAX];
    uint8_t salt[NET_SEAL_SALT_BYTES];
    struct net_seal_body body;
    struct net_seal_reply reply;
    if (net_open_request(&net->rpc.key, psk_of(net), bytes, plain, &body, &reply) != STOQ_OK) {
        net->stats.rpc_dropped++;
        return;
    }
    if (net->private &&
        !net_member_fresh(net, &d->from, net_seal_mark(bytes), net_seal_made(bytes))) {
        return;
    }
    struct stoq_net_rpc_in in = {.from = d->from,
                                 .proven = token_fits(net, &d->from, body.token),
                                 .message = body.message,
                                 .room = net_seal_room(bytes.n)};
    struct net_seal_body back = {
        .message = {message, net->cfg.cb.rpc(net->cfg.user, &in, message, sizeof message)}};
    size_t n = 0;
    make_token(net, &d->from, net->now / TOKEN_STEP, back.token);
    net_random(net, salt, sizeof salt);
    if (back.message.n > 0 &&
        net_seal_answer(&reply, salt, &back, bytes.n, sealed, &n) == STOQ_OK) {
        send_bytes(net, socket, &d->from, &d->to, stoq_span(sealed, n));
        net->stats.rpc_answered++;
    }
}

uint64_t net_rpc_payer(const struct stoq_addr *from)
{
    enum stoq_ip_scope scope = stoq_ip_scope(from->ip);
    if (scope == STOQ_IP_LOOPBACK) {
        return stoq_le64(from->ip + 8) ^ from->port;
    }
    bool is_local = scope == STOQ_IP_PRIVATE || scope == STOQ_IP_LINK;
    return is_local ? stoq_le64(from->ip + 8) : stoq_addr_prefix(from);
}

void net_rpc_receive(struct stoq_net *net, struct net_socket *socket, const struct net_datagram *d,
                     struct stoq_span bytes)
{
    if (bytes.p[0] == NET_SEAL_REPLY) {
        take_answer(net, bytes);
        return;
    }
    if (!net->accepting || net->cfg.cb.rpc == NULL ||
        !net_seal_is_ours(&net->rpc.key, psk_of(net), bytes)) {
        net->stats.dropped_malformed++;
        return;
    }
    if (!net_guard_rpc(net->guard, net_rpc_payer(&d->from), net->now)) {
        net->stats.rpc_dropped++;
        return;
    }
    answer(net, socket, d, bytes);
}
