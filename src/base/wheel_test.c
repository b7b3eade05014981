/* The wheel against a sorted list. */
#include "base/prng.h"
#include "base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define EVENTS 20000

static int by_key(const void *pa, const void *pb)
{
    const struct stoq_wheel_event *a = pa;
    const struct stoq_wheel_event *b = pb;
    if (a->at != b->at) {
        return a->at < b->at ? -1 : 1;
    }
    if (a->to != b->to) {
        return a->to < b->to ? -1 : 1;
    }
    if (a->from != b->from) {
        return a->from < b->from ? -1 : 1;
    }
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* From nothing to some hours ahead, often the same moment. */
static stoq_ns some_time(struct stoq_prng *r, stoq_ns from)
{
    static const stoq_ns spans[] = {
        1, 1000, STOQ_MS, 300 * STOQ_MS, 50 * STOQ_SEC, 20000 * STOQ_SEC};
    return from + stoq_prng_below(r, spans[stoq_prng_below(r, STOQ_COUNT(spans))]);
}

static struct stoq_wheel_event some_event(struct stoq_prng *r, stoq_ns from, uint64_t seq)
{
    return (struct stoq_wheel_event){.at = some_time(r, from),
                                     .to = (uint32_t)stoq_prng_below(r, 3),
                                     .from = (uint32_t)stoq_prng_below(r, 3),
                                     .seq = seq,
                                     .what = (uint32_t)seq};
}

static void all_in_then_all_out(void **state)
{
    struct stoq_prng r = stoq_prng(7);
    struct stoq_wheel_event *all = calloc(EVENTS, sizeof *all);
    struct stoq_wheel *w;
    assert_int_equal(stoq_wheel_new(&w), STOQ_OK);
    for (uint64_t i = 0; i < EVENTS; i++) {
        all[i] = some_event(&r, 0, i);
        assert_int_equal(stoq_wheel_put(w, all[i]), STOQ_OK);
    }
    assert_int_equal(stoq_wheel_count(w), EVENTS);
    qsort(all, EVENTS, sizeof *all, by_key);
    struct stoq_wheel_event ev;
    for (uint64_t i = 0; i < EVENTS; i++) {
        assert_true(stoq_wheel_pop(w, &ev));
        assert_int_equal(ev.what, all[i].what);
    }
    assert_false(stoq_wheel_pop(w, &ev));
    stoq_wheel_free(w);
    free(all);
    (void)state;
}

/* Events that come in while others go out, some into the very tick that is being drained. */
static void in_and_out(void **state)
{
    struct stoq_prng r = stoq_prng(8);
    struct stoq_wheel *w;
    struct stoq_wheel_event last = {0};
    struct stoq_wheel_event ev;
    uint64_t seq = 0;
    uint64_t popped = 0;
    bool *seen = calloc(2 * EVENTS + 64, 1);
    assert_int_equal(stoq_wheel_new(&w), STOQ_OK);
    while (seq < 64) {
        assert_int_equal(stoq_wheel_put(w, some_event(&r, 0, seq)), STOQ_OK);
        seq++;
    }
    while (stoq_wheel_pop(w, &ev)) {
        assert_true(popped == 0 || ev.at >= last.at);
        assert_false(seen[ev.what]);
        seen[ev.what] = true;
        last = ev;
        popped++;
        for (uint64_t k = stoq_prng_below(&r, 3); k > 0 && seq < EVENTS; k--) {
            assert_int_equal(stoq_wheel_put(w, some_event(&r, ev.at, seq)), STOQ_OK);
            seq++;
        }
    }
    assert_int_equal(popped, seq);
    assert_int_equal(stoq_wheel_count(w), 0);
    stoq_wheel_free(w);
    free(seen);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_in_then_all_out),
        cmocka_unit_test(in_and_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
