/* The archives of docs/FORMATS.md section 4: tests/vectors/tars.txt. */
#include "chunk/runs.h"
#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FILE_BYTES_MAX 1000000

/* A field like "x75737461,z500,r7:1000", made into bytes. Ends at NUL or ';'. */
struct pieces {
    char *rest;
    uint8_t *b; /* FILE_BYTES_MAX */
    size_t n;
};

static void add_piece(struct pieces *p, const char *piece)
{
    char *end;
    uint64_t n = piece[0] == 'x' ? strlen(piece + 1) / 2 : strtoull(piece + 1, &end, 10);
    if (piece[0] == 'r') {
        uint64_t seed = n;
        n = strtoull(end + 1, &end, 10);
        assert_true(n <= FILE_BYTES_MAX - p->n);
        vectors_fill(p->b + p->n, (size_t)n, seed);
    } else if (piece[0] == 'x') {
        assert_true(n <= FILE_BYTES_MAX - p->n && stoq_hex_get(p->b + p->n, (size_t)n, piece + 1));
    } else {
        assert_true(piece[0] == 'z' && n <= FILE_BYTES_MAX - p->n);
        memset(p->b + p->n, 0, (size_t)n);
    }
    p->n += (size_t)n;
}

/* The next file of the field, at p->b. */
static bool pieces_next(struct pieces *p)
{
    p->n = 0;
    char *file = strsep(&p->rest, ";");
    if (file == NULL) {
        return false;
    }
    char *piece;
    while ((piece = strsep(&file, ",")) != NULL) {
        if (strcmp(piece, "-") != 0) {
            add_piece(p, piece);
        }
    }
    return true;
}

static uint64_t number_next(const char **list)
{
    char *end;
    assert_true(**list >= '0' && **list <= '9');
    uint64_t v = strtoull(*list, &end, 10);
    *list = *end == ',' ? end + 1 : end;
    return v;
}

static bool is_end(const char *list)
{
    return *list == '\0' || strcmp(list, "-") == 0;
}

/* The file's runs, read `step` bytes at a time; 0: all at once. */
static void check_runs(struct stoq_span file, uint64_t t, size_t step, const char *want)
{
    struct stoq_tar_scan s;
    stoq_tar_scan_init(&s, file.n, t);
    size_t at = 0;
    size_t run_at = 0;
    while (at < file.n) {
        size_t n = step == 0 || file.n - at < step ? file.n - at : step;
        bool ends;
        at += stoq_tar_scan_take(&s, stoq_span(file.p + at, n), &ends);
        if (ends) {
            assert_int_equal(at - run_at, number_next(&want));
            run_at = at;
        }
    }
    if (at > run_at) {
        assert_int_equal(at - run_at, number_next(&want));
    }
    assert_true(is_end(want));
}

static void runs_of_archives(void **state)
{
    (void)state;
    static const size_t steps[] = {0, 1, 7, 511, 512, 513, 4096};
    uint8_t *b = malloc(FILE_BYTES_MAX);
    assert_non_null(b);
    struct vectors v;
    size_t seen = 0;
    vectors_open(&v, "tars");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "runs")) {
            struct pieces p = {v.field[3], b, 0};
            assert_true(pieces_next(&p));
            for (size_t i = 0; i < STOQ_COUNT(steps); i++) {
                check_runs(stoq_span(b, p.n), vectors_u64(&v, 2), steps[i], vectors_str(&v, 4));
            }
            seen++;
        }
    }
    vectors_close(&v);
    free(b);
    assert_true(seen > 50);
}

/* A package stream in pieces, and what its chunks must be. */
struct package {
    struct stoq_chunker chunker;
    struct stoq_runs runs;
    uint8_t *b; /* the stream; cut up to `at` */
    size_t at;
    size_t n;
    const char *want;
};

static void cut_run(struct package *p, uint64_t bytes)
{
    struct stoq_span run = stoq_span(p->b + p->at, (size_t)bytes);
    while (run.n > 0) {
        size_t n = stoq_chunker_cut(&p->chunker, run, true);
        assert_int_equal(n, number_next(&p->want));
        run = stoq_span(run.p + n, run.n - n);
        p->at += n;
    }
}

static void add_part(struct package *p, enum stoq_run_part part, struct stoq_span bytes)
{
    uint64_t ended;
    assert_int_equal(stoq_runs_add(&p->runs, part, bytes.n, &ended), STOQ_OK);
    cut_run(p, ended);
    while (bytes.n > 0) {
        size_t n = bytes.n < 3000 ? bytes.n : 3000;
        n = stoq_runs_take(&p->runs, stoq_span(bytes.p, n), &ended);
        cut_run(p, ended);
        bytes = stoq_span(bytes.p + n, bytes.n - n);
    }
}

static void check_package(struct package *p, struct vectors *v)
{
    const struct stoq_chunk_profile *profile = stoq_chunk_profile(STOQ_PROFILE_2);
    assert_int_equal(stoq_chunker_init(&p->chunker, &profile->params), STOQ_OK);
    stoq_runs_init(&p->runs, profile);
    p->at = 0;
    p->n = (size_t)vectors_u64(v, 1);
    p->want = vectors_str(v, 3);
    vectors_fill(p->b, p->n, 1);
    add_part(p, STOQ_RUN_TABLE, stoq_span(p->b, p->n));
    struct pieces files = {v->field[2], NULL, 0};
    files.b = p->b + p->n;
    while (pieces_next(&files)) {
        add_part(p, STOQ_RUN_FILE, stoq_span(files.b, files.n));
        p->n += files.n;
        files.b += files.n;
    }
    cut_run(p, stoq_runs_finish(&p->runs));
    assert_int_equal(p->at, p->n);
    assert_true(is_end(p->want));
}

static void chunks_of_packages(void **state)
{
    (void)state;
    struct package p = {.b = malloc((size_t)4 * FILE_BYTES_MAX)};
    assert_non_null(p.b);
    struct vectors v;
    size_t seen = 0;
    vectors_open(&v, "tars");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "profile2")) {
            check_package(&p, &v);
            seen++;
        }
    }
    vectors_close(&v);
    free(p.b);
    assert_true(seen > 0);
}

/* A header for one member, base-256 size. */
static void make_header(uint8_t *h, uint64_t bytes)
{
    memset(h, 0, STOQ_TAR_BLOCK_BYTES);
    h[0] = 'a';
    h[124] = 0x80;
    for (size_t i = 0; i < 8; i++) {
        h[128 + i] = (uint8_t)(bytes >> (56 - 8 * i));
    }
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar", 5);
    unsigned sum = 0;
    for (size_t i = 0; i < STOQ_TAR_BLOCK_BYTES; i++) {
        sum += h[i];
    }
    (void)snprintf((char *)h + 148, 8, "%06o", sum);
}

/* Pass n bytes of which only the count matters. */
static void pass(struct stoq_tar_scan *s, uint64_t n, bool want_end)
{
    static const uint8_t zeros[1 << 16];
    bool ends = false;
    while (n > 0) {
        assert_false(ends);
        size_t step = n < sizeof zeros ? (size_t)n : sizeof zeros;
        assert_int_equal(stoq_tar_scan_take(s, stoq_span(zeros, step), &ends), step);
        n -= step;
    }
    assert_true(ends == want_end);
}

static void members_past_4_gib(void **state)
{
    (void)state;
    const uint64_t member = ((uint64_t)4 << 30) + 1;
    uint8_t h[STOQ_TAR_BLOCK_BYTES];
    struct stoq_tar_scan s;
    bool ends;
    make_header(h, member);
    stoq_tar_scan_init(&s, 512 + member + 511 + 1024, 8192);
    assert_int_equal(stoq_tar_scan_take(&s, stoq_span(h, sizeof h), &ends), sizeof h);
    assert_true(ends);
    pass(&s, member, true);
    pass(&s, 511 + 1024, false);
}

/* The largest size that there is, in a file that has not that much: the end of the scan, no more. */
static void sizes_past_the_file(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {513,        (uint64_t)1 << 48, ((uint64_t)1 << 48) + 1,
                                     UINT64_MAX, UINT64_MAX - 511,  (uint64_t)1 << 63};
    for (size_t i = 0; i < STOQ_COUNT(sizes); i++) {
        uint8_t h[STOQ_TAR_BLOCK_BYTES];
        struct stoq_tar_scan s;
        bool ends;
        make_header(h, sizes[i]);
        stoq_tar_scan_init(&s, 1024, 1);
        assert_int_equal(stoq_tar_scan_take(&s, stoq_span(h, sizeof h), &ends), sizeof h);
        assert_false(ends);
        pass(&s, 512, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_of_archives),
        cmocka_unit_test(chunks_of_packages),
        cmocka_unit_test(members_past_4_gib),
        cmocka_unit_test(sizes_past_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
