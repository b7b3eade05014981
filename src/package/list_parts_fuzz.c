/*
 * Any payload of a list told by parts, over bases of known entries: a list that is made has whole entries and
 * never more than a shard can have.
 */
#include "package/list_parts.h"

#include "merkle/merkle.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRY STOQ_MERKLE_CHUNK_ENTRY_BYTES
#define LIST_ENTRIES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t lists[STOQ_LIST_PARTS_BASES_MAX][LIST_ENTRIES * ENTRY];
    struct stoq_span bases[STOQ_LIST_PARTS_BASES_MAX];
    struct stoq_span payload = stoq_span(data, size);
    size_t count = stoq_list_parts_base_count(payload);
    struct stoq_buf out;
    for (size_t i = 0; i < STOQ_LIST_PARTS_BASES_MAX; i++) {
        memset(lists[i], (int)i + 1, sizeof lists[i]);
        size_t n = i % (LIST_ENTRIES + 1) * ENTRY;
        bases[i] = stoq_span(n > 0 ? lists[i] : NULL, n);
    }
    for (size_t i = 0; i < count; i++) {
        struct stoq_hash root = stoq_list_parts_base(payload, i);
        STOQ_ASSERT(memcmp(root.b, data + 1 + i * sizeof root.b, sizeof root.b) == 0);
    }
    stoq_buf_init(&out, (size_t)1 << 20);
    enum stoq_status st = stoq_list_parts_join(payload, bases, &out);
    STOQ_ASSERT(st == STOQ_OK || st == STOQ_MALFORMED);
    STOQ_ASSERT(st != STOQ_OK || count > 0);
    STOQ_ASSERT(out.n % ENTRY == 0 && out.n / ENTRY <= STOQ_MERKLE_SHARD_CHUNKS_MAX);
    stoq_buf_release(&out);
    return 0;
}
