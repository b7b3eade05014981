#include "package/pointer.h"

#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1700000000u

struct world {
    struct stoq_key *key;
    struct stoq_key *other;
    struct stoq_pointer p;
    struct stoq_pointer_name want;
    struct stoq_buf bytes;
};

static struct world *fresh(void)
{
    static const uint8_t seeds[2][STOQ_KEY_SEED_BYTES] = {{1}, {2}};
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(stoq_key_from_seed(&w->key, seeds[0]), STOQ_OK);
    assert_int_equal(stoq_key_from_seed(&w->other, seeds[1]), STOQ_OK);
    w->p = (struct stoq_pointer){.spki = stoq_key_spki(w->key),
                                 .name = stoq_span_str("zlib"),
                                 .version = stoq_span_str("1.3.1"),
                                 .sequence = 7,
                                 .issued_at_s = NOW_S,
                                 .expires_s = NOW_S + 1000};
    memset(w->p.id.h.b, 0x11, sizeof w->p.id.h.b);
    w->want = (struct stoq_pointer_name){
        .publisher = stoq_key_id(w->key), .name = w->p.name, .version = w->p.version};
    stoq_buf_init(&w->bytes, STOQ_POINTER_BYTES_MAX);
    assert_int_equal(stoq_pointer_sign(w->key, &w->p, &w->bytes), STOQ_OK);
    return w;
}

static void done(struct world *w)
{
    stoq_key_free(w->key);
    stoq_key_free(w->other);
    stoq_buf_release(&w->bytes);
    free(w);
}

static enum stoq_status check(const struct world *w, uint64_t now_s)
{
    struct stoq_pointer out;
    return stoq_pointer_check(stoq_buf_span(&w->bytes), &w->want, now_s, &out);
}

static void what_a_publisher_signs_is_believed(void **state)
{
    struct world *w = fresh();
    struct stoq_pointer out;
    (void)state;
    assert_int_equal(stoq_pointer_check(stoq_buf_span(&w->bytes), &w->want, NOW_S, &out), STOQ_OK);
    assert_true(stoq_span_eq(out.version, w->p.version));
    assert_memory_equal(&out.id, &w->p.id, sizeof out.id);
    assert_int_equal(out.sequence, 7);
    w->want.version.n = 0; /* of any version */
    assert_int_equal(check(w, NOW_S), STOQ_OK);
    done(w);
}

static void it_holds_for_its_name_and_time_alone(void **state)
{
    struct world *w = fresh();
    (void)state;
    assert_int_equal(check(w, NOW_S + 999), STOQ_OK);
    assert_int_equal(check(w, NOW_S + 1000), STOQ_RANGE);
    assert_int_equal(check(w, NOW_S - STOQ_POINTER_SKEW_S), STOQ_OK);
    assert_int_equal(check(w, NOW_S - STOQ_POINTER_SKEW_S - 1), STOQ_RANGE);
    w->want.version = stoq_span_str("1.3.2");
    assert_int_equal(check(w, NOW_S), STOQ_NOTFOUND);
    w->want.version = w->p.version;
    w->want.name = stoq_span_str("zlib2");
    assert_int_equal(check(w, NOW_S), STOQ_NOTFOUND);
    w->want.name = w->p.name;
    w->want.publisher = stoq_key_id(w->other);
    assert_int_equal(check(w, NOW_S), STOQ_NOTFOUND);
    done(w);
}

/* Somebody else's signature under the publisher's name; and every bit of it matters. */
static void forgeries_are_refused(void **state)
{
    struct world *w = fresh();
    (void)state;
    assert_int_equal(check(w, NOW_S), STOQ_OK);
    stoq_buf_clear(&w->bytes);
    assert_int_equal(stoq_pointer_sign(w->other, &w->p, &w->bytes), STOQ_OK);
    assert_int_equal(check(w, NOW_S), STOQ_PROOF);
    stoq_buf_clear(&w->bytes);
    assert_int_equal(stoq_pointer_sign(w->key, &w->p, &w->bytes), STOQ_OK);
    for (size_t i = 0; i < w->bytes.n; i++) {
        w->bytes.p[i] ^= 0x04;
        assert_int_not_equal(check(w, NOW_S), STOQ_OK);
        w->bytes.p[i] ^= 0x04;
    }
    assert_int_equal(check(w, NOW_S), STOQ_OK);
    done(w);
}

static void fields_have_limits(void **state)
{
    struct world *w = fresh();
    char longest[128];
    (void)state;
    memset(longest, 'a', sizeof longest);
    w->p.name = stoq_span("Zlib", 4);
    assert_int_equal(stoq_pointer_sign(w->key, &w->p, &w->bytes), STOQ_RANGE);
    w->p.name = stoq_span_str("zlib");
    w->p.version = stoq_span_str("1 2");
    assert_int_equal(stoq_pointer_sign(w->key, &w->p, &w->bytes), STOQ_RANGE);
    stoq_buf_clear(&w->bytes);
    w->p.name = stoq_span(longest, sizeof longest);
    w->p.version = stoq_span(longest, sizeof longest);
    w->p.sequence = UINT64_MAX;
    w->p.expires_s = UINT64_MAX;
    assert_int_equal(stoq_pointer_sign(w->key, &w->p, &w->bytes), STOQ_OK);
    w->want.name = w->p.name;
    w->want.version = w->p.version;
    assert_int_equal(check(w, NOW_S), STOQ_OK);
    (void)stoq_pointer_key(&w->want);
    done(w);
}

static void keys_differ_by_all_that_is_named(void **state)
{
    struct world *w = fresh();
    struct stoq_hash keys[5];
    (void)state;
    keys[0] = stoq_pointer_key(&w->want);
    w->want.version.n = 0;
    keys[1] = stoq_pointer_key(&w->want);
    w->want.publisher = stoq_key_id(w->other);
    keys[2] = stoq_pointer_key(&w->want);
    w->want.name = stoq_span_str("zlib1"); /* name and version joined are the same text: */
    w->want.version = stoq_span_str(".3");
    keys[3] = stoq_pointer_key(&w->want);
    w->want.name = stoq_span_str("zlib");
    w->want.version = stoq_span_str("1.3");
    keys[4] = stoq_pointer_key(&w->want);
    for (size_t i = 0; i < STOQ_COUNT(keys); i++) {
        for (size_t k = 0; k < i; k++) {
            assert_false(stoq_hash_eq(&keys[i], &keys[k]));
        }
    }
    done(w);
}

static void sealed_it_tells_nothing_to_others(void **state)
{
    struct world *w = fresh();
    struct stoq_buf sealed;
    struct stoq_buf clear;
    (void)state;
    stoq_buf_init(&sealed, 2 * STOQ_POINTER_SEALED_MAX);
    stoq_buf_init(&clear, STOQ_POINTER_BYTES_MAX);
    struct stoq_span bytes = stoq_buf_span(&w->bytes);
    assert_int_equal(stoq_pointer_seal(&w->want, bytes, &sealed), STOQ_OK);
    assert_int_equal(sealed.n, bytes.n + STOQ_POINTER_NONCE_BYTES);
    assert_null(memmem(sealed.p, sealed.n, "zlib", 4));
    assert_null(memmem(sealed.p, sealed.n, w->p.spki.p + 12, 8));
    assert_int_equal(stoq_pointer_open(&w->want, stoq_buf_span(&sealed), &clear), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&clear), bytes));

    struct stoq_pointer_name other = w->want;
    other.publisher = stoq_key_id(w->other);
    assert_int_equal(stoq_pointer_open(&other, stoq_buf_span(&sealed), &clear), STOQ_MALFORMED);
    other = w->want;
    other.name = stoq_span_str("zlib2");
    assert_int_equal(stoq_pointer_open(&other, stoq_buf_span(&sealed), &clear), STOQ_MALFORMED);
    for (size_t i = 0; i < sealed.n; i++) {
        sealed.p[i] ^= 1;
        assert_int_equal(stoq_pointer_open(&w->want, stoq_buf_span(&sealed), &clear),
                         STOQ_MALFORMED);
        sealed.p[i] ^= 1;
    }
    assert_int_equal(stoq_pointer_open(&w->want, stoq_span(sealed.p, 16), &clear), STOQ_MALFORMED);
    stoq_buf_release(&sealed);
    stoq_buf_release(&clear);
    done(w);
}

static enum stoq_status outcome(const char *why)
{
    return strcmp(why, "proof") == 0   ? STOQ_PROOF
           : strcmp(why, "other") == 0 ? STOQ_NOTFOUND
           : strcmp(why, "time") == 0  ? STOQ_RANGE
                                       : STOQ_MALFORMED;
}

/* What another encoder makes of them. */
static void vectors_hold(void **state)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {1};
    struct stoq_key *key;
    struct vectors v;
    struct stoq_buf out;
    struct stoq_pointer p;
    struct stoq_pointer_name first = {0};
    char version[] = "1.3.1";
    (void)state;
    assert_int_equal(stoq_key_from_seed(&key, seed), STOQ_OK);
    stoq_buf_init(&out, STOQ_POINTER_SEALED_MAX);
    first.publisher = stoq_key_id(key);
    first.name = stoq_span_str("zlib");
    first.version = stoq_span_str(version);
    size_t seen = 0;
    vectors_open(&v, "pointers");
    while (vectors_next(&v)) {
        seen++;
        if (vectors_is(&v, "refused")) {
            struct stoq_span bytes = vectors_bytes(&v, 2);
            assert_int_equal(stoq_pointer_check(bytes, &first, NOW_S, &p),
                             outcome(vectors_str(&v, 1)));
            continue;
        }
        struct stoq_pointer_name name = {.publisher = stoq_key_id(key),
                                         .name = vectors_bytes(&v, 2),
                                         .version = vectors_bytes(&v, 3)};
        struct stoq_span bytes = vectors_bytes(&v, 5);
        assert_memory_equal(name.publisher.h.b, vectors_bytes(&v, 1).p, 32);
        assert_int_equal(stoq_pointer_check(bytes, &name, NOW_S, &p), STOQ_OK);
        assert_true(p.sequence == vectors_u64(&v, 4) && p.expires_s == NOW_S + 1000);
        stoq_buf_clear(&out);
        assert_int_equal(stoq_pointer_sign(key, &p, &out), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&out), bytes));
        stoq_buf_clear(&out);
        assert_int_equal(stoq_pointer_seal(&name, bytes, &out), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&out), vectors_bytes(&v, 8)));
        struct stoq_hash at = stoq_pointer_key(&name);
        assert_memory_equal(at.b, vectors_bytes(&v, 6).p, 32);
        name.version.n = 0;
        at = stoq_pointer_key(&name);
        assert_memory_equal(at.b, vectors_bytes(&v, 7).p, 32);
    }
    assert_int_equal(seen, 29);
    vectors_close(&v);
    stoq_buf_release(&out);
    stoq_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_publisher_signs_is_believed),
        cmocka_unit_test(it_holds_for_its_name_and_time_alone),
        cmocka_unit_test(forgeries_are_refused),
        cmocka_unit_test(fields_have_limits),
        cmocka_unit_test(keys_differ_by_all_that_is_named),
        cmocka_unit_test(sealed_it_tells_nothing_to_others),
        cmocka_unit_test(vectors_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
