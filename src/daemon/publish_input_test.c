/*
 * A publish of bytes that come without their size: the id is that of a publish of a file that holds them,
 * whatever they are and however they come.
 */
#include "daemon/packages_harness.h"

#define BYTES_MAX ((size_t)8 << 20)

/* Where bytes come from: pieces of these sizes, in turn; then the end, or a failure. */
struct giver {
    struct stoq_span rest;
    const size_t *pieces;
    size_t piece_count;
    size_t next;
    enum stoq_status last;
};

static enum stoq_status give(void *user, uint8_t *p, size_t n, size_t *got, struct stoq_error *why)
{
    struct giver *g = user;
    size_t piece = g->pieces[g->next++ % g->piece_count];
    n = n < piece ? n : piece;
    n = n < g->rest.n ? n : g->rest.n;
    if (n == 0) {
        *got = 0;
        return g->last == STOQ_OK ? STOQ_OK : stoq_fail(why, g->last, 0, "the giver is gone");
    }
    memcpy(p, g->rest.p, n);
    g->rest = stoq_span(g->rest.p + n, g->rest.n - n);
    *got = n;
    return STOQ_OK;
}

static struct stoq_publish_report publish_file(const char *name, struct stoq_span bytes,
                                               struct stoq_publish_ask ask)
{
    put_file(name, bytes);
    ask.path = at(name);
    return publish(&ask);
}

static enum stoq_status publish_bytes(struct giver *g, struct stoq_publish_ask ask,
                                      struct stoq_publish_report *r)
{
    const struct stoq_input input = {give, g, UINT64_MAX};
    ask.input = &input;
    ask.scratch_dir = scratch;
    return stoq_publish(store, &ask, r, &err);
}

/* The same bytes both ways. */
static void check_same(struct stoq_span bytes, struct stoq_publish_ask ask, const size_t *pieces,
                       size_t piece_count)
{
    struct giver g = {.rest = bytes, .pieces = pieces, .piece_count = piece_count};
    struct stoq_publish_report want =
        publish_file(ask.entry != NULL ? ask.entry : ask.name, bytes, ask);
    struct stoq_publish_report got;
    assert_int_equal(publish_bytes(&g, ask, &got), STOQ_OK);
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

static uint64_t packages(void)
{
    return records_of(STOQ_RECORD_PACKAGE) + records_of(STOQ_RECORD_MANIFEST);
}

static void a_giver_that_fails_makes_no_package(void **state)
{
    (void)state;
    struct stoq_buf b;
    struct stoq_publish_report r;
    const struct stoq_publish_ask ask = {.name = "x", .version = "1", .threads = 1};
    stoq_buf_init(&b, BYTES_MAX);
    add_random(&b, 3000000, 1);
    for (size_t n = 0; n <= b.n; n += 1000000) {
        struct giver g = {.rest = stoq_span(b.p, n), .pieces = odd, .piece_count = 6};
        g.last = STOQ_TRUNC;
        assert_int_equal(publish_bytes(&g, ask, &r), STOQ_TRUNC);
        assert_string_equal(err.text, "the giver is gone");
        assert_int_equal(packages(), 0);
    }
    /* What it brought is not stored twice. */
    struct giver g = {.rest = stoq_buf_span(&b), .pieces = whole, .piece_count = 1};
    assert_int_equal(publish_bytes(&g, ask, &r), STOQ_OK);
    assert_true(r.bytes_new < 1500000);
    stoq_buf_release(&b);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "a/b", "/a"};
    struct stoq_publish_report r;
    struct stoq_publish_ask ask = {.name = "x", .version = "1"};
    struct giver g = {.pieces = whole, .piece_count = 1, .last = STOQ_IO};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        ask.entry = names[i];
        assert_int_equal(publish_bytes(&g, ask, &r), STOQ_RANGE); /* before a byte is asked */
        assert_int_equal(g.next, 0);
    }
    ask.entry = NULL;
    ask.in_place = true;
    assert_int_equal(publish_bytes(&g, ask, &r), STOQ_RANGE);
    assert_non_null(strstr(err.text, "in place"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(the_id_is_that_of_a_file),
        WITH_STORE(an_archive_may_break_off),
        WITH_STORE(a_giver_that_fails_makes_no_package),
        WITH_STORE(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
