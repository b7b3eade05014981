/*
 * Digests that a publish makes besides those of chunks: of every file for each algorithm that it shall be
 * known by, and of the whole stream. They follow the bytes through the ingest, each on a thread of its own,
 * since one of them alone may be slower than all the rest.
 */
#include "daemon/publish_internal.h"

/* Marks: the file's index in the listing, and whether it begins or ends. */
static uint64_t mark_of(size_t i, bool ends)
{
    return (uint64_t)i << 1 | ends;
}

static void alias_bytes(void *user, struct stoq_span bytes)
{
    struct publish_alias *a = user;
    if (a->is_open) {
        stoq_aliases_update(a->aliases, bytes);
    }
}

static void alias_mark(void *user, uint64_t mark)
{
    struct publish_alias *a = user;
    bool ends = (mark & 1) != 0;
    if (a->failed.status != STOQ_OK) {
        return;
    }
    enum stoq_status st = ends ? stoq_aliases_end(a->aliases, (uint32_t)(mark >> 1), &a->failed)
                               : stoq_aliases_begin(a->aliases, &a->failed);
    a->is_open = !ends && st == STOQ_OK;
}

static void hash_bytes(void *user, struct stoq_span bytes)
{
    publish_hash(user, bytes);
}

void publish_hash(struct publish *p, struct stoq_span bytes)
{
    if (p->ask->secondary != STOQ_HASH_NONE) {
        stoq_hasher_update(&p->secondary, bytes);
    }
}

enum stoq_status publish_follow(struct publish *p, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < p->ask->alias_count; i++) {
        struct publish_alias *a = &p->aliases[i];
        st = stoq_aliases_new(&a->aliases, &p->ask->aliases[i], 1, err);
        if (st == STOQ_OK) {
            st = stoq_ingest_follow(p->ingest,
                                    (struct stoq_ingest_follower){alias_bytes, alias_mark, a}, err);
        }
    }
    if (st == STOQ_OK && p->ask->secondary != STOQ_HASH_NONE && p->tree != NULL) {
        st = stoq_ingest_follow(p->ingest, (struct stoq_ingest_follower){hash_bytes, NULL, p}, err);
    }
    return st;
}

enum stoq_status publish_mark(struct publish *p, size_t i, bool ends, struct stoq_error *err)
{
    return p->ask->alias_count == 0 ? STOQ_OK : stoq_ingest_mark(p->ingest, mark_of(i, ends), err);
}

enum stoq_status publish_put_aliases(struct publish *p,
                                     struct stoq_span (*path_of)(void *user, uint32_t index),
                                     struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < p->ask->alias_count; i++) {
        struct publish_alias *a = &p->aliases[i];
        uint64_t records = 0;
        st = a->failed.status;
        if (st != STOQ_OK && err != NULL) {
            *err = a->failed;
        }
        if (st == STOQ_OK) {
            st = stoq_aliases_put(a->aliases, p->store, &p->report->id, path_of, p, &records, err);
        }
        p->report->aliases += records;
    }
    return st;
}

void publish_follow_free(struct publish *p)
{
    for (size_t i = 0; i < STOQ_COUNT(p->aliases); i++) {
        stoq_aliases_free(p->aliases[i].aliases);
    }
}
