/*
 * The messages about peers and whole packages: what is encoded decodes to the same fields and encodes to the
 * same bytes, every limit is held on both sides, every cut and every byte more is refused.
 */
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_range scratch[STOQ_REQUEST_RANGES_MAX];
static uint8_t fill[65536];

static struct stoq_hash hash_of(uint8_t first)
{
    struct stoq_hash h;
    for (size_t i = 0; i < sizeof h.b; i++) {
        h.b[i] = (uint8_t)(first + i);
    }
    return h;
}

/* A record, with everything that may be left out when full. */
static struct stoq_contact record_of(bool with_key, bool full)
{
    return (struct stoq_contact){
        .spki = stoq_span(fill, 44),
        .addresses = stoq_span(fill + 64, full ? 36 : 0),
        .sequence = 7,
        .issued_at_s = 1700000000,
        .ttl_s = 3600,
        .has_rpc_key = full,
        .rpc_key = full ? hash_of(1) : (struct stoq_hash){{0}},
        .has_nonce = full,
        .nonce = full ? 99 : 0,
        .has_key = with_key,
        .key = with_key ? hash_of(2) : (struct stoq_hash){{0}},
    };
}

static struct stoq_signed signed_record(struct stoq_buf *body, bool with_key, bool full)
{
    struct stoq_contact rec = record_of(with_key, full);
    stoq_buf_init(body, STOQ_SIGNED_BODY_MAX);
    assert_int_equal(stoq_contact_encode(&rec, body), STOQ_OK);
    return (struct stoq_signed){stoq_buf_span(body), stoq_span(fill, 64)};
}

static struct stoq_signed_list list_of(struct stoq_buf *items, bool with_key, uint32_t count)
{
    stoq_buf_init(items, 60000);
    for (uint32_t i = 0; i < count; i++) {
        struct stoq_buf body;
        struct stoq_signed s = signed_record(&body, with_key, i % 2 == 0);
        assert_int_equal(stoq_signed_put(&s, items), STOQ_OK);
        stoq_buf_release(&body);
    }
    return (struct stoq_signed_list){count, stoq_buf_span(items)};
}

/* m encodes; every prefix and one byte more is refused; what decodes encodes to the same bytes. */
static struct stoq_buf round_trip(const struct stoq_message *m, struct stoq_message *back)
{
    struct stoq_buf out;
    struct stoq_buf again;
    stoq_buf_init(&out, 70000);
    stoq_buf_init(&again, 70000);
    assert_int_equal(stoq_message_encode(m, &out), STOQ_OK);
    for (size_t n = 0; n + 4 < out.n; n += out.n > 2000 ? 97 : 1) {
        assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, n), scratch, back),
                         STOQ_MALFORMED);
    }
    assert_int_equal(stoq_buf_add(&out, stoq_span("", 1)), STOQ_OK);
    assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, back),
                     STOQ_MALFORMED);
    out.n--;
    assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, back), STOQ_OK);
    assert_int_equal(back->type, m->type);
    assert_int_equal(back->request_id, m->request_id);
    assert_int_equal(stoq_message_encode(back, &again), STOQ_OK);
    assert_int_equal(again.n, out.n);
    assert_memory_equal(again.p, out.p, out.n);
    stoq_buf_release(&again);
    return out; /* back borrows it */
}

static void refused(const struct stoq_message *m)
{
    struct stoq_buf out;
    stoq_buf_init(&out, 70000);
    assert_int_equal(stoq_message_encode(m, &out), STOQ_RANGE);
    assert_int_equal(out.n, 0);
    stoq_buf_release(&out);
}

static void records(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct stoq_contact rec = record_of((i & 1) != 0, (i & 2) != 0);
        struct stoq_contact back;
        struct stoq_buf out;
        stoq_buf_init(&out, STOQ_SIGNED_BODY_MAX);
        assert_int_equal(stoq_contact_encode(&rec, &out), STOQ_OK);
        assert_int_equal(stoq_contact_decode(stoq_buf_span(&out), &back), STOQ_OK);
        assert_true(stoq_span_eq(back.spki, rec.spki));
        assert_true(stoq_span_eq(back.addresses, rec.addresses));
        assert_int_equal(back.has_rpc_key, rec.has_rpc_key);
        assert_int_equal(back.has_nonce, rec.has_nonce);
        assert_int_equal(back.nonce, rec.nonce);
        assert_int_equal(back.has_key, rec.has_key);
        assert_true(stoq_hash_eq(&back.key, &rec.key));
        assert_true(stoq_hash_eq(&back.rpc_key, &rec.rpc_key));
        for (size_t n = 0; n < out.n; n++) {
            assert_int_equal(stoq_contact_decode(stoq_span(out.p, n), &back), STOQ_MALFORMED);
        }
        stoq_buf_release(&out);
    }
}

static void records_have_limits(void **state)
{
    (void)state;
    struct stoq_contact bad[6];
    struct stoq_buf out;
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        bad[i] = record_of(true, true);
    }
    bad[0].ttl_s = 0;
    bad[1].ttl_s = STOQ_CONTACT_TTL_MAX + 1;
    bad[2].spki.n = 0;
    bad[3].spki.n = STOQ_CONTACT_SPKI_MAX + 1;
    bad[4].addresses.n = 17;
    bad[5].addresses.n = 9 * STOQ_CONTACT_ADDRESS_BYTES;
    stoq_buf_init(&out, STOQ_SIGNED_BODY_MAX);
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_int_equal(stoq_contact_encode(&bad[i], &out), STOQ_RANGE);
        assert_int_equal(out.n, 0);
    }
    stoq_buf_release(&out);
}

static void have_and_cancel(void **state)
{
    (void)state;
    struct stoq_message back;
    struct stoq_message m = {STOQ_MSG_HAVE, 3, .u.have = {{hash_of(0)}, 0, 0, {NULL, 0}}};
    struct stoq_buf out = round_trip(&m, &back);
    assert_int_equal(back.u.have.chunk_count, 0);
    stoq_buf_release(&out);
    const uint8_t bits[] = {0xff, 0x03};
    m.u.have = (struct stoq_msg_have){{hash_of(0)}, 1000, 10, stoq_span(bits, 2)};
    out = round_trip(&m, &back);
    assert_int_equal(back.u.have.first_chunk, 1000);
    assert_int_equal(back.u.have.chunk_count, 10);
    assert_true(stoq_span_eq(back.u.have.bits, stoq_span(bits, 2)));
    stoq_buf_release(&out);
    m.u.have.chunk_count = 9; /* a bit behind the last */
    refused(&m);
    m.u.have.chunk_count = 17; /* a byte too few */
    refused(&m);
    m.u.have =
        (struct stoq_msg_have){{hash_of(0)}, 0, STOQ_HAVE_CHUNKS_MAX, stoq_span(fill, 32768)};
    out = round_trip(&m, &back);
    stoq_buf_release(&out);
    m.u.have.chunk_count++;
    refused(&m);

    m = (struct stoq_message){STOQ_MSG_CANCEL, 4, .u.cancel = {UINT64_MAX}};
    out = round_trip(&m, &back);
    assert_true(back.u.cancel.request_id == UINT64_MAX);
    stoq_buf_release(&out);
}

static void announce(void **state)
{
    (void)state;
    struct stoq_buf body;
    struct stoq_message back;
    struct stoq_signed rec = signed_record(&body, true, true);
    struct stoq_message m = {
        STOQ_MSG_ANNOUNCE, 5,
        .u.announce = {{hash_of(3)}, stoq_span_str("zlib"), stoq_span_str("1.3.1"), 12345, rec}};
    struct stoq_buf out = round_trip(&m, &back);
    struct stoq_contact read;
    assert_int_equal(stoq_contact_decode(back.u.announce.record.body, &read), STOQ_OK);
    assert_int_equal(read.ttl_s, 3600);
    assert_true(stoq_span_eq(back.u.announce.version, stoq_span_str("1.3.1")));
    assert_int_equal(back.u.announce.bytes, 12345);
    stoq_buf_release(&out);
    m.u.announce.name = stoq_span(NULL, 0);
    refused(&m);
    m.u.announce.name = stoq_span_str("zlib");
    m.u.announce.record.signature.n = 0;
    refused(&m);
    stoq_buf_release(&body);
    m.u.announce.record = signed_record(&body, false, true); /* a contact provides nothing */
    refused(&m);
    stoq_buf_release(&body);
}

static void whole_packages(void **state)
{
    (void)state;
    const struct stoq_range held[] = {{0, 5}, {4000000000, UINT32_MAX}};
    struct stoq_message back;
    struct stoq_message m = {STOQ_MSG_REQUEST, 6, .u.request = {.id = {hash_of(9)}}};
    struct stoq_buf out = round_trip(&m, &back);
    stoq_buf_release(&out);
    m.u.request.hashes = stoq_span(fill, 64);
    m.u.request.want_proofs = true;
    out = round_trip(&m, &back);
    assert_int_equal(back.u.request.hashes.n, 64);
    assert_true(back.u.request.want_proofs);
    stoq_buf_release(&out);
    m.u.request.hashes.n = 63;
    refused(&m);
    m.u.request.hashes.n = 32 * (STOQ_REQUEST_HASHES_MAX + 1);
    refused(&m);
    m.u.request.hashes.n = 32;
    m.u.request.held = held;
    m.u.request.held_count = 2;
    refused(&m); /* one or the other */
    m.u.request.hashes.n = 0;
    out = round_trip(&m, &back);
    assert_int_equal(back.u.request.held_count, 2);
    for (size_t i = 0; i < STOQ_COUNT(held); i++) {
        assert_int_equal(back.u.request.held[i].first, held[i].first);
        assert_int_equal(back.u.request.held[i].count, held[i].count);
    }
    stoq_buf_release(&out);

    m = (struct stoq_message){STOQ_MSG_PACKAGE_DOWNLOAD, 7,
                              .u.package_download = {{hash_of(9)}, held, 2, true}};
    out = round_trip(&m, &back);
    assert_int_equal(back.u.package_download.held_count, 2);
    stoq_buf_release(&out);
    m.u.package_download = (struct stoq_msg_package_download){.id = {hash_of(9)}};
    out = round_trip(&m, &back);
    stoq_buf_release(&out);
}

static void responses(void **state)
{
    (void)state;
    const struct stoq_msg_response good[] = {
        {STOQ_META_ALL_CHUNKS, 0, 0, 0},
        {STOQ_META_ALL_CHUNKS, 0, UINT32_MAX, 0},
        {STOQ_META_PACKAGE, 900, 70000, 20000},
        {STOQ_META_ACCEPTED, 0, 0, 0},
    };
    for (size_t i = 0; i < STOQ_COUNT(good); i++) {
        struct stoq_message back;
        struct stoq_message m = {STOQ_MSG_RESPONSE, 8, .u.response = good[i]};
        struct stoq_buf out = round_trip(&m, &back);
        assert_int_equal(back.u.response.kind, good[i].kind);
        assert_int_equal(back.u.response.items, good[i].items);
        assert_int_equal(back.u.response.cap_bytes_per_s, good[i].cap_bytes_per_s);
        assert_int_equal(back.u.response.payload_bytes, good[i].payload_bytes);
        stoq_buf_release(&out);
    }
    struct stoq_message m = {STOQ_MSG_RESPONSE, 8,
                             .u.response = {STOQ_META_PACKAGE, STOQ_META_BYTES_MAX + 1, 0, 0}};
    refused(&m);
    m.u.response = (struct stoq_msg_response){(enum stoq_meta_kind)20, 0, 0, 0};
    refused(&m);
}

static void offers_and_receipts(void **state)
{
    (void)state;
    struct stoq_buf items;
    struct stoq_buf body;
    struct stoq_message back;
    struct stoq_message m = {STOQ_MSG_OFFER, 9, .u.offer = {.id = {hash_of(4)}, .bytes = 5}};
    struct stoq_buf out = round_trip(&m, &back);
    stoq_buf_release(&out);
    memset(m.u.offer.nonce, 0xab, sizeof m.u.offer.nonce);
    m.u.offer.first_shard = 3;
    refused(&m); /* a first one and no count */
    m.u.offer.shard_count = 4;
    m.u.offer.sources = list_of(&items, false, STOQ_OFFER_SOURCES_MAX);
    out = round_trip(&m, &back);
    assert_int_equal(back.u.offer.sources.count, STOQ_OFFER_SOURCES_MAX);
    assert_int_equal(back.u.offer.shard_count, 4);
    assert_int_equal(back.u.offer.nonce[15], 0xab);
    stoq_buf_release(&out);
    stoq_buf_release(&items);
    m.u.offer.sources = list_of(&items, false, STOQ_OFFER_SOURCES_MAX + 1);
    refused(&m);
    stoq_buf_release(&items);

    struct stoq_receipt rec = {.id = {hash_of(4)}, .spki = stoq_span(fill, 44), .bytes = 5};
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    for (uint64_t count = 0; count < 2; count++) {
        struct stoq_receipt read;
        rec.shard_count = count;
        stoq_buf_clear(&body);
        assert_int_equal(stoq_receipt_encode(&rec, &body), STOQ_OK);
        m = (struct stoq_message){STOQ_MSG_RECEIPT, 10,
                                  .u.receipt = {{stoq_buf_span(&body), stoq_span(fill, 64)}}};
        out = round_trip(&m, &back);
        assert_int_equal(stoq_receipt_decode(back.u.receipt.receipt.body, &read), STOQ_OK);
        assert_int_equal(read.shard_count, count);
        assert_int_equal(read.bytes, 5);
        stoq_buf_release(&out);
    }
    rec.first_shard = 1;
    rec.shard_count = 0;
    assert_int_equal(stoq_receipt_encode(&rec, &body), STOQ_RANGE);
    body.p[0] ^= 1;
    refused(&m); /* a signed something is no receipt */
    stoq_buf_release(&body);
}

static void peers(void **state)
{
    (void)state;
    struct stoq_buf items;
    struct stoq_message back;
    struct stoq_message m = {STOQ_MSG_PEER_EXCHANGE, 11, .u.peer_exchange = {.want = 50}};
    struct stoq_buf out = round_trip(&m, &back);
    stoq_buf_release(&out);
    m.u.peer_exchange.peers = list_of(&items, false, STOQ_EXCHANGE_PEERS_MAX);
    out = round_trip(&m, &back);
    struct stoq_span rest = back.u.peer_exchange.peers.items;
    struct stoq_signed s;
    uint32_t n = 0;
    while (stoq_signed_next(&rest, &s)) {
        n++;
    }
    assert_int_equal(n, STOQ_EXCHANGE_PEERS_MAX);
    stoq_buf_release(&out);
    m.u.peer_exchange.peers.count--; /* says less than there is */
    refused(&m);
    m.u.peer_exchange.peers.count += 2;
    refused(&m);
    m.u.peer_exchange.peers.count--;
    m.u.peer_exchange.want = 51;
    refused(&m);
    stoq_buf_release(&items);
}

static void finding_and_storing(void **state)
{
    (void)state;
    struct stoq_buf near;
    struct stoq_buf values;
    struct stoq_buf body;
    struct stoq_message back;
    struct stoq_message m = {STOQ_MSG_FIND_NODE, 12,
                             .u.find_node = {.target = hash_of(5), .want = 20}};
    struct stoq_buf out = round_trip(&m, &back);
    assert_false(back.u.find_node.is_answer);
    stoq_buf_release(&out);
    m.u.find_node.want = 21;
    refused(&m);
    m.u.find_node = (struct stoq_msg_find_node){.is_answer = true};
    out = round_trip(&m, &back);
    assert_true(back.u.find_node.is_answer);
    stoq_buf_release(&out);
    m.u.find_node.near = list_of(&near, false, STOQ_FIND_NEAR_MAX);
    out = round_trip(&m, &back);
    assert_int_equal(back.u.find_node.near.count, STOQ_FIND_NEAR_MAX);
    stoq_buf_release(&out);
    m.u.find_node.near.count++;
    refused(&m);

    m = (struct stoq_message){STOQ_MSG_FIND_VALUE, 13,
                              .u.find_value = {.key = hash_of(6), .want = 64}};
    out = round_trip(&m, &back);
    stoq_buf_release(&out);
    m.u.find_value = (struct stoq_msg_find_value){.is_answer = true};
    m.u.find_value.near = (struct stoq_signed_list){STOQ_FIND_NEAR_MAX, stoq_buf_span(&near)};
    m.u.find_value.values = list_of(&values, true, 30);
    out = round_trip(&m, &back);
    assert_int_equal(back.u.find_value.values.count, 30);
    assert_int_equal(back.u.find_value.near.count, 20);
    stoq_buf_release(&out);
    m.u.find_value.values = m.u.find_value.near; /* contacts are no values */
    refused(&m);
    stoq_buf_release(&near);
    stoq_buf_release(&values);

    struct stoq_signed rec = signed_record(&body, true, true);
    m = (struct stoq_message){STOQ_MSG_STORE, 14, .u.store = {.record = rec}};
    out = round_trip(&m, &back);
    assert_false(back.u.store.is_answer);
    stoq_buf_release(&out);
    m.u.store = (struct stoq_msg_store){.is_answer = true, .ttl_s = 86400};
    out = round_trip(&m, &back);
    assert_int_equal(back.u.store.ttl_s, 86400);
    stoq_buf_release(&out);

    struct stoq_buf more;
    m.u.store = (struct stoq_msg_store){.record = rec};
    m.u.store.more = list_of(&more, true, STOQ_STORE_RECORDS_MAX - 1);
    out = round_trip(&m, &back);
    assert_int_equal(back.u.store.more.count, STOQ_STORE_RECORDS_MAX - 1);
    stoq_buf_release(&out);
    stoq_buf_release(&more);
    m.u.store.more = list_of(&more, true, STOQ_STORE_RECORDS_MAX);
    refused(&m);
    stoq_buf_release(&more);
    m.u.store = (struct stoq_msg_store){
        .is_answer = true, .kept_count = 3, .kept_s = {3600, 0, STOQ_CONTACT_TTL_MAX}};
    out = round_trip(&m, &back);
    assert_true(back.u.store.is_answer);
    assert_int_equal(back.u.store.kept_count, 3);
    assert_memory_equal(back.u.store.kept_s, m.u.store.kept_s, 3 * sizeof(uint32_t));
    stoq_buf_release(&out);
    m.u.store.kept_s[1] = STOQ_CONTACT_TTL_MAX + 1;
    refused(&m);
    m.u.store.kept_s[1] = 0;
    m.u.store.kept_count = 1; /* that is a plain answer */
    refused(&m);
    m.u.store.kept_count = STOQ_STORE_RECORDS_MAX + 1;
    refused(&m);
    stoq_buf_release(&body);
}

static void renewals(void **state)
{
    uint8_t digests[(STOQ_RENEWAL_MAX + 1) * STOQ_RENEWAL_DIGEST_BYTES] = {7};
    uint8_t kept[STOQ_RENEWAL_MAX + 1] = {10, 0, 240};
    struct stoq_renewal rec = {.spki = stoq_span(fill, 44),
                               .holder = {hash_of(9)},
                               .issued_at_s = UINT64_C(1800000000),
                               .digests = stoq_span(digests, 16)};
    struct stoq_renewal read;
    struct stoq_message back;
    struct stoq_buf body;
    (void)state;
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    for (size_t n = 8; n <= STOQ_RENEWAL_MAX * STOQ_RENEWAL_DIGEST_BYTES; n += 111 * 8) {
        rec.digests.n = n;
        stoq_buf_clear(&body);
        assert_int_equal(stoq_renewal_encode(&rec, &body), STOQ_OK);
        struct stoq_message m = {STOQ_MSG_RENEW, UINT64_MAX,
                                 .u.renew = {.renewal = {stoq_buf_span(&body), {fill, 64}}}};
        struct stoq_buf out = round_trip(&m, &back);
        assert_true(out.n - STOQ_FRAME_HEAD_BYTES <= 1125); /* a datagram's */
        assert_false(back.u.renew.is_answer);
        assert_int_equal(stoq_renewal_decode(back.u.renew.renewal.body, &read), STOQ_OK);
        assert_true(stoq_hash_eq(&read.holder.h, &rec.holder.h) && read.digests.n == n);
        stoq_buf_release(&out);
    }
    struct stoq_message m = {STOQ_MSG_RENEW, 1,
                             .u.renew = {.is_answer = true, .kept = {kept, STOQ_RENEWAL_MAX}}};
    struct stoq_buf out = round_trip(&m, &back);
    assert_true(back.u.renew.is_answer && back.u.renew.kept.n == STOQ_RENEWAL_MAX);
    assert_memory_equal(back.u.renew.kept.p, kept, STOQ_RENEWAL_MAX);
    stoq_buf_release(&out);
    m.u.renew.kept.n = STOQ_RENEWAL_MAX + 1;
    refused(&m);
    m.u.renew.kept.n = 0;
    refused(&m);
    stoq_buf_clear(&body);
    rec.digests.n = sizeof digests; /* one too many, none, and half of one */
    assert_int_equal(stoq_renewal_encode(&rec, &body), STOQ_RANGE);
    rec.digests.n = 0;
    assert_int_equal(stoq_renewal_encode(&rec, &body), STOQ_RANGE);
    rec.digests.n = 12;
    assert_int_equal(stoq_renewal_encode(&rec, &body), STOQ_RANGE);
    m.u.renew = (struct stoq_msg_renew){.renewal = {stoq_span(fill, 40), {fill, 64}}};
    refused(&m); /* a signed something is no renewal */
    stoq_buf_release(&body);
}

static void patches(void **state)
{
    uint8_t bytes[(STOQ_PATCH_MAX + 1) * STOQ_PATCH_BYTES] = {7};
    uint8_t kept[STOQ_PATCH_MAX + 1] = {10, 0, STOQ_PATCH_BUSY};
    struct stoq_message m = {STOQ_MSG_PATCH, UINT64_MAX,
                             .u.patch = {.provider = {hash_of(9)},
                                         .sequence = UINT64_MAX,
                                         .issued_at_s = UINT64_C(1800000000)}};
    struct stoq_message back;
    (void)state;
    for (size_t n = 1; n <= STOQ_PATCH_MAX; n += STOQ_PATCH_MAX - 1) {
        m.u.patch.patches = stoq_span(bytes, n * STOQ_PATCH_BYTES);
        struct stoq_buf out = round_trip(&m, &back);
        assert_true(out.n - STOQ_FRAME_HEAD_BYTES <= 1125); /* a datagram's */
        assert_false(back.u.patch.is_answer);
        assert_true(stoq_hash_eq(&back.u.patch.provider.h, &m.u.patch.provider.h));
        assert_true(back.u.patch.sequence == UINT64_MAX &&
                    back.u.patch.issued_at_s == m.u.patch.issued_at_s);
        assert_true(stoq_span_eq(back.u.patch.patches, m.u.patch.patches));
        stoq_buf_release(&out);
    }
    static const size_t bad[] = {0, 1, STOQ_PATCH_BYTES - 1, STOQ_PATCH_BYTES + 8, sizeof bytes};
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) { /* none, a part of one, one too many */
        m.u.patch.patches.n = bad[i];
        refused(&m);
    }
    m.u.patch = (struct stoq_msg_patch){.is_answer = true, .kept = {kept, STOQ_PATCH_MAX}};
    struct stoq_buf out = round_trip(&m, &back);
    assert_true(back.u.patch.is_answer);
    assert_true(stoq_span_eq(back.u.patch.kept, m.u.patch.kept));
    stoq_buf_release(&out);
    m.u.patch.kept.n = STOQ_PATCH_MAX + 1;
    refused(&m);
    m.u.patch.kept.n = 0;
    refused(&m);
}

/* Request and answer of one type are told apart by their keys, never both. */
static void keys_do_not_mix(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "831001a1010180",       /* a target that is none */
        "831001a0",             /* neither */
        "831001a202010380",     /* want of the request, near of the answer */
        "831101a10380",         /* near without values */
        "831101a3020103800480", /* want of the request, all of the answer */
        "831201a2020103190e10", /* an answer and more */
        "831201a202010201",     /* keys that do not ascend */
        "831401a0",             /* a patch of nothing */
        "831401a202000541aa",   /* and one that is an answer, too */
        "831401a202000300",     /* half of one */
        "830901a0",             /* cancels nothing */
        "830901a201010202",
        "830b01a0",
        "830c01a103f5",
        "830d01a10100", /* an exchange without a list */
        "830f01a1010182",
    };
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        uint8_t bytes[64];
        struct stoq_message m;
        size_t n = strlen(bad[i]) / 2;
        assert_true(stoq_hex_get(bytes, n, bad[i]));
        if (stoq_message_decode(stoq_span(bytes, n), scratch, &m) != STOQ_MALFORMED) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
}

static int prepare(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof fill; i++) {
        fill[i] = (uint8_t)(i * 31 + 7);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(records_have_limits),
        cmocka_unit_test(have_and_cancel),
        cmocka_unit_test(announce),
        cmocka_unit_test(whole_packages),
        cmocka_unit_test(responses),
        cmocka_unit_test(offers_and_receipts),
        cmocka_unit_test(renewals),
        cmocka_unit_test(patches),
        cmocka_unit_test(peers),
        cmocka_unit_test(finding_and_storing),
        cmocka_unit_test(keys_do_not_mix),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
