/*
 * Peers and their connections. A peer has one number for as long as anything refers to it; it may be
 * connected more than once (both sides dialled at the same time): the node sees one link, which is up
 * while any connection is, and our requests use one of them.
 */
#include "daemon/engine_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/bech32m.h"

void engine_peer_why(struct peer *p, const char *fmt, ...)
{
    if (!p->forged) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(p->why, sizeof p->why, fmt, args);
        va_end(args);
    }
}

const char *engine_peer_name(const struct peer *p, char out[16])
{
    char text[STOQ_ID_TEXT_CAP];
    stoq_peer_id_put(text, &p->id);
    memcpy(out, text, 15);
    out[15] = '\0';
    return out;
}

void engine_peer_agent(struct peer *p, struct stoq_span agent)
{
    size_t n = agent.n < sizeof p->agent ? agent.n : sizeof p->agent - 1;
    for (size_t i = 0; i < n; i++) {
        p->agent[i] = agent.p[i] >= ' ' && agent.p[i] <= '~' ? (char)agent.p[i] : '?';
    }
    p->agent[n] = '\0';
}

struct peer *engine_peer_at(struct stoq_engine *e, stoq_peer number)
{
    STOQ_ASSERT(number < e->peer_slots && e->peers[number]->live);
    return e->peers[number];
}

void engine_peer_ref(struct peer *p)
{
    p->refs++;
}

void engine_peer_unref(struct stoq_engine *e, struct peer *p)
{
    (void)e;
    STOQ_ASSERT(p->refs > 0);
    if (--p->refs == 0 && p->state == PEER_IDLE) {
        p->live = false;
    }
}

struct peer *engine_peer_find(struct stoq_engine *e, const struct stoq_peer_id *id)
{
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        if (e->peers[i]->live && stoq_hash_eq(&e->peers[i]->id.h, &id->h)) {
            return e->peers[i];
        }
    }
    return NULL;
}

static struct peer *free_slot(struct stoq_engine *e)
{
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        if (!e->peers[i]->live) {
            return e->peers[i];
        }
    }
    if (e->peer_slots == ENGINE_PEERS_MAX) {
        return NULL;
    }
    struct peer *p = malloc(sizeof *p);
    if (p != NULL) {
        e->peers[e->peer_slots] = p;
        p->number = e->peer_slots++;
    }
    return p;
}

struct peer *engine_peer(struct stoq_engine *e, const struct stoq_peer_id *id)
{
    struct peer *p = engine_peer_find(e, id);
    if (p == NULL) {
        p = free_slot(e);
        if (p == NULL) {
            return NULL;
        }
        stoq_peer number = p->number;
        *p = (struct peer){.id = *id, .number = number, .live = true};
        p->waiting_last = &p->waiting;
    }
    p->refs++;
    return p;
}

static void link_event(struct stoq_engine *e, struct peer *p, bool up, stoq_ns rtt_ns,
                       enum stoq_status status)
{
    struct stoq_node_event who = {.kind = STOQ_NODE_PEER,
                                  .u.peer = {.peer = p->number, .id = &p->id, .ip = p->addr.ip}};
    (void)engine_feed(e, &who);
    struct stoq_node_event ev = {.kind = up ? STOQ_NODE_LINK_UP : STOQ_NODE_LINK_DOWN,
                                 .u.link = {.peer = p->number,
                                            .rtt_ns = rtt_ns,
                                            .local = stoq_addr_is_loopback(&p->addr),
                                            .status = status}};
    enum stoq_status st = engine_feed(e, &ev);
    if (up && st != STOQ_OK) {
        stoq_net_close(e->net, p->conn, STOQ_APP_GOING_AWAY, "no room for another peer");
    }
}

void engine_link_down(struct stoq_engine *e, struct peer *p, enum stoq_status status)
{
    link_event(e, p, false, 0, status);
    p->to_exchange = false;
    engine_pings_down(e, p, status);
    engine_placements_down(e, p);
    engine_names_down(e, p);
}

void engine_peer_dial(struct stoq_engine *e, struct peer *p, stoq_ns timeout_ns)
{
    if (p->state == PEER_UP) {
        struct stoq_net_info info = {0};
        (void)stoq_net_info(e->net, p->conn, &info);
        link_event(e, p, true, info.srtt_ns, STOQ_OK);
    } else if (p->state == PEER_IDLE) {
        engine_dial_begin(e, p, timeout_ns);
    }
}

/* Of a peer's connections close the oldest that is neither the one we ask on nor the new one: a peer that
 * was killed and started again leaves some behind, which time out only later. */
static void close_oldest(struct stoq_engine *e, const struct peer *p, stoq_net_conn fresh)
{
    stoq_net_conn oldest = 0;
    stoq_ns oldest_at = STOQ_NEVER;
    for (size_t i = 0; i < e->conns.capacity; i++) {
        const struct stoq_map_slot *slot = &e->conns.slots[i];
        struct stoq_net_info info;
        if (slot->value == p && slot->key.a != fresh && slot->key.a != p->conn &&
            stoq_net_info(e->net, slot->key.a, &info) && info.opened &&
            info.opened_at_ns < oldest_at) {
            oldest = slot->key.a;
            oldest_at = info.opened_at_ns;
        }
    }
    stoq_net_close(e->net, oldest, STOQ_APP_OVERLOADED, "a newer connection took this one's place");
}

/* What its Hello brings is kept where it is read (engine_ask.c). */
static void on_met(struct ask *a)
{
    bool met = a->status == STOQ_OK && a->reply.type == STOQ_MSG_HELLO;
    a->peer->meeting = false;
    engine_exchange_met(a->engine, a->peer, met ? &a->reply.u.hello : NULL);
    engine_tell_met(a->engine, a->peer, met ? &a->reply.u.hello : NULL);
}

void engine_peer_meet(struct stoq_engine *e, struct peer *p)
{
    struct stoq_message msg = {.type = STOQ_MSG_HELLO, .u.hello = stoq_node_hello(e->node)};
    p->to_be_met = false;
    if (!p->meeting) {
        p->meeting = true;
        if (engine_ask_own(e, p, &msg, 0, on_met, 0) == 0) {
            p->meeting = false; /* without memory it stays a stranger */
        }
    }
}

void engine_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct stoq_engine *e = user;
    struct peer *p = stoq_map_get(&e->conns, (struct stoq_map_key){conn, 0});
    char name[16];
    char addr[STOQ_ADDR_TEXT_MAX];
    if (!engine_allows(e, &info->peer)) { /* before anything it asks is looked at */
        e->peers_closed++;
        engine_log(e, "%s: not among the peers that are allowed",
                   stoq_addr_format(&info->addr, addr));
        stoq_net_close(e->net, conn, STOQ_APP_GOING_AWAY, "");
        return;
    }
    if (p == NULL) {
        p = e->draining ? NULL : engine_peer(e, &info->peer);
        if (p != NULL && stoq_map_put(&e->conns, (struct stoq_map_key){conn, 0}, p) != STOQ_OK) {
            engine_peer_unref(e, p);
            p = NULL;
        }
        if (p == NULL) {
            stoq_net_close(e->net, conn, STOQ_APP_GOING_AWAY,
                           e->draining ? "going away" : "no room for another peer");
            return;
        }
    }
    p->conn_count++;
    (void)snprintf(p->group, sizeof p->group, "%s", info->early ? "resumed" : info->group);
    engine_log(e, "%s %s.. at %s, key exchange %s", info->inbound ? "peer" : "connected to",
               engine_peer_name(p, name), stoq_addr_format(&info->addr, addr), p->group);
    if (p->conn_count > ENGINE_PEER_CONNS_MAX) {
        close_oldest(e, p, conn);
    }
    engine_known_seen(e, &p->id, 0);
    if (!info->inbound) {
        engine_known_at(e, &p->id, &info->addr);
    }
    bool first = p->state != PEER_UP;
    if (first) {
        p->state = PEER_UP;
        p->conn = conn;
        p->addr = info->addr;
        struct stoq_net_info now = {0};
        (void)stoq_net_info(e->net, conn, &now);
        p->serve_most = now.near ? ENGINE_SERVE_NEAR_MAX : ENGINE_SERVE_PEER_MAX;
        engine_dial_opened(e, p, info->inbound);
        link_event(e, p, true, now.srtt_ns, STOQ_OK);
        engine_pings_up(e, p);
        engine_placements_up(e, p);
        engine_names_up(e, p);
        engine_dht_up(e, p);
        engine_exchange_up(e, p, &info->addr, info->inbound);
        if (p->to_be_met) {
            engine_peer_meet(e, p);
        }
    } else if (!info->inbound) {
        engine_dial_opened(e, p, false);
    }
}

static enum stoq_status why_status(enum stoq_net_why why)
{
    switch (why) {
    case STOQ_NET_TIMED_OUT:
        return STOQ_TIMEOUT;
    case STOQ_NET_WRONG_KEY:
    case STOQ_NET_NO_KEY:
        return STOQ_PROOF;
    case STOQ_NET_FAILED:
        return STOQ_NOMEM;
    default:
        return STOQ_NET;
    }
}

static const char *why_code(const struct stoq_net_closed *info)
{
    if (info->opened) {
        return NULL;
    }
    switch (info->why) {
    case STOQ_NET_WRONG_KEY:
    case STOQ_NET_NO_KEY:
        return "KeyMismatch";
    case STOQ_NET_NO_GROUP:
        return "NoCommonGroup";
    case STOQ_NET_TIMED_OUT:
    case STOQ_NET_UNREACHABLE:
    case STOQ_NET_REFUSED:
        return "PeerUnreachable";
    default:
        return "Network";
    }
}

/* Another open connection with the same peer; 0: none. */
static stoq_net_conn other_conn(struct stoq_engine *e, const struct peer *p, stoq_net_conn gone)
{
    for (size_t i = 0; i < e->conns.capacity; i++) {
        const struct stoq_map_slot *slot = &e->conns.slots[i];
        struct stoq_net_info info;
        if (slot->value == p && slot->key.a != gone && stoq_net_info(e->net, slot->key.a, &info) &&
            info.opened) {
            return slot->key.a;
        }
    }
    return 0;
}

/* What a failed dial says of a wrong key is worth more than that another address is dead. */
static void note_why(struct peer *p, const struct stoq_net_closed *info)
{
    const char *code = why_code(info);
    bool dead = code != NULL && strcmp(code, "PeerUnreachable") == 0;
    if (info->why == STOQ_NET_LOCAL || (dead && p->code != NULL)) {
        return;
    }
    engine_peer_why(p, "%s", info->text);
    p->code = code;
}

static void lost_connection(struct stoq_engine *e, struct peer *p, stoq_net_conn conn,
                            enum stoq_status status)
{
    p->conn_count--;
    if (p->conn != conn) {
        return;
    }
    p->conn = p->conn_count > 0 ? other_conn(e, p, conn) : 0;
    if (p->conn != 0) {
        engine_ask_retry(p);
        return;
    }
    p->state = PEER_IDLE; /* an attempt of ours that is under way may still open */
    engine_exchange_down(e, p, true);
    engine_link_down(e, p, status);
}

void engine_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct stoq_engine *e = user;
    struct peer *p = stoq_map_remove(&e->conns, (struct stoq_map_key){conn, 0});
    if (p == NULL) {
        return; /* one we refused in engine_opened */
    }
    char name[16];
    char addr[STOQ_ADDR_TEXT_MAX];
    e->peers_closed += info->why == STOQ_NET_LOCAL && info->code == STOQ_APP_VIOLATION;
    engine_log(e, "%s.. at %s: %s (%s)", engine_peer_name(p, name),
               stoq_addr_format(&info->addr, addr), info->text, stoq_net_why_str(info->why));
    if (info->opened) {
        engine_known_seen(e, &p->id, info->min_rtt_ns);
    }
    note_why(p, info);
    engine_budget_conn_lost(e, conn);
    engine_asks_conn_lost(e, conn);
    engine_serves_conn_lost(e, conn);
    if (!info->opened) {
        engine_dial_failed(e, p, why_status(info->why));
        return;
    }
    lost_connection(e, p, conn, why_status(info->why));
    engine_peer_unref(e, p);
}

struct contact {
    const struct stoq_fetch_source *peers;
    size_t count;
};

static void contact_all(struct stoq_engine *e, void *arg)
{
    const struct contact *c = arg;
    for (size_t i = 0; i < c->count && !e->draining; i++) {
        struct peer *p = engine_peer(e, &c->peers[i].peer);
        if (p == NULL) {
            return;
        }
        engine_peer_address(p, &c->peers[i].addr);
        p->to_be_met = p->state != PEER_UP;
        if (p->state == PEER_IDLE) {
            engine_peer_dial(e, p, 0);
        }
        engine_peer_unref(e, p);
    }
}

void stoq_engine_contact(struct stoq_engine *e, const struct stoq_fetch_source *peers, size_t count)
{
    engine_call(e, contact_all, &(struct contact){peers, count});
}

void engine_refused(void *user, const struct stoq_net_closed *info)
{
    struct stoq_engine *e = user;
    char addr[STOQ_ADDR_TEXT_MAX];
    engine_log(e, "refused %s: %s", stoq_addr_format(&info->addr, addr), info->text);
}
