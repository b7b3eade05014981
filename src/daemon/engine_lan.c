/*
 * LAN discovery in the engine: beacons between the sockets (src/net/lan.h) and the decisions
 * (src/discover/neighbours.h), and neighbours as sources of the fetches that take them. Peers are
 * believed to be where their beacons came from and nothing more: who answers there must show the key.
 */
#include "daemon/engine_internal.h"

#include "discover/neighbours.h"
#include "net/lan.h"
#include "os/sys.h"

#include <stdlib.h>
#include <string.h>

#define ANSWERS_WAIT (1500 * STOQ_MS) /* so long a fetch waits for the first neighbour */

struct engine_lan {
    struct stoq_engine *engine;
    struct stoq_lan *lan;
    struct stoq_timer *timer;
    struct stoq_neighbours neighbours;
    struct stoq_neighbour list[STOQ_NEIGHBOURS_MAX]; /* where one is made */
};

_Static_assert(sizeof(struct stoq_addr) == STOQ_PLACE_BYTES, "addresses cross as their bytes");

static void send_due(void *user)
{
    struct engine_lan *el = user;
    enum stoq_beacon_kind kind;
    if (stoq_neighbours_due(&el->neighbours, stoq_now(), &kind)) {
        (void)stoq_lan_send(el->lan, (uint8_t)kind);
    }
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
}

static void on_links(void *user)
{
    struct engine_lan *el = user;
    stoq_neighbours_restart(&el->neighbours, stoq_now());
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
}

static struct stoq_addr addr_of(const struct stoq_neighbour *n)
{
    struct stoq_addr addr;
    memcpy(&addr, &n->addr, sizeof addr);
    return addr;
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
    if (news == STOQ_NEIGHBOUR_NEW) {
        struct stoq_fetch_source source = {.peer = b->peer, .addr = *from};
        engine_fetches_offer(el->engine, &source);
        engine_names_offer(el->engine, &source);
    }
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
}

/* The port of a socket that takes what comes to any address; 0: none, then nobody can be told. */
static uint16_t serving_port(const struct stoq_engine *e)
{
    struct stoq_addr addr;
    for (size_t i = 0; e->serving && stoq_engine_local_addr(e, i, &addr); i++) {
        if (stoq_addr_is_any(&addr)) {
            return addr.port;
        }
    }
    return 0;
}

static enum stoq_status open_parts(struct engine_lan *el, uint16_t port, struct stoq_error *err)
{
    struct stoq_engine *e = el->engine;
    struct stoq_lan_config cfg = {.loop = e->loop,
                                  .key = e->cfg.key,
                                  .port = port,
                                  .seal_key = e->private ? e->beacon_key : NULL,
                                  .heard = on_heard,
                                  .links_changed = on_links,
                                  .user = el};
    enum stoq_status st = stoq_timer_new(&el->timer, e->loop, send_due, el, err);
    return st == STOQ_OK ? stoq_lan_new(&el->lan, &cfg, err) : st;
}

enum stoq_status engine_lan_start(struct stoq_engine *e, struct stoq_error *err)
{
    uint16_t port = serving_port(e);
    if (e->lan != NULL) {
        return STOQ_OK;
    }
    struct engine_lan *el = calloc(1, sizeof *el);
    if (el == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "LAN discovery: out of memory");
    }
    el->engine = e;
    struct stoq_neighbours_config cfg = {.self = stoq_key_peer_id(e->cfg.key),
                                         .serving = port != 0};
    stoq_entropy(&cfg.seed, sizeof cfg.seed);
    stoq_neighbours_init(&el->neighbours, &cfg, stoq_now());
    e->lan = el;
    enum stoq_status st = open_parts(el, port, err);
    if (st != STOQ_OK) {
        engine_lan_free(e);
        return st;
    }
    stoq_timer_set(el->timer, stoq_neighbours_deadline(&el->neighbours));
    return STOQ_OK;
}

void engine_lan_leave(struct stoq_engine *e)
{
    if (e->lan != NULL && serving_port(e) != 0) {
        (void)stoq_lan_send(e->lan->lan, STOQ_BEACON_BYE);
    }
    engine_lan_free(e);
}

void engine_lan_free(struct stoq_engine *e)
{
    if (e->lan == NULL) {
        return;
    }
    stoq_lan_free(e->lan->lan);
    stoq_timer_free(e->lan->timer);
    free(e->lan);
    e->lan = NULL;
}

size_t engine_lan_sources(struct stoq_engine *e, struct stoq_fetch_source *out, size_t out_max)
{
    if (e->lan == NULL) {
        return 0;
    }
    size_t n = stoq_neighbours_list(&e->lan->neighbours, stoq_now(), e->lan->list, out_max);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct stoq_fetch_source){.peer = e->lan->list[i].peer,
                                            .addr = addr_of(&e->lan->list[i])};
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
    stoq_timer_set(e->lan->timer, stoq_neighbours_deadline(&e->lan->neighbours));
    bool known = stoq_neighbours_list(&e->lan->neighbours, stoq_now(), e->lan->list, 1) > 0;
    return known ? 0 : ANSWERS_WAIT;
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
    stoq_lan_stats(e->lan->lan, &stats);
    *s->out = (struct stoq_engine_lan){.on = true,
                                       .serving = serving_port(e) != 0,
                                       .links = stats.links,
                                       .sent = stats.sent,
                                       .heard = stats.heard,
                                       .refused = stats.refused,
                                       .throttled = stats.throttled};
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
