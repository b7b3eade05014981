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
    uint8_t keys[3][STOQ_BEACON_KEY_BYTES];
    const uint8_t *key = keys[2];
    uint8_t salt[STOQ_BEACON_SALT_BYTES] = {3};
    uint8_t sealed[STOQ_BEACON_SEALED_BYTES];
    uint8_t plain[STOQ_BEACON_BYTES_MAX];
    const struct stoq_span whole = stoq_span(sealed, sizeof sealed);
    size_t got;
    uint64_t tag;
    uint64_t other_tag;
    stoq_beacon_key(keys[2], network);
    network[31] = 1;
    stoq_beacon_key(keys[0], network);
    stoq_beacon_peer_key(keys[1], &(struct stoq_peer_id){.h.b = {5}});
    struct stoq_span beacon = stoq_span_str("as good as any");
    assert_int_equal(stoq_beacon_seal(key, salt, beacon, sealed), STOQ_OK);
    assert_int_equal(stoq_beacon_open(keys[0], 3, whole, plain, &got, &tag), STOQ_OK);
    assert_int_equal(got, beacon.n);
    assert_memory_equal(plain, beacon.p, got);
    assert_int_equal(stoq_beacon_open(keys[0], 2, whole, plain, &got, &tag), STOQ_PROOF);
    assert_int_equal(stoq_beacon_open(key, 0, whole, plain, &got, &tag), STOQ_PROOF);
    assert_int_equal(stoq_beacon_open(key, 1, beacon, plain, &got, &tag), STOQ_PROOF);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(stoq_beacon_open(key, 1, whole, plain, &got, &tag), STOQ_PROOF);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < sizeof sealed; cut++) {
        struct stoq_span part = stoq_span(sealed, cut);
        assert_int_equal(stoq_beacon_open(key, 1, part, plain, &got, &tag), STOQ_PROOF);
    }
    /* One more is another datagram, of the same length as any. */
    assert_int_equal(stoq_beacon_open(key, 1, whole, plain, &got, &tag), STOQ_OK);
    salt[0]++;
    assert_int_equal(stoq_beacon_seal(key, salt, stoq_span_str(""), sealed), STOQ_OK);
    assert_int_equal(stoq_beacon_open(key, 1, whole, plain, &got, &other_tag), STOQ_OK);
    assert_int_equal(got, 0);
    assert_true(tag != other_tag);
    static const uint8_t long_one[STOQ_BEACON_SEALED_BYTES];
    struct stoq_span most = stoq_span(long_one, STOQ_BEACON_SEALED_BYTES - 1 - 12 - 2 - 16);
    assert_int_equal(stoq_beacon_seal(key, salt, most, sealed), STOQ_OK);
    most.n++;
    assert_int_equal(stoq_beacon_seal(key, salt, most, sealed), STOQ_RANGE);
}

/* docs/PROTOCOL.md section 12; made with Python's cryptography and tests/vectors/encoder. */
static void sealed_beacons_have_the_documented_bytes(void **state)
{
    (void)state;
    struct vectors v;
    unsigned seen = 0;
    vectors_open(&v, "beacons");
    while (vectors_next(&v)) {
        bool of_peer = vectors_is(&v, "sealed-peer");
        uint8_t key[STOQ_BEACON_KEY_BYTES];
        uint8_t sealed[STOQ_BEACON_SEALED_BYTES];
        if (!of_peer && !vectors_is(&v, "sealed-network")) {
            continue;
        }
        struct stoq_peer_id id;
        memcpy(id.h.b, vectors_bytes(&v, 1).p, sizeof id.h.b);
        if (of_peer) {
            stoq_beacon_peer_key(key, &id);
        } else {
            stoq_beacon_key(key, id.h.b);
        }
        struct stoq_span want = vectors_bytes(&v, 4);
        assert_int_equal(
            stoq_beacon_seal(key, vectors_bytes(&v, 2).p, vectors_bytes(&v, 3), sealed), STOQ_OK);
        assert_int_equal(want.n, sizeof sealed);
        assert_memory_equal(sealed, want.p, want.n);
        seen++;
    }
    vectors_close(&v);
    assert_int_equal(seen, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beacons_have_the_documented_bytes),
        cmocka_unit_test(what_is_no_beacon_is_refused_for_its_reason),
        cmocka_unit_test(no_flipped_bit_is_believed),
        cmocka_unit_test(sealed_beacons_open_in_their_network_alone),
        cmocka_unit_test(sealed_beacons_have_the_documented_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
