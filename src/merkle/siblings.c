#include "merkle/siblings.h"

#include "merkle/proof.h"
#include "merkle/run.h"

#include <string.h>

#define HASH_BYTES sizeof(struct stoq_hash)

/* A list of whole entries, max at most. */
static struct stoq_span get_list(struct stoq_cbor_rd *r, size_t entry_bytes, size_t max)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, 0, max * entry_bytes);
    if (s.n % entry_bytes != 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return stoq_span(NULL, 0);
    }
    return s;
}

uint32_t merkle_get_right(struct stoq_cbor_rd *r, struct stoq_hash *out, size_t max)
{
    struct stoq_span s = get_list(r, HASH_BYTES, max);
    if (s.n > 0) {
        memcpy(out, s.p, s.n);
    }
    return (uint32_t)(s.n / HASH_BYTES);
}

uint32_t merkle_get_above(struct stoq_cbor_rd *r, struct stoq_merkle_shard *out, size_t max)
{
    struct stoq_span s = get_list(r, STOQ_MERKLE_SHARD_ENTRY_BYTES, max);
    uint32_t count = (uint32_t)(s.n / STOQ_MERKLE_SHARD_ENTRY_BYTES);
    for (size_t i = 0; i < count; i++) {
        out[i] = stoq_merkle_shard_at(s, i);
    }
    return count;
}

void merkle_put_right(struct stoq_cbor_wr *w, const struct stoq_hash *right, size_t count)
{
    STOQ_ASSERT(count <= STOQ_MERKLE_PROOF_RIGHT_MAX);
    stoq_cbor_put_bytes(w, stoq_span(right, count * HASH_BYTES));
}

void merkle_put_above(struct stoq_cbor_wr *w, const struct stoq_merkle_shard *above, size_t count)
{
    uint8_t entries[STOQ_MERKLE_RUN_ABOVE_MAX * STOQ_MERKLE_SHARD_ENTRY_BYTES];
    STOQ_ASSERT(count <= STOQ_MERKLE_RUN_ABOVE_MAX);
    for (size_t i = 0; i < count; i++) {
        stoq_merkle_shard_put(entries + i * STOQ_MERKLE_SHARD_ENTRY_BYTES, &above[i]);
    }
    stoq_cbor_put_bytes(w, stoq_span(entries, count * STOQ_MERKLE_SHARD_ENTRY_BYTES));
}
