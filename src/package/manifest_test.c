#include "package/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hash/hash.h"
#include "tests/vectors.h"
#include "wire/cbor.h"

static struct stoq_manifest base(void)
{
    struct stoq_manifest m = {0};
    m.name = stoq_span_str("hello");
    m.version = stoq_span_str("1.0");
    m.profile = STOQ_PROFILE_1;
    m.table_bytes = 10;
    m.entries = 1;
    m.shards = 1;
    m.chunks = 2;
    m.bytes = 1000;
    memset(m.root.b, 7, sizeof m.root.b);
    return m;
}

static struct stoq_manifest full(void)
{
    struct stoq_manifest m = base();
    static const uint8_t digest[32] = {1, 2, 3};
    m.description = stoq_span_str("a greeting \xc3\xbc");
    m.license = stoq_span_str("Apache-2.0");
    m.annotation_count = 2;
    m.annotations[0] =
        (struct stoq_manifest_annotation){stoq_span_str("longer"), stoq_span_str("")};
    m.annotations[1] = (struct stoq_manifest_annotation){stoq_span_str("z"), stoq_span_str("v")};
    m.dependency_count = 3;
    m.dependencies[0] = (struct stoq_manifest_dependency){
        .name = stoq_span_str("b"), .requirement = stoq_span_str(">= 2"), .has_id = true};
    m.dependencies[1] = (struct stoq_manifest_dependency){.name = stoq_span_str("b")};
    m.dependencies[2] = (struct stoq_manifest_dependency){.name = stoq_span_str("aa")};
    m.secondary_algorithm = STOQ_HASH_SHA256;
    m.secondary_digest = stoq_span(digest, sizeof digest);
    return m;
}

static void every_field_comes_back(void **state)
{
    (void)state;
    struct stoq_manifest m = full();
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_OK);
    struct stoq_manifest got;
    assert_int_equal(stoq_manifest_decode(stoq_buf_span(&b), &got), STOQ_OK);
    assert_true(stoq_span_eq(got.name, m.name));
    assert_true(stoq_span_eq(got.version, m.version));
    assert_true(stoq_span_eq(got.description, m.description));
    assert_true(stoq_span_eq(got.license, m.license));
    assert_int_equal(got.annotation_count, 2);
    assert_true(stoq_span_eq(got.annotations[0].key, stoq_span_str("z"))); /* shorter first */
    assert_true(stoq_span_eq(got.annotations[0].value, stoq_span_str("v")));
    assert_int_equal(got.annotations[1].value.n, 0);
    assert_int_equal(got.dependency_count, 3);
    assert_true(stoq_span_eq(got.dependencies[0].name, stoq_span_str("aa")));
    assert_false(got.dependencies[1].has_id);
    assert_true(got.dependencies[2].has_id);
    assert_true(stoq_span_eq(got.dependencies[2].requirement, stoq_span_str(">= 2")));
    assert_int_equal(got.secondary_algorithm, STOQ_HASH_SHA256);
    assert_true(stoq_span_eq(got.secondary_digest, m.secondary_digest));
    assert_int_equal(got.table_bytes, 10);
    assert_int_equal(got.entries, 1);
    assert_int_equal(got.shards, 1);
    assert_int_equal(got.chunks, 2);
    assert_int_equal(got.bytes, 1000);
    assert_true(stoq_hash_eq(&got.root, &m.root));
    struct stoq_hash id = stoq_hash_blake3(stoq_buf_span(&b));
    struct stoq_package_id got_id = stoq_manifest_id(stoq_buf_span(&b));
    assert_true(stoq_hash_eq(&got_id.h, &id));
    stoq_buf_release(&b);
}

static void order_of_filling_does_not_matter(void **state)
{
    (void)state;
    struct stoq_manifest m = full();
    struct stoq_manifest other = full();
    other.annotations[0] = m.annotations[1];
    other.annotations[1] = m.annotations[0];
    other.dependencies[0] = m.dependencies[2];
    other.dependencies[2] = m.dependencies[0];
    struct stoq_buf a;
    struct stoq_buf b;
    stoq_buf_init(&a, STOQ_MANIFEST_BYTES_MAX);
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    assert_int_equal(stoq_manifest_encode(&m, &a), STOQ_OK);
    assert_int_equal(stoq_manifest_encode(&other, &b), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&a), stoq_buf_span(&b)));
    stoq_buf_release(&a);
    stoq_buf_release(&b);
}

/* Encoding m must be refused and leave nothing behind. */
static void refuse(struct stoq_manifest m)
{
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    assert_non_null(stoq_manifest_fault(&m));
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_RANGE);
    assert_int_equal(b.n, 0);
    stoq_buf_release(&b);
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    struct stoq_manifest good = base();
    assert_null(stoq_manifest_fault(&good));
    struct stoq_manifest m;
#define REFUSE(change)                                                                             \
    do {                                                                                           \
        m = good;                                                                                  \
        change;                                                                                    \
        refuse(m);                                                                                 \
    } while (0)
    REFUSE(m.profile = 0);
    REFUSE(m.profile = 3);
    REFUSE(m.table_bytes = 1001);
    REFUSE(m.table_bytes = 0);
    REFUSE(m.entries = 0);
    REFUSE(m.entries = STOQ_MANIFEST_ENTRIES_MAX + 1);
    REFUSE(m.chunks = 1001);
    REFUSE(m.chunks = 0);
    REFUSE(m.shards = 0);
    REFUSE(m.shards = 3);
    REFUSE(m.bytes = 2 * STOQ_MANIFEST_CHUNK_BYTES_MAX + 1);
    REFUSE((m.chunks = 513, m.bytes = 513));
    REFUSE(m.bytes = STOQ_MANIFEST_STREAM_BYTES_MAX + 1);
    REFUSE((m.bytes = 0, m.chunks = 0, m.shards = 0));
    REFUSE(m.secondary_algorithm = STOQ_HASH_SHA256);
    REFUSE(m.secondary_digest = stoq_span_str("x"));
    REFUSE((m.secondary_algorithm = STOQ_HASH_XXH3_128,
            m.secondary_digest = stoq_span_str("0123456789abcdef")));
    REFUSE((m.annotation_count = 1, m.annotations[0].value = stoq_span_str("no key")));
    REFUSE((m.annotation_count = 1, m.annotations[0].key = stoq_span_str("\xff")));
    REFUSE(m.annotation_count = STOQ_MANIFEST_ANNOTATIONS_MAX + 1);
    REFUSE(m.dependency_count = STOQ_MANIFEST_DEPENDENCIES_MAX + 1);
    REFUSE((m.dependency_count = 1, m.dependencies[0].name = stoq_span_str("Upper")));
    REFUSE(m.description = stoq_span_str("\xc0\x80"));
    REFUSE(m.license = stoq_span_str("\xed\xa0\x80"));
#undef REFUSE
    m = good;
    m.chunks = UINT64_MAX; /* no overflow makes this true */
    m.bytes = STOQ_MANIFEST_STREAM_BYTES_MAX;
    refuse(m);
}

static void twins_in_lists_are_refused(void **state)
{
    (void)state;
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    struct stoq_manifest m = full();
    m.annotations[0].key = m.annotations[1].key;
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_RANGE);
    m = full();
    m.dependencies[0].requirement = m.dependencies[1].requirement;
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_RANGE);
    assert_int_equal(b.n, 0);
    stoq_buf_release(&b);
}

static void too_many_bytes_are_refused(void **state)
{
    (void)state;
    static char text[STOQ_MANIFEST_ANNOTATION_VALUE_MAX];
    static char keys[STOQ_MANIFEST_ANNOTATIONS_MAX];
    memset(text, 'x', sizeof text);
    struct stoq_manifest m = base();
    for (size_t i = 0; i < 17; i++) {
        keys[i] = (char)('a' + i);
        m.annotations[i].key = stoq_span(&keys[i], 1);
        m.annotations[i].value = stoq_span(text, sizeof text);
    }
    struct stoq_buf b;
    stoq_buf_init(&b, 1 << 20);
    m.annotation_count = 15;
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_OK);
    struct stoq_manifest got;
    assert_int_equal(stoq_manifest_decode(stoq_buf_span(&b), &got), STOQ_OK);
    size_t before = b.n;
    m.annotation_count = 17;
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_FULL);
    assert_int_equal(b.n, before);
    stoq_buf_release(&b);
}

static void names_and_versions_are_judged(void **state)
{
    (void)state;
    static const char *const good_names[] = {"a", "0", "libc6", "a+b.c_d-e", "9p"};
    static const char *const bad_names[] = {"", "A", "-a", ".a", "a b", "a/b", "a@b", "\xc3\xbc"};
    for (size_t i = 0; i < STOQ_COUNT(good_names); i++) {
        assert_null(stoq_manifest_name_fault(stoq_span_str(good_names[i])));
    }
    for (size_t i = 0; i < STOQ_COUNT(bad_names); i++) {
        assert_non_null(stoq_manifest_name_fault(stoq_span_str(bad_names[i])));
    }
    static const char *const good_versions[] = {"1", "1:2.3-4+deb12u1~x", "\xc3\xbc", "\xc2\xa1"};
    static const char *const bad_versions[] = {"",    "a b",  "a\tb", "1/2",
                                               "1@2", "\x7f", "x\n",  "\xff"};
    for (size_t i = 0; i < STOQ_COUNT(good_versions); i++) {
        assert_null(stoq_manifest_version_fault(stoq_span_str(good_versions[i])));
    }
    for (size_t i = 0; i < STOQ_COUNT(bad_versions); i++) {
        assert_non_null(stoq_manifest_version_fault(stoq_span_str(bad_versions[i])));
    }
    char longest[STOQ_MANIFEST_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    assert_null(stoq_manifest_name_fault(stoq_span(longest, STOQ_MANIFEST_NAME_MAX)));
    assert_non_null(stoq_manifest_name_fault(stoq_span(longest, STOQ_MANIFEST_NAME_MAX + 1)));
    assert_null(stoq_manifest_version_fault(stoq_span(longest, 128)));
    assert_non_null(stoq_manifest_version_fault(stoq_span(longest, 129)));
}

static void every_prefix_is_cut_and_every_suffix_too_much(void **state)
{
    (void)state;
    struct stoq_manifest m = full();
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_OK);
    struct stoq_manifest got;
    for (size_t n = 0; n < b.n; n++) {
        assert_int_equal(stoq_manifest_decode(stoq_span(b.p, n), &got), STOQ_TRUNC);
    }
    assert_int_equal(stoq_buf_add(&b, stoq_span_str("")), STOQ_OK);
    assert_int_equal(stoq_buf_add(&b, stoq_span("", 1)), STOQ_OK);
    assert_int_equal(stoq_manifest_decode(stoq_buf_span(&b), &got), STOQ_MALFORMED);
    stoq_buf_release(&b);
}

/* A manifest of its fields, written by hand: as many pairs of key and value as items / 2. */
struct hand {
    struct stoq_buf b;
    struct stoq_cbor_wr w;
};

static void hand_field(struct hand *h, uint64_t key, uint64_t value)
{
    stoq_cbor_put_uint(&h->w, key);
    stoq_cbor_put_uint(&h->w, value);
}

enum fault {
    FAULT_NONE,
    FAULT_FORMAT_2,
    FAULT_PROFILE_3,
    FAULT_NO_NAME,
    FAULT_UNKNOWN_KEY,
    FAULT_EMPTY_DESCRIPTION,
    FAULT_EMPTY_ANNOTATIONS,
    FAULT_EMPTY_DEPENDENCIES,
    FAULT_DEPENDENCY_OF_4,
    FAULT_DEPENDENCIES_FALL,
    FAULT_SECONDARY_OF_3,
    FAULT_NAME_AS_BYTES,
    FAULT_SHORT_ROOT,
    FAULTS
};

static void hand_dependency(struct stoq_cbor_wr *w, const char *name, size_t items)
{
    stoq_cbor_put_array(w, items);
    stoq_cbor_put_text(w, stoq_span_str(name));
    stoq_cbor_put_text(w, stoq_span_str(""));
    for (size_t i = 2; i < items; i++) {
        stoq_cbor_put_hash(w, &(struct stoq_hash){{0}});
    }
}

static void hand_optional(struct hand *h, enum fault f)
{
    switch (f) {
    case FAULT_EMPTY_DESCRIPTION:
        stoq_cbor_put_uint(&h->w, 4);
        stoq_cbor_put_text(&h->w, stoq_span_str(""));
        break;
    case FAULT_EMPTY_ANNOTATIONS:
        stoq_cbor_put_uint(&h->w, 6);
        stoq_cbor_put_map(&h->w, 0);
        break;
    case FAULT_EMPTY_DEPENDENCIES:
        stoq_cbor_put_uint(&h->w, 7);
        stoq_cbor_put_array(&h->w, 0);
        break;
    case FAULT_DEPENDENCY_OF_4:
        stoq_cbor_put_uint(&h->w, 7);
        stoq_cbor_put_array(&h->w, 1);
        hand_dependency(&h->w, "a", 4);
        break;
    case FAULT_DEPENDENCIES_FALL:
        stoq_cbor_put_uint(&h->w, 7);
        stoq_cbor_put_array(&h->w, 2);
        hand_dependency(&h->w, "b", 2);
        hand_dependency(&h->w, "a", 2);
        break;
    default:
        break;
    }
}

static enum stoq_status by_hand(enum fault f)
{
    struct hand h;
    stoq_buf_init(&h.b, STOQ_MANIFEST_BYTES_MAX);
    h.w = stoq_cbor_wr(&h.b);
    bool optional = (f >= FAULT_EMPTY_DESCRIPTION && f <= FAULT_SECONDARY_OF_3);
    uint64_t pairs = 10 + (uint64_t)optional + (f == FAULT_UNKNOWN_KEY) - (f == FAULT_NO_NAME);
    stoq_cbor_put_map(&h.w, pairs);
    hand_field(&h, 1, f == FAULT_FORMAT_2 ? 2 : 1);
    if (f == FAULT_NAME_AS_BYTES) {
        stoq_cbor_put_uint(&h.w, 2);
        stoq_cbor_put_bytes(&h.w, stoq_span_str("hello"));
    } else if (f != FAULT_NO_NAME) {
        stoq_cbor_put_uint(&h.w, 2);
        stoq_cbor_put_text(&h.w, stoq_span_str("hello"));
    }
    stoq_cbor_put_uint(&h.w, 3);
    stoq_cbor_put_text(&h.w, stoq_span_str("1"));
    hand_optional(&h, f);
    hand_field(&h, 8, f == FAULT_PROFILE_3 ? 3 : 1);
    hand_field(&h, 9, 0);
    if (f == FAULT_SECONDARY_OF_3) {
        static const uint8_t digest[32];
        stoq_cbor_put_uint(&h.w, 10);
        stoq_cbor_put_array(&h.w, 3);
        stoq_cbor_put_uint(&h.w, STOQ_HASH_SHA256);
        stoq_cbor_put_bytes(&h.w, stoq_span(digest, sizeof digest));
        stoq_cbor_put_uint(&h.w, 0);
    }
    for (uint64_t key = 11; key <= 14; key++) {
        hand_field(&h, key, 0);
    }
    stoq_cbor_put_uint(&h.w, 15);
    static const uint8_t root[32];
    stoq_cbor_put_bytes(&h.w, stoq_span(root, f == FAULT_SHORT_ROOT ? 31 : 32));
    if (f == FAULT_UNKNOWN_KEY) {
        hand_field(&h, 16, 0);
    }
    assert_int_equal(stoq_cbor_wr_done(&h.w), STOQ_OK);
    struct stoq_manifest got;
    enum stoq_status st = stoq_manifest_decode(stoq_buf_span(&h.b), &got);
    stoq_buf_release(&h.b);
    return st;
}

static void foreign_bytes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(by_hand(FAULT_NONE), STOQ_OK); /* the empty directory */
    assert_int_equal(by_hand(FAULT_FORMAT_2), STOQ_VERSION);
    assert_int_equal(by_hand(FAULT_PROFILE_3), STOQ_VERSION);
    for (int f = FAULT_NO_NAME; f < FAULTS; f++) {
        assert_int_equal(by_hand((enum fault)f), STOQ_MALFORMED);
    }
}

static void every_flipped_bit_is_refused_or_another_manifest(void **state)
{
    (void)state;
    struct stoq_manifest m = full();
    struct stoq_buf b;
    struct stoq_buf again;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    stoq_buf_init(&again, STOQ_MANIFEST_BYTES_MAX);
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_OK);
    struct stoq_manifest got;
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] ^= (uint8_t)(1 << i % 8);
        if (stoq_manifest_decode(stoq_buf_span(&b), &got) == STOQ_OK) {
            stoq_buf_clear(&again);
            assert_int_equal(stoq_manifest_encode(&got, &again), STOQ_OK);
            assert_true(stoq_span_eq(stoq_buf_span(&again), stoq_buf_span(&b)));
        }
        b.p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    stoq_buf_release(&b);
    stoq_buf_release(&again);
}

static void the_vectors_hold(void **state)
{
    (void)state;
    struct vectors v;
    struct stoq_manifest m;
    size_t good = 0;
    size_t refused = 0;
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_MANIFEST_BYTES_MAX);
    vectors_open(&v, "manifests");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "manifest")) {
            struct stoq_span bytes = vectors_bytes(&v, 2);
            struct stoq_hash id = vectors_hash(&v, 3);
            struct stoq_package_id got = stoq_manifest_id(bytes);
            assert_int_equal(stoq_manifest_decode(bytes, &m), STOQ_OK);
            assert_true(stoq_hash_eq(&got.h, &id));
            stoq_buf_clear(&again);
            assert_int_equal(stoq_manifest_encode(&m, &again), STOQ_OK);
            assert_true(stoq_span_eq(stoq_buf_span(&again), bytes));
            good++;
        } else if (vectors_is(&v, "refused")) {
            bool version = strcmp(vectors_str(&v, 1), "version") == 0;
            assert_int_equal(stoq_manifest_decode(vectors_bytes(&v, 2), &m),
                             version ? STOQ_VERSION : STOQ_MALFORMED);
            refused++;
        } else {
            assert_true(vectors_is(&v, "cut"));
            assert_int_equal(stoq_manifest_decode(vectors_bytes(&v, 1), &m), STOQ_TRUNC);
        }
    }
    vectors_close(&v);
    stoq_buf_release(&again);
    assert_true(good >= 8 && refused >= 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(order_of_filling_does_not_matter),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(twins_in_lists_are_refused),
        cmocka_unit_test(too_many_bytes_are_refused),
        cmocka_unit_test(names_and_versions_are_judged),
        cmocka_unit_test(every_prefix_is_cut_and_every_suffix_too_much),
        cmocka_unit_test(foreign_bytes_are_refused),
        cmocka_unit_test(every_flipped_bit_is_refused_or_another_manifest),
        cmocka_unit_test(the_vectors_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
