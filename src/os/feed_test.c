#include "os/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/os_testing.h"
#include "os/tree_read.h"
#include "os/unix.h"

static int setup(void **state)
{
    (void)state;
    return scratch_begin() ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

/* Take all there is; the last status. *sum adds up the bytes, *n counts them. */
static enum stoq_status drain(struct stoq_intake *in, uint64_t *n, uint64_t *sum)
{
    static uint8_t p[70000];
    struct stoq_error err;
    *n = 0;
    *sum = 0;
    for (;;) {
        size_t got;
        enum stoq_status st = stoq_intake_read(in, p, sizeof p, &got, NULL, NULL, &err);
        if (st != STOQ_OK || got == 0) {
            return st;
        }
        for (size_t i = 0; i < got; i++) {
            *sum += p[i] * (*n + i + 1);
        }
        *n += got;
    }
}

static void a_file_arrives_whole(void **state)
{
    (void)state;
    enum { BYTES = 1000003 };
    struct stoq_feed *feed;
    struct stoq_intake in;
    uint64_t want = 0;
    uint64_t n;
    uint64_t sum;
    uint8_t *p = malloc(BYTES);
    assert_non_null(p);
    for (size_t i = 0; i < BYTES; i++) {
        p[i] = (uint8_t)(i * 7 + i / 251);
        want += p[i] * (i + 1);
    }
    assert_int_equal(stoq_file_replace(at("input"), stoq_span(p, BYTES), 0600, NULL), STOQ_OK);
    free(p);
    int fd = open(at("input"), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(stoq_feed_new(&feed, at("s1"), fd, NULL), STOQ_OK);
    assert_int_equal(stoq_intake_open(&in, at("s1"), NULL), STOQ_OK);
    assert_int_equal(drain(&in, &n, &sum), STOQ_OK);
    assert_true(n == BYTES && sum == want);
    assert_int_equal(drain(&in, &n, &sum), STOQ_OK); /* the end stays the end */
    assert_true(n == 0);
    stoq_intake_close(&in);
    stoq_feed_free(feed);
    assert_int_equal(access(at("s1"), F_OK), -1);
    close(fd);
}

/* A giver that is freed inside its input, as one that dies is, has not said that it is done. */
static void an_input_that_breaks_off_is_not_an_end(void **state)
{
    (void)state;
    struct stoq_feed *feed;
    struct stoq_intake in;
    uint8_t p[16];
    size_t got;
    uint64_t n;
    uint64_t sum;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(stoq_feed_new(&feed, at("s2"), ends[0], NULL), STOQ_OK);
    assert_int_equal(stoq_intake_open(&in, at("s2"), NULL), STOQ_OK);
    assert_int_equal(write(ends[1], "half", 4), 4);
    assert_int_equal(stoq_intake_read(&in, p, sizeof p, &got, NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(got, 4);
    stoq_feed_free(feed);
    assert_int_equal(drain(&in, &n, &sum), STOQ_TRUNC);
    stoq_intake_close(&in);
    close(ends[0]);
    close(ends[1]);
}

static void a_giver_whose_input_fails_says_so(void **state)
{
    (void)state;
    struct stoq_feed *feed;
    struct stoq_intake in;
    struct stoq_error err;
    uint8_t p[16];
    size_t got;
    int fd = open(scratch, O_RDONLY | O_DIRECTORY);
    assert_int_equal(stoq_feed_new(&feed, at("s3"), fd, NULL), STOQ_OK);
    assert_int_equal(stoq_intake_open(&in, at("s3"), NULL), STOQ_OK);
    assert_int_equal(stoq_intake_read(&in, p, sizeof p, &got, NULL, NULL, &err), STOQ_IO);
    assert_int_equal(err.sys_errno, EISDIR);
    stoq_intake_close(&in);
    stoq_feed_free(feed);
    close(fd);
}

static bool at_once(void *user)
{
    (void)user;
    return true;
}

static void a_taker_can_give_up(void **state)
{
    (void)state;
    struct stoq_feed *feed;
    struct stoq_intake in;
    uint8_t p[16];
    size_t got;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(stoq_intake_open(&in, at("s4"), NULL), STOQ_NOTFOUND);
    assert_int_equal(stoq_feed_new(&feed, at("s4"), ends[0], NULL), STOQ_OK);
    assert_int_equal(stoq_intake_open(&in, at("s4"), NULL), STOQ_OK);
    assert_int_equal(stoq_intake_read(&in, p, sizeof p, &got, at_once, NULL, NULL), STOQ_CANCELLED);
    stoq_intake_close(&in);
    stoq_feed_free(feed); /* with nobody there any more */
    assert_int_equal(stoq_feed_new(&feed, at("s4"), ends[0], NULL), STOQ_OK);
    stoq_feed_free(feed); /* and before anybody came */
    close(ends[0]);
    close(ends[1]);
}

static void who_is_not_a_giver_is_refused(void **state)
{
    (void)state;
    struct stoq_intake in;
    uint8_t p[16];
    size_t got;
    int listener;
    assert_int_equal(stoq_unix_listen(at("s5"), &listener, NULL), STOQ_OK);
    assert_int_equal(stoq_intake_open(&in, at("s5"), NULL), STOQ_OK);
    int fd = accept(listener, NULL, NULL);
    assert_int_equal(write(fd, "\xff\xff\xff\x7f....", 8), 8);
    assert_int_equal(stoq_intake_read(&in, p, sizeof p, &got, NULL, NULL, NULL), STOQ_MALFORMED);
    stoq_intake_close(&in);
    close(fd);
    close(listener);
    assert_int_equal(unlink(at("s5")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_arrives_whole),
        cmocka_unit_test(an_input_that_breaks_off_is_not_an_end),
        cmocka_unit_test(a_giver_whose_input_fails_says_so),
        cmocka_unit_test(a_taker_can_give_up),
        cmocka_unit_test(who_is_not_a_giver_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
