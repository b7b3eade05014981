/* Pins, named roots and leases: stoq pin, unpin, pins, root, lease, leases. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include "daemon/units.h"

#include <stdio.h>
#include <string.h>

static const char *subject_of(const json_t *o)
{
    const char *id = stoq_json_text(o, "id");
    return id != NULL ? id : stoq_json_text(o, "address");
}

/* Run an operation with args (taken; set as for call_op_with), and say what is done. */
static int run(struct cmd *cmd, int set, const char *op, json_t *args, const char *done)
{
    json_t *result;
    int rc = call_op_with(cmd, set, op, args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    if (!cmd->quiet) {
        const char *name = stoq_json_text(result, "name");
        (void)fprintf(stderr, "%s %s\n", name != NULL ? name : subject_of(result), done);
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static int on_subject(struct cmd *cmd, const char *op, const char *done)
{
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    return run(cmd, rc, op, args, done);
}

int cmd_pin(struct cmd *cmd)
{
    return on_subject(cmd, "pin", "is pinned");
}

int cmd_unpin(struct cmd *cmd)
{
    return on_subject(cmd, "unpin", "is no longer pinned");
}

/* List what op gives under key. */
static int list(struct cmd *cmd, const char *op, const char *key)
{
    char a[HUMAN_CAP];
    size_t i;
    const json_t *k;
    json_t *result;
    int rc = call_op(cmd, op, json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, key), i, k) {
        const char *name = stoq_json_text(k, "name");
        (void)printf("%s%s%s", subject_of(k), name != NULL ? "  " : "", name != NULL ? name : "");
        if (json_object_get(k, "expires_at") != NULL) {
            uint64_t left = stoq_json_u64(k, "seconds_left", 0);
            (void)printf("  %s", left == 0 ? "over" : human_time(a, (double)left));
        }
        (void)printf("\n");
    }
    uint64_t damaged = stoq_json_u64(result, "damaged", 0);
    if (damaged > 0) {
        (void)fprintf(stderr, "stoq: %llu records are damaged\n", (unsigned long long)damaged);
    }
    json_decref(result);
    return cmd_finish(cmd);
}

int cmd_pins(struct cmd *cmd)
{
    return list(cmd, "pins", "pins");
}

int cmd_leases(struct cmd *cmd)
{
    return list(cmd, "leases", "leases");
}

static int root_set(struct cmd *cmd)
{
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "name", cmd->args[1]);
    if (rc == 0) {
        rc = call_set_text(cmd, args, "id", cmd->args[2]);
    }
    return run(cmd, rc, "root_set", args, "is set");
}

static int root_rm(struct cmd *cmd)
{
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "name", cmd->args[1]);
    return run(cmd, rc, "root_rm", args, "is no longer a root");
}

int cmd_root(struct cmd *cmd)
{
    const char *word = cmd->args[0];
    int count = cmd->arg_count - 1;
    if (strcmp(word, "set") == 0 && count == 2) {
        return root_set(cmd);
    }
    if (strcmp(word, "rm") == 0 && count == 1) {
        return root_rm(cmd);
    }
    if (strcmp(word, "ls") == 0 && count == 0) {
        return list(cmd, "roots", "roots");
    }
    return cmd_usage(cmd, "use: stoq root set NAME ID, root rm NAME, or root ls");
}

int cmd_lease(struct cmd *cmd)
{
    const char *time = cmd_value(cmd, "for");
    uint64_t seconds = 0;
    if ((time != NULL) == cmd_flag(cmd, "end")) {
        return cmd_usage(cmd, "stoq lease takes --for TIME, or --end");
    }
    if (time == NULL) {
        return on_subject(cmd, "lease_end", "is no longer leased");
    }
    if (!stoq_seconds_parse(time, &seconds)) {
        return cmd_usage(cmd, "--for takes a time as in 90s, 30m, 2h, 7d or 4w, not '%s'", time);
    }
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    if (rc == 0 && !stoq_json_set_u64(args, "seconds", seconds)) {
        rc = STOQ_EXIT_FAILED;
    }
    return run(cmd, rc, "lease", args, "is leased");
}
