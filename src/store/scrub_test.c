/* A scrub finds what a reader would stumble over, makes good what it can, and goes on where it stood. */
#include "store/scrub.h"

#include "store/place.h"
#include "store/store_testing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"

#define N 3000
#define RECORD_BYTES (32 + 32 + 3000) /* of an uncompressed chunk, a multiple of 8 */
#define AT(i) (64 + (off_t)(i)*RECORD_BYTES)

struct found {
    unsigned lost;
    unsigned told;
    char last[512];
};

static void on_found(void *user, bool lost, const char *what)
{
    struct found *f = user;
    f->told++;
    f->lost += lost;
    (void)snprintf(f->last, sizeof f->last, "%s", what);
}

/* The rest of the pass that state stands in, in steps of so many bytes. */
static struct stoq_scrub_counts scrub_from(struct stoq_scratch *t, struct stoq_scrub_state *state,
                                           uint64_t step_bytes, struct found *f)
{
    struct stoq_scrub *sc;
    bool done = false;
    *f = (struct found){0};
    const struct stoq_scrub_config cfg = {.store = t->s, .found = on_found, .user = f};
    assert_int_equal(stoq_scrub_new(&sc, &cfg, state, &t->err), STOQ_OK);
    while (!done) {
        enum stoq_status st = stoq_scrub_step(sc, step_bytes, &done, &t->err);
        if (st != STOQ_OK) {
            print_message("# %s\n", t->err.text);
        }
        assert_int_equal(st, STOQ_OK);
    }
    stoq_scrub_free(sc);
    assert_int_equal(state->phase, STOQ_SCRUB_IDLE);
    return state->last;
}

static struct stoq_scrub_counts scrub(struct stoq_scratch *t, struct found *f)
{
    struct stoq_scrub_state state = {0};
    return scrub_from(t, &state, STOQ_MIB, f);
}

static void flip(const struct stoq_scratch *t, const char *segment, off_t at)
{
    char path[256];
    uint8_t b;
    (void)snprintf(path, sizeof path, "%s/segments/%s.seg", t->dir, segment);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 1;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    assert_int_equal(fsync(fd), 0);
    (void)close(fd);
}

/* They say the same. */
static void expect_same(const struct stoq_scrub_state *a, const struct stoq_scrub_state *b)
{
    struct stoq_buf x;
    struct stoq_buf y;
    stoq_buf_init(&x, 1024);
    stoq_buf_init(&y, 1024);
    assert_int_equal(stoq_scrub_state_encode(a, &x), STOQ_OK);
    assert_int_equal(stoq_scrub_state_encode(b, &y), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&x), stoq_buf_span(&y)));
    stoq_buf_release(&x);
    stoq_buf_release(&y);
}

static void fill(struct stoq_scratch *t, uint64_t count)
{
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < count; i++) {
        (void)stoq_scratch_put(t, N, i, false);
    }
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
}

static void a_sound_store_gives_nothing(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    fill(t, 40);
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_int_equal(c.records, 40);
    assert_int_equal(c.bytes, 40 * RECORD_BYTES);
    assert_int_equal(c.damaged + c.lost + c.healed + c.harmless, 0);
    assert_int_equal(f.told, 0);
}

static void damage_is_put_aside_and_a_put_heals_it(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    fill(t, 20);
    flip(t, "00000001", AT(4) + 1000);
    assert_true(stoq_scratch_has(t, N, 4, false));
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_int_equal(c.damaged, 1);
    assert_int_equal(c.lost, 1);
    assert_int_equal(c.harmless, 0);
    assert_int_equal(f.lost, 1);
    assert_non_null(strstr(f.last, "quarantined"));
    assert_false(stoq_scratch_has(t, N, 4, false));
    assert_int_equal(stoq_scratch_read(t, N, 5, false), STOQ_OK);

    c = scrub(t, &f); /* it is still lost, and told no second time */
    assert_int_equal(c.lost, 1);
    assert_int_equal(f.lost, 0);

    assert_true(stoq_scratch_put(t, N, 4, false));
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    c = scrub(t, &f);
    assert_int_equal(c.lost, 0);
    assert_int_equal(c.damaged, 1);
    assert_int_equal(c.harmless, 1);
    assert_non_null(strstr(f.last, "nothing that is needed"));
    assert_int_equal(stoq_scratch_read(t, N, 4, false), STOQ_OK);
}

/* The head is rotten too, so only the index knows what lay there. */
static void a_record_without_a_head_is_known_by_the_index(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    fill(t, 20);
    flip(t, "00000001", AT(7) + 1);
    flip(t, "00000001", AT(7) + 40); /* and the key */
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_int_equal(c.lost, 1);
    assert_false(stoq_scratch_has(t, N, 7, false));
}

static void a_pass_goes_on_where_it_stood(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_scrub *sc;
    struct found f = {0};
    struct stoq_scrub_state at = {0};
    struct stoq_scrub_state again;
    bool done;
    fill(t, 60);
    flip(t, "00000001", AT(3) + 1000);
    flip(t, "00000001", AT(50) + 1000);
    const struct stoq_scrub_config cfg = {.store = t->s, .found = on_found, .user = &f};
    assert_int_equal(stoq_scrub_new(&sc, &cfg, &at, &t->err), STOQ_OK);
    assert_int_equal(stoq_scrub_step(sc, 2 * RECORD_BYTES, &done, &t->err), STOQ_OK);
    assert_int_equal(stoq_scrub_step(sc, 8 * RECORD_BYTES, &done, &t->err), STOQ_OK);
    assert_int_equal(at.phase, STOQ_SCRUB_SEGMENTS);
    assert_int_equal(at.offset, AT(3)); /* never behind damage that is not settled */
    assert_int_equal(stoq_scrub_save(t->dir, &at, &t->err), STOQ_OK);
    stoq_scrub_free(sc);
    stoq_scratch_close(t);

    stoq_scratch_open(t);
    assert_int_equal(stoq_scrub_load(t->dir, &again, &t->err), STOQ_OK);
    expect_same(&at, &again);
    struct stoq_scrub_counts c = scrub_from(t, &again, 3 * RECORD_BYTES, &f);
    assert_int_equal(c.damaged, 2);
    assert_int_equal(c.lost, 2);
    assert_int_equal(again.pass, 1);
    assert_false(stoq_scratch_has(t, N, 3, false));
    assert_false(stoq_scratch_has(t, N, 50, false));
}

/* Where only the word that something is deleted was lost, it is said again: a rebuild keeps it away. */
static void a_rotten_tombstone_is_written_again(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    uint8_t *own;
    struct stoq_hash key;
    fill(t, 3);
    (void)stoq_scratch_chunk(N, 1, false, &own, &key);
    free(own);
    assert_int_equal(stoq_store_delete(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32), &t->err),
                     STOQ_OK);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    (void)stoq_scratch_put(t, N, 3, false); /* something behind it */
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    flip(t, "00000001", AT(3) + 33);
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_int_equal(c.healed, 1);
    assert_int_equal(c.lost, 0);
    stoq_scratch_close(t);
    const struct stoq_store_config cfg = stoq_scratch_config(t);
    assert_int_equal(stoq_store_rebuild(&cfg, NULL, &t->err), STOQ_OK);
    stoq_scratch_open(t);
    assert_false(stoq_scratch_has(t, N, 1, false));
    assert_true(stoq_scratch_has(t, N, 2, false));
}

/* Behind two rotten records in a row nothing is believed for a while but what proves itself: a small
 * record there is moved away, so that a rebuild finds it. */
static void what_stands_too_close_to_damage_is_moved(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    const uint8_t key[32] = {7};
    fill(t, 3);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_PACKAGE, stoq_span(key, sizeof key),
                                        STOQ_STORE_OVERWRITE, stoq_span("abc", 3), NULL, &t->err),
                         STOQ_OK);
    }
    for (uint64_t i = 10; i < 110; i++) {
        (void)stoq_scratch_put(t, N, i, false);
    }
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    flip(t, "00000001", AT(1) + 1000);
    flip(t, "00000001", AT(2) + 1000);
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_int_equal(c.lost, 2);
    assert_int_equal(c.healed, 1);
    stoq_scratch_close(t);
    const struct stoq_store_config cfg = stoq_scratch_config(t);
    assert_int_equal(stoq_store_rebuild(&cfg, NULL, &t->err), STOQ_OK);
    stoq_scratch_open(t);
    assert_true(stoq_store_has(t->s, STOQ_RECORD_PACKAGE, stoq_span(key, sizeof key)));
    c = scrub(t, &f);
    assert_int_equal(c.healed, 0); /* once is enough */
}

static void a_promise_without_a_segment_is_found(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    fill(t, 3);
    stoq_scratch_close(t);
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.segment_bytes = 64 * STOQ_KIB;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    for (uint64_t i = 3; i < 60; i++) {
        (void)stoq_scratch_put(t, N, i, false);
    }
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    stoq_scratch_remove(t, "segments/00000002.seg");
    stoq_scratch_close(t); /* nobody holds it open */
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_in_range(c.lost, 15, 21);
    for (uint64_t i = 0; i < 60; i++) {
        bool has = stoq_scratch_has(t, N, i, false);
        assert_int_equal(stoq_scratch_read(t, N, i, false), has ? STOQ_OK : STOQ_PROOF);
    }
}

static void what_a_reader_only_met_is_put_aside_when_it_closes(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_store *reader;
    struct stoq_buf out;
    uint8_t *own;
    struct stoq_hash key;
    fill(t, 9);
    stoq_scratch_close(t);
    flip(t, "00000001", AT(4) + 1000);
    const struct stoq_store_config cfg = {.dir = t->dir, .read_only = true};
    assert_int_equal(stoq_store_open(&reader, &cfg, &t->err), STOQ_OK);
    (void)stoq_scratch_chunk(N, 4, false, &own, &key);
    free(own);
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    assert_int_equal(stoq_store_read(reader, STOQ_RECORD_CHUNK, stoq_span(key.b, 32),
                                     STOQ_STORE_VERIFY, &out, &t->err),
                     STOQ_PROOF);
    stoq_buf_release(&out);
    assert_int_equal(stoq_store_close(reader, &t->err), STOQ_OK);
    stoq_scratch_open(t);
    assert_false(stoq_scratch_has(t, N, 4, false));
    assert_true(stoq_scratch_has(t, N, 5, false));
}

static void write_file(const char *path, struct stoq_span s)
{
    assert_int_equal(stoq_file_replace(path, s, 0644, NULL), STOQ_OK);
}

static void a_file_in_place_is_read_too(void **state)
{
    struct stoq_scratch *t = *state;
    struct found f;
    char path[128];
    uint8_t *own;
    struct stoq_hash key;
    bool is_new;
    stoq_scratch_open(t);
    (void)snprintf(path, sizeof path, "%s/user", t->dir);
    struct stoq_span bytes = stoq_scratch_chunk(50000, 5, false, &own, &key);
    write_file(path, bytes);
    const struct stoq_place place = {
        .path = stoq_span_str(path), .bytes = 50000, .size = 50000, .inode = 1};
    assert_int_equal(stoq_store_put_places(t->s, stoq_span(key.b, 32), &place, 1, &is_new, &t->err),
                     STOQ_OK);
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    struct stoq_scrub_counts c = scrub(t, &f);
    assert_int_equal(c.places, 1);
    assert_int_equal(c.lost, 0);

    own[100] ^= 1;
    write_file(path, bytes);
    c = scrub(t, &f);
    assert_int_equal(c.lost, 1);
    assert_non_null(strstr(f.last, "user"));
    assert_false(stoq_scratch_has(t, 50000, 5, false));

    own[100] ^= 1; /* taken back: it counts again */
    write_file(path, bytes);
    c = scrub(t, &f);
    assert_int_equal(c.healed, 1);
    assert_true(stoq_scratch_has(t, 50000, 5, false));
    free(own);
}

static void a_state_is_read_as_written_or_not_at_all(void **state)
{
    struct stoq_scrub_state s = {.pass = 3,
                                 .phase = STOQ_SCRUB_PLACES,
                                 .segment = 7,
                                 .offset = 4096,
                                 .has_key = true,
                                 .key = {1, 2, 3},
                                 .began_at = 1700000000,
                                 .finished_at = 1690000000,
                                 .counts = {1, 2, 3, 4, 5, 6, 7},
                                 .last = {8, 9, 10, 11, 12, 13, 14}};
    struct stoq_scrub_state out;
    struct stoq_buf b;
    (void)state;
    stoq_buf_init(&b, 1024);
    assert_int_equal(stoq_scrub_state_encode(&s, &b), STOQ_OK);
    assert_int_equal(stoq_scrub_state_decode(stoq_buf_span(&b), &out), STOQ_OK);
    expect_same(&s, &out);
    assert_int_equal(out.phase, STOQ_SCRUB_PLACES);
    assert_int_equal(out.last.healed, 14);
    assert_true(out.has_key && out.key[2] == 3);
    for (size_t n = 0; n < b.n; n++) {
        assert_int_not_equal(stoq_scrub_state_decode(stoq_span(b.p, n), &out), STOQ_OK);
    }
    b.p[1] = 2; /* a newer version */
    assert_int_equal(stoq_scrub_state_decode(stoq_buf_span(&b), &out), STOQ_VERSION);
    stoq_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(a_sound_store_gives_nothing),
        STOQ_SCRATCH_TEST(damage_is_put_aside_and_a_put_heals_it),
        STOQ_SCRATCH_TEST(a_record_without_a_head_is_known_by_the_index),
        STOQ_SCRATCH_TEST(a_pass_goes_on_where_it_stood),
        STOQ_SCRATCH_TEST(a_rotten_tombstone_is_written_again),
        STOQ_SCRATCH_TEST(what_stands_too_close_to_damage_is_moved),
        STOQ_SCRATCH_TEST(a_promise_without_a_segment_is_found),
        STOQ_SCRATCH_TEST(what_a_reader_only_met_is_put_aside_when_it_closes),
        STOQ_SCRATCH_TEST(a_file_in_place_is_read_too),
        cmocka_unit_test(a_state_is_read_as_written_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
