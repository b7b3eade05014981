#include "wire/cbor.h"
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_range scratch[STOQ_REQUEST_RANGES_MAX];

static struct stoq_package_id test_id(void)
{
    struct stoq_package_id id;
    for (size_t i = 0; i < sizeof id.h.b; i++) {
        id.h.b[i] = (uint8_t)i;
    }
    return id;
}

static const uint8_t test_bytes[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                       11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                       22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
static const struct stoq_range vector_ranges[] = {{0, 2}, {300, 4}};

/* The messages whose bytes docs/PROTOCOL.md section 10 gives. */
static bool message_named(const char *name, struct stoq_message *m)
{
    const struct stoq_message all[] = {
        {STOQ_MSG_HELLO, 1,
         .u.hello = {1, {1}, 3, stoq_span_str("stoq/0.1.0"), 4096, 4096, 65536, {0}, {0}}},
        {STOQ_MSG_PING, 2, .u = {{0}}},
        {STOQ_MSG_ERROR, 3, .u.error = {STOQ_ERR_CONTENT_NOT_FOUND, {NULL, 0}}},
        {STOQ_MSG_RESPONSE, 4, .u.response = {STOQ_META_MANIFEST, 270, 0, 0}},
        {STOQ_MSG_RESPONSE, 500, .u.response = {STOQ_META_CHUNKS, 0, 6, 0}},
        {STOQ_MSG_METADATA_QUERY, 6, .u.metadata_query = {test_id(), STOQ_META_MANIFEST, {0, 0}}},
        {STOQ_MSG_METADATA_QUERY, 7,
         .u.metadata_query = {test_id(), STOQ_META_CHUNK_LISTS, {3, 64}}},
        {STOQ_MSG_CHUNK_REQUEST, 8,
         .u.chunk_request = {test_id(), vector_ranges, 2, 6, true, STOQ_PRIORITY_NORMAL}},
        {STOQ_MSG_CHUNK_REQUEST, 26,
         .u.chunk_request = {test_id(), vector_ranges, 2, 6, false, STOQ_PRIORITY_BACKGROUND}},
        {STOQ_MSG_RESPONSE, 27, .u.response = {STOQ_META_CHUNKS, 0, 6, 20000}},
        {STOQ_MSG_HELLO, 9,
         .u.hello = {1,
                     {1},
                     7,
                     stoq_span_str("stoq/0.1.0"),
                     4096,
                     4096,
                     65536,
                     stoq_span(test_bytes, 32),
                     stoq_span_str("\xa0")}},
    };
    static const char *const names[] = {
        "hello",
        "ping",
        "error",
        "response-manifest",
        "response-chunks",
        "query-manifest",
        "query-chunk-lists",
        "chunk-request",
        "chunk-request-background",
        "response-capped",
        "hello-rpc",
    };
    for (size_t i = 0; i < STOQ_COUNT(all); i++) {
        if (strcmp(names[i], name) == 0) {
            *m = all[i];
            return true;
        }
    }
    return false;
}

static struct stoq_buf encoded(const struct stoq_message *m)
{
    struct stoq_buf out;
    stoq_buf_init(&out, 200000);
    assert_int_equal(stoq_message_encode(m, &out), STOQ_OK);
    return out;
}

/* Every vector of the document decodes, and encodes to exactly these bytes again; where the fields are
 * written down above, so do they. */
static void document_vectors_hold(void **state)
{
    (void)state;
    FILE *f = fopen("docs/PROTOCOL.md", "r");
    assert_non_null(f);
    char line[1024];
    size_t checked = 0;
    size_t named = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        char name[32];
        char hex[900];
        if (sscanf(line, "    vector %31s %899[0-9a-f]", name, hex) != 2) {
            continue;
        }
        struct stoq_message m;
        struct stoq_message back;
        uint8_t bytes[450];
        size_t n = strlen(hex) / 2;
        assert_true(stoq_hex_get(bytes, n, hex));
        if (stoq_message_decode(stoq_span(bytes + 4, n - 4), scratch, &back) != STOQ_OK) {
            fail_msg("%s is refused", name);
        }
        struct stoq_buf out = encoded(&back);
        assert_int_equal(out.n, n);
        assert_memory_equal(out.p, bytes, n);
        stoq_buf_release(&out);
        if (message_named(name, &m)) {
            out = encoded(&m);
            assert_int_equal(out.n, n);
            assert_memory_equal(out.p, bytes, n);
            stoq_buf_release(&out);
            named++;
        }
        checked++;
    }
    (void)fclose(f);
    assert_int_equal(named, 11);
    assert_int_equal(checked, 40);
}

static void fields_survive_the_trip(void **state)
{
    (void)state;
    struct stoq_message m;
    struct stoq_message back;
    assert_true(message_named("hello", &m));
    m.u.hello.version_count = 2;
    m.u.hello.versions[1] = 9;
    m.u.hello.features = UINT64_MAX;
    struct stoq_buf out = encoded(&m);
    assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, &back), STOQ_OK);
    assert_int_equal(back.u.hello.version_count, 2);
    assert_int_equal(back.u.hello.versions[1], 9);
    assert_true(back.u.hello.features == UINT64_MAX);
    assert_true(stoq_span_eq(back.u.hello.agent, stoq_span_str("stoq/0.1.0")));
    assert_int_equal(back.u.hello.chunks_max, 4096);
    stoq_buf_release(&out);

    m = (struct stoq_message){STOQ_MSG_ERROR, 5,
                              .u.error = {STOQ_ERR_BUSY, stoq_span_str("later, please")}};
    out = encoded(&m);
    assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, &back), STOQ_OK);
    assert_int_equal(back.u.error.code, STOQ_ERR_BUSY);
    assert_true(stoq_span_eq(back.u.error.text, stoq_span_str("later, please")));
    stoq_buf_release(&out);

    const uint8_t proof[] = {0xa1, 0x01, 0x01};
    m = (struct stoq_message){STOQ_MSG_PROOF, 5, .u.proof = {stoq_span(proof, sizeof proof)}};
    out = encoded(&m);
    assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, &back), STOQ_OK);
    assert_true(stoq_span_eq(back.u.proof.proof, stoq_span(proof, sizeof proof)));
    stoq_buf_release(&out);
}

static void most_ranges_fit_a_frame(void **state)
{
    (void)state;
    static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
    uint64_t step = ((uint64_t)1 << 48) / STOQ_REQUEST_RANGES_MAX;
    for (size_t i = 0; i < STOQ_COUNT(ranges); i++) {
        ranges[i] = (struct stoq_range){i * step, 1};
    }
    struct stoq_message m = {
        STOQ_MSG_CHUNK_REQUEST, UINT64_MAX,
        .u.chunk_request = {test_id(), ranges, STOQ_COUNT(ranges), 0, true, STOQ_PRIORITY_NORMAL}};
    struct stoq_buf out = encoded(&m);
    struct stoq_message back;
    assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, &back), STOQ_OK);
    assert_int_equal(back.u.chunk_request.range_count, STOQ_REQUEST_RANGES_MAX);
    assert_int_equal(back.u.chunk_request.chunk_count, STOQ_REQUEST_RANGES_MAX);
    assert_memory_equal(back.u.chunk_request.ranges, ranges, sizeof ranges);
    assert_true(back.u.chunk_request.want_proofs);
    /* One chunk more than a request may have. */
    ranges[17].count = 2;
    out.n = 0;
    assert_int_equal(stoq_message_encode(&m, &out), STOQ_RANGE);
    assert_int_equal(out.n, 0);
    stoq_buf_release(&out);
}

static void encode_refuses_what_decode_would(void **state)
{
    (void)state;
    const struct stoq_range touching[] = {{0, 2}, {2, 1}};
    const struct stoq_range backwards[] = {{9, 2}, {3, 1}};
    const struct stoq_range empty[] = {{9, 0}};
    const struct stoq_message bad[] = {
        {STOQ_MSG_CHUNK_REQUEST, 1, .u.chunk_request = {test_id(), touching, 2, 0, false, 0}},
        {STOQ_MSG_CHUNK_REQUEST, 1, .u.chunk_request = {test_id(), backwards, 2, 0, false, 0}},
        {STOQ_MSG_CHUNK_REQUEST, 1, .u.chunk_request = {test_id(), empty, 1, 0, false, 0}},
        {STOQ_MSG_CHUNK_REQUEST, 1, .u.chunk_request = {test_id(), NULL, 0, 0, false, 0}},
        {STOQ_MSG_METADATA_QUERY, 1, .u.metadata_query = {test_id(), STOQ_META_CHUNKS, {0, 0}}},
        {STOQ_MSG_METADATA_QUERY, 1,
         .u.metadata_query = {test_id(), STOQ_META_CHUNK_LISTS, {0, 0}}},
        {STOQ_MSG_METADATA_QUERY, 1,
         .u.metadata_query = {test_id(), STOQ_META_CHUNK_LISTS, {0, 257}}},
        {STOQ_MSG_METADATA_QUERY, 1, .u.metadata_query = {test_id(), STOQ_META_MANIFEST, {0, 1}}},
        {STOQ_MSG_CHUNK_REQUEST, 1,
         .u.chunk_request = {test_id(), vector_ranges, 2, 0, false, STOQ_PRIORITIES}},
        {STOQ_MSG_RESPONSE, 1, .u.response = {STOQ_META_CHUNKS, 0, 0, 0}},
        {STOQ_MSG_RESPONSE, 1, .u.response = {STOQ_META_CHUNKS, 0, 1, STOQ_RESPONSE_CAP_MAX + 1}},
        {STOQ_MSG_RESPONSE, 1, .u.response = {STOQ_META_MANIFEST, 9, 0, 20000}},
        {STOQ_MSG_RESPONSE, 1, .u.response = {STOQ_META_MANIFEST, STOQ_META_BYTES_MAX + 1, 0, 0}},
        {STOQ_MSG_HELLO, 1, .u.hello = {0, {0}, 0, stoq_span_str("x"), 1, 1, 65536, {0}, {0}}},
        {STOQ_MSG_HELLO, 1, .u.hello = {2, {2, 1}, 0, stoq_span_str("x"), 1, 1, 65536, {0}, {0}}},
        {STOQ_MSG_HELLO, 1, .u.hello = {1, {1}, 0, stoq_span_str("\xff"), 1, 1, 65536, {0}, {0}}},
        {STOQ_MSG_HELLO, 1,
         .u.hello = {1, {1}, 0, stoq_span_str("x"), 1, 1, 65536, stoq_span(test_bytes, 32), {0}}},
        {STOQ_MSG_HELLO, 1,
         .u.hello = {1, {1}, 0, stoq_span_str("x"), 1, 1, 65536, {0}, stoq_span(test_bytes, 1)}},
        {STOQ_MSG_HELLO, 1,
         .u
             .hello = {1,
                       {1},
                       0,
                       stoq_span_str("x"),
                       1,
                       1,
                       65536,
                       stoq_span(test_bytes, 31),
                       stoq_span(test_bytes, 1)}},
        {STOQ_MSG_STORE, 1, .u = {{0}}},
        {STOQ_MSG_RENEW, 1, .u = {{0}}},
        {STOQ_MSG_PATCH, 1, .u = {{0}}},
        {99, 1, .u = {{0}}},
    };
    struct stoq_buf out;
    stoq_buf_init(&out, 1000);
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_int_equal(stoq_message_encode(&bad[i], &out), STOQ_RANGE);
        assert_int_equal(out.n, 0);
    }
    stoq_buf_release(&out);
}

static enum stoq_status decode_hex(const char *hex, struct stoq_message *out)
{
    uint8_t bytes[512];
    size_t n = strlen(hex) / 2;
    assert_true(stoq_hex_get(bytes, n, hex));
    return stoq_message_decode(stoq_span(bytes, n), scratch, out);
}

static void decode_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "80",                               /* no fields */
        "820201",                           /* two */
        "830201a000",                       /* something follows */
        "830201a10101",                     /* ping with a body */
        "83020180",                         /* a body that is an array */
        "84020101a0",                       /* four */
        "83180201a0",                       /* a longer form than needed */
        "8303f6a0",                         /* null */
        "830301a0",                         /* error without code */
        "830301a2010102606",                /* cut short (odd digit dropped below) */
        "830301a201010260",                 /* empty text is left out, not empty */
        "830301a2010103e0",                 /* unknown key */
        "830401a1010a",                     /* response of no kind */
        "830401a2011b0000000100000001020a", /* of a kind that is one modulo 2^32 */
        "830401a20101021a01000001",         /* payload past the limit */
        "830401a301010201030a",             /* both lengths */
        "830401a2011002190100",             /* chunks with a byte length */
        "830401a2011003191001",             /* 4097 items */
        "830401a201010300",
        "831863f500",
        "83186301f5", /* unknown type whose body is no map */
    };
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        char even[64];
        size_t n = strlen(bad[i]) / 2 * 2;
        memcpy(even, bad[i], n);
        even[n] = '\0';
        struct stoq_message m;
        if (decode_hex(even, &m) != STOQ_MALFORMED) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
}

/* Every prefix of a good frame, and every good frame with one byte more, is refused. */
static void decode_needs_the_whole_frame(void **state)
{
    (void)state;
    static const char *const names[] = {"hello", "error", "response-manifest", "query-chunk-lists",
                                        "chunk-request"};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        struct stoq_message m;
        struct stoq_message back;
        assert_true(message_named(names[i], &m));
        struct stoq_buf out = encoded(&m);
        for (size_t n = 0; n + 4 < out.n; n++) {
            assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, n), scratch, &back),
                             STOQ_MALFORMED);
        }
        assert_int_equal(stoq_buf_add(&out, stoq_span("", 1)), STOQ_OK);
        assert_int_equal(stoq_message_decode(stoq_span(out.p + 4, out.n - 4), scratch, &back),
                         STOQ_MALFORMED);
        stoq_buf_release(&out);
    }
}

static void unknown_types_are_named(void **state)
{
    (void)state;
    struct stoq_message m;
    assert_int_equal(decode_hex("83186307a10120", &m), STOQ_MALFORMED); /* negative inside */
    assert_int_equal(decode_hex("83186307a10102", &m), STOQ_VERSION);
    assert_int_equal(m.type, 99);
    assert_int_equal(m.request_id, 7);
    assert_int_equal(decode_hex("831507a0", &m), STOQ_VERSION); /* the first free one */
    assert_int_equal(m.type, STOQ_MSG_PATCH + 1);
    assert_int_equal(decode_hex("830a07a0", &m), STOQ_MALFORMED); /* an Announce of nothing */
    /* A MetadataQuery of a later version's kind, and of none. */
    assert_int_equal(
        decode_hex("830607a2015820000102030405060708090a0b0c0d0e0f101112131415161718191a"
                   "1b1c1d1e1f020f",
                   &m),
        STOQ_VERSION);
    assert_true(m.type == STOQ_MSG_METADATA_QUERY && m.request_id == 7);
    assert_int_equal(
        decode_hex("830607a2015820000102030405060708090a0b0c0d0e0f101112131415161718191a"
                   "1b1c1d1e1f0210",
                   &m),
        STOQ_MALFORMED);
    /* The id survives a broken body, so that the refusal can be matched. */
    assert_int_equal(decode_hex("83061829a0", &m), STOQ_MALFORMED);
    assert_int_equal(m.request_id, 41);
}

static void frames_arrive_in_pieces(void **state)
{
    (void)state;
    struct stoq_message m;
    assert_true(message_named("chunk-request", &m));
    struct stoq_buf out = encoded(&m);
    assert_int_equal(stoq_buf_add(&out, stoq_span_str("payload")), STOQ_OK);
    for (size_t piece = 1; piece <= out.n; piece++) {
        struct stoq_frame f;
        struct stoq_span cbor = {NULL, 0};
        stoq_frame_init(&f);
        size_t at = 0;
        enum stoq_status st = STOQ_TRUNC;
        while (st == STOQ_TRUNC) {
            struct stoq_span in = stoq_span(out.p + at, piece < out.n - at ? piece : out.n - at);
            size_t before = in.n;
            st = stoq_frame_take(&f, &in, &cbor);
            at += before - in.n;
        }
        assert_int_equal(st, STOQ_OK);
        assert_int_equal(at, out.n - 7);
        assert_int_equal(cbor.n, out.n - 7 - 4);
        assert_int_equal(stoq_message_decode(cbor, scratch, &m), STOQ_OK);
        stoq_frame_release(&f);
    }
    stoq_buf_release(&out);
}

static void frames_have_a_limit(void **state)
{
    (void)state;
    const uint8_t lengths[][4] = {
        {0, 0, 0, 0}, {1, 0, 1, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0x40}};
    for (size_t i = 0; i < STOQ_COUNT(lengths); i++) {
        struct stoq_frame f;
        struct stoq_span cbor;
        stoq_frame_init(&f);
        struct stoq_span in = stoq_span(lengths[i], 4);
        assert_int_equal(stoq_frame_take(&f, &in, &cbor), STOQ_MALFORMED);
        in = stoq_span(lengths[i], 4);
        assert_int_equal(stoq_frame_take(&f, &in, &cbor), STOQ_MALFORMED);
        assert_true(f.buf.cap <= 4096);
        stoq_frame_release(&f);
    }
    /* A promise of 64 KiB takes no memory before bytes come. */
    struct stoq_frame f;
    struct stoq_span cbor;
    stoq_frame_init(&f);
    const uint8_t most[] = {0, 0, 1, 0};
    struct stoq_span in = stoq_span(most, 4);
    assert_int_equal(stoq_frame_take(&f, &in, &cbor), STOQ_TRUNC);
    assert_true(f.buf.cap <= 4096);
    stoq_frame_release(&f);
}

static void names_are_the_specifications(void **state)
{
    (void)state;
    assert_string_equal(stoq_error_code_name(STOQ_ERR_CONTENT_NOT_FOUND), "ContentNotFound");
    assert_string_equal(stoq_error_code_name(STOQ_ERR_INVALID_CHUNK_INDEX), "InvalidChunkIndex");
    assert_string_equal(stoq_error_code_name(0), "UnknownError");
    assert_string_equal(stoq_error_code_name(UINT64_MAX), "UnknownError");
    assert_int_equal(stoq_error_code_status(STOQ_ERR_CONTENT_NOT_FOUND), STOQ_NOTFOUND);
    assert_int_equal(stoq_error_code_status(4711), STOQ_NET);
    assert_string_equal(stoq_message_name(STOQ_MSG_STORE), "Store");
    assert_string_equal(stoq_message_name(STOQ_MSG_RENEW), "Renew");
    assert_string_equal(stoq_message_name(STOQ_MSG_PATCH), "Patch");
    assert_string_equal(stoq_message_name(21), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_vectors_hold),
        cmocka_unit_test(fields_survive_the_trip),
        cmocka_unit_test(most_ranges_fit_a_frame),
        cmocka_unit_test(encode_refuses_what_decode_would),
        cmocka_unit_test(decode_refuses),
        cmocka_unit_test(decode_needs_the_whole_frame),
        cmocka_unit_test(unknown_types_are_named),
        cmocka_unit_test(frames_arrive_in_pieces),
        cmocka_unit_test(frames_have_a_limit),
        cmocka_unit_test(names_are_the_specifications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
