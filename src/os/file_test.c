#include "os/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/os_testing.h"
#include "os/outfile.h"
#include "tests/scratch.h"

static int setup(void **state)
{
    (void)state;
    return scratch_begin() ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return scratch_remove(scratch) ? 0 : -1;
}

static void replace_is_whole_and_private(void **state)
{
    (void)state;
    struct stoq_buf b;
    stoq_buf_init(&b, 100);
    assert_int_equal(stoq_file_read(at("a"), 10, &b, NULL), STOQ_NOTFOUND);
    mode_t old = umask(0);
    assert_int_equal(stoq_file_replace(at("a"), stoq_span_str("one"), 0600, NULL), STOQ_OK);
    (void)umask(0777);
    assert_int_equal(stoq_file_replace(at("a"), stoq_span_str("second"), 0600, NULL), STOQ_OK);
    (void)umask(old);
    struct stat sb;
    assert_int_equal(stat(at("a"), &sb), 0);
    assert_int_equal(sb.st_mode & 07777, 0600);
    assert_int_equal(stoq_file_read(at("a"), 6, &b, NULL), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&b), stoq_span_str("second")));
    assert_int_equal(stoq_file_read(at("a"), 5, &b, NULL), STOQ_FULL);
    assert_int_equal(access(at("a.tmp"), F_OK), -1);
    stoq_buf_release(&b);
}

/* One is no reason to wait for ever; what is written to one is read to its end. */
static void pipes_are_not_waited_for(void **state)
{
    (void)state;
    struct stoq_buf b;
    struct stoq_error err;
    int ends[2];
    char path[32];
    stoq_buf_init(&b, 100);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    (void)alarm(60);
    assert_int_equal(stoq_file_read(at("pipe"), 10, &b, &err), STOQ_IO);
    (void)alarm(0);
    assert_non_null(strstr(err.text, "pipe is a pipe to which nobody writes"));
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "text", 4), 4);
    (void)close(ends[1]);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    assert_int_equal(stoq_file_read(path, 10, &b, NULL), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&b), stoq_span_str("text")));
    (void)close(ends[0]);
    stoq_buf_release(&b);
}

static void replace_keeps_the_old_on_failure(void **state)
{
    (void)state;
    struct stoq_error err;
    assert_int_equal(mkdir(at("dir"), 0700), 0);
    assert_int_equal(stoq_file_replace(at("dir"), stoq_span_str("x"), 0600, &err), STOQ_IO);
    assert_int_equal(access(at("dir.tmp"), F_OK), -1);
    assert_int_equal(stoq_file_replace(at("no/such"), stoq_span_str("x"), 0600, &err), STOQ_IO);
}

static void directories_are_made_once(void **state)
{
    (void)state;
    assert_int_equal(stoq_file_mkdir_p(at("x/y//z/"), 0700, NULL), STOQ_OK);
    assert_int_equal(stoq_file_mkdir_p(at("x/y/z"), 0700, NULL), STOQ_OK);
    assert_int_equal(stoq_file_replace(at("x/f"), stoq_span_str(""), 0644, NULL), STOQ_OK);
    struct stoq_error err;
    assert_int_equal(stoq_file_mkdir_p(at("x/f/g"), 0700, &err), STOQ_IO);
    assert_non_null(strstr(err.text, "x/f"));
}

static void lock_names_its_holder(void **state)
{
    (void)state;
    int fd;
    pid_t holder;
    assert_int_equal(stoq_file_lock(at("lock"), &fd, &holder, NULL), STOQ_OK);
    pid_t child = fork();
    if (child == 0) {
        int fd2;
        enum stoq_status st = stoq_file_lock(at("lock"), &fd2, &holder, NULL);
        _exit(st == STOQ_BUSY && holder == getppid() ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    (void)close(fd);
    assert_int_equal(stoq_file_lock(at("lock"), &fd, &holder, NULL), STOQ_OK);
    (void)close(fd);
}

static void reads_say_where_the_file_ends(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    assert_non_null(f);
    int fd = fileno(f);
    assert_int_equal(stoq_file_pwrite_all(fd, stoq_span_str("0123456789"), 2), STOQ_OK);
    char got[12];
    size_t n;
    assert_int_equal(stoq_file_pread_all(fd, got, 12, 0), STOQ_OK);
    assert_memory_equal(got + 2, "0123456789", 10);
    assert_int_equal(stoq_file_pread_all(fd, got, 12, 1), STOQ_TRUNC);
    assert_int_equal(stoq_file_pread_some(fd, got, 12, 5, &n), STOQ_OK);
    assert_int_equal(n, 7);
    (void)fclose(f);
    int full = open("/dev/full", O_WRONLY);
    assert_int_equal(stoq_file_write_all(full, stoq_span_str("x")), STOQ_FULL);
    (void)close(full);
}

static void an_output_appears_whole_or_not_at_all(void **state)
{
    (void)state;
    struct stoq_outfile *f;
    struct stoq_error err;
    struct stoq_buf b;
    stoq_buf_init(&b, 100);
    assert_int_equal(mkdir(at("out"), 0700), 0);
    assert_int_equal(stoq_outfile_new(&f, at("out/file"), &err), STOQ_OK);
    assert_int_equal(stoq_outfile_write(f, stoq_span_str("hello "), NULL), STOQ_OK);
    stoq_outfile_free(f);
    assert_int_equal(rmdir(at("out")), 0); /* nothing is left behind */
    assert_int_equal(mkdir(at("out"), 0700), 0);
    assert_int_equal(stoq_outfile_new(&f, at("out/file"), &err), STOQ_OK);
    assert_int_equal(stoq_outfile_write(f, stoq_span_str("hello "), NULL), STOQ_OK);
    assert_int_equal(stoq_outfile_write(f, stoq_span_str("you"), NULL), STOQ_OK);
    assert_int_equal(access(at("out/file"), F_OK), -1);
    assert_int_equal(stoq_outfile_commit(f, NULL), STOQ_OK);
    stoq_outfile_free(f);
    assert_int_equal(stoq_file_read(at("out/file"), 100, &b, NULL), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&b), stoq_span_str("hello you")));
    stoq_buf_release(&b);
    assert_int_equal(stoq_outfile_new(&f, at("out/file"), &err), STOQ_EXISTS);
    assert_string_equal(err.code, "OutputExists");
    assert_int_equal(stoq_outfile_new(&f, at("none/file"), &err), STOQ_NOTFOUND);
    assert_int_equal(stoq_outfile_new(&f, at("out/"), &err), STOQ_RANGE);
}

/* What came under the name after the beginning stays. */
static void an_output_replaces_nothing(void **state)
{
    (void)state;
    struct stoq_outfile *f;
    struct stoq_error err;
    struct stoq_buf b;
    stoq_buf_init(&b, 100);
    assert_int_equal(stoq_outfile_new(&f, at("late"), &err), STOQ_OK);
    assert_int_equal(stoq_outfile_write(f, stoq_span_str("ours"), NULL), STOQ_OK);
    assert_int_equal(stoq_file_replace(at("late"), stoq_span_str("theirs"), 0600, NULL), STOQ_OK);
    assert_int_equal(stoq_outfile_commit(f, &err), STOQ_EXISTS);
    stoq_outfile_free(f);
    assert_int_equal(stoq_file_read(at("late"), 100, &b, NULL), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&b), stoq_span_str("theirs")));
    stoq_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replace_is_whole_and_private),
        cmocka_unit_test(pipes_are_not_waited_for),
        cmocka_unit_test(replace_keeps_the_old_on_failure),
        cmocka_unit_test(directories_are_made_once),
        cmocka_unit_test(lock_names_its_holder),
        cmocka_unit_test(reads_say_where_the_file_ends),
        cmocka_unit_test(an_output_appears_whole_or_not_at_all),
        cmocka_unit_test(an_output_replaces_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
