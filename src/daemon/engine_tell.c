/*
 * Packages announced to connected peers, and theirs to us (docs/PROTOCOL.md, Announce). What comes to be
 * here while this process runs is told at once to every peer that is connected and takes announcements,
 * and the last few to those that say Hello later; so is that it has gone. What peers tell is kept by
 * src/discover/told.h and names sources for fetches. Part of the exchange: same peers, same addresses.
 */
#include "daemon/engine_internal.h"

#include "dht/dht.h"
#include "discover/told.h"
#include "hash/hash.h"
#include "os/sys.h"
#include "sign/object.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TALES_MAX 16u        /* of the last packages, told to those who come later */
#define TTL_S 3600u          /* of what we say */
#define SKEW_S 300u          /* as everywhere */
#define BURST 256u           /* announcements of one peer at once whose signatures we check */
#define EVERY (STOQ_SEC / 4) /* and from then on */

struct tale {
    struct stoq_package_id id;
    char name[STOQ_ANNOUNCE_TEXT_MAX];
    char version[STOQ_ANNOUNCE_TEXT_MAX];
    uint8_t name_n;
    uint8_t version_n;
    uint64_t bytes;
    stoq_ns until;
    bool gone;
};

struct engine_tell {
    struct stoq_told *told;
    struct tale tales[TALES_MAX];
    size_t tale_count;
    size_t tale_next;
    uint64_t sequence;
    struct stoq_engine_tell counts;
};

enum stoq_status engine_tell_open(struct stoq_engine *e)
{
    if (e->exchange == NULL) {
        return STOQ_OK;
    }
    const struct stoq_told_caps caps = {.all = STOQ_TOLD_MAX, .of_peer = STOQ_TOLD_PEER_MAX};
    struct engine_tell *t = calloc(1, sizeof *t);
    if (t == NULL || (t->told = stoq_told_new(caps)) == NULL) {
        free(t);
        return STOQ_NOMEM;
    }
    e->tell = t;
    return STOQ_OK;
}

void engine_tell_close(struct stoq_engine *e)
{
    if (e->tell != NULL) {
        stoq_told_free(e->tell->told);
        free(e->tell);
        e->tell = NULL;
    }
}

/* ---- telling ---- */

static uint64_t next_sequence(struct engine_tell *t)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    t->sequence = us > t->sequence ? us : t->sequence + 1;
    return t->sequence;
}

/* The record of a tale, signed, into out. */
static enum stoq_status sign(struct stoq_engine *e, const struct tale *tale,
                             struct stoq_span addresses, struct stoq_buf *out)
{
    struct stoq_contact rec = {
        .spki = stoq_key_spki(e->cfg.key),
        .addresses = addresses,
        .sequence = next_sequence(e->tell),
        .issued_at_s = stoq_wall_seconds(),
        .ttl_s = TTL_S,
        .has_rpc_key = !e->cfg.connections_only,
        .has_key = true,
        .key = stoq_dht_key(&tale->id),
    };
    struct stoq_buf body;
    memcpy(rec.rpc_key.b, stoq_net_rpc_key(e->net), sizeof rec.rpc_key.b);
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    enum stoq_status st = stoq_contact_encode(&rec, &body);
    if (st == STOQ_OK) {
        st = stoq_object_sign(e->cfg.key, STOQ_SIGN_LOCATION, stoq_buf_span(&body), out);
    }
    stoq_buf_release(&body);
    return st;
}

static void on_told(struct ask *a)
{
    struct engine_tell *t = a->engine->tell;
    if (t != NULL && a->status == STOQ_OK && a->reply.type == STOQ_MSG_RESPONSE) {
        t->counts.accepted++;
    }
}

static void tell(struct engine_tell *t, struct stoq_engine *e, struct peer *p,
                 const struct tale *tale)
{
    struct stoq_span addresses = tale->gone ? stoq_span(NULL, 0) : engine_exchange_addresses(e, p);
    struct stoq_message msg = {.type = STOQ_MSG_ANNOUNCE,
                               .u.announce = {.id = tale->id,
                                              .name = stoq_span(tale->name, tale->name_n),
                                              .version = stoq_span(tale->version, tale->version_n),
                                              .bytes = tale->bytes}};
    struct stoq_buf item;
    if (!tale->gone && addresses.n == 0) {
        return; /* nowhere that this peer could come to: that would take it back */
    }
    stoq_buf_init(&item, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    enum stoq_status st = sign(e, tale, addresses, &item);
    struct stoq_span items = stoq_buf_span(&item);
    if (st == STOQ_OK && stoq_signed_next(&items, &msg.u.announce.record) &&
        engine_ask_own(e, p, &msg, 0, on_told, 0) != 0) {
        t->counts.told++;
    }
    stoq_buf_release(&item);
}

static void tell_all(struct engine_tell *t, struct stoq_engine *e, const struct tale *tale)
{
    struct stoq_msg_hello hello;
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        struct peer *p = e->peers[i];
        if (!p->live || p->state != PEER_UP) {
            continue;
        }
        if (!stoq_node_peer_hello(e->node, p->number, &hello)) {
            engine_peer_meet(e, p); /* it is told after that */
        } else if ((hello.features & STOQ_FEATURE_PEERS) != 0) {
            tell(t, e, p, tale);
        }
    }
}

void engine_tell_met(struct stoq_engine *e, struct peer *p, const struct stoq_msg_hello *hello)
{
    struct engine_tell *t = e->tell;
    stoq_ns now = stoq_now();
    if (t == NULL || e->draining || hello == NULL || (hello->features & STOQ_FEATURE_PEERS) == 0) {
        return;
    }
    for (size_t i = 0; i < t->tale_count; i++) {
        if (!t->tales[i].gone && t->tales[i].until > now) {
            tell(t, e, p, &t->tales[i]);
        }
    }
}

/* The place of this package's, or the oldest. */
static struct tale *place(struct engine_tell *t, const struct stoq_package_id *id)
{
    for (size_t i = 0; i < t->tale_count; i++) {
        if (stoq_hash_eq(&t->tales[i].id.h, &id->h)) {
            return &t->tales[i];
        }
    }
    struct tale *out = &t->tales[t->tale_next++ % TALES_MAX];
    t->tale_count += t->tale_count < TALES_MAX;
    return out;
}

static void begin_tale(struct stoq_engine *e, void *arg)
{
    struct tale *fresh = arg;
    if (e->tell == NULL || e->draining) {
        return;
    }
    fresh->until = stoq_now() + TTL_S * STOQ_SEC;
    *place(e->tell, &fresh->id) = *fresh;
    tell_all(e->tell, e, fresh);
}

static uint8_t copy_text(char out[STOQ_ANNOUNCE_TEXT_MAX], struct stoq_span text)
{
    size_t n = text.n < STOQ_ANNOUNCE_TEXT_MAX ? text.n : STOQ_ANNOUNCE_TEXT_MAX;
    memcpy(out, text.p, n);
    return (uint8_t)n;
}

void stoq_engine_tell_here(struct stoq_engine *e, const struct stoq_package_id *id,
                           const struct stoq_manifest *m)
{
    struct tale fresh = {.id = *id, .bytes = m->bytes};
    fresh.name_n = copy_text(fresh.name, m->name);
    fresh.version_n = copy_text(fresh.version, m->version);
    engine_call(e, begin_tale, &fresh);
}

static void end_tale(struct stoq_engine *e, void *arg)
{
    const struct stoq_package_id *id = arg;
    struct engine_tell *t = e->tell;
    for (size_t i = 0; t != NULL && !e->draining && i < t->tale_count; i++) {
        struct tale *tale = &t->tales[i];
        if (stoq_hash_eq(&tale->id.h, &id->h) && !tale->gone) {
            tale->gone = true;
            tell_all(t, e, tale);
        }
    }
}

void stoq_engine_tell_gone(struct stoq_engine *e, const struct stoq_package_id *id)
{
    struct stoq_package_id copy = *id;
    engine_call(e, end_tale, &copy);
}

/* ---- being told ---- */

/* Is a peer's next announcement worth a signature's check now? */
static bool may_tell(struct peer *p, stoq_ns now)
{
    stoq_ns full = now + BURST * EVERY;
    p->tell_at = p->tell_at > now ? p->tell_at : now; /* when its allowance is whole again */
    if (p->tell_at + EVERY > full) {
        return false;
    }
    p->tell_at += EVERY;
    return true;
}

/* Where the record says it is and where we see it, without the link's own addresses. */
static void note_address(const struct peer *p, struct stoq_span addresses,
                         struct stoq_told_item *item)
{
    uint8_t seen[STOQ_CONTACT_ADDRESS_BYTES];
    stoq_addr_put(&p->addr, seen);
    for (size_t i = 0; i < addresses.n && !item->has_addr; i += STOQ_CONTACT_ADDRESS_BYTES) {
        if (memcmp(addresses.p + i, seen, sizeof p->addr.ip) == 0 &&
            !stoq_addr_is_link_local(&p->addr)) {
            memcpy(item->addr.b, addresses.p + i, sizeof item->addr.b);
            item->has_addr = true;
        }
    }
}

struct verdict {
    enum stoq_error_code code; /* 0: taken in */
    const char *text;
};

static struct verdict read_record(const struct peer *p, const struct stoq_msg_announce *m,
                                  struct stoq_contact *rec, struct stoq_told_item *item)
{
    struct stoq_hash key = stoq_dht_key(&m->id);
    uint64_t wall_s = stoq_wall_seconds();
    if (stoq_contact_decode(m->record.body, rec) != STOQ_OK || !rec->has_key ||
        !stoq_hash_eq(&rec->key, &key)) {
        return (struct verdict){STOQ_ERR_REFUSED, "the record is not of this package"};
    }
    struct stoq_peer_id signer = stoq_spki_peer_id(rec->spki);
    if (!stoq_hash_eq(&signer.h, &p->id.h)) {
        return (struct verdict){STOQ_ERR_REFUSED, "the record is somebody else's"};
    }
    if (rec->issued_at_s > wall_s + SKEW_S || rec->issued_at_s + rec->ttl_s <= wall_s) {
        return (struct verdict){STOQ_ERR_STALE, "the record's time is over, or has not come"};
    }
    uint64_t left_s = rec->issued_at_s + rec->ttl_s - wall_s;
    struct stoq_hash digest = stoq_hash_blake3(m->record.body);
    *item = (struct stoq_told_item){.peer = p->id,
                                    .id = m->id,
                                    .sequence = rec->sequence,
                                    .digest = stoq_le64(digest.b),
                                    .until = stoq_now() +
                                             (left_s < rec->ttl_s ? left_s : rec->ttl_s) * STOQ_SEC,
                                    .gone = rec->addresses.n == 0};
    note_address(p, rec->addresses, item);
    return (struct verdict){0, NULL};
}

static struct verdict take(struct stoq_engine *e, struct peer *p, const struct stoq_msg_announce *m)
{
    struct engine_tell *t = e->tell;
    struct stoq_contact rec;
    struct stoq_told_item item;
    stoq_ns now = stoq_now();
    struct verdict v = read_record(p, m, &rec, &item);
    if (v.code != 0) {
        return v;
    }
    switch (stoq_told_judge(t->told, &item, now)) {
    case STOQ_TOLD_SAME:
        return v;
    case STOQ_TOLD_STALE:
        return (struct verdict){STOQ_ERR_STALE, "a newer one is known"};
    case STOQ_TOLD_FULL:
        return (struct verdict){STOQ_ERR_QUOTA_REACHED, "no more is kept of this peer's"};
    case STOQ_TOLD_WANTED:
        break;
    }
    if (!may_tell(p, now)) {
        return (struct verdict){STOQ_ERR_BUSY, "four announcements a second"};
    }
    if (stoq_object_check(&m->record, STOQ_SIGN_LOCATION, rec.spki) != STOQ_OK) {
        t->counts.forged++;
        return (struct verdict){STOQ_ERR_SIGNATURE_REJECTED, "the record is not signed so"};
    }
    if (stoq_told_take(t->told, &item, now) == STOQ_TOLD_FULL) {
        return (struct verdict){STOQ_ERR_QUOTA_REACHED, "no room"};
    }
    t->counts.taken++;
    if (!item.gone) {
        struct stoq_fetch_source source = {.peer = p->id, .addr = p->addr};
        engine_fetches_told(e, &m->id, &source);
    }
    return v;
}

void engine_tell_in(struct inbound *in, const struct stoq_message *msg)
{
    struct stoq_engine *e = in->engine;
    struct verdict v = take(e, in->peer, &msg->u.announce);
    struct stoq_message reply = {.type = STOQ_MSG_RESPONSE,
                                 .request_id = msg->request_id,
                                 .u.response = {.kind = STOQ_META_ACCEPTED}};
    if (v.code != 0) {
        e->tell->counts.refused++;
        e->requests_refused++;
        reply.type = STOQ_MSG_ERROR;
        reply.u.error = (struct stoq_msg_error){v.code, stoq_span_str(v.text)};
    }
    engine_send(
        e, &(struct stoq_node_send){.peer = in->peer->number, .stream = in->number, .msg = &reply});
}

void engine_tell_have_in(struct inbound *in, const struct stoq_message *msg)
{
    struct stoq_engine *e = in->engine;
    struct stoq_fetch_source source = {.peer = in->peer->id, .addr = in->peer->addr};
    struct stoq_message reply = {.type = STOQ_MSG_RESPONSE,
                                 .request_id = msg->request_id,
                                 .u.response = {.kind = STOQ_META_ACCEPTED}};
    engine_fetches_told(e, &msg->u.have.id, &source); /* what it lacks it says when it is asked */
    engine_send(
        e, &(struct stoq_node_send){.peer = in->peer->number, .stream = in->number, .msg = &reply});
}

/* ---- what others want to know ---- */

size_t engine_tell_sources(struct stoq_engine *e, const struct stoq_package_id *id,
                           struct stoq_fetch_source *out, size_t out_max)
{
    struct stoq_told_item list[STOQ_FETCH_SOURCES_MAX];
    size_t max = out_max < STOQ_COUNT(list) ? out_max : STOQ_COUNT(list);
    size_t n = 0;
    size_t count = e->tell != NULL ? stoq_told_of(e->tell->told, id, stoq_now(), list, max) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct peer *p = engine_peer_find(e, &list[i].peer);
        bool up = p != NULL && p->state == PEER_UP;
        if (up || list[i].has_addr) {
            out[n++] = (struct stoq_fetch_source){
                .peer = list[i].peer,
                .addr = list[i].has_addr ? stoq_addr_get(list[i].addr.b) : p->addr};
        }
    }
    return n;
}

static void take_counts(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_tell *out = arg;
    if (e->tell != NULL) {
        *out = e->tell->counts;
        out->on = true;
        out->kept = stoq_told_count(e->tell->told, stoq_now());
    }
}

void stoq_engine_tell(struct stoq_engine *e, struct stoq_engine_tell *out)
{
    *out = (struct stoq_engine_tell){.on = false};
    engine_call(e, take_counts, out);
}

struct tellers {
    const struct stoq_package_id *id;
    struct stoq_fetch_source *out;
    size_t max;
    size_t count;
};

static void take_tellers(struct stoq_engine *e, void *arg)
{
    struct tellers *c = arg;
    c->count = engine_tell_sources(e, c->id, c->out, c->max);
}

size_t stoq_engine_tellers(struct stoq_engine *e, const struct stoq_package_id *id,
                           struct stoq_fetch_source *out, size_t max)
{
    struct tellers c = {.id = id, .out = out, .max = max};
    engine_call(e, take_tellers, &c);
    return c.count;
}
