/* Classes, groups, windows of the day, and what is left when transfers have ended in whatever way. */
#include "base/prng.h"
#include "qos/qos.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CHUNK (64u << 10)
#define CAP 10000000u

static const struct stoq_alloc heap;

struct mover {
    stoq_qos_flow flow;
    uint64_t moved;
    uint64_t left; /* to move; UINT64_MAX: without end */
    bool waits;
};

struct bed {
    struct stoq_qos *q;
    struct mover m[128];
    size_t count;
    stoq_ns now;
};

static struct stoq_peer_id id_of(uint64_t n)
{
    struct stoq_peer_id id = {{{0}}};
    stoq_le64_put(id.h.b, n);
    return id;
}

static void set_cap(struct bed *b, enum stoq_qos_scope scope, enum stoq_priority priority,
                    uint64_t rate)
{
    struct stoq_qos_whose whose = {scope, priority, NULL};
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        assert_int_equal(stoq_qos_limit(b->q, (enum stoq_qos_dir)dir, &whose, rate, b->now),
                         STOQ_OK);
    }
}

static struct bed *bed(uint64_t cap)
{
    static struct bed b;
    b = (struct bed){.now = 1};
    assert_int_equal(stoq_qos_new(&b.q, &heap), STOQ_OK);
    set_cap(&b, STOQ_QOS_ALL, 0, cap);
    return &b;
}

static struct mover *add(struct bed *b, enum stoq_qos_dir dir, enum stoq_priority priority,
                         uint64_t group, uint64_t bytes)
{
    struct mover *m = &b->m[b->count++];
    struct stoq_peer_id id = id_of(group);
    struct stoq_qos_open open = {.dir = dir,
                                 .priority = priority,
                                 .peer = &id,
                                 .group = group,
                                 .transfer = group,
                                 .user = m};
    *m = (struct mover){.flow = stoq_qos_open(b->q, &open), .left = bytes};
    assert_true(m->flow > 0);
    return m;
}

static void want(struct bed *b, struct mover *m)
{
    uint64_t bytes = m->left < CHUNK ? m->left : CHUNK;
    if (m->flow != 0 && !m->waits && bytes > 0) {
        m->waits = !stoq_qos_want(b->q, m->flow, bytes, b->now);
        if (!m->waits) {
            m->moved += bytes;
        }
    }
}

/* Virtual time, from deadline to deadline: whoever was granted wants its next chunk at once. */
static void run(struct bed *b, stoq_ns time)
{
    stoq_ns until = b->now + time;
    struct stoq_qos_grant g;
    for (size_t i = 0; i < b->count; i++) {
        want(b, &b->m[i]);
    }
    while (b->now < until) {
        while (stoq_qos_poll(b->q, b->now, &g)) {
            struct mover *m = g.user;
            m->moved += g.bytes;
            m->left -= m->left == UINT64_MAX ? 0 : g.bytes;
            m->waits = false;
            want(b, m);
        }
        stoq_ns next = stoq_qos_deadline(b->q);
        b->now = next < until ? next : until;
    }
}

static void end(struct bed *b)
{
    struct stoq_qos_view v;
    for (size_t i = 0; i < b->count; i++) {
        stoq_qos_close(b->q, b->m[i].flow);
    }
    assert_false(stoq_qos_at(b->q, 0, b->now, &v));
    stoq_qos_check(b->q);
    stoq_qos_free(b->q);
}

static void interactive_keeps_its_rate_beside_background(void **state)
{
    (void)state;
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        struct bed *b = bed(CAP);
        enum stoq_qos_dir d = (enum stoq_qos_dir)dir;
        for (uint64_t i = 0; i < 100; i++) {
            (void)add(b, d, STOQ_PRIORITY_BACKGROUND, 100 + i, UINT64_MAX);
        }
        run(b, 5 * STOQ_SEC);
        struct mover *me = add(b, d, STOQ_PRIORITY_INTERACTIVE, 1, UINT64_MAX);
        run(b, 10 * STOQ_SEC);
        assert_true(me->moved >= (uint64_t)CAP * 10 * 9 / 10);
        end(b);
    }
}

/* What began first ends, though what is waited for never stops. */
static void the_oldest_background_ends(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct mover *old = add(b, STOQ_QOS_UP, STOQ_PRIORITY_BACKGROUND, 7, 4 * STOQ_MIB);
    for (uint64_t i = 0; i < 20; i++) {
        (void)add(b, STOQ_QOS_UP, STOQ_PRIORITY_INTERACTIVE, 100 + i, UINT64_MAX);
    }
    run(b, 15 * STOQ_SEC);
    assert_int_equal(old->moved, 4 * STOQ_MIB);
    end(b);
}

/* By group: a hundred normal transfers leave an interactive one four shares of theirs, no more. */
static void interactive_weighs_four(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct mover *me = add(b, STOQ_QOS_UP, STOQ_PRIORITY_INTERACTIVE, 1, UINT64_MAX);
    struct mover *other = add(b, STOQ_QOS_UP, STOQ_PRIORITY_NORMAL, 2, UINT64_MAX);
    struct mover *third = add(b, STOQ_QOS_UP, STOQ_PRIORITY_NORMAL, 3, UINT64_MAX);
    run(b, 30 * STOQ_SEC);
    assert_true(me->moved * 10 >= other->moved * 36 && me->moved * 10 <= other->moved * 44);
    double x = (double)other->moved;
    double y = (double)third->moved;
    assert_true((x + y) * (x + y) / (2 * (x * x + y * y)) >= 0.95); /* Jain */
    end(b);
}

static void background_takes_all_that_nobody_wants(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct mover *back = add(b, STOQ_QOS_DOWN, STOQ_PRIORITY_BACKGROUND, 1, UINT64_MAX);
    struct mover *me = add(b, STOQ_QOS_DOWN, STOQ_PRIORITY_INTERACTIVE, 2, 10 * STOQ_MIB);
    run(b, 20 * STOQ_SEC);
    assert_int_equal(me->moved, 10 * STOQ_MIB);
    uint64_t all = back->moved + me->moved;
    assert_true(all >= (uint64_t)CAP * 19 && all <= (uint64_t)CAP * 21);
    end(b);
}

static void a_class_has_a_cap_of_its_own(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct stoq_peer_id id = id_of(1);
    set_cap(b, STOQ_QOS_CLASS, STOQ_PRIORITY_BACKGROUND, 1000000);
    struct mover *back = add(b, STOQ_QOS_UP, STOQ_PRIORITY_BACKGROUND, 1, UINT64_MAX);
    run(b, 10 * STOQ_SEC);
    assert_true(back->moved >= 9500000 && back->moved <= 10500000);
    assert_int_equal(stoq_qos_tightest(b->q, STOQ_QOS_UP, &id, STOQ_PRIORITY_BACKGROUND), 1000000);
    assert_int_equal(stoq_qos_tightest(b->q, STOQ_QOS_UP, &id, STOQ_PRIORITY_NORMAL), CAP);
    struct mover *normal = add(b, STOQ_QOS_UP, STOQ_PRIORITY_NORMAL, 2, UINT64_MAX);
    run(b, 10 * STOQ_SEC);
    assert_true(normal->moved >= 85000000); /* it stands aside, and its part is used */
    end(b);
}

static void windows_hold_at_their_time_of_day(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct stoq_qos_whose all = {STOQ_QOS_ALL, 0, NULL};
    struct stoq_qos_window day = {.from_minute = 480, .to_minute = 1080, .set = {true, false}};
    struct stoq_qos_window night = {.from_minute = 1320, .to_minute = 360, .set = {true, true}};
    struct stoq_qos_window out;
    bool holds;
    day.rate_bytes_per_s[STOQ_QOS_UP] = 1000;
    assert_int_equal(stoq_qos_add_window(b->q, &day, 1), STOQ_OK);
    assert_int_equal(stoq_qos_add_window(b->q, &night, 1), STOQ_OK);
    const struct {
        unsigned minute;
        uint64_t up;
        uint64_t down;
    } at[] = {{479, CAP, CAP}, {480, 1000, CAP}, {1079, 1000, CAP}, {1080, CAP, CAP},
              {1320, 0, 0},    {0, 0, 0},        {359, 0, 0},       {360, CAP, CAP}};
    assert_int_equal(stoq_qos_rate(b->q, STOQ_QOS_UP, &all), CAP); /* nobody has told the time */
    for (size_t i = 0; i < STOQ_COUNT(at); i++) {
        stoq_qos_local_time(b->q, at[i].minute, 2);
        assert_int_equal(stoq_qos_rate(b->q, STOQ_QOS_UP, &all), at[i].up);
        assert_int_equal(stoq_qos_rate(b->q, STOQ_QOS_DOWN, &all), at[i].down);
    }
    stoq_qos_local_time(b->q, 600, 3);
    assert_true(stoq_qos_window_at(b->q, 0, &out, &holds) && holds);
    assert_true(stoq_qos_window_at(b->q, 1, &out, &holds) && !holds);
    day.set[STOQ_QOS_UP] = false; /* nothing set: it is taken away */
    assert_int_equal(stoq_qos_add_window(b->q, &day, 4), STOQ_OK);
    assert_int_equal(stoq_qos_rate(b->q, STOQ_QOS_UP, &all), CAP);
    assert_false(stoq_qos_window_at(b->q, 1, &out, &holds));
    day.to_minute = STOQ_QOS_DAY_MINUTES;
    assert_int_equal(stoq_qos_add_window(b->q, &day, 4), STOQ_RANGE);
    end(b);
}

/* Success, error, cancel, kill: a flow that is closed leaves nothing, wherever it was. */
static void a_thousand_ends_leave_nothing(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct stoq_prng r = stoq_prng(3);
    struct stoq_qos_view v;
    for (uint64_t i = 0; i < 1000; i++) {
        b->count = 0;
        for (uint64_t k = 0; k < 4; k++) {
            (void)add(b, (enum stoq_qos_dir)(k % 2), (enum stoq_priority)((i + k) % 3), i * 4 + k,
                      stoq_prng_below(&r, STOQ_MIB));
        }
        run(b, stoq_prng_below(&r, 200) * STOQ_MS);
        if (i % 4 == 1) { /* stopped before it began to want again */
            for (size_t k = 0; k < b->count; k++) {
                stoq_qos_unwant(b->q, b->m[k].flow);
                b->m[k].waits = false;
            }
        }
        uint64_t granted = 0;
        for (size_t k = 0; stoq_qos_at(b->q, k, b->now, &v); k++) {
            granted += v.granted;
        }
        uint64_t moved = 0;
        for (size_t k = 0; k < b->count; k++) {
            moved += b->m[k].moved;
            stoq_qos_close(b->q, b->m[k].flow);
            b->m[k].flow = 0;
        }
        assert_int_equal(granted, moved);
        assert_false(stoq_qos_at(b->q, 0, b->now, &v));
        assert_int_equal(stoq_qos_deadline(b->q), STOQ_NEVER);
        stoq_qos_check(b->q);
    }
    b->count = 0;
    end(b);
}

static void rates_are_told(void **state)
{
    (void)state;
    struct bed *b = bed(CAP);
    struct stoq_qos_view v;
    (void)add(b, STOQ_QOS_UP, STOQ_PRIORITY_INTERACTIVE, 5, UINT64_MAX);
    run(b, 5 * STOQ_SEC);
    assert_true(stoq_qos_at(b->q, 0, b->now, &v));
    assert_int_equal(v.transfer, 5);
    assert_int_equal(v.priority, STOQ_PRIORITY_INTERACTIVE);
    assert_true(v.rate_bytes_per_s > CAP / 10 * 9 && v.rate_bytes_per_s < CAP / 10 * 11);
    assert_true(stoq_qos_at(b->q, 0, b->now + 60 * STOQ_SEC, &v));
    assert_true(v.rate_bytes_per_s < CAP / 20); /* it stands still */
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interactive_keeps_its_rate_beside_background),
        cmocka_unit_test(the_oldest_background_ends),
        cmocka_unit_test(interactive_weighs_four),
        cmocka_unit_test(background_takes_all_that_nobody_wants),
        cmocka_unit_test(a_class_has_a_cap_of_its_own),
        cmocka_unit_test(windows_hold_at_their_time_of_day),
        cmocka_unit_test(a_thousand_ends_leave_nothing),
        cmocka_unit_test(rates_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
