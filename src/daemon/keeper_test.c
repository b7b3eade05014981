/*
 * A hundred packages, some of their chunks shared, with pins, roots, leases, open readers and removals
 * drawn at random:
 * after a collection the store has exactly what a model says, a set of strings made from the files
 * alone. Then the
 * same under a quota: only what nothing keeps goes, the least recently used first.
 */
#include "daemon/packages_harness.h"

#include <fcntl.h>

#include "base/prng.h"
#include "daemon/collect.h"
#include "daemon/content.h"
#include "daemon/evict.h"
#include "daemon/held.h"
#include "daemon/local.h"
#include "daemon/reach.h"
#include "os/file.h"
#include "os/tree_read.h"
#include "store/use.h"

#define PACKAGES 100
#define BLOBS 60 /* files that packages draw from */
#define NOW ((uint64_t)1767225600)

struct package {
    struct stoq_package_id id;
    uint8_t blobs[4]; /* its files */
    bool here;
};

static struct package packages[PACKAGES];
static struct stoq_prng draws;

static unsigned draw(unsigned n)
{
    return (unsigned)(stoq_prng_next(&draws) % n);
}

/* A file of one chunk, since it is short, with bytes of its own. */
static void write_blob(const char *name, unsigned blob)
{
    static uint8_t bytes[9000];
    struct stoq_prng r = stoq_prng(7000 + blob);
    size_t n = 8200 + blob;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(stoq_prng_next(&r) >> 13);
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, stoq_span(bytes, n)), STOQ_OK);
    assert_int_equal(close(fd), 0);
}

static void publish_some(struct package *p, unsigned number)
{
    char name[32];
    assert_int_equal(stoq_tree_remove(AT_FDCWD, at("in"), NULL), STOQ_OK);
    assert_int_equal(mkdir(at("in"), 0755), 0);
    for (size_t i = 0; i < STOQ_COUNT(p->blobs); i++) {
        p->blobs[i] = (uint8_t)draw(BLOBS);
        (void)snprintf(name, sizeof name, "in/%03u", p->blobs[i]);
        write_blob(at(name), p->blobs[i]);
    }
    (void)snprintf(name, sizeof name, "%u", number); /* another manifest, whatever the files */
    const struct stoq_publish_ask ask = {
        .path = at("in"), .name = "model", .version = name, .threads = 1};
    p->id = publish(&ask).id;
    p->here = true;
}

/* Its record anew: as a fetch leaves it, or a publish. */
static void record(const struct package *p, uint64_t added_at, bool made_here)
{
    const struct stoq_local_facts facts = {
        .added_at = added_at, .complete = true, .made_here = made_here};
    assert_int_equal(stoq_local_record(store, &p->id, &facts, &err), STOQ_OK);
}

static int setup(void **state)
{
    int rc = scratch_setup(state);
    store_cfg.segment_bytes = 65536;
    memset(packages, 0, sizeof packages);
    open_store();
    return rc;
}

/* --- the model: what is there, from the files the packages were made of --- */

/* Chunks: a blob of each that some package has, and the file table of each set of files. */
static void check_model(void)
{
    bool blob[BLOBS] = {false};
    size_t here = 0;
    size_t tables = 0;
    size_t blobs = 0;
    for (size_t i = 0; i < PACKAGES; i++) {
        const struct package *p = &packages[i];
        struct stoq_span id = stoq_span(p->id.h.b, 32);
        assert_true(stoq_store_has(store, STOQ_RECORD_PACKAGE, id) == p->here);
        assert_true(stoq_store_has(store, STOQ_RECORD_MANIFEST, id) == p->here);
        bool is_first = p->here; /* of those with these files */
        for (size_t k = 0; k < i && is_first; k++) {
            bool mine[BLOBS] = {false};
            bool other[BLOBS] = {false};
            for (size_t b = 0; b < STOQ_COUNT(p->blobs); b++) {
                mine[p->blobs[b]] = true;
                other[packages[k].blobs[b]] = true;
            }
            is_first = !packages[k].here || memcmp(mine, other, sizeof mine) != 0;
        }
        here += p->here;
        tables += is_first;
        for (size_t b = 0; p->here && b < STOQ_COUNT(p->blobs); b++) {
            blob[p->blobs[b]] = true;
        }
    }
    for (size_t b = 0; b < BLOBS; b++) {
        blobs += blob[b];
    }
    assert_int_equal(records_of(STOQ_RECORD_MANIFEST), here);
    assert_int_equal(records_of(STOQ_RECORD_PACKAGE), here);
    assert_int_equal(records_of(STOQ_RECORD_SHARD_LIST), tables);
    assert_int_equal(records_of(STOQ_RECORD_CHUNK_LIST), tables); /* one shard each */
    assert_int_equal(records_of(STOQ_RECORD_CHUNK), blobs + tables);
}

/* Every package that is here is whole. */
static void check_whole(void)
{
    for (size_t i = 0; i < PACKAGES; i++) {
        struct stoq_held *held;
        struct stoq_span bytes;
        struct stoq_cursor *c;
        if (!packages[i].here) {
            continue;
        }
        assert_int_equal(stoq_held_look(&held, store, &packages[i].id, &err), STOQ_OK);
        assert_int_equal(stoq_cursor_new(&c, stoq_held_stream(held)), STOQ_OK);
        do {
            assert_int_equal(stoq_cursor_next(c, SIZE_MAX, &bytes, &err), STOQ_OK);
        } while (bytes.n > 0);
        stoq_cursor_free(c);
        stoq_held_close(held);
    }
}

static struct stoq_collect_report collect(bool dry_run)
{
    struct stoq_collect_report r;
    const struct stoq_collect_ask ask = {.dry_run = dry_run, .dead_percent_min = 1};
    enum stoq_status st = stoq_collect(store, &ask, &r, &err);
    assert_int_equal(st, STOQ_OK);
    assert_true(r.was_marked);
    return r;
}

static void collect_and_check(void)
{
    struct stoq_collect_report would = collect(true);
    struct stoq_collect_report r = collect(false);
    assert_true(r.gc.records == would.gc.records && r.packages == would.packages);
    assert_true(r.gc.record_bytes == would.gc.record_bytes);
    assert_true(r.gc.bytes_freed == would.gc.bytes_freed && r.gc.lost == 0);
    check_model();
    check_whole();
}

/* What a fetch leaves that did not end: everything but the record. */
static void forget_record(struct package *p)
{
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_PACKAGE, stoq_span(p->id.h.b, 32), &err),
                     STOQ_OK);
}

static void reopen_anew(void)
{
    close_store();
    assert_int_equal(stoq_store_rebuild(&store_cfg, NULL, &err), STOQ_OK);
    open_store();
}

static void what_stays_is_what_the_model_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        draws = stoq_prng(seed);
        for (unsigned i = 0; i < PACKAGES; i++) {
            if (!packages[i].here) {
                publish_some(&packages[i], i);
            }
        }
        collect_and_check();
        for (unsigned i = 0; i < PACKAGES; i++) {
            struct package *p = &packages[i];
            unsigned what = draw(4);
            if (what == 0) {
                assert_int_equal(stoq_local_remove(store, &p->id, NULL, &err), STOQ_OK);
                p->here = false;
            } else if (what == 1) {
                forget_record(p);
                p->here = false;
            }
        }
        struct stoq_collect_report r = collect(true);
        assert_true(r.gc.records > 0 && r.packages > 10);
        collect_and_check();
        reopen_anew();
        check_model();
    }
}

/* --- under pressure --- */

enum hold { HELD_NOT, HELD_PIN, HELD_ROOT, HELD_LEASE, HELD_OVER, HELD_OPEN, HELD_MADE };

static void keep(const struct package *p, enum hold how, unsigned number, struct stoq_held **open)
{
    struct stoq_keep k = {.subject = stoq_subject_of_package(&p->id), .since = NOW};
    switch (how) {
    case HELD_NOT:
    case HELD_MADE: /* its record says so */
        return;
    case HELD_OPEN:
        assert_int_equal(stoq_held_open(open, store, &p->id, &err), STOQ_OK);
        return;
    case HELD_PIN:
        k.type = STOQ_RECORD_PIN;
        break;
    case HELD_ROOT:
        k.type = STOQ_RECORD_ROOT;
        (void)snprintf(k.name, sizeof k.name, "root-%u", number);
        break;
    case HELD_LEASE:
    case HELD_OVER:
        k.type = STOQ_RECORD_LEASE;
        k.expires_at = how == HELD_LEASE ? UINT32_MAX : NOW; /* NOW is past */
        break;
    }
    assert_int_equal(stoq_keep_put(store, &k, &err), STOQ_OK);
}

static void only_what_nothing_keeps_may_go(void **state)
{
    enum hold how[PACKAGES];
    struct stoq_held *open[PACKAGES] = {NULL};
    struct stoq_evict_candidate *list;
    size_t count;
    size_t free_to_go = 0;
    (void)state;
    draws = stoq_prng(11);
    for (unsigned i = 0; i < PACKAGES; i++) {
        publish_some(&packages[i], i);
        how[i] = (enum hold)draw(7);
        record(&packages[i], NOW, how[i] == HELD_MADE);
        keep(&packages[i], how[i], i, &open[i]);
        free_to_go += how[i] == HELD_NOT || how[i] == HELD_OVER;
    }
    assert_int_equal(stoq_evict_list(store, &list, &count, &err), STOQ_OK);
    assert_int_equal(count, free_to_go);
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes;
        assert_int_equal(stoq_evict(store, &list[i].id, &bytes, &err), STOQ_OK);
        assert_true(bytes > 8000);
    }
    free(list);
    for (unsigned i = 0; i < PACKAGES; i++) {
        uint64_t bytes;
        packages[i].here = how[i] != HELD_NOT && how[i] != HELD_OVER;
        if (how[i] == HELD_OPEN) {
            assert_int_equal(stoq_evict(store, &packages[i].id, &bytes, &err), STOQ_BUSY);
        }
    }
    collect_and_check();
    for (unsigned i = 0; i < PACKAGES; i++) {
        stoq_held_close(open[i]);
    }
    assert_int_equal(stoq_evict_list(store, &list, &count, &err), STOQ_OK);
    for (size_t i = 1; i < count; i++) {
        assert_true(list[i - 1].last_use <= list[i].last_use);
    }
    free(list);
}

/* A package that was used goes after those that were not. */
static void the_least_recently_used_goes_first(void **state)
{
    struct stoq_evict_candidate *list;
    size_t count;
    (void)state;
    draws = stoq_prng(12);
    for (unsigned i = 0; i < 10; i++) {
        publish_some(&packages[i], i);
        record(&packages[i], NOW + i % 5, false);
    }
    struct stoq_held *held;
    assert_int_equal(stoq_held_open(&held, store, &packages[0].id, &err), STOQ_OK);
    stoq_held_close(held);
    assert_int_equal(stoq_evict_list(store, &list, &count, &err), STOQ_OK);
    assert_int_equal(count, 10);
    assert_true(stoq_hash_eq(&list[9].id.h, &packages[0].id.h));
    assert_true(stoq_hash_eq(&list[0].id.h, &packages[5].id.h));
    for (size_t i = 0; i < 9; i++) {
        assert_true(list[i].last_use <= list[i + 1].last_use);
    }
    free(list);
}

/* A record that says what is live is damaged: nothing is deleted, and why is told. */
static void the_unreadable_keeps_everything(void **state)
{
    struct stoq_collect_report r;
    const struct stoq_collect_ask ask = {.dead_percent_min = 1};
    (void)state;
    draws = stoq_prng(13);
    publish_some(&packages[0], 0);
    publish_some(&packages[1], 1);
    forget_record(&packages[1]);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_ROOT, stoq_span_str("name"), 0,
                                    stoq_span_str("not CBOR"), NULL, &err),
                     STOQ_OK);
    assert_int_equal(stoq_collect(store, &ask, &r, &err), STOQ_OK);
    assert_true(!r.was_marked && r.gc.records == 0 && strstr(r.why.text, "damaged") != NULL);
    assert_true(stoq_store_has(store, STOQ_RECORD_MANIFEST, stoq_span(packages[1].id.h.b, 32)));
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_ROOT, stoq_span_str("name"), &err),
                     STOQ_OK);
    packages[1].here = false;
    collect_and_check();
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(what_stays_is_what_the_model_says),
        FRESH(only_what_nothing_keeps_may_go),
        FRESH(the_least_recently_used_goes_first),
        FRESH(the_unreadable_keeps_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
