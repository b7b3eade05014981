/*
 * Packages carried from store to store in bundles: nothing is lost, nothing wrong comes in, what the
 * receiver has is left out, and a broken import goes on where it was.
 */
#include "daemon/packages_harness.h"

#include "base/prng.h"
#include "daemon/export.h"
#include "daemon/held.h"
#include "daemon/import.h"
#include "daemon/local.h"

static struct stoq_store *giver;
static struct stoq_store *taker;

static int setup(void **state)
{
    int rc = scratch_setup(state);
    giver = open_store_at("giver");
    taker = open_store_at("taker");
    return rc;
}

static int teardown(void **state)
{
    assert_int_equal(stoq_store_close(giver, NULL), STOQ_OK);
    assert_int_equal(stoq_store_close(taker, NULL), STOQ_OK);
    return scratch_teardown(state);
}

/* Publish a tree of a large file, a text that compresses, and small ones; `change` differs in one byte of
 * the large file. */
static struct stoq_package_id publish_tree(const char *version, size_t large, uint64_t change,
                                           const struct stoq_key *key)
{
    char dir[64];
    char path[128];
    uint8_t *p = draw_bytes(large, 7);
    (void)snprintf(dir, sizeof dir, "in/%s", version);
    make_dir(dir);
    p[large / 2] ^= (uint8_t)change;
    (void)snprintf(path, sizeof path, "%s/large", dir);
    put_file(path, stoq_span(p, large));
    for (size_t i = 0; i < 100000; i++) {
        p[i] = (uint8_t)("some words, some more of them\n"[i % 30] + (uint8_t)(i / 5000));
    }
    (void)snprintf(path, sizeof path, "%s/text", dir);
    put_file(path, stoq_span(p, 100000));
    for (int i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof path, "%s/small-%02d", dir, i);
        put_file(path, stoq_span(p + i, (size_t)i * 37));
    }
    free(p);
    const struct stoq_publish_ask ask = {
        .path = at(dir), .name = "carried", .version = version, .key = key, .threads = 1};
    struct stoq_publish_report r;
    assert_int_equal(stoq_publish(giver, &ask, &r, &err), STOQ_OK);
    return r.id;
}

static enum stoq_status try_export(const struct stoq_package_id *ids, size_t count,
                                   const struct stoq_have *have, struct stoq_buf *out,
                                   struct stoq_export_report *r)
{
    const struct stoq_export_ask ask = {
        .ids = ids, .id_count = count, .have = have, .sink = keep_written, .sink_user = out};
    stoq_buf_clear(out);
    return stoq_export(giver, &ask, r, &err);
}

static struct stoq_export_report export_to(struct stoq_buf *out, const struct stoq_package_id *ids,
                                           size_t count, const struct stoq_have *have)
{
    struct stoq_export_report r;
    enum stoq_status st = try_export(ids, count, have, out, &r);
    if (st != STOQ_OK) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(st, STOQ_OK);
    assert_int_equal(out->n, r.bytes);
    return r;
}

/* A bundle in memory, read in odd pieces. */
struct source {
    struct stoq_span bytes;
    size_t at;
    size_t piece;
    size_t ends_at; /* it breaks off there; 0: nowhere */
};

static enum stoq_status read_source(void *user, uint8_t *p, size_t n, size_t *got,
                                    struct stoq_error *why)
{
    struct source *s = user;
    size_t end = s->ends_at > 0 ? s->ends_at : s->bytes.n;
    (void)why;
    n = n < s->piece ? n : s->piece;
    n = n < end - s->at ? n : end - s->at;
    memcpy(p, s->bytes.p + s->at, n);
    s->at += n;
    *got = n;
    return STOQ_OK;
}

static unsigned seen_count;
static struct stoq_import_package seen[8];

static void note_package(void *user, const struct stoq_import_package *p)
{
    (void)user;
    assert_true(seen_count < STOQ_COUNT(seen));
    seen[seen_count++] = *p;
}

static enum stoq_status import_from(struct source *s, bool size_known, struct stoq_import_report *r)
{
    const struct stoq_import_ask ask = {
        .input = {read_source, s, size_known ? s->bytes.n : UINT64_MAX}, .each = note_package};
    seen_count = 0;
    return stoq_import(taker, &ask, r, &err);
}

static enum stoq_status import(struct stoq_span bytes, struct stoq_import_report *r)
{
    struct source s = {.bytes = bytes, .piece = 70001};
    return import_from(&s, true, r);
}

static void import_well(struct stoq_span bytes, struct stoq_import_report *r)
{
    enum stoq_status st = import(bytes, r);
    if (st != STOQ_OK) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(st, STOQ_OK);
}

static bool is_whole(const struct stoq_package_id *id)
{
    const struct stoq_verify_ask ask = {.id = *id, .threads = 1};
    struct stoq_verify_report r;
    return stoq_local_has(taker, id) && stoq_verify(taker, &ask, &r, NULL) == STOQ_OK &&
           r.overall.valid;
}

static void packages_arrive_whole(void **state)
{
    (void)state;
    struct stoq_key *key = test_key(3);
    struct stoq_package_id ids[3];
    ids[0] = publish_tree("1", 3000000, 0, key);
    ids[1] = publish_tree("2", 3000000, 1, NULL);
    ids[2] = ids[0]; /* named twice */
    struct stoq_buf bundle;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    struct stoq_export_report x = export_to(&bundle, ids, 3, NULL);
    assert_int_equal(x.packages, 2);
    assert_int_equal(x.chunks_assumed, 0);
    assert_true(x.bytes < 3400000); /* the second one shares all but a chunk, the text is packed */
    struct stoq_import_report r;
    import_well(stoq_buf_span(&bundle), &r);
    assert_int_equal(r.packages, 2);
    assert_int_equal(r.packages_incomplete, 0);
    assert_int_equal(r.chunks_new, x.chunks);
    assert_int_equal(r.bytes_stored, x.stored_bytes);
    assert_int_equal(r.chunks_had, 0);
    assert_int_equal(seen_count, 2);
    assert_false(seen[0].existed);
    assert_true(is_whole(&ids[0]) && is_whole(&ids[1]));
    struct stoq_key_id signer;
    struct stoq_key_id mine = stoq_key_id(key);
    assert_int_equal(stoq_local_signer(taker, &ids[0], &signer, NULL), STOQ_OK);
    assert_true(stoq_hash_eq(&signer.h, &mine.h));
    assert_int_equal(stoq_local_signer(taker, &ids[1], &signer, NULL), STOQ_NOTFOUND);
    /* Again: nothing is new. What comes out of the other store is the same bundle. */
    import_well(stoq_buf_span(&bundle), &r);
    assert_int_equal(r.chunks_new, 0);
    assert_int_equal(r.chunks_had, x.chunks);
    assert_true(seen[0].existed && seen[1].existed);
    struct stoq_buf again;
    stoq_buf_init(&again, 64 * STOQ_MIB);
    struct stoq_store *swap = giver;
    giver = taker;
    (void)export_to(&again, ids, 2, NULL);
    giver = swap;
    assert_true(stoq_span_eq(stoq_buf_span(&again), stoq_buf_span(&bundle)));
    stoq_buf_release(&again);
    stoq_buf_release(&bundle);
    stoq_key_free(key);
}

static struct stoq_have *have_of_package(const struct stoq_package_id *id)
{
    struct stoq_have *have;
    assert_int_equal(stoq_have_new(&have, NULL), STOQ_OK);
    assert_int_equal(stoq_have_add_package(have, giver, id, &err), STOQ_OK);
    stoq_have_seal(have);
    return have;
}

/* The hash of a chunk in the middle of a package; borrowed until the next call. */
static struct stoq_span some_chunk(const struct stoq_package_id *id)
{
    static uint8_t hash[32];
    struct stoq_held *held;
    struct stoq_buf list;
    stoq_buf_init(&list, STOQ_MIB);
    assert_int_equal(stoq_held_open(&held, giver, id, &err), STOQ_OK);
    assert_int_equal(stoq_held_chunk_list(held, 0, &list, &err), STOQ_OK);
    memcpy(hash, list.p + (size_t)10 * 36, sizeof hash);
    stoq_held_close(held);
    stoq_buf_release(&list);
    return stoq_span(hash, sizeof hash);
}

static void what_the_receiver_has_is_left_out(void **state)
{
    (void)state;
    struct stoq_package_id one = publish_tree("1", 30000000, 0, NULL);
    struct stoq_package_id two = publish_tree("2", 30000000, 1, NULL);
    struct stoq_buf whole;
    struct stoq_buf part;
    struct stoq_import_report r;
    stoq_buf_init(&whole, 64 * STOQ_MIB);
    stoq_buf_init(&part, 64 * STOQ_MIB);
    (void)export_to(&whole, &one, 1, NULL);
    struct stoq_have *have = have_of_package(&one);
    struct stoq_export_report x = export_to(&part, &two, 1, have);
    assert_int_equal(x.chunks,
                     1); /* the file table is the same, of the large file one byte changed */
    assert_true(x.chunks_assumed > 300);
    assert_true(x.bytes - x.stored_bytes < 2000); /* heads, a manifest, parts of a list */
    /* Without the first version nobody knows what the parts are of. */
    assert_int_equal(import(stoq_buf_span(&part), &r), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ChunkNotFound");
    assert_non_null(strstr(err.text, "the bundle is for a store that has shard"));
    assert_false(stoq_local_has(taker, &two));
    import_well(stoq_buf_span(&whole), &r);
    /* With all but a chunk of it, what came is kept and not called a package. */
    struct stoq_span lost = some_chunk(&one);
    assert_int_equal(stoq_store_delete(taker, STOQ_RECORD_CHUNK, lost, &err), STOQ_OK);
    assert_int_equal(import(stoq_buf_span(&part), &r), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ChunkNotFound");
    assert_non_null(strstr(err.text, "carried 2 lacks"));
    assert_int_equal(r.packages_incomplete, 1);
    assert_int_equal(seen[0].chunks_missing, 1);
    assert_false(stoq_local_has(taker, &two));
    import_well(stoq_buf_span(&whole), &r);
    assert_int_equal(r.chunks_new, 1);
    import_well(stoq_buf_span(&part), &r);
    assert_int_equal(r.chunks_new, 0);
    assert_true(is_whole(&one) && is_whole(&two));
    stoq_have_free(have);
    stoq_buf_release(&whole);
    stoq_buf_release(&part);
}

static void a_store_says_what_it_has(void **state)
{
    (void)state;
    struct stoq_package_id one = publish_tree("1", 30000000, 0, NULL);
    struct stoq_package_id two = publish_tree("2", 30000000, 1, NULL);
    struct stoq_buf bundle;
    struct stoq_buf list;
    struct stoq_import_report r;
    struct stoq_have *have;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    stoq_buf_init(&list, STOQ_MIB);
    (void)export_to(&bundle, &one, 1, NULL);
    import_well(stoq_buf_span(&bundle), &r);
    assert_int_equal(stoq_have_new(&have, NULL), STOQ_OK);
    assert_int_equal(stoq_have_add_store(have, taker, NULL, NULL, &err), STOQ_OK);
    stoq_have_seal(have);
    assert_int_equal(stoq_have_chunk_count(have), r.chunks_new);
    assert_int_equal(stoq_have_write(have, keep_written, &list, &err), STOQ_OK);
    stoq_have_free(have);
    put_file("have", stoq_buf_span(&list));
    assert_int_equal(stoq_have_new(&have, NULL), STOQ_OK);
    assert_int_equal(stoq_have_read(have, at("have"), &err), STOQ_OK);
    stoq_have_seal(have);
    struct stoq_export_report x = export_to(&bundle, &two, 1, have);
    assert_int_equal(x.chunks, 1);
    import_well(stoq_buf_span(&bundle), &r);
    assert_true(is_whole(&two));
    stoq_have_free(have);
    stoq_buf_release(&bundle);
    stoq_buf_release(&list);
}

/* A shard is claimed only while all of its chunks are there. */
static void a_shard_with_a_hole_is_not_had(void **state)
{
    (void)state;
    struct stoq_package_id one = publish_tree("1", 400000, 0, NULL);
    struct stoq_have *all = have_of_package(&one);
    struct stoq_have *have;
    struct stoq_buf list;
    stoq_buf_init(&list, STOQ_MIB);
    assert_int_equal(stoq_have_shard_count(all), 1);
    uint8_t chunk[32];
    assert_int_equal(stoq_have_write(all, keep_written, &list, &err), STOQ_OK);
    struct stoq_hash root;
    memcpy(root.b, list.p + 32, 32);
    struct stoq_buf chunks;
    stoq_buf_init(&chunks, STOQ_MIB);
    struct stoq_span key = stoq_span(root.b, 32);
    assert_int_equal(stoq_store_read(giver, STOQ_RECORD_CHUNK_LIST, key, 0, &chunks, &err),
                     STOQ_OK);
    memcpy(chunk, chunks.p + 36, 32);
    assert_int_equal(stoq_store_delete(giver, STOQ_RECORD_CHUNK, stoq_span(chunk, 32), &err),
                     STOQ_OK);
    assert_int_equal(stoq_have_new(&have, NULL), STOQ_OK);
    assert_int_equal(stoq_have_add_store(have, giver, NULL, NULL, &err), STOQ_OK);
    stoq_have_seal(have);
    assert_int_equal(stoq_have_shard_count(have), 0);
    assert_int_equal(stoq_have_chunk_count(have) + 1, stoq_have_chunk_count(all));
    /* And nothing is exported that could not be whole. */
    struct stoq_export_report x;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_MIB);
    assert_int_equal(try_export(&one, 1, NULL, &out, &x), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ChunkNotFound");
    assert_int_equal(out.n, 0);
    stoq_have_free(have);
    stoq_have_free(all);
    stoq_buf_release(&list);
    stoq_buf_release(&chunks);
    stoq_buf_release(&out);
}

static void a_broken_import_goes_on(void **state)
{
    (void)state;
    struct stoq_package_id id = publish_tree("1", 3000000, 0, NULL);
    struct stoq_buf bundle;
    struct stoq_import_report r;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    struct stoq_export_report x = export_to(&bundle, &id, 1, NULL);
    uint64_t had = 0;
    /* Cut in a pipe: what came before is kept. */
    for (size_t tenth = 1; tenth < 10; tenth++) {
        struct source s = {
            .bytes = stoq_buf_span(&bundle), .piece = 4097, .ends_at = bundle.n / 10 * tenth};
        assert_int_equal(import_from(&s, false, &r), STOQ_TRUNC);
        assert_non_null(strstr(err.text, "the bundle ends after"));
        assert_true(r.chunks_had >= had &&
                    r.chunks_had + r.chunks_new >= x.chunks * (tenth - 1) / 10);
        had = r.chunks_had + r.chunks_new;
        assert_false(stoq_local_has(taker, &id));
        /* The store is closed and opened: it was durable. */
        assert_int_equal(stoq_store_close(taker, &err), STOQ_OK);
        taker = open_store_at("taker");
    }
    import_well(stoq_buf_span(&bundle), &r);
    assert_int_equal(r.chunks_had, had);
    assert_true(is_whole(&id));
    /* A file that is cut is refused before anything is read of it. */
    for (size_t n = 0; n < bundle.n; n += n < 100 ? 1 : 77777) {
        enum stoq_status st = import(stoq_span(bundle.p, n), &r);
        assert_int_equal(st, n == 0 ? STOQ_MALFORMED : STOQ_TRUNC);
        assert_int_equal(r.chunks_had, 0);
    }
    stoq_buf_release(&bundle);
}

/* One bit is wrong anywhere: an error, and no package as long as that comes before the package's end. */
static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    const size_t tail = STOQ_BUNDLE_HEAD_BYTES + 32; /* the end, with the hash of all before it */
    struct stoq_package_id id = publish_tree("1", 300000, 0, NULL);
    struct stoq_buf bundle;
    struct stoq_import_report r;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    (void)export_to(&bundle, &id, 1, NULL);
    struct stoq_prng rng = stoq_prng(11);
    for (int i = 0; i < 200; i++) {
        size_t n = (size_t)(stoq_prng_next(&rng) % (bundle.n - tail));
        uint8_t bit = (uint8_t)(1u << stoq_prng_next(&rng) % 8);
        bundle.p[n] ^= bit;
        enum stoq_status st = import(stoq_buf_span(&bundle), &r);
        assert_true(st == STOQ_PROOF || st == STOQ_MALFORMED || st == STOQ_TRUNC);
        assert_true(n >= 64 || r.chunks_new == 0);
        bundle.p[n] ^= bit;
    }
    assert_false(stoq_local_has(taker, &id));
    bundle.p[bundle.n - 1] ^= 1;
    assert_int_equal(import(stoq_buf_span(&bundle), &r), STOQ_PROOF);
    bundle.p[bundle.n - 1] ^= 1;
    assert_int_equal(stoq_buf_add(&bundle, stoq_span_str("x")), STOQ_OK);
    assert_int_equal(import(stoq_buf_span(&bundle), &r), STOQ_MALFORMED);
    assert_non_null(strstr(err.text, "1 bytes follow"));
    struct source s = {.bytes = stoq_buf_span(&bundle), .piece = 1000};
    assert_int_equal(import_from(&s, false, &r), STOQ_MALFORMED);
    assert_non_null(strstr(err.text, "bytes follow"));
    stoq_buf_release(&bundle);
}

/* A chunk whose bytes are not its hash's, with every checksum and the last hash made right. */
static void a_forged_chunk_is_refused(void **state)
{
    (void)state;
    struct stoq_package_id id = publish_tree("1", 300000, 0, NULL);
    struct stoq_buf bundle;
    struct stoq_import_report r;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    (void)export_to(&bundle, &id, 1, NULL);
    unsigned chunks = 0;
    for (size_t off = STOQ_BUNDLE_HEADER_BYTES; off < bundle.n;) {
        uint8_t *p = bundle.p + off;
        size_t n = STOQ_BUNDLE_HEAD_BYTES + (size_t)p[6] + stoq_le32(p + 12);
        if (p[4] == STOQ_BUNDLE_CHUNK && ++chunks == 3) {
            p[n - 1] ^= 1;
        } else if (p[4] == STOQ_BUNDLE_END) {
            struct stoq_hash h = stoq_hash_blake3(stoq_span(bundle.p, off));
            memcpy(p + STOQ_BUNDLE_HEAD_BYTES, h.b, sizeof h.b);
        }
        const struct stoq_span parts[] = {
            stoq_span(p, 16), stoq_span(p + STOQ_BUNDLE_HEAD_BYTES, n - STOQ_BUNDLE_HEAD_BYTES)};
        stoq_le64_put(p + 16, stoq_hash_xxh3_64_parts(parts, 2));
        off += n;
    }
    enum stoq_status st = import(stoq_buf_span(&bundle), &r);
    assert_true(st == STOQ_PROOF || st == STOQ_MALFORMED);
    assert_non_null(strstr(err.text, "the bundle is damaged before byte"));
    assert_int_equal(r.chunks_new, 2);
    assert_false(stoq_local_has(taker, &id));
    stoq_buf_release(&bundle);
}

static void both_can_be_stopped(void **state)
{
    (void)state;
    struct stoq_package_id id = publish_tree("1", 3000000, 0, NULL);
    struct stoq_buf bundle;
    struct stoq_export_report x;
    struct stoq_import_report r;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    struct stoq_export_ask ask = {.ids = &id,
                                  .id_count = 1,
                                  .sink = keep_written,
                                  .sink_user = &bundle,
                                  .cancelled = stop_at_once};
    assert_int_equal(stoq_export(giver, &ask, &x, &err), STOQ_CANCELLED);
    (void)export_to(&bundle, &id, 1, NULL);
    struct source s = {.bytes = stoq_buf_span(&bundle), .piece = 1000};
    const struct stoq_import_ask in = {.input = {read_source, &s, UINT64_MAX},
                                       .cancelled = stop_at_once};
    assert_int_equal(stoq_import(taker, &in, &r, &err), STOQ_CANCELLED);
    assert_false(stoq_local_has(taker, &id));
    const struct stoq_package_id none = {{{1}}};
    assert_int_equal(try_export(&none, 1, NULL, &bundle, &x), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    assert_int_equal(try_export(&none, 0, NULL, &bundle, &x), STOQ_RANGE);
    stoq_buf_release(&bundle);
}

static void the_index_is_read_alone(void **state)
{
    (void)state;
    struct stoq_package_id id = publish_tree("1", 300000, 0, NULL);
    struct stoq_buf bundle;
    struct stoq_import_report r;
    stoq_buf_init(&bundle, 64 * STOQ_MIB);
    struct stoq_export_report x = export_to(&bundle, &id, 1, NULL);
    struct source s = {.bytes = stoq_buf_span(&bundle), .piece = 1000};
    const struct stoq_import_ask in = {
        .input = {read_source, &s, bundle.n}, .index_only = true, .each = note_package};
    seen_count = 0;
    assert_int_equal(stoq_import(NULL, &in, &r, &err), STOQ_OK);
    assert_int_equal(seen_count, 1);
    assert_true(stoq_hash_eq(&seen[0].entry.id.h, &id.h));
    assert_int_equal(seen[0].entry.chunks_carried, x.chunks);
    assert_int_equal(r.header.bytes, x.bytes);
    stoq_buf_release(&bundle);
}

int main(void)
{
#define BETWEEN_STORES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        BETWEEN_STORES(packages_arrive_whole),
        BETWEEN_STORES(what_the_receiver_has_is_left_out),
        BETWEEN_STORES(a_store_says_what_it_has),
        BETWEEN_STORES(a_shard_with_a_hole_is_not_had),
        BETWEEN_STORES(a_broken_import_goes_on),
        BETWEEN_STORES(what_is_wrong_is_refused),
        BETWEEN_STORES(a_forged_chunk_is_refused),
        BETWEEN_STORES(both_can_be_stopped),
        BETWEEN_STORES(the_index_is_read_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
