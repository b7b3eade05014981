/*
 * A publish of bytes that come without their size: the id is that of a publish of a file that holds them,
 * whatever they are and however they come.
 */
#include "daemon/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "chunk/tar_scan.h"
#include "daemon/alias.h"
#include "daemon/held.h"
#include "daemon/local.h"
#include "os/file.h"
#include "os/tree_read.h"

#define BYTES_MAX ((size_t)8 << 20)

static char scratch[64];
static struct stoq_store *store;

static const char *at(const char *name)
{
    static char path[4][128];
    static int next;
    char *out = path[next++ % 4];
    assert_int_equal(stoq_file_join(out, sizeof path[0], scratch, name), STOQ_OK);
    return out;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/stoq-input-XXXXXX");
    if (mkdtemp(scratch) == NULL) {
        return -1;
    }
    const struct stoq_store_config cfg = {
        .dir = at("store"), .create = true, .segment_bytes = 64 * STOQ_MIB, .map_bytes = STOQ_GIB};
    assert_int_equal(stoq_store_open(&store, &cfg, NULL), STOQ_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(stoq_store_close(store, NULL), STOQ_OK);
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

static void add_random(struct stoq_buf *b, size_t n, uint64_t seed)
{
    struct stoq_prng r = stoq_prng(seed);
    for (size_t i = 0; i < n; i += 8) {
        uint8_t word[8];
        stoq_le64_put(word, stoq_prng_next(&r));
        assert_int_equal(stoq_buf_add(b, stoq_span(word, n - i < 8 ? n - i : 8)), STOQ_OK);
    }
}

static void add_member(struct stoq_buf *b, size_t n, uint64_t seed)
{
    uint8_t h[STOQ_TAR_BLOCK_BYTES] = {0};
    static const uint8_t zeros[STOQ_TAR_BLOCK_BYTES];
    (void)snprintf((char *)h, 100, "member-%llu", (unsigned long long)seed);
    (void)snprintf((char *)h + 124, 12, "%011zo", n);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++) {
        sum += h[i];
    }
    (void)snprintf((char *)h + 148, 8, "%06o", sum);
    assert_int_equal(stoq_buf_add(b, stoq_span(h, sizeof h)), STOQ_OK);
    add_random(b, n, seed);
    assert_int_equal(stoq_buf_add(b, stoq_span(zeros, (512 - n % 512) % 512)), STOQ_OK);
}

/* Where bytes come from: pieces of these sizes, in turn; then the end, or a failure. */
struct giver {
    struct stoq_span rest;
    const size_t *pieces;
    size_t piece_count;
    size_t next;
    enum stoq_status last;
};

static enum stoq_status give(void *user, uint8_t *p, size_t n, size_t *got, struct stoq_error *err)
{
    struct giver *g = user;
    size_t piece = g->pieces[g->next++ % g->piece_count];
    n = n < piece ? n : piece;
    n = n < g->rest.n ? n : g->rest.n;
    if (n == 0) {
        *got = 0;
        return g->last == STOQ_OK ? STOQ_OK : stoq_fail(err, g->last, 0, "the giver is gone");
    }
    memcpy(p, g->rest.p, n);
    g->rest = stoq_span(g->rest.p + n, g->rest.n - n);
    *got = n;
    return STOQ_OK;
}

static struct stoq_publish_report publish_file(const char *name, struct stoq_span bytes,
                                               struct stoq_publish_ask ask)
{
    struct stoq_publish_report r;
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, bytes), STOQ_OK);
    assert_int_equal(close(fd), 0);
    ask.path = at(name);
    assert_int_equal(stoq_publish(store, &ask, &r, NULL), STOQ_OK);
    return r;
}

static enum stoq_status publish_bytes(struct giver *g, struct stoq_publish_ask ask,
                                      struct stoq_publish_report *r, struct stoq_error *err)
{
    const struct stoq_input input = {give, g, UINT64_MAX};
    ask.input = &input;
    ask.scratch_dir = scratch;
    return stoq_publish(store, &ask, r, err);
}

/* The same bytes both ways. */
static void check_same(struct stoq_span bytes, struct stoq_publish_ask ask, const size_t *pieces,
                       size_t piece_count)
{
    struct giver g = {.rest = bytes, .pieces = pieces, .piece_count = piece_count};
    struct stoq_publish_report want =
        publish_file(ask.entry != NULL ? ask.entry : ask.name, bytes, ask);
    struct stoq_publish_report got;
    struct stoq_error err = {0};
    assert_int_equal(publish_bytes(&g, ask, &got, &err), STOQ_OK);
    assert_true(stoq_hash_eq(&want.id.h, &got.id.h));
    assert_true(got.existed && got.entries == 1 && got.files == 1);
    assert_int_equal(got.bytes, want.bytes);
    assert_int_equal(got.table_bytes, want.table_bytes);
    assert_int_equal(got.chunks, want.chunks);
    assert_int_equal(got.shards, want.shards);
    assert_int_equal(got.aliases, want.aliases);
    assert_true(stoq_digest_eq(&got.secondary, &want.secondary));
}

static const size_t whole[] = {SIZE_MAX};
static const size_t odd[] = {1, 511, 8192, 77777, 3, 1 << 20};

static void the_id_is_that_of_a_file(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 8191, 8192, 8193, 131072, 262145, 5000001};
    struct stoq_buf b;
    stoq_buf_init(&b, BYTES_MAX);
    for (size_t i = 0; i < STOQ_COUNT(sizes); i++) {
        stoq_buf_clear(&b);
        add_random(&b, sizes[i], i);
        for (unsigned code = 1; code <= 2; code++) {
            struct stoq_publish_ask ask = {.name = "x", .version = "1", .profile = code};
            ask.threads = 1 + 2 * (unsigned)(i % 2);
            check_same(stoq_buf_span(&b), ask, whole, 1);
            ask.entry = "a name\xff";
            ask.read_bytes = 60001;
            ask.aliases[0] = STOQ_HASH_SHA256;
            ask.alias_count = 1;
            ask.secondary = STOQ_HASH_SHA256;
            check_same(stoq_buf_span(&b), ask, odd, STOQ_COUNT(odd));
        }
    }
    stoq_buf_release(&b);
}

/* Small and large members; where each begins is kept. */
static size_t make_archive(struct stoq_buf *b, size_t begins[16])
{
    static const size_t sizes[] = {100, 20000, 8192, 0, 700, 300001, 8191, 1000000, 9000};
    for (size_t i = 0; i < STOQ_COUNT(sizes); i++) {
        begins[i] = b->n;
        add_member(b, sizes[i], i);
    }
    begins[STOQ_COUNT(sizes)] = b->n;
    return STOQ_COUNT(sizes) + 1;
}

/* An archive, and what is left when it breaks off: a member that is not whole is no run of its own. */
static void an_archive_may_break_off(void **state)
{
    (void)state;
    static const size_t behind[] = {0, 511, 512, 513, 8704, 100000};
    size_t begins[16];
    struct stoq_buf b;
    stoq_buf_init(&b, BYTES_MAX);
    size_t count = make_archive(&b, begins);
    struct stoq_publish_ask ask = {.name = "x.tar", .version = "1", .threads = 3};
    check_same(stoq_buf_span(&b), ask, odd, STOQ_COUNT(odd));
    for (size_t i = 0; i < count * STOQ_COUNT(behind); i++) {
        size_t n = begins[i / STOQ_COUNT(behind)] + behind[i % STOQ_COUNT(behind)];
        ask.threads = i % 2 == 0 ? 1 : 2;
        ask.secondary = i % 3 == 0 ? STOQ_HASH_SHA256 : STOQ_HASH_NONE;
        if (n <= b.n) {
            check_same(stoq_span(b.p, n), ask, i % 5 == 0 ? odd : whole, i % 5 == 0 ? 6 : 1);
        }
    }
    stoq_buf_release(&b);
}

static bool count_one(void *user, struct stoq_span key, struct stoq_stored info)
{
    (void)key;
    (void)info;
    ++*(size_t *)user;
    return true;
}

static size_t packages(void)
{
    size_t n = 0;
    assert_int_equal(stoq_store_each(store, STOQ_RECORD_PACKAGE, count_one, &n, NULL), STOQ_OK);
    assert_int_equal(stoq_store_each(store, STOQ_RECORD_MANIFEST, count_one, &n, NULL), STOQ_OK);
    return n;
}

static void a_giver_that_fails_makes_no_package(void **state)
{
    (void)state;
    struct stoq_buf b;
    struct stoq_error err = {0};
    struct stoq_publish_report r;
    const struct stoq_publish_ask ask = {.name = "x", .version = "1", .threads = 1};
    stoq_buf_init(&b, BYTES_MAX);
    add_random(&b, 3000000, 1);
    for (size_t n = 0; n <= b.n; n += 1000000) {
        struct giver g = {.rest = stoq_span(b.p, n), .pieces = odd, .piece_count = 6};
        g.last = STOQ_TRUNC;
        assert_int_equal(publish_bytes(&g, ask, &r, &err), STOQ_TRUNC);
        assert_string_equal(err.text, "the giver is gone");
        assert_int_equal(packages(), 0);
    }
    /* What it brought is not stored twice. */
    struct giver g = {.rest = stoq_buf_span(&b), .pieces = whole, .piece_count = 1};
    assert_int_equal(publish_bytes(&g, ask, &r, NULL), STOQ_OK);
    assert_true(r.bytes_new < 1500000);
    stoq_buf_release(&b);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "a/b", "/a"};
    struct stoq_publish_report r;
    struct stoq_error err = {0};
    struct stoq_publish_ask ask = {.name = "x", .version = "1"};
    struct giver g = {.pieces = whole, .piece_count = 1, .last = STOQ_IO};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        ask.entry = names[i];
        assert_int_equal(publish_bytes(&g, ask, &r, &err), STOQ_RANGE); /* before a byte is asked */
        assert_int_equal(g.next, 0);
    }
    ask.entry = NULL;
    ask.in_place = true;
    assert_int_equal(publish_bytes(&g, ask, &r, &err), STOQ_RANGE);
    assert_non_null(strstr(err.text, "in place"));
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(the_id_is_that_of_a_file),
        SCRATCH(an_archive_may_break_off),
        SCRATCH(a_giver_that_fails_makes_no_package),
        SCRATCH(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
