#include "wire/message_internal.h"

/* Proof is not here: its body is another document's map, carried as it is. */
static const struct message_body *body_of(uint64_t type)
{
    static const struct message_body *const bodies[] = {
        [STOQ_MSG_HELLO] = &message_hello,
        [STOQ_MSG_PING] = &message_ping,
        [STOQ_MSG_ERROR] = &message_error,
        [STOQ_MSG_RESPONSE] = &message_response,
        [STOQ_MSG_METADATA_QUERY] = &message_metadata_query,
        [STOQ_MSG_CHUNK_REQUEST] = &message_chunk_request,
        [STOQ_MSG_HAVE] = &message_have,
        [STOQ_MSG_CANCEL] = &message_cancel,
        [STOQ_MSG_ANNOUNCE] = &message_announce,
        [STOQ_MSG_REQUEST] = &message_request,
        [STOQ_MSG_PACKAGE_DOWNLOAD] = &message_package_download,
        [STOQ_MSG_PEER_EXCHANGE] = &message_peer_exchange,
        [STOQ_MSG_OFFER] = &message_offer,
        [STOQ_MSG_RECEIPT] = &message_receipt,
        [STOQ_MSG_FIND_NODE] = &message_find_node,
        [STOQ_MSG_FIND_VALUE] = &message_find_value,
        [STOQ_MSG_STORE] = &message_store,
        [STOQ_MSG_RENEW] = &message_renew,
        [STOQ_MSG_PATCH] = &message_patch,
    };
    return type < STOQ_COUNT(bodies) ? bodies[type] : NULL;
}

static uint32_t keys_of(const struct message_body *b, const void *body)
{
    return b->keys != NULL ? b->keys(body) : stoq_form_keys(&b->form, body);
}

static bool fits(const struct message_body *b, const void *body)
{
    return b->fits == NULL || b->fits(body);
}

static bool put_proof(struct stoq_cbor_wr *w, const struct stoq_msg_proof *m)
{
    stoq_cbor_put_raw(w, m->proof);
    return m->proof.n >= 1 && m->proof.n <= STOQ_PROOF_BYTES_MAX;
}

static bool put_body(struct stoq_cbor_wr *w, const struct stoq_message *m)
{
    const struct message_body *b = body_of(m->type);
    if (m->type == STOQ_MSG_PROOF) {
        return put_proof(w, &m->u.proof);
    }
    return b != NULL && (b->known == NULL || b->known(&m->u)) && fits(b, &m->u) &&
           stoq_form_put(w, &b->form, &m->u, keys_of(b, &m->u));
}

enum stoq_status stoq_message_encode(const struct stoq_message *m, struct stoq_buf *out)
{
    const uint8_t no_length[STOQ_FRAME_HEAD_BYTES] = {0};
    size_t start = out->n;
    enum stoq_status st = stoq_buf_add(out, stoq_span(no_length, sizeof no_length));
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_array(&w, 3);
    stoq_cbor_put_uint(&w, m->type);
    stoq_cbor_put_uint(&w, m->request_id);
    bool is_good = put_body(&w, m);
    st = stoq_cbor_wr_done(&w);
    size_t n = out->n - start - STOQ_FRAME_HEAD_BYTES;
    if (!is_good || st == STOQ_MALFORMED) {
        st = STOQ_RANGE;
    } else if (st == STOQ_OK && n > STOQ_FRAME_BYTES_MAX) {
        st = STOQ_FULL;
    }
    if (st != STOQ_OK) {
        out->n = start;
        return st;
    }
    stoq_le32_put(out->p + start, (uint32_t)n);
    return STOQ_OK;
}

/* Any map, so that the sender of a type we do not have can be told "unsupported". */
static struct stoq_span get_map(struct stoq_cbor_rd *r)
{
    if (stoq_cbor_rd_peek(r) != STOQ_CBOR_MAP) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    return stoq_cbor_rd_any(r);
}

static void get_proof(struct stoq_cbor_rd *r, struct stoq_msg_proof *m)
{
    m->proof = get_map(r);
    if (m->proof.n > STOQ_PROOF_BYTES_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

/* False: a type without a body here, or of a kind that this version does not have. */
static bool get_body(struct stoq_cbor_rd *r, struct stoq_range *ranges, struct stoq_message *m)
{
    const struct message_body *b = body_of(m->type);
    if (m->type == STOQ_MSG_PROOF) {
        get_proof(r, &m->u.proof);
        return true;
    }
    if (b == NULL) {
        (void)get_map(r);
        return false;
    }
    uint32_t keys = stoq_form_get(r, &b->form, &m->u, ranges);
    if (r->status == STOQ_OK && b->known != NULL && !b->known(&m->u)) {
        return false;
    }
    if (r->status == STOQ_OK && (keys != keys_of(b, &m->u) || !fits(b, &m->u))) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    return true;
}

enum stoq_status stoq_message_decode(struct stoq_span cbor,
                                     struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX],
                                     struct stoq_message *out)
{
    *out = (struct stoq_message){0};
    struct stoq_cbor_rd r = stoq_cbor_rd(cbor);
    if (stoq_cbor_rd_array(&r) != 3) {
        return STOQ_MALFORMED;
    }
    out->type = stoq_cbor_rd_uint(&r);
    out->request_id = stoq_cbor_rd_uint(&r);
    bool known = get_body(&r, ranges, out);
    stoq_cbor_rd_leave(&r);
    if (stoq_cbor_rd_done(&r) != STOQ_OK) {
        return STOQ_MALFORMED;
    }
    return known ? STOQ_OK : STOQ_VERSION;
}
