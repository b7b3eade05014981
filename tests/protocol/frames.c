/*
 * Frames of every message, one after the other on standard output, for the second reader: the fields are
 * drawn from a seed, within their limits and often at them.
 *
 * usage: frames SEED ROUNDS
 */
#include "base/prng.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_BYTES 40000

struct maker {
    struct stoq_prng draws;
    uint8_t fill[70000];
    struct stoq_range ranges[64];
    struct stoq_buf near;
    struct stoq_buf values;
    struct stoq_buf body;
    struct stoq_buf out;
};

static uint64_t below(struct maker *mk, uint64_t n)
{
    return stoq_prng_below(&mk->draws, n);
}

/* Small, large, or anything. */
static uint64_t any(struct maker *mk)
{
    switch (below(mk, 4)) {
    case 0:
        return below(mk, 24);
    case 1:
        return UINT64_MAX;
    case 2:
        return below(mk, 70000);
    default:
        return stoq_prng_next(&mk->draws);
    }
}

/* min, max, or between. */
static uint64_t within(struct maker *mk, uint64_t min, uint64_t max)
{
    switch (below(mk, 4)) {
    case 0:
        return min;
    case 1:
        return max;
    default:
        return min + below(mk, max - min + 1);
    }
}

static struct stoq_span bytes(struct maker *mk, size_t min, size_t max)
{
    size_t n = (size_t)within(mk, min, max);
    return stoq_span(mk->fill + below(mk, sizeof mk->fill - n + 1), n);
}

static struct stoq_hash hash(struct maker *mk)
{
    struct stoq_hash h;
    memcpy(h.b, bytes(mk, sizeof h.b, sizeof h.b).p, sizeof h.b);
    return h;
}

static struct stoq_span text(struct maker *mk)
{
    static const char *const some[] = {"x", "stoq/0.1.0", "später, bitte", "\xe6\xb0\xb4 1.2~rc3"};
    return stoq_span_str(some[below(mk, STOQ_COUNT(some))]);
}

static void must(enum stoq_status st)
{
    if (st != STOQ_OK) {
        (void)fprintf(stderr, "frames: %s\n", stoq_status_str(st));
        exit(1);
    }
}

static uint32_t ranges(struct maker *mk, uint64_t count_max)
{
    uint32_t n = 1 + (uint32_t)below(mk, STOQ_COUNT(mk->ranges));
    uint64_t at = below(mk, 3);
    for (uint32_t i = 0; i < n; i++) {
        mk->ranges[i] = (struct stoq_range){at, 1 + (uint32_t)below(mk, count_max)};
        at += mk->ranges[i].count + 1 + below(mk, 5000);
    }
    return n;
}

static struct stoq_signed contact(struct maker *mk, bool with_key)
{
    struct stoq_contact c = {
        .spki = bytes(mk, 44, 60),
        .sequence = any(mk),
        .issued_at_s = any(mk),
        .ttl_s = (uint32_t)within(mk, 1, STOQ_CONTACT_TTL_MAX),
        .has_rpc_key = below(mk, 2) == 0,
        .rpc_key = hash(mk),
        .has_nonce = below(mk, 2) == 0,
        .nonce = any(mk),
        .has_key = with_key,
        .key = hash(mk),
    };
    c.addresses = stoq_span(mk->fill, STOQ_CONTACT_ADDRESS_BYTES * within(mk, 0, 8));
    stoq_buf_clear(&mk->body);
    must(stoq_contact_encode(&c, &mk->body));
    return (struct stoq_signed){stoq_buf_span(&mk->body), bytes(mk, 64, 64)};
}

static struct stoq_signed_list contacts(struct maker *mk, struct stoq_buf *to, bool with_key,
                                        uint32_t min, uint32_t max)
{
    uint32_t count = (uint32_t)within(mk, min, max);
    stoq_buf_clear(to);
    for (uint32_t i = 0; i < count; i++) {
        struct stoq_signed s = contact(mk, with_key);
        must(stoq_signed_put(&s, to));
    }
    return (struct stoq_signed_list){count, stoq_buf_span(to)};
}

static struct stoq_signed receipt(struct maker *mk)
{
    struct stoq_receipt r = {
        .id = {hash(mk)},
        .spki = bytes(mk, 1, STOQ_CONTACT_SPKI_MAX),
        .shard_count = below(mk, 2) * within(mk, 1, (uint64_t)1 << 48),
        .bytes = any(mk),
        .verified_at_s = any(mk),
        .keep_until_s = any(mk),
    };
    r.first_shard = r.shard_count == 0 ? 0 : within(mk, 0, (uint64_t)1 << 48);
    memcpy(r.nonce, mk->fill + below(mk, 100), sizeof r.nonce);
    stoq_buf_clear(&mk->body);
    must(stoq_receipt_encode(&r, &mk->body));
    return (struct stoq_signed){stoq_buf_span(&mk->body), bytes(mk, 1, STOQ_SIGNED_SIGNATURE_MAX)};
}

static void fill_have(struct maker *mk, struct stoq_msg_have *m)
{
    *m = (struct stoq_msg_have){.id = {hash(mk)}};
    if (below(mk, 3) > 0) {
        m->first_chunk = within(mk, 0, (uint64_t)1 << 48);
        m->chunk_count = 8 * (uint32_t)within(mk, 1, 2000);
        m->bits = bytes(mk, m->chunk_count / 8, m->chunk_count / 8);
    }
}

static void fill_request(struct maker *mk, struct stoq_msg_request *m)
{
    *m = (struct stoq_msg_request){.id = {hash(mk)}, .want_proofs = below(mk, 2) == 0};
    switch (below(mk, 3)) {
    case 0:
        m->hashes = stoq_span(mk->fill, 32 * within(mk, 1, STOQ_REQUEST_HASHES_MAX));
        break;
    case 1:
        m->held = mk->ranges;
        m->held_count = ranges(mk, UINT32_MAX);
        break;
    default:
        break;
    }
}

static void fill_offer(struct maker *mk, struct stoq_msg_offer *m)
{
    *m = (struct stoq_msg_offer){
        .id = {hash(mk)}, .bytes = any(mk), .keep_until_s = any(mk), .nonce = {1, 2, 3}};
    if (below(mk, 2) == 0) {
        m->first_shard = within(mk, 0, (uint64_t)1 << 48);
        m->shard_count = within(mk, 1, (uint64_t)1 << 48);
    }
    m->sources = contacts(mk, &mk->near, false, 0, STOQ_OFFER_SOURCES_MAX);
}

static void fill_response(struct maker *mk, struct stoq_msg_response *m)
{
    static const uint8_t kinds[] = {1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19};
    *m = (struct stoq_msg_response){.kind =
                                        (enum stoq_meta_kind)kinds[below(mk, STOQ_COUNT(kinds))]};
    if (m->kind < STOQ_META_CHUNKS || m->kind == STOQ_META_PACKAGE) {
        m->payload_bytes = within(mk, 0, STOQ_META_BYTES_MAX);
    }
    if (m->kind == STOQ_META_CHUNKS) {
        m->items = (uint32_t)within(mk, 1, STOQ_REQUEST_CHUNKS_MAX);
    } else if (m->kind == STOQ_META_ALL_CHUNKS || m->kind == STOQ_META_PACKAGE) {
        m->items = (uint32_t)within(mk, 0, UINT32_MAX);
    }
}

static void fill_query(struct maker *mk, struct stoq_msg_metadata_query *m)
{
    static const uint32_t most[] = {
        0, 0, 0, STOQ_META_LISTS_MAX, 0, STOQ_META_HAVE_MAX, STOQ_META_LISTS_MAX, 0};
    uint64_t kind = within(mk, 1, 7);
    *m = (struct stoq_msg_metadata_query){.id = {hash(mk)}, .kind = (enum stoq_meta_kind)kind};
    if (most[kind] > 0) {
        m->shards = (struct stoq_range){within(mk, 0, (uint64_t)1 << 48),
                                        (uint32_t)within(mk, 1, most[kind])};
    }
}

static struct stoq_find_page page(struct maker *mk)
{
    struct stoq_find_page p = {.skip = (uint32_t)below(mk, STOQ_FIND_SKIP_MAX + 1)};
    if (below(mk, 2) == 0) {
        p.asker = contact(mk, false);
    }
    return p;
}

static void fill_store(struct maker *mk, struct stoq_msg_store *m)
{
    bool several = below(mk, 2) == 0;
    if (!m->is_answer) {
        if (several) {
            m->more = contacts(mk, &mk->values, true, 1, STOQ_STORE_RECORDS_MAX - 1);
        }
        m->record = contact(mk, true); /* in the memory that those were made in */
    } else if (several) {
        m->kept_count = (uint32_t)within(mk, 2, STOQ_STORE_RECORDS_MAX);
        for (uint32_t i = 0; i < m->kept_count; i++) {
            m->kept_s[i] = (uint32_t)within(mk, 0, STOQ_CONTACT_TTL_MAX);
        }
    } else {
        m->ttl_s = (uint32_t)within(mk, 1, STOQ_CONTACT_TTL_MAX);
    }
}

static void fill_renew(struct maker *mk, struct stoq_msg_renew *m)
{
    if (m->is_answer) {
        m->kept = bytes(mk, 1, STOQ_RENEWAL_MAX);
        return;
    }
    size_t n = STOQ_RENEWAL_DIGEST_BYTES * within(mk, 1, STOQ_RENEWAL_MAX);
    struct stoq_renewal rec = {.spki = bytes(mk, 44, 44),
                               .holder = {hash(mk)},
                               .issued_at_s = any(mk),
                               .digests = bytes(mk, n, n)};
    stoq_buf_clear(&mk->body);
    must(stoq_renewal_encode(&rec, &mk->body));
    m->renewal = (struct stoq_signed){stoq_buf_span(&mk->body), bytes(mk, 64, 64)};
}

static void fill_patch(struct maker *mk, struct stoq_msg_patch *m)
{
    if (m->is_answer) {
        m->kept = bytes(mk, 1, STOQ_PATCH_MAX);
        return;
    }
    m->provider.h = hash(mk);
    m->sequence = any(mk);
    m->issued_at_s = any(mk);
    m->patches = stoq_span(mk->fill, STOQ_PATCH_BYTES * within(mk, 1, STOQ_PATCH_MAX));
}

static void fill_dht(struct maker *mk, struct stoq_message *m)
{
    bool is_answer = below(mk, 2) == 0;
    if (m->type == STOQ_MSG_PATCH) {
        m->u.patch = (struct stoq_msg_patch){.is_answer = is_answer};
        fill_patch(mk, &m->u.patch);
        return;
    }
    if (m->type == STOQ_MSG_RENEW) {
        m->u.renew = (struct stoq_msg_renew){.is_answer = is_answer};
        fill_renew(mk, &m->u.renew);
        return;
    }
    if (m->type == STOQ_MSG_STORE) {
        m->u.store = (struct stoq_msg_store){.is_answer = is_answer};
        fill_store(mk, &m->u.store);
        return;
    }
    struct stoq_signed_list near = contacts(mk, &mk->near, false, 0, STOQ_FIND_NEAR_MAX);
    struct stoq_signed_list values = contacts(mk, &mk->values, true, 0, STOQ_FIND_VALUES_MAX);
    if (m->type == STOQ_MSG_FIND_NODE) {
        m->u.find_node =
            is_answer
                ? (struct stoq_msg_find_node){true, {{0}}, 0, near, {.more = below(mk, 2) == 0}}
                : (struct stoq_msg_find_node){.target = hash(mk),
                                              .want = (uint32_t)within(mk, 1, STOQ_FIND_NEAR_MAX),
                                              .page = page(mk)};
    } else {
        m->u.find_value =
            is_answer ? (struct stoq_msg_find_value){true,   {{0}}, 0,
                                                     values, near,  {.more = below(mk, 2) == 0}}
                      : (struct stoq_msg_find_value){
                            .key = hash(mk),
                            .want = (uint32_t)within(mk, 1, STOQ_FIND_VALUES_MAX),
                            .page = page(mk)};
    }
}

static void fill(struct maker *mk, struct stoq_message *m)
{
    static const uint8_t proof[] = {0xa2, 0x01, 0x18, 0x20, 0x02, 0x41, 0xff};
    switch (m->type) {
    case STOQ_MSG_HELLO:
        m->u.hello =
            (struct stoq_msg_hello){2, {1, 7}, any(mk), text(mk), 1, 4096, 65536, {0}, {0}};
        if (below(mk, 2) == 0) {
            m->u.hello.rpc_key = bytes(mk, 32, 32);
            m->u.hello.rpc_proof = bytes(mk, 1, STOQ_HELLO_RPC_PROOF_MAX);
        }
        break;
    case STOQ_MSG_ERROR:
        m->u.error.code = within(mk, 1, 13);
        m->u.error.text = below(mk, 2) == 0 ? text(mk) : stoq_span(NULL, 0);
        break;
    case STOQ_MSG_RESPONSE:
        fill_response(mk, &m->u.response);
        break;
    case STOQ_MSG_PROOF:
        m->u.proof.proof = stoq_span(proof, sizeof proof);
        break;
    case STOQ_MSG_METADATA_QUERY:
        fill_query(mk, &m->u.metadata_query);
        break;
    case STOQ_MSG_CHUNK_REQUEST:
        m->u.chunk_request.id.h = hash(mk);
        m->u.chunk_request.ranges = mk->ranges;
        m->u.chunk_request.range_count = ranges(mk, 60);
        m->u.chunk_request.want_proofs = below(mk, 2) == 0;
        break;
    case STOQ_MSG_HAVE:
        fill_have(mk, &m->u.have);
        break;
    case STOQ_MSG_CANCEL:
        m->u.cancel.request_id = any(mk);
        break;
    case STOQ_MSG_ANNOUNCE:
        m->u.announce =
            (struct stoq_msg_announce){{hash(mk)}, text(mk), text(mk), any(mk), contact(mk, true)};
        break;
    case STOQ_MSG_REQUEST:
        fill_request(mk, &m->u.request);
        break;
    case STOQ_MSG_PACKAGE_DOWNLOAD:
        m->u.package_download = (struct stoq_msg_package_download){.id = {hash(mk)}};
        if (below(mk, 2) == 0) {
            m->u.package_download.held = mk->ranges;
            m->u.package_download.held_count = ranges(mk, UINT32_MAX);
        }
        break;
    case STOQ_MSG_PEER_EXCHANGE:
        m->u.peer_exchange.want = (uint32_t)within(mk, 0, STOQ_EXCHANGE_PEERS_MAX);
        m->u.peer_exchange.peers = contacts(mk, &mk->near, false, 0, STOQ_EXCHANGE_PEERS_MAX);
        break;
    case STOQ_MSG_OFFER:
        fill_offer(mk, &m->u.offer);
        break;
    case STOQ_MSG_RECEIPT:
        m->u.receipt.receipt = receipt(mk);
        break;
    case STOQ_MSG_FIND_NODE:
    case STOQ_MSG_FIND_VALUE:
    case STOQ_MSG_STORE:
    case STOQ_MSG_RENEW:
    case STOQ_MSG_PATCH:
        fill_dht(mk, m);
        break;
    default:
        break; /* a Ping has no fields */
    }
}

int main(int argc, char **argv)
{
    static struct maker mk;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: frames SEED ROUNDS\n");
        return 2;
    }
    mk.draws = stoq_prng(strtoull(argv[1], NULL, 10));
    for (size_t i = 0; i < sizeof mk.fill; i++) {
        mk.fill[i] = (uint8_t)stoq_prng_next(&mk.draws);
    }
    stoq_buf_init(&mk.near, ITEMS_BYTES);
    stoq_buf_init(&mk.values, ITEMS_BYTES);
    stoq_buf_init(&mk.body, STOQ_SIGNED_BODY_MAX);
    stoq_buf_init(&mk.out, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    unsigned long rounds = strtoul(argv[2], NULL, 10);
    for (unsigned long i = 0; i < rounds; i++) {
        for (uint64_t type = STOQ_MSG_HELLO; type <= STOQ_MSG_PATCH; type++) {
            struct stoq_message m = {.type = type, .request_id = any(&mk)};
            fill(&mk, &m);
            stoq_buf_clear(&mk.out);
            must(stoq_message_encode(&m, &mk.out));
            if (fwrite(mk.out.p, 1, mk.out.n, stdout) != mk.out.n) {
                return 1;
            }
        }
    }
    stoq_buf_release(&mk.near);
    stoq_buf_release(&mk.values);
    stoq_buf_release(&mk.body);
    stoq_buf_release(&mk.out);
    return fflush(stdout) == 0 ? 0 : 1;
}
