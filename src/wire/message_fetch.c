/* A fetch: Hello, Ping, Error, Response, MetadataQuery, ChunkRequest. */
#include "wire/message_internal.h"

#define HELLO_FRAME_MIN 4096
#define META_KIND_MAX 15 /* of a MetadataQuery in any version; those above are kinds of answers */

static void get_versions(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_msg_hello *m = at;
    uint64_t n = stoq_cbor_rd_array(r);
    if (n < 1 || n > STOQ_HELLO_VERSIONS_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        m->versions[i] = (uint32_t)stoq_cbor_rd_uint_in(r, 0, UINT32_MAX);
    }
    m->version_count = (uint32_t)n;
    stoq_cbor_rd_leave(r);
}

static bool put_versions(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_msg_hello *m = at;
    if (m->version_count < 1 || m->version_count > STOQ_HELLO_VERSIONS_MAX) {
        return false;
    }
    stoq_cbor_put_array(w, m->version_count);
    for (uint32_t i = 0; i < m->version_count; i++) {
        stoq_cbor_put_uint(w, m->versions[i]);
    }
    return true;
}

static bool hello_fits(const void *body)
{
    const struct stoq_msg_hello *m = body;
    for (uint32_t i = 1; i < m->version_count && i < STOQ_HELLO_VERSIONS_MAX; i++) {
        if (m->versions[i] <= m->versions[i - 1]) {
            return false;
        }
    }
    return (m->rpc_key.n > 0) == (m->rpc_proof.n > 0);
}

static const struct stoq_field hello_fields[] = {
    {1, STOQ_IS_OWN_OF_ALL(get_versions, put_versions)},
    {2, STOQ_IS_UINT(struct stoq_msg_hello, features, 0, UINT64_MAX)},
    {3, STOQ_IS_TEXT(struct stoq_msg_hello, agent, 1, STOQ_HELLO_AGENT_MAX)},
    {4, STOQ_IS_UINT(struct stoq_msg_hello, ranges_max, 1, STOQ_REQUEST_RANGES_MAX)},
    {5, STOQ_IS_UINT(struct stoq_msg_hello, chunks_max, 1, STOQ_REQUEST_CHUNKS_MAX)},
    {6,
     STOQ_IS_UINT(struct stoq_msg_hello, frame_bytes_max, HELLO_FRAME_MIN, STOQ_FRAME_BYTES_MAX)},
    {7,
     STOQ_IS_BYTES(struct stoq_msg_hello, rpc_key, STOQ_HELLO_RPC_KEY_BYTES,
                   STOQ_HELLO_RPC_KEY_BYTES),
     .optional = true},
    {8, STOQ_IS_BYTES(struct stoq_msg_hello, rpc_proof, 1, STOQ_HELLO_RPC_PROOF_MAX),
     .optional = true},
};
const struct message_body message_hello = {.form = STOQ_FORM(hello_fields), .fits = hello_fits};

const struct message_body message_ping = {.form = {NULL, 0}};

static const struct stoq_field error_fields[] = {
    {1, STOQ_IS_UINT(struct stoq_msg_error, code, 0, UINT64_MAX)},
    {2, STOQ_IS_TEXT(struct stoq_msg_error, text, 1, STOQ_ERROR_TEXT_MAX), .optional = true},
};
const struct message_body message_error = {.form = STOQ_FORM(error_fields)};

static uint32_t response_keys(const void *body)
{
    const struct stoq_msg_response *m = body;
    uint32_t cap = m->cap_bytes_per_s > 0 ? STOQ_KEY(4) : 0;
    switch (m->kind) {
    case STOQ_META_CHUNKS:
    case STOQ_META_ALL_CHUNKS:
        return STOQ_KEY(1) | STOQ_KEY(3) | cap;
    case STOQ_META_PACKAGE:
        return STOQ_KEY(1) | STOQ_KEY(2) | STOQ_KEY(3) | cap;
    case STOQ_META_ACCEPTED:
        return STOQ_KEY(1);
    default:
        return STOQ_KEY(1) | STOQ_KEY(2);
    }
}

static bool response_fits(const void *body)
{
    const struct stoq_msg_response *m = body;
    switch (m->kind) {
    case STOQ_META_CHUNKS:
        return m->items >= 1 && m->items <= STOQ_REQUEST_CHUNKS_MAX;
    case STOQ_META_ALL_CHUNKS:
    case STOQ_META_PACKAGE:
        return true;
    case STOQ_META_ACCEPTED:
        return m->cap_bytes_per_s == 0;
    default:
        return m->cap_bytes_per_s == 0 && stoq_meta_is_metadata(m->kind);
    }
}

static const struct stoq_field response_fields[] = {
    {1, STOQ_IS_UINT(struct stoq_msg_response, kind, 0, UINT32_MAX)},
    {2, STOQ_IS_UINT(struct stoq_msg_response, payload_bytes, 0, STOQ_META_BYTES_MAX),
     .optional = true},
    {3, STOQ_IS_UINT(struct stoq_msg_response, items, 0, UINT32_MAX), .optional = true},
    {4, STOQ_IS_UINT(struct stoq_msg_response, cap_bytes_per_s, 1, STOQ_RESPONSE_CAP_MAX),
     .optional = true},
};
const struct message_body message_response = {
    .form = STOQ_FORM(response_fields), .keys = response_keys, .fits = response_fits};

static uint32_t metadata_query_keys(const void *body)
{
    const struct stoq_msg_metadata_query *m = body;
    uint32_t shards = STOQ_KEY(3) | STOQ_KEY(4);
    return STOQ_KEY(1) | STOQ_KEY(2) | (stoq_meta_shards_max(m->kind) > 0 ? shards : 0);
}

static bool metadata_query_fits(const void *body)
{
    const struct stoq_msg_metadata_query *m = body;
    uint32_t shards_max = stoq_meta_shards_max(m->kind);
    return m->shards.count <= shards_max && (shards_max > 0 || m->shards.first == 0);
}

static bool metadata_query_known(const void *body)
{
    const struct stoq_msg_metadata_query *m = body;
    return stoq_meta_is_metadata(m->kind);
}

static const struct stoq_field metadata_query_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_metadata_query, id.h)},
    {2, STOQ_IS_UINT(struct stoq_msg_metadata_query, kind, STOQ_META_MANIFEST, META_KIND_MAX)},
    {3, STOQ_IS_UINT(struct stoq_msg_metadata_query, shards.first, 0, STOQ_MESSAGE_INDEX_MAX),
     .optional = true},
    {4, STOQ_IS_UINT(struct stoq_msg_metadata_query, shards.count, 1, STOQ_META_HAVE_MAX),
     .optional = true},
};
const struct message_body message_metadata_query = {.form = STOQ_FORM(metadata_query_fields),
                                                    .keys = metadata_query_keys,
                                                    .fits = metadata_query_fits,
                                                    .known = metadata_query_known};

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

static void get_asked(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_msg_chunk_request *m = at;
    struct message_ranges asked = {0};
    message_get_ranges(r, memory, STOQ_REQUEST_CHUNKS_MAX, &asked);
    m->ranges = asked.v;
    m->range_count = asked.count;
    m->chunk_count = (uint32_t)asked.chunks;
}

static bool put_asked(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_msg_chunk_request *m = at;
    const struct message_ranges asked = {m->ranges, m->range_count, 0};
    return message_put_ranges(w, &asked, STOQ_REQUEST_CHUNKS_MAX);
}

static const struct stoq_field chunk_request_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_msg_chunk_request, id.h)},
    {2, STOQ_IS_OWN_OF_ALL(get_asked, put_asked)},
    {3, STOQ_IS_TRUE(struct stoq_msg_chunk_request, want_proofs)},
    {4, STOQ_IS_UINT(struct stoq_msg_chunk_request, priority, 1, STOQ_PRIORITIES - 1),
     .optional = true},
};
const struct message_body message_chunk_request = {.form = STOQ_FORM(chunk_request_fields)};
