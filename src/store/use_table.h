#ifndef STOQ_STORE_USE_TABLE_H
#define STOQ_STORE_USE_TABLE_H
/* The table behind store/use.h. */
#include "base/bytes.h"

#include <pthread.h>

struct stoq_use;

#define STOQ_USE_BUCKETS 1024
/* Uses that are over are remembered for this many keys; beyond, a bucket forgets its unused ones. */
#define STOQ_USES_MAX 65536

struct stoq_use_table {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct stoq_use *bucket[STOQ_USE_BUCKETS];
    size_t count;
};

void stoq_use_table_init(struct stoq_use_table *t);
void stoq_use_table_release(struct stoq_use_table *t);

#endif
