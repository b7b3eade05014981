#include "wire/cbor.h"

#include "wire/cbor_copy.h"
#include "wire/text.h"

#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* All well-formed items come out as they went in. */
static enum stoq_status copy(struct stoq_span in, struct stoq_buf *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(in);
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    cbor_copy_item(&r, &w);
    enum stoq_status st = stoq_cbor_rd_done(&r);
    return st == STOQ_OK ? stoq_cbor_wr_done(&w) : st;
}

static void check_same(struct stoq_span item)
{
    struct stoq_buf out;
    size_t n = 0;
    stoq_buf_init(&out, 4096);
    assert_int_equal(copy(item, &out), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out), item));
    assert_int_equal(stoq_cbor_item(item, item.n, &n), STOQ_OK);
    assert_int_equal(n, item.n);
    stoq_buf_release(&out);
}

static void check_value(struct vectors *v)
{
    struct stoq_span item = vectors_bytes(v, 2);
    struct stoq_cbor_rd r = stoq_cbor_rd(item);
    if (vectors_is(v, "uint")) {
        assert_true(stoq_cbor_rd_uint(&r) == vectors_u64(v, 1));
    } else if (vectors_is(v, "bool")) {
        assert_int_equal(stoq_cbor_rd_bool(&r), vectors_u64(v, 1));
    } else if (vectors_is(v, "bytes")) {
        assert_true(stoq_span_eq(stoq_cbor_rd_bytes(&r, 0, 300), vectors_bytes(v, 1)));
    } else {
        assert_true(stoq_span_eq(stoq_cbor_rd_text(&r, 0, 300), vectors_bytes(v, 1)));
    }
    assert_int_equal(stoq_cbor_rd_done(&r), STOQ_OK);
    check_same(item);
}

static void check_refused(struct stoq_span item)
{
    struct stoq_buf out;
    stoq_buf_init(&out, 4096);
    struct stoq_cbor_rd r = stoq_cbor_rd(item);
    (void)stoq_cbor_rd_any(&r);
    enum stoq_status any = stoq_cbor_rd_done(&r);
    enum stoq_status typed = copy(item, &out);
    if (any != STOQ_MALFORMED || typed != STOQ_MALFORMED) {
        char hex[200];
        stoq_hex_put(hex, item.n < 99 ? item : stoq_span(item.p, 99));
        print_error("%s: %d, %d\n", hex, any, typed);
        fail();
    }
    stoq_buf_release(&out);
}

/* Whatever prefix has arrived: more is needed, or it will be too long; the whole is found. */
static void check_cut(struct stoq_span item)
{
    size_t n = 0;
    for (size_t k = 0; k < item.n; k++) {
        struct stoq_cbor_rd r = stoq_cbor_rd(stoq_span(item.p, k));
        (void)stoq_cbor_rd_any(&r);
        assert_int_equal(stoq_cbor_rd_done(&r), STOQ_TRUNC);
        assert_int_equal(stoq_cbor_item(stoq_span(item.p, k), item.n, &n), STOQ_TRUNC);
    }
    assert_int_equal(stoq_cbor_item(item, item.n, &n), STOQ_OK);
    assert_int_equal(n, item.n);
    assert_int_equal(stoq_cbor_item(item, item.n - 1, &n), STOQ_FULL);
}

static void vectors_hold(void **state)
{
    (void)state;
    struct vectors v;
    size_t seen[3] = {0};
    vectors_open(&v, "cbor");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "refused")) {
            check_refused(vectors_bytes(&v, 1));
            seen[0]++;
        } else if (vectors_is(&v, "cut")) {
            check_cut(vectors_bytes(&v, 1));
            seen[1]++;
        } else if (vectors_is(&v, "item")) {
            check_same(vectors_bytes(&v, 1));
            seen[2]++;
        } else {
            check_value(&v);
            seen[2]++;
        }
    }
    vectors_close(&v);
    assert_true(seen[0] >= 70);
    assert_int_equal(seen[1], 1);
    assert_true(seen[2] >= 45);
}

static void a_stream_is_read_item_by_item(void **state)
{
    (void)state;
    const uint8_t in[] = {0x01, 0x82, 0x02, 0x41, 0xff, 0x18, 0x64, 0x43, 0x00};
    struct stoq_cbor_rd r = stoq_cbor_rd(stoq_span(in, sizeof in));
    assert_int_equal(stoq_cbor_rd_uint(&r), 1);
    assert_int_equal(stoq_cbor_rd_any(&r).n, 4);
    assert_true(stoq_cbor_rd_more(&r));
    assert_int_equal(stoq_cbor_rd_uint(&r), 100);
    assert_int_equal(stoq_cbor_rd_peek(&r), STOQ_CBOR_BYTES);
    assert_int_equal(stoq_cbor_rd_bytes(&r, 0, 99).n, 0);
    assert_int_equal(r.status, STOQ_TRUNC);
    assert_false(stoq_cbor_rd_more(&r));

    size_t n;
    assert_int_equal(stoq_cbor_item(stoq_span(in + 1, 8), 100, &n), STOQ_OK);
    assert_int_equal(n, 4);
    assert_int_equal(stoq_cbor_item(stoq_span(in + 7, 2), 4, &n), STOQ_TRUNC);
    assert_int_equal(stoq_cbor_item(stoq_span(in + 7, 2), 3, &n), STOQ_FULL);
    assert_int_equal(stoq_cbor_item(stoq_span(in, 0), 3, &n), STOQ_TRUNC);
    assert_int_equal(stoq_cbor_item(stoq_span(in, 1), 0, &n), STOQ_FULL);
}

static void lengths_that_cannot_be_cost_nothing(void **state)
{
    (void)state;
    const char *const claims[] = {"5affffffff",         "7bffffffffffffffff", "9bffffffffffffffff",
                                  "bbffffffffffffffff", "bb8000000000000000", "9affffffff00"};
    for (size_t i = 0; i < STOQ_COUNT(claims); i++) {
        uint8_t b[16];
        size_t n = strlen(claims[i]) / 2;
        size_t item_n;
        assert_true(stoq_hex_get(b, n, claims[i]));
        struct stoq_cbor_rd r = stoq_cbor_rd(stoq_span(b, n));
        (void)stoq_cbor_rd_any(&r);
        assert_int_equal(r.status, STOQ_TRUNC);
        assert_int_equal(stoq_cbor_item(stoq_span(b, n), 65536, &item_n), STOQ_FULL);
    }
}

static void containers_hold_what_they_declare(void **state)
{
    (void)state;
    const uint8_t in[] = {0x82, 0x01, 0x02};
    struct stoq_cbor_rd r = stoq_cbor_rd(stoq_span(in, sizeof in));
    assert_int_equal(stoq_cbor_rd_array(&r), 2);
    (void)stoq_cbor_rd_uint(&r);
    stoq_cbor_rd_leave(&r);
    assert_int_equal(r.status, STOQ_MALFORMED);

    r = stoq_cbor_rd(stoq_span(in, sizeof in));
    (void)stoq_cbor_rd_array(&r);
    (void)stoq_cbor_rd_uint(&r);
    (void)stoq_cbor_rd_uint(&r);
    assert_int_equal(r.status, STOQ_OK);
    (void)stoq_cbor_rd_uint(&r);
    assert_int_equal(r.status, STOQ_MALFORMED);

    r = stoq_cbor_rd(stoq_span(in, sizeof in));
    (void)stoq_cbor_rd_array(&r);
    assert_int_equal(stoq_cbor_rd_done(&r), STOQ_MALFORMED);
}

static void fields_have_ranges(void **state)
{
    (void)state;
    const uint8_t seven[] = {0x07};
    const uint8_t text[] = {0x63, 'a', 'b', 'c'};
    const uint8_t key[] = {0xa1, 0x61, 'a', 0x00};
    uint64_t k;
    struct stoq_span ks;
    struct stoq_cbor_rd r = stoq_cbor_rd(stoq_span(seven, 1));
    assert_int_equal(stoq_cbor_rd_uint_in(&r, 7, 7), 7);
    assert_int_equal(stoq_cbor_rd_done(&r), STOQ_OK);
    r = stoq_cbor_rd(stoq_span(seven, 1));
    assert_int_equal(stoq_cbor_rd_uint_in(&r, 8, 9), 8);
    assert_int_equal(stoq_cbor_rd_done(&r), STOQ_MALFORMED);
    r = stoq_cbor_rd(stoq_span(text, 4));
    assert_int_equal(stoq_cbor_rd_text(&r, 4, 9).n, 0);
    assert_int_equal(r.status, STOQ_MALFORMED);
    r = stoq_cbor_rd(stoq_span(text, 4));
    assert_int_equal(stoq_cbor_rd_text(&r, 0, 2).n, 0);
    assert_int_equal(r.status, STOQ_MALFORMED);
    r = stoq_cbor_rd(stoq_span(text, 4));
    assert_int_equal(stoq_cbor_rd_hash(&r).b[0], 0);
    assert_int_equal(r.status, STOQ_MALFORMED);
    r = stoq_cbor_rd(stoq_span(key, 4));
    (void)stoq_cbor_rd_map(&r);
    assert_false(stoq_cbor_rd_key(&r, &k));
    assert_int_equal(r.status, STOQ_MALFORMED);
    r = stoq_cbor_rd(stoq_span(key, 4));
    (void)stoq_cbor_rd_map(&r);
    assert_true(stoq_cbor_rd_key_text(&r, &ks));
    assert_true(stoq_span_eq(ks, stoq_span_str("a")));
    (void)stoq_cbor_rd_uint(&r);
    assert_false(stoq_cbor_rd_key_text(&r, &ks));
    stoq_cbor_rd_leave(&r);
    assert_int_equal(stoq_cbor_rd_done(&r), STOQ_OK);
}

static void the_writer_stays_bad(void **state)
{
    (void)state;
    struct stoq_buf b;
    stoq_buf_init(&b, 8);
    struct stoq_cbor_wr w = stoq_cbor_wr(&b);
    stoq_cbor_put_uint(&w, UINT32_MAX);
    stoq_cbor_put_uint(&w, UINT32_MAX);
    stoq_cbor_put_uint(&w, 1);
    assert_int_equal(stoq_cbor_wr_done(&w), STOQ_FULL);
    assert_int_equal(b.n, 5);
    stoq_buf_clear(&b);
    w = stoq_cbor_wr(&b);
    stoq_cbor_put_text(&w, stoq_span("\xc0\x80", 2));
    assert_int_equal(stoq_cbor_wr_done(&w), STOQ_MALFORMED);
    assert_int_equal(b.n, 0);
    stoq_buf_release(&b);
}

static void utf8_is_strict(void **state)
{
    (void)state;
    const char *const good[] = {"",
                                "a",
                                "\x7f",
                                "\xc2\x80",
                                "\xed\x9f\xbf",
                                "\xee\x80\x80",
                                "\xf4\x8f\xbf\xbf",
                                "gr\xc3\xbc\xc3\x9f"};
    const char *const bad[] = {"\x80",
                               "\xc1\xbf",
                               "\xe0\x9f\xbf",
                               "\xf0\x8f\xbf\xbf",
                               "\xed\xa0\x80",
                               "\xed\xbf\xbf",
                               "\xf4\x90\x80\x80",
                               "\xf5\x80\x80\x80",
                               "\xc3",
                               "\xe6\xb0",
                               "\xc3(",
                               "a\xff"};
    for (size_t i = 0; i < STOQ_COUNT(good); i++) {
        assert_true(stoq_utf8_valid(stoq_span_str(good[i])));
    }
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_false(stoq_utf8_valid(stoq_span_str(bad[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(a_stream_is_read_item_by_item),
        cmocka_unit_test(lengths_that_cannot_be_cost_nothing),
        cmocka_unit_test(containers_hold_what_they_declare),
        cmocka_unit_test(fields_have_ranges),
        cmocka_unit_test(the_writer_stays_bad),
        cmocka_unit_test(utf8_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
