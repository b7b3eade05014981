#include "store/store_testing.h"

#include <fcntl.h>
#include <unistd.h>

#define N 3000

static void keep_last(void *user, const char *what)
{
    (void)snprintf(user, 512, "%s", what);
}

static struct stoq_store_fsck_report check(struct stoq_scratch *t, char last[512])
{
    struct stoq_store_fsck_report r;
    last[0] = '\0';
    assert_int_equal(stoq_store_fsck(t->s, keep_last, last, &r, &t->err), STOQ_OK);
    return r;
}

static void flip(const struct stoq_scratch *t, off_t at)
{
    char path[256];
    uint8_t b;
    (void)snprintf(path, sizeof path, "%s/segments/00000001.seg", t->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 1;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    (void)close(fd);
}

static void a_sound_store_is_sound(void **state)
{
    struct stoq_scratch *t = *state;
    char last[512];
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 30; i++) {
        (void)stoq_scratch_put(t, N, i, i % 3 == 0);
    }
    struct stoq_store_fsck_report r = check(t, last);
    assert_int_equal(r.problems, 0);
    assert_int_equal(r.records, 30);
    assert_int_equal(r.live, 30);
    assert_int_equal(r.segments, 1);
    assert_string_equal(last, "");
}

static void damage_is_found_and_no_longer_promised(void **state)
{
    struct stoq_scratch *t = *state;
    char last[512];
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 10; i++) {
        (void)stoq_scratch_put(t, N, i, false);
    }
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    flip(t, 64 + 4 * 3064 + 1000); /* in chunk 4 */
    assert_true(stoq_scratch_has(t, N, 4, false));
    struct stoq_store_fsck_report r = check(t, last);
    assert_int_equal(r.problems, 2); /* in the segment, and to the index */
    assert_int_equal(r.damaged, 1);
    assert_int_equal(r.lost, 1);
    assert_non_null(strstr(last, "quarantined"));
    assert_false(stoq_scratch_has(t, N, 4, false));
    assert_int_equal(stoq_scratch_read(t, N, 5, false), STOQ_OK);
    assert_true(stoq_scratch_put(t, N, 4, false));
    r = check(t, last);
    assert_int_equal(r.lost, 0);
    assert_int_equal(r.damaged, 1); /* the old place */
    assert_int_equal(r.harmless, 1);
    assert_int_equal(r.problems, 0);
}

static void a_damaged_header_is_found(void **state)
{
    struct stoq_scratch *t = *state;
    char last[512];
    stoq_scratch_open(t);
    (void)stoq_scratch_put(t, N, 0, false);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    flip(t, 20);
    struct stoq_store_fsck_report r = check(t, last);
    assert_int_equal(r.problems, 1);
    assert_int_equal(r.records, 1);
    assert_non_null(strstr(last, "header"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(a_sound_store_is_sound),
        STOQ_SCRATCH_TEST(damage_is_found_and_no_longer_promised),
        STOQ_SCRATCH_TEST(a_damaged_header_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
