/*
 * The DHT as other threads ask it: figures, the table, joins, and lookups and announcements with those who
 * wait for them.
 */
#include "daemon/engine_dht_internal.h"

#include "os/sys.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_WAIT (2 * STOQ_SEC) /* until a lookup begins, while nobody is known */
#define LOOK_TIMEOUT (10 * STOQ_SEC)
#define ANNOUNCE_TIMEOUT (30 * STOQ_SEC)

void dht_announce(struct engine_dht *ed, const struct stoq_hash *key, bool urgent)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE,
                                .u.announce = {.key = *key, .urgent = urgent}};
    if (stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, stoq_now()) != STOQ_OK) {
        engine_log(ed->engine, "a package more than can be announced");
    }
}

void dht_wait_end(struct engine_dht *ed, struct dht_wait *w, enum stoq_status status)
{
    bool seek = w->seek; /* else it is the caller's again */
    engine_wait_end(&ed->waits, &w->wait, status);
    if (seek) {
        engine_sources_looked(ed->engine, &w->key);
        engine_wait_release(&w->wait);
        free(w);
    }
}

/* What somebody waits for is asked. */
static void start_wait(struct engine_dht *ed, struct dht_wait *w)
{
    stoq_ns now = stoq_now();
    if (w->ask == NULL) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = w->key;
        ev.u.announce.urgent = true;
        if (stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, now) != STOQ_OK) {
            dht_wait_end(ed, w, STOQ_FULL);
        }
        return;
    }
    if (w->ask->value && !w->ask->trace && stoq_discovery_is_none(&ed->cache, &w->key, now)) {
        dht_wait_end(ed, w, STOQ_OK);
        return;
    }
    w->look = ++ed->look_last;
    struct stoq_dht_event ev = {.kind = STOQ_DHT_LOOK};
    ev.u.look = (struct stoq_dht_look){.look = w->look,
                                       .target = w->key,
                                       .value = w->ask->value,
                                       .want = w->ask->want,
                                       .deep = w->ask->deep,
                                       .trace = w->ask->trace};
    if (stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, now) != STOQ_OK) {
        dht_wait_end(ed, w, STOQ_FULL);
    }
}

/* Nobody has let us in yet: a lookup would find nobody to ask. */
static bool is_early(const struct engine_dht *ed, const struct dht_wait *w, stoq_ns now)
{
    struct stoq_dht_stats stats;
    bool somebody = ed->way_count > 0 || ed->remembered.contacts.n > 0;
    if (w->ask == NULL || !somebody || now >= w->begun_at + JOIN_WAIT) {
        return false;
    }
    stoq_dht_stats(stoq_node_dht_core(ed->nd), &stats);
    return stats.contacts == 0;
}

stoq_ns dht_waits_start(struct engine_dht *ed, stoq_ns now)
{
    stoq_ns at = STOQ_NEVER;
    for (struct engine_wait *k = ed->waits.first, *next; k != NULL; k = next) {
        struct dht_wait *w = (struct dht_wait *)k;
        next = k->next;
        if (w->started) {
            continue;
        }
        if (is_early(ed, w, now)) {
            at = w->begun_at + JOIN_WAIT < at ? w->begun_at + JOIN_WAIT : at;
            continue;
        }
        w->started = true;
        start_wait(ed, w);
    }
    return at;
}

static void take_status(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_dht_status *out = arg;
    const struct engine_dht *ed = e->dht;
    *out = (struct stoq_engine_dht_status){.on = ed != NULL, .work_bits = e->cfg.dht.work_bits};
    if (ed != NULL) {
        out->client = ed->client;
        out->searching = ed->searching;
        out->up = ed->nd != NULL;
        out->id = ed->search.id;
    }
    if (ed != NULL && ed->nd != NULL) {
        stoq_dht_stats(stoq_node_dht_core(ed->nd), &out->stats);
    }
}

void stoq_engine_dht_status(struct stoq_engine *e, struct stoq_engine_dht_status *out)
{
    engine_call(e, take_status, out);
}

static void take_table(struct stoq_engine *e, void *arg)
{
    struct engine_list *list = arg;
    struct stoq_dht_contact c;
    struct engine_dht *ed = e->dht;
    size_t n = 0;
    while (ed != NULL && ed->nd != NULL &&
           stoq_dht_at(stoq_node_dht_core(ed->nd), n, stoq_now(), &c)) {
        n++;
    }
    if (!engine_list_room(list, n)) {
        return;
    }
    struct stoq_engine_dht_contact *out = list->v;
    for (; list->count < n; list->count++, out++) {
        (void)stoq_dht_at(stoq_node_dht_core(ed->nd), list->count, stoq_now(), &out->about);
        dht_fill_contact(ed, out->about.contact, out);
    }
}

struct table_tale {
    void (*fn)(void *user, const struct stoq_engine_dht_contact *c);
    void *user;
};

static void tell_contact(void *arg, const void *item)
{
    const struct table_tale *tale = arg;
    tale->fn(tale->user, item);
}

enum stoq_status stoq_engine_dht_table(struct stoq_engine *e,
                                       void (*fn)(void *user,
                                                  const struct stoq_engine_dht_contact *c),
                                       void *user)
{
    struct table_tale tale = {fn, user};
    return engine_list_tell(e, sizeof(struct stoq_engine_dht_contact), take_table, tell_contact,
                            &tale);
}

static void run_join(struct stoq_engine *e, void *arg)
{
    const struct stoq_fetch_source *way = arg;
    struct engine_dht *ed = e->dht;
    if (ed == NULL || e->draining) {
        return;
    }
    size_t at = ed->way_count < DHT_JOINS_MAX ? ed->way_count++ : DHT_JOINS_MAX - 1;
    ed->ways[at] = *way;
    ed->dialled[at] = false;
    ed->joined[at] = false;
    ed->rejoin_after = DHT_REJOIN_FIRST;
    if (ed->nd != NULL) {
        dht_join_all(ed);
    } else if (e->serving || e->cfg.client) { /* a command without a daemon begins when it asks */
        dht_begin(ed);
    }
}

/* Somebody is known to begin with. */
static bool has_way(const struct engine_dht *ed)
{
    return ed->nd != NULL || ed->way_count > 0 || ed->remembered.contacts.n > 0;
}

void stoq_engine_dht_join(struct stoq_engine *e, const struct stoq_fetch_source *peer)
{
    struct stoq_fetch_source way = *peer;
    engine_call(e, run_join, &way);
}

static void add_wait(struct engine_dht *ed, struct dht_wait *w)
{
    stoq_ns now = stoq_now();
    w->begun_at = now;
    engine_wait_add(&ed->waits, &w->wait);
    if (ed->nd == NULL) {
        dht_begin(ed); /* it goes on when we have an id */
    } else {
        (void)dht_waits_start(ed, now);
    }
}

static void begin_wait(struct stoq_engine *e, void *arg)
{
    struct dht_wait *w = arg;
    struct engine_dht *ed = e->dht;
    if (ed == NULL || (w->ask != NULL && !has_way(ed)) || e->draining) {
        w->wait.status = STOQ_NOTFOUND;
        w->wait.done = true;
        return;
    }
    add_wait(ed, w);
}

static void stop_wait(struct stoq_engine *e, void *arg)
{
    struct dht_wait *w = arg;
    if (e->dht == NULL || !engine_wait_is_open(&e->dht->waits, &w->wait)) {
        return; /* over meanwhile */
    }
    if (w->look != 0) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_STOP, .u.stop = {w->look}};
        (void)!stoq_dht_feed(stoq_node_dht_core(e->dht->nd), &ev, stoq_now());
    }
    dht_wait_end(e->dht, w, STOQ_CANCELLED);
}

static enum stoq_status wait_for(struct stoq_engine *e, struct dht_wait *w, stoq_ns timeout_ns,
                                 bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    const struct engine_patience how = {
        .timeout_ns = timeout_ns, .cancelled = cancelled, .user = user, .stop = stop_wait};
    engine_wait_init(&w->wait);
    engine_call(e, begin_wait, w);
    bool timed_out = engine_wait_watch(e, &w->wait, &how);
    enum stoq_status st = w->wait.status;
    engine_wait_release(&w->wait);
    if (st == STOQ_NOTFOUND) {
        return stoq_fail(err, STOQ_NOTFOUND, 0,
                         "this daemon takes no part in a DHT: switch discovery.dht on and name a "
                         "bootstrap peer, or stoq join PEER@ADDRESS");
    }
    if (st == STOQ_CANCELLED && timed_out) {
        return stoq_fail(err, STOQ_TIMEOUT, 0, "the DHT has not answered in time");
    }
    return st == STOQ_OK ? STOQ_OK : stoq_fail(err, st, 0, "DHT: %s", stoq_status_str(st));
}

enum stoq_status stoq_engine_dht_look(struct stoq_engine *e, const struct stoq_engine_dht_ask *ask,
                                      struct stoq_engine_dht_found *out, struct stoq_error *err)
{
    memset(out, 0, sizeof *out);
    struct dht_wait w = {.key = ask->target, .ask = ask, .found = out};
    stoq_ns timeout_ns = ask->timeout_ns == 0 ? LOOK_TIMEOUT : ask->timeout_ns;
    return wait_for(e, &w, timeout_ns, ask->cancelled, ask->user, err);
}

void dht_announce_early(struct engine_dht *ed, const struct stoq_hash *key)
{
    if (ed->nd != NULL) {
        dht_announce(ed, key, false);
    } else if (stoq_early_add(&ed->early, key) != STOQ_OK) {
        engine_log(ed->engine, "a package more than can be announced");
    }
}

static void run_announce(struct stoq_engine *e, void *arg)
{
    if (e->dht != NULL && !e->draining) {
        dht_announce_early(e->dht, arg);
    }
}

enum stoq_status stoq_engine_dht_announce(struct stoq_engine *e, const struct stoq_package_id *id,
                                          struct stoq_dht_announced *out,
                                          bool (*cancelled)(void *user), void *user,
                                          struct stoq_error *err)
{
    struct stoq_hash key = stoq_dht_key(id);
    if (out == NULL) {
        engine_call(e, run_announce, &key);
        return STOQ_OK;
    }
    struct dht_wait w = {.key = key, .announced = out};
    return wait_for(e, &w, ANNOUNCE_TIMEOUT, cancelled, user, err);
}

void dht_withdraw(struct engine_dht *ed, const struct stoq_hash *key)
{
    if (ed->nd == NULL) {
        stoq_early_remove(&ed->early, key);
    } else {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_WITHDRAW, .u.announce = {.key = *key}};
        (void)!stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, stoq_now());
    }
}

static void run_withdraw(struct stoq_engine *e, void *arg)
{
    if (e->dht != NULL) {
        dht_withdraw(e->dht, arg);
    }
}

void stoq_engine_dht_withdraw(struct stoq_engine *e, const struct stoq_package_id *id)
{
    struct stoq_hash key = stoq_dht_key(id);
    engine_call(e, run_withdraw, &key);
}

struct own_ask {
    struct stoq_hash key;
    struct stoq_dht_announced *out;
    size_t *held;
    bool known;
};

static void take_own(struct stoq_engine *e, void *arg)
{
    struct own_ask *ask = arg;
    if (e->dht != NULL && e->dht->nd != NULL) {
        struct stoq_dht *core = stoq_node_dht_core(e->dht->nd);
        ask->known = stoq_dht_own(core, &ask->key, stoq_now(), ask->out);
        *ask->held = stoq_dht_count(core, &ask->key, stoq_now());
    }
}

bool stoq_engine_dht_own(struct stoq_engine *e, const struct stoq_package_id *id,
                         struct stoq_dht_announced *out, size_t *held)
{
    struct own_ask ask = {.key = stoq_dht_key(id), .out = out, .held = held};
    *held = 0;
    engine_call(e, take_own, &ask);
    return ask.known;
}

/* One that looks for the same, and how many look for anything. */
static bool is_sought(const struct engine_dht *ed, const struct stoq_hash *key, size_t *seeks)
{
    bool same = false;
    for (const struct engine_wait *k = ed->waits.first; k != NULL; k = k->next) {
        const struct dht_wait *w = (const struct dht_wait *)k;
        *seeks += w->seek;
        same = same || (w->seek && stoq_hash_eq(&w->key, key));
    }
    return same;
}

bool engine_dht_seek(struct stoq_engine *e, const struct stoq_hash *key)
{
    static const struct stoq_engine_dht_ask ask = {.value = true};
    struct engine_dht *ed = e->dht;
    size_t seeks = 0;
    if (ed == NULL || !has_way(ed) || stoq_discovery_is_none(&ed->cache, key, stoq_now())) {
        return false;
    }
    if (is_sought(ed, key, &seeks)) {
        return true;
    }
    struct dht_wait *w = seeks >= DHT_SEEKS_MAX ? NULL : calloc(1, sizeof *w);
    if (w == NULL) {
        return false;
    }
    engine_wait_init(&w->wait);
    w->seek = true;
    w->key = *key;
    w->ask = &ask;
    add_wait(ed, w);
    return is_sought(ed, key, &seeks); /* it may be over */
}
