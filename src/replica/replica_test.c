#include "replica/replica.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ALL_MAX 16

/* A placement, and what was last asked of each candidate. */
struct world {
    struct stoq_replica *r;
    stoq_ns now;
    uint64_t cookie[ALL_MAX]; /* 0: nothing since it was answered */
    uint32_t slice[ALL_MAX];
    uint64_t count[ALL_MAX]; /* of shards offered */
    uint32_t offers[ALL_MAX];
    bool left[ALL_MAX];
    bool ended;
};

static void drain(struct world *w)
{
    struct stoq_replica_action a;
    while (stoq_replica_poll(w->r, w->now, &a)) {
        if (a.kind == STOQ_REPLICA_ENDED) {
            assert_false(w->ended);
            w->ended = true;
        } else if (a.kind == STOQ_REPLICA_LEAVE) {
            w->left[a.candidate] = true;
        } else {
            w->cookie[a.candidate] = a.cookie;
            w->slice[a.candidate] = a.slice;
            w->count[a.candidate] = a.shard_count;
            w->offers[a.candidate]++;
        }
    }
}

static struct world fresh(uint32_t wanted, const uint32_t *domains, uint32_t n, uint64_t shards)
{
    struct world w = {.now = STOQ_SEC};
    const struct stoq_replica_config cfg = {.wanted = wanted,
                                            .shards = shards,
                                            .bytes = shards * STOQ_MIB,
                                            .domains = domains,
                                            .candidate_count = n};
    assert_int_equal(stoq_replica_new(&w.r, &cfg), STOQ_OK);
    drain(&w);
    return w;
}

static void feed(struct world *w, struct stoq_replica_event ev)
{
    stoq_replica_feed(w->r, &ev, w->now);
    drain(w);
}

static void accept(struct world *w, uint32_t i)
{
    uint64_t cookie = w->cookie[i];
    w->cookie[i] = 0;
    feed(w, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_ACCEPTED, .candidate = i, .cookie = cookie});
}

static void decline(struct world *w, uint32_t i, enum stoq_replica_why why)
{
    uint64_t cookie = w->cookie[i];
    w->cookie[i] = 0;
    feed(w, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_DECLINED, .candidate = i, .cookie = cookie, .u.why = why});
}

static void receipt(struct world *w, uint32_t i)
{
    feed(w, (struct stoq_replica_event){
                .kind = STOQ_REPLICA_RECEIPT, .candidate = i, .u.receipt = {.slice = w->slice[i]}});
}

static void later(struct world *w, stoq_ns ns)
{
    w->now += ns;
    drain(w);
}

static enum stoq_replica_state state_of(const struct world *w, uint32_t i)
{
    struct stoq_replica_view v;
    stoq_replica_at(w->r, i, &v);
    return v.state;
}

static enum stoq_replica_why why_of(const struct world *w, uint32_t i)
{
    struct stoq_replica_view v;
    stoq_replica_at(w->r, i, &v);
    return v.why;
}

static uint32_t verified(const struct world *w)
{
    struct stoq_replica_sum s;
    stoq_replica_sum(w->r, &s);
    return s.verified;
}

static void three_domains_are_asked_at_once(void **state)
{
    (void)state;
    const uint32_t domains[] = {0, 0, 1, 1, 2};
    struct world w = fresh(3, domains, 5, 1);
    const uint32_t want[] = {1, 0, 1, 0, 1};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(w.offers[i], want[i]);
    }
    assert_int_equal(w.count[0], 0); /* all of it in one */
    accept(&w, 0);
    accept(&w, 2);
    receipt(&w, 4); /* its answer may come after its receipt */
    receipt(&w, 0);
    assert_false(w.ended);
    receipt(&w, 2);
    assert_true(w.ended && w.left[0] && w.left[2] && w.left[4]);
    assert_int_equal(verified(&w), 3);
    assert_int_equal(w.offers[1] + w.offers[3], 0);
    assert_true(stoq_replica_deadline(w.r) == STOQ_NEVER);
    stoq_replica_free(w.r);
}

static void another_takes_the_place_of_one_that_fails(void **state)
{
    (void)state;
    const uint32_t domains[] = {0, 0, 1, 2};
    struct world w = fresh(2, domains, 4, 1);
    assert_int_equal(w.offers[0] + w.offers[2], 2);
    decline(&w, 0, STOQ_REPLICA_UNREACHABLE);
    assert_int_equal(why_of(&w, 0), STOQ_REPLICA_UNREACHABLE);
    assert_int_equal(w.offers[1], 1); /* its domain is free again, and this one comes first */
    decline(&w, 1, STOQ_REPLICA_REFUSED);
    assert_int_equal(w.offers[3], 1);
    receipt(&w, 2);
    assert_false(w.ended);
    receipt(&w, 3);
    assert_true(w.ended);
    assert_int_equal(verified(&w), 2);
    stoq_replica_free(w.r);
}

static void too_few_domains_end_short(void **state)
{
    (void)state;
    const uint32_t domains[] = {0, 0, 1, 1, STOQ_REPLICA_NO_DOMAIN};
    struct world w = fresh(3, domains, 5, 1);
    assert_int_equal(w.offers[0] + w.offers[2], 2);
    assert_int_equal(w.offers[1] + w.offers[3] + w.offers[4], 0);
    receipt(&w, 0);
    assert_false(w.ended); /* the other is waited for */
    receipt(&w, 2);
    assert_true(w.ended);
    assert_int_equal(verified(&w), 2);
    stoq_replica_free(w.r);
}

static void busy_and_lost_are_asked_again(void **state)
{
    (void)state;
    const uint32_t domains[] = {0};
    struct world w = fresh(1, domains, 1, 1);
    for (uint32_t i = 1; i < STOQ_REPLICA_BUSY_MAX; i++) {
        decline(&w, 0, STOQ_REPLICA_BUSY);
        assert_int_equal(w.cookie[0], 0); /* not at once */
        later(&w, STOQ_REPLICA_BUSY_EVERY);
        assert_int_not_equal(w.cookie[0], 0);
    }
    decline(&w, 0, STOQ_REPLICA_BUSY);
    assert_true(w.ended);
    assert_int_equal(why_of(&w, 0), STOQ_REPLICA_BUSY);
    stoq_replica_free(w.r);

    w = fresh(1, domains, 1, 1);
    decline(&w, 0, STOQ_REPLICA_LOST);
    later(&w, STOQ_REPLICA_LOST_AGAIN);
    accept(&w, 0); /* counts from anew */
    later(&w, STOQ_REPLICA_LOOK_EVERY);
    decline(&w, 0, STOQ_REPLICA_LOST);
    later(&w, STOQ_REPLICA_LOST_AGAIN);
    assert_false(w.ended);
    decline(&w, 0, STOQ_REPLICA_LOST);
    assert_true(w.ended);
    assert_int_equal(why_of(&w, 0), STOQ_REPLICA_LOST);
    stoq_replica_free(w.r);
}

static void silence_is_not_waited_for(void **state)
{
    (void)state;
    const uint32_t domains[] = {0, 1};
    struct world w = fresh(1, domains, 2, 1);
    assert_true(stoq_replica_deadline(w.r) == w.now + STOQ_REPLICA_ANSWER_TIMEOUT);
    later(&w, STOQ_REPLICA_ANSWER_TIMEOUT - 1);
    feed(&w, (struct stoq_replica_event){
                 .kind = STOQ_REPLICA_REACHED, .candidate = 0, .cookie = w.cookie[0]});
    later(&w, STOQ_REPLICA_ANSWER_TIMEOUT - 1);
    assert_int_equal(state_of(&w, 0), STOQ_REPLICA_OFFERED);
    later(&w, 1);
    assert_int_equal(why_of(&w, 0), STOQ_REPLICA_SILENT);
    assert_true(w.left[0]);
    assert_int_equal(w.offers[1], 1);
    /* It accepts, and is asked how it goes; bytes keep it alive, words alone do not. */
    accept(&w, 1);
    stoq_ns limit = STOQ_REPLICA_SILENT_AFTER + STOQ_SEC;
    for (stoq_ns t = 0; t < limit; t += STOQ_REPLICA_LOOK_EVERY) {
        later(&w, STOQ_REPLICA_LOOK_EVERY);
        feed(&w,
             (struct stoq_replica_event){.kind = STOQ_REPLICA_MOVED, .candidate = 1, .u.bytes = 1});
        accept(&w, 1);
    }
    assert_int_equal(state_of(&w, 1), STOQ_REPLICA_AT_WORK);
    for (stoq_ns t = 0; t < limit && !w.ended; t += STOQ_REPLICA_LOOK_EVERY) {
        later(&w, STOQ_REPLICA_LOOK_EVERY);
        accept(&w, 1);
    }
    assert_true(w.ended);
    assert_int_equal(why_of(&w, 1), STOQ_REPLICA_SILENT);
    stoq_replica_free(w.r);
}

static void slices_come_one_after_the_other(void **state)
{
    (void)state;
    const uint32_t domains[] = {0};
    struct world w = fresh(1, domains, 1, 2 * STOQ_REPLICA_SLICE_SHARDS + 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(w.slice[0], i);
        assert_int_equal(w.count[0], i < 2 ? STOQ_REPLICA_SLICE_SHARDS : 1);
        assert_false(w.ended);
        accept(&w, 0);
        if (i > 0) { /* the one before once more: it was sent twice */
            feed(&w, (struct stoq_replica_event){.kind = STOQ_REPLICA_RECEIPT,
                                                 .candidate = 0,
                                                 .u.receipt = {.slice = i - 1}});
            assert_false(w.ended);
        }
        receipt(&w, 0);
    }
    assert_true(w.ended);
    assert_int_equal(verified(&w), 1);
    stoq_replica_free(w.r);
}

static void a_bad_receipt_and_a_stop_end(void **state)
{
    (void)state;
    const uint32_t domains[] = {0, 1};
    struct world w = fresh(2, domains, 2, 1);
    accept(&w, 0);
    feed(&w, (struct stoq_replica_event){.kind = STOQ_REPLICA_RECEIPT,
                                         .candidate = 0,
                                         .u.receipt = {.why = STOQ_REPLICA_BAD_RECEIPT}});
    assert_int_equal(why_of(&w, 0), STOQ_REPLICA_BAD_RECEIPT);
    receipt(&w, 0); /* too late for it */
    assert_int_equal(verified(&w), 0);
    assert_false(w.ended);
    feed(&w, (struct stoq_replica_event){.kind = STOQ_REPLICA_STOP});
    assert_true(w.ended && w.left[1]);
    stoq_replica_free(w.r);
}

static void limits_are_refused(void **state)
{
    (void)state;
    struct stoq_replica *r = NULL;
    struct stoq_replica_config cfg = {.wanted = 0};
    assert_int_equal(stoq_replica_new(&r, &cfg), STOQ_RANGE);
    cfg.wanted = STOQ_REPLICA_COUNT_MAX + 1;
    assert_int_equal(stoq_replica_new(&r, &cfg), STOQ_RANGE);
    cfg.wanted = 1;
    cfg.candidate_count = STOQ_REPLICA_CANDIDATES_MAX + 1;
    assert_int_equal(stoq_replica_new(&r, &cfg), STOQ_RANGE);
    struct world w = fresh(1, NULL, 0, 1); /* nobody at all */
    assert_true(w.ended);
    stoq_replica_free(w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_domains_are_asked_at_once),
        cmocka_unit_test(another_takes_the_place_of_one_that_fails),
        cmocka_unit_test(too_few_domains_end_short),
        cmocka_unit_test(busy_and_lost_are_asked_again),
        cmocka_unit_test(silence_is_not_waited_for),
        cmocka_unit_test(slices_come_one_after_the_other),
        cmocka_unit_test(a_bad_receipt_and_a_stop_end),
        cmocka_unit_test(limits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
