/*
 * A publisher who builds an honest tree over chunks that may not be: one too long, one of no bytes, made up
 * for by others so that every sum is right. Hashes all agree; lengths alone tell.
 */
#include "merkle/model.h"
#include "merkle/proof.h"
#include "merkle/run.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX
#define CHUNKS 5 /* one shard */

/* Change lengths of the second and third chunk and build everything anew. */
static void remake(struct model *m, uint32_t second, uint32_t third)
{
    m->chunk[1].bytes = second;
    m->chunk[2].bytes = third;
    m->bytes = 0;
    for (size_t i = 0; i < m->chunk_count; i++) {
        m->bytes += m->chunk[i].bytes;
    }
    m->shard_count = 0;
    stoq_buf_clear(&m->shard_list);
    stoq_buf_clear(&m->chunk_lists);
    model_make_shards(m);
    model_make_root(m);
    model_make_lists(m);
}

/* Proofs of the first three chunks as a run, and of the fourth alone: both hold the changed ones. */
static enum stoq_status verify_run(const struct model *m, const struct stoq_merkle_run *sound)
{
    struct stoq_merkle_run run = *sound;
    run.bytes = m->bytes;
    run.touched = model_shard_list(m);
    run.entries = stoq_span(m->chunk_lists.p, (size_t)3 * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    return stoq_merkle_verify_run(&m->root, MAX, 0, 3, &run, NULL);
}

static enum stoq_status verify_chunk(const struct model *m, const struct stoq_merkle_proof *sound)
{
    struct stoq_merkle_proof proof = *sound;
    uint64_t offset;
    proof.bytes = m->bytes;
    proof.shard_bytes = m->bytes;
    proof.before = stoq_span(m->chunk_lists.p, (size_t)3 * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    return stoq_merkle_verify_chunk(&m->root, MAX, 3, &m->chunk[3], &proof, &offset);
}

static void only_lengths_that_may_be_verify(void **state)
{
    static const struct {
        uint32_t second;
        uint32_t third;
        bool is_sound;
    } cases[] = {
        {MAX, MAX, true}, {1, MAX, true},  {MAX + 1, MAX - 1, false}, {MAX - 1, MAX + 1, false},
        {0, MAX, false},  {MAX, 0, false}, {2 * MAX, 0, false},       {UINT32_MAX, 1, false},
    };
    struct model m;
    struct stoq_merkle_run run;
    struct stoq_merkle_proof proof;
    (void)state;
    model_init(&m, CHUNKS, MODEL_NEVER, 3);
    remake(&m, 1000, 1000);
    struct stoq_merkle_root root = model_root(&m);
    struct stoq_span list = stoq_buf_span(&m.chunk_lists);
    assert_int_equal(stoq_merkle_prove_run(&root, model_shard_list(&m), list, 0, 3, &run), STOQ_OK);
    assert_int_equal(stoq_merkle_prove_chunk(&root, model_shard_list(&m), list, 3, &proof),
                     STOQ_OK);
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        remake(&m, cases[i].second, cases[i].third);
        enum stoq_status want = cases[i].is_sound ? STOQ_OK : STOQ_MALFORMED;
        assert_int_equal(verify_run(&m, &run), want);
        assert_int_equal(verify_chunk(&m, &proof), want);
    }
    model_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_lengths_that_may_be_verify)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
