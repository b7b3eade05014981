#ifndef STOQ_BASE_MAP_H
#define STOQ_BASE_MAP_H
/*
 * A hash map from a pair of numbers to a pointer: open addressing with linear probing, a power of two
 * of slots, deletion by shifting back, so that long lives leave no tombstones. The owner's cap keeps
 * it bounded.
 */
#include "base/bytes.h"

struct stoq_map_key {
    uint64_t a;
    uint64_t b;
};

struct stoq_map_slot {
    struct stoq_map_key key;
    void *value; /* NULL: empty */
};

struct stoq_map {
    struct stoq_map_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
    uint64_t seed; /* against chosen keys */
};

void stoq_map_init(struct stoq_map *m, uint64_t seed);
void stoq_map_release(struct stoq_map *m); /* the values are the owner's */
/* NULL: not there. */
void *stoq_map_get(const struct stoq_map *m, struct stoq_map_key key);
/* Set or replace; value is not NULL. STOQ_OK, STOQ_NOMEM (unchanged; to replace takes no memory). */
STOQ_WARN_UNUSED enum stoq_status stoq_map_put(struct stoq_map *m, struct stoq_map_key key,
                                               void *value);
/* Returns what was there, or NULL. */
void *stoq_map_remove(struct stoq_map *m, struct stoq_map_key key);
/* The next value at or after *at in slot order, NULL at the end; *at is moved past it. Nothing may
 * be added or removed in between. */
void *stoq_map_next(const struct stoq_map *m, size_t *at);

#endif
