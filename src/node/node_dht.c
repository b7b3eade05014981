/*
 * The DHT with its messages. A call of the core becomes a message to the address of its contact, with the
 * token that this contact gave us last; what comes back is checked record by record before the core sees
 * it, so the core knows only contacts whose id is earned and providers whose signature holds.
 */
#include "node/node_dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define ERRANDS_MAX 4096
#define JOIN_TIMEOUT (5 * STOQ_SEC)
#define PROVE_TIMEOUT (2 * STOQ_SEC)

void node_dht_tell(struct stoq_node_dht *nd, const struct stoq_dht_event *ev, stoq_ns now)
{
    enum stoq_status st = stoq_dht_feed(nd->core, ev, now);
    STOQ_ASSERT(st == STOQ_OK);
}

static enum stoq_status build(struct stoq_node_dht *nd)
{
    const struct stoq_node_dht_config *cfg = &nd->cfg;
    nd->peer = stoq_key_peer_id(cfg->key);
    nd->id = stoq_dht_node_id(&cfg->rules, &nd->peer, cfg->nonce);
    enum stoq_status st = stoq_dht_book_new(&nd->book, STOQ_NODE_DHT_CONTACTS_MAX, cfg->seed,
                                            node_dht_card_drop, NULL);
    if (st == STOQ_OK && !cfg->client && cfg->address_count > 0) {
        struct stoq_dht_about about = {.id = nd->id};
        st = stoq_dht_book_add(nd->book, &about, &nd->self);
    }
    struct stoq_dht_config core = {.book = nd->book,
                                   .id = nd->id,
                                   .self = nd->self,
                                   .peer = nd->peer,
                                   .seed = cfg->seed ^ 0xd47,
                                   .wall_s = cfg->wall_us / 1000000,
                                   .sweep_from = cfg->sweep_from,
                                   .shape = {.k = cfg->holders, .signed_s = cfg->signed_s}};
    return st == STOQ_OK ? stoq_dht_new(&nd->core, &core) : st;
}

enum stoq_status stoq_node_dht_new(struct stoq_node_dht **out,
                                   const struct stoq_node_dht_config *cfg, stoq_ns now)
{
    struct stoq_node_dht *nd = calloc(1, sizeof *nd);
    if (nd == NULL) {
        return STOQ_NOMEM;
    }
    nd->cfg = *cfg;
    if (cfg->rpc_key != NULL) {
        memcpy(nd->rpc_key.b, cfg->rpc_key, sizeof nd->rpc_key.b);
    }
    stoq_map_init(&nd->errands, cfg->seed + 9);
    stoq_buf_init(&nd->self_signed, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    stoq_buf_init(&nd->more, STOQ_FRAME_BYTES_MAX);
    enum stoq_status st = build(nd);
    if (st != STOQ_OK) {
        stoq_node_dht_free(nd);
        return st;
    }
    stoq_node_dht_clock(nd, cfg->wall_us, now);
    *out = nd;
    return STOQ_OK;
}

void stoq_node_dht_free(struct stoq_node_dht *nd)
{
    struct errand *e;
    size_t at = 0;
    if (nd == NULL) {
        return;
    }
    stoq_dht_free(nd->core);
    node_dht_stores_release(nd);
    while ((e = stoq_map_next(&nd->errands, &at)) != NULL) {
        node_dht_store_calls_free(e->stores);
        free(e);
    }
    stoq_map_release(&nd->errands);
    stoq_dht_book_free(nd->book);
    stoq_buf_release(&nd->self_signed);
    stoq_buf_release(&nd->more);
    free(nd);
}

struct stoq_dht *stoq_node_dht_core(struct stoq_node_dht *nd)
{
    return nd->core;
}

void stoq_node_dht_clock(struct stoq_node_dht *nd, uint64_t wall_us, stoq_ns now)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_CLOCK, .u.clock = {wall_us / 1000000}};
    nd->wall_us = wall_us;
    nd->wall_at = now;
    node_dht_tell(nd, &ev, now);
}

bool stoq_node_dht_who(const struct stoq_node_dht *nd, stoq_contact_no contact,
                       struct stoq_peer_id *peer, struct stoq_node_dht_addr *addr,
                       struct stoq_hash *id)
{
    const struct card *card =
        contact == 0 || contact == nd->self ? NULL : node_dht_card(nd, contact);
    if (card == NULL) {
        return false;
    }
    *peer = card->peer;
    *addr = card->addresses[card->at % card->address_count];
    *id = stoq_dht_book_get(nd->book, contact)->id;
    return true;
}

/* NULL: too many are on their way. */
struct errand *node_dht_errand_new(struct stoq_node_dht *nd, enum errand_kind kind)
{
    struct errand *e = nd->errands.count >= ERRANDS_MAX ? NULL : calloc(1, sizeof *e);
    uint64_t cookie = nd->last_cookie + 1;
    if (e == NULL || stoq_map_put(&nd->errands, (struct stoq_map_key){cookie, 0}, e) != STOQ_OK) {
        free(e);
        return NULL;
    }
    nd->last_cookie = cookie;
    e->kind = kind;
    e->cookie = cookie;
    return e;
}

void node_dht_errand_free(struct stoq_node_dht *nd, struct errand *e)
{
    (void)stoq_map_remove(&nd->errands, (struct stoq_map_key){e->cookie, 0});
    node_dht_store_calls_free(e->stores);
    stoq_dht_book_drop(nd->book, e->contact);
    free(e);
}

static struct stoq_signed self_signed(const struct stoq_node_dht *nd)
{
    struct stoq_span items = stoq_buf_span(&nd->self_signed);
    struct stoq_signed s = {{NULL, 0}, {NULL, 0}};
    (void)stoq_signed_next(&items, &s);
    return s;
}

static void find_message(struct stoq_node_dht *nd, bool value, const struct stoq_hash *target,
                         uint32_t want, uint32_t skip)
{
    struct stoq_find_page page = {.asker = self_signed(nd), .skip = skip};
    if (value) {
        nd->msg =
            (struct stoq_message){.type = STOQ_MSG_FIND_VALUE,
                                  .u.find_value = {.key = *target, .want = want, .page = page}};
    } else {
        nd->msg =
            (struct stoq_message){.type = STOQ_MSG_FIND_NODE,
                                  .u.find_node = {.target = *target, .want = want, .page = page}};
    }
}

static void call_message(struct stoq_node_dht *nd, const struct stoq_dht_call *c)
{
    if (c->ask == STOQ_DHT_PING) {
        nd->msg = (struct stoq_message){.type = STOQ_MSG_PING};
    } else {
        find_message(nd, c->ask == STOQ_DHT_FIND_VALUE, &c->target, c->want, c->skip);
    }
}

static void fail_call(struct stoq_node_dht *nd, uint64_t cookie, stoq_ns now)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REPLY,
                                .u.reply = {.cookie = cookie, .outcome = STOQ_DHT_SILENT}};
    node_dht_tell(nd, &ev, now);
}

void node_dht_lend_call(struct stoq_node_dht *nd, struct errand *e, stoq_ns resend_ns,
                        struct stoq_node_dht_action *out)
{
    nd->lent = *node_dht_card(nd, e->contact);
    e->tokens = nd->lent.tokens;
    out->kind = STOQ_NODE_DHT_CALL;
    out->u.call = (struct stoq_node_dht_call){
        .cookie = e->cookie,
        .peer = nd->lent.peer,
        .addr = nd->lent.addresses[nd->lent.at % nd->lent.address_count],
        .rpc_key = nd->lent.rpc_key.b,
        .token = nd->lent.has_token ? nd->lent.token : NULL,
        .msg = &nd->msg,
        .timeout_ns = STOQ_DHT_HARD,
        .resend_ns = resend_ns};
}

/* False: it is closed already, or goes with others. */
static bool send_call(struct stoq_node_dht *nd, const struct stoq_dht_call *c,
                      struct stoq_node_dht_action *out, stoq_ns now)
{
    const struct card *card = node_dht_card(nd, c->to);
    if ((c->ask == STOQ_DHT_RENEW && card->plain) || (c->ask == STOQ_DHT_PATCH && card->whole)) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_REPLY, .u.reply = {.cookie = c->cookie}};
        node_dht_tell(nd, &ev, now); /* it keeps none by that */
        return false;
    }
    if (c->ask == STOQ_DHT_STORE || c->ask == STOQ_DHT_RENEW || c->ask == STOQ_DHT_PATCH) {
        if (!node_dht_gather(nd, c, now)) {
            fail_call(nd, c->cookie, now);
        }
        return false;
    }
    struct errand *e = node_dht_errand_new(nd, ERRAND_CALL);
    if (e == NULL) {
        fail_call(nd, c->cookie, now);
        return false;
    }
    e->core_cookie = c->cookie;
    e->contact = c->to;
    stoq_dht_book_hold(nd->book, c->to);
    node_dht_renew_self(nd, now);
    call_message(nd, c);
    node_dht_lend_call(nd, e, c->resend_ns, out);
    return true;
}

static void feed_checked(struct stoq_node_dht *nd, uint64_t cookie, bool good, stoq_ns now)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_CHECKED, .u.checked = {cookie, good}};
    node_dht_tell(nd, &ev, now);
}

/* A Ping to where the record says that its signer is. */
static bool send_prove(struct stoq_node_dht *nd, const struct stoq_dht_check *c,
                       struct stoq_node_dht_action *out, stoq_ns now)
{
    struct stoq_signed s = node_dht_record_parts(c->record);
    struct stoq_contact rec;
    struct stoq_node_dht_addr addr;
    struct errand *e = NULL;
    if (stoq_contact_decode(s.body, &rec) == STOQ_OK && rec.has_rpc_key &&
        node_dht_ping_address(nd, rec.addresses, &addr)) {
        e = node_dht_errand_new(nd, ERRAND_PROVE);
    }
    if (e == NULL) {
        feed_checked(nd, c->cookie, false, now);
        return false;
    }
    e->core_cookie = c->cookie;
    nd->lent.peer = c->record->publisher;
    nd->lent.rpc_key = rec.rpc_key;
    nd->msg = (struct stoq_message){.type = STOQ_MSG_PING};
    out->kind = STOQ_NODE_DHT_CALL;
    out->u.call = (struct stoq_node_dht_call){.cookie = e->cookie,
                                              .peer = nd->lent.peer,
                                              .addr = addr,
                                              .rpc_key = nd->lent.rpc_key.b,
                                              .at_addr = true,
                                              .msg = &nd->msg,
                                              .timeout_ns = PROVE_TIMEOUT,
                                              .resend_ns = STOQ_DHT_RESEND};
    return true;
}

void stoq_node_dht_join(struct stoq_node_dht *nd, const struct stoq_peer_id *peer,
                        const struct stoq_node_dht_addr *addr, stoq_ns now)
{
    struct errand *e =
        nd->join_count == STOQ_COUNT(nd->joins) || stoq_hash_eq(&peer->h, &nd->peer.h)
            ? NULL
            : node_dht_errand_new(nd, ERRAND_JOIN);
    (void)now;
    if (e != NULL) {
        e->peer = *peer;
        nd->joins[nd->join_count++] = (struct stoq_node_dht_call){
            .cookie = e->cookie, .peer = *peer, .addr = *addr, .timeout_ns = JOIN_TIMEOUT};
    }
}

static void send_join(struct stoq_node_dht *nd, struct stoq_node_dht_action *out, stoq_ns now)
{
    out->kind = STOQ_NODE_DHT_CALL;
    out->u.call = nd->joins[--nd->join_count];
    node_dht_renew_self(nd, now);
    find_message(nd, false, &out->u.call.peer.h, STOQ_FIND_NEAR_MAX, 0);
    out->u.call.msg = &nd->msg;
}

static bool tell_found(struct stoq_node_dht *nd, const struct stoq_dht_found *f,
                       struct stoq_node_dht_action *out)
{
    struct stoq_signed s = node_dht_record_parts(f->record);
    struct stoq_contact rec;
    if (stoq_contact_decode(s.body, &rec) != STOQ_OK) {
        return false;
    }
    memcpy(nd->found, rec.addresses.p, rec.addresses.n);
    out->kind = STOQ_NODE_DHT_FOUND;
    out->u.found = (struct stoq_node_dht_found){
        .look = f->look,
        .peer = f->record->publisher,
        .addresses = nd->found,
        .address_count = (uint32_t)(rec.addresses.n / STOQ_CONTACT_ADDRESS_BYTES),
        .sequence = rec.sequence,
        .issued_at_s = rec.issued_at_s,
        .ttl_s = rec.ttl_s,
        .value = rec.value};
    return true;
}

static void make(struct stoq_node_dht *nd, const struct stoq_dht_make *ask, stoq_ns now)
{
    bool likewise;
    struct stoq_dht_record *r = node_dht_make(nd, ask, &likewise, now);
    struct stoq_dht_event ev = {.kind = STOQ_DHT_MADE, .u.made = {ask->cookie, r, likewise}};
    node_dht_tell(nd, &ev, now);
    stoq_dht_record_drop(r);
}

bool node_dht_act(struct stoq_node_dht *nd, const struct stoq_dht_action *a,
                  struct stoq_node_dht_action *out, stoq_ns now)
{
    switch (a->kind) {
    case STOQ_DHT_CALL:
        return send_call(nd, &a->u.call, out, now);
    case STOQ_DHT_PROVE:
        return send_prove(nd, &a->u.check, out, now);
    case STOQ_DHT_CHECK:
        feed_checked(nd, a->u.check.cookie,
                     a->u.check.renewal != NULL ? node_dht_renewal_signed(a->u.check.renewal)
                                                : node_dht_record_signed(a->u.check.record),
                     now);
        return false;
    case STOQ_DHT_ANSWER:
        if (nd->request != NULL) {
            node_dht_put_answer(nd, &a->u.answer);
        }
        return false;
    case STOQ_DHT_MAKE:
        make(nd, &a->u.make, now);
        return false;
    case STOQ_DHT_FOUND:
        return tell_found(nd, &a->u.found, out);
    case STOQ_DHT_TRACE:
        out->kind = STOQ_NODE_DHT_TRACE;
        out->u.trace = a->u.trace;
        return true;
    case STOQ_DHT_LOOKED:
        out->kind = STOQ_NODE_DHT_LOOKED;
        out->u.looked = a->u.looked;
        return true;
    case STOQ_DHT_ANNOUNCED:
        out->kind = STOQ_NODE_DHT_ANNOUNCED;
        out->u.announced = a->u.announced;
        return true;
    }
    return false;
}

bool stoq_node_dht_poll(struct stoq_node_dht *nd, stoq_ns now, struct stoq_node_dht_action *out)
{
    struct stoq_dht_action a;
    if (nd->join_count > 0) {
        send_join(nd, out, now);
        return true;
    }
    while (stoq_dht_poll(nd->core, now, &a)) {
        if (node_dht_act(nd, &a, out, now)) {
            return true;
        }
    }
    return node_dht_send_stores(nd, out, now);
}

stoq_ns stoq_node_dht_deadline(const struct stoq_node_dht *nd)
{
    stoq_ns core = stoq_dht_deadline(nd->core);
    stoq_ns stores = node_dht_stores_deadline(nd);
    return nd->join_count > 0 ? 0 : core < stores ? core : stores;
}

/* ---- replies ---- */

struct reply_lists {
    stoq_contact_no contacts[STOQ_FIND_NEAR_MAX];
    struct stoq_dht_record *records[STOQ_FIND_VALUES_MAX];
};

static enum stoq_dht_outcome outcome_of(enum stoq_status status, const struct stoq_message *m)
{
    if (status == STOQ_MALFORMED) {
        return STOQ_DHT_BROKEN;
    }
    if (status != STOQ_OK) {
        return STOQ_DHT_SILENT;
    }
    if (m->type != STOQ_MSG_ERROR) {
        return STOQ_DHT_DONE;
    }
    switch (m->u.error.code) {
    case STOQ_ERR_BUSY:
        return STOQ_DHT_BUSY;
    case STOQ_ERR_STALE:
        return STOQ_DHT_STALE;
    case STOQ_ERR_SIGNATURE_REJECTED:
        return STOQ_DHT_REJECTED;
    default:
        return STOQ_DHT_REFUSED;
    }
}

static void read_near(struct stoq_node_dht *nd, struct stoq_span items, struct reply_lists *lists,
                      struct stoq_dht_reply *out, stoq_ns now)
{
    struct stoq_signed s;
    while (stoq_signed_next(&items, &s) && out->contact_count < STOQ_FIND_NEAR_MAX) {
        stoq_contact_no no = node_dht_contact(nd, &s, now);
        if (no != 0) { /* others are of no use to us, which need not be a fault */
            lists->contacts[out->contact_count++] = no;
        }
    }
}

static void read_values(struct stoq_span items, struct reply_lists *lists,
                        struct stoq_dht_reply *out)
{
    struct stoq_signed s;
    while (stoq_signed_next(&items, &s) && out->record_count < STOQ_FIND_VALUES_MAX) {
        struct stoq_dht_record *r = node_dht_record(&s);
        if (r != NULL && node_dht_record_signed(r)) {
            lists->records[out->record_count++] = r;
        } else {
            out->bad_count++; /* whoever keeps records checks them first */
            stoq_dht_record_drop(r);
        }
    }
}

static void read_reply(struct stoq_node_dht *nd, const struct stoq_message *m,
                       struct reply_lists *lists, struct stoq_dht_reply *out, stoq_ns now)
{
    if (m->type == STOQ_MSG_FIND_NODE && m->u.find_node.is_answer) {
        read_near(nd, m->u.find_node.near.items, lists, out, now);
        out->more = m->u.find_node.page.more;
    } else if (m->type == STOQ_MSG_FIND_VALUE && m->u.find_value.is_answer) {
        read_near(nd, m->u.find_value.near.items, lists, out, now);
        read_values(m->u.find_value.values.items, lists, out);
        out->more = m->u.find_value.page.more;
    }
}

/* The way in has answered: its own record comes first, and it is there. */
static void joined(struct stoq_node_dht *nd, const struct errand *e,
                   const struct reply_lists *lists, const struct stoq_dht_reply *reply, stoq_ns now)
{
    for (uint32_t i = 0; i < reply->contact_count; i++) {
        struct stoq_peer_id peer;
        struct stoq_node_dht_addr addr;
        struct stoq_hash id;
        struct stoq_dht_event ev = {.kind = STOQ_DHT_HINT,
                                    .u.met = {.contact = lists->contacts[i]}};
        if (!stoq_node_dht_who(nd, lists->contacts[i], &peer, &addr, &id)) {
            continue;
        }
        if (stoq_hash_eq(&peer.h, &e->peer.h)) {
            ev.kind = STOQ_DHT_MET;
            ev.u.met.rtt_ns = reply->rtt_ns;
        }
        node_dht_tell(nd, &ev, now);
    }
}

static void note_way(struct stoq_node_dht *nd, const struct errand *e, enum stoq_status status,
                     const uint8_t *token)
{
    struct card *card = e->contact == 0 ? NULL : node_dht_card(nd, e->contact);
    if (card == NULL) {
        return;
    }
    if (token != NULL &&
        (!card->has_token || memcmp(card->token, token, sizeof card->token) != 0)) {
        memcpy(card->token, token, sizeof card->token);
        card->has_token = true;
        card->tokens++;
    }
    if (status != STOQ_OK) {
        card->at = (card->at + 1) % card->address_count;
    }
}

void stoq_node_dht_replied(struct stoq_node_dht *nd, uint64_t cookie, enum stoq_status status,
                           const struct stoq_message *reply, const uint8_t *token, stoq_ns rtt_ns,
                           stoq_ns now)
{
    struct errand *e = stoq_map_get(&nd->errands, (struct stoq_map_key){cookie, 0});
    struct reply_lists lists = {.contacts = {0}};
    if (e == NULL) {
        return;
    }
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REPLY};
    struct stoq_dht_reply *out = &ev.u.reply;
    *out = (struct stoq_dht_reply){.cookie = e->core_cookie,
                                   .outcome = outcome_of(status, reply),
                                   .contacts = lists.contacts,
                                   .records = lists.records,
                                   .rtt_ns = rtt_ns};
    note_way(nd, e, status, token);
    if (out->outcome == STOQ_DHT_DONE) {
        read_reply(nd, reply, &lists, out, now);
    }
    if (e->kind == ERRAND_CALL) {
        node_dht_tell(nd, &ev, now);
    } else if (e->kind == ERRAND_STORES) {
        node_dht_stores_replied(nd, e, out, reply, now);
    } else if (e->kind == ERRAND_PROVE) {
        feed_checked(nd, e->core_cookie, out->outcome == STOQ_DHT_DONE, now);
    } else {
        joined(nd, e, &lists, out, now);
    }
    for (uint32_t i = 0; i < out->contact_count; i++) {
        stoq_dht_book_drop(nd->book, lists.contacts[i]);
    }
    for (uint32_t i = 0; i < out->record_count; i++) {
        stoq_dht_record_drop(lists.records[i]);
    }
    node_dht_errand_free(nd, e);
}
