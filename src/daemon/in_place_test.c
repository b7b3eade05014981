/*
 * Publishing in place: the same package without a second copy, and nothing wrong ever comes out of it
 * when the files change.
 */
#include "daemon/export.h"
#include "daemon/extract.h"
#include "daemon/local.h"
#include "daemon/publish.h"
#include "daemon/verify.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/file.h"
#include "os/tree_read.h"
#include "store/place.h"
#include "tests/vectors.h"

static char scratch[64];
static struct stoq_store *store;
static struct stoq_error err;

static const char *at(const char *name)
{
    static char path[8][512];
    static int next;
    char *out = path[next++ % 8];
    assert_int_equal(stoq_file_join(out, sizeof path[0], scratch, name), STOQ_OK);
    return out;
}

static void open_store(const char *name)
{
    const struct stoq_store_config cfg = {
        .dir = at(name), .create = true, .segment_bytes = 16 * STOQ_MIB, .map_bytes = STOQ_GIB};
    assert_int_equal(stoq_store_open(&store, &cfg, &err), STOQ_OK);
}

static void put_random(const char *name, size_t n, uint64_t seed)
{
    uint8_t *p = malloc(n + 1);
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(p != NULL && fd >= 0);
    vectors_fill(p, n, seed);
    assert_int_equal(stoq_file_write_all(fd, stoq_span(p, n)), STOQ_OK);
    assert_int_equal(close(fd), 0);
    free(p);
}

/* A large file, one of a few chunks, files that share chunks, tiny ones. */
static int setup(void **state)
{
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/stoq-in-place-XXXXXX");
    if (mkdtemp(scratch) == NULL || mkdir(at("in"), 0755) != 0 || mkdir(at("in/tiny"), 0755) != 0) {
        return -1;
    }
    open_store("store");
    put_random("in/large", 9000000, 1);
    put_random("in/middle", 300000, 2);
    for (unsigned i = 0; i < 400; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "in/small-%03u", i);
        put_random(name, 1000 + i * 20, 100 + i);
        (void)snprintf(name, sizeof name, "in/tiny/%03u", i);
        put_random(name, i % 7, i);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(stoq_store_close(store, NULL), STOQ_OK);
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

static struct stoq_publish_report publish(bool in_place, unsigned threads)
{
    const struct stoq_publish_ask ask = {.path = at("in"),
                                         .name = "here",
                                         .version = "1",
                                         .in_place = in_place,
                                         .threads = threads,
                                         .read_bytes = 50000};
    struct stoq_publish_report r;
    enum stoq_status st = stoq_publish(store, &ask, &r, &err);
    if (st != STOQ_OK) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(st, STOQ_OK);
    return r;
}

static struct stoq_verify_report verify(const struct stoq_package_id *id)
{
    const struct stoq_verify_ask ask = {.id = *id, .threads = 1};
    struct stoq_verify_report r;
    assert_int_equal(stoq_verify(store, &ask, &r, &err), STOQ_OK);
    return r;
}

static uint64_t chunk_bytes_stored(void)
{
    struct stoq_store_stats s;
    assert_int_equal(stoq_store_sync(store, &err), STOQ_OK);
    assert_int_equal(stoq_store_stats(store, &s, &err), STOQ_OK);
    return s.type[STOQ_RECORD_CHUNK].stored_bytes;
}

static void the_package_is_the_same_without_a_copy(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish(true, 2);
    assert_int_equal(r.bytes_new, r.bytes);
    assert_int_equal(r.chunks_new, r.chunks);
    assert_true(r.bytes_in_place > 9000000 + 300000 + 400 * 1000);
    assert_int_equal(chunk_bytes_stored(), r.bytes_stored);
    assert_true(r.bytes_stored < 200000); /* the table, and chunks of tiny files */
    assert_true(verify(&r.id).overall.valid);
    const struct stoq_extract_ask ask = {.id = r.id, .out = at("out")};
    struct stoq_extract_report x;
    assert_int_equal(stoq_extract(store, &ask, &x, &err), STOQ_OK);
    /* Again, in place and stored: the same id; stored means stored. */
    struct stoq_publish_report again = publish(true, 1);
    assert_true(stoq_hash_eq(&again.id.h, &r.id.h));
    assert_true(again.existed);
    assert_int_equal(again.bytes_new, 0);
    struct stoq_publish_report stored = publish(false, 1);
    assert_true(stoq_hash_eq(&stored.id.h, &r.id.h));
    assert_true(chunk_bytes_stored() > 9000000);
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
    struct stoq_publish_report r = publish(true, 1);
    uint8_t *want = malloc(9000000);
    struct stoq_prng rng = stoq_prng(9);
    assert_non_null(want);
    vectors_fill(want, 9000000, 1);
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
    struct stoq_publish_report r = publish(true, 1);
    assert_int_equal(truncate(at("in/middle"), 100000), 0);
    struct stoq_verify_report v = verify(&r.id);
    assert_false(v.overall.valid);
    assert_true(v.chunks_missing + v.chunks_bad >= 2);
    assert_true(v.chunks_missing + v.chunks_bad < 20);
    assert_non_null(strstr(v.merkle.why, "in/middle changed"));
    /* A store opened anew says the same; publishing again makes another package, the first is short. */
    assert_int_equal(stoq_store_close(store, &err), STOQ_OK);
    open_store("store");
    assert_false(verify(&r.id).overall.valid);
    put_random("in/middle", 300000, 2);
    struct stoq_publish_report again = publish(true, 1);
    assert_true(stoq_hash_eq(&again.id.h, &r.id.h));
    assert_true(verify(&r.id).overall.valid);
}

static enum stoq_status keep(void *user, struct stoq_span bytes, struct stoq_error *why)
{
    (void)why;
    return stoq_buf_add(user, bytes);
}

static void files_that_moved_are_published_again(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish(true, 1);
    assert_int_equal(rename(at("in"), at("elsewhere")), 0);
    assert_false(verify(&r.id).overall.valid);
    struct stoq_publish_ask ask = {
        .path = at("elsewhere"), .name = "here", .version = "1", .in_place = true, .threads = 1};
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_OK);
    assert_true(verify(&r.id).overall.valid);
    /* An export carries the bytes, not the paths. */
    struct stoq_buf bundle;
    struct stoq_export_report x;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    const struct stoq_export_ask export = {
        .ids = &r.id, .id_count = 1, .sink = keep, .sink_user = &bundle};
    assert_int_equal(stoq_export(store, &export, &x, &err), STOQ_OK);
    assert_null(memmem(bundle.p, bundle.n, "elsewhere", 9));
    stoq_buf_release(&bundle);
    /* A symbolic link to the tree is resolved. */
    assert_int_equal(symlink("elsewhere", at("in")), 0);
    r = publish(true, 1);
    assert_int_equal(unlink(at("in")), 0);
    assert_true(verify(&r.id).overall.valid);
}

static void a_removal_leaves_the_files_alone(void **state)
{
    (void)state;
    struct stoq_publish_report r = publish(true, 1);
    struct stoq_local_removed gone;
    assert_int_equal(stoq_local_remove(store, &r.id, &gone, &err), STOQ_OK);
    assert_int_equal(gone.chunks, r.chunks_new);
    assert_int_equal(gone.bytes, r.bytes_stored);
    struct stoq_store_stats s;
    assert_int_equal(stoq_store_stats(store, &s, &err), STOQ_OK);
    assert_int_equal(s.type[STOQ_RECORD_IN_PLACE].records, 0);
    assert_int_equal(s.type[STOQ_RECORD_CHUNK].records, 0);
    r = publish(true, 1);
    assert_int_equal(r.bytes_new, r.bytes);
}

static void a_single_file_in_place(void **state)
{
    (void)state;
    struct stoq_publish_ask ask = {
        .path = at("in/large"), .name = "one", .version = "1", .in_place = true, .threads = 1};
    struct stoq_publish_report r;
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_OK);
    assert_int_equal(r.bytes_in_place, 9000000);
    assert_true(verify(&r.id).overall.valid);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
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
