/*
 * LMDB as a projection. Two tables: `entries` maps (type, key) to a record's place, `meta` holds
 * one value: the store's id, the high-water mark, totals by type. Readers use transactions that are
 * reset and renewed, not bound to threads (MDB_NOTLS), and never held across other I/O: an old
 * reader would keep LMDB from reusing pages and the index file would grow. No MDB_WRITEMAP (a
 * stray write would damage the map) and no MDB_NOSYNC, except while a new index is built beside
 * the old one.
 *
 * A write of LMDB's head that fails ends the environment: every later transaction is refused with
 * MDB_PANIC, reading ones too. Then it is closed and opened anew, while nobody is inside (the gate), and
 * goes on from the head that the disk has: either one is good, for what is committed twice comes out the
 * same.
 *
 * LMDB trusts its file: a page that rotted into another shape may end the process. What can be checked
 * cheaply at open is: that the file is as long as its last page says, and that the number of entries is
 * the number our totals have. Whatever fails makes the caller build the index anew.
 */
#include "store/index_internal.h"

#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define META_VERSION 1
#define READERS_MAX 512
#define QUARANTINED 0x80
static const char meta_key[] = "meta";

enum stoq_status stoq_index_fail(struct stoq_error *err, int code, const char *what)
{
    enum stoq_status st = STOQ_IO;
    switch (code) {
    case MDB_NOTFOUND:
        st = STOQ_NOTFOUND;
        break;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        st = STOQ_FULL;
        break;
    case ENOMEM:
        st = STOQ_NOMEM;
        break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_PANIC:
        st = STOQ_MALFORMED;
        break;
    default:
        break;
    }
    return stoq_fail(err, st, code > 0 ? code : 0, "index: %s%s%s", what, code > 0 ? "" : ": ",
                     code > 0 ? "" : mdb_strerror(code));
}

MDB_val stoq_index_key(uint8_t buf[STOQ_INDEX_KEY_MAX], uint8_t type, struct stoq_span key)
{
    STOQ_ASSERT(key.n < STOQ_INDEX_KEY_MAX);
    buf[0] = type;
    if (key.n > 0) {
        memcpy(buf + 1, key.p, key.n);
    }
    return (MDB_val){1 + key.n, buf};
}

MDB_val stoq_index_value(uint8_t buf[STOQ_INDEX_VALUE_BYTES], const struct stoq_entry *e)
{
    struct stoq_wr w = stoq_wr(buf, STOQ_INDEX_VALUE_BYTES);
    stoq_wr_u32(&w, e->segment);
    stoq_wr_u32(&w, e->offset);
    stoq_wr_u32(&w, e->info.raw_len);
    stoq_wr_u32(&w, e->info.stored_len);
    stoq_wr_u8(&w, (uint8_t)(e->info.flags | (e->quarantined ? QUARANTINED : 0)));
    stoq_wr_u8(&w, 0);
    stoq_wr_u64(&w, e->sequence);
    STOQ_ASSERT(!w.bad && w.n == STOQ_INDEX_VALUE_BYTES);
    return (MDB_val){STOQ_INDEX_VALUE_BYTES, buf};
}

enum stoq_status stoq_index_value_get(struct stoq_entry *e, MDB_val v)
{
    struct stoq_rd r = stoq_rd(stoq_span(v.mv_data, v.mv_size));
    e->segment = stoq_rd_u32(&r);
    e->offset = stoq_rd_u32(&r);
    e->info.raw_len = stoq_rd_u32(&r);
    e->info.stored_len = stoq_rd_u32(&r);
    uint8_t flags = stoq_rd_u8(&r);
    uint8_t reserved = stoq_rd_u8(&r);
    e->sequence = stoq_rd_u64(&r);
    e->quarantined = (flags & QUARANTINED) != 0;
    e->info.flags = flags & STOQ_STORED_ZSTD;
    bool possible = e->segment != 0 && e->offset >= STOQ_SEGMENT_HEADER_BYTES &&
                    e->offset % 8 == 0 && e->info.raw_len <= STOQ_RECORD_BYTES_MAX &&
                    e->info.stored_len <= e->info.raw_len && e->sequence != 0 && reserved == 0 &&
                    (flags & ~(QUARANTINED | STOQ_STORED_ZSTD)) == 0;
    return r.bad || r.n != 0 || !possible ? STOQ_MALFORMED : STOQ_OK;
}

enum stoq_status stoq_index_head_get(struct stoq_index_meta *out, struct stoq_span bytes)
{
    struct stoq_rd r = stoq_rd(bytes);
    uint32_t version = stoq_rd_u32(&r);
    struct stoq_span id = stoq_rd_bytes(&r, STOQ_STORE_ID_BYTES);
    out->mark.segment = stoq_rd_u32(&r);
    out->mark.offset = stoq_rd_u64(&r);
    out->mark.next_sequence = stoq_rd_u64(&r);
    for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
        out->type[i].records = stoq_rd_u64(&r);
        out->type[i].raw_bytes = stoq_rd_u64(&r);
        out->type[i].stored_bytes = stoq_rd_u64(&r);
    }
    if (r.bad || r.n != 0 || version != META_VERSION || out->mark.next_sequence == 0 ||
        out->mark.offset > UINT32_MAX) {
        return STOQ_MALFORMED;
    }
    memcpy(out->store_id, id.p, sizeof out->store_id);
    return STOQ_OK;
}

void stoq_index_head_put(uint8_t out[STOQ_INDEX_META_BYTES], const struct stoq_index_meta *meta)
{
    struct stoq_wr w = stoq_wr(out, STOQ_INDEX_META_BYTES);
    stoq_wr_u32(&w, META_VERSION);
    stoq_wr_bytes(&w, stoq_span(meta->store_id, sizeof meta->store_id));
    stoq_wr_u32(&w, meta->mark.segment);
    stoq_wr_u64(&w, meta->mark.offset);
    stoq_wr_u64(&w, meta->mark.next_sequence);
    for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
        stoq_wr_u64(&w, meta->type[i].records);
        stoq_wr_u64(&w, meta->type[i].raw_bytes);
        stoq_wr_u64(&w, meta->type[i].stored_bytes);
    }
    STOQ_ASSERT(!w.bad && w.n == STOQ_INDEX_META_BYTES);
}

enum stoq_status stoq_index_meta_get(struct stoq_index *ix, MDB_txn *txn,
                                     struct stoq_index_meta *out, struct stoq_error *err)
{
    MDB_val k = {sizeof meta_key - 1, (void *)(uintptr_t)meta_key};
    MDB_val v;
    int rc = mdb_get(txn, ix->meta, &k, &v);
    if (rc != 0) {
        return stoq_index_fail(err, rc, "read its head");
    }
    if (stoq_index_head_get(out, stoq_span(v.mv_data, v.mv_size)) != STOQ_OK) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "index: its head is damaged");
    }
    return STOQ_OK;
}

enum stoq_status stoq_index_meta_put(struct stoq_index *ix, MDB_txn *txn,
                                     const struct stoq_index_meta *meta, struct stoq_error *err)
{
    uint8_t buf[STOQ_INDEX_META_BYTES];
    stoq_index_head_put(buf, meta);
    MDB_val k = {sizeof meta_key - 1, (void *)(uintptr_t)meta_key};
    MDB_val v = {sizeof buf, buf};
    int rc = mdb_put(txn, ix->meta, &k, &v, 0);
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "write its head");
}

/* A file shorter than its last page would end the process with SIGBUS at the first look. */
static enum stoq_status file_long_enough(struct stoq_index *ix, const char *dir,
                                         struct stoq_error *err)
{
    char path[4096];
    struct stat sb;
    MDB_envinfo info;
    MDB_stat ms;
    if (stoq_file_join(path, sizeof path, dir, "data.mdb") != STOQ_OK || stat(path, &sb) != 0 ||
        mdb_env_info(ix->env, &info) != 0 || mdb_env_stat(ix->env, &ms) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "index: look at %s", dir);
    }
    if ((uint64_t)sb.st_size / ms.ms_psize < (uint64_t)info.me_last_pgno + 1) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "index: its file is cut short");
    }
    return STOQ_OK;
}

static enum stoq_status open_tables(struct stoq_index *ix, struct stoq_error *err)
{
    bool reads = ix->mode == STOQ_INDEX_READ;
    MDB_txn *txn;
    int rc = mdb_txn_begin(ix->env, NULL, reads ? MDB_RDONLY : 0, &txn);
    if (rc != 0) {
        return stoq_index_fail(err, rc, "open");
    }
    unsigned create = reads ? 0 : MDB_CREATE;
    rc = mdb_dbi_open(txn, "entries", create, &ix->entries);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "meta", create, &ix->meta);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return stoq_index_fail(err, rc, "open");
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "open");
}

/* The totals must add up to the entries that are there. */
static enum stoq_status totals_agree(struct stoq_index *ix, struct stoq_error *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return stoq_index_fail(err, rc, "open");
    }
    struct stoq_index_meta meta;
    MDB_stat ms;
    enum stoq_status st = stoq_index_meta_get(ix, txn, &meta, err);
    if (st == STOQ_OK && mdb_stat(txn, ix->entries, &ms) != 0) {
        st = stoq_fail(err, STOQ_MALFORMED, 0, "index: cannot be counted");
    }
    if (st == STOQ_OK) {
        uint64_t sum = 0;
        for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
            sum += meta.type[i].records;
        }
        if (sum != ms.ms_entries) {
            st = stoq_fail(err, STOQ_MALFORMED, 0, "index: its totals disagree with its entries");
        }
    }
    mdb_txn_abort(txn);
    return st;
}

static enum stoq_status open_env(struct stoq_index *ix, const char *dir, uint64_t map_bytes,
                                 struct stoq_error *err)
{
    int rc = mdb_env_create(&ix->env);
    if (rc != 0) {
        return stoq_index_fail(err, rc, "open");
    }
    (void)mdb_env_set_maxdbs(ix->env, 4);
    (void)mdb_env_set_maxreaders(ix->env, READERS_MAX);
    rc = mdb_env_set_mapsize(ix->env, map_bytes);
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
    if (ix->mode == STOQ_INDEX_READ) {
        flags |= MDB_RDONLY;
    } else if (ix->mode == STOQ_INDEX_BUILD) {
        flags |= MDB_NOSYNC;
    }
#ifdef STOQ_LEFT_OUT_index_sync
    flags |= ix->mode == STOQ_INDEX_WRITE ? MDB_NOSYNC : 0;
#endif
    if (rc == 0) {
        rc = mdb_env_open(ix->env, dir, flags, 0600);
    }
    if (rc == ENOENT) {
        return stoq_fail(err, STOQ_NOTFOUND, 0, "index: there is none in %s", dir);
    }
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "open");
}

/* Open what dir holds, and check what can be checked cheaply. */
static enum stoq_status open_all(struct stoq_index *ix, struct stoq_error *err)
{
    enum stoq_status st = open_env(ix, ix->dir, ix->map_bytes, err);
    if (st == STOQ_OK) {
        st = file_long_enough(ix, ix->dir, err);
    }
    if (st == STOQ_OK && ix->mode == STOQ_INDEX_WRITE) {
        int dead;
        (void)mdb_reader_check(ix->env, &dead); /* slots of killed readers hold pages back */
    }
    if (st == STOQ_OK) {
        st = open_tables(ix, err);
    }
    return st == STOQ_OK ? totals_agree(ix, err) : st;
}

static void close_env(struct stoq_index *ix)
{
    while (ix->reader_count > 0) {
        mdb_txn_abort(ix->readers[--ix->reader_count]);
    }
    if (ix->env != NULL) {
        mdb_env_close(ix->env);
        ix->env = NULL;
    }
}

enum stoq_status stoq_index_open(struct stoq_index **out, const char *dir, uint64_t map_bytes,
                                 enum stoq_index_mode mode, struct stoq_error *err)
{
    *out = NULL;
    struct stoq_index *ix = calloc(1, sizeof *ix);
    if (ix == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "index: open");
    }
    pthread_rwlockattr_t attr;
    ix->mode = mode;
    ix->map_bytes = map_bytes;
    ix->dir = strdup(dir);
    (void)pthread_mutex_init(&ix->lock, NULL);
    (void)pthread_rwlockattr_init(&attr); /* readers that never cease must not keep a writer out */
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&ix->gate, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    enum stoq_status st =
        ix->dir == NULL ? stoq_fail(err, STOQ_NOMEM, 0, "index: open") : open_all(ix, err);
    if (st == STOQ_OK || (st == STOQ_NOTFOUND && mode != STOQ_INDEX_READ)) {
        *out = ix;
    } else {
        stoq_index_close(ix);
    }
    return st;
}

void stoq_index_close(struct stoq_index *ix)
{
    if (ix == NULL) {
        return;
    }
    close_env(ix);
    (void)pthread_mutex_destroy(&ix->lock);
    (void)pthread_rwlock_destroy(&ix->gate);
    free(ix->dir);
    free(ix);
}

/* Nobody is inside. A status that is not OK leaves it closed; the next transaction tries again. */
static enum stoq_status open_anew(struct stoq_index *ix, struct stoq_error *err)
{
    if (!atomic_load(&ix->is_broken)) {
        return STOQ_OK; /* somebody was quicker */
    }
    close_env(ix);
    enum stoq_status st = open_all(ix, err);
    if (st == STOQ_OK) {
        atomic_store(&ix->is_broken, false);
        return st;
    }
    close_env(ix);
    stoq_error_prefix(err,
                      "the index cannot be opened again after a failed write; a restart makes it "
                      "anew: ");
    return st == STOQ_NOTFOUND ? STOQ_MALFORMED : st;
}

static enum stoq_status enter(struct stoq_index *ix, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    (void)pthread_rwlock_rdlock(&ix->gate);
    while (st == STOQ_OK && atomic_load(&ix->is_broken)) {
        (void)pthread_rwlock_unlock(&ix->gate);
        (void)pthread_rwlock_wrlock(&ix->gate);
        st = open_anew(ix, err);
        (void)pthread_rwlock_unlock(&ix->gate);
        (void)pthread_rwlock_rdlock(&ix->gate);
    }
    if (st != STOQ_OK) {
        (void)pthread_rwlock_unlock(&ix->gate);
    }
    return st;
}

void stoq_index_leave(struct stoq_index *ix)
{
    (void)pthread_rwlock_unlock(&ix->gate);
}

enum stoq_status stoq_index_write_begin(struct stoq_index *ix, MDB_txn **txn,
                                        struct stoq_error *err)
{
    for (int attempt = 0;; attempt++) {
        enum stoq_status st = enter(ix, err);
        if (st != STOQ_OK) {
            return st;
        }
        int rc = mdb_txn_begin(ix->env, NULL, 0, txn);
        if (rc == 0) {
            return STOQ_OK;
        }
        if (rc == MDB_PANIC) {
            atomic_store(&ix->is_broken, true);
        }
        stoq_index_leave(ix);
        if (rc != MDB_PANIC || attempt > 0) {
            return stoq_index_fail(err, rc, "begin to write");
        }
    }
}

/* A transaction for reading, a kept one where there is one. An LMDB code. */
static int read_txn(struct stoq_index *ix, MDB_txn **txn)
{
    *txn = NULL;
    (void)pthread_mutex_lock(&ix->lock);
    if (ix->reader_count > 0) {
        *txn = ix->readers[--ix->reader_count];
    }
    (void)pthread_mutex_unlock(&ix->lock);
    int rc = *txn != NULL ? mdb_txn_renew(*txn) : mdb_txn_begin(ix->env, NULL, MDB_RDONLY, txn);
    if (rc != 0 && *txn != NULL) {
        mdb_txn_abort(*txn);
    }
    return rc;
}

static enum stoq_status read_begin(struct stoq_index *ix, MDB_txn **txn, struct stoq_error *err)
{
    for (int attempt = 0;; attempt++) {
        enum stoq_status st = enter(ix, err);
        if (st != STOQ_OK) {
            return st;
        }
        int rc = read_txn(ix, txn);
        if (rc == 0) {
            return STOQ_OK;
        }
        if (rc == MDB_PANIC) {
            atomic_store(&ix->is_broken, true);
        }
        stoq_index_leave(ix);
        if (rc != MDB_PANIC || attempt > 0) {
            return stoq_index_fail(err, rc, "begin to read");
        }
    }
}

static void read_end(struct stoq_index *ix, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    (void)pthread_mutex_lock(&ix->lock);
    bool keep = ix->reader_count < STOQ_INDEX_READERS_KEPT;
    if (keep) {
        ix->readers[ix->reader_count++] = txn;
    }
    (void)pthread_mutex_unlock(&ix->lock);
    if (!keep) {
        mdb_txn_abort(txn);
    }
    stoq_index_leave(ix);
}

enum stoq_status stoq_index_meta(struct stoq_index *ix, struct stoq_index_meta *out,
                                 struct stoq_error *err)
{
    MDB_txn *txn;
    enum stoq_status st = read_begin(ix, &txn, err);
    if (st == STOQ_OK) {
        st = stoq_index_meta_get(ix, txn, out, err);
        read_end(ix, txn);
    }
    return st;
}

static enum stoq_status get(struct stoq_index *ix, MDB_txn *txn, uint8_t type, struct stoq_span key,
                            struct stoq_entry *out, struct stoq_error *err)
{
    uint8_t buf[STOQ_INDEX_KEY_MAX];
    MDB_val k = stoq_index_key(buf, type, key);
    MDB_val v;
    int rc = mdb_get(txn, ix->entries, &k, &v);
    if (rc == MDB_NOTFOUND) {
        return STOQ_NOTFOUND;
    }
    if (rc != 0) {
        return stoq_index_fail(err, rc, "look up");
    }
    out->type = type;
    out->key_len = (uint8_t)key.n;
    memcpy(out->key, key.p, key.n);
    if (stoq_index_value_get(out, v) != STOQ_OK) {
        return stoq_fail(err, STOQ_IO, 0, "index: an entry is damaged; rebuild it");
    }
    return STOQ_OK;
}

enum stoq_status stoq_index_get(struct stoq_index *ix, uint8_t type, struct stoq_span key,
                                struct stoq_entry *out, struct stoq_error *err)
{
    MDB_txn *txn;
    enum stoq_status st = read_begin(ix, &txn, err);
    if (st == STOQ_OK) {
        st = get(ix, txn, type, key, out, err);
        read_end(ix, txn);
    }
    return st;
}

enum stoq_status stoq_index_get_many(struct stoq_index *ix, uint8_t type, struct stoq_span keys,
                                     size_t key_count, uint8_t *out, struct stoq_error *err)
{
    MDB_txn *txn;
    enum stoq_status st = read_begin(ix, &txn, err);
    if (st != STOQ_OK) {
        return st;
    }
    for (size_t i = 0; i < key_count && st == STOQ_OK; i++) {
        struct stoq_entry e = {0};
        st = get(ix, txn, type, stoq_span(keys.p + 32 * i, 32), &e, err);
        if (st == STOQ_OK && !e.quarantined) {
            out[i / 8] |= (uint8_t)(1U << (i & 7));
        }
        if (st == STOQ_NOTFOUND) {
            st = STOQ_OK;
        }
    }
    read_end(ix, txn);
    return st;
}

/* The entry a cursor stands on. False: another type's, or not one of ours. */
static bool entry_at(struct stoq_entry *e, uint8_t type, MDB_val k, MDB_val v)
{
    const uint8_t *key = k.mv_data;
    if (k.mv_size < 1 || k.mv_size > STOQ_INDEX_KEY_MAX || key[0] != type) {
        return false;
    }
    e->type = type;
    e->key_len = (uint8_t)(k.mv_size - 1);
    memcpy(e->key, key + 1, e->key_len);
    return stoq_index_value_get(e, v) == STOQ_OK;
}

static int page(MDB_cursor *cur, uint8_t type, struct stoq_span after, struct stoq_entry *out,
                size_t entry_max, size_t *count_out)
{
    uint8_t buf[STOQ_INDEX_KEY_MAX];
    MDB_val k = stoq_index_key(buf, type, after);
    MDB_val start = k;
    MDB_val v;
    int rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
    if (rc == 0 && k.mv_size == start.mv_size && memcmp(k.mv_data, buf, k.mv_size) == 0) {
        rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
    }
    while (rc == 0 && *count_out < entry_max && entry_at(&out[*count_out], type, k, v)) {
        *count_out += 1;
        rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

enum stoq_status stoq_index_page(struct stoq_index *ix, uint8_t type, struct stoq_span after,
                                 struct stoq_entry *out, size_t entry_max, size_t *count_out,
                                 struct stoq_error *err)
{
    *count_out = 0;
    MDB_txn *txn;
    enum stoq_status st = read_begin(ix, &txn, err);
    if (st != STOQ_OK) {
        return st;
    }
    MDB_cursor *cur;
    int rc = mdb_cursor_open(txn, ix->entries, &cur);
    if (rc == 0) {
        rc = page(cur, type, after, out, entry_max, count_out);
        mdb_cursor_close(cur);
    }
    read_end(ix, txn);
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "list");
}

enum stoq_status stoq_index_sync(struct stoq_index *ix, struct stoq_error *err)
{
    enum stoq_status st = enter(ix, err);
    if (st != STOQ_OK) {
        return st;
    }
    int rc = mdb_env_sync(ix->env, 1);
    stoq_index_leave(ix);
    return rc == 0 ? STOQ_OK : stoq_index_fail(err, rc, "sync");
}
