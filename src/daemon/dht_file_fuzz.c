/* What decodes encodes to the same bytes. */
#include "daemon/dht_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_dht_file file;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_DHT_FILE_BYTES_MAX + 128);
    if (stoq_dht_file_decode(&file, stoq_span(data, size)) == STOQ_OK) {
        STOQ_ASSERT(stoq_dht_file_encode(&file, &out) == STOQ_OK);
        STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&out), stoq_span(data, size)));
    }
    stoq_buf_release(&out);
    return 0;
}
