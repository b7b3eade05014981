/*
 * Between the sockets (src/net/mdns.h) and the decisions (src/discover/dnssd.h). A name that people can tell
 * apart is made of the peer id, and says nothing of the machine: what is announced is what beacons say, and
 * the public key, which every connection shows.
 */
#include "daemon/engine_dnssd.h"

#include "daemon/engine_internal.h"
#include "discover/dnssd.h"
#include "net/mdns.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SYMBOLS 10 /* of the peer id: 50 bits */
#define SENDS_A_TURN 64

struct engine_dnssd {
    struct stoq_engine *engine;
    const struct stoq_links *links;
    struct stoq_mdns *mdns;
    struct stoq_timer *timer;
    struct engine_lan_port at;
    struct stoq_dnssd responder;
};

static void send_due(struct engine_dnssd *ed)
{
    unsigned index;
    size_t n;
    for (int i = 0; i < SENDS_A_TURN; i++) {
        stoq_ns now = stoq_now();
        if (!stoq_dnssd_due(&ed->responder, now, &index, &n)) {
            break;
        }
        if (!stoq_mdns_send(ed->mdns, index, stoq_span(ed->responder.message, n))) {
            stoq_dnssd_unsent(&ed->responder, index, now);
        }
    }
    stoq_timer_set(ed->timer, stoq_dnssd_deadline(&ed->responder));
}

static void on_timer(void *user)
{
    send_due(user);
}

static void on_heard(void *user, unsigned index, const struct stoq_addr *from,
                     struct stoq_span datagram)
{
    struct engine_dnssd *ed = user;
    struct stoq_dnssd_from at = {.port = from->port};
    memcpy(at.ip, from->ip, sizeof at.ip);
    size_t n = stoq_dnssd_heard(&ed->responder, index, &at, datagram, stoq_now());
    if (n > 0) {
        stoq_mdns_answer(ed->mdns, index, from, stoq_span(ed->responder.message, n));
    }
    send_due(ed);
}

/* The link's addresses, of the families that we answer on. */
static struct stoq_dnssd_place place_of(const struct engine_dnssd *ed, const struct stoq_link *l)
{
    struct stoq_dnssd_place place = {.index = l->index};
    for (size_t i = 0; i < l->addr_count && place.addr_count < STOQ_DNSSD_ADDRS_MAX; i++) {
        bool v4 = stoq_addr_is_v4(&l->addr[i].addr);
        if (v4 ? ed->at.v4 : ed->at.v6) {
            struct stoq_dnssd_addr *a = &place.addr[place.addr_count++];
            memcpy(a->ip, l->addr[i].addr.ip, sizeof a->ip);
            a->bits = l->addr[i].bits;
        }
    }
    return place;
}

void engine_dnssd_links_changed(struct engine_dnssd *ed)
{
    struct stoq_dnssd_place places[STOQ_DNSSD_LINKS_MAX];
    size_t count;
    size_t n = 0;
    if (ed == NULL) {
        return;
    }
    const struct stoq_link *list = stoq_links_list(ed->links, &count);
    for (size_t i = 0; i < count && n < STOQ_DNSSD_LINKS_MAX; i++) {
        places[n] = place_of(ed, &list[i]);
        n += places[n].addr_count > 0;
    }
    stoq_mdns_links_changed(ed->mdns);
    stoq_dnssd_places(&ed->responder, places, n, stoq_now());
    send_due(ed);
}

static void add_string(struct stoq_wr *txt, const char *key, const char *value)
{
    size_t n = strlen(key) + strlen(value);
    STOQ_ASSERT(n <= 255);
    stoq_wr_u8(txt, (uint8_t)n);
    stoq_wr_bytes(txt, stoq_span_str(key));
    stoq_wr_bytes(txt, stoq_span_str(value));
}

static enum stoq_status init_responder(struct engine_dnssd *ed)
{
    char peer[STOQ_ID_TEXT_CAP];
    char spki[STOQ_SPKI_TEXT_CAP];
    char instance[STOQ_DNSSD_LABEL_MAX + 1];
    char host[STOQ_DNSSD_LABEL_MAX + 1];
    uint8_t bytes[STOQ_DNSSD_TXT_MAX];
    struct stoq_wr txt = stoq_wr(bytes, sizeof bytes);
    const struct stoq_key *key = ed->engine->cfg.key;
    struct stoq_peer_id id = stoq_key_peer_id(key);
    stoq_peer_id_put(peer, &id);
    stoq_spki_put(spki, stoq_key_spki(key));
    add_string(&txt, "txtvers=", "1");
    add_string(&txt, "alpn=", STOQ_NET_ALPN);
    add_string(&txt, "peer=", peer);
    add_string(&txt, "key=", spki);
    STOQ_ASSERT(!txt.bad);
    const char *mark = peer + sizeof "peer1q" - 1;
    (void)snprintf(instance, sizeof instance, "stoq %.*s", NAME_SYMBOLS, mark);
    (void)snprintf(host, sizeof host, "stoq-%.*s", NAME_SYMBOLS, mark);
    struct stoq_dnssd_config cfg = {
        .instance = instance, .host = host, .port = ed->at.port, .txt = stoq_wr_span(&txt)};
    stoq_entropy(&cfg.seed, sizeof cfg.seed);
    return stoq_dnssd_init(&ed->responder, &cfg);
}

enum stoq_status engine_dnssd_new(struct engine_dnssd **out, struct stoq_engine *e,
                                  const struct stoq_links *links, const struct engine_lan_port *at,
                                  struct stoq_error *err)
{
    struct engine_dnssd *ed = calloc(1, sizeof *ed);
    if (ed == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "DNS-SD: out of memory");
    }
    ed->engine = e;
    ed->links = links;
    ed->at = *at;
    struct stoq_mdns_config cfg = {
        .loop = e->loop, .links = links, .v4 = at->v4, .v6 = at->v6, .heard = on_heard, .user = ed};
    STOQ_ASSERT(init_responder(ed) == STOQ_OK);
    enum stoq_status st = stoq_timer_new(&ed->timer, e->loop, on_timer, ed, err);
    if (st == STOQ_OK) {
        st = stoq_mdns_new(&ed->mdns, &cfg, err);
    }
    if (st != STOQ_OK) {
        engine_dnssd_free(ed);
        return st;
    }
    *out = ed;
    engine_dnssd_links_changed(ed);
    return STOQ_OK;
}

void engine_dnssd_leave(struct engine_dnssd *ed)
{
    if (ed != NULL) {
        stoq_dnssd_leave(&ed->responder);
        send_due(ed);
    }
}

void engine_dnssd_free(struct engine_dnssd *ed)
{
    if (ed == NULL) {
        return;
    }
    stoq_mdns_free(ed->mdns);
    stoq_timer_free(ed->timer);
    free(ed);
}

void engine_dnssd_status(const struct engine_dnssd *ed, struct stoq_engine_dnssd *out)
{
    memset(out, 0, sizeof *out);
    if (ed == NULL) {
        return;
    }
    const struct stoq_dnssd_stats *s = &ed->responder.stats;
    _Static_assert(sizeof out->name == STOQ_DNS_LABEL_MAX + 1, "a label fits");
    out->on = true;
    out->links = stoq_dnssd_announced(&ed->responder);
    out->queries = s->queries;
    out->sent = s->sent;
    out->refused = s->refused;
    out->renamed = s->renamed;
    out->throttled = s->unanswered + stoq_mdns_throttled(ed->mdns);
    (void)stoq_dnssd_name(&ed->responder, out->name);
}
