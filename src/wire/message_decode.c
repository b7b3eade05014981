#include "wire/message_internal.h"

bool message_next_field(struct stoq_cbor_rd *r, struct message_fields *f, uint64_t *key)
{
    if (!stoq_cbor_rd_key(r, key)) {
        return false;
    }
    if (*key >= 24) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return false;
    }
    f->seen |= 1u << *key;
    return true;
}

void message_need_fields(struct stoq_cbor_rd *r, const struct message_fields *f, uint32_t mask)
{
    if ((f->seen & mask) != mask) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void get_versions(struct stoq_cbor_rd *r, struct stoq_msg_hello *m)
{
    uint64_t n = stoq_cbor_rd_array(r);
    if (n < 1 || n > STOQ_HELLO_VERSIONS_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint32_t v = (uint32_t)stoq_cbor_rd_uint_in(r, 0, UINT32_MAX);
        if (i > 0 && v <= m->versions[i - 1]) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
        m->versions[i] = v;
    }
    m->version_count = (uint32_t)n;
    stoq_cbor_rd_leave(r);
}

static void get_hello(struct stoq_cbor_rd *r, struct stoq_msg_hello *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            get_versions(r, m);
            break;
        case 2:
            m->features = stoq_cbor_rd_uint(r);
            break;
        case 3:
            m->agent = stoq_cbor_rd_text(r, 1, STOQ_HELLO_AGENT_MAX);
            break;
        case 4:
            m->ranges_max = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_REQUEST_RANGES_MAX);
            break;
        case 5:
            m->chunks_max = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_REQUEST_CHUNKS_MAX);
            break;
        case 6:
            m->frame_bytes_max =
                (uint32_t)stoq_cbor_rd_uint_in(r, STOQ_HELLO_FRAME_MIN, STOQ_FRAME_BYTES_MAX);
            break;
        case 7:
            m->rpc_key = stoq_cbor_rd_bytes(r, STOQ_HELLO_RPC_KEY_BYTES, STOQ_HELLO_RPC_KEY_BYTES);
            break;
        case 8:
            m->rpc_proof = stoq_cbor_rd_bytes(r, 1, STOQ_HELLO_RPC_PROOF_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 0x7e);
    if (m->rpc_key.n > 0 || m->rpc_proof.n > 0) {
        message_need_fields(r, &f, 3 << 7);
    }
}

static void get_error(struct stoq_cbor_rd *r, struct stoq_msg_error *m)
{
    struct message_fields f = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->code = stoq_cbor_rd_uint(r);
            break;
        case 2:
            m->text = stoq_cbor_rd_text(r, 1, STOQ_ERROR_TEXT_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 1 << 1);
}

static void get_response(struct stoq_cbor_rd *r, struct stoq_msg_response *m)
{
    struct message_fields f = {0};
    uint64_t key;
    uint64_t kind = 0;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            kind = stoq_cbor_rd_uint(r);
            break;
        case 2:
            m->payload_bytes = stoq_cbor_rd_uint_in(r, 0, STOQ_META_BYTES_MAX);
            break;
        case 3:
            m->items = (uint32_t)stoq_cbor_rd_uint_in(r, 0, UINT32_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    m->kind = (enum stoq_meta_kind)kind;
    if (f.seen != (1u << 1 | message_response_keys(kind)) || !message_response_fits(m)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void get_proof(struct stoq_cbor_rd *r, struct stoq_msg_proof *m)
{
    if (stoq_cbor_rd_peek(r) != STOQ_CBOR_MAP) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    m->proof = stoq_cbor_rd_any(r);
    if (m->proof.n > STOQ_PROOF_BYTES_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void get_metadata_query(struct stoq_cbor_rd *r, struct stoq_msg_metadata_query *m)
{
    struct message_fields f = {0};
    uint64_t key;
    uint64_t kind = 0;
    uint64_t count = 0;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->id.h = stoq_cbor_rd_hash(r);
            break;
        case 2:
            kind = stoq_cbor_rd_uint_in(r, STOQ_META_MANIFEST, STOQ_META_HAVE_CHUNKS);
            break;
        case 3:
            m->shards.first = stoq_cbor_rd_uint_in(r, 0, STOQ_MESSAGE_INDEX_MAX);
            break;
        case 4:
            count = stoq_cbor_rd_uint_in(r, 1, STOQ_META_HAVE_MAX);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    m->kind = (enum stoq_meta_kind)kind;
    m->shards.count = (uint32_t)count;
    uint32_t shards_max = kind == 0 ? 0 : stoq_meta_shards_max(m->kind);
    message_need_fields(r, &f, shards_max > 0 ? 0x1e : 0x06);
    if (count > shards_max || (shards_max == 0 && f.seen != 0x06)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

void message_get_ranges(struct stoq_cbor_rd *r, struct stoq_range *memory, uint64_t chunks_max,
                        struct message_ranges *out)
{
    uint64_t n = stoq_cbor_rd_array(r);
    if (n < 2 || n % 2 != 0 || n / 2 > STOQ_REQUEST_RANGES_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    uint64_t end = 0;
    uint64_t chunks = 0;
    for (uint64_t i = 0; i < n / 2; i++) {
        uint64_t left = chunks_max - chunks < UINT32_MAX ? chunks_max - chunks : UINT32_MAX;
        /* A gap of 0 would be one longer range: there is one way to say it. */
        uint64_t gap = stoq_cbor_rd_uint_in(r, i == 0 ? 0 : 1, STOQ_MESSAGE_INDEX_MAX);
        uint32_t count = (uint32_t)stoq_cbor_rd_uint_in(r, 1, left);
        memory[i] = (struct stoq_range){end + gap, count};
        if (r->status != STOQ_OK || memory[i].first > STOQ_MESSAGE_INDEX_MAX) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
            return;
        }
        end = memory[i].first + count;
        chunks += count;
    }
    stoq_cbor_rd_leave(r);
    *out = (struct message_ranges){memory, (uint32_t)(n / 2), chunks};
}

void message_get_true(struct stoq_cbor_rd *r, bool *out)
{
    *out = stoq_cbor_rd_bool(r);
    if (!*out) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void get_chunk_request(struct stoq_cbor_rd *r, struct stoq_range *ranges,
                              struct stoq_msg_chunk_request *m)
{
    struct message_fields f = {0};
    struct message_ranges asked = {0};
    uint64_t key;
    stoq_cbor_rd_map(r);
    while (message_next_field(r, &f, &key)) {
        switch (key) {
        case 1:
            m->id.h = stoq_cbor_rd_hash(r);
            break;
        case 2:
            message_get_ranges(r, ranges, STOQ_REQUEST_CHUNKS_MAX, &asked);
            break;
        case 3:
            message_get_true(r, &m->want_proofs);
            break;
        default:
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
    }
    stoq_cbor_rd_leave(r);
    message_need_fields(r, &f, 0x06);
    m->ranges = asked.v;
    m->range_count = asked.count;
    m->chunk_count = (uint32_t)asked.chunks;
}

/* A body of a type without a struct: any map, so that its sender can be told "unsupported". */
static void get_unknown(struct stoq_cbor_rd *r)
{
    if (stoq_cbor_rd_peek(r) != STOQ_CBOR_MAP) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    (void)stoq_cbor_rd_any(r);
}

static bool get_body(struct stoq_cbor_rd *r, struct stoq_range *ranges, struct stoq_message *m)
{
    switch (m->type) {
    case STOQ_MSG_HELLO:
        get_hello(r, &m->u.hello);
        return true;
    case STOQ_MSG_PING:
        if (stoq_cbor_rd_map(r) != 0) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
        stoq_cbor_rd_leave(r);
        return true;
    case STOQ_MSG_ERROR:
        get_error(r, &m->u.error);
        return true;
    case STOQ_MSG_RESPONSE:
        get_response(r, &m->u.response);
        return true;
    case STOQ_MSG_PROOF:
        get_proof(r, &m->u.proof);
        return true;
    case STOQ_MSG_METADATA_QUERY:
        get_metadata_query(r, &m->u.metadata_query);
        return true;
    case STOQ_MSG_CHUNK_REQUEST:
        get_chunk_request(r, ranges, &m->u.chunk_request);
        return true;
    default:
        break;
    }
    if (message_get_bulk(r, ranges, m) || message_get_peer(r, m)) {
        return true;
    }
    get_unknown(r);
    return false;
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
