#include "cmd.h"

#include <string.h>

static const struct cmd_row rows[] = {
    {.name = "help",
     .synopsis = "[COMMAND]",
     .summary = "show what a command does and takes",
     .args_max = 1,
     .run = cmd_help},
    {.name = "version",
     .synopsis = "",
     .summary = "show version, protocol and features",
     .run = cmd_version},
};

const struct cmd_row *cmd_row_at(size_t i)
{
    return i < STOQ_COUNT(rows) ? &rows[i] : NULL;
}

const struct cmd_row *cmd_row_find(const char *name)
{
    for (size_t i = 0; i < STOQ_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}
