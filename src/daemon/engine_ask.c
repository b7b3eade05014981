/*
 * Requests of ours. A request is one frame on a stream of its own; the reply is a frame and perhaps a
 * payload. Metadata is gathered and handed to the node; chunks go through batches (engine_batch.c).
 */
#include "daemon/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES_MAX (STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES)
#define TELL_EVERY (50 * STOQ_MS)

struct ask *engine_ask_of(struct stoq_engine *e, stoq_net_conn conn, stoq_net_stream stream)
{
    return stoq_map_get(&e->asks, (struct stoq_map_key){conn, (uint64_t)stream});
}

static void ask_free(struct ask *a)
{
    struct stoq_engine *e = a->engine;
    (void)stoq_map_remove(&e->cookies, (struct stoq_map_key){a->cookie, 0});
    engine_budget_ask_end(a);
    engine_peer_unref(e, a->peer);
    stoq_buf_release(&a->request);
    stoq_buf_release(&a->payload);
    stoq_buf_release(&a->frame_copy);
    stoq_frame_release(&a->frame);
    if (a->batch != NULL) {
        engine_batch_give(e, a->batch);
    }
    free(a->indexes);
    free(a);
}

static void unwait(struct ask *a)
{
    struct peer *p = a->peer;
    struct ask **at = &p->waiting;
    while (*at != NULL && *at != a) {
        at = &(*at)->next;
    }
    if (*at == a) {
        *at = a->next;
        if (*at == NULL) {
            p->waiting_last = at;
        }
    }
}

static void forget_stream(struct ask *a)
{
    if (a->phase == ASK_WAITING) {
        unwait(a);
    } else if (a->phase != ASK_OVER) {
        (void)stoq_map_remove(&a->engine->asks,
                              (struct stoq_map_key){a->conn, (uint64_t)a->stream});
    }
    a->phase = ASK_OVER;
}

static enum stoq_status remote_status(struct ask *a)
{
    const struct stoq_msg_error *err = &a->reply.u.error;
    engine_peer_why(a->peer, "%s: %.*s", stoq_error_code_name(err->code), (int)err->text.n,
                    (const char *)err->text.p);
    for (char *c = a->peer->why; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?'; /* a peer's words go to a terminal */
    }
    return stoq_error_code_status(err->code);
}

/* The closing event, once nothing is outstanding. */
void engine_ask_finish(struct ask *a)
{
    if (a->phase != ASK_OVER || a->jobs > 0) {
        return;
    }
    if (a->own != NULL) {
        a->own(a);
        ask_free(a);
        return;
    }
    if (a->wants_chunks) {
        engine_request_end(a);
    }
    bool ok = a->status == STOQ_OK;
    const struct stoq_node_reply reply = {.cookie = a->cookie,
                                          .status = a->status,
                                          .msg = ok ? &a->reply : NULL,
                                          .payload =
                                              ok ? stoq_buf_span(&a->payload) : stoq_span(NULL, 0)};
    struct stoq_node_event ev = stoq_node_closing(&reply, a->wants_chunks);
    (void)engine_feed(a->engine, &ev);
    ask_free(a);
}

/* Stop reading for a reason; the stream is given up in both directions. */
static void ask_give_up(struct ask *a, enum stoq_status status, uint64_t code)
{
    struct stoq_engine *e = a->engine;
    if (a->phase == ASK_FRAME || a->phase == ASK_PAYLOAD) {
        a->stopped = true;
        engine_budget_stopped(a);
        stoq_net_stream_stop(e->net, a->conn, a->stream, code);
        stoq_net_stream_reset(e->net, a->conn, a->stream, code);
    }
    forget_stream(a);
    if (a->status == STOQ_OK) {
        a->status = status;
    }
}

void engine_ask_lost(struct ask *a, enum stoq_status status)
{
    forget_stream(a);
    if (a->status == STOQ_OK) {
        a->status = status;
    }
    engine_ask_finish(a);
}

void engine_asks_conn_lost(struct stoq_engine *e, stoq_net_conn conn)
{
    size_t at = 0;
    struct ask *a;
    while ((a = stoq_map_next(&e->asks, &at)) != NULL) {
        if (a->conn == conn) {
            engine_ask_lost(a, STOQ_NET);
            at = 0; /* removing has moved things */
        }
    }
    struct peer *p = NULL;
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        if (e->peers[i]->live && e->peers[i]->conn == conn) {
            p = e->peers[i];
        }
    }
    while (p != NULL && p->waiting != NULL) {
        engine_ask_lost(p->waiting, STOQ_NET);
    }
}

/* False: the peer allows no more streams at present. Else it is on its way, or over and gone. */
static bool ask_send_on(struct ask *a, stoq_net_conn conn)
{
    struct stoq_engine *e = a->engine;
    enum stoq_status st = stoq_net_stream_open(e->net, conn, &a->stream);
    if (st == STOQ_FULL) {
        return false;
    }
    a->conn = conn;
    if (st == STOQ_OK) {
        a->phase = ASK_FRAME;
        stoq_net_stream_class(e->net, a->conn, a->stream, STOQ_NET_CONTROL); /* it is short */
        st = stoq_map_put(&e->asks, (struct stoq_map_key){a->conn, (uint64_t)a->stream}, a);
        if (st == STOQ_OK) {
            st = stoq_net_write_copy(e->net, a->conn, a->stream, stoq_buf_span(&a->request), true);
        }
        if (st != STOQ_OK) {
            ask_give_up(a, st, STOQ_APP_CANCELLED);
        }
    } else {
        a->phase = ASK_OVER;
        a->status = st == STOQ_NOTFOUND ? STOQ_NET : st;
    }
    stoq_buf_release(&a->request);
    engine_ask_finish(a);
    return true;
}

static bool ask_send(struct ask *a)
{
    if (a->peer->state != PEER_UP) {
        a->phase = ASK_OVER;
        a->status = STOQ_NET;
        engine_ask_finish(a);
        return true;
    }
    return ask_send_on(a, a->peer->conn);
}

/* Send it, or let it wait its turn behind those that wait already. */
static void ask_submit(struct ask *a)
{
    struct peer *p = a->peer;
    if (p->waiting == NULL && ask_send(a)) {
        return;
    }
    a->phase = ASK_WAITING;
    a->next = NULL;
    *p->waiting_last = a;
    p->waiting_last = &a->next;
}

void engine_ask_retry(struct peer *p)
{
    while (p->waiting != NULL) {
        struct ask *a = p->waiting;
        unwait(a);
        if (!ask_send(a)) {
            a->next = p->waiting; /* first again */
            p->waiting = a;
            if (a->next == NULL) {
                p->waiting_last = &a->next;
            }
            return;
        }
    }
}

void engine_may_open(void *user, stoq_net_conn conn)
{
    struct stoq_engine *e = user;
    struct peer *p = stoq_map_get(&e->conns, (struct stoq_map_key){conn, 0});
    if (p != NULL) {
        engine_ask_retry(p);
    }
}

static struct ask *ask_new(struct stoq_engine *e, struct peer *p, stoq_node_cookie cookie)
{
    struct ask *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->engine = e;
    a->cookie = cookie;
    a->peer = p;
    engine_peer_ref(a->peer);
    stoq_buf_init(&a->request, REQUEST_BYTES_MAX);
    stoq_buf_init(&a->frame_copy, STOQ_FRAME_BYTES_MAX);
    stoq_buf_init(&a->payload, STOQ_META_BYTES_MAX);
    stoq_frame_init(&a->frame);
    if (stoq_map_put(&e->cookies, (struct stoq_map_key){cookie, 0}, a) != STOQ_OK) {
        ask_free(a);
        return NULL;
    }
    return a;
}

/* Send it with the first packets of a connection, or fail: nothing waits for such a one. */
static void ask_early(struct ask *a, stoq_net_conn conn)
{
    if (!ask_send_on(a, conn)) {
        a->phase = ASK_OVER;
        a->status = STOQ_NET;
        engine_ask_finish(a);
    }
}

void engine_ask(struct stoq_engine *e, const struct stoq_node_ask *want)
{
    struct ask *a = ask_new(e, engine_peer_at(e, want->peer), want->cookie);
    if (a == NULL || stoq_message_encode(want->msg, &a->request) != STOQ_OK) {
        if (a != NULL) {
            ask_free(a);
        }
        struct stoq_node_event ev = {.kind = STOQ_NODE_REPLY,
                                     .u.reply = {.cookie = want->cookie, .status = STOQ_NOMEM}};
        (void)engine_feed(e, &ev);
        return;
    }
    a->payload_max = want->payload_max;
    if (want->msg->type == STOQ_MSG_METADATA_QUERY) {
        engine_budget_ask_meta(a, &want->msg->u.metadata_query.id);
    }
    if (want->early && a->peer->state != PEER_UP) {
        e->early_asks++;
        ask_early(a, a->peer->early_conn);
    } else {
        ask_submit(a);
    }
}

#define OWN_COOKIE (UINT64_C(1) << 63) /* the node counts from 1 */

stoq_node_cookie engine_ask_own(struct stoq_engine *e, struct peer *p, struct stoq_message *msg,
                                stoq_net_conn early, void (*own)(struct ask *a), uint64_t tag)
{
    stoq_node_cookie cookie = OWN_COOKIE | ++e->own_last;
    struct ask *a = ask_new(e, p, cookie);
    msg->request_id = cookie;
    if (a == NULL || stoq_message_encode(msg, &a->request) != STOQ_OK) {
        if (a != NULL) {
            ask_free(a);
        }
        return 0;
    }
    a->own = own;
    a->payload_max = ENGINE_OWN_PAYLOAD_MAX;
    a->own_tag = tag;
    if (early == 0) {
        ask_submit(a);
    } else {
        ask_early(a, early);
    }
    return cookie;
}

static enum stoq_status chunk_request(struct ask *a, const struct stoq_node_ask_chunks *want)
{
    a->wants_chunks = true;
    a->chunks = want->chunks;
    a->chunk_count = want->chunk_count;
    a->want_proofs = want->want_proofs;
    a->indexes = calloc(want->chunk_count, sizeof *a->indexes);
    if (a->indexes == NULL) {
        return STOQ_NOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < want->range_count; i++) {
        for (uint32_t k = 0; k < want->ranges[i].count; k++) {
            STOQ_ASSERT(n < want->chunk_count);
            a->indexes[n++] = want->ranges[i].first + k;
        }
    }
    struct stoq_msg_hello hello;
    bool knows = stoq_node_peer_hello(a->engine->node, want->peer, &hello) &&
                 (hello.features & STOQ_FEATURE_PRIORITY) != 0;
    a->fetch = want->fetch;
    struct stoq_message msg = {.type = STOQ_MSG_CHUNK_REQUEST,
                               .request_id = want->cookie,
                               .u.chunk_request = {.priority = knows ? want->priority : 0,
                                                   .id = want->id,
                                                   .ranges = want->ranges,
                                                   .range_count = want->range_count,
                                                   .chunk_count = want->chunk_count,
                                                   .want_proofs = want->want_proofs}};
    return stoq_message_encode(&msg, &a->request);
}

void engine_ask_chunks(struct stoq_engine *e, const struct stoq_node_ask_chunks *want)
{
    struct ask *a = ask_new(e, engine_peer_at(e, want->peer), want->cookie);
    if (a == NULL || chunk_request(a, want) != STOQ_OK) {
        if (a != NULL) {
            ask_free(a);
        }
        struct stoq_node_event ev = {.kind = STOQ_NODE_ASK_ENDED,
                                     .u.ended = {.cookie = want->cookie, .status = STOQ_NOMEM}};
        (void)engine_feed(e, &ev);
        return;
    }
    engine_request_begin(a, want);
    engine_budget_ask(a, want);
    ask_submit(a);
}

void engine_ask_cancel(struct stoq_engine *e, stoq_node_cookie cookie)
{
    struct ask *a = stoq_map_get(&e->cookies, (struct stoq_map_key){cookie, 0});
    if (a != NULL) {
        ask_give_up(a, STOQ_CANCELLED, STOQ_APP_CANCELLED);
        engine_ask_finish(a);
    }
}

void engine_asks_cut(struct stoq_engine *e)
{
    size_t at = 0;
    struct ask *a;
    while ((a = stoq_map_next(&e->cookies, &at)) != NULL) {
        if (a->phase != ASK_OVER) {
            ask_give_up(a, STOQ_CANCELLED, STOQ_APP_GOING_AWAY);
            engine_ask_finish(a);
            at = 0; /* removing has moved things */
        }
    }
}

static enum stoq_status take_reply(struct ask *a, struct stoq_span cbor)
{
    enum stoq_status st = stoq_buf_add(&a->frame_copy, cbor);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_message_decode(stoq_buf_span(&a->frame_copy), a->engine->ranges, &a->reply);
    if (st != STOQ_OK || a->reply.request_id != a->cookie) {
        return STOQ_MALFORMED;
    }
    a->has_reply = true;
    if (a->reply.type == STOQ_MSG_HELLO) {
        engine_peer_agent(a->peer, a->reply.u.hello.agent);
        engine_rpc_learn(a->engine, a->peer, &a->reply.u.hello);
    }
    if (a->reply.type == STOQ_MSG_ERROR) {
        enum stoq_status remote = remote_status(a);
        if (a->wants_chunks) {
            a->status = remote;
        }
        return STOQ_OK;
    }
    if (a->reply.type != STOQ_MSG_RESPONSE) {
        return a->wants_chunks ? STOQ_MALFORMED : STOQ_OK;
    }
    const struct stoq_msg_response *r = &a->reply.u.response;
    if (a->wants_chunks) {
        if (r->kind != STOQ_META_CHUNKS || r->items != a->chunk_count) {
            return STOQ_MALFORMED;
        }
        stoq_items_init(&a->items, r->items);
        engine_fetch_capped(a->engine, a->fetch, a->peer, r->cap_bytes_per_s);
        return STOQ_OK;
    }
    a->payload_want = r->payload_bytes;
    return r->payload_bytes > a->payload_max ? STOQ_FULL : STOQ_OK;
}

static enum stoq_status take_payload(struct ask *a, struct stoq_span bytes)
{
    if (a->wants_chunks && a->reply.type == STOQ_MSG_RESPONSE) {
        return engine_batch_items(a, bytes);
    }
    stoq_net_consumed(a->engine->net, a->conn, a->stream, bytes.n);
    if (bytes.n > a->payload_want - a->payload.n) {
        return STOQ_MALFORMED;
    }
    return stoq_buf_add(&a->payload, bytes);
}

static bool payload_complete(const struct ask *a)
{
    if (a->phase != ASK_PAYLOAD) {
        return false;
    }
    if (a->wants_chunks && a->reply.type == STOQ_MSG_RESPONSE) {
        return a->items.index == a->items.items;
    }
    return a->payload.n == a->payload_want;
}

/* Now and then, and what is left at the end: the swarm takes a peer's rate from nothing else. */
static void tell_progress(struct ask *a, size_t n, bool at_end)
{
    a->unreported += n;
    stoq_ns now = stoq_loop_looked_at(a->engine->loop);
    if (!a->wants_chunks || a->unreported == 0 || (!at_end && now - a->told_at < TELL_EVERY)) {
        return;
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_PROGRESS,
                                 .u.progress = {.cookie = a->cookie,
                                                .bytes = a->unreported,
                                                .cap_bytes_per_s = engine_budget_ask_cap(a)}};
    a->unreported = 0;
    a->told_at = now;
    (void)engine_feed(a->engine, &ev);
}

void engine_ask_data(struct ask *a, struct stoq_span bytes, bool fin)
{
    enum stoq_status st = STOQ_OK;
    size_t arrived = bytes.n;
    if (a->phase == ASK_FRAME) {
        struct stoq_span cbor;
        size_t before = bytes.n;
        st = stoq_frame_take(&a->frame, &bytes, &cbor);
        stoq_net_consumed(a->engine->net, a->conn, a->stream, before - bytes.n);
        if (st == STOQ_OK) {
            st = take_reply(a, cbor);
            a->phase = st == STOQ_OK ? ASK_PAYLOAD : a->phase;
        } else if (st == STOQ_TRUNC) {
            st = STOQ_OK;
        }
    }
    if (st == STOQ_OK && a->phase == ASK_PAYLOAD && bytes.n > 0) {
        st = take_payload(a, bytes);
    }
    if (st == STOQ_OK && fin && !payload_complete(a)) {
        st = STOQ_MALFORMED;
    }
    if (st != STOQ_OK) {
        ask_give_up(a, st, STOQ_APP_VIOLATION);
        engine_ask_finish(a);
        return;
    }
    tell_progress(a, arrived, fin);
    if (fin) {
        engine_budget_took_meta(a, a->payload.n);
        engine_batch_submit(a);
        forget_stream(a);
        engine_ask_finish(a);
    }
}
