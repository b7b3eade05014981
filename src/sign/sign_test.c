#include "sign/object.h"
#include "sign/sign_internal.h"

#include "tests/vectors.h"
#include "wire/cbor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stoq_key *key_of(struct stoq_span seed)
{
    struct stoq_key *key = NULL;
    assert_int_equal(seed.n, STOQ_KEY_SEED_BYTES);
    assert_int_equal(stoq_key_from_seed(&key, seed.p), STOQ_OK);
    return key;
}

static void check_rfc8032(struct vectors *v)
{
    struct stoq_key *key = key_of(vectors_bytes(v, 1));
    struct stoq_span public = vectors_bytes(v, 2);
    struct stoq_span message = vectors_bytes(v, 3);
    struct stoq_span want = vectors_bytes(v, 4);
    uint8_t got[STOQ_ED25519_SIGNATURE_BYTES];
    assert_memory_equal(stoq_key_spki(key).p + 12, public.p, 32);
    assert_int_equal(stoq_ed25519_sign(key, message, got), STOQ_OK);
    assert_memory_equal(got, want.p, sizeof got);
    assert_int_equal(stoq_ed25519_verify(stoq_key_spki(key), message, want), STOQ_OK);
    got[3] ^= 8;
    assert_int_equal(stoq_ed25519_verify(stoq_key_spki(key), message, stoq_span(got, sizeof got)),
                     STOQ_PROOF);
    stoq_key_free(key);
}

static void check_key(struct vectors *v)
{
    struct stoq_key *key = key_of(vectors_bytes(v, 1));
    struct stoq_span spki = vectors_bytes(v, 2);
    struct stoq_span id = vectors_bytes(v, 3);
    struct stoq_span pem = vectors_bytes(v, 4);
    struct stoq_key_id key_id = stoq_key_id(key);
    struct stoq_peer_id peer_id = stoq_key_peer_id(key);
    struct stoq_buf out;
    assert_true(stoq_span_eq(stoq_key_spki(key), spki));
    assert_memory_equal(key_id.h.b, id.p, 32);
    assert_memory_equal(peer_id.h.b, id.p, 32);
    stoq_buf_init(&out, pem.n);
    assert_int_equal(stoq_key_to_pem(key, &out), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out), pem));
    assert_int_equal(stoq_key_to_pem(key, &out), STOQ_FULL);
    struct stoq_key *again = NULL;
    assert_int_equal(stoq_key_from_pem(&again, pem), STOQ_OK);
    assert_true(stoq_span_eq(stoq_key_spki(again), spki));
    assert_int_equal(EVP_PKEY_eq(stoq_key_evp(key), stoq_key_evp(again)), 1);
    stoq_key_free(again);
    stoq_key_free(key);
    stoq_buf_release(&out);
}

static void check_envelope(struct vectors *v)
{
    struct stoq_key *key = key_of(vectors_bytes(v, 1));
    const char *context = vectors_str(v, 2);
    struct stoq_hash object = vectors_hash(v, 3);
    struct stoq_span want = vectors_bytes(v, 4);
    struct stoq_key_id id = stoq_key_id(key);
    struct stoq_key_id got;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_ENVELOPE_MAX);
    assert_int_equal(stoq_sign(key, context, &object, &out), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out), want));
    assert_int_equal(stoq_sign_verify(want, context, &object, &got), STOQ_OK);
    assert_true(stoq_hash_eq(&got.h, &id.h));
    stoq_buf_release(&out);
    stoq_buf_init(&out, want.n - 1);
    assert_int_equal(stoq_sign(key, context, &object, &out), STOQ_FULL);
    assert_int_equal(out.n, 0);
    stoq_buf_release(&out);
    stoq_key_free(key);
}

static void check_refused(struct vectors *v)
{
    const char *why = vectors_str(v, 1);
    struct stoq_hash object = vectors_hash(v, 3);
    struct stoq_span envelope = vectors_bytes(v, 4);
    struct stoq_key_id id = {{{0}}};
    enum stoq_status want = strcmp(why, "proof") == 0     ? STOQ_PROOF
                            : strcmp(why, "version") == 0 ? STOQ_VERSION
                                                          : STOQ_MALFORMED;
    assert_int_equal(stoq_sign_verify(envelope, vectors_str(v, 2), &object, &id), want);
    assert_int_equal(id.h.b[0], 0);
}

static void vectors_hold(void **state)
{
    (void)state;
    struct vectors v;
    size_t seen[4] = {0};
    vectors_open(&v, "sign");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "rfc8032")) {
            check_rfc8032(&v);
            seen[0]++;
        } else if (vectors_is(&v, "key")) {
            check_key(&v);
            seen[1]++;
        } else if (vectors_is(&v, "envelope")) {
            check_envelope(&v);
            seen[2]++;
        } else {
            check_refused(&v);
            seen[3]++;
        }
    }
    vectors_close(&v);
    assert_int_equal(seen[0], 3);
    assert_int_equal(seen[1], 4);
    assert_int_equal(seen[2], 12);
    assert_true(seen[3] >= 37);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {42};
    struct stoq_key *key = key_of(stoq_span(seed, sizeof seed));
    struct stoq_hash object = {{1, 2, 3}};
    struct stoq_key_id id;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_ENVELOPE_MAX);
    assert_int_equal(stoq_sign(key, STOQ_SIGN_PACKAGE, &object, &out), STOQ_OK);
    for (size_t bit = 0; bit < 8 * out.n; bit++) {
        out.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(stoq_sign_verify(stoq_buf_span(&out), STOQ_SIGN_PACKAGE, &object, &id),
                             STOQ_OK);
        out.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(stoq_sign_verify(stoq_buf_span(&out), STOQ_SIGN_PACKAGE, &object, &id),
                     STOQ_OK);
    /* Another context than the one expected, in one step: as short, as long, a prefix. */
    assert_int_equal(stoq_sign_verify(stoq_buf_span(&out), STOQ_SIGN_POINTER, &object, &id),
                     STOQ_PROOF);
    assert_int_equal(stoq_sign_verify(stoq_buf_span(&out), "packages", &object, &id), STOQ_PROOF);
    stoq_buf_release(&out);
    stoq_key_free(key);
}

static void decode_shows_unverified_fields(void **state)
{
    (void)state;
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {43};
    struct stoq_key *key = key_of(stoq_span(seed, sizeof seed));
    struct stoq_hash object = {{9}};
    struct stoq_envelope e;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_ENVELOPE_MAX);
    assert_int_equal(stoq_sign(key, STOQ_SIGN_RECEIPT, &object, &out), STOQ_OK);
    assert_int_equal(stoq_envelope_decode(&e, stoq_buf_span(&out)), STOQ_OK);
    assert_int_equal(e.algorithm, STOQ_SIGN_ED25519);
    assert_true(stoq_span_eq(e.spki, stoq_key_spki(key)));
    assert_true(stoq_span_eq(e.context, stoq_span_str(STOQ_SIGN_RECEIPT)));
    assert_true(stoq_hash_eq(&e.object, &object));
    assert_int_equal(e.signature.n, STOQ_ED25519_SIGNATURE_BYTES);
    stoq_buf_release(&out);
    stoq_key_free(key);
}

static enum stoq_status from_text(const char *pem)
{
    struct stoq_key *key = NULL;
    enum stoq_status st = stoq_key_from_pem(&key, stoq_span_str(pem));
    assert_true((st == STOQ_OK) == (key != NULL));
    stoq_key_free(key);
    return st;
}

#define BODY "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BEGIN "-----BEGIN PRIVATE KEY-----\n"
#define END "\n-----END PRIVATE KEY-----\n"

static void key_files_are_read_strictly(void **state)
{
    (void)state;
    assert_int_equal(from_text(BEGIN BODY END), STOQ_OK);
    assert_int_equal(from_text("A comment\r\n" BEGIN "\r\n" BODY "\r" END "more"), STOQ_OK);
    assert_int_equal(
        from_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" BEGIN BODY END),
        STOQ_OK);
    assert_int_equal(from_text(""), STOQ_MALFORMED);
    assert_int_equal(from_text(BODY), STOQ_MALFORMED);
    assert_int_equal(from_text(BEGIN BODY), STOQ_MALFORMED);
    assert_int_equal(from_text("-----BEGIN PRIVATE KEY-----"), STOQ_MALFORMED);
    assert_int_equal(from_text("-----BEGIN PRIVATE KEY-----END PRIVATE KEY-----"), STOQ_MALFORMED);
    assert_int_equal(from_text("-----BEGIN "), STOQ_MALFORMED);
    assert_int_equal(from_text(BEGIN END), STOQ_MALFORMED);
    assert_int_equal(from_text(BEGIN "!!!!" END), STOQ_MALFORMED);
    assert_int_equal(from_text(BEGIN BODY "A" END), STOQ_MALFORMED);
    assert_int_equal(from_text(BEGIN "AAAA" END), STOQ_MALFORMED);
    /* An X25519 key: the same but for one byte of the identifier. */
    assert_int_equal(
        from_text(BEGIN "MC4CAQAwBQYDK2VuBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" END),
        STOQ_VERSION);
    assert_int_equal(from_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n"
                               "-----END ENCRYPTED PRIVATE KEY-----\n"),
                     STOQ_VERSION);
    char *big = malloc(STOQ_KEY_PEM_MAX + 200);
    assert_non_null(big);
    memset(big, '\n', STOQ_KEY_PEM_MAX);
    memcpy(big + STOQ_KEY_PEM_MAX, BEGIN BODY END, sizeof BEGIN BODY END);
    assert_int_equal(from_text(big), STOQ_MALFORMED);
    assert_int_equal(from_text(big + 200), STOQ_OK);
    free(big);
}

static void objects_are_signed_by_the_key_they_name(void **state)
{
    (void)state;
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {7};
    const uint8_t other_seed[STOQ_KEY_SEED_BYTES] = {8};
    struct stoq_key *key = key_of(stoq_span(seed, sizeof seed));
    struct stoq_key *other = key_of(stoq_span(other_seed, sizeof other_seed));
    struct stoq_span spki = stoq_key_spki(key);
    struct stoq_signed s;
    struct stoq_buf buf;
    stoq_buf_init(&buf, 4096);
    assert_int_equal(stoq_object_sign(key, STOQ_SIGN_RECEIPT, stoq_span_str("body"), &buf),
                     STOQ_OK);
    struct stoq_span items = stoq_buf_span(&buf);
    assert_true(stoq_signed_next(&items, &s) && items.n == 0);
    assert_true(stoq_span_eq(s.body, stoq_span_str("body")));
    assert_int_equal(stoq_object_check(&s, STOQ_SIGN_RECEIPT, spki), STOQ_OK);
    assert_int_equal(stoq_object_check(&s, STOQ_SIGN_LOCATION, spki), STOQ_PROOF);
    assert_int_equal(stoq_object_check(&s, STOQ_SIGN_RECEIPT, stoq_key_spki(other)), STOQ_PROOF);
    assert_int_equal(stoq_object_check(&s, STOQ_SIGN_RECEIPT, stoq_span(spki.p, spki.n - 1)),
                     STOQ_VERSION);
    struct stoq_signed bad = {stoq_span_str("Body"), s.signature};
    assert_int_equal(stoq_object_check(&bad, STOQ_SIGN_RECEIPT, spki), STOQ_PROOF);
    bad = (struct stoq_signed){s.body, stoq_span(s.signature.p, s.signature.n - 1)};
    assert_int_equal(stoq_object_check(&bad, STOQ_SIGN_RECEIPT, spki), STOQ_PROOF);
    size_t before = buf.n;
    assert_int_equal(stoq_object_sign(key, STOQ_SIGN_RECEIPT, stoq_span(NULL, 0), &buf),
                     STOQ_RANGE);
    assert_int_equal(buf.n, before);
    stoq_buf_release(&buf);
    stoq_key_free(key);
    stoq_key_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(decode_shows_unverified_fields),
        cmocka_unit_test(key_files_are_read_strictly),
        cmocka_unit_test(objects_are_signed_by_the_key_they_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
