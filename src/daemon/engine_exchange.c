/*
 * Peer exchange between the core (src/discover/exchange.h) and the transport. On a connection that we dialled
 * Hello goes first; a peer whose Hello knows the exchange is then asked, once, with records of ours and of
 * those we have met. What comes back, and what others bring when they ask us, is judged by the core before a
 * signature is looked at.
 *
 * Two records of our own are signed: one with all our addresses, for who may see them all, and one with the
 * public ones alone.
 */
#include "daemon/engine_internal.h"

#include "base/ip.h"
#include "discover/exchange.h"
#include "os/sys.h"
#include "sign/object.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWN_TTL_S STOQ_CONTACT_TTL_MAX
#define OWN_RENEW (600 * STOQ_SEC) /* interfaces come and go */
#define SKEW_S 300
#define LIST_BYTES_MAX (STOQ_FRAME_BYTES_MAX - 256)
#define SOURCES_MAX 8 /* of a fetch that names none */

_Static_assert(STOQ_EXCHANGE_ADDR_BYTES == STOQ_CONTACT_ADDRESS_BYTES,
               "addresses as records have them");

/* A record of our own. */
struct own {
    struct stoq_exchange_addr addrs[STOQ_EXCHANGE_ADDRS_MAX];
    size_t count;
    struct stoq_buf item; /* signed */
};

struct engine_exchange {
    struct stoq_engine *engine;
    struct stoq_exchange *core;
    struct own all;
    struct own wide; /* public addresses alone */
    stoq_ns own_until;
    bool begun;
    uint64_t sequence;
    struct peer
        *dialled[STOQ_EXCHANGE_DIALS_MAX]; /* each referred to, until it is known how it went */
};

static struct stoq_exchange_addr to_record(const struct stoq_addr *a)
{
    struct stoq_exchange_addr out;
    stoq_addr_put(a, out.b);
    return out;
}

enum stoq_status engine_exchange_open(struct stoq_engine *e, uint64_t seed)
{
    if (!e->cfg.exchange || !e->serving) {
        return STOQ_OK;
    }
    struct engine_exchange *ex = calloc(1, sizeof *ex);
    struct stoq_exchange_config cfg = {.self = stoq_key_peer_id(e->cfg.key), .seed = seed};
    if (ex == NULL || stoq_exchange_new(&ex->core, &cfg) != STOQ_OK) {
        free(ex);
        return STOQ_NOMEM;
    }
    ex->engine = e;
    size_t max = STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16;
    stoq_buf_init(&ex->all.item, max);
    stoq_buf_init(&ex->wide.item, max);
    e->exchange = ex;
    return STOQ_OK;
}

void engine_exchange_close(struct stoq_engine *e)
{
    struct engine_exchange *ex = e->exchange;
    if (ex != NULL) {
        stoq_exchange_free(ex->core);
        stoq_buf_release(&ex->all.item);
        stoq_buf_release(&ex->wide.item);
        free(ex);
        e->exchange = NULL;
    }
}

/* ---- our own records ---- */

static void sign_own(struct engine_exchange *ex, struct own *own, uint64_t wall_s)
{
    struct stoq_engine *e = ex->engine;
    struct stoq_contact rec = {
        .spki = stoq_key_spki(e->cfg.key),
        .addresses = stoq_span(own->addrs, own->count * sizeof own->addrs[0]),
        .sequence = ex->sequence,
        .issued_at_s = wall_s,
        .ttl_s = OWN_TTL_S,
        .has_rpc_key = !e->cfg.connections_only,
    };
    struct stoq_buf body;
    stoq_buf_clear(&own->item);
    if (own->count == 0) {
        return;
    }
    memcpy(rec.rpc_key.b, stoq_net_rpc_key(e->net), sizeof rec.rpc_key.b);
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    if (stoq_contact_encode(&rec, &body) != STOQ_OK ||
        stoq_object_sign(e->cfg.key, STOQ_SIGN_EXCHANGE, stoq_buf_span(&body), &own->item) !=
            STOQ_OK) {
        stoq_buf_clear(&own->item);
    }
    stoq_buf_release(&body);
}

static void renew_own(struct engine_exchange *ex, stoq_ns now)
{
    struct stoq_addr list[STOQ_EXCHANGE_ADDRS_MAX];
    struct timespec t;
    if (now < ex->own_until) {
        return;
    }
    ex->own_until = now + OWN_RENEW;
    size_t n = engine_own_addresses(ex->engine, list, STOQ_COUNT(list));
    ex->all.count = 0;
    ex->wide.count = 0;
    for (size_t i = 0; i < n; i++) {
        struct stoq_exchange_addr a = to_record(&list[i]);
        ex->all.addrs[ex->all.count++] = a;
        if (stoq_ip_scope(a.b) == STOQ_IP_PUBLIC) {
            ex->wide.addrs[ex->wide.count++] = a;
        }
    }
    (void)clock_gettime(CLOCK_REALTIME, &t);
    uint64_t us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    ex->sequence = us > ex->sequence ? us : ex->sequence + 1;
    sign_own(ex, &ex->all, (uint64_t)t.tv_sec);
    sign_own(ex, &ex->wide, (uint64_t)t.tv_sec);
}

static const struct own *own_for(struct engine_exchange *ex, const struct peer *p)
{
    struct stoq_span all = stoq_span(ex->all.addrs, ex->all.count * sizeof ex->all.addrs[0]);
    return stoq_exchange_may_see(ex->core, &p->id, all) ? &ex->all : &ex->wide;
}

struct stoq_span engine_exchange_addresses(struct stoq_engine *e, const struct peer *p)
{
    renew_own(e->exchange, stoq_now());
    const struct own *own = own_for(e->exchange, p);
    return stoq_span(own->addrs, own->count * sizeof own->addrs[0]);
}

/* ---- lists ---- */

static void add_item(struct stoq_msg_peer_exchange *m, struct stoq_buf *items,
                     struct stoq_span item)
{
    if (item.n > 0 && m->peers.count < STOQ_EXCHANGE_PEERS_MAX &&
        stoq_buf_add(items, item) == STOQ_OK) {
        m->peers.count++;
    }
}

/* Ours, and up to want of those we have met, into a message that borrows items. */
static void make_list(struct engine_exchange *ex, const struct peer *p, uint32_t want,
                      struct stoq_msg_peer_exchange *m, struct stoq_buf *items)
{
    struct stoq_span met[STOQ_EXCHANGE_PEERS_MAX];
    stoq_ns now = stoq_now();
    renew_own(ex, now);
    stoq_buf_init(items, LIST_BYTES_MAX);
    add_item(m, items, stoq_buf_span(&own_for(ex, p)->item));
    size_t n = stoq_exchange_pick(ex->core, &p->id, met, want, now);
    for (size_t i = 0; i < n; i++) {
        add_item(m, items, met[i]);
    }
    m->peers.items = stoq_buf_span(items);
}

/* How long a record is good from now on; 0: it is not. */
static stoq_ns ttl_left(const struct stoq_contact *rec)
{
    uint64_t wall_s = stoq_wall_seconds();
    uint64_t until_s;
    if (rec->issued_at_s > wall_s + SKEW_S ||
        !stoq_add_u64(rec->issued_at_s, rec->ttl_s, &until_s) || until_s <= wall_s) {
        return 0;
    }
    uint64_t left_s = until_s - wall_s;
    return (left_s < rec->ttl_s ? left_s : rec->ttl_s) * STOQ_SEC;
}

/* False: it lies, and nothing of it counts any more. */
static bool take_record(struct engine_exchange *ex, const struct peer *from,
                        const struct stoq_signed *s, struct stoq_span bytes)
{
    struct stoq_contact rec;
    char name[16];
    if (stoq_contact_decode(s->body, &rec) != STOQ_OK) {
        return false;
    }
    struct stoq_exchange_record r = {.peer = stoq_spki_peer_id(rec.spki),
                                     .addresses = rec.addresses,
                                     .sequence = rec.sequence,
                                     .ttl_ns = ttl_left(&rec),
                                     .bytes = bytes};
    if (stoq_exchange_judge(ex->core, &from->id, &r, stoq_now()) != STOQ_EXCHANGE_WANTED) {
        return true;
    }
    enum stoq_status st = stoq_object_check(s, STOQ_SIGN_EXCHANGE, rec.spki);
    if (st == STOQ_VERSION || st == STOQ_NOMEM) {
        return true; /* a kind of key that is new to us is nobody's fault */
    }
    if (st != STOQ_OK) {
        stoq_exchange_forged(ex->core, &from->id);
        engine_log(ex->engine, "%s.. passes on a peer's record that the peer has not signed",
                   engine_peer_name(from, name));
        return false;
    }
    return stoq_exchange_take(ex->core, &from->id, &r, stoq_now()) == STOQ_OK;
}

static void take_list(struct engine_exchange *ex, const struct peer *from,
                      const struct stoq_signed_list *list)
{
    struct stoq_span rest = list->items;
    struct stoq_signed s;
    struct stoq_span at = rest;
    while (stoq_signed_next(&rest, &s) &&
           take_record(ex, from, &s, stoq_span(at.p, (size_t)(rest.p - at.p)))) {
        at = rest;
    }
}

/* ---- asking ---- */

static void on_answer(struct ask *a)
{
    struct engine_exchange *ex = a->engine->exchange;
    if (ex != NULL && a->status == STOQ_OK && a->reply.type == STOQ_MSG_PEER_EXCHANGE) {
        take_list(ex, a->peer, &a->reply.u.peer_exchange.peers);
    }
}

static void ask(struct engine_exchange *ex, struct peer *p)
{
    struct stoq_message msg = {.type = STOQ_MSG_PEER_EXCHANGE,
                               .u.peer_exchange = {.want = STOQ_EXCHANGE_PEERS_MAX}};
    struct stoq_buf items;
    make_list(ex, p, STOQ_EXCHANGE_PEERS_MAX, &msg.u.peer_exchange, &items);
    (void)engine_ask_own(ex->engine, p, &msg, 0, on_answer, 0); /* without memory: next time */
    stoq_buf_release(&items);
}

void engine_exchange_met(struct stoq_engine *e, struct peer *p, const struct stoq_msg_hello *hello)
{
    bool due = p->to_exchange;
    p->to_exchange = false;
    if (e->exchange != NULL && due && !e->draining && hello != NULL &&
        (hello->features & STOQ_FEATURE_EXCHANGE) != 0) {
        ask(e->exchange, p);
    }
}

static void let_go(struct engine_exchange *ex, struct peer *p)
{
    for (size_t i = 0; i < STOQ_COUNT(ex->dialled); i++) {
        if (ex->dialled[i] == p) {
            ex->dialled[i] = NULL;
            engine_peer_unref(ex->engine, p);
        }
    }
}

static void dial(struct engine_exchange *ex, const struct stoq_exchange_action *a)
{
    struct stoq_engine *e = ex->engine;
    size_t place = 0;
    while (place < STOQ_COUNT(ex->dialled) && ex->dialled[place] != NULL) {
        place++;
    }
    struct peer *p = place == STOQ_COUNT(ex->dialled) ? NULL : engine_peer(e, &a->peer);
    if (p == NULL) {
        stoq_exchange_unreachable(ex->core, &a->peer, stoq_now());
        return;
    }
    ex->dialled[place] = p;
    for (uint32_t i = 0; i < a->addr_count; i++) {
        struct stoq_addr addr = stoq_addr_get(a->addrs[i].b);
        engine_peer_address(p, &addr);
    }
    if (p->state == PEER_IDLE) {
        engine_peer_dial(e, p, 0);
    }
}

/* Those of the last time: what they know follows when they answer. */
static void dial_remembered(struct stoq_engine *e)
{
    struct stoq_fetch_source known[ENGINE_KNOWN_SOURCES_MAX];
    size_t n = engine_known_sources(e, known, STOQ_COUNT(known));
    for (size_t i = 0; i < n; i++) {
        struct peer *p = engine_peer(e, &known[i].peer);
        if (p == NULL) {
            return;
        }
        engine_peer_address(p, &known[i].addr);
        if (p->state == PEER_IDLE) {
            engine_peer_dial(e, p, 0);
        }
        engine_peer_unref(e, p);
    }
}

stoq_ns engine_exchange_run(struct stoq_engine *e, stoq_ns now)
{
    struct engine_exchange *ex = e->exchange;
    struct stoq_exchange_action a;
    if (ex == NULL || e->draining) {
        return STOQ_NEVER;
    }
    if (!ex->begun) {
        ex->begun = true;
        dial_remembered(e);
    }
    while (stoq_exchange_poll(ex->core, now, &a)) {
        struct peer *p = engine_peer_find(e, &a.peer);
        if (a.kind == STOQ_EXCHANGE_DIAL) {
            dial(ex, &a);
        } else if (p != NULL && p->state == PEER_UP) {
            p->to_exchange = true;
            engine_peer_meet(e, p);
        }
    }
    return stoq_exchange_deadline(ex->core);
}

/* ---- connections ---- */

/* What the configuration says of its site. */
static enum stoq_exchange_site site_of(const struct stoq_engine *e, const struct peer *p)
{
    struct stoq_peers_place place;
    if (e->cfg.site[0] == '\0' || !stoq_peers_place(stoq_node_peers(e->node), &p->id, &place) ||
        place.site[0] == '\0') {
        return STOQ_SITE_UNKNOWN;
    }
    return strcmp(place.site, e->cfg.site) == 0 ? STOQ_SITE_OURS : STOQ_SITE_OTHER;
}

void engine_exchange_up(struct stoq_engine *e, struct peer *p, const struct stoq_addr *addr,
                        bool inbound)
{
    struct engine_exchange *ex = e->exchange;
    if (ex == NULL) {
        return;
    }
    struct stoq_exchange_link link = {
        .peer = p->id, .addr = to_record(addr), .site = site_of(e, p), .dialled = !inbound};
    stoq_exchange_up(ex->core, &link, stoq_now());
    let_go(ex, p);
}

void engine_exchange_down(struct stoq_engine *e, struct peer *p, bool was_up)
{
    struct engine_exchange *ex = e->exchange;
    if (ex == NULL) {
        return;
    }
    if (was_up) {
        stoq_exchange_down(ex->core, &p->id, stoq_now());
    } else {
        stoq_exchange_unreachable(ex->core, &p->id, stoq_now());
        let_go(ex, p);
    }
}

void engine_exchange_in(struct inbound *in, const struct stoq_message *msg)
{
    struct stoq_engine *e = in->engine;
    struct engine_exchange *ex = e->exchange;
    const struct stoq_msg_peer_exchange *m = &msg->u.peer_exchange;
    struct stoq_message reply = {.type = STOQ_MSG_PEER_EXCHANGE, .request_id = msg->request_id};
    struct stoq_buf items;
    stoq_buf_init(&items, 0);
    if (stoq_exchange_may_answer(ex->core, &in->peer->id, stoq_now())) {
        take_list(ex, in->peer, &m->peers);
        if (stoq_exchange_is_met(ex->core, &in->peer->id, stoq_now())) {
            engine_known_at(e, &in->peer->id, &in->peer->addr);
        }
        make_list(ex, in->peer, m->want, &reply.u.peer_exchange, &items);
    } else {
        e->requests_refused++;
        reply.type = STOQ_MSG_ERROR;
        reply.u.error = (struct stoq_msg_error){STOQ_ERR_BUSY, stoq_span_str("once a minute")};
    }
    engine_send(
        e, &(struct stoq_node_send){.peer = in->peer->number, .stream = in->number, .msg = &reply});
    stoq_buf_release(&items);
}

/* ---- what others want to know ---- */

size_t engine_exchange_sources(struct stoq_engine *e, struct stoq_fetch_source *out, size_t out_max)
{
    struct stoq_exchange_view v;
    size_t n = 0;
    for (size_t i = 0; e->exchange != NULL && n < out_max && n < SOURCES_MAX &&
                       stoq_exchange_at(e->exchange->core, i, stoq_now(), &v);
         i++) {
        if (v.met) {
            out[n++] = (struct stoq_fetch_source){.peer = v.peer, .addr = stoq_addr_get(v.addr.b)};
        }
    }
    return n;
}

static void take_stats(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_exchange *out = arg;
    out->on = e->exchange != NULL;
    if (out->on) {
        stoq_exchange_stats(e->exchange->core, stoq_now(), &out->stats);
    }
}

void stoq_engine_exchange(struct stoq_engine *e, struct stoq_engine_exchange *out)
{
    memset(out, 0, sizeof *out);
    engine_call(e, take_stats, out);
}
