/*
 * Links. Whoever wants to ask something of a peer sends one Hello per connection; metadata may be asked
 * beside it, chunks wait for its answer, since it states what the peer will serve in one request. A
 * Hello that the peer sent us says the same, so a link that the peer dialled needs none of ours. Where the
 * shell has a ticket of the peer's, metadata is asked for before the link is up.
 */
#include "node/node_internal.h"

#include <string.h>

struct link *node_link(struct stoq_node *n, stoq_peer peer)
{
    return stoq_map_get(&n->links, (struct stoq_map_key){peer, 0});
}

static enum stoq_status link_new(struct stoq_node *n, stoq_peer peer, struct link **out)
{
    struct link *l = node_link(n, peer);
    if (l == NULL) {
        if (n->links.count >= STOQ_NODE_LINKS_MAX) {
            return STOQ_FULL;
        }
        l = stoq_alloc(&n->cfg.alloc, 1, sizeof *l);
        if (l == NULL) {
            return STOQ_NOMEM;
        }
        l->peer = peer;
        l->dial_deadline = STOQ_NEVER;
        if (stoq_map_put(&n->links, (struct stoq_map_key){peer, 0}, l) != STOQ_OK) {
            stoq_free(&n->cfg.alloc, l);
            return STOQ_NOMEM;
        }
    }
    *out = l;
    return STOQ_OK;
}

static void link_drop(struct stoq_node *n, struct link *l)
{
    (void)stoq_map_remove(&n->links, (struct stoq_map_key){l->peer, 0});
    stoq_free(&n->cfg.alloc, l);
}

enum stoq_status node_link_want(struct stoq_node *n, stoq_peer peer, struct link **out)
{
    struct link *l;
    enum stoq_status st = link_new(n, peer, &l);
    if (st != STOQ_OK) {
        return st;
    }
    if (!l->up && !l->dialling) {
        struct out *o = node_out(n, STOQ_NODE_DIAL);
        if (o == NULL) {
            link_drop(n, l);
            return STOQ_NOMEM;
        }
        o->action.u.dial =
            (struct stoq_node_dial){.peer = peer, .timeout_ns = STOQ_NODE_DIAL_TIMEOUT};
        l->dialling = true;
    }
    *out = l;
    return STOQ_OK;
}

struct stoq_msg_hello stoq_node_hello(const struct stoq_node *n)
{
    return (struct stoq_msg_hello){
        .version_count = 1,
        .versions = {STOQ_PROTOCOL_VERSION},
        .features = STOQ_FEATURE_PROOFS | STOQ_FEATURE_HAVE | STOQ_FEATURE_PRIORITY |
                    STOQ_FEATURE_OPENING | STOQ_FEATURE_NAMES | STOQ_FEATURE_WHOLE |
                    (n->cfg.want_raw ? 0u : (unsigned)STOQ_FEATURE_ZSTD) |
                    (n->cfg.takes_offers ? (unsigned)STOQ_FEATURE_OFFERS : 0u) |
                    (n->cfg.exchanges ? STOQ_FEATURE_EXCHANGE | (unsigned)STOQ_FEATURE_PEERS : 0u) |
                    (n->cfg.answers_dht
                         ? STOQ_FEATURE_DHT | STOQ_FEATURE_RENEW | (unsigned)STOQ_FEATURE_PATCH
                         : 0u),
        .agent = n->cfg.agent,
        .ranges_max = STOQ_REQUEST_RANGES_MAX,
        .chunks_max = STOQ_REQUEST_CHUNKS_MAX,
        .frame_bytes_max = STOQ_FRAME_BYTES_MAX,
        .rpc_key = n->cfg.rpc_key,
        .rpc_proof = n->cfg.rpc_proof,
    };
}

static void tell_fetches(struct stoq_node *n, struct link *l)
{
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        struct source *s = fetch_runs(f) ? fetch_source(f, l->peer) : NULL;
        if (s == NULL || s->state == SOURCE_FAILED) {
            continue;
        }
        if (l->hello == HELLO_FAILED) {
            fetch_source_fail(f, s, l->hello_status);
        } else {
            fetch_source_ready(f, s, l);
        }
    }
}

static void send_hello(struct stoq_node *n, struct link *l)
{
    struct pending *p = node_pending(n, PENDING_HELLO, NULL);
    struct out *o = p == NULL ? NULL : node_out(n, STOQ_NODE_ASK);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        l->hello = HELLO_FAILED;
        l->hello_status = STOQ_NOMEM;
        return;
    }
    p->peer = l->peer;
    p->deadline = n->now + STOQ_NODE_META_TIMEOUT;
    o->msg = (struct stoq_message){
        .type = STOQ_MSG_HELLO, .request_id = p->cookie, .u.hello = stoq_node_hello(n)};
    o->action.u.ask = (struct stoq_node_ask){.peer = l->peer, .cookie = p->cookie, .msg = &o->msg};
    l->hello = HELLO_ASKED;
}

static bool wanted(struct stoq_node *n, stoq_peer peer)
{
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        if (fetch_runs(f) && fetch_source(f, peer) != NULL) {
            return true;
        }
    }
    return false;
}

enum stoq_status node_link_up(struct stoq_node *n, const struct stoq_node_link *ev)
{
    struct link *l;
    enum stoq_status st = link_new(n, ev->peer, &l);
    if (st != STOQ_OK) {
        return st;
    }
    l->up = true;
    l->dialling = false;
    l->early = false;
    l->rtt_ns = ev->rtt_ns;
    l->local = ev->local;
    if (l->hello == HELLO_NONE && wanted(n, ev->peer)) {
        send_hello(n, l);
    }
    standing_linked(n, ev->peer);
    tell_fetches(n, l);
    return STOQ_OK;
}

void node_link_early(struct stoq_node *n, const struct stoq_node_link *ev)
{
    struct link *l = node_link(n, ev->peer);
    if (l == NULL || l->up) {
        return;
    }
    l->early = true;
    /* The first packets leave before the store has said that it lacks the manifest. */
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        if (fetch_runs(f) && f->step == STEP_MANIFEST && fetch_source(f, ev->peer) != NULL) {
            f->manifest_q.open = true;
        }
    }
}

void node_link_down(struct stoq_node *n, const struct stoq_node_link *ev)
{
    struct link *l = node_link(n, ev->peer);
    if (l == NULL) {
        return;
    }
    link_drop(n, l); /* first: a fetch may dial anew */
    enum stoq_status status = ev->status == STOQ_OK ? STOQ_NET : ev->status;
    for (struct fetch *f = n->fetches; f != NULL; f = f->next) {
        struct source *s = fetch_runs(f) ? fetch_source(f, ev->peer) : NULL;
        if (s != NULL && s->state != SOURCE_FAILED) {
            fetch_source_lost(f, s, status);
        }
    }
}

static bool speaks_ours(const struct stoq_msg_hello *hello)
{
    for (uint32_t i = 0; i < hello->version_count; i++) {
        if (hello->versions[i] == STOQ_PROTOCOL_VERSION) {
            return true;
        }
    }
    return false;
}

void node_link_hello_in(struct stoq_node *n, struct link *l, const struct stoq_msg_hello *hello)
{
    l->said = *hello;
    if (hello->agent.n > 0) {
        memcpy(l->agent, hello->agent.p, hello->agent.n);
    }
    l->said.agent = stoq_span(l->agent, hello->agent.n);
    l->said.rpc_key = stoq_span(NULL, 0); /* the shell's business; not kept */
    l->said.rpc_proof = stoq_span(NULL, 0);
    l->hello = speaks_ours(hello) ? HELLO_KNOWN : HELLO_FAILED;
    l->hello_status = STOQ_VERSION;
    tell_fetches(n, l);
}

void node_link_hello_reply(struct stoq_node *n, struct pending *p,
                           const struct stoq_node_reply *reply)
{
    struct link *l = node_link(n, p->peer);
    if (l == NULL || l->hello == HELLO_KNOWN) {
        return;
    }
    if (reply->status == STOQ_OK && reply->msg->type == STOQ_MSG_HELLO) {
        node_link_hello_in(n, l, &reply->msg->u.hello);
        return;
    }
    l->hello = HELLO_FAILED;
    l->hello_status = p->timed_out ? STOQ_TIMEOUT : reply->status;
    if (reply->status == STOQ_OK) {
        bool refused = reply->msg->type == STOQ_MSG_ERROR;
        l->hello_status =
            refused ? stoq_error_code_status(reply->msg->u.error.code) : STOQ_MALFORMED;
    }
    tell_fetches(n, l);
}

void node_charge(struct stoq_node *n, stoq_peer peer, enum stoq_node_why why, bool close)
{
    struct out *o = node_out(n, STOQ_NODE_CHARGE);
    if (o != NULL) {
        o->action.u.charge = (struct stoq_node_charge){.peer = peer, .why = why};
    }
    struct link *l = node_link(n, peer);
    if (close && l != NULL && l->up) {
        o = node_out(n, STOQ_NODE_CLOSE);
        if (o != NULL) {
            o->action.u.close = (struct stoq_node_close){.peer = peer, .why = why};
        }
    }
}
