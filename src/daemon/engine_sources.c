/*
 * Whom fetches take from. Those named, neighbours and providers that are known are there from the
 * beginning; neighbours are asked for and the DHT is looked through at the same time, and who is found joins
 * the fetch while it runs. As long as somebody is looked for, the fetch does not end for want of sources.
 */
#include "daemon/engine_internal.h"

#include "dht/dht.h"

#include <stdio.h>

#define DHT_WAIT (3 * STOQ_SEC) /* for a lookup; what it finds later joins as well */

/* One more source of a fetch. *out is NULL when it is one already. STOQ_OK, STOQ_FULL. */
static enum stoq_status add_source(struct stoq_fetch *f, const struct stoq_fetch_source *src,
                                   struct peer **out)
{
    struct stoq_engine *e = f->engine;
    struct peer *p = engine_peer(e, &src->peer);
    *out = NULL;
    if (p == NULL) {
        return STOQ_FULL;
    }
    engine_peer_address(p, &src->addr);
    for (size_t k = 0; k < f->peer_count; k++) {
        if (f->peers[k] == p) {
            engine_peer_unref(e, p);
            return STOQ_OK;
        }
    }
    if (f->peer_count == STOQ_FETCH_SOURCES_MAX) {
        engine_peer_unref(e, p);
        return STOQ_FULL;
    }
    p->why[0] = '\0';
    p->forged = false;
    p->code = NULL;
    p->damaged = false;
    engine_trust_check(e, p);
    f->peers[f->peer_count++] = p;
    *out = p;
    return STOQ_OK;
}

static enum stoq_status add_all(struct stoq_fetch *f, const struct stoq_fetch_source *list,
                                size_t n)
{
    enum stoq_status st = STOQ_OK;
    struct peer *p;
    for (size_t i = 0; i < n && st == STOQ_OK; i++) {
        st = add_source(f, &list[i], &p);
    }
    return st;
}

/* Of those that were found so many as there is room for. */
static void add_found(struct stoq_fetch *f, const struct stoq_fetch_source *list, size_t n)
{
    size_t room = STOQ_FETCH_SOURCES_MAX - f->peer_count;
    (void)!add_all(f, list, n < room ? n : room);
}

static void look_on_lan(struct stoq_fetch *f, stoq_ns now)
{
    struct stoq_fetch_source found[STOQ_FETCH_SOURCES_MAX];
    f->lan_until = now + engine_lan_ask(f->engine);
    add_found(f, found, engine_lan_sources(f->engine, found, STOQ_FETCH_SOURCES_MAX));
}

static void look_in_dht(struct stoq_fetch *f, stoq_ns now)
{
    struct stoq_fetch_source found[STOQ_FETCH_SOURCES_MAX];
    struct stoq_hash key = stoq_dht_key(&f->ask->id);
    size_t n = engine_dht_sources(f->engine, &key, found, STOQ_FETCH_SOURCES_MAX);
    add_found(f, found, n);
    if (n < STOQ_DHT_ENOUGH && engine_dht_seek(f->engine, &key)) {
        f->dht_until = now + DHT_WAIT;
    }
}

/* Those who have announced it, those that peers have told of and that were met, and those of another time. */
static void look_at_known(struct stoq_fetch *f)
{
    struct stoq_fetch_source found[STOQ_FETCH_SOURCES_MAX];
    size_t told = engine_tell_sources(f->engine, &f->ask->id, found, STOQ_FETCH_SOURCES_MAX);
    add_found(f, found, told);
    add_found(f, found, engine_exchange_sources(f->engine, found, STOQ_FETCH_SOURCES_MAX));
    add_found(f, found, engine_known_sources(f->engine, found, STOQ_FETCH_SOURCES_MAX));
}

static stoq_ns looked_until(const struct stoq_fetch *f)
{
    return f->lan_until > f->dht_until ? f->lan_until : f->dht_until;
}

enum stoq_status engine_sources_begin(struct stoq_fetch *f)
{
    stoq_ns now = stoq_now();
    enum stoq_status st = add_all(f, f->ask->sources, f->ask->source_count);
    if (st == STOQ_OK && f->ask->lan) {
        look_on_lan(f, now);
    }
    if (st == STOQ_OK && f->ask->dht) {
        look_in_dht(f, now);
    }
    if (st == STOQ_OK && f->ask->exchange) {
        look_at_known(f);
    }
    f->more = looked_until(f) > now;
    return st;
}

/* One more source for a fetch that runs. */
static void offer_one(struct stoq_fetch *f, const struct stoq_fetch_source *source)
{
    struct peer *p;
    if (add_source(f, source, &p) == STOQ_OK && p != NULL) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_ADD_SOURCE,
                                     .u.source = {.fetch = f->number, .peer = p->number}};
        (void)engine_feed(f->engine, &ev);
    }
}

void engine_fetches_offer(struct stoq_engine *e, const struct stoq_fetch_source *source)
{
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        if (f->ask->lan) {
            offer_one(f, source);
        }
    }
}

void engine_fetches_told(struct stoq_engine *e, const struct stoq_package_id *id,
                         const struct stoq_fetch_source *source)
{
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        if (f->ask->exchange && stoq_hash_eq(&f->ask->id.h, &id->h)) {
            offer_one(f, source);
        }
    }
}

void engine_fetches_found(struct stoq_engine *e, const struct stoq_hash *key,
                          const struct stoq_fetch_source *source)
{
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        struct stoq_hash its = stoq_dht_key(&f->ask->id);
        if (f->ask->dht && stoq_hash_eq(&its, key)) {
            offer_one(f, source);
        }
    }
}

void engine_sources_looked(struct stoq_engine *e, const struct stoq_hash *key)
{
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        struct stoq_hash its = stoq_dht_key(&f->ask->id);
        if (stoq_hash_eq(&its, key)) {
            f->dht_until = 0;
        }
    }
}

void engine_sources_run(struct stoq_engine *e, stoq_ns now)
{
    for (struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        if (f->more && now >= looked_until(f)) {
            struct stoq_node_event ev = {.kind = STOQ_NODE_NO_MORE, .u.stop = {f->number}};
            f->more = false;
            (void)engine_feed(e, &ev);
        }
    }
}

stoq_ns engine_sources_deadline(const struct stoq_engine *e)
{
    stoq_ns at = STOQ_NEVER;
    for (const struct stoq_fetch *f = e->fetches; f != NULL; f = f->next) {
        stoq_ns mine = f->more ? looked_until(f) : STOQ_NEVER;
        at = mine < at ? mine : at;
    }
    return at;
}

/* One package fetched twice: the first one asks for what both want, so it gets the second one's sources
 * too, and the slower of the two is not the pace of both. */
void engine_sources_lend(const struct stoq_fetch *from)
{
    struct stoq_engine *e = from->engine;
    for (struct stoq_fetch *to = e->fetches; to != NULL; to = to->next) {
        if (to == from || !stoq_hash_eq(&to->ask->id.h, &from->ask->id.h)) {
            continue;
        }
        for (size_t i = 0; i < from->peer_count; i++) {
            struct peer *p = from->peers[i];
            bool known = false;
            for (size_t k = 0; k < to->peer_count; k++) {
                known = known || to->peers[k] == p;
            }
            if (known || to->peer_count == STOQ_FETCH_SOURCES_MAX) {
                continue;
            }
            engine_peer_ref(p);
            to->peers[to->peer_count++] = p;
            struct stoq_node_event ev = {.kind = STOQ_NODE_ADD_SOURCE,
                                         .u.source = {to->number, p->number}};
            (void)engine_feed(e, &ev); /* full: it does without */
        }
    }
}

void engine_sources_none(struct stoq_fetch *f)
{
    bool dht = f->ask->dht && engine_dht_is_there(f->engine);
    const char *asked = f->ask->lan && dht
                            ? ", no source is named, nobody on this network answers and "
                              "the DHT names nobody"
                        : f->ask->lan ? ", no source is named and nobody on this network answers"
                        : dht         ? ", no source is named and the DHT names nobody"
                                      : " and no source is named";
    (void)snprintf(f->why, sizeof f->why,
                   "the package is not complete here%s: use --from PEER@ADDRESS or a 'peer =' line "
                   "in the configuration",
                   asked);
    f->code = "NoSource";
}
