/* Which fetch begins when one has ended: a node alone, whose questions to its store tell who has begun. */
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE (60 * STOQ_SEC)

struct bed {
    struct stoq_node *n;
    stoq_ns now;
    uint32_t ended;
};

static struct stoq_package_id id_of(stoq_fetch_id fetch)
{
    struct stoq_package_id id = {{{0}}};
    stoq_le32_put(id.h.b, fetch);
    return id;
}

/* Take its actions; the last fetch that asked its store for its manifest. 0: none has begun. */
static stoq_fetch_id drain(struct bed *b)
{
    struct stoq_node_action a;
    stoq_fetch_id begun = 0;
    while (stoq_node_poll(b->n, b->now, &a)) {
        if (a.kind == STOQ_NODE_LOAD_META && a.u.meta.kind == STOQ_META_MANIFEST) {
            begun = stoq_le32(a.u.meta.key.b);
        }
        b->ended += a.kind == STOQ_NODE_DONE;
        if (a.kind == STOQ_NODE_DIAL) {
            struct stoq_node_event down = {
                .kind = STOQ_NODE_LINK_DOWN,
                .u.link = {.peer = a.u.dial.peer, .status = STOQ_TIMEOUT}};
            assert_int_equal(stoq_node_feed(b->n, &down, b->now), STOQ_OK);
        }
    }
    return begun;
}

static struct bed bed(uint32_t running_max)
{
    struct bed b = {.now = STOQ_SEC};
    struct stoq_node_config cfg = {.fetches_running_max = running_max};
    assert_int_equal(stoq_node_new(&b.n, &cfg, 1), STOQ_OK);
    return b;
}

static stoq_fetch_id ask(struct bed *b, stoq_fetch_id fetch, enum stoq_priority priority,
                         uint64_t until)
{
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = fetch, .id = id_of(fetch), .priority = priority, .until = until}};
    assert_int_equal(stoq_node_feed(b->n, &ev, b->now), STOQ_OK);
    return drain(b);
}

static stoq_fetch_id stop(struct bed *b, stoq_fetch_id fetch)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_STOP, .u.stop = {fetch}};
    assert_int_equal(stoq_node_feed(b->n, &ev, b->now), STOQ_OK);
    return drain(b);
}

static bool waits(const struct bed *b, stoq_fetch_id fetch)
{
    struct stoq_node_fetch_progress p;
    assert_true(stoq_node_fetch_progress(b->n, fetch, &p));
    return p.waits;
}

static void what_is_waited_for_begins_first(void **state)
{
    (void)state;
    struct bed b = bed(1);
    assert_int_equal(ask(&b, 1, STOQ_PRIORITY_NORMAL, 0), 1);
    assert_int_equal(ask(&b, 2, STOQ_PRIORITY_BACKGROUND, 0), 0);
    assert_int_equal(ask(&b, 3, STOQ_PRIORITY_NORMAL, 0), 0);
    assert_int_equal(ask(&b, 4, STOQ_PRIORITY_NORMAL, 0), 0);
    assert_int_equal(ask(&b, 5, STOQ_PRIORITY_INTERACTIVE, 0), 0);
    assert_true(waits(&b, 5) && !waits(&b, 1));
    assert_int_equal(stop(&b, 1), 5);
    assert_int_equal(stop(&b, 5), 3);
    assert_int_equal(stop(&b, 4), 0); /* one that waited: no room comes of it */
    assert_int_equal(stop(&b, 3), 2);
    assert_int_equal(stop(&b, 2), 0);
    assert_int_equal(b.ended, 5);
    stoq_node_free(b.n);
}

/* Newer ones of a higher rank do not keep it waiting for ever. */
static void age_counts(void **state)
{
    (void)state;
    struct bed b = bed(1);
    assert_int_equal(ask(&b, 1, STOQ_PRIORITY_NORMAL, 0), 1);
    assert_int_equal(ask(&b, 2, STOQ_PRIORITY_BACKGROUND, 0), 0);
    stoq_fetch_id running = 1;
    for (stoq_fetch_id next = 3; running != 2 && next < 20; next++) {
        b.now += MINUTE / 4;
        assert_int_equal(ask(&b, next, STOQ_PRIORITY_INTERACTIVE, 0), 0);
        running = stop(&b, running);
    }
    assert_int_equal(running, 2);
    assert_in_range(b.now, MINUTE, 2 * MINUTE);
    stoq_node_free(b.n);
}

static void a_reader_does_not_wait(void **state)
{
    (void)state;
    struct bed b = bed(1);
    assert_int_equal(ask(&b, 1, STOQ_PRIORITY_NORMAL, 0), 1);
    assert_int_equal(ask(&b, 2, STOQ_PRIORITY_NORMAL, 0), 0);
    assert_int_equal(ask(&b, 3, STOQ_PRIORITY_BACKGROUND, STOQ_MIB), 3);
    assert_int_equal(stop(&b, 1), 0); /* the reader takes the room */
    assert_int_equal(stop(&b, 3), 2);
    stoq_node_free(b.n);
}

/* Sources named before and while it waits are dialled when it begins, not before. */
static void nobody_is_asked_before(void **state)
{
    (void)state;
    struct bed b = bed(1);
    struct stoq_node_action a;
    const stoq_peer peer = 7;
    assert_int_equal(ask(&b, 1, STOQ_PRIORITY_NORMAL, 0), 1);
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = 2, .id = id_of(2), .sources = &peer, .source_count = 1}};
    assert_int_equal(stoq_node_feed(b.n, &ev, b.now), STOQ_OK);
    ev = (struct stoq_node_event){.kind = STOQ_NODE_ADD_SOURCE, .u.source = {2, 8}};
    assert_int_equal(stoq_node_feed(b.n, &ev, b.now), STOQ_OK);
    assert_false(stoq_node_poll(b.n, b.now, &a));
    ev = (struct stoq_node_event){.kind = STOQ_NODE_STOP, .u.stop = {1}};
    assert_int_equal(stoq_node_feed(b.n, &ev, b.now), STOQ_OK);
    uint32_t dialled = 0;
    while (stoq_node_poll(b.n, b.now, &a)) {
        dialled += a.kind == STOQ_NODE_DIAL;
    }
    assert_int_equal(dialled, 2);
    stoq_node_free(b.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_waited_for_begins_first),
        cmocka_unit_test(age_counts),
        cmocka_unit_test(a_reader_does_not_wait),
        cmocka_unit_test(nobody_is_asked_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
