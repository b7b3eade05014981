/*
 * Marking and sweeping. Keys of chunks and lists are hashes, spread evenly; so that the marks take the same
 * memory in a store of any size, all of it is done once for each of some equal ranges of keys, as many as the
 * store's records call for. If a range turns out to hold more than the set takes, everything is begun
 * anew with
 * twice as many ranges; what was swept by then was rightly swept.
 *
 * A page of index entries is looked at, the index left, then each entry judged: no transaction is held
 * while a tombstone waits for room.
 */
#include "store/gc_internal.h"

#include <string.h>

#define MARKS_PER_RANGE ((uint64_t)(STOQ_MARK_SLOTS / 2))
#define RANGES_MAX ((uint64_t)1 << 20)

/* Types whose keys are marked; the others' are asked about. */
static bool is_marked_type(uint8_t type)
{
    return type == STOQ_RECORD_CHUNK || type == STOQ_RECORD_IN_PLACE ||
           type == STOQ_RECORD_SHARD_LIST || type == STOQ_RECORD_CHUNK_LIST;
}

static bool is_asked_type(uint8_t type)
{
    return type == STOQ_RECORD_MANIFEST || type == STOQ_RECORD_SIGNATURE ||
           type == STOQ_RECORD_ALIAS || type == STOQ_RECORD_RECEIPT || type == STOQ_RECORD_TRANSFER;
}

static bool is_young(const struct stoq_gc *g, const struct stoq_entry *e)
{
    const struct stoq_segment_use *use = stoq_usage_find(&g->usage, e->segment);
    return use == NULL ||
           (g->ask->grace_seconds > 0 && use->changed_at + g->ask->grace_seconds > g->now);
}

bool stoq_mark_is_young(struct stoq_mark *m, enum stoq_record_type type, struct stoq_span key)
{
    struct stoq_entry e;
    return stoq_index_get(m->gc->s->index, (uint8_t)type, key, &e, NULL) != STOQ_OK ||
           is_young(m->gc, &e);
}

static bool is_garbage(const struct stoq_gc *g, const struct stoq_mark *m,
                       const struct stoq_entry *e)
{
    struct stoq_span key = stoq_entry_key(e);
    if (is_marked_type(e->type)) {
        return key.n == 32 && stoq_mark_in_range(m, key) && !stoq_mark_has(m, key) &&
               !is_young(g, e);
    }
    return !g->ask->keeps(g->ask->user, (enum stoq_record_type)e->type, key) && !is_young(g, e);
}

static enum stoq_status drop(struct stoq_gc *g, const struct stoq_entry *e, struct stoq_error *err)
{
    struct stoq_segment_use *use = stoq_usage_find(&g->usage, e->segment);
    bool gone = !stoq_touch_was(&g->s->touch, e->type, stoq_entry_key(e));
    enum stoq_status st = STOQ_OK;
    if (gone && !g->ask->dry_run) {
        st = stoq_gc_roll(g, err); /* tombstones stay out of the segments that may be rewritten */
        if (st == STOQ_OK) {
            st = stoq_store_delete_untouched(g->s, e, &gone, err);
        }
    }
    if (st == STOQ_OK && gone) {
        if (use != NULL) {
            use->going_bytes += stoq_entry_bytes(e);
        }
        g->r->records++;
        g->r->record_bytes += e->info.stored_len;
        g->r->manifests += e->type == STOQ_RECORD_MANIFEST;
    }
    return st;
}

/* What is not marked of one type: of hashed keys those in the mark's range. */
static enum stoq_status sweep_type(struct stoq_gc *g, const struct stoq_mark *m, uint8_t type,
                                   struct stoq_error *err)
{
    struct stoq_walk w;
    const struct stoq_entry *e = NULL;
    enum stoq_status st = stoq_walk_init(&w, g->s->index, type, type, err);
    if (st == STOQ_OK && is_marked_type(type)) {
        stoq_mark_first_key(m, w.last.key);
        w.last.key_len = 8;
    }
    while (st == STOQ_OK && (st = stoq_walk_next(&w, &e, err)) == STOQ_OK && e != NULL) {
        if (is_marked_type(type) && e->key_len >= 8 && !stoq_mark_in_range(m, stoq_entry_key(e))) {
            break;
        }
        if (is_garbage(g, m, e)) {
            st = drop(g, e, err);
        }
        if (st == STOQ_OK && w.at == w.n && !stoq_pace_take(&g->pace, 0)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
    }
    stoq_walk_release(&w);
    return st;
}

static enum stoq_status sweep_range(struct stoq_gc *g, const struct stoq_mark *m,
                                    struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    for (uint8_t type = 1; st == STOQ_OK && type < STOQ_RECORD_TYPES; type++) {
        if (is_marked_type(type) || (is_asked_type(type) && m->first == 0)) {
            st = sweep_type(g, m, type, err);
        }
    }
    return st;
}

/* A dry run that is begun anew has counted for nothing. */
static void forget_counts(struct stoq_gc *g)
{
    *g->r = (struct stoq_gc_report){.seconds_waited = 0};
    for (size_t i = 0; i < g->usage.count; i++) {
        g->usage.segment[i].going_bytes = 0;
    }
}

/* In how many ranges? */
static enum stoq_status count_ranges(struct stoq_gc *g, uint64_t *out, struct stoq_error *err)
{
    struct stoq_index_meta meta;
    uint64_t records = 0;
    enum stoq_status st = stoq_index_meta(g->s->index, &meta, err);
    for (uint8_t t = 1; st == STOQ_OK && t < STOQ_RECORD_TYPES; t++) {
        records += is_marked_type(t) ? meta.type[t].records : 0;
    }
    *out = 1;
    while (*out * MARKS_PER_RANGE < records && *out < RANGES_MAX) {
        *out *= 2;
    }
    return st;
}

static enum stoq_status sweep_in(struct stoq_gc *g, struct stoq_mark *m, uint64_t ranges,
                                 struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    uint64_t width = ranges == 1 ? 0 : UINT64_MAX / ranges + 1; /* a power of two */
    for (uint64_t i = 0; st == STOQ_OK && i < ranges; i++) {
        stoq_mark_begin(m, i * width, ranges == 1 ? UINT64_MAX : i * width + (width - 1));
        st = g->ask->mark(g->ask->user, m, err);
        if (st == STOQ_OK && m->is_full) {
            return STOQ_FULL;
        }
        if (st == STOQ_OK) {
            st = sweep_range(g, m, err);
        }
    }
    return st;
}

enum stoq_status stoq_gc_sweep(struct stoq_gc *g, struct stoq_error *err)
{
    struct stoq_mark m;
    uint64_t ranges = 1;
    enum stoq_status st = stoq_mark_init(&m);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to mark what is live");
    }
    m.gc = g;
    st = count_ranges(g, &ranges, err);
    while (st == STOQ_OK && (st = sweep_in(g, &m, ranges, err)) == STOQ_FULL && m.is_full &&
           ranges < RANGES_MAX) {
        ranges *= 2;
        if (g->ask->dry_run) {
            forget_counts(g);
        }
        st = STOQ_OK;
    }
    stoq_mark_release(&m);
    return st == STOQ_OK && !g->ask->dry_run ? stoq_store_sync(g->s, err) : st;
}
