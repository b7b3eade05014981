/*
 * Our keys, in order; those that came last wait behind the others until there are enough to be put in order,
 * or somebody needs the order (provide.c, the sweep).
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

/* The first of those in order whose key is not less than this, or is more: up is 0 or 1. */
uint32_t own_first_from(const struct provide *pr, const struct stoq_hash *key, int up)
{
    uint32_t lo = 0;
    uint32_t hi = pr->sorted;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (memcmp(pr->v[mid]->key.b, key->b, sizeof key->b) < up) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct own *provide_own(const struct stoq_dht *d, const struct stoq_hash *key)
{
    const struct provide *pr = &d->provide;
    uint32_t i = own_first_from(pr, key, 0);
    if (i < pr->sorted && !stoq_hash_eq(&pr->v[i]->key, key)) {
        i = pr->sorted;
    }
    while (i < pr->count && !stoq_hash_eq(&pr->v[i]->key, key)) {
        i++;
    }
    return i < pr->count ? pr->v[i] : NULL;
}

/* qsort's: by key. */
static int by_key(const void *a, const void *b)
{
    const struct own *x = *(struct own *const *)a;
    const struct own *y = *(struct own *const *)b;
    return memcmp(x->key.b, y->key.b, sizeof x->key.b);
}

/* The late ones among the others. */
void own_sort_in(struct provide *pr)
{
    struct own *late[OWN_LATE_MAX];
    uint32_t n = pr->count - pr->sorted;
    uint32_t i = pr->sorted;
    STOQ_ASSERT(n <= OWN_LATE_MAX);
    if (n == 0) {
        return;
    }
    memcpy(late, &pr->v[i], n * sizeof late[0]);
    qsort(late, n, sizeof late[0], by_key);
    while (n > 0) {
        bool is_last = i == 0 || by_key(&pr->v[i - 1], &late[n - 1]) < 0;
        struct own *last = is_last ? late[n - 1] : pr->v[i - 1];
        pr->v[i + n - 1] = last;
        n -= is_last;
        i -= !is_last;
    }
    pr->sorted = pr->count;
}

enum stoq_status own_make_room(struct provide *pr)
{
    if (pr->count < pr->capacity) {
        return STOQ_OK;
    }
    uint32_t capacity = pr->capacity == 0 ? 16 : pr->capacity * 2;
    struct own **v = realloc(pr->v, capacity * sizeof(struct own *));
    if (v == NULL) {
        return STOQ_NOMEM;
    }
    pr->v = v;
    pr->capacity = capacity;
    return STOQ_OK;
}
