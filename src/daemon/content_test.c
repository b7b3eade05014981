/*
 * Content by address on a real store: what is put comes out, under the digest other programs compute,
 * and nothing else does.
 */
#include "daemon/packages_harness.h"

#include <pthread.h>
#include <sched.h>

#include "daemon/content.h"
#include "daemon/local.h"
#include "os/file.h"
#include "os/sys.h"

/* An input in memory, read in odd pieces. */
struct input {
    struct stoq_span bytes;
    size_t piece;
    size_t fails_at; /* bytes after which reading fails; 0: never */
    size_t at;
};

static enum stoq_status read_input(void *user, uint8_t *p, size_t n, size_t *got,
                                   struct stoq_error *why)
{
    struct input *in = user;
    size_t left = in->bytes.n - in->at;
    n = n < in->piece ? n : in->piece;
    n = n < left ? n : left;
    if (in->fails_at != 0 && in->at >= in->fails_at) {
        return stoq_fail(why, STOQ_TRUNC, 0, "the input broke off");
    }
    if (n > 0) {
        memcpy(p, in->bytes.p + in->at, n);
    }
    in->at += n;
    *got = n;
    return STOQ_OK;
}

/* A put with what the test sets; ask->read is filled in. */
static enum stoq_status put_as(struct stoq_span bytes, struct stoq_content_put_ask *ask,
                               struct stoq_content_put_report *r)
{
    struct input in = {.bytes = bytes, .piece = 77777};
    ask->read = read_input;
    ask->read_user = &in;
    ask->threads = ask->threads == 0 ? 2 : ask->threads;
    return stoq_content_put(store, ask, r, &err);
}

static struct stoq_address put(struct stoq_span bytes)
{
    struct stoq_content_put_ask ask = {.threads = 1};
    struct stoq_content_put_report r;
    assert_int_equal(put_as(bytes, &ask, &r), STOQ_OK);
    return r.content.address;
}

struct output {
    struct stoq_buf bytes;
    size_t calls;
};

static enum stoq_status take(void *user, struct stoq_span bytes)
{
    struct output *out = user;
    out->calls++;
    return stoq_buf_add(&out->bytes, bytes);
}

static enum stoq_status get(const struct stoq_address *address, struct output *out)
{
    struct stoq_content_get_ask ask = {.address = *address, .sink = take, .sink_user = out};
    stoq_buf_init(&out->bytes, 64 << 20);
    out->calls = 0;
    return stoq_content_get(store, &ask, NULL, &err);
}

static void comes_out(const struct stoq_address *address, struct stoq_span want)
{
    struct output out;
    assert_int_equal(get(address, &out), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&out.bytes), want));
    stoq_buf_release(&out.bytes);
}

static void what_is_put_comes_out_under_its_digest(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16384, 1048576, 1048577, 3000001};
    for (size_t i = 0; i < STOQ_COUNT(sizes); i++) {
        uint8_t *p = draw_bytes(sizes[i], 100 + i);
        struct stoq_span s = stoq_span(p, sizes[i]);
        struct stoq_content_put_report r;
        struct stoq_content_put_ask ask = {.threads = 1 + (unsigned)i % 3};
        assert_int_equal(put_as(s, &ask, &r), STOQ_OK);
        struct stoq_hash want = stoq_hash_blake3(s);
        assert_int_equal(r.content.address.algorithm, STOQ_HASH_BLAKE3);
        assert_true(stoq_hash_eq(&r.content.address.digest, &want));
        assert_false(r.existed);
        assert_true(r.content.root.bytes == sizes[i] && r.bytes_new == sizes[i]);
        comes_out(&r.content.address, s);
        free(p);
    }
}

static void sha3_256_addresses_too(void **state)
{
    (void)state;
    struct stoq_digest want;
    uint8_t *p = draw_bytes(50000, 7);
    struct stoq_span s = stoq_span(p, 50000);
    struct stoq_content_put_ask ask = {.algorithm = STOQ_HASH_SHA3_256};
    struct stoq_content_put_report r;
    assert_int_equal(put_as(s, &ask, &r), STOQ_OK);
    assert_int_equal(stoq_digest_of(&want, STOQ_HASH_SHA3_256, s), STOQ_OK);
    assert_int_equal(r.content.address.algorithm, STOQ_HASH_SHA3_256);
    assert_memory_equal(r.content.address.digest.b, want.b, 32);
    comes_out(&r.content.address, s);
    free(p);
}

static void a_second_put_stores_nothing_new(void **state)
{
    (void)state;
    uint8_t *p = draw_bytes(700000, 8);
    struct stoq_span s = stoq_span(p, 700000);
    struct stoq_content_put_ask ask = {.threads = 1};
    struct stoq_content_put_report first;
    struct stoq_content_put_report r;
    struct stoq_store_stats before;
    struct stoq_store_stats after;
    assert_int_equal(put_as(s, &ask, &first), STOQ_OK);
    assert_int_equal(stoq_store_stats(store, &before, &err), STOQ_OK);
    assert_int_equal(put_as(s, &ask, &r), STOQ_OK);
    assert_int_equal(stoq_store_stats(store, &after, &err), STOQ_OK);
    assert_true(r.existed && r.bytes_new == 0 && r.chunks_new == 0 && r.bytes_stored == 0);
    assert_true(before.appended_bytes == after.appended_bytes);
    assert_true(r.content.added_at == first.content.added_at);
    ask.algorithm = STOQ_HASH_SHA3_256; /* another name of the same chunks */
    assert_int_equal(put_as(s, &ask, &r), STOQ_OK);
    assert_true(!r.existed && r.bytes_new == 0);
    free(p);
}

static void what_can_be_forged_is_no_address(void **state)
{
    (void)state;
    static const enum stoq_hash_alg no[] = {STOQ_HASH_XXH3_128, STOQ_HASH_SHA256, STOQ_HASH_SHA512,
                                            (enum stoq_hash_alg)77};
    struct stoq_content_put_report r;
    for (size_t i = 0; i < STOQ_COUNT(no); i++) {
        struct stoq_content_put_ask ask = {.algorithm = no[i]};
        assert_int_equal(put_as(stoq_span("x", 1), &ask, &r), STOQ_RANGE);
    }
    struct stoq_content_put_ask xxh3 = {.algorithm = STOQ_HASH_XXH3_128};
    assert_int_equal(put_as(stoq_span("x", 1), &xxh3, &r), STOQ_RANGE);
    assert_non_null(strstr(err.text, "anybody can make other bytes with the same value"));
    struct stoq_content_put_ask own = {.second = {{.alg = STOQ_HASH_BLAKE3}}, .second_count = 1};
    assert_int_equal(put_as(stoq_span("x", 1), &own, &r), STOQ_RANGE);
    struct stoq_content_put_ask twice = {
        .second = {{.alg = STOQ_HASH_SHA256}, {.alg = STOQ_HASH_SHA256}}, .second_count = 2};
    assert_int_equal(put_as(stoq_span("x", 1), &twice, &r), STOQ_RANGE);
}

static void secondary_digests_are_kept_and_added_to(void **state)
{
    (void)state;
    uint8_t *p = draw_bytes(123456, 9);
    struct stoq_span s = stoq_span(p, 123456);
    struct stoq_content c;
    struct stoq_digest want;
    struct stoq_content_put_report r;
    struct stoq_content_put_ask ask = {
        .second = {{.alg = STOQ_HASH_SHA512}, {.alg = STOQ_HASH_SHA3_256}}, .second_count = 2};
    assert_int_equal(put_as(s, &ask, &r), STOQ_OK);
    struct stoq_content_put_ask more = {.second = {{.alg = STOQ_HASH_SHA256}}, .second_count = 1};
    assert_int_equal(put_as(s, &more, &r), STOQ_OK);
    assert_true(r.existed && r.bytes_new == 0);
    assert_int_equal(stoq_content_info(store, &r.content.address, &c, &err), STOQ_OK);
    assert_int_equal(c.secondary_count, 3);
    assert_int_equal(c.secondary[0].alg, STOQ_HASH_SHA3_256);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stoq_digest_of(&want, c.secondary[i].alg, s), STOQ_OK);
        assert_true(stoq_digest_eq(&want, &c.secondary[i]));
    }
    comes_out(&r.content.address, s);
    free(p);
}

static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;

struct putter {
    enum stoq_hash_alg alg;
    enum stoq_status status;
    struct stoq_span bytes;
};

static void *put_one(void *user)
{
    struct putter *p = user;
    struct input in = {.bytes = p->bytes, .piece = 77777};
    struct stoq_content_put_report r;
    const struct stoq_content_put_ask ask = {.read = read_input,
                                             .read_user = &in,
                                             .threads = 1,
                                             .second = {{.alg = p->alg}},
                                             .second_count = 1,
                                             .record_lock = &record_lock};
    p->status = stoq_content_put(store, &ask, &r, NULL);
    return NULL;
}

static void puts_side_by_side_keep_each_others_digests(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 30; round++) {
        struct stoq_content c;
        pthread_t thread[3];
        uint8_t *p = draw_bytes(5000, 1000 + round);
        struct stoq_span s = stoq_span(p, 5000);
        struct putter putter[3] = {{STOQ_HASH_SHA256, STOQ_IO, s},
                                   {STOQ_HASH_SHA512, STOQ_IO, s},
                                   {STOQ_HASH_SHA3_256, STOQ_IO, s}};
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, put_one, &putter[i]), 0);
        }
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
            assert_int_equal(putter[i].status, STOQ_OK);
        }
        struct stoq_address address = {.algorithm = STOQ_HASH_BLAKE3,
                                       .digest = stoq_hash_blake3(s)};
        assert_int_equal(stoq_content_info(store, &address, &c, &err), STOQ_OK);
        assert_int_equal(c.secondary_count, 3);
        free(p);
    }
}

/* While somebody else holds the lock, all but the record is put. */
static void a_record_waits_for_the_lock(void **state)
{
    (void)state;
    struct stoq_content c;
    pthread_t thread;
    uint8_t *p = draw_bytes(5000, 2000);
    struct putter putter = {STOQ_HASH_SHA256, STOQ_IO, stoq_span(p, 5000)};
    struct stoq_address address = {.algorithm = STOQ_HASH_BLAKE3,
                                   .digest = stoq_hash_blake3(putter.bytes)};
    struct stoq_span chunk = stoq_span(address.digest.b, sizeof address.digest.b);
    assert_int_equal(pthread_mutex_lock(&record_lock), 0);
    assert_int_equal(pthread_create(&thread, NULL, put_one, &putter), 0);
    while (!stoq_store_has(store, STOQ_RECORD_CHUNK, chunk)) {
        (void)sched_yield();
    }
    for (stoq_ns until = stoq_now() + 50 * STOQ_MS; stoq_now() < until;) {
        assert_int_equal(stoq_content_info(store, &address, &c, &err), STOQ_NOTFOUND);
    }
    assert_int_equal(pthread_mutex_unlock(&record_lock), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(putter.status, STOQ_OK);
    assert_int_equal(stoq_content_info(store, &address, &c, &err), STOQ_OK);
    free(p);
}

static void what_is_not_as_expected_gets_no_address(void **state)
{
    (void)state;
    struct stoq_span s = stoq_span("expected", 8);
    struct stoq_address none = {.algorithm = STOQ_HASH_BLAKE3, .digest = stoq_hash_blake3(s)};
    struct stoq_content c;
    struct stoq_content_put_report r;
    struct stoq_address other = none;
    other.digest.b[31] ^= 1;
    struct stoq_content_put_ask by_address = {.expected = &other};
    assert_int_equal(put_as(s, &by_address, &r), STOQ_PROOF);
    assert_string_equal(err.code, "IntegrityCheckFailed");
    struct stoq_content_put_ask by_second = {
        .second = {{.alg = STOQ_HASH_SHA256, .is_expected = true}}, .second_count = 1};
    by_second.second[0].want.alg = STOQ_HASH_SHA256;
    assert_int_equal(put_as(s, &by_second, &r), STOQ_PROOF);
    assert_int_equal(stoq_content_info(store, &none, &c, &err), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    assert_int_equal(stoq_digest_of(&by_second.second[0].want, STOQ_HASH_SHA256, s), STOQ_OK);
    by_second.expected = &none;
    assert_int_equal(put_as(s, &by_second, &r), STOQ_OK);
}

/* Write a content's record anew with something changed, as damage or malice would. */
static void forge(const struct stoq_address *address, const struct stoq_digest *secondary,
                  const struct stoq_merkle_root *root)
{
    uint8_t key[STOQ_CONTENT_KEY_BYTES];
    struct stoq_content c;
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_CONTENT_RECORD_BYTES_MAX);
    assert_int_equal(stoq_content_info(store, address, &c, &err), STOQ_OK);
    if (secondary != NULL) {
        c.secondary[0] = *secondary;
        c.secondary_count = 1;
    }
    c.root = root != NULL ? *root : c.root;
    stoq_content_key_put(key, address);
    assert_int_equal(stoq_content_encode(&c, &b), STOQ_OK);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_CONTENT, stoq_span(key, sizeof key),
                                    STOQ_STORE_OVERWRITE, stoq_buf_span(&b), NULL, &err),
                     STOQ_OK);
    stoq_buf_release(&b);
}

static void either_digest_that_differs_is_fatal(void **state)
{
    (void)state;
    enum { SMALL = 100000, LARGE = 2500000 };
    struct output out;
    struct stoq_content c;
    struct stoq_content_put_report r;
    uint8_t *p = draw_bytes(LARGE, 10);
    struct stoq_address small = put(stoq_span(p, SMALL));
    struct stoq_address large = put(stoq_span(p, LARGE));
    struct stoq_address other = put(stoq_span(p + 1, SMALL));
    struct stoq_digest wrong;
    assert_int_equal(stoq_digest_of(&wrong, STOQ_HASH_SHA256, stoq_span("wrong", 5)), STOQ_OK);
    forge(&small, &wrong, NULL);
    forge(&large, &wrong, NULL);
    assert_int_equal(get(&small, &out), STOQ_PROOF);
    assert_string_equal(err.code, "IntegrityCheckFailed");
    assert_non_null(strstr(err.text, "sha256"));
    assert_int_equal(out.calls, 0); /* not a byte has left */
    stoq_buf_release(&out.bytes);
    assert_int_equal(get(&large, &out), STOQ_PROOF); /* all have, and yet it failed */
    assert_true(out.bytes.n == LARGE);
    stoq_buf_release(&out.bytes);
    struct stoq_content_put_ask again = {.second = {{.alg = STOQ_HASH_SHA256}}, .second_count = 1};
    assert_int_equal(put_as(stoq_span(p, SMALL), &again, &r), STOQ_PROOF); /* on ingest too */
    assert_int_equal(stoq_content_info(store, &small, &c, &err), STOQ_OK);
    forge(&other, NULL, &c.root); /* a record that leads to another content's bytes */
    assert_int_equal(get(&other, &out), STOQ_PROOF);
    assert_non_null(strstr(err.text, "blake3"));
    assert_int_equal(out.calls, 0);
    stoq_buf_release(&out.bytes);
    free(p);
}

static void a_chunk_that_is_not_here_or_not_itself_stops_it(void **state)
{
    (void)state;
    enum { BYTES = 16000 }; /* one chunk */
    struct output out;
    uint8_t *p = draw_bytes(BYTES, 11);
    struct stoq_address address = put(stoq_span(p, BYTES));
    struct stoq_hash hash = stoq_hash_blake3(stoq_span(p, BYTES));
    struct stoq_span key = stoq_span(hash.b, sizeof hash.b);
    p[5]++;
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_CHUNK, key, STOQ_STORE_OVERWRITE,
                                    stoq_span(p, BYTES), NULL, &err),
                     STOQ_OK);
    assert_int_equal(get(&address, &out), STOQ_PROOF);
    assert_int_equal(out.calls, 0);
    stoq_buf_release(&out.bytes);
    p[5]--;
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CHUNK, key, NULL), STOQ_OK);
    assert_int_equal(get(&address, &out), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ChunkNotFound");
    stoq_buf_release(&out.bytes);
    struct stoq_content_put_ask ask = {.threads = 1};
    struct stoq_content_put_report r;
    assert_int_equal(put_as(stoq_span(p, BYTES), &ask, &r),
                     STOQ_OK); /* putting it again heals it */
    assert_true(r.existed && r.bytes_new == BYTES);
    comes_out(&address, stoq_span(p, BYTES));
    free(p);
}

static void an_input_that_fails_leaves_no_address(void **state)
{
    (void)state;
    uint8_t *p = draw_bytes(400000, 12);
    struct input in = {.bytes = stoq_span(p, 400000), .piece = 50000, .fails_at = 200000};
    struct stoq_content_put_ask ask = {.read = read_input, .read_user = &in, .threads = 2};
    struct stoq_content_put_report r;
    struct stoq_content c;
    assert_int_equal(stoq_content_put(store, &ask, &r, &err), STOQ_TRUNC);
    struct stoq_address half = {.algorithm = STOQ_HASH_BLAKE3,
                                .digest = stoq_hash_blake3(stoq_span(p, 200000))};
    assert_int_equal(stoq_content_info(store, &half, &c, &err), STOQ_NOTFOUND);
    free(p);
}

static void it_can_be_cancelled(void **state)
{
    (void)state;
    struct stoq_content_put_report r;
    struct stoq_content_put_ask ask = {.cancelled = stop_at_once};
    assert_int_equal(put_as(stoq_span("cancelled", 9), &ask, &r), STOQ_CANCELLED);
    struct stoq_address address = put(stoq_span("kept", 4));
    struct stoq_content_get_ask get_ask = {.address = address, .cancelled = stop_at_once};
    assert_int_equal(stoq_content_get(store, &get_ask, NULL, &err), STOQ_CANCELLED);
}

static bool count_one(void *user, const struct stoq_content *c)
{
    *(uint64_t *)user += c->root.bytes > 0;
    return true;
}

static void they_are_listed_and_survive_a_restart(void **state)
{
    (void)state;
    uint64_t n = 0;
    uint64_t again = 0;
    uint64_t damaged = 0;
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_CONTENT, stoq_span("odd", 3), 0,
                                    stoq_span("x", 1), NULL, &err),
                     STOQ_OK);
    assert_int_equal(stoq_content_each(store, count_one, &n, &damaged, &err), STOQ_OK);
    assert_true(n > 0);
    assert_true(damaged == 1);
    close_store();
    open_store();
    assert_int_equal(stoq_content_each(store, count_one, &again, NULL, &err), STOQ_OK);
    assert_true(again == n);
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CONTENT, stoq_span("odd", 3), &err),
                     STOQ_OK);
}

static bool has_chunk(struct stoq_span bytes)
{
    struct stoq_hash h = stoq_hash_blake3(bytes);
    return stoq_store_has(store, STOQ_RECORD_CHUNK, stoq_span(h.b, sizeof h.b));
}

/* One file of one chunk, as content under two addresses and as a package. */
static void removal_takes_only_what_nothing_else_uses(void **state)
{
    (void)state;
    enum { BYTES = 16300 };
    uint8_t *p = draw_bytes(BYTES, 13);
    struct stoq_span s = stoq_span(p, BYTES);
    struct stoq_local_removed removed;
    struct stoq_content_put_report sha3;
    struct stoq_publish_report published;
    struct stoq_content_put_ask ask = {.algorithm = STOQ_HASH_SHA3_256};
    put_file("file", s);
    struct stoq_address blake3 = put(s);
    assert_int_equal(put_as(s, &ask, &sha3), STOQ_OK);
    const struct stoq_publish_ask one_file = {.path = at("file"), .name = "p", .version = "1"};
    published = publish(&one_file);
    assert_true(published.bytes_new < BYTES); /* the content's chunk was there */

    assert_int_equal(stoq_content_remove(store, &blake3, &removed, &err), STOQ_OK);
    assert_true(removed.chunks == 0 && removed.chunks_shared == 1);
    comes_out(&sha3.content.address, s);
    assert_int_equal(stoq_content_remove(store, &blake3, &removed, &err), STOQ_NOTFOUND);
    assert_int_equal(stoq_local_remove(store, &published.id, &removed, &err), STOQ_OK);
    assert_true(has_chunk(s)); /* a content still has it */
    comes_out(&sha3.content.address, s);
    assert_int_equal(stoq_content_remove(store, &sha3.content.address, &removed, &err), STOQ_OK);
    assert_true(removed.chunks == 1 && removed.bytes == BYTES);
    assert_false(has_chunk(s));
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_comes_out_under_its_digest),
        cmocka_unit_test(sha3_256_addresses_too),
        cmocka_unit_test(a_second_put_stores_nothing_new),
        cmocka_unit_test(what_can_be_forged_is_no_address),
        cmocka_unit_test(secondary_digests_are_kept_and_added_to),
        cmocka_unit_test(puts_side_by_side_keep_each_others_digests),
        cmocka_unit_test(a_record_waits_for_the_lock),
        cmocka_unit_test(what_is_not_as_expected_gets_no_address),
        cmocka_unit_test(either_digest_that_differs_is_fatal),
        cmocka_unit_test(a_chunk_that_is_not_here_or_not_itself_stops_it),
        cmocka_unit_test(an_input_that_fails_leaves_no_address),
        cmocka_unit_test(it_can_be_cancelled),
        cmocka_unit_test(they_are_listed_and_survive_a_restart),
        cmocka_unit_test(removal_takes_only_what_nothing_else_uses),
    };
    return cmocka_run_group_tests(tests, scratch_setup_with_store, scratch_teardown);
}
