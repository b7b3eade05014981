#include "trust/trust.h"

#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DAY (86400 * STOQ_SEC)
#define NEAR 1024 /* 2^-22: the root of a small fraction doubles its error */

static const struct stoq_trust_config defaults;

static struct stoq_peer_id id_of(uint32_t n)
{
    struct stoq_peer_id id = {{{0}}};
    stoq_le32_put(id.h.b, n);
    return id;
}

static struct stoq_trust *new_trust(void)
{
    struct stoq_trust *t;
    assert_int_equal(stoq_trust_new(&t, &defaults, 1), STOQ_OK);
    return t;
}

static void feed(struct stoq_trust *t, uint32_t n, enum stoq_trust_event_kind kind, uint64_t bytes,
                 stoq_ns now)
{
    struct stoq_peer_id id = id_of(n);
    struct stoq_trust_event ev = {.kind = kind, .peer = &id, .bytes = bytes};
    assert_int_equal(stoq_trust_feed(t, &ev, now), STOQ_OK);
}

static struct stoq_trust_record record(const struct stoq_trust *t, uint32_t n, stoq_ns now)
{
    struct stoq_peer_id id = id_of(n);
    struct stoq_trust_record r;
    stoq_trust_record(t, &id, now, &r);
    return r;
}

static int64_t i64(const struct vectors *v, size_t i)
{
    return strtoll(v->field[i], NULL, 10);
}

static void near_to(int64_t got, int64_t want)
{
    if (got - want > NEAR || want - got > NEAR) {
        fail_msg("%lld instead of %lld", (long long)got, (long long)want);
    }
}

static enum stoq_trust_event_kind kind_of(const char *word)
{
    static const char *const words[STOQ_TRUST_KINDS] = {
        [STOQ_TRUST_SUCCESSFUL_TRANSFER] = "success", [STOQ_TRUST_FAILED_TRANSFER] = "failed",
        [STOQ_TRUST_INVALID_DATA] = "invalid",        [STOQ_TRUST_TIMEOUT] = "timeout",
        [STOQ_TRUST_VIOLATION] = "violation",
    };
    for (size_t i = 0; i < STOQ_TRUST_KINDS; i++) {
        if (strcmp(words[i], word) == 0) {
            return (enum stoq_trust_event_kind)i;
        }
    }
    fail_msg("no such event: %s", word);
    return STOQ_TRUST_KINDS;
}

static void scores_are_the_formulas(void **state)
{
    struct vectors v;
    struct stoq_trust *t = new_trust();
    size_t scores = 0;
    size_t events = 0;
    (void)state;
    vectors_open(&v, "trust");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "score")) {
            struct stoq_trust_record r = {.good = vectors_u64(&v, 1),
                                          .bad = vectors_u64(&v, 2),
                                          .behaviour = vectors_u64(&v, 4)};
            near_to(stoq_trust_score(&r, (uint32_t)vectors_u64(&v, 3)), i64(&v, 5));
            scores++;
        } else if (vectors_is(&v, "event")) {
            stoq_ns now = vectors_u64(&v, 1) * STOQ_SEC + 77;
            feed(t, 1, kind_of(v.field[2]), vectors_u64(&v, 3), now);
            struct stoq_trust_record r = record(t, 1, now);
            near_to(stoq_trust_score(&r, 1), i64(&v, 4));
            events++;
        }
    }
    vectors_close(&v);
    assert_true(scores > 10 && events > 40);
    stoq_trust_free(t);
}

static void each_event_moves_its_counter(void **state)
{
    struct stoq_trust *t = new_trust();
    (void)state;
    feed(t, 1, STOQ_TRUST_SUCCESSFUL_TRANSFER, STOQ_MIB, 1);
    feed(t, 2, STOQ_TRUST_FAILED_TRANSFER, 0, 1);
    feed(t, 3, STOQ_TRUST_INVALID_DATA, 0, 1);
    feed(t, 4, STOQ_TRUST_TIMEOUT, 0, 1);
    for (uint32_t i = 1; i <= 4; i++) {
        struct stoq_trust_record r = record(t, i, 1);
        assert_int_equal(r.successful_transfers, i == 1);
        assert_int_equal(r.failed_transfers, i == 2);
        assert_int_equal(r.invalid_data_count, i == 3);
        assert_int_equal(r.timeout_count, i == 4);
        assert_int_equal(stoq_trust_is_cut(t, &r, 1), i == 3);
    }
    struct stoq_trust_record r = record(t, 9, 1); /* unknown: not trusted, and usable */
    assert_false(stoq_trust_is_trusted(t, &r, 1));
    assert_false(stoq_trust_is_cut(t, &r, 1));
    r = record(t, 1, 1);
    assert_true(stoq_trust_is_trusted(t, &r, 1));
    struct stoq_peer_id cut;
    struct stoq_peer_id third = id_of(3);
    assert_true(stoq_trust_poll(t, &cut));
    assert_true(stoq_hash_eq(&cut.h, &third.h));
    assert_false(stoq_trust_poll(t, &cut));
    stoq_trust_free(t);
}

static void quarantine_doubles_and_ends(void **state)
{
    struct stoq_trust *t = new_trust();
    stoq_ns now = 5;
    (void)state;
    for (uint32_t n = 0; n < STOQ_TRUST_QUARANTINES_MAX + 3; n++) {
        uint32_t doubled = n < STOQ_TRUST_QUARANTINES_MAX ? n : STOQ_TRUST_QUARANTINES_MAX;
        feed(t, 1, STOQ_TRUST_INVALID_DATA, 0, now);
        feed(t, 1, STOQ_TRUST_INVALID_DATA, 0,
             now + 1); /* on its way when it was cut: not counted */
        feed(t, 1, STOQ_TRUST_SUCCESSFUL_TRANSFER, STOQ_MIB, now + 1);
        struct stoq_trust_record r = record(t, 1, now);
        assert_int_equal(r.invalid_data_count, n + 1);
        assert_int_equal(r.successful_transfers, 0);
        assert_int_equal(r.quarantine_ns, DAY << doubled);
        now += r.quarantine_ns;
        r = record(t, 1, now - 1);
        assert_int_equal(r.quarantine_ns, 1);
        r = record(t, 1, now);
        assert_int_equal(r.quarantine_ns, 0);
    }
    stoq_trust_free(t);
}

static void silence_alone_never_cuts(void **state)
{
    struct stoq_trust *t = new_trust();
    (void)state;
    for (int i = 0; i < 500; i++) {
        feed(t, 1, i % 2 == 0 ? STOQ_TRUST_TIMEOUT : STOQ_TRUST_FAILED_TRANSFER, 0, 1);
    }
    struct stoq_trust_record r = record(t, 1, 1);
    assert_true(stoq_trust_score(&r, 1) < (int64_t)(STOQ_Q32_ONE / 10));
    assert_false(stoq_trust_is_cut(t, &r, 1));
    /* A violation of a newcomer cuts it, one of an old hand does not; both are forgiven in time. */
    feed(t, 2, STOQ_TRUST_VIOLATION, 0, 1);
    r = record(t, 2, 1);
    assert_true(stoq_trust_is_cut(t, &r, 1));
    r = record(t, 2, 1 + 60 * DAY);
    assert_false(stoq_trust_is_cut(t, &r, 1));
    stoq_ns now = 1;
    for (int i = 0; i < 100; i++) {
        now += 3600 * STOQ_SEC / 8;
        feed(t, 3, STOQ_TRUST_SUCCESSFUL_TRANSFER, STOQ_MIB, now);
    }
    feed(t, 3, STOQ_TRUST_VIOLATION, 0, now);
    r = record(t, 3, now);
    assert_true(stoq_trust_is_trusted(t, &r, 1));
    stoq_trust_free(t);
}

/* An hour of outage: the score is back within a day of ordinary use. */
static void an_honest_peer_recovers(void **state)
{
    struct stoq_trust *t = new_trust();
    stoq_ns now = 1;
    (void)state;
    for (int i = 0; i < 24; i++, now += 3600 * STOQ_SEC) {
        feed(t, 1, STOQ_TRUST_SUCCESSFUL_TRANSFER, 4 * STOQ_MIB, now);
    }
    struct stoq_trust_record r = record(t, 1, now);
    int64_t before = stoq_trust_score(&r, 1);
    for (int i = 0; i < 12; i++, now += 300 * STOQ_SEC) {
        feed(t, 1, STOQ_TRUST_TIMEOUT, 0, now);
    }
    for (int i = 0; i < 24; i++, now += 3600 * STOQ_SEC) {
        feed(t, 1, STOQ_TRUST_SUCCESSFUL_TRANSFER, 4 * STOQ_MIB, now);
    }
    r = record(t, 1, now);
    assert_true(stoq_trust_is_trusted(t, &r, 1));
    assert_true(stoq_trust_score(&r, 1) > before * 9 / 10);
    stoq_trust_free(t);
}

static void credit_is_capped(void **state)
{
    struct stoq_trust *t = new_trust();
    (void)state;
    feed(t, 1, STOQ_TRUST_SUCCESSFUL_TRANSFER, 1000 * STOQ_GIB, 1);
    assert_int_equal(record(t, 1, 1).good, STOQ_Q32_ONE);
    for (int i = 0; i < 100; i++) {
        feed(t, 1, STOQ_TRUST_SUCCESSFUL_TRANSFER, STOQ_MIB, 1);
    }
    assert_int_equal(record(t, 1, 1).good, 8 * STOQ_Q32_ONE);
    stoq_trust_free(t);
}

static void records_survive_a_restart(void **state)
{
    struct stoq_trust *t = new_trust();
    struct stoq_trust *later = new_trust();
    struct stoq_trust_record r;
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        feed(t, i, (enum stoq_trust_event_kind)(i % STOQ_TRUST_KINDS), STOQ_MIB, 100);
    }
    for (size_t i = 0; stoq_trust_at(t, i, 200, &r); i++) {
        assert_int_equal(stoq_trust_restore(later, &r, 3 * DAY, 7), STOQ_OK); /* another clock */
    }
    for (uint32_t i = 0; i < 40; i++) {
        struct stoq_trust_record a = record(t, i, 200 + 3 * DAY);
        struct stoq_trust_record b = record(later, i, 7);
        near_to(stoq_trust_score(&a, 1), stoq_trust_score(&b, 1));
        assert_int_equal(a.quarantine_ns, b.quarantine_ns);
        assert_int_equal(a.successful_transfers, b.successful_transfers);
        assert_int_equal(a.timeout_count, b.timeout_count);
    }
    r = (struct stoq_trust_record){.peer = id_of(2), .bad = 1, .proven = 2};
    assert_int_equal(stoq_trust_restore(later, &r, 0, 7), STOQ_RANGE);
    r = (struct stoq_trust_record){.peer = id_of(2)}; /* forgiven */
    assert_int_equal(stoq_trust_restore(later, &r, 0, 7), STOQ_OK);
    r = record(later, 2, 7);
    assert_false(stoq_trust_is_cut(later, &r, 1));
    stoq_trust_free(t);
    stoq_trust_free(later);
}

static void the_table_is_bounded(void **state)
{
    struct stoq_trust *t = new_trust();
    struct stoq_trust_record r;
    size_t n = 0;
    (void)state;
    feed(t, 0, STOQ_TRUST_INVALID_DATA, 0, 1);
    for (uint32_t i = 1; i < STOQ_TRUST_MAX + 500; i++) {
        feed(t, i, STOQ_TRUST_TIMEOUT, 0, 1);
    }
    while (stoq_trust_at(t, n, 1, &r)) {
        n++;
    }
    assert_int_equal(n, STOQ_TRUST_MAX);
    assert_int_equal(record(t, 0, 1).invalid_data_count, 1); /* who lied is kept */
    stoq_trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_formulas),
        cmocka_unit_test(each_event_moves_its_counter),
        cmocka_unit_test(quarantine_doubles_and_ends),
        cmocka_unit_test(silence_alone_never_cuts),
        cmocka_unit_test(an_honest_peer_recovers),
        cmocka_unit_test(credit_is_capped),
        cmocka_unit_test(records_survive_a_restart),
        cmocka_unit_test(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
