/* The vectors of docs/FORMATS.md section 9: tests/vectors/segments.txt. */
#include "store/store_testing.h"

#include "os/file.h"
#include "tests/vectors.h"

static void check_header(struct vectors *v)
{
    struct stoq_segment_header in = {.number = (uint32_t)vectors_u64(v, 1)};
    struct stoq_segment_header back;
    uint8_t got[STOQ_SEGMENT_HEADER_BYTES];
    struct stoq_span id = vectors_bytes(v, 2);
    struct stoq_span want = vectors_bytes(v, 3);
    assert_int_equal(id.n, sizeof in.store_id);
    memcpy(in.store_id, id.p, id.n);
    stoq_segment_header_encode(got, &in);
    assert_true(stoq_span_eq(stoq_span(got, sizeof got), want));
    assert_int_equal(stoq_segment_header_decode(want, &back), STOQ_OK);
    assert_int_equal(back.number, in.number);
    assert_memory_equal(back.store_id, in.store_id, sizeof in.store_id);
    for (size_t bit = 0; bit < 8 * sizeof got; bit++) {
        got[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(stoq_segment_header_decode(stoq_span(got, sizeof got), &back),
                             STOQ_OK);
        got[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(stoq_segment_header_decode(stoq_span(got, 63), &back), STOQ_TRUNC);
}

/* Any flipped bit is seen, and any cut. */
static void check_damage(struct stoq_span record)
{
    struct stoq_record out;
    uint8_t *p = malloc(record.n);
    assert_non_null(p);
    memcpy(p, record.p, record.n);
    for (size_t bit = 0; bit < 8 * record.n; bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(stoq_record_decode(stoq_span(p, record.n), &out), STOQ_OK);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < record.n; n++) {
        assert_int_equal(stoq_record_decode(stoq_span(p, n), &out), STOQ_TRUNC);
    }
    free(p);
}

static void check_unpacks(const struct stoq_record *rec, struct stoq_span raw)
{
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_RECORD_BYTES_MAX);
    assert_int_equal(stoq_store_decode(rec->info, rec->stored, STOQ_RECORD_BYTES_MAX, &out, NULL),
                     STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out), raw));
    stoq_buf_release(&out);
}

static void check_record(struct vectors *v)
{
    struct stoq_span raw = vectors_bytes(v, 5);
    struct stoq_record in = {
        .type = (uint8_t)vectors_u64(v, 1),
        .sequence = vectors_u64(v, 3),
        .info = {.flags = (uint8_t)vectors_u64(v, 2), .raw_len = (uint32_t)raw.n},
        .key = vectors_bytes(v, 4),
        .stored = vectors_bytes(v, 6),
    };
    struct stoq_span want = vectors_bytes(v, 7);
    struct stoq_record back;
    in.info.stored_len = (uint32_t)in.stored.n;
    assert_int_equal(stoq_record_bytes(in.key.n, in.info.stored_len), want.n);
    uint8_t *got = malloc(want.n);
    assert_non_null(got);
    stoq_record_encode(got, &in);
    assert_memory_equal(got, want.p, want.n);
    assert_int_equal(stoq_record_decode(want, &back), STOQ_OK);
    assert_int_equal(back.type, in.type);
    assert_int_equal(back.sequence, in.sequence);
    assert_int_equal(back.info.flags, in.info.flags);
    assert_int_equal(back.info.raw_len, in.info.raw_len);
    assert_true(stoq_span_eq(back.key, in.key));
    assert_true(stoq_span_eq(back.stored, in.stored));
    check_unpacks(&back, raw);
    check_damage(want);
    free(got);
}

static void headers_and_records(void **state)
{
    (void)state;
    struct vectors v;
    size_t headers = 0;
    size_t records = 0;
    vectors_open(&v, "segments");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "header")) {
            check_header(&v);
            headers++;
        } else if (vectors_is(&v, "record")) {
            check_record(&v);
            records++;
        }
    }
    vectors_close(&v);
    assert_int_equal(headers, 3);
    assert_int_equal(records, 11);
}

static void a_segment_is_its_records(void **state)
{
    (void)state;
    struct vectors v;
    size_t records = 0;
    vectors_open(&v, "segments");
    while (vectors_next(&v)) {
        if (!vectors_is(&v, "segment")) {
            continue;
        }
        struct stoq_span s = vectors_bytes(&v, 3);
        struct stoq_segment_header header;
        assert_int_equal(stoq_segment_header_decode(s, &header), STOQ_OK);
        assert_int_equal(header.number, 1);
        size_t at = STOQ_SEGMENT_HEADER_BYTES;
        while (at < s.n) {
            struct stoq_record rec;
            assert_int_equal(stoq_record_decode(stoq_span(s.p + at, s.n - at), &rec), STOQ_OK);
            assert_int_equal(rec.sequence, 1000 + records);
            at += stoq_record_bytes(rec.key.n, rec.info.stored_len);
            records++;
        }
        assert_int_equal(at, s.n);
    }
    vectors_close(&v);
    assert_int_equal(records, 11);
}

/* A store of format 1 as another program wrote it, years ago perhaps: no index, one segment. Every later
 * version of this program must open it and find the same. */
static void a_store_of_format_1_opens(void **state)
{
    (void)state;
    struct vectors v;
    struct stoq_scratch t;
    char path[128];
    stoq_scratch_begin(&t);
    (void)snprintf(path, sizeof path, "%s/FORMAT", t.dir);
    assert_int_equal(stoq_file_replace(path, stoq_span_str("stoq store 1\n"), 0600, NULL), STOQ_OK);
    (void)snprintf(path, sizeof path, "%s/segments", t.dir);
    assert_int_equal(stoq_file_mkdir_p(path, 0700, NULL), STOQ_OK);
    (void)snprintf(path, sizeof path, "%s/segments/00000001.seg", t.dir);
    vectors_open(&v, "segments");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "segment")) {
            assert_int_equal(stoq_file_replace(path, vectors_bytes(&v, 3), 0600, NULL), STOQ_OK);
        }
    }
    vectors_close(&v);
    stoq_scratch_open(&t);
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t.s, &stats, NULL), STOQ_OK);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, 2); /* the third was deleted */
    assert_int_equal(stats.type[STOQ_RECORD_MANIFEST].records, 1);
    assert_int_equal(stats.type[STOQ_RECORD_SHARD_LIST].records, 1);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK_LIST].records, 1);
    assert_int_equal(stats.type[STOQ_RECORD_SIGNATURE].records, 0);
    assert_int_equal(stats.type[STOQ_RECORD_PACKAGE].records, 1);
    assert_int_equal(stats.type[STOQ_RECORD_IN_PLACE].records, 1);
    vectors_open(&v, "segments");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "record") && vectors_u64(&v, 1) <= STOQ_RECORD_CHUNK_LIST) {
            struct stoq_buf out;
            stoq_buf_init(&out, STOQ_RECORD_BYTES_MAX);
            struct stoq_span key = vectors_bytes(&v, 4);
            bool deleted = vectors_u64(&v, 3) == 1002;
            enum stoq_status st = stoq_store_read(t.s, (enum stoq_record_type)vectors_u64(&v, 1),
                                                  key, 0, &out, &t.err);
            assert_int_equal(st, deleted ? STOQ_NOTFOUND : STOQ_OK);
            assert_true(deleted || stoq_span_eq(stoq_buf_span(&out), vectors_bytes(&v, 5)));
            stoq_buf_release(&out);
        }
    }
    vectors_close(&v);
    stoq_scratch_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_records),
        cmocka_unit_test(a_segment_is_its_records),
        cmocka_unit_test(a_store_of_format_1_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
