/* Partial holders: their maps, and who comes to hold something. Node 0 fetches; see node_world_test.h. */
#include "node/node_world_test.h"

static struct world w;

static uint64_t chunks_of(stoq_peer peer)
{
    const struct stoq_node_report *r = &w.at[0].report;
    for (uint32_t i = 0; i < r->source_count; i++) {
        if (r->sources[i].peer == peer) {
            return r->sources[i].chunks;
        }
    }
    return 0;
}

/* More shards than one query may ask about: the maps go over them in turn, and two who hold one half
 * each bring most of that. */
static void maps_go_over_many_shards(void **state)
{
    (void)state;
    static const stoq_peer all[] = {1, 2, 3};
    world_init(&w, 4, NULL);
    world_publish(&w, 1, 70000, 7, 0);
    assert_true(w.shards > STOQ_META_LISTS_MAX);
    world_copy(&w, 1, 2);
    world_copy(&w, 1, 3);
    w.at[1].rate /= 4; /* who has all of it is slow */
    w.at[2].fault = WORLD_HALF;
    w.at[3].fault = WORLD_HALF;
    world_fetch(&w, 0, all, 3);
    (void)world_run(&w, 0);
    world_check_whole(&w, 0);
    assert_true(chunks_of(2) + chunks_of(3) > w.chunks / 4);
    assert_true(w.at[2].missing_sent + w.at[3].missing_sent < w.chunks / 200);
    world_release(&w);
}

/* Node 0 fetches from 1, which is slow, and 2, which has nothing of it and begins when a tenth is over, from
 * these: 2 brings its share. */
static void fetch_beside_a_beginner(const stoq_peer *from, uint32_t count)
{
    static const stoq_peer both[] = {1, 2};
    world_init(&w, 3, NULL);
    world_publish(&w, 1, 3000, 7, 0);
    w.at[1].rate = 400000;
    w.at[0].rate = 4000000;
    w.at[2].rate = 4000000;
    world_fetch(&w, 0, both, 2);
    world_run_to(&w, 0, 1, w.bytes / 10);
    world_fetch(&w, 2, from, count);
    (void)world_run(&w, 0);
    world_check_whole(&w, 0);
    assert_true(chunks_of(2) > w.chunks / 5);
    world_release(&w);
}

/* One that lacked the package, and says by asking for it that it fetches it now, is asked again. */
static void who_begins_later_is_asked_then(void **state)
{
    (void)state;
    fetch_beside_a_beginner((const stoq_peer[]){0, 1}, 2);
}

/* Two who asked each other a moment too early, and were told no, find out later. */
static void who_begins_later_is_asked_again(void **state)
{
    (void)state;
    fetch_beside_a_beginner((const stoq_peer[]){1}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_go_over_many_shards),
        cmocka_unit_test(who_begins_later_is_asked_then),
        cmocka_unit_test(who_begins_later_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
