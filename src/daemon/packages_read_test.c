/* Files, ranges and the whole stream of a package that is held; what a removal takes. */
#include "daemon/packages_harness.h"

#include <fcntl.h>

#include "base/prng.h"
#include "daemon/extract.h"
#include "daemon/held.h"
#include "daemon/local.h"
#include "daemon/shards.h"
#include "os/file.h"

static enum stoq_status refuse(void *user, struct stoq_span bytes)
{
    (void)user;
    (void)bytes;
    return STOQ_EXISTS;
}

static void one_file_can_be_read(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_buf got;
    struct stoq_buf want;
    stoq_buf_init(&got, 1 << 23);
    stoq_buf_init(&want, 1 << 23);
    static const char *const names[] = {"large", "many/299", "bin-x/nothing", "text",
                                        "empty/x\xffy"};
    for (size_t i = 0; i < STOQ_COUNT(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "in/%s", names[i]);
        stoq_buf_clear(&got);
        assert_int_equal(stoq_file_read(at(path), 1 << 23, &want, NULL), STOQ_OK);
        assert_int_equal(
            stoq_cat(store, &r.id, stoq_span_str(names[i]), NULL, keep_bytes, &got, NULL), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&got), stoq_buf_span(&want)));
    }
    stoq_buf_clear(&got);
    assert_int_equal(
        stoq_cat(store, &r.id, stoq_span_str("absolute"), NULL, keep_bytes, &got, NULL), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&got), stoq_span_str("/etc/passwd")));
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("bin"), NULL, keep_bytes, &got, &err),
                     STOQ_RANGE);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("nope"), NULL, keep_bytes, &got, &err),
                     STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, refuse, NULL, &err),
                     STOQ_EXISTS);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("absolute"), NULL, refuse, NULL, &err),
                     STOQ_EXISTS);
    r.id.h.b[3] ^= 1;
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, keep_bytes, &got, &err),
                     STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    stoq_buf_release(&got);
    stoq_buf_release(&want);
}

static void cat_range(const struct stoq_package_id *id, const char *path, const char *text,
                      struct stoq_buf *got)
{
    struct stoq_byte_range range;
    stoq_buf_clear(got);
    assert_int_equal(stoq_byte_range_parse(&range, text, NULL), STOQ_OK);
    assert_int_equal(stoq_cat(store, id, stoq_span_str(path), &range, keep_bytes, got, NULL),
                     STOQ_OK);
}

/* The chunk of a list that a large file begins with. */
static struct stoq_merkle_chunk first_chunk_of(struct stoq_span list, struct stoq_span file)
{
    for (size_t i = 0; i < list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES; i++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(list, i);
        size_t n = chunk.bytes < file.n ? chunk.bytes : file.n;
        struct stoq_hash hash = stoq_hash_blake3(stoq_span(file.p, n));
        if (stoq_hash_eq(&hash, &chunk.hash)) {
            return chunk;
        }
    }
    fail_msg("no chunk begins the file");
    return (struct stoq_merkle_chunk){.bytes = 0};
}

static void ranges_of_a_file(void **state)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "5",
                                      "a-b",
                                      "1-0",
                                      "-0",
                                      "1-2,4-5",
                                      " 1-",
                                      "1- ",
                                      "--5",
                                      "-5-",
                                      "1-2-",
                                      "18446744073709551616-"};
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_byte_range range;
    struct stoq_buf got;
    struct stoq_buf all;
    stoq_buf_init(&got, 4 * STOQ_MIB);
    stoq_buf_init(&all, 4 * STOQ_MIB);
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_int_equal(stoq_byte_range_parse(&range, bad[i], &err), STOQ_RANGE);
    }
    assert_int_equal(stoq_file_read(at("in/large"), 4 * STOQ_MIB, &all, NULL), STOQ_OK);
    struct stoq_prng rng = stoq_prng(5);
    for (int i = 0; i < 100; i++) {
        char text[64];
        uint64_t first = stoq_prng_next(&rng) % all.n;
        uint64_t last = first + stoq_prng_next(&rng) % (i % 2 == 0 ? 10 : all.n);
        (void)snprintf(text, sizeof text, "%llu-%llu", (unsigned long long)first,
                       (unsigned long long)last);
        cat_range(&r.id, "large", text, &got);
        assert_int_equal(got.n, (last < all.n ? last + 1 : all.n) - first);
        assert_memory_equal(got.p, all.p + first, got.n);
    }
    cat_range(&r.id, "large", "3000000-", &got);
    assert_int_equal(got.n, 1);
    cat_range(&r.id, "large", "-70000", &got);
    assert_true(got.n == 70000 && memcmp(got.p, all.p + all.n - got.n, got.n) == 0);
    cat_range(&r.id, "large", "-99999999", &got);
    assert_int_equal(got.n, all.n);
    cat_range(&r.id, "absolute", "5-8", &got);
    assert_true(stoq_span_eq(stoq_buf_span(&got), stoq_span_str("pass")));
    cat_range(&r.id, "bin-x/nothing", "-5", &got);
    assert_int_equal(got.n, 0);
    assert_int_equal(stoq_byte_range_parse(&range, "3000001-3000002", NULL), STOQ_OK);
    stoq_buf_clear(&got);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), &range, keep_bytes, &got, &err),
                     STOQ_RANGE);
    assert_non_null(strstr(err.text, "the file has 3000001 bytes"));
    assert_int_equal(got.n, 0);
    /* Chunks elsewhere need not be here. */
    struct stoq_held *held;
    struct stoq_buf list;
    stoq_buf_init(&list, STOQ_MIB);
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    assert_int_equal(stoq_held_chunk_list(held, 0, &list, NULL), STOQ_OK);
    struct stoq_merkle_chunk first = first_chunk_of(stoq_buf_span(&list), stoq_buf_span(&all));
    stoq_held_close(held);
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CHUNK, stoq_span(first.hash.b, 32), NULL),
                     STOQ_OK);
    cat_range(&r.id, "large", "-100", &got);
    assert_memory_equal(got.p, all.p + all.n - 100, 100);
    stoq_buf_clear(&got);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, keep_bytes, &got, &err),
                     STOQ_NOTFOUND);
    stoq_buf_release(&got);
    stoq_buf_release(&all);
    stoq_buf_release(&list);
}

/* Requests of one package that are served side by side have its chunk lists read and hashed once. */
static void a_list_is_shared_by_those_who_need_it(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_held *held;
    struct stoq_stream_list *one;
    struct stoq_stream_list *two;
    struct stoq_buf list;
    stoq_buf_init(&list, STOQ_MIB);
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    struct stoq_stream *s = stoq_held_stream(held);
    assert_int_equal(stoq_stream_list_take(s, stoq_held_shard_count(held), &one, &err), STOQ_RANGE);
    assert_int_equal(stoq_stream_list_take(s, 0, &one, &err), STOQ_OK);
    assert_int_equal(stoq_stream_list_take(s, 0, &two, &err), STOQ_OK);
    assert_ptr_equal(one, two);
    assert_int_equal(stoq_held_chunk_list(held, 0, &list, &err), STOQ_OK);
    assert_true(stoq_span_eq(stoq_stream_list_span(one), stoq_buf_span(&list)));
    stoq_stream_list_drop(one);
    stoq_held_close(held);
    assert_true(stoq_span_eq(stoq_stream_list_span(two), stoq_buf_span(&list)));
    stoq_stream_list_drop(two);
    stoq_buf_release(&list);
}

#define SHARDS 70
#define KEPT 64

/* A stream of so many shards, of chunks that nobody has. */
static struct stoq_stream *made_up_stream(void)
{
    struct stoq_shards *shards;
    struct stoq_merkle_root root;
    struct stoq_span list;
    struct stoq_stream *out;
    bool is_new;
    assert_int_equal(stoq_shards_new(&shards, store, &err), STOQ_OK);
    for (uint32_t i = 0; i < SHARDS * STOQ_MERKLE_SHARD_CHUNKS_MIN; i++) {
        struct stoq_merkle_chunk chunk = {.bytes = 1 + i}; /* a hash that begins with 0 closes */
        assert_int_equal(stoq_shards_add(shards, &chunk, &err), STOQ_OK);
    }
    assert_int_equal(stoq_shards_finish(shards, &root, &list, &err), STOQ_OK);
    assert_int_equal(root.shards, SHARDS);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_SHARD_LIST, stoq_span(root.hash.b, 32), 0,
                                    list, &is_new, &err),
                     STOQ_OK);
    stoq_shards_free(shards);
    assert_int_equal(stoq_stream_open(&out, store, &root, &err), STOQ_OK);
    return out;
}

/* A list is kept until another one needs its place; then it is read anew. */
static void so_many_lists_are_kept(void **state)
{
    (void)state;
    struct stoq_stream *s = made_up_stream();
    struct stoq_stream_list *list;
    for (size_t i = 0; i < SHARDS; i++) {
        assert_int_equal(stoq_stream_list_take(s, i, &list, &err), STOQ_OK);
        stoq_stream_list_drop(list);
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_stream_shard_list(s), i);
        assert_int_equal(
            stoq_store_delete(store, STOQ_RECORD_CHUNK_LIST, stoq_span(shard.root.b, 32), &err),
            STOQ_OK);
    }
    for (size_t i = 0; i < SHARDS; i++) {
        bool is_kept = i >= SHARDS - KEPT;
        assert_int_equal(stoq_stream_list_take(s, i, &list, &err),
                         is_kept ? STOQ_OK : STOQ_NOTFOUND);
        if (is_kept) {
            struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_stream_shard_list(s), i);
            assert_int_equal(stoq_merkle_check_chunk_list(&shard, STOQ_MERKLE_CHUNK_BYTES_MAX,
                                                          stoq_stream_list_span(list)),
                             STOQ_OK);
            stoq_stream_list_drop(list);
        }
    }
    stoq_stream_close(s);
}

static uint32_t ones(const uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8])
{
    uint32_t n = 0;
    for (size_t i = 0; i < STOQ_MERKLE_SHARD_CHUNKS_MAX / 8; i++) {
        n += (uint32_t)__builtin_popcount(bits[i]);
    }
    return n;
}

/* Everybody who asks within a while what is here gets what the first one got. */
static void what_is_here_is_looked_up_once(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_held *held;
    struct stoq_buf list;
    struct stoq_buf chunk;
    bool is_new;
    uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    stoq_buf_init(&list, STOQ_MIB);
    stoq_buf_init(&chunk, STOQ_MIB);
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    assert_int_equal(stoq_held_chunk_list(held, 0, &list, NULL), STOQ_OK);
    uint32_t all = (uint32_t)(list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    struct stoq_merkle_chunk last = stoq_merkle_chunk_at(stoq_buf_span(&list), all - 1);
    struct stoq_span key = stoq_span(last.hash.b, sizeof last.hash.b);
    assert_int_equal(stoq_store_read(store, STOQ_RECORD_CHUNK, key, 0, &chunk, &err), STOQ_OK);

    assert_int_equal(stoq_held_have(held, 1000, STOQ_SEC, bits, &err), STOQ_RANGE);
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CHUNK, key, NULL), STOQ_OK);
    assert_int_equal(stoq_held_have(held, 0, STOQ_SEC, bits, &err), STOQ_OK);
    assert_true(all > 8 && ones(bits) == all - 1);
    assert_int_equal(bits[(all - 1) / 8] >> ((all - 1) & 7), 0);
    assert_int_equal(
        stoq_store_put(store, STOQ_RECORD_CHUNK, key, 0, stoq_buf_span(&chunk), &is_new, &err),
        STOQ_OK);
    stoq_ns later = STOQ_SEC + STOQ_HELD_HAVE_AGE;
    assert_int_equal(stoq_held_have(held, 0, later - 1, bits, &err), STOQ_OK);
    assert_int_equal(ones(bits), all - 1);
    assert_int_equal(stoq_held_have(held, 0, later, bits, &err), STOQ_OK);
    assert_int_equal(ones(bits), all);

    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CHUNK, key, NULL), STOQ_OK);
    later = STOQ_SEC + STOQ_HELD_HAVE_BELIEVED;
    assert_int_equal(stoq_held_have(held, 0, later - 1, bits, &err), STOQ_OK);
    assert_int_equal(ones(bits), all);
    assert_int_equal(stoq_held_have(held, 0, later, bits, &err), STOQ_OK);
    assert_int_equal(ones(bits), all - 1);
    stoq_held_close(held);
    stoq_buf_release(&list);
    stoq_buf_release(&chunk);
}

static void a_cursor_reads_from_anywhere(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_held *held;
    struct stoq_cursor *c;
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    assert_int_equal(stoq_cursor_new(&c, stoq_held_stream(held)), STOQ_OK);
    uint8_t *whole = malloc(r.bytes);
    struct stoq_span piece;
    for (uint64_t n = 0; n < r.bytes; n += piece.n) {
        assert_int_equal(stoq_cursor_next(c, SIZE_MAX, &piece, NULL), STOQ_OK);
        assert_true(piece.n > 0);
        memcpy(whole + n, piece.p, piece.n);
    }
    assert_int_equal(stoq_cursor_next(c, SIZE_MAX, &piece, NULL), STOQ_OK);
    assert_int_equal(piece.n, 0);
    struct stoq_prng p = stoq_prng(8);
    for (int i = 0; i < 300; i++) {
        uint64_t offset = stoq_prng_below(&p, r.bytes);
        size_t n = 1 + (size_t)stoq_prng_below(&p, 300000);
        assert_int_equal(stoq_cursor_seek(c, offset), STOQ_OK);
        assert_int_equal(stoq_cursor_next(c, n, &piece, NULL), STOQ_OK);
        assert_true(piece.n > 0 && piece.n <= n);
        assert_memory_equal(whole + offset, piece.p, piece.n);
        assert_int_equal(stoq_cursor_offset(c), offset + piece.n);
    }
    assert_int_equal(stoq_cursor_seek(c, r.bytes + 1), STOQ_RANGE);
    free(whole);
    stoq_cursor_free(c);
    stoq_held_close(held);
}

static void an_output_that_exists_is_left_alone(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    make_dir("out");
    assert_int_equal(extract_to(&r.id, at("out")), STOQ_EXISTS);
    assert_non_null(strstr(err.text, "/out is there already"));
    assert_int_equal(unlinkat(scratch_fd, "out", AT_REMOVEDIR), 0); /* still empty */
}

static void removal_spares_what_others_use(void **state)
{
    (void)state;
    put_random("in/shared", 3000000, 1);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report a = publish(&ask);
    put_random("in/own", 1000000, 2);
    struct stoq_publish_report b = publish(&ask);
    ask.version = "2";
    struct stoq_publish_report twin = publish(&ask);
    struct stoq_local_removed gone;
    assert_int_equal(stoq_local_remove(store, &b.id, &gone, NULL), STOQ_OK);
    assert_int_equal(gone.chunks, 0); /* the twin uses all of them */
    assert_int_equal(stoq_local_remove(store, &twin.id, &gone, NULL), STOQ_OK);
    assert_true(gone.chunks > 3 && gone.bytes >= 1000000 && gone.bytes < 1100000);
    assert_true(gone.chunks_shared > 10);
    assert_true(verify(&a.id).overall.valid);
    assert_int_equal(packages_listed(), 1);
    assert_int_equal(stoq_local_remove(store, &b.id, &gone, NULL), STOQ_NOTFOUND);
    assert_false(stoq_local_has(store, &b.id));
    assert_int_equal(stoq_local_remove(store, &a.id, &gone, NULL), STOQ_OK);
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_stats(store, &stats, NULL), STOQ_OK);
    for (int type = STOQ_RECORD_CHUNK; type < STOQ_RECORD_TYPES; type++) {
        if (type != STOQ_RECORD_TOMBSTONE) {
            assert_int_equal(stats.type[type].records, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(one_file_can_be_read),
        WITH_STORE(ranges_of_a_file),
        WITH_STORE(a_list_is_shared_by_those_who_need_it),
        WITH_STORE(so_many_lists_are_kept),
        WITH_STORE(what_is_here_is_looked_up_once),
        WITH_STORE(a_cursor_reads_from_anywhere),
        WITH_STORE(an_output_that_exists_is_left_alone),
        WITH_STORE(removal_spares_what_others_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
