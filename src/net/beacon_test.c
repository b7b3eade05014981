#include "net/beacon.h"
#include "sign/sign.h"
#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void beacons_have_the_documented_bytes(void **state)
{
    (void)state;
    struct vectors v;
    unsigned seen = 0;
    vectors_open(&v, "beacons");
    while (vectors_next(&v)) {
        struct stoq_beacon got;
        struct stoq_key *key;
        struct stoq_buf out;
        if (!vectors_is(&v, "beacon")) {
            continue;
        }
        assert_int_equal(stoq_key_from_seed(&key, vectors_bytes(&v, 1).p), STOQ_OK);
        struct stoq_peer_id peer = stoq_key_peer_id(key);
        const struct stoq_beacon want = {.kind = (uint8_t)vectors_u64(&v, 2),
                                         .sequence = vectors_u64(&v, 3),
                                         .port = (uint16_t)vectors_u64(&v, 4)};
        struct stoq_span datagram = vectors_bytes(&v, 5);
        stoq_buf_init(&out, STOQ_BEACON_BYTES_MAX);
        assert_int_equal(stoq_beacon_encode(&want, key, &out), STOQ_OK);
        assert_int_equal(out.n, datagram.n);
        assert_memory_equal(out.p, datagram.p, out.n);
        assert_int_equal(stoq_beacon_decode(&got, datagram), STOQ_OK);
        assert_true(stoq_hash_eq(&got.peer.h, &peer.h));
        assert_int_equal(got.kind, want.kind);
        assert_int_equal(got.sequence, want.sequence);
        assert_int_equal(got.port, want.port);
        stoq_buf_release(&out);
        stoq_key_free(key);
        seen++;
    }
    vectors_close(&v);
    assert_int_equal(seen, 5);
}

static enum stoq_status outcome(const char *word)
{
    if (strcmp(word, "proof") == 0) {
        return STOQ_PROOF;
    }
    return strcmp(word, "version") == 0 ? STOQ_VERSION : STOQ_MALFORMED;
}

static void what_is_no_beacon_is_refused_for_its_reason(void **state)
{
    (void)state;
    struct vectors v;
    unsigned seen = 0;
    vectors_open(&v, "beacons");
    while (vectors_next(&v)) {
        struct stoq_beacon got;
        if (vectors_is(&v, "refused")) {
            enum stoq_status want = outcome(vectors_str(&v, 1));
            assert_int_equal(stoq_beacon_decode(&got, vectors_bytes(&v, 2)), want);
            seen++;
        }
    }
    vectors_close(&v);
    assert_int_equal(seen, 20);
}

static void no_flipped_bit_is_believed(void **state)
{
    (void)state;
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {9};
    const struct stoq_beacon b = {.kind = 1, .sequence = 7, .port = 4477};
    struct stoq_beacon got;
    struct stoq_key *key;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_BEACON_BYTES_MAX);
    assert_int_equal(stoq_key_from_seed(&key, seed), STOQ_OK);
    assert_int_equal(stoq_beacon_encode(&b, key, &out), STOQ_OK);
    for (size_t bit = 0; bit < 8 * out.n; bit++) {
        out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(stoq_beacon_decode(&got, stoq_buf_span(&out)), STOQ_OK);
        out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(stoq_beacon_decode(&got, stoq_buf_span(&out)), STOQ_OK);
    stoq_buf_release(&out);
    stoq_key_free(key);
}

static void sealed_beacons_open_in_their_network_alone(void **state)
{
    (void)state;
    uint8_t network[32] = {5};
    uint8_t key[STOQ_BEACON_KEY_BYTES];
    uint8_t other[STOQ_BEACON_KEY_BYTES];
    uint8_t nonce[STOQ_BEACON_NONCE_BYTES] = {3};
    uint8_t sealed[STOQ_BEACON_BYTES_MAX];
    uint8_t plain[STOQ_BEACON_BYTES_MAX];
    size_t n;
    size_t got;
    stoq_beacon_key(key, network);
    network[31] = 1;
    stoq_beacon_key(other, network);
    struct stoq_span beacon = stoq_span_str("as good as any");
    assert_int_equal(stoq_beacon_seal(key, nonce, beacon, sealed, &n), STOQ_OK);
    assert_int_equal(n, 1 + 12 + beacon.n + 16);
    assert_int_equal(stoq_beacon_open(key, stoq_span(sealed, n), plain, &got), STOQ_OK);
    assert_int_equal(got, beacon.n);
    assert_memory_equal(plain, beacon.p, got);
    assert_int_equal(stoq_beacon_open(other, stoq_span(sealed, n), plain, &got), STOQ_PROOF);
    assert_int_equal(stoq_beacon_open(key, beacon, plain, &got), STOQ_PROOF);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(stoq_beacon_open(key, stoq_span(sealed, n), plain, &got), STOQ_PROOF);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(stoq_beacon_open(key, stoq_span(sealed, cut), plain, &got), STOQ_PROOF);
    }
    static const uint8_t long_one[STOQ_BEACON_BYTES_MAX];
    assert_int_equal(stoq_beacon_seal(key, nonce, stoq_span(long_one, sizeof long_one), sealed, &n),
                     STOQ_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beacons_have_the_documented_bytes),
        cmocka_unit_test(what_is_no_beacon_is_refused_for_its_reason),
        cmocka_unit_test(no_flipped_bit_is_believed),
        cmocka_unit_test(sealed_beacons_open_in_their_network_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
