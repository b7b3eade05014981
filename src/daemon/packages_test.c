/*
 * The local operations together, on real stores in a scratch folder: what is published comes out of an
 * extraction byte for byte, the id depends on nothing else, hostile packages harm nobody.
 */
#include "daemon/extract.h"
#include "daemon/held.h"
#include "daemon/ingest.h"
#include "daemon/local.h"
#include "daemon/publish.h"
#include "daemon/shards.h"
#include "daemon/verify.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "hash/hash.h"
#include "os/file.h"
#include "os/tree_read.h"
#include "package/table.h"
#include "wire/cbor.h"

static char scratch[64];
static int scratch_fd;
static struct stoq_store *store;

static const char *at(const char *name)
{
    static char path[8][512];
    static int next;
    char *out = path[next++ % 8];
    assert_int_equal(stoq_file_join(out, sizeof path[0], scratch, name), STOQ_OK);
    return out;
}

static struct stoq_store *open_store(const char *name)
{
    struct stoq_store *s;
    struct stoq_error err;
    const struct stoq_store_config cfg = {
        .dir = at(name), .create = true, .segment_bytes = 16 * STOQ_MIB, .map_bytes = STOQ_GIB};
    assert_int_equal(stoq_store_open(&s, &cfg, &err), STOQ_OK);
    return s;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/stoq-packages-XXXXXX");
    if (mkdtemp(scratch) == NULL) {
        return -1;
    }
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY);
    store = open_store("store");
    return scratch_fd < 0 ? -1 : mkdirat(scratch_fd, "in", 0755);
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(stoq_store_close(store, NULL), STOQ_OK);
    (void)close(scratch_fd);
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

static void put_bytes(const char *name, const void *p, size_t n, mode_t mode)
{
    int fd = openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, stoq_span(p, n)), STOQ_OK);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

/* n bytes that follow from the seed; compressible ones repeat words. */
static void put_random(const char *name, size_t n, uint64_t seed, bool compressible)
{
    uint8_t *p = malloc(n + 8);
    assert_non_null(p);
    struct stoq_prng r = stoq_prng(seed);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = stoq_prng_next(&r);
        stoq_le64_put(p + i, compressible ? v & 0x0303030303030303u : v);
    }
    put_bytes(name, p, n, 0644);
    free(p);
}

static void make_dir(const char *name)
{
    assert_int_equal(mkdirat(scratch_fd, name, 0755), 0);
}

/* A tree with something of everything below in/. */
static void make_tree(void)
{
    make_dir("in/empty");
    make_dir("in/bin");
    make_dir("in/bin-x");
    make_dir("in/many");
    put_bytes("in/bin/run", "#!/bin/sh\n", 10, 0755);
    put_bytes("in/bin-x/nothing", "", 0, 0640);
    put_bytes("in/.hidden", "h", 1, 0600);
    put_random("in/large", 3000001, 1, false);
    put_random("in/text", 700000, 2, true);
    put_random("in/threshold", 16384, 3, false);
    put_random("in/below", 16383, 4, false);
    char name[64];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "in/many/%03d", i);
        put_random(name, (size_t)i * 7, 100 + (uint64_t)i, i % 2 == 0);
    }
    for (int c = 1; c < 256; c++) {
        if (c != '/') {
            (void)snprintf(name, sizeof name, "in/empty/x%cy", c);
            put_bytes(name, &c, 1, 0644);
        }
    }
    assert_int_equal(symlinkat("/etc/passwd", scratch_fd, "in/absolute"), 0);
    assert_int_equal(symlinkat("../../..", scratch_fd, "in/bin/up"), 0);
    assert_int_equal(symlinkat("missing\xff", scratch_fd, "in/bin-x/dangling"), 0);
}

static struct stoq_publish_ask ask_for(const char *path)
{
    return (struct stoq_publish_ask){.path = path, .name = "hello", .version = "1.0"};
}

static struct stoq_publish_report publish(const struct stoq_publish_ask *ask)
{
    struct stoq_publish_report r;
    struct stoq_error err = {0};
    enum stoq_status st = stoq_publish(store, ask, &r, &err);
    if (st != STOQ_OK) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(st, STOQ_OK);
    return r;
}

static bool same_id(const struct stoq_package_id *a, const struct stoq_package_id *b)
{
    return stoq_hash_eq(&a->h, &b->h);
}

static void compare_contents(struct stoq_tree *a, struct stoq_tree *b, size_t i, uint64_t size)
{
    int fa;
    int fb;
    assert_int_equal(stoq_tree_open(a, i, &fa, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_open(b, i, &fb, NULL), STOQ_OK);
    uint8_t *pa = malloc(size + 1);
    uint8_t *pb = malloc(size + 1);
    assert_int_equal(stoq_tree_read(a, i, fa, pa, size, 0, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_read(b, i, fb, pb, size, 0, NULL), STOQ_OK);
    assert_memory_equal(pa, pb, size);
    free(pa);
    free(pb);
    assert_int_equal(stoq_tree_close(a, i, fa, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_close(b, i, fb, NULL), STOQ_OK);
}

static void compare_trees(const char *one, const char *other)
{
    struct stoq_tree *a;
    struct stoq_tree *b;
    assert_int_equal(stoq_tree_list(&a, one, NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_list(&b, other, NULL, NULL, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_count(a), stoq_tree_count(b));
    for (size_t i = 0; i < stoq_tree_count(a); i++) {
        struct stoq_tree_entry x = stoq_tree_at(a, i);
        struct stoq_tree_entry y = stoq_tree_at(b, i);
        assert_true(stoq_span_eq(x.path, y.path) && stoq_span_eq(x.target, y.target));
        assert_int_equal(x.kind, y.kind);
        assert_int_equal(x.size, y.size);
        if (x.kind == STOQ_TREE_FILE || x.kind == STOQ_TREE_EXECUTABLE) {
            compare_contents(a, b, i, x.size);
        }
    }
    stoq_tree_free(a);
    stoq_tree_free(b);
}

static enum stoq_status extract_to(const struct stoq_package_id *id, const char *out,
                                   struct stoq_error *err)
{
    const struct stoq_extract_ask ask = {.id = *id, .out = out};
    struct stoq_extract_report r;
    return stoq_extract(store, &ask, &r, err);
}

static void what_is_published_comes_out_again(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    assert_false(r.existed);
    assert_false(r.is_signed);
    assert_int_equal(r.entries, 4 + 7 + 300 + 254 + 3);
    assert_int_equal(r.files, 7 + 300 + 254);
    assert_int_equal(r.bytes_new, r.bytes);
    assert_int_equal(r.chunks_new, r.chunks);
    assert_true(r.bytes_stored < r.bytes && r.bytes_stored > 3000000);
    const struct stoq_extract_ask extract = {.id = r.id, .out = at("out")};
    struct stoq_extract_report x;
    assert_int_equal(stoq_extract(store, &extract, &x, NULL), STOQ_OK);
    assert_int_equal(x.files, r.files);
    assert_int_equal(x.directories, 4);
    assert_int_equal(x.links, 3);
    assert_int_equal(x.bytes, r.bytes - r.table_bytes);
    compare_trees(at("in"), at("out"));
    struct stat st;
    assert_int_equal(fstatat(scratch_fd, "out/bin-x/nothing", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    /* Again: the same, and nothing is written. */
    struct stoq_publish_report again = publish(&ask);
    assert_true(same_id(&r.id, &again.id));
    assert_true(again.existed);
    assert_int_equal(again.bytes_new, 0);
    /* What came out gives the same id. */
    ask.path = at("out");
    again = publish(&ask);
    assert_true(same_id(&r.id, &again.id));
}

static void the_id_depends_on_nothing_else(void **state)
{
    (void)state;
    make_tree();
    struct stoq_publish_ask ask = ask_for(at("in"));
    ask.threads = 1;
    struct stoq_publish_report first = publish(&ask);
    static const size_t reads[] = {1021, 4096, 65537, 1 << 20};
    for (size_t i = 0; i < STOQ_COUNT(reads); i++) {
        ask.read_bytes = reads[i];
        ask.threads = (unsigned)i + 1;
        struct stoq_publish_report r = publish(&ask);
        assert_true(same_id(&first.id, &r.id));
    }
    const struct timespec times[2] = {{1, 0}, {12345, 0}};
    assert_int_equal(utimensat(scratch_fd, "in/large", times, 0), 0);
    assert_int_equal(fchmodat(scratch_fd, "in/large", 0606, 0), 0);
    struct stoq_publish_report r = publish(&ask);
    assert_true(same_id(&first.id, &r.id));
    assert_int_equal(fchmodat(scratch_fd, "in/large", 0700, 0), 0);
    r = publish(&ask);
    assert_false(same_id(&first.id, &r.id));
    assert_int_equal(fchmodat(scratch_fd, "in/large", 0600, 0), 0);
    put_bytes("in/many/000", "x", 1, 0644); /* it was empty */
    r = publish(&ask);
    assert_false(same_id(&first.id, &r.id));
    assert_true(r.bytes_new < 400000); /* the table's chunk and the run of small files */
    ask.version = "1.1";
    struct stoq_publish_report other = publish(&ask);
    assert_false(same_id(&other.id, &r.id));
    assert_int_equal(other.bytes_new, 0);
}

static void an_empty_directory_and_a_single_file(void **state)
{
    (void)state;
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    assert_int_equal(r.bytes, 0);
    assert_int_equal(r.chunks, 0);
    assert_int_equal(extract_to(&r.id, at("out"), NULL), STOQ_OK);
    compare_trees(at("in"), at("out"));
    put_random("in/one", 500000, 9, false);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/in/one", scratch);
    ask.path = path;
    r = publish(&ask);
    assert_int_equal(r.files, 1);
    assert_int_equal(r.entries, 1);
    assert_int_equal(extract_to(&r.id, at("out2"), NULL), STOQ_OK);
    compare_trees(at("in"), at("out2"));
    const struct stoq_verify_ask verify = {.id = r.id};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
    assert_true(v.overall.valid);
}

static void texts_travel_in_the_manifest(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    const struct stoq_manifest_annotation notes[] = {{stoq_span_str("zz"), stoq_span_str("1")},
                                                     {stoq_span_str("a"), stoq_span_str("2")}};
    struct stoq_publish_ask ask = ask_for(at("in"));
    ask.description = "what it is";
    ask.license = "MIT";
    ask.annotations = notes;
    ask.annotation_count = 2;
    struct stoq_publish_report r = publish(&ask);
    struct stoq_held *held;
    assert_int_equal(stoq_held_open(&held, store, &r.id, NULL), STOQ_OK);
    const struct stoq_manifest *m = stoq_held_manifest(held);
    assert_true(stoq_span_eq(m->description, stoq_span_str("what it is")));
    assert_true(stoq_span_eq(m->license, stoq_span_str("MIT")));
    assert_int_equal(m->annotation_count, 2);
    stoq_held_close(held);
    struct stoq_error err;
    ask.name = "Not A Name";
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_RANGE);
    assert_non_null(strstr(err.text, "the name must begin"));
    ask = ask_for(at("missing"));
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_NOTFOUND);
    assert_non_null(strstr(err.text, "missing"));
}

static struct stoq_key *test_key(uint8_t seed)
{
    uint8_t bytes[STOQ_KEY_SEED_BYTES];
    memset(bytes, seed, sizeof bytes);
    struct stoq_key *key;
    assert_int_equal(stoq_key_from_seed(&key, bytes), STOQ_OK);
    return key;
}

static bool keep_package(void *user, const struct stoq_local_package *p)
{
    struct stoq_local_package *out = user;
    *out = *p;
    return true;
}

static bool count_package(void *user, const struct stoq_local_package *p)
{
    assert_true(p->complete && p->added_at > 1600000000);
    ++*(int *)user;
    return true;
}

static void signatures_are_told(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    const struct stoq_verify_ask lax = {.id = r.id};
    const struct stoq_verify_ask strict = {.id = r.id, .signature_required = true};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &lax, &v, NULL), STOQ_OK);
    assert_true(v.merkle.valid && v.overall.valid);
    assert_false(v.signature.valid || v.consensus.valid);
    assert_string_equal(v.signature.why, "unsigned");
    assert_int_equal(stoq_verify(store, &strict, &v, NULL), STOQ_OK);
    assert_false(v.overall.valid);
    struct stoq_key *key = test_key(5);
    ask.key = key;
    struct stoq_publish_report again = publish(&ask);
    assert_true(same_id(&r.id, &again.id) && again.is_signed && again.existed);
    assert_int_equal(stoq_verify(store, &strict, &v, NULL), STOQ_OK);
    assert_true(v.overall.valid && v.signature.valid);
    struct stoq_key_id id = stoq_key_id(key);
    assert_true(stoq_hash_eq(&v.signer.h, &id.h));
    struct stoq_local_package p;
    assert_int_equal(stoq_local_info(store, &r.id, keep_package, &p, NULL), STOQ_OK);
    assert_true(p.is_signed && stoq_hash_eq(&p.signer.h, &id.h));
    stoq_key_free(key);
}

/* A signature that is another package's, or rotten, does not count, and fails even a lax check. */
static void a_false_signature_is_not_good(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    struct stoq_key *key = test_key(6);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    struct stoq_package_id other = r.id;
    other.h.b[0] ^= 1;
    struct stoq_buf envelope;
    stoq_buf_init(&envelope, STOQ_ENVELOPE_MAX);
    assert_int_equal(stoq_sign(key, STOQ_SIGN_PACKAGE, &other.h, &envelope), STOQ_OK);
    uint8_t record[64];
    struct stoq_key_id id = stoq_key_id(key);
    memcpy(record, r.id.h.b, 32);
    memcpy(record + 32, id.h.b, 32);
    assert_int_equal(stoq_store_put(store, STOQ_RECORD_SIGNATURE, stoq_span(record, 64), 0,
                                    stoq_buf_span(&envelope), NULL, NULL),
                     STOQ_OK);
    const struct stoq_verify_ask lax = {.id = r.id};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &lax, &v, NULL), STOQ_OK);
    assert_true(v.merkle.valid);
    assert_false(v.signature.valid || v.overall.valid);
    struct stoq_local_package p;
    assert_int_equal(stoq_local_info(store, &r.id, keep_package, &p, NULL), STOQ_OK);
    assert_false(p.is_signed);
    stoq_buf_release(&envelope);
    stoq_key_free(key);
}

static enum stoq_status collect(void *user, struct stoq_span bytes)
{
    return stoq_buf_add(user, bytes);
}

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
        assert_int_equal(stoq_cat(store, &r.id, stoq_span_str(names[i]), NULL, collect, &got, NULL),
                         STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&got), stoq_buf_span(&want)));
    }
    stoq_buf_clear(&got);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("absolute"), NULL, collect, &got, NULL),
                     STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&got), stoq_span_str("/etc/passwd")));
    struct stoq_error err;
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("bin"), NULL, collect, &got, &err),
                     STOQ_RANGE);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("nope"), NULL, collect, &got, &err),
                     STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, refuse, NULL, &err),
                     STOQ_EXISTS);
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("absolute"), NULL, refuse, NULL, &err),
                     STOQ_EXISTS);
    r.id.h.b[3] ^= 1;
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, collect, &got, &err),
                     STOQ_NOTFOUND);
    assert_string_equal(err.code, "ContentNotFound");
    stoq_buf_release(&got);
    stoq_buf_release(&want);
}

static void an_output_that_exists_is_left_alone(void **state)
{
    (void)state;
    put_bytes("in/a", "a", 1, 0644);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r = publish(&ask);
    make_dir("out");
    struct stoq_error err;
    assert_int_equal(extract_to(&r.id, at("out"), &err), STOQ_EXISTS);
    assert_non_null(strstr(err.text, "/out is there already"));
    assert_int_equal(unlinkat(scratch_fd, "out", AT_REMOVEDIR), 0); /* still empty */
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
        put_random("in/zz_last", 5000, 77, false);
    }
    return m->cancel;
}

/* Small files may have been read and compared before the moment comes, with threads. */
static void a_changed_file_ends_the_publish(void **state)
{
    (void)state;
    put_random("in/first", 100000, 1, false);
    for (unsigned threads = 1; threads <= 2; threads++) {
        put_random("in/zz_last", threads == 1 ? 6000 : 600000, 2, false);
        struct meddler m = {.touch = true};
        struct stoq_publish_ask ask = ask_for(at("in"));
        ask.cancelled = meddle;
        ask.user = &m;
        ask.threads = threads;
        struct stoq_publish_report r;
        struct stoq_error err;
        assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_BUSY);
        assert_non_null(strstr(err.text, "in/zz_last: changed while it was read"));
    }
    int n = 0;
    assert_int_equal(stoq_local_each(store, count_package, &n, NULL, NULL), STOQ_OK);
    assert_int_equal(n, 0);
}

static void a_publish_can_be_stopped(void **state)
{
    (void)state;
    put_random("in/first", 5000000, 1, false);
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
    const struct stoq_verify_ask verify = {.id = r.id, .cancelled = meddle, .user = &m};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_CANCELLED);
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
    put_random("in/large", 20000000, 1, false);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit small = {.rlim_cur = 6000000, .rlim_max = old.rlim_max};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r;
    for (ask.threads = 1; ask.threads < 4; ask.threads++) {
        struct stoq_error err = {0};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        enum stoq_status st = stoq_publish(store, &ask, &r, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(st, STOQ_FULL);
        assert_true(err.text[0] != 0);
        int n = 0;
        assert_int_equal(stoq_local_each(store, count_package, &n, NULL, NULL), STOQ_OK);
        assert_int_equal(n, 0);
    }
    r = publish(&ask);
    const struct stoq_verify_ask verify = {.id = r.id};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
    assert_true(v.overall.valid);
    const struct rlimit tiny = {.rlim_cur = 1000000, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    struct stoq_error err = {0};
    enum stoq_status st = extract_to(&r.id, at("out"), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, STOQ_FULL);
    assert_non_null(strstr(err.text, "large: cannot be written"));
    assert_int_equal(access(at("out"), F_OK), -1);
}

static void what_cannot_be_published_is_named(void **state)
{
    (void)state;
    make_dir("in/d");
    assert_int_equal(mkfifoat(scratch_fd, "in/d/pipe", 0644), 0);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report r;
    struct stoq_error err;
    assert_int_equal(stoq_publish(store, &ask, &r, &err), STOQ_IO);
    assert_non_null(strstr(err.text, "in/d/pipe: is neither"));
    assert_int_equal(unlinkat(scratch_fd, "in/d/pipe", 0), 0);
}

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
    struct stoq_error err;
    assert_int_equal(extract_to(&id, at(out_name), &err), STOQ_MALFORMED);
    struct stoq_buf got;
    stoq_buf_init(&got, 100);
    assert_int_equal(stoq_cat(store, &id, stoq_span_str("zzz"), NULL, collect, &got, &err),
                     STOQ_MALFORMED);
    const struct stoq_verify_ask verify = {.id = id};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
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
    assert_int_equal(extract_to(&id, at("out"), NULL), STOQ_MALFORMED);
    /* A good table that says less, and more, than the contents hold. */
    for (int more = 0; more < 2; more++) {
        struct stoq_buf table;
        stoq_buf_init(&table, 1000);
        put_entry(&table, "a", 0, more == 0 ? 3 : 5, NULL);
        id = forge(stoq_buf_span(&table), 1, stoq_span_str("four"));
        assert_int_equal(extract_to(&id, at("out"), NULL), STOQ_MALFORMED);
        stoq_buf_release(&table);
    }
}

static void damage_is_found_and_told(void **state)
{
    (void)state;
    put_random("in/a", 2000000, 1, false);
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
    const struct stoq_verify_ask verify = {.id = r.id};
    struct stoq_verify_report v;
    struct stoq_error err;
    assert_int_equal(extract_to(&r.id, at("out"), &err), STOQ_PROOF);
    assert_string_equal(err.code, "IntegrityCheckFailed");
    assert_non_null(strstr(err.text, "chunk 3 of shard 0"));
    assert_int_equal(access(at("out"), F_OK), -1);
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
    assert_false(v.merkle.valid || v.overall.valid);
    assert_int_equal(v.chunks_bad + v.chunks_missing, 1);
    assert_int_equal(v.first_fault, 3);
    assert_int_equal(v.chunks_good, v.chunks - 1);
    /* Publishing it again mends it. */
    assert_int_equal(stoq_store_delete(store, STOQ_RECORD_CHUNK, key, NULL) == STOQ_OK ||
                         !stoq_store_has(store, STOQ_RECORD_CHUNK, key),
                     1);
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
    assert_int_equal(v.chunks_missing, 1);
    assert_int_equal(extract_to(&r.id, at("out"), &err), STOQ_NOTFOUND);
    assert_string_equal(err.code, "ChunkNotFound");
    (void)publish(&ask);
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
    assert_true(v.overall.valid);
}

static void removal_spares_what_others_use(void **state)
{
    (void)state;
    put_random("in/shared", 3000000, 1, false);
    struct stoq_publish_ask ask = ask_for(at("in"));
    struct stoq_publish_report a = publish(&ask);
    put_random("in/own", 1000000, 2, false);
    struct stoq_publish_report b = publish(&ask);
    ask.version = "2";
    struct stoq_publish_report twin = publish(&ask);
    struct stoq_local_removed gone;
    assert_int_equal(stoq_local_remove(store, &b.id, &gone, NULL), STOQ_OK);
    assert_int_equal(gone.chunks, 0); /* the twin uses all of them */
    assert_int_equal(stoq_local_remove(store, &twin.id, &gone, NULL), STOQ_OK);
    assert_true(gone.chunks > 3 && gone.bytes >= 1000000 && gone.bytes < 1100000);
    assert_true(gone.chunks_shared > 10);
    const struct stoq_verify_ask verify = {.id = a.id};
    struct stoq_verify_report v;
    assert_int_equal(stoq_verify(store, &verify, &v, NULL), STOQ_OK);
    assert_true(v.overall.valid);
    int n = 0;
    assert_int_equal(stoq_local_each(store, count_package, &n, NULL, NULL), STOQ_OK);
    assert_int_equal(n, 1);
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

static void cat_range(const struct stoq_package_id *id, const char *path, const char *text,
                      struct stoq_buf *got)
{
    struct stoq_byte_range range;
    stoq_buf_clear(got);
    assert_int_equal(stoq_byte_range_parse(&range, text, NULL), STOQ_OK);
    assert_int_equal(stoq_cat(store, id, stoq_span_str(path), &range, collect, got, NULL), STOQ_OK);
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
    struct stoq_error err;
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
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), &range, collect, &got, &err),
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
    assert_int_equal(stoq_cat(store, &r.id, stoq_span_str("large"), NULL, collect, &got, &err),
                     STOQ_NOTFOUND);
    stoq_buf_release(&got);
    stoq_buf_release(&all);
    stoq_buf_release(&list);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(what_is_published_comes_out_again),
        SCRATCH(the_id_depends_on_nothing_else),
        SCRATCH(ranges_of_a_file),
        SCRATCH(an_empty_directory_and_a_single_file),
        SCRATCH(texts_travel_in_the_manifest),
        SCRATCH(signatures_are_told),
        SCRATCH(a_false_signature_is_not_good),
        SCRATCH(one_file_can_be_read),
        SCRATCH(an_output_that_exists_is_left_alone),
        SCRATCH(a_changed_file_ends_the_publish),
        SCRATCH(a_publish_can_be_stopped),
        SCRATCH(a_full_disk_ends_the_publish),
        SCRATCH(what_cannot_be_published_is_named),
        SCRATCH(hostile_tables_harm_nobody),
        SCRATCH(rubbish_as_a_table_is_refused),
        SCRATCH(damage_is_found_and_told),
        SCRATCH(removal_spares_what_others_use),
        SCRATCH(a_cursor_reads_from_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
