/* stoq distribute, stoq track: who is to keep a package, and who does. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include "daemon/units.h"

#include <stdio.h>
#include <string.h>

static void tell_replica(const json_t *r)
{
    char a[HUMAN_CAP];
    const char *code = stoq_json_text(r, "code");
    const char *why = stoq_json_text(r, "why");
    (void)printf("  %s  %s  %s", stoq_json_text(r, "peer"), stoq_json_text(r, "domain"),
                 stoq_json_text(r, "state"));
    if (code != NULL) {
        (void)printf(" (%s)", code);
    }
    (void)printf("  %s sent in %.2f s%s%s\n", human_bytes(a, stoq_json_u64(r, "bytes_sent", 0)),
                 json_number_value(json_object_get(r, "seconds")), why != NULL ? ": " : "",
                 why != NULL ? why : "");
}

static void tell_replicas(const json_t *o)
{
    char a[HUMAN_CAP];
    size_t i;
    const json_t *r;
    (void)printf("%llu of %llu replicas verified, %s each, %.2f s\n",
                 (unsigned long long)stoq_json_u64(o, "got", 0),
                 (unsigned long long)stoq_json_u64(o, "wanted", 0),
                 human_bytes(a, stoq_json_u64(o, "bytes", 0)),
                 json_number_value(json_object_get(o, "seconds")));
    json_array_foreach (json_object_get(o, "replicas"), i, r) {
        tell_replica(r);
    }
}

static void tell_nothing(const json_t *o)
{
    (void)o;
}

static int distribute_args(struct cmd *cmd, json_t *args)
{
    const char *select = cmd_value(cmd, "select");
    const char *keep = cmd_value(cmd, "keep");
    uint64_t keep_s;
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    if (rc == 0) {
        rc = call_set_text(cmd, args, "strategy", cmd_value(cmd, "strategy"));
    }
    if (rc == 0) {
        rc = call_set_number(cmd, args, "replicas", "replicas", 1, 64);
    }
    if (rc == 0 && select != NULL && strcmp(select, "replication") != 0) {
        rc = select_args(cmd, select, args);
    }
    if (rc == 0 && keep != NULL) {
        if (!stoq_seconds_parse(keep, &keep_s) || keep_s == 0) {
            return cmd_usage(cmd, "--keep takes a time as in 90s, 30m, 2h, 7d or 4w, not '%s'",
                             keep);
        }
        (void)stoq_json_set_u64(args, "keep_s", keep_s);
    }
    return rc;
}

int cmd_distribute(struct cmd *cmd)
{
    json_t *args = json_object();
    json_t *result;
    int rc = distribute_args(cmd, args);
    rc = call_op_with(cmd, rc, "distribute", args, &result);
    if (rc != 0) {
        return rc;
    }
    return select_finish(cmd, result, cmd->quiet ? tell_nothing : tell_replicas);
}

static void tell_receipt(const json_t *r)
{
    char a[HUMAN_CAP];
    const char *domain = stoq_json_text(r, "domain");
    const char *why = stoq_json_text(r, "why");
    (void)printf("%s  %s  %s  %s%s%s\n", stoq_json_text(r, "peer"), domain != NULL ? domain : "-",
                 stoq_json_bool(r, "valid", false) ? "verified" : "not valid",
                 human_bytes(a, stoq_json_u64(r, "bytes", 0)), why != NULL ? ": " : "",
                 why != NULL ? why : "");
}

int cmd_track(struct cmd *cmd)
{
    size_t i;
    const json_t *o;
    json_t *result;
    json_t *args = json_pack("{s:b}", "follow", (int)cmd_flag(cmd, "follow"));
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    rc = call_op_with(cmd, rc, "track", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "placements"), i, o) {
        tell_replicas(o);
    }
    json_array_foreach (json_object_get(result, "receipts"), i, o) {
        tell_receipt(o);
    }
    json_decref(result);
    return cmd_finish(cmd);
}
