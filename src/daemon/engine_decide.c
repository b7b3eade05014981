/*
 * What others ask: a stream's one frame is read and decoded; what the engine answers by itself goes to the
 * file that does it, the rest is the node's to decide, and broken frames are its to judge.
 */
#include "daemon/engine_internal.h"

/* What a copy of a first flight may have us do again: these, and nothing that costs or changes anything. */
static bool may_be_early(uint64_t type)
{
    return type == STOQ_MSG_PING || type == STOQ_MSG_METADATA_QUERY || type == STOQ_MSG_FIND_NODE ||
           type == STOQ_MSG_FIND_VALUE;
}

/* Why this request is refused whatever the node would say; NULL: it is not. */
static const char *why_declined(const struct inbound *in, const struct stoq_message *msg)
{
    const struct stoq_engine *e = in->engine;
    if (e->cfg.client && msg->type != STOQ_MSG_HELLO && msg->type != STOQ_MSG_PING) {
        return "a client: it serves nobody"; /* only what says who we are is answered */
    }
    bool early = stoq_net_stream_early(e->net, in->conn, in->stream);
    return early && !may_be_early(msg->type) ? "not in early data" : NULL;
}

static void decline(struct inbound *in, uint64_t request_id, const char *why)
{
    in->phase = INBOUND_ANSWERING;
    in->is_meta = true;
    in->request_id = request_id;
    in->error = STOQ_ERR_REFUSED;
    (void)stoq_fail(&in->err, STOQ_NET, 0, "%s", why);
    in->engine->requests_refused++;
    engine_send_error(in);
}

/* False: no part of a DHT, or out of memory: the node declines it. */
static bool answer_dht(struct inbound *in, const struct stoq_message *msg)
{
    struct stoq_engine *e = in->engine;
    struct stoq_message reply;
    struct stoq_buf frame;
    stoq_buf_init(&frame, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    bool ok = engine_dht_answer(e, msg, &in->peer->id, &in->peer->addr, true, STOQ_FRAME_BYTES_MAX,
                                &frame) &&
              stoq_message_decode(
                  stoq_span(frame.p + STOQ_FRAME_HEAD_BYTES, frame.n - STOQ_FRAME_HEAD_BYTES),
                  e->ranges, &reply) == STOQ_OK;
    if (ok) {
        engine_send(e, &(struct stoq_node_send){
                           .peer = in->peer->number, .stream = in->number, .msg = &reply});
    }
    stoq_buf_release(&frame);
    return ok;
}

/* Another request of the same connection is not wanted any more; one that is over already is fine. */
static void cancel(struct inbound *in, const struct stoq_message *msg)
{
    struct stoq_engine *e = in->engine;
    struct stoq_message taken = {.type = STOQ_MSG_RESPONSE,
                                 .request_id = msg->request_id,
                                 .u.response = {.kind = STOQ_META_ACCEPTED}};
    struct inbound *other = NULL;
    size_t at = 0;
    while ((other = stoq_map_next(&e->streams, &at)) != NULL) {
        if (other != in && other->conn == in->conn && other->phase == INBOUND_ANSWERING &&
            other->request_id == msg->u.cancel.request_id) {
            engine_inbound_cut(other, STOQ_APP_CANCELLED);
            break;
        }
    }
    engine_send(
        e, &(struct stoq_node_send){.peer = in->peer->number, .stream = in->number, .msg = &taken});
}

static void inbound_decide(struct inbound *in, enum stoq_status st, struct stoq_span cbor)
{
    struct stoq_engine *e = in->engine;
    struct stoq_message msg = {0};
    struct stoq_node_event ev;
    in->phase = INBOUND_DECIDING;
    if (st == STOQ_OK) {
        st = stoq_message_decode(cbor, e->ranges, &msg);
    }
    const char *why = st == STOQ_OK || st == STOQ_VERSION ? why_declined(in, &msg) : NULL;
    if (why != NULL) {
        decline(in, msg.request_id, why);
        return;
    }
    if (st == STOQ_OK) {
        if (msg.type == STOQ_MSG_HELLO) {
            engine_peer_agent(in->peer, msg.u.hello.agent);
            engine_rpc_learn(e, in->peer, &msg.u.hello);
        }
        in->peer->requests_served++;
        if (engine_dht_is_request(&msg) && answer_dht(in, &msg)) {
            return;
        }
        if (msg.type == STOQ_MSG_CANCEL) {
            cancel(in, &msg);
            return;
        }
        if (e->exchange != NULL && msg.type == STOQ_MSG_PEER_EXCHANGE) {
            engine_exchange_in(in, &msg);
            return;
        }
        if (e->tell != NULL && msg.type == STOQ_MSG_ANNOUNCE) {
            engine_tell_in(in, &msg);
            return;
        }
        if (e->tell != NULL && msg.type == STOQ_MSG_HAVE) {
            engine_tell_have_in(in, &msg);
            return;
        }
        if (e->cfg.offered != NULL && msg.type == STOQ_MSG_OFFER) {
            engine_offer_in(in, &msg);
            return;
        }
        if (e->cfg.offered != NULL && msg.type == STOQ_MSG_RECEIPT) {
            engine_receipt_in(in, &msg);
            return;
        }
        ev = (struct stoq_node_event){
            .kind = STOQ_NODE_INBOUND,
            .u.inbound = {.peer = in->peer->number, .stream = in->number, .msg = &msg}};
        if (msg.type == STOQ_MSG_REQUEST || msg.type == STOQ_MSG_PACKAGE_DOWNLOAD) {
            ev.u.inbound.queue_ns =
                engine_budget_queue(e, STOQ_PRIORITY_NORMAL, &ev.u.inbound.queue_bytes);
        }
        if (msg.type == STOQ_MSG_CHUNK_REQUEST || msg.type == STOQ_MSG_METADATA_QUERY) {
            bool is_chunks = msg.type == STOQ_MSG_CHUNK_REQUEST;
            ev.u.inbound.queue_ns = engine_budget_queue(
                e, is_chunks ? msg.u.chunk_request.priority : STOQ_PRIORITY_NORMAL,
                &ev.u.inbound.queue_bytes);
        }
    } else {
        ev = (struct stoq_node_event){.kind = STOQ_NODE_INBOUND_BAD,
                                      .u.bad = {.peer = in->peer->number,
                                                .stream = in->number,
                                                .request_id = msg.request_id,
                                                .status = st}};
    }
    struct peer *p = in->peer;
    engine_peer_ref(p); /* the request may be over after this */
    if (engine_feed(e, &ev) != STOQ_OK) {
        engine_inbound_cut(in, STOQ_APP_GOING_AWAY);
    } else if (st == STOQ_OK && msg.type == STOQ_MSG_HELLO) {
        engine_tell_met(e, p, &msg.u.hello);
    }
    engine_peer_unref(e, p);
}

void engine_inbound_data(struct inbound *in, struct stoq_span bytes, bool fin)
{
    struct stoq_engine *e = in->engine;
    stoq_net_consumed(e->net, in->conn, in->stream, bytes.n);
    if (in->phase != INBOUND_READING) {
        if (bytes.n > 0) {
            in->engine->streams_broken++; /* a request is one frame */
            engine_inbound_cut(in, STOQ_APP_VIOLATION);
        }
        return;
    }
    struct stoq_span cbor = {0};
    enum stoq_status st = stoq_frame_take(&in->frame, &bytes, &cbor);
    if (st == STOQ_TRUNC && !fin) {
        return;
    }
    if (st == STOQ_MALFORMED) { /* its length: what follows cannot be told from anything else */
        stoq_net_close(e->net, in->conn, STOQ_APP_VIOLATION, "a frame of a length that cannot be");
    }
    if (st == STOQ_OK && bytes.n > 0) {
        st = STOQ_MALFORMED;
    }
    if (st == STOQ_NOMEM) {
        engine_inbound_cut(in, STOQ_APP_GOING_AWAY);
        return;
    }
    inbound_decide(in, st == STOQ_TRUNC ? STOQ_MALFORMED : st, cbor);
}
