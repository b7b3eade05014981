#include "store/store_testing.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N 20000

static void records_come_back(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 50; i++) {
        assert_true(stoq_scratch_put(t, N + i, i, i % 2 == 0));
        assert_int_equal(stoq_scratch_read(t, N + i, i, i % 2 == 0), STOQ_OK); /* from memory */
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    for (uint64_t i = 0; i < 50; i++) {
        assert_false(stoq_scratch_put(t, N + i, i, i % 2 == 0));
        assert_int_equal(stoq_scratch_read(t, N + i, i, i % 2 == 0), STOQ_OK);
    }
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, 50);
    assert_int_equal(stats.dedup_hits, 50);
    assert_true(stats.zstd_saved_bytes > 25 * N / 2);
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_string_equal(t->notice, "");
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(stoq_scratch_read(t, N + i, i, i % 2 == 0), STOQ_OK);
    }
    assert_int_equal(stoq_scratch_read(t, N, 99, false), STOQ_NOTFOUND);
    assert_string_equal(t->err.code, "ChunkNotFound");
}

static void sizes_at_the_edges(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    static const size_t sizes[] = {0, 1, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, 262143, 262144};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < STOQ_COUNT(sizes); i++) {
            for (int packs = 0; packs < 2; packs++) {
                bool is_new;
                assert_int_equal(stoq_scratch_try_put(t, sizes[i], 1, packs != 0, &is_new),
                                 STOQ_OK);
                assert_true(is_new == (round == 0 && (sizes[i] > 0 || packs == 0)));
                assert_int_equal(stoq_scratch_read(t, sizes[i], 1, packs != 0), STOQ_OK);
            }
        }
        assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    }
    bool is_new;
    assert_int_equal(stoq_scratch_try_put(t, 262145, 1, false, &is_new), STOQ_RANGE);
}

static void bad_arguments_are_refused(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    uint8_t key[65] = {1};
    struct stoq_span k = stoq_span(key, 32);
    struct stoq_span one = stoq_span("x", 1);
    struct stoq_store *s = t->s;
    assert_int_equal(stoq_store_put(s, STOQ_RECORD_TOMBSTONE, k, 0, one, NULL, NULL), STOQ_RANGE);
    assert_int_equal(stoq_store_put(s, 0, k, 0, one, NULL, NULL), STOQ_RANGE);
    assert_int_equal(stoq_store_put(s, 18, k, 0, one, NULL, NULL), STOQ_RANGE);
    assert_int_equal(stoq_store_put(s, STOQ_RECORD_CHUNK, stoq_span(key, 65), 0, one, NULL, NULL),
                     STOQ_RANGE);
    assert_int_equal(stoq_store_put(s, STOQ_RECORD_CHUNK, stoq_span(key, 0), 0, one, NULL, NULL),
                     STOQ_RANGE);
    bool is_new = true;
    assert_int_equal(
        stoq_store_put(s, STOQ_RECORD_CHUNK, k, STOQ_STORE_VERIFY, one, &is_new, &t->err),
        STOQ_PROOF);
    assert_string_equal(t->err.code, "IntegrityCheckFailed");
    assert_false(is_new);
    assert_false(stoq_store_has(s, STOQ_RECORD_CHUNK, k));
    struct stoq_stored info = {2, 1, 0};
    assert_int_equal(stoq_store_put_stored(s, STOQ_RECORD_CHUNK, k, 0, info, one, NULL, NULL),
                     STOQ_MALFORMED);
    info = (struct stoq_stored){1, 2, 0};
    assert_int_equal(stoq_store_put_stored(s, STOQ_RECORD_CHUNK, k, 0, info, one, NULL, NULL),
                     STOQ_MALFORMED);
}

static void stored_forms_travel(void **state)
{
    struct stoq_scratch *a = *state;
    struct stoq_scratch b;
    stoq_scratch_open(a);
    stoq_scratch_begin(&b);
    stoq_scratch_open(&b);
    for (int packs = 0; packs < 2; packs++) {
        uint8_t *own;
        struct stoq_hash h;
        (void)stoq_scratch_chunk(N, 5, packs != 0, &own, &h);
        struct stoq_span key = stoq_span(h.b, 32);
        assert_true(stoq_scratch_put(a, N, 5, packs != 0));
        struct stoq_stored info;
        struct stoq_buf out;
        stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
        assert_int_equal(stoq_store_read_stored(a->s, STOQ_RECORD_CHUNK, key, STOQ_STORE_VERIFY,
                                                &info, &out, NULL),
                         STOQ_OK);
        assert_int_equal(info.flags, packs);
        bool is_new;
        struct stoq_span stored = stoq_buf_span(&out);
        assert_int_equal(stoq_store_put_stored(b.s, STOQ_RECORD_CHUNK, key, STOQ_STORE_VERIFY, info,
                                               stored, &is_new, NULL),
                         STOQ_OK);
        assert_true(is_new);
        assert_int_equal(stoq_scratch_read(&b, N, 5, packs != 0), STOQ_OK);
        out.p[9] ^= 1; /* a peer that lies */
        h.b[0] ^= 1;
        assert_int_not_equal(stoq_store_put_stored(b.s, STOQ_RECORD_CHUNK, key, STOQ_STORE_VERIFY,
                                                   info, stored, &is_new, NULL),
                             STOQ_OK);
        stoq_buf_release(&out);
        free(own);
    }
    stoq_scratch_end(&b);
}

static void put_text(struct stoq_scratch *t, enum stoq_record_type type, uint8_t id,
                     const char *text, unsigned flags)
{
    uint8_t key[32] = {id};
    assert_int_equal(
        stoq_store_put(t->s, type, stoq_span(key, 32), flags, stoq_span_str(text), NULL, &t->err),
        STOQ_OK);
}

static bool is_text(struct stoq_scratch *t, enum stoq_record_type type, uint8_t id,
                    const char *text)
{
    uint8_t key[32] = {id};
    struct stoq_buf out;
    stoq_buf_init(&out, 1000);
    bool same = stoq_store_read(t->s, type, stoq_span(key, 32), 0, &out, NULL) == STOQ_OK &&
                stoq_span_eq(stoq_buf_span(&out), stoq_span_str(text));
    stoq_buf_release(&out);
    return same;
}

static void the_newest_wins(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    put_text(t, STOQ_RECORD_PACKAGE, 1, "first", 0);
    put_text(t, STOQ_RECORD_PACKAGE, 1, "ignored", 0);
    assert_true(is_text(t, STOQ_RECORD_PACKAGE, 1, "first"));
    put_text(t, STOQ_RECORD_PACKAGE, 1, "second", STOQ_STORE_OVERWRITE);
    assert_true(is_text(t, STOQ_RECORD_PACKAGE, 1, "second"));
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    put_text(t, STOQ_RECORD_PACKAGE, 1, "third", STOQ_STORE_OVERWRITE);
    put_text(t, STOQ_RECORD_MANIFEST, 1, "another type", 0);
    assert_true(is_text(t, STOQ_RECORD_PACKAGE, 1, "third"));
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_true(is_text(t, STOQ_RECORD_PACKAGE, 1, "third"));
    assert_true(is_text(t, STOQ_RECORD_MANIFEST, 1, "another type"));
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_int_equal(stats.type[STOQ_RECORD_PACKAGE].records, 1);
    assert_int_equal(stats.type[STOQ_RECORD_PACKAGE].raw_bytes, 5);
}

static enum stoq_status delete_text(struct stoq_scratch *t, enum stoq_record_type type, uint8_t id)
{
    uint8_t key[32] = {id};
    return stoq_store_delete(t->s, type, stoq_span(key, 32), &t->err);
}

static void check_after_deletes(struct stoq_scratch *t)
{
    assert_true(is_text(t, STOQ_RECORD_ALIAS, 1, "one"));
    assert_false(is_text(t, STOQ_RECORD_ALIAS, 2, "two"));
    assert_true(is_text(t, STOQ_RECORD_ALIAS, 3, "three again"));
    assert_false(is_text(t, STOQ_RECORD_ALIAS, 4, "four"));
    uint8_t keys[5 * 32] = {0};
    for (uint8_t i = 0; i < 5; i++) {
        keys[32 * i] = i;
    }
    uint8_t have;
    assert_int_equal(
        stoq_store_has_many(t->s, STOQ_RECORD_ALIAS, stoq_span(keys, sizeof keys), 5, &have, NULL),
        STOQ_OK);
    assert_int_equal(have, 1U << 1 | 1U << 3);
}

static void deleted_stays_deleted(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    assert_int_equal(delete_text(t, STOQ_RECORD_ALIAS, 1), STOQ_NOTFOUND);
    put_text(t, STOQ_RECORD_ALIAS, 1, "one", 0);
    put_text(t, STOQ_RECORD_ALIAS, 2, "two", 0);
    put_text(t, STOQ_RECORD_ALIAS, 3, "three", 0);
    put_text(t, STOQ_RECORD_ALIAS, 4, "four", 0);
    assert_int_equal(delete_text(t, STOQ_RECORD_ALIAS, 4), STOQ_OK); /* while pending */
    assert_int_equal(delete_text(t, STOQ_RECORD_ALIAS, 4), STOQ_NOTFOUND);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_int_equal(delete_text(t, STOQ_RECORD_ALIAS, 2), STOQ_OK);
    assert_int_equal(delete_text(t, STOQ_RECORD_ALIAS, 3), STOQ_OK);
    assert_false(is_text(t, STOQ_RECORD_ALIAS, 3, "three"));
    put_text(t, STOQ_RECORD_ALIAS, 3, "three again", 0);
    check_after_deletes(t);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    check_after_deletes(t);
    assert_int_equal(delete_text(t, STOQ_RECORD_ALIAS, 2), STOQ_NOTFOUND);
    stoq_scratch_close(t);
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store_rebuild_report report;
    assert_int_equal(stoq_store_rebuild(&cfg, &report, &t->err), STOQ_OK);
    assert_int_equal(report.live, 2);
    assert_int_equal(report.records, 8);
    assert_int_equal(report.quarantined, 0);
    stoq_scratch_open(t);
    check_after_deletes(t);
}

struct seen {
    size_t count;
    uint8_t last;
    bool ordered;
    size_t stop_at;
    struct stoq_scratch *t;
};

static bool see(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct seen *seen = user;
    bool after = seen->count == 0 || key.p[0] > seen->last;
    seen->ordered = seen->ordered && after && info.raw_len == 1;
    seen->last = key.p[0];
    seen->count++;
    /* The callback may use the store. */
    assert_true(stoq_store_has(seen->t->s, STOQ_RECORD_LEASE, key));
    return seen->count != seen->stop_at;
}

static void listing_pages_through(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (unsigned i = 200; i > 0; i--) {
        put_text(t, STOQ_RECORD_LEASE, (uint8_t)i, "x", 0);
        put_text(t, STOQ_RECORD_POINTER, (uint8_t)i, "y", 0);
    }
    struct seen seen = {.ordered = true, .t = t};
    assert_int_equal(stoq_store_each(t->s, STOQ_RECORD_LEASE, see, &seen, NULL), STOQ_OK);
    assert_true(seen.ordered);
    assert_int_equal(seen.count, 200);
    seen = (struct seen){.ordered = true, .stop_at = 70, .t = t};
    assert_int_equal(stoq_store_each(t->s, STOQ_RECORD_LEASE, see, &seen, NULL), STOQ_OK);
    assert_int_equal(seen.count, 70);
}

static bool count_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    (*(size_t *)user)++;
    return true;
}

/* Groups of 150 keys (more than a page) under each of three first bytes, the prefix itself a key too. */
static void listing_keeps_to_a_prefix(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (unsigned i = 0; i < 450; i++) {
        const uint8_t key[] = {(uint8_t)(1 + i % 3), (uint8_t)(i / 3), 7};
        assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_ALIAS, stoq_span(key, sizeof key), 0,
                                        stoq_span("x", 1), NULL, &t->err),
                         STOQ_OK);
    }
    const uint8_t alone = 2;
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_ALIAS, stoq_span(&alone, 1), 0,
                                    stoq_span("x", 1), NULL, &t->err),
                     STOQ_OK);
    static const struct {
        uint8_t prefix[3];
        size_t n;
        size_t want;
    } cases[] = {{{0}, 0, 451}, {{1}, 1, 150}, {{2}, 1, 150},    {{3}, 1, 150},
                 {{4}, 1, 0},   {{0}, 1, 0},   {{2, 149}, 2, 1}, {{2, 149, 7}, 3, 0}};
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        size_t n = 0;
        assert_int_equal(stoq_store_each_under(t->s, STOQ_RECORD_ALIAS,
                                               stoq_span(cases[i].prefix, cases[i].n), count_key,
                                               &n, NULL),
                         STOQ_OK);
        assert_int_equal(n, cases[i].want);
    }
    const uint8_t long_prefix[80] = {1};
    size_t n = 0;
    assert_int_equal(stoq_store_each_under(t->s, STOQ_RECORD_ALIAS,
                                           stoq_span(long_prefix, sizeof long_prefix), count_key,
                                           &n, NULL),
                     STOQ_RANGE);
}

/* Run f in a child; 0 is success. */
static int in_child(struct stoq_scratch *t, int (*f)(struct stoq_scratch *))
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(f(t));
    }
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    return how;
}

static int second_writer(struct stoq_scratch *t)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store *s;
    struct stoq_error err;
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getppid());
    enum stoq_status st = stoq_store_open(&s, &cfg, &err);
    return st == STOQ_BUSY && strstr(err.text, pid) != NULL ? 0 : 1;
}

static int reader(struct stoq_scratch *t)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.read_only = true;
    struct stoq_scratch r = *t;
    if (stoq_store_open(&r.s, &cfg, &r.err) != STOQ_OK) {
        return 1;
    }
    bool fine = stoq_scratch_has(&r, N, 1, false) &&
                stoq_scratch_read(&r, N, 1, false) == STOQ_OK && !stoq_scratch_has(&r, N, 2, false);
    bool is_new;
    fine = fine && stoq_scratch_try_put(&r, N, 3, false, &is_new) == STOQ_RANGE;
    fine = fine && stoq_store_sync(r.s, NULL) == STOQ_OK;
    return stoq_store_close(r.s, NULL) == STOQ_OK && fine ? 0 : 2;
}

/* The memory of blocks is kept for the next ones, and not for long: a store that nobody uses gives it
 * back. */
static void an_idle_store_gives_its_blocks_back(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 5 * STOQ_BLOCK_BYTES / N; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    const struct timespec nap = {.tv_nsec = (long)(10 * STOQ_MS)};
    size_t spare = 9;
    for (int i = 0; i < 6000 && spare > 2; i++) { /* a minute at most */
        (void)pthread_mutex_lock(&t->s->log.lock);
        spare = t->s->log.spare_count;
        (void)pthread_mutex_unlock(&t->s->log.lock);
        (void)nanosleep(&nap, NULL);
    }
    assert_in_range(spare, 1, 2);
}

/* Of what is fetched for nobody here the system keeps so much and no more; it can be read all the same. */
static void what_passes_is_let_go(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store_stats stats;
    cfg.passing_bytes = STOQ_MIB;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    for (unsigned round = 0; round < 3; round++) { /* the second one is for readers here */
        for (uint64_t i = 0; i < 200; i++) {
            uint8_t *own;
            struct stoq_hash h;
            struct stoq_span s = stoq_scratch_chunk(N, 200 * round + i, false, &own, &h);
            assert_int_equal(stoq_store_put_stored(t->s, STOQ_RECORD_CHUNK, stoq_span(h.b, 32),
                                                   round == 1 ? 0 : STOQ_STORE_PASSING,
                                                   (struct stoq_stored){N, N, 0}, s, NULL, &t->err),
                             STOQ_OK);
            free(own);
        }
        assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
        assert_int_equal(stoq_store_stats(t->s, &stats, &t->err), STOQ_OK);
        uint64_t passed = (round == 2 ? 400 : 200) * (uint64_t)N;
        assert_in_range(stats.forgotten_bytes, passed - 2 * STOQ_MIB, passed);
    }
    for (uint64_t i = 0; i < 600; i++) {
        assert_int_equal(stoq_scratch_read(t, N, i, false), STOQ_OK);
    }
}

static void one_writer_many_readers(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    assert_true(stoq_scratch_put(t, N, 1, false));
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_true(stoq_scratch_put(t, N, 2, false)); /* not synced: others do not see it */
    assert_int_equal(in_child(t, second_writer), 0);
    assert_int_equal(in_child(t, reader), 0);
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_true(stoq_scratch_has(t, N, 2, false));
}

static void write_file(struct stoq_scratch *t, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", t->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void formats_are_told_apart(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store *s;
    cfg.create = false;
    assert_int_equal(stoq_store_open(&s, &cfg, &t->err), STOQ_NOTFOUND);
    cfg.dir = "/nonexistent/x";
    assert_int_equal(stoq_store_open(&s, &cfg, &t->err), STOQ_NOTFOUND);
    cfg.read_only = true;
    assert_int_equal(stoq_store_open(&s, &cfg, &t->err), STOQ_NOTFOUND);
    cfg = stoq_scratch_config(t);
    stoq_scratch_open(t);
    stoq_scratch_close(t);
    write_file(t, "FORMAT", "stoq store 2\n");
    assert_int_equal(stoq_store_open(&s, &cfg, &t->err), STOQ_VERSION);
    write_file(t, "FORMAT", "something else\n");
    assert_int_equal(stoq_store_open(&s, &cfg, &t->err), STOQ_MALFORMED);
    write_file(t, "FORMAT", "stoq store 1\n");
    cfg.segment_bytes = 1;
    assert_int_equal(stoq_store_open(&s, &cfg, &t->err), STOQ_RANGE);
    stoq_scratch_open(t);
}

static void segments_roll(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.segment_bytes = 64 * STOQ_KIB;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    for (uint64_t i = 0; i < 40; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    assert_true(stoq_scratch_put(t, 200000, 1, false)); /* longer than a segment: has its own */
    assert_true(stoq_scratch_put(t, N, 41, false));
    stoq_scratch_close(t);
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_int_equal(stats.segment_count, 16); /* 40 / 3, the long one, the last */
    assert_int_equal(stats.type[STOQ_RECORD_CHUNK].records, 42);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(stoq_scratch_read(t, N, i, false), STOQ_OK);
    }
    assert_int_equal(stoq_scratch_read(t, 200000, 1, false), STOQ_OK);
}

/* A putter that finds, with room already made, that another one was faster leaves an empty block. */
static void leave_empty_block(struct stoq_scratch *t)
{
    (void)pthread_mutex_lock(&t->s->log.lock);
    stoq_block_seal(t->s);
    assert_int_equal(stoq_block_room(t->s, 100, UINT64_MAX, &(bool){false}, NULL), STOQ_OK);
    assert_int_equal(t->s->log.last->n, 0);
    (void)pthread_mutex_unlock(&t->s->log.lock);
}

static void empty_blocks_do_no_harm(void **state)
{
    struct stoq_scratch *t = *state;
    uint8_t *own;
    struct stoq_hash key;
    struct stoq_span long_one = stoq_scratch_chunk(3000000, 1, false, &own, &key);
    stoq_scratch_open(t);
    assert_true(stoq_scratch_put(t, N, 1, false));
    leave_empty_block(t);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_int_equal(stoq_scratch_read(t, N, 1, false), STOQ_OK);
    leave_empty_block(t);
    assert_int_equal(
        stoq_store_put(t->s, STOQ_RECORD_SHARD_LIST, stoq_span(key.b, 32), 0, long_one, NULL, NULL),
        STOQ_OK);
    free(own);
    leave_empty_block(t);
    assert_true(stoq_scratch_put(t, N, 2, false));
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_string_equal(t->notice, "");
    assert_int_equal(stoq_scratch_read(t, N, 2, false), STOQ_OK);
    assert_true(stoq_store_has(t->s, STOQ_RECORD_SHARD_LIST, stoq_span(key.b, 32)));
}

/* Bytes that this process had fetched from disks; 0: the system does not tell. */
static unsigned long long from_disks(void)
{
    char line[128];
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "read_bytes: ", 12) == 0) {
            n = strtoull(line + 12, NULL, 10);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return n;
}

static void a_read_from_disk_passes_the_page_cache_by(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_buf out;
    struct statfs fs;
    stoq_scratch_open(t);
    assert_int_equal(statfs(t->dir, &fs), 0);
    uint8_t *bytes = malloc(200000);
    assert_non_null(bytes);
    struct stoq_prng prng = stoq_prng(77);
    for (size_t i = 0; i < 200000; i++) {
        bytes[i] = (uint8_t)stoq_prng_next(&prng);
    }
    struct stoq_span payload = stoq_span(bytes, 200000);
    struct stoq_hash h = stoq_hash_blake3(payload);
    struct stoq_span key = stoq_span(h.b, sizeof h.b);
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_CHUNK, key, 0, payload, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    assert_int_equal(stoq_store_read(t->s, STOQ_RECORD_CHUNK, key, STOQ_STORE_VERIFY, &out, NULL),
                     STOQ_OK);
    unsigned long long before = from_disks();
    assert_int_equal(stoq_store_read(t->s, STOQ_RECORD_CHUNK, key, STOQ_STORE_VERIFY, &out, NULL),
                     STOQ_OK);
    unsigned long long cached = from_disks() - before;
    before = from_disks();
    assert_int_equal(stoq_store_read(t->s, STOQ_RECORD_CHUNK, key,
                                     STOQ_STORE_VERIFY | STOQ_STORE_FROM_DISK, &out, NULL),
                     STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out), payload));
    if (fs.f_type != TMPFS_MAGIC &&
        before > 0) { /* else nothing is read from a disk that is counted */
        assert_int_equal(cached, 0);
        assert_in_range(from_disks() - before, payload.n, 4 * payload.n);
    }
    stoq_buf_release(&out);
    free(bytes);
    stoq_scratch_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(records_come_back),
        STOQ_SCRATCH_TEST(sizes_at_the_edges),
        STOQ_SCRATCH_TEST(bad_arguments_are_refused),
        STOQ_SCRATCH_TEST(stored_forms_travel),
        STOQ_SCRATCH_TEST(the_newest_wins),
        STOQ_SCRATCH_TEST(deleted_stays_deleted),
        STOQ_SCRATCH_TEST(listing_pages_through),
        STOQ_SCRATCH_TEST(listing_keeps_to_a_prefix),
        STOQ_SCRATCH_TEST(a_read_from_disk_passes_the_page_cache_by),
        STOQ_SCRATCH_TEST(an_idle_store_gives_its_blocks_back),
        STOQ_SCRATCH_TEST(what_passes_is_let_go),
        STOQ_SCRATCH_TEST(one_writer_many_readers),
        STOQ_SCRATCH_TEST(empty_blocks_do_no_harm),
        STOQ_SCRATCH_TEST(formats_are_told_apart),
        STOQ_SCRATCH_TEST(segments_roll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
