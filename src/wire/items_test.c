#include "wire/items.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct stoq_item items[] = {
    {STOQ_ITEM_RAW, 1000, 1000, 0},   {STOQ_ITEM_DAMAGED, 0, 0, 0}, {STOQ_ITEM_ZSTD, 5, 70000, 300},
    {STOQ_ITEM_RAW, 1000, 1000, 0},   {STOQ_ITEM_MISSING, 0, 0, 0}, {STOQ_ITEM_ZSTD, 5, 70000, 300},
    {STOQ_ITEM_ZSTD, 1 + 1024, 1, 0}, {STOQ_ITEM_MISSING, 0, 0, 0}, {STOQ_ITEM_RAW, 1, 1, 32768},
};

static size_t put_items(uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < STOQ_COUNT(items); i++) {
        stoq_item_head_put(out + n, &items[i]);
        n += STOQ_ITEM_HEAD_BYTES;
        memset(out + n, 'p', items[i].proof_len);
        n += items[i].proof_len;
        memset(out + n, (int)('a' + i), items[i].stored_len);
        n += items[i].stored_len;
    }
    return n;
}

/* Read everything in pieces of random length up to piece_max; what comes out is what went in. */
static void read_in_pieces(const uint8_t *p, size_t n, size_t piece_max, uint64_t seed)
{
    struct stoq_prng r = stoq_prng(seed);
    struct stoq_items it;
    stoq_items_init(&it, STOQ_COUNT(items));
    struct stoq_items_out out = {.what = STOQ_ITEMS_WAIT};
    size_t at = 0;
    size_t proof = 0;
    size_t data = 0;
    size_t ended = 0;
    while (out.what != STOQ_ITEMS_END) {
        size_t piece = 1 + (size_t)stoq_prng_below(&r, piece_max);
        struct stoq_span in = stoq_span(p + at, piece < n - at ? piece : n - at);
        size_t before = in.n;
        do {
            assert_int_equal(stoq_items_next(&it, &in, &out), STOQ_OK);
            if (out.what == STOQ_ITEMS_HEAD) {
                assert_memory_equal(&out.item, &items[out.index], sizeof out.item);
                proof = 0;
                data = 0;
            } else if (out.what == STOQ_ITEMS_PROOF) {
                assert_int_equal(out.bytes.p[out.bytes.n - 1], 'p');
                proof += out.bytes.n;
            } else if (out.what == STOQ_ITEMS_DATA) {
                assert_int_equal(out.bytes.p[0], 'a' + (int)out.index);
                assert_int_equal(out.bytes.p[out.bytes.n - 1], 'a' + (int)out.index);
                data += out.bytes.n;
            }
            if (out.last) {
                assert_int_equal(out.index, ended);
                assert_int_equal(proof, items[ended].proof_len);
                assert_int_equal(data, items[ended].stored_len);
                ended++;
            }
        } while (out.what != STOQ_ITEMS_WAIT && out.what != STOQ_ITEMS_END);
        at += before - in.n;
    }
    assert_int_equal(at, n);
    assert_int_equal(ended, STOQ_COUNT(items));
}

static void any_pieces_give_the_same(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    size_t n = put_items(bytes);
    read_in_pieces(bytes, n, 1, 1);
    read_in_pieces(bytes, n, n, 2);
    for (uint64_t seed = 0; seed < 200; seed++) {
        read_in_pieces(bytes, n, 1 + seed * 7, seed);
    }
}

static void heads_have_limits(void **state)
{
    (void)state;
    static const struct {
        uint8_t head[4];
        uint32_t stored;
        uint32_t raw;
        uint32_t proof;
    } bad[] = {
        {{0, 0, 0, 0}, 0, 0, 0},           /* an empty chunk */
        {{0, 0, 0, 0}, 10, 11, 0},         /* raw means equal */
        {{0, 0, 0, 0}, 262145, 262145, 0}, /* too long */
        {{0, 0, 0, 0}, 10, 10, 32769},     /* proof too long */
        {{1, 0, 0, 0}, 0, 10, 0},          /* nothing stored */
        {{1, 0, 0, 0}, 1035, 10, 0},       /* longer than zstd can make it */
        {{1, 0, 0, 0}, 5, 4000000000u, 0}, /* a bomb */
        {{1, 0, 0, 0}, 4000000000u, 10, 0},
        {{0xfe, 0, 0, 0}, 1, 0, 0},
        {{0xff, 0, 0, 0}, 1, 0, 0},
        {{0xff, 0, 0, 0}, 0, 1, 0},
        {{0xff, 0, 0, 0}, 0, 0, 1},
        {{2, 0, 0, 0}, 10, 10, 0}, /* reserved for deltas */
        {{0, 1, 0, 0}, 10, 10, 0},
        {{0, 0, 0, 1}, 10, 10, 0},
    };
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        uint8_t head[STOQ_ITEM_HEAD_BYTES];
        memcpy(head, bad[i].head, 4);
        stoq_le32_put(head + 4, bad[i].stored);
        stoq_le32_put(head + 8, bad[i].raw);
        stoq_le32_put(head + 12, bad[i].proof);
        struct stoq_items it;
        struct stoq_items_out out;
        struct stoq_span in = stoq_span(head, sizeof head);
        stoq_items_init(&it, 3);
        assert_int_equal(stoq_items_next(&it, &in, &out), STOQ_MALFORMED);
        in = stoq_span(head, sizeof head);
        assert_int_equal(stoq_items_next(&it, &in, &out), STOQ_MALFORMED);
    }
}

static void what_follows_is_left(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    size_t n = put_items(bytes);
    struct stoq_items it;
    struct stoq_items_out out;
    struct stoq_span in = stoq_span(bytes, n + 5);
    stoq_items_init(&it, STOQ_COUNT(items));
    do {
        assert_int_equal(stoq_items_next(&it, &in, &out), STOQ_OK);
    } while (out.what != STOQ_ITEMS_END);
    assert_int_equal(in.n, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_give_the_same),
        cmocka_unit_test(heads_have_limits),
        cmocka_unit_test(what_follows_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
