/* Chunks in the user's own files: found like any other, and never another byte than was published. */
#include "store/place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/file.h"
#include "store/store_testing.h"
#include "tests/vectors.h"

static char files[64]; /* the user's folder */
static struct stoq_scratch t;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(files, sizeof files, "/tmp/stoq-places-XXXXXX");
    if (mkdtemp(files) == NULL) {
        return -1;
    }
    stoq_scratch_begin(&t);
    stoq_scratch_open(&t);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stoq_scratch_close(&t);
    bool is_gone = scratch_remove(t.dir);
    return scratch_remove(files) && is_gone ? 0 : -1;
}

/* The user's file of this name; eight are kept. */
static const char *file(const char *name)
{
    static char path[8][128];
    static int next;
    char *out = path[next++ % 8];
    (void)snprintf(out, sizeof path[0], "%s/%s", files, name);
    return out;
}

static void write_file(const char *name, const void *p, size_t n)
{
    int fd = open(file(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, stoq_span(p, n)), STOQ_OK);
    assert_int_equal(close(fd), 0);
}

/* Where bytes of that file are, as it is now. */
static struct stoq_place place_of(const char *path, uint64_t offset, uint32_t bytes)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return (struct stoq_place){
        .path = stoq_span_str(path),
        .offset = offset,
        .bytes = bytes,
        .size = (uint64_t)s.st_size,
        .mtime_ns = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec,
        .ctime_ns = (int64_t)s.st_ctim.tv_sec * 1000000000 + s.st_ctim.tv_nsec,
        .inode = s.st_ino,
    };
}

/* Two files whose middle parts are one chunk of 30,000 bytes. */
struct two {
    uint8_t a[50000];
    uint8_t b[20000];
    struct stoq_place place[2];
    struct stoq_hash hash;
    struct stoq_span key;
};

static void put_two(struct two *w)
{
    bool is_new;
    vectors_fill(w->a, sizeof w->a, 1);
    vectors_fill(w->b, sizeof w->b, 2);
    write_file("a", w->a, sizeof w->a);
    write_file("b", w->b, sizeof w->b);
    w->place[0] = place_of(file("a"), 30000, 20000);
    w->place[1] = place_of(file("b"), 0, 10000);
    w->hash = stoq_hash_blake3_2(stoq_span(w->a + 30000, 20000), stoq_span(w->b, 10000));
    w->key = stoq_span(w->hash.b, sizeof w->hash.b);
    assert_int_equal(stoq_store_put_places(t.s, w->key, w->place, 2, &is_new, &t.err), STOQ_OK);
    assert_true(is_new);
}

static enum stoq_status read_chunk(const struct two *w, struct stoq_buf *out)
{
    return stoq_store_read(t.s, STOQ_RECORD_CHUNK, w->key, 0, out, &t.err);
}

static void check_bytes(const struct two *w)
{
    struct stoq_buf out;
    struct stoq_stored info;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    assert_int_equal(read_chunk(w, &out), STOQ_OK);
    assert_int_equal(out.n, 30000);
    assert_memory_equal(out.p, w->a + 30000, 20000);
    assert_memory_equal(out.p + 20000, w->b, 10000);
    assert_int_equal(stoq_store_read_stored(t.s, STOQ_RECORD_CHUNK, w->key, STOQ_STORE_VERIFY,
                                            &info, &out, &t.err),
                     STOQ_OK);
    assert_int_equal(info.raw_len, 30000);
    assert_int_equal(info.stored_len, 30000);
    assert_int_equal(info.flags, 0);
    assert_int_equal(out.n, 30000);
    stoq_buf_release(&out);
}

static bool said_by_has_many(const struct two *w)
{
    uint8_t keys[96] = {0};
    uint8_t out;
    memcpy(keys + 32, w->key.p, 32);
    memset(keys + 64, 0xff, 32);
    assert_int_equal(
        stoq_store_has_many(t.s, STOQ_RECORD_CHUNK, stoq_span(keys, 96), 3, &out, &t.err), STOQ_OK);
    assert_int_equal(out & ~2, 0);
    return out == 2;
}

static bool is_had(const struct two *w)
{
    struct stoq_stored info;
    bool has = stoq_store_has(t.s, STOQ_RECORD_CHUNK, w->key);
    assert_true(said_by_has_many(w) == has);
    enum stoq_status st = stoq_store_stat(t.s, STOQ_RECORD_CHUNK, w->key, &info, NULL);
    assert_int_equal(st, has ? STOQ_OK : STOQ_NOTFOUND);
    assert_true(!has || info.raw_len == 30000);
    return has;
}

static void a_chunk_in_place_is_a_chunk(void **state)
{
    (void)state;
    struct two w;
    bool is_new;
    put_two(&w);
    assert_true(is_had(&w));
    check_bytes(&w);
    assert_int_equal(stoq_store_sync(t.s, &t.err), STOQ_OK);
    assert_true(is_had(&w));
    check_bytes(&w);
    stoq_scratch_close(&t);
    stoq_scratch_open(&t);
    check_bytes(&w);
    assert_int_equal(stoq_store_put_places(t.s, w.key, w.place, 2, &is_new, &t.err), STOQ_OK);
    assert_false(is_new);
    stoq_scratch_close(&t);
    struct stoq_store_config cfg = stoq_scratch_config(&t);
    assert_int_equal(stoq_store_rebuild(&cfg, NULL, &t.err), STOQ_OK);
    stoq_scratch_open(&t);
    assert_true(is_had(&w));
    check_bytes(&w);
    assert_int_equal(stoq_store_delete(t.s, STOQ_RECORD_IN_PLACE, w.key, &t.err), STOQ_OK);
    assert_false(is_had(&w));
    assert_int_equal(stoq_store_sync(t.s, &t.err), STOQ_OK);
    assert_false(is_had(&w));
}

/* Nothing comes out, the sentence says why, and the chunk is no longer promised. */
static void check_refused(const struct two *w, enum stoq_status want, const char *words)
{
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    for (int i = 0; i < 2; i++) { /* and again, quarantined */
        enum stoq_status st = read_chunk(w, &out);
        if (st != want || strstr(t.err.text, words) == NULL) {
            print_error("%d: %s\n", st, t.err.text);
        }
        assert_int_equal(st, want);
        assert_int_equal(out.n, 0);
        assert_non_null(strstr(t.err.text, words));
        assert_string_equal(t.err.code, "SourceChanged");
        assert_false(is_had(w));
    }
    assert_non_null(strstr(t.notice, words));
    stoq_buf_release(&out);
}

static void a_changed_file_gives_nothing(void **state)
{
    (void)state;
    struct two w;
    put_two(&w);
    w.a[40000] ^= 1;
    write_file("a", w.a, sizeof w.a);
    check_refused(&w, STOQ_PROOF, "/a changed after it was published in place: it was written to");
    w.a[40000] ^= 1; /* taken back: it is given again, and promised once it is put again */
    write_file("a", w.a, sizeof w.a);
    check_bytes(&w);
    assert_false(is_had(&w));
    put_two(&w);
    assert_true(is_had(&w));
}

static void what_happened_to_the_file_is_told(void **state)
{
    (void)state;
    struct two w;
    put_two(&w);
    write_file("b", w.b, 5000);
    check_refused(&w, STOQ_NOTFOUND,
                  "/b changed after it was published in place: it had 20000 "
                  "bytes and has 5000");
    put_two(&w);
    assert_int_equal(unlink(file("b")), 0);
    check_refused(&w, STOQ_NOTFOUND, "/b, published in place, cannot be read: No such file");
    put_two(&w);
    w.b[5] ^= 1;
    write_file("c", w.b, sizeof w.b);
    assert_int_equal(rename(file("c"), file("b")), 0);
    check_refused(&w, STOQ_PROOF, "/b changed after it was published in place: another file");
    put_two(&w);
    w.b[5] ^= 1; /* of the same length, and its times set back */
    struct stat before;
    assert_int_equal(stat(file("b"), &before), 0);
    int fd = open(file("b"), O_WRONLY);
    assert_int_equal(pwrite(fd, w.b, sizeof w.b, 0), sizeof w.b);
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(close(fd), 0);
    check_refused(&w, STOQ_PROOF, "/b changed after it was published in place: its times were set");
    put_two(&w);
    assert_int_equal(unlink(file("b")), 0);
    assert_int_equal(symlink(file("c"), file("b")), 0);
    check_refused(&w, STOQ_NOTFOUND, "cannot be read");
    assert_int_equal(unlink(file("b")), 0);
    put_two(&w);
    assert_int_equal(unlink(file("b")), 0);
    assert_int_equal(mkfifo(file("b"), 0600), 0); /* nobody writes: it must not be waited for */
    check_refused(&w, STOQ_NOTFOUND, "cannot be read");
}

/* The bits rot under a file whose times and size are as they were. */
static void rot_is_told_from_change(void **state)
{
    (void)state;
    struct two w;
    bool is_new;
    put_two(&w);
    w.place[0].offset--; /* as if the disk gave other bytes */
    assert_int_equal(stoq_store_put_places(t.s, w.key, w.place, 2, &is_new, &t.err), STOQ_OK);
    check_refused(&w, STOQ_PROOF, "other bytes, though its size and times are as they were");
}

static void a_stored_copy_comes_first(void **state)
{
    (void)state;
    struct two w;
    uint8_t chunk[30000];
    bool is_new;
    put_two(&w);
    memcpy(chunk, w.a + 30000, 20000);
    memcpy(chunk + 20000, w.b, 10000);
    /* A chunk that is in place is stored when it is put: that copy depends on nobody's files. */
    assert_int_equal(stoq_store_put(t.s, STOQ_RECORD_CHUNK, w.key, STOQ_STORE_VERIFY,
                                    stoq_span(chunk, sizeof chunk), &is_new, &t.err),
                     STOQ_OK);
    assert_true(is_new);
    assert_int_equal(unlink(file("a")), 0);
    check_bytes(&w);
    assert_true(is_had(&w));
    assert_int_equal(stoq_store_delete(t.s, STOQ_RECORD_CHUNK, w.key, &t.err), STOQ_OK);
    check_refused(&w, STOQ_NOTFOUND, "cannot be read");
}

static void places_that_cannot_be(void **state)
{
    (void)state;
    struct two w;
    struct stoq_buf out;
    bool is_new;
    put_two(&w);
    stoq_buf_init(&out, 2 * STOQ_PLACES_BYTES_MAX);
    struct stoq_place bad = w.place[0];
    static const char *const paths[] = {"", "relative", "a/b"};
    for (size_t i = 0; i < STOQ_COUNT(paths); i++) {
        bad.path = stoq_span_str(paths[i]);
        assert_int_equal(stoq_places_encode(&bad, 1, &out), STOQ_RANGE);
    }
    bad.path = stoq_span("/a\0b", 4);
    assert_int_equal(stoq_places_encode(&bad, 1, &out), STOQ_RANGE);
    bad = w.place[0];
    bad.bytes = 0;
    assert_int_equal(stoq_places_encode(&bad, 1, &out), STOQ_RANGE);
    bad.bytes = STOQ_CHUNK_BYTES_MAX + 1;
    assert_int_equal(stoq_places_encode(&bad, 1, &out), STOQ_RANGE);
    bad.bytes = 1;
    bad.offset = INT64_MAX;
    assert_int_equal(stoq_places_encode(&bad, 1, &out), STOQ_RANGE);
    assert_int_equal(stoq_places_encode(&bad, 0, &out), STOQ_RANGE);
    assert_int_equal(out.n, 0);
    struct stoq_place *many = calloc(4000, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < 4000; i++) {
        many[i] = w.place[0];
        many[i].bytes = 1;
    }
    assert_int_equal(stoq_places_encode(many, 4000, &out), STOQ_FULL);
    assert_int_equal(out.n, 0);
    assert_false(stoq_places_pay(many, 4000));
    assert_false(stoq_places_pay(many, 1));
    assert_true(stoq_places_pay(w.place, 2));
    assert_int_equal(stoq_store_put_places(t.s, w.key, many, 4000, &is_new, &t.err), STOQ_FULL);
    free(many);
    stoq_buf_release(&out);
}

/* A payload that is no list of places, under a good checksum. */
static void a_damaged_record_gives_nothing(void **state)
{
    (void)state;
    struct two w;
    struct stoq_buf good;
    struct stoq_buf out;
    put_two(&w);
    stoq_buf_init(&good, STOQ_PLACES_BYTES_MAX);
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    assert_int_equal(stoq_places_encode(w.place, 2, &good), STOQ_OK);
    for (size_t n = 0; n < good.n; n++) {
        assert_int_equal(stoq_store_put(t.s, STOQ_RECORD_IN_PLACE, w.key, STOQ_STORE_OVERWRITE,
                                        stoq_span(good.p, n), NULL, &t.err),
                         STOQ_OK);
        assert_int_not_equal(read_chunk(&w, &out), STOQ_OK);
        assert_int_equal(out.n, 0);
    }
    stoq_buf_release(&good);
    stoq_buf_release(&out);
}

/* The bytes of docs/FORMATS.md section 9. */
static void the_payload_is_as_the_vectors_say(void **state)
{
    (void)state;
    struct vectors v;
    unsigned count = 0;
    vectors_open(&v, "segments");
    while (vectors_next(&v)) {
        if (!vectors_is(&v, "record") || vectors_u64(&v, 1) != STOQ_RECORD_IN_PLACE) {
            continue;
        }
        struct stoq_span payload = vectors_bytes(&v, 5);
        struct stoq_places p;
        struct stoq_place place[2];
        struct stoq_place none;
        struct stoq_buf again;
        stoq_buf_init(&again, STOQ_PLACES_BYTES_MAX);
        assert_int_equal(stoq_places_begin(&p, payload), STOQ_OK);
        assert_int_equal(p.raw_len, 100);
        assert_int_equal(stoq_places_next(&p, &place[0]), STOQ_OK);
        assert_int_equal(stoq_places_next(&p, &place[1]), STOQ_OK);
        assert_int_equal(stoq_places_next(&p, &none), STOQ_NOTFOUND);
        assert_true(stoq_span_eq(place[0].path, stoq_span_str("/srv/a/first")));
        assert_int_equal(place[0].offset, 4096);
        assert_int_equal(place[1].mtime_ns, -5);
        assert_int_equal(stoq_places_encode(place, 2, &again), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&again), payload));
        for (size_t n = 0; n < payload.n; n++) {
            enum stoq_status st = stoq_places_begin(&p, stoq_span(payload.p, n));
            while (st == STOQ_OK) {
                st = stoq_places_next(&p, &none);
            }
            assert_int_equal(st, STOQ_MALFORMED);
        }
        stoq_buf_release(&again);
        count++;
    }
    vectors_close(&v);
    assert_int_equal(count, 1);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(a_chunk_in_place_is_a_chunk),
        SCRATCH(a_changed_file_gives_nothing),
        SCRATCH(what_happened_to_the_file_is_told),
        SCRATCH(rot_is_told_from_change),
        SCRATCH(a_stored_copy_comes_first),
        SCRATCH(places_that_cannot_be),
        SCRATCH(a_damaged_record_gives_nothing),
        cmocka_unit_test(the_payload_is_as_the_vectors_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
