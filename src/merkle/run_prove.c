#include "merkle/run.h"
#include "merkle/tree.h"

/*
 * A run is proved from its outline: everything left and right of it is one row of full subtrees each,
 * everything inside is carried, entry by entry. The lists of the first and last shard are not carried
 * whole: left of the run the entries are (their lengths make the offset), right of it siblings do.
 */

/* Where a run lies among the shards. */
struct reach {
    struct stoq_merkle_place first; /* of its first chunk */
    struct stoq_merkle_place last;
    uint64_t last_entries; /* chunks of the last shard up to the run's end */
};

static enum stoq_status find_reach(struct stoq_span shard_list, uint64_t first, uint64_t count,
                                   struct reach *out)
{
    uint64_t last;
    if (count == 0 || !stoq_add_u64(first, count - 1, &last)) {
        return STOQ_RANGE;
    }
    enum stoq_status st = stoq_merkle_find_chunk(shard_list, first, &out->first);
    if (st == STOQ_OK) {
        st = stoq_merkle_find_chunk(shard_list, last, &out->last);
    }
    if (st == STOQ_OK) {
        out->last_entries = last - out->last.first_chunk + 1;
    }
    return st;
}

/* Is the run all chunks of one shard? */
static bool is_shard(const struct reach *r, uint64_t first, uint64_t last_chunks)
{
    return r->first.shard == r->last.shard && first == r->first.first_chunk &&
           r->last_entries == last_chunks;
}

/* The right siblings of the run's last chunk, bottom up, which is from left to right. */
static void prove_right(struct stoq_span chunk_list, uint64_t k, struct stoq_merkle_run *out)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    size_t n = stoq_merkle_path(chunk_list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES, k, path);
    out->right_count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!path[i].left) {
            out->right[out->right_count] =
                stoq_merkle_range(STOQ_MERKLE_INSIDE, chunk_list, path[i].lo, path[i].hi).root;
            out->right_count++;
        }
    }
}

static void prove_above(struct stoq_span shard_list, uint64_t touched, struct stoq_merkle_run *out)
{
    struct stoq_merkle_sibling side[STOQ_MERKLE_RUN_ABOVE_MAX + 2];
    size_t left;
    size_t n =
        stoq_merkle_outline(out->shards, out->first_shard, out->first_shard + touched, side, &left);
    STOQ_ASSERT(n <= STOQ_MERKLE_RUN_ABOVE_MAX);
    for (size_t i = 0; i < n; i++) {
        out->above[i] = stoq_merkle_range(STOQ_MERKLE_ABOVE, shard_list, side[i].lo, side[i].hi);
    }
    out->above_count = (uint32_t)n;
}

/* Chunks of the shards from lo to hi - 1. */
static uint64_t chunks_of(struct stoq_span shard_list, uint64_t lo, uint64_t hi)
{
    uint64_t chunks = 0;
    for (uint64_t i = lo; i < hi; i++) {
        chunks += stoq_merkle_shard_at(shard_list, (size_t)i).chunks;
    }
    return chunks;
}

enum stoq_status stoq_merkle_prove_run(const struct stoq_merkle_root *root,
                                       struct stoq_span shard_list, struct stoq_span chunk_lists,
                                       uint64_t first, uint64_t count, struct stoq_merkle_run *out)
{
    const size_t entry = STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    struct reach r;
    if (shard_list.n / STOQ_MERKLE_SHARD_ENTRY_BYTES != root->shards ||
        shard_list.n % STOQ_MERKLE_SHARD_ENTRY_BYTES != 0 || root->shards > STOQ_MERKLE_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    enum stoq_status st = find_reach(shard_list, first, count, &r);
    if (st != STOQ_OK) {
        return st;
    }
    if (count > STOQ_MERKLE_RUN_CHUNKS_MAX) {
        return STOQ_FULL;
    }
    struct stoq_merkle_shard last = stoq_merkle_shard_at(shard_list, (size_t)r.last.shard);
    uint64_t full = chunks_of(shard_list, r.first.shard, r.last.shard);
    if (last.chunks > STOQ_MERKLE_SHARD_CHUNKS_MAX || chunk_lists.n % entry != 0 ||
        chunk_lists.n / entry != full + last.chunks) {
        return STOQ_MALFORMED;
    }
    uint64_t touched = r.last.shard - r.first.shard + 1;
    *out = (struct stoq_merkle_run){
        .kind = is_shard(&r, first, last.chunks) ? STOQ_MERKLE_PROOF_SHARD : STOQ_MERKLE_PROOF_RUN,
        .shards = root->shards,
        .chunks = root->chunks,
        .bytes = root->bytes,
        .first = first,
        .count = count,
        .first_shard = r.first.shard,
        .touched = stoq_span(shard_list.p + r.first.shard * STOQ_MERKLE_SHARD_ENTRY_BYTES,
                             (size_t)touched * STOQ_MERKLE_SHARD_ENTRY_BYTES),
        .entries = stoq_span(chunk_lists.p, (size_t)(full + r.last_entries) * entry),
    };
    prove_right(stoq_span(chunk_lists.p + full * entry, (size_t)last.chunks * entry),
                r.last_entries - 1, out);
    prove_above(shard_list, touched, out);
    return STOQ_OK;
}
