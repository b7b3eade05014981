#include "wire/message_internal.h"

static bool put_hello(struct stoq_cbor_wr *w, const struct stoq_msg_hello *m)
{
    if (m->version_count < 1 || m->version_count > STOQ_HELLO_VERSIONS_MAX || m->agent.n < 1 ||
        m->agent.n > STOQ_HELLO_AGENT_MAX || m->ranges_max < 1 ||
        m->ranges_max > STOQ_REQUEST_RANGES_MAX || m->chunks_max < 1 ||
        m->chunks_max > STOQ_REQUEST_CHUNKS_MAX || m->frame_bytes_max < STOQ_HELLO_FRAME_MIN ||
        m->frame_bytes_max > STOQ_FRAME_BYTES_MAX || m->rpc_proof.n > STOQ_HELLO_RPC_PROOF_MAX ||
        m->rpc_key.n != (m->rpc_proof.n > 0 ? STOQ_HELLO_RPC_KEY_BYTES : 0)) {
        return false;
    }
    stoq_cbor_put_map(w, m->rpc_key.n > 0 ? 8 : 6);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_array(w, m->version_count);
    for (uint32_t i = 0; i < m->version_count; i++) {
        if (i > 0 && m->versions[i] <= m->versions[i - 1]) {
            return false;
        }
        stoq_cbor_put_uint(w, m->versions[i]);
    }
    stoq_cbor_put_uint(w, 2);
    stoq_cbor_put_uint(w, m->features);
    stoq_cbor_put_uint(w, 3);
    stoq_cbor_put_text(w, m->agent);
    stoq_cbor_put_uint(w, 4);
    stoq_cbor_put_uint(w, m->ranges_max);
    stoq_cbor_put_uint(w, 5);
    stoq_cbor_put_uint(w, m->chunks_max);
    stoq_cbor_put_uint(w, 6);
    stoq_cbor_put_uint(w, m->frame_bytes_max);
    if (m->rpc_key.n > 0) {
        stoq_cbor_put_uint(w, 7);
        stoq_cbor_put_bytes(w, m->rpc_key);
        stoq_cbor_put_uint(w, 8);
        stoq_cbor_put_bytes(w, m->rpc_proof);
    }
    return true;
}

static bool put_error(struct stoq_cbor_wr *w, const struct stoq_msg_error *m)
{
    if (m->text.n > STOQ_ERROR_TEXT_MAX) {
        return false;
    }
    stoq_cbor_put_map(w, m->text.n > 0 ? 2 : 1);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_uint(w, m->code);
    if (m->text.n > 0) {
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_text(w, m->text);
    }
    return true;
}

static bool put_response(struct stoq_cbor_wr *w, const struct stoq_msg_response *m)
{
    uint32_t keys = message_response_keys(m->kind);
    if (!message_response_fits(m)) {
        return false;
    }
    stoq_cbor_put_map(w, 1 + (keys >> 2 & 1) + (keys >> 3 & 1));
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_uint(w, m->kind);
    if ((keys & 1u << 2) != 0) {
        stoq_cbor_put_uint(w, 2);
        stoq_cbor_put_uint(w, m->payload_bytes);
    }
    if ((keys & 1u << 3) != 0) {
        stoq_cbor_put_uint(w, 3);
        stoq_cbor_put_uint(w, m->items);
    }
    return true;
}

static bool put_proof(struct stoq_cbor_wr *w, const struct stoq_msg_proof *m)
{
    if (m->proof.n < 1 || m->proof.n > STOQ_PROOF_BYTES_MAX) {
        return false;
    }
    stoq_cbor_put_raw(w, m->proof);
    return true;
}

static bool put_metadata_query(struct stoq_cbor_wr *w, const struct stoq_msg_metadata_query *m)
{
    if (!stoq_meta_is_metadata(m->kind)) {
        return false;
    }
    uint32_t shards_max = stoq_meta_shards_max(m->kind);
    bool fits = shards_max == 0 ? m->shards.count == 0 && m->shards.first == 0
                                : m->shards.count >= 1 && m->shards.count <= shards_max &&
                                      m->shards.first <= STOQ_MESSAGE_INDEX_MAX;
    if (!fits) {
        return false;
    }
    stoq_cbor_put_map(w, shards_max == 0 ? 2 : 4);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    stoq_cbor_put_uint(w, 2);
    stoq_cbor_put_uint(w, m->kind);
    if (shards_max > 0) {
        stoq_cbor_put_uint(w, 3);
        stoq_cbor_put_uint(w, m->shards.first);
        stoq_cbor_put_uint(w, 4);
        stoq_cbor_put_uint(w, m->shards.count);
    }
    return true;
}

bool message_put_ranges(struct stoq_cbor_wr *w, const struct message_ranges *ranges,
                        uint64_t chunks_max)
{
    uint64_t end = 0;
    uint64_t chunks = 0;
    if (ranges->count < 1 || ranges->count > STOQ_REQUEST_RANGES_MAX) {
        return false;
    }
    stoq_cbor_put_array(w, 2 * (uint64_t)ranges->count);
    for (uint32_t i = 0; i < ranges->count; i++) {
        const struct stoq_range *r = &ranges->v[i];
        if (r->count < 1 || r->first > STOQ_MESSAGE_INDEX_MAX || (i > 0 && r->first <= end)) {
            return false;
        }
        stoq_cbor_put_uint(w, r->first - end);
        stoq_cbor_put_uint(w, r->count);
        end = r->first + r->count;
        chunks += r->count;
    }
    return chunks <= chunks_max;
}

static bool put_chunk_request(struct stoq_cbor_wr *w, const struct stoq_msg_chunk_request *m)
{
    const struct message_ranges asked = {m->ranges, m->range_count, 0};
    stoq_cbor_put_map(w, m->want_proofs ? 3 : 2);
    stoq_cbor_put_uint(w, 1);
    stoq_cbor_put_hash(w, &m->id.h);
    stoq_cbor_put_uint(w, 2);
    if (!message_put_ranges(w, &asked, STOQ_REQUEST_CHUNKS_MAX)) {
        return false;
    }
    if (m->want_proofs) {
        stoq_cbor_put_uint(w, 3);
        stoq_cbor_put_bool(w, true);
    }
    return true;
}

static bool put_body(struct stoq_cbor_wr *w, const struct stoq_message *m)
{
    switch (m->type) {
    case STOQ_MSG_HELLO:
        return put_hello(w, &m->u.hello);
    case STOQ_MSG_PING:
        stoq_cbor_put_map(w, 0);
        return true;
    case STOQ_MSG_ERROR:
        return put_error(w, &m->u.error);
    case STOQ_MSG_RESPONSE:
        return put_response(w, &m->u.response);
    case STOQ_MSG_PROOF:
        return put_proof(w, &m->u.proof);
    case STOQ_MSG_METADATA_QUERY:
        return put_metadata_query(w, &m->u.metadata_query);
    case STOQ_MSG_CHUNK_REQUEST:
        return put_chunk_request(w, &m->u.chunk_request);
    default:
        return message_put_bulk(w, m) || message_put_peer(w, m);
    }
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
    bool fits = put_body(&w, m);
    st = stoq_cbor_wr_done(&w);
    size_t n = out->n - start - STOQ_FRAME_HEAD_BYTES;
    if (!fits || st == STOQ_MALFORMED) {
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
