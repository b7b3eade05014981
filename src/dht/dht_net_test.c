/* Whole networks: what lookups find, how far they go, what becomes of records, attackers among them. */
#include "dht/dht_world_test.h"

static void lookups_find_the_true_nearest(void **state)
{
    struct world *w = world_new(250, 11);
    uint32_t exact = 0;
    uint32_t hops = 0;
    uint32_t walks = 0;
    uint32_t calls = 0;
    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        struct stoq_hash key = world_key(i);
        uint32_t truth[STOQ_DHT_K + 1];
        uint32_t from = i * 3 % w->count;
        world_look(w, from, &key, false, false);
        uint32_t n = world_nearest(w, &key, truth, STOQ_DHT_K + 1);
        uint32_t k = 0;
        bool same = w->look.end.contact_count == STOQ_DHT_K;
        for (uint32_t t = 0; t < n && k < w->look.end.contact_count && same; t++) {
            if (truth[t] != from) { /* one does not look for oneself */
                same = w->nodes[truth[t]].contact == w->look.near[k++];
            }
        }
        exact += same;
        hops += w->look.end.hops;
        assert_true(w->look.end.hops <= w->look.end.hops_all);
        assert_true(w->look.end.hops_all <= w->look.end.hops_walk);
        walks += w->look.end.hops_walk;
        calls += w->look.end.calls;
    }
    print_message("250 nodes: %u of 100 exact, %.2f hops, %.1f calls\n", exact, hops / 100.0,
                  calls / 100.0);
    assert_true(exact >= 99);
    assert_true(hops <= 300);
    assert_true(walks > hops && walks <= 500);
    world_free(w);
}

static void small_networks_count_true_replicas(void **state)
{
    static const uint32_t sizes[] = {1, 2, 3, 20, 60};
    (void)state;
    for (size_t s = 0; s < STOQ_COUNT(sizes); s++) {
        struct world *w = world_new(sizes[s], 5);
        struct stoq_hash key = world_key(7);
        world_announce(w, 0, &key);
        uint32_t wanted = sizes[s] < STOQ_DHT_K ? sizes[s] : STOQ_DHT_K;
        assert_int_equal(w->told.wanted, wanted);
        assert_int_equal(w->told.got, world_holders(w, &key));
        assert_true(w->told.got >= wanted);
        assert_true(w->told.enough);
        for (uint32_t i = 0; i < w->count; i++) {
            world_look(w, i, &key, true, false);
            assert_true(w->look.found >= 1);
            assert_true(stoq_hash_eq(&w->look.records[0]->publisher.h, &w->nodes[0].peer.h));
        }
        world_free(w);
    }
}

/* The same decision as a reference makes that sees everybody. */
static void holders_are_the_reference(void **state)
{
    struct world *w = world_new(120, 9);
    uint32_t right = 0;
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        struct stoq_hash key = world_key(100 + i);
        uint32_t truth[STOQ_DHT_K];
        uint32_t from = i * 7 % w->count;
        bool same = true;
        world_announce(w, from, &key);
        uint32_t n = world_nearest(w, &key, truth, STOQ_DHT_K);
        bool near = false;
        for (uint32_t k = 0; k < n; k++) {
            same = same && stoq_dht_count(w->nodes[truth[k]].dht, &key, w->now) == 1;
            near = near || truth[k] == from;
        }
        /* Kept here exactly when we are one of them. */
        same = same && near == (stoq_dht_count(w->nodes[from].dht, &key, w->now) == 1);
        right += same;
    }
    assert_true(right >= 59);
    world_free(w);
}

static void many_dead_at_once(void **state)
{
    struct world *w = world_new(100, 3);
    struct stoq_hash keys[20];
    uint32_t found = 0;
    stoq_ns longest = 0;
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        keys[i] = world_key(i);
        world_announce(w, i, &keys[i]);
    }
    for (uint32_t i = 50; i < 90; i++) {
        w->nodes[i].dead = true;
    }
    for (uint32_t i = 0; i < 20; i++) {
        world_look(w, 95, &keys[i], true, false);
        found += w->look.found > 0;
        longest = w->look.end.took_ns > longest ? w->look.end.took_ns : longest;
    }
    print_message("40 %% dead: %u of 20 found, longest %.0f ms\n", found, (double)longest / 1e6);
    assert_int_equal(found, 20);
    assert_true(longest < 5 * STOQ_SEC);
    world_free(w);
}

/* All who hold a record die in one moment; the provider lives. */
static void a_provider_is_found_though_all_holders_died(void **state)
{
    struct world *w = world_new(45, 31);
    struct stoq_hash key = world_key(4);
    uint32_t truth[STOQ_DHT_K + 1];
    (void)state;
    uint32_t n = world_nearest(w, &key, truth, STOQ_DHT_K + 1);
    uint32_t from = truth[n - 1]; /* not one of the K */
    world_announce(w, from, &key);
    assert_true(w->told.got >= STOQ_DHT_K);
    for (uint32_t i = 0; i < w->count; i++) {
        w->nodes[i].dead = i != from && stoq_dht_count(w->nodes[i].dht, &key, w->now) == 1;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        if (!w->nodes[i].dead && i != from) {
            world_look(w, i, &key, true, false);
            assert_int_equal(w->look.found, 1);
            assert_true(w->look.end.took_ns < 5 * STOQ_SEC);
        }
    }
    world_free(w);
}

static void a_record_is_gone_at_its_ttl(void **state)
{
    struct world *w = world_new(30, 4);
    struct stoq_hash key = world_key(1);
    (void)state;
    world_announce(w, 2, &key);
    w->nodes[2].dead = true; /* nobody announces it again */
    world_run(w, w->now + 3500 * STOQ_SEC);
    world_look(w, 9, &key, true, false);
    assert_int_equal(w->look.found, 1);
    world_run(w, w->now + 200 * STOQ_SEC);
    world_look(w, 9, &key, true, false);
    assert_int_equal(w->look.found, 0);
    assert_int_equal(world_holders(w, &key), 0);
    world_free(w);
}

static void announcing_goes_on_by_itself(void **state)
{
    struct world *w = world_new(30, 4);
    struct stoq_hash key = world_key(1);
    (void)state;
    world_announce(w, 2, &key);
    world_run(w, w->now + 3 * 3600 * STOQ_SEC);
    world_look(w, 9, &key, true, false);
    assert_int_equal(w->look.found, 1);
    struct stoq_dht_event ev = {.kind = STOQ_DHT_WITHDRAW};
    ev.u.announce.key = key;
    world_feed(w, 2, &ev);
    world_drain(w, 2);
    world_run(w, w->now + 10 * STOQ_SEC);
    assert_true(w->told.withdrawn);
    world_look(w, 9, &key, true, false);
    assert_int_equal(w->look.found, 0);
    world_free(w);
}

/* Neighbouring keys share lookups: far fewer than one a key. */
static void a_sweep_shares_lookups(void **state)
{
    struct world *w = world_new(200, 6);
    struct stoq_dht_stats before;
    struct stoq_dht_stats after;
    (void)state;
    stoq_dht_stats(w->nodes[0].dht, &before);
    for (uint32_t i = 0; i < 2000; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = world_key(1000 + i);
        world_feed(w, 0, &ev);
    }
    world_drain(w, 0);
    world_run(w, w->now + 400 * STOQ_SEC);
    stoq_dht_stats(w->nodes[0].dht, &after);
    print_message("2000 keys, 200 nodes: %llu lookups, %u enough\n",
                  (unsigned long long)(after.lookups - before.lookups), after.own_held);
    assert_int_equal(after.own, 2000);
    assert_int_equal(after.own_held, 2000);
    assert_true(after.lookups - before.lookups <= 100);
    for (uint32_t i = 0; i < 40; i++) {
        struct stoq_hash key = world_key(1000 + 49 * i);
        uint32_t truth[STOQ_DHT_K];
        uint32_t has = 0;
        uint32_t n = world_nearest(w, &key, truth, STOQ_DHT_K);
        for (uint32_t k = 0; k < n; k++) {
            has += stoq_dht_count(w->nodes[truth[k]].dht, &key, w->now) > 0;
        }
        assert_true(has >= STOQ_DHT_K - 1);
    }
    world_free(w);
}

/* Of those that are created now, the first that belongs to the nearest of the key. */
static uint32_t newcomer_near(struct world *w, const struct stoq_hash *key)
{
    uint32_t truth[STOQ_DHT_K];
    for (;;) {
        uint32_t n = w->count++;
        world_node_new(w, n, false);
        uint32_t count = world_nearest(w, key, truth, STOQ_DHT_K);
        for (uint32_t i = 0; i < count; i++) {
            if (truth[i] == n) {
                return n;
            }
        }
        w->nodes[n].dead = true; /* nobody ever heard of it */
    }
}

/* Who only asks answers nothing, holds nothing and is nobody's contact; what it announces, others hold. */
static void a_client_is_asked_in_vain(void **state)
{
    enum { NODES = 5 };
    static const enum stoq_dht_ask asks[] = {STOQ_DHT_PING, STOQ_DHT_FIND_NODE, STOQ_DHT_FIND_VALUE,
                                             STOQ_DHT_STORE};
    struct world *w = world_new(NODES, 47);
    const struct stoq_peer_id who = {.h = {{1, 0xff}}};
    struct stoq_hash key = world_key(1);
    (void)state;
    world_node_new(w, w->count++, true);
    world_met(w, NODES, 1);
    world_run(w, w->now + 10 * STOQ_SEC);
    struct stoq_dht_record *r = world_record(&key, &who, 1, world_wall(w), STOQ_DHT_TTL_S);
    for (size_t i = 0; i < STOQ_COUNT(asks); i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
        ev.u.request = (struct stoq_dht_request){.request = 1,
                                                 .ask = asks[i],
                                                 .target = key,
                                                 .want = 20,
                                                 .record = asks[i] == STOQ_DHT_STORE ? r : NULL,
                                                 .proven = true,
                                                 .own = true};
        w->answered = STOQ_DHT_DONE;
        world_feed(w, NODES, &ev);
        world_drain(w, NODES);
        assert_int_equal(w->answered, STOQ_DHT_REFUSED);
    }
    stoq_dht_record_drop(r);
    assert_int_equal(stoq_dht_count(w->nodes[NODES].dht, &key, w->now), 0);
    world_announce(w, NODES, &key);
    assert_true(w->told.enough && w->told.wanted == NODES && w->told.got == NODES);
    assert_int_equal(world_holders(w, &key), NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        struct stoq_dht_contact c;
        for (size_t at = 0; stoq_dht_at(w->nodes[i].dht, at, w->now, &c); at++) {
            assert_true(c.contact != w->nodes[NODES].contact);
        }
    }
    world_free(w);
}

/* Long before a record is announced again, who came meanwhile and is near its key has it: from the holders
 * that are nearest to it by what they know, not from all. */
static void newcomers_are_given_what_they_are_near_to(void **state)
{
    struct world *w = world_new(60, 17);
    uint32_t given = 0;
    uint32_t copies = 0;
    uint32_t stores = 0;
    uint64_t handed = 0;
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        struct stoq_hash key = world_key(i);
        world_announce(w, i, &key);
        uint32_t n = newcomer_near(w, &key);
        world_met(w, n, 30 + i);
        world_run(w, w->now + 30 * STOQ_SEC);
        given += stoq_dht_count(w->nodes[n].dht, &key, w->now) == 1;
        for (uint32_t k = 0; k <= i; k++) {
            key = world_key(k);
            copies += stoq_dht_count(w->nodes[n].dht, &key, w->now) > 0;
        }
        stores += w->nodes[n].stores;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        struct stoq_dht_stats s;
        stoq_dht_stats(w->nodes[i].dht, &s);
        handed += s.handed;
    }
    assert_int_equal(given, 10);
    assert_true(handed >= 10);
    assert_true(stores <= copies * STOQ_DHT_K / 2); /* some 6 a copy: few know all the others yet */
    world_free(w);
}

/* Who asks leaves a copy with the nearest that had none; it lives an hour, as its provider was there then. */
static void copies_are_left_on_the_path(void **state)
{
    struct world *w = world_new(150, 6);
    struct stoq_hash key = world_key(3);
    (void)state;
    world_announce(w, 2, &key);
    uint32_t before = world_holders(w, &key);
    world_run(w, w->now + 600 * STOQ_SEC);
    for (uint32_t i = 0; i < 40; i++) {
        world_look(w, 100 + i, &key, true, false);
        assert_true(w->look.end.paths >= STOQ_DHT_PATHS);
    }
    world_run(w, w->now + 5 * STOQ_SEC);
    assert_true(world_holders(w, &key) > before);
    w->nodes[2].dead = true;
    world_run(w, w->now + 3600 * STOQ_SEC);
    assert_int_equal(world_holders(w, &key), 0);
    world_free(w);
}

/* The sequence of what a node holds; 0: nothing. */
static uint64_t sequence_at(const struct world *w, uint32_t n, const struct stoq_hash *key)
{
    struct stoq_dht_record *r;
    return stoq_dht_held(w->nodes[n].dht, key, w->now, &r, 1) == 0 ? 0 : r->sequence;
}

/* Its publisher brings it. */
static void bring(struct world *w, uint32_t to, struct stoq_dht_record *r)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    ev.u.request = (struct stoq_dht_request){
        .request = 1, .ask = STOQ_DHT_STORE, .record = r, .proven = true, .own = true};
    world_feed(w, to, &ev);
    world_drain(w, to);
}

/* An older record, good in all else, lies with some who never had the newer one: whoever reads both takes the
 * newer, and tells them of it. */
static void who_reads_mends_what_is_stale(void **state)
{
    enum { STALE = 3 };
    struct world *w = world_new(120, 17);
    struct stoq_hash key = world_key(1);
    struct stoq_peer_id who = w->nodes[0].peer;
    uint32_t near[STOQ_DHT_K] = {0};
    struct stoq_dht_stats stats;
    (void)state;
    uint64_t wall = world_wall(w);
    struct stoq_dht_record *old = world_record(&key, &who, 6, wall, 3600);
    struct stoq_dht_record *fresh = world_record(&key, &who, 7, wall, 3600);
    uint32_t n = world_nearest(w, &key, near, STOQ_DHT_K);
    for (uint32_t i = 0; i < n; i++) {
        bring(w, near[i], i % 2 == 0 && i < 2 * STALE ? old : fresh);
    }
    for (uint32_t i = 0; i < 2 * STALE; i++) {
        assert_int_equal(sequence_at(w, near[i], &key), i % 2 == 0 ? 6 : 7);
    }
    uint32_t reader = near[0] == 100 || near[0] == 0 ? 101 : 100;
    world_look(w, reader, &key, true, true);
    assert_int_equal(w->look.records[w->look.found - 1]->sequence, 7); /* the newest is told last */
    world_run(w, w->now + 5 * STOQ_SEC);
    stoq_dht_stats(w->nodes[reader].dht, &stats);
    assert_int_equal(stats.mended, STALE);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(sequence_at(w, near[i], &key), 7);
    }
    bring(w, near[0], old); /* and once more: he knows better now */
    assert_int_equal(sequence_at(w, near[0], &key), 7);
    world_look(w, reader, &key, true, true);
    stoq_dht_stats(w->nodes[reader].dht, &stats);
    assert_int_equal(stats.mended, STALE); /* there is nothing left to mend */
    stoq_dht_record_drop(old);
    stoq_dht_record_drop(fresh);
    world_free(w);
}

/* The walk over slots finds what a look at everybody finds. */
static void the_nearest_are_the_nearest(void **state)
{
    struct world *w = world_new(200, 19);
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        struct stoq_dht *dht = w->nodes[i % 7].dht;
        struct stoq_hash target = world_key(i);
        stoq_contact_no got[STOQ_DHT_WANT_MAX];
        stoq_contact_no want[STOQ_DHT_WANT_MAX];
        struct stoq_dht_contact c;
        uint32_t max = 1 + i % STOQ_DHT_WANT_MAX;
        uint32_t n = 0;
        for (uint32_t b = 0; b < i % 17; b++) { /* near us: deep levels */
            target.b[b] = w->nodes[i % 7].id.b[b];
        }
        for (size_t at = 0; stoq_dht_at(dht, at, w->now, &c); at++) {
            uint32_t k = n;
            if (c.spare || c.fails > 0) {
                continue;
            }
            while (k > 0 && stoq_dht_nearer(&target, &stoq_dht_book_get(w->book, c.contact)->id,
                                            &stoq_dht_book_get(w->book, want[k - 1])->id) < 0) {
                k--;
            }
            if (k < max) {
                n += n < max;
                memmove(&want[k + 1], &want[k], (n - k - 1) * sizeof want[0]);
                want[k] = c.contact;
            }
        }
        assert_int_equal(stoq_dht_nearest(dht, &target, got, max), n);
        assert_memory_equal(got, want, n * sizeof got[0]);
    }
    world_free(w);
}

/* Rounds of announcing stay together: the second and third share lookups as the first did. */
static void later_sweeps_share_lookups_too(void **state)
{
    struct world *w = world_new(100, 6);
    struct stoq_dht_stats s;
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = world_key(1000 + i);
        world_feed(w, 0, &ev);
    }
    stoq_dht_stats(w->nodes[0].dht, &s);
    assert_int_equal(s.own_fresh, 0);
    world_drain(w, 0);
    world_run(w, w->now + 600 * STOQ_SEC);
    stoq_dht_stats(w->nodes[0].dht, &s);
    assert_int_equal(s.own_fresh, 1000); /* all of 1000 are done */
    uint64_t before = s.lookups;
    uint64_t stores = w->stores;
    uint64_t named = w->named;
    world_run(w, w->now + 5400 * STOQ_SEC);
    stoq_dht_stats(w->nodes[0].dht, &s);
    print_message("three more rounds of 1000 keys: %llu lookups\n",
                  (unsigned long long)(s.lookups - before));
    assert_true(w->named - named >= 2 * 1000 * (STOQ_DHT_K - 1)); /* it did go round */
    assert_true(w->stores - stores <= 1000); /* and what was there was not sent */
    assert_true(s.lookups - before <= 3 * 50);
    world_free(w);
}

/* Killed and started again, a provider goes on behind the cursor that it saved. */
static void a_sweep_goes_on_where_it_stood(void **state)
{
    struct world *w = world_new(40, 6);
    struct world_node *n = &w->nodes[0];
    struct stoq_hash from = {{0x80}};
    struct stoq_dht_config cfg = {.book = w->book,
                                  .id = n->id,
                                  .self = n->contact,
                                  .peer = n->peer,
                                  .seed = 9,
                                  .wall_s = WORLD_WALL,
                                  .sweep_from = from};
    struct stoq_dht_stats s;
    (void)state;
    stoq_dht_free(n->dht);
    assert_int_equal(stoq_dht_new(&n->dht, &cfg), STOQ_OK);
    for (uint32_t i = 0; i < 40; i++) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
        ev.u.announce.key = world_key(i);
        world_feed(w, 0, &ev);
    }
    world_met(w, 0, 1);
    do { /* until the first of them are under way: those behind the cursor, not the first of all */
        world_run(w, w->now + STOQ_MS / 10);
        stoq_dht_stats(n->dht, &s);
    } while (stoq_hash_eq(&s.sweep_at, &from));
    assert_true(s.sweep_at.b[0] >= 0x80);
    world_run(w, w->now + 60 * STOQ_SEC);
    stoq_dht_stats(n->dht, &s);
    assert_int_equal(s.own_fresh, 40); /* and round to the first ones */
    world_free(w);
}

/* 20 % of the nodes name only each other and withhold what they hold. */
static uint32_t found_among_liars(enum stoq_dht_without without)
{
    struct world *w = world_new_without(200, 8, without);
    uint32_t found = 0;
    for (uint32_t i = 0; i < 100; i++) {
        struct stoq_hash key = world_key(i);
        world_announce(w, i, &key);
    }
    for (uint32_t i = 0; i < w->count; i++) {
        if (i % 5 == 0) {
            w->nodes[i].role = WORLD_MISROUTES;
        }
    }
    for (uint32_t i = 0; i < 100; i++) {
        struct stoq_hash key = world_key(i);
        world_look(w, 5 * (i % 40) + 1, &key, true, false);
        found += w->look.found > 0;
    }
    world_free(w);
    return found;
}

static void liars_do_not_hide_records(void **state)
{
    (void)state;
    uint32_t found = found_among_liars(STOQ_DHT_WITH_ALL);
    print_message("20 %% misroute and withhold: %u of 100 found\n", found);
    assert_int_equal(found, 100);
}

/* A Sybil: its id was ground to share 20 bits with the key. */
static void add_sybil(struct world *w, const struct stoq_hash *key, uint32_t i)
{
    uint32_t n = w->count++;
    world_node_new(w, n, false);
    struct world_node *s = &w->nodes[n];
    stoq_dht_free(s->dht);
    stoq_dht_book_drop(w->book, s->contact);
    s->id = *key;
    s->id.b[2] ^= (uint8_t)(i + 1);
    s->id.b[31] ^= 1;
    struct stoq_dht_about about = {.id = s->id};
    assert_int_equal(stoq_dht_book_add(w->book, &about, &s->contact), STOQ_OK);
    w->by_contact[s->contact] = n;
    struct stoq_dht_config cfg = {
        .book = w->book, .id = s->id, .self = s->contact, .seed = n, .wall_s = WORLD_WALL};
    assert_int_equal(stoq_dht_new(&s->dht, &cfg), STOQ_OK);
    s->role = WORLD_MISROUTES;
}

/* Somebody who only asks and whom the Sybils have made believe that they are all there is around the key:
 * they are the nearest that it knows. A second path begins with others. */
static bool finds_past_its_neighbours(enum stoq_dht_without without)
{
    struct world *w = world_new_without(200, 23, without);
    struct stoq_hash key = world_key(78);
    uint32_t asks = w->count++;
    world_announce(w, 1, &key);
    world_node_new(w, asks, true);
    struct world_node *n = &w->nodes[asks];
    stoq_dht_free(n->dht);
    stoq_dht_book_drop(w->book, n->contact);
    n->id = key; /* the Sybils stand next to it, so that no slot is too full for them */
    n->id.b[31] ^= 2;
    struct stoq_dht_about about = {.id = n->id};
    assert_int_equal(stoq_dht_book_add(w->book, &about, &n->contact), STOQ_OK);
    w->by_contact[n->contact] = asks;
    struct stoq_dht_config cfg = {
        .book = w->book, .id = n->id, .seed = 7, .wall_s = WORLD_WALL, .without = without};
    assert_int_equal(stoq_dht_new(&n->dht, &cfg), STOQ_OK);
    for (uint32_t i = 0; i < 2 * STOQ_DHT_K; i++) {
        add_sybil(w, &key, i);
        world_met(w, asks, w->count - 1);
    }
    for (uint32_t i = 0; i < 40; i++) {
        world_met(w, asks, 5 * i);
    }
    world_look(w, asks, &key, true, false);
    bool found = w->look.found > 0;
    world_free(w);
    return found;
}

static void a_second_path_leads_past_liars(void **state)
{
    (void)state;
    assert_true(finds_past_its_neighbours(STOQ_DHT_WITH_ALL));
    assert_false(finds_past_its_neighbours(STOQ_DHT_ONE_PATH));
}

/* Sybils that sit nearer to a key than anybody else, answer, name each other and hold nothing. */
static void a_crowd_around_a_key_does_not_hide_it(void **state)
{
    struct world *w = world_new(200, 13);
    struct stoq_hash key = world_key(77);
    (void)state;
    world_announce(w, 1, &key);
    uint32_t honest_calls = 0;
    world_look(w, 190, &key, true, false);
    honest_calls = w->look.end.calls;
    for (uint32_t i = 0; i < 50; i++) {
        add_sybil(w, &key, i);
        world_met(w, w->count - 1, i);
    }
    world_run(w, w->now + 60 * STOQ_SEC);
    uint32_t found = 0;
    uint32_t calls = 0;
    for (uint32_t i = 0; i < 30; i++) {
        world_look(w, 100 + i, &key, true, false);
        found += w->look.found > 0;
        calls += w->look.end.calls;
    }
    print_message("50 Sybils: %u of 30 found, %.1f calls (%u without them)\n", found, calls / 30.0,
                  honest_calls);
    assert_int_equal(found, 30);
    world_free(w);
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    uint64_t trace[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world *w = world_new(80, 21);
        w->loss_percent = 5;
        for (uint32_t k = 0; k < 20; k++) {
            struct stoq_hash key = world_key(k);
            world_announce(w, k, &key);
            world_look(w, 79 - k, &key, true, false);
            assert_true(w->look.found > 0);
        }
        trace[i] = w->trace;
        world_free(w);
    }
    assert_true(trace[0] == trace[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_find_the_true_nearest),
        cmocka_unit_test(small_networks_count_true_replicas),
        cmocka_unit_test(holders_are_the_reference),
        cmocka_unit_test(many_dead_at_once),
        cmocka_unit_test(a_provider_is_found_though_all_holders_died),
        cmocka_unit_test(a_record_is_gone_at_its_ttl),
        cmocka_unit_test(announcing_goes_on_by_itself),
        cmocka_unit_test(a_sweep_shares_lookups),
        cmocka_unit_test(a_client_is_asked_in_vain),
        cmocka_unit_test(newcomers_are_given_what_they_are_near_to),
        cmocka_unit_test(copies_are_left_on_the_path),
        cmocka_unit_test(who_reads_mends_what_is_stale),
        cmocka_unit_test(the_nearest_are_the_nearest),
        cmocka_unit_test(later_sweeps_share_lookups_too),
        cmocka_unit_test(a_sweep_goes_on_where_it_stood),
        cmocka_unit_test(liars_do_not_hide_records),
        cmocka_unit_test(a_second_path_leads_past_liars),
        cmocka_unit_test(a_crowd_around_a_key_does_not_hide_it),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
