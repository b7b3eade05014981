#include "chunk/runs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T 16384u

static void start(struct stoq_runs *r)
{
    stoq_runs_init(r, stoq_chunk_profile(STOQ_PROFILE_1));
}

static void add(struct stoq_runs *r, enum stoq_run_part part, uint64_t bytes, uint64_t want_ended)
{
    uint64_t ended = UINT64_MAX;
    assert_int_equal(stoq_runs_add(r, part, bytes, &ended), STOQ_OK);
    assert_true(ended == want_ended);
}

static void an_empty_stream_has_no_run(void **state)
{
    (void)state;
    struct stoq_runs r;
    start(&r);
    assert_true(stoq_runs_finish(&r) == 0);
    add(&r, STOQ_RUN_TABLE, 0, 0);
    add(&r, STOQ_RUN_FILE, 0, 0);
    assert_true(stoq_runs_finish(&r) == 0);
}

static void the_table_is_a_run_of_its_own(void **state)
{
    (void)state;
    struct stoq_runs r;
    start(&r);
    add(&r, STOQ_RUN_TABLE, 10, 0);
    add(&r, STOQ_RUN_FILE, 5, 10);
    assert_true(stoq_runs_finish(&r) == 5);
    /* A table over T changes nothing about that. */
    add(&r, STOQ_RUN_TABLE, 3 * T, 0);
    add(&r, STOQ_RUN_FILE, 2 * T, 3 * T);
    assert_true(stoq_runs_finish(&r) == 2 * T);
}

static void small_files_share_runs_between_large_ones(void **state)
{
    (void)state;
    struct stoq_runs r;
    start(&r);
    add(&r, STOQ_RUN_TABLE, 100, 0);
    add(&r, STOQ_RUN_FILE, 1, 100);
    add(&r, STOQ_RUN_FILE, T - 1, 0);
    add(&r, STOQ_RUN_FILE, T, T);
    add(&r, STOQ_RUN_FILE, T, T);
    add(&r, STOQ_RUN_FILE, T - 1, T);
    add(&r, STOQ_RUN_FILE, T - 1, 0);
    add(&r, STOQ_RUN_FILE, 5 * T, 2 * T - 2);
    assert_true(stoq_runs_finish(&r) == 5 * T);
}

static void empty_files_are_small_files(void **state)
{
    (void)state;
    struct stoq_runs r;
    start(&r);
    add(&r, STOQ_RUN_TABLE, 7, 0);
    add(&r, STOQ_RUN_FILE, 0, 7);
    add(&r, STOQ_RUN_FILE, T, 0); /* the run of one empty file is not reported */
    add(&r, STOQ_RUN_FILE, 0, T);
    add(&r, STOQ_RUN_FILE, 3, 0);
    add(&r, STOQ_RUN_FILE, 0, 0);
    add(&r, STOQ_RUN_FILE, 4, 0);
    assert_true(stoq_runs_finish(&r) == 7);
}

static void a_stream_has_a_last_byte(void **state)
{
    (void)state;
    struct stoq_runs r;
    start(&r);
    uint64_t ended = 9;
    add(&r, STOQ_RUN_TABLE, 1, 0);
    assert_int_equal(stoq_runs_add(&r, STOQ_RUN_FILE, UINT64_MAX, &ended), STOQ_RANGE);
    assert_int_equal(stoq_runs_add(&r, STOQ_RUN_FILE, STOQ_RUN_STREAM_BYTES_MAX, &ended),
                     STOQ_RANGE);
    assert_true(ended == 9);
    add(&r, STOQ_RUN_FILE, STOQ_RUN_STREAM_BYTES_MAX - 1, 1);
    assert_int_equal(stoq_runs_add(&r, STOQ_RUN_FILE, 1, &ended), STOQ_RANGE);
    assert_true(stoq_runs_finish(&r) == STOQ_RUN_STREAM_BYTES_MAX - 1);
}

/* Bytes that are no archive: profile 2 asks for them and finds nothing. */
static void take_zeros(struct stoq_runs *r, uint64_t bytes)
{
    static const uint8_t zeros[1000];
    while (bytes > 0) {
        uint64_t ended;
        size_t n = bytes < sizeof zeros ? (size_t)bytes : sizeof zeros;
        assert_int_equal(stoq_runs_take(r, stoq_span(zeros, n), &ended), n);
        assert_true(ended == 0);
        bytes -= n;
    }
}

static void profiles_have_their_own_sizes(void **state)
{
    (void)state;
    const struct stoq_chunk_profile *one = stoq_chunk_profile(1);
    const struct stoq_chunk_profile *two = stoq_chunk_profile(2);
    const struct stoq_chunk_params sizes = STOQ_CHUNK_PROFILE_1;
    assert_true(one->code == 1 && one->run_bytes_min == T && !one->scans_tar);
    assert_memory_equal(&one->params, &sizes, sizeof sizes);
    assert_true(two->code == 2 && two->run_bytes_min == T / 2 && two->scans_tar);
    assert_null(stoq_chunk_profile(0));
    assert_null(stoq_chunk_profile(3));
    assert_false(one->is_keyed || two->is_keyed);
    for (unsigned code = 1; code <= 2; code++) { /* 1k and 2k are 1 and 2 but for the key */
        const struct stoq_chunk_profile *plain = stoq_chunk_profile(code);
        const struct stoq_chunk_profile *keyed = stoq_chunk_profile(16 + code);
        assert_true(keyed->is_keyed && keyed->code == 16 + code);
        assert_memory_equal(&keyed->params, &plain->params, sizeof plain->params);
        assert_true(keyed->run_bytes_min == plain->run_bytes_min);
        assert_true(keyed->scans_tar == plain->scans_tar);
    }
    assert_null(stoq_chunk_profile(16));
    assert_null(stoq_chunk_profile(19));
    assert_null(stoq_chunk_profile(UINT64_MAX));
    struct stoq_runs r;
    stoq_runs_init(&r, two);
    add(&r, STOQ_RUN_TABLE, 1, 0);
    add(&r, STOQ_RUN_FILE, T / 2 - 1, 1);
    add(&r, STOQ_RUN_FILE, T / 2, T / 2 - 1);
    take_zeros(&r, T / 2);
    add(&r, STOQ_RUN_FILE, 3 * T, T / 2);
    take_zeros(&r, 3 * T);
    assert_true(stoq_runs_finish(&r) == 3 * T);
    add(&r, STOQ_RUN_FILE, 5, 0);
    assert_true(stoq_runs_finish(&r) == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiles_have_their_own_sizes),
        cmocka_unit_test(an_empty_stream_has_no_run),
        cmocka_unit_test(the_table_is_a_run_of_its_own),
        cmocka_unit_test(small_files_share_runs_between_large_ones),
        cmocka_unit_test(empty_files_are_small_files),
        cmocka_unit_test(a_stream_has_a_last_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
