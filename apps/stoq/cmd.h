#ifndef STOQ_APPS_STOQ_CMD_H
#define STOQ_APPS_STOQ_CMD_H
/*
 * The command line: one table of commands (table.c) from which parsing, --help, `help CMD`, and the man
 * pages and completions come. To add a command: write `int cmd_x(struct cmd *cmd)` in a cmd_*.c, declare
 * it in commands.h, give it a row in table.c.
 */
#include "api/error.h"
#include "api/json.h"

struct cmd;

struct cmd_option {
    const char *name;       /* long form without "--" */
    char letter;            /* short form, or 0 */
    const char *value_name; /* NULL: a flag */
    const char *help;       /* one line */
    bool repeats;           /* may be given more than once */
};

struct cmd_row {
    const char *name;
    const char *synopsis; /* positional arguments and required options: "ID PATH" */
    const char *summary;  /* one line, lower case, no full stop */
    const char *details;  /* paragraphs for `help NAME`, or NULL */
    const struct cmd_option *options;
    size_t option_count;
    int args_min;
    int args_max;                /* -1: any number */
    int (*run)(struct cmd *cmd); /* returns the exit code */
    bool plumbing;               /* listed apart in --help */
    bool raw_output;             /* stdout carries file bytes: JSON errors go to stderr */
};

enum cmd_progress { CMD_PROGRESS_AUTO, CMD_PROGRESS_ALWAYS, CMD_PROGRESS_NEVER, CMD_PROGRESS_JSON };

struct cmd_value {
    const struct cmd_option *option;
    const char *text; /* "" for a flag */
};

#define CMD_VALUES_MAX 1024

/* One parsed command line. */
struct cmd {
    const struct cmd_row *row;
    const char *program;
    char **args; /* positional */
    int arg_count;
    struct cmd_value *values;
    size_t value_count;
    /* options every command has */
    bool json;
    bool quiet;
    int verbose;
    enum cmd_progress progress;
    const char *home;   /* --home; NULL: STOQ_HOME, then the XDG directories */
    const char *config; /* --config; NULL: the home's */
    bool raw_output;    /* starts as row->raw_output; `get -o -` sets it */
};

/* The option was given / its last value, or NULL / its i-th value, or NULL. */
bool cmd_flag(const struct cmd *cmd, const char *name);
const char *cmd_value(const struct cmd *cmd, const char *name);
const char *cmd_value_at(const struct cmd *cmd, const char *name, size_t i);

/* A decimal option value: *out stays as it is when the option is absent. False after the usage error
 * was printed: not a number, or outside min .. max. */
bool cmd_value_u64(const struct cmd *cmd, const char *name, uint64_t min, uint64_t max,
                   uint64_t *out);

/* Tell err once (a sentence on stderr; with --json one object {"error":{...}} on stdout) and return its
 * exit code. */
int cmd_fail(const struct cmd *cmd, const struct stoq_error *err);
/* A wrong command line: tells it with where to read more, returns STOQ_EXIT_USAGE. */
int cmd_usage(const struct cmd *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Print a result: with --json the object on one line, freed here. Returns the exit code (failed when
 * stdout cannot be written; NULL counts as no memory). */
int cmd_print_json(const struct cmd *cmd, json_t *result);
/* Check that everything printed on stdout arrived; the exit code. */
int cmd_finish(const struct cmd *cmd);

/* Read the command line; on false *exit_code says how to leave (usage error, or help was printed). */
bool cmd_parse(struct cmd *cmd, int argc, char **argv, int *exit_code);
void cmd_release(struct cmd *cmd);

/* options every command takes, and the table itself */
const struct cmd_option *cmd_common_options(size_t *count);
const struct cmd_row *cmd_row_at(size_t i);          /* NULL past the last */
const struct cmd_row *cmd_plumbing_row_at(size_t i); /* the last part of the table */
const struct cmd_row *cmd_row_find(const char *name);

void cmd_help_all(void);
void cmd_help_one(const struct cmd_row *row);

#endif
