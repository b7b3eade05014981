/*
 * The quota holds to the byte, whatever is put, deleted, collected, reopened and whoever does so at
 * once; a full
 * store reads on, can be emptied, and takes new content then.
 */
#include "store/gc.h"
#include "store/store_testing.h"
#include "store/use.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define QUOTA STOQ_QUOTA_BYTES_MIN
#define N 20000

struct room_maker {
    struct stoq_scratch *t;
    unsigned calls;
    bool collects;
    unsigned taken; /* so often others take the room that was made */
};

static uint64_t on_disk(struct stoq_scratch *t)
{
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_true(stats.segment_bytes <= QUOTA);
    return stats.segment_bytes;
}

static bool make_room(void *user, uint64_t bytes)
{
    struct room_maker *m = user;
    struct stoq_gc_report r;
    const struct stoq_gc_ask ask = {.dead_percent_min = 1};
    (void)bytes;
    m->calls++;
    if (m->taken > 0) {
        m->taken--;
        return true;
    }
    return m->collects && stoq_store_gc(m->t->s, &ask, &r, NULL) == STOQ_OK && r.bytes_freed > 0;
}

static void open_bounded(struct stoq_scratch *t, struct room_maker *m)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.map_bytes = STOQ_GIB;
    cfg.quota_bytes = QUOTA;
    cfg.make_room = m != NULL ? make_room : NULL;
    cfg.make_room_user = m;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
}

/* Until it says no; how many. */
static uint64_t fill(struct stoq_scratch *t, uint64_t from)
{
    for (uint64_t i = from;; i++) {
        bool is_new;
        enum stoq_status st = stoq_scratch_try_put(t, N, i, false, &is_new);
        if (st != STOQ_OK) {
            assert_int_equal(st, STOQ_FULL);
            assert_string_equal(t->err.code, "QuotaReached");
            return i;
        }
        if (i % 64 == 0) {
            (void)on_disk(t);
        }
    }
}

static void delete_chunk(struct stoq_scratch *t, uint64_t seed)
{
    uint8_t *own;
    struct stoq_hash key;
    (void)stoq_scratch_chunk(N, seed, false, &own, &key);
    free(own);
    assert_int_equal(stoq_store_delete(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32), &t->err),
                     STOQ_OK);
}

static void a_full_store_serves_and_can_be_emptied(void **state)
{
    struct stoq_scratch *t = *state;
    const struct stoq_gc_ask ask = {.dead_percent_min = 1};
    struct stoq_gc_report r;
    open_bounded(t, NULL);
    uint64_t n = fill(t, 0);
    assert_true(n * N > QUOTA / 10 * 8);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    assert_true(on_disk(t) > QUOTA / 10 * 8);
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(stoq_scratch_read(t, N, i, false), STOQ_OK);
    }
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_PIN, stoq_span_str("p"), 0,
                                    stoq_span_str("still possible"), NULL, &t->err),
                     STOQ_OK);
    for (uint64_t i = 0; i < n; i += 2) {
        delete_chunk(t, i);
    }
    uint64_t full = on_disk(t);
    assert_int_equal(stoq_store_gc(t->s, &ask, &r, &t->err), STOQ_OK);
    assert_true(on_disk(t) < full / 10 * 6);
    stoq_scratch_close(t);
    open_bounded(t, NULL);
    uint64_t more = fill(t, 1000000) - 1000000;
    assert_true(more >= n / 3);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(stoq_scratch_has(t, N, i, false) == (i % 2 == 1));
    }
    struct stoq_store_room room;
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    stoq_store_room(t->s, &room);
    assert_true(room.used_bytes == on_disk(t));
}

static void garbage_makes_room(void **state)
{
    struct stoq_scratch *t = *state;
    struct room_maker m = {.t = t, .collects = true};
    open_bounded(t, &m);
    uint64_t n = fill(t, 0);
    assert_true(m.calls == 1); /* nothing was dead */
    for (uint64_t i = 0; i < n / 2; i++) {
        delete_chunk(t, i);
    }
    bool is_new;
    assert_int_equal(stoq_scratch_try_put(t, N, 2000000, false, &is_new), STOQ_OK);
    assert_true(m.calls == 2 && is_new);
    (void)on_disk(t);
    m.collects = false;
    (void)fill(t, 3000000);
    assert_true(m.calls > 2);
}

/* Room that was made is there for all: who finds it taken asks again, and not for ever. */
static void room_that_others_took_is_made_again(void **state)
{
    struct stoq_scratch *t = *state;
    struct room_maker m = {.t = t};
    open_bounded(t, &m);
    uint64_t n = fill(t, 0);
    for (uint64_t i = 0; i < n / 2; i++) {
        delete_chunk(t, i);
    }
    bool is_new;
    m = (struct room_maker){.t = t, .collects = true, .taken = 2};
    assert_int_equal(stoq_scratch_try_put(t, N, 2000000, false, &is_new), STOQ_OK);
    assert_true(m.calls == 3 && is_new);
    m = (struct room_maker){.t = t};
    (void)fill(t, 3000000);
    m.taken = 1000;
    m.calls = 0;
    assert_int_equal(stoq_scratch_try_put(t, N, 4000000, false, &is_new), STOQ_FULL);
    assert_true(m.calls == 8);
}

/* --- many at once --- */

struct worker {
    struct stoq_scratch *t;
    uint64_t seed;
    _Atomic bool *stop;
    uint64_t refused;
    bool bad;
};

static void *put_and_delete(void *user)
{
    struct worker *w = user;
    struct stoq_prng r = stoq_prng(w->seed);
    uint8_t bytes[4096];
    for (unsigned i = 0; i < 4000; i++) {
        uint64_t k = w->seed * 1000000 + stoq_prng_next(&r) % 1500;
        size_t n = 100 + (size_t)(k * 7 % 3900);
        struct stoq_span s = stoq_scratch_bytes(bytes, n, k, false);
        struct stoq_hash h = stoq_hash_blake3(s);
        struct stoq_span key = stoq_span(h.b, 32);
        enum stoq_status st;
        if (stoq_prng_next(&r) % 3 == 0) {
            st = stoq_store_delete(w->t->s, STOQ_RECORD_CHUNK, key, NULL);
            w->bad = w->bad || (st != STOQ_OK && st != STOQ_NOTFOUND && st != STOQ_FULL);
        } else {
            st = stoq_store_put(w->t->s, STOQ_RECORD_CHUNK, key, 0, s, NULL, NULL);
            w->refused += st == STOQ_FULL;
            w->bad = w->bad || (st != STOQ_OK && st != STOQ_FULL);
        }
    }
    return NULL;
}

static void *collect_on(void *user)
{
    struct worker *w = user;
    const struct stoq_gc_ask ask = {.dead_percent_min = 5};
    while (!atomic_load(w->stop)) {
        struct stoq_gc_report r;
        enum stoq_status st = stoq_store_gc(w->t->s, &ask, &r, NULL);
        w->bad = w->bad || (st != STOQ_OK && st != STOQ_FULL);
        w->refused++;
    }
    return NULL;
}

static void it_holds_with_many_at_once(void **state)
{
    struct stoq_scratch *t = *state;
    _Atomic bool stop = false;
    struct worker w[3] = {{.t = t, .seed = 1}, {.t = t, .seed = 2}, {.t = t, .stop = &stop}};
    pthread_t thread[3];
    open_bounded(t, NULL);
    (void)fill(t, 5000000);
    for (uint64_t i = 5000000; i < 5000120; i++) {
        delete_chunk(t, i); /* some room, to be fought for */
    }
    for (size_t i = 0; i < 3; i++) {
        void *(*run)(void *) = i < 2 ? put_and_delete : collect_on;
        assert_int_equal(pthread_create(&thread[i], NULL, run, &w[i]), 0);
    }
    for (unsigned i = 0; i < 200; i++) {
        (void)on_disk(t);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        atomic_store(&stop, i >= 1);
        assert_false(w[i].bad);
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    struct stoq_store_room room;
    stoq_store_room(t->s, &room);
    assert_true(room.used_bytes == on_disk(t));
}

/* --- uses --- */

static void *use_once(void *user)
{
    struct stoq_scratch *t = user;
    assert_int_equal(stoq_store_use_begin(t->s, stoq_span_str("package")), STOQ_OK);
    stoq_store_use_end(t->s, stoq_span_str("package"));
    return NULL;
}

static void what_is_in_use_is_not_given_up(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_span key = stoq_span_str("package");
    open_bounded(t, NULL);
    assert_int_equal(stoq_store_last_use(t->s, key), 0);
    assert_int_equal(stoq_store_use_begin(t->s, key), STOQ_OK);
    assert_int_equal(stoq_store_use_begin(t->s, key), STOQ_OK);
    assert_true(stoq_store_last_use(t->s, key) == UINT64_MAX);
    stoq_store_use_end(t->s, key);
    assert_false(stoq_store_give_up_begin(t->s, key));
    stoq_store_use_end(t->s, key);
    assert_true(stoq_store_last_use(t->s, key) > 1700000000);
    assert_true(stoq_store_give_up_begin(t->s, key));
    assert_false(stoq_store_give_up_begin(t->s, key));
    pthread_t thread; /* it waits */
    assert_int_equal(pthread_create(&thread, NULL, use_once, t), 0);
    stoq_store_give_up_end(t->s, key);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(a_full_store_serves_and_can_be_emptied),
        STOQ_SCRATCH_TEST(garbage_makes_room),
        STOQ_SCRATCH_TEST(room_that_others_took_is_made_again),
        STOQ_SCRATCH_TEST(it_holds_with_many_at_once),
        STOQ_SCRATCH_TEST(what_is_in_use_is_not_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
