/* Release pointers: what decodes is one array of a known form; what was sealed opens to the same bytes, and
 * nothing else opens. */
#include "package/pointer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    struct stoq_pointer_name name = {.name = stoq_span_str("zlib")};
    struct stoq_pointer p;
    struct stoq_buf sealed;
    struct stoq_buf out;
    stoq_buf_init(&sealed, STOQ_POINTER_SEALED_MAX);
    stoq_buf_init(&out, STOQ_POINTER_BYTES_MAX);
    if (stoq_pointer_decode(in, &p) == STOQ_OK) {
        struct stoq_pointer again;
        struct stoq_pointer_name its = {
            .publisher = stoq_spki_key_id(p.spki), .name = p.name, .version = p.version};
        enum stoq_status st = stoq_pointer_check(in, &its, p.issued_at_s, &again);
        STOQ_ASSERT(st == STOQ_OK || st == STOQ_PROOF || st == STOQ_VERSION || st == STOQ_RANGE);
        STOQ_ASSERT(again.sequence == p.sequence && stoq_span_eq(again.name, p.name));
    }
    if (size > 0 && size <= STOQ_POINTER_BYTES_MAX) {
        STOQ_ASSERT(stoq_pointer_seal(&name, in, &sealed) == STOQ_OK);
        STOQ_ASSERT(stoq_pointer_open(&name, stoq_buf_span(&sealed), &out) == STOQ_OK);
        STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&out), in));
        sealed.p[size % sealed.n] ^= 1;
        STOQ_ASSERT(stoq_pointer_open(&name, stoq_buf_span(&sealed), &out) == STOQ_MALFORMED);
    }
    stoq_buf_clear(&out);
    enum stoq_status st = stoq_pointer_open(&name, in, &out);
    STOQ_ASSERT(st == STOQ_OK || st == STOQ_MALFORMED);
    stoq_buf_release(&sealed);
    stoq_buf_release(&out);
    return 0;
}
