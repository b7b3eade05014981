/*
 * The DHT's calls in sealed datagrams (those on connections are in engine_dht_link.c); requests of others,
 * answered at once; and what comes of lookups and announcements, for those who wait.
 */
#include "daemon/engine_dht_internal.h"

#include "os/sys.h"

#include <string.h>

#define COOKIE_BIT ((uint64_t)1 << 62)

static enum stoq_status call_datagram(struct stoq_engine *e, const struct stoq_node_dht_call *c)
{
    struct stoq_message msg = *c->msg;
    struct stoq_buf frame;
    bool find = msg.type == STOQ_MSG_FIND_NODE || msg.type == STOQ_MSG_FIND_VALUE;
    msg.request_id = c->cookie;
    stoq_buf_init(&frame, STOQ_NET_RPC_MESSAGE_MAX + STOQ_FRAME_HEAD_BYTES);
    enum stoq_status st = stoq_message_encode(&msg, &frame);
    if (st == STOQ_OK) {
        struct stoq_net_rpc_call call = {
            .addr = from_dht(&c->addr),
            .key = c->rpc_key,
            .token = c->token,
            .message = {frame.p + STOQ_FRAME_HEAD_BYTES, frame.n - STOQ_FRAME_HEAD_BYTES},
            .room = find ? STOQ_NET_RPC_MESSAGE_MAX : 0,
            .timeout_ns = c->timeout_ns,
            .resend_ns = c->resend_ns,
            .cookie = c->cookie | COOKIE_BIT};
        st = stoq_net_rpc(e->net, &call);
    }
    stoq_buf_release(&frame);
    return st;
}

/* True: the call was one of the DHT's. */
bool engine_dht_rpc_ended(struct stoq_engine *e, const struct stoq_net_rpc_end *end)
{
    struct stoq_message reply;
    enum stoq_status st = end->status;
    uint64_t cookie = end->cookie & ~COOKIE_BIT;
    if ((end->cookie & COOKIE_BIT) == 0) {
        return false;
    }
    if (e->dht == NULL || e->dht->nd == NULL) {
        return true;
    }
    if (st == STOQ_OK) {
        st = stoq_message_decode(end->message, e->ranges, &reply);
        if (st != STOQ_OK || reply.request_id != cookie) {
            st = STOQ_MALFORMED;
        }
    }
    stoq_node_dht_replied(e->dht->nd, cookie, st, st == STOQ_OK ? &reply : NULL, end->token,
                          end->rtt_ns, stoq_now());
    return true;
}

bool engine_dht_is_request(const struct stoq_message *m)
{
    return m->type == STOQ_MSG_FIND_NODE || m->type == STOQ_MSG_FIND_VALUE ||
           m->type == STOQ_MSG_STORE || m->type == STOQ_MSG_RENEW || m->type == STOQ_MSG_PATCH;
}

bool engine_dht_answer(struct stoq_engine *e, const struct stoq_message *request,
                       const struct stoq_peer_id *peer, const struct stoq_addr *from, bool proven,
                       size_t room, struct stoq_buf *out)
{
    if (e->dht == NULL || e->dht->client || e->draining) {
        return false;
    }
    if (e->dht->nd == NULL) {
        dht_begin(e->dht); /* somebody wants to come in by us: he will knock again */
        return false;
    }
    struct stoq_node_dht_from at = {
        .peer = peer, .addr = to_dht(from), .proven = proven, .room = room};
    return stoq_node_dht_answer(e->dht->nd, request, &at, out, stoq_now()) == STOQ_OK;
}

/* ---- what comes out ---- */

static struct dht_wait *wait_of(struct engine_dht *ed, uint32_t look)
{
    struct engine_wait *w = ed->waits.first;
    while (w != NULL && ((struct dht_wait *)w)->look != look) {
        w = w->next;
    }
    return (struct dht_wait *)w;
}

/* For the fetches of its package, and for those to come. */
static void keep_provider(struct engine_dht *ed, const struct stoq_hash *key,
                          const struct stoq_peer_id *peer, const struct stoq_addr *addr,
                          stoq_ns until)
{
    stoq_ns now = stoq_now();
    struct stoq_peer_id self = stoq_key_peer_id(ed->engine->cfg.key);
    struct stoq_provider who = {.peer = *peer};
    struct stoq_fetch_source source = {.peer = *peer, .addr = *addr};
    memcpy(&who.addr, addr, sizeof *addr);
    if (stoq_hash_eq(&peer->h, &self.h)) {
        return;
    }
    stoq_discovery_found(&ed->cache, key, &who, until, now);
    if (!stoq_discovery_is_failed(&ed->cache, peer, now)) {
        engine_fetches_found(ed->engine, key, &source);
    }
}

/* So long it is believed: to its end, an hour at most, since whoever holds it asks no more of it. */
static stoq_ns time_left(const struct stoq_node_dht_found *f)
{
    uint64_t over_s = f->issued_at_s + f->ttl_s;
    uint64_t wall_s = dht_wall_us() / 1000000;
    uint64_t left_s = over_s > wall_s ? over_s - wall_s : 0;
    return (left_s < STOQ_DHT_TTL_S ? left_s : STOQ_DHT_TTL_S) * STOQ_SEC;
}

static void take_provider(struct engine_dht *ed, struct dht_wait *w,
                          const struct stoq_node_dht_found *f)
{
    struct stoq_engine_dht_found *all = w->found;
    struct stoq_engine_dht_provider *out = NULL;
    stoq_ns until = stoq_now() + time_left(f);
    w->providers++;
    if (all != NULL && all->provider_count < STOQ_DHT_FOUND_MAX) {
        out = &all->providers[all->provider_count++];
        *out = (struct stoq_engine_dht_provider){.peer = f->peer,
                                                 .issued_at_s = f->issued_at_s,
                                                 .ttl_s = f->ttl_s,
                                                 .value_n = f->value.n};
        if (f->value.n > 0) {
            memcpy(out->value, f->value.p, f->value.n);
        }
    }
    for (uint32_t i = 0; i < f->address_count; i++) {
        struct stoq_addr addr = from_dht(&f->addresses[i]);
        if (out != NULL && out->addr_count < STOQ_COUNT(out->addrs)) {
            out->addrs[out->addr_count++] = addr;
        }
        if (f->value.n == 0) {
            keep_provider(ed, &w->key, &f->peer, &addr, until);
        }
    }
}

void dht_fill_contact(struct engine_dht *ed, stoq_contact_no no,
                      struct stoq_engine_dht_contact *out)
{
    struct stoq_node_dht_addr addr = {{0}};
    (void)stoq_node_dht_who(ed->nd, no, &out->peer, &addr, &out->id);
    out->addr = from_dht(&addr);
}

static void take_hop(struct engine_dht *ed, struct dht_wait *w, const struct stoq_dht_trace *t)
{
    struct stoq_engine_dht_contact who = {0};
    if (w->found == NULL || w->found->hop_count == STOQ_DHT_HOPS_MAX) {
        return;
    }
    dht_fill_contact(ed, t->contact, &who);
    w->found->hops[w->found->hop_count++] = (struct stoq_engine_dht_hop){.peer = who.peer,
                                                                         .addr = who.addr,
                                                                         .id = who.id,
                                                                         .outcome = t->outcome,
                                                                         .hop = t->hop,
                                                                         .path = t->path,
                                                                         .contacts = t->contacts,
                                                                         .records = t->records,
                                                                         .took_ns = t->took_ns};
}

static void fill_looked(struct engine_dht *ed, struct stoq_engine_dht_found *out,
                        const struct stoq_dht_looked *l)
{
    for (uint32_t i = 0; i < l->contact_count && i < STOQ_DHT_WANT_MAX; i++) {
        dht_fill_contact(ed, l->contacts[i], &out->near[out->near_count++]);
    }
    out->calls = l->calls;
    out->silent = l->silent;
    out->hops_most = l->hops;
    out->paths = l->paths;
    out->took_ns = l->took_ns;
}

static void take_looked(struct engine_dht *ed, struct dht_wait *w, const struct stoq_dht_looked *l)
{
    if (w->found != NULL) {
        fill_looked(ed, w->found, l);
    }
    if (w->ask->value && w->providers == 0) {
        stoq_discovery_none(&ed->cache, &w->key, stoq_now());
    }
    dht_wait_end(ed, w, STOQ_OK);
}

static void take_announced(struct engine_dht *ed, const struct stoq_dht_announced *a)
{
    struct dht_wait *w = (struct dht_wait *)ed->waits.first;
    while (w != NULL) {
        struct dht_wait *next = (struct dht_wait *)w->wait.next;
        if (w->ask == NULL && stoq_hash_eq(&w->key, &a->key)) {
            *w->announced = *a;
            dht_wait_end(ed, w, STOQ_OK);
        }
        w = next;
    }
}

void dht_act(struct engine_dht *ed, const struct stoq_node_dht_action *a)
{
    struct dht_wait *w;
    switch (a->kind) {
    case STOQ_NODE_DHT_CALL: {
        if (dht_link_lacks(ed, &a->u.call)) {
            const struct stoq_message none = {.type = STOQ_MSG_ERROR,
                                              .u.error.code = STOQ_ERR_UNSUPPORTED};
            stoq_node_dht_replied(ed->nd, a->u.call.cookie, STOQ_OK, &none, NULL, 0, stoq_now());
            break;
        }
        enum stoq_status st = dht_link_is_better(ed, &a->u.call)
                                  ? dht_link_call(ed, &a->u.call)
                                  : call_datagram(ed->engine, &a->u.call);
        if (st != STOQ_OK) {
            stoq_node_dht_replied(ed->nd, a->u.call.cookie, STOQ_NET, NULL, NULL, 0, stoq_now());
        }
        break;
    }
    case STOQ_NODE_DHT_FOUND:
        w = wait_of(ed, a->u.found.look);
        if (w != NULL) {
            take_provider(ed, w, &a->u.found);
        }
        break;
    case STOQ_NODE_DHT_TRACE:
        w = wait_of(ed, a->u.trace.look);
        if (w != NULL) {
            take_hop(ed, w, &a->u.trace);
        }
        break;
    case STOQ_NODE_DHT_LOOKED:
        w = wait_of(ed, a->u.looked.look);
        if (w != NULL) {
            take_looked(ed, w, &a->u.looked);
        }
        break;
    case STOQ_NODE_DHT_ANNOUNCED:
        take_announced(ed, &a->u.announced);
        break;
    }
}
