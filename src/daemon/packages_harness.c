#include "daemon/packages_harness.h"

#include <fcntl.h>

#include "base/prng.h"
#include "chunk/tar_scan.h"
#include "daemon/extract.h"
#include "daemon/local.h"
#include "os/file.h"
#include "os/tree_read.h"

char scratch[64];
int scratch_fd;
struct stoq_store_config store_cfg;
struct stoq_store *store;
struct stoq_error err;

int scratch_setup(void **state)
{
    static char dir[128];
    (void)state;
    (void)snprintf(scratch, sizeof scratch, "/tmp/stoq-test-XXXXXX");
    assert_non_null(mkdtemp(scratch));
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch_fd >= 0);
    assert_int_equal(stoq_file_join(dir, sizeof dir, scratch, "store"), STOQ_OK);
    store_cfg = (struct stoq_store_config){
        .dir = dir, .create = true, .segment_bytes = 16 * STOQ_MIB, .map_bytes = STOQ_GIB};
    err = (struct stoq_error){0};
    make_dir("in");
    return 0;
}

int scratch_setup_with_store(void **state)
{
    int rc = scratch_setup(state);
    open_store();
    return rc;
}

int scratch_teardown(void **state)
{
    (void)state;
    if (store != NULL) {
        close_store();
    }
    (void)close(scratch_fd);
    return stoq_tree_remove(AT_FDCWD, scratch, NULL) == STOQ_OK ? 0 : -1;
}

const char *at(const char *name)
{
    static char path[8][512];
    static int next;
    char *out = path[next++ % 8];
    assert_int_equal(stoq_file_join(out, sizeof path[0], scratch, name), STOQ_OK);
    return out;
}

void open_store(void)
{
    assert_int_equal(stoq_store_open(&store, &store_cfg, &err), STOQ_OK);
}

void close_store(void)
{
    struct stoq_store *s = store;
    store = NULL;
    assert_int_equal(stoq_store_close(s, &err), STOQ_OK);
}

struct stoq_store *open_store_at(const char *name)
{
    struct stoq_store_config cfg = store_cfg;
    struct stoq_store *s;
    cfg.dir = at(name);
    assert_int_equal(stoq_store_open(&s, &cfg, &err), STOQ_OK);
    return s;
}

uint8_t *draw_bytes(size_t n, uint64_t seed)
{
    struct stoq_prng r = stoq_prng(seed);
    uint8_t *p = malloc(n + 8);
    assert_non_null(p);
    for (size_t i = 0; i < n; i += 8) {
        stoq_le64_put(p + i, stoq_prng_next(&r));
    }
    return p;
}

void add_random(struct stoq_buf *b, size_t n, uint64_t seed)
{
    uint8_t *p = draw_bytes(n, seed);
    assert_int_equal(stoq_buf_add(b, stoq_span(p, n)), STOQ_OK);
    free(p);
}

void add_member(struct stoq_buf *b, size_t n, uint64_t seed)
{
    uint8_t h[STOQ_TAR_BLOCK_BYTES] = {0};
    static const uint8_t zeros[STOQ_TAR_BLOCK_BYTES];
    (void)snprintf((char *)h, 100, "member-%llu", (unsigned long long)seed);
    (void)snprintf((char *)h + 124, 12, "%011zo", n);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++) {
        sum += h[i];
    }
    (void)snprintf((char *)h + 148, 8, "%06o", sum);
    assert_int_equal(stoq_buf_add(b, stoq_span(h, sizeof h)), STOQ_OK);
    add_random(b, n, seed);
    assert_int_equal(stoq_buf_add(b, stoq_span(zeros, (512 - n % 512) % 512)), STOQ_OK);
}

void make_dir(const char *name)
{
    assert_int_equal(mkdirat(scratch_fd, name, 0755), 0);
}

void put_bytes(const char *name, const void *p, size_t n, mode_t mode)
{
    int fd = openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(stoq_file_write_all(fd, stoq_span(p, n)), STOQ_OK);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

void put_file(const char *name, struct stoq_span bytes)
{
    put_bytes(name, bytes.p, bytes.n, 0644);
}

void put_random(const char *name, size_t n, uint64_t seed)
{
    uint8_t *p = draw_bytes(n, seed);
    put_bytes(name, p, n, 0644);
    free(p);
}

void put_words(const char *name, size_t n, uint64_t seed)
{
    uint8_t *p = draw_bytes(n, seed);
    for (size_t i = 0; i < n; i++) {
        p[i] &= 3;
    }
    put_bytes(name, p, n, 0644);
    free(p);
}

void make_tree(void)
{
    make_dir("in/empty");
    make_dir("in/bin");
    make_dir("in/bin-x");
    make_dir("in/many");
    put_bytes("in/bin/run", "#!/bin/sh\n", 10, 0755);
    put_bytes("in/bin-x/nothing", "", 0, 0640);
    put_bytes("in/.hidden", "h", 1, 0600);
    put_random("in/large", 3000001, 1);
    put_words("in/text", 700000, 2);
    put_random("in/threshold", 16384, 3);
    put_random("in/below", 16383, 4);
    char name[64];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "in/many/%03d", i);
        (i % 2 == 0 ? put_words : put_random)(name, (size_t)i * 7, 100 + (uint64_t)i);
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

static void compare_contents(struct stoq_tree *a, struct stoq_tree *b, size_t i, uint64_t size)
{
    int fa;
    int fb;
    assert_int_equal(stoq_tree_open(a, i, &fa, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_open(b, i, &fb, NULL), STOQ_OK);
    uint8_t *pa = malloc(size + 1);
    uint8_t *pb = malloc(size + 1);
    assert_true(pa != NULL && pb != NULL);
    assert_int_equal(stoq_tree_read(a, i, fa, pa, size, 0, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_read(b, i, fb, pb, size, 0, NULL), STOQ_OK);
    assert_memory_equal(pa, pb, size);
    free(pa);
    free(pb);
    assert_int_equal(stoq_tree_close(a, i, fa, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_close(b, i, fb, NULL), STOQ_OK);
}

void compare_trees(const char *one, const char *other)
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

struct stoq_publish_ask ask_for(const char *path)
{
    return (struct stoq_publish_ask){.path = path, .name = "hello", .version = "1.0"};
}

struct stoq_publish_report publish(const struct stoq_publish_ask *ask)
{
    struct stoq_publish_report r;
    err.text[0] = '\0';
    enum stoq_status st = stoq_publish(store, ask, &r, &err);
    if (st != STOQ_OK) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(st, STOQ_OK);
    return r;
}

enum stoq_status extract_to(const struct stoq_package_id *id, const char *out)
{
    const struct stoq_extract_ask ask = {.id = *id, .out = out};
    struct stoq_extract_report r;
    return stoq_extract(store, &ask, &r, &err);
}

struct stoq_verify_report verify(const struct stoq_package_id *id)
{
    const struct stoq_verify_ask ask = {.id = *id};
    struct stoq_verify_report r;
    assert_int_equal(stoq_verify(store, &ask, &r, &err), STOQ_OK);
    return r;
}

bool same_id(const struct stoq_package_id *a, const struct stoq_package_id *b)
{
    return stoq_hash_eq(&a->h, &b->h);
}

struct stoq_key *test_key(uint8_t seed)
{
    uint8_t bytes[STOQ_KEY_SEED_BYTES];
    struct stoq_key *key;
    memset(bytes, seed, sizeof bytes);
    assert_int_equal(stoq_key_from_seed(&key, bytes), STOQ_OK);
    return key;
}

struct stoq_store_stats stats_now(void)
{
    struct stoq_store_stats stats;
    assert_int_equal(stoq_store_sync(store, &err), STOQ_OK);
    assert_int_equal(stoq_store_stats(store, &stats, &err), STOQ_OK);
    return stats;
}

uint64_t records_of(enum stoq_record_type type)
{
    return stats_now().type[type].records;
}

static bool count_package(void *user, const struct stoq_local_package *p)
{
    assert_true(p->complete && p->added_at > 1600000000);
    ++*(int *)user;
    return true;
}

int packages_listed(void)
{
    int n = 0;
    assert_int_equal(stoq_local_each(store, count_package, &n, NULL, &err), STOQ_OK);
    return n;
}

enum stoq_status keep_bytes(void *user, struct stoq_span bytes)
{
    return stoq_buf_add(user, bytes);
}

enum stoq_status keep_written(void *user, struct stoq_span bytes, struct stoq_error *why)
{
    (void)why;
    return stoq_buf_add(user, bytes);
}

bool stop_at_once(void *user)
{
    (void)user;
    return true;
}
