#include "store/place.h"

#include <string.h>

/* Any bytes as an in-place record: refused, or exactly what the writer makes of the places read. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLACES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_place place[PLACES_MAX];
    struct stoq_places p;
    size_t count = 0;
    uint64_t bytes = 0;
    enum stoq_status st = stoq_places_begin(&p, stoq_span(data, size));
    while (st == STOQ_OK && count < PLACES_MAX) {
        st = stoq_places_next(&p, &place[count]);
        if (st == STOQ_OK) {
            STOQ_ASSERT(place[count].path.n <= STOQ_PLACE_PATH_MAX);
            STOQ_ASSERT(place[count].path.p[0] == '/');
            STOQ_ASSERT(memchr(place[count].path.p, 0, place[count].path.n) == NULL);
            bytes += place[count++].bytes;
            STOQ_ASSERT(bytes <= p.raw_len && p.raw_len <= STOQ_CHUNK_BYTES_MAX);
        }
    }
    if (st != STOQ_NOTFOUND) {
        return 0;
    }
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_PLACES_BYTES_MAX);
    STOQ_ASSERT(bytes == p.raw_len);
    STOQ_ASSERT(stoq_places_encode(place, count, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), stoq_span(data, size)));
    stoq_buf_release(&again);
    return 0;
}
