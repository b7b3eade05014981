/*
 * The chunks of a published package are those of its profile: the root of a publish, with its blocks,
 * workers and pieces of reads, against one made from the whole stream in memory.
 */
#include "daemon/packages_harness.h"

#include "chunk/runs.h"
#include "daemon/alias.h"
#include "daemon/held.h"
#include "hash/hash.h"
#include "os/file.h"
#include "package/table.h"

#define STREAM_BYTES_MAX ((size_t)16 << 20)

/* The files of the package, in order of their names, and the stream that they make. */
struct stream {
    struct stoq_buf bytes;
    uint64_t part_bytes[8]; /* the table's first */
    size_t part_count;
};

/* Write a file and append it to the stream. */
static void add_file(struct stream *s, const char *name, struct stoq_span contents)
{
    put_file(name, contents);
    s->part_bytes[s->part_count++] = contents.n;
    assert_int_equal(stoq_buf_add(&s->bytes, contents), STOQ_OK);
}

/* More members of 8192 bytes than a block of the ingest has chunks, then small and large ones. */
static void make_archive(struct stoq_buf *b)
{
    for (uint64_t i = 0; i < 700; i++) {
        add_member(b, 8192, i);
    }
    for (uint64_t i = 0; i < 300; i++) {
        add_member(b, (size_t)(i * i % 9000), 1000 + i);
    }
    add_member(b, 3000000, 2000);
    add_member(b, 5, 2001);
}

/* in/a.tar, in/b, in/c: an archive, small files, a large one; the table made by hand. */
static void make_three_files(struct stream *s)
{
    static const char *const names[] = {"a.tar", "b", "c"};
    struct stoq_buf archive;
    struct stoq_buf plain;
    stoq_buf_init(&archive, STREAM_BYTES_MAX);
    stoq_buf_init(&plain, STREAM_BYTES_MAX);
    stoq_buf_init(&s->bytes, STREAM_BYTES_MAX);
    make_archive(&archive);
    add_random(&plain, 1000001, 3000);
    const uint64_t sizes[] = {archive.n, 77, plain.n};
    struct stoq_table_writer w;
    stoq_table_writer_init(&w);
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        const struct stoq_entry e = {stoq_span_str(names[i]), STOQ_ENTRY_FILE, sizes[i], {NULL, 0}};
        assert_int_equal(stoq_table_writer_add(&w, &e, &s->bytes), STOQ_OK);
    }
    s->part_bytes[0] = s->bytes.n;
    s->part_count = 1;
    add_file(s, "in/a.tar", stoq_buf_span(&archive));
    add_file(s, "in/b", stoq_span(plain.p, 77));
    add_file(s, "in/c", stoq_buf_span(&plain));
    stoq_buf_release(&archive);
    stoq_buf_release(&plain);
}

/* A root being made from the stream. */
struct cutting {
    struct stoq_chunker chunker;
    struct stoq_merkle *merkle;
    struct stoq_span rest; /* not in a chunk yet */
};

static void cut_run(struct cutting *c, uint64_t bytes)
{
    while (bytes > 0) {
        struct stoq_merkle_closed closed;
        bool has_closed;
        size_t n = stoq_chunker_cut(&c->chunker, stoq_span(c->rest.p, (size_t)bytes), true);
        const struct stoq_merkle_chunk chunk = {stoq_hash_blake3(stoq_span(c->rest.p, n)),
                                                (uint32_t)n};
        assert_int_equal(stoq_merkle_add(c->merkle, &chunk, &closed, &has_closed), STOQ_OK);
        c->rest = stoq_span(c->rest.p + n, c->rest.n - n);
        bytes -= n;
    }
}

static struct stoq_merkle_root root_of(const struct stream *s,
                                       const struct stoq_chunk_profile *profile)
{
    const struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct cutting c = {.rest = stoq_buf_span(&s->bytes)};
    struct stoq_runs runs;
    const uint8_t *part = s->bytes.p;
    uint64_t ended;
    assert_int_equal(stoq_chunker_init(&c.chunker, &profile->params), STOQ_OK);
    assert_int_equal(stoq_merkle_new(&c.merkle, &cfg), STOQ_OK);
    stoq_runs_init(&runs, profile);
    for (size_t i = 0; i < s->part_count; i++) {
        enum stoq_run_part kind = i == 0 ? STOQ_RUN_TABLE : STOQ_RUN_FILE;
        assert_int_equal(stoq_runs_add(&runs, kind, s->part_bytes[i], &ended), STOQ_OK);
        cut_run(&c, ended);
        for (size_t taken = 0; taken < s->part_bytes[i];) {
            struct stoq_span left = stoq_span(part + taken, (size_t)s->part_bytes[i] - taken);
            taken += stoq_runs_take(&runs, left, &ended);
            cut_run(&c, ended);
        }
        part += s->part_bytes[i];
    }
    cut_run(&c, stoq_runs_finish(&runs));
    assert_int_equal(c.rest.n, 0);
    struct stoq_merkle_root root;
    struct stoq_merkle_closed closed;
    bool has_closed;
    stoq_merkle_finish(c.merkle, &closed, &has_closed, &root);
    stoq_merkle_free(c.merkle);
    return root;
}

static void check_publish(const struct stoq_publish_ask *ask, const struct stoq_merkle_root *want)
{
    struct stoq_publish_report r;
    struct stoq_held *held;
    assert_int_equal(stoq_publish(store, ask, &r, NULL), STOQ_OK);
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    const struct stoq_manifest *m = stoq_held_manifest(held);
    assert_int_equal(m->profile, ask->profile == 0 ? STOQ_PROFILE_DEFAULT : ask->profile);
    assert_int_equal(m->bytes, want->bytes);
    assert_int_equal(m->chunks, want->chunks);
    assert_true(stoq_hash_eq(&m->root, &want->hash));
    stoq_held_close(held);
}

static void the_root_is_that_of_the_profile(void **state)
{
    (void)state;
    static const size_t reads[] = {0, 1021, 65536, 300000};
    struct stream s;
    make_three_files(&s);
    struct stoq_merkle_root roots[3];
    for (unsigned code = 0; code <= STOQ_PROFILE_2; code++) {
        struct stoq_publish_ask ask = {
            .path = at("in"), .name = "x", .version = "1", .profile = code};
        roots[code] = root_of(&s, stoq_chunk_profile(code == 0 ? STOQ_PROFILE_DEFAULT : code));
        for (unsigned i = 0; i < STOQ_COUNT(reads); i++) {
            ask.read_bytes = reads[i];
            ask.threads = i + 1;
            check_publish(&ask, &roots[code]);
        }
    }
    /* Each of the 700 members and its header are a chunk. */
    assert_true(roots[2].chunks > 1400 && roots[1].chunks < 400);
    stoq_buf_release(&s.bytes);
}

static bool count_one(void *user, const struct stoq_package_id *id, struct stoq_span path)
{
    (void)id;
    (void)path;
    ++*(size_t *)user;
    return true;
}

/* The digest of one file of the tree must lead to it. */
static void check_found(const char *name, enum stoq_hash_alg alg, size_t want)
{
    struct stoq_buf bytes;
    struct stoq_digest digest;
    size_t found = 0;
    stoq_buf_init(&bytes, STREAM_BYTES_MAX);
    assert_int_equal(stoq_file_read(at(name), STREAM_BYTES_MAX, &bytes, NULL), STOQ_OK);
    assert_int_equal(stoq_digest_of(&digest, alg, stoq_buf_span(&bytes)), STOQ_OK);
    assert_int_equal(stoq_alias_find(store, &digest, count_one, &found, NULL), STOQ_OK);
    assert_int_equal(found, want);
    stoq_buf_release(&bytes);
}

/* Digests of files and of the stream are the same whoever makes them; empty files have marks alone. */
static void further_digests_follow_the_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"in/a.tar", "in/b", "in/c", "in/empty"};
    const size_t empty_count = 5000;
    struct stoq_publish_report r[3];
    struct stream s;
    char name[32];
    make_three_files(&s);
    make_dir("in/d");
    add_file(&s, "in/empty", stoq_span(NULL, 0));
    for (size_t i = 0; i < empty_count; i++) {
        (void)snprintf(name, sizeof name, "in/d/%04zu", i);
        s.part_count = 1;
        add_file(&s, name, stoq_span(NULL, 0));
    }
    for (unsigned i = 0; i < 3; i++) {
        struct stoq_publish_ask ask = {.path = at("in"), .name = "x", .version = "1"};
        ask.aliases[0] = STOQ_HASH_SHA256;
        ask.aliases[1] = STOQ_HASH_BLAKE3;
        ask.aliases[2] = STOQ_HASH_SHA512;
        ask.alias_count = 3;
        ask.secondary = STOQ_HASH_SHA512;
        ask.threads = 1 + i;
        assert_int_equal(stoq_publish(store, &ask, &r[i], NULL), STOQ_OK);
        assert_int_equal(r[i].aliases, 3 * STOQ_COUNT(names));
        assert_true(stoq_hash_eq(&r[i].id.h, &r[0].id.h)); /* the manifest has the digest */
    }
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        size_t want = i < 3 ? 1 : STOQ_ALIAS_PATHS_MAX;
        check_found(names[i], STOQ_HASH_SHA256, want);
        check_found(names[i], STOQ_HASH_BLAKE3, want);
        check_found(names[i], STOQ_HASH_SHA512, want);
    }
    stoq_buf_release(&s.bytes);
}

static void an_unknown_profile_is_refused(void **state)
{
    (void)state;
    struct stoq_publish_ask ask = {.path = at("in"), .name = "x", .version = "1", .profile = 3};
    struct stoq_publish_report r;
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_RANGE);
    assert_non_null(strstr(err.text, "profile 3"));
    ask.profile = STOQ_PROFILE_2K; /* its key would be missing */
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_RANGE);
}

/* The same files under a key: one id per key, another than without, and as many bytes. */
static void a_private_package_is_cut_by_its_key(void **state)
{
    (void)state;
    struct stream s;
    make_three_files(&s);
    for (unsigned code = 1; code <= 2; code++) {
        struct stoq_publish_report plain;
        struct stoq_publish_report keyed[3];
        struct stoq_private_key key = {{1}};
        struct stoq_publish_ask ask = {
            .path = at("in"), .name = "x", .version = "1", .profile = code};
        assert_int_equal(stoq_publish(store, &ask, &plain, NULL), STOQ_OK);
        ask.private_key = &key;
        for (unsigned i = 0; i < 3; i++) { /* twice by one key, then by another */
            ask.threads = i + 1;
            key.b[31] = i == 2;
            assert_int_equal(stoq_publish(store, &ask, &keyed[i], NULL), STOQ_OK);
            assert_int_equal(keyed[i].bytes, plain.bytes);
            assert_false(stoq_hash_eq(&keyed[i].id.h, &plain.id.h));
        }
        assert_true(stoq_hash_eq(&keyed[0].id.h, &keyed[1].id.h) && keyed[1].existed);
        assert_false(stoq_hash_eq(&keyed[0].id.h, &keyed[2].id.h));
        struct stoq_held *held;
        assert_int_equal(stoq_held_open(&held, store, &keyed[2].id, NULL), STOQ_OK);
        assert_int_equal(stoq_held_manifest(held)->profile, 16 + code);
        stoq_held_close(held);
    }
    stoq_buf_release(&s.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(the_root_is_that_of_the_profile),
        WITH_STORE(a_private_package_is_cut_by_its_key),
        WITH_STORE(further_digests_follow_the_bytes),
        WITH_STORE(an_unknown_profile_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
