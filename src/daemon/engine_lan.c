/*
 * LAN discovery in the engine: beacons between the sockets (src/net/lan.h) and the decisions
 * (src/discover/neighbours.h), and neighbours as sources of the fetches that take them. Peers are
 * believed to be where their beacons came from and nothing more: who answers there must show the key.
 */
#include "daemon/engine_dnssd.h"
#include "daemon/engine_internal.h"
#include "discover/neighbours.h"
#include "net/lan.h"
#include "net/links.h"
#include "os/sys.h"

#include <stdlib.h>
#include <string.h>

#define ANSWERS_WAIT (1500 * STOQ_MS) /* so long a fetch waits for the first neighbour ... */
/* ... and so long where a link is so new that it cannot be asked: Linux looks for duplicates of a new IPv6
 * address for 1 to 2 s (RFC 4862 section 5.4), and tells us when it is done. */
#define NEW_LINK_WAIT (4 * STOQ_SEC)

struct engine_lan {
    struct stoq_engine *engine;
    struct stoq_links *links;
    struct stoq_lan *lan;
    struct engine_dnssd *dnssd; /* NULL: not announced so */
    struct stoq_timer *timer;
    uint8_t (*keys)
        [STOQ_BEACON_KEY_BYTES]; /* that of our beacons, and of each peer that is allowed; NULL: none */
    struct stoq_neighbours neighbours;
    struct stoq_neighbour list[STOQ_NEIGHBOURS_MAX]; /* where one is made */
};

_Static_assert(sizeof(struct stoq_addr) == STOQ_PLACE_BYTES, "addresses cross as their bytes");

static void offer(struct engine_lan *el, const struct stoq_peer_id *peer,
                  const struct stoq_addr *addr)
{
    struct stoq_fetch_source source = {.peer = *peer, .addr = *addr};
    engine_fetches_offer(el->engine, &source);
    engine_names_offer(el->engine, &source);
}

static struct stoq_addr addr_of(const struct stoq_neighbour *n)
{
    struct stoq_addr addr;
    memcpy(&addr, &n->addr, sizeof addr);
    return addr;
}

static void offer_all(struct engine_lan *el)
{
    size_t n = stoq_neighbours_list(&el->neighbours, stoq_now(), el->list, STOQ_COUNT(el->list));
    for (size_t i = 0; i < n; i++) {
        struct stoq_addr addr = addr_of(&el->list[i]);
        offer(el, &el->list[i].peer, &addr);
    }
}

/* A link whose own address was still being looked at hears its neighbours and cannot dial them: they are
 * offered when it can. */
static void send_due(void *user)
{
    struct engine_lan *el = user;
    enum stoq_beacon_kind kind;
    if (stoq_neighbours_due(&el->neighbours, stoq_now(), &kind)) {
        size_t unready = stoq_lan_unready(el->lan);
        (void)stoq_lan_send(el->lan, (uint8_t)kind);
        if (stoq_lan_unready(el->lan) < unready) {
            offer_all(el);
        }
    }
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
}

static void on_links(void *user)
{
    struct engine_lan *el = user;
    stoq_lan_links_changed(el->lan);
    stoq_neighbours_restart(&el->neighbours, stoq_now());
    send_due(el);
    engine_dnssd_links_changed(el->dnssd);
}

static void log_news(struct stoq_engine *e, enum stoq_neighbour_news news,
                     const struct stoq_peer_id *id, const struct stoq_addr *addr)
{
    struct peer p = {.id = *id};
    char name[16];
    char text[STOQ_ADDR_TEXT_MAX];
    if (news == STOQ_NEIGHBOUR_NEW) {
        engine_log(e, "neighbour %s.. at %s", engine_peer_name(&p, name),
                   stoq_addr_format(addr, text));
    } else if (news == STOQ_NEIGHBOUR_GONE) {
        engine_log(e, "neighbour %s.. says goodbye", engine_peer_name(&p, name));
    }
}

static void on_heard(void *user, const struct stoq_beacon *b, const struct stoq_addr *from)
{
    struct engine_lan *el = user;
    if (!engine_allows(el->engine, &b->peer)) {
        return; /* it is not told of us either */
    }
    struct stoq_place_addr place;
    struct stoq_addr host = *from;
    uint64_t hash = stoq_addr_prefix(&host);
    memcpy(&place, from, sizeof place);
    for (size_t i = 0; i < sizeof host.ip; i++) {
        hash = (hash ^ host.ip[i]) * UINT64_C(0x100000001b3);
    }
    struct stoq_beacon_heard heard = {.kind = (enum stoq_beacon_kind)b->kind,
                                      .peer = b->peer,
                                      .sequence = b->sequence,
                                      .addr = b->port != 0 ? &place : NULL,
                                      .host = hash,
                                      .link_local = stoq_addr_is_link_local(from)};
    enum stoq_neighbour_news news = stoq_neighbours_heard(&el->neighbours, &heard, stoq_now());
    log_news(el->engine, news, &b->peer, from);
    if (news == STOQ_NEIGHBOUR_NEW && stoq_lan_reaches(el->lan, from)) {
        offer(el, &b->peer, from);
    }
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
}

/* A socket that takes what comes to any address; without one nobody can be told where we are. */
static struct engine_lan_port serving_at(const struct stoq_engine *e)
{
    struct engine_lan_port at = {.port = 0};
    struct stoq_addr addr;
    for (size_t i = 0; e->serving && stoq_engine_local_addr(e, i, &addr); i++) {
        if (stoq_addr_is_any(&addr) && (at.port == 0 || at.port == addr.port)) {
            at.port = addr.port;
            at.v4 = true; /* an IPv6 socket takes both */
            at.v6 = at.v6 || !stoq_addr_is_v4(&addr);
        }
    }
    return at;
}

/* Where a list of peers makes the network each one's beacons have a key that whoever lists it can make. */
static enum stoq_status make_keys(struct engine_lan *el, struct stoq_lan_config *cfg)
{
    const struct stoq_engine *e = el->engine;
    struct stoq_peer_id self = stoq_key_peer_id(e->cfg.key);
    if (e->private) {
        cfg->seal_key = cfg->open_keys = e->beacon_key;
        cfg->open_count = 1;
    } else if (e->allow != NULL) {
        el->keys = calloc(1 + e->cfg.allow_count, sizeof *el->keys);
        if (el->keys == NULL) {
            return STOQ_NOMEM;
        }
        stoq_beacon_peer_key(el->keys[0], &self);
        for (size_t i = 0; i < e->cfg.allow_count; i++) {
            stoq_beacon_peer_key(el->keys[1 + i], &e->allow[i]);
        }
        cfg->seal_key = el->keys[0];
        cfg->open_keys = el->keys[1];
        cfg->open_count = e->cfg.allow_count;
    }
    return STOQ_OK;
}

static enum stoq_status open_parts(struct engine_lan *el, uint16_t port, struct stoq_error *err)
{
    struct stoq_engine *e = el->engine;
    struct stoq_lan_config cfg = {
        .loop = e->loop, .key = e->cfg.key, .port = port, .heard = on_heard, .user = el};
    if (make_keys(el, &cfg) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "LAN discovery: out of memory");
    }
    enum stoq_status st = stoq_timer_new(&el->timer, e->loop, send_due, el, err);
    if (st == STOQ_OK) {
        st = stoq_links_new(&el->links, e->loop, on_links, el, err);
    }
    cfg.links = el->links;
    return st == STOQ_OK ? stoq_lan_new(&el->lan, &cfg, err) : st;
}

/* Strangers see a private network neither by its beacons nor so. */
static void announce(struct engine_lan *el, const struct engine_lan_port *at)
{
    struct stoq_error err;
    struct stoq_engine *e = el->engine;
    if (!e->cfg.dns_sd || at->port == 0 || e->private || e->allow != NULL) {
        return;
    }
    if (engine_dnssd_new(&el->dnssd, e, el->links, at, &err) != STOQ_OK) {
        engine_log(e, "not announced by DNS-SD: %s", err.text);
    }
}

enum stoq_status engine_lan_start(struct stoq_engine *e, struct stoq_error *err)
{
    struct engine_lan_port at = serving_at(e);
    if (e->lan != NULL) {
        return STOQ_OK;
    }
    struct engine_lan *el = calloc(1, sizeof *el);
    if (el == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "LAN discovery: out of memory");
    }
    el->engine = e;
    struct stoq_neighbours_config cfg = {.self = stoq_key_peer_id(e->cfg.key),
                                         .serving = at.port != 0};
    stoq_entropy(&cfg.seed, sizeof cfg.seed);
    stoq_neighbours_init(&el->neighbours, &cfg, stoq_now());
    e->lan = el;
    enum stoq_status st = open_parts(el, at.port, err);
    if (st != STOQ_OK) {
        engine_lan_free(e);
        return st;
    }
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
    announce(el, &at);
    return STOQ_OK;
}

void engine_lan_leave(struct stoq_engine *e)
{
    if (e->lan != NULL && serving_at(e).port != 0) {
        (void)stoq_lan_send(e->lan->lan, STOQ_BEACON_BYE);
        engine_dnssd_leave(e->lan->dnssd);
    }
    engine_lan_free(e);
}

void engine_lan_free(struct stoq_engine *e)
{
    if (e->lan == NULL) {
        return;
    }
    engine_dnssd_free(e->lan->dnssd);
    stoq_lan_free(e->lan->lan);
    stoq_links_free(e->lan->links);
    stoq_timer_free(e->lan->timer);
    free(e->lan->keys);
    free(e->lan);
    e->lan = NULL;
}

size_t engine_lan_sources(struct stoq_engine *e, struct stoq_fetch_source *out, size_t out_max)
{
    if (e->lan == NULL) {
        return 0;
    }
    const struct stoq_neighbour *list = e->lan->list;
    size_t known =
        stoq_neighbours_list(&e->lan->neighbours, stoq_now(), e->lan->list, STOQ_NEIGHBOURS_MAX);
    size_t n = 0;
    for (size_t i = 0; i < known && n < out_max; i++) {
        struct stoq_addr addr = addr_of(&list[i]);
        if (stoq_lan_reaches(e->lan->lan, &addr)) {
            out[n++] = (struct stoq_fetch_source){.peer = list[i].peer, .addr = addr};
        }
    }
    return n;
}

stoq_ns engine_lan_ask(struct stoq_engine *e)
{
    struct stoq_error err;
    if (engine_lan_start(e, &err) != STOQ_OK) {
        engine_log(e, "no LAN discovery: %s", err.text);
        return 0;
    }
    stoq_neighbours_ask(&e->lan->neighbours, stoq_now());
    send_due(e->lan);
    struct stoq_fetch_source known;
    if (engine_lan_sources(e, &known, 1) > 0) {
        return 0;
    }
    return stoq_lan_unready(e->lan->lan) > 0 ? NEW_LINK_WAIT : ANSWERS_WAIT;
}

struct snapshot {
    struct stoq_engine_lan *out;
    struct stoq_engine_neighbour *list;
    size_t list_max;
};

static void take_snapshot(struct stoq_engine *e, void *arg)
{
    struct snapshot *s = arg;
    struct stoq_lan_stats stats;
    stoq_ns now = stoq_now();
    if (e->lan == NULL) {
        return;
    }
    size_t links;
    stoq_lan_stats(e->lan->lan, &stats);
    (void)stoq_links_list(e->lan->links, &links);
    *s->out = (struct stoq_engine_lan){.on = true,
                                       .serving = serving_at(e).port != 0,
                                       .links = links,
                                       .sent = stats.sent,
                                       .heard = stats.heard,
                                       .refused = stats.refused,
                                       .throttled = stats.throttled};
    engine_dnssd_status(e->lan->dnssd, &s->out->dns_sd);
    s->out->neighbours =
        stoq_neighbours_list(&e->lan->neighbours, now, e->lan->list, STOQ_NEIGHBOURS_MAX);
    for (size_t i = 0; i < s->out->neighbours && i < s->list_max; i++) {
        const struct stoq_neighbour *n = &e->lan->list[i];
        s->list[i] = (struct stoq_engine_neighbour){.peer = n->peer,
                                                    .addr = addr_of(n),
                                                    .known_ns = now - n->first_at,
                                                    .heard_ns = now - n->heard_at};
    }
}

void stoq_engine_lan(struct stoq_engine *e, struct stoq_engine_lan *out,
                     struct stoq_engine_neighbour *list, size_t list_max)
{
    struct snapshot s = {.out = out, .list = list, .list_max = list_max};
    memset(out, 0, sizeof *out);
    engine_call(e, take_snapshot, &s);
}
