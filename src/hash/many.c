#include "hash/many.h"

/* Is algs[i] among those before it? */
static bool is_twice(const enum stoq_hash_alg *algs, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (algs[k] == algs[i]) {
            return true;
        }
    }
    return false;
}

enum stoq_status stoq_hash_many_init(struct stoq_hash_many *m, const enum stoq_hash_alg *algs,
                                     size_t count)
{
    *m = (struct stoq_hash_many){.count = 0};
    if (count > STOQ_HASH_MANY_MAX) {
        return STOQ_RANGE;
    }
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        st = is_twice(algs, i) ? STOQ_RANGE : stoq_hasher_init(&m->hasher[i], algs[i]);
        m->count += st == STOQ_OK;
    }
    if (st != STOQ_OK) {
        stoq_hash_many_release(m);
    }
    return st;
}

void stoq_hash_many_update(struct stoq_hash_many *m, struct stoq_span s)
{
    for (size_t i = 0; i < m->count; i++) {
        stoq_hasher_update(&m->hasher[i], s);
    }
}

enum stoq_status stoq_hash_many_final(struct stoq_hash_many *m, struct stoq_digest *out)
{
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < m->count; i++) {
        st = stoq_hasher_final(&m->hasher[i], &out[i]);
    }
    return st;
}

void stoq_hash_many_release(struct stoq_hash_many *m)
{
    for (size_t i = 0; i < m->count; i++) {
        stoq_hasher_release(&m->hasher[i]);
    }
    m->count = 0;
}
