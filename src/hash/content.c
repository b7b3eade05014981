#include "hash/content.h"

#include <string.h>

enum stoq_status stoq_content_hasher_init(struct stoq_content_hasher *h,
                                          enum stoq_hash_alg algorithm,
                                          enum stoq_hash_alg secondary)
{
    *h = (struct stoq_content_hasher){.first = {.alg = STOQ_HASH_NONE}};
    bool known = secondary == STOQ_HASH_NONE || stoq_hash_alg_size(secondary) > 0;
    if (!stoq_hash_alg_is_address(algorithm) || secondary == algorithm || !known) {
        return STOQ_RANGE;
    }
    enum stoq_status st = stoq_hasher_init(&h->first, algorithm);
    if (st == STOQ_OK && secondary != STOQ_HASH_NONE) {
        st = stoq_hasher_init(&h->second, secondary);
    }
    if (st != STOQ_OK) {
        stoq_content_hasher_release(h);
    }
    return st;
}

void stoq_content_hasher_update(struct stoq_content_hasher *h, struct stoq_span s)
{
    stoq_hasher_update(&h->first, s);
    if (h->second.alg != STOQ_HASH_NONE) {
        stoq_hasher_update(&h->second, s);
    }
}

enum stoq_status stoq_content_hasher_final(struct stoq_content_hasher *h,
                                           struct stoq_content_hash *out)
{
    struct stoq_digest first;
    struct stoq_digest second = {.alg = STOQ_HASH_NONE};
    enum stoq_status st = stoq_hasher_final(&h->first, &first);
    if (st == STOQ_OK && h->second.alg != STOQ_HASH_NONE) {
        st = stoq_hasher_final(&h->second, &second);
    }
    if (st == STOQ_OK) {
        *out = (struct stoq_content_hash){.algorithm = first.alg, .secondary = second};
        memcpy(out->digest.b, first.b, sizeof out->digest.b);
    }
    return st;
}

void stoq_content_hasher_release(struct stoq_content_hasher *h)
{
    stoq_hasher_release(&h->first);
    stoq_hasher_release(&h->second);
}

enum stoq_status stoq_content_hash(struct stoq_content_hash *out, struct stoq_span s,
                                   enum stoq_hash_alg algorithm, enum stoq_hash_alg secondary)
{
    struct stoq_content_hasher h;
    enum stoq_status st = stoq_content_hasher_init(&h, algorithm, secondary);
    if (st == STOQ_OK) {
        stoq_content_hasher_update(&h, s);
        st = stoq_content_hasher_final(&h, out);
        stoq_content_hasher_release(&h);
    }
    return st;
}

enum stoq_status stoq_content_check(const struct stoq_content_hash *want, struct stoq_span s)
{
    struct stoq_content_hash got;
    enum stoq_status st = stoq_content_hash(&got, s, want->algorithm, want->secondary.alg);
    return st == STOQ_OK ? stoq_content_hash_match(want, &got) : st;
}

enum stoq_status stoq_content_hash_match(const struct stoq_content_hash *want,
                                         const struct stoq_content_hash *got)
{
    if (want->algorithm != got->algorithm || !stoq_hash_eq(&want->digest, &got->digest)) {
        return STOQ_PROOF;
    }
    bool is_wanted = want->secondary.alg != STOQ_HASH_NONE;
    if (is_wanted && !stoq_digest_eq(&want->secondary, &got->secondary)) {
        return STOQ_PROOF;
    }
    return STOQ_OK;
}
