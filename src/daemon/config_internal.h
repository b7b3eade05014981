#ifndef STOQ_DAEMON_CONFIG_INTERNAL_H
#define STOQ_DAEMON_CONFIG_INTERNAL_H
/* Between the reader of the file (config.c) and the table of its keys (config_keys.c). */
#include "daemon/config.h"

enum { CONFIG_WHY_BYTES = 300 };

enum {
    CONFIG_REPEATS = 1,
    CONFIG_AT_ONCE =
        2, /* a daemon that reads its file again takes it; others count from its next start */
};

struct config_setting {
    const char *key;
    unsigned flags;
    /* Take a value that is not empty; false: why says what is wrong with it. */
    bool (*set)(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES]);
};

/* The i-th key, NULL past the last; fewer than STOQ_CONFIG_KEYS_MAX. */
const struct config_setting *config_setting_at(size_t i);

#endif
