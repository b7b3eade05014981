/*
 * What is answered to others, at once: whatever the core wants checked for that is checked in the same
 * call. A Store is answered when the core has seen each of its records, and a Patch likewise.
 */
#include "node/node_dht_internal.h"

#define ANSWER_HEAD 32 /* bytes of an answer beside its records */

static enum stoq_error_code code_of(enum stoq_dht_outcome outcome)
{
    switch (outcome) {
    case STOQ_DHT_BUSY:
        return STOQ_ERR_BUSY;
    case STOQ_DHT_STALE:
        return STOQ_ERR_STALE;
    case STOQ_DHT_REJECTED:
        return STOQ_ERR_SIGNATURE_REJECTED;
    default:
        return STOQ_ERR_REFUSED;
    }
}

static bool add_item(struct stoq_buf *items, struct stoq_span item, size_t room, uint32_t *count)
{
    if (items->n + item.n > room || stoq_buf_add(items, item) != STOQ_OK) {
        return false;
    }
    (*count)++;
    return true;
}

/* The contacts of an answer that fit; the rest is said to be there. */
static uint32_t add_contacts(struct stoq_node_dht *nd, const struct stoq_dht_answer *a,
                             struct stoq_buf *items, size_t room, bool *more)
{
    uint32_t count = 0;
    const struct stoq_message *q = nd->request;
    if (q->type == STOQ_MSG_FIND_NODE && nd->self_signed.n > 0 &&
        stoq_hash_eq(&q->u.find_node.target, &nd->peer.h)) {
        (void)add_item(items, stoq_buf_span(&nd->self_signed), room, &count);
    }
    for (uint32_t i = 0; i < a->contact_count && count < STOQ_FIND_NEAR_MAX; i++) {
        const struct card *card = node_dht_card(nd, a->contacts[i]);
        if (!add_item(items, stoq_span(card->signed_bytes, card->signed_n), room, &count)) {
            *more = true;
            break;
        }
    }
    return count;
}

static void put_find(struct stoq_node_dht *nd, const struct stoq_dht_answer *a)
{
    struct stoq_buf near;
    struct stoq_buf values;
    size_t room = nd->answer_room > ANSWER_HEAD ? nd->answer_room - ANSWER_HEAD : 0;
    bool more = a->more;
    bool cut = false;
    uint32_t value_count = 0;
    struct stoq_message m = {.type = nd->request->type, .request_id = nd->request->request_id};
    stoq_buf_init(&near, STOQ_FRAME_BYTES_MAX);
    stoq_buf_init(&values, STOQ_FRAME_BYTES_MAX);
    for (uint32_t i = 0; i < a->record_count; i++) {
        struct stoq_span item = stoq_span(a->records[i]->bytes, a->records[i]->n);
        if (!add_item(&values, item, room, &value_count)) {
            more = true;
            break;
        }
    }
    uint32_t near_count = add_contacts(nd, a, &near, room - values.n, &cut);
    more = more || (cut && value_count == 0);
    struct stoq_signed_list near_list = {near_count, stoq_buf_span(&near)};
    if (m.type == STOQ_MSG_FIND_NODE) {
        m.u.find_node = (struct stoq_msg_find_node){
            .is_answer = true, .near = near_list, .page = {.more = more}};
    } else {
        m.u.find_value =
            (struct stoq_msg_find_value){.is_answer = true,
                                         .values = {value_count, stoq_buf_span(&values)},
                                         .near = near_list,
                                         .page = {.more = more}};
    }
    nd->answer_status = stoq_message_encode(&m, nd->answer);
    stoq_buf_release(&near);
    stoq_buf_release(&values);
}

struct stoq_message node_dht_refusal(const struct stoq_message *request,
                                     enum stoq_dht_outcome outcome)
{
    return (struct stoq_message){.type = STOQ_MSG_ERROR,
                                 .request_id = request->request_id,
                                 .u.error.code = code_of(outcome)};
}

void node_dht_put_answer(struct stoq_node_dht *nd, const struct stoq_dht_answer *a)
{
    struct stoq_message m = {.type = nd->request->type, .request_id = nd->request->request_id};
    if (m.type == STOQ_MSG_STORE || m.type == STOQ_MSG_PATCH) {
        /* There may be more of them: answered when all are seen to. */
        nd->stored = a->outcome;
        nd->stored_ttl_s = a->ttl_s;
        nd->answer_status = STOQ_OK;
        return;
    }
    if (a->outcome != STOQ_DHT_DONE) {
        m = node_dht_refusal(nd->request, a->outcome);
    } else if (m.type == STOQ_MSG_RENEW) {
        m.u.renew = (struct stoq_msg_renew){.is_answer = true, .kept = {a->kept, a->kept_count}};
    } else if (m.type != STOQ_MSG_PING) {
        put_find(nd, a);
        return;
    }
    nd->answer_status = stoq_message_encode(&m, nd->answer);
}

/* The request as the core has it; false: not one of the DHT's. */
static bool read_request(struct stoq_node_dht *nd, const struct stoq_message *m,
                         const struct stoq_node_dht_from *from, struct stoq_dht_request *out,
                         stoq_ns now)
{
    const struct stoq_find_page *page = NULL;
    *out = (struct stoq_dht_request){.request = 1, .proven = from->peer != NULL || from->proven};
    if (m->type == STOQ_MSG_PING) {
        out->ask = STOQ_DHT_PING;
    } else if (m->type == STOQ_MSG_FIND_NODE && !m->u.find_node.is_answer) {
        out->ask = STOQ_DHT_FIND_NODE;
        out->target = m->u.find_node.target;
        out->want = m->u.find_node.want;
        page = &m->u.find_node.page;
    } else if (m->type == STOQ_MSG_FIND_VALUE && !m->u.find_value.is_answer) {
        out->ask = STOQ_DHT_FIND_VALUE;
        out->target = m->u.find_value.key;
        out->want = m->u.find_value.want;
        page = &m->u.find_value.page;
    } else {
        return false;
    }
    if (page != NULL) {
        out->skip = page->skip;
        out->sender = page->asker.body.n > 0 ? node_dht_contact(nd, &page->asker, now) : 0;
    }
    return true;
}

/* The core's answer is made when this returns, unless there is no memory for it. */
static void ask_core(struct stoq_node_dht *nd, const struct stoq_dht_event *ev, stoq_ns now)
{
    struct stoq_dht_action a;
    nd->answer_status = STOQ_FULL;
    node_dht_tell(nd, ev, now);
    while (nd->answer_status == STOQ_FULL && stoq_dht_poll_answer(nd->core, &a)) {
        struct stoq_node_dht_action ignored;
        (void)node_dht_act(nd, &a, &ignored, now);
    }
}

/* Does whoever sends it show, by being where it is, that the record's addresses are its publisher's? Else the
 * publisher is pinged there first: a key says who somebody is, not where. What names no address has nothing
 * to show. */
static bool is_at_home(const struct stoq_dht_record *r, const struct stoq_node_dht_from *from)
{
    bool is_publisher = from->peer == NULL || stoq_hash_eq(&from->peer->h, &r->publisher.h);
    return r->withdrawn || (is_publisher && node_dht_names_address(r, &from->addr));
}

void node_dht_offer(struct stoq_node_dht *nd, const struct stoq_signed *s,
                    const struct stoq_node_dht_from *from, bool patched, stoq_ns now)
{
    struct stoq_dht_record *r = node_dht_record(s);
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    nd->stored = STOQ_DHT_BUSY;
    if (r == NULL) {
        return;
    }
    ev.u.request = (struct stoq_dht_request){.request = 1,
                                             .ask = STOQ_DHT_STORE,
                                             .record = r,
                                             .proven = from->peer != NULL || from->proven,
                                             .own = is_at_home(r, from),
                                             .patched = patched};
    ask_core(nd, &ev, now);
    stoq_dht_record_drop(r);
}

static enum stoq_status answer_store(struct stoq_node_dht *nd, const struct stoq_message *request,
                                     const struct stoq_node_dht_from *from, stoq_ns now)
{
    struct stoq_message m = {.type = STOQ_MSG_STORE, .request_id = request->request_id};
    struct stoq_msg_store *out = &m.u.store;
    struct stoq_signed s = request->u.store.record;
    struct stoq_span more = request->u.store.more.items;
    uint32_t count = 1 + request->u.store.more.count;
    uint32_t n = 0;
    do {
        node_dht_offer(nd, &s, from, false, now);
        out->kept_s[n++] = nd->stored == STOQ_DHT_DONE ? nd->stored_ttl_s : 0;
        /* A forged one costs a signature check; whoever sends it gets no second one out of this message. */
    } while (nd->stored != STOQ_DHT_REJECTED && stoq_signed_next(&more, &s));
    out->is_answer = true;
    out->ttl_s = out->kept_s[0];
    out->kept_count = count > 1 ? count : 0;
    if (nd->stored == STOQ_DHT_REFUSED || (count == 1 && nd->stored != STOQ_DHT_DONE)) {
        m = node_dht_refusal(request, nd->stored); /* of all of them, or of the one */
    }
    return stoq_message_encode(&m, nd->answer);
}

static enum stoq_status answer_renew(struct stoq_node_dht *nd, const struct stoq_message *request,
                                     const struct stoq_node_dht_from *from, stoq_ns now)
{
    bool to_us = false;
    struct stoq_dht_renewal *r = node_dht_renewal(nd, &request->u.renew.renewal, &to_us);
    if (r == NULL) {
        return STOQ_NOMEM;
    }
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST,
                                .u.request = {.request = 1,
                                              .ask = STOQ_DHT_RENEW,
                                              .renewal = r,
                                              .proven = from->peer != NULL || from->proven,
                                              .own = to_us}};
    ask_core(nd, &ev, now);
    stoq_dht_renewal_drop(r);
    return nd->answer_status;
}

static enum stoq_status answer_other(struct stoq_node_dht *nd, const struct stoq_message *request,
                                     const struct stoq_node_dht_from *from, stoq_ns now)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    if (!read_request(nd, request, from, &ev.u.request, now)) {
        return STOQ_FULL;
    }
    ask_core(nd, &ev, now);
    stoq_dht_book_drop(nd->book, ev.u.request.sender);
    return nd->answer_status;
}

enum stoq_status stoq_node_dht_answer(struct stoq_node_dht *nd, const struct stoq_message *request,
                                      const struct stoq_node_dht_from *from, struct stoq_buf *out,
                                      stoq_ns now)
{
    bool store = request->type == STOQ_MSG_STORE && !request->u.store.is_answer;
    nd->request = request;
    nd->answer = out;
    nd->answer_room = from->room;
    node_dht_renew_self(nd, now);
    bool renew = request->type == STOQ_MSG_RENEW && !request->u.renew.is_answer;
    bool patch = request->type == STOQ_MSG_PATCH && !request->u.patch.is_answer;
    enum stoq_status st = store   ? answer_store(nd, request, from, now)
                          : renew ? answer_renew(nd, request, from, now)
                          : patch ? node_dht_answer_patch(nd, request, from, now)
                                  : answer_other(nd, request, from, now);
    nd->request = NULL;
    return st;
}
