#include "package/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "hash/hash.h"

/*
 * Any bytes as a bundle, once as they are and once with header and checksums made right, so that what
 * lies behind them is reached. What is accepted to its end has the hash of the whole right, and its
 * pieces are never longer than what was declared before them allows.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct stoq_span in)
{
    struct stoq_bundle_reader *r;
    if (stoq_bundle_reader_new(&r) != STOQ_OK) {
        return;
    }
    enum stoq_status st = STOQ_OK;
    size_t at = 0;
    size_t want;
    while (st == STOQ_OK && (want = stoq_bundle_reader_want(r)) > 0 && want <= in.n - at) {
        struct stoq_bundle_event event;
        st = stoq_bundle_reader_feed(r, stoq_span(in.p + at, want), &event);
        at += want;
        while (st == STOQ_OK && event.kind == STOQ_BUNDLE_WANTS_CHUNK_LIST) {
            /* Entries from somewhere in the input, as many as one of its bytes says. */
            size_t n = (size_t)(event.key.p[0] % 64) * 36;
            st = stoq_bundle_reader_give(r, stoq_span(in.p, n < in.n ? n : 0), &event);
        }
        if (event.kind == STOQ_BUNDLE_SAW_CHUNK) {
            STOQ_ASSERT(event.raw_len <= STOQ_MANIFEST_CHUNK_BYTES_MAX);
            STOQ_ASSERT(event.stored.n <= event.raw_len);
        }
        if (st == STOQ_OK && event.kind == STOQ_BUNDLE_SAW_END) {
            struct stoq_hash h = stoq_hash_blake3(stoq_span(in.p, at - 56));
            STOQ_ASSERT(memcmp(h.b, in.p + at - 32, sizeof h.b) == 0);
        }
    }
    STOQ_ASSERT(st == STOQ_OK || stoq_bundle_reader_fault(r)[0] != 0);
    STOQ_ASSERT(stoq_bundle_reader_offset(r) <= in.n);
    stoq_bundle_reader_free(r);
}

/* Make sums and the length in the header right, wherever records can be made out. */
static void mend(uint8_t *p, size_t n)
{
    if (n < STOQ_BUNDLE_HEADER_BYTES) {
        return;
    }
    memcpy(p, "stoqbun1", 8);
    stoq_le64_put(p + 16, n);
    stoq_le64_put(p + 56, stoq_hash_xxh3_64(stoq_span(p, 56)));
    size_t at = STOQ_BUNDLE_HEADER_BYTES;
    while (n - at >= STOQ_BUNDLE_HEAD_BYTES) {
        uint8_t *rec = p + at;
        uint64_t body = (uint64_t)rec[6] + stoq_le32(rec + 12);
        if (body > n - at - STOQ_BUNDLE_HEAD_BYTES) {
            break;
        }
        memcpy(rec, "sqb1", 4);
        if (rec[4] == STOQ_BUNDLE_END && body == 32) {
            struct stoq_hash h = stoq_hash_blake3(stoq_span(p, at));
            memcpy(rec + STOQ_BUNDLE_HEAD_BYTES, h.b, sizeof h.b);
        }
        const struct stoq_span parts[] = {stoq_span(rec, 16),
                                          stoq_span(rec + STOQ_BUNDLE_HEAD_BYTES, (size_t)body)};
        stoq_le64_put(rec + 16, stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts)));
        at += STOQ_BUNDLE_HEAD_BYTES + (size_t)body;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_all(stoq_span(data, size));
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    mend(copy, size);
    read_all(stoq_span(copy, size));
    free(copy);
    return 0;
}
