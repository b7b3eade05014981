#include "package/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/vectors.h"
#include "wire/cbor.h"

static struct stoq_entry file(const char *path, uint64_t size)
{
    return (struct stoq_entry){stoq_span_str(path), STOQ_ENTRY_FILE, size, {0}};
}

static struct stoq_entry dir(const char *path)
{
    return (struct stoq_entry){stoq_span_str(path), STOQ_ENTRY_DIRECTORY, 0, {0}};
}

static struct stoq_entry symlink_to(const char *path, const char *target)
{
    return (struct stoq_entry){stoq_span_str(path), STOQ_ENTRY_LINK, 0, stoq_span_str(target)};
}

/* The bytes a careless or hostile writer would make of an entry. */
static void put_raw(struct stoq_buf *out, const struct stoq_entry *e)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_array(&w, 3);
    stoq_cbor_put_bytes(&w, e->path);
    stoq_cbor_put_uint(&w, e->kind);
    if (e->kind == STOQ_ENTRY_LINK) {
        stoq_cbor_put_bytes(&w, e->target);
    } else {
        stoq_cbor_put_uint(&w, e->size);
    }
    assert_int_equal(stoq_cbor_wr_done(&w), STOQ_OK);
}

/* Read a table in pieces of step bytes; entries are counted; the status that ended it. */
static enum stoq_status read_table(struct stoq_span in, size_t step, uint64_t entries,
                                   uint64_t content, uint64_t *count)
{
    static struct stoq_table_reader r;
    stoq_table_reader_init(&r, in.n, entries, in.n + content);
    *count = 0;
    for (;;) {
        struct stoq_span piece = stoq_span(in.p, in.n < step ? in.n : step);
        size_t had = piece.n;
        struct stoq_entry e;
        enum stoq_status st = stoq_table_reader_next(&r, &piece, &e);
        in = stoq_span(in.p + (had - piece.n), in.n - (had - piece.n));
        if (st == STOQ_OK) {
            (*count)++;
        } else if (st != STOQ_TRUNC || in.n == 0) {
            return st;
        }
    }
}

/* Writer and reader must judge this list of entries alike: is its last entry refused? */
static void judge(const struct stoq_entry *e, size_t n, bool accepted)
{
    static struct stoq_table_writer w;
    struct stoq_buf written;
    struct stoq_buf raw;
    stoq_buf_init(&written, 1 << 24);
    stoq_buf_init(&raw, 1 << 24);
    stoq_table_writer_init(&w);
    uint64_t content = 0;
    for (size_t i = 0; i < n; i++) {
        size_t before = written.n;
        bool last = i + 1 == n;
        enum stoq_status want = last && !accepted ? STOQ_RANGE : STOQ_OK;
        assert_int_equal(stoq_table_writer_add(&w, &e[i], &written), want);
        assert_true(want == STOQ_OK || written.n == before);
        put_raw(&raw, &e[i]);
        content += e[i].size;
    }
    for (size_t step = 1; step <= raw.n + 1; step = step * 3 + 1) {
        uint64_t count;
        enum stoq_status st = read_table(stoq_buf_span(&raw), step, n, content, &count);
        assert_int_equal(st, accepted ? STOQ_NOTFOUND : STOQ_MALFORMED);
        assert_int_equal(count, accepted ? n : n - 1);
    }
    if (accepted) {
        assert_true(stoq_span_eq(stoq_buf_span(&written), stoq_buf_span(&raw)));
        assert_int_equal(w.table_bytes, raw.n);
        assert_int_equal(w.order.entries, n);
        assert_int_equal(w.order.bytes, content);
    }
    stoq_buf_release(&written);
    stoq_buf_release(&raw);
}

#define JUDGE(accepted, ...)                                                                       \
    do {                                                                                           \
        const struct stoq_entry judged[] = {__VA_ARGS__};                                          \
        judge(judged, STOQ_COUNT(judged), accepted);                                               \
    } while (0)

static void good_tables_pass(void **state)
{
    (void)state;
    JUDGE(true, file("a", 3));
    JUDGE(true, dir("a"), file("a/b", 0), symlink_to("c", "../../etc/passwd"));
    JUDGE(true, dir("a"), dir("a-b"), file("a-b/c", 1), file("a/x", 1), file("a0", 2));
    JUDGE(true, dir("d"), dir("d/e"), dir("d/e/f"), file("d/e/f/g", 1), file("d/h", 1));
    JUDGE(true, file("\x01\xff", 1), file("...", 1), file("..a", 1), file("a\nb", 1));
    JUDGE(true, symlink_to("l", "/"), file("l ", 5));
}

static void hostile_paths_are_refused(void **state)
{
    (void)state;
    JUDGE(false, file("", 1));
    JUDGE(false, file("/etc/passwd", 1));
    JUDGE(false, file("../x", 1));
    JUDGE(false, file("..", 1));
    JUDGE(false, file(".", 1));
    JUDGE(false, dir("a"), file("a/../b", 1));
    JUDGE(false, dir("a"), file("a/./b", 1));
    JUDGE(false, dir("a"), file("a//b", 1));
    JUDGE(false, dir("a"), dir("a/"));
    JUDGE(false, {stoq_span("a\0b", 3), STOQ_ENTRY_FILE, 1, {0}});
    JUDGE(false, symlink_to("a", ""));
    JUDGE(false, {stoq_span_str("a"), STOQ_ENTRY_LINK, 0, stoq_span("a\0b", 3)});
    JUDGE(false, {stoq_span_str("a"), (enum stoq_entry_kind)4, 0, {0}});
    JUDGE(false, {stoq_span_str("a"), STOQ_ENTRY_DIRECTORY, 1, {0}});
}

static void order_and_parents_are_held(void **state)
{
    (void)state;
    JUDGE(false, file("b", 1), file("a", 1));
    JUDGE(false, file("a", 1), file("a", 1));
    JUDGE(false, file("ab", 1), file("a", 1));
    JUDGE(false, file("a/b", 1));
    JUDGE(false, file("a", 1), file("a/b", 1));
    JUDGE(false, symlink_to("a", "b"), file("a/b", 1));
    JUDGE(false, dir("a"), file("a/b/c", 1));
    JUDGE(false, dir("a"), dir("a/b"), file("a/c/d", 1));
    JUDGE(false, dir("a"), dir("ab"), file("a/x", 1));
    JUDGE(false, dir("abc"), file("ab/x", 1));
    JUDGE(false, dir("a"), dir("a-b"), file("a/x", 1), file("a-b/c", 1));
    JUDGE(true, dir("a"), dir("ab"), file("ab/x", 1));
}

static void lengths_have_caps(void **state)
{
    (void)state;
    static char path[STOQ_TABLE_PATH_MAX + 2];
    memset(path, 'a', sizeof path - 1);
    struct stoq_entry list[64] = {{{0}, STOQ_ENTRY_FILE, 0, {0}}};
    /* 15 directories of 255 bytes, one of 254, then a file of one: 4096 in all. */
    size_t n = 0;
    for (size_t end = 255; end < STOQ_TABLE_PATH_MAX - 1; end += 256) {
        list[n++] = (struct stoq_entry){stoq_span(path, end), STOQ_ENTRY_DIRECTORY, 0, {0}};
        path[end] = '/';
    }
    list[n++] =
        (struct stoq_entry){stoq_span(path, STOQ_TABLE_PATH_MAX - 2), STOQ_ENTRY_DIRECTORY, 0, {0}};
    path[STOQ_TABLE_PATH_MAX - 2] = '/';
    list[n++] = (struct stoq_entry){stoq_span(path, STOQ_TABLE_PATH_MAX), STOQ_ENTRY_FILE, 0, {0}};
    judge(list, n, true);
    list[n - 1].path.n++;
    path[STOQ_TABLE_PATH_MAX] = 'a';
    judge(list, n, false);
    static char component[256];
    memset(component, 'c', sizeof component);
    JUDGE(true, {stoq_span(component, 255), STOQ_ENTRY_FILE, 1, {0}});
    JUDGE(false, {stoq_span(component, 256), STOQ_ENTRY_FILE, 1, {0}});
    static char target[STOQ_TABLE_TARGET_MAX + 1];
    memset(target, 't', sizeof target);
    JUDGE(true, {stoq_span_str("l"), STOQ_ENTRY_LINK, 0, stoq_span(target, 4095)});
    JUDGE(false, {stoq_span_str("l"), STOQ_ENTRY_LINK, 0, stoq_span(target, 4096)});
}

/* 255 directories, each a byte prefix of the next: all stay possible parents. */
static void nested_prefixes_stay_parents(void **state)
{
    (void)state;
    static char name[256];
    static char last[300];
    struct stoq_entry list[256];
    memset(name, 'p', sizeof name);
    for (size_t i = 0; i < 255; i++) {
        list[i] = (struct stoq_entry){stoq_span(name, i + 1), STOQ_ENTRY_DIRECTORY, 0, {0}};
    }
    memset(last, 'p', 255);
    memcpy(last + 255, "/x", 3);
    list[255] = file(last, 1);
    judge(list, 256, true);
}

static void promises_are_held(void **state)
{
    (void)state;
    struct stoq_buf raw;
    stoq_buf_init(&raw, 1000);
    const struct stoq_entry a = file("a", 5);
    const struct stoq_entry b = file("b", 7);
    put_raw(&raw, &a);
    put_raw(&raw, &b);
    uint64_t count;
    struct stoq_span all = stoq_buf_span(&raw);
    assert_int_equal(read_table(all, 3, 2, 12, &count), STOQ_NOTFOUND);
    assert_int_equal(read_table(all, 3, 3, 12, &count), STOQ_MALFORMED);
    assert_int_equal(read_table(all, 3, 1, 12, &count), STOQ_MALFORMED);
    assert_int_equal(count, 1);
    assert_int_equal(read_table(all, 3, 2, 13, &count), STOQ_MALFORMED);
    assert_int_equal(read_table(all, 3, 2, 11, &count), STOQ_MALFORMED);
    assert_int_equal(count, 1);
    for (size_t n = 1; n < all.n; n++) { /* the table ends inside: not "more please" */
        assert_int_equal(read_table(stoq_span(all.p, n), 4, 2, 12, &count), STOQ_MALFORMED);
    }
    assert_int_equal(read_table(stoq_span(NULL, 0), 1, 0, 0, &count), STOQ_NOTFOUND);
    assert_int_equal(read_table(stoq_span(NULL, 0), 1, 0, 1, &count), STOQ_MALFORMED);
    stoq_buf_release(&raw);
}

static void the_contents_are_left_alone(void **state)
{
    (void)state;
    static struct stoq_table_reader r;
    struct stoq_buf raw;
    stoq_buf_init(&raw, 1000);
    const struct stoq_entry a = file("a", 3);
    put_raw(&raw, &a);
    size_t table = raw.n;
    assert_int_equal(stoq_buf_add(&raw, stoq_span_str("xyz")), STOQ_OK);
    stoq_table_reader_init(&r, table, 1, table + 3);
    struct stoq_span in = stoq_buf_span(&raw);
    struct stoq_entry e;
    assert_int_equal(stoq_table_reader_next(&r, &in, &e), STOQ_OK);
    assert_int_equal(stoq_table_reader_next(&r, &in, &e), STOQ_NOTFOUND);
    assert_true(stoq_span_eq(in, stoq_span_str("xyz")));
    /* A reader that is promised more table than there is waits, and takes nothing twice. */
    stoq_table_reader_init(&r, table + 9, 2, table + 12);
    in = stoq_span(raw.p, 2);
    assert_int_equal(stoq_table_reader_next(&r, &in, &e), STOQ_TRUNC);
    assert_int_equal(in.n, 0);
    in = stoq_span(raw.p + 2, table - 2);
    assert_int_equal(stoq_table_reader_next(&r, &in, &e), STOQ_OK);
    assert_true(stoq_span_eq(e.path, stoq_span_str("a")));
    assert_int_equal(e.size, 3);
    assert_int_equal(stoq_table_reader_next(&r, &in, &e), STOQ_TRUNC);
    stoq_buf_release(&raw);
}

/* Bytes that are no table at all, each refused before much is read. */
static void other_forms_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "80",       /* [] */
        "82416100", /* ["a", 0] */
        "8441610000"
        "00",         /* four items */
        "8361610000", /* text path */
        "8341610300", /* link to a number */
        "83416100"
        "4101",         /* size as bytes */
        "9f41610000ff", /* indefinite array */
        "834161180000", /* kind 0 in two bytes */
        "8341610004"
        "ff",           /* rubbish behind */
        "835affffffff", /* a path of 4 GiB */
        "83416103"
        "5affffffff",
    };
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        uint8_t bytes[32];
        size_t n = strlen(bad[i]) / 2;
        for (size_t k = 0; k < n; k++) {
            char two[3] = {bad[i][2 * k], bad[i][2 * k + 1], 0};
            assert_true(stoq_hex_get(bytes + k, 1, two));
        }
        for (size_t step = 1; step <= n; step++) {
            uint64_t count;
            assert_int_equal(read_table(stoq_span(bytes, n), step, 1, 4, &count), STOQ_MALFORMED);
        }
    }
    static struct stoq_table_reader r;
    struct stoq_entry e;
    struct stoq_span huge = stoq_span("\x83\x5a\xff\xff\xff\xff", 6);
    stoq_table_reader_init(&r, 1 << 30, 1, 1 << 30);
    assert_int_equal(stoq_table_reader_next(&r, &huge, &e), STOQ_MALFORMED);
}

static void a_full_buffer_changes_nothing(void **state)
{
    (void)state;
    static struct stoq_table_writer w;
    struct stoq_buf b;
    stoq_buf_init(&b, 20);
    stoq_table_writer_init(&w);
    const struct stoq_entry a = file("a", 1);
    assert_int_equal(stoq_table_writer_add(&w, &a, &b), STOQ_FULL);
    assert_int_equal(b.n, 0);
    assert_int_equal(w.order.entries, 0);
    b.max = 100;
    assert_int_equal(stoq_table_writer_add(&w, &a, &b), STOQ_OK);
    stoq_buf_release(&b);
}

struct vector_entries {
    struct stoq_entry list[32];
    size_t n;
    uint8_t bytes[1 << 17]; /* their paths and targets */
    size_t used;
};

static void vector_entry(struct vectors *v, struct vector_entries *e)
{
    assert_true(e->n < STOQ_COUNT(e->list));
    struct stoq_entry *x = &e->list[e->n++];
    struct stoq_span path = vectors_bytes(v, 2);
    struct stoq_span target = vectors_bytes(v, 5);
    assert_true(path.n + target.n <= sizeof e->bytes - e->used);
    uint8_t *kept = e->bytes + e->used;
    e->used += path.n + target.n;
    memcpy(kept, path.p, path.n);
    memcpy(kept + path.n, target.p, target.n);
    x->path = stoq_span(kept, path.n);
    x->kind = (enum stoq_entry_kind)vectors_u64(v, 3);
    x->size = vectors_u64(v, 4);
    x->target = stoq_span(kept + path.n, target.n);
}

/* The table of these entries: written, it is these bytes; read, it gives these entries. */
static void vector_table(struct vectors *v, struct vector_entries *e)
{
    static struct stoq_table_writer w;
    static struct stoq_table_reader r;
    uint64_t content = vectors_u64(v, 3);
    struct stoq_span table = vectors_bytes(v, 4);
    struct stoq_buf out;
    stoq_buf_init(&out, 1 << 20);
    stoq_table_writer_init(&w);
    stoq_table_reader_init(&r, table.n, e->n, table.n + content);
    struct stoq_span in = table;
    for (size_t i = 0; i < e->n; i++) {
        struct stoq_entry got;
        assert_int_equal(stoq_table_writer_add(&w, &e->list[i], &out), STOQ_OK);
        assert_int_equal(stoq_table_reader_next(&r, &in, &got), STOQ_OK);
        assert_true(stoq_span_eq(got.path, e->list[i].path));
        assert_int_equal(got.kind, e->list[i].kind);
        assert_int_equal(got.size, e->list[i].size);
        assert_true(stoq_span_eq(got.target, e->list[i].target));
    }
    struct stoq_entry none;
    assert_int_equal(stoq_table_reader_next(&r, &in, &none), STOQ_NOTFOUND);
    assert_true(stoq_span_eq(stoq_buf_span(&out), table));
    assert_int_equal(vectors_u64(v, 2), e->n);
    e->n = 0;
    e->used = 0;
    stoq_buf_release(&out);
}

/* A reader that is promised much more gets these bytes; what it says of them. */
static enum stoq_status vector_start(struct stoq_span table, size_t step)
{
    static struct stoq_table_reader r;
    stoq_table_reader_init(&r, table.n + 1000, 1 << 24, (uint64_t)1 << 48);
    for (;;) {
        struct stoq_span piece = stoq_span(table.p, table.n < step ? table.n : step);
        size_t had = piece.n;
        struct stoq_entry e;
        enum stoq_status st = stoq_table_reader_next(&r, &piece, &e);
        table = stoq_span(table.p + (had - piece.n), table.n - (had - piece.n));
        if ((st != STOQ_OK && st != STOQ_TRUNC) || (st == STOQ_TRUNC && table.n == 0)) {
            return st;
        }
    }
}

static void the_vectors_hold(void **state)
{
    (void)state;
    struct vectors v;
    static struct vector_entries e;
    size_t tables = 0;
    size_t refused = 0;
    vectors_open(&v, "tables");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "entry")) {
            vector_entry(&v, &e);
        } else if (vectors_is(&v, "table")) {
            vector_table(&v, &e);
            tables++;
        } else if (vectors_is(&v, "refused")) {
            struct stoq_span table = vectors_bytes(&v, 2);
            assert_int_equal(vector_start(table, SIZE_MAX), STOQ_MALFORMED);
            assert_int_equal(vector_start(table, 1), STOQ_MALFORMED);
            refused++;
        } else {
            assert_true(vectors_is(&v, "cut"));
            assert_int_equal(vector_start(vectors_bytes(&v, 1), 2), STOQ_TRUNC);
        }
    }
    vectors_close(&v);
    assert_true(tables >= 5 && refused >= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_tables_pass),
        cmocka_unit_test(hostile_paths_are_refused),
        cmocka_unit_test(order_and_parents_are_held),
        cmocka_unit_test(lengths_have_caps),
        cmocka_unit_test(nested_prefixes_stay_parents),
        cmocka_unit_test(promises_are_held),
        cmocka_unit_test(the_contents_are_left_alone),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(a_full_buffer_changes_nothing),
        cmocka_unit_test(the_vectors_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
