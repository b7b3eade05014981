#include "wire/signed.h"

#include "wire/message_internal.h"

#define RECORD_VERSION 1

/* A body that is longer than any may be is none. */
static enum stoq_status body_encode(const struct stoq_form *form, const void *object, uint32_t keys,
                                    struct stoq_buf *out)
{
    size_t before = out->n;
    enum stoq_status st = stoq_form_encode(form, object, keys, out);
    if (st == STOQ_OK && out->n - before > STOQ_SIGNED_BODY_MAX) {
        out->n = before;
        st = STOQ_RANGE;
    }
    return st;
}

/* The keys that were there; 0: malformed. */
static uint32_t body_decode(const struct stoq_form *form, struct stoq_span body, void *object)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(body);
    uint32_t keys = stoq_form_get(&r, form, object, NULL);
    return stoq_cbor_rd_done(&r) == STOQ_OK && body.n <= STOQ_SIGNED_BODY_MAX ? keys : 0;
}

static const struct stoq_field contact_fields[] = {
    {1, STOQ_IS_CONST(RECORD_VERSION, STOQ_MALFORMED)},
    {2, STOQ_IS_BYTES(struct stoq_contact, spki, 1, STOQ_CONTACT_SPKI_MAX)},
    {3,
     STOQ_IS_BYTES(struct stoq_contact, addresses, 0,
                   STOQ_CONTACT_ADDRESSES_MAX *STOQ_CONTACT_ADDRESS_BYTES),
     .unit = STOQ_CONTACT_ADDRESS_BYTES},
    {4, STOQ_IS_UINT(struct stoq_contact, sequence, 0, UINT64_MAX)},
    {5, STOQ_IS_UINT(struct stoq_contact, issued_at_s, 0, UINT64_MAX)},
    {6, STOQ_IS_UINT(struct stoq_contact, ttl_s, 1, STOQ_CONTACT_TTL_MAX)},
    {7, STOQ_IS_HASH(struct stoq_contact, rpc_key), STOQ_SETS(struct stoq_contact, has_rpc_key)},
    {8, STOQ_IS_UINT(struct stoq_contact, nonce, 0, UINT64_MAX),
     STOQ_SETS(struct stoq_contact, has_nonce)},
    {9, STOQ_IS_HASH(struct stoq_contact, key), STOQ_SETS(struct stoq_contact, has_key)},
    {10, STOQ_IS_BYTES(struct stoq_contact, value, 1, STOQ_CONTACT_VALUE_MAX), .optional = true},
};
static const struct stoq_form contact_form = STOQ_FORM(contact_fields);

enum stoq_status stoq_contact_encode(const struct stoq_contact *rec, struct stoq_buf *out)
{
    if (rec->value.n > 0 && !rec->has_key) {
        return STOQ_RANGE;
    }
    return body_encode(&contact_form, rec, stoq_form_keys(&contact_form, rec), out);
}

enum stoq_status stoq_contact_decode(struct stoq_span body, struct stoq_contact *out)
{
    *out = (struct stoq_contact){0};
    bool good = body_decode(&contact_form, body, out) != 0 && (out->value.n == 0 || out->has_key);
    return good ? STOQ_OK : STOQ_MALFORMED;
}

static const struct stoq_field renewal_fields[] = {
    {1, STOQ_IS_CONST(RECORD_VERSION, STOQ_MALFORMED)},
    {2, STOQ_IS_BYTES(struct stoq_renewal, spki, 1, STOQ_CONTACT_SPKI_MAX)},
    {3, STOQ_IS_HASH(struct stoq_renewal, holder.h)},
    {4, STOQ_IS_UINT(struct stoq_renewal, issued_at_s, 0, UINT64_MAX)},
    {5,
     STOQ_IS_BYTES(struct stoq_renewal, digests, STOQ_RENEWAL_DIGEST_BYTES,
                   STOQ_RENEWAL_MAX *STOQ_RENEWAL_DIGEST_BYTES),
     .unit = STOQ_RENEWAL_DIGEST_BYTES},
};
static const struct stoq_form renewal_form = STOQ_FORM(renewal_fields);

enum stoq_status stoq_renewal_encode(const struct stoq_renewal *rec, struct stoq_buf *out)
{
    return body_encode(&renewal_form, rec, stoq_form_keys(&renewal_form, rec), out);
}

enum stoq_status stoq_renewal_decode(struct stoq_span body, struct stoq_renewal *out)
{
    *out = (struct stoq_renewal){0};
    return body_decode(&renewal_form, body, out) != 0 ? STOQ_OK : STOQ_MALFORMED;
}

static const struct stoq_field receipt_fields[] = {
    {1, STOQ_IS_CONST(RECORD_VERSION, STOQ_MALFORMED)},
    {2, STOQ_IS_BYTES(struct stoq_receipt, spki, 1, STOQ_CONTACT_SPKI_MAX)},
    {3, STOQ_IS_HASH(struct stoq_receipt, id.h)},
    {4, STOQ_IS_UINT(struct stoq_receipt, bytes, 0, UINT64_MAX)},
    {5, STOQ_IS_UINT(struct stoq_receipt, verified_at_s, 0, UINT64_MAX)},
    {6, STOQ_IS_UINT(struct stoq_receipt, keep_until_s, 0, UINT64_MAX)},
    {7, STOQ_IS_ARRAY(struct stoq_receipt, nonce)},
    {8, STOQ_IS_UINT(struct stoq_receipt, first_shard, 0, STOQ_MESSAGE_INDEX_MAX),
     .optional = true},
    {9, STOQ_IS_UINT(struct stoq_receipt, shard_count, 1, STOQ_MESSAGE_INDEX_MAX),
     .optional = true},
};
static const struct stoq_form receipt_form = STOQ_FORM(receipt_fields);

/* The two about shards are both there or neither. */
static uint32_t receipt_keys(const struct stoq_receipt *rec)
{
    uint32_t keys = stoq_form_keys(&receipt_form, rec);
    return rec->shard_count > 0 ? keys | STOQ_KEY(8) : keys;
}

enum stoq_status stoq_receipt_encode(const struct stoq_receipt *rec, struct stoq_buf *out)
{
    if (rec->shard_count == 0 && rec->first_shard != 0) {
        return STOQ_RANGE;
    }
    return body_encode(&receipt_form, rec, receipt_keys(rec), out);
}

enum stoq_status stoq_receipt_decode(struct stoq_span body, struct stoq_receipt *out)
{
    *out = (struct stoq_receipt){0};
    uint32_t keys = body_decode(&receipt_form, body, out);
    bool good = keys == receipt_keys(out) && (out->shard_count > 0 || out->first_shard == 0);
    return good ? STOQ_OK : STOQ_MALFORMED;
}

static bool signed_fits(const struct stoq_signed *s)
{
    return s->body.n >= 1 && s->body.n <= STOQ_SIGNED_BODY_MAX && s->signature.n >= 1 &&
           s->signature.n <= STOQ_SIGNED_SIGNATURE_MAX;
}

bool message_put_signed(struct stoq_cbor_wr *w, const struct stoq_signed *s)
{
    if (!signed_fits(s)) {
        return false;
    }
    stoq_cbor_put_array(w, 2);
    stoq_cbor_put_bytes(w, s->body);
    stoq_cbor_put_bytes(w, s->signature);
    return true;
}

void message_get_signed(struct stoq_cbor_rd *r, struct stoq_signed *s)
{
    if (stoq_cbor_rd_array(r) != 2) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    s->body = stoq_cbor_rd_bytes(r, 1, STOQ_SIGNED_BODY_MAX);
    s->signature = stoq_cbor_rd_bytes(r, 1, STOQ_SIGNED_SIGNATURE_MAX);
    stoq_cbor_rd_leave(r);
}

enum stoq_status stoq_signed_put(const struct stoq_signed *s, struct stoq_buf *items)
{
    size_t start = items->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(items);
    if (!message_put_signed(&w, s)) {
        return STOQ_RANGE;
    }
    enum stoq_status st = stoq_cbor_wr_done(&w);
    if (st != STOQ_OK) {
        items->n = start;
    }
    return st;
}

bool stoq_signed_next(struct stoq_span *items, struct stoq_signed *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(*items);
    if (items->n == 0) {
        return false;
    }
    message_get_signed(&r, out);
    if (r.status != STOQ_OK) {
        return false;
    }
    *items = stoq_span(r.p, r.n);
    return true;
}
