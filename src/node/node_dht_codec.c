/*
 * Records and the book. A contact comes in with its signature and its id checked, and once: the same bytes
 * again are known by comparing them. Addresses that only mean something elsewhere are left out: who is
 * not on loopback itself takes no loopback address from others, and likewise private ones.
 */
#include "node/node_dht_internal.h"

#include "base/ip.h"
#include "hash/hash.h"
#include "sign/object.h"

#include <stdlib.h>
#include <string.h>

#define SELF_TTL_S STOQ_CONTACT_TTL_MAX
#define SELF_RENEW ((stoq_ns)SELF_TTL_S / 4 * STOQ_SEC)
#define US_PER_S 1000000u

/* Nowhere, too: port 0, and link-local addresses, which mean nothing without their link. */
static enum stoq_ip_scope scope_of(const struct stoq_node_dht_addr *a)
{
    enum stoq_ip_scope scope = stoq_ip_scope(a->b);
    bool no_port = a->b[16] == 0 && a->b[17] == 0;
    return no_port || scope == STOQ_IP_LINK ? STOQ_IP_NOWHERE : scope;
}

uint64_t stoq_node_dht_group(const struct stoq_node_dht_addr *a)
{
    return scope_of(a) == STOQ_IP_PUBLIC ? stoq_ip_subnet(a->b) : 0;
}

static bool usable(const struct stoq_node_dht *nd, const struct stoq_node_dht_addr *a)
{
    enum stoq_ip_scope scope = scope_of(a);
    bool here = scope == STOQ_IP_PUBLIC;
    for (uint32_t i = 0; i < nd->cfg.address_count; i++) {
        here = here || (scope != STOQ_IP_NOWHERE && scope_of(&nd->cfg.addresses[i]) == scope);
    }
    /* A client has no address of its own to compare with: it takes what it is told. */
    return here || (nd->cfg.address_count == 0 && scope != STOQ_IP_NOWHERE);
}

uint64_t node_dht_wall_us(const struct stoq_node_dht *nd, stoq_ns now)
{
    return nd->wall_us + (now - nd->wall_at) / 1000;
}

struct card *node_dht_card(const struct stoq_node_dht *nd, stoq_contact_no contact)
{
    return stoq_dht_book_get(nd->book, contact)->data;
}

void node_dht_card_drop(void *user, void *data)
{
    struct card *card = data;
    (void)user;
    if (card != NULL) {
        free(card->signed_bytes);
        free(card);
    }
}

/* Fill a card from a record that is good in all but its signature. */
static bool read_card(struct stoq_node_dht *nd, const struct stoq_contact *rec, struct card *card,
                      stoq_ns now)
{
    uint64_t wall_s = node_dht_wall_us(nd, now) / US_PER_S;
    if (!rec->has_rpc_key || !rec->has_nonce || rec->has_key ||
        rec->issued_at_s > wall_s + STOQ_DHT_SKEW_S || rec->issued_at_s + rec->ttl_s < wall_s) {
        return false;
    }
    card->peer = stoq_spki_peer_id(rec->spki);
    card->rpc_key = rec->rpc_key;
    card->sequence = rec->sequence;
    for (size_t i = 0; i < rec->addresses.n; i += STOQ_CONTACT_ADDRESS_BYTES) {
        struct stoq_node_dht_addr a;
        memcpy(a.b, rec->addresses.p + i, sizeof a.b);
        if (usable(nd, &a)) {
            card->addresses[card->address_count++] = a;
        }
    }
    return card->address_count > 0;
}

static bool copy_signed(struct card *card, const struct stoq_signed *s)
{
    struct stoq_buf buf;
    stoq_buf_init(&buf, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    if (stoq_signed_put(s, &buf) != STOQ_OK) {
        stoq_buf_release(&buf);
        return false;
    }
    free(card->signed_bytes);
    card->signed_bytes = buf.p; /* taken */
    card->signed_n = (uint32_t)buf.n;
    return true;
}

static bool is_known(const struct card *card, const struct stoq_signed *s)
{
    struct stoq_span items = stoq_span(card->signed_bytes, card->signed_n);
    struct stoq_signed had;
    return stoq_signed_next(&items, &had) && stoq_span_eq(had.body, s->body) &&
           stoq_span_eq(had.signature, s->signature);
}

/* A newer record of a contact that is in the book. */
static void update(struct stoq_node_dht *nd, stoq_contact_no no, const struct stoq_signed *s,
                   struct card *fresh)
{
    struct card *card = node_dht_card(nd, no);
    if (copy_signed(card, s)) {
        card->rpc_key = fresh->rpc_key;
        card->sequence = fresh->sequence;
        memcpy(card->addresses, fresh->addresses, sizeof card->addresses);
        card->address_count = fresh->address_count;
        card->at = 0;
        card->has_token = false;
        card->plain = false;
        card->whole = false;
        stoq_dht_book_regroup(nd->book, no, stoq_node_dht_group(&card->addresses[0]));
    }
}

static stoq_contact_no add(struct stoq_node_dht *nd, const struct stoq_hash *id,
                           const struct stoq_signed *s, const struct card *fresh)
{
    struct card *card = malloc(sizeof *card);
    stoq_contact_no no = 0;
    if (card == NULL) {
        return 0;
    }
    *card = *fresh;
    struct stoq_dht_about about = {
        .id = *id, .group = stoq_node_dht_group(&card->addresses[0]), .data = card};
    if (!copy_signed(card, s) || stoq_dht_book_add(nd->book, &about, &no) != STOQ_OK) {
        node_dht_card_drop(NULL, card);
        return 0;
    }
    return no;
}

stoq_contact_no node_dht_contact(struct stoq_node_dht *nd, const struct stoq_signed *s, stoq_ns now)
{
    struct stoq_contact rec;
    struct card fresh = {0};
    if (stoq_contact_decode(s->body, &rec) != STOQ_OK || !read_card(nd, &rec, &fresh, now)) {
        return 0;
    }
    struct stoq_hash id = stoq_dht_node_id(&nd->cfg.rules, &fresh.peer, rec.nonce);
    stoq_contact_no no = stoq_dht_book_find(nd->book, &id);
    if (no != 0) {
        stoq_dht_book_hold(nd->book, no);
        struct card *card = node_dht_card(nd, no);
        if (no != nd->self && fresh.sequence > card->sequence && !is_known(card, s) &&
            stoq_object_check(s, STOQ_SIGN_EXCHANGE, rec.spki) == STOQ_OK) {
            update(nd, no, s, &fresh);
        }
        return no;
    }
    if (!stoq_dht_id_earned(&nd->cfg.rules, &id) ||
        stoq_object_check(s, STOQ_SIGN_EXCHANGE, rec.spki) != STOQ_OK) {
        return 0;
    }
    return add(nd, &id, s, &fresh);
}

struct stoq_dht_record *node_dht_record(const struct stoq_signed *s)
{
    struct stoq_contact rec;
    struct stoq_buf buf;
    struct stoq_dht_record *r = NULL;
    if (stoq_contact_decode(s->body, &rec) != STOQ_OK || !rec.has_key) {
        return NULL;
    }
    stoq_buf_init(&buf, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    if (stoq_signed_put(s, &buf) == STOQ_OK) {
        r = stoq_dht_record_new(stoq_buf_span(&buf));
    }
    stoq_buf_release(&buf);
    if (r == NULL) {
        return NULL;
    }
    r->key = rec.key;
    r->publisher = stoq_spki_peer_id(rec.spki);
    r->sequence = rec.sequence;
    r->issued_at_s = rec.issued_at_s;
    r->ttl_s = rec.ttl_s;
    r->withdrawn = rec.addresses.n == 0;
    if (!r->withdrawn) {
        struct stoq_node_dht_addr first;
        memcpy(first.b, rec.addresses.p, sizeof first.b);
        r->group = stoq_node_dht_group(&first);
    }
    return r;
}

struct stoq_signed node_dht_record_parts(const struct stoq_dht_record *r)
{
    struct stoq_span items = stoq_span(r->bytes, r->n);
    struct stoq_signed s = {{NULL, 0}, {NULL, 0}};
    (void)stoq_signed_next(&items, &s);
    return s;
}

bool node_dht_record_signed(const struct stoq_dht_record *r)
{
    struct stoq_signed s = node_dht_record_parts(r);
    struct stoq_contact rec;
    return stoq_contact_decode(s.body, &rec) == STOQ_OK &&
           stoq_object_check(&s, STOQ_SIGN_LOCATION, rec.spki) == STOQ_OK;
}

bool node_dht_names_address(const struct stoq_dht_record *r, const struct stoq_node_dht_addr *addr)
{
    struct stoq_signed s = node_dht_record_parts(r);
    struct stoq_contact rec;
    if (stoq_contact_decode(s.body, &rec) != STOQ_OK) {
        return false;
    }
    for (size_t i = 0; i < rec.addresses.n; i += STOQ_CONTACT_ADDRESS_BYTES) {
        if (memcmp(rec.addresses.p + i, addr->b, 16) == 0) { /* of whatever port: its host */
            return true;
        }
    }
    return false;
}

static bool is_v4(const struct stoq_node_dht_addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a->b, mapped, sizeof mapped) == 0;
}

/* The best to ping of where it says that its signer is: public and of a family that we have, public, any. */
static unsigned ping_rank(const struct stoq_node_dht *nd, const struct stoq_node_dht_addr *a)
{
    bool has_family = false;
    for (uint32_t i = 0; i < nd->cfg.address_count; i++) {
        has_family = has_family || is_v4(&nd->cfg.addresses[i]) == is_v4(a);
    }
    bool is_public = scope_of(a) == STOQ_IP_PUBLIC;
    return !usable(nd, a) ? 0 : is_public && has_family ? 3 : is_public ? 2 : 1;
}

bool node_dht_ping_address(const struct stoq_node_dht *nd, struct stoq_span addresses,
                           struct stoq_node_dht_addr *out)
{
    unsigned best = 0;
    for (size_t i = 0; i < addresses.n; i += STOQ_CONTACT_ADDRESS_BYTES) {
        struct stoq_node_dht_addr a;
        memcpy(a.b, addresses.p + i, sizeof a.b);
        unsigned rank = ping_rank(nd, &a);
        if (rank > best) {
            best = rank;
            *out = a;
        }
    }
    return best > 0;
}

/* What is in every record of ours. A sequence is the microsecond it was made in, or one more than the
 * last. */
static struct stoq_contact our_record(struct stoq_node_dht *nd, stoq_ns now)
{
    uint64_t us = node_dht_wall_us(nd, now);
    nd->sequence = us > nd->sequence ? us : nd->sequence + 1;
    return (struct stoq_contact){
        .spki = stoq_key_spki(nd->cfg.key),
        .addresses =
            stoq_span(nd->cfg.addresses, nd->cfg.address_count * sizeof nd->cfg.addresses[0]),
        .sequence = nd->sequence,
        .issued_at_s = us / US_PER_S,
        .has_rpc_key = nd->cfg.rpc_key != NULL,
        .rpc_key = nd->rpc_key,
        .has_nonce = !nd->cfg.client,
        .nonce = nd->cfg.nonce};
}

static enum stoq_status sign_record(struct stoq_node_dht *nd, const struct stoq_contact *rec,
                                    const char *context, struct stoq_buf *out)
{
    struct stoq_buf body;
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    enum stoq_status st = stoq_contact_encode(rec, &body);
    if (st == STOQ_OK) {
        st = stoq_object_sign(nd->cfg.key, context, stoq_buf_span(&body), out);
    }
    stoq_buf_release(&body);
    return st;
}

static struct stoq_dht_record *location(struct stoq_node_dht *nd, const struct stoq_contact *rec)
{
    struct stoq_dht_record *r = NULL;
    struct stoq_buf out;
    struct stoq_signed s;
    stoq_buf_init(&out, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    if (sign_record(nd, rec, STOQ_SIGN_LOCATION, &out) == STOQ_OK) {
        struct stoq_span items = stoq_buf_span(&out);
        if (stoq_signed_next(&items, &s)) {
            r = node_dht_record(&s);
        }
    }
    stoq_buf_release(&out);
    return r;
}

struct stoq_dht_record *node_dht_make(struct stoq_node_dht *nd, const struct stoq_dht_make *make,
                                      bool *likewise, stoq_ns now)
{
    struct stoq_contact rec = our_record(nd, now);
    *likewise = false;
    if (nd->cfg.address_count == 0 && !make->withdrawn) {
        return NULL;
    }
    rec.ttl_s = make->ttl_s;
    rec.has_key = true;
    rec.key = make->key;
    if (make->withdrawn) {
        rec.addresses.n = 0;
    } else if (nd->cfg.value != NULL) {
        rec.value = nd->cfg.value(nd->cfg.user, &make->key);
    }
    if (make->digest != 0) { /* Ed25519 signs the same words with the same bytes */
        struct stoq_contact before = rec;
        before.sequence = make->sequence;
        before.issued_at_s = make->issued_at_s;
        struct stoq_dht_record *same = location(nd, &before);
        *likewise = same != NULL && same->digest == make->digest;
        if (*likewise && make->again) {
            *likewise = false;
            return same;
        }
        stoq_dht_record_drop(same); /* it is over, or says something else by now */
    }
    if (*likewise && make->anew_s * US_PER_S > make->sequence) {
        rec.issued_at_s = make->anew_s;
        rec.sequence = make->anew_s * US_PER_S;
        nd->sequence = nd->sequence > rec.sequence ? nd->sequence : rec.sequence;
    }
    return location(nd, &rec);
}

void node_dht_renew_self(struct stoq_node_dht *nd, stoq_ns now)
{
    if (nd->cfg.client || nd->cfg.address_count == 0 || now < nd->self_until) {
        return;
    }
    struct stoq_contact rec = our_record(nd, now);
    rec.ttl_s = SELF_TTL_S;
    stoq_buf_clear(&nd->self_signed);
    if (sign_record(nd, &rec, STOQ_SIGN_EXCHANGE, &nd->self_signed) != STOQ_OK) {
        stoq_buf_clear(&nd->self_signed);
    }
    nd->self_until = now + SELF_RENEW;
}

enum stoq_status stoq_node_dht_save(const struct stoq_node_dht *nd, stoq_ns now,
                                    struct stoq_buf *out)
{
    struct stoq_dht_contact c;
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && stoq_dht_at(nd->core, i, now, &c); i++) {
        const struct card *card = node_dht_card(nd, c.contact);
        if (c.fails == 0) {
            st = stoq_buf_add(out, stoq_span(card->signed_bytes, card->signed_n));
        }
    }
    return st;
}

size_t stoq_node_dht_load(struct stoq_node_dht *nd, struct stoq_span bytes, stoq_ns now)
{
    struct stoq_signed s;
    size_t n = 0;
    while (n < STOQ_NODE_DHT_CONTACTS_MAX / 4 && stoq_signed_next(&bytes, &s)) {
        stoq_contact_no no = node_dht_contact(nd, &s, now);
        if (no != 0) {
            struct stoq_dht_event ev = {.kind = STOQ_DHT_HINT, .u.met = {.contact = no}};
            node_dht_tell(nd, &ev, now);
            stoq_dht_book_drop(nd->book, no);
            n++;
        }
    }
    return n;
}
