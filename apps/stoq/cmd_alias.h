#ifndef STOQ_APPS_STOQ_CMD_ALIAS_H
#define STOQ_APPS_STOQ_CMD_ALIAS_H
/* What get and cat share with find: a file named by a digest instead of an id. */
#include "cmd.h"

/* clang-format off */
#define ALIAS_OPTIONS                                                                              \
    {"b3sum", 0, "HEX", "the file with this BLAKE3 digest", false},                                \
    {"sha256", 0, "HEX", "the file with this SHA-256 digest", false},                              \
    {"sha512", 0, "HEX", "the file with this SHA-512 digest", false},                              \
    {"sha3-256", 0, "HEX", "the file with this SHA3-256 digest", false}
/* clang-format on */

/* The --alias options, each a list with commas, as "aliases". 0, or an exit code. */
int alias_set_option(struct cmd *cmd, json_t *args);

bool alias_is_asked(const struct cmd *cmd);
/* Get that file: to output, to standard output for "-", NULL: only check it. The exit code. */
int alias_get(struct cmd *cmd, const char *output);

#endif
