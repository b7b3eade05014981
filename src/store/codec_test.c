#include "store/codec.h"

#include "hash/hash.h"
#include "store/record.h"
#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_newer_segment_is_recognised(void **state)
{
    (void)state;
    struct stoq_segment_header h = {.number = 3, .store_id = {1, 2, 3}};
    uint8_t p[STOQ_SEGMENT_HEADER_BYTES];
    stoq_segment_header_encode(p, &h);
    p[8] = 2;
    assert_int_equal(stoq_segment_header_decode(stoq_span(p, sizeof p), &h), STOQ_MALFORMED);
    stoq_le64_put(p + 56, stoq_hash_xxh3_64(stoq_span(p, 56)));
    assert_int_equal(stoq_segment_header_decode(stoq_span(p, sizeof p), &h), STOQ_VERSION);
}

static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    struct stoq_stored raw5 = {5, 5, 0};
    assert_true(stoq_record_shape_ok(STOQ_RECORD_CHUNK, 32, raw5));
    assert_false(stoq_record_shape_ok(0, 32, raw5));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_TYPES, 32, raw5));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_CHUNK, 0, raw5));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_CHUNK, 65, raw5));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_CHUNK, 32, (struct stoq_stored){5, 4, 0}));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_CHUNK, 32, (struct stoq_stored){5, 5, 1}));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_CHUNK, 32, (struct stoq_stored){5, 5, 2}));
    assert_false(
        stoq_record_shape_ok(STOQ_RECORD_CHUNK, 32, (struct stoq_stored){262145, 262145, 0}));
    assert_true(
        stoq_record_shape_ok(STOQ_RECORD_SHARD_LIST, 32, (struct stoq_stored){262145, 262145, 0}));
    assert_false(
        stoq_record_shape_ok(STOQ_RECORD_SHARD_LIST, 32, (struct stoq_stored){UINT32_MAX, 9, 1}));
    assert_true(stoq_record_shape_ok(STOQ_RECORD_TOMBSTONE, 65, (struct stoq_stored){0, 0, 0}));
    assert_false(stoq_record_shape_ok(STOQ_RECORD_TOMBSTONE, 33, raw5));
}

static void only_what_packs_is_packed(void **state)
{
    (void)state;
    struct stoq_codec *codec;
    assert_int_equal(stoq_codec_new(&codec, 3), STOQ_OK);
    uint8_t *p = malloc(100000);
    assert_non_null(p);
    struct stoq_coded coded;
    vectors_fill(p, 100000, 5);
    assert_int_equal(stoq_codec_encode(codec, stoq_span(p, 100000), &coded), STOQ_OK);
    assert_int_equal(coded.info.flags, 0);
    assert_null(coded.slot);
    memset(p + 4096, 0, 100000 - 4096); /* the probe sees random bytes only */
    assert_int_equal(stoq_codec_encode(codec, stoq_span(p, 100000), &coded), STOQ_OK);
    assert_int_equal(coded.info.flags, 0);
    memset(p, 0, 100000);
    assert_int_equal(stoq_codec_encode(codec, stoq_span(p, 100000), &coded), STOQ_OK);
    assert_int_equal(coded.info.flags, STOQ_STORED_ZSTD);
    assert_true(coded.info.stored_len < 100 && coded.info.raw_len == 100000);
    stoq_codec_put_back(codec, coded.slot);
    free(p);
    stoq_codec_free(codec);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* they have their own */
#define REALLOC_FAILS 0
#else
#define REALLOC_FAILS 1
static int reallocs_left; /* the last of these fails; 0: none does */

void *glibc_realloc(void *p, size_t n) __asm__("__libc_realloc"); /* behind ours */
void *realloc_or_fail(void *p, size_t n) __asm__("realloc");
void *realloc_or_fail(void *p, size_t n)
{
    if (reallocs_left > 0 && --reallocs_left == 0) {
        return NULL;
    }
    return glibc_realloc(p, n);
}

/* What AUTO tries harder: its bytes take some half of their length. */
static void fill_halves(uint8_t *p, size_t n)
{
    vectors_fill(p, n, 7);
    for (size_t i = 0; i < n; i++) {
        p[i] &= 0x0f;
    }
}

static struct stoq_coded encode_failing(struct stoq_span payload, int nth, enum stoq_status *st)
{
    struct stoq_codec *codec;
    struct stoq_coded coded;
    assert_int_equal(stoq_codec_new(&codec, STOQ_STORE_LEVEL_AUTO), STOQ_OK);
    reallocs_left = nth;
    *st = stoq_codec_encode(codec, payload, &coded);
    assert_true(reallocs_left == 0); /* it came to that */
    if (*st == STOQ_OK) {
        stoq_codec_put_back(codec, coded.slot);
    }
    stoq_codec_free(codec);
    return coded;
}

/* The buffers of the probe and of the first try are needed; that of the harder one is not. */
static void a_harder_try_needs_no_memory(void **state)
{
    (void)state;
    enum stoq_status st;
    uint8_t *p = malloc(50000);
    assert_non_null(p);
    fill_halves(p, 50000);
    struct stoq_span payload = stoq_span(p, 50000);
    (void)encode_failing(payload, 1, &st);
    assert_int_equal(st, STOQ_NOMEM);
    (void)encode_failing(payload, 2, &st);
    assert_int_equal(st, STOQ_NOMEM);
    struct stoq_coded coded = encode_failing(payload, 3, &st);
    assert_int_equal(st, STOQ_OK);
    assert_int_equal(coded.info.flags, STOQ_STORED_ZSTD);
    assert_in_range(coded.info.stored_len, 50000 * 40 / 100, 50000 * 70 / 100);
    free(p);
}
#endif

/* A frame of n zero bytes. */
static struct stoq_span zeros_packed(struct stoq_codec *codec, size_t n, struct stoq_coded *coded)
{
    uint8_t *p = calloc(1, n);
    assert_non_null(p);
    assert_int_equal(stoq_codec_encode(codec, stoq_span(p, n), coded), STOQ_OK);
    assert_int_equal(coded->info.flags, STOQ_STORED_ZSTD);
    free(p);
    return coded->stored;
}

static void bombs_are_refused(void **state)
{
    (void)state;
    struct stoq_codec *codec;
    assert_int_equal(stoq_codec_new(&codec, 3), STOQ_OK);
    struct stoq_coded coded;
    struct stoq_span frame = zeros_packed(codec, 4000000, &coded);
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_RECORD_BYTES_MAX);
    struct stoq_stored info = coded.info;
    struct stoq_error err;
    /* Declared as it is, it is longer than a chunk may be. */
    assert_int_equal(stoq_store_decode(info, frame, STOQ_CHUNK_BYTES_MAX, &out, &err),
                     STOQ_MALFORMED);
    /* Declared as a chunk, it holds more than declared. */
    info.raw_len = STOQ_CHUNK_BYTES_MAX;
    assert_int_equal(stoq_store_decode(info, frame, STOQ_CHUNK_BYTES_MAX, &out, &err),
                     STOQ_MALFORMED);
    assert_true(out.cap <= STOQ_CHUNK_BYTES_MAX);
    assert_int_equal(out.n, 0);
    info.raw_len = 4000001;
    assert_int_equal(stoq_store_decode(info, frame, STOQ_RECORD_BYTES_MAX, &out, &err),
                     STOQ_MALFORMED);
    info.raw_len = 4000000;
    assert_int_equal(stoq_store_decode(info, frame, STOQ_RECORD_BYTES_MAX, &out, &err), STOQ_OK);
    assert_int_equal(out.n, 4000000);
    stoq_codec_put_back(codec, coded.slot);
    stoq_buf_release(&out);
    stoq_codec_free(codec);
}

static void frames_are_single_and_whole(void **state)
{
    (void)state;
    struct stoq_codec *codec;
    assert_int_equal(stoq_codec_new(&codec, 3), STOQ_OK);
    struct stoq_coded coded;
    struct stoq_span frame = zeros_packed(codec, 1000, &coded);
    uint8_t two[256];
    assert_true(frame.n <= 100);
    memcpy(two, frame.p, frame.n);
    memcpy(two + frame.n, frame.p, frame.n);
    struct stoq_buf out;
    stoq_buf_init(&out, 10000);
    struct stoq_stored info = {1000, (uint32_t)frame.n, STOQ_STORED_ZSTD};
    assert_int_equal(stoq_store_decode(info, frame, 10000, &out, NULL), STOQ_OK);
    info.stored_len = (uint32_t)(2 * frame.n);
    assert_int_equal(stoq_store_decode(info, stoq_span(two, 2 * frame.n), 10000, &out, NULL),
                     STOQ_MALFORMED);
    info.raw_len = 2000;
    assert_int_equal(stoq_store_decode(info, stoq_span(two, 2 * frame.n), 10000, &out, NULL),
                     STOQ_MALFORMED);
    info = (struct stoq_stored){1000, (uint32_t)frame.n - 1, STOQ_STORED_ZSTD};
    assert_int_equal(stoq_store_decode(info, stoq_span(two, frame.n - 1), 10000, &out, NULL),
                     STOQ_MALFORMED);
    info = (struct stoq_stored){1000, (uint32_t)frame.n, 2};
    assert_int_equal(stoq_store_decode(info, frame, 10000, &out, NULL), STOQ_MALFORMED);
    info = (struct stoq_stored){1000, (uint32_t)frame.n, 0};
    assert_int_equal(stoq_store_decode(info, frame, 10000, &out, NULL), STOQ_MALFORMED);
    info = (struct stoq_stored){1000, 999, STOQ_STORED_ZSTD};
    assert_int_equal(stoq_store_decode(info, frame, 10000, &out, NULL), STOQ_MALFORMED);
    stoq_codec_put_back(codec, coded.slot);
    stoq_buf_release(&out);
    stoq_codec_free(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newer_segment_is_recognised),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(only_what_packs_is_packed),
#if REALLOC_FAILS
        cmocka_unit_test(a_harder_try_needs_no_memory),
#endif
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(frames_are_single_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
