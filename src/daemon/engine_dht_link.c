/*
 * The DHT's calls on connections: where there is one to a peer whose Hello says that it answers them, where
 * its key for datagrams is not known, and all of them where datagrams are switched off here. Then the peer
 * is dialled first, and the message waits for that. Each call is closed when its time is over: a dead peer's
 * connection takes longer to be given up.
 */
#include "daemon/engine_dht_internal.h"

#include "os/sys.h"

#include <stdlib.h>

struct dht_call {
    struct dht_call *next;
    struct peer *peer;
    uint64_t cookie;      /* the node's */
    stoq_node_cookie ask; /* on its way; 0: the peer is being dialled */
    bool sent;
    stoq_ns sent_at;
    stoq_ns until;
    struct stoq_buf message; /* what is to be sent, without the frame's head */
};

static struct dht_call *find(const struct engine_dht *ed, uint64_t cookie)
{
    struct dht_call *c = ed->calls;
    while (c != NULL && c->cookie != cookie) {
        c = c->next;
    }
    return c;
}

/* It is closed for the node; nothing of it is on its way any more. */
static void close_call(struct engine_dht *ed, struct dht_call *c, enum stoq_status status,
                       const struct stoq_message *reply)
{
    struct dht_call **at = &ed->calls;
    stoq_ns now = stoq_now();
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    ed->call_count--;
    stoq_node_dht_replied(ed->nd, c->cookie, status, reply, NULL, c->sent ? now - c->sent_at : 0,
                          now);
    engine_peer_unref(ed->engine, c->peer);
    stoq_buf_release(&c->message);
    free(c);
}

/* A way in by which an answer came has let us in. */
static void note_way(struct engine_dht *ed, const struct peer *p)
{
    for (size_t i = 0; i < ed->way_count; i++) {
        ed->joined[i] = ed->joined[i] || stoq_hash_eq(&ed->ways[i].peer.h, &p->id.h);
    }
}

static void on_reply(struct ask *a)
{
    struct engine_dht *ed = a->engine->dht;
    struct dht_call *c = ed == NULL ? NULL : find(ed, a->own_tag);
    bool good = a->status == STOQ_OK;
    if (c == NULL) {
        return;
    }
    if (good && a->reply.type == STOQ_MSG_FIND_NODE) {
        note_way(ed, a->peer);
    }
    close_call(ed, c, a->status, good ? &a->reply : NULL);
}

/* The peer is there. c may be over after this. */
static void send_call(struct engine_dht *ed, struct dht_call *c)
{
    struct stoq_engine *e = ed->engine;
    struct stoq_message msg;
    uint64_t cookie = c->cookie;
    c->sent = true;
    c->sent_at = stoq_now();
    stoq_node_cookie ask = 0;
    if (stoq_message_decode(stoq_buf_span(&c->message), e->ranges, &msg) == STOQ_OK) {
        ask = engine_ask_own(e, c->peer, &msg, 0, on_reply, cookie);
    }
    c = find(ed, cookie); /* it may be answered already */
    if (c != NULL && ask == 0) {
        close_call(ed, c, STOQ_NOMEM, NULL);
    } else if (c != NULL) {
        c->ask = ask;
    }
}

/* The features of a peer that is connected and has said Hello; false: it is not, or has not. */
static bool features_of(const struct engine_dht *ed, const struct stoq_peer_id *id, uint64_t *out)
{
    struct stoq_engine *e = ed->engine;
    struct peer *p = engine_peer_find(e, id);
    struct stoq_msg_hello hello;
    bool known =
        p != NULL && p->state == PEER_UP && stoq_node_peer_hello(e->node, p->number, &hello);
    *out = known ? hello.features : 0;
    return known;
}

bool dht_link_lacks(const struct engine_dht *ed, const struct stoq_node_dht_call *call)
{
    uint64_t features;
    uint64_t needs = call->msg->type == STOQ_MSG_RENEW   ? (uint64_t)STOQ_FEATURE_RENEW
                     : call->msg->type == STOQ_MSG_PATCH ? (uint64_t)STOQ_FEATURE_PATCH
                                                         : 0;
    return features_of(ed, &call->peer, &features) && (features & needs) != needs;
}

bool dht_link_is_better(const struct engine_dht *ed, const struct stoq_node_dht_call *call)
{
    uint64_t features;
    if (call->at_addr) {
        return false;
    }
    if (call->rpc_key == NULL || ed->engine->cfg.connections_only) {
        return true;
    }
    return features_of(ed, &call->peer, &features) && (features & STOQ_FEATURE_DHT) != 0;
}

static struct dht_call *call_new(struct engine_dht *ed, const struct stoq_node_dht_call *call)
{
    struct peer *p = engine_peer(ed->engine, &call->peer);
    struct dht_call *c = p == NULL ? NULL : calloc(1, sizeof *c);
    struct stoq_buf frame;
    struct stoq_message msg = *call->msg;
    if (c == NULL) {
        if (p != NULL) {
            engine_peer_unref(ed->engine, p);
        }
        return NULL;
    }
    *c = (struct dht_call){.next = ed->calls,
                           .peer = p,
                           .cookie = call->cookie,
                           .until = stoq_now() + call->timeout_ns};
    stoq_buf_init(&c->message, STOQ_FRAME_BYTES_MAX);
    stoq_buf_init(&frame, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    enum stoq_status st = stoq_message_encode(&msg, &frame);
    if (st == STOQ_OK) {
        st = stoq_buf_add(&c->message, stoq_span(frame.p + STOQ_FRAME_HEAD_BYTES,
                                                 frame.n - STOQ_FRAME_HEAD_BYTES));
    }
    stoq_buf_release(&frame);
    if (st != STOQ_OK) {
        engine_peer_unref(ed->engine, p);
        stoq_buf_release(&c->message);
        free(c);
        return NULL;
    }
    ed->calls = c;
    ed->call_count++;
    return c;
}

enum stoq_status dht_link_call(struct engine_dht *ed, const struct stoq_node_dht_call *call)
{
    struct stoq_addr addr = from_dht(&call->addr);
    struct dht_call *c = ed->call_count >= DHT_CALLS_MAX ? NULL : call_new(ed, call);
    if (c == NULL) {
        return STOQ_NOMEM;
    }
    struct peer *p = c->peer;
    if (p->state == PEER_UP) {
        send_call(ed, c);
        return STOQ_OK;
    }
    engine_peer_address(p, &addr);
    if (p->state == PEER_IDLE) {
        engine_peer_dial(ed->engine, p, call->timeout_ns);
    }
    return STOQ_OK;
}

/* The next of those that wait for this peer to be dialled. */
static struct dht_call *waits_for(const struct engine_dht *ed, const struct peer *p)
{
    struct dht_call *c = ed->calls;
    while (c != NULL && (c->sent || c->peer != p)) {
        c = c->next;
    }
    return c;
}

void dht_link_up(struct engine_dht *ed, const struct peer *p)
{
    struct dht_call *c;
    while ((c = waits_for(ed, p)) != NULL) {
        send_call(ed, c);
    }
}

void dht_link_down(struct engine_dht *ed, const struct peer *p)
{
    struct dht_call *c;
    while ((c = waits_for(ed, p)) != NULL) {
        close_call(ed, c, STOQ_NET, NULL);
    }
}

/* A call whose time is over by then. */
static struct dht_call *overdue(const struct engine_dht *ed, stoq_ns now)
{
    struct dht_call *c = ed->calls;
    while (c != NULL && c->until > now) {
        c = c->next;
    }
    return c;
}

static void give_up(struct engine_dht *ed, struct dht_call *c, enum stoq_status status)
{
    uint64_t cookie = c->cookie;
    if (c->ask != 0) {
        engine_ask_cancel(ed->engine, c->ask); /* its end closes it */
    }
    c = find(ed, cookie);
    if (c != NULL) {
        close_call(ed, c, status, NULL);
    }
}

void dht_link_run(struct engine_dht *ed, stoq_ns now)
{
    struct dht_call *c;
    while ((c = overdue(ed, now)) != NULL) {
        give_up(ed, c, STOQ_TIMEOUT);
    }
}

stoq_ns dht_link_deadline(const struct engine_dht *ed)
{
    stoq_ns at = STOQ_NEVER;
    for (const struct dht_call *c = ed->calls; c != NULL; c = c->next) {
        at = c->until < at ? c->until : at;
    }
    return at;
}

void dht_link_cut(struct engine_dht *ed)
{
    while (ed->calls != NULL) {
        give_up(ed, ed->calls, STOQ_CANCELLED);
    }
}
