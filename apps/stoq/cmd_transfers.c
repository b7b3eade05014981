/* How the daemon's fetches go and went: transfers, why. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

int cmd_transfers(struct cmd *cmd)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    size_t i;
    const json_t *t;
    json_t *result;
    int rc = call_op(cmd, "transfers", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "transfers"), i, t) {
        const char *why = stoq_json_text(t, "why");
        (void)printf("%s  %s  %s of %s in %.2f s, %zu sources, %llu requests%s%s\n",
                     stoq_json_text(t, "id"), stoq_json_text(t, "state"),
                     human_bytes(a, stoq_json_u64(t, "bytes_done", 0)),
                     human_bytes(b, stoq_json_u64(t, "bytes", 0)), number(t, "seconds"),
                     json_array_size(json_object_get(t, "sources")),
                     (unsigned long long)stoq_json_u64(t, "request_count", 0),
                     why != NULL ? "  " : "", why != NULL ? why : "");
    }
    json_decref(result);
    return cmd_finish(cmd);
}

int cmd_why(struct cmd *cmd)
{
    size_t i;
    const json_t *line;
    json_t *result;
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    rc = call_op_with(cmd, rc, "why", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "explanation"), i, line) {
        (void)puts(json_string_value(line));
    }
    json_decref(result);
    return cmd_finish(cmd);
}
