/* The vectors of docs/FORMATS.md section 4: tests/vectors/chunks.txt. */
#include "chunk/fastcdc.h"
#include "chunk/gear.h"
#include "chunk/runs.h"
#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The numbers of a field like "1,2,3", or "-" for none, one by one. */
struct numbers {
    const char *rest;
};

static bool numbers_next(struct numbers *list, uint64_t *out)
{
    if (*list->rest == '\0' || *list->rest == '-') {
        return false;
    }
    char *end;
    *out = strtoull(list->rest, &end, 10);
    list->rest = *end == ',' ? end + 1 : end;
    return true;
}

/* Cut one run and compare with the next lengths of the list. */
static void check_run(const struct stoq_chunk_params *params, struct stoq_span run,
                      struct numbers *want)
{
    struct stoq_chunker c;
    assert_int_equal(stoq_chunker_init(&c, params), STOQ_OK);
    while (run.n > 0) {
        uint64_t length = 0;
        assert_true(numbers_next(want, &length));
        size_t got = stoq_chunker_cut(&c, run, true);
        assert_int_equal(got, length);
        run = stoq_span(run.p + got, run.n - got);
    }
}

static void check_gear(struct vectors *v)
{
    uint64_t i = vectors_u64(v, 1);
    assert_true(i < 256);
    assert_true(stoq_gear[i] == strtoull(vectors_str(v, 2), NULL, 16));
}

static void gear_values(void **state)
{
    (void)state;
    vectors_each("chunks", "gear", check_gear);
}

static void check_single_run(struct vectors *v)
{
    struct stoq_chunk_params params = {(uint32_t)vectors_u64(v, 1), (uint32_t)vectors_u64(v, 2),
                                       (uint32_t)vectors_u64(v, 3), (uint32_t)vectors_u64(v, 4)};
    size_t n = (size_t)vectors_u64(v, 7);
    uint8_t *b = vectors_input(vectors_str(v, 5), vectors_u64(v, 6), n);
    struct numbers want = {vectors_str(v, 8)};
    uint64_t more;
    check_run(&params, stoq_span(b, n), &want);
    assert_false(numbers_next(&want, &more));
    free(b);
}

static void lengths_of_single_runs(void **state)
{
    (void)state;
    vectors_each("chunks", "lengths", check_single_run);
}

/* The runs of a package: of its table and its files' sizes, cut one after the other. */
static void check_package(struct vectors *v)
{
    struct stoq_chunk_params params = STOQ_CHUNK_PROFILE_1;
    uint64_t table_bytes = vectors_u64(v, 2);
    uint64_t total = table_bytes;
    uint64_t size = 0;
    struct numbers sizes = {vectors_str(v, 3)};
    while (numbers_next(&sizes, &size)) {
        total += size;
    }
    uint8_t *b = vectors_input("random", vectors_u64(v, 1), (size_t)total);
    struct numbers want = {vectors_str(v, 4)};
    struct stoq_runs runs;
    uint64_t ended;
    size_t at = 0;
    stoq_runs_init(&runs, stoq_chunk_profile(STOQ_PROFILE_1));
    assert_int_equal(stoq_runs_add(&runs, STOQ_RUN_TABLE, table_bytes, &ended), STOQ_OK);
    sizes.rest = vectors_str(v, 3);
    while (numbers_next(&sizes, &size)) {
        assert_int_equal(stoq_runs_add(&runs, STOQ_RUN_FILE, size, &ended), STOQ_OK);
        check_run(&params, stoq_span(b + at, (size_t)ended), &want);
        at += (size_t)ended;
    }
    ended = stoq_runs_finish(&runs);
    check_run(&params, stoq_span(b + at, (size_t)ended), &want);
    assert_int_equal(at + ended, total);
    assert_false(numbers_next(&want, &size));
    free(b);
}

static void lengths_of_packages(void **state)
{
    (void)state;
    vectors_each("chunks", "profile1", check_package);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gear_values),
        cmocka_unit_test(lengths_of_single_runs),
        cmocka_unit_test(lengths_of_packages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
