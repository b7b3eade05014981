/* stoq rule try: what a rule does with some peers, and why. */
#include "call.h"
#include "commands.h"
#include "verdicts.h"

#include "daemon/candidates.h"
#include "os/file.h"

#include <string.h>

static enum stoq_status read_rule(const char *path, struct stoq_rule **out, struct stoq_error *err)
{
    struct stoq_buf text;
    stoq_buf_init(&text, STOQ_JSON_REQUEST_MAX);
    enum stoq_status st = stoq_file_read(path, STOQ_JSON_REQUEST_MAX, &text, err);
    if (st == STOQ_OK) {
        st = stoq_candidates_rule(out, path, stoq_buf_span(&text), err);
    }
    stoq_buf_release(&text);
    return st;
}

/* The array itself, or an object that has it under "known" or "candidates". */
static enum stoq_status read_candidates(const char *path, json_t **out, struct stoq_error *err)
{
    struct stoq_buf text;
    json_t *value = NULL;
    stoq_buf_init(&text, STOQ_JSON_REPLY_MAX);
    enum stoq_status st = stoq_file_read(path, STOQ_JSON_REPLY_MAX, &text, err);
    if (st == STOQ_OK) {
        st = stoq_json_parse(&value, stoq_buf_span(&text), STOQ_JSON_REPLY_MAX, err);
        if (st != STOQ_OK) {
            stoq_error_prefix(err, "%.200s", path);
        }
    }
    stoq_buf_release(&text);
    if (st == STOQ_OK) {
        json_t *inner = json_object_get(value, "known");
        inner = inner != NULL ? inner : json_object_get(value, "candidates");
        *out = json_incref(inner != NULL ? inner : value);
        json_decref(value);
    }
    return st;
}

static int candidates(struct cmd *cmd, json_t **out)
{
    struct stoq_error err;
    const char *path = cmd_value(cmd, "candidates");
    if (path != NULL) {
        return read_candidates(path, out, &err) == STOQ_OK ? 0 : cmd_fail(cmd, &err);
    }
    json_t *result = NULL;
    int rc = call_op(cmd, "peers", json_object(), &result);
    if (rc == 0) {
        *out = json_incref(json_object_get(result, "known"));
        json_decref(result);
    }
    return rc;
}

int cmd_rule(struct cmd *cmd)
{
    struct stoq_error err;
    struct stoq_rule *rule = NULL;
    json_t *list = NULL;
    json_t *result = NULL;
    if (strcmp(cmd->args[0], "try") != 0) {
        return cmd_usage(cmd, "stoq rule takes try, not '%s'", cmd->args[0]);
    }
    if (read_rule(cmd->args[1], &rule, &err) != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    int rc = candidates(cmd, &list);
    if (rc == 0 && stoq_candidates_judge(rule, list, &result, &err) != STOQ_OK) {
        rc = cmd_fail(cmd, &err);
    }
    stoq_rule_free(rule);
    json_decref(list);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    verdicts_print(result);
    json_decref(result);
    return cmd_finish(cmd);
}
