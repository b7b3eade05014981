#include "merkle/proof.h"

#include "merkle/model.h"

/*
 * Bytes as a proof. What decodes encodes to the same bytes again; what verifies against a known
 * package is, byte for byte, the one proof of that index.
 */

#define CHUNKS 100
#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prove(const struct model *m, uint64_t index, struct stoq_merkle_proof *out)
{
    struct stoq_merkle_root root = model_root(m);
    struct stoq_merkle_place place;
    STOQ_ASSERT(stoq_merkle_find_chunk(model_shard_list(m), index, &place) == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_prove_chunk(&root, model_shard_list(m),
                                        model_chunk_list(m, (size_t)place.shard), index,
                                        out) == STOQ_OK);
}

static void show_true_proof(const struct model *m, struct stoq_merkle_verifier *v)
{
    struct stoq_merkle_proof proof;
    prove(m, 30, &proof);
    STOQ_ASSERT(stoq_merkle_verifier_check(v, 30, &m->chunk[30], &proof, NULL) == STOQ_OK);
}

static void check_unique(const struct model *m, uint64_t index, struct stoq_span got)
{
    STOQ_ASSERT(index < CHUNKS);
    struct stoq_merkle_proof proof;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MERKLE_PROOF_BYTES_MAX);
    prove(m, index, &proof);
    STOQ_ASSERT(stoq_merkle_proof_encode(&proof, &bytes) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&bytes), got));
    stoq_buf_release(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    struct stoq_merkle_proof proof;
    if (stoq_merkle_proof_decode(in, &proof) != STOQ_OK) {
        return 0;
    }
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_MERKLE_PROOF_BYTES_MAX);
    STOQ_ASSERT(stoq_merkle_proof_encode(&proof, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), in));
    stoq_buf_release(&again);

    struct model m;
    model_init(&m, CHUNKS, MODEL_ALWAYS, 1);
    enum stoq_status st =
        stoq_merkle_verify_chunk(&m.root, MAX, proof.index, &proof.chunk, &proof, NULL);
    /* A verifier that has seen the true proof of another chunk says the same. */
    struct stoq_merkle_verifier *v = NULL;
    STOQ_ASSERT(stoq_merkle_verifier_new(&v, &m.root, MAX, NULL) == STOQ_OK);
    show_true_proof(&m, v);
    STOQ_ASSERT(stoq_merkle_verifier_check(v, proof.index, &proof.chunk, &proof, NULL) == st);
    stoq_merkle_verifier_free(v);
    struct stoq_merkle_step step[STOQ_MERKLE_STEPS_MAX];
    size_t count;
    enum stoq_status steps_st = stoq_merkle_proof_steps(&proof, MAX, step, &count);
    if (st == STOQ_OK) {
        STOQ_ASSERT(steps_st == STOQ_OK);
        check_unique(&m, proof.index, in);
    }
    model_release(&m);
    return 0;
}
