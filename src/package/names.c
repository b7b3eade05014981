/*
 * One pass with a table of open addressing over (directory, folded name): linear probing, at most half
 * full, 8 bytes a slot: the upper half of the hash and the entry's index plus one. Paths are compared
 * only where those halves agree. The directory's bytes are not folded: where two directories collide,
 * they are named, and not everything below them again.
 */
#include "package/names.h"

#include <stdlib.h>
#include <string.h>

#include "hash/hash.h"
#include "package/table.h"

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Bytes of the path up to and with its last slash. */
static size_t directory_bytes(struct stoq_span path)
{
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/') {
        n--;
    }
    return n;
}

static bool is_same(struct stoq_span a, struct stoq_span b)
{
    size_t dir = directory_bytes(a);
    if (a.n != b.n || memcmp(a.p, b.p, dir) != 0) {
        return false;
    }
    for (size_t i = dir; i < a.n; i++) {
        if (fold(a.p[i]) != fold(b.p[i])) {
            return false;
        }
    }
    return true;
}

static uint64_t hash_of(struct stoq_span path)
{
    uint8_t name[STOQ_TABLE_PATH_MAX];
    size_t dir = directory_bytes(path);
    size_t n = path.n - dir < sizeof name ? path.n - dir : sizeof name;
    for (size_t i = 0; i < n; i++) {
        name[i] = fold(path.p[dir + i]);
    }
    const struct stoq_span parts[] = {stoq_span(path.p, dir), stoq_span(name, n)};
    return stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts));
}

enum stoq_status stoq_names_collide(size_t count, struct stoq_span (*path_at)(void *user, size_t i),
                                    void (*each)(void *user, size_t first, size_t other),
                                    void *user)
{
    STOQ_ASSERT(count < UINT32_MAX);
    size_t slots = 16;
    while (slots < 2 * count) {
        slots *= 2;
    }
    uint64_t *table = calloc(slots, sizeof *table);
    if (table == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        struct stoq_span path = path_at(user, i);
        uint64_t h = hash_of(path);
        size_t at = (size_t)h & (slots - 1);
        while (table[at] != 0) {
            size_t first = (uint32_t)table[at] - (size_t)1;
            if (table[at] >> 32 == h >> 32 && is_same(path_at(user, first), path)) {
                each(user, first, i);
                break;
            }
            at = (at + 1) & (slots - 1);
        }
        if (table[at] == 0) {
            table[at] = (h >> 32) << 32 | (i + 1);
        }
    }
    free(table);
    return STOQ_OK;
}
