/* Lists of what a receiver has, against the vectors of the document. */
#include "daemon/packages_harness.h"

#include "daemon/have.h"
#include "tests/vectors.h"

static void have_lists_are_read_strictly(void **state)
{
    (void)state;
    struct vectors v;
    unsigned count = 0;
    vectors_open(&v, "bundles");
    while (vectors_next(&v)) {
        if (!vectors_is(&v, "have")) {
            continue;
        }
        struct stoq_span roots = vectors_bytes(&v, 1);
        struct stoq_span hashes = vectors_bytes(&v, 2);
        struct stoq_span list = vectors_bytes(&v, 3);
        struct stoq_have *have;
        struct stoq_buf again;
        stoq_buf_init(&again, STOQ_MIB);
        assert_int_equal(stoq_have_new(&have, NULL), STOQ_OK);
        assert_int_equal(stoq_have_parse(have, list, &err), STOQ_OK);
        stoq_have_seal(have);
        assert_int_equal(stoq_have_shard_count(have), roots.n / 32);
        assert_int_equal(stoq_have_chunk_count(have), hashes.n / 32);
        for (size_t i = 0; i < hashes.n; i += 32) {
            struct stoq_hash h;
            memcpy(h.b, hashes.p + i, 32);
            assert_true(stoq_have_chunk(have, &h));
            h.b[15] ^= 1;
            assert_false(stoq_have_chunk(have, &h));
        }
        for (size_t i = 0; i < roots.n; i += 32) {
            struct stoq_hash h;
            memcpy(h.b, roots.p + i, 32);
            assert_true(stoq_have_shard(have, &h));
            h.b[31] ^= 1;
            assert_false(stoq_have_shard(have, &h));
        }
        assert_int_equal(stoq_have_write(have, keep_written, &again, &err), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&again), list));
        for (size_t bit = 0; bit < 8 * again.n; bit++) {
            again.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(stoq_have_parse(have, stoq_buf_span(&again), &err), STOQ_OK);
            again.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t n = 0; n < again.n; n++) {
            assert_int_not_equal(stoq_have_parse(have, stoq_span(again.p, n), &err), STOQ_OK);
        }
        stoq_buf_release(&again);
        stoq_have_free(have);
        count++;
    }
    vectors_close(&v);
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(have_lists_are_read_strictly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
