#include "store/use.h"

#include "hash/hash.h"
#include "os/sys.h"
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 33

struct stoq_use {
    struct stoq_use *next;
    unsigned users;
    bool is_doomed; /* is being given up */
    uint64_t last_use;
    size_t key_len;
    uint8_t key[KEY_MAX];
};

void stoq_use_table_init(struct stoq_use_table *t)
{
    memset(t, 0, sizeof *t);
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->changed, NULL);
}

void stoq_use_table_release(struct stoq_use_table *t)
{
    for (size_t i = 0; i < STOQ_USE_BUCKETS; i++) {
        while (t->bucket[i] != NULL) {
            struct stoq_use *u = t->bucket[i];
            t->bucket[i] = u->next;
            free(u);
        }
    }
    (void)pthread_mutex_destroy(&t->lock);
    (void)pthread_cond_destroy(&t->changed);
}

static struct stoq_use **bucket_of(struct stoq_use_table *t, struct stoq_span key)
{
    return &t->bucket[stoq_hash_xxh3_64(key) % STOQ_USE_BUCKETS];
}

/* Lock held. */
static struct stoq_use *find(struct stoq_use_table *t, struct stoq_span key)
{
    struct stoq_use *u = *bucket_of(t, key);
    while (u != NULL && !stoq_span_eq(stoq_span(u->key, u->key_len), key)) {
        u = u->next;
    }
    return u;
}

/* Lock held. */
static void forget_unused(struct stoq_use_table *t, struct stoq_use **link)
{
    while (*link != NULL) {
        struct stoq_use *u = *link;
        if (u->users > 0 || u->is_doomed) {
            link = &u->next;
            continue;
        }
        *link = u->next;
        t->count--;
        free(u);
    }
}

/* The entry of a key, made when there is none; NULL: no memory. Lock held. */
static struct stoq_use *find_or_make(struct stoq_use_table *t, struct stoq_span key)
{
    struct stoq_use *u = find(t, key);
    if (u != NULL) {
        return u;
    }
    struct stoq_use **bucket = bucket_of(t, key);
    if (t->count >= STOQ_USES_MAX) {
        forget_unused(t, bucket);
    }
    u = calloc(1, sizeof *u);
    if (u != NULL) {
        STOQ_ASSERT(key.n <= KEY_MAX);
        u->key_len = key.n;
        memcpy(u->key, key.p, key.n);
        u->next = *bucket;
        *bucket = u;
        t->count++;
    }
    return u;
}

enum stoq_status stoq_store_use_begin(struct stoq_store *s, struct stoq_span key)
{
    struct stoq_use_table *t = &s->uses;
    (void)pthread_mutex_lock(&t->lock);
    struct stoq_use *u = find_or_make(t, key);
    while (u != NULL && u->is_doomed) {
        (void)pthread_cond_wait(&t->changed, &t->lock);
        u = find_or_make(t, key); /* it may have been forgotten */
    }
    if (u != NULL) {
        u->users++;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return u != NULL ? STOQ_OK : STOQ_NOMEM;
}

void stoq_store_use_end(struct stoq_store *s, struct stoq_span key)
{
    struct stoq_use_table *t = &s->uses;
    (void)pthread_mutex_lock(&t->lock);
    struct stoq_use *u = find(t, key);
    STOQ_ASSERT(u != NULL && u->users > 0);
    u->users--;
    u->last_use = stoq_wall_seconds();
    (void)pthread_mutex_unlock(&t->lock);
}

uint64_t stoq_store_last_use(struct stoq_store *s, struct stoq_span key)
{
    struct stoq_use_table *t = &s->uses;
    (void)pthread_mutex_lock(&t->lock);
    const struct stoq_use *u = find(t, key);
    uint64_t at = u == NULL ? 0 : u->users > 0 ? UINT64_MAX : u->last_use;
    (void)pthread_mutex_unlock(&t->lock);
    return at;
}

bool stoq_store_give_up_begin(struct stoq_store *s, struct stoq_span key)
{
    struct stoq_use_table *t = &s->uses;
    (void)pthread_mutex_lock(&t->lock);
    struct stoq_use *u = find_or_make(t, key);
    bool free_to_go = u != NULL && u->users == 0 && !u->is_doomed;
    if (free_to_go) {
        u->is_doomed = true;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return free_to_go;
}

void stoq_store_give_up_end(struct stoq_store *s, struct stoq_span key)
{
    struct stoq_use_table *t = &s->uses;
    (void)pthread_mutex_lock(&t->lock);
    struct stoq_use *u = find(t, key);
    STOQ_ASSERT(u != NULL && u->is_doomed);
    u->is_doomed = false;
    (void)pthread_cond_broadcast(&t->changed);
    (void)pthread_mutex_unlock(&t->lock);
}
