/* Any bytes as a configuration: refused with a line number, or accepted within its limits. */
#include "daemon/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_error err;
    struct stoq_config *c = malloc(sizeof *c);
    if (c == NULL) {
        return 0;
    }
    if (stoq_config_parse(c, "f", stoq_span(data, size), &err) == STOQ_OK) {
        STOQ_ASSERT(c->listen_count <= STOQ_NET_LISTEN_MAX);
        STOQ_ASSERT(c->peer_count <= STOQ_FETCH_SOURCES_MAX);
        STOQ_ASSERT(c->bootstrap_count <= STOQ_CONFIG_BOOTSTRAP_MAX);
        STOQ_ASSERT(c->limits.streams <= 4096 && c->workers <= 64);
        STOQ_ASSERT(c->store_dir[0] == '\0' || c->store_dir[0] == '/');
    } else {
        STOQ_ASSERT(strncmp(err.text, "f:", 2) == 0);
        STOQ_ASSERT(err.text[2] >= '1' && err.text[2] <= '9');
    }
    free(c);
    return 0;
}
