#include "wire/signed.h"

#include "wire/message_internal.h"

#include <string.h>

#define RECORD_VERSION 1
#define INDEX_MAX STOQ_MESSAGE_INDEX_MAX

static enum stoq_status body_done(struct stoq_cbor_wr *w, struct stoq_buf *out, size_t start)
{
    enum stoq_status st = stoq_cbor_wr_done(w);
    if (st == STOQ_OK && out->n - start > STOQ_SIGNED_BODY_MAX) {
        st = STOQ_RANGE;
    }
    if (st != STOQ_OK) {
        out->n = start;
    }
    return st;
}

static bool contact_fits(const struct stoq_contact *rec)
{
    return rec->spki.n >= 1 && rec->spki.n <= STOQ_CONTACT_SPKI_MAX &&
           rec->addresses.n % STOQ_CONTACT_ADDRESS_BYTES == 0 &&
           rec->addresses.n <= STOQ_CONTACT_ADDRESSES_MAX * STOQ_CONTACT_ADDRESS_BYTES &&
           rec->ttl_s >= 1 && rec->ttl_s <= STOQ_CONTACT_TTL_MAX;
}

enum stoq_status stoq_contact_encode(const struct stoq_contact *rec, struct stoq_buf *out)
{
    size_t start = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    if (!contact_fits(rec)) {
        return STOQ_RANGE;
    }
    stoq_cbor_put_map(&w, 6 + (rec->has_rpc_key ? 1u : 0u) + (rec->has_nonce ? 1u : 0u) +
                              (rec->has_key ? 1u : 0u));
    stoq_cbor_put_uint(&w, 1);
    stoq_cbor_put_uint(&w, RECORD_VERSION);
    stoq_cbor_put_uint(&w, 2);
    stoq_cbor_put_bytes(&w, rec->spki);
    stoq_cbor_put_uint(&w, 3);
    stoq_cbor_put_bytes(&w, rec->addresses);
    stoq_cbor_put_uint(&w, 4);
    stoq_cbor_put_uint(&w, rec->sequence);
    stoq_cbor_put_uint(&w, 5);
    stoq_cbor_put_uint(&w, rec->issued_at_s);
    stoq_cbor_put_uint(&w, 6);
    stoq_cbor_put_uint(&w, rec->ttl_s);
    if (rec->has_rpc_key) {
        stoq_cbor_put_uint(&w, 7);
        stoq_cbor_put_hash(&w, &rec->rpc_key);
    }
    if (rec->has_nonce) {
        stoq_cbor_put_uint(&w, 8);
        stoq_cbor_put_uint(&w, rec->nonce);
    }
    if (rec->has_key) {
        stoq_cbor_put_uint(&w, 9);
        stoq_cbor_put_hash(&w, &rec->key);
    }
    return body_done(&w, out, start);
}

static void get_contact_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_contact *rec)
{
    switch (key) {
    case 1:
        (void)stoq_cbor_rd_uint_in(r, RECORD_VERSION, RECORD_VERSION);
        break;
    case 2:
        rec->spki = stoq_cbor_rd_bytes(r, 1, STOQ_CONTACT_SPKI_MAX);
        break;
    case 3:
        rec->addresses =
            stoq_cbor_rd_bytes(r, 0, STOQ_CONTACT_ADDRESSES_MAX * STOQ_CONTACT_ADDRESS_BYTES);
        break;
    case 4:
        rec->sequence = stoq_cbor_rd_uint(r);
        break;
    case 5:
        rec->issued_at_s = stoq_cbor_rd_uint(r);
        break;
    case 6:
        rec->ttl_s = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_CONTACT_TTL_MAX);
        break;
    case 7:
        rec->rpc_key = stoq_cbor_rd_hash(r);
        break;
    case 8:
        rec->nonce = stoq_cbor_rd_uint(r);
        break;
    case 9:
        rec->key = stoq_cbor_rd_hash(r);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static enum stoq_status body_read(const struct stoq_cbor_rd *r, struct stoq_span body)
{
    bool good = stoq_cbor_rd_done(r) == STOQ_OK && body.n <= STOQ_SIGNED_BODY_MAX;
    return good ? STOQ_OK : STOQ_MALFORMED;
}

enum stoq_status stoq_contact_decode(struct stoq_span body, struct stoq_contact *out)
{
    struct message_fields f = {0};
    struct stoq_cbor_rd r = stoq_cbor_rd(body);
    uint64_t key;
    *out = (struct stoq_contact){0};
    stoq_cbor_rd_map(&r);
    while (message_next_field(&r, &f, &key)) {
        get_contact_field(&r, key, out);
    }
    stoq_cbor_rd_leave(&r);
    message_need_fields(&r, &f, 0x7e);
    out->has_rpc_key = (f.seen & 1u << 7) != 0;
    out->has_nonce = (f.seen & 1u << 8) != 0;
    out->has_key = (f.seen & 1u << 9) != 0;
    if (out->addresses.n % STOQ_CONTACT_ADDRESS_BYTES != 0) {
        return STOQ_MALFORMED;
    }
    return body_read(&r, body);
}

enum stoq_status stoq_receipt_encode(const struct stoq_receipt *rec, struct stoq_buf *out)
{
    size_t start = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    if (rec->spki.n < 1 || rec->spki.n > STOQ_CONTACT_SPKI_MAX || rec->first_shard > INDEX_MAX ||
        rec->shard_count > INDEX_MAX || (rec->shard_count == 0 && rec->first_shard != 0)) {
        return STOQ_RANGE;
    }
    stoq_cbor_put_map(&w, rec->shard_count == 0 ? 7 : 9);
    stoq_cbor_put_uint(&w, 1);
    stoq_cbor_put_uint(&w, RECORD_VERSION);
    stoq_cbor_put_uint(&w, 2);
    stoq_cbor_put_bytes(&w, rec->spki);
    stoq_cbor_put_uint(&w, 3);
    stoq_cbor_put_hash(&w, &rec->id.h);
    stoq_cbor_put_uint(&w, 4);
    stoq_cbor_put_uint(&w, rec->bytes);
    stoq_cbor_put_uint(&w, 5);
    stoq_cbor_put_uint(&w, rec->verified_at_s);
    stoq_cbor_put_uint(&w, 6);
    stoq_cbor_put_uint(&w, rec->keep_until_s);
    stoq_cbor_put_uint(&w, 7);
    stoq_cbor_put_bytes(&w, stoq_span(rec->nonce, sizeof rec->nonce));
    if (rec->shard_count > 0) {
        stoq_cbor_put_uint(&w, 8);
        stoq_cbor_put_uint(&w, rec->first_shard);
        stoq_cbor_put_uint(&w, 9);
        stoq_cbor_put_uint(&w, rec->shard_count);
    }
    return body_done(&w, out, start);
}

static void get_receipt_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_receipt *rec)
{
    switch (key) {
    case 1:
        (void)stoq_cbor_rd_uint_in(r, RECORD_VERSION, RECORD_VERSION);
        break;
    case 2:
        rec->spki = stoq_cbor_rd_bytes(r, 1, STOQ_CONTACT_SPKI_MAX);
        break;
    case 3:
        rec->id.h = stoq_cbor_rd_hash(r);
        break;
    case 4:
        rec->bytes = stoq_cbor_rd_uint(r);
        break;
    case 5:
        rec->verified_at_s = stoq_cbor_rd_uint(r);
        break;
    case 6:
        rec->keep_until_s = stoq_cbor_rd_uint(r);
        break;
    case 7:
        message_get_nonce(r, rec->nonce);
        break;
    case 8:
        rec->first_shard = stoq_cbor_rd_uint_in(r, 0, INDEX_MAX);
        break;
    case 9:
        rec->shard_count = stoq_cbor_rd_uint_in(r, 1, INDEX_MAX);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

enum stoq_status stoq_receipt_decode(struct stoq_span body, struct stoq_receipt *out)
{
    struct message_fields f = {0};
    struct stoq_cbor_rd r = stoq_cbor_rd(body);
    uint64_t key;
    *out = (struct stoq_receipt){0};
    stoq_cbor_rd_map(&r);
    while (message_next_field(&r, &f, &key)) {
        get_receipt_field(&r, key, out);
    }
    stoq_cbor_rd_leave(&r);
    message_need_fields(&r, &f, (f.seen & 0x300) != 0 ? 0x3fe : 0xfe);
    return body_read(&r, body);
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
