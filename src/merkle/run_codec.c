#include "merkle/run.h"

#include "merkle/siblings.h"
#include "wire/form.h"

/*
 * The map of docs/FORMATS.md section 6.1. All twelve keys are always there; lists are raw
 * concatenations. A list longer than any tree can ask for is malformed before anything is looked at.
 */

#define PROOF_VERSION 1u
#define ENTRIES_BYTES_MAX                                                                          \
    ((size_t)(STOQ_MERKLE_RUN_CHUNKS_MAX + STOQ_MERKLE_SHARD_CHUNKS_MAX - 1) *                     \
     STOQ_MERKLE_CHUNK_ENTRY_BYTES)
#define TOUCHED_BYTES_MAX ((size_t)STOQ_MERKLE_RUN_CHUNKS_MAX * STOQ_MERKLE_SHARD_ENTRY_BYTES)

static void get_right(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_merkle_run *run = at;
    run->right_count = merkle_get_right(r, run->right, STOQ_MERKLE_PROOF_RIGHT_MAX);
}

static bool put_right(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_merkle_run *run = at;
    merkle_put_right(w, run->right, run->right_count);
    return true;
}

static void get_above(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_merkle_run *run = at;
    run->above_count = merkle_get_above(r, run->above, STOQ_MERKLE_RUN_ABOVE_MAX);
}

static bool put_above(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_merkle_run *run = at;
    merkle_put_above(w, run->above, run->above_count);
    return true;
}

static const struct stoq_field run_fields[] = {
    {1, STOQ_IS_CONST(PROOF_VERSION, STOQ_VERSION)},
    {2, STOQ_IS_UINT(struct stoq_merkle_run, kind, STOQ_MERKLE_PROOF_RUN, STOQ_MERKLE_PROOF_SHARD)},
    {3, STOQ_IS_UINT(struct stoq_merkle_run, shards, 0, UINT64_MAX)},
    {4, STOQ_IS_UINT(struct stoq_merkle_run, chunks, 0, UINT64_MAX)},
    {5, STOQ_IS_UINT(struct stoq_merkle_run, bytes, 0, UINT64_MAX)},
    {6, STOQ_IS_UINT(struct stoq_merkle_run, first, 0, UINT64_MAX)},
    {7, STOQ_IS_UINT(struct stoq_merkle_run, first_shard, 0, UINT64_MAX)},
    {10, STOQ_IS_BYTES(struct stoq_merkle_run, entries, 0, ENTRIES_BYTES_MAX),
     .unit = STOQ_MERKLE_CHUNK_ENTRY_BYTES},
    {13, STOQ_IS_OWN_OF_ALL(get_right, put_right)},
    {14, STOQ_IS_OWN_OF_ALL(get_above, put_above)},
    {15, STOQ_IS_UINT(struct stoq_merkle_run, count, 1, STOQ_MERKLE_RUN_CHUNKS_MAX)},
    {16, STOQ_IS_BYTES(struct stoq_merkle_run, touched, 0, TOUCHED_BYTES_MAX),
     .unit = STOQ_MERKLE_SHARD_ENTRY_BYTES},
};
static const struct stoq_form run_form = STOQ_FORM(run_fields);

enum stoq_status stoq_merkle_run_encode(const struct stoq_merkle_run *run, struct stoq_buf *out)
{
    return stoq_form_encode(&run_form, run, stoq_form_keys(&run_form, run), out);
}

enum stoq_status stoq_merkle_run_decode(struct stoq_span bytes, struct stoq_merkle_run *out)
{
    if (bytes.n > STOQ_MERKLE_RUN_PROOF_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    *out = (struct stoq_merkle_run){.shards = 0};
    return stoq_form_decode(&run_form, bytes, out);
}

bool stoq_merkle_proof_kind_of(struct stoq_span bytes, enum stoq_merkle_proof_kind *out)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t key = 0;
    (void)stoq_cbor_rd_map(&r);
    bool ok = stoq_cbor_rd_key(&r, &key) && key == 1 && stoq_cbor_rd_uint(&r) == PROOF_VERSION &&
              stoq_cbor_rd_key(&r, &key) && key == 2;
    uint64_t kind =
        ok ? stoq_cbor_rd_uint_in(&r, STOQ_MERKLE_PROOF_CHUNK, STOQ_MERKLE_PROOF_SHARD) : 0;
    if (!ok || r.status != STOQ_OK) {
        return false;
    }
    *out = (enum stoq_merkle_proof_kind)kind;
    return true;
}
