#include "os/tree_ahead.h"

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
#include "os/file.h"

static char scratch[64];
static int scratch_fd;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/stoq-ahead-XXXXXX");
    if (mkdtemp(scratch) == NULL) {
        return -1;
    }
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY);
    return scratch_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(scratch_fd);
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

/* A file whose bytes follow from its size. */
static void put(const char *name, size_t n)
{
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    memset(p, (int)(n * 7 + 1), n + 1);
    int fd = openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, stoq_span(p, n)), STOQ_OK);
    assert_int_equal(close(fd), 0);
    free(p);
}

/* Files of all sizes up to beyond what counts as small, in two directories, and links between. */
static void make_tree(void)
{
    struct stoq_prng r = stoq_prng(3);
    char name[64];
    assert_int_equal(mkdirat(scratch_fd, "d", 0755), 0);
    for (int i = 0; i < 700; i++) {
        size_t n = (size_t)stoq_prng_below(&r, i % 20 == 0 ? 80000 : 3000);
        n = i % 31 == 0 ? 0 : i % 37 == 0 ? STOQ_AHEAD_FILE_MAX : n;
        n = i % 41 == 0 ? STOQ_AHEAD_FILE_MAX + 1 : n;
        (void)snprintf(name, sizeof name, "%s%03d", i % 3 == 0 ? "d/" : "", i);
        put(name, n);
    }
    assert_int_equal(symlinkat("d", scratch_fd, "link"), 0);
}

static struct stoq_tree *listed(void)
{
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, scratch, NULL, NULL, NULL), STOQ_OK);
    return t;
}

static bool is_small(const struct stoq_tree *t, size_t i)
{
    struct stoq_tree_entry e = stoq_tree_at(t, i);
    return (e.kind == STOQ_TREE_FILE || e.kind == STOQ_TREE_EXECUTABLE) &&
           e.size <= STOQ_AHEAD_FILE_MAX;
}

/* Take all small files from the first on; the index of the one that fails, or the count. */
static size_t take_all(struct stoq_ahead *a, const struct stoq_tree *t, size_t *taken,
                       struct stoq_error *err)
{
    *taken = 0;
    for (size_t i = 0; i < stoq_tree_count(t); i++) {
        struct stoq_span s;
        if (!is_small(t, i)) {
            continue;
        }
        if (stoq_ahead_take(a, i, &s, err) != STOQ_OK) {
            return i;
        }
        ++*taken;
        assert_int_equal(s.n, stoq_tree_at(t, i).size);
        for (size_t k = 0; k < s.n; k++) {
            assert_int_equal(s.p[k], (uint8_t)(s.n * 7 + 1));
        }
    }
    return stoq_tree_count(t);
}

static void every_small_file_comes_in_order(void **state)
{
    (void)state;
    make_tree();
    struct stoq_tree *t = listed();
    for (int round = 0; round < 20; round++) {
        struct stoq_ahead *a;
        size_t taken;
        assert_int_equal(stoq_ahead_new(&a, t, NULL), STOQ_OK);
        assert_int_equal(take_all(a, t, &taken, NULL), stoq_tree_count(t));
        assert_true(taken > 600);
        stoq_ahead_free(a);
    }
    stoq_tree_free(t);
}

static void it_can_be_left_at_any_time(void **state)
{
    (void)state;
    make_tree();
    struct stoq_tree *t = listed();
    for (size_t n = 0; n < 200; n += 7) {
        struct stoq_ahead *a;
        assert_int_equal(stoq_ahead_new(&a, t, NULL), STOQ_OK);
        size_t taken = 0;
        for (size_t i = 0; taken < n; i++) {
            struct stoq_span s;
            if (is_small(t, i)) {
                assert_int_equal(stoq_ahead_take(a, i, &s, NULL), STOQ_OK);
                taken++;
            }
        }
        stoq_ahead_free(a);
    }
    stoq_ahead_free(NULL);
    stoq_tree_free(t);
}

/* What was listed otherwise than it is now ends it at that file, not before. */
static void a_changed_file_is_told(void **state)
{
    (void)state;
    make_tree();
    struct stoq_tree *t = listed();
    struct stoq_ahead *a;
    struct stoq_error err;
    size_t taken;
    put("502", 1234567 % 3001);
    assert_int_equal(stoq_ahead_new(&a, t, NULL), STOQ_OK);
    size_t i = take_all(a, t, &taken, &err);
    assert_true(stoq_span_eq(stoq_tree_at(t, i).path, stoq_span_str("502")));
    assert_int_equal(err.status, STOQ_BUSY);
    assert_non_null(strstr(err.text, "502: changed while it was read"));
    stoq_ahead_free(a);
    assert_int_equal(unlinkat(scratch_fd, "401", 0), 0);
    assert_int_equal(stoq_ahead_new(&a, t, NULL), STOQ_OK);
    i = take_all(a, t, &taken, &err);
    assert_true(stoq_span_eq(stoq_tree_at(t, i).path, stoq_span_str("401")));
    assert_int_equal(err.status, STOQ_BUSY);
    stoq_ahead_free(a);
    stoq_tree_free(t);
}

static void a_tree_without_small_files(void **state)
{
    (void)state;
    put("large", STOQ_AHEAD_FILE_MAX + 1);
    struct stoq_tree *t = listed();
    struct stoq_ahead *a;
    size_t taken;
    assert_int_equal(stoq_ahead_new(&a, t, NULL), STOQ_OK);
    assert_int_equal(take_all(a, t, &taken, NULL), 1);
    assert_int_equal(taken, 0);
    stoq_ahead_free(a);
    stoq_tree_free(t);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(every_small_file_comes_in_order),
        SCRATCH(it_can_be_left_at_any_time),
        SCRATCH(a_changed_file_is_told),
        SCRATCH(a_tree_without_small_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
