#include "hash/hash.h"
#include "hash/xxh.h"

#include <blake3.h>
#include <string.h>

#ifdef STOQ_XXH_DISPATCH
/* The first call chooses, for all of them, and writes that down without a lock: before there are threads. */
__attribute__((constructor)) static void choose(void)
{
    (void)XXH3_64bits("", 0);
}
#endif

struct stoq_hash stoq_hash_blake3(struct stoq_span s)
{
    return stoq_hash_blake3_parts(&s, 1);
}

struct stoq_hash stoq_hash_blake3_parts(const struct stoq_span *parts, size_t part_count)
{
    struct stoq_hash out;
    blake3_hasher h;
    blake3_hasher_init(&h);
    for (size_t i = 0; i < part_count; i++) {
        blake3_hasher_update(&h, parts[i].p, parts[i].n);
    }
    blake3_hasher_finalize(&h, out.b, sizeof out.b);
    return out;
}

void stoq_hash_derive(const char *context, struct stoq_span key, uint8_t *out, size_t n)
{
    blake3_hasher h;
    blake3_hasher_init_derive_key(&h, context);
    blake3_hasher_update(&h, key.p, key.n);
    blake3_hasher_finalize(&h, out, n);
}

uint64_t stoq_hash_xxh3_64(struct stoq_span s)
{
    /* The library forbids NULL, even for no bytes. */
    return XXH3_64bits(s.p != NULL ? s.p : (const uint8_t *)"", s.n);
}

uint64_t stoq_hash_xxh3_64_parts(const struct stoq_span *parts, size_t part_count)
{
    XXH3_state_t h;
    /* reset reads the seed field of a state that lives on the stack (xxhash.h says so). */
    XXH3_INITSTATE(&h);
    XXH3_64bits_reset(&h);
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].n > 0) {
            XXH3_64bits_update(&h, parts[i].p, parts[i].n);
        }
    }
    return XXH3_64bits_digest(&h);
}

static const struct {
    const char *name;
    size_t size;
    bool is_address;
} algs[] = {
    [STOQ_HASH_NONE] = {NULL, 0, false},
    [STOQ_HASH_BLAKE3] = {"blake3", 32, true},
    [STOQ_HASH_SHA3_256] = {"sha3-256", 32, true},
    [STOQ_HASH_SHA256] = {"sha256", 32, false},
    [STOQ_HASH_XXH3_128] = {"xxh3-128", 16, false},
    [STOQ_HASH_SHA512] = {"sha512", 64, false},
};

const char *stoq_hash_alg_name(enum stoq_hash_alg alg)
{
    return algs[stoq_hash_alg_code(alg)].name;
}

enum stoq_hash_alg stoq_hash_alg_named(const char *name)
{
    for (size_t i = 1; i < STOQ_COUNT(algs); i++) {
        if (strcmp(name, algs[i].name) == 0) {
            return (enum stoq_hash_alg)i;
        }
    }
    return STOQ_HASH_NONE;
}

enum stoq_hash_alg stoq_hash_alg_code(uint64_t code)
{
    return code < STOQ_COUNT(algs) ? (enum stoq_hash_alg)code : STOQ_HASH_NONE;
}

size_t stoq_hash_alg_size(enum stoq_hash_alg alg)
{
    return algs[stoq_hash_alg_code(alg)].size;
}

bool stoq_hash_alg_is_address(enum stoq_hash_alg alg)
{
    return algs[stoq_hash_alg_code(alg)].is_address;
}

struct stoq_span stoq_digest_span(const struct stoq_digest *d)
{
    return stoq_span(d->b, stoq_hash_alg_size(d->alg));
}

bool stoq_digest_eq(const struct stoq_digest *a, const struct stoq_digest *b)
{
    return a->alg == b->alg && stoq_span_eq(stoq_digest_span(a), stoq_digest_span(b));
}
