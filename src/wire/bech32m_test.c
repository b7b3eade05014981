#include "wire/bech32m.h"
#include "wire/bech32m_internal.h"

#include "tests/vectors.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* BIP 350, "Test vectors for Bech32m": the valid strings, then the invalid ones. */
static const char *const bip_valid[] = {
    "A1LQFN3A",
    "a1lqfn3a",
    "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
    "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
    "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
    "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
    "?1v759aa",
};
static const char *const bip_invalid[] = {
    "\x20"
    "1xj0phk",
    "\x7f"
    "1g6xzxy",
    "\x80"
    "1vctc34",
    "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4",
    "qyrz8wqd2c9m",
    "1qyrz8wqd2c9m",
    "y1b0jsk6g",
    "lt1igcx5c0",
    "in1muywd",
    "mm1crxm3i",
    "au1s5cgom",
    "M1VUXWEZ",
    "16plkw9",
    "1p2gdwpf",
    /* A valid string of the older checksum (BIP 173). */
    "A12UEL5L",
};

static void bip350_vectors_hold(void **state)
{
    (void)state;
    struct stoq_bech32m d;
    for (size_t i = 0; i < STOQ_COUNT(bip_valid); i++) {
        assert_true(stoq_bech32m_decode(&d, stoq_span_str(bip_valid[i])));
    }
    for (size_t i = 0; i < STOQ_COUNT(bip_invalid); i++) {
        assert_false(stoq_bech32m_decode(&d, stoq_span_str(bip_invalid[i])));
    }
}

/* Any single character changed, left out or doubled is found. */
static void errors_are_found(const char *hrp, const char *text, size_t payload_n)
{
    uint8_t out[STOQ_ID_PAYLOAD_MAX];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char bad[3][STOQ_ID_TEXT_CAP + 2];
        int head = (int)i;
        (void)snprintf(bad[0], sizeof bad[0], "%.*s%c%s", head, text, text[i] == 'z' ? 'x' : 'z',
                       text + i + 1);
        (void)snprintf(bad[1], sizeof bad[1], "%.*s%s", head, text, text + i + 1);
        (void)snprintf(bad[2], sizeof bad[2], "%.*s%s", head + 1, text, text + i);
        for (size_t k = 0; k < STOQ_COUNT(bad); k++) {
            assert_int_not_equal(stoq_id_get(out, payload_n, hrp, stoq_span_str(bad[k])), STOQ_OK);
        }
    }
}

static void check_id(struct vectors *v)
{
    const char *hrp = vectors_str(v, 1);
    const char *text = vectors_str(v, 3);
    struct stoq_span payload = vectors_bytes(v, 2);
    char got[STOQ_ID_TEXT_CAP];
    uint8_t back[STOQ_ID_PAYLOAD_MAX];
    assert_int_equal(stoq_id_put(got, sizeof got, hrp, payload), STOQ_OK);
    assert_string_equal(got, text);
    assert_int_equal(stoq_id_get(back, payload.n, hrp, stoq_span_str(text)), STOQ_OK);
    assert_memory_equal(back, payload.p, payload.n);
    for (size_t i = 0; got[i] != '\0'; i++) {
        got[i] = (char)toupper((unsigned char)got[i]);
    }
    memset(back, 0, sizeof back);
    assert_int_equal(stoq_id_get(back, payload.n, hrp, stoq_span_str(got)), STOQ_OK);
    assert_memory_equal(back, payload.p, payload.n);
    got[0] = (char)tolower((unsigned char)got[0]);
    assert_int_equal(stoq_id_get(back, payload.n, hrp, stoq_span_str(got)), STOQ_MALFORMED);
    errors_are_found(hrp, text, payload.n);
}

static void check_refused(struct vectors *v)
{
    const char *why = vectors_str(v, 1);
    struct stoq_span text = stoq_span_str(vectors_str(v, 2));
    struct stoq_package_id id;
    struct stoq_address address;
    enum stoq_status want = strcmp(why, "version") == 0     ? STOQ_VERSION
                            : strcmp(why, "prefix") == 0    ? STOQ_NOTFOUND
                            : strcmp(why, "algorithm") == 0 ? STOQ_RANGE
                                                            : STOQ_MALFORMED;
    if (want == STOQ_RANGE) {
        assert_int_equal(stoq_address_get(&address, text), want);
    } else {
        assert_int_equal(stoq_package_id_get(&id, text), want);
    }
}

static void ids_agree_with_the_vectors(void **state)
{
    (void)state;
    struct vectors v;
    size_t good = 0;
    size_t refused = 0;
    vectors_open(&v, "ids");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "id")) {
            check_id(&v);
            good++;
        } else if (vectors_is(&v, "refused")) {
            check_refused(&v);
            refused++;
        }
    }
    vectors_close(&v);
    assert_true(good >= 20);
    assert_true(refused >= 7);
}

static void typed_ids_go_both_ways(void **state)
{
    (void)state;
    char text[STOQ_ID_TEXT_CAP];
    struct stoq_package_id package = {{{1, 2, 3}}};
    struct stoq_package_id package_back;
    stoq_package_id_put(text, &package);
    assert_int_equal(strlen(text), 64);
    assert_memory_equal(text, "stoq1q", 6);
    assert_int_equal(stoq_package_id_get(&package_back, stoq_span_str(text)), STOQ_OK);
    assert_true(stoq_hash_eq(&package.h, &package_back.h));

    struct stoq_peer_id peer = {{{4, 5, 6}}};
    struct stoq_peer_id peer_back;
    assert_int_equal(stoq_peer_id_get(&peer_back, stoq_span_str(text)), STOQ_NOTFOUND);
    stoq_peer_id_put(text, &peer);
    assert_int_equal(strlen(text), 64);
    assert_int_equal(stoq_peer_id_get(&peer_back, stoq_span_str(text)), STOQ_OK);
    assert_true(stoq_hash_eq(&peer.h, &peer_back.h));

    struct stoq_key_id key = {{{7, 8, 9}}};
    struct stoq_key_id key_back;
    stoq_key_id_put(text, &key);
    assert_int_equal(strlen(text), 63);
    assert_int_equal(stoq_key_id_get(&key_back, stoq_span_str(text)), STOQ_OK);
    assert_true(stoq_hash_eq(&key.h, &key_back.h));

    struct stoq_address address = {2, {{10, 11, 12}}};
    struct stoq_address address_back;
    stoq_address_put(text, &address);
    assert_int_equal(strlen(text), 65);
    assert_int_equal(stoq_address_get(&address_back, stoq_span_str(text)), STOQ_OK);
    assert_int_equal(address_back.algorithm, 2);
    assert_true(stoq_hash_eq(&address.digest, &address_back.digest));
}

static void odd_texts_are_refused(void **state)
{
    (void)state;
    struct stoq_package_id id;
    char small[64];
    const uint8_t payload[32] = {0};
    assert_int_equal(stoq_package_id_get(&id, stoq_span_str("")), STOQ_NOTFOUND);
    assert_int_equal(stoq_package_id_get(&id, stoq_span_str("stoq")), STOQ_NOTFOUND);
    assert_int_equal(stoq_package_id_get(&id, stoq_span_str("1")), STOQ_NOTFOUND);
    assert_int_equal(stoq_package_id_get(&id, stoq_span_str("stoq1")), STOQ_MALFORMED);
    assert_int_equal(stoq_package_id_get(&id, stoq_span_str("stoq1qqqqqq")), STOQ_MALFORMED);
    assert_int_equal(stoq_package_id_get(&id, stoq_span("stoq1\0qqqqqqqqq", 15)), STOQ_MALFORMED);
    assert_int_equal(stoq_id_put(small, sizeof small, "stoq", stoq_span(payload, 32)), STOQ_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bip350_vectors_hold),
        cmocka_unit_test(ids_agree_with_the_vectors),
        cmocka_unit_test(typed_ids_go_both_ways),
        cmocka_unit_test(odd_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
