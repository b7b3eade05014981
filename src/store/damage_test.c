/* What a crash, a rotten disk or a hostile payload leaves behind. */
#include "store/store_testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"

#define N 20000
#define RECORD_BYTES (32 + 32 + N) /* of an uncompressed chunk */
#define AT(i) (64 + (uint64_t)(i)*RECORD_BYTES)

static int open_in(struct stoq_scratch *t, const char *name)
{
    char path[128];
    assert_int_equal(stoq_file_join(path, sizeof path, t->dir, name), STOQ_OK);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

#define SEGMENT_1 "segments/00000001.seg"
#define SEGMENT_2 "segments/00000002.seg"

static void flip(struct stoq_scratch *t, const char *name, uint64_t offset)
{
    int fd = open_in(t, name);
    uint8_t b;
    assert_int_equal(stoq_file_pread_all(fd, &b, 1, offset), STOQ_OK);
    b ^= 0x10;
    assert_int_equal(stoq_file_pwrite_all(fd, stoq_span(&b, 1), offset), STOQ_OK);
    (void)close(fd);
}

static uint64_t length(struct stoq_scratch *t, const char *name)
{
    int fd = open_in(t, name);
    struct stat sb;
    assert_int_equal(fstat(fd, &sb), 0);
    (void)close(fd);
    return (uint64_t)sb.st_size;
}

static void resize(struct stoq_scratch *t, const char *name, uint64_t bytes)
{
    int fd = open_in(t, name);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    (void)close(fd);
}

static void put_file(struct stoq_scratch *t, const char *name, struct stoq_span s)
{
    char path[256];
    assert_int_equal(stoq_file_join(path, sizeof path, t->dir, name), STOQ_OK);
    assert_int_equal(stoq_file_replace(path, s, 0600, NULL), STOQ_OK);
}

/* From a file of any store to one of t's. */
static void copy_file(struct stoq_scratch *from_t, const char *from, struct stoq_scratch *t,
                      const char *to)
{
    char path[256];
    struct stoq_buf b;
    stoq_buf_init(&b, 64 * STOQ_MIB);
    assert_int_equal(stoq_file_join(path, sizeof path, from_t->dir, from), STOQ_OK);
    assert_int_equal(stoq_file_read(path, b.max, &b, NULL), STOQ_OK);
    put_file(t, to, stoq_buf_span(&b));
    stoq_buf_release(&b);
}

static bool is_there(struct stoq_scratch *t, const char *name)
{
    char path[256];
    assert_int_equal(stoq_file_join(path, sizeof path, t->dir, name), STOQ_OK);
    return access(path, F_OK) == 0;
}

#define INDEX "index/data.mdb"

/* A store of `count` chunks whose index ends after the first `indexed`. */
static void begin_with_tail(struct stoq_scratch *t, uint64_t indexed, uint64_t count)
{
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < indexed; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    stoq_scratch_close(t);
    copy_file(t, INDEX, t, "kept.mdb");
    stoq_scratch_open(t);
    for (uint64_t i = indexed; i < count; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    stoq_scratch_close(t);
    copy_file(t, "kept.mdb", t, INDEX);
    assert_int_equal(length(t, SEGMENT_1), AT(count));
}

static void expect_all_but(struct stoq_scratch *t, uint64_t count, uint64_t missing)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(stoq_scratch_has(t, N, i, false), i != missing);
        assert_int_equal(stoq_scratch_read(t, N, i, false), i == missing ? STOQ_NOTFOUND : STOQ_OK);
    }
}

static void an_unindexed_tail_is_recovered(void **state)
{
    struct stoq_scratch *t = *state;
    begin_with_tail(t, 3, 10);
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "recovered 7 records"));
    expect_all_but(t, 10, 99);
    assert_false(stoq_scratch_put(t, N, 9, false));
    assert_true(stoq_scratch_put(t, N, 10, false));
    stoq_scratch_close(t);
    assert_int_equal(length(t, SEGMENT_1), AT(11));
    stoq_scratch_open(t);
    assert_string_equal(t->notice, "");
    expect_all_but(t, 11, 99);
}

static void a_torn_end_is_cut(void **state)
{
    struct stoq_scratch *t = *state;
    begin_with_tail(t, 3, 10);
    resize(t, SEGMENT_1, (AT(9) + 5000));
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "cut 5000 torn bytes"));
    expect_all_but(t, 10, 9);
    assert_int_equal(length(t, SEGMENT_1), AT(9));
    assert_true(stoq_scratch_put(t, N, 9, false));
    stoq_scratch_close(t);
    assert_int_equal(length(t, SEGMENT_1), AT(10));
}

static void every_cut_is_survived(void **state)
{
    struct stoq_scratch *t = *state;
    begin_with_tail(t, 1, 3);
    copy_file(t, SEGMENT_1, t, "kept.seg");
    static const uint64_t cuts[] = {1, 7, 8, 31, 32, 33, 63, 64, 65, 4096, RECORD_BYTES - 1};
    for (size_t i = 0; i < STOQ_COUNT(cuts); i++) {
        copy_file(t, "kept.mdb", t, INDEX);
        copy_file(t, "kept.seg", t, SEGMENT_1);
        resize(t, SEGMENT_1, (AT(2) + cuts[i]));
        stoq_scratch_open(t);
        expect_all_but(t, 3, 2);
        stoq_scratch_close(t);
        assert_int_equal(length(t, SEGMENT_1), AT(2));
    }
}

static void a_rotten_tail_record_costs_itself_only(void **state)
{
    struct stoq_scratch *t = *state;
    begin_with_tail(t, 3, 10);
    flip(t, SEGMENT_1, AT(5) + 9000); /* payload */
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "damaged bytes"));
    expect_all_but(t, 10, 5);
    assert_true(stoq_scratch_put(t, N, 5, false));
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    expect_all_but(t, 10, 99);
}

static void a_rotten_length_is_searched_past(void **state)
{
    struct stoq_scratch *t = *state;
    begin_with_tail(t, 3, 10);
    flip(t, SEGMENT_1, AT(5) + 21); /* stored length */
    stoq_scratch_open(t);
    expect_all_but(t, 10, 5);
}

static void a_rotten_indexed_record_is_quarantined(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 5; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
    flip(t, SEGMENT_1, AT(2) + 70);
    assert_true(stoq_scratch_has(t, N, 2, false)); /* nobody has looked yet */
    assert_int_equal(stoq_scratch_read(t, N, 2, false), STOQ_PROOF);
    assert_string_equal(t->err.code, "IntegrityCheckFailed");
    assert_non_null(strstr(t->err.text, "segment 00000001 at byte 40192"));
    assert_non_null(strstr(t->notice, "quarantined"));
    assert_false(stoq_scratch_has(t, N, 2, false));
    assert_int_equal(stoq_scratch_read(t, N, 2, false), STOQ_PROOF);
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    assert_false(stoq_scratch_has(t, N, 2, false));
    assert_true(stoq_scratch_put(t, N, 2, false)); /* a peer had it */
    expect_all_but(t, 5, 99);
    stoq_scratch_close(t);
    struct stoq_store_config cfg = stoq_scratch_config(t);
    struct stoq_store_rebuild_report report;
    assert_int_equal(stoq_store_rebuild(&cfg, &report, NULL), STOQ_OK);
    assert_int_equal(report.quarantined, 1);
    assert_int_equal(report.live, 5);
    stoq_scratch_open(t);
    expect_all_but(t, 5, 99);
}

/* Everything a store answers, as text. */
struct listing {
    struct stoq_buf b;
};

static bool list_one(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct listing *l = user;
    assert_int_equal(stoq_buf_add(&l->b, key), STOQ_OK);
    assert_int_equal(stoq_buf_add(&l->b, stoq_span(&info.raw_len, 4)), STOQ_OK);
    return true;
}

static void list_all(struct stoq_scratch *t, struct listing *l)
{
    stoq_buf_init(&l->b, SIZE_MAX);
    for (int type = 1; type < STOQ_RECORD_TYPES; type++) {
        assert_int_equal(stoq_buf_add(&l->b, stoq_span(&type, 1)), STOQ_OK);
        assert_int_equal(stoq_store_each(t->s, (enum stoq_record_type)type, list_one, l, NULL),
                         STOQ_OK);
    }
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(t->s, &stats, NULL), STOQ_OK);
    assert_int_equal(stoq_buf_add(&l->b, stoq_span(stats.type, sizeof stats.type)), STOQ_OK);
}

/* 60 chunks and aliases over several segments, some deleted, some written anew. */
static void fill_mixed(struct stoq_scratch *t)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    cfg.segment_bytes = 256 * STOQ_KIB;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_OK);
    for (uint8_t i = 0; i < 60; i++) {
        uint8_t key[20] = {i};
        assert_true(stoq_scratch_put(t, N, i, i % 3 == 0));
        assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_ALIAS, stoq_span(key, 20), 0,
                                        stoq_span(key, 1), NULL, NULL),
                         STOQ_OK);
        key[0] = i / 2;
        if (i % 4 == 1) {
            assert_int_equal(stoq_store_delete(t->s, STOQ_RECORD_ALIAS, stoq_span(key, 20), NULL),
                             STOQ_OK);
        }
        if (i % 8 == 1) {
            assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_ALIAS, stoq_span(key, 20), 0,
                                            stoq_span("again", 5), NULL, NULL),
                             STOQ_OK);
        }
        if (i % 10 == 0) {
            assert_int_equal(stoq_store_sync(t->s, NULL), STOQ_OK);
        }
    }
}

static void lose_folder(struct stoq_scratch *t)
{
    stoq_scratch_remove(t, "index");
}

static void lose_file(struct stoq_scratch *t)
{
    stoq_scratch_remove(t, INDEX);
}

static void empty_it(struct stoq_scratch *t)
{
    resize(t, INDEX, 0);
}

static void cut_to_a_page(struct stoq_scratch *t)
{
    resize(t, INDEX, 5000);
}

static void cut_last_page(struct stoq_scratch *t)
{
    resize(t, INDEX, length(t, INDEX) - 4096);
}

static void scribble_over_its_heads(struct stoq_scratch *t)
{
    uint8_t junk[8192];
    int fd = open_in(t, INDEX);
    struct stoq_span s = stoq_scratch_bytes(junk, sizeof junk, 1, false);
    assert_int_equal(stoq_file_pwrite_all(fd, s, 0), STOQ_OK);
    (void)close(fd);
}

/* As after a crash in the midst of a rebuild. */
static void leave_half_a_rebuild(struct stoq_scratch *t)
{
    char path[256];
    assert_int_equal(stoq_file_join(path, sizeof path, t->dir, "index.new"), STOQ_OK);
    assert_int_equal(stoq_file_mkdir_p(path, 0700, NULL), STOQ_OK);
    put_file(t, "index.new/data.mdb", stoq_span("junk", 4));
    stoq_scratch_remove(t, "index");
}

static void a_lost_index_is_rebuilt_the_same(void **state)
{
    struct stoq_scratch *t = *state;
    fill_mixed(t);
    struct listing want;
    list_all(t, &want);
    stoq_scratch_close(t);
    static void (*const harm[])(struct stoq_scratch *) = {
        lose_folder,
        lose_file,
        empty_it,
        cut_to_a_page,
        scribble_over_its_heads,
        cut_last_page,
        leave_half_a_rebuild,
    };
    for (size_t i = 0; i < STOQ_COUNT(harm); i++) {
        harm[i](t);
        stoq_scratch_open(t);
        assert_non_null(strstr(t->notice, "rebuilt the index"));
        struct listing got;
        list_all(t, &got);
        assert_true(stoq_span_eq(stoq_buf_span(&got.b), stoq_buf_span(&want.b)));
        stoq_buf_release(&got.b);
        stoq_scratch_close(t);
    }
    stoq_buf_release(&want.b);
}

static void an_index_ahead_of_its_segments_is_not_believed(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(stoq_scratch_put(t, N, i, false));
    }
    stoq_scratch_close(t);
    resize(t, SEGMENT_1, AT(3));
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "ahead of segment"));
    expect_all_but(t, 4, 3);
}

static void an_index_of_another_store_is_not_believed(void **state)
{
    struct stoq_scratch *t = *state;
    struct stoq_scratch other;
    stoq_scratch_begin(&other);
    stoq_scratch_open(&other);
    assert_true(stoq_scratch_put(&other, N, 77, false));
    stoq_scratch_close(&other);
    stoq_scratch_open(t);
    assert_true(stoq_scratch_put(t, N, 1, false));
    stoq_scratch_close(t);
    copy_file(&other, INDEX, t, INDEX);
    stoq_scratch_open(t);
    assert_true(stoq_scratch_has(t, N, 1, false));
    assert_false(stoq_scratch_has(t, N, 77, false));
    stoq_scratch_close(t);
    stoq_scratch_remove(t, "index");
    copy_file(&other, SEGMENT_1, t, SEGMENT_2);
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "not of this store"));
    assert_true(stoq_scratch_has(t, N, 1, false));
    assert_false(stoq_scratch_has(t, N, 77, false));
    assert_true(stoq_scratch_put(t, N, 2, false));
    stoq_scratch_end(&other);
}

static void a_segment_that_never_began_is_removed(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    assert_true(stoq_scratch_put(t, N, 1, false));
    stoq_scratch_close(t);
    static const size_t bytes[] = {0, 63};
    for (size_t i = 0; i < STOQ_COUNT(bytes); i++) {
        static const uint8_t zero[63];
        put_file(t, SEGMENT_2, stoq_span(zero, bytes[i]));
        stoq_scratch_open(t);
        assert_true(stoq_scratch_has(t, N, 1, false));
        stoq_scratch_close(t);
        assert_false(is_there(t, SEGMENT_2));
    }
}

/* A chunk whose payload holds whole records at multiples of 8: a tombstone for chunk 1, an alias,
 * and a small chunk that is truly the chunk its key says. */
static void put_planting_chunk(struct stoq_scratch *t, uint64_t chunk_sequence)
{
    static uint8_t p[N];
    memset(p, 0x55, sizeof p);
    uint8_t *own;
    struct stoq_hash h;
    (void)stoq_scratch_chunk(N, 1, false, &own, &h);
    free(own);
    uint8_t id[33] = {STOQ_RECORD_CHUNK};
    memcpy(id + 1, h.b, 32);
    struct stoq_record tomb = {
        .type = STOQ_RECORD_TOMBSTONE, .sequence = 1U << 30, .key = stoq_span(id, 33)};
    stoq_record_encode(p + 64, &tomb);
    struct stoq_record alias = {.type = STOQ_RECORD_ALIAS,
                                .sequence = 1U << 30,
                                .info = {1, 1, 0},
                                .key = stoq_span("planted", 7),
                                .stored = stoq_span("x", 1)};
    stoq_record_encode(p + 640, &alias);
    static const uint8_t small[] = "a small chunk";
    struct stoq_hash small_h = stoq_hash_blake3(stoq_span(small, sizeof small));
    struct stoq_record chunk = {.type = STOQ_RECORD_CHUNK,
                                .sequence = chunk_sequence,
                                .info = {sizeof small, sizeof small, 0},
                                .key = stoq_span(small_h.b, 32),
                                .stored = stoq_span(small, sizeof small)};
    stoq_record_encode(p + 6400, &chunk);
    stoq_record_encode(p + 6400 + stoq_record_bytes(32, sizeof small), &tomb);
    struct stoq_hash key = stoq_hash_blake3(stoq_span(p, N));
    struct stoq_stored info = {N, N, 0};
    assert_int_equal(stoq_store_put_stored(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32),
                                           STOQ_STORE_VERIFY, info, stoq_span(p, N), NULL, NULL),
                     STOQ_OK);
}

static void planted_records_are_not_believed(void **state)
{
    static const uint64_t sequences[] = {3, UINT64_MAX};
    (void)state;
    for (size_t k = 0; k < STOQ_COUNT(sequences); k++) {
        struct stoq_scratch scratch;
        struct stoq_scratch *t = &scratch;
        stoq_scratch_begin(t);
        stoq_scratch_open(t);
        assert_true(stoq_scratch_put(t, N, 0, false));
        assert_true(stoq_scratch_put(t, N, 1, false));
        put_planting_chunk(t, sequences[k]);
        assert_true(stoq_scratch_put(t, N, 3, false));
        assert_true(stoq_scratch_put(t, N, 4, false));
        stoq_scratch_close(t);
        flip(t, SEGMENT_1, AT(2) + 21); /* the planting record's length is rotten */
        stoq_scratch_remove(t, "index");
        stoq_scratch_open(t);
        for (uint64_t i = 0; i < 5; i++) {
            assert_int_equal(stoq_scratch_has(t, N, i, false), i != 2);
        }
        assert_false(stoq_store_has(t->s, STOQ_RECORD_ALIAS, stoq_span("planted", 7)));
        struct stoq_hash small = stoq_hash_blake3(stoq_span("a small chunk", 14));
        /* True to its key, so it does no harm, unless its sequence would outlive a deletion. */
        assert_int_equal(stoq_store_has(t->s, STOQ_RECORD_CHUNK, stoq_span(small.b, 32)), k == 0);
        stoq_scratch_end(t);
    }
}

static void doubtful_ends_are_kept(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    assert_true(stoq_scratch_put(t, N, 0, false));
    assert_int_equal(stoq_store_put(t->s, STOQ_RECORD_ALIAS, stoq_span("k", 1), 0,
                                    stoq_span("v", 1), NULL, NULL),
                     STOQ_OK);
    stoq_scratch_close(t);
    uint64_t n = length(t, SEGMENT_1);
    flip(t, SEGMENT_1, AT(0) + 21);
    stoq_scratch_remove(t, "index");
    stoq_scratch_open(t); /* an alias behind a gap cannot be believed, but may be real */
    assert_true(stoq_scratch_put(t, N, 1, false));
    stoq_scratch_close(t);
    assert_int_equal(length(t, SEGMENT_1), n);
    assert_int_equal(length(t, SEGMENT_2), AT(1));
    stoq_scratch_open(t);
    assert_true(stoq_scratch_has(t, N, 1, false));
}

/* Zero each leaf page of the index that holds several entries; its totals and its length stay right. */
static void rot_leaves(struct stoq_scratch *t)
{
    uint8_t page[4096];
    const uint8_t zero[4096] = {0};
    unsigned done = 0;
    int fd = open_in(t, INDEX);
    for (uint64_t at = 2 * sizeof page; stoq_file_pread_all(fd, page, sizeof page, at) == STOQ_OK;
         at += sizeof page) {
        unsigned flags = page[10] | (unsigned)page[11] << 8;
        unsigned lower = page[12] | (unsigned)page[13] << 8;
        if (flags == 2 && lower >= 16 + 2 * 3 && lower < 400) { /* P_LEAF, three nodes or more */
            assert_int_equal(stoq_file_pwrite_all(fd, stoq_span(zero, sizeof zero), at), STOQ_OK);
            done++;
        }
    }
    (void)close(fd);
    assert_true(done > 0);
}

static void an_index_that_turns_out_rotten_is_made_anew(void **state)
{
    struct stoq_scratch *t = *state;
    begin_with_tail(t, 5, 10);
    rot_leaves(t);
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "rebuilt the index"));
    expect_all_but(t, 10, 99);
    assert_true(stoq_scratch_put(t, N, 50, false));
    stoq_scratch_close(t);
    stoq_scratch_open(t);
    expect_all_but(t, 10, 99);
}

struct sum {
    uint64_t files;
    struct stoq_hash all;
};
static struct sum summing;

static int sum_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
    struct stoq_buf b;
    (void)ftw;
    stoq_buf_init(&b, 64 * STOQ_MIB);
    if (kind == FTW_F) {
        assert_int_equal(stoq_file_read(path, b.max, &b, NULL), STOQ_OK);
        summing.files++;
    }
    assert_int_equal(stoq_buf_add(&b, stoq_span_str(path)), STOQ_OK);
    assert_int_equal(stoq_buf_add(&b, stoq_span(&sb->st_mtim, sizeof sb->st_mtim)), STOQ_OK);
    const struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(&b));
    for (size_t i = 0; i < sizeof h.b; i++) {
        summing.all.b[i] ^= h.b[i]; /* the order of the walk does not matter */
    }
    stoq_buf_release(&b);
    return 0;
}

/* Names, bytes and times of everything in the store. */
static struct sum sum_of(struct stoq_scratch *t)
{
    summing = (struct sum){0};
    assert_int_equal(nftw(t->dir, sum_one, 8, FTW_PHYS), 0);
    return summing;
}

/* Every way in refuses with the same sentence, and not a byte, name or time has changed. */
static void refused_untouched(struct stoq_scratch *t, const char *sentence)
{
    struct sum before = sum_of(t);
    struct stoq_store_config cfg = stoq_scratch_config(t);
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_VERSION);
    assert_non_null(strstr(t->err.text, sentence));
    assert_int_equal(stoq_store_rebuild(&cfg, NULL, &t->err), STOQ_VERSION);
    assert_non_null(strstr(t->err.text, sentence));
    cfg.read_only = true;
    cfg.create = false;
    assert_int_equal(stoq_store_open(&t->s, &cfg, &t->err), STOQ_VERSION);
    struct sum after = sum_of(t);
    assert_true(before.files > 3);
    assert_memory_equal(&before, &after, sizeof before);
}

static void a_newer_store_is_refused_and_not_touched(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    (void)stoq_scratch_put(t, N, 1, false);
    stoq_scratch_close(t);
    put_file(t, "FORMAT", stoq_span_str("stoq store 2\n"));
    refused_untouched(t, "is of a newer format; this program speaks 1");
    put_file(t, "FORMAT", stoq_span_str("stoq store 1\n"));
    stoq_scratch_open(t); /* and nothing was lost by the asking */
    assert_int_equal(stoq_scratch_read(t, N, 1, false), STOQ_OK);
}

/* The index is a projection: of another version it is made anew, an older program's or a newer one's. */
static void an_index_of_another_version_is_made_anew(void **state)
{
    struct stoq_scratch *t = *state;
    stoq_scratch_open(t);
    (void)stoq_scratch_put(t, N, 1, false);
    stoq_scratch_close(t);
    uint8_t page[4096];
    int fd = open_in(t, INDEX);
    for (uint64_t at = 0; stoq_file_pread_all(fd, page, sizeof page, at) == STOQ_OK;
         at += sizeof page) {
        const uint8_t *key = memmem(page, sizeof page, "meta\1\0\0\0", 8);
        const uint8_t two = 2;
        if (key != NULL) {
            uint64_t where = at + (uint64_t)(key - page) + 4;
            assert_int_equal(stoq_file_pwrite_all(fd, stoq_span(&two, 1), where), STOQ_OK);
        }
    }
    (void)close(fd);
    stoq_scratch_open(t);
    assert_non_null(strstr(t->notice, "rebuilt the index"));
    assert_int_equal(stoq_scratch_read(t, N, 1, false), STOQ_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOQ_SCRATCH_TEST(an_index_that_turns_out_rotten_is_made_anew),
        STOQ_SCRATCH_TEST(a_newer_store_is_refused_and_not_touched),
        STOQ_SCRATCH_TEST(an_index_of_another_version_is_made_anew),
        STOQ_SCRATCH_TEST(an_unindexed_tail_is_recovered),
        STOQ_SCRATCH_TEST(a_torn_end_is_cut),
        STOQ_SCRATCH_TEST(every_cut_is_survived),
        STOQ_SCRATCH_TEST(a_rotten_tail_record_costs_itself_only),
        STOQ_SCRATCH_TEST(a_rotten_length_is_searched_past),
        STOQ_SCRATCH_TEST(a_rotten_indexed_record_is_quarantined),
        STOQ_SCRATCH_TEST(a_lost_index_is_rebuilt_the_same),
        STOQ_SCRATCH_TEST(an_index_ahead_of_its_segments_is_not_believed),
        STOQ_SCRATCH_TEST(an_index_of_another_store_is_not_believed),
        STOQ_SCRATCH_TEST(a_segment_that_never_began_is_removed),
        cmocka_unit_test(planted_records_are_not_believed),
        STOQ_SCRATCH_TEST(doubtful_ends_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
