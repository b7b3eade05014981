#include "base/map.h"

#include <stdlib.h>

#define CAPACITY_FIRST 16

void stoq_map_init(struct stoq_map *m, uint64_t seed)
{
    *m = (struct stoq_map){.seed = seed};
}

void stoq_map_release(struct stoq_map *m)
{
    free(m->slots);
    *m = (struct stoq_map){.seed = m->seed};
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

static size_t home(const struct stoq_map *m, struct stoq_map_key key)
{
    return (size_t)mix(mix(key.a ^ m->seed) + key.b) & (m->capacity - 1);
}

static struct stoq_map_slot *find(const struct stoq_map *m, struct stoq_map_key key)
{
    size_t i = home(m, key);
    while (m->slots[i].value != NULL &&
           (m->slots[i].key.a != key.a || m->slots[i].key.b != key.b)) {
        i = (i + 1) & (m->capacity - 1);
    }
    return &m->slots[i];
}

void *stoq_map_get(const struct stoq_map *m, struct stoq_map_key key)
{
    return m->capacity == 0 ? NULL : find(m, key)->value;
}

static enum stoq_status grow(struct stoq_map *m)
{
    struct stoq_map bigger = *m;
    bigger.capacity = m->capacity == 0 ? CAPACITY_FIRST : m->capacity * 2;
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].value != NULL) {
            *find(&bigger, m->slots[i].key) = m->slots[i];
        }
    }
    free(m->slots);
    *m = bigger;
    return STOQ_OK;
}

enum stoq_status stoq_map_put(struct stoq_map *m, struct stoq_map_key key, void *value)
{
    STOQ_ASSERT(value != NULL);
    struct stoq_map_slot *slot = m->capacity == 0 ? NULL : find(m, key);
    if (slot == NULL || (slot->value == NULL && m->count >= m->capacity / 2)) {
        enum stoq_status st = grow(m);
        if (st != STOQ_OK) {
            return st;
        }
        slot = find(m, key);
    }
    m->count += slot->value == NULL;
    *slot = (struct stoq_map_slot){key, value};
    return STOQ_OK;
}

void *stoq_map_remove(struct stoq_map *m, struct stoq_map_key key)
{
    if (m->capacity == 0) {
        return NULL;
    }
    struct stoq_map_slot *slot = find(m, key);
    void *value = slot->value;
    if (value == NULL) {
        return NULL;
    }
    /* Shift back what follows in the same run and may stand earlier. */
    size_t mask = m->capacity - 1;
    size_t hole = (size_t)(slot - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t want = home(m, m->slots[i].key);
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole].value = NULL;
    m->count--;
    return value;
}

void *stoq_map_next(const struct stoq_map *m, size_t *at)
{
    while (*at < m->capacity) {
        void *value = m->slots[(*at)++].value;
        if (value != NULL) {
            return value;
        }
    }
    return NULL;
}
