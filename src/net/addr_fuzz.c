/* Any text as an address, with and without a port: what is read is written and read again as the same. */
#include "net/addr.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t defaults[] = {0, 4433};
    for (size_t i = 0; i < STOQ_COUNT(defaults); i++) {
        struct stoq_addr a;
        struct stoq_addr again;
        char text[STOQ_ADDR_TEXT_MAX];
        if (stoq_addr_parse(&a, stoq_span(data, size), defaults[i]) == STOQ_OK) {
            (void)stoq_addr_format(&a, text);
            STOQ_ASSERT(strlen(text) < sizeof text);
            STOQ_ASSERT(stoq_addr_parse(&again, stoq_span_str(text), 0) == STOQ_OK);
            STOQ_ASSERT(stoq_addr_eq(&a, &again) && stoq_addr_cmp(&a, &again) == 0);
        }
    }
    return 0;
}
