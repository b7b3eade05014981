/*
 * Packages that nobody should have made, damage, and publishes that cannot end well: refused, told and
 * without a trace outside.
 */
#include "daemon/packages_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/prng.h"
#include "daemon/extract.h"
#include "daemon/held.h"
#include "daemon/ingest.h"
#include "daemon/local.h"
#include "daemon/shards.h"
#include "os/tree_read.h"
#include "package/table.h"
#include "wire/cbor.h"

/* A package as no publish of ours would make it: any table bytes, any contents. */
static struct stoq_package_id forge(struct stoq_span table, uint64_t entries,
                                    struct stoq_span contents)
{
    struct stoq_ingest *in;
    struct stoq_shards *shards;
    struct stoq_chunker chunker;
    assert_int_equal(stoq_chunker_init(&chunker, &STOQ_CHUNK_PROFILE_1), STOQ_OK);
    assert_int_equal(stoq_shards_new(&shards, store, NULL), STOQ_OK);
    assert_int_equal(stoq_ingest_new(&in, store, &chunker, 1, NULL), STOQ_OK);
    stoq_ingest_set_sink(in, (struct stoq_chunk_sink){stoq_shards_add, shards});
    assert_int_equal(stoq_ingest_add(in, table, NULL), STOQ_OK);
    assert_int_equal(stoq_ingest_end_run(in, 0, NULL), STOQ_OK);
    assert_int_equal(stoq_ingest_add(in, contents, NULL), STOQ_OK);
    struct stoq_merkle_root root;
    struct stoq_span list;
    assert_int_equal(stoq_ingest_drain(in, NULL), STOQ_OK);
    assert_int_equal(stoq_shards_finish(shards, &root, &list, NULL), STOQ_OK);
    struct stoq_manifest m = {.name = stoq_span_str("forged"), .version = stoq_span_str("1")};
    m.profile = STOQ_PROFILE_1;
    m.table_bytes = table.n;
    m.entries = entries;
    m.shards = root.shards;
    m.chunks = root.chunks;
    m.bytes = root.bytes;
    m.root = root.hash;
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    assert_int_equal(stoq_manifest_encode(&m, &b), STOQ_OK);
    struct stoq_package_id id = stoq_manifest_id(stoq_buf_span(&b));
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_SHARD_LIST, stoq_span(root.hash.b, 32), 0,
                                    list, NULL, NULL),
                     STOQ_OK);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_MANIFEST, stoq_span(id.h.b, 32), 0,
                                    stoq_buf_span(&b), NULL, NULL),
                     STOQ_OK);
    assert_int_equal(
        stoq_local_record(store, &id, &(struct stoq_local_facts){1700000000, true, false}, NULL),
        STOQ_OK);
    stoq_ingest_free(in);
    stoq_shards_free(shards);
    stoq_buf_release(&b);
    return id;
}

static void put_entry(struct stoq_buf *out, const char *path, uint64_t kind, uint64_t size,
                      const char *target)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_array(&w, 3);
    stoq_cbor_put_bytes(&w, stoq_span_str(path));
    stoq_cbor_put_uint(&w, kind);
    if (kind == STOQ_ENTRY_LINK) {
        stoq_cbor_put_bytes(&w, stoq_span_str(target));
    } else {
        stoq_cbor_put_uint(&w, size);
    }
    assert_int_equal(stoq_cbor_wr_done(&w), STOQ_OK);
}

struct hostile {
    const char *path;
    uint64_t kind;
    const char *target;
};

/* Extract, cat and verify a forged table: refused, and nothing outside has come into being. */
static void refuse_table(const struct hostile *entries, size_t n, const char *out_name)
{
    struct stoq_buf table;
    stoq_buf_init(&table, 1 << 20);
    uint64_t content = 0;
    for (size_t i = 0; i < n; i++) {
        bool file = entries[i].kind <= STOQ_ENTRY_EXECUTABLE;
        put_entry(&table, entries[i].path, entries[i].kind, file ? 1 : 0, entries[i].target);
        content += file;
    }
    assert_true(content <= 4);
    struct stoq_package_id id = forge(stoq_buf_span(&table), n, stoq_span("evil", (size_t)content));
    assert_int_equal(extract_to(&id, at(out_name)), STOQ_MALFORMED);
    struct stoq_buf got;
    stoq_buf_init(&got, 100);
    assert_int_equal(stoq_cat(store, &id, stoq_span_str("zzz"), NULL, keep_bytes, &got, &err),
                     STOQ_MALFORMED);
    struct stoq_verify_report v = verify(&id);
    assert_false(v.merkle.valid || v.overall.valid);
    assert_non_null(strstr(v.merkle.why, "file table"));
    stoq_buf_release(&table);
    stoq_buf_release(&got);
}

static void hostile_tables_harm_nobody(void **state)
{
    (void)state;
    make_dir("jail");
    make_dir("victim");
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/victim/x", scratch);
    const struct hostile cases[][3] = {
        {{"../victim/x", 0, NULL}},
        {{absolute, 0, NULL}},
        {{"a", 3, "../../victim"}, {"a/x", 0, NULL}},
        {{"a", 3, "../../victim"}, {"a", 2, NULL}, {"a/x", 0, NULL}},
        {{"a", 2, NULL}, {"a", 3, "../../victim"}, {"a/x", 0, NULL}},
        {{"a", 2, NULL}, {"a/../../victim/x", 0, NULL}},
        {{"a", 0, NULL}, {"a", 0, NULL}},
        {{"d/x", 0, NULL}},
        {{"b", 0, NULL}, {"a", 0, NULL}},
        {{".", 2, NULL}},
        {{"..", 2, NULL}, {"../x", 0, NULL}},
        {{"a", 7, NULL}},
    };
    static const size_t counts[] = {1, 1, 2, 3, 3, 2, 2, 1, 2, 1, 2, 1};
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        refuse_table(cases[i], counts[i], "jail/out");
    }
    assert_int_equal(unlinkat(scratch_fd, "jail", AT_REMOVEDIR), 0);   /* empty */
    assert_int_equal(unlinkat(scratch_fd, "victim", AT_REMOVEDIR), 0); /* empty */
}

static void rubbish_as_a_table_is_refused(void **state)
{
    (void)state;
    uint8_t noise[3000];
    struct stoq_prng r = stoq_prng(4);
    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (uint8_t)stoq_prng_next(&r);
    }
    struct stoq_package_id id = forge(stoq_span(noise, sizeof noise), 5, stoq_span("", 0));
    assert_int_equal(extract_to(&id, at("out")), STOQ_MALFORMED);
    /* A good table that says less, and more, than the contents hold. */
    for (int more = 0; more < 2; more++) {
        struct stoq_buf table;
        stoq_buf_init(&table, 1000);
        put_entry(&table, "a", 0, more == 0 ? 3 : 5, NULL);
        id = forge(stoq_buf_span(&table), 1, stoq_span_str("four"));
        assert_int_equal(extract_to(&id, at("out")), STOQ_MALFORMED);
        stoq_buf_release(&table);
    }
}

static void damage_is_found_and_told(void **state)
{
    (void)state;
    put_random("in/a", 2000000, 1);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_held *held;
    struct stoq_buf list;
    stoq_buf_init(&list, 1 << 20);
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    assert_int_equal(stoq_held_chunk_list(held, 0, &list, NULL), STOQ_OK);
    struct stoq_merkle_chunk c = stoq_merkle_chunk_at(stoq_buf_span(&list), 3);
    stoq_held_close(held);
    stoq_buf_release(&list);
    struct stoq_span key = stoq_span(c.hash.b, 32);
    /* Other bytes of that length under the chunk's key. */
    uint8_t *other = calloc(c.bytes, 1);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_CHUNK, key, STOQ_STORE_OVERWRITE,
                                    stoq_span(other, c.bytes), NULL, NULL),
                     STOQ_OK);
    free(other);
    assert_int_equal(extract_to(&r.id, at("out")), STOQ_PROOF);
    assert_string_equal(err.code, "IntegrityCheckFailed");
    assert_non_null(strstr(err.text, "chunk 3 of shard 0"));
    assert_int_equal(access(at("out"), F_OK), -1);
    struct stoq_verify_report v = verify(&r.id);
    assert_false(v.merkle.valid || v.overall.valid);
    assert_int_equal(v.chunks_bad + v.chunks_missing, 1);
    assert_int_equal(v.first_fault, 3);
    assert_int_equal(v.chunks_good, v.chunks - 1);
    /* Publishing it again mends it. */
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CHUNK, key, NULL) == STOQ_OK ||
                         !stoq_store_has(store, STOQ_RECORD_CHUNK, key),
                     1);
    assert_int_equal(verify(&r.id).chunks_missing, 1);
    assert_int_equal(extract_to(&r.id, at("out")), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ChunkNotFound");
    (void)publish(&ask);
    assert_true(verify(&r.id).overall.valid);
}

/* Reached through the callbacks of a publish: change things at a chosen moment. */
struct meddler {
    int calls;
    bool touch;  /* change the file under the publish */
    bool cancel; /* give up */
};

static bool meddle(void *user)
{
    struct meddler *m = user;
    if (m->calls++ == 0 && m->touch) {
        put_random("in/zz_last", 5000, 77);
    }
    return m->cancel;
}

/* Small files may have been read and compared before the moment comes, with threads. */
static void a_changed_file_ends_the_publish(void **state)
{
    (void)state;
    put_random("in/first", 100000, 1);
    for (unsigned threads = 1; threads <= 2; threads++) {
        put_random("in/zz_last", threads == 1 ? 6000 : 600000, 2);
        struct meddler m = {.touch = true};
        struct stoq_publish_ask ask = ask_for(at("in"));
        ask.cancelled = meddle;
        ask.user = &m;
        ask.threads = threads;
        struct stoq_publish_report r;
        assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_BUSY);
        assert_non_null(strstr(err.text, "in/zz_last: changed while it was read"));
    }
    assert_int_equal(packages_listed(), 0);
}

static void a_publish_can_be_stopped(void **state)
{
    (void)state;
    put_random("in/first", 5000000, 1);
    for (unsigned threads = 1; threads < 4; threads++) {
        struct meddler m = {.cancel = true};
        struct stoq_publish_ask ask = ask_for(at("in"));
        ask.cancelled = meddle;
        ask.user = &m;
        ask.threads = threads;
        struct stoq_publish_report r;
        assert_int_equal(stoq_publish(store, &ask, &r, NULL), STOQ_CANCELLED);
        assert_int_equal(m.calls, 1);
    }
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct meddler m = {.cancel = true};
    const struct stoq_extract_ask extract = {
        .id = r.id, .out = at("out"), .cancelled = meddle, .user = &m};
    struct stoq_extract_report x;
    assert_int_equal(stoq_extract(store, &extract, &x, NULL), STOQ_CANCELLED);
    const struct stoq_verify_ask whole = {.id = r.id, .cancelled = meddle, .user = &m};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &whole, &v, NULL), STOQ_CANCELLED);
    struct stoq_tree *t;
    assert_int_equal(stoq_tree_list(&t, scratch, NULL, NULL, NULL), STOQ_OK);
    struct stoq_tree_entry e = stoq_tree_at(t, 0);
    assert_true(stoq_span_eq(e.path, stoq_span_str("in"))); /* no .out.stoq-… is left */
    stoq_tree_free(t);
}

/* The disk is full in the middle: one sentence, no package, and with room again all goes well. */
static void a_full_disk_ends_the_publish(void **state)
{
    (void)state;
    put_random("in/large", 20000000, 1);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit small = {.rlim_cur = 6000000, .rlim_max = old.rlim_max};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r;
    for (ask.threads = 1; ask.threads < 4; ask.threads++) {
        err = (struct stoq_error){0};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        enum stoq_status st = stoq_publish(store, &ask, &r, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(st, STOQ_FULL);
        assert_true(err.text[0] != 0);
        assert_int_equal(packages_listed(), 0);
    }
    r = publish(&ask);
    assert_true(verify(&r.id).overall.valid);
    const struct rlimit tiny = {.rlim_cur = 1000000, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    enum stoq_status st = extract_to(&r.id, at("out"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, STOQ_FULL);
    assert_non_null(strstr(err.text, "large: cannot be written"));
    assert_int_equal(access(at("out"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(hostile_tables_harm_nobody), WITH_STORE(rubbish_as_a_table_is_refused),
        WITH_STORE(damage_is_found_and_told),   WITH_STORE(a_changed_file_ends_the_publish),
        WITH_STORE(a_publish_can_be_stopped),   WITH_STORE(a_full_disk_ends_the_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
