#include "merkle/run.h"

#include "merkle/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

/* The chunk lists of all shards that the run touches. */
static struct stoq_span lists_of(const struct model *m, size_t first, size_t count)
{
    size_t last = model_shard_of(m, first + count - 1);
    size_t begin = m->shard_first[model_shard_of(m, first)];
    size_t end = m->shard_first[last] + (size_t)m->shard[last].chunks;
    return stoq_span(m->chunk_lists.p + begin * 36, (end - begin) * 36);
}

static enum stoq_status try_to_prove(const struct model *m, size_t first, size_t count,
                                     struct stoq_merkle_run *out)
{
    struct stoq_merkle_root root = model_root(m);
    return stoq_merkle_prove_run(&root, model_shard_list(m), lists_of(m, first, count), first,
                                 count, out);
}

static struct stoq_merkle_run prove(const struct model *m, size_t first, size_t count)
{
    struct stoq_merkle_run run;
    assert_int_equal(try_to_prove(m, first, count, &run), STOQ_OK);
    return run;
}

static enum stoq_status verify(const struct model *m, const struct stoq_merkle_run *run)
{
    return stoq_merkle_verify_run(&m->root, MAX, run->first, run->count, run, NULL);
}

static uint64_t bytes_of(const struct model *m, size_t first, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = first; i < first + count; i++) {
        bytes += m->chunk[i].bytes;
    }
    return bytes;
}

/* Through bytes and back: the chunks, and the place, are the model's. */
static void check_proof(const struct model *m, const struct stoq_merkle_run *made)
{
    struct stoq_merkle_run read;
    struct stoq_merkle_run_place place;
    enum stoq_merkle_proof_kind kind;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_run_encode(made, &bytes), STOQ_OK);
    assert_true(stoq_merkle_proof_kind_of(stoq_buf_span(&bytes), &kind));
    assert_int_equal(kind, made->kind);
    assert_int_equal(stoq_merkle_run_decode(stoq_buf_span(&bytes), &read), STOQ_OK);
    assert_int_equal(stoq_merkle_verify_run(&m->root, MAX, made->first, made->count, &read, &place),
                     STOQ_OK);
    assert_true(place.offset == bytes_of(m, 0, (size_t)made->first));
    assert_true(place.bytes == bytes_of(m, (size_t)made->first, (size_t)made->count));
    for (size_t i = 0; i < made->count; i++) {
        struct stoq_merkle_chunk got = stoq_merkle_run_chunk(&read, i);
        const struct stoq_merkle_chunk *want = &m->chunk[made->first + i];
        assert_true(stoq_hash_eq(&got.hash, &want->hash) && got.bytes == want->bytes);
    }
    stoq_buf_release(&bytes);
}

static void every_run_verifies_with_its_place(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 5, 31, 33, 65, 100};
    for (size_t i = 0; i < STOQ_COUNT(counts); i++) {
        struct model m;
        model_init(&m, counts[i], MODEL_ALWAYS, 40 + i);
        for (size_t first = 0; first < counts[i]; first++) {
            for (size_t count = 1; count <= counts[i] - first; count++) {
                struct stoq_merkle_run run = prove(&m, first, count);
                check_proof(&m, &run);
            }
        }
        model_release(&m);
    }
}

/* Many shards, and shards of 512: runs drawn at random, and the ends. */
static void long_runs_verify(void **state)
{
    (void)state;
    for (int kind = MODEL_RANDOM; kind <= MODEL_ALWAYS; kind++) {
        struct model m;
        struct stoq_prng r = stoq_prng(9);
        model_init(&m, 4097, (enum model_kind)kind, 50);
        for (size_t i = 0; i < 60; i++) {
            size_t first = i % 3 == 0 ? 0 : (size_t)stoq_prng_below(&r, 4097);
            size_t rest = 4097 - first;
            size_t count = i % 4 == 0 ? rest : 1 + (size_t)stoq_prng_below(&r, rest);
            struct stoq_merkle_run run = prove(&m, first, count);
            check_proof(&m, &run);
        }
        model_release(&m);
    }
}

static void every_shard_verifies(void **state)
{
    (void)state;
    struct model m;
    struct stoq_merkle_run run;
    model_init(&m, 1000, MODEL_RANDOM, 60);
    assert_true(m.shard_count > 3);
    for (size_t k = 0; k < m.shard_count; k++) {
        size_t first = m.shard_first[k];
        size_t count = (size_t)m.shard[k].chunks;
        run = prove(&m, first, count);
        assert_int_equal(run.kind, STOQ_MERKLE_PROOF_SHARD);
        assert_int_equal(run.right_count, 0);
        check_proof(&m, &run);
        /* It cannot be told as a run, nor a chunk less or one more as a shard. */
        run.kind = STOQ_MERKLE_PROOF_RUN;
        assert_int_equal(verify(&m, &run), STOQ_MALFORMED);
        for (size_t way = 0; way < 3; way++) {
            size_t from = first + (way == 0 ? 1 : 0);
            size_t n = way == 2 ? count + 1 : count - 1;
            if (from + n <= 1000) {
                run = prove(&m, from, n);
                assert_int_equal(run.kind, STOQ_MERKLE_PROOF_RUN);
                run.kind = STOQ_MERKLE_PROOF_SHARD;
                assert_int_equal(verify(&m, &run), STOQ_MALFORMED);
            }
        }
    }
    model_release(&m);
}

static void no_run_past_the_last(void **state)
{
    (void)state;
    struct model m;
    struct stoq_merkle_run run;
    model_init(&m, 100, MODEL_ALWAYS, 1);
    struct stoq_merkle_root root = model_root(&m);
    struct stoq_span shards = model_shard_list(&m);
    struct stoq_span lists = lists_of(&m, 40, 30);
    static const uint64_t bad[][2] = {{0, 0},  {100, 1},        {0, 101},       {99, 2},
                                      {40, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_int_equal(stoq_merkle_prove_run(&root, shards, lists, bad[i][0], bad[i][1], &run),
                         STOQ_RANGE);
    }
    /* The lists of other shards, and lists cut short. */
    assert_int_equal(stoq_merkle_prove_run(&root, shards, lists, 5, 3, &run), STOQ_MALFORMED);
    lists.n -= 36;
    assert_int_equal(stoq_merkle_prove_run(&root, shards, lists, 40, 30, &run), STOQ_MALFORMED);
    shards.n -= 48;
    assert_int_equal(stoq_merkle_prove_run(&root, shards, lists, 40, 30, &run), STOQ_MALFORMED);
    model_release(&m);
}

static void a_proof_has_a_cap(void **state)
{
    (void)state;
    struct model m;
    struct stoq_merkle_run run;
    model_init(&m, STOQ_MERKLE_RUN_CHUNKS_MAX + 40, MODEL_ALWAYS, 2);
    assert_int_equal(try_to_prove(&m, 33, STOQ_MERKLE_RUN_CHUNKS_MAX + 1, &run), STOQ_FULL);
    run = prove(&m, 33, STOQ_MERKLE_RUN_CHUNKS_MAX);
    check_proof(&m, &run);
    model_release(&m);
}

static void another_run_or_root_fails(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 3);
    for (size_t first = 0; first < 200; first += 17) {
        for (size_t count = 1; count <= 200 - first; count += 23) {
            struct stoq_merkle_run run = prove(&m, first, count);
            struct stoq_merkle_run_place place = {7, 7};
            static const uint64_t off[][2] = {{1, 0},  {UINT64_MAX, 0}, {0, 1},
                                              {32, 0}, {0, UINT64_MAX}, {1, 1}};
            for (size_t i = 0; i < STOQ_COUNT(off); i++) {
                assert_int_equal(stoq_merkle_verify_run(&m.root, MAX, first + off[i][0],
                                                        count + off[i][1], &run, &place),
                                 STOQ_PROOF);
                /* The proof that says so itself. (One that begins later and ends where it did is
                 * true: the entries before a run are there.) */
                run.first += off[i][0];
                run.count += off[i][1];
                assert_int_not_equal(verify(&m, &run), STOQ_OK);
                run.first -= off[i][0];
                run.count -= off[i][1];
            }
            struct stoq_hash shard_root = m.shard[model_shard_of(&m, first)].root;
            assert_int_equal(stoq_merkle_verify_run(&shard_root, MAX, first, count, &run, &place),
                             STOQ_PROOF);
            assert_true(place.offset == 7 && place.bytes == 7);
            assert_int_equal(verify(&m, &run), STOQ_OK);
        }
    }
    model_release(&m);
}

static void a_proof_cannot_claim_another_place(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 4);
    struct stoq_merkle_run good = prove(&m, 70, 50);
    uint64_t *const fields[] = {&good.shards, &good.chunks, &good.bytes,
                                &good.first,  &good.count,  &good.first_shard};
    for (size_t f = 0; f < STOQ_COUNT(fields); f++) {
        uint64_t was = *fields[f];
        static const uint64_t deltas[] = {1, UINT64_MAX, 32, (uint64_t)1 << 47, (uint64_t)1 << 63};
        for (size_t d = 0; d < STOQ_COUNT(deltas); d++) {
            *fields[f] = was + deltas[d];
            assert_int_not_equal(verify(&m, &good), STOQ_OK);
        }
        *fields[f] = was;
    }
    /* Bytes shifted between two siblings, and between a sibling and a shard: the sums hold. */
    assert_true(good.above_count >= 2);
    good.above[0].bytes += 1;
    good.above[1].bytes -= 1;
    assert_int_equal(verify(&m, &good), STOQ_PROOF);
    good.above[0].bytes -= 1;
    good.above[1].bytes += 1;
    assert_int_equal(verify(&m, &good), STOQ_OK);
    model_release(&m);
}

static void check_every_bit(const struct model *m, const struct stoq_merkle_run *run)
{
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_run_encode(run, &bytes), STOQ_OK);
    /* Every bit of the numbers, every fifth of the lists. */
    for (size_t bit = 0; bit < bytes.n * 8; bit += bit < 800 ? 1 : 5) {
        bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct stoq_merkle_run read;
        if (stoq_merkle_run_decode(stoq_buf_span(&bytes), &read) == STOQ_OK) {
            assert_int_not_equal(
                stoq_merkle_verify_run(&m->root, MAX, run->first, run->count, &read, NULL),
                STOQ_OK);
            /* Not at the place it claims itself either. */
            assert_int_not_equal(verify(m, &read), STOQ_OK);
        }
        bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    stoq_buf_release(&bytes);
}

static void any_flipped_bit_fails(void **state)
{
    (void)state;
    static const struct {
        size_t chunks;
        size_t first;
        size_t count;
        enum model_kind kind;
    } some[] = {{1, 0, 1, MODEL_RANDOM},     {2, 0, 2, MODEL_RANDOM},
                {40, 5, 3, MODEL_NEVER},     {161, 60, 20, MODEL_ALWAYS},
                {161, 160, 1, MODEL_ALWAYS}, {65, 0, 32, MODEL_ALWAYS}};
    for (size_t i = 0; i < STOQ_COUNT(some); i++) {
        struct model m;
        model_init(&m, some[i].chunks, some[i].kind, 5);
        struct stoq_merkle_run run = prove(&m, some[i].first, some[i].count);
        check_every_bit(&m, &run);
        model_release(&m);
    }
}

static void lengths_are_exact(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 7);
    struct stoq_merkle_run good = prove(&m, 45, 60);
    assert_true(good.right_count > 1 && good.above_count > 1);
    for (int way = 0; way < 12; way++) {
        struct stoq_merkle_run p = good;
        p.right_count += way == 0 ? 1 : 0;
        p.right_count -= way == 1 ? 1 : 0;
        p.above_count += way == 2 ? 1 : 0;
        p.above_count -= way == 3 ? 1 : 0;
        p.entries.n += way == 4 ? 36 : 0;
        p.entries.n -= way == 5 ? 36 : 0;
        p.entries.n -= way == 6 ? 1 : 0;
        p.entries.n = way == 7 ? 0 : p.entries.n;
        p.touched.n += way == 8 ? 48 : 0;
        p.touched.n -= way == 9 ? 48 : 0;
        p.touched.n -= way == 10 ? 1 : 0;
        p.touched.n = way == 11 ? 0 : p.touched.n;
        assert_int_equal(verify(&m, &p), STOQ_MALFORMED);
    }
    assert_int_equal(verify(&m, &good), STOQ_OK);
    model_release(&m);
}

static void encoded_proofs_end_where_they_end(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 8);
    struct stoq_merkle_run run = prove(&m, 45, 20);
    struct stoq_merkle_run read;
    enum stoq_merkle_proof_kind kind;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_RUN_PROOF_BYTES_MAX + 1);
    assert_int_equal(stoq_merkle_run_encode(&run, &bytes), STOQ_OK);
    size_t n = bytes.n;
    for (size_t i = 0; i < n; i++) {
        enum stoq_status st = stoq_merkle_run_decode(stoq_span(bytes.p, i), &read);
        assert_true(st == STOQ_TRUNC || st == STOQ_MALFORMED);
    }
    assert_false(stoq_merkle_proof_kind_of(stoq_span(bytes.p, 3), &kind));
    assert_int_equal(stoq_buf_add(&bytes, stoq_span("", 1)), STOQ_OK);
    assert_int_equal(stoq_merkle_run_decode(stoq_buf_span(&bytes), &read), STOQ_MALFORMED);
    /* A version to come is told as such; a chunk's proof is none of these. */
    bytes.n = n;
    bytes.p[2] = 2;
    assert_int_equal(stoq_merkle_run_decode(stoq_buf_span(&bytes), &read), STOQ_VERSION);
    assert_false(stoq_merkle_proof_kind_of(stoq_buf_span(&bytes), &kind));
    bytes.p[2] = 1;
    bytes.p[4] = 1;
    assert_int_equal(stoq_merkle_run_decode(stoq_buf_span(&bytes), &read), STOQ_MALFORMED);
    bytes.p[4] = 4;
    assert_false(stoq_merkle_proof_kind_of(stoq_buf_span(&bytes), &kind));
    /* Longer than any proof: refused unread. */
    assert_int_equal(stoq_buf_reserve(&bytes, STOQ_MERKLE_RUN_PROOF_BYTES_MAX + 1 - n), STOQ_OK);
    memset(bytes.p, 0, STOQ_MERKLE_RUN_PROOF_BYTES_MAX + 1);
    bytes.n = STOQ_MERKLE_RUN_PROOF_BYTES_MAX + 1;
    assert_int_equal(stoq_merkle_run_decode(stoq_buf_span(&bytes), &read), STOQ_MALFORMED);
    stoq_buf_release(&bytes);
    /* A buffer too small keeps what it had. */
    stoq_buf_init(&bytes, 100);
    assert_int_equal(stoq_buf_add(&bytes, stoq_span("abc", 3)), STOQ_OK);
    assert_int_equal(stoq_merkle_run_encode(&run, &bytes), STOQ_FULL);
    assert_int_equal(bytes.n, 3);
    stoq_buf_release(&bytes);
    model_release(&m);
}

/* The largest proof there can be fits its limit. */
static void the_longest_proof_fits(void **state)
{
    (void)state;
    size_t entries = (size_t)(STOQ_MERKLE_RUN_CHUNKS_MAX + 511) * 36;
    size_t touched = (size_t)STOQ_MERKLE_RUN_CHUNKS_MAX * 48;
    uint8_t *zeros = calloc(1, entries > touched ? entries : touched);
    assert_non_null(zeros);
    struct stoq_merkle_run run = {
        .kind = STOQ_MERKLE_PROOF_RUN,
        .shards = UINT64_MAX,
        .chunks = UINT64_MAX,
        .bytes = UINT64_MAX,
        .first = UINT64_MAX,
        .count = STOQ_MERKLE_RUN_CHUNKS_MAX,
        .first_shard = UINT64_MAX,
        .touched = stoq_span(zeros, touched),
        .entries = stoq_span(zeros, entries),
        .right_count = STOQ_MERKLE_PROOF_RIGHT_MAX,
        .above_count = STOQ_MERKLE_RUN_ABOVE_MAX,
    };
    struct stoq_merkle_run read;
    struct stoq_buf bytes;
    struct stoq_hash root = {{0}};
    stoq_buf_init(&bytes, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_run_encode(&run, &bytes), STOQ_OK);
    assert_int_equal(stoq_merkle_run_decode(stoq_buf_span(&bytes), &read), STOQ_OK);
    assert_int_equal(
        stoq_merkle_verify_run(&root, MAX, UINT64_MAX, STOQ_MERKLE_RUN_CHUNKS_MAX, &read, NULL),
        STOQ_MALFORMED);
    stoq_buf_release(&bytes);
    free(zeros);
}

/* A node that poses as a chunk: the proof of a smaller tree under the true root. */
static void a_node_cannot_pose_as_a_leaf(void **state)
{
    (void)state;
    struct model m;
    uint8_t entry[36];
    uint8_t shard[48];
    model_init(&m, 2, MODEL_RANDOM, 9);
    uint64_t total = m.chunk[0].bytes + m.chunk[1].bytes;
    struct stoq_merkle_shard node = model_shard(m.chunk, 2);
    struct stoq_merkle_chunk posing = {node.root, (uint32_t)total};
    stoq_merkle_chunk_put(entry, &posing);
    stoq_merkle_shard_put(shard, &(struct stoq_merkle_shard){node.root, 1, total});
    struct stoq_merkle_run run = {.kind = STOQ_MERKLE_PROOF_SHARD,
                                  .shards = 1,
                                  .chunks = 1,
                                  .bytes = total,
                                  .count = 1,
                                  .touched = stoq_span(shard, sizeof shard),
                                  .entries = stoq_span(entry, sizeof entry)};
    /* Wide enough a limit, so that the length does not give it away. */
    uint32_t max = STOQ_MERKLE_CHUNK_BYTES_MAX_RAW;
    assert_int_equal(stoq_merkle_verify_run(&m.root, max, 0, 1, &run, NULL), STOQ_PROOF);
    assert_int_equal(stoq_merkle_verify_run(&node.root, max, 0, 1, &run, NULL), STOQ_PROOF);
    model_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_verifies_with_its_place),
        cmocka_unit_test(long_runs_verify),
        cmocka_unit_test(every_shard_verifies),
        cmocka_unit_test(no_run_past_the_last),
        cmocka_unit_test(a_proof_has_a_cap),
        cmocka_unit_test(another_run_or_root_fails),
        cmocka_unit_test(a_proof_cannot_claim_another_place),
        cmocka_unit_test(any_flipped_bit_fails),
        cmocka_unit_test(lengths_are_exact),
        cmocka_unit_test(encoded_proofs_end_where_they_end),
        cmocka_unit_test(the_longest_proof_fits),
        cmocka_unit_test(a_node_cannot_pose_as_a_leaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
