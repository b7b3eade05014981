#include "merkle/proof.h"

#include "merkle/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

static struct stoq_merkle_proof prove(const struct model *m, size_t index)
{
    struct stoq_merkle_root root = model_root(m);
    struct stoq_merkle_proof proof;
    assert_int_equal(stoq_merkle_prove_chunk(&root, model_shard_list(m),
                                             model_chunk_list(m, model_shard_of(m, index)), index,
                                             &proof),
                     STOQ_OK);
    return proof;
}

static enum stoq_status verify(const struct model *m, size_t index,
                               const struct stoq_merkle_proof *proof, uint64_t *offset)
{
    return stoq_merkle_verify_chunk(&m->root, MAX, index, &m->chunk[index], proof, offset);
}

/* Prove, encode, decode, verify; the offset is the sum of the lengths before. */
static void check_index(const struct model *m, size_t index, uint64_t want_offset)
{
    struct stoq_merkle_proof made = prove(m, index);
    struct stoq_merkle_proof read;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_proof_encode(&made, &bytes), STOQ_OK);
    assert_int_equal(stoq_merkle_proof_decode(stoq_buf_span(&bytes), &read), STOQ_OK);
    uint64_t offset = UINT64_MAX;
    assert_int_equal(verify(m, index, &read, &offset), STOQ_OK);
    assert_true(offset == want_offset);
    assert_int_equal(stoq_merkle_proof_claim(&read, MAX, &offset), STOQ_OK);
    assert_true(offset == want_offset);
    stoq_buf_release(&bytes);
}

static void every_index_verifies_with_its_offset(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 4, 5, 31, 32, 33, 65, 511, 512, 513, 4097};
    for (size_t i = 0; i < STOQ_COUNT(counts); i++) {
        for (int kind = MODEL_RANDOM; kind <= MODEL_ALWAYS; kind++) {
            struct model m;
            model_init(&m, counts[i], (enum model_kind)kind, i);
            uint64_t offset = 0;
            /* Every index, but of 4097 chunks in shards of 512 only some: they cost a second. */
            size_t step = counts[i] == 4097 && kind == MODEL_NEVER ? 17 : 1;
            for (size_t index = 0; index < counts[i]; index++) {
                if (index % step == 0) {
                    check_index(&m, index, offset);
                }
                offset += m.chunk[index].bytes;
            }
            model_release(&m);
        }
    }
}

static void no_chunk_past_the_last(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 100, MODEL_ALWAYS, 1);
    struct stoq_merkle_root root = model_root(&m);
    struct stoq_merkle_proof proof;
    struct stoq_span shards = model_shard_list(&m);
    struct stoq_span chunks = model_chunk_list(&m, 3);
    assert_int_equal(stoq_merkle_prove_chunk(&root, shards, chunks, 100, &proof), STOQ_RANGE);
    assert_int_equal(stoq_merkle_prove_chunk(&root, shards, chunks, UINT64_MAX, &proof),
                     STOQ_RANGE);
    /* The chunk list of another shard, and lists cut short. */
    assert_int_equal(stoq_merkle_prove_chunk(&root, shards, chunks, 5, &proof), STOQ_MALFORMED);
    chunks.n -= 36;
    assert_int_equal(stoq_merkle_prove_chunk(&root, shards, chunks, 99, &proof), STOQ_MALFORMED);
    shards.n -= 48;
    assert_int_equal(stoq_merkle_prove_chunk(&root, shards, chunks, 5, &proof), STOQ_MALFORMED);
    model_release(&m);

    model_init(&m, 0, MODEL_RANDOM, 1);
    root = model_root(&m);
    assert_int_equal(
        stoq_merkle_prove_chunk(&root, stoq_span(NULL, 0), stoq_span(NULL, 0), 0, &proof),
        STOQ_RANGE);
    model_release(&m);
}

static void wrong_index_chunk_or_root_fails(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 2);
    for (size_t index = 0; index < 200; index += 13) {
        struct stoq_merkle_proof proof = prove(&m, index);
        uint64_t offset = 77;
        for (size_t other = 0; other < 200; other++) {
            if (other != index) {
                assert_int_equal(verify(&m, other, &proof, &offset), STOQ_PROOF);
                assert_int_equal(
                    stoq_merkle_verify_chunk(&m.root, MAX, other, &m.chunk[index], &proof, &offset),
                    STOQ_PROOF);
            }
        }
        struct stoq_merkle_chunk chunk = m.chunk[index];
        chunk.bytes ^= 1;
        assert_int_equal(stoq_merkle_verify_chunk(&m.root, MAX, index, &chunk, &proof, &offset),
                         STOQ_PROOF);
        struct stoq_hash shard_root = m.shard[model_shard_of(&m, index)].root;
        assert_int_equal(
            stoq_merkle_verify_chunk(&shard_root, MAX, index, &m.chunk[index], &proof, &offset),
            STOQ_PROOF);
        assert_true(offset == 77);
    }
    model_release(&m);
}

static struct stoq_merkle_verifier *verifier_new(const struct model *m)
{
    struct stoq_merkle_verifier *v = NULL;
    assert_int_equal(stoq_merkle_verifier_new(&v, &m->root, MAX, NULL), STOQ_OK);
    return v;
}

/* In order, backwards, in jumps and twice: a verifier answers as the single check does. */
static void a_verifier_agrees_in_any_order(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 33, 400};
    for (size_t i = 0; i < STOQ_COUNT(counts); i++) {
        struct model m;
        size_t n = counts[i];
        model_init(&m, n, MODEL_RANDOM, 20 + i);
        struct stoq_merkle_verifier *v = verifier_new(&m);
        struct stoq_prng r = stoq_prng(i);
        for (size_t step = 0; step < 4 * n; step++) {
            size_t index = step < n       ? step
                           : step < 2 * n ? 2 * n - 1 - step
                                          : (size_t)stoq_prng_below(&r, n);
            struct stoq_merkle_proof proof = prove(&m, index);
            uint64_t want = 0;
            uint64_t got = 1;
            assert_int_equal(verify(&m, index, &proof, &want), STOQ_OK);
            assert_int_equal(stoq_merkle_verifier_check(v, index, &m.chunk[index], &proof, &got),
                             STOQ_OK);
            assert_true(want == got);
        }
        stoq_merkle_verifier_free(v);
        model_release(&m);
    }
}

/* What it remembers never helps a forged proof, and a forged proof never spoils what it remembers. */
static void a_verifier_believes_nothing_it_has_seen(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 30);
    struct stoq_merkle_verifier *v = verifier_new(&m);
    for (size_t index = 1; index < 31; index++) {
        struct stoq_merkle_proof good = prove(&m, index);
        assert_int_equal(stoq_merkle_verifier_check(v, index, &m.chunk[index], &good, NULL),
                         STOQ_OK);
        uint8_t entries[32 * 36];
        struct stoq_merkle_proof bad = good;
        bad.before.p = entries;
        for (size_t bit = 0; bit < good.before.n * 8; bit += 7) {
            memcpy(entries, good.before.p, good.before.n);
            entries[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(stoq_merkle_verifier_check(v, index, &m.chunk[index], &bad, NULL),
                                 STOQ_OK);
        }
        struct stoq_merkle_chunk other = m.chunk[index];
        other.hash.b[5] ^= 1;
        bad = good;
        bad.chunk = other;
        assert_int_equal(stoq_merkle_verifier_check(v, index, &other, &bad, NULL), STOQ_PROOF);
        assert_int_equal(stoq_merkle_verifier_check(v, index, &m.chunk[index], &good, NULL),
                         STOQ_OK);
        assert_int_equal(stoq_merkle_verifier_check(v, index - 1, &m.chunk[index], &good, NULL),
                         STOQ_PROOF);
    }
    stoq_merkle_verifier_free(v);
    stoq_merkle_verifier_free(NULL);
    model_release(&m);
}

static void *no_memory(void *user, size_t n)
{
    (void)user;
    (void)n;
    return NULL;
}

static void a_verifier_without_memory_is_none(void **state)
{
    (void)state;
    struct stoq_merkle_verifier *v = NULL;
    struct stoq_hash root = {{0}};
    struct stoq_alloc alloc = {.alloc = no_memory};
    assert_int_equal(stoq_merkle_verifier_new(&v, &root, MAX, &alloc), STOQ_NOMEM);
    assert_null(v);
}

/* The proof that says another index itself, with everything else true. */
static void a_proof_cannot_claim_another_place(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 3);
    struct stoq_merkle_proof good = prove(&m, 70);
    uint64_t *const fields[] = {&good.shards,     &good.chunks,       &good.bytes,
                                &good.index,      &good.shard_chunks, &good.shard_bytes,
                                &good.shard_index};
    for (size_t f = 0; f < STOQ_COUNT(fields); f++) {
        uint64_t was = *fields[f];
        static const uint64_t deltas[] = {1, UINT64_MAX, 32, (uint64_t)1 << 47, (uint64_t)1 << 63};
        for (size_t d = 0; d < STOQ_COUNT(deltas); d++) {
            *fields[f] = was + deltas[d];
            size_t index = (size_t)good.index;
            struct stoq_merkle_chunk chunk = m.chunk[70];
            assert_int_not_equal(stoq_merkle_verify_chunk(&m.root, MAX, index, &chunk, &good, NULL),
                                 STOQ_OK);
        }
        *fields[f] = was;
    }
    assert_int_equal(verify(&m, 70, &good, NULL), STOQ_OK);
    /* Bytes shifted between the shard and a sibling: all sums hold, the hashes do not. */
    good.shard_bytes += 1;
    good.above[0].bytes -= 1;
    assert_int_equal(verify(&m, 70, &good, NULL), STOQ_PROOF);
    model_release(&m);
}

static void check_every_bit(const struct model *m, size_t index)
{
    struct stoq_merkle_proof proof = prove(m, index);
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_proof_encode(&proof, &bytes), STOQ_OK);
    for (size_t bit = 0; bit < bytes.n * 8; bit++) {
        bytes.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct stoq_merkle_proof read;
        if (stoq_merkle_proof_decode(stoq_buf_span(&bytes), &read) == STOQ_OK) {
            assert_int_not_equal(verify(m, index, &read, NULL), STOQ_OK);
            /* Not at the place it claims itself either. */
            assert_int_not_equal(
                stoq_merkle_verify_chunk(&m->root, MAX, read.index, &read.chunk, &read, NULL),
                STOQ_OK);
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
        size_t index;
        enum model_kind kind;
    } some[] = {{1, 0, MODEL_RANDOM},     {2, 1, MODEL_RANDOM},    {40, 5, MODEL_NEVER},
                {513, 37, MODEL_ALWAYS},  {513, 512, MODEL_NEVER}, {513, 0, MODEL_NEVER},
                {161, 160, MODEL_ALWAYS}, {161, 100, MODEL_ALWAYS}};
    for (size_t i = 0; i < STOQ_COUNT(some); i++) {
        struct model m;
        model_init(&m, some[i].chunks, some[i].kind, 4);
        check_every_bit(&m, some[i].index);
        model_release(&m);
    }
}

static void lengths_are_exact(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 5);
    struct stoq_merkle_proof good = prove(&m, 45);
    assert_true(good.right_count > 1 && good.above_count > 1);
    for (int way = 0; way < 8; way++) {
        struct stoq_merkle_proof p = good;
        p.right_count += way == 0 ? 1 : 0;
        p.right_count -= way == 1 ? 1 : 0;
        p.above_count += way == 2 ? 1 : 0;
        p.above_count -= way == 3 ? 1 : 0;
        p.before.n += way == 4 ? 36 : 0;
        p.before.n -= way == 5 ? 36 : 0;
        p.before.n -= way == 6 ? 1 : 0;
        p.before.n = way == 7 ? 0 : p.before.n;
        assert_int_equal(verify(&m, 45, &p, NULL), STOQ_MALFORMED);
    }
    assert_int_equal(verify(&m, 45, &good, NULL), STOQ_OK);
    model_release(&m);
}

static void encoded_proofs_end_where_they_end(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 200, MODEL_ALWAYS, 6);
    struct stoq_merkle_proof proof = prove(&m, 45);
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_proof_encode(&proof, &bytes), STOQ_OK);
    size_t n = bytes.n;
    struct stoq_merkle_proof read;
    for (size_t i = 0; i < n; i++) {
        enum stoq_status st = stoq_merkle_proof_decode(stoq_span(bytes.p, i), &read);
        assert_true(st == STOQ_TRUNC || st == STOQ_MALFORMED);
    }
    static const uint8_t more[STOQ_MERKLE_PROOF_BYTES_MAX] = {0};
    assert_int_equal(stoq_buf_add(&bytes, stoq_span(more, 1)), STOQ_OK);
    assert_int_equal(stoq_merkle_proof_decode(stoq_buf_span(&bytes), &read), STOQ_MALFORMED);
    assert_int_equal(stoq_merkle_proof_decode(stoq_span(more, sizeof more), &read), STOQ_MALFORMED);
    /* A version to come is told as such; another kind is malformed. */
    bytes.n = n;
    assert_int_equal(bytes.p[2], 1);
    bytes.p[2] = 2;
    assert_int_equal(stoq_merkle_proof_decode(stoq_buf_span(&bytes), &read), STOQ_VERSION);
    bytes.p[2] = 1;
    bytes.p[4] = 2;
    assert_int_equal(stoq_merkle_proof_decode(stoq_buf_span(&bytes), &read), STOQ_MALFORMED);
    stoq_buf_release(&bytes);
    /* A buffer too small keeps what it had. */
    stoq_buf_init(&bytes, 100);
    assert_int_equal(stoq_buf_add(&bytes, stoq_span(more, 3)), STOQ_OK);
    assert_int_equal(stoq_merkle_proof_encode(&proof, &bytes), STOQ_FULL);
    assert_int_equal(bytes.n, 3);
    stoq_buf_release(&bytes);
    model_release(&m);
}

/* The largest proof there can be fits its limit. */
static void the_longest_proof_fits(void **state)
{
    (void)state;
    static const uint8_t before[511 * 36] = {0};
    struct stoq_merkle_proof proof = {
        .shards = UINT64_MAX,
        .chunks = UINT64_MAX,
        .bytes = UINT64_MAX,
        .index = UINT64_MAX,
        .shard_index = UINT64_MAX,
        .shard_chunks = UINT64_MAX,
        .shard_bytes = UINT64_MAX,
        .before = {before, sizeof before},
        .chunk = {.bytes = STOQ_MERKLE_CHUNK_BYTES_MAX_RAW},
        .right_count = STOQ_MERKLE_PROOF_RIGHT_MAX,
        .above_count = STOQ_MERKLE_PROOF_ABOVE_MAX,
    };
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_proof_encode(&proof, &bytes), STOQ_OK);
    struct stoq_merkle_proof read;
    assert_int_equal(stoq_merkle_proof_decode(stoq_buf_span(&bytes), &read), STOQ_OK);
    assert_int_equal(
        stoq_merkle_verify_chunk(&read.chunk.hash, MAX, read.index, &read.chunk, &read, NULL),
        STOQ_MALFORMED);
    stoq_buf_release(&bytes);
}

/* A node that poses as a chunk: the proof of a smaller tree under the true root. */
static void a_node_cannot_pose_as_a_leaf(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 2, MODEL_RANDOM, 7);
    m.chunk[0].bytes = 100;
    m.chunk[1].bytes = 200;
    struct stoq_merkle_shard node = model_shard(m.chunk, 2);
    const struct stoq_merkle_chunk posing = {node.root, 300};
    struct stoq_merkle_proof proof = {
        .shards = 1,
        .chunks = 1,
        .bytes = 300,
        .shard_chunks = 1,
        .shard_bytes = 300,
        .chunk = posing,
    };
    assert_int_equal(stoq_merkle_verify_chunk(&m.root, MAX, 0, &posing, &proof, NULL), STOQ_PROOF);
    assert_int_equal(stoq_merkle_verify_chunk(&node.root, MAX, 0, &posing, &proof, NULL),
                     STOQ_PROOF);
    model_release(&m);
}

/* The steps alone lead from the leaf to the shard root, each on its side. */
static void steps_name_every_sibling(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 64, MODEL_ALWAYS, 8);
    for (size_t index = 0; index < 64; index++) {
        struct stoq_merkle_proof proof = prove(&m, index);
        struct stoq_merkle_step step[STOQ_MERKLE_STEPS_MAX];
        size_t count = 0;
        assert_int_equal(stoq_merkle_proof_steps(&proof, MAX, step, &count), STOQ_OK);
        assert_int_equal(count, 6);
        struct stoq_hash h = model_shard(&m.chunk[index], 1).root;
        for (size_t i = 0; i < 5; i++) {
            assert_false(step[i].above_shard);
            assert_int_equal(step[i].left, index >> i & 1);
            h = step[i].left ? model_hash(1, &step[i].hash, &h, NULL, 0)
                             : model_hash(1, &h, &step[i].hash, NULL, 0);
        }
        assert_true(stoq_hash_eq(&h, &m.shard[index / 32].root));
        assert_true(step[5].above_shard);
        assert_int_equal(step[5].left, index >> 5);
        proof.right_count++;
        assert_int_equal(stoq_merkle_proof_steps(&proof, MAX, step, &count), STOQ_MALFORMED);
    }
    model_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_verifies_with_its_offset),
        cmocka_unit_test(no_chunk_past_the_last),
        cmocka_unit_test(wrong_index_chunk_or_root_fails),
        cmocka_unit_test(a_verifier_agrees_in_any_order),
        cmocka_unit_test(a_verifier_believes_nothing_it_has_seen),
        cmocka_unit_test(a_verifier_without_memory_is_none),
        cmocka_unit_test(a_proof_cannot_claim_another_place),
        cmocka_unit_test(any_flipped_bit_fails),
        cmocka_unit_test(lengths_are_exact),
        cmocka_unit_test(encoded_proofs_end_where_they_end),
        cmocka_unit_test(the_longest_proof_fits),
        cmocka_unit_test(a_node_cannot_pose_as_a_leaf),
        cmocka_unit_test(steps_name_every_sibling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
