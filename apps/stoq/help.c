#include "commands.h"

#include <stdio.h>
#include <string.h>

static void print_group(bool plumbing)
{
    const struct cmd_row *row;
    for (size_t i = 0; (row = cmd_row_at(i)) != NULL; i++) {
        if (row->plumbing == plumbing) {
            (void)printf("  %-9s %s\n", row->name, row->summary);
        }
    }
}

void cmd_help_all(void)
{
    (void)printf("Usage: stoq [OPTION...] COMMAND [ARGUMENT...]\n");
    print_group(false);
    (void)printf("Plumbing, to check our formats from outside:\n");
    print_group(true);
    (void)printf(
        "'stoq help COMMAND' tells more. Every command takes --json, --quiet, --home DIR.\n");
}

static void print_options(const struct cmd_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char left[64];
        char letter[8] = "    ";
        if (options[i].letter != 0) {
            (void)snprintf(letter, sizeof letter, "-%c, ", options[i].letter);
        }
        (void)snprintf(left, sizeof left, "%s--%s%s%s%s", letter, options[i].name,
                       options[i].value_name != NULL ? " " : "",
                       options[i].value_name != NULL ? options[i].value_name : "",
                       options[i].repeats ? "..." : "");
        (void)printf("  %-27s %s\n", left, options[i].help);
    }
}

void cmd_help_one(const struct cmd_row *row)
{
    (void)printf("Usage: stoq %s%s%s%s\n\n%c%s.\n", row->name, row->synopsis[0] != '\0' ? " " : "",
                 row->synopsis, row->option_count > 0 ? " [OPTION...]" : "",
                 row->summary[0] - ('a' <= row->summary[0] && row->summary[0] <= 'z' ? 32 : 0),
                 row->summary + 1);
    if (row->details != NULL) {
        (void)printf("\n%s\n", row->details);
    }
    if (row->option_count > 0) {
        (void)printf("\nOptions:\n");
        print_options(row->options, row->option_count);
    }
    size_t count;
    const struct cmd_option *options = cmd_common_options(&count);
    (void)printf("\nOptions of every command:\n");
    print_options(options, count);
}

static json_t *options_to_json(const struct cmd_option *options, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        char letter[2] = {options[i].letter, '\0'};
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s*, s:s*, s:b, s:s}", "name", options[i].name, "letter",
                            letter[0] != '\0' ? letter : NULL, "value", options[i].value_name,
                            "repeats", (int)options[i].repeats, "help", options[i].help));
    }
    return list;
}

static json_t *row_to_json(const struct cmd_row *row)
{
    return json_pack("{s:s, s:s, s:s, s:s*, s:b, s:o}", "name", row->name, "synopsis",
                     row->synopsis, "summary", row->summary, "details", row->details, "plumbing",
                     (int)row->plumbing, "options",
                     options_to_json(row->options, row->option_count));
}

/* The table itself, for what is made of it: completions, man pages. */
static json_t *table_to_json(void)
{
    size_t count;
    const struct cmd_row *row;
    const struct cmd_option *common = cmd_common_options(&count);
    json_t *rows = json_array();
    for (size_t i = 0; (row = cmd_row_at(i)) != NULL; i++) {
        (void)json_array_append_new(rows, row_to_json(row));
    }
    return json_pack("{s:o, s:o}", "commands", rows, "options", options_to_json(common, count));
}

int cmd_help(struct cmd *cmd)
{
    const struct cmd_row *row = NULL;
    if (cmd->arg_count > 0) {
        row = cmd_row_find(cmd->args[0]);
        if (row == NULL) {
            return cmd_usage(cmd, "unknown command '%s'", cmd->args[0]);
        }
    }
    if (cmd->json) {
        return cmd_print_json(cmd, row != NULL ? row_to_json(row) : table_to_json());
    }
    if (row != NULL) {
        cmd_help_one(row);
    } else {
        cmd_help_all();
    }
    return cmd_finish(cmd);
}

int cmd_version(struct cmd *cmd)
{
    static const char *const features[] = {"quic",     "kyber1024", "raw-public-key", "blake3",
                                           "sha3-256", "fastcdc",   "zstd",           "ed25519"};
    if (cmd->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < STOQ_COUNT(features); i++) {
            (void)json_array_append_new(list, json_string(features[i]));
        }
        return cmd_print_json(cmd, json_pack("{s:s, s:s, s:o}", "version", STOQ_PROGRAM_VERSION,
                                             "protocol", "stoq/1", "features", list));
    }
    (void)printf("stoq %s\nprotocol: stoq/1\nfeatures:", STOQ_PROGRAM_VERSION);
    for (size_t i = 0; i < STOQ_COUNT(features); i++) {
        (void)printf(" %s", features[i]);
    }
    (void)printf("\n");
    return cmd_finish(cmd);
}
