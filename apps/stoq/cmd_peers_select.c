/* stoq peers --select: who would be chosen, and why not the others. */
#include "call.h"
#include "commands.h"
#include "verdicts.h"

#include "daemon/rate.h"
#include "os/file.h"
#include "rule/rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rule of custom:FILE is read here: the daemon need not see our files. */
static int take_rule(struct cmd *cmd, const char *path, json_t *args)
{
    struct stoq_error err;
    struct stoq_buf text;
    stoq_buf_init(&text, STOQ_RULE_BYTES_MAX);
    enum stoq_status st = stoq_file_read(path, STOQ_RULE_BYTES_MAX, &text, &err);
    if (st == STOQ_OK && (!stoq_json_set_text(args, "text", stoq_buf_span(&text)) ||
                          !stoq_json_set_text(args, "name", stoq_span_str(path)))) {
        st = stoq_fail_code(&err, STOQ_MALFORMED, "RuleInvalid", "%.200s is not UTF-8", path);
    }
    stoq_buf_release(&text);
    return st == STOQ_OK ? 0 : cmd_fail(cmd, &err);
}

static int take_number(struct cmd *cmd, const char *kind, const char *text, json_t *args)
{
    uint64_t number;
    char *end;
    if (strcmp(kind, "bandwidth") == 0) {
        if (!stoq_rate_parse(text, &number)) {
            return cmd_usage(cmd, "'%s' is not a rate, as in 2MiB or 20Mbit", text);
        }
    } else {
        number = strtoull(text, &end, 10);
        if (text[0] < '1' || text[0] > '9' || *end != '\0' || number > STOQ_RULE_CANDIDATES_MAX) {
            return cmd_usage(cmd, "'%s' is not a number from 1 to %u", text,
                             STOQ_RULE_CANDIDATES_MAX);
        }
    }
    return stoq_json_set_u64(args, "number", number) ? 0 : STOQ_EXIT_FAILED;
}

int select_args(struct cmd *cmd, const char *spec, json_t *args)
{
    static const char *const kinds[] = {"replication", "geographic", "bandwidth", "custom"};
    const char *colon = strchr(spec, ':');
    size_t n = colon != NULL ? (size_t)(colon - spec) : 0;
    for (size_t i = 0; i < STOQ_COUNT(kinds) && colon != NULL && colon[1] != '\0'; i++) {
        if (strlen(kinds[i]) != n || memcmp(kinds[i], spec, n) != 0) {
            continue;
        }
        (void)json_object_set_new(args, "kind", json_string(kinds[i]));
        if (strcmp(kinds[i], "custom") == 0) {
            return take_rule(cmd, colon + 1, args);
        }
        return strcmp(kinds[i], "geographic") == 0 ? call_set_text(cmd, args, "text", colon + 1)
                                                   : take_number(cmd, kinds[i], colon + 1, args);
    }
    return cmd_usage(cmd,
                     "--select takes replication:N, geographic:REGION, bandwidth:RATE or "
                     "custom:FILE, not '%s'",
                     spec);
}

int select_finish(struct cmd *cmd, json_t *result, void (*tell)(const json_t *result))
{
    struct stoq_error err;
    const json_t *error = json_object_get(result, "error");
    bool is_short = error != NULL;
    if (is_short) {
        stoq_error_from_json(&err, error);
    }
    if (cmd->json) {
        int printed = cmd_print_json(cmd, result);
        return is_short ? (int)stoq_error_exit(&err) : printed;
    }
    tell(result);
    json_decref(result);
    int printed = cmd_finish(cmd);
    return is_short ? cmd_fail(cmd, &err) : printed;
}

int peers_select(struct cmd *cmd)
{
    json_t *args = json_object();
    json_t *result;
    int rc = select_args(cmd, cmd_value(cmd, "select"), args);
    rc = call_op_with(cmd, rc, "peers_select", args, &result);
    if (rc != 0) {
        return rc;
    }
    return select_finish(cmd, result, verdicts_print);
}
