#include "daemon/have.h"

#include <stdlib.h>
#include <string.h>

#include "hash/hash.h"

/*
 * Any bytes as a have-list, as they are and with their hash made right. What is accepted is written
 * again as it was, and finds what it names.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct comparison {
    struct stoq_span left;
};

static enum stoq_status compare(void *user, struct stoq_span bytes, struct stoq_error *err)
{
    struct comparison *c = user;
    (void)err;
    STOQ_ASSERT(bytes.n <= c->left.n && memcmp(bytes.p, c->left.p, bytes.n) == 0);
    c->left = stoq_span(c->left.p + bytes.n, c->left.n - bytes.n);
    return STOQ_OK;
}

static void read_all(struct stoq_span in)
{
    struct stoq_have *have;
    struct stoq_error err = {0};
    if (stoq_have_new(&have, NULL) != STOQ_OK) {
        return;
    }
    if (stoq_have_parse(have, in, &err) == STOQ_OK) {
        struct comparison c = {in};
        stoq_have_seal(have);
        STOQ_ASSERT(stoq_have_write(have, compare, &c, NULL) == STOQ_OK && c.left.n == 0);
        struct stoq_hash first;
        memcpy(first.b, in.p + 32, sizeof first.b); /* there are 32 bytes: at least the hash */
        STOQ_ASSERT(stoq_have_shard_count(have) == 0 || stoq_have_shard(have, &first));
    } else {
        STOQ_ASSERT(err.text[0] != 0);
    }
    stoq_have_free(have);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_all(stoq_span(data, size));
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) {
        return 0;
    }
    if (size >= 64) {
        memcpy(copy, data, size);
        memcpy(copy, "stoqhav1\x01\0\0\0\0\0\0", 16);
        struct stoq_hash h = stoq_hash_blake3(stoq_span(copy, size - 32));
        memcpy(copy + size - 32, h.b, sizeof h.b);
        read_all(stoq_span(copy, size));
    }
    free(copy);
    return 0;
}
