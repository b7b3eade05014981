/* Whole packages and their placement: Request, PackageDownload, Have, Cancel, Offer, Receipt. */
#include "wire/message_internal.h"

#define HASH_BYTES sizeof(struct stoq_hash)

static void get_held(struct stoq_cbor_rd *r, void *memory, const struct stoq_range **held,
                     uint32_t *count)
{
    struct message_ranges ranges = {0};
    message_get_ranges(r, memory, STOQ_MESSAGE_INDEX_MAX, &ranges);
    *held = ranges.v;
    *count = ranges.count;
}

static bool put_held(struct stoq_cbor_wr *w, const struct stoq_range *held, uint32_t count)
{
    const struct message_ranges ranges = {held, count, 0};
    return message_put_ranges(w, &ranges, STOQ_MESSAGE_INDEX_MAX);
}

static void get_request_held(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                             void *memory)
{
    struct stoq_msg_request *m = at;
    get_held(r, memory, &m->held, &m->held_count);
}

static bool put_request_held(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_msg_request *m = at;
    return put_held(w, m->held, m->held_count);
}

static const struct stoq_field request_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_request, id.h)},
    {2,
     STOQ_IS_BYTES(struct stoq_msg_request, hashes, HASH_BYTES,
                   STOQ_REQUEST_HASHES_MAX *HASH_BYTES),
     .unit = HASH_BYTES, .optional = true},
    {3, STOQ_IS_OWN_OF_ALL(get_request_held, put_request_held), .optional = true},
    {4, STOQ_IS_TRUE(struct stoq_msg_request, want_proofs)},
};
static const struct stoq_form request_form = STOQ_FORM(request_fields);

static uint32_t request_keys(const void *body)
{
    const struct stoq_msg_request *m = body;
    return stoq_form_keys(&request_form, m) | (m->held_count > 0 ? STOQ_KEY(3) : 0);
}

static bool request_fits(const void *body)
{
    const struct stoq_msg_request *m = body;
    return m->hashes.n == 0 || m->held_count == 0;
}

const struct message_body message_request = {
    .form = STOQ_FORM(request_fields), .keys = request_keys, .fits = request_fits};

static void get_download_held(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                              void *memory)
{
    struct stoq_msg_package_download *m = at;
    get_held(r, memory, &m->held, &m->held_count);
}

static bool put_download_held(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_msg_package_download *m = at;
    return put_held(w, m->held, m->held_count);
}

static uint32_t download_keys(const void *body)
{
    const struct stoq_msg_package_download *m = body;
    return STOQ_KEY(1) | (m->held_count > 0 ? STOQ_KEY(2) : 0) | (m->want_proofs ? STOQ_KEY(3) : 0);
}

static const struct stoq_field download_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_package_download, id.h)},
    {2, STOQ_IS_OWN_OF_ALL(get_download_held, put_download_held), .optional = true},
    {3, STOQ_IS_TRUE(struct stoq_msg_package_download, want_proofs)},
};
const struct message_body message_package_download = {.form = STOQ_FORM(download_fields),
                                                      .keys = download_keys};

static uint32_t have_keys(const void *body)
{
    const struct stoq_msg_have *m = body;
    return STOQ_KEY(1) | (m->chunk_count > 0 ? STOQ_KEY(2) | STOQ_KEY(3) | STOQ_KEY(4) : 0);
}

/* As many bits as chunks, and nothing behind them. */
static bool have_fits(const void *body)
{
    const struct stoq_msg_have *m = body;
    if (m->chunk_count == 0) {
        return m->first_chunk == 0 && m->bits.n == 0;
    }
    unsigned used = m->chunk_count % 8;
    return m->bits.n == (m->chunk_count + 7) / 8 &&
           (used == 0 || m->bits.p[m->bits.n - 1] >> used == 0);
}

static const struct stoq_field have_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_have, id.h)},
    {2, STOQ_IS_UINT(struct stoq_msg_have, first_chunk, 0, STOQ_MESSAGE_INDEX_MAX),
     .optional = true},
    {3, STOQ_IS_UINT(struct stoq_msg_have, chunk_count, 1, STOQ_HAVE_CHUNKS_MAX), .optional = true},
    {4, STOQ_IS_BYTES(struct stoq_msg_have, bits, 1, STOQ_HAVE_CHUNKS_MAX / 8), .optional = true},
};
const struct message_body message_have = {
    .form = STOQ_FORM(have_fields), .keys = have_keys, .fits = have_fits};

static const struct stoq_field cancel_fields[] = {
    {1, STOQ_IS_UINT(struct stoq_msg_cancel, request_id, 0, UINT64_MAX)},
};
const struct message_body message_cancel = {.form = STOQ_FORM(cancel_fields)};

static uint32_t offer_keys(const void *body)
{
    const struct stoq_msg_offer *m = body;
    return STOQ_KEY(1) | STOQ_KEY(2) | STOQ_KEY(3) | STOQ_KEY(4) |
           (m->shard_count > 0 ? STOQ_KEY(5) | STOQ_KEY(6) : 0) |
           (m->sources.count > 0 ? STOQ_KEY(7) : 0);
}

static bool offer_fits(const void *body)
{
    const struct stoq_msg_offer *m = body;
    return m->shard_count > 0 || m->first_shard == 0;
}

static const struct stoq_field offer_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_offer, id.h)},
    {2, STOQ_IS_UINT(struct stoq_msg_offer, bytes, 0, UINT64_MAX)},
    {3, STOQ_IS_UINT(struct stoq_msg_offer, keep_until_s, 0, UINT64_MAX)},
    {4, STOQ_IS_ARRAY(struct stoq_msg_offer, nonce)},
    {5, STOQ_IS_UINT(struct stoq_msg_offer, first_shard, 0, STOQ_MESSAGE_INDEX_MAX),
     .optional = true},
    {6, STOQ_IS_UINT(struct stoq_msg_offer, shard_count, 1, STOQ_MESSAGE_INDEX_MAX),
     .optional = true},
    {7,
     STOQ_IS_OWN(struct stoq_msg_offer, sources, struct stoq_signed_list, message_get_contacts,
                 message_put_contacts, 0, STOQ_OFFER_SOURCES_MAX),
     .optional = true},
};
const struct message_body message_offer = {
    .form = STOQ_FORM(offer_fields), .keys = offer_keys, .fits = offer_fits};

static bool receipt_good(const struct stoq_signed *s)
{
    struct stoq_receipt receipt;
    return stoq_receipt_decode(s->body, &receipt) == STOQ_OK;
}

static void get_receipt(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_signed *s = at;
    message_get_signed(r, s);
    if (r->status == STOQ_OK && !receipt_good(s)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static bool put_receipt(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    return receipt_good(at) && message_put_signed(w, at);
}

static const struct stoq_field receipt_fields[] = {
    {1, STOQ_IS_OWN(struct stoq_msg_receipt, receipt, struct stoq_signed, get_receipt, put_receipt,
                    0, 0)},
};
const struct message_body message_receipt = {.form = STOQ_FORM(receipt_fields)};
