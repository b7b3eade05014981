/*
 * One pass, in steps:
 *
 *     segments   each record of each segment up to the index's mark, in order, read past the page cache:
 *                its checksum, and of a chunk the hash. Stretches that are no whole record are noted; at the
 *                segment's end the index is walked once for what it promises there.
 *     places     each chunk that is only in place is read from the user's files and hashed
 *     promises   each entry of the index must lie inside a segment that is there
 *
 * What a stretch of damage held is told by the index, not by the damaged bytes: those may name anything.
 * An entry that lies there is read once more by itself; when it is whole after all, a small record is
 * moved to the log's end, where a rebuild would believe it. If the disk still says no, the reader everybody
 * uses decides: it may find the record moved or deleted meanwhile, or whole in the page cache, and then it
 * is written anew at the log's end; else it quarantines it. A tombstone has no payload, so it is simply
 * written again.
 *
 * A disk that cannot read a sector (EIO) ends the sequential reading of that segment: the rest of it
 * counts as one doubtful stretch, and its records are tried one by one.
 */
#include "store/scrub.h"

#include "store/damage.h"
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_ENTRIES 256
/* Of the promises: index entries looked at in one step. */
#define PROMISES_STEP (64 * PAGE_ENTRIES)

struct segment_size {
    uint32_t number;
    uint64_t bytes;
};

struct stoq_scrub {
    struct stoq_scrub_config cfg;
    struct stoq_store *s;
    struct stoq_scrub_state *state;
    struct stoq_codec *codec;
    struct stoq_buf payload;
    struct stoq_damage damage;
    /* SEGMENTS: the segment that is open; fd -1: none */
    int fd;
    bool is_direct;
    bool has_scan;
    struct stoq_scan scan;
    /* PROMISES */
    uint8_t type;
    struct stoq_entry last;
    struct segment_size *sizes;
    size_t size_count;
    struct stoq_entry page[PAGE_ENTRIES];
};

static void tell(struct stoq_scrub *sc, bool lost, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void tell(struct stoq_scrub *sc, bool lost, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (sc->cfg.found == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sc->cfg.found(sc->cfg.user, lost, text);
}

static bool is_stopped(void *user)
{
    struct stoq_scrub *sc = user;
    return sc->cfg.stop != NULL && sc->cfg.stop(sc->cfg.user);
}

enum stoq_status stoq_scrub_new(struct stoq_scrub **out, const struct stoq_scrub_config *cfg,
                                struct stoq_scrub_state *state, struct stoq_error *err)
{
    if (cfg->store->read_only) {
        return stoq_fail(err, STOQ_RANGE, 0, "the store %s is open for reading only",
                         cfg->store->dir);
    }
    struct stoq_scrub *sc = calloc(1, sizeof *sc);
    if (sc == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to scrub");
    }
    sc->cfg = *cfg;
    sc->s = cfg->store;
    sc->state = state;
    sc->fd = -1;
    stoq_buf_init(&sc->payload, STOQ_RECORD_BYTES_MAX);
    enum stoq_status st = stoq_codec_new(&sc->codec, 3);
    if (st != STOQ_OK) {
        stoq_scrub_free(sc);
        return stoq_fail(err, st, 0, "no memory to scrub");
    }
    if (state->phase == STOQ_SCRUB_IDLE) {
        state->pass++;
        state->phase = STOQ_SCRUB_SEGMENTS;
        state->segment = 0;
        state->offset = 0;
        state->has_key = false;
        state->counts = (struct stoq_scrub_counts){0};
    }
    *out = sc;
    return STOQ_OK;
}

static void close_segment(struct stoq_scrub *sc)
{
    if (sc->has_scan) {
        stoq_scan_release(&sc->scan);
        sc->has_scan = false;
    }
    if (sc->fd >= 0) {
        (void)close(sc->fd);
        sc->fd = -1;
    }
}

void stoq_scrub_free(struct stoq_scrub *sc)
{
    if (sc == NULL) {
        return;
    }
    close_segment(sc);
    stoq_codec_free(sc->codec);
    stoq_buf_release(&sc->payload);
    free(sc->sizes);
    free(sc);
}

/* Only that something was deleted was lost: say it again, unless it is back. */
static enum stoq_status bury_again(struct stoq_scrub *sc, const struct stoq_entry *e,
                                   struct stoq_error *err)
{
    enum stoq_status st = stoq_store_entomb(sc->s, stoq_entry_key(e), err);
    sc->state->counts.healed += st == STOQ_OK;
    return st;
}

/* Does the index still mean this very place? */
static bool is_meant(struct stoq_scrub *sc, const struct stoq_entry *e)
{
    struct stoq_entry now;
    return stoq_index_get(sc->s->index, e->type, stoq_entry_key(e), &now, NULL) == STOQ_OK &&
           now.segment == e->segment && now.offset == e->offset && now.sequence == e->sequence;
}

/* Write it anew at the log's end, from the copy in payload. */
static enum stoq_status write_anew(struct stoq_scrub *sc, const struct stoq_entry *e,
                                   struct stoq_stored info, struct stoq_error *err)
{
    enum stoq_status st = stoq_store_put_anew(sc->s, e, info, stoq_buf_span(&sc->payload), err);
    sc->state->counts.healed += st == STOQ_OK;
    return st;
}

/* The disk does not have the record. Let the reader that everybody uses say what becomes of it. */
static enum stoq_status settle(struct stoq_scrub *sc, const struct stoq_entry *e,
                               struct stoq_error *err)
{
    struct stoq_stored info;
    struct stoq_error why = {0};
    if (e->type == STOQ_RECORD_TOMBSTONE) {
        return bury_again(sc, e, err);
    }
    if (e->quarantined) {
        sc->state->counts.lost++; /* known from before, and not written anew since */
        return STOQ_OK;
    }
    enum stoq_status st = stoq_store_read_stored(
        sc->s, (enum stoq_record_type)e->type, stoq_entry_key(e),
        e->type == STOQ_RECORD_CHUNK ? STOQ_STORE_VERIFY : 0, &info, &sc->payload, &why);
    if (st == STOQ_OK) {
        tell(sc, false, "segment %08x at %u: the disk has lost a %s; written anew from a copy",
             e->segment, e->offset, stoq_record_type_str(e->type));
        return write_anew(sc, e, info, err);
    }
    if (st == STOQ_PROOF || st == STOQ_MALFORMED) {
        sc->state->counts.lost++;
        tell(sc, true, "%s", why.text);
        return STOQ_OK;
    }
    if (st != STOQ_NOTFOUND && err != NULL) {
        *err = why;
    }
    return st == STOQ_NOTFOUND ? STOQ_OK : st; /* deleted since */
}

/* Whole, but so close behind damage that a rebuild would not believe it: move it away from there. Chunks
 * and manifests prove themselves. */
static enum stoq_status move_away(struct stoq_scrub *sc, const struct stoq_entry *e,
                                  struct stoq_error *err)
{
    struct stoq_stored info;
    if (e->type == STOQ_RECORD_CHUNK || e->type == STOQ_RECORD_MANIFEST || e->quarantined) {
        return STOQ_OK;
    }
    if (e->type == STOQ_RECORD_TOMBSTONE) {
        return bury_again(sc, e, err);
    }
    if (stoq_store_read_stored(sc->s, (enum stoq_record_type)e->type, stoq_entry_key(e), 0, &info,
                               &sc->payload, NULL) != STOQ_OK) {
        return STOQ_OK;
    }
    return write_anew(sc, e, info, err);
}

static enum stoq_status settle_each(void *user, const struct stoq_entry *e, bool *is_whole,
                                    struct stoq_error *err)
{
    struct stoq_scrub *sc = user;
    enum stoq_status st = stoq_damage_is_whole(sc->fd, sc->codec, e, is_whole);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "scrub");
    }
    if (!is_meant(sc, e)) {
        *is_whole = true; /* written anew or deleted since */
        return STOQ_OK;
    }
    return *is_whole ? move_away(sc, e, err) : settle(sc, e, err);
}

/* The open segment has been read: what do its damaged stretches cost? */
static enum stoq_status settle_damage(struct stoq_scrub *sc, struct stoq_error *err)
{
    struct stoq_damage *d = &sc->damage;
    if (d->count == 0) {
        return STOQ_OK;
    }
    struct stoq_scrub_counts before = sc->state->counts;
    enum stoq_status st = stoq_damage_each(sc->s, d, settle_each, is_stopped, sc, err);
    if (st != STOQ_OK) {
        sc->state->counts = before; /* the same again later */
        return st;
    }
    sc->state->counts.damaged += d->count;
    for (size_t i = 0; i < d->count; i++) {
        if (!d->stretch[i].needed) {
            sc->state->counts.harmless++;
            tell(sc, false, "segment %08x: %llu damaged bytes at %llu hold nothing that is needed",
                 d->segment, (unsigned long long)(d->stretch[i].to - d->stretch[i].from),
                 (unsigned long long)d->stretch[i].from);
        }
    }
    d->count = 0;
    return STOQ_OK;
}

static int open_segment_file(struct stoq_scrub *sc, uint32_t number)
{
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, number);
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(sc->s->segments_fd, name, flags | O_DIRECT);
    sc->is_direct = fd >= 0;
    return fd < 0 && errno == EINVAL ? openat(sc->s->segments_fd, name, flags) : fd;
}

/* Open the first segment from state->segment on that the index's mark covers. *more false: none. */
static enum stoq_status open_next(struct stoq_scrub *sc, bool *more, struct stoq_error *err)
{
    struct stoq_index_meta meta;
    uint32_t *number;
    size_t count;
    size_t i = 0;
    *more = false;
    enum stoq_status st = stoq_index_meta(sc->s->index, &meta, err);
    if (st == STOQ_OK) {
        st = stoq_segment_list(sc->s->segments_fd, &number, &count, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    while (i < count && number[i] < sc->state->segment) {
        i++;
    }
    uint32_t next = i < count && number[i] <= meta.mark.segment ? number[i] : 0;
    free(number);
    if (next == 0) {
        return STOQ_OK;
    }
    uint64_t from = next == sc->state->segment ? sc->state->offset : 0;
    sc->state->segment = next;
    sc->state->offset = from > STOQ_SEGMENT_HEADER_BYTES ? from : STOQ_SEGMENT_HEADER_BYTES;
    sc->damage.segment = next;
    sc->damage.count = 0;
    *more = true;
    sc->fd = open_segment_file(sc, next);
    if (sc->fd < 0 && errno == ENOENT) {
        return STOQ_OK; /* gone since: the next call looks behind it */
    }
    if (sc->fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "open segment %08x", next);
    }
    st = stoq_scan_init(&sc->scan, sc->fd, sc->state->offset, meta.mark.next_sequence, sc->codec);
    sc->has_scan = true;
    if (st != STOQ_OK) {
        close_segment(sc);
        return stoq_fail(err, st, errno, "read segment %08x", next);
    }
    if (next == meta.mark.segment && sc->scan.file_bytes > meta.mark.offset) {
        sc->scan.file_bytes = meta.mark.offset; /* behind it somebody may be writing */
    }
    return STOQ_OK;
}

/* Note one item. The place to go on from stays before the first damage that is not settled. */
static void look_at(struct stoq_scrub *sc, const struct stoq_scan_item *item)
{
    struct stoq_scrub_counts *c = &sc->state->counts;
    const struct stoq_record *rec = &item->rec;
    c->bytes += item->bytes;
    bool good = item->kind == STOQ_SCAN_RECORD &&
                (rec->type != STOQ_RECORD_CHUNK ||
                 stoq_codec_check(sc->codec, rec->key, rec->info, rec->stored) == STOQ_OK);
    if (good) {
        c->records++;
    } else {
        stoq_damage_add(&sc->damage, item->offset, item->bytes);
    }
    if (sc->damage.count == 0) {
        sc->state->offset = item->offset + item->bytes;
    }
}

/* Read on in the open segment; *end: it is read and settled. */
static enum stoq_status read_segment(struct stoq_scrub *sc, uint64_t bytes_max, bool *end,
                                     struct stoq_error *err)
{
    uint64_t until = sc->scan.at + bytes_max;
    struct stoq_scan_item item = {0};
    *end = false;
    uint64_t from = sc->scan.at;
    while (!*end && sc->scan.at < until) {
        if (is_stopped(sc)) {
            return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
        uint64_t at = sc->scan.at;
        enum stoq_status st = stoq_scan_next(&sc->scan, &item);
        if (st == STOQ_IO) { /* its records are tried one by one */
            struct stoq_error why;
            (void)stoq_fail(&why, st, errno, "segment %08x cannot be read at %llu",
                            sc->damage.segment, (unsigned long long)at);
            tell(sc, false, "%s", why.text);
            stoq_damage_add(&sc->damage, at, sc->scan.file_bytes - at);
            sc->scan.at = sc->scan.file_bytes;
        } else if (st != STOQ_OK) {
            return stoq_fail(err, st, 0, "read segment %08x", sc->damage.segment);
        } else if (item.kind == STOQ_SCAN_END) {
            *end = true;
        } else {
            look_at(sc, &item);
        }
    }
    if (!sc->is_direct) {
        (void)posix_fadvise(sc->fd, (off_t)from, (off_t)(sc->scan.at - from), POSIX_FADV_DONTNEED);
    }
    return *end ? settle_damage(sc, err) : STOQ_OK;
}

static enum stoq_status step_segments(struct stoq_scrub *sc, uint64_t bytes_max,
                                      struct stoq_error *err)
{
    bool more = true;
    bool end = true;
    enum stoq_status st = STOQ_OK;
    if (sc->fd < 0) {
        st = open_next(sc, &more, err);
    }
    if (st == STOQ_OK && sc->fd >= 0) {
        st = read_segment(sc, bytes_max, &end, err);
    }
    if (st != STOQ_OK) {
        close_segment(sc); /* the next step opens it again where state says */
        return st;
    }
    if (!more) {
        sc->state->phase = STOQ_SCRUB_PLACES;
    } else if (end) {
        close_segment(sc);
        sc->state->segment++;
        sc->state->offset = 0;
    }
    return STOQ_OK;
}

/* A chunk that is only in place: are its bytes still there? */
static enum stoq_status read_place(struct stoq_scrub *sc, const struct stoq_entry *e,
                                   uint64_t *bytes, struct stoq_error *err)
{
    struct stoq_stored info = {0};
    struct stoq_error why = {0};
    bool here;
    if (stoq_store_is_stored(sc->s, stoq_entry_key(e))) {
        return STOQ_OK;
    }
    enum stoq_status st =
        stoq_places_read(sc->s, stoq_entry_key(e), &info, &sc->payload, &here, &why);
    if (!here) {
        return st == STOQ_NOTFOUND || st == STOQ_PROOF ? STOQ_OK : st;
    }
    sc->state->counts.places++;
    sc->state->counts.bytes += info.raw_len;
    *bytes += info.raw_len;
    if (st == STOQ_OK && e->quarantined) { /* it is back: a disk was mounted, an edit undone */
        st = stoq_index_readmit(sc->s->index, e, err);
        sc->state->counts.healed += st == STOQ_OK;
    } else if (st == STOQ_PROOF || st == STOQ_NOTFOUND) {
        sc->state->counts.lost++;
        tell(sc, true, "%s", why.text);
        st = STOQ_OK;
    } else if (st != STOQ_OK && err != NULL) {
        *err = why;
    }
    return st;
}

static enum stoq_status step_places(struct stoq_scrub *sc, uint64_t bytes_max,
                                    struct stoq_error *err)
{
    struct stoq_scrub_state *state = sc->state;
    size_t n;
    uint64_t bytes = 0;
    struct stoq_span after = stoq_span(state->key, state->has_key ? sizeof state->key : 0);
    enum stoq_status st =
        stoq_index_page(sc->s->index, STOQ_RECORD_IN_PLACE, after, sc->page, PAGE_ENTRIES, &n, err);
    for (size_t i = 0; st == STOQ_OK && i < n && bytes < bytes_max; i++) {
        if (is_stopped(sc)) {
            return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
        st = read_place(sc, &sc->page[i], &bytes, err);
        if (st == STOQ_OK && sc->page[i].key_len == sizeof state->key) {
            memcpy(state->key, sc->page[i].key, sizeof state->key);
            state->has_key = true;
        }
    }
    if (st == STOQ_OK && n == 0) {
        state->phase = STOQ_SCRUB_PROMISES;
        sc->type = 0;
    }
    return st;
}

static enum stoq_status learn_sizes(struct stoq_scrub *sc, struct stoq_error *err)
{
    uint32_t *number;
    size_t count;
    enum stoq_status st = stoq_segment_list(sc->s->segments_fd, &number, &count, err);
    if (st != STOQ_OK) {
        return st;
    }
    free(sc->sizes);
    sc->size_count = 0;
    sc->sizes = calloc(count > 0 ? count : 1, sizeof *sc->sizes);
    for (size_t i = 0; sc->sizes != NULL && i < count; i++) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        struct stat sb;
        stoq_segment_name(name, number[i]);
        if (fstatat(sc->s->segments_fd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0) {
            sc->sizes[sc->size_count++] =
                (struct segment_size){.number = number[i], .bytes = (uint64_t)sb.st_size};
        }
    }
    free(number);
    return sc->sizes == NULL ? stoq_fail(err, STOQ_NOMEM, 0, "scrub") : STOQ_OK;
}

static int by_number(const void *key, const void *size)
{
    uint32_t a = *(const uint32_t *)key;
    uint32_t b = ((const struct segment_size *)size)->number;
    return a < b ? -1 : a > b;
}

static bool fits_segment(const struct stoq_scrub *sc, const struct stoq_entry *e)
{
    const struct segment_size *size =
        bsearch(&e->segment, sc->sizes, sc->size_count, sizeof *sc->sizes, by_number);
    return size != NULL &&
           e->offset + stoq_record_bytes(e->key_len, e->info.stored_len) <= size->bytes;
}

/* An entry that no segment holds. Compaction may have moved the record since we looked. */
static enum stoq_status doubt(struct stoq_scrub *sc, const struct stoq_entry *e,
                              struct stoq_error *err)
{
    bool is_whole;
    sc->fd = open_segment_file(sc, e->segment);
    enum stoq_status st = settle_each(sc, e, &is_whole, err);
    close_segment(sc);
    return st;
}

static enum stoq_status step_promises(struct stoq_scrub *sc, bool *done, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    if (sc->type == 0) {
        st = learn_sizes(sc, err);
        sc->type = 1;
        sc->last = (struct stoq_entry){0};
    }
    for (size_t looked = 0; st == STOQ_OK && looked < PROMISES_STEP;) {
        size_t n = 0;
        if (is_stopped(sc)) {
            return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
        st = stoq_index_page(sc->s->index, sc->type, stoq_entry_key(&sc->last), sc->page,
                             PAGE_ENTRIES, &n, err);
        for (size_t i = 0; st == STOQ_OK && i < n; i++) {
            if (!sc->page[i].quarantined && !fits_segment(sc, &sc->page[i])) {
                st = doubt(sc, &sc->page[i], err);
            }
        }
        looked += PAGE_ENTRIES;
        sc->last = n > 0 ? sc->page[n - 1] : sc->last;
        if (st == STOQ_OK && n < PAGE_ENTRIES) {
            sc->last = (struct stoq_entry){0};
            if (++sc->type == STOQ_RECORD_TYPES) {
                *done = true;
                break;
            }
        }
    }
    return st;
}

enum stoq_status stoq_scrub_step(struct stoq_scrub *sc, uint64_t bytes_max, bool *done,
                                 struct stoq_error *err)
{
    struct stoq_scrub_state *state = sc->state;
    enum stoq_status st = STOQ_OK;
    *done = false;
    switch (state->phase) {
    case STOQ_SCRUB_SEGMENTS:
        return step_segments(sc, bytes_max, err);
    case STOQ_SCRUB_PLACES:
        return step_places(sc, bytes_max, err);
    case STOQ_SCRUB_PROMISES:
        st = step_promises(sc, done, err);
        break;
    case STOQ_SCRUB_IDLE:
        *done = true;
        break;
    }
    if (st == STOQ_OK && *done && state->phase != STOQ_SCRUB_IDLE) {
        st = stoq_store_sync(sc->s, err); /* what was written anew */
        *done = st == STOQ_OK;
    }
    if (*done) {
        state->phase = STOQ_SCRUB_IDLE;
        state->last = state->counts;
    }
    return st;
}

uint64_t stoq_scrub_bytes_total(struct stoq_store *s)
{
    struct stoq_store_stats stats;
    if (stoq_store_stats(s, &stats, NULL) != STOQ_OK) {
        return 0;
    }
    return stats.segment_bytes;
}
