/* Records of content by address, against the vectors of the document. */
#include "daemon/content_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/vectors.h"

static void records_are_as_the_document_says(void **state)
{
    (void)state;
    struct vectors v;
    size_t good = 0;
    size_t refused = 0;
    vectors_open(&v, "records");
    while (vectors_next(&v)) {
        struct stoq_content c;
        struct stoq_buf again;
        if (vectors_is(&v, "refused-content")) {
            struct stoq_span key = vectors_bytes(&v, 2);
            enum stoq_status st = stoq_content_decode(key, vectors_bytes(&v, 3), &c);
            bool is_version = strcmp(vectors_str(&v, 1), "version") == 0;
            assert_int_equal(st == STOQ_VERSION, is_version);
            assert_int_not_equal(st, STOQ_OK);
            refused++;
        }
        if (!vectors_is(&v, "content")) {
            continue;
        }
        struct stoq_span key = vectors_bytes(&v, 7);
        struct stoq_span payload = vectors_bytes(&v, 8);
        struct stoq_hash root = vectors_hash(&v, 6);
        assert_int_equal(stoq_content_decode(key, payload, &c), STOQ_OK);
        assert_true(c.added_at == vectors_u64(&v, 1));
        assert_true(c.secondary_count == vectors_u64(&v, 2));
        assert_true(c.root.shards == vectors_u64(&v, 3) && c.root.chunks == vectors_u64(&v, 4));
        assert_true(c.root.bytes == vectors_u64(&v, 5) && stoq_hash_eq(&c.root.hash, &root));
        stoq_buf_init(&again, STOQ_CONTENT_RECORD_BYTES_MAX);
        assert_int_equal(stoq_content_encode(&c, &again), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&again), payload));
        stoq_buf_release(&again);
        good++;
    }
    vectors_close(&v);
    assert_true(good >= 4 && refused >= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(records_are_as_the_document_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
