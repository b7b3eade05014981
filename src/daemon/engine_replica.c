/*
 * Placements as their callers see them, and what the replica core wants of the network: dial, say Hello where
 * none was said, offer; and answers, receipts, lost connections and bytes sent back to it. The core decides
 * whom to ask, when, and when it is over.
 */
#include "daemon/engine_internal.h"

#include "os/sys.h"
#include "sign/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOW_EVERY (100 * STOQ_MS)
#define CANDIDATE_BITS 16 /* of an ask's tag; the rest is the placement's number */
_Static_assert(STOQ_REPLICA_CANDIDATES_MAX <= 1u << CANDIDATE_BITS, "a tag names any candidate");

#define ITEMS_BYTES_MAX ((size_t)STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16) /* one */
#define ASK_BEGUN UINT64_MAX /* an ask whose cookie is not known yet */

/* What is outstanding with one candidate. */
struct offered {
    struct peer *peer;    /* NULL: nothing */
    uint64_t cookie;      /* the core's; 0: it awaits nothing */
    stoq_node_cookie ask; /* 0: none */
    bool dialling;
    uint32_t slice;
    uint64_t first_shard;
    uint64_t shard_count;
    uint8_t nonce[STOQ_RECEIPT_NONCE_BYTES];
    struct stoq_buf items; /* receipts not handed over yet; under the lock */
};

struct placement {
    struct engine_wait wait; /* first; its lock guards the offered ones' items too */
    struct stoq_engine *engine;
    const struct stoq_placement_ask *ask;
    struct stoq_replica *core;
    struct offered *offered;
    struct stoq_placement_replica
        *replicas; /* the caller's; the network thread's until it is over */
    stoq_ns began_at;
    enum stoq_status status; /* with which it is to end when it is stopped */
};

static struct placement *first(const struct stoq_engine *e)
{
    return (struct placement *)e->placements.first;
}

static struct placement *next(const struct placement *p)
{
    return (struct placement *)p->wait.next;
}

static void finish(struct placement *p, enum stoq_status status)
{
    for (size_t i = 0; i < p->ask->candidate_count; i++) {
        stoq_replica_at(p->core, (uint32_t)i, &p->replicas[i].view);
    }
    engine_wait_end(&p->engine->placements, &p->wait, status);
}

static void feed(struct placement *p, struct stoq_replica_event ev)
{
    stoq_replica_feed(p->core, &ev, stoq_now());
}

/* Close the offer that is outstanding. */
static void decline(struct placement *p, uint32_t i, enum stoq_replica_why why, const char *text)
{
    struct offered *o = &p->offered[i];
    uint64_t cookie = o->cookie;
    o->cookie = 0;
    o->dialling = false;
    (void)snprintf(p->replicas[i].why, sizeof p->replicas[i].why, "%s", text);
    feed(p, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_DECLINED, .candidate = i, .cookie = cookie, .u.why = why});
}

/* The placement and candidate that an ask was for; NULL: settled meanwhile. */
static struct placement *asked(struct ask *a, uint32_t *candidate)
{
    struct placement *p = engine_wait_find(&a->engine->placements, a->own_tag >> CANDIDATE_BITS);
    *candidate = (uint32_t)(a->own_tag & ((1u << CANDIDATE_BITS) - 1));
    struct offered *o = p == NULL ? NULL : &p->offered[*candidate];
    if (o == NULL || (o->ask != a->cookie && o->ask != ASK_BEGUN)) {
        return NULL;
    }
    o->ask = 0;
    return p;
}

/* own may be called before this returns. */
static void ask_peer(struct placement *p, uint32_t i, struct stoq_message *msg,
                     void (*own)(struct ask *a))
{
    struct stoq_engine *e = p->engine;
    struct offered *o = &p->offered[i];
    o->ask = ASK_BEGUN;
    stoq_node_cookie cookie =
        engine_ask_own(e, o->peer, msg, 0, own, p->wait.number << CANDIDATE_BITS | i);
    if (o->ask == ASK_BEGUN) {
        o->ask = cookie;
        if (cookie == 0) {
            decline(p, i, STOQ_REPLICA_FAILED, "out of memory");
        }
    }
}

static enum stoq_replica_why why_of(uint64_t code)
{
    switch (code) {
    case STOQ_ERR_UNSUPPORTED:
        return STOQ_REPLICA_UNABLE;
    case STOQ_ERR_BUSY:
        return STOQ_REPLICA_BUSY;
    case STOQ_ERR_REFUSED:
        return STOQ_REPLICA_REFUSED;
    case STOQ_ERR_QUOTA_REACHED:
    case STOQ_ERR_TOO_LARGE:
        return STOQ_REPLICA_QUOTA;
    case STOQ_ERR_DISK_FULL:
        return STOQ_REPLICA_DISK_FULL;
    case STOQ_ERR_INTEGRITY_CHECK_FAILED:
        return STOQ_REPLICA_DAMAGED;
    default:
        return STOQ_REPLICA_FAILED;
    }
}

static void decline_as_answered(struct placement *p, uint32_t i, const struct ask *a)
{
    char text[STOQ_ERROR_TEXT_MAX + 64];
    if (a->status != STOQ_OK) {
        decline(p, i, STOQ_REPLICA_LOST, stoq_status_str(a->status));
        return;
    }
    if (a->reply.type != STOQ_MSG_ERROR) {
        decline(p, i, STOQ_REPLICA_FAILED, "an answer that is none");
        return;
    }
    const struct stoq_msg_error *err = &a->reply.u.error;
    (void)snprintf(text, sizeof text, "%s: %.*s", stoq_error_code_name(err->code), (int)err->text.n,
                   (const char *)err->text.p);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?'; /* a peer's words go to a terminal */
    }
    decline(p, i, why_of(err->code), text);
}

static void on_answer(struct ask *a)
{
    uint32_t i;
    struct placement *p = asked(a, &i);
    if (p == NULL) {
        return;
    }
    bool taken = a->status == STOQ_OK && a->reply.type == STOQ_MSG_RESPONSE &&
                 a->reply.u.response.kind == STOQ_META_ACCEPTED;
    if (!taken) {
        decline_as_answered(p, i, a);
        return;
    }
    uint64_t cookie = p->offered[i].cookie;
    p->offered[i].cookie = 0;
    feed(p, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_ACCEPTED, .candidate = i, .cookie = cookie});
}

static void send_offer(struct placement *p, uint32_t i, uint64_t features)
{
    const struct offered *o = &p->offered[i];
    struct stoq_message msg = {.type = STOQ_MSG_OFFER,
                               .u.offer = {.id = p->ask->id,
                                           .first_shard = o->first_shard,
                                           .shard_count = o->shard_count,
                                           .bytes = p->ask->slice_bytes[o->slice],
                                           .keep_until_s = p->ask->keep_until_s}};
    if ((features & STOQ_FEATURE_OFFERS) == 0) {
        decline(p, i, STOQ_REPLICA_UNABLE, "it takes no offers");
        return;
    }
    memcpy(msg.u.offer.nonce, o->nonce, sizeof o->nonce);
    ask_peer(p, i, &msg, on_answer);
}

static void on_hello(struct ask *a)
{
    uint32_t i;
    struct placement *p = asked(a, &i);
    if (p == NULL) {
        return;
    }
    if (a->status != STOQ_OK || a->reply.type != STOQ_MSG_HELLO) {
        decline_as_answered(p, i, a);
        return;
    }
    send_offer(p, i, a->reply.u.hello.features);
}

/* It is connected: offer, after a Hello where it has not said one. */
static void greet(struct placement *p, uint32_t i)
{
    struct stoq_engine *e = p->engine;
    struct stoq_msg_hello hello;
    if (stoq_node_peer_hello(e->node, p->offered[i].peer->number, &hello)) {
        send_offer(p, i, hello.features);
        return;
    }
    struct stoq_message msg = {.type = STOQ_MSG_HELLO, .u.hello = stoq_node_hello(e->node)};
    ask_peer(p, i, &msg, on_hello);
}

static void offer(struct placement *p, const struct stoq_replica_action *a)
{
    struct stoq_engine *e = p->engine;
    struct offered *o = &p->offered[a->candidate];
    const struct stoq_placement_candidate *c = &p->ask->candidates[a->candidate];
    if (o->peer == NULL) {
        o->peer = engine_peer(e, &c->peer);
        stoq_entropy(o->nonce, sizeof o->nonce);
    }
    o->cookie = a->cookie;
    o->slice = a->slice;
    o->first_shard = a->first_shard;
    o->shard_count = a->shard_count;
    if (o->peer == NULL) {
        decline(p, a->candidate, STOQ_REPLICA_FAILED, "too many peers are known");
        return;
    }
    engine_peer_address(o->peer, &c->addr);
    if (o->peer->state == PEER_UP) {
        greet(p, a->candidate);
        return;
    }
    o->dialling = true;
    if (o->peer->state == PEER_IDLE) {
        o->peer->why[0] = '\0';
        o->peer->forged = false;
        engine_peer_dial(e, o->peer, STOQ_NODE_DIAL_TIMEOUT);
    }
}

static void leave(struct placement *p, uint32_t i)
{
    struct offered *o = &p->offered[i];
    struct peer *peer = o->peer;
    stoq_node_cookie ask = o->ask;
    o->peer = NULL;
    o->cookie = 0;
    o->ask = 0;
    o->dialling = false;
    if (ask != 0) {
        engine_ask_cancel(p->engine, ask);
    }
    if (peer != NULL) {
        engine_peer_unref(p->engine, peer);
    }
}

/* What the core wants now. False: it is over, and p is the caller's again. */
static bool run(struct placement *p, stoq_ns now)
{
    struct stoq_replica_action a;
    while (stoq_replica_poll(p->core, now, &a)) {
        switch (a.kind) {
        case STOQ_REPLICA_OFFER:
            offer(p, &a);
            break;
        case STOQ_REPLICA_LEAVE:
            leave(p, a.candidate);
            break;
        case STOQ_REPLICA_ENDED: {
            struct stoq_replica_sum sum;
            stoq_replica_sum(p->core, &sum);
            bool enough = sum.verified >= p->ask->wanted;
            finish(p, enough ? STOQ_OK : p->status != STOQ_OK ? p->status : STOQ_NOTFOUND);
            return false;
        }
        }
    }
    return true;
}

void engine_placements_run(struct stoq_engine *e, stoq_ns now)
{
    for (struct placement *p = first(e), *after; p != NULL; p = after) {
        after = next(p);
        (void)run(p, now);
    }
}

stoq_ns engine_placements_deadline(const struct stoq_engine *e)
{
    stoq_ns at = STOQ_NEVER;
    for (const struct placement *p = first(e); p != NULL; p = next(p)) {
        stoq_ns mine = stoq_replica_deadline(p->core);
        at = mine < at ? mine : at;
    }
    return at;
}

/* Call fn for every candidate that waits for this peer to be connected. */
static void each_dialling(struct stoq_engine *e, const struct peer *peer,
                          void (*fn)(struct placement *p, uint32_t i))
{
    for (struct placement *p = first(e); p != NULL; p = next(p)) {
        for (uint32_t i = 0; i < p->ask->candidate_count; i++) {
            if (p->offered[i].peer == peer && p->offered[i].dialling) {
                p->offered[i].dialling = false;
                fn(p, i);
            }
        }
    }
}

static void reached(struct placement *p, uint32_t i)
{
    feed(p, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_REACHED, .candidate = i, .cookie = p->offered[i].cookie});
    greet(p, i);
}

static void unreachable(struct placement *p, uint32_t i)
{
    const char *why = p->offered[i].peer->why;
    decline(p, i, STOQ_REPLICA_UNREACHABLE, why[0] != '\0' ? why : "it could not be reached");
}

void engine_placements_up(struct stoq_engine *e, struct peer *p)
{
    each_dialling(e, p, reached);
}

void engine_placements_down(struct stoq_engine *e, struct peer *p)
{
    each_dialling(e, p, unreachable);
}

void engine_placements_sent(struct stoq_engine *e, const struct peer *peer,
                            const struct stoq_package_id *id, uint64_t bytes)
{
    for (struct placement *p = first(e); p != NULL; p = next(p)) {
        if (!stoq_hash_eq(&p->ask->id.h, &id->h)) {
            continue;
        }
        for (uint32_t i = 0; i < p->ask->candidate_count; i++) {
            if (p->offered[i].peer == peer) {
                feed(p, (struct stoq_replica_event){
                            .kind = STOQ_REPLICA_MOVED, .candidate = i, .u.bytes = bytes});
            }
        }
    }
}

static void stop_one(struct placement *p, enum stoq_status status)
{
    p->status = status;
    feed(p, (struct stoq_replica_event){.kind = STOQ_REPLICA_STOP});
    (void)run(p, stoq_now());
}

void engine_placements_cut(struct stoq_engine *e)
{
    while (e->placements.first != NULL) {
        stop_one(first(e), STOQ_BUSY);
    }
}

/* Is this what was offered: the whole package, or the slice it says? */
static bool is_slice(const struct placement *p, const struct stoq_receipt *r, uint32_t *slice)
{
    uint64_t slices = stoq_replica_slices(p->ask->shards);
    uint64_t i = r->first_shard / STOQ_REPLICA_SLICE_SHARDS;
    *slice = (uint32_t)i;
    if (slices == 1) {
        return r->shard_count == 0 && r->bytes == p->ask->slice_bytes[0];
    }
    uint64_t rest = p->ask->shards - i * STOQ_REPLICA_SLICE_SHARDS;
    return i < slices && r->first_shard % STOQ_REPLICA_SLICE_SHARDS == 0 &&
           r->shard_count ==
               (rest < STOQ_REPLICA_SLICE_SHARDS ? rest : STOQ_REPLICA_SLICE_SHARDS) &&
           r->bytes == p->ask->slice_bytes[i];
}

static enum stoq_status keep_item(struct placement *p, uint32_t i, const struct stoq_signed *item)
{
    pthread_mutex_lock(&p->wait.lock);
    enum stoq_status st = stoq_signed_put(item, &p->offered[i].items);
    engine_wait_news(&p->wait);
    pthread_mutex_unlock(&p->wait.lock);
    return st;
}

static uint64_t take_receipt(struct placement *p, uint32_t i, const struct stoq_receipt *r,
                             const struct stoq_signed *item)
{
    uint32_t slice;
    bool good =
        is_slice(p, r, &slice) && stoq_object_check(item, STOQ_SIGN_RECEIPT, r->spki) == STOQ_OK;
    if (good && slice != p->offered[i].slice) {
        return 0; /* one that was taken before */
    }
    if (good && keep_item(p, i, item) != STOQ_OK) {
        return STOQ_ERR_BUSY; /* it comes again */
    }
    if (good) {
        p->replicas[i].verified_at_s = r->verified_at_s;
        p->replicas[i].keep_until_s = r->keep_until_s;
        p->replicas[i].why[0] = '\0';
    } else {
        (void)snprintf(p->replicas[i].why, sizeof p->replicas[i].why,
                       "its receipt is not of what was offered, or not signed by it");
    }
    feed(p, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_RECEIPT,
                .candidate = i,
                .u.receipt = {.slice = p->offered[i].slice,
                              .why = good ? STOQ_REPLICA_FINE : STOQ_REPLICA_BAD_RECEIPT}});
    return good ? 0 : STOQ_ERR_SIGNATURE_REJECTED;
}

uint64_t engine_placements_receipt(struct stoq_engine *e, const struct peer *peer,
                                   const struct stoq_receipt *r, const struct stoq_signed *item)
{
    for (struct placement *p = first(e); p != NULL; p = next(p)) {
        for (uint32_t i = 0; i < p->ask->candidate_count; i++) {
            const struct offered *o = &p->offered[i];
            if (o->peer == peer && stoq_hash_eq(&p->ask->id.h, &r->id.h) &&
                memcmp(o->nonce, r->nonce, sizeof o->nonce) == 0) {
                return take_receipt(p, i, r, item);
            }
        }
    }
    return STOQ_ERR_REFUSED;
}

static void begin(struct stoq_engine *e, void *arg)
{
    struct placement *p = arg;
    engine_wait_add(&e->placements, &p->wait);
    if (e->draining) {
        stop_one(p, STOQ_BUSY);
    }
}

static void stop(struct stoq_engine *e, void *arg)
{
    struct placement *p = arg;
    if (engine_wait_is_open(&e->placements, &p->wait)) {
        stop_one(p, STOQ_CANCELLED);
    }
}

static void describe(struct placement *p, struct stoq_placement *out,
                     struct stoq_placement_replica *replicas)
{
    *out = (struct stoq_placement){.id = p->ask->id,
                                   .wanted = p->ask->wanted,
                                   .shards = p->ask->shards,
                                   .bytes = p->ask->bytes,
                                   .elapsed_ns = stoq_now() - p->began_at,
                                   .count = p->ask->candidate_count,
                                   .replicas = replicas};
    for (size_t i = 0; i < out->count; i++) {
        replicas[i] = p->replicas[i];
        stoq_replica_at(p->core, (uint32_t)i, &replicas[i].view);
    }
}

/* A placement of a package, copied. */
struct shot {
    struct shot *next;
    struct stoq_placement p;
    struct stoq_placement_candidate *candidates;
    struct stoq_placement_replica replicas[];
};

struct shots {
    const struct stoq_package_id *id; /* NULL: that placement alone */
    struct placement *only;
    struct shot *first;
    bool no_memory;
};

static void shots_free(struct shots *s)
{
    while (s->first != NULL) {
        struct shot *next = s->first->next;
        free(s->first->candidates);
        free(s->first);
        s->first = next;
    }
}

static void take_shots(struct stoq_engine *e, void *arg)
{
    struct shots *s = arg;
    for (struct placement *p = first(e); p != NULL && !s->no_memory; p = next(p)) {
        if (s->id != NULL ? !stoq_hash_eq(&s->id->h, &p->ask->id.h) : p != s->only) {
            continue;
        }
        size_t n = p->ask->candidate_count;
        struct shot *shot = calloc(1, sizeof *shot + n * sizeof shot->replicas[0]);
        struct stoq_placement_candidate *list = calloc(n + 1, sizeof *list);
        if (shot == NULL || list == NULL) {
            free(shot);
            free(list);
            s->no_memory = true;
            return;
        }
        describe(p, &shot->p, shot->replicas);
        memcpy(list, p->ask->candidates, n * sizeof *list);
        shot->candidates = list;
        shot->p.candidates = list;
        shot->next = s->first;
        s->first = shot;
    }
}

enum stoq_status stoq_engine_placements(struct stoq_engine *e, const struct stoq_package_id *id,
                                        void (*fn)(void *user, const struct stoq_placement *p),
                                        void *user)
{
    struct shots s = {.id = id};
    engine_call(e, take_shots, &s);
    for (const struct shot *shot = s.first; shot != NULL && !s.no_memory; shot = shot->next) {
        fn(user, &shot->p);
    }
    shots_free(&s);
    return s.no_memory ? STOQ_NOMEM : STOQ_OK;
}

static void show(struct placement *p)
{
    struct shots s = {.only = p};
    if (p->ask->progress == NULL) {
        return;
    }
    engine_call(p->engine, take_shots, &s);
    if (s.first != NULL) {
        p->ask->progress(p->ask->user, &s.first->p);
    }
    shots_free(&s);
}

/* Hand over what receipts came. */
static void hand_over(struct placement *p)
{
    for (size_t i = 0; i < p->ask->candidate_count; i++) {
        pthread_mutex_lock(&p->wait.lock);
        struct stoq_buf items = p->offered[i].items;
        stoq_buf_init(&p->offered[i].items, ITEMS_BYTES_MAX);
        pthread_mutex_unlock(&p->wait.lock);
        struct stoq_span rest = stoq_buf_span(&items);
        struct stoq_signed item;
        struct stoq_span before = rest;
        while (stoq_signed_next(&rest, &item)) {
            p->ask->receipt(p->ask->user, i, stoq_span(before.p, before.n - rest.n));
            before = rest;
        }
        stoq_buf_release(&items);
    }
}

/* True: over. */
static bool wait_for_news(struct placement *p)
{
    bool has_items;
    bool done = engine_wait_some(&p->wait, &has_items);
    if (has_items) {
        hand_over(p);
    }
    return done;
}

static void watch(struct placement *p)
{
    bool stopped = false;
    stoq_ns show_at = stoq_now() + SHOW_EVERY;
    while (!wait_for_news(p)) {
        const struct stoq_placement_ask *ask = p->ask;
        if (!stopped && ask->cancelled != NULL && ask->cancelled(ask->user)) {
            stopped = true;
            engine_call(p->engine, stop, p);
        }
        if (stoq_now() >= show_at) {
            show(p);
            show_at = stoq_now() + SHOW_EVERY;
        }
    }
}

/* One number per domain. */
static void number_domains(const struct stoq_placement_ask *ask, uint32_t *out)
{
    for (uint32_t i = 0; i < ask->candidate_count; i++) {
        uint32_t first = 0;
        while (strcmp(ask->candidates[first].domain, ask->candidates[i].domain) != 0) {
            first++;
        }
        out[i] = ask->candidates[i].domain[0] == '\0' ? STOQ_REPLICA_NO_DOMAIN : first;
    }
}

static enum stoq_status placement_new(struct placement *p, struct stoq_error *err)
{
    size_t n = p->ask->candidate_count;
    uint32_t *domains = calloc(n + 1, sizeof *domains);
    p->offered = calloc(n + 1, sizeof *p->offered);
    enum stoq_status st = domains == NULL || p->offered == NULL ? STOQ_NOMEM : STOQ_OK;
    if (st == STOQ_OK) {
        number_domains(p->ask, domains);
        const struct stoq_replica_config cfg = {.wanted = p->ask->wanted,
                                                .shards = p->ask->shards,
                                                .bytes = p->ask->bytes,
                                                .domains = domains,
                                                .candidate_count = (uint32_t)n};
        st = stoq_replica_new(&p->core, &cfg);
        for (size_t i = 0; i < n; i++) {
            stoq_buf_init(&p->offered[i].items, ITEMS_BYTES_MAX);
        }
    }
    free(domains);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "begin a placement");
}

static void placement_release(struct placement *p)
{
    for (size_t i = 0; p->offered != NULL && i < p->ask->candidate_count; i++) {
        stoq_buf_release(&p->offered[i].items);
    }
    free(p->offered);
    stoq_replica_free(p->core);
}

enum stoq_status stoq_engine_distribute(struct stoq_engine *e, const struct stoq_placement_ask *ask,
                                        struct stoq_placement_replica *replicas,
                                        struct stoq_error *err)
{
    struct placement p = {.engine = e, .ask = ask, .replicas = replicas, .began_at = stoq_now()};
    if (ask->candidate_count > STOQ_REPLICA_CANDIDATES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "too many candidates");
    }
    memset(replicas, 0, ask->candidate_count * sizeof *replicas);
    enum stoq_status st = placement_new(&p, err);
    if (st == STOQ_OK) {
        engine_wait_init(&p.wait);
        engine_call(e, begin, &p);
        watch(&p);
        hand_over(&p);
        engine_wait_release(&p.wait);
        st = p.wait.status == STOQ_OK
                 ? STOQ_OK
                 : stoq_fail(err, p.wait.status, 0, "the placement was stopped");
    }
    placement_release(&p);
    return st;
}
