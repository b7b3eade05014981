/*
 * Making the index agree with the segments, at open (from the mark on) or anew (from the first
 * byte). Both fold records into an index in batches; they differ in what they trust:
 *
 *   tail     these bytes were never known to be durable. fdatasync first, then read them past the
 *            page cache where possible, for after a failed fdatasync the cache may hold what the
 *            disk does not. A chunk counts when its content has its hash.
 *   rebuild  everything, by checksum. A new index grows beside the old one (index.new, without a
 *   sync
 *            per transaction), is synced, and takes its place; a crash in between leaves no index,
 *            and then the next open does it again.
 *
 * Only in the last segment is damage at the end a torn tail, and cut. If records that could not be
 * believed may be in it, it stays and the next append begins a new segment.
 */
#include "store/fold.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLD_ENTRIES STOQ_COMMIT_BATCH

enum stoq_status stoq_fold_init(struct stoq_fold *f, struct stoq_store *s, struct stoq_index *index,
                                bool tail, struct stoq_error *err)
{
    *f = (struct stoq_fold){.s = s, .index = index, .tail = tail, .mark = {.next_sequence = 1}};
    f->entries = calloc(FOLD_ENTRIES, sizeof *f->entries);
    f->batch = calloc(FOLD_ENTRIES, sizeof *f->batch);
    if (f->entries == NULL || f->batch == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "recover %s", s->dir);
    }
    return STOQ_OK;
}

void stoq_fold_release(struct stoq_fold *f)
{
    free(f->entries);
    free(f->batch);
}

static enum stoq_status fold_flush(struct stoq_fold *f, struct stoq_error *err)
{
    for (size_t i = 0; i < f->n; i++) {
        f->batch[i] = &f->entries[i];
    }
    enum stoq_status st = stoq_index_apply(f->index, f->batch, f->n, &f->mark, err);
    f->n = 0;
    return st;
}

static enum stoq_status fold_record(struct stoq_fold *f, uint32_t segment,
                                    const struct stoq_scan_item *item, struct stoq_error *err)
{
    const struct stoq_record *rec = &item->rec;
    struct stoq_entry *e = &f->entries[f->n++];
    *e = (struct stoq_entry){
        .type = rec->type,
        .key_len = (uint8_t)rec->key.n,
        .segment = segment,
        .offset = (uint32_t)item->offset,
        .sequence = rec->sequence,
        .info = rec->info,
    };
    memcpy(e->key, rec->key.p, rec->key.n);
    f->report.records++;
    f->mark.segment = segment;
    f->mark.offset = item->offset + item->bytes;
    if (rec->sequence >= f->mark.next_sequence) {
        f->mark.next_sequence = rec->sequence + 1;
    }
    return f->n == FOLD_ENTRIES ? fold_flush(f, err) : STOQ_OK;
}

static void fold_damage(struct stoq_fold *f, uint32_t segment, const struct stoq_scan_item *item)
{
    f->report.quarantined++;
    stoq_store_say(f->s, "segment %08x: %llu damaged bytes at %llu are left aside", segment,
                   (unsigned long long)item->bytes, (unsigned long long)item->offset);
}

/* A whole record, but of the tail: does a chunk hold what its key says? */
static bool believed(struct stoq_fold *f, const struct stoq_record *rec)
{
    return !f->tail || rec->type != STOQ_RECORD_CHUNK ||
           stoq_codec_check(f->s->codec, rec->key, rec->info, rec->stored) == STOQ_OK;
}

/* Scan from an offset on. *torn is the damage that the file ends with; kind END when none. */
static enum stoq_status fold_scan(struct stoq_fold *f, uint32_t segment, struct stoq_scan *scan,
                                  struct stoq_scan_item *torn, struct stoq_error *err)
{
    *torn = (struct stoq_scan_item){.kind = STOQ_SCAN_END};
    for (;;) {
        struct stoq_scan_item item = {0};
        enum stoq_status st = stoq_scan_next(scan, &item);
        if (st != STOQ_OK) {
            return stoq_fail(err, st, errno, "read segment %08x", segment);
        }
        if (item.kind == STOQ_SCAN_RECORD && !believed(f, &item.rec)) {
            item.kind = STOQ_SCAN_DAMAGE;
        }
        if (item.kind == STOQ_SCAN_END) {
            return STOQ_OK;
        }
        if (torn->kind == STOQ_SCAN_DAMAGE) {
            fold_damage(f, segment, torn); /* something follows: not torn, rotten */
            torn->kind = STOQ_SCAN_END;
        }
        if (item.kind == STOQ_SCAN_DAMAGE) {
            *torn = item;
            continue;
        }
        st = fold_record(f, segment, &item, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
}

/* The end of the last segment: cut what is torn. */
static enum stoq_status settle_end(struct stoq_fold *f, int fd, uint32_t segment,
                                   const struct stoq_scan_item *torn, struct stoq_error *err)
{
    f->append_after = true;
    if (torn->kind != STOQ_SCAN_DAMAGE) {
        return STOQ_OK;
    }
    if (torn->doubtful) {
        f->append_after = false;
        fold_damage(f, segment, torn);
        return STOQ_OK;
    }
    int e = stoq_durable_truncate(fd, torn->offset);
    if (e != 0) {
        return stoq_fail(err, STOQ_IO, e, "cut the torn end of segment %08x", segment);
    }
    f->report.torn_bytes += torn->bytes;
    stoq_store_say(f->s, "segment %08x: cut %llu torn bytes off its end", segment,
                   (unsigned long long)torn->bytes);
    return STOQ_OK;
}

/* What a segment's header says about scanning it. */
enum header_verdict { HEADER_GOOD, HEADER_DAMAGED, HEADER_FOREIGN, HEADER_SHORT };

static enum stoq_status check_header(struct stoq_fold *f, int fd, uint32_t number,
                                     enum header_verdict *out, struct stoq_error *err)
{
    uint8_t bytes[STOQ_SEGMENT_HEADER_BYTES];
    size_t got;
    if (stoq_file_pread_some(fd, bytes, sizeof bytes, 0, &got) != STOQ_OK) {
        return stoq_fail(err, STOQ_IO, errno, "read segment %08x", number);
    }
    struct stoq_segment_header h;
    switch (stoq_segment_header_decode(stoq_span(bytes, got), &h)) {
    case STOQ_OK:
        *out = memcmp(h.store_id, f->s->id, sizeof h.store_id) == 0 && h.number == number
                   ? HEADER_GOOD
                   : HEADER_FOREIGN;
        return STOQ_OK;
    case STOQ_TRUNC:
        *out = HEADER_SHORT;
        return STOQ_OK;
    case STOQ_VERSION:
        return stoq_fail(err, STOQ_VERSION, 0, "segment %08x of %s is of a newer format", number,
                         f->s->dir);
    default:
        *out = HEADER_DAMAGED;
        return STOQ_OK;
    }
}

/* A descriptor that reads the device rather than the page cache, or fd's twin where that cannot
 * be. */
static int open_direct(const struct stoq_store *s, const char *name)
{
    int fd = openat(s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECT);
    if (fd < 0 && errno == EINVAL) {
        fd = openat(s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    return fd;
}

static enum stoq_status fold_open_segment(struct stoq_fold *f, int fd, uint32_t number,
                                          uint64_t from, bool last, struct stoq_error *err)
{
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, number);
    int scan_fd = fd;
    if (f->tail) {
        int e = stoq_durable_recovery_fdatasync(fd);
        if (e != 0) {
            return stoq_fail(err, STOQ_IO, e, "sync segment %08x", number);
        }
        scan_fd = open_direct(f->s, name);
        if (scan_fd < 0) {
            return stoq_fail(err, STOQ_IO, errno, "open segment %08x", number);
        }
    }
    struct stoq_scan scan;
    struct stoq_scan_item torn = {.kind = STOQ_SCAN_END};
    enum stoq_status st = stoq_scan_init(&scan, scan_fd, from, f->mark.next_sequence, f->s->codec);
    if (st == STOQ_OK) {
        st = fold_scan(f, number, &scan, &torn, err);
    } else {
        st = stoq_fail(err, st, errno, "read segment %08x", number);
    }
    stoq_scan_release(&scan);
    if (scan_fd != fd) {
        (void)close(scan_fd);
    }
    if (st == STOQ_OK && last) {
        st = settle_end(f, fd, number, &torn, err);
    } else if (st == STOQ_OK && torn.kind == STOQ_SCAN_DAMAGE) {
        fold_damage(f, number, &torn);
    }
    return st;
}

/* Fold one segment, from an offset on. */
static enum stoq_status fold_segment(struct stoq_fold *f, uint32_t number, uint64_t from, bool last,
                                     struct stoq_error *err)
{
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, number);
    int fd = openat(f->s->segments_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "open segment %08x", number);
    }
    enum header_verdict header = HEADER_SHORT;
    enum stoq_status st = check_header(f, fd, number, &header, err);
    f->report.segments++;
    if (st == STOQ_OK && header == HEADER_SHORT && last) {
        st = unlinkat(f->s->segments_fd, name, 0) == 0
                 ? STOQ_OK
                 : stoq_fail(err, STOQ_IO, errno, "remove segment %08x", number);
    } else if (st == STOQ_OK && (header == HEADER_SHORT || header == HEADER_FOREIGN)) {
        f->report.quarantined++;
        stoq_store_say(f->s, "segment %08x is not of this store; it is left aside", number);
    } else if (st == STOQ_OK) {
        if (header == HEADER_DAMAGED) {
            stoq_store_say(f->s, "segment %08x has a damaged header; its records are read", number);
        }
        st = fold_open_segment(f, fd, number, from, last, err);
        f->append_after = f->append_after && header == HEADER_GOOD;
    }
    (void)close(fd);
    return st;
}

enum stoq_status stoq_fold_all(struct stoq_fold *f, const uint32_t *number, size_t count,
                               struct stoq_index_mark from, struct stoq_error *err)
{
    f->mark = from;
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; i < count && st == STOQ_OK; i++) {
        if (number[i] < from.segment) {
            continue;
        }
        uint64_t at = number[i] == from.segment ? from.offset : STOQ_SEGMENT_HEADER_BYTES;
        st = fold_segment(f, number[i], at, i + 1 == count, err);
    }
    if (st == STOQ_OK && f->n > 0) {
        st = fold_flush(f, err);
    }
    return st;
}
