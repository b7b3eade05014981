/*
 * Pings as their callers see them. Over a connection: dial where there is none, say Hello, then Ping, and
 * time the Ping alone. In a datagram: the peer's key must be known; where it is not, it is learned by a
 * Hello over a connection first, and remembered.
 */
#include "daemon/engine_internal.h"

#include "os/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PING_TIMEOUT (5 * STOQ_SEC)

struct ping {
    struct engine_wait wait; /* first */
    struct stoq_engine *engine;
    struct stoq_ping_ask ask;
    struct stoq_ping_report *report;
    struct peer *peer;
    bool learning; /* a Hello is under way, or a dial for one */
    stoq_ns began_at;
    stoq_ns sent_at;
    stoq_node_cookie cookie; /* of the ask under way; 0: none */
    bool early;              /* that is a Ping in early data */
    char why[sizeof((struct stoq_error *)0)->text];
    const char *code;
};

static void finish(struct ping *p, enum stoq_status status)
{
    if (status != STOQ_OK && p->why[0] == '\0') {
        (void)snprintf(p->why, sizeof p->why, "%.200s",
                       p->peer != NULL && p->peer->why[0] != '\0' ? p->peer->why
                                                                  : stoq_status_str(status));
    }
    if (p->peer != NULL) {
        p->code = p->peer->code;
        p->report->addr = p->ask.datagram ? p->ask.to.addr : p->peer->addr;
        (void)snprintf(p->report->group, sizeof p->report->group, "%s", p->peer->group);
        engine_peer_unref(p->engine, p->peer);
    }
    engine_wait_end(&p->engine->pings, &p->wait, status);
}

static void send_ping(struct ping *p);
static void send_datagram(struct ping *p);

/* A reply that is no answer. */
static enum stoq_status refused(struct ping *p, const struct ask *a)
{
    const struct stoq_msg_error *err = &a->reply.u.error;
    if (a->reply.type != STOQ_MSG_ERROR) {
        return STOQ_MALFORMED;
    }
    (void)snprintf(p->why, sizeof p->why, "the peer answered %s", stoq_error_code_name(err->code));
    return stoq_error_code_status(err->code);
}

/* Whose reply it is. NULL: it is gone, or was finished because what came is not of this type. */
static struct ping *answered(const struct ask *a, enum stoq_message_type type)
{
    struct ping *p = engine_wait_find(&a->engine->pings, a->own_tag);
    if (p == NULL) {
        return NULL;
    }
    p->cookie = 0;
    if (a->status == STOQ_OK && a->reply.type == type) {
        return p;
    }
    finish(p, a->status != STOQ_OK ? a->status : refused(p, a));
    return NULL;
}

static void on_hello(struct ask *a)
{
    struct ping *p = answered(a, STOQ_MSG_HELLO);
    if (p != NULL && p->ask.datagram) {
        p->report->key_learned = true;
        send_datagram(p);
    } else if (p != NULL) {
        send_ping(p);
    }
}

static void on_pong(struct ask *a)
{
    struct ping *p = answered(a, STOQ_MSG_PING);
    if (p != NULL) {
        p->report->rtt_ns = stoq_now() - p->sent_at;
        finish(p, STOQ_OK);
    }
}

/* own may be called before engine_ask_own returns: then p is gone. */
static void ask_peer(struct ping *p, struct stoq_message *msg, stoq_net_conn early,
                     void (*own)(struct ask *a))
{
    struct stoq_engine *e = p->engine;
    uint64_t number = p->wait.number;
    stoq_node_cookie cookie = engine_ask_own(e, p->peer, msg, early, own, number);
    p = engine_wait_find(&e->pings, number);
    if (cookie == 0) {
        finish(p, STOQ_NOMEM);
    } else if (p != NULL && stoq_map_get(&e->cookies, (struct stoq_map_key){cookie, 0}) != NULL) {
        p->cookie = cookie;
    }
}

static void send_ping(struct ping *p)
{
    struct stoq_message msg = {.type = STOQ_MSG_PING};
    p->sent_at = stoq_now();
    ask_peer(p, &msg, 0, on_pong);
}

/* The dialler's first request on a connection is its Hello; we do not look whether the node said one. */
static void send_hello(struct ping *p)
{
    struct stoq_message msg = {.type = STOQ_MSG_HELLO, .u.hello = stoq_node_hello(p->engine->node)};
    ask_peer(p, &msg, 0, on_hello);
}

static void send_datagram(struct ping *p)
{
    struct stoq_engine *e = p->engine;
    const struct stoq_known_peer *known = stoq_known_find(e->known, &p->ask.to.peer);
    struct stoq_message msg = {.type = STOQ_MSG_PING, .request_id = p->wait.number};
    struct stoq_buf frame;
    if (known == NULL || !known->has_rpc) {
        (void)snprintf(p->why, sizeof p->why, "the peer takes no datagrams: its Hello has no key");
        finish(p, STOQ_NOTFOUND);
        return;
    }
    stoq_buf_init(&frame, STOQ_NET_RPC_MESSAGE_MAX);
    enum stoq_status st = stoq_message_encode(&msg, &frame);
    if (st == STOQ_OK) {
        struct stoq_net_rpc_call call = {
            .addr = p->ask.to.addr,
            .key = known->rpc,
            .message = {frame.p + STOQ_FRAME_HEAD_BYTES, frame.n - STOQ_FRAME_HEAD_BYTES},
            .timeout_ns = p->ask.timeout_ns,
            .resend_ns = STOQ_NET_RPC_RESEND,
            .cookie = p->wait.number};
        p->sent_at = stoq_now();
        st = stoq_net_rpc(e->net, &call);
    }
    stoq_buf_release(&frame);
    if (st != STOQ_OK) {
        finish(p, st);
    }
}

void engine_rpc_ended(void *user, const struct stoq_net_rpc_end *end)
{
    struct stoq_engine *e = user;
    struct ping *p = engine_wait_find(&e->pings, end->cookie);
    struct stoq_message reply;
    if (engine_dht_rpc_ended(e, end) || p == NULL) {
        return;
    }
    enum stoq_status st = end->status;
    if (st == STOQ_OK) {
        st = stoq_message_decode(end->message, e->ranges, &reply);
    } else if (st == STOQ_TIMEOUT) {
        (void)snprintf(p->why, sizeof p->why, "no reply to a datagram");
    }
    if (st == STOQ_OK && (reply.type != STOQ_MSG_PING || reply.request_id != p->wait.number)) {
        st = STOQ_MALFORMED;
    }
    p->report->rtt_ns = stoq_now() - p->sent_at;
    finish(p, st);
}

void engine_pings_up(struct stoq_engine *e, struct peer *peer)
{
    struct ping *p = (struct ping *)e->pings.first;
    while (p != NULL) {
        struct ping *next = (struct ping *)p->wait.next;
        if (p->peer == peer && p->learning) {
            p->learning = false;
            p->report->connect_ns = stoq_now() - p->began_at;
            if (!p->early) { /* else the answer is on its way */
                send_hello(p);
            }
        }
        p = next;
    }
}

static void on_early_pong(struct ask *a)
{
    struct ping *p = engine_wait_find(&a->engine->pings, a->own_tag);
    if (p == NULL) {
        return;
    }
    p->cookie = 0;
    p->early = false;
    if (a->status == STOQ_OK && a->reply.type == STOQ_MSG_PING) {
        p->report->rtt_ns = stoq_now() - p->sent_at;
        p->report->early = true;
        finish(p, STOQ_OK);
    } else if (!p->learning) {
        send_hello(p); /* connected meanwhile: the usual way */
    }
}

void engine_pings_early(struct stoq_engine *e, struct peer *peer, stoq_net_conn conn)
{
    struct ping *p = (struct ping *)e->pings.first;
    while (p != NULL) {
        struct ping *next = (struct ping *)p->wait.next;
        if (p->peer == peer && p->learning && !p->early && !p->ask.datagram) {
            struct stoq_message msg = {.type = STOQ_MSG_PING};
            p->early = true;
            p->sent_at = stoq_now();
            ask_peer(p, &msg, conn, on_early_pong);
        }
        p = next;
    }
}

void engine_pings_down(struct stoq_engine *e, struct peer *peer, enum stoq_status status)
{
    struct ping *p = (struct ping *)e->pings.first;
    while (p != NULL) {
        struct ping *next = (struct ping *)p->wait.next;
        if (p->peer == peer && p->learning) {
            finish(p, status);
        }
        p = next;
    }
}

void engine_pings_cut(struct stoq_engine *e)
{
    while (e->pings.first != NULL) {
        finish((struct ping *)e->pings.first, STOQ_CANCELLED);
    }
}

static bool has_key(const struct stoq_engine *e, const struct stoq_peer_id *id)
{
    const struct stoq_known_peer *known = stoq_known_find(e->known, id);
    return known != NULL && known->has_rpc;
}

/* Reach the peer over a connection. */
static void connect_to(struct ping *p)
{
    struct stoq_engine *e = p->engine;
    p->peer = engine_peer(e, &p->ask.to.peer);
    if (p->peer == NULL) {
        finish(p, STOQ_FULL);
        return;
    }
    if (p->peer->state == PEER_UP) {
        p->report->connected_before = true;
        send_hello(p);
        return;
    }
    p->learning = true;
    if (p->peer->state == PEER_IDLE) {
        engine_peer_address(p->peer, &p->ask.to.addr);
        engine_peer_dial(e, p->peer, p->ask.timeout_ns); /* p may be over after this */
    }
}

static void ping_begin(struct stoq_engine *e, void *arg)
{
    struct ping *p = arg;
    engine_wait_add(&e->pings, &p->wait);
    p->began_at = stoq_now();
    if (e->draining) {
        finish(p, STOQ_BUSY);
    } else if (p->ask.datagram && e->cfg.connections_only) {
        (void)snprintf(p->why, sizeof p->why, "transport.datagrams is off here");
        finish(p, STOQ_NOTFOUND);
    } else if (p->ask.datagram && has_key(e, &p->ask.to.peer)) {
        send_datagram(p);
    } else {
        connect_to(p);
    }
}

static void ping_stop(struct stoq_engine *e, void *arg)
{
    struct ping *p = arg;
    if (!engine_wait_is_open(&e->pings, &p->wait)) {
        return;
    }
    stoq_node_cookie cookie = p->cookie;
    finish(p, STOQ_CANCELLED);
    if (cookie != 0) {
        engine_ask_cancel(e, cookie); /* its end finds no ping any more */
    }
}

/* p lies still until its end is waited for. */
static void begin(struct ping *p, struct stoq_engine *e, const struct stoq_ping_ask *ask,
                  struct stoq_ping_report *report)
{
    *report = (struct stoq_ping_report){.addr = ask->to.addr};
    *p = (struct ping){.engine = e, .ask = *ask, .report = report};
    p->ask.timeout_ns = ask->timeout_ns == 0 ? PING_TIMEOUT : ask->timeout_ns;
    engine_wait_init(&p->wait);
    engine_call(e, ping_begin, p);
}

/* Its result; time_ns: what is left of its time. */
static enum stoq_status end(struct ping *p, stoq_ns time_ns, struct stoq_error *err)
{
    const struct engine_patience how = {.timeout_ns = time_ns,
                                        .cancelled = p->ask.cancelled,
                                        .user = p->ask.user,
                                        .stop = ping_stop};
    bool timed_out = engine_wait_watch(p->engine, &p->wait, &how);
    engine_wait_release(&p->wait);
    if (p->wait.status == STOQ_OK) {
        return STOQ_OK;
    }
    if (p->wait.status == STOQ_CANCELLED && timed_out) {
        return stoq_fail(err, STOQ_TIMEOUT, 0, "no answer within %.1f s",
                         (double)p->ask.timeout_ns / 1e9);
    }
    return stoq_fail_code(err, p->wait.status, p->code, "%s", p->why);
}

enum stoq_status stoq_engine_ping(struct stoq_engine *e, const struct stoq_ping_ask *ask,
                                  struct stoq_ping_report *report, struct stoq_error *err)
{
    struct ping p;
    begin(&p, e, ask, report);
    return end(&p, p.ask.timeout_ns, err);
}

enum stoq_status stoq_engine_ping_all(struct stoq_engine *e, const struct stoq_ping_ask *asks,
                                      size_t count, struct stoq_ping_result *out)
{
    struct ping *pings = calloc(count == 0 ? 1 : count, sizeof *pings);
    if (pings == NULL) {
        return STOQ_NOMEM;
    }
    stoq_ns began_at = stoq_now();
    for (size_t i = 0; i < count; i++) {
        begin(&pings[i], e, &asks[i], &out[i].report);
    }
    for (size_t i = 0; i < count; i++) {
        stoq_ns spent = stoq_now() - began_at;
        stoq_ns time = pings[i].ask.timeout_ns;
        out[i].status = end(&pings[i], spent < time ? time - spent : 0, &out[i].err);
    }
    free(pings);
    return STOQ_OK;
}
