/*
 * Rewriting. One victim after the other, by ascending number (why: tombs.c):
 *
 *   read it from end to end; a record counts as live if the index means this very place
 *   copy what is live, sequence and all, behind what was copied before      pwrite
 *   make the copies durable                                                 fdatasync, fsync of the folder
 *   point the index at them, where it still means the old place             LMDB commit
 *   remove the victim                                                       unlink, fsync of the folder
 *
 * The last three go in rounds of some hundred records. A crash between any two leaves records twice, never
 * not at all: copies have the sequence of the original, so either may be believed. A reader that
 * looked a place
 * up before the commit and comes after the unlink looks it up again (read.c); one that has the file
 * open reads on.
 *
 * New segments have numbers below the log's (roll.c). So recovery, which reads from the log's segment on,
 * never reads them, and a tombstone written from now on lies above what it deletes.
 */
#include "store/gc_internal.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Small: somebody else's read of a chunk waits for one piece of ours, and a commit for one round. */
#define ROUND_RECORDS 512
#define PIECE_BYTES ((size_t)128 * STOQ_KIB)

/* The segment that takes copies. */
struct output {
    int fd; /* -1: none */
    uint32_t number;
    bool is_named;    /* its name is durable */
    uint64_t settled; /* up to here the index points into it */
    uint64_t end;
};

struct compact {
    struct stoq_gc *g;
    struct output out;
    uint8_t *buffer; /* the last bytes of out, not written yet */
    size_t buffered;
    size_t buffer_cap;
    struct stoq_index_move *moves;
    size_t move_count;
    /* of the victim at hand */
    uint32_t victim;
    int victim_fd;
    uint64_t copied;
    bool has_damage;
};

static enum stoq_status fail_io(const struct compact *c, int e, const char *what, uint32_t number,
                                struct stoq_error *err)
{
    return stoq_fail(err, stoq_file_status(e) == STOQ_FULL ? STOQ_FULL : STOQ_IO, e,
                     "%s segment %08x in %s", what, number, c->g->s->dir);
}

static enum stoq_status write_buffer(struct compact *c, struct stoq_error *err)
{
    struct stoq_store *s = c->g->s;
    if (c->buffered == 0) {
        return STOQ_OK;
    }
    int e = stoq_durable_segment_write(&s->fault, c->out.fd, stoq_span(c->buffer, c->buffered),
                                       c->out.end - c->buffered);
    c->buffered = e == 0 ? 0 : c->buffered;
    return e == 0 ? STOQ_OK : fail_io(c, e, "write", c->out.number, err);
}

static enum stoq_status make_durable(struct compact *c, struct stoq_error *err)
{
    int e = stoq_durable_compact_fdatasync(c->out.fd);
    if (e == 0 && !c->out.is_named) {
        e = stoq_durable_compact_dirsync(c->g->s->segments_fd);
        c->out.is_named = e == 0;
    }
    return e == 0 ? STOQ_OK : fail_io(c, e, "sync", c->out.number, err);
}

static enum stoq_status point_index(struct compact *c, struct stoq_error *err)
{
    enum stoq_status st = stoq_index_move(c->g->s->index, c->moves, c->move_count, err);
    if (st == STOQ_OK) {
        c->move_count = 0;
        c->out.settled = c->out.end;
    }
    return st;
}

/* The end of a round: what was copied is durable, and the index knows. */
static enum stoq_status settle(struct compact *c, struct stoq_error *err)
{
    if (c->move_count == 0) {
        return STOQ_OK;
    }
    enum stoq_status st = write_buffer(c, err);
    if (st == STOQ_OK && c->out.end > c->out.settled) {
        st = make_durable(c, err);
    }
#ifdef STOQ_LEFT_OUT_compact_index_order
    return st; /* after the unlink, see remove_victim */
#else
    return st == STOQ_OK ? point_index(c, err) : st;
#endif
}

static void close_output(struct compact *c)
{
    if (c->out.fd >= 0) {
        (void)posix_fadvise(c->out.fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(c->out.fd);
    }
    c->out = (struct output){.fd = -1};
}

/* A segment with room for n bytes more. */
static enum stoq_status find_output(struct compact *c, uint64_t n, struct stoq_error *err)
{
    struct stoq_gc *g = c->g;
    if (c->out.fd >= 0 && c->out.end + n <= g->s->segment_bytes) {
        return STOQ_OK;
    }
    enum stoq_status st = c->out.fd >= 0 ? settle(c, err) : STOQ_OK;
    if (st != STOQ_OK) {
        return st;
    }
    close_output(c);
    if (g->out_next == g->out_end) {
        return stoq_fail(err, STOQ_FULL, 0, "no number is left for a segment in %s", g->s->dir);
    }
    struct stoq_segment_header header = {.number = g->out_next};
    memcpy(header.store_id, g->s->id, sizeof header.store_id);
    if (!stoq_quota_take(g->s, STOQ_SEGMENT_HEADER_BYTES)) {
        return stoq_quota_fail(g->s, err);
    }
    int e = stoq_segment_create(&g->s->fault, g->s->segments_fd, &header, &c->out.fd);
    if (e != 0) {
        stoq_quota_give(g->s, STOQ_SEGMENT_HEADER_BYTES);
        c->out.fd = -1;
        return fail_io(c, e, "create", header.number, err);
    }
    c->out.number = g->out_next++;
    c->out.end = STOQ_SEGMENT_HEADER_BYTES;
    c->out.settled = 0;
    return STOQ_OK;
}

static enum stoq_status buffer_room(struct compact *c, size_t n, struct stoq_error *err)
{
    if (c->buffered + n <= c->buffer_cap) {
        return STOQ_OK;
    }
    enum stoq_status st = write_buffer(c, err);
    if (st == STOQ_OK && n > c->buffer_cap) {
        uint8_t *p = realloc(c->buffer, n);
        if (p == NULL) {
            return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a record of %zu bytes", n);
        }
        c->buffer = p;
        c->buffer_cap = n;
    }
    return st;
}

static enum stoq_status copy(struct compact *c, const struct stoq_record *rec,
                             const struct stoq_entry *e, struct stoq_error *err)
{
    uint64_t n = stoq_record_bytes(rec->key.n, rec->info.stored_len);
    enum stoq_status st = find_output(c, n, err);
    if (st == STOQ_OK) {
        st = buffer_room(c, (size_t)n, err);
    }
    if (st == STOQ_OK && !stoq_quota_take(c->g->s, n)) {
        st = stoq_quota_fail(c->g->s, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    stoq_record_encode(c->buffer + c->buffered, rec);
    c->moves[c->move_count++] =
        (struct stoq_index_move){.e = *e, .segment = c->out.number, .offset = (uint32_t)c->out.end};
    c->buffered += (size_t)n;
    c->out.end += n;
    c->copied += n;
    c->g->r->bytes_copied += n;
    return stoq_pace_take(&c->g->pace, n) ? STOQ_OK
                                          : stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
}

/* One record of the victim. */
static enum stoq_status take(struct compact *c, const struct stoq_scan_item *item,
                             struct stoq_error *err)
{
    const struct stoq_record *rec = &item->rec;
    struct stoq_entry e;
    enum stoq_status st = stoq_index_get(c->g->s->index, rec->type, rec->key, &e, err);
    if (st == STOQ_NOTFOUND ||
        (st == STOQ_OK && (e.segment != c->victim || e.offset != (uint32_t)item->offset))) {
        return STOQ_OK; /* dead */
    }
    if (st == STOQ_OK && c->move_count == ROUND_RECORDS) {
        st = settle(c, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    if (rec->type == STOQ_RECORD_TOMBSTONE && stoq_tombs_may_go(c->g->tombs, rec->key)) {
        c->moves[c->move_count++] = (struct stoq_index_move){.e = e, .drop = true};
        c->g->r->tombstones++;
        return STOQ_OK;
    }
    return copy(c, rec, &e, err);
}

static enum stoq_status read_victim(struct compact *c, struct stoq_error *err)
{
    struct stoq_scan scan;
    enum stoq_status st =
        stoq_scan_init(&scan, c->victim_fd, STOQ_SEGMENT_HEADER_BYTES, 0, c->g->s->codec);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, errno, "read segment %08x", c->victim);
    }
    stoq_scan_pieces(&scan, PIECE_BYTES);
    struct stoq_scan_item item = {0};
    while (st == STOQ_OK) {
        st = stoq_scan_next(&scan, &item);
        if (st != STOQ_OK) {
            st = stoq_fail(err, st, errno, "read segment %08x", c->victim);
        } else if (item.kind == STOQ_SCAN_END) {
            break;
        } else if (item.kind == STOQ_SCAN_RECORD) {
            st = take(c, &item, err);
        }
        c->has_damage = c->has_damage || item.kind == STOQ_SCAN_DAMAGE;
        if (st == STOQ_OK && !stoq_pace_take(&c->g->pace, item.bytes)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
    }
    stoq_scan_release(&scan);
    return st;
}

/* A record that reading from end to end did not believe, though the index means it: copy it if it is
 * whole. */
static enum stoq_status rescue(struct compact *c, const struct stoq_entry *e,
                               struct stoq_buf *bytes, struct stoq_error *err)
{
    struct stoq_record rec;
    size_t n = (size_t)stoq_entry_bytes(e);
    stoq_buf_clear(bytes);
    enum stoq_status st = stoq_buf_reserve(bytes, n);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory for a record of %zu bytes", n);
    }
    if (stoq_file_pread_all(c->victim_fd, bytes->p, n, e->offset) == STOQ_OK &&
        stoq_record_decode(stoq_span(bytes->p, n), &rec) == STOQ_OK && rec.type == e->type &&
        rec.sequence == e->sequence && stoq_span_eq(rec.key, stoq_entry_key(e))) {
        return copy(c, &rec, e, err);
    }
    c->moves[c->move_count++] = (struct stoq_index_move){.e = *e, .drop = true};
    c->g->r->lost++;
    return STOQ_OK;
}

/* What the index still promises in a damaged victim: had after all, or no longer promised. A pass over the
 * index. */
static enum stoq_status rescue_rest(struct compact *c, struct stoq_error *err)
{
    struct stoq_walk w;
    struct stoq_buf bytes;
    const struct stoq_entry *e = NULL;
    stoq_buf_init(&bytes, 2 * (size_t)STOQ_RECORD_BYTES_MAX);
    enum stoq_status st = stoq_walk_init(&w, c->g->s->index, 1, STOQ_RECORD_TYPES - 1, err);
    while (st == STOQ_OK && (st = stoq_walk_next(&w, &e, err)) == STOQ_OK && e != NULL) {
        if (e->segment != c->victim) {
            continue;
        }
        if (c->move_count == ROUND_RECORDS) {
            st = settle(c, err);
        }
        if (st == STOQ_OK) {
            st = rescue(c, e, &bytes, err);
        }
    }
    stoq_walk_release(&w);
    stoq_buf_release(&bytes);
    return st == STOQ_OK ? settle(c, err) : st;
}

/* Nothing of it is needed any more. */
static enum stoq_status remove_victim(struct compact *c, uint64_t file_bytes,
                                      struct stoq_error *err)
{
    struct stoq_store *s = c->g->s;
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, c->victim);
    struct stat sb;
    bool is_there = fstatat(s->segments_fd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0;
    stoq_segment_cache_drop(s->cache, c->victim);
    if (unlinkat(s->segments_fd, name, 0) != 0 && errno != ENOENT) {
        return fail_io(c, errno, "remove", c->victim, err);
    }
    if (is_there) {
        stoq_quota_give(s, (uint64_t)sb.st_size);
    }
    int e = stoq_durable_unlink_dirsync(s->segments_fd);
    if (e != 0) {
        return fail_io(c, e, "remove", c->victim, err);
    }
    c->g->r->segments++;
    c->g->r->bytes_freed += file_bytes - (c->copied < file_bytes ? c->copied : file_bytes);
#ifdef STOQ_LEFT_OUT_compact_index_order
    return point_index(c, err);
#else
    return STOQ_OK;
#endif
}

static enum stoq_status rewrite(struct compact *c, const struct stoq_segment_use *use,
                                struct stoq_error *err)
{
    char name[STOQ_SEGMENT_NAME_BYTES];
    enum stoq_status st = STOQ_OK;
    stoq_segment_name(name, use->number);
    c->victim = use->number;
    c->copied = 0;
    c->has_damage = false;
    if (use->live_bytes > use->going_bytes || use->number >= c->g->sealed_below) {
        c->victim_fd = openat(c->g->s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (c->victim_fd < 0) {
            return fail_io(c, errno, "open", use->number, err);
        }
        (void)posix_fadvise(c->victim_fd, 0, 0, POSIX_FADV_RANDOM); /* no megabytes ahead */
        st = read_victim(c, err);
        if (st == STOQ_OK) {
            st = settle(c, err);
        }
        if (st == STOQ_OK && c->has_damage) {
            st = rescue_rest(c, err);
        }
        (void)posix_fadvise(c->victim_fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(c->victim_fd);
    }
    return st == STOQ_OK ? remove_victim(c, use->file_bytes, err) : st;
}

/* What a failure left behind the last settled byte. */
static void cut_output(struct compact *c)
{
    if (c->out.fd >= 0 && c->out.end > c->out.settled) {
        stoq_quota_give(c->g->s, c->out.end - c->out.settled);
        if (c->out.settled > 0) {
            (void)!ftruncate(c->out.fd, (off_t)c->out.settled);
        } else {
            char name[STOQ_SEGMENT_NAME_BYTES];
            stoq_segment_name(name, c->out.number);
            (void)unlinkat(c->g->s->segments_fd, name, 0);
        }
    }
}

/* Do the victim's live records fit below the quota, beside the victim? */
static bool has_room(struct stoq_gc *g, const struct stoq_segment_use *use)
{
    struct stoq_store_room room;
    stoq_store_room(g->s, &room);
    uint64_t n = use->live_bytes - use->going_bytes + 2 * STOQ_SEGMENT_HEADER_BYTES;
    return room.quota_bytes == 0 || use->live_bytes == use->going_bytes ||
           room.used_bytes + n <= room.quota_bytes;
}

enum stoq_status stoq_gc_compact(struct stoq_gc *g, struct stoq_error *err)
{
    struct compact c = {.g = g, .out = {.fd = -1}, .buffer_cap = PIECE_BYTES};
    c.buffer = malloc(PIECE_BYTES);
    c.moves = calloc(ROUND_RECORDS, sizeof *c.moves);
    enum stoq_status st = STOQ_OK;
    if (c.buffer == NULL || c.moves == NULL) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to rewrite segments");
    }
    for (size_t i = 0; st == STOQ_OK && i < g->usage.count; i++) {
        const struct stoq_segment_use *use = &g->usage.segment[i];
        if (use->is_victim && has_room(g, use)) {
            st = rewrite(&c, use, err);
        } else if (use->is_victim) {
            stoq_tombs_stay(g->tombs); /* it holds what some of them delete */
        }
    }
    if (st != STOQ_OK) {
        cut_output(&c);
    }
    close_output(&c);
    free(c.buffer);
    free(c.moves);
    return st;
}
