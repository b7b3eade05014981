/*
 * Stores. What the core wants to leave with one contact is gathered for a moment and travels together, as
 * much of it as a datagram holds: keys next to each other have the same holders, so a daemon with many
 * packages sends one message where it would send five, and half the bytes. A holder gets one of them in
 * STORES_EVERY at most, however many records there are: it answers strangers at a bounded rate
 * (docs/PROTOCOL.md section 11), and a catalogue is not what that is for. Renewals and patches take their
 * turn among them.
 *
 * A token may be over by the time that it is shown: many stores wait for their turn, and a holder that began
 * anew knows none of before. Its refusal brings one that is good, and what it has refused goes once more.
 */
#include "node/node_dht_internal.h"

#include <stdlib.h>

#define GATHER (5 * STOQ_MS)
#define STORES_EVERY (10 * STOQ_MS)
#define STORES_ROOM 1088 /* for records: a datagram's message without its other keys */

struct parcel {
    struct parcel *next;
    stoq_contact_no contact; /* held */
    stoq_ns ready_at;
    size_t bytes;
    struct store_call *first;
    struct store_call **last;
};

static struct parcel *parcel_for(struct stoq_node_dht *nd, stoq_contact_no contact, stoq_ns now)
{
    struct parcel **at = &nd->parcels;
    while (*at != NULL && (*at)->contact != contact) {
        at = &(*at)->next;
    }
    if (*at == NULL && (*at = calloc(1, sizeof **at)) != NULL) {
        stoq_ns free_at = node_dht_card(nd, contact)->stores_at;
        **at = (struct parcel){.contact = contact,
                               .ready_at = free_at > now + GATHER ? free_at : now + GATHER,
                               .last = &(*at)->first};
        stoq_dht_book_hold(nd->book, contact);
    }
    return *at;
}

bool node_dht_gather(struct stoq_node_dht *nd, const struct stoq_dht_call *c, stoq_ns now)
{
    struct store_call *call = calloc(1, sizeof *call);
    struct parcel *p = call == NULL ? NULL : parcel_for(nd, c->to, now);
    if (p == NULL) {
        free(call);
        return false;
    }
    call->core_cookie = c->cookie;
    call->resend_ns = c->resend_ns;
    *p->last = call;
    p->last = &call->next;
    if (c->renewal != NULL) {
        call->renewal = stoq_dht_renewal_hold(c->renewal);
    } else if (c->patch != NULL) {
        call->patch = stoq_dht_patch_hold(c->patch);
    } else {
        call->record = stoq_dht_record_hold(c->record);
        p->bytes += c->record->n;
    }
    return true;
}

void node_dht_store_calls_free(struct store_call *first)
{
    while (first != NULL) {
        struct store_call *next = first->next;
        stoq_dht_record_drop(first->record);
        stoq_dht_renewal_drop(first->renewal);
        stoq_dht_patch_drop(first->patch);
        free(first);
        first = next;
    }
}

/* So many of the first as go in one message, one at least. The rest stays. */
static struct store_call *take(struct parcel *p)
{
    struct store_call *first = p->first;
    struct store_call *last = first;
    size_t bytes = first->record == NULL ? STORES_ROOM : first->record->n;
    p->bytes -= first->record == NULL ? 0 : bytes;
    for (uint32_t n = 1; last->next != NULL && n < STOQ_STORE_RECORDS_MAX; n++) {
        if (last->next->record == NULL || last->next->again != first->again ||
            bytes + last->next->record->n > STORES_ROOM) {
            break;
        }
        last = last->next;
        bytes += last->record->n;
        p->bytes -= last->record->n;
    }
    p->first = last->next;
    p->last = p->first == NULL ? &p->first : p->last;
    last->next = NULL;
    return first;
}

static bool whole_message(struct stoq_node_dht *nd, const struct store_call *first)
{
    struct stoq_msg_store *m = &nd->msg.u.store;
    nd->msg = (struct stoq_message){.type = STOQ_MSG_STORE};
    m->record = node_dht_record_parts(first->record);
    stoq_buf_clear(&nd->more);
    for (const struct store_call *c = first->next; c != NULL; c = c->next) {
        if (stoq_buf_add(&nd->more, stoq_span(c->record->bytes, c->record->n)) != STOQ_OK) {
            return false;
        }
        m->more.count++;
    }
    m->more.items = stoq_buf_span(&nd->more);
    return true;
}

/* What goes in one message. */
static bool message(struct stoq_node_dht *nd, stoq_contact_no to, const struct store_call *first)
{
    if (first->renewal != NULL) {
        return node_dht_renew_message(nd, to, first->renewal);
    }
    return first->patch != NULL ? node_dht_patch_message(nd, first->patch)
                                : whole_message(nd, first);
}

static void tell_stored(struct stoq_node_dht *nd, const struct store_call *c,
                        const struct stoq_dht_reply *how, stoq_ns now)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REPLY, .u.reply = *how};
    ev.u.reply.cookie = c->core_cookie;
    node_dht_tell(nd, &ev, now);
}

static bool is_refusal(const struct stoq_message *reply)
{
    return reply != NULL && reply->type == STOQ_MSG_ERROR &&
           reply->u.error.code == STOQ_ERR_REFUSED;
}

/* Before what waits for this holder. False: it has gone twice, or its token was the last, or no memory. */
static bool send_again(struct stoq_node_dht *nd, struct errand *e, stoq_ns now)
{
    struct store_call **last = &e->stores;
    bool was_old = !e->stores->again && e->tokens != node_dht_card(nd, e->contact)->tokens;
    struct parcel *p = was_old ? parcel_for(nd, e->contact, now) : NULL;
    if (p == NULL) {
        return false;
    }
    while (*last != NULL) {
        (*last)->again = true;
        p->bytes += (*last)->record == NULL ? 0 : (*last)->record->n;
        last = &(*last)->next;
    }
    *last = p->first;
    p->last = p->first == NULL ? last : p->last;
    p->first = e->stores;
    e->stores = NULL;
    return true;
}

void node_dht_stores_replied(struct stoq_node_dht *nd, struct errand *e,
                             const struct stoq_dht_reply *how, const struct stoq_message *reply,
                             stoq_ns now)
{
    const struct stoq_msg_store *m = NULL;
    struct stoq_dht_reply each = *how;
    uint32_t count = 0;
    uint32_t i = 0;
    if (is_refusal(reply) && send_again(nd, e, now)) {
        return;
    }
    if (e->stores->renewal != NULL) {
        node_dht_renew_reply(nd, e->contact, e->stores->renewal, reply, &each);
        tell_stored(nd, e->stores, &each, now);
        return;
    }
    if (e->stores->patch != NULL) {
        node_dht_patch_reply(nd, e->contact, e->stores->patch, reply, &each);
        tell_stored(nd, e->stores, &each, now);
        return;
    }
    for (const struct store_call *c = e->stores; c != NULL; c = c->next) {
        count++;
    }
    if (each.outcome == STOQ_DHT_DONE) {
        m = reply->type == STOQ_MSG_STORE && reply->u.store.is_answer ? &reply->u.store : NULL;
        m = m != NULL && m->kept_count == (count > 1 ? count : 0) ? m : NULL;
        each.outcome = m == NULL ? STOQ_DHT_BROKEN : STOQ_DHT_DONE;
    }
    for (const struct store_call *c = e->stores; c != NULL; c = c->next, i++) {
        if (m != NULL) {
            each.ttl_s = count > 1 ? m->kept_s[i] : m->ttl_s;
            each.outcome = each.ttl_s > 0 ? STOQ_DHT_DONE : STOQ_DHT_BUSY;
        }
        tell_stored(nd, c, &each, now);
        each.rtt_ns = 0;
    }
}

static void parcel_free(struct stoq_node_dht *nd, struct parcel *p)
{
    struct parcel **at = &nd->parcels;
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    node_dht_store_calls_free(p->first);
    stoq_dht_book_drop(nd->book, p->contact);
    free(p);
}

/* It waits for no more: its time has come, or it is full and its holder has had no other just now. */
static stoq_ns ready_at(const struct stoq_node_dht *nd, const struct parcel *p)
{
    return p->bytes < STORES_ROOM ? p->ready_at : node_dht_card(nd, p->contact)->stores_at;
}

bool node_dht_send_stores(struct stoq_node_dht *nd, struct stoq_node_dht_action *out, stoq_ns now)
{
    struct parcel *p = nd->parcels;
    while (p != NULL && ready_at(nd, p) > now) {
        p = p->next;
    }
    if (p == NULL) {
        return false;
    }
    struct store_call *first = take(p);
    struct errand *e = node_dht_errand_new(nd, ERRAND_STORES);
    bool sent = e != NULL && message(nd, p->contact, first);
    if (e != NULL) {
        e->stores = first; /* taken */
        e->contact = p->contact;
        stoq_dht_book_hold(nd->book, p->contact);
    }
    if (sent) {
        node_dht_lend_call(nd, e, first->resend_ns, out);
    } else {
        struct stoq_dht_reply how = {.outcome = STOQ_DHT_SILENT};
        for (const struct store_call *c = first; c != NULL; c = c->next) {
            tell_stored(nd, c, &how, now);
        }
        if (e != NULL) {
            node_dht_errand_free(nd, e);
        } else {
            node_dht_store_calls_free(first);
        }
    }
    p->ready_at = now + STORES_EVERY;
    node_dht_card(nd, p->contact)->stores_at = p->ready_at;
    if (p->first == NULL) {
        parcel_free(nd, p);
    }
    return sent;
}

stoq_ns node_dht_stores_deadline(const struct stoq_node_dht *nd)
{
    stoq_ns at = STOQ_NEVER;
    for (const struct parcel *p = nd->parcels; p != NULL; p = p->next) {
        stoq_ns its = ready_at(nd, p);
        at = its < at ? its : at;
    }
    return at;
}

void node_dht_stores_release(struct stoq_node_dht *nd)
{
    while (nd->parcels != NULL) {
        parcel_free(nd, nd->parcels);
    }
}
