#ifndef STOQ_STORE_INDEX_INTERNAL_H
#define STOQ_STORE_INDEX_INTERNAL_H
/* What index.c (open, look up) and index_apply.c (change) share. */
#include "store/index.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

/* Reset read transactions kept for renewal. */
#define STOQ_INDEX_READERS_KEPT 8

struct stoq_index {
    char *dir;
    uint64_t map_bytes;
    enum stoq_index_mode mode;
    /* Held shared over each transaction, alone while the environment is opened anew. */
    pthread_rwlock_t gate;
    atomic_bool is_broken; /* it must be, before the next transaction */
    MDB_env *env;          /* NULL: it could not be opened anew */
    MDB_dbi entries;       /* type, key -> place */
    MDB_dbi meta;          /* one value */
    pthread_mutex_t lock;  /* of the two below */
    MDB_txn *readers[STOQ_INDEX_READERS_KEPT];
    size_t reader_count;
};

#define STOQ_INDEX_KEY_MAX (1 + STOQ_RECORD_ID_MAX)
#define STOQ_INDEX_VALUE_BYTES 26
#define STOQ_INDEX_META_BYTES (4 + STOQ_STORE_ID_BYTES + 20 + STOQ_RECORD_TYPES * 24)

/* The index key of a record: its type, then its key. */
MDB_val stoq_index_key(uint8_t buf[STOQ_INDEX_KEY_MAX], uint8_t type, struct stoq_span key);
/* STOQ_MALFORMED when the value is not one of ours, or says what cannot be. */
enum stoq_status stoq_index_value_get(struct stoq_entry *e, MDB_val v);
MDB_val stoq_index_value(uint8_t buf[STOQ_INDEX_VALUE_BYTES], const struct stoq_entry *e);

/* The bytes of the one value of `meta`. STOQ_MALFORMED as above. */
enum stoq_status stoq_index_head_get(struct stoq_index_meta *out, struct stoq_span bytes);
void stoq_index_head_put(uint8_t out[STOQ_INDEX_META_BYTES], const struct stoq_index_meta *meta);

enum stoq_status stoq_index_meta_get(struct stoq_index *ix, MDB_txn *txn,
                                     struct stoq_index_meta *out, struct stoq_error *err);
enum stoq_status stoq_index_meta_put(struct stoq_index *ix, MDB_txn *txn,
                                     const struct stoq_index_meta *meta, struct stoq_error *err);

/* Begin a transaction that writes. STOQ_OK: stoq_index_leave must follow its commit or abort. An
 * environment that a failed write has ended is opened anew first. */
enum stoq_status stoq_index_write_begin(struct stoq_index *ix, MDB_txn **txn,
                                        struct stoq_error *err);
void stoq_index_leave(struct stoq_index *ix);

/* LMDB's code as a status with a sentence. */
enum stoq_status stoq_index_fail(struct stoq_error *err, int code, const char *what);

#endif
