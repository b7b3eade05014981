/* Which fetch begins when one has ended: a node alone, whose questions to its store tell who has begun. */
#include "base/prng.h"
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

/* What the queue is to do, as plainly as it can be said: of those that wait the one begins that was asked for
 * first, where half a minute is added for each rank below the highest. */
struct model_fetch {
    stoq_fetch_id id; /* 0: none */
    stoq_ns asked_at;
    enum stoq_priority priority;
    bool waits;
};

static stoq_ns model_rank(const struct model_fetch *f)
{
    unsigned below = f->priority == STOQ_PRIORITY_INTERACTIVE ? 0
                     : f->priority == STOQ_PRIORITY_NORMAL    ? 1
                                                              : 2;
    return f->asked_at + below * MINUTE / 2;
}

static struct model_fetch *model_next(struct model_fetch *f, size_t count)
{
    struct model_fetch *best = NULL;
    for (size_t i = 0; i < count; i++) {
        bool is_better = f[i].id != 0 && f[i].waits &&
                         (best == NULL || model_rank(&f[i]) < model_rank(best) ||
                          (model_rank(&f[i]) == model_rank(best) && f[i].id < best->id));
        best = is_better ? &f[i] : best;
    }
    return best;
}

/* A thousand fetches of all ranks, at random times, three at once: each begins when the model says, and none
 * of the background waits longer than the line behind it and a minute explain, however many others come. */
static void the_queue_is_the_model(void **state)
{
    enum { FETCHES = 1000, ROOM = 3, OPEN = 40 };
    static struct model_fetch f[FETCHES];
    struct stoq_prng prng = stoq_prng(5);
    struct bed b = bed(ROOM);
    uint32_t running = 0;
    uint32_t open = 0;
    size_t asked = 0;
    uint32_t began[STOQ_PRIORITIES] = {0};
    (void)state;
    while (asked < FETCHES || open > 0) {
        b.now += stoq_prng_below(&prng, 4 * STOQ_SEC);
        bool asks = asked < FETCHES && open < OPEN && (open <= ROOM || stoq_prng_below(&prng, 2));
        if (asks) {
            uint64_t draw = stoq_prng_below(&prng, 8);
            struct model_fetch *g = &f[asked++];
            *g = (struct model_fetch){.id = (stoq_fetch_id)asked,
                                      .asked_at = b.now,
                                      .priority = draw == 0   ? STOQ_PRIORITY_BACKGROUND
                                                  : draw == 1 ? STOQ_PRIORITY_NORMAL
                                                              : STOQ_PRIORITY_INTERACTIVE,
                                      .waits = running == ROOM};
            assert_int_equal(ask(&b, g->id, g->priority, 0), g->waits ? 0 : g->id);
            running += g->waits ? 0 : 1;
            open++;
            continue;
        }
        struct model_fetch *g = &f[stoq_prng_below(&prng, asked)];
        if (g->id == 0 || g->waits) {
            continue;
        }
        stoq_fetch_id ends = g->id;
        g->id = 0;
        open--;
        struct model_fetch *next = model_next(f, asked);
        assert_int_equal(stop(&b, ends), next == NULL ? 0 : next->id);
        running -= next == NULL ? 1 : 0;
        if (next != NULL) {
            next->waits = false;
            began[next->priority]++;
            for (size_t i = 0; i < asked; i++) { /* nobody overtakes one that is a minute older */
                assert_true(f[i].id == 0 || !f[i].waits ||
                            f[i].asked_at + MINUTE >= next->asked_at);
            }
        }
    }
    assert_true(began[STOQ_PRIORITY_BACKGROUND] > 50 && began[STOQ_PRIORITY_INTERACTIVE] > 300);
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
        cmocka_unit_test(what_is_waited_for_begins_first), cmocka_unit_test(age_counts),
        cmocka_unit_test(the_queue_is_the_model),          cmocka_unit_test(a_reader_does_not_wait),
        cmocka_unit_test(nobody_is_asked_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
