#ifndef STOQ_STORE_INDEX_INTERNAL_H
#define STOQ_STORE_INDEX_INTERNAL_H
/* What index.c (open, look up) and index_apply.c (change) share. */
#include "store/index.h"

#include <lmdb.h>
#include <pthread.h>

/* Reset read transactions kept for renewal. */
#define STOQ_INDEX_READERS_KEPT 8

struct stoq_index {
    MDB_env *env;
    MDB_dbi entries; /* type, key -> place */
    MDB_dbi meta;    /* one value */
    enum stoq_index_mode mode;
    pthread_mutex_t lock; /* of the two below */
    MDB_txn *readers[STOQ_INDEX_READERS_KEPT];
    size_t reader_count;
};

#define STOQ_INDEX_KEY_MAX (1 + STOQ_RECORD_ID_MAX)
#define STOQ_INDEX_VALUE_BYTES 26
#define STOQ_INDEX_META_BYTES (4 + STOQ_STORE_ID_BYTES + 20 + STOQ_RECORD_TYPES * 24)

/* The index key of a record: its type, then its key. */
MDB_val stoq_index_key(uint8_t buf[STOQ_INDEX_KEY_MAX], uint8_t type, struct stoq_span key);
/* STOQ_MALFORMED when the value is not one of ours. */
enum stoq_status stoq_index_value_get(struct stoq_entry *e, MDB_val v);
MDB_val stoq_index_value(uint8_t buf[STOQ_INDEX_VALUE_BYTES], const struct stoq_entry *e);

enum stoq_status stoq_index_meta_get(struct stoq_index *ix, MDB_txn *txn,
                                     struct stoq_index_meta *out, struct stoq_error *err);
enum stoq_status stoq_index_meta_put(struct stoq_index *ix, MDB_txn *txn,
                                     const struct stoq_index_meta *meta, struct stoq_error *err);

/* LMDB's code as a status with a sentence. */
enum stoq_status stoq_index_fail(struct stoq_error *err, int code, const char *what);

#endif
