/*
 * Runs of chunks, in one array ordered by first chunk; a run goes when nothing of it is open, so
 * state follows what is under way and not the size of the package. What peers hold is kept as
 * deviation: a peer that has everything, or nothing, of a run costs a pointer there, and `holders` of a
 * chunk counts how far it differs from the number of peers that have everything.
 */
#include "swarm/swarm_internal.h"

#include <string.h>

static size_t run_size(uint32_t count)
{
    return sizeof(struct swarm_run) + (size_t)count * sizeof(struct swarm_chunk);
}

static bool bit(const uint8_t *bits, uint32_t i)
{
    return (bits[i / 8] >> (i & 7) & 1) != 0;
}

static bool bit64(const uint64_t *bits, uint32_t i)
{
    return (bits[i / 64] >> (i & 63) & 1) != 0;
}

static void set_bit64(uint64_t *bits, uint32_t i, bool on)
{
    uint64_t mask = UINT64_C(1) << (i & 63);
    bits[i / 64] = on ? bits[i / 64] | mask : bits[i / 64] & ~mask;
}

uint32_t stoq_swarm_run_at(const struct stoq_swarm *sw, uint64_t index)
{
    uint32_t lo = 0;
    uint32_t hi = sw->run_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct swarm_run *run = sw->run[mid];
        if (run->first + run->count <= index) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct swarm_chunk *stoq_swarm_find(const struct stoq_swarm *sw, uint64_t index,
                                    struct swarm_run **run)
{
    uint32_t at = stoq_swarm_run_at(sw, index);
    if (at == sw->run_count || index < sw->run[at]->first) {
        return NULL;
    }
    *run = sw->run[at];
    return &(*run)->chunk[index - (*run)->first];
}

static bool grow_runs(struct stoq_swarm *sw)
{
    if (sw->run_count < sw->run_cap) {
        return true;
    }
    uint32_t cap = sw->run_cap == 0 ? 16 : sw->run_cap * 2;
    struct swarm_run **run = stoq_swarm_alloc(sw, cap * sizeof *run);
    if (run == NULL) {
        return false;
    }
    if (sw->run_count > 0) {
        memcpy(run, sw->run, sw->run_count * sizeof *run);
    }
    stoq_swarm_unalloc(sw, sw->run, sw->run_cap * sizeof *run);
    sw->run = run;
    sw->run_cap = cap;
    return true;
}

static enum stoq_status check_add(const struct stoq_swarm *sw, const struct stoq_swarm_add *add)
{
    uint32_t count = add->chunks.count;
    if (sw->add_end || count < 1 || count > STOQ_SWARM_ADD_CHUNKS_MAX ||
        add->chunks.first > UINT64_MAX - count) {
        return STOQ_RANGE;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (add->lengths[i] < 1 || add->lengths[i] > STOQ_SWARM_CHUNK_BYTES_MAX) {
            return STOQ_RANGE;
        }
    }
    uint32_t at = stoq_swarm_run_at(sw, add->chunks.first);
    if (at < sw->run_count && sw->run[at]->first < add->chunks.first + count) {
        return STOQ_RANGE;
    }
    if (sw->run_count == STOQ_SWARM_RUNS_MAX || sw->open + count > STOQ_SWARM_OPEN_MAX) {
        return STOQ_FULL;
    }
    return STOQ_OK;
}

static void fill_run(struct stoq_swarm *sw, struct swarm_run *run, const struct stoq_swarm_add *add)
{
    run->first = add->chunks.first;
    run->count = add->chunks.count;
    for (uint32_t i = 0; i < run->count; i++) {
        struct swarm_chunk *chunk = &run->chunk[i];
        chunk->length = add->lengths[i];
        if (add->have != NULL && bit(add->have, i)) {
            chunk->state = SWARM_DONE;
            continue;
        }
        chunk->state = SWARM_WANTED;
        set_bit64(run->wanted_bits, i, true);
        run->wanted++;
        run->open++;
        sw->wanted_bytes += chunk->length;
        sw->added_bytes += chunk->length;
    }
    sw->wanted += run->wanted;
    sw->open += run->open;
}

enum stoq_status stoq_swarm_add_run(struct stoq_swarm *sw, const struct stoq_swarm_add *add)
{
    enum stoq_status st = check_add(sw, add);
    if (st != STOQ_OK) {
        return st;
    }
    if (!grow_runs(sw)) {
        return STOQ_NOMEM;
    }
    struct swarm_run *run = stoq_swarm_alloc(sw, run_size(add->chunks.count));
    if (run == NULL) {
        return STOQ_NOMEM;
    }
    fill_run(sw, run, add);
    sw->need_told = false;
    sw->stuck_told = false;
    if (run->open == 0) {
        stoq_swarm_free_run(sw, run);
        return STOQ_OK;
    }
    uint32_t at = stoq_swarm_run_at(sw, run->first);
    memmove(sw->run + at + 1, sw->run + at, (sw->run_count - at) * sizeof(struct swarm_run *));
    sw->run[at] = run;
    sw->run_count++;
    return STOQ_OK;
}

static void free_have(struct stoq_swarm *sw, struct swarm_have *have)
{
    stoq_swarm_unalloc(sw, have, sizeof *have);
    sw->have_count--;
}

void stoq_swarm_free_run(struct stoq_swarm *sw, struct swarm_run *run)
{
    for (uint32_t i = 0; i < STOQ_SWARM_PEERS_MAX; i++) {
        if (run->have[i] != NULL) {
            free_have(sw, run->have[i]);
        }
    }
    stoq_swarm_unalloc(sw, run, run_size(run->count));
}

void stoq_swarm_settle_run(struct stoq_swarm *sw, struct swarm_run *run)
{
    if (run->open > 0) {
        return;
    }
    uint32_t at = stoq_swarm_run_at(sw, run->first);
    STOQ_ASSERT(at < sw->run_count && sw->run[at] == run);
    sw->run_count--;
    memmove(sw->run + at, sw->run + at + 1, (sw->run_count - at) * sizeof(struct swarm_run *));
    stoq_swarm_free_run(sw, run);
}

void stoq_swarm_set_state(struct stoq_swarm *sw, struct swarm_run *run, struct swarm_chunk *chunk,
                          enum swarm_chunk_state state)
{
    STOQ_ASSERT(chunk->state != SWARM_DONE);
    if (chunk->state == SWARM_WANTED) {
        run->wanted--;
        sw->wanted--;
        sw->wanted_bytes -= chunk->length;
    }
    chunk->state = (uint8_t)state;
    set_bit64(run->wanted_bits, (uint32_t)(chunk - run->chunk), state == SWARM_WANTED);
    if (state == SWARM_WANTED) {
        run->wanted++;
        sw->wanted++;
        sw->wanted_bytes += chunk->length;
    } else if (state == SWARM_DONE) {
        run->open--;
        sw->open--;
    }
}

bool stoq_swarm_run_helps(const struct stoq_swarm *sw, const struct swarm_run *run,
                          uint32_t peer_slot)
{
    const struct swarm_have *have = run->have[peer_slot];
    if (have == NULL) {
        return run->wanted > 0 && !sw->peer[peer_slot].partial;
    }
    size_t words = run->wanted > 0 ? (run->count + 63u) / 64 : 0;
    for (size_t i = 0; i < words; i++) {
        if ((have->bits[i] & run->wanted_bits[i]) != 0) {
            return true;
        }
    }
    return false;
}

bool stoq_swarm_holds(const struct stoq_swarm *sw, const struct swarm_run *run, uint32_t i,
                      uint32_t peer_slot)
{
    const struct swarm_have *have = run->have[peer_slot];
    return have != NULL ? bit64(have->bits, i) : !sw->peer[peer_slot].partial;
}

/* Add what these bits say to the holders of the run's chunks, or take it away. */
static void count_have(const struct stoq_swarm *sw, struct swarm_run *run, uint32_t peer_slot,
                       int sign)
{
    const struct swarm_have *have = run->have[peer_slot];
    bool is_partial = sw->peer[peer_slot].partial;
    for (uint32_t i = 0; i < run->count; i++) {
        bool holds = bit64(have->bits, i);
        int differs = is_partial ? (holds ? 1 : 0) : (holds ? 0 : -1);
        run->chunk[i].holders = (int16_t)(run->chunk[i].holders + sign * differs);
    }
}

/* The peer's node at this run; made to say what was implied, when there is none. */
static struct swarm_have *need_have(struct stoq_swarm *sw, struct swarm_run *run,
                                    uint32_t peer_slot)
{
    struct swarm_have *have = run->have[peer_slot];
    if (have != NULL) {
        return have;
    }
    have = stoq_swarm_alloc(sw, sizeof *have);
    if (have == NULL) {
        return NULL;
    }
    memset(have->bits, sw->peer[peer_slot].partial ? 0 : 0xff, sizeof have->bits);
    run->have[peer_slot] = have;
    sw->have_count++;
    return have;
}

/* What is said of this run's chunks; of others nothing changes. */
static void copy_bits(const struct swarm_run *run, const struct stoq_swarm_has *has, uint64_t *bits)
{
    for (uint32_t i = 0; i < run->count; i++) {
        uint64_t index = run->first + i;
        if (index >= has->chunks.first && index - has->chunks.first < has->chunks.count) {
            set_bit64(bits, i, bit(has->bits, (uint32_t)(index - has->chunks.first)));
        }
    }
}

enum stoq_status stoq_swarm_set_have(struct stoq_swarm *sw, const struct stoq_swarm_has *has)
{
    uint32_t slot;
    struct swarm_peer *p = stoq_swarm_find_peer(sw, has->peer, &slot);
    if (p == NULL || p->cut) {
        return STOQ_OK;
    }
    uint64_t end = has->chunks.first + has->chunks.count;
    p->is_told = true;
    for (uint32_t r = stoq_swarm_run_at(sw, has->chunks.first);
         r < sw->run_count && sw->run[r]->first < end; r++) {
        struct swarm_have *have = need_have(sw, sw->run[r], slot);
        if (have == NULL) {
            return STOQ_NOMEM;
        }
        count_have(sw, sw->run[r], slot, -1);
        copy_bits(sw->run[r], has, have->bits);
        count_have(sw, sw->run[r], slot, 1);
    }
    sw->stuck_told = false;
    return STOQ_OK;
}

enum stoq_status stoq_swarm_lacks(struct stoq_swarm *sw, struct swarm_run *run, uint32_t i,
                                  uint32_t peer_slot)
{
    struct swarm_have *have = need_have(sw, run, peer_slot);
    if (have == NULL) {
        return STOQ_NOMEM;
    }
    if (bit64(have->bits, i)) {
        set_bit64(have->bits, i, false);
        run->chunk[i].holders--;
    }
    return STOQ_OK;
}

void stoq_swarm_drop_have(struct stoq_swarm *sw, uint32_t peer_slot)
{
    for (uint32_t r = 0; r < sw->run_count && sw->have_count > 0; r++) {
        struct swarm_run *run = sw->run[r];
        if (run->have[peer_slot] != NULL) {
            count_have(sw, run, peer_slot, -1);
            free_have(sw, run->have[peer_slot]);
            run->have[peer_slot] = NULL;
        }
    }
}
