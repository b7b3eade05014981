/*
 * A fetch that nobody here reads would fill all free memory with its bytes, push out what others have
 * there, and pay for every page that has not been used for long: on a virtual machine whose host lends
 * memory page by page a gigabyte written costs 2.4 s of processor time in fresh pages, 0.35 s in pages
 * just let go. So such bytes are let go in the order they came, once a sixteenth of the memory holds
 * them: what is just fetched is what others of a swarm ask for, and what a short package's reader finds.
 *
 * Bytes next to each other are one span until it has a 64th of what is kept, so that the queue is short
 * and the system is told seldom.
 */
#include "store/behind.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_PART 16
#define SPAN_PART 64
#define SPANS_FREE 32 /* more than the blocks of one round */

void stoq_behind_init(struct stoq_behind *b, uint64_t keep_bytes)
{
    memset(b, 0, sizeof *b);
    b->keep_bytes = keep_bytes;
    if (keep_bytes == 0) {
        long pages = sysconf(_SC_PHYS_PAGES);
        long page = sysconf(_SC_PAGESIZE);
        b->keep_bytes =
            pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / MEMORY_PART : 256 * STOQ_MIB;
    }
}

void stoq_behind_add(struct stoq_behind *b, uint32_t segment, uint64_t offset, uint64_t bytes)
{
    size_t last = (b->first + b->count + STOQ_BEHIND_SPANS - 1) % STOQ_BEHIND_SPANS;
    if (b->count > 0 && b->span[last].segment == segment &&
        b->span[last].offset + b->span[last].bytes == offset &&
        b->span[last].bytes < b->keep_bytes / SPAN_PART) {
        b->span[last].bytes += bytes;
        b->bytes += bytes;
        return;
    }
    if (b->count == STOQ_BEHIND_SPANS) {
        return; /* the system forgets it by its own rules */
    }
    size_t at = (b->first + b->count) % STOQ_BEHIND_SPANS;
    b->span[at].segment = segment;
    b->span[at].offset = offset;
    b->span[at].bytes = bytes;
    b->bytes += bytes;
    b->count++;
}

uint64_t stoq_behind_forget(struct stoq_behind *b, struct stoq_segment_cache *cache)
{
    uint64_t told = 0;
    while (b->count > 0 &&
           (b->bytes > b->keep_bytes || b->count > STOQ_BEHIND_SPANS - SPANS_FREE)) {
        size_t at = b->first;
        struct stoq_segment_ref ref;
        if (stoq_segment_cache_get(cache, b->span[at].segment, &ref) == STOQ_OK) {
            (void)posix_fadvise(ref.fd, (off_t)b->span[at].offset, (off_t)b->span[at].bytes,
                                POSIX_FADV_DONTNEED);
            stoq_segment_cache_put(cache, ref);
            told += b->span[at].bytes;
        } /* else it was collected */
        b->bytes -= b->span[at].bytes;
        b->first = (at + 1) % STOQ_BEHIND_SPANS;
        b->count--;
    }
    return told;
}
