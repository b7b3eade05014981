/*
 * What is published comes out of an extraction byte for byte, and the id depends on nothing else; texts and
 * signatures travel along.
 */
#include "daemon/packages_harness.h"

#include <fcntl.h>

#include "daemon/extract.h"
#include "daemon/held.h"
#include "daemon/local.h"

static void what_is_published_comes_out_again(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    assert_false(r.existed);
    assert_false(r.is_signed);
    assert_int_equal(r.entries, 4 + 7 + 300 + 254 + 3);
    assert_int_equal(r.files, 7 + 300 + 254);
    assert_int_equal(r.bytes_new, r.bytes);
    assert_int_equal(r.chunks_new, r.chunks);
    assert_true(r.bytes_stored < r.bytes && r.bytes_stored > 3000000);
    const struct stoq_extract_ask extract = {.id = r.id, .out = at("out")};
    struct stoq_extract_report x;
    assert_int_equal(stoq_extract(store, &extract, &x, NULL), STOQ_OK);
    assert_int_equal(x.files, r.files);
    assert_int_equal(x.directories, 4);
    assert_int_equal(x.links, 3);
    assert_int_equal(x.bytes, r.bytes - r.table_bytes);
    compare_trees(at("in"), at("out"));
    struct stat st;
    assert_int_equal(fstatat(scratch_fd, "out/bin-x/nothing", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    /* Again: the same, and nothing is written. */
    struct stoq_publish_report again = publish(&ask);
    assert_true(same_id(&r.id, &again.id));
    assert_true(again.existed);
    assert_int_equal(again.bytes_new, 0);
    /* What came out gives the same id. */
    ask.path = at("out");
    again = publish(&ask);
    assert_true(same_id(&r.id, &again.id));
}

static void the_id_depends_on_nothing_else(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    ask.threads = 1;
    struct stoq_publish_report first = publish(&ask);
    static const size_t reads[] = {1021, 4096, 65537, 1 << 20};
    for (size_t i = 0; i < STOQ_COUNT(reads); i++) {
        ask.read_bytes = reads[i];
        ask.threads = (unsigned)i + 1;
        struct stoq_publish_report r = publish(&ask);
        assert_true(same_id(&first.id, &r.id));
    }
    const struct timespec times[2] = {{1, 0}, {12345, 0}};
    assert_int_equal(utimensat(scratch_fd, "in/large", times, 0), 0);
    assert_int_equal(fchmodat(scratch_fd, "in/large", 0606, 0), 0);
    struct stoq_publish_report r = publish(&ask);
    assert_true(same_id(&first.id, &r.id));
    assert_int_equal(fchmodat(scratch_fd, "in/large", 0700, 0), 0);
    r = publish(&ask);
    assert_false(same_id(&first.id, &r.id));
    assert_int_equal(fchmodat(scratch_fd, "in/large", 0600, 0), 0);
    put_bytes("in/many/000", "x", 1, 0644); /* it was empty */
    r = publish(&ask);
    assert_false(same_id(&first.id, &r.id));
    assert_true(r.bytes_new < 400000); /* the table's chunk and the run of small files */
    ask.version = "1.1";
    struct stoq_publish_report other = publish(&ask);
    assert_false(same_id(&other.id, &r.id));
    assert_int_equal(other.bytes_new, 0);
}

static void an_empty_directory_and_a_single_file(void **state)
{
    (void)state;
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    assert_int_equal(r.bytes, 0);
    assert_int_equal(r.chunks, 0);
    assert_int_equal(extract_to(&r.id, at("out")), STOQ_OK);
    compare_trees(at("in"), at("out"));
    put_random("in/one", 500000, 9);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/in/one", scratch);
    ask.path = path;
    r = publish(&ask);
    assert_int_equal(r.files, 1);
    assert_int_equal(r.entries, 1);
    assert_int_equal(extract_to(&r.id, at("out2")), STOQ_OK);
    compare_trees(at("in"), at("out2"));
    assert_true(verify(&r.id).overall.valid);
}

static void texts_travel_in_the_manifest(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    const struct stoq_manifest_annotation notes[] = {{stoq_span_str("zz"), stoq_span_str("1")},
                                                     {stoq_span_str("a"), stoq_span_str("2")}};
    struct stoq_publish_ask ask = ask_for(at("in"));
    ask.description = "what it is";
    ask.license = "MIT";
    ask.annotations = notes;
    ask.annotation_count = 2;
    struct stoq_publish_report r = publish(&ask);
    struct stoq_held *held;
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    const struct stoq_manifest *m = stoq_held_manifest(held);
    assert_true(stoq_span_eq(m->description, stoq_span_str("what it is")));
    assert_true(stoq_span_eq(m->license, stoq_span_str("MIT")));
    assert_int_equal(m->annotation_count, 2);
    stoq_held_close(held);
    ask.name = "Not A Name";
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_RANGE);
    assert_non_null(strstr(err.text, "the name must begin"));
    ask = ask_for(at("missing"));
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_NOTFOUND);
    assert_non_null(strstr(err.text, "missing"));
}

static bool keep_package(void *user, const struct stoq_local_package *p)
{
    struct stoq_local_package *out = user;
    *out = *p;
    return true;
}

static void signatures_are_told(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    const struct stoq_verify_ask lax = {.id = r.id};
    const struct stoq_verify_ask strict = {.id = r.id, .signature_required = true};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &lax, &v, NULL), STOQ_OK);
    assert_true(v.merkle.valid && v.overall.valid);
    assert_false(v.signature.valid || v.consensus.valid);
    assert_string_equal(v.signature.why, "unsigned");
    assert_int_equal(stoq_verify(store, &strict, &v, NULL), STOQ_OK);
    assert_false(v.overall.valid);
    struct stoq_key *key = test_key(5);
    ask.key = key;
    struct stoq_publish_report again = publish(&ask);
    assert_true(same_id(&r.id, &again.id) && again.is_signed && again.existed);
    assert_int_equal(stoq_verify(store, &strict, &v, NULL), STOQ_OK);
    assert_true(v.overall.valid && v.signature.valid);
    struct stoq_key_id id = stoq_key_id(key);
    assert_true(stoq_hash_eq(&v.signer.h, &id.h));
    struct stoq_local_package p;
    assert_int_equal(stoq_local_info(store, &r.id, keep_package, &p, NULL), STOQ_OK);
    assert_true(p.is_signed && stoq_hash_eq(&p.signer.h, &id.h));
    stoq_key_free(key);
}

/* A signature that is another package's, or rotten, does not count, and fails even a lax check. */
static void a_false_signature_is_not_good(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    struct stoq_key *key = test_key(6);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_package_id other = r.id;
    other.h.b[0] ^= 1;
    struct stoq_buf envelope;
    stoq_buf_init(&envelope, STOQ_ENVELOPE_MAX);
    assert_int_equal(stoq_sign(key, STOQ_SIGN_PACKAGE, &other.h, &envelope), STOQ_OK);
    uint8_t record[64];
    struct stoq_key_id id = stoq_key_id(key);
    memcpy(record, r.id.h.b, 32);
    memcpy(record + 32, id.h.b, 32);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_SIGNATURE, stoq_span(record, 64), 0,
                                    stoq_buf_span(&envelope), NULL, NULL),
                     STOQ_OK);
    const struct stoq_verify_ask lax = {.id = r.id};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &lax, &v, NULL), STOQ_OK);
    assert_true(v.merkle.valid);
    assert_false(v.signature.valid || v.overall.valid);
    struct stoq_local_package p;
    assert_int_equal(stoq_local_info(store, &r.id, keep_package, &p, NULL), STOQ_OK);
    assert_false(p.is_signed);
    stoq_buf_release(&envelope);
    stoq_key_free(key);
}

static void what_cannot_be_published_is_named(void **state)
{
    (void)state;
    make_dir("in/d");
    assert_int_equal(mkfifoat(scratch_fd, "in/d/pipe", 0644), 0);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r;
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_IO);
    assert_non_null(strstr(err.text, "in/d/pipe: is neither"));
    assert_int_equal(unlinkat(scratch_fd, "in/d/pipe", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(what_is_published_comes_out_again),
        WITH_STORE(the_id_depends_on_nothing_else),
        WITH_STORE(an_empty_directory_and_a_single_file),
        WITH_STORE(texts_travel_in_the_manifest),
        WITH_STORE(signatures_are_told),
        WITH_STORE(a_false_signature_is_not_good),
        WITH_STORE(what_cannot_be_published_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
