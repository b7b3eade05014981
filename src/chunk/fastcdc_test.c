#include "chunk/fastcdc.h"

#include "base/prng.h"
#include "chunk/gear.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <cmocka.h>

/* --- an independent, slow transcription of docs/FORMATS.md section 4 --- */

static const uint64_t model_masks[26] = {
    [5] = 0x0000000001804110,  [6] = 0x0000000001803110,  [7] = 0x0000000018035100,
    [8] = 0x0000001800035300,  [9] = 0x0000019000353000,  [10] = 0x0000590003530000,
    [11] = 0x0000d90003530000, [12] = 0x0000d90103530000, [13] = 0x0000d90303530000,
    [14] = 0x0000d90313530000, [15] = 0x0000d90f03530000, [16] = 0x0000d90303537000,
    [17] = 0x0000d90703537000, [18] = 0x0000d90707537000, [19] = 0x0000d91707537000,
    [20] = 0x0000d91747537000, [21] = 0x0000d91767537000, [22] = 0x0000d93767537000,
    [23] = 0x0000d93777537000, [24] = 0x0000d93777577000, [25] = 0x0000db3777577000,
};

static uint64_t model_gear[256];

static int make_gear(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        uint8_t in[64];
        uint8_t digest[EVP_MAX_MD_SIZE];
        memset(in, i, sizeof in);
        if (EVP_Digest(in, sizeof in, digest, NULL, EVP_md5(), NULL) != 1) {
            return -1;
        }
        uint64_t v = 0;
        for (int k = 0; k < 8; k++) {
            v = v << 8 | digest[k];
        }
        model_gear[i] = v;
    }
    return 0;
}

static size_t model_cut(const struct stoq_chunk_params *p, const uint8_t *b, size_t n)
{
    long row = lround(log2(p->avg));
    uint64_t strict = model_masks[row + (long)p->level];
    uint64_t loose = model_masks[row - (long)p->level];
    if (n <= p->min) {
        return n;
    }
    size_t size = n < p->max ? n : p->max;
    size_t centre = p->avg < size ? p->avg : size;
    uint64_t hash = 0;
    for (size_t i = p->min / 2; i < size / 2; i++) {
        uint64_t mask = i < centre / 2 ? strict : loose;
        hash = (hash << 2) + (model_gear[b[2 * i]] << 1);
        if ((hash & (mask << 1)) == 0) {
            return 2 * i;
        }
        hash = hash + model_gear[b[2 * i + 1]];
        if ((hash & mask) == 0) {
            return 2 * i + 1;
        }
    }
    return size;
}

/* --- inputs --- */

static uint8_t *bytes_new(size_t n, uint64_t seed, unsigned kinds)
{
    uint8_t *b = malloc(n == 0 ? 1 : n);
    assert_non_null(b);
    struct stoq_prng r = stoq_prng(seed);
    for (size_t i = 0; i < n; i++) {
        b[i] = (uint8_t)(stoq_prng_next(&r) % kinds);
    }
    return b;
}

static void compare(const struct stoq_chunk_params *params, const uint8_t *b, size_t n)
{
    struct stoq_chunker c;
    assert_int_equal(stoq_chunker_init(&c, params), STOQ_OK);
    for (size_t at = 0; at < n;) {
        size_t got = stoq_chunker_cut(&c, stoq_span(b + at, n - at), true);
        assert_int_equal(got, model_cut(params, b + at, n - at));
        assert_true(got >= 1 && got <= params->max);
        at += got;
    }
}

/* --- tests --- */

static void the_gear_table_comes_from_md5(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        assert_true(stoq_gear[i] == model_gear[i]);
        assert_true(stoq_gear_shifted[i] == model_gear[i] << 1);
    }
}

static void cuts_follow_the_pair_form(void **state)
{
    (void)state;
    static const struct stoq_chunk_params some[] = {
        {64, 256, 1024, 0},      {64, 256, 1024, 3},      {65, 257, 1025, 1},
        {4096, 16384, 65535, 0}, {4096, 16384, 65535, 1}, {4096, 16384, 65535, 2},
        {4096, 16384, 65535, 3}, {4097, 16385, 65537, 2}, {16384, 65536, 262144, 2},
        {1024, 1024, 1024, 2},   {63 + 2, 300, 4001, 2},  {2047, 2896, 65536, 2},
        {2047, 2897, 65536, 2},
    };
    enum { N = 1 << 20 };
    uint8_t *random = bytes_new(N, 1, 256);
    uint8_t *text = bytes_new(N, 2, 23);
    for (size_t i = 0; i < STOQ_COUNT(some); i++) {
        compare(&some[i], random, N);
        compare(&some[i], text + 1, N - 1);
        for (size_t n = 0; n < 40; n++) {
            compare(&some[i], random + n, some[i].min + n);
            compare(&some[i], random + n, some[i].max - n);
            compare(&some[i], random + n, some[i].avg + n);
        }
    }
    free(random);
    free(text);
}

static void a_short_rest_is_one_chunk(void **state)
{
    (void)state;
    struct stoq_chunk_params params = STOQ_CHUNK_PROFILE_1;
    struct stoq_chunker c;
    assert_int_equal(stoq_chunker_init(&c, &params), STOQ_OK);
    uint8_t *b = bytes_new(params.max, 3, 256);
    assert_int_equal(stoq_chunker_cut(&c, stoq_span(NULL, 0), true), 0);
    assert_int_equal(stoq_chunker_cut(&c, stoq_span(NULL, 0), false), 0);
    assert_int_equal(stoq_chunker_cut(&c, stoq_span(b, 1), true), 1);
    assert_int_equal(stoq_chunker_cut(&c, stoq_span(b, params.min), true), params.min);
    assert_int_equal(stoq_chunker_cut(&c, stoq_span(b, params.max - 1), false), 0);
    assert_true(stoq_chunker_cut(&c, stoq_span(b, params.max), false) > 0);
    free(b);
}

/* Whatever sizes the bytes arrive in, a reader that keeps at most max bytes finds the same cuts. */
static void feed_sizes_do_not_matter(void **state)
{
    (void)state;
    enum { N = 3 << 19 };
    struct stoq_chunk_params params = {4096, 16384, 65535, 2};
    struct stoq_chunker c;
    assert_int_equal(stoq_chunker_init(&c, &params), STOQ_OK);
    uint8_t *b = bytes_new(N, 4, 256);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct stoq_prng r = stoq_prng(seed);
        size_t held = 0; /* bytes from the last cut on that have arrived */
        size_t at = 0;
        while (at < N) {
            size_t whole = N - at;
            size_t step = 1 + (size_t)stoq_prng_below(&r, seed % 2 == 0 ? 3000 : 90000);
            held = held + step < whole ? held + step : whole;
            size_t seen = held < params.max ? held : params.max;
            size_t got = stoq_chunker_cut(&c, stoq_span(b + at, seen), held == whole);
            if (got != 0) {
                assert_int_equal(got, model_cut(&params, b + at, whole));
                at += got;
                held -= got;
            }
        }
    }
    free(b);
}

static void zeros_are_cut_at_the_maximum(void **state)
{
    (void)state;
    enum { N = 1000000 };
    uint8_t *b = calloc(1, N);
    assert_non_null(b);
    struct stoq_chunk_params params = STOQ_CHUNK_PROFILE_1;
    struct stoq_chunker c;
    assert_int_equal(stoq_chunker_init(&c, &params), STOQ_OK);
    compare(&params, b, N);
    assert_int_equal(stoq_chunker_cut(&c, stoq_span(b, N), true), params.max);
    free(b);
}

static void refused(struct stoq_chunk_params params, const char *name, uint32_t lo, uint32_t hi)
{
    struct stoq_chunk_fault fault;
    struct stoq_chunker c;
    assert_int_equal(stoq_chunk_params_check(&params, &fault), STOQ_RANGE);
    assert_string_equal(fault.name, name);
    assert_int_equal(fault.lo, lo);
    assert_int_equal(fault.hi, hi);
    assert_int_equal(stoq_chunker_init(&c, &params), STOQ_RANGE);
}

static void parameters_have_ranges(void **state)
{
    (void)state;
    const struct stoq_chunk_params fine[] = {
        {64, 256, 1024, 0},        {1 << 20, 4 << 20, 16 << 20, 3}, {1 << 20, 1 << 20, 1 << 20, 0},
        {64, 4 << 20, 4 << 20, 3}, {64, 256, 16 << 20, 3},
    };
    for (size_t i = 0; i < STOQ_COUNT(fine); i++) {
        struct stoq_chunker c;
        assert_int_equal(stoq_chunk_params_check(&fine[i], NULL), STOQ_OK);
        assert_int_equal(stoq_chunker_init(&c, &fine[i]), STOQ_OK);
    }
    refused((struct stoq_chunk_params){63, 256, 1024, 0}, "min", 64, 1 << 20);
    refused((struct stoq_chunk_params){(1 << 20) + 1, 4 << 20, 16 << 20, 0}, "min", 64, 1 << 20);
    refused((struct stoq_chunk_params){64, 255, 1024, 0}, "avg", 256, 4 << 20);
    refused((struct stoq_chunk_params){300, 299, 1024, 0}, "avg", 300, 4 << 20);
    refused((struct stoq_chunk_params){64, (4 << 20) + 1, 16 << 20, 0}, "avg", 256, 4 << 20);
    refused((struct stoq_chunk_params){64, 256, 1023, 0}, "max", 1024, 16 << 20);
    refused((struct stoq_chunk_params){64, 2048, 2047, 0}, "max", 2048, 16 << 20);
    refused((struct stoq_chunk_params){64, 256, (16 << 20) + 1, 0}, "max", 1024, 16 << 20);
    refused((struct stoq_chunk_params){64, 256, 1024, 4}, "norm", 0, 3);
}

/* The averages where round(log2) steps up, against the C library's. */
static void rows_round_like_the_logarithm(void **state)
{
    (void)state;
    for (uint32_t avg = STOQ_CHUNK_AVG_LO; avg <= STOQ_CHUNK_AVG_HI; avg += 1 + avg / 5000) {
        struct stoq_chunker c;
        struct stoq_chunk_params params = {64, avg, STOQ_CHUNK_MAX_HI, 0};
        assert_int_equal(stoq_chunker_init(&c, &params), STOQ_OK);
        assert_true(c.mask_strict == model_masks[lround(log2(avg))]);
        assert_true(c.mask_loose == c.mask_strict);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gear_table_comes_from_md5),
        cmocka_unit_test(cuts_follow_the_pair_form),
        cmocka_unit_test(a_short_rest_is_one_chunk),
        cmocka_unit_test(feed_sizes_do_not_matter),
        cmocka_unit_test(zeros_are_cut_at_the_maximum),
        cmocka_unit_test(parameters_have_ranges),
        cmocka_unit_test(rows_round_like_the_logarithm),
    };
    return cmocka_run_group_tests(tests, make_gear, NULL);
}
