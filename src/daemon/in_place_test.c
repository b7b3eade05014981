/*
 * Publishing in place: the same package without a second copy, and nothing wrong ever comes out of it
 * when the files change.
 */
#include "daemon/packages_harness.h"

#include <fcntl.h>

#include "base/prng.h"
#include "daemon/export.h"
#include "daemon/extract.h"
#include "daemon/local.h"

/* A large file, one of a few chunks, files that share chunks, tiny ones. */
static int setup(void **state)
{
    int rc = scratch_setup_with_store(state);
    make_dir("in/tiny");
    put_random("in/large", 9000000, 1);
    put_random("in/middle", 300000, 2);
    for (unsigned i = 0; i < 400; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "in/small-%03u", i);
        put_random(name, 1000 + i * 20, 100 + i);
        (void)snprintf(name, sizeof name, "in/tiny/%03u", i);
        put_random(name, i % 7, i);
    }
    return rc;
}

static struct stoq_publish_report publish_here(bool in_place, unsigned threads)
{
    const struct stoq_publish_ask ask = {.path = at("in"),
                                         .name = "here",
                                         .version = "1",
                                         .in_place = in_place,
                                         .threads = threads,
                                         .read_bytes = 50000};
    return publish(&ask);
}

static void the_package_is_the_same_without_a_copy(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish_here(true, 2);
    assert_int_equal(r.bytes_new, r.bytes);
    assert_int_equal(r.chunks_new, r.chunks);
    assert_true(r.bytes_in_place > 9000000 + 300000 + 400 * 1000);
    assert_int_equal(stats_now().type[STOQ_RECORD_CHUNK].stored_bytes, r.bytes_stored);
    assert_true(r.bytes_stored < 200000); /* the table, and chunks of tiny files */
    assert_true(verify(&r.id).overall.valid);
    assert_int_equal(extract_to(&r.id, at("out")), STOQ_OK);
    /* Again, in place and stored: the same id; stored means stored. */
    struct stoq_publish_report again = publish_here(true, 1);
    assert_true(stoq_hash_eq(&again.id.h, &r.id.h));
    assert_true(again.existed);
    assert_int_equal(again.bytes_new, 0);
    struct stoq_publish_report stored = publish_here(false, 1);
    assert_true(stoq_hash_eq(&stored.id.h, &r.id.h));
    assert_true(stats_now().type[STOQ_RECORD_CHUNK].stored_bytes > 9000000);
    put_random("in/large", 9000000, 77);
    assert_true(verify(&r.id).overall.valid);
}

/* What a sink takes must be the published bytes, and a prefix of them. */
struct strict {
    const uint8_t *want;
    size_t at;
};

static enum stoq_status compare(void *user, struct stoq_span bytes)
{
    struct strict *s = user;
    assert_memory_equal(s->want + s->at, bytes.p, bytes.n);
    s->at += bytes.n;
    return STOQ_OK;
}

static void no_wrong_byte_comes_out_of_a_changed_file(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish_here(true, 1);
    uint8_t *want = draw_bytes(9000000, 1);
    struct stoq_prng rng = stoq_prng(9);
    for (int i = 0; i < 30; i++) {
        uint64_t where = stoq_prng_next(&rng) % 9000000;
        uint8_t byte = (uint8_t)(want[where] ^ (1u << i % 8));
        struct stat before;
        int fd = open(at("in/large"), O_WRONLY);
        assert_int_equal(fstat(fd, &before), 0);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)where), 1);
        if (i % 2 == 0) { /* and hidden from stat as far as one can */
            const struct timespec times[2] = {before.st_atim, before.st_mtim};
            assert_int_equal(futimens(fd, times), 0);
        }
        struct strict s = {want, 0};
        assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, compare, &s, &err),
                         STOQ_PROOF);
        assert_string_equal(err.code, "SourceChanged");
        assert_non_null(strstr(err.text, "in/large"));
        assert_true(s.at <= where && s.at + STOQ_CHUNK_BYTES_MAX > where);
        assert_int_equal(pwrite(fd, &want[where], 1, (off_t)where), 1);
        assert_int_equal(close(fd), 0);
    }
    struct strict s = {want, 0};
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, compare, &s, &err),
                     STOQ_OK);
    assert_int_equal(s.at, 9000000);
    free(want);
}

static void verify_tells_what_changed(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish_here(true, 1);
    assert_int_equal(truncate(at("in/middle"), 100000), 0);
    struct stoq_verify_report v = verify(&r.id);
    assert_false(v.overall.valid);
    assert_true(v.chunks_missing + v.chunks_bad >= 2);
    assert_true(v.chunks_missing + v.chunks_bad < 20);
    assert_non_null(strstr(v.merkle.why, "in/middle changed"));
    /* A store opened anew says the same; publishing again makes another package, the first is short. */
    close_store();
    open_store();
    assert_false(verify(&r.id).overall.valid);
    put_random("in/middle", 300000, 2);
    struct stoq_publish_report again = publish_here(true, 1);
    assert_true(stoq_hash_eq(&again.id.h, &r.id.h));
    assert_true(verify(&r.id).overall.valid);
}

static void files_that_moved_are_published_again(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish_here(true, 1);
    assert_int_equal(rename(at("in"), at("elsewhere")), 0);
    assert_false(verify(&r.id).overall.valid);
    struct stoq_publish_ask ask = {
        .path = at("elsewhere"), .name = "here", .version = "1", .in_place = true, .threads = 1};
    r = publish(&ask);
    assert_true(verify(&r.id).overall.valid);
    /* An export carries the bytes, not the paths. */
    struct stoq_buf bundle;
    struct stoq_export_report x;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    const struct stoq_export_ask export = {
        .ids = &r.id, .id_count = 1, .sink = keep_written, .sink_user = &bundle};
    assert_int_equal(stoq_export(store, &export, &x, &err), STOQ_OK);
    assert_null(memmem(bundle.p, bundle.n, "elsewhere", 9));
    stoq_buf_release(&bundle);
    /* A symbolic link to the tree is resolved. */
    assert_int_equal(symlink("elsewhere", at("in")), 0);
    r = publish_here(true, 1);
    assert_int_equal(unlink(at("in")), 0);
    assert_true(verify(&r.id).overall.valid);
}

static void a_removal_leaves_the_files_alone(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish_here(true, 1);
    struct stoq_local_removed gone;
    assert_int_equal(stoq_local_remove(store, &r.id, &gone, &err), STOQ_OK);
    assert_int_equal(gone.chunks, r.chunks_new);
    assert_int_equal(gone.bytes, r.bytes_stored);
    assert_int_equal(records_of(STOQ_RECORD_IN_PLACE), 0);
    assert_int_equal(records_of(STOQ_RECORD_CHUNK), 0);
    r = publish_here(true, 1);
    assert_int_equal(r.bytes_new, r.bytes);
}

static void a_single_file_in_place(void **state)
{
    (void)state;
    struct stoq_publish_ask ask = {
        .path = at("in/large"), .name = "one", .version = "1", .in_place = true, .threads = 1};
    struct stoq_publish_report r = publish(&ask);
    assert_int_equal(r.bytes_in_place, 9000000);
    assert_true(verify(&r.id).overall.valid);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(the_package_is_the_same_without_a_copy),
        SCRATCH(no_wrong_byte_comes_out_of_a_changed_file),
        SCRATCH(verify_tells_what_changed),
        SCRATCH(files_that_moved_are_published_again),
        SCRATCH(a_removal_leaves_the_files_alone),
        SCRATCH(a_single_file_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
