/* About peers: Announce, PeerExchange, and the five of the DHT: FindNode, FindValue, Store, Renew, Patch. */
#include "wire/message_internal.h"

/* A location record has the key that it is about, a contact record none. */
static bool record_good(const struct stoq_signed *s, bool has_key)
{
    struct stoq_contact record;
    return stoq_contact_decode(s->body, &record) == STOQ_OK && record.has_key == has_key;
}

static bool put_record(struct stoq_cbor_wr *w, const struct stoq_signed *s, bool has_key)
{
    return record_good(s, has_key) && message_put_signed(w, s);
}

static void get_record(struct stoq_cbor_rd *r, struct stoq_signed *s, bool has_key)
{
    message_get_signed(r, s);
    if (r->status == STOQ_OK && !record_good(s, has_key)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static bool put_records(struct stoq_cbor_wr *w, const struct stoq_signed_list *list, uint64_t max,
                        bool has_key)
{
    struct stoq_span items = list->items;
    struct stoq_signed s;
    uint32_t count = 0;
    if (list->count > max) {
        return false;
    }
    stoq_cbor_put_array(w, list->count);
    while (stoq_signed_next(&items, &s)) {
        if (!put_record(w, &s, has_key)) {
            return false;
        }
        count++;
    }
    return count == list->count && items.n == 0;
}

static void get_records(struct stoq_cbor_rd *r, struct stoq_signed_list *list, uint64_t max,
                        bool has_key)
{
    struct stoq_signed s;
    uint64_t count = stoq_cbor_rd_array(r);
    const uint8_t *begin = r->p;
    if (count > max) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    for (uint64_t i = 0; i < count && r->status == STOQ_OK; i++) {
        get_record(r, &s, has_key);
    }
    *list = (struct stoq_signed_list){(uint32_t)count, stoq_span(begin, (size_t)(r->p - begin))};
    stoq_cbor_rd_leave(r);
}

void message_get_contacts(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                          void *memory)
{
    get_records(r, at, f->max, false);
}

bool message_put_contacts(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    return put_records(w, at, f->max, false);
}

static void get_locations(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                          void *memory)
{
    get_records(r, at, f->max, true);
}

static bool put_locations(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    return put_records(w, at, f->max, true);
}

static void get_location(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    get_record(r, at, true);
}

static bool put_location(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    return put_record(w, at, true);
}

static void get_contact(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    get_record(r, at, false);
}

static bool put_contact(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    return put_record(w, at, false);
}

#define IS_CONTACTS(T, m, max)                                                                     \
    STOQ_IS_OWN(T, m, struct stoq_signed_list, message_get_contacts, message_put_contacts, 0, max)
#define IS_LOCATIONS(T, m, max)                                                                    \
    STOQ_IS_OWN(T, m, struct stoq_signed_list, get_locations, put_locations, 0, max)
#define IS_LOCATION(T, m) STOQ_IS_OWN(T, m, struct stoq_signed, get_location, put_location, 0, 0)

#define IS_CONTACT(T, m) STOQ_IS_OWN(T, m, struct stoq_signed, get_contact, put_contact, 0, 0)

static const struct stoq_field announce_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_announce, id.h)},
    {2, STOQ_IS_TEXT(struct stoq_msg_announce, name, 1, STOQ_ANNOUNCE_TEXT_MAX)},
    {3, STOQ_IS_TEXT(struct stoq_msg_announce, version, 1, STOQ_ANNOUNCE_TEXT_MAX)},
    {4, STOQ_IS_UINT(struct stoq_msg_announce, bytes, 0, UINT64_MAX)},
    {5, IS_LOCATION(struct stoq_msg_announce, record)},
};
const struct message_body message_announce = {.form = STOQ_FORM(announce_fields)};

static const struct stoq_field peer_exchange_fields[] = {
    {1, STOQ_IS_UINT(struct stoq_msg_peer_exchange, want, 0, STOQ_EXCHANGE_PEERS_MAX)},
    {2, IS_CONTACTS(struct stoq_msg_peer_exchange, peers, STOQ_EXCHANGE_PEERS_MAX)},
};
const struct message_body message_peer_exchange = {.form = STOQ_FORM(peer_exchange_fields)};

/* The five below are a request or its answer: the answer's keys tell that it is one. */

/* The keys of a page: who asks and what to leave out, in a request; that there is more, in an answer. */
static uint32_t page_keys(const struct stoq_find_page *p, bool is_answer)
{
    if (is_answer) {
        return p->more ? STOQ_KEY(7) : 0;
    }
    return (p->asker.body.n > 0 ? STOQ_KEY(5) : 0) | (p->skip > 0 ? STOQ_KEY(6) : 0);
}
#define PAGE_ROWS(T)                                                                               \
    {5, IS_CONTACT(T, page.asker), .optional = true},                                              \
        {6, STOQ_IS_UINT(T, page.skip, 1, STOQ_FIND_SKIP_MAX), .optional = true},                  \
    {                                                                                              \
        7, STOQ_IS_TRUE(T, page.more)                                                              \
    }

static uint32_t find_node_keys(const void *body)
{
    const struct stoq_msg_find_node *m = body;
    return (m->is_answer ? STOQ_KEY(3) : STOQ_KEY(1) | STOQ_KEY(2)) |
           page_keys(&m->page, m->is_answer);
}

static const struct stoq_field find_node_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_find_node, target), .optional = true},
    {2, STOQ_IS_UINT(struct stoq_msg_find_node, want, 1, STOQ_FIND_NEAR_MAX), .optional = true},
    {3, IS_CONTACTS(struct stoq_msg_find_node, near, STOQ_FIND_NEAR_MAX),
     STOQ_SETS(struct stoq_msg_find_node, is_answer)},
    PAGE_ROWS(struct stoq_msg_find_node),
};
const struct message_body message_find_node = {.form = STOQ_FORM(find_node_fields),
                                               .keys = find_node_keys};

static uint32_t find_value_keys(const void *body)
{
    const struct stoq_msg_find_value *m = body;
    return (m->is_answer ? STOQ_KEY(3) | STOQ_KEY(4) : STOQ_KEY(1) | STOQ_KEY(2)) |
           page_keys(&m->page, m->is_answer);
}

static const struct stoq_field find_value_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_find_value, key), .optional = true},
    {2, STOQ_IS_UINT(struct stoq_msg_find_value, want, 1, STOQ_FIND_VALUES_MAX), .optional = true},
    {3, IS_CONTACTS(struct stoq_msg_find_value, near, STOQ_FIND_NEAR_MAX),
     STOQ_SETS(struct stoq_msg_find_value, is_answer)},
    {4, IS_LOCATIONS(struct stoq_msg_find_value, values, STOQ_FIND_VALUES_MAX),
     STOQ_SETS(struct stoq_msg_find_value, is_answer)},
    PAGE_ROWS(struct stoq_msg_find_value),
};
const struct message_body message_find_value = {.form = STOQ_FORM(find_value_fields),
                                                .keys = find_value_keys};

static void get_kept(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_msg_store *m = at;
    uint64_t n = stoq_cbor_rd_array(r);
    if (n < 2 || n > STOQ_STORE_RECORDS_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        m->kept_s[i] = (uint32_t)stoq_cbor_rd_uint_in(r, 0, STOQ_CONTACT_TTL_MAX);
    }
    m->kept_count = (uint32_t)n;
    m->is_answer = true;
    stoq_cbor_rd_leave(r);
}

static bool put_kept(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_msg_store *m = at;
    if (m->kept_count < 2 || m->kept_count > STOQ_STORE_RECORDS_MAX) {
        return false;
    }
    stoq_cbor_put_array(w, m->kept_count);
    for (uint32_t i = 0; i < m->kept_count; i++) {
        if (m->kept_s[i] > STOQ_CONTACT_TTL_MAX) {
            return false;
        }
        stoq_cbor_put_uint(w, m->kept_s[i]);
    }
    return true;
}

static uint32_t store_keys(const void *body)
{
    const struct stoq_msg_store *m = body;
    if (m->is_answer) {
        return m->kept_count > 0 ? STOQ_KEY(4) : STOQ_KEY(2);
    }
    return STOQ_KEY(1) | (m->more.count > 0 ? STOQ_KEY(3) : 0);
}

static const struct stoq_field store_fields[] = {
    {1, IS_LOCATION(struct stoq_msg_store, record), .optional = true},
    {2, STOQ_IS_UINT(struct stoq_msg_store, ttl_s, 1, STOQ_CONTACT_TTL_MAX),
     STOQ_SETS(struct stoq_msg_store, is_answer)},
    {3, IS_LOCATIONS(struct stoq_msg_store, more, STOQ_STORE_RECORDS_MAX - 1), .optional = true},
    {4, STOQ_IS_OWN_OF_ALL(get_kept, put_kept), .optional = true},
};
const struct message_body message_store = {.form = STOQ_FORM(store_fields), .keys = store_keys};

static void get_renewal(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_renewal renewal;
    struct stoq_signed *s = at;
    message_get_signed(r, s);
    if (r->status == STOQ_OK && stoq_renewal_decode(s->body, &renewal) != STOQ_OK) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static bool put_renewal(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    struct stoq_renewal renewal;
    const struct stoq_signed *s = at;
    return stoq_renewal_decode(s->body, &renewal) == STOQ_OK && message_put_signed(w, s);
}

static uint32_t renew_keys(const void *body)
{
    const struct stoq_msg_renew *m = body;
    return m->is_answer ? STOQ_KEY(2) : STOQ_KEY(1);
}

static const struct stoq_field renew_fields[] = {
    {1,
     STOQ_IS_OWN(struct stoq_msg_renew, renewal, struct stoq_signed, get_renewal, put_renewal, 0,
                 0),
     .optional = true},
    {2, STOQ_IS_BYTES(struct stoq_msg_renew, kept, 1, STOQ_RENEWAL_MAX),
     STOQ_SETS(struct stoq_msg_renew, is_answer)},
};
const struct message_body message_renew = {.form = STOQ_FORM(renew_fields), .keys = renew_keys};

static uint32_t patch_keys(const void *body)
{
    const struct stoq_msg_patch *m = body;
    return m->is_answer ? STOQ_KEY(5) : STOQ_KEY(1) | STOQ_KEY(2) | STOQ_KEY(3) | STOQ_KEY(4);
}

static const struct stoq_field patch_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_patch, provider.h), .optional = true},
    {2, STOQ_IS_UINT(struct stoq_msg_patch, sequence, 0, UINT64_MAX), .optional = true},
    {3, STOQ_IS_UINT(struct stoq_msg_patch, issued_at_s, 0, UINT64_MAX), .optional = true},
    {4,
     STOQ_IS_BYTES(struct stoq_msg_patch, patches, STOQ_PATCH_BYTES,
                   STOQ_PATCH_MAX *STOQ_PATCH_BYTES),
     .unit = STOQ_PATCH_BYTES, .optional = true},
    {5, STOQ_IS_BYTES(struct stoq_msg_patch, kept, 1, STOQ_PATCH_MAX),
     STOQ_SETS(struct stoq_msg_patch, is_answer)},
};
const struct message_body message_patch = {.form = STOQ_FORM(patch_fields), .keys = patch_keys};
