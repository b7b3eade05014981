/* Whole packages and their placement: Request, PackageDownload, Have, Cancel, Offer, Receipt. */
#include "wire/message_internal.h"

#include <string.h>

#define HASH_BYTES sizeof(struct stoq_hash)

static bool put_held(struct stoq_cbor_wr *w, uint64_t key, const struct stoq_range *held,
                     uint32_t count)
{
    const struct message_ranges ranges = {held, count, 0};
    if (count == 0) {
        return true;
    }
    stoq_cbor_put_uint(w, key);
    return message_put_ranges(w, &ranges, STOQ_MESSAGE_INDEX_MAX);
}

static void put_proofs(struct stoq_cbor_wr *w, uint64_t key, bool wanted)
{
    if (wanted) {
        stoq_cbor_put_uint(w, key);
        stoq_cbor_put_bool(w, true);
    }
}

static bool put_request(struct stoq_cbor_wr *w, const struct stoq_msg_request *m)
{
    if (m->hashes.n % HASH_BYTES != 0 || m->hashes.n > STOQ_REQUEST_HASHES_MAX * HASH_BYTES ||
        (m->hashes.n > 0 && m->held_count > 0)) {
        return false;
    }
    stoq_cbor_put_map(w, 1 + (m->hashes.n > 0 ? 1u : 0u) + (m->held_count > 0 ? 1u : 0u) +
                             (m->want_proofs ? 1u : 0u));
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    if (m->hashes.n > 0) {
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_bytes(w, m->hashes);
    }
    bool fits = put_held(w, 3, m->held, m->held_count);
    put_proofs(w, 4, m->want_proofs);
    return fits;
}

static void get_request(struct stoq_cbor_rd *r, struct stoq_range *memory,
                        struct stoq_msg_request *m)
{
    struct message_fields f = {0};
    struct message_ranges held = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->id.h = stoq_cbor_rd_hash(r);
            break;
        case 2:
            m->hashes = stoq_cbor_rd_bytes(r, HASH_BYTES, STOQ_REQUEST_HASHES_MAX * HASH_BYTES);
            break;
        case 3:
            message_get_ranges(r, memory, STOQ_MESSAGE_INDEX_MAX, &held);
            break;
        case 4:
            message_get_true(r, &m->want_proofs);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 1u << 1);
    if (m->hashes.n % HASH_BYTES != 0 || (f.seen & 0x0c) == 0x0c) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    m->held = held.v;
    m->held_count = held.count;
}

static bool put_package_download(struct stoq_cbor_wr *w, const struct stoq_msg_package_download *m)
{
    stoq_cbor_put_map(w, 1 + (m->held_count > 0 ? 1u : 0u) + (m->want_proofs ? 1u : 0u));
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    bool fits = put_held(w, 2, m->held, m->held_count);
    put_proofs(w, 3, m->want_proofs);
    return fits;
}

static void get_package_download(struct stoq_cbor_rd *r, struct stoq_range *memory,
                                 struct stoq_msg_package_download *m)
{
    struct message_fields f = {0};
    struct message_ranges held = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->id.h = stoq_cbor_rd_hash(r);
            break;
        case 2:
            message_get_ranges(r, memory, STOQ_MESSAGE_INDEX_MAX, &held);
            break;
        case 3:
            message_get_true(r, &m->want_proofs);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 1u << 1);
    m->held = held.v;
    m->held_count = held.count;
}

/* As many bits as chunks, and nothing behind them. */
static bool bits_fit(const struct stoq_msg_have *m)
{
    if (m->chunk_count == 0) {
        return m->first_chunk == 0 && m->bits.n == 0;
    }
    unsigned used = m->chunk_count % 8;
    return m->chunk_count <= STOQ_HAVE_CHUNKS_MAX && m->first_chunk <= STOQ_MESSAGE_INDEX_MAX &&
           m->bits.n == (m->chunk_count + 7) / 8 &&
           (used == 0 || m->bits.p[m->bits.n - 1] >> used == 0);
}

static bool put_have(struct stoq_cbor_wr *w, const struct stoq_msg_have *m)
{
    if (!bits_fit(m)) {
        return false;
    }
    stoq_cbor_put_map(w, m->chunk_count == 0 ? 1 : 4);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    if (m->chunk_count > 0) {
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_uint(w, m->first_chunk);
        stoq_cbor_put_uint(w, 3);
        stoq_cbor_put_uint(w, m->chunk_count);
        stoq_cbor_put_uint(w, 4);
        stoq_cbor_put_bytes(w, m->bits);
    }
    return true;
}

static void get_have(struct stoq_cbor_rd *r, struct stoq_msg_have *m)
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
            m->first_chunk = stoq_cbor_rd_uint_in(r, 0, STOQ_MESSAGE_INDEX_MAX);
            break;
        case 3:
            m->chunk_count = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_HAVE_CHUNKS_MAX);
            break;
        case 4:
            m->bits = stoq_cbor_rd_bytes(r, 1, STOQ_HAVE_CHUNKS_MAX / 8);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, f.seen == 1u << 1 ? 1u << 1 : 0x1e);
    if (r->status == STOQ_OK && !bits_fit(m)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void put_cancel(struct stoq_cbor_wr *w, const struct stoq_msg_cancel *m)
{
    stoq_cbor_put_map(w, 1);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_uint(w, m->request_id);
}

static void get_cancel(struct stoq_cbor_rd *r, struct stoq_msg_cancel *m)
{
    uint64_t key = 0;
    if (stoq_cbor_rd_map(r) != 1 || !stoq_cbor_rd_key(r, &key) || key != 1) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    m->request_id = stoq_cbor_rd_uint(r);
    stoq_cbor_rd_leave(r);
}

static bool put_offer(struct stoq_cbor_wr *w, const struct stoq_msg_offer *m)
{
    bool whole = m->shard_count == 0;
    if (m->first_shard > STOQ_MESSAGE_INDEX_MAX || m->shard_count > STOQ_MESSAGE_INDEX_MAX ||
        (whole && m->first_shard != 0)) {
        return false;
    }
    stoq_cbor_put_map(w, 4 + (whole ? 0u : 2u) + (m->sources.count > 0 ? 1u : 0u));
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    stoq_cbor_put_uint(w, 2);
    stoq_cbor_put_uint(w, m->bytes);
    stoq_cbor_put_uint(w, 3);
    stoq_cbor_put_uint(w, m->keep_until_s);
    stoq_cbor_put_uint(w, 4);
    stoq_cbor_put_bytes(w, stoq_span(m->nonce, sizeof m->nonce));
    if (!whole) {
        stoq_cbor_put_uint(w, 5);
        stoq_cbor_put_uint(w, m->first_shard);
        stoq_cbor_put_uint(w, 6);
        stoq_cbor_put_uint(w, m->shard_count);
    }
    if (m->sources.count == 0) {
        return true;
    }
    stoq_cbor_put_uint(w, 7);
    return message_put_contacts(w, &m->sources, false, STOQ_OFFER_SOURCES_MAX);
}

static void get_offer_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_msg_offer *m)
{
    switch (key) {
    case 1:
        m->id.h = stoq_cbor_rd_hash(r);
        break;
    case 2:
        m->bytes = stoq_cbor_rd_uint(r);
        break;
    case 3:
        m->keep_until_s = stoq_cbor_rd_uint(r);
        break;
    case 4:
        message_get_nonce(r, m->nonce);
        break;
    case 5:
        m->first_shard = stoq_cbor_rd_uint_in(r, 0, STOQ_MESSAGE_INDEX_MAX);
        break;
    case 6:
        m->shard_count = stoq_cbor_rd_uint_in(r, 1, STOQ_MESSAGE_INDEX_MAX);
        break;
    case 7:
        message_get_contacts(r, &m->sources, false, STOQ_OFFER_SOURCES_MAX);
        if (m->sources.count == 0) { /* none is no key */
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void get_offer(struct stoq_cbor_rd *r, struct stoq_msg_offer *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        get_offer_field(r, key, m);
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, (f.seen & 0x60) != 0 ? 0x7e : 0x1e);
}

static bool receipt_good(const struct stoq_signed *s)
{
    struct stoq_receipt receipt;
    return stoq_receipt_decode(s->body, &receipt) == STOQ_OK;
}

static bool put_receipt(struct stoq_cbor_wr *w, const struct stoq_msg_receipt *m)
{
    stoq_cbor_put_map(w, 1);
    stoq_cbor_put_uint(w, 1);
    return receipt_good(&m->receipt) && message_put_signed(w, &m->receipt);
}

static void get_receipt(struct stoq_cbor_rd *r, struct stoq_msg_receipt *m)
{
    uint64_t key = 0;
    if (stoq_cbor_rd_map(r) != 1 || !stoq_cbor_rd_key(r, &key) || key != 1) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    message_get_signed(r, &m->receipt);
    stoq_cbor_rd_leave(r);
    if (r->status == STOQ_OK && !receipt_good(&m->receipt)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

void message_get_nonce(struct stoq_cbor_rd *r, uint8_t out[STOQ_RECEIPT_NONCE_BYTES])
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, STOQ_RECEIPT_NONCE_BYTES, STOQ_RECEIPT_NONCE_BYTES);
    if (s.n == STOQ_RECEIPT_NONCE_BYTES) {
        memcpy(out, s.p, s.n);
    }
}

bool message_put_bulk(struct stoq_cbor_wr *w, const struct stoq_message *m)
{
    switch (m->type) {
    case STOQ_MSG_REQUEST:
        return put_request(w, &m->u.request);
    case STOQ_MSG_PACKAGE_DOWNLOAD:
        return put_package_download(w, &m->u.package_download);
    case STOQ_MSG_HAVE:
        return put_have(w, &m->u.have);
    case STOQ_MSG_CANCEL:
        put_cancel(w, &m->u.cancel);
        return true;
    case STOQ_MSG_OFFER:
        return put_offer(w, &m->u.offer);
    case STOQ_MSG_RECEIPT:
        return put_receipt(w, &m->u.receipt);
    default:
        return false;
    }
}

bool message_get_bulk(struct stoq_cbor_rd *r, struct stoq_range *memory, struct stoq_message *m)
{
    switch (m->type) {
    case STOQ_MSG_REQUEST:
        get_request(r, memory, &m->u.request);
        return true;
    case STOQ_MSG_PACKAGE_DOWNLOAD:
        get_package_download(r, memory, &m->u.package_download);
        return true;
    case STOQ_MSG_HAVE:
        get_have(r, &m->u.have);
        return true;
    case STOQ_MSG_CANCEL:
        get_cancel(r, &m->u.cancel);
        return true;
    case STOQ_MSG_OFFER:
        get_offer(r, &m->u.offer);
        return true;
    case STOQ_MSG_RECEIPT:
        get_receipt(r, &m->u.receipt);
        return true;
    default:
        return false;
    }
}
