#include "wire/bech32m.h"

#include <string.h>

/*
 * Any bytes as an id of each kind. What is accepted must be written back as the same text, in
 * lower case; and the bytes themselves, as a payload, must survive the way there and back.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const char *text, struct stoq_span in)
{
    STOQ_ASSERT(strlen(text) == in.n);
    for (size_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];
        STOQ_ASSERT((uint8_t)text[i] == (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    char text[STOQ_ID_TEXT_CAP + 24];
    struct stoq_package_id package;
    struct stoq_address address;
    if (stoq_package_id_get(&package, in) == STOQ_OK) {
        stoq_package_id_put(text, &package);
        check_same(text, in);
    }
    if (stoq_address_get(&address, in) == STOQ_OK) {
        stoq_address_put(text, &address);
        check_same(text, in);
    }
    if (size <= STOQ_ID_PAYLOAD_MAX) {
        uint8_t back[STOQ_ID_PAYLOAD_MAX];
        STOQ_ASSERT(stoq_id_put(text, sizeof text, "key", in) == STOQ_OK);
        STOQ_ASSERT(stoq_id_get(back, size, "key", stoq_span_str(text)) == STOQ_OK);
        STOQ_ASSERT(size == 0 || memcmp(back, data, size) == 0);
    }
    return 0;
}
