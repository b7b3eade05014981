#include "merkle/run.h"

#include "merkle/model.h"

/*
 * Bytes as the proof of a run or shard. What decodes encodes to the same bytes again; what verifies
 * against a known package is, byte for byte, the one proof of that run.
 */

#define CHUNKS 100
#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct stoq_merkle_run *run, struct stoq_buf *out)
{
    stoq_buf_init(out, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
    STOQ_ASSERT(stoq_merkle_run_encode(run, out) == STOQ_OK);
}

static void check_unique(const struct model *m, const struct stoq_merkle_run *run,
                         struct stoq_span got)
{
    struct stoq_merkle_root root = model_root(m);
    struct stoq_merkle_place a;
    struct stoq_merkle_place b;
    struct stoq_merkle_run want;
    struct stoq_buf bytes;
    uint64_t last = run->first + run->count - 1;
    STOQ_ASSERT(last < CHUNKS);
    STOQ_ASSERT(stoq_merkle_find_chunk(model_shard_list(m), run->first, &a) == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_find_chunk(model_shard_list(m), last, &b) == STOQ_OK);
    size_t end = (size_t)(b.first_chunk + m->shard[b.shard].chunks);
    struct stoq_span lists =
        stoq_span(m->chunk_lists.p + a.first_chunk * 36, (end - (size_t)a.first_chunk) * 36);
    STOQ_ASSERT(stoq_merkle_prove_run(&root, model_shard_list(m), lists, run->first, run->count,
                                      &want) == STOQ_OK);
    encode(&want, &bytes);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&bytes), got));
    stoq_buf_release(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    struct stoq_merkle_run run;
    struct stoq_buf again;
    enum stoq_merkle_proof_kind kind = STOQ_MERKLE_PROOF_CHUNK;
    bool has_kind = stoq_merkle_proof_kind_of(in, &kind);
    if (stoq_merkle_run_decode(in, &run) != STOQ_OK) {
        return 0;
    }
    STOQ_ASSERT(has_kind && kind == run.kind);
    encode(&run, &again);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), in));
    stoq_buf_release(&again);

    struct model m;
    model_init(&m, CHUNKS, MODEL_ALWAYS, 1);
    if (stoq_merkle_verify_run(&m.root, MAX, run.first, run.count, &run, NULL) == STOQ_OK) {
        check_unique(&m, &run, in);
    }
    model_release(&m);
    return 0;
}
