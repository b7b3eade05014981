/* Several threads on one store; under -Db_sanitize=thread this is the proof of the locking. */
#include "store/store_testing.h"

#include <pthread.h>

#define N 30000
#define CHUNKS 400
#define PUTTERS 3

struct shared {
    struct stoq_store *s;
    struct stoq_hash key[CHUNKS];
    uint8_t *bytes[CHUNKS];
    uint64_t added; /* atomic: puts that were new */
    bool stop;      /* atomic */
    bool failed;    /* atomic */
};

#define CHECK(sh, x)                                                                               \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            print_message("# %s at line %d\n", #x, __LINE__);                                      \
            __atomic_store_n(&(sh)->failed, true, __ATOMIC_SEQ_CST);                               \
        }                                                                                          \
    } while (0)

static void put_one(struct shared *sh, size_t i)
{
    bool is_new = false;
    CHECK(sh, stoq_store_put(sh->s, STOQ_RECORD_CHUNK, stoq_span(sh->key[i].b, 32), 0,
                             stoq_span(sh->bytes[i], N), &is_new, NULL) == STOQ_OK);
    if (is_new) {
        (void)__atomic_fetch_add(&sh->added, 1, __ATOMIC_SEQ_CST);
    }
    CHECK(sh, stoq_store_has(sh->s, STOQ_RECORD_CHUNK, stoq_span(sh->key[i].b, 32)));
}

static void *put_upwards(void *arg)
{
    struct shared *sh = arg;
    for (size_t i = 0; i < CHUNKS; i++) {
        put_one(sh, i);
        if (i % 16 == 0) {
            CHECK(sh, stoq_store_sync(sh->s, NULL) == STOQ_OK);
        }
    }
    return NULL;
}

/* In another order: 7 is prime to CHUNKS, so all are visited. */
static void *put_scattered(void *arg)
{
    struct shared *sh = arg;
    for (size_t i = 0; i < CHUNKS; i++) {
        put_one(sh, i * 7 % CHUNKS);
    }
    return NULL;
}

static void *read_on(void *arg)
{
    struct shared *sh = arg;
    struct stoq_error err;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    struct stoq_prng r = stoq_prng(1);
    while (!__atomic_load_n(&sh->stop, __ATOMIC_SEQ_CST)) {
        size_t i = (size_t)stoq_prng_below(&r, CHUNKS);
        enum stoq_status st = stoq_store_read(sh->s, STOQ_RECORD_CHUNK, stoq_span(sh->key[i].b, 32),
                                              STOQ_STORE_VERIFY, &out, &err);
        if (st != STOQ_OK && st != STOQ_NOTFOUND) {
            print_message("# %s\n", err.text);
        }
        CHECK(sh, st == STOQ_OK || st == STOQ_NOTFOUND);
        uint8_t have[(CHUNKS + 7) / 8];
        CHECK(sh, stoq_store_has_many(sh->s, STOQ_RECORD_CHUNK, stoq_span(sh->key, 32 * CHUNKS),
                                      CHUNKS, have, NULL) == STOQ_OK);
        CHECK(sh, st != STOQ_OK || (have[i / 8] >> (i & 7) & 1) == 1);
    }
    stoq_buf_release(&out);
    return NULL;
}

static bool count_one(void *user, struct stoq_span key, struct stoq_stored info)
{
    (void)key;
    (void)info;
    *(uint64_t *)user += 1;
    return true;
}

/* Sync, overwrite, delete and list another type's records all the while. */
static void *churn(void *arg)
{
    struct shared *sh = arg;
    struct stoq_span key = stoq_span("name", 4);
    while (!__atomic_load_n(&sh->stop, __ATOMIC_SEQ_CST)) {
        for (int i = 0; i < 5; i++) {
            CHECK(sh, stoq_store_put(sh->s, STOQ_RECORD_POINTER, key, STOQ_STORE_OVERWRITE,
                                     stoq_span(&i, sizeof i), NULL, NULL) == STOQ_OK);
        }
        uint64_t n = 0;
        CHECK(sh, stoq_store_each(sh->s, STOQ_RECORD_POINTER, count_one, &n, NULL) == STOQ_OK);
        CHECK(sh, n == 1);
        CHECK(sh, stoq_store_delete(sh->s, STOQ_RECORD_POINTER, key, NULL) == STOQ_OK);
        CHECK(sh, stoq_store_sync(sh->s, NULL) == STOQ_OK);
        CHECK(sh, !stoq_store_has(sh->s, STOQ_RECORD_POINTER, key));
        struct stoq_store_stats stats;
        CHECK(sh, stoq_store_stats(sh->s, &stats, NULL) == STOQ_OK);
    }
    return NULL;
}

static void threads_agree(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.segment_bytes = STOQ_MIB;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    struct shared *sh = calloc(1, sizeof *sh);
    assert_non_null(sh);
    sh->s = t->s;
    for (size_t i = 0; i < CHUNKS; i++) {
        (void)stoq_scratch_chunk(N, i, i % 5 == 0, &sh->bytes[i], &sh->key[i]);
    }
    /* Two putters in the same order meet at nearly every chunk. */
    static void *(*const work[])(void *) = {put_upwards, put_upwards, put_scattered, read_on,
                                            churn};
    pthread_t thread[STOQ_COUNT(work)];
    for (size_t i = 0; i < STOQ_COUNT(work); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, work[i], sh), 0);
    }
    for (size_t i = 0; i < PUTTERS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    __atomic_store_n(&sh->stop, true, __ATOMIC_SEQ_CST);
    for (size_t i = PUTTERS; i < STOQ_COUNT(work); i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_false(sh->failed);
    assert_int_equal(sh->added, CHUNKS); /* each written once, whoever came first */
    stoq_scratch_close(t);
    struct stoq_store_rebuild_report report;
    assert_int_equal(stoq_store_rebuild(&cfg, &report, &t->err), STOQ_OK);
    assert_int_equal(report.quarantined, 0);
    stoq_scratch_open(t);
    for (size_t i = 0; i < CHUNKS; i++) {
        assert_int_equal(stoq_scratch_read(t, N, i, i % 5 == 0), STOQ_OK);
        free(sh->bytes[i]);
    }
    free(sh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(threads_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
