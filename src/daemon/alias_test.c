/*
 * Files by the digests of the outside world, on a real store: found in every package that has them,
 * compared with the digest, gone with their package.
 */
#include "daemon/packages_harness.h"

#include "daemon/alias.h"
#include "daemon/local.h"
#include "os/file.h"
#include "tests/vectors.h"

static void write_file(const char *name, struct stoq_span bytes)
{
    char path[128];
    (void)snprintf(path, sizeof path, "in/%s", name);
    assert_int_equal(stoq_file_replace(at(path), bytes, 0644, &err), STOQ_OK);
}

static struct stoq_package_id publish_as(const char *name, struct stoq_publish_report *r)
{
    struct stoq_publish_ask ask = {
        .path = at("in"),
        .name = name,
        .version = "1",
        .threads = 2,
        .aliases = {STOQ_HASH_BLAKE3, STOQ_HASH_SHA256, STOQ_HASH_SHA512},
        .alias_count = 3,
    };
    *r = publish(&ask);
    return r->id;
}

static struct stoq_digest digest_of(enum stoq_hash_alg alg, struct stoq_span bytes)
{
    struct stoq_digest d;
    assert_int_equal(stoq_digest_of(&d, alg, bytes), STOQ_OK);
    return d;
}

/* "path path ..." of what is found, and how many. */
struct found {
    char text[4096];
    size_t n;
    size_t stop_at;
    struct stoq_package_id last;
};

static bool note(void *user, const struct stoq_package_id *id, struct stoq_span path)
{
    struct found *f = user;
    size_t n = strlen(f->text);
    (void)snprintf(f->text + n, sizeof f->text - n, "%.*s ", (int)path.n, (const char *)path.p);
    f->last = *id;
    return ++f->n != f->stop_at;
}

static struct found find(enum stoq_hash_alg alg, struct stoq_span bytes)
{
    struct found f = {.n = 0};
    struct stoq_digest d = digest_of(alg, bytes);
    assert_int_equal(stoq_alias_find(store, &d, note, &f, &err), STOQ_OK);
    return f;
}

static enum stoq_status read_by(const struct stoq_digest *d, struct stoq_buf *out)
{
    struct stoq_alias_ask ask = {.digest = *d, .sink = keep_bytes, .sink_user = out};
    struct stoq_alias_found found;
    stoq_buf_init(out, 16 << 20);
    stoq_buf_init(&found.path, 4096);
    enum stoq_status st = stoq_alias_read(store, &ask, &found, &err);
    stoq_buf_release(&found.path);
    return st;
}

static void comes_out(enum stoq_hash_alg alg, struct stoq_span bytes)
{
    struct stoq_buf out;
    struct stoq_digest d = digest_of(alg, bytes);
    assert_int_equal(read_by(&d, &out), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out), bytes));
    stoq_buf_release(&out);
}

static void files_are_found_by_every_digest(void **state)
{
    (void)state;
    enum { BIG = 2500000 };
    struct stoq_publish_report r;
    uint8_t *big = draw_bytes(BIG, 3);
    write_file("big", stoq_span(big, BIG));
    write_file("a", stoq_span("small", 5));
    write_file("b", stoq_span("small", 5));
    write_file("none", stoq_span("", 0));
    struct stoq_package_id id = publish_as("one", &r);
    assert_true(r.aliases == 9); /* three contents by three digests */
    static const enum stoq_hash_alg algs[] = {STOQ_HASH_BLAKE3, STOQ_HASH_SHA256, STOQ_HASH_SHA512};
    for (size_t i = 0; i < STOQ_COUNT(algs); i++) {
        struct found f = find(algs[i], stoq_span("small", 5));
        assert_string_equal(f.text, "a b ");
        assert_true(stoq_hash_eq(&f.last.h, &id.h));
        assert_string_equal(find(algs[i], stoq_span(big, BIG)).text, "big ");
        assert_string_equal(find(algs[i], stoq_span("", 0)).text, "none ");
        assert_int_equal(find(algs[i], stoq_span("other", 5)).n, 0);
        comes_out(algs[i], stoq_span("small", 5));
        comes_out(algs[i], stoq_span(big, BIG));
        comes_out(algs[i], stoq_span("", 0));
    }
    assert_int_equal(find(STOQ_HASH_SHA3_256, stoq_span("small", 5)).n, 0); /* was not asked for */
    struct stoq_publish_ask plain = {.path = at("in"), .name = "one", .version = "1"};
    struct stoq_publish_report again = publish(&plain);
    assert_true(again.existed && stoq_hash_eq(&again.id.h, &id.h)); /* they are not in the id */
    assert_int_equal(stoq_local_remove(store, &id, NULL, &err), STOQ_OK);
    free(big);
}

static void aliases_go_with_their_package(void **state)
{
    (void)state;
    struct stoq_publish_report r;
    struct stoq_package_id one = publish_as("one", &r);
    struct stoq_package_id two = publish_as("two", &r);
    struct found f = find(STOQ_HASH_SHA256, stoq_span("small", 5));
    assert_int_equal(f.n, 4);
    f = (struct found){.stop_at = 1};
    struct stoq_digest d = digest_of(STOQ_HASH_SHA512, stoq_span("small", 5));
    assert_int_equal(stoq_alias_find(store, &d, note, &f, &err), STOQ_OK);
    assert_int_equal(f.n, 1);
    assert_int_equal(stoq_local_remove(store, &one, NULL, &err), STOQ_OK);
    f = find(STOQ_HASH_SHA256, stoq_span("small", 5));
    assert_string_equal(f.text, "a b ");
    assert_true(stoq_hash_eq(&f.last.h, &two.h));
    comes_out(STOQ_HASH_SHA256, stoq_span("small", 5));
    assert_int_equal(stoq_local_remove(store, &two, NULL, &err), STOQ_OK);
    assert_int_equal(records_of(STOQ_RECORD_ALIAS), 0);
}

static void of_many_equal_files_some_paths_are_kept(void **state)
{
    (void)state;
    struct stoq_publish_report r;
    for (int i = 0; i < 200; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "same-%03d", i);
        write_file(name, stoq_span("the same", 8));
    }
    struct stoq_package_id id = publish_as("many", &r);
    struct found f = find(STOQ_HASH_SHA512, stoq_span("the same", 8));
    assert_int_equal(f.n, STOQ_ALIAS_PATHS_MAX);
    assert_true(strncmp(f.text, "same-000 same-001 ", 18) == 0);
    assert_int_equal(stoq_local_remove(store, &id, NULL, &err), STOQ_OK);
}

/* Put a record of our own making: a digest that leads where we like. */
static void put_alias(const struct stoq_digest *d, const struct stoq_package_id *id,
                      const char *path)
{
    uint8_t key[STOQ_ALIAS_KEY_BYTES];
    struct stoq_alias a = {.digest = *d, .id = *id, .path_count = 1};
    struct stoq_buf b;
    a.paths[0] = stoq_span_str(path);
    stoq_buf_init(&b, STOQ_ALIAS_RECORD_BYTES_MAX);
    assert_int_equal(stoq_alias_encode(&a, &b), STOQ_OK);
    stoq_alias_key_put(key, d, id);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_ALIAS, stoq_span(key, sizeof key),
                                    STOQ_STORE_OVERWRITE, stoq_buf_span(&b), NULL, &err),
                     STOQ_OK);
    stoq_buf_release(&b);
}

static void an_alias_is_not_believed(void **state)
{
    (void)state;
    struct stoq_publish_report r;
    struct stoq_buf out;
    struct stoq_package_id id = publish_as("one", &r);
    struct stoq_digest d = digest_of(STOQ_HASH_SHA256, stoq_span("wanted", 6));
    put_alias(&d, &id, "a");
    assert_int_equal(read_by(&d, &out), STOQ_PROOF);
    assert_string_equal(err.code, "IntegrityCheckFailed");
    assert_int_equal(out.n, 0);
    stoq_buf_release(&out);
    put_alias(&d, &id, "nosuch");
    assert_int_equal(read_by(&d, &out), STOQ_NOTFOUND);
    stoq_buf_release(&out);
    struct stoq_digest none = digest_of(STOQ_HASH_SHA256, stoq_span("nobody", 6));
    assert_int_equal(read_by(&none, &out), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    stoq_buf_release(&out);
    struct stoq_package_id absent = id;
    absent.h.b[0] ^= 1;
    put_alias(&none, &absent, "a"); /* of a package that is not here */
    assert_int_equal(find(STOQ_HASH_SHA256, stoq_span("nobody", 6)).n, 0);
}

static void sha512_counts_whole(void **state)
{
    (void)state;
    struct stoq_publish_report r;
    struct stoq_package_id id = publish_as("one", &r);
    struct stoq_digest d = digest_of(STOQ_HASH_SHA512, stoq_span("small", 5));
    struct found f = {.n = 0};
    d.b[63] ^= 1; /* behind the key's part */
    assert_int_equal(stoq_alias_find(store, &d, note, &f, &err), STOQ_OK);
    assert_int_equal(f.n, 0);
    assert_int_equal(stoq_local_remove(store, &id, NULL, &err), STOQ_OK);
}

static void names_of_algorithms(void **state)
{
    (void)state;
    assert_int_equal(stoq_alias_alg_named("b3sum"), STOQ_HASH_BLAKE3);
    assert_int_equal(stoq_alias_alg_named("blake3"), STOQ_HASH_BLAKE3);
    assert_int_equal(stoq_alias_alg_named("sha512"), STOQ_HASH_SHA512);
    assert_int_equal(stoq_alias_alg_named("xxh3-128"), STOQ_HASH_NONE);
    assert_int_equal(stoq_alias_alg_named("md5"), STOQ_HASH_NONE);
}

static void records_are_as_the_document_says(void **state)
{
    (void)state;
    struct vectors v;
    size_t good = 0;
    size_t refused = 0;
    vectors_open(&v, "records");
    while (vectors_next(&v)) {
        struct stoq_alias a;
        if (vectors_is(&v, "refused-alias")) {
            struct stoq_span key = vectors_bytes(&v, 2);
            enum stoq_status st = stoq_alias_decode(key, vectors_bytes(&v, 3), &a);
            assert_int_equal(st == STOQ_VERSION, strcmp(vectors_str(&v, 1), "version") == 0);
            assert_int_not_equal(st, STOQ_OK);
            refused++;
        } else if (vectors_is(&v, "alias")) {
            struct stoq_buf again;
            uint8_t again_key[STOQ_ALIAS_KEY_BYTES];
            struct stoq_span digest = vectors_bytes(&v, 2);
            struct stoq_hash id = vectors_hash(&v, 3);
            struct stoq_span key = vectors_bytes(&v, 5);
            struct stoq_span payload = vectors_bytes(&v, 6);
            assert_int_equal(stoq_alias_decode(key, payload, &a), STOQ_OK);
            assert_true(a.digest.alg == (enum stoq_hash_alg)vectors_u64(&v, 1));
            assert_true(stoq_span_eq(stoq_digest_span(&a.digest), digest));
            assert_true(stoq_hash_eq(&a.id.h, &id) && a.path_count == vectors_u64(&v, 4));
            stoq_buf_init(&again, STOQ_ALIAS_RECORD_BYTES_MAX);
            assert_int_equal(stoq_alias_encode(&a, &again), STOQ_OK);
            stoq_alias_key_put(again_key, &a.digest, &a.id);
            assert_true(stoq_span_eq(stoq_buf_span(&again), payload));
            assert_true(stoq_span_eq(stoq_span(again_key, sizeof again_key), key));
            stoq_buf_release(&again);
            good++;
        }
    }
    vectors_close(&v);
    assert_true(good >= 4 && refused >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_found_by_every_digest),
        cmocka_unit_test(aliases_go_with_their_package),
        cmocka_unit_test(of_many_equal_files_some_paths_are_kept),
        cmocka_unit_test(an_alias_is_not_believed),
        cmocka_unit_test(sha512_counts_whole),
        cmocka_unit_test(names_of_algorithms),
        cmocka_unit_test(records_are_as_the_document_says),
    };
    return cmocka_run_group_tests(tests, scratch_setup_with_store, scratch_teardown);
}
