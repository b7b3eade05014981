/*
 * What a small change to a large file costs: two bytes overwritten somewhere in 100 MB, for a hundred
 * fixed seeds, by profile. The file is cut once; after an overwrite it is cut anew from the chunk hit to
 * where the cuts meet the old ones again, and what the shards become follows from all chunks' hashes.
 */
#include "chunk/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "hash/hash.h"
#include "merkle/merkle.h"

#define FILE_BYTES ((size_t)100 * 1000 * 1000)
#define CHUNKS_MAX 16384
#define SHARDS_MAX 512
#define SEEDS 100

struct cut_file {
    uint8_t *bytes;
    struct stoq_chunker chunker;
    size_t count;
    size_t at[CHUNKS_MAX + 1]; /* where chunks begin; then the end */
    struct stoq_merkle_chunk chunk[CHUNKS_MAX];
    size_t shard_count;
    struct stoq_hash shard[SHARDS_MAX];
};

static struct stoq_merkle_chunk chunk_at(const struct cut_file *f, size_t at)
{
    size_t n = stoq_chunker_cut(&f->chunker, stoq_span(f->bytes + at, FILE_BYTES - at), true);
    return (struct stoq_merkle_chunk){stoq_hash_blake3(stoq_span(f->bytes + at, n)), (uint32_t)n};
}

/* The shards of a list of chunks. Returns how many. */
static size_t shards_of(const struct stoq_merkle_chunk *chunk, size_t count, struct stoq_hash *out)
{
    const struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_merkle *m;
    struct stoq_merkle_closed closed;
    struct stoq_merkle_root root;
    bool has_closed;
    size_t n = 0;
    assert_int_equal(stoq_merkle_new(&m, &cfg), STOQ_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(stoq_merkle_add(m, &chunk[i], &closed, &has_closed), STOQ_OK);
        if (has_closed) {
            assert_true(n < SHARDS_MAX);
            out[n++] = closed.shard.root;
        }
    }
    stoq_merkle_finish(m, &closed, &has_closed, &root);
    if (has_closed) {
        assert_true(n < SHARDS_MAX);
        out[n++] = closed.shard.root;
    }
    stoq_merkle_free(m);
    return n;
}

static struct cut_file *cut_whole(const struct stoq_chunk_profile *profile)
{
    struct cut_file *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->bytes = malloc(FILE_BYTES);
    assert_non_null(f->bytes);
    struct stoq_prng r = stoq_prng(4);
    for (size_t i = 0; i < FILE_BYTES; i += 8) {
        stoq_le64_put(f->bytes + i, stoq_prng_next(&r));
    }
    assert_int_equal(stoq_chunker_init(&f->chunker, &profile->params), STOQ_OK);
    for (size_t at = 0; at < FILE_BYTES; at += f->chunk[f->count++].bytes) {
        assert_true(f->count < CHUNKS_MAX);
        f->at[f->count] = at;
        f->chunk[f->count] = chunk_at(f, at);
    }
    f->at[f->count] = FILE_BYTES;
    f->shard_count = shards_of(f->chunk, f->count, f->shard);
    return f;
}

static bool has_shard(const struct cut_file *f, const struct stoq_hash *root)
{
    for (size_t i = 0; i < f->shard_count; i++) {
        if (stoq_hash_eq(&f->shard[i], root)) {
            return true;
        }
    }
    return false;
}

/* New chunks and shards when the two bytes at `place` are others. */
static void overwrite(struct cut_file *f, size_t place, size_t *chunks, size_t *shards)
{
    static struct stoq_merkle_chunk after[CHUNKS_MAX + 16];
    static struct stoq_hash roots[SHARDS_MAX];
    size_t hit = 0;
    while (f->at[hit + 1] <= place) {
        hit++;
    }
    f->bytes[place] ^= 0x5a;
    f->bytes[place + 1] ^= 0xa5;
    memcpy(after, f->chunk, hit * sizeof after[0]);
    size_t n = hit;
    size_t old = hit;
    size_t at = f->at[hit];
    do {
        assert_true(n < CHUNKS_MAX);
        after[n] = chunk_at(f, at);
        at += after[n++].bytes;
        while (f->at[old] < at) {
            old++;
        }
    } while (f->at[old] != at || at <= place + 1);
    *chunks = n - hit;
    memcpy(after + n, f->chunk + old, (f->count - old) * sizeof after[0]);
    size_t count = shards_of(after, n + f->count - old, roots);
    *shards = 0;
    for (size_t i = 0; i < count; i++) {
        *shards += !has_shard(f, &roots[i]);
    }
    f->bytes[place] ^= 0x5a;
    f->bytes[place + 1] ^= 0xa5;
}

static int compare(const void *a, const void *b)
{
    const size_t *x = a;
    const size_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void check_profile(unsigned code)
{
    struct cut_file *f = cut_whole(stoq_chunk_profile(code));
    size_t chunks[SEEDS];
    size_t shards[SEEDS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct stoq_prng r = stoq_prng(seed);
        overwrite(f, (size_t)(stoq_prng_next(&r) % (FILE_BYTES - 1)), &chunks[seed], &shards[seed]);
    }
    qsort(chunks, SEEDS, sizeof chunks[0], compare);
    qsort(shards, SEEDS, sizeof shards[0], compare);
    print_message("# profile %u: chunks median %zu, 90th %zu, worst %zu; shards median %zu, "
                  "worst %zu; of %zu and %zu\n",
                  code, chunks[SEEDS / 2], chunks[SEEDS * 9 / 10], chunks[SEEDS - 1],
                  shards[SEEDS / 2], shards[SEEDS - 1], f->count, f->shard_count);
    assert_true(chunks[SEEDS / 2] <= 1);
    assert_true(chunks[SEEDS - 1] <= 3);
    assert_true(shards[SEEDS / 2] == 1);
    free(f->bytes);
    free(f);
}

static void two_bytes_cost_a_chunk_and_a_shard(void **state)
{
    (void)state;
    check_profile(STOQ_PROFILE_1);
    check_profile(STOQ_PROFILE_2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_bytes_cost_a_chunk_and_a_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
