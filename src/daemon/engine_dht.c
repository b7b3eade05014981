/*
 * The DHT between the node's half of it (src/node/node_dht.h) and the transport. It begins when there is
 * somebody to talk to: a bootstrap peer, one of the last time, a join, or somebody who wants to come in by
 * us. First the nonce of our id is searched for, by a worker, once per home; then calls travel in sealed
 * datagrams, and over a connection where we want the record of somebody whose key we do not have.
 *
 * What is found is kept: who provides a package, for as long as its record lives; that nobody does, for 5 s;
 * who could not be reached, for a minute, in which it is not offered.
 */
#include "daemon/engine_dht_internal.h"

#include "os/file.h"
#include "os/sys.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DHT_EPOCH 1
#define SEARCH_TRIES (1u << 16)
#define SAVE_EVERY (60 * STOQ_SEC)
#define REJOIN_MAX (30 * STOQ_SEC)
#define CLOCK_EVERY (600 * STOQ_SEC)

uint64_t dht_wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool engine_dht_takes_part(const struct stoq_engine *e)
{
    return e->cfg.dht.on && !e->cfg.client && e->serving && !e->cfg.connections_only;
}

static void own_addresses(const struct stoq_engine *e, struct stoq_node_dht_config *cfg)
{
    struct stoq_addr own[STOQ_NODE_DHT_ADDRESSES_MAX];
    cfg->address_count = (uint32_t)engine_own_addresses(e, own, STOQ_COUNT(own));
    for (uint32_t i = 0; i < cfg->address_count; i++) {
        cfg->addresses[i] = to_dht(&own[i]);
    }
}

/* ---- ways in ---- */

void dht_join_all(struct engine_dht *ed)
{
    struct stoq_engine *e = ed->engine;
    for (size_t i = 0; i < ed->way_count; i++) {
        struct peer *p = ed->joined[i] ? NULL : engine_peer(e, &ed->ways[i].peer);
        if (ed->joined[i]) {
            continue;
        }
        if (p == NULL) {
            return;
        }
        if (p->state == PEER_UP) {
            struct stoq_node_dht_addr addr = to_dht(&ed->ways[i].addr);
            stoq_node_dht_join(ed->nd, &p->id, &addr, stoq_now());
        } else {
            engine_peer_address(p, &ed->ways[i].addr);
            ed->dialled[i] = true;
            if (p->state == PEER_IDLE) {
                engine_peer_dial(e, p, 0);
            }
        }
        engine_peer_unref(e, p);
    }
    ed->rejoin_at = stoq_now() + ed->rejoin_after;
    ed->rejoin_after = 2 * ed->rejoin_after < REJOIN_MAX ? 2 * ed->rejoin_after : REJOIN_MAX;
}

void engine_dht_up(struct stoq_engine *e, struct peer *p)
{
    struct engine_dht *ed = e->dht;
    if (ed != NULL) {
        stoq_discovery_reached(&ed->cache, &p->id);
        dht_link_up(ed, p);
    }
    for (size_t i = 0; ed != NULL && ed->nd != NULL && i < ed->way_count; i++) {
        if (ed->dialled[i] && stoq_hash_eq(&ed->ways[i].peer.h, &p->id.h)) {
            struct stoq_node_dht_addr addr = to_dht(&ed->ways[i].addr);
            ed->dialled[i] = false;
            stoq_node_dht_join(ed->nd, &p->id, &addr, stoq_now());
        }
    }
}

void engine_dht_down(struct stoq_engine *e, struct peer *p, bool was_up)
{
    struct engine_dht *ed = e->dht;
    if (ed != NULL && !was_up) {
        stoq_discovery_failed(&ed->cache, &p->id, stoq_now());
        dht_link_down(ed, p);
    }
}

/* ---- beginning ---- */

/* The id is there: begin. */
static void open_node(struct engine_dht *ed)
{
    struct stoq_engine *e = ed->engine;
    struct stoq_hash key;
    struct stoq_node_dht_config cfg = {.key = e->cfg.key,
                                       .rules = ed->search.rules,
                                       .holders = (uint8_t)e->cfg.dht.holders,
                                       .signed_s = e->cfg.dht.signed_s,
                                       .nonce = ed->search.nonce,
                                       .client = ed->client,
                                       .rpc_key = ed->client ? NULL : stoq_net_rpc_key(e->net),
                                       .wall_us = dht_wall_us(),
                                       .sweep_from = ed->remembered.sweep_at,
                                       .value = dht_said,
                                       .user = ed};
    stoq_entropy(&cfg.seed, sizeof cfg.seed);
    if (e->serving) {
        own_addresses(e, &cfg);
    }
    if (stoq_node_dht_new(&ed->nd, &cfg, stoq_now()) != STOQ_OK) {
        engine_log(e, "no DHT: out of memory");
        return;
    }
    size_t known = stoq_node_dht_load(ed->nd, ed->remembered.contacts, stoq_now());
    engine_log(e, "DHT: %zu contacts remembered, %zu ways in, %u addresses of our own", known,
               ed->way_count, cfg.address_count);
    ed->save_at = stoq_now() + SAVE_EVERY;
    ed->clock_at = stoq_now() + CLOCK_EVERY;
    dht_join_all(ed);
    (void)dht_waits_start(ed, stoq_now());
    while (stoq_early_take(&ed->early, &key)) {
        dht_announce(ed, &key, false);
    }
    stoq_early_release(&ed->early);
}

static void search_work(struct stoq_job *job)
{
    struct engine_dht *ed =
        (struct engine_dht *)(void *)((uint8_t *)job - offsetof(struct engine_dht, job));
    ed->found = stoq_dht_search_run(&ed->search, SEARCH_TRIES);
}

static void search_on(struct engine_dht *ed);

static void search_done(struct stoq_job *job)
{
    struct engine_dht *ed =
        (struct engine_dht *)(void *)((uint8_t *)job - offsetof(struct engine_dht, job));
    engine_job_done(ed->engine);
    ed->searching = false;
    if (ed->engine->draining) {
        return;
    }
    if (ed->found) {
        open_node(ed);
    } else {
        search_on(ed);
    }
}

static void search_on(struct engine_dht *ed)
{
    ed->job = (struct stoq_job){.work = search_work, .done = search_done};
    ed->searching = engine_run(ed->engine, &ed->job) == STOQ_OK;
}

void dht_begin(struct engine_dht *ed)
{
    struct stoq_engine *e = ed->engine;
    if (ed->nd != NULL || ed->searching || e->draining) {
        return;
    }
    ed->search.rules = (struct stoq_dht_rules){DHT_EPOCH, e->cfg.dht.work_bits};
    ed->search.peer = stoq_key_peer_id(e->cfg.key);
    if (ed->client) {
        open_node(ed);
    } else {
        search_on(ed); /* a remembered nonce is the first that is tried */
    }
}

static void read_file(struct engine_dht *ed)
{
    struct stoq_engine *e = ed->engine;
    struct stoq_error err = {0};
    struct stoq_dht_file file;
    if (e->cfg.dht.file == NULL ||
        stoq_file_read(e->cfg.dht.file, STOQ_DHT_FILE_BYTES_MAX, &ed->file, &err) != STOQ_OK) {
        return;
    }
    if (stoq_dht_file_decode(&file, stoq_buf_span(&ed->file)) != STOQ_OK) {
        engine_log(e, "%.300s: damaged; the DHT begins anew", e->cfg.dht.file);
    } else if (file.epoch == DHT_EPOCH && file.bits == e->cfg.dht.work_bits) {
        ed->remembered = file;
        ed->search.nonce = file.nonce;
    }
}

enum stoq_status engine_dht_open(struct stoq_engine *e)
{
    if (!e->cfg.dht.on) {
        return STOQ_OK;
    }
    struct engine_dht *ed = calloc(1, sizeof *ed);
    if (ed == NULL) {
        return STOQ_NOMEM;
    }
    uint64_t seed;
    stoq_entropy(&seed, sizeof seed);
    ed->engine = e;
    ed->client = !engine_dht_takes_part(e);
    ed->rejoin_at = STOQ_NEVER;
    ed->rejoin_after = DHT_REJOIN_FIRST;
    stoq_buf_init(&ed->file, STOQ_DHT_FILE_BYTES_MAX);
    stoq_early_init(&ed->early, DHT_EARLY_MAX);
    stoq_discovery_init(&ed->cache);
    stoq_map_init(&ed->said, seed);
    e->dht = ed;
    read_file(ed);
    if (ed->remembered.contacts.n > 0 && !ed->client) {
        dht_begin(ed);
    }
    return STOQ_OK;
}

/* What does not fit is left out. False: there is nothing to keep, or no memory for it. */
static bool encode(struct engine_dht *ed, struct stoq_buf *out)
{
    struct stoq_buf contacts;
    struct stoq_dht_stats stats;
    if (ed->nd == NULL || ed->engine->cfg.dht.file == NULL) {
        return false;
    }
    stoq_buf_init(&contacts, STOQ_DHT_FILE_BYTES_MAX / 2);
    stoq_buf_init(out, STOQ_DHT_FILE_BYTES_MAX);
    stoq_dht_stats(stoq_node_dht_core(ed->nd), &stats);
    enum stoq_status st = stoq_node_dht_save(ed->nd, stoq_now(), &contacts);
    bool offline =
        contacts.n == 0 && ed->remembered.contacts.n > 0; /* it forgets nobody for that */
    if ((st == STOQ_OK || st == STOQ_FULL) && !offline) { /* what fits */
        struct stoq_dht_file file = {.epoch = DHT_EPOCH,
                                     .bits = ed->engine->cfg.dht.work_bits,
                                     .nonce = ed->search.nonce,
                                     .sweep_at = stats.sweep_at,
                                     .contacts = stoq_buf_span(&contacts)};
        st = stoq_dht_file_encode(&file, out);
    }
    stoq_buf_release(&contacts);
    if (st != STOQ_OK || offline) {
        stoq_buf_release(out);
    }
    return st == STOQ_OK && !offline;
}

static void save(struct engine_dht *ed, stoq_ns now)
{
    struct stoq_buf bytes;
    ed->save_at = now + SAVE_EVERY;
    if (!ed->saving && encode(ed, &bytes)) {
        (void)engine_save(ed->engine, ed->engine->cfg.dht.file, &bytes, &ed->saving);
    }
}

void engine_dht_cut(struct stoq_engine *e)
{
    if (e->dht != NULL) {
        dht_link_cut(e->dht);
    }
    while (e->dht != NULL && e->dht->waits.first != NULL) {
        dht_wait_end(e->dht, (struct dht_wait *)e->dht->waits.first, STOQ_CANCELLED);
    }
}

void engine_dht_close(struct stoq_engine *e)
{
    struct engine_dht *ed = e->dht;
    struct stoq_buf bytes;
    if (ed == NULL) {
        return;
    }
    if (encode(ed, &bytes)) {
        engine_save_now(e, e->cfg.dht.file, &bytes);
    }
    dht_link_cut(ed);
    stoq_node_dht_free(ed->nd);
    stoq_early_release(&ed->early);
    dht_said_release(ed);
    stoq_buf_release(&ed->file);
    free(ed);
    e->dht = NULL;
}

/* ---- running ---- */

/* Somebody has not let us in yet, or everybody is gone: knock again. */
static void rejoin(struct engine_dht *ed, stoq_ns now)
{
    struct stoq_dht_stats stats;
    if (now < ed->rejoin_at) {
        return;
    }
    bool outside = false;
    ed->rejoin_at = now + ed->rejoin_after;
    stoq_dht_stats(stoq_node_dht_core(ed->nd), &stats);
    for (size_t i = 0; i < ed->way_count; i++) {
        ed->joined[i] = ed->joined[i] && stats.contacts > 0;
        outside = outside || !ed->joined[i];
    }
    if (outside) {
        dht_join_all(ed);
    }
}

stoq_ns engine_dht_run(struct stoq_engine *e, stoq_ns now)
{
    struct engine_dht *ed = e->dht;
    struct stoq_node_dht_action a;
    if (ed == NULL || ed->nd == NULL || e->draining) {
        return STOQ_NEVER;
    }
    if (now >= ed->clock_at) {
        stoq_node_dht_clock(ed->nd, dht_wall_us(), now);
        ed->clock_at = now + CLOCK_EVERY;
    }
    if (now >= ed->save_at) {
        save(ed, now);
    }
    rejoin(ed, now);
    dht_link_run(ed, now);
    stoq_ns waits = dht_waits_start(ed, now);
    while (stoq_node_dht_poll(ed->nd, now, &a)) {
        dht_act(ed, &a);
    }
    stoq_ns at = stoq_node_dht_deadline(ed->nd);
    stoq_ns calls = dht_link_deadline(ed);
    at = calls < at ? calls : at;
    at = waits < at ? waits : at;
    at = ed->rejoin_at < at ? ed->rejoin_at : at;
    return ed->save_at < at ? ed->save_at : at;
}

size_t engine_dht_sources(struct stoq_engine *e, const struct stoq_hash *key,
                          struct stoq_fetch_source *out, size_t out_max)
{
    struct stoq_provider who[STOQ_FETCH_SOURCES_MAX];
    size_t room = out_max < STOQ_COUNT(who) ? out_max : STOQ_COUNT(who);
    size_t n = e->dht == NULL ? 0 : stoq_discovery_list(&e->dht->cache, key, stoq_now(), who, room);
    for (size_t i = 0; i < n; i++) {
        out[i].peer = who[i].peer;
        memcpy(&out[i].addr, &who[i].addr, sizeof out[i].addr);
    }
    return n;
}

bool engine_dht_is_there(const struct stoq_engine *e)
{
    return e->dht != NULL && e->dht->nd != NULL;
}
