/*
 * Adding and deleting. Whether a record is here already is asked twice: before the payload is
 * compressed, without holding anything up, and again under the lock that gives out sequences, so
 * that two putters of one chunk write it once. The second time the pending records suffice, unless
 * an index commit happened in between.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

static void count_hit(struct stoq_store *s, uint32_t raw_len)
{
    s->stats.dedup_hits++;
    s->stats.dedup_bytes += raw_len;
}

/* Is it here, as far as a putter is concerned? A quarantined record is to be written anew. */
static enum stoq_status is_here(struct stoq_store *s, uint8_t type, struct stoq_span key,
                                bool *here, uint64_t *commit_count, struct stoq_error *err)
{
    struct stoq_found f;
    enum stoq_status st = stoq_store_find(s, type, key, &f, err);
    if (st == STOQ_OK) {
        stoq_store_unfind(s, &f);
        *here = f.where != STOQ_WHERE_NOWHERE && !f.e.quarantined;
        *commit_count = f.commit_count;
    }
    return st;
}

/* The second asking. log.lock held. */
static enum stoq_status is_here_now(struct stoq_store *s, uint8_t type, struct stoq_span key,
                                    uint64_t commit_count, bool was_here, bool *here,
                                    struct stoq_error *err)
{
    const struct stoq_pending *p = stoq_pending_find(&s->log.pending, type, key);
    if (p != NULL) {
        *here = p->e.type != STOQ_RECORD_TOMBSTONE;
        return STOQ_OK;
    }
    *here = was_here;
    if (commit_count == s->log.commit_count) {
        return STOQ_OK;
    }
    struct stoq_entry e;
    enum stoq_status st = stoq_index_get(s->index, type, key, &e, err);
    *here = st == STOQ_OK && !e.quarantined;
    return st == STOQ_NOTFOUND ? STOQ_OK : st;
}

/* Give a new record its sequence, place and pending entry; *p is where its bytes go. Room has been
 * found; log.lock held. */
static struct stoq_block *enter(struct stoq_store *s, struct stoq_record *rec,
                                struct stoq_pending *node, uint8_t **p)
{
    struct stoq_log *log = &s->log;
    uint64_t offset;
    struct stoq_block *b =
        stoq_block_take(s, (size_t)stoq_record_bytes(rec->key.n, rec->info.stored_len), &offset);
    rec->sequence = log->next_sequence++;
    b->last_sequence = rec->sequence;
    node->e = (struct stoq_entry){
        .type = rec->type,
        .key_len = (uint8_t)rec->key.n,
        .segment = b->file->number,
        .offset = (uint32_t)offset,
        .sequence = rec->sequence,
        .info = rec->info,
    };
    memcpy(node->e.key, rec->key.p, rec->key.n);
    node->block = b;
    stoq_pending_add(&log->pending, node);
    if (log->volatile_from == NULL) {
        log->volatile_from = node;
    }
    s->stats.zstd_saved_bytes += rec->info.raw_len - rec->info.stored_len;
    *p = b->p + (offset - b->offset);
    return b;
}

enum absence {
    WANT_ABSENT,  /* add only what is not here */
    WANT_PRESENT, /* delete only what is here */
    WANT_EITHER,
    WANT_SAME, /* write anew what has not changed */
};

struct append {
    uint8_t id_type; /* whose presence counts: of a tombstone, what it deletes */
    struct stoq_span id_key;
    enum absence want;
    bool was_here;
    bool passing;
    uint64_t commit_count;
    uint64_t sequence; /* WANT_SAME: of the record that is written anew */
    struct stoq_record rec;
    uint64_t only_sequence; /* delete just this one, while nobody counts on it; 0: any */
    bool done;              /* out */
    bool over_quota;        /* out */
};

/* Is the newest record of the key still the one of that sequence? log.lock held. */
static enum stoq_status is_same_now(struct stoq_store *s, const struct append *a, bool *same,
                                    struct stoq_error *err)
{
    const struct stoq_pending *p = stoq_pending_find(&s->log.pending, a->id_type, a->id_key);
    struct stoq_entry e = {0};
    enum stoq_status st = STOQ_OK;
    *same = p != NULL && p->e.type == a->id_type && p->e.sequence == a->sequence;
    if (p == NULL) {
        st = stoq_index_get(s->index, a->id_type, a->id_key, &e, err);
        *same = st == STOQ_OK && e.sequence == a->sequence;
    }
    return st == STOQ_NOTFOUND ? STOQ_OK : st;
}

/* Does nobody count on the record to delete, and is it still the one that was meant? log.lock held: whoever
 * asks for it from here on finds the tombstone. */
static bool is_alone(struct stoq_store *s, const struct append *a)
{
    struct stoq_entry e;
    return stoq_pending_find(&s->log.pending, a->id_type, a->id_key) == NULL &&
           stoq_index_get(s->index, a->id_type, a->id_key, &e, NULL) == STOQ_OK &&
           e.sequence == a->only_sequence && !stoq_touch_was(&s->touch, a->id_type, a->id_key);
}

/* *spare is taken when the record goes in. */
static enum stoq_status append_locked(struct stoq_store *s, struct append *a,
                                      struct stoq_pending **spare, struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    size_t n = (size_t)stoq_record_bytes(a->rec.key.n, a->rec.info.stored_len);
    uint64_t limit = stoq_quota_limit(s, a->rec.type);
    enum stoq_status st = stoq_block_room(s, n, limit, &a->over_quota, err);
    bool here = false;
    if (st == STOQ_OK && a->want == WANT_SAME) {
        bool same;
        st = is_same_now(s, a, &same, err);
        if (st != STOQ_OK || !same) {
            return st;
        }
    } else if (st == STOQ_OK && a->want != WANT_EITHER) {
        st = is_here_now(s, a->id_type, a->id_key, a->commit_count, a->was_here, &here, err);
    }
    if (st == STOQ_OK && a->only_sequence != 0) {
        here = here && is_alone(s, a);
    }
    if (st != STOQ_OK || (here && a->want == WANT_ABSENT) || (!here && a->want == WANT_PRESENT)) {
        return st;
    }
    uint8_t *p;
    struct stoq_pending *node = *spare;
    *spare = NULL;
    struct stoq_block *b = enter(s, &a->rec, node, &p);
    b->passing = b->passing && a->passing;
    a->done = true;
    (void)pthread_mutex_unlock(&log->lock);
    stoq_record_encode(p, &a->rec);
    (void)pthread_mutex_lock(&log->lock);
    node->ready = true; /* it cannot have left: its block still counts us as a filler */
    stoq_block_filled(s, b);
    return STOQ_OK;
}

static enum stoq_status append_once(struct stoq_store *s, struct append *a, struct stoq_error *err)
{
    struct stoq_pending *node = calloc(1, sizeof *node);
    if (node == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "add a record");
    }
    (void)pthread_mutex_lock(&s->log.lock);
    enum stoq_status st = append_locked(s, a, &node, err);
    if (st == STOQ_OK && !a->done && a->want == WANT_ABSENT) {
        count_hit(s, a->rec.info.raw_len);
    }
    (void)pthread_mutex_unlock(&s->log.lock);
    free(node);
    return st;
}

/* At the quota new content waits for a collection. What that made free others may have taken before us, or a
 * collection of theirs may need for a moment. */
#define ROOM_TRIES 8

static enum stoq_status append(struct stoq_store *s, struct append *a, struct stoq_error *err)
{
    uint64_t n =
        STOQ_SEGMENT_HEADER_BYTES + stoq_record_bytes(a->rec.key.n, a->rec.info.stored_len);
    struct stoq_error why = {0};
    enum stoq_status st = append_once(s, a, &why);
    bool may_ask = s->make_room != NULL &&
                   stoq_quota_limit(s, a->rec.type) == stoq_quota_limit(s, STOQ_RECORD_CHUNK);
    for (int i = 0; i < ROOM_TRIES && a->over_quota && may_ask; i++) {
        if (!s->make_room(s->make_room_user, n)) {
            break;
        }
        st = append_once(s, a, &why);
    }
    if (st != STOQ_OK && err != NULL) {
        *err = why;
    }
    return st;
}

/* What put and put_stored check alike; *settled when the record is here already. */
static enum stoq_status begin_put(struct stoq_store *s, struct append *a, uint32_t raw_len,
                                  unsigned flags, bool *settled, struct stoq_error *err)
{
    *settled = false;
    stoq_touch_mark(&s->touch, a->id_type, a->id_key);
    a->passing = (flags & STOQ_STORE_PASSING) != 0;
    enum stoq_status st = stoq_store_check_key(a->id_type, a->id_key, err);
    if (st != STOQ_OK) {
        return st;
    }
    if (s->read_only) {
        return stoq_fail(err, STOQ_RANGE, 0, "the store %s is open for reading only", s->dir);
    }
    if ((flags & STOQ_STORE_OVERWRITE) != 0) {
        a->want = WANT_EITHER;
        return STOQ_OK;
    }
    st = is_here(s, a->id_type, a->id_key, &a->was_here, &a->commit_count, err);
    if (st == STOQ_OK && a->was_here) {
        (void)pthread_mutex_lock(&s->log.lock);
        count_hit(s, raw_len);
        (void)pthread_mutex_unlock(&s->log.lock);
        *settled = true;
    }
    return st;
}

static enum stoq_status fail_shape(uint8_t type, struct stoq_stored info, enum stoq_status st,
                                   struct stoq_error *err)
{
    return stoq_fail(err, st, 0, "no %s has %u bytes, stored as %u (flags %u)",
                     stoq_record_type_str(type), info.raw_len, info.stored_len, info.flags);
}

/* With STOQ_STORE_VERIFY: are these the bytes the key names? */
static enum stoq_status verify(struct stoq_store *s, const struct append *a,
                               struct stoq_stored info, struct stoq_span stored, unsigned flags,
                               struct stoq_error *err)
{
    if ((flags & STOQ_STORE_VERIFY) == 0 || a->id_type != STOQ_RECORD_CHUNK) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_codec_check(s->codec, a->id_key, info, stored);
    if (st == STOQ_PROOF) {
        return stoq_fail_code(err, st, "IntegrityCheckFailed", "a chunk is not what its hash says");
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "verify a chunk");
}

enum stoq_status stoq_store_put(struct stoq_store *s, enum stoq_record_type type,
                                struct stoq_span key, unsigned flags, struct stoq_span payload,
                                bool *is_new, struct stoq_error *err)
{
    struct append a = {.id_type = (uint8_t)type, .id_key = key, .want = WANT_ABSENT};
    if (payload.n > STOQ_RECORD_BYTES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "a record of %zu bytes is too long", payload.n);
    }
    struct stoq_stored raw = {(uint32_t)payload.n, (uint32_t)payload.n, 0};
    bool settled;
    enum stoq_status st = begin_put(s, &a, raw.raw_len, flags, &settled, err);
    if (st == STOQ_OK && !stoq_record_shape_ok((uint8_t)type, key.n, raw)) {
        st = fail_shape((uint8_t)type, raw, STOQ_RANGE, err);
    }
    if (st == STOQ_OK && !settled) {
        st = verify(s, &a, raw, payload, flags, err);
    }
    if (st == STOQ_OK && !settled) {
        struct stoq_coded coded;
        st = stoq_codec_encode(s->codec, payload, &coded);
        if (st != STOQ_OK) {
            return stoq_fail(err, st, 0, "compress a record");
        }
        a.rec = (struct stoq_record){
            .type = (uint8_t)type, .info = coded.info, .key = key, .stored = coded.stored};
        st = append(s, &a, err);
        stoq_codec_put_back(s->codec, coded.slot);
    }
    if (is_new != NULL) {
        *is_new = a.done;
    }
    return st;
}

enum stoq_status stoq_store_put_stored(struct stoq_store *s, enum stoq_record_type type,
                                       struct stoq_span key, unsigned flags,
                                       struct stoq_stored info, struct stoq_span stored,
                                       bool *is_new, struct stoq_error *err)
{
    struct append a = {.id_type = (uint8_t)type, .id_key = key, .want = WANT_ABSENT};
    bool settled;
    enum stoq_status st = begin_put(s, &a, info.raw_len, flags, &settled, err);
    if (st == STOQ_OK &&
        (stored.n != info.stored_len || !stoq_record_shape_ok((uint8_t)type, key.n, info))) {
        st = fail_shape((uint8_t)type, info, STOQ_MALFORMED, err);
    }
    if (st == STOQ_OK && !settled) {
        st = verify(s, &a, info, stored, flags, err);
    }
    if (st == STOQ_OK && !settled) {
        a.rec =
            (struct stoq_record){.type = (uint8_t)type, .info = info, .key = key, .stored = stored};
        st = append(s, &a, err);
    }
    if (is_new != NULL) {
        *is_new = a.done;
    }
    return st;
}

static enum stoq_status delete_it(struct stoq_store *s, struct append *a, struct stoq_error *err)
{
    uint8_t id[STOQ_RECORD_ID_MAX];
    id[0] = a->id_type;
    memcpy(id + 1, a->id_key.p, a->id_key.n);
    a->rec =
        (struct stoq_record){.type = STOQ_RECORD_TOMBSTONE, .key = stoq_span(id, a->id_key.n + 1)};
    a->want = WANT_PRESENT;
    return append(s, a, err);
}

enum stoq_status stoq_store_delete(struct stoq_store *s, enum stoq_record_type type,
                                   struct stoq_span key, struct stoq_error *err)
{
    struct append a = {.id_type = (uint8_t)type, .id_key = key};
    enum stoq_status st = stoq_store_check_key((uint8_t)type, key, err);
    if (st != STOQ_OK) {
        return st;
    }
    if (s->read_only) {
        return stoq_fail(err, STOQ_RANGE, 0, "the store %s is open for reading only", s->dir);
    }
    struct stoq_found f;
    st = stoq_store_find(s, (uint8_t)type, key, &f, err);
    if (st != STOQ_OK) {
        return st;
    }
    stoq_store_unfind(s, &f);
    a.was_here = f.where != STOQ_WHERE_NOWHERE; /* a quarantined record can be deleted */
    a.commit_count = f.commit_count;
    if (a.was_here) {
        st = delete_it(s, &a, err);
    }
    if (st == STOQ_OK && !a.done) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "no such %s to delete",
                            stoq_record_type_str((uint8_t)type));
    }
    return st;
}

enum stoq_status stoq_store_entomb(struct stoq_store *s, struct stoq_span id,
                                   struct stoq_error *err)
{
    struct append a = {
        .id_type = id.p[0], .id_key = stoq_span(id.p + 1, id.n - 1), .want = WANT_ABSENT};
    struct stoq_found f;
    enum stoq_status st = stoq_store_find(s, a.id_type, a.id_key, &f, err);
    if (st != STOQ_OK) {
        return st;
    }
    stoq_store_unfind(s, &f);
    a.was_here = f.where != STOQ_WHERE_NOWHERE;
    a.commit_count = f.commit_count;
    a.rec = (struct stoq_record){.type = STOQ_RECORD_TOMBSTONE, .key = id};
    return append(s, &a, err);
}

enum stoq_status stoq_store_put_anew(struct stoq_store *s, const struct stoq_entry *e,
                                     struct stoq_stored info, struct stoq_span stored,
                                     struct stoq_error *err)
{
    struct append a = {
        .id_type = e->type,
        .id_key = stoq_entry_key(e),
        .want = WANT_SAME,
        .sequence = e->sequence,
        .rec = {.type = e->type, .info = info, .key = stoq_entry_key(e), .stored = stored}};
    return append(s, &a, err);
}

enum stoq_status stoq_store_delete_untouched(struct stoq_store *s, const struct stoq_entry *e,
                                             bool *gone, struct stoq_error *err)
{
    struct append a = {.id_type = e->type,
                       .id_key = stoq_entry_key(e),
                       .was_here = true,
                       .only_sequence = e->sequence};
    enum stoq_status st = delete_it(s, &a, err);
    *gone = a.done;
    return st;
}
