/*
 * Looking up and reading. Pending records are looked at first: a record leaves that set only after
 * the index has it, so what is not found there and not in a transaction begun afterwards is not
 * here.
 *
 * From disk, head, key and payload come in one preadv, the payload straight into the caller's
 * buffer. The head must be the record the index meant, and the checksum must hold. If not, the
 * record is looked up and read once more (compaction may have moved it), then quarantined.
 */
#include "store/store_internal.h"

#include "os/file.h"
#include "store/place.h"
#include "store/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define PAGE_BYTES 4096u /* or a divisor of what the system has */

/* Look among the pending. True: it is settled there. log.lock held, may be released. */
static bool find_pending(struct stoq_store *s, uint8_t type, struct stoq_span key,
                         struct stoq_found *out)
{
    struct stoq_log *log = &s->log;
    const struct stoq_pending *p = stoq_pending_find(&log->pending, type, key);
    while (p != NULL && p->e.type != STOQ_RECORD_TOMBSTONE && p->block != NULL && !p->ready) {
        (void)pthread_cond_wait(&log->changed, &log->lock);
        p = stoq_pending_find(&log->pending, type, key); /* it may be gone by now */
    }
    out->commit_count = log->commit_count;
    if (p == NULL) {
        return false;
    }
    if (p->e.type == STOQ_RECORD_TOMBSTONE) {
        return true;
    }
    out->e = p->e;
    out->where = STOQ_WHERE_DISK;
    if (p->block != NULL) {
        out->where = STOQ_WHERE_MEMORY;
        out->block = p->block;
        out->block->readers++;
        out->stored =
            p->block->p + (p->e.offset - p->block->offset) + STOQ_RECORD_HEAD_BYTES + p->e.key_len;
    }
    return true;
}

enum stoq_status stoq_store_find(struct stoq_store *s, uint8_t type, struct stoq_span key,
                                 struct stoq_found *out, struct stoq_error *err)
{
    *out = (struct stoq_found){.where = STOQ_WHERE_NOWHERE};
    if (!s->read_only) {
        (void)pthread_mutex_lock(&s->log.lock);
        bool settled = find_pending(s, type, key, out);
        (void)pthread_mutex_unlock(&s->log.lock);
        if (settled) {
            return STOQ_OK;
        }
    }
    enum stoq_status st = stoq_index_get(s->index, type, key, &out->e, err);
    if (st == STOQ_OK) {
        out->where = STOQ_WHERE_DISK;
    }
    return st == STOQ_NOTFOUND ? STOQ_OK : st;
}

void stoq_store_unfind(struct stoq_store *s, struct stoq_found *found)
{
    if (found->block != NULL) {
        (void)pthread_mutex_lock(&s->log.lock);
        stoq_block_unread(s, found->block);
        (void)pthread_mutex_unlock(&s->log.lock);
        found->block = NULL;
    }
}

/* Somebody counts on it from now on: no collection takes it. Before it is looked for (touch.c). */
static void touch(struct stoq_store *s, uint8_t type, struct stoq_span key)
{
    stoq_touch_mark(&s->touch, type, key);
    if (type == STOQ_RECORD_CHUNK) {
        stoq_touch_mark(&s->touch, STOQ_RECORD_IN_PLACE, key);
    }
}

/* Can the record be promised to somebody? */
static bool is_here(struct stoq_store *s, uint8_t type, struct stoq_span key)
{
    struct stoq_found f;
    if (stoq_store_check_key(type, key, NULL) != STOQ_OK ||
        stoq_store_find(s, type, key, &f, NULL) != STOQ_OK) {
        return false;
    }
    stoq_store_unfind(s, &f);
    return f.where != STOQ_WHERE_NOWHERE && !f.e.quarantined;
}

bool stoq_store_has(struct stoq_store *s, enum stoq_record_type type, struct stoq_span key)
{
    touch(s, (uint8_t)type, key);
    return is_here(s, (uint8_t)type, key) ||
           (type == STOQ_RECORD_CHUNK && is_here(s, STOQ_RECORD_IN_PLACE, key));
}

bool stoq_store_is_stored(struct stoq_store *s, struct stoq_span key)
{
    touch(s, STOQ_RECORD_CHUNK, key);
    return is_here(s, STOQ_RECORD_CHUNK, key);
}

static enum stoq_status fail_not_found(uint8_t type, struct stoq_span key, struct stoq_error *err)
{
    char hex[2 * STOQ_RECORD_ID_MAX + 1];
    stoq_hex_put(hex, key);
    return stoq_fail_code(err, STOQ_NOTFOUND,
                          type == STOQ_RECORD_CHUNK ? "ChunkNotFound" : "ContentNotFound",
                          "no %s %s in the store", stoq_record_type_str(type), hex);
}

enum stoq_status stoq_store_stat(struct stoq_store *s, enum stoq_record_type type,
                                 struct stoq_span key, struct stoq_stored *out,
                                 struct stoq_error *err)
{
    enum stoq_status st = stoq_store_check_key((uint8_t)type, key, err);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_found f;
    st = stoq_store_find(s, (uint8_t)type, key, &f, err);
    if (st != STOQ_OK) {
        return st;
    }
    stoq_store_unfind(s, &f);
    if (f.where != STOQ_WHERE_NOWHERE && !f.e.quarantined) {
        *out = f.e.info;
        return STOQ_OK;
    }
    if (type == STOQ_RECORD_CHUNK && stoq_places_stat(s, key, out) == STOQ_OK) {
        return STOQ_OK;
    }
    return fail_not_found((uint8_t)type, key, err);
}

/* Correct what the index said by what is pending. log.lock held. */
static void overlay_pending(const struct stoq_pending_set *pending, uint8_t type,
                            struct stoq_span keys, size_t key_count, uint8_t *out)
{
    for (size_t i = 0; i < key_count && pending->count > 0; i++) {
        const struct stoq_pending *p =
            stoq_pending_find(pending, type, stoq_span(keys.p + 32 * i, 32));
        uint8_t bit = (uint8_t)(1U << (i & 7));
        if (p != NULL && p->e.type == STOQ_RECORD_TOMBSTONE) {
            out[i / 8] &= (uint8_t)~bit;
        } else if (p != NULL) {
            out[i / 8] |= bit;
        }
    }
}

/* Bits of the keys that one type of record has; out is zeroed. */
static enum stoq_status has_of_type(struct stoq_store *s, uint8_t type, struct stoq_span keys,
                                    size_t key_count, uint8_t *out, struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    bool settled = false;
    while (!settled) {
        (void)pthread_mutex_lock(&log->lock);
        uint64_t commits = log->commit_count;
        (void)pthread_mutex_unlock(&log->lock);
        memset(out, 0, (key_count + 7) / 8);
        enum stoq_status st = stoq_index_get_many(s->index, type, keys, key_count, out, err);
        if (st != STOQ_OK) {
            return st;
        }
        (void)pthread_mutex_lock(&log->lock);
        settled = commits == log->commit_count; /* else some moved from there to here meanwhile */
        if (settled) {
            overlay_pending(&log->pending, type, keys, key_count, out);
        }
        (void)pthread_mutex_unlock(&log->lock);
    }
    return STOQ_OK;
}

/* Add the chunks that are in place. */
static enum stoq_status has_in_place(struct stoq_store *s, struct stoq_span keys, size_t key_count,
                                     uint8_t *out, struct stoq_error *err)
{
    size_t n = (key_count + 7) / 8;
    uint8_t *more = malloc(n > 0 ? n : 1);
    if (more == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "look for chunks");
    }
    enum stoq_status st = has_of_type(s, STOQ_RECORD_IN_PLACE, keys, key_count, more, err);
    for (size_t i = 0; st == STOQ_OK && i < n; i++) {
        out[i] |= more[i];
    }
    free(more);
    return st;
}

enum stoq_status stoq_store_has_many(struct stoq_store *s, enum stoq_record_type type,
                                     struct stoq_span keys, size_t key_count, uint8_t *out,
                                     struct stoq_error *err)
{
    size_t bytes;
    memset(out, 0, (key_count + 7) / 8);
    if (!stoq_mul_size(key_count, 32, &bytes) || bytes != keys.n) {
        return stoq_fail(err, STOQ_RANGE, 0, "%zu keys cannot take %zu bytes", key_count, keys.n);
    }
    for (size_t i = 0; i < key_count; i++) {
        touch(s, (uint8_t)type, stoq_span(keys.p + 32 * i, 32));
    }
    enum stoq_status st = has_of_type(s, (uint8_t)type, keys, key_count, out, err);
    if (st == STOQ_OK && type == STOQ_RECORD_CHUNK) {
        st = has_in_place(s, keys, key_count, out, err);
    }
    if (st != STOQ_OK) {
        memset(out, 0, (key_count + 7) / 8);
    }
    return st;
}

static enum stoq_status fail_damaged(const struct stoq_entry *e, struct stoq_error *err)
{
    char hex[2 * STOQ_RECORD_ID_MAX + 1];
    stoq_hex_put(hex, stoq_entry_key(e));
    return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                          "%s %s is damaged in segment %08x at byte %u (quarantined)",
                          stoq_record_type_str(e->type), hex, e->segment, e->offset);
}

/* Read the record at a place into memory: head and key into head, payload to p. STOQ_OK;
 * STOQ_PROOF: it is not the record that should be there, or cannot be read. */
static enum stoq_status read_place(struct stoq_store *s, const struct stoq_entry *e, uint8_t *p)
{
    uint8_t head[STOQ_RECORD_HEAD_BYTES + STOQ_RECORD_ID_MAX];
    struct stoq_segment_ref ref;
    enum stoq_status st = stoq_segment_cache_get(s->cache, e->segment, &ref);
    if (st != STOQ_OK) {
        return st == STOQ_NOTFOUND ? STOQ_PROOF : STOQ_IO;
    }
    size_t head_n = STOQ_RECORD_HEAD_BYTES + (size_t)e->key_len;
    struct iovec iov[] = {{head, head_n}, {p, e->info.stored_len}};
    ssize_t got = preadv(ref.fd, iov, 2, (off_t)e->offset);
    stoq_segment_cache_put(s->cache, ref);
    if (got < 0 || (size_t)got != head_n + e->info.stored_len) {
        return STOQ_PROOF;
    }
    struct stoq_record_head h;
    struct stoq_span key = stoq_span(head + STOQ_RECORD_HEAD_BYTES, e->key_len);
    if (stoq_record_head_decode(stoq_span(head, STOQ_RECORD_HEAD_BYTES), &h) != STOQ_OK ||
        h.type != e->type || h.sequence != e->sequence || h.key_len != e->key_len ||
        h.info.stored_len != e->info.stored_len || h.info.raw_len != e->info.raw_len ||
        h.info.flags != e->info.flags || !stoq_span_eq(key, stoq_entry_key(e)) ||
        h.checksum != stoq_record_checksum(head, key, stoq_span(p, e->info.stored_len))) {
        return STOQ_PROOF;
    }
    return STOQ_OK;
}

void stoq_store_mark_quarantined(struct stoq_store *s, const struct stoq_entry *e)
{
    struct stoq_error trouble;
    if (e->quarantined) {
        return;
    }
    if (s->read_only) {
        stoq_suspect_note(s, e);
        return;
    }
    /* It may be pending, synced but not committed; the index must know it first. */
    if (stoq_store_sync(s, &trouble) != STOQ_OK ||
        stoq_index_quarantine(s->index, e, &trouble) != STOQ_OK) {
        stoq_store_say(s, "a damaged record could not be marked: %s", trouble.text);
    }
    (void)pthread_mutex_lock(&s->log.lock);
    s->stats.quarantined++;
    (void)pthread_mutex_unlock(&s->log.lock);
    if (s->damaged != NULL) {
        s->damaged(s->notice_user);
    }
}

/* A record is damaged for good: let the index say so, so that nobody is promised it. */
static enum stoq_status quarantine(struct stoq_store *s, const struct stoq_entry *e,
                                   struct stoq_error *err)
{
    struct stoq_error why;
    enum stoq_status st = fail_damaged(e, &why);
    if (err != NULL) {
        *err = why;
    }
    if (!e->quarantined) {
        stoq_store_mark_quarantined(s, e);
    }
    if (!s->read_only && !e->quarantined) {
        stoq_store_say(s, "%s", why.text);
    }
    return st;
}

enum stoq_status stoq_store_load(struct stoq_store *s, uint8_t type, struct stoq_span key,
                                 struct stoq_stored *info, struct stoq_buf *out,
                                 struct stoq_entry *where, struct stoq_error *err)
{
    struct stoq_found f = {0};
    for (int attempt = 0;; attempt++) {
        stoq_buf_clear(out);
        enum stoq_status st = stoq_store_find(s, type, key, &f, err);
        if (st != STOQ_OK) {
            return st;
        }
        if (f.where == STOQ_WHERE_NOWHERE) {
            return fail_not_found(type, key, err);
        }
        *info = f.e.info;
        *where = f.e;
        st = stoq_buf_reserve(out, f.e.info.stored_len);
        if (st == STOQ_OK && f.where == STOQ_WHERE_MEMORY) {
            st = stoq_buf_add(out, stoq_span(f.stored, f.e.info.stored_len));
        } else if (st == STOQ_OK) {
            bool skip = f.e.quarantined && type != STOQ_RECORD_IN_PLACE;
            st = skip ? STOQ_PROOF : read_place(s, &f.e, out->p);
            out->n = st == STOQ_OK ? f.e.info.stored_len : 0;
        }
        stoq_store_unfind(s, &f);
        if (st == STOQ_PROOF && attempt == 0 && !f.e.quarantined) {
            stoq_segment_cache_drop(s->cache,
                                    f.e.segment); /* it may be gone, its number another's */
            continue;
        }
        if (st == STOQ_PROOF) {
            return quarantine(s, &f.e, err);
        }
        return st == STOQ_OK ? st
                             : stoq_fail(err, st, st == STOQ_IO ? errno : 0, "read a %s",
                                         stoq_record_type_str(type));
    }
}

/* Let the system forget the pages of a record that is written: whole pages, so what lies beside it goes
 * too. A page that is still to be written stays. */
static void forget_pages(struct stoq_store *s, uint8_t type, struct stoq_span key)
{
    struct stoq_found f;
    struct stoq_segment_ref ref;
    if (stoq_store_find(s, type, key, &f, NULL) != STOQ_OK) {
        return;
    }
    if (f.where == STOQ_WHERE_DISK &&
        stoq_segment_cache_get(s->cache, f.e.segment, &ref) == STOQ_OK) {
        uint64_t first = f.e.offset / PAGE_BYTES * PAGE_BYTES;
        uint64_t end = f.e.offset + stoq_entry_bytes(&f.e) + PAGE_BYTES - 1;
        (void)posix_fadvise(ref.fd, (off_t)first, (off_t)(end / PAGE_BYTES * PAGE_BYTES - first),
                            POSIX_FADV_DONTNEED);
        stoq_segment_cache_put(s->cache, ref);
    }
    stoq_store_unfind(s, &f);
}

/* Load a record, of a chunk also from where it lies in place. Then it has been compared with its hash, and
 * *flags asks for no more. */
static enum stoq_status load_any(struct stoq_store *s, uint8_t type, struct stoq_span key,
                                 struct stoq_stored *info, struct stoq_buf *out,
                                 struct stoq_entry *where, unsigned *flags, struct stoq_error *err)
{
    if ((*flags & STOQ_STORE_FROM_DISK) != 0) {
        forget_pages(s, type, key);
    }
    enum stoq_status st = stoq_store_load(s, type, key, info, out, where, err);
    if (type == STOQ_RECORD_CHUNK && (st == STOQ_NOTFOUND || st == STOQ_PROOF)) {
        bool here;
        enum stoq_status in_place = stoq_places_read(s, key, info, out, &here, err);
        if (here) {
            st = in_place;
            *flags &= ~(unsigned)STOQ_STORE_VERIFY;
        }
    }
    return st;
}

/* With STOQ_STORE_VERIFY: is it the chunk its key names? */
static enum stoq_status verify(struct stoq_store *s, const struct stoq_entry *e, unsigned flags,
                               struct stoq_stored info, struct stoq_span stored,
                               struct stoq_error *err)
{
    if ((flags & STOQ_STORE_VERIFY) == 0 || e->type != STOQ_RECORD_CHUNK) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_codec_check(s->codec, stoq_entry_key(e), info, stored);
    if (st == STOQ_PROOF || st == STOQ_MALFORMED) {
        return quarantine(s, e, err);
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "verify a chunk");
}

enum stoq_status stoq_store_read_stored(struct stoq_store *s, enum stoq_record_type type,
                                        struct stoq_span key, unsigned flags,
                                        struct stoq_stored *info, struct stoq_buf *out,
                                        struct stoq_error *err)
{
    struct stoq_entry e = {0};
    stoq_buf_clear(out);
    enum stoq_status st = stoq_store_check_key((uint8_t)type, key, err);
    if (st == STOQ_OK) {
        st = load_any(s, (uint8_t)type, key, info, out, &e, &flags, err);
    }
    if (st == STOQ_OK) {
        st = verify(s, &e, flags, *info, stoq_buf_span(out), err);
    }
    if (st != STOQ_OK) {
        stoq_buf_clear(out);
    }
    return st;
}

enum stoq_status stoq_store_read(struct stoq_store *s, enum stoq_record_type type,
                                 struct stoq_span key, unsigned flags, struct stoq_buf *out,
                                 struct stoq_error *err)
{
    struct stoq_stored info = {0};
    struct stoq_entry e = {0};
    stoq_buf_clear(out);
    enum stoq_status st = stoq_store_check_key((uint8_t)type, key, err);
    if (st == STOQ_OK) {
        st = load_any(s, (uint8_t)type, key, &info, out, &e, &flags, err);
    }
    if (st == STOQ_OK && (info.flags & STOQ_STORED_ZSTD) != 0) {
        st = stoq_codec_unpack(s->codec, info, out);
        if (st == STOQ_MALFORMED) { /* the checksum held over a frame that does not: damage too */
            st = quarantine(s, &e, err);
        } else if (st != STOQ_OK) {
            st = stoq_fail(err, st, 0, "unpack a %s", stoq_record_type_str(e.type));
        }
        info = (struct stoq_stored){info.raw_len, info.raw_len, 0};
    }
    if (st == STOQ_OK) {
        st = verify(s, &e, flags, info, stoq_buf_span(out), err);
    }
    if (st != STOQ_OK) {
        stoq_buf_clear(out);
    }
    return st;
}
