/*
 * Collection on real stores with small segments: what is live is there afterwards, with the same bytes, from
 * the index and from the segments alone; what is dead is gone from the disk and stays deleted; who adds and
 * reads meanwhile notices nothing.
 */
#include "store/gc.h"
#include "store/mark.h"
#include "store/store_testing.h"
#include "store/usage.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define N 3000 /* bytes of a chunk: some 20 in a segment */
#define SEGMENT ((uint64_t)65536)

static void open_small(struct stoq_scratch *t)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.segment_bytes = SEGMENT;
    cfg.map_bytes = STOQ_GIB;
    t->notice[0] = '\0';
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
}

static void reopen(struct stoq_scratch *t, bool rebuild)
{
    stoq_scratch_close(t);
    if (rebuild) {
        struct stoq_store_config cfg = stoq_scratch_config(t);
        assert_int_equal(stoq_store_rebuild(&cfg, NULL, &t->err), STOQ_OK);
    }
    open_small(t);
}

static void delete_chunk(struct stoq_scratch *t, uint64_t seed)
{
    struct stoq_hash key = stoq_scratch_key(N, seed);
    assert_int_equal(stoq_store_delete(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32), &t->err),
                     STOQ_OK);
}

static struct stoq_gc_report collect(struct stoq_scratch *t, const struct stoq_gc_ask *ask)
{
    struct stoq_gc_report r;
    enum stoq_status st = stoq_store_gc(t->s, ask, &r, &t->err);
    if (st != STOQ_OK) {
        print_message("# %s\n", t->err.text);
    }
    assert_int_equal(st, STOQ_OK);
    return r;
}

static struct stoq_store_stats stats_of(struct stoq_scratch *t)
{
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    assert_int_equal(stoq_store_stats(t->s, &stats, &t->err), STOQ_OK);
    return stats;
}

/* Chunks from .. to: every third is there. */
static void check_thirds(struct stoq_scratch *t, uint64_t to)
{
    for (uint64_t i = 0; i < to; i++) {
        assert_int_equal(stoq_scratch_read(t, N, i, false), i % 3 == 0 ? STOQ_OK : STOQ_NOTFOUND);
    }
}

static void put_thirds(struct stoq_scratch *t, uint64_t to)
{
    open_small(t);
    for (uint64_t i = 0; i < to; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    for (uint64_t i = 0; i < to; i++) {
        if (i % 3 != 0) {
            delete_chunk(t, i);
        }
    }
}

static void what_is_deleted_goes_from_the_disk(void **state)
{
    struct stoq_scratch *t = *state;
    static const struct stoq_gc_ask dry = {.dry_run = true};
    static const struct stoq_gc_ask ask = {.dry_run = false};
    put_thirds(t, 300);
    struct stoq_store_stats before = stats_of(t);
    struct stoq_gc_report would = collect(t, &dry);
    struct stoq_store_stats same = stats_of(t);
    assert_true(same.segment_bytes == before.segment_bytes);
    assert_true(same.segment_count == before.segment_count);
    struct stoq_gc_report r = collect(t, &ask);
    struct stoq_store_stats after = stats_of(t);
    assert_true(r.bytes_freed == would.bytes_freed && r.segments == would.segments);
    assert_true(r.bytes_copied == would.bytes_copied && r.records == 0 && r.lost == 0);
    /* The new segments' headers come on top of what was copied. */
    assert_true(after.segment_bytes <= before.segment_bytes - r.bytes_freed + 10 * 64);
    assert_true(after.segment_bytes < 110 * (N + 64));
    check_thirds(t, 300);
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        reopen(t, rebuild != 0);
        check_thirds(t, 300);
        assert_true(stoq_scratch_put(t, N, 1000 + (uint64_t)rebuild, false));
    }
    assert_string_equal(t->notice, "");
    assert_int_equal(stats_of(t).type[STOQ_RECORD_TOMBSTONE].records, 0);
    struct stoq_gc_report again = collect(t, &ask);
    assert_true(again.bytes_freed == 0 && again.segments == 0);
}

static void of_an_empty_store_nothing_is_left(void **state)
{
    struct stoq_scratch *t = *state;
    static const struct stoq_gc_ask ask = {.dry_run = false};
    open_small(t);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    for (uint64_t i = 0; i < 100; i++) {
        delete_chunk(t, i);
    }
    (void)collect(t, &ask);
    struct stoq_store_stats after = stats_of(t);
    assert_int_equal(after.segment_count, 1); /* the log's */
    assert_int_equal(after.segment_bytes, 64);
    assert_int_equal(after.type[STOQ_RECORD_TOMBSTONE].records, 0);
    reopen(t, false);
    assert_string_equal(t->notice, "");
    assert_true(stoq_scratch_put(t, N, 5, false));
    reopen(t, true);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(stoq_scratch_has(t, N, i, false) == (i == 5));
    }
}

/* Segment 1 keeps one dead record, too little to rewrite it; the tombstone that holds it down lies
 * among rubbish. */
static void a_tombstone_stays_as_long_as_it_is_needed(void **state)
{
    struct stoq_scratch *t = *state;
    static const struct stoq_gc_ask ask = {.dry_run = false};
    static const struct stoq_gc_ask all = {.dead_percent_min = 1};
    open_small(t);
    for (uint64_t i = 0; i < 21; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    for (uint64_t i = 100; i < 120; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    delete_chunk(t, 3);
    for (uint64_t i = 100; i < 120; i++) {
        delete_chunk(t, i);
    }
    struct stoq_gc_report r = collect(t, &ask);
    assert_int_equal(r.tombstones, 20);
    assert_int_equal(stats_of(t).type[STOQ_RECORD_TOMBSTONE].records, 1);
    reopen(t, true);
    for (uint64_t i = 0; i < 21; i++) {
        assert_true(stoq_scratch_has(t, N, i, false) == (i != 3));
    }
    r = collect(t, &all);
    assert_int_equal(r.tombstones, 1);
    assert_int_equal(stats_of(t).type[STOQ_RECORD_TOMBSTONE].records, 0);
    reopen(t, true);
    for (uint64_t i = 0; i < 21; i++) {
        assert_true(stoq_scratch_has(t, N, i, false) == (i != 3));
    }
}

/* Marking: chunks whose seed is below a bound are referred to. */
struct refer {
    uint64_t to;
    unsigned calls;
};

static enum stoq_status mark_to(void *user, struct stoq_mark *m, struct stoq_error *err)
{
    struct refer *r = user;
    (void)err;
    r->calls++;
    for (uint64_t i = 0; i < r->to; i++) {
        struct stoq_hash key = stoq_scratch_key(N, i);
        stoq_mark_add(m, stoq_span(key.b, 32));
    }
    return STOQ_OK;
}

static bool keep_none(void *user, enum stoq_record_type type, struct stoq_span key)
{
    (void)user;
    (void)type;
    (void)key;
    return false;
}

static void what_nothing_refers_to_goes(void **state)
{
    struct stoq_scratch *t = *state;
    struct refer refer = {.to = 40};
    struct stoq_gc_ask ask = {.mark = mark_to, .keeps = keep_none, .user = &refer, .dry_run = true};
    open_small(t);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    struct stoq_gc_report would = collect(t, &ask);
    assert_int_equal(would.records, 60);
    assert_int_equal(would.record_bytes, 60 * N);
    assert_true(stoq_scratch_has(t, N, 99, false));
    ask.dry_run = false;
    struct stoq_gc_report r = collect(t, &ask);
    assert_true(r.records == would.records && r.bytes_freed == would.bytes_freed);
    assert_true(r.record_bytes == would.record_bytes && r.segments == would.segments);
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        for (uint64_t i = 0; i < 100; i++) {
            assert_true(stoq_scratch_has(t, N, i, false) == (i < 40));
        }
        reopen(t, true);
    }
    /* Young rubbish is left alone. */
    ask.grace_seconds = 3600;
    assert_true(stoq_scratch_put(t, N, 77, false));
    assert_int_equal(collect(t, &ask).records, 0);
    ask.grace_seconds = 0;
    assert_int_equal(collect(t, &ask).records, 1);
}

/* What an addition counts on stays, whether it asked before the collection began or puts during its
 * marking. */
struct adder {
    struct stoq_scratch *t;
    uint64_t seed;
};

static enum stoq_status put_while_marking(void *user, struct stoq_mark *m, struct stoq_error *err)
{
    struct adder *a = user;
    bool is_new;
    (void)m;
    (void)err;
    unsigned number = stoq_store_add_begin(a->t->s);
    assert_true(stoq_scratch_has(a->t, N, a->seed, false)); /* it is here: not sent again */
    assert_int_equal(stoq_scratch_try_put(a->t, N, a->seed + 1, false, &is_new), STOQ_OK);
    assert_false(is_new);
    assert_true(stoq_scratch_put(a->t, N, a->seed + 2, false));
    stoq_store_add_end(a->t->s, number);
    return STOQ_OK;
}

static void an_addition_wins(void **state)
{
    struct stoq_scratch *t = *state;
    struct adder adder = {.t = t, .seed = 10};
    const struct stoq_gc_ask ask = {.mark = put_while_marking, .keeps = keep_none, .user = &adder};
    open_small(t);
    for (uint64_t i = 0; i < 30; i++) {
        assert_true(stoq_scratch_put(t, N, i < 12 ? i : i + 1, false));
    }
    unsigned number = stoq_store_add_begin(t->s);
    uint8_t keys[64];
    uint8_t bits;
    struct stoq_hash a = stoq_scratch_key(N, 1);
    struct stoq_hash b = stoq_scratch_key(N, 2);
    memcpy(keys, a.b, 32);
    memcpy(keys + 32, b.b, 32);
    assert_int_equal(
        stoq_store_has_many(t->s, STOQ_RECORD_CHUNK, stoq_span(keys, 64), 2, &bits, NULL), STOQ_OK);
    assert_int_equal(bits, 3);
    assert_false(stoq_scratch_put(t, N, 3, false));
    (void)collect(t, &ask);
    for (uint64_t i = 0; i < 31; i++) {
        bool counted_on = (i >= 1 && i <= 3) || (i >= 10 && i <= 12);
        assert_true(stoq_scratch_has(t, N, i, false) == counted_on);
    }
    stoq_store_add_end(t->s, number);
    (void)collect(t, &(const struct stoq_gc_ask){
                         .mark = mark_to, .keeps = keep_none, .user = &(struct refer){.to = 2}});
    for (uint64_t i = 0; i < 31; i++) {
        assert_true(stoq_scratch_has(t, N, i, false) == (i == 1));
    }
}

/* More records than one range of marks takes. */
static void ranges_cover_all_keys(void **state)
{
    (void)state;
    struct stoq_mark m;
    assert_int_equal(stoq_mark_init(&m), STOQ_OK);
    unsigned found = 0;
    for (uint64_t range = 0; range < 4; range++) {
        uint64_t width = UINT64_MAX / 4 + 1;
        stoq_mark_begin(&m, range * width, range * width + (width - 1));
        for (uint64_t i = 0; i < 1000; i++) {
            struct stoq_hash key = stoq_hash_blake3(stoq_span(&i, sizeof i));
            struct stoq_span k = stoq_span(key.b, 32);
            if (i % 2 == 0) {
                stoq_mark_add(&m, k);
            }
            assert_true(stoq_mark_has(&m, k) == (i % 2 == 0 && stoq_mark_in_range(&m, k)));
            found += stoq_mark_in_range(&m, k);
        }
    }
    assert_int_equal(found, 1000);
    stoq_mark_release(&m);
}

/* One bit of a head in a segment that is to be rewritten: that record is lost, its neighbours are not. */
static void damage_costs_one_record(void **state)
{
    struct stoq_scratch *t = *state;
    static const struct stoq_gc_ask ask = {.dead_percent_min = 1};
    put_thirds(t, 21);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    struct stoq_hash key = stoq_scratch_key(N, 6);
    struct stoq_entry e;
    assert_int_equal(stoq_index_get(t->s->index, STOQ_RECORD_CHUNK, stoq_span(key.b, 32), &e, NULL),
                     STOQ_OK);
    char path[160];
    (void)snprintf(path, sizeof path, "%s/segments/%08x.seg", t->dir, e.segment);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)e.offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)e.offset), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_ROOT, stoq_span_str("r"), 0,
                                    stoq_span_str("after it"), NULL, NULL),
                     STOQ_OK); /* not one that certifies itself */
    assert_int_equal(collect(t, &ask).lost, 1);
    for (uint64_t i = 0; i < 21; i++) {
        assert_int_equal(stoq_scratch_read(t, N, i, false),
                         i % 3 == 0 && i != 6 ? STOQ_OK : STOQ_NOTFOUND);
    }
    assert_true(stoq_store_has(t->s, STOQ_RECORD_ROOT, stoq_span_str("r")));
    assert_true(stoq_scratch_put(t, N, 6, false));
    struct stoq_store_fsck_report report;
    assert_int_equal(stoq_store_fsck(t->s, NULL, NULL, &report, NULL), STOQ_OK);
    assert_int_equal(report.problems, 0);
}

/* Cancelled after every so many questions: nothing is lost, and the next one goes on. */
static bool cancel_after(void *user)
{
    unsigned *left = user;
    return *left == 0 || --*left == 0;
}

static void it_can_be_cut_short(void **state)
{
    struct stoq_scratch *t = *state;
    put_thirds(t, 120);
    unsigned done = 0;
    for (unsigned questions = 1; done == 0; questions += 7) {
        unsigned left = questions;
        struct stoq_gc_report r;
        const struct stoq_gc_ask ask = {.cancelled = cancel_after, .user = &left};
        enum stoq_status st = stoq_store_gc(t->s, &ask, &r, &t->err);
        assert_true(st == STOQ_OK || st == STOQ_CANCELLED);
        done += st == STOQ_OK;
        check_thirds(t, 120);
        if (questions % 3 == 0) {
            reopen(t, questions % 2 == 0);
            check_thirds(t, 120);
        }
    }
    reopen(t, true);
    check_thirds(t, 120);
}

/* --- beside others --- */

#define ADDED 400

struct beside {
    struct stoq_scratch *t;
    _Atomic bool enough; /* for those who add */
    _Atomic bool stop;
    _Atomic uint64_t added; /* those below are referred to */
    _Atomic uint64_t reads;
    bool bad;
};

/* Each addition asks for some chunks, puts what is not here, then refers to all of them. */
static void *add_on(void *user)
{
    struct beside *b = user;
    while (!atomic_load(&b->enough)) {
        for (uint64_t i = 0; i < ADDED; i += 20) {
            unsigned number = stoq_store_add_begin(b->t->s);
            for (uint64_t k = i; k < i + 20; k++) {
                bool is_new;
                uint8_t *own;
                struct stoq_hash key;
                struct stoq_span bytes = stoq_scratch_chunk(N, k, false, &own, &key);
                struct stoq_span id = stoq_span(key.b, 32);
                if (!stoq_store_has(b->t->s, STOQ_RECORD_CHUNK, id) &&
                    stoq_store_put(b->t->s, STOQ_RECORD_CHUNK, id, 0, bytes, &is_new, NULL) !=
                        STOQ_OK) {
                    b->bad = true;
                }
                free(own);
            }
            atomic_store(&b->added, i + 20); /* the package's record */
            stoq_store_add_end(b->t->s, number);
        }
        atomic_store(&b->added, 0); /* all of it removed */
    }
    atomic_store(&b->stop, true);
    return NULL;
}

static void *read_on(void *user)
{
    struct beside *b = user;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    for (uint64_t i = 0; !atomic_load(&b->stop); i++) {
        struct stoq_hash key = stoq_scratch_key(N, 1000 + i % 50);
        if (stoq_store_read(b->t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32), STOQ_STORE_VERIFY,
                            &out, NULL) != STOQ_OK) {
            b->bad = true;
        }
        atomic_fetch_add(&b->reads, 1);
    }
    stoq_buf_release(&out);
    return NULL;
}

static enum stoq_status mark_added(void *user, struct stoq_mark *m, struct stoq_error *err)
{
    struct beside *b = user;
    struct refer refer = {.to = atomic_load(&b->added)};
    for (uint64_t i = 1000; i < 1050; i++) {
        struct stoq_hash key = stoq_scratch_key(N, i);
        stoq_mark_add(m, stoq_span(key.b, 32));
    }
    return mark_to(&refer, m, err);
}

static void others_notice_nothing(void **state)
{
    struct stoq_scratch *t = *state;
    struct beside b = {.t = t};
    const struct stoq_gc_ask ask = {
        .mark = mark_added, .keeps = keep_none, .user = &b, .dead_percent_min = 1};
    pthread_t threads[2];
    open_small(t);
    for (uint64_t i = 1000; i < 1050; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    assert_int_equal(pthread_create(&threads[0], NULL, add_on, &b), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, read_on, &b), 0);
    uint64_t runs = 0;
    while (!atomic_load(&b.stop)) {
        (void)collect(t, &ask);
        uint64_t to = atomic_load(&b.added);
        for (uint64_t i = 0; i < to; i += 37) {
            assert_true(stoq_scratch_has(t, N, i, false) || atomic_load(&b.added) < to);
        }
        runs++;
        atomic_store(&b.enough, runs >= 12);
    }
    for (size_t i = 0; i < STOQ_COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(b.bad);
    (void)collect(t, &ask);
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        for (uint64_t i = 0; i < 50; i++) {
            assert_int_equal(stoq_scratch_read(t, N, 1000 + i, false), STOQ_OK);
            assert_int_equal(stoq_scratch_read(t, N, i, false), STOQ_NOTFOUND);
        }
        reopen(t, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(what_is_deleted_goes_from_the_disk),
        STOQ_SCRATCH_TEST(of_an_empty_store_nothing_is_left),
        STOQ_SCRATCH_TEST(a_tombstone_stays_as_long_as_it_is_needed),
        STOQ_SCRATCH_TEST(what_nothing_refers_to_goes),
        STOQ_SCRATCH_TEST(an_addition_wins),
        cmocka_unit_test(ranges_cover_all_keys),
        STOQ_SCRATCH_TEST(damage_costs_one_record),
        STOQ_SCRATCH_TEST(it_can_be_cut_short),
        STOQ_SCRATCH_TEST(others_notice_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
