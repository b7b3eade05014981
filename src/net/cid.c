#include "net/cid.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64

__extension__ typedef unsigned __int128 wide;

enum stoq_status net_cids_init(struct net_cids *ids, const uint64_t seed[2])
{
    *ids = (struct net_cids){.bucket_count = BUCKETS_MIN, .seed = {seed[0] | 1, seed[1]}};
    ids->buckets = calloc(ids->bucket_count, sizeof *ids->buckets);
    return ids->buckets == NULL ? STOQ_NOMEM : STOQ_OK;
}

void net_cids_release(struct net_cids *ids)
{
    STOQ_ASSERT(ids->count == 0);
    free(ids->buckets);
    *ids = (struct net_cids){0};
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    wide m = (wide)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* A keyed multiply-fold over the bytes, zero-padded, and the length. Not for untrusted tables of any
 * size; here a stranger adds at most handshakes_max ids and sees no collision. */
static uint64_t hash_of(const struct net_cids *ids, struct stoq_span id)
{
    uint64_t w[3] = {0};
    memcpy(w, id.p, id.n);
    uint64_t h = mix(w[0] ^ ids->seed[1], ids->seed[0]);
    h = mix(w[1] ^ h, ids->seed[0] ^ UINT64_C(0xa0761d6478bd642f));
    return mix(w[2] ^ h ^ id.n, ids->seed[0] ^ UINT64_C(0xe7037ed1a0b428db));
}

static struct net_cid **bucket_of(const struct net_cids *ids, uint64_t hash)
{
    return &ids->buckets[hash & (ids->bucket_count - 1)];
}

static bool matches(const struct net_cid *c, uint64_t hash, struct stoq_span id)
{
    return c->hash == hash && c->n == id.n && memcmp(c->b, id.p, id.n) == 0;
}

static void grow(struct net_cids *ids)
{
    size_t count = ids->bucket_count * 2;
    struct net_cid **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL) {
        return; /* longer chains, nothing worse */
    }
    for (size_t i = 0; i < ids->bucket_count; i++) {
        struct net_cid *c = ids->buckets[i];
        while (c != NULL) {
            struct net_cid *next = c->bucket_next;
            struct net_cid **to = &buckets[c->hash & (count - 1)];
            c->bucket_next = *to;
            *to = c;
            c = next;
        }
    }
    free(ids->buckets);
    ids->buckets = buckets;
    ids->bucket_count = count;
}

enum stoq_status net_cids_add(struct net_cids *ids, struct net_cid **list, void *owner,
                              struct stoq_span id)
{
    STOQ_ASSERT(id.n >= 1 && id.n <= NET_CID_MAX);
    if (net_cids_find(ids, id) != NULL) {
        return STOQ_EXISTS;
    }
    struct net_cid *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return STOQ_NOMEM;
    }
    if (ids->count >= ids->bucket_count) {
        grow(ids);
    }
    c->owner = owner;
    c->hash = hash_of(ids, id);
    c->n = (uint8_t)id.n;
    memcpy(c->b, id.p, id.n);
    struct net_cid **bucket = bucket_of(ids, c->hash);
    c->bucket_next = *bucket;
    *bucket = c;
    c->owner_next = *list;
    *list = c;
    ids->count++;
    return STOQ_OK;
}

void *net_cids_find(const struct net_cids *ids, struct stoq_span id)
{
    if (id.n == 0 || id.n > NET_CID_MAX) {
        return NULL;
    }
    uint64_t hash = hash_of(ids, id);
    for (const struct net_cid *c = *bucket_of(ids, hash); c != NULL; c = c->bucket_next) {
        if (matches(c, hash, id)) {
            return c->owner;
        }
    }
    return NULL;
}

static void drop(struct net_cids *ids, struct net_cid *gone)
{
    struct net_cid **at = bucket_of(ids, gone->hash);
    while (*at != gone) {
        at = &(*at)->bucket_next;
    }
    *at = gone->bucket_next;
    ids->count--;
    free(gone);
}

void net_cids_remove(struct net_cids *ids, struct net_cid **list, struct stoq_span id)
{
    for (struct net_cid **at = list; *at != NULL; at = &(*at)->owner_next) {
        struct net_cid *c = *at;
        if (c->n == id.n && memcmp(c->b, id.p, id.n) == 0) {
            *at = c->owner_next;
            drop(ids, c);
            return;
        }
    }
}

void net_cids_clear(struct net_cids *ids, struct net_cid **list)
{
    while (*list != NULL) {
        struct net_cid *c = *list;
        *list = c->owner_next;
        drop(ids, c);
    }
}
