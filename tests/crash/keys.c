#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include <blake3.h>

#include "base/prng.h"

struct crash_keys *crash_keys_new(void)
{
    struct crash_keys *keys = calloc(1, sizeof *keys);
    for (size_t i = 0; keys != NULL && i < CRASH_KEYS; i++) {
        size_t n = 100 + i * 977 % 6000;
        uint8_t *p = malloc(n);
        if (p == NULL) {
            crash_keys_free(keys);
            return NULL;
        }
        struct stoq_prng r = stoq_prng(i);
        for (size_t k = 0; k < n; k++) {
            p[k] = (uint8_t)(i % 4 == 3 ? 'a' + stoq_prng_below(&r, 3) : stoq_prng_next(&r) >> 9);
        }
        blake3_hasher h;
        blake3_hasher_init(&h);
        blake3_hasher_update(&h, p, n);
        blake3_hasher_finalize(&h, keys->key[i].id, sizeof keys->key[i].id);
        keys->key[i].bytes = stoq_span(p, n);
    }
    return keys;
}

void crash_keys_free(struct crash_keys *keys)
{
    for (size_t i = 0; keys != NULL && i < CRASH_KEYS; i++) {
        free((void *)(uintptr_t)keys->key[i].bytes.p);
    }
    free(keys);
}
