/*
 * The DHT between the node's half of it (src/node/node_dht.h) and the transport. It begins when there is
 * somebody to talk to: a bootstrap peer, one of the last time, a join, or somebody who wants to come in by
 * us. First the nonce of our id is searched for, by a worker, once per home; then calls travel in sealed
 * datagrams, and over a connection where we want the record of somebody whose key we do not have.
 *
 * What is found is kept: who provides a package, for as long as its record lives; that nobody does, for 5 s;
 * who could not be reached, for a minute, in which it is not offered.
 */
#include "daemon/engine_dht.h"

#include "daemon/dht_file.h"
#include "daemon/engine_internal.h"
#include "node/node_dht.h"
#include "os/cond.h"
#include "os/file.h"
#include "os/sys.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DHT_EPOCH 1
#define SEARCH_TRIES (1u << 16)
#define COOKIE_BIT ((uint64_t)1 << 62)
#define JOINS_MAX 16
#define PLACES_MAX 2048 /* providers remembered, of all packages; the oldest gives way */
#define NOBODY_MAX 64
#define NOBODY_FOR (5 * STOQ_SEC)
#define FAILED_MAX 256
#define FAILED_FOR (60 * STOQ_SEC)
#define SAVE_EVERY (60 * STOQ_SEC)
#define REJOIN_FIRST (1 * STOQ_SEC)
#define REJOIN_MAX (30 * STOQ_SEC)
#define CLOCK_EVERY (600 * STOQ_SEC)
#define FETCH_WAIT (3 * STOQ_SEC)
#define LOOK_TIMEOUT (10 * STOQ_SEC)

struct place {
    struct stoq_hash key;
    struct stoq_fetch_source source;
    stoq_ns until;
};
struct nobody {
    struct stoq_hash key;
    stoq_ns until;
};
struct failed {
    struct stoq_peer_id peer;
    stoq_ns until;
};

/* A package that is to be announced once there is a DHT. */
struct early {
    struct early *next;
    struct stoq_package_id id;
};

/* Somebody waits for a lookup or an announcement. */
struct dht_wait {
    struct dht_wait *next;
    uint32_t look; /* 0: an announcement */
    struct stoq_hash key;
    const struct stoq_engine_dht_ask *ask;
    struct stoq_engine_dht_found *found;
    struct stoq_dht_announced *announced;
    enum stoq_status status;
    pthread_mutex_t lock; /* guards done */
    pthread_cond_t changed;
    bool done;
};

struct engine_dht {
    struct stoq_engine *engine;
    struct stoq_node_dht *nd; /* NULL: not yet */
    struct stoq_job job;      /* the search */
    struct stoq_dht_search search;
    bool found;
    bool searching;
    struct stoq_buf file; /* as read */
    struct stoq_dht_file remembered;
    struct stoq_fetch_source ways[JOINS_MAX]; /* into the DHT */
    size_t way_count;
    bool dialled[JOINS_MAX]; /* it goes on when the peer is up */
    bool joined[JOINS_MAX];  /* it has let us in */
    stoq_ns rejoin_at;
    stoq_ns rejoin_after; /* doubles */
    struct early *early;
    struct dht_wait *waits;
    uint32_t look_last;
    struct place places[PLACES_MAX];
    size_t place_next;
    struct nobody nobody[NOBODY_MAX];
    size_t nobody_next;
    struct failed failed[FAILED_MAX];
    size_t failed_next;
    stoq_ns save_at;
    stoq_ns clock_at;
};

static struct stoq_node_dht_addr to_dht(const struct stoq_addr *a)
{
    struct stoq_node_dht_addr out;
    memcpy(out.b, a->ip, sizeof a->ip);
    out.b[16] = (uint8_t)a->port;
    out.b[17] = (uint8_t)(a->port >> 8);
    return out;
}

static struct stoq_addr from_dht(const struct stoq_node_dht_addr *a)
{
    struct stoq_addr out = {.port = (uint16_t)(a->b[16] | a->b[17] << 8)};
    memcpy(out.ip, a->b, sizeof out.ip);
    return out;
}

static uint64_t wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool wanted(const struct stoq_engine *e)
{
    return e->cfg.dht.on && !e->cfg.client && e->serving && !e->cfg.connections_only;
}

/* ---- our addresses ---- */

static void add_address(struct stoq_node_dht_config *cfg, const struct stoq_addr *a)
{
    if (cfg->address_count < STOQ_NODE_DHT_ADDRESSES_MAX && !stoq_addr_is_link_local(a)) {
        cfg->addresses[cfg->address_count++] = to_dht(a);
    }
}

/* Those of the interfaces that are up, loopback only where there is nothing else. */
static void add_interfaces(struct stoq_node_dht_config *cfg, uint16_t port, bool loopback)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return;
    }
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct stoq_addr a;
        if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0 ||
            stoq_addr_from_sockaddr(&a, i->ifa_addr, sizeof(struct sockaddr_in6)) != STOQ_OK) {
            continue;
        }
        a.port = port;
        if (stoq_addr_is_loopback(&a) == loopback) {
            add_address(cfg, &a);
        }
    }
    freeifaddrs(all);
}

static void own_addresses(const struct stoq_engine *e, struct stoq_node_dht_config *cfg)
{
    struct stoq_addr a;
    uint16_t any_port = 0;
    for (size_t i = 0; stoq_engine_local_addr(e, i, &a); i++) {
        if (stoq_addr_is_any(&a)) {
            any_port = a.port;
        } else {
            add_address(cfg, &a);
        }
    }
    if (any_port != 0) {
        add_interfaces(cfg, any_port, false);
        if (cfg->address_count == 0) {
            add_interfaces(cfg, any_port, true);
        }
    }
}

/* ---- beginning ---- */

static void join_all(struct engine_dht *ed)
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
        ed->failed[ed->failed_next++ % FAILED_MAX] =
            (struct failed){.peer = p->id, .until = stoq_now() + FAILED_FOR};
    }
}

static void announce(struct engine_dht *ed, const struct stoq_package_id *id, bool urgent)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
    ev.u.announce.key = stoq_dht_key(id);
    ev.u.announce.urgent = urgent;
    if (stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, stoq_now()) != STOQ_OK) {
        engine_log(ed->engine, "a package more than can be announced");
    }
}

/* ---- waits ---- */

static void wait_end(struct engine_dht *ed, struct dht_wait *w, enum stoq_status status)
{
    struct dht_wait **at = &ed->waits;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    pthread_mutex_lock(&w->lock);
    w->status = status;
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
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
            wait_end(ed, w, STOQ_FULL);
        }
        return;
    }
    for (size_t i = 0; w->ask->value && !w->ask->trace && i < NOBODY_MAX; i++) {
        if (ed->nobody[i].until > now && stoq_hash_eq(&ed->nobody[i].key, &w->key)) {
            wait_end(ed, w, STOQ_OK);
            return;
        }
    }
    w->look = ++ed->look_last;
    struct stoq_dht_event ev = {.kind = STOQ_DHT_LOOK};
    ev.u.look = (struct stoq_dht_look){
        .look = w->look, .target = w->key, .value = w->ask->value, .trace = w->ask->trace};
    if (stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, now) != STOQ_OK) {
        wait_end(ed, w, STOQ_FULL);
    }
}

/* ---- beginning ---- */

/* The id is there: begin. */
static void open_node(struct engine_dht *ed)
{
    struct stoq_engine *e = ed->engine;
    struct stoq_node_dht_config cfg = {.key = e->cfg.key,
                                       .rules = ed->search.rules,
                                       .nonce = ed->search.nonce,
                                       .rpc_key = stoq_net_rpc_key(e->net),
                                       .wall_us = wall_us(),
                                       .sweep_from = ed->remembered.sweep_at};
    stoq_entropy(&cfg.seed, sizeof cfg.seed);
    own_addresses(e, &cfg);
    if (stoq_node_dht_new(&ed->nd, &cfg, stoq_now()) != STOQ_OK) {
        engine_log(e, "no DHT: out of memory");
        return;
    }
    size_t known = stoq_node_dht_load(ed->nd, ed->remembered.contacts, stoq_now());
    engine_log(e, "DHT: %zu contacts remembered, %zu ways in, %u addresses of our own", known,
               ed->way_count, cfg.address_count);
    ed->save_at = stoq_now() + SAVE_EVERY;
    ed->clock_at = stoq_now() + CLOCK_EVERY;
    join_all(ed);
    for (struct dht_wait *w = ed->waits, *next; w != NULL; w = next) {
        next = w->next;
        start_wait(ed, w);
    }
    while (ed->early != NULL) {
        struct early *next = ed->early->next;
        announce(ed, &ed->early->id, false);
        free(ed->early);
        ed->early = next;
    }
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

static void begin(struct engine_dht *ed)
{
    struct stoq_engine *e = ed->engine;
    if (ed->nd != NULL || ed->searching || e->draining) {
        return;
    }
    ed->search.rules = (struct stoq_dht_rules){DHT_EPOCH, e->cfg.dht.work_bits};
    ed->search.peer = stoq_key_peer_id(e->cfg.key);
    search_on(ed); /* a remembered nonce is the first that is tried */
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
    if (!wanted(e)) {
        return STOQ_OK;
    }
    struct engine_dht *ed = calloc(1, sizeof *ed);
    if (ed == NULL) {
        return STOQ_NOMEM;
    }
    ed->engine = e;
    ed->rejoin_at = STOQ_NEVER;
    ed->rejoin_after = REJOIN_FIRST;
    stoq_buf_init(&ed->file, STOQ_DHT_FILE_BYTES_MAX);
    e->dht = ed;
    read_file(ed);
    if (ed->remembered.contacts.n > 0) {
        begin(ed);
    }
    return STOQ_OK;
}

static void save(struct engine_dht *ed)
{
    struct stoq_buf contacts;
    struct stoq_buf out;
    struct stoq_dht_stats stats;
    struct stoq_error err = {0};
    if (ed->nd == NULL || ed->engine->cfg.dht.file == NULL) {
        return;
    }
    stoq_buf_init(&contacts, STOQ_DHT_FILE_BYTES_MAX / 2);
    stoq_buf_init(&out, STOQ_DHT_FILE_BYTES_MAX);
    stoq_dht_stats(stoq_node_dht_core(ed->nd), &stats);
    enum stoq_status st = stoq_node_dht_save(ed->nd, stoq_now(), &contacts);
    if (st == STOQ_OK || st == STOQ_FULL) { /* what fits */
        struct stoq_dht_file file = {.epoch = DHT_EPOCH,
                                     .bits = ed->engine->cfg.dht.work_bits,
                                     .nonce = ed->search.nonce,
                                     .sweep_at = stats.sweep_at,
                                     .contacts = stoq_buf_span(&contacts)};
        st = stoq_dht_file_encode(&file, &out);
        if (st == STOQ_OK && stoq_file_replace(ed->engine->cfg.dht.file, stoq_buf_span(&out), 0600,
                                               &err) != STOQ_OK) {
            engine_log(ed->engine, "%s", err.text);
        }
    }
    stoq_buf_release(&contacts);
    stoq_buf_release(&out);
}

void engine_dht_cut(struct stoq_engine *e)
{
    while (e->dht != NULL && e->dht->waits != NULL) {
        wait_end(e->dht, e->dht->waits, STOQ_CANCELLED);
    }
}

void engine_dht_close(struct stoq_engine *e)
{
    struct engine_dht *ed = e->dht;
    if (ed == NULL) {
        return;
    }
    save(ed);
    stoq_node_dht_free(ed->nd);
    while (ed->early != NULL) {
        struct early *next = ed->early->next;
        free(ed->early);
        ed->early = next;
    }
    stoq_buf_release(&ed->file);
    free(ed);
    e->dht = NULL;
}

/* ---- calls and answers ---- */

static void on_reply(struct ask *a)
{
    struct engine_dht *ed = a->engine->dht;
    if (ed != NULL && ed->nd != NULL) {
        bool in = a->status == STOQ_OK && a->reply.type == STOQ_MSG_FIND_NODE;
        for (size_t i = 0; in && i < ed->way_count; i++) {
            ed->joined[i] = ed->joined[i] || stoq_hash_eq(&ed->ways[i].peer.h, &a->peer->id.h);
        }
        stoq_node_dht_replied(ed->nd, a->own_tag, a->status,
                              a->status == STOQ_OK ? &a->reply : NULL, NULL, 0, stoq_now());
    }
}

static enum stoq_status call_connected(struct stoq_engine *e, const struct stoq_node_dht_call *c)
{
    struct stoq_message msg = *c->msg;
    struct peer *p = engine_peer_find(e, &c->peer);
    if (p == NULL || p->state != PEER_UP) {
        return STOQ_NET;
    }
    return engine_ask_own(e, p, &msg, 0, on_reply, c->cookie) == 0 ? STOQ_NOMEM : STOQ_OK;
}

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
           m->type == STOQ_MSG_STORE;
}

bool engine_dht_answer(struct stoq_engine *e, const struct stoq_message *request,
                       const struct stoq_peer_id *peer, const struct stoq_addr *from, bool proven,
                       size_t room, struct stoq_buf *out)
{
    if (e->dht == NULL || e->draining) {
        return false;
    }
    if (e->dht->nd == NULL) {
        begin(e->dht); /* somebody wants to come in by us: he will knock again */
        return false;
    }
    struct stoq_node_dht_from at = {
        .peer = peer, .addr = to_dht(from), .proven = proven, .room = room};
    return stoq_node_dht_answer(e->dht->nd, request, &at, out, stoq_now()) == STOQ_OK;
}

/* ---- what comes out ---- */

static bool is_failed(const struct engine_dht *ed, const struct stoq_peer_id *peer, stoq_ns now)
{
    for (size_t i = 0; i < FAILED_MAX; i++) {
        if (ed->failed[i].until > now && stoq_hash_eq(&ed->failed[i].peer.h, &peer->h)) {
            return true;
        }
    }
    return false;
}

static struct dht_wait *wait_of(struct engine_dht *ed, uint32_t look)
{
    struct dht_wait *w = ed->waits;
    while (w != NULL && (w->look == 0 || w->look != look)) {
        w = w->next;
    }
    return w;
}

static void take_provider(struct engine_dht *ed, struct dht_wait *w,
                          const struct stoq_node_dht_found *f)
{
    stoq_ns now = stoq_now();
    struct stoq_engine_dht_provider *out = w->found->provider_count < STOQ_DHT_FOUND_MAX
                                               ? &w->found->providers[w->found->provider_count++]
                                               : NULL;
    if (out != NULL) {
        *out = (struct stoq_engine_dht_provider){
            .peer = f->peer, .issued_at_s = f->issued_at_s, .ttl_s = f->ttl_s};
    }
    for (uint32_t i = 0; i < f->address_count; i++) {
        struct stoq_addr addr = from_dht(&f->addresses[i]);
        if (out != NULL && out->addr_count < STOQ_COUNT(out->addrs)) {
            out->addrs[out->addr_count++] = addr;
        }
        struct stoq_peer_id self = stoq_key_peer_id(ed->engine->cfg.key);
        if (is_failed(ed, &f->peer, now) || stoq_hash_eq(&f->peer.h, &self.h)) {
            continue;
        }
        struct place *p = &ed->places[ed->place_next++ % PLACES_MAX];
        *p = (struct place){.key = w->key,
                            .source = {.peer = f->peer, .addr = addr},
                            .until = now + (stoq_ns)f->ttl_s * STOQ_SEC};
        engine_fetches_found(ed->engine, &w->key, &p->source);
    }
}

static void fill_contact(struct engine_dht *ed, stoq_contact_no no,
                         struct stoq_engine_dht_contact *out)
{
    struct stoq_node_dht_addr addr = {{0}};
    (void)stoq_node_dht_who(ed->nd, no, &out->peer, &addr, &out->id);
    out->addr = from_dht(&addr);
}

static void take_hop(struct engine_dht *ed, struct dht_wait *w, const struct stoq_dht_trace *t)
{
    struct stoq_engine_dht_contact who = {0};
    if (w->found->hop_count == STOQ_DHT_HOPS_MAX) {
        return;
    }
    fill_contact(ed, t->contact, &who);
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

static void take_looked(struct engine_dht *ed, struct dht_wait *w, const struct stoq_dht_looked *l)
{
    for (uint32_t i = 0; i < l->contact_count && i < STOQ_DHT_WANT_MAX; i++) {
        fill_contact(ed, l->contacts[i], &w->found->near[w->found->near_count++]);
    }
    w->found->calls = l->calls;
    w->found->silent = l->silent;
    w->found->hops_most = l->hops;
    w->found->paths = l->paths;
    w->found->took_ns = l->took_ns;
    if (w->ask->value && w->found->provider_count == 0) {
        ed->nobody[ed->nobody_next++ % NOBODY_MAX] =
            (struct nobody){.key = w->key, .until = stoq_now() + NOBODY_FOR};
    }
    wait_end(ed, w, STOQ_OK);
}

static void take_announced(struct engine_dht *ed, const struct stoq_dht_announced *a)
{
    struct dht_wait *w = ed->waits;
    while (w != NULL) {
        struct dht_wait *next = w->next;
        if (w->look == 0 && stoq_hash_eq(&w->key, &a->key)) {
            *w->announced = *a;
            wait_end(ed, w, STOQ_OK);
        }
        w = next;
    }
}

static void act(struct engine_dht *ed, const struct stoq_node_dht_action *a)
{
    struct dht_wait *w;
    switch (a->kind) {
    case STOQ_NODE_DHT_CALL: {
        enum stoq_status st = a->u.call.rpc_key == NULL ? call_connected(ed->engine, &a->u.call)
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
        join_all(ed);
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
        stoq_node_dht_clock(ed->nd, wall_us(), now);
        ed->clock_at = now + CLOCK_EVERY;
    }
    if (now >= ed->save_at) {
        save(ed);
        ed->save_at = now + SAVE_EVERY;
    }
    rejoin(ed, now);
    while (stoq_node_dht_poll(ed->nd, now, &a)) {
        act(ed, &a);
    }
    stoq_ns at = stoq_node_dht_deadline(ed->nd);
    at = ed->rejoin_at < at ? ed->rejoin_at : at;
    return ed->save_at < at ? ed->save_at : at;
}

size_t engine_dht_sources(struct stoq_engine *e, const struct stoq_package_id *id,
                          struct stoq_fetch_source *out, size_t out_max)
{
    struct engine_dht *ed = e->dht;
    stoq_ns now = stoq_now();
    size_t n = 0;
    if (ed == NULL) {
        return 0;
    }
    struct stoq_hash key = stoq_dht_key(id);
    for (size_t i = 0; i < PLACES_MAX && n < out_max; i++) {
        const struct place *p = &ed->places[i];
        if (p->until > now && stoq_hash_eq(&p->key, &key) && !is_failed(ed, &p->source.peer, now)) {
            out[n++] = p->source;
        }
    }
    return n;
}

/* ---- from other threads ---- */

static void take_status(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_dht_status *out = arg;
    const struct engine_dht *ed = e->dht;
    *out = (struct stoq_engine_dht_status){.on = ed != NULL, .work_bits = e->cfg.dht.work_bits};
    if (ed != NULL) {
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

struct table_snapshot {
    struct stoq_engine_dht_contact *list;
    size_t count;
};

static void take_table(struct stoq_engine *e, void *arg)
{
    struct table_snapshot *s = arg;
    struct stoq_dht_contact c;
    struct engine_dht *ed = e->dht;
    size_t n = 0;
    while (ed != NULL && ed->nd != NULL &&
           stoq_dht_at(stoq_node_dht_core(ed->nd), n, stoq_now(), &c)) {
        n++;
    }
    s->list = calloc(n == 0 ? 1 : n, sizeof *s->list);
    for (size_t i = 0; s->list != NULL && i < n; i++) {
        (void)stoq_dht_at(stoq_node_dht_core(ed->nd), i, stoq_now(), &s->list[i].about);
        fill_contact(ed, s->list[i].about.contact, &s->list[i]);
        s->count++;
    }
}

enum stoq_status stoq_engine_dht_table(struct stoq_engine *e,
                                       void (*fn)(void *user,
                                                  const struct stoq_engine_dht_contact *c),
                                       void *user)
{
    struct table_snapshot s = {0};
    engine_call(e, take_table, &s);
    if (s.list == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < s.count; i++) {
        fn(user, &s.list[i]);
    }
    free(s.list);
    return STOQ_OK;
}

static void run_join(struct stoq_engine *e, void *arg)
{
    const struct stoq_fetch_source *way = arg;
    struct engine_dht *ed = e->dht;
    if (ed == NULL || e->draining) {
        return;
    }
    size_t at = ed->way_count < JOINS_MAX ? ed->way_count++ : JOINS_MAX - 1;
    ed->ways[at] = *way;
    ed->dialled[at] = false;
    ed->joined[at] = false;
    ed->rejoin_after = REJOIN_FIRST;
    if (ed->nd != NULL) {
        join_all(ed);
    } else {
        begin(ed);
    }
}

void stoq_engine_dht_join(struct stoq_engine *e, const struct stoq_fetch_source *peer)
{
    struct stoq_fetch_source way = *peer;
    engine_call(e, run_join, &way);
}

static void begin_wait(struct stoq_engine *e, void *arg)
{
    struct dht_wait *w = arg;
    struct engine_dht *ed = e->dht;
    if (ed == NULL || (ed->nd == NULL && w->ask != NULL && ed->way_count == 0) || e->draining) {
        w->status = STOQ_NOTFOUND;
        w->done = true;
        return;
    }
    w->next = ed->waits;
    ed->waits = w;
    if (ed->nd == NULL) {
        begin(ed); /* it goes on when we have an id */
    } else {
        start_wait(ed, w);
    }
}

static void stop_wait(struct stoq_engine *e, void *arg)
{
    struct dht_wait *w = arg;
    struct dht_wait *k = e->dht == NULL ? NULL : e->dht->waits;
    while (k != NULL && k != w) {
        k = k->next;
    }
    if (k == NULL) {
        return; /* over meanwhile */
    }
    if (w->look != 0) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_STOP, .u.stop = {w->look}};
        (void)!stoq_dht_feed(stoq_node_dht_core(e->dht->nd), &ev, stoq_now());
    }
    wait_end(e->dht, w, STOQ_CANCELLED);
}

/* True: over; false: a tenth of a second has passed. */
static bool wait_some(struct dht_wait *w)
{
    stoq_ns at = stoq_now() + 100 * STOQ_MS;
    pthread_mutex_lock(&w->lock);
    while (!w->done && stoq_cond_wait_until(&w->changed, &w->lock, at)) {
    }
    bool done = w->done;
    pthread_mutex_unlock(&w->lock);
    return done;
}

static enum stoq_status wait_for(struct stoq_engine *e, struct dht_wait *w, stoq_ns timeout_ns,
                                 bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    stoq_ns limit = stoq_now() + (timeout_ns == 0 ? LOOK_TIMEOUT : timeout_ns);
    bool timed_out = false;
    stoq_cond_init(&w->changed);
    STOQ_ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    engine_call(e, begin_wait, w);
    while (!wait_some(w)) {
        timed_out = stoq_now() >= limit;
        if (timed_out || (cancelled != NULL && cancelled(user))) {
            engine_call(e, stop_wait, w);
        }
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    if (w->status == STOQ_NOTFOUND) {
        return stoq_fail(err, STOQ_NOTFOUND, 0,
                         "this daemon takes no part in a DHT: switch discovery.dht on and name a "
                         "bootstrap peer, or stoq join PEER@ADDRESS");
    }
    if (w->status == STOQ_CANCELLED && timed_out) {
        return stoq_fail(err, STOQ_TIMEOUT, 0, "the DHT has not answered in time");
    }
    return w->status == STOQ_OK
               ? STOQ_OK
               : stoq_fail(err, w->status, 0, "DHT: %s", stoq_status_str(w->status));
}

enum stoq_status stoq_engine_dht_look(struct stoq_engine *e, const struct stoq_engine_dht_ask *ask,
                                      struct stoq_engine_dht_found *out, struct stoq_error *err)
{
    memset(out, 0, sizeof *out);
    struct dht_wait w = {.key = ask->target, .ask = ask, .found = out};
    return wait_for(e, &w, ask->timeout_ns, ask->cancelled, ask->user, err);
}

static void add_early(struct stoq_engine *e, void *arg)
{
    const struct stoq_package_id *id = arg;
    struct engine_dht *ed = e->dht;
    if (ed == NULL || e->draining) {
        return;
    }
    if (ed->nd != NULL) {
        announce(ed, id, false);
        return;
    }
    struct early *early = malloc(sizeof *early);
    if (early != NULL) {
        *early = (struct early){.next = ed->early, .id = *id};
        ed->early = early;
    }
}

enum stoq_status stoq_engine_dht_announce(struct stoq_engine *e, const struct stoq_package_id *id,
                                          struct stoq_dht_announced *out,
                                          bool (*cancelled)(void *user), void *user,
                                          struct stoq_error *err)
{
    struct stoq_package_id copy = *id;
    if (out == NULL) {
        engine_call(e, add_early, &copy);
        return STOQ_OK;
    }
    struct dht_wait w = {.key = stoq_dht_key(id), .announced = out};
    return wait_for(e, &w, 30 * STOQ_SEC, cancelled, user, err);
}

static void run_withdraw(struct stoq_engine *e, void *arg)
{
    struct engine_dht *ed = e->dht;
    if (ed != NULL && ed->nd != NULL) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_WITHDRAW};
        ev.u.announce.key = stoq_dht_key(arg);
        (void)!stoq_dht_feed(stoq_node_dht_core(ed->nd), &ev, stoq_now());
    }
}

void stoq_engine_dht_withdraw(struct stoq_engine *e, const struct stoq_package_id *id)
{
    struct stoq_package_id copy = *id;
    engine_call(e, run_withdraw, &copy);
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
    struct stoq_dht_record *list[STOQ_DHT_KEY_RECORDS];
    if (e->dht != NULL && e->dht->nd != NULL) {
        struct stoq_dht *core = stoq_node_dht_core(e->dht->nd);
        ask->known = stoq_dht_own(core, &ask->key, stoq_now(), ask->out);
        *ask->held = stoq_dht_held(core, &ask->key, stoq_now(), list, STOQ_DHT_KEY_RECORDS);
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

bool engine_dht_is_there(const struct stoq_engine *e)
{
    return e->dht != NULL && e->dht->nd != NULL;
}

bool engine_dht_wait(struct stoq_engine *e, const struct stoq_fetch_ask *ask)
{
    struct stoq_engine_dht_found *found = malloc(sizeof *found);
    struct stoq_engine_dht_ask look = {.target = stoq_dht_key(&ask->id),
                                       .value = true,
                                       .timeout_ns = FETCH_WAIT,
                                       .cancelled = ask->cancelled,
                                       .user = ask->user};
    bool some = found != NULL && stoq_engine_dht_look(e, &look, found, NULL) == STOQ_OK &&
                found->provider_count > 0;
    free(found);
    return some;
}
