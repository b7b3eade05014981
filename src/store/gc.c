/*
 * A collection's plan. How much of each segment is live is counted from the index, the records to be deleted
 * are taken off (sweep.c), and the segments with enough that is dead become victims; then the tombstones
 * that will hold nothing down are taken off too (tombs.c), which may make more of them. A dry run goes
 * the same
 * way up to here, so its figures are those of a collection at that moment.
 *
 * Segments much smaller than they should be are rewritten along with the others, for every
 * collection leaves one behind.
 */
#include "store/gc_internal.h"

#include "os/sys.h"

#define DEAD_PERCENT_MIN 20
#define SMALL_PART 8

unsigned stoq_store_add_begin(struct stoq_store *s)
{
    return stoq_touch_add_begin(&s->touch);
}

void stoq_store_add_end(struct stoq_store *s, unsigned number)
{
    stoq_touch_add_end(&s->touch, number);
}

enum stoq_status stoq_gc_roll(struct stoq_gc *g, struct stoq_error *err)
{
    if (g->has_rolled) {
        return STOQ_OK;
    }
    uint32_t reserve = (uint32_t)g->usage.count + 1; /* copies never take more than the originals */
    enum stoq_status st = stoq_log_roll(g->s, reserve, &g->out_next, err);
    g->has_rolled = st == STOQ_OK;
    g->out_end = g->out_next + reserve;
    return st;
}

/* Mark the victims; their number. */
static size_t pick(struct stoq_gc *g)
{
    uint64_t percent = g->ask->dead_percent_min == 0 ? DEAD_PERCENT_MIN : g->ask->dead_percent_min;
    size_t victims = 0;
    for (size_t i = 0; i < g->usage.count; i++) {
        struct stoq_segment_use *use = &g->usage.segment[i];
        uint64_t dead = stoq_segment_dead(use);
        use->is_victim = dead > 0 && dead >= use->file_bytes / 100 * percent;
        victims += use->is_victim;
    }
    return victims;
}

static void pick_small(struct stoq_gc *g)
{
    for (size_t i = 0; i < g->usage.count; i++) {
        struct stoq_segment_use *use = &g->usage.segment[i];
        use->is_victim = use->is_victim || use->file_bytes < g->s->segment_bytes / SMALL_PART;
    }
}

/* The figures of the victims, as if they had been rewritten. */
static void foresee(struct stoq_gc *g)
{
    for (size_t i = 0; i < g->usage.count; i++) {
        const struct stoq_segment_use *use = &g->usage.segment[i];
        if (use->is_victim) {
            uint64_t dead = stoq_segment_dead(use) + STOQ_SEGMENT_HEADER_BYTES;
            g->r->segments++;
            g->r->bytes_freed += dead;
            g->r->bytes_copied += use->file_bytes - dead;
        }
    }
}

static enum stoq_status plan(struct stoq_gc *g, size_t *victims, struct stoq_error *err)
{
    struct stoq_log *log = &g->s->log;
    (void)pthread_mutex_lock(&log->lock);
    g->sealed_below = log->active != NULL ? log->active->number : log->next_segment;
    (void)pthread_mutex_unlock(&log->lock);
    enum stoq_status st = stoq_store_sync(g->s, err);
    if (st == STOQ_OK) {
        st = stoq_usage_list(&g->usage, g->s, err);
    }
    if (st == STOQ_OK) {
        st = stoq_usage_count(&g->usage, g->s, err);
    }
    if (st == STOQ_OK && g->ask->mark != NULL) {
        st = stoq_gc_sweep(g, err);
    }
    if (st == STOQ_OK) {
        (void)pick(g);
        st = stoq_tombs_look(g, err);
    }
    if (st == STOQ_OK && (*victims = pick(g)) > 0) {
        pick_small(g);
    }
    return st;
}

static enum stoq_status run(struct stoq_gc *g, struct stoq_error *err)
{
    size_t victims = 0;
    enum stoq_status st = plan(g, &victims, err);
    if (st == STOQ_OK && g->ask->dry_run) {
        foresee(g);
    } else if (st == STOQ_OK && victims > 0) {
        st = stoq_gc_roll(g, err);
        if (st == STOQ_OK) {
            st = stoq_gc_compact(g, err);
        }
    }
    return st;
}

enum stoq_status stoq_store_gc(struct stoq_store *s, const struct stoq_gc_ask *ask,
                               struct stoq_gc_report *report, struct stoq_error *err)
{
    *report = (struct stoq_gc_report){.records = 0};
    if (s->read_only && !ask->dry_run) {
        return stoq_fail(err, STOQ_RANGE, 0, "the store %s is open for reading only", s->dir);
    }
    if (atomic_exchange(&s->collecting, true)) {
        return stoq_fail(err, STOQ_BUSY, 0, "a collection is running");
    }
    struct stoq_gc g = {
        .s = s,
        .ask = ask,
        .r = report,
        .now = stoq_wall_seconds(),
        .pace = {.rate_bytes_per_s = ask->rate_bytes_per_s,
                 .cancelled = ask->cancelled,
                 .user = ask->user},
    };
    stoq_touch_collect_begin(&s->touch);
    enum stoq_status st = run(&g, err);
    stoq_touch_collect_end(&s->touch);
    atomic_store(&s->collecting, false);
    report->seconds_waited = g.pace.waited_ns / STOQ_SEC;
    stoq_tombs_free(g.tombs);
    stoq_usage_release(&g.usage);
    return st;
}
