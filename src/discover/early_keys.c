/* Keys that wait to be announced. */
#include "discover/early_keys.h"

#include <string.h>

#define KEY_BYTES sizeof(struct stoq_hash)

void stoq_early_init(struct stoq_early *early, size_t max)
{
    stoq_buf_init(&early->keys, max * KEY_BYTES);
}

void stoq_early_release(struct stoq_early *early)
{
    stoq_buf_release(&early->keys);
}

enum stoq_status stoq_early_add(struct stoq_early *early, const struct stoq_hash *key)
{
    return stoq_buf_add(&early->keys, stoq_span(key->b, KEY_BYTES));
}

bool stoq_early_take(struct stoq_early *early, struct stoq_hash *out)
{
    if (early->keys.n == 0) {
        return false;
    }
    early->keys.n -= KEY_BYTES;
    memcpy(out->b, early->keys.p + early->keys.n, KEY_BYTES);
    return true;
}

void stoq_early_remove(struct stoq_early *early, const struct stoq_hash *key)
{
    size_t kept = 0;
    for (size_t at = 0; at < early->keys.n; at += KEY_BYTES) {
        if (memcmp(early->keys.p + at, key->b, KEY_BYTES) != 0) {
            memmove(early->keys.p + kept, early->keys.p + at, KEY_BYTES);
            kept += KEY_BYTES;
        }
    }
    early->keys.n = kept;
}
