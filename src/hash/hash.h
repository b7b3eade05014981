#ifndef STOQ_HASH_HASH_H
#define STOQ_HASH_HASH_H
/*
 * Hashes: BLAKE3 for every id and tree, and the other algorithms of docs/FORMATS.md section 2
 * behind one incremental form.
 */
#include "base/bytes.h"

/* BLAKE3-256. No allocation, cannot fail. Any thread. */
struct stoq_hash stoq_hash_blake3(struct stoq_span s);
/* Of the parts joined. */
struct stoq_hash stoq_hash_blake3_parts(const struct stoq_span *parts, size_t part_count);
static inline struct stoq_hash stoq_hash_blake3_2(struct stoq_span a, struct stoq_span b)
{
    const struct stoq_span parts[] = {a, b};
    return stoq_hash_blake3_parts(parts, 2);
}

/* BLAKE3's derive_key mode: n bytes that belong to this context (a constant of ours) and key material. */
void stoq_hash_derive(const char *context, struct stoq_span key, uint8_t *out, size_t n);

/* XXH3-64, seed 0: finds torn writes and rotten bits in local records. Anybody can forge it. */
uint64_t stoq_hash_xxh3_64(struct stoq_span s);
/* Of the parts joined (a record's header, key and payload). */
uint64_t stoq_hash_xxh3_64_parts(const struct stoq_span *parts, size_t part_count);

/* Codes of docs/FORMATS.md section 2. */
enum stoq_hash_alg {
    STOQ_HASH_NONE = 0, /* no such digest */
    STOQ_HASH_BLAKE3 = 1,
    STOQ_HASH_SHA3_256 = 2,
    STOQ_HASH_SHA256 = 3,
    STOQ_HASH_XXH3_128 = 4, /* big-endian canonical form, as xxhsum prints it */
    STOQ_HASH_SHA512 = 5,
};
#define STOQ_DIGEST_MAX 64

/* A digest and what made it. alg STOQ_HASH_NONE: absent. Bytes past the algorithm's size are zero.
 * */
struct stoq_digest {
    enum stoq_hash_alg alg;
    uint8_t b[STOQ_DIGEST_MAX];
};

/* "blake3", "sha3-256", "sha256", "xxh3-128", "sha512"; NULL for any other value. */
const char *stoq_hash_alg_name(enum stoq_hash_alg alg);
/* The algorithm of such a name; STOQ_HASH_NONE for any other text. */
enum stoq_hash_alg stoq_hash_alg_named(const char *name);
/* The algorithm of a code read from outside; STOQ_HASH_NONE for codes we do not know. */
enum stoq_hash_alg stoq_hash_alg_code(uint64_t code);
/* Digest bytes; 0 for STOQ_HASH_NONE. */
size_t stoq_hash_alg_size(enum stoq_hash_alg alg);
/* May content be addressed by it: BLAKE3 and SHA3-256. */
bool stoq_hash_alg_is_address(enum stoq_hash_alg alg);

struct stoq_span stoq_digest_span(const struct stoq_digest *d); /* borrowed from d */
bool stoq_digest_eq(const struct stoq_digest *a, const struct stoq_digest *b);

/* An incremental hash. init, then update any number of times, then final once; release always. */
struct stoq_hasher {
    enum stoq_hash_alg alg;
    enum stoq_status status; /* the first failure; final reports it */
    void *state;
};

/* STOQ_OK; STOQ_RANGE: no such algorithm; STOQ_NOMEM (OpenSSL's failures count as that). On failure
 * the hasher is empty and release is harmless. */
STOQ_WARN_UNUSED enum stoq_status stoq_hasher_init(struct stoq_hasher *h, enum stoq_hash_alg alg);
void stoq_hasher_update(struct stoq_hasher *h, struct stoq_span s);
/* STOQ_OK or STOQ_NOMEM. Only release may follow. */
STOQ_WARN_UNUSED enum stoq_status stoq_hasher_final(struct stoq_hasher *h, struct stoq_digest *out);
void stoq_hasher_release(struct stoq_hasher *h);

/* init, update, final and release in one. */
STOQ_WARN_UNUSED enum stoq_status stoq_digest_of(struct stoq_digest *out, enum stoq_hash_alg alg,
                                                 struct stoq_span s);

#endif
