#include "hash/content.h"
#include "hash/hash.h"
#include "hash/many.h"

#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The input of the official BLAKE3 vectors, as the vector file uses it. */
static uint8_t *counting(size_t n)
{
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(i % 251);
    }
    return p;
}

static void check_line(struct vectors *v)
{
    size_t n = (size_t)vectors_u64(v, 1);
    uint8_t *in = counting(n);
    if (vectors_is(v, "xxh3-64")) {
        assert_true(stoq_hash_xxh3_64(stoq_span(in, n)) == vectors_u64(v, 2));
        free(in);
        return;
    }
    enum stoq_hash_alg alg = stoq_hash_alg_named(v->field[0]);
    assert_int_not_equal(alg, STOQ_HASH_NONE);
    struct stoq_digest got;
    assert_int_equal(stoq_digest_of(&got, alg, stoq_span(in, n)), STOQ_OK);
    struct stoq_span want = vectors_bytes(v, 2);
    assert_int_equal(got.alg, alg);
    assert_true(stoq_span_eq(stoq_digest_span(&got), want));
    if (alg == STOQ_HASH_BLAKE3) {
        struct stoq_hash h = stoq_hash_blake3(stoq_span(in, n));
        assert_memory_equal(h.b, want.p, 32);
    }
    free(in);
}

static void every_algorithm_agrees_with_other_programs(void **state)
{
    (void)state;
    struct vectors v;
    size_t seen = 0;
    vectors_open(&v, "hash");
    while (vectors_next(&v)) {
        check_line(&v);
        seen++;
    }
    vectors_close(&v);
    assert_int_equal(seen, 6 * 24);
}

struct known {
    enum stoq_hash_alg alg;
    const char *in;
    const char *hex;
};

static void published_vectors_hold(void **state)
{
    (void)state;
    const struct known known[] = {
        /* BLAKE3 test_vectors.json, input_len 0 (the inputs 0 .. 2048 of it are in hash.txt). */
        {STOQ_HASH_BLAKE3, "", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
        /* FIPS 202 and FIPS 180 example values of NIST's cryptographic standards examples. */
        {STOQ_HASH_SHA3_256, "",
         "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"},
        {STOQ_HASH_SHA3_256, "abc",
         "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
        {STOQ_HASH_SHA256, "abc",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {STOQ_HASH_SHA512, "abc",
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
        /* xxHash's own sanity values: no input, seed 0. */
        {STOQ_HASH_XXH3_128, "", "99aa06d3014798d86001c324468d497f"},
    };
    for (size_t i = 0; i < STOQ_COUNT(known); i++) {
        struct stoq_digest d;
        char hex[2 * STOQ_DIGEST_MAX + 1];
        assert_int_equal(stoq_digest_of(&d, known[i].alg, stoq_span_str(known[i].in)), STOQ_OK);
        stoq_hex_put(hex, stoq_digest_span(&d));
        assert_string_equal(hex, known[i].hex);
    }
    assert_true(stoq_hash_xxh3_64(stoq_span(NULL, 0)) == 0x2d06800538d394c2u);
}

static void pieces_equal_the_whole(void **state)
{
    (void)state;
    uint8_t *in = counting(5000);
    struct stoq_span whole = stoq_span(in, 5000);
    const struct stoq_span parts[] = {stoq_span(in, 1), stoq_span(NULL, 0), stoq_span(in + 1, 1023),
                                      stoq_span(in + 1024, 3976)};
    struct stoq_hash a = stoq_hash_blake3(whole);
    struct stoq_hash b = stoq_hash_blake3_parts(parts, 4);
    struct stoq_hash c = stoq_hash_blake3_2(stoq_span(in, 64), stoq_span(in + 64, 4936));
    assert_true(stoq_hash_eq(&a, &b));
    assert_true(stoq_hash_eq(&a, &c));
    assert_true(stoq_hash_xxh3_64(whole) == stoq_hash_xxh3_64_parts(parts, 4));
    for (unsigned alg = 1; alg <= STOQ_HASH_SHA512; alg++) {
        struct stoq_hasher h;
        struct stoq_digest one;
        struct stoq_digest many;
        assert_int_equal(stoq_digest_of(&one, (enum stoq_hash_alg)alg, whole), STOQ_OK);
        assert_int_equal(stoq_hasher_init(&h, (enum stoq_hash_alg)alg), STOQ_OK);
        for (size_t i = 0; i < STOQ_COUNT(parts); i++) {
            stoq_hasher_update(&h, parts[i]);
        }
        assert_int_equal(stoq_hasher_final(&h, &many), STOQ_OK);
        stoq_hasher_release(&h);
        assert_true(stoq_digest_eq(&one, &many));
    }
    free(in);
}

static void names_codes_and_sizes(void **state)
{
    (void)state;
    for (unsigned alg = 1; alg <= STOQ_HASH_SHA512; alg++) {
        const char *name = stoq_hash_alg_name((enum stoq_hash_alg)alg);
        assert_int_equal(stoq_hash_alg_named(name), alg);
        assert_int_equal(stoq_hash_alg_code(alg), alg);
        assert_int_equal(stoq_hash_alg_is_address((enum stoq_hash_alg)alg), alg <= 2);
    }
    assert_int_equal(stoq_hash_alg_named("md5"), STOQ_HASH_NONE);
    assert_int_equal(stoq_hash_alg_code(6), STOQ_HASH_NONE);
    assert_int_equal(stoq_hash_alg_code(UINT64_MAX), STOQ_HASH_NONE);
    assert_null(stoq_hash_alg_name((enum stoq_hash_alg)99));
    assert_int_equal(stoq_hash_alg_size(STOQ_HASH_NONE), 0);
    struct stoq_hasher h;
    assert_int_equal(stoq_hasher_init(&h, (enum stoq_hash_alg)99), STOQ_RANGE);
    stoq_hasher_update(&h, stoq_span_str("x"));
    stoq_hasher_release(&h);
}

static void content_checks_both_digests(void **state)
{
    (void)state;
    struct stoq_span good = stoq_span_str("some content");
    struct stoq_content_hash want;
    assert_int_equal(stoq_content_hash(&want, good, STOQ_HASH_BLAKE3, STOQ_HASH_SHA256), STOQ_OK);
    assert_int_equal(stoq_content_check(&want, good), STOQ_OK);
    assert_int_equal(stoq_content_check(&want, stoq_span_str("some Content")), STOQ_PROOF);

    struct stoq_content_hash bad = want;
    bad.digest.b[31] ^= 1;
    assert_int_equal(stoq_content_check(&bad, good), STOQ_PROOF);
    bad = want;
    bad.secondary.b[31] ^= 1; /* the first digest fits, the second does not: as fatal */
    assert_int_equal(stoq_content_check(&bad, good), STOQ_PROOF);

    struct stoq_content_hash plain;
    assert_int_equal(stoq_content_hash(&plain, good, STOQ_HASH_BLAKE3, STOQ_HASH_NONE), STOQ_OK);
    assert_int_equal(stoq_content_hash_match(&plain, &want), STOQ_OK);
    /* A wanted secondary that was never computed is not a match. */
    assert_int_equal(stoq_content_hash_match(&want, &plain), STOQ_PROOF);
    struct stoq_content_hash sha3;
    assert_int_equal(stoq_content_hash(&sha3, good, STOQ_HASH_SHA3_256, STOQ_HASH_NONE), STOQ_OK);
    assert_int_equal(stoq_content_check(&sha3, good), STOQ_OK);
    assert_int_equal(stoq_content_hash_match(&plain, &sha3), STOQ_PROOF);
}

static void content_refuses_what_can_be_forged(void **state)
{
    (void)state;
    struct stoq_content_hash out;
    struct stoq_span s = stoq_span_str("x");
    const struct {
        unsigned first;
        unsigned second;
    } refused[] = {{4, 0}, {3, 0}, {5, 0}, {0, 0}, {6, 0}, {1, 1}, {2, 2}, {1, 6}, {1, 77}};
    for (size_t i = 0; i < STOQ_COUNT(refused); i++) {
        assert_int_equal(stoq_content_hash(&out, s, (enum stoq_hash_alg)refused[i].first,
                                           (enum stoq_hash_alg)refused[i].second),
                         STOQ_RANGE);
    }
    assert_int_equal(stoq_content_hash(&out, s, STOQ_HASH_BLAKE3, STOQ_HASH_XXH3_128), STOQ_OK);
    out.algorithm = STOQ_HASH_XXH3_128;
    assert_int_equal(stoq_content_check(&out, s), STOQ_RANGE);
}

static void many_in_one_pass_equal_each_alone(void **state)
{
    (void)state;
    static const enum stoq_hash_alg algs[] = {STOQ_HASH_SHA512, STOQ_HASH_BLAKE3,
                                              STOQ_HASH_XXH3_128, STOQ_HASH_SHA256,
                                              STOQ_HASH_SHA3_256};
    struct stoq_digest got[STOQ_HASH_MANY_MAX];
    struct stoq_digest want;
    struct stoq_hash_many m;
    uint8_t *in = counting(70000);
    assert_int_equal(stoq_hash_many_init(&m, algs, STOQ_COUNT(algs)), STOQ_OK);
    stoq_hash_many_update(&m, stoq_span(in, 3));
    stoq_hash_many_update(&m, stoq_span(in + 3, 70000 - 3));
    assert_int_equal(stoq_hash_many_final(&m, got), STOQ_OK);
    stoq_hash_many_release(&m);
    for (size_t i = 0; i < STOQ_COUNT(algs); i++) {
        assert_int_equal(stoq_digest_of(&want, algs[i], stoq_span(in, 70000)), STOQ_OK);
        assert_true(stoq_digest_eq(&got[i], &want));
    }
    free(in);
    static const enum stoq_hash_alg twice[] = {STOQ_HASH_SHA256, STOQ_HASH_BLAKE3,
                                               STOQ_HASH_SHA256};
    static const enum stoq_hash_alg none[] = {STOQ_HASH_NONE};
    assert_int_equal(stoq_hash_many_init(&m, twice, 3), STOQ_RANGE);
    assert_int_equal(stoq_hash_many_init(&m, none, 1), STOQ_RANGE);
    assert_int_equal(stoq_hash_many_init(&m, algs, STOQ_HASH_MANY_MAX + 1), STOQ_RANGE);
    assert_int_equal(stoq_hash_many_init(&m, NULL, 0), STOQ_OK);
    stoq_hash_many_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_agrees_with_other_programs),
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(pieces_equal_the_whole),
        cmocka_unit_test(names_codes_and_sizes),
        cmocka_unit_test(content_checks_both_digests),
        cmocka_unit_test(content_refuses_what_can_be_forged),
        cmocka_unit_test(many_in_one_pass_equal_each_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
