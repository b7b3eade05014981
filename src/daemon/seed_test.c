/* Seeds: what they have is found by its hash, and files that change meanwhile harm nobody. */
#include "daemon/packages_harness.h"

#include <fcntl.h>

#include "daemon/seed.h"
#include "daemon/tree_cut.h"
#include "hash/hash.h"

#define CHUNKS_MAX 1024

/* Files of all sizes, two of them equal, a link and an empty directory. */
static int setup(void **state)
{
    int rc = scratch_setup(state);
    make_dir("in/empty");
    assert_int_equal(symlink("a", at("in/link")), 0);
    put_random("in/a", 700000, 1);
    put_random("in/b", 0, 2);
    for (uint64_t i = 0; i < 100; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "in/small-%02llu", (unsigned long long)i);
        put_random(name, (size_t)i * 37, 100 + i);
    }
    put_random("in/x", 300000, 3);
    put_random("in/y", 300000, 3);
    return rc;
}

/* What a package of in/ would hold. */
static size_t wanted(unsigned code, struct stoq_merkle_chunk out[CHUNKS_MAX])
{
    struct stoq_tree *tree;
    struct stoq_tree_cut *cut;
    struct stoq_span chunk;
    size_t n = 0;
    assert_int_equal(stoq_tree_list(&tree, at("in"), NULL, NULL, NULL), STOQ_OK);
    const struct stoq_tree_cut_ask ask = {.tree = tree, .profile = stoq_chunk_profile(code)};
    assert_int_equal(stoq_tree_cut_open(&cut, &ask, NULL), STOQ_OK);
    while (stoq_tree_cut_next(cut, &chunk, NULL) == STOQ_OK) {
        assert_true(n < CHUNKS_MAX);
        out[n++] = (struct stoq_merkle_chunk){stoq_hash_blake3(chunk), (uint32_t)chunk.n};
    }
    stoq_tree_cut_close(cut);
    stoq_tree_free(tree);
    return n;
}

static struct stoq_seed *open_seed(unsigned profile)
{
    const struct stoq_seed_ask ask = {.path = at("in"), .profile = profile};
    struct stoq_seed *seed;
    assert_int_equal(stoq_seed_open(&seed, &ask, NULL), STOQ_OK);
    return seed;
}

/* How many of the chunks the seed gives, each checked. */
static size_t given(struct stoq_seed *seed, const struct stoq_merkle_chunk *chunk, size_t count)
{
    struct stoq_buf bytes;
    size_t n = 0;
    stoq_buf_init(&bytes, STOQ_MERKLE_CHUNK_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        enum stoq_status st = stoq_seed_read(seed, &chunk[i], &bytes);
        assert_true(st == STOQ_OK || st == STOQ_NOTFOUND);
        struct stoq_hash hash = stoq_hash_blake3(stoq_buf_span(&bytes));
        assert_true(st != STOQ_OK ||
                    (bytes.n == chunk[i].bytes && stoq_hash_eq(&hash, &chunk[i].hash)));
        n += st == STOQ_OK;
    }
    stoq_buf_release(&bytes);
    return n;
}

static void every_chunk_is_found(void **state)
{
    (void)state;
    static struct stoq_merkle_chunk one[CHUNKS_MAX];
    static struct stoq_merkle_chunk two[CHUNKS_MAX];
    size_t n1 = wanted(STOQ_PROFILE_1, one);
    size_t n2 = wanted(STOQ_PROFILE_2, two);
    struct stoq_seed *seed = open_seed(0);
    assert_int_equal(given(seed, one, n1), n1);
    assert_int_equal(given(seed, two, n2), n2);
    stoq_seed_drop(seed);
    seed = open_seed(STOQ_PROFILE_2);
    assert_int_equal(given(seed, two, n2), n2);
    assert_true(given(seed, one, n1) < n1);
    /* A chunk of that hash and another length is none that it has. */
    two[0].bytes++;
    assert_int_equal(given(seed, two, 1), 0);
    two[0].bytes = STOQ_MERKLE_CHUNK_BYTES_MAX;
    assert_int_equal(given(seed, two, 1), 0);
    stoq_seed_drop(seed);
}

static void files_may_change(void **state)
{
    (void)state;
    static struct stoq_merkle_chunk chunk[CHUNKS_MAX];
    size_t n = wanted(STOQ_PROFILE_2, chunk);
    struct stoq_seed *seed = open_seed(STOQ_PROFILE_2);
    /* Of two equal files one is enough. */
    put_random("in/x", 300000, 4);
    assert_int_equal(given(seed, chunk, n), n);
    assert_int_equal(unlink(at("in/y")), 0);
    size_t left = given(seed, chunk, n);
    assert_true(left < n && left > 0);
    assert_int_equal(truncate(at("in/a"), 100000), 0);
    assert_true(given(seed, chunk, n) < left);
    assert_int_equal(truncate(at("in/small-99"), 0), 0);
    (void)given(seed, chunk, n);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, at("in"), NULL), STOQ_OK);
    assert_true(given(seed, chunk, n) <= 2); /* the table, which is kept */
    stoq_seed_hold(seed);
    stoq_seed_drop(seed);
    assert_true(given(seed, chunk, n) >= 1);
    stoq_seed_drop(seed);
    stoq_seed_drop(NULL);
}

static bool always(void *user)
{
    (*(int *)user)++;
    return true;
}

static void what_is_no_seed_is_named(void **state)
{
    (void)state;
    struct stoq_seed *seed = NULL;
    int asked = 0;
    struct stoq_seed_ask ask = {.path = at("missing")};
    assert_int_equal(stoq_seed_open(&seed, &ask, &err), STOQ_NOTFOUND);
    assert_true(strncmp(err.text, "the seed: ", 10) == 0);
    ask = (struct stoq_seed_ask){.path = at("in"), .cancelled = always, .user = &asked};
    assert_int_equal(stoq_seed_open(&seed, &ask, &err), STOQ_CANCELLED);
    assert_true(asked > 0);
    assert_null(seed);
    /* An empty directory has nothing, and that is fine. */
    static const struct stoq_merkle_chunk any = {.bytes = 5};
    ask = (struct stoq_seed_ask){.path = at("in/empty")};
    assert_int_equal(stoq_seed_open(&seed, &ask, &err), STOQ_OK);
    assert_int_equal(given(seed, &any, 1), 0);
    stoq_seed_drop(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_chunk_is_found, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(files_may_change, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_seed_is_named, setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
