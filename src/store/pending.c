#include "store/pending.h"

#include <stdlib.h>
#include <string.h>

/* Twice the records that can be pending at most would be wasteful for the usual few hundred; two
 * per bucket at worst is short enough. */
#define BUCKETS 16384

enum stoq_status stoq_pending_init(struct stoq_pending_set *set, uint64_t seed)
{
    *set = (struct stoq_pending_set){.seed = seed | 1};
    set->bucket = calloc(BUCKETS, sizeof(struct stoq_pending *));
    return set->bucket == NULL ? STOQ_NOMEM : STOQ_OK;
}

void stoq_pending_release(struct stoq_pending_set *set)
{
    while (set->oldest != NULL) {
        stoq_pending_drop_oldest(set);
    }
    free(set->bucket);
    set->bucket = NULL;
}

/* What identifies a record: type and key. A tombstone stands for the record it deletes. */
static struct stoq_span identity(uint8_t buf[STOQ_RECORD_ID_MAX + 1], uint8_t type,
                                 struct stoq_span key)
{
    if (type == STOQ_RECORD_TOMBSTONE) {
        return key;
    }
    buf[0] = type;
    memcpy(buf + 1, key.p, key.n);
    return stoq_span(buf, 1 + key.n);
}

/* Keys are chosen by peers: the seed keeps them from choosing one bucket. */
static size_t bucket_of(const struct stoq_pending_set *set, struct stoq_span id)
{
    uint64_t h = set->seed ^ id.n;
    while (id.n > 0) {
        uint8_t word[8] = {0};
        size_t n = id.n < 8 ? id.n : 8;
        memcpy(word, id.p, n);
        h = (h ^ stoq_le64(word)) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
        h = (h + set->seed) * UINT64_C(0xbf58476d1ce4e5b9);
        h ^= h >> 32;
        id = stoq_span(id.p + n, id.n - n);
    }
    return (size_t)(h % BUCKETS);
}

struct stoq_pending *stoq_pending_find(const struct stoq_pending_set *set, uint8_t type,
                                       struct stoq_span key)
{
    uint8_t want_buf[STOQ_RECORD_ID_MAX + 1];
    struct stoq_span want = identity(want_buf, type, key);
    struct stoq_pending *p = set->bucket[bucket_of(set, want)];
    for (; p != NULL; p = p->chain) {
        uint8_t buf[STOQ_RECORD_ID_MAX + 1];
        if (stoq_span_eq(identity(buf, p->e.type, stoq_entry_key(&p->e)), want)) {
            return p;
        }
    }
    return NULL;
}

void stoq_pending_add(struct stoq_pending_set *set, struct stoq_pending *p)
{
    uint8_t buf[STOQ_RECORD_ID_MAX + 1];
    size_t b = bucket_of(set, identity(buf, p->e.type, stoq_entry_key(&p->e)));
    p->chain = set->bucket[b]; /* in front: the newest is found first */
    set->bucket[b] = p;
    p->newer = NULL;
    if (set->newest != NULL) {
        set->newest->newer = p;
    } else {
        set->oldest = p;
    }
    set->newest = p;
    set->count++;
}

void stoq_pending_drop_oldest(struct stoq_pending_set *set)
{
    struct stoq_pending *p = set->oldest;
    uint8_t buf[STOQ_RECORD_ID_MAX + 1];
    size_t b = bucket_of(set, identity(buf, p->e.type, stoq_entry_key(&p->e)));
    struct stoq_pending **link = &set->bucket[b];
    while (*link != p) {
        link = &(*link)->chain;
    }
    *link = p->chain;
    set->oldest = p->newer;
    if (set->oldest == NULL) {
        set->newest = NULL;
    }
    set->count--;
    free(p);
}
