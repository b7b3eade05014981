/* Records of ours that are kept here: given to whoever asks, the same bytes each time, without a copy. */
#include "dht/dht_world_test.h"

#include <malloc.h>

#define MANY 2000
#define KEY_BYTES_MAX 240

static void announce(struct world *w, uint32_t node, const struct stoq_hash *key)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
    ev.u.announce.key = *key;
    world_feed(w, node, &ev);
}

/* What node 0 answers to who asks it for records of a key; at most one, held for the caller. */
static struct stoq_dht_record *asked(struct world *w, const struct stoq_hash *key)
{
    struct stoq_dht_record *got = NULL;
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    struct stoq_dht_action a;
    bool answered = false;
    ev.u.request = (struct stoq_dht_request){
        .request = 1, .ask = STOQ_DHT_FIND_VALUE, .target = *key, .want = 8, .proven = true};
    world_feed(w, 0, &ev);
    while (!answered && stoq_dht_poll_answer(w->nodes[0].dht, &a)) { /* at once */
        if (a.kind == STOQ_DHT_ANSWER) {
            assert_int_equal(a.u.answer.outcome, STOQ_DHT_DONE);
            assert_true(a.u.answer.record_count <= 1);
            got = a.u.answer.record_count == 1 ? stoq_dht_record_hold(a.u.answer.records[0]) : NULL;
            answered = true;
        } else {
            world_act(w, 0, &a);
        }
    }
    assert_true(answered);
    world_drain(w, 0);
    return got;
}

static void who_asks_gets_it_as_it_was_announced(void **state)
{
    struct world *w = world_new(2, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_hash none = world_key(2);
    struct stoq_dht_record *there;
    (void)state;
    world_announce(w, 0, &key);
    assert_int_equal(stoq_dht_count(w->nodes[0].dht, &key, w->now), 1);
    assert_int_equal(stoq_dht_held(w->nodes[0].dht, &key, w->now, &there, 1), 0);
    assert_int_equal(stoq_dht_held(w->nodes[1].dht, &key, w->now, &there, 1), 1);
    for (int i = 0; i < 3; i++) {
        world_run(w, w->now + 60 * STOQ_SEC);
        struct stoq_dht_record *here = asked(w, &key);
        assert_non_null(here);
        assert_true(
            stoq_span_eq(stoq_span(here->bytes, here->n), stoq_span(there->bytes, there->n)));
        stoq_dht_record_drop(here);
    }
    assert_null(asked(w, &none));
    struct stoq_dht_event ev = {.kind = STOQ_DHT_WITHDRAW};
    ev.u.announce.key = key;
    world_feed(w, 0, &ev);
    assert_null(asked(w, &key));
    assert_int_equal(stoq_dht_count(w->nodes[0].dht, &key, w->now), 0);
    world_free(w);
}

static void our_own_lookup_finds_it(void **state)
{
    struct world *w = world_new(1, 1); /* nobody else could tell */
    struct stoq_hash key = world_key(1);
    (void)state;
    world_announce(w, 0, &key);
    world_look(w, 0, &key, true, false);
    assert_int_equal(w->look.found, 1);
    world_free(w);
}

/* It is not given before it is announced: its holders have what it said before. */
static void what_says_something_else_is_announced_first(void **state)
{
    struct world *w = world_new(2, 1);
    struct stoq_hash key = world_key(1);
    struct stoq_dht_record *there;
    (void)state;
    world_announce(w, 0, &key);
    world_run(w, w->now + 60 * STOQ_SEC);
    uint32_t told = w->told_count;
    w->changed = true;
    assert_null(asked(w, &key));
    w->changed = false;
    world_run(w, w->now + 5 * STOQ_SEC);
    assert_int_equal(w->told_count, told + 1); /* long before it was due */
    struct stoq_dht_record *here = asked(w, &key);
    assert_non_null(here);
    assert_int_equal(stoq_dht_held(w->nodes[1].dht, &key, w->now, &there, 1), 1);
    assert_int_equal(here->digest, there->digest);
    stoq_dht_record_drop(here);
    world_free(w);
}

/* All holders but its publisher are gone: who comes gets it from him. */
static void a_newcomer_is_given_it(void **state)
{
    struct world *w = world_new(60, 17);
    uint32_t publisher = 0;
    uint32_t n = w->count;
    (void)state;
    world_node_new(w, n, false);
    assert_int_equal(world_nearest(w, &w->nodes[n].id, &publisher, 1), 1);
    struct stoq_hash key = w->nodes[publisher].id; /* whom it is nearest to is nearest to that */
    key.b[sizeof key.b - 1] ^= 1;
    w->nodes[n].dead = true; /* not there yet */
    w->count++;
    world_announce(w, publisher, &key);
    for (uint32_t i = 0; i < n; i++) {
        w->nodes[i].dead = i != publisher;
    }
    w->nodes[n].dead = false;
    world_met(w, n, publisher);
    world_met(w, publisher, n);
    world_run(w, w->now + 30 * STOQ_SEC);
    assert_int_equal(stoq_dht_count(w->nodes[n].dht, &key, w->now), 1);
    world_free(w);
}

/* Alone, we keep all of them. */
static void a_key_costs_its_schedule_and_no_copy(void **state)
{
    struct world *w = world_new(1, 1);
    size_t before = mallinfo2().uordblks;
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        struct stoq_hash key = world_key(i);
        announce(w, 0, &key);
    }
    world_drain(w, 0);
    world_run(w, w->now + 600 * STOQ_SEC);
    size_t bytes = (mallinfo2().uordblks - before) / MANY;
    uint32_t here = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        struct stoq_hash key = world_key(i);
        here += stoq_dht_count(w->nodes[0].dht, &key, w->now) == 1;
    }
    print_message("%zu bytes a key\n", bytes);
    assert_int_equal(here, MANY);
    assert_true(bytes <= KEY_BYTES_MAX);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_gets_it_as_it_was_announced),
        cmocka_unit_test(our_own_lookup_finds_it),
        cmocka_unit_test(what_says_something_else_is_announced_first),
        cmocka_unit_test(a_newcomer_is_given_it),
        cmocka_unit_test(a_key_costs_its_schedule_and_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
