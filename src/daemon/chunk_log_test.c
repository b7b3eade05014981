#include "daemon/chunk_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"

#define MANY ((uint64_t)100000) /* some 3.4 MiB of entries */

static struct stoq_merkle_chunk chunk_of(uint64_t i)
{
    struct stoq_merkle_chunk c = {.bytes = (uint32_t)(i + 1)};
    stoq_le64_put(c.hash.b + 3, i * 0x9e3779b97f4a7c15u);
    return c;
}

static void check_at(struct stoq_chunk_log *log, uint64_t i)
{
    struct stoq_merkle_chunk got;
    const struct stoq_merkle_chunk want = chunk_of(i);
    assert_int_equal(stoq_chunk_log_at(log, i, &got, NULL), STOQ_OK);
    assert_true(got.bytes == want.bytes && stoq_hash_eq(&got.hash, &want.hash));
}

static void what_went_in_comes_out(void **state)
{
    (void)state;
    struct stoq_chunk_log log;
    struct stoq_prng r = stoq_prng(1);
    stoq_chunk_log_init(&log, "/tmp");
    for (uint64_t i = 0; i < MANY; i++) {
        const struct stoq_merkle_chunk c = chunk_of(i);
        assert_int_equal(stoq_chunk_log_count(&log), i);
        assert_int_equal(stoq_chunk_log_add(&log, &c, NULL), STOQ_OK);
        if (i % 97 == 0) { /* read while it grows */
            check_at(&log, stoq_prng_next(&r) % (i + 1));
        }
    }
    assert_true(log.tail.cap <= STOQ_CHUNK_LOG_MEMORY && log.spilled > MANY / 2);
    for (uint64_t i = 0; i < MANY; i++) {
        check_at(&log, i);
    }
    for (int i = 0; i < 1000; i++) {
        check_at(&log, stoq_prng_next(&r) % MANY);
    }
    stoq_chunk_log_release(&log);
}

/* The folder matters only to those who need it, and then what is wrong with it is said. */
static void a_folder_that_is_not_there(void **state)
{
    (void)state;
    struct stoq_chunk_log log;
    struct stoq_error err = {0};
    const struct stoq_merkle_chunk c = chunk_of(1);
    enum stoq_status st = STOQ_OK;
    stoq_chunk_log_init(&log, "/nosuch/folder");
    while (st == STOQ_OK) {
        st = stoq_chunk_log_add(&log, &c, &err);
    }
    assert_int_equal(st, STOQ_NOTFOUND);
    assert_int_equal(stoq_chunk_log_count(&log), STOQ_CHUNK_LOG_MEMORY / 36);
    assert_non_null(strstr(err.text, "/nosuch/folder"));
    stoq_chunk_log_release(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_comes_out),
        cmocka_unit_test(a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
