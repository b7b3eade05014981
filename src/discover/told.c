/* A list, the latest last, looked through from end to end: who tells is slowed down, a fetch asks once. */
#include "discover/told.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16u

struct stoq_told {
    struct stoq_told_caps caps;
    struct stoq_told_item *items;
    size_t count;
    size_t room;
};

struct stoq_told *stoq_told_new(struct stoq_told_caps caps)
{
    struct stoq_told *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->caps = caps;
    }
    return t;
}

void stoq_told_free(struct stoq_told *t)
{
    if (t != NULL) {
        free(t->items);
        free(t);
    }
}

/* What is kept of its peer and package, and a place that is over. */
static enum stoq_told_verdict look(const struct stoq_told *t, const struct stoq_told_item *item,
                                   stoq_ns now, size_t *own, size_t *over)
{
    size_t all = 0;
    size_t of_peer = 0;
    *own = t->count;
    *over = t->count;
    for (size_t i = 0; i < t->count; i++) {
        const struct stoq_told_item *k = &t->items[i];
        bool is_peer = stoq_hash_eq(&k->peer.h, &item->peer.h);
        if (k->until <= now) {
            *over = i;
            continue;
        }
        all++;
        of_peer += is_peer;
        *own = is_peer && stoq_hash_eq(&k->id.h, &item->id.h) ? i : *own;
    }
    if (*own < t->count) {
        const struct stoq_told_item *had = &t->items[*own];
        if (item->sequence == had->sequence && item->digest == had->digest) {
            return STOQ_TOLD_SAME;
        }
        return item->sequence > had->sequence ? STOQ_TOLD_WANTED : STOQ_TOLD_STALE;
    }
    bool full = all >= t->caps.all || of_peer >= t->caps.of_peer;
    return full ? STOQ_TOLD_FULL : STOQ_TOLD_WANTED;
}

enum stoq_told_verdict stoq_told_judge(const struct stoq_told *t, const struct stoq_told_item *item,
                                       stoq_ns now)
{
    size_t own;
    size_t over;
    return look(t, item, now, &own, &over);
}

static bool grow(struct stoq_told *t)
{
    size_t room = t->room == 0 ? ROOM_FIRST : 2 * t->room;
    struct stoq_told_item *items = realloc(t->items, room * sizeof *items);
    if (items != NULL) {
        t->items = items;
        t->room = room;
    }
    return items != NULL;
}

enum stoq_told_verdict stoq_told_take(struct stoq_told *t, const struct stoq_told_item *item,
                                      stoq_ns now)
{
    size_t own;
    size_t over;
    enum stoq_told_verdict v = look(t, item, now, &own, &over);
    size_t at = own < t->count ? own : over;
    if (v != STOQ_TOLD_WANTED) {
        return v;
    }
    if (at == t->count && t->count == t->room && !grow(t)) {
        return STOQ_TOLD_FULL;
    }
    if (at < t->count) { /* its place goes, so that the latest is last */
        t->count--;
        memmove(&t->items[at], &t->items[at + 1], (t->count - at) * sizeof *t->items);
    }
    t->items[t->count++] = *item;
    return v;
}

static bool holds(const struct stoq_told_item *item, stoq_ns now)
{
    return !item->gone && item->until > now;
}

size_t stoq_told_of(const struct stoq_told *t, const struct stoq_package_id *id, stoq_ns now,
                    struct stoq_told_item *out, size_t out_max)
{
    size_t n = 0;
    for (size_t i = t->count; i-- > 0 && n < out_max;) {
        if (holds(&t->items[i], now) && stoq_hash_eq(&t->items[i].id.h, &id->h)) {
            out[n++] = t->items[i];
        }
    }
    return n;
}

size_t stoq_told_count(const struct stoq_told *t, stoq_ns now)
{
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++) {
        n += holds(&t->items[i], now);
    }
    return n;
}
