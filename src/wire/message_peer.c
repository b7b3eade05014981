/* About peers: Announce, PeerExchange, and the three of the DHT: FindNode, FindValue, Store. */
#include "wire/message_internal.h"

static bool contact_good(const struct stoq_signed *s, bool with_key)
{
    struct stoq_contact record;
    return stoq_contact_decode(s->body, &record) == STOQ_OK && record.has_key == with_key;
}

bool message_put_contact(struct stoq_cbor_wr *w, const struct stoq_signed *s, bool with_key)
{
    return contact_good(s, with_key) && message_put_signed(w, s);
}

void message_get_contact(struct stoq_cbor_rd *r, struct stoq_signed *s, bool with_key)
{
    message_get_signed(r, s);
    if (r->status == STOQ_OK && !contact_good(s, with_key)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

bool message_put_contacts(struct stoq_cbor_wr *w, const struct stoq_signed_list *list,
                          bool with_key, uint32_t max)
{
    struct stoq_span items = list->items;
    struct stoq_signed s;
    uint32_t count = 0;
    if (list->count > max) {
        return false;
    }
    stoq_cbor_put_array(w, list->count);
    while (stoq_signed_next(&items, &s)) {
        if (!message_put_contact(w, &s, with_key)) {
            return false;
        }
        count++;
    }
    return count == list->count && items.n == 0;
}

void message_get_contacts(struct stoq_cbor_rd *r, struct stoq_signed_list *list, bool with_key,
                          uint32_t max)
{
    struct stoq_signed s;
    uint64_t count = stoq_cbor_rd_array(r);
    const uint8_t *begin = r->p;
    if (count > max) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    for (uint64_t i = 0; i < count && r->status == STOQ_OK; i++) {
        message_get_contact(r, &s, with_key);
    }
    *list = (struct stoq_signed_list){(uint32_t)count, stoq_span(begin, (size_t)(r->p - begin))};
    stoq_cbor_rd_leave(r);
}

static bool put_announce(struct stoq_cbor_wr *w, const struct stoq_msg_announce *m)
{
    if (m->name.n < 1 || m->name.n > STOQ_ANNOUNCE_TEXT_MAX || m->version.n < 1 ||
        m->version.n > STOQ_ANNOUNCE_TEXT_MAX) {
        return false;
    }
    stoq_cbor_put_map(w, 5);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    stoq_cbor_put_uint(w, 2);
    stoq_cbor_put_text(w, m->name);
    stoq_cbor_put_uint(w, 3);
    stoq_cbor_put_text(w, m->version);
    stoq_cbor_put_uint(w, 4);
    stoq_cbor_put_uint(w, m->bytes);
    stoq_cbor_put_uint(w, 5);
    return message_put_contact(w, &m->record, true);
}

static void get_announce(struct stoq_cbor_rd *r, struct stoq_msg_announce *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->id.h = stoq_cbor_rd_hash(r);
            break;
        case 2:
            m->name = stoq_cbor_rd_text(r, 1, STOQ_ANNOUNCE_TEXT_MAX);
            break;
        case 3:
            m->version = stoq_cbor_rd_text(r, 1, STOQ_ANNOUNCE_TEXT_MAX);
            break;
        case 4:
            m->bytes = stoq_cbor_rd_uint(r);
            break;
        case 5:
            message_get_contact(r, &m->record, true);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 0x3e);
}

static bool put_peer_exchange(struct stoq_cbor_wr *w, const struct stoq_msg_peer_exchange *m)
{
    if (m->want > STOQ_EXCHANGE_PEERS_MAX) {
        return false;
    }
    stoq_cbor_put_map(w, 2);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_uint(w, m->want);
    stoq_cbor_put_uint(w, 2);
    return message_put_contacts(w, &m->peers, false, STOQ_EXCHANGE_PEERS_MAX);
}

static void get_peer_exchange(struct stoq_cbor_rd *r, struct stoq_msg_peer_exchange *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->want = (uint32_t)stoq_cbor_rd_uint_in(r, 0, STOQ_EXCHANGE_PEERS_MAX);
            break;
        case 2:
            message_get_contacts(r, &m->peers, false, STOQ_EXCHANGE_PEERS_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 0x06);
}

static bool put_find_node(struct stoq_cbor_wr *w, const struct stoq_msg_find_node *m)
{
    if (!m->is_answer) {
        stoq_cbor_put_map(w, 2);
        stoq_cbor_put_uint(w, 1);
        stoq_cbor_put_hash(w, &m->target);
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_uint(w, m->want);
        return m->want >= 1 && m->want <= STOQ_FIND_NEAR_MAX;
    }
    stoq_cbor_put_map(w, 1);
    stoq_cbor_put_uint(w, 3);
    return message_put_contacts(w, &m->near, false, STOQ_FIND_NEAR_MAX);
}

/* Either the request's keys or the answer's. */
static bool either(struct stoq_cbor_rd *r, const struct message_fields *f, uint32_t request,
                   uint32_t answer)
{
    bool is_answer = (f->seen & answer) != 0;
    if (f->seen != (is_answer ? answer : request)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    return is_answer;
}

static void get_find_node(struct stoq_cbor_rd *r, struct stoq_msg_find_node *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->target = stoq_cbor_rd_hash(r);
            break;
        case 2:
            m->want = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_FIND_NEAR_MAX);
            break;
        case 3:
            message_get_contacts(r, &m->near, false, STOQ_FIND_NEAR_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    m->is_answer = either(r, &f, 1u << 1 | 1u << 2, 1u << 3);
}

static bool put_find_value(struct stoq_cbor_wr *w, const struct stoq_msg_find_value *m)
{
    if (!m->is_answer) {
        stoq_cbor_put_map(w, 2);
        stoq_cbor_put_uint(w, 1);
        stoq_cbor_put_hash(w, &m->key);
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_uint(w, m->want);
        return m->want >= 1 && m->want <= STOQ_FIND_VALUES_MAX;
    }
    stoq_cbor_put_map(w, 2);
    stoq_cbor_put_uint(w, 3);
    if (!message_put_contacts(w, &m->near, false, STOQ_FIND_NEAR_MAX)) {
        return false;
    }
    stoq_cbor_put_uint(w, 4);
    return message_put_contacts(w, &m->values, true, STOQ_FIND_VALUES_MAX);
}

static void get_find_value(struct stoq_cbor_rd *r, struct stoq_msg_find_value *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->key = stoq_cbor_rd_hash(r);
            break;
        case 2:
            m->want = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_FIND_VALUES_MAX);
            break;
        case 3:
            message_get_contacts(r, &m->near, false, STOQ_FIND_NEAR_MAX);
            break;
        case 4:
            message_get_contacts(r, &m->values, true, STOQ_FIND_VALUES_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    m->is_answer = either(r, &f, 1u << 1 | 1u << 2, 1u << 3 | 1u << 4);
}

static bool put_store(struct stoq_cbor_wr *w, const struct stoq_msg_store *m)
{
    stoq_cbor_put_map(w, 1);
    if (m->is_answer) {
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_uint(w, m->ttl_s);
        return m->ttl_s >= 1 && m->ttl_s <= STOQ_CONTACT_TTL_MAX;
    }
    stoq_cbor_put_uint(w, 1);
    return message_put_contact(w, &m->record, true);
}

static void get_store(struct stoq_cbor_rd *r, struct stoq_msg_store *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            message_get_contact(r, &m->record, true);
            break;
        case 2:
            m->ttl_s = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_CONTACT_TTL_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    m->is_answer = either(r, &f, 1u << 1, 1u << 2);
}

bool message_put_peer(struct stoq_cbor_wr *w, const struct stoq_message *m)
{
    switch (m->type) {
    case STOQ_MSG_ANNOUNCE:
        return put_announce(w, &m->u.announce);
    case STOQ_MSG_PEER_EXCHANGE:
        return put_peer_exchange(w, &m->u.peer_exchange);
    case STOQ_MSG_FIND_NODE:
        return put_find_node(w, &m->u.find_node);
    case STOQ_MSG_FIND_VALUE:
        return put_find_value(w, &m->u.find_value);
    case STOQ_MSG_STORE:
        return put_store(w, &m->u.store);
    default:
        return false;
    }
}

bool message_get_peer(struct stoq_cbor_rd *r, struct stoq_message *m)
{
    switch (m->type) {
    case STOQ_MSG_ANNOUNCE:
        get_announce(r, &m->u.announce);
        return true;
    case STOQ_MSG_PEER_EXCHANGE:
        get_peer_exchange(r, &m->u.peer_exchange);
        return true;
    case STOQ_MSG_FIND_NODE:
        get_find_node(r, &m->u.find_node);
        return true;
    case STOQ_MSG_FIND_VALUE:
        get_find_value(r, &m->u.find_value);
        return true;
    case STOQ_MSG_STORE:
        get_store(r, &m->u.store);
        return true;
    default:
        return false;
    }
}
