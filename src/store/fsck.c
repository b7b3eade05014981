/*
 * Two passes. The first reads every segment from its first byte to the index's mark, whatever the
 * index says: each record's checksum, each chunk against its hash; so damage is found in what is
 * deleted or superseded too. That is told as harmless, for nothing that is promised lies there. The
 * second asks for everything the index promises, the way a reader does: that finds a promise that
 * leads nowhere, and marks it quarantined, so that it is not made again. Records that come while it
 * runs are left to the next run.
 */
#include "store/damage.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_ENTRIES 256

struct fsck {
    struct stoq_store *s;
    struct stoq_index_mark mark;
    struct stoq_codec *codec;
    struct stoq_buf payload;
    struct stoq_damage damage; /* of the segment being read */
    int fd;                    /* its */
    void (*found)(void *user, const char *what);
    void *user;
    struct stoq_store_fsck_report r;
};

static void found(struct fsck *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void found(struct fsck *f, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (f->found != NULL) {
        f->found(f->user, text);
    }
}

static bool header_is_good(const struct fsck *f, int fd, uint32_t number)
{
    uint8_t bytes[STOQ_SEGMENT_HEADER_BYTES];
    struct stoq_segment_header h;
    return stoq_file_pread_all(fd, bytes, sizeof bytes, 0) == STOQ_OK &&
           stoq_segment_header_decode(stoq_span(bytes, sizeof bytes), &h) == STOQ_OK &&
           h.number == number && memcmp(h.store_id, f->s->id, sizeof h.store_id) == 0;
}

static void look_at(struct fsck *f, uint32_t number, const struct stoq_scan_item *item)
{
    const struct stoq_record *rec = &item->rec;
    f->r.bytes += item->bytes;
    if (item->kind == STOQ_SCAN_DAMAGE) {
        f->r.damaged++;
        stoq_damage_add(&f->damage, item->offset, item->bytes);
        return;
    }
    f->r.records++;
    if (rec->type == STOQ_RECORD_CHUNK &&
        stoq_codec_check(f->codec, rec->key, rec->info, rec->stored) != STOQ_OK) {
        f->r.damaged++;
        stoq_damage_add(&f->damage, item->offset, item->bytes);
    }
}

static enum stoq_status is_whole(void *user, const struct stoq_entry *e, bool *whole,
                                 struct stoq_error *err)
{
    struct fsck *f = user;
    enum stoq_status st = stoq_damage_is_whole(f->fd, f->codec, e, whole);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "check the store");
}

/* Tell of the segment's damage, and whether it matters. */
static enum stoq_status judge(struct fsck *f, struct stoq_error *err)
{
    struct stoq_damage *d = &f->damage;
    enum stoq_status st =
        d->count == 0 ? STOQ_OK : stoq_damage_each(f->s, d, is_whole, NULL, f, err);
    for (size_t i = 0; st == STOQ_OK && i < d->count; i++) {
        const struct stoq_stretch *at = &d->stretch[i];
        f->r.harmless += !at->needed;
        f->r.problems += at->needed;
        found(f, "segment %08x: %llu bytes at %llu are no whole record%s", d->segment,
              (unsigned long long)(at->to - at->from), (unsigned long long)at->from,
              at->needed ? "" : "; harmless, nothing that is needed lies there");
    }
    d->count = 0;
    return st;
}

static enum stoq_status scan_segment(struct fsck *f, int fd, uint32_t number,
                                     struct stoq_error *err)
{
    struct stoq_scan scan;
    enum stoq_status st = stoq_scan_init(&scan, fd, STOQ_SEGMENT_HEADER_BYTES, 0, f->codec);
    if (number == f->mark.segment && scan.file_bytes > f->mark.offset) {
        scan.file_bytes = f->mark.offset; /* behind it somebody may be writing */
    }
    struct stoq_scan_item item = {0};
    while (st == STOQ_OK && item.kind != STOQ_SCAN_END) {
        st = stoq_scan_next(&scan, &item);
        if (st == STOQ_OK && item.kind != STOQ_SCAN_END) {
            look_at(f, number, &item);
        }
    }
    stoq_scan_release(&scan);
    return st == STOQ_OK ? judge(f, err) : stoq_fail(err, st, errno, "read segment %08x", number);
}

static enum stoq_status read_segments(struct fsck *f, struct stoq_error *err)
{
    uint32_t *number;
    size_t count;
    enum stoq_status st = stoq_segment_list(f->s->segments_fd, &number, &count, err);
    for (size_t i = 0; st == STOQ_OK && i < count && number[i] <= f->mark.segment; i++) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        stoq_segment_name(name, number[i]);
        int fd = openat(f->s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
            continue; /* collected since */
        }
        if (fd < 0) {
            st = stoq_fail(err, STOQ_IO, errno, "open segment %08x", number[i]);
            break;
        }
        f->r.segments++;
        f->damage.segment = number[i];
        f->fd = fd;
        if (!header_is_good(f, fd, number[i])) {
            f->r.damaged++;
            f->r.problems++;
            found(f, "segment %08x: its header is damaged or another store's", number[i]);
        }
        st = scan_segment(f, fd, number[i], err);
        (void)close(fd);
    }
    free(number);
    return st;
}

static enum stoq_status keep_promise(struct fsck *f, const struct stoq_entry *e,
                                     struct stoq_error *err)
{
    struct stoq_stored info;
    struct stoq_error why = {0};
    f->r.live++;
    stoq_buf_clear(&f->payload);
    enum stoq_status st = stoq_store_read_stored(
        f->s, e->type, stoq_entry_key(e), e->type == STOQ_RECORD_CHUNK ? STOQ_STORE_VERIFY : 0,
        &info, &f->payload, &why);
    if (st == STOQ_PROOF || st == STOQ_MALFORMED) {
        f->r.lost++;
        f->r.problems++;
        found(f, "%s", why.text);
        return STOQ_OK;
    }
    if (st == STOQ_NOTFOUND) {
        return STOQ_OK; /* deleted since */
    }
    if (st != STOQ_OK && err != NULL) {
        *err = why;
    }
    return st;
}

static enum stoq_status read_type(struct fsck *f, uint8_t type, struct stoq_error *err)
{
    struct stoq_entry *page = calloc(PAGE_ENTRIES, sizeof *page);
    if (page == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "check the store");
    }
    struct stoq_entry last = {0};
    size_t n = PAGE_ENTRIES;
    enum stoq_status st = STOQ_OK;
    while (st == STOQ_OK && n == PAGE_ENTRIES) {
        st = stoq_index_page(f->s->index, type, stoq_entry_key(&last), page, PAGE_ENTRIES, &n, err);
        for (size_t i = 0; st == STOQ_OK && i < n; i++) {
            st = keep_promise(f, &page[i], err);
        }
        last = n > 0 && st == STOQ_OK ? page[n - 1] : last;
    }
    free(page);
    return st;
}

static enum stoq_status run(struct fsck *f, struct stoq_error *err)
{
    struct stoq_index_meta meta;
    enum stoq_status st = stoq_store_sync(f->s, err);
    if (st == STOQ_OK) {
        st = stoq_index_meta(f->s->index, &meta, err);
    }
    if (st == STOQ_OK) {
        f->mark = meta.mark;
        st = read_segments(f, err);
    }
    for (uint8_t type = 1; st == STOQ_OK && type < STOQ_RECORD_TYPES; type++) {
        if (type != STOQ_RECORD_TOMBSTONE && type != STOQ_RECORD_IN_PLACE) {
            st = read_type(f, type, err);
        }
    }
    return st;
}

enum stoq_status stoq_store_fsck(struct stoq_store *s, void (*each)(void *user, const char *what),
                                 void *user, struct stoq_store_fsck_report *report,
                                 struct stoq_error *err)
{
    struct fsck f = {.s = s, .found = each, .user = user};
    stoq_buf_init(&f.payload, STOQ_RECORD_BYTES_MAX);
    enum stoq_status st = stoq_codec_new(&f.codec, 3);
    st = st == STOQ_OK ? run(&f, err) : stoq_fail(err, st, 0, "check the store");
    stoq_codec_free(f.codec);
    stoq_buf_release(&f.payload);
    *report = f.r;
    return st;
}
