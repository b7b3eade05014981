/* Pins, roots and leases on a real store: what they say outlives the store's closing, its index and
 * everything else that is cut or rebuilt. */
#include "daemon/packages_harness.h"

#include "daemon/keep.h"
#include "tests/vectors.h"

#define NOW ((uint64_t)1767225600)

static struct stoq_keep keep_of(enum stoq_record_type type, uint8_t number)
{
    struct stoq_keep k = {.type = type, .subject = {.n = number % 2 == 0 ? 32 : 33}, .since = NOW};
    memset(k.subject.b, number, k.subject.n);
    k.subject.b[0] = 1 + number % 2; /* of an address: an algorithm */
    if (type == STOQ_RECORD_ROOT) {
        (void)snprintf(k.name, sizeof k.name, "root/%u", number);
    } else if (type == STOQ_RECORD_LEASE) {
        k.expires_at = NOW + number;
    }
    return k;
}

static bool same(const struct stoq_keep *a, const struct stoq_keep *b)
{
    return a->type == b->type && a->since == b->since && a->expires_at == b->expires_at &&
           strcmp(a->name, b->name) == 0 &&
           stoq_span_eq(stoq_subject_span(&a->subject), stoq_subject_span(&b->subject));
}

static bool count_one(void *user, const struct stoq_keep *k)
{
    (void)k;
    ++*(unsigned *)user;
    return true;
}

static unsigned count_of(enum stoq_record_type type)
{
    unsigned n = 0;
    assert_int_equal(stoq_keep_each(store, type, count_one, &n, NULL, &err), STOQ_OK);
    return n;
}

static void they_last(void **state)
{
    (void)state;
    static const enum stoq_record_type types[] = {STOQ_RECORD_PIN, STOQ_RECORD_ROOT,
                                                  STOQ_RECORD_LEASE};
    for (size_t i = 0; i < STOQ_COUNT(types); i++) {
        for (uint8_t n = 1; n <= 10; n++) {
            struct stoq_keep k = keep_of(types[i], n);
            assert_int_equal(stoq_keep_put(store, &k, &err), STOQ_OK);
        }
        struct stoq_keep gone = keep_of(types[i], 3);
        assert_int_equal(stoq_keep_drop(store, types[i], stoq_keep_key(&gone), &err), STOQ_OK);
        assert_int_equal(stoq_keep_drop(store, types[i], stoq_keep_key(&gone), &err),
                         STOQ_NOTFOUND);
    }
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        close_store();
        if (rebuild != 0) {
            assert_int_equal(stoq_store_rebuild(&store_cfg, NULL, &err), STOQ_OK);
        }
        open_store();
        for (size_t i = 0; i < STOQ_COUNT(types); i++) {
            assert_int_equal(count_of(types[i]), 9);
            for (uint8_t n = 1; n <= 10; n++) {
                struct stoq_keep want = keep_of(types[i], n);
                struct stoq_keep got;
                enum stoq_status st =
                    stoq_keep_get(store, types[i], stoq_keep_key(&want), &got, &err);
                assert_int_equal(st, n == 3 ? STOQ_NOTFOUND : STOQ_OK);
                assert_true(n == 3 || same(&want, &got));
            }
        }
    }
}

static bool is_kept(uint8_t n, uint64_t now)
{
    struct stoq_kept kept;
    struct stoq_keep k = keep_of(STOQ_RECORD_PIN, n);
    assert_int_equal(stoq_kept_load(&kept, store, now, &err), STOQ_OK);
    bool yes = stoq_kept_has(&kept, &k.subject);
    stoq_kept_release(&kept);
    enum stoq_status st = stoq_keep_check_free(store, &k.subject, now, &err);
    assert_int_equal(st, yes ? STOQ_BUSY : STOQ_OK);
    assert_true(!yes || strcmp(err.code, "ContentKept") == 0);
    return yes;
}

static void leases_end_by_themselves(void **state)
{
    (void)state;
    for (uint8_t n = 1; n <= 20; n++) {
        struct stoq_keep k = keep_of(STOQ_RECORD_LEASE, n);
        assert_int_equal(stoq_keep_put(store, &k, &err), STOQ_OK);
    }
    struct stoq_keep pin = keep_of(STOQ_RECORD_PIN, 4);
    struct stoq_keep root = keep_of(STOQ_RECORD_ROOT, 5);
    assert_int_equal(stoq_keep_put(store, &pin, &err), STOQ_OK);
    assert_int_equal(stoq_keep_put(store, &root, &err), STOQ_OK);
    for (uint8_t n = 1; n <= 20; n++) {
        assert_true(is_kept(n, NOW));
        assert_true(is_kept(n, NOW + n - 1));
        assert_int_equal(is_kept(n, NOW + n), n == 4 || n == 5);
    }
    uint64_t gone;
    assert_int_equal(stoq_keep_sweep(store, NOW + 7, &gone, &err), STOQ_OK);
    assert_int_equal(gone, 7);
    assert_int_equal(count_of(STOQ_RECORD_LEASE), 13);
    assert_int_equal(stoq_keep_sweep(store, NOW + 7, &gone, &err), STOQ_OK);
    assert_int_equal(gone, 0);
    assert_true(is_kept(4, NOW + 1000) && is_kept(5, NOW + 1000) && is_kept(8, NOW + 7));
}

/* What nobody can read may keep anything: then nothing is collected. */
static void damage_keeps_everything(void **state)
{
    (void)state;
    struct stoq_kept kept;
    struct stoq_keep pin = keep_of(STOQ_RECORD_PIN, 4);
    assert_int_equal(stoq_keep_put(store, &pin, &err), STOQ_OK);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_ROOT, stoq_span_str("name"), 0,
                                    stoq_span_str("not CBOR"), NULL, &err),
                     STOQ_OK);
    assert_int_equal(stoq_kept_load(&kept, store, NOW, &err), STOQ_PROOF);
    struct stoq_keep other = keep_of(STOQ_RECORD_PIN, 6);
    assert_int_equal(stoq_keep_check_free(store, &other.subject, NOW, &err), STOQ_PROOF);
    struct stoq_keep root = keep_of(STOQ_RECORD_ROOT, 6);
    (void)snprintf(root.name, sizeof root.name, "name");
    assert_int_equal(stoq_keep_put(store, &root, &err), STOQ_OK);
    assert_true(is_kept(6, NOW) && is_kept(4, NOW) && !is_kept(8, NOW));
}

static void check_vector(struct vectors *v)
{
    struct stoq_keep k;
    struct stoq_buf again;
    enum stoq_record_type type = (enum stoq_record_type)vectors_u64(v, 1);
    struct stoq_span subject = vectors_bytes(v, 2);
    struct stoq_span key = vectors_bytes(v, 5);
    struct stoq_span payload = vectors_bytes(v, 6);
    assert_int_equal(stoq_keep_decode(type, key, payload, &k), STOQ_OK);
    assert_true(stoq_span_eq(stoq_subject_span(&k.subject), subject));
    assert_true(k.since == vectors_u64(v, 3) && k.expires_at == vectors_u64(v, 4));
    stoq_buf_init(&again, STOQ_KEEP_RECORD_BYTES_MAX);
    assert_int_equal(stoq_keep_encode(&k, &again), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&again), payload));
    assert_true(stoq_span_eq(stoq_keep_key(&k), key));
    stoq_buf_release(&again);
}

static void records_are_as_the_document_says(void **state)
{
    (void)state;
    struct vectors v;
    struct stoq_keep k;
    size_t good = 0;
    size_t refused = 0;
    vectors_open(&v, "keeps");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "keep")) {
            check_vector(&v);
            good++;
            continue;
        }
        enum stoq_record_type type = (enum stoq_record_type)vectors_u64(&v, 2);
        struct stoq_span key = vectors_bytes(&v, 3);
        enum stoq_status st = stoq_keep_decode(type, key, vectors_bytes(&v, 4), &k);
        assert_int_not_equal(st, STOQ_OK);
        assert_int_equal(st == STOQ_VERSION, strcmp(vectors_str(&v, 1), "version") == 0);
        refused++;
    }
    vectors_close(&v);
    assert_true(good >= 10 && refused >= 30);
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, scratch_setup_with_store, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(they_last),
        FRESH(leases_end_by_themselves),
        FRESH(damage_keeps_everything),
        cmocka_unit_test(records_are_as_the_document_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
