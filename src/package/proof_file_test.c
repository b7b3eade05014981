#include "package/proof_file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hash/hash.h"
#include "tests/vectors.h"

/* A proof file taken apart. */
struct parts {
    struct stoq_proof_file head;
    struct stoq_span manifest;
    struct stoq_span proof;
    struct stoq_span data;
};

/* As a reader does: false when the parts are not exactly the file. */
static bool take_apart(struct stoq_span file, struct parts *out)
{
    if (stoq_proof_file_decode(file, &out->head) != STOQ_OK) {
        return false;
    }
    struct stoq_rd r = stoq_rd(file);
    (void)stoq_rd_bytes(&r, STOQ_PROOF_FILE_HEAD_BYTES);
    out->manifest = stoq_rd_bytes(&r, out->head.manifest_bytes);
    out->proof = stoq_rd_bytes(&r, out->head.proof_bytes);
    out->data = stoq_rd_bytes(&r, (size_t)out->head.data_bytes);
    return !r.bad && r.n == 0;
}

static bool data_fit(const struct stoq_proof_told *told, struct stoq_span data)
{
    struct stoq_rd r = stoq_rd(data);
    if (data.n != told->bytes) {
        return false;
    }
    for (size_t i = 0; i < told->count; i++) {
        struct stoq_merkle_chunk chunk = stoq_proof_told_chunk(told, i);
        struct stoq_hash got = stoq_hash_blake3(stoq_rd_bytes(&r, chunk.bytes));
        if (!stoq_hash_eq(&got, &chunk.hash)) {
            return false;
        }
    }
    return true;
}

/* Everything that a checker does; what is proved in *out. */
static bool file_is_good(const struct stoq_package_id *id, struct stoq_span file,
                         struct stoq_proof_told *out)
{
    struct parts p;
    return take_apart(file, &p) && stoq_proof_check(id, p.manifest, p.proof, out) == STOQ_OK &&
           (p.head.data_bytes == 0 || data_fit(out, p.data));
}

static bool next_file(struct vectors *v)
{
    while (vectors_next(v)) {
        if (vectors_is(v, "file") || vectors_is(v, "nodata")) {
            return true;
        }
    }
    return false;
}

static void files_of_the_vectors_hold(void **state)
{
    (void)state;
    struct vectors v;
    size_t seen = 0;
    vectors_open(&v, "proofs");
    while (next_file(&v)) {
        struct stoq_package_id id = {vectors_hash(&v, 1)};
        struct stoq_span file = vectors_bytes(&v, 6);
        struct stoq_proof_told told = {.count = 0};
        struct parts p;
        uint8_t head[STOQ_PROOF_FILE_HEAD_BYTES];
        assert_true(file_is_good(&id, file, &told));
        assert_int_equal(told.first, vectors_u64(&v, 2));
        assert_int_equal(told.count, vectors_u64(&v, 3));
        assert_int_equal(told.offset, vectors_u64(&v, 4));
        assert_int_equal(told.bytes, vectors_u64(&v, 5));
        assert_true(take_apart(file, &p));
        assert_int_equal(p.data.n, vectors_is(&v, "file") ? told.bytes : 0);
        stoq_proof_file_encode(head, &p.head);
        assert_memory_equal(head, file.p, sizeof head);
        /* Another package's id: nothing is proved. */
        id.h.b[31] ^= 1;
        assert_false(file_is_good(&id, file, &told));
        seen++;
    }
    vectors_close(&v);
    assert_int_equal(seen, 10);
}

static void any_flipped_bit_fails(void **state)
{
    (void)state;
    struct vectors v;
    vectors_open(&v, "proofs");
    while (next_file(&v)) {
        struct stoq_package_id id = {vectors_hash(&v, 1)};
        struct stoq_span file = vectors_bytes(&v, 6);
        struct stoq_proof_told good;
        assert_true(file_is_good(&id, file, &good));
        uint8_t *copy = malloc(file.n + 1);
        assert_non_null(copy);
        memcpy(copy, file.p, file.n);
        /* Every bit of header, manifest and the proof's numbers, every fifth of the lists. */
        for (size_t bit = 0; bit < file.n * 8; bit += bit < 1600 ? 1 : 5) {
            struct stoq_proof_told told;
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(file_is_good(&id, stoq_span(copy, file.n), &told));
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        struct stoq_proof_told told;
        for (size_t n = 0; n < file.n; n++) {
            assert_false(file_is_good(&id, stoq_span(copy, n), &told));
        }
        copy[file.n] = 0;
        assert_false(file_is_good(&id, stoq_span(copy, file.n + 1), &told));
        free(copy);
    }
    vectors_close(&v);
}

static void headers_are_strict(void **state)
{
    (void)state;
    const struct stoq_proof_file good = {.manifest_bytes = 65536, .proof_bytes = 6u << 20};
    struct stoq_proof_file read;
    uint8_t head[STOQ_PROOF_FILE_HEAD_BYTES];
    stoq_proof_file_encode(head, &good);
    assert_int_equal(stoq_proof_file_decode(stoq_span(head, sizeof head), &read), STOQ_OK);
    assert_int_equal(stoq_proof_file_decode(stoq_span(head, sizeof head - 1), &read), STOQ_TRUNC);
    head[8] = 2;
    assert_int_equal(stoq_proof_file_decode(stoq_span(head, sizeof head), &read), STOQ_VERSION);
    static const struct stoq_proof_file bad[] = {
        {0, 1, 0}, {1, 0, 0}, {65537, 1, 0}, {1, (6u << 20) + 1, 0}, {1, 1, UINT64_MAX}};
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        stoq_proof_file_encode(head, &bad[i]);
        assert_int_equal(stoq_proof_file_decode(stoq_span(head, sizeof head), &read),
                         STOQ_MALFORMED);
    }
}

/* A manifest that is the package's, and a proof that is no proof, or of a newer kind. */
static void what_is_no_proof_is_refused(void **state)
{
    (void)state;
    struct vectors v;
    struct parts p;
    struct stoq_proof_told told;
    vectors_open(&v, "proofs");
    assert_true(next_file(&v));
    struct stoq_package_id id = {vectors_hash(&v, 1)};
    assert_true(take_apart(vectors_bytes(&v, 6), &p));
    assert_int_equal(stoq_proof_check(&id, p.manifest, stoq_span(NULL, 0), &told), STOQ_TRUNC);
    assert_int_equal(stoq_proof_check(&id, p.manifest, p.manifest, &told), STOQ_MALFORMED);
    assert_int_equal(stoq_proof_check(&id, p.proof, p.proof, &told), STOQ_PROOF);
    /* Bytes that are some id's, but no manifest. */
    id = stoq_manifest_id(p.proof);
    assert_int_equal(stoq_proof_check(&id, p.proof, p.proof, &told), STOQ_MALFORMED);
    vectors_close(&v);
}

/* A publisher's manifest with the true root and other counts: it has an id, and nothing is proved by it. */
static void a_manifest_cannot_contradict_its_root(void **state)
{
    (void)state;
    struct vectors v;
    vectors_open(&v, "proofs");
    while (next_file(&v)) {
        struct parts p;
        struct stoq_manifest m;
        struct stoq_proof_told told;
        assert_true(take_apart(vectors_bytes(&v, 6), &p));
        assert_int_equal(stoq_manifest_decode(p.manifest, &m), STOQ_OK);
        uint64_t *const counts[] = {&m.shards, &m.chunks, &m.bytes};
        for (size_t i = 0; i < STOQ_COUNT(counts); i++) {
            for (int way = 0; way < 2; way++) {
                struct stoq_buf forged;
                uint64_t was = *counts[i];
                stoq_buf_init(&forged, STOQ_MANIFEST_BYTES_MAX);
                *counts[i] += way == 0 ? 1 : UINT64_MAX;
                assert_int_equal(stoq_manifest_encode(&m, &forged), STOQ_OK);
                struct stoq_package_id id = stoq_manifest_id(stoq_buf_span(&forged));
                assert_int_equal(stoq_proof_check(&id, stoq_buf_span(&forged), p.proof, &told),
                                 STOQ_PROOF);
                *counts[i] = was;
                stoq_buf_release(&forged);
            }
        }
    }
    vectors_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_the_vectors_hold),
        cmocka_unit_test(any_flipped_bit_fails),
        cmocka_unit_test(headers_are_strict),
        cmocka_unit_test(what_is_no_proof_is_refused),
        cmocka_unit_test(a_manifest_cannot_contradict_its_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
