/* Key files: what is read is what would be written. */
#include "package/private.h"

#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_private_key key;
    char text[STOQ_PRIVATE_TEXT_CAP];
    if (stoq_private_get(&key, stoq_span(data, size)) != STOQ_OK) {
        return 0;
    }
    stoq_private_put(text, &key);
    /* Digits may be of either case. */
    STOQ_ASSERT(size == strlen(text) && strncasecmp(text, (const char *)data, size) == 0);
    return 0;
}
