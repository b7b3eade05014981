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
    return i < STOQ_COUNT(rows) ? &rows[i] : cmd_plumbing_row_at(i - STOQ_COUNT(rows));
}

const struct cmd_row *cmd_row_find(const char *name)
{
    const struct cmd_row *row = NULL;
    for (size_t i = 0; (row = cmd_row_at(i)) != NULL; i++) {
        if (strcmp(row->name, name) == 0) {
            break;
        }
    }
    return row;
}
