#include "store/store_testing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 20000

static int setup(void **state)
{
    struct stoq_scratch *t = malloc(sizeof *t);
    assert_non_null(t);
    stoq_scratch_begin(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    stoq_scratch_end(*state);
    free(*state);
    return 0;
}

/* Put a chunk of n bytes made from seed; true when it was new. */
static bool put_chunk(struct stoq_scratch *t, size_t n, uint64_t seed, bool packs)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    struct stoq_span s = stoq_scratch_bytes(p, n, seed, packs);
    struct stoq_hash h = stoq_hash_blake3(s);
    bool is_new;
    enum stoq_status st = stoq_store_put(t->s, STOQ_RECORD_CHUNK, stoq_span(h.b, 32),
                                         STOQ_STORE_VERIFY, s, &is_new, &t->err);
    free(p);
    if (st != STOQ_OK) {
        print_message("# %s\n", t->err.text);
    }
    assert_int_equal(st, STOQ_OK);
    return is_new;
}

static struct stoq_hash chunk_key(size_t n, uint64_t seed, bool packs)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    struct stoq_hash h = stoq_hash_blake3(stoq_scratch_bytes(p, n, seed, packs));
    free(p);
    return h;
}

/* Read the chunk back, verified. */
static enum stoq_status read_chunk(struct stoq_scratch *t, size_t n, uint64_t seed, bool packs)
{
    struct stoq_hash h = chunk_key(n, seed, packs);
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    enum stoq_status st = stoq_store_read(t->s, STOQ_RECORD_CHUNK, stoq_span(h.b, 32),
                                          STOQ_STORE_VERIFY, &out, &t->err);
    if (st == STOQ_OK) {
        assert_int_equal(out.n, n);
    }
    stoq_buf_release(&out);
    return st;
}

static void records_come_back(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 50; i++) {
        assert_true(put_chunk(t, N + i, i, i % 2 == 0));
        assert_int_equal(read_chunk(t, N + i, i, i % 2 == 0), STOQ_OK); /* pending */
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    for (uint64_t i = 0; i < 50; i++) {
        assert_false(put_chunk(t, N + i, i, i % 2 == 0));
        assert_int_equal(read_chunk(t, N + i, i, i % 2 == 0), STOQ_OK);
    }
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, 50);
    assert_int_equal(stats.dedup_hits, 50);
    assert_true(stats.zstd_saved_bytes > 25 * N / 2);
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_string_equal(t->notice, "");
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(read_chunk(t, N + i, i, i % 2 == 0), STOQ_OK);
    }
    assert_int_equal(read_chunk(t, N, 99, false), STOQ_NOTFOUND);
    assert_string_equal(t->err.code, "ChunkNotFound");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_come_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
