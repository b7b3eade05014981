/*
 * Folding records into the index. The rule is the same while running and while rebuilding, and it
 * does not depend on the order of the records: of one (type, key) the highest sequence counts; a
 * tombstone is kept as an entry of its own under (tombstone, type, key), removes what is older and
 * keeps older records that turn up later from coming back; a newer record removes it. Two records
 * of the same sequence are copies (a sealed segment's tail and its rewrite): the later place wins.
 *
 * Entries are applied in key order, so that each page of the tree is touched once a transaction.
 */
#include "store/index_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static int by_key(const void *pa, const void *pb)
{
    const struct stoq_entry *a = *(const struct stoq_entry *const *)pa;
    const struct stoq_entry *b = *(const struct stoq_entry *const *)pb;
    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }
    int c = stoq_span_cmp(stoq_entry_key(a), stoq_entry_key(b));
    if (c != 0) {
        return c;
    }
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

void stoq_index_sort(const struct stoq_entry **entries, size_t entry_count)
{
    qsort(entries, entry_count, sizeof *entries, by_key);
}

struct apply {
    struct stoq_index *ix;
    MDB_txn *txn;
    MDB_cursor *cur;
    struct stoq_index_meta meta;
};

static void count(struct apply *a, const struct stoq_entry *e, bool add)
{
    struct stoq_store_type_stats *t = &a->meta.type[e->type];
    uint64_t sign = add ? 1 : UINT64_MAX; /* adding it subtracts one, modulo 2^64 */
    t->records += sign;
    t->raw_bytes += sign * e->info.raw_len;
    t->stored_bytes += sign * e->info.stored_len;
}

/* The entry under (type, key), the cursor left on it. An LMDB code. */
static int look(struct apply *a, uint8_t type, struct stoq_span key, struct stoq_entry *out)
{
    uint8_t buf[STOQ_INDEX_KEY_MAX];
    MDB_val k = stoq_index_key(buf, type, key);
    MDB_val v;
    int rc = mdb_cursor_get(a->cur, &k, &v, MDB_SET);
    if (rc == 0) {
        out->type = type;
        rc = stoq_index_value_get(out, v) == STOQ_OK ? 0 : MDB_CORRUPTED;
    }
    return rc;
}

/* Remove the entry under (type, key) if it is older than sequence; *newer when it is not. */
static int drop_older(struct apply *a, uint8_t type, struct stoq_span key, uint64_t sequence,
                      bool *newer)
{
    struct stoq_entry old;
    int rc = look(a, type, key, &old);
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc != 0) {
        return rc;
    }
    if (old.sequence > sequence) {
        *newer = true;
        return 0;
    }
    count(a, &old, false);
    return mdb_cursor_del(a->cur, 0);
}

static int put(struct apply *a, const struct stoq_entry *e)
{
    uint8_t key[STOQ_INDEX_KEY_MAX];
    uint8_t value[STOQ_INDEX_VALUE_BYTES];
    MDB_val k = stoq_index_key(key, e->type, stoq_entry_key(e));
    MDB_val v = stoq_index_value(value, e);
    int rc = mdb_cursor_put(a->cur, &k, &v, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST) {
        struct stoq_entry old = {.type = e->type};
        if (stoq_index_value_get(&old, v) != STOQ_OK) {
            return MDB_CORRUPTED;
        }
        if (old.sequence > e->sequence) {
            return 0;
        }
        count(a, &old, false);
        v = stoq_index_value(value, e);
        rc = mdb_cursor_put(a->cur, &k, &v, 0);
    }
    if (rc == 0) {
        count(a, e, true);
    }
    return rc;
}

static int apply_one(struct apply *a, const struct stoq_entry *e)
{
    bool newer = false;
    int rc = 0;
    if (e->type == STOQ_RECORD_TOMBSTONE) {
        struct stoq_span target = stoq_entry_key(e);
        rc = drop_older(a, target.p[0], stoq_span(target.p + 1, target.n - 1), e->sequence, &newer);
    } else if (a->meta.type[STOQ_RECORD_TOMBSTONE].records > 0) {
        uint8_t id[STOQ_INDEX_KEY_MAX];
        MDB_val k = stoq_index_key(id, e->type, stoq_entry_key(e));
        rc = drop_older(a, STOQ_RECORD_TOMBSTONE, stoq_span(id, k.mv_size), e->sequence, &newer);
    }
    if (rc != 0 || newer) {
        return rc;
    }
    return put(a, e);
}

static enum stoq_status apply_all(struct apply *a, const struct stoq_entry **entries,
                                  size_t entry_count, struct stoq_error *err)
{
    int rc = mdb_cursor_open(a->txn, a->ix->entries, &a->cur);
    for (size_t i = 0; rc == 0 && i < entry_count; i++) {
        rc = apply_one(a, entries[i]);
    }
    if (a->cur != NULL) {
        mdb_cursor_close(a->cur);
    }
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "write");
}

/* Is the index's file system out of room, but for less than a commit may need? */
static bool no_room(struct stoq_index *ix)
{
    struct statvfs fs;
    int fd = -1;
    return mdb_env_get_fd(ix->env, &fd) == 0 && fstatvfs(fd, &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_bsize < STOQ_MIB;
}

/* Ends the transaction and leaves. LMDB answers a write that came back short with EIO, and on a full disk
 * that is what comes first. */
static enum stoq_status commit(struct stoq_index *ix, MDB_txn *txn, struct stoq_error *err)
{
    int rc = mdb_txn_commit(txn);
    bool full = rc == EIO && no_room(ix);
    stoq_index_leave(ix);
    if (rc == 0) {
        return STOQ_OK;
    }
    return stoq_index_fail(err, full ? ENOSPC : rc, "commit");
}

static enum stoq_status give_up(struct stoq_index *ix, MDB_txn *txn, enum stoq_status st)
{
    mdb_txn_abort(txn);
    stoq_index_leave(ix);
    return st;
}

static int moves_by_key(const void *pa, const void *pb)
{
    const struct stoq_entry *a = &((const struct stoq_index_move *)pa)->e;
    const struct stoq_entry *b = &((const struct stoq_index_move *)pb)->e;
    return by_key(&a, &b);
}

static int move_one(struct apply *a, const struct stoq_index_move *m)
{
    struct stoq_entry now = {.type = m->e.type};
    int rc = look(a, m->e.type, stoq_entry_key(&m->e), &now);
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc != 0 || now.sequence != m->e.sequence || now.segment != m->e.segment ||
        now.offset != m->e.offset) {
        return rc;
    }
    if (m->drop) {
        count(a, &now, false);
        return mdb_cursor_del(a->cur, 0);
    }
    uint8_t key[STOQ_INDEX_KEY_MAX];
    uint8_t value[STOQ_INDEX_VALUE_BYTES];
    now.segment = m->segment;
    now.offset = m->offset;
    MDB_val k = stoq_index_key(key, m->e.type, stoq_entry_key(&m->e));
    MDB_val v = stoq_index_value(value, &now);
    return mdb_cursor_put(a->cur, &k, &v, 0);
}

static enum stoq_status move_all(struct apply *a, const struct stoq_index_move *moves,
                                 size_t move_count, struct stoq_error *err)
{
    int rc = mdb_cursor_open(a->txn, a->ix->entries, &a->cur);
    for (size_t i = 0; rc == 0 && i < move_count; i++) {
        rc = move_one(a, &moves[i]);
    }
    if (a->cur != NULL) {
        mdb_cursor_close(a->cur);
    }
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "write");
}

/* Begin to change the index and read its head. */
static enum stoq_status begin(struct apply *a, struct stoq_error *err)
{
    enum stoq_status st = stoq_index_write_begin(a->ix, &a->txn, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_index_meta_get(a->ix, a->txn, &a->meta, err);
    return st == STOQ_OK ? st : give_up(a->ix, a->txn, st);
}

/* Write the head and commit, if st is well; else undo. */
static enum stoq_status end(struct apply *a, enum stoq_status st, struct stoq_error *err)
{
    if (st == STOQ_OK) {
        st = stoq_index_meta_put(a->ix, a->txn, &a->meta, err);
    }
    return st == STOQ_OK ? commit(a->ix, a->txn, err) : give_up(a->ix, a->txn, st);
}

enum stoq_status stoq_index_apply(struct stoq_index *ix, const struct stoq_entry **entries,
                                  size_t entry_count, const struct stoq_index_mark *mark,
                                  struct stoq_error *err)
{
    struct apply a = {.ix = ix};
    stoq_index_sort(entries, entry_count);
    enum stoq_status st = begin(&a, err);
    if (st == STOQ_OK) {
        a.meta.mark = mark != NULL ? *mark : a.meta.mark;
        st = end(&a, apply_all(&a, entries, entry_count, err), err);
    }
    return st;
}

enum stoq_status stoq_index_move(struct stoq_index *ix, struct stoq_index_move *moves,
                                 size_t move_count, struct stoq_error *err)
{
    struct apply a = {.ix = ix};
    qsort(moves, move_count, sizeof *moves, moves_by_key);
    enum stoq_status st = begin(&a, err);
    return st == STOQ_OK ? end(&a, move_all(&a, moves, move_count, err), err) : st;
}

enum stoq_status stoq_index_advance(struct stoq_index *ix, uint32_t segment, uint64_t offset,
                                    struct stoq_error *err)
{
    struct apply a = {.ix = ix};
    enum stoq_status st = begin(&a, err);
    if (st == STOQ_OK && a.meta.mark.segment < segment) {
        a.meta.mark.segment = segment;
        a.meta.mark.offset = offset;
    }
    return st == STOQ_OK ? end(&a, st, err) : st;
}

enum stoq_status stoq_index_start(struct stoq_index *ix,
                                  const uint8_t store_id[STOQ_STORE_ID_BYTES],
                                  struct stoq_error *err)
{
    struct stoq_index_meta meta = {.mark = {0, 0, 1}};
    memcpy(meta.store_id, store_id, sizeof meta.store_id);
    MDB_txn *txn;
    enum stoq_status st = stoq_index_write_begin(ix, &txn, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_index_meta_put(ix, txn, &meta, err);
    if (st != STOQ_OK) {
        return give_up(ix, txn, st);
    }
    return commit(ix, txn, err);
}

static enum stoq_status quarantine_in(struct apply *a, const struct stoq_entry *e, bool quarantined,
                                      struct stoq_error *err)
{
    struct stoq_entry old;
    int rc = mdb_cursor_open(a->txn, a->ix->entries, &a->cur);
    if (rc == 0) {
        rc = look(a, e->type, stoq_entry_key(e), &old);
    }
    if (rc == 0 && old.sequence == e->sequence) {
        uint8_t key[STOQ_INDEX_KEY_MAX];
        uint8_t value[STOQ_INDEX_VALUE_BYTES];
        old.quarantined = quarantined;
        MDB_val k = stoq_index_key(key, e->type, stoq_entry_key(e));
        MDB_val v = stoq_index_value(value, &old);
        rc = mdb_cursor_put(a->cur, &k, &v, 0);
    }
    if (a->cur != NULL) {
        mdb_cursor_close(a->cur);
    }
    return rc == 0 || rc == MDB_NOTFOUND ? STOQ_OK : stoq_index_fail(err, rc, "quarantine");
}

static enum stoq_status set_quarantined(struct stoq_index *ix, const struct stoq_entry *e,
                                        bool quarantined, struct stoq_error *err)
{
    struct apply a = {.ix = ix};
    enum stoq_status st = stoq_index_write_begin(ix, &a.txn, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = quarantine_in(&a, e, quarantined, err);
    if (st != STOQ_OK) {
        return give_up(ix, a.txn, st);
    }
    return commit(ix, a.txn, err);
}

enum stoq_status stoq_index_quarantine(struct stoq_index *ix, const struct stoq_entry *e,
                                       struct stoq_error *err)
{
    return set_quarantined(ix, e, true, err);
}

enum stoq_status stoq_index_readmit(struct stoq_index *ix, const struct stoq_entry *e,
                                    struct stoq_error *err)
{
    return set_quarantined(ix, e, false, err);
}
