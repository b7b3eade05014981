#ifndef STOQ_DAEMON_CONFIG_INTERNAL_H
#define STOQ_DAEMON_CONFIG_INTERNAL_H
/* Between the reader of the file (config.c) and the table of its keys (config_keys.c). */
#include "daemon/config.h"

enum { CONFIG_WHY_BYTES = 300 };

struct config_setting {
    const char *key;
    bool repeats;
    /* Take a value that is not empty; false: why says what is wrong with it. */
    bool (*set)(struct stoq_config *c, const char *value, char why[CONFIG_WHY_BYTES]);
};

#define CONFIG_SETTINGS_MAX 64
/* The i-th key, NULL past the last; fewer than CONFIG_SETTINGS_MAX. */
const struct config_setting *config_setting_at(size_t i);

#endif
