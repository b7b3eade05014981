#include "os/tree_read.h"
#include "os/tree_write.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/beneath.h"
#include "os/os_testing.h"
#include "os/show.h"

static int scratch_fd;

static int setup(void **state)
{
    (void)state;
    if (!scratch_begin()) {
        return -1;
    }
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY);
    return scratch_fd < 0 ? -1 : mkdirat(scratch_fd, "in", 0755);
}

static int teardown(void **state)
{
    (void)state;
    (void)close(scratch_fd);
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

static void put(const char *name, const char *text)
{
    int fd = openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, stoq_span_str(text)), STOQ_OK);
    assert_int_equal(close(fd), 0);
}

static bool is_there(const char *name)
{
    struct stat st;
    return fstatat(scratch_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void a_tree_is_listed_in_order_of_bytes(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(scratch_fd, "in/a", 0755), 0);
    assert_int_equal(mkdirat(scratch_fd, "in/a-b", 0700), 0);
    put("in/a/x", "123");
    put("in/a-b/\xff\n", "4");
    put("in/.hidden", "");
    put("in/run", "#!");
    assert_int_equal(fchmodat(scratch_fd, "in/run", 0700, 0), 0);
    put("in/other_x", "");
    assert_int_equal(fchmodat(scratch_fd, "in/other_x", 0655, 0), 0);
    assert_int_equal(symlinkat("../../nowhere", scratch_fd, "in/link"), 0);
    static const struct stoq_tree_entry want[] = {
        {{(const uint8_t *)".hidden", 7}, STOQ_TREE_FILE, 0, {0}},
        {{(const uint8_t *)"a", 1}, STOQ_TREE_DIRECTORY, 0, {0}},
        {{(const uint8_t *)"a-b", 3}, STOQ_TREE_DIRECTORY, 0, {0}},
        {{(const uint8_t *)"a-b/\xff\n", 6}, STOQ_TREE_FILE, 1, {0}},
        {{(const uint8_t *)"a/x", 3}, STOQ_TREE_FILE, 3, {0}},
        {{(const uint8_t *)"link", 4}, STOQ_TREE_LINK, 0, {(const uint8_t *)"../../nowhere", 13}},
        {{(const uint8_t *)"other_x", 7}, STOQ_TREE_FILE, 0, {0}},
        {{(const uint8_t *)"run", 3}, STOQ_TREE_EXECUTABLE, 2, {0}},
    };
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, at("in"), NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_count(t), STOQ_COUNT(want));
    for (size_t i = 0; i < STOQ_COUNT(want); i++) {
        struct stoq_tree_entry got = stoq_tree_at(t, i);
        assert_true(stoq_span_eq(got.path, want[i].path));
        assert_int_equal(got.kind, want[i].kind);
        assert_int_equal(got.size, want[i].size);
        assert_true(stoq_span_eq(got.target, want[i].target));
    }
    char bytes[3];
    int fd;
    assert_int_equal(stoq_tree_open(t, 4, &fd, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_read(t, 4, fd, bytes, 3, 0, NULL), STOQ_OK);
    assert_memory_equal(bytes, "123", 3);
    assert_int_equal(stoq_tree_close(t, 4, fd, NULL), STOQ_OK);
    stoq_tree_free(t);
}

static void one_file_is_a_tree(void **state)
{
    (void)state;
    put("in/file", "abc");
    assert_int_equal(symlinkat("file", scratch_fd, "in/alias"), 0);
    static const char *const names[] = {"file", "alias"};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/in/%s", scratch, names[i]);
        struct stoq_tree *t;
        assert_int_equal(stoq_tree_list(&t, path, NULL, NULL, NULL), STOQ_OK);
        assert_int_equal(stoq_tree_count(t), 1);
        struct stoq_tree_entry e = stoq_tree_at(t, 0);
        assert_true(stoq_span_eq(e.path, stoq_span_str(names[i])));
        assert_int_equal(e.size, 3);
        char bytes[3];
        int fd;
        assert_int_equal(stoq_tree_open(t, 0, &fd, NULL), STOQ_OK);
        assert_int_equal(stoq_tree_read(t, 0, fd, bytes, 3, 0, NULL), STOQ_OK);
        assert_int_equal(stoq_tree_close(t, 0, fd, NULL), STOQ_OK);
        stoq_tree_free(t);
    }
}

static void what_is_no_file_is_named(void **state)
{
    (void)state;
    struct stoq_tree *t;
    struct stoq_error err;
    assert_int_equal(stoq_tree_list(&t, at("missing"), NULL, NULL, &err), STOQ_NOTFOUND);
    assert_non_null(strstr(err.text, "missing"));
    assert_int_equal(mkdirat(scratch_fd, "in/d", 0755), 0);
    assert_int_equal(mkfifoat(scratch_fd, "in/d/pipe", 0644), 0);
    assert_int_equal(stoq_tree_list(&t, at("in"), NULL, NULL, &err), STOQ_IO);
    assert_non_null(strstr(err.text, "in/d/pipe"));
    assert_int_equal(stoq_tree_list(&t, at("in/d/pipe"), NULL, NULL, &err), STOQ_RANGE);
    assert_int_equal(unlinkat(scratch_fd, "in/d/pipe", 0), 0);
    if (geteuid() != 0) {
        assert_int_equal(fchmodat(scratch_fd, "in/d", 0, 0), 0);
        assert_int_equal(stoq_tree_list(&t, at("in"), NULL, NULL, &err), STOQ_IO);
        assert_non_null(strstr(err.text, "in/d"));
        assert_int_equal(fchmodat(scratch_fd, "in/d", 0755, 0), 0);
    }
}

static void a_changed_file_is_noticed(void **state)
{
    (void)state;
    for (int what = 0; what < 6; what++) {
        put("in/f", "12345678");
        struct stoq_tree *t;
        struct stoq_error err = {0};
        assert_int_equal(stoq_tree_list(&t, at("in"), NULL, NULL, NULL), STOQ_OK);
        int fd = -1;
        char bytes[8];
        enum stoq_status st = STOQ_OK;
        if (what == 0) { /* gone before it is opened */
            assert_int_equal(unlinkat(scratch_fd, "in/f", 0), 0);
            st = stoq_tree_open(t, 0, &fd, &err);
        } else if (what == 1) { /* now a link elsewhere */
            assert_int_equal(unlinkat(scratch_fd, "in/f", 0), 0);
            assert_int_equal(symlinkat("/etc/passwd", scratch_fd, "in/f"), 0);
            st = stoq_tree_open(t, 0, &fd, &err);
            assert_int_equal(unlinkat(scratch_fd, "in/f", 0), 0);
        } else {
            assert_int_equal(stoq_tree_open(t, 0, &fd, &err), STOQ_OK);
            if (what == 2) { /* shorter */
                put("in/f", "123");
                st = stoq_tree_read(t, 0, fd, bytes, 8, 0, &err);
                assert_int_equal(stoq_tree_close(t, 0, fd, NULL), STOQ_BUSY);
            } else if (what == 3) { /* longer */
                put("in/f", "123456789");
                assert_int_equal(stoq_tree_read(t, 0, fd, bytes, 8, 0, &err), STOQ_OK);
                st = stoq_tree_close(t, 0, fd, &err);
            } else if (what == 4) { /* other bytes, the same size */
                const struct timespec times[2] = {{0, UTIME_OMIT}, {1000, 7}};
                assert_int_equal(utimensat(scratch_fd, "in/f", times, 0), 0);
                st = stoq_tree_close(t, 0, fd, &err);
            } else { /* nothing: must pass */
                assert_int_equal(stoq_tree_close(t, 0, fd, &err), STOQ_OK);
            }
        }
        assert_int_equal(st, what == 5 ? STOQ_OK : STOQ_BUSY);
        assert_true(what == 5 || strstr(err.text, "in/f: changed") != NULL);
        stoq_tree_free(t);
    }
}

static void a_directory_swapped_for_a_link_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(scratch_fd, "in/d", 0755), 0);
    put("in/d/f", "inside");
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, at("in"), NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(mkdirat(scratch_fd, "secret", 0755), 0);
    put("secret/f", "outside");
    assert_int_equal(renameat(scratch_fd, "in/d", scratch_fd, "moved"), 0);
    assert_int_equal(symlinkat("../secret", scratch_fd, "in/d"), 0);
    int fd;
    assert_int_equal(stoq_tree_open(t, 1, &fd, NULL), STOQ_BUSY);
    stoq_tree_free(t);
}

static bool always(void *user)
{
    ++*(int *)user;
    return true;
}

static void a_listing_can_be_stopped(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "in/%d", i);
        put(name, "");
    }
    int asked = 0;
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, at("in"), always, &asked, NULL), STOQ_CANCELLED);
    assert_int_equal(asked, 1);
}

/* 200 levels: no recursion, no descriptor per level. */
static void deep_trees_are_listed_and_removed(void **state)
{
    (void)state;
    int dir = openat(scratch_fd, "in", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(mkdirat(dir, "deeper", 0755), 0);
        int next = openat(dir, "deeper", O_RDONLY | O_DIRECTORY);
        assert_int_equal(symlinkat("/", dir, "root"), 0);
        (void)close(dir);
        dir = next;
    }
    (void)close(dir);
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, at("in"), NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_count(t), 400);
    stoq_tree_free(t);
    assert_int_equal(stoq_tree_remove(scratch_fd, "in", NULL), STOQ_OK);
    assert_false(is_there("in"));
}

static void removal_follows_no_link(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(scratch_fd, "kept", 0755), 0);
    put("kept/f", "x");
    assert_int_equal(symlinkat("../kept", scratch_fd, "in/l"), 0);
    assert_int_equal(symlinkat("kept", scratch_fd, "alias"), 0);
    assert_int_equal(stoq_tree_remove(scratch_fd, "in", NULL), STOQ_OK);
    assert_int_not_equal(stoq_tree_remove(scratch_fd, "alias", NULL), STOQ_OK);
    assert_true(is_there("kept/f"));
}

static struct stoq_span span(const char *s)
{
    return stoq_span_str(s);
}

static void a_tree_appears_whole(void **state)
{
    (void)state;
    mode_t old = umask(0077);
    struct stoq_tree_writer *w;
    assert_int_equal(stoq_tree_writer_new(&w, at("out"), NULL), STOQ_OK);
    int fd;
    assert_int_equal(stoq_tree_writer_directory(w, span("d"), NULL), STOQ_OK);
    assert_int_equal(stoq_tree_writer_directory(w, span("d/e"), NULL), STOQ_OK);
    assert_int_equal(stoq_tree_writer_file(w, span("d/e/f"), false, &fd, NULL), STOQ_OK);
    assert_int_equal(stoq_file_write_all(fd, span("text")), STOQ_OK);
    (void)close(fd);
    assert_int_equal(stoq_tree_writer_file(w, span("x"), true, &fd, NULL), STOQ_OK);
    (void)close(fd);
    assert_int_equal(stoq_tree_writer_link(w, span("l"), span("/etc/passwd"), NULL), STOQ_OK);
    assert_false(is_there("out"));
    assert_int_equal(stoq_tree_writer_commit(w, true, NULL), STOQ_OK);
    stoq_tree_writer_free(w);
    (void)umask(old);
    static const struct {
        const char *path;
        mode_t mode;
    } want[] = {{"out", S_IFDIR | 0755},     {"out/d", S_IFDIR | 0755},
                {"out/d/e", S_IFDIR | 0755}, {"out/d/e/f", S_IFREG | 0644},
                {"out/x", S_IFREG | 0755},   {"out/l", S_IFLNK | 0777}};
    for (size_t i = 0; i < STOQ_COUNT(want); i++) {
        struct stat st;
        assert_int_equal(fstatat(scratch_fd, want[i].path, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode, want[i].mode);
    }
    /* Only in and out: no temporary name is left. */
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, scratch, NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_count(t), 7);
    stoq_tree_free(t);
}

static void an_output_that_exists_is_refused(void **state)
{
    (void)state;
    struct stoq_tree_writer *w;
    assert_int_equal(symlinkat("nowhere", scratch_fd, "dangling"), 0);
    put("file", "x");
    static const char *const names[] = {"in", "in/", "dangling", "file", ".", "in/.."};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        assert_int_equal(stoq_tree_writer_new(&w, at(names[i]), NULL), STOQ_EXISTS);
    }
    assert_int_equal(stoq_tree_writer_new(&w, "/", NULL), STOQ_EXISTS);
    assert_int_equal(stoq_tree_writer_new(&w, "", NULL), STOQ_RANGE);
    assert_int_equal(stoq_tree_writer_new(&w, at("no/such"), NULL), STOQ_NOTFOUND);
    /* It comes into being meanwhile. */
    assert_int_equal(stoq_tree_writer_new(&w, at("late"), NULL), STOQ_OK);
    assert_int_equal(mkdirat(scratch_fd, "late", 0700), 0);
    assert_int_equal(stoq_tree_writer_commit(w, true, NULL), STOQ_EXISTS);
    stoq_tree_writer_free(w);
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, scratch, NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_count(t), 4); /* dangling, file, in, late */
    stoq_tree_free(t);
}

/* Whatever paths say: nothing is made outside, and a given-up tree leaves nothing. */
static void hostile_paths_stay_inside(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(scratch_fd, "victim", 0755), 0);
    struct stoq_tree_writer *w;
    assert_int_equal(stoq_tree_writer_new(&w, at("out"), NULL), STOQ_OK);
    assert_int_equal(stoq_tree_writer_directory(w, span("d"), NULL), STOQ_OK);
    assert_int_equal(stoq_tree_writer_link(w, span("up"), span("../victim"), NULL), STOQ_OK);
    assert_int_equal(stoq_tree_writer_link(w, span("d/abs"), span(at("victim")), NULL), STOQ_OK);
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/victim/x", scratch);
    const char *const hostile[] = {"../victim/x", "..",    ".",      "",     "up/x", "d/abs/x",
                                   "d/../../x",   "/x",    absolute, "d//x", "d/",   "up",
                                   "missing/x",   "d/./x", "d/..",   "d"};
    for (size_t i = 0; i < STOQ_COUNT(hostile); i++) {
        int fd;
        struct stoq_span path = span(hostile[i]);
        assert_int_equal(stoq_tree_writer_file(w, path, false, &fd, NULL), STOQ_MALFORMED);
        assert_int_equal(stoq_tree_writer_directory(w, path, NULL), STOQ_MALFORMED);
        assert_int_equal(stoq_tree_writer_link(w, path, span("t"), NULL), STOQ_MALFORMED);
    }
    stoq_tree_writer_free(w);
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, scratch, NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_count(t), 2); /* in, victim: both empty */
    stoq_tree_free(t);
}

static void paths_are_shown_on_one_line(void **state)
{
    (void)state;
    char out[STOQ_SHOW_BYTES];
    assert_string_equal(stoq_show_path(out, span("a/\xc3\xbc")), "a/\xc3\xbc");
    assert_string_equal(stoq_show_path(out, span("a\nb\xff\xc2\x85")), "a\\x0ab\\xff\\xc2\\x85");
    assert_string_equal(stoq_show_path(out, span("")), "");
    char longest[5000];
    for (int c = 1; c < 256; c++) {
        memset(longest, c, sizeof longest);
        memcpy(longest + sizeof longest - 5, "/name", 5);
        stoq_show_path(out, stoq_span(longest, sizeof longest));
        assert_true(strlen(out) < STOQ_SHOW_BYTES && strlen(out) > 100);
        assert_non_null(strstr(out, "..."));
        assert_string_equal(out + strlen(out) - 5, "/name");
    }
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(a_tree_is_listed_in_order_of_bytes),
        SCRATCH(one_file_is_a_tree),
        SCRATCH(what_is_no_file_is_named),
        SCRATCH(a_changed_file_is_noticed),
        SCRATCH(a_directory_swapped_for_a_link_is_not_followed),
        SCRATCH(a_listing_can_be_stopped),
        SCRATCH(deep_trees_are_listed_and_removed),
        SCRATCH(removal_follows_no_link),
        SCRATCH(a_tree_appears_whole),
        SCRATCH(an_output_that_exists_is_refused),
        SCRATCH(hostile_paths_stay_inside),
        cmocka_unit_test(paths_are_shown_on_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
