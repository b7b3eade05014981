#include "merkle/run.h"
#include "merkle/tree.h"

/*
 * As in verify.c nothing is believed: first every number is held against the shape that the others
 * imply, so that each list has one possible length; then the touched shards are made from their
 * entries; then the tree above them is put together from left to right, on the stack that also builds
 * trees, with the siblings as subtrees already made. Only the root that the caller trusts decides.
 */

/* What the numbers say once they are known to fit. */
struct layout {
    size_t touched;   /* shards */
    size_t entries;   /* chunks whose entries are here */
    size_t full;      /* of them in all touched shards but the last */
    size_t last_kept; /* of them in the last one */
    struct stoq_merkle_shard last;
    size_t left; /* siblings above that lie left of the touched shards */
    struct stoq_merkle_sibling side[STOQ_MERKLE_RUN_ABOVE_MAX + 2];
};

/* The package's and the run's numbers, by themselves. */
static bool totals_fit(const struct stoq_merkle_run *r, uint32_t chunk_bytes_max)
{
    size_t touched = r->touched.n / STOQ_MERKLE_SHARD_ENTRY_BYTES;
    return r->bytes <= STOQ_MERKLE_BYTES_MAX &&
           stoq_merkle_bytes_fit(r->chunks, r->bytes, chunk_bytes_max) && r->shards <= r->chunks &&
           r->count >= 1 && r->count <= STOQ_MERKLE_RUN_CHUNKS_MAX && r->first < r->chunks &&
           r->count <= r->chunks - r->first && r->first_shard < r->shards && touched >= 1 &&
           touched <= r->shards - r->first_shard &&
           r->touched.n % STOQ_MERKLE_SHARD_ENTRY_BYTES == 0 &&
           r->entries.n % STOQ_MERKLE_CHUNK_ENTRY_BYTES == 0;
}

/* The touched shards, each by itself, and how the entries fall into them. */
static bool shards_fit(const struct stoq_merkle_run *r, uint32_t chunk_bytes_max,
                       struct layout *out)
{
    out->touched = r->touched.n / STOQ_MERKLE_SHARD_ENTRY_BYTES;
    out->entries = r->entries.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    out->full = 0;
    for (size_t i = 0; i < out->touched; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(r->touched, i);
        if (shard.chunks == 0 || shard.chunks > STOQ_MERKLE_SHARD_CHUNKS_MAX ||
            !stoq_merkle_bytes_fit(shard.chunks, shard.bytes, chunk_bytes_max)) {
            return false;
        }
        if (i + 1 < out->touched) {
            out->full += (size_t)shard.chunks;
        }
        out->last = shard;
    }
    if (out->entries <= out->full || out->entries - out->full > out->last.chunks ||
        r->count > out->entries ||
        out->entries - r->count >= stoq_merkle_shard_at(r->touched, 0).chunks) {
        return false;
    }
    out->last_kept = out->entries - out->full;
    bool is_shard = out->touched == 1 && r->count == out->entries && r->count == out->last.chunks;
    return is_shard == (r->kind == STOQ_MERKLE_PROOF_SHARD);
}

/* The last shard's lengths leave room for exactly the chunks that are not here. (The other shards'
 * lists are checked whole.) */
static bool lengths_fit(const struct stoq_merkle_run *r, uint32_t chunk_bytes_max,
                        const struct layout *l)
{
    uint64_t bytes = 0;
    for (size_t i = l->full; i < l->entries; i++) {
        uint32_t n = stoq_merkle_chunk_at(r->entries, i).bytes;
        if (n == 0 || n > chunk_bytes_max) {
            return false;
        }
        bytes += n;
    }
    return bytes <= l->last.bytes && stoq_merkle_bytes_fit(l->last.chunks - l->last_kept,
                                                           l->last.bytes - bytes, chunk_bytes_max);
}

/* As many siblings above as the shape has, each of numbers that its shards can have; and all together
 * are the package, with the run at its index. */
static bool above_fits(const struct stoq_merkle_run *r, uint32_t chunk_bytes_max, struct layout *l)
{
    size_t n = stoq_merkle_outline(r->shards, r->first_shard, r->first_shard + l->touched, l->side,
                                   &l->left);
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    uint64_t before = 0;
    if (r->above_count != n) {
        return false;
    }
    for (size_t i = 0; i < l->touched; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(r->touched, i);
        chunks += shard.chunks;
        bytes += shard.bytes;
    }
    for (size_t i = 0; i < n; i++) {
        const struct stoq_merkle_shard *node = &r->above[i];
        uint64_t shards = l->side[i].hi - l->side[i].lo;
        if (node->bytes > r->bytes || node->chunks < shards ||
            node->chunks > shards * STOQ_MERKLE_SHARD_CHUNKS_MAX ||
            !stoq_merkle_bytes_fit(node->chunks, node->bytes, chunk_bytes_max)) {
            return false;
        }
        /* Each is at most 2^48: no sum of some hundred overflows. */
        chunks += node->chunks;
        bytes += node->bytes;
        before += i < l->left ? node->chunks : 0;
    }
    return chunks == r->chunks && bytes == r->bytes && before + (l->entries - r->count) == r->first;
}

static bool layout_fits(const struct stoq_merkle_run *r, uint32_t chunk_bytes_max,
                        struct layout *out)
{
    return totals_fit(r, chunk_bytes_max) && shards_fit(r, chunk_bytes_max, out) &&
           lengths_fit(r, chunk_bytes_max, out) && above_fits(r, chunk_bytes_max, out);
}

/* The last touched shard from its entries and the siblings right of them. */
static enum stoq_status check_last(const struct stoq_merkle_run *r, const struct layout *l)
{
    struct stoq_merkle_sibling path[STOQ_MERKLE_DEPTH_MAX];
    struct stoq_merkle_stack s;
    uint32_t used = 0;
    stoq_merkle_stack_init(&s, STOQ_MERKLE_INSIDE);
    for (size_t i = l->full; i < l->entries; i++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(r->entries, i);
        struct stoq_merkle_shard leaf = stoq_merkle_leaf_of_chunk(&chunk);
        stoq_merkle_stack_push(&s, &leaf);
    }
    size_t n = stoq_merkle_path(l->last.chunks, l->last_kept - 1, path);
    for (size_t i = 0; i < n; i++) {
        if (path[i].left) {
            continue;
        }
        if (used == r->right_count) {
            return STOQ_MALFORMED;
        }
        /* No hash inside a shard holds counts. */
        struct stoq_merkle_shard node = {.root = r->right[used]};
        stoq_merkle_stack_put(&s, &node, path[i].hi - path[i].lo);
        used++;
    }
    if (used != r->right_count) {
        return STOQ_MALFORMED;
    }
    struct stoq_hash top = stoq_merkle_stack_top(&s).root;
    return stoq_hash_eq(&top, &l->last.root) ? STOQ_OK : STOQ_PROOF;
}

/* Every touched shard is made of its entries. */
static enum stoq_status check_shards(const struct stoq_merkle_run *r, uint32_t chunk_bytes_max,
                                     const struct layout *l)
{
    const uint8_t *p = r->entries.p;
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i + 1 < l->touched; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(r->touched, i);
        size_t n = (size_t)shard.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
        st = stoq_merkle_check_chunk_list(&shard, chunk_bytes_max, stoq_span(p, n));
        p += n;
    }
    return st == STOQ_OK ? check_last(r, l) : st;
}

static struct stoq_hash root_of(const struct stoq_merkle_run *r, const struct layout *l)
{
    struct stoq_merkle_stack s;
    stoq_merkle_stack_init(&s, STOQ_MERKLE_ABOVE);
    for (size_t i = 0; i < l->left; i++) {
        stoq_merkle_stack_put(&s, &r->above[i], l->side[i].hi - l->side[i].lo);
    }
    for (size_t i = 0; i < l->touched; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(r->touched, i);
        struct stoq_merkle_shard leaf = stoq_merkle_leaf_of_shard(&shard);
        stoq_merkle_stack_push(&s, &leaf);
    }
    for (size_t i = l->left; i < r->above_count; i++) {
        stoq_merkle_stack_put(&s, &r->above[i], l->side[i].hi - l->side[i].lo);
    }
    struct stoq_hash top = stoq_merkle_stack_top(&s).root;
    return stoq_merkle_root_hash(r->shards, r->chunks, r->bytes, &top);
}

static struct stoq_merkle_run_place place_of(const struct stoq_merkle_run *r,
                                             const struct layout *l)
{
    struct stoq_merkle_run_place place = {0, 0};
    for (size_t i = 0; i < l->left; i++) {
        place.offset += r->above[i].bytes;
    }
    for (size_t i = 0; i < l->entries; i++) {
        uint32_t n = stoq_merkle_chunk_at(r->entries, i).bytes;
        if (i < l->entries - r->count) {
            place.offset += n;
        } else {
            place.bytes += n;
        }
    }
    return place;
}

enum stoq_status stoq_merkle_verify_run(const struct stoq_hash *root, uint32_t chunk_bytes_max,
                                        uint64_t first, uint64_t count,
                                        const struct stoq_merkle_run *run,
                                        struct stoq_merkle_run_place *out)
{
    struct layout l;
    if (!layout_fits(run, chunk_bytes_max, &l)) {
        return STOQ_MALFORMED;
    }
    if (run->first != first || run->count != count) {
        return STOQ_PROOF;
    }
    enum stoq_status st = check_shards(run, chunk_bytes_max, &l);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_hash got = root_of(run, &l);
    if (!stoq_hash_eq(&got, root)) {
        return STOQ_PROOF;
    }
    if (out != NULL) {
        *out = place_of(run, &l);
    }
    return STOQ_OK;
}

struct stoq_merkle_chunk stoq_merkle_run_chunk(const struct stoq_merkle_run *run, size_t i)
{
    STOQ_ASSERT(i < run->count);
    size_t skipped = run->entries.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES - (size_t)run->count;
    return stoq_merkle_chunk_at(run->entries, skipped + i);
}
