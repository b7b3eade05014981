/*
 * Checks that only a race or a rotten disk comes upon, each by itself: what is written anew or deleted is the
 * record that was meant, what is read is the one the index means, and a collection whose marks do not fit
 * takes nothing for dead.
 */
#include "store/gc.h"
#include "store/mark.h"
#include "store/store_testing.h"

#include <fcntl.h>
#include <unistd.h>

#include "os/file.h"

#define N 3000

/* What the index says of a chunk; everything is synced first. */
static struct stoq_entry entry_of(struct stoq_scratch *t, uint64_t seed)
{
    struct stoq_entry e;
    struct stoq_hash key = stoq_scratch_key(N, seed);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    assert_int_equal(
        stoq_index_get(t->s->index, STOQ_RECORD_CHUNK, stoq_span(key.b, 32), &e, &t->err), STOQ_OK);
    return e;
}

/* The same chunk once more, as a repair writes it. */
static void overwrite(struct stoq_scratch *t, uint64_t seed)
{
    uint8_t *own;
    struct stoq_hash key;
    struct stoq_span s = stoq_scratch_chunk(N, seed, false, &own, &key);
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32),
                                    STOQ_STORE_OVERWRITE, s, NULL, &t->err),
                     STOQ_OK);
    free(own);
}

/* A collection deletes the very record it judged, unless somebody counts on it by then. */
static void a_deletion_is_of_what_was_judged(void **state)
{
    struct stoq_scratch *t = *state;
    bool gone;
    stoq_scratch_open(t);
    (void)stoq_scratch_put(t, N, 1, false);
    struct stoq_entry old = entry_of(t, 1);
    overwrite(t, 1);
    struct stoq_entry fresh = entry_of(t, 1);
    assert_true(fresh.sequence > old.sequence);
    assert_int_equal(stoq_store_delete_untouched(t->s, &old, &gone, &t->err), STOQ_OK);
    assert_false(gone);
    assert_true(stoq_scratch_has(t, N, 1, false));
    unsigned number = stoq_store_add_begin(t->s);
    assert_true(stoq_scratch_has(t, N, 1, false)); /* an addition has asked: it counts on it */
    assert_int_equal(stoq_store_delete_untouched(t->s, &fresh, &gone, &t->err), STOQ_OK);
    assert_false(gone);
    stoq_store_add_end(t->s, number);
    assert_int_equal(stoq_store_delete_untouched(t->s, &fresh, &gone, &t->err), STOQ_OK);
    assert_true(gone);
    assert_false(stoq_scratch_has(t, N, 1, false));
}

/* A repair of a record that was replaced meanwhile must not come behind what replaced it. */
static void a_repair_is_of_what_was_damaged(void **state)
{
    struct stoq_scratch *t = *state;
    uint8_t *own;
    struct stoq_hash key;
    stoq_scratch_open(t);
    (void)stoq_scratch_put(t, N, 1, false);
    struct stoq_entry old = entry_of(t, 1);
    struct stoq_span s = stoq_scratch_chunk(N, 1, false, &own, &key);
    for (int is_synced = 0; is_synced < 2; is_synced++) { /* among the pending, then in the index */
        overwrite(t, 1);
        if (is_synced != 0) {
            (void)entry_of(t, 1);
        }
        uint64_t next = t->s->log.next_sequence;
        assert_int_equal(stoq_store_put_anew(t->s, &old, old.info, s, &t->err), STOQ_OK);
        assert_int_equal(t->s->log.next_sequence, next); /* nothing was written */
    }
    struct stoq_entry e = entry_of(t, 1);
    assert_int_equal(stoq_store_put_anew(t->s, &e, e.info, s, &t->err), STOQ_OK);
    assert_int_equal(entry_of(t, 1).sequence, e.sequence + 1);
    free(own);
}

/* Put a manifest, which no hash of the store's covers; its place. */
static struct stoq_entry put_manifest(struct stoq_scratch *t, struct stoq_span key)
{
    uint8_t bytes[500];
    struct stoq_entry e;
    stoq_scratch_open(t);
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_MANIFEST, key, 0,
                                    stoq_scratch_bytes(bytes, sizeof bytes, 5, false), NULL,
                                    &t->err),
                     STOQ_OK);
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    assert_int_equal(stoq_index_get(t->s->index, STOQ_RECORD_MANIFEST, key, &e, &t->err), STOQ_OK);
    stoq_scratch_close(t);
    return e;
}

static int open_segment(struct stoq_scratch *t)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/segments/00000001.seg", t->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static enum stoq_status read_manifest(struct stoq_scratch *t, struct stoq_span key)
{
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_MIB);
    stoq_scratch_open(t);
    enum stoq_status st = stoq_store_read(t->s, STOQ_RECORD_MANIFEST, key, 0, &out, &t->err);
    assert_int_equal(out.n, st == STOQ_OK ? 500 : 0);
    stoq_buf_release(&out);
    stoq_scratch_close(t);
    return st;
}

/* Every bit of what a record says and holds. */
static void a_rotten_record_is_not_read(void **state)
{
    struct stoq_scratch *t = *state;
    const uint8_t id[32] = {3};
    struct stoq_span key = stoq_span(id, sizeof id);
    struct stoq_entry e = put_manifest(t, key);
    assert_int_equal(read_manifest(t, key), STOQ_OK);
    uint64_t payload = e.offset + STOQ_RECORD_HEAD_BYTES + sizeof id;
    static const uint64_t at[] = {0, 250, 499};
    for (size_t i = 0; i < STOQ_COUNT(at); i++) {
        uint8_t b;
        int fd = open_segment(t);
        assert_int_equal(stoq_file_pread_all(fd, &b, 1, payload + at[i]), STOQ_OK);
        b ^= 1;
        assert_int_equal(stoq_file_pwrite_all(fd, stoq_span(&b, 1), payload + at[i]), STOQ_OK);
        assert_int_equal(read_manifest(t, key), STOQ_PROOF);
        b ^= 1;
        assert_int_equal(stoq_file_pwrite_all(fd, stoq_span(&b, 1), payload + at[i]), STOQ_OK);
        (void)close(fd);
        struct stoq_store_config cfg = stoq_scratch_config(t); /* it was put aside: begin anew */
        assert_int_equal(stoq_store_rebuild(&cfg, NULL, &t->err), STOQ_OK);
        assert_int_equal(read_manifest(t, key), STOQ_OK);
    }
}

/* A whole and sound record stands there, but another than the index means: an older one of the key. */
static void another_record_in_its_place_is_not_read(void **state)
{
    struct stoq_scratch *t = *state;
    const uint8_t id[32] = {3};
    uint8_t bytes[500];
    uint8_t out[STOQ_RECORD_HEAD_BYTES + 32 + 500 + 8] = {0};
    struct stoq_span key = stoq_span(id, sizeof id);
    struct stoq_entry e = put_manifest(t, key);
    const struct stoq_record other = {
        .type = STOQ_RECORD_MANIFEST,
        .sequence = e.sequence + 7,
        .info = e.info,
        .key = key,
        .stored = stoq_scratch_bytes(bytes, sizeof bytes, 6, false),
    };
    assert_true(stoq_record_bytes(key.n, e.info.stored_len) <= sizeof out);
    stoq_record_encode(out, &other);
    int fd = open_segment(t);
    size_t n = (size_t)stoq_record_bytes(key.n, e.info.stored_len);
    assert_int_equal(stoq_file_pwrite_all(fd, stoq_span(out, n), e.offset), STOQ_OK);
    (void)close(fd);
    assert_int_equal(read_manifest(t, key), STOQ_PROOF);
}

/* More is referred to than a range of marks takes, and what is here comes last. */
struct crowd {
    uint64_t count;
    unsigned calls;
};

static enum stoq_status mark_crowd(void *user, struct stoq_mark *m, struct stoq_error *err)
{
    struct crowd *c = user;
    struct stoq_prng r = stoq_prng(9);
    (void)err;
    c->calls++;
    for (uint64_t i = 0; i < c->count; i++) {
        uint8_t key[32] = {0};
        stoq_le64_put(key, stoq_prng_next(&r));
        stoq_mark_add(m, stoq_span(key, sizeof key));
    }
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct stoq_hash key = stoq_scratch_key(N, seed);
        stoq_mark_add(m, stoq_span(key.b, 32));
    }
    return STOQ_OK;
}

static bool keep_all(void *user, enum stoq_record_type type, struct stoq_span key)
{
    (void)user;
    (void)type;
    (void)key;
    return true;
}

static void marks_that_do_not_fit_are_made_anew(void **state)
{
    struct stoq_scratch *t = *state;
    struct crowd crowd = {.count = STOQ_MARK_SLOTS};
    const struct stoq_gc_ask ask = {.mark = mark_crowd, .keeps = keep_all, .user = &crowd};
    struct stoq_gc_report r;
    stoq_scratch_open(t);
    for (uint64_t seed = 0; seed < 20; seed++) {
        (void)stoq_scratch_put(t, N, seed, false);
    }
    assert_int_equal(stoq_store_sync(t->s, &t->err), STOQ_OK);
    assert_int_equal(stoq_store_gc(t->s, &ask, &r, &t->err), STOQ_OK);
    assert_int_equal(crowd.calls, 3); /* one range, then two */
    assert_int_equal(r.records, 10);
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_true(stoq_scratch_has(t, N, seed, false) == (seed < 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(a_deletion_is_of_what_was_judged),
        STOQ_SCRATCH_TEST(a_repair_is_of_what_was_damaged),
        STOQ_SCRATCH_TEST(a_rotten_record_is_not_read),
        STOQ_SCRATCH_TEST(another_record_in_its_place_is_not_read),
        STOQ_SCRATCH_TEST(marks_that_do_not_fit_are_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
