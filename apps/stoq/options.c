/*
 * getopt_long runs twice over the same table: once stopping at the first word that is not an option,
 * which is the command, then over the rest with the command's own options added. So common options
 * stand before or after the command, and each command's words may be mixed with its options.
 */
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_MAX_OPTIONS = 64, LONG_BASE = 1000 };

static const struct cmd_option common[] = {
    {"json", 0, NULL, "print one JSON object, errors too", false},
    {"quiet", 'q', NULL, "print nothing but the result and errors", false},
    {"verbose", 'v', NULL, "say more on stderr; twice for still more", true},
    {"progress", 0, "WHEN", "auto, always, never or json (on stderr)", false},
    {"home", 0, "DIR", "keep everything under DIR (or STOQ_HOME)", false},
    {"config", 0, "FILE", "read this configuration file", false},
    {"help", 'h', NULL, "show help", false},
    {"version", 0, NULL, "show version, protocol and features", false},
};

const struct cmd_option *cmd_common_options(size_t *count)
{
    *count = STOQ_COUNT(common);
    return common;
}

struct getopt_table {
    const struct cmd_option *option[LONG_MAX_OPTIONS];
    struct option longs[LONG_MAX_OPTIONS + 1];
    char shorts[4 * LONG_MAX_OPTIONS];
    int count;
};

static bool table_has(const struct getopt_table *t, const char *name)
{
    for (int i = 0; i < t->count; i++) {
        if (strcmp(t->option[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* What is in the table already wins: `publish --version` is the package's. */
static void table_add(struct getopt_table *t, const struct cmd_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        STOQ_ASSERT(t->count < LONG_MAX_OPTIONS);
        const struct cmd_option *o = &options[i];
        if (table_has(t, o->name)) {
            continue;
        }
        int has_arg = o->value_name != NULL ? required_argument : no_argument;
        t->longs[t->count] = (struct option){o->name, has_arg, NULL, LONG_BASE + t->count};
        t->option[t->count] = o;
        t->count++;
        if (o->letter != 0) {
            size_t n = strlen(t->shorts);
            (void)snprintf(t->shorts + n, sizeof t->shorts - n, "%c%s", o->letter,
                           o->value_name != NULL ? ":" : "");
        }
    }
    t->longs[t->count] = (struct option){0};
}

static const struct cmd_option *table_find(const struct getopt_table *t, int c)
{
    for (int i = 0; i < t->count; i++) {
        if (c == LONG_BASE + i || (c != 0 && c == t->option[i]->letter)) {
            return t->option[i];
        }
    }
    return NULL;
}

static bool set_progress(struct cmd *cmd, const char *text)
{
    static const char *const word[] = {"auto", "always", "never", "json"};
    for (size_t i = 0; i < STOQ_COUNT(word); i++) {
        if (strcmp(text, word[i]) == 0) {
            cmd->progress = (enum cmd_progress)i;
            return true;
        }
    }
    return false;
}

/* Common options go straight into cmd; 0 or an exit code. */
static int take_common(struct cmd *cmd, const struct cmd_option *o, const char *text)
{
    if (strcmp(o->name, "json") == 0) {
        cmd->json = true;
    } else if (strcmp(o->name, "quiet") == 0) {
        cmd->quiet = true;
    } else if (strcmp(o->name, "verbose") == 0) {
        cmd->verbose++;
    } else if (strcmp(o->name, "home") == 0) {
        cmd->home = text;
    } else if (strcmp(o->name, "config") == 0) {
        cmd->config = text;
    } else if (strcmp(o->name, "progress") == 0 && !set_progress(cmd, text)) {
        return cmd_usage(cmd, "--progress takes auto, always, never or json, not '%s'", text);
    }
    if ((o->name[0] == 'h' || strcmp(o->name, "config") == 0) && text[0] == '\0' &&
        o->value_name != NULL) {
        return cmd_usage(cmd, "--%s needs a path that is not empty", o->name);
    }
    return 0;
}

static int take_value(struct cmd *cmd, const struct cmd_option *o, const char *text)
{
    if (!o->repeats && cmd_value(cmd, o->name) != NULL) {
        return cmd_usage(cmd, "--%s is given twice", o->name);
    }
    if (cmd->value_count == CMD_VALUES_MAX) {
        return cmd_usage(cmd, "more than %d options", CMD_VALUES_MAX);
    }
    cmd->values[cmd->value_count++] = (struct cmd_value){o, text};
    return 0;
}

static bool is_common(const struct cmd_option *o)
{
    return o >= common && o < common + STOQ_COUNT(common);
}

static int bad_option(struct cmd *cmd, int c, char **argv)
{
    if (c == ':') {
        return cmd_usage(cmd, "option '%s' needs a value", argv[optind - 1]);
    }
    if (optopt >= LONG_BASE) {
        return cmd_usage(cmd, "option '%s' takes no value", argv[optind - 1]);
    }
    if (optopt != 0) {
        return cmd_usage(cmd, "unknown option '-%c'", optopt);
    }
    return cmd_usage(cmd, "unknown option '%s'", argv[optind - 1]);
}

/* Runs getopt over argv; 0, or an exit code after the error was told. */
static int scan(struct cmd *cmd, struct getopt_table *t, int argc, char **argv, bool *help,
                bool *version)
{
    opterr = 0;
    optind = 0;
    for (;;) {
        int c = getopt_long(argc, argv, t->shorts, t->longs, NULL);
        if (c == -1) {
            return 0;
        }
        const struct cmd_option *o = c == '?' || c == ':' ? NULL : table_find(t, c);
        if (o == NULL) {
            return bad_option(cmd, c, argv);
        }
        const char *text = o->value_name != NULL ? optarg : "";
        int rc = is_common(o) ? take_common(cmd, o, text) : take_value(cmd, o, text);
        if (rc != 0) {
            return rc;
        }
        *help = *help || (is_common(o) && strcmp(o->name, "help") == 0);
        *version = *version || (is_common(o) && strcmp(o->name, "version") == 0);
    }
}

static bool check_arg_count(const struct cmd *cmd, int *exit_code)
{
    if (cmd->arg_count < cmd->row->args_min) {
        *exit_code = cmd_usage(cmd, "too few arguments; use: stoq %s %s", cmd->row->name,
                               cmd->row->synopsis);
        return false;
    }
    if (cmd->row->args_max >= 0 && cmd->arg_count > cmd->row->args_max) {
        *exit_code = cmd_usage(cmd, "unexpected argument '%s'", cmd->args[cmd->row->args_max]);
        return false;
    }
    return true;
}

/* The common options and the command's name: argv[optind] afterwards. */
static bool parse_head(struct cmd *cmd, int argc, char **argv, int *exit_code)
{
    struct getopt_table t = {.shorts = "+:"};
    bool help = false;
    bool version = false;
    table_add(&t, common, STOQ_COUNT(common));
    *exit_code = scan(cmd, &t, argc, argv, &help, &version);
    if (*exit_code != 0) {
        return false;
    }
    if (help) {
        cmd_help_all();
        return false;
    }
    if (version) {
        *exit_code = cmd_version(cmd);
        return false;
    }
    if (optind >= argc) {
        *exit_code = cmd_usage(cmd, "a command is missing");
        return false;
    }
    cmd->row = cmd_row_find(argv[optind]);
    if (cmd->row == NULL) {
        *exit_code = cmd_usage(cmd, "unknown command '%s'", argv[optind]);
        return false;
    }
    return true;
}

bool cmd_parse(struct cmd *cmd, int argc, char **argv, int *exit_code)
{
    cmd->program = argc > 0 ? argv[0] : "stoq";
    cmd->values = calloc(CMD_VALUES_MAX, sizeof *cmd->values);
    if (cmd->values == NULL) {
        struct stoq_error err;
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory for the command line");
        *exit_code = cmd_fail(cmd, &err);
        return false;
    }
    /* An error on the way must know already whether it is to be told in JSON. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        cmd->json = cmd->json || strcmp(argv[i], "--json") == 0;
    }
    if (!parse_head(cmd, argc, argv, exit_code)) {
        return false;
    }
    cmd->raw_output = cmd->row->raw_output;
    int head = optind;
    struct getopt_table t = {.shorts = ":"};
    bool help = false;
    bool version = false;
    table_add(&t, cmd->row->options, cmd->row->option_count);
    table_add(&t, common, STOQ_COUNT(common));
    *exit_code = scan(cmd, &t, argc - head, argv + head, &help, &version);
    if (*exit_code != 0) {
        return false;
    }
    if (help) {
        cmd_help_one(cmd->row);
        return false;
    }
    if (version) {
        *exit_code = cmd_version(cmd);
        return false;
    }
    cmd->args = argv + head + optind;
    cmd->arg_count = argc - head - optind;
    return check_arg_count(cmd, exit_code);
}

void cmd_release(struct cmd *cmd)
{
    free(cmd->values);
    cmd->values = NULL;
}

const char *cmd_value_at(const struct cmd *cmd, const char *name, size_t i)
{
    for (size_t k = 0; k < cmd->value_count; k++) {
        if (strcmp(cmd->values[k].option->name, name) == 0 && i-- == 0) {
            return cmd->values[k].text;
        }
    }
    return NULL;
}

const char *cmd_value(const struct cmd *cmd, const char *name)
{
    const char *last = NULL;
    for (size_t k = 0; k < cmd->value_count; k++) {
        if (strcmp(cmd->values[k].option->name, name) == 0) {
            last = cmd->values[k].text;
        }
    }
    return last;
}

bool cmd_flag(const struct cmd *cmd, const char *name)
{
    return cmd_value(cmd, name) != NULL;
}

bool cmd_value_u64(const struct cmd *cmd, const char *name, uint64_t min, uint64_t max,
                   uint64_t *out)
{
    const char *text = cmd_value(cmd, name);
    if (text == NULL) {
        return true;
    }
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0') {
        (void)cmd_usage(cmd, "--%s takes a whole number, not '%s'", name, text);
        return false;
    }
    if (errno == ERANGE || v < min || v > max) {
        (void)cmd_usage(cmd, "--%s %s is outside %llu..%llu", name, text, (unsigned long long)min,
                        (unsigned long long)max);
        return false;
    }
    *out = v;
    return true;
}
