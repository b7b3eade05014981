/* A node that runs out of memory, at every place in turn. */
#include "node/node_world_test.h"
#include "tests/failing.h"

static struct world w;

/* Any allocation of the fetching node may fail: the fetch succeeds all the same or says so, it always
 * ends, and nothing is leaked. */
static void any_allocation_may_fail(void **state)
{
    static const stoq_peer sources[] = {1, 2};
    (void)state;
    bool is_over = false;
    uint64_t failed = 0;
    for (uint64_t n = 1; !is_over; n += 1 + n / 64) {
        struct failing f = {.fail_at = n};
        struct stoq_alloc alloc = failing_alloc(&f);
        world_init(&w, 3, &alloc);
        world_publish(&w, 1, 150, 7, 0);
        world_copy(&w, 1, 2);
        world_fetch(&w, 0, sources, STOQ_COUNT(sources));
        (void)world_run(&w, 0);
        enum stoq_status st = w.at[0].report.status;
        if (st == STOQ_OK) {
            world_check_whole(&w, 0);
        } else {
            assert_true(st == STOQ_NOMEM || st == STOQ_NET);
            failed++;
        }
        is_over = f.calls < f.fail_at;
        world_release(&w);
        assert_int_equal(f.live, 0);
    }
    assert_true(failed > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
